/*
 * The task that scripted models work on, and their answers as bytes.  Pure.
 *
 * The answer follows from the request alone, so that any scripted model can go on where
 * another stopped, and a conversation that lost something shows it.
 */
#include "continuo/demo.h"

#include "continuo/hash.h"
#include "continuo/json.h"

static uint64_t number_after(struct cn_view text, struct cn_view word)
{
	size_t at = cn_view_find(text, word, 0);
	uint64_t n = 0;

	if (at == SIZE_MAX)
		return 0;
	for (at += word.n; at < text.n && text.p[at] >= '0' && text.p[at] <= '9'; at++)
		n = n * 10 + (uint64_t)(text.p[at] - '0');
	return n;
}

static struct cn_view word_after(struct cn_view text, struct cn_view word)
{
	size_t at = cn_view_find(text, word, 0), n = 0;

	if (at == SIZE_MAX)
		return CN_VIEW("/tmp");
	text = cn_view_from(text, at + word.n);
	while (n < text.n && text.p[n] > ' ' && text.p[n] != '"' && text.p[n] != '\\')
		n++;
	return cn_view_cut(text, n);
}

static bool declares(struct cn_json tools, const char *name)
{
	for (struct cn_json_iter it = cn_json_iter(tools); cn_json_next(&it);)
		if (cn_json_is(cn_json_get(it.value, "name"), name) ||
		    cn_json_is(cn_json_get(cn_json_get(it.value, "function"), "name"),
		               name))
			return true;
	return false;
}

static unsigned count_results(struct cn_json messages)
{
	unsigned n = 0;

	for (struct cn_json_iter m = cn_json_iter(messages); cn_json_next(&m);) {
		n += cn_json_is(cn_json_get(m.value, "role"), "tool");
		for (struct cn_json_iter b = cn_json_iter(cn_json_get(m.value, "content"));
		     cn_json_next(&b);)
			n += cn_json_is(cn_json_get(b.value, "type"), "tool_result");
	}
	return n;
}

/* ---- going on ---- */

/* What was given of this answer: the assistant message at the end; asked: a plea follows.
 */
static bool find_partial(struct cn_arena *a, struct cn_json messages, struct cn_view *ret,
                         struct cn_view *retanchor)
{
	struct cn_json last = {.kind = CN_JSON_NONE}, before = last, text;
	struct cn_view plea;
	CN_AUTO(cn_buf) given = {0};
	size_t from;

	for (struct cn_json_iter it = cn_json_iter(messages); cn_json_next(&it);) {
		before = last;
		last = it.value;
	}
	*retanchor = (struct cn_view){NULL, 0};
	text = cn_json_get(last, "content");
	if (!cn_json_is(cn_json_get(last, "role"), "assistant")) {
		plea = cn_json_text(a, text);
		from = cn_view_find(plea, CN_VIEW("\n\n"), 0);
		if (!cn_json_is(cn_json_get(before, "role"), "assistant") ||
		    from == SIZE_MAX)
			return false;
		*retanchor = cn_view_from(plea, from + 2);
		for (from = retanchor->n; from > 1; from--)
			if (retanchor->p[from - 1] == '\n' &&
			    retanchor->p[from - 2] == '\n')
				break;
		*retanchor = cn_view_cut(*retanchor, from > 1 ? from - 2 : 0);
		last = before;
		text = cn_json_get(last, "content");
	}
	if (cn_json_get(last, "tool_calls").kind == CN_JSON_ARRAY)
		return false;
	if (text.kind == CN_JSON_STRING)
		cn_buf_add_view(&given, cn_json_text(a, text));
	for (struct cn_json_iter it = cn_json_iter(text); cn_json_next(&it);) {
		if (!cn_json_is(cn_json_get(it.value, "type"), "text"))
			return false;
		cn_buf_add_view(&given, cn_json_text(a, cn_json_get(it.value, "text")));
	}
	*ret = cn_arena_view(a, cn_buf_view(&given));
	return ret->n > 0;
}

/* The same words, written a little differently. */
static void add_varied(struct cn_buf *b, struct cn_view text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\'')
			cn_buf_add_str(b, "\xe2\x80\x99");
		else if (text.p[i] == ' ')
			cn_buf_add_str(b, i % 3 ? " " : "\n");
		else
			cn_buf_add_char(b, text.p[i]);
	}
}

