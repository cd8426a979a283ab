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

/* Another format's stream says how the answer ended. */
void cn_chat__say_finish(struct cn_chat *c, struct cn_view reason);

#endif
