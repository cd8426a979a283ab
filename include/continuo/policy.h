/*
 * The policy: what the files say, resolved and immutable.  config/ builds it, everyone
 * reads it; turns keep the one they began with (one reference).  All strings and arrays
 * live in its arena.  Every key of design/product.md "All keys" has its place here.
 */
#ifndef CONTINUO_POLICY_H
#define CONTINUO_POLICY_H

#include "continuo/arena.h"
#include "continuo/dialect.h"
#include "continuo/outcome.h"

#include <stdatomic.h>

#define CN_FOREVER UINT64_MAX /* max_wait: forever; hedge_after: off */

enum cn_continuation {
	CN_CONTINUE_AUTO, /* of fallback: the model's own */
	CN_CONTINUE_INSTRUCT,
	CN_CONTINUE_PREFILL, /* of a model only */
	CN_CONTINUE_RESTART,
	CN_CONTINUE_OFF,
};
enum cn_key_kind {
	CN_KEY_NONE,
	CN_KEY_CLIENT,
	CN_KEY_VAULT
};
enum cn_rotate {
	CN_ROTATE_FILL_FIRST,
	CN_ROTATE_ROUND_ROBIN,
	CN_ROTATE_LEAST_USED
};
enum cn_network {
	CN_NETWORK_PUBLIC,
	CN_NETWORK_PRIVATE
};
enum cn_proxy {
	CN_PROXY_NONE,
	CN_PROXY_ENV,
	CN_PROXY_URL
};
enum cn_failback {
	CN_FAILBACK_NEXT_TURN,
	CN_FAILBACK_IDLE,
	CN_FAILBACK_NEVER
};
/* How a key is written into the request head. */
enum cn_auth {
	CN_AUTH_X_API_KEY,
	CN_AUTH_BEARER,
	CN_AUTH_API_KEY
};

struct cn_policy_key {
	enum cn_key_kind kind;
	const char *name;    /* of the vault; "client" or "none" else */
	const char *account; /* label; each key is its own account unless the policy says
	                        otherwise */
};

struct cn_header {
	const char *name, *value;
};

struct cn_backend {
	const char *name;   /* of the policy */
	const char *preset; /* NULL: none */
	enum cn_wire wire;
	const char *url;    /* base as written, no final slash, no /v1 at its end; see
	                       cn_backend_path() */
	const char *origin; /* scheme://host:port, lower case, port always there */
	enum cn_auth auth;
	struct cn_header *headers; /* fixed, non-secret */
	size_t n_headers;
	uint64_t quirks;          /* a set of enum cn_quirk (dialect.h) */
	const char **drop_fields; /* top-level request members never sent there */
	size_t n_drop_fields;
	struct cn_edit_member *add_fields; /* and such that are sent besides */
	size_t n_add_fields;
	const char *
	    *keep_betas; /* anthropic-beta values let through; n 0: all unless drop_betas */
	size_t n_keep_betas;
	bool drop_betas;            /* send no anthropic-beta at all */
	bool checks_signatures;     /* refuses thinking blocks that it did not sign */
	bool count_tokens;          /* has the endpoint */
	struct cn_policy_key *keys; /* at least one */
	size_t n_keys;
	enum cn_rotate rotate;
	enum cn_network network;
	bool plaintext; /* http to elsewhere than loopback was allowed */
	enum cn_proxy proxy;
	const char *proxy_url;
	size_t index; /* in policy->backends */
};

enum cn_stream_mode {
	CN_STREAM_ALWAYS,
	CN_STREAM_NEVER,
	CN_STREAM_OVER
};

struct cn_prompt {
	enum cn_prompt_how how;
	const char *file;
	struct cn_view text; /* read when the policy was loaded */
	bool of_route;       /* of a model: that route says it for that model */
};

struct cn_price { /* US dollars per million tokens */
	double input, output, cache_read, cache_write;
	const char *date; /* NULL: no price known */
};

struct cn_model {
	const char *name;
	const struct cn_backend *backend;
	const char *id;      /* at the backend; NULL: `client`, what the client asked for */
	uint64_t context;    /* tokens; 0: not known */
	uint64_t max_output; /* tokens; 0: not known */
	enum cn_continuation continuation;
	bool thinking, images, server_tools;
	uint64_t tools;    /* the most it takes; 0: none; UINT64_MAX: any number */
	uint64_t max_body; /* bytes; 0: no limit of its own */
	enum cn_stream_mode stream;
	uint64_t stream_over;    /* STREAM_OVER: only above so many max_tokens */
	const char *tool_format; /* NULL: calls come as calls */
	bool smooth;
	uint64_t quirks; /* the backend's, and those that the catalogue knows of the model
	                  */
	const char **drop_fields; /* likewise */
	size_t n_drop_fields;
	struct cn_edit_member *add_fields; /* likewise */
	size_t n_add_fields;
	struct cn_prompt prompt;
	struct cn_price price;
	size_t index; /* in policy->models */
};

