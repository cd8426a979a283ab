/*
 * `continuo run -- CMD…`: a client with the router behind it.
 *
 *   lock → lease (a router answers) ────────────────┐
 *        → launch, lease (none does) ───────────────┴→ client runs
 *   client runs → lease ends: the router died → lock, the same again on the same port
 *               → client ends → lease closed → exit with its status
 *
 * The lease is an open connection to the admin socket; a router that `run` started ends
 * with its last one.  The lock (on the data directory, held from the first look to the
 * lease) keeps two `run`s from starting two routers.  Owns the lease and the client; main
 * thread.
 */
#include "router_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/hash.h"
#include "continuo/json.h"

#define RETRY_MS       100
#define BUSY_MS        5000   /* a port that stays taken is said to be */
#define STOPPING_MS    150000 /* above the longest usual drain of a router that stops */
#define OTHERS_TURN_MS 1500   /* a service manager starts its router again */
#define AGAIN_MAX      8      /* starts of a router for one client, in a row */

struct opts {
	const char *chain;
	uint64_t passphrase_fd, key_fd;
};

#define NO_FD UINT64_MAX
static const struct opts defaults = {.passphrase_fd = NO_FD, .key_fd = NO_FD};

static const struct cn_option options[] = {
    CN_OPTION(TEXT, struct opts, chain, "chain", "NAME",
              "Uses this chain of the policy for the client, before all routes"),
    CN_OPTION(NUMBER, struct opts, passphrase_fd, "passphrase-fd", "N",
              "Reads the vault's passphrase from descriptor N, if a router is started"),
    CN_OPTION(NUMBER, struct opts, key_fd, "key-fd", "N",
              "Reads the vault's key from descriptor N, if a router is started"),
    {0}};

static const char *const description[] = {
    "Runs a client with its environment set so that all its requests go through the "
    "router.  Starts the router if none runs, and again on the same port if it dies; the "
    "one it started ends with the last `run` that uses it.  Ends with the client's exit "
    "status, or 128 and the signal that ended it.",
    "What a router started here says goes to router.log beside the vault.", NULL};

static const struct cn_example examples[] = {
    {"run -- claude", "Starts Claude Code behind the router"},
    {"run --chain small -- claude -p \"Fix the tests\"", "Uses the chain `small`"},
    {"run -- env", "Shows what a client gets"},
    {0}};

struct session {
	struct cn_cli *cli;
	struct cn_paths paths;
	const struct opts *opts;
	const char *policy; /* borrowed; resolved */
	const char *name;   /* in arena; of our token, NULL before there is one */
	const char *listen; /* in arena; "HOST:PORT" that the client knows */
	pid_t router;       /* ours; 0: another's */
	int lease;          /* owned; -1: none */
	int signals;        /* owned; signalfd */
	sigset_t user_mask;
	struct sigaction user_int, user_quit;
};

static void pause_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000),
	                     .tv_nsec = (long)(ms % 1000) * 1000000L};

	(void)nanosleep(&t, NULL);
}

/* ---- the router ---- */

static void make_request(const struct session *s, struct cn_buf *b)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "policy", cn_view_str(s->policy));
	if (s->name) {
		cn_json_add_text(b, "name", cn_view_str(s->name));
	} else {
		if (s->opts->chain)
			cn_json_add_text(b, "chain", cn_view_str(s->opts->chain));
		cn_json_add_text(b, "project", cn_view_str(cn_cli__project(s->cli)));
	}
	cn_buf_add_char(b, '}');
}

/* CN_E_NOT_FOUND: no router; CN_E_BUSY: one that stops. */
static int try_lease(struct session *s, struct cn_admin_answer *answer,
                     struct cn_error *reterr)
{
	CN_AUTO(cn_buf) request = {0};
	int status, failed;

	make_request(s, &request);
	failed = cn_cli__admin_lease(s->paths.admin_socket, cn_buf_view(&request),
	                             &s->lease, answer, reterr);
	status = answer->status;
	if (failed == CN_E_IO)
		return cn_fail(reterr, CN_E_BUSY, "the router is stopping");
	if (failed || status == 200)
		return failed;
	return cn_cli__admin_refused(status == 409   ? CN_E_CONFIG
	                             : status == 503 ? CN_E_BUSY
	                                             : CN_E_FAIL,
	                             answer, reterr);
}

