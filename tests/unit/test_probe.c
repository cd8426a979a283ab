/*
 * What the answers to the conformance suite are held to say: verdicts, when a chain relies
 * on them, and what a policy should say of the model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "continuo/probe.h"

/* A model of a policy, and answers to the suite, all good until a test spoils one. */
struct box {
	struct cn_arena arena;
	struct cn_backend backend;
	struct cn_model model;
	struct cn_probe_answer answers[64];
	struct cn_probe_report report;
};

static struct cn_probe_answer *answer(struct box *b, const char *request)
{
	size_t i = cn_probe_request(request);

	assert_true(i < cn_probe_n_requests());
	return &b->answers[i];
}

static void says(struct box *b, const char *request, const char *text)
{
	answer(b, request)->text = cn_view_str(text);
}

static void calls(struct box *b, const char *request, size_t n, const char *const *inputs)
{
	struct cn_probe_answer *a = answer(b, request);

	a->text = (struct cn_view){NULL, 0};
	a->stop_reason = CN_VIEW("tool_use");
	a->n_calls = n;
	for (size_t i = 0; i < n; i++)
		a->calls[i] =
		    (struct cn_probe_call){cn_view_str(i ? "toolu_2" : "toolu_1"),
		                           CN_VIEW("get_weather"), cn_view_str(inputs[i])};
}

static void refuses(struct box *b, const char *request, const char *message)
{
	struct cn_probe_answer *a = answer(b, request);

	a->text = a->thinking = (struct cn_view){NULL, 0};
	a->n_calls = 0;
	a->signature = false;
	a->outcome = (struct cn_outcome){.class = CN_CLASS_INVALID_REQUEST,
	                                 .http_status = 400,
	                                 .message = cn_view_str(message)};
}

static void make_good(struct box *b)
{
	static const char *const paris[] = {"{\"city\":\"Paris\"}", "{\"city\":\"Rome\"}"};
	static const char *const oslo[] = {"{\"city\":\"Oslo, Norway\"}"};

	for (size_t i = 0; i < cn_probe_n_requests(); i++) {
		struct cn_usage u = {
		    .input = 2000, .output = 12, .has_input = true, .has_output = true};

		b->answers[i] = (struct cn_probe_answer){
		    .asked = true,
		    .over = true,
		    .outcome = {.class = CN_CLASS_OK, .http_status = 200},
		    .text = CN_VIEW("pong"),
		    .model = CN_VIEW("some-model"),
		    .stop_reason = CN_VIEW("end_turn"),
		    .usage = u,
		    .n_deltas = 2,
		    .estimate = 2100,
		    .least = 1500,
		    .first_ms = 10,
		    .total_ms = 110};
	}
	says(b, "system", "BASALT-7");
	says(b, "late_system", "it is cobalt-9.");
	calls(b, "call", 1, paris);
	calls(b, "call_stream", 1, oslo);
	calls(b, "parallel", 2, paris);
	calls(b, "forced", 1, oslo);
	says(b, "result", "Number 4711.");
	says(b, "bad_result", "Station QX-81");
	says(b, "stop", "alpha bravo charlie ");
	answer(b, "stop")->stop_reason = CN_VIEW("stop_sequence");
	answer(b, "stop")->stop_sequence = CN_VIEW("delta");
	answer(b, "cut")->stop_reason = CN_VIEW("max_tokens");
	says(b, "prefill", " five six seven eight");
	answer(b, "adaptive")->thinking = CN_VIEW("391");
	answer(b, "budget")->thinking = CN_VIEW("391");
	says(b, "image", "Red.");
	says(b, "tool_image", "BLUE");
	answer(b, "count")->raw = CN_VIEW("{\"input_tokens\":2000}");
	refuses(b, "wrong", "messages: at least one message is required");
	answer(b, "long_again")->usage.cache_read = 1900;
	answer(b, "long_again")->usage.has_cache_read = true;
}

static struct box *box_new(enum cn_wire wire)
{
	struct box *b = cn_zalloc(sizeof(*b));

	assert_true(cn_probe_n_requests() <= sizeof(b->answers) / sizeof(b->answers[0]));
	b->backend = (struct cn_backend){.name = "b", .wire = wire};
	b->model = (struct cn_model){.name = "m",
	                             .backend = &b->backend,
	                             .id = "some-model",
	                             .continuation = CN_CONTINUE_INSTRUCT,
	                             .thinking = true,
	                             .images = true,
	                             .tools = UINT64_MAX};
	make_good(b);
	return b;
}

static void box_free(struct box *b)
{
	cn_arena_done(&b->arena);
	free(b);
}

static void judge(struct box *b)
{
	b->report =
	    (struct cn_probe_report){.model = &b->model, .id = cn_view_str(b->model.id)};
	cn_probe_judge(&b->arena, b->answers, NULL, 0, &b->report);
	assert_int_equal(b->report.n_results, cn_probe_n_checks());
}

