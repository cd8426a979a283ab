/*
 * The conversation as Chat Completions messages (wire/openai-chat.md 5).
 *
 * Two messages are in the making at a time: the assistant's, and what the user's side says
 * behind it, which may come from several messages of the client.  They are written when the
 * other side speaks again, in the order that strict servers take: the assistant's message,
 * one tool message for each of its calls, one user message.  So what is written of earlier
 * turns never changes.  Pure.
 */
#include "openai_chat_encode_impl.h"

#include <stdlib.h>

#include "continuo/ids.h"

/* ---- small things ---- */

static void open_message(struct cn_chat_encoder *e, const char *role)
{
	e->of_assistant = strcmp(role, "assistant") == 0;
	if (e->n_written++) {
		cn_chat_out__pause(e);
		cn_chat_out__str(e, ",");
	}
	cn_chat_out__str(e, "{");
	cn_json_add_text(&e->out.b, "role", cn_view_str(role));
}

static void write_user_text(struct cn_chat_encoder *e, struct cn_view text)
{
	e->begun = true;
	open_message(e, "user");
	cn_json_add_text(&e->out.b, "content", text);
	cn_chat_out__str(e, "}");
}

static bool has_bytes(const struct cn_chat_parts *list)
{
	for (size_t i = 0; i < list->n; i++)
		for (size_t k = 0; k < CN_CHAT_PIECES; k++)
			if (list->v[i].pieces[k].n)
				return true;
	return false;
}

/* Puts words of ours around a text that is one piece. */
static bool wrap(struct cn_chat_part *p, const char *before, const char *behind)
{
	if (!p->text || !p->pieces[0].n || p->pieces[1].n)
		return false;
	p->pieces[1] = p->pieces[0];
	p->pieces[0] = cn_view_str(before);
	p->pieces[2] = cn_view_str(behind);
	return true;
}

static struct cn_view sent_id(struct cn_chat_encoder *e, struct cn_view id)
{
	bool nine = cn_chat_quirk(e, CN_QUIRK_NINE_CHARACTER_IDS);
	struct cn_view theirs;

	if (e->edit->call_id && cn_view_starts(id, CN_VIEW(CN_ID_TOOL_OURS)) &&
	    e->edit->call_id(e->edit->self, id, &theirs))
		return cn_chat__short_id(e->arena, theirs, true, nine);
	return cn_chat__short_id(e->arena, id, false, nine);
}

/* ---- the system prompt ---- */

static void add_clients_system(struct cn_chat_encoder *e, struct cn_chat_parts *to)
{
	struct cn_chat_block b;

	if (e->r->system.kind != CN_JSON_ARRAY) {
		cn_chat__put_content(e, to, e->r->system);
		return;
	}
	for (struct cn_json_iter it = cn_json_iter(e->r->system); cn_json_next(&it);) {
		cn_chat__read_block(it.value, &b);
		if (!cn_wire__is_attribution(b.text))
			cn_chat__put_block(e, to, &b);
	}
}

/* Where the backend cannot be told the schema of the answer, the model is. */
static void add_wanted_format(struct cn_chat_encoder *e, struct cn_chat_parts *to)
{
	struct cn_json format = cn_json_get(cn_chat__member(e, "output_config"), "format");
	struct cn_json schema = cn_json_get(format, "schema");
	struct cn_chat_part *part;

	if (!cn_chat_quirk(e, CN_QUIRK_JSON_OBJECT_ONLY) || schema.kind != CN_JSON_OBJECT)
		return;
	part = cn_chat__put_text(
	    e, to,
	    CN_VIEW("Answer with nothing but one JSON object that is valid under this "
	            "JSON Schema: "));
	part->pieces[1] = cn_chat__escaped(e->arena, schema.raw);
}

