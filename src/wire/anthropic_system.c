/*
 * The system prompt of a Messages request: the policy's own prompt before, behind or in
 * place of the client's; the client's attribution line, which means something to Anthropic
 * alone and stands first there; and all of it moved into the first user message for
 * backends that would drop it.
 *
 * The client's blocks are taken over byte by byte, so what comes out is the same on every
 * turn as long as what came in is.  Pure.
 */
#include "anthropic_impl.h"

static const char *const marker_names[] = {"cache_control", NULL};

struct prompt {
	struct cn_anthropic__body *body; /* borrowed */
	struct cn_buf blocks;            /* owned; raw, with commas between */
	struct cn_json marker;           /* of the last block that is replaced */
	bool told;                       /* the policy's prompt stands there */
};

static bool is_attribution(struct cn_json block)
{
	return cn_wire__is_attribution(cn_json_get(block, "text"));
}

static bool has_attribution(struct cn_json system)
{
	if (system.kind != CN_JSON_ARRAY)
		return false;
	for (struct cn_json_iter it = cn_json_iter(system); cn_json_next(&it);)
		if (is_attribution(it.value))
			return true;
	return false;
}

static void add_comma(struct cn_buf *b)
{
	if (b->n)
		cn_buf_add_char(b, ',');
}

static void tell(struct prompt *p)
{
	const struct cn_edit *edit = p->body->edit;

	add_comma(&p->blocks);
	cn_buf_add_str(&p->blocks, "{\"type\":\"text\"");
	cn_json_add_text(&p->blocks, "text", edit->prompt);
	if (p->marker.kind != CN_JSON_NONE)
		cn_json_add_raw(&p->blocks, "cache_control", p->marker.raw);
	cn_buf_add_char(&p->blocks, '}');
	p->told = true;
}

/* A block as it came, but for a marker that the backend would refuse. */
static void keep(struct prompt *p, struct cn_json block)
{
	add_comma(&p->blocks);
	if (!cn_anthropic__has(p->body, CN_QUIRK_NO_CACHE_CONTROL) ||
	    cn_json_get(block, marker_names[0]).kind == CN_JSON_NONE) {
		cn_buf_add_view(&p->blocks, block.raw);
		return;
	}
	cn_buf_add_char(&p->blocks, '{');
	for (struct cn_json_iter it = cn_json_iter(block); cn_json_next(&it);) {
		if (cn_json_key_is(it.key, marker_names[0]))
			continue;
		if (p->blocks.p[p->blocks.n - 1] != '{')
			cn_buf_add_char(&p->blocks, ',');
		cn_buf_add_view(&p->blocks, it.whole);
	}
	cn_buf_add_char(&p->blocks, '}');
}

static void take(struct prompt *p, struct cn_json block)
{
	enum cn_prompt_how how = p->body->edit->prompt_how;
	struct cn_json marker;

	/* There is no other in a system prompt, but might be in a message. */
	if (cn_anthropic__has(p->body, CN_QUIRK_FOLD_SYSTEM) &&
	    !cn_json_is(cn_json_get(block, "type"), "text"))
		return;
	if (is_attribution(block)) {
		if (!cn_anthropic__has(p->body, CN_QUIRK_NO_ATTRIBUTION))
			keep(p, block);
		return;
	}
	if (how == CN_PROMPT_REPLACE) {
		marker = cn_json_get(block, marker_names[0]);
		if (marker.kind == CN_JSON_OBJECT &&
		    !cn_anthropic__has(p->body, CN_QUIRK_NO_CACHE_CONTROL))
			p->marker = marker;
		return;
	}
	if (how == CN_PROMPT_PREPEND && !p->told)
		tell(p);
	keep(p, block);
}

static void take_all(struct prompt *p, struct cn_json system)
{
	struct cn_arena *a = p->body->arena;

	for (struct cn_json_iter it = cn_json_iter(system); cn_json_next(&it);)
		take(p, it.value);
	if (cn_wire__inside(system).n)
		take(p, cn_json_root(cn_view_str(
			    cn_arena_printf(a, "{\"type\":\"text\",\"text\":%.*s}",
		                            CN_VIEW_ARG(system.raw)))));
	if (!p->told && p->body->edit->prompt_how != CN_PROMPT_NONE)
		tell(p);
}

/* Nothing is said in other words, but markers may have to go. */
static void strip_markers(struct cn_anthropic__body *b)
{
	if (b->r->system.kind != CN_JSON_ARRAY ||
	    !cn_anthropic__has(b, CN_QUIRK_NO_CACHE_CONTROL))
		return;
	for (struct cn_json_iter it = cn_json_iter(b->r->system); cn_json_next(&it);)
		if (it.value.kind == CN_JSON_OBJECT)
			cn_anthropic__strip(b, it.value, marker_names);
}

void cn_anthropic__edit_system(struct cn_anthropic__body *b)
{
	struct prompt p = {.body = b};
	bool fold = cn_anthropic__has(b, CN_QUIRK_FOLD_SYSTEM);
	struct cn_view blocks;

	if (cn_anthropic__is_lost(b, CN_VIEW("system")))
		return;
	if (b->edit->prompt_how == CN_PROMPT_NONE && !fold &&
	    !(cn_anthropic__has(b, CN_QUIRK_NO_ATTRIBUTION) &&
	      has_attribution(b->r->system))) {
		strip_markers(b);
		return;
	}
	take_all(&p, b->r->system);
	blocks = cn_arena_view(b->arena, cn_buf_view(&p.blocks));
	cn_buf_done(&p.blocks);
	if (fold)
		b->opening = blocks;
	if (fold || blocks.n == 0)
		cn_anthropic__lose(b, "system");
	else
		cn_anthropic__set(
		    b, "system",
		    cn_view_str(cn_arena_printf(b->arena, "[%.*s]", CN_VIEW_ARG(blocks))));
}
