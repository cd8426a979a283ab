/*
 * Which model issued a thinking signature (design/continuity.md "Provenance").
 *
 * A bounded table in memory in front of the store's records: signatures seen since the
 * start, and those looked up.  A full table forgets by overwriting; the store still knows.
 * Own lock; any thread.
 */
#include "app_impl.h"

#include "continuo/ids.h"

#include <stdlib.h>

#define CN_PROVENANCE_SLOTS 8192 /* a power of two; about 1.8 MB when full */

struct slot {
	struct cn_hash id; /* all zero: free */
	char *model;       /* owned; "" for a signature that is not ours */
};

struct cn_provenance {
	uv_mutex_t lock;
	struct slot *slots; /* owned; direct-mapped by the id's first bytes */
};

struct cn_provenance *cn_provenance__new(void)
{
	struct cn_provenance *p = cn_zalloc(sizeof(*p));

	cn_assert(uv_mutex_init(&p->lock) == 0);
	p->slots = cn_zalloc(CN_PROVENANCE_SLOTS * sizeof(struct slot));
	return p;
}

struct cn_provenance *cn_provenance__free(struct cn_provenance *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < CN_PROVENANCE_SLOTS; i++)
		free(p->slots[i].model);
	free(p->slots);
	uv_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

/* The id is a keyed hash: its bytes are as good as random. */
static struct slot *slot_of(struct cn_provenance *p, const struct cn_hash *id)
{
	size_t at = (size_t)id->b[0] | (size_t)id->b[1] << 8;

	return &p->slots[at & (CN_PROVENANCE_SLOTS - 1)];
}

bool cn_provenance__get(struct cn_provenance *p, const struct cn_hash *id,
                        char ret[CN_ORIGIN_MAX])
{
	struct slot *slot = slot_of(p, id);
	bool known;

	uv_mutex_lock(&p->lock);
	known = slot->model && cn_hash_eq(&slot->id, id);
	if (known) {
		size_t n = strlen(slot->model);

		memcpy(ret, slot->model, n + 1);
	}
	uv_mutex_unlock(&p->lock);
	return known;
}

void cn_provenance__put(struct cn_provenance *p, const struct cn_hash *id,
                        struct cn_view model)
{
	struct slot *slot = slot_of(p, id);
	char *copy = cn_view_dup(cn_view_cut(model, CN_ORIGIN_MAX - 1));
	char *old;

	uv_mutex_lock(&p->lock);
	old = slot->model;
	slot->id = *id;
	slot->model = copy;
	uv_mutex_unlock(&p->lock);
	free(old);
}

struct cn_hash cn_provenance__id(struct cn_vault *v, struct cn_view owner,
                                 struct cn_view signature)
{
	struct cn_view parts[] = {CN_VIEW("signature"), owner, signature};

	return cn_vault_hash(v, CN_VAULT_HASH_NODE, parts, 3);
}

bool cn_provenance__of_block(struct cn_vault *v, struct cn_view owner, struct cn_json block,
                             struct cn_hash *ret)
{
	CN_AUTO(cn_arena) scratch = {0};
	struct cn_json type = cn_json_get(block, "type");
	struct cn_view text;

	if (cn_json_is(type, "thinking")) {
		text = cn_json_text(&scratch, cn_json_get(block, "signature"));
		/* Unsigned: known by what it says. */
		if (text.n == 0)
			text = cn_json_text(&scratch, cn_json_get(block, "thinking"));
	} else if (cn_json_is(type, "redacted_thinking")) {
		text = cn_json_text(&scratch, cn_json_get(block, "data"));
	} else if (cn_json_is(type, "tool_use")) {
		text = cn_json_text(&scratch, cn_json_get(block, "id"));
		if (!cn_view_starts(text, CN_VIEW(CN_ID_TOOL_OURS)))
			return false;
	} else {
		return false;
	}
	if (text.n == 0)
		return false;
	*ret = cn_provenance__id(v, owner, text);
	return true;
}
