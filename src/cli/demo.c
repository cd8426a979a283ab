/*
 * `continuo demo`: a session that survives its provider, shown without keys or network.
 *
 * The scripted provider (src/demo) runs on a loop in a thread of its own; the router is a
 * real one, this program as a child, in a temporary home; the scripted client runs here, on
 * the main thread.  Owns all three and the directory.  It shows; it does not test more than
 * the client's own strictness.
 */
#include "router_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "continuo/demo.h"
#include "continuo/json.h"

#define TURN_MS 20000

struct opts {
	bool keep;
};

static const struct cn_option options[] = {
    CN_OPTION(SWITCH, struct opts, keep, "keep", NULL,
              "Keeps the temporary directory, with the history of what was shown"),
    {0}};

static const char *const description[] = {
    "A scripted client works through a task, with a tool call in each turn but the last, "
    "against a real router.  The first of two scripted providers fails in another way in "
    "most turns: before its answer begins, and then the second takes over, or in the middle "
    "of it, and then the second goes on from the last words.  Needs no keys and no network.",
    NULL};

static const struct cn_example examples[] = {{"demo", "Shows it"}, {0}};

/* One turn: what `first` does, in words of its script and of ours; and `second`, when that
 * is more than to answer. */
static const struct {
	const char *step, *text, *second;
} turns[] = {
    {"always ok", "nothing: it answers", NULL},
    {"always status 429 retry-after=1", "rate limit: 429, try again in 1 s", NULL},
    {"always status 529", "overloaded: 529", NULL},
    {"always status 500", "internal error: 500", NULL},
    {"always refuse", "the connection is refused", NULL},
    {"always hang", "takes the request and says nothing", NULL},
    {"always error-body", "200, and an error for a body", NULL},
    {"always error-event", "an error event in the stream", NULL},
    {"always end-early", "the stream ends before any content", NULL},
    {"always cut-rst events=6", "reset in the middle of the text", NULL},
    {"always cut-error events=7", "an error event in the middle of it", NULL},
    {"always cut-clean events=5", "the text just ends", NULL},
    {"always stall events=6", "falls silent in the middle of it", NULL},
    {"always cut-fin events=5 thinking", "breaks off while it thinks", NULL},
    {"always cut-fin events=13", "breaks off in a tool call", NULL},
    {"always bad-tool", "a tool call that is no JSON", NULL},
    {"always no-stop", "breaks off after the tool call", NULL},
    {"always cut-fin events=6", "in the middle, and the second one too",
     "cut-rst events=11; ok"},
    {"always ok", "nothing: it answers", NULL},
};
#define ALWAYS  (sizeof("always ") - 1) /* before each step */
#define N_TURNS (sizeof(turns) / sizeof(turns[0]))

