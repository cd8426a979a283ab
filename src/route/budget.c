/*
 * The retry budget of one backend (design/security.md 8): retries are at most a fifth of
 * its active requests, three being always allowed, and a bucket of ten tokens, of which
 * each failure takes one and each success returns a tenth, must be more than half full.
 *
 * Owns nothing; embedded in health.c's record of a backend.  A retry counts for the ten
 * seconds after its beginning, in which a retry that fails usually has: that needs no
 * pairing of beginnings and ends, so that no lost end can use the budget up for good.
 */
#include "route_impl.h"

#define FLOOR      3u
#define SHARE      5u   /* one in */
#define BUCKET     100u /* tenths of a token */
#define FAILURE    10u
#define SUCCESS    1u
#define HALF_EMPTY (BUCKET / 2)

enum cn_retry cn_retries__ask(const struct cn_retries *r, uint64_t now_ms)
{
	uint64_t now_s = now_ms / 1000;
	unsigned begun = 0, allowed = r->active / SHARE;

	if (r->spent >= HALF_EMPTY)
		return CN_RETRY_NEVER;
	for (uint64_t i = 0; i < CN_RETRY_WINDOW && i <= r->last_s; i++) {
		uint64_t s = r->last_s - i;

		if (s + CN_RETRY_WINDOW > now_s)
			begun += r->second[s % CN_RETRY_WINDOW];
	}
	return begun < (allowed > FLOOR ? allowed : FLOOR) ? CN_RETRY_MAY : CN_RETRY_LATER;
}

void cn_retries__begin(struct cn_retries *r, bool is_retry, uint64_t now_ms)
{
	uint64_t now_s = now_ms / 1000;

	r->active++;
	if (!is_retry)
		return;
	for (unsigned i = 0; r->last_s < now_s && i < CN_RETRY_WINDOW; i++) {
		r->last_s++;
		r->second[r->last_s % CN_RETRY_WINDOW] = 0;
	}
	/* After a longer pause every second was emptied above. */
	r->last_s = r->last_s < now_s ? now_s : r->last_s;
	r->second[r->last_s % CN_RETRY_WINDOW]++;
}

void cn_retries__end(struct cn_retries *r)
{
	if (r->active)
		r->active--;
}

void cn_retries__succeed(struct cn_retries *r)
{
	r->spent -= r->spent < SUCCESS ? r->spent : SUCCESS;
}

void cn_retries__fail(struct cn_retries *r)
{
	r->spent += BUCKET - r->spent < FAILURE ? BUCKET - r->spent : FAILURE;
}
