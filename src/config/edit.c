/*
 * Changes in the text of policy files: one key of one entry at a time, in the file and in
 * the form (block or brackets) in which the entry stands, so that comments, order and
 * everything else stay as a person wrote them.
 *
 * Reads files, writes none (save.c does).  Thread of the caller.  What comes out is loaded
 * before it is given away: whatever is wrong with it is found here.
 */
#include "config_impl.h"

/* One range of a file's text and what stands there instead. */
struct patch {
	const struct cn_config_file *file;
	size_t at, n;
	const char *with; /* in arena */
};

struct edit {
	struct cn_load load;
	struct cn_arena *arena; /* borrowed: of the result */
	struct patch *patches;  /* in the load's arena; at most one a change */
	size_t n;
};

/* ---- where ---- */

/* Where the last byte of what a node holds stands. */
static size_t end_of(const struct cn_node *n)
{
	while (n->kind != CN_NODE_SCALAR && !n->flow && n->last)
		n = n->last;
	return n->end;
}

/* The end of the line that a byte stands in, before its line end. */
static size_t line_end(struct cn_view text, size_t at)
{
	while (at < text.n && text.p[at] != '\n')
		at++;
	if (at > 0 && at < text.n && text.p[at - 1] == '\r')
		at--;
	return at;
}

static const char *newline_of(struct cn_view text)
{
	return cn_view_find(text, CN_VIEW("\r\n"), 0) == SIZE_MAX ? "\n" : "\r\n";
}

static void put(struct edit *e, const struct cn_node *in, size_t at, size_t n,
                const char *with)
{
	e->patches[e->n++] = (struct patch){in->file, at, n, with};
}

/* ---- one change ---- */

/* A line of its own behind what a block holds, indented as the block's other lines. */
static void add_line(struct edit *e, const struct cn_node *block, unsigned column,
                     const char *line)
{
	struct cn_view text = block->file->text;

	put(e, block, line_end(text, end_of(block)), 0,
	    cn_arena_printf(&e->load.arena, "%s%*s%s", newline_of(text), (int)column - 1,
	                    "", line));
}

static const char *join(struct edit *e, const struct cn_config_change *c,
                        const char *before)
{
	CN_AUTO(cn_buf) b = {0};

	for (size_t i = 0; i < c->n_more; i++)
		cn_buf_printf(&b, "%s%s", before, c->more[i]);
	return cn_arena_dup(&e->load.arena, cn_buf_view(&b));
}

static void add_items(struct edit *e, const struct cn_node *list,
                      const struct cn_config_change *c)
{
	const char *before;

	if (list->flow) {
		put(e, list, list->n ? end_of(list->last) : list->from + 1, 0,
		    cn_arena_printf(&e->load.arena, "%s%s", list->n ? ", " : "",
		                    join(e, c, ", ") + 2));
		return;
	}
	before = cn_arena_printf(&e->load.arena, "%s%*s- ", newline_of(list->file->text),
	                         (int)list->column - 1, "");
	put(e, list, line_end(list->file->text, end_of(list)), 0, join(e, c, before));
}

static int refuse(const struct cn_node *n, const struct cn_config_change *c,
                  struct cn_error *reterr)
{
	int r = cn_fail(reterr, CN_E_CONFIG,
	                "%s of %s cannot be changed in the form that it has here; write "
	                "%s: %s",
	                c->key, c->name, c->key, c->value);

	if (reterr) {
		(void)snprintf(reterr->file, sizeof reterr->file, "%s", n->file->name);
		reterr->line = n->line;
		reterr->column = n->column;
	}
	return r;
}

