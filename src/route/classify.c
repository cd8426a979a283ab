/*
 * What a backend's answer, an error event or the end of a transfer means: one of the
 * outcome classes, how far it reaches, what would mend it and how long to wait
 * (wire/fallback-rules.md 2, 3 and 4).
 *
 * Owns nothing: results are in the caller's arena or constants.  Any thread.  The tables
 * are in rules.c, numbers and times are read by hint.c; this file only walks the order of
 * evaluation.  It does not know what is tried next.
 */
#include "route_impl.h"

#define LOADING_MS 2000u     /* a model being loaded is looked at again after this */
#define UTC8_MS    28800000u /* error.code providers write local dates without a zone */
#define KEPT_BODY  65536u    /* of an error body (security 7) */

/* What one classification looks at. */
struct cn_case {
	const struct cn_answer_head *head; /* NULL: an event */
	const struct cn_answer_context *ctx;
	struct cn_complaint c;
	int status; /* the inner one, where there is one; 0: unknown */
	bool page;  /* somebody in between answered */
};

static unsigned on_of(int status)
{
	switch (status) {
	case 0:
		return CN_ON_NONE;
	case 400:
		return CN_ON_400;
	case 402:
		return CN_ON_402;
	case 403:
		return CN_ON_403;
	case 404:
		return CN_ON_404;
	case 413:
		return CN_ON_413;
	case 422:
		return CN_ON_422;
	case 429:
		return CN_ON_429;
	case 500:
	case 502:
		return CN_ON_500;
	case 503:
	case 529:
		return CN_ON_503;
	default:
		return 0;
	}
}

/* A page, or a content network's words, instead of the backend's. */
static const struct cn_rule *page_rule(const struct cn_case *k)
{
	static const struct cn_rule edge = {.class = CN_CLASS_OVERLOADED,
	                                    .scope = CN_SCOPE_MODEL,
	                                    .reason = "refused at the edge"};
	const struct cn_rule *r;

	switch (k->status) {
	case 403:
		r = cn_rule__find(CN_ON_HTML, k->c.text);
		return r ? r : &edge;
	case 429:
	case 503:
		return &edge;
	case 413:
		return cn_rule__find(CN_ON_HTML_413, k->c.text);
	default:
		return cn_rule__status(k->status);
	}
}

static const struct cn_rule *find_rule(struct cn_case *k)
{
	static const struct cn_rule limited = {.class = CN_CLASS_RATE_LIMITED,
	                                       .scope = CN_SCOPE_KEY_MODEL,
	                                       .reason =
	                                           "credit is held by requests in flight"};
	static const struct cn_rule window = {.class = CN_CLASS_QUOTA_EXHAUSTED,
	                                      .scope = CN_SCOPE_ACCOUNT,
	                                      .reason = "plan window used up"};
	static const struct cn_rule empty = {.class = CN_CLASS_TRUNCATED_STREAM,
	                                     .scope = CN_SCOPE_MODEL,
	                                     .reason = "an empty answer"};
	const struct cn_rule *r = NULL;

	if (k->status == 401)
		return cn_rule__status(401);
	if (k->page)
		return page_rule(k);
	if (k->head && k->head->status / 100 == 2 && k->c.text.n <= 1)
		return &empty;
	if (k->c.base_resp || k->c.own_code) {
		int inner = cn_rule__code_status(k->c.number, k->c.base_resp);

		r = cn_rule__code(k->c.number, k->c.base_resp);
		if (inner)
			k->status = inner;
	}
	if (!r && k->head && k->status == 429 &&
	    cn_view_is(k->head->unified_status, "rejected"))
		r = &window;
	if (!r && on_of(k->status))
		r = cn_rule__find(on_of(k->status), k->c.text);
	if (!r && k->status == 402 && k->head && k->head->retry_after.n)
		r = &limited;
	return r ? r : cn_rule__status(k->status);
}

/* The waiting time that the provider named, from the most to the least exact place. */
static uint64_t named_wait(const struct cn_case *k, enum cn_class class)
{
	const struct cn_answer_head *h = k->head;
	uint64_t wall = k->ctx->wall_ms, ms = 0;
	bool limit = class == CN_CLASS_RATE_LIMITED || class == CN_CLASS_QUOTA_EXHAUSTED;

	if (h) {
		/* Of a subscription the window's end is the truth, whatever else is said.
		 */
		if (limit && cn_view_is(h->unified_status, "rejected"))
			ms = cn_hint__reset(h->unified_reset, wall);
		if (!ms)
			ms = cn_hint__retry_after_ms(h->retry_after_ms);
		if (!ms)
			ms = cn_hint__retry_after(h->retry_after, wall);
		if (!ms && limit)
			ms = cn_hint__reset(h->ratelimit_reset, wall);
	}
	if (!ms && (limit || class == CN_CLASS_OVERLOADED))
		ms = cn_hint__wait_text(k->c.text, wall, k->c.own_code ? UTC8_MS : 0);
	return ms;
}

