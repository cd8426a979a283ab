/* What the files of the Chat Completions encoder share.  Private to wire/. */
#ifndef CONTINUO_OPENAI_CHAT_ENCODE_IMPL_H
#define CONTINUO_OPENAI_CHAT_ENCODE_IMPL_H

#include "wire_impl.h"

/* What is written: short bytes are copied, long ones borrowed. */
struct cn_chat_cut {
	size_t at; /* of b */
	struct cn_view with;
};
struct cn_chat_out {
	struct cn_buf b; /* owned */
	struct cn_chat_cut *cuts;
	size_t n_cuts, cuts_cap;
	size_t borrowed;         /* bytes of the cuts */
	struct cn_slices slices; /* what was written before */
	size_t slices_cap;
};

/*
 * A part of a message's content.  Its pieces are JSON as it is written: of a text the
 * inside of the string, of anything else the whole object.
 */
#define CN_CHAT_PIECES 5
struct cn_chat_part {
	bool text;
	struct cn_view pieces[CN_CHAT_PIECES];
	struct cn_view cache_control; /* raw; empty: none */
};
struct cn_chat_parts {
	struct cn_chat_part *v; /* in arena */
	size_t n, cap;
};

/* The members of a content block that mean something to us, as they stand. */
struct cn_chat_block {
	struct cn_json whole;
	struct cn_json type, text, id, name, input, tool_use_id, content, is_error, source;
	struct cn_json title, cache_control, thinking, signature, data, tool_name,
	    citations;
};

/* One call of the assistant's, and what the client says came of it. */
struct cn_chat_asked {
	struct cn_view id; /* decoded */
	size_t order;
	struct cn_json name, input, id_raw;
	struct cn_view extra;  /* raw: what must stand beside it; empty: nothing */
	struct cn_json result; /* the block; NONE: not answered */
};

struct cn_chat_encoder {
	struct cn_arena *arena;
	const struct cn_request *r;
	const struct cn_edit *edit;
	struct cn_chat_out out;
	bool prefill;      /* the last message is the beginning of the answer; known once
	                      all are written */
	size_t n_written;  /* messages */
	bool begun;        /* the user has spoken */
	bool of_assistant; /* the last one written */

	/* The assistant's message that is coming together. */
	struct cn_chat_parts says;
	struct cn_chat_asked *asks;
	size_t n_asks, asks_cap;
	struct cn_chat_parts thinks;  /* texts of its thinking */
	struct cn_chat_parts details; /* objects of reasoning_details */
	struct cn_view extra;         /* for the next call; raw */
	bool assistant;               /* there is one */
	size_t thought;               /* of r->thoughts, the next to come */

	/* What the user's side has said since. */
	struct cn_chat_asked *open; /* calls that await results, sorted by id */
	size_t n_open, open_cap;
	struct cn_chat_parts shown; /* of results: images, and results of no call */
	struct cn_chat_parts user;

	struct cn_view *named; /* deferred tools that the conversation names; decoded */
	size_t n_named, named_cap;
};

static inline bool cn_chat_quirk(const struct cn_chat_encoder *e, enum cn_quirk q)
{
	return e->edit->quirks & cn_quirk_bit(q);
}

/* A member of the client's request; NONE where it is not sent. */
struct cn_json cn_chat__member(const struct cn_chat_encoder *e, const char *key);
/* Whether the policy writes that member, in place of what the request would make of it. */
bool cn_chat__is_added(const struct cn_chat_encoder *e, const char *key);

/* ---- openai_chat_encode.c: bytes out ---- */

void cn_chat_out__add(struct cn_chat_encoder *e, struct cn_view raw);
void cn_chat_out__str(struct cn_chat_encoder *e, const char *s);
/* The next byte is a comma or a bracket of ours. */
void cn_chat_out__pause(struct cn_chat_encoder *e);
/* How many were written so far. */
size_t cn_chat_out__bytes(const struct cn_chat_encoder *e);
/* ,"key": or without the comma behind an opening brace. */
void cn_chat_out__key(struct cn_chat_encoder *e, const char *key);

/* ---- openai_chat_content.c: blocks to parts, and parts written ---- */

/* A text of ours as the inside of a JSON string. */
struct cn_view cn_chat__escaped(struct cn_arena *a, struct cn_view text);
struct cn_chat_part *cn_chat__put_text(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                                       struct cn_view inside);
void cn_chat__read_block(struct cn_json block, struct cn_chat_block *ret);
/* A block of a user's message or of a result, as parts. */
void cn_chat__put_block(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                        const struct cn_chat_block *b);
/* A content: a string, or an array of blocks. */
void cn_chat__put_content(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                          struct cn_json content);
/* "content":…, of one or two lists; texts alone make a string, with join between them. */
void cn_chat__write_content(struct cn_chat_encoder *e, const struct cn_chat_parts *first,
                            const struct cn_chat_parts *second, const char *join);

/* ---- openai_chat_messages.c ---- */

/* "messages":[…], the system prompt among them. */
void cn_chat__write_messages(struct cn_chat_encoder *e);

/* ---- openai_chat_tools.c ---- */

/* "tools" and what goes with them; after the messages, which may name deferred ones. */
void cn_chat__write_tools(struct cn_chat_encoder *e);

/* ---- openai_chat_schema.c ---- */

/* A tool's input_schema as this backend takes it; false: it takes none without properties.
 */
bool cn_chat__write_schema(struct cn_chat_encoder *e, struct cn_json schema);

/* ---- openai_chat_names.c ---- */

/*
 * The name under which a tool goes out: as it is where the format takes it, else its first
 * 55 characters and a hash, the same each time.
 */
struct cn_view cn_chat__short_name(struct cn_arena *a, struct cn_view name);
/* The id under which a call goes out, likewise; own: the backend's own. */
struct cn_view cn_chat__short_id(struct cn_arena *a, struct cn_view id, bool own,
                                 bool nine);

/* ---- openai_chat_thinking.c ---- */

/* Whether the request, as it goes out, asks for thinking. */
bool cn_chat__thinks(const struct cn_chat_encoder *e);
/* The switch that this model has. */
void cn_chat__write_thinking(struct cn_chat_encoder *e);

#endif
