/*
 * Answers in the Messages format, of backends that are not Anthropic's: what of their
 * deviations is levelled, and that what cannot be read is never ended in silence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/answer_ear.h"

#define COMPLAIN(...) (print_error(__VA_ARGS__), 1u)

#define START "{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"x\"}}"
#define BEGIN(i, block)                                   \
	"{\"type\":\"content_block_start\",\"index\":" #i \
	",\"content_block\":{\"type\":\"" block "\"}}"
#define CALL(i, id, name, input)                                                       \
	"{\"type\":\"content_block_start\",\"index\":" #i                              \
	",\"content_block\":{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name \
	"\",\"input\":" input "}}"
#define DELTA(i, type, member, text)                                                     \
	"{\"type\":\"content_block_delta\",\"index\":" #i ",\"delta\":{\"type\":\"" type \
	"\",\"" member "\":\"" text "\"}}"
#define TEXT(i, text)  DELTA(i, "text_delta", "text", text)
#define THINK(i, text) DELTA(i, "thinking_delta", "thinking", text)
#define INPUT(i, text) DELTA(i, "input_json_delta", "partial_json", text)
#define STOP(i)        "{\"type\":\"content_block_stop\",\"index\":" #i "}"
#define SAYS(reason) \
	"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason "\"}}"
#define END "{\"type\":\"message_stop\"}"

enum how {
	PLAIN,
	OPEN,   /* a stream without its last events may be whole */
	TAGS,   /* thinking comes as text */
	HERMES, /* calls come as text */
	ONE,    /* one call at a time */
	STOPS,  /* with stop sequences */
};

static const struct {
	const char *name;
	enum how how;
	const char *events[14];
	const char *says;
} cases[] = {
    {"as it should be",
     PLAIN,
     {START, BEGIN(0, "thinking"), THINK(0, "t"), STOP(0), BEGIN(1, "text"), TEXT(1, "Hi"),
      STOP(1), SAYS("end_turn"), END},
     "t|Hi|end_turn"},
    {"reasons in other words",
     PLAIN,
     {START, BEGIN(0, "text"), TEXT(0, "Hi"), STOP(0), SAYS("MODEL_LENGTH"), END},
     "|Hi|max_tokens"},
    {"a reason that is a failure",
     PLAIN,
     {START, BEGIN(0, "text"), TEXT(0, "Hi"), STOP(0), SAYS("network_error"), END},
     "|Hi|error"},
    {"no last events",
     PLAIN,
     {START, BEGIN(0, "text"), TEXT(0, "Hi"), STOP(0)},
     "|Hi|cut off"},
    {"no last events, and that is known of it",
     OPEN,
     {START, BEGIN(0, "text"), TEXT(0, "Hi"), STOP(0)},
     "|Hi|"},
    {"the last block is open all the same",
     OPEN,
     {START, BEGIN(0, "text"), TEXT(0, "Hi")},
     "|Hi|cut off"},
    {"a thought between tags",
     TAGS,
     {START, BEGIN(0, "text"), TEXT(0, "<thi"), TEXT(0, "nk>t</think>\\n\\n"),
      TEXT(0, "Hi"), STOP(0), SAYS("end_turn"), END},
     "t|Hi|end_turn"},
    {"its first tag is missing",
     TAGS,
     {START, BEGIN(0, "text"), TEXT(0, "t</thi"), TEXT(0, "nk>Hi"), STOP(0),
      SAYS("end_turn"), END},
     "t|Hi|end_turn"},
    {"tags of a backend that has none",
     PLAIN,
     {START, BEGIN(0, "text"), TEXT(0, "<think>t</think>Hi"), STOP(0), SAYS("end_turn"),
      END},
     "|<think>t</think>Hi|end_turn"},
    {"a call in the text",
     HERMES,
     {START, BEGIN(0, "text"), TEXT(0, "go <tool_"),
      TEXT(0, "call>{\\\"name\\\":\\\"A\\\",\\\"arguments\\\":{}}</tool"),
      TEXT(0, "_call>"), STOP(0), SAYS("end_turn"), END},
     "|go |A({})|end_turn"},
    {"a call in the thinking",
     HERMES,
     {START, BEGIN(0, "thinking"),
      THINK(0, "t<tool_call>{\\\"name\\\":\\\"A\\\",\\\"arguments\\\":{}}</tool_call>"),
      STOP(0), SAYS("end_turn"), END},
     "t||A({})|end_turn"},
    {"a call in the text that cannot be read",
     HERMES,
     {START, BEGIN(0, "text"), TEXT(0, "<tool_call>A</tool_call>"), STOP(0),
      SAYS("end_turn"), END},
     "||error"},
    {"a call in the text that was cut",
     HERMES,
     {START, BEGIN(0, "text"), TEXT(0, "a<tool_call>{"), STOP(0), SAYS("max_tokens"), END},
     "|a|max_tokens"},
    {"two calls where one was asked for",
     ONE,
     {START, CALL(0, "c", "A", "{}"), INPUT(0, "{}"), STOP(0), CALL(1, "d", "B", "{}"),
      INPUT(1, "{\\\"b\\\":1}"), STOP(1), BEGIN(2, "text"), TEXT(2, "Hi"), STOP(2),
      SAYS("tool_use"), END},
     "|Hi|A({})|tool_use"},
    {"a stop sequence, cut anywhere",
     STOPS,
     {START, BEGIN(0, "text"), TEXT(0, "Hi E"), TEXT(0, "NEN"), TEXT(0, "D no"), STOP(0),
      SAYS("end_turn"), END},
     "|Hi EN|stop_sequence"},
    {"what only begins like one",
     STOPS,
     {START, BEGIN(0, "text"), TEXT(0, "Hi E"), STOP(0), BEGIN(1, "text"), TEXT(1, "N"),
      STOP(1), SAYS("end_turn"), END},
     "|Hi EN|end_turn"},
    {"chunks of the other format",
     PLAIN,
     {"{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}",
      "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"A\","
      "\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
      "[DONE]"},
     "|Hi|A({})|tool_use"},
    {"chunks of the other format among events of this",
     PLAIN,
     {START, "{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}", SAYS("length"), END},
     "|Hi|max_tokens"},
    {"chunks of the other format that break off",
     PLAIN,
     {START, "{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}"},
     "|Hi|cut off"},
    {"an error of the other format",
     PLAIN,
     {START, "{\"error\":{\"message\":\"m\",\"code\":500}}"},
     "||error"},
    {"calls beside the content",
     PLAIN,
     {START, BEGIN(0, "text"), TEXT(0, "Hi"), STOP(0),
      "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_calls\",\"tool_calls\":[{"
      "\"id\":\"c\",\"function\":{\"name\":\"A\",\"arguments\":\"{}\"}}]}}",
      END},
     "|Hi|A({})|tool_use"},
    {"[DONE] behind the end",
     PLAIN,
     {START, BEGIN(0, "text"), TEXT(0, "Hi"), STOP(0), SAYS("stop"), END, "[DONE]"},
     "|Hi|end_turn"},
};

