/*
 * The vault: keys at rest (design/security.md 2) and in locked memory (3).  It gives a
 * secret out only for an origin, only inside a callback.  The store, tokens and log get
 * functions (seal, open, keyed hash, fingerprint, scrub), never keys.
 */
#ifndef CONTINUO_VAULT_H
#define CONTINUO_VAULT_H

#include "continuo/hash.h"

struct cn_vault; /* thread-safe: its own lock */

/* A passphrase or a raw 32-byte key, in locked memory. */
struct cn_secret;
struct cn_secret *cn_secret_free(struct cn_secret *s); /* wipes; returns NULL */
/* Takes the bytes and wipes the caller's copy. */
struct cn_secret *cn_secret_take(void *bytes, size_t n);
/* Reads up to the first line end or end of file, at most 64 KiB; wipes its buffers. */
int cn_secret_read_fd(int fd, struct cn_secret **ret,
                      struct cn_error *reterr) CN_MUST_CHECK;
/* Asks on the terminal without echo.  CN_E_LOCKED without a terminal. */
int cn_secret_prompt(const char *prompt, struct cn_secret **ret,
                     struct cn_error *reterr) CN_MUST_CHECK;
size_t cn_secret_size(const struct cn_secret *s);
/* Characters of UTF-8: a passphrase that a person types has at least CN_PASSPHRASE_MIN. */
size_t cn_secret_characters(const struct cn_secret *s);
#define CN_PASSPHRASE_MIN 12
/* In constant time: whether a passphrase was typed twice alike. */
bool cn_secret_eq(const struct cn_secret *a, const struct cn_secret *b);

/* Where a key to open the vault may come from, in the order tried (security 2,
 * "Unlocking"). */
struct cn_unlock {
	int passphrase_fd, key_fd; /* -1: none */
	const char *key_file;      /* policy or the usual place; NULL: none */
	bool may_prompt;           /* a terminal may be asked */
	bool accept_older;         /* --accept-older-vault */
	bool require_mlock;
	/* Generation of this vault id that the store remembers; false when it knows none.
	 */
	bool (*known_generation)(void *self, const unsigned char id[16], uint64_t *ret);
	void *self;
};

/*
 * Makes a vault at path with a random key file at key_file (0400), or with a passphrase
 * slot when passphrase is not NULL, or both.  CN_E_EXISTS when there is one.  Blocks (KDF,
 * fsync).
 */
int cn_vault_create(const char *path, const char *key_file,
                    const struct cn_secret *passphrase,
                    struct cn_error *reterr) CN_MUST_CHECK;
/* Opens and unlocks.  CN_E_NOT_FOUND, CN_E_LOCKED (one wording for all), CN_E_DENIED
 * (modes). */
int cn_vault_open(const char *path, const struct cn_unlock *how, struct cn_vault **ret,
                  struct cn_error *reterr) CN_MUST_CHECK;
struct cn_vault *cn_vault_close(struct cn_vault *v); /* returns NULL */
/*
 * Takes over what another process saved since; any thread may borrow meanwhile, and keys
 * already lent stay valid.  how: as it was opened; nobody is asked and no descriptor is
 * read again.  *retchanged: whether there was anything new.  On failure what was opened
 * stays in force: CN_E_DENIED when the file is another vault or an older one, and as
 * cn_vault_open().
 */
int cn_vault_reload(struct cn_vault *v, const struct cn_unlock *how, bool *retchanged,
                    struct cn_error *reterr) CN_MUST_CHECK;
bool cn_vault_mlocked(const struct cn_vault *v); /* whether memory really is locked */
void cn_vault_id(const struct cn_vault *v, unsigned char ret[16]);
uint64_t cn_vault_generation(const struct cn_vault *v);

/* ---- provider keys ---- */

struct cn_vault_entry {
	const char *name;
	uint64_t created_ms, not_after_ms; /* Unix time; 0: no end */
	const char *const *origins;        /* "https://api.anthropic.com:443" */
	size_t n_origins;
	char fingerprint[9]; /* 8 hex digits, keyed */
};
void cn_vault_list(struct cn_vault *v,
                   void (*each)(void *self, const struct cn_vault_entry *e), void *self);
/* Where a key may go, and until when. */
struct cn_vault_terms {
	const char *const *origins; /* borrowed; "https://host[:port]", at least one */
	size_t n_origins;
	uint64_t not_after_ms; /* Unix time; 0: no end */
};
/* Adds or replaces; saves the file. */
int cn_vault_set(struct cn_vault *v, const char *name, struct cn_secret *value /* taken */,
                 const struct cn_vault_terms *terms, struct cn_error *reterr) CN_MUST_CHECK;
