/*
 * Which candidate of a plan a turn tries next, given what it has tried: the actions of
 * wire/fallback-rules.md 1 and the limits of design/security.md 8.
 *
 * Owns nothing and remembers nothing: what was tried is an argument, so the same question
 * has the same answer.  Any thread, under the lock of health.  It never answers TRY for
 * what cn_health_take() would refuse, and more attempts than the plan has candidates, plus
 * two, are never asked for.
 */
#include "continuo/plan.h"

#include "route_impl.h"

/* What one question is about. */
struct quest {
	const struct cn_plan *plan;
	const struct cn_health *h;
	const struct cn_tried *tried;
	size_t n_tried;
	uint64_t now_ms, deadline_ms;
};

static bool same_candidate(const struct cn_candidate *a, const struct cn_candidate *b)
{
	return a->model == b->model && a->key == b->key;
}

static bool same_account(const struct cn_candidate *a, const struct cn_candidate *b)
{
	const char *x = a->key->account, *y = b->key->account;

	if (a->model->backend != b->model->backend)
		return false;
	return a->key == b->key || (x && y && strcmp(x, y) == 0);
}

/* ---- counting ---- */

/* A local model that is being loaded: waited for, not counted. */
static bool is_loading(const struct cn_tried *t)
{
	const struct cn_outcome *o = t->outcome;

	return o && t->class == CN_CLASS_OVERLOADED && o->no_cooldown && o->retry_after_ms;
}

static bool is_free(const struct cn_tried *t)
{
	return t->outcome && t->outcome->free_retry;
}

/* Attempts at a candidate that count: one retry for a dead kept connection is free. */
static unsigned tries_of(const struct quest *q, const struct cn_candidate *c)
{
	unsigned n = 0, free_ones = 0;

	for (size_t i = 0; i < q->n_tried; i++) {
		const struct cn_tried *t = &q->tried[i];

		if (!same_candidate(t->candidate, c) || is_loading(t))
			continue;
		if (is_free(t) && free_ones++ == 0)
			continue;
		n++;
	}
	return n;
}

static size_t tries_in_all(const struct quest *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->plan->n; i++)
		n += tries_of(q, &q->plan->candidates[i]);
	return n;
}

static size_t models_of(const struct cn_plan *p)
{
	size_t n = 0;

	/* The keys of one model stand together. */
	for (size_t i = 0; i < p->n; i++)
		n += i == 0 || p->candidates[i].model != p->candidates[i - 1].model;
	return n;
}

static unsigned times_of(const struct quest *q, enum cn_class class)
{
	unsigned n = 0;

	for (size_t i = 0; i < q->n_tried; i++)
		n += q->tried[i].class == class;
	return n;
}

/* ---- what this turn does not try any more ---- */

/* Why a candidate is out of the question for the rest of the turn. */
enum out {
	CN_NOT_OUT,
	CN_OUT_TRIED,  /* often enough */
	CN_OUT_FAILED, /* what failed will fail again: key, account, model or backend */
	CN_OUT_REQUEST /* it cannot take this request, ever */
};

static bool too_small(const struct cn_tried *t, const struct cn_candidate *c)
{
	const struct cn_model *was = t->candidate->model, *m = c->model;
	enum cn_scope scope = t->outcome ? t->outcome->scope : CN_SCOPE_NONE;
	uint64_t window =
	    t->outcome && t->outcome->window ? t->outcome->window : was->context;

	if (scope == CN_SCOPE_KEY_MODEL)
		return same_candidate(t->candidate, c);
	/* By bytes: a larger body may do elsewhere. */
	if (scope == CN_SCOPE_BACKEND)
		return m == was || (m->backend == was->backend &&
		                    (m->max_body == 0 || m->max_body <= was->max_body));
	return m == was || (window && m->context && m->context <= window);
}

static bool auth_reaches(const struct cn_tried *t, const struct cn_candidate *c)
{
	enum cn_scope scope = t->outcome ? t->outcome->scope : CN_SCOPE_KEY;

	if (scope == CN_SCOPE_BACKEND)
		return t->candidate->model->backend == c->model->backend;
	if (scope == CN_SCOPE_ACCOUNT)
		return same_account(t->candidate, c);
	return same_candidate(t->candidate, c) ||
	       (scope == CN_SCOPE_KEY && t->candidate->key == c->key &&
	        t->candidate->model->backend == c->model->backend);
}

/* Whether one failure of this turn rules the candidate out. */
static enum out ruled_out_by(const struct cn_tried *t, const struct cn_candidate *c)
{
	const struct cn_model *was = t->candidate->model;
	bool out = false;

