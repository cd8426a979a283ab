/*
 * Completions for bash, zsh and fish, from the same tables as --help.  Each script is one
 * table of "path → words": what may follow which commands.
 *
 * Knows commands, options and the words that options take; names of keys, sessions or
 * models are not completed, because that would open the vault or the store at every tab.
 */
#include "cli_impl.h"

/* The path below "continuo", commands joined by sep. */
static void put_path(FILE *f, const struct cn_cli *at, const char *sep)
{
	for (unsigned i = 1; i < at->depth; i++)
		fprintf(f, "%s%s", i > 1 ? sep : "", at->path[i]->name);
}

static void put_option_names(FILE *f, const struct cn_option *o)
{
	for (; o && o->name; o++)
		if (!o->hidden)
			fprintf(f, " --%s", o->name);
}

/* Calls visit for the program itself and every command below it that help shows. */
static void walk(FILE *f, struct cn_cli *at,
                 void (*visit)(FILE *f, const struct cn_cli *at))
{
	visit(f, at);
	for (const struct cn_command *const *c = cn_cli__command(at)->commands; c && *c;
	     c++)
		if (!(*c)->hidden) {
			at->path[at->depth++] = *c;
			walk(f, at, visit);
			at->depth--;
		}
}

static void bash_case(FILE *f, const struct cn_cli *at)
{
	const struct cn_command *c = cn_cli__command(at);
	fputs("\t'", f);
	put_path(f, at, " ");
	fputs("') words='", f);
	for (const struct cn_command *const *sub = c->commands; sub && *sub; sub++)
		if (!(*sub)->hidden)
			fprintf(f, " %s", (*sub)->name);
	put_option_names(f, c->options);
	put_option_names(f, cn_cli__common_options);
	fputs("' ;;\n", f);
}

/* "--log) words='text json' ;;" for each option with a list of words. */
static void bash_values(FILE *f, const struct cn_option *o)
{
	for (; o && o->name; o++) {
		struct cn_view rest = cn_view_str(o->arg), word;
		if (o->kind != CN_OPT_WORD || o->hidden)
			continue;
		fprintf(f, "\t*' --%s') values='", o->name);
		while (cn_view_split(&rest, '|', &word))
			fprintf(f, " %.*s", CN_VIEW_ARG(word));
		fputs("' ;;\n", f);
	}
}

static void bash_own_values(FILE *f, const struct cn_cli *at)
{
	bash_values(f, cn_cli__command(at)->options);
}

/* The options whose value must not be taken for a command, as alternatives of a pattern. */
static void bash_skip(FILE *f, const struct cn_option *o)
{
	for (; o && o->name; o++)
		if (o->arg && !o->hidden) {
			fprintf(f, "|--%s", o->name);
			if (o->letter)
				fprintf(f, "|-%c", o->letter);
		}
}

static void bash_own_skip(FILE *f, const struct cn_cli *at)
{
	bash_skip(f, cn_cli__command(at)->options);
}

/* zsh runs the same function through its own bashcompinit. */
static void bash(FILE *f, const struct cn_command *root)
{
	struct cn_cli at = {.path = {root}, .depth = 1};
	fputs("_continuo() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} place='' words='' values='' i\n"
	      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\tcase ${COMP_WORDS[i]} in\n"
	      "\t\t--) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
	      "\t\t''",
	      f);
	bash_skip(f, cn_cli__common_options);
	walk(f, &at, bash_own_skip);
	fputs(") i=$((i + 1)) ;;\n"
	      "\t\t-*) ;;\n"
	      "\t\t*) place=\"$place ${COMP_WORDS[i]}\" ;;\n"
	      "\t\tesac\n"
	      "\tdone\n"
	      "\tcase \" ${COMP_WORDS[COMP_CWORD-1]}\" in\n",
	      f);
	bash_values(f, cn_cli__common_options);
	walk(f, &at, bash_own_values);
	fputs("\tesac\n"
	      "\tif [ -n \"$values\" ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase ${place# } in\n",
	      f);
	walk(f, &at, bash_case);
	fputs("\tesac\n"
	      "\tif [ -n \"$words\" ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\tfi\n"
	      "\tif [ ${#COMPREPLY[@]} -eq 0 ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
	      "\tfi\n"
	      "}\n"
	      "complete -F _continuo continuo\n",
	      f);
}

/* A single-quoted word of fish. */
static void fish_quote(FILE *f, const char *text)
{
	fputc('\'', f);
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			fputc('\\', f);
		fputc(*text, f);
	}
	fputc('\'', f);
}

static void fish_options(FILE *f, const struct cn_option *o, const char *condition)
{
	for (; o && o->name; o++) {
		if (o->hidden)
			continue;
		fprintf(f, "complete -c continuo%s -l %s", condition, o->name);
		if (o->letter)
			fprintf(f, " -s %c", o->letter);
		if (o->kind == CN_OPT_WORD) {
			struct cn_view rest = cn_view_str(o->arg), word;
			fputs(" -x -a '", f);
			while (cn_view_split(&rest, '|', &word))
				fprintf(f, "%.*s ", CN_VIEW_ARG(word));
			fputc('\'', f);
		} else if (o->arg) {
			fputs(" -r", f);
		}
		fputs(" -d ", f);
		fish_quote(f, o->help);
		fputc('\n', f);
	}
}

static void fish_level(FILE *f, const struct cn_cli *at)
{
	const struct cn_command *c = cn_cli__command(at);
	CN_AUTO(cn_buf) condition = {0};
	cn_buf_add_str(&condition, " -n '__continuo_at");
	for (unsigned i = 1; i < at->depth; i++)
		cn_buf_printf(&condition, " %s", at->path[i]->name);
	cn_buf_add_str(&condition, "'");
	for (const struct cn_command *const *sub = c->commands; sub && *sub; sub++)
		if (!(*sub)->hidden) {
			fprintf(f, "complete -c continuo%s -f -a %s -d ",
			        cn_buf_cstr(&condition), (*sub)->name);
			fish_quote(f, (*sub)->summary);
			fputc('\n', f);
		}
	fish_options(f, c->options, cn_buf_cstr(&condition));
}

static void fish(FILE *f, const struct cn_command *root)
{
	struct cn_cli at = {.path = {root}, .depth = 1};
	fputs("function __continuo_at\n"
	      "\tset -l words (commandline -opc | string match -v -- '-*')\n"
	      "\ttest (string join ' ' -- $words[2..-1] | string collect) = \"$argv\"\n"
	      "end\n",
	      f);
	fish_options(f, cn_cli__common_options, "");
	walk(f, &at, fish_level);
}

void cn_cli__completion(FILE *f, const struct cn_command *root, const char *shell)
{
	if (strcmp(shell, "fish") == 0) {
		fish(f, root);
		return;
	}
	if (strcmp(shell, "zsh") == 0)
		fputs("#compdef continuo\nautoload -Uz bashcompinit && bashcompinit\n", f);
	bash(f, root);
}
