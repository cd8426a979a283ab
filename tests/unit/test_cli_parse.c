/*
 * The command line: when this fails, a command gets words or options that the user did not
 * give, an error names the wrong thing, or help differs from tests/unit/golden.  With
 * CONTINUO_GOLDEN=write it writes those files anew; read the difference before committing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/cli/cli_impl.h"

/* ---- a small program of our own ---- */

struct set_opts {
	const char *origin;
	const char *form;
	uint64_t fd;
	struct cn_words labels;
	bool force, odd;
};

static const struct cn_option set_options[] = {
    CN_OPTION(TEXT, struct set_opts, origin, "origin", "URL",
              "Names the only place that this secret may ever be sent to, which nobody can "
              "change later without the vault's passphrase"),
    CN_OPTION(WORD, struct set_opts, form, "form", "raw|hex", "Form of the secret"),
    {"fd", "N", "Reads it from this descriptor", offsetof(struct set_opts, fd),
     CN_OPT_NUMBER, 'd', false},
    CN_OPTION(LIST, struct set_opts, labels, "label", "TEXT", "Adds a label"),
    {"force", NULL, "Overwrites what is there", offsetof(struct set_opts, force),
     CN_OPT_SWITCH, 'f', false},
    {"odd", NULL, "Nobody shall see this", offsetof(struct set_opts, odd), CN_OPT_SWITCH, 0,
     true},
    {0}};

static const struct set_opts set_defaults = {.fd = 7, .form = "raw"};

/* Prints what arrived, so that one text says all. */
static int run_set(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct set_opts *o = cli->opts;
	(void)reterr;
	cn_cli__print(cli, "origin=%s form=%s fd=%u force=%d odd=%d json=%d home=%s",
	              o->origin ? o->origin : "-", o->form, (unsigned)o->fd, o->force,
	              o->odd, cli->common.json, cli->common.home ? cli->common.home : "-");
	for (size_t i = 0; i < o->labels.n; i++)
		cn_cli__print(cli, " label=%s", o->labels.v[i]);
	for (size_t i = 0; i < cli->n_args; i++)
		cn_cli__print(cli, " [%s]", cli->args[i]);
	return 0;
}

static int run_list(struct cn_cli *cli, struct cn_error *reterr)
{
	static const struct cn_column columns[] = {
	    {"name", "NAME", false}, {"uses", "USES", true}, {"note", "NOTE", false}};
	struct cn_listing l = {.columns = columns, .n_columns = 3};
	(void)reterr;
	for (size_t i = 0; i + 1 < cli->n_args; i += 2) {
		uint64_t uses = 0;
		cn_cli__cell(cli, &l, cn_view_str(cli->args[i]));
		if (cn_view_u64(cn_view_str(cli->args[i + 1]), &uses))
			cn_cli__cell_number(cli, &l, uses);
		else
			cn_cli__cell_none(cli, &l);
		cn_cli__cell(cli, &l, CN_VIEW("x"));
	}
	cn_cli__listing_print(cli, &l, "There are none.");
	return 0;
}

static int run_client(struct cn_cli *cli, struct cn_error *reterr)
{
	(void)reterr;
	for (size_t i = 0; i < cli->n_args; i++)
		cn_cli__print(cli, "[%s]", cli->args[i]);
	cli->exit_status = 42;
	return 0;
}

static int run_check(struct cn_cli *cli, struct cn_error *reterr)
{
	(void)cli;
	cn_fail(reterr, CN_E_CONFIG, "unknown model 'opsu'; did you mean 'opus'?");
	strcpy(reterr->file, "policy.yaml");
	reterr->line = 12;
	reterr->column = 7;
	return CN_E_CONFIG;
}

static int run_silent(struct cn_cli *cli, struct cn_error *reterr)
{
	(void)reterr;
	cn_cli__note(cli, "all %s", "said");
	return CN_E_LOCKED;
}

static const char *const set_description[] = {
    "The secret is read from a prompt, from standard input or from a descriptor.  It is never "
    "an argument: arguments can be read by every process of the machine.",
    "'quoted' at a line's start, \\backslash and .dot must survive.", NULL};
static const struct cn_example set_examples[] = {
    {"vault set kimi --origin https://api.example", "Asks for the key named kimi"}, {0}};
