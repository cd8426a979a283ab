/*
 * The scrubber (design/security.md 4): finds live secrets and things that look like secrets
 * in text that is about to leave, and overwrites them with '*'.
 *
 * It knows the secrets by keyed hashes only.  Each form that a secret can take (as it is,
 * and base64 at its three alignments in both alphabets) is a needle: length, a 16-bit hash
 * of its middle eight bytes (the anchor, which a bitmap looks for at every position) and a
 * 128-bit hash of the whole.  Percent-encoding and JSON escapes are undone in a copy of the
 * text that remembers where each byte came from, so that every spelling of them is found.
 *
 * Own lock, many readers; any thread.  It has no off switch and never logs (the log calls
 * it).
 */
#include "vault_impl.h"

#include <sodium.h>

#define ANCHOR     8
#define PRINT      16
#define FORMS      7 /* raw, and 3 alignments in 2 alphabets */
#define IDLE_MAX   8
#define BLOT       '*'
#define NEEDLE_MIN CN_VAULT__SECRET_MIN

_Static_assert(NEEDLE_MIN >= ANCHOR, "the anchor lies within the needle");

struct needle {
	uint16_t anchor;       /* hash of the anchor */
	uint32_t n;            /* bytes */
	uint8_t before, after; /* characters beside it that hold some of its bits */
	unsigned char print[PRINT];
};

struct cn_scrub_lease {
	struct cn_scrub_lease *next; /* owned by the book */
	unsigned refs;               /* 0: idle, kept for the next request of the client */
	unsigned n;
	struct needle needles[FORMS];
};

struct cn_vault__book {
	pthread_rwlock_t lock;
	struct cn_secret *key; /* owned; of the prints; readable as long as the book */
	uint64_t mix;          /* odd; of the anchors */
	unsigned char bits[65536 / 8]; /* anchors that occur */
	struct needle *v;              /* owned: the vault's own keys */
	size_t n;
	struct cn_scrub_lease *leases; /* owned; the newest first */
};

/* ---- needles ---- */

static uint16_t anchor_of(const struct cn_vault__book *b, const char *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof(x));
	x *= b->mix;
	return (uint16_t)((x ^ (x >> 29)) * b->mix >> 48);
}

static size_t anchor_at(size_t n)
{
	return (n - ANCHOR) / 2;
}

static void print_of(const struct cn_vault__book *b, struct cn_view text,
                     unsigned char ret[PRINT])
{
	crypto_generichash(ret, PRINT, (const unsigned char *)text.p, text.n, b->key->p,
	                   b->key->n);
}

static struct needle needle_of(const struct cn_vault__book *b, struct cn_view text)
{
	struct needle d = {.anchor = anchor_of(b, text.p + anchor_at(text.n)),
	                   .n = (uint32_t)text.n};
	print_of(b, text, d.print);
	return d;
}

/*
 * The characters of base64 that depend on nothing but the secret, when lead bytes of other
 * text stand before it in the same group of three; scratch has room for all of it.
 */
static struct needle base64_needle(const struct cn_vault__book *b, struct cn_view secret,
                                   size_t lead, int variant, struct cn_secret *scratch)
{
	size_t n = lead + secret.n, bin = n + 1;
	unsigned char *p = scratch->p;
	char *text = (char *)p + bin;
	memset(p, 0, lead);
	memcpy(p + lead, secret.p, secret.n);
	sodium_bin2base64(text, scratch->n - bin, p, n, variant);
	size_t from = (8 * lead + 5) / 6, to = 8 * n / 6;
	struct needle d = needle_of(b, cn_view(text + from, to - from));
	d.before = lead > 0;
	d.after = 8 * n % 6 != 0;
	return d;
}

static unsigned forms_of(const struct cn_vault__book *b, struct cn_view secret,
                         struct needle ret[FORMS])
{
	static const int variants[] = {sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
	                               sodium_base64_VARIANT_URLSAFE_NO_PADDING};
	unsigned n = 0;
	struct cn_secret *scratch = cn_secret__new(3 * (secret.n + 8));
	ret[n++] = needle_of(b, secret);
	for (size_t lead = 0; lead < 3; lead++)
		for (unsigned i = 0; i < 2; i++) {
			ret[n] = base64_needle(b, secret, lead, variants[i], scratch);
			/* The alphabets differ in two characters; mostly neither occurs. */
			if (i == 0 || memcmp(ret[n].print, ret[n - 1].print, PRINT) != 0)
				n++;
		}
	cn_secret_free(scratch);
	return n;
}

