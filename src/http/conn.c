/*
 * One client's connection: its states, its ages, its end.  Owns the socket and the poll
 * handle; lives from accept to the handle's close callback, on the thread of its loop.
 *
 *   IDLE → HEAD → (ANSWERING: on_head) → BODY → ANSWERING → [STREAMING →] FLUSHING → IDLE
 *
 * A refusal goes from HEAD or BODY to ANSWERING and FLUSHING; then LINGERING reads on for a
 * moment, lest the reset for unread bytes overtake the reply.  CLOSING is reached from
 * everywhere.  Bytes in are input.c's, bytes out are output.c's.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "http_impl.h"

#define S(state) (1u << CN_CONN_##state)
/* From each state, the states that may follow. */
static const unsigned legal[] = {
    [CN_CONN_IDLE] = S(HEAD) | S(CLOSING),
    [CN_CONN_HEAD] = S(ANSWERING) | S(CLOSING),
    [CN_CONN_BODY] = S(ANSWERING) | S(CLOSING),
    [CN_CONN_ANSWERING] = S(BODY) | S(STREAMING) | S(FLUSHING) | S(CLOSING),
    [CN_CONN_STREAMING] = S(FLUSHING) | S(CLOSING),
    [CN_CONN_FLUSHING] = S(IDLE) | S(LINGERING) | S(CLOSING),
    [CN_CONN_LINGERING] = S(CLOSING),
    [CN_CONN_CLOSING] = 0,
};
#undef S

void cn_http__conn_enter(struct cn_conn *c, enum cn_conn_state next)
{
	bool first_byte = c->state == CN_CONN_IDLE && next == CN_CONN_HEAD;

	cn_assert(legal[c->state] & (1u << next));
	c->state = next;
	c->window = 0;
	/* The first head's time runs from accepting, so that silence buys none. */
	if (!(first_byte && c->fresh))
		c->since_ms = uv_now(c->l->opts.loop);
}

static void on_poll(uv_poll_t *handle, int status, int events);

/* Polls for what the state can use.  Changing it costs system calls, so it seldom does. */
static void attend(struct cn_conn *c)
{
	int mask = c->hush ? UV_DISCONNECT : UV_READABLE;

	if (c->state == CN_CONN_CLOSING)
		return;
	if (c->blocked)
		mask |= UV_WRITABLE;
	if (mask == c->mask)
		return;
	c->mask = mask;
	cn_assert(uv_poll_start(&c->poll, mask, on_poll) == 0);
}

void cn_http__conn_gone(struct cn_conn *c, const char *why)
{
	const struct cn_conn_handler *to = &c->l->opts.handler;
	bool served = c->served;

	cn_http__conn_close(c);
	if (served)
		to->on_gone(to->self, c, why);
}

/* The socket took the last byte of a reply. */
static void finish(struct cn_conn *c)
{
	const struct cn_conn_handler *to = &c->l->opts.handler;
	bool whole = c->parse.state == CN_PARSE_DONE || c->parse.state == CN_PARSE_NO_BODY;
	bool unread = c->hush || c->ahead.n || !whole;

	if (c->served && to->on_sent)
		to->on_sent(to->self, c);
	c->served = false;
	if (c->state == CN_CONN_CLOSING)
		return;
	c->hush = false;
	if (c->keep) {
		cn_http__parse_reset(&c->parse);
		cn_http__conn_enter(c, CN_CONN_IDLE);
		cn_http__input_resume(c);
	} else if (unread && shutdown(c->fd, SHUT_WR) == 0) {
		cn_http__conn_enter(c, CN_CONN_LINGERING);
	} else {
		cn_http__conn_close(c);
	}
}

void cn_http__conn_flush(struct cn_conn *c)
{
	const struct cn_conn_handler *to = &c->l->opts.handler;

	if (c->state == CN_CONN_CLOSING)
		return;
	if (!c->blocked && !cn_http__output_send(c)) {
		cn_http__conn_gone(c, "the connection broke");
		return;
	}
	if (c->told_stop && cn_conn_pending(c) <= c->l->limits.low) {
		c->told_stop = false;
		to->on_drain(to->self, c);
	}
	if (c->state == CN_CONN_FLUSHING && cn_conn_pending(c) == 0)
		finish(c);
	attend(c);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct cn_conn *c = handle->data;

	if (status < 0) {
		cn_http__conn_gone(c, "the connection broke");
		return;
	}
	if (events & UV_WRITABLE) {
		c->blocked = false;
		cn_http__conn_flush(c);
	}
	if (c->state != CN_CONN_CLOSING && (events & UV_DISCONNECT)) {
		cn_http__conn_gone(c, "the client closed the connection");
		return;
	}
	if (events & UV_READABLE)
		cn_http__input_read(c);
	attend(c);
}

