/*
 * A turn's birth: from a whole request to a plan.  What is wrong with the request itself is
 * answered here and no turn begins.
 *
 * Runs on the turn's worker.  It may have to wait for two pool jobs: a large body's
 * reading, until which there is a cn_turn but no turn, and the store's word on thinking
 * signatures that this program has not seen yet.
 */
#include "turn_impl.h"

#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/ids.h"

#include <stdio.h>
#include <stdlib.h>

#define CN_MEMORY_FULL 75 /* per cent of the memory limit: no new turns */

void cn_turn__free(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;

	cn_assert(!t->attempt && !t->counted);
	cn_pressure__leave(&t->weight);
	cn_records__free(t);
	t->splice = cn_splice_free(t->splice);
	t->smooth = cn_smooth_free(t->smooth);
	cn_turn__forget_sent(t);
	cn_charge_release(&sh->charge, t->body.n + t->resume_bytes);
	cn_buf_done(&t->body);
	cn_token__unref(t->token);
	cn_policy_unref(t->policy);
	cn_arena_done(&t->arena);
	free(t);
}

/* Also the client's own patience says how long it may be held without a head. */
static void set_times(struct cn_turn *t)
{
	const struct cn_fallback *f = t->plan.fallback;
	uint64_t patience = CN_CLIENT_MS;

	if (t->forward.timeout_ms && t->forward.timeout_ms < patience)
		patience = t->forward.timeout_ms;
	t->open_early_ms =
	    t->started_ms + (f->hold_ping_after_ms ? f->hold_ping_after_ms
	                     : patience / 2 > patience - 30000 || patience < 30000
	                         ? patience / 2
	                         : patience - 30000);
	t->deadline_ms = f->max_wait_ms == CN_FOREVER
	                     ? UINT64_MAX
	                     : t->started_ms + CN_TURN_MS + f->max_wait_ms;
}

static struct cn_turn *turn_new(struct cn_client *client, const struct cn_head *head,
                                struct cn_buf body)
{
	struct cn_turn *t = cn_zalloc(sizeof(*t));
	struct cn_worker *w = client->worker;

	cn_list_init(&t->link);
	cn_list_init(&t->weight.link);
	t->worker = w;
	t->client = client;
	t->body = body;
	t->policy = cn_shared__policy(w->shared);
	t->token = client->token ? cn_token__ref(client->token) : NULL;
	t->number = atomic_fetch_add(&w->shared->turn_numbers, 1) + 1;
	t->started_ms = cn_clock_ms();
	t->started_wall_ms = cn_clock_wall_ms();
	t->request_id = cn_id_request(&t->arena);
	t->owner = cn_arena_view(&t->arena, t->token ? cn_view_str(t->token->owner)
	                                             : CN_VIEW("local"));
	snprintf(t->log.prefix, sizeof(t->log.prefix), "t%lu", t->number);
	t->tried = cn_arena_zalloc(&t->arena, CN_ATTEMPTS_MAX * sizeof(*t->tried));
	t->outcomes = cn_arena_zalloc(&t->arena, CN_ATTEMPTS_MAX * sizeof(*t->outcomes));
	t->records = cn_arena_zalloc(&t->arena, CN_ATTEMPTS_MAX * sizeof(*t->records));
	cn_reading__keep_head(&t->arena, head, &t->kept);
	t->wants_trailers = head->trailers;
	cn_forward__read(&t->arena, head, cn_forward__token(head), &t->forward);
	return t;
}

/* The request refused before it was a turn: an answer, and nothing else happened. */
static void refuse(struct cn_turn *t, int status, const char *type, struct cn_view message,
                   uint64_t retry_after_s)
{
	cn_log(&t->log, CN_LOG_INFO, "request refused", CN_NUM(STATUS, status),
	       CN_TEXT(REASON, message));
	cn_count(CN_CT_REFUSED);
	cn_answer__error(t->client->conn, status, type, message, retry_after_s, false);
	cn_turn__free(t);
}

