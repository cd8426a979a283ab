/*
 * Whose tool calls stand in a text (wire/provider-quirks.md 4): by the signs that only one
 * family writes.  For whoever finds out how a model calls tools; turns know it from the
 * policy.  Pure.
 */
#include "continuo/dialect.h"

const char *cn_toolmarkup_guess(struct cn_view text)
{
	/* What one family alone writes stands before what is at the root of several. */
	static const struct {
		const char *sign, *family;
	} signs[] = {
	    {"<|tool_call_begin|>", "kimi-k2"},
	    {"<|tool_calls_section_begin|>", "kimi-k2"},
	    {"<|open|>call tool=", "kimi-k3"},
	    {"<minimax:tool_call>", "minimax"},
	    {"｜DSML｜", "deepseek-dsml"},
	    {"<|DSML|", "deepseek-dsml"},
	    {"<｜tool▁call", "deepseek-v3"},
	    {"<arg_key>", "glm"},
	    {"<function=", "qwen3-coder"},
	    {"<tool_call>", "hermes"},
	    {"[TOOL_CALLS]", "mistral"},
	    {"<|python_start|>", "llama4"},
	    {"<|python_tag|>", "llama3"},
	    {"<|channel|>commentary to=functions.", "gpt-oss"},
	    {"function_calls>", "anthropic-xml"},
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (cn_view_find(text, cn_view_str(signs[i].sign), 0) != SIZE_MAX)
			return signs[i].family;
	return NULL;
}
