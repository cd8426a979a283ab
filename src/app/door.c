/*
 * The door: the checks on a request's head, in the order of design/security.md 5, before a
 * byte of its body is read; then which endpoint it is for.
 *
 * Loopback is not private: every page in every browser can reach it.  Owns the cn_client of
 * each connection.  Runs on the worker of the connection.
 */
#include "app_impl.h"

#include "continuo/clock.h"
#include "continuo/counters.h"

#include <stdio.h>
#include <stdlib.h>

#define CN_FIXED_BODY_MAX 65536 /* of requests whose body means nothing */

/* ---- the checks ---- */

/* 1. Exactly one Host, and it is a name we serve. */
static bool host_is_ours(const struct cn_shared *sh, const struct cn_policy *p,
                         struct cn_view host)
{
	static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
	char text[32];

	for (size_t i = 0; i < sh->n_ports; i++) {
		for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
			snprintf(text, sizeof(text), "%s:%u", names[j], sh->ports[i]);
			if (cn_view_eq_nocase(host, cn_view_str(text)) ||
			    (sh->ports[i] == 80 && cn_view_is(host, names[j])))
				return true;
		}
	}
	for (size_t i = 0; i < p->n_names; i++)
		if (cn_view_eq_nocase(host, cn_view_str(p->names[i])))
			return true;
	return false;
}

/* The path without the prefix that some base URLs carry is not ours to guess: exact paths.
 */
static bool find_endpoint(const struct cn_head *h, enum cn_endpoint *ret)
{
	bool post = cn_view_is(h->method, "POST"), get = cn_view_is(h->method, "GET");
	bool head = cn_view_is(h->method, "HEAD");

	if (post && cn_view_is(h->path, "/v1/messages"))
		*ret = CN_EP_MESSAGES;
	else if (post && cn_view_is(h->path, "/v1/messages/count_tokens"))
		*ret = CN_EP_COUNT_TOKENS;
	else if (get && cn_view_is(h->path, "/v1/models"))
		*ret = CN_EP_MODELS;
	else if (get && cn_view_starts(h->path, CN_VIEW("/v1/models/")))
		*ret = CN_EP_MODEL;
	else if (head && (cn_view_is(h->path, "/") || cn_view_is(h->path, "/api/hello")))
		*ret = CN_EP_HELLO;
	else if ((get || head) && cn_view_is(h->path, "/healthz"))
		*ret = CN_EP_HEALTHZ;
	else if ((get || head) && cn_view_is(h->path, "/readyz"))
		*ret = CN_EP_READYZ;
	else
		return false;
	return true;
}

static bool is_known_path(struct cn_view path)
{
	return cn_view_is(path, "/v1/messages") ||
	       cn_view_is(path, "/v1/messages/count_tokens") ||
	       cn_view_starts(path, CN_VIEW("/v1/models")) || cn_view_is(path, "/") ||
	       cn_view_is(path, "/api/hello") || cn_view_is(path, "/healthz") ||
	       cn_view_is(path, "/readyz");
}

static bool is_json(struct cn_view content_type)
{
	struct cn_view rest = content_type, type;

	return cn_view_split(&rest, ';', &type) &&
	       cn_view_eq_nocase(cn_view_trim(type), CN_VIEW("application/json"));
}

/* What is wrong with a head, as status and text; 0: nothing. */
struct refusal {
	int status;
	const char *type;
	const char *message;
	uint64_t retry_after_s;
};

/* Checks 1 to 3, and what the router does not serve at all. */
static struct refusal check_form(const struct cn_client *client, const struct cn_policy *p,
                                 const struct cn_head *h)
{
	const struct cn_shared *sh = client->worker->shared;
	bool v1 = cn_view_starts(h->path, CN_VIEW("/v1/"));

	if (!client->is_unix &&
	    (cn_head_count(h, "host") != 1 || !host_is_ours(sh, p, cn_head_get(h, "host"))))
		return (struct refusal){
		    421, "invalid_request_error",
		    "continuo: the Host header is not a name this router serves; "
		    "add it to `names` in the policy",
		    0};
	if (cn_view_is(h->method, "OPTIONS"))
		return (struct refusal){
		    405, "invalid_request_error",
		    "continuo: OPTIONS is not served: no browser may come here", 0};
	if (v1 && (cn_head_count(h, "origin") || cn_head_count(h, "sec-fetch-site")))
		return (struct refusal){403, "permission_error",
		                        "continuo: requests from web pages are refused", 0};
	if (cn_view_is(h->method, "POST") && !is_json(cn_head_get(h, "content-type")))
		return (struct refusal){415, "invalid_request_error",
		                        "continuo: content-type must be application/json",
		                        0};
	return (struct refusal){0, NULL, NULL, 0};
}

