/*
 * The turn, as its own files see it: turn.c (the state machine), turn_birth.c (from a
 * request to a plan), turn_try.c (from a candidate to an attempt), turn_outcome.c (how
 * attempts ended), turn_damage.c (what answers say against themselves), turn_resume.c (who
 * goes on with what was given, and how), turn_tell.c (what the client gets).  Private to
 * them and to records.c.
 */
#ifndef CONTINUO_TURN_IMPL_H
#define CONTINUO_TURN_IMPL_H

#include "app_impl.h"

#include "continuo/anthropic.h"
#include "continuo/ending.h"
#include "continuo/smooth.h"
#include "continuo/splice.h"

#define CN_TURN_STATES(X)                                                        \
	X(PLANNING, "choosing the next candidate; no attempt is running")        \
	X(TRYING, "an attempt is running; no event of it has been sent")         \
	X(STREAMING, "the client has seen bytes; no clean retry any more")       \
	X(CONTINUING, "lost mid-stream; the next attempt goes on with the text") \
	X(RESTING, "every candidate is cooling; the timer will re-plan")         \
	X(DRAINING, "answer or error complete; the store's word is awaited")     \
	X(TELLING, "that came; text told evenly is still on its way")            \
	X(CLOSED, "nothing left to do but let the handles close")

enum cn_turn_state {
#define X(name, meaning) CN_TURN_##name,
	CN_TURN_STATES(X)
#undef X
};

/* How the answer ends; chosen on the way into DRAINING. */
enum cn_turn_end {
	CN_END_CANCELLED, /* the client went away before there was an end */
	CN_END_ANSWER,    /* the whole answer: the splice writes its end */
	CN_END_TOOL_USE,  /* cut after a whole tool call: the client runs it and comes back
	                   */
	CN_END_ERROR,     /* by status where none was sent, else by an error event */
};

/* What of the response head the client has. */
enum cn_turn_head {
	CN_HEAD_NONE,
	CN_HEAD_EARLY, /* 200 with x-model-used: pending, then pings */
	CN_HEAD_FINAL,
};

#define CN_PING_MS        15000  /* an open stream is never silent for longer */
#define CN_STORE_WAIT_MS  50     /* how long a turn waits for the store's word */
#define CN_TURN_MS        600000 /* before the commit, besides max_wait */
#define CN_QUEUE_MS       10000  /* for a place among the turns in flight */
#define CN_CLIENT_MS      350000 /* Claude Code's patience without a head, measured */
#define CN_MEMORY_RETRY_S 5      /* when memory ran out: retry-after */
#define CN_STOP_RETRY_S   2      /* when the router stops: the next one may be there */
#define CN_ATTEMPTS_MAX   48     /* of one turn, above any plan's candidates + 2 */
#define CN_RESUMES_MAX    24     /* attempts that go on, of one turn */
#define CN_RESUME_TOKENS  64     /* with fewer left to the client nobody goes on */

struct cn_records_job; /* records.c */

/* One client request, however many upstreams it takes.  Its worker's thread only. */
struct cn_turn {
	enum cn_turn_state state; /* written only by turn_enter() */
	bool counted;          /* holds a place of its token and of the turns in flight */
	struct cn_list link;   /* in the worker's turns */
	struct cn_arena arena; /* owns every "in arena" below */
	struct cn_worker *worker; /* borrowed */
	struct cn_client *client; /* borrowed; NULL once the client is gone */
	struct cn_log log;
	unsigned long number;
	struct cn_policy *policy; /* one reference, pinned at birth */
	struct cn_token *token;   /* one reference; NULL on a Unix socket */

	struct cn_buf body; /* owned: the request's bytes; charged */
	struct cn_weight weight;
	struct cn_request req;     /* in arena; immutable */
	struct cn_forward forward; /* in arena */
	struct cn_kept_head kept;  /* in arena: the head, for routes */
	bool wants_trailers;
	struct cn_view request_id; /* in arena */
	struct cn_view owner;      /* in arena */
	struct cn_plan plan;       /* in arena */
	const struct cn_chain
	    *token_chain; /* borrowed from the policy; NULL: the routes decide */

	struct cn_plan resume; /* in arena: who of the plan may go on; from CONTINUING on */
	unsigned resumes_left; /* only ever counts down */
	size_t resume_bytes;   /* charged for the requests to go on */
	struct cn_arena sent;  /* owned: the request as the live or last attempt has it */
	size_t sent_bytes;     /* charged for that */

