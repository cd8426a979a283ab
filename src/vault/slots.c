/*
 * Slots: who can unwrap the root key, and what that costs (design/security.md 2, "Keys" and
 * "Cost").  A slot is handled as the 160 bytes it is in the file.
 *
 * Pure but for randomness and the time that Argon2 takes.  Deliberately without a choice of
 * algorithms: the suite is one number in the file's header.
 */
#include "vault_impl.h"

#include <sodium.h>

/* Offsets; type, limits and salt come first because they are the slot's AD. */
#define AT_TYPE       0
#define AT_OPS        4
#define AT_MEM        8
#define AT_SALT       16
#define AT_NONCE      32
#define AT_WRAPPED    56
#define AT_COMMITMENT 104
#define AT_LABEL      136

#define AD_BYTES (sizeof("continuo/1/slot") - 1 + CN_VAULT__ID + AT_NONCE)

#define MIB ((uint64_t)1 << 20)

/* libsodium's MODERATE, about 1 s on a small machine. */
const struct cn_vault__cost cn_vault__cost_default = {3, 256 * MIB};
static const struct cn_vault__cost cost_small = {3, 64 * MIB};
/* Below: the OWASP minimum.  Above: a hostile file must not hang us. */
static const struct cn_vault__cost cost_min = {2, 19 * MIB}, cost_max = {16, 1024 * MIB};

_Static_assert(crypto_pwhash_SALTBYTES == AT_NONCE - AT_SALT, "salt");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == AT_WRAPPED - AT_NONCE,
               "nonce");
_Static_assert(CN_VAULT__KEY + crypto_aead_xchacha20poly1305_ietf_ABYTES ==
                   AT_COMMITMENT - AT_WRAPPED,
               "wrapped root key");

enum cn_vault__slot_type cn_vault__slot_type(const struct cn_vault__slot *s)
{
	return s->b[AT_TYPE];
}

struct cn_vault__cost cn_vault__slot_cost(const struct cn_vault__slot *s)
{
	return (struct cn_vault__cost){(uint32_t)cn_vault__get(s->b + AT_OPS, 4),
	                               cn_vault__get(s->b + AT_MEM, 8)};
}

void cn_vault__slot_label(const struct cn_vault__slot *s, char ret[25])
{
	memcpy(ret, s->b + AT_LABEL, 24);
	ret[24] = '\0';
}

const char *cn_vault__slot_check(const struct cn_vault__slot *s)
{
	struct cn_vault__cost c = cn_vault__slot_cost(s);
	if (cn_vault__get(s->b + AT_TYPE + 1, 3) != 0)
		return "reserved bytes of a slot are not zero";
	switch (cn_vault__slot_type(s)) {
	case CN_VAULT__PASSPHRASE:
		if (c.ops < cost_min.ops || c.mem < cost_min.mem)
			return "a slot is cheaper than allowed";
		if (c.ops > cost_max.ops || c.mem > cost_max.mem)
			return "a slot is dearer than allowed";
		return NULL;
	case CN_VAULT__RAW_KEY:
		return c.ops || c.mem ? "a key slot has a cost" : NULL;
	}
	return "unknown type of slot";
}

/* ---- keys ---- */

static void slot_ad(const struct cn_vault__slot *s, const unsigned char *id,
                    unsigned char ret[AD_BYTES])
{
	size_t n = sizeof("continuo/1/slot") - 1;
	memcpy(ret, "continuo/1/slot", n);
	memcpy(ret + n, id, CN_VAULT__ID);
	memcpy(ret + n + CN_VAULT__ID, s->b, AT_NONCE);
}

static void commitment(const struct cn_vault__slot *s, const unsigned char *id,
                       const unsigned char *kek, unsigned char ret[CN_HASH_BYTES])
{
	static const char tag[] = "continuo/1/commit";
	unsigned char ad[AD_BYTES];
	crypto_generichash_state h;
	slot_ad(s, id, ad);
	crypto_generichash_init(&h, kek, CN_VAULT__KEY, CN_HASH_BYTES);
	crypto_generichash_update(&h, (const unsigned char *)tag, sizeof(tag) - 1);
	crypto_generichash_update(&h, ad, sizeof(ad));
	crypto_generichash_final(&h, ret, CN_HASH_BYTES);
	cn_wipe(&h, sizeof(h));
}

