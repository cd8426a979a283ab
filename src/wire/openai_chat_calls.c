/*
 * Tool calls of a Chat Completions answer, in all the forms that were seen: keyed by id, by
 * index or by neither, whole or in pieces, the name late or again and again
 * (wire/openai-chat.md 3, "tool call identity" and the rows below it).
 *
 * A call begins for the other side once its id and name are known, and is closed when
 * something else begins while it looks whole, or at the end: what looks whole may go on.
 */
#include "openai_chat_impl.h"

static struct cn_view name_of(const struct cn_chat_call *call)
{
	return cn_buf_view(&call->name);
}

/* ---- telling ---- */

static void tell_arguments(struct cn_chat *c, struct cn_chat_call *call)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .delta = CN_DELTA_INPUT_JSON,
	                      .index = call->block,
	                      .text =
	                          cn_view_from(cn_buf_view(&call->arguments), call->told)};

	if (ev.text.n == 0)
		return;
	call->told = call->arguments.n;
	c->said += ev.text.n;
	cn_chat__tell(c, &ev);
}

static void start(struct cn_chat *c, struct cn_chat_call *call)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_START,
	                      .block = CN_BLOCK_TOOL_USE,
	                      .id = cn_buf_view(&call->id),
	                      .name = name_of(call)};

	if (c->thought == CN_CHAT_AT_START)
		cn_chat__text_end(c);
	call->block = ev.index = cn_chat__next_block(c);
	cn_chat__close_whole_calls(c);
	call->started = true;
	cn_chat__tell(c, &ev);
	tell_arguments(c, call);
}

static void stop(struct cn_chat *c, struct cn_chat_call *call)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_STOP, .index = call->block};

	call->closed = true;
	cn_chat__tell(c, &ev);
}

void cn_chat__close_whole_calls(struct cn_chat *c)
{
	for (size_t i = 0; i < c->n_calls; i++) {
		struct cn_chat_call *call = &c->calls[i];

		/* Behind an empty object the real one has been seen to come. */
		if (call->started && !call->closed && call->whole && call->arguments.n > 2)
			stop(c, call);
	}
}

/* ---- names that come in pieces ---- */

/* Whether a tool of the request is called so, or begins so and goes on. */
static bool known(const struct cn_chat *c, struct cn_arena *a, struct cn_view name,
                  bool *begins)
{
	bool found = false;

	*begins = false;
	for (struct cn_json_iter it = cn_json_iter(c->base.hints.tools);
	     cn_json_next(&it);) {
		struct cn_view tool = cn_json_text(a, cn_json_get(it.value, "name"));

		found |= cn_view_eq(tool, name);
		*begins |= tool.n > name.n && cn_view_starts(tool, name);
	}
	return found;
}

static bool goes_on(const struct cn_chat *c, struct cn_arena *a,
                    const struct cn_chat_call *call, struct cn_view piece)
{
	CN_AUTO(cn_buf) joined = {0};
	bool begins;

	if (call->started || call->name.n == 0 || known(c, a, name_of(call), &begins))
		return false;
	cn_buf_add_view(&joined, name_of(call));
	cn_buf_add_view(&joined, piece);
	return known(c, a, cn_buf_view(&joined), &begins) || begins;
}

static void take_name(struct cn_chat *c, struct cn_arena *a, struct cn_chat_call *call,
                      struct cn_view name)
{
	if (call->name.n == 0 || goes_on(c, a, call, name))
		cn_buf_add_view(&call->name, name);
}

static bool may_start(const struct cn_chat *c, struct cn_arena *a,
                      const struct cn_chat_call *call)
{
	bool begins;

	if (call->started || call->id.n == 0 || call->name.n == 0)
		return false;
	return call->arguments.n || c->base.hints.tools.kind == CN_JSON_NONE ||
	       known(c, a, name_of(call), &begins) || !begins;
}

/* ---- which call it is ---- */

/* One element of tool_calls, read. */
struct piece {
	struct cn_view id, name, arguments;
	bool has_index;
	uint64_t index;
};

/* Whether a new call with the same place would look like this piece. */
static bool is_next(const struct cn_chat *c, struct cn_arena *a,
                    const struct cn_chat_call *call, const struct piece *p)
{
	if (p->id.n && call->id.n && !cn_view_eq(p->id, cn_buf_view(&call->id)))
		/* Ids that change with each chunk of one call were seen as well. */
		return p->name.n || call->whole || p->arguments.n == 0;
	if (p->id.n || p->name.n == 0 || call->name.n == 0)
		return false;
	if (!cn_view_eq(p->name, name_of(call)))
		return !goes_on(c, a, call, p->name);
	return call->whole && p->arguments.n &&
	       !cn_view_eq(p->arguments, cn_buf_view(&call->arguments));
}

static struct cn_chat_call *find(struct cn_chat *c, struct cn_arena *a,
                                 const struct piece *p)
{
	struct cn_chat_call *call;

	for (size_t i = c->n_calls; p->id.n && i-- > 0;) {
		call = &c->calls[i];
		if (cn_view_eq(p->id, cn_buf_view(&call->id)) &&
		    (!p->has_index || !call->has_index || p->index == call->index))
			return call;
	}
	for (size_t i = c->n_calls; i-- > 0;) {
		call = &c->calls[i];
		if (p->has_index && (!call->has_index || call->index != p->index))
			continue;
		return is_next(c, a, call, p) ? NULL : call;
	}
	return NULL;
}

static struct cn_chat_call *new_call(struct cn_chat *c, const struct piece *p)
{
	struct cn_chat_call *call;