	switch (t->class) {
	case CN_CLASS_INVALID_REQUEST:
	case CN_CLASS_OUTPUT_CEILING:
	case CN_CLASS_CONTENT_REFUSAL:
	case CN_CLASS_LOOP:
	case CN_CLASS_DAMAGED:
		return was == c->model ? CN_OUT_REQUEST : CN_NOT_OUT;
	case CN_CLASS_CONTEXT_OVERFLOW:
		return too_small(t, c) ? CN_OUT_REQUEST : CN_NOT_OUT;
	case CN_CLASS_NOT_FOUND_MODEL:
		out = was == c->model;
		break;
	case CN_CLASS_MISCONFIGURED:
		out = was->backend == c->model->backend;
		break;
	case CN_CLASS_AUTH:
		out = auth_reaches(t, c);
		break;
	case CN_CLASS_BILLING:
		out = same_account(t->candidate, c);
		break;
	/* Of these the cooldown speaks. */
	case CN_CLASS_RATE_LIMITED:
	case CN_CLASS_QUOTA_EXHAUSTED:
	case CN_CLASS_OVERLOADED:
	case CN_CLASS_TIMEOUT_CONNECT:
	case CN_CLASS_TIMEOUT_FIRST_BYTE:
	case CN_CLASS_TIMEOUT_IDLE:
	case CN_CLASS_TRUNCATED_STREAM:
	case CN_CLASS_MALFORMED_STREAM:
	case CN_CLASS_SERVER_ERROR:
	case CN_CLASS_EMPTY:
	case CN_CLASS_WEAK:
	case CN_CLASS_OK:
	case CN_CLASS_CANCELLED:
	case CN_CLASS_COUNT:
		break;
	}
	return out ? CN_OUT_FAILED : CN_NOT_OUT;
}

/* Sent, no refusal and no answer: a backend gets such a request once more, not oftener. */
static bool may_be_billed(const struct cn_tried *t)
{
	const struct cn_outcome *o = t->outcome;

	return o && o->perhaps_billed && !o->delta_seen &&
	       (t->class == CN_CLASS_SERVER_ERROR ||
	        t->class == CN_CLASS_TIMEOUT_FIRST_BYTE);
}

static enum out ruled_out(const struct quest *q, const struct cn_candidate *c)
{
	enum out worst = CN_NOT_OUT;
	unsigned billed = 0;

	for (size_t i = 0; i < q->n_tried; i++) {
		const struct cn_tried *t = &q->tried[i];
		enum out out;

		if (is_loading(t))
			continue;
		billed +=
		    may_be_billed(t) && t->candidate->model->backend == c->model->backend;
		/* A first refusal may be mended by the one resend. */
		if (t->repaired && same_candidate(t->candidate, c))
			worst = worst > CN_OUT_TRIED ? worst : CN_OUT_TRIED;
		out = ruled_out_by(t, c);
		worst = out > worst ? out : worst;
	}
	if (worst == CN_NOT_OUT && (billed >= 2 || tries_of(q, c) >= CN_TRIES))
		worst = CN_OUT_TRIED;
	return worst;
}

/* ---- answers ---- */

static struct cn_next try_it(const struct cn_candidate *c, bool is_retry)
{
	return (struct cn_next){.kind = CN_NEXT_TRY, .candidate = c, .is_retry = is_retry};
}

static struct cn_next wait_for(uint64_t at_ms, enum cn_class because)
{
	return (struct cn_next){
	    .kind = CN_NEXT_WAIT, .ready_at_ms = at_ms, .because = because};
}

/* Failures that somebody has to mend. */
#define LASTING                                                               \
	((UINT32_C(1) << CN_CLASS_AUTH) | (UINT32_C(1) << CN_CLASS_BILLING) | \
	 (UINT32_C(1) << CN_CLASS_NOT_FOUND_MODEL) |                          \
	 (UINT32_C(1) << CN_CLASS_MISCONFIGURED))

