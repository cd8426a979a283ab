/*
 * Chat Completions answers: what they decode to, by hand and by every recording that the
 * shared directory has (without it that one test is skipped).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>
#include <yyjson.h>

#include "continuo/dialect.h"
#include "continuo/sse.h"

#define COMPLAIN(...) (print_error(__VA_ARGS__), 1u)

struct tool {
	struct cn_buf id, name, input;
	size_t block;
	bool stopped;
};

/* Everything that one answer told. */
struct ear {
	struct cn_buf text, thinking, signature, log;
	struct tool tools[160];
	size_t n_tools, n_blocks, n_open;
	struct cn_buf stop_reason, stop_sequence;
	struct cn_usage usage;
	unsigned starts, deltas, stops, errors;
	const char *wrong; /* an order that must not be */
	struct cn_arena arena;
	struct cn_decoder *decoder;
};

static void ear_done(struct ear *e)
{
	for (size_t i = 0; i < e->n_tools; i++) {
		cn_buf_done(&e->tools[i].id);
		cn_buf_done(&e->tools[i].name);
		cn_buf_done(&e->tools[i].input);
	}
	cn_buf_done(&e->text);
	cn_buf_done(&e->thinking);
	cn_buf_done(&e->signature);
	cn_buf_done(&e->log);
	cn_buf_done(&e->stop_reason);
	cn_buf_done(&e->stop_sequence);
	cn_arena_done(&e->arena);
	e->decoder = cn_decoder_free(e->decoder);
}

static struct tool *tool_at(struct ear *e, size_t block)
{
	for (size_t i = 0; i < e->n_tools; i++)
		if (e->tools[i].block == block)
			return &e->tools[i];
	return NULL;
}

static void on_start(struct ear *e, const struct cn_event *ev)
{
	struct tool *t;

	if (ev->index != e->n_blocks++)
		e->wrong = "indices that are not dense";
	e->n_open++;
	if (ev->block != CN_BLOCK_TOOL_USE)
		return;
	t = &e->tools[e->n_tools++];
	t->block = ev->index;
	cn_buf_add_view(&t->id, ev->id);
	cn_buf_add_view(&t->name, ev->name);
}

static void on_delta(struct ear *e, const struct cn_event *ev)
{
	struct tool *t = tool_at(e, ev->index);

	if (ev->delta == CN_DELTA_TEXT)
		cn_buf_add_view(&e->text, ev->text);
	else if (ev->delta == CN_DELTA_THINKING)
		cn_buf_add_view(&e->thinking, ev->text);
	else if (ev->delta == CN_DELTA_SIGNATURE)
		cn_buf_add_view(&e->signature, ev->text);
	else if (t)
		cn_buf_add_view(&t->input, ev->text);
	if (t && t->stopped)
		e->wrong = "a delta behind its stop";
}

static bool on_event(void *self, const struct cn_event *ev)
{
	struct ear *e = self;
	struct tool *t;

	cn_buf_printf(&e->log, "%s %zu %d %.*s\n", cn_event_name(ev->kind), ev->index,
	              (int)ev->delta, CN_VIEW_ARG(ev->text));
	if (e->starts == 0 && ev->kind != CN_EV_MESSAGE_START && ev->kind != CN_EV_ERROR)
		e->wrong = "something before message_start";
	if (e->stops)
		e->wrong = "something behind message_stop";
	if (e->deltas && ev->kind != CN_EV_MESSAGE_STOP)
		e->wrong = "something between message_delta and message_stop";
	switch (ev->kind) {
	case CN_EV_MESSAGE_START:
		e->starts++;
		cn_usage_merge(&e->usage, &ev->usage);
		break;
	case CN_EV_BLOCK_START:
		on_start(e, ev);
		break;
	case CN_EV_BLOCK_DELTA:
		on_delta(e, ev);
		break;
	case CN_EV_BLOCK_STOP:
		e->n_open--;
		if ((t = tool_at(e, ev->index)))
			t->stopped = true;
		break;
	case CN_EV_MESSAGE_DELTA:
		e->deltas++;
		cn_buf_add_view(&e->stop_reason, ev->stop_reason);
		cn_buf_add_view(&e->stop_sequence, ev->stop_sequence);
		cn_usage_merge(&e->usage, &ev->usage);
		break;
	case CN_EV_MESSAGE_STOP:
		e->stops++;
		break;
	case CN_EV_ERROR:
		e->errors++;
		break;
	case CN_EV_PING:
	case CN_EV_UNKNOWN:
		e->wrong = "an event that means nothing";
	}
	return true;
}

