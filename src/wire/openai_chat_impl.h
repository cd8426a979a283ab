/* The state of the Chat Completions decoder, for the decoder that may hand over to it.
 * Private to wire/. */
#ifndef CONTINUO_OPENAI_CHAT_IMPL_H
#define CONTINUO_OPENAI_CHAT_IMPL_H

#include "compose_impl.h"

struct cn_chat {
	struct cn_composer out;
	struct cn_usage usage;
	struct cn_buf finish, stop_sequence; /* owned; empty: not said */
	bool cut;                            /* by a limit, says the provider behind it */
};

/* ---- openai_chat_chunk.c: members that mean something to us; NONE: not there ---- */

struct cn_chat_chunk {
	struct cn_json error, x_groq, object, choices, usage, id, model;
};
struct cn_chat_choice {
	struct cn_json index, delta, message, finish_reason, native_finish_reason;
	struct cn_json stop_reason, matched_stop, usage, error;
};
struct cn_chat_delta {
	struct cn_json content, reasoning_content, reasoning, reasoning_details, refusal;
	struct cn_json tool_calls, function_call;
};

struct cn_chat_chunk cn_chat__chunk(struct cn_json root);
struct cn_chat_choice cn_chat__choice(struct cn_json v);
struct cn_chat_delta cn_chat__delta(struct cn_json v);

/* ---- openai_chat_decode.c ---- */

/* Another format's stream says how the answer ended. */
void cn_chat__say_finish(struct cn_chat *c, struct cn_view reason);

#endif