/* What keeps each candidate, and when the earliest that could serve is back. */
static void add_holds(const struct quest *q, struct cn_next *ret)
{
	/* Index 1: those that are only looked at again, not expected to be well by then. */
	uint64_t earliest[2] = {UINT64_MAX, UINT64_MAX};
	enum cn_class because[2] = {ret->because, ret->because};

	for (size_t i = 0; i < q->plan->n; i++) {
		const struct cn_candidate *c = &q->plan->candidates[i];
		struct cn_readiness r = cn_health_ready_at(q->h, c, q->now_ms);
		enum out out = ruled_out(q, c);
		bool probe = out == CN_OUT_FAILED;

		if (out == CN_OUT_REQUEST)
			continue;
		if (r.at_ms > q->now_ms) {
			ret->held |= UINT32_C(1) << r.because;
			probe = probe || (LASTING & (UINT32_C(1) << r.because));
		}
		if (r.at_ms >= earliest[probe])
			continue;
		earliest[probe] = r.at_ms;
		if (r.at_ms > q->now_ms)
			because[probe] = r.because;
	}
	if (earliest[0] == UINT64_MAX) {
		earliest[0] = earliest[1];
		because[0] = because[1];
	}
	if (earliest[0] != UINT64_MAX) {
		ret->ready_at_ms = earliest[0];
		ret->because = because[0];
	}
}

static struct cn_next none(const struct quest *q)
{
	struct cn_next next = {.kind = CN_NEXT_NONE, .because = CN_CLASS_INVALID_REQUEST};

	if (q->n_tried)
		next.because = q->tried[q->n_tried - 1].class;
	else if (q->plan->too_large)
		next.because = CN_CLASS_CONTEXT_OVERFLOW;
	add_holds(q, &next);
	return next;
}

/* ---- the same candidate again ---- */

static const struct cn_candidate *in_plan(const struct quest *q,
                                          const struct cn_candidate *c)
{
	for (size_t i = 0; i < q->plan->n; i++) {
		if (same_candidate(&q->plan->candidates[i], c))
			return &q->plan->candidates[i];
	}
	return NULL;
}

static bool ready_now(const struct quest *q, const struct cn_candidate *c)
{
	struct cn_readiness r = cn_health_ready_at(q->h, c, q->now_ms);

	return r.at_ms <= q->now_ms || r.only_breaker;
}

static bool wants_repair(const struct cn_tried *t)
{
	return t->outcome && t->outcome->repair != CN_REPAIR_NONE && !t->repaired;
}

/* The only model of the chain: once more after half a second to a second. */
static bool repeat_later(const struct quest *q, const struct cn_candidate *c,
                         enum cn_class class, struct cn_next *ret)
{
	uint64_t at = cn_health__repeat_at(q->h, c, class, q->now_ms);

	if (models_of(q->plan) > 1 || at == 0 || at > q->deadline_ms)
		return false;
	if (cn_health__may_retry(q->h, c, q->now_ms) != CN_RETRY_MAY)
		return false;
	*ret = at > q->now_ms ? wait_for(at, class) : try_it(c, true);
	return true;
}

/* Whether the last failure asks for the same candidate; *ret then says how. */
static bool same_again(const struct quest *q, struct cn_next *ret)
{
	const struct cn_tried *last = &q->tried[q->n_tried - 1];
	const struct cn_candidate *c = in_plan(q, last->candidate);
	struct cn_readiness r;

	if (!c || tries_of(q, c) >= CN_TRIES)
		return false;
	if (is_loading(last)) {
		r = cn_health_ready_at(q->h, c, q->now_ms);
		if (r.at_ms > q->deadline_ms)
			return false;
		*ret =
		    r.at_ms > q->now_ms ? wait_for(r.at_ms, last->class) : try_it(c, false);
		return true;
	}
	if (wants_repair(last) || (is_free(last) && tries_of(q, c) == 0)) {
		if (!ready_now(q, c))
			return false;
		*ret = try_it(c, false);
		ret->repair = wants_repair(last);
		return true;
	}
	if (q->plan->resuming && last->class != CN_CLASS_WEAK)
		return false;
	switch (last->class) {
	case CN_CLASS_EMPTY:
	case CN_CLASS_MALFORMED_STREAM:
	case CN_CLASS_WEAK:
		if (!ready_now(q, c) ||
		    cn_health__may_retry(q->h, c, q->now_ms) != CN_RETRY_MAY)
			return false;
		*ret = try_it(c, true);
		return true;
	case CN_CLASS_SERVER_ERROR:
		if (last->outcome && last->outcome->delta_seen)
			return false;
		return repeat_later(q, c, last->class, ret);
	case CN_CLASS_OVERLOADED:
	case CN_CLASS_TIMEOUT_CONNECT:
		return repeat_later(q, c, last->class, ret);
	default:
		return false;
	}
}

/* ---- the next one ---- */

/* The best so far of each kind. */
struct choice {
	const struct cn_candidate *ready, *breaker;
	unsigned ready_tries, breaker_tries;
	uint64_t wake_ms, back_ms; /* UINT64_MAX: none */
	enum cn_class because;
};