static void write_system(struct cn_chat_encoder *e)
{
	struct cn_view ours = {NULL, 0};
	struct cn_chat_parts parts = {0};
	struct cn_chat_parts *to =
	    cn_chat_quirk(e, CN_QUIRK_FOLD_SYSTEM) ? &e->user : &parts;

	if (e->edit->prompt_how != CN_PROMPT_NONE)
		ours = cn_chat__escaped(e->arena, e->edit->prompt);
	if (e->edit->prompt_how == CN_PROMPT_PREPEND ||
	    e->edit->prompt_how == CN_PROMPT_REPLACE)
		cn_chat__put_text(e, to, ours);
	if (e->edit->prompt_how != CN_PROMPT_REPLACE)
		add_clients_system(e, to);
	if (e->edit->prompt_how == CN_PROMPT_APPEND)
		cn_chat__put_text(e, to, ours);
	add_wanted_format(e, to);
	if (!has_bytes(&parts))
		return;
	open_message(e, "system");
	cn_chat__write_content(e, &parts, NULL, "\\n\\n");
	cn_chat_out__str(e, "}");
}

/* ---- the assistant ---- */

static void write_calls(struct cn_chat_encoder *e)
{
	cn_chat_out__key(e, "tool_calls");
	for (size_t i = 0; i < e->n_asks; i++) {
		const struct cn_chat_asked *ask = &e->asks[i];
		struct cn_view name = cn_json_text(e->arena, ask->name);

		cn_chat_out__str(e, i ? ",{" : "[{");
		cn_json_add_text(&e->out.b, "id", sent_id(e, ask->id));
		cn_json_add_text(&e->out.b, "type", CN_VIEW("function"));
		cn_chat_out__str(e, ",\"function\":{");
		cn_json_add_text(&e->out.b, "name", cn_chat__short_name(e->arena, name));
		cn_json_add_text(&e->out.b, "arguments",
		                 ask->input.kind == CN_JSON_OBJECT ? ask->input.raw
		                                                   : CN_VIEW("{}"));
		cn_chat_out__str(e, "}");
		if (ask->extra.n)
			cn_json_add_raw(&e->out.b, "extra_content", ask->extra);
		else if (i == 0 && cn_chat_quirk(e, CN_QUIRK_CALL_SIGNATURES))
			/* Of calls that another model made: what is taken in its place. */
			cn_json_add_raw(&e->out.b, "extra_content",
			                CN_VIEW("{\"google\":{\"thought_signature\":"
			                        "\"skip_thought_signature_validator\"}}"));
		cn_chat_out__str(e, "}");
	}
	cn_chat_out__str(e, "]");
}

static void write_joined(struct cn_chat_encoder *e, const char *key,
                         const struct cn_chat_parts *list)
{
	cn_chat_out__key(e, key);
	cn_chat_out__str(e, "\"");
	for (size_t i = 0; i < list->n; i++)
		cn_chat_out__add(e, list->v[i].pieces[0]);
	cn_chat_out__str(e, "\"");
}

/* Its own thinking, in the member that the model reads. */
static void write_reasoning(struct cn_chat_encoder *e)
{
	bool any = has_bytes(&e->thinks);

	if (any && cn_chat_quirk(e, CN_QUIRK_REASONING_CONTENT_BACK))
		write_joined(e, "reasoning_content", &e->thinks);
	else if (e->n_asks && cn_chat_quirk(e, CN_QUIRK_REASONING_DEMANDED))
		cn_json_add_text(&e->out.b, "reasoning_content", CN_VIEW(" "));
	if (any && cn_chat_quirk(e, CN_QUIRK_REASONING_BACK))
		write_joined(e, "reasoning", &e->thinks);
	if (!e->details.n || !cn_chat_quirk(e, CN_QUIRK_REASONING_DETAILS_BACK))
		return;
	cn_chat_out__key(e, "reasoning_details");
	for (size_t i = 0; i < e->details.n; i++) {
		cn_chat_out__str(e, i ? "," : "[");
		for (size_t k = 0; k < CN_CHAT_PIECES; k++)
			cn_chat_out__add(e, e->details.v[i].pieces[k]);
	}
	cn_chat_out__str(e, "]");
}

