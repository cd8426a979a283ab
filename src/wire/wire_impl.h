/* What the files of wire/ share.  Private to this folder. */
#ifndef CONTINUO_WIRE_IMPL_H
#define CONTINUO_WIRE_IMPL_H

#include "continuo/dialect.h"
#include "continuo/json.h"
#include "continuo/message.h"

/* ---- json_string.c ---- */

/* The first byte at or after p that a string must look at: '"', '\\', below space, above
 * 127. */
const char *cn_wire__plain(const char *p, const char *end);
/* From behind the opening quote to behind the closing one, or end; of checked text. */
const char *cn_wire__string_end(const char *p, const char *end);
/* Bytes of the UTF-8 sequence at p, or 0 when it is none. */
size_t cn_wire__utf8_length(const char *p, size_t n);
/* The value of four hex digits, or -1. */
long cn_wire__hex4(const char *p, const char *end);

/* ---- json_check.c: a walk over text that checks it on the way ---- */

struct cn_wire__walk {
	const char *p, *end;
	const char *wrong;                       /* NULL: nothing yet */
	const struct cn_request_ear *ear;        /* borrowed; NULL: nobody listens */
	uint64_t object[CN_JSON_MAX_DEPTH / 64]; /* bit: that level is an object */
	uint32_t parts[CN_JSON_MAX_DEPTH];       /* begun on that level */
	unsigned depth;
	unsigned floor; /* of the value being passed as a whole */
};

void cn_wire__space(struct cn_wire__walk *w);
/*
 * Steps into the object or array at p; false when that fails.  Then cn_wire__next() comes
 * to each value in turn, and false means that the level was left or that w->wrong is set.
 * Each value must be passed, by cn_wire__value() or by stepping into it.
 */
bool cn_wire__enter(struct cn_wire__walk *w);
bool cn_wire__next(struct cn_wire__walk *w,
                   struct cn_view *retkey); /* raw; {0} in arrays */
/* Passes the whole value at p, and gives it. */
bool cn_wire__value(struct cn_wire__walk *w, struct cn_json *ret);
/* Whether nothing was wrong, up to the end of the text; else *reterr says what. */
int cn_wire__finish(struct cn_wire__walk *w, struct cn_view text, struct cn_error *reterr);

/* At an opening quote: checks the string and passes it (json_string.c). */
bool cn_wire__check_string(struct cn_wire__walk *w);

/* ---- message_walk.c ---- */

/*
 * Fills what stands in r->body: root, members, thoughts, the numbers of tools, images, and
 * provider_state as far as content blocks name it.
 */
int cn_wire__walk_request(struct cn_arena *a, struct cn_request *r,
                          const struct cn_request_ear *ear, struct cn_error *reterr);

/* ---- json_cursor.c ---- */

enum cn_json_kind cn_wire__kind(char c);
bool cn_wire__says_escaped(struct cn_view raw, struct cn_view s);

/*
 * Whether the raw inside of a string says s.  Asked of every key of a body, so the answer
 * is nearly always found here; with s a literal no call is made for it.
 */
static inline bool cn_wire__says(struct cn_view raw, struct cn_view s)
{
	/* An escape is longer than what it says: of the same length is the same text. */
	if (raw.n == s.n)
		return s.n == 0 ||
		       (memcmp(raw.p, s.p, s.n) == 0 && !memchr(s.p, '\\', s.n));
	return raw.n > s.n && s.n > 0 && (raw.p[0] == s.p[0] || raw.p[0] == '\\') &&
	       cn_wire__says_escaped(raw, s);
}

static inline bool cn_wire__is(struct cn_json string, struct cn_view s)
{
	return string.kind == CN_JSON_STRING && string.raw.n >= 2 &&
	       cn_wire__says(cn_view(string.raw.p + 1, string.raw.n - 2), s);
}

/* The inside of a string as it stands, with its escapes; empty for other kinds. */
static inline struct cn_view cn_wire__inside(struct cn_json string)
{
	return string.kind == CN_JSON_STRING && string.raw.n >= 2
	           ? cn_view(string.raw.p + 1, string.raw.n - 2)
	           : (struct cn_view){NULL, 0};
}

/* Whether a block's text is Claude Code's attribution line: for Anthropic alone. */
static inline bool cn_wire__is_attribution(struct cn_json text)
{
	return cn_view_starts(cn_wire__inside(text),
	                      CN_VIEW("x-anthropic-billing-header:"));
}

/* ---- words.c: what backends say alike in both formats ---- */

enum cn_stop_meaning {
	CN_STOP_NORMAL, /* also what nobody knows */
	CN_STOP_CUT,    /* by the output limit */
	CN_STOP_WINDOW, /* by the model's window */
	CN_STOP_CALLS,
	CN_STOP_REFUSAL,
	CN_STOP_FAILURE, /* the backend broke off */
	CN_STOP_OVERLOADED,
};
enum cn_stop_meaning cn_wire__stop_meaning(struct cn_view reason);
/* A count of tokens that can be one. */
bool cn_wire__figure(struct cn_json usage, const char *key, uint64_t *ret);

/* ---- dialects ---- */

/* What a decoder begins with; what stands behind it is the dialect's own. */
struct cn_decoder {
	const struct cn_decoder_ops *ops;
	struct cn_decode_hints hints;
	cn_decode_fn on_event;
	void *self;        /* borrowed */
	bool stopped;      /* the other side wants no more, or all was said */
	bool cut_short;    /* by us, at a stop sequence */
	const char *wrong; /* why the answer cannot be used; a constant */
};

/* All are given their own decoder; held and end may be NULL: nothing is held or ended. */
struct cn_decoder_ops {
	size_t size;                        /* of the decoder, allocated zeroed */
	void (*init)(struct cn_decoder *d); /* may be NULL: zeroes will do */
	void (*done)(struct cn_decoder *d);
	int (*event)(struct cn_decoder *d, struct cn_arena *a, struct cn_view name,
	             struct cn_view data, struct cn_error *reterr);
	int (*whole)(struct cn_decoder *d, struct cn_arena *a, struct cn_view body,
	             struct cn_error *reterr);
	bool (*end)(struct cn_decoder *d, struct cn_arena *a);
	size_t (*held)(const struct cn_decoder *d);
};
extern const struct cn_decoder_ops cn_wire__anthropic, cn_wire__openai_chat;

/* Tells one event, unless the other side has heard enough. */
void cn_wire__tell(struct cn_decoder *d, const struct cn_event *ev);

#endif