static void consider(const struct quest *q, const struct cn_candidate *c, struct choice *ch)
{
	struct cn_readiness r = cn_health_ready_at(q->h, c, q->now_ms);
	unsigned tries = tries_of(q, c);
	uint64_t wake = r.at_ms;

	if (tries > 0) {
		enum cn_retry may = cn_health__may_retry(q->h, c, q->now_ms);

		if (may == CN_RETRY_NEVER)
			return;
		if (may == CN_RETRY_LATER && r.at_ms < q->now_ms + CN_RELOOK_MS) {
			r.at_ms = wake = q->now_ms + CN_RELOOK_MS;
			r.because = CN_CLASS_OVERLOADED;
			r.only_breaker = false;
		}
	}
	if (r.at_ms <= q->now_ms) {
		if (!ch->ready || tries < ch->ready_tries) {
			ch->ready = c;
			ch->ready_tries = tries;
		}
		return;
	}
	if (r.only_breaker && (!ch->breaker || tries < ch->breaker_tries)) {
		ch->breaker = c;
		ch->breaker_tries = tries;
	}
	/* A probe that succeeds frees the place long before its lease ends. */
	if (cn_health__leased(q->h, c, q->now_ms) && wake > q->now_ms + CN_RELOOK_MS)
		wake = q->now_ms + CN_RELOOK_MS;
	if (wake < ch->wake_ms) {
		ch->wake_ms = wake;
		ch->back_ms = r.at_ms;
		ch->because = r.because;
	}
}

static struct cn_next choose(const struct quest *q)
{
	struct choice ch = {.wake_ms = UINT64_MAX, .back_ms = UINT64_MAX};
	struct cn_next next;

	for (size_t i = 0; i < q->plan->n; i++) {
		const struct cn_candidate *c = &q->plan->candidates[i];

		if (ruled_out(q, c) == CN_NOT_OUT)
			consider(q, c, &ch);
	}
	if (ch.ready)
		return try_it(ch.ready, ch.ready_tries > 0);
	if (ch.breaker)
		return try_it(ch.breaker, ch.breaker_tries > 0);
	if (ch.wake_ms <= q->deadline_ms && ch.wake_ms != UINT64_MAX) {
		next = wait_for(ch.wake_ms, ch.because);
		add_holds(q, &next);
		next.ready_at_ms = ch.wake_ms;
		return next;
	}
	return none(q);
}

/* Whether the last failure ends the plan, whoever else could be tried. */
static bool ends_plan(const struct quest *q)
{
	const struct cn_tried *last = &q->tried[q->n_tried - 1];
	const struct cn_outcome *o = last->outcome;
	bool first = q->plan->n && last->candidate->model->backend ==
	                               q->plan->candidates[0].model->backend;

	if (last->class == CN_CLASS_OK || last->class == CN_CLASS_CANCELLED)
		return true;
	/* What a later backend cannot take says nothing of the request. */
	if (o && o->no_retry && first && !q->plan->resuming)
		return true;
	if (q->plan->once && last->class != CN_CLASS_TIMEOUT_CONNECT && !is_free(last))
		return true;
	/* "Next model, once": twice is no accident. */
	if ((last->class == CN_CLASS_LOOP || last->class == CN_CLASS_DAMAGED) &&
	    times_of(q, last->class) > 1)
		return true;
	return last->class == CN_CLASS_WEAK && times_of(q, CN_CLASS_WEAK) > 1;
}

struct cn_next cn_plan_next(const struct cn_plan *plan, const struct cn_health *h,
                            const struct cn_tried *tried, size_t n_tried, uint64_t now_ms,
                            uint64_t deadline_ms)
{
	struct quest q = {plan, h, tried, n_tried, now_ms, deadline_ms};
	const struct cn_tried *last;
	struct cn_next next;
	bool on;

	if (plan->n == 0)
		return none(&q);
	if (n_tried == 0)
		return choose(&q);
	last = &tried[n_tried - 1];
	if (ends_plan(&q) || tries_in_all(&q) >= plan->n + CN_EXTRA_ATTEMPTS)
		return none(&q);
	/* What is not listed is not tried elsewhere; mending the request is not that. */
	/* What was begun says more of the request than a refusal in the middle of it. */
	on = plan->resuming || plan->fallback->on & (UINT32_C(1) << last->class);
	if ((on || wants_repair(last) || is_free(last)) && same_again(&q, &next))
		return next;
	return on ? choose(&q) : none(&q);
}
