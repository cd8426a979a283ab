/*
 * What the client is told: heads, pings, bytes of the splice, and the three ways to end.
 *
 * Every answer names the model (design/continuity.md "The model is always named").  Runs on
 * the turn's worker; does nothing once the client is gone.
 */
#include "turn_impl.h"

#include "continuo/anthropic.h"
#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/sse.h"
#include "continuo/trace.h"

#define CN_ATTEMPTS_TOLD 12 /* of x-continuo-attempts */
#define CN_FIELDS_MAX    8  /* of our own, besides those passed on */

/* One attempt's ending: ok, the HTTP status if there was one of 400 and above, else the
 * class. */
static void add_ending(struct cn_buf *b, const struct cn_attempt_record *r)
{
	cn_buf_printf(b, "%s%.*s/%.*s:", b->n ? ", " : "", CN_VIEW_ARG(r->backend),
	              CN_VIEW_ARG(r->model));
	if (r->http_status >= 400)
		cn_buf_printf(b, "%d", r->http_status);
	else
		cn_buf_add_view(b, r->class);
}

struct cn_view cn_turn__attempts_text(struct cn_turn *t, bool with_live)
{
	CN_AUTO(cn_buf) b = {0};
	size_t told = t->n_tried + (with_live ? 1 : 0);
	size_t first = told > CN_ATTEMPTS_TOLD ? told - CN_ATTEMPTS_TOLD : 0;

	for (size_t i = first; i < t->n_tried; i++)
		add_ending(&b, &t->records[i]);
	if (with_live)
		cn_buf_printf(&b, "%s%s:ok", b.n ? ", " : "",
		              cn_turn__name(t, t->candidate));
	return cn_arena_view(&t->arena, cn_buf_view(&b));
}

/*
 * The attempt whose output or error the client is given; SIZE_MAX: of none, the words are
 * ours or it is not known yet.
 */
static size_t told_attempt(const struct cn_turn *t)
{
	if ((t->state == CN_TURN_DRAINING || t->state == CN_TURN_TELLING) &&
	    t->end == CN_END_ERROR)
		return t->ending.passed ? (size_t)(t->ending.passed - t->outcomes)
		                        : SIZE_MAX;
	if (!cn_splice_committed(t->splice))
		return SIZE_MAX;
	return t->attempt ? t->n_tried : t->n_tried - 1;
}

/* The fields that stand on every answer, and limits of the account that gave it. */
static struct cn_field *usual_fields(struct cn_turn *t, struct cn_view type,
                                     struct cn_view used, size_t *retn)
{
	/* The live attempt counts as ok: its output follows. */
	bool live = t->attempt && t->head == CN_HEAD_NONE && cn_splice_committed(t->splice);
	bool own = t->seen && t->seen->attempt == told_attempt(t);
	size_t passed = own ? t->seen->n : 0, n = 0;
	struct cn_field *v =
	    cn_arena_zalloc(&t->arena, (CN_FIELDS_MAX + passed) * sizeof(*v));

	v[n++] = (struct cn_field){CN_VIEW("content-type"), type};
	v[n++] = (struct cn_field){CN_VIEW("request-id"), t->request_id};
	v[n++] = (struct cn_field){CN_VIEW("x-model-used"), used};
	v[n++] = (struct cn_field){CN_VIEW("x-continuo-attempts"),
	                           cn_turn__attempts_text(t, live)};
	for (size_t i = 0; i < passed; i++)
		v[n++] = t->seen->v[i];
	*retn = n;
	return v;
}

static void wrote(struct cn_turn *t, bool more)
{
	t->wrote_ms = cn_clock_ms();
	if (more || !t->attempt)
		return;
	cn_count(CN_CT_PAUSES);
	cn_trace(CN_TR_PRESSURE, t->number, 0, CN_VIEW("paused"));
	cn_attempt_pause(t->attempt, true);
}

