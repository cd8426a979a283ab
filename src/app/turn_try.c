/*
 * From a candidate to an attempt: the client's request made into the one this backend gets.
 *
 * A backend of the same wire format gets the client's bytes but for the model id and what
 * the policy demands.  Runs on the turn's worker; owns nothing: everything is in the turn's
 * arena.
 */
#include "turn_impl.h"

#include "continuo/clock.h"

#include <stdio.h>

/* What a translated request takes at most, as times the client's: its short strings are
 * copied, some of them escaped once more, and each block has a record beside it. */
#define CN_SENT_TIMES 4
#define CN_ROOM_FAIR  8192 /* tokens: most answers are shorter */
#define CN_ROOM_LEAST 1024

const char *cn_turn__name(struct cn_turn *t, const struct cn_candidate *c)
{
	return cn_arena_printf(&t->arena, "%s/%s", c->model->backend->name, c->model->name);
}

/* The id that the backend is asked for. */
struct cn_view cn_turn__model_id(const struct cn_turn *t, const struct cn_model *m)
{
	return m->id ? cn_view_str(m->id) : t->req.model;
}

const struct cn_author *cn_turn__author(struct cn_turn *t)
{
	struct cn_author *a = cn_arena_new(&t->arena, struct cn_author);

	a->model = cn_turn__name(t, t->candidate);
	a->issuer = cn_turn__issuer(t).p;
	a->window = t->candidate->model->context;
	return a;
}

/* ---- the request ---- */

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return b && b < a ? b : a;
}

/*
 * What the prompt leaves of the window for an answer; 0: not known, or too little to say.
 * Estimates may be a quarter too high: where that would leave next to nothing it is
 * assumed.
 */
static uint64_t room_of(const struct cn_turn *t, uint64_t learned_window)
{
	uint64_t window = t->candidate->model->context;
	uint64_t prompt = t->req.estimate + cn_splice_spent(t->splice);
	uint64_t most, room;

	if (learned_window && (!window || learned_window < window))
		window = learned_window;
	room = window > prompt ? window - prompt : 0;
	prompt -= prompt / 5;
	most = window > prompt ? window - prompt : 0;
	if (room < CN_ROOM_FAIR)
		room = most < CN_ROOM_FAIR ? most : CN_ROOM_FAIR;
	return room < CN_ROOM_LEAST ? 0 : room;
}

/* What this model may write at most; 0: as the client said. */
static uint64_t output_limit(const struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	const struct cn_route *route = t->plan.route;
	uint64_t n = cn_turn__tokens_left(t);
	struct cn_learned learned;

	uv_mutex_lock(&sh->health_lock);
	learned = cn_health_learned(sh->health, t->candidate);
	uv_mutex_unlock(&sh->health_lock);
	n = smaller(n, route ? route->max_tokens : 0);
	n = smaller(n, t->candidate->model->max_output);
	n = smaller(n, learned.ceiling);
	/* The backend's own word on what fits is better than ours. */
	if (t->repair.repair == CN_REPAIR_MAX_TOKENS)
		return smaller(n, t->repair.limit);
	return smaller(n, room_of(t, learned.window));
}

/* A thinking budget has to leave room for an answer; backends refuse it otherwise. */
static bool thinking_fits(const struct cn_turn *t, uint64_t max_tokens)
{
	const struct cn_member *m = cn_request_member(&t->req, "thinking");
	uint64_t budget = 0;

	return !m || !cn_json_u64(cn_json_get(m->value, "budget_tokens"), &budget) ||
	       budget < max_tokens;
}

static bool streams(const struct cn_turn *t)
{
	const struct cn_model *m = t->candidate->model;

	switch (m->stream) {
	case CN_STREAM_ALWAYS:
		return true;
	case CN_STREAM_NEVER:
		return false;
	case CN_STREAM_OVER:
		return output_limit(t) > m->stream_over;
	}
	return true;
}

const char *const *cn_try__dropped(struct cn_arena *a, const struct cn_model *m,
                                   bool thinks, struct cn_view refused, size_t *retn)
{
	const char **v = cn_arena_zalloc(a, (m->n_drop_fields + 3) * sizeof(char *));
	size_t n = 0;

	for (size_t i = 0; i < m->n_drop_fields; i++)
		v[n++] = m->drop_fields[i];
	if (refused.n)
		v[n++] = cn_arena_dup(a, refused);
	/* What clears thinking is refused where nothing thinks.  How the other format says
	 * whether to think is its encoder's. */
	if (!thinks || (!m->thinking && m->backend->wire == CN_WIRE_ANTHROPIC)) {
		v[n++] = "thinking";
		v[n++] = "context_management";
	}
	*retn = n;
	return v;
}