static int make_plan(struct cn_turn *t, struct cn_error *err)
{
	struct cn_shared *sh = t->worker->shared;
	struct cn_match_input in = {.request = &t->req,
	                            .owner = t->owner,
	                            .header = cn_reading__header,
	                            .self = &t->kept,
	                            .minute_of_day = cn_clock_minute_of_day()};
	int bad;

	if (t->token && t->token->chain[0]) {
		t->token_chain = cn_policy_chain(t->policy, cn_view_str(t->token->chain));
		if (!t->token_chain)
			return cn_fail(
			    err, CN_E_NOT_FOUND,
			    "the chain '%s' of this client is not in the policy any more",
			    t->token->chain);
	}
	uv_mutex_lock(&sh->health_lock);
	bad = cn_plan_make(&t->arena, t->policy, t->token_chain, &in, sh->health, t->number,
	                   &t->plan, err);
	uv_mutex_unlock(&sh->health_lock);
	return bad;
}

/*
 * The door has asked for the day and the token; only now the session is known for certain,
 * and there is a plan that may have to begin further down.  False: refused.
 */
static bool within_budget(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	struct cn_spender who = cn_turn__spender(t);
	struct cn_budget_word word;
	uint64_t wall_ms = cn_clock_wall_ms(), again_s;

	cn_usage__ask(sh->usages, t->policy, t->token, &who, wall_ms, &word);
	if (word.stop) {
		char message[200];

		again_s = cn_usage__refusal(&word, wall_ms, message, sizeof(message));
		refuse(t, 429, "rate_limit_error", cn_view_str(message), again_s);
		return false;
	}
	cn_plan_degrade(&t->plan, word.degrade);
	return true;
}

/* ---- signatures that only the store knows ---- */

struct lookup {
	uv_work_t work;
	struct cn_turn *turn; /* kept alive by its handles count */
	struct cn_hash *ids;  /* owned */
	size_t n;
};

/* Pool. */
static void lookup_run(uv_work_t *work)
{
	struct lookup *l = work->data;
	struct cn_shared *sh = l->turn->worker->shared;

	for (size_t i = 0; i < l->n; i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_view model = {NULL, 0};

		int rc = cn_store_provenance(sh->store, &a, &l->ids[i], &model, NULL);

		/* "Not there" is a fact; what could not be read is asked for again. */
		if (rc == 0 || rc == CN_E_NOT_FOUND)
			cn_provenance__put(sh->provenance, &l->ids[i],
			                   rc ? CN_VIEW("") : model);
	}
}

static void lookup_after(uv_work_t *work, int status)
{
	struct lookup *l = work->data;
	struct cn_turn *t = l->turn;

	(void)status; /* nothing cancels it; what was not found is not ours */
	free(l->ids);
	free(l);
	t->handles--;
	/* Else it has begun without the answer, or is over. */
	if (t->state == CN_TURN_PLANNING)
		cn_turn__start(t);
	else if (t->handles == 0)
		cn_turn__free(t);
}

/* Notes an origin that the table does not know; cap: of the ids. */
static void note_unknown(struct cn_turn *t, struct lookup *l, const struct cn_hash *id,
                         size_t *cap)
{
	char model[CN_ORIGIN_MAX];

	if (cn_provenance__get(t->worker->shared->provenance, id, model))
		return;
	if (l->n == *cap) {
		*cap = *cap ? 2 * *cap : 16;
		l->ids = cn_realloc(l->ids, *cap * sizeof(struct cn_hash));
	}
	l->ids[l->n++] = *id;
}

/* Collects origins (of thinking, of calls) that the table does not know. */
static void collect_unknown(struct cn_turn *t, struct lookup *l)
{
	size_t cap = 0;
	struct cn_hash id;

	for (size_t i = 0; i < t->req.n_thoughts; i++)
		if (t->req.thoughts[i].has_origin)
			note_unknown(t, l, &t->req.thoughts[i].origin, &cap);
	for (size_t i = 0; i < t->req.n_calls; i++)
		if (cn_turn__origin(t, cn_json_root(t->req.calls[i].block), &id))
			note_unknown(t, l, &id, &cap);
}

static bool look_up(struct cn_turn *t)
{
	struct lookup *l;

	/* Most conversations have nothing to look at. */
	if (!t->worker->shared->store || t->req.n_thoughts + t->req.n_calls == 0)
		return false;
	l = cn_zalloc(sizeof(*l));
	collect_unknown(t, l);
	if (l->n == 0) {
		free(l->ids);
		free(l);
		return false;
	}
	l->turn = t;
	l->work.data = l;
	t->handles++;
	cn_assert(uv_queue_work(&t->worker->loop, &l->work, lookup_run, lookup_after) == 0);
	return true;
}