int cn_vault_remove(struct cn_vault *v, const char *name,
                    struct cn_error *reterr) CN_MUST_CHECK;
/* 0 when the key exists and may be sent to origin; CN_E_NOT_FOUND, CN_E_DENIED otherwise.
 */
int cn_vault_check(struct cn_vault *v, const char *name, const char *origin,
                   struct cn_error *reterr) CN_MUST_CHECK;
/*
 * Calls use() with the key's bytes, readable only for the call.  The same errors as check.
 */
int cn_vault_borrow(struct cn_vault *v, const char *name, const char *origin,
                    void (*use)(void *self, struct cn_view secret), void *self,
                    struct cn_error *reterr) CN_MUST_CHECK;

/* ---- functions for others ---- */

enum cn_vault_hash {
	CN_VAULT_HASH_NODE,
	CN_VAULT_HASH_TOKEN
};
/* Keyed BLAKE2b-256 under CNTOHASH or CNTOTOKN over the views, each with its length before
 * it. */
struct cn_hash cn_vault_hash(struct cn_vault *v, enum cn_vault_hash which,
                             const struct cn_view *views, size_t n);
/* 8 hex digits of a secret or foreign text under CNTOFING, NUL-terminated. */
void cn_vault_fingerprint(struct cn_vault *v, struct cn_view text, char ret[9]);
/* The newest history epoch's number, and how many bytes sealing adds. */
uint32_t cn_vault_epoch(struct cn_vault *v);
#define CN_SEAL_OVERHEAD (4 + 24 + 16) /* epoch, nonce, tag */
/* epoch || nonce || ciphertext of plain under the newest epoch key, with AD ad, appended to
 * b. */
void cn_vault_seal(struct cn_vault *v, struct cn_view ad, struct cn_view plain,
                   struct cn_buf *b);
/* The reverse; CN_E_DAMAGED when it does not verify or the epoch key is gone. */
int cn_vault_open_sealed(struct cn_vault *v, struct cn_view ad, struct cn_view sealed,
                         struct cn_buf *ret, struct cn_error *reterr) CN_MUST_CHECK;
/*
 * Overwrites every live secret (raw, percent-encoded, JSON-escaped, base64) and the
 * well-known shapes (sk-…, AIza…, Bearer …, key=…) in text with '*'.  In place; returns how
 * many.
 */
size_t cn_vault_scrub(struct cn_vault *v, char *text, size_t n);
/*
 * A secret that is not in the file but must be scrubbed too (the client's own credential).
 * NULL, which drop accepts, when it is too short (8 bytes) or long (8 KiB) to be one.
 */
struct cn_scrub_lease;
struct cn_scrub_lease *cn_vault_scrub_add(struct cn_vault *v, struct cn_view secret);
struct cn_scrub_lease *cn_vault_scrub_drop(struct cn_vault *v, struct cn_scrub_lease *l);

/* ---- the file's own life (continuo vault …) ---- */

/* Adds or replaces the passphrase slot; NULL removes it (refused when it is the last slot).
 */
int cn_vault_passwd(struct cn_vault *v, const struct cn_secret *passphrase,
                    struct cn_error *reterr) CN_MUST_CHECK;
/* Whether a passphrase slot costs less than a new one would: time for `vault passwd`. */
bool cn_vault_passphrase_is_weak(struct cn_vault *v);
/*
 * New root key, body re-encrypted, slots whose secret is at hand re-wrapped; confirm() is
 * asked about the labels of the others, which are dropped.  Opens a new history epoch.
 */
int cn_vault_rotate(struct cn_vault *v, const struct cn_unlock *at_hand,
                    bool (*confirm)(void *self, const char *labels), void *self,
                    struct cn_error *reterr) CN_MUST_CHECK;
/* The vault as one encrypted file under another passphrase, and back (entries merged). */
int cn_vault_export(struct cn_vault *v, const char *to, const struct cn_secret *passphrase,
                    struct cn_error *reterr) CN_MUST_CHECK;
int cn_vault_import(struct cn_vault *v, const char *from,
                    const struct cn_secret *passphrase, bool replace, size_t *retcount,
                    struct cn_error *reterr) CN_MUST_CHECK;
/* 128 random bits as 8 groups of letters and digits, for a generated passphrase. */
void cn_vault_suggest(char ret[48]);

#endif
