/*
 * What `continuo probe` found, put into the policy: which keys say otherwise now, the
 * change in the files, and what it was, line by line.
 *
 * Main thread; blocks on files.  How a text is edited is config/edit.c's.
 */
#include "probe_impl.h"

#include <inttypes.h>
#include <string.h>

#define CN_LOOK_AHEAD 64 /* lines: more than any change adds in one place */

/* ---- what changes ---- */

static struct cn_config_change *add(struct cn_cli *cli, struct cn_findings *to)
{
	if (to->n == to->cap) {
		size_t cap = to->cap ? 2 * to->cap : 16;
		struct cn_config_change *v = cn_arena_zalloc(&cli->arena, cap * sizeof(*v));

		if (to->n)
			memcpy(v, to->v, to->n * sizeof(*v));
		to->v = v;
		to->cap = cap;
	}
	return &to->v[to->n++];
}

static void set(struct cn_cli *cli, struct cn_findings *to, const char *model,
                const char *key, const char *value)
{
	*add(cli, to) = (struct cn_config_change){
	    .section = "models", .name = model, .key = key, .value = value};
}

static void set_bool(struct cn_cli *cli, struct cn_findings *to, const char *model,
                     const char *key, enum cn_tristate found)
{
	set(cli, to, model, key, found == CN_YES ? "true" : "false");
}

void cn_cli__findings(struct cn_cli *cli, const struct cn_probe_report *r,
                      struct cn_findings *to)
{
	const struct cn_probe_learned *l = &r->learned;
	const struct cn_model *m = r->model;

	if (l->has_continuation && l->continuation != m->continuation)
		set(cli, to, m->name, "continuation",
		    l->continuation == CN_CONTINUE_PREFILL ? "prefill" : "instruct");
	if (l->thinking != CN_ANY && (l->thinking == CN_YES) != m->thinking)
		set_bool(cli, to, m->name, "thinking", l->thinking);
	if (l->images != CN_ANY && (l->images == CN_YES) != m->images)
		set_bool(cli, to, m->name, "images", l->images);
	if (l->tools == CN_NO && m->tools > 0)
		set_bool(cli, to, m->name, "tools", CN_NO);
	if (l->max_output)
		set(cli, to, m->name, "max_output",
		    cn_arena_printf(&cli->arena, "%" PRIu64, l->max_output));
	if (l->has_stream && l->stream == CN_STREAM_NEVER && m->stream != CN_STREAM_NEVER)
		set(cli, to, m->name, "stream", "never");
	if (l->tool_format)
		set(cli, to, m->name, "tool_format", l->tool_format);
}

static const char *quirk_name(enum cn_quirk q)
{
	static const char *const names[] = {
#define X(symbol, name, meaning) name,
	    CN_QUIRKS(X)
#undef X
	};

	return names[q];
}

/* All that it has then, as a list, and the new ones one by one. */
static void add_quirks(struct cn_cli *cli, const struct cn_backend *b, uint64_t found,
                       struct cn_findings *to)
{
	const char **more = cn_arena_alloc(&cli->arena, CN_N_QUIRKS * sizeof(*more));
	struct cn_config_change *c = add(cli, to);
	CN_AUTO(cn_buf) all = {0};

	*c = (struct cn_config_change){
	    .section = "backends", .name = b->name, .key = "quirks", .more = more};
	for (int q = 0; q < CN_N_QUIRKS; q++) {
		uint64_t bit = cn_quirk_bit((enum cn_quirk)q);

		if ((b->quirks | found) & bit)
			cn_buf_printf(&all, "%s%s", all.n ? ", " : "[",
			              quirk_name((enum cn_quirk)q));
		if (found & bit)
			more[c->n_more++] = quirk_name((enum cn_quirk)q);
	}
	cn_buf_add_char(&all, ']');
	c->value = cn_arena_dup(&cli->arena, cn_buf_view(&all));
}

void cn_cli__findings_of_backends(struct cn_cli *cli, const struct cn_policy *p,
                                  const struct cn_probe_report *reports, size_t n,
                                  struct cn_findings *to)
{
	for (size_t i = 0; i < p->n_backends; i++) {
		const struct cn_backend *b = &p->backends[i];
		uint64_t found = 0;

		for (size_t j = 0; j < n; j++)
			if (reports[j].model->backend == b)
				found |= reports[j].learned.quirks;
		found &= ~b->quirks;
		if (found)
			add_quirks(cli, b, found, to);
	}
}

void cn_cli__add_finding(struct cn_buf *b, const struct cn_config_change *c)
{
	cn_buf_printf(b, "%s.%s.%s: ", c->section, c->name, c->key);
	if (!c->n_more)
		cn_buf_add_str(b, c->value);
	for (size_t i = 0; i < c->n_more; i++)
		cn_buf_printf(b, "%s%s", i ? ", " : "+ ", c->more[i]);
}

/* ---- what it was, line by line ---- */

static bool line(struct cn_view *rest, struct cn_view *ret)
{
	return cn_view_split(rest, '\n', ret) && (ret->n || rest->p);
}

/* How many lines further on the new text has that line; SIZE_MAX: not soon. */
static size_t ahead(struct cn_view rest, struct cn_view wanted)
{
	struct cn_view l;

	for (size_t i = 0; i < CN_LOOK_AHEAD && line(&rest, &l); i++)
		if (cn_view_eq(l, wanted))
			return i;
	return SIZE_MAX;
}

static void show(struct cn_cli *cli, FILE *f, char sign, struct cn_view text)
{
	fprintf(f, "%c%s\n", sign, cn_cli__clean(cli, text));
}

/* Lines are replaced in place or added, never moved: that is all that edits do. */
static void show_file(struct cn_cli *cli, FILE *f, const struct cn_config_text *t)
{
	struct cn_view was = t->was, now = t->text, a, b;
	unsigned number = 1, shown = 0; /* the line that was shown last */
	bool has_a = line(&was, &a);

	fprintf(f, "--- %s\n+++ %s\n", t->path, t->path);
	for (; line(&now, &b); number++) {
		if (has_a && cn_view_eq(a, b)) {
			has_a = line(&was, &a);
			continue;
		}
		if (!shown || number != shown + 1)
			fprintf(f, "@@ line %u @@\n", number);
		shown = number;
		if (has_a && ahead(now, a) == SIZE_MAX) {
			show(cli, f, '-', a);
			has_a = line(&was, &a);
		}
		show(cli, f, '+', b);
	}
}

int cn_cli__write_findings(struct cn_cli *cli, const struct cn_policy *p,
                           const struct cn_findings *findings, FILE *f,
                           struct cn_error *reterr)
{
	struct cn_config_opts opts = {.path = p->file};
	struct cn_config_texts texts = {NULL, 0};
	int bad =
	    cn_config_edit(&cli->arena, &opts, findings->v, findings->n, &texts, reterr);

	for (size_t i = 0; !bad && i < texts.n; i++) {
		bad = cn_config_save(&texts.v[i], reterr);
		if (!bad)
			show_file(cli, f, &texts.v[i]);
	}
	return bad;
}
