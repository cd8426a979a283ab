/*
 * `continuo vault init|set|list|rm|rotate|passwd|export|import`: the rows and what each
 * does.
 *
 * Secrets come from a prompt, standard input or a descriptor (unlock.c), never from argv,
 * and leave for the vault alone: nothing here prints one.  A running router sees that the
 * file has changed and reads it anew.  Main thread.
 */
#include "unlock_impl.h"

#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/config.h"
#include "continuo/json.h"

/* ---- init ---- */

struct init_opts {
	bool passphrase, no_key_file;
	uint64_t fd;
};
static const struct init_opts init_defaults = {.fd = CN_NO_FD};

static const struct cn_option init_options[] = {
    CN_OPTION(SWITCH, struct init_opts, passphrase, "passphrase", NULL,
              "A passphrase opens the vault too"),
    CN_OPTION(SWITCH, struct init_opts, no_key_file, "no-key-file", NULL,
              "A passphrase alone opens the vault"),
    CN_OPTION(NUMBER, struct init_opts, fd, "fd", "N",
              "Reads the passphrase from descriptor N"),
    {0}};

static const char *const init_description[] = {
    "Makes the vault.  Without options a random key file opens it, so that the router "
    "starts without a person.  Whoever can read that file can read the keys: on a machine "
    "that others use, give the vault a passphrase instead.",
    NULL};

static const struct cn_example init_examples[] = {
    {"vault init", "Makes a vault that a key file opens"},
    {"vault init --no-key-file", "Makes a vault that asks for its passphrase"},
    {0}};

static int run_init(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct init_opts *o = cli->opts;
	struct cn_secret *passphrase = NULL;
	struct cn_opened v;
	int failed = cn_cli__vault_find(cli, &v, reterr);

	if (!failed && access(v.paths.vault, F_OK) == 0)
		failed = cn_fail(reterr, CN_E_EXISTS, "there is a vault already: %s",
		                 v.paths.vault);
	if (!failed && (o->passphrase || o->no_key_file || o->fd != CN_NO_FD))
		failed = cn_cli__new_passphrase(o->fd, &passphrase, reterr);
	if (!failed)
		failed = cn_cli__vault_make(cli, &v, o->no_key_file ? NULL : v.key_file,
		                            passphrase, reterr);
	cn_secret_free(passphrase);
	return failed;
}

static const struct cn_command cmd_vault_init = {
    .name = "init",
    .summary = "Makes the vault",
    .description = init_description,
    .options = init_options,
    .opts_size = sizeof(struct init_opts),
    .defaults = &init_defaults,
    .examples = init_examples,
    .run = run_init,
};

/* ---- set ---- */

struct set_opts {
	struct cn_unlock_opts unlock;
	const char *preset, *not_after;
	struct cn_words origins;
	uint64_t fd;
};
static const struct set_opts set_defaults = {.unlock = CN_UNLOCK_DEFAULTS, .fd = CN_NO_FD};

static const struct cn_option set_options[] = {
    CN_OPTION(TEXT, struct set_opts, preset, "preset", "NAME",
              "The key may go where this preset of the catalogue is"),
    CN_OPTION(LIST, struct set_opts, origins, "origin", "URL",
              "The key may go to https://HOST[:PORT]; may be repeated"),
    CN_OPTION(TEXT, struct set_opts, not_after, "not-after", "DATE",
              "The key is not used after that day or time (2027-01-31)"),
    CN_OPTION(NUMBER, struct set_opts, fd, "fd", "N", "Reads the key from descriptor N"),
    CN_UNLOCK_OPTIONS(struct set_opts),
    {0}};

static const char *const set_description[] = {
    "Puts a provider's key into the vault, or replaces it.  The key is read from the "
    "terminal, from standard input, or from a descriptor.",
    "The vault gives a key out for the addresses named here and for no other, whatever a "
    "policy says.  A key that is replaced keeps its addresses when none are given.",
    NULL};

