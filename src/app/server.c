/*
 * The router as a program: what stands before the first connection and after the last.
 *
 * Start: vault, store, policy, sockets, workers, admin socket, in that order, so that
 * whatever is wrong is said before anything listens.  Stop: SIGTERM or SIGINT drains; a
 * second one ends at once.  Owns everything shared; runs on the main thread, which serves
 * no turn.
 */
#include "app_impl.h"

#include "continuo/clock.h"
#include "continuo/json.h"
#include "continuo/server.h"
#include "continuo/trace.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CN_RUN_GRACE_MS 30000 /* a router of `run` without any `run` ends after this */
#define CN_SWEEP_MS     250

/* ---- the vault and the store ---- */

static int open_vault(struct cn_server *s, struct cn_error *reterr)
{
	const struct cn_server_opts *o = s->opts;
	int bad = cn_vault_open(o->vault, &o->unlock, &s->shared.vault, reterr);

	if (bad != CN_E_NOT_FOUND)
		return bad;
	bad = cn_vault_create(o->vault, o->unlock.key_file, NULL, reterr);
	if (bad)
		return bad;
	cn_log(
	    &s->log, CN_LOG_WARNING,
	    "made a vault that a key file opens; `continuo vault passwd` adds a passphrase",
	    CN_STR(PATH, o->vault), CN_STR(FILE, o->unlock.key_file));
	return cn_vault_open(o->vault, &o->unlock, &s->shared.vault, reterr);
}

static void seal(void *self, struct cn_view ad, struct cn_view plain, struct cn_buf *b)
{
	cn_vault_seal(self, ad, plain, b);
}

static int unseal(void *self, struct cn_view ad, struct cn_view sealed, struct cn_buf *ret,
                  struct cn_error *reterr)
{
	return cn_vault_open_sealed(self, ad, sealed, ret, reterr);
}

static struct cn_hash node_hash(void *self, const struct cn_view *views, size_t n)
{
	return cn_vault_hash(self, CN_VAULT_HASH_NODE, views, n);
}

/* A store that cannot be opened is no reason not to serve; another router's is. */
static int open_store(struct cn_server *s, struct cn_error *reterr)
{
	const struct cn_policy *p = s->shared.policy;
	struct cn_store_opts opts = {
	    .dir = s->opts->history,
	    .crypt = {seal, unseal, node_hash, s->shared.vault},
	    .max_size = p->history_max_size,
	    .retention_ms = p->retention_ms,
	    .network_fs = p->history_network_fs,
	};
	unsigned char id[16];
	int bad = cn_store_open(&opts, &s->shared.store, reterr);

	if (bad == CN_E_BUSY)
		return bad;
	if (bad) {
		s->shared.store = NULL;
		s->shared.store_why = "the store could not be opened";
		cn_log(&s->log, CN_LOG_ERROR, "serving without history",
		       CN_STR(PATH, s->opts->history), CN_STR(ERROR, reterr->message));
		return 0;
	}
	cn_vault_id(s->shared.vault, id);
	if (cn_store_vault_put(s->shared.store, id, cn_vault_generation(s->shared.vault),
	                       reterr))
		cn_log(&s->log, CN_LOG_WARNING, "the vault's generation was not noted",
		       CN_STR(ERROR, reterr->message));
	return 0;
}

static void scrub(void *self, char *line, size_t n)
{
	(void)cn_vault_scrub(self, line, n);
}

/* ---- sockets ---- */

static int add_socket(struct cn_server *s, int fd, bool is_unix, unsigned port,
                      struct cn_error *reterr)
{
	if (s->n_sockets == sizeof(s->sockets) / sizeof(s->sockets[0])) {
		close(fd);
		return cn_fail(reterr, CN_E_LIMIT, "more than 16 addresses to listen on");
	}
	s->sockets[s->n_sockets++] = (struct cn_listen_socket){fd, is_unix};
	if (!is_unix)
		s->shared.ports[s->shared.n_ports++] = port;
	return 0;
}

static int listen_one(struct cn_server *s, const struct cn_listen *l,
                      struct cn_error *reterr)
{
	unsigned port = l->port;
	int fd, bad;

