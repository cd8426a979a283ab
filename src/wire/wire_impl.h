/* What the files of wire/ share.  Private to this folder. */
#ifndef CONTINUO_WIRE_IMPL_H
#define CONTINUO_WIRE_IMPL_H

#include "continuo/json.h"

/* The first byte at or after p that a string must look at: '"', '\\', below space, above
 * 127. */
const char *cn_wire__plain(const char *p, const char *end);
/* Bytes of the UTF-8 sequence at p, or 0 when it is none. */
size_t cn_wire__utf8_length(const char *p, size_t n);
/* The value of four hex digits, or -1. */
long cn_wire__hex4(const char *p, const char *end);

#endif