static const struct cn_command vault_set = {
    .name = "set",
    .summary = "Stores a secret under a name",
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
static const struct cn_command vault_list = {
    .name = "list",
    .summary = "Lists the names",
    .arguments = "[NAME...]",
    .args_max = CN_ARGS_ANY,
    .run = run_list,
};
static const struct cn_command *const vault_commands[] = {&vault_set, &vault_list, NULL};
static const struct cn_command vault = {
    .name = "vault", .summary = "The encrypted keys", .commands = vault_commands};
static const struct cn_command client = {
    .name = "run",
    .summary = "Runs a client",
    .arguments = "CLIENT [ARG...]",
    .args_min = 1,
    .args_max = CN_ARGS_ANY,
    .run = run_client,
    .starts_client = true,
    .stops_at_argument = true,
};
static const struct cn_command check = {
    .name = "check", .summary = "Checks the policy", .run = run_check};
static const struct cn_command silent = {
    .name = "silent", .summary = "Says all itself", .run = run_silent, .hidden = true};
static const struct cn_command *const commands[] = {&client, &vault,       &check,
                                                    &silent, &cn_cmd_help, NULL};
static const char *const description[] = {"A program for this test.", NULL};
static const struct cn_command program = {.name = "continuo",
                                          .summary = "Shows what tables can say",
                                          .description = description,
                                          .commands = commands};

/* ---- running it ---- */

struct result {
	int status;
	char *out, *err; /* owned */
};

static void result_done(struct result *r)
{
	free(r->out);
	free(r->err);
}

/* line: words separated by one space; "" stands for an empty word. */
static struct result run(const char *line)
{
	struct result r = {0};
	size_t out_n, err_n;
	const char *argv[32] = {NULL};
	int argc = 0;
	struct cn_cli cli = {.root = &program,
	                     .out = open_memstream(&r.out, &out_n),
	                     .err = open_memstream(&r.err, &err_n)};
	CN_AUTOFREE char *words = cn_strdup(line);
	argv[argc++] = words;
	for (char *p = words; (p = strchr(p, ' ')); argc++) {
		*p++ = '\0';
		argv[argc] = p;
	}
	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], "\"\"", 2) == 0)
			argv[i] += 2;
	r.status = cn_cli__main(&cli, argc, argv);
	fclose(cli.out);
	fclose(cli.err);
	cn_cli_done(&cli);
	return r;
}

struct line {
	const char *line;
	int status;
	const char *out, *err;
};

static void check_lines(const struct line *lines, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		__attribute__((cleanup(result_done))) struct result r = run(lines[i].line);
		if (strcmp(r.out, lines[i].out) != 0 || strcmp(r.err, lines[i].err) != 0 ||
		    r.status != lines[i].status)
			fail_msg("`%s`\n got %d\n  %s\n  %s\n want %d\n  %s\n  %s",
			         lines[i].line, r.status, r.out, r.err, lines[i].status,
			         lines[i].out, lines[i].err);
	}
}

static void words_reach_the_command(void **state)
{
	static const struct line lines[] = {
	    {"continuo vault set kimi", 0,
	     "origin=- form=raw fd=7 force=0 odd=0 json=0 home=- [kimi]", ""},
	    {"continuo --json vault --home /h set -f --origin=u=v kimi --form hex -d 3", 0,
	     "origin=u=v form=hex fd=3 force=1 odd=0 json=1 home=/h [kimi]", ""},
	    {"continuo vault set -d12 --label a --label=b --odd kimi", 0,
	     "origin=- form=raw fd=12 force=0 odd=1 json=0 home=- label=a label=b [kimi]",
	     ""},
	    {"continuo vault set --origin --json --origin last -- --json", 0,
	     "origin=last form=raw fd=7 force=0 odd=0 json=0 home=- [--json]", ""},
	    {"continuo vault set --origin= -", 0,
	     "origin= form=raw fd=7 force=0 odd=0 json=0 home=- [-]", ""},
	    {"continuo vault set \"\"", 0,
	     "origin=- form=raw fd=7 force=0 odd=0 json=0 home=- []", ""},
	    {"continuo run claude --help -p --json", 42, "[claude][--help][-p][--json]",
	     ""},
	    {"continuo run -- --weird x", 42, "[--weird][x]", ""},
	    {"continuo run --json -- -- x", 42, "[--][x]", ""},
	};
	(void)state;
	check_lines(lines, sizeof(lines) / sizeof(*lines));
}