static const struct cn_probe_result *result(const struct box *b, const char *check)
{
	for (size_t i = 0; i < b->report.n_results; i++)
		if (strcmp(b->report.results[i].check, check) == 0)
			return &b->report.results[i];
	fail_msg("no check %s", check);
	return NULL;
}

static void expect(struct box *b, const char *check, const char *verdict, const char *came)
{
	const struct cn_probe_result *r = result(b, check);

	if (strcmp(cn_probe_verdict_name(r->verdict), verdict) != 0 ||
	    !strstr(r->came, came))
		fail_msg("%s: %s, %s; want %s, %s", check,
		         cn_probe_verdict_name(r->verdict), r->came, verdict, came);
}

/* ---- tests ---- */

static void a_good_model_passes_everything(void **state)
{
	struct box *b = box_new(CN_WIRE_ANTHROPIC);

	(void)state;
	judge(b);
	for (size_t i = 0; i < b->report.n_results; i++)
		if (b->report.results[i].verdict != CN_PROBE_GOOD)
			fail_msg("%s: %s", b->report.results[i].check,
			         b->report.results[i].came);
	assert_int_equal(b->report.learned.quirks, 0);
	assert_int_equal(b->report.learned.tools, CN_ANY);
	assert_int_equal(b->report.learned.max_output, 0);
	assert_null(b->report.learned.tool_format);
	assert_false(b->report.learned.has_stream);
	assert_int_equal(cn_probe_count(&b->report, CN_PROBE_GOOD, false),
	                 cn_probe_n_checks());
	box_free(b);
}

static void spoiled_text_is_told_from_good(void **state)
{
	static const struct {
		const char *request, *text, *check, *verdict, *came;
	} cases[] = {
	    {"hello", "", "answer", "no", "\"\""},
	    {"hello", "Hello there", "answer", "odd", "Hello there"},
	    {"hello", "<think>so</think>pong", "answer", "odd", "thinking stands"},
	    {"system", "What code word?", "system", "no", "was dropped"},
	    {"late_system", "Which one?", "late_system", "no", "Which one?"},
	    {"stop", "alpha bravo charlie delta echo", "stop", "no", "written past"},
	    {"stop", "alpha bravo charlie delta", "stop", "odd", "came along"},
	    {"stop", "", "stop", "odd", ""},
	    {"prefill", "one two three four five", "prefill", "no", "repeats"},
	    {"prefill", "Certainly! Here you are", "prefill", "no", "begins anew"},
	    {"prefill", "five six", "prefill", "ok", "goes on"},
	    {"image", "Green", "image", "no", "Green"},
	    {"tool_image", "I see nothing", "tool_image", "no", "nothing"},
	    {"result", "Mild weather.", "tool_result", "no", "Mild"},
	    {"bad_result", "All is well.", "tool_error", "no", "All is well"},
	    {"call", "<tool_call>{}</tool_call>", "tool_call", "ok", "get_weather"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box *b = box_new(CN_WIRE_ANTHROPIC);

		says(b, cases[i].request, cases[i].text);
		judge(b);
		expect(b, cases[i].check, cases[i].verdict, cases[i].came);
		box_free(b);
	}
}

static void calls_are_looked_into(void **state)
{
	static const struct {
		const char *input, *verdict, *came;
	} cases[] = {
	    {"{\"city\":\"paris\"}", "ok", "paris"},
	    {"{\"city\":\"Rome\"}", "no", "another city"},
	    {"{\"town\":\"Paris\"}", "no", "no city"},
	    {"{\"city\":\"Par", "no", "no JSON"},
	    {"", "no", "no JSON"},
	};
	struct box *b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b = box_new(CN_WIRE_ANTHROPIC);
		calls(b, "call", 1, &cases[i].input);
		judge(b);
		expect(b, "tool_call", cases[i].verdict, cases[i].came);
		box_free(b);
	}
	b = box_new(CN_WIRE_ANTHROPIC);
	answer(b, "call")->calls[0].name = CN_VIEW("get_whether");
	answer(b, "call_stream")->stop_reason = CN_VIEW("end_turn");
	answer(b, "parallel")->calls[1].id = answer(b, "parallel")->calls[0].id;
	answer(b, "forced")->n_calls = 0;
	judge(b);
	expect(b, "tool_call", "no", "another tool");
	answer(b, "call")->calls[0].name = CN_VIEW("get_weather");
	answer(b, "call")->calls[0].id = (struct cn_view){NULL, 0};
	judge(b);
	expect(b, "tool_call", "odd", "no id");
	b->model.tool_format = "hermes";
	judge(b);
	expect(b, "tool_call", "ok", "Paris");
	expect(b, "tool_stream", "odd", "does not end for a call");
	expect(b, "parallel", "odd", "the same id");
	expect(b, "tool_choice", "odd", "no call");
	box_free(b);
}