/* Makes tok (given away) the connection's; false when it has too many connections. */
static bool adopt_token(struct cn_client *client, struct cn_token *tok,
                        const struct cn_policy *p)
{
	struct cn_access *access = client->worker->shared->access;

	if (client->token == tok) {
		cn_token__unref(tok);
		return true;
	}
	if (!cn_access__connect(access, tok, p)) {
		cn_token__unref(tok);
		return false;
	}
	if (client->token)
		cn_access__disconnect(access, client->token);
	cn_token__unref(client->token);
	client->token = tok;
	return true;
}

/* Check 4: a client token, always, but on a Unix socket of the same user. */
static struct refusal check_token(struct cn_client *client, const struct cn_policy *p,
                                  const struct cn_head *h)
{
	struct cn_shared *sh = client->worker->shared;
	struct cn_view text = cn_forward__token(h);
	struct cn_token *tok;
	uint64_t now_ms = cn_clock_ms();

	if (client->is_unix && text.n == 0)
		return (struct refusal){0, NULL, NULL, 0};
	if (cn_access__shut(sh->access, h->peer, false, now_ms))
		return (struct refusal){429, "rate_limit_error",
		                        "continuo: too many requests with a wrong token",
		                        60};
	tok = text.n ? cn_access__find(sh->access, text) : NULL;
	if (!tok) {
		(void)cn_access__shut(sh->access, h->peer, true, now_ms);
		return (struct refusal){
		    401, "authentication_error",
		    "continuo: a client token is needed: start the client with "
		    "`continuo run -- claude`, or see `continuo env`",
		    0};
	}
	if (!(tok->scopes & CN_SCOPE_TURN)) {
		cn_token__unref(tok);
		return (struct refusal){403, "permission_error",
		                        "continuo: this token may not send requests", 0};
	}
	if (!adopt_token(client, tok, p))
		return (struct refusal){429, "rate_limit_error",
		                        "continuo: too many connections with this token",
		                        1};
	return (struct refusal){0, NULL, NULL, 0};
}

/*
 * Check 5: the token's limits, as far as the head shows them.  A session may be named in
 * the body instead, and the turn asks again.
 */
static struct refusal check_limits(struct cn_client *client, const struct cn_policy *p,
                                   const struct cn_head *h)
{
	struct cn_shared *sh = client->worker->shared;
	struct cn_token *tok = client->token;
	struct cn_spender who = {tok ? cn_view_str(tok->owner) : CN_VIEW("local"),
	                         cn_view_str(tok ? tok->name : ""),
	                         cn_head_get(h, "x-claude-code-session-id")};
	uint64_t wait_ms = 0, wall_ms = cn_clock_wall_ms(), again_s;
	struct cn_budget_word word;

	if (tok && !cn_access__request(sh->access, tok, p, cn_clock_ms(), &wait_ms))
		return (struct refusal){
		    429, "rate_limit_error",
		    "continuo: this token's requests per minute are used up",
		    (wait_ms + 999) / 1000};
	cn_usage__ask(sh->usages, p, tok, &who, wall_ms, &word);
	if (!word.stop)
		return (struct refusal){0, NULL, NULL, 0};
	again_s = cn_usage__refusal(&word, wall_ms, client->said, sizeof(client->said));
	return (struct refusal){429, "rate_limit_error", client->said, again_s};
}

static struct refusal check_head(struct cn_client *client, const struct cn_policy *p,
                                 const struct cn_head *h)
{
	struct refusal r = check_form(client, p, h);

	if (r.status)
		return r;
	if (!find_endpoint(h, &client->endpoint)) {
		bool known = is_known_path(h->path);

		/* An unknown path says nothing before the token was checked. */
		r = check_token(client, p, h);
		if (r.status)
			return r;
		return known ? (struct
		                refusal){405, "invalid_request_error",
		                         "continuo: this path does not take this method", 0}
		             : (struct refusal){
				   404, "not_found_error",
				   "continuo: this router does not serve this path", 0};
	}
	switch (client->endpoint) {
	case CN_EP_HELLO:
	case CN_EP_HEALTHZ:
	case CN_EP_READYZ:
		return r;
	case CN_EP_MESSAGES:
		r = check_token(client, p, h);
		return r.status ? r : check_limits(client, p, h);
	case CN_EP_COUNT_TOKENS:
	case CN_EP_MODELS:
	case CN_EP_MODEL:
		return check_token(client, p, h);
	}
	return r;
}

/* ---- the listener's events ---- */

static struct cn_client *client_of(struct cn_worker *w, struct cn_conn *c,
                                   const struct cn_head *h)
{
	struct cn_client *client = cn_conn_data(c);

	if (client)
		return client;
	client = cn_zalloc(sizeof(*client));
	client->worker = w;
	client->conn = c;
	client->is_unix = h && cn_view_is(h->peer, "unix");
	cn_conn_set_data(c, client);
	return client;
}