static void set_bits(struct cn_vault__book *b, const struct needle *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->bits[v[i].anchor / 8] |= (unsigned char)(1u << v[i].anchor % 8);
}

/* The write lock is held. */
static void redo_bits(struct cn_vault__book *b)
{
	memset(b->bits, 0, sizeof(b->bits));
	set_bits(b, b->v, b->n);
	for (const struct cn_scrub_lease *l = b->leases; l; l = l->next)
		set_bits(b, l->needles, l->n);
}

/* ---- the book ---- */

struct cn_vault__book *cn_vault__book_new(void)
{
	struct cn_vault__book *b = cn_zalloc(sizeof(*b));
	int failed = pthread_rwlock_init(&b->lock, NULL);
	cn_assert(!failed);
	b->key = cn_secret__random(CN_VAULT__KEY);
	(void)cn_secret__read(b->key); /* for good: every line of log needs it */
	cn_random(&b->mix, sizeof(b->mix));
	b->mix |= 1;
	return b;
}

struct cn_vault__book *cn_vault__book_free(struct cn_vault__book *b)
{
	if (!b)
		return NULL;
	while (b->leases) {
		struct cn_scrub_lease *l = b->leases;
		b->leases = l->next;
		free(l);
	}
	free(b->v);
	cn_secret_free(b->key);
	pthread_rwlock_destroy(&b->lock);
	free(b);
	return NULL;
}

static void rdlock(struct cn_vault__book *b)
{
	int failed = pthread_rwlock_rdlock(&b->lock);
	cn_assert(!failed);
}

static void wrlock(struct cn_vault__book *b)
{
	int failed = pthread_rwlock_wrlock(&b->lock);
	cn_assert(!failed);
}

static void unlock(struct cn_vault__book *b)
{
	int failed = pthread_rwlock_unlock(&b->lock);
	cn_assert(!failed);
}

/* Only keys that travel as text; the raw ones are never text anywhere. */
static size_t needles_of(const struct cn_vault__book *b, const struct cn_vault__record *r,
                         struct needle *v)
{
	if (r->kind != CN_VAULT__PROVIDER)
		return 0;
	size_t n =
	    forms_of(b, cn_view((const char *)cn_secret__read(r->secret), r->secret->n), v);
	cn_secret__rest(r->secret);
	return n;
}

void cn_vault__book_load(struct cn_vault__book *b, const struct cn_vault__ring *ring,
                         const struct cn_vault__ring *before)
{
	struct needle *v = cn_alloc((ring->n + before->n + 1) * FORMS * sizeof(*v));
	size_t n = 0;
	for (size_t i = 0; i < ring->n; i++)
		n += needles_of(b, ring->v[i], v + n);
	for (size_t i = 0; i < before->n; i++) {
		const struct cn_vault__record *r = before->v[i];
		if (cn_vault__ring_find(ring, r->kind, r->name) != r)
			n += needles_of(b, r, v + n);
	}
	wrlock(b);
	free(b->v);
	b->v = v;
	b->n = n;
	redo_bits(b);
	unlock(b);
}

/* ---- leases ---- */

static void drop_idle(struct cn_vault__book *b)
{
	struct cn_scrub_lease **at = &b->leases;
	unsigned idle = 0;
	while (*at) {
		struct cn_scrub_lease *l = *at;
		if (l->refs == 0 && ++idle > IDLE_MAX) {
			*at = l->next;
			free(l);
		} else {
			at = &l->next;
		}
	}
}

/* A client sends the same credential with each request, so one lease serves them all. */
struct cn_scrub_lease *cn_vault_scrub_add(struct cn_vault *v, struct cn_view secret)
{
	struct cn_vault__book *b = v->book;
	unsigned char print[PRINT];
	if (secret.n < NEEDLE_MIN || secret.n > CN_VAULT__SECRET_MAX)
		return NULL; /* too short to be a secret, or too long to be a header */
	print_of(b, secret, print);
	wrlock(b);
	struct cn_scrub_lease *l = b->leases;
	while (l && (l->needles[0].n != secret.n ||
	             sodium_memcmp(l->needles[0].print, print, PRINT) != 0))
		l = l->next;
	if (!l) {
		l = cn_zalloc(sizeof(*l));
		l->n = forms_of(b, secret, l->needles);
		l->next = b->leases;
		b->leases = l;
		drop_idle(b);
		redo_bits(b);
	}
	l->refs++;
	unlock(b);
	return l;
}