struct cn_fallback {
	uint32_t on; /* bit 1 << class: another candidate is tried */
	uint64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms;
	uint64_t progress_timeout_ms; /* 0 was resolved to 5 x idle */
	uint64_t attempt_timeout_ms;
	uint64_t hold_thinking_ms;
	uint64_t hold_ping_after_ms; /* 0: by the client's own timeout */
	uint64_t max_wait_ms;        /* CN_FOREVER */
	uint64_t orphan_grace_ms;
	enum cn_failback failback;
	uint64_t failback_idle_ms;
	enum cn_continuation continuation;
	bool tool_calls_live;
	bool report_answered; /* report_model: answered */
	unsigned loop_limit;
	uint64_t hedge_after_ms; /* CN_FOREVER: off */
};

struct cn_chain {
	const char *name; /* of a list written in a route: "route-N", N from 1 */
	const struct cn_model **models;
	size_t n_models;
	struct cn_fallback fallback; /* resolved: built-in < policy < chain */
};

enum cn_tristate {
	CN_ANY = -1,
	CN_NO = 0,
	CN_YES = 1
};

struct cn_when {
	const char **models, **owners; /* globs, any of; n 0: all */
	size_t n_models, n_owners;
	uint64_t context_over;  /* 0: not asked */
	uint64_t context_under; /* 0: not asked */
	enum cn_tristate thinking, images, tools;
	int caller;                /* enum cn_caller, or -1 for any */
	struct cn_header *headers; /* value: a glob */
	size_t n_headers;
	int from_minute, to_minute; /* local time of day; -1: not asked */
};

struct cn_route {
	struct cn_when when;
	const struct cn_chain *chain;
	struct cn_fallback fallback; /* resolved: … < chain < route */
	struct cn_prompt prompt;
	uint64_t max_tokens; /* 0: leave */
	const char *effort;  /* NULL: leave */
	/* Models of the chain with this route's own keys put over; same order; NULL: as
	 * they are. */
	const struct cn_model **models;
	unsigned number; /* from 1, for messages */
};

struct cn_budget {
	double money;    /* 0: none */
	uint64_t tokens; /* 0: none */
	enum {
		CN_BUDGET_WARN,
		CN_BUDGET_DEGRADE,
		CN_BUDGET_STOP
	} then;
};

struct cn_listen {
	const char *host; /* NULL for a Unix socket */
	unsigned port;    /* 0: any free one */
	const char *path; /* of a Unix socket */
	bool loopback;
};

struct cn_limits {
	unsigned connections, connections_per_token, turns, turns_per_token;
	uint64_t request_body, memory_limit; /* bytes */
	uint64_t drain_ms;
};

struct cn_policy {
	atomic_uint refs;
	struct cn_arena arena; /* owns everything below */
	const char *file;      /* the path it was read from */
	const char **files;    /* it and its includes: watched for changes */
	size_t n_files;
	struct cn_hash_text {
		char hex[17]; /* of the bytes of all files: names a policy in records and
		                 `run` */
	} digest;
	struct cn_listen *listen;
	size_t n_listen;
	const char **names;
	size_t n_names;
	bool tls_terminated;
	unsigned workers;
	const char **client_key_origins; /* with https://api.anthropic.com:443 */
	size_t n_client_key_origins;
	const char *client_model; /* NULL: leave */
	struct cn_header *client_env;
	size_t n_client_env;
	struct cn_backend *backends;
	size_t n_backends;
	struct cn_model *models;
	size_t n_models;
	struct cn_chain *chains;
	size_t n_chains;
	struct cn_route *routes;
	size_t n_routes;
	struct cn_fallback fallback;
	bool history;
	uint64_t retention_ms, history_max_size;
	bool history_network_fs;
	struct cn_limits limits;
	struct cn_budget budget_session, budget_token, budget_day;
	uint64_t requests_per_minute; /* 0: none */
	const char *vault_key_file;   /* NULL: the usual place */
	bool require_mlock;
	bool log_json;
	int log_level; /* enum cn_log_level */
	const char *otlp;
};

/* An empty policy with one reference and every default set; config/ fills it. */
struct cn_policy *cn_policy_new(void);
struct cn_policy *cn_policy_ref(struct cn_policy *p);
/* Returns NULL; frees with the last reference.  Any thread. */
struct cn_policy *cn_policy_unref(struct cn_policy *p);
/* The defaults of `fallback` (design/product.md), progress_timeout resolved. */
struct cn_fallback cn_fallback_default(void);
/* NULL when there is none of that name. */
const struct cn_chain *cn_policy_chain(const struct cn_policy *p, struct cn_view name);
const struct cn_model *cn_policy_model(const struct cn_policy *p, struct cn_view name);
/* Whether a backend of the policy takes the client's own credential. */
bool cn_policy_has_client_key(const struct cn_policy *p);
/*
 * What goes with the client's system prompt: the nearest, which is what the route says of
 * the model, then what it says of all, then the model's own; NULL: nothing.
 */
const struct cn_prompt *cn_policy_prompt(const struct cn_route *route,
                                         const struct cn_model *model);
/* "append notes.md", in the arena; for the record. */
struct cn_view cn_prompt_name(struct cn_arena *a, const struct cn_prompt *prompt);
/* Whether the catalogue or the policy says so of the model or its backend. */
bool cn_model_has_quirk(const struct cn_model *m, enum cn_quirk quirk);
/* The path of its endpoint behind its url: with /v1 unless that names a version itself. */
const char *cn_backend_path(const struct cn_backend *b);

#endif
