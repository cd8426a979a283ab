/*
 * The answer when no candidate is left (wire/fallback-rules.md 5): one pass over what was
 * tried and what holds the rest, then the first situation of the table that applies.
 *
 * Owns nothing: the message is in the turn's arena.  Any thread.  It writes no backend's
 * words into a message of ours, and passes a backend's body on only where the client's own
 * repairs or its login need it.
 */
#include "continuo/ending.h"

#include <inttypes.h>

#include "continuo/clock.h"
#include "route_impl.h"

#define SOON_S      59u  /* the longest retry-after that the client waits out */
#define ROUNDS_S    600u /* so long it comes back in rounds of 59 s */
#define TRANSPORT_S 5u
#define LISTED      12u /* attempts in a message */

#define BIT(class) (UINT32_C(1) << CN_CLASS_##class)

/* What went wrong: one bit for each class, of attempts and of what holds the others. */
struct summary {
	uint32_t classes;
	uint64_t wait_s; /* until the earliest is back, rounded up; 0: now or never */
	bool comes_back; /* wait_s means something */
	const struct cn_outcome *own;      /* the client's request was refused by its own */
	const struct cn_outcome *overflow; /* the last prompt that did not fit */
	const struct cn_outcome *ceiling;
	const struct cn_outcome *refused_key;
	uint64_t window; /* the largest of the chain */
};

static bool first_backend(const struct cn_ending_input *in, size_t i)
{
	const struct cn_plan *p = in->plan;

	return p->n &&
	       in->tried[i].candidate->model->backend == p->candidates[0].model->backend;
}

static bool speaks_clients(const struct cn_ending_input *in, size_t i)
{
	return in->tried[i].candidate->model->backend->wire == CN_WIRE_ANTHROPIC;
}

/* Every candidate uses the client's own credential: its account is the whole chain. */
static bool only_client_key(const struct cn_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->candidates[i].key->kind != CN_KEY_CLIENT)
			return false;
	}
	return p->n > 0;
}

/* Whether a later attempt at the same candidate replaced this one. */
static bool replaced(const struct cn_ending_input *in, size_t i)
{
	for (size_t j = i + 1; j < in->n; j++) {
		if (in->tried[j].candidate->model == in->tried[i].candidate->model &&
		    in->tried[j].candidate->key == in->tried[i].candidate->key)
			return true;
	}
	return false;
}

static void add_attempt(struct summary *s, const struct cn_ending_input *in, size_t i)
{
	const struct cn_outcome *o = &in->outcomes[i];

	switch (o->class) {
	case CN_CLASS_INVALID_REQUEST:
		/* What only a later backend cannot take is our business. */
		if (o->no_retry && first_backend(in, i) && o->body.n &&
		    o->http_status >= 400)
			s->own = o;
		break;
	case CN_CLASS_CONTEXT_OVERFLOW:
		s->overflow = o;
		s->window = o->window > s->window ? o->window : s->window;
		break;
	case CN_CLASS_OUTPUT_CEILING:
		s->ceiling = o;
		break;
	case CN_CLASS_AUTH:
		s->refused_key = o;
		break;
	default:
		break;
	}
	s->classes |= UINT32_C(1) << o->class;
}

static struct summary summarise(const struct cn_ending_input *in)
{
	struct summary s = {.window = in->plan->largest_window};

	for (size_t i = 0; i < in->n; i++) {
		if (!replaced(in, i))
			add_attempt(&s, in, i);
	}
	if (in->next) {
		s.classes |= in->next->held;
		if (in->next->ready_at_ms) {
			s.comes_back = true;
			s.wait_s = in->next->ready_at_ms > in->now_ms
			               ? (in->next->ready_at_ms - in->now_ms + 999) / 1000
			               : 0;
		}
	}
	return s;
}

/* Whether all that went wrong is of the given classes, and something did. */
static bool all_of(const struct summary *s, uint32_t classes)
{
	return s->classes && !(s->classes & ~classes);
}

/* ---- words ---- */

