/*
 * JSON as bytes: what yyjson does not do for us.
 *
 *  - a bounded check of text from peers, before any parser sees it (packaged yyjson has no
 *    depth limit);
 *  - a cursor that walks members and elements and gives their byte ranges, so that a body
 * can be forwarded untouched but for a few patched ranges;
 *  - patches: a list of ranges to replace, applied as slices, without copying the rest;
 *  - writing strings.
 *
 * Pure; any thread.
 */
#ifndef CONTINUO_JSON_H
#define CONTINUO_JSON_H

#include "continuo/arena.h"

#define CN_JSON_MAX_DEPTH 128   /* design/security.md 7 */
#define CN_JSON_MAX_KEYS  10000 /* keys of one object */

/*
 * Whether text is one well-formed JSON value (RFC 8259, UTF-8 checked) within the limits.
 * On failure *reterr says what is wrong and at which byte.
 */
int cn_json_check(struct cn_view text, struct cn_error *reterr) CN_MUST_CHECK;

enum cn_json_kind {
	CN_JSON_NONE, /* no value there */
	CN_JSON_OBJECT,
	CN_JSON_ARRAY,
	CN_JSON_STRING,
	CN_JSON_NUMBER,
	CN_JSON_TRUE,
	CN_JSON_FALSE,
	CN_JSON_NULL,
};

/* One value of a checked text: its bytes as they stand, and what it is. */
struct cn_json {
	struct cn_view raw; /* borrowed from the text; a string with its quotes */
	enum cn_json_kind kind;
};

/*
 * The value that fills text (white space around it allowed).  The functions below expect
 * text that cn_json_check() or a parser accepted: on other text they stay inside the bytes
 * but their result means nothing.
 */
struct cn_json cn_json_root(struct cn_view text);

/* Walks an object or an array: for (it = cn_json_iter(v); cn_json_next(&it);) … */
struct cn_json_iter {
	const char *at, *end; /* private */
	bool object;          /* private */
	struct cn_view key; /* raw, without quotes; empty in arrays; ask cn_json_key_is() */
	struct cn_json value; /* the member's or element's value */
	struct cn_view whole; /* key to end of value: what a removal must take */
	size_t index;         /* from 0 */
};
/* Of anything but an object or array: an iterator without members. */
struct cn_json_iter cn_json_iter(struct cn_json v);
bool cn_json_next(struct cn_json_iter *it);

/* Whether a raw key says name once escapes are resolved: whoever parses it later sees that.
 */
bool cn_json_key_is(struct cn_view key, const char *name);
/* The last member of that key, as parsers with "last wins" see it; kind NONE without one.
 */
struct cn_json cn_json_get(struct cn_json object, const char *key);
/* The same along a path of keys: cn_json_path(v, "message", "usage", NULL). */
struct cn_json cn_json_path(struct cn_json object, ...);
/* The string's text with escapes resolved, in the arena unless it has none; empty for other
 * kinds. */
struct cn_view cn_json_text(struct cn_arena *a, struct cn_json string);
/* Whether it is a string that equals s once escapes are resolved. */
bool cn_json_is(struct cn_json string, const char *s);
/* A non-negative integer (1e3 and 5.0 count); false on anything else or overflow. */
bool cn_json_u64(struct cn_json number, uint64_t *ret);

/* ---- writing ---- */

/* Appends "…" with quotes; invalid UTF-8 becomes U+FFFD, so the result is always valid. */
void cn_json_add_string(struct cn_buf *b, struct cn_view text);
/* Appends ["]key["]: after a comma unless b ends in '{'.  key is a literal of ours. */
void cn_json_add_key(struct cn_buf *b, const char *key);
/* key and string / unsigned / raw JSON / boolean value, with the comma as above. */
void cn_json_add_text(struct cn_buf *b, const char *key, struct cn_view text);
void cn_json_add_u64(struct cn_buf *b, const char *key, uint64_t n);
void cn_json_add_raw(struct cn_buf *b, const char *key, struct cn_view raw);
void cn_json_add_bool(struct cn_buf *b, const char *key, bool v);

/* ---- patches ---- */

/* One range of a text and what stands there instead. */
struct cn_patch {
	size_t at, n;        /* bytes of the original */
	size_t order;        /* when it came */
	struct cn_view with; /* in arena or borrowed as long as the patches live */
};

struct cn_patches {
	struct cn_arena *arena; /* borrowed */
	struct cn_patch *v;     /* in arena; as they came until cn_patch_slices() */
	size_t n, cap;
};

/*
 * part is a range of text (the body).  Of patches that overlap the outer one stands,
 * whichever came first; of two for the same range, the first.
 */
void cn_patch_replace(struct cn_patches *ps, struct cn_view text, struct cn_view part,
                      struct cn_view with);
/*
 * Removes members or elements: it takes the comma that belongs to each, whatever the mix of
 * removed and kept neighbours.  container is the object or array; the wholes are ranges
 * that an iterator of it gave, in order.
 */
void cn_patch_remove(struct cn_patches *ps, struct cn_view text, struct cn_json container,
                     const struct cn_view *wholes, size_t n);
/* Adds ,"key":raw (or without comma) before the closing brace of object. */
void cn_patch_insert(struct cn_patches *ps, struct cn_view text, struct cn_json object,
                     const char *key, struct cn_view raw);

/* Adds elements (raw, without a comma at either end) behind the last one of array. */
void cn_patch_append(struct cn_patches *ps, struct cn_view text, struct cn_json array,
                     struct cn_view raw);

/* A text as slices in order; what a request body is on its way out. */
struct cn_slices {
	struct cn_view *v; /* in arena */
	size_t n;
	size_t bytes; /* sum of the slices */
};
/* The patched text as slices that borrow from text and the patches; made in ps->arena. */
struct cn_slices cn_patch_slices(struct cn_patches *ps, struct cn_view text);

#endif
