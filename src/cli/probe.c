/*
 * `continuo probe`: asks models of the policy the questions of the conformance suite, shows
 * what came, and puts what was found into the policy when told to.
 *
 * Calls backends for real, with the keys that the policy names; no router has to run.  The
 * suite, and what its answers mean, is probe/'s.  Main thread.
 */
#include "probe_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "continuo/json.h"
#include "policy_impl.h"
#include "unlock_impl.h"

#define CN_TIMEOUT_MAX 3600 /* seconds */

struct opts {
	struct cn_unlock_opts unlock;
	const char *id;
	struct cn_words only;
	uint64_t timeout; /* seconds */
	bool write;
};

static const struct opts defaults = {.unlock = CN_UNLOCK_DEFAULTS, .timeout = 60};

/* One run of the command. */
struct probing {
	struct cn_cli *cli;
	const struct opts *opts;
	struct cn_policy *policy;         /* one reference */
	struct cn_opened opened;          /* the vault, where a key in it is needed */
	const char *api_key, *auth_token; /* of the environment; NULL: none */
	const struct cn_model **models;   /* in arena: those wanted */
	size_t n_models;
	const struct cn_backend *backend; /* of the model that is asked */
	struct cn_probe_report *reports;  /* in arena */
	size_t n_reports;
	bool progress; /* somebody watches */
};

/* ---- keys ---- */

struct put_secret {
	enum cn_auth auth;
	void (*put)(void *to, struct cn_view name, struct cn_view value);
	void *to;
};

static void on_secret(void *self, struct cn_view secret)
{
	const struct put_secret *ps = self;

	cn_upstream_put_key(ps->auth, secret, ps->put, ps->to);
}

static int credential(void *self,
                      void (*put)(void *to, struct cn_view name, struct cn_view value),
                      void *to, struct cn_error *reterr)
{
	struct probing *p = self;
	const struct cn_policy_key *key = &p->backend->keys[0];
	struct put_secret ps = {p->backend->auth, put, to};

	switch (key->kind) {
	case CN_KEY_NONE:
		return 0;
	case CN_KEY_CLIENT:
		/* As a client with these variables would send it. */
		ps.auth = p->api_key ? CN_AUTH_X_API_KEY : CN_AUTH_BEARER;
		on_secret(&ps, cn_view_str(p->api_key ? p->api_key : p->auth_token));
		return 0;
	case CN_KEY_VAULT:
		return cn_vault_borrow(p->opened.vault, key->name, p->backend->origin,
		                       on_secret, &ps, reterr);
	}
	return cn_fail(reterr, CN_E_FAIL, "unknown kind of key");
}

static void blot(char *text, size_t n, const char *secret)
{
	struct cn_view all = {text, n}, needle = cn_view_str(secret);
	size_t at = 0;

	while (needle.n >= 8 && (at = cn_view_find(all, needle, at)) != SIZE_MAX)
		memset(text + at, '*', needle.n);
}

static void scrub(void *self, char *text, size_t n)
{
	struct probing *p = self;

	blot(text, n, p->api_key);
	blot(text, n, p->auth_token);
	if (p->opened.vault)
		(void)cn_vault_scrub(p->opened.vault, text, n); /* how many is no matter */
}

/* NULL: it can be asked; else why not. */
static const char *obstacle(const struct probing *p, const struct cn_model *m)
{
	if (!m->id && !p->opts->id)
		return "its id is the client's to choose; name one with --id";
	if (m->backend->keys[0].kind == CN_KEY_CLIENT && !p->api_key && !p->auth_token)
		return "its key is the client's; set ANTHROPIC_API_KEY or "
		       "ANTHROPIC_AUTH_TOKEN";
	return NULL;
}

static bool needs_vault(const struct probing *p)
{
	for (size_t i = 0; i < p->n_models; i++)
		if (p->models[i]->backend->keys[0].kind == CN_KEY_VAULT &&
		    !obstacle(p, p->models[i]))
			return true;
	return false;
}

/* ---- what is asked of whom ---- */

