/*
 * One well-formed client answer out of the events of one or several attempts.
 *
 * The splice knows what the client has been told (the ledger) and what is held back; it
 * never sees the network and never decides what happens next: the turn does.  Pure; time is
 * an argument.  One thread.
 *
 *   held       what an attempt produced that the client is not given yet; dropped when it
 * fails proved     the attempt has shown content: the turn may commit committed  the first
 * event is among the output; from now on content goes out as it comes, but for tool calls,
 * which are held until they are whole and check continued  a later attempt goes on from
 * what was given (joint.h) ended      the attempt's message_stop was seen;
 * cn_splice_finish() writes the end
 */
#ifndef CONTINUO_SPLICE_H
#define CONTINUO_SPLICE_H

#include "continuo/charge.h"
#include "continuo/event.h"
#include "continuo/joint.h"
#include "continuo/list.h"
#include "continuo/message.h"

#define CN_HELD_MAX ((size_t)256 << 10) /* held before commit, tool calls aside */
#define CN_TOOL_MAX ((size_t)1 << 20)   /* one held tool call */

/* ---- the ledger: what the client has been given in this turn ---- */

/* The model that writes, as the turn names it. */
struct cn_author {
	const char *model;  /* "backend/model" */
	const char *issuer; /* whom its signatures belong to */
	uint64_t window;    /* tokens; 0: not known */
};

/* A joint inside a text block. */
struct cn_part {
	const struct cn_author *author; /* borrowed */
	size_t at;                      /* byte of the block's body where it begins */
	enum cn_joint_found found;      /* how it was joined */
};

struct cn_block {
	struct cn_list link;
	enum cn_block_type type;
	size_t index;                   /* the client's; meaningless while held */
	const struct cn_author *author; /* borrowed: who began it */
	struct cn_part *parts; /* owned: where others went on, in order; NULL: nobody did */
	size_t n_parts;
	struct cn_view
	    start; /* the content_block object as it came; in the ledger's arena */
	struct cn_view id, name;  /* of a tool: the client's id; in the arena */
	struct cn_view origin_id; /* the backend's id when it differs; else empty */
	struct cn_buf body;       /* owned: text, thinking or input JSON */
	struct cn_buf signature;  /* owned */
	struct cn_buf extra; /* owned: deltas of other types, as JSON, comma separated */
	bool given;          /* the client has its start */
	bool cut;            /* closed by us: its author never did */
	bool whole;          /* its stop was given (or, while held, was seen) */
};

/*
 * The answer's content array as JSON: the blocks given to the client, in order.  whole_only
 * leaves out what was cut off.
 */
struct cn_splice;
void cn_splice_content(const struct cn_splice *s, bool whole_only, struct cn_buf *b);
/* Visits the blocks given, in order. */
void cn_splice_blocks(const struct cn_splice *s,
                      void (*each)(void *self, const struct cn_block *block), void *self);

/* What follows when the stream is lost after the commit (design/continuity.md). */
enum cn_fate {
	CN_FATE_CONTINUE, /* another attempt goes on from the last block given */
	CN_FATE_TOOL_USE, /* a whole call was given: cn_splice_finish_tool_use() */
	CN_FATE_END,      /* all of it was said but message_stop: cn_splice_finish() */
	CN_FATE_FAIL,     /* what was given cannot be gone on from: cn_splice_fail() */
};
enum cn_fate cn_splice_fate(const struct cn_splice *s);
/* Whether a later attempt can go on with what was given: text and thinking alone. */
bool cn_splice_may_go_on(const struct cn_splice *s);
/* Blocks that the client has begun to see. */
size_t cn_splice_given(const struct cn_splice *s);
/* All text given, blocks apart by an empty line: what a joint matches. */
void cn_splice_text(const struct cn_splice *s, struct cn_buf *b);
/*
 * The text given as the content array of an assistant message, without the white space at
 * its end (backends refuse it); "[]" when there is none.
 */
void cn_splice_partial(const struct cn_splice *s, struct cn_buf *b);

/* ---- life ---- */

struct cn_splice_opts {
	struct cn_view message_id; /* fresh; borrowed */
	struct cn_view model;      /* what message.model says; borrowed */
	bool model_answered;       /* say the answering model's id instead */
	struct cn_json tools;      /* of the request; borrowed */
	struct cn_view messages;   /* raw, of the request: ids in use; borrowed */
	bool tool_calls_live;
	bool gathers; /* the client gets the Message whole: holding has no limit */
	uint64_t hold_thinking_ms;
	/*
	 * Tokens of the request as we weighed it, and the least of that (estimate.h): what
	 * the client is told where a backend's figure is missing or cannot be.  0: figures
	 * are passed on as they come.
	 */
	uint64_t estimate, least;
	bool reads_more; /* the provider adds to it: pages that its tools find, files */
	uint64_t max_tokens;
	struct cn_charge *charge; /* borrowed */
};

