/*
 * What shows that an answer is not to what was asked.
 *
 * Owns nothing; any thread.  Both judgements rather let damage pass than see it where there
 * is none: a warning that is wrong is not read twice.
 */
#include "continuo/damage.h"

#include <string.h>

const char *cn_damage_word(enum cn_damage d)
{
	static const char *const words[] = {
#define X(symbol, word, phrase) word,
	    CN_DAMAGES(X)
#undef X
	};

	return words[d];
}

const char *cn_damage_phrase(enum cn_damage d)
{
	static const char *const phrases[] = {
#define X(symbol, word, phrase) phrase,
	    CN_DAMAGES(X)
#undef X
	};

	return phrases[d];
}

/* ---- prompts ---- */

/*
 * Of recorded requests the estimate was at most 1.24 of what was billed (48 of them,
 * tests/unit/test_count_estimate.c); tokenizers of others make up to a third less of the
 * same text, of Chinese up to half: what is counted is never below two fifths of it.  A
 * third leaves some room; where the backend is known to cut, two thirds are enough to say
 * so.  Short prompts say nothing: half of them is text that the API adds by itself.
 */
#define PROMPT_LEAST       UINT64_C(2000)
#define PROMPT_LEAST_KNOWN UINT64_C(700)
/* No server has a smaller window; smaller figures are no counts of a prompt at all. */
#define WINDOW_LEAST UINT64_C(512)
#define WINDOW_MOST  UINT64_C(262144)
#define WINDOW_SLACK UINT64_C(16)

/* The figure is that of a window, full to the brim. */
static bool fills_window(const struct cn_prompt_count *p)
{
	uint64_t window = p->window;

	if (window && p->reported <= window && p->reported + WINDOW_SLACK >= window)
		return true;
	/* Prompts of Chinese pass such a figure by chance, too. */
	for (window = WINDOW_LEAST; p->own && window <= WINDOW_MOST; window *= 2)
		if (p->reported <= window && p->reported + WINDOW_SLACK >= window)
			return true;
	return false;
}

bool cn_damage_cut(const struct cn_prompt_count *p)
{
	uint64_t share = p->known ? 2 : 1; /* thirds */

	if (p->least < (p->known ? PROMPT_LEAST_KNOWN : PROMPT_LEAST) ||
	    p->reported < WINDOW_LEAST - WINDOW_SLACK || p->reported >= p->least)
		return false;
	return p->reported * 3 < p->least * share ||
	       (fills_window(p) && p->reported < p->least - p->least / 4);
}

/* ---- names ---- */

#define WORDS 24u

/* A model's name as the words it is made of, without what does not tell models apart. */
struct name {
	struct cn_view words[WORDS];
	size_t n;
	uint64_t date; /* 20250929, 905, …; 0: none */
	size_t digits; /* that the date is written with */
	bool any;      /* it stands for whatever the provider takes */
	bool latest;
};

static bool is_separator(char c)
{
	return c == '-' || c == '_' || c == '.' || c == '@' || c == ':' || c == ' ';
}

static bool has_digit(struct cn_view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] >= '0' && v.p[i] <= '9')
			return true;
	return false;
}

/* The word as a number; false: it is none. */
static bool number(struct cn_view v, uint64_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		*ret = *ret * 10 + (uint64_t)(v.p[i] - '0');
	}
	return v.n > 0 && v.n <= 8;
}

/* Without vendor, tag and what stands in brackets. */
static struct cn_view bare(struct cn_view v)
{
	size_t at;

	v = cn_view_trim(v);
	if ((at = cn_view_find(v, CN_VIEW("["), 0)) != SIZE_MAX && at > 0)
		v = cn_view_cut(v, at);
	for (at = v.n; at > 0 && v.p[at - 1] != '/';)
		at--;
	if (at < v.n)
		v = cn_view_from(v, at);
	for (at = v.n; at > 0 && v.p[at - 1] != ':';)
		at--;
	/* `:30b` is another model than `:8b`; `:free`, `:latest` and `:0` are none. */
	if (at > 1 &&
	    (!has_digit(cn_view_from(v, at)) || cn_view_is(cn_view_from(v, at), "0")))
		v = cn_view_cut(v, at - 1);
	return v;
}

