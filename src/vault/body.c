/*
 * Records as bytes: the plaintext of the vault's body (design/security.md 2, "Keys").
 *
 *	count 4, then for each record: its length 4, kind 8, name 2+n, created 8,
 *	not-after 8, number of origins 2, each 2+n, secret 4+n; then sodium_pad() to 1024
 *
 * All little-endian.  Lengths before bytes throughout, so that no text parser ever touches
 * a secret; a kind that is unknown is refused, never guessed.  The plaintext exists only in
 * guarded memory.  Pure.
 */
#include "vault_impl.h"

#include <sodium.h>

#define BLOCK 1024
#define TAG   8

static const char tags[CN_VAULT__KINDS][TAG + 1] = {
    [CN_VAULT__PROVIDER] = "CNTOPROV", [CN_VAULT__HISTORY] = "CNTOHIST",
    [CN_VAULT__HASH] = "CNTOHASH",     [CN_VAULT__TOKEN] = "CNTOTOKN",
    [CN_VAULT__FINGER] = "CNTOFING",
};

/* ---- out ---- */

/* Without p it only measures. */
struct out {
	unsigned char *p;
	size_t n;
};

static void put(struct out *o, const void *bytes, size_t n)
{
	if (o->p && n)
		memcpy(o->p + o->n, bytes, n);
	o->n += n;
}

static void put_number(struct out *o, size_t width, uint64_t x)
{
	unsigned char b[8];
	cn_vault__put(b, sizeof(b), x);
	put(o, b, width);
}

static void put_text(struct out *o, const char *s)
{
	put_number(o, 2, strlen(s));
	put(o, s, strlen(s));
}

static void put_record(struct out *o, const struct cn_vault__record *r)
{
	put(o, tags[r->kind], TAG);
	put_text(o, r->name);
	put_number(o, 8, r->created_ms);
	put_number(o, 8, r->not_after_ms);
	put_number(o, 2, r->n_origins);
	for (size_t i = 0; i < r->n_origins; i++)
		put_text(o, r->origins[i]);
	put_number(o, 4, r->secret->n);
	put(o, cn_secret__read(r->secret), r->secret->n);
	cn_secret__rest(r->secret);
}

static void put_ring(struct out *o, const struct cn_vault__ring *ring)
{
	put_number(o, 4, ring->n);
	for (size_t i = 0; i < ring->n; i++) {
		struct out measure = {0};
		put_record(&measure, ring->v[i]);
		put_number(o, 4, measure.n);
		put_record(o, ring->v[i]);
	}
}

struct cn_secret *cn_vault__body_encode(const struct cn_vault__ring *ring)
{
	struct out measure = {0};
	put_ring(&measure, ring);
	size_t padded = measure.n / BLOCK * BLOCK + BLOCK, n;
	struct cn_secret *s = cn_secret__new(padded);
	struct out o = {s->p, 0};
	put_ring(&o, ring);
	int failed = sodium_pad(&n, s->p, o.n, BLOCK, padded);
	cn_assert(!failed && n == padded);
	cn_secret__filled(s);
	return s;
}

/* ---- in ---- */

struct in {
	const unsigned char *p;
	size_t n;
};

static bool take(struct in *in, size_t n, struct in *ret)
{
	if (n > in->n)
		return false;
	*ret = (struct in){in->p, n};
	in->p += n;
	in->n -= n;
	return true;
}

static bool take_number(struct in *in, size_t width, uint64_t *ret)
{
	struct in b;
	if (!take(in, width, &b))
		return false;
	*ret = cn_vault__get(b.p, width);
	return true;
}

/* A length of that many bytes, then as many bytes as it says. */
static bool take_counted(struct in *in, size_t width, struct in *ret)
{
	uint64_t n;
	return take_number(in, width, &n) && n <= SIZE_MAX && take(in, (size_t)n, ret);
}

static struct cn_view text(struct in in)
{
	return cn_view((const char *)in.p, in.n);
}

static bool take_kind(struct in *in, enum cn_vault__kind *ret)
{
	struct in tag;
	if (!take(in, TAG, &tag))
		return false;
	for (unsigned i = 0; i < CN_VAULT__KINDS; i++)
		if (memcmp(tag.p, tags[i], TAG) == 0) {
			*ret = (enum cn_vault__kind)i;
			return true;
		}
	return false;
}

/* Origins must stand there as we write them: one form, one meaning. */
static bool take_origins(struct in *in, uint64_t n, struct cn_vault__record *r)
{
	for (uint64_t i = 0; i < n; i++) {
		struct in origin;
		if (!take_counted(in, 2, &origin) ||
		    !cn_vault__record_add_origin(r, text(origin)) ||
		    r->n_origins != i + 1 || !cn_view_is(text(origin), r->origins[i]))
			return false;
	}
	return true;
}

static struct cn_vault__record *take_record(struct in *all)
{
	struct in in, name, origins, secret;
	enum cn_vault__kind kind;
	uint64_t created, not_after, n_origins;
	if (!take_counted(all, 4, &in) || !take_kind(&in, &kind) ||
	    !take_counted(&in, 2, &name) || !cn_vault__name_valid(text(name)) ||
	    !take_number(&in, 8, &created) || !take_number(&in, 8, &not_after) ||
	    !take_number(&in, 2, &n_origins))
		return NULL;
	origins = in;
	for (uint64_t i = 0; i < n_origins; i++)
		if (!take_counted(&in, 2, &secret))
			return NULL;
	if (!take_counted(&in, 4, &secret) || in.n != 0 || secret.n > CN_VAULT__SECRET_MAX)
		return NULL;
	struct cn_vault__record *r =
	    cn_vault__record_new(kind, text(name), cn_secret__copy(secret.p, secret.n));
	r->created_ms = created;
	r->not_after_ms = not_after;
	return take_origins(&origins, n_origins, r) ? r : cn_vault__record_unref(r);
}

static const char *take_ring(struct in *in, struct cn_vault__ring *ring)
{
	uint64_t count;
	if (!take_number(in, 4, &count) || count > CN_VAULT__RECORDS_MAX)
		return "the number of records is not possible";
	for (uint64_t i = 0; i < count; i++) {
		struct cn_vault__record *r = take_record(in);
		if (!r)
			return "a record cannot be read";
		ring->v =
		    cn_realloc(ring->v, (ring->n + 1) * sizeof(struct cn_vault__record *));
		ring->v[ring->n++] = r;
	}
	return in->n ? "there is more behind the records" : cn_vault__ring_check(ring);
}

const char *cn_vault__body_decode(const unsigned char *p, size_t n,
                                  struct cn_vault__ring *ret)
{
	size_t unpadded;
	struct cn_vault__ring ring = {0};
	if (n == 0 || n % BLOCK || sodium_unpad(&unpadded, p, n, BLOCK) != 0)
		return "the padding is not right";
	struct in in = {p, unpadded};
	const char *why = take_ring(&in, &ring);
	if (why) {
		cn_vault__ring_done(&ring);
		return why;
	}
	*ret = ring;
	return NULL;
}
