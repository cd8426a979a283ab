/*
 * A listener with a handler that notes what it hears, and clients on non-blocking sockets,
 * all on one loop that the test turns by hand until what it waits for has happened.
 */
#ifndef CONTINUO_TEST_HTTP_SERVER_H
#define CONTINUO_TEST_HTTP_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../src/http/http_impl.h"

/* After this a test is given up: far over anything that it waits for. */
#define PATIENCE_MS 20000

struct server {
	uv_loop_t loop;
	struct cn_listener *l; /* NULL once closed */
	struct cn_charge charge;
	unsigned port;
	struct cn_conn *held;  /* of the last request that was not answered at once */
	struct cn_buf body;    /* of the last request */
	struct cn_buf head;    /* "METHOD path query peer" of the last head */
	struct cn_buf refused; /* "status why" of the last refusal */
	struct cn_buf gone;    /* the last reason */
	unsigned n_heads, n_requests, n_refused, n_sent, n_drains, n_gone, n_closed;
	int open;          /* what on_count adds up to */
	int may_accept;    /* how often to say no first */
	uint64_t max_body; /* 0: the default */
};

static inline bool server_on_head(void *self, struct cn_conn *c, const struct cn_head *h,
                                  uint64_t *max_body)
{
	struct server *s = self;
	struct cn_reply no = {.status = 403, .body = CN_VIEW("no")};

	s->n_heads++;
	if (s->max_body)
		*max_body = s->max_body;
	cn_buf_clear(&s->head);
	cn_buf_printf(&s->head, "%.*s %.*s %.*s %.*s", CN_VIEW_ARG(h->method),
	              CN_VIEW_ARG(h->path), CN_VIEW_ARG(h->query), CN_VIEW_ARG(h->peer));
	if (!cn_view_is(h->path, "/refuse"))
		return true;
	cn_conn_reply(c, &no);
	return false;
}

/* /hold: nothing; /begin: begins; anything else: the body, or "hello". */
static inline void server_on_request(void *self, struct cn_conn *c, const struct cn_head *h,
                                     struct cn_buf body)
{
	struct server *s = self;
	struct cn_field type = {CN_VIEW("content-type"), CN_VIEW("text/plain")};
	struct cn_reply r = {.status = 200, .fields = &type, .n_fields = 1};

	s->n_requests++;
	assert_true(s->charge.used >= body.n);
	cn_buf_done(&s->body);
	s->body = body;
	r.body = body.n ? cn_buf_view(&body) : CN_VIEW("hello");
	if (cn_view_is(h->path, "/hold"))
		s->held = c;
	else if (cn_view_is(h->path, "/begin"))
		cn_conn_begin(s->held = c, 200, &type, 1, "x-after");
	else if (cn_view_is(h->path, "/abort"))
		cn_conn_abort(c);
	else
		cn_conn_reply(c, &r);
	cn_conn_release_body(c, body.n);
}

static inline void server_on_refused(void *self, struct cn_conn *c, int status,
                                     const char *why)
{
	struct server *s = self;
	struct cn_reply r = {.status = status, .body = cn_view_str(why)};

	s->n_refused++;
	cn_buf_clear(&s->refused);
	cn_buf_printf(&s->refused, "%d %s", status, why);
	cn_conn_reply(c, &r);
}

static inline void server_on_sent(void *self, struct cn_conn *c)
{
	(void)c;
	((struct server *)self)->n_sent++;
}

static inline void server_on_drain(void *self, struct cn_conn *c)
{
	(void)c;
	((struct server *)self)->n_drains++;
}

static inline void server_on_gone(void *self, struct cn_conn *c, const char *why)
{
	struct server *s = self;

	s->n_gone++;
	cn_buf_clear(&s->gone);
	cn_buf_add_str(&s->gone, why);
	if (s->held == c)
		s->held = NULL;
}

static inline void server_on_close(void *self, struct cn_conn *c)
{
	struct server *s = self;

	s->n_closed++;
	if (s->held == c)
		s->held = NULL;
}

static inline bool server_may_accept(void *self)
{
	struct server *s = self;

	if (s->may_accept == 0)
		return true;
	s->may_accept--;
	return false;
}

static inline void server_on_count(void *self, int change)
{
	((struct server *)self)->open += change;
}

