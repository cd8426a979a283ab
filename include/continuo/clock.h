/*
 * The two clocks.  Every timer and every age uses the monotonic one; the wall clock is for
 * display, budgets and HTTP dates only (design/security.md 7).
 */
#ifndef CONTINUO_CLOCK_H
#define CONTINUO_CLOCK_H

#include <stdint.h>

#include "continuo/buf.h"

uint64_t cn_clock_ms(void);       /* monotonic, milliseconds; any thread */
uint64_t cn_clock_us(void);       /* monotonic, microseconds; for measuring only */
uint64_t cn_clock_wall_ms(void);  /* Unix time in milliseconds */
int cn_clock_minute_of_day(void); /* of the local day, 0 to 1439: what routes match */
/* The local day that a Unix time lies in: its first millisecond, and that of the next day.
 */
void cn_clock_day(uint64_t wall_ms, uint64_t *retfrom, uint64_t *retuntil);

/* "2026-11-21T03:46:37.123Z" of a Unix time in milliseconds, appended to b. */
void cn_clock_format(struct cn_buf *b, uint64_t wall_ms);
/*
 * An HTTP date, an RFC 3339 time or Unix seconds → Unix milliseconds.  Returns false on
 * anything else.
 */
bool cn_clock_parse(struct cn_view text, uint64_t *ret);

#endif
