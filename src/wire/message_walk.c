/*
 * The one pass over a request's body: it is checked, its top level listed, and what routes
 * and backends ask about the deeper levels is noted on the way.
 *
 * Only the places are looked at where the API has content blocks and tools; what a tool was
 * given or said stays the user's data, whatever it looks like.  Recursion is as deep as
 * blocks stand in blocks, and no deeper than the check lets anything be.  Pure.
 */
#include "wire_impl.h"

#include <string.h>

#include "continuo/ids.h"

enum kind {
	CN_IS_OTHER,
	CN_IS_IMAGE,
	CN_IS_THINKING,
	CN_IS_CALL,
	CN_IS_RESULT,
	CN_IS_DOCUMENT,
	CN_IS_BYTES, /* a source of something else than text */
	CN_IS_STATE, /* names what one provider holds */
};

/* What there is to know of one content block, whatever the order of its members. */
struct block {
	enum kind kind;
	struct cn_json id, tool_use_id; /* kind NONE when absent */
};

struct pass {
	struct cn_wire__walk w;
	struct cn_arena *arena; /* borrowed */
	struct cn_request *r;   /* borrowed */
	size_t members_cap, thoughts_cap, calls_cap;
	bool too_many;        /* thoughts or calls */
	bool image, document; /* stood in the message being read */
};

/* ---- messages ---- */

static enum kind kind_of(struct cn_json type)
{
	if (cn_wire__is(type, CN_VIEW("thinking")) ||
	    cn_wire__is(type, CN_VIEW("redacted_thinking")))
		return CN_IS_THINKING;
	if (cn_wire__is(type, CN_VIEW("tool_use")))
		return CN_IS_CALL;
	if (cn_wire__is(type, CN_VIEW("tool_result")))
		return CN_IS_RESULT;
	if (cn_wire__is(type, CN_VIEW("image")))
		return CN_IS_IMAGE;
	if (cn_wire__is(type, CN_VIEW("document")))
		return CN_IS_DOCUMENT;
	if (cn_wire__is(type, CN_VIEW("base64")) || cn_wire__is(type, CN_VIEW("url")))
		return CN_IS_BYTES;
	if (cn_wire__is(type, CN_VIEW("file")) ||
	    cn_wire__is(type, CN_VIEW("container_upload")))
		return CN_IS_STATE;
	return CN_IS_OTHER;
}

static void walk_content(struct pass *g, bool of_message);

/* A content block, or the source of one. */
static struct block walk_block(struct pass *g)
{
	struct cn_wire__walk *w = &g->w;
	struct block block = {.kind = CN_IS_OTHER};
	enum kind source = CN_IS_OTHER;
	struct cn_view key;
	struct cn_json v;

	(void)cn_wire__enter(w); /* without it there is no next */
	while (cn_wire__next(w, &key)) {
		if (*w->p == '[' && cn_wire__says(key, CN_VIEW("content")))
			walk_content(g, false);
		else if (*w->p == '{' && cn_wire__says(key, CN_VIEW("source")))
			source = walk_block(g).kind;
		else if (!cn_wire__value(w, &v))
			break;
		else if (cn_wire__says(key, CN_VIEW("type")))
			block.kind = kind_of(v);
		else if (cn_wire__says(key, CN_VIEW("id")))
			block.id = v;
		else if (cn_wire__says(key, CN_VIEW("tool_use_id")))
			block.tool_use_id = v;
	}
	g->image |= block.kind == CN_IS_IMAGE;
	g->document |= block.kind == CN_IS_DOCUMENT && source == CN_IS_BYTES;
	g->r->provider_state |= block.kind == CN_IS_STATE;
	return block;
}

static bool has_room(struct pass *g, size_t n)
{
	g->too_many |= n == CN_NOTES_MAX;
	return n < CN_NOTES_MAX;
}

static void note_thought(struct pass *g, struct cn_view block)
{
	struct cn_request *r = g->r;

	if (!has_room(g, r->n_thoughts))
		return;
	r->thoughts = cn_arena_more(g->arena, r->thoughts, r->n_thoughts, &g->thoughts_cap,
	                            sizeof(*r->thoughts));
	r->thoughts[r->n_thoughts++] = (struct cn_thought){.block = block};
}

