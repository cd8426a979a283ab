/*
 * Repairs of tool calls: a reader of what models write for JSON, a writer of what it is.
 *
 * Read are: a code fence around it, an object as a string, an empty object before the real
 * one, commas before a closing bracket, quotes of one stroke, raw control characters in
 * strings, True, False and None, missing closing brackets (only where told that nothing was
 * cut), and numbers and truth values as strings where the schema wants them bare.  Pure.
 */
#include "continuo/repair.h"

#include "continuo/schema.h"

struct reader {
	struct cn_view in;
	size_t at;
	struct cn_buf *out;
	bool may_close;
};

static void pass_space(struct reader *r)
{
	while (r->at < r->in.n && strchr(" \t\r\n", r->in.p[r->at]))
		r->at++;
}

/* The next character, or 0 at the end. */
static char peek(const struct reader *r)
{
	if (r->at >= r->in.n)
		return '\0';
	return r->in.p[r->at];
}

static bool read_string(struct reader *r)
{
	char quote = peek(r);

	cn_buf_add_char(r->out, '"');
	for (r->at++; r->at < r->in.n; r->at++) {
		char c = r->in.p[r->at];

		if (c == quote) {
			r->at++;
			cn_buf_add_char(r->out, '"');
			return true;
		}
		if (c == '\\') {
			if (++r->at == r->in.n)
				return false;
			/* JSON knows no \' */
			if (r->in.p[r->at] != '\'')
				cn_buf_add_char(r->out, '\\');
			cn_buf_add_char(r->out, r->in.p[r->at]);
		} else if ((unsigned char)c < 0x20) {
			cn_buf_printf(r->out, "\\u%04x", (unsigned)c);
		} else {
			if (c == '"')
				cn_buf_add_char(r->out, '\\');
			cn_buf_add_char(r->out, c);
		}
	}
	return false; /* cut in a string: nobody knows the rest */
}

/* A number or a word. */
static bool read_bare(struct reader *r)
{
	static const struct {
		const char *word, *json;
	} words[] = {
	    {"true", "true"}, {"false", "false"}, {"null", "null"},
	    {"True", "true"}, {"False", "false"}, {"None", "null"},
	};
	size_t from = r->at;
	struct cn_view text;

	while (r->at < r->in.n && !strchr(",:]} \t\r\n\"'[{", r->in.p[r->at]))
		r->at++;
	text = cn_view(r->in.p + from, r->at - from);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (cn_view_is(text, words[i].word)) {
			cn_buf_add_str(r->out, words[i].json);
			return true;
		}
	if (text.n == 0 || !strchr("-0123456789", *text.p))
		return false;
	cn_buf_add_view(r->out, text); /* the check has the last word */
	return true;
}

/*
 * One value.  Brackets are kept on a stack of their own: a peer's nesting costs no stack of
 * ours.
 */
struct nesting {
	char close[CN_JSON_MAX_DEPTH];
	size_t n;
};

static bool open_bracket(struct reader *r, struct nesting *nest)
{
	char c = peek(r);

	if (nest->n == sizeof(nest->close))
		return false;
	nest->close[nest->n++] = c == '{' ? '}' : ']';
	cn_buf_add_char(r->out, c);
	r->at++;
	return true;
}

/* "key": of a member. */
static bool read_key(struct reader *r)
{
	if ((peek(r) != '"' && peek(r) != '\'') || !read_string(r))
		return false;
	pass_space(r);
	if (peek(r) != ':')
		return false;
	r->at++;
	cn_buf_add_char(r->out, ':');
	pass_space(r);
	return true;
}

/* Behind a value or an opening bracket: closes what is closed.  false: no more brackets
 * fit. */
static bool close_brackets(struct reader *r, struct nesting *nest)
{
	for (;;) {
		size_t comma;

		pass_space(r);
		comma = r->at;
		if (peek(r) == ',') {
			r->at++;
			pass_space(r);
		}
		if (nest->n && peek(r) == nest->close[nest->n - 1]) {
			r->at++;
		} else if (nest->n && r->at == r->in.n && r->may_close) {
			/* Nothing was cut: only the brackets were forgotten. */
		} else {
			r->at = comma;
			return true;
		}
		cn_buf_add_char(r->out, nest->close[--nest->n]);
	}
}

static bool read_value(struct reader *r)
{
	struct nesting nest = {.n = 0};
	bool first = true;

	do {
		char c;

		if (!first) {
			if (peek(r) != ',')
				return false;
			r->at++;
			cn_buf_add_char(r->out, ',');
			pass_space(r);
		}
		first = false;
		if (nest.n && nest.close[nest.n - 1] == '}' && !read_key(r))
			return false;
		for (c = peek(r); c == '{' || c == '['; c = peek(r)) {
			if (!open_bracket(r, &nest))
				return false;
			pass_space(r);
			if (peek(r) == nest.close[nest.n - 1] ||
			    (r->at == r->in.n && r->may_close))
				break;
			if (c == '{' && !read_key(r))
				return false;
		}
		if (peek(r) == '"' || peek(r) == '\'') {
			if (!read_string(r))
				return false;
		} else if (!nest.n || peek(r) != nest.close[nest.n - 1]) {
			if (!(r->at == r->in.n && r->may_close) && !read_bare(r))
				return false;
		}
		if (!close_brackets(r, &nest))
			return false;
	} while (nest.n);
	return true;
}

/* ---- around the object ---- */

static struct cn_view without_fence(struct cn_view text)
{
	size_t end;

