/*
 * Listening sockets: bound to a host and port or to a path, or inherited from the service
 * manager.  The caller owns the descriptors it gets.  Called while starting, on the main
 * thread; nothing here is ever called by a loop, so a name lookup may take its time.  Who
 * may connect is not decided here.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http_impl.h"

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096
/* SD_LISTEN_FDS_START of the service manager's protocol. */
#define INHERITED_FIRST 3

static int code_of(int err)
{
	switch (err) {
	case EADDRINUSE:
		return CN_E_BUSY;
	case EACCES:
	case EPERM:
		return CN_E_DENIED;
	default:
		return CN_E_IO;
	}
}

/* One address; -1 with errno set when it cannot be had. */
static int try_bind(const struct addrinfo *ai)
{
	int one = 1, err;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* So that a restart can bind while old connections are still in TIME_WAIT. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		goto fail;
	/* An IPv6 address means itself and no IPv4 address in disguise. */
	if (ai->ai_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		goto fail;
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		goto fail;
	return fd;
fail:
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

static unsigned port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at = {.in6 = {.sin6_family = AF_UNSPEC}};
	socklen_t n = sizeof(at);

	if (getsockname(fd, &at.any, &n) < 0)
		return 0;
	return ntohs(at.any.sa_family == AF_INET6 ? at.in6.sin6_port : at.in.sin_port);
}

int cn_listen_tcp(const char *host, unsigned port, int *retfd, unsigned *retport,
                  struct cn_error *reterr)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	                         .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *all = NULL;
	char service[8];
	int rc, fd = -1;

	if (port > 65535)
		return cn_fail(reterr, CN_E_INVALID, "%u is not a port", port);
	(void)snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, &all);
	if (rc != 0)
		return cn_fail(reterr, CN_E_INVALID, "cannot listen on %s: %s", host,
		               gai_strerror(rc));
	for (struct addrinfo *ai = all; ai && fd < 0; ai = ai->ai_next)
		fd = try_bind(ai);
	rc = errno;
	freeaddrinfo(all);
	if (fd < 0)
		return cn_fail(reterr, code_of(rc), "cannot listen on %s port %u: %s", host,
		               port, strerror(rc));
	*retfd = fd;
	*retport = port_of(fd);
	return 0;
}

/* Whether somebody answers behind that socket file. */
static bool is_live(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool live;

	if (fd < 0)
		return true; /* unknown: leave it alone */
	live = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	       errno != ECONNREFUSED;
	close(fd);
	return live;
}

/* Removes what an earlier run left at the path, if it is a socket that nobody serves. */
static int clear_path(const struct sockaddr_un *sun, struct cn_error *reterr)
{
	const char *path = sun->sun_path;
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return cn_fail(reterr, code_of(errno), "%s: %s", path, strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		return cn_fail(reterr, CN_E_EXISTS, "%s exists and is not a socket", path);
	if (is_live(sun))
		return cn_fail(reterr, CN_E_BUSY, "%s is served by another process", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return cn_fail(reterr, code_of(errno),
		               "cannot remove the stale socket %s: %s", path,
		               strerror(errno));
	return 0;
}

int cn_listen_unix(const char *path, int *retfd, struct cn_error *reterr)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, rc;

	if (*path == '\0' || strlen(path) >= sizeof(sun.sun_path))
		return cn_fail(reterr, CN_E_INVALID,
		               "a socket path has 1 to %zu bytes: \"%s\"",
		               sizeof(sun.sun_path) - 1, path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if ((rc = clear_path(&sun, reterr)) < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The mode is that of the descriptor: no moment in which the file is open to all.
	 */
	if (fd < 0 || fchmod(fd, 0600) < 0 ||
	    bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || chmod(path, 0600) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		rc = errno;
		if (fd >= 0)
			close(fd);
		return cn_fail(reterr, code_of(rc), "cannot listen on %s: %s", path,
		               strerror(rc));
	}
	*retfd = fd;
	return 0;
}

size_t cn_listen_inherited(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t who, n;

	if (!pid || !fds || !cn_view_u64(cn_view_str(pid), &who) ||
	    !cn_view_u64(cn_view_str(fds), &n))
		return 0;
	if (who != (uint64_t)getpid() || n > 1024)
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		int fd = INHERITED_FIRST + (int)i;

		/* A descriptor that is not there: nothing said can be believed. */
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return 0;
	}
	return n;
}
