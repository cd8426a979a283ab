/*
 * `continuo policy`: checks the policy files, shows what they amount to, and explains which
 * chain a request would take.
 *
 * Reads files, and the vault where a key file opens it (so that a key that may not go where
 * the policy sends it is found here); never asks, never calls a backend.  Main thread.
 */
#include "cli_impl.h"

#include <string.h>
#include <unistd.h>

#include "continuo/config.h"
#include "continuo/plan.h"
#include "continuo/vault.h"

/* ---- loading ---- */

struct loading {
	struct cn_cli *cli;
	struct cn_vault *vault; /* owned; NULL: keys are not looked at */
	size_t mistakes;
};

static int check_key(void *self, const char *name, const char *origin,
                     struct cn_error *reterr)
{
	struct loading *l = self;

	return l->vault ? cn_vault_check(l->vault, name, origin, reterr) : 0;
}

static void on_mistake(void *self, const struct cn_error *mistake)
{
	struct loading *l = self;

	l->mistakes++;
	cn_cli__print_error(l->cli, mistake);
}

/* Only with a key file that is there: a check must not ask for a passphrase. */
static void open_vault(struct loading *l, const struct cn_paths *p)
{
	struct cn_unlock how = {
	    .passphrase_fd = -1, .key_fd = -1, .key_file = p->vault_key};

	if (access(p->vault, R_OK) == 0 && access(p->vault_key, R_OK) == 0 &&
	    cn_vault_open(p->vault, &how, &l->vault, NULL))
		l->vault = NULL;
	if (!l->vault && access(p->vault, F_OK) == 0)
		cn_cli__note(l->cli, "the vault is not open here: keys were not looked at");
}

/* The policy of the command line, with every mistake printed. */
static int load(struct cn_cli *cli, const char *path, struct cn_policy **ret,
                struct cn_error *reterr)
{
	struct loading l = {.cli = cli};
	struct cn_paths p;
	struct cn_config_opts opts = {.check_key = check_key,
	                              .on_mistake = on_mistake,
	                              .self = &l,
	                              .skip_ownership = path != NULL};
	int bad = cn_cli__paths(cli, &p, reterr);

	if (bad)
		return bad;
	opts.path = path ? path : p.policy;
	open_vault(&l, &p);
	bad = cn_config_load(&opts, ret, reterr);
	if (l.vault)
		cn_vault_close(l.vault);
	/* The mistakes have been printed, each with its place. */
	if (bad && l.mistakes)
		reterr->message[0] = 0;
	return bad;
}

/* ---- check, show ---- */

static int run_check(struct cn_cli *cli, struct cn_error *reterr)
{
	struct cn_policy *p;
	int bad = load(cli, cli->n_args ? cli->args[0] : NULL, &p, reterr);

	if (bad)
		return bad;
	cn_cli__print(cli, "%s: ok: %zu backends, %zu models, %zu chains, %zu routes\n",
	              p->file, p->n_backends, p->n_models, p->n_chains, p->n_routes);
	cn_policy_unref(p);
	return 0;
}

static int run_show(struct cn_cli *cli, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) text = {0};
	struct cn_policy *p;
	int bad = load(cli, cli->n_args ? cli->args[0] : NULL, &p, reterr);

	if (bad)
		return bad;
	cn_config_print(&text, p, cli->common.json);
	cn_cli__print(cli, "%.*s", CN_VIEW_ARG(cn_buf_view(&text)));
	if (text.n && text.p[text.n - 1] != '\n')
		cn_cli__print(cli, "\n");
	cn_policy_unref(p);
	return 0;
}

static int run_schema(struct cn_cli *cli, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) text = {0};

	(void)reterr; /* the schema is made of tables: nothing can fail */
	cn_config_schema(&text);
	cn_cli__print(cli, "%.*s", CN_VIEW_ARG(cn_buf_view(&text)));
	return 0;
}

/* ---- explain ---- */

struct explain {
	const char *model, *caller, *owner, *at;
	uint64_t tokens, tools;
	bool thinking, images;
};

static struct cn_view no_header(const void *self, const char *name)
{
	(void)self;
	(void)name;
	return (struct cn_view){NULL, 0};
}

