/*
 * What a backend's answer means: the tables of wire/fallback-rules.md 2, 3 and 4, in the
 * order that page gives.  Pure.
 */
#ifndef CONTINUO_CLASSIFY_H
#define CONTINUO_CLASSIFY_H

#include "continuo/arena.h"
#include "continuo/outcome.h"

/* A response head's fields that matter; empty views where missing. */
struct cn_answer_head {
	int status;
	struct cn_view content_type, content_encoding, server, cf_ray;
	struct cn_view retry_after, retry_after_ms;
	struct cn_view unified_status, unified_reset; /* anthropic-ratelimit-unified-* */
	struct cn_view
	    ratelimit_reset; /* x-ratelimit-reset-requests / -tokens, the later */
	struct cn_view should_retry;
	struct cn_view request_id;
};

/* Who is being judged: some rules hold for one kind of backend. */
struct cn_answer_context {
	/*
	 * The plan's first backend, of the client's format, that got the client's own body:
	 * a request that it refuses is the client's to mend (no_retry).
	 */
	bool own_body;
	bool local; /* loopback or private network */
	uint64_t wall_ms;
};

/*
 * An answer with status >= 300, or a 200 whose body is an error object.  body: at most the
 * first 64 KiB.  The result's strings are in the arena.  Sets class, scope, repair, limits,
 * retry_after_ms, no_retry, reason, http_status, message; not the transport fields.
 */
struct cn_outcome cn_classify_answer(struct cn_arena *a, const struct cn_answer_head *head,
                                     struct cn_view body,
                                     const struct cn_answer_context *ctx);

/* An `error` event inside a stream. */
struct cn_outcome cn_classify_event(struct cn_arena *a, struct cn_view type,
                                    struct cn_view message,
                                    const struct cn_answer_context *ctx);

/* What ended a transfer without the protocol's own word. */
enum cn_transport {
	CN_TP_RESOLVE, /* name not found */
	CN_TP_REFUSED, /* connection refused or unreachable */
	CN_TP_CONNECT_TIMEOUT,
	CN_TP_TLS,
	CN_TP_CERTIFICATE,
	CN_TP_FIRST_BYTE_TIMEOUT,
	CN_TP_IDLE_TIMEOUT,     /* no byte */
	CN_TP_PROGRESS_TIMEOUT, /* no event but pings */
	CN_TP_ATTEMPT_TIMEOUT,
	CN_TP_RESET,             /* reset, or nothing received */
	CN_TP_PARTIAL,           /* closed before the end of the body */
	CN_TP_NO_END,            /* ended cleanly without the terminal event */
	CN_TP_EMPTY,             /* ended cleanly without any event */
	CN_TP_OUR_LIMIT,         /* a limit of ours */
	CN_TP_MALFORMED,         /* frames or events that cannot be read */
	CN_TP_ENCODED,           /* an answer with a content-encoding */
	CN_TP_FORBIDDEN_ADDRESS, /* resolved to an address that the backend may not use */
	CN_TP_SLEEP,             /* the machine slept */
};
/* head_seen and delta_seen tell before from after; reused: the connection had served
 * before. */
struct cn_outcome cn_classify_transport(enum cn_transport what, bool head_seen,
                                        bool delta_seen, bool reused);

#endif
