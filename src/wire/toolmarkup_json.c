/*
 * Calls in the text whose arguments are JSON, or Python that means the same: Hermes, Kimi
 * K2, DeepSeek V3, Llama, Mistral, gpt-oss.
 *
 * What is no JSON yet is repaired where that is certain (repair.h).  Pure.
 */
#include "continuo/repair.h"

#include "toolmarkup_impl.h"

/* ---- what the readers share ---- */

bool cn_markup__cut(struct cn_view *rest, const char *what, struct cn_view *retbefore)
{
	struct cn_view needle = cn_view_str(what);
	size_t at = cn_view_find(*rest, needle, 0);

	if (at == SIZE_MAX)
		return false;
	*retbefore = cn_view_cut(*rest, at);
	*rest = cn_view_from(*rest, at + needle.n);
	return true;
}

struct cn_view cn_markup__trim(struct cn_view v)
{
	v = cn_view_from(v, cn_compose__blanks(v));
	while (v.n && strchr(" \t\r\n", v.p[v.n - 1]) && v.p[v.n - 1])
		v.n--;
	return v;
}

bool cn_markup__add(struct cn_markup_found *f, struct cn_view name, struct cn_view input)
{
	if (f->n == CN_CALLS_MAX)
		return false;
	f->calls[f->n++] = (struct cn_markup_call){name, input};
	return true;
}

/* Where a name of a tool, or what else may stand in one, ends. */
static size_t name_end(struct cn_view v)
{
	size_t n = 0;

	while (n < v.n &&
	       (v.p[n] == '_' || v.p[n] == '-' || v.p[n] == '.' || v.p[n] == '/' ||
	        v.p[n] == ':' || (v.p[n] >= '0' && v.p[n] <= '9') ||
	        (v.p[n] >= 'a' && v.p[n] <= 'z') || (v.p[n] >= 'A' && v.p[n] <= 'Z')))
		n++;
	return n;
}

/* ---- {"name":…,"arguments":{…}}, one or a list of them ---- */

static bool add_object(struct cn_markup_found *f, struct cn_json call)
{
	static const char *const members[] = {"arguments", "parameters", "input"};
	struct cn_json inner = cn_json_get(call, "function"), input, name;
	struct cn_view text;

	if (inner.kind == CN_JSON_OBJECT)
		call = inner;
	name = cn_json_get(call, "name");
	if (name.kind != CN_JSON_STRING && inner.kind == CN_JSON_STRING)
		name = inner;
	input = cn_json_get(call, members[0]);
	for (size_t i = 1; i < 3 && input.kind == CN_JSON_NONE; i++)
		input = cn_json_get(call, members[i]);
	text = input.kind == CN_JSON_STRING ? cn_json_text(&f->arena, input) : input.raw;
	if (input.kind == CN_JSON_NONE || input.kind == CN_JSON_NULL)
		text = CN_VIEW("{}");
	return name.kind == CN_JSON_STRING && name.raw.n > 2 &&
	       cn_markup__add(f, cn_json_text(&f->arena, name), text);
}

bool cn_markup__read_object(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_json root;

	inside = cn_markup__trim(inside);
	/* Doubled braces were seen. */
	if (cn_view_starts(inside, CN_VIEW("{{")) && cn_view_ends(inside, CN_VIEW("}}")))
		inside = cn_view(inside.p + 1, inside.n - 2);
	if (cn_json_check(inside, NULL) &&
	    !cn_repair_json(&f->arena, inside, f->may_close, &inside))
		return false;
	root = cn_json_root(inside);
	if (root.kind != CN_JSON_ARRAY)
		return add_object(f, root);
	for (struct cn_json_iter it = cn_json_iter(root); cn_json_next(&it);)
		if (!add_object(f, it.value))
			return false;
	return true;
}

/* Value of "name" in an object that has begun; its first members tell what it is. */
enum cn_markup_guess cn_markup__bare_object(const struct cn_composer *c,
                                            struct cn_view text)
{
	static const char *const keys[] = {"\"name\"", "\"type\"", "\"function\"",
	                                   "\"id\""};
	struct cn_view first, rest, name, known, head = cn_view_cut(text, 512);
	CN_AUTO(cn_arena) a = {0};
	bool perhaps = false;

	if (!cn_view_starts(text, CN_VIEW("{")))
		return CN_MARKUP_NO;
	first = cn_view_from(text, 1);
	first = cn_view_from(first, cn_compose__blanks(first));
	for (size_t i = 0; i < 4; i++)
		perhaps |= cn_view_starts(first, cn_view_str(keys[i])) ||
		           cn_view_starts(cn_view_str(keys[i]), first);
	if (!perhaps)
		return CN_MARKUP_NO;
	rest = head;
	perhaps = text.n < 512;
	if (!cn_markup__cut(&rest, "\"name\"", &name) ||
	    !cn_markup__cut(&rest, "\"", &name) || !cn_markup__cut(&rest, "\"", &name))
		return perhaps ? CN_MARKUP_PERHAPS : CN_MARKUP_NO;
	return cn_compose__tool(c, &a, name, &known).kind == CN_JSON_NONE ? CN_MARKUP_NO
	                                                                  : CN_MARKUP_YES;
}

/* ---- a name and an object ---- */

