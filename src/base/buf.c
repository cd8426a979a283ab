/*
 * Growing bytes.  A buffer owns its bytes until cn_buf_detach() gives them away; the thread
 * that owns the struct is the only one to touch it.
 *
 * Deliberately without limits of its own: who reads from a peer checks the peer's limit and
 * charges the memory budget first.  Sizes that overflow are a bug and abort.
 */
#include "continuo/buf.h"

#include <stdint.h>
#include <stdio.h>

void cn_buf_done(struct cn_buf *b)
{
	if (!b)
		return;
	free(b->p);
	*b = (struct cn_buf){0};
}

void cn_buf_clear(struct cn_buf *b)
{
	b->n = 0;
}

char *cn_buf_reserve(struct cn_buf *b, size_t n)
{
	/* Half of the address space, so that neither the sum nor the doubling wraps. */
	cn_assert(n <= SIZE_MAX / 2 && b->n <= SIZE_MAX / 2 - n);
	size_t need = b->n + n;
	if (need > b->cap || !b->p) {
		size_t cap = b->cap * 2 > need ? b->cap * 2 : need;
		b->cap = cap < 64 ? 64 : cap;
		b->p = cn_realloc(b->p, b->cap);
	}
	return b->p + b->n;
}

void cn_buf_add(struct cn_buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(cn_buf_reserve(b, n), p, n);
	b->n += n;
}

void cn_buf_add_view(struct cn_buf *b, struct cn_view v)
{
	cn_buf_add(b, v.p, v.n);
}

void cn_buf_add_str(struct cn_buf *b, const char *s)
{
	cn_buf_add_view(b, cn_view_str(s));
}

void cn_buf_add_char(struct cn_buf *b, char c)
{
	*cn_buf_reserve(b, 1) = c;
	b->n++;
}

void cn_buf_printf(struct cn_buf *b, const char *fmt, ...)
{
	va_list args, again;
	cn_assert(fmt);
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	cn_assert(n >= 0);
	char *at = cn_buf_reserve(b, (size_t)n + 1); /* vsnprintf() writes a NUL behind */
	int written = vsnprintf(at, (size_t)n + 1, fmt, again);
	va_end(again);
	cn_assert(written == n);
	b->n += (size_t)n;
}

void cn_buf_consume(struct cn_buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void cn_buf_truncate(struct cn_buf *b, size_t n)
{
	if (n < b->n)
		b->n = n;
}

const char *cn_buf_cstr(struct cn_buf *b)
{
	*cn_buf_reserve(b, 1) = '\0';
	return b->p;
}

char *cn_buf_detach(struct cn_buf *b, size_t *retn)
{
	(void)cn_buf_cstr(b); /* for the NUL; the pointer is taken below */
	char *p = cn_steal(&b->p);
	if (retn)
		*retn = b->n;
	*b = (struct cn_buf){0};
	return p;
}
