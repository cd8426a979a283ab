/*
 * A Messages request as the router sees it: the body's bytes, and a few facts read from one
 * bounded pass over its top level.  Nothing else is parsed before dispatch (performance 4).
 */
#ifndef CONTINUO_MESSAGE_H
#define CONTINUO_MESSAGE_H

#include "continuo/hash.h"
#include "continuo/json.h"

enum cn_caller {
	CN_CALLER_MAIN,     /* tools declared, no agent id */
	CN_CALLER_SUBAGENT, /* x-claude-code-agent-id */
	CN_CALLER_SIDE,     /* no tools, or one server tool: titles, web search */
};
const char *cn_caller_name(enum cn_caller c);

/* One top-level member. */
struct cn_member {
	struct cn_view key;   /* raw, without quotes */
	struct cn_json value; /* borrowed from body */
	struct cn_view whole; /* key and value */
};

struct cn_request {
	struct cn_view body;       /* borrowed from the turn */
	struct cn_json root;       /* the object */
	struct cn_member *members; /* in arena, as they stand */
	size_t n_members;
	struct cn_view model;                   /* decoded, in arena or body */
	struct cn_json messages, tools, system; /* kind NONE when absent */
	uint64_t max_tokens;
	size_t n_tools;
	bool stream, has_max_tokens;
	bool thinking;       /* asked for: enabled or adaptive */
	bool server_tools;   /* a typed tool that the provider runs: web_search_…,
	                        code_execution_… */
	bool provider_state; /* names state held by one provider: container, thread, file
	                        ids */
	bool images;
	enum cn_caller caller;
	/* x-claude-code-session-id, else of metadata.user_id; else empty: app/reading.c
	 * names it after the first message. */
	struct cn_view session;
	struct cn_view agent; /* x-claude-code-agent-id or empty */
	struct cn_view parent_agent;
	uint64_t estimate; /* input tokens, count/estimate.h; filled by app/reading.c */
};

/* What the head says of who calls; empty views when the header is missing. */
struct cn_caller_ids {
	struct cn_view session, agent, parent_agent;
};

/*
 * Reads body (bytes that outlive ret).  CN_E_INVALID with the API's own wording ("model:
 * Field required", "messages: …") when it is no object, too deep or lacks model or
 * messages. The body of count_tokens lacks max_tokens: that is the caller's to check.
 */
int cn_request_read(struct cn_arena *a, struct cn_view body,
                    const struct cn_caller_ids *ids, struct cn_request *ret,
                    struct cn_error *reterr) CN_MUST_CHECK;
/* The member of that key, last one wins; NULL without one. */
const struct cn_member *cn_request_member(const struct cn_request *r, const char *key);

#endif