static void calls_in_the_text_name_their_family(void **state)
{
	static const struct {
		const char *text, *family;
	} cases[] = {
	    {"<tool_call>\n{\"name\":\"get_weather\"}", "hermes"},
	    {"<tool_call><function=get_weather>", "qwen3-coder"},
	    {"<tool_call>get_weather\n<arg_key>city</arg_key>", "glm"},
	    {"<|tool_calls_section_begin|><|tool_call_begin|>functions.x:0", "kimi-k2"},
	    {"<minimax:tool_call><invoke name=\"x\">", "minimax"},
	    {"<｜DSML｜function_calls>", "deepseek-dsml"},
	    {"[TOOL_CALLS][{}]", "mistral"},
	    {"<function_calls><invoke name=\"x\">", "anthropic-xml"},
	    {"I would call <a tool>", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box *b = box_new(CN_WIRE_OPENAI_CHAT);

		answer(b, "call")->n_calls = 0;
		says(b, "call", cases[i].text);
		judge(b);
		expect(b, "tool_call", "no", cases[i].family ? "as text" : "no call");
		if (cases[i].family)
			assert_string_equal(b->report.learned.tool_format, cases[i].family);
		else
			assert_null(b->report.learned.tool_format);
		box_free(b);
	}
}

static void refusals_become_what_a_policy_says(void **state)
{
	struct box *b = box_new(CN_WIRE_ANTHROPIC);
	struct cn_probe_learned *l = &b->report.learned;

	(void)state;
	refuses(b, "late_system", "messages: Unexpected role system");
	refuses(b, "forced", "tool_choice: only auto");
	refuses(b, "call", "tools are not supported");
	refuses(b, "adaptive", "thinking: unknown type");
	refuses(b, "image", "no images");
	refuses(b, "numbers", "stream is not supported");
	refuses(b, "long_again", "cache_control: Extra inputs");
	refuses(b, "ceiling", "max_tokens: at most 8192");
	answer(b, "ceiling")->outcome.limit = 8192;
	b->model.continuation = CN_CONTINUE_PREFILL;
	refuses(b, "prefill", "no prefill");
	judge(b);
	assert_int_equal(l->quirks, cn_quirk_bit(CN_QUIRK_NO_SYSTEM_MESSAGES) |
	                                cn_quirk_bit(CN_QUIRK_AUTO_TOOL_CHOICE) |
	                                cn_quirk_bit(CN_QUIRK_NO_CACHE_CONTROL) |
	                                cn_quirk_bit(CN_QUIRK_NO_ADAPTIVE_THINKING));
	assert_int_equal(l->tools, CN_NO);
	assert_int_equal(l->thinking, CN_YES);
	assert_int_equal(l->images, CN_NO);
	assert_true(l->has_stream && l->stream == CN_STREAM_NEVER);
	assert_int_equal(l->max_output, 8192);
	assert_true(l->has_continuation && l->continuation == CN_CONTINUE_INSTRUCT);
	expect(b, "ceiling", "ok", "at most 8192");
	refuses(b, "budget", "thinking: unknown");
	judge(b);
	assert_int_equal(l->thinking, CN_NO);
	/* A quirk that is known is not found again, nor is a ceiling that is lower. */
	b->model.quirks = UINT64_MAX;
	b->model.max_output = 4096;
	judge(b);
	assert_int_equal(l->quirks, 0);
	assert_int_equal(l->max_output, 0);
	box_free(b);
}

static void failures_of_the_line_teach_nothing(void **state)
{
	struct box *b = box_new(CN_WIRE_ANTHROPIC);
	const struct cn_probe_learned *l = &b->report.learned;

	(void)state;
	b->model.continuation = CN_CONTINUE_PREFILL;
	for (size_t i = 0; i < cn_probe_n_requests(); i++) {
		refuses(b, "call", "");
		b->answers[i].outcome =
		    (struct cn_outcome){.class = CN_CLASS_OVERLOADED, .http_status = 529};
		b->answers[i].text = b->answers[i].thinking = (struct cn_view){NULL, 0};
		b->answers[i].n_calls = 0;
		b->answers[i].signature = false;
	}
	judge(b);
	assert_int_equal(cn_probe_count(&b->report, CN_PROBE_GOOD, false), 0);
	assert_int_equal(l->quirks, 0);
	assert_false(l->has_continuation || l->has_stream);
	assert_int_equal(l->thinking, CN_ANY);
	assert_int_equal(l->images, CN_ANY);
	assert_int_equal(l->tools, CN_ANY);
	expect(b, "answer", "no", "overloaded (529)");
	box_free(b);
}

static void the_policy_says_what_a_chain_relies_on(void **state)
{
	struct box *b = box_new(CN_WIRE_ANTHROPIC);

	(void)state;
	judge(b);
	assert_true(result(b, "answer")->needed && result(b, "tool_call")->needed);
	assert_true(result(b, "stream")->needed && result(b, "image")->needed);
	assert_true(result(b, "thinking")->needed);
	assert_false(result(b, "prefill")->needed || result(b, "stop")->needed);
	b->model.tools = 0;
	b->model.images = b->model.thinking = false;
	b->model.stream = CN_STREAM_NEVER;
	b->model.continuation = CN_CONTINUE_PREFILL;
	judge(b);
	assert_false(result(b, "tool_call")->needed || result(b, "tool_stream")->needed);
	assert_false(result(b, "stream")->needed || result(b, "image")->needed);
	assert_false(result(b, "thinking")->needed);
	assert_true(result(b, "prefill")->needed);
	box_free(b);
}

static void figures_have_to_be_plausible(void **state)
{
	static const struct {
		uint64_t input, output;
		bool has;
		const char *verdict, *came;
	} cases[] = {
	    {2000, 4, true, "ok", "2000 in"},   {0, 4, true, "no", "no input"},
	    {2000, 4, false, "no", "no input"}, {2000, 0, true, "no", "no output"},
	    {9000, 4, true, "odd", "9000 in"},  {300, 4, true, "odd", "300 in"},
	};
	struct box *b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b = box_new(CN_WIRE_ANTHROPIC);
		answer(b, "long")->usage = (struct cn_usage){.input = cases[i].input,
		                                             .output = cases[i].output,
		                                             .has_input = cases[i].has,
		                                             .has_output = cases[i].has};
		judge(b);
		expect(b, "usage", cases[i].verdict, cases[i].came);
		box_free(b);
	}
	b = box_new(CN_WIRE_ANTHROPIC);
	answer(b, "hello")->model = CN_VIEW("another-model");
	answer(b, "count")->raw = CN_VIEW("{\"tokens\":3}");
	answer(b, "numbers")->text =
	    CN_VIEW("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, "
	            "17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, "
	            "31, 32, 33, 34, 35, 36, 37");
	answer(b, "numbers")->n_deltas = 1;
	answer(b, "cut")->usage.output = 300;
	judge(b);
	expect(b, "model_name", "no", "another-model");
	expect(b, "count_tokens", "odd", "tokens");
	expect(b, "stream", "odd", "in lumps");
	expect(b, "max_tokens", "odd", "300 tokens");
	box_free(b);
}

