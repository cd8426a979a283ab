/* What the files of the Chat Completions decoder share.  Private to wire/. */
#ifndef CONTINUO_OPENAI_CHAT_IMPL_H
#define CONTINUO_OPENAI_CHAT_IMPL_H

#include "wire_impl.h"

#define CN_CHAT_CALLS_MAX     ((size_t)128)
#define CN_CHAT_ARGUMENTS_MAX ((size_t)1 << 20)

/* Where the text stands with regard to a thought that opens it. */
enum cn_chat_thought {
	CN_CHAT_AT_START, /* white space, or the beginning of a tag, is held */
	CN_CHAT_INSIDE,   /* perhaps the beginning of the closing tag is held */
	CN_CHAT_BEHIND,   /* white space behind the closing tag is dropped */
	CN_CHAT_IN_TEXT,
};

/* One call, as it comes together. */
struct cn_chat_call {
	struct cn_buf id, name, arguments; /* owned */
	bool has_index, started, closed;
	uint64_t index; /* the backend's */
	size_t block;   /* ours, once started */
	size_t told;    /* bytes of arguments told */
	/* Brackets of the arguments: when the outermost object closed, they look whole. */
	size_t depth;
	bool in_string, escaped, whole;
};

struct cn_chat {
	struct cn_decoder base;
	bool started, over;
	size_t n_blocks;
	bool open; /* a text or thinking block is */
	enum cn_block_type type;
	size_t block;
	size_t said; /* bytes of content */
	struct cn_usage usage;
	struct cn_buf finish, stop_sequence; /* owned; empty: not said */
	bool cut;                            /* by a limit, says the provider behind it */
	enum cn_chat_thought thought;
	const char *close_tag;               /* INSIDE */
	struct cn_buf held;                  /* owned */
	const struct cn_chat_family *family; /* calls come as text; NULL: as calls */
	struct cn_buf markup;                /* owned: held for it */
	size_t opened;                       /* bytes of a call's first marker; 0: none */
	size_t searched;                     /* how far its last was looked for */
	bool behind_marker;                  /* no text since the last one */
	const char *broken;                  /* a call in the text that cannot be turned */
	struct cn_chat_call *calls;          /* owned; in the order they came */
	size_t n_calls;
};

/* ---- openai_chat_tell.c: blocks and text ---- */

/* A new block: closes an open text or thought. */
size_t cn_chat__next_block(struct cn_chat *c);
void cn_chat__close(struct cn_chat *c);
void cn_chat__tell(struct cn_chat *c, const struct cn_event *ev);
/* Text that may begin with a thought between tags. */
void cn_chat__text(struct cn_chat *c, struct cn_view text);
void cn_chat__thinking(struct cn_chat *c, struct cn_view text);
void cn_chat__signature(struct cn_chat *c, struct cn_view text);
/* Text that is nothing but text. */
void cn_chat__add_text(struct cn_chat *c, struct cn_view text);
/* White space at the beginning; bytes at the end that could begin word. */
size_t cn_chat__blanks(struct cn_view v);
size_t cn_chat__begun(struct cn_view v, struct cn_view word);
/* No more text comes: what was held is told. */
void cn_chat__text_end(struct cn_chat *c);

/* ---- openai_chat_calls.c ---- */

/*
 * One element of tool_calls (or function_call as such an element).  fresh: each element is
 * a call of its own.  CN_E_INVALID when it cannot belong to any.
 */
int cn_chat__call(struct cn_chat *c, struct cn_arena *a, struct cn_json part, bool fresh,
                  struct cn_error *reterr) CN_MUST_CHECK;
/* A call that is whole, without an id; false: too many. */
bool cn_chat__whole_call(struct cn_chat *c, struct cn_view name, struct cn_view input);
/* Something else begins: calls that look whole are closed. */
void cn_chat__close_whole_calls(struct cn_chat *c);
/* Whether one of the calls is not whole. */
bool cn_chat__call_cut(const struct cn_chat *c);
/* The end: those that waited begin; all are closed but, where cut, those not whole. */
int cn_chat__end_calls(struct cn_chat *c, bool cut, struct cn_error *reterr) CN_MUST_CHECK;
size_t cn_chat__calls_held(const struct cn_chat *c);
void cn_chat__calls_done(struct cn_chat *c);

/* ---- toolmarkup.c ---- */

/* NULL: calls of this model come as calls, or not as any text that we know. */
const struct cn_chat_family *cn_chat__family(const struct cn_decode_hints *hints);
/* Text in which calls may stand; sets broken. */
void cn_chat__markup(struct cn_chat *c, struct cn_view text);
/* No more comes.  cut: by the output limit. */
void cn_chat__markup_end(struct cn_chat *c, bool cut);

#endif
