/*
 * The queue of what the client is told evenly.
 *
 * It holds runs: text of one block that has to be out by a certain time, and events between
 * that wait for the text before them.  With each tick so much goes that every run keeps its
 * time.  Owns the runs and charges their bytes.  Events are read back from what the splice
 * wrote, so that nobody else has to know of this.
 */
#include "continuo/smooth.h"

#include <stdlib.h>
#include <string.h>

#include "continuo/anthropic.h"
#include "splice_impl.h"

#define SMALL_BYTES 80 /* of text at once: that is no burst */
#define BYTES_A_MS  4  /* a burst is spread over no more time than reading it takes */
#define SPREAD_MIN  120

struct run {
	bool text; /* else an event that goes as it is */
	enum cn_delta_type delta;
	size_t index;        /* of its block */
	struct cn_buf bytes; /* owned: decoded text, or the event */
	size_t told;         /* bytes of the text */
	uint64_t due_ms;
};

struct cn_smooth {
	struct cn_charge *charge; /* borrowed */
	struct run *runs;         /* owned: those from first on are held */
	size_t first, n, cap;
	size_t held;       /* bytes of all runs, charged */
	uint64_t next_ms;  /* the next tick */
	uint64_t burst_ms; /* when text came last; 0: not yet */
};

struct cn_smooth *cn_smooth_new(struct cn_charge *charge)
{
	struct cn_smooth *s = cn_zalloc(sizeof(*s));

	s->charge = charge;
	return s;
}

static bool is_empty(const struct cn_smooth *s)
{
	return s->first == s->n;
}

static void drop_first(struct cn_smooth *s)
{
	struct run *r = &s->runs[s->first++];

	cn_charge_release(s->charge, r->bytes.n + sizeof(*r));
	s->held -= r->bytes.n + sizeof(*r);
	cn_buf_done(&r->bytes);
	if (is_empty(s))
		s->first = s->n = 0;
}

struct cn_smooth *cn_smooth_free(struct cn_smooth *s)
{
	if (!s)
		return NULL;
	while (!is_empty(s))
		drop_first(s);
	free(s->runs);
	free(s);
	return NULL;
}

/* ---- where text may be cut ---- */

/* The character that begins at p, and its length; bytes that are none stand alone. */
static uint32_t character(const char *p, size_t n, size_t *retlength)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t length = u[0] < 0xc2 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	uint32_t c = length == 1 ? u[0] : u[0] & (0x7fu >> length);

	*retlength = 1;
	if (length > n)
		return 0xfffd;
	for (size_t i = 1; i < length; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0xfffd;
		c = c << 6 | (u[i] & 0x3fu);
	}
	*retlength = length;
	return c;
}

/* What is drawn on the character before it: accents, variants, skin colours, joiners. */
static bool extends(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {
	    {0x300, 0x36f},   {0x483, 0x489},     {0x591, 0x5bd},     {0x610, 0x61a},
	    {0x64b, 0x65f},   {0x900, 0x903},     {0x93a, 0x94f},     {0x9bc, 0x9cd},
	    {0xb3e, 0xbcd},   {0xe31, 0xe31},     {0xe34, 0xe3a},     {0xe47, 0xe4e},
	    {0x1160, 0x11ff}, {0x1ab0, 0x1aff},   {0x1dc0, 0x1dff},   {0x200c, 0x200d},
	    {0x20d0, 0x20ff}, {0x302a, 0x302f},   {0x3099, 0x309a},   {0xfe00, 0xfe0f},
	    {0xfe20, 0xfe2f}, {0x1f3fb, 0x1f3ff}, {0xe0020, 0xe007f}, {0xe0100, 0xe01ef},
	};

	for (size_t i = 0; c >= 0x300 && i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}

static bool is_flag_half(uint32_t c)
{
	return c >= 0x1f1e6 && c <= 0x1f1ff;
}

static bool is_one(uint32_t before, uint32_t c)
{
	return extends(c) || before == 0x200d || (before == '\r' && c == '\n') ||
	       (is_flag_half(before) && is_flag_half(c));
}

size_t cn_smooth_cut(struct cn_view text, size_t want)
{
	size_t word = 0, length, at = 0, far = want + 24;
	uint32_t before = 0;

	if (text.n <= want)
		return text.n;
	while (at < text.n) {
		uint32_t c = character(text.p + at, text.n - at, &length);

		if (at && !is_one(before, c)) {
			bool behind_word = before == ' ' || before == '\n';

			if (behind_word && at >= want)
				return at;
			if (behind_word && at > want / 2)
				word = at;
			/* A longer word is cut only where none ended before. */
			if (at >= far || (at >= want && word))
				return word ? word : at;
		}
		before = c;
		at += length;
	}
	return text.n;
}

/* ---- in ---- */

static void add_text(struct cn_buf *out, size_t index, enum cn_delta_type delta,
                     struct cn_view text)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA, .delta = delta, .text = text};

	cn_anthropic_add_delta(out, index, &ev);
}

