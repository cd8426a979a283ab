/*
 * Listening sockets: where they bind, what they replace, who may open them.  If this fails,
 * the router does not start, or starts over another one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "continuo/http.h"

static void binds_tcp_and_tells_the_port(void **state)
{
	struct cn_error err = {0};
	struct sockaddr_in in = {.sin_family = AF_INET};
	int fd, second, client = socket(AF_INET, SOCK_STREAM, 0);
	unsigned port;

	(void)state;
	assert_int_equal(cn_listen_tcp("127.0.0.1", 0, &fd, &port, &err), 0);
	assert_in_range(port, 1, 65535);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)port);
	assert_int_equal(connect(client, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(cn_listen_tcp("127.0.0.1", port, &second, &port, &err), CN_E_BUSY);
	assert_non_null(strstr(err.message, "127.0.0.1 port "));
	close(client);
	close(fd);
}

static void refuses_what_is_no_address(void **state)
{
	struct cn_error err = {0};
	unsigned port;
	int fd;

	(void)state;
	assert_int_equal(cn_listen_tcp("127.0.0.1", 65536, &fd, &port, &err), CN_E_INVALID);
	assert_int_equal(cn_listen_tcp("256.0.0.1.", 0, &fd, &port, &err), CN_E_INVALID);
	assert_int_equal(cn_listen_unix("", &fd, &err), CN_E_INVALID);
	/* An address that no machine has (RFC 5737). */
	assert_int_equal(cn_listen_tcp("192.0.2.1", 0, &fd, &port, &err), CN_E_IO);
}

struct place {
	char dir[32];
	char path[64];
};

static struct place place_new(void)
{
	struct place p = {.dir = "/tmp/continuo-test-XXXXXX"};

	assert_non_null(mkdtemp(p.dir));
	(void)snprintf(p.path, sizeof(p.path), "%s/socket", p.dir);
	return p;
}

static void place_done(struct place *p)
{
	unlink(p->path);
	rmdir(p->dir);
}

static void replaces_stale_sockets_only(void **state)
{
	CN_AUTO(place) p = place_new();
	struct cn_error err = {0};
	struct stat st;
	int fd, second;

	(void)state;
	assert_int_equal(cn_listen_unix(p.path, &fd, &err), 0);
	assert_int_equal(stat(p.path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(cn_listen_unix(p.path, &second, &err), CN_E_BUSY);
	close(fd);
	assert_int_equal(cn_listen_unix(p.path, &fd, &err), 0);
	close(fd);
	unlink(p.path);
	fd = open(p.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(cn_listen_unix(p.path, &second, &err), CN_E_EXISTS);
	assert_int_equal(stat(p.path, &st), 0);
}

/* In a child, whose descriptors may be rearranged. */
static void inherits_from_the_service_manager(void **state)
{
	static const struct {
		const char *pid, *fds; /* pid NULL: the right one */
		size_t want;
	} cases[] = {
	    {NULL, "2", 2}, {NULL, "0", 0},  {NULL, "x", 0},   {NULL, "", 0},
	    {"1", "2", 0},  {NULL, "-1", 0}, {NULL, "999", 0}, {NULL, "99999999999", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		pid_t child = fork();
		int status = 0;
		char pid[24];

		assert_true(child >= 0);
		if (child == 0) {
			bool ok = dup2(0, 3) == 3 && dup2(0, 4) == 4;

			(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
			setenv("LISTEN_PID", cases[i].pid ? cases[i].pid : pid, 1);
			setenv("LISTEN_FDS", cases[i].fds, 1);
			ok = ok && cn_listen_inherited() == cases[i].want;
			if (cases[i].want)
				ok = ok && fcntl(4, F_GETFD) & FD_CLOEXEC;
			_exit(ok ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (status != 0)
			fail_msg("LISTEN_FDS=%s of %s", cases[i].fds,
			         cases[i].pid ? cases[i].pid : "ourselves");
	}
	assert_int_equal(cn_listen_inherited(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(binds_tcp_and_tells_the_port),
	    cmocka_unit_test(refuses_what_is_no_address),
	    cmocka_unit_test(replaces_stale_sockets_only),
	    cmocka_unit_test(inherits_from_the_service_manager),
	};

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	return cmocka_run_group_tests_name("http_listen", tests, NULL, NULL);
}
