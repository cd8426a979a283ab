/* What the files of splice/ share.  Private to this folder. */
#ifndef CONTINUO_SPLICE_IMPL_H
#define CONTINUO_SPLICE_IMPL_H

#include "continuo/anthropic.h"
#include "continuo/splice.h"

/* More open at once than any backend has: they come one after the other. */
#define CN_OPEN_MAX 16
/* Of one turn: far more than any answer has, few enough to look at each. */
#define CN_BLOCKS_MAX 1024

/* A block of the running attempt whose content_block_stop was not seen yet. */
struct cn_open {
	size_t upstream;        /* index as the backend numbers it */
	struct cn_block *block; /* borrowed: in the splice's list */
};

struct cn_splice {
	struct cn_splice_opts opts;
	struct cn_arena arena; /* owns every view that outlives its event */
	struct cn_buf out;     /* for the client */
	struct cn_list
	    blocks; /* of cn_block: first those given, then those held, in order */
	size_t n_blocks, n_given;
	size_t charged; /* bytes of blocks charged to opts.charge */
	size_t kept;    /* bytes of the arena, charged to it too */

	/* The running attempt; re-initialised by attempt_reset() alone. */
	const struct cn_author *author; /* borrowed */
	struct cn_view upstream_id;     /* of its message_start; in arena */
	struct cn_view answered;        /* message.model; in arena */
	struct cn_view start_raw;       /* its message object; in arena */
	struct cn_open open[CN_OPEN_MAX];
	size_t n_open;
	size_t held_other;    /* bytes held that are neither thinking nor a tool call's */
	size_t held_thinking; /* bytes of thinking held */
	uint64_t thinking_since_ms; /* first thinking event; 0: none */
	const char *broken; /* a tool call did not check: why; decided by what follows */
	struct cn_block *broken_call; /* borrowed: it, if its stop was seen */
	struct cn_usage usage;
	bool counted; /* its last word on output was said */
	size_t gave;  /* bytes of content given to the client */
	struct cn_view stop_reason, stop_sequence; /* in arena */
	struct cn_view delta_raw;                  /* last message_delta; in arena */

	/* How far it got; each is entered once, in this order. */
	enum {
		CN_SPLICE_HOLDING,
		CN_SPLICE_COMMITTED,
		CN_SPLICE_OVER
	} stage;
	bool started; /* message_start of this attempt was seen or made up */
	bool ended;   /* its message_stop */
	bool cut_tool;

	/* Of the turn's earlier attempts, once one goes on. */
	struct cn_usage before;
	struct cn_view spare_reason, spare_sequence, spare_raw; /* in arena; none: empty */

	/* The attempt goes on from what was given; of the attempt, too. */
	bool continuing;
	struct cn_joint *joint;   /* owned; NULL: there is nothing to join, or no more */
	struct cn_block *joining; /* borrowed: the block whose text goes through it */
};

/* ---- splice.c ---- */

/* What each attempt starts from. */
void cn_splice__reset(struct cn_splice *s, const struct cn_author *author);
/* Appends to a block and charges it; a phrase when that is too much. */
const char *cn_splice__append(struct cn_splice *s, struct cn_block *block,
                              struct cn_buf *to, struct cn_view bytes);
/* Gives the client a block with all that it has gathered so far. */
void cn_splice__give(struct cn_splice *s, struct cn_block *block);
void cn_splice__write_stop(struct cn_splice *s, struct cn_block *block);

/* ---- call.c ---- */

/* Whether the call may be given; repairs it where that is certain.  may_close: it is known
 * not to have been cut. */
bool cn_splice__call_checks(struct cn_splice *s, struct cn_block *block, bool may_close);

/* ---- resume.c ---- */

/* The open block that a continuation goes on from; NULL: all are closed. */
struct cn_block *cn_splice__resumed(const struct cn_splice *s);
/* Whether thinking must wait, because text may go on in a block that is still open. */
bool cn_splice__thinking_waits(const struct cn_splice *s);
/* A text block of a continuation begins: the block its text goes to, or NULL for one of its
 * own. */
struct cn_block *cn_splice__join(struct cn_splice *s);
/* Text for s->joining. */
const char *cn_splice__join_text(struct cn_splice *s, struct cn_view text);
/* That text is over; s->joint is NULL then unless it was said again and the next text block
 * may hold more of it. */
const char *cn_splice__join_end(struct cn_splice *s);
/* Before a block of a continuation is given: closes what it does not go on from, and gives
 * the thinking that waited. */
void cn_splice__make_way(struct cn_splice *s, const struct cn_block *block);

/* ---- usage.c ---- */

/* Figures of an event of the running attempt. */
void cn_splice__take_usage(struct cn_splice *s, const struct cn_event *ev);
/* The running attempt is over: its figures become those of the turn so far. */
void cn_splice__add_up(struct cn_splice *s);
/* What the client is told: total, or an estimate where that says nothing. */
struct cn_usage cn_splice__told(const struct cn_splice *s);

/* ---- ledger.c ---- */

/* NULL when the memory budget is used up. */
struct cn_block *cn_splice__block_new(struct cn_splice *s, const struct cn_event *ev);
void cn_splice__block_free(struct cn_splice *s, struct cn_block *block);
/* Charges and copies what outlives its event; false when the memory budget is used up. */
bool cn_splice__keep(struct cn_splice *s, struct cn_view bytes, struct cn_view *ret);
/* Charges and appends; false when the memory budget is used up. */
bool cn_splice__add(struct cn_splice *s, struct cn_buf *to, struct cn_view bytes);
/* The block as a content block object. */
void cn_splice__block_json(const struct cn_block *block, struct cn_buf *b);
/* A block's type in the format's words. */
struct cn_view cn_splice__type(enum cn_block_type type);

#endif
