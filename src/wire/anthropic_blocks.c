/*
 * Content blocks that a Messages backend does not know, as text: documents, search results,
 * references to tools, and what tools said that a provider ran itself.  What can be read of
 * them stays readable; of the rest it is said that it is not there.
 *
 * Only the places are looked at where the API has blocks.  Pure.
 */
#include "anthropic_impl.h"

#define CN_READABLE_DEPTH 5 /* no block has text deeper; each level is read once more */

/* What there is to know of one block, whatever the order of its members. */
struct block {
	struct cn_json type, name, tool_name, content, marker;
};

static struct block read_block(struct cn_json json)
{
	struct block b = {.type = {.kind = CN_JSON_NONE}};

	for (struct cn_json_iter it = cn_json_iter(json); cn_json_next(&it);)
		if (cn_wire__says(it.key, CN_VIEW("type")))
			b.type = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("name")))
			b.name = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("tool_name")))
			b.tool_name = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("content")))
			b.content = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("cache_control")))
			b.marker = it.value;
	return b;
}

/* ---- what can be read ---- */

/* Strings of those names are for people; not data, ids, hashes and signatures. */
static bool is_prose(struct cn_view key, bool plain_source)
{
	static const struct cn_view keys[] = {
	    {"title", 5},   {"url", 3},     {"source", 6},    {"context", 7},
	    {"text", 4},    {"content", 7}, {"stdout", 6},    {"stderr", 6},
	    {"query", 5},   {"name", 4},    {"tool_name", 9}, {"error_code", 10},
	    {"command", 7}, {"code", 4},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (cn_wire__says(key, keys[i]))
			return true;
	return plain_source && cn_wire__says(key, CN_VIEW("data"));
}

static void add_prose(struct cn_buf *to, struct cn_json v, unsigned depth)
{
	bool plain = cn_json_is(cn_json_get(v, "type"), "text");

	for (struct cn_json_iter it = cn_json_iter(v); cn_json_next(&it);) {
		struct cn_view inside = cn_wire__inside(it.value);
		bool array = v.kind == CN_JSON_ARRAY;

		if (inside.n && !array && is_prose(it.key, plain)) {
			cn_buf_add_str(to, "\\n");
			cn_buf_add_view(to, inside);
		} else if (depth && (it.value.kind == CN_JSON_OBJECT ||
		                     it.value.kind == CN_JSON_ARRAY)) {
			add_prose(to, it.value, depth - 1);
		}
	}
}

/* What a model is not given of a document; text is all that is taken over. */
static bool is_left_out(struct cn_json block)
{
	struct cn_json source = cn_json_get(block, "source");
	struct cn_json type = cn_json_get(source, "type");

	return source.kind == CN_JSON_OBJECT && !cn_json_is(type, "text") &&
	       !cn_json_is(type, "content");
}

void cn_anthropic__add_readable(struct cn_buf *to, struct cn_json block)
{
	struct cn_view type = cn_wire__inside(cn_json_get(block, "type"));
	size_t before;

	cn_buf_add_char(to, '[');
	if (type.n)
		cn_buf_add_view(to, type);
	else
		cn_buf_add_str(to, "block");
	cn_buf_add_char(to, ']');
	before = to->n;
	add_prose(to, block, CN_READABLE_DEPTH);
	if (to->n == before || is_left_out(block))
		cn_buf_add_str(to, "\\n(its content cannot be shown here)");
}

/* ---- in place of a block ---- */

void cn_anthropic__add_text(struct cn_anthropic__body *b, struct cn_buf *to,
                            const struct cn_view text[3], struct cn_json marker)
{
	cn_buf_add_str(to, "{\"type\":\"text\",\"text\":\"");
	for (int i = 0; i < 3; i++)
		cn_buf_add_view(to, text[i]);
	cn_buf_add_char(to, '"');
	if (marker.kind != CN_JSON_NONE && !cn_anthropic__has(b, CN_QUIRK_NO_CACHE_CONTROL))
		cn_json_add_raw(to, "cache_control", marker.raw);
	cn_buf_add_char(to, '}');
}

static void replace(struct cn_anthropic__body *b, struct cn_json block,
                    const struct cn_view text[3], struct cn_json marker)
{
	CN_AUTO(cn_buf) with = {0};

	cn_anthropic__add_text(b, &with, text, marker);
	cn_patch_replace(&b->patches, b->r->body, block.raw,
	                 cn_arena_view(b->arena, cn_buf_view(&with)));
}

/* ---- which ---- */

/* Types that every backend knows. */
static bool is_plain(struct cn_json type)
{
	static const char *const types[] = {"text",     "image",       "thinking",
	                                    "tool_use", "tool_result", "tool_reference"};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (cn_json_is(type, types[i]))
			return true;
	return false;
}

static bool is_unknown_there(const struct cn_anthropic__body *b, struct cn_json type)
{
	if (cn_json_is(type, "document") || cn_json_is(type, "search_result"))
		return cn_anthropic__has(b, CN_QUIRK_NO_DOCUMENTS);
	return type.kind == CN_JSON_STRING && cn_anthropic__has(b, CN_QUIRK_PLAIN_BLOCKS) &&
	       !is_plain(type);
}

static void note_name(struct cn_anthropic__body *b, struct cn_json name)
{
	if (name.kind == CN_JSON_STRING)
		cn_anthropic__add_range(b->arena, &b->names, cn_json_text(b->arena, name));
}

static void edit(struct cn_anthropic__body *b, struct cn_json json, bool in_result)
{
	static const char *const markers[] = {"cache_control", NULL};
	struct block block = read_block(json);

	if (json.kind != CN_JSON_OBJECT)
		return;
	if (cn_json_is(block.type, "tool_reference") &&
	    cn_anthropic__has(b, CN_QUIRK_NO_DEFERRED_TOOLS)) {
		note_name(b, block.tool_name);
		replace(b, json,
		        (struct cn_view[3]){CN_VIEW("The tool "),
		                            cn_wire__inside(block.tool_name),
		                            CN_VIEW(" can be called now.")},
		        block.marker);
		return;
	}
	if (!b->edit->images && cn_json_is(block.type, "image")) {
		replace(b, json,
		        (struct cn_view[3]){CN_VIEW("(an image was left out: this model "
		                                    "cannot see images)")},
		        block.marker);
		return;
	}
	if (is_unknown_there(b, block.type)) {
		CN_AUTO(cn_buf) text = {0};

		cn_anthropic__add_readable(&text, json);
		replace(b, json, (struct cn_view[3]){cn_buf_view(&text)}, block.marker);
		return;
	}
	if (block.marker.kind != CN_JSON_NONE &&
	    cn_anthropic__has(b, CN_QUIRK_NO_CACHE_CONTROL))
		cn_anthropic__strip(b, json, markers);
	if (cn_json_is(block.type, "tool_use"))
		note_name(b, block.name);
	if (!in_result && cn_json_is(block.type, "tool_result") &&
	    block.content.kind == CN_JSON_ARRAY)
		for (struct cn_json_iter it = cn_json_iter(block.content);
		     cn_json_next(&it);)
			edit(b, it.value, true);
}

bool cn_anthropic__edits_blocks(const struct cn_anthropic__body *b)
{
	if (b->r->images && !b->edit->images)
		return true;
	return b->edit->quirks &
	       (cn_quirk_bit(CN_QUIRK_NO_DEFERRED_TOOLS) |
	        cn_quirk_bit(CN_QUIRK_NO_DOCUMENTS) | cn_quirk_bit(CN_QUIRK_PLAIN_BLOCKS) |
	        cn_quirk_bit(CN_QUIRK_NO_CACHE_CONTROL));
}

void cn_anthropic__edit_block(struct cn_anthropic__body *b, struct cn_json block)
{
	edit(b, block, false);
}
