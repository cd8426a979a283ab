/*
 * Arbitrary bytes as a vault's file, opened with a key; and, because no fuzzer gets past
 * the authentication, arbitrary bytes as the decrypted body.  What decodes must encode to
 * the same bytes again.
 */
#include "../../src/vault/vault_impl.h"

static void as_file(struct cn_view file)
{
	static const unsigned char key[CN_VAULT__KEY] = {42};
	struct cn_vault__head head;
	struct cn_vault__ring ring = {0};
	struct cn_view body;
	if (cn_vault__image_decode(file, &head, &body))
		return;
	struct cn_secret *s = cn_secret__copy(key, sizeof(key)), *kek, *root;
	for (unsigned i = 0; i < head.n_slots; i++) {
		if (cn_vault__slot_type(&head.slots[i]) != CN_VAULT__RAW_KEY ||
		    cn_vault__slot_open(&head.slots[i], head.id, s, &kek, &root))
			continue;
		if (!cn_vault__image_open(file, &head, root, &ring))
			cn_vault__ring_done(&ring);
		cn_secret_free(kek);
		cn_secret_free(root);
	}
	cn_secret_free(s);
}

static void as_body(struct cn_view body)
{
	struct cn_vault__ring ring = {0};
	if (cn_vault__body_decode((const unsigned char *)body.p, body.n, &ring))
		return;
	struct cn_secret *again = cn_vault__body_encode(&ring);
	cn_assert(again->n == body.n &&
	          memcmp(cn_secret__read(again), body.p, body.n) == 0);
	cn_secret_free(again);
	cn_vault__ring_done(&ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cn_hash_setup();
	struct cn_view v = cn_view((const char *)data, size);
	if (size && data[0] == 'B') {
		/* A body is a multiple of 1024: pad what the fuzzer gives as the encoder
		 * does. */
		CN_AUTO(cn_buf) body = {0};
		cn_buf_add_view(&body, cn_view_from(v, 1));
		cn_buf_add_char(&body, (char)0x80);
		while (body.n % 1024)
			cn_buf_add_char(&body, 0);
		as_body(cn_buf_view(&body));
	} else {
		as_file(v);
	}
	return 0;
}
