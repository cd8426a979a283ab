/*
 * `continuo token add|list|rm`: client tokens.
 *
 * With a router running they are its business, over the admin socket.  Without one they
 * are put into the store here, under the same rules as src/app/access.c: a token is known
 * by its keyed hash, and its text is seen once.  Main thread.
 */
#include "router_impl.h"

#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/config.h"
#include "continuo/hash.h"
#include "continuo/json.h"
#include "continuo/store.h"
#include "continuo/vault.h"

#define NAME_MAX_BYTES 60 /* design/product.md, "All keys" */

/* ---- the store, when no router runs ---- */

struct data {
	struct cn_vault *vault; /* owned */
	struct cn_store *store; /* owned */
	uint64_t max_size, retention_ms;
	bool network_fs;
	const char *key_file; /* in arena */
	bool require_mlock;
};

static void data_done(struct data *d)
{
	if (d->store)
		d->store = cn_store_close(d->store);
	if (d->vault)
		d->vault = cn_vault_close(d->vault);
}

static bool known_generation(void *self, const unsigned char id[16], uint64_t *ret)
{
	return cn_store_vault_generation(self, id, ret);
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

/* A policy that is broken or not there yet is no reason not to make tokens. */
static void read_policy(struct cn_cli *cli, const struct cn_paths *p, struct data *d)
{
	struct cn_config_opts opts = {.path = p->policy};
	struct cn_policy *policy;

	d->key_file = p->vault_key;
	d->max_size = (uint64_t)10 << 30;
	if (access(p->policy, R_OK) < 0 || cn_config_load(&opts, &policy, NULL))
		return;
	if (policy->vault_key_file)
		d->key_file =
		    cn_arena_dup(&cli->arena, cn_view_str(policy->vault_key_file));
	d->require_mlock = policy->require_mlock;
	d->max_size = policy->history_max_size;
	d->retention_ms = policy->retention_ms;
	d->network_fs = policy->history_network_fs;
	cn_policy_unref(policy);
}

static int open_vault(const struct cn_paths *p, struct data *d, struct cn_error *reterr)
{
	struct cn_unlock how = {
	    .passphrase_fd = -1,
	    .key_fd = -1,
	    .key_file = d->key_file,
	    .may_prompt = true,
	    .require_mlock = d->require_mlock,
	    .known_generation = known_generation,
	    .self = (char *)(uintptr_t)p->history, /* read only */
	};
	int failed = cn_vault_open(p->vault, &how, &d->vault, reterr);

	if (failed != CN_E_NOT_FOUND)
		return failed;
	failed = cn_cli__make_dir_of(p->vault, reterr);
	if (!failed)
		failed = cn_cli__make_dir_of(d->key_file, reterr);
	if (!failed)
		failed = cn_vault_create(p->vault, d->key_file, NULL, reterr);
	return failed ? failed : cn_vault_open(p->vault, &how, &d->vault, reterr);
}

static int data_open(struct cn_cli *cli, const struct cn_paths *p, struct data *ret,
                     struct cn_error *reterr)
{
	struct data d = {0};
	int failed;

	read_policy(cli, p, &d);
	failed = open_vault(p, &d, reterr);
	if (!failed)
		failed = cn_cli__make_dir(p->history, reterr);
	if (!failed) {
		struct cn_store_opts opts = {
		    .dir = p->history,
		    .crypt = {seal, unseal, node_hash, d.vault},
		    .max_size = d.max_size,
		    .retention_ms = d.retention_ms,
		    .network_fs = d.network_fs,
		};

		failed = cn_store_open(&opts, &d.store, reterr);
	}
	if (failed)
		data_done(&d);
	else
		*ret = d;
	return failed;
}

/* ---- add ---- */

struct add_opts {
	const char *owner, *project, *chain;
	struct cn_words scopes;
	uint64_t requests_per_minute, turns;
};

static const struct cn_option add_options[] = {
    CN_OPTION(TEXT, struct add_opts, owner, "owner", "NAME",
              "Whose sessions are made with it; `local` when not given"),
    CN_OPTION(TEXT, struct add_opts, project, "project", "NAME", "What they are for"),
    CN_OPTION(TEXT, struct add_opts, chain, "chain", "NAME",
              "Uses this chain of the policy, before all routes"),
    CN_OPTION(LIST, struct add_opts, scopes, "scope", "turn|view|admin",
              "What it allows; may be repeated; `turn` when not given"),
    CN_OPTION(NUMBER, struct add_opts, requests_per_minute, "requests-per-minute", "N",
              "At most so many requests a minute, instead of what the policy says"),
    CN_OPTION(NUMBER, struct add_opts, turns, "turns", "N",
              "At most so many turns at once, instead of what the policy says"),
    {0}};

static const char *const add_description[] = {
    "Makes a client token and prints it, once: only a keyed hash of it is stored.  A client "
    "sends it as x-continuo-token, x-api-key or Authorization: Bearer.",
    NULL};

static const struct cn_example add_examples[] = {
    {"token add laptop --owner ada", "Makes a token for turns"},
    {"token add board --scope view", "Makes one that may only look"},
    {0}};

static uint32_t scope_of(const char *word)
{
	return strcmp(word, "turn") == 0    ? CN_SCOPE_TURN
	       : strcmp(word, "view") == 0  ? CN_SCOPE_VIEW
	       : strcmp(word, "admin") == 0 ? CN_SCOPE_ADMIN
	                                    : 0;
}

static int check_name(const char *what, const char *name, struct cn_error *reterr)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._:@-";

	if (!name)
		return 0;
	if (*name && strlen(name) <= NAME_MAX_BYTES && !name[strspn(name, allowed)])
		return 0;
	return cn_fail(reterr, CN_E_USAGE,
	               "%s '%s': 1 to %d letters, digits and . _ : @ - are allowed", what,
	               name, NAME_MAX_BYTES);
}