static bool on_sse(void *self, const struct cn_sse_event *sse)
{
	struct ear *e = self;

	return sse->comment ||
	       !cn_decoder_event(e->decoder, &e->arena, sse->name, sse->data, NULL);
}

static void hear_hinted(struct ear *e, struct cn_view body, bool stream, size_t step,
                        const struct cn_decode_hints *hints)
{
	struct cn_sse s;
	int bad = 0;

	*e = (struct ear){0};
	e->decoder = cn_decoder_new(cn_dialect_of(CN_WIRE_OPENAI_CHAT), hints, on_event, e);
	if (!stream) {
		e->errors += cn_decoder_whole(e->decoder, &e->arena, body, NULL) != 0;
		return;
	}
	cn_sse_init(&s, on_sse, e);
	for (size_t at = 0; at < body.n && !bad; at += step)
		bad = cn_sse_feed(&s, cn_view_cut(cn_view_from(body, at), step),
		                  at / 1000 * 1000, NULL);
	if (!bad)
		bad = cn_sse_feed(&s, CN_VIEW("\n\n"), 1000000, NULL);
	e->errors += bad != 0;
	if (!bad)
		(void)cn_decoder_end(e->decoder, &e->arena);
	cn_sse_done(&s);
}

static void hear(struct ear *e, struct cn_view body, bool stream, size_t step)
{
	hear_hinted(e, body, stream, step, NULL);
}

/* ---- the recordings ---- */

static bool read_file(const char *dir, const char *name, struct cn_buf *ret)
{
	char path[1024];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/fixtures/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return false;
	while ((n = fread(cn_buf_reserve(ret, 65536), 1, 65536, f)) > 0)
		ret->n += n;
	(void)fclose(f);
	return true;
}

static const char *text_of(yyjson_val *v, const char *key)
{
	const char *s = yyjson_get_str(yyjson_obj_get(v, key));

	return s ? s : "";
}

static bool sha_is(struct cn_view v, const char *hex)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char text[2 * sizeof(hash) + 1];

	crypto_hash_sha256(hash, (const unsigned char *)(v.p ? v.p : ""), v.n);
	sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
	return strcmp(text, hex) == 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(yyjson_get_str(*(yyjson_val *const *)a),
	              yyjson_get_str(*(yyjson_val *const *)b));
}

/* Sorted keys, no spaces: the form that the index hashes. */
static void add_sorted(struct cn_buf *b, yyjson_val *v)
{
	yyjson_val *keys[256], *part, *value;
	size_t n = 0, i, max;
	char *text;

	if (yyjson_is_arr(v)) {
		cn_buf_add_char(b, '[');
		yyjson_arr_foreach(v, i, max, part)
		{
			if (i)
				cn_buf_add_char(b, ',');
			add_sorted(b, part);
		}
		cn_buf_add_char(b, ']');
		return;
	}
	if (!yyjson_is_obj(v)) {
		text = yyjson_val_write(v, 0, NULL);
		cn_buf_add_str(b, text);
		free(text);
		return;
	}
	yyjson_obj_foreach(v, i, max, part, value)
	{
		if (n < 256 && value)
			keys[n++] = part;
	}
	qsort(keys, n, sizeof(*keys), by_key);
	cn_buf_add_char(b, '{');
	for (i = 0; i < n; i++) {
		if (i)
			cn_buf_add_char(b, ',');
		add_sorted(b, keys[i]);
		cn_buf_add_char(b, ':');
		add_sorted(b, yyjson_obj_get(v, yyjson_get_str(keys[i])));
	}
	cn_buf_add_char(b, '}');
}