/* NULL: the memory that the slot asks for is not there. */
static struct cn_secret *derive(const struct cn_vault__slot *s,
                                const struct cn_secret *secret)
{
	static const char tag[] = "continuo/1/keyfile";
	struct cn_vault__cost cost = cn_vault__slot_cost(s);
	struct cn_secret *kek = cn_secret__new(CN_VAULT__KEY);
	const unsigned char *p = cn_secret__read(secret);
	int bad = 0;
	if (cn_vault__slot_type(s) == CN_VAULT__PASSPHRASE) {
		bad = crypto_pwhash(kek->p, CN_VAULT__KEY, (const char *)p, secret->n,
		                    s->b + AT_SALT, cost.ops, (size_t)cost.mem,
		                    crypto_pwhash_ALG_ARGON2ID13);
	} else {
		unsigned char text[sizeof(tag) - 1 + crypto_pwhash_SALTBYTES];
		memcpy(text, tag, sizeof(tag) - 1);
		memcpy(text + sizeof(tag) - 1, s->b + AT_SALT, crypto_pwhash_SALTBYTES);
		bad = crypto_generichash(kek->p, CN_VAULT__KEY, text, sizeof(text), p,
		                         secret->n);
	}
	cn_secret__rest(secret);
	cn_secret__filled(kek);
	return bad ? cn_secret_free(kek) : kek;
}

int cn_vault__slot_make(struct cn_vault__slot *s, enum cn_vault__slot_type type,
                        const struct cn_secret *secret, struct cn_vault__cost cost,
                        struct cn_secret **retkek, struct cn_error *reterr)
{
	const char *label = type == CN_VAULT__PASSPHRASE ? "passphrase" : "key file";
	*s = (struct cn_vault__slot){0};
	s->b[AT_TYPE] = (unsigned char)type;
	cn_random(s->b + AT_SALT, crypto_pwhash_SALTBYTES);
	memcpy(s->b + AT_LABEL, label, strlen(label));
	if (type == CN_VAULT__PASSPHRASE) {
		cn_vault__put(s->b + AT_OPS, 4, cost.ops);
		cn_vault__put(s->b + AT_MEM, 8, cost.mem);
	}
	struct cn_secret *kek = derive(s, secret);
	if (!kek && cost.mem > cost_small.mem) {
		cn_vault__put(s->b + AT_OPS, 4, cost_small.ops);
		cn_vault__put(s->b + AT_MEM, 8, cost_small.mem);
		kek = derive(s, secret);
	}
	if (!kek)
		return cn_fail(reterr, CN_E_LIMIT,
		               "not enough memory to derive a key from a passphrase");
	*retkek = kek;
	return 0;
}

/* ---- wrapping ---- */

void cn_vault__slot_wrap(struct cn_vault__slot *s, const unsigned char *id,
                         const struct cn_secret *kek, const struct cn_secret *root)
{
	unsigned char ad[AD_BYTES];
	const unsigned char *k = cn_secret__read(kek), *r = cn_secret__read(root);
	slot_ad(s, id, ad);
	cn_random(s->b + AT_NONCE, AT_WRAPPED - AT_NONCE);
	commitment(s, id, k, s->b + AT_COMMITMENT);
	crypto_aead_xchacha20poly1305_ietf_encrypt(s->b + AT_WRAPPED, NULL, r,
	                                           CN_VAULT__KEY, ad, sizeof(ad), NULL,
	                                           s->b + AT_NONCE, k);
	cn_secret__rest(kek);
	cn_secret__rest(root);
}

const char *cn_vault__slot_unwrap(const struct cn_vault__slot *s, const unsigned char *id,
                                  const struct cn_secret *kek, struct cn_secret **retroot)
{
	unsigned char ad[AD_BYTES], want[CN_HASH_BYTES];
	const unsigned char *k = cn_secret__read(kek);
	const char *why = NULL;
	struct cn_secret *root = cn_secret__new(CN_VAULT__KEY);
	slot_ad(s, id, ad);
	commitment(s, id, k, want);
	/* Before decrypting: this cipher does not commit to its key (security 2). */
	if (sodium_memcmp(want, s->b + AT_COMMITMENT, sizeof(want)) != 0)
		why = "the commitment of a slot does not match";
	else if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		     root->p, NULL, NULL, s->b + AT_WRAPPED, AT_COMMITMENT - AT_WRAPPED, ad,
		     sizeof(ad), s->b + AT_NONCE, k) != 0)
		why = "the wrapped root key does not verify";
	cn_secret__rest(kek);
	cn_secret__filled(root);
	if (why)
		root = cn_secret_free(root);
	*retroot = root;
	return why;
}

const char *cn_vault__slot_open(const struct cn_vault__slot *s, const unsigned char *id,
                                const struct cn_secret *secret, struct cn_secret **retkek,
                                struct cn_secret **retroot)
{
	if (cn_vault__slot_type(s) == CN_VAULT__RAW_KEY && secret->n != CN_VAULT__KEY)
		return "a raw key that has not 32 bytes";
	struct cn_secret *kek = derive(s, secret), *root = NULL;
	if (!kek)
		return "not enough memory for the cost of a slot";
	const char *why = cn_vault__slot_unwrap(s, id, kek, &root);
	if (why) {
		cn_secret_free(kek);
		return why;
	}
	*retkek = kek;
	*retroot = root;
	return NULL;
}
