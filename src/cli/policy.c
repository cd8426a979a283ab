/*
 * `continuo policy`: checks the policy files and shows what they amount to; which chain a
 * request would take is explain.c's.
 *
 * Reads files, and the vault where a key file opens it (so that a key that may not go where
 * the policy sends it is found here); never asks, never calls a backend.  Main thread.
 */
#include "policy_impl.h"

#include <string.h>
#include <unistd.h>

#include "continuo/config.h"
#include "continuo/json.h"
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

int cn_cli__load_policy(struct cn_cli *cli, const char *path, struct cn_policy **ret,
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
	int bad = cn_cli__load_policy(cli, cli->n_args ? cli->args[0] : NULL, &p, reterr);

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
	int bad = cn_cli__load_policy(cli, cli->n_args ? cli->args[0] : NULL, &p, reterr);

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

/* ---- presets ---- */

static const char *door_of(const struct cn_preset *p)
{
	return p->wire == CN_WIRE_ANTHROPIC ? "Messages" : "Chat";
}

static void preset_as_json(struct cn_buf *b, const struct cn_preset *p)
{
	cn_buf_add_str(b, b->n ? ",{" : "[{");
	cn_json_add_text(b, "name", cn_view_str(p->name));
	cn_json_add_text(b, "title", cn_view_str(p->title));
	cn_json_add_text(b, "format", cn_view_str(door_of(p)));
	if (p->url)
		cn_json_add_text(b, "url", cn_view_str(p->url));
	cn_buf_add_char(b, '}');
}

static int run_presets(struct cn_cli *cli, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) json = {0};
	const struct cn_preset *list;
	size_t n = cn_catalogue_presets(&list);

	(void)reterr; /* the catalogue is part of the program: nothing can fail */
	for (size_t i = 0; i < n; i++) {
		if (cli->common.json)
			preset_as_json(&json, &list[i]);
		else
			cn_cli__print(cli, "%-19s %-9s %s%s%s\n", list[i].name,
			              door_of(&list[i]), list[i].title,
			              list[i].url ? ", " : " (url has to be named)",
			              list[i].url ? list[i].url : "");
	}
	if (cli->common.json)
		cn_cli__print(cli, "%s]\n", cn_buf_cstr(&json));
	return 0;
}

/* ---- the rows ---- */

static const struct cn_example check_examples[] = {
    {"policy check", "Checks the policy in use"},
    {"policy check team.yaml", "Checks another file"},
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
static const char *const presets_text[] = {
    "Lists the catalogue: what a backend may name as its preset, the format that is spoken there "
    "(Messages is Anthropic's, Chat is OpenAI's Chat Completions) and the address.  Presets of "
    "one's own are written below `presets` in the policy, in the same form; `like` takes one of "
    "these over.",
    "A server that no preset knows is a gateway: any-anthropic and any-chat take the address from "
    "the backend, and assume little.  How it deviates from its format is said by quirks, of the "
    "backend or of a model; `continuo policy schema` describes each of them.",
    NULL};
static const struct cn_command presets = {
    .name = "presets",
    .summary = "Lists the providers of the catalogue",
    .description = presets_text,
    .run = run_presets,
};
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
static const struct cn_command schema = {
    .name = "schema",
    .summary = "Prints the JSON Schema of policy files",
    .description = schema_text,
    .run = run_schema,
};

static const struct cn_command *const commands[] = {
    &check, &show, &cn_cmd_policy_explain, &presets, &schema, NULL};
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
