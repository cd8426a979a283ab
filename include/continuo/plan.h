/*
 * From a request to the candidates that may answer it: which route matches, which models of
 * its chain fit, which keys, in which order, and why the others were skipped.  Pure.
 */
#ifndef CONTINUO_PLAN_H
#define CONTINUO_PLAN_H

#include "continuo/health.h"
#include "continuo/message.h"

/* What routes can ask of a request besides its body. */
struct cn_match_input {
	const struct cn_request *request;
	struct cn_view owner;
	/* The value of a request header by lower-case name; empty view without one. */
	struct cn_view (*header)(const void *self, const char *name);
	const void *self;
	int minute_of_day; /* local time, 0..1439 */
};

/* The first route that matches, or NULL. */
const struct cn_route *cn_route_match(const struct cn_policy *p,
                                      const struct cn_match_input *in);

struct cn_skip {
	const struct cn_model *model;
	const struct cn_policy_key *key; /* NULL: the whole model */
	const char *reason; /* constant: "window too small", "takes no images", … */
};

struct cn_plan {
	const struct cn_route *route; /* NULL when the token's chain decided */
	const struct cn_chain *chain;
	const struct cn_fallback *fallback; /* the nearest */
	struct cn_candidate *candidates;    /* in arena, in order */
	size_t n;
	struct cn_skip *skipped; /* in arena */
	size_t n_skipped;
	/* None is left, and one would be but for the window or the body's size. */
	bool too_large;
	/* Tokens, of the chain; too_large: of those models only.  0: none known. */
	uint64_t largest_window;
	bool resuming; /* of an answer that broke off: others are tried before the same one
	                */
	bool once;     /* the provider runs tools: no second try once a request was sent */
};

/*
 * chain: overrides the routes (from the client's token) when not NULL.  h orders keys for
 * least_used and round_robin (turn_number); cooldowns do not take candidates out of a plan.
 * CN_E_NOT_FOUND when no route matches.
 */
int cn_plan_make(struct cn_arena *a, const struct cn_policy *p,
                 const struct cn_chain *chain, const struct cn_match_input *in,
                 const struct cn_health *h, uint64_t turn_number, struct cn_plan *ret,
                 struct cn_error *reterr) CN_MUST_CHECK;

/*
 * A budget is used up and the policy says `degrade`: leaves the first models of the plan
 * out, so many of them, but never the last one.
 */
void cn_plan_degrade(struct cn_plan *plan, unsigned models);

/* The next candidate of a plan to try, given what this turn has tried. */
struct cn_tried {
	const struct cn_candidate *candidate;
	enum cn_class class;
	bool repaired; /* the one resend with something changed was used up */
	/*
	 * How it ended in full; borrowed.  NULL: only the class is known, and neither a
	 * repair nor an uncounted retry follows.
	 */
	const struct cn_outcome *outcome;
};
enum cn_next_kind {
	CN_NEXT_TRY,
	CN_NEXT_WAIT,
	CN_NEXT_NONE
};
struct cn_next {
	enum cn_next_kind kind;
	const struct cn_candidate *candidate; /* TRY; borrowed from the plan */
	uint64_t ready_at_ms;  /* WAIT and NONE: when the earliest is back; 0: never */
	enum cn_class because; /* WAIT and NONE: what holds the earliest one */
	bool is_retry;         /* TRY: what to tell cn_health_take() */
	bool repair;           /* TRY: the resend that the last outcome's repair asks for */
	uint32_t held; /* WAIT and NONE: bit 1 << class of what holds each candidate */
};
/*
 * tried: every ended attempt of this turn in order.  A candidate is tried at most twice; a
 * class outside fallback->on ends the plan.  deadline_ms bounds waiting (max_wait).
 *
 * The same candidate comes again right away for a repair, after a kept connection died, and
 * where the table of wire/fallback-rules.md 1 wants one retry on the same model.  A TRY is
 * one that cn_health_take() grants under the same lock.  WAIT may be shorter than what
 * holds the candidate: plan again then.
 */
struct cn_next cn_plan_next(const struct cn_plan *plan, const struct cn_health *h,
                            const struct cn_tried *tried, size_t n_tried, uint64_t now_ms,
                            uint64_t deadline_ms);

#endif