static void add_seconds(struct cn_buf *b, uint64_t s)
{
	if (s < 120)
		cn_buf_printf(b, "%" PRIu64 " s", s);
	else if (s < 7200)
		cn_buf_printf(b, "%" PRIu64 " min", (s + 59) / 60);
	else
		cn_buf_printf(b, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
}

static void add_name(struct cn_buf *b, const struct cn_candidate *c)
{
	cn_buf_printf(b, "%s/%s", c->model->backend->name, c->model->name);
}

/* "anthropic/opus 529", "other/big 429 (12 s)", "local/small timeout_connect". */
static void add_tried(struct cn_buf *b, const struct cn_ending_input *in, size_t i)
{
	const struct cn_outcome *o = &in->outcomes[i];

	add_name(b, in->tried[i].candidate);
	if (o->http_status >= 400)
		cn_buf_printf(b, " %d", o->http_status);
	else
		cn_buf_printf(b, " %s", cn_class_name(o->class));
	if (o->retry_after_ms) {
		cn_buf_add_str(b, " (");
		add_seconds(b, (o->retry_after_ms + 999) / 1000);
		cn_buf_add_char(b, ')');
	}
}

static bool was_tried(const struct cn_ending_input *in, const struct cn_model *m)
{
	for (size_t i = 0; i < in->n; i++) {
		if (in->tried[i].candidate->model == m)
			return true;
	}
	return false;
}

static void add_list(struct cn_buf *b, const struct cn_ending_input *in)
{
	const struct cn_plan *p = in->plan;
	const char *sep = ": ";
	size_t from = in->n > LISTED ? in->n - LISTED : 0;

	for (size_t i = from; i < in->n; i++, sep = ", ") {
		cn_buf_add_str(b, sep);
		add_tried(b, in, i);
	}
	for (size_t i = 0; i < p->n && i < LISTED; i++) {
		if ((i && p->candidates[i].model == p->candidates[i - 1].model) ||
		    was_tried(in, p->candidates[i].model))
			continue;
		cn_buf_add_str(b, sep);
		add_name(b, &p->candidates[i]);
		cn_buf_add_str(b,
		               in->next && in->next->held ? " cooling down" : " not tried");
		sep = ", ";
	}
	for (size_t i = 0; i < p->n_skipped && i < LISTED; i++, sep = ", ")
		cn_buf_printf(b, "%s%s/%s %s", sep, p->skipped[i].model->backend->name,
		              p->skipped[i].model->name, p->skipped[i].reason);
}

/* The sentence of design: who failed how, and when it is worth coming again. */
static struct cn_view sentence(struct cn_arena *a, const struct cn_ending_input *in,
                               const struct summary *s, const char *what)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_printf(&b, "continuo: all models of chain %s %s", in->plan->chain->name,
	              what);
	add_list(&b, in);
	if (s->comes_back && s->wait_s) {
		cn_buf_add_str(&b, "; next try in ");
		add_seconds(&b, s->wait_s);
		if (s->wait_s > ROUNDS_S && in->wall_ms) {
			cn_buf_add_str(&b, ", at ");
			cn_clock_format(&b, in->wall_ms + s->wait_s * 1000);
		}
	}
	return cn_arena_view(a, cn_buf_view(&b));
}

/* Which backend refused which key; the key's name is no secret. */
static struct cn_view key_sentence(struct cn_arena *a, const struct cn_ending_input *in)
{
	CN_AUTO(cn_buf) b = {0};
	const char *sep = ": ";

	cn_buf_printf(&b, "continuo: no key of chain %s works", in->plan->chain->name);
	for (size_t i = 0; i < in->n; i++) {
		const struct cn_policy_key *k = in->tried[i].candidate->key;

		if (in->outcomes[i].class != CN_CLASS_AUTH)
			continue;
		cn_buf_printf(&b, "%s%s refused %s%s", sep,
		              in->tried[i].candidate->model->backend->name,
		              k->kind == CN_KEY_VAULT ? "vault:" : "the key ",
		              k->kind == CN_KEY_VAULT    ? k->name
		              : k->kind == CN_KEY_CLIENT ? "of the client"
		                                         : "none");
		if (in->outcomes[i].http_status)
			cn_buf_printf(&b, " (%d)", in->outcomes[i].http_status);
		sep = ", ";
	}
	/* Nothing was tried: the keys are held from before. */
	for (size_t i = 0; sep[0] == ':' && i < in->plan->n; i++)
		cn_buf_printf(&b, "%s%s", i ? ", " : ": ",
		              in->plan->candidates[i].model->backend->name);
	return cn_arena_view(a, cn_buf_view(&b));
}

static struct cn_ending say(int status, const char *type, struct cn_view message)
{
	return (struct cn_ending){.status = status, .type = type, .message = message};
}

/* ---- the situations ---- */

