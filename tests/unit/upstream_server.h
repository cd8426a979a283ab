/*
 * A backend made of a script: a listening socket, and a thread for each connection that
 * does what the steps say, byte for byte, and knows nothing of HTTP but where a request
 * ends.
 */
#ifndef CONTINUO_TEST_UPSTREAM_SERVER_H
#define CONTINUO_TEST_UPSTREAM_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "continuo/buf.h"

#define MAX_CONNECTIONS 512

enum step_kind {
	END,      /* close, with a FIN */
	AGAIN,    /* from the first step, on the same connection */
	REQUEST,  /* read a whole one; without one, close */
	SEND,     /* text */
	TRICKLE,  /* text, byte by byte */
	REPEAT,   /* text, n times */
	PACE,     /* text, every n milliseconds, until the other side closes */
	RESET,    /* close, with a RST */
	HALF,     /* FIN, but go on reading */
	SILENCE,  /* until the other side closes */
	GATE,     /* until the test opens gate n, once for each */
	NO_ACCEPT /* listen, but never accept: the kernel's queue is full */
};

struct step {
	enum step_kind kind;
	const char *text; /* borrowed */
	size_t n;
};

struct server {
	int fd;
	unsigned port;
	const struct step *steps; /* borrowed */
	/* Where one script is not enough: n counts the server's requests, from 0. */
	const struct step *(*pick)(size_t n);
	pthread_t thread, threads[MAX_CONNECTIONS];
	atomic_size_t n_threads, n_requests, n_sent;
	sem_t gates[2]; /* step.n says which */
	pthread_mutex_t lock;
	struct cn_buf head, body; /* of the last request */
	int filler[64];           /* NO_ACCEPT: what fills the queue */
	size_t n_fillers;
};

struct server_conn {
	struct server *s;
	int fd;
	struct cn_buf in;
};

static inline bool server_read(struct server_conn *c)
{
	char piece[65536];
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

	if (n > 0)
		cn_buf_add(&c->in, piece, (size_t)n);
	/* Requests hold what tests look for in memory. */
	explicit_bzero(piece, sizeof(piece));
	return n > 0;
}

static inline bool server_read_request(struct server_conn *c)
{
	struct cn_view all, length;
	size_t end, at;
	uint64_t n = 0;

	while ((end = cn_view_find(cn_buf_view(&c->in), CN_VIEW("\r\n\r\n"), 0)) ==
	       SIZE_MAX)
		if (!server_read(c))
			return false;
	end += 4;
	at = cn_view_find_nocase(cn_view_cut(cn_buf_view(&c->in), end),
	                         CN_VIEW("\r\ncontent-length: "));
	if (at != SIZE_MAX) {
		length = cn_view_from(cn_buf_view(&c->in), at + 18);
		(void)cn_view_u64(
		    cn_view_cut(length, cn_view_find(length, CN_VIEW("\r"), 0)), &n);
	}
	while (c->in.n < end + n)
		if (!server_read(c))
			return false;
	all = cn_buf_view(&c->in);
	pthread_mutex_lock(&c->s->lock);
	cn_buf_clear(&c->s->head);
	cn_buf_add_view(&c->s->head, cn_view_cut(all, end));
	cn_buf_clear(&c->s->body);
	cn_buf_add_view(&c->s->body, cn_view_cut(cn_view_from(all, end), n));
	pthread_mutex_unlock(&c->s->lock);
	explicit_bzero(c->in.p, end + n);
	cn_buf_consume(&c->in, end + n);
	return true;
}

static inline bool server_send(struct server_conn *c, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
		atomic_fetch_add(&c->s->n_sent, (size_t)sent);
	}
	return true;
}

static inline void server_wait_for_close(struct server_conn *c)
{
	while (server_read(c))
		cn_buf_clear(&c->in);
}

static inline void server_pace(struct server_conn *c, const struct step *step)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	while (poll(&p, 1, (int)step->n) == 0)
		if (!server_send(c, step->text, strlen(step->text)))
			return;
}

