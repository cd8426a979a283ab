/*
 * Stop sequences looked for in text as it streams, where the backend only hints at them or
 * was not told: the text ends before the first one.
 *
 * Each sequence is followed by itself (Knuth, Morris and Pratt), so that the cost is linear
 * in the text however it is cut and whatever the sequences repeat.  Owns their texts and
 * what may yet be the beginning of one.
 */
#include "compose_impl.h"

/* More and longer ones than these, which no backend takes, are not looked for. */
#define CN_STOPS_MAX  64
#define CN_STOP_BYTES 1024

struct stop {
	struct cn_view text; /* in the arena */
	uint16_t *border; /* of each beginning: the longest that also ends it; in arena */
	size_t at;        /* bytes of it that end the text so far */
};

struct cn_stops {
	struct cn_arena arena;
	struct stop v[CN_STOPS_MAX];
	size_t n;
	bool first[256]; /* bytes that begin one */
	struct cn_buf held;
};

static void add_stop(struct cn_stops *s, struct cn_view text)
{
	struct stop *stop = &s->v[s->n];
	size_t k = 0;

	if (text.n == 0 || text.n > CN_STOP_BYTES)
		return;
	stop->text = cn_arena_view(&s->arena, text);
	stop->border = cn_arena_alloc(&s->arena, text.n * sizeof(*stop->border));
	stop->border[0] = 0;
	for (size_t i = 1; i < text.n; i++) {
		while (k && text.p[i] != text.p[k])
			k = stop->border[k - 1];
		k += text.p[i] == text.p[k];
		stop->border[i] = (uint16_t)k;
	}
	s->first[(unsigned char)*text.p] = true;
	s->n++;
}

struct cn_stops *cn_stops__new(struct cn_json sequences)
{
	struct cn_stops *s;
	CN_AUTO(cn_arena) a = {0};

	if (sequences.kind != CN_JSON_ARRAY)
		return NULL;
	s = cn_zalloc(sizeof(*s));
	for (struct cn_json_iter it = cn_json_iter(sequences);
	     s->n < CN_STOPS_MAX && cn_json_next(&it);)
		if (it.value.raw.n <= 6 * CN_STOP_BYTES + 2)
			add_stop(s, cn_json_text(&a, it.value));
	return s->n ? s : cn_stops__free(s);
}

struct cn_stops *cn_stops__free(struct cn_stops *s)
{
	if (!s)
		return NULL;
	cn_arena_done(&s->arena);
	cn_buf_done(&s->held);
	free(s);
	return NULL;
}

size_t cn_stops__held(const struct cn_stops *s)
{
	return s ? s->held.cap : 0;
}

/* One byte further; the sequence that it completes, of several the longest, or NULL. */
static const struct stop *advance(struct cn_stops *s, char byte, size_t *deepest)
{
	const struct stop *found = NULL;

	*deepest = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct stop *stop = &s->v[i];

		while (stop->at && stop->text.p[stop->at] != byte)
			stop->at = stop->border[stop->at - 1];
		stop->at += stop->text.p[stop->at] == byte;
		if (stop->at == stop->text.n) {
			if (!found || stop->text.n > found->text.n)
				found = stop;
			stop->at = stop->border[stop->at - 1];
		}
		if (stop->at > *deepest)
			*deepest = stop->at;
	}
	return found;
}

void cn_stops__feed(struct cn_composer *c, struct cn_view text)
{
	struct cn_stops *s = c->stops;
	CN_AUTO(cn_buf) joined = s->held;
	const struct stop *found = NULL;
	size_t deepest = joined.n, before = joined.n, i = 0;

	s->held = (struct cn_buf){0};
	for (; i < text.n && !found; i++)
		/* Most bytes are within no sequence and begin none. */
		if (deepest || s->first[(unsigned char)text.p[i]])
			found = advance(s, text.p[i], &deepest);
	if (before) {
		cn_buf_add_view(&joined, text);
		text = cn_buf_view(&joined);
	}
	if (found) {
		cn_compose__add(c, CN_BLOCK_TEXT,
		                cn_view_cut(text, before + i - found->text.n));
		c->hit = found->text;
		return;
	}
	cn_compose__add(c, CN_BLOCK_TEXT, cn_view_cut(text, text.n - deepest));
	if (deepest)
		cn_buf_add_view(&s->held, cn_view_from(text, text.n - deepest));
}

void cn_stops__flush(struct cn_composer *c)
{
	CN_AUTO(cn_buf) rest = {0};

	/* What is held is the beginning of a sequence; without it none has begun. */
	if (!c->stops || c->hit.n || c->stops->held.n == 0)
		return;
	for (size_t i = 0; i < c->stops->n; i++)
		c->stops->v[i].at = 0;
	rest = c->stops->held;
	c->stops->held = (struct cn_buf){0};
	cn_compose__add(c, CN_BLOCK_TEXT, cn_buf_view(&rest));
}