static bool pass(struct cn_arena *a, const struct cn_ending_input *in,
                 const struct summary *s, struct cn_ending *ret)
{
	const struct cn_outcome *o = s->own;
	const struct cn_outcome *last = in->n ? &in->outcomes[in->n - 1] : NULL;

	/* Of a subscription's own limit or login the client knows best what to say, in its
	 * own format. */
	if (!o && last && last->body.n && only_client_key(in->plan) &&
	    speaks_clients(in, in->n - 1) &&
	    (last->http_status == 429 || last->http_status == 401))
		o = last;
	if (!o)
		return false;
	*ret = say(o->http_status, o->http_status == 429 ? "rate_limit_error" : "api_error",
	           sentence(a, in, s, "failed"));
	if (o->http_status == 401)
		ret->type = "authentication_error";
	else if (o->class == CN_CLASS_INVALID_REQUEST)
		ret->type = "invalid_request_error";
	ret->passed = o;
	/* As received, so with what was said of when to come again. */
	if (o->http_status == 429)
		ret->retry_after_s = (o->retry_after_ms + 999) / 1000;
	return true;
}

/* "prompt is too long: A tokens > B maximum", which the client answers by compacting. */
static struct cn_ending too_long(struct cn_arena *a, const struct cn_ending_input *in,
                                 const struct summary *s)
{
	uint64_t prompt = in->request ? in->request->estimate : 0, window = s->window;

	/* The wording must hold: what was refused was more than the window. */
	if (window == 0)
		window = prompt > 1 ? prompt - 1 : 1;
	if (prompt <= window)
		prompt = window + 1;
	return say(400, "invalid_request_error",
	           cn_view_str(cn_arena_printf(
		       a, "prompt is too long: %" PRIu64 " tokens > %" PRIu64 " maximum",
		       prompt, window)));
}

static struct cn_ending body_too_large(void)
{
	return say(413, "request_too_large",
	           CN_VIEW("Request exceeds the maximum allowed number of bytes."));
}

static bool size_ending(struct cn_arena *a, const struct cn_ending_input *in,
                        const struct summary *s, struct cn_ending *ret)
{
	const struct cn_outcome *o = s->overflow;
	uint64_t wanted = in->request ? in->request->max_tokens : 0;

	/* What only a later backend cannot take changes nothing about the size. */
	if (!all_of(s, BIT(CONTEXT_OVERFLOW) | BIT(OUTPUT_CEILING) | BIT(INVALID_REQUEST)))
		return false;
	if (o && o->scope == CN_SCOPE_BACKEND) {
		*ret = body_too_large();
		return true;
	}
	if (o && o->repair == CN_REPAIR_MAX_TOKENS && o->window > o->limit + 1) {
		*ret =
		    say(400, "invalid_request_error",
		        cn_view_str(cn_arena_printf(
			    a,
			    "input length and `max_tokens` exceed context limit: %" PRIu64
			    " + %" PRIu64 " > %" PRIu64
			    ", decrease input length or `max_tokens` and try again",
			    o->window - o->limit - 1, wanted, o->window)));
		return true;
	}
	if (o) {
		*ret = too_long(a, in, s);
		return true;
	}
	if (!s->ceiling || !s->ceiling->limit)
		return false;
	*ret = say(400, "invalid_request_error",
	           cn_view_str(cn_arena_printf(a,
	                                       "max_tokens: %" PRIu64 " > %" PRIu64
	                                       ", which is the maximum allowed number of "
	                                       "output tokens",
	                                       wanted, s->ceiling->limit)));
	return true;
}

/* Nothing that waiting would mend: the client ends at once, with a message that says why.
 */
static bool for_good(struct cn_arena *a, const struct cn_ending_input *in,
                     const struct summary *s, struct cn_ending *ret)
{
	if (all_of(s, BIT(BILLING))) {
		*ret = say(402, "billing_error", sentence(a, in, s, "have no money left"));
	} else if (all_of(s, BIT(NOT_FOUND_MODEL))) {
		*ret = say(404, "not_found_error",
		           sentence(a, in, s, "are unknown to their backends"));
	} else if (all_of(s, BIT(AUTH))) {
		*ret = say(403, "permission_error", key_sentence(a, in));
		ret->no_retry = true;
	} else if (all_of(s, BIT(AUTH) | BIT(BILLING) | BIT(NOT_FOUND_MODEL) |
	                         BIT(MISCONFIGURED))) {
		*ret = say(403, "permission_error", sentence(a, in, s, "failed"));
		ret->no_retry = true;
	} else if (all_of(s, BIT(INVALID_REQUEST) | BIT(OUTPUT_CEILING))) {
		/* A foreign 400 would switch features of the client off for good. */
		*ret =
		    say(529, "overloaded_error", sentence(a, in, s, "refused the request"));
		ret->no_retry = true;
	} else {
		return false;
	}
	return true;
}

