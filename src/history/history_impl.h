/* What the files of history/ share: one turn's step of an export. */
#ifndef CONTINUO_HISTORY_IMPL_H
#define CONTINUO_HISTORY_IMPL_H

#include "continuo/export.h"

/* How a turn's messages follow those of the turn before it in the thread. */
#define CN_EXPORT_WAYS(X)                                               \
	X(BEGINS, "", "the thread's first turn")                        \
	X(FOLLOWS, "", "continues where the last one stood")            \
	X(REWOUND, "rewound",                                           \
	  "the client went back and continues from an earlier message") \
	X(REPLACED, "replaced", "the client replaced its history (a summary, most likely)")

enum cn_export_way {
#define X(symbol, name, text) CN_WAY_##symbol,
	CN_EXPORT_WAYS(X)
#undef X
};
const char *cn_history__way_name(enum cn_export_way way);
const char *cn_history__way_text(enum cn_export_way way);

struct cn_export_step {
	const struct cn_turn_record *turn; /* borrowed */
	const char *thread;                /* "main", "side" or the agent's id */
	bool first;                        /* of the session */
	enum cn_export_way way;
	bool incomplete; /* messages are gone */
	/* In arena: messages that are new in the thread, oldest first. */
	struct cn_node *added;
	size_t n_added;
	bool copy; /* added[0] is the last answer as the client sent it back, changed */
	const struct cn_node *prefix; /* NULL: unchanged */
	const struct cn_node *answer; /* NULL: none */
};

/* Whether more than one model wrote the answer. */
bool cn_history__several_models(const struct cn_turn_record *t);
/* The pieces of one of its blocks, in order: their number, 0 when none is recorded. */
size_t cn_history__pieces(const struct cn_turn_record *t, size_t index,
                          const struct cn_block_record **ret);

/* export_text.c */
void cn_history__markdown(const struct cn_export_step *step, struct cn_buf *b);
void cn_history__transcript(const struct cn_export_step *step, struct cn_buf *b);

#endif
