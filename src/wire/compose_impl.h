/*
 * What both decoders build answers with: blocks with dense indices, thoughts and calls
 * taken out of text, stop sequences enforced.  A decoder begins with a composer and feeds
 * it what its format calls text, thinking and calls.  Private to wire/.
 *
 *   text --tags--> thinking ----calls in it----> thinking block, or nothing (not asked for)
 *          \----------- text ---calls in it----> stop sequences ----> text block
 */
#ifndef CONTINUO_COMPOSE_IMPL_H
#define CONTINUO_COMPOSE_IMPL_H

#include "wire_impl.h"

#define CN_CALLS_MAX     ((size_t)128)
#define CN_ARGUMENTS_MAX ((size_t)1 << 20)

/* Where the text stands with regard to a thought that opens it. */
enum cn_thought_state {
	CN_THOUGHT_AT_START, /* white space, or the beginning of a tag, is held */
	CN_THOUGHT_PERHAPS,  /* its tag may be missing: all is held until the other tag */
	CN_THOUGHT_INSIDE,   /* perhaps the beginning of the closing tag is held */
	CN_THOUGHT_BEHIND,   /* white space behind the closing tag is dropped */
	CN_THOUGHT_IN_TEXT,
};

/* One call, as it comes together. */
struct cn_call {
	struct cn_buf id, name, arguments; /* owned */
	struct cn_buf extra;               /* owned: raw; the provider wants it back */
	bool has_index, started, closed, dropped;
	uint64_t index; /* the backend's */
	size_t block;   /* ours, once started */
	size_t told;    /* bytes of arguments told */
	/* Brackets of the arguments: when the outermost object closed, they look whole. */
	size_t depth;
	bool in_string, escaped, whole;
};

/* Calls looked for in text or thinking (toolmarkup.c). */
struct cn_markup {
	struct cn_buf held; /* owned */
	size_t at;          /* bytes of it that are done with */
	bool inside;        /* a call began at `at` */
	size_t opened;      /* bytes of its first marker; 0: it has none */
	const char *close;  /* its last; NULL: it ends where its value does */
	size_t searched;    /* how far the end was looked for */
	size_t depth;       /* brackets of its value */
	char quote;         /* inside a string of it; 0: not */
	bool escaped;
	bool first;   /* nothing but white space since the marker */
	bool begun;   /* text was told */
	bool behind;  /* no text since the last marker */
	char before;  /* the byte before what is held */
	bool fenced;  /* inside a block of code */
	bool in_line; /* of text: something stands before this on its line */
	size_t ticks; /* at its beginning */
	bool running; /* what is held is being looked at */
	size_t n_seen;
};

struct cn_composer {
	struct cn_decoder base;
	bool started, over; /* message_start and the end were told */
	size_t n_blocks;
	bool open; /* a text or thinking block is */
	enum cn_block_type type;
	size_t block;
	size_t heard; /* bytes of content that came */
	size_t said;  /* of them, told or dropped by rule: what the output is */
	size_t told;  /* events */

	enum cn_thought_state thought;
	const char *close_tag; /* INSIDE */
	bool thought_begun;    /* not only white space was inside */
	struct cn_buf held;    /* owned */
	size_t perhaps;        /* bytes of it that were searched for a closing tag */
	struct cn_buf detail;  /* owned: of the open thought, what goes back with it */

	const struct cn_markup_family *family; /* calls come as text; NULL: as calls */
	struct cn_markup in_text, in_thought;

	struct cn_stops *stops; /* owned; NULL: none to look for */
	struct cn_view hit;     /* the one that was found; in stops */

	struct cn_call *calls; /* owned; in the order they came */
	size_t n_calls, n_started;
};

/* ---- compose.c ---- */

/* Before anything is fed: reads the hints. */
void cn_compose__init(struct cn_composer *c);
void cn_compose__done(struct cn_composer *c);
size_t cn_compose__held(const struct cn_composer *c);
void cn_compose__tell(struct cn_composer *c, const struct cn_event *ev);
/* Content came, and nothing was told of it: that it came. */
void cn_compose__progress(struct cn_composer *c, size_t heard, size_t told);

