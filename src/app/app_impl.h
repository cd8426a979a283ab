/*
 * What the files of app/ share: the objects of the running program and who touches them.
 * Private to this folder.  See src/README.md for the map.
 */
#ifndef CONTINUO_APP_IMPL_H
#define CONTINUO_APP_IMPL_H

#include <stdatomic.h>
#include <uv.h>

#include "continuo/charge.h"
#include "continuo/health.h"
#include "continuo/http.h"
#include "continuo/list.h"
#include "continuo/log.h"
#include "continuo/plan.h"
#include "continuo/policy.h"
#include "continuo/spend.h"
#include "continuo/store.h"
#include "continuo/upstream.h"
#include "continuo/vault.h"

/* ---- access.c: client tokens.  Own lock; any thread. ---- */

struct cn_access;

/* One client token; lives as long as somebody holds a reference. */
struct cn_token {
	atomic_uint refs;
	struct cn_hash hash;
	char *name, *owner, *project, *chain; /* owned; chain "": none */
	uint32_t scopes;                      /* CN_SCOPE_* */
	bool run;
	uint64_t created_ms; /* Unix time */
	uint64_t requests_per_minute, turns, tokens_per_day;
	double money_per_day;
	/* Guarded by the access lock. */
	unsigned turns_now, connections_now, requests_window;
	uint64_t window_since_ms;
	bool revoked;
};

struct cn_access *cn_access__new(struct cn_vault *vault, struct cn_store *store);
struct cn_access *cn_access__free(struct cn_access *a);
/* Fills the cache from the store. */
int cn_access__load(struct cn_access *a, struct cn_error *reterr) CN_MUST_CHECK;
/* The token of that text with one reference, or NULL. */
struct cn_token *cn_access__find(struct cn_access *a, struct cn_view text);
struct cn_token *cn_token__ref(struct cn_token *t);
struct cn_token *cn_token__unref(struct cn_token *t); /* returns NULL */
/*
 * Ten failures within a minute from one address close the door to it for a minute.  shut:
 * only asks; else counts one more failure first.
 */
bool cn_access__shut(struct cn_access *a, struct cn_view peer, bool failed,
                     uint64_t now_ms);
/* Counts one request of the token's minute, or says after how many ms to come again. */
bool cn_access__request(struct cn_access *a, struct cn_token *t, const struct cn_policy *p,
                        uint64_t now_ms, uint64_t *retwait);
/* Takes one of the token's places for turns (give it back with turn_over); false: all
 * taken. */
bool cn_access__turn_begin(struct cn_access *a, struct cn_token *t,
                           const struct cn_policy *p);
void cn_access__turn_over(struct cn_access *a, struct cn_token *t);
/* The same for connections; false: too many. */
bool cn_access__connect(struct cn_access *a, struct cn_token *t, const struct cn_policy *p);
void cn_access__disconnect(struct cn_access *a, struct cn_token *t);
/* Makes a token (blocks on the store: not on a worker); *rettext is its text, to be freed.
 */
int cn_access__add(struct cn_access *a, const struct cn_token_record *r, char **rettext,
                   struct cn_error *reterr) CN_MUST_CHECK;
int cn_access__remove(struct cn_access *a, struct cn_view name,
                      struct cn_error *reterr) CN_MUST_CHECK;
void cn_access__each(struct cn_access *a,
                     void (*each)(void *self, const struct cn_token *t), void *self);

/* ---- usage.c: what was spent, against the budgets.  Own lock; any thread. ---- */

struct cn_usages;

/* Whose turn it is; borrowed for the call. */
struct cn_spender {
	struct cn_view owner;
	struct cn_view token;   /* its name; empty: none */
	struct cn_view session; /* empty: not known yet */
};

enum cn_budget_scope {
	CN_BUDGET_DAY,
	CN_BUDGET_TOKEN,
	CN_BUDGET_SESSION
};

/* What the budgets say to a turn before its first attempt. */
struct cn_budget_word {
	bool stop;
	enum cn_budget_scope stop_scope;
	unsigned degrade;       /* so many models of the chain are left out */
	uint64_t again_wall_ms; /* when the day ends */
	struct cn_budget_news {
		enum cn_budget_scope scope;
		int then; /* CN_BUDGET_WARN, … */
		struct cn_spent spent;
	} news[3]; /* budgets that were found used up for the first time */
	size_t n_news;
};