/* Numbers, fields and what one resend would change. */
static void add_repair(struct cn_arena *a, const struct cn_case *k, const struct cn_rule *r,
                       struct cn_outcome *o)
{
	uint64_t fit;

	o->repair = r->repair;
	switch (o->class) {
	case CN_CLASS_CONTEXT_OVERFLOW:
		if (r->scope != CN_SCOPE_NONE)
			return;
		o->window = cn_hint__window(k->c.text, &fit);
		if (k->c.window)
			o->window = k->c.window;
		if (fit) {
			o->limit = fit;
			o->repair = CN_REPAIR_MAX_TOKENS;
		}
		return;
	case CN_CLASS_OUTPUT_CEILING:
		o->limit = cn_hint__ceiling(k->c.text);
		if (!o->limit)
			o->repair = CN_REPAIR_NONE;
		return;
	default:
		break;
	}
	if (r->repair == CN_REPAIR_FIELD) {
		o->repair_field = cn_arena_view(a, cn_hint__field(&k->c));
		if (o->repair_field.n == 0)
			o->repair = CN_REPAIR_NONE;
	}
}

static struct cn_outcome judge(struct cn_arena *a, struct cn_case *k)
{
	const struct cn_rule *r = find_rule(k);
	struct cn_outcome o = {.class = r->class,
	                       .scope = r->scope,
	                       .reason = r->reason,
	                       .message = k->c.message};

	add_repair(a, k, r, &o);
	o.retry_after_ms = named_wait(k, r->class);
	if (r->todo & CN_DO_LOADING) {
		o.no_cooldown = true;
		o.retry_after_ms = k->ctx->local ? LOADING_MS : 0;
	}
	if (r->todo & CN_DO_END)
		o.no_retry = "only the client can mend the request";
	if (k->ctx->own_body && (r->todo & CN_DO_END_OWN)) {
		o.no_retry = "the client's own request was refused";
		o.repair = CN_REPAIR_NONE;
		o.repair_field = (struct cn_view){NULL, 0};
	}
	/* Sent, and nothing says that it was not worked on. */
	o.perhaps_billed =
	    o.class == CN_CLASS_SERVER_ERROR || o.class == CN_CLASS_TIMEOUT_FIRST_BYTE ||
	    o.class == CN_CLASS_TRUNCATED_STREAM || o.class == CN_CLASS_MALFORMED_STREAM;
	return o;
}

/* The status that an error inside a 200 stands for. */
static int inner_status(const struct cn_complaint *c)
{
	int status;

	if (!c->base_resp && !c->own_code && c->number >= 300 && c->number < 600)
		return (int)c->number;
	status = cn_rule__type_status(c->type);
	return status ? status : cn_rule__type_status(c->code);
}

struct cn_outcome cn_classify_answer(struct cn_arena *a, const struct cn_answer_head *head,
                                     struct cn_view body,
                                     const struct cn_answer_context *ctx)
{
	struct cn_case k = {.head = head, .ctx = ctx, .status = head->status};
	struct cn_outcome o;

	body = cn_view_cut(body, KEPT_BODY);
	cn_complaint__read(a, head->content_type, body, &k.c);
	k.page = k.c.html || (!k.c.json && head->status >= 300 &&
	                      (head->cf_ray.n || cn_view_is(head->server, "cloudflare")));
	if (head->status / 100 == 2) {
		k.page = false;
		k.status = k.c.is_error ? inner_status(&k.c) : head->status;
	}
	o = judge(a, &k);
	o.http_status = head->status;
	o.body = cn_arena_view(a, body);
	o.content_type = cn_arena_view(a, head->content_type);
	o.upstream_request = cn_arena_view(a, head->request_id);
	o.message = cn_arena_view(a, o.message);
	o.head_seen = true;
	return o;
}

struct cn_outcome cn_classify_event(struct cn_arena *a, struct cn_view type,
                                    struct cn_view message,
                                    const struct cn_answer_context *ctx)
{
	struct cn_case k = {.ctx = ctx, .status = cn_rule__type_status(type)};
	struct cn_outcome o;

	cn_complaint__say(a, type, message, &k.c);
	o = judge(a, &k);
	o.message = cn_arena_view(a, message);
	o.head_seen = true;
	return o;
}