static const struct cn_example set_examples[] = {
    {"vault set kimi --preset moonshot",
     "Asks for the key that the policy calls vault:kimi"},
    {"vault set own --origin https://llm.example.com:8443 < key.txt",
     "Reads a key for a server of one's own from a file"},
    {0}};

/* Origins of a key that is there. */
struct wanted {
	struct cn_cli *cli;
	const char *name;
	struct cn_words origins;
	bool found;
};

static void add_word(struct cn_cli *cli, struct cn_words *w, const char *word)
{
	const char **v = cn_arena_alloc(&cli->arena, (w->n + 1) * sizeof(char *));

	for (size_t i = 0; i < w->n; i++)
		v[i] = w->v[i];
	v[w->n] = cn_arena_dup(&cli->arena, cn_view_str(word));
	w->v = v;
	w->n++;
}

static void find_origins(void *self, const struct cn_vault_entry *e)
{
	struct wanted *w = self;

	if (strcmp(e->name, w->name) != 0)
		return;
	w->found = true;
	for (size_t i = 0; i < e->n_origins; i++)
		add_word(w->cli, &w->origins, e->origins[i]);
}

static int add_preset(struct cn_cli *cli, const char *name, struct cn_words *to,
                      struct cn_error *reterr)
{
	const struct cn_preset *p = cn_catalogue_preset(cn_view_str(name));

	if (!p)
		return cn_fail(reterr, CN_E_USAGE,
		               "--preset %s: there is no such preset in the catalogue; "
		               "'continuo policy presets' lists it",
		               name);
	if (!p->origin)
		return cn_fail(
		    reterr, CN_E_USAGE,
		    "--preset %s: this preset has no address of its own; give it "
		    "with --origin",
		    name);
	add_word(cli, to, p->origin);
	return 0;
}

static int given_origins(struct cn_cli *cli, const struct set_opts *o, struct cn_words *to,
                         struct cn_error *reterr)
{
	int failed = o->preset ? add_preset(cli, o->preset, to, reterr) : 0;

	for (size_t i = 0; i < o->origins.n && !failed; i++) {
		const char *origin;

		if (cn_config_origin(&cli->arena, cn_view_str(o->origins.v[i]), &origin,
		                     NULL))
			add_word(cli, to, origin);
		else
			failed =
			    cn_fail(reterr, CN_E_USAGE,
			            "--origin %s: https://HOST or https://HOST:PORT is "
			            "expected",
			            o->origins.v[i]);
	}
	return failed;
}

/* A day means its end. */
static int parse_date(struct cn_cli *cli, const char *text, uint64_t *ret,
                      struct cn_error *reterr)
{
	const char *full = text;

	if (!text)
		return 0;
	if (strlen(text) == 10)
		full = cn_arena_printf(&cli->arena, "%sT23:59:59Z", text);
	if (!cn_clock_parse(cn_view_str(full), ret))
		return cn_fail(reterr, CN_E_USAGE,
		               "--not-after %s: a date such as 2027-01-31 is expected",
		               text);
	if (*ret <= cn_clock_wall_ms())
		return cn_fail(reterr, CN_E_USAGE, "--not-after %s is over already", text);
	return 0;
}

static int put_key(struct cn_cli *cli, struct cn_opened *v, struct cn_words origins,
                   uint64_t not_after, struct cn_error *reterr)
{
	const struct set_opts *o = cli->opts;
	const char *name = cli->args[0];
	const char *prompt = cn_arena_printf(&cli->arena, "Key for %s (is not shown): ",
	                                     cn_cli__clean(cli, cn_view_str(name)));
	struct cn_vault_terms terms = {origins.v, origins.n, not_after};
	struct cn_secret *key;
	int failed = cn_cli__read_secret(o->fd, prompt, &key, reterr);

	if (!failed)
		failed = cn_vault_set(v->vault, name, key, &terms, reterr);
	if (failed)
		return failed;
	cn_cli__vault_changed(cli, v);
	for (size_t i = 0; i < origins.n; i++)
		cn_cli__note(cli, "%s may be sent to %s", name, origins.v[i]);
	return 0;
}

