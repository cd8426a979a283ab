/*
 * Values: compressed, sealed, split; and back.
 *
 * A stored value is a byte of form, the plain text's length (8 bytes), and the sealed
 * text; or, when that is over 64 KiB, the sealed text's length, the text itself standing
 * in 32 KiB pieces in a database of their own (LMDB wants neighbouring pages for one
 * value, which an old file has no more).  The associated data is the database's name, the
 * key, the schema, the form and the plain length, so that no record can be moved, cut or
 * swapped; the vault's epoch stands before the ciphertext and picks the key.
 *
 * Any thread; put and del the writer's.  Does not know what values mean.
 */
#include "store_impl.h"

#define CN_FORM_PACKED ((unsigned char)1) /* zstd */
#define CN_FORM_PIECES ((unsigned char)2)
#define CN_HEAD        ((size_t)9)
#define CN_ZSTD_LEVEL  3

static void put_le(char *p, uint64_t n, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (char)(n >> (8 * i));
}

static uint64_t get_le(const char *p, size_t bytes)
{
	uint64_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return n;
}

struct cn_ad {
	char p[16 + CN_STORE_MAX_KEY + 13];
	size_t n;
};

static struct cn_ad make_ad(enum cn_store_db db, struct cn_view key, unsigned char form,
                            uint64_t plain)
{
	struct cn_ad ad = {.n = 0};
	const char *name = cn_store__db_name(db);
	size_t n = strlen(name) + 1; /* the NUL ends the name */

	cn_assert(n <= 16 && key.n <= CN_STORE_MAX_KEY);
	memcpy(ad.p, name, n);
	memcpy(ad.p + n, key.p, key.n);
	ad.n = n + key.n;
	put_le(ad.p + ad.n, CN_STORE_SCHEMA, 4);
	ad.p[ad.n + 4] = (char)(form & CN_FORM_PACKED);
	put_le(ad.p + ad.n + 5, plain, 8);
	ad.n += 13;
	return ad;
}

/* database, key, number (big-endian, so that pieces lie in order) */
static struct cn_view piece_key(char *p, enum cn_store_db db, struct cn_view key, size_t i)
{
	p[0] = (char)db;
	memcpy(p + 1, key.p, key.n);
	p[1 + key.n] = (char)(i >> 24);
	p[2 + key.n] = (char)(i >> 16);
	p[3 + key.n] = (char)(i >> 8);
	p[4 + key.n] = (char)i;
	return cn_view(p, key.n + 5);
}

/* ---- in ---- */

/* Compresses into s->plain unless that gains nothing; returns the form. */
static unsigned char pack(struct cn_store *s, struct cn_view plain, struct cn_view *ret)
{
	size_t n, bound = ZSTD_compressBound(plain.n);
	char *p;

	*ret = plain;
	if (plain.n < CN_STORE_MIN_TO_PACK)
		return 0;
	cn_buf_clear(&s->plain);
	p = cn_buf_reserve(&s->plain, bound);
	n = ZSTD_compressCCtx(s->zstd, p, bound, plain.p, plain.n, CN_ZSTD_LEVEL);
	if (ZSTD_isError(n) || n >= plain.n)
		return 0;
	*ret = cn_view(p, n);
	return CN_FORM_PACKED;
}

static int put_pieces(struct cn_store_txn *t, enum cn_store_db db, struct cn_view key,
                      struct cn_view sealed)
{
	char name[CN_STORE_MAX_KEY + 5];
	int rc = 0;

	for (size_t i = 0; sealed.n && rc == 0; i++) {
		struct cn_view piece = cn_view_cut(sealed, CN_STORE_PIECE);

		rc = cn_store__put(t, CN_DB_PIECES, piece_key(name, db, key, i), piece);
		sealed = cn_view_from(sealed, piece.n);
	}
	return rc;
}

int cn_store__value_put(struct cn_store_txn *t, enum cn_store_db db, struct cn_view key,
                        struct cn_view plain)
{
	struct cn_store *s = t->s;
	struct cn_buf *b = &s->packed;
	struct cn_view packed, sealed;
	struct cn_ad ad;
	unsigned char form;
	char head[CN_HEAD];
	int rc;

	cn_assert(plain.n <= CN_STORE_MAX_PLAIN);
	if ((rc = cn_store__value_del(t, db, key))) /* its pieces, if it has some */
		return rc;
	form = pack(s, plain, &packed);
	ad = make_ad(db, key, form, plain.n);
	cn_buf_clear(b);
	cn_buf_add(b, head, sizeof(head));
	s->crypt.seal(s->crypt.self, cn_view(ad.p, ad.n), packed, b);
	sealed = cn_view_from(cn_buf_view(b), CN_HEAD);
	put_le(b->p + 1, plain.n, 8);
	b->p[0] = (char)form;
	if (sealed.n <= CN_STORE_SPLIT_OVER)
		return cn_store__put(t, db, key, cn_buf_view(b));
	b->p[0] = (char)(form | CN_FORM_PIECES);
	if ((rc = put_pieces(t, db, key, sealed)))
		return rc;
	put_le(b->p + CN_HEAD, sealed.n, 8);
	return cn_store__put(t, db, key, cn_view_cut(cn_buf_view(b), CN_HEAD + 8));
}

