/*
 * A Messages request read as far as the router must: after the one pass over its bytes
 * (message_walk.c) only small members are looked at.  Pure.
 */
#include "wire_impl.h"

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

/* Titles have no tools, web searches one that the provider runs. */
static enum cn_caller caller_of(const struct cn_request *r)
{
	if (r->agent.n)
		return CN_CALLER_SUBAGENT;
	return r->n_tools == r->n_server_tools && r->n_tools <= 1 ? CN_CALLER_SIDE
	                                                          : CN_CALLER_MAIN;
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

static int read_needed(struct cn_arena *a, struct cn_request *r, struct cn_error *reterr)
{
	const struct cn_member *m;

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
	if (r->n_messages == 0)
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

	r->thinking = cn_json_is(thinking, "enabled") || cn_json_is(thinking, "adaptive");
	r->server_tools = cn_request_member(r, "mcp_servers") || r->n_server_tools;
	r->provider_state |= member(r, "thread").kind == CN_JSON_OBJECT ||
	                     container.kind == CN_JSON_STRING ||
	                     cn_json_get(container, "id").kind == CN_JSON_STRING;
}

int cn_request_read(struct cn_arena *a, struct cn_view body,
                    const struct cn_caller_ids *ids, const struct cn_request_ear *ear,
                    struct cn_request *ret, struct cn_error *reterr)
{
	struct cn_request r = {.body = body};
	int bad = cn_wire__walk_request(a, &r, ear, reterr);

	if (bad)
		return bad;
	if (r.root.kind != CN_JSON_OBJECT)
		return cn_fail(reterr, CN_E_INVALID, "the body is no JSON object");
	bad = read_needed(a, &r, reterr);
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
	r.caller = caller_of(&r);
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
