/* See answer_ear.h.  Owns what was heard; borrows nothing. */
#include "answer_ear.h"

#include "continuo/sse.h"

void ear_done(struct ear *e)
{
	for (size_t i = 0; i < e->n_tools; i++) {
		cn_buf_done(&e->tools[i].id);
		cn_buf_done(&e->tools[i].name);
		cn_buf_done(&e->tools[i].input);
	}
	cn_buf_done(&e->text);
	cn_buf_done(&e->thinking);
	cn_buf_done(&e->signature);
	cn_buf_done(&e->log);
	cn_buf_done(&e->data);
	cn_buf_done(&e->stop_reason);
	cn_buf_done(&e->stop_sequence);
	cn_arena_done(&e->arena);
	e->decoder = cn_decoder_free(e->decoder);
}

static struct ear_tool *tool_at(struct ear *e, size_t block)
{
	for (size_t i = 0; i < e->n_tools; i++)
		if (e->tools[i].block == block)
			return &e->tools[i];
	return NULL;
}

static void on_start(struct ear *e, const struct cn_event *ev)
{
	struct ear_tool *t;

	if (ev->index != e->n_blocks++)
		e->wrong = "indices that are not dense";
	e->n_open++;
	/* What stands in the start of a text is text. */
	if (ev->block == CN_BLOCK_TEXT)
		cn_buf_add_view(&e->text, ev->text);
	if (ev->block == CN_BLOCK_THINKING)
		cn_buf_add_view(&e->thinking, ev->text);
	if (ev->block == CN_BLOCK_REDACTED_THINKING) {
		cn_buf_add_view(
		    &e->data,
		    cn_json_text(&e->arena, cn_json_get(cn_json_root(ev->raw), "data")));
		cn_buf_add_char(&e->data, '\n');
	}
	if (ev->block != CN_BLOCK_TOOL_USE)
		return;
	t = &e->tools[e->n_tools++];
	t->block = ev->index;
	cn_buf_add_view(&t->id, ev->id);
	cn_buf_add_view(&t->name, ev->name);
}

static void on_delta(struct ear *e, const struct cn_event *ev)
{
	struct ear_tool *t = tool_at(e, ev->index);

	if (ev->delta == CN_DELTA_TEXT)
		cn_buf_add_view(&e->text, ev->text);
	else if (ev->delta == CN_DELTA_THINKING)
		cn_buf_add_view(&e->thinking, ev->text);
	else if (ev->delta == CN_DELTA_SIGNATURE)
		cn_buf_add_view(&e->signature, ev->text);
	else if (t)
		cn_buf_add_view(&t->input, ev->text);
	if (t && t->stopped)
		e->wrong = "a delta behind its stop";
}

static bool on_event(void *self, const struct cn_event *ev)
{
	struct ear *e = self;
	struct ear_tool *t;

	/* A sign of life is no part of the answer. */
	if (ev->kind == CN_EV_PROGRESS) {
		e->lives++;
		return true;
	}
	cn_buf_printf(&e->log, "%s %zu %d %.*s\n", cn_event_name(ev->kind), ev->index,
	              (int)ev->delta, CN_VIEW_ARG(ev->text));
	if (e->starts == 0 && ev->kind != CN_EV_MESSAGE_START && ev->kind != CN_EV_ERROR)
		e->wrong = "something before message_start";
	if (e->stops)
		e->wrong = "something behind message_stop";
	if (e->deltas && ev->kind != CN_EV_MESSAGE_STOP)
		e->wrong = "something between message_delta and message_stop";
	switch (ev->kind) {
	case CN_EV_MESSAGE_START:
		e->starts++;
		cn_usage_merge(&e->usage, &ev->usage);
		break;
	case CN_EV_BLOCK_START:
		on_start(e, ev);
		break;
	case CN_EV_BLOCK_DELTA:
		on_delta(e, ev);
		break;
	case CN_EV_BLOCK_STOP:
		e->n_open--;
		if ((t = tool_at(e, ev->index)))
			t->stopped = true;
		break;
	case CN_EV_MESSAGE_DELTA:
		e->deltas++;
		cn_buf_add_view(&e->stop_reason, ev->stop_reason);
		cn_buf_add_view(&e->stop_sequence, ev->stop_sequence);
		cn_usage_merge(&e->usage, &ev->usage);
		break;
	case CN_EV_MESSAGE_STOP:
		e->stops++;
		break;
	case CN_EV_ERROR:
		e->errors++;
		break;
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_UNKNOWN:
		e->wrong = "an event that means nothing";
	}
	return true;
}

static bool on_sse(void *self, const struct cn_sse_event *sse)
{
	struct ear *e = self;

	return sse->comment ||
	       !cn_decoder_event(e->decoder, &e->arena, sse->name, sse->data, NULL);
}

void ear_hear(struct ear *e, enum cn_wire wire, struct cn_view body, bool stream,
              size_t step, const struct cn_decode_hints *hints)
{
	struct cn_sse s;
	int bad = 0;

	*e = (struct ear){0};
	e->decoder = cn_decoder_new(cn_dialect_of(wire), hints, on_event, e);
	if (!stream) {
		e->errors += cn_decoder_whole(e->decoder, &e->arena, body, NULL) != 0;
		return;
	}
	cn_sse_init(&s, on_sse, e);
	for (size_t at = 0; at < body.n && !bad; at += step)
		bad = cn_sse_feed(&s, cn_view_cut(cn_view_from(body, at), step),
		                  at / 1000 * 1000, NULL);
	if (!bad)
		bad = cn_sse_feed(&s, CN_VIEW("\n\n"), 1000000, NULL);
	e->errors += bad != 0;
	if (!bad)
		(void)cn_decoder_end(e->decoder, &e->arena);
	cn_sse_done(&s);
}

void ear_hear_deltas(struct ear *e, const char *const *deltas,
                     const struct cn_decode_hints *hints)
{
	CN_AUTO(cn_buf) b = {0};

	for (; *deltas; deltas++) {
		if (**deltas == '!')
			cn_buf_printf(&b, "data: %s\n\n", *deltas + 1);
		else if (**deltas == '=')
			cn_buf_printf(&b,
			              "data: {\"choices\":[{\"index\":0,\"delta\":{},"
			              "\"finish_reason\":\"%s\"}]}\n\n",
			              *deltas + 1);
		else
			cn_buf_printf(
			    &b, "data: {\"choices\":[{\"index\":0,\"delta\":%s}]}\n\n",
			    *deltas);
	}
	ear_hear(e, CN_WIRE_OPENAI_CHAT, cn_buf_view(&b), true, 5, hints);
}

void ear_say(const struct ear *e, struct cn_buf *b)
{
	cn_buf_add_view(b, cn_buf_view(&e->thinking));
	cn_buf_add_char(b, '|');
	cn_buf_add_view(b, cn_buf_view(&e->text));
	if (e->n_tools)
		cn_buf_add_char(b, '|');
	for (size_t i = 0; i < e->n_tools; i++) {
		cn_buf_add_view(b, cn_buf_view(&e->tools[i].name));
		cn_buf_add_char(b, '(');
		cn_buf_add_view(b, cn_buf_view(&e->tools[i].input));
		cn_buf_add_str(b, e->tools[i].stopped ? ")" : "...)");
	}
	cn_buf_add_char(b, '|');
	if (e->errors)
		cn_buf_add_str(b, "error");
	else if (!e->stops)
		cn_buf_add_str(b, "cut off");
	else
		cn_buf_add_view(b, cn_buf_view(&e->stop_reason));
}