struct demo {
	struct cn_cli *cli;
	struct cn_paths paths; /* of the temporary home */
	char *home;            /* in arena */
	/* The provider's thread has the loop from start to join. */
	uv_loop_t loop;
	uv_async_t call;
	uv_thread_t thread;
	uv_sem_t done;           /* it has done what it was called for */
	const char *step;        /* of `first` from now on; NULL: end */
	const char *second_step; /* of `second` */
	struct cn_error mistake; /* of that step */
	struct cn_provider *provider;
	bool looping, threaded;
	unsigned first, second; /* ports */
	pid_t router;           /* 0: none */
	const char *token;      /* in arena */
	unsigned port;
	struct cn_demo_turn results[N_TURNS];
	const char *failed[N_TURNS]; /* in arena: how `first` failed; "": it did not */
	size_t n, whole;
	bool colour;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* ---- the provider ---- */

/* On the provider's loop; whoever called waits for `done`. */
static void on_call(uv_async_t *async)
{
	struct demo *d = async->data;

	d->mistake = (struct cn_error){0};
	if (d->step) {
		d->mistake.code = cn_provider_script(d->provider, "first",
		                                     cn_view_str(d->step), &d->mistake);
		if (!d->mistake.code)
			d->mistake.code =
			    cn_provider_script(d->provider, "second",
			                       cn_view_str(d->second_step), &d->mistake);
	} else {
		cn_provider_close(cn_steal(&d->provider));
		uv_close((uv_handle_t *)async, NULL);
	}
	uv_sem_post(&d->done);
}

/* Calls the thread; the semaphore orders its reads and writes with ours. */
static int tell_provider(struct demo *d, const char *step, const char *second,
                         struct cn_error *reterr)
{
	d->step = step;
	d->second_step = second ? second : "always ok";
	(void)uv_async_send(&d->call); /* cannot fail on a live handle */
	uv_sem_wait(&d->done);
	if (d->mistake.code)
		*reterr = d->mistake;
	return d->mistake.code;
}

static void provide(void *self)
{
	struct demo *d = self;

	uv_run(&d->loop, UV_RUN_DEFAULT);
}

static int make_provider(struct demo *d, struct cn_error *reterr)
{
	struct cn_provider_opts opts = {.loop = &d->loop};
	int failed;

	if (uv_loop_init(&d->loop) || uv_async_init(&d->loop, &d->call, on_call) ||
	    uv_sem_init(&d->done, 0))
		return cn_fail(reterr, CN_E_FAIL, "the provider's loop cannot be made");
	d->call.data = d;
	d->looping = true;
	d->provider = cn_provider_new(&opts);
	failed =
	    cn_provider_add(d->provider, "first", CN_VIEW("always ok"), &d->first, reterr);
	if (!failed)
		failed = cn_provider_add(d->provider, "second", CN_VIEW("always ok"),
		                         &d->second, reterr);
	return failed;
}

static int start_thread(struct demo *d, struct cn_error *reterr)
{
	if (uv_thread_create(&d->thread, provide, d))
		return cn_fail(reterr, CN_E_FAIL, "the provider's thread cannot be made");
	d->threaded = true;
	return 0;
}

static void stop_provider(struct demo *d)
{
	struct cn_error none;

	if (!d->looping)
		return;
	if (d->threaded) {
		(void)tell_provider(d, NULL, NULL, &none); /* its end makes no mistake */
		uv_thread_join(&d->thread);
	} else {
		on_call(&d->call);
		uv_run(&d->loop, UV_RUN_DEFAULT);
	}
	uv_sem_destroy(&d->done);
	cn_assert(uv_loop_close(&d->loop) == 0);
}

/* ---- the router ---- */

static int write_policy(const struct demo *d, struct cn_error *reterr)
{
	FILE *f = fopen(d->paths.policy, "we");

	if (!f)
		return cn_fail(reterr, CN_E_IO, "%s: %s", d->paths.policy, strerror(errno));
	fprintf(f,
	        "listen: 127.0.0.1:0\n"
	        "workers: 1\n"
	        "backends:\n"
	        "  first:  {wire: anthropic, url: \"http://127.0.0.1:%u\", key: none}\n"
	        "  second: {wire: anthropic, url: \"http://127.0.0.1:%u\", key: none}\n"
	        "models:\n"
	        "  soloist: {backend: first, id: soloist-1}\n"
	        "  continuo: {backend: second, id: continuo-1}\n"
	        "chains:\n"
	        "  main: [soloist, continuo]\n"
	        "routes:\n"
	        "  - use: main\n"
	        "fallback:\n"
	        "  connect_timeout: 1s\n"
	        "  first_byte_timeout: 1500ms\n"
	        "  idle_timeout: 1500ms\n"
	        "  hold_thinking: 0s\n",
	        d->first, d->second);
	if (fclose(f))
		return cn_fail(reterr, CN_E_IO, "%s: %s", d->paths.policy, strerror(errno));
	return 0;
}

/* One admin call that must succeed; without a body it only asks. */
static int ask(struct demo *d, const char *path, struct cn_view body,
               struct cn_admin_answer *answer, struct cn_error *reterr)
{
	int failed = cn_cli__admin_call(d->paths.admin_socket, body.n ? "POST" : "GET",
	                                path, body, answer, reterr);

