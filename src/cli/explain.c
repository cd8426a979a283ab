/*
 * `continuo policy explain`: which route a request would match and why those before it do
 * not, which models of its chain would be tried in which order, and why others would not.
 *
 * The request is read from a file, or made of what the options say of it.  Nothing is
 * decided here: route/ is asked, for single conditions with a route that has only that one.
 * No backend is called.  Main thread.
 */
#include "policy_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/estimate.h"
#include "continuo/plan.h"

#define CN_EXPLAIN_BODY_MAX ((size_t)256 * 1024 * 1024) /* limits.request_body's end */

struct explain {
	const char *model, *caller, *owner, *at;
	struct cn_words headers;
	uint64_t tokens, tools;
	bool thinking, images;
};

/* What a request is asked about: of a file, of the options. */
struct subject {
	const struct explain *opts;
	struct cn_buf body; /* owned */
	struct cn_request request;
	struct cn_match_input in;
	struct cn_arena *arena; /* borrowed */
};

/* ---- the request ---- */

static int read_body(const char *path, struct cn_buf *b, struct cn_error *reterr)
{
	int fd =
	    strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = -1;

	if (fd < 0)
		return cn_fail(reterr, CN_E_IO, "%s: %s", path, strerror(errno));
	while (b->n <= CN_EXPLAIN_BODY_MAX) {
		got = read(fd, cn_buf_reserve(b, 65536), 65536);
		if (got <= 0)
			break;
		b->n += (size_t)got;
	}
	(void)close(fd); /* only read from */
	if (got < 0)
		return cn_fail(reterr, CN_E_IO, "%s cannot be read", path);
	if (b->n > CN_EXPLAIN_BODY_MAX)
		return cn_fail(reterr, CN_E_LIMIT, "%s is larger than any request may be",
		               path);
	return 0;
}

/* The value of a header given as 'NAME: value'; the name in any case. */
static struct cn_view header_of(const void *self, const char *name)
{
	const struct subject *s = self;

	for (size_t i = 0; i < s->opts->headers.n; i++) {
		struct cn_view rest = cn_view_str(s->opts->headers.v[i]), got;
		if (cn_view_split(&rest, ':', &got) &&
		    cn_view_eq_nocase(cn_view_trim(got), cn_view_str(name)))
			return cn_view_trim(rest);
	}
	return (struct cn_view){NULL, 0};
}

static int check_headers(const struct explain *o, struct cn_error *reterr)
{
	for (size_t i = 0; i < o->headers.n; i++)
		if (!strchr(o->headers.v[i], ':') || o->headers.v[i][0] == ':')
			return cn_fail(reterr, CN_E_USAGE,
			               "--header takes 'NAME: value', not '%s'",
			               o->headers.v[i]);
	return 0;
}

/* "HH:MM" as minutes of the day; now when nothing was said. */
static int minute_of(const char *text, int *ret, struct cn_error *reterr)
{
	struct cn_view rest = cn_view_str(text), hour;
	uint64_t h, m;

	if (!text) {
		*ret = cn_clock_minute_of_day();
		return 0;
	}
	if (!cn_view_split(&rest, ':', &hour) || !cn_view_u64(hour, &h) ||
	    !cn_view_u64(rest, &m) || h > 23 || m > 59)
		return cn_fail(reterr, CN_E_USAGE, "--at takes HH:MM, not '%s'", text);
	*ret = (int)(h * 60 + m);
	return 0;
}

static int caller_of(const char *word, enum cn_caller *ret, struct cn_error *reterr)
{
	static const enum cn_caller all[] = {CN_CALLER_MAIN, CN_CALLER_SUBAGENT,
	                                     CN_CALLER_SIDE};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (strcmp(word, cn_caller_name(all[i])) == 0) {
			*ret = all[i];
			return 0;
		}
	}
	return cn_fail(reterr, CN_E_USAGE, "--caller is main, subagent or side, not '%s'",
	               word);
}