static bool on_head(void *self, struct cn_conn *c, const struct cn_head *head,
                    uint64_t *max_body)
{
	struct cn_worker *w = self;
	struct cn_client *client = client_of(w, c, head);
	struct cn_policy *p = cn_shared__policy(w->shared);
	struct refusal r = check_head(client, p, head);

	cn_count(CN_CT_REQUESTS);
	*max_body =
	    client->endpoint == CN_EP_MESSAGES || client->endpoint == CN_EP_COUNT_TOKENS
		? p->limits.request_body
		: CN_FIXED_BODY_MAX;
	cn_policy_unref(p);
	if (!r.status)
		return true;
	cn_count(CN_CT_REFUSED);
	cn_log(&w->log, CN_LOG_DEBUG, "request refused", CN_NUM(STATUS, r.status),
	       CN_TEXT(PATH, head->path), CN_STR(REASON, r.message));
	cn_answer__error(c, r.status, r.type, cn_view_str(r.message), r.retry_after_s,
	                 true);
	return false;
}

static void on_request(void *self, struct cn_conn *c, const struct cn_head *head,
                       struct cn_buf body)
{
	struct cn_worker *w = self;
	struct cn_client *client = client_of(w, c, head);
	struct cn_field text = {CN_VIEW("content-type"), CN_VIEW("text/plain")};

	switch (client->endpoint) {
	case CN_EP_MESSAGES:
		cn_turn__begin(client, head, body);
		return;
	case CN_EP_COUNT_TOKENS:
		cn_count__begin(client, head, body);
		return;
	case CN_EP_MODELS:
	case CN_EP_MODEL:
		cn_answer__models(client, head->path);
		break;
	case CN_EP_HELLO:
		cn_conn_reply(c, &(struct cn_reply){.status = 200});
		break;
	case CN_EP_HEALTHZ:
		cn_conn_reply(c, &(struct cn_reply){.status = 200,
		                                    .fields = &text,
		                                    .n_fields = 1,
		                                    .body = CN_VIEW("ok")});
		break;
	case CN_EP_READYZ:
		cn_answer__ready(client);
		break;
	}
	cn_conn_release_body(c, body.n);
	cn_buf_done(&body);
}

/* What the connection refuses by itself, in the client's own language. */
static void on_refused(void *self, struct cn_conn *c, int status, const char *why)
{
	struct cn_worker *w = self;
	char message[240];

	cn_count(CN_CT_REFUSED);
	cn_log(&w->log, CN_LOG_DEBUG, "request refused", CN_NUM(STATUS, status),
	       CN_STR(REASON, why));
	if (status == 413) {
		/* The API's own words: the client compacts and tries again. */
		cn_answer__error(c, 413, "request_too_large",
		                 CN_VIEW("Request exceeds the maximum size"), 0, true);
		return;
	}
	if (status == 503) {
		cn_answer__error(
		    c, 529, "overloaded_error",
		    CN_VIEW("continuo: the router is out of memory for requests"), 5, true);
		return;
	}
	snprintf(message, sizeof(message), "continuo: %s", why);
	cn_answer__error(c, status, "invalid_request_error", cn_view_str(message), 0, true);
}

static void on_drain(void *self, struct cn_conn *c)
{
	struct cn_client *client = cn_conn_data(c);

	(void)self;
	if (client && client->turn)
		cn_turn__drained(client->turn);
}

static void on_gone(void *self, struct cn_conn *c, const char *why)
{
	struct cn_client *client = cn_conn_data(c);

	(void)self;
	if (client && client->turn)
		cn_turn__client_gone(cn_steal(&client->turn), why);
	if (client && client->count)
		cn_count__gone(cn_steal(&client->count));
	if (client && client->reading)
		cn_reading__gone(cn_steal(&client->reading));
}

static void on_close(void *self, struct cn_conn *c)
{
	struct cn_worker *w = self;
	struct cn_client *client = cn_conn_data(c);

	if (!client)
		return;
	cn_assert(!client->turn && !client->count && !client->reading);
	if (client->token)
		cn_access__disconnect(w->shared->access, client->token);
	cn_token__unref(client->token);
	cn_conn_set_data(c, NULL);
	free(client);
}

struct cn_conn_handler cn_door__handler(struct cn_worker *w)
{
	return (struct cn_conn_handler){
	    .on_head = on_head,
	    .on_request = on_request,
	    .on_refused = on_refused,
	    .on_drain = on_drain,
	    .on_gone = on_gone,
	    .on_close = on_close,
	    .self = w,
	};
}
