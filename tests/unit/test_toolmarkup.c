/* Tool calls that arrive as text, in every family's words and in pieces of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/answer_ear.h"

#define COMPLAIN(...) (print_error(__VA_ARGS__), 1u)

#define TOOLS                                                                                      \
	"[{\"name\":\"A\",\"input_schema\":{\"properties\":{\"s\":{\"type\":\"string\"},"          \
	"\"n\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"},\"l\":{\"type\":\"array\"}}}}," \
	"{\"name\":\"Get_It\",\"input_schema\":{}},"                                               \
	"{\"name\":\"need\",\"input_schema\":{\"required\":[\"x\"]}}]"
#define NS "antml:"

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
    /* in another case, in Python's words, a comma too many, brackets too few */
    {"hermes", "<tool_call>{\"name\":\"get_it\",\"arguments\":{}}</tool_call>", "stop",
     "||Get_It({})|tool_use"},
    {"hermes", "<tool_call>{'name':'A','arguments':{'n':'7',}}</tool_call>", "stop",
     "||A({\"n\":7})|tool_use"},
    {"hermes", "<tool_call>{\"name\":\"A\",\"arguments\":{\"n\":1</tool_call>", "stop",
     "||A({\"n\":1})|tool_use"},
    {"hermes", "<tool_call>{\"name\":\"A\",\"arguments\":\"{\\\"n\\\":1}\"}</tool_c",
     "stop", "||A({\"n\":1})|tool_use"},
    {"hermes", "<tool_call>\n```json\n{\"name\":\"A\",\"arguments\":{}}\n```</tool_call>",
     "stop", "||A({})|tool_use"},
    /* what the schema demands and nobody said */
    {"hermes", "<tool_call>{\"name\":\"need\",\"arguments\":{}}</tool_call>", "stop",
     "||error"},
    {"hermes",
     "I use <tool_call> now. <tool_call>{\"name\":\"A\",\"arguments\":{}}</tool_call>.",
     "stop", "|I use <tool_call> now. .|A({})|tool_use"},
    {"hermes", "the tag `<tool_call>` is one", "stop",
     "|the tag `<tool_call>` is one|end_turn"},
    /* in a block of code it is an example, unless it can be called */
    {"hermes", "so:\n```\n<tool_call>\n{\"name\": N}\n</tool_call>\n```\nand", "stop",
     "|so:\n```\n<tool_call>\n{\"name\": N}\n</tool_call>\n```\nand|end_turn"},
    {"hermes", "so:\n  ```xml\n<tool_call>", "stop",
     "|so:\n  ```xml\n<tool_call>|end_turn"},
    {"hermes", "so:\n```\n<tool_call>{\"name\":\"A\",\"arguments\":{}}</tool_call>", "stop",
     "|so:\n```\n|A({})|tool_use"},
    {"hermes", "so ```\n<tool_call>x</tool_call>", "stop", "|so ```\n|error"},
    {"hermes", "```\nx\n```\n<tool_call>x</tool_call>", "stop", "|```\nx\n```\n|error"},
    {NULL, "<tool_call>{\"name\":\"A\"}</tool_call>", "stop",
     "|<tool_call>{\"name\":\"A\"}</tool_call>|end_turn"},
    {"glm",
     "<tool_call>A\n<arg_key>s</arg_key>\n<arg_value>1</arg_value>"
     "<arg_key>n</arg_key><arg_value>2</arg_value></tool_call>",
     "tool_calls", "||A({\"s\":\"1\",\"n\":2})|tool_use"},
    {"glm", "<tool_call>A\n<arg_key>s</arg_key><arg_va", "stop", "||error"},
    {"glm",
     "<tool_call>A\n<arg_key>l</arg_key><arg_value>['x', True]</arg_value></tool_call>",
     "stop", "||A({\"l\":[\"x\",true]})|tool_use"},
    {"qwen3-coder",
     "<tool_call>\n<function=A>\n<parameter=s>\n<b>\n</parameter>\n<parameter=n>\n3\n"
     "</parameter>\n</function>\n</tool_call>",
     "stop", "||A({\"s\":\"<b>\",\"n\":3})|tool_use"},
    {"qwen3-coder",
     "<think>\n<function=A>\n<parameter=s>\n a\n\tb\n</parameter>\n</function></think>",
     "stop", "||A({\"s\":\" a\\n\\tb\"})|tool_use"},
    {"qwen3-coder", "so <function=A>\n<parameter=b>\nTrue\n</parameter>\n</function>",
     "stop", "|so |A({\"b\":true})|tool_use"},
    {"kimi-k2",
     "x<|tool_calls_section_begin|><|tool_call_begin|>functions.A:0"
     "<|tool_call_argument_begin|>{\"n\":1}<|tool_call_end|><|tool_calls_section_end|>",
     "stop", "|x|A({\"n\":1})|tool_use"},
    {"kimi-k2",
     "<|tool_calls_section_begin|><|tool_calls_section_begin|><|tool_call_begin|>A:0"
     "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_call_begin|>functions.A:1"
     "<|tool_call_argument_begin|>{\"n\":1}<|tool_call_end|>",
     "stop", "||A({})A({\"n\":1})|tool_use"},
    {"kimi-k2",
     "<|tool_call_begin|>tool_call_1<|tool_call_argument_begin|>{}<|tool_call_end|>",
     "stop", "||error"},
    {"kimi-k3",
     "go<|open|>tools<|sep|><|open|>call tool=\"A\" index=\"1\"<|sep|>"
     "<|open|>argument key=\"s\" type=\"string\"<|sep|> 5 <|close|>argument<|sep|>"
     "<|open|>argument key=\"n\" type=\"number\"<|sep|>6<|close|>argument<|sep|>"
     "<|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>",
     "stop", "|go|A({\"s\":\" 5 \",\"n\":6})|tool_use"},
    {"kimi-k3",
     "<|open|>think<|sep|>why<|close|>think<|sep|><|open|>response<|sep|>go<|close|>response"
     "<|sep|><|open|>call tool=\"A\" index=\"1\"<|sep|><|open|>json type=\"object\"<|sep|>"
     "{\"n\":6}<|close|>json<|sep|><|close|>call<|sep|>",
     "stop", "why|go|A({\"n\":6})|tool_use"},
    {"minimax",
     "<minimax:tool_call>\n<invoke name=\"A\">\n<parameter name=\"s\"></p></parameter>\n"
     "</invoke>\n</minimax:tool_call>",
     "stop", "||A({\"s\":\"</p>\"})|tool_use"},
    {"anthropic-xml",
     "<function_calls><invoke name=\"A\"><parameter name=\"n\">4</parameter>"
     "</invoke></function_calls>",
     "stop", "||A({\"n\":4})|tool_use"},
    {"anthropic-xml",
     "<" NS "function_calls>\n<" NS "invoke name=\"A\">\n<" NS
     "parameter name=\"s\">x\ny</" NS "parameter>\n</" NS "invoke>\n</" NS
     "function_calls>",
     "stop", "||A({\"s\":\"x\\ny\"})|tool_use"},
    {"deepseek-dsml",
     "<｜DSML｜tool_calls><｜DSML｜invoke name=\"A\"><｜DSML｜parameter name=\"s\" "
     "string=\"true\">5</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
     "stop", "||A({\"s\":\"5\"})|tool_use"},
    {"deepseek-dsml",
     "<|DSML|function_calls><|DSML|invoke name=\"A\"><|DSML|parameter name=\"n\" "
     "string=\"false\">5</|DSML|parameter></|DSML|invoke></|DSML|function_calls>",
     "stop", "||A({\"n\":5})|tool_use"},
    {"deepseek-v3",
     "ok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>A\n```json\n"
     "{\"n\":1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "stop", "|ok|A({\"n\":1})|tool_use"},
    {"deepseek-v3",
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>A<｜tool▁sep｜>{\"n\":1}<｜tool▁call▁end｜>\n"
     "<｜tool▁call▁begin｜>A<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "stop", "||A({\"n\":1})A({})|tool_use"},
    {"llama3", "{\"name\": \"A\", \"parameters\": {\"n\": \"1\"}}", "stop",
     "||A({\"n\": 1})|tool_use"},
    {"llama3",
     "<|python_tag|>{\"type\":\"function\",\"name\":\"A\",\"parameters\":{}}; "
     "{\"name\":\"A\",\"parameters\":{\"s\":\"a;}\"}}",
     "stop", "||A({})A({\"s\":\"a;}\"})|tool_use"},
    {"llama3", "{\"name\": \"Ann\", \"age\": 4}", "stop",
     "|{\"name\": \"Ann\", \"age\": 4}|end_turn"},
    {"llama3", "{\"age\": 4}", "stop", "|{\"age\": 4}|end_turn"},
    {"llama3", "I call {\"name\":\"A\",\"parameters\":{}}", "stop",
     "|I call {\"name\":\"A\",\"parameters\":{}}|end_turn"},
    {"llama3", "{\"name\": \"A\", \"parameters\": {\"n\"", "length", "||max_tokens"},
    {"llama3", "{\"name\": \"A\", \"parameters\": {\"n\": 1}", "stop",
     "||A({\"n\":1})|tool_use"},
    {"llama4", "[A(s=\"a, b)]\", n=2), A()]", "stop",
     "||A({\"s\":\"a, b)]\",\"n\":2})A({})|tool_use"},
    {"llama4", "<|python_start|>[A(l=['x', None], b=True)]<|python_end|>", "stop",
     "||A({\"l\":[\"x\",null],\"b\":true})|tool_use"},
    {"llama4", "[1] see there", "stop", "|[1] see there|end_turn"},
    {"llama4", "[other(1)]", "stop", "|[other(1)]|end_turn"},
    {"llama4", "[A(1)]", "stop", "||error"},
    {"mistral",
     "[TOOL_CALLS][{\"name\":\"A\",\"arguments\":{\"s\":\"]\"}},"
     " {\"name\":\"A\",\"arguments\":{}}]</s>",
     "stop", "||A({\"s\":\"]\"})A({})|tool_use"},
    {"mistral", "so [TOOL_CALLS]A[ARGS]{\"n\":1}[TOOL_CALLS]A[CALL_ID]x9[ARGS]{}", "stop",
     "|so |A({\"n\":1})A({})|tool_use"},
    {"gpt-oss",
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary "
     "to=functions.A <|constrain|>json<|message|>{\"n\":1}<|call|>",
     "stop", "hm||A({\"n\":1})|tool_use"},
    {"gpt-oss",
     "<|start|>assistant to=functions.A<|channel|>commentary json<|message|>{\"n\":1}",
     "stop", "||A({\"n\":1})|tool_use"},
    {"gpt-oss", "<|channel|>final<|message|>done<|return|>", "stop", "|done|end_turn"},
};

/* The same in thinking: what can be read is a call, all else a thought. */
static const struct {
	const char *format, *thinking, *text, *says;
} thought[] = {
    {"hermes", "I <tool_call>{\"name\":\"A\",\"arguments\":{}}</tool_call>", "",
     "I ||A({})|tool_use"},
    {"hermes", "write <tool_call>x</tool_call>", "a",
     "write <tool_call>x</tool_call>|a|end_turn"},
    {"hermes", "use <tool_call> for",
     "<tool_call>{\"name\":\"A\",\"arguments\":{}}</tool_call>",
     "use <tool_call> for||A({})|tool_use"},
    {"llama3", "{\"name\":\"A\",\"parameters\":{}}", "a",
     "{\"name\":\"A\",\"parameters\":{}}|a|end_turn"},
};

/* A text as deltas of that member, in pieces of that many bytes. */
static void add_chunks(struct cn_buf *b, const char *member, const char *text, size_t step)
{
	struct cn_view rest = cn_view_str(text);

	while (rest.n) {
		size_t n = step < rest.n ? step : rest.n;

		while (n < rest.n && ((unsigned char)rest.p[n] & 0xc0) == 0x80)
			n++;
		cn_buf_printf(b, "data: {\"choices\":[{\"delta\":{\"%s\":", member);
		cn_json_add_string(b, cn_view_cut(rest, n));
		cn_buf_add_str(b, "}}]}\n\n");
		rest = cn_view_from(rest, n);
	}
}

static unsigned check(const char *format, const char *thinking, const char *text,
                      const char *finish, const char *says)
{
	static const size_t steps[] = {1, 2, 3, 8, 4096};
	struct cn_decode_hints hints = {
	    .tools = cn_json_root(CN_VIEW(TOOLS)), .tool_format = format, .thinking = true};
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0}, b = {0};

		add_chunks(&b, "reasoning_content", thinking, steps[i]);
		add_chunks(&b, "content", text, steps[i]);
		cn_buf_printf(&b,
		              "data: {\"choices\":[{\"finish_reason\":\"%s\"}]}\n\n"
		              "data: [DONE]\n\n",
		              finish);
		ear_hear(&e, CN_WIRE_OPENAI_CHAT, cn_buf_view(&b), true, 4096, &hints);
		ear_say(&e, &got);
		if (e.wrong || !cn_view_is(cn_buf_view(&got), says))
			wrong += COMPLAIN(
			    "%s %s in steps of %zu: %s; got %.*s, expected %s\n", thinking,
			    text, steps[i], e.wrong ? e.wrong : "other events",
			    CN_VIEW_ARG(cn_buf_view(&got)), says);
	}
	return wrong;
}

static void calls_in_the_text_become_calls(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(marked) / sizeof(marked[0]); i++)
		wrong += check(marked[i].format, "", marked[i].text, marked[i].finish,
		               marked[i].says);
	assert_int_equal(wrong, 0);
}

static void calls_in_thinking_become_calls(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(thought) / sizeof(thought[0]); i++)
		wrong += check(thought[i].format, thought[i].thinking, thought[i].text,
		               "stop", thought[i].says);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(calls_in_the_text_become_calls),
	    cmocka_unit_test(calls_in_thinking_become_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