static int by_id(const void *pa, const void *pb)
{
	const struct cn_chat_asked *a = pa, *b = pb;
	size_t n = a->id.n < b->id.n ? a->id.n : b->id.n;
	int way = n ? memcmp(a->id.p, b->id.p, n) : 0;

	if (way == 0 && a->id.n != b->id.n)
		way = a->id.n < b->id.n ? -1 : 1;
	return way ? way : (a->order > b->order) - (a->order < b->order);
}

/* It is whole: written, and its calls await their results. */
static void end_assistant(struct cn_chat_encoder *e, bool is_last)
{
	struct cn_chat_asked *old;
	size_t cap;

	if (!e->assistant)
		return;
	/* The user speaks first, also where the client left that out. */
	if (!e->begun)
		write_user_text(e, CN_VIEW("(no content)"));
	open_message(e, "assistant");
	if (has_bytes(&e->says))
		cn_chat__write_content(e, &e->says, NULL, "");
	else
		cn_json_add_raw(&e->out.b, "content",
		                cn_chat_quirk(e, CN_QUIRK_NO_NULL_CONTENT)
		                    ? CN_VIEW("\"\"")
		                    : CN_VIEW("null"));
	write_reasoning(e);
	if (e->n_asks)
		write_calls(e);
	if (is_last && e->prefill && cn_chat_quirk(e, CN_QUIRK_PREFIX_FLAG))
		cn_json_add_bool(&e->out.b, "prefix", true);
	if (is_last && e->prefill && cn_chat_quirk(e, CN_QUIRK_PARTIAL_FLAG))
		cn_json_add_bool(&e->out.b, "partial", true);
	cn_chat_out__str(e, "}");
	/* The two lists change places: a long conversation needs no more than these. */
	old = e->open;
	e->open = e->asks;
	e->n_open = e->n_asks;
	cap = e->open_cap;
	e->open_cap = e->asks_cap;
	e->asks = old;
	e->asks_cap = cap;
	e->n_asks = 0;
	if (e->n_open)
		qsort(e->open, e->n_open, sizeof(*e->open), by_id);
	e->says.n = e->thinks.n = e->details.n = 0;
	e->extra = (struct cn_view){NULL, 0};
	e->assistant = false;
}

/* ---- results ---- */

static struct cn_chat_asked *asked(struct cn_chat_encoder *e, struct cn_view id)
{
	size_t low = 0, high = e->n_open;

	/* The first of that id: only it can be meant. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct cn_chat_asked key = {.id = id};

		if (by_id(&e->open[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < e->n_open && cn_view_eq(e->open[low].id, id); low++)
		if (e->open[low].result.kind == CN_JSON_NONE)
			return &e->open[low];
	return NULL;
}

static void take_result(struct cn_chat_encoder *e, const struct cn_chat_block *b)
{
	struct cn_chat_asked *ask = asked(e, cn_json_text(e->arena, b->tool_use_id));

	if (ask) {
		ask->result = b->whole;
		return;
	}
	/* Of a call that is not there: what it says is kept all the same. */
	cn_chat__put_text(e, &e->shown, CN_VIEW("Result of an earlier call:"));
	cn_chat__put_content(e, &e->shown, b->content);
}

static struct cn_view about_image(struct cn_chat_encoder *e, bool follows, size_t n,
                                  struct cn_view id)
{
	const char *text = cn_arena_printf(e->arena, "[image %zu of call %.*s%s]", n,
	                                   CN_VIEW_ARG(id), follows ? " follows" : "");

	return cn_chat__escaped(e->arena, cn_view_str(text));
}

/* Images cannot stand in a tool message: they follow in the user's. */
static void move_images(struct cn_chat_encoder *e, struct cn_chat_parts *said,
                        struct cn_view id)
{
	size_t n = 0;

