/*
 * A text with a few ranges replaced, as slices: the way a body goes on without being
 * copied. Pure; everything made stands in the arena of the patches.
 */
#include "wire_impl.h"

#include <stdlib.h>
#include <string.h>

static void add(struct cn_patches *ps, size_t at, size_t n, struct cn_view with)
{
	ps->v = cn_arena_more(ps->arena, ps->v, ps->n, &ps->cap, sizeof(*ps->v));
	ps->v[ps->n] = (struct cn_patch){at, n, ps->n, with};
	ps->n++;
}

/* By place; there an insertion stands before a range, an outer range before an inner. */
static int by_place(const void *pa, const void *pb)
{
	const struct cn_patch *a = pa, *b = pb;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (a->n != b->n && a->n && b->n)
		return a->n > b->n ? -1 : 1;
	if (a->n != b->n)
		return a->n == 0 ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Sorts the patches and forgets those that lie in another. */
static void settle(struct cn_patches *ps)
{
	size_t kept = 0, end = 0;

	if (ps->n)
		qsort(ps->v, ps->n, sizeof(*ps->v), by_place);
	for (size_t i = 0; i < ps->n; i++) {
		if (ps->v[i].at < end)
			continue;
		end = ps->v[i].at + ps->v[i].n;
		ps->v[kept++] = ps->v[i];
	}
	ps->n = kept;
}

void cn_patch_replace(struct cn_patches *ps, struct cn_view text, struct cn_view part,
                      struct cn_view with)
{
	cn_assert(part.p >= text.p && part.p + part.n <= text.p + text.n);
	add(ps, (size_t)(part.p - text.p), part.n, with);
}

/*
 * What is kept stays as it stands, each kept one after the first with the comma before it:
 * so a run of removed ones takes the gap before it, or, at the front, the gap behind it.
 */
void cn_patch_remove(struct cn_patches *ps, struct cn_view text, struct cn_json container,
                     const struct cn_view *wholes, size_t n)
{
	const char *from =
	    container.raw.p + 1; /* where the next run to remove would begin */
	const char *run = NULL;  /* a run under way begins here */
	bool kept = false;
	size_t next = 0; /* of the wholes */

	if (n == 0)
		return;
	for (struct cn_json_iter it = cn_json_iter(container); cn_json_next(&it);) {
		const char *end = it.whole.p + it.whole.n;

		if (next < n && wholes[next].p == it.whole.p) {
			next++;
			if (!run)
				run = from;
		} else {
			/* At the front the comma behind the run goes with it. */
			if (run && !kept)
				cn_patch_replace(ps, text,
				                 cn_view(run, (size_t)(it.whole.p - run)),
				                 (struct cn_view){NULL, 0});
			else if (run)
				cn_patch_replace(ps, text,
				                 cn_view(run, (size_t)(from - run)),
				                 (struct cn_view){NULL, 0});
			run = NULL;
			kept = true;
		}
		from = end;
	}
	if (run)
		cn_patch_replace(ps, text, cn_view(run, (size_t)(from - run)),
		                 (struct cn_view){NULL, 0});
}

void cn_patch_insert(struct cn_patches *ps, struct cn_view text, struct cn_json object,
                     const char *key, struct cn_view raw)
{
	struct cn_json_iter it = cn_json_iter(object);
	bool empty = !cn_json_next(&it);
	size_t brace = (size_t)(object.raw.p - text.p) + object.raw.n - 1;
	CN_AUTO(cn_buf) b = {0};

	/* Insertions into one object follow each other: only the very first may lack a
	 * comma. */
	for (size_t i = 0; i < ps->n; i++)
		empty &= !(ps->v[i].at == brace && ps->v[i].n == 0);
	if (!empty)
		cn_buf_add_char(&b, ',');
	cn_buf_printf(&b, "\"%s\":", key);
	cn_buf_add_view(&b, raw);
	add(ps, brace, 0, cn_arena_view(ps->arena, cn_buf_view(&b)));
}

void cn_patch_append(struct cn_patches *ps, struct cn_view text, struct cn_json array,
                     struct cn_view raw)
{
	struct cn_json_iter it = cn_json_iter(array);
	bool empty = !cn_json_next(&it);
	CN_AUTO(cn_buf) b = {0};

	if (!empty)
		cn_buf_add_char(&b, ',');
	cn_buf_add_view(&b, raw);
	add(ps, (size_t)(array.raw.p - text.p) + array.raw.n - 1, 0,
	    cn_arena_view(ps->arena, cn_buf_view(&b)));
}

struct cn_slices cn_patch_slices(struct cn_patches *ps, struct cn_view text)
{
	struct cn_slices s = {0};
	size_t at = 0;

	settle(ps);
	s.v = cn_arena_alloc(ps->arena, (2 * ps->n + 1) * sizeof(*s.v));
	for (size_t i = 0; i <= ps->n; i++) {
		size_t until = i < ps->n ? ps->v[i].at : text.n;

		if (until > at)
			s.v[s.n++] = cn_view(text.p + at, until - at);
		if (i == ps->n)
			break;
		if (ps->v[i].with.n)
			s.v[s.n++] = ps->v[i].with;
		at = until + ps->v[i].n;
	}
	for (size_t i = 0; i < s.n; i++)
		s.bytes += s.v[i].n;
	return s;
}
