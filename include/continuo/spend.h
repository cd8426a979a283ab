/*
 * What was spent, and how often that is a whole budget.  Pure: sums in, decisions out; who
 * spends, and in which time, is the caller's.
 */
#ifndef CONTINUO_SPEND_H
#define CONTINUO_SPEND_H

#include "continuo/event.h"
#include "continuo/policy.h"

struct cn_spent {
	uint64_t tokens; /* in and out, those of prompt caches too */
	double money;    /* US dollars; what has no price costs nothing */
};

/* Adds one attempt.  price: of the model; NULL or without a date: none is known. */
void cn_spent_add(struct cn_spent *to, const struct cn_usage *u,
                  const struct cn_price *price);
/* How many times over the budget is used up: 0: not yet, 1: once, … at most 1000. */
unsigned cn_spent_budgets(const struct cn_spent *s, const struct cn_budget *b);
/* Whether the budget limits anything. */
bool cn_budget_is_set(const struct cn_budget *b);

#endif