static int check_add(const char *name, const struct add_opts *o, struct cn_error *reterr)
{
	int failed = check_name("NAME", name, reterr);

	if (!failed)
		failed = check_name("--owner", o->owner, reterr);
	if (!failed)
		failed = check_name("--project", o->project, reterr);
	if (!failed)
		failed = check_name("--chain", o->chain, reterr);
	for (size_t i = 0; i < o->scopes.n && !failed; i++)
		if (!scope_of(o->scopes.v[i]))
			failed = cn_fail(reterr, CN_E_USAGE,
			                 "--scope %s: the value must be one of "
			                 "turn|view|admin",
			                 o->scopes.v[i]);
	return failed;
}

static void add_request(struct cn_buf *b, const char *name, const struct add_opts *o)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "name", cn_view_str(name));
	if (o->owner)
		cn_json_add_text(b, "owner", cn_view_str(o->owner));
	if (o->project)
		cn_json_add_text(b, "project", cn_view_str(o->project));
	if (o->chain)
		cn_json_add_text(b, "chain", cn_view_str(o->chain));
	if (o->scopes.n) {
		cn_json_add_key(b, "scopes");
		for (size_t i = 0; i < o->scopes.n; i++) {
			cn_buf_add_char(b, i ? ',' : '[');
			cn_json_add_string(b, cn_view_str(o->scopes.v[i]));
		}
		cn_buf_add_char(b, ']');
	}
	cn_json_add_u64(b, "requests_per_minute", o->requests_per_minute);
	cn_json_add_u64(b, "turns", o->turns);
	cn_buf_add_char(b, '}');
}

struct search {
	struct cn_view name;
	bool found;
};

static void find_name(void *self, const struct cn_token_record *t)
{
	struct search *s = self;

	s->found |= cn_view_eq(s->name, t->name);
}

static int add_offline(struct cn_cli *cli, const struct cn_paths *p, struct cn_buf *text,
                       struct cn_error *reterr)
{
	const struct add_opts *o = cli->opts;
	struct search s = {.name = cn_view_str(cli->args[0])};
	struct cn_token_record r = {
	    .name = s.name,
	    .owner = o->owner ? cn_view_str(o->owner) : CN_VIEW("local"),
	    .project = cn_view_str(o->project),
	    .chain = cn_view_str(o->chain),
	    .created_ms = cn_clock_wall_ms(),
	    .requests_per_minute = o->requests_per_minute,
	    .turns = o->turns,
	};
	unsigned char secret[32];
	struct cn_view view;
	struct data d;
	int failed = data_open(cli, p, &d, reterr);

	if (failed)
		return failed;
	for (size_t i = 0; i < o->scopes.n; i++)
		r.scopes |= scope_of(o->scopes.v[i]);
	if (!r.scopes)
		r.scopes = CN_SCOPE_TURN;
	failed = cn_store_token_each(d.store, find_name, &s, reterr);
	if (!failed && s.found)
		failed = cn_fail(reterr, CN_E_EXISTS, "there is a token named '%s' already",
		                 cli->args[0]);
	if (!failed) {
		cn_random(secret, sizeof(secret));
		cn_buf_add_str(text, "ct_");
		cn_base64url(text, secret, sizeof(secret));
		cn_wipe(secret, sizeof(secret));
		view = cn_buf_view(text);
		r.hash = cn_vault_hash(d.vault, CN_VAULT_HASH_TOKEN, &view, 1);
		failed = cn_store_token_put(d.store, &r, reterr);
	}
	data_done(&d);
	return failed;
}