	struct cn_splice *splice; /* owned; what the client has been told */
	struct cn_smooth *smooth; /* owned: some of it, on its way; NULL: it goes at once */
	struct cn_attempt *attempt;           /* owned; the one live attempt, or NULL */
	const struct cn_candidate *candidate; /* of the live or last attempt; in the plan */
	struct cn_outcome_fields
	    *seen; /* in arena: fields of the last head worth passing on */

	/* One entry an ended attempt, same index in each; in arena. */
	struct cn_tried *tried;
	struct cn_outcome *outcomes;
	struct cn_attempt_record *records;
	size_t n_tried;
	/* What the next attempt to the same candidate changes; reset with each new
	 * candidate. */
	struct cn_outcome repair;
	uint64_t asked_tokens; /* max_tokens of the live or last attempt */
	uint64_t asked_quirks; /* with which the live or last attempt was written */
	/* What was found wrong with the answer of the live or last attempt. */
	struct {
		bool seen[CN_N_DAMAGES];
		struct cn_view text; /* for people, in arena; empty: nothing */
		bool fails;          /* the attempt is a failure for it */
	} found;

	enum cn_turn_head head;
	enum cn_turn_end end;       /* from DRAINING on */
	struct cn_ending ending;    /* END_ERROR: what the client is told; in arena */
	struct cn_records_job *job; /* owned; NULL: nothing is being recorded */

	uint64_t started_ms, started_wall_ms; /* monotonic; Unix time */
	uint64_t attempt_ms;                  /* start of the live attempt */
	uint64_t first_byte_ms; /* of the answer, after the start; 0: none yet */
	uint64_t wrote_ms;      /* last byte to the client, once a head is out */
	uint64_t open_early_ms; /* when the head may wait no longer */
	uint64_t deadline_ms;   /* bounds the whole turn before the commit */
	uint64_t
	    wait_until_ms; /* max_wait from the first time all were cooling; 0: not yet */
	uint64_t
	    rest_until_ms; /* RESTING, CONTINUING without attempt: when to plan again */
	uint64_t store_until_ms; /* PLANNING, DRAINING: how long the store is waited for */
	uv_timer_t timer;        /* the nearest of these */
	unsigned handles;        /* that must close before the memory may go */
};

struct cn_outcome_fields {
	struct cn_field *v; /* in arena: anthropic-ratelimit-* of a `key: client` backend */
	size_t n;
	size_t attempt; /* index of the attempt whose they are */
};

/* ---- turn.c ---- */

/* The store was asked something: the turn begins by itself when it does not say in time. */
void cn_turn__await(struct cn_turn *t);
/* The turn was born with a plan: begins planning. */
void cn_turn__start(struct cn_turn *t);
/* The store answered, or the wait for it is over: gives the client the rest. */
void cn_turn__stored(struct cn_turn *t, bool ok);
/* Frees a turn that never started, or whose last handle closed. */
void cn_turn__free(struct cn_turn *t);

/* ---- turn_outcome.c ---- */

/* An attempt ended, or could not even be started: for health, the record and the log. */
void cn_turn__note(struct cn_turn *t, const struct cn_candidate *c,
                   const struct cn_outcome *o);
/* What a well-formed answer amounts to, put into its outcome. */
void cn_turn__judge(struct cn_turn *t, struct cn_outcome *o);
/* The turn's line. */
void cn_turn__log_end(struct cn_turn *t);

/* ---- turn_damage.c ---- */

/* After each event: a phrase when the attempt fails for damage that it shows. */
const char *cn_turn__look(struct cn_turn *t, const struct cn_event *ev);
/* The same at its end, in its outcome; of a whole answer, what health is told. */
void cn_turn__look_back(struct cn_turn *t, struct cn_outcome *o);

/* ---- usage.c ---- */

struct cn_spender cn_turn__spender(const struct cn_turn *t);
/* All attempts have ended: what they cost is added to the sums. */
void cn_turn__book(const struct cn_turn *t);

/* ---- turn_try.c ---- */

/* Starts an attempt at t->candidate; on failure an outcome that says why. */
bool cn_turn__try(struct cn_turn *t, struct cn_attempt_owner owner,
                  struct cn_outcome *retfail);
/*
 * Names, n of them, of the client's members that this model never gets, and of the one it
 * refused just now (may be empty); thinks: it may, this time.  In the arena.
 */
const char *const *cn_try__dropped(struct cn_arena *a, const struct cn_model *m,
                                   bool thinks, struct cn_view refused, size_t *retn);