	for (size_t i = 0; i < said->n; i++) {
		struct cn_chat_part image = said->v[i];

		if (image.text)
			continue;
		said->v[i] = (struct cn_chat_part){.text = true};
		said->v[i].pieces[0] = about_image(e, true, ++n, id);
		cn_chat__put_text(e, &e->shown, about_image(e, false, n, id));
		*cn_chat__put_text(e, &e->shown, CN_VIEW("")) = image;
	}
}

static bool all_text(const struct cn_chat_parts *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (!list->v[i].text)
			return false;
	return true;
}

/* A user's text right behind results, where the backend refuses it there. */
static const struct cn_chat_parts *merged(const struct cn_chat_encoder *e, size_t i)
{
	return i + 1 == e->n_open && cn_chat_quirk(e, CN_QUIRK_NO_USER_AFTER_TOOL) &&
	               all_text(&e->user) && e->shown.n == 0
	           ? &e->user
	           : NULL;
}

static bool write_result(struct cn_chat_encoder *e, const struct cn_chat_asked *ask,
                         size_t i)
{
	struct cn_view id = sent_id(e, ask->id);
	const struct cn_chat_parts *behind;
	struct cn_chat_parts said = {0};
	struct cn_chat_block b;

	cn_chat__read_block(ask->result, &b);
	if (ask->result.kind == CN_JSON_NONE)
		cn_chat__put_text(e, &said, CN_VIEW("Error: there was no result."));
	cn_chat__put_content(e, &said, b.content);
	if (b.is_error.kind == CN_JSON_TRUE && !(said.n && wrap(&said.v[0], "Error: ", "")))
		cn_chat__put_text(e, &said, CN_VIEW("Error."));
	if (!cn_chat_quirk(e, CN_QUIRK_TOOL_IMAGES))
		move_images(e, &said, id);
	behind = merged(e, i);
	if (!has_bytes(&said) && cn_chat_quirk(e, CN_QUIRK_NO_EMPTY_CONTENT))
		cn_chat__put_text(e, &said, CN_VIEW("(no output)"));
	open_message(e, "tool");
	cn_json_add_text(&e->out.b, "tool_call_id", id);
	cn_chat__write_content(e, &said, behind, "\\n");
	cn_chat_out__str(e, "}");
	return behind;
}

static int by_order(const void *pa, const void *pb)
{
	const struct cn_chat_asked *a = pa, *b = pb;

	return (a->order > b->order) - (a->order < b->order);
}

/* The assistant speaks next, or nobody: what the user's side has said is written. */
static void end_user(struct cn_chat_encoder *e)
{
	bool said = false, answered = e->n_open > 0;

	if (e->n_open)
		qsort(e->open, e->n_open, sizeof(*e->open), by_order);
	for (size_t i = 0; i < e->n_open; i++)
		said = write_result(e, &e->open[i], i);
	e->n_open = 0;
	if (!said && (has_bytes(&e->shown) || has_bytes(&e->user))) {
		if (answered && cn_chat_quirk(e, CN_QUIRK_NO_USER_AFTER_TOOL)) {
			open_message(e, "assistant");
			cn_json_add_text(&e->out.b, "content", CN_VIEW("Go on."));
			cn_chat_out__str(e, "}");
		}
		e->begun = true;
		open_message(e, "user");
		cn_chat__write_content(e, &e->shown, &e->user, "\\n\\n");
		cn_chat_out__str(e, "}");
	}
	e->shown.n = e->user.n = 0;
}

/* ---- the client's messages ---- */

/* Something of an assistant's message goes out: the user's side is over. */
static void begin_assistant(struct cn_chat_encoder *e)
{
	if (e->assistant)
		return;
	end_user(e);
	/* Whatever the user said cannot be said here. */
	if (e->of_assistant)
		write_user_text(e, CN_VIEW("(no content)"));
	e->assistant = true;
}