int cn_store__value_del(struct cn_store_txn *t, enum cn_store_db db, struct cn_view key)
{
	MDB_val k = cn_store__val(key), v;
	char name[CN_STORE_MAX_KEY + 5];
	size_t pieces = 0;
	int rc = mdb_get(t->txn, t->s->dbi[db], &k, &v);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return rc;
	if (v.mv_size == CN_HEAD + 8 && (*(const char *)v.mv_data & CN_FORM_PIECES)) {
		uint64_t n = get_le((const char *)v.mv_data + CN_HEAD, 8);

		if (n <= 2 * CN_STORE_MAX_PLAIN)
			pieces = (n + CN_STORE_PIECE - 1) / CN_STORE_PIECE;
	}
	for (size_t i = 0; i < pieces && rc == 0; i++)
		rc = cn_store__del(t, CN_DB_PIECES, piece_key(name, db, key, i));
	return rc ? rc : cn_store__del(t, db, key);
}

/* ---- out ---- */

static int copy_pieces(struct cn_store *s, MDB_txn *txn, enum cn_store_db db,
                       struct cn_view key, uint64_t n, struct cn_buf *b)
{
	char name[CN_STORE_MAX_KEY + 5];

	if (n > 2 * CN_STORE_MAX_PLAIN)
		return CN_STORE_RC_UNSEALED;
	for (size_t i = 0; n; i++) {
		MDB_val k = cn_store__val(piece_key(name, db, key, i)), v;
		int rc = mdb_get(txn, s->dbi[CN_DB_PIECES], &k, &v);

		if (rc)
			return rc == MDB_NOTFOUND ? CN_STORE_RC_UNSEALED : rc;
		if (v.mv_size == 0 || v.mv_size > n)
			return CN_STORE_RC_UNSEALED;
		cn_buf_add_view(b, cn_store__view(v));
		n -= v.mv_size;
	}
	return 0;
}

int cn_store__value_copy(struct cn_store *s, MDB_txn *txn, enum cn_store_db db,
                         struct cn_view key, MDB_val stored, struct cn_buf *b)
{
	struct cn_view v = cn_store__view(stored);

	if (v.n < CN_HEAD)
		return CN_STORE_RC_UNSEALED;
	if (!(v.p[0] & CN_FORM_PIECES)) {
		cn_buf_add_view(b, v);
		return 0;
	}
	if (v.n != CN_HEAD + 8)
		return CN_STORE_RC_UNSEALED;
	cn_buf_add_view(b, cn_view_cut(v, CN_HEAD));
	return copy_pieces(s, txn, db, key, get_le(v.p + CN_HEAD, 8), b);
}

/* The plain length was authenticated with the sealed text: it bounds what may come out. */
static int unpack(struct cn_view packed, size_t plain, struct cn_buf *b)
{
	char *p = cn_buf_reserve(b, plain + 1);
	size_t n = ZSTD_decompress(p, plain, packed.p, packed.n);

	if (ZSTD_isError(n) || n != plain)
		return CN_STORE_RC_UNSEALED;
	b->n += n;
	return 0;
}

int cn_store__value_unseal(const struct cn_store *s, enum cn_store_db db,
                           struct cn_view key, struct cn_view copied, struct cn_buf *b)
{
	CN_AUTO(cn_buf) packed = {0};
	unsigned char form;
	uint64_t plain;
	struct cn_ad ad;

	if (copied.n < CN_HEAD)
		return CN_STORE_RC_UNSEALED;
	form = (unsigned char)copied.p[0];
	plain = get_le(copied.p + 1, 8);
	if ((form & ~(CN_FORM_PACKED | CN_FORM_PIECES)) || plain > CN_STORE_MAX_PLAIN)
		return CN_STORE_RC_UNSEALED;
	ad = make_ad(db, key, form, plain);
	if (s->crypt.open(s->crypt.self, cn_view(ad.p, ad.n), cn_view_from(copied, CN_HEAD),
	                  &packed, NULL))
		return CN_STORE_RC_UNSEALED;
	if (form & CN_FORM_PACKED)
		return unpack(cn_buf_view(&packed), plain, b);
	if (packed.n != plain)
		return CN_STORE_RC_UNSEALED;
	cn_buf_add_view(b, cn_buf_view(&packed));
	return 0;
}

int cn_store__value_get(struct cn_store *s, MDB_txn *txn, enum cn_store_db db,
                        struct cn_view key, struct cn_buf *b)
{
	CN_AUTO(cn_buf) copied = {0};
	MDB_val k = cn_store__val(key), v;
	int rc = mdb_get(txn, s->dbi[db], &k, &v);

	if (rc || (rc = cn_store__value_copy(s, txn, db, key, v, &copied)))
		return rc;
	return cn_store__value_unseal(s, db, key, cn_buf_view(&copied), b);
}
