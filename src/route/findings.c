/*
 * What was found wrong with models whose answers looked well: one record for each model and
 * kind of damage, so that a person is told once.
 *
 * Owned by the health table and under its lock; gone with a reset, a new key or a new
 * policy.  The list is short and bounded: the oldest goes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "route_impl.h"

#define FINDINGS_MAX 128u

struct cn_findings {
	struct cn_finding v[FINDINGS_MAX];
	size_t n, next; /* next: which goes when all are taken */
};

static void name_of(const struct cn_candidate *c, char *ret, size_t size)
{
	(void)snprintf(ret, size, "%s/%s", c->model->backend->name, c->model->name);
}

bool cn_health_found(struct cn_health *h, const struct cn_candidate *c, enum cn_damage what,
                     struct cn_view detail, uint64_t now_ms)
{
	struct cn_findings **at = cn_health__findings(h), *l;
	struct cn_finding *f = NULL;
	char name[sizeof(f->name)];

	if (!*at)
		*at = cn_zalloc(sizeof(**at));
	l = *at;
	name_of(c, name, sizeof(name));
	for (size_t i = 0; i < l->n && !f; i++)
		if (l->v[i].what == what && strcmp(l->v[i].name, name) == 0)
			f = &l->v[i];
	if (!f) {
		f = &l->v[l->n < FINDINGS_MAX ? l->n++ : l->next++ % FINDINGS_MAX];
		*f = (struct cn_finding){.what = what};
		memcpy(f->name, name, sizeof(name));
	}
	f->times++;
	f->last_ms = now_ms;
	(void)snprintf(f->detail, sizeof(f->detail), "%.*s",
	               CN_VIEW_ARG(cn_view_cut(detail, sizeof(f->detail) - 1)));
	return f->times == 1;
}

void cn_health_findings(struct cn_health *h,
                        void (*each)(void *self, const struct cn_finding *f), void *self)
{
	const struct cn_findings *l = *cn_health__findings(h);

	for (size_t i = 0; l && i < l->n; i++)
		each(self, &l->v[i]);
}

void cn_findings__forget(struct cn_findings *l, struct cn_view name)
{
	size_t kept = 0;

	for (size_t i = 0; l && i < l->n; i++) {
		struct cn_view own = cn_view_str(l->v[i].name), rest = own, first;

		(void)cn_view_split(&rest, '/', &first);
		if (name.n == 0 || cn_view_eq(own, name) || cn_view_eq(first, name) ||
		    cn_view_eq(rest, name))
			continue;
		l->v[kept++] = l->v[i];
	}
	if (l) {
		l->n = kept;
		l->next = 0;
	}
}
