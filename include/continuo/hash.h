/*
 * Hashes, random bytes and their text forms; the one place of base/ that uses libsodium.
 * cn_hash_setup() first, before any thread.
 */
#ifndef CONTINUO_HASH_H
#define CONTINUO_HASH_H

#include "continuo/buf.h"

#define CN_HASH_BYTES 32

struct cn_hash {
	unsigned char b[CN_HASH_BYTES];
};

/* Initialises libsodium; aborts when the system has no randomness.  Idempotent. */
void cn_hash_setup(void);
/* BLAKE2b-256 of the views in order, each preceded by its length as 8 bytes little-endian.
 */
struct cn_hash cn_hash_views(const struct cn_view *views, size_t n);
/* BLAKE2b-256 of v as it is, unkeyed: for comparing bytes we hold, never for storage. */
struct cn_hash cn_hash_bytes(struct cn_view v);
bool cn_hash_eq(const struct cn_hash *a, const struct cn_hash *b);
/* 64-bit SipHash under a key made at start: for tables that peers can fill. */
uint64_t cn_hash_table(struct cn_view v);

#define CN_DIGEST_BYTES 16
#define CN_DIGEST_KEY   16
struct cn_digest {
	unsigned char b[CN_DIGEST_BYTES];
};
/*
 * 128-bit SipHash: tells bytes apart nearly three times as fast as BLAKE2b, also those that
 * somebody chose who does not know the key.
 */
struct cn_digest cn_hash_digest(const unsigned char key[CN_DIGEST_KEY], struct cn_view v);

/* Overwrites bytes that were secret; NULL is allowed for n 0. */
void cn_wipe(void *p, size_t n);

void cn_random(void *p, size_t n);
uint64_t cn_random_below(uint64_t n); /* uniform in 0..n-1; n > 0 */
/* n random characters of [A-Za-z0-9], appended: message, tool and request ids. */
void cn_random_id(struct cn_buf *b, size_t n);

void cn_hex(struct cn_buf *b, const void *p, size_t n);       /* lower case */
bool cn_unhex(struct cn_view text, void *ret, size_t n);      /* exactly 2n digits */
void cn_base64url(struct cn_buf *b, const void *p, size_t n); /* no padding */

#endif
