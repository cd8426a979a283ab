/*
 * Tools as Chat Completions functions, and how they may be called (wire/openai-chat.md 5).
 *
 * Tools that a provider runs itself are left out, and deferred ones until the conversation
 * has named them.  Pure.
 */
#include "openai_chat_encode_impl.h"

#include <stdlib.h>

static int by_text(const void *pa, const void *pb)
{
	const struct cn_view *a = pa, *b = pb;
	size_t n = a->n < b->n ? a->n : b->n;
	int way = n ? memcmp(a->p, b->p, n) : 0;

	return way ? way : (a->n > b->n) - (a->n < b->n);
}

struct tool {
	struct cn_json type, name, description, schema, defer;
};

static struct tool read_tool(struct cn_json v)
{
	struct tool t = {.type = {.kind = CN_JSON_NONE}};

	for (struct cn_json_iter it = cn_json_iter(v); cn_json_next(&it);) {
		if (cn_wire__says(it.key, CN_VIEW("type")))
			t.type = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("name")))
			t.name = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("description")))
			t.description = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("input_schema")))
			t.schema = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("defer_loading")))
			t.defer = it.value;
	}
	return t;
}

static bool is_sent(const struct cn_chat_encoder *e, const struct tool *t)
{
	struct cn_view name;

	/* Typed ones have no schema: the model at their provider knows them by heart. */
	if (t->name.kind != CN_JSON_STRING || t->schema.kind != CN_JSON_OBJECT ||
	    (t->type.kind == CN_JSON_STRING && !cn_json_is(t->type, "custom")))
		return false;
	if (t->defer.kind != CN_JSON_TRUE)
		return true;
	name = cn_json_text(e->arena, t->name);
	return e->n_named && bsearch(&name, e->named, e->n_named, sizeof(name), by_text);
}

static void write_tool(struct cn_chat_encoder *e, const struct tool *t)
{
	struct cn_view name = cn_json_text(e->arena, t->name);

	cn_chat_out__str(e, "{\"type\":\"function\",\"function\":{");
	cn_json_add_text(&e->out.b, "name", cn_chat__short_name(e->arena, name));
	if (t->description.kind == CN_JSON_STRING) {
		cn_chat_out__key(e, "description");
		cn_chat_out__add(e, t->description.raw);
	}
	cn_chat__write_schema(e, t->schema);
	cn_chat_out__str(e, "}}");
}

/* How many were written. */
static size_t write_list(struct cn_chat_encoder *e)
{
	size_t n = 0;

	for (struct cn_json_iter it = cn_json_iter(e->r->tools); cn_json_next(&it);) {
		struct tool t = read_tool(it.value);

		if (!is_sent(e, &t))
			continue;
		if (n++ == 0) {
			cn_chat_out__key(e, "tools");
			cn_chat_out__str(e, "[");
		} else {
			cn_chat_out__pause(e);
			cn_chat_out__str(e, ",");
		}
		write_tool(e, &t);
	}
	if (n)
		cn_chat_out__str(e, "]");
	return n;
}

static bool may_force(const struct cn_chat_encoder *e)
{
	return !cn_chat_quirk(e, CN_QUIRK_AUTO_TOOL_CHOICE) &&
	       !(cn_chat_quirk(e, CN_QUIRK_FREE_CHOICE_THINKING) && cn_chat__thinks(e));
}

static void write_choice(struct cn_chat_encoder *e, struct cn_json choice)
{
	struct cn_json type = cn_json_get(choice, "type");
	struct cn_view name;
	const char *word = "auto";

	if (choice.kind != CN_JSON_OBJECT || cn_chat_quirk(e, CN_QUIRK_NO_TOOL_CHOICE))
		return;
	if (cn_json_is(type, "none")) {
		word = "none";
	} else if (cn_json_is(type, "any") && may_force(e)) {
		word = "required";
	} else if (cn_json_is(type, "tool") && may_force(e)) {
		word = "required";
		name = cn_json_text(e->arena, cn_json_get(choice, "name"));
		if (!cn_chat_quirk(e, CN_QUIRK_STRING_TOOL_CHOICE)) {
			cn_chat_out__key(e, "tool_choice");
			cn_chat_out__str(e, "{\"type\":\"function\",\"function\":{");
			cn_json_add_text(&e->out.b, "name",
			                 cn_chat__short_name(e->arena, name));
			cn_chat_out__str(e, "}}");
			return;
		}
	}
	cn_json_add_text(&e->out.b, "tool_choice", cn_view_str(word));
}

/* Where "none" cannot be said there are no tools. */
static bool is_without(const struct cn_chat_encoder *e, struct cn_json choice)
{
	return cn_json_is(cn_json_get(choice, "type"), "none") &&
	       (cn_chat_quirk(e, CN_QUIRK_NO_TOOL_CHOICE) ||
	        cn_chat_quirk(e, CN_QUIRK_AUTO_TOOL_CHOICE));
}

void cn_chat__write_tools(struct cn_chat_encoder *e)
{
	struct cn_json choice = cn_chat__member(e, "tool_choice");
	bool one = cn_json_get(choice, "disable_parallel_tool_use").kind == CN_JSON_TRUE;

	if (e->n_named)
		qsort(e->named, e->n_named, sizeof(*e->named), by_text);
	if (is_without(e, choice) || write_list(e) == 0)
		return;
	write_choice(e, choice);
	if (cn_chat__is_added(e, "parallel_tool_calls"))
		return;
	if (cn_chat_quirk(e, CN_QUIRK_NO_PARALLEL_SWITCH))
		return;
	if (one || cn_chat_quirk(e, CN_QUIRK_PARALLEL_BY_REQUEST))
		cn_json_add_bool(&e->out.b, "parallel_tool_calls", !one);
}