/* What is said to whoever asks for the rest of whole. */
static struct cn_view go_on(struct cn_arena *a, struct cn_view whole, struct cn_view given,
                            struct cn_view anchor, enum cn_way way)
{
	bool known = cn_view_starts(whole, given);
	struct cn_view rest = known ? cn_view_from(whole, given.n) : CN_VIEW(" and so on.");
	size_t more = given.n > 90 ? given.n - 90 : 0;
	CN_AUTO(cn_buf) b = {0};

	if (anchor.n == 0)
		return rest;
	switch (way) {
	case CN_WAY_EXACT:
		cn_buf_add_view(&b, anchor);
		break;
	case CN_WAY_QUOTES:
		add_varied(&b, anchor);
		break;
	case CN_WAY_LONGER:
		while (more && given.p[more - 1] != ' ')
			more--;
		cn_buf_add_view(&b, cn_view_from(given, more));
		break;
	case CN_WAY_RESTART:
		cn_buf_add_view(&b, given);
		break;
	case CN_WAY_INTRO:
		cn_buf_add_str(&b, "Continuing from where I stopped:\n\n");
		cn_buf_add_view(&b, anchor);
		break;
	case CN_WAY_IGNORES:
		rest = CN_VIEW("Here is something else.");
		break;
	case CN_WAY_TOOL:
		return (struct cn_view){NULL, 0};
	case CN_WAY_ANNOUNCES:
		cn_buf_add_view(&b, anchor);
		rest = CN_VIEW(". Now I will write the file:");
		break;
	case CN_WAY_FLOOD:
		for (unsigned i = 0; i < 2000; i++)
			cn_buf_add_view(&b, anchor);
		break;
	}
	cn_buf_add_view(&b, rest);
	return cn_arena_view(a, cn_buf_view(&b));
}

/* ---- the answer ---- */

static struct cn_view words(struct cn_arena *a, const char *begin, uint64_t n)
{
	static const char *const some[] = {
	    "the",  "file", "isn't",       "here", "yet,",          "so",      "I",
	    "make", "it",   "with",        "all",  "that",          "it's",    "to",
	    "hold", "and",  "look",        "at",   "what",          "came",    "of",
	    "it;",  "then", "\303\274ber", "next", "\342\202\2545", "(twice)", "goes",
	    "by\n",
	};
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_str(&b, begin);
	for (uint64_t i = 0; i < n; i++)
		cn_buf_printf(&b, " %s",
		              some[(i * 7 + i / 29) % (sizeof(some) / sizeof(*some))]);
	if (n)
		cn_buf_add_char(&b, '.');
	return cn_arena_view(a, cn_buf_view(&b));
}

/* Each of the agents that are left gets a task of its own, in a directory of its own. */
static void send_agents(struct cn_arena *a, struct cn_view told, uint64_t agents,
                        unsigned done, struct cn_task_answer *ret)
{
	uint64_t steps = number_after(told, CN_VIEW("steps="));
	uint64_t calls = number_after(told, CN_VIEW(" calls="));
	struct cn_view dir = word_after(told, CN_VIEW("dir="));

	ret->n_inputs = agents - done;
	ret->inputs = cn_arena_zalloc(a, ret->n_inputs * sizeof(*ret->inputs));
	ret->tool = CN_VIEW("Agent");
	for (size_t i = 0; i < ret->n_inputs; i++)
		ret->inputs[i] = cn_view_str(cn_arena_printf(
		    a,
		    "{\"description\":\"Part %zu\",\"prompt\":\"CONTINUO-TASK steps=%llu "
		    "dir=%.*s/agent-%zu calls=%llu\",\"run_in_background\":false}",
		    done + i + 1, (unsigned long long)steps, CN_VIEW_ARG(dir), done + i + 1,
		    (unsigned long long)calls));
}

static void add_calls(struct cn_arena *a, struct cn_view told, unsigned done,
                      struct cn_task_answer *ret)
{
	uint64_t steps = number_after(told, CN_VIEW("steps="));
	uint64_t calls = number_after(told, CN_VIEW(" calls="));
	struct cn_view dir = word_after(told, CN_VIEW("dir="));

	ret->n_inputs = steps - done < calls ? steps - done : calls ? calls : 1;
	ret->inputs = cn_arena_zalloc(a, ret->n_inputs * sizeof(*ret->inputs));
	ret->tool = CN_VIEW("Write");
	for (size_t i = 0; i < ret->n_inputs; i++)
		ret->inputs[i] = cn_view_str(cn_arena_printf(
		    a, "{\"file_path\":\"%.*s/step-%zu.txt\",\"content\":\"step %zu\\n\"}",
		    CN_VIEW_ARG(dir), done + i + 1, done + i + 1));
}