/* Whether a block of thinking goes back to this backend, which it does to its own only. */
static bool goes_back(struct cn_chat_encoder *e, struct cn_view block)
{
	const struct cn_request *r = e->r;

	while (e->thought < r->n_thoughts && r->thoughts[e->thought].block.p < block.p)
		e->thought++;
	if (e->thought == r->n_thoughts || r->thoughts[e->thought].block.p != block.p)
		return false;
	return !e->edit->drop_thinking ||
	       !e->edit->drop_thinking(e->edit->self, &r->thoughts[e->thought]);
}

/* An object that the decoder put into a string of its block; empty: it is none. */
static struct cn_view carried(struct cn_chat_encoder *e, struct cn_json string)
{
	struct cn_view text = cn_json_text(e->arena, string);

	if (text.n < 2 || text.p[0] != '{' || cn_json_check(text, NULL))
		return (struct cn_view){NULL, 0};
	return cn_json_root(text).raw;
}

static void take_thinking(struct cn_chat_encoder *e, const struct cn_chat_block *b)
{
	struct cn_view detail = carried(e, b->signature);
	struct cn_chat_part *part;

	if (!goes_back(e, b->whole.raw))
		return;
	cn_chat__put_text(e, &e->thinks, cn_wire__inside(b->thinking));
	part = cn_chat__put_text(e, &e->details, CN_VIEW("{"));
	/* The signature carries the members beside the text; else the text is all. */
	if (detail.n > 2) {
		struct cn_json type = cn_json_get(cn_json_root(detail), "type");

		part->pieces[1] = cn_view(detail.p + 1, detail.n - 2);
		part->pieces[2] = cn_json_is(type, "reasoning.summary")
		                      ? CN_VIEW(",\"summary\":\"")
		                      : CN_VIEW(",\"text\":\"");
	} else {
		part->pieces[2] = CN_VIEW("\"type\":\"reasoning.text\",\"text\":\"");
	}
	part->pieces[3] = cn_wire__inside(b->thinking);
	part->pieces[4] = CN_VIEW("\"}");
}

static void take_carrier(struct cn_chat_encoder *e, const struct cn_chat_block *b)
{
	struct cn_view detail = carried(e, b->data);
	struct cn_json extra;

	if (!detail.n || !goes_back(e, b->whole.raw))
		return;
	extra = cn_json_get(cn_json_root(detail), "extra_content");
	if (extra.kind == CN_JSON_OBJECT)
		e->extra = extra.raw;
	else
		cn_chat__put_text(e, &e->details, detail);
}

static void take_call(struct cn_chat_encoder *e, const struct cn_chat_block *b)
{
	begin_assistant(e);
	e->asks =
	    cn_arena_more(e->arena, e->asks, e->n_asks, &e->asks_cap, sizeof(*e->asks));
	e->asks[e->n_asks] = (struct cn_chat_asked){.id = cn_json_text(e->arena, b->id),
	                                            .order = e->n_asks,
	                                            .name = b->name,
	                                            .input = b->input,
	                                            .extra = e->extra};
	e->extra = (struct cn_view){NULL, 0};
	e->n_asks++;
}

static bool blank_end(struct cn_view inside)
{
	return cn_view_ends(inside, CN_VIEW("\\n")) || cn_view_ends(inside, CN_VIEW(" "));
}

static bool blank_start(struct cn_view inside)
{
	return cn_view_starts(inside, CN_VIEW("\\n")) ||
	       cn_view_starts(inside, CN_VIEW(" "));
}

/* Texts of one answer: a paragraph each, unless they were one text with citations. */
static void take_text(struct cn_chat_encoder *e, const struct cn_chat_block *b,
                      struct cn_view inside)
{
	struct cn_chat_part *part;
	struct cn_view last;

	if (inside.n == 0)
		return;
	begin_assistant(e);
	last = e->says.n ? e->says.v[e->says.n - 1].pieces[1] : (struct cn_view){NULL, 0};
	part = cn_chat__put_text(e, &e->says, (struct cn_view){NULL, 0});
	part->pieces[1] = inside;
	part->cache_control = b->cache_control.raw;
	if (last.n && b->citations.kind == CN_JSON_NONE && !blank_end(last) &&
	    !blank_start(inside))
		part->pieces[0] = CN_VIEW("\\n\\n");
}

