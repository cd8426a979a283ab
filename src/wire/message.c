/*
 * A Messages request read as far as the router must: one check of the bytes, one pass over
 * the top level.  What is only asked for by some routes is found by scanning, not parsing.
 * Pure.
 */
#include "continuo/message.h"

#include <string.h>

const char *cn_caller_name(enum cn_caller c)
{
	switch (c) {
	case CN_CALLER_MAIN:
		return "main";
	case CN_CALLER_SUBAGENT:
		return "subagent";
	case CN_CALLER_SIDE:
		return "side";
	}
	return "?";
}

/* A member of the top level; it was walked once, and bodies are too long to do it again. */
static struct cn_json member(const struct cn_request *r, const char *key)
{
	const struct cn_member *m = cn_request_member(r, key);

	return m ? m->value : (struct cn_json){{NULL, 0}, CN_JSON_NONE};
}

/* Types of tools that the provider runs itself, by their beginnings. */
static const char *const CN_SERVER_TOOLS[] = {
    "web_search_",       "web_fetch_", "code_execution_",
    "tool_search_tool_", "advisor_",   "mcp_toolset",
};

static bool is_server_tool(struct cn_json tool)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_view text = cn_json_text(&a, cn_json_get(tool, "type"));

	for (size_t i = 0; i < sizeof(CN_SERVER_TOOLS) / sizeof(CN_SERVER_TOOLS[0]); i++)
		if (cn_view_starts(text, cn_view_str(CN_SERVER_TOOLS[i])))
			return true;
	return false;
}

static void read_tools(struct cn_request *r)
{
	size_t server = 0;

	for (struct cn_json_iter it = cn_json_iter(r->tools); cn_json_next(&it);) {
		r->n_tools++;
		server += is_server_tool(it.value);
	}
	r->server_tools |= server > 0;
	/* Titles have no tools, web searches one that the provider runs. */
	if (r->agent.n)
		r->caller = CN_CALLER_SUBAGENT;
	else if (r->n_tools == server && r->n_tools <= 1)
		r->caller = CN_CALLER_SIDE;
	else
		r->caller = CN_CALLER_MAIN;
}

/* Without the white space of JSON at its end. */
static struct cn_view trim_end(struct cn_view v)
{
	while (v.n > 0 && strchr(" \n\r\t", v.p[v.n - 1]))
		v.n--;
	return v;
}

/* Whether `"key" : "value"` stands anywhere in raw, with any white space. */
static bool has_pair(struct cn_view raw, struct cn_view key, struct cn_view value)
{
	for (size_t at = 0; (at = cn_view_find(raw, value, at)) != SIZE_MAX;
	     at += value.n) {
		struct cn_view before = trim_end(cn_view_cut(raw, at));

		if (!cn_view_ends(before, CN_VIEW(":")))
			continue;
		before = trim_end(cn_view_cut(before, before.n - 1));
		if (cn_view_ends(before, key))
			return true;
	}
	return false;
}

static struct cn_view session_of(struct cn_arena *a, const struct cn_request *r)
{
	struct cn_json user = cn_json_get(member(r, "metadata"), "user_id");
	struct cn_view text = cn_json_text(a, user), session = {NULL, 0};

	if (text.n && text.p[0] == '{' && cn_json_check(text, NULL) == 0)
		session = cn_json_text(a, cn_json_get(cn_json_root(text), "session_id"));
	return session;
}

/* Foreign ids become part of keys and listings: short, and printable. */
static struct cn_view short_id(struct cn_arena *a, struct cn_view id)
{
	struct cn_view cut = cn_view_cut(id, 128);
	char *p = cn_arena_dup(a, cut);

	for (size_t i = 0; i < cut.n; i++)
		if (p[i] <= ' ' || p[i] > '~')
			p[i] = '_';
	return cn_view(p, cut.n);
}

