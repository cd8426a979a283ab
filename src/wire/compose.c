/*
 * An answer put together out of what a decoder reads: blocks with dense indices, one text
 * or thought open at a time, and a thought between tags taken out of the text.
 *
 * Thinking that the client did not ask for is no block; that it came is told as progress.
 * Owns what is held; the search for calls is toolmarkup.c's, that for stop sequences
 * compose_stops.c's.
 */
#include "compose_impl.h"
#include "toolmarkup_impl.h"

/* Text held for a thought whose opening tag is missing; more of it is text. */
#define CN_PERHAPS_MAX ((size_t)256 << 10)
/* White space before a tag; more of it is text. */
#define CN_BLANKS_MAX 4096

/* Of servers without a reasoning parser, and of gateways that pass thoughts through. */
static const struct {
	const char *open, *close;
} tags[] = {
    {"<think>", "</think>"},
    {"<thinking>", "</thinking>"},
    {"<thought>", "</thought>"},
    {"<|channel|>analysis<|message|>", "<|end|>"},
    {"<|open|>think<|sep|>", "<|close|>think<|sep|>"},
};
enum {
	CN_N_TAGS = sizeof(tags) / sizeof(tags[0])
};

/* ---- life ---- */

static bool has_quirk(const struct cn_composer *c, enum cn_quirk q)
{
	return c->base.hints.quirks & cn_quirk_bit(q);
}

void cn_compose__init(struct cn_composer *c)
{
	c->family = cn_markup__family(&c->base.hints);
	c->stops = cn_stops__new(c->base.hints.stop_sequences);
}

void cn_compose__done(struct cn_composer *c)
{
	cn_compose__calls_done(c);
	cn_buf_done(&c->held);
	cn_buf_done(&c->detail);
	cn_buf_done(&c->in_text.held);
	cn_buf_done(&c->in_thought.held);
	c->stops = cn_stops__free(c->stops);
}

size_t cn_compose__held(const struct cn_composer *c)
{
	return c->held.cap + c->detail.cap + c->in_text.held.cap + c->in_thought.held.cap +
	       cn_stops__held(c->stops) + cn_compose__calls_held(c);
}

void cn_compose__tell(struct cn_composer *c, const struct cn_event *ev)
{
	c->told++;
	cn_wire__tell(&c->base, ev);
}

void cn_compose__progress(struct cn_composer *c, size_t heard, size_t told)
{
	if (c->heard > heard && c->told == told && c->started)
		cn_compose__tell(c, &(struct cn_event){.kind = CN_EV_PROGRESS});
}

/* ---- blocks ---- */

/* What goes back with a thought, if it says more than which of them it is. */
static void tell_detail(struct cn_composer *c)
{
	struct cn_json detail = cn_json_root(cn_buf_view(&c->detail));
	bool more = false;

	for (struct cn_json_iter it = cn_json_iter(detail); cn_json_next(&it);)
		more |= !cn_json_key_is(it.key, "type") && !cn_json_key_is(it.key, "index");
	if (more)
		cn_compose__signature(c, cn_buf_view(&c->detail));
	cn_buf_clear(&c->detail);
}

void cn_compose__close(struct cn_composer *c)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_STOP, .index = c->block};

	if (!c->open)
		return;
	if (c->type == CN_BLOCK_THINKING)
		tell_detail(c);
	cn_compose__tell(c, &ev);
	c->open = false;
}

size_t cn_compose__next_block(struct cn_composer *c)
{
	cn_stops__flush(c);
	cn_compose__close(c);
	return c->n_blocks++;
}

/* A text or a thought; the one that is open goes on. */
static void open_block(struct cn_composer *c, enum cn_block_type type)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_START, .block = type};

	if (c->open && c->type == type)
		return;
	c->block = cn_compose__next_block(c);
	cn_compose__close_whole_calls(c);
	c->open = true;
	c->type = type;
	ev.index = c->block;
	cn_compose__tell(c, &ev);
}

void cn_compose__open_text(struct cn_composer *c)
{
	open_block(c, CN_BLOCK_TEXT);
}

