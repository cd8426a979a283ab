/*
 * Tool calls that arrive as text (wire/provider-quirks.md 4): found while the text streams,
 * for the family that the model's tool_format names and for tools of the request only.
 *
 * What stands before a call is told at once, but for the beginning of what may be a marker.
 * A call of a name that is none of the request's stays text.  One that cannot be read
 * breaks the answer: it must not end as if nothing had been called.
 */
#include "openai_chat_impl.h"

struct found {
	struct cn_view name;
	struct cn_buf input; /* owned */
};

/* inside: between the markers.  false: it cannot be read. */
typedef bool (*read_fn)(struct cn_chat *c, struct cn_arena *a, struct cn_view inside,
                        struct found *ret);

struct cn_chat_family {
	const char *name;
	const char *open[2]; /* either begins a call */
	const char *close;
	const char *around[4]; /* wrappers: dropped */
	read_fn read;
};

/* Cuts *rest behind the next occurrence of what; *retbefore is what stood before. */
static bool cut_at(struct cn_view *rest, const char *what, struct cn_view *retbefore)
{
	struct cn_view needle = cn_view_str(what);
	size_t at = cn_view_find(*rest, needle, 0);

	if (at == SIZE_MAX)
		return false;
	*retbefore = cn_view_cut(*rest, at);
	*rest = cn_view_from(*rest, at + needle.n);
	return true;
}

static struct cn_view trim(struct cn_view v)
{
	while (v.n && strchr(" \t\r\n", v.p[0]) && v.p[0])
		v = cn_view_from(v, 1);
	while (v.n && strchr(" \t\r\n", v.p[v.n - 1]) && v.p[v.n - 1])
		v.n--;
	return v;
}

static struct cn_json tool_of(const struct cn_chat *c, struct cn_arena *a,
                              struct cn_view name)
{
	for (struct cn_json_iter it = cn_json_iter(c->base.hints.tools); cn_json_next(&it);)
		if (cn_view_eq(cn_json_text(a, cn_json_get(it.value, "name")), name))
			return it.value;
	return (struct cn_json){.kind = CN_JSON_NONE};
}

/* ---- one value of a call that names its parameters one by one ---- */

static bool is_string(struct cn_arena *a, struct cn_json tool, struct cn_view key)
{
	struct cn_json properties = cn_json_path(tool, "input_schema", "properties", NULL);
	struct cn_json type =
	    cn_json_get(cn_json_get(properties, cn_arena_dup(a, key)), "type");

	return cn_json_is(type, "string");
}

/* Raw text: a string where the schema wants one, or where it is nothing else. */
static void add_value(struct cn_buf *b, struct cn_view key, struct cn_view value,
                      bool string)
{
	if (b->n > 1)
		cn_buf_add_char(b, ',');
	cn_json_add_string(b, key);
	cn_buf_add_char(b, ':');
	if (!string && cn_json_check(value, NULL) == 0)
		cn_buf_add_view(b, value);
	else
		cn_json_add_string(b, value);
}

/* Without the line break that stands on either side of a value in some families. */
static struct cn_view unwrapped(struct cn_view v)
{
	if (v.n && v.p[0] == '\n')
		v = cn_view_from(v, 1);
	if (v.n && v.p[v.n - 1] == '\n')
		v.n--;
	return v;
}

/* ---- the families ---- */

/* {"name":…,"arguments":{…}} */
static bool read_hermes(struct cn_chat *c, struct cn_arena *a, struct cn_view inside,
                        struct found *ret)
{
	struct cn_json root, input;

	(void)c;
	inside = trim(inside);
	/* Doubled braces were seen. */
	if (cn_view_starts(inside, CN_VIEW("{{")) && cn_view_ends(inside, CN_VIEW("}}")))
		inside = cn_view(inside.p + 1, inside.n - 2);
	if (cn_json_check(inside, NULL))
		return false;
	root = cn_json_root(inside);
	input = cn_json_get(root, "arguments");
	if (input.kind == CN_JSON_NONE)
		input = cn_json_get(root, "parameters");
	ret->name = cn_json_text(a, cn_json_get(root, "name"));
	cn_buf_add_view(&ret->input,
	                input.kind == CN_JSON_STRING ? cn_json_text(a, input) : input.raw);
	return ret->name.n > 0;
}

/* functions.N:0<|tool_call_argument_begin|>{…} */
static bool read_kimi(struct cn_chat *c, struct cn_arena *a, struct cn_view inside,
                      struct found *ret)
{
	struct cn_view id, prefix = CN_VIEW("functions.");

