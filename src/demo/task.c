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
		if (cn_json_is(cn_json_get(it.value, "name"), name))
			return true;
	return false;
}

static unsigned count_results(struct cn_json messages)
{
	unsigned n = 0;

	for (struct cn_json_iter m = cn_json_iter(messages); cn_json_next(&m);)
		for (struct cn_json_iter b = cn_json_iter(cn_json_get(m.value, "content"));
		     cn_json_next(&b);)
			n += cn_json_is(cn_json_get(b.value, "type"), "tool_result");
	return n;
}

bool cn_task_answer(struct cn_arena *a, struct cn_view body, struct cn_task_answer *ret)
{
	struct cn_json root = cn_json_root(body), messages = cn_json_get(root, "messages");
	size_t task = cn_view_find(body, CN_VIEW("CONTINUO-TASK"), 0);
	struct cn_view told = cn_view_from(body, task == SIZE_MAX ? body.n : task);
	uint64_t steps = number_after(told, CN_VIEW("steps="));
	unsigned done = count_results(messages);
	CN_AUTO(cn_buf) input = {0};

	if (cn_json_check(body, NULL) || messages.kind != CN_JSON_ARRAY)
		return false;
	*ret = (struct cn_task_answer){
	    .stream = cn_json_get(root, "stream").kind == CN_JSON_TRUE,
	    .model = cn_json_text(a, cn_json_get(root, "model")),
	};
	if (!steps || !declares(cn_json_get(root, "tools"), "Write")) {
		ret->text = CN_VIEW("Ready.");
		return true;
	}
	if (done >= steps) {
		ret->text = cn_view_str(cn_arena_printf(a, "All %llu steps are done.",
		                                        (unsigned long long)steps));
		return true;
	}
	ret->text =
	    cn_view_str(cn_arena_printf(a, "Step %u of %llu: I write the file for it now.",
	                                done + 1, (unsigned long long)steps));
	ret->tool = CN_VIEW("Write");
	cn_buf_printf(&input,
	              "{\"file_path\":\"%.*s/step-%u.txt\",\"content\":\"step %u\\n\"}",
	              CN_VIEW_ARG(word_after(told, CN_VIEW("dir="))), done + 1, done + 1);
	ret->tool_input = cn_arena_view(a, cn_buf_view(&input));
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
	for (size_t at = 0; at < text.n; at += piece)
		delta(w, index, type, member, cn_view_cut(cn_view_from(text, at), piece));
}

static void tool_block(struct writer *w, const struct cn_task_answer *t, unsigned index)
{
	CN_AUTO(cn_buf) block = {0};
	struct cn_view input = t->tool_input;

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
	if (spoil->thinking) {
		block_start(&w, index,
		            "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
		pieces(&w, index, "thinking_delta", "thinking",
		       CN_VIEW("What was done so far tells me the next step."), 12);
		delta(&w, index, "signature_delta", "signature",
		      CN_VIEW("c2lnbmVkIGJ5IHRoZSBkZW1v"));
		block_stop(&w, index++);
	}
	if (!spoil->empty && !spoil->refusal) {
		block_start(&w, index, "{\"type\":\"text\",\"text\":\"\"}");
		pieces(&w, index, "text_delta", "text", t->text, 8);
		block_stop(&w, index++);
		if (t->tool.n)
			tool_block(&w, t, index);
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
	if (t->tool.n) {
		cn_buf_add_str(b, ",{\"type\":\"tool_use\",\"id\":\"toolu_");
		cn_random_id(b, 16);
		cn_buf_printf(b, "\",\"name\":\"%.*s\",\"input\":%.*s}",
		              CN_VIEW_ARG(t->tool), CN_VIEW_ARG(t->tool_input));
	}
	cn_buf_printf(
	    b,
	    "],\"stop_reason\":\"%s\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":"
	    "120,\"output_tokens\":42}}",
	    t->tool.n ? "tool_use" : "end_turn");
}
