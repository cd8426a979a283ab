/*
 * The wire formats that backends speak, behind one table: whoever calls a backend knows its
 * path and hands over what came; how it reads is the dialect's own.
 *
 * A decoder is the state of one answer.  It tells the events of event.h in order: one
 * message_start, blocks, one message_delta, one message_stop; or an error.  Pure; one
 * thread at a time.
 */
#ifndef CONTINUO_DIALECT_H
#define CONTINUO_DIALECT_H

#include "continuo/event.h"
#include "continuo/json.h"

enum cn_wire {
	CN_WIRE_ANTHROPIC,
	CN_WIRE_OPENAI_CHAT
};

/* What the request and the policy know that helps to read the answer; all may be zero. */
struct cn_decode_hints {
	struct cn_json tools; /* the request's tools, checked text; borrowed as long as the
	                         decoder */
	struct cn_json stop_sequences; /* of the request; borrowed likewise */
	const char *tool_format; /* calls come as text of that family; NULL: as calls */
	uint64_t input_estimate; /* tokens of the request, until the backend counts them */
};

/* One event, valid for the call.  false: no more of them (the decoder is then finished). */
typedef bool (*cn_decode_fn)(void *self, const struct cn_event *ev);

struct cn_decoder_ops; /* private to wire/ */
struct cn_dialect {
	enum cn_wire wire;
	const char *path; /* of the endpoint, behind a base without /v1 */
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
/* Bytes that it holds, for a charge. */
size_t cn_decoder_held(const struct cn_decoder *d);

#endif
