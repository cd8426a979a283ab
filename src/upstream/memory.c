/*
 * libcurl's allocator: what libcurl frees may have held a credential, in copies that we
 * cannot reach, so every byte is wiped before it is given back (design/security.md 3).
 *
 * Each piece has its size before it.  Any thread; owns nothing.
 */
#include "upstream_impl.h"

#include <stdint.h>
#include <string.h>

#include "continuo/hash.h"

union header {
	size_t n;
	max_align_t align;
};

static void *wiping_malloc(size_t n)
{
	union header *h;

	cn_assert(n <= SIZE_MAX / 2);
	h = cn_alloc(sizeof(*h) + n);
	h->n = n;
	return h + 1;
}

static void wiping_free(void *p)
{
	union header *h = p;

	if (!p)
		return;
	h--;
	cn_wipe(p, h->n);
	free(h);
}

/* Never in place: what realloc() leaves behind when it moves cannot be wiped. */
static void *wiping_realloc(void *p, size_t n)
{
	union header *old = p;
	void *fresh = wiping_malloc(n);

	if (old) {
		memcpy(fresh, p, old[-1].n < n ? old[-1].n : n);
		wiping_free(p);
	}
	return fresh;
}

static char *wiping_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(wiping_malloc(n), s, n);
}

static void *wiping_calloc(size_t n, size_t size)
{
	cn_assert(size == 0 || n <= SIZE_MAX / 2 / size);
	return memset(wiping_malloc(n * size), 0, n * size);
}

CURLcode cn_memory__init_curl(void)
{
	return curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free,
	                            wiping_realloc, wiping_strdup, wiping_calloc);
}