static int change(struct edit *e, const struct cn_node *root,
                  const struct cn_config_change *c, struct cn_error *reterr)
{
	struct cn_node *entry = cn_config__find(cn_config__find(root, c->section), c->name);
	struct cn_node *value = cn_config__find(entry, c->key);
	const char *line = cn_arena_printf(&e->load.arena, "%s: %s", c->key, c->value);

	if (!entry)
		return cn_fail(reterr, CN_E_NOT_FOUND, "no %s in %s", c->name, c->section);
	if (value && value->kind == CN_NODE_LIST && c->n_more) {
		add_items(e, value, c);
		return 0;
	}
	if (value && (value->kind == CN_NODE_SCALAR || value->flow) &&
	    value->end > value->from) {
		put(e, value, value->from, value->end - value->from, c->value);
		return 0;
	}
	if (value || entry->kind != CN_NODE_MAP || !entry->n)
		return refuse(entry, c, reterr);
	if (entry->flow)
		put(e, entry, end_of(entry->last), 0,
		    cn_arena_printf(&e->load.arena, ", %s", line));
	else
		add_line(e, entry, entry->first->name_column, line);
	return 0;
}

/* ---- all of them ---- */

/* The file with its patches, which are few: each time the first that is left. */
static struct cn_view patched(struct edit *e, const struct cn_config_file *f)
{
	CN_AUTO(cn_buf) b = {0};
	size_t at = 0;

	for (size_t left = e->n; left > 0; left--) {
		struct patch *next = NULL;

		for (size_t i = 0; i < e->n; i++) {
			struct patch *p = &e->patches[i];

			if (p->file == f && (!next || p->at < next->at))
				next = p;
		}
		if (!next)
			break;
		cn_assert(next->at >= at);
		cn_buf_add(&b, f->text.p + at, next->at - at);
		cn_buf_add_str(&b, next->with);
		at = next->at + next->n;
		next->file = NULL;
	}
	cn_buf_add_view(&b, cn_view_from(f->text, at));
	return cn_arena_view(e->arena, cn_buf_view(&b));
}

static bool is_patched(const struct edit *e, const struct cn_config_file *f)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->patches[i].file == f)
			return true;
	return false;
}

static struct cn_config_texts give(struct edit *e)
{
	struct cn_config_texts ret = {
	    .v = cn_arena_zalloc(e->arena, (e->load.n_files + 1) * sizeof *ret.v)};

	for (size_t i = 0; i < e->load.n_files; i++) {
		const struct cn_config_file *f = e->load.files[i];

		if (!is_patched(e, f))
			continue;
		ret.v[ret.n].path = cn_arena_dup(e->arena, cn_view_str(f->name));
		ret.v[ret.n].was = cn_arena_view(e->arena, f->text);
		ret.v[ret.n++].text = patched(e, f);
	}
	return ret;
}

/* What would come of it, as every later start will read it. */
static int try_it(const struct cn_config_opts *opts, const struct cn_config_texts *texts,
                  struct cn_error *reterr)
{
	struct cn_config_opts with = *opts;
	struct cn_policy *p;
	int bad;

	with.texts = texts->v;
	with.n_texts = texts->n;
	bad = cn_config_load(&with, &p, reterr);
	if (!bad)
		cn_policy_unref(p);
	return bad;
}

int cn_config_edit(struct cn_arena *a, const struct cn_config_opts *opts,
                   const struct cn_config_change *changes, size_t n,
                   struct cn_config_texts *ret, struct cn_error *reterr)
{
	struct edit e = {.load = {.opts = opts}, .arena = a};
	struct cn_node *root = cn_config__read_all(&e.load);
	struct cn_config_texts texts = {NULL, 0};
	int bad = cn_config__report(&e.load, reterr);

	e.patches = cn_arena_alloc(&e.load.arena, (n + 1) * sizeof *e.patches);
	for (size_t i = 0; !bad && i < n; i++)
		bad = change(&e, root, &changes[i], reterr);
	if (!bad) {
		texts = give(&e);
		bad = try_it(opts, &texts, reterr);
	}
	if (!bad)
		*ret = texts;
	cn_arena_done(&e.load.arena);
	return bad;
}