/* "HH:MM" as minutes of the day; noon when nothing was said. */
static int minute_of(const char *text, int *ret, struct cn_error *reterr)
{
	struct cn_view rest = cn_view_str(text), hour;
	uint64_t h, m;

	*ret = 12 * 60;
	if (!text)
		return 0;
	if (!cn_view_split(&rest, ':', &hour) || !cn_view_u64(hour, &h) ||
	    !cn_view_u64(rest, &m) || h > 23 || m > 59)
		return cn_fail(reterr, CN_E_USAGE, "--at takes HH:MM, not '%s'", text);
	*ret = (int)(h * 60 + m);
	return 0;
}

static int request_of(const struct explain *o, struct cn_request *r,
                      struct cn_error *reterr)
{
	static const struct {
		const char *word;
		enum cn_caller caller;
	} callers[] = {{"main", CN_CALLER_MAIN},
	               {"subagent", CN_CALLER_SUBAGENT},
	               {"side", CN_CALLER_SIDE}};

	*r = (struct cn_request){
	    .model = cn_view_str(o->model ? o->model : "claude-opus-5-5"),
	    .thinking = o->thinking,
	    .images = o->images,
	    .n_tools = o->tools,
	    .stream = true,
	    .max_tokens = 32000,
	    .has_max_tokens = true,
	    .estimate = o->tokens,
	    .caller = CN_CALLER_MAIN,
	};
	for (size_t i = 0; o->caller && i < sizeof(callers) / sizeof(callers[0]); i++) {
		if (strcmp(o->caller, callers[i].word) == 0) {
			r->caller = callers[i].caller;
			return 0;
		}
	}
	if (o->caller)
		return cn_fail(reterr, CN_E_USAGE,
		               "--caller is main, subagent or side, not '%s'", o->caller);
	return 0;
}

static void print_plan(struct cn_cli *cli, const struct cn_plan *plan)
{
	cn_cli__print(cli, "chain %s", plan->chain->name);
	if (plan->route)
		cn_cli__print(cli, " by route %u%s", plan->route->number,
		              plan->route->number > 1 ? "; those before it do not match"
		                                      : "");
	cn_cli__print(cli, "\n");
	for (size_t i = 0; i < plan->n; i++) {
		const struct cn_model *m = plan->candidates[i].model;

		cn_cli__print(cli, "  %zu. %s/%s as %s, key %s\n", i + 1, m->backend->name,
		              m->name, m->id ? m->id : "what the client asks for",
		              plan->candidates[i].key->name);
	}
	for (size_t i = 0; i < plan->n_skipped; i++) {
		const struct cn_model *m = plan->skipped[i].model;

		cn_cli__print(cli, "  -  %s/%s is left out: %s\n", m->backend->name,
		              m->name, plan->skipped[i].reason);
	}
	if (plan->n == 0)
		cn_cli__print(cli, "  no model of it can take this request\n");
}

static void print_json(struct cn_cli *cli, const struct cn_plan *plan)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_char(&b, '{');
	cn_json_add_text(&b, "chain", cn_view_str(plan->chain->name));
	cn_json_add_u64(&b, "route", plan->route ? plan->route->number : 0);
	cn_json_add_key(&b, "candidates");
	cn_buf_add_char(&b, '[');
	for (size_t i = 0; i < plan->n; i++) {
		const struct cn_candidate *c = &plan->candidates[i];

		cn_buf_add_str(&b, i ? ",{" : "{");
		cn_json_add_text(&b, "backend", cn_view_str(c->model->backend->name));
		cn_json_add_text(&b, "model", cn_view_str(c->model->name));
		cn_json_add_text(&b, "id",
		                 cn_view_str(c->model->id ? c->model->id : "client"));
		cn_json_add_text(&b, "key", cn_view_str(c->key->name));
		cn_buf_add_char(&b, '}');
	}
	cn_buf_add_str(&b, "],\"skipped\":[");
	for (size_t i = 0; i < plan->n_skipped; i++) {
		const struct cn_skip *s = &plan->skipped[i];

		cn_buf_add_str(&b, i ? ",{" : "{");
		cn_json_add_text(&b, "backend", cn_view_str(s->model->backend->name));
		cn_json_add_text(&b, "model", cn_view_str(s->model->name));
		cn_json_add_text(&b, "reason", cn_view_str(s->reason));
		cn_buf_add_char(&b, '}');
	}
	cn_buf_add_str(&b, "]}");
	cn_cli__print(cli, "%.*s\n", CN_VIEW_ARG(cn_buf_view(&b)));
}

