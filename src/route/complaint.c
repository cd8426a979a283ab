/*
 * Reads an error body in any of the shapes that backends send (wire/openai-chat.md 4) into
 * the few strings that rules look at.
 *
 * Owns nothing: views into the arena or the body.  Any thread.  It decides nothing, and
 * takes every shape: what cannot be read is looked at as text, at most 8 KiB of it.
 */
#include "route_impl.h"

#define DEPTH 4 /* error in metadata.raw in error …: providers behind providers */

static struct cn_view text_of(struct cn_arena *a, struct cn_json v)
{
	if (v.kind == CN_JSON_STRING)
		return cn_json_text(a, v);
	if (v.kind == CN_JSON_OBJECT || v.kind == CN_JSON_ARRAY)
		return v.raw;
	return (struct cn_view){NULL, 0};
}

static struct cn_json first_element(struct cn_json array)
{
	struct cn_json_iter it = cn_json_iter(array);

	return cn_json_next(&it) ? it.value : (struct cn_json){.kind = CN_JSON_NONE};
}

/* Adds a piece of what patterns see, in lower case. */
static void add(struct cn_buf *text, struct cn_view v)
{
	size_t room = text->n < CN_ERROR_TEXT ? CN_ERROR_TEXT - text->n : 0;
	size_t at = text->n;

	v = cn_view_cut(v, room);
	cn_buf_add_view(text, v);
	for (; at < text->n; at++) {
		if (text->p[at] >= 'A' && text->p[at] <= 'Z')
			text->p[at] = (char)(text->p[at] - 'A' + 'a');
	}
	cn_buf_add_char(text, '\n');
}

/* error.code: an integer, or a string of digits, is also a number. */
static void read_code(struct cn_arena *a, struct cn_json code, struct cn_complaint *c)
{
	if (code.kind == CN_JSON_NUMBER) {
		if (!cn_json_u64(code, &c->number))
			c->number = 0;
		c->code = code.raw;
	} else if (code.kind == CN_JSON_STRING) {
		c->code = cn_json_text(a, code);
		if (!cn_view_u64(c->code, &c->number))
			c->number = 0;
		c->own_code = c->code.n == 4 && c->number != 0;
	}
}

/* One entry of a validation list: {"loc":["body","field"],"msg":"…"} as "field: msg". */
static struct cn_view read_detail(struct cn_arena *a, struct cn_json entry)
{
	struct cn_json_iter it = cn_json_iter(cn_json_get(entry, "loc"));
	struct cn_view msg = text_of(a, cn_json_get(entry, "msg"));
	CN_AUTO(cn_buf) b = {0};

	while (cn_json_next(&it)) {
		struct cn_view part = it.value.kind == CN_JSON_STRING
		                          ? cn_json_text(a, it.value)
		                          : it.value.raw;

		if (it.index == 0 && cn_view_is(part, "body"))
			continue;
		if (b.n)
			cn_buf_add_char(&b, '.');
		cn_buf_add_view(&b, part);
	}
	if (b.n)
		cn_buf_add_str(&b, ": ");
	cn_buf_add_view(&b, msg);
	return cn_arena_view(a, cn_buf_view(&b));
}