static bool same_arguments(yyjson_val *want, const struct tool *t, bool cut)
{
	CN_AUTO(cn_buf) sorted = {0};
	struct cn_view got = cn_buf_view(&t->input);
	const char *sha = text_of(want, "arguments_sha256");
	yyjson_doc *doc;

	if (!yyjson_get_bool(yyjson_obj_get(want, "arguments_valid")))
		return sha_is(got, sha) && !t->stopped;
	/* None at all: cut before the first of them, or a call that needs none. */
	if (got.n == 0)
		return sha_is(CN_VIEW("{}"), sha) && t->stopped == !cut;
	doc = yyjson_read(got.p, got.n, 0);
	if (!doc)
		return false;
	add_sorted(&sorted, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return sha_is(cn_buf_view(&sorted), sha) && t->stopped;
}

/* Where we mean to say something else than the index: it tells what was sent. */
enum apart {
	APART_NO,
	APART_THINK,  /* a thought between tags is none of the text */
	APART_OLD,    /* function_call is a call */
	APART_BESIDE, /* reasoning that is counted beside the output belongs to it */
	APART_CACHED, /* more was cached than sent: neither counts the other */
	APART_CUT,    /* a call that the provider behind the gateway cut is a cut one */
};
static const struct {
	const char *word;
	enum apart apart;
} differences[] = {
    {"groq/pyai.groq-model-thinking-part.1", APART_THINK},
    {"groq/pyai.groq-model-thinking-part-iter.1", APART_THINK},
    {"groq/pyai.reasoning-wire-contract-groq-qwen3-effort-setting", APART_THINK},
    {"huggingface/pyai.hf-model-thinking-part", APART_THINK},
    {"huggingface/pyai.simple-completion", APART_THINK},
    {"openai/ollmetry.lcel.lcel-with-datetime.response.json", APART_OLD},
    {"openai/ollmetry.lcel.simple-lcel.1.response.json", APART_OLD},
    {"xai/vercel.xai-t", APART_BESIDE},
    {"azure-grok-4-1-fast-non-reasoning", APART_CACHED},
    {"openrouter/rig.tool-truncation-contract-matrix.blocking-gpt41-low", APART_CUT},
    {"openrouter/rig.tool-truncation-contract-matrix.blocking-gpt41-mid", APART_CUT},
    {"openrouter/rig.tool-truncation-contract-matrix.streaming-gpt41-mid", APART_CUT},
};

static enum apart apart_of(const char *file)
{
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		if (strstr(file, differences[i].word))
			return differences[i].apart;
	return APART_NO;
}

static unsigned check_text(const char *file, yyjson_val *want, const struct ear *e,
                           enum apart apart)
{
	size_t refused = yyjson_get_uint(yyjson_obj_get(want, "refusal_bytes"));
	size_t bytes = yyjson_get_uint(yyjson_obj_get(want, "text_bytes"));
	unsigned wrong = 0;

	if (apart == APART_THINK)
		return e->thinking.n && e->thinking.n + e->text.n < bytes &&
		               e->thinking.n + e->text.n + 32 > bytes
		           ? 0
		           : COMPLAIN("%s: %zu of thought, %zu of text, %zu in all\n", file,
		                      e->thinking.n, e->text.n, bytes);
	/* A refusal is told as text. */
	if (refused ? e->text.n != bytes + refused
	            : !sha_is(cn_buf_view(&e->text), text_of(want, "text_sha256")))
		wrong += COMPLAIN("%s: text of %zu bytes for %zu\n", file, e->text.n,
		                  bytes + refused);
	if (yyjson_get_uint(yyjson_obj_get(want, "reasoning_bytes")) &&
	    !sha_is(cn_buf_view(&e->thinking), text_of(want, "reasoning_sha256")))
		wrong += COMPLAIN("%s: thinking of %zu bytes\n", file, e->thinking.n);
	return wrong;
}

static unsigned check_usage(const char *file, yyjson_val *want, const struct ear *e,
                            enum apart apart)
{
	const struct cn_usage *u = &e->usage;
	yyjson_val *usage = yyjson_obj_get(want, "usage"),
		   *raw = yyjson_obj_get(want, "usage_raw");
	uint64_t input = yyjson_get_uint(yyjson_obj_get(usage, "input_tokens"));
	uint64_t output = yyjson_get_uint(yyjson_obj_get(usage, "output_tokens"));

	if (!u->has_output)
		return COMPLAIN("%s: no figure of the output\n", file);
	if (!yyjson_is_obj(usage))
		return 0;
	if (apart == APART_BESIDE)
		output += yyjson_get_uint(yyjson_obj_get(
		    yyjson_obj_get(raw, "completion_tokens_details"), "reasoning_tokens"));
	if (apart == APART_CACHED &&
	    u->cache_read > yyjson_get_uint(yyjson_obj_get(raw, "prompt_tokens")))
		input = yyjson_get_uint(yyjson_obj_get(raw, "prompt_tokens"));
	if (u->input == input && u->output == output &&
	    u->cache_read ==
	        yyjson_get_uint(yyjson_obj_get(usage, "cache_read_input_tokens")) &&
	    u->cache_write ==
	        yyjson_get_uint(yyjson_obj_get(usage, "cache_creation_input_tokens")))
		return 0;
	return COMPLAIN("%s: usage %llu %llu %llu %llu\n", file,
	                (unsigned long long)u->input, (unsigned long long)u->output,
	                (unsigned long long)u->cache_read,
	                (unsigned long long)u->cache_write);
}

static unsigned check_tools(const char *file, yyjson_val *want, const struct ear *e)
{
	yyjson_val *tools = yyjson_obj_get(want, "tools"), *tool;
	size_t i, max;
	unsigned wrong = 0;

	if (e->n_tools != yyjson_arr_size(tools))
		return COMPLAIN("%s: %zu calls for %zu\n", file, e->n_tools,
		                yyjson_arr_size(tools));
	yyjson_arr_foreach(tools, i, max, tool)
	{
		const struct tool *t = &e->tools[i];

		if (!cn_view_is(cn_buf_view(&t->name), text_of(tool, "name")) ||
		    !cn_view_is(cn_buf_view(&t->id), text_of(tool, "id")) ||
		    !same_arguments(tool, t,
		                    cn_view_is(cn_buf_view(&e->stop_reason), "max_tokens")))
			wrong += COMPLAIN("%s: call %zu is %.*s %.*s\n", file, i,
			                  CN_VIEW_ARG(cn_buf_view(&t->name)),
			                  CN_VIEW_ARG(cn_buf_view(&t->input)));
	}
	return wrong;
}

static unsigned check_heard(const char *file, yyjson_val *want, const struct ear *e)
{
	enum apart apart = apart_of(file);
	const char *reason = text_of(want, "anthropic_stop_reason");
	unsigned wrong = 0;

	if (e->wrong)
		return COMPLAIN("%s: %s\n", file, e->wrong);
	if (yyjson_is_obj(yyjson_obj_get(want, "error")) || !*reason)
		return e->stops ? COMPLAIN("%s: a broken answer ended well\n", file) : 0;
	if (e->errors || e->stops != 1 || e->deltas != 1)
		return COMPLAIN("%s: %u errors, %u ends\n", file, e->errors, e->stops);
	if (apart == APART_OLD)
		return e->n_tools == 1 &&
		               cn_view_is(cn_buf_view(&e->stop_reason), "tool_use")
		           ? 0
		           : COMPLAIN("%s: no call\n", file);
	if (apart == APART_CUT)
		reason = "max_tokens";
	if (!cn_view_is(cn_buf_view(&e->stop_reason), reason))
		wrong += COMPLAIN("%s: %.*s for %s\n", file,
		                  CN_VIEW_ARG(cn_buf_view(&e->stop_reason)), reason);
	wrong += check_text(file, want, e, apart);
	wrong += check_usage(file, want, e, apart);
	return wrong + check_tools(file, want, e);
}

/* Other line ends, and no space behind the colon. */
static void reframe(struct cn_view body, struct cn_buf *ret)
{
	struct cn_view line;

	while (cn_view_split(&body, '\n', &line)) {
		if (cn_view_ends(line, CN_VIEW("\r")))
			line.n--;
		if (cn_view_starts(line, CN_VIEW("data: "))) {
			cn_buf_add_str(ret, "data:");
			line = cn_view_from(line, 6);
		}
		cn_buf_add_view(ret, line);
		cn_buf_add_str(ret, "\r\n");
	}
}

static unsigned check_recording(const char *dir, yyjson_val *entry)
{
	static const size_t steps[] = {1, 7, 4096};
	yyjson_val *want = yyjson_obj_get(entry, "expected");
	const char *file = text_of(entry, "file");
	bool stream = yyjson_get_bool(yyjson_obj_get(entry, "streaming"));
	CN_AUTO(cn_buf) body = {0}, framed = {0};
	CN_AUTO(ear) whole = {0};
	unsigned wrong;

	if (!read_file(dir, file, &body))
		return COMPLAIN("%s is missing\n", file);
	hear(&whole, cn_buf_view(&body), stream, SIZE_MAX / 2);
	wrong = check_heard(file, want, &whole);
	if (!stream)
		return wrong;
	reframe(cn_buf_view(&body), &framed);
	for (size_t i = 0; i < 2 * sizeof(steps) / sizeof(steps[0]); i++) {
		CN_AUTO(ear) e = {0};

		hear(&e, cn_buf_view(i % 2 ? &framed : &body), true, steps[i / 2]);
		if (!cn_view_eq(cn_buf_view(&e.log), cn_buf_view(&whole.log)))
			wrong += COMPLAIN("%s: other events in steps of %zu%s\n", file,
			                  steps[i / 2], i % 2 ? ", re-framed" : "");
	}
	return wrong;
}

static void every_recording_decodes(void **state)
{
	const char *dir = getenv("CONTINUO_SHARED");
	CN_AUTO(cn_buf) index = {0};
	yyjson_val *entry;
	yyjson_doc *doc;
	size_t i, max, n = 0;
	unsigned wrong = 0;

	(void)state;
	if (!dir || !read_file(dir, "index.json", &index))
		skip();
	doc = yyjson_read(index.p, index.n, 0);
	assert_non_null(doc);
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, entry)
	{
		if (strcmp(text_of(entry, "wire"), "openai-chat") != 0 ||
		    yyjson_get_uint(yyjson_obj_get(entry, "status")) != 200)
			continue;
		n++;
		wrong += check_recording(dir, entry);
	}
	yyjson_doc_free(doc);
	cn_buf_done(&index);
	assert_true(n > 400);
	assert_int_equal(wrong, 0);
}