	if (l->path) {
		bad = cn_listen_unix(l->path, &fd, reterr);
		return bad ? bad : add_socket(s, fd, true, 0, reterr);
	}
	bad = cn_listen_tcp(l->host, l->port, &fd, &port, reterr);
	if (bad)
		return bad;
	if (!s->url[0])
		snprintf(s->url, sizeof(s->url),
		         strchr(l->host, ':') ? "http://[%s]:%u" : "http://%s:%u", l->host,
		         port);
	return add_socket(s, fd, false, port, reterr);
}

static void count_token(void *self, const struct cn_token *t)
{
	(void)t;
	++*(size_t *)self;
}

static int open_sockets(struct cn_server *s, struct cn_error *reterr)
{
	const struct cn_policy *p = s->shared.policy;
	size_t inherited = cn_listen_inherited(), tokens = 0;
	struct cn_listen one = {.loopback = true};
	int bad;

	for (size_t i = 0; i < inherited; i++) {
		struct sockaddr_storage a = {0};
		int n = sizeof(a);
		if (getsockname(3 + (int)i, (struct sockaddr *)&a, (socklen_t *)&n))
			return cn_fail(reterr, CN_E_IO,
			               "LISTEN_FDS: descriptor %d is no socket",
			               3 + (int)i);
		bad = add_socket(s, 3 + (int)i, a.ss_family == AF_UNIX,
		                 a.ss_family == AF_INET
		                     ? ntohs(((struct sockaddr_in *)&a)->sin_port)
		                 : a.ss_family == AF_INET6
		                     ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port)
		                     : 0,
		                 reterr);
		if (bad)
			return bad;
	}
	if (inherited) {
		if (s->shared.n_ports)
			snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u",
			         s->shared.ports[0]);
		return 0;
	}
	if (s->opts->listen) {
		static char host[64];
		const char *colon = strrchr(s->opts->listen, ':');
		uint64_t port;

		if (!colon || (size_t)(colon - s->opts->listen) >= sizeof(host) ||
		    !cn_view_u64(cn_view_str(colon + 1), &port) || port > 65535)
			return cn_fail(reterr, CN_E_USAGE,
			               "--listen takes HOST:PORT, not '%s'",
			               s->opts->listen);
		snprintf(host, sizeof(host), "%.*s", (int)(colon - s->opts->listen),
		         s->opts->listen);
		one.host = host;
		one.port = (unsigned)port;
		return listen_one(s, &one, reterr);
	}
	cn_access__each(s->shared.access, count_token, &tokens);
	for (size_t i = 0; i < p->n_listen; i++) {
		if (!p->listen[i].loopback && !p->listen[i].path && tokens == 0)
			return cn_fail(
			    reterr, CN_E_CONFIG,
			    "listening on %s needs a client token first: `continuo token "
			    "add NAME`",
			    p->listen[i].host);
		bad = listen_one(s, &p->listen[i], reterr);
		if (bad)
			return bad;
	}
	return 0;
}

/* ---- the end ---- */

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Every worker's loop has ended: nothing is left but our own handles. */
static void finish(struct cn_server *s)
{
	s->stage = CN_SERVER_STOPPING;
	if (s->admin)
		cn_admin__close(s);
	if (s->reload)
		cn_reload__close(s);
	for (size_t i = 0; i < 3; i++)
		close_handle((uv_handle_t *)&s->signals[i]);
	close_handle((uv_handle_t *)&s->sweep);
	close_handle((uv_handle_t *)&s->async);
}

static void on_async(uv_async_t *async)
{
	struct cn_server *s = async->data;

	if (s->stage != CN_SERVER_STOPPING && atomic_load(&s->workers_over) == s->n_workers)
		finish(s);
}

static void on_worker_over(void *self)
{
	struct cn_server *s = self;

	atomic_fetch_add(&s->workers_over, 1);
	uv_async_send(&s->async);
}

void cn_server__stop(struct cn_server *s)
{
	int order = s->stage == CN_SERVER_SERVING ? CN_WORKER_DRAINING : CN_WORKER_CLOSING;

	if (s->stage == CN_SERVER_SERVING) {
		s->stage = CN_SERVER_DRAINING;
		atomic_store(&s->shared.draining, true);
		cn_log(&s->log, CN_LOG_INFO, "draining",
		       CN_NUM(COUNT, atomic_load(&s->shared.turns)));
	}
	for (size_t i = 0; i < s->n_workers; i++)
		cn_worker__order(&s->workers[i], order);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct cn_server *s = handle->data;

	cn_log(&s->log, CN_LOG_INFO, "signal", CN_NUM(SIGNAL, number));
	if (number == SIGHUP)
		cn_reload__now(s);
	else
		cn_server__stop(s);
}

