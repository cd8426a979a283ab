/*
 * Bump allocation.  An arena owns a chain of chunks and frees them together; the newest
 * chunk with room stands first.  One thread at a time: its owner's.
 *
 * Nothing is ever freed singly, and a piece too big to share a chunk gets one of its own
 * behind the first, so that the room left there is not lost.
 */
#include "continuo/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_MIN ((size_t)4096)
#define CHUNK_MAX ((size_t)64 * 1024)

struct cn_arena_chunk {
	struct cn_arena_chunk *next; /* owned */
	size_t used, size;
	max_align_t bytes[]; /* size bytes, aligned for anything */
};

void cn_arena_done(struct cn_arena *a)
{
	if (!a)
		return;
	struct cn_arena_chunk *next;
	for (struct cn_arena_chunk *c = a->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	*a = (struct cn_arena){0};
}

static struct cn_arena_chunk *chunk_new(size_t size)
{
	struct cn_arena_chunk *c = cn_alloc(sizeof(*c) + size);
	*c = (struct cn_arena_chunk){.size = size};
	return c;
}

/* A chunk with room for n more bytes: the first, or a new one. */
static struct cn_arena_chunk *chunk_for(struct cn_arena *a, size_t n)
{
	struct cn_arena_chunk *first = a->chunks;
	if (first && n <= first->size - first->used)
		return first;

	size_t size = first ? first->size * 2 : CHUNK_MIN;
	if (size > CHUNK_MAX)
		size = CHUNK_MAX;
	struct cn_arena_chunk *c = chunk_new(n > size / 4 ? n : size);
	if (first && n > size / 4) {
		c->next = first->next;
		first->next = c;
	} else {
		c->next = first;
		a->chunks = c;
	}
	return c;
}

void *cn_arena_alloc(struct cn_arena *a, size_t n)
{
	const size_t align = _Alignof(max_align_t);
	cn_assert(n <= SIZE_MAX / 2);
	size_t whole = n ? (n + align - 1) / align * align : align;
	struct cn_arena_chunk *c = chunk_for(a, whole);
	void *p = (char *)c->bytes + c->used;
	c->used += whole;
	a->used += whole;
	return p;
}

void *cn_arena_zalloc(struct cn_arena *a, size_t n)
{
	return memset(cn_arena_alloc(a, n), 0, n);
}

char *cn_arena_dup(struct cn_arena *a, struct cn_view v)
{
	char *s = cn_arena_alloc(a, v.n + 1);
	if (v.n)
		memcpy(s, v.p, v.n);
	s[v.n] = '\0';
	return s;
}

struct cn_view cn_arena_view(struct cn_arena *a, struct cn_view v)
{
	return cn_view(cn_arena_dup(a, v), v.n);
}

char *cn_arena_printf(struct cn_arena *a, const char *fmt, ...)
{
	va_list args, again;
	cn_assert(fmt);
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	cn_assert(n >= 0);
	char *s = cn_arena_alloc(a, (size_t)n + 1);
	int written = vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	cn_assert(written == n);
	return s;
}

void *cn_arena_more(struct cn_arena *a, void *v, size_t n, size_t *cap, size_t size)
{
	void *more;

	if (n < *cap)
		return v;
	*cap = *cap ? 2 * *cap : 8;
	more = cn_arena_alloc(a, *cap * size);
	if (n)
		memcpy(more, v, n * size);
	return more;
}
