/*
 * YAML → a tree of nodes that know their place, from libfyaml's events: its documents hide
 * positions, aliases and tags, and follow neither of our limits.  What design/security.md 7
 * forbids (anchors, aliases, tags, keys given twice, depth, number of nodes) is found here.
 *
 * Owns the parser for the length of the call; the tree is in the load's arena.  Knows no
 * key of the policy.
 */
#include <stdlib.h>

#include <libfyaml.h>

#include "config_impl.h"

struct tree {
	struct cn_load *l;
	struct cn_config_file *file;
	struct cn_node *open[CN_CONFIG_MAX_DEPTH]; /* containers being filled */
	size_t depth;
	struct cn_node *pending[CN_CONFIG_MAX_DEPTH]; /* in a map: the key that waits */
	struct cn_node *root;
	size_t nodes;
	bool stop; /* a fatal mistake was reported */
};

struct place {
	unsigned line, column; /* from 1 */
};

static void check_scalar(struct cn_load *l, struct cn_node *n)
{
	if (memchr(n->text.p, 0, n->text.n)) {
		cn_config__mistake(l, n, "a NUL byte in a value; take it out");
		n->bad = true;
		return;
	}
	if (l->opts) /* the catalogue does not look at the environment */
		cn_config__expand(l, n);
	if (!n->bad && cn_config__looks_secret(n->text)) {
		cn_config__mistake(
		    l, n,
		    "this looks like a secret key; store it with 'continuo "
		    "vault set NAME', write 'key: vault:NAME' here, and renew "
		    "it at the provider");
		n->bad = true;
	}
}

/* ---- building ---- */

static void fatal(struct tree *t, unsigned line, unsigned column, const char *what)
{
	cn_config__mistake_at(t->l, t->file, line, column, "%s", what);
	t->stop = t->l->fatal = true;
}

/* Where a token begins for a reader: at its quote or sign, which libfyaml leaves out. */
static struct place place_of(struct fy_token *fyt, unsigned sign)
{
	const struct fy_mark *m = fyt ? fy_token_start_mark(fyt) : NULL;

	if (!m)
		return (struct place){1, 1};
	return (struct place){(unsigned)m->line + 1,
	                      (unsigned)m->column + 1 -
	                          ((unsigned)m->column < sign ? 0 : sign)};
}

static struct place event_place(const struct tree *t, struct fy_event *ev)
{
	const struct fy_mark *m;
	enum fy_scalar_style style;

	if (ev->type == FYET_ALIAS)
		return place_of(ev->alias.anchor, 1);
	if (ev->type == FYET_SCALAR && ev->scalar.value) {
		style = fy_scalar_token_get_style(ev->scalar.value);
		return place_of(ev->scalar.value,
		                style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED);
	}
	m = fy_event_start_mark(ev);
	if (m)
		return (struct place){(unsigned)m->line + 1, (unsigned)m->column + 1};
	/* An empty value has no place but its key's. */
	if (t->depth && t->pending[t->depth - 1])
		return (struct place){t->pending[t->depth - 1]->line,
		                      t->pending[t->depth - 1]->column};
	return (struct place){1, 1};
}

static struct cn_node *node_new(struct tree *t, enum cn_node_kind kind, struct place at)
{
	struct cn_node *n = cn_arena_new(&t->l->arena, struct cn_node);

	n->kind = kind;
	n->file = t->file;
	n->line = at.line;
	n->column = at.column;
	if (++t->nodes > CN_CONFIG_MAX_NODES && !t->stop)
		fatal(t, n->line, n->column,
		      "more than 10000 values in one file; split it");
	return n;
}

/* Puts a finished or opened node where it belongs; true when it became a map's key. */
static bool place(struct tree *t, struct cn_node *n)
{
	struct cn_node *in, *key;

	if (t->depth == 0) {
		t->root = n;
		return false;
	}
	in = t->open[t->depth - 1];
	if (in->kind == CN_NODE_MAP) {
		key = t->pending[t->depth - 1];
		if (!key) {
			t->pending[t->depth - 1] = n;
			return true;
		}
		n->name = key->text;
		n->name_line = key->line;
		n->name_column = key->column;
		t->pending[t->depth - 1] = NULL;
	}
	if (in->last)
		in->last->next = n;
	else
		in->first = n;
	in->last = n;
	in->n++;
	return false;
}

static void open_node(struct tree *t, enum cn_node_kind kind, struct fy_event *ev,
                      struct place at)
{
	struct cn_node *n = node_new(t, kind, at);
	const struct fy_mark *m = fy_event_start_mark(ev);

