/*
 * A backend's answer in the Messages format, decoded: strict where the format is, tolerant
 * where backends are known to deviate (wire/provider-quirks.md 5).  Pure; views point into
 * the data or the arena.
 */
#include "continuo/anthropic.h"

#include "wire_impl.h"

static enum cn_event_kind kind_of(struct cn_view name)
{
	static const struct {
		const char *name;
		enum cn_event_kind kind;
	} kinds[] = {
#define X(symbol, name) {name, CN_EV_##symbol},
	    CN_EVENTS(X)
#undef X
	};

	/* The last two have no name. */
	for (size_t i = 0; i + 2 < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (cn_view_is(name, kinds[i].name))
			return kinds[i].kind;
	return CN_EV_UNKNOWN;
}

static enum cn_block_type block_type(struct cn_view type)
{
	if (cn_view_is(type, "text"))
		return CN_BLOCK_TEXT;
	if (cn_view_is(type, "thinking"))
		return CN_BLOCK_THINKING;
	if (cn_view_is(type, "redacted_thinking"))
		return CN_BLOCK_REDACTED_THINKING;
	if (cn_view_is(type, "tool_use"))
		return CN_BLOCK_TOOL_USE;
	if (cn_view_is(type, "server_tool_use") || cn_view_is(type, "mcp_tool_use"))
		return CN_BLOCK_SERVER_TOOL;
	return CN_BLOCK_OTHER;
}

/* ---- usage and stop reasons ---- */

static struct cn_usage read_usage(struct cn_json usage)
{
	struct cn_usage u = {0};

	if (usage.kind != CN_JSON_OBJECT)
		return u;
	u.has_input = cn_wire__figure(usage, "input_tokens", &u.input);
	u.has_output = cn_wire__figure(usage, "output_tokens", &u.output);
	u.has_cache_read = cn_wire__figure(usage, "cache_read_input_tokens", &u.cache_read);
	u.has_cache_write =
	    cn_wire__figure(usage, "cache_creation_input_tokens", &u.cache_write);
	return u;
}

/* Some backends say it in the words of Chat Completions. */
static struct cn_view stop_reason(struct cn_view r)
{
	static const char *const ends[] = {"stop", "eos", "eos_token", "end", "stop_token"};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (cn_view_eq_nocase(r, cn_view_str(ends[i])))
			return CN_VIEW("end_turn");
	switch (cn_wire__stop_meaning(r)) {
	case CN_STOP_CUT:
		return CN_VIEW("max_tokens");
	case CN_STOP_WINDOW:
		return CN_VIEW("model_context_window_exceeded");
	case CN_STOP_CALLS:
		return CN_VIEW("tool_use");
	case CN_STOP_REFUSAL:
		return CN_VIEW("refusal");
	case CN_STOP_NORMAL:
	case CN_STOP_FAILURE:
	case CN_STOP_OVERLOADED:
		break;
	}
	return r;
}

/* ---- one event ---- */

static int bad(struct cn_error *reterr, const char *what)
{
	return cn_fail(reterr, CN_E_INVALID, "%s", what);
}

static int read_index(struct cn_json root, struct cn_event *ev, struct cn_error *reterr)
{
	uint64_t index;

	if (!cn_json_u64(cn_json_get(root, "index"), &index))
		return bad(reterr, "an event of a block without its index");
	ev->index = (size_t)index;
	return 0;
}

static int read_start(struct cn_arena *a, struct cn_json root, struct cn_event *ev,
                      struct cn_error *reterr)
{
	struct cn_json message = cn_json_get(root, "message");

	if (message.kind != CN_JSON_OBJECT)
		return bad(reterr, "a message_start without its message");
	ev->raw = message.raw;
	ev->id = cn_json_text(a, cn_json_get(message, "id"));
	ev->name = cn_json_text(a, cn_json_get(message, "model"));
	ev->usage = read_usage(cn_json_get(message, "usage"));
	return 0;
}

/* The block object as an event; the index is the caller's. */
static int read_block(struct cn_arena *a, struct cn_json block, struct cn_event *ev,
                      struct cn_error *reterr)
{
	struct cn_json type = cn_json_get(block, "type"), part;

