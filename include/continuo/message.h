/*
 * A Messages request as the router sees it: the body's bytes, and a few facts noted in the
 * one pass that checks them.  Nothing else looks at the whole body before dispatch
 * (performance 4).
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

/* One thinking or redacted_thinking block of an assistant message; all borrowed from body.
 */
struct cn_thought {
	struct cn_view block;   /* the object */
	struct cn_view content; /* the array that it stands in */
	struct cn_view message; /* the object around that */
	/* Filled by app/reading.c: the name under which its issuer is remembered. */
	struct cn_hash origin;
	bool has_origin; /* false: there is nothing to know it by */
};
/* A call that the client knows by an id of ours (ids.h), or the result of one. */
struct cn_call_mention {
	struct cn_view block; /* borrowed from body: the object */
	struct cn_json id;    /* borrowed from body: the string in it */
};
#define CN_NOTES_MAX 20000 /* of each in one request: what is kept must have an end */

struct cn_request {
	struct cn_view body;       /* borrowed from the turn */
	struct cn_json root;       /* the object */
	struct cn_member *members; /* in arena, as they stand */
	size_t n_members;
	struct cn_thought *thoughts; /* in arena, as they stand */
	size_t n_thoughts;
	struct cn_call_mention *calls; /* in arena, as they stand */
	size_t n_calls;
	struct cn_view model;                   /* decoded, in arena or body */
	struct cn_json messages, tools, system; /* kind NONE when absent */
	uint64_t max_tokens;
	size_t n_messages;
	size_t n_tools, n_server_tools; /* of tools; those that the provider runs */
	bool stream, has_max_tokens;
	bool thinking;       /* asked for: enabled or adaptive */
	bool server_tools;   /* a typed tool that the provider runs: web_search_…,
	                        code_execution_… */
	bool provider_state; /* names state held by one provider: container, thread, file
	                        ids */
	bool images;
	/* In what was not answered yet: what the model is to look at now.  Documents: other
	 * than text. */
	bool new_images, new_documents;
	enum cn_caller caller;
	/* x-claude-code-session-id, else of metadata.user_id; else empty: app/reading.c
	 * names it after the first message. */
	struct cn_view session;
	struct cn_view agent; /* x-claude-code-agent-id or empty */
	struct cn_view parent_agent;
	uint64_t estimate; /* input tokens, count/estimate.h; filled by app/reading.c */
	/* The parts of it that every model has to read; filled likewise. */
	uint64_t least_system, least_rest;
};

/* What the head says of who calls; empty views when the header is missing. */
struct cn_caller_ids {
	struct cn_view session, agent, parent_agent;
};

/* The members that hold what a model will read. */
enum cn_request_part {
	CN_PART_MESSAGES,
	CN_PART_SYSTEM,
	CN_PART_TOOLS,
};

/*
 * Who listens while a body is read, so that nobody has to walk it again: all that those
 * members are made of, in order, raw and without quotes.  Of a body that is refused only
 * the beginning is told.
 */
struct cn_request_ear {
	/* A member begins; what an earlier one of that name said counts no more. */
	void (*on_part)(void *self, enum cn_request_part part);
	void (*on_key)(void *self, struct cn_view raw);
	void (*on_text)(void *self, struct cn_view raw); /* a string that is a value */
	void (*on_scalar)(void *self);                   /* a number, true, false or null */
	void *self;
};

/*
 * Reads body (bytes that outlive ret) in one pass; ear may be NULL.  CN_E_INVALID with the
 * API's own wording ("model: Field required", "messages: …") when it is no object, too deep
 * or lacks model or messages. The body of count_tokens lacks max_tokens: that is the
 * caller's to check.
 */
int cn_request_read(struct cn_arena *a, struct cn_view body,
                    const struct cn_caller_ids *ids, const struct cn_request_ear *ear,
                    struct cn_request *ret, struct cn_error *reterr) CN_MUST_CHECK;
/* The member of that key, last one wins; NULL without one. */
const struct cn_member *cn_request_member(const struct cn_request *r, const char *key);

#endif
