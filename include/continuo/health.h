/*
 * What is known about keys, accounts, models and backends: cooldowns
 * (wire/fallback-rules.md 1) and breakers (design/security.md 8).  One table for all
 * workers; the caller holds whatever lock guards it.  Time is an argument (monotonic
 * milliseconds), never read here.
 */
#ifndef CONTINUO_HEALTH_H
#define CONTINUO_HEALTH_H

#include "continuo/damage.h"
#include "continuo/outcome.h"
#include "continuo/policy.h"

/* One (model, key) that a turn may try. */
struct cn_candidate {
	const struct cn_model *model;    /* borrowed from the policy */
	const struct cn_policy_key *key; /* borrowed from the policy */
};

struct cn_health;
struct cn_health *cn_health_new(void);
struct cn_health *cn_health_free(struct cn_health *h); /* returns NULL */

/* What one attempt showed.  Returns how long (ms) its scope cools down now; 0: it does not.
 */
uint64_t cn_health_report(struct cn_health *h, const struct cn_candidate *c,
                          const struct cn_outcome *o, uint64_t now_ms);

/* What the model itself said when it refused; 0: nothing. */
struct cn_learned {
	bool no_prefill;
	bool plain;               /* refused newer roles, blocks or tools of the format */
	uint64_t window, ceiling; /* tokens */
};
struct cn_learned cn_health_learned(const struct cn_health *h,
                                    const struct cn_candidate *c);

struct cn_readiness {
	uint64_t at_ms;    /* when it is ready; now_ms or less: now */
	bool only_breaker; /* held by nothing but a breaker: tried rather than waited for */
	enum cn_class because; /* what put it there */
	enum cn_scope scope;
};
/* Looks without taking a half-open place. */
struct cn_readiness cn_health_ready_at(const struct cn_health *h,
                                       const struct cn_candidate *c, uint64_t now_ms);
/*
 * Takes the candidate for an attempt: false when another turn holds its half-open place
 * (leased for 60 s) or the retry budget of its backend is empty (is_retry: this turn has
 * tried the same candidate before; another key or model is no retry).  One that was taken
 * is reported or cancelled later, one that was not is neither.
 */
bool cn_health_take(struct cn_health *h, const struct cn_candidate *c, bool is_retry,
                    uint64_t now_ms);
/* The attempt ended without a word about the candidate (client gone): gives the place back.
 */
void cn_health_cancel(struct cn_health *h, const struct cn_candidate *c, uint64_t now_ms);
/* Damage of one model's answers, found while they looked well. */
struct cn_finding {
	char name[200]; /* "backend/model" */
	enum cn_damage what;
	char detail[160]; /* for people; holds a backend's words */
	uint64_t times, last_ms;
};
/* Notes one; true when it is the first of that model and kind. */
bool cn_health_found(struct cn_health *h, const struct cn_candidate *c, enum cn_damage what,
                     struct cn_view detail, uint64_t now_ms);
void cn_health_findings(struct cn_health *h,
                        void (*each)(void *self, const struct cn_finding *f), void *self);

/* Forgets cooldowns, breakers and findings: all, or those of one backend, model or key
 * name. */
void cn_health_reset(struct cn_health *h, struct cn_view name);
/* A key or the policy has changed: forgets the cooldowns that waited for that alone, and
 * what was found. */
void cn_health_renew(struct cn_health *h);
/* A successful answer's share of use, for `rotate: least_used`. */
uint64_t cn_health_uses(const struct cn_health *h, const struct cn_candidate *c);

/* One line of `status`. */
struct cn_health_line {
	const char *scope; /* "key", "account", "model", "backend" */
	char name[200];    /* "anthropic/opus", "backup:vault:key-1" */
	enum cn_class because;
	const char *reason; /* the outcome's constant phrase; NULL: none, or a breaker */
	uint64_t until_ms;  /* monotonic */
	unsigned n;         /* the how-manieth in a row */
	bool breaker;
};
/* Every cooldown or open breaker in force. */
void cn_health_list(const struct cn_health *h, uint64_t now_ms,
                    void (*each)(void *self, const struct cn_health_line *line),
                    void *self);

#endif
