/*
 * The history in LMDB, under the contract of design/security.md 9: one environment, one
 * writer thread with group commit, every value compressed and sealed, readers on pool
 * threads.
 *
 * Workers call cn_store_submit() only.  The reading functions block and belong to pool
 * threads and to command-line programs.
 */
#ifndef CONTINUO_STORE_H
#define CONTINUO_STORE_H

#include "continuo/canon.h"
#include "continuo/record.h"

/* What the store needs of the vault, handed over by app. */
struct cn_store_crypt {
	void (*seal)(void *self, struct cn_view ad, struct cn_view plain, struct cn_buf *b);
	int (*open)(void *self, struct cn_view ad, struct cn_view sealed,
	            struct cn_buf *ret, struct cn_error *reterr);
	cn_keyed_hash_fn hash; /* CNTOHASH */
	void *self;
};

struct cn_store_opts {
	const char *dir; /* made 0700 when missing */
	struct cn_store_crypt crypt;
	uint64_t max_size;     /* bytes */
	uint64_t retention_ms; /* 0: keep everything */
	bool network_fs;       /* allow a network file system */
	bool read_only;        /* a command beside a running router: no lock, no writer */
};

struct cn_store;
/*
 * Opens (or makes) the store and starts the writer.  CN_E_BUSY when another router has it,
 * CN_E_DENIED on a network file system; a damaged one is moved aside as .damaged-<time> and
 * a new one begun (a warning is logged), so the router serves.
 */
int cn_store_open(const struct cn_store_opts *opts, struct cn_store **ret,
                  struct cn_error *reterr) CN_MUST_CHECK;
/* Writes what is queued, syncs, joins the writer.  Returns NULL. */
struct cn_store *cn_store_close(struct cn_store *s);

enum cn_store_state {
	CN_STORE_WELL,
	CN_STORE_NO_JOURNAL,
	CN_STORE_DEGRADED
};
enum cn_store_state cn_store_state(const struct cn_store *s); /* any thread */
/* Why it is degraded; static text; "" when well. */
const char *cn_store_why(const struct cn_store *s);
/* Records that wait for the writer. */
size_t cn_store_queued(const struct cn_store *s);

/* ---- writing ---- */

/* What is written in one transaction or not at all.  Heap; immutable once submitted. */
struct cn_batch;
struct cn_batch *cn_batch_new(void);
struct cn_batch *
cn_batch_free(struct cn_batch *b); /* of one never submitted; returns NULL */
/* A message node (skipped by the writer when it is there already). */
void cn_batch_node(struct cn_batch *b, const struct cn_node *node);
/*
 * A node that the batch leaves out, with all that it stands on, because it should be in the
 * store.  When it is not (retention took it, the store was set aside), nothing of the batch
 * is written and its word is CN_STORE_INCOMPLETE.
 */
void cn_batch_expect(struct cn_batch *b, const struct cn_hash *id);
/* Bytes of what it holds so far. */
size_t cn_batch_bytes(const struct cn_batch *b);
/* A finished turn; the record is encoded here, so it may be short-lived. */
void cn_batch_turn(struct cn_batch *b, const struct cn_turn_record *turn);
/* Which model issued a thinking signature: id is a keyed hash of (owner, signature). */
void cn_batch_provenance(struct cn_batch *b, const struct cn_hash *id,
                         struct cn_view model);

/* What became of a batch. */
enum cn_store_word {
	CN_STORE_KEPT,       /* it is on disk, synced */
	CN_STORE_LOST,       /* it was given up */
	CN_STORE_INCOMPLETE, /* an expected node is missing: make it again with all of them
	                      */
};
typedef void (*cn_store_word_fn)(void *self, enum cn_store_word word);

/*
 * Gives the batch to the writer.  on_done runs on the writer thread after the synced commit
 * (or when there will be none) and must only post to an inbox; NULL: nobody waits.
 * Over the queue's limit of 64 MiB a batch without a turn is dropped and counted, one with
 * a turn never.
 */
void cn_store_submit(struct cn_store *s, struct cn_batch *b, cn_store_word_fn on_done,
                     void *self);

/* ---- client tokens, vault generation (small, synced, blocking; main thread's pool or CLI)
 * ---- */

#define CN_SCOPE_TURN  1u
#define CN_SCOPE_VIEW  2u
#define CN_SCOPE_ADMIN 4u
struct cn_token_record {
	struct cn_hash hash; /* CNTOTOKN of the token */
	struct cn_view name, owner, project;
	struct cn_view chain; /* before the routes; empty: none */
	uint32_t scopes;      /* CN_SCOPE_* */
	bool run;             /* made by `run`: removed when its client ends */
	uint64_t created_ms;  /* Unix time */
	uint64_t requests_per_minute, turns, tokens_per_day; /* 0: none of its own */
	double money_per_day;
};
int cn_store_token_put(struct cn_store *s, const struct cn_token_record *t,
                       struct cn_error *reterr) CN_MUST_CHECK;
/* CN_E_NOT_FOUND when no token has that name. */
int cn_store_token_remove(struct cn_store *s, struct cn_view name,
                          struct cn_error *reterr) CN_MUST_CHECK;
int cn_store_token_each(struct cn_store *s,
                        void (*each)(void *self, const struct cn_token_record *t),
                        void *self, struct cn_error *reterr) CN_MUST_CHECK;
int cn_store_vault_put(struct cn_store *s, const unsigned char id[16], uint64_t generation,
                       struct cn_error *reterr) CN_MUST_CHECK;

/* The generation noted for that vault id, readable before the vault is open; false: none.
 */
bool cn_store_vault_generation(const char *dir, const unsigned char id[16], uint64_t *ret);

/* ---- reading ---- */

struct cn_session_line {
	struct cn_view owner, session, project;
	uint64_t first_ms, last_ms; /* Unix time */
	uint64_t turns, agents;
	struct cn_view last_model,
	    title; /* title: the first words of the first user text */
};
/* Newest first; each() returns false to stop.  owner empty: all. */
int cn_store_sessions(struct cn_store *s, struct cn_view owner,
                      bool (*each)(void *self, const struct cn_session_line *l), void *self,
                      struct cn_error *reterr) CN_MUST_CHECK;
/* Turns of a session in order of time; a unique prefix of the id is enough. */
int cn_store_turns(struct cn_store *s, struct cn_view owner, struct cn_view session,
                   bool (*each)(void *self, const struct cn_turn_record *t), void *self,
                   struct cn_error *reterr) CN_MUST_CHECK;
/* Turns of all sessions that had one since then (Unix time), session by session. */
int cn_store_turns_since(struct cn_store *s, uint64_t since_ms,
                         bool (*each)(void *self, const struct cn_turn_record *t),
                         void *self, struct cn_error *reterr) CN_MUST_CHECK;
/* The canonical messages from the first to node, in the arena. */
int cn_store_messages(struct cn_store *s, struct cn_arena *a, const struct cn_hash *node,
                      struct cn_node **ret, size_t *retn,
                      struct cn_error *reterr) CN_MUST_CHECK;
/* One node; CN_E_NOT_FOUND. */
int cn_store_node(struct cn_store *s, struct cn_arena *a, const struct cn_hash *id,
                  struct cn_node *ret, struct cn_error *reterr) CN_MUST_CHECK;
/* The model ("backend/model") that issued a signature, in the arena; CN_E_NOT_FOUND. */
int cn_store_provenance(struct cn_store *s, struct cn_arena *a, const struct cn_hash *id,
                        struct cn_view *ret, struct cn_error *reterr) CN_MUST_CHECK;

#endif
