/*
 * Small whole answers: errors before a turn exists, the model list, readiness.
 *
 * Runs on the worker of the connection.
 */
#include "app_impl.h"

#include "continuo/anthropic.h"
#include "continuo/clock.h"
#include "continuo/ids.h"
#include "continuo/json.h"

void cn_answer__error(struct cn_conn *c, int status, const char *type,
                      struct cn_view message, uint64_t retry_after_s, bool close)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) body = {0};
	struct cn_view id = cn_id_request(&a);
	struct cn_field fields[6];
	size_t n = 0;
	/* What is not over within a minute is the person's to wait for, not the client's.
	 */
	bool over_soon = retry_after_s && retry_after_s <= 60;

	cn_anthropic_error_body(&body, cn_view_str(type), message, id);
	fields[n++] =
	    (struct cn_field){CN_VIEW("content-type"), CN_VIEW("application/json")};
	fields[n++] = (struct cn_field){CN_VIEW("request-id"), id};
	fields[n++] = (struct cn_field){CN_VIEW("x-model-used"), CN_VIEW("none")};
	fields[n++] = (struct cn_field){CN_VIEW("x-continuo-attempts"), CN_VIEW("")};
	if (retry_after_s) {
		char *s = cn_arena_printf(&a, "%llu", (unsigned long long)retry_after_s);

		fields[n++] = (struct cn_field){CN_VIEW("retry-after"), cn_view_str(s)};
	}
	if (status == 429 && !over_soon)
		fields[n++] =
		    (struct cn_field){CN_VIEW("x-should-retry"), CN_VIEW("false")};
	cn_conn_reply(c, &(struct cn_reply){.status = status,
	                                    .fields = fields,
	                                    .n_fields = n,
	                                    .body = cn_buf_view(&body),
	                                    .close = close});
}

/* One model as GET /v1/models shows it (wire/anthropic-messages.md 9). */
static void add_model(struct cn_buf *b, struct cn_view id, const struct cn_model *m)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "type", CN_VIEW("model"));
	cn_json_add_text(b, "id", id);
	cn_json_add_text(b, "display_name", m ? cn_view_str(m->name) : id);
	cn_json_add_text(b, "created_at", CN_VIEW("2026-01-01T00:00:00Z"));
	if (m && m->context)
		cn_json_add_u64(b, "max_input_tokens", m->context);
	if (m && m->max_output)
		cn_json_add_u64(b, "max_tokens", m->max_output);
	cn_buf_add_char(b, '}');
}

/* The ids a client may ask for by name: the policy's own, each once. */
static size_t collect_models(struct cn_arena *a, const struct cn_policy *p,
                             const struct cn_model ***ret, struct cn_view **retids)
{
	struct cn_view *ids = cn_arena_zalloc(a, (p->n_models + 2) * sizeof(*ids));
	const struct cn_model **models =
	    cn_arena_zalloc(a, (p->n_models + 2) * sizeof(struct cn_model *));
	size_t n = 0;

	if (p->client_model)
		ids[n++] = cn_view_str(p->client_model);
	for (size_t i = 0; i < p->n_models; i++) {
		struct cn_view id = cn_view_str(p->models[i].id);
		bool seen = id.n == 0; /* `client`: whatever was asked for */

		for (size_t j = 0; j < n && !seen; j++)
			seen = cn_view_eq(ids[j], id);
		if (seen)
			continue;
		models[n] = &p->models[i];
		ids[n++] = id;
	}
	*ret = models;
	*retids = ids;
	return n;
}

void cn_answer__models(struct cn_client *client, struct cn_view path)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) body = {0};
	struct cn_policy *p = cn_shared__policy(client->worker->shared);
	struct cn_view one = cn_view_from(path, sizeof("/v1/models/") - 1), *ids;
	const struct cn_model **models;
	size_t n = collect_models(&a, p, &models, &ids), at = 0;
	struct cn_field fields[] = {
	    {CN_VIEW("content-type"), CN_VIEW("application/json")},
	    {CN_VIEW("request-id"), cn_id_request(&a)},
	    {CN_VIEW("x-model-used"), CN_VIEW("none")},
	    {CN_VIEW("x-continuo-attempts"), CN_VIEW("")},
	};

	if (client->endpoint == CN_EP_MODEL) {
		while (at < n && !cn_view_eq(ids[at], one))
			at++;
		if (at < n)
			add_model(&body, ids[at], models[at]);
	} else {
		cn_buf_add_str(&body, "{\"data\":[");
		for (size_t i = 0; i < n; i++) {
			if (i)
				cn_buf_add_char(&body, ',');
			add_model(&body, ids[i], models[i]);
		}
		cn_buf_add_str(&body, "],\"has_more\":false,\"first_id\":");
		if (n) {
			cn_json_add_string(&body, ids[0]);
			cn_buf_add_str(&body, ",\"last_id\":");
			cn_json_add_string(&body, ids[n - 1]);
			cn_buf_add_char(&body, '}');
		} else {
			cn_buf_add_str(&body, "null,\"last_id\":null}");
		}
	}
	if (body.n)
		cn_conn_reply(client->conn, &(struct cn_reply){.status = 200,
		                                               .fields = fields,
		                                               .n_fields = 4,
		                                               .body = cn_buf_view(&body)});
	else
		cn_answer__error(client->conn, 404, "not_found_error",
		                 CN_VIEW("continuo: no model of that id in the policy"), 0,
		                 false);
	cn_policy_unref(p);
}

/* One word: ready, degraded (serving without a well store) or draining. */
void cn_answer__ready(struct cn_client *client)
{
	struct cn_shared *sh = client->worker->shared;
	struct cn_field type = {CN_VIEW("content-type"), CN_VIEW("text/plain")};
	struct cn_view word = CN_VIEW("ready");
	int status = 200;

	if (sh->store_why || (sh->store && cn_store_state(sh->store) != CN_STORE_WELL))
		word = CN_VIEW("degraded");
	if (atomic_load(&sh->draining)) {
		word = CN_VIEW("draining");
		status = 503;
	}
	cn_conn_reply(client->conn,
	              &(struct cn_reply){
			  .status = status, .fields = &type, .n_fields = 1, .body = word});
}
