/*
 * The other side of the attempt: a loop with its transfers, and an owner that writes down
 * what it hears.  The test turns the loop by hand until what it waits for has happened.
 */
#ifndef CONTINUO_TEST_UPSTREAM_CLIENT_H
#define CONTINUO_TEST_UPSTREAM_CLIENT_H

#include "upstream_server.h"

#include "continuo/clock.h"
#include "continuo/upstream.h"

/* After this a test is given up: far over anything that it waits for. */
#define PATIENCE_MS 30000

struct client {
	uv_loop_t loop;
	struct cn_charge charge;
	struct cn_upstreams *up;
	struct cn_backend backend;
	char url[64];
	struct cn_view body_slice;
	struct cn_attempt_opts opts; /* what start() uses */
	bool closed;
};

/* What one owner heard. */
struct ear {
	struct client *c;
	struct cn_attempt *at; /* NULL once it ended or was cancelled */
	struct cn_buf said;    /* "start(text) delta(Hello) …" */
	struct cn_buf text;    /* text deltas, joined */
	struct cn_buf fields;  /* "name: value\n" of the head */
	struct cn_buf raw;
	struct cn_buf error_body, message;
	struct cn_outcome outcome; /* without its strings */
	char request_id[64];
	unsigned n_heads, n_events, n_idles, n_ends, n_raws;
	/* What to do from inside, when so many events have come. */
	void (*on_nth)(struct ear *e, unsigned n);
	void (*then)(struct ear *e); /* in on_end */
	const char *refuse_with;     /* what on_event returns at the second event */
	struct server *gate;         /* opened at every event */
};

static inline void ear_note_event(struct ear *e, const struct cn_event *ev)
{
	struct cn_view text = ev->text;

	switch (ev->kind) {
	case CN_EV_BLOCK_DELTA:
		cn_buf_printf(&e->said, "%d+%.*s ", (int)ev->delta, CN_VIEW_ARG(text));
		if (ev->delta == CN_DELTA_TEXT)
			cn_buf_add_view(&e->text, text);
		break;
	case CN_EV_BLOCK_START:
		cn_buf_printf(&e->said, "[%d%s%.*s ", (int)ev->block, text.n ? "=" : "",
		              CN_VIEW_ARG(text));
		if (ev->block == CN_BLOCK_TEXT)
			cn_buf_add_view(&e->text, text);
		break;
	case CN_EV_BLOCK_STOP:
		cn_buf_add_str(&e->said, "] ");
		break;
	case CN_EV_MESSAGE_DELTA:
		cn_buf_printf(&e->said, "(%.*s) ", CN_VIEW_ARG(ev->stop_reason));
		break;
	case CN_EV_MESSAGE_START:
	case CN_EV_MESSAGE_STOP:
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_ERROR:
	case CN_EV_UNKNOWN:
		cn_buf_printf(&e->said, "%s ", cn_event_name(ev->kind));
		break;
	}
}

static inline void ear_on_head(void *self, const struct cn_field_list *fields)
{
	struct ear *e = self;

	assert_int_equal(e->n_ends, 0);
	assert_int_equal(e->n_events, 0);
	e->n_heads++;
	for (size_t i = 0; i < fields->n; i++)
		cn_buf_printf(&e->fields, "%.*s: %.*s\n", CN_VIEW_ARG(fields->v[i].name),
		              CN_VIEW_ARG(fields->v[i].value));
	if (e->on_nth)
		e->on_nth(e, 0);
}

static inline const char *ear_on_event(void *self, const struct cn_event *ev)
{
	struct ear *e = self;

	assert_int_equal(e->n_ends, 0);
	e->n_events++;
	ear_note_event(e, ev);
	if (e->gate)
		sem_post(&e->gate->gates[0]);
	if (e->on_nth)
		e->on_nth(e, e->n_events);
	return e->n_events == 2 ? e->refuse_with : NULL;
}

static inline void ear_on_idle(void *self)
{
	struct ear *e = self;

	assert_int_equal(e->n_ends, 0);
	e->n_idles++;
	if (e->on_nth)
		e->on_nth(e, UINT32_MAX);
}

static inline void ear_on_raw(void *self, struct cn_view body)
{
	struct ear *e = self;

	e->n_raws++;
	cn_buf_add_view(&e->raw, body);
	if (e->on_nth)
		e->on_nth(e, UINT32_MAX - 1);
}

static inline void ear_on_end(void *self, const struct cn_outcome *o)
{
	struct ear *e = self;

	e->at = NULL;
	e->n_ends++;
	e->outcome = *o;
	cn_buf_add_view(&e->error_body, o->body);
	cn_buf_add_view(&e->message, o->message);
	(void)snprintf(e->request_id, sizeof(e->request_id), "%.*s",
	               CN_VIEW_ARG(o->upstream_request));
	if (e->then)
		e->then(e);
}

