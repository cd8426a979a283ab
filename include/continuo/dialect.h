/*
 * The wire formats that backends speak, behind one table: whoever calls a backend knows its
 * path, has the client's request encoded for it, and hands over what came; how a request is
 * written and an answer is read is the dialect's own.
 *
 * A decoder is the state of one answer.  It tells the events of event.h in order: one
 * message_start, blocks, one message_delta, one message_stop; or an error.  Pure; one
 * thread at a time.
 */
#ifndef CONTINUO_DIALECT_H
#define CONTINUO_DIALECT_H

#include "continuo/event.h"
#include "continuo/json.h"
#include "continuo/message.h"

enum cn_wire {
	CN_WIRE_ANTHROPIC,
	CN_WIRE_OPENAI_CHAT
};

/*
 * How backends deviate from what their format says, as data of the catalogue or of a policy
 * (wire/provider-quirks.md): each is read by the dialects, and by nobody who would have to
 * know a provider's name.  "Send" and "take" are seen from us: what we send it takes.
 */
#define CN_QUIRKS(X)                                                                       \
	/* of answers */                                                                   \
	X(OPEN_END, "open_end",                                                            \
	  "a stream without its last events whose blocks are all closed is whole")         \
	X(THINK_TAGS, "think_tags", "thinking arrives in the text as <think>...</think>")  \
	X(SILENT_CUT, "silent_cut", "prompts that are too long are cut without a word")    \
	/* of requests, both formats */                                                    \
	X(NO_ATTRIBUTION, "no_attribution",                                                \
	  "the client's attribution line means nothing there and is left out")             \
	X(FOLD_SYSTEM, "fold_system",                                                      \
	  "drops the system prompt: it goes into the first user message")                  \
	X(NO_SYSTEM_MESSAGES, "no_system_messages", "refuses role system inside messages") \
	X(NO_DEFERRED_TOOLS, "no_deferred_tools",                                          \
	  "knows neither defer_loading nor tool_reference")                                \
	X(AUTO_TOOL_CHOICE, "auto_tool_choice", "takes no tool_choice but auto")           \
	/* of Messages requests */                                                         \
	X(NO_DOCUMENTS, "no_documents", "knows neither document nor search_result")        \
	X(PLAIN_BLOCKS, "plain_blocks",                                                    \
	  "knows no blocks of tools that providers run, nor redacted_thinking")            \
	X(NO_CACHE_CONTROL, "no_cache_control", "refuses cache_control")                   \
	X(NO_ADAPTIVE_THINKING, "no_adaptive_thinking",                                    \
	  "knows thinking only as enabled or disabled")                                    \
	X(NO_THINKING_BUDGET, "no_thinking_budget",                                        \
	  "knows thinking only as adaptive or disabled")                                   \
	X(NO_EFFORT, "no_effort", "refuses output_config.effort")                          \
	/* of Chat Completions requests: where the address has its version */              \
	X(NO_V1, "no_v1", "the address has no /v1")                                        \
	/* limits and streams */                                                           \
	X(MAX_COMPLETION_TOKENS, "max_completion_tokens",                                  \
	  "wants max_completion_tokens in place of max_tokens")                            \
	X(NO_STREAM_OPTIONS, "no_stream_options", "refuses stream_options")                \
	/* tools */                                                                        \
	X(NO_TOOL_CHOICE, "no_tool_choice", "refuses tool_choice")                         \
	X(STRING_TOOL_CHOICE, "string_tool_choice", "takes tool_choice only as a word")    \
	X(FREE_CHOICE_THINKING, "free_choice_thinking",                                    \
	  "takes no forced tool_choice while it thinks")                                   \
	X(NO_PARALLEL_SWITCH, "no_parallel_switch", "refuses parallel_tool_calls")         \
	X(PARALLEL_BY_REQUEST, "parallel_by_request",                                      \
	  "makes calls one at a time unless parallel_tool_calls is sent")                  \
	X(NINE_CHARACTER_IDS, "nine_character_ids",                                        \
	  "takes ids of calls of nine letters and digits only")                            \
	X(TOOL_IMAGES, "tool_images", "takes images in the results of calls")              \
	X(NO_USER_AFTER_TOOL, "no_user_after_tool",                                        \
	  "refuses a user's text directly behind the results of calls")                    \
	/* content */                                                                      \
	X(FILES, "files", "takes documents as file parts")                                 \
	X(CACHE_CONTROL, "cache_control", "takes cache_control on parts of messages")      \
	X(PROMPT_CACHE_KEY, "prompt_cache_key",                                            \
	  "finds its prompt cache by prompt_cache_key")                                    \
	X(NO_NULL_CONTENT, "no_null_content", "refuses null as content")                   \
	X(NO_EMPTY_CONTENT, "no_empty_content", "refuses empty content")                   \
	/* sampling and stopping */                                                        \
	X(TOP_K, "top_k", "takes top_k")                                                   \
	X(NO_STOP, "no_stop", "refuses stop")                                              \
	X(ONE_STOP, "one_stop", "takes one stop sequence")                                 \
	X(JSON_OBJECT_ONLY, "json_object_only", "knows no json_schema as response_format") \
	/* thinking: the switch that it has */                                             \
	X(EFFORT, "effort", "thinks by reasoning_effort: low, medium, high")               \
	X(EFFORT_NO_MEDIUM, "effort_no_medium", "its efforts are low, high and max")       \
	X(EFFORT_XHIGH, "effort_xhigh", "its efforts go up to xhigh and max")              \
	X(EFFORT_NONE, "effort_none", "does not think with reasoning_effort none")         \
	X(EFFORT_NONE_WITH_TOOLS, "effort_none_with_tools",                                \
	  "takes tools only with reasoning_effort none")                                   \
	X(THINKING_TYPE, "thinking_type", "thinks by thinking: {type}")                    \
	X(ENABLE_THINKING, "enable_thinking", "thinks by enable_thinking")                 \
	X(REASONING_OBJECT, "reasoning_object", "thinks by reasoning: {effort}")           \
	X(TEMPLATE_THINKING, "template_thinking",                                          \
	  "thinks by chat_template_kwargs: {enable_thinking}")                             \
	X(ALWAYS_THINKS, "always_thinks", "its thinking cannot be switched off")           \
	/* thinking of earlier answers */                                                  \
	X(REASONING_CONTENT_BACK, "reasoning_content_back",                                \
	  "wants its thinking back as reasoning_content")                                  \
	X(REASONING_BACK, "reasoning_back", "wants its thinking back as reasoning")        \
	X(REASONING_DETAILS_BACK, "reasoning_details_back",                                \
	  "wants its thinking back as reasoning_details")                                  \
	X(REASONING_DEMANDED, "reasoning_demanded",                                        \
	  "refuses calls of earlier answers that have no thinking beside them")            \
	X(CALL_SIGNATURES, "call_signatures",                                              \
	  "refuses calls of earlier answers without its thought signature")                \
	/* schemas of tools */                                                             \
	X(SCHEMA_SUBSET, "schema_subset",                                                  \
	  "knows few keywords of JSON Schema, no $ref and one type a value")               \
	X(SCHEMA_BARE_ANYOF, "schema_bare_anyof", "takes no type beside anyOf")            \
	X(SCHEMA_OPEN, "schema_open", "takes no additionalProperties")                     \
	X(SCHEMA_GRAMMAR, "schema_grammar",                                                \
	  "makes a grammar of schemas: no pattern, no format, no large bounds")            \
	/* going on with an answer: what says that the last message is its beginning */    \
	X(PREFIX_FLAG, "prefix_flag", "goes on behind a message with prefix: true")        \
	X(PARTIAL_FLAG, "partial_flag", "goes on behind a message with partial: true")     \
	X(CONTINUE_FLAG, "continue_flag", "goes on by continue_final_message")

