/*
 * The inside of JSON strings: where one ends, and whether it is well-formed.
 *
 * Nearly all bytes of a body lie here, so they are looked at in lanes: a lane's mask has a
 * bit for each byte that needs a look, four lanes make a block, and a string goes from bit
 * to bit.  Two lanes exist: sixteen bytes where there is SSE2, eight in plain C elsewhere.
 * Pure.
 */
#include "wire_impl.h"

#include <string.h>

#if defined(__SSE2__) && !defined(CN_PLAIN_C)
#include <emmintrin.h>

#define LANE ((ptrdiff_t)16)

/* Bit i: byte i is '"' or '\\'; all: or a control byte, or one above 127. */
static inline uint64_t lane(const char *p, bool all)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i found = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
	                             _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

	/* Signed: bytes above 127 are negative and count as below a space. */
	if (all)
		found = _mm_or_si128(found, _mm_cmplt_epi8(v, _mm_set1_epi8(' ')));
	return (uint64_t)_mm_movemask_epi8(found);
}
#else
#define LANE      ((ptrdiff_t)8)
#define EACH(c)   (0x0101010101010101u * (uint64_t)(c))
#define TOP_BITS  EACH(0x80)
#define LOW_BITS  EACH(0x7f)
#define GATHERING 0x0102040810204080u /* moves bit 8i to bit 56 + i */

/* The top bit of each byte that equals c, exactly: no sum of a byte carries over. */
static inline uint64_t equal(uint64_t x, unsigned char c)
{
	uint64_t y = x ^ EACH(c);

	return ~(((y & LOW_BITS) + LOW_BITS) | y) & TOP_BITS;
}

static inline uint64_t lane(const char *p, bool all)
{
	uint64_t x = 0, found;

	/* The first byte lowest, whatever the machine's order: compilers know this loop. */
	for (size_t i = 0; i < LANE; i++)
		x |= (uint64_t)(unsigned char)p[i] << 8 * i;
	found = equal(x, '"') | equal(x, '\\');
	if (all)
		found |= (x | ~((x & LOW_BITS) + EACH(0x80 - ' '))) & TOP_BITS;
	return (found >> 7) * GATHERING >> 56;
}
#endif

#define BLOCK (4 * LANE)

static inline uint64_t block(const char *p, bool all)
{
	return lane(p, all) | lane(p + LANE, all) << LANE |
	       lane(p + 2 * LANE, all) << 2 * LANE | lane(p + 3 * LANE, all) << 3 * LANE;
}

static inline bool needs_look(char c, bool all)
{
	return c == '"' || c == '\\' || (all && (signed char)c < ' ');
}

/* The first byte that needs a look, lane by lane: where no whole block is left. */
static inline const char *next_look(const char *p, const char *end, bool all)
{
	for (; end - p >= LANE; p += LANE) {
		uint64_t mask = lane(p, all);

		if (mask)
			return p + __builtin_ctzll(mask);
	}
	while (p < end && !needs_look(*p, all))
		p++;
	return p;
}

const char *cn_wire__plain(const char *p, const char *end)
{
	return next_look(p, end, true);
}

const char *cn_wire__string_end(const char *p, const char *end)
{
	while (end - p >= BLOCK) {
		const char *from = p;

		p += BLOCK;
		for (uint64_t mask = block(from, false); mask;) {
			int at = __builtin_ctzll(mask);

			if (from[at] == '"')
				return from + at + 1;
			/* The escaped byte is passed over, maybe into the next block. */
			if (at + 2 >= BLOCK) {
				p = from + at + 2;
				break;
			}
			mask = mask >> (at + 2) << (at + 2);
		}
	}
	while ((p = next_look(p, end, false)) < end) {
		if (*p == '"')
			return p + 1;
		p += 2;
	}
	return end;
}

/* The length of the UTF-8 sequence at p (no surrogates, no overlong forms), or 0. */
static inline size_t utf8_length(const unsigned char *p, size_t n)
{
	unsigned c = p[0];
	size_t len = c < 0x80   ? 1
	             : c < 0xc2 ? 0
	             : c < 0xe0 ? 2
	             : c < 0xf0 ? 3
	             : c < 0xf5 ? 4
	                        : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
	    (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

size_t cn_wire__utf8_length(const char *p, size_t n)
{
	return utf8_length((const unsigned char *)p, n);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at p, or -1. */
long cn_wire__hex4(const char *p, const char *end)
{
	long v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static const char *wrong(struct cn_wire__walk *w, const char *at, const char *what)
{
	w->p = at;
	w->wrong = what;
	return NULL;
}

/* Behind a backslash and its u: behind the escape, or NULL.  A high surrogate needs a low
 * one. */
static const char *pass_unicode(struct cn_wire__walk *w, const char *p)
{
	const char *end = w->end;
	long v;

	v = cn_wire__hex4(p, end);
	if (v < 0)
		return wrong(w, p, "\\u without four hex digits");
	p += 4;
	if (v >= 0xdc00 && v <= 0xdfff)
		return wrong(w, p, "a low surrogate alone");
	if (v < 0xd800 || v > 0xdbff)
		return p;
	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return wrong(w, p, "a high surrogate alone");
	v = cn_wire__hex4(p + 2, end);
	if (v < 0xdc00 || v > 0xdfff)
		return wrong(w, p, "a high surrogate alone");
	return p + 6;
}

/* Behind the backslash: behind the escape, or NULL. */
static inline const char *pass_escape(struct cn_wire__walk *w, const char *p)
{
	if (p == w->end)
		return wrong(w, p, "the text ends inside a string");
	switch (*p) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return p + 1;
	case 'u':
		return pass_unicode(w, p + 1);
	default:
		return wrong(w, p, "an unknown escape in a string");
	}
}

/* At a byte that needs a look and is no quote: behind what stands there, or NULL. */
static inline const char *pass(struct cn_wire__walk *w, const char *p)
{
	size_t n;

	if (*p == '\\')
		return pass_escape(w, p + 1);
	if ((unsigned char)*p < 0x20)
		return wrong(w, p, "a control byte in a string");
	n = utf8_length((const unsigned char *)p, (size_t)(w->end - p));
	return n ? p + n : wrong(w, p, "bytes that are no UTF-8");
}

bool cn_wire__check_string(struct cn_wire__walk *w)
{
	const char *p = w->p + 1, *end = w->end;

	while (end - p >= BLOCK) {
		const char *from = p;

		p += BLOCK;
		for (uint64_t mask = block(from, true); mask;) {
			const char *at = from + __builtin_ctzll(mask);

			if (*at == '"') {
				w->p = at + 1;
				return true;
			}
			at = pass(w, at);
			if (!at)
				return false;
			if (at - from >= BLOCK) {
				p = at;
				break;
			}
			mask = mask >> (at - from) << (at - from);
		}
	}
	while (p && (p = next_look(p, end, true)) < end) {
		if (*p == '"') {
			w->p = p + 1;
			return true;
		}
		p = pass(w, p);
	}
	if (p)
		(void)wrong(w, p, "the text ends inside a string");
	return false;
}