/* wall_ms: now; turns begun from then on are added by book(). */
struct cn_usages *cn_usage__new(uint64_t wall_ms);
struct cn_usages *cn_usage__free(struct cn_usages *u); /* returns NULL */
/*
 * Adds what earlier runs of the program spent (blocks on the store: not on a worker): day:
 * today's turns, at the start; and those of all sessions once a policy has a budget for
 * them.
 */
int cn_usage__load(struct cn_usages *u, struct cn_store *store, const struct cn_policy *p,
                   bool day, struct cn_error *reterr) CN_MUST_CHECK;
void cn_usage__book(struct cn_usages *u, const struct cn_spender *who,
                    const struct cn_spent *s, uint64_t wall_ms);
/* token: NULL: none.  Logs a budget that is used up, once. */
void cn_usage__ask(struct cn_usages *u, const struct cn_policy *p,
                   const struct cn_token *token, const struct cn_spender *who,
                   uint64_t wall_ms, struct cn_budget_word *ret);
/* A `stop` in words for the client; returns the seconds until it is worth coming back, 0:
 * never. */
uint64_t cn_usage__refusal(const struct cn_budget_word *w, uint64_t wall_ms, char *ret,
                           size_t size);
struct cn_spent cn_usage__today(struct cn_usages *u, uint64_t wall_ms);

/* ---- pressure.c: which turn goes when memory runs out.  Own lock; any thread. ---- */

struct cn_worker;

/* What a turn holds of memory, as long as it has told its client nothing. */
struct cn_weight {
	struct cn_list link;      /* guarded by the pressure's lock */
	struct cn_worker *worker; /* borrowed: of the turn; NULL: never joined */
	atomic_size_t bytes;
	atomic_bool going; /* chosen to go, or ending: its memory is as good as free */
};

struct cn_pressure {
	uv_mutex_t lock;
	struct cn_list weights; /* of cn_weight */
};

void cn_pressure__join(struct cn_weight *weight, struct cn_worker *w, size_t bytes);
/* May be called again; on the turn's worker. */
void cn_pressure__leave(struct cn_weight *weight);

/* ---- shared.c: what the workers share ---- */

struct cn_known;      /* known.c: which conversations the store has; own lock */
struct cn_provenance; /* provenance.c: thinking signature → the model that issued it; own
                         lock */

struct cn_shared {
	struct cn_vault *vault;   /* owned */
	struct cn_store *store;   /* owned; NULL: history is off or could not be opened */
	struct cn_access *access; /* owned */
	struct cn_usages *usages; /* owned */
	struct cn_provenance *provenance; /* owned */
	struct cn_known *known;           /* owned */
	struct cn_charge charge;          /* memory that peers make us spend */
	atomic_size_t unwritten; /* of it, what the history's writer has yet to write */
	struct cn_pressure pressure;
	uv_mutex_t policy_lock;
	struct cn_policy *policy; /* one reference; guarded by policy_lock */
	uv_mutex_t health_lock;
	struct cn_health *health; /* owned; guarded by health_lock */
	atomic_uint turns;        /* in flight, all workers */
	atomic_uint connections;
	atomic_ulong turn_numbers;
	atomic_bool draining;
	const char *store_why; /* constant: why there is no store; NULL */
	unsigned ports[16];    /* that we listen on, for the Host check */
	size_t n_ports;
};

/* At 90 % of the memory limit: chooses turns to go and tells their workers. */
void cn_pressure__look(struct cn_shared *sh);
/* The policy in force, with a reference for the caller. */
struct cn_policy *cn_shared__policy(struct cn_shared *sh);
/* Puts p (given away) in force and returns nothing; the old one lives as long as its turns.
 */
void cn_shared__swap_policy(struct cn_shared *sh, struct cn_policy *p);

/* ---- worker.c ---- */

/* A message to a worker's thread; embedded in what it is about. */
struct cn_letter {
	struct cn_list link;
	void (*read)(struct cn_letter *l); /* on the worker's thread */
};

struct cn_turn;

