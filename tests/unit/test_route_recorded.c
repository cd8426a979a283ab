/*
 * The errors that providers really sent: the recordings of all of them, and what users
 * pasted into bug reports.  Without the shared directory these tests are skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <yyjson.h>

#include "../../src/route/route_impl.h"

#define WALL UINT64_C(1795000000000) /* 2026-11-18T11:06:40Z */

#define C(name) CN_CLASS_##name

static char *read_file(const char *dir, const char *name, size_t *retn)
{
	char path[1024];
	FILE *f;
	CN_AUTO(cn_buf) b = {0};
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/fixtures/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return NULL;
	while ((n = fread(cn_buf_reserve(&b, 65536), 1, 65536, f)) > 0)
		b.n += n;
	(void)fclose(f);
	return cn_buf_detach(&b, retn);
}

/* What the recordings mean; a row is for all files whose name holds its word. */
static const struct {
	const char *word;
	enum cn_class class;
} recorded[] = {
    {"sixteen-union-parameters", C(INVALID_REQUEST)},
    {"boolean-root-schema", C(INVALID_REQUEST)},
    {"cyclic-root-ref", C(INVALID_REQUEST)},
    {"scalar-root-ref", C(INVALID_REQUEST)},
    {"mira.model-not-found", C(NOT_FOUND_MODEL)},
    {"nonexistent-model-error", C(NOT_FOUND_MODEL)},
    {"model-name-suggestion", C(NOT_FOUND_MODEL)},
    {"retired-model-id", C(NOT_FOUND_MODEL)},
    {"invoke-model-with-invalid-model", C(NOT_FOUND_MODEL)},
    {"anthropic-count-tokens-error", C(NOT_FOUND_MODEL)},
    {"unknown-model", C(NOT_FOUND_MODEL)},
    {"pyai.tool-regular-error", C(NOT_FOUND_MODEL)},
    {"groq/rig.response-identity-edge", C(NOT_FOUND_MODEL)},
    {"blocking-error-carries-the-correlation-id", C(NOT_FOUND_MODEL)},
    {"routed-failure-error-shape", C(NOT_FOUND_MODEL)},
    {"responses-create-api-error", C(NOT_FOUND_MODEL)},
    {"direct-binary-video", C(INVALID_REQUEST)},
    {"chat-real-error-scenarios-bedrock", C(CONTEXT_OVERFLOW)},
    {"chat-real-error-scenarios-openai", C(CONTEXT_OVERFLOW)},
    {"context-overflow", C(CONTEXT_OVERFLOW)},
    {"deepseek/rig.wire-shape-matrix.blocking", C(INVALID_REQUEST)},
    {"malformed-request-field", C(INVALID_REQUEST)},
    {"tools-without-jinja", C(INVALID_REQUEST)},
    {"unfetchable-image-url", C(SERVER_ERROR)},
    {"ollmetry.vision", C(INVALID_REQUEST)},
    {"direct-binary-audio", C(INVALID_REQUEST)},
    {"openai-o1-mini-system-role", C(INVALID_REQUEST)},
    {"web-search-tool-model-not-supported", C(INVALID_REQUEST)},
    {"reasoning-model-legacy-parameter", C(INVALID_REQUEST)},
    {"direct-url-force-download-audio", C(INVALID_REQUEST)},
    {"openai-responses-model-http-error", C(INVALID_REQUEST)},
    {"openrouter-errors-raised", C(RATE_LIMITED)},
    {"vercel.openai-error.1-2", C(QUOTA_EXHAUSTED)},
    {"vercel.openai-error.1.response", C(QUOTA_EXHAUSTED)},
    {"auth-rejection-classifies-with-contract", C(AUTH)},
    {"tool-use-failed-error-streaming", C(MALFORMED_STREAM)},
    {"chat-error-handling-with", C(AUTH)},
    {"prompt-content-filtering", C(CONTENT_REFUSAL)},
    {"invalid-key", C(AUTH)},
    {"auth", C(AUTH)},
    {"unauthorized", C(AUTH)},
    {"bogus-key", C(AUTH)},
    {"exception-event-recorded-on-lm-error", C(AUTH)},
    {"handshake-rejection", C(AUTH)},
    {"key", C(AUTH)},
};