static int launch(struct session *s, struct cn_error *reterr)
{
	struct cn_launch how = {
	    .log = cn_arena_printf(&s->cli->arena, "%s/router.log", s->paths.data_dir),
	    .listen = s->listen,
	    .passphrase_fd = -1,
	    .key_fd = -1,
	    .for_run = true,
	};
	int failed = cn_cli__make_dir(s->paths.data_dir, reterr);

	/* A descriptor can be read once: for a second start it is at its end. */
	if (s->opts->passphrase_fd <= INT_MAX && !s->name)
		how.passphrase_fd = (int)s->opts->passphrase_fd;
	if (s->opts->key_fd <= INT_MAX && !s->name)
		how.key_fd = (int)s->opts->key_fd;
	if (!failed)
		failed = cn_cli__launch(s->cli, &s->paths, &how, &s->router, reterr);
	if (failed == CN_E_LOCKED) {
		const char *why =
		    cn_arena_dup(&s->cli->arena, cn_view_str(reterr->message));

		/* The client's terminal is not the router's to ask on. */
		return cn_fail(reterr, failed,
		               "%s; give --passphrase-fd N, or start `continuo serve` in "
		               "another terminal, where it can ask",
		               why);
	}
	return failed;
}

/* A lease of the router that runs, or of one started for it. */
static int lease_or_launch(struct session *s, struct cn_admin_answer *answer,
                           struct cn_error *reterr)
{
	uint64_t began = cn_clock_ms(), limit = STOPPING_MS;
	bool told = false;

	for (;;) {
		int failed = try_lease(s, answer, reterr);

		if (failed == CN_E_NOT_FOUND) {
			failed = launch(s, reterr);
			if (!failed)
				continue;
			if (limit != BUSY_MS)
				began = cn_clock_ms();
			limit = BUSY_MS;
		}
		/* Busy: another router is about to end, or about to answer. */
		if (failed != CN_E_BUSY || cn_clock_ms() - began > limit)
			return failed;
		if (!told && cn_clock_ms() - began > 2000) {
			told = true;
			cn_cli__note(s->cli, "waiting: %s", reterr->message);
		}
		pause_ms(RETRY_MS);
	}
}

static int acquire(struct session *s, struct cn_admin_answer *answer,
                   struct cn_error *reterr)
{
	int failed = cn_cli__make_dir(s->paths.data_dir, reterr), lock;

	if (failed)
		return failed;
	lock = open(s->paths.data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return cn_fail(reterr, CN_E_IO, "%s: %s", s->paths.data_dir,
		               strerror(errno));
	while (flock(lock, LOCK_EX) < 0 && errno == EINTR)
		;
	failed = lease_or_launch(s, answer, reterr);
	close(lock);
	return failed;
}

/* The client goes on with the address and the token it has; only who answers is new. */
static bool recover(struct session *s)
{
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_error err = {0};
	int failed;

	close(s->lease);
	s->lease = -1;
	if (s->router && waitpid(s->router, NULL, WNOHANG) >= 0)
		s->router = 0;
	else
		for (int i = 0; i < OTHERS_TURN_MS / RETRY_MS; i++) {
			if (try_lease(s, &answer, &err) == 0)
				return true;
			pause_ms(RETRY_MS);
		}
	failed = acquire(s, &answer, &err);
	if (failed)
		cn_cli__note(s->cli, "the router ended and does not come back: %s",
		             err.message);
	return failed == 0;
}

/* ---- the client ---- */

static _Noreturn void become_client(const struct session *s,
                                    const struct cn_client_env *env, int report)
{
	const struct cn_cli *cli = s->cli;
	int why = 0;

	for (size_t i = 0; i < env->n && !why; i++) {
		const struct cn_variable *v = &env->v[i];

		if ((v->value ? setenv(v->name, v->value, 1) : unsetenv(v->name)) < 0)
			why = errno;
	}
	(void)sigaction(SIGINT, &s->user_int, NULL);
	(void)sigaction(SIGQUIT, &s->user_quit, NULL);
	(void)sigprocmask(SIG_SETMASK, &s->user_mask, NULL);
	cn_cli__before_exec(cli);
	if (!why) {
		char **argv;

		/* args[] ends with NULL (parse.c), and exec does not write to it. */
		memcpy(&argv, &cli->args, sizeof(argv));
		(void)execvp(argv[0], argv);
		why = errno;
	}
	(void)!write(report, &why, sizeof(why));
	_exit(127);
}

static int start_client(struct session *s, const struct cn_client_env *env, pid_t *ret,
                        struct cn_error *reterr)
{
	int report[2], why = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return cn_fail(reterr, CN_E_FAIL, "no pipe: %s", strerror(errno));
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_client(s, env, report[1]);
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return cn_fail(reterr, CN_E_FAIL, "cannot fork: %s", strerror(errno));
	}
	do
		n = read(report[0], &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == sizeof(why)) {
		(void)waitpid(pid, NULL, 0);
		cn_cli__note(s->cli, "%s: %s", s->cli->args[0], strerror(why));
		s->cli->exit_status = why == ENOENT ? 127 : 126; /* as a shell has it */
		pid = 0;
	}
	*ret = pid;
	return 0;
}