struct cn_worker {
	uv_thread_t thread;
	unsigned number;          /* from 1 */
	struct cn_shared *shared; /* borrowed */
	uv_loop_t loop;
	uv_async_t async;
	uv_mutex_t inbox_lock;
	struct cn_list inbox; /* of cn_letter; guarded by inbox_lock */
	bool deaf;        /* its loop ends: nobody reads the inbox; guarded by inbox_lock */
	uv_timer_t sweep; /* drain, sleep detection */
	uint64_t last_sweep_ms;            /* on a clock that counts sleep */
	struct cn_listener *listeners[16]; /* owned */
	size_t n_listeners;
	struct cn_upstreams *upstreams; /* owned */
	struct cn_list turns;           /* of cn_turn */
	struct cn_list counts;          /* of cn_count_call */
	struct cn_list readings;        /* of cn_reading_job */
	struct cn_log log;
	enum {
		CN_WORKER_SERVING,
		CN_WORKER_DRAINING,
		CN_WORKER_CLOSING
	} stage;
	uint64_t drain_until_ms;
	size_t waits; /* commits whose word is still to come, and jobs that lead to one: the
	               * loop must outlive them */
	struct cn_letter order;      /* of main: drain or stop; free when not linked */
	struct cn_letter relief;     /* a turn of ours has to go; free when not linked */
	atomic_int ordered;          /* the latest order: a CN_WORKER_ stage */
	void (*on_over)(void *self); /* from the worker's thread, when its loop has ended */
	void *over_self;
};

struct cn_listen_socket {
	int fd;
	bool is_unix;
};

/* shared, number and on_over are set.  The worker duplicates the sockets. */
int cn_worker__start(struct cn_worker *w, const struct cn_listen_socket *sockets, size_t n,
                     struct cn_error *reterr) CN_MUST_CHECK;
/* From the main thread: drain (stop accepting, finish turns), or stop now. */
void cn_worker__order(struct cn_worker *w, int stage);
/* From any thread: a turn of this worker has to go (pressure.c). */
void cn_worker__relieve(struct cn_worker *w);
void cn_worker__join(struct cn_worker *w);
/* Any thread; l must not be linked already. */
void cn_worker__post(struct cn_worker *w, struct cn_letter *l);

/* ---- server.c, admin.c, reload.c: the main thread ---- */

#define CN_WORKERS_MAX 64

struct cn_admin;  /* admin.c: the socket and its connections */
struct cn_reload; /* reload.c: watches the policy files and the vault */

struct cn_server {
	const struct cn_server_opts *opts; /* borrowed */
	struct cn_shared shared;
	uv_loop_t loop;
	struct cn_worker workers[CN_WORKERS_MAX];
	size_t n_workers; /* started */
	atomic_uint workers_over;
	struct cn_listen_socket sockets[16];
	size_t n_sockets;
	uv_async_t async;         /* a worker's loop ended */
	uv_signal_t signals[3];   /* TERM, INT, HUP */
	uv_timer_t sweep;         /* leases of `run` */
	struct cn_admin *admin;   /* owned */
	struct cn_reload *reload; /* owned */
	uint64_t started_ms;
	char url[80]; /* of the first TCP listener */
	struct cn_log log;
	enum {
		CN_SERVER_SERVING,
		CN_SERVER_DRAINING,
		CN_SERVER_STOPPING
	} stage;
};

/* Stops accepting and lets turns finish; again: ends them now. */
void cn_server__stop(struct cn_server *s);

int cn_admin__open(struct cn_server *s, struct cn_error *reterr) CN_MUST_CHECK;
void cn_admin__close(struct cn_server *s);
/* Clients that `run` started and that are still there. */
size_t cn_admin__leases(const struct cn_admin *a);
/* Removes `run` tokens that nobody leases: their clients died with a router before this
 * one. */
void cn_admin__sweep(struct cn_admin *a, uint64_t now_ms);
/* Whether there ever was one. */
bool cn_admin__had_lease(const struct cn_admin *a);

void cn_reload__start(struct cn_server *s);
void cn_reload__now(struct cn_server *s);
void cn_reload__close(struct cn_server *s);
/* The policy file read against the vault; every mistake is logged. */
int cn_reload__load(struct cn_shared *sh, const char *path, struct cn_policy **ret,
                    struct cn_error *reterr) CN_MUST_CHECK;

/* ---- door.c: the head checks of design/security.md 5, and which endpoint it is ---- */

enum cn_endpoint {
	CN_EP_MESSAGES,
	CN_EP_COUNT_TOKENS,
	CN_EP_MODELS, /* the list */
	CN_EP_MODEL,  /* one of it */
	CN_EP_HELLO,  /* HEAD / and HEAD /api/hello */
	CN_EP_HEALTHZ,
	CN_EP_READYZ,
};

