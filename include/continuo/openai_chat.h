/*
 * The OpenAI Chat Completions dialect (wire/openai-chat.md): a request encoded for it.  How
 * its answers are read: dialect.h.
 */
#ifndef CONTINUO_OPENAI_CHAT_H
#define CONTINUO_OPENAI_CHAT_H

#include "continuo/dialect.h"

/*
 * The client's request as a Chat Completions request: system prompt, messages in an order
 * that strict servers take (each call answered by one tool message right behind it, users
 * and assistant in turns), tools with cleaned schemas, limits, stops and the model's own
 * switch for thinking, all by the edit's quirks.  What the format cannot say is left out,
 * or said as a note in the text.  Valid JSON whatever the client sent; slices as of
 * cn_dialect.encode.
 */
struct cn_slices cn_openai_chat_encode_request(struct cn_arena *a,
                                               const struct cn_request *r,
                                               const struct cn_edit *edit);

#endif