static void take_assistant(struct cn_chat_encoder *e, struct cn_json content)
{
	struct cn_chat_block b;

	if (content.kind == CN_JSON_STRING)
		take_text(e, &(struct cn_chat_block){.whole = content},
		          cn_wire__inside(content));
	if (content.kind != CN_JSON_ARRAY)
		return;
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		cn_chat__read_block(it.value, &b);
		if (cn_wire__is(b.type, CN_VIEW("text")))
			take_text(e, &b, cn_wire__inside(b.text));
		else if (cn_wire__is(b.type, CN_VIEW("tool_use")))
			take_call(e, &b);
		else if (cn_wire__is(b.type, CN_VIEW("thinking")))
			take_thinking(e, &b);
		else if (cn_wire__is(b.type, CN_VIEW("redacted_thinking")))
			take_carrier(e, &b);
		/* What a provider did by itself cannot be said here. */
	}
}

/* A system message in the middle, as the client itself tells it to older backends. */
static void take_system(struct cn_chat_encoder *e, struct cn_json content)
{
	struct cn_chat_parts parts = {0};

	cn_chat__put_content(e, &parts, content);
	for (size_t i = 0; i < parts.n; i++) {
		(void)wrap(&parts.v[i], "<system-reminder>\\n", "\\n</system-reminder>");
		*cn_chat__put_text(e, &e->user, CN_VIEW("")) = parts.v[i];
	}
}

static void take_user(struct cn_chat_encoder *e, struct cn_json content)
{
	struct cn_chat_block b;

	if (content.kind != CN_JSON_ARRAY) {
		cn_chat__put_content(e, &e->user, content);
		return;
	}
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		cn_chat__read_block(it.value, &b);
		if (cn_wire__is(b.type, CN_VIEW("tool_result")))
			take_result(e, &b);
		else
			cn_chat__put_block(e, &e->user, &b);
	}
}

static void take_message(struct cn_chat_encoder *e, struct cn_json message)
{
	struct cn_json role = {{NULL, 0}, CN_JSON_NONE}, content = role;

	for (struct cn_json_iter it = cn_json_iter(message); cn_json_next(&it);) {
		if (cn_wire__says(it.key, CN_VIEW("role")))
			role = it.value;
		else if (cn_wire__says(it.key, CN_VIEW("content")))
			content = it.value;
	}
	if (cn_wire__is(role, CN_VIEW("assistant"))) {
		take_assistant(e, content);
		return;
	}
	end_assistant(e, false);
	if (cn_wire__is(role, CN_VIEW("system")))
		take_system(e, content);
	else
		take_user(e, content);
}

void cn_chat__write_messages(struct cn_chat_encoder *e)
{
	cn_chat_out__key(e, "messages");
	cn_chat_out__str(e, "[");
	write_system(e);
	for (struct cn_json_iter it = cn_json_iter(e->r->messages); cn_json_next(&it);)
		take_message(e, it.value);
	if (e->edit->append.n) {
		struct cn_view list = cn_view_str(
		    cn_arena_printf(e->arena, "[%.*s]", CN_VIEW_ARG(e->edit->append)));

		for (struct cn_json_iter it = cn_json_iter(cn_json_root(list));
		     cn_json_next(&it);)
			take_message(e, it.value);
	}
	/* The conversation itself may end in the beginning of an answer. */
	e->prefill = e->edit->append.n ? e->edit->prefill : e->assistant;
	end_assistant(e, true);
	end_user(e);
	/* Nothing but what cannot be said here: a conversation has a beginning. */
	if (!e->begun)
		write_user_text(e, CN_VIEW("(no content)"));
	cn_chat_out__str(e, "]");
}
