/*
 * The ledger: the blocks of a turn with their content, which model wrote each, and how much
 * of it the client has.  It is what a failure after commit is decided on, what a client
 * that did not stream is answered from, and what the history keeps.
 *
 * Owns the blocks and the bytes charged for them.  Writes no events: that is splice.c.
 */
#include "splice_impl.h"

#include <string.h>

struct cn_view cn_splice__type(enum cn_block_type type)
{
	switch (type) {
	case CN_BLOCK_TEXT:
		return CN_VIEW("text");
	case CN_BLOCK_THINKING:
		return CN_VIEW("thinking");
	case CN_BLOCK_REDACTED_THINKING:
		return CN_VIEW("redacted_thinking");
	case CN_BLOCK_TOOL_USE:
		return CN_VIEW("tool_use");
	case CN_BLOCK_SERVER_TOOL:
		return CN_VIEW("server_tool_use");
	case CN_BLOCK_OTHER:
		return CN_VIEW("other");
	}
	return CN_VIEW("other");
}

struct cn_block *cn_splice__block_new(struct cn_splice *s, const struct cn_event *ev)
{
	struct cn_view start, id, name;
	struct cn_block *b;

	if (!cn_splice__keep(s, ev->raw, &start) || !cn_splice__keep(s, ev->id, &id) ||
	    !cn_splice__keep(s, ev->name, &name))
		return NULL;
	b = cn_zalloc(sizeof(*b));
	cn_list_init(&b->link);
	b->type = ev->block;
	b->author = s->author;
	b->start = start;
	b->id = id;
	b->name = name;
	cn_list_append(&s->blocks, &b->link);
	s->n_blocks++;
	return b;
}

void cn_splice__block_free(struct cn_splice *s, struct cn_block *block)
{
	size_t n = block->body.n + block->signature.n + block->extra.n;

	cn_list_remove(&block->link);
	s->n_blocks--;
	cn_charge_release(s->opts.charge, n);
	s->charged -= n;
	cn_buf_done(&block->body);
	cn_buf_done(&block->signature);
	cn_buf_done(&block->extra);
	free(block->parts);
	free(block);
}

bool cn_splice__keep(struct cn_splice *s, struct cn_view bytes, struct cn_view *ret)
{
	if (!cn_charge_take(s->opts.charge, bytes.n))
		return false;
	s->kept += bytes.n;
	*ret = cn_arena_view(&s->arena, bytes);
	return true;
}

bool cn_splice__add(struct cn_splice *s, struct cn_buf *to, struct cn_view bytes)
{
	if (!cn_charge_take(s->opts.charge, bytes.n))
		return false;
	s->charged += bytes.n;
	cn_buf_add_view(to, bytes);
	return true;
}

/* Members of a block's start object that its content takes the place of. */
static bool superseded(const struct cn_block *block, struct cn_view key)
{
	switch (block->type) {
	case CN_BLOCK_TEXT:
		return cn_json_key_is(key, "text") ||
		       (block->extra.n > 0 && cn_json_key_is(key, "citations"));
	case CN_BLOCK_THINKING:
		return cn_json_key_is(key, "thinking") || cn_json_key_is(key, "signature");
	case CN_BLOCK_TOOL_USE:
		return cn_json_key_is(key, "input") || cn_json_key_is(key, "id");
	case CN_BLOCK_SERVER_TOOL:
		return block->body.n > 0 && cn_json_key_is(key, "input");
	case CN_BLOCK_REDACTED_THINKING:
	case CN_BLOCK_OTHER:
		return false;
	}
	return false;
}

/* Deltas of other types: citations gather in an array, members of the rest stand in the
 * block. */
static void add_extra(const struct cn_block *block, struct cn_buf *b)
{
	CN_AUTO(cn_buf) list = {0};
	CN_AUTO(cn_buf) citations = {0};

	if (block->extra.n == 0)
		return;
	cn_buf_add_char(&list, '[');
	cn_buf_add_view(&list, cn_buf_view(&block->extra));
	cn_buf_add_char(&list, ']');
	for (struct cn_json_iter it = cn_json_iter(cn_json_root(cn_buf_view(&list)));
	     cn_json_next(&it);) {
		struct cn_json citation = cn_json_get(it.value, "citation");

		if (citation.kind != CN_JSON_NONE) {
			cn_buf_add_char(&citations, citations.n ? ',' : '[');
			cn_buf_add_view(&citations, citation.raw);
			continue;
		}
		for (struct cn_json_iter m = cn_json_iter(it.value); cn_json_next(&m);) {
			if (cn_json_key_is(m.key, "type"))
				continue;
			cn_buf_add_char(b, ',');
			cn_buf_add_view(b, m.whole);
		}
	}
	if (citations.n) {
		cn_buf_add_char(&citations, ']');
		cn_json_add_raw(b, "citations", cn_buf_view(&citations));
	}
}