static void wrong_words_are_named_with_what_would_be_right(void **state)
{
	static const struct line lines[] = {
	    {"continuo", 2, "", "continuo: no command given; see `continuo --help`\n"},
	    {"continuo vault", 2, "",
	     "continuo vault: no command given; see `continuo vault --help`\n"},
	    {"continuo vualt set", 2, "",
	     "continuo: unknown command vualt; did you mean vault? See `continuo --help`\n"},
	    {"continuo vault sett x", 2, "",
	     "continuo vault: unknown command sett; did you mean set? See `continuo vault "
	     "--help`\n"},
	    {"continuo silen", 2, "", /* hidden: not proposed */
	     "continuo: unknown command silen; see `continuo --help`\n"},
	    {"continuo xyzzy", 2, "",
	     "continuo: unknown command xyzzy; see `continuo --help`\n"},
	    {"continuo vault set --foo x", 2, "",
	     "continuo vault set: unknown option --foo; see `continuo vault set --help`\n"},
	    {"continuo vault set --orgin=x y", 2, "",
	     "continuo vault set: unknown option --orgin; did you mean --origin? See `continuo "
	     "vault set --help`\n"},
	    {"continuo vault set --jsno y", 2, "",
	     "continuo vault set: unknown option --jsno; did you mean --json? See `continuo "
	     "vault set --help`\n"},
	    {"continuo vault set -x y", 2, "",
	     "continuo vault set: unknown option -x; see `continuo vault set --help`\n"},
	    {"continuo vault set", 2, "",
	     "continuo vault set: missing argument: NAME; see `continuo vault set --help`\n"},
	    {"continuo vault set a b", 2, "",
	     "continuo vault set: unexpected argument b; see `continuo vault set --help`\n"},
	    {"continuo vault set a --origin", 2, "",
	     "continuo vault set: --origin needs a value: URL; see `continuo vault set "
	     "--help`\n"},
	    {"continuo vault set a --force=1", 2, "",
	     "continuo vault set: --force takes no value; see `continuo vault set --help`\n"},
	    {"continuo vault set a -f1", 2, "",
	     "continuo vault set: --force takes no value; see `continuo vault set --help`\n"},
	    {"continuo vault set a --fd -1", 2, "",
	     "continuo vault set: --fd -1: the value must be a whole number; see `continuo "
	     "vault set --help`\n"},
	    {"continuo vault set a --form ra", 2, "",
	     "continuo vault set: --form ra: the value must be one of raw|hex; see `continuo "
	     "vault set --help`\n"},
	    {"continuo vault set a\x1b[2J b", 2, "",
	     "continuo vault set: unexpected argument b; see `continuo vault set --help`\n"},
	    {"continuo \x1b[2J", 2, "",
	     "continuo: unknown command ?[2J; see `continuo --help`\n"},
	    {"continuo help vault stet", 2, "",
	     "continuo help: unknown command stet; see `continuo help --help`\n"},
	};
	(void)state;
	check_lines(lines, sizeof(lines) / sizeof(*lines));
}

static void failures_give_their_exit_status(void **state)
{
	static const struct line lines[] = {
	    {"continuo check", 3, "",
	     "policy.yaml:12:7: unknown model 'opsu'; did you mean 'opus'?\n"},
	    {"continuo silent", 4, "", "continuo: all said\n"},
	};
	(void)state;
	check_lines(lines, sizeof(lines) / sizeof(*lines));
}

static void lists_are_tables_or_json(void **state)
{
	static const struct line lines[] = {
	    {"continuo vault list", 0, "There are none.\n", ""},
	    {"continuo vault list --json", 0, "[]\n", ""},
	    {"continuo vault list kimi 1000000 gr\xc3\xbc\xc3\x9f"
	     "e - a\x1b"
	     "b 2",
	     0,
	     "NAME       USES  NOTE\n"
	     "kimi    1000000  x\n"
	     "gr\xc3\xbc\xc3\x9f"
	     "e         -  x\n"
	     "a\\x1bb        2  x\n",
	     ""},
	    {"continuo vault list --json kimi 7 a\"\x1b"
	     "b -",
	     0,
	     "[\n {\"name\":\"kimi\",\"uses\":7,\"note\":\"x\"},\n"
	     " {\"name\":\"a\\\"\\u001bb\",\"uses\":null,\"note\":\"x\"}\n]\n",
	     ""},
	};
	(void)state;
	check_lines(lines, sizeof(lines) / sizeof(*lines));
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
	char *err_text = NULL;
	size_t err_n;
	const char *const argv[] = {"continuo", "vault", "set", "kimi", NULL};
	FILE *full = fopen("/dev/full", "we");
	(void)state;
	assert_non_null(full);
	struct cn_cli cli = {
	    .root = &program, .out = full, .err = open_memstream(&err_text, &err_n)};
	assert_int_equal(cn_cli__main(&cli, 4, argv), 1);
	fclose(cli.err);
	fclose(full);
	assert_string_equal(err_text,
	                    "continuo vault set: cannot write to standard output\n");
	free(err_text);
	cn_cli_done(&cli);
}

