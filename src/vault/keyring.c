/*
 * Provider keys: listed, set, removed, and lent for one origin at a time.
 *
 * A borrower holds a reference to the record, so a key that is replaced meanwhile lives
 * until the last request that uses it has its head.  Any thread; set and remove block on
 * the file.  Deliberately hands no key out but inside a callback.
 */
#include "vault_impl.h"

#include "continuo/clock.h"

static void lock(struct cn_vault *v)
{
	int failed = pthread_mutex_lock(&v->lock);
	cn_assert(!failed);
}

static void unlock(struct cn_vault *v)
{
	int failed = pthread_mutex_unlock(&v->lock);
	cn_assert(!failed);
}

void cn_vault_list(struct cn_vault *v,
                   void (*each)(void *self, const struct cn_vault_entry *e), void *self)
{
	lock(v);
	struct cn_vault__ring ring = cn_vault__ring_copy(&v->ring);
	unlock(v);
	for (size_t i = 0; i < ring.n; i++) {
		const struct cn_vault__record *r = ring.v[i];
		if (r->kind != CN_VAULT__PROVIDER)
			continue;
		struct cn_vault_entry e = {.name = r->name,
		                           .created_ms = r->created_ms,
		                           .not_after_ms = r->not_after_ms,
		                           .origins = (const char *const *)r->origins,
		                           .n_origins = r->n_origins};
		memcpy(e.fingerprint, r->fingerprint, sizeof(e.fingerprint));
		each(self, &e);
	}
	lock(v);
	cn_vault__ring_done(&ring);
	unlock(v);
}

/* ---- changing ---- */

static int add_origins(struct cn_vault__record *r, const struct cn_vault_terms *t,
                       struct cn_error *reterr)
{
	if (t->n_origins == 0)
		return cn_fail(reterr, CN_E_INVALID,
		               "a key needs at least one origin that it may be sent to");
	for (size_t i = 0; i < t->n_origins; i++) {
		if (r->n_origins == CN_VAULT__ORIGINS_MAX)
			return cn_fail(reterr, CN_E_LIMIT, "a key may have %d origins",
			               CN_VAULT__ORIGINS_MAX);
		if (!cn_vault__record_add_origin(r, cn_view_str(t->origins[i])))
			return cn_fail(reterr, CN_E_INVALID,
			               "'%s' is not an origin: https://HOST[:PORT], or "
			               "http://HOST:PORT on this machine",
			               t->origins[i]);
	}
	return 0;
}

static int check_value(const struct cn_secret *value, struct cn_error *reterr)
{
	bool valid = cn_vault__value_valid(cn_secret__read(value), value->n);
	cn_secret__rest(value);
	if (valid)
		return 0;
	if (value->n < CN_VAULT__SECRET_MIN || value->n > CN_VAULT__SECRET_MAX)
		return cn_fail(reterr, CN_E_INVALID,
		               "a key has %d to %d characters, not %zu",
		               CN_VAULT__SECRET_MIN, CN_VAULT__SECRET_MAX, value->n);
	return cn_fail(reterr, CN_E_INVALID,
	               "a key is made of visible ASCII characters without spaces");
}

static int put(struct cn_vault *v, struct cn_vault__record *record /* taken */,
               struct cn_error *reterr)
{
	struct cn_vault__next next;
	cn_vault__begin(v, &next);
	lock(v);
	cn_vault__ring_put(&next.ring, record);
	unlock(v);
	int bad = 0;
	if (next.ring.n > CN_VAULT__RECORDS_MAX)
		bad = cn_fail(reterr, CN_E_LIMIT, "a vault holds at most %d records",
		              CN_VAULT__RECORDS_MAX);
	if (!bad)
		bad = cn_vault__save(v, &next, reterr);
	cn_vault__end(v, &next);
	return bad;
}