void cn_splice__block_json(const struct cn_block *block, struct cn_buf *b)
{
	struct cn_json start = cn_json_root(block->start);
	bool typed = false;

	cn_buf_add_char(b, '{');
	for (struct cn_json_iter it = cn_json_iter(start); cn_json_next(&it);) {
		if (superseded(block, it.key))
			continue;
		if (cn_json_key_is(it.key, "type"))
			typed = true;
		if (b->p[b->n - 1] != '{')
			cn_buf_add_char(b, ',');
		cn_buf_add_view(b, it.whole);
	}
	if (!typed)
		cn_json_add_text(b, "type", cn_splice__type(block->type));
	switch (block->type) {
	case CN_BLOCK_TEXT:
		cn_json_add_text(b, "text", cn_buf_view(&block->body));
		break;
	case CN_BLOCK_THINKING:
		cn_json_add_text(b, "thinking", cn_buf_view(&block->body));
		cn_json_add_text(b, "signature", cn_buf_view(&block->signature));
		break;
	case CN_BLOCK_TOOL_USE:
		cn_json_add_text(b, "id", block->id);
		if (cn_json_get(start, "name").kind == CN_JSON_NONE)
			cn_json_add_text(b, "name", block->name);
		cn_json_add_raw(b, "input",
		                block->body.n ? cn_buf_view(&block->body) : CN_VIEW("{}"));
		break;
	case CN_BLOCK_SERVER_TOOL:
		if (block->body.n)
			cn_json_add_raw(b, "input", cn_buf_view(&block->body));
		break;
	case CN_BLOCK_REDACTED_THINKING:
	case CN_BLOCK_OTHER:
		break;
	}
	add_extra(block, b);
	cn_buf_add_char(b, '}');
}

void cn_splice_content(const struct cn_splice *s, bool whole_only, struct cn_buf *b)
{
	bool first = true;

	cn_buf_add_char(b, '[');
	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (!block->given || (whole_only && !block->whole))
			continue;
		/* A call's or server call's input that was cut is no JSON. */
		if (!block->whole && (block->type == CN_BLOCK_TOOL_USE ||
		                      block->type == CN_BLOCK_SERVER_TOOL))
			continue;
		if (!first)
			cn_buf_add_char(b, ',');
		first = false;
		cn_splice__block_json(block, b);
	}
	cn_buf_add_char(b, ']');
}

void cn_splice_blocks(const struct cn_splice *s,
                      void (*each)(void *self, const struct cn_block *block), void *self)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (block->given)
			each(self, block);
	}
}

size_t cn_splice_given(const struct cn_splice *s)
{
	return s->n_given;
}

bool cn_splice_called(const struct cn_splice *s)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (block->given && block->whole && block->type == CN_BLOCK_TOOL_USE)
			return true;
	}
	return false;
}

bool cn_splice_may_go_on(const struct cn_splice *s)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (!block->given)
			continue;
		switch (block->type) {
		case CN_BLOCK_TEXT:
		case CN_BLOCK_THINKING:
		case CN_BLOCK_REDACTED_THINKING:
			break;
		/* The client acts on it, or it is work that only its provider knows. */
		case CN_BLOCK_TOOL_USE:
		case CN_BLOCK_SERVER_TOOL:
		case CN_BLOCK_OTHER:
			return false;
		}
	}
	return true;
}

/* A call given live that was not whole: it never can be. */
static bool tool_open(const struct cn_splice *s)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (block->given && !block->whole && block->type == CN_BLOCK_TOOL_USE)
			return true;
	}
	return false;
}

enum cn_fate cn_splice_fate(const struct cn_splice *s)
{
	if (s->ended)
		return CN_FATE_END;
	if (tool_open(s))
		return CN_FATE_FAIL;
	if (cn_splice_called(s))
		return CN_FATE_TOOL_USE;
	if (s->stop_reason.n && s->n_open == 0 && !s->broken)
		return CN_FATE_END;
	return cn_splice_may_go_on(s) ? CN_FATE_CONTINUE : CN_FATE_FAIL;
}

void cn_splice_text(const struct cn_splice *s, struct cn_buf *b)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (!block->given || block->type != CN_BLOCK_TEXT || block->body.n == 0)
			continue;
		if (b->n)
			cn_buf_add_str(b, "\n\n");
		cn_buf_add_view(b, cn_buf_view(&block->body));
	}
}

/* The last text block given that is more than white space. */
static const struct cn_block *last_text(const struct cn_splice *s)
{
	const struct cn_block *last = NULL;

	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (block->given && block->type == CN_BLOCK_TEXT &&
		    cn_joint_trim(cn_buf_view(&block->body)).n)
			last = block;
	}
	return last;
}

void cn_splice_partial(const struct cn_splice *s, struct cn_buf *b)
{
	const struct cn_block *last = last_text(s);

	cn_buf_add_char(b, '[');
	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *block = cn_container_of(link, struct cn_block, link);
		struct cn_view text = cn_buf_view(&block->body);

		if (!last)
			break;
		if (!block->given || block->type != CN_BLOCK_TEXT ||
		    cn_joint_trim(text).n == 0)
			continue;
		if (b->p[b->n - 1] != '[')
			cn_buf_add_char(b, ',');
		cn_buf_add_str(b, "{\"type\":\"text\"");
		cn_json_add_text(b, "text", block == last ? cn_joint_trim(text) : text);
		cn_buf_add_char(b, '}');
		if (block == last)
			break;
	}
	cn_buf_add_char(b, ']');
}
