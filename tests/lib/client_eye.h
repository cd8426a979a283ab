/*
 * A client that reads an answer strictly: whatever it gets, it says what is wrong with it.
 */
#ifndef CONTINUO_TESTS_CLIENT_EYE_H
#define CONTINUO_TESTS_CLIENT_EYE_H

#include "continuo/arena.h"
#include "continuo/event.h"

struct client_call {
	struct cn_view id, name, input; /* in arena */
	bool whole;
};

#define CLIENT_CALLS_MAX 64

struct client_eye {
	struct cn_arena arena;
	struct cn_buf text;   /* of all text blocks, apart by an empty line */
	struct cn_buf blocks; /* of all blocks: type, content, '\n': what to compare */
	struct cn_buf body;   /* of the open block */
	struct client_call calls[CLIENT_CALLS_MAX];
	size_t n_calls;
	size_t n_blocks;
	bool started, open, delta, stopped, error;
	enum cn_block_type type;                   /* of the open block */
	struct cn_view stop_reason, stop_sequence; /* in arena */
	uint64_t output;
	const char *wrong; /* the first thing that is; NULL: nothing */
};

/* Reads all of it.  Nothing at all is not wrong: no answer was begun. */
void client_eye_read(struct client_eye *c, struct cn_view bytes);
void client_eye_done(struct client_eye *c);

#endif
