/*
 * What the files of store/ share.
 *
 * store.c opens and closes · disk.c directory, lock, space, setting aside · env.c the LMDB
 * environment and its troubles · value.c compress, seal, split and back · batch.c what
 * callers hand over · writer.c the writer thread · turns.c nodes, turns, sessions · gc.c
 * retention · tokens.c client tokens, vault generation · reader.c reading.
 *
 * Two kinds of result stand side by side: rc is LMDB's (0, MDB_*, errno), err is ours
 * (0, CN_E_*).
 */
#ifndef CONTINUO_STORE_IMPL_H
#define CONTINUO_STORE_IMPL_H

#include <stdatomic.h>

#include <lmdb.h>
#include <uv.h>
#include <zstd.h>

#include "continuo/list.h"
#include "continuo/store.h"

#define CN_STORE_SCHEMA 1

/* name, what is in it */
#define CN_STORE_DBS(X)                                                         \
	X(META, "meta", "schema; vault id → generation (not sealed); probe")    \
	X(NODES, "nodes", "node id → parent id, canonical message")             \
	X(LINKS, "links", "node id → parent id, references, parent counted")    \
	X(TURNS, "turns", "owner, session, time, request → record")             \
	X(SESSIONS, "sessions", "owner, session → line of the list")            \
	X(AGENTS, "agents", "owner, session, agent → nothing: who was counted") \
	X(TIMES, "times", "time, kind, key → what goes when that time is over") \
	X(TOKENS, "tokens", "token hash → client token")                        \
	X(PROVENANCE, "provenance", "signature hash → model")                   \
	X(PIECES, "pieces", "database, key, number → piece of a large value")

enum cn_store_db {
#define X(symbol, name, text) CN_DB_##symbol,
	CN_STORE_DBS(X)
#undef X
	CN_DB_COUNT
};

/* Where a test may put a fault. */
enum cn_store_op {
	CN_STORE_OP_OPEN,
	CN_STORE_OP_BEGIN,
	CN_STORE_OP_PUT,
	CN_STORE_OP_COMMIT
};

/* The numbers of design/security.md 9; tests make their own. */
struct cn_store_rules {
	uint64_t map_size, map_limit; /* bytes; 0: from max_size */
	uint64_t group_ms;            /* how long a first batch waits for company */
	size_t group_records, group_bytes;
	size_t queue_bytes;
	uint64_t probe_ms;  /* between attempts to get well */
	uint64_t check_ms;  /* between mdb_reader_check()s */
	uint64_t sweep_ms;  /* between sweeps by retention */
	uint64_t free_low;  /* bytes; below: no journal */
	unsigned free_part; /* per cent; below: no journal */
	uint64_t free_stop; /* bytes; below: nothing is written */
	/* Tests: the rc to fail with, 0 to go on.  NULL: no faults. */
	int (*fault)(void *self, enum cn_store_op op);
	void *self;
};
extern const struct cn_store_rules cn_store__usual_rules;

/* What an rc means for the store. */
enum cn_store_trouble {
	CN_TROUBLE_NONE,
	CN_TROUBLE_FULL,    /* no room: prune, wait, try again */
	CN_TROUBLE_SUSPECT, /* a write may be lost: close and open again */
	CN_TROUBLE_DAMAGED, /* set aside, begin anew */
};

/* rc of ours, outside LMDB's and errno's ranges: a record did not verify. */
#define CN_STORE_RC_UNSEALED (-29001)
/* The schema record is missing, does not verify or is of a newer program. */
#define CN_STORE_RC_FOREIGN (-29002)
#define CN_STORE_RC_NEWER   (-29003)

enum cn_store_space {
	CN_SPACE_WELL,
	CN_SPACE_LOW,
	CN_SPACE_NONE
};

/* A caller that waits while the writer does something small for it. */
struct cn_store_txn;
struct cn_store_job {
	struct cn_list link;
	int (*run)(struct cn_store_txn *t, void *self, struct cn_error *reterr,
	           int *reterrcode);
	void *self;
	int err; /* CN_E_*; valid once done */
	struct cn_error error;
	bool done; /* under the queue's lock */
};