static inline void ear_done(struct ear *e)
{
	cn_buf_done(&e->said);
	cn_buf_done(&e->text);
	cn_buf_done(&e->fields);
	cn_buf_done(&e->raw);
	cn_buf_done(&e->error_body);
	cn_buf_done(&e->message);
}

/* A client of the backend at that port; the times are long, tests shorten theirs. */
static inline struct client *client_new(unsigned port)
{
	struct client *c = cn_zalloc(sizeof(*c));

	(void)snprintf(c->url, sizeof(c->url), "http://127.0.0.1:%u", port);
	c->charge.limit = (size_t)1 << 30;
	uv_loop_init(&c->loop);
	c->up = cn_upstreams_new(&c->loop, &c->charge);
	c->backend = (struct cn_backend){
	    .name = "b", .url = c->url, .origin = c->url, .network = CN_NETWORK_PRIVATE};
	c->body_slice = CN_VIEW("{\"model\":\"m\",\"stream\":true}");
	c->opts = (struct cn_attempt_opts){
	    .backend = &c->backend,
	    .path = "/v1/messages",
	    .body = {&c->body_slice, 1, c->body_slice.n},
	    .stream = true,
	    .connect_timeout_ms = 10000,
	    .first_byte_timeout_ms = 30000,
	    .idle_timeout_ms = 30000,
	    .progress_timeout_ms = 30000,
	    .attempt_timeout_ms = 30000,
	};
	return c;
}

static inline void client_start(struct client *c, struct ear *e)
{
	struct cn_attempt_opts o = c->opts;
	struct cn_error err = {0};

	e->c = c;
	o.owner = (struct cn_attempt_owner){ear_on_head, ear_on_event, ear_on_idle,
	                                    ear_on_end, e};
	o.on_raw = ear_on_raw;
	if (cn_attempt_start(c->up, &o, &e->at, &err))
		fail_msg("start: %s", err.message);
	assert_int_equal(e->n_ends, 0);
}

/* One turn of the loop, towards what is waited for since then. */
static inline void client_turn(struct client *c, uint64_t since_ms, const char *what)
{
	if (cn_clock_ms() - since_ms > PATIENCE_MS)
		fail_msg("never came: %s", what);
	uv_run(&c->loop, UV_RUN_ONCE);
}

/* Turns the loop until cond holds. */
#define WAIT_FOR(c, cond)                               \
	for (uint64_t since_ = cn_clock_ms(); !(cond);) \
	client_turn((c), since_, #cond)

static inline void client_run(struct client *c, struct ear *e)
{
	client_start(c, e);
	WAIT_FOR(c, e->n_ends);
}

/* The loop turns a few times: whatever was still to come comes now. */
static inline void client_settle(struct client *c)
{
	for (int i = 0; i < 20; i++)
		uv_run(&c->loop, UV_RUN_NOWAIT);
}

static inline void client_on_closed(void *self)
{
	((struct client *)self)->closed = true;
}

static inline void client_free(struct client *c)
{
	cn_upstreams_close(c->up, client_on_closed, c);
	WAIT_FOR(c, c->closed);
	assert_int_equal(uv_run(&c->loop, UV_RUN_NOWAIT), 0);
	assert_int_equal(uv_loop_close(&c->loop), 0);
	assert_int_equal(c->charge.used, 0);
	free(c);
}

/* ---- what backends say ---- */

#define HEAD(type) \
	"HTTP/1.1 200 OK\r\nContent-Type: " type "\r\nTransfer-Encoding: chunked\r\n\r\n"
#define SSE_HEAD HEAD("text/event-stream")
#define LAST     "0\r\n\r\n"

/* Chunks of events, their sizes by hand: a chunk each. */
#define EV_START                                                                     \
	"62\r\nevent: message_start\ndata: {\"type\":\"message_start\",\"message\":" \
	"{\"id\":\"m1\",\"model\":\"m\",\"usage\":{}}}\n\n\r\n"
#define EV_BLOCK                                                                     \
	"75\r\nevent: content_block_start\ndata: {\"type\":\"content_block_start\"," \
	"\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\r\n"
#define EV_HELLO                                                                     \
	"78\r\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\"," \
	"\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n\r\n"
#define EV_BLOCK_STOP                                                              \
	"49\r\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\"," \
	"\"index\":0}\n\n\r\n"
#define EV_DELTA                                                                    \
	"58\r\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{" \
	"\"stop_reason\":\"end_turn\"}}\n\n\r\n"
#define EV_STOP "33\r\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n\r\n"
#define EV_PING "23\r\nevent: ping\ndata: {\"type\":\"ping\"}\n\n\r\n"

#define EVENTS     EV_START EV_BLOCK EV_HELLO EV_BLOCK_STOP EV_DELTA EV_STOP
#define HELLO      SSE_HEAD EVENTS LAST
#define HELLO_SAID "message_start [0 0+Hello ] (end_turn) message_stop "

#endif