	if (!failed && answer->status != 200)
		failed = cn_cli__admin_refused(CN_E_FAIL, answer, reterr);
	return failed;
}

static int start_router(struct demo *d, struct cn_error *reterr)
{
	struct cn_arena *a = &d->cli->arena;
	struct cn_launch how = {
	    .home = d->home,
	    .log = cn_arena_printf(a, "%s/router.log", d->home),
	    .passphrase_fd = -1,
	    .key_fd = -1,
	};
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_view url, port;
	struct cn_json json;
	uint64_t n;
	int failed = write_policy(d, reterr);

	if (!failed)
		failed = cn_cli__launch(d->cli, &d->paths, &how, &d->router, reterr);
	if (!failed)
		failed =
		    ask(d, "/api/tokens", CN_VIEW("{\"name\":\"demo\"}"), &answer, reterr);
	if (failed)
		return failed;
	json = cn_json_root(cn_buf_view(&answer.body));
	d->token = cn_arena_dup(a, cn_json_text(a, cn_json_get(json, "token")));
	url = cn_json_text(a, cn_json_get(json, "url"));
	for (port = url; cn_view_split(&url, ':', &port);)
		;
	if (!cn_view_u64(port, &n))
		return cn_fail(reterr, CN_E_FAIL, "the router has no address");
	d->port = (unsigned)n;
	return 0;
}

static void stop_router(struct demo *d)
{
	if (!d->router)
		return;
	(void)kill(d->router, SIGTERM); /* our child, not reaped: the pid is its own */
	while (waitpid(d->router, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- what is shown ---- */

static const char *paint(const struct demo *d, const char *code)
{
	return d->colour ? code : "";
}
#define RED   "\033[31m"
#define GREEN "\033[32m"
#define DIM   "\033[2m"
#define PLAIN "\033[0m"

/* Why `first` rests, in the router's words; empty when nobody knows. */
static struct cn_view reason_of(struct demo *d)
{
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_arena *a = &d->cli->arena;
	struct cn_error none;
	struct cn_view reason = {NULL, 0};
	struct cn_json json;

	if (ask(d, "/api/status", (struct cn_view){NULL, 0}, &answer, &none))
		return reason;
	json = cn_json_root(cn_buf_view(&answer.body));
	for (struct cn_json_iter it = cn_json_iter(cn_json_get(json, "cooldowns"));
	     cn_json_next(&it) && !reason.n;)
		if (cn_view_starts(cn_json_text(a, cn_json_get(it.value, "name")),
		                   CN_VIEW("first")))
			reason = cn_arena_view(
			    a, cn_json_text(a, cn_json_get(it.value, "reason")));
	return reason;
}

/*
 * The first attempt's ending when it was not the last: "529" of "a/x:529, b/y:ok".  A class
 * covers several things that happen; its reason says which it was.
 */
static const char *failure(struct demo *d, const struct cn_demo_turn *t)
{
	struct cn_view rest = cn_view_str(t->attempts), one, name, reason;
	uint64_t status;

	if (!cn_view_split(&rest, ',', &one) || !rest.p || !rest.n)
		return "";
	while (cn_view_split(&one, ':', &name))
		;
	reason = cn_view_u64(name, &status) ? (struct cn_view){NULL, 0} : reason_of(d);
	return reason.n && !cn_view_eq(reason, name)
	           ? cn_arena_printf(&d->cli->arena, "%.*s (%.*s)", CN_VIEW_ARG(name),
	                             CN_VIEW_ARG(reason))
	           : cn_arena_dup(&d->cli->arena, name);
}

static const char *seconds(struct demo *d, uint64_t ms)
{
	return cn_arena_printf(&d->cli->arena, "%" PRIu64 " ms", ms);
}

/* The words at the joint, if there were any yet. */
static const char *after(struct demo *d, const struct cn_demo_turn *t)
{
	return t->after[0] ? cn_arena_printf(&d->cli->arena, ", from \"%s\"",
	                                     cn_cli__clean(d->cli, cn_view_str(t->after)))
	                   : "";
}

/* Whose words the answer is made of. */
static struct cn_view answered(struct demo *d, const struct cn_demo_turn *t)
{
	return cn_view_str(
	    t->joints ? cn_arena_printf(&d->cli->arena, "%s + %s", t->used, t->joined)
		      : t->used);
}

static void show_turn(struct demo *d, size_t i)
{
	const struct cn_demo_turn *t = &d->results[i];
	struct cn_cli *cli = d->cli;
	const char *failed = d->failed[i];
	const char *used = cn_cli__clean(cli, cn_view_str(t->used));

	cn_cli__print(cli, "turn %2zu  first: %-37s ", i + 1, turns[i].text);
	if (t->wrong[0])
		cn_cli__print(cli, "%sbroken: %s%s\n", paint(d, RED),
		              cn_cli__clean(cli, cn_view_str(t->wrong)), paint(d, PLAIN));
	else if (t->joints)
		cn_cli__print(cli, "%sbroke off%s -> %s%s%s went on after %s%s\n",
		              paint(d, RED), paint(d, PLAIN), paint(d, GREEN),
		              cn_cli__clean(cli, cn_view_str(t->joined)), paint(d, PLAIN),
		              seconds(d, t->joint_ms), after(d, t));
	else if (*failed)
		cn_cli__print(cli, "%s%s%s -> %s%s%s took over after %s\n", paint(d, RED),
		              failed, paint(d, PLAIN), paint(d, GREEN), used,
		              paint(d, PLAIN), seconds(d, t->first_byte_ms));
	else
		cn_cli__print(cli, "%s%s%s after %s\n", paint(d, GREEN), used,
		              paint(d, PLAIN), seconds(d, t->first_byte_ms));
	(void)fflush(cli->out); /* live */
}

static void show_summary(struct demo *d)
{
	static const struct cn_column columns[] = {
	    {"turn", "TURN", true},
	    {"first", "FIRST DID", false},
	    {"failed", "FAILED WITH", false},
	    {"answered", "ANSWERED BY", false},
	    {"first_byte_ms", "FIRST BYTE MS", true},
	    {"took_ms", "WHOLE MS", true},
	    {"whole", "WHOLE", false},
	};
	struct cn_cli *cli = d->cli;
	struct cn_listing l = {.columns = columns,
	                       .n_columns = sizeof(columns) / sizeof(columns[0])};

	for (size_t i = 0; i < d->n; i++) {
		const struct cn_demo_turn *t = &d->results[i];
		const char *failed = d->failed[i];

		cn_cli__cell_number(cli, &l, i + 1);
		cn_cli__cell(cli, &l, cn_view_str(turns[i].step + ALWAYS));
		if (*failed || t->joints)
			cn_cli__cell(cli, &l,
			             cn_view_str(t->joints ? "broke off" : failed));
		else
			cn_cli__cell_none(cli, &l);
		cn_cli__cell(cli, &l, answered(d, t));
		cn_cli__cell_number(cli, &l, t->first_byte_ms);
		cn_cli__cell_number(cli, &l, t->took_ms);
		cn_cli__cell(cli, &l, cn_view_str(t->wrong[0] ? "no" : "yes"));
	}
	cn_cli__print(cli, "\n");
	cn_cli__listing_print(cli, &l, NULL);
}

static void show_end(struct demo *d, const char *session, bool keep)
{
	struct cn_cli *cli = d->cli;

	cn_cli__print(cli, "\n%s%zu of %zu turns arrived whole.%s\n",
	              paint(d, d->whole == N_TURNS ? GREEN : RED), d->whole, N_TURNS,
	              paint(d, PLAIN));
	if (keep)
		cn_cli__print(cli,
		              "The history: continuo --home %s sessions show %s\n"
		              "The router's log: %s/router.log\n",
		              d->home, session, d->home);
	else
		cn_cli__print(cli, "The history went with the demo; `continuo demo --keep` "
		                   "leaves it for `continuo sessions show`.\n");
}

static void print_json(struct demo *d, const char *session, bool keep)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_char(&b, '{');
	cn_json_add_u64(&b, "whole", d->whole);
	cn_json_add_u64(&b, "of", N_TURNS);
	cn_json_add_text(&b, "session", cn_view_str(session));
	if (keep)
		cn_json_add_text(&b, "home", cn_view_str(d->home));
	cn_json_add_key(&b, "turns");
	for (size_t i = 0; i < d->n; i++) {
		const struct cn_demo_turn *t = &d->results[i];

		cn_buf_add_str(&b, i ? ",{" : "[{");
		cn_json_add_u64(&b, "turn", i + 1);
		cn_json_add_text(&b, "first", cn_view_str(turns[i].step + ALWAYS));
		cn_json_add_u64(&b, "status", (uint64_t)t->status);
		cn_json_add_text(&b, "attempts", cn_view_str(t->attempts));
		cn_json_add_text(&b, "failed", cn_view_str(d->failed[i]));
		cn_json_add_text(&b, "answered", cn_view_str(t->used));
		cn_json_add_u64(&b, "joints", t->joints);
		cn_json_add_text(&b, "joined", cn_view_str(t->joined));
		cn_json_add_u64(&b, "joint_ms", t->joint_ms);
		cn_json_add_u64(&b, "first_byte_ms", t->first_byte_ms);
		cn_json_add_u64(&b, "took_ms", t->took_ms);
		cn_json_add_bool(&b, "whole", !t->wrong[0]);
		cn_json_add_text(&b, "wrong", cn_view_str(t->wrong));
		cn_buf_add_char(&b, '}');
	}
	cn_buf_add_str(&b, d->n ? "]}" : "[]}");
	cn_cli__print(d->cli, "%.*s\n", CN_VIEW_ARG(cn_buf_view(&b)));
}

/* ---- the play ---- */

static int play(struct demo *d, bool keep, struct cn_error *reterr)
{
	struct cn_cli *cli = d->cli;
	struct cn_demo_client client;
	CN_AUTO(cn_admin_answer) answer = {0};
	int failed = 0;

	if (!cli->common.json)
		cn_cli__print(cli,
		              "A router on port %u, two providers, one task of %zu turns.  "
		              "%sfirst%s fails, %ssecond%s takes over or goes on.\n\n",
		              d->port, N_TURNS, paint(d, RED), paint(d, PLAIN),
		              paint(d, GREEN), paint(d, PLAIN));
	(void)fflush(cli->out);
	cn_demo_client_init(&client, "127.0.0.1", d->port, d->token, N_TURNS - 1,
	                    "/tmp/demo");
	while (d->n < N_TURNS && !interrupted && !failed) {
		struct cn_demo_turn *t = &d->results[d->n];

		/* A failure lets `first` rest, so the next turn would not come to it: the
		 * rest is forgotten, so that every failure is shown, one a turn. */
		failed = ask(d, "/api/reset", CN_VIEW("{}"), &answer, reterr);
		if (!failed)
			failed =
			    tell_provider(d, turns[d->n].step, turns[d->n].second, reterr);
		if (failed)
			break;
		d->whole += cn_demo_client_turn(&client, TURN_MS, t);
		d->failed[d->n] = failure(d, t);
		d->n++;
		if (!cli->common.json)
			show_turn(d, d->n - 1);
	}
	if (!failed && interrupted)
		failed = cn_fail(reterr, CN_E_FAIL, "interrupted");
	if (!failed && cli->common.json)
		print_json(d, client.session, keep);
	if (!failed && !cli->common.json) {
		show_summary(d);
		show_end(d, client.session, keep);
	}
	cn_demo_client_done(&client);
	if (!failed && d->whole < N_TURNS)
		cli->exit_status = 1;
	return failed;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int make_home(struct demo *d, struct cn_error *reterr)
{
	const char *tmp = getenv("TMPDIR");
	struct cn_arena *a = &d->cli->arena;

	d->home = cn_arena_printf(a, "%s/continuo-demo-XXXXXX",
	                          tmp && tmp[0] == '/' ? tmp : "/tmp");
	if (!mkdtemp(d->home)) {
		int failed = cn_fail(reterr, CN_E_IO, "%s: %s", d->home, strerror(errno));

		d->home = NULL;
		return failed;
	}
	d->cli->common.home = d->home;
	d->cli->common.policy = NULL;
	return cn_cli__paths(d->cli, &d->paths, reterr);
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct opts *o = cli->opts;
	struct sigaction catch = {.sa_handler = on_interrupt};
	struct demo *d = cn_zalloc(sizeof(*d));
	const char *no_colour = getenv("NO_COLOR");
	int failed;

	d->cli = cli;
	d->colour = isatty(fileno(cli->out)) && !(no_colour && *no_colour);
	(void)sigaction(SIGINT, &catch, NULL);
	(void)sigaction(SIGTERM, &catch, NULL);
	failed = make_home(d, reterr);
	if (!failed)
		failed = make_provider(d, reterr);
	/* Before the thread: a child is forked while there is none. */
	if (!failed)
		failed = start_router(d, reterr);
	if (!failed)
		failed = start_thread(d, reterr);
	if (!failed)
		failed = play(d, o->keep, reterr);
	stop_router(d);
	stop_provider(d);
	if (d->home && !o->keep && nftw(d->home, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
		cn_cli__note(cli, "%s could not be removed", d->home);
	free(d);
	return failed;
}

const struct cn_command cn_cmd_demo = {
    .name = "demo",
    .summary = "Shows a session that survives its provider, without keys or network",
    .description = description,
    .options = options,
    .opts_size = sizeof(struct opts),
    .examples = examples,
    .run = run,
};
