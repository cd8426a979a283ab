/*
 * Canonical events towards the client: always an event: line, dense indices, numeric usage.
 * What a backend said that we do not know travels on inside.  Pure.
 */
#include "continuo/anthropic.h"

#include "continuo/sse.h"

#include "wire_impl.h"

static void add_event(struct cn_buf *b, enum cn_event_kind kind, struct cn_buf *data)
{
	cn_sse_add(b, cn_event_name(kind), cn_buf_view(data));
}

static void open_data(struct cn_buf *data, enum cn_event_kind kind)
{
	cn_buf_add_char(data, '{');
	cn_json_add_text(data, "type", cn_view_str(cn_event_name(kind)));
}

static bool is_figure(struct cn_view key)
{
	return cn_json_key_is(key, "input_tokens") ||
	       cn_json_key_is(key, "output_tokens") ||
	       cn_json_key_is(key, "cache_creation_input_tokens") ||
	       cn_json_key_is(key, "cache_read_input_tokens");
}

/* known figures first; the members of raw that are none of them behind. */
static void add_usage(struct cn_buf *b, const struct cn_usage *u, bool all,
                      struct cn_json raw)
{
	cn_json_add_key(b, "usage");
	cn_buf_add_char(b, '{');
	if (all || u->has_input)
		cn_json_add_u64(b, "input_tokens", u->input);
	if (all || u->has_cache_write)
		cn_json_add_u64(b, "cache_creation_input_tokens", u->cache_write);
	if (all || u->has_cache_read)
		cn_json_add_u64(b, "cache_read_input_tokens", u->cache_read);
	cn_json_add_u64(b, "output_tokens", u->output);
	for (struct cn_json_iter it = cn_json_iter(raw); cn_json_next(&it);) {
		if (is_figure(it.key))
			continue;
		cn_buf_add_char(b, ',');
		cn_buf_add_view(b, it.whole);
	}
	cn_buf_add_char(b, '}');
}

void cn_anthropic_add_start(struct cn_buf *b, struct cn_view id, struct cn_view model,
                            const struct cn_usage *usage, struct cn_view raw)
{
	CN_AUTO(cn_buf) data = {0};
	struct cn_json message = cn_json_root(raw);

	open_data(&data, CN_EV_MESSAGE_START);
	cn_json_add_key(&data, "message");
	cn_buf_add_char(&data, '{');
	cn_json_add_text(&data, "id", id);
	cn_json_add_text(&data, "type", CN_VIEW("message"));
	cn_json_add_text(&data, "role", CN_VIEW("assistant"));
	cn_json_add_text(&data, "model", model);
	cn_json_add_raw(&data, "content", CN_VIEW("[]"));
	cn_json_add_raw(&data, "stop_reason", CN_VIEW("null"));
	cn_json_add_raw(&data, "stop_sequence", CN_VIEW("null"));
	for (struct cn_json_iter it = cn_json_iter(message); cn_json_next(&it);) {
		static const char *const ours[] = {
		    "id",      "type",        "role",          "model",
		    "content", "stop_reason", "stop_sequence", "usage"};
		bool known = false;

		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			known |= cn_json_key_is(it.key, ours[i]);
		if (known)
			continue;
		cn_buf_add_char(&data, ',');
		cn_buf_add_view(&data, it.whole);
	}
	add_usage(&data, usage, true, cn_json_get(message, "usage"));
	cn_buf_add_str(&data, "}}");
	add_event(b, CN_EV_MESSAGE_START, &data);
}

/* Members of a start that are given anew: what the deltas will tell, and the client's own
 * id. */
static bool is_replaced(enum cn_block_type type, struct cn_view key, struct cn_view id)
{
	if (id.n && cn_json_key_is(key, "id"))
		return true;
	switch (type) {
	case CN_BLOCK_TEXT:
		return cn_json_key_is(key, "text");
	case CN_BLOCK_THINKING:
		return cn_json_key_is(key, "thinking") || cn_json_key_is(key, "signature");
	case CN_BLOCK_TOOL_USE:
	case CN_BLOCK_SERVER_TOOL:
		return cn_json_key_is(key, "input");
	case CN_BLOCK_REDACTED_THINKING:
	case CN_BLOCK_OTHER:
		return false;
	}
	return false;
}

static void add_fresh(struct cn_buf *b, const struct cn_event *ev, struct cn_view id)
{
	switch (ev->block) {
	case CN_BLOCK_TEXT:
		cn_json_add_text(b, "text", CN_VIEW(""));
		break;
	case CN_BLOCK_THINKING:
		cn_json_add_text(b, "thinking", CN_VIEW(""));
		cn_json_add_text(b, "signature", CN_VIEW(""));
		break;
	case CN_BLOCK_TOOL_USE:
	case CN_BLOCK_SERVER_TOOL:
		if (id.n)
			cn_json_add_text(b, "id", id);
		if (!ev->raw.n)
			cn_json_add_text(b, "name", ev->name);
		cn_json_add_raw(b, "input", CN_VIEW("{}"));
		break;
	case CN_BLOCK_REDACTED_THINKING:
	case CN_BLOCK_OTHER:
		break;
	}
}

