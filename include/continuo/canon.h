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

/* Whose nodes are made, where, and who hashes them; all borrowed. */
struct cn_canon {
	struct cn_arena *arena;
	struct cn_view owner;
	cn_keyed_hash_fn hash;
	void *self; /* of hash */
};

/* One message object (an answer: {"role":"assistant","content":[…]}) under parent. */
int cn_canon_message(const struct cn_canon *c, struct cn_view message,
                     const struct cn_hash *parent, struct cn_node *ret,
                     struct cn_error *reterr) CN_MUST_CHECK;
/* {"system":…,"tools":…} with what there is of them (empty: nothing); parent zero. */
int cn_canon_prefix(const struct cn_canon *c, struct cn_view system, struct cn_view tools,
                    struct cn_node *ret, struct cn_error *reterr) CN_MUST_CHECK;

#endif