static int run_set(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct set_opts *o = cli->opts;
	struct wanted old = {.cli = cli, .name = cli->args[0]};
	struct cn_words origins = {0};
	uint64_t not_after = 0;
	CN_AUTO(cn_opened) v = {0};
	int failed = given_origins(cli, o, &origins, reterr);

	if (!failed)
		failed = parse_date(cli, o->not_after, &not_after, reterr);
	if (!failed)
		failed = cn_cli__vault_find(cli, &v, reterr);
	if (failed)
		return failed;
	failed = origins.n ? cn_cli__vault_need(cli, &o->unlock, &v, reterr)
	                   : cn_cli__vault_open(cli, &o->unlock, &v, reterr);
	if (!failed && !origins.n) {
		cn_vault_list(v.vault, find_origins, &old);
		origins = old.origins;
	}
	if (failed == CN_E_NOT_FOUND || (!failed && !origins.n))
		return cn_fail(
		    reterr, CN_E_USAGE,
		    "a new key needs --preset or --origin: where it may be sent");
	return failed ? failed : put_key(cli, &v, origins, not_after, reterr);
}

static const struct cn_command cmd_vault_set = {
    .name = "set",
    .summary = "Puts a key into the vault, or replaces it",
    .description = set_description,
    .options = set_options,
    .opts_size = sizeof(struct set_opts),
    .defaults = &set_defaults,
    .arguments = "NAME",
    .args_min = 1,
    .args_max = 1,
    .examples = set_examples,
    .run = run_set,
};

/* ---- list ---- */

struct plain_opts {
	struct cn_unlock_opts unlock;
};
static const struct plain_opts plain_defaults = {.unlock = CN_UNLOCK_DEFAULTS};

static const struct cn_option plain_options[] = {CN_UNLOCK_OPTIONS(struct plain_opts), {0}};

static const struct cn_column columns[] = {
    {"name", "NAME", false},
    {"origins", "MAY BE SENT TO", false},
    {"created", "CREATED", false},
    {"not_after", "NOT AFTER", false},
    {"fingerprint", "FINGERPRINT", false},
};

struct listing {
	struct cn_cli *cli;
	struct cn_listing l;
	struct cn_buf json; /* owned; origins are an array there */
};

static void date_cell(struct listing *to, uint64_t wall_ms)
{
	CN_AUTO(cn_buf) date = {0};

	if (!wall_ms) {
		cn_cli__cell_none(to->cli, &to->l);
		return;
	}
	cn_clock_format(&date, wall_ms);
	cn_cli__cell(to->cli, &to->l, cn_buf_view(&date));
}

static void add_row(void *self, const struct cn_vault_entry *e)
{
	struct listing *to = self;
	CN_AUTO(cn_buf) origins = {0};

	for (size_t i = 0; i < e->n_origins; i++)
		cn_buf_printf(&origins, "%s%s", i ? ", " : "", e->origins[i]);
	cn_cli__cell(to->cli, &to->l, cn_view_str(e->name));
	cn_cli__cell(to->cli, &to->l, cn_buf_view(&origins));
	date_cell(to, e->created_ms);
	date_cell(to, e->not_after_ms);
	cn_cli__cell(to->cli, &to->l, cn_view_str(e->fingerprint));
}

static void json_date(struct cn_buf *b, const char *key, uint64_t wall_ms)
{
	CN_AUTO(cn_buf) date = {0};

	if (!wall_ms) {
		cn_json_add_raw(b, key, CN_VIEW("null"));
		return;
	}
	cn_clock_format(&date, wall_ms);
	cn_json_add_text(b, key, cn_buf_view(&date));
}