static bool is_word(struct cn_view v, const char *word)
{
	return v.n == strlen(word) && cn_view_eq_nocase(v, cn_view_str(word));
}

/* A date at the end: 20250929, 250929, 0929, 2025-09-29, 09-2025. */
static bool drop_date(struct name *n)
{
	uint64_t last, before, first;
	const struct cn_view *w = n->words;

	if (n->n < 2 || !number(w[n->n - 1], &last))
		return false;
	if (n->n > 3 && w[n->n - 1].n == 2 && w[n->n - 2].n == 2 && w[n->n - 3].n == 4 &&
	    number(w[n->n - 2], &before) && number(w[n->n - 3], &first)) {
		n->date = first * 10000 + before * 100 + last;
		n->digits = 8;
		n->n -= 3;
		return true;
	}
	/* 001 is a date of sorts; what is shorter is the version. */
	if (w[n->n - 1].n < 3 || (w[n->n - 1].n == 3 && w[n->n - 1].p[0] != '0'))
		return false;
	n->date = last;
	n->digits = w[n->n - 1].n;
	n->n--;
	if (n->digits == 4 && n->n > 2 && w[n->n - 1].n == 2 &&
	    number(w[n->n - 1], &before)) {
		n->date = last * 100 + before;
		n->digits = 6;
		n->n--;
	}
	return true;
}

static bool drop_word(struct name *n)
{
	static const char *const idle[] = {"latest", "preview", "exp", "gguf", "v1", "0"};
	struct cn_view last = n->words[n->n - 1];

	for (size_t i = 0; n->n > 1 && i < sizeof(idle) / sizeof(idle[0]); i++) {
		if (!is_word(last, idle[i]))
			continue;
		n->latest = n->latest || i == 0;
		n->n--;
		return true;
	}
	return false;
}

static struct name name_of(struct cn_view v)
{
	struct name n = {.n = 0};

	v = bare(v);
	for (size_t i = 0; i < v.n && n.n < WORDS;) {
		size_t from = i;

		while (i < v.n && !is_separator(v.p[i]))
			i++;
		if (i > from)
			n.words[n.n++] = cn_view(v.p + from, i - from);
		i++;
	}
	for (size_t i = 0; i < n.n; i++)
		n.any =
		    n.any || is_word(n.words[i], "auto") || is_word(n.words[i], "default");
	while (n.n > 1 && (drop_word(&n) || drop_date(&n)))
		;
	return n;
}

/* How many words from the front of a are those of b. */
static size_t same_front(const struct name *a, const struct name *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n && cn_view_eq_nocase(a->words[n], b->words[n]))
		n++;
	return n;
}

/* One of them is the other behind some words more: `us.anthropic.claude…`. */
static bool same_back(const struct name *a, const struct name *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n &&
	       cn_view_eq_nocase(a->words[a->n - 1 - n], b->words[b->n - 1 - n]))
		n++;
	return n > 0 && (n == a->n || n == b->n);
}

/* Every word of a is in b, in order. */
static bool is_within(const struct name *a, const struct name *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n && n < a->n; i++)
		n += cn_view_eq_nocase(a->words[n], b->words[i]);
	return n == a->n;
}

bool cn_damage_same_model(struct cn_view asked, struct cn_view answered, bool own)
{
	struct name a = name_of(asked), b = name_of(answered);
	size_t front = same_front(&a, &b);

	if (a.n == 0 || b.n == 0 || a.any)
		return true;
	if (a.latest && is_within(&a, &b))
		return true;
	if (own && front > 0 && (front == a.n || front == b.n))
		return true;
	if (!same_back(&a, &b))
		return false;
	return a.digits != b.digits || a.date == b.date;
}
