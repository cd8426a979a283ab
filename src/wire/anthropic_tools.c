/*
 * The tools of a Messages request, for backends that know no deferred ones, and
 * tool_choice, for those that leave the choice to the model.
 *
 * A deferred tool is declared but not shown to the model until a result refers to it.  For
 * a backend without that, one that was referred to or called is a plain tool, and any other
 * is not there (claude-code-client.md 3.1).  Pure.
 */
#include "anthropic_impl.h"

#include <stdlib.h>

static int by_text(const void *pa, const void *pb)
{
	const struct cn_view *a = pa, *b = pb;
	size_t n = a->n < b->n ? a->n : b->n;
	int c = n ? memcmp(a->p, b->p, n) : 0;

	return c ? c : (a->n > b->n) - (a->n < b->n);
}

static bool is_shown(struct cn_anthropic__body *b, struct cn_json tool)
{
	struct cn_view name;

	if (cn_json_get(tool, "defer_loading").kind != CN_JSON_TRUE)
		return true;
	name = cn_json_text(b->arena, cn_json_get(tool, "name"));
	return b->names.n && bsearch(&name, b->names.v, b->names.n, sizeof(name), by_text);
}

/* The one that must be called has to be there. */
static void note_choice(struct cn_anthropic__body *b)
{
	const struct cn_member *m = cn_request_member(b->r, "tool_choice");

	if (m)
		cn_anthropic__add_range(
		    b->arena, &b->names,
		    cn_json_text(b->arena, cn_json_get(m->value, "name")));
}

static void edit_declared(struct cn_anthropic__body *b)
{
	bool deferred = cn_anthropic__has(b, CN_QUIRK_NO_DEFERRED_TOOLS);
	bool markers = cn_anthropic__has(b, CN_QUIRK_NO_CACHE_CONTROL);
	const char *names[3] = {NULL};
	struct cn_anthropic__ranges wholes = {0};
	size_t n = 0;

	if (deferred)
		names[n++] = "defer_loading";
	if (markers)
		names[n++] = "cache_control";
	if (n == 0 || b->r->tools.kind != CN_JSON_ARRAY)
		return;
	note_choice(b);
	if (b->names.n)
		qsort(b->names.v, b->names.n, sizeof(*b->names.v), by_text);
	n = 0;
	for (struct cn_json_iter it = cn_json_iter(b->r->tools); cn_json_next(&it); n++)
		if (deferred && !is_shown(b, it.value))
			cn_anthropic__add_range(b->arena, &wholes, it.whole);
		else if (it.value.kind == CN_JSON_OBJECT)
			cn_anthropic__strip(b, it.value, names);
	if (wholes.n == 0 || wholes.n < n) {
		cn_patch_remove(&b->patches, b->r->body, b->r->tools, wholes.v, wholes.n);
		return;
	}
	cn_anthropic__lose(b, "tools");
	cn_anthropic__lose(b, "tool_choice");
}

/* Whether the model may think; those that can do so unless they are told not to. */
static bool may_think(const struct cn_anthropic__body *b)
{
	const struct cn_member *m = cn_request_member(b->r, "thinking");

	return !m || cn_anthropic__has(b, CN_QUIRK_ALWAYS_THINKS) ||
	       !cn_json_is(cn_json_get(m->value, "type"), "disabled");
}

static void edit_choice(struct cn_anthropic__body *b)
{
	static const char *const name[] = {"name", NULL};
	const struct cn_member *m = cn_request_member(b->r, "tool_choice");
	struct cn_json type =
	    cn_json_get(m ? m->value : (struct cn_json){.kind = CN_JSON_NONE}, "type");
	bool refused = cn_anthropic__has(b, CN_QUIRK_NO_TOOL_CHOICE);
	bool free = cn_anthropic__has(b, CN_QUIRK_AUTO_TOOL_CHOICE);

	if (!m)
		return;
	/* Without tools none is called. */
	if (cn_json_is(type, "none") && (refused || free)) {
		cn_anthropic__lose(b, "tools");
		refused = true;
	}
	if (refused)
		cn_anthropic__lose(b, "tool_choice");
	free |= cn_anthropic__has(b, CN_QUIRK_FREE_CHOICE_THINKING) && may_think(b);
	if (refused || !free || (!cn_json_is(type, "any") && !cn_json_is(type, "tool")))
		return;
	cn_patch_replace(&b->patches, b->r->body, type.raw, CN_VIEW("\"auto\""));
	cn_anthropic__strip(b, m->value, name);
}

void cn_anthropic__edit_tools(struct cn_anthropic__body *b)
{
	edit_declared(b);
	edit_choice(b);
}
