/*
 * Tool calls of a Chat Completions answer, in all the forms that were seen: keyed by id, by
 * index or by neither, whole or in pieces, the name late or again and again
 * (wire/openai-chat.md 3, "tool call identity" and the rows below it).
 *
 * A call begins for the other side once its id and name are known, and is closed when
 * something else begins while it looks whole, or at the end: what looks whole may go on.
 */
#include "compose_impl.h"
#include "openai_chat_encode_impl.h"

static struct cn_view name_of(const struct cn_call *call)
{
	return cn_buf_view(&call->name);
}

/* ---- telling ---- */

static void tell_arguments(struct cn_composer *c, struct cn_call *call)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
	                      .delta = CN_DELTA_INPUT_JSON,
	                      .index = call->block,
	                      .text =
	                          cn_view_from(cn_buf_view(&call->arguments), call->told)};

	if (ev.text.n == 0 || call->dropped)
		return;
	call->told = call->arguments.n;
	c->said += ev.text.n;
	cn_compose__tell(c, &ev);
}

/* What its provider wants back with the call stands before it. */
static void tell_extra(struct cn_composer *c, const struct cn_call *call)
{
	CN_AUTO(cn_buf) raw = {0};

	if (call->extra.n == 0)
		return;
	cn_buf_add_char(&raw, '{');
	cn_json_add_raw(&raw, "extra_content", cn_buf_view(&call->extra));
	cn_buf_add_char(&raw, '}');
	cn_compose__carrier(c, cn_buf_view(&raw));
}

static void start(struct cn_composer *c, struct cn_call *call)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_event ev = {.kind = CN_EV_BLOCK_START,
	                      .block = CN_BLOCK_TOOL_USE,
	                      .id = cn_buf_view(&call->id)};

	cn_compose__settle(c);
	/* The client asked for one at a time, whatever the backend makes of that. */
	call->dropped = c->n_started++ && c->base.hints.one_call;
	if (call->dropped) {
		call->started = true;
		return;
	}
	tell_extra(c, call);
	(void)cn_compose__tool(c, &a, name_of(call), &ev.name);
	call->block = ev.index = cn_compose__next_block(c);
	cn_compose__close_whole_calls(c);
	call->started = true;
	cn_compose__tell(c, &ev);
	tell_arguments(c, call);
}

static void stop(struct cn_composer *c, struct cn_call *call)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_STOP, .index = call->block};

	call->closed = true;
	if (!call->dropped)
		cn_compose__tell(c, &ev);
}

void cn_compose__close_whole_calls(struct cn_composer *c)
{
	for (size_t i = 0; i < c->n_calls; i++) {
		struct cn_call *call = &c->calls[i];

		/* Behind an empty object the real one has been seen to come. */
		if (call->started && !call->closed && call->whole && call->arguments.n > 2)
			stop(c, call);
	}
}

/* ---- names that come in pieces ---- */

struct cn_json cn_compose__tool(const struct cn_composer *c, struct cn_arena *a,
                                struct cn_view name, struct cn_view *retname)
{
	struct cn_json none = {.kind = CN_JSON_NONE}, like = none;
	struct cn_view likely = name;
	size_t n = 0;

	*retname = name;
	for (struct cn_json_iter it = cn_json_iter(c->base.hints.tools);
	     cn_json_next(&it);) {
		struct cn_view tool = cn_json_text(a, cn_json_get(it.value, "name"));

		/* The name that it knows is the one that it was sent. */
		if (tool.n && (cn_view_eq(tool, name) ||
		               cn_view_eq(cn_chat__short_name(a, tool), name))) {
			*retname = tool;
			return it.value;
		}
		if (tool.n == 0 || !cn_view_eq_nocase(tool, name))
			continue;
		like = it.value;
		likely = tool;
		n++;
	}
	if (n != 1)
		return none;
	*retname = likely;
	return like;
}

/* Whether a tool of the request is called so, or begins so and goes on. */
static bool known(const struct cn_composer *c, struct cn_arena *a, struct cn_view name,
                  bool *begins)
{
	bool found = false;

	*begins = false;
	for (struct cn_json_iter it = cn_json_iter(c->base.hints.tools);
	     cn_json_next(&it);) {
		struct cn_view tool =
		    cn_chat__short_name(a, cn_json_text(a, cn_json_get(it.value, "name")));

		found |= cn_view_eq(tool, name);
		*begins |= tool.n > name.n && cn_view_starts(tool, name);
	}
	return found;
}

/* Marks of the model's own format, glued to the name, are none of it. */
static struct cn_view clean_name(struct cn_view name)
{
	size_t at = cn_view_find(name, CN_VIEW("<|"), 0);

	return at == SIZE_MAX ? name : cn_view_cut(name, at);
}

static bool goes_on(const struct cn_composer *c, struct cn_arena *a,
                    const struct cn_call *call, struct cn_view piece)
{
	CN_AUTO(cn_buf) joined = {0};
	bool begins;

	if (call->started || call->name.n == 0 || known(c, a, name_of(call), &begins))
		return false;
	cn_buf_add_view(&joined, name_of(call));
	cn_buf_add_view(&joined, piece);
	return known(c, a, cn_buf_view(&joined), &begins) || begins;
}