/* ---- golden files ---- */

static void check_golden(const char *line, const char *name)
{
	const char *source = getenv("CONTINUO_SOURCE");
	const char *mode = getenv("CONTINUO_GOLDEN");
	if (!source)
		skip(); /* leaves by longjmp: nothing may be held here */
	CN_AUTO(cn_buf) path = {0};
	CN_AUTO(cn_buf) want = {0};
	cn_buf_printf(&path, "%s/tests/unit/golden/%s", source, name);
	__attribute__((cleanup(result_done))) struct result r = run(line);
	assert_int_equal(r.status, 0);
	bool write = mode && strcmp(mode, "write") == 0;
	FILE *f = fopen(cn_buf_cstr(&path), write ? "we" : "re");
	if (!f)
		fail_msg("%s cannot be opened", cn_buf_cstr(&path));
	if (write) {
		fputs(r.out, f);
		fclose(f);
		return;
	}
	size_t n;
	while ((n = fread(cn_buf_reserve(&want, 4096), 1, 4096, f)) > 0)
		want.n += n;
	fclose(f);
	if (strcmp(r.out, cn_buf_cstr(&want)) != 0)
		fail_msg("`%s` differs from %s; got:\n%s", line, cn_buf_cstr(&path), r.out);
}

static void help_is_as_agreed(void **state)
{
	(void)state;
	check_golden("continuo --help", "help_program.txt");
	check_golden("continuo vault -h", "help_vault.txt");
	check_golden("continuo help vault set", "help_vault_set.txt");
	check_golden("continuo vault set --help", "help_vault_set.txt");
}

static void manual_page_is_as_agreed(void **state)
{
	(void)state;
	check_golden("continuo help --man", "continuo.1");
}

static void completions_are_as_agreed(void **state)
{
	(void)state;
	check_golden("continuo help --completion bash", "completion.bash");
	check_golden("continuo help --completion zsh", "completion.zsh");
	check_golden("continuo help --completion fish", "completion.fish");
}

/* The real tables: a slip in a row shows here and not at a user's. */
static void check_command(const struct cn_command *c, unsigned depth)
{
	if (!c->summary || c->summary[strlen(c->summary) - 1] == '.')
		fail_msg("%s: the summary is one sentence without final stop", c->name);
	if (!c->run && !c->commands)
		fail_msg("%s does nothing", c->name);
	if (c->args_max > 0 && !c->arguments)
		fail_msg("%s takes arguments that help does not name", c->name);
	for (const struct cn_option *o = c->options; o && o->name; o++) {
		if (o->at >= c->opts_size)
			fail_msg("%s --%s lies outside of opts_size", c->name, o->name);
		if ((o->kind == CN_OPT_SWITCH) != (o->arg == NULL))
			fail_msg("%s --%s: a switch has no argument, all else one", c->name,
			         o->name);
		if (!o->help || o->help[strlen(o->help) - 1] == '.')
			fail_msg("%s --%s: help is one sentence without final stop",
			         c->name, o->name);
		for (const struct cn_option *k = o + 1; k->name; k++)
			if (strcmp(k->name, o->name) == 0 ||
			    (k->letter && k->letter == o->letter))
				fail_msg("%s --%s stands twice", c->name, o->name);
		for (const struct cn_option *k = cn_cli__common_options; k->name; k++)
			if (strcmp(k->name, o->name) == 0)
				fail_msg("%s --%s hides an option of every command",
				         c->name, o->name);
	}
	for (const struct cn_command *const *sub = c->commands; sub && *sub; sub++) {
		assert_true(depth + 1 < CN_DEPTH);
		check_command(*sub, depth + 1);
	}
}

static void tables_of_the_program_are_sound(void **state)
{
	(void)state;
	check_command(&cn_cli__root, 0);
	check_command(&program, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_reach_the_command),
	    cmocka_unit_test(wrong_words_are_named_with_what_would_be_right),
	    cmocka_unit_test(failures_give_their_exit_status),
	    cmocka_unit_test(lists_are_tables_or_json),
	    cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
	    cmocka_unit_test(help_is_as_agreed),
	    cmocka_unit_test(manual_page_is_as_agreed),
	    cmocka_unit_test(completions_are_as_agreed),
	    cmocka_unit_test(tables_of_the_program_are_sound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