	n->from = n->end = m ? m->input_pos : 0;
	n->flow = n->from < t->file->text.n && strchr("{[", t->file->text.p[n->from]);

	if (t->stop)
		return;
	if (t->depth == CN_CONFIG_MAX_DEPTH) {
		fatal(t, n->line, n->column, "nested deeper than 32 levels; flatten it");
		return;
	}
	if (place(t, n)) {
		fatal(t, n->line, n->column,
		      "a key must be plain text; write 'name: value'");
		return;
	}
	t->open[t->depth] = n;
	t->pending[t->depth++] = NULL;
}

static int by_name(const void *pa, const void *pb)
{
	const struct cn_node *a = *(const struct cn_node *const *)pa;
	const struct cn_node *b = *(const struct cn_node *const *)pb;
	size_t n = a->name.n < b->name.n ? a->name.n : b->name.n;
	int c = n ? memcmp(a->name.p, b->name.p, n) : 0;

	if (c)
		return c;
	if (a->name.n != b->name.n)
		return a->name.n < b->name.n ? -1 : 1;
	if (a->name_line != b->name_line)
		return a->name_line < b->name_line ? -1 : 1;
	return a->name_column < b->name_column ? -1 : 1;
}

static void drop_doubles(struct cn_node *map)
{
	struct cn_node **at = &map->first;

	map->last = NULL;
	map->n = 0;
	while (*at) {
		if ((*at)->twice) {
			*at = (*at)->next;
			continue;
		}
		map->last = *at;
		map->n++;
		at = &(*at)->next;
	}
}

static void find_doubles(struct tree *t, struct cn_node *map)
{
	struct cn_node **sorted;
	size_t n = 0;
	bool any = false;

	if (map->n < 2)
		return;
	sorted = cn_alloc(map->n * sizeof(struct cn_node *));
	for (struct cn_node *c = map->first; c; c = c->next)
		sorted[n++] = c;
	qsort(sorted, n, sizeof(struct cn_node *), by_name);
	for (size_t i = 1, first = 0; i < n; i++) {
		if (!cn_view_eq(sorted[i]->name, sorted[first]->name)) {
			first = i;
			continue;
		}
		cn_config__mistake_key(
		    t->l, sorted[i], "'%.*s' stands here twice, first in line %u; keep one",
		    CN_SHOW(sorted[i]->name), sorted[first]->name_line);
		sorted[i]->twice = true;
		any = true;
	}
	free(sorted);
	if (any)
		drop_doubles(map);
}

static void close_node(struct tree *t, struct fy_event *ev)
{
	const struct fy_mark *m = fy_event_end_mark(ev);
	struct cn_node *n;

	cn_assert(t->depth > 0);
	n = t->open[--t->depth];
	if (m && n->flow)
		n->end = m->input_pos;
	if (n->kind == CN_NODE_MAP)
		find_doubles(t, n);
}

/* Its bytes in the file; libfyaml's marks leave the quotes out. */
static void measure(struct cn_node *n, struct fy_token *fyt)
{
	const struct fy_mark *from = fyt ? fy_token_start_mark(fyt) : NULL;
	const struct fy_mark *end = fyt ? fy_token_end_mark(fyt) : NULL;
	size_t quote = n->plain ? 0 : 1;

	if (!from || !end || from->input_pos < quote)
		return;
	n->from = from->input_pos - quote;
	n->end = end->input_pos + quote;
}

static void scalar(struct tree *t, struct fy_event *ev, struct place at)
{
	struct cn_node *n = node_new(t, CN_NODE_SCALAR, at);
	size_t len = 0;
	const char *p = ev->scalar.value ? fy_token_get_text(ev->scalar.value, &len) : NULL;

	if (t->stop)
		return;
	n->text = cn_view(cn_arena_dup(&t->l->arena, cn_view(p ? p : "", p ? len : 0)),
	                  p ? len : 0);
	n->plain =
	    !ev->scalar.value || fy_scalar_token_get_style(ev->scalar.value) == FYSS_PLAIN;
	measure(n, ev->scalar.value);
	if (place(t, n)) {
		if (n->text.n == 0 || memchr(n->text.p, 0, n->text.n))
			fatal(t, n->line, n->column,
			      "a key without a name; write 'name: value'");
		else if (cn_view_is(n->text, "<<") && n->plain)
			fatal(t, n->line, n->column,
			      "merge keys ('<<') are not taken; write the keys out");
		return;
	}
	check_scalar(t->l, n);
}