/* The delta of an event that holds text and nothing besides; false for others. */
static bool read_text(struct cn_arena *a, struct cn_view event, struct run *ret)
{
	const struct cn_view head = CN_VIEW("event: content_block_delta\ndata: ");
	struct cn_json root, delta, text;
	struct cn_view data;
	uint64_t index;
	size_t members = 0;

	if (!cn_view_starts(event, head) || !cn_view_ends(event, CN_VIEW("\n\n")))
		return false;
	data = cn_view_from(event, head.n);
	/* Raw JSON may be of several lines. */
	if (cn_view_find(data, CN_VIEW("\n"), 0) != data.n - 2)
		return false;
	root = cn_json_root(data);
	delta = cn_json_get(root, "delta");
	if (cn_json_is(cn_json_get(delta, "type"), "text_delta")) {
		ret->delta = CN_DELTA_TEXT;
		text = cn_json_get(delta, "text");
	} else if (cn_json_is(cn_json_get(delta, "type"), "thinking_delta")) {
		ret->delta = CN_DELTA_THINKING;
		text = cn_json_get(delta, "thinking");
	} else {
		return false;
	}
	for (struct cn_json_iter it = cn_json_iter(delta); cn_json_next(&it);)
		members++;
	if (members != 2 || text.kind != CN_JSON_STRING || text.raw.n <= 2 ||
	    !cn_json_u64(cn_json_get(root, "index"), &index))
		return false;
	ret->index = (size_t)index;
	cn_buf_add_view(&ret->bytes, cn_json_text(a, text));
	return true;
}

/* The next event of the bytes, with its blank line. */
static struct cn_view next_event(struct cn_view *rest)
{
	size_t at = cn_view_find(*rest, CN_VIEW("\n\n"), 0);
	struct cn_view event = cn_view_cut(*rest, at == SIZE_MAX ? rest->n : at + 2);

	*rest = cn_view_from(*rest, event.n);
	return event;
}

/* Room behind the last run; what was told in front is given up first. */
static void make_room(struct cn_smooth *s)
{
	if (s->n < s->cap)
		return;
	if (s->first) {
		memmove(s->runs, s->runs + s->first, (s->n - s->first) * sizeof(*s->runs));
		s->n -= s->first;
		s->first = 0;
		return;
	}
	s->cap = s->cap ? 2 * s->cap : 8;
	s->runs = cn_realloc(s->runs, s->cap * sizeof(*s->runs));
}

/* Takes the run over; false: the memory budget is used up. */
static bool keep(struct cn_smooth *s, const struct run *r)
{
	size_t n = r->bytes.n + sizeof(*r);

	if (!cn_charge_take(s->charge, n))
		return false;
	s->held += n;
	make_room(s);
	s->runs[s->n++] = *r;
	return true;
}

static void tell_run(const struct run *r, struct cn_buf *out)
{
	if (!r->text)
		cn_buf_add_view(out, cn_buf_view(&r->bytes));
	else if (r->told < r->bytes.n)
		add_text(out, r->index, r->delta,
		         cn_view_from(cn_buf_view(&r->bytes), r->told));
}

void cn_smooth_flush(struct cn_smooth *s, struct cn_buf *out)
{
	while (!is_empty(s)) {
		tell_run(&s->runs[s->first], out);
		drop_first(s);
	}
}

/* Behind the last run, if that is text of the same block that came together with it. */
static bool joins(struct cn_smooth *s, struct run *r)
{
	struct run *last = is_empty(s) ? NULL : &s->runs[s->n - 1];

	if (!last || !last->text || !r->text || last->index != r->index ||
	    last->delta != r->delta || last->due_ms != r->due_ms ||
	    !cn_charge_take(s->charge, r->bytes.n))
		return false;
	s->held += r->bytes.n;
	cn_buf_add_view(&last->bytes, cn_buf_view(&r->bytes));
	cn_buf_done(&r->bytes);
	return true;
}

