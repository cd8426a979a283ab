/*
 * The manual page continuo(1), as mdoc, from the same tables as --help.
 *
 * mdoc gives meaning to a '.' or a quote at a line's start and to every backslash; text
 * goes through put_text() only, which knows that.
 */
#include "cli_impl.h"

static void put_word(FILE *f, struct cn_view word, bool starts_line)
{
	if (starts_line && word.n && (word.p[0] == '.' || word.p[0] == '\''))
		fputs("\\&", f);
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] == '\\')
			fputs("\\e", f);
		else if (word.p[i] == '-')
			fputs("\\-", f);
		else
			fputc(word.p[i], f);
}

/* Running text, a new line for each sentence and before the 72nd column. */
static void put_text(FILE *f, const char *text)
{
	struct cn_view rest = cn_view_str(text), word;
	size_t at = 0;
	bool sentence_ended = false;
	while (cn_view_split(&rest, ' ', &word)) {
		if (word.n == 0) { /* two spaces stand behind a full stop */
			sentence_ended = true;
			continue;
		}
		bool new_line = at && (sentence_ended || at + word.n >= 72);
		if (at)
			fputc(new_line ? '\n' : ' ', f);
		put_word(f, word, at == 0 || new_line);
		at = (new_line ? 0 : at) + word.n + 1;
		sentence_ended = false;
	}
}

/* An argument of a macro: stays on its line. */
static void put_argument(FILE *f, const char *text)
{
	put_word(f, cn_view_str(text), false);
}

static void put_path(FILE *f, const struct cn_cli *at)
{
	for (unsigned i = 1; i < at->depth; i++)
		fprintf(f, "%s%s", i > 1 ? " " : "", at->path[i]->name);
}

static void put_options(FILE *f, const struct cn_option *o)
{
	if (!o)
		return;
	fputs(".Bl -tag -width Ds\n", f);
	for (; o->name; o++) {
		if (o->hidden)
			continue;
		fputs(".It ", f);
		if (o->letter)
			fprintf(f, "Fl %c , ", o->letter);
		fprintf(f, "Fl Fl %s", o->name);
		if (o->arg)
			fprintf(f, " Ar %s", o->arg);
		fputc('\n', f);
		put_text(f, o->help);
		fputs(".\n", f);
	}
	fputs(".El\n", f);
}

static void put_paragraphs(FILE *f, const char *const *p)
{
	for (; p && *p; p++) {
		fputs(".Pp\n", f);
		put_text(f, *p);
		fputc('\n', f);
	}
}

static void put_examples(FILE *f, const struct cn_example *e)
{
	for (; e && e->command; e++) {
		fputs(".Pp\n", f);
		put_text(f, e->text);
		fputs(":\n.Dl continuo ", f);
		put_argument(f, e->command);
		fputc('\n', f);
	}
}

/* One level of commands and, below each, its own; at: the path so far. */
static void put_commands(FILE *f, struct cn_cli *at)
{
	for (const struct cn_command *const *c = cn_cli__command(at)->commands; c && *c;
	     c++) {
		if ((*c)->hidden)
			continue;
		at->path[at->depth++] = *c;
		fputs(".Ss ", f);
		put_path(f, at);
		fputs("\n.Nm continuo\n.Cm ", f);
		put_path(f, at);
		if ((*c)->options)
			fputs("\n.Op Ar options", f);
		if ((*c)->commands)
			fputs("\n.Ar command", f);
		if ((*c)->arguments) {
			fputs("\n.Ar ", f);
			put_argument(f, (*c)->arguments);
		}
		fputs("\n.Pp\n", f);
		put_text(f, (*c)->summary);
		fputs(".\n", f);
		put_paragraphs(f, (*c)->description);
		put_options(f, (*c)->options);
		put_examples(f, (*c)->examples);
		put_commands(f, at);
		at->depth--;
	}
}

static void put_notes(FILE *f, const char *title, const struct cn_note *n,
                      const char *macro)
{
	fprintf(f, ".Sh %s\n.Bl -tag -width Ds\n", title);
	for (; n->name; n++) {
		fprintf(f, ".It %s", macro);
		put_argument(f, n->name);
		fputc('\n', f);
		put_text(f, n->text);
		fputs(".\n", f);
	}
	fputs(".El\n", f);
}

void cn_cli__man(FILE *f, const struct cn_command *root)
{
	struct cn_cli at = {.path = {root}, .depth = 1};
	fputs(".\\\" Made by `continuo help --man`.\n.Dd $Mdocdate$\n.Dt CONTINUO 1\n.Os\n"
	      ".Sh NAME\n.Nm continuo\n.Nd ",
	      f);
	put_text(f, root->summary);
	fputs("\n.Sh SYNOPSIS\n.Nm\n.Op Ar options\n.Ar command\n.Op Ar argument ...\n"
	      ".Nm\n.Fl Fl version\n.Sh DESCRIPTION\n",
	      f);
	put_text(f, root->description[0]);
	fputc('\n', f);
	put_paragraphs(f, root->description + 1);
	fputs(".Pp\nEvery command takes these options:\n", f);
	put_options(f, cn_cli__common_options);
	fputs(".Sh COMMANDS\n", f);
	put_commands(f, &at);
	put_notes(f, "ENVIRONMENT", cn_cli__environment, "Ev ");
	put_notes(f, "FILES", cn_cli__files, "Pa ");
	put_notes(f, "EXIT STATUS", cn_cli__exit_statuses, "");
	fputs(".Pp\n.Nm\n.Cm run\nends with the status of the client that it ran.\n", f);
}
