/*
 * What the Chat Completions decoder tells: blocks with dense indices, one text or thought
 * open at a time, and a thought that opens the text between tags taken out of it.
 *
 * Owns nothing of its own; the state is the decoder's.  Tool calls are openai_chat_calls.c.
 */
#include "openai_chat_impl.h"

/* Of local servers without a reasoning parser, and of gateways that pass thoughts through.
 */
static const struct {
	const char *open, *close;
} tags[] = {
    {"<think>", "</think>"},
    {"<thinking>", "</thinking>"},
    {"<thought>", "</thought>"},
};

void cn_chat__tell(struct cn_chat *c, const struct cn_event *ev)
{
	cn_wire__tell(&c->base, ev);
}

void cn_chat__close(struct cn_chat *c)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_STOP, .index = c->block};

	if (c->open)
		cn_chat__tell(c, &ev);
	c->open = false;
}

size_t cn_chat__next_block(struct cn_chat *c)
{
	cn_chat__close(c);
	return c->n_blocks++;
}

/* A text or a thought; the one that is open goes on. */
static void open_block(struct cn_chat *c, enum cn_block_type type)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_START, .block = type};

	if (c->open && c->type == type)
		return;
	c->block = cn_chat__next_block(c);
	cn_chat__close_whole_calls(c);
	c->open = true;
	c->type = type;
	ev.index = c->block;
	cn_chat__tell(c, &ev);
}

static void add(struct cn_chat *c, enum cn_block_type type, struct cn_view text)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .delta =
	                          type == CN_BLOCK_TEXT ? CN_DELTA_TEXT : CN_DELTA_THINKING,
	                      .text = text};

	if (text.n == 0)
		return;
	open_block(c, type);
	c->said += text.n;
	ev.index = c->block;
	cn_chat__tell(c, &ev);
}

void cn_chat__add_text(struct cn_chat *c, struct cn_view text)
{
	add(c, CN_BLOCK_TEXT, text);
}

static void take_text(struct cn_chat *c, struct cn_view text)
{
	if (c->family)
		cn_chat__markup(c, text);
	else
		cn_chat__add_text(c, text);
}

void cn_chat__thinking(struct cn_chat *c, struct cn_view text)
{
	add(c, CN_BLOCK_THINKING, text);
}

void cn_chat__signature(struct cn_chat *c, struct cn_view text)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .delta = CN_DELTA_SIGNATURE,
	                      .index = c->block,
	                      .text = text};

	/* It belongs to the thought before it; without one there is nothing to sign. */
	if (text.n && c->open && c->type == CN_BLOCK_THINKING)
		cn_chat__tell(c, &ev);
}

/* ---- thoughts between tags ---- */

size_t cn_chat__blanks(struct cn_view v)
{
	size_t n = 0;

	while (n < v.n && strchr(" \t\r\n", v.p[n]) && v.p[n])
		n++;
	return n;
}

/* How many bytes at the end of v could be the beginning of word. */
size_t cn_chat__begun(struct cn_view v, struct cn_view word)
{
	size_t n = v.n < word.n ? v.n : word.n - 1;

	while (n && !cn_view_ends(v, cn_view_cut(word, n)))
		n--;
	return n;
}

/* Whether a tag opens the text; *rest is then behind it.  maybe: more is needed to tell. */
static bool opens(struct cn_chat *c, struct cn_view *rest, bool *maybe)
{
	struct cn_view text = cn_view_from(*rest, cn_chat__blanks(*rest));

	*maybe = text.n == 0;
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		struct cn_view tag = cn_view_str(tags[i].open);

		*maybe |= text.n < tag.n && cn_view_starts(tag, text);
		if (!cn_view_starts(text, tag))
			continue;
		c->close_tag = tags[i].close;
		*rest = cn_view_from(text, tag.n);
		return true;
	}
	return false;
}

/* Text of a thought; its leading white space, and a thought of nothing else, go. */
static void think(struct cn_chat *c, struct cn_view text)
{
	if (!c->open || c->type != CN_BLOCK_THINKING)
		text = cn_view_from(text, cn_chat__blanks(text));
	cn_chat__thinking(c, text);
}

/* One step: what was used is cut from *rest.  false: the rest must wait. */
static bool step(struct cn_chat *c, struct cn_view *rest)
{
	struct cn_view close, text = *rest;
	size_t at;
	bool maybe;

	switch (c->thought) {
	case CN_CHAT_AT_START:
		if (opens(c, rest, &maybe))
			c->thought = CN_CHAT_INSIDE;
		else if (maybe)
			return false;
		else
			c->thought = CN_CHAT_IN_TEXT;
		return true;
	case CN_CHAT_INSIDE:
		close = cn_view_str(c->close_tag);
		at = cn_view_find(text, close, 0);
		if (at == SIZE_MAX) {
			at = text.n - cn_chat__begun(text, close);
			think(c, cn_view_cut(text, at));
			*rest = cn_view_from(text, at);
			return false;
		}
		think(c, cn_view_cut(text, at));
		*rest = cn_view_from(text, at + close.n);
		c->thought = CN_CHAT_BEHIND;
		return true;
	case CN_CHAT_BEHIND:
		*rest = cn_view_from(text, cn_chat__blanks(text));
		if (rest->n)
			c->thought = CN_CHAT_IN_TEXT;
		return rest->n > 0;
	case CN_CHAT_IN_TEXT:
		take_text(c, text);
		*rest = cn_view_from(text, text.n);
		return false;
	}
	return false;
}

void cn_chat__text(struct cn_chat *c, struct cn_view text)
{
	CN_AUTO(cn_buf) whole = {0};

	if (text.n == 0)
		return;
	if (c->held.n) {
		whole = c->held;
		c->held = (struct cn_buf){0};
		cn_buf_add_view(&whole, text);
		text = cn_buf_view(&whole);
	}
	while (text.n && step(c, &text))
		;
	cn_buf_add_view(&c->held, text);
}

void cn_chat__text_end(struct cn_chat *c)
{
	CN_AUTO(cn_buf) rest = c->held;

	c->held = (struct cn_buf){0};
	if (c->thought == CN_CHAT_INSIDE)
		think(c, cn_buf_view(&rest));
	else
		take_text(c, cn_buf_view(&rest));
}
