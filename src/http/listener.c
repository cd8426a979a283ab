/*
 * What the connections of one loop share: the listening socket, the limits, the sweep over
 * their ages, the list of those with output to send.  Owns a duplicate of the listening
 * socket and all its handles; runs on the thread of the loop.  Several listeners, one a
 * worker, watch the same socket, so each takes only a few connections at a time.  It knows
 * nothing of requests.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_impl.h"

#include "continuo/clock.h"
#include "continuo/counters.h"

/* Taken per wake-up, so that the other workers get theirs. */
#define ACCEPT_BATCH 4

const struct cn_http__limits cn_http__defaults = {
    .line = 8192,
    .head = 32768,
    .fields = 100,
    .max_body = 40u << 20,
    .head_ms = 10000,
    .body_ms = 10000,
    .body_rate = 1024,
    .idle_ms = 75000,
    .idle_last_ms = 1000,
    .stall_ms = 120000,
    .linger_ms = 2000,
    .linger_bytes = 64u << 20,
    .sweep_ms = 500,
    .pause_ms = 100,
    .high = 256u << 10,
    .low = 64u << 10,
};

static void on_accept(uv_poll_t *handle, int status, int events);

/* Watches the listening socket exactly when another connection is welcome. */
static void watch(struct cn_listener *l)
{
	bool want = !l->draining && !l->closing && l->n_conns < l->opts.max_connections &&
	            !uv_is_active((uv_handle_t *)&l->pause);

	if (l->fd < 0 || want == (bool)uv_is_active((uv_handle_t *)&l->accept))
		return;
	if (want)
		cn_assert(uv_poll_start(&l->accept, UV_READABLE, on_accept) == 0);
	else
		cn_assert(uv_poll_stop(&l->accept) == 0);
}

static void on_pause_over(uv_timer_t *timer)
{
	watch(timer->data);
}

static void pause_accepting(struct cn_listener *l)
{
	uv_timer_start(&l->pause, on_pause_over, l->limits.pause_ms, 0);
	watch(l);
}

/* The peer's name into out; false when it may not speak to us. */
static bool admit(const struct cn_listener *l, int fd, const struct sockaddr_storage *ss,
                  char out[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (!l->unix_socket && ss->ss_family == AF_INET6)
		return inet_ntop(AF_INET6, &in6->sin6_addr, out, INET6_ADDRSTRLEN);
	if (!l->unix_socket)
		return inet_ntop(AF_INET, &in->sin_addr, out, INET6_ADDRSTRLEN);
	/* No token is asked for on a Unix socket, so the user is (security.md 5). */
	memcpy(out, "unix", sizeof("unix"));
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 &&
	       cred.uid == geteuid();
}

/* Takes one connection; false when no other should be tried for in this turn. */
static bool accept_one(struct cn_listener *l)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	char peer[INET6_ADDRSTRLEN];
	int fd;

	if (l->opts.may_accept && !l->opts.may_accept(l->opts.handler.self)) {
		pause_accepting(l);
		return false;
	}
	fd = accept4(l->fd, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0 && !admit(l, fd, &ss, peer)) {
		close(fd);
		return true;
	}
	if (fd >= 0) {
		cn_http__conn_new(l, fd, peer);
		return true;
	}
	switch (errno) {
	case EAGAIN: /* harmless: another worker was faster */
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: /* level-triggered: without a pause we would spin */
		pause_accepting(l);
		return false;
	default: /* harmless: that one connection died in the queue */
		return true;
	}
}

static void on_accept(uv_poll_t *handle, int status, int events)
{
	struct cn_listener *l = handle->data;

	(void)events; /* only readable was asked for */
	if (status < 0) {
		pause_accepting(l);
		return;
	}
	for (int i = 0; i < ACCEPT_BATCH && l->n_conns < l->opts.max_connections; i++)
		if (!accept_one(l))
			break;
	watch(l);
}

static void on_sweep(uv_timer_t *timer)
{
	struct cn_listener *l = timer->data;
	uint64_t now_ms = uv_now(l->opts.loop);

	CN_LIST_EACH(it, &l->conns)
	cn_http__conn_sweep(cn_container_of(it, struct cn_conn, link), now_ms);
}

static void on_turn_end(uv_idle_t *idle)
{
	struct cn_listener *l = idle->data;
	struct cn_list batch;

	/* Who has more to send after this goes to the next turn, behind the input. */
	cn_list_init(&batch);
	CN_LIST_EACH(it, &l->dirty)
	{
		cn_list_remove(it);
		cn_list_append(&batch, it);
	}
	while (!cn_list_empty(&batch)) {
		struct cn_conn *c = cn_container_of(batch.next, struct cn_conn, dirty);

		cn_list_remove(&c->dirty);
		cn_http__conn_flush(c);
	}
	if (cn_list_empty(&l->dirty))
		uv_idle_stop(&l->flush);
}