static void add_json(void *self, const struct cn_vault_entry *e)
{
	struct cn_buf *b = &((struct listing *)self)->json;

	cn_buf_add_str(b, b->n ? ",\n {" : "\n {");
	cn_json_add_text(b, "name", cn_view_str(e->name));
	cn_json_add_key(b, "origins");
	for (size_t i = 0; i < e->n_origins; i++) {
		cn_buf_add_char(b, i ? ',' : '[');
		cn_json_add_string(b, cn_view_str(e->origins[i]));
	}
	cn_buf_add_char(b, ']');
	json_date(b, "created", e->created_ms);
	json_date(b, "not_after", e->not_after_ms);
	cn_json_add_text(b, "fingerprint", cn_view_str(e->fingerprint));
	cn_buf_add_char(b, '}');
}

static void print_keys(struct cn_cli *cli, struct cn_vault *v)
{
	struct listing to = {
	    .cli = cli,
	    .l = {.columns = columns, .n_columns = sizeof(columns) / sizeof(columns[0])}};

	cn_vault_list(v, cli->common.json ? add_json : add_row, &to);
	if (cli->common.json)
		cn_cli__print(cli, "[%.*s%s]\n", CN_VIEW_ARG(cn_buf_view(&to.json)),
		              to.json.n ? "\n" : "");
	else
		cn_cli__listing_print(cli, &to.l, "There are no keys in the vault.");
	cn_buf_done(&to.json);
}

static int run_list(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct plain_opts *o = cli->opts;
	CN_AUTO(cn_opened) v = {0};
	int failed = cn_cli__vault_find(cli, &v, reterr);

	if (!failed)
		failed = cn_cli__vault_open(cli, &o->unlock, &v, reterr);
	if (!failed)
		print_keys(cli, v.vault);
	return failed;
}

static const struct cn_command cmd_vault_list = {
    .name = "list",
    .summary = "Lists the keys and where they may be sent, never the keys themselves",
    .options = plain_options,
    .opts_size = sizeof(struct plain_opts),
    .defaults = &plain_defaults,
    .run = run_list,
};

/* ---- rm ---- */

static int run_rm(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct plain_opts *o = cli->opts;
	CN_AUTO(cn_opened) v = {0};
	int failed = cn_cli__vault_find(cli, &v, reterr);

	if (!failed)
		failed = cn_cli__vault_open(cli, &o->unlock, &v, reterr);
	if (!failed)
		failed = cn_vault_remove(v.vault, cli->args[0], reterr);
	if (!failed)
		cn_cli__vault_changed(cli, &v);
	return failed;
}

static const struct cn_command cmd_vault_rm = {
    .name = "rm",
    .summary = "Takes a key out of the vault",
    .options = plain_options,
    .opts_size = sizeof(struct plain_opts),
    .defaults = &plain_defaults,
    .arguments = "NAME",
    .args_min = 1,
    .args_max = 1,
    .run = run_rm,
};

/* ---- rotate ---- */

struct rotate_opts {
	struct cn_unlock_opts unlock;
	bool drop_others;
};
static const struct rotate_opts rotate_defaults = {.unlock = CN_UNLOCK_DEFAULTS};

static const struct cn_option rotate_options[] = {
    CN_OPTION(SWITCH, struct rotate_opts, drop_others, "drop-others", NULL,
              "Drops what is not at hand and would no longer open the vault, unasked"),
    CN_UNLOCK_OPTIONS(struct rotate_opts),
    {0}};

static const char *const rotate_description[] = {
    "Encrypts the vault under a new root key, deletes its previous version, and begins a new "
    "epoch of the history, whose old entries stay readable.",
    "This does not make a key that somebody has seen safe again.  The command ends with the "
    "list of keys to renew at their providers.",
    NULL};

static bool on_confirm(void *self, const char *labels)
{
	struct cn_cli *cli = self;
	const struct rotate_opts *o = cli->opts;
	const char *clean = cn_cli__clean(cli, cn_view_str(labels));
	char answer[8];

	if (o->drop_others) {
		cn_cli__note(cli, "no longer opens the vault: %s", clean);
		return true;
	}
	if (!isatty(STDIN_FILENO))
		return false;
	fprintf(cli->err, "This would no longer open the vault: %s.  Go on? [y/N] ", clean);
	fflush(cli->err);
	return fgets(answer, sizeof(answer), stdin) &&
	       (answer[0] == 'y' || answer[0] == 'Y');
}

