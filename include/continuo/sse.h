/*
 * Server-sent events: one reader, one writer.
 *
 * The reader takes any chunking and every framing of wire/claude-code-client.md 7.5 (LF,
 * CRLF, CR, BOM, comments, no space after the colon, several data lines, id and retry
 * lines).  Like the standard, an event without its blank line is not dispatched.  It is
 * bounded: a line of 1 MiB, an event of 4 MiB, 20 000 events a second (design/security.md
 * 7).
 */
#ifndef CONTINUO_SSE_H
#define CONTINUO_SSE_H

#include "continuo/buf.h"

#define CN_SSE_MAX_LINE  ((size_t)1 << 20)
#define CN_SSE_MAX_EVENT ((size_t)4 << 20)
#define CN_SSE_MAX_RATE  20000 /* events (comments count too) in one second */

struct cn_sse_event {
	struct cn_view name; /* of the event: line; empty without one; valid for the call */
	struct cn_view data; /* data lines joined with LF; valid for the call */
	bool comment;        /* a comment line: data is its text, name is empty */
};

/* Returns false to stop the reader: cn_sse_feed() then returns CN_E_INVALID at once. */
typedef bool (*cn_sse_fn)(void *self, const struct cn_sse_event *ev);

struct cn_sse {
	cn_sse_fn on_event; /* borrowed */
	void *self;         /* borrowed */
	struct cn_buf line; /* the unfinished line; complete lines are read in place */
	struct cn_buf data; /* the unfinished event's data */
	struct cn_buf name;
	bool has_data, seen_cr, past_bom;
	int failed;             /* what every further feed returns */
	unsigned rate;          /* events in this second */
	uint64_t rate_since_ms; /* monotonic */
};

void cn_sse_init(struct cn_sse *s, cn_sse_fn on_event, void *self);
void cn_sse_done(struct cn_sse *s);
/*
 * Feeds bytes; on_event runs inside, in order.  CN_E_LIMIT over a limit, CN_E_INVALID when
 * a callback said stop; the reader is then finished and returns the same again.
 */
int cn_sse_feed(struct cn_sse *s, struct cn_view bytes, uint64_t now_ms,
                struct cn_error *reterr) CN_MUST_CHECK;
/* Whether bytes of an undispatched event are waiting (a cut stream). */
bool cn_sse_pending(const struct cn_sse *s);

/*
 * Writes one event.  name has no line break (asserted); line breaks in data become further
 * data: lines, so that no upstream can forge an event.
 */
void cn_sse_add(struct cn_buf *b, const char *name, struct cn_view data);
/* ": text\n\n" with line breaks of text replaced by spaces. */
void cn_sse_add_comment(struct cn_buf *b, struct cn_view text);

#endif
