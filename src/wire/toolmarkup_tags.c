/*
 * Calls in the text that name their parameters one by one: GLM, Qwen3-Coder, the families
 * of <invoke>, Kimi K3.
 *
 * A value is raw text: a string where the schema wants one, else JSON if it is any.  Behind
 * the last parameter nothing may follow, so that a call that was cut is not taken for one
 * with fewer of them.  Pure.
 */
#include "toolmarkup_impl.h"

/* ---- one value ---- */

static bool names_type(struct cn_json type, const char *name)
{
	if (cn_json_is(type, name))
		return true;
	if (type.kind != CN_JSON_ARRAY)
		return false;
	for (struct cn_json_iter it = cn_json_iter(type); cn_json_next(&it);)
		if (cn_json_is(it.value, name))
			return true;
	return false;
}

struct writer {
	struct cn_markup_found *f;
	struct cn_json properties; /* of the tool's schema */
	struct cn_buf input;       /* owned */
};

static struct writer begin_call(struct cn_markup_found *f, struct cn_view name)
{
	struct writer w = {.f = f};
	struct cn_view known;
	struct cn_json tool = cn_compose__tool(f->c, &f->arena, name, &known);

	w.properties = cn_json_path(tool, "input_schema", "properties", NULL);
	cn_buf_add_char(&w.input, '{');
	return w;
}

/* How a value is said to be; of most families the schema alone tells. */
enum said {
	CN_SAID_NOTHING,
	CN_SAID_STRING,
	CN_SAID_JSON,
};

static void add_value(struct writer *w, struct cn_view key, struct cn_view value,
                      enum said said)
{
	struct cn_json type = cn_json_get(
	    cn_json_get(w->properties, cn_arena_dup(&w->f->arena, key)), "type");
	bool string = said == CN_SAID_STRING ||
	              (said == CN_SAID_NOTHING && names_type(type, "string"));
	bool json = cn_json_check(value, NULL) == 0;

	/* Of a string that may be null, null is null. */
	if (said == CN_SAID_NOTHING && names_type(type, "null") &&
	    cn_view_is(value, "null"))
		string = false;
	if (w->input.n > 1)
		cn_buf_add_char(&w->input, ',');
	cn_json_add_string(&w->input, key);
	cn_buf_add_char(&w->input, ':');
	/* Python's words for a list or an object: the repair reads them. */
	if (!string && !json && (names_type(type, "array") || names_type(type, "object")))
		json = true;
	if (!string && json)
		cn_buf_add_view(&w->input, value);
	else
		cn_json_add_string(&w->input, value);
}

static bool end_call(struct writer *w, struct cn_view name, bool whole)
{
	cn_buf_add_char(&w->input, '}');
	whole =
	    whole &&
	    cn_markup__add(w->f, name, cn_arena_view(&w->f->arena, cn_buf_view(&w->input)));
	cn_buf_done(&w->input);
	return whole;
}

