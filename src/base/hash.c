/*
 * Hashes, random bytes and their text forms.  The one file of base/ that knows libsodium;
 * owns the key of cn_hash_table(), made once by cn_hash_setup() before any thread starts.
 *
 * No keyed hashes and no secrets here: those are the vault's.
 */
#include "continuo/hash.h"

#include <sodium.h>

static struct {
	bool ready;
	unsigned char table_key[crypto_shorthash_KEYBYTES];
} state;

void cn_hash_setup(void)
{
	if (state.ready)
		return;
	int failed = sodium_init();
	cn_assert(failed >= 0); /* no randomness: nothing we do would be safe */
	randombytes_buf(state.table_key, sizeof(state.table_key));
	state.ready = true;
}

static const unsigned char *bytes(struct cn_view v)
{
	return (const unsigned char *)(v.p ? v.p : "");
}

struct cn_hash cn_hash_views(const struct cn_view *views, size_t n)
{
	crypto_generichash_state h;
	struct cn_hash hash;
	crypto_generichash_init(&h, NULL, 0, sizeof(hash.b));
	for (size_t i = 0; i < n; i++) {
		unsigned char length[8];
		for (size_t k = 0; k < sizeof(length); k++)
			length[k] = (unsigned char)((uint64_t)views[i].n >> (8 * k));
		crypto_generichash_update(&h, length, sizeof(length));
		crypto_generichash_update(&h, bytes(views[i]), views[i].n);
	}
	crypto_generichash_final(&h, hash.b, sizeof(hash.b));
	return hash;
}

struct cn_hash cn_hash_bytes(struct cn_view v)
{
	struct cn_hash hash;
	crypto_generichash(hash.b, sizeof(hash.b), bytes(v), v.n, NULL, 0);
	return hash;
}

bool cn_hash_eq(const struct cn_hash *a, const struct cn_hash *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

uint64_t cn_hash_table(struct cn_view v)
{
	uint64_t hash;
	_Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "SipHash gives 64 bits");
	cn_assert(state.ready);
	crypto_shorthash((unsigned char *)&hash, bytes(v), v.n, state.table_key);
	return hash;
}

struct cn_digest cn_hash_digest(const unsigned char key[CN_DIGEST_KEY], struct cn_view v)
{
	struct cn_digest digest;
	_Static_assert(CN_DIGEST_BYTES == crypto_shorthash_siphashx24_BYTES &&
	                   CN_DIGEST_KEY == crypto_shorthash_siphashx24_KEYBYTES,
	               "SipHash's own sizes");
	crypto_shorthash_siphashx24(digest.b, bytes(v), v.n, key);
	return digest;
}

void cn_wipe(void *p, size_t n)
{
	if (n)
		sodium_memzero(p, n);
}

void cn_random(void *p, size_t n)
{
	cn_assert(state.ready);
	randombytes_buf(p, n);
}

uint64_t cn_random_below(uint64_t n)
{
	cn_assert(n > 0);
	/* 2^64 mod n: the numbers below it would make small results likelier. */
	uint64_t uneven = -n % n, r;
	do
		cn_random(&r, sizeof(r));
	while (r < uneven);
	return r % n;
}

void cn_random_id(struct cn_buf *b, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const size_t base = sizeof(digits) - 1;
	while (n > 0) {
		unsigned char random[32];
		cn_random(random, sizeof(random));
		for (size_t i = 0; i < sizeof(random) && n > 0; i++) {
			if (random[i] >= 256 / base * base)
				continue; /* would favour the first digits */
			cn_buf_add_char(b, digits[random[i] % base]);
			n--;
		}
	}
}

void cn_hex(struct cn_buf *b, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = p;
	for (size_t i = 0; i < n; i++) {
		cn_buf_add_char(b, digits[in[i] >> 4]);
		cn_buf_add_char(b, digits[in[i] & 15]);
	}
}

/* 16 and above: no digit */
static unsigned hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A' + 10);
	return 16;
}

bool cn_unhex(struct cn_view text, void *ret, size_t n)
{
	unsigned char *out = ret;
	if (text.n / 2 != n || text.n % 2)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (hex_digit(text.p[i]) > 15)
			return false;
	for (size_t i = 0; i < n; i++) {
		unsigned high = hex_digit(text.p[2 * i]),
			 low = hex_digit(text.p[2 * i + 1]);
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

void cn_base64url(struct cn_buf *b, const void *p, size_t n)
{
	const int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
	size_t room = sodium_base64_ENCODED_LEN(n, variant); /* with a NUL */
	sodium_bin2base64(cn_buf_reserve(b, room), room, p, n, variant);
	b->n += room - 1;
}