/* The upstream's words behind a gateway's: a string, JSON in a string, or an object. */
static void add_raw(struct cn_arena *a, struct cn_buf *text, struct cn_json raw, int depth)
{
	static const char *const names[] = {"message", "error", "detail", "details",
	                                    "msg",     "code",  "type"};
	struct cn_view words = text_of(a, raw);

	if (raw.kind == CN_JSON_STRING && words.n && words.p[0] == '{' && depth > 0 &&
	    cn_json_check(words, NULL) == 0)
		raw = cn_json_root(words);
	if (raw.kind != CN_JSON_OBJECT || depth == 0) {
		add(text, words);
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		add_raw(a, text, cn_json_get(raw, names[i]), depth - 1);
}

static struct cn_json get_any(struct cn_json object, const char *const *names)
{
	struct cn_json v = {.kind = CN_JSON_NONE};

	for (; *names && (v.kind == CN_JSON_NONE || v.kind == CN_JSON_NULL); names++)
		v = cn_json_get(object, *names);
	return v;
}

/* An object with message, type, code and their cousins. */
static void read_object(struct cn_arena *a, struct cn_json o, struct cn_buf *text,
                        struct cn_complaint *c)
{
	static const char *const messages[] = {
	    "message", "Message", "msg", "detail", "error_description", "error", NULL};
	static const char *const types[] = {"type", "__type", "status", NULL};
	struct cn_json message = get_any(o, messages), details = cn_json_get(o, "details"),
		       raw;
	uint64_t window;

	if (message.kind == CN_JSON_ARRAY)
		c->message = read_detail(a, first_element(message));
	else
		c->message = text_of(a, message);
	c->type = text_of(a, get_any(o, types));
	read_code(a, cn_json_get(o, "code"), c);
	c->param = text_of(a, cn_json_get(o, "param"));
	if (cn_json_u64(cn_json_get(o, "n_ctx"), &window))
		c->window = window;
	add(text, c->message);
	add(text, c->type);
	add(text, c->code);
	/* A string, an object with error_code, or a list of quota violations. */
	if (details.kind == CN_JSON_OBJECT)
		add(text, text_of(a, cn_json_get(details, "error_code")));
	else
		add(text, text_of(a, details));
	add(text, text_of(a, cn_json_path(o, "innererror", "code", NULL)));
	add(text, text_of(a, cn_json_get(o, "failed_generation")).n
	              ? CN_VIEW("failed_generation")
	              : CN_VIEW(""));
	raw = cn_json_path(o, "metadata", "raw", NULL);
	add_raw(a, text, raw, DEPTH);
	add(text, text_of(a, cn_json_path(o, "metadata", "limit_source", NULL)));
	if (cn_json_path(o, "metadata", "flagged_input", NULL).kind != CN_JSON_NONE)
		add(text, CN_VIEW("flagged_input"));
}

/* The object that complains, wherever the body keeps it; kind NONE: it does not complain.
 */
static struct cn_json find_error(struct cn_json root, struct cn_complaint *c)
{
	struct cn_json error, base, choice;

	if (root.kind == CN_JSON_ARRAY)
		root = first_element(root);
	if (root.kind != CN_JSON_OBJECT)
		return (struct cn_json){.kind = CN_JSON_NONE};
	base = cn_json_get(root, "base_resp");
	if (base.kind == CN_JSON_OBJECT &&
	    cn_json_u64(cn_json_get(base, "status_code"), &c->number) && c->number != 0) {
		c->base_resp = true;
		c->is_error = true;
		return base;
	}
	error = cn_json_get(root, "error");
	if (error.kind == CN_JSON_NONE || error.kind == CN_JSON_NULL)
		error = first_element(cn_json_get(root, "errors"));
	if (error.kind == CN_JSON_NONE) {
		choice = first_element(cn_json_get(root, "choices"));
		error = cn_json_get(choice, "error");
	}
	if (error.kind == CN_JSON_NONE || error.kind == CN_JSON_NULL)
		error = cn_json_path(root, "response", "error", NULL);
	c->is_error = error.kind == CN_JSON_OBJECT || error.kind == CN_JSON_STRING ||
	              cn_json_is(cn_json_get(root, "type"), "error") ||
	              cn_json_is(cn_json_get(root, "object"), "error") ||
	              cn_json_get(root, "success").kind == CN_JSON_FALSE;
	return error.kind == CN_JSON_OBJECT ? error : root;
}

/* A code of four digits in brackets at the end of the message: "… (1008)". */
static void read_tail_code(struct cn_complaint *c)
{
	struct cn_view m = cn_view_trim(c->message);
	uint64_t code;

	if (m.n < 6 || m.p[m.n - 1] != ')' || m.p[m.n - 6] != '(')
		return;
	if (cn_view_u64(cn_view(m.p + m.n - 5, 4), &code) && cn_rule__code(code, true)) {
		c->number = code;
		c->base_resp = true;
	}
}

static bool looks_like_page(struct cn_view content_type, struct cn_view body)
{
	struct cn_view start = body;

	while (start.n && strchr(" \t\r\n", start.p[0]))
		start = cn_view_from(start, 1);
	return cn_view_find_nocase(cn_view_cut(content_type, 64), CN_VIEW("text/html")) !=
	           SIZE_MAX ||
	       (start.n && start.p[0] == '<');
}

void cn_complaint__read(struct cn_arena *a, struct cn_view content_type,
                        struct cn_view body, struct cn_complaint *ret)
{
	CN_AUTO(cn_buf) text = {0};
	struct cn_json error;

	*ret = (struct cn_complaint){0};
	ret->json = body.n > 0 && cn_json_check(body, NULL) == 0;
	if (!ret->json) {
		ret->html = looks_like_page(content_type, body);
		add(&text, cn_view_cut(body, CN_ERROR_TEXT));
		ret->text = cn_arena_view(a, cn_buf_view(&text));
		return;
	}
	error = find_error(cn_json_root(body), ret);
	if (error.kind == CN_JSON_OBJECT && ret->base_resp) {
		ret->message = text_of(a, cn_json_get(error, "status_msg"));
		add(&text, ret->message);
	} else if (error.kind == CN_JSON_OBJECT) {
		read_object(a, error, &text, ret);
		/* At the top level other providers number their errors in their own way. */
		if (error.raw.p == cn_json_root(body).raw.p)
			ret->own_code = false;
		read_tail_code(ret);
	}
	if (ret->message.n == 0)
		add(&text, cn_view_cut(body, CN_ERROR_TEXT));
	ret->text = cn_arena_view(a, cn_buf_view(&text));
}

void cn_complaint__say(struct cn_arena *a, struct cn_view type, struct cn_view message,
                       struct cn_complaint *ret)
{
	CN_AUTO(cn_buf) text = {0};

	*ret = (struct cn_complaint){
	    .json = true, .is_error = true, .type = type, .message = message};
	if (!cn_view_u64(type, &ret->number))
		ret->number = 0;
	read_tail_code(ret);
	add(&text, message);
	add(&text, type);
	ret->text = cn_arena_view(a, cn_buf_view(&text));
}
