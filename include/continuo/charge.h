/*
 * Memory that peers make us spend, against a limit (design/security.md 7 and 10).  Every
 * size that a peer controls is charged here before it is allocated, and released with it.
 */
#ifndef CONTINUO_CHARGE_H
#define CONTINUO_CHARGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct cn_charge {
	atomic_size_t used; /* bytes charged now */
	size_t limit;       /* bytes; set before threads start */
};

/* Charges n bytes; false (and nothing charged) when that would pass the limit. */
bool cn_charge_take(struct cn_charge *c, size_t n);
void cn_charge_release(struct cn_charge *c, size_t n);
/* Use of the limit in per cent, 0..100 and above. */
unsigned cn_charge_percent(const struct cn_charge *c);

#endif
