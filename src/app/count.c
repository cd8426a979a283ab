/*
 * count_tokens: forwarded to the first backend of the chain that has it, else a local
 * estimate.
 *
 * The client sends a couple of dozen of these at once and tolerates anything but a wrong
 * shape; so a failure is never passed on and never cools a model down
 * (wire/fallback-rules.md 1.8). Owns its call; runs on the worker of the connection.
 */
#include "turn_impl.h"

#include "continuo/anthropic.h"
#include "continuo/clock.h"
#include "continuo/ids.h"

#include <stdlib.h>

#define CN_COUNT_TIMEOUT_MS 10000
#define CN_COUNT_ANSWER_MAX ((size_t)65536)

struct cn_count_call {
	struct cn_list link;          /* in the worker's counts */
	struct cn_arena arena;        /* owns every view below */
	struct cn_worker *worker;     /* borrowed */
	struct cn_client *client;     /* borrowed */
	struct cn_policy *policy;     /* one reference */
	const struct cn_chain *chain; /* borrowed from the policy: the token's, or NULL */
	struct cn_buf body;           /* owned; charged */
	struct cn_request req;
	struct cn_forward forward;
	struct cn_credential credential;
	struct cn_attempt *attempt; /* owned; NULL: none under way */
	struct cn_kept_head kept;
	struct cn_view request_id, owner, used;
	struct cn_view answer; /* of the backend */
};

static void call_free(struct cn_count_call *call)
{
	call->attempt = cn_attempt_cancel(call->attempt);
	cn_list_remove(&call->link);
	cn_charge_release(&call->worker->shared->charge, call->body.n);
	cn_buf_done(&call->body);
	cn_policy_unref(call->policy);
	cn_arena_done(&call->arena);
	free(call);
}

void cn_count__gone(struct cn_count_call *call)
{
	call_free(call);
}

/* The backend's figure, or our own estimate; then the call is over. */
static void answer(struct cn_count_call *call)
{
	CN_AUTO(cn_buf) body = {0};
	struct cn_view used = call->used.n ? call->used : CN_VIEW("none");
	struct cn_field fields[] = {
	    {CN_VIEW("content-type"), CN_VIEW("application/json")},
	    {CN_VIEW("request-id"), call->request_id},
	    {CN_VIEW("x-model-used"), used},
	    {CN_VIEW("x-continuo-attempts"), CN_VIEW("")},
	};
	struct cn_client *client = call->client;
	uint64_t n;

	if (call->answer.n && cn_json_check(call->answer, NULL) == 0 &&
	    cn_json_u64(cn_json_get(cn_json_root(call->answer), "input_tokens"), &n)) {
		cn_buf_add_view(&body, call->answer);
	} else {
		fields[2].value = CN_VIEW("none");
		cn_buf_add_char(&body, '{');
		cn_json_add_u64(&body, "input_tokens", call->req.estimate);
		cn_buf_add_char(&body, '}');
	}
	client->count = NULL;
	cn_conn_reply(client->conn, &(struct cn_reply){.status = 200,
	                                               .fields = fields,
	                                               .n_fields = 4,
	                                               .body = cn_buf_view(&body)});
	call_free(call);
}

static void on_raw(void *self, struct cn_view body)
{
	struct cn_count_call *call = self;

	/* A figure is short; what is not is no answer to this. */
	if (body.n <= CN_COUNT_ANSWER_MAX)
		call->answer = cn_arena_view(&call->arena, body);
}

static void on_end(void *self, const struct cn_outcome *outcome)
{
	struct cn_count_call *call = self;

	call->attempt = NULL;
	if (outcome->class != CN_CLASS_OK)
		call->answer = (struct cn_view){NULL, 0};
	answer(call);
}