void cn_compose__add(struct cn_composer *c, enum cn_block_type type, struct cn_view text)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .delta =
	                          type == CN_BLOCK_TEXT ? CN_DELTA_TEXT : CN_DELTA_THINKING,
	                      .text = text};

	if (text.n == 0 || c->hit.n)
		return;
	c->said += text.n;
	if (type == CN_BLOCK_THINKING && !c->base.hints.thinking)
		return;
	open_block(c, type);
	ev.index = c->block;
	cn_compose__tell(c, &ev);
}

void cn_compose__plain_text(struct cn_composer *c, struct cn_view text)
{
	if (c->stops)
		cn_stops__feed(c, text);
	else
		cn_compose__add(c, CN_BLOCK_TEXT, text);
}

void cn_compose__plain_thinking(struct cn_composer *c, struct cn_view text)
{
	cn_compose__add(c, CN_BLOCK_THINKING, text);
}

static void take_text(struct cn_composer *c, struct cn_view text)
{
	if (text.n == 0)
		return;
	if (!c->family) {
		cn_compose__plain_text(c, text);
		return;
	}
	cn_markup__settle(c, &c->in_thought);
	cn_markup__feed(c, &c->in_text, text);
}

static void take_thinking(struct cn_composer *c, struct cn_view text)
{
	if (text.n == 0)
		return;
	if (!c->family) {
		cn_compose__plain_thinking(c, text);
		return;
	}
	cn_markup__settle(c, &c->in_text);
	cn_markup__feed(c, &c->in_thought, text);
}

void cn_compose__thinking(struct cn_composer *c, struct cn_view text)
{
	c->heard += text.n;
	take_thinking(c, text);
}

void cn_compose__signature(struct cn_composer *c, struct cn_view text)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .delta = CN_DELTA_SIGNATURE,
	                      .index = c->block,
	                      .text = text};

	/* It belongs to the thought before it; without one there is nothing to sign. */
	if (text.n && c->open && c->type == CN_BLOCK_THINKING)
		cn_compose__tell(c, &ev);
}

/* ---- thoughts that must go back as they came ---- */

static bool same_raw(struct cn_json a, struct cn_json b)
{
	return a.kind == b.kind && cn_view_eq(a.raw, b.raw);
}

/* Whether the element goes on with the one whose thought is open. */
static bool goes_on(const struct cn_composer *c, struct cn_json detail)
{
	struct cn_json open = cn_json_root(cn_buf_view(&c->detail));
	static const char *const keys[] = {"type", "index", "id"};

	if (!c->open || c->type != CN_BLOCK_THINKING || c->detail.n == 0)
		return false;
	for (size_t i = 0; i < 3; i++) {
		struct cn_json was = cn_json_get(open, keys[i]),
			       is = cn_json_get(detail, keys[i]);

		/* Later pieces may leave out who they are. */
		if (is.kind != CN_JSON_NONE && is.kind != CN_JSON_NULL &&
		    was.kind != CN_JSON_NONE && !same_raw(was, is))
			return false;
	}
	return true;
}

/* The members of both but the text; what is said again replaces what was. */
static void merge_detail(struct cn_composer *c, struct cn_json detail)
{
	CN_AUTO(cn_buf) all = {0};
	struct cn_json was = cn_json_root(cn_buf_view(&c->detail));

	cn_buf_add_char(&all, '{');
	for (size_t pass = 0; pass < 2; pass++)
		for (struct cn_json_iter it = cn_json_iter(pass ? detail : was);
		     cn_json_next(&it);) {
			CN_AUTO(cn_buf) key = {0};

			cn_buf_add_view(&key, it.key);
			if (it.value.kind == CN_JSON_NULL ||
			    cn_json_key_is(it.key, "text") ||
			    cn_json_key_is(it.key, "summary") ||
			    (pass == 0 &&
			     cn_json_get(detail, cn_buf_cstr(&key)).kind >=
			         CN_JSON_OBJECT &&
			     cn_json_get(detail, cn_buf_cstr(&key)).kind != CN_JSON_NULL))
				continue;
			if (all.n > 1)
				cn_buf_add_char(&all, ',');
			cn_buf_add_view(&all, it.whole);
		}
	cn_buf_add_char(&all, '}');
	cn_buf_clear(&c->detail);
	cn_buf_add_view(&c->detail, cn_buf_view(&all));
}