/*
 * Bytes of an open stream, in their order.  Once a model's text is told evenly, so is all
 * that follows: another model may go on behind what is still on its way.
 */
static void send_on(struct cn_turn *t, struct cn_view bytes)
{
	CN_AUTO(cn_buf) due = {0};

	if (!t->smooth && t->candidate && t->candidate->model->smooth)
		t->smooth = cn_smooth_new(&t->worker->shared->charge);
	if (t->smooth) {
		cn_smooth_feed(t->smooth, bytes, cn_clock_ms(), &due);
		bytes = cn_buf_view(&due);
	}
	if (bytes.n)
		wrote(t, cn_conn_write(t->client->conn, bytes));
}

void cn_turn__pace(struct cn_turn *t)
{
	CN_AUTO(cn_buf) due = {0};

	if (!t->smooth || !t->client)
		return;
	cn_smooth_take(t->smooth, cn_clock_ms(), &due);
	if (due.n)
		wrote(t, cn_conn_write(t->client->conn, cn_buf_view(&due)));
}

static void begin_stream(struct cn_turn *t, struct cn_view used)
{
	size_t n;
	struct cn_field *fields =
	    usual_fields(t, CN_VIEW("text/event-stream; charset=utf-8"), used, &n);

	fields[n++] = (struct cn_field){CN_VIEW("cache-control"), CN_VIEW("no-cache")};
	cn_conn_begin(t->client->conn, 200, fields, n,
	              t->wants_trailers ? "x-model-used" : NULL);
	t->wrote_ms = cn_clock_ms();
}

void cn_turn__tell_head(struct cn_turn *t, struct cn_view used)
{
	if (!t->client)
		return;
	switch (t->head) {
	case CN_HEAD_NONE:
		begin_stream(t, used);
		break;
	case CN_HEAD_EARLY:
		/* The head said `pending`; this is the place to say who it is. */
		cn_turn__tell_joint(t, used);
		break;
	case CN_HEAD_FINAL:
		cn_never("a second head");
	}
	t->head = CN_HEAD_FINAL;
}

void cn_turn__tell_joint(struct cn_turn *t, struct cn_view used)
{
	CN_AUTO(cn_buf) comment = {0}, text = {0};

	if (!t->client || t->head == CN_HEAD_NONE)
		return;
	cn_buf_printf(&text, "x-model-used %.*s", CN_VIEW_ARG(used));
	cn_sse_add_comment(&comment, cn_buf_view(&text));
	send_on(t, cn_buf_view(&comment));
}

void cn_turn__tell_early(struct cn_turn *t)
{
	if (!t->client)
		return;
	begin_stream(t, CN_VIEW("pending"));
	t->head = CN_HEAD_EARLY;
	cn_turn__tell_ping(t);
}

void cn_turn__tell_ping(struct cn_turn *t)
{
	CN_AUTO(cn_buf) ping = {0};

	if (!t->client)
		return;
	cn_anthropic_add_ping(&ping);
	wrote(t, cn_conn_write(t->client->conn, cn_buf_view(&ping)));
}

void cn_turn__flush(struct cn_turn *t)
{
	struct cn_buf *out = cn_splice_out(t->splice);

	/* A client that did not ask for a stream gets it as a whole, at the end. */
	if (t->client && out->n && t->head != CN_HEAD_NONE)
		send_on(t, cn_buf_view(out));
	cn_buf_clear(out);
}

/* ---- the ends ---- */

/* The model whose output or error the client has in hand. */
struct cn_view cn_turn__used(struct cn_turn *t)
{
	size_t told = told_attempt(t);
	const struct cn_candidate *c =
	    told < t->n_tried ? t->tried[told].candidate : t->candidate;

	return c ? cn_view_str(cn_turn__name(t, c)) : CN_VIEW("none");
}

