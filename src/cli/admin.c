/*
 * A blocking client of the admin socket: one connection a call, as much HTTP as our own
 * listener speaks.
 *
 * Owns nothing between calls; main thread.  Who listens on the socket is the same user, or
 * the directory it is in would be another's.
 */
#include "router_impl.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "continuo/hash.h"
#include "continuo/json.h"

#define ANSWER_MAX ((size_t)16 << 20) /* of a long list of tokens */
#define WAIT_S     30                 /* for a router that is alive at all */

struct call {
	int fd;
	struct cn_buf in; /* owned: head, then what came of the body */
	size_t body_at;   /* 0: the head is not whole yet */
	int status;
	bool chunked;
	uint64_t length; /* of the body; UINT64_MAX: not said */
};

static void call_done(struct call *c)
{
	if (c->fd >= 0)
		close(c->fd);
	cn_wipe(c->in.p, c->in.cap); /* it may hold a new token */
	cn_buf_done(&c->in);
}

static int broken(struct cn_error *reterr)
{
	return cn_fail(reterr, CN_E_IO, "the router did not answer on its admin socket");
}

static int call_connect(struct call *c, const char *socket_path, struct cn_error *reterr)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = WAIT_S};

	/* No router can listen on a longer path either. */
	if (strlen(socket_path) >= sizeof(sun.sun_path))
		return cn_fail(reterr, CN_E_NOT_FOUND,
		               "no router can run at %s: the path "
		               "is too long for a socket",
		               socket_path);
	memcpy(sun.sun_path, socket_path, strlen(socket_path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return cn_fail(reterr, CN_E_IO, "no socket: %s", strerror(errno));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return 0;
	if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
		return cn_fail(reterr, CN_E_NOT_FOUND,
		               "no router is running here (nobody answers at %s)",
		               socket_path);
	return cn_fail(reterr, CN_E_IO, "%s: %s", socket_path, strerror(errno));
}

static int call_send(struct call *c, const char *method, const char *path,
                     struct cn_view body, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_view rest;

	cn_buf_printf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path);
	if (body.n)
		cn_buf_printf(&b,
		              "Content-Type: application/json\r\nContent-Length: %zu\r\n",
		              body.n);
	cn_buf_add_str(&b, "\r\n");
	cn_buf_add_view(&b, body);
	for (rest = cn_buf_view(&b); rest.n;) {
		ssize_t n = send(c->fd, rest.p, rest.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return broken(reterr);
		rest = cn_view_from(rest, (size_t)n);
	}
	return 0;
}

/* false at the end, or when nothing came for too long. */
static bool more(struct call *c)
{
	ssize_t n;

	if (c->in.n > ANSWER_MAX)
		return false;
	do
		n = recv(c->fd, cn_buf_reserve(&c->in, 16384), 16384, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	c->in.n += (size_t)n;
	return true;
}

static int read_head(struct call *c, struct cn_error *reterr)
{
	struct cn_view rest, line, name;
	uint64_t status;
	size_t end;

	while ((end = cn_view_find(cn_buf_view(&c->in), CN_VIEW("\r\n\r\n"), 0)) ==
	       SIZE_MAX)
		if (!more(c))
			return broken(reterr);
	c->body_at = end + 4;
	c->length = UINT64_MAX;
	rest = cn_view_cut(cn_buf_view(&c->in), end);
	if (!cn_view_split(&rest, '\n', &line) || line.n < 12 ||
	    !cn_view_u64(cn_view(line.p + 9, 3), &status))
		return broken(reterr);
	c->status = (int)status;
	while (cn_view_split(&rest, '\n', &line)) {
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (!cn_view_split(&line, ':', &name))
			continue;
		line = cn_view_trim(line);
		if (cn_view_eq_nocase(name, CN_VIEW("transfer-encoding")))
			c->chunked = true;
		else if (cn_view_eq_nocase(name, CN_VIEW("content-length")) &&
		         !cn_view_u64(line, &c->length))
			return broken(reterr);
	}
	return 0;
}

/* The body's next piece: all of a whole answer, or one chunk of a stream. */
static int read_piece(struct call *c, struct cn_buf *ret, struct cn_error *reterr)
{
	size_t at = c->body_at, end;
	uint64_t n = c->length;

	if (c->chunked) {
		CN_AUTO(cn_buf) digits = {0};

		while ((end = cn_view_find(cn_buf_view(&c->in), CN_VIEW("\r\n"), at)) ==
		       SIZE_MAX)
			if (!more(c))
				return broken(reterr);
		cn_buf_add(&digits, c->in.p + at, end - at);
		n = strtoull(cn_buf_cstr(&digits), NULL, 16);
		at = end + 2;
	}
	while (n == UINT64_MAX || c->in.n - at < n)
		if (!more(c)) {
			if (n != UINT64_MAX)
				return broken(reterr);
			n = c->in.n - at;
		}
	cn_buf_add(ret, c->in.p + at, (size_t)n);
	return 0;
}

static int call(struct call *c, const char *method, const char *path, struct cn_view body,
                struct cn_error *reterr)
{
	int failed = call_send(c, method, path, body, reterr);

	return failed ? failed : read_head(c, reterr);
}

static int finish(struct call *c, int failed, struct cn_admin_answer *ret,
                  struct cn_error *reterr)
{
	struct cn_admin_answer answer = {.status = c->status};

	if (!failed)
		failed = read_piece(c, &answer.body, reterr);
	if (!failed && cn_json_check(cn_buf_view(&answer.body), NULL))
		failed = cn_fail(reterr, CN_E_IO, "the router's answer is no JSON");
	if (failed) {
		cn_admin_answer_done(&answer);
	} else {
		cn_admin_answer_done(ret);
		*ret = answer;
	}
	return failed;
}

void cn_admin_answer_done(struct cn_admin_answer *a)
{
	cn_wipe(a->body.p, a->body.cap);
	cn_buf_done(&a->body);
	a->status = 0;
}

int cn_cli__admin_call(const char *socket, const char *method, const char *path,
                       struct cn_view body, struct cn_admin_answer *ret,
                       struct cn_error *reterr)
{
	struct call c = {.fd = -1};
	int failed = call_connect(&c, socket, reterr);

	if (!failed)
		failed = call(&c, method, path, body, reterr);
	failed = finish(&c, failed, ret, reterr);
	call_done(&c);
	return failed;
}

int cn_cli__admin_lease(const char *socket, struct cn_view body, int *retfd,
                        struct cn_admin_answer *ret, struct cn_error *reterr)
{
	struct call c = {.fd = -1};
	int failed = call_connect(&c, socket, reterr);

	if (!failed)
		failed = call(&c, "POST", "/api/run", body, reterr);
	failed = finish(&c, failed, ret, reterr);
	if (!failed) {
		*retfd = c.status == 200 ? c.fd : -1;
		if (c.status == 200)
			c.fd = -1; /* the caller's now */
	}
	call_done(&c);
	return failed;
}

int cn_cli__admin_refused(int code, const struct cn_admin_answer *answer,
                          struct cn_error *reterr)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_view text = cn_json_text(
	    &a, cn_json_get(cn_json_root(cn_buf_view(&answer->body)), "error"));

	if (!text.n)
		return cn_fail(reterr, code, "the router answered with status %d",
		               answer->status);
	return cn_fail(reterr, code, "%.*s", CN_VIEW_ARG(text));
}