/* Whether the last attempt held only what every backend of its format knows. */
bool cn_try__was_plain(const struct cn_turn *t);
/* No attempt is running: its request is forgotten. */
void cn_turn__forget_sent(struct cn_turn *t);
/* "backend/model" of a candidate, in the turn's arena. */
const char *cn_turn__name(struct cn_turn *t, const struct cn_candidate *c);
/* The id that the backend is asked for. */
struct cn_view cn_turn__model_id(const struct cn_turn *t, const struct cn_model *m);
/* The model of the live or last candidate as a writer, in the arena; new with each attempt.
 */
const struct cn_author *cn_turn__author(struct cn_turn *t);

/* ---- turn_origin.c ---- */

/* Whom signatures and ids of the live candidate belong to: backend, account and the model's
 * own id there; in the arena. */
struct cn_view cn_turn__issuer(struct cn_turn *t);
/* The table key of a block of thinking or of a call under an id of ours; false for other
 * blocks and blocks without anything to know. */
bool cn_turn__origin(struct cn_turn *t, struct cn_json block, struct cn_hash *ret);
/* To whom a request goes: what of earlier answers is his.  Also of counts (count.c). */
struct cn_recipient {
	struct cn_arena *arena;   /* borrowed; for what is made on the way */
	struct cn_shared *shared; /* borrowed */
	struct cn_view owner, issuer;
	bool native; /* speaks the format of the client */
	bool checks_signatures;
	bool no_thinking; /* he refused what he was given */
};
struct cn_recipient cn_recipient__of(struct cn_arena *a, struct cn_shared *sh,
                                     const struct cn_candidate *c, struct cn_view owner,
                                     struct cn_view asked);
/* The callbacks of cn_edit; self is the recipient. */
bool cn_recipient__drop_thinking(void *self, const struct cn_thought *thought);
bool cn_recipient__call_id(void *self, struct cn_view id, struct cn_view *ret);
/* Notes where blocks of the answer given come from; batch: also for the store; or NULL. */
void cn_turn__note_provenance(struct cn_turn *t, struct cn_batch *batch);

/* ---- turn_resume.c ---- */

/* Who of the plan may go on with what was given. */
void cn_turn__plan_resume(struct cn_turn *t);
/* Whether it may. */
bool cn_turn__goes_on(const struct cn_turn *t, const struct cn_candidate *c);
/* How the live candidate is asked to. */
enum cn_resume cn_turn__how(struct cn_turn *t);
/* Makes the edit of a request one that goes on. */
void cn_turn__edit_resume(struct cn_turn *t, struct cn_edit *edit);
/* Tokens of the client's limit that are left to the live attempt. */
uint64_t cn_turn__tokens_left(const struct cn_turn *t);
/* The answer ended at a limit that is not the client's. */
bool cn_turn__cut_short(const struct cn_turn *t);
/* A continuation announces a call and ends without one. */
bool cn_turn__weak(struct cn_turn *t);

/* ---- turn_tell.c ---- */

/* Another model goes on in the open stream: names it. */
void cn_turn__tell_joint(struct cn_turn *t, struct cn_view used);
/* The head of a stream; used: x-model-used. */
void cn_turn__tell_head(struct cn_turn *t, struct cn_view used);
/* Opens a stream early: the head with `pending`, and a ping. */
void cn_turn__tell_early(struct cn_turn *t);
void cn_turn__tell_ping(struct cn_turn *t);
/* Writes what the splice has gathered; pauses the attempt when the client is slow. */
void cn_turn__flush(struct cn_turn *t);
/* Of text that is told evenly, what is due by now. */
void cn_turn__pace(struct cn_turn *t);
/* The last bytes, by t->end; what is still on its way goes before them. */
void cn_turn__tell_end(struct cn_turn *t);
/* x-model-used at the end: whose output or error the client has; "none". */
struct cn_view cn_turn__used(struct cn_turn *t);
struct cn_view cn_turn__attempts_text(struct cn_turn *t, bool with_live);

/* ---- records.c ---- */

/* Begins to make the request's messages into nodes, on the pool. */
void cn_records__begin(struct cn_turn *t);
/*
 * The turn is over: records it.  Returns false when nothing is recorded (no store, no
 * memory): the end need not wait.  Else cn_turn__stored() follows, unless
 * cn_records__forget().
 */
bool cn_records__finish(struct cn_turn *t);
/* The turn waits no longer; what is under way goes on without it. */
void cn_records__forget(struct cn_turn *t);
/* Bytes of the request that the turn holds: the body and, for the history, as much again.
 */
size_t cn_records__weight(const struct cn_turn *t);
/* With the turn's memory. */
void cn_records__free(struct cn_turn *t);

#endif