static int choose_models(struct probing *p, struct cn_error *reterr)
{
	const struct cn_cli *cli = p->cli;
	size_t most = p->policy->n_models + cli->n_args;

	p->models = cn_arena_zalloc(&p->cli->arena, (most + 1) * sizeof(struct cn_model *));
	for (size_t i = 0; i < cli->n_args; i++) {
		const struct cn_model *m =
		    cn_policy_model(p->policy, cn_view_str(cli->args[i]));
		bool twice = false;

		if (!m)
			return cn_fail(reterr, CN_E_USAGE, "no model %s in %s",
			               cli->args[i], p->policy->file);
		for (size_t j = 0; j < p->n_models; j++)
			twice |= p->models[j] == m;
		if (!twice)
			p->models[p->n_models++] = m;
	}
	for (size_t i = 0; !cli->n_args && i < p->policy->n_models; i++)
		p->models[p->n_models++] = &p->policy->models[i];
	return 0;
}

static int check_options(const struct opts *o, struct cn_error *reterr)
{
	if (o->timeout == 0 || o->timeout > CN_TIMEOUT_MAX)
		return cn_fail(reterr, CN_E_USAGE, "--timeout takes 1 to %d seconds",
		               CN_TIMEOUT_MAX);
	for (size_t i = 0; i < o->only.n; i++) {
		const char *name;
		size_t at = 0;

		while ((name = cn_probe_check_name(at)) && strcmp(name, o->only.v[i]) != 0)
			at++;
		if (!name)
			return cn_fail(reterr, CN_E_USAGE, "no check is called %s",
			               o->only.v[i]);
	}
	return 0;
}

/* ---- output ---- */

static void print_table(struct probing *p, const struct cn_probe_report *r)
{
	static const struct cn_column columns[] = {{"check", "CHECK", false},
	                                           {"verdict", "VERDICT", false},
	                                           {"sent", "SENT", false},
	                                           {"came", "CAME", false}};
	struct cn_listing l = {.columns = columns, .n_columns = 4};
	struct cn_cli *cli = p->cli;

	for (size_t i = 0; i < r->n_results; i++) {
		const struct cn_probe_result *one = &r->results[i];
		const char *v = cn_probe_verdict_name(one->verdict);

		cn_cli__cell(cli, &l, cn_view_str(one->check));
		cn_cli__cell(
		    cli, &l,
		    cn_view_str(one->needed && one->verdict == CN_PROBE_BAD ? "NO" : v));
		cn_cli__cell(cli, &l, cn_view_str(one->sent));
		cn_cli__cell(cli, &l, cn_view_str(one->came));
	}
	cn_cli__print(cli, "%s: %s at %s\n", r->model->name, cn_cli__clean(cli, r->id),
	              r->model->backend->name);
	cn_cli__listing_print(cli, &l, NULL);
}

static void print_findings(struct probing *p, const struct cn_findings *f)
{
	CN_AUTO(cn_buf) b = {0};

	for (size_t i = 0; i < f->n; i++) {
		cn_buf_add_str(&b, "  ");
		cn_cli__add_finding(&b, &f->v[i]);
		cn_buf_add_char(&b, '\n');
	}
	cn_cli__print(p->cli, "The policy says otherwise%s:\n%.*s",
	              p->opts->write ? "" : "; --write changes it",
	              CN_VIEW_ARG(cn_buf_view(&b)));
}

static void print_summary(struct probing *p, const struct cn_probe_report *r)
{
	size_t needed = cn_probe_count(r, CN_PROBE_BAD, true);

	cn_cli__print(p->cli, "%s: %zu ok, %zu odd, %zu no, %zu skipped", r->model->name,
	              cn_probe_count(r, CN_PROBE_GOOD, false),
	              cn_probe_count(r, CN_PROBE_ODD, false),
	              cn_probe_count(r, CN_PROBE_BAD, false),
	              cn_probe_count(r, CN_PROBE_SKIPPED, false));
	if (needed)
		cn_cli__print(p->cli, "; %zu that a chain relies on (NO)", needed);
	if (r->stopped)
		cn_cli__print(p->cli, "; %s", r->stopped);
	cn_cli__print(p->cli, "\n\n");
}

static void add_result(struct cn_buf *b, const struct cn_probe_result *r)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "check", cn_view_str(r->check));
	cn_json_add_text(b, "verdict", cn_view_str(cn_probe_verdict_name(r->verdict)));
	cn_json_add_bool(b, "needed", r->needed);
	cn_json_add_text(b, "sent", cn_view_str(r->sent));
	cn_json_add_text(b, "came", cn_view_str(r->came));
	if (r->ms)
		cn_json_add_u64(b, "ms", r->ms);
	cn_buf_add_char(b, '}');
}

