/*
 * How long what cools down after which failure: the table of wire/fallback-rules.md 1.
 *
 * Owns nothing; any thread.  Chance is an argument.  Counting failures and remembering
 * cooldowns is health.c's business.
 */
#include "route_impl.h"

#define SECOND UINT32_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

#define LOCAL_CONNECT_MS UINT64_C(10000) /* a local server being restarted */

static const struct cn_cooldown_rule table[CN_CLASS_COUNT] = {
    [CN_CLASS_RATE_LIMITED] = {CN_SCOPE_KEY_MODEL, 5 * SECOND, 2 * MINUTE, true, false},
    [CN_CLASS_QUOTA_EXHAUSTED] = {CN_SCOPE_ACCOUNT, 15 * MINUTE, 6 * HOUR, true, false},
    [CN_CLASS_OVERLOADED] = {CN_SCOPE_MODEL, 10 * SECOND, 2 * MINUTE, true, false},
    /* Until the key or the policy changes, which resets; this is the time to a re-probe. */
    [CN_CLASS_AUTH] = {CN_SCOPE_KEY, 10 * MINUTE, 0, false, false, true},
    [CN_CLASS_BILLING] = {CN_SCOPE_ACCOUNT, 30 * MINUTE, 0, false, false},
    [CN_CLASS_NOT_FOUND_MODEL] = {CN_SCOPE_MODEL, HOUR, 0, false, false, true},
    [CN_CLASS_MISCONFIGURED] = {CN_SCOPE_BACKEND, 10 * MINUTE, 0, false, false, true},
    [CN_CLASS_TIMEOUT_CONNECT] = {CN_SCOPE_BACKEND, 5 * SECOND, MINUTE, false, false},
    [CN_CLASS_TIMEOUT_FIRST_BYTE] = {CN_SCOPE_MODEL, 15 * SECOND, 2 * MINUTE, false, false},
    [CN_CLASS_TIMEOUT_IDLE] = {CN_SCOPE_MODEL, 15 * SECOND, 0, false, false},
    [CN_CLASS_TRUNCATED_STREAM] = {CN_SCOPE_MODEL, 10 * SECOND, 0, false, true},
    [CN_CLASS_MALFORMED_STREAM] = {CN_SCOPE_MODEL, 30 * SECOND, 0, false, true},
    [CN_CLASS_SERVER_ERROR] = {CN_SCOPE_MODEL, 5 * SECOND, MINUTE, false, false},
    [CN_CLASS_EMPTY] = {CN_SCOPE_MODEL, 30 * SECOND, 0, false, true},
    /* Until reload, which resets. */
    [CN_CLASS_DAMAGED] = {CN_SCOPE_MODEL, CN_DAY_MS, 0, false, false, true},
};

const struct cn_cooldown_rule *cn_cooldown__rule(enum cn_class class)
{
	cn_assert(class < CN_CLASS_COUNT);
	return &table[class];
}

/* n thousandths of ms, without overflow for anything up to a day. */
static uint64_t scaled(uint64_t ms, uint64_t thousandths)
{
	return ms * thousandths / 1000;
}

uint64_t cn_cooldown__length(const struct cn_outcome *o, unsigned n, bool local,
                             cn_chance_fn chance, void *self)
{
	const struct cn_cooldown_rule *r = cn_cooldown__rule(o->class);
	uint64_t ms = r->base_ms;

	if (ms == 0)
		return 0;
	if (r->named && o->retry_after_ms) {
		/* Coming back too early would be refused again: jitter upwards only. */
		ms = o->retry_after_ms < CN_DAY_MS ? o->retry_after_ms : CN_DAY_MS;
		ms = scaled(ms, 1000 + chance(self, 201));
	} else {
		if (o->class == CN_CLASS_TIMEOUT_CONNECT && local)
			ms = LOCAL_CONNECT_MS;
		else if (r->max_ms) {
			for (; n > 1 && ms < r->max_ms; n--)
				ms *= 2;
			ms = ms < r->max_ms ? ms : r->max_ms;
		}
		ms = scaled(ms, 800 + chance(self, 401));
	}
	return ms < CN_DAY_MS ? ms : CN_DAY_MS;
}