enum cn_quirk {
#define X(symbol, name, meaning) CN_QUIRK_##symbol,
	CN_QUIRKS(X)
#undef X
	CN_N_QUIRKS /* at most 64: a set of them is a uint64_t */
};
static inline uint64_t cn_quirk_bit(enum cn_quirk q)
{
	return (uint64_t)1 << q;
}

/* ---- requests ---- */

/* A member to add to a request; value is raw JSON. */
struct cn_edit_member {
	const char *name, *value;
};

/* How a prompt of the policy goes with the client's system prompt. */
enum cn_prompt_how {
	CN_PROMPT_NONE,
	CN_PROMPT_PREPEND,
	CN_PROMPT_APPEND,
	CN_PROMPT_REPLACE
};

/* What the policy demands of a request on its way to one model. */
struct cn_edit {
	struct cn_view model;  /* the id there; empty: leave what the client asked for */
	bool stream;           /* "stream": this, whatever the client said */
	bool keep_stream;      /* leave "stream" alone (count_tokens has none) */
	uint64_t max_tokens;   /* 0: leave; else replace (the caller clamped it) */
	struct cn_view effort; /* empty: leave; else output_config.effort */
	/* Raw messages to put behind the last one, without a comma at either end; empty:
	 * none. */
	struct cn_view append;
	bool prefill; /* the last message is the beginning of the answer: it is gone on with
	               */
	/* Top-level members of the client's request that are not sent: names, n of them. */
	const char *const *drop;
	size_t n_drop;
	const struct cn_edit_member *add; /* and such that are sent besides */
	size_t n_add;
	uint64_t quirks; /* of the model: a set of enum cn_quirk */
	bool images;     /* the model takes them */
	enum cn_prompt_how prompt_how;
	struct cn_view prompt;  /* text, not JSON; not empty unless NONE */
	struct cn_view session; /* a stable name of the conversation; may be empty */
	/*
	 * Thinking blocks of earlier answers that this backend must not get.  Called for
	 * each thinking or redacted_thinking block; true removes it.  NULL keeps all.
	 */
	bool (*drop_thinking)(void *self, const struct cn_thought *thought);
	/*
	 * A call's id that is one of ours (ids.h), in calls and results: true with the id
	 * that this backend gave it.  NULL leaves all.
	 */
	bool (*call_id)(void *self, struct cn_view id, struct cn_view *ret);
	void *self;
};

