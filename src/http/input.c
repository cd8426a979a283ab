/*
 * A connection's bytes in: receives, parses, asks the handler about the head, gathers the
 * body and hands the request over.  Owns the body until then, and charges it before it
 * grows.  Runs on the connection's thread.  A body of known length is received straight
 * into its place.  Nothing is answered here but by the handler or by a refusal.
 */
#include <errno.h>
#include <sys/socket.h>

#include "http_impl.h"

/*
 * What a body's buffer begins with: a length up to this is believed and allocated at once,
 * a longer one must come true by doubling.
 */
#define PLAUSIBLE (256 * 1024)
/* The same for a body of unknown length. */
#define UNKNOWN_LENGTH (16 * 1024)

#define TOO_LARGE "the request body is larger than allowed"
#define NO_MEMORY "no memory for another request"

static bool take(struct cn_conn *c, size_t n)
{
	if (c->l->opts.charge && !cn_charge_take(c->l->opts.charge, n))
		return false;
	c->body_charged += n;
	return true;
}

static void give(struct cn_conn *c, size_t n)
{
	cn_assert(n <= c->body_charged);
	c->body_charged -= n;
	if (c->l->opts.charge)
		cn_charge_release(c->l->opts.charge, n);
}

void cn_conn_release_body(struct cn_conn *c, size_t n)
{
	if (c->l->opts.charge)
		cn_charge_release(c->l->opts.charge, n);
}

void cn_http__input_drop(struct cn_conn *c)
{
	give(c, c->body.cap);
	cn_buf_done(&c->body);
}

void cn_http__input_done(struct cn_conn *c)
{
	cn_buf_done(&c->body);
	cn_buf_done(&c->ahead);
	cn_http__parse_done(&c->parse);
	give(c, c->body_charged);
}

static bool set_capacity(struct cn_conn *c, size_t cap)
{
	if (cap > c->body.cap && !take(c, cap - c->body.cap))
		return false;
	if (cap < c->body.cap)
		give(c, c->body.cap - cap);
	if (cap == 0) {
		cn_buf_done(&c->body);
		return true;
	}
	c->body.p = cn_realloc(c->body.p, cap);
	c->body.cap = cap;
	return true;
}

/* Room for at least one byte more than there is, n more if the body has them. */
static bool grow(struct cn_conn *c, size_t n)
{
	uint64_t length = c->parse.head.content_length;
	uint64_t most = length == UINT64_MAX ? c->max_body : length;
	size_t first = length == UINT64_MAX ? UNKNOWN_LENGTH : PLAUSIBLE;
	size_t cap = c->body.cap ? c->body.cap : first;

	if (c->body.n + n <= c->body.cap)
		return true;
	while (cap < c->body.n + n)
		cap *= 2;
	if (cap > most)
		cap = (size_t)most;
	return set_capacity(c, cap);
}

/* The handler has said that it wants the body. */
static void begin_body(struct cn_conn *c, bool in_hand)
{
	const struct cn_head *h = &c->parse.head;
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	c->keep = !c->parse.close && !c->l->draining;
	cn_http__conn_enter(c, CN_CONN_BODY);
	if (!h->has_body)
		return;
	if (h->content_length != UINT64_MAX && h->content_length > c->max_body) {
		cn_http__conn_refuse(c, 413, TOO_LARGE);
		return;
	}
	if (!grow(c, 1)) {
		cn_http__conn_refuse(c, 503, NO_MEMORY);
		return;
	}
	/* RFC 9110 10.1.1: not needed once the body comes by itself. */
	if (c->parse.expects && !in_hand) {
		cn_buf_add(&c->out, go_on, sizeof(go_on) - 1);
		c->progress_ms = uv_now(c->l->opts.loop);
		cn_http__listener_dirty(c->l, c);
	}
}

static void ask(struct cn_conn *c, bool in_hand)
{
	const struct cn_conn_handler *to = &c->l->opts.handler;
	bool wanted;

	c->fresh = false;
	c->parse.head.peer = cn_view_str(c->peer);
	c->head_only = cn_view_is(c->parse.head.method, "HEAD");
	c->max_body = c->l->limits.max_body;
	c->keep = false; /* a reply without the body ends the connection */
	cn_http__conn_enter(c, CN_CONN_ANSWERING);
	wanted = to->on_head(to->self, c, &c->parse.head, &c->max_body);
	if (c->state == CN_CONN_CLOSING)
		return;
	/* Either a reply or the wish for the body, not both and not neither. */
	cn_assert(wanted == (c->state == CN_CONN_ANSWERING));
	if (wanted)
		begin_body(c, in_hand);
}

static void gather(struct cn_conn *c, struct cn_view bytes)
{
	if (bytes.n > c->max_body - c->body.n) {
		cn_http__conn_refuse(c, 413, TOO_LARGE);
		return;
	}
	if (!grow(c, bytes.n)) {
		cn_http__conn_refuse(c, 503, NO_MEMORY);
		return;
	}
	cn_buf_add_view(&c->body, bytes);
	c->window += bytes.n;
}