static void tell_reply(struct cn_turn *t)
{
	CN_AUTO(cn_buf) body = {0};
	size_t n;
	struct cn_field *fields =
	    usual_fields(t, CN_VIEW("application/json"), cn_turn__used(t), &n);

	cn_splice_message(t->splice, &body);
	cn_conn_reply(t->client->conn, &(struct cn_reply){.status = 200,
	                                                  .fields = fields,
	                                                  .n_fields = n,
	                                                  .body = cn_buf_view(&body)});
}

/* An error by status: our own words, or the upstream's as they came. */
static void tell_status(struct cn_turn *t)
{
	const struct cn_ending *e = &t->ending;
	CN_AUTO(cn_buf) body = {0};
	struct cn_view type = CN_VIEW("application/json");
	size_t n;
	struct cn_field *fields;

	if (e->passed) {
		cn_buf_add_view(&body, e->passed->body);
		/* A backend's words stay out of our head (design/security.md 6). */
		if (!cn_view_starts(cn_view_trim(cn_buf_view(&body)), CN_VIEW("{")))
			type = CN_VIEW("text/plain; charset=utf-8");
	} else {
		cn_anthropic_error_body(&body, cn_view_str(e->type), e->message,
		                        t->request_id);
	}
	cn_vault_scrub(t->worker->shared->vault, body.p, body.n);
	fields = usual_fields(t, type, cn_turn__used(t), &n);
	if (e->retry_after_s)
		fields[n++] = (struct cn_field){
		    CN_VIEW("retry-after"),
		    cn_view_str(cn_arena_printf(&t->arena, "%llu",
		                                (unsigned long long)e->retry_after_s))};
	if (e->no_retry)
		fields[n++] =
		    (struct cn_field){CN_VIEW("x-should-retry"), CN_VIEW("false")};
	cn_conn_reply(t->client->conn, &(struct cn_reply){.status = e->status,
	                                                  .fields = fields,
	                                                  .n_fields = n,
	                                                  .body = cn_buf_view(&body)});
}

static void end_stream(struct cn_turn *t)
{
	struct cn_field trailer = {CN_VIEW("x-model-used"), cn_turn__used(t)};
	CN_AUTO(cn_buf) rest = {0};

	if (t->smooth)
		cn_smooth_flush(t->smooth, &rest);
	if (rest.n)
		wrote(t, cn_conn_write(t->client->conn, cn_buf_view(&rest)));
	cn_conn_end(t->client->conn, &trailer, t->wants_trailers ? 1 : 0);
}

/* After the head only an event can say it; of the types, these two let the client go on. */
static void tell_event(struct cn_turn *t)
{
	const struct cn_ending *e = &t->ending;
	struct cn_view type = CN_VIEW("overloaded_error");
	CN_AUTO(cn_buf) message = {0};

	if (e->type && cn_view_is(cn_view_str(e->type), "api_error"))
		type = CN_VIEW("api_error");
	cn_buf_add_view(&message, e->message);
	cn_vault_scrub(t->worker->shared->vault, message.p, message.n);
	if (cn_splice_committed(t->splice))
		cn_splice_fail(t->splice, type, cn_buf_view(&message), t->request_id);
	else
		cn_anthropic_add_error(cn_splice_out(t->splice), type,
		                       cn_buf_view(&message), t->request_id);
	cn_turn__flush(t);
	end_stream(t);
}

void cn_turn__tell_end(struct cn_turn *t)
{
	if (!t->client)
		return;
	switch (t->end) {
	case CN_END_CANCELLED:
		break;
	case CN_END_ANSWER:
		if (!t->req.stream) {
			tell_reply(t);
			break;
		}
		cn_splice_finish(t->splice);
		cn_turn__flush(t);
		end_stream(t);
		break;
	case CN_END_TOOL_USE:
		cn_splice_finish_tool_use(t->splice);
		if (!t->req.stream) {
			tell_reply(t);
			break;
		}
		cn_turn__flush(t);
		end_stream(t);
		break;
	case CN_END_ERROR:
		if (t->head == CN_HEAD_NONE)
			tell_status(t);
		else
			tell_event(t);
		break;
	}
}
