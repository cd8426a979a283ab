/*
 * The conformance suite: about two dozen small requests to one model of the policy, through
 * the same encoder, attempt and decoder as a turn, and what the answers say of it.
 *
 * What is asked stands in one table of requests, what is looked at in one table of checks
 * (suite.c); judging is pure.  Running takes a loop of its own and blocks the caller.
 */
#ifndef CONTINUO_PROBE_H
#define CONTINUO_PROBE_H

#include "continuo/policy.h"
#include "continuo/upstream.h"

/* ---- what came ---- */

#define CN_PROBE_CALLS    8               /* more calls of one answer are only counted */
#define CN_PROBE_TEXT_MAX ((size_t)65536) /* what is kept of one answer's text */

struct cn_probe_call {
	struct cn_view id, name, input; /* input: JSON text as it came */
};

/* One request and its answer.  Views are in the arena of the run. */
struct cn_probe_answer {
	bool asked, over;
	struct cn_outcome outcome;
	struct cn_view text, thinking;
	struct cn_probe_call calls[CN_PROBE_CALLS];
	size_t n_calls;
	struct cn_view model, stop_reason, stop_sequence;
	struct cn_usage usage;
	size_t n_deltas;             /* of text */
	bool signature;              /* a thinking block had one, or was redacted */
	struct cn_view raw;          /* of count_tokens */
	uint64_t estimate, least;    /* input tokens by our own count; estimate.h */
	uint64_t first_ms, total_ms; /* to the first content, to the end */
	uint64_t waited_ms;          /* before it was asked once more */
};

/* ---- what it says ---- */

enum cn_probe_verdict {
	CN_PROBE_SKIPPED,
	CN_PROBE_GOOD,
	CN_PROBE_ODD, /* worth knowing; no turn fails by it */
	CN_PROBE_BAD,
};
/* "skipped", "ok", "odd", "no" */
const char *cn_probe_verdict_name(enum cn_probe_verdict v);

/* What the findings say of the model as a policy would; unset where nothing was learned. */
struct cn_probe_learned {
	bool has_continuation, has_stream;
	enum cn_continuation continuation;
	enum cn_stream_mode stream;
	enum cn_tristate thinking, images, tools;
	uint64_t max_output;     /* 0: nothing */
	const char *tool_format; /* NULL: nothing; static */
	uint64_t quirks;         /* that were found; never such as are known */
};

struct cn_probe_result {
	const char *check; /* its name; static */
	const char *sent;  /* in words; static */
	enum cn_probe_verdict verdict;
	bool needed; /* a chain with this model relies on it, by what the policy says */
	const char *came; /* in the arena; one line, shortened */
	uint64_t ms;      /* of the request; 0: none */
};

struct cn_probe_report {
	const struct cn_model *model;    /* borrowed */
	struct cn_view id;               /* that was asked for */
	struct cn_probe_result *results; /* in arena */
	size_t n_results;
	struct cn_probe_learned learned;
	const char *stopped; /* why not all was asked; NULL: it was */
	bool interrupted;
};

/* How many verdicts of that kind; needed: only those. */
size_t cn_probe_count(const struct cn_probe_report *r, enum cn_probe_verdict v,
                      bool needed);

/* ---- the suite ---- */

size_t cn_probe_n_checks(void);
/* Name of a check; NULL behind the last. */
const char *cn_probe_check_name(size_t i);
/* One sentence on what it looks at. */
const char *cn_probe_check_text(size_t i);

/*
 * Judges answers (one for each request of the suite, as cn_probe_n_requests() says) of a
 * model.  only: names of the checks wanted, n of them; 0: all.  Pure.
 */
size_t cn_probe_n_requests(void);
/* The request of that name as the suite has it; SIZE_MAX: there is none. */
size_t cn_probe_request(const char *name);
void cn_probe_judge(struct cn_arena *a, const struct cn_probe_answer *answers,
                    const char *const *only, size_t n_only, struct cn_probe_report *ret);

/* ---- running it ---- */

struct cn_probe_opts {
	const struct cn_model *model; /* borrowed */
	struct cn_view id;            /* what the client would ask for: for `id: client` */
	const char *const *only;      /* names of checks */
	size_t n_only;
	uint64_t timeout_ms; /* of one request, and of waiting to ask it once more */
	/* As in cn_attempt_opts. */
	int (*credential)(void *self,
	                  void (*put)(void *to, struct cn_view name, struct cn_view value),
	                  void *to, struct cn_error *reterr);
	/* Takes secrets out of what a backend said, in place.  May be NULL. */
	void (*scrub)(void *self, char *text, size_t n);
	/* Before each request: which of how many.  May be NULL. */
	void (*on_progress)(void *self, const char *request, size_t nth, size_t of);
	void *self; /* borrowed: of all three */
};

/*
 * Asks and judges, one request after the other; blocks.  SIGINT and SIGTERM end it with
 * what is known by then.  The report is in the arena.  Once per process cn_upstream_setup()
 * must have been called.
 */
int cn_probe_run(const struct cn_probe_opts *opts, struct cn_arena *a,
                 struct cn_probe_report *ret, struct cn_error *reterr) CN_MUST_CHECK;

#endif