/* One thread of one session: what it asks begins alike from turn to turn. */
static struct cn_view thread_name(struct cn_turn *t)
{
	const struct cn_request *r = &t->req;

	if (!r->agent.n || !r->session.n)
		return r->session;
	return cn_view_str(cn_arena_printf(&t->arena, "%.*s/%.*s", CN_VIEW_ARG(r->session),
	                                   CN_VIEW_ARG(r->agent)));
}

void cn_turn__forget_sent(struct cn_turn *t)
{
	cn_arena_done(&t->sent);
	cn_charge_release(&t->worker->shared->charge, t->sent_bytes);
	t->sent_bytes = 0;
}

/* Of what came into the format later: what every backend of it knows instead. */
#define CN_PLAIN                                                                          \
	(cn_quirk_bit(CN_QUIRK_NO_SYSTEM_MESSAGES) |                                      \
	 cn_quirk_bit(CN_QUIRK_NO_DEFERRED_TOOLS) | cn_quirk_bit(CN_QUIRK_NO_DOCUMENTS) | \
	 cn_quirk_bit(CN_QUIRK_PLAIN_BLOCKS))

/*
 * How this model deviates: what is known of it, and what it said itself.  One that checks
 * signatures signs what the client sends as it is: what it refused once is tried again.
 */
static uint64_t quirks_of(const struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	const struct cn_model *m = t->candidate->model;
	struct cn_learned learned;

	if (t->repair.repair == CN_REPAIR_PLAIN)
		return m->quirks | CN_PLAIN;
	uv_mutex_lock(&sh->health_lock);
	learned = cn_health_learned(sh->health, t->candidate);
	uv_mutex_unlock(&sh->health_lock);
	return learned.plain && !m->backend->checks_signatures ? m->quirks | CN_PLAIN
	                                                       : m->quirks;
}

bool cn_try__was_plain(const struct cn_turn *t)
{
	return (t->asked_quirks & CN_PLAIN) == CN_PLAIN;
}

/* Of the client's own format nearly all is borrowed: it needs no room of its own, but where
 * whole blocks are told in other words. */
static bool is_borrowed(const struct cn_turn *t)
{
	return t->candidate->model->backend->wire == CN_WIRE_ANTHROPIC &&
	       !(t->asked_quirks & CN_PLAIN);
}

/* Room for the request in a backend's own words; false: there is none. */
static bool charge_sent(struct cn_turn *t)
{
	size_t bytes = CN_SENT_TIMES * t->body.n;

	cn_turn__forget_sent(t);
	if (is_borrowed(t))
		return true;
	if (!cn_charge_take(&t->worker->shared->charge, bytes))
		return false;
	t->sent_bytes = bytes;
	return true;
}

static struct cn_slices encode(struct cn_turn *t, bool stream)
{
	const struct cn_model *m = t->candidate->model;
	struct cn_arena *to = is_borrowed(t) ? &t->arena : &t->sent;
	uint64_t limit = output_limit(t);
	bool prefill =
	    cn_splice_continuing(t->splice) && cn_turn__how(t) == CN_RESUME_PREFILL;
	const struct cn_prompt *prompt = cn_policy_prompt(t->plan.route, m);
	struct cn_view refused = {NULL, 0};
	struct cn_recipient whose =
	    cn_recipient__of(to, t->worker->shared, t->candidate, t->owner, t->req.model);
	struct cn_edit edit = {
	    .model = m->id ? cn_view_str(m->id) : (struct cn_view){NULL, 0},
	    .stream = stream,
	    .max_tokens = limit == t->req.max_tokens ? 0 : limit,
	    .effort = cn_view_str(t->plan.route ? t->plan.route->effort : NULL),
	    .add = m->add_fields,
	    .n_add = m->n_add_fields,
	    .quirks = t->asked_quirks,
	    .images = m->images,
	    .session = thread_name(t),
	    .prompt_how = prompt ? prompt->how : CN_PROMPT_NONE,
	    .prompt = prompt ? prompt->text : (struct cn_view){NULL, 0},
	    .drop_thinking = cn_recipient__drop_thinking,
	    .call_id = cn_recipient__call_id,
	    .self = &whose,
	};

