/*
 * The decoder of answers in the Messages format, for backends that are Anthropic's and for
 * those that deviate (wire/provider-quirks.md 5).
 *
 * What a backend of the real thing sends passes as it came.  Where text must be looked into
 * (thoughts between tags, calls, stop sequences) or calls be counted, blocks are told anew
 * by the composer.  A stream that turns out to be in the Chat Completions format is handed
 * to that decoder; one that nobody can read is never ended in silence.
 */
#include "continuo/anthropic.h"

#include "openai_chat_impl.h"

#define CN_OPEN_MAX 16

struct open_block {
	size_t upstream, ours;
	enum cn_block_type type;
	bool dropped;
};

struct messages {
	struct cn_composer out;
	bool composes;
	bool text_over, delta_told, stop_told;
	struct open_block open[CN_OPEN_MAX];
	size_t n_open, n_closed;
	struct cn_json calls;    /* of a whole answer: tool_calls beside its content */
	struct cn_decoder *chat; /* owned; reads all that comes, once there is one */
	int err;                 /* of a whole answer, while it is told */
	struct cn_error *reterr; /* borrowed, likewise */
};

static struct messages *messages_of(struct cn_decoder *d)
{
	return (struct messages *)d;
}

static bool has_quirk(const struct messages *m, enum cn_quirk q)
{
	return m->out.base.hints.quirks & cn_quirk_bit(q);
}

static int malformed(struct cn_error *reterr, const char *what)
{
	return cn_fail(reterr, CN_E_INVALID, "%s", what);
}

/* ---- the end ---- */

/* Where no text can follow: what was held of it is told. */
static int end_text(struct messages *m, struct cn_arena *a, struct cn_json calls, bool cut,
                    struct cn_error *reterr)
{
	int err = cn_compose__calls(&m->out, a, calls, true, reterr);

	if (err)
		return err;
	if (m->composes && !m->text_over) {
		m->text_over = true;
		cn_compose__text_end(&m->out, cut);
	}
	if (m->out.base.wrong)
		return malformed(reterr, m->out.base.wrong);
	cn_compose__close(&m->out);
	return cn_compose__end_calls(&m->out, cut, reterr);
}

static void tell_stop(struct messages *m)
{
	m->out.over = m->stop_told = true;
	cn_compose__tell(&m->out, &(struct cn_event){.kind = CN_EV_MESSAGE_STOP});
}

/* A stop sequence was found: what the backend says behind it is not wanted. */
static void end_early(struct messages *m)
{
	struct cn_event ev = {.kind = CN_EV_MESSAGE_DELTA,
	                      .stop_reason = m->out.n_started ? CN_VIEW("tool_use")
	                                                      : CN_VIEW("stop_sequence"),
	                      .stop_sequence = m->out.hit};

	m->out.base.cut_short = true;
	cn_compose__close(&m->out);
	cn_compose__tell(&m->out, &ev);
	tell_stop(m);
}

static void fail(struct messages *m, enum cn_stop_meaning meaning)
{
	bool overloaded = meaning == CN_STOP_OVERLOADED;
	struct cn_event ev = {
	    .kind = CN_EV_ERROR,
	    .error_type = overloaded ? CN_VIEW("overloaded_error") : CN_VIEW("api_error"),
	    .error_message = CN_VIEW("the backend broke its answer off"),
	};

	m->out.over = true;
	cn_compose__tell(&m->out, &ev);
}

/* tool_calls where a message_delta, or what it says, has them. */
static struct cn_json calls_in(const struct messages *m, const struct cn_event *ev)
{
	struct cn_json root = cn_json_root(ev->raw), calls = m->calls;

	if (calls.kind == CN_JSON_NONE)
		calls = cn_json_get(root, "tool_calls");
	if (calls.kind == CN_JSON_NONE)
		calls = cn_json_path(root, "delta", "tool_calls", NULL);
	return calls;
}