/* ---- transport ---- */

struct transport_row {
	enum cn_class class;
	enum cn_scope scope;
	bool perhaps_billed;
	const char *reason;
};

static const struct transport_row transports[] = {
    [CN_TP_RESOLVE] = {CN_CLASS_TIMEOUT_CONNECT, CN_SCOPE_BACKEND, false, "name not found"},
    [CN_TP_REFUSED] = {CN_CLASS_TIMEOUT_CONNECT, CN_SCOPE_BACKEND, false,
                       "connection refused"},
    [CN_TP_CONNECT_TIMEOUT] = {CN_CLASS_TIMEOUT_CONNECT, CN_SCOPE_BACKEND, false,
                               "no connection in time"},
    [CN_TP_TLS] = {CN_CLASS_TIMEOUT_CONNECT, CN_SCOPE_BACKEND, false, "TLS failed"},
    [CN_TP_CERTIFICATE] = {CN_CLASS_MISCONFIGURED, CN_SCOPE_BACKEND, false,
                           "the certificate does not verify"},
    [CN_TP_FIRST_BYTE_TIMEOUT] = {CN_CLASS_TIMEOUT_FIRST_BYTE, CN_SCOPE_MODEL, true,
                                  "nothing came in time"},
    [CN_TP_IDLE_TIMEOUT] = {CN_CLASS_TIMEOUT_IDLE, CN_SCOPE_MODEL, true, "no byte in time"},
    [CN_TP_PROGRESS_TIMEOUT] = {CN_CLASS_TIMEOUT_IDLE, CN_SCOPE_MODEL, true,
                                "only pings in time"},
    [CN_TP_ATTEMPT_TIMEOUT] = {CN_CLASS_TIMEOUT_IDLE, CN_SCOPE_MODEL, true,
                               "the attempt took too long"},
    [CN_TP_RESET] = {CN_CLASS_SERVER_ERROR, CN_SCOPE_MODEL, true,
                     "closed without an answer"},
    [CN_TP_PARTIAL] = {CN_CLASS_TRUNCATED_STREAM, CN_SCOPE_MODEL, true,
                       "closed before the end"},
    [CN_TP_NO_END] = {CN_CLASS_TRUNCATED_STREAM, CN_SCOPE_MODEL, true,
                      "ended without a terminal event"},
    [CN_TP_EMPTY] = {CN_CLASS_TRUNCATED_STREAM, CN_SCOPE_MODEL, true,
                     "ended without any event"},
    [CN_TP_OUR_LIMIT] = {CN_CLASS_MALFORMED_STREAM, CN_SCOPE_MODEL, true,
                         "the answer broke a limit of ours"},
    [CN_TP_MALFORMED] = {CN_CLASS_MALFORMED_STREAM, CN_SCOPE_MODEL, true,
                         "an answer that cannot be read"},
    [CN_TP_ENCODED] = {CN_CLASS_MISCONFIGURED, CN_SCOPE_BACKEND, true, "an encoded answer"},
    [CN_TP_FORBIDDEN_ADDRESS] = {CN_CLASS_MISCONFIGURED, CN_SCOPE_BACKEND, false,
                                 "an address that this backend may not use"},
    [CN_TP_SLEEP] = {CN_CLASS_TRUNCATED_STREAM, CN_SCOPE_NONE, true, "the machine slept"},
};

struct cn_outcome cn_classify_transport(enum cn_transport what, bool head_seen,
                                        bool delta_seen, bool reused)
{
	const struct transport_row *row = &transports[what];
	struct cn_outcome o = {.class = row->class,
	                       .scope = row->scope,
	                       .reason = row->reason,
	                       .perhaps_billed = row->perhaps_billed,
	                       .head_seen = head_seen,
	                       .delta_seen = delta_seen,
	                       .no_cooldown = what == CN_TP_SLEEP};

	/* A kept connection that died says nothing of the backend: it had closed it before.
	 */
	if (what == CN_TP_RESET && !head_seen && reused) {
		o.free_retry = true;
		o.no_cooldown = true;
		o.perhaps_billed = false;
	}
	if ((what == CN_TP_RESET || what == CN_TP_PARTIAL) && head_seen)
		o.class = CN_CLASS_TRUNCATED_STREAM;
	if (what == CN_TP_PARTIAL && !head_seen)
		o.class = CN_CLASS_SERVER_ERROR;
	if (what == CN_TP_ATTEMPT_TIMEOUT && !head_seen)
		o.class = CN_CLASS_TIMEOUT_FIRST_BYTE;
	return o;
}
