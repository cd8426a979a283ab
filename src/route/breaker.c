/*
 * The circuit breaker of design/security.md 8: opens after five failures in a row or when
 * half of the last twenty failed, for 30 s times the number of openings, at most 10 min.
 *
 * Owns nothing; its state is embedded in a record of health.c, which also leases the one
 * place of the half-open state.
 */
#include "route_impl.h"

#define IN_A_ROW    5u
#define WINDOW      20u
#define OPEN_MS     30000u
#define OPEN_MAX_MS 600000u

/* Quota, billing and auth are the account's fault, no connection is the backend's. */
enum cn_scope cn_breaker__level(enum cn_class class)
{
	switch (class) {
	case CN_CLASS_QUOTA_EXHAUSTED:
	case CN_CLASS_BILLING:
	case CN_CLASS_AUTH:
		return CN_SCOPE_ACCOUNT;
	case CN_CLASS_TIMEOUT_CONNECT:
	case CN_CLASS_MISCONFIGURED:
		return CN_SCOPE_BACKEND;
	case CN_CLASS_RATE_LIMITED:
	case CN_CLASS_OVERLOADED:
	case CN_CLASS_TIMEOUT_FIRST_BYTE:
	case CN_CLASS_TIMEOUT_IDLE:
	case CN_CLASS_TRUNCATED_STREAM:
	case CN_CLASS_MALFORMED_STREAM:
	case CN_CLASS_SERVER_ERROR:
	case CN_CLASS_EMPTY:
		return CN_SCOPE_KEY_MODEL;
	/* The request's fault, or nobody's. */
	case CN_CLASS_OK:
	case CN_CLASS_CANCELLED:
	case CN_CLASS_INVALID_REQUEST:
	case CN_CLASS_CONTEXT_OVERFLOW:
	case CN_CLASS_OUTPUT_CEILING:
	case CN_CLASS_CONTENT_REFUSAL:
	case CN_CLASS_NOT_FOUND_MODEL:
	case CN_CLASS_LOOP:
	case CN_CLASS_WEAK:
	case CN_CLASS_DAMAGED:
	case CN_CLASS_COUNT:
		break;
	}
	return CN_SCOPE_NONE;
}

static void note(struct cn_breaker *b, bool failed)
{
	b->ring = ((b->ring << 1) | failed) & ((UINT32_C(1) << WINDOW) - 1);
	if (b->seen < WINDOW)
		b->seen++;
	b->row = failed ? b->row + 1 : 0;
}

void cn_breaker__fail(struct cn_breaker *b, enum cn_class because, uint64_t now_ms)
{
	uint64_t length;

	note(b, true);
	b->because = because;
	/* While it is open, what was sent before fails late: that opens it no further. */
	if (b->open_until_ms > now_ms)
		return;
	/* A failed probe opens it again at once. */
	if (b->open_until_ms == 0 && b->row < IN_A_ROW &&
	    (unsigned)__builtin_popcount(b->ring) < WINDOW / 2)
		return;
	b->openings++;
	length = (uint64_t)OPEN_MS * b->openings;
	b->open_until_ms = now_ms + (length < OPEN_MAX_MS ? length : OPEN_MAX_MS);
}

void cn_breaker__succeed(struct cn_breaker *b)
{
	note(b, false);
	if (b->open_until_ms)
		*b = (struct cn_breaker){0};
}
