/*
 * What backends say in many words and both formats: why an answer ended, and counts of
 * tokens (wire/openai-chat.md 6).  Pure.
 */
#include "wire_impl.h"

/* No window and no bill holds more; what says so counted something else. */
#define FIGURE_MAX ((uint64_t)1 << 30)

enum cn_stop_meaning cn_wire__stop_meaning(struct cn_view reason)
{
	static const struct {
		const char *word;
		enum cn_stop_meaning meaning;
	} words[] = {
	    {"length", CN_STOP_CUT},
	    {"max_tokens", CN_STOP_CUT},
	    {"model_length", CN_STOP_CUT},
	    {"max_output_tokens", CN_STOP_CUT},
	    {"model_context_window_exceeded", CN_STOP_WINDOW},
	    {"tool_calls", CN_STOP_CALLS},
	    {"function_call", CN_STOP_CALLS},
	    {"tool_use", CN_STOP_CALLS},
	    {"content_filter", CN_STOP_REFUSAL},
	    {"sensitive", CN_STOP_REFUSAL},
	    {"safety", CN_STOP_REFUSAL},
	    {"recitation", CN_STOP_REFUSAL},
	    {"prohibited_content", CN_STOP_REFUSAL},
	    {"refusal", CN_STOP_REFUSAL},
	    {"insufficient_system_resource", CN_STOP_FAILURE},
	    {"network_error", CN_STOP_FAILURE},
	    {"error", CN_STOP_FAILURE},
	    {"abort", CN_STOP_FAILURE},
	    {"repetition", CN_STOP_FAILURE},
	    {"engine_overloaded", CN_STOP_OVERLOADED},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (cn_view_eq_nocase(reason, cn_view_str(words[i].word)))
			return words[i].meaning;
	return CN_STOP_NORMAL;
}

bool cn_wire__figure(struct cn_json usage, const char *key, uint64_t *ret)
{
	return cn_json_u64(cn_json_get(usage, key), ret) && *ret < FIGURE_MAX;
}