static int read_members(struct cn_arena *a, struct cn_request *r, struct cn_error *reterr)
{
	struct cn_json_iter it = cn_json_iter(r->root);
	size_t cap = 16;
	const struct cn_member *m;

	r->members = cn_arena_alloc(a, cap * sizeof(*r->members));
	while (cn_json_next(&it)) {
		if (r->n_members == cap) {
			struct cn_member *v = cn_arena_alloc(a, 2 * cap * sizeof(*v));

			memcpy(v, r->members, cap * sizeof(*v));
			r->members = v;
			cap *= 2;
		}
		r->members[r->n_members++] = (struct cn_member){it.key, it.value, it.whole};
	}
	m = cn_request_member(r, "model");
	if (!m)
		return cn_fail(reterr, CN_E_INVALID, "model: Field required");
	if (m->value.kind != CN_JSON_STRING || m->value.raw.n == 2)
		return cn_fail(reterr, CN_E_INVALID,
		               "model: Input should be a valid string");
	r->model = cn_json_text(a, m->value);
	m = cn_request_member(r, "messages");
	if (!m)
		return cn_fail(reterr, CN_E_INVALID, "messages: Field required");
	if (m->value.kind != CN_JSON_ARRAY)
		return cn_fail(reterr, CN_E_INVALID,
		               "messages: Input should be a valid array");
	r->messages = m->value;
	it = cn_json_iter(m->value);
	if (!cn_json_next(&it))
		return cn_fail(reterr, CN_E_INVALID,
		               "messages: at least one message is required");
	return 0;
}

static int read_limits(struct cn_request *r, struct cn_error *reterr)
{
	const struct cn_member *m = cn_request_member(r, "max_tokens");

	if (m) {
		if (!cn_json_u64(m->value, &r->max_tokens))
			return cn_fail(reterr, CN_E_INVALID,
			               "max_tokens: Input should be a valid integer");
		r->has_max_tokens = true;
	}
	m = cn_request_member(r, "stream");
	if (m && m->value.kind != CN_JSON_TRUE && m->value.kind != CN_JSON_FALSE &&
	    m->value.kind != CN_JSON_NULL)
		return cn_fail(reterr, CN_E_INVALID,
		               "stream: Input should be a valid boolean");
	r->stream = m && m->value.kind == CN_JSON_TRUE;
	return 0;
}

static void read_features(struct cn_request *r)
{
	struct cn_json thinking = cn_json_get(member(r, "thinking"), "type");
	struct cn_json container = member(r, "container");
	struct cn_view raw = r->messages.raw;

	r->thinking = cn_json_is(thinking, "enabled") || cn_json_is(thinking, "adaptive");
	r->images = has_pair(raw, CN_VIEW("\"type\""), CN_VIEW("\"image\""));
	r->server_tools = cn_request_member(r, "mcp_servers") != NULL;
	r->provider_state =
	    member(r, "thread").kind == CN_JSON_OBJECT ||
	    container.kind == CN_JSON_STRING ||
	    cn_json_get(container, "id").kind == CN_JSON_STRING ||
	    has_pair(raw, CN_VIEW("\"type\""), CN_VIEW("\"file\"")) ||
	    has_pair(raw, CN_VIEW("\"type\""), CN_VIEW("\"container_upload\""));
}

int cn_request_read(struct cn_arena *a, struct cn_view body,
                    const struct cn_caller_ids *ids, struct cn_request *ret,
                    struct cn_error *reterr)
{
	struct cn_request r = {.body = body};
	int bad = cn_json_check(body, reterr);

	if (bad)
		return bad;
	r.root = cn_json_root(body);
	if (r.root.kind != CN_JSON_OBJECT)
		return cn_fail(reterr, CN_E_INVALID, "the body is no JSON object");
	bad = read_members(a, &r, reterr);
	if (!bad)
		bad = read_limits(&r, reterr);
	if (bad)
		return bad;
	r.tools = member(&r, "tools");
	r.system = member(&r, "system");
	read_features(&r);
	r.agent = short_id(a, ids->agent);
	r.parent_agent = short_id(a, ids->parent_agent);
	r.session = short_id(a, ids->session.n ? ids->session : session_of(a, &r));
	read_tools(&r);
	*ret = r;
	return 0;
}

const struct cn_member *cn_request_member(const struct cn_request *r, const char *key)
{
	for (size_t i = r->n_members; i > 0; i--)
		if (cn_json_key_is(r->members[i - 1].key, key))
			return &r->members[i - 1];
	return NULL;
}
