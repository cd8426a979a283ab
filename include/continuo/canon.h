/*
 * Canonical messages and their addresses (design/continuity.md "History").  Canonical
 * means: without cache_control, key order normalised, string content = one text block,
 * message-level output_config kept.  A node's id is keyed hash(owner, parent id, canonical
 * message).  Pure.
 */
#ifndef CONTINUO_CANON_H
#define CONTINUO_CANON_H

#include "continuo/arena.h"
#include "continuo/hash.h"

typedef struct cn_hash (*cn_keyed_hash_fn)(void *self, const struct cn_view *views,
                                           size_t n);

struct cn_node {
	struct cn_hash id, parent; /* parent all zero: the first message */
	struct cn_view canonical;  /* JSON, in arena */
};

struct cn_canon {
	struct cn_node prefix; /* {"system":…,"tools":…}; parent zero */
	struct cn_node *nodes; /* one a message, in order */
	size_t n;
};

/* body passed cn_json_check().  Runs on a pool thread for large bodies. */
int cn_canon_request(struct cn_arena *a, struct cn_view body, struct cn_view owner,
                     cn_keyed_hash_fn hash, void *self, struct cn_canon *ret,
                     struct cn_error *reterr) CN_MUST_CHECK;
/* One message object (an answer: {"role":"assistant","content":[…]}) under parent. */
int cn_canon_message(struct cn_arena *a, struct cn_view message, struct cn_view owner,
                     const struct cn_hash *parent, cn_keyed_hash_fn hash, void *self,
                     struct cn_node *ret, struct cn_error *reterr) CN_MUST_CHECK;

#endif
