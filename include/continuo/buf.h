/*
 * Growing bytes.  Start from {0}; the bytes are p[0..n).  Not NUL-terminated unless
 * cn_buf_cstr() was the last call.  Growth doubles; the caller charges peer-controlled
 * sizes to a cn_charge before appending.
 */
#ifndef CONTINUO_BUF_H
#define CONTINUO_BUF_H

#include "continuo/error.h"
#include "continuo/view.h"

struct cn_buf {
	char *p;    /* owned; NULL when cap is 0 */
	size_t n;   /* bytes in use */
	size_t cap; /* bytes allocated */
};

/* Frees the bytes and leaves {0}. */
void cn_buf_done(struct cn_buf *b);
/* Empties without freeing. */
void cn_buf_clear(struct cn_buf *b);
/* Makes room for n more bytes and returns where they start; n of the buffer is unchanged.
 */
char *cn_buf_reserve(struct cn_buf *b, size_t n);
void cn_buf_add(struct cn_buf *b, const void *p, size_t n);
void cn_buf_add_view(struct cn_buf *b, struct cn_view v);
void cn_buf_add_str(struct cn_buf *b, const char *s);
void cn_buf_add_char(struct cn_buf *b, char c);
void cn_buf_printf(struct cn_buf *b, const char *fmt, ...) CN_PRINTF(2, 3);
/* Removes the first n bytes (at most all). */
void cn_buf_consume(struct cn_buf *b, size_t n);
/* Cuts to n bytes (no effect when it is shorter). */
void cn_buf_truncate(struct cn_buf *b, size_t n);
/* Adds a NUL behind the bytes (not counted in n) and returns p. */
const char *cn_buf_cstr(struct cn_buf *b);
/*
 * The only exit: NUL-terminated bytes that the caller owns and free()s; *retn (may be NULL)
 * is their number.  The buffer is {0} afterwards.
 */
char *cn_buf_detach(struct cn_buf *b, size_t *retn);

static inline struct cn_view cn_buf_view(const struct cn_buf *b)
{
	return (struct cn_view){b->p, b->n};
}

#endif