struct cn_store {
	/* set by open, constant afterwards */
	char *dir; /* owned; without final slash */
	struct cn_store_crypt crypt;
	struct cn_store_rules rules;
	uint64_t max_size, retention_ms;
	bool read_only;
	int dir_fd; /* owned; locked unless read_only */

	/*
	 * Shared by every read transaction, exclusive for growing, closing and opening.
	 * The writer, who alone changes env and dbi, reads them without it.
	 */
	uv_rwlock_t env_lock;
	MDB_env *env; /* owned; NULL while it cannot be opened */
	MDB_dbi dbi[CN_DB_COUNT];
	uv_mutex_t readers_lock;
	struct cn_list readers; /* of struct cn_store_reader; under readers_lock */
	atomic_int reported;    /* rc of damage that a reader met; 0: none */

	/* the queue, under lock */
	uv_mutex_t lock;
	uv_cond_t wake, job_done;
	struct cn_list queue; /* of struct cn_batch, owned */
	struct cn_list jobs;  /* of struct cn_store_job, borrowed */
	size_t queued_bytes;
	atomic_size_t queued_records; /* also read without it */
	size_t last_group;            /* batches of the last group: company to wait for */
	bool closing;
	uv_thread_t writer;

	atomic_int state; /* enum cn_store_state */
	_Atomic(const char *) why;

	/* the writer's own */
	const char *failed;        /* why nothing can be written; NULL: it can */
	enum cn_store_space space; /* as last looked at */
	uint64_t next_space_ms;    /* when to look again */
	uint64_t next_probe_ms, next_check_ms, next_sweep_ms;
	ZSTD_CCtx *zstd;             /* owned */
	struct cn_buf plain, packed; /* scratch of value.c */
};

/* ---- store.c ---- */

int cn_store__open(const struct cn_store_opts *opts, const struct cn_store_rules *rules,
                   struct cn_store **ret, struct cn_error *reterr) CN_MUST_CHECK;
/* Sets state and why from failed and space, and tells when they change.  Writer. */
void cn_store__settle(struct cn_store *s);

/* ---- disk.c ---- */

/* Makes, opens and checks the directory; locks it unless read_only. */
int cn_store__disk_open(struct cn_store *s, bool network_allowed,
                        struct cn_error *reterr) CN_MUST_CHECK;
enum cn_store_space cn_store__disk_space(const struct cn_store *s);
/* Whether there is no room at all: LMDB calls a write that came short an I/O error. */
bool cn_store__disk_full(const struct cn_store *s);
/* Moves the files into DIR.damaged-TIME; the environment is closed. */
int cn_store__disk_set_aside(struct cn_store *s, struct cn_error *reterr) CN_MUST_CHECK;
/*
 * Makes a data file as long as it says it is: a page behind its end would be SIGBUS, a page
 * of zeros is found out.  *retshort: it was not.  locked: dir_fd is; else it is locked for
 * the while, and when that cannot be, a router is running and has seen to it.  rc.
 */
int cn_store__disk_lengthen(MDB_env *env, int dir_fd, bool locked,
                            bool *retshort) CN_MUST_CHECK;

/* ---- env.c ---- */

enum cn_store_trouble cn_store__trouble(int rc);
/* One sentence for an rc, static. */
const char *cn_store__why(int rc);
/* Opens and verifies; rc.  The caller holds env_lock exclusively or is alone. */
int cn_store__env_open(struct cn_store *s) CN_MUST_CHECK;
void cn_store__env_close(struct cn_store *s);
/* Closes and opens again, setting damaged files aside; 0 or the rc that remains. */
int cn_store__env_reopen(struct cn_store *s, bool set_aside) CN_MUST_CHECK;
/* A larger map; false at its limit.  Beyond it lies a reserve for pruning alone. */
bool cn_store__env_grow(struct cn_store *s, bool to_prune);
/* Bytes that live data takes; rc. */
int cn_store__env_used(struct cn_store *s, uint64_t *ret) CN_MUST_CHECK;