static void note_call(struct pass *g, struct cn_view block, struct cn_json id)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_request *r = g->r;

	if (!cn_view_starts(cn_json_text(&a, id), CN_VIEW(CN_ID_TOOL_OURS)) ||
	    !has_room(g, r->n_calls))
		return;
	r->calls =
	    cn_arena_more(g->arena, r->calls, r->n_calls, &g->calls_cap, sizeof(*r->calls));
	r->calls[r->n_calls++] = (struct cn_call_mention){block, id};
}

static void note_block(struct pass *g, const struct block *block, struct cn_view raw)
{
	switch (block->kind) {
	case CN_IS_THINKING:
		note_thought(g, raw);
		return;
	case CN_IS_CALL:
		note_call(g, raw, block->id);
		return;
	case CN_IS_RESULT:
		note_call(g, raw, block->tool_use_id);
		return;
	case CN_IS_OTHER:
	case CN_IS_IMAGE:
	case CN_IS_DOCUMENT:
	case CN_IS_BYTES:
	case CN_IS_STATE:
		return;
	}
}

static void walk_content(struct pass *g, bool of_message)
{
	struct cn_wire__walk *w = &g->w;
	struct cn_view key;
	struct cn_json v;

	(void)cn_wire__enter(w);
	while (cn_wire__next(w, &key)) {
		const char *from = w->p;
		struct block block;

		if (*from != '{') {
			(void)cn_wire__value(w, &v);
			continue;
		}
		block = walk_block(g);
		if (of_message)
			note_block(g, &block, cn_view(from, (size_t)(w->p - from)));
	}
}

static void walk_message(struct pass *g)
{
	struct cn_wire__walk *w = &g->w;
	struct cn_request *r = g->r;
	size_t first = r->n_thoughts, first_call = r->n_calls;
	const char *from = w->p;
	struct cn_view key, content = {NULL, 0};
	bool assistant = false;
	struct cn_json v;

	g->image = g->document = false;
	(void)cn_wire__enter(w);
	while (cn_wire__next(w, &key)) {
		bool is_content = cn_wire__says(key, CN_VIEW("content"));
		const char *at = w->p;

		/* The last content is the message's. */
		if (is_content) {
			r->n_thoughts = first;
			r->n_calls = first_call;
		}
		if (is_content && *at == '[') {
			walk_content(g, true);
			content = cn_view(at, (size_t)(w->p - at));
		} else if (cn_wire__value(w, &v) && cn_wire__says(key, CN_VIEW("role"))) {
			assistant = cn_wire__is(v, CN_VIEW("assistant"));
		}
	}
	r->images |= g->image;
	/* What was there before an answer is no question any more. */
	r->new_images = !assistant && (r->new_images || g->image);
	r->new_documents = !assistant && (r->new_documents || g->document);
	if (!assistant)
		r->n_thoughts = first;
	for (size_t i = first; i < r->n_thoughts; i++) {
		r->thoughts[i].content = content;
		r->thoughts[i].message = cn_view(from, (size_t)(w->p - from));
	}
}

static void walk_messages(struct pass *g)
{
	struct cn_view key;
	struct cn_json v;

	(void)cn_wire__enter(&g->w);
	while (cn_wire__next(&g->w, &key)) {
		g->r->n_messages++;
		if (*g->w.p == '{')
			walk_message(g);
		else
			(void)cn_wire__value(&g->w, &v);
	}
}

/* ---- tools ---- */

/* Types of tools that the provider runs itself, by their beginnings. */
static const char *const CN_SERVER_TOOLS[] = {
    "web_search_",       "web_fetch_", "code_execution_",
    "tool_search_tool_", "advisor_",   "mcp_toolset",
};

static bool is_server_tool(struct cn_json type)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_view text = cn_json_text(&a, type);

	for (size_t i = 0; i < sizeof(CN_SERVER_TOOLS) / sizeof(CN_SERVER_TOOLS[0]); i++)
		if (cn_view_starts(text, cn_view_str(CN_SERVER_TOOLS[i])))
			return true;
	return false;
}