	if (block.kind != CN_JSON_OBJECT || type.kind != CN_JSON_STRING)
		return bad(reterr, "a content block without its type");
	ev->block = block_type(cn_json_text(a, type));
	ev->raw = block.raw;
	switch (ev->block) {
	case CN_BLOCK_TEXT:
		ev->text = cn_json_text(a, cn_json_get(block, "text"));
		break;
	case CN_BLOCK_THINKING:
		ev->text = cn_json_text(a, cn_json_get(block, "thinking"));
		break;
	case CN_BLOCK_TOOL_USE:
	case CN_BLOCK_SERVER_TOOL:
		ev->id = cn_json_text(a, cn_json_get(block, "id"));
		ev->name = cn_json_text(a, cn_json_get(block, "name"));
		part = cn_json_get(block, "input");
		/* Usually {}; the whole input here is one of the known deviations. */
		if (part.kind == CN_JSON_OBJECT && part.raw.n > 2)
			ev->text = part.raw;
		break;
	case CN_BLOCK_REDACTED_THINKING:
	case CN_BLOCK_OTHER:
		break;
	}
	return 0;
}

static int read_delta(struct cn_arena *a, struct cn_json root, struct cn_event *ev,
                      struct cn_error *reterr)
{
	static const struct {
		const char *type, *member;
		enum cn_delta_type delta;
	} types[] = {
	    {"text_delta", "text", CN_DELTA_TEXT},
	    {"thinking_delta", "thinking", CN_DELTA_THINKING},
	    {"signature_delta", "signature", CN_DELTA_SIGNATURE},
	    {"input_json_delta", "partial_json", CN_DELTA_INPUT_JSON},
	};
	struct cn_json delta = cn_json_get(root, "delta"),
		       type = cn_json_get(delta, "type");
	struct cn_json part;

	if (type.kind != CN_JSON_STRING)
		return bad(reterr, "a delta without its type");
	ev->raw = delta.raw;
	ev->delta = CN_DELTA_OTHER;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!cn_json_is(type, types[i].type))
			continue;
		ev->delta = types[i].delta;
		part = cn_json_get(delta, types[i].member);
		if (part.kind != CN_JSON_STRING && part.kind != CN_JSON_NULL &&
		    part.kind != CN_JSON_NONE)
			return bad(reterr, "a delta whose content is no text");
		ev->text = cn_json_text(a, part);
	}
	return 0;
}

static void read_message_delta(struct cn_arena *a, struct cn_json root, struct cn_event *ev)
{
	struct cn_json delta = cn_json_get(root, "delta");

	ev->raw = root.raw;
	ev->stop_reason = stop_reason(cn_json_text(a, cn_json_get(delta, "stop_reason")));
	ev->stop_sequence = cn_json_text(a, cn_json_get(delta, "stop_sequence"));
	ev->usage = read_usage(cn_json_get(root, "usage"));
}

/* {"error":{"type","message"}}, an error that is a text, or none at all. */
static void read_error(struct cn_arena *a, struct cn_json root, struct cn_event *ev)
{
	struct cn_json error = cn_json_get(root, "error");

	ev->raw = root.raw;
	if (error.kind == CN_JSON_STRING) {
		ev->error_message = cn_json_text(a, error);
	} else {
		ev->error_type = cn_json_text(a, cn_json_get(error, "type"));
		ev->error_message = cn_json_text(a, cn_json_get(error, "message"));
	}
	if (ev->error_type.n == 0)
		ev->error_type = CN_VIEW("api_error");
}

int cn_anthropic_decode(struct cn_arena *a, struct cn_view name, struct cn_view data,
                        struct cn_event *ret, struct cn_error *reterr)
{
	struct cn_event ev = {.kind = CN_EV_UNKNOWN};
	struct cn_json root;
	struct cn_view type;
	int err;

	*ret = ev;
	data = cn_view_trim(data);
	/* Chat's end mark, seen after whole Anthropic streams too. */
	if (data.n == 0 || cn_view_is(data, "[DONE]"))
		return 0;
	if (name.n && kind_of(name) == CN_EV_UNKNOWN)
		return 0;
	err = cn_json_check(data, reterr);
	if (err)
		return err;
	root = cn_json_root(data);
	if (root.kind != CN_JSON_OBJECT)
		return bad(reterr, "an event whose data is no object");
	/* The type inside decides: some backends send no event: line, none sends two
	 * truths. */
	type = cn_json_text(a, cn_json_get(root, "type"));
	ev.kind = type.n ? kind_of(type) : kind_of(name);
	if (!type.n && !name.n && cn_json_get(root, "error").kind != CN_JSON_NONE)
		ev.kind = CN_EV_ERROR;
	switch (ev.kind) {
	case CN_EV_MESSAGE_START:
		err = read_start(a, root, &ev, reterr);
		break;
	case CN_EV_BLOCK_START:
		err = read_index(root, &ev, reterr);
		if (!err)
			err =
			    read_block(a, cn_json_get(root, "content_block"), &ev, reterr);
		break;
	case CN_EV_BLOCK_DELTA:
		err = read_index(root, &ev, reterr);
		if (!err)
			err = read_delta(a, root, &ev, reterr);
		break;
	case CN_EV_BLOCK_STOP:
		err = read_index(root, &ev, reterr);
		break;
	case CN_EV_MESSAGE_DELTA:
		read_message_delta(a, root, &ev);
		break;
	case CN_EV_ERROR:
		read_error(a, root, &ev);
		break;
	case CN_EV_MESSAGE_STOP:
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_UNKNOWN:
		break;
	}
	if (!err)
		*ret = ev;
	return err;
}

/* ---- a whole message ---- */

struct teller {
	void (*on_event)(void *self, const struct cn_event *ev);
	void *self;
};

static void tell(const struct teller *t, const struct cn_event *ev)
{
	t->on_event(t->self, ev);
}