/* The first candidate whose backend has the endpoint and whose key can be used now. */
static bool forward(struct cn_count_call *call, const struct cn_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct cn_candidate *c = &plan->candidates[i];
		const struct cn_backend *b = c->model->backend;
		const struct cn_prompt *prompt = cn_policy_prompt(plan->route, c->model);
		struct cn_recipient to = cn_recipient__of(
		    &call->arena, call->worker->shared, c, call->owner, call->req.model);
		/* As a turn's, but for what says how to answer. */
		struct cn_edit edit = {
		    .model = cn_view_str(c->model->id),
		    .keep_stream = true,
		    .quirks = c->model->quirks,
		    .images = c->model->images,
		    .prompt_how = prompt ? prompt->how : CN_PROMPT_NONE,
		    .prompt = prompt ? prompt->text : (struct cn_view){NULL, 0},
		    .drop_thinking = cn_recipient__drop_thinking,
		    .call_id = cn_recipient__call_id,
		    .self = &to,
		};
		struct cn_attempt_opts opts = {
		    .backend = b,
		    .path = "/v1/messages/count_tokens",
		    .query = call->forward.query,
		    .credential = cn_forward__credential,
		    .credential_self = &call->credential,
		    .raw = true,
		    .connect_timeout_ms = CN_COUNT_TIMEOUT_MS,
		    .first_byte_timeout_ms = CN_COUNT_TIMEOUT_MS,
		    .idle_timeout_ms = CN_COUNT_TIMEOUT_MS,
		    .progress_timeout_ms = CN_COUNT_TIMEOUT_MS,
		    .attempt_timeout_ms = CN_COUNT_TIMEOUT_MS,
		    .owner = {.on_end = on_end, .self = call},
		    .on_raw = on_raw,
		};
		struct cn_upstream_field *fields;

		edit.drop = cn_try__dropped(&call->arena, c->model, true,
		                            (struct cn_view){NULL, 0}, &edit.n_drop);
		if (!b->count_tokens || b->wire != CN_WIRE_ANTHROPIC)
			continue;
		call->credential = (struct cn_credential){call->worker->shared->vault,
		                                          &call->forward, b, c->key};
		cn_forward__fields(&call->arena, &call->forward, b,
		                   (struct cn_view){NULL, 0}, &fields, &opts.n_fields);
		opts.fields = fields;
		opts.body = cn_anthropic_encode_request(&call->arena, &call->req, &edit);
		if (cn_attempt_start(call->worker->upstreams, &opts, &call->attempt, NULL))
			continue;
		call->used = cn_view_str(
		    cn_arena_printf(&call->arena, "%s/%s", b->name, c->model->name));
		return true;
	}
	return false;
}

static int make_plan(struct cn_count_call *call, struct cn_plan *ret)
{
	struct cn_shared *sh = call->worker->shared;
	struct cn_match_input in = {.request = &call->req,
	                            .owner = call->owner,
	                            .header = cn_reading__header,
	                            .self = &call->kept,
	                            .minute_of_day = cn_clock_minute_of_day()};
	int bad;

	uv_mutex_lock(&sh->health_lock);
	bad = cn_plan_make(&call->arena, call->policy, call->chain, &in, sh->health, 0, ret,
	                   NULL);
	uv_mutex_unlock(&sh->health_lock);
	return bad;
}

/* The body was read, as far as it could be. */
static void decide(struct cn_count_call *call, int bad, const struct cn_error *err)
{
	struct cn_plan plan = {0};

	if (bad) {
		cn_answer__error(call->client->conn, 400, "invalid_request_error",
		                 cn_view_str(err->message), 0, false);
		call_free(call);
		return;
	}
	call->client->count = call;
	/* A worker that closes has no transfers any more. */
	if (call->worker->stage == CN_WORKER_CLOSING || make_plan(call, &plan) ||
	    !forward(call, &plan))
		answer(call);
}

static void on_read(void *self, struct cn_client *client, int bad, struct cn_error *err)
{
	struct cn_count_call *call = self;

	if (client)
		decide(call, bad, err);
	else
		call_free(call);
}

void cn_count__begin(struct cn_client *client, const struct cn_head *head,
                     struct cn_buf body)
{
	struct cn_count_call *call = cn_zalloc(sizeof(*call));
	struct cn_worker *w = client->worker;
	const struct cn_token *token = client->token;
	struct cn_reading reading = {.arena = &call->arena,
	                             .vault = w->shared->vault,
	                             .body = cn_buf_view(&body),
	                             .req = &call->req,
	                             .on_read = on_read,
	                             .self = call};
	struct cn_error err = {0};

	cn_list_init(&call->link);
	cn_list_append(&w->counts, &call->link);
	call->worker = w;
	call->client = client;
	call->body = body;
	call->policy = cn_shared__policy(w->shared);
	if (token && token->chain[0])
		call->chain = cn_policy_chain(call->policy, cn_view_str(token->chain));
	call->request_id = cn_id_request(&call->arena);
	call->owner = cn_arena_view(&call->arena,
	                            token ? cn_view_str(token->owner) : CN_VIEW("local"));
	cn_reading__keep_head(&call->arena, head, &call->kept);
	cn_forward__read(&call->arena, head, cn_forward__token(head), &call->forward);
	reading.owner = call->owner;
	if (!cn_reading__queue(client, &reading))
		decide(call, cn_reading__run(&reading, &err), &err);
}