	(void)c;
	(void)a;
	if (!cut_at(&inside, "<|tool_call_argument_begin|>", &id))
		return false;
	id = trim(id);
	if (cn_view_starts(id, prefix))
		id = cn_view_from(id, prefix.n);
	while (id.n && id.p[id.n - 1] >= '0' && id.p[id.n - 1] <= '9')
		id.n--;
	if (!cn_view_ends(id, CN_VIEW(":")))
		return false;
	ret->name = cn_view_cut(id, id.n - 1);
	cn_buf_add_view(&ret->input, trim(inside));
	return true;
}

/* N, then <arg_key>K</arg_key><arg_value>V</arg_value> for each */
static bool read_glm(struct cn_chat *c, struct cn_arena *a, struct cn_view inside,
                     struct found *ret)
{
	size_t end = cn_view_find(inside, CN_VIEW("<arg_key>"), 0);
	struct cn_json tool;
	struct cn_view key, value, between;

	ret->name = trim(cn_view_cut(inside, end == SIZE_MAX ? inside.n : end));
	tool = tool_of(c, a, ret->name);
	cn_buf_add_char(&ret->input, '{');
	while (cut_at(&inside, "<arg_key>", &between)) {
		if (!cut_at(&inside, "</arg_key>", &key) ||
		    !cut_at(&inside, "<arg_value>", &between) ||
		    !cut_at(&inside, "</arg_value>", &value))
			return false;
		key = trim(key);
		add_value(&ret->input, key, value, is_string(a, tool, key));
	}
	cn_buf_add_char(&ret->input, '}');
	return true;
}

/* =N><parameter=K>V</parameter> */
static bool read_qwen(struct cn_chat *c, struct cn_arena *a, struct cn_view inside,
                      struct found *ret)
{
	struct cn_json tool;
	struct cn_view key, value, between;

	if (!cut_at(&inside, ">", &ret->name))
		return false;
	ret->name = trim(ret->name);
	tool = tool_of(c, a, ret->name);
	cn_buf_add_char(&ret->input, '{');
	while (cut_at(&inside, "<parameter=", &between)) {
		if (!cut_at(&inside, ">", &key) || !cut_at(&inside, "</parameter>", &value))
			return false;
		key = trim(key);
		add_value(&ret->input, key, unwrapped(value), is_string(a, tool, key));
	}
	cn_buf_add_char(&ret->input, '}');
	return true;
}

/* N"> and parameters that are named by attribute; string="…" says what a value is. */
static bool read_invoke(struct cn_chat *c, struct cn_arena *a, struct cn_view inside,
                        struct found *ret)
{
	struct cn_json tool;
	struct cn_view key, value, rest, between;
	bool string;

	if (!cut_at(&inside, "\"", &ret->name) || !cut_at(&inside, ">", &between))
		return false;
	tool = tool_of(c, a, ret->name);
	cn_buf_add_char(&ret->input, '{');
	while (cut_at(&inside, "parameter name=\"", &between)) {
		if (!cut_at(&inside, "\"", &key) || !cut_at(&inside, ">", &rest) ||
		    !cut_at(&inside, "</", &value))
			return false;
		/* A value may hold markup of its own: it ends where its own tag does. */
		while (!cn_view_starts(inside, CN_VIEW("parameter>")) &&
		       !cn_view_starts(inside, CN_VIEW("｜DSML｜parameter>"))) {
			if (!cut_at(&inside, "</", &between))
				return false;
			value.n = (size_t)(inside.p - value.p) - 2;
		}
		string = is_string(a, tool, key);
		if (cn_view_find(rest, CN_VIEW("string=\""), 0) != SIZE_MAX)
			string =
			    cn_view_find(rest, CN_VIEW("string=\"true\""), 0) != SIZE_MAX;
		add_value(&ret->input, key, value, string);
	}
	cn_buf_add_char(&ret->input, '}');
	return true;
}

