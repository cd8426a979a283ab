/*
 * Chance that can be repeated: everything thrown follows from the seed (splitmix64).
 */
#ifndef CONTINUO_TESTS_DICE_H
#define CONTINUO_TESTS_DICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dice {
	uint64_t at;
};

static inline uint64_t dice_next(struct dice *d)
{
	uint64_t x = d->at += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* 0 … n - 1; 0 of nothing. */
static inline size_t dice_below(struct dice *d, size_t n)
{
	return n ? (size_t)(dice_next(d) % n) : 0;
}

static inline bool dice_percent(struct dice *d, unsigned percent)
{
	return dice_below(d, 100) < percent;
}

#endif
