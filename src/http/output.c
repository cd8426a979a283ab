/*
 * A connection's bytes out: replies are written into one buffer, which leaves with one
 * send() at the end of the loop turn (design/performance.md).  Owns that buffer and its
 * charge.  Runs on the connection's thread.  What happens when all bytes have left is
 * decided in conn.c; the form of heads and chunks is reply.c's.
 */
#include <errno.h>
#include <sys/socket.h>

#include "http_impl.h"

/* A buffer that grew past this for one reply is not kept for the rest of a stream. */
#define KEEP_OUT 16384
/* Status line, date, length, connection, and the frame of a chunk. */
#define HEAD_ROOM  256
#define CHUNK_ROOM 32

static struct cn_charge *charge_of(const struct cn_conn *c)
{
	return c->l->opts.charge;
}

/*
 * Makes room for n bytes, charging the buffer before it grows.  Replies are never cut for
 * want of memory: false says that the charge was refused, and the writer is told to stop.
 */
static bool room(struct cn_conn *c, size_t n)
{
	size_t cap = c->out.cap;
	bool fits = true;

	if (c->out_at && c->out.n + n > cap) {
		cn_buf_consume(&c->out, c->out_at);
		c->out_at = 0;
	}
	if (c->out.n + n <= cap)
		return true;
	cap = cap * 2 > c->out.n + n ? cap * 2 : c->out.n + n;
	if (charge_of(c)) {
		fits = cn_charge_take(charge_of(c), cap - c->out_charged);
		if (fits)
			c->out_charged = cap;
	}
	c->out.p = cn_realloc(c->out.p, cap);
	c->out.cap = cap;
	return fits;
}

static void free_out(struct cn_conn *c)
{
	cn_buf_done(&c->out);
	c->out_at = 0;
	if (charge_of(c))
		cn_charge_release(charge_of(c), c->out_charged);
	c->out_charged = 0;
}

void cn_http__output_done(struct cn_conn *c)
{
	free_out(c);
}

size_t cn_conn_pending(const struct cn_conn *c)
{
	return c->state == CN_CONN_CLOSING ? 0 : c->out.n - c->out_at;
}

/* Output begins to wait: the time in which the client must read begins. */
static void queued(struct cn_conn *c, bool was_empty)
{
	if (was_empty)
		c->progress_ms = uv_now(c->l->opts.loop);
	cn_http__listener_dirty(c->l, c);
}

bool cn_http__output_send(struct cn_conn *c)
{
	size_t n = cn_conn_pending(c);
	ssize_t sent;

	if (n == 0)
		return true;
	do
		sent = send(c->fd, c->out.p + c->out_at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		return false;
	if (sent > 0) {
		c->out_at += (size_t)sent;
		c->progress_ms = uv_now(c->l->opts.loop);
	}
	c->blocked = cn_conn_pending(c) > 0;
	if (c->blocked)
		return true;
	if (c->state != CN_CONN_STREAMING || c->out.cap > KEEP_OUT)
		free_out(c);
	cn_buf_clear(&c->out);
	c->out_at = 0;
	return true;
}

static size_t fields_size(const struct cn_field *fields, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += fields[i].name.n + fields[i].value.n + 4;
	return size;
}

void cn_conn_reply(struct cn_conn *c, const struct cn_reply *r)
{
	struct cn_http__reply_head h = {.status = r->status,
	                                .fields = r->fields,
	                                .n_fields = r->n_fields,
	                                .length = r->body.n};
	bool was_empty = cn_conn_pending(c) == 0;

	if (c->state == CN_CONN_CLOSING)
		return;
	cn_assert(c->state == CN_CONN_ANSWERING);
	c->keep = c->keep && !r->close && !c->l->draining;
	h.date = cn_http__listener_date(c->l);
	h.close = !c->keep;
	h.has_length = !cn_http__reply_bodiless(r->status);
	(void)room(c, HEAD_ROOM + fields_size(r->fields, r->n_fields) + r->body.n);
	cn_http__reply_head(&c->out, &h);
	if (h.has_length && !c->head_only)
		cn_buf_add_view(&c->out, r->body);
	cn_http__conn_enter(c, CN_CONN_FLUSHING);
	queued(c, was_empty);
}

void cn_conn_begin(struct cn_conn *c, int status, const struct cn_field *fields, size_t n,
                   const char *trailer_names)
{
	struct cn_http__reply_head h = {
	    .status = status, .fields = fields, .n_fields = n, .trailers = trailer_names};
	bool was_empty = cn_conn_pending(c) == 0;

	if (c->state == CN_CONN_CLOSING)
		return;
	cn_assert(c->state == CN_CONN_ANSWERING && !cn_http__reply_bodiless(status));
	/* HTTP/1.0 knows no chunks: there the end of the connection is the end. */
	c->chunked = !c->parse.http10;
	c->keep = c->keep && c->chunked && !c->l->draining;
	c->served = true;
	h.date = cn_http__listener_date(c->l);
	h.chunked = c->chunked;
	h.close = !c->keep;
	(void)room(c, HEAD_ROOM + fields_size(fields, n) +
	                  (trailer_names ? strlen(trailer_names) : 0));
	cn_http__reply_head(&c->out, &h);
	cn_http__conn_enter(c, CN_CONN_STREAMING);
	queued(c, was_empty);
}

bool cn_conn_write(struct cn_conn *c, struct cn_view bytes)
{
	bool was_empty = cn_conn_pending(c) == 0, fits;

	if (c->state == CN_CONN_CLOSING)
		return true;
	cn_assert(c->state == CN_CONN_STREAMING);
	/* An empty chunk would be the end. */
	if (bytes.n == 0 || c->head_only)
		return !c->told_stop;
	fits = room(c, bytes.n + CHUNK_ROOM);
	if (c->chunked)
		cn_http__reply_chunk(&c->out, bytes.n);
	cn_buf_add_view(&c->out, bytes);
	if (c->chunked)
		cn_buf_add(&c->out, "\r\n", 2);
	queued(c, was_empty);
	if (!fits || cn_conn_pending(c) > c->l->limits.high)
		c->told_stop = true;
	return !c->told_stop;
}

void cn_conn_end(struct cn_conn *c, const struct cn_field *trailers, size_t n)
{
	bool was_empty = cn_conn_pending(c) == 0;

	if (c->state == CN_CONN_CLOSING)
		return;
	cn_assert(c->state == CN_CONN_STREAMING);
	if (c->chunked && !c->head_only) {
		(void)room(c, CHUNK_ROOM + fields_size(trailers, n));
		cn_buf_add_str(&c->out, "0\r\n");
		for (size_t i = 0; i < n; i++)
			cn_http__reply_field(&c->out, &trailers[i]);
		cn_buf_add(&c->out, "\r\n", 2);
	}
	c->told_stop = false;
	cn_http__conn_enter(c, CN_CONN_FLUSHING);
	queued(c, was_empty);
}

void cn_conn_abort(struct cn_conn *c)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (c->state == CN_CONN_CLOSING)
		return;
	c->served = false;
	/*
	 * What was written still goes out, as far as it goes at once: the client may have
	 * use for it.  Chunks without the last one are a failure by themselves; without
	 * chunks only a reset is.
	 */
	if (c->state == CN_CONN_STREAMING && !c->blocked)
		(void)cn_http__output_send(c);
	if (c->state == CN_CONN_STREAMING && !c->chunked)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	cn_http__conn_close(c);
}