static int run_rotate(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct rotate_opts *o = cli->opts;
	CN_AUTO(cn_opened) v = {0};
	int failed = cn_cli__vault_find(cli, &v, reterr);

	if (!failed)
		failed = cn_cli__vault_open(cli, &o->unlock, &v, reterr);
	if (failed)
		return failed;
	failed = cn_vault_rotate(v.vault, &v.how, on_confirm, cli, reterr);
	if (failed == CN_E_DENIED)
		return cn_fail(reterr, failed, "%s; --drop-others agrees to that",
		               reterr->message);
	if (failed)
		return failed;
	cn_cli__vault_changed(cli, &v);
	cn_cli__note(cli, "rotated.  A key that may have been seen must be renewed at its "
	                  "provider and set again; these are in the vault:");
	print_keys(cli, v.vault);
	return 0;
}

static const struct cn_command cmd_vault_rotate = {
    .name = "rotate",
    .summary = "Encrypts the vault anew under another root key",
    .description = rotate_description,
    .options = rotate_options,
    .opts_size = sizeof(struct rotate_opts),
    .defaults = &rotate_defaults,
    .run = run_rotate,
};

/* ---- passwd ---- */

struct passwd_opts {
	struct cn_unlock_opts unlock;
	uint64_t fd;
	bool remove;
};
static const struct passwd_opts passwd_defaults = {.unlock = CN_UNLOCK_DEFAULTS,
                                                   .fd = CN_NO_FD};

static const struct cn_option passwd_options[] = {
    CN_OPTION(NUMBER, struct passwd_opts, fd, "fd", "N",
              "Reads the new passphrase from descriptor N"),
    CN_OPTION(SWITCH, struct passwd_opts, remove, "remove", NULL,
              "Removes the passphrase; what else opens the vault stays"),
    CN_UNLOCK_OPTIONS(struct passwd_opts),
    {0}};

static const char *const passwd_description[] = {
    "Gives the vault a passphrase, or another one.  A generated one is offered first; one of "
    "your own has at least 12 characters.",
    NULL};

static int run_passwd(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct passwd_opts *o = cli->opts;
	struct cn_secret *passphrase = NULL;
	CN_AUTO(cn_opened) v = {0};
	int failed = 0;

	if (o->remove && o->fd != CN_NO_FD)
		failed =
		    cn_fail(reterr, CN_E_USAGE, "--remove and --fd exclude each other");
	if (!failed)
		failed = cn_cli__vault_find(cli, &v, reterr);
	if (!failed)
		failed = cn_cli__vault_open(cli, &o->unlock, &v, reterr);
	if (!failed && !o->remove)
		failed = cn_cli__new_passphrase(o->fd, &passphrase, reterr);
	if (!failed)
		failed = cn_vault_passwd(v.vault, passphrase, reterr);
	cn_secret_free(passphrase);
	if (!failed)
		cn_cli__vault_changed(cli, &v);
	return failed;
}

static const struct cn_command cmd_vault_passwd = {
    .name = "passwd",
    .summary = "Sets, changes or removes the vault's passphrase",
    .description = passwd_description,
    .options = passwd_options,
    .opts_size = sizeof(struct passwd_opts),
    .defaults = &passwd_defaults,
    .run = run_passwd,
};

/* ---- export and import ---- */

struct copy_opts {
	struct cn_unlock_opts unlock;
	uint64_t fd;
	bool replace; /* import alone */
};
static const struct copy_opts copy_defaults = {.unlock = CN_UNLOCK_DEFAULTS,
                                               .fd = CN_NO_FD};

static const struct cn_option export_options[] = {
    CN_OPTION(NUMBER, struct copy_opts, fd, "fd", "N",
              "Reads the copy's passphrase from descriptor N"),
    CN_UNLOCK_OPTIONS(struct copy_opts),
    {0}};

