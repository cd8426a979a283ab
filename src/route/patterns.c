/*
 * A small matcher for the wordings of error texts: literal words with gaps, digits and
 * word ends, in alternatives and conjunctions (the language is described in route_impl.h).
 *
 * Owns nothing; any thread.  Not a regular expression engine on purpose: error texts come
 * from outside, so the time must stay linear, and the tables must be readable.  It never
 * goes back over a '*': what follows is looked for after the leftmost match of what stands
 * before it, which finds a match whenever there is one.
 */
#include "route_impl.h"

#define NEAR       80u /* bytes that '~' spans: a quoted model name and a few words */
#define DIGITS_MAX 19u /* fits uint64_t */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool word_edge(struct cn_view text, size_t at)
{
	bool before = at > 0 && is_word(text.p[at - 1]);
	bool after = at < text.n && is_word(text.p[at]);

	return before != after;
}

/* Reads a number at at; returns how many digits it has. */
static size_t digits(struct cn_view text, size_t at, uint64_t *ret)
{
	size_t n = 0;

	*ret = 0;
	while (at + n < text.n && n < DIGITS_MAX && text.p[at + n] >= '0' &&
	       text.p[at + n] <= '9') {
		*ret = *ret * 10 + (uint64_t)(text.p[at + n] - '0');
		n++;
	}
	return n;
}

static bool match_at(struct cn_view seg, struct cn_view text, size_t at, size_t *retend,
                     struct cn_numbers *numbers);

/* The rest of a segment at any of the next places. */
static bool match_near(struct cn_view seg, struct cn_view text, size_t at, size_t *retend,
                       struct cn_numbers *numbers)
{
	for (size_t i = at; i <= text.n && i - at <= NEAR; i++) {
		if (match_at(seg, text, i, retend, numbers))
			return true;
	}
	return false;
}

/* One byte of a segment that stands for one byte of the text. */
static bool byte_fits(char want, char c)
{
	if (want == '?')
		return true;
	if (want == '_')
		return c == ' ' || c == '_' || c == '-';
	return want == c;
}

/* Whether the segment (no '*' in it) stands exactly there. */
static bool match_at(struct cn_view seg, struct cn_view text, size_t at, size_t *retend,
                     struct cn_numbers *numbers)
{
	size_t had = numbers->n;

	for (size_t i = 0; i < seg.n; i++) {
		char want = seg.p[i];
		uint64_t number;
		size_t n;

		if (want == '~') {
			if (match_near(cn_view_from(seg, i + 1), text, at, retend, numbers))
				return true;
			goto no;
		}
		if (want == '{' || want == '}') {
			if (!word_edge(text, at))
				goto no;
			continue;
		}
		if (want == '#') {
			n = digits(text, at, &number);
			if (n == 0)
				goto no;
			if (numbers->n < sizeof(numbers->v) / sizeof(numbers->v[0]))
				numbers->v[numbers->n++] = number;
			at += n;
			continue;
		}
		if (at >= text.n || !byte_fits(want, text.p[at]))
			goto no;
		at++;
	}
	*retend = at;
	return true;
no:
	numbers->n = had;
	return false;
}

static bool find_segment(struct cn_view seg, struct cn_view text, size_t from,
                         size_t *retend, struct cn_numbers *numbers)
{
	for (size_t at = from; at <= text.n; at++) {
		if (match_at(seg, text, at, retend, numbers))
			return true;
	}
	return false;
}

/* One part: segments in order with any gap between them. */
static bool match_part(struct cn_view part, struct cn_view text, struct cn_numbers *numbers)
{
	struct cn_view seg;
	size_t at = 0;

	while (cn_view_split(&part, '*', &seg)) {
		if (!find_segment(seg, text, at, &at, numbers))
			return false;
	}
	return true;
}

static bool match_all_parts(struct cn_view parts, struct cn_view text,
                            struct cn_numbers *numbers)
{
	struct cn_view part;

	while (cn_view_split(&parts, '&', &part)) {
		if (!match_part(part, text, numbers))
			return false;
	}
	return true;
}

bool cn_pattern__match(const char *pattern, struct cn_view text,
                       struct cn_numbers *retnumbers)
{
	struct cn_view rest = cn_view_str(pattern), one;

	while (cn_view_split(&rest, '|', &one)) {
		struct cn_numbers numbers = {.n = 0};

		if (!match_all_parts(one, text, &numbers))
			continue;
		if (retnumbers)
			*retnumbers = numbers;
		return true;
	}
	return false;
}
