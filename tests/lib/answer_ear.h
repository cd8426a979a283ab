/*
 * All that the answer of a decoder amounts to, for tests: what it says, and whether its
 * events came in an order that may be.
 */
#ifndef CONTINUO_TESTS_ANSWER_EAR_H
#define CONTINUO_TESTS_ANSWER_EAR_H

#include "continuo/dialect.h"

struct ear_tool {
	struct cn_buf id, name, input;
	size_t block;
	bool stopped;
};

/* Everything that one answer told. */
struct ear {
	struct cn_buf text, thinking, signature, log;
	struct ear_tool tools[160];
	size_t n_tools, n_blocks, n_open;
	struct cn_buf stop_reason, stop_sequence;
	struct cn_usage usage;
	unsigned starts, deltas, stops, errors, lives;
	struct cn_buf data; /* of redacted thinking, each with a line end */
	const char *wrong;  /* an order that must not be */
	struct cn_arena arena;
	struct cn_decoder *decoder;
};

void ear_done(struct ear *e);

/* A body through the decoder; of a stream in pieces of step bytes. */
void ear_hear(struct ear *e, enum cn_wire wire, struct cn_view body, bool stream,
              size_t step, const struct cn_decode_hints *hints);
/* Chat chunks by their deltas; '=' begins a finish reason, '!' a whole data line. */
void ear_hear_deltas(struct ear *e, const char *const *deltas,
                     const struct cn_decode_hints *hints);
/* thinking|text|name(input)…|stop reason, or what went wrong. */
void ear_say(const struct ear *e, struct cn_buf *b);

#endif
