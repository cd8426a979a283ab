/*
 * One well-formed client answer out of the events of one or several attempts.
 *
 * The splice knows what the client has been told (the ledger) and what is held back; it
 * never sees the network and never decides what happens next: the turn does.  Pure; time is
 * an argument.  One thread.
 *
 *   held      what an attempt produced that the client is not given yet; dropped when it
 * fails proved    the attempt has shown content: the turn may commit committed the first
 * event is among the output; from now on content goes out as it comes, but for tool calls,
 * which are held until they are whole and check ended     the attempt's message_stop was
 * seen; cn_splice_finish() writes the end
 */
#ifndef CONTINUO_SPLICE_H
#define CONTINUO_SPLICE_H

#include "continuo/charge.h"
#include "continuo/event.h"
#include "continuo/list.h"
#include "continuo/message.h"

#define CN_HELD_MAX ((size_t)256 << 10) /* held before commit, tool calls aside */
#define CN_TOOL_MAX ((size_t)1 << 20)   /* one held tool call */

/* ---- the ledger: what the client has been given in this turn ---- */

struct cn_block {
	struct cn_list link;
	enum cn_block_type type;
	size_t index;      /* the client's; meaningless while held */
	const char *model; /* borrowed: "backend/model" that wrote it */
	struct cn_view
	    start; /* the content_block object as it came; in the ledger's arena */
	struct cn_view id, name;  /* of a tool: the client's id; in the arena */
	struct cn_view origin_id; /* the backend's id when it differs; else empty */
	struct cn_buf body;       /* owned: text, thinking or input JSON */
	struct cn_buf signature;  /* owned */
	struct cn_buf extra; /* owned: deltas of other types, as JSON, comma separated */
	bool given;          /* the client has its start */
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

/* What a failure after commit must know (design/continuity.md "After commit"). */
struct cn_ledger {
	size_t n_given;      /* blocks that the client has begun to see */
	bool tool_delivered; /* a whole tool call: the turn can only be finished */
	bool tool_open;      /* a call given live that was not whole: it never can be */
	bool text_whole;     /* a whole text block */
	bool text_open;      /* a text block that was not closed */
	bool thinking_open;
};
struct cn_ledger cn_splice_ledger(const struct cn_splice *s);

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
	struct cn_charge *charge; /* borrowed */
};

struct cn_splice *cn_splice_new(const struct cn_splice_opts *opts);
struct cn_splice *cn_splice_free(struct cn_splice *s); /* returns NULL */

/* A new attempt begins: model is "backend/model" and stays valid as long as the splice. */
void cn_splice_begin(struct cn_splice *s, const char *model, uint64_t now_ms);
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
 * Ended with nothing to give: no text, no call.  judged: the stop reason was one that an
 * answer ends with normally, so that the class is `empty`; else see
 * cn_splice_stop_reason().
 */
bool cn_splice_empty(const struct cn_splice *s);
/* A tool call was cut by the output limit and nothing else was said. */
bool cn_splice_cut_tool(const struct cn_splice *s);
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

struct cn_view cn_splice_stop_reason(const struct cn_splice *s); /* as the client gets it */
const struct cn_usage *cn_splice_usage(const struct cn_splice *s);

#endif