static void tell_signature(struct cn_arena *a, const struct teller *t, struct cn_json block,
                           size_t index)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .index = index,
	                      .delta = CN_DELTA_SIGNATURE,
	                      .text = cn_json_text(a, cn_json_get(block, "signature"))};

	if (ev.text.n)
		tell(t, &ev);
}

static void tell_input(struct cn_arena *a, const struct teller *t, struct cn_json block,
                       size_t index)
{
	struct cn_json input = cn_json_get(block, "input");
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .index = index,
	                      .delta = CN_DELTA_INPUT_JSON,
	                      .text = input.kind == CN_JSON_STRING ? cn_json_text(a, input)
	                                                           : input.raw};

	if (input.kind != CN_JSON_NONE && input.kind != CN_JSON_NULL)
		tell(t, &ev);
}

static int tell_block(struct cn_arena *a, const struct teller *t, struct cn_json block,
                      size_t index, struct cn_error *reterr)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_START, .index = index};
	int err = read_block(a, block, &ev, reterr);

	if (err)
		return err;
	/* The text stands in the start: the splice takes it from there. */
	if (ev.block == CN_BLOCK_TOOL_USE || ev.block == CN_BLOCK_SERVER_TOOL)
		ev.text = (struct cn_view){NULL, 0};
	tell(t, &ev);
	if (ev.block == CN_BLOCK_THINKING)
		tell_signature(a, t, block, index);
	if (ev.block == CN_BLOCK_TOOL_USE || ev.block == CN_BLOCK_SERVER_TOOL)
		tell_input(a, t, block, index);
	tell(t, &(struct cn_event){.kind = CN_EV_BLOCK_STOP, .index = index});
	return 0;
}

/* A content that is a text, as requests may have it. */
static void tell_text(struct cn_arena *a, const struct teller *t, struct cn_json text)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_START,
	                      .block = CN_BLOCK_TEXT,
	                      .text = cn_json_text(a, text)};

	tell(t, &ev);
	tell(t, &(struct cn_event){.kind = CN_EV_BLOCK_STOP});
}

/* The members of a Message that a stream would have told in message_delta. */
static struct cn_view delta_of(struct cn_arena *a, struct cn_json message)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_json usage = cn_json_get(message, "usage");

	cn_buf_add_str(&b, "{\"type\":\"message_delta\",\"delta\":{");
	for (struct cn_json_iter it = cn_json_iter(message); cn_json_next(&it);) {
		if (!cn_json_key_is(it.key, "stop_details") &&
		    !cn_json_key_is(it.key, "container"))
			continue;
		if (b.p[b.n - 1] != '{')
			cn_buf_add_char(&b, ',');
		cn_buf_add_view(&b, it.whole);
	}
	cn_buf_add_char(&b, '}');
	if (usage.kind == CN_JSON_OBJECT)
		cn_json_add_raw(&b, "usage", usage.raw);
	if (cn_json_get(message, "context_management").kind != CN_JSON_NONE)
		cn_json_add_raw(&b, "context_management",
		                cn_json_get(message, "context_management").raw);
	cn_buf_add_char(&b, '}');
	return cn_arena_view(a, cn_buf_view(&b));
}

int cn_anthropic_decode_message(struct cn_arena *a, struct cn_view body,
                                void (*on_event)(void *self, const struct cn_event *ev),
                                void *self, struct cn_error *reterr)
{
	struct teller t = {on_event, self};
	struct cn_json root, content;
	struct cn_event ev = {.kind = CN_EV_MESSAGE_START};
	int err = cn_json_check(body, reterr);

	if (err)
		return err;
	root = cn_json_root(body);
	content = cn_json_get(root, "content");
	if (root.kind != CN_JSON_OBJECT ||
	    (content.kind != CN_JSON_ARRAY && content.kind != CN_JSON_NULL &&
	     content.kind != CN_JSON_STRING) ||
	    cn_json_get(root, "role").kind != CN_JSON_STRING)
		return bad(reterr, "the answer is no Message");
	ev.id = cn_json_text(a, cn_json_get(root, "id"));
	ev.name = cn_json_text(a, cn_json_get(root, "model"));
	ev.usage = read_usage(cn_json_get(root, "usage"));
	tell(&t, &ev);
	if (content.kind == CN_JSON_STRING)
		tell_text(a, &t, content);
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		err = tell_block(a, &t, it.value, it.index, reterr);
		if (err)
			return err;
	}
	ev = (struct cn_event){
	    .kind = CN_EV_MESSAGE_DELTA,
	    .raw = delta_of(a, root),
	    .stop_reason = stop_reason(cn_json_text(a, cn_json_get(root, "stop_reason"))),
	    .stop_sequence = cn_json_text(a, cn_json_get(root, "stop_sequence")),
	    .usage = read_usage(cn_json_get(root, "usage")),
	};
	tell(&t, &ev);
	tell(&t, &(struct cn_event){.kind = CN_EV_MESSAGE_STOP});
	return 0;
}