/* The file's request, else an ordinary one; what the options say goes before it. */
static int request_of(struct subject *s, const char *path, struct cn_error *reterr)
{
	const struct explain *o = s->opts;
	struct cn_request *r = &s->request;
	struct cn_caller_ids ids = {
	    .session = header_of(s, "x-claude-code-session-id"),
	    .agent = header_of(s, "x-claude-code-agent-id"),
	    .parent_agent = header_of(s, "x-claude-code-parent-agent-id"),
	};
	struct cn_estimate estimate = {0};
	struct cn_request_ear ear = cn_estimate_ear(&estimate);
	int bad = 0;

	*r = (struct cn_request){.model = CN_VIEW("claude-opus-5-5"),
	                         .stream = true,
	                         .max_tokens = 32000,
	                         .has_max_tokens = true,
	                         .caller = CN_CALLER_MAIN};
	if (path) {
		bad = read_body(path, &s->body, reterr);
		if (!bad)
			bad = cn_request_read(s->arena, cn_buf_view(&s->body), &ids, &ear,
			                      r, reterr);
		if (bad)
			return bad;
		r->estimate = cn_estimate_tokens(&estimate, r);
	}
	if (o->model)
		r->model = cn_view_str(o->model);
	if (o->tokens)
		r->estimate = o->tokens;
	if (o->tools)
		r->n_tools = o->tools;
	r->thinking = r->thinking || o->thinking;
	r->images = r->images || o->images;
	r->new_images = r->new_images || o->images;
	return o->caller ? caller_of(o->caller, &r->caller, reterr) : 0;
}

/* ---- why a route does not match ---- */

static const struct cn_when anything = {.thinking = CN_ANY,
                                        .images = CN_ANY,
                                        .tools = CN_ANY,
                                        .caller = -1,
                                        .from_minute = -1,
                                        .to_minute = -1};

static void join(struct cn_buf *b, const char *const *globs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cn_buf_printf(b, "%s%s", i ? " or " : "", globs[i]);
}

static bool tristate(enum cn_tristate t, enum cn_tristate *ret, struct cn_buf *b)
{
	*ret = t;
	cn_buf_add_str(b, t == CN_YES ? "true" : "false");
	return t != CN_ANY;
}

static bool take_model(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	only->models = w->models;
	only->n_models = w->n_models;
	join(b, w->models, w->n_models);
	return w->n_models > 0;
}

static bool take_owner(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	only->owners = w->owners;
	only->n_owners = w->n_owners;
	join(b, w->owners, w->n_owners);
	return w->n_owners > 0;
}

static bool take_over(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	only->context_over = w->context_over;
	cn_buf_printf(b, "%llu", (unsigned long long)w->context_over);
	return w->context_over > 0;
}

static bool take_under(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	only->context_under = w->context_under;
	cn_buf_printf(b, "%llu", (unsigned long long)w->context_under);
	return w->context_under > 0;
}

static bool take_thinking(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	return tristate(w->thinking, &only->thinking, b);
}

static bool take_images(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	return tristate(w->images, &only->images, b);
}

static bool take_tools(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	return tristate(w->tools, &only->tools, b);
}

static bool take_caller(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	only->caller = w->caller;
	if (w->caller >= 0)
		cn_buf_add_str(b, cn_caller_name((enum cn_caller)w->caller));
	return w->caller >= 0;
}

static bool take_header(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	only->headers = w->headers;
	only->n_headers = w->n_headers;
	for (size_t i = 0; i < w->n_headers; i++)
		cn_buf_printf(b, "%s%s: %s", i ? ", " : "", w->headers[i].name,
		              w->headers[i].value);
	return w->n_headers > 0;
}

static bool take_time(const struct cn_when *w, struct cn_when *only, struct cn_buf *b)
{
	only->from_minute = w->from_minute;
	only->to_minute = w->to_minute;
	cn_buf_printf(b, "%02d:%02d-%02d:%02d", w->from_minute / 60, w->from_minute % 60,
	              w->to_minute / 60, w->to_minute % 60);
	return w->from_minute >= 0;
}

/*
 * One condition each: take() copies it alone into *only, says in b what it wants, and is
 * false when the route does not ask for it.
 */
static const struct {
	const char *name;
	bool (*take)(const struct cn_when *w, struct cn_when *only, struct cn_buf *b);
} conditions[] = {
    {"model", take_model},         {"owner", take_owner},       {"context_over", take_over},
    {"context_under", take_under}, {"thinking", take_thinking}, {"images", take_images},
    {"tools", take_tools},         {"caller", take_caller},     {"header", take_header},
    {"time", take_time},
};