struct cn_splice *cn_splice_new(const struct cn_splice_opts *opts);
struct cn_splice *cn_splice_free(struct cn_splice *s); /* returns NULL */

/* A new attempt begins from nothing.  author stays valid as long as the splice. */
void cn_splice_begin(struct cn_splice *s, const struct cn_author *author);

/* What an attempt that goes on after the commit was asked for. */
enum cn_resume {
	CN_RESUME_ASKED,   /* to go on, beginning with the anchor */
	CN_RESUME_PREFILL, /* to go on from the last character */
	CN_RESUME_ANEW,    /* the same as before: its text is a block of its own */
};
/*
 * A new attempt goes on from what was given; what was held of the last one is gone, and its
 * output tokens count for the turn.  false: the memory budget does not allow it.
 */
bool cn_splice_continue(struct cn_splice *s, const struct cn_author *author,
                        enum cn_resume how) CN_MUST_CHECK;
/* Whether the running attempt is one that goes on. */
bool cn_splice_continuing(const struct cn_splice *s);
/* Bytes of content that the client was given of the running attempt. */
size_t cn_splice_gave(const struct cn_splice *s);
/* Output tokens of the turn so far, counted or estimated, without the running attempt. */
uint64_t cn_splice_spent(const struct cn_splice *s);
/*
 * An earlier attempt ended in its own way and was gone on from all the same (a ceiling, a
 * weak end): if nobody goes on, the turn may end as that one did.
 */
bool cn_splice_deliverable(const struct cn_splice *s);
/* Takes that ending back as the turn's; only if deliverable. */
void cn_splice_deliver(struct cn_splice *s);

/*
 * One event of the attempt.  NULL, or a constant phrase: the attempt is malformed_stream.
 * ERROR, PING and UNKNOWN events are not for the splice and are passed over.
 */
const char *cn_splice_feed(struct cn_splice *s, const struct cn_event *ev, uint64_t now_ms);
/* Whether the attempt has proved itself (also by having thought long enough). */
bool cn_splice_proved(const struct cn_splice *s, uint64_t now_ms);
/* When held thinking alone will be proof (monotonic ms); UINT64_MAX: not thinking. */
uint64_t cn_splice_thinking_proves_at(const struct cn_splice *s);
/* Bytes of the answer that are in memory, given to the client or not. */
size_t cn_splice_held(const struct cn_splice *s);
bool cn_splice_committed(const struct cn_splice *s);
/* message_stop was seen. */
bool cn_splice_ended(const struct cn_splice *s);
/*
 * The attempt ended normally with nothing to give: no text, no call; of one that goes on,
 * nothing new.
 */
bool cn_splice_empty(const struct cn_splice *s);
/* A tool call was cut by the output limit and nothing else was said. */
bool cn_splice_cut_tool(const struct cn_splice *s);
/* Whether a call was given to the client in this turn. */
bool cn_splice_called(const struct cn_splice *s);
/* Everything held goes to the output.  Only once, and only after cn_splice_begin(). */
void cn_splice_commit(struct cn_splice *s);
/* The attempt failed: what is held is dropped.  Before the commit nothing of it remains. */
void cn_splice_drop(struct cn_splice *s);

/* Bytes for the client; take them with cn_buf_clear() or cn_buf_consume(). */
struct cn_buf *cn_splice_out(struct cn_splice *s);

/* ---- the end; one of these, once ---- */

/* Closes what is open, writes message_delta and message_stop with the turn's own figures.
 */
void cn_splice_finish(struct cn_splice *s);
/* The same after a failure, when a whole tool call was delivered: stop_reason tool_use. */
void cn_splice_finish_tool_use(struct cn_splice *s);
/* Closes an open text block that has text, then an `error` event. */
void cn_splice_fail(struct cn_splice *s, struct cn_view type, struct cn_view message,
                    struct cn_view request_id);
/* The whole Message of an ended, committed answer, for a client that did not stream. */
void cn_splice_message(const struct cn_splice *s, struct cn_buf *b);

/* What the attempt called its model; empty: it did not say. */
struct cn_view cn_splice_answered(const struct cn_splice *s);
struct cn_view cn_splice_stop_reason(const struct cn_splice *s); /* as the client gets it */
/* Of the attempt, as its backend counted; without figures that cannot be. */
const struct cn_usage *cn_splice_usage(const struct cn_splice *s);
/* Of the turn: output added up, input as the attempt that reported it first. */
struct cn_usage cn_splice_total(const struct cn_splice *s);

#endif