static struct cn_decode_hints hints_of(enum how how)
{
	struct cn_decode_hints hints = {
	    .tools = cn_json_root(CN_VIEW("[{\"name\":\"A\"}]")), .thinking = true};

	if (how == OPEN)
		hints.quirks = cn_quirk_bit(CN_QUIRK_OPEN_END);
	if (how == TAGS)
		hints.quirks = cn_quirk_bit(CN_QUIRK_THINK_TAGS);
	if (how == HERMES)
		hints.tool_format = "hermes";
	hints.one_call = how == ONE;
	if (how == STOPS)
		hints.stop_sequences = cn_json_root(CN_VIEW("[\"no\",\"END\"]"));
	return hints;
}

static void every_deviation(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cn_decode_hints hints = hints_of(cases[i].how);
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0}, b = {0};

		for (const char *const *p = cases[i].events; *p; p++)
			cn_buf_printf(&b, "data: %s\n\n", *p);
		ear_hear(&e, CN_WIRE_ANTHROPIC, cn_buf_view(&b), true, 5, &hints);
		ear_say(&e, &got);
		if (e.wrong || !cn_view_is(cn_buf_view(&got), cases[i].says))
			wrong += COMPLAIN("%s: %s; got %.*s, expected %s\n", cases[i].name,
			                  e.wrong ? e.wrong : "other events",
			                  CN_VIEW_ARG(cn_buf_view(&got)), cases[i].says);
	}
	assert_int_equal(wrong, 0);
}

#define MESSAGE(content, more) \
	"{\"id\":\"m\",\"role\":\"assistant\",\"content\":" content more "}"

static const struct {
	enum how how;
	const char *body, *says;
} bodies[] = {
    {PLAIN, MESSAGE("[{\"type\":\"text\",\"text\":\"Hi\"}]", ",\"stop_reason\":\"stop\""),
     "|Hi|end_turn"},
    {PLAIN, MESSAGE("\"Hi\"", ",\"stop_reason\":\"end_turn\""), "|Hi|end_turn"},
    {PLAIN,
     MESSAGE("null",
             ",\"stop_reason\":\"tool_calls\",\"tool_calls\":[{\"id\":\"c\",\"function\":"
             "{\"name\":\"A\",\"arguments\":{\"n\":1}}}]"),
     "||A({\"n\":1})|tool_use"},
    {PLAIN, "{\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}",
     "|Hi|end_turn"},
    {HERMES,
     MESSAGE(
	 "[{\"type\":\"text\",\"text\":\"a<tool_call>{\\\"name\\\":\\\"A\\\"}</tool_call>\"}]",
	 ""),
     "|a|A({})|"},
    {TAGS, MESSAGE("[{\"type\":\"text\",\"text\":\"t</think>Hi\"}]", ""), "t|Hi|"},
    {STOPS, MESSAGE("[{\"type\":\"text\",\"text\":\"Hi END no\"}]", ""),
     "|Hi |stop_sequence"},
    {HERMES, MESSAGE("[{\"type\":\"text\",\"text\":\"<tool_call>A</tool_call>\"}]", ""),
     "||error"},
};

static void whole_answers_likewise(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct cn_decode_hints hints = hints_of(bodies[i].how);
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0};

		ear_hear(&e, CN_WIRE_ANTHROPIC, cn_view_str(bodies[i].body), false, 1,
		         &hints);
		ear_say(&e, &got);
		if (e.wrong || !cn_view_is(cn_buf_view(&got), bodies[i].says))
			wrong += COMPLAIN("%s: %s; got %.*s, expected %s\n", bodies[i].body,
			                  e.wrong ? e.wrong : "other events",
			                  CN_VIEW_ARG(cn_buf_view(&got)), bodies[i].says);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_deviation),
	    cmocka_unit_test(whole_answers_likewise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