static int add_online(struct cn_cli *cli, const struct cn_paths *p, struct cn_buf *text,
                      struct cn_error *reterr)
{
	CN_AUTO(cn_buf) request = {0}, answer = {0};
	int status, failed;

	add_request(&request, cli->args[0], cli->opts);
	failed = cn_cli__admin_call(p->admin_socket, "POST", "/api/tokens",
	                            cn_buf_view(&request), &status, &answer, reterr);
	if (failed)
		return failed;
	if (status != 200)
		return cn_cli__admin_refused(status == 409 ? CN_E_EXISTS : CN_E_FAIL,
		                             status, cn_buf_view(&answer), reterr);
	cn_buf_add_view(
	    text, cn_json_text(&cli->arena,
	                       cn_json_get(cn_json_root(cn_buf_view(&answer)), "token")));
	cn_wipe(answer.p, answer.cap);
	return 0;
}

static int run_add(struct cn_cli *cli, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) text = {0}, json = {0};
	struct cn_paths p;
	int failed = cn_cli__paths(cli, &p, reterr);

	if (!failed)
		failed = check_add(cli->args[0], cli->opts, reterr);
	if (failed)
		return failed;
	failed = add_online(cli, &p, &text, reterr);
	if (failed == CN_E_NOT_FOUND)
		failed = add_offline(cli, &p, &text, reterr);
	if (failed)
		return failed;
	if (cli->common.json) {
		cn_buf_add_char(&json, '{');
		cn_json_add_text(&json, "name", cn_view_str(cli->args[0]));
		cn_json_add_text(&json, "token", cn_buf_view(&text));
		cn_buf_add_char(&json, '}');
		cn_cli__print(cli, "%.*s\n", CN_VIEW_ARG(cn_buf_view(&json)));
	} else {
		cn_cli__print(cli, "%.*s\n", CN_VIEW_ARG(cn_buf_view(&text)));
		cn_cli__note(cli, "this token is shown only now; keep it where the client "
		                  "finds it");
	}
	cn_wipe(text.p, text.cap);
	cn_wipe(json.p, json.cap);
	return 0;
}

static const struct cn_command cmd_token_add = {
    .name = "add",
    .summary = "Makes a client token and prints it",
    .description = add_description,
    .options = add_options,
    .opts_size = sizeof(struct add_opts),
    .arguments = "NAME",
    .args_min = 1,
    .args_max = 1,
    .examples = add_examples,
    .run = run_add,
};

/* ---- list ---- */

static const struct cn_column columns[] = {
    {"name", "NAME", false},          {"owner", "OWNER", false},
    {"project", "PROJECT", false},    {"chain", "CHAIN", false},
    {"scopes", "SCOPES", false},      {"made_by", "MADE BY", false},
    {"created", "CREATED", false},    {"requests_per_minute", "REQUESTS/MIN", true},
    {"turns", "TURNS AT ONCE", true},
};

struct listing {
	struct cn_cli *cli;
	struct cn_listing l;
};

static void text_cell(struct listing *to, struct cn_view text)
{
	if (text.n)
		cn_cli__cell(to->cli, &to->l, text);
	else
		cn_cli__cell_none(to->cli, &to->l);
}

static void limit_cell(struct listing *to, uint64_t n)
{
	if (n)
		cn_cli__cell_number(to->cli, &to->l, n);
	else
		cn_cli__cell_none(to->cli, &to->l);
}

static void add_row(void *self, const struct cn_token_record *t)
{
	static const struct {
		uint32_t scope;
		const char *word;
	} words[] = {
	    {CN_SCOPE_TURN, "turn"}, {CN_SCOPE_VIEW, "view"}, {CN_SCOPE_ADMIN, "admin"}};
	struct listing *to = self;
	CN_AUTO(cn_buf) scopes = {0}, created = {0};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (t->scopes & words[i].scope)
			cn_buf_printf(&scopes, "%s%s", scopes.n ? "," : "", words[i].word);
	if (t->created_ms)
		cn_clock_format(&created, t->created_ms);
	text_cell(to, t->name);
	text_cell(to, t->owner);
	text_cell(to, t->project);
	text_cell(to, t->chain);
	text_cell(to, cn_buf_view(&scopes));
	text_cell(to, t->run                                     ? CN_VIEW("run")
	              : cn_view_starts(t->name, CN_VIEW("env-")) ? CN_VIEW("env")
	                                                         : CN_VIEW("token add"));
	text_cell(to, cn_buf_view(&created));
	limit_cell(to, t->requests_per_minute);
	limit_cell(to, t->turns);
}

