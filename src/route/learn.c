/*
 * What models said about themselves when they refused: no prefill, only the
 * older parts of the format, a window, a ceiling.
 *
 * Owned by the health table and under its lock.  The policy is asked first; a lesson only
 * makes a figure smaller.  The list is short and bounded: the oldest goes.
 */
#include "route_impl.h"

#include <stdio.h>
#include <stdlib.h>

#define LESSONS_MAX 512u

struct lesson {
	char name[192]; /* "backend/model" */
	struct cn_learned what;
};

struct cn_lessons {
	struct lesson v[LESSONS_MAX];
	size_t n, next; /* next: which goes when all are taken */
};

static void name_of(const struct cn_candidate *c, char ret[192])
{
	(void)snprintf(ret, 192, "%s/%s", c->model->backend->name, c->model->name);
}

static struct lesson *find(struct cn_lessons *l, const char *name)
{
	for (size_t i = 0; l && i < l->n; i++)
		if (strcmp(l->v[i].name, name) == 0)
			return &l->v[i];
	return NULL;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return b && (!a || b < a) ? b : a;
}

void cn_lessons__learn(struct cn_lessons **l, const struct cn_candidate *c,
                       const struct cn_outcome *o)
{
	bool no_prefill = o->repair == CN_REPAIR_PREFILL;
	bool plain = o->repair == CN_REPAIR_PLAIN;
	uint64_t window = o->class == CN_CLASS_CONTEXT_OVERFLOW ? o->window : 0;
	uint64_t ceiling = o->class == CN_CLASS_OUTPUT_CEILING ? o->limit : 0;
	struct lesson *it;
	char name[192];

	if (!no_prefill && !plain && !window && !ceiling)
		return;
	if (!*l)
		*l = cn_zalloc(sizeof(**l));
	name_of(c, name);
	it = find(*l, name);
	if (!it) {
		it = &(*l)->v[(*l)->n < LESSONS_MAX ? (*l)->n++
		                                    : (*l)->next++ % LESSONS_MAX];
		*it = (struct lesson){0};
		memcpy(it->name, name, sizeof(name));
	}
	it->what.no_prefill |= no_prefill;
	it->what.plain |= plain;
	it->what.window = smaller(it->what.window, window);
	it->what.ceiling = smaller(it->what.ceiling, ceiling);
}

struct cn_learned cn_lessons__of(struct cn_lessons *l, const struct cn_candidate *c)
{
	const struct lesson *it;
	char name[192];

	name_of(c, name);
	it = find(l, name);
	return it ? it->what : (struct cn_learned){0};
}
