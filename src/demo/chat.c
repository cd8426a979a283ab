/*
 * The answers of scripted models in the Chat Completions format, in each of the shapes that
 * servers are known to give them (wire/openai-chat.md 2 and 3).  Pure.
 */
#include "continuo/demo.h"

#include "continuo/hash.h"
#include "continuo/json.h"

#define CN_THOUGHT "What was done so far tells me the next step."

#define CN_TEXT_PIECE    8
#define CN_THOUGHT_PIECE 12
#define CN_INPUT_PIECE   24

struct writer {
	struct cn_buf *b;
	const struct cn_task_answer *t;
	const struct cn_task_spoil *spoil;
	struct cn_buf id; /* owned */
};

/* ---- chunks ---- */

static void line(struct writer *w, struct cn_view data)
{
	const char *end = w->spoil->crlf ? "\r\n" : "\n";

	cn_buf_add_str(w->b, w->spoil->crlf ? "data:" : "data: ");
	cn_buf_add_view(w->b, data);
	cn_buf_printf(w->b, "%s%s", end, end);
}

/* The members that each chunk has, up to its choices. */
static void begin(struct writer *w, struct cn_buf *ret, const char *object)
{
	cn_buf_printf(ret, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":1,\"model\":",
	              cn_buf_cstr(&w->id), object);
	cn_json_add_string(ret, w->t->model);
}

/* members: of the delta; reason: NULL until the last. */
static void chunk(struct writer *w, struct cn_view members, const char *reason)
{
	CN_AUTO(cn_buf) data = {0};

	begin(w, &data, "chat.completion.chunk");
	cn_buf_add_str(&data, ",\"choices\":[{\"index\":0,\"delta\":{");
	cn_buf_add_view(&data, members);
	cn_buf_add_str(&data, "},\"finish_reason\":");
	if (reason)
		cn_buf_printf(&data, "\"%s\"", reason);
	else
		cn_buf_add_str(&data, "null");
	cn_buf_add_str(&data, "}]}");
	line(w, cn_buf_view(&data));
}

/* before and after: what stands around the text in the delta. */
static void text_chunk(struct writer *w, const char *before, struct cn_view text,
                       const char *after)
{
	CN_AUTO(cn_buf) members = {0};

	cn_buf_add_str(&members, before);
	cn_json_add_string(&members, text);
	cn_buf_add_str(&members, after);
	chunk(w, cn_buf_view(&members), NULL);
}

/* The next piece of rest, of whole characters. */
static bool next_piece(struct cn_view *rest, size_t size, struct cn_view *ret)
{
	size_t n = size < rest->n ? size : rest->n;

	while (n < rest->n && ((unsigned char)rest->p[n] & 0xc0) == 0x80)
		n++;
	*ret = cn_view_cut(*rest, n);
	*rest = cn_view_from(*rest, n);
	return n > 0;
}

static void pieces(struct writer *w, const char *before, struct cn_view text, size_t size,
                   const char *after)
{
	struct cn_view piece;

	while (next_piece(&text, size, &piece))
		text_chunk(w, before, piece, after);
}

static void think(struct writer *w)
{
	struct cn_view thought = CN_VIEW(CN_THOUGHT), piece;
	CN_AUTO(cn_buf) members = {0};

	switch (w->spoil->reasoning) {
	case CN_REASONING_CONTENT:
		pieces(w, "\"content\":null,\"reasoning_content\":", thought,
		       CN_THOUGHT_PIECE, "");
		return;
	case CN_REASONING_PLAIN:
		pieces(w, "\"content\":\"\",\"reasoning\":", thought, CN_THOUGHT_PIECE, "");
		return;
	case CN_REASONING_BOTH:
		while (next_piece(&thought, CN_THOUGHT_PIECE, &piece)) {
			cn_buf_truncate(&members, 0);
			cn_buf_add_str(&members, "\"reasoning\":");
			cn_json_add_string(&members, piece);
			cn_buf_add_str(&members, ",\"reasoning_content\":");
			cn_json_add_string(&members, piece);
			chunk(w, cn_buf_view(&members), NULL);
		}
		return;
	case CN_REASONING_DETAILS:
		pieces(w, "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":",
		       thought, CN_THOUGHT_PIECE, ",\"format\":\"unknown\",\"index\":0}]");
		return;
	case CN_REASONING_TAGS:
		pieces(w, "\"content\":", CN_VIEW("<think>\n" CN_THOUGHT "\n</think>\n\n"),
		       CN_THOUGHT_PIECE, "");
		return;
	case CN_REASONING_PARTS:
		pieces(
		    w,
		    "\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\","
		    "\"text\":",
		    thought, CN_THOUGHT_PIECE, "}]}]");
	}
}

/* ---- calls ---- */

static struct cn_view tool_of(const struct writer *w)
{
	return w->spoil->unknown_tool ? CN_VIEW("NoSuchTool") : w->t->tool;
}

/* What a call is asked to do; cut where it is to be spoiled. */
static struct cn_view input_of(const struct writer *w, size_t i)
{
	struct cn_view input = w->t->inputs[i];

	return w->spoil->bad_tool ? cn_view_cut(input, input.n / 2) : input;
}

/* One element of tool_calls; index SIZE_MAX: none. */
static void add_call(struct writer *w, struct cn_buf *b, size_t index, struct cn_view input)
{
	bool object = w->spoil->calls == CN_CALLS_OBJECT && !w->spoil->bad_tool;

	cn_buf_add_char(b, '{');
	if (index != SIZE_MAX)
		cn_json_add_u64(b, "index", index);
	if (w->spoil->calls != CN_CALLS_NO_ID) {
		cn_json_add_key(b, "id");
		cn_buf_add_str(b, "\"call_");
		cn_random_id(b, 16);
		cn_buf_add_char(b, '"');
	}
	cn_json_add_text(b, "type", CN_VIEW("function"));
	cn_json_add_key(b, "function");
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "name", tool_of(w));
	if (object)
		cn_json_add_raw(b, "arguments", input);
	else
		cn_json_add_text(b, "arguments", input);
	cn_buf_add_str(b, "}}");
}