	text = cn_view_trim(text);
	while (text.n && strchr("\r\n", *text.p))
		text = cn_view_from(text, 1);
	if (!cn_view_starts(text, CN_VIEW("```")))
		return text;
	end = cn_view_find(text, CN_VIEW("\n"), 0);
	text = cn_view_from(text, end == SIZE_MAX ? 3 : end + 1);
	end = cn_view_find(text, CN_VIEW("```"), 0);
	return end == SIZE_MAX ? text : cn_view_cut(text, end);
}

/* Some gateways send an empty object before the real one. */
static struct cn_view without_empty(struct cn_view text)
{
	while (cn_view_starts(text, CN_VIEW("{}")) && text.n > 2) {
		struct cn_view rest = cn_view_trim(cn_view_from(text, 2));

		if (!cn_view_starts(rest, CN_VIEW("{")))
			break;
		text = rest;
	}
	return text;
}

bool cn_repair_json(struct cn_arena *a, struct cn_view text, bool may_close,
                    struct cn_view *ret)
{
	CN_AUTO(cn_buf) b = {0};
	struct reader r = {
	    .in = without_empty(without_fence(text)), .out = &b, .may_close = may_close};

	pass_space(&r);
	if (!read_value(&r))
		return false;
	pass_space(&r);
	if (r.at != r.in.n || cn_json_check(cn_buf_view(&b), NULL))
		return false;
	*ret = cn_arena_view(a, cn_buf_view(&b));
	return true;
}

/* ---- by the schema ---- */

static struct cn_json tool_of(struct cn_arena *a, struct cn_json tools, struct cn_view name,
                              struct cn_view *retname)
{
	struct cn_json found = {.kind = CN_JSON_NONE};
	size_t like = 0;

	for (struct cn_json_iter it = cn_json_iter(tools); cn_json_next(&it);) {
		struct cn_view known = cn_json_text(a, cn_json_get(it.value, "name"));

		if (cn_view_eq(known, name)) {
			*retname = name;
			return it.value;
		}
		if (!cn_view_eq_nocase(known, name))
			continue;
		found = it.value;
		*retname = known;
		like++;
	}
	if (like != 1)
		found.kind = CN_JSON_NONE;
	return found;
}

/* The bare form of a string where the schema wants one; empty: it stays a string. */
static struct cn_view bare(struct cn_arena *a, struct cn_json type, struct cn_json value)
{
	struct cn_view text = cn_json_text(a, value), digits = text, none = {NULL, 0};
	uint64_t n;

	if (value.kind != CN_JSON_STRING)
		return none;
	if (cn_json_is(type, "boolean"))
		return cn_view_eq_nocase(text, CN_VIEW("true"))    ? CN_VIEW("true")
		       : cn_view_eq_nocase(text, CN_VIEW("false")) ? CN_VIEW("false")
		                                                   : none;
	if (!cn_json_is(type, "integer"))
		return none;
	if (cn_view_starts(digits, CN_VIEW("-")))
		digits = cn_view_from(digits, 1);
	return cn_view_u64(digits, &n) &&
	               (digits.n == 1 || !cn_view_starts(digits, CN_VIEW("0")))
	           ? text
	           : none;
}

static struct cn_view by_schema(struct cn_arena *a, struct cn_json tool,
                                struct cn_view input)
{
	struct cn_json properties = cn_json_path(tool, "input_schema", "properties", NULL);
	struct cn_patches ps = {.arena = a};
	struct cn_slices slices;
	CN_AUTO(cn_buf) b = {0};

	for (struct cn_json_iter it = cn_json_iter(cn_json_root(input));
	     cn_json_next(&it);) {
		CN_AUTO(cn_buf) key = {0};
		struct cn_view as;

		cn_buf_add_view(&key, it.key);
		as =
		    bare(a, cn_json_get(cn_json_get(properties, cn_buf_cstr(&key)), "type"),
		         it.value);
		if (as.n)
			cn_patch_replace(&ps, input, it.value.raw, as);
	}
	slices = cn_patch_slices(&ps, input);
	for (size_t i = 0; i < slices.n; i++)
		cn_buf_add_view(&b, slices.v[i]);
	return cn_arena_view(a, cn_buf_view(&b));
}

bool cn_repair_call(struct cn_arena *a, struct cn_json tools, bool may_close,
                    struct cn_view *name, struct cn_view *input)
{
	struct cn_view named = *name, text = *input, inner;
	struct cn_json tool, root;

	tool = tool_of(a, tools, *name, &named);
	if (tool.kind == CN_JSON_NONE)
		return cn_schema_check_call(tools, *name, *input, NULL) == 0;
	if (text.n && cn_json_check(text, NULL) &&
	    !cn_repair_json(a, text, may_close, &text))
		return false;
	root = cn_json_root(text);
	/* An object as a string. */
	if (root.kind == CN_JSON_STRING) {
		inner = cn_json_text(a, root);
		if (cn_json_check(inner, NULL) && !cn_repair_json(a, inner, false, &inner))
			return false;
		text = inner;
	}
	/* No arguments, as some servers write it. */
	if (cn_json_root(text).kind == CN_JSON_NULL)
		text = CN_VIEW("{}");
	if (cn_json_root(text).kind == CN_JSON_OBJECT)
		text = by_schema(a, tool, text);
	if (cn_schema_check_call(tools, named, text, NULL))
		return false;
	*name = named;
	*input = text;
	return true;
}