static const char *type_name(enum cn_block_type type)
{
	switch (type) {
	case CN_BLOCK_TEXT:
		return "text";
	case CN_BLOCK_THINKING:
		return "thinking";
	case CN_BLOCK_REDACTED_THINKING:
		return "redacted_thinking";
	case CN_BLOCK_TOOL_USE:
		return "tool_use";
	case CN_BLOCK_SERVER_TOOL:
		return "server_tool_use";
	case CN_BLOCK_OTHER:
		return "text";
	}
	return "text";
}

void cn_anthropic_add_block_start(struct cn_buf *b, size_t index, const struct cn_event *ev,
                                  struct cn_view id)
{
	CN_AUTO(cn_buf) data = {0};

	open_data(&data, CN_EV_BLOCK_START);
	cn_json_add_u64(&data, "index", index);
	cn_json_add_key(&data, "content_block");
	cn_buf_add_char(&data, '{');
	if (!ev->raw.n)
		cn_json_add_text(&data, "type", cn_view_str(type_name(ev->block)));
	for (struct cn_json_iter it = cn_json_iter(cn_json_root(ev->raw));
	     cn_json_next(&it);) {
		if (is_replaced(ev->block, it.key, id))
			continue;
		if (data.p[data.n - 1] != '{')
			cn_buf_add_char(&data, ',');
		cn_buf_add_view(&data, it.whole);
	}
	add_fresh(&data, ev, id);
	cn_buf_add_str(&data, "}}");
	add_event(b, CN_EV_BLOCK_START, &data);
}

void cn_anthropic_add_delta(struct cn_buf *b, size_t index, const struct cn_event *ev)
{
	static const struct {
		const char *type, *member;
	} words[] = {
	    [CN_DELTA_TEXT] = {"text_delta", "text"},
	    [CN_DELTA_THINKING] = {"thinking_delta", "thinking"},
	    [CN_DELTA_SIGNATURE] = {"signature_delta", "signature"},
	    [CN_DELTA_INPUT_JSON] = {"input_json_delta", "partial_json"},
	    [CN_DELTA_OTHER] = {"", ""},
	};
	CN_AUTO(cn_buf) data = {0};

	open_data(&data, CN_EV_BLOCK_DELTA);
	cn_json_add_u64(&data, "index", index);
	cn_json_add_key(&data, "delta");
	if (ev->raw.n) {
		cn_buf_add_view(&data, ev->raw);
	} else {
		cn_buf_add_char(&data, '{');
		cn_json_add_text(&data, "type", cn_view_str(words[ev->delta].type));
		cn_json_add_text(&data, words[ev->delta].member, ev->text);
		cn_buf_add_char(&data, '}');
	}
	cn_buf_add_char(&data, '}');
	add_event(b, CN_EV_BLOCK_DELTA, &data);
}

void cn_anthropic_add_block_stop(struct cn_buf *b, size_t index)
{
	CN_AUTO(cn_buf) data = {0};

	open_data(&data, CN_EV_BLOCK_STOP);
	cn_json_add_u64(&data, "index", index);
	cn_buf_add_char(&data, '}');
	add_event(b, CN_EV_BLOCK_STOP, &data);
}

void cn_anthropic_add_message_delta(struct cn_buf *b, struct cn_view stop_reason,
                                    struct cn_view stop_sequence,
                                    const struct cn_usage *usage, struct cn_view raw)
{
	CN_AUTO(cn_buf) data = {0};
	struct cn_json root = cn_json_root(raw);

	open_data(&data, CN_EV_MESSAGE_DELTA);
	cn_json_add_key(&data, "delta");
	cn_buf_add_char(&data, '{');
	cn_json_add_text(&data, "stop_reason", stop_reason);
	if (stop_sequence.n)
		cn_json_add_text(&data, "stop_sequence", stop_sequence);
	else
		cn_json_add_raw(&data, "stop_sequence", CN_VIEW("null"));
	for (struct cn_json_iter it = cn_json_iter(cn_json_get(root, "delta"));
	     cn_json_next(&it);) {
		if (cn_json_key_is(it.key, "stop_reason") ||
		    cn_json_key_is(it.key, "stop_sequence"))
			continue;
		cn_buf_add_char(&data, ',');
		cn_buf_add_view(&data, it.whole);
	}
	cn_buf_add_char(&data, '}');
	add_usage(&data, usage, false, cn_json_get(root, "usage"));
	for (struct cn_json_iter it = cn_json_iter(root); cn_json_next(&it);) {
		if (cn_json_key_is(it.key, "type") || cn_json_key_is(it.key, "delta") ||
		    cn_json_key_is(it.key, "usage"))
			continue;
		cn_buf_add_char(&data, ',');
		cn_buf_add_view(&data, it.whole);
	}
	cn_buf_add_char(&data, '}');
	add_event(b, CN_EV_MESSAGE_DELTA, &data);
}

void cn_anthropic_add_message_stop(struct cn_buf *b)
{
	cn_sse_add(b, "message_stop", CN_VIEW("{\"type\":\"message_stop\"}"));
}

void cn_anthropic_add_ping(struct cn_buf *b)
{
	cn_sse_add(b, "ping", CN_VIEW("{\"type\":\"ping\"}"));
}

void cn_anthropic_add_error(struct cn_buf *b, struct cn_view type, struct cn_view message,
                            struct cn_view request_id)
{
	CN_AUTO(cn_buf) data = {0};

	cn_anthropic_error_body(&data, type, message, request_id);
	add_event(b, CN_EV_ERROR, &data);
}