static void queue(struct cn_smooth *s, struct cn_view event, uint64_t due_ms,
                  struct cn_buf *out)
{
	CN_AUTO(cn_arena) a = {0};
	struct run r = {.due_ms = due_ms};

	r.text = read_text(&a, event, &r);
	if (!r.text)
		cn_buf_add_view(&r.bytes, event);
	if (joins(s, &r) || keep(s, &r))
		return;
	cn_smooth_flush(s, out);
	tell_run(&r, out);
	cn_buf_done(&r.bytes);
}

static size_t text_in(struct cn_view events)
{
	size_t n = 0;

	while (events.n) {
		CN_AUTO(cn_arena) a = {0};
		struct run r = {0};

		if (read_text(&a, next_event(&events), &r))
			n += r.bytes.n;
		cn_buf_done(&r.bytes);
	}
	return n;
}

/* As long as it takes until more may be expected, or to read it; but never too long. */
static uint64_t spread(const struct cn_smooth *s, size_t bytes, uint64_t now_ms)
{
	uint64_t ms = bytes / BYTES_A_MS;

	if (s->burst_ms && now_ms - s->burst_ms > ms)
		ms = now_ms - s->burst_ms;
	if (ms < SPREAD_MIN)
		return SPREAD_MIN;
	return ms < CN_SMOOTH_DELAY_MS ? ms : CN_SMOOTH_DELAY_MS;
}

void cn_smooth_feed(struct cn_smooth *s, struct cn_view events, uint64_t now_ms,
                    struct cn_buf *out)
{
	size_t bytes = text_in(events);
	uint64_t due;

	if (bytes <= SMALL_BYTES && is_empty(s)) {
		cn_buf_add_view(out, events);
		if (bytes)
			s->burst_ms = now_ms;
		return;
	}
	due = now_ms + spread(s, bytes, now_ms);
	if (is_empty(s))
		s->next_ms = now_ms;
	if (bytes)
		s->burst_ms = now_ms;
	while (events.n)
		queue(s, next_event(&events), due, out);
	if (s->held > CN_SMOOTH_MAX)
		cn_smooth_flush(s, out);
	else
		cn_smooth_take(s, now_ms, out);
}

/* ---- out ---- */

/* Bytes of text that have to go now so that each run is out when it is due. */
static size_t quota(const struct cn_smooth *s, uint64_t now_ms)
{
	size_t need = 0, sum = 0;

	for (size_t i = s->first; i < s->n; i++) {
		const struct run *r = &s->runs[i];
		uint64_t left = r->due_ms > now_ms ? r->due_ms - now_ms : 0;
		size_t share;

		if (!r->text)
			continue;
		sum += r->bytes.n - r->told;
		share = left <= CN_SMOOTH_TICK_MS
		            ? sum
		            : (size_t)((sum * CN_SMOOTH_TICK_MS + left - 1) / left);
		need = share > need ? share : need;
	}
	return need;
}

/* Tells what is first; false: it is text, and the rest of it has time. */
static bool tell_first(struct cn_smooth *s, size_t *quota_left, struct cn_buf *out)
{
	struct run *r = &s->runs[s->first];
	struct cn_view rest = cn_view_from(cn_buf_view(&r->bytes), r->told);
	size_t n;

	if (r->text && rest.n) {
		if (*quota_left == 0)
			return false;
		n = cn_smooth_cut(rest, *quota_left);
		add_text(out, r->index, r->delta, cn_view_cut(rest, n));
		r->told += n;
		/* One piece of a run a tick: a word too much or too little evens out. */
		*quota_left -= n < *quota_left && r->told == r->bytes.n ? n : *quota_left;
		if (r->told < r->bytes.n)
			return false;
	} else if (!r->text) {
		cn_buf_add_view(out, rest);
	}
	drop_first(s);
	return true;
}

void cn_smooth_take(struct cn_smooth *s, uint64_t now_ms, struct cn_buf *out)
{
	size_t left = 0;

	if (is_empty(s))
		return;
	if (now_ms >= s->next_ms) {
		left = quota(s, now_ms);
		s->next_ms = now_ms + CN_SMOOTH_TICK_MS;
	}
	while (!is_empty(s) && tell_first(s, &left, out))
		;
}

uint64_t cn_smooth_next_at(const struct cn_smooth *s)
{
	return s && !is_empty(s) ? s->next_ms : UINT64_MAX;
}