static const struct cn_option import_options[] = {
    CN_OPTION(NUMBER, struct copy_opts, fd, "fd", "N",
              "Reads the copy's passphrase from descriptor N"),
    CN_OPTION(SWITCH, struct copy_opts, replace, "replace", NULL,
              "Replaces keys of the same name"),
    CN_UNLOCK_OPTIONS(struct copy_opts),
    {0}};

static const char *const export_description[] = {
    "Writes the keys and where they may be sent into one encrypted file under a passphrase of "
    "its own.  The history is not in it.",
    NULL};

static int run_export(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct copy_opts *o = cli->opts;
	struct cn_secret *passphrase;
	CN_AUTO(cn_opened) v = {0};
	int failed = cn_cli__vault_find(cli, &v, reterr);

	if (!failed && access(cli->args[0], F_OK) == 0)
		failed = cn_fail(reterr, CN_E_EXISTS, "%s is there already", cli->args[0]);
	if (!failed)
		failed = cn_cli__vault_open(cli, &o->unlock, &v, reterr);
	if (!failed)
		failed = cn_cli__new_passphrase(o->fd, &passphrase, reterr);
	if (failed)
		return failed;
	failed = cn_vault_export(v.vault, cli->args[0], passphrase, reterr);
	cn_secret_free(passphrase);
	return failed;
}

static int run_import(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct copy_opts *o = cli->opts;
	struct cn_secret *passphrase;
	size_t count = 0;
	CN_AUTO(cn_opened) v = {0};
	int failed = cn_cli__vault_find(cli, &v, reterr);

	if (!failed)
		failed = cn_cli__vault_need(cli, &o->unlock, &v, reterr);
	if (!failed)
		failed = cn_cli__read_secret(o->fd, "Passphrase of the copy: ", &passphrase,
		                             reterr);
	if (failed)
		return failed;
	failed =
	    cn_vault_import(v.vault, cli->args[0], passphrase, o->replace, &count, reterr);
	cn_secret_free(passphrase);
	if (failed)
		return failed;
	if (count)
		cn_cli__vault_changed(cli, &v);
	cn_cli__note(cli, "took %zu key%s%s", count, count == 1 ? "" : "s",
	             o->replace ? "" : "; those of a name that is there already stay");
	return 0;
}

static const struct cn_command cmd_vault_export = {
    .name = "export",
    .summary = "Writes the keys into an encrypted file to take elsewhere",
    .description = export_description,
    .options = export_options,
    .opts_size = sizeof(struct copy_opts),
    .defaults = &copy_defaults,
    .arguments = "FILE",
    .args_min = 1,
    .args_max = 1,
    .run = run_export,
};

static const struct cn_command cmd_vault_import = {
    .name = "import",
    .summary = "Takes keys from a file that export wrote",
    .options = import_options,
    .opts_size = sizeof(struct copy_opts),
    .defaults = &copy_defaults,
    .arguments = "FILE",
    .args_min = 1,
    .args_max = 1,
    .run = run_import,
};

/* ---- vault ---- */

static const struct cn_command *const vault_commands[] = {
    &cmd_vault_init,   &cmd_vault_set,    &cmd_vault_list,
    &cmd_vault_rm,     &cmd_vault_rotate, &cmd_vault_passwd,
    &cmd_vault_export, &cmd_vault_import, NULL};

static const char *const vault_description[] = {
    "Provider keys lie encrypted in the vault.  Each is bound to the addresses that it may be "
    "sent to.  No command prints a key.",
    "What opens the vault is tried in this order: --passphrase-fd or --key-fd, the "
    "credentials of a systemd unit, the key file, a prompt on the terminal.  A running "
    "router takes changes over within seconds, or at once on SIGHUP.",
    NULL};

const struct cn_command cn_cmd_vault = {
    .name = "vault",
    .summary = "Keeps the providers' keys",
    .description = vault_description,
    .commands = vault_commands,
};