/* Calls each with every condition of the route that does not hold. */
static void each_failed(const struct cn_route *route, const struct cn_match_input *in,
                        void (*each)(void *self, const char *name, struct cn_view wanted),
                        void *self)
{
	for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
		CN_AUTO(cn_buf) wanted = {0};
		struct cn_route alone = {.when = anything};
		struct cn_policy p = {.routes = &alone, .n_routes = 1};
		if (conditions[i].take(&route->when, &alone.when, &wanted) &&
		    !cn_route_match(&p, in))
			each(self, conditions[i].name, cn_buf_view(&wanted));
	}
}

/* ---- telling ---- */

struct telling {
	struct cn_cli *cli;
	struct cn_buf *json; /* NULL: text */
	unsigned n;
};

static void tell_condition(void *self, const char *name, struct cn_view wanted)
{
	struct telling *t = self;

	if (t->json) {
		cn_buf_add_str(t->json, t->n++ ? "," : "");
		cn_json_add_string(t->json, cn_view_str(name));
		return;
	}
	cn_cli__print(t->cli, "%s %s (%s)", t->n++ ? "," : "", name,
	              cn_cli__clean(t->cli, wanted));
}

/* The routes before the one that matches; all when none does. */
static void tell_passed(struct telling *t, const struct cn_policy *p,
                        const struct cn_match_input *in)
{
	const struct cn_route *match = cn_route_match(p, in);
	size_t n = match ? (size_t)(match - p->routes) : p->n_routes;

	for (size_t i = 0; i < n; i++) {
		t->n = 0;
		if (t->json) {
			cn_buf_printf(t->json, "%s{\"route\":%u,\"fails\":[", i ? "," : "",
			              p->routes[i].number);
			each_failed(&p->routes[i], in, tell_condition, t);
			cn_buf_add_str(t->json, "]}");
			continue;
		}
		cn_cli__print(t->cli, "route %u does not match:", p->routes[i].number);
		each_failed(&p->routes[i], in, tell_condition, t);
		cn_cli__print(t->cli, "\n");
	}
}

static void print_plan(struct cn_cli *cli, const struct cn_plan *plan)
{
	cn_cli__print(cli, "route %u matches: chain %s\n", plan->route->number,
	              plan->chain->name);
	for (size_t i = 0; i < plan->n; i++) {
		const struct cn_model *m = plan->candidates[i].model;

		cn_cli__print(cli, "  %zu. %s/%s as %s, key %s\n", i + 1, m->backend->name,
		              m->name, m->id ? m->id : "what the client asks for",
		              plan->candidates[i].key->name);
	}
	for (size_t i = 0; i < plan->n_skipped; i++) {
		const struct cn_skip *s = &plan->skipped[i];

		cn_cli__print(cli, "  -  %s/%s%s%s is left out: %s\n",
		              s->model->backend->name, s->model->name,
		              s->key ? ", key " : "", s->key ? s->key->name : "",
		              s->reason);
	}
	if (plan->n == 0)
		cn_cli__print(cli, "  no model of it can take this request\n");
}

static void add_plan(struct cn_buf *b, const struct cn_plan *plan)
{
	cn_json_add_text(b, "chain", cn_view_str(plan->chain->name));
	cn_json_add_u64(b, "route", plan->route->number);
	cn_json_add_key(b, "candidates");
	cn_buf_add_char(b, '[');
	for (size_t i = 0; i < plan->n; i++) {
		const struct cn_candidate *c = &plan->candidates[i];

		cn_buf_add_str(b, i ? ",{" : "{");
		cn_json_add_text(b, "backend", cn_view_str(c->model->backend->name));
		cn_json_add_text(b, "model", cn_view_str(c->model->name));
		cn_json_add_text(b, "id",
		                 cn_view_str(c->model->id ? c->model->id : "client"));
		cn_json_add_text(b, "key", cn_view_str(c->key->name));
		cn_buf_add_char(b, '}');
	}
	cn_buf_add_str(b, "],\"skipped\":[");
	for (size_t i = 0; i < plan->n_skipped; i++) {
		const struct cn_skip *s = &plan->skipped[i];

		cn_buf_add_str(b, i ? ",{" : "{");
		cn_json_add_text(b, "backend", cn_view_str(s->model->backend->name));
		cn_json_add_text(b, "model", cn_view_str(s->model->name));
		cn_json_add_text(b, "reason", cn_view_str(s->reason));
		cn_buf_add_char(b, '}');
	}
	cn_buf_add_char(b, ']');
}