/* A new block: closes an open text or thought. */
size_t cn_compose__next_block(struct cn_composer *c);
void cn_compose__close(struct cn_composer *c);
/* Opens a text block unless one is open. */
void cn_compose__open_text(struct cn_composer *c);
/* Text as the backend sends it, in which thoughts and calls may stand. */
void cn_compose__text(struct cn_composer *c, struct cn_view text);
void cn_compose__thinking(struct cn_composer *c, struct cn_view text);
void cn_compose__signature(struct cn_composer *c, struct cn_view text);
/* One element of reasoning_details. */
void cn_compose__detail(struct cn_composer *c, struct cn_arena *a, struct cn_json detail,
                        bool with_text);
/* A thought that only its provider can read: raw JSON, as a redacted_thinking block. */
void cn_compose__carrier(struct cn_composer *c, struct cn_view raw);
/* Something of another kind begins: what was held of text is told. */
void cn_compose__settle(struct cn_composer *c);
/* No more text comes.  cut: by the output limit. */
void cn_compose__text_end(struct cn_composer *c, bool cut);

/* Behind the search for thoughts; behind that for calls. */
void cn_compose__plain_text(struct cn_composer *c, struct cn_view text);
void cn_compose__plain_thinking(struct cn_composer *c, struct cn_view text);
void cn_compose__add(struct cn_composer *c, enum cn_block_type type, struct cn_view text);

/* White space at the beginning; bytes at the end that could begin word. */
size_t cn_compose__blanks(struct cn_view v);
size_t cn_compose__begun(struct cn_view v, struct cn_view word);

/* ---- compose_stops.c ---- */

/* NULL: no sequence is to be looked for. */
struct cn_stops *cn_stops__new(struct cn_json sequences);
struct cn_stops *cn_stops__free(struct cn_stops *s); /* returns NULL */
size_t cn_stops__held(const struct cn_stops *s);
/* Text through the search: tells what no sequence can begin in; sets hit. */
void cn_stops__feed(struct cn_composer *c, struct cn_view text);
/* The text is over, or another block begins: what was held is told. */
void cn_stops__flush(struct cn_composer *c);

/* ---- compose_calls.c ---- */

/* The tool of the request that a model means by name; NONE: there is none. */
struct cn_json cn_compose__tool(const struct cn_composer *c, struct cn_arena *a,
                                struct cn_view name, struct cn_view *retname);
/*
 * One element of tool_calls (or function_call as such an element).  fresh: each element is
 * a call of its own.  CN_E_INVALID when it cannot belong to any.
 */
int cn_compose__call(struct cn_composer *c, struct cn_arena *a, struct cn_json part,
                     bool fresh, struct cn_error *reterr) CN_MUST_CHECK;
/* All elements of tool_calls; of anything else, none. */
int cn_compose__calls(struct cn_composer *c, struct cn_arena *a, struct cn_json calls,
                      bool fresh, struct cn_error *reterr) CN_MUST_CHECK;
/* A call that is whole, without an id; false: too many. */
bool cn_compose__whole_call(struct cn_composer *c, struct cn_view name,
                            struct cn_view input);
/* Something else begins: calls that look whole are closed. */
void cn_compose__close_whole_calls(struct cn_composer *c);
/* Whether one of the calls is not whole. */
bool cn_compose__call_cut(const struct cn_composer *c);
/* The end: those that waited begin; all are closed but, where cut, those not whole. */
int cn_compose__end_calls(struct cn_composer *c, bool cut,
                          struct cn_error *reterr) CN_MUST_CHECK;
size_t cn_compose__calls_held(const struct cn_composer *c);
void cn_compose__calls_done(struct cn_composer *c);

/* ---- toolmarkup.c ---- */

/* Text or thinking in which calls may stand; sets base.wrong. */
void cn_markup__feed(struct cn_composer *c, struct cn_markup *m, struct cn_view text);
/* Something else begins: what may yet become a marker is told; a call stays open. */
void cn_markup__settle(struct cn_composer *c, struct cn_markup *m);
/* No more comes.  cut: by the output limit. */
void cn_markup__end(struct cn_composer *c, struct cn_markup *m, bool cut);

#endif