/* A write transaction.  Writer (or the opener before there is one). */
struct cn_store_txn {
	struct cn_store *s;
	MDB_txn *txn;     /* NULL: over */
	uint64_t wall_ms; /* when it began */
};
int cn_store__begin(struct cn_store *s, struct cn_store_txn *ret) CN_MUST_CHECK;
int cn_store__commit(struct cn_store_txn *t) CN_MUST_CHECK; /* synced */
void cn_store__abort(struct cn_store_txn *t);
/* A raw pair in db; the fault hook sits here. */
int cn_store__put(struct cn_store_txn *t, enum cn_store_db db, struct cn_view key,
                  struct cn_view value) CN_MUST_CHECK;
/* The reverse; what is not there is no error. */
int cn_store__del(struct cn_store_txn *t, enum cn_store_db db,
                  struct cn_view key) CN_MUST_CHECK;

/* A read transaction: short, and never while anybody else is waited for. */
struct cn_store_reader {
	struct cn_store *s;
	MDB_txn *txn;
	struct cn_list link;
	uint64_t started_ms; /* monotonic */
};
int cn_store__read_begin(struct cn_store *s, struct cn_store_reader *ret,
                         struct cn_error *reterr) CN_MUST_CHECK;
void cn_store__read_end(struct cn_store_reader *r);
/* Read transactions older than a second, now. */
size_t cn_store__old_readers(struct cn_store *s);
/* Turns an rc that a reader met into an error, and tells the writer of damage. */
int cn_store__read_failed(struct cn_store *s, int rc, struct cn_error *reterr);

static inline MDB_val cn_store__val(struct cn_view v)
{
	MDB_val val = {v.n, NULL};

	/* LMDB does not write through it; a cast would have to drop the const. */
	memcpy(&val.mv_data, &v.p, sizeof(val.mv_data));
	return val;
}

static inline struct cn_view cn_store__view(MDB_val v)
{
	return cn_view(v.mv_data, v.mv_size);
}

/* ---- value.c ---- */

#define CN_STORE_MAX_PLAIN   ((size_t)64 << 20)
#define CN_STORE_MAX_KEY     80
#define CN_STORE_SPLIT_OVER  ((size_t)64 << 10)
#define CN_STORE_PIECE       ((size_t)32 << 10)
#define CN_STORE_MIN_TO_PACK 128 /* smaller plain texts are not compressed */

const char *cn_store__db_name(enum cn_store_db db);
/* Seals plain (at most CN_STORE_MAX_PLAIN) under key. */
int cn_store__value_put(struct cn_store_txn *t, enum cn_store_db db, struct cn_view key,
                        struct cn_view plain) CN_MUST_CHECK;
/* Appends the plain text to b; MDB_NOTFOUND, CN_STORE_RC_UNSEALED. */
int cn_store__value_get(struct cn_store *s, MDB_txn *txn, enum cn_store_db db,
                        struct cn_view key, struct cn_buf *b) CN_MUST_CHECK;
int cn_store__value_del(struct cn_store_txn *t, enum cn_store_db db,
                        struct cn_view key) CN_MUST_CHECK;
/* The two halves of get, for readers: copy within the transaction, unseal after it. */
int cn_store__value_copy(struct cn_store *s, MDB_txn *txn, enum cn_store_db db,
                         struct cn_view key, MDB_val stored,
                         struct cn_buf *b) CN_MUST_CHECK;
int cn_store__value_unseal(const struct cn_store *s, enum cn_store_db db,
                           struct cn_view key, struct cn_view copied,
                           struct cn_buf *b) CN_MUST_CHECK;

/* ---- batch.c ---- */

