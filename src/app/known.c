/*
 * Conversations that were seen before (performance 4): what the store was heard to have of
 * them, by a digest of their bytes.
 *
 * A conversation comes whole with each of its turns and is the same but for its end.  A
 * mark stands for all its bytes up to a message, and the table says which node that
 * message is; only marks are noted whose nodes the writer has committed.  That a mark means
 * this node cannot become wrong; that the store still has it can, because retention takes
 * nodes: so the writer looks before it believes it (cn_batch_expect).  A full table
 * forgets what was noted or asked for least lately.
 *
 * Own lock; any thread.
 */
#include "app_impl.h"

#include <stdlib.h>

#define CN_KNOWN_SETS                                                        \
	((size_t)4096)  /* a power of two; 768 KiB in all when they are full \
	                 */
#define CN_KNOWN_WAYS 4 /* marks that one hash may choose among */

/* The one that was noted or asked for last stands first. */
struct set {
	struct cn_digest marks[CN_KNOWN_WAYS]; /* all zero: free */
	struct cn_hash nodes[CN_KNOWN_WAYS];
};

struct cn_known {
	unsigned char key[CN_DIGEST_KEY];
	uv_mutex_t lock;
	struct set *sets; /* owned */
};

struct cn_known *cn_known__new(struct cn_vault *v)
{
	struct cn_known *k = cn_zalloc(sizeof(*k));
	struct cn_view use = CN_VIEW("continuo/1/marks");
	/* Of the vault, so that the same request has the same hash after a restart too. */
	struct cn_hash key = cn_vault_hash(v, CN_VAULT_HASH_NODE, &use, 1);

	memcpy(k->key, key.b, sizeof(k->key));
	cn_wipe(&key, sizeof(key));
	cn_assert(uv_mutex_init(&k->lock) == 0);
	k->sets = cn_zalloc(CN_KNOWN_SETS * sizeof(*k->sets));
	return k;
}

struct cn_known *cn_known__free(struct cn_known *k)
{
	if (!k)
		return NULL;
	free(k->sets);
	uv_mutex_destroy(&k->lock);
	cn_wipe(k->key, sizeof(k->key));
	free(k);
	return NULL;
}

struct cn_digest cn_known__mark(const struct cn_known *k, const struct cn_digest *before,
                                struct cn_view bytes)
{
	struct cn_digest both[2] = {*before, cn_hash_digest(k->key, bytes)};

	return cn_hash_digest(k->key, cn_view((const char *)both, sizeof(both)));
}

/* Marks are keyed hashes: their bytes are as good as random, and nobody can choose them. */
static struct set *set_of(struct cn_known *k, const struct cn_digest *mark)
{
	size_t at = (size_t)mark->b[0] | (size_t)mark->b[1] << 8;

	_Static_assert(CN_KNOWN_SETS <= 1 << 16, "two bytes choose among the sets");
	return &k->sets[at & (CN_KNOWN_SETS - 1)];
}

/* Where the mark stands in its set, or the last place: what is there goes for a new one. */
static size_t find(const struct set *s, const struct cn_digest *mark)
{
	size_t i = 0;

	while (i < CN_KNOWN_WAYS - 1 &&
	       memcmp(s->marks[i].b, mark->b, CN_DIGEST_BYTES) != 0)
		i++;
	return i;
}

static void put_first(struct set *s, size_t i, struct cn_digest mark, struct cn_hash node)
{
	memmove(&s->marks[1], &s->marks[0], i * sizeof(s->marks[0]));
	memmove(&s->nodes[1], &s->nodes[0], i * sizeof(s->nodes[0]));
	s->marks[0] = mark;
	s->nodes[0] = node;
}

bool cn_known__find(struct cn_known *k, const struct cn_digest *mark, struct cn_hash *ret)
{
	struct set *s = set_of(k, mark);
	size_t i;
	bool found;

	uv_mutex_lock(&k->lock);
	i = find(s, mark);
	found = memcmp(s->marks[i].b, mark->b, CN_DIGEST_BYTES) == 0;
	if (found) {
		*ret = s->nodes[i];
		put_first(s, i, *mark, *ret);
	}
	uv_mutex_unlock(&k->lock);
	return found;
}

void cn_known__note(struct cn_known *k, const struct cn_digest *mark,
                    const struct cn_hash *node)
{
	struct set *s = set_of(k, mark);

	uv_mutex_lock(&k->lock);
	put_first(s, find(s, mark), *mark, *node);
	uv_mutex_unlock(&k->lock);
}
