/*
 * Secrets in guarded memory (design/security.md 3): allocated by libsodium between guard
 * pages, locked, and inaccessible but while somebody reads.
 *
 * Whether locking worked is asked explicitly here, because sodium_malloc() succeeds even
 * when it did not.  Deliberately knows no vault and takes no lock: see struct cn_secret.
 */
#include "vault_impl.h"

#include <sodium.h>

struct cn_secret *cn_secret__new(size_t n)
{
	struct cn_secret *s = cn_zalloc(sizeof(*s));
	s->n = n;
	s->p = sodium_malloc(n ? n : 1);
	cn_assert(s->p); /* out of memory, like cn_alloc() */
	s->locked = sodium_mlock(s->p, n ? n : 1) == 0;
	s->readers = cn_zalloc(sizeof(*s->readers));
	return s;
}

void cn_secret__filled(struct cn_secret *s)
{
	int failed = sodium_mprotect_noaccess(s->p);
	cn_assert(!failed);
}

struct cn_secret *cn_secret__random(size_t n)
{
	struct cn_secret *s = cn_secret__new(n);
	cn_random(s->p, n);
	cn_secret__filled(s);
	return s;
}

struct cn_secret *cn_secret__copy(const void *p, size_t n)
{
	struct cn_secret *s = cn_secret__new(n);
	if (n)
		memcpy(s->p, p, n);
	cn_secret__filled(s);
	return s;
}

struct cn_secret *cn_secret_take(void *bytes, size_t n)
{
	struct cn_secret *s = cn_secret__copy(bytes, n);
	cn_wipe(bytes, n);
	return s;
}

struct cn_secret *cn_secret_free(struct cn_secret *s)
{
	if (!s)
		return NULL;
	sodium_free(s->p); /* wipes, whatever the protection */
	free(s->readers);
	free(s);
	return NULL;
}

size_t cn_secret_size(const struct cn_secret *s)
{
	return s->n;
}

size_t cn_secret_characters(const struct cn_secret *s)
{
	const unsigned char *p = cn_secret__read(s);
	size_t count = 0;
	for (size_t i = 0; i < s->n; i++)
		count += (p[i] & 0xc0) != 0x80;
	cn_secret__rest(s);
	return count;
}

const unsigned char *cn_secret__read(const struct cn_secret *s)
{
	if ((*s->readers)++ == 0) {
		int failed = sodium_mprotect_readonly(s->p);
		cn_assert(!failed);
	}
	return s->p;
}

void cn_secret__rest(const struct cn_secret *s)
{
	cn_assert(*s->readers > 0);
	if (--*s->readers == 0) {
		int failed = sodium_mprotect_noaccess(s->p);
		cn_assert(!failed);
	}
}

bool cn_secret_eq(const struct cn_secret *a, const struct cn_secret *b)
{
	if (a->n != b->n)
		return false;
	bool same = sodium_memcmp(cn_secret__read(a), cn_secret__read(b), a->n) == 0;
	cn_secret__rest(a);
	cn_secret__rest(b);
	return same;
}