/* ---- answers ---- */

/* The families of models whose calls may come as text (wire/provider-quirks.md 4): the name
 * that a policy gives them, and what their calls look like. */
#define CN_TOOL_FORMATS(X)                                   \
	X("hermes", "<tool_call>{…}</tool_call>")            \
	X("qwen3-coder", "<function=N><parameter=K>")        \
	X("glm", "<arg_key>K</arg_key>")                     \
	X("kimi-k2", "<|tool_call_begin|>functions.N:0")     \
	X("kimi-k3", "<|open|>call tool=\"N\"")              \
	X("minimax", "<minimax:tool_call>")                  \
	X("deepseek-dsml", "DSML")                           \
	X("deepseek-v3", "tool_calls_begin")                 \
	X("llama3", "{\"name\":…,\"parameters\":…}")         \
	X("llama4", "[n(k=\"v\")]")                          \
	X("mistral", "[TOOL_CALLS]")                         \
	X("gpt-oss", "<|channel|>commentary to=functions.N") \
	X("anthropic-xml", "<function_calls><invoke name=\"N\">")

/* What the request and the policy know that helps to read the answer; all may be zero. */
struct cn_decode_hints {
	struct cn_json tools; /* the request's tools, checked text; borrowed as long as the
	                         decoder */
	struct cn_json stop_sequences; /* of the request; borrowed likewise */
	const char *tool_format; /* calls come as text of that family; NULL: as calls */
	uint64_t input_estimate; /* tokens of the request, until the backend counts them */
	uint64_t quirks;         /* of the model */
	bool thinking;           /* the client wants to have it */
	bool one_call;           /* the client wants one call at a time */
};

/* One event, valid for the call.  false: no more of them (the decoder is then finished). */
typedef bool (*cn_decode_fn)(void *self, const struct cn_event *ev);

struct cn_decoder_ops; /* private to wire/ */
struct cn_dialect {
	enum cn_wire wire;
	const char *path; /* of the endpoint, behind a base without /v1 */
	/*
	 * The request of the client for a backend of this dialect, as slices in the arena
	 * that borrow from the request's body, the edit and the arena.  Of the same dialect
	 * it is the client's bytes but for the edits.
	 */
	struct cn_slices (*encode)(struct cn_arena *a, const struct cn_request *r,
	                           const struct cn_edit *edit);
	const struct cn_decoder_ops *ops;
};
const struct cn_dialect *cn_dialect_of(enum cn_wire wire);

struct cn_decoder;
/* hints may be NULL: nothing is known.  self is borrowed. */
struct cn_decoder *cn_decoder_new(const struct cn_dialect *dialect,
                                  const struct cn_decode_hints *hints,
                                  cn_decode_fn on_event, void *self);
struct cn_decoder *cn_decoder_free(struct cn_decoder *d); /* returns NULL */
/*
 * One event of a stream: none, one or several events are told.  Their views are of name,
 * data or the arena.  CN_E_INVALID when it cannot be read.  After an error event nothing
 * more comes.
 */
int cn_decoder_event(struct cn_decoder *d, struct cn_arena *a, struct cn_view name,
                     struct cn_view data, struct cn_error *reterr) CN_MUST_CHECK;
/*
 * A whole answer, as the events that a stream of it would have had.  CN_E_INVALID when it
 * is none; events may have been told by then.
 */
int cn_decoder_whole(struct cn_decoder *d, struct cn_arena *a, struct cn_view body,
                     struct cn_error *reterr) CN_MUST_CHECK;
/*
 * The stream is over without its last word.  Where everything but that was said the answer
 * is ended here, by events; true then.
 */
bool cn_decoder_end(struct cn_decoder *d, struct cn_arena *a);
/*
 * Whether it ended the answer where the client wanted the end: what the backend still says
 * is of no use to anyone.
 */
bool cn_decoder_cut_short(const struct cn_decoder *d);
/* Why an answer that was well formed cannot be used; a constant, or NULL: it was not. */
const char *cn_decoder_wrong(const struct cn_decoder *d);
/* Bytes that it holds, for a charge. */
size_t cn_decoder_held(const struct cn_decoder *d);

/* The tool_format whose calls stand in a text that was told as text; NULL: none do. */
const char *cn_toolmarkup_guess(struct cn_view text);

#endif
