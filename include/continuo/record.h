/*
 * What is remembered of a turn: plain values, and their JSON form (which the store seals,
 * and `sessions show --json` and the exports print).  Pure.
 */
#ifndef CONTINUO_RECORD_H
#define CONTINUO_RECORD_H

#include "continuo/arena.h"
#include "continuo/event.h"
#include "continuo/hash.h"
#include "continuo/outcome.h"

struct cn_attempt_record {
	struct cn_view backend, model, key; /* policy names; key as the policy writes it */
	struct cn_view class;               /* cn_class_name() */
	int http_status;                    /* 0: none */
	uint64_t started_ms;                /* after the turn's start */
	uint64_t first_byte_ms, took_ms; /* after its own start; first_byte 0: none came */
	uint64_t retry_after_ms;
	struct cn_view prompt; /* of the policy, that it was asked with; empty: none */
	struct cn_view upstream_request; /* the backend's request id */
	struct cn_view reason;           /* constant phrase */
	struct cn_view finding; /* damage that came without an error; empty: none */
	struct cn_usage usage;
	/* Tokens that nobody reported and that are perhaps billed: a prompt that was sent,
	 * what the client was given of an answer that broke off. */
	uint64_t assumed_input, assumed_output;
};

/* A model that was left out of the plan, and why. */
struct cn_skip_record {
	struct cn_view backend, model, reason;
};

/*
 * Which model wrote which piece of the answer (the ledger, as it stood at the end).  A text
 * that another attempt went on with has several of the same index, in order.
 */
struct cn_block_record {
	uint64_t index;
	struct cn_view type;  /* text, thinking, tool_use, … */
	struct cn_view model; /* "backend/model" */
	/* How it joins the piece before it in the same block (cn_joint_found_name());
	 * empty: it begins one. */
	struct cn_view joint;
	uint64_t bytes; /* of text, thinking or input */
	struct cn_view id,
	    original_id; /* of a tool call: the client's, the backend's if it differs */
	bool whole;      /* content_block_stop was delivered */
};

struct cn_turn_record {
	struct cn_view request_id; /* req_… */
	struct cn_view owner, project, session, agent, parent_agent;
	struct cn_view token;         /* name of the client token; empty: none */
	struct cn_view caller;        /* main, subagent, side */
	struct cn_view requested;     /* the model the client asked for */
	struct cn_view chain, policy; /* names; policy: its digest */
	uint64_t route;               /* number, 0: the token's chain */
	uint64_t started_wall_ms;
	uint64_t took_ms, first_byte_ms; /* to the client */
	int status;                      /* HTTP status the client got; 0: none */
	struct cn_view ending;           /* ok, error, tool_use, cancelled */
	struct cn_view error;            /* what the client was told; empty when ok */
	struct cn_view used;             /* x-model-used at the end */
	struct cn_view stop_reason;
	struct cn_usage usage;
	bool stream;
	struct cn_hash request_node; /* the last message of the request */
	struct cn_hash prefix_node;  /* system and tools */
	struct cn_hash answer_node;  /* zero: no answer was given */
	struct cn_hash body_hash;    /* keyed; equal for equal requests */
	struct cn_attempt_record *attempts;
	size_t n_attempts;
	struct cn_block_record *blocks;
	size_t n_blocks;
	struct cn_skip_record *skipped;
	size_t n_skipped;
};

/* One JSON object. */
void cn_turn_record_write(struct cn_buf *b, const struct cn_turn_record *r);
/* The reverse; strings in the arena.  Unknown members are passed over. */
int cn_turn_record_read(struct cn_arena *a, struct cn_view json, struct cn_turn_record *ret,
                        struct cn_error *reterr) CN_MUST_CHECK;

#endif
