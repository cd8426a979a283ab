/* A borrowed range of bytes.  Never owns, never assumes a terminating NUL. */
#ifndef CONTINUO_VIEW_H
#define CONTINUO_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cn_view {
	const char *p; /* borrowed; may be NULL when n is 0 */
	size_t n;      /* bytes */
};

/* A view of a string literal: no strlen at run time. */
#define CN_VIEW(lit) ((struct cn_view){"" lit, sizeof(lit) - 1})
/* For printf's "%.*s". */
#define CN_VIEW_ARG(v) (int)(v).n, (v).p ? (v).p : ""

static inline struct cn_view cn_view(const char *p, size_t n)
{
	return (struct cn_view){p, n};
}

/* A view of a NUL-terminated string of our own (never of wire data); NULL gives an empty
 * view. */
static inline struct cn_view cn_view_str(const char *s)
{
	return (struct cn_view){s, s ? strlen(s) : 0};
}

static inline bool cn_view_eq(struct cn_view a, struct cn_view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline struct cn_view cn_view_from(struct cn_view v, size_t at)
{
	if (at >= v.n)
		return (struct cn_view){v.p ? v.p + v.n : NULL, 0};
	return (struct cn_view){v.p + at, v.n - at};
}

static inline struct cn_view cn_view_cut(struct cn_view v, size_t n)
{
	return (struct cn_view){v.p, n < v.n ? n : v.n};
}

/* ASCII only; bytes above 127 compare as they are. */
bool cn_view_eq_nocase(struct cn_view a, struct cn_view b);
/* Whether v is the NUL-terminated s. */
bool cn_view_is(struct cn_view v, const char *s);
bool cn_view_starts(struct cn_view v, struct cn_view prefix);
bool cn_view_ends(struct cn_view v, struct cn_view suffix);
/* Offset of the first occurrence of needle in hay at or after from, or SIZE_MAX. */
size_t cn_view_find(struct cn_view hay, struct cn_view needle, size_t from);
/* The same, ASCII letters of either case being equal.  Linear in hay.n * needle.n at worst.
 */
size_t cn_view_find_nocase(struct cn_view hay, struct cn_view needle);
/* Without spaces and tabs at both ends. */
struct cn_view cn_view_trim(struct cn_view v);
/*
 * Cuts the next piece of *rest up to sep (not included) and moves *rest behind it.  Returns
 * false when *rest was used up (p is NULL); "a,,b" gives "a", "" and "b".
 */
bool cn_view_split(struct cn_view *rest, char sep, struct cn_view *ret);
/* An unsigned decimal number that fills the view; false on anything else or overflow. */
bool cn_view_u64(struct cn_view v, uint64_t *ret);
/* Shell-like match of the whole text: '*' is any run, '?' one byte.  At worst linear in
 * pattern.n * text.n: no pattern makes it explode. */
bool cn_view_glob(struct cn_view pattern, struct cn_view text);
/* A NUL-terminated heap copy; free() it. */
char *cn_view_dup(struct cn_view v);

#endif
