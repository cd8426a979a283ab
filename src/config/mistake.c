/*
 * Mistakes: gathered while everything is read, handed out sorted by file, line and column.
 * The same words at the same place are told once, since presets are read once for each
 * backend that uses them.  Also the search for the name that was meant.
 *
 * Owns nothing: all is in the load's arena.  Runs on the thread of the load.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config_impl.h"

CN_PRINTF(5, 0)
static void add(struct cn_load *l, const struct cn_config_file *f, unsigned line,
                unsigned column, const char *fmt, va_list ap)
{
	struct cn_mistake *m;
	char message[sizeof m->error.message];

	l->n_mistakes++;
	if (l->n_kept >= CN_CONFIG_MAX_MISTAKES)
		return;
	m = cn_arena_new(&l->arena, struct cn_mistake);
	(void)vsnprintf(message, sizeof message, fmt, ap); /* long ones are cut */
	(void)cn_fail(&m->error, CN_E_CONFIG, "%s", message);
	m->error.line = line;
	m->error.column = column;
	if (f)
		(void)snprintf(m->error.file, sizeof m->error.file, "%s", f->name);
	m->file = f ? f->index : 0;
	m->at = (unsigned)l->n_kept++;
	if (l->last_mistake)
		l->last_mistake->next = m;
	else
		l->mistakes = m;
	l->last_mistake = m;
}

void cn_config__mistake_at(struct cn_load *l, const struct cn_config_file *f, unsigned line,
                           unsigned column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, f, line, column, fmt, ap);
	va_end(ap);
}

void cn_config__mistake(struct cn_load *l, const struct cn_node *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, at->file, at->line, at->column, fmt, ap);
	va_end(ap);
}

void cn_config__mistake_key(struct cn_load *l, const struct cn_node *at, const char *fmt,
                            ...)
{
	va_list ap;
	bool key = at->name_line != 0;

	va_start(ap, fmt);
	add(l, at->file, key ? at->name_line : at->line, key ? at->name_column : at->column,
	    fmt, ap);
	va_end(ap);
}

static int by_place(const void *pa, const void *pb)
{
	const struct cn_mistake *a = *(const struct cn_mistake *const *)pa;
	const struct cn_mistake *b = *(const struct cn_mistake *const *)pb;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->error.line != b->error.line)
		return a->error.line < b->error.line ? -1 : 1;
	if (a->error.column != b->error.column)
		return a->error.column < b->error.column ? -1 : 1;
	return a->at < b->at ? -1 : 1;
}

static bool same(const struct cn_mistake *a, const struct cn_mistake *b)
{
	return a->file == b->file && a->error.line == b->error.line &&
	       a->error.column == b->error.column &&
	       strcmp(a->error.message, b->error.message) == 0;
}

int cn_config__report(struct cn_load *l, struct cn_error *reterr)
{
	struct cn_mistake **sorted;
	size_t n = 0, kept = 0, all;

	if (l->n_mistakes == 0)
		return 0;
	sorted = cn_arena_alloc(&l->arena, l->n_kept * sizeof(struct cn_mistake *));
	for (struct cn_mistake *m = l->mistakes; m; m = m->next)
		sorted[n++] = m;
	qsort(sorted, n, sizeof(struct cn_mistake *), by_place);
	for (size_t i = 0; i < n; i++) {
		bool told = false;
		for (size_t j = kept;
		     !told && j > 0 && sorted[j - 1]->file == sorted[i]->file &&
		     sorted[j - 1]->error.line == sorted[i]->error.line;
		     j--)
			told = same(sorted[j - 1], sorted[i]);
		if (!told)
			sorted[kept++] = sorted[i];
	}
	if (l->opts && l->opts->on_mistake)
		for (size_t i = 0; i < kept; i++)
			l->opts->on_mistake(l->opts->self, &sorted[i]->error);
	all = l->n_mistakes - (n - kept);
	if (reterr) {
		*reterr = sorted[0]->error;
		if (all > 1)
			(void)cn_fail(reterr, CN_E_CONFIG, "%s (1 of %zu mistakes)",
			              sorted[0]->error.message, all);
		/* cn_fail() knows no place. */
		memcpy(reterr->file, sorted[0]->error.file, sizeof reterr->file);
		reterr->line = sorted[0]->error.line;
		reterr->column = sorted[0]->error.column;
	}
	return CN_E_CONFIG;
}

#define CN_SUGGEST_MAX 64 /* longer words are not compared */

/* Edits (insert, delete, replace, swap of neighbours) between two short texts, at most
 * limit + 1. */
static unsigned edits(struct cn_view a, struct cn_view b, unsigned limit)
{
	unsigned rows[3][CN_SUGGEST_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	if (a.n > CN_SUGGEST_MAX || b.n > CN_SUGGEST_MAX || a.n > b.n + limit ||
	    b.n > a.n + limit)
		return limit + 1;
	for (unsigned j = 0; j <= b.n; j++)
		last[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		now[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			unsigned best = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);
			if (best > last[j] + 1)
				best = last[j] + 1;
			if (best > now[j - 1] + 1)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && best > before[j - 2] + 1)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		unsigned *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b.n];
}

void cn_config__offer(struct cn_suggest *s, const char *name)
{
	/* A third of the word may be wrong: "opsu" is opus, "x" is nothing. */
	unsigned limit = s->word.n < 3 ? 0 : s->word.n < 6 ? 2 : (unsigned)s->word.n / 3;
	unsigned d;

	if (limit > 4)
		limit = 4;
	if (s->best && s->distance <= limit)
		limit = s->distance ? s->distance - 1 : 0;
	if (limit == 0 || (d = edits(s->word, cn_view_str(name), limit)) > limit)
		return;
	s->best = name;
	s->distance = d;
}

const char *cn_config__hint(struct cn_load *l, const struct cn_suggest *s,
                            const char *otherwise)
{
	return s->best ? cn_arena_printf(&l->arena, "did you mean '%s'?", s->best)
	               : otherwise;
}