static void add_report(struct cn_buf *b, const struct cn_probe_report *r)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "model", cn_view_str(r->model->name));
	cn_json_add_text(b, "backend", cn_view_str(r->model->backend->name));
	cn_json_add_text(b, "id", r->id);
	if (r->stopped)
		cn_json_add_text(b, "stopped", cn_view_str(r->stopped));
	cn_json_add_key(b, "checks");
	cn_buf_add_char(b, '[');
	for (size_t i = 0; i < r->n_results; i++) {
		cn_buf_add_str(b, i ? ",\n  " : "\n  ");
		add_result(b, &r->results[i]);
	}
	cn_buf_add_str(b, "]}");
}

static void print_json(struct probing *p, const struct cn_findings *f, bool written)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_str(&b, "{\"probes\":[");
	for (size_t i = 0; i < p->n_reports; i++) {
		cn_buf_add_str(&b, i ? ",\n " : "\n ");
		add_report(&b, &p->reports[i]);
	}
	cn_buf_add_str(&b, "],\n\"findings\":[");
	for (size_t i = 0; i < f->n; i++) {
		const struct cn_config_change *c = &f->v[i];

		cn_buf_add_str(&b, i ? ",\n {" : "\n {");
		cn_json_add_text(&b, "section", cn_view_str(c->section));
		cn_json_add_text(&b, "name", cn_view_str(c->name));
		cn_json_add_text(&b, "key", cn_view_str(c->key));
		cn_json_add_text(&b, "value", cn_view_str(c->value));
		cn_buf_add_char(&b, '}');
	}
	cn_buf_add_str(&b, "]");
	cn_json_add_bool(&b, "written", written);
	cn_buf_add_str(&b, "}\n");
	fwrite(b.p, 1, b.n, p->cli->out);
}

/* ---- running ---- */

static void on_progress(void *self, const char *request, size_t nth, size_t of)
{
	struct probing *p = self;

	if (p->progress)
		fprintf(p->cli->err, "\r\033[K%zu of %zu: %s", nth, of, request);
}

static int probe_one(struct probing *p, const struct cn_model *m, struct cn_error *reterr)
{
	struct cn_probe_opts o = {.model = m,
	                          .id = cn_view_str(p->opts->id),
	                          .only = p->opts->only.v,
	                          .n_only = p->opts->only.n,
	                          .timeout_ms = p->opts->timeout * 1000,
	                          .credential = credential,
	                          .scrub = scrub,
	                          .on_progress = on_progress,
	                          .self = p};
	const char *why = obstacle(p, m);
	int bad;

	if (why) {
		cn_cli__note(p->cli, "%s is not asked: %s", m->name, why);
		return 0;
	}
	p->backend = m->backend;
	bad = cn_probe_run(&o, &p->cli->arena, &p->reports[p->n_reports], reterr);
	if (p->progress)
		fputs("\r\033[K", p->cli->err);
	if (bad)
		return bad;
	if (!p->cli->common.json) {
		print_table(p, &p->reports[p->n_reports]);
		print_summary(p, &p->reports[p->n_reports]);
	}
	p->n_reports++;
	return 0;
}

static int probe_all(struct probing *p, struct cn_error *reterr)
{
	int bad = cn_upstream_setup(reterr);

	if (bad)
		return bad;
	p->reports =
	    cn_arena_zalloc(&p->cli->arena, (p->n_models + 1) * sizeof(*p->reports));
	for (size_t i = 0; !bad && i < p->n_models; i++) {
		bad = probe_one(p, p->models[i], reterr);
		if (p->n_reports && p->reports[p->n_reports - 1].interrupted)
			break;
	}
	cn_upstream_teardown();
	if (!bad && !p->n_reports)
		bad = cn_fail(reterr, CN_E_FAIL, "no model could be asked");
	return bad;
}

/* What is done with the reports; the exit status says whether the policy can be relied on.
 */