/* ---- the birth ---- */

static void begin(struct cn_turn *t)
{
	struct cn_splice_opts opts = {
	    .message_id = cn_id_message(&t->arena),
	    .model = t->req.model,
	    .model_answered = t->plan.fallback->report_answered,
	    .tools = t->req.tools,
	    .messages = t->req.messages.raw,
	    .tool_calls_live = t->plan.fallback->tool_calls_live,
	    .gathers = !t->req.stream,
	    .hold_thinking_ms = t->plan.fallback->hold_thinking_ms,
	    .estimate = t->req.estimate,
	    .least = t->req.least_system + t->req.least_rest,
	    .reads_more = t->req.server_tools || t->req.provider_state || t->req.images,
	    .max_tokens = t->req.max_tokens,
	    .charge = &t->worker->shared->charge,
	};

	t->splice = cn_splice_new(&opts);
	t->resumes_left = CN_RESUMES_MAX;
	set_times(t);
	t->client->turn = t;
	cn_list_append(&t->worker->turns, &t->link);
	t->timer.data = t;
	t->handles++;
	uv_timer_init(&t->worker->loop, &t->timer);
	cn_count(CN_CT_TURNS);
	/* Before it is charged for: another worker may look in between. */
	cn_pressure__join(&t->weight, t->worker, 2 * t->body.n);
	cn_records__begin(t);
	atomic_store(&t->weight.bytes, cn_records__weight(t));
	cn_pressure__look(t->worker->shared);
	if (look_up(t))
		cn_turn__await(t);
	else
		cn_turn__start(t);
}

/* The body was read, as far as it could be. */
static void decide(struct cn_turn *t, int bad, struct cn_error *err)
{
	if (!bad && !t->req.has_max_tokens)
		bad = cn_fail(err, CN_E_INVALID, "max_tokens: Field required");
	if (bad) {
		refuse(t, 400, "invalid_request_error", cn_view_str(err->message), 0);
	} else if (make_plan(t, err)) {
		char message[sizeof(err->message) + 16];

		snprintf(message, sizeof(message), "continuo: %s", err->message);
		refuse(t, 404, "not_found_error", cn_view_str(message), 0);
	} else if (within_budget(t)) {
		begin(t);
	}
}

static void on_read(void *self, struct cn_client *client, int bad, struct cn_error *err)
{
	struct cn_turn *t = self;

	if (client)
		decide(t, bad, err);
	else
		cn_turn__free(t);
}

static void read_body(struct cn_turn *t)
{
	const struct cn_kept_head *head = &t->kept;
	struct cn_error err = {0};
	struct cn_reading reading = {
	    .arena = &t->arena,
	    .vault = t->worker->shared->vault,
	    .body = cn_buf_view(&t->body),
	    .owner = t->owner,
	    .ids = {.session = cn_reading__header(head, "x-claude-code-session-id"),
	            .agent = cn_reading__header(head, "x-claude-code-agent-id"),
	            .parent_agent =
	                cn_reading__header(head, "x-claude-code-parent-agent-id")},
	    .req = &t->req,
	    .on_read = on_read,
	    .self = t,
	};

	if (!cn_reading__queue(t->client, &reading))
		decide(t, cn_reading__run(&reading, &err), &err);
}

void cn_turn__begin(struct cn_client *client, const struct cn_head *head,
                    struct cn_buf body)
{
	struct cn_turn *t = turn_new(client, head, body);
	struct cn_shared *sh = t->worker->shared;

	if (atomic_load(&sh->draining)) {
		refuse(t, 529, "overloaded_error",
		       CN_VIEW("continuo: the router is stopping"), CN_STOP_RETRY_S);
	} else if (cn_charge_percent(&sh->charge) >= CN_MEMORY_FULL) {
		refuse(t, 529, "overloaded_error",
		       CN_VIEW("continuo: the router is out of memory for requests"),
		       CN_MEMORY_RETRY_S);
	} else {
		read_body(t);
	}
}