bool cn_task_answer(struct cn_arena *a, struct cn_view body, enum cn_way way,
                    struct cn_task_answer *ret)
{
	struct cn_json root = cn_json_root(body), messages = cn_json_get(root, "messages");
	size_t task = cn_view_find(body, CN_VIEW("CONTINUO-TASK"), 0);
	struct cn_view told = cn_view_from(body, task == SIZE_MAX ? body.n : task);
	uint64_t steps = number_after(told, CN_VIEW("steps="));
	uint64_t more = number_after(told, CN_VIEW(" words="));
	uint64_t agents = number_after(told, CN_VIEW(" agents="));
	unsigned done = count_results(messages);
	struct cn_view given, anchor;

	if (cn_json_check(body, NULL) || messages.kind != CN_JSON_ARRAY)
		return false;
	*ret = (struct cn_task_answer){
	    .stream = cn_json_get(root, "stream").kind == CN_JSON_TRUE,
	    .usage =
		cn_json_get(cn_json_get(root, "stream_options"), "include_usage").kind ==
		CN_JSON_TRUE,
	    .model = cn_json_text(a, cn_json_get(root, "model")),
	    .thinks = number_after(told, CN_VIEW(" think=")) > 0,
	};
	if (!steps || !declares(cn_json_get(root, "tools"), "Write")) {
		ret->text = words(a, "Ready.", more);
	} else if (agents > done && declares(cn_json_get(root, "tools"), "Agent")) {
		ret->text = CN_VIEW("Each part gets an agent of its own now.");
		send_agents(a, told, agents, done, ret);
	} else if (agents) {
		ret->text =
		    words(a, cn_arena_printf(a, "All %u agents are done.", done), more);
	} else if (done >= steps) {
		ret->text = words(a,
		                  cn_arena_printf(a, "All %llu steps are done.",
		                                  (unsigned long long)steps),
		                  more);
	} else {
		ret->text = words(
		    a,
		    cn_arena_printf(a, "Step %u of %llu: I write the file for it now.",
		                    done + 1, (unsigned long long)steps),
		    more);
		add_calls(a, told, done, ret);
	}
	if (find_partial(a, messages, &given, &anchor)) {
		ret->goes_on = true;
		ret->text = go_on(a, ret->text, given, anchor, way);
		if (way == CN_WAY_ANNOUNCES) {
			ret->n_inputs = 0;
			ret->tool = (struct cn_view){NULL, 0};
		}
	}
	return true;
}

/* ---- the stream ---- */

struct writer {
	struct cn_buf *b;
	const struct cn_task_spoil *spoil;
};

static void event(struct writer *w, const char *name, const struct cn_buf *data)
{
	const char *end = w->spoil->crlf ? "\r\n" : "\n";
	const char *gap = w->spoil->crlf ? "" : " ";

	if (!w->spoil->no_names)
		cn_buf_printf(w->b, "event:%s%s%s", gap, name, end);
	cn_buf_printf(w->b, "data:%s%.*s%s%s", gap, (int)data->n, data->p, end, end);
}

static void simple(struct writer *w, const char *name, const char *json)
{
	CN_AUTO(cn_buf) data = {0};

	cn_buf_add_str(&data, json);
	event(w, name, &data);
}