static void settle_markup(struct cn_composer *c)
{
	if (!c->family)
		return;
	cn_markup__settle(c, &c->in_thought);
	cn_markup__settle(c, &c->in_text);
}

void cn_compose__detail(struct cn_composer *c, struct cn_arena *a, struct cn_json detail,
                        bool with_text)
{
	struct cn_json text = cn_json_get(detail, "text");
	bool signs = cn_json_get(detail, "signature").raw.n > 2 &&
	             cn_json_get(detail, "signature").kind == CN_JSON_STRING;

	if (detail.kind != CN_JSON_OBJECT)
		return;
	if (text.kind != CN_JSON_STRING)
		text = cn_json_get(detail, "summary");
	if (text.kind != CN_JSON_STRING && !signs) {
		cn_compose__carrier(c, detail.raw);
		return;
	}
	if (c->detail.n && !goes_on(c, detail)) {
		settle_markup(c);
		cn_compose__close(c);
		cn_buf_clear(&c->detail);
	}
	if (with_text)
		cn_compose__thinking(c, cn_json_text(a, text));
	if (!c->base.hints.thinking)
		return;
	settle_markup(c);
	if (signs)
		open_block(c, CN_BLOCK_THINKING);
	if (c->open && c->type == CN_BLOCK_THINKING)
		merge_detail(c, detail);
}

void cn_compose__carrier(struct cn_composer *c, struct cn_view raw)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_START,
	                      .block = CN_BLOCK_REDACTED_THINKING};
	CN_AUTO(cn_buf) block = {0};

	c->heard += raw.n;
	if (!c->base.hints.thinking)
		return;
	settle_markup(c);
	cn_buf_add_char(&block, '{');
	cn_json_add_text(&block, "type", CN_VIEW("redacted_thinking"));
	cn_json_add_text(&block, "data", raw);
	cn_buf_add_char(&block, '}');
	ev.index = cn_compose__next_block(c);
	ev.raw = cn_buf_view(&block);
	cn_compose__close_whole_calls(c);
	cn_compose__tell(c, &ev);
	cn_compose__tell(c,
	                 &(struct cn_event){.kind = CN_EV_BLOCK_STOP, .index = ev.index});
}

/* ---- thoughts between tags ---- */

size_t cn_compose__blanks(struct cn_view v)
{
	size_t n = 0;

	while (n < v.n && strchr(" \t\r\n", v.p[n]) && v.p[n])
		n++;
	return n;
}

/* How many bytes at the end of v could be the beginning of word. */
size_t cn_compose__begun(struct cn_view v, struct cn_view word)
{
	size_t n = v.n < word.n ? v.n : word.n - 1;

	while (n && !cn_view_ends(v, cn_view_cut(word, n)))
		n--;
	return n;
}