struct cn_batch_node {
	struct cn_batch_node *next;
	struct cn_hash id;
	struct cn_hash parent;
	struct cn_view plain; /* parent id, canonical; in arena */
};
struct cn_batch_expected {
	struct cn_batch_expected *next;
	struct cn_hash id;
};
struct cn_batch_turn {
	struct cn_batch_turn *next;
	struct cn_view owner, session, project, agent, caller, request_id,
	    used; /* in arena */
	uint64_t started_wall_ms;
	struct cn_hash nodes[3]; /* request, answer, prefix */
	struct cn_view json;     /* in arena */
};
struct cn_batch_provenance {
	struct cn_batch_provenance *next;
	struct cn_hash id;
	struct cn_view model; /* in arena */
};

struct cn_batch {
	struct cn_list link;
	struct cn_arena arena; /* owns what follows */
	struct cn_batch_expected *expected;
	struct cn_batch_node *nodes, **nodes_end;
	struct cn_batch_turn *turns, **turns_end;
	struct cn_batch_provenance *provenance, **provenance_end;
	size_t n_nodes;
	size_t records;     /* what it adds at most: nodes may be there already */
	uint64_t queued_ms; /* monotonic */
	bool dropped;       /* emptied: the queue was full */
	bool incomplete;    /* not written: an expected node is missing; the writer's */
	cn_store_word_fn on_done;
	void *self;
};
/* Frees the contents and keeps the callback. */
void cn_store__batch_empty(struct cn_batch *b);

/* ---- writer.c ---- */

int cn_store__writer_start(struct cn_store *s, struct cn_error *reterr) CN_MUST_CHECK;
void cn_store__writer_stop(struct cn_store *s);
/* Runs the job on the writer's thread, in a transaction of its own, and waits for it. */
int cn_store__run(struct cn_store *s, struct cn_store_job *job,
                  struct cn_error *reterr) CN_MUST_CHECK;

/* ---- turns.c ---- */

#define CN_STORE_PART        ((size_t)16) /* of a keyed hash, in a key */
#define CN_STORE_SESSION_KEY (2 * CN_STORE_PART)
#define CN_STORE_TURN_KEY    (2 * CN_STORE_PART + 8 + CN_STORE_PART)
#define CN_STORE_TIME_KEY    (8 + 1 + CN_STORE_TURN_KEY) /* the longest */

/* Kinds of what stands in CN_DB_TIMES. */
enum cn_store_time {
	CN_TIME_TURN = 1,
	CN_TIME_NODE = 2,
	CN_TIME_PROVENANCE = 3
};

/* Writes the batch, or finds it incomplete; rc. */
int cn_store__write_batch(struct cn_store_txn *t, struct cn_batch *b) CN_MUST_CHECK;
/* Keys; each appends its part. */
void cn_store__key_owner(const struct cn_store *s, struct cn_view owner,
                         struct cn_buf *key);
void cn_store__key_session(const struct cn_store *s, struct cn_view owner,
                           struct cn_view session, struct cn_buf *key);
void cn_store__key_time(uint64_t ms, struct cn_buf *key);
uint64_t cn_store__time_of(const char *p);

/* A session's line as it is stored; strings in arena. */
struct cn_session_record {
	struct cn_session_line line;
	bool untitled; /* no text was found to make a title of */
};
void cn_store__session_write(struct cn_buf *b, const struct cn_session_record *r);
int cn_store__session_read(struct cn_arena *a, struct cn_view json,
                           struct cn_session_record *ret) CN_MUST_CHECK;

/* References: of a node's children and of turns. */
struct cn_store_link {
	struct cn_hash parent;
	uint64_t refs;
	bool parent_counted; /* this node is one of its parent's references */
};
int cn_store__link_get(struct cn_store_txn *t, const struct cn_hash *id,
                       struct cn_store_link *ret) CN_MUST_CHECK;
int cn_store__link_put(struct cn_store_txn *t, const struct cn_hash *id,
                       const struct cn_store_link *link) CN_MUST_CHECK;

/* ---- gc.c ---- */

/*
 * Removes, in one transaction, some of what is over; *retmore: there is more.  Also some
 * of the oldest when the data is larger than max_size.
 */
int cn_store__sweep(struct cn_store *s, bool *retmore, size_t *retremoved) CN_MUST_CHECK;

#endif