/* ---- by hand ---- */

/* Chunks by their deltas; '=' begins a finish reason, '!' a whole data line. */
static void hear_deltas(struct ear *e, const char *const *deltas,
                        const struct cn_decode_hints *hints)
{
	CN_AUTO(cn_buf) b = {0};

	for (; *deltas; deltas++) {
		if (**deltas == '!')
			cn_buf_printf(&b, "data: %s\n\n", *deltas + 1);
		else if (**deltas == '=')
			cn_buf_printf(&b,
			              "data: {\"choices\":[{\"index\":0,\"delta\":{},"
			              "\"finish_reason\":\"%s\"}]}\n\n",
			              *deltas + 1);
		else
			cn_buf_printf(
			    &b, "data: {\"choices\":[{\"index\":0,\"delta\":%s}]}\n\n",
			    *deltas);
	}
	hear_hinted(e, cn_buf_view(&b), true, 5, hints);
}

#define CALL(inside)     "{\"tool_calls\":[{" inside "}]}"
#define FUNC(name, args) "\"function\":{\"name\":\"" name "\",\"arguments\":\"" args "\"}"
#define MORE(args)       "\"function\":{\"arguments\":\"" args "\"}"

/* What comes out: thinking|text|name(input)…|stop reason, or what went wrong. */
static const struct {
	const char *name;
	const char *deltas[8];
	const char *says;
} cases[] = {
    {"text and an end without [DONE]", {"{\"content\":\"Hi\"}", "=stop"}, "|Hi|end_turn"},
    {"no end at all", {"{\"content\":\"Hi\"}"}, "|Hi|cut off"},
    {"[DONE] alone ends what was said",
     {"{\"content\":\"Hi\"}", "![DONE]"},
     "|Hi|end_turn"},
    {"an error in the stream",
     {"{\"content\":\"Hi\"}", "!{\"error\":{\"message\":\"m\"}}", "![DONE]"},
     "|Hi|error"},
    {"an error as text", {"!{\"error\":\"m\",\"code\":\"c\"}"}, "||error"},
    {"a finish reason that is a failure", {"{\"content\":\"Hi\"}", "=error"}, "|Hi|error"},
    {"a refusal by the filter", {"=content_filter"}, "||refusal"},
    {"reasons in capitals", {"{\"content\":\"Hi\"}", "=MAX_TOKENS"}, "|Hi|max_tokens"},
    {"text behind the finish reason is heard",
     {"=stop", "{\"content\":\"late\"}", "![DONE]"},
     "|late|end_turn"},
    {"another choice",
     {"!{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}",
      "{\"content\":\"yes\"}", "=stop"},
     "|yes|end_turn"},
    {"keep-alive chunks",
     {"!{\"choices\":[]}", "!{}", "{\"content\":\"a\"}", "!{\"choices\":null}", "=stop"},
     "|a|end_turn"},
    {"the same thought twice",
     {"{\"reasoning\":\"t\",\"reasoning_content\":\"t\"}", "{\"content\":\"a\"}", "=stop"},
     "t|a|end_turn"},
    {"a thought between tags, cut anywhere",
     {"{\"content\":\"\\n<th\"}", "{\"content\":\"ink>\\nwhy</t\"}",
      "{\"content\":\"hink>\\n\\n\"}", "{\"content\":\"a <think>\"}", "=stop"},
     "why|a <think>|end_turn"},
    {"an empty thought is none",
     {"{\"content\":\"<think>\\n\\n</think>\\n\\na\"}", "=stop"},
     "|a|end_turn"},
    {"what only begins like a tag", {"{\"content\":\" <th\"}", "=stop"}, "| <th|end_turn"},
    {"by index, the reason wrong",
     {CALL("\"index\":0,\"id\":\"c\"," FUNC("A", "")),
      CALL("\"index\":0,\"id\":\"\"," MORE("{\\\"a\\\":")),
      CALL("\"index\":0,\"id\":null," MORE("1}")), "=stop"},
     "||A({\"a\":1})|tool_use"},
    {"whole calls, all of index 0",
     {CALL("\"index\":0,\"id\":\"c\"," FUNC("A", "{}")),
      CALL("\"index\":0,\"id\":\"d\"," FUNC("B", "{\\\"b\\\":2}")), "=tool_calls"},
     "||A({})B({\"b\":2})|tool_use"},
    {"whole calls with neither id nor index",
     {CALL(FUNC("A", "{\\\"a\\\":1}")), CALL(FUNC("A", "{\\\"a\\\":2}")), "=tool_calls"},
     "||A({\"a\":1})A({\"a\":2})|tool_use"},
    {"calls that take turns",
     {CALL("\"index\":0,\"id\":\"c\"," FUNC("A", "{\\\"a\\\":")),
      CALL("\"index\":1,\"id\":\"d\"," FUNC("B", "{\\\"b\\\":")),
      CALL("\"index\":0," MORE("1}")), CALL("\"index\":1," MORE("2}")), "=tool_calls"},
     "||A({\"a\":1})B({\"b\":2})|tool_use"},
    {"the name in each chunk, the arguments again at the end",
     {CALL("\"index\":0,\"id\":\"c\"," FUNC("A", "{\\\"a\\\":")),
      CALL("\"index\":0,\"id\":\"c\"," FUNC("A", "1}")),
      CALL("\"index\":0,\"id\":\"c\"," FUNC("A", "{\\\"a\\\":1}")), "=tool_calls"},
     "||A({\"a\":1})|tool_use"},
    {"the id late",
     {CALL("\"index\":0,\"id\":\"\"," FUNC("A", "{}")), CALL("\"index\":0,\"id\":\"c\""),
      "=tool_calls"},
     "||A({})|tool_use"},
    {"an object for its text",
     {CALL("\"id\":\"c\",\"function\":{\"name\":\"A\",\"arguments\":{\"a\":1}}"),
      "=tool_calls"},
     "||A({\"a\":1})|tool_use"},
    {"the older form",
     {"{\"function_call\":{\"name\":\"A\",\"arguments\":\"{\"}}",
      "{\"function_call\":{\"arguments\":\"}\"}}", "=function_call"},
     "||A({})|tool_use"},
    {"a call that the limit cut is not closed",
     {CALL("\"index\":0,\"id\":\"c\"," FUNC("A", "{\\\"a\\\":")), "=length"},
     "||A({\"a\":...)|max_tokens"},
    {"a call without a name is no call",
     {CALL("\"index\":0,\"id\":\"c\"," FUNC("", "{}")), "=tool_calls", "![DONE]"},
     "||error"},
    {"the member of a call that there is not",
     {"{\"content\":\"a\",\"tool_calls\":[{}],\"function_call\":{\"name\":\"\",\"arguments\":\"\"}}",
      "=stop"},
     "|a|end_turn"},
    {"held-back calls in their order",
     {"{\"tool_calls\":[{\"index\":2," FUNC("C", "{}") "},{\"index\":0," FUNC(
	  "A", "{}") "},{\"index\":1," FUNC("B", "{}") "}]}",
      "=tool_calls"},
     "||A({})B({})C({})|tool_use"},
    {"a data line that is no JSON", {"{\"content\":\"a\"}", "!{\"choices\":["}, "|a|error"},
};

