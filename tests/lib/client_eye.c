/* The strict reader: what a Messages stream must be (wire/anthropic-messages.md). */
#include "client_eye.h"

#include "continuo/anthropic.h"
#include "continuo/sse.h"

static void complain(struct client_eye *c, const char *what)
{
	if (!c->wrong)
		c->wrong = what;
}

static bool good_id(struct cn_view id)
{
	for (size_t i = 0; i < id.n; i++)
		if (!(id.p[i] >= '0' && id.p[i] <= '9') &&
		    !(id.p[i] >= 'a' && id.p[i] <= 'z') &&
		    !(id.p[i] >= 'A' && id.p[i] <= 'Z') && id.p[i] != '_' && id.p[i] != '-')
			return false;
	return id.n > 0;
}

static void on_call(struct client_eye *c, const struct cn_event *ev)
{
	struct client_call *call = &c->calls[c->n_calls];

	if (c->n_calls == CLIENT_CALLS_MAX) {
		complain(c, "more calls than anybody made");
		return;
	}
	if (!good_id(ev->id) || ev->name.n == 0)
		complain(c, "a call without a usable id and name");
	for (size_t i = 0; i < c->n_calls; i++)
		if (cn_view_eq(c->calls[i].id, ev->id))
			complain(c, "two calls of one id");
	call->id = cn_arena_view(&c->arena, ev->id);
	call->name = cn_arena_view(&c->arena, ev->name);
	c->n_calls++;
}

static void on_block_start(struct client_eye *c, const struct cn_event *ev)
{
	if (!c->started || c->open || c->delta || c->error || ev->index != c->n_blocks)
		complain(c, "content_block_start out of order");
	c->open = true;
	c->type = ev->block;
	cn_buf_clear(&c->body);
	if (ev->block == CN_BLOCK_TEXT || ev->block == CN_BLOCK_THINKING)
		cn_buf_add_view(&c->body, ev->text);
	else if (ev->block == CN_BLOCK_TOOL_USE && ev->text.n)
		complain(c, "a call with input in its start");
	if (ev->block == CN_BLOCK_TOOL_USE)
		on_call(c, ev);
}

static void on_delta(struct client_eye *c, const struct cn_event *ev)
{
	static const enum cn_block_type wants[] = {
	    [CN_DELTA_TEXT] = CN_BLOCK_TEXT,
	    [CN_DELTA_THINKING] = CN_BLOCK_THINKING,
	    [CN_DELTA_SIGNATURE] = CN_BLOCK_THINKING,
	    [CN_DELTA_INPUT_JSON] = CN_BLOCK_TOOL_USE,
	};
	bool server = c->type == CN_BLOCK_SERVER_TOOL && ev->delta == CN_DELTA_INPUT_JSON;

	if (!c->open || c->error || ev->index != c->n_blocks)
		complain(c, "content_block_delta out of order");
	if (ev->delta == CN_DELTA_OTHER)
		return;
	if (c->type != wants[ev->delta] && !server)
		complain(c, "a delta in a block of another type");
	if (ev->delta != CN_DELTA_SIGNATURE)
		cn_buf_add_view(&c->body, ev->text);
}

static void block_over(struct client_eye *c)
{
	if (c->type == CN_BLOCK_TEXT && c->body.n) {
		if (c->text.n)
			cn_buf_add_str(&c->text, "\n\n");
		cn_buf_add_view(&c->text, cn_buf_view(&c->body));
	}
	if (c->type == CN_BLOCK_TOOL_USE && c->n_calls)
		c->calls[c->n_calls - 1].input =
		    c->body.n ? cn_arena_view(&c->arena, cn_buf_view(&c->body))
			      : CN_VIEW("{}");
	cn_buf_printf(&c->blocks, "%d ", (int)c->type);
	cn_buf_add_view(&c->blocks, cn_buf_view(&c->body));
	cn_buf_add_char(&c->blocks, c->open ? '+' : '\n');
}

static void on_block_stop(struct client_eye *c, const struct cn_event *ev)
{
	if (!c->open || c->error || ev->index != c->n_blocks)
		complain(c, "content_block_stop out of order");
	c->open = false;
	c->n_blocks++;
	block_over(c);
	if (c->type == CN_BLOCK_TOOL_USE && c->n_calls) {
		struct client_call *call = &c->calls[c->n_calls - 1];

		call->whole = true;
		if (cn_json_check(call->input, NULL) ||
		    cn_json_root(call->input).kind != CN_JSON_OBJECT)
			complain(c, "a call whose input is no JSON object");
	}
}

static void on_message_delta(struct client_eye *c, const struct cn_event *ev)
{
	if (!c->started || c->open || c->delta || c->error)
		complain(c, "message_delta out of order");
	if (!ev->usage.has_output || ev->stop_reason.n == 0)
		complain(c, "message_delta without usage or stop_reason");
	c->delta = true;
	c->output = ev->usage.output;
	c->stop_reason = cn_arena_view(&c->arena, ev->stop_reason);
	c->stop_sequence = cn_arena_view(&c->arena, ev->stop_sequence);
}

static bool on_event(void *self, const struct cn_sse_event *sse)
{
	struct client_eye *c = self;
	struct cn_event ev;

	if (cn_anthropic_decode(&c->arena, sse->name, sse->data, &ev, NULL) ||
	    !cn_view_is(sse->name, cn_event_name(ev.kind)))
		complain(c, "an event that cannot be read");
	else if (c->stopped || c->error)
		complain(c, "an event behind the end");
	switch (ev.kind) {
	case CN_EV_MESSAGE_START:
		if (c->started || !ev.usage.has_input || !ev.usage.has_output ||
		    ev.id.n == 0)
			complain(c, "message_start");
		c->started = true;
		break;
	case CN_EV_BLOCK_START:
		on_block_start(c, &ev);
		break;
	case CN_EV_BLOCK_DELTA:
		on_delta(c, &ev);
		break;
	case CN_EV_BLOCK_STOP:
		on_block_stop(c, &ev);
		break;
	case CN_EV_MESSAGE_DELTA:
		on_message_delta(c, &ev);
		break;
	case CN_EV_MESSAGE_STOP:
		if (!c->delta)
			complain(c, "message_stop out of order");
		c->stopped = true;
		break;
	case CN_EV_ERROR:
		if (!c->started || c->delta)
			complain(c, "an error out of order");
		c->error = true;
		break;
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_UNKNOWN:
		complain(c, "an event that nobody sent");
		break;
	}
	return !c->wrong;
}

void client_eye_read(struct client_eye *c, struct cn_view bytes)
{
	struct cn_sse s;

	*c = (struct client_eye){0};
	cn_sse_init(&s, on_event, c);
	if (cn_sse_feed(&s, bytes, 5000, NULL))
		complain(c, "bytes that are no events");
	if (cn_sse_pending(&s))
		complain(c, "half an event at the end");
	cn_sse_done(&s);
	if (c->open)
		block_over(c); /* cut: what was seen of it counts */
	if (c->open && c->type == CN_BLOCK_TEXT && c->body.n && c->error)
		complain(c, "text left open before an error");
	if (c->open && c->stopped)
		complain(c, "a block left open");
}

void client_eye_done(struct client_eye *c)
{
	cn_buf_done(&c->text);
	cn_buf_done(&c->blocks);
	cn_buf_done(&c->body);
	cn_arena_done(&c->arena);
}
