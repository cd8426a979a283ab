/*
 * Every Chat Completions recording of the shared directory decodes to what its index says,
 * whole, in pieces of any size and re-framed (without the directory the test is skipped).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>
#include <yyjson.h>

#include "../lib/answer_ear.h"

#define COMPLAIN(...) (print_error(__VA_ARGS__), 1u)

static void hear(struct ear *e, struct cn_view body, bool stream, size_t step)
{
	struct cn_decode_hints hints = {.thinking = true};

	ear_hear(e, CN_WIRE_OPENAI_CHAT, body, stream, step, &hints);
}

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

static bool same_arguments(yyjson_val *want, const struct ear_tool *t, bool cut)
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
		const struct ear_tool *t = &e->tools[i];

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_recording_decodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