static int tell(struct cn_cli *cli, const struct cn_policy *p, struct subject *s,
                struct cn_error *reterr)
{
	CN_AUTO(cn_buf) json = {0};
	struct telling t = {.cli = cli, .json = cli->common.json ? &json : NULL};
	struct cn_health *health = cn_health_new();
	struct cn_plan plan = {0};
	int bad;

	if (t.json)
		cn_buf_add_str(&json, "{\"passed\":[");
	tell_passed(&t, p, &s->in);
	bad = cn_plan_make(s->arena, p, NULL, &s->in, health, 0, &plan, reterr);
	if (!bad && !t.json)
		print_plan(cli, &plan);
	if (t.json) {
		cn_buf_add_char(&json, ']');
		if (!bad)
			add_plan(&json, &plan);
		cn_cli__print(cli, "%.*s}\n", CN_VIEW_ARG(cn_buf_view(&json)));
	}
	cn_health_free(health);
	return bad;
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct explain *o = cli->opts;
	struct subject s = {.opts = o, .arena = &cli->arena};
	struct cn_policy *p = NULL;
	int bad = check_headers(o, reterr);

	s.in = (struct cn_match_input){.request = &s.request,
	                               .owner = cn_view_str(o->owner ? o->owner : "local"),
	                               .header = header_of,
	                               .self = &s};
	if (!bad)
		bad = minute_of(o->at, &s.in.minute_of_day, reterr);
	if (!bad)
		bad = request_of(&s, cli->n_args ? cli->args[0] : NULL, reterr);
	if (!bad)
		bad = cn_cli__load_policy(cli, NULL, &p, reterr);
	if (!bad)
		bad = tell(cli, p, &s, reterr);
	cn_policy_unref(p);
	cn_buf_done(&s.body);
	return bad;
}

/* ---- the row ---- */

static const struct cn_option options[] = {
    CN_OPTION(TEXT, struct explain, model, "model", "MODEL", "The model that is asked for"),
    CN_OPTION(NUMBER, struct explain, tokens, "tokens", "N",
              "Size of the prompt, in tokens"),
    CN_OPTION(NUMBER, struct explain, tools, "tools", "N", "How many tools it declares"),
    CN_OPTION(SWITCH, struct explain, thinking, "thinking", NULL, "It asks for thinking"),
    CN_OPTION(SWITCH, struct explain, images, "images", NULL, "It has images"),
    CN_OPTION(TEXT, struct explain, caller, "caller", "KIND", "main, subagent or side"),
    CN_OPTION(TEXT, struct explain, owner, "owner", "NAME",
              "Whose client token it carries"),
    CN_OPTION(LIST, struct explain, headers, "header", "NAME:VALUE",
              "A header that it has"),
    CN_OPTION(TEXT, struct explain, at, "at", "HH:MM", "The local time of day"),
    {0}};

static const struct cn_example examples[] = {
    {"policy explain --model claude-haiku-5-5 --tokens 150000",
     "Says which models would be tried, and why others would not"},
    {"policy explain --at 23:30 request.json",
     "The same of a request's body in a file, late in the evening"},
    {0}};

static const char *const description[] = {
    "Says which route a request would match and why those before it do not, and which models "
    "of its chain would be tried in which order.",
    "FILE is the body of a request (- is standard input).  Without one, and where no option "
    "says otherwise, it is a turn of the main agent with an empty prompt, now.",
    NULL};

const struct cn_command cn_cmd_policy_explain = {
    .name = "explain",
    .summary = "Says which chain a request would take, and why",
    .description = description,
    .options = options,
    .opts_size = sizeof(struct explain),
    .arguments = "[FILE]",
    .args_max = 1,
    .examples = examples,
    .run = run,
};