static void say(const struct ear *e, struct cn_buf *b)
{
	cn_buf_add_view(b, cn_buf_view(&e->thinking));
	cn_buf_add_char(b, '|');
	cn_buf_add_view(b, cn_buf_view(&e->text));
	if (e->n_tools)
		cn_buf_add_char(b, '|');
	for (size_t i = 0; i < e->n_tools; i++) {
		cn_buf_add_view(b, cn_buf_view(&e->tools[i].name));
		cn_buf_add_char(b, '(');
		cn_buf_add_view(b, cn_buf_view(&e->tools[i].input));
		cn_buf_add_str(b, e->tools[i].stopped ? ")" : "...)");
	}
	cn_buf_add_char(b, '|');
	if (e->errors)
		cn_buf_add_str(b, "error");
	else if (!e->stops)
		cn_buf_add_str(b, "cut off");
	else
		cn_buf_add_view(b, cn_buf_view(&e->stop_reason));
}

static void every_form_that_was_seen(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0};

		hear_deltas(&e, cases[i].deltas, NULL);
		say(&e, &got);
		if (e.wrong || !cn_view_is(cn_buf_view(&got), cases[i].says))
			wrong += COMPLAIN("%s: %s; got %.*s, expected %s\n", cases[i].name,
			                  e.wrong ? e.wrong : "other events",
			                  CN_VIEW_ARG(cn_buf_view(&got)), cases[i].says);
	}
	assert_int_equal(wrong, 0);
}

