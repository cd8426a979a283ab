/*
 * How an attempt ended.  The classes are the one list of wire/fallback-rules.md 1: policy,
 * code, log, metrics and x-continuo-attempts use these names.
 */
#ifndef CONTINUO_OUTCOME_H
#define CONTINUO_OUTCOME_H

#include "continuo/view.h"

#define CN_CLASSES(X)                               \
	X(OK, "ok")                                 \
	X(CANCELLED, "cancelled")                   \
	X(RATE_LIMITED, "rate_limited")             \
	X(QUOTA_EXHAUSTED, "quota_exhausted")       \
	X(OVERLOADED, "overloaded")                 \
	X(AUTH, "auth")                             \
	X(BILLING, "billing")                       \
	X(INVALID_REQUEST, "invalid_request")       \
	X(CONTEXT_OVERFLOW, "context_overflow")     \
	X(OUTPUT_CEILING, "output_ceiling")         \
	X(CONTENT_REFUSAL, "content_refusal")       \
	X(NOT_FOUND_MODEL, "not_found_model")       \
	X(MISCONFIGURED, "misconfigured")           \
	X(TIMEOUT_CONNECT, "timeout_connect")       \
	X(TIMEOUT_FIRST_BYTE, "timeout_first_byte") \
	X(TIMEOUT_IDLE, "timeout_idle")             \
	X(TRUNCATED_STREAM, "truncated_stream")     \
	X(MALFORMED_STREAM, "malformed_stream")     \
	X(SERVER_ERROR, "server_error")             \
	X(EMPTY, "empty")                           \
	X(LOOP, "loop")                             \
	X(WEAK, "weak")                             \
	X(DAMAGED, "damaged")

enum cn_class {
#define X(symbol, name) CN_CLASS_##symbol,
	CN_CLASSES(X)
#undef X
	CN_CLASS_COUNT
};
const char *cn_class_name(enum cn_class c);
/* A class by its name; `ok` and `cancelled` are not to be named in a policy and give false.
 */
bool cn_class_parse(struct cn_view name, enum cn_class *ret);

/* What kept a candidate from being tried again with something in the request changed. */
enum cn_repair {
	CN_REPAIR_NONE,
	CN_REPAIR_THINKING,   /* drop thinking blocks of earlier answers */
	CN_REPAIR_FIELD,      /* drop the top-level field or beta named in repair_field */
	CN_REPAIR_MAX_TOKENS, /* send limit as max_tokens */
	CN_REPAIR_PREFILL,    /* this model takes no prefill */
	CN_REPAIR_PLAIN,      /* send roles, blocks and tools that every backend knows */
};

/* How far a failure reaches: what cools down (wire/fallback-rules.md 1). */
enum cn_scope {
	CN_SCOPE_NONE,
	CN_SCOPE_KEY_MODEL,
	CN_SCOPE_KEY,
	CN_SCOPE_ACCOUNT,
	CN_SCOPE_MODEL, /* the model on this backend */
	CN_SCOPE_BACKEND,
};

/* Failure is data here, not an error return.  Strings live in the turn's arena. */
struct cn_outcome {
	enum cn_class class;
	enum cn_scope scope;   /* of the cooldown; NONE: none */
	enum cn_repair repair; /* what one resend to the same candidate would change */
	struct cn_view
	    repair_field; /* REPAIR_FIELD: member name, or "anthropic-beta" value */
	uint64_t limit;   /* REPAIR_MAX_TOKENS, OUTPUT_CEILING: the number the text names */
	uint64_t window;  /* CONTEXT_OVERFLOW: the window the text names; 0: none */
	int http_status;  /* 0: no response head arrived */
	uint64_t retry_after_ms; /* 0: the upstream did not say */
	bool head_seen;          /* a response head arrived */
	bool delta_seen;         /* an event with content arrived */
	bool free_retry; /* a reused connection died before the head: retry, uncounted */
	bool perhaps_billed;  /* sent, and no refusal came back */
	bool no_cooldown;     /* loading model, system sleep: nothing cools down */
	const char *no_retry; /* why no other try may follow; NULL: may */
	const char *reason;   /* one constant phrase for the log */
	struct cn_view body;  /* error body as received, at most 64 KiB; empty: none */
	struct cn_view content_type;     /* of that body */
	struct cn_view upstream_request; /* the backend's request id */
	struct cn_view
	    message; /* the backend's error.message, for our own words; may be empty */
};

#endif