static void start(struct writer *w, const struct cn_task_answer *t)
{
	CN_AUTO(cn_buf) data = {0};

	cn_buf_add_str(&data, "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_");
	cn_random_id(&data, 16);
	cn_buf_add_str(&data, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
	cn_json_add_string(&data, t->model);
	cn_buf_add_str(&data, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
	                      "\"usage\":{\"input_tokens\":120,\"output_tokens\":1}}}");
	event(w, "message_start", &data);
	simple(w, "ping", "{\"type\":\"ping\"}");
}

static void delta(struct writer *w, unsigned index, const char *type, const char *member,
                  struct cn_view text)
{
	CN_AUTO(cn_buf) data = {0};

	cn_buf_printf(
	    &data,
	    "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":{\"type\":\"%s\","
	    "\"%s\":",
	    index, type, member);
	cn_json_add_string(&data, text);
	cn_buf_add_str(&data, "}}");
	event(w, "content_block_delta", &data);
}

static void block_start(struct writer *w, unsigned index, const char *block)
{
	CN_AUTO(cn_buf) data = {0};

	cn_buf_printf(
	    &data, "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":%s}",
	    index, block);
	event(w, "content_block_start", &data);
}

static void block_stop(struct writer *w, unsigned index)
{
	CN_AUTO(cn_buf) data = {0};

	cn_buf_printf(&data, "{\"type\":\"content_block_stop\",\"index\":%u}", index);
	event(w, "content_block_stop", &data);
}

/* In pieces of a few bytes, as models give them. */
static void pieces(struct writer *w, unsigned index, const char *type, const char *member,
                   struct cn_view text, size_t piece)
{
	for (size_t at = 0, n; at < text.n; at += n) {
		for (n = piece;
		     at + n < text.n && ((unsigned char)text.p[at + n] & 0xc0) == 0x80;)
			n++; /* whole characters */
		delta(w, index, type, member, cn_view_cut(cn_view_from(text, at), n));
	}
}

static void tool_block(struct writer *w, const struct cn_task_answer *t, size_t i,
                       unsigned index)
{
	CN_AUTO(cn_buf) block = {0};
	struct cn_view input = t->inputs[i];

	cn_buf_add_str(&block, "{\"type\":\"tool_use\",\"id\":\"toolu_");
	cn_random_id(&block, 16);
	cn_buf_printf(
	    &block, "\",\"name\":\"%.*s\",\"input\":{}}",
	    CN_VIEW_ARG(w->spoil->unknown_tool ? CN_VIEW("NoSuchTool") : t->tool));
	block_start(w, index, cn_buf_cstr(&block));
	if (w->spoil->bad_tool)
		input = cn_view_cut(input, input.n / 2);
	pieces(w, index, "input_json_delta", "partial_json", input, 24);
	block_stop(w, index);
}

static void finish(struct writer *w, const struct cn_task_answer *t)
{
	CN_AUTO(cn_buf) data = {0};
	const char *reason = w->spoil->refusal               ? "refusal"
	                     : t->tool.n && !w->spoil->empty ? "tool_use"
	                                                     : "end_turn";

	cn_buf_printf(&data,
	              "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
	              "\"stop_sequence\":null},\"usage\":{\"output_tokens\":42}}",
	              reason);
	event(w, "message_delta", &data);
	if (!w->spoil->no_stop)
		simple(w, "message_stop", "{\"type\":\"message_stop\"}");
}

void cn_task_stream(struct cn_buf *b, const struct cn_task_answer *t,
                    const struct cn_task_spoil *spoil)
{
	struct writer w = {b, spoil};
	unsigned index = 0;

	start(&w, t);
	if (spoil->thinking || t->thinks) {
		block_start(&w, index,
		            "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
		pieces(&w, index, "thinking_delta", "thinking",
		       CN_VIEW("What was done so far tells me the next step."), 12);
		delta(&w, index, "signature_delta", "signature",
		      CN_VIEW("c2lnbmVkIGJ5IHRoZSBkZW1v"));
		block_stop(&w, index++);
	}
	if (!spoil->empty && !spoil->refusal) {
		if (t->text.n) {
			block_start(&w, index, "{\"type\":\"text\",\"text\":\"\"}");
			pieces(&w, index, "text_delta", "text", t->text, 8);
			block_stop(&w, index++);
		}
		for (size_t i = 0; i < t->n_inputs; i++)
			tool_block(&w, t, i, index++);
	}
	finish(&w, t);
}

void cn_task_message(struct cn_buf *b, const struct cn_task_answer *t)
{
	cn_buf_add_str(b, "{\"id\":\"msg_");
	cn_random_id(b, 16);
	cn_buf_add_str(b, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
	cn_json_add_string(b, t->model);
	cn_buf_add_str(b, ",\"content\":[{\"type\":\"text\",\"text\":");
	cn_json_add_string(b, t->text);
	cn_buf_add_char(b, '}');
	for (size_t i = 0; i < t->n_inputs; i++) {
		cn_buf_add_str(b, ",{\"type\":\"tool_use\",\"id\":\"toolu_");
		cn_random_id(b, 16);
		cn_buf_printf(b, "\",\"name\":\"%.*s\",\"input\":%.*s}",
		              CN_VIEW_ARG(t->tool), CN_VIEW_ARG(t->inputs[i]));
	}
	cn_buf_printf(
	    b,
	    "],\"stop_reason\":\"%s\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":"
	    "120,\"output_tokens\":42}}",
	    t->tool.n ? "tool_use" : "end_turn");
}
