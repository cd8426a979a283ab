/*
 * What the client gets when no candidate is left: the table of wire/fallback-rules.md 5.
 * The status and the two headers decide what the client does next (wait, try again,
 * compact, ask for a login, end at once), so they are chosen by what would help.  Pure.
 */
#ifndef CONTINUO_ENDING_H
#define CONTINUO_ENDING_H

#include "continuo/plan.h"

struct cn_ending_input {
	const struct cn_plan *plan;        /* chain NULL: no route matched */
	const struct cn_tried *tried;      /* every ended attempt, in order */
	const struct cn_outcome *outcomes; /* of the same, same index */
	size_t n;
	const struct cn_next *next; /* the last word of cn_plan_next(); NULL: not asked */
	const struct cn_request *request;
	uint64_t now_ms;  /* monotonic, as given to cn_plan_next() */
	uint64_t wall_ms; /* Unix time, for reset times; 0: leave them out */
};

struct cn_ending {
	int status;
	const char *type;       /* error.type; constant */
	struct cn_view message; /* in arena; holds no text of a backend */
	uint64_t retry_after_s; /* 0: no header */
	bool no_retry;          /* x-should-retry: false */
	/*
	 * Not NULL: status, body and content type of this attempt go to the client as they
	 * came, with the anthropic-ratelimit-* headers; type and message are for the log.
	 */
	const struct cn_outcome *passed; /* borrowed from outcomes */
	/*
	 * Every model refused the content: status 200 and a message without text whose
	 * stop_reason is "refusal"; type and message are for the log.
	 */
	bool refusal;
};

/* The answer to a request whose head has not been sent. */
void cn_ending_decide(struct cn_arena *a, const struct cn_ending_input *in,
                      struct cn_ending *ret);
/*
 * The `error` event of a stream that broke after its head: always overloaded_error or
 * api_error, after which the client goes on (other types end its turn).  model: name of the
 * one that failed; o may be NULL.
 */
struct cn_ending cn_ending_in_stream(struct cn_arena *a, const char *model,
                                     const struct cn_outcome *o);

#endif
