/*
 * `continuo env`: what `run` would set, printed for a shell or for the client's settings
 * file, with a token of its own that lasts until `token rm`.
 *
 * Needs a running router: only that one knows its address.  Main thread.
 */
#include "router_impl.h"

#include "continuo/hash.h"
#include "continuo/json.h"

struct opts {
	const char *format, *chain;
};
static const struct opts defaults = {.format = "sh"};

static const struct cn_option options[] = {
    CN_OPTION(WORD, struct opts, format, "format", "sh|fish|settings",
              "For a POSIX shell (the default), for fish, or as the client's settings"),
    CN_OPTION(TEXT, struct opts, chain, "chain", "NAME",
              "Uses this chain of the policy for the client, before all routes"),
    {0}};

static const char *const description[] = {
    "Prints the environment that `run` gives to a client, with a new token.  The token is "
    "shown only now; `continuo token rm` ends it.  A router must be running.",
    NULL};

static const struct cn_example examples[] = {
    {"env > continuo.sh", "Writes lines that a shell can source"},
    {"env --format settings", "Prints the `env` block of the client's settings file"},
    {0}};

/* In single quotes nothing is special to a POSIX shell but the quote itself. */
static void quote_sh(struct cn_buf *b, const char *s)
{
	cn_buf_add_char(b, '\'');
	for (; *s; s++)
		if (*s == '\'')
			cn_buf_add_str(b, "'\\''");
		else
			cn_buf_add_char(b, *s);
	cn_buf_add_char(b, '\'');
}

/* In fish's, the backslash is special as well. */
static void quote_fish(struct cn_buf *b, const char *s)
{
	cn_buf_add_char(b, '\'');
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			cn_buf_add_char(b, '\\');
		cn_buf_add_char(b, *s);
	}
	cn_buf_add_char(b, '\'');
}

static void add_sh(struct cn_buf *b, const struct cn_variable *v)
{
	cn_buf_printf(b, v->value ? "export %s=" : "unset %s", v->name);
	if (v->value)
		quote_sh(b, v->value);
	cn_buf_add_char(b, '\n');
}

static void add_fish(struct cn_buf *b, const struct cn_variable *v)
{
	cn_buf_printf(b, v->value ? "set -gx %s " : "set -e %s", v->name);
	if (v->value)
		quote_fish(b, v->value);
	cn_buf_add_char(b, '\n');
}

/* Settings cannot take a variable away; an empty one counts as none. */
static void add_setting(struct cn_buf *b, const struct cn_variable *v, bool first)
{
	cn_buf_add_str(b, first ? "\n    " : ",\n    ");
	cn_json_add_string(b, cn_view_str(v->name));
	cn_buf_add_str(b, ": ");
	cn_json_add_string(b, cn_view_str(v->value ? v->value : ""));
}

static void print_env(struct cn_cli *cli, const struct cn_client_env *env,
                      const char *format)
{
	CN_AUTO(cn_buf) b = {0};
	bool settings = strcmp(format, "settings") == 0;

	if (settings)
		cn_buf_add_str(&b, "{\n  \"env\": {");
	for (size_t i = 0; i < env->n; i++) {
		if (settings)
			add_setting(&b, &env->v[i], i == 0);
		else if (strcmp(format, "fish") == 0)
			add_fish(&b, &env->v[i]);
		else
			add_sh(&b, &env->v[i]);
	}
	if (settings)
		cn_buf_add_str(&b, "\n  }\n}\n");
	fwrite(b.p, 1, b.n, cli->out);
	cn_wipe(b.p, b.cap);
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct opts *o = cli->opts;
	CN_AUTO(cn_buf) request = {0}, name = {0};
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_client_env env;
	struct cn_paths p;
	int failed = cn_cli__paths(cli, &p, reterr);

	if (failed)
		return failed;
	cn_buf_add_str(&name, "env-");
	cn_random_id(&name, 10);
	cn_buf_add_char(&request, '{');
	cn_json_add_text(&request, "name", cn_buf_view(&name));
	cn_json_add_text(&request, "project", cn_view_str(cn_cli__project(cli)));
	if (o->chain)
		cn_json_add_text(&request, "chain", cn_view_str(o->chain));
	cn_buf_add_char(&request, '}');
	failed = cn_cli__admin_call(p.admin_socket, "POST", "/api/tokens",
	                            cn_buf_view(&request), &answer, reterr);
	if (failed == CN_E_NOT_FOUND)
		return cn_fail(
		    reterr, failed,
		    "no router is running here; start one with `continuo serve`, "
		    "or the client with `continuo run`");
	if (!failed && answer.status != 200)
		failed = cn_cli__admin_refused(CN_E_FAIL, &answer, reterr);
	if (failed)
		return failed;
	cn_cli__client_env(cli, cn_buf_view(&answer.body), &env);
	print_env(cli, &env, cli->common.json ? "settings" : o->format);
	return 0;
}

const struct cn_command cn_cmd_env = {
    .name = "env",
    .summary = "Prints what `run` would set, with a token of its own",
    .description = description,
    .options = options,
    .opts_size = sizeof(struct opts),
    .defaults = &defaults,
    .examples = examples,
    .run = run,
};