/* limits NULL: the defaults; unix_path NULL: TCP. */
static inline struct server *server_new(const struct cn_http__limits *limits,
                                        unsigned max_connections, const char *unix_path)
{
	struct server *s = cn_zalloc(sizeof(*s));
	struct cn_listener_opts opts = {
	    .loop = &s->loop,
	    .handler = {.on_head = server_on_head,
	                .on_request = server_on_request,
	                .on_refused = server_on_refused,
	                .on_sent = server_on_sent,
	                .on_drain = server_on_drain,
	                .on_gone = server_on_gone,
	                .on_close = server_on_close,
	                .self = s},
	    .charge = &s->charge,
	    .max_connections = max_connections,
	    .may_accept = server_may_accept,
	    .on_count = server_on_count,
	};
	struct cn_error err = {0};
	int fd = -1, rc;

	s->charge.limit = 256u << 20;
	assert_int_equal(uv_loop_init(&s->loop), 0);
	rc = unix_path ? cn_listen_unix(unix_path, &fd, &err)
	               : cn_listen_tcp("127.0.0.1", 0, &fd, &s->port, &err);
	if (rc == 0)
		rc = cn_listener_open(&opts, fd, unix_path, &s->l, &err);
	if (rc != 0)
		fail_msg("%s", err.message);
	if (limits)
		cn_http__listener_limit(s->l, limits);
	return s;
}

static inline void server_closed(void *self)
{
	((struct server *)self)->l = NULL;
}

/* Also checks that nothing is left: no handle, no charge, no connection. */
static inline void server_free(struct server *s)
{
	cn_listener_close(s->l, server_closed, s);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_null(s->l);
	assert_int_equal(uv_loop_close(&s->loop), 0);
	assert_int_equal(s->open, 0);
	assert_int_equal(s->charge.used, 0);
	cn_buf_done(&s->body);
	cn_buf_done(&s->head);
	cn_buf_done(&s->refused);
	cn_buf_done(&s->gone);
	free(s);
}

/* One turn of the loop; fails the test when it has waited too long since `since_ms`. */
static inline void server_turn(struct server *s, uint64_t since_ms, const char *what)
{
	/* The loop's own descriptor is readable when there is work: no spinning. */
	struct pollfd p = {.fd = uv_backend_fd(&s->loop), .events = POLLIN};
	int timeout = uv_backend_timeout(&s->loop);

	(void)poll(&p, 1, timeout < 0 || timeout > 5 ? 5 : timeout);
	uv_run(&s->loop, UV_RUN_NOWAIT);
	if (uv_hrtime() / 1000000 - since_ms > PATIENCE_MS)
		fail_msg("waited in vain for: %s", what);
}

#define WAIT_FOR(s, cond)                                          \
	for (uint64_t since_ms_ = uv_hrtime() / 1000000; !(cond);) \
	server_turn(s, since_ms_, #cond)

/* A few turns in which something must not happen. */
static inline void server_settle(struct server *s)
{
	for (int i = 0; i < 5; i++)
		server_turn(s, uv_hrtime() / 1000000, "");
}

struct client {
	int fd;
	struct cn_buf got; /* all bytes received */
	bool eof, reset;
};

static inline struct client client_connect(struct server *s)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)s->port)};
	struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(c.fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return c;
}

static inline void client_done(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	cn_buf_done(&c->got);
}

/* Sends all, turning the loop while the socket is full; stops when the peer is gone. */
static inline void client_send(struct server *s, struct client *c, struct cn_view v)
{
	uint64_t since_ms = uv_hrtime() / 1000000;

	while (v.n) {
		ssize_t n = send(c->fd, v.p, v.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0)
			v = cn_view_from(v, (size_t)n);
		else
			server_turn(s, since_ms, "room to send");
	}
}

static inline void client_say(struct server *s, struct client *c, const char *text)
{
	client_send(s, c, cn_view_str(text));
}

/* Receives what is there, at most n bytes. */
static inline void client_receive(struct client *c, size_t n)
{
	while (n && !c->eof && !c->reset) {
		size_t step = n < 65536 ? n : 65536;
		ssize_t got =
		    recv(c->fd, cn_buf_reserve(&c->got, step), step, MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			return;
		c->eof = got == 0;
		c->reset = got < 0;
		c->got.n += got > 0 ? (size_t)got : 0;
		n -= got > 0 ? (size_t)got : 0;
	}
}

static inline size_t client_count(struct client *c, const char *text)
{
	size_t n = 0, at = 0;

	client_receive(c, SIZE_MAX);
	while ((at = cn_view_find(cn_buf_view(&c->got), cn_view_str(text), at)) != SIZE_MAX)
		n++, at++;
	return n;
}

static inline bool client_over(struct client *c)
{
	client_receive(c, SIZE_MAX);
	return c->eof || c->reset;
}

static inline bool client_has(struct client *c, const char *text)
{
	return client_count(c, text) > 0;
}

/* The same for the last bytes only: cheap on much data. */
static inline bool client_ends(struct client *c, const char *text)
{
	client_receive(c, SIZE_MAX);
	return cn_view_ends(cn_buf_view(&c->got), cn_view_str(text));
}

static inline void assert_got(struct client *c, const char *text)
{
	if (!client_has(c, text))
		fail_msg("wanted \"%s\", got \"%s\"", text, cn_buf_cstr(&c->got));
}

/* What was received since the last call. */
static inline void client_forget(struct client *c)
{
	cn_buf_clear(&c->got);
}

#endif