int cn_vault_set(struct cn_vault *v, const char *name, struct cn_secret *value,
                 const struct cn_vault_terms *terms, struct cn_error *reterr)
{
	struct cn_vault__record *r =
	    cn_vault__record_new(CN_VAULT__PROVIDER, cn_view_str(name), value);
	int bad = 0;
	if (!cn_vault__name_valid(cn_view_str(name)))
		bad = cn_fail(reterr, CN_E_INVALID,
		              "'%s' is no name: 1 to %d of letters, digits and ._:@-", name,
		              CN_VAULT__NAME_MAX);
	if (!bad)
		bad = check_value(value, reterr);
	if (!bad)
		bad = add_origins(r, terms, reterr);
	if (bad) {
		cn_vault__record_unref(r);
		return bad;
	}
	r->not_after_ms = terms->not_after_ms;
	return put(v, r, reterr);
}

static int no_such_key(const char *name, struct cn_error *reterr)
{
	return cn_fail(reterr, CN_E_NOT_FOUND, "the vault has no key named '%s'", name);
}

int cn_vault_remove(struct cn_vault *v, const char *name, struct cn_error *reterr)
{
	struct cn_vault__next next;
	int bad = 0;
	cn_vault__begin(v, &next);
	lock(v);
	size_t i = 0;
	while (i < next.ring.n && (next.ring.v[i]->kind != CN_VAULT__PROVIDER ||
	                           strcmp(next.ring.v[i]->name, name) != 0))
		i++;
	if (i < next.ring.n) {
		cn_vault__record_unref(next.ring.v[i]);
		memmove(&next.ring.v[i], &next.ring.v[i + 1],
		        (--next.ring.n - i) * sizeof(struct cn_vault__record *));
	} else {
		bad = no_such_key(name, reterr);
	}
	unlock(v);
	if (!bad)
		bad = cn_vault__save(v, &next, reterr);
	cn_vault__end(v, &next);
	return bad;
}

/* ---- lending ---- */

static int expired(const struct cn_vault__record *r, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) date = {0};
	cn_clock_format(&date, r->not_after_ms);
	return cn_fail(reterr, CN_E_DENIED, "the key '%s' was to be used until %s only",
	               r->name, cn_buf_cstr(&date));
}

/* The lock is held. */
static int find(struct cn_vault *v, const char *name, const char *origin,
                struct cn_vault__record **ret, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) wanted = {0};
	struct cn_vault__record *r =
	    cn_vault__ring_find(&v->ring, CN_VAULT__PROVIDER, name);
	bool allowed = false;
	if (!r)
		return no_such_key(name, reterr);
	if (cn_vault__origin(cn_view_str(origin), &wanted))
		for (size_t i = 0; i < r->n_origins; i++)
			allowed |= cn_view_is(cn_buf_view(&wanted), r->origins[i]);
	if (!allowed)
		return cn_fail(reterr, CN_E_DENIED,
		               "the key '%s' may not be sent to %s; `continuo vault list` "
		               "shows where it may go",
		               name, origin);
	if (r->not_after_ms && cn_clock_wall_ms() >= r->not_after_ms)
		return expired(r, reterr);
	*ret = r;
	return 0;
}

int cn_vault_check(struct cn_vault *v, const char *name, const char *origin,
                   struct cn_error *reterr)
{
	struct cn_vault__record *r = NULL;
	lock(v);
	int bad = find(v, name, origin, &r, reterr);
	unlock(v);
	return bad;
}

int cn_vault_borrow(struct cn_vault *v, const char *name, const char *origin,
                    void (*use)(void *self, struct cn_view secret), void *self,
                    struct cn_error *reterr)
{
	struct cn_vault__record *r = NULL;
	lock(v);
	int bad = find(v, name, origin, &r, reterr);
	if (!r) {
		unlock(v);
		return bad;
	}
	r->refs++;
	const char *p = (const char *)cn_secret__read(r->secret);
	unlock(v);
	use(self, cn_view(p, r->secret->n));
	lock(v);
	cn_secret__rest(r->secret);
	cn_vault__record_unref(r);
	unlock(v);
	return 0;
}
