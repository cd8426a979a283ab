/*
 * What the files of vault/ share: guarded memory, the file and its layout, slots, records
 * and the scrubber's book.  Private to this folder (and to its tests).
 */
#ifndef CONTINUO_VAULT_IMPL_H
#define CONTINUO_VAULT_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "continuo/vault.h"

/* ---- numbers as the file has them ---- */

static inline uint64_t cn_vault__get(const unsigned char *p, size_t n)
{
	uint64_t x = 0;
	for (size_t i = 0; i < n; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

static inline void cn_vault__put(unsigned char *p, size_t n, uint64_t x)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(x >> (8 * i));
}

/* ---- secret.c: guarded memory ---- */

/*
 * Readable only while somebody reads.  Readers are counted without a lock: a secret belongs
 * to one thread, or to a vault, whose lock is held around read and rest.
 */
struct cn_secret {
	size_t n;
	unsigned char *p;  /* owned; sodium_malloc */
	unsigned *readers; /* owned; apart, because reading changes no secret */
	bool locked;       /* the system really keeps it out of swap */
};

/* Writable until cn_secret__filled(). */
struct cn_secret *cn_secret__new(size_t n);
void cn_secret__filled(struct cn_secret *s);
struct cn_secret *cn_secret__random(size_t n);
struct cn_secret *cn_secret__copy(const void *p, size_t n);
/* From read to the rest that belongs to it the bytes are readable. */
const unsigned char *cn_secret__read(const struct cn_secret *s);
void cn_secret__rest(const struct cn_secret *s);

/* ---- file.c: the directory, the file and its replacement ---- */

#define CN_VAULT__FILE_MAX ((size_t)1 << 20)
#define CN_VAULT__KEY      32

struct cn_vault__place {
	int dir;    /* owned descriptor of the directory; -1: none */
	char *path; /* owned; of the file */
	char *name; /* borrowed from path: the last part */
};

/* Opens the directory and checks whose it is. */
int cn_vault__place_open(struct cn_vault__place *p, const char *path,
                         struct cn_error *reterr) CN_MUST_CHECK;
void cn_vault__place_done(struct cn_vault__place *p);
/* The whole file, after the checks of "Opening" (security 2). */
int cn_vault__place_read(const struct cn_vault__place *p, struct cn_buf *ret,
                         struct cn_error *reterr) CN_MUST_CHECK;
/* Waits for the lock file. */
int cn_vault__place_lock(const struct cn_vault__place *p, int *ret,
                         struct cn_error *reterr) CN_MUST_CHECK;
void cn_vault__place_unlock(int lock_fd);
/*
 * The saving protocol under the lock.  A caller other than a test, which plays the crash
 * between two steps, gives CN_VAULT__STEPS.
 */
#define CN_VAULT__STEPS 6
int cn_vault__place_write(const struct cn_vault__place *p, struct cn_view bytes,
                          unsigned steps, struct cn_error *reterr) CN_MUST_CHECK;
/* Removes vault.prev for good. */
int cn_vault__place_forget(const struct cn_vault__place *p,
                           struct cn_error *reterr) CN_MUST_CHECK;

/* A file that is not the vault itself: no check but "regular" and the size limit. */
int cn_vault__read_file(const char *path, size_t max, struct cn_buf *ret,
                        struct cn_error *reterr) CN_MUST_CHECK;
/* A new file, 0600, synced; CN_E_EXISTS. */
int cn_vault__write_file(const char *path, struct cn_view bytes,
                         struct cn_error *reterr) CN_MUST_CHECK;
/* The 32 bytes of a key file.  CN_E_NOT_FOUND, CN_E_DENIED, CN_E_INVALID. */
int cn_vault__key_read(const char *path, struct cn_secret **ret,
                       struct cn_error *reterr) CN_MUST_CHECK;
/* Makes one of random bytes; one that is there already is taken as it is. */
int cn_vault__key_make(const char *path, struct cn_secret **ret,
                       struct cn_error *reterr) CN_MUST_CHECK;

/* ---- slots.c: who can unwrap the root key ---- */

#define CN_VAULT__ID    16
#define CN_VAULT__SLOT  160
#define CN_VAULT__SLOTS 8

enum cn_vault__slot_type {
	CN_VAULT__PASSPHRASE = 1,
	CN_VAULT__RAW_KEY = 2
};

/* As it stands in the file; the offsets are in slots.c. */
struct cn_vault__slot {
	unsigned char b[CN_VAULT__SLOT];
};

struct cn_vault__cost {
	uint32_t ops;
	uint64_t mem; /* bytes */
};
extern const struct cn_vault__cost cn_vault__cost_default;

/* What is wrong with a slot's form or cost, or NULL. */
const char *cn_vault__slot_check(const struct cn_vault__slot *s);
enum cn_vault__slot_type cn_vault__slot_type(const struct cn_vault__slot *s);
struct cn_vault__cost cn_vault__slot_cost(const struct cn_vault__slot *s);
/* NUL-terminated copy of the label. */
void cn_vault__slot_label(const struct cn_vault__slot *s, char ret[25]);
/*
 * A new slot for that secret and, in *retkek, its wrapping key.  Takes less memory than
 * cost asks for (64 MiB) where that is not to be had.
 */
int cn_vault__slot_make(struct cn_vault__slot *s, enum cn_vault__slot_type type,
                        const struct cn_secret *secret, struct cn_vault__cost cost,
                        struct cn_secret **retkek, struct cn_error *reterr) CN_MUST_CHECK;
/* Wraps root under the slot's key, with a new nonce. */
void cn_vault__slot_wrap(struct cn_vault__slot *s, const unsigned char *id,
                         const struct cn_secret *kek, const struct cn_secret *root);
/* The root key under its wrapping key, or why not; *retroot is then NULL. */
const char *cn_vault__slot_unwrap(const struct cn_vault__slot *s, const unsigned char *id,
                                  const struct cn_secret *kek, struct cn_secret **retroot);
/* The wrapping key and the root key, or why not. */
const char *cn_vault__slot_open(const struct cn_vault__slot *s, const unsigned char *id,
                                const struct cn_secret *secret, struct cn_secret **retkek,
                                struct cn_secret **retroot);

/* ---- ring.c: the records ---- */

enum cn_vault__kind {
	CN_VAULT__PROVIDER,
	CN_VAULT__HISTORY,
	CN_VAULT__HASH,
	CN_VAULT__TOKEN,
	CN_VAULT__FINGER,
	CN_VAULT__KINDS
};

#define CN_VAULT__NAME_MAX    60
#define CN_VAULT__RECORDS_MAX 512
#define CN_VAULT__ORIGINS_MAX 16
/* Shorter ones could not be told from ordinary words in a text to be scrubbed. */
#define CN_VAULT__SECRET_MIN 8
#define CN_VAULT__SECRET_MAX 8192

struct cn_vault__record {
	unsigned refs; /* under the vault's lock */
	enum cn_vault__kind kind;
	char *name;                        /* owned; of a history key its number */
	uint64_t created_ms, not_after_ms; /* Unix time; 0: no end */
	char **origins;                    /* owned, and each of them */
	size_t n_origins;
	uint32_t epoch;           /* of a history key, else 0 */
	struct cn_secret *secret; /* owned */
	char fingerprint[9];      /* "" until the ring is complete */
};

/* References to records; changing the vault swaps one ring for another. */
struct cn_vault__ring {
	struct cn_vault__record **v; /* owned array, one reference each */
	size_t n;
};

struct cn_vault__record *cn_vault__record_new(enum cn_vault__kind kind, struct cn_view name,
                                              struct cn_secret *secret /* taken */);
struct cn_vault__record *cn_vault__record_unref(struct cn_vault__record *r);
bool cn_vault__record_add_origin(struct cn_vault__record *r, struct cn_view text);
bool cn_vault__name_valid(struct cn_view name);
bool cn_vault__value_valid(const unsigned char *p, size_t n);

void cn_vault__ring_done(struct cn_vault__ring *r);
/* The reference to record passes over; a record of the same kind and name gives way. */
void cn_vault__ring_put(struct cn_vault__ring *r,
                        struct cn_vault__record *record /* taken */);
struct cn_vault__ring cn_vault__ring_copy(const struct cn_vault__ring *r);
struct cn_vault__record *cn_vault__ring_find(const struct cn_vault__ring *r,
                                             enum cn_vault__kind kind, const char *name);
/* The record keys of a new vault. */
void cn_vault__ring_begin(struct cn_vault__ring *r);
/* The key of the epoch after the last, of which there is always one more. */
void cn_vault__ring_new_epoch(struct cn_vault__ring *r);
/* Whether every key that a vault needs is there, or what is missing. */
const char *cn_vault__ring_check(const struct cn_vault__ring *r);

/* ---- origin.c ---- */

/* "https://host:port" in lower case, appended to b; false when text is not an origin that a
 * key may go to (https, or http on loopback). */
bool cn_vault__origin(struct cn_view text, struct cn_buf *b);

/* ---- body.c and image.c: records and slots as bytes ---- */

/* Everything of the file but the records. */
struct cn_vault__head {
	unsigned char id[CN_VAULT__ID];
	uint64_t generation;
	unsigned n_slots;
	struct cn_vault__slot slots[CN_VAULT__SLOTS];
};

#define CN_VAULT__HEAD     64
#define CN_VAULT__HEAD_MAX (CN_VAULT__HEAD + CN_VAULT__SLOTS * CN_VAULT__SLOT)

/* The records as padded plaintext in guarded memory, and back (or why not). */
struct cn_secret *cn_vault__body_encode(const struct cn_vault__ring *ring);
const char *cn_vault__body_decode(const unsigned char *p, size_t n,
                                  struct cn_vault__ring *ret);

/* The form of the file's first part, or what is wrong with it.  *retbody is borrowed. */
const char *cn_vault__image_decode(struct cn_view file, struct cn_vault__head *ret,
                                   struct cn_view *retbody);
/* The whole file. */
void cn_vault__image_seal(const struct cn_vault__head *head, const struct cn_secret *root,
                          const struct cn_vault__ring *ring, struct cn_buf *ret);
/* The records of a file whose form is right, under its root key; or why not. */
const char *cn_vault__image_open(struct cn_view file, const struct cn_vault__head *head,
                                 const struct cn_secret *root, struct cn_vault__ring *ret);

/* ---- scrub.c ---- */

/*
 * What the scrubber looks for: keyed hashes of the secrets, not the secrets, so that a line
 * of log unlocks nothing.  Own lock; any thread.
 */
struct cn_vault__book;
struct cn_vault__book *cn_vault__book_new(void);
struct cn_vault__book *cn_vault__book_free(struct cn_vault__book *b); /* returns NULL */
/*
 * Looks for the provider keys of these rings from now on (and for the leases, as before).
 * before: the ring that the other one took the place of; a request with a key of it may
 * still be under way.
 */
void cn_vault__book_load(struct cn_vault__book *b, const struct cn_vault__ring *ring,
                         const struct cn_vault__ring *before);

/* ---- vault.c ---- */

struct cn_vault {
	pthread_mutex_t change; /* one change of the file at a time; taken before lock */
	pthread_mutex_t lock;   /* ring, references, readers */
	struct cn_vault__place place;
	struct cn_vault__head head;              /* under change, but for the id */
	_Atomic uint64_t generation;             /* head's, for any thread */
	struct cn_secret *root;                  /* owned; under change */
	struct cn_secret *keks[CN_VAULT__SLOTS]; /* owned; NULL: secret not at hand */
	struct cn_vault__ring ring;
	struct cn_vault__book *book; /* owned */
	struct cn_vault__cost cost;  /* of new passphrase slots */
	atomic_bool mlocked;
	/* Readable as long as the vault is open; borrowed from records that stay. */
	const unsigned char *hash_key, *token_key, *finger_key;
};

/* What cn_vault_create() does, at that cost. */
struct cn_vault__plan {
	const char *path, *key_file;
	const struct cn_secret *passphrase;
	struct cn_vault__cost cost;
};
int cn_vault__create(const struct cn_vault__plan *plan,
                     struct cn_error *reterr) CN_MUST_CHECK;
/* Takes the place. */
struct cn_vault *cn_vault__new(struct cn_vault__place *place);

/*
 * A change: begin takes the change lock and copies what is; the caller alters the copy;
 * save writes it and on success makes it the vault's own; end lets go of what is no longer
 * used and of the lock.  Without a successful save nothing has changed.
 */
struct cn_vault__next {
	struct cn_vault__head head;
	struct cn_secret *root;                  /* owned; NULL: the same */
	struct cn_secret *keks[CN_VAULT__SLOTS]; /* the vault's, or new ones, owned */
	struct cn_vault__ring ring;
};
void cn_vault__begin(struct cn_vault *v, struct cn_vault__next *next);
int cn_vault__save(struct cn_vault *v, struct cn_vault__next *next,
                   struct cn_error *reterr) CN_MUST_CHECK;
void cn_vault__end(struct cn_vault *v, struct cn_vault__next *next);
/* Makes next the vault's own, as save does once it is on disk; what was the vault's goes
 * into next. */
void cn_vault__exchange(struct cn_vault *v, struct cn_vault__next *next);
/* Exchanges the ring for this one, with all that follows: fingerprints, readable record
 * keys, the scrubber's book. */
void cn_vault__adopt(struct cn_vault *v, struct cn_vault__ring *ring);

/* ---- unlock.c ---- */

/*
 * Offers every secret that can be had, in the order of security 2, until offer() returns
 * true.  prompts: how often a person is asked.
 */
struct cn_vault__offers {
	bool (*offer)(void *self, enum cn_vault__slot_type type,
	              const struct cn_secret *secret);
	void *self;
	const char *prompt;
	unsigned prompts;
};
int cn_vault__each_secret(const struct cn_unlock *how, const struct cn_vault__offers *to,
                          struct cn_error *reterr) CN_MUST_CHECK;
/* The one wording; the log says why. */
int cn_vault__refuse(struct cn_error *reterr, const char *path, const char *why);

#endif