static void take_signals(struct session *s)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t ours;

	/* Ctrl-C reaches the client by itself, and what it does then is its business. */
	(void)sigaction(SIGINT, &ignore, &s->user_int);
	(void)sigaction(SIGQUIT, &ignore, &s->user_quit);
	sigemptyset(&ours);
	sigaddset(&ours, SIGCHLD);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &ours, &s->user_mask);
	s->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	cn_assert(s->signals >= 0);
}

/* Passes signals on; true when the client has ended, with *retstatus as waitpid() has it.
 */
static bool on_signals(struct session *s, pid_t client, int *retstatus)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP)
			(void)kill(client, (int)info.ssi_signo); /* our child, not reaped */
	return waitpid(client, retstatus, WNOHANG) == client;
}

static int wait_client(struct session *s, pid_t client)
{
	int status = 0;
	unsigned again = 0;
	uint64_t leased_ms = cn_clock_ms();

	for (;;) {
		struct pollfd p[2] = {{.fd = s->signals, .events = POLLIN},
		                      {.fd = s->lease, .events = POLLIN}};

		(void)poll(p, 2, -1); /* EINTR: a signal that is not ours to see */
		if (on_signals(s, client, &status))
			break;
		/* The router says nothing on a lease: whatever comes is its end. */
		if (s->lease < 0 || !(p[1].revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		if (cn_clock_ms() - leased_ms > 60000)
			again = 0;
		if (++again > AGAIN_MAX) {
			cn_cli__note(s->cli, "the router ended %d times in a row",
			             AGAIN_MAX);
			close(s->lease);
			s->lease = -1;
		} else if (recover(s)) {
			leased_ms = cn_clock_ms();
		}
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* "http://127.0.0.1:4141" → "127.0.0.1:4141" */
static const char *address_of(struct cn_cli *cli, struct cn_view url)
{
	size_t at = cn_view_find(url, CN_VIEW("://"), 0);

	return cn_arena_dup(&cli->arena, cn_view_from(url, at == SIZE_MAX ? 0 : at + 3));
}

static int run_client(struct session *s, struct cn_error *reterr)
{
	struct cn_cli *cli = s->cli;
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_client_env env;
	struct cn_json json;
	pid_t client = 0;
	int failed = acquire(s, &answer, reterr);

	if (failed)
		return failed;
	json = cn_json_root(cn_buf_view(&answer.body));
	s->name =
	    cn_arena_dup(&cli->arena, cn_json_text(&cli->arena, cn_json_get(json, "name")));
	s->listen = address_of(cli, cn_json_text(&cli->arena, cn_json_get(json, "url")));
	cn_cli__client_env(cli, cn_buf_view(&answer.body), &env);
	cn_admin_answer_done(&answer);
	take_signals(s);
	failed = start_client(s, &env, &client, reterr);
	if (!failed && client)
		cli->exit_status = wait_client(s, client);
	close(s->signals);
	return failed;
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	struct session s = {.cli = cli, .opts = cli->opts, .lease = -1};
	int failed = cn_cli__paths(cli, &s.paths, reterr);

	if (!failed)
		failed = cn_cli__need_policy(&s.paths, reterr);
	if (failed)
		return failed;
	CN_AUTOFREE char *policy = realpath(s.paths.policy, NULL);
	if (!policy)
		return cn_fail(reterr, CN_E_CONFIG, "%s: %s", s.paths.policy,
		               strerror(errno));
	s.policy = policy;
	failed = run_client(&s, reterr);
	if (s.lease >= 0)
		close(s.lease); /* the router revokes the token, and ends with the last */
	return failed;
}

const struct cn_command cn_cmd_run = {
    .name = "run",
    .summary = "Runs a client behind the router, which is started if none runs",
    .description = description,
    .options = options,
    .opts_size = sizeof(struct opts),
    .defaults = &defaults,
    .arguments = "-- CMD [ARGUMENT...]",
    .args_min = 1,
    .args_max = CN_ARGS_ANY,
    .examples = examples,
    .run = run,
    .starts_client = true,
    .stops_at_argument = true,
};