	if (c->n_calls == CN_CHAT_CALLS_MAX)
		return NULL;
	c->calls = cn_realloc(c->calls, (c->n_calls + 1) * sizeof(*c->calls));
	call = &c->calls[c->n_calls++];
	*call = (struct cn_chat_call){.has_index = p->has_index, .index = p->index};
	return call;
}

/* ---- arguments ---- */

static void count_brackets(struct cn_chat_call *call, struct cn_view text)
{
	for (size_t i = 0; i < text.n; i++) {
		char ch = text.p[i];

		if (call->escaped) {
			call->escaped = false;
		} else if (call->in_string) {
			call->escaped = ch == '\\';
			call->in_string = ch != '"';
		} else if (ch == '"') {
			call->in_string = true;
		} else if (ch == '{' || ch == '[') {
			call->depth++;
			call->whole = false;
		} else if ((ch == '}' || ch == ']') && call->depth) {
			call->whole = --call->depth == 0;
		}
	}
}

static int take_arguments(struct cn_chat_call *call, struct cn_view text,
                          struct cn_error *reterr)
{
	/* Some repeat all of them in a last chunk. */
	if (text.n == 0 || (call->whole && cn_view_eq(text, cn_buf_view(&call->arguments))))
		return 0;
	if (call->closed) {
		while (text.n && strchr(" \t\r\n", *text.p))
			text = cn_view_from(text, 1);
		return text.n ? cn_fail(reterr, CN_E_INVALID,
		                        "arguments behind the end of their call")
		              : 0;
	}
	if (call->arguments.n + text.n > CN_CHAT_ARGUMENTS_MAX)
		return cn_fail(reterr, CN_E_INVALID, "a tool call over 1 MiB");
	cn_buf_add_view(&call->arguments, text);
	count_brackets(call, text);
	return 0;
}

int cn_chat__call(struct cn_chat *c, struct cn_arena *a, struct cn_json part, bool fresh,
                  struct cn_error *reterr)
{
	struct cn_json function = cn_json_get(part, "function"),
		       arguments = cn_json_get(function, "arguments");
	struct piece p = {
	    .id = cn_json_text(a, cn_json_get(part, "id")),
	    .name = cn_json_text(a, cn_json_get(function, "name")),
	    /* An object in place of its text was seen. */
	    .arguments = arguments.kind == CN_JSON_OBJECT ? arguments.raw
	                                                  : cn_json_text(a, arguments),
	};
	struct cn_chat_call *call;
	int err;

	p.has_index = cn_json_u64(cn_json_get(part, "index"), &p.index);
	/* Some send the member of a call that there is not. */
	if (p.id.n == 0 && p.name.n == 0 && p.arguments.n == 0)
		return 0;
	call = fresh ? NULL : find(c, a, &p);
	if (!call && !(call = new_call(c, &p)))
		return cn_fail(reterr, CN_E_INVALID, "more than 128 tool calls");
	if (call->id.n == 0)
		cn_buf_add_view(&call->id, p.id);
	if (p.name.n)
		take_name(c, a, call, p.name);
	err = take_arguments(call, p.arguments, reterr);
	if (err)
		return err;
	if (call->started)
		tell_arguments(c, call);
	else if (may_start(c, a, call))
		start(c, call);
	return 0;
}

bool cn_chat__whole_call(struct cn_chat *c, struct cn_view name, struct cn_view input)
{
	struct cn_chat_call *call = new_call(c, &(struct piece){.has_index = false});

	if (!call)
		return false;
	cn_buf_add_view(&call->name, name);
	cn_buf_add_view(&call->arguments, input);
	call->whole = true;
	start(c, call);
	stop(c, call);
	return true;
}

/* ---- the end ---- */

bool cn_chat__call_cut(const struct cn_chat *c)
{
	bool cut = false;

	for (size_t i = 0; i < c->n_calls; i++)
		cut |= !c->calls[i].whole;
	return cut;
}

/* Those that waited for an id begin in the order that the backend gave them. */
static struct cn_chat_call *first_waiting(struct cn_chat *c)
{
	struct cn_chat_call *first = NULL;

	for (size_t i = 0; i < c->n_calls; i++) {
		struct cn_chat_call *call = &c->calls[i];

		if (!call->started && (!first || call->index < first->index))
			first = call;
	}
	return first;
}

int cn_chat__end_calls(struct cn_chat *c, bool cut, struct cn_error *reterr)
{
	struct cn_chat_call *call;

	while ((call = first_waiting(c))) {
		if (call->name.n == 0)
			return cn_fail(reterr, CN_E_INVALID, "a tool call without a name");
		start(c, call);
	}
	for (size_t i = 0; i < c->n_calls; i++)
		if (!c->calls[i].closed && !(cut && !c->calls[i].whole))
			stop(c, &c->calls[i]);
	return 0;
}

size_t cn_chat__calls_held(const struct cn_chat *c)
{
	size_t held = c->n_calls * sizeof(*c->calls);

	for (size_t i = 0; i < c->n_calls; i++)
		held +=
		    c->calls[i].id.cap + c->calls[i].name.cap + c->calls[i].arguments.cap;
	return held;
}

void cn_chat__calls_done(struct cn_chat *c)
{
	for (size_t i = 0; i < c->n_calls; i++) {
		cn_buf_done(&c->calls[i].id);
		cn_buf_done(&c->calls[i].name);
		cn_buf_done(&c->calls[i].arguments);
	}
	free(c->calls);
	c->calls = NULL;
	c->n_calls = 0;
}