static void what_was_not_asked_is_skipped_with_a_reason(void **state)
{
	static const char *const only[] = {"stop", "answer"};
	struct box *b = box_new(CN_WIRE_OPENAI_CHAT);

	(void)state;
	b->model.tools = 0;
	answer(b, "stop")->over = answer(b, "call")->over = answer(b, "count")->over =
	    false;
	judge(b);
	expect(b, "stop", "skipped", "not asked");
	expect(b, "tool_call", "skipped", "by the policy");
	expect(b, "count_tokens", "skipped", "by the policy");
	b->report = (struct cn_probe_report){.model = &b->model, .stopped = "interrupted"};
	cn_probe_judge(&b->arena, b->answers, only, 2, &b->report);
	assert_int_equal(b->report.n_results, 2);
	expect(b, "stop", "skipped", "interrupted");
	box_free(b);
}

static void foreign_text_is_one_short_line(void **state)
{
	struct box *b = box_new(CN_WIRE_ANTHROPIC);
	char text[401];

	(void)state;
	for (size_t i = 0; i < 200; i++)
		memcpy(text + 2 * i, i == 3 ? "\n\033" : "é", 2);
	text[400] = 0;
	says(b, "hello", text);
	judge(b);
	assert_true(strlen(result(b, "answer")->came) < 120);
	assert_null(strpbrk(result(b, "answer")->came, "\n\033"));
	/* Cut between characters: what is left is whole ones. */
	expect(b, "answer", "odd", "é…\"");
	box_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_good_model_passes_everything),
	    cmocka_unit_test(spoiled_text_is_told_from_good),
	    cmocka_unit_test(calls_are_looked_into),
	    cmocka_unit_test(calls_in_the_text_name_their_family),
	    cmocka_unit_test(refusals_become_what_a_policy_says),
	    cmocka_unit_test(failures_of_the_line_teach_nothing),
	    cmocka_unit_test(the_policy_says_what_a_chain_relies_on),
	    cmocka_unit_test(figures_have_to_be_plausible),
	    cmocka_unit_test(what_was_not_asked_is_skipped_with_a_reason),
	    cmocka_unit_test(foreign_text_is_one_short_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