	if (t->repair.repair == CN_REPAIR_FIELD)
		refused = t->repair.repair_field;
	whose.no_thinking = t->repair.repair == CN_REPAIR_THINKING;
	t->asked_tokens = limit;
	if (cn_splice_continuing(t->splice))
		cn_turn__edit_resume(t, &edit);
	/* A prefill is the answer's own text: nothing can be thought before it any more.
	 * And where a call of this turn has lost its thinking no more of it is taken. */
	edit.drop = cn_try__dropped(
	    &t->arena, m, !prefill && !whose.no_thinking && thinking_fits(t, limit),
	    refused, &edit.n_drop);
	return cn_dialect_of(m->backend->wire)->encode(to, &t->req, &edit);
}

/* What reading the answer takes. */
static struct cn_decode_hints hints(const struct cn_turn *t)
{
	const struct cn_member *stop = cn_request_member(&t->req, "stop_sequences"),
			       *choice = cn_request_member(&t->req, "tool_choice");
	struct cn_json one = {.kind = CN_JSON_NONE};

	if (choice)
		one = cn_json_get(choice->value, "disable_parallel_tool_use");
	return (struct cn_decode_hints){
	    .tools = t->req.tools,
	    .stop_sequences = stop ? stop->value : (struct cn_json){.kind = CN_JSON_NONE},
	    .tool_format = t->candidate->model->tool_format,
	    .input_estimate = t->req.estimate,
	    .quirks = t->candidate->model->quirks,
	    .thinking = t->req.thinking,
	    .one_call = one.kind == CN_JSON_TRUE,
	};
}

static void failed_before_start(const struct cn_turn *t, const struct cn_error *err,
                                struct cn_outcome *ret)
{
	const struct cn_policy_key *key = t->candidate->key;

	*ret = (struct cn_outcome){
	    .class = CN_CLASS_AUTH,
	    .scope = CN_SCOPE_KEY,
	    .reason = "the key cannot be used here",
	};
	/* A client without a credential says nothing about anyone else's. */
	if (key->kind == CN_KEY_CLIENT) {
		ret->no_cooldown = true;
		ret->scope = CN_SCOPE_NONE;
		ret->reason = "the client sent no credential of its own";
	}
	cn_log(&t->log, CN_LOG_WARNING, "key not usable", CN_STR(KEY, key->name),
	       CN_STR(BACKEND, t->candidate->model->backend->name),
	       CN_STR(ERROR, err->message));
}

bool cn_turn__try(struct cn_turn *t, struct cn_attempt_owner owner,
                  struct cn_outcome *retfail)
{
	const struct cn_fallback *f = t->plan.fallback;
	const struct cn_backend *b = t->candidate->model->backend;
	struct cn_credential *credential = cn_arena_new(&t->arena, struct cn_credential);
	struct cn_view drop_beta = {NULL, 0};
	struct cn_upstream_field *fields;
	struct cn_error err = {0};
	size_t n_fields;

	t->asked_quirks = quirks_of(t);
	if (!charge_sent(t)) {
		*retfail = (struct cn_outcome){.class = CN_CLASS_MALFORMED_STREAM,
		                               .no_cooldown = true,
		                               .reason = "the memory budget is used up"};
		return false;
	}
	if (t->repair.repair == CN_REPAIR_FIELD)
		drop_beta = t->repair.repair_field;
	*credential = (struct cn_credential){t->worker->shared->vault, &t->forward, b,
	                                     t->candidate->key};
	cn_forward__fields(&t->arena, &t->forward, b, drop_beta, &fields, &n_fields);
	struct cn_attempt_opts opts = {
	    .backend = b,
	    .path = cn_backend_path(b),
	    .query = cn_forward__query(&t->forward, b),
	    .body = encode(t, streams(t)),
	    .fields = fields,
	    .n_fields = n_fields,
	    .credential = cn_forward__credential,
	    .credential_self = credential,
	    .stream = streams(t),
	    .hints = hints(t),
	    .own_body =
		b == t->plan.candidates[0].model->backend && b->wire == CN_WIRE_ANTHROPIC,
	    .output_ceiling = t->candidate->model->max_output,
	    .connect_timeout_ms = f->connect_timeout_ms,
	    .first_byte_timeout_ms = f->first_byte_timeout_ms,
	    .idle_timeout_ms = f->idle_timeout_ms,
	    .progress_timeout_ms = f->progress_timeout_ms,
	    .attempt_timeout_ms = f->attempt_timeout_ms,
	    .owner = owner,
	};

	if (cn_attempt_start(t->worker->upstreams, &opts, &t->attempt, &err) == 0)
		return true;
	failed_before_start(t, &err, retfail);
	return false;
}