struct cn_scrub_lease *cn_vault_scrub_drop(struct cn_vault *v, struct cn_scrub_lease *l)
{
	if (!l)
		return NULL;
	wrlock(v->book);
	cn_assert(l->refs > 0);
	l->refs--;
	unlock(v->book);
	return NULL;
}

/* ---- a text and where its bytes came from ---- */

struct layer {
	struct cn_view text;
	const size_t
	    *at; /* text.n + 1 offsets in the original; NULL: the original itself */
};

struct range {
	size_t from, to;
};

struct found {
	struct range *v; /* owned */
	size_t n, cap;
};

static void note(struct found *f, const struct layer *l, size_t from, size_t to)
{
	struct range r = {l->at ? l->at[from] : from, l->at ? l->at[to] : to};
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 16;
		f->v = cn_realloc(f->v, f->cap * sizeof(*f->v));
	}
	f->v[f->n++] = r;
}

static bool is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/' || c == '-' || c == '_';
}

/* The needle may have its anchor at i: compare, and note it with its neighbours. */
static void try_needle(const struct cn_vault__book *b, const struct needle *d,
                       const struct layer *l, size_t i, struct found *f)
{
	unsigned char print[PRINT];
	struct cn_view t = l->text;
	size_t lead = anchor_at(d->n);
	if (i < lead || d->n > t.n - (i - lead))
		return;
	size_t from = i - lead, to = from + d->n;
	print_of(b, cn_view(t.p + from, d->n), print);
	if (sodium_memcmp(print, d->print, PRINT) != 0)
		return;
	if (d->before && from > 0 && is_base64(t.p[from - 1]))
		from--;
	if (d->after && to < t.n && is_base64(t.p[to]))
		to++;
	note(f, l, from, to);
}

static void find_needles(const struct cn_vault__book *b, const struct layer *l,
                         struct found *f)
{
	for (size_t i = 0; i + ANCHOR <= l->text.n; i++) {
		uint16_t a = anchor_of(b, l->text.p + i);
		if (!(b->bits[a / 8] >> a % 8 & 1))
			continue;
		for (size_t k = 0; k < b->n; k++)
			if (b->v[k].anchor == a)
				try_needle(b, &b->v[k], l, i, f);
		for (const struct cn_scrub_lease *s = b->leases; s; s = s->next)
			for (unsigned k = 0; k < s->n; k++)
				if (s->needles[k].anchor == a)
					try_needle(b, &s->needles[k], l, i, f);
	}
}

/* ---- well-known shapes ---- */

static bool is_word(char c)
{
	return is_base64(c) && c != '-' && c != '+' && c != '/';
}

static bool is_token(char c)
{
	return is_base64(c) || c == '.' || c == '~' || c == '=' || c == '%';
}

static bool is_key(char c)
{
	return is_word(c) || c == '-';
}

struct shape {
	struct cn_view prefix; /* in lower case where any_case */
	bool any_case;
	bool keep;    /* the prefix stays, and quotes and spaces behind it */
	size_t least; /* this many characters must follow */
	bool (*is)(char c);
};

/* Long enough that the wording of errors ("sk-ant-…", "Bearer authentication") stays. */
static const struct shape shapes[] = {
    {{"sk-", 3}, false, false, 16, is_key},  {{"AIza", 4}, false, false, 30, is_key},
    {{"ct_", 3}, false, false, 40, is_key},  {{"gsk_", 4}, false, false, 20, is_key},
    {{"xai-", 4}, false, false, 20, is_key}, {{"bearer ", 7}, true, true, 16, is_token},
    {{"key=", 4}, true, true, 12, is_token},
};

static size_t run_length(struct cn_view t, size_t from, bool (*is)(char c))
{
	size_t n = 0;
	while (from + n < t.n && is(t.p[from + n]))
		n++;
	return n;
}

static bool is_gap(char c)
{
	return c == ' ' || c == '"' || c == '\'';
}

/* Where the text goes on behind the shape at i, or i when it is not there. */
static size_t find_shape(const struct shape *s, const struct layer *l, size_t i,
                         struct found *f)
{
	struct cn_view t = cn_view_from(l->text, i), head = cn_view_cut(t, s->prefix.n);
	if (!(s->any_case ? cn_view_eq_nocase(head, s->prefix)
	                  : cn_view_eq(head, s->prefix)))
		return i;
	/* "ask-…" is no key; "api_key=" is one. */
	bool glued = i > 0 && is_word(l->text.p[i - 1]) && l->text.p[i - 1] != '_';
	if (glued && s->prefix.p[s->prefix.n - 1] != '=')
		return i;
	size_t from = i + s->prefix.n;
	if (s->keep)
		from += run_length(l->text, from, is_gap);
	size_t n = run_length(l->text, from, s->is);
	if (n < s->least)
		return i;
	note(f, l, s->keep ? from : i, from + n);
	return from + n;
}