static inline void server_reset(struct server_conn *c)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* One step; false when the connection is over. */
static inline bool server_step(struct server_conn *c, const struct step *step)
{
	size_t n = step->text ? strlen(step->text) : 0;

	switch (step->kind) {
	case SEND:
		return server_send(c, step->text, step->n ? step->n : n);
	case TRICKLE:
		for (size_t i = 0; i < n; i++)
			if (!server_send(c, step->text + i, 1))
				return false;
		return true;
	case REPEAT:
		for (size_t i = 0; i < step->n; i++)
			if (!server_send(c, step->text, n))
				return false;
		return true;
	case PACE:
		server_pace(c, step);
		return false;
	case RESET:
		server_reset(c);
		return false;
	case HALF:
		shutdown(c->fd, SHUT_WR);
		return true;
	case SILENCE:
		server_wait_for_close(c);
		return false;
	case GATE:
		return sem_wait(&c->s->gates[step->n]) == 0;
	case REQUEST:
		return server_read_request(c);
	case END:
	case AGAIN:
	case NO_ACCEPT:
		break;
	}
	return false;
}

static inline void *server_talk(void *arg)
{
	struct server_conn *c = arg;
	const struct step *first = c->s->steps, *step = first;
	int one = 1;

	/* Growing would leave copies of a head behind, and a test looks for those. */
	(void)cn_buf_reserve(&c->in, 65536);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (;; step++) {
		if (step->kind == AGAIN)
			step = first;
		if (!server_step(c, step))
			break;
		if (step->kind == REQUEST) {
			size_t n = atomic_fetch_add(&c->s->n_requests, 1);

			/* What is picked is done behind the request, up to its own end. */
			if (c->s->pick)
				step = c->s->pick(n) - 1;
		}
	}
	close(c->fd);
	cn_buf_done(&c->in);
	free(c);
	return NULL;
}

static inline void *server_accept(void *arg)
{
	struct server *s = arg;

	for (;;) {
		struct server_conn *c;
		size_t n = atomic_load(&s->n_threads);
		int fd = accept(s->fd, NULL, NULL);

		if (fd < 0)
			return NULL;
		if (n == MAX_CONNECTIONS) {
			close(fd);
			continue;
		}
		c = cn_zalloc(sizeof(*c));
		c->s = s;
		c->fd = fd;
		if (pthread_create(&s->threads[n], NULL, server_talk, c))
			abort();
		atomic_fetch_add(&s->n_threads, 1);
	}
}

/* Connections that nobody accepts, until the queue takes no more. */
static inline void server_fill_queue(struct server *s, const struct sockaddr_in *sin)
{
	while (s->n_fillers < 64) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		s->filler[s->n_fillers++] = fd;
		(void)connect(fd, (const struct sockaddr *)sin, sizeof(*sin));
		if (poll(&p, 1, 100) == 0)
			return;
	}
	fail_msg("the queue of a listening socket never filled");
}

static inline struct server *server_new(const struct step *steps)
{
	struct server *s = cn_zalloc(sizeof(*s));
	struct sockaddr_in sin = {.sin_family = AF_INET,
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);
	bool accepts = steps->kind != NO_ACCEPT;

	s->steps = steps;
	(void)cn_buf_reserve(&s->head, 65536);
	pthread_mutex_init(&s->lock, NULL);
	sem_init(&s->gates[0], 0, 0);
	sem_init(&s->gates[1], 0, 0);
	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(s->fd >= 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(listen(s->fd, accepts ? 512 : 0), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sin, &n), 0);
	s->port = ntohs(sin.sin_port);
	if (accepts)
		assert_int_equal(pthread_create(&s->thread, NULL, server_accept, s), 0);
	else
		server_fill_queue(s, &sin);
	return s;
}

/* Every connection of the other side must be closed by now. */
static inline void server_free(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	if (s->n_fillers == 0)
		pthread_join(s->thread, NULL);
	close(s->fd);
	for (size_t i = 0; i < s->n_fillers; i++)
		close(s->filler[i]);
	for (size_t i = 0; i < 2 * MAX_CONNECTIONS; i++)
		sem_post(&s->gates[i % 2]); /* who still waits there */
	for (size_t i = 0; i < atomic_load(&s->n_threads); i++)
		pthread_join(s->threads[i], NULL);
	cn_buf_done(&s->head);
	cn_buf_done(&s->body);
	sem_destroy(&s->gates[0]);
	sem_destroy(&s->gates[1]);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static inline size_t server_connections(struct server *s)
{
	return atomic_load(&s->n_threads);
}

#endif
