/*
 * Program-wide counters: one atomic number each, any thread.  They only ever grow and order
 * nothing, so relaxed operations are enough.
 */
#include "continuo/counters.h"

#include <stdatomic.h>

#include "continuo/error.h"

static atomic_uint_fast64_t values[CN_CT_COUNT];

static const char *const names[CN_CT_COUNT] = {
#define X(symbol, name, text) [CN_CT_##symbol] = (name),
    CN_COUNTERS(X)
#undef X
};

void cn_count(enum cn_counter c)
{
	cn_count_add(c, 1);
}

void cn_count_add(enum cn_counter c, uint64_t n)
{
	cn_assert(c < CN_CT_COUNT);
	atomic_fetch_add_explicit(&values[c], n, memory_order_relaxed);
}

uint64_t cn_counter_get(enum cn_counter c)
{
	cn_assert(c < CN_CT_COUNT);
	return atomic_load_explicit(&values[c], memory_order_relaxed);
}

const char *cn_counter_name(enum cn_counter c)
{
	cn_assert(c < CN_CT_COUNT);
	return names[c];
}