/* Whether a tag opens the text; *rest is then behind it.  maybe: more is needed to tell. */
static bool opens(struct cn_composer *c, struct cn_view *rest, bool *maybe)
{
	size_t blanks = cn_compose__blanks(*rest);
	struct cn_view text = cn_view_from(*rest, blanks);

	*maybe = text.n == 0 && blanks < CN_BLANKS_MAX;
	if (blanks >= CN_BLANKS_MAX)
		return false;
	for (size_t i = 0; i < CN_N_TAGS; i++) {
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
static void think(struct cn_composer *c, struct cn_view text)
{
	if (!c->thought_begun)
		text = cn_view_from(text, cn_compose__blanks(text));
	c->thought_begun |= text.n > 0;
	take_thinking(c, text);
}

/*
 * Where the prompt's template opened the thought, its first tag is not in the answer.
 * Nobody knows before the last one comes, so this is done only for models that think in
 * tags, in answers for which they were asked to.
 */
static bool may_lack_tag(const struct cn_composer *c)
{
	return has_quirk(c, CN_QUIRK_THINK_TAGS) &&
	       (c->base.hints.thinking || has_quirk(c, CN_QUIRK_ALWAYS_THINKS));
}

/* The text is a thought, up to the closing tag. */
static bool step_inside(struct cn_composer *c, struct cn_view *rest)
{
	struct cn_view close = cn_view_str(c->close_tag), text = *rest;
	size_t at = cn_view_find(text, close, 0);

	if (at == SIZE_MAX) {
		at = text.n - cn_compose__begun(text, close);
		think(c, cn_view_cut(text, at));
		*rest = cn_view_from(text, at);
		return false;
	}
	think(c, cn_view_cut(text, at));
	*rest = cn_view_from(text, at + close.n);
	c->thought = CN_THOUGHT_BEHIND;
	return true;
}

/* All of it is held, and only what is new is searched. */
static bool step_perhaps(struct cn_composer *c, struct cn_view text)
{
	size_t from = c->perhaps > 32 ? c->perhaps - 32 : 0, first = SIZE_MAX;

	for (size_t i = 0; i < CN_N_TAGS; i++) {
		struct cn_view tag = cn_view_str(tags[i].close);
		size_t at = cn_view_find(cn_view_cut(text, CN_PERHAPS_MAX), tag, from);

		/* The one that ends first is the one that is seen first. */
		if (at == SIZE_MAX || at + tag.n >= first)
			continue;
		first = at + tag.n;
		c->close_tag = tags[i].close;
	}
	if (first != SIZE_MAX) {
		c->thought = CN_THOUGHT_INSIDE;
		return true;
	}
	c->perhaps = text.n;
	if (text.n <= CN_PERHAPS_MAX)
		return false;
	c->thought = CN_THOUGHT_IN_TEXT;
	return true;
}

/* One step: what was used is cut from *rest.  false: the rest must wait. */
static bool step(struct cn_composer *c, struct cn_view *rest)
{
	bool maybe;

	switch (c->thought) {
	case CN_THOUGHT_AT_START:
		if (opens(c, rest, &maybe))
			c->thought = CN_THOUGHT_INSIDE;
		else if (maybe)
			return false;
		else
			c->thought =
			    may_lack_tag(c) ? CN_THOUGHT_PERHAPS : CN_THOUGHT_IN_TEXT;
		return true;
	case CN_THOUGHT_PERHAPS:
		return step_perhaps(c, *rest);
	case CN_THOUGHT_INSIDE:
		return step_inside(c, rest);
	case CN_THOUGHT_BEHIND:
		*rest = cn_view_from(*rest, cn_compose__blanks(*rest));
		if (rest->n)
			c->thought = CN_THOUGHT_IN_TEXT;
		return rest->n > 0;
	case CN_THOUGHT_IN_TEXT:
		take_text(c, *rest);
		*rest = cn_view_from(*rest, rest->n);
		return false;
	}
	return false;
}

void cn_compose__text(struct cn_composer *c, struct cn_view text)
{
	CN_AUTO(cn_buf) whole = {0};

	c->heard += text.n;
	if (text.n == 0 || c->hit.n)
		return;
	if (c->held.n) {
		cn_buf_add_view(&c->held, text);
		/* Of much that is held only what is new is looked at. */
		if (c->thought == CN_THOUGHT_PERHAPS &&
		    !step_perhaps(c, cn_buf_view(&c->held)))
			return;
		whole = c->held;
		c->held = (struct cn_buf){0};
		text = cn_buf_view(&whole);
	}
	while (text.n && !c->hit.n && step(c, &text))
		;
	cn_buf_add_view(&c->held, text);
}

/* ---- its end ---- */

static void release_held(struct cn_composer *c)
{
	CN_AUTO(cn_buf) rest = c->held;

	c->held = (struct cn_buf){0};
	if (c->thought == CN_THOUGHT_INSIDE)
		think(c, cn_buf_view(&rest));
	else
		take_text(c, cn_buf_view(&rest));
	/* A text that opened no thought has begun. */
	if (rest.n && c->thought != CN_THOUGHT_INSIDE)
		c->thought = CN_THOUGHT_IN_TEXT;
}

void cn_compose__settle(struct cn_composer *c)
{
	if (c->thought == CN_THOUGHT_AT_START || c->thought == CN_THOUGHT_PERHAPS)
		release_held(c);
	settle_markup(c);
	cn_stops__flush(c);
}

void cn_compose__text_end(struct cn_composer *c, bool cut)
{
	release_held(c);
	if (c->family) {
		cn_markup__end(c, &c->in_thought, cut);
		cn_markup__end(c, &c->in_text, cut);
	}
	cn_stops__flush(c);
}