static void deliver(struct cn_conn *c)
{
	const struct cn_conn_handler *to = &c->l->opts.handler;
	struct cn_buf body;

	(void)set_capacity(c, c->body.n); /* the charge is now the size, and goes along */
	body = c->body;
	c->body = (struct cn_buf){0};
	c->body_charged -= body.n;
	c->served = true;
	cn_http__conn_enter(c, CN_CONN_ANSWERING);
	to->on_request(to->self, c, &c->parse.head, body);
}

static bool is_receiving(const struct cn_conn *c)
{
	return c->state == CN_CONN_IDLE || c->state == CN_CONN_HEAD ||
	       c->state == CN_CONN_BODY;
}

/* One event of the parser; false when the input is used up. */
static bool step(struct cn_conn *c, struct cn_view *in)
{
	struct cn_view piece;

	if (c->state == CN_CONN_IDLE) {
		if (in->n == 0)
			return false;
		cn_http__conn_enter(c, CN_CONN_HEAD);
	}
	switch (cn_http__parse_next(&c->parse, in, &piece)) {
	case CN_HTTP_MORE:
		return false;
	case CN_HTTP_HEAD:
		ask(c, in->n > 0);
		break;
	case CN_HTTP_BODY:
		gather(c, piece);
		break;
	case CN_HTTP_END:
		if (c->parse.close && in->n)
			cn_http__conn_refuse(c, 400, "bytes after the last request");
		else
			deliver(c);
		break;
	case CN_HTTP_BAD:
		cn_http__conn_refuse(c, c->parse.status, c->parse.why);
		break;
	}
	return true;
}

void cn_http__input_feed(struct cn_conn *c, struct cn_view in)
{
	while (is_receiving(c) && step(c, &in))
		;
	/* A request waits until the one before it is answered; at most one read's worth. */
	if (in.n == 0 || is_receiving(c) || c->state == CN_CONN_CLOSING)
		return;
	c->keep = c->keep && take(c, in.n);
	if (c->keep)
		cn_buf_add_view(&c->ahead, in);
	else
		c->hush = true;
}

void cn_http__input_resume(struct cn_conn *c)
{
	CN_AUTO(cn_buf) ahead = c->ahead;

	c->ahead = (struct cn_buf){0};
	give(c, ahead.n);
	cn_http__input_feed(c, cn_buf_view(&ahead));
}

/* Bytes received; 0: none at present; -1: the client closed or the connection broke. */
static ssize_t receive(struct cn_conn *c, void *p, size_t n, int flags)
{
	ssize_t got;

	do
		got = recv(c->fd, p, n, flags | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}

/* A body of known length needs no parsing. */
static void read_body(struct cn_conn *c)
{
	size_t n;
	ssize_t got;

	if (!grow(c, 1)) {
		cn_http__conn_refuse(c, 503, NO_MEMORY);
		return;
	}
	n = c->body.cap - c->body.n;
	if (n > c->parse.left)
		n = (size_t)c->parse.left;
	got = receive(c, c->body.p + c->body.n, n, 0);
	if (got < 0) {
		cn_http__conn_close(c);
		return;
	}
	c->body.n += (size_t)got;
	c->window += (uint64_t)got;
	cn_http__parse_skip(&c->parse, (size_t)got);
	cn_http__input_feed(c, (struct cn_view){NULL, 0});
}

static void read_request(struct cn_conn *c)
{
	ssize_t got = receive(c, c->l->scratch, sizeof(c->l->scratch), 0);

	/* A client that leaves, or half-closes, before its request is whole wants nothing.
	 */
	if (got < 0)
		cn_http__conn_close(c);
	else
		cn_http__input_feed(c, cn_view(c->l->scratch, (size_t)got));
}

/* Only the end of the connection is of interest; bytes stay where they are. */
static void peek(struct cn_conn *c)
{
	char byte;
	ssize_t got = receive(c, &byte, 1, MSG_PEEK);

	if (got < 0)
		cn_http__conn_gone(c, "the client closed the connection");
	else if (got > 0)
		c->hush = true;
}

static void discard(struct cn_conn *c)
{
	ssize_t got = receive(c, c->l->scratch, sizeof(c->l->scratch), 0);

	if (got > 0)
		c->window += (uint64_t)got;
	if (got < 0 || c->window > c->l->limits.linger_bytes)
		cn_http__conn_close(c);
}

void cn_http__input_read(struct cn_conn *c)
{
	switch (c->state) {
	case CN_CONN_BODY:
		if (c->parse.state == CN_PARSE_LENGTH)
			read_body(c);
		else
			read_request(c);
		break;
	case CN_CONN_IDLE:
	case CN_CONN_HEAD:
		read_request(c);
		break;
	case CN_CONN_ANSWERING:
	case CN_CONN_STREAMING:
	case CN_CONN_FLUSHING:
		peek(c);
		break;
	case CN_CONN_LINGERING:
		discard(c);
		break;
	case CN_CONN_CLOSING:
		break;
	}
}