static void no_ornaments(struct tree *t, struct fy_event *ev)
{
	struct fy_token *anchor = fy_event_get_anchor_token(ev);
	struct fy_token *tag = fy_event_get_tag_token(ev);
	struct place at;

	if (anchor) {
		at = place_of(anchor, 1);
		cn_config__mistake_at(t->l, t->file, at.line, at.column,
		                      "anchors ('&name') are not taken; write the value "
		                      "where it is needed");
	}
	if (tag) {
		at = place_of(tag, 0);
		cn_config__mistake_at(
		    t->l, t->file, at.line, at.column,
		    "tags ('!type') are not taken; write the plain value");
	}
}

static void alias(struct tree *t, struct place at)
{
	struct cn_node *n = node_new(t, CN_NODE_SCALAR, at);

	cn_config__mistake_at(t->l, t->file, at.line, at.column,
	                      "aliases ('*name') are not taken; write the value out");
	n->bad = true;
	n->text = CN_VIEW("*");
	if (!t->stop)
		(void)place(t, n); /* as a key it is told already */
}

static void on_event(struct tree *t, struct fy_event *ev, unsigned *documents)
{
	struct place at = event_place(t, ev);

	switch (ev->type) {
	case FYET_DOCUMENT_START:
		if (++*documents > 1)
			fatal(t, at.line, at.column,
			      "a second document ('---'); use one file each");
		break;
	case FYET_MAPPING_START:
		no_ornaments(t, ev);
		open_node(t, CN_NODE_MAP, ev, at);
		break;
	case FYET_SEQUENCE_START:
		no_ornaments(t, ev);
		open_node(t, CN_NODE_LIST, ev, at);
		break;
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		close_node(t, ev);
		break;
	case FYET_SCALAR:
		no_ornaments(t, ev);
		scalar(t, ev, at);
		break;
	case FYET_ALIAS:
		alias(t, at);
		break;
	case FYET_NONE:
	case FYET_STREAM_START:
	case FYET_STREAM_END:
	case FYET_DOCUMENT_END:
		break;
	}
}

/* What libfyaml found wrong, at its place. */
static void report_syntax(struct tree *t, struct fy_diag *diag)
{
	void *at = NULL;
	struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at);

	t->l->fatal = true;
	if (!e) {
		cn_config__mistake_at(t->l, t->file, 1, 1, "this is no YAML");
		return;
	}
	cn_config__mistake_at(t->l, t->file, e->line > 0 ? (unsigned)e->line : 1,
	                      e->column > 0 ? (unsigned)e->column : 1,
	                      "this is no YAML (%s); look at the indentation, brackets and "
	                      "quotes before it",
	                      e->msg ? e->msg : "unreadable");
}

struct cn_node *cn_config__parse(struct cn_load *l, struct cn_config_file *f)
{
	struct tree t = {.l = l, .file = f};
	struct fy_diag_cfg dcfg;
	struct fy_event *ev;
	unsigned documents = 0;

	if (!cn_config__clean(l, f))
		return NULL;
	fy_diag_cfg_default(&dcfg);
	dcfg.fp = NULL;
	struct fy_diag *diag = fy_diag_create(&dcfg);
	cn_assert(diag != NULL);
	fy_diag_set_collect_errors(diag, true);
	struct fy_parse_cfg cfg = {.search_path = "",
	                           .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG |
	                                    FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE |
	                                    FYPCF_DISABLE_RECYCLING,
	                           .diag = diag};
	struct fy_parser *p = fy_parser_create(&cfg);
	cn_assert(p != NULL);
	if (f->text.n > 0 && fy_parser_set_string(p, f->text.p, f->text.n) == 0) {
		while (!t.stop && (ev = fy_parser_parse(p))) {
			on_event(&t, ev, &documents);
			fy_parser_event_free(p, ev);
		}
		if (!t.stop && fy_parser_get_stream_error(p)) {
			report_syntax(&t, diag);
			t.stop = true;
		}
	}
	fy_parser_destroy(p);
	fy_diag_destroy(diag);
	return t.stop ? NULL : t.root;
}

struct cn_node *cn_config__find(const struct cn_node *map, const char *name)
{
	if (map && map->kind == CN_NODE_MAP)
		for (struct cn_node *c = map->first; c; c = c->next)
			if (cn_view_is(c->name, name))
				return c;
	return NULL;
}
