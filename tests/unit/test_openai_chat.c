/* Chat Completions answers: what they decode to, in every form that was seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/answer_ear.h"

#define COMPLAIN(...) (print_error(__VA_ARGS__), 1u)

static const struct cn_decode_hints thinks = {.thinking = true};

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
    {"calls in a choice of their own",
     {"{\"content\":\"a\"}",
      "!{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"},{\"index\":1,"
      "\"delta\":{\"tool_calls\":[{\"id\":\"c\"," FUNC("A", "{}") "}]}}]}",
      "![DONE]"},
     "|a|A({})|tool_use"},
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

static void every_form_that_was_seen(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0};

		ear_hear_deltas(&e, cases[i].deltas, &thinks);
		ear_say(&e, &got);
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
	ear_hear_deltas(&e, deltas, &hints);
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
	ear_hear_deltas(&e, deltas, &hints);
	assert_true(cn_view_is(cn_buf_view(&e.stop_reason), "stop_sequence"));
	assert_true(cn_view_is(cn_buf_view(&e.stop_sequence), "END"));
	ear_hear_deltas(&other, deltas, NULL);
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
	ear_hear_deltas(&e, deltas, &hints);
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
	ear_hear_deltas(&e, deltas, &thinks);
	assert_true(cn_view_is(cn_buf_view(&e.thinking), "t"));
	assert_true(cn_view_is(cn_buf_view(&e.signature), "{\"signature\":\"s\"}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_form_that_was_seen),
	    cmocka_unit_test(a_name_in_two_pieces_is_one),
	    cmocka_unit_test(a_stop_sequence_is_named_when_it_was_asked_for),
	    cmocka_unit_test(figures_are_never_missing),
	    cmocka_unit_test(a_signature_belongs_to_its_thought),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