static void open_call(struct writer *w, size_t index, struct cn_view input)
{
	CN_AUTO(cn_buf) members = {0};

	cn_buf_add_str(&members, "\"tool_calls\":[");
	add_call(w, &members, index, input);
	cn_buf_add_char(&members, ']');
	chunk(w, cn_buf_view(&members), NULL);
}

static void call_in_pieces(struct writer *w, size_t i)
{
	CN_AUTO(cn_buf) before = {0};
	struct cn_view input = input_of(w, i);

	open_call(w, i, CN_VIEW(""));
	cn_buf_printf(&before, "\"tool_calls\":[{\"index\":%zu,%s\"function\":{%s", i,
	              w->spoil->calls == CN_CALLS_BLANK ? "\"id\":\"\"," : "",
	              w->spoil->calls == CN_CALLS_BLANK ? "\"name\":\"\"," : "");
	cn_buf_add_str(&before, "\"arguments\":");
	pieces(w, cn_buf_cstr(&before), input, CN_INPUT_PIECE, "}}]");
	if (w->spoil->calls == CN_CALLS_REPEATED)
		text_chunk(w, cn_buf_cstr(&before), input, "}}]");
}

static void call(struct writer *w, size_t i)
{
	switch (w->spoil->calls) {
	case CN_CALLS_WHOLE:
	case CN_CALLS_OBJECT:
		open_call(w, i, input_of(w, i));
		return;
	case CN_CALLS_NO_INDEX:
		open_call(w, SIZE_MAX, input_of(w, i));
		return;
	case CN_CALLS_SAME_INDEX:
		open_call(w, 0, input_of(w, i));
		return;
	case CN_CALLS_LAST:
		return; /* with the reason */
	default:
		call_in_pieces(w, i);
	}
}

static void add_calls(struct writer *w, struct cn_buf *b)
{
	cn_buf_add_str(b, "\"tool_calls\":[");
	for (size_t i = 0; i < w->t->n_inputs; i++) {
		if (i)
			cn_buf_add_char(b, ',');
		add_call(w, b, i, input_of(w, i));
	}
	cn_buf_add_char(b, ']');
}

/* ---- the answer ---- */

static bool says_nothing(const struct writer *w)
{
	return w->spoil->empty || w->spoil->refusal;
}

static const char *reason_of(const struct writer *w)
{
	if (w->spoil->refusal)
		return "content_filter";
	return w->t->tool.n && !w->spoil->empty && w->spoil->calls != CN_CALLS_STOP
	           ? "tool_calls"
	           : "stop";
}

#define CN_USAGE \
	"\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":42,\"total_tokens\":162}"

static void finish(struct writer *w)
{
	CN_AUTO(cn_buf) members = {0};
	CN_AUTO(cn_buf) usage = {0};

	if (w->spoil->calls == CN_CALLS_LAST && w->t->n_inputs && !says_nothing(w))
		add_calls(w, &members);
	chunk(w, cn_buf_view(&members), reason_of(w));
	if (w->t->usage) {
		begin(w, &usage, "chat.completion.chunk");
		cn_buf_add_str(&usage, ",\"choices\":[]," CN_USAGE "}");
		line(w, cn_buf_view(&usage));
	}
	if (!w->spoil->no_stop)
		line(w, CN_VIEW("[DONE]"));
}

static void writer_init(struct writer *w, struct cn_buf *b, const struct cn_task_answer *t,
                        const struct cn_task_spoil *spoil)
{
	*w = (struct writer){.b = b, .t = t, .spoil = spoil};
	cn_buf_add_str(&w->id, "chatcmpl-");
	cn_random_id(&w->id, 16);
}

void cn_chat_stream(struct cn_buf *b, const struct cn_task_answer *t,
                    const struct cn_task_spoil *spoil)
{
	struct writer w;

	writer_init(&w, b, t, spoil);
	chunk(&w, CN_VIEW("\"role\":\"assistant\",\"content\":\"\""), NULL);
	if (spoil->thinking || t->thinks)
		think(&w);
	if (!says_nothing(&w)) {
		pieces(&w, "\"content\":", t->text, CN_TEXT_PIECE, "");
		for (size_t i = 0; i < t->n_inputs; i++)
			call(&w, i);
	}
	finish(&w);
	cn_buf_done(&w.id);
}

void cn_chat_completion(struct cn_buf *b, const struct cn_task_answer *t,
                        const struct cn_task_spoil *spoil)
{
	struct writer w;
	bool mute;

	writer_init(&w, b, t, spoil);
	mute = says_nothing(&w);
	begin(&w, b, "chat.completion");
	cn_buf_add_str(b, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
	                  "\"content\":");
	if (mute)
		cn_buf_add_str(b, "null");
	else
		cn_json_add_string(b, t->text);
	if (spoil->thinking || t->thinks)
		cn_json_add_text(b, "reasoning_content", CN_VIEW(CN_THOUGHT));
	if (t->n_inputs && !mute) {
		cn_buf_add_char(b, ',');
		add_calls(&w, b);
	}
	cn_buf_printf(b, "},\"finish_reason\":\"%s\"}]," CN_USAGE "}", reason_of(&w));
	cn_buf_done(&w.id);
}