static void add_json_row(struct listing *to, struct cn_json t)
{
	struct cn_arena *a = &to->cli->arena;
	struct cn_token_record r = {
	    .name = cn_json_text(a, cn_json_get(t, "name")),
	    .owner = cn_json_text(a, cn_json_get(t, "owner")),
	    .project = cn_json_text(a, cn_json_get(t, "project")),
	    .chain = cn_json_text(a, cn_json_get(t, "chain")),
	    .run = cn_json_get(t, "run").kind == CN_JSON_TRUE,
	};

	(void)cn_json_u64(cn_json_get(t, "created_ms"), &r.created_ms);
	(void)cn_json_u64(cn_json_get(t, "requests_per_minute"), &r.requests_per_minute);
	(void)cn_json_u64(cn_json_get(t, "turns"), &r.turns);
	for (struct cn_json_iter it = cn_json_iter(cn_json_get(t, "scopes"));
	     cn_json_next(&it);) {
		const char *word = cn_arena_dup(a, cn_json_text(a, it.value));

		r.scopes |= scope_of(word);
	}
	add_row(to, &r);
}

static int run_list(struct cn_cli *cli, struct cn_error *reterr)
{
	struct listing to = {
	    .cli = cli,
	    .l = {.columns = columns, .n_columns = sizeof(columns) / sizeof(columns[0])}};
	CN_AUTO(cn_buf) answer = {0};
	struct cn_paths p;
	struct data d;
	int status, failed = cn_cli__paths(cli, &p, reterr);

	if (failed)
		return failed;
	failed = cn_cli__admin_call(p.admin_socket, "GET", "/api/tokens",
	                            (struct cn_view){0}, &status, &answer, reterr);
	if (failed == CN_E_NOT_FOUND) {
		failed = data_open(cli, &p, &d, reterr);
		if (failed)
			return failed;
		failed = cn_store_token_each(d.store, add_row, &to, reterr);
		data_done(&d);
	} else if (!failed && status != 200) {
		failed =
		    cn_cli__admin_refused(CN_E_FAIL, status, cn_buf_view(&answer), reterr);
	} else if (!failed) {
		struct cn_json json = cn_json_root(cn_buf_view(&answer));

		for (struct cn_json_iter it = cn_json_iter(cn_json_get(json, "tokens"));
		     cn_json_next(&it);)
			add_json_row(&to, it.value);
	}
	if (failed)
		return failed;
	cn_cli__listing_print(cli, &to.l, "There are no client tokens.");
	return 0;
}

static const struct cn_command cmd_token_list = {
    .name = "list",
    .summary = "Lists the client tokens, never their texts",
    .run = run_list,
};

/* ---- rm ---- */

static int run_rm(struct cn_cli *cli, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) request = {0}, answer = {0};
	struct cn_paths p;
	struct data d;
	int status, failed = cn_cli__paths(cli, &p, reterr);

	if (failed)
		return failed;
	cn_buf_add_char(&request, '{');
	cn_json_add_text(&request, "name", cn_view_str(cli->args[0]));
	cn_buf_add_char(&request, '}');
	failed = cn_cli__admin_call(p.admin_socket, "POST", "/api/tokens/remove",
	                            cn_buf_view(&request), &status, &answer, reterr);
	if (failed == CN_E_NOT_FOUND) {
		failed = data_open(cli, &p, &d, reterr);
		if (failed)
			return failed;
		failed = cn_store_token_remove(d.store, cn_view_str(cli->args[0]), reterr);
		data_done(&d);
	} else if (!failed && status != 200) {
		failed = cn_cli__admin_refused(status == 404 ? CN_E_NOT_FOUND : CN_E_FAIL,
		                               status, cn_buf_view(&answer), reterr);
	}
	return failed;
}

static const char *const rm_description[] = {
    "Ends a token: the next request with it is refused.  Turns that are running end as "
    "they would have.",
    NULL};

static const struct cn_command cmd_token_rm = {
    .name = "rm",
    .summary = "Ends a client token",
    .description = rm_description,
    .arguments = "NAME",
    .args_min = 1,
    .args_max = 1,
    .run = run_rm,
};

static const struct cn_command *const token_commands[] = {&cmd_token_add, &cmd_token_list,
                                                          &cmd_token_rm, NULL};

const struct cn_command cn_cmd_token = {
    .name = "token",
    .summary = "Makes, lists and ends client tokens",
    .commands = token_commands,
};
