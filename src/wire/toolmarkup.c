/*
 * Tool calls that arrive as text (wire/provider-quirks.md 4): found while the text streams,
 * for the family that the model's tool_format names and for tools of the request only.
 *
 * What stands before a call is told at once, but for the beginning of what may be a marker.
 * A call of a name that is none of the request's stays text.  One that cannot be read
 * breaks the answer: it must not end as if nothing had been called.  In thinking it is no
 * more than a thought, and in a block of code no more than an example.  Owns what is held.
 */
#include "continuo/repair.h"

#include "toolmarkup_impl.h"

/* Pieces of markup looked at in one answer, calls or not. */
#define CN_SEEN_MAX 1024

/* A namespace that may stand before the tags of anthropic-xml. */
#define PREFIX "antml:"

static const struct cn_markup_family families[] = {
    {"hermes", {{"<tool_call>", "</tool_call>"}}, {0}, cn_markup__read_object, NULL},
    {"glm", {{"<tool_call>", "</tool_call>"}}, {0}, cn_markup__read_glm, NULL},
    {"qwen3-coder",
     {{"<function=", "</function>"}},
     {"<tool_call>", "</tool_call>"},
     cn_markup__read_qwen,
     NULL},
    {"kimi-k2",
     {{"<|tool_call_begin|>", "<|tool_call_end|>"}},
     {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>",
      "<|tool_call_section_begin|>", "<|tool_call_section_end|>"},
     cn_markup__read_kimi,
     NULL},
    {"kimi-k3",
     {{"<|open|>call tool=\"", "<|close|>call<|sep|>"}},
     {"<|open|>tools<|sep|>", "<|close|>tools<|sep|>", "<|open|>response<|sep|>",
      "<|close|>response<|sep|>", "<|close|>message<|sep|>", "<|close|>think<|sep|>"},
     cn_markup__read_kimi_k3,
     NULL},
    {"minimax",
     {{"<invoke name=\"", "</invoke>"}},
     {"<minimax:tool_call>", "</minimax:tool_call>"},
     cn_markup__read_invoke,
     NULL},
    {"anthropic-xml",
     {{"<invoke name=\"", "</invoke>"},
      {"<" PREFIX "invoke name=\"", "</" PREFIX "invoke>"}},
     {"<function_calls>", "</function_calls>", "<" PREFIX "function_calls>",
      "</" PREFIX "function_calls>"},
     cn_markup__read_invoke,
     NULL},
    {"deepseek-dsml",
     {{"<｜DSML｜invoke name=\"", "</｜DSML｜invoke>"},
      {"<|DSML|invoke name=\"", "</|DSML|invoke>"}},
     {"<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", "<｜DSML｜function_calls>",
      "</｜DSML｜function_calls>", "<|DSML|tool_calls>", "</|DSML|tool_calls>",
      "<|DSML|function_calls>", "</|DSML|function_calls>"},
     cn_markup__read_invoke,
     NULL},
    {"deepseek-v3",
     {{"<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"}},
     {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜end▁of▁sentence｜>"},
     cn_markup__read_deepseek,
     NULL},
    {"llama3",
     {{NULL, NULL}},
     {"<|python_tag|>", "<|eom_id|>", "<|eot_id|>"},
     cn_markup__read_object,
     cn_markup__bare_object},
    {"llama4",
     {{NULL, NULL}},
     {"<|python_start|>", "<|python_end|>", "<|eom|>", "<|eot|>"},
     cn_markup__read_python,
     cn_markup__bare_list},
    {"mistral", {{"[TOOL_CALLS]", NULL}}, {"</s>"}, cn_markup__read_mistral, NULL},
    {"gpt-oss",
     {{"<|channel|>commentary to=functions.", NULL},
      {"<|channel|>analysis to=functions.", NULL},
      {"<|start|>assistant to=functions.", NULL}},
     {"<|call|>", "<|end|>", "<|return|>", "<|start|>assistant",
      "<|channel|>final<|message|>", "<|channel|>commentary<|message|>"},
     cn_markup__read_harmony,
     NULL},
};

const struct cn_markup_family *cn_markup__family(const struct cn_decode_hints *hints)
{
	if (!hints->tool_format || hints->tools.kind != CN_JSON_ARRAY)
		return NULL;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (cn_view_is(cn_view_str(hints->tool_format), families[i].name))
			return &families[i];
	return NULL;
}

/* ---- markers ---- */

struct marker {
	size_t at, n; /* SIZE_MAX: none */
	bool opens;
	const char *close; /* of one that opens */
	size_t tail;       /* where the beginning of one may stand; else the text's end */
};

/* What a word is at the beginning of the text: *best is the longest that stands there. */
static void compare(struct cn_view text, const char *word, bool opens, const char *close,
                    struct marker *best, bool *perhaps)
{
	struct cn_view w = cn_view_str(word);

	if (!word)
		return;
	if (text.n < w.n)
		*perhaps |= cn_view_starts(w, text);
	else if (w.n > best->n && cn_view_starts(text, w))
		*best = (struct marker){best->at, w.n, opens, close, best->tail};
}

/*
 * The first marker in what is held.  over: nothing follows it.  Behind a backtick a marker
 * is spoken of.
 */
static struct marker next_marker(const struct cn_markup_family *f,
                                 const struct cn_markup *m, bool over)
{
	struct cn_view text = cn_buf_view(&m->held);

	for (size_t at = m->at; text.p && at < text.n; at++) {
		struct cn_view rest = cn_view_from(text, at);
		struct marker best = {.at = at, .tail = text.n};
		char before = m->before;
		bool perhaps = false;

		if (at)
			before = text.p[at - 1];
		/* All markers begin with one of these. */
		if ((*rest.p != '<' && *rest.p != '[') || before == '`')
			continue;
		for (size_t i = 0; i < CN_MARKUP_FORMS; i++)
			compare(rest, f->forms[i].open, true, f->forms[i].close, &best,
			        &perhaps);
		for (size_t i = 0; i < CN_MARKUP_AROUND; i++)
			compare(rest, f->around[i], false, NULL, &best, &perhaps);
		if (perhaps && !over)
			return (struct marker){.at = SIZE_MAX, .tail = at};
		if (best.n)
			return best;
	}
	return (struct marker){.at = SIZE_MAX, .tail = text.n};
}

/* ---- what was found ---- */

static bool is_thought(const struct cn_composer *c, const struct cn_markup *m)
{
	return m == &c->in_thought;
}

/* Where blocks of code begin and end: three backticks at the beginning of a line. */
static void follow_fences(struct cn_markup *m, struct cn_view text)
{
	for (size_t i = 0; text.p && i < text.n; i++) {
		char byte = text.p[i];

		if (byte == '\n') {
			m->in_line = false;
			m->ticks = 0;
		} else if (m->in_line) {
			const char *end = memchr(text.p + i, '\n', text.n - i);

			i = end ? (size_t)(end - text.p) - 1 : text.n;
		} else if (byte == '`') {
			m->in_line = ++m->ticks == 3;
			m->fenced ^= m->in_line;
		} else {
			m->in_line = m->ticks > 0 || (byte != ' ' && byte != '\t');
		}
	}
}

/* Where a marker may be spoken of: markup that is no call is what the model says. */
static bool is_talk(const struct cn_composer *c, const struct cn_markup *m)
{
	return is_thought(c, m) || m->fenced;
}

static void tell_text(struct cn_composer *c, struct cn_markup *m, struct cn_view text)
{
	follow_fences(m, text);
	/* White space between markers means nothing. */
	if (m->behind)
		text = cn_view_from(text, cn_compose__blanks(text));
	if (text.n == 0)
		return;
	m->behind = false;
	m->begun |= cn_compose__blanks(text) < text.n;
	if (is_thought(c, m))
		cn_compose__plain_thinking(c, text);
	else
		cn_compose__plain_text(c, text);
}

enum turned {
	CN_TURNED,
	CN_NOT_OURS,   /* of no tool of the request */
	CN_UNREADABLE, /* it is one, and yet it cannot be called */
};

static enum turned read_calls(struct cn_composer *c, struct cn_view inside, bool may_close,
                              struct cn_markup_found *f)
{
	size_t ours = 0;

	f->c = c;
	f->may_close = may_close;
	if (!c->family->read(f, inside) || f->n == 0)
		return CN_UNREADABLE;
	for (size_t i = 0; i < f->n; i++)
		ours += cn_compose__tool(c, &f->arena, f->calls[i].name, &f->calls[i].name)
		            .kind != CN_JSON_NONE;
	if (ours == 0)
		return CN_NOT_OURS;
	for (size_t i = 0; i < f->n; i++)
		if (!cn_repair_call(&f->arena, c->base.hints.tools, may_close,
		                    &f->calls[i].name, &f->calls[i].input))
			return CN_UNREADABLE;
	return CN_TURNED;
}

/* Markup from its first marker to its last: a call, or what else it is. */
static enum turned turn(struct cn_composer *c, struct cn_markup *m, struct cn_view inside,
                        bool may_close)
{
	struct cn_markup_found *f = cn_zalloc(sizeof(*f));
	enum turned turned = read_calls(c, inside, may_close, f);

	for (size_t i = 0; turned == CN_TURNED && i < f->n; i++)
		if (!cn_compose__whole_call(c, f->calls[i].name, f->calls[i].input))
			c->base.wrong = "more than 128 tool calls";
	m->behind |= turned == CN_TURNED;
	cn_arena_done(&f->arena);
	free(f);
	return turned;
}

/* The last place where a marker opens inside, behind the first. */
static size_t last_opening(const struct cn_markup_family *f, struct cn_view whole,
                           size_t opened, size_t *retn)
{
	size_t last = SIZE_MAX;

	for (size_t i = 0; i < CN_MARKUP_FORMS; i++) {
		struct cn_view w = cn_view_str(f->forms[i].open);

		for (size_t at = opened;
		     w.n && (at = cn_view_find(whole, w, at)) != SIZE_MAX; at++)
			if (last == SIZE_MAX || at > last) {
				last = at;
				*retn = w.n;
			}
	}
	return last;
}

/* A whole piece of markup: n bytes, of which the last closing are the end marker. */
static void turn_whole(struct cn_composer *c, struct cn_markup *m, size_t n, size_t closing)
{
	struct cn_view whole = cn_view_cut(cn_view_from(cn_buf_view(&m->held), m->at), n);
	struct cn_view body = cn_view_cut(whole, n - closing);
	enum turned turned = turn(c, m, cn_view_from(body, m->opened), true);
	size_t opened = 0, inner;

	/* A model may speak of the marker before it uses it. */
	if (turned == CN_UNREADABLE && m->opened &&
	    (inner = last_opening(c->family, body, m->opened, &opened)) != SIZE_MAX) {
		tell_text(c, m, cn_view_cut(whole, inner));
		whole = cn_view_from(whole, inner);
		turned = turn(c, m, cn_view_from(body, inner + opened), true);
	}
	if (turned == CN_NOT_OURS || (turned == CN_UNREADABLE && is_talk(c, m)))
		tell_text(c, m, whole);
	else if (turned == CN_UNREADABLE)
		c->base.wrong = "a tool call in the text that cannot be read";
	if (++m->n_seen > CN_SEEN_MAX)
		c->base.wrong = "more than 1024 pieces of markup";
	m->at += n;
	m->inside = false;
}

/* ---- while the text streams ---- */

static void begin(struct cn_markup *m, size_t opened, const char *close)
{
	m->inside = true;
	m->opened = m->searched = opened;
	m->close = close;
	m->depth = 0;
	m->quote = '\0';
	m->escaped = false;
	m->first = true;
}

/* Passes one byte of a value; true where its outermost bracket closes. */
static bool ends_value(struct cn_markup *m, char byte)
{
	if (m->escaped) {
		m->escaped = false;
	} else if (m->quote) {
		m->escaped = byte == '\\';
		if (byte == m->quote)
			m->quote = '\0';
	} else if (m->depth && (byte == '"' || byte == '\'')) {
		m->quote = byte;
	} else if (byte == '{' || byte == '[') {
		m->depth++;
	} else if ((byte == '}' || byte == ']') && m->depth) {
		return --m->depth == 0;
	}
	return false;
}

/*
 * Where the call ends that has no last marker: behind its value, which is an object, or
 * what begins with a bracket right behind the first marker.
 */
static size_t value_end(struct cn_markup *m, struct cn_view text)
{
	for (; text.p && m->searched < text.n; m->searched++) {
		char byte = text.p[m->searched];
		bool first = m->first;

		m->first &= strchr(" \t\r\n", byte) && byte;
		if (m->depth == 0 && byte != '{' && !(first && byte == '['))
			continue;
		if (ends_value(m, byte))
			return m->searched + 1;
	}
	return SIZE_MAX;
}

static bool step_inside(struct cn_composer *c, struct cn_markup *m)
{
	struct cn_view text = cn_view_from(cn_buf_view(&m->held), m->at);
	struct cn_view close = cn_view_str(m->close);
	size_t end;

	if (m->close) {
		end = cn_view_find(text, close, m->searched);
		if (end == SIZE_MAX && text.n > m->searched + close.n)
			m->searched = text.n - close.n;
		end += end == SIZE_MAX ? 0 : close.n;
	} else {
		end = value_end(m, text);
	}
	if (end <= CN_ARGUMENTS_MAX) {
		turn_whole(c, m, end, close.n);
		return true;
	}
	if (text.n <= CN_ARGUMENTS_MAX)
		return false;
	if (!is_talk(c, m)) {
		c->base.wrong = "a tool call over 1 MiB";
		return false;
	}
	if (++m->n_seen > CN_SEEN_MAX)
		c->base.wrong = "more than 1024 pieces of markup";
	tell_text(c, m, cn_view_cut(text, m->opened));
	m->at += m->opened;
	m->inside = false;
	return true;
}

/* A call without a first marker; false: there is none here, or not yet. */
static bool step_bare(struct cn_composer *c, struct cn_markup *m, bool over, bool *wait)
{
	struct cn_view text = cn_view_from(cn_buf_view(&m->held), m->at);
	size_t skip = cn_compose__blanks(text);
	enum cn_markup_guess guess;

	*wait = false;
	if (!c->family->bare || is_thought(c, m) || (m->begun && !m->behind))
		return false;
	/* Between calls. */
	while (m->behind && skip < text.n && strchr(" \t\r\n;", text.p[skip]))
		skip++;
	*wait = skip == text.n && !over;
	if (skip == text.n)
		return false;
	guess = c->family->bare(c, cn_view_from(text, skip));
	*wait = guess == CN_MARKUP_PERHAPS && !over;
	if (guess != CN_MARKUP_YES)
		return false;
	m->at += skip;
	begin(m, 0, NULL);
	return true;
}

/* One step; false: more text is needed. */
static bool step(struct cn_composer *c, struct cn_markup *m, bool over)
{
	struct cn_view text;
	struct marker mark;
	bool wait;

	if (m->inside)
		return step_inside(c, m);
	if (step_bare(c, m, over, &wait))
		return true;
	if (wait)
		return false;
	text = cn_buf_view(&m->held);
	mark = next_marker(c->family, m, over);
	tell_text(c, m,
	          cn_view_from(cn_view_cut(text, mark.at == SIZE_MAX ? mark.tail : mark.at),
	                       m->at));
	if (mark.at == SIZE_MAX) {
		m->at = mark.tail;
		return false;
	}
	m->behind |= !mark.opens;
	m->at = mark.at;
	if (mark.opens)
		begin(m, mark.n, mark.close);
	else
		m->at += mark.n;
	return true;
}

static void run(struct cn_composer *c, struct cn_markup *m, bool over)
{
	m->running = true;
	while (m->at < m->held.n && !c->base.stopped && !c->base.wrong && !c->hit.n &&
	       step(c, m, over))
		;
	if (m->at)
		m->before = m->held.p[m->at - 1];
	cn_buf_consume(&m->held, m->at);
	m->at = 0;
	m->running = false;
}

void cn_markup__feed(struct cn_composer *c, struct cn_markup *m, struct cn_view text)
{
	cn_buf_add_view(&m->held, text);
	run(c, m, false);
}

void cn_markup__settle(struct cn_composer *c, struct cn_markup *m)
{
	CN_AUTO(cn_buf) rest = {0};

	/* A call that is just being told is what begins. */
	if (m->running || m->held.n == 0 || (m->inside && !is_thought(c, m)))
		return;
	/* A thought that is over calls nothing any more. */
	rest = m->held;
	m->held = (struct cn_buf){0};
	m->inside = false;
	tell_text(c, m, cn_buf_view(&rest));
}

void cn_markup__end(struct cn_composer *c, struct cn_markup *m, bool cut)
{
	enum turned turned = CN_TURNED;

	run(c, m, true);
	if (!m->inside || c->base.wrong || c->hit.n) {
		cn_markup__settle(c, m);
	} else if (!cut) {
		/* Only its last marker may be missing. */
		struct cn_view inside = cn_view_from(cn_buf_view(&m->held), m->opened);

		if (m->close)
			inside.n -= cn_compose__begun(inside, cn_view_str(m->close));
		m->running = true;
		turned = turn(c, m, inside, true);
		m->running = false;
	} else if (is_talk(c, m)) {
		turned = CN_NOT_OURS;
	}
	/* Cut by the limit: a truncated call is no call. */
	if (turned == CN_NOT_OURS || (turned == CN_UNREADABLE && is_talk(c, m)))
		tell_text(c, m, cn_buf_view(&m->held));
	else if (turned == CN_UNREADABLE)
		c->base.wrong = "a tool call in the text that has no end";
	m->inside = false;
	cn_buf_clear(&m->held);
}
