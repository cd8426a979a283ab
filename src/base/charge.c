/*
 * Charging memory that peers make us spend against a limit.  The counter is atomic and may
 * be shared by every worker; the limit is set before threads start.
 *
 * Counts only: it allocates nothing, and what to do at the limit is its caller's to decide.
 */
#include "continuo/charge.h"

#include <limits.h>

#include "continuo/error.h"

bool cn_charge_take(struct cn_charge *c, size_t n)
{
	size_t used = atomic_load_explicit(&c->used, memory_order_relaxed);
	do {
		if (used > c->limit || n > c->limit - used)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
	    &c->used, &used, used + n, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void cn_charge_release(struct cn_charge *c, size_t n)
{
	size_t before = atomic_fetch_sub_explicit(&c->used, n, memory_order_relaxed);
	cn_assert(before >= n); /* released more than was taken */
}

unsigned cn_charge_percent(const struct cn_charge *c)
{
	double used = (double)atomic_load_explicit(&c->used, memory_order_relaxed);
	if (c->limit == 0)
		return 100;
	double percent = used * 100.0 / (double)c->limit;
	return percent > UINT_MAX ? UINT_MAX : (unsigned)percent;
}
