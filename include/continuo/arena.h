/*
 * Bump allocation for things that die together (one arena per turn).  Start from {0}.
 * Memory is aligned for any type and never freed singly.
 */
#ifndef CONTINUO_ARENA_H
#define CONTINUO_ARENA_H

#include "continuo/buf.h"

struct cn_arena_chunk;
struct cn_arena {
	struct cn_arena_chunk *chunks; /* owned */
	size_t used;                   /* bytes handed out, for accounting */
};

void cn_arena_done(struct cn_arena *a); /* frees everything; leaves {0} */
void *cn_arena_alloc(struct cn_arena *a, size_t n);
void *cn_arena_zalloc(struct cn_arena *a, size_t n);
/* A NUL-terminated copy in the arena. */
char *cn_arena_dup(struct cn_arena *a, struct cn_view v);
struct cn_view cn_arena_view(struct cn_arena *a, struct cn_view v);
char *cn_arena_printf(struct cn_arena *a, const char *fmt, ...) CN_PRINTF(2, 3);

/*
 * Room for one more in an array of the arena that holds n of *cap elements of that size:
 * returns where it is now.  Grows by doubling; what it outgrew stays till the end.
 */
void *cn_arena_more(struct cn_arena *a, void *v, size_t n, size_t *cap, size_t size);

#define cn_arena_new(a, type) ((type *)cn_arena_zalloc((a), sizeof(type)))

#endif