static int run_explain(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct explain *o = cli->opts;
	struct cn_health *health = cn_health_new();
	struct cn_policy *p = NULL;
	struct cn_request r;
	struct cn_plan plan = {0};
	struct cn_match_input in = {.request = &r,
	                            .owner = cn_view_str(o->owner ? o->owner : "local"),
	                            .header = no_header};
	int bad = minute_of(o->at, &in.minute_of_day, reterr);

	if (!bad)
		bad = request_of(o, &r, reterr);
	if (!bad)
		bad = load(cli, NULL, &p, reterr);
	if (!bad)
		bad = cn_plan_make(&cli->arena, p, NULL, &in, health, 0, &plan, reterr);
	if (!bad && cli->common.json)
		print_json(cli, &plan);
	else if (!bad)
		print_plan(cli, &plan);
	cn_policy_unref(p);
	cn_health_free(health);
	return bad;
}

/* ---- the rows ---- */

static const struct cn_option explain_options[] = {
    CN_OPTION(TEXT, struct explain, model, "model", "MODEL", "The model that is asked for"),
    CN_OPTION(NUMBER, struct explain, tokens, "tokens", "N",
              "Size of the prompt, in tokens"),
    CN_OPTION(NUMBER, struct explain, tools, "tools", "N", "How many tools it declares"),
    CN_OPTION(SWITCH, struct explain, thinking, "thinking", NULL, "It asks for thinking"),
    CN_OPTION(SWITCH, struct explain, images, "images", NULL, "It has images"),
    CN_OPTION(TEXT, struct explain, caller, "caller", "KIND", "main, subagent or side"),
    CN_OPTION(TEXT, struct explain, owner, "owner", "NAME",
              "Whose client token it carries"),
    CN_OPTION(TEXT, struct explain, at, "at", "HH:MM", "The local time of day"),
    {0}};

static const struct cn_example check_examples[] = {
    {"policy check", "Checks the policy in use"},
    {"policy check team.yaml", "Checks another file"},
    {0}};
static const struct cn_example explain_examples[] = {
    {"policy explain --model claude-haiku-5-5 --tokens 150000",
     "Says which models would be tried, and why others would not"},
    {0}};

static const char *const check_text[] = {
    "Names every mistake of the file and its includes, as file:line:column, what is wrong and "
    "what would be right.  Fails with 3 when there is one.  Where the vault opens with its key "
    "file, keys are looked at too: whether they are there and may go to their backend.",
    NULL};
static const char *const show_text[] = {
    "Prints the policy with everything in it that presets, includes and defaults add, in the "
    "form of a policy file.",
    NULL};
static const char *const schema_text[] = {
    "Prints the JSON Schema of the policy language, for editors.", NULL};
static const char *const explain_text[] = {
    "Says which route a request would match, and which models of its chain would be tried in "
    "which order.  What is not said of the request is taken to be as usual: a turn of the main "
    "agent with a small prompt, at noon.",
    NULL};

static const struct cn_command check = {
    .name = "check",
    .summary = "Names every mistake of the policy",
    .description = check_text,
    .arguments = "[FILE]",
    .args_max = 1,
    .examples = check_examples,
    .run = run_check,
};
static const struct cn_command show = {
    .name = "show",
    .summary = "Prints the policy as it is in force",
    .description = show_text,
    .arguments = "[FILE]",
    .args_max = 1,
    .run = run_show,
};
static const struct cn_command explain = {
    .name = "explain",
    .summary = "Says which chain a request would take, and why",
    .description = explain_text,
    .options = explain_options,
    .opts_size = sizeof(struct explain),
    .examples = explain_examples,
    .run = run_explain,
};
static const struct cn_command schema = {
    .name = "schema",
    .summary = "Prints the JSON Schema of policy files",
    .description = schema_text,
    .run = run_schema,
};

static const struct cn_command *const commands[] = {&check, &show, &explain, &schema, NULL};
static const char *const description[] = {
    "The policy says which backends there are, which models, in which chains, and which requests "
    "take which chain.",
    NULL};

const struct cn_command cn_cmd_policy = {
    .name = "policy",
    .summary = "Checks, shows and explains the policy",
    .description = description,
    .commands = commands,
};