static int on_message_delta(struct messages *m, struct cn_arena *a,
                            const struct cn_event *ev, struct cn_error *reterr)
{
	enum cn_stop_meaning meaning = cn_wire__stop_meaning(ev->stop_reason);
	int err;

	if (meaning == CN_STOP_FAILURE || meaning == CN_STOP_OVERLOADED) {
		fail(m, meaning);
		return 0;
	}
	if (ev->stop_reason.n || calls_in(m, ev).kind != CN_JSON_NONE) {
		err = end_text(m, a, calls_in(m, ev), meaning == CN_STOP_CUT, reterr);
		if (err)
			return err;
	}
	/* The last of the text may have been a stop sequence. */
	if (m->out.hit.n)
		return 0;
	m->delta_told |= ev->stop_reason.n > 0;
	cn_compose__tell(&m->out, ev);
	return 0;
}

/* ---- blocks ---- */

static struct open_block *find(struct messages *m, size_t upstream)
{
	for (size_t i = 0; i < m->n_open; i++)
		if (m->open[i].upstream == upstream)
			return &m->open[i];
	return NULL;
}

/* Text, and thinking where calls may stand in it, is told by the composer. */
static bool is_composed(const struct messages *m, enum cn_block_type type)
{
	return m->composes &&
	       (type == CN_BLOCK_TEXT || (type == CN_BLOCK_THINKING && m->out.family));
}

static void tell_at(struct messages *m, size_t index, const struct cn_event *ev)
{
	struct cn_event ours = *ev;

	ours.index = index;
	cn_compose__tell(&m->out, &ours);
}

static void on_start(struct messages *m, const struct cn_event *ev)
{
	struct open_block *open = find(m, ev->index);
	bool again = open && open->type == ev->block;

	/* Of a backend that sends no stops the oldest are over. */
	if (!again && m->n_open == CN_OPEN_MAX)
		memmove(m->open, m->open + 1, --m->n_open * sizeof(*m->open));
	if (!again) {
		open = &m->open[m->n_open++];
		*open = (struct open_block){ev->index, ev->index, ev->block, false};
		/* The client asked for one at a time, whatever the backend makes of that.
		 */
		if (ev->block == CN_BLOCK_TOOL_USE)
			open->dropped = m->out.n_started++ && m->out.base.hints.one_call;
		if (m->composes && !is_composed(m, ev->block) && !open->dropped) {
			cn_compose__settle(&m->out);
			open->ours = cn_compose__next_block(&m->out);
		} else if (!m->composes && ev->index >= m->out.n_blocks) {
			m->out.n_blocks = ev->index + 1;
		}
	}
	if (open->dropped)
		return;
	if (!is_composed(m, ev->block))
		tell_at(m, open->ours, ev);
	else if (ev->block == CN_BLOCK_TEXT)
		cn_compose__text(&m->out, ev->text);
	else
		cn_compose__thinking(&m->out, ev->text);
}

static int on_text_delta(struct messages *m, const struct cn_event *ev,
                         struct cn_error *reterr)
{
	if (ev->delta == CN_DELTA_TEXT) {
		cn_compose__text(&m->out, ev->text);
		return 0;
	}
	if (ev->delta != CN_DELTA_OTHER)
		return malformed(reterr, "a delta in a block of another type");
	cn_compose__settle(&m->out);
	cn_compose__open_text(&m->out);
	tell_at(m, m->out.block, ev);
	return 0;
}

static int on_delta(struct messages *m, const struct cn_event *ev, struct cn_error *reterr)
{
	const struct open_block *open = find(m, ev->index);

	if (!m->composes || (open && !open->dropped && !is_composed(m, open->type))) {
		tell_at(m, open ? open->ours : ev->index, ev);
		return 0;
	}
	if (!open)
		return malformed(reterr, "a delta for a block that is not open");
	if (open->dropped)
		return 0;
	if (open->type == CN_BLOCK_TEXT)
		return on_text_delta(m, ev, reterr);
	if (ev->delta == CN_DELTA_THINKING) {
		cn_compose__thinking(&m->out, ev->text);
	} else if (ev->delta == CN_DELTA_SIGNATURE) {
		cn_markup__settle(&m->out, &m->out.in_thought);
		cn_compose__signature(&m->out, ev->text);
	}
	return 0;
}