static bool walk_tool(struct pass *g)
{
	struct cn_view key;
	struct cn_json v;
	bool server = false;

	(void)cn_wire__enter(&g->w);
	while (cn_wire__next(&g->w, &key))
		if (cn_wire__value(&g->w, &v) && cn_wire__says(key, CN_VIEW("type")))
			server = is_server_tool(v);
	return server;
}

static void walk_tools(struct pass *g)
{
	struct cn_request *r = g->r;
	struct cn_view key;
	struct cn_json v;

	(void)cn_wire__enter(&g->w);
	while (cn_wire__next(&g->w, &key)) {
		r->n_tools++;
		if (*g->w.p == '{')
			r->n_server_tools += walk_tool(g);
		else
			(void)cn_wire__value(&g->w, &v);
	}
}

/* ---- the top level ---- */

/* The value of a member: walked where we must know what is in it. */
static struct cn_json walk_member(struct pass *g, struct cn_view key,
                                  const struct cn_request_ear *ear)
{
	static const struct {
		struct cn_view name;
		enum cn_request_part part;
		void (*walk)(struct pass *g);
	} parts[] = {
	    {{"messages", 8}, CN_PART_MESSAGES, walk_messages},
	    {{"tools", 5}, CN_PART_TOOLS, walk_tools},
	    {{"system", 6}, CN_PART_SYSTEM, NULL},
	};
	struct cn_json v = {{NULL, 0}, CN_JSON_NONE};
	void (*walk)(struct pass * g) = NULL;
	const char *from = g->w.p;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!cn_wire__says(key, parts[i].name))
			continue;
		walk = parts[i].walk;
		/* Of several the last one counts. */
		if (parts[i].part == CN_PART_MESSAGES)
			g->r->n_thoughts = g->r->n_calls = g->r->n_messages = 0;
		if (parts[i].part == CN_PART_MESSAGES)
			g->r->new_images = g->r->new_documents = false;
		if (parts[i].part == CN_PART_TOOLS)
			g->r->n_tools = g->r->n_server_tools = 0;
		g->w.ear = ear;
		if (ear)
			ear->on_part(ear->self, parts[i].part);
	}
	if (walk && *from == '[') {
		walk(g);
		v = (struct cn_json){cn_view(from, (size_t)(g->w.p - from)), CN_JSON_ARRAY};
	} else {
		(void)cn_wire__value(&g->w, &v);
	}
	g->w.ear = NULL;
	return v;
}

static void walk_root(struct pass *g, const struct cn_request_ear *ear)
{
	struct cn_request *r = g->r;
	struct cn_view key;

	(void)cn_wire__enter(&g->w);
	while (cn_wire__next(&g->w, &key)) {
		struct cn_json v = walk_member(g, key, ear);
		const char *from = key.p - 1;

		r->members = cn_arena_more(g->arena, r->members, r->n_members,
		                           &g->members_cap, sizeof(*r->members));
		r->members[r->n_members++] =
		    (struct cn_member){key, v, cn_view(from, (size_t)(g->w.p - from))};
	}
}

int cn_wire__walk_request(struct cn_arena *a, struct cn_request *r,
                          const struct cn_request_ear *ear, struct cn_error *reterr)
{
	struct cn_view body = r->body;
	struct pass g = {
	    .w = {.p = body.p, .end = body.p ? body.p + body.n : NULL}, .arena = a, .r = r};
	int bad;

	cn_wire__space(&g.w);
	r->root.raw.p = g.w.p;
	if (g.w.p < g.w.end && *g.w.p == '{') {
		walk_root(&g, ear);
		r->root.kind = CN_JSON_OBJECT;
		r->root.raw.n = (size_t)(g.w.p - r->root.raw.p);
	} else {
		(void)cn_wire__value(&g.w, &r->root);
	}
	bad = cn_wire__finish(&g.w, body, reterr);
	if (bad)
		return bad;
	if (g.too_many)
		return cn_fail(
		    reterr, CN_E_INVALID,
		    "messages: more than %d blocks of thinking or of renamed calls",
		    CN_NOTES_MAX);
	return 0;
}