static void a_name_in_two_pieces_is_one(void **state)
{
	static const char *const deltas[] = {
	    CALL("\"index\":0,\"id\":\"c\"," FUNC("get_", "")),
	    CALL("\"index\":0," FUNC("weather", "")), CALL("\"index\":0," MORE("{}")),
	    "=stop", NULL};
	struct cn_decode_hints hints = {
	    .tools = cn_json_root(CN_VIEW("[{\"name\":\"get_weather\"}]"))};
	CN_AUTO(ear) e = {0};

	(void)state;
	hear_deltas(&e, deltas, &hints);
	assert_int_equal(e.n_tools, 1);
	assert_true(cn_view_is(cn_buf_view(&e.tools[0].name), "get_weather"));
}

static void a_stop_sequence_is_named_when_it_was_asked_for(void **state)
{
	static const char *const deltas[] = {
	    "{\"content\":\"a\"}",
	    "!{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"matched_stop\":\"END\"}]}",
	    NULL};
	struct cn_decode_hints hints = {.stop_sequences =
	                                    cn_json_root(CN_VIEW("[\"END\"]"))};
	CN_AUTO(ear) e = {0}, other = {0};

	(void)state;
	hear_deltas(&e, deltas, &hints);
	assert_true(cn_view_is(cn_buf_view(&e.stop_reason), "stop_sequence"));
	assert_true(cn_view_is(cn_buf_view(&e.stop_sequence), "END"));
	hear_deltas(&other, deltas, NULL);
	assert_true(cn_view_is(cn_buf_view(&other.stop_reason), "end_turn"));
}