static void on_stop(struct messages *m, const struct cn_event *ev)
{
	struct open_block *open = find(m, ev->index), was;

	if (!open) {
		/* Tolerated by who hears it. */
		if (!m->composes)
			cn_compose__tell(&m->out, ev);
		return;
	}
	was = *open;
	*open = m->open[--m->n_open];
	m->n_closed++;
	if (was.dropped)
		return;
	if (!is_composed(m, was.type)) {
		tell_at(m, was.ours, ev);
	} else if (was.type == CN_BLOCK_THINKING) {
		cn_markup__settle(&m->out, &m->out.in_thought);
		cn_compose__close(&m->out);
	} else if (!m->out.in_text.held.n && cn_stops__held(m->out.stops) == 0) {
		/* What is held may go on in the next block of text. */
		cn_compose__close(&m->out);
	}
}

/* ---- an event ---- */

static int take(struct messages *m, struct cn_arena *a, const struct cn_event *ev,
                struct cn_error *reterr)
{
	switch (ev->kind) {
	case CN_EV_MESSAGE_START:
		m->out.started = true;
		break;
	case CN_EV_BLOCK_START:
		m->out.started = true;
		on_start(m, ev);
		return 0;
	case CN_EV_BLOCK_DELTA:
		return on_delta(m, ev, reterr);
	case CN_EV_BLOCK_STOP:
		on_stop(m, ev);
		return 0;
	case CN_EV_MESSAGE_DELTA:
		return on_message_delta(m, a, ev, reterr);
	case CN_EV_MESSAGE_STOP: {
		struct cn_json none = {.kind = CN_JSON_NONE};
		int err = end_text(m, a, none, false, reterr);

		if (!err && !m->out.hit.n)
			tell_stop(m);
		return err;
	}
	case CN_EV_ERROR:
		m->out.over = true;
		break;
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_UNKNOWN:
		break;
	}
	cn_compose__tell(&m->out, ev);
	return 0;
}

static int take_and_settle(struct messages *m, struct cn_arena *a,
                           const struct cn_event *ev, struct cn_error *reterr)
{
	size_t heard = m->out.heard, told = m->out.told;
	int err;

	if (m->out.over)
		return 0;
	err = take(m, a, ev, reterr);
	if (err)
		return err;
	if (m->out.base.wrong)
		return malformed(reterr, m->out.base.wrong);
	if (m->out.hit.n && !m->out.over)
		end_early(m);
	else
		cn_compose__progress(&m->out, heard, told);
	return 0;
}

/* ---- what is in the other format ---- */

static bool on_chat_event(void *self, const struct cn_event *ev)
{
	struct messages *m = (struct messages *)self;

	cn_wire__tell(&m->out.base, ev);
	return !m->out.base.stopped;
}

static struct cn_decoder *chat_of(struct messages *m)
{
	struct cn_chat *chat;

	if (m->chat)
		return m->chat;
	m->chat = cn_decoder_new(cn_dialect_of(CN_WIRE_OPENAI_CHAT), &m->out.base.hints,
	                         on_chat_event, m);
	/* It goes on where this one was. */
	chat = (struct cn_chat *)m->chat;
	chat->out.started = m->out.started;
	chat->out.n_blocks = m->out.n_blocks;
	chat->out.n_started = m->out.n_started;
	return m->chat;
}

static bool is_chat(struct cn_json root)
{
	return cn_json_get(root, "choices").kind == CN_JSON_ARRAY &&
	       cn_json_get(root, "content").kind == CN_JSON_NONE;
}

static int chat_event(struct messages *m, struct cn_arena *a, struct cn_view data,
                      struct cn_error *reterr)
{
	struct cn_decoder *chat = chat_of(m);
	struct cn_view none = {NULL, 0};
	struct cn_event ev;
	int err;

	/* The events around it may still be this format's. */
	if (cn_anthropic_decode(a, none, data, &ev, NULL) == 0) {
		if (ev.kind == CN_EV_MESSAGE_DELTA)
			cn_chat__say_finish((struct cn_chat *)chat, ev.stop_reason);
		else if (ev.kind == CN_EV_MESSAGE_STOP)
			data = CN_VIEW("[DONE]");
		if (ev.kind != CN_EV_UNKNOWN && ev.kind != CN_EV_MESSAGE_STOP &&
		    ev.kind != CN_EV_ERROR)
			return 0;
	}
	err = cn_decoder_event(chat, a, none, data, reterr);
	m->out.base.cut_short = chat->cut_short;
	m->out.base.wrong = chat->wrong;
	return err;
}