void cn_http__conn_refuse(struct cn_conn *c, int status, const char *why)
{
	const struct cn_conn_handler *to = &c->l->opts.handler;
	struct cn_reply bare = {.status = status, .close = true};

	cn_http__input_drop(c);
	c->keep = false;
	cn_http__conn_enter(c, CN_CONN_ANSWERING);
	to->on_refused(to->self, c, status, why);
	if (c->state == CN_CONN_ANSWERING)
		cn_conn_reply(c, &bare);
}

static uint64_t idle_limit(const struct cn_conn *c)
{
	const struct cn_http__limits *lim = &c->l->limits;

	if (c->l->draining)
		return lim->idle_last_ms;
	return c->fresh ? lim->head_ms : lim->idle_ms;
}

/* A whole window has passed: did enough of the body come in it? */
static void judge_rate(struct cn_conn *c, uint64_t now_ms)
{
	const struct cn_http__limits *lim = &c->l->limits;

	if (c->window * 1000 < lim->body_rate * (now_ms - c->since_ms)) {
		cn_http__conn_refuse(c, 408, "the request body comes too slowly");
		return;
	}
	c->since_ms = now_ms;
	c->window = 0;
}

void cn_http__conn_sweep(struct cn_conn *c, uint64_t now_ms)
{
	const struct cn_http__limits *lim = &c->l->limits;
	uint64_t age = now_ms - c->since_ms;

	switch (c->state) {
	case CN_CONN_IDLE:
		if (age > idle_limit(c))
			cn_http__conn_close(c);
		break;
	case CN_CONN_HEAD:
		if (age > lim->head_ms)
			cn_http__conn_refuse(c, 408, "the request head took too long");
		break;
	case CN_CONN_BODY:
		if (age > lim->body_ms)
			judge_rate(c, now_ms);
		break;
	case CN_CONN_ANSWERING:
	case CN_CONN_STREAMING:
	case CN_CONN_FLUSHING:
		if (cn_conn_pending(c) && now_ms - c->progress_ms > lim->stall_ms)
			cn_http__conn_gone(c, "the client does not read its answer");
		break;
	case CN_CONN_LINGERING:
		if (age > lim->linger_ms)
			cn_http__conn_close(c);
		break;
	case CN_CONN_CLOSING:
		break;
	}
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct cn_conn *c = handle->data;
	const struct cn_conn_handler *to = &c->l->opts.handler;

	to->on_close(to->self, c);
	cn_http__output_done(c);
	cn_http__input_done(c);
	cn_http__listener_forget(c->l, c);
	free(c);
}

void cn_http__conn_close(struct cn_conn *c)
{
	if (c->state == CN_CONN_CLOSING)
		return;
	cn_http__conn_enter(c, CN_CONN_CLOSING);
	c->served = false;
	cn_list_remove(&c->dirty);
	uv_close((uv_handle_t *)&c->poll, on_handle_closed);
	close(c->fd);
	c->fd = -1;
}

void cn_http__conn_new(struct cn_listener *l, int fd, const char *peer)
{
	struct cn_conn *c = cn_zalloc(sizeof(*c));

	c->l = l;
	c->fd = fd;
	c->fresh = true;
	c->state = CN_CONN_IDLE;
	c->since_ms = uv_now(l->opts.loop);
	cn_assert(strlen(peer) < sizeof(c->peer));
	memcpy(c->peer, peer, strlen(peer) + 1);
	cn_http__parse_init(&c->parse, &l->limits, l->opts.charge);
	if (uv_poll_init(l->opts.loop, &c->poll, fd) != 0) {
		close(fd);
		free(c);
		return;
	}
	c->poll.data = c;
	cn_list_init(&c->dirty);
	cn_http__listener_adopt(l, c);
	attend(c);
}

void cn_conn_set_data(struct cn_conn *c, void *data)
{
	c->data = data;
}

void *cn_conn_data(const struct cn_conn *c)
{
	return c->data;
}