static void figures_are_never_missing(void **state)
{
	static const char *const deltas[] = {"{\"content\":\"12345678\"}",
	                                     "!{\"choices\":[],\"usage\":null}", "=stop",
	                                     NULL};
	struct cn_decode_hints hints = {.input_estimate = 70};
	CN_AUTO(ear) e = {0};

	(void)state;
	hear_deltas(&e, deltas, &hints);
	assert_int_equal(e.usage.input, 70);
	assert_int_equal(e.usage.output, 2);
}

static void a_signature_belongs_to_its_thought(void **state)
{
	static const char *const deltas[] = {
	    "{\"reasoning_details\":[{\"text\":\"t\"}]}",
	    "{\"reasoning_details\":[{\"text\":\"\",\"signature\":\"s\"}]}",
	    "{\"content\":\"a\"}", "=stop", NULL};
	CN_AUTO(ear) e = {0};

	(void)state;
	hear_deltas(&e, deltas, NULL);
	assert_true(cn_view_is(cn_buf_view(&e.thinking), "t"));
	assert_true(cn_view_is(cn_buf_view(&e.signature), "s"));
}

/* ---- calls in the text ---- */

#define T                                                                                \
	"{\"name\":\"A\",\"input_schema\":{\"properties\":{\"s\":{\"type\":\"string\"}," \
	"\"n\":{\"type\":\"integer\"}}}}"

