/*
 * Batches: what is written in one transaction or not at all.  Everything is copied into
 * the batch's arena by whoever fills it (a worker, a pool thread); once submitted nothing
 * of it changes, and the writer frees it.  No keys are made here: that takes the vault.
 */
#include "store_impl.h"

#include "continuo/counters.h"

struct cn_batch *cn_batch_new(void)
{
	struct cn_batch *b = cn_zalloc(sizeof(*b));

	cn_list_init(&b->link);
	b->nodes_end = &b->nodes;
	b->turns_end = &b->turns;
	b->provenance_end = &b->provenance;
	return b;
}

void cn_store__batch_empty(struct cn_batch *b)
{
	cn_arena_done(&b->arena);
	b->expected = NULL;
	b->nodes = NULL;
	b->n_nodes = 0;
	b->turns = NULL;
	b->provenance = NULL;
}

struct cn_batch *cn_batch_free(struct cn_batch *b)
{
	if (b)
		cn_store__batch_empty(b);
	free(b);
	return NULL;
}

void cn_batch_node(struct cn_batch *b, const struct cn_node *node)
{
	struct cn_batch_node *n;
	char *p;

	/* Larger than any value may be: the history goes without it. */
	if (node->canonical.n > CN_STORE_MAX_PLAIN - CN_HASH_BYTES) {
		cn_count(CN_CT_STORE_DROPPED);
		return;
	}
	n = cn_arena_new(&b->arena, struct cn_batch_node);
	p = cn_arena_alloc(&b->arena, CN_HASH_BYTES + node->canonical.n + 1);
	memcpy(p, node->parent.b, CN_HASH_BYTES);
	if (node->canonical.n)
		memcpy(p + CN_HASH_BYTES, node->canonical.p, node->canonical.n);
	n->id = node->id;
	n->parent = node->parent;
	n->plain = cn_view(p, CN_HASH_BYTES + node->canonical.n);
	*b->nodes_end = n;
	b->nodes_end = &n->next;
	b->n_nodes++;
	b->records++;
}

size_t cn_batch_bytes(const struct cn_batch *b)
{
	return b->arena.used;
}

void cn_batch_expect(struct cn_batch *b, const struct cn_hash *id)
{
	struct cn_batch_expected *e = cn_arena_new(&b->arena, struct cn_batch_expected);

	e->id = *id;
	e->next = b->expected;
	b->expected = e;
}

void cn_batch_turn(struct cn_batch *b, const struct cn_turn_record *turn)
{
	struct cn_batch_turn *t = cn_arena_new(&b->arena, struct cn_batch_turn);
	CN_AUTO(cn_buf) json = {0};

	cn_turn_record_write(&json, turn);
	cn_assert(json.n <= CN_STORE_MAX_PLAIN);
	t->owner = cn_arena_view(&b->arena, turn->owner);
	t->session = cn_arena_view(&b->arena, turn->session);
	t->project = cn_arena_view(&b->arena, turn->project);
	t->agent = cn_arena_view(&b->arena, turn->agent);
	t->caller = cn_arena_view(&b->arena, turn->caller);
	t->request_id = cn_arena_view(&b->arena, turn->request_id);
	t->used = cn_arena_view(&b->arena, turn->used);
	t->started_wall_ms = turn->started_wall_ms;
	t->nodes[0] = turn->request_node;
	t->nodes[1] = turn->answer_node;
	t->nodes[2] = turn->prefix_node;
	t->json = cn_arena_view(&b->arena, cn_buf_view(&json));
	*b->turns_end = t;
	b->turns_end = &t->next;
	b->records++;
}

void cn_batch_provenance(struct cn_batch *b, const struct cn_hash *id, struct cn_view model)
{
	struct cn_batch_provenance *p = cn_arena_new(&b->arena, struct cn_batch_provenance);

	p->id = *id;
	p->model = cn_arena_view(&b->arena, model);
	*b->provenance_end = p;
	b->provenance_end = &p->next;
	b->records++;
}