static void take_name(struct cn_composer *c, struct cn_arena *a, struct cn_call *call,
                      struct cn_view name)
{
	if (call->name.n == 0 || goes_on(c, a, call, name))
		cn_buf_add_view(&call->name, name);
}

static bool may_start(const struct cn_composer *c, struct cn_arena *a,
                      const struct cn_call *call)
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
static bool is_next(const struct cn_composer *c, struct cn_arena *a,
                    const struct cn_call *call, const struct piece *p)
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

static struct cn_call *find(struct cn_composer *c, struct cn_arena *a,
                            const struct piece *p)
{
	struct cn_call *call;

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

static struct cn_call *new_call(struct cn_composer *c, const struct piece *p)
{
	struct cn_call *call;

	if (c->n_calls == CN_CALLS_MAX)
		return NULL;
	c->calls = cn_realloc(c->calls, (c->n_calls + 1) * sizeof(*c->calls));
	call = &c->calls[c->n_calls++];
	*call = (struct cn_call){.has_index = p->has_index, .index = p->index};
	return call;
}

/* ---- arguments ---- */

static void count_brackets(struct cn_call *call, struct cn_view text)
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

static int take_arguments(struct cn_call *call, struct cn_view text,
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
	if (call->arguments.n + text.n > CN_ARGUMENTS_MAX)
		return cn_fail(reterr, CN_E_INVALID, "a tool call over 1 MiB");
	cn_buf_add_view(&call->arguments, text);
	count_brackets(call, text);
	return 0;
}

int cn_compose__call(struct cn_composer *c, struct cn_arena *a, struct cn_json part,
                     bool fresh, struct cn_error *reterr)
{
	struct cn_json function = cn_json_get(part, "function"),
		       arguments = cn_json_get(function, "arguments"),
		       extra = cn_json_get(part, "extra_content");
	struct piece p = {
	    .id = cn_json_text(a, cn_json_get(part, "id")),
	    .name = clean_name(cn_json_text(a, cn_json_get(function, "name"))),
	    /* An object in place of its text was seen. */
	    .arguments = arguments.kind == CN_JSON_OBJECT ? arguments.raw
	                                                  : cn_json_text(a, arguments),
	};
	struct cn_call *call;
	int err;

	p.has_index = cn_json_u64(cn_json_get(part, "index"), &p.index);
	/* Some send the member of a call that there is not. */
	if (p.id.n == 0 && p.name.n == 0 && p.arguments.n == 0)
		return 0;
	c->heard += p.arguments.n + 1;
	call = fresh ? NULL : find(c, a, &p);
	if (!call && !(call = new_call(c, &p)))
		return cn_fail(reterr, CN_E_INVALID, "more than 128 tool calls");
	if (call->id.n == 0)
		cn_buf_add_view(&call->id, p.id);
	if (extra.kind == CN_JSON_OBJECT && call->extra.n == 0)
		cn_buf_add_view(&call->extra, extra.raw);
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

int cn_compose__calls(struct cn_composer *c, struct cn_arena *a, struct cn_json calls,
                      bool fresh, struct cn_error *reterr)
{
	int err = 0;

	if (calls.kind == CN_JSON_ARRAY)
		for (struct cn_json_iter it = cn_json_iter(calls);
		     !err && !c->base.stopped && cn_json_next(&it);)
			err = cn_compose__call(c, a, it.value, fresh, reterr);
	return err;
}

bool cn_compose__whole_call(struct cn_composer *c, struct cn_view name,
                            struct cn_view input)
{
	struct cn_call *call = new_call(c, &(struct piece){.has_index = false});

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

bool cn_compose__call_cut(const struct cn_composer *c)
{
	bool cut = false;

	for (size_t i = 0; i < c->n_calls; i++)
		cut |= !c->calls[i].whole;
	return cut;
}

/* Those that waited for an id begin in the order that the backend gave them. */
static struct cn_call *first_waiting(struct cn_composer *c)
{
	struct cn_call *first = NULL;

	for (size_t i = 0; i < c->n_calls; i++) {
		struct cn_call *call = &c->calls[i];

		if (!call->started && (!first || call->index < first->index))
			first = call;
	}
	return first;
}

int cn_compose__end_calls(struct cn_composer *c, bool cut, struct cn_error *reterr)
{
	struct cn_call *call;

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

size_t cn_compose__calls_held(const struct cn_composer *c)
{
	size_t held = c->n_calls * sizeof(*c->calls);

	for (size_t i = 0; i < c->n_calls; i++)
		held += c->calls[i].id.cap + c->calls[i].name.cap +
		        c->calls[i].arguments.cap + c->calls[i].extra.cap;
	return held;
}

void cn_compose__calls_done(struct cn_composer *c)
{
	for (size_t i = 0; i < c->n_calls; i++) {
		cn_buf_done(&c->calls[i].id);
		cn_buf_done(&c->calls[i].name);
		cn_buf_done(&c->calls[i].arguments);
		cn_buf_done(&c->calls[i].extra);
	}
	free(c->calls);
	c->calls = NULL;
	c->n_calls = 0;
}
