/* Answers from and to server-sent events in the Messages format. */
#include "answer.h"

#include <stdio.h>

#include "continuo/anthropic.h"
#include "continuo/sse.h"

struct answer_part *answer_add(struct answer *to, enum cn_block_type type)
{
	struct answer_part *part = &to->parts[to->n++];

	cn_assert(to->n <= ANSWER_PARTS_MAX);
	*part = (struct answer_part){.type = type};
	return part;
}

void answer_text(const struct answer *from, struct cn_buf *b)
{
	for (size_t i = 0; i < from->n; i++) {
		if (from->parts[i].type != CN_BLOCK_TEXT || from->parts[i].body.n == 0)
			continue;
		if (b->n)
			cn_buf_add_str(b, "\n\n");
		cn_buf_add_view(b, from->parts[i].body);
	}
}

/* ---- reading ---- */

struct reading {
	struct cn_arena *arena;
	struct answer *to;
	struct cn_buf *tools;
	struct cn_buf body;
	struct answer_part *part; /* open; NULL: none */
	size_t index;
	bool over;
};

static void part_over(struct reading *r)
{
	if (r->part && r->body.n)
		r->part->body = cn_arena_view(r->arena, cn_buf_view(&r->body));
	cn_buf_clear(&r->body);
	r->part = NULL;
}

static void on_block(struct reading *r, const struct cn_event *ev)
{
	part_over(r);
	if (r->to->n == ANSWER_PARTS_MAX)
		return;
	r->part = answer_add(r->to, ev->block);
	r->index = ev->index;
	r->part->id = cn_arena_view(r->arena, ev->id);
	r->part->name = cn_arena_view(r->arena, ev->name);
	if (ev->block == CN_BLOCK_TOOL_USE) {
		cn_buf_add_str(r->tools, ",{");
		cn_json_add_text(r->tools, "name", ev->name);
		cn_buf_add_char(r->tools, '}');
		r->part->body = ev->text.n ? cn_arena_view(r->arena, ev->text)
		                           : CN_VIEW("{}"); /* unless deltas come */
	} else {
		cn_buf_add_view(&r->body, ev->text);
	}
}

static bool on_event(void *self, const struct cn_sse_event *sse)
{
	struct reading *r = self;
	struct cn_event ev;

	if (sse->comment)
		return true;
	if (cn_anthropic_decode(r->arena, sse->name, sse->data, &ev, NULL))
		return false;
	switch (ev.kind) {
	case CN_EV_MESSAGE_START:
		r->to->input = ev.usage.input;
		break;
	case CN_EV_BLOCK_START:
		on_block(r, &ev);
		break;
	case CN_EV_BLOCK_DELTA:
		if (r->part && ev.index == r->index && ev.delta != CN_DELTA_SIGNATURE)
			cn_buf_add_view(&r->body, ev.text);
		break;
	case CN_EV_BLOCK_STOP:
		if (r->part && ev.index == r->index)
			part_over(r);
		break;
	case CN_EV_MESSAGE_DELTA:
		r->to->stop_reason = cn_arena_view(r->arena, ev.stop_reason);
		r->to->output = ev.usage.output;
		break;
	case CN_EV_MESSAGE_STOP:
	case CN_EV_ERROR:
		return false;
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_UNKNOWN:
		break;
	}
	return true;
}

void answer_read(struct cn_arena *a, struct cn_view stream, struct answer *ret,
                 struct cn_buf *tools)
{
	struct reading r = {.arena = a, .to = ret, .tools = tools};
	struct cn_sse sse;

	ret->n = 0;
	cn_sse_init(&sse, on_event, &r);
	(void)!cn_sse_feed(&sse, stream, 1, NULL); /* we stop it ourselves */
	cn_sse_done(&sse);
	part_over(&r);
	cn_buf_done(&r.body);
}

/* ---- writing ---- */

/* At most n bytes of text, whole characters. */
static size_t piece_of(struct cn_view text, size_t n)
{
	if (n >= text.n)
		return text.n;
	while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static void write_deltas(struct cn_buf *b, size_t index, enum cn_delta_type type,
                         struct cn_view text, struct dice *d)
{
	size_t most = dice_percent(d, 20) ? 3 : dice_percent(d, 20) ? 400 : 40;

	while (text.n) {
		size_t n = piece_of(text, 1 + dice_below(d, most));
		struct cn_event ev = {.delta = type, .text = cn_view_cut(text, n)};

		cn_anthropic_add_delta(b, index, &ev);
		text = cn_view_from(text, n);
		if (dice_percent(d, 2))
			cn_anthropic_add_ping(b);
	}
}

static void write_part(struct cn_buf *b, const struct answer_part *part, size_t index,
                       struct dice *d)
{
	struct cn_event start = {.block = part->type, .name = part->name};
	enum cn_delta_type type = part->type == CN_BLOCK_TOOL_USE   ? CN_DELTA_INPUT_JSON
	                          : part->type == CN_BLOCK_THINKING ? CN_DELTA_THINKING
	                                                            : CN_DELTA_TEXT;

	if (part->type == CN_BLOCK_REDACTED_THINKING)
		start.raw =
		    CN_VIEW("{\"type\":\"redacted_thinking\",\"data\":\"c2VjcmV0\"}");
	cn_anthropic_add_block_start(b, index, &start, part->id);
	if (part->type == CN_BLOCK_TEXT && dice_percent(d, 10))
		cn_anthropic_add_delta(b, index, &(struct cn_event){.delta = type});
	write_deltas(b, index, type, part->body, d);
	write_deltas(b, index, CN_DELTA_SIGNATURE, part->signature, d);
	/* Some backends forget it; what follows says so too, but for a call. */
	if (part->type != CN_BLOCK_TEXT || !dice_percent(d, 3))
		cn_anthropic_add_block_stop(b, index);
}

/* The same with CR LF. */
static void add_returns(struct cn_buf *b)
{
	CN_AUTO(cn_buf) as = {0};

	for (size_t i = 0; i < b->n; i++) {
		if (b->p[i] == '\n')
			cn_buf_add_char(&as, '\r');
		cn_buf_add_char(&as, b->p[i]);
	}
	cn_buf_clear(b);
	cn_buf_add_view(b, cn_buf_view(&as));
}

void answer_write(const struct answer *from, struct dice *d, struct cn_buf *b)
{
	struct cn_usage usage = {
	    .input = from->input, .has_input = true, .output = 1, .has_output = true};
	char id[32];

	snprintf(id, sizeof(id), "msg_%llx", (unsigned long long)(dice_next(d) >> 8));
	if (!dice_percent(d, 3))
		cn_anthropic_add_start(b, cn_view_str(id), CN_VIEW("m"), &usage,
		                       (struct cn_view){NULL, 0});
	if (dice_percent(d, 50))
		cn_anthropic_add_ping(b);
	for (size_t i = 0; i < from->n; i++)
		write_part(b, &from->parts[i], i, d);
	usage.output = from->output;
	if (from->stop_reason.n)
		cn_anthropic_add_message_delta(b, from->stop_reason, from->stop_sequence,
		                               &usage, (struct cn_view){NULL, 0});
	cn_anthropic_add_message_stop(b);
	if (dice_percent(d, 10))
		add_returns(b);
}
