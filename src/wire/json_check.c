/*
 * Whether bytes from a peer are one well-formed JSON value within our limits.
 *
 * One pass, no recursion, no memory: a stack of bits says whether each open level is an
 * object. It runs on every request and every event before any parser, so plain bytes of
 * strings are skipped sixteen at a time where the machine can.  Pure.
 */
#include "wire_impl.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes that end a run inside a string: '"', '\\', control bytes and the start of UTF-8. */
const char *cn_wire__plain(const char *p, const char *end)
{
#ifdef __SSE2__
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
		__m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
		/* Signed: bytes above 127 are negative and count as below a space. */
		__m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
		int mask = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), low));

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
#endif
	while (p < end && *p != '"' && *p != '\\' && (signed char)*p >= ' ')
		p++;
	return p;
}

/* The length of the UTF-8 sequence at p (no surrogates, no overlong forms), or 0. */
static size_t utf8_length(const unsigned char *p, size_t n)
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

struct checker {
	const char *p, *end;
	const char *wrong;                       /* NULL: nothing yet */
	uint64_t object[CN_JSON_MAX_DEPTH / 64]; /* bit: that level is an object */
	uint32_t keys[CN_JSON_MAX_DEPTH];
	unsigned depth;
};

static bool fail(struct checker *c, const char *what)
{
	if (!c->wrong)
		c->wrong = what;
	return false;
}

static void skip_space(struct checker *c)
{
	while (c->p < c->end &&
	       (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
		c->p++;
}

/* After the backslash.  A high surrogate must be followed by a low one. */
static bool check_escape(struct checker *c)
{
	static const char known[] = {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'};
	long v;

	if (c->p == c->end)
		return fail(c, "the text ends inside a string");
	if (*c->p != 'u') {
		if (!memchr(known, *c->p, sizeof(known)))
			return fail(c, "an unknown escape in a string");
		c->p++;
		return true;
	}
	v = cn_wire__hex4(++c->p, c->end);
	if (v < 0)
		return fail(c, "\\u without four hex digits");
	c->p += 4;
	if (v >= 0xdc00 && v <= 0xdfff)
		return fail(c, "a low surrogate alone");
	if (v < 0xd800 || v > 0xdbff)
		return true;
	if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
		return fail(c, "a high surrogate alone");
	v = cn_wire__hex4(c->p + 2, c->end);
	if (v < 0xdc00 || v > 0xdfff)
		return fail(c, "a high surrogate alone");
	c->p += 6;
	return true;
}

/* At the opening quote; leaves p behind the closing one. */
static bool check_string(struct checker *c)
{
	size_t n;

	c->p++;
	for (;;) {
		c->p = cn_wire__plain(c->p, c->end);
		if (c->p == c->end)
			return fail(c, "the text ends inside a string");
		if (*c->p == '"') {
			c->p++;
			return true;
		}
		if (*c->p == '\\') {
			c->p++;
			if (!check_escape(c))
				return false;
			continue;
		}
		if ((unsigned char)*c->p < 0x20)
			return fail(c, "a control byte in a string");
		n = cn_wire__utf8_length(c->p, (size_t)(c->end - c->p));
		if (!n)
			return fail(c, "bytes that are no UTF-8");
		c->p += n;
	}
}

static bool digits(struct checker *c)
{
	const char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

static bool check_number(struct checker *c)
{
	if (*c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else if (!digits(c))
		return fail(c, "a number without digits");
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (!digits(c))
			return fail(c, "a number that ends in a point");
	}
	if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (!digits(c))
			return fail(c, "a number without its exponent");
	}
	return true;
}

static bool check_word(struct checker *c, const char *word, size_t n)
{
	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return fail(c, "neither a value nor its end");
	c->p += n;
	return true;
}

static bool check_scalar(struct checker *c)
{
	switch (*c->p) {
	case '"':
		return check_string(c);
	case 't':
		return check_word(c, "true", 4);
	case 'f':
		return check_word(c, "false", 5);
	case 'n':
		return check_word(c, "null", 4);
	default:
		if (*c->p == '-' || (*c->p >= '0' && *c->p <= '9'))
			return check_number(c);
		return fail(c, "neither a value nor its end");
	}
}

static bool in_object(const struct checker *c)
{
	unsigned level = c->depth - 1;

	return c->object[level / 64] >> (level % 64) & 1;
}

static bool open_level(struct checker *c, bool object)
{
	uint64_t bit = (uint64_t)1 << (c->depth % 64);

	if (c->depth == CN_JSON_MAX_DEPTH)
		return fail(c, "nested deeper than 128 levels");
	if (object)
		c->object[c->depth / 64] |= bit;
	else
		c->object[c->depth / 64] &= ~bit;
	c->keys[c->depth++] = 0;
	c->p++;
	return true;
}

/* A key and its colon; p is at the value then. */
static bool check_key(struct checker *c)
{
	skip_space(c);
	if (c->p == c->end || *c->p != '"')
		return fail(c, "a key is missing");
	if (++c->keys[c->depth - 1] > CN_JSON_MAX_KEYS)
		return fail(c, "more than 10000 keys in an object");
	if (!check_string(c))
		return false;
	skip_space(c);
	if (c->p == c->end || *c->p != ':')
		return fail(c, "a colon is missing");
	c->p++;
	return true;
}

/* After a value: commas and closing brackets up to the next value, or the end of all. */
static bool after_value(struct checker *c, bool *retmore)
{
	for (;;) {
		if (c->depth == 0) {
			*retmore = false;
			return true;
		}
		skip_space(c);
		if (c->p == c->end)
			return fail(c, "the text ends too early");
		if (*c->p == ',') {
			c->p++;
			*retmore = true;
			return in_object(c) ? check_key(c) : true;
		}
		if (*c->p != (in_object(c) ? '}' : ']'))
			return fail(c, "a comma or a closing bracket is missing");
		c->p++;
		c->depth--;
	}
}

/* One value up to where it either ended or opened a level that is not empty. */
static bool check_value(struct checker *c, bool *retmore)
{
	bool object;

	skip_space(c);
	if (c->p == c->end)
		return fail(c, "the text ends too early");
	if (*c->p != '{' && *c->p != '[')
		return check_scalar(c) && after_value(c, retmore);
	object = *c->p == '{';
	if (!open_level(c, object))
		return false;
	skip_space(c);
	if (c->p < c->end && *c->p == (object ? '}' : ']')) {
		c->p++;
		c->depth--;
		return after_value(c, retmore);
	}
	*retmore = true;
	return object ? check_key(c) : true;
}

int cn_json_check(struct cn_view text, struct cn_error *reterr)
{
	struct checker c = {.p = text.p, .end = text.p ? text.p + text.n : NULL};
	bool more = true, ok = true;

	while (more && ok)
		ok = check_value(&c, &more);
	if (ok) {
		skip_space(&c);
		ok = c.p == c.end || fail(&c, "something follows the value");
	}
	if (ok)
		return 0;
	return cn_fail(reterr, CN_E_INVALID, "not JSON we take: %s at byte %zu", c.wrong,
	               text.p ? (size_t)(c.p - text.p) : 0);
}