static const struct {
	const char *format, *text, *finish, *says;
} marked[] = {
    {"hermes", "go <tool_call>\n{\"name\":\"A\",\"arguments\":{\"n\":1}}\n</tool_call>\n",
     "stop", "|go |A({\"n\":1})|tool_use"},
    {"hermes",
     "<tool_call>{{\"name\":\"A\",\"parameters\":{}}}</tool_call>"
     "<tool_call>{\"name\":\"A\",\"arguments\":{}}</tool_call>",
     "stop", "||A({})A({})|tool_use"},
    {"hermes", "<tool_call>{\"name\":\"B\",\"arguments\":{}}</tool_call>", "stop",
     "|<tool_call>{\"name\":\"B\",\"arguments\":{}}</tool_call>|end_turn"},
    {"hermes", "a <tool_call>{\"name\":", "length", "|a |max_tokens"},
    {"hermes", "a <tool_call>{\"name\":", "stop", "|a |error"},
    {"hermes", "a <tool_call>nothing</tool_call>", "stop", "|a |error"},
    {"hermes", "a < b <tool", "stop", "|a < b <tool|end_turn"},
    {NULL, "<tool_call>{\"name\":\"A\"}</tool_call>", "stop",
     "|<tool_call>{\"name\":\"A\"}</tool_call>|end_turn"},
    {"glm",
     "<tool_call>A\n<arg_key>s</arg_key>\n<arg_value>1</arg_value>"
     "<arg_key>n</arg_key><arg_value>2</arg_value></tool_call>",
     "tool_calls", "||A({\"s\":\"1\",\"n\":2})|tool_use"},
    {"qwen3-coder",
     "<tool_call>\n<function=A>\n<parameter=s>\n<b>\n</parameter>\n<parameter=n>\n3\n"
     "</parameter>\n</function>\n</tool_call>",
     "stop", "||A({\"s\":\"<b>\",\"n\":3})|tool_use"},
    {"kimi-k2",
     "x<|tool_calls_section_begin|><|tool_call_begin|>functions.A:0"
     "<|tool_call_argument_begin|>{\"n\":1}<|tool_call_end|><|tool_calls_section_end|>",
     "stop", "|x|A({\"n\":1})|tool_use"},
    {"minimax",
     "<minimax:tool_call>\n<invoke name=\"A\">\n<parameter name=\"s\"></p></parameter>\n"
     "</invoke>\n</minimax:tool_call>",
     "stop", "||A({\"s\":\"</p>\"})|tool_use"},
    {"anthropic-xml",
     "<function_calls><invoke name=\"A\"><parameter name=\"n\">4</parameter>"
     "</invoke></function_calls>",
     "stop", "||A({\"n\":4})|tool_use"},
    {"deepseek-dsml",
     "<｜DSML｜tool_calls><｜DSML｜invoke name=\"A\"><｜DSML｜parameter name=\"s\" "
     "string=\"true\">5</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
     "stop", "||A({\"s\":\"5\"})|tool_use"},
};

/* The text in pieces of that many bytes, each a chunk of its own. */
static void hear_marked(struct ear *e, size_t i, size_t step)
{
	struct cn_decode_hints hints = {.tools = cn_json_root(CN_VIEW("[" T "]")),
	                                .tool_format = marked[i].format};
	struct cn_view text = cn_view_str(marked[i].text);
	CN_AUTO(cn_buf) b = {0};

	while (text.n) {
		size_t n = step < text.n ? step : text.n;

		while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
			n++;
		cn_buf_add_str(&b, "data: {\"choices\":[{\"delta\":{\"content\":");
		cn_json_add_string(&b, cn_view_cut(text, n));
		cn_buf_add_str(&b, "}}]}\n\n");
		text = cn_view_from(text, n);
	}
	cn_buf_printf(
	    &b, "data: {\"choices\":[{\"finish_reason\":\"%s\"}]}\n\ndata: [DONE]\n\n",
	    marked[i].finish);
	hear_hinted(e, cn_buf_view(&b), true, 4096, &hints);
}

static void calls_in_the_text_become_calls(void **state)
{
	static const size_t steps[] = {1, 3, 8, 4096};
	unsigned wrong = 0;

	(void)state;
	for (size_t k = 0; k < 4 * sizeof(marked) / sizeof(marked[0]); k++) {
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0};

		hear_marked(&e, k / 4, steps[k % 4]);
		say(&e, &got);
		if (e.wrong || !cn_view_is(cn_buf_view(&got), marked[k / 4].says))
			wrong +=
			    COMPLAIN("%s in steps of %zu: %s; got %.*s, expected %s\n",
			             marked[k / 4].text, steps[k % 4],
			             e.wrong ? e.wrong : "other events",
			             CN_VIEW_ARG(cn_buf_view(&got)), marked[k / 4].says);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_form_that_was_seen),
	    cmocka_unit_test(a_name_in_two_pieces_is_one),
	    cmocka_unit_test(a_stop_sequence_is_named_when_it_was_asked_for),
	    cmocka_unit_test(figures_are_never_missing),
	    cmocka_unit_test(a_signature_belongs_to_its_thought),
	    cmocka_unit_test(calls_in_the_text_become_calls),
	    cmocka_unit_test(every_recording_decodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
