/*
 * Tokens and prices to sums, and sums against budgets (design/security.md 5, check 5).
 *
 * Owns nothing; any thread.  Deliberately knows no days and no names.
 */
#include "continuo/spend.h"

#define PER_PRICE 1e6 /* prices are for so many tokens */
#define OVER_MAX  1000u

static uint64_t add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

void cn_spent_add(struct cn_spent *to, const struct cn_usage *u,
                  const struct cn_price *price)
{
	to->tokens = add(to->tokens,
	                 add(add(u->input, u->output), add(u->cache_read, u->cache_write)));
	if (price && price->date)
		to->money +=
		    ((double)u->input * price->input + (double)u->output * price->output +
		     (double)u->cache_read * price->cache_read +
		     (double)u->cache_write * price->cache_write) /
		    PER_PRICE;
}

bool cn_budget_is_set(const struct cn_budget *b)
{
	return b->tokens > 0 || b->money > 0;
}

unsigned cn_spent_budgets(const struct cn_spent *s, const struct cn_budget *b)
{
	double most = 0;

	if (b->tokens)
		most = (double)s->tokens / (double)b->tokens;
	if (b->money > 0 && s->money / b->money > most)
		most = s->money / b->money;
	return most < OVER_MAX ? (unsigned)most : OVER_MAX;
}
