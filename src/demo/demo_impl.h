/*
 * What the files of this folder know of each other.
 */
#ifndef CONTINUO_DEMO_IMPL_H
#define CONTINUO_DEMO_IMPL_H

#include "continuo/demo.h"

/* What follows the last byte of an answer. */
enum cn_then {
	CN_THEN_READ, /* the connection is ready for the next request */
	CN_THEN_STAY, /* nothing, for ever */
	CN_THEN_CLOSE,
	CN_THEN_RESET
};

/* When the later bytes of an answer follow. */
enum cn_later {
	CN_LATER_NONE,
	CN_LATER_TIMER,   /* after_ms */
	CN_LATER_TRICKLE, /* one by one */
	CN_LATER_GO,      /* when the script's owner says so */
	CN_LATER_PINGS    /* a ping, again and again */
};

/* ---- answer.c: a step and a request as bytes ---- */

struct cn_answer {
	struct cn_buf now, later; /* owned */
	enum cn_later how;
	uint64_t after_ms;
	enum cn_then then;
};
/* The answer of s to the request of this head and body. */
void cn_demo__answer(const struct cn_step *s, struct cn_view head, struct cn_view body,
                     struct cn_answer *ret);

#endif
