/*
 * A model's answer as its parts, made from a seed or read from a recorded stream, and
 * written as the stream that a backend would send.
 */
#ifndef CONTINUO_TESTS_ANSWER_H
#define CONTINUO_TESTS_ANSWER_H

#include "continuo/arena.h"
#include "continuo/event.h"

#include "dice.h"

#define ANSWER_PARTS_MAX 256

/* The tools that answers made from a seed call. */
#define ANSWER_TOOLS                                                                         \
	"{\"name\":\"Read\",\"input_schema\":{\"type\":\"object\",\"required\":[\"path\"]}}" \
	",{\"name\":\"Write\",\"input_schema\":{\"type\":\"object\","                        \
	"\"required\":[\"path\",\"content\"]}}"

struct answer_part {
	enum cn_block_type type;
	struct cn_view body; /* text, thinking, or the input of a call; in arena */
	struct cn_view id, name;
	struct cn_view signature;
};

struct answer {
	struct answer_part parts[ANSWER_PARTS_MAX];
	size_t n;
	struct cn_view stop_reason, stop_sequence; /* empty: the stream does not say */
	uint64_t input, output;
};

/* Another part, empty. */
struct answer_part *answer_add(struct answer *to, enum cn_block_type type);
/* All text, parts with any apart by an empty line: as cn_splice_text() would say it. */
void answer_text(const struct answer *from, struct cn_buf *b);

/* ---- from a seed (answer_make.c) ---- */

/* Thinking, texts and calls as models mix them. */
void answer_make(struct cn_arena *a, struct dice *d, struct answer *ret);
/* Prose, code, lists, tables, white space, a character: what a text may be. */
struct cn_view answer_make_text(struct cn_arena *a, struct dice *d);
/* A call whose input no other has. */
void answer_make_call(struct cn_arena *a, struct dice *d, struct answer *to);
/* A sentence that begins with white space, for a text that somebody goes on with. */
struct cn_view answer_make_more(struct cn_arena *a, struct dice *d);

/* ---- as a stream (answer_stream.c) ---- */

/* The names of the calls are appended to tools, as declarations: [,{"name":"x"}…]. */
void answer_read(struct cn_arena *a, struct cn_view stream, struct answer *ret,
                 struct cn_buf *tools);
/* In deltas, framing and pings as chance will. */
void answer_write(const struct answer *from, struct dice *d, struct cn_buf *b);

#endif
