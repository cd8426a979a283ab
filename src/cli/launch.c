/*
 * A router as a child: this very program with `serve`, started for `run` and `demo`, and
 * waited for until it accepts connections or has failed.
 *
 * Owns nothing afterwards: the child is told apart by its pid alone.  Main thread; the
 * process has no other one before a fork.
 */
#include "router_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "continuo/clock.h"

#define LOG_MAX     (4 << 20) /* then it becomes router.log.old */
#define LOG_TAIL    4096      /* bytes of it that may be shown */
#define LOOK_MS     10
#define PATIENCE_MS 60000 /* a store of many GiB is checked before it opens */

struct argv {
	const char *v[24];
	size_t n;
};

static void push(struct argv *a, const char *word, const char *value)
{
	cn_assert(a->n + 2 < sizeof(a->v) / sizeof(a->v[0]));
	a->v[a->n++] = word;
	if (value)
		a->v[a->n++] = value;
}

static const char *number(struct cn_cli *cli, int n)
{
	return cn_arena_printf(&cli->arena, "%d", n);
}

static void make_argv(struct cn_cli *cli, const struct cn_paths *paths,
                      const struct cn_launch *how, const char *ready, struct argv *a)
{
	const struct cn_common *c = &cli->common;
	const char *home = c->home ? c->home : getenv("CONTINUO_HOME");

	push(a, "continuo", "serve");
	push(a, "--ready-file", ready);
	/* As absolute paths: the child works in the root directory. */
	if (how->home)
		push(a, "--home", how->home);
	else if (home && *home)
		push(a, "--home", paths->config_dir);
	if (how->policy)
		push(a, "--policy", how->policy);
	else if (!how->home && c->policy)
		push(a, "--policy", paths->policy);
	if (how->listen)
		push(a, "--listen", how->listen);
	if (how->for_run)
		push(a, "--for-run", NULL);
	if (c->log)
		push(a, "--log", c->log);
	if (c->log_level)
		push(a, "--log-level", c->log_level);
	if (how->passphrase_fd >= 0)
		push(a, "--passphrase-fd", number(cli, how->passphrase_fd));
	if (how->key_fd >= 0)
		push(a, "--key-fd", number(cli, how->key_fd));
}

/* The child from fork to exec.  The router gets nothing secret in its environment. */
static _Noreturn void become_router(const struct argv *a, int log, bool own_session)
{
	static const char *const not_its_business[] = {
	    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"};
	char *argv[sizeof(a->v) / sizeof(a->v[0]) + 1] = {NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	memcpy(argv, a->v, a->n * sizeof(a->v[0])); /* exec does not write to the words */
	for (size_t i = 0; i < sizeof(not_its_business) / sizeof(char *); i++)
		(void)unsetenv(not_its_business[i]);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGQUIT, SIG_DFL);
	if (own_session)
		(void)setsid(); /* Ctrl-C at the client's terminal is not for it */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(log, STDERR_FILENO) < 0 || chdir("/") < 0)
		_exit(1);
	(void)execv("/proc/self/exe", argv);
	_exit(1);
}

static int open_log(const char *path, int *ret, off_t *retat, struct cn_error *reterr)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && st.st_size > LOG_MAX) {
		CN_AUTO(cn_buf) old = {0};

		cn_buf_printf(&old, "%s.old", path);
		(void)rename(path,
		             cn_buf_cstr(&old)); /* else it grows: no reason to fail */
	}
	fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int why = errno;

		if (fd >= 0)
			close(fd);
		return cn_fail(reterr, CN_E_IO, "%s: %s", path, strerror(why));
	}
	*ret = fd;
	*retat = st.st_size;
	return 0;
}

/* What the router said before it ended: its last line is the reason, the others are shown
 * as they are. */
static void tell_log(struct cn_cli *cli, int log, off_t at, struct cn_buf *last, bool show)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_view rest, line;
	off_t end = lseek(log, 0, SEEK_END);
	ssize_t n;

	if (end > at + LOG_TAIL)
		at = end - LOG_TAIL;
	n = pread(log, cn_buf_reserve(&b, LOG_TAIL), LOG_TAIL, at);
	b.n = n > 0 ? (size_t)n : 0;
	for (rest = cn_buf_view(&b); rest.n && cn_view_split(&rest, '\n', &line);) {
		if (!line.n)
			continue;
		if (last->n && show)
			fprintf(cli->err, "%s\n", cn_cli__clean(cli, cn_buf_view(last)));
		cn_buf_clear(last);
		cn_buf_add_view(last, line);
	}
}