static const struct cn_chat_family families[] = {
    {"hermes", {"<tool_call>"}, "</tool_call>", {0}, read_hermes},
    {"glm", {"<tool_call>"}, "</tool_call>", {0}, read_glm},
    {"qwen3-coder",
     {"<function="},
     "</function>",
     {"<tool_call>", "</tool_call>"},
     read_qwen},
    {"kimi-k2",
     {"<|tool_call_begin|>"},
     "<|tool_call_end|>",
     {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"},
     read_kimi},
    {"minimax",
     {"<invoke name=\""},
     "</invoke>",
     {"<minimax:tool_call>", "</minimax:tool_call>"},
     read_invoke},
    {"anthropic-xml",
     {"<invoke name=\""},
     "</invoke>",
     {"<function_calls>", "</function_calls>"},
     read_invoke},
    {"deepseek-dsml",
     {"<｜DSML｜invoke name=\""},
     "</｜DSML｜invoke>",
     {"<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", "<｜DSML｜function_calls>",
      "</｜DSML｜function_calls>"},
     read_invoke},
};

const struct cn_chat_family *cn_chat__family(const struct cn_decode_hints *hints)
{
	if (!hints->tool_format || hints->tools.kind != CN_JSON_ARRAY)
		return NULL;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (cn_view_is(cn_view_str(hints->tool_format), families[i].name))
			return &families[i];
	return NULL;
}

/* ---- while the text streams ---- */

struct marker {
	size_t at, n;
	bool opens;
	size_t begun; /* bytes at the end that may begin one */
};

static void look(struct cn_view text, const char *word, bool opens, struct marker *m)
{
	struct cn_view needle = cn_view_str(word);
	size_t at, n;

	if (!word)
		return;
	at = cn_view_find(text, needle, 0);
	if (at < m->at)
		*m = (struct marker){at, needle.n, opens, m->begun};
	n = cn_chat__begun(text, needle);
	if (n > m->begun)
		m->begun = n;
}

static struct marker next_marker(const struct cn_chat_family *f, struct cn_view text)
{
	struct marker m = {.at = SIZE_MAX};

	for (size_t i = 0; i < 2; i++)
		look(text, f->open[i], true, &m);
	for (size_t i = 0; i < 4; i++)
		look(text, f->around[i], false, &m);
	return m;
}

static void tell_text(struct cn_chat *c, struct cn_view text)
{
	/* White space between markers means nothing. */
	if (c->behind_marker)
		text = cn_view_from(text, cn_chat__blanks(text));
	if (text.n)
		c->behind_marker = false;
	cn_chat__add_text(c, text);
}

/* The whole call at the beginning of the held text. */
static void turn(struct cn_chat *c, struct cn_view whole)
{
	CN_AUTO(cn_arena) a = {0};
	struct found found = {.name = {NULL, 0}};
	struct cn_view inside =
	    cn_view_from(cn_view_cut(whole, whole.n - strlen(c->family->close)), c->opened);

	if (!c->family->read(c, &a, inside, &found))
		c->broken = "a tool call in the text that cannot be read";
	else if (tool_of(c, &a, found.name).kind == CN_JSON_NONE)
		tell_text(c, whole);
	else if (!cn_chat__whole_call(c, found.name, cn_buf_view(&found.input)))
		c->broken = "more than 128 tool calls";
	else
		c->behind_marker = true;
	cn_buf_done(&found.input);
}

/* One step; false: more text is needed. */
static bool step(struct cn_chat *c)
{
	struct cn_view text = cn_buf_view(&c->markup), close;
	struct marker m;
	size_t from, end;

	if (!c->opened) {
		m = next_marker(c->family, text);
		tell_text(c, cn_view_cut(text, m.at == SIZE_MAX ? text.n - m.begun : m.at));
		if (m.at == SIZE_MAX) {
			cn_buf_consume(&c->markup, text.n - m.begun);
			return false;
		}
		cn_buf_consume(&c->markup, m.opens ? m.at : m.at + m.n);
		c->behind_marker |= !m.opens;
		c->opened = m.opens ? m.n : 0;
		c->searched = c->opened;
		return true;
	}
	close = cn_view_str(c->family->close);
	from = c->searched;
	end = cn_view_find(text, close, from);
	if (end == SIZE_MAX) {
		if (text.n > CN_CHAT_ARGUMENTS_MAX)
			c->broken = "a tool call over 1 MiB";
		if (text.n > from + close.n)
			c->searched = text.n - close.n;
		return false;
	}
	turn(c, cn_view_cut(text, end + close.n));
	cn_buf_consume(&c->markup, end + close.n);
	c->opened = 0;
	return true;
}

void cn_chat__markup(struct cn_chat *c, struct cn_view text)
{
	cn_buf_add_view(&c->markup, text);
	while (c->markup.n && !c->base.stopped && !c->broken && step(c))
		;
}

void cn_chat__markup_end(struct cn_chat *c, bool cut)
{
	/* Cut by the limit: a truncated call is no call. */
	if (c->opened && !cut)
		c->broken = "a tool call in the text that has no end";
	if (!c->opened)
		tell_text(c, cn_buf_view(&c->markup));
	cn_buf_clear(&c->markup);
}