static int conclude(struct probing *p, struct cn_error *reterr)
{
	struct cn_findings findings = {0};
	struct cn_cli *cli = p->cli;
	bool interrupted = false;
	int bad = 0;

	for (size_t i = 0; i < p->n_reports; i++) {
		const struct cn_probe_report *r = &p->reports[i];

		interrupted |= r->interrupted;
		if (r->stopped || cn_probe_count(r, CN_PROBE_BAD, true))
			cli->exit_status = 1;
		cn_cli__findings(cli, r, &findings);
	}
	cn_cli__findings_of_backends(cli, p->policy, p->reports, p->n_reports, &findings);
	if (!cli->common.json && findings.n)
		print_findings(p, &findings);
	/* Half a suite is no ground to change anything on. */
	if (p->opts->write && interrupted)
		cn_cli__note(cli, "interrupted: nothing is written");
	else if (p->opts->write && findings.n)
		bad =
		    cn_cli__write_findings(cli, p->policy, &findings,
		                           cli->common.json ? cli->err : cli->out, reterr);
	else if (p->opts->write)
		cn_cli__note(cli, "nothing to write: the policy says what was found");
	if (cli->common.json)
		print_json(p, &findings,
		           p->opts->write && findings.n && !interrupted && !bad);
	return bad;
}

static int open_vault(struct probing *p, struct cn_error *reterr)
{
	int bad;

	if (!needs_vault(p))
		return 0;
	bad = cn_cli__vault_find(p->cli, &p->opened, reterr);
	return bad ? bad : cn_cli__vault_open(p->cli, &p->opts->unlock, &p->opened, reterr);
}

static const char *environment(const char *name)
{
	const char *v = getenv(name);

	return v && v[0] ? v : NULL;
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	struct probing p = {.cli = cli,
	                    .opts = cli->opts,
	                    .api_key = environment("ANTHROPIC_API_KEY"),
	                    .auth_token = environment("ANTHROPIC_AUTH_TOKEN"),
	                    .progress = isatty(fileno(cli->err))};
	int bad = check_options(p.opts, reterr);

	if (!bad)
		bad = cn_cli__load_policy(cli, NULL, &p.policy, reterr);
	if (bad)
		return bad;
	bad = choose_models(&p, reterr);
	if (!bad)
		bad = open_vault(&p, reterr);
	if (!bad)
		bad = probe_all(&p, reterr);
	if (!bad)
		bad = conclude(&p, reterr);
	cn_opened_done(&p.opened);
	cn_policy_unref(p.policy);
	return bad;
}

/* ---- the row ---- */

static const struct cn_option options[] = {
    CN_OPTION(LIST, struct opts, only, "only", "CHECK",
              "Makes this check alone; may be given several times"),
    CN_OPTION(TEXT, struct opts, id, "id", "ID",
              "The id to ask for where the policy says `id: client`"),
    CN_OPTION(NUMBER, struct opts, timeout, "timeout", "SECONDS",
              "The most that one request may take, waiting for a rate limit included; 60"),
    CN_OPTION(SWITCH, struct opts, write, "write", NULL,
              "Puts what was found into the policy's files, and shows what changed"),
    CN_UNLOCK_OPTIONS(struct opts),
    {0}};
static const char *const description[] = {
    "Sends about two dozen small requests to each model (all of the policy, or those named), "
    "as turns would send them, and shows what came: whether the system prompt is kept, tool "
    "calls are well formed, stop sequences obeyed, streams whole, pictures seen, an answer "
    "that was begun gone on with, figures plausible.  This costs what such requests cost.",
    "The checks are answer, system, late_system, tool_call, tool_stream, parallel, tool_choice, "
    "tool_result, tool_error, stop, stream, whole, ceiling, max_tokens, prefill, thinking, "
    "thinking_budget, image, tool_image, usage, count_tokens, error, unknown_field, model_name, "
    "cache and speed.  Each ends as ok, odd (worth knowing), no, or skipped; NO in capitals is "
    "one that a chain with this model relies on, by what the policy says of it.  The command "
    "fails with 1 when there is one.",
    "With --write, what the policy says otherwise is changed in the file that says it: "
    "continuation, thinking, images, tools, max_output, stream and tool_format of the model, "
    "quirks of its backend.  Every other byte stays, and what would not load is not written.",
    "A backend with `key: client` gets ANTHROPIC_API_KEY, else ANTHROPIC_AUTH_TOKEN.",
    NULL};
static const struct cn_example examples[] = {
    {"probe", "Asks every model of the policy"},
    {"probe k2 --write", "Asks one, and puts what was found into the policy"},
    {"probe local --only prefill --only stop", "Makes two checks"},
    {0}};

const struct cn_command cn_cmd_probe = {
    .name = "probe",
    .summary = "Finds out what a model and its backend really do",
    .description = description,
    .options = options,
    .opts_size = sizeof(struct opts),
    .defaults = &defaults,
    .arguments = "[MODEL…]",
    .args_max = CN_ARGS_ANY,
    .examples = examples,
    .run = run,
};