/* Something will be back: say when, in a form that the client waits for. */
static struct cn_ending for_now(struct cn_arena *a, const struct cn_ending_input *in,
                                const struct summary *s)
{
	uint32_t timeouts = BIT(TIMEOUT_FIRST_BYTE) | BIT(TIMEOUT_IDLE);
	uint32_t transport = timeouts | BIT(TIMEOUT_CONNECT) | BIT(SERVER_ERROR) |
	                     BIT(TRUNCATED_STREAM) | BIT(MALFORMED_STREAM) | BIT(EMPTY) |
	                     BIT(WEAK) | BIT(LOOP) | BIT(DAMAGED);
	/* Waiting mends nothing else; what the others are decides. */
	uint32_t passing =
	    transport | BIT(RATE_LIMITED) | BIT(QUOTA_EXHAUSTED) | BIT(OVERLOADED);
	struct summary live = {.classes = s->classes & passing};
	struct cn_ending e = say(529, "overloaded_error", sentence(a, in, s, "failed"));
	uint64_t wait = s->wait_s ? s->wait_s : 1;

	if (all_of(&live, timeouts)) {
		e.status = 504;
		e.type = "timeout_error";
		return e;
	}
	if (all_of(&live, transport)) {
		e.status = 503;
		e.type = "api_error";
		e.retry_after_s = wait < TRANSPORT_S ? TRANSPORT_S : wait;
		if (e.retry_after_s > SOON_S)
			e.retry_after_s = SOON_S;
		return e;
	}
	if (wait > ROUNDS_S && (s->classes & (BIT(QUOTA_EXHAUSTED) | BIT(RATE_LIMITED)))) {
		e.status = 429;
		e.type = "rate_limit_error";
		e.retry_after_s = wait;
		e.no_retry = true;
		return e;
	}
	e.retry_after_s = !s->comes_back ? TRANSPORT_S : wait < SOON_S ? wait : SOON_S;
	return e;
}

/* A plan without candidates. */
static struct cn_ending unfit(struct cn_arena *a, const struct cn_ending_input *in,
                              const struct summary *s)
{
	struct cn_ending e;
	const struct cn_plan *p = in->plan;

	if (p->too_large) {
		for (size_t i = 0; i < p->n_skipped; i++) {
			if (strcmp(p->skipped[i].reason, "window too small") == 0)
				return too_long(a, in, s);
		}
		return body_too_large();
	}
	e = say(404, "not_found_error", sentence(a, in, s, "cannot take this request"));
	e.no_retry = true;
	return e;
}

void cn_ending_decide(struct cn_arena *a, const struct cn_ending_input *in,
                      struct cn_ending *ret)
{
	struct summary s;

	if (!in->plan || !in->plan->chain) {
		*ret =
		    say(404, "not_found_error",
		        cn_view_str(cn_arena_printf(
			    a, "continuo: no route of the policy takes the model '%.*s'",
			    CN_VIEW_ARG(cn_view_cut(in->request ? in->request->model
		                                                : (struct cn_view){NULL, 0},
		                                    100)))));
		return;
	}
	s = summarise(in);
	if (in->plan->n == 0) {
		*ret = unfit(a, in, &s);
		return;
	}
	if (pass(a, in, &s, ret))
		return;
	if (in->n && in->outcomes[in->n - 1].class == CN_CLASS_CONTENT_REFUSAL &&
	    (!(in->plan->fallback->on & BIT(CONTENT_REFUSAL)) ||
	     all_of(&s, BIT(CONTENT_REFUSAL) | BIT(INVALID_REQUEST)))) {
		*ret = say(200, "invalid_request_error",
		           sentence(a, in, &s, "refused the content"));
		ret->refusal = true;
		return;
	}
	if (size_ending(a, in, &s, ret) || for_good(a, in, &s, ret))
		return;
	*ret = for_now(a, in, &s);
}

struct cn_ending cn_ending_in_stream(struct cn_arena *a, const char *model,
                                     const struct cn_outcome *o)
{
	const char *how = o ? cn_class_name(o->class) : "no model left";
	const char *type =
	    o && o->class == CN_CLASS_SERVER_ERROR ? "api_error" : "overloaded_error";
	struct cn_view message = cn_view_str(
	    cn_arena_printf(a, "continuo: %s broke off (%s) and no other model went on",
	                    model ? model : "the model", how));

	return say(529, type, message);
}
