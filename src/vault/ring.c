/*
 * The records of a vault and the ring that refers to them.  A change of the vault makes a
 * new ring out of the old one; the old one goes when the new one is on disk, and a record
 * goes with its last reference, which may be a borrower's.
 *
 * Owns records and their secrets.  Takes no lock: whoever shares a ring holds the vault's.
 */
#include "vault_impl.h"

#include <stdio.h>

#include "continuo/clock.h"

bool cn_vault__name_valid(struct cn_view name)
{
	if (name.n == 0 || name.n > CN_VAULT__NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || (c && strchr("._:@-", c))))
			return false;
	}
	return true;
}

/* A key travels in a header: visible ASCII and nothing else. */
bool cn_vault__value_valid(const unsigned char *p, size_t n)
{
	if (n < CN_VAULT__SECRET_MIN || n > CN_VAULT__SECRET_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (p[i] <= 0x20 || p[i] >= 0x7f)
			return false;
	return true;
}

/* ---- one record ---- */

struct cn_vault__record *cn_vault__record_new(enum cn_vault__kind kind, struct cn_view name,
                                              struct cn_secret *secret)
{
	struct cn_vault__record *r = cn_zalloc(sizeof(*r));
	uint64_t epoch = 0;
	r->refs = 1;
	r->kind = kind;
	r->name = cn_view_dup(name);
	r->created_ms = cn_clock_wall_ms();
	r->secret = secret;
	if (kind == CN_VAULT__HISTORY && cn_view_u64(name, &epoch) && epoch <= UINT32_MAX)
		r->epoch = (uint32_t)epoch;
	return r;
}

struct cn_vault__record *cn_vault__record_unref(struct cn_vault__record *r)
{
	if (!r || --r->refs > 0)
		return NULL;
	for (size_t i = 0; i < r->n_origins; i++)
		free(r->origins[i]);
	free(r->origins);
	free(r->name);
	cn_secret_free(r->secret);
	free(r);
	return NULL;
}

bool cn_vault__record_add_origin(struct cn_vault__record *r, struct cn_view text)
{
	CN_AUTO(cn_buf) b = {0};
	if (r->n_origins == CN_VAULT__ORIGINS_MAX || !cn_vault__origin(text, &b))
		return false;
	for (size_t i = 0; i < r->n_origins; i++)
		if (cn_view_is(cn_buf_view(&b), r->origins[i]))
			return true;
	r->origins = cn_realloc(r->origins, (r->n_origins + 1) * sizeof(*r->origins));
	r->origins[r->n_origins++] = cn_buf_detach(&b, NULL);
	return true;
}

/* ---- rings ---- */

void cn_vault__ring_done(struct cn_vault__ring *r)
{
	for (size_t i = 0; i < r->n; i++)
		cn_vault__record_unref(r->v[i]);
	free(r->v);
	*r = (struct cn_vault__ring){0};
}

void cn_vault__ring_put(struct cn_vault__ring *r, struct cn_vault__record *record)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i]->kind == record->kind &&
		    strcmp(r->v[i]->name, record->name) == 0) {
			cn_vault__record_unref(r->v[i]);
			r->v[i] = record;
			return;
		}
	r->v = cn_realloc(r->v, (r->n + 1) * sizeof(struct cn_vault__record *));
	r->v[r->n++] = record;
}

struct cn_vault__ring cn_vault__ring_copy(const struct cn_vault__ring *r)
{
	struct cn_vault__ring copy = {cn_alloc(r->n * sizeof(struct cn_vault__record *)),
	                              r->n};
	for (size_t i = 0; i < r->n; i++) {
		copy.v[i] = r->v[i];
		copy.v[i]->refs++;
	}
	return copy;
}

struct cn_vault__record *cn_vault__ring_find(const struct cn_vault__ring *r,
                                             enum cn_vault__kind kind, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i]->kind == kind && strcmp(r->v[i]->name, name) == 0)
			return r->v[i];
	return NULL;
}

static void put_random(struct cn_vault__ring *r, enum cn_vault__kind kind, const char *name)
{
	cn_vault__ring_put(r, cn_vault__record_new(kind, cn_view_str(name),
	                                           cn_secret__random(CN_VAULT__KEY)));
}

void cn_vault__ring_new_epoch(struct cn_vault__ring *r)
{
	uint32_t last = 0;
	char name[16];
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i]->epoch > last)
			last = r->v[i]->epoch;
	cn_assert(last < UINT32_MAX); /* ring_check(): a number that high is refused */
	(void)snprintf(name, sizeof(name), "%u", (unsigned)last + 1); /* fits */
	put_random(r, CN_VAULT__HISTORY, name);
}

void cn_vault__ring_begin(struct cn_vault__ring *r)
{
	put_random(r, CN_VAULT__HASH, "1");
	put_random(r, CN_VAULT__TOKEN, "1");
	put_random(r, CN_VAULT__FINGER, "1");
	cn_vault__ring_new_epoch(r);
}

static bool record_valid(const struct cn_vault__record *r)
{
	if (!cn_vault__name_valid(cn_view_str(r->name)))
		return false;
	if (r->kind == CN_VAULT__PROVIDER) {
		bool valid =
		    cn_vault__value_valid(cn_secret__read(r->secret), r->secret->n);
		cn_secret__rest(r->secret);
		return valid && r->n_origins > 0;
	}
	if (r->kind == CN_VAULT__HISTORY && (r->epoch == 0 || r->epoch == UINT32_MAX))
		return false;
	return r->secret->n == CN_VAULT__KEY && r->n_origins == 0;
}

const char *cn_vault__ring_check(const struct cn_vault__ring *r)
{
	unsigned count[CN_VAULT__KINDS] = {0};
	for (size_t i = 0; i < r->n; i++) {
		if (!record_valid(r->v[i]))
			return "a record is not in its form";
		if (cn_vault__ring_find(r, r->v[i]->kind, r->v[i]->name) != r->v[i])
			return "two records have the same name";
		count[r->v[i]->kind]++;
	}
	if (count[CN_VAULT__HASH] != 1 || count[CN_VAULT__TOKEN] != 1 ||
	    count[CN_VAULT__FINGER] != 1 || count[CN_VAULT__HISTORY] < 1)
		return "a key of the vault's own is missing";
	return NULL;
}
