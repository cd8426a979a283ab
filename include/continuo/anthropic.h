/*
 * The Anthropic Messages dialect (wire/anthropic-messages.md): the three functions that
 * each dialect has (encode a request, decode a backend's answer, encode events for the
 * client), and the error bodies that the client understands.
 */
#ifndef CONTINUO_ANTHROPIC_H
#define CONTINUO_ANTHROPIC_H

#include "continuo/dialect.h"

/*
 * The body as slices: byte for byte the client's but for the edits.  An assistant message
 * of which nothing would be left is removed.  Arena memory; slices borrow from the
 * request's body.
 */
struct cn_slices cn_anthropic_encode_request(struct cn_arena *a, const struct cn_request *r,
                                             const struct cn_edit *edit);

/*
 * Decodes one SSE event of a backend.  Returns 0 with *ret filled (views into data or the
 * arena), or CN_E_INVALID when the data is not what its type demands.  An event without a
 * name takes its data.type; [DONE] and unknown names come as CN_EV_UNKNOWN.
 */
int cn_anthropic_decode(struct cn_arena *a, struct cn_view name, struct cn_view data,
                        struct cn_event *ret, struct cn_error *reterr) CN_MUST_CHECK;
/*
 * Decodes a whole Message (a non-streaming answer) into the events that a stream of it
 * would have had, in order.  CN_E_INVALID when it is no Message.
 */
int cn_anthropic_decode_message(struct cn_arena *a, struct cn_view body,
                                void (*on_event)(void *self, const struct cn_event *ev),
                                void *self, struct cn_error *reterr) CN_MUST_CHECK;

/* ---- towards the client: canonical events, one writer (through cn_sse_add) ---- */

/*
 * message_start with usage numeric; id and model are ours to choose.  raw: the backend's
 * message object, whose unknown members are kept; empty without one.
 */
void cn_anthropic_add_start(struct cn_buf *b, struct cn_view id, struct cn_view model,
                            const struct cn_usage *usage, struct cn_view raw);
/* raw: the content_block object; its id is replaced when id is not empty. */
void cn_anthropic_add_block_start(struct cn_buf *b, size_t index, const struct cn_event *ev,
                                  struct cn_view id);
void cn_anthropic_add_delta(struct cn_buf *b, size_t index, const struct cn_event *ev);
void cn_anthropic_add_block_stop(struct cn_buf *b, size_t index);
/* raw: a backend's message_delta data whose unknown members are kept; empty without one. */
void cn_anthropic_add_message_delta(struct cn_buf *b, struct cn_view stop_reason,
                                    struct cn_view stop_sequence,
                                    const struct cn_usage *usage, struct cn_view raw);
void cn_anthropic_add_message_stop(struct cn_buf *b);
void cn_anthropic_add_ping(struct cn_buf *b);
void cn_anthropic_add_error(struct cn_buf *b, struct cn_view type, struct cn_view message,
                            struct cn_view request_id);

/* {"type":"error","error":{"type":…,"message":…},"request_id":…} as a response body. */
void cn_anthropic_error_body(struct cn_buf *b, struct cn_view type, struct cn_view message,
                             struct cn_view request_id);
/* error.type for an HTTP status, wire/anthropic-messages.md 8. */
const char *cn_anthropic_error_type(int status);
/* error.type and error.message of an error body; false when it is no such object. */
bool cn_anthropic_error_read(struct cn_arena *a, struct cn_view body,
                             struct cn_view *rettype, struct cn_view *retmessage);

#endif
