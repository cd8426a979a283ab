/*
 * A model that is asked to go on with another's answer, in each of the ways that models
 * have, and that knows what the client must have in the end.
 */
#ifndef CONTINUO_TESTS_STUB_MODEL_H
#define CONTINUO_TESTS_STUB_MODEL_H

#include "continuo/splice.h"

#include "answer.h"

#define STUB_WAYS(X)                                                   \
	X(EXACT, "begins with the anchor")                             \
	X(QUOTES, "begins with the anchor in other quotes and spaces") \
	X(LONGER, "repeats more than the anchor")                      \
	X(RESTART, "says the whole answer again")                      \
	X(INTRO, "says that it continues")                             \
	X(IGNORES, "says something else")                              \
	X(CALLS, "goes straight to a tool call")

enum stub_way {
#define X(name, what) STUB_##name,
	STUB_WAYS(X)
#undef X
	STUB_N_WAYS,
};
const char *stub_way_name(enum stub_way way);

struct stub_question {
	enum cn_resume how;
	enum stub_way way;
	struct cn_view given;       /* all text that the client has */
	struct cn_view anchor;      /* as it was quoted */
	bool asked;                 /* the partial answer was sent: there is text in it */
	bool closed;                /* the last text block is closed at the client's */
	const struct answer *whole; /* what the answer was to be; given is its beginning */
};

struct stub_reply {
	struct answer said;
	struct answer whole; /* what the client has of the answer when all was said */
	bool exact; /* false: the format leaves it open, only given is sure to be kept */
};

void stub_reply(struct cn_arena *a, struct dice *d, const struct stub_question *q,
                struct stub_reply *ret);

#endif
