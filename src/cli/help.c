/*
 * The text of --help, and the command `help`.  Printed from the tables alone: a command has
 * no help text of its own but what its row says.
 */
#include "cli_impl.h"

/* Where the sentences begin; longer names put theirs on a line of its own. */
#define SENTENCE 24

static void print_path(FILE *f, const struct cn_cli *cli)
{
	for (unsigned i = 0; i < cli->depth; i++)
		fprintf(f, "%s%s", i ? " " : "", cli->path[i]->name);
}

static void print_usage(FILE *f, const struct cn_cli *cli)
{
	const struct cn_command *c = cn_cli__command(cli);
	fputs("Usage: ", f);
	print_path(f, cli);
	fputs(c->commands ? " [options] COMMAND" : " [options]", f);
	if (c->arguments)
		fprintf(f, " %s", c->arguments);
	fputc('\n', f);
}

/* The left column has been printed, at bytes of it. */
static void print_sentence(FILE *f, unsigned at, const char *text)
{
	if (at + 2 > SENTENCE) {
		fputc('\n', f);
		at = 0;
	}
	fprintf(f, "%*s", (int)(SENTENCE - at), "");
	cn_cli__wrap(f, text, SENTENCE);
}

static void print_options(FILE *f, const struct cn_option *o, const char *title)
{
	bool titled = false;
	for (; o && o->name; o++) {
		if (o->hidden)
			continue;
		if (!titled)
			fprintf(f, "\n%s:\n", title);
		titled = true;
		char letter[] = {'-', o->letter, ',', ' ', '\0'};
		int at = fprintf(f, "  %s--%s%s%s", o->letter ? letter : "", o->name,
		                 o->arg ? " " : "", o->arg ? o->arg : "");
		print_sentence(f, (unsigned)at, o->help);
	}
}

static void print_commands(FILE *f, const struct cn_command *const *c)
{
	if (!c)
		return;
	fputs("\nCommands:\n", f);
	for (; *c; c++)
		if (!(*c)->hidden) {
			int at = fprintf(f, "  %s", (*c)->name);
			print_sentence(f, (unsigned)at, (*c)->summary);
		}
}

static void print_examples(FILE *f, const struct cn_example *e)
{
	if (!e)
		return;
	fputs("\nExamples:\n", f);
	for (; e->command; e++) {
		fprintf(f, "  continuo %s\n      ", e->command);
		cn_cli__wrap(f, e->text, 6);
	}
}

void cn_cli__help(const struct cn_cli *cli, FILE *f)
{
	const struct cn_command *c = cn_cli__command(cli);
	print_usage(f, cli);
	fprintf(f, "\n%s.\n", c->summary);
	for (const char *const *p = c->description; p && *p; p++) {
		fputc('\n', f);
		cn_cli__wrap(f, *p, 0);
	}
	print_commands(f, c->commands);
	print_options(f, c->options, "Options");
	print_options(f, cn_cli__common_options, "Options of every command");
	print_examples(f, c->examples);
	if (c->commands) {
		fputs("\nMore about one of them: ", f);
		print_path(f, cli);
		fputs(" COMMAND --help\n", f);
	}
}

struct opts {
	bool man;
	const char *completion;
};

static const struct cn_option options[] = {
    CN_OPTION(SWITCH, struct opts, man, "man", NULL, "Prints the manual page (mdoc)"),
    CN_OPTION(WORD, struct opts, completion, "completion", "bash|zsh|fish",
              "Prints the completions of this shell"),
    {0}};

static const struct cn_command *find(const struct cn_command *const *c, const char *name)
{
	for (; c && *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct opts *o = cli->opts;
	if (o->man) {
		cn_cli__man(cli->out, cli->root);
		return 0;
	}
	if (o->completion) {
		cn_cli__completion(cli->out, cli->root, o->completion);
		return 0;
	}
	struct cn_cli about = {.path = {cli->root}, .depth = 1};
	for (size_t i = 0; i < cli->n_args; i++) {
		const struct cn_command *c =
		    find(cn_cli__command(&about)->commands, cli->args[i]);
		if (!c)
			return cn_fail(reterr, CN_E_USAGE, "unknown command %s",
			               cli->args[i]);
		about.path[about.depth++] = c;
	}
	cn_cli__help(&about, cli->out);
	return 0;
}

const struct cn_command cn_cmd_help = {
    .name = "help",
    .summary = "Prints the help of a command, the manual page or completions",
    .options = options,
    .opts_size = sizeof(struct opts),
    .arguments = "[COMMAND...]",
    .args_max = 3,
    .run = run,
    .hidden = true,
};