/* One client connection, for as long as it lives; what cn_conn_data() points to. */
struct cn_client {
	struct cn_worker *worker; /* borrowed */
	struct cn_conn *conn;     /* borrowed */
	bool is_unix;             /* of the same user: no token needed */
	char said[200];           /* why a request was refused, where that is no constant */
	struct cn_token
	    *token; /* one reference; counted as a connection of it; NULL: none yet */
	enum cn_endpoint endpoint;   /* of the request being read */
	struct cn_turn *turn;        /* borrowed: the turn in flight, or NULL */
	struct cn_count_call *count; /* borrowed: the count in flight, or NULL */
	struct cn_reading_job
	    *reading; /* borrowed: its body is read on the pool; or NULL */
};

/* The listener's handler of a worker. */
struct cn_conn_handler cn_door__handler(struct cn_worker *w);

/* ---- answers.c: small whole answers ---- */

/* An Anthropic-format error with a fresh request id; why goes into the message. */
void cn_answer__error(struct cn_conn *c, int status, const char *type,
                      struct cn_view message, uint64_t retry_after_s, bool close);
void cn_answer__models(struct cn_client *client, struct cn_view path);
void cn_answer__ready(struct cn_client *client);

/* ---- reading.c: a head kept, and a body made into a request ---- */

struct cn_reading_job;

/* What routes may ask of a head after the connection has forgotten it. */
struct cn_kept_head {
	struct cn_field *v; /* in arena */
	size_t n;
};
void cn_reading__keep_head(struct cn_arena *a, const struct cn_head *head,
                           struct cn_kept_head *ret);
/* Of a cn_kept_head: for cn_match_input. */
struct cn_view cn_reading__header(const void *self, const char *name);

#define CN_READ_AT_ONCE ((size_t)256 * 1024) /* longer bodies are read on the pool */

struct cn_reading {
	struct cn_arena *arena;   /* borrowed: owns what is made */
	struct cn_vault *vault;   /* borrowed */
	struct cn_view body;      /* borrowed; outlives req */
	struct cn_view owner;     /* borrowed; in the arena */
	struct cn_caller_ids ids; /* borrowed; in the arena */
	struct cn_request *req;   /* borrowed: what is read, with session and estimate */
	/* After cn_reading__queue(), on the loop; client: NULL when it is gone. */
	void (*on_read)(void *self, struct cn_client *client, int bad,
	                struct cn_error *err);
	void *self;
};
/* Any thread that has the arena to itself.  CN_E_INVALID as cn_request_read(). */
int cn_reading__run(struct cn_reading *r, struct cn_error *reterr) CN_MUST_CHECK;
/*
 * Reads a large body on the pool: true, and on_read follows.  Until then nobody else may
 * touch arena, body or req.  False: it is short, and cn_reading__run() is for it.
 */
bool cn_reading__queue(struct cn_client *client, const struct cn_reading *r) CN_MUST_CHECK;
/* The client went away; on_read follows all the same. */
void cn_reading__gone(struct cn_reading_job *job);
/* Takes back what the pool does not come to. */
void cn_reading__sweep(struct cn_worker *w, uint64_t now_ms);

/* ---- count.c: count_tokens ---- */

void cn_count__begin(struct cn_client *client, const struct cn_head *head,
                     struct cn_buf body);
void cn_count__gone(struct cn_count_call *call);

/* ---- turn.c and its friends ---- */

void cn_turn__begin(struct cn_client *client, const struct cn_head *head,
                    struct cn_buf body);
void cn_turn__client_gone(struct cn_turn *t, const char *why);
void cn_turn__drained(struct cn_turn *t);
/* The worker stops: ends the turn now, honestly. */
void cn_turn__stop(struct cn_turn *t);
/* Memory ran out and the turn was chosen: ends it, unless it has begun to answer. */
void cn_turn__relieve(struct cn_turn *t);

/* ---- forward.c: a client's head and body made into a backend's ---- */

/* The client's fields that travel on, copied into the arena (no framing, no credential of
 * ours). */
struct cn_forward {
	struct cn_upstream_field *fields; /* in arena */
	size_t n_fields;
	struct cn_view authorization,
	    api_key; /* the client's own credential; empty: none */
	struct cn_view query;
	struct cn_view betas; /* anthropic-beta lines joined with ", " */
	uint64_t timeout_ms;  /* x-stainless-timeout; 0: not said */
};
void cn_forward__read(struct cn_arena *a, const struct cn_head *head, struct cn_view token,
                      struct cn_forward *ret);
