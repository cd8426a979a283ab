/*
 * Borrowed ranges of bytes: comparing, searching, cutting.
 *
 * Owns nothing and keeps nothing; any thread.  Knows ASCII and bytes, deliberately no
 * locale and no Unicode: wire data is compared as it stands.
 */
#include "continuo/view.h"

#include "continuo/error.h"

static unsigned lower(char c)
{
	unsigned u = (unsigned char)c;
	return u >= 'A' && u <= 'Z' ? u - 'A' + 'a' : u;
}

static bool equal_nocase(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool cn_view_eq_nocase(struct cn_view a, struct cn_view b)
{
	return a.n == b.n && equal_nocase(a.p, b.p, a.n);
}

bool cn_view_is(struct cn_view v, const char *s)
{
	return cn_view_eq(v, cn_view_str(s));
}

bool cn_view_starts(struct cn_view v, struct cn_view prefix)
{
	return v.n >= prefix.n && cn_view_eq(cn_view_cut(v, prefix.n), prefix);
}

bool cn_view_ends(struct cn_view v, struct cn_view suffix)
{
	return v.n >= suffix.n && cn_view_eq(cn_view_from(v, v.n - suffix.n), suffix);
}

size_t cn_view_find(struct cn_view hay, struct cn_view needle, size_t from)
{
	if (from > hay.n || needle.n > hay.n - from)
		return SIZE_MAX;
	if (needle.n == 0)
		return from;
	const char *at = memmem(hay.p + from, hay.n - from, needle.p, needle.n);
	return at ? (size_t)(at - hay.p) : SIZE_MAX;
}

size_t cn_view_find_nocase(struct cn_view hay, struct cn_view needle)
{
	for (size_t i = 0; needle.n <= hay.n && i <= hay.n - needle.n; i++)
		if (equal_nocase(hay.p + i, needle.p, needle.n))
			return i;
	return SIZE_MAX;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

struct cn_view cn_view_trim(struct cn_view v)
{
	while (v.n > 0 && blank(v.p[0]))
		v = cn_view_from(v, 1);
	while (v.n > 0 && blank(v.p[v.n - 1]))
		v.n--;
	return v;
}

bool cn_view_split(struct cn_view *rest, char sep, struct cn_view *ret)
{
	if (!rest->p)
		return false;
	const char *at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
	if (!at) {
		*ret = *rest;
		*rest = (struct cn_view){NULL, 0};
		return true;
	}
	size_t n = (size_t)(at - rest->p);
	*ret = cn_view(rest->p, n);
	*rest = cn_view(at + 1, rest->n - n - 1);
	return true;
}

bool cn_view_u64(struct cn_view v, uint64_t *ret)
{
	uint64_t value = 0;
	if (v.n == 0)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(v.p[i] - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret = value;
	return true;
}

/* On a mismatch only the last '*' has to take one byte more: what earlier stars took can
 * stay as short as it was, so there is one place to go back to and no recursion. */
bool cn_view_glob(struct cn_view pattern, struct cn_view text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			star_text = t;
		} else if (p < pattern.n &&
		           (pattern.p[p] == '?' || pattern.p[p] == text.p[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

char *cn_view_dup(struct cn_view v)
{
	char *s = cn_alloc(v.n + 1);
	if (v.n)
		memcpy(s, v.p, v.n);
	s[v.n] = '\0';
	return s;
}