/* functions.N:0<|tool_call_argument_begin|>{…} */
bool cn_markup__read_kimi(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view id, prefix = CN_VIEW("functions.");
	size_t n;

	if (!cn_markup__cut(&inside, "<|tool_call_argument_begin|>", &id))
		return false;
	id = cn_markup__trim(id);
	if (cn_view_starts(id, prefix))
		id = cn_view_from(id, prefix.n);
	n = id.n;
	while (n && id.p[n - 1] >= '0' && id.p[n - 1] <= '9')
		n--;
	/* Builds that lost their way write what was called by number. */
	if (cn_view_is(cn_view_cut(id, n), "tool_call_"))
		return false;
	if (n && id.p[n - 1] == ':')
		id.n = n - 1;
	return id.n > 0 && cn_markup__add(f, id, cn_markup__trim(inside));
}

/* function<sep>N, a line end, and a fence; or N<sep>{…} */
bool cn_markup__read_deepseek(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view name, line;

	if (!cn_markup__cut(&inside, "<｜tool▁sep｜>", &name))
		return false;
	name = cn_markup__trim(name);
	inside = cn_markup__trim(inside);
	if (!cn_view_starts(inside, CN_VIEW("{"))) {
		size_t end = name_end(inside);

		line = cn_view_cut(inside, end);
		inside = cn_markup__trim(cn_view_from(inside, end));
		/* Newer ones have the name first, and may have a fence all the same. */
		if (line.n)
			name = line;
	}
	return name.n && cn_markup__add(f, name, inside);
}

/* [{"name":…},…], or N[ARGS]{…}, an id perhaps between them */
bool cn_markup__read_mistral(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view name;
	size_t at;

	inside = cn_markup__trim(inside);
	if (cn_view_starts(inside, CN_VIEW("[")) || cn_view_starts(inside, CN_VIEW("{")))
		return cn_markup__read_object(f, inside);
	name = cn_view_cut(inside, name_end(inside));
	at = cn_view_find(inside, CN_VIEW("{"), 0);
	return name.n && at != SIZE_MAX &&
	       cn_markup__add(f, name, cn_view_from(inside, at));
}

/* N <|constrain|>json<|message|>{…} */
bool cn_markup__read_harmony(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view name = cn_view_cut(inside, name_end(inside));
	size_t at = cn_view_find(inside, CN_VIEW("{"), 0);

	return name.n && at != SIZE_MAX &&
	       cn_markup__add(f, name, cn_view_from(inside, at));
}

/* ---- [n(k="v", k2=1), m()] ---- */

static bool pass(struct cn_view *v, char c)
{
	*v = cn_view_from(*v, cn_compose__blanks(*v));
	if (v->n == 0 || *v->p != c)
		return false;
	*v = cn_view_from(*v, 1);
	return true;
}

/* A value, up to the comma or bracket behind it. */
static bool pass_value(struct cn_view *v, struct cn_view *ret)
{
	size_t depth = 0, i;
	char quote = '\0';

	for (i = 0; i < v->n; i++) {
		char c = v->p[i];

		if (quote && c == '\\')
			i++;
		else if (quote && c == quote)
			quote = '\0';
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else if (quote)
			continue;
		else if (c == '[' || c == '{' || c == '(')
			depth++;
		else if (depth && (c == ']' || c == '}' || c == ')'))
			depth--;
		else if (!depth && (c == ',' || c == ')'))
			break;
	}
	if (i >= v->n)
		return false;
	*ret = cn_markup__trim(cn_view_cut(*v, i));
	*v = cn_view_from(*v, i);
	return ret->n > 0;
}

static bool read_arguments(struct cn_view *v, struct cn_buf *b)
{
	cn_buf_add_char(b, '{');
	while (!pass(v, ')')) {
		struct cn_view key, value;

		if (b->n > 1 && !pass(v, ','))
			return false;
		*v = cn_view_from(*v, cn_compose__blanks(*v));
		if (b->n > 1 && pass(v, ')'))
			break;
		key = cn_view_cut(*v, name_end(*v));
		*v = cn_view_from(*v, key.n);
		if (key.n == 0 || !pass(v, '=') || !pass_value(v, &value))
			return false;
		if (b->n > 1)
			cn_buf_add_char(b, ',');
		cn_json_add_string(b, key);
		cn_buf_add_char(b, ':');
		cn_buf_add_view(b, value);
	}
	cn_buf_add_char(b, '}');
	return true;
}

bool cn_markup__read_python(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view v = cn_markup__trim(inside);

	if (!pass(&v, '['))
		return false;
	while (!pass(&v, ']')) {
		CN_AUTO(cn_buf) input = {0};
		struct cn_view name;

		if (f->n && !pass(&v, ','))
			return false;
		v = cn_view_from(v, cn_compose__blanks(v));
		name = cn_view_cut(v, name_end(v));
		v = cn_view_from(v, name.n);
		if (name.n == 0 || !pass(&v, '(') || !read_arguments(&v, &input) ||
		    !cn_markup__add(f, name, cn_arena_view(&f->arena, cn_buf_view(&input))))
			return false;
	}
	return cn_markup__trim(v).n == 0;
}

enum cn_markup_guess cn_markup__bare_list(const struct cn_composer *c, struct cn_view text)
{
	struct cn_view v = text, name, known;
	CN_AUTO(cn_arena) a = {0};

	if (!pass(&v, '['))
		return CN_MARKUP_NO;
	v = cn_view_from(v, cn_compose__blanks(v));
	name = cn_view_cut(v, name_end(v));
	v = cn_view_from(v, name.n);
	if (name.n > 256)
		return CN_MARKUP_NO;
	if (v.n == 0)
		return CN_MARKUP_PERHAPS;
	return name.n && *v.p == '(' &&
	               cn_compose__tool(c, &a, name, &known).kind != CN_JSON_NONE
	           ? CN_MARKUP_YES
	           : CN_MARKUP_NO;
}