static bool is_blank(struct cn_view v)
{
	return cn_compose__blanks(v) == v.n;
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

/* N, then <arg_key>K</arg_key><arg_value>V</arg_value> for each */
bool cn_markup__read_glm(struct cn_markup_found *f, struct cn_view inside)
{
	size_t end = cn_view_find(inside, CN_VIEW("<arg_key>"), 0);
	struct cn_view key, value, between, name;
	struct writer w;
	bool whole = true;

	name = cn_markup__trim(cn_view_cut(inside, end == SIZE_MAX ? inside.n : end));
	inside = cn_view_from(inside, end == SIZE_MAX ? inside.n : end);
	w = begin_call(f, name);
	while (whole && cn_markup__cut(&inside, "<arg_key>", &between)) {
		whole = is_blank(between) && cn_markup__cut(&inside, "</arg_key>", &key) &&
		        cn_markup__cut(&inside, "<arg_value>", &between) &&
		        cn_markup__cut(&inside, "</arg_value>", &value);
		if (whole)
			add_value(&w, cn_markup__trim(key), value, CN_SAID_NOTHING);
	}
	return end_call(&w, name, whole && name.n && is_blank(inside));
}

/* N><parameter=K>V</parameter> */
bool cn_markup__read_qwen(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view key, value, between, name;
	struct writer w;
	bool whole = true;

	if (!cn_markup__cut(&inside, ">", &name))
		return false;
	name = cn_markup__trim(name);
	w = begin_call(f, name);
	while (whole && cn_markup__cut(&inside, "<parameter=", &between)) {
		whole = is_blank(between) && cn_markup__cut(&inside, ">", &key) &&
		        cn_markup__cut(&inside, "</parameter>", &value);
		if (whole)
			add_value(&w, cn_markup__trim(key), unwrapped(value),
			          CN_SAID_NOTHING);
	}
	return end_call(&w, name, whole && is_blank(inside));
}

/* Up to the parameter's own end tag: a value may hold markup of its own. */
static bool cut_parameter(struct cn_view *rest, struct cn_view *retvalue)
{
	struct cn_view text = *rest, between, tag;

	while (cn_markup__cut(rest, "</", &between)) {
		size_t end = cn_view_find(cn_view_cut(*rest, 32), CN_VIEW(">"), 0);

		tag = cn_view_cut(*rest, end == SIZE_MAX ? 0 : end);
		if (!cn_view_ends(tag, CN_VIEW("parameter")) || memchr(tag.p, '<', tag.n) ||
		    memchr(tag.p, ' ', tag.n))
			continue;
		*retvalue = cn_view(text.p, (size_t)(rest->p - text.p) - 2);
		*rest = cn_view_from(*rest, end + 1);
		return true;
	}
	return false;
}

/* N"> and parameters that are named by attribute; string="…" says what a value is. */
bool cn_markup__read_invoke(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view key, value, rest, between, name;
	struct writer w;
	bool whole = true;

	if (!cn_markup__cut(&inside, "\"", &name) ||
	    !cn_markup__cut(&inside, ">", &between))
		return false;
	w = begin_call(f, name);
	while (whole && cn_markup__cut(&inside, "parameter name=\"", &between)) {
		enum said said = CN_SAID_NOTHING;

		/* What stands before is its bracket, with or without a prefix. */
		between = cn_markup__trim(between);
		whole = between.n && between.n < 24 && *between.p == '<' &&
		        cn_markup__cut(&inside, "\"", &key) &&
		        cn_markup__cut(&inside, ">", &rest) &&
		        cut_parameter(&inside, &value);
		if (!whole)
			break;
		if (cn_view_find(rest, CN_VIEW("string=\"true\""), 0) != SIZE_MAX)
			said = CN_SAID_STRING;
		else if (cn_view_find(rest, CN_VIEW("string=\"false\""), 0) != SIZE_MAX)
			said = CN_SAID_JSON;
		add_value(&w, key, value, said);
	}
	return end_call(&w, name, whole && name.n && is_blank(inside));
}

/* A quoted attribute's value as text. */
static struct cn_view plain(struct cn_arena *a, struct cn_view v)
{
	static const struct {
		const char *entity;
		char c;
	} entities[] = {
	    {"&amp;", '&'}, {"&quot;", '"'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&#39;", '\''}};
	CN_AUTO(cn_buf) b = {0};

	if (!v.n || !memchr(v.p, '&', v.n))
		return v;
	while (v.n) {
		size_t n = 1;
		char c = *v.p;

		for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
			struct cn_view e = cn_view_str(entities[i].entity);

			if (cn_view_starts(v, e)) {
				n = e.n;
				c = entities[i].c;
			}
		}
		cn_buf_add_char(&b, c);
		v = cn_view_from(v, n);
	}
	return cn_arena_view(a, cn_buf_view(&b));
}

/*
 * N" index="1"<|sep|>, then <|open|>argument key="K"
 * type="T"<|sep|>V<|close|>argument<|sep|> for each, or all of them as one object between
 * <|open|>json …<|sep|> and <|close|>json.
 */
bool cn_markup__read_kimi_k3(struct cn_markup_found *f, struct cn_view inside)
{
	struct cn_view name, key, value, rest, between;
	struct writer w;
	bool whole = true;

	if (!cn_markup__cut(&inside, "\"", &name) ||
	    !cn_markup__cut(&inside, "<|sep|>", &between))
		return false;
	name = plain(&f->arena, name);
	inside = cn_markup__trim(inside);
	if (cn_view_starts(inside, CN_VIEW("{")))
		return cn_markup__add(f, name, inside);
	if (cn_view_starts(inside, CN_VIEW("<|open|>json")))
		return cn_markup__cut(&inside, "<|sep|>", &between) &&
		       cn_markup__cut(&inside, "<|close|>json", &value) &&
		       cn_markup__add(f, name, value);
	w = begin_call(f, name);
	while (whole && cn_markup__cut(&inside, "<|open|>argument key=\"", &between)) {
		whole = is_blank(between) && cn_markup__cut(&inside, "\"", &key) &&
		        cn_markup__cut(&inside, "<|sep|>", &rest) &&
		        cn_markup__cut(&inside, "<|close|>argument<|sep|>", &value);
		if (whole)
			add_value(&w, plain(&f->arena, key), value,
			          cn_view_find(rest, CN_VIEW("type=\"string\""), 0) !=
			                  SIZE_MAX
			              ? CN_SAID_STRING
			              : CN_SAID_NOTHING);
	}
	return end_call(&w, name, whole && name.n && is_blank(inside));
}