/* An event of no type that we know: of the other format, an error, or nothing to us. */
static int look_closer(struct messages *m, struct cn_arena *a, struct cn_view data,
                       struct cn_error *reterr)
{
	struct cn_event ev = {.kind = CN_EV_UNKNOWN};
	struct cn_json root, none = {.kind = CN_JSON_NONE};
	int err;

	data = cn_view_trim(data);
	if (data.n == 0 || *data.p != '{' || cn_json_check(data, NULL))
		return take_and_settle(m, a, &ev, reterr);
	root = cn_json_root(data);
	if (is_chat(root)) {
		err = end_text(m, a, none, false, reterr);
		return err ? err : chat_event(m, a, data, reterr);
	}
	if (cn_json_get(root, "type").kind == CN_JSON_NONE &&
	    cn_json_get(root, "error").kind == CN_JSON_OBJECT) {
		ev.kind = CN_EV_ERROR;
		ev.raw = data;
	}
	return take_and_settle(m, a, &ev, reterr);
}

/* ---- the decoder ---- */

static void init(struct cn_decoder *d)
{
	struct messages *m = messages_of(d);

	cn_compose__init(&m->out);
	m->composes = m->out.family || m->out.stops || d->hints.one_call ||
	              has_quirk(m, CN_QUIRK_THINK_TAGS);
	if (!has_quirk(m, CN_QUIRK_THINK_TAGS))
		m->out.thought = CN_THOUGHT_IN_TEXT;
}

static void done(struct cn_decoder *d)
{
	struct messages *m = messages_of(d);

	cn_compose__done(&m->out);
	m->chat = cn_decoder_free(m->chat);
}

static size_t held(const struct cn_decoder *d)
{
	const struct messages *m = (const struct messages *)d;

	return cn_compose__held(&m->out) + cn_decoder_held(m->chat);
}

static int decode_event(struct cn_decoder *d, struct cn_arena *a, struct cn_view name,
                        struct cn_view data, struct cn_error *reterr)
{
	struct messages *m = messages_of(d);
	struct cn_event ev;
	int err;

	if (m->out.over)
		return 0;
	if (m->chat)
		return chat_event(m, a, data, reterr);
	err = cn_anthropic_decode(a, name, data, &ev, reterr);
	if (err)
		return err;
	if (ev.kind == CN_EV_UNKNOWN)
		return look_closer(m, a, data, reterr);
	return take_and_settle(m, a, &ev, reterr);
}

static void on_whole_event(void *self, const struct cn_event *ev)
{
	struct messages *m = self;
	CN_AUTO(cn_arena) a = {0};

	if (!m->err)
		m->err = take_and_settle(m, &a, ev, m->reterr);
}

static int decode_whole(struct cn_decoder *d, struct cn_arena *a, struct cn_view body,
                        struct cn_error *reterr)
{
	struct messages *m = messages_of(d);
	int err = cn_json_check(body, reterr);

	if (err)
		return err;
	if (is_chat(cn_json_root(body)))
		return cn_decoder_whole(chat_of(m), a, body, reterr);
	m->calls = cn_json_get(cn_json_root(body), "tool_calls");
	m->reterr = reterr;
	err = cn_anthropic_decode_message(a, body, on_whole_event, m, reterr);
	m->reterr = NULL;
	return err ? err : m->err;
}

/* Where nothing but the last events is missing, and the policy says that they may. */
static bool decode_end(struct cn_decoder *d, struct cn_arena *a)
{
	struct messages *m = messages_of(d);
	struct cn_json none = {.kind = CN_JSON_NONE};

	if (m->chat)
		return cn_decoder_end(m->chat, a);
	if (m->out.over || !has_quirk(m, CN_QUIRK_OPEN_END) || m->n_open || !m->n_closed ||
	    end_text(m, a, none, false, NULL))
		return false;
	if (m->out.hit.n) {
		end_early(m);
		return true;
	}
	if (!m->delta_told)
		cn_compose__tell(&m->out, &(struct cn_event){.kind = CN_EV_MESSAGE_DELTA});
	tell_stop(m);
	return true;
}

const struct cn_decoder_ops cn_wire__anthropic = {
    .size = sizeof(struct messages),
    .init = init,
    .done = done,
    .event = decode_event,
    .whole = decode_whole,
    .end = decode_end,
    .held = held,
};
