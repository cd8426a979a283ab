/*
 * What others get instead of keys: keyed hashes, fingerprints, and sealing of records under
 * the history's epoch keys.
 *
 * The keys of these functions are readable as long as the vault is open (design/security.md
 * 3) and stay where they are, so only looking up an epoch takes the lock.  Any thread.
 */
#include "vault_impl.h"

#include <sodium.h>

#define EPOCH 4
#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG   crypto_aead_xchacha20poly1305_ietf_ABYTES

_Static_assert(EPOCH + NONCE + TAG == CN_SEAL_OVERHEAD, "the header says so");

static const unsigned char *bytes(struct cn_view v)
{
	return (const unsigned char *)(v.p ? v.p : "");
}

struct cn_hash cn_vault_hash(struct cn_vault *v, enum cn_vault_hash which,
                             const struct cn_view *views, size_t n)
{
	const unsigned char *key = which == CN_VAULT_HASH_NODE ? v->hash_key : v->token_key;
	crypto_generichash_state h;
	struct cn_hash hash;
	crypto_generichash_init(&h, key, CN_VAULT__KEY, sizeof(hash.b));
	for (size_t i = 0; i < n; i++) {
		unsigned char length[8];
		cn_vault__put(length, sizeof(length), views[i].n);
		crypto_generichash_update(&h, length, sizeof(length));
		crypto_generichash_update(&h, bytes(views[i]), views[i].n);
	}
	crypto_generichash_final(&h, hash.b, sizeof(hash.b));
	cn_wipe(&h, sizeof(h)); /* the key went through it */
	return hash;
}

void cn_vault_fingerprint(struct cn_vault *v, struct cn_view text, char ret[9])
{
	struct cn_hash hash;
	crypto_generichash(hash.b, sizeof(hash.b), bytes(text), text.n, v->finger_key,
	                   CN_VAULT__KEY);
	sodium_bin2hex(ret, 9, hash.b, 4);
}

/* The key of that epoch, of the newest for 0; NULL: there is none.  It stays as long as the
 * vault is open, because no change takes one away. */
static const unsigned char *epoch_key(struct cn_vault *v, uint32_t *epoch)
{
	const struct cn_vault__record *best = NULL;
	int failed = pthread_mutex_lock(&v->lock);
	cn_assert(!failed);
	for (size_t i = 0; i < v->ring.n; i++) {
		const struct cn_vault__record *r = v->ring.v[i];
		if (r->kind == CN_VAULT__HISTORY &&
		    (*epoch ? r->epoch == *epoch : !best || r->epoch > best->epoch))
			best = r;
	}
	failed = pthread_mutex_unlock(&v->lock);
	cn_assert(!failed);
	if (!best)
		return NULL;
	*epoch = best->epoch;
	return best->secret->p;
}

uint32_t cn_vault_epoch(struct cn_vault *v)
{
	uint32_t epoch = 0;
	(void)epoch_key(v, &epoch);
	return epoch;
}

void cn_vault_seal(struct cn_vault *v, struct cn_view ad, struct cn_view plain,
                   struct cn_buf *b)
{
	uint32_t epoch = 0;
	const unsigned char *key = epoch_key(v, &epoch);
	unsigned char *p = (unsigned char *)cn_buf_reserve(b, plain.n + CN_SEAL_OVERHEAD);
	cn_assert(key); /* ring_check(): there is always one */
	cn_vault__put(p, EPOCH, epoch);
	cn_random(p + EPOCH, NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(p + EPOCH + NONCE, NULL, bytes(plain),
	                                           plain.n, bytes(ad), ad.n, NULL,
	                                           p + EPOCH, key);
	b->n += plain.n + CN_SEAL_OVERHEAD;
}

int cn_vault_open_sealed(struct cn_vault *v, struct cn_view ad, struct cn_view sealed,
                         struct cn_buf *ret, struct cn_error *reterr)
{
	const unsigned char *p = bytes(sealed);
	if (sealed.n < CN_SEAL_OVERHEAD)
		return cn_fail(reterr, CN_E_DAMAGED, "a sealed record is too short");
	uint32_t epoch = (uint32_t)cn_vault__get(p, EPOCH);
	const unsigned char *key = epoch ? epoch_key(v, &epoch) : NULL;
	if (!key)
		return cn_fail(reterr, CN_E_DAMAGED, "the key of epoch %u is gone",
		               (unsigned)epoch);
	size_t plain = sealed.n - CN_SEAL_OVERHEAD;
	unsigned char *out = (unsigned char *)cn_buf_reserve(ret, plain);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, p + EPOCH + NONCE,
	                                               plain + TAG, bytes(ad), ad.n,
	                                               p + EPOCH, key) != 0)
		return cn_fail(reterr, CN_E_DAMAGED, "a sealed record does not verify");
	ret->n += plain;
	return 0;
}