void cn_http__listener_dirty(struct cn_listener *l, struct cn_conn *c)
{
	if (!cn_list_empty(&c->dirty))
		return;
	/*
	 * An idle handle runs once per turn before the loop looks for input, and keeps the
	 * loop from sleeping, whoever wrote and whenever.
	 */
	if (cn_list_empty(&l->dirty))
		uv_idle_start(&l->flush, on_turn_end);
	cn_list_append(&l->dirty, &c->dirty);
}

void cn_http__listener_adopt(struct cn_listener *l, struct cn_conn *c)
{
	cn_count(CN_CT_CONNECTIONS);
	cn_list_append(&l->conns, &c->link);
	l->n_handles++;
	if (l->n_conns++ == 0)
		uv_timer_start(&l->sweep, on_sweep, l->limits.sweep_ms, l->limits.sweep_ms);
	if (l->opts.on_count)
		l->opts.on_count(l->opts.handler.self, 1);
}

static void handle_gone(struct cn_listener *l)
{
	void (*on_closed)(void *self) = l->on_closed;
	void *self = l->closed_self;

	if (--l->n_handles > 0 || !l->closing)
		return;
	free(l);
	if (on_closed)
		on_closed(self);
}

void cn_http__listener_forget(struct cn_listener *l, struct cn_conn *c)
{
	cn_list_remove(&c->link);
	l->n_conns--;
	if (l->opts.on_count)
		l->opts.on_count(l->opts.handler.self, -1);
	if (!l->closing && l->n_conns == 0)
		uv_timer_stop(&l->sweep);
	watch(l);
	handle_gone(l);
}

struct cn_view cn_http__listener_date(struct cn_listener *l)
{
	uint64_t now_s = cn_clock_wall_ms() / 1000;

	if (now_s != l->date_s) {
		l->date_s = now_s;
		cn_http__reply_date(l->date, now_s);
	}
	return cn_view_str(l->date);
}

void cn_http__listener_limit(struct cn_listener *l, const struct cn_http__limits *limits)
{
	l->limits = *limits;
}

int cn_listener_open(const struct cn_listener_opts *opts, int fd, bool unix_socket,
                     struct cn_listener **ret, struct cn_error *reterr)
{
	struct cn_listener *l;
	int one = 1, rc, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return cn_fail(reterr, CN_E_IO, "cannot serve a socket: %s",
		               strerror(errno));
	/* What is accepted inherits it: one call for all connections. */
	if (!unix_socket && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return cn_fail(reterr, CN_E_IO, "cannot serve a socket: %s",
		               strerror(errno));
	l = cn_zalloc(sizeof(*l));
	l->opts = *opts;
	l->limits = cn_http__defaults;
	l->fd = fd;
	l->unix_socket = unix_socket;
	cn_list_init(&l->conns);
	cn_list_init(&l->dirty);
	rc = uv_poll_init(opts->loop, &l->accept, fd);
	if (rc != 0) {
		free(l);
		return cn_fail(reterr, CN_E_IO, "cannot watch a socket: %s",
		               uv_strerror(rc));
	}
	uv_timer_init(opts->loop, &l->pause);
	uv_timer_init(opts->loop, &l->sweep);
	uv_idle_init(opts->loop, &l->flush);
	l->accept.data = l->pause.data = l->sweep.data = l->flush.data = l;
	l->n_handles = 4;
	watch(l);
	*ret = l;
	return 0;
}

size_t cn_listener_connections(const struct cn_listener *l)
{
	return l->n_conns;
}

bool cn_listener_sending(const struct cn_listener *l)
{
	CN_LIST_EACH(it, &l->conns)
	{
		if (cn_conn_pending(cn_container_of(it, struct cn_conn, link)))
			return true;
	}
	return false;
}

static void on_handle_closed(uv_handle_t *handle)
{
	handle_gone(handle->data);
}

static void stop_accepting(struct cn_listener *l)
{
	if (l->fd < 0)
		return;
	uv_timer_stop(&l->pause);
	uv_close((uv_handle_t *)&l->accept, on_handle_closed);
	close(l->fd);
	l->fd = -1;
}

void cn_listener_drain(struct cn_listener *l)
{
	l->draining = true;
	stop_accepting(l);
}

void cn_listener_close(struct cn_listener *l, void (*on_closed)(void *self), void *self)
{
	cn_assert(!l->closing);
	l->closing = true;
	l->on_closed = on_closed;
	l->closed_self = self;
	stop_accepting(l);
	CN_LIST_EACH(it, &l->conns)
	cn_http__conn_gone(cn_container_of(it, struct cn_conn, link),
	                   "the router is stopping");
	uv_close((uv_handle_t *)&l->pause, on_handle_closed);
	uv_close((uv_handle_t *)&l->sweep, on_handle_closed);
	uv_close((uv_handle_t *)&l->flush, on_handle_closed);
}
