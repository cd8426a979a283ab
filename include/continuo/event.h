/*
 * The one internal model of an answer: what every dialect decodes to and what the splice
 * reads.  An event lives for the callback that gets it; all views are borrowed from then.
 */
#ifndef CONTINUO_EVENT_H
#define CONTINUO_EVENT_H

#include "continuo/view.h"

#define CN_EVENTS(X)                                                                    \
	X(MESSAGE_START, "message_start")                                               \
	X(BLOCK_START, "content_block_start")                                           \
	X(BLOCK_DELTA, "content_block_delta")                                           \
	X(BLOCK_STOP, "content_block_stop")                                             \
	X(MESSAGE_DELTA, "message_delta")                                               \
	X(MESSAGE_STOP, "message_stop")                                                 \
	X(PING, "ping")                                                                 \
	X(ERROR, "error")                                                               \
	X(PROGRESS, "") /* content came that is not told, or not yet: a sign of life */ \
	X(UNKNOWN, "")  /* an event of a name we do not know: passed over */

enum cn_event_kind {
#define X(symbol, name) CN_EV_##symbol,
	CN_EVENTS(X)
#undef X
};

enum cn_block_type {
	CN_BLOCK_TEXT,
	CN_BLOCK_THINKING,
	CN_BLOCK_REDACTED_THINKING,
	CN_BLOCK_TOOL_USE, /* the client runs it: a side effect in the world once delivered
	                    */
	CN_BLOCK_SERVER_TOOL, /* server_tool_use, mcp_tool_use and their results */
	CN_BLOCK_OTHER,       /* complete in its start event; passed on as it is */
};

enum cn_delta_type {
	CN_DELTA_TEXT,
	CN_DELTA_THINKING,
	CN_DELTA_SIGNATURE,
	CN_DELTA_INPUT_JSON,
	CN_DELTA_OTHER, /* citations, compaction, …: passed on as it is */
};

/* Token counts of a turn; has_* because a missing figure is not zero. */
struct cn_usage {
	uint64_t input, output, cache_read, cache_write;
	bool has_input, has_output, has_cache_read, has_cache_write;
};
/* Takes over the figures that from has. */
void cn_usage_merge(struct cn_usage *to, const struct cn_usage *from);

struct cn_event {
	enum cn_event_kind kind;
	size_t index; /* of blocks: as the backend numbers them */

	enum cn_block_type block; /* BLOCK_START */
	enum cn_delta_type delta; /* BLOCK_DELTA */
	/* BLOCK_DELTA: decoded text, thinking, signature or JSON fragment.  BLOCK_START:
	 * initial text */
	struct cn_view text;
	struct cn_view id,
	    name; /* BLOCK_START of a tool; MESSAGE_START: id, name = model */
	/*
	 * The part's own JSON as the backend sent it, so that fields we do not know
	 * survive: content_block, delta, the whole message_delta data.  Empty when a
	 * dialect made the event.
	 */
	struct cn_view raw;
	struct cn_view stop_reason;   /* MESSAGE_DELTA; empty: null or missing */
	struct cn_view stop_sequence; /* MESSAGE_DELTA */
	struct cn_usage usage;        /* MESSAGE_START, MESSAGE_DELTA */
	struct cn_view error_type, error_message; /* ERROR */
};

const char *cn_event_name(enum cn_event_kind kind);

#endif
