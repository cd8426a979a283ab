/*
 * What commands print: lines, errors, wrapped paragraphs, and lists that are a table for
 * people and JSON for scripts.  Main thread.
 *
 * Foreign text passes cn_cli__clean() here, so that no name out of a file or an answer can
 * speak to the terminal.
 */
#include <inttypes.h>

#include "cli_impl.h"
#include "continuo/json.h"
#include "continuo/log.h"

#define COLUMNS 80

void cn_cli__print(struct cn_cli *cli, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)vfprintf(cli->out, fmt, args); /* run.c looks at the stream's end */
	va_end(args);
}

void cn_cli__note(struct cn_cli *cli, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fputs("continuo: ", cli->err);
	(void)vfprintf(cli->err, fmt, args); /* nobody to tell when this fails */
	fputc('\n', cli->err);
	va_end(args);
}

const char *cn_cli__clean(struct cn_cli *cli, struct cn_view text)
{
	CN_AUTO(cn_buf) b = {0};
	cn_log_sanitise(&b, text, SIZE_MAX);
	return cn_arena_dup(&cli->arena, cn_buf_view(&b));
}

static void print_path(FILE *f, const struct cn_cli *cli)
{
	for (unsigned i = 0; i < cli->depth; i++)
		fprintf(f, "%s%s", i ? " " : "", cli->path[i]->name);
}

void cn_cli__print_error(struct cn_cli *cli, const struct cn_error *err)
{
	FILE *f = cli->err;
	if (err->file[0] && err->line)
		fprintf(f, "%s:%u:%u: ", err->file, err->line, err->column);
	else if (err->file[0])
		fprintf(f, "%s: ", err->file);
	else {
		print_path(f, cli);
		fputs(": ", f);
	}
	fputs(err->message, f);
	if (err->code == CN_E_USAGE) {
		size_t n = strlen(err->message);
		fputs(n && err->message[n - 1] == '?' ? " See `" : "; see `", f);
		print_path(f, cli);
		fputs(" --help`", f);
	}
	fputc('\n', f);
}

void cn_cli__wrap(FILE *f, const char *text, unsigned indent)
{
	struct cn_view rest = cn_view_str(text), word;
	unsigned at = indent;
	while (cn_view_split(&rest, ' ', &word)) {
		if (word.n == 0)
			continue; /* two spaces after a full stop */
		unsigned n = (unsigned)word.n;
		if (at > indent && at + 1 + n > COLUMNS) {
			fprintf(f, "\n%*s", (int)indent, "");
			at = indent;
		}
		at += (unsigned)fprintf(f, "%s%.*s", at > indent ? " " : "",
		                        CN_VIEW_ARG(word));
	}
	fputc('\n', f);
}

static void add_cell(struct cn_cli *cli, struct cn_listing *l, const char *text)
{
	if (l->n_cells == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		const char **cells = cn_arena_alloc(&cli->arena, cap * sizeof(*cells));
		for (size_t i = 0; i < l->n_cells; i++)
			cells[i] = l->cells[i];
		l->cells = cells;
		l->cap = cap;
	}
	l->cells[l->n_cells++] = text;
}

void cn_cli__cell(struct cn_cli *cli, struct cn_listing *l, struct cn_view text)
{
	add_cell(cli, l, cn_arena_dup(&cli->arena, text));
}

void cn_cli__cell_number(struct cn_cli *cli, struct cn_listing *l, uint64_t n)
{
	add_cell(cli, l, cn_arena_printf(&cli->arena, "%" PRIu64, n));
}

void cn_cli__cell_none(struct cn_cli *cli, struct cn_listing *l)
{
	(void)cli;
	add_cell(cli, l, NULL);
}

static void print_json(struct cn_cli *cli, const struct cn_listing *l)
{
	CN_AUTO(cn_buf) b = {0};
	cn_buf_add_char(&b, '[');
	for (size_t i = 0; i < l->n_cells; i++) {
		const struct cn_column *c = &l->columns[i % l->n_columns];
		struct cn_view cell = cn_view_str(l->cells[i]);
		if (i % l->n_columns == 0)
			cn_buf_add_str(&b, i ? ",\n {" : "\n {");
		if (!cell.p)
			cn_json_add_raw(&b, c->key, CN_VIEW("null"));
		else if (c->number)
			cn_json_add_raw(&b, c->key, cell);
		else
			cn_json_add_text(&b, c->key, cell);
		if (i % l->n_columns == l->n_columns - 1)
			cn_buf_add_char(&b, '}');
	}
	cn_buf_add_str(&b, l->n_cells ? "\n]\n" : "]\n");
	fwrite(b.p, 1, b.n, cli->out);
}

/* Characters, not bytes: what a terminal advances, for text without wide characters. */
static size_t width(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(FILE *f, const char *text, size_t room, bool right, bool last)
{
	size_t gap = room - width(text);
	if (right)
		fprintf(f, "%*s%s", (int)gap, "", text);
	else
		fprintf(f, "%s%*s", text, last ? 0 : (int)gap, "");
	fputs(last ? "\n" : "  ", f);
}

static void print_table(struct cn_cli *cli, const struct cn_listing *l)
{
	size_t n = l->n_columns;
	size_t *rooms = cn_arena_alloc(&cli->arena, n * sizeof(*rooms));
	const char **cells = cn_arena_alloc(&cli->arena, (n + l->n_cells) * sizeof(*cells));
	for (size_t i = 0; i < n; i++) {
		cells[i] = l->columns[i].title;
		rooms[i] = width(cells[i]);
	}
	for (size_t i = 0; i < l->n_cells; i++) {
		const char *cell = l->cells[i] ? l->cells[i] : "-";
		cells[n + i] = cn_cli__clean(cli, cn_view_str(cell));
		if (width(cells[n + i]) > rooms[i % n])
			rooms[i % n] = width(cells[n + i]);
	}
	for (size_t i = 0; i < n + l->n_cells; i++)
		print_cell(cli->out, cells[i], rooms[i % n], l->columns[i % n].number,
		           i % n == n - 1);
}

void cn_cli__listing_print(struct cn_cli *cli, const struct cn_listing *l,
                           const char *empty)
{
	cn_assert(l->n_cells % l->n_columns == 0);
	if (cli->common.json)
		print_json(cli, l);
	else if (l->n_cells == 0 && empty)
		cn_cli__print(cli, "%s\n", empty);
	else
		print_table(cli, l);
}