/* A router that `run` started ends with the last `run` that uses it. */
static void on_sweep(uv_timer_t *timer)
{
	struct cn_server *s = timer->data;

	if (s->stage == CN_SERVER_SERVING)
		cn_admin__sweep(s->admin, cn_clock_ms());
	if (s->opts->for_run && s->stage == CN_SERVER_SERVING &&
	    cn_admin__leases(s->admin) == 0 &&
	    (cn_admin__had_lease(s->admin) ||
	     cn_clock_ms() > s->started_ms + CN_RUN_GRACE_MS))
		cn_server__stop(s);
}

/* ---- the start ---- */

/* One line without heap or secrets, the last trace records, and the signal's own end. */
static void on_fatal(int number)
{
	static const char line[] =
	    "continuo: fatal signal; the last trace records follow\n";

	(void)!write(STDERR_FILENO, line, sizeof(line) - 1);
	cn_trace_dump();
	raise(number);
}

static void catch_fatal(void)
{
	static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
	struct sigaction action = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND};

	/* A test build leaves them to its sanitizers. */
	for (size_t i = 0; !CN_TESTBUILD && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

static int start_loop(struct cn_server *s, struct cn_error *reterr)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	if (uv_loop_init(&s->loop) || uv_async_init(&s->loop, &s->async, on_async) ||
	    uv_timer_init(&s->loop, &s->sweep))
		return cn_fail(reterr, CN_E_FAIL, "the main loop cannot be made");
	s->loop.data = s; /* from now on it must be run to its end */
	s->async.data = s->sweep.data = s;
	uv_timer_start(&s->sweep, on_sweep, CN_SWEEP_MS, CN_SWEEP_MS);
	for (size_t i = 0; i < 3; i++) {
		uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
	return 0;
}

static int start_workers(struct cn_server *s, struct cn_error *reterr)
{
	unsigned n = s->shared.policy->workers;

	n = n < CN_WORKERS_MAX ? n : CN_WORKERS_MAX;
	for (unsigned i = 0; i < n; i++) {
		struct cn_worker *w = &s->workers[i];
		int bad;

		w->shared = &s->shared;
		w->number = i + 1;
		w->on_over = on_worker_over;
		w->over_self = s;
		bad = cn_worker__start(w, s->sockets, s->n_sockets, reterr);
		if (bad)
			return bad;
		s->n_workers++;
	}
	return 0;
}

static int write_ready(const struct cn_server *s, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) text = {0}, tmp = {0};
	int fd;
	bool ok;

	if (!s->opts->ready_file)
		return 0;
	cn_buf_add_char(&text, '{');
	cn_json_add_text(&text, "url", cn_view_str(s->url));
	cn_json_add_u64(&text, "pid", (uint64_t)getpid());
	cn_buf_add_str(&text, "}\n");
	cn_buf_printf(&tmp, "%s.tmp", s->opts->ready_file);
	fd = open(cn_buf_cstr(&tmp), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ok = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
	if (fd >= 0)
		close(fd);
	/* Whole or not there: who waits for it may read at once. */
	if (!ok || rename(cn_buf_cstr(&tmp), s->opts->ready_file))
		return cn_fail(reterr, CN_E_IO, "%s cannot be written",
		               s->opts->ready_file);
	return 0;
}

/* Secrets in memory that may be swapped out: a warning, or no start, as the policy says. */
static int check_memory(struct cn_server *s, struct cn_error *reterr)
{
	if (cn_vault_mlocked(s->shared.vault))
		return 0;
	if (s->shared.policy->require_mlock)
		return cn_fail(
		    reterr, CN_E_LOCKED,
		    "memory cannot be locked, and vault.require_mlock asks for it; raise "
		    "the limit (ulimit -l)");
	cn_log_plain(
	    &s->log, CN_LOG_WARNING,
	    "memory cannot be locked: keys may reach the swap space; raise ulimit -l");
	return 0;
}

/* Budgets go on from what was spent before; without that they begin anew, and it is said.
 */
static void load_usage(struct cn_server *s)
{
	struct cn_shared *sh = &s->shared;
	struct cn_error err = {0};

	sh->usages = cn_usage__new(cn_clock_wall_ms());
	if (cn_usage__load(sh->usages, sh->store, sh->policy, true, &err))
		cn_log(&s->log, CN_LOG_ERROR, "what was spent before is not known",
		       CN_STR(ERROR, err.message));
}

static int start(struct cn_server *s, struct cn_error *reterr)
{
	struct cn_shared *sh = &s->shared;
	int bad = open_vault(s, reterr);

	if (bad)
		return bad;
	cn_log_set_scrubber(scrub, sh->vault);
	bad = cn_reload__load(sh, s->opts->policy, &sh->policy, reterr);
	if (bad)
		return bad;
	if (!s->opts->log_set)
		cn_log_setup((enum cn_log_level)sh->policy->log_level,
		             sh->policy->log_json);
	bad = check_memory(s, reterr);
	if (bad)
		return bad;
	sh->charge.limit = sh->policy->limits.memory_limit;
	bad = open_store(s, reterr);
	if (bad)
		return bad;
	sh->health = cn_health_new();
	sh->provenance = cn_provenance__new();
	sh->known = cn_known__new(sh->vault);
	sh->access = cn_access__new(sh->vault, sh->store);
	load_usage(s);
	bad = cn_access__load(sh->access, reterr);
	if (!bad)
		bad = open_sockets(s, reterr);
	if (!bad)
		bad = start_loop(s, reterr);
	if (!bad)
		bad = cn_admin__open(s, reterr);
	if (!bad)
		bad = start_workers(s, reterr);
	if (bad)
		return bad;
	cn_reload__start(s);
	cn_log(&s->log, CN_LOG_INFO, "serving", CN_STR(URL, s->url),
	       CN_STR(VERSION, CN_VERSION), CN_NUM(PID, getpid()),
	       CN_NUM(WORKER, s->n_workers), CN_STR(FILE, s->opts->policy));
	return write_ready(s, reterr);
}

static void release(struct cn_server *s)
{
	struct cn_shared *sh = &s->shared;

	for (size_t i = 0; i < s->n_workers; i++)
		cn_worker__join(&s->workers[i]);
	for (size_t i = 0; i < s->n_sockets; i++)
		close(s->sockets[i].fd);
	sh->access = cn_access__free(sh->access);
	sh->usages = cn_usage__free(sh->usages);
	sh->provenance = cn_provenance__free(sh->provenance);
	sh->known = cn_known__free(sh->known);
	sh->health = sh->health ? cn_health_free(sh->health) : NULL;
	sh->store = sh->store ? cn_store_close(sh->store) : NULL;
	sh->policy = cn_policy_unref(sh->policy);
	cn_log_set_scrubber(NULL, NULL);
	sh->vault = sh->vault ? cn_vault_close(sh->vault) : NULL;
	uv_mutex_destroy(&sh->policy_lock);
	uv_mutex_destroy(&sh->health_lock);
	uv_mutex_destroy(&sh->pressure.lock);
}

int cn_server_run(const struct cn_server_opts *opts, struct cn_error *reterr)
{
	struct cn_server *s = cn_zalloc(sizeof(*s));
	int bad;

	s->opts = opts;
	s->started_ms = cn_clock_ms();
	cn_hash_setup();
	catch_fatal();
	cn_assert(uv_mutex_init(&s->shared.policy_lock) == 0);
	cn_assert(uv_mutex_init(&s->shared.health_lock) == 0);
	cn_assert(uv_mutex_init(&s->shared.pressure.lock) == 0);
	cn_list_init(&s->shared.pressure.weights);
	bad = cn_upstream_setup(reterr);
	if (!bad)
		bad = start(s, reterr);
	/* Half started: the way out is the usual one. */
	if (bad && s->n_workers) {
		cn_server__stop(s);
		cn_server__stop(s);
	} else if (bad && s->loop.data) {
		finish(s);
	}
	if (s->loop.data) {
		uv_run(&s->loop, UV_RUN_DEFAULT);
		cn_assert(uv_loop_close(&s->loop) == 0);
		cn_log_plain(&s->log, CN_LOG_INFO, "stopped");
	}
	release(s);
	cn_upstream_teardown();
	free(s);
	return bad;
}
