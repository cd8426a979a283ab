/*
 * Memory running out: which turn is given up so that the others go on (design/security.md
 * 7).
 *
 * From 75 per cent of the limit on no turn is born (turn_birth.c); at 90 the largest turn
 * that has told its client nothing of an answer yet is ended with 529, then the next, until
 * what is left is below that again.  Whoever notices decides, under one lock, and tells the
 * turn's worker by letter; what goes counts as gone from then on, so that one shortage
 * costs no more turns than it must.  Owns nothing: a turn's weight is part of the turn.
 */
#include "turn_impl.h"

#include "continuo/counters.h"

#define CN_MEMORY_SHORT 90 /* per cent of the limit */

void cn_pressure__join(struct cn_weight *weight, struct cn_worker *w, size_t bytes)
{
	struct cn_pressure *p = &w->shared->pressure;

	weight->worker = w;
	atomic_store(&weight->bytes, bytes);
	uv_mutex_lock(&p->lock);
	cn_list_append(&p->weights, &weight->link);
	uv_mutex_unlock(&p->lock);
}

void cn_pressure__leave(struct cn_weight *weight)
{
	struct cn_pressure *p;

	if (!weight->worker)
		return; /* never joined */
	p = &weight->worker->shared->pressure;
	uv_mutex_lock(&p->lock);
	cn_list_remove(&weight->link);
	uv_mutex_unlock(&p->lock);
}

/* Under the lock: the heaviest turn that may still go; NULL when that is not needed. */
static struct cn_weight *choose(struct cn_shared *sh)
{
	size_t used = atomic_load(&sh->charge.used), going = 0, most = 0;
	struct cn_weight *heaviest = NULL;

	CN_LIST_EACH(link, &sh->pressure.weights)
	{
		struct cn_weight *weight = cn_container_of(link, struct cn_weight, link);
		size_t bytes = atomic_load(&weight->bytes);

		if (atomic_load(&weight->going)) {
			going += bytes;
		} else if (!heaviest || bytes > most) {
			heaviest = weight;
			most = bytes;
		}
	}
	used -= going < used ? going : used;
	return used >= sh->charge.limit / 100 * CN_MEMORY_SHORT ? heaviest : NULL;
}

void cn_pressure__look(struct cn_shared *sh)
{
	struct cn_weight *weight;

	if (cn_charge_percent(&sh->charge) < CN_MEMORY_SHORT)
		return;
	uv_mutex_lock(&sh->pressure.lock);
	while ((weight = choose(sh))) {
		atomic_store(&weight->going, true);
		/* The worker outlives its turns, and this one is still in the list. */
		cn_worker__relieve(weight->worker);
	}
	uv_mutex_unlock(&sh->pressure.lock);
}
