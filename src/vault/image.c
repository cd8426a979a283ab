/*
 * The vault's file as bytes: header, slots, encrypted body (design/security.md 2, first two
 * tables).  Pure but for the random nonce; opens no file and asks nobody.
 *
 * The body's AD is everything before it, so that nobody without the root key can add,
 * remove, reorder or weaken a slot, or turn back the generation.
 */
#include "vault_impl.h"

#include <sodium.h>

static const unsigned char magic[8] = {0x89, 0x43, 0x4e, 0x54, 0x56, 0x0d, 0x0a, 0x1a};

#define AT_MAGIC      0
#define AT_FORMAT     8
#define AT_OLDEST     10
#define AT_SUITE      12
#define AT_SLOTS      14
#define AT_FLAGS      15
#define AT_ID         16
#define AT_GENERATION 32
#define AT_LENGTH     40
#define AT_RESERVED   44

#define NONCE    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define OVERHEAD (NONCE + crypto_aead_xchacha20poly1305_ietf_ABYTES)

static size_t head_length(unsigned n_slots)
{
	return CN_VAULT__HEAD + (size_t)n_slots * CN_VAULT__SLOT;
}

/* The only derived key; gone when its one use is over. */
static struct cn_secret *body_key(const struct cn_secret *root)
{
	struct cn_secret *key = cn_secret__new(CN_VAULT__KEY);
	crypto_kdf_derive_from_key(key->p, CN_VAULT__KEY, 1, "CNTOBODY",
	                           cn_secret__read(root));
	cn_secret__rest(root);
	cn_secret__filled(key);
	return key;
}

static void encode_head(const struct cn_vault__head *h, size_t body, unsigned char *p)
{
	memset(p, 0, CN_VAULT__HEAD);
	memcpy(p + AT_MAGIC, magic, sizeof(magic));
	cn_vault__put(p + AT_FORMAT, 2, 1);
	cn_vault__put(p + AT_OLDEST, 2, 1);
	cn_vault__put(p + AT_SUITE, 2, 1);
	p[AT_SLOTS] = (unsigned char)h->n_slots;
	memcpy(p + AT_ID, h->id, CN_VAULT__ID);
	cn_vault__put(p + AT_GENERATION, 8, h->generation);
	cn_vault__put(p + AT_LENGTH, 4, body);
	for (unsigned i = 0; i < h->n_slots; i++)
		memcpy(p + head_length(i), h->slots[i].b, CN_VAULT__SLOT);
}

void cn_vault__image_seal(const struct cn_vault__head *head, const struct cn_secret *root,
                          const struct cn_vault__ring *ring, struct cn_buf *ret)
{
	struct cn_secret *plain = cn_vault__body_encode(ring), *key = body_key(root);
	size_t body = OVERHEAD + plain->n, ad = head_length(head->n_slots);
	unsigned char *p = (unsigned char *)cn_buf_reserve(ret, ad + body);
	encode_head(head, body, p);
	cn_random(p + ad, NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(p + ad + NONCE, NULL,
	                                           cn_secret__read(plain), plain->n, p, ad,
	                                           NULL, p + ad, cn_secret__read(key));
	cn_secret__rest(plain);
	cn_secret__rest(key);
	cn_secret_free(plain);
	cn_secret_free(key);
	ret->n += ad + body;
}

static const char *check_fixed(const unsigned char *p)
{
	if (memcmp(p + AT_MAGIC, magic, sizeof(magic)) != 0)
		return "this is not a vault";
	if (cn_vault__get(p + AT_FORMAT, 2) != 1 || cn_vault__get(p + AT_OLDEST, 2) != 1)
		return "the format is unknown to this version";
	if (cn_vault__get(p + AT_SUITE, 2) != 1)
		return "the suite is unknown to this version";
	if (p[AT_SLOTS] < 1 || p[AT_SLOTS] > CN_VAULT__SLOTS)
		return "the number of slots is not possible";
	if (p[AT_FLAGS] || !sodium_is_zero(p + AT_RESERVED, CN_VAULT__HEAD - AT_RESERVED))
		return "reserved bytes of the header are not zero";
	return NULL;
}

const char *cn_vault__image_decode(struct cn_view file, struct cn_vault__head *ret,
                                   struct cn_view *retbody)
{
	const unsigned char *p = (const unsigned char *)file.p;
	if (file.n < CN_VAULT__HEAD)
		return "the file is too short";
	if (file.n >= CN_VAULT__FILE_MAX)
		return "the file is too long";
	const char *why = check_fixed(p);
	if (why)
		return why;
	struct cn_vault__head h = {.n_slots = p[AT_SLOTS]};
	size_t ad = head_length(h.n_slots), body = cn_vault__get(p + AT_LENGTH, 4);
	if (body < OVERHEAD || file.n != ad + body)
		return "the length is not what the header says";
	memcpy(h.id, p + AT_ID, CN_VAULT__ID);
	h.generation = cn_vault__get(p + AT_GENERATION, 8);
	for (unsigned i = 0; i < h.n_slots; i++) {
		memcpy(h.slots[i].b, p + head_length(i), CN_VAULT__SLOT);
		why = cn_vault__slot_check(&h.slots[i]);
		if (why)
			return why;
	}
	*ret = h;
	*retbody = cn_view_from(file, ad);
	return NULL;
}

const char *cn_vault__image_open(struct cn_view file, const struct cn_vault__head *head,
                                 const struct cn_secret *root, struct cn_vault__ring *ret)
{
	size_t ad = head_length(head->n_slots);
	const unsigned char *p = (const unsigned char *)file.p, *body = p + ad;
	struct cn_secret *key = body_key(root);
	struct cn_secret *plain = cn_secret__new(file.n - ad - OVERHEAD);
	int bad = crypto_aead_xchacha20poly1305_ietf_decrypt(
	    plain->p, NULL, NULL, body + NONCE, file.n - ad - NONCE, p, ad, body,
	    cn_secret__read(key));
	cn_secret__rest(key);
	cn_secret_free(key);
	cn_secret__filled(plain);
	const char *why = "the body does not verify";
	if (!bad) {
		why = cn_vault__body_decode(cn_secret__read(plain), plain->n, ret);
		cn_secret__rest(plain);
	}
	cn_secret_free(plain);
	return why;
}