/* The text of the request's client token, wherever it stands; empty without one. */
struct cn_view cn_forward__token(const struct cn_head *head);
/* The query for one backend: the client's where it speaks the client's format. */
struct cn_view cn_forward__query(const struct cn_forward *f, const struct cn_backend *b);
/* The fields for one backend: what it keeps of the client's, and its own. */
void cn_forward__fields(struct cn_arena *a, const struct cn_forward *f,
                        const struct cn_backend *b, struct cn_view drop_beta,
                        struct cn_upstream_field **ret, size_t *retn);
/* The credential callback of cn_attempt_opts; self is a cn_credential. */
struct cn_credential {
	struct cn_vault *vault;           /* borrowed */
	const struct cn_forward *forward; /* borrowed */
	const struct cn_backend *backend; /* borrowed */
	const struct cn_policy_key *key;  /* borrowed */
};
int cn_forward__credential(void *self,
                           void (*put)(void *to, struct cn_view name, struct cn_view value),
                           void *to, struct cn_error *reterr);

/* ---- provenance.c ---- */

#define CN_ORIGIN_MAX 192 /* bytes of an origin, with its NUL */

struct cn_provenance *cn_provenance__new(void);
struct cn_provenance *cn_provenance__free(struct cn_provenance *p);
/* What is known of a signature: true and *ret ("" for "not ours") when it is in the table.
 */
bool cn_provenance__get(struct cn_provenance *p, const struct cn_hash *id,
                        char ret[CN_ORIGIN_MAX]);
void cn_provenance__put(struct cn_provenance *p, const struct cn_hash *id,
                        struct cn_view model);
/* The table's key: keyed hash of owner and the block's signature (or data). */
struct cn_hash cn_provenance__id(struct cn_vault *v, struct cn_view owner,
                                 struct cn_view signature);
/* The same of a block of thinking or of a call that has an id of ours; false for others. */
bool cn_provenance__of_block(struct cn_vault *v, struct cn_view owner, struct cn_json block,
                             struct cn_hash *ret);

/* ---- known.c: conversations that the store was heard to have.  Own lock; any thread. ----
 */

struct cn_known *cn_known__new(struct cn_vault *v);
struct cn_known *cn_known__free(struct cn_known *k); /* returns NULL */
/* The mark of what `before` stands for and then bytes. */
struct cn_digest cn_known__mark(const struct cn_known *k, const struct cn_digest *before,
                                struct cn_view bytes);
/* The node at that mark; that the store has it was true once. */
bool cn_known__find(struct cn_known *k, const struct cn_digest *mark, struct cn_hash *ret);
void cn_known__note(struct cn_known *k, const struct cn_digest *mark,
                    const struct cn_hash *node);

/* ---- nodes.c: a request's messages as nodes ---- */

#define CN_PROMISES 32

struct cn_nodes {
	struct cn_vault *vault;       /* borrowed */
	struct cn_known *known;       /* borrowed */
	const struct cn_request *req; /* borrowed */
	struct cn_view owner;         /* borrowed */
	bool all; /* the batch is to leave nothing out, whatever the store was heard to have
	           */
	/* made */
	struct cn_batch *batch; /* owned by whoever asked */
	struct cn_hash prefix;  /* system and tools */
	struct cn_hash last;    /* the last message */
	struct cn_digest body;  /* equal for equal requests */
	/* What will be known once the store has the batch: of messages, the last ones. */
	struct cn_digest prefix_mark;
	struct cn_promise {
		struct cn_digest mark;
		struct cn_hash node;
	} promises[CN_PROMISES];
	size_t n_promises; /* with those that were overwritten */
};
/* Makes the second half; not 0: a message is none, and there is no batch.  Pool. */
int cn_nodes__make(struct cn_nodes *out) CN_MUST_CHECK;
/* The batch is committed. */
void cn_nodes__stored(const struct cn_nodes *out);
/* The memory that it may take, to be charged before. */
size_t cn_nodes__weight(const struct cn_request *r);
/* A node's address; self is the vault. */
struct cn_hash cn_nodes__hash(void *vault, const struct cn_view *views, size_t n);

#endif
