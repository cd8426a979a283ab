/*
 * `continuo token add|list|rm`: client tokens.
 *
 * With a router running they are its business, over the admin socket.  Without one they
 * are put into the store here, under the same rules as src/app/access.c: a token is known
 * by its keyed hash, and its text is seen once.  Main thread.
 */
#include "open_impl.h"
#include "router_impl.h"

#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/hash.h"
#include "continuo/json.h"
#include "continuo/store.h"
#include "continuo/vault.h"

#define NAME_MAX_BYTES 60 /* design/product.md, "All keys" */

/* ---- add ---- */

struct add_opts {
	const char *owner, *project, *chain;
	struct cn_words scopes;
	uint64_t requests_per_minute, turns, tokens_per_day;
	const char *money_per_day;
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
    CN_OPTION(NUMBER, struct add_opts, tokens_per_day, "tokens-per-day", "N",
              "At most so many tokens a day, instead of the policy's budget"),
    CN_OPTION(TEXT, struct add_opts, money_per_day, "money-per-day", "DOLLARS",
              "At most so much money a day, instead of the policy's budget"),
    {0}};

static const char *const add_description[] = {
    "Makes a client token and prints it, once: only a keyed hash of it is stored.  A client "
    "sends it as x-continuo-token, x-api-key or Authorization: Bearer.",
    "A day is one of this machine.  With either limit of a day, `budgets.token` of the policy "
    "is not for this token; when the limit is reached, its requests are refused until the "
    "day ends.",
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

/* 0 without one. */
static int parse_money(const char *text, double *ret, struct cn_error *reterr)
{
	char *end;

	*ret = 0;
	if (!text)
		return 0;
	*ret = strtod(text, &end);
	if (text[strspn(text, "0123456789.")] || *end || *ret < 0.01 || *ret >= 1e12)
		return cn_fail(reterr, CN_E_USAGE,
		               "--money-per-day %s: dollars are expected, such as 2.50",
		               text);
	return 0;
}

static int check_add(const char *name, const struct add_opts *o, struct cn_error *reterr)
{
	double money;
	int failed = check_name("NAME", name, reterr);

	if (!failed)
		failed = parse_money(o->money_per_day, &money, reterr);
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
	CN_AUTO(cn_buf) number = {0};
	double money;

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
	cn_json_add_u64(b, "tokens_per_day", o->tokens_per_day);
	if (!parse_money(o->money_per_day, &money, NULL)) { /* checked before */
		cn_buf_printf(&number, "%.6f", money);
		cn_json_add_raw(b, "money_per_day", cn_buf_view(&number));
	}
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
	    .tokens_per_day = o->tokens_per_day,
	};
	unsigned char secret[32];
	struct cn_view view;
	struct cn_data d;
	int failed =
	    cn_cli__open_data(cli, p, &(struct cn_open_opts){.write = true}, &d, reterr);

	if (failed)
		return failed;
	for (size_t i = 0; i < o->scopes.n; i++)
		r.scopes |= scope_of(o->scopes.v[i]);
	if (!r.scopes)
		r.scopes = CN_SCOPE_TURN;
	failed = parse_money(o->money_per_day, &r.money_per_day, reterr);
	if (!failed)
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
	cn_data_done(&d);
	return failed;
}

static int add_online(struct cn_cli *cli, const struct cn_paths *p, struct cn_buf *text,
                      struct cn_error *reterr)
{
	CN_AUTO(cn_buf) request = {0};
	CN_AUTO(cn_admin_answer) answer = {0};
	int failed;