static const char *text_of(yyjson_val *v, const char *key)
{
	const char *s = yyjson_get_str(yyjson_obj_get(v, key));

	return s ? s : "";
}

/* One recorded error; returns false when it is of no interest here. */
static bool check_recording(const char *dir, yyjson_val *entry)
{
	CN_AUTO(cn_arena) a = {0};
	const char *file = text_of(entry, "file");
	yyjson_val *error = yyjson_obj_get(yyjson_obj_get(entry, "expected"), "error");
	struct cn_answer_head head = {
	    .status = (int)yyjson_get_int(yyjson_obj_get(entry, "status"))};
	struct cn_answer_context ctx = {.wall_ms = WALL};
	struct cn_outcome o;
	CN_AUTOFREE char *body = NULL;
	size_t n = 0, i = 0;

	if (head.status < 400 && !yyjson_is_obj(error))
		return false;
	body = read_file(dir, file, &n);
	assert_non_null(body);
	if (head.status >= 400)
		o = cn_classify_answer(&a, &head, cn_view(body, n), &ctx);
	else
		o = cn_classify_event(&a, cn_view_str(text_of(error, "code")),
		                      cn_view_str(text_of(error, "message")), &ctx);
	while (i < sizeof(recorded) / sizeof(recorded[0]) &&
	       !strstr(file, recorded[i].word))
		i++;
	if (i == sizeof(recorded) / sizeof(recorded[0]))
		fail_msg("no expectation for %s: %d %.*s is %s", file, head.status,
		         (int)(n < 400 ? n : 400), body, cn_class_name(o.class));
	if (o.class != recorded[i].class)
		fail_msg("%s: %d %.*s is %s (%s), not %s", file, head.status,
		         (int)(n < 400 ? n : 400), body, cn_class_name(o.class), o.reason,
		         cn_class_name(recorded[i].class));
	return true;
}

static void recorded_errors_of_all_providers(void **state)
{
	const char *dir = getenv("CONTINUO_SHARED");
	CN_AUTOFREE char *index = NULL;
	yyjson_doc *doc;
	yyjson_val *entry;
	size_t n = 0, i, max, checked = 0;

	(void)state;
	if (!dir || !(index = read_file(dir, "index.json", &n)))
		skip();
	doc = yyjson_read(index, n, 0);
	assert_non_null(doc);
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, entry) checked +=
	    check_recording(dir, entry);
	yyjson_doc_free(doc);
	assert_true(checked >= 50);
}

static void observed_errors_of_bug_reports(void **state)
{
	static const enum cn_class means[] = {
	    C(OVERLOADED),   C(OVERLOADED),       C(CONTEXT_OVERFLOW), C(SERVER_ERROR),
	    C(RATE_LIMITED), C(CONTEXT_OVERFLOW), C(CONTEXT_OVERFLOW), C(QUOTA_EXHAUSTED),
	};
	const char *dir = getenv("CONTINUO_SHARED");
	CN_AUTOFREE char *text = NULL;
	yyjson_doc *doc;
	yyjson_val *entry;
	size_t n = 0, i, max;

	(void)state;
	if (!dir || !(text = read_file(dir, "corpora/errors/observed.json", &n)))
		skip();
	doc = yyjson_read(text, n, 0);
	assert_int_equal(yyjson_arr_size(yyjson_doc_get_root(doc)), 8);
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, entry)
	{
		CN_AUTO(cn_arena) a = {0};
		struct cn_answer_head head = {
		    .status = (int)yyjson_get_int(yyjson_obj_get(entry, "status"))};
		struct cn_answer_context ctx = {.wall_ms = WALL};
		size_t len;
		CN_AUTOFREE char *body =
		    yyjson_val_write(yyjson_obj_get(entry, "body"), 0, &len);
		struct cn_outcome o =
		    cn_classify_answer(&a, &head, cn_view(body, len), &ctx);

		if (o.class != means[i])
			fail_msg("%s is %s, not %s", body, cn_class_name(o.class),
			         cn_class_name(means[i]));
		if (i == 4)
			assert_int_equal(o.retry_after_ms, 18642);
		if (i == 5)
			assert_int_equal(o.limit, 131072 - 123308 - 1);
	}
	yyjson_doc_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(recorded_errors_of_all_providers),
	    cmocka_unit_test(observed_errors_of_bug_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