static bool starts_shape(char c)
{
	switch (c) {
	case 's':
	case 'A':
	case 'c':
	case 'g':
	case 'x':
	case 'b':
	case 'B':
	case 'k':
	case 'K':
		return true;
	default:
		return false;
	}
}

static void find_shapes(const struct layer *l, struct found *f)
{
	struct cn_view t = l->text;
	for (size_t i = 0; i < t.n; i++) {
		if (!starts_shape(t.p[i]))
			continue;
		for (size_t k = 0; k < sizeof(shapes) / sizeof(*shapes); k++) {
			size_t end = find_shape(&shapes[k], l, i, f);
			if (end > i) {
				i = end - 1;
				break;
			}
		}
	}
}

/* ---- undoing encodings ---- */

/* One byte of the decoded text; gives how many of the encoded one it takes. */
typedef size_t (*decode_fn)(struct cn_view rest, char *ret);

static size_t percent(struct cn_view rest, char *ret)
{
	unsigned char byte;
	if (rest.p[0] == '%' && rest.n >= 3 && cn_unhex(cn_view(rest.p + 1, 2), &byte, 1)) {
		*ret = (char)byte;
		return 3;
	}
	*ret = rest.p[0];
	return 1;
}

/* What is not ASCII is in no key: one byte that matches nothing stands for it. */
static size_t escape(struct cn_view rest, char *ret)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	unsigned char wide[2];
	*ret = rest.p[0];
	if (rest.p[0] != '\\' || rest.n < 2)
		return 1;
	*ret = rest.p[1];
	if (rest.p[1] == 'u' && rest.n >= 6 && cn_unhex(cn_view(rest.p + 2, 4), wide, 2)) {
		*ret = '\x7f';
		if (wide[0] == 0 && wide[1] < 0x7f)
			*ret = (char)wide[1];
		return 6;
	}
	const char *known = rest.p[1] ? strchr(from, rest.p[1]) : NULL;
	if (known)
		*ret = to[known - from];
	return 2;
}

struct work {
	const struct cn_vault__book *book;
	struct found found;
};

static void search(struct work *w, const struct layer *l)
{
	find_needles(w->book, l, &w->found);
	find_shapes(l, &w->found);
}

static void decode_and_search(struct work *w, const struct layer *l, char mark,
                              decode_fn decode, unsigned depth)
{
	if (depth == 0 || !l->text.n || !memchr(l->text.p, mark, l->text.n))
		return;
	char *p = cn_alloc(l->text.n);
	size_t *at = cn_alloc((l->text.n + 1) * sizeof(*at)), n = 0;
	for (struct cn_view rest = l->text; rest.n; n++) {
		size_t i = l->text.n - rest.n;
		at[n] = l->at ? l->at[i] : i;
		rest = cn_view_from(rest, decode(rest, &p[n]));
	}
	at[n] = l->at ? l->at[l->text.n] : l->text.n;
	struct layer decoded = {cn_view(p, n), at};
	search(w, &decoded);
	decode_and_search(w, &decoded, mark, decode, depth - 1);
	cn_wipe(p, l->text.n);
	free(p);
	free(at);
}

/* ---- overwriting ---- */

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return (x->from > y->from) - (x->from < y->from);
}

/* Ranges that overlap count as one. */
static size_t blot(char *text, struct found *f)
{
	size_t count = 0, end = 0;
	if (f->n)
		qsort(f->v, f->n, sizeof(*f->v), by_start);
	for (size_t i = 0; i < f->n; i++) {
		struct range r = f->v[i];
		if (count == 0 || r.from >= end)
			count++;
		if (r.to > end)
			end = r.to;
		memset(text + r.from, BLOT, r.to - r.from);
	}
	return count;
}

/* JSON inside a string of JSON is how gateways hand errors on: two levels. */
size_t cn_vault_scrub(struct cn_vault *v, char *text, size_t n)
{
	struct work w = {.book = v->book};
	struct layer original = {cn_view(text, n), NULL};
	rdlock(v->book);
	search(&w, &original);
	decode_and_search(&w, &original, '%', percent, 1);
	decode_and_search(&w, &original, '\\', escape, 2);
	unlock(v->book);
	size_t count = blot(text, &w.found);
	free(w.found.v);
	return count;
}