static int ended(struct cn_cli *cli, int status, int log, off_t at, struct cn_error *reterr)
{
	static const int codes[] = {
	    [1] = CN_E_FAIL, [2] = CN_E_USAGE, [3] = CN_E_CONFIG, [4] = CN_E_LOCKED};
	int exited = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	int code = exited == CN_EXIT_BUSY       ? CN_E_BUSY
	           : exited >= 1 && exited <= 4 ? codes[exited]
	                                        : CN_E_FAIL;
	CN_AUTO(cn_buf) last = {0};
	struct cn_view why;

	/* Whoever tries again after CN_E_BUSY would say it again and again. */
	tell_log(cli, log, at, &last, code != CN_E_BUSY);
	why = cn_buf_view(&last);
	if (cn_view_starts(why, CN_VIEW("continuo serve: ")))
		why = cn_view_from(why, sizeof("continuo serve: ") - 1);
	if (WIFSIGNALED(status))
		return cn_fail(reterr, code, "the router was ended by signal %d: %.*s",
		               WTERMSIG(status), CN_VIEW_ARG(why));
	return cn_fail(reterr, code, "the router could not start: %.*s", CN_VIEW_ARG(why));
}

static int wait_ready(struct cn_cli *cli, pid_t pid, const char *ready, int log, off_t at,
                      struct cn_error *reterr)
{
	uint64_t until = cn_clock_ms() + PATIENCE_MS;
	struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
	int status;

	for (;;) {
		if (access(ready, F_OK) == 0)
			return 0;
		if (waitpid(pid, &status, WNOHANG) == pid)
			return ended(cli, status, log, at, reterr);
		if (cn_clock_ms() > until) {
			(void)kill(pid, SIGKILL); /* our own child, not reaped yet */
			(void)waitpid(pid, NULL, 0);
			return cn_fail(reterr, CN_E_FAIL,
			               "the router did not come up within %d s",
			               PATIENCE_MS / 1000);
		}
		(void)nanosleep(&look, NULL);
	}
}

int cn_cli__launch(struct cn_cli *cli, const struct cn_paths *paths,
                   const struct cn_launch *how, pid_t *retpid, struct cn_error *reterr)
{
	const char *base = how->home ? how->home : paths->data_dir;
	char *dir = cn_arena_printf(&cli->arena, "%s/start-XXXXXX", base);
	struct argv argv = {.n = 0};
	const char *ready;
	int log = -1, failed;
	off_t at = 0;
	pid_t pid;

	failed = open_log(how->log, &log, &at, reterr);
	if (failed)
		return failed;
	if (!mkdtemp(dir)) {
		close(log);
		return cn_fail(reterr, CN_E_IO, "%s: %s", dir, strerror(errno));
	}
	ready = cn_arena_printf(&cli->arena, "%s/ready", dir);
	make_argv(cli, paths, how, ready, &argv);
	pid = fork();
	if (pid == 0)
		become_router(&argv, log, how->for_run);
	failed = pid < 0 ? cn_fail(reterr, CN_E_FAIL, "cannot fork: %s", strerror(errno))
	                 : wait_ready(cli, pid, ready, log, at, reterr);
	if (!failed)
		*retpid = pid;
	close(log);
	(void)unlink(ready); /* not there when it failed */
	(void)rmdir(dir);
	return failed;
}

int cn_cli__need_policy(const struct cn_paths *paths, struct cn_error *reterr)
{
	if (access(paths->policy, F_OK) == 0)
		return 0;
	if (errno != ENOENT && errno != ENOTDIR)
		return cn_fail(reterr, CN_E_CONFIG, "%s: %s", paths->policy,
		               strerror(errno));
	return cn_fail(reterr, CN_E_CONFIG,
	               "there is no policy at %s; copy one of the ready-made ones there "
	               "(%s/*.yaml), or name another with --policy FILE",
	               paths->policy, CN_POLICY_DIR);
}