	add_request(&request, cli->args[0], cli->opts);
	failed = cn_cli__admin_call(p->admin_socket, "POST", "/api/tokens",
	                            cn_buf_view(&request), &answer, reterr);
	if (failed)
		return failed;
	if (answer.status != 200)
		return cn_cli__admin_refused(answer.status == 409 ? CN_E_EXISTS : CN_E_FAIL,
		                             &answer, reterr);
	cn_buf_add_view(
	    text,
	    cn_json_text(&cli->arena,
	                 cn_json_get(cn_json_root(cn_buf_view(&answer.body)), "token")));
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
    {"name", "NAME", false},
    {"owner", "OWNER", false},
    {"project", "PROJECT", false},
    {"chain", "CHAIN", false},
    {"scopes", "SCOPES", false},
    {"made_by", "MADE BY", false},
    {"created", "CREATED", false},
    {"requests_per_minute", "REQUESTS/MIN", true},
    {"turns", "TURNS AT ONCE", true},
    {"tokens_per_day", "TOKENS/DAY", true},
    {"money_per_day", "DOLLARS/DAY", true},
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
	limit_cell(to, t->tokens_per_day);
	if (t->money_per_day > 0)
		cn_cli__cell(to->cli, &to->l,
		             cn_view_str(cn_arena_printf(&to->cli->arena, "%.2f",
		                                         t->money_per_day)));
	else
		cn_cli__cell_none(to->cli, &to->l);
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
	(void)cn_json_u64(cn_json_get(t, "tokens_per_day"), &r.tokens_per_day);
	if (cn_json_get(t, "money_per_day").kind == CN_JSON_NUMBER)
		r.money_per_day =
		    strtod(cn_arena_dup(a, cn_json_get(t, "money_per_day").raw), NULL);
	for (struct cn_json_iter it = cn_json_iter(cn_json_get(t, "scopes"));
	     cn_json_next(&it);) {
		const char *word = cn_arena_dup(a, cn_json_text(a, it.value));

		r.scopes |= scope_of(word);
	}
	add_row(to, &r);
}

static int list_offline(struct listing *to, const struct cn_paths *p,
                        struct cn_error *reterr)
{
	struct cn_open_opts opts = {.write = false};
	struct cn_data d;
	int failed = cn_cli__open_data(to->cli, p, &opts, &d, reterr);

	if (failed == CN_E_NOT_FOUND)
		return 0; /* nothing has ever been kept here */
	if (failed)
		return failed;
	failed = cn_store_token_each(d.store, add_row, to, reterr);
	cn_data_done(&d);
	return failed;
}

static int run_list(struct cn_cli *cli, struct cn_error *reterr)
{
	struct listing to = {
	    .cli = cli,
	    .l = {.columns = columns, .n_columns = sizeof(columns) / sizeof(columns[0])}};
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_paths p;
	int failed = cn_cli__paths(cli, &p, reterr);

	if (failed)
		return failed;
	failed = cn_cli__admin_call(p.admin_socket, "GET", "/api/tokens",
	                            (struct cn_view){0}, &answer, reterr);
	if (failed == CN_E_NOT_FOUND) {
		failed = list_offline(&to, &p, reterr);
	} else if (!failed && answer.status != 200) {
		failed = cn_cli__admin_refused(CN_E_FAIL, &answer, reterr);
	} else if (!failed) {
		struct cn_json json = cn_json_root(cn_buf_view(&answer.body));

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

static int rm_offline(struct cn_cli *cli, const struct cn_paths *p, struct cn_error *reterr)
{
	struct cn_open_opts opts = {.write = true};
	struct cn_data d;
	int failed;

	if (access(p->vault, F_OK) < 0) /* nothing to make just to find it empty */
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no token named '%s'",
		               cli->args[0]);
	failed = cn_cli__open_data(cli, p, &opts, &d, reterr);
	if (failed)
		return failed;
	failed = cn_store_token_remove(d.store, cn_view_str(cli->args[0]), reterr);
	cn_data_done(&d);
	return failed;
}

static int run_rm(struct cn_cli *cli, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) request = {0};
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_paths p;
	int failed = cn_cli__paths(cli, &p, reterr);

	if (failed)
		return failed;
	cn_buf_add_char(&request, '{');
	cn_json_add_text(&request, "name", cn_view_str(cli->args[0]));
	cn_buf_add_char(&request, '}');
	failed = cn_cli__admin_call(p.admin_socket, "POST", "/api/tokens/remove",
	                            cn_buf_view(&request), &answer, reterr);
	if (failed == CN_E_NOT_FOUND) {
		failed = rm_offline(cli, &p, reterr);
	} else if (!failed && answer.status != 200) {
		failed = cn_cli__admin_refused(
		    answer.status == 404 ? CN_E_NOT_FOUND : CN_E_FAIL, &answer, reterr);
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
