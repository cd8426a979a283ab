/*
 * The joint: what of a continuation is new (the header says why).
 *
 * Texts are compared in a normal form: a run of white space is one space, quotes are
 * straight.  Positions found there are mapped back by normalising again, so that the client
 * gets the model's own bytes.  Nothing is given out before it is decided, and what is held
 * is bounded: 400 characters, or 64 KiB after a restart that takes another course.
 *
 *   CN_HOLDING --anchor, tail--> CN_SPACING --> CN_PASSING
 *      |----the top again---> CN_SKIPPING --its end--> CN_SPACING
 *      |                         `--differs--> CN_SEEKING --anchor--> CN_SPACING
 *      `----no match--> CN_PASSING <----limit----'
 */
#include "continuo/joint.h"

#include <stdlib.h>

#define CN_SHORT_MATCH 12 /* a match that was not asked for is at least so long */
#define CN_SURE_MATCH  40 /* of a restart's beginning */
#define CN_ECHO_LEAST  20 /* a shorter prefill is never taken for an echo */
#define CN_PIECE       4096
#define CN_SPACES_MAX  256 /* white space held at the joint */
#define CN_SEEK_STEP   512 /* new bytes between two searches */
#define CN_PREAMBLE    120 /* bytes that an introduction may have */

enum stage {
	CN_HOLDING,
	CN_SKIPPING,
	CN_SEEKING,
	CN_SPACING,
	CN_PASSING,
};

struct cn_joint {
	enum cn_joint_how how;
	enum stage stage;
	enum cn_joint_found found;
	struct cn_charge *charge; /* borrowed */
	size_t charged;
	struct cn_buf given;  /* owned: normal form, without the spaces at the end */
	struct cn_buf spaces; /* owned: those spaces as the client has them */
	struct cn_buf held;   /* owned: not decided yet, raw */
	size_t anchor;        /* bytes of the anchor at the end of given */
	size_t skipped;       /* CN_SKIPPING: bytes of given that were repeated so far */
	size_t sought;        /* CN_SEEKING: held.n at the last search */
	size_t seek_max;      /* CN_SEEKING: bytes to hold at most */
	bool in_space;        /* CN_SKIPPING: the last byte compared was a space */
	bool fence_open;      /* given ends inside a code fence */
	char
	    closer; /* what encloses the anchor and must be taken away behind it; 0: none */
};

const char *cn_joint_found_name(enum cn_joint_found f)
{
	static const char *const names[] = {
	    [CN_JOINT_OPEN] = "open",         [CN_JOINT_EXACT] = "exact",
	    [CN_JOINT_TAIL] = "tail",         [CN_JOINT_RESTART] = "restart",
	    [CN_JOINT_PREAMBLE] = "preamble", [CN_JOINT_NONE] = "none",
	};

	return names[f];
}

/* ---- the normal form ---- */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t utf8_length(unsigned char c)
{
	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* What one character of n bytes is in the normal form: a byte, or 0 for itself. */
static char normal_of(const char *p, size_t n)
{
	static const struct {
		const char *utf8;
		char to;
	} table[] = {
	    {"\xc2\xa0", ' '},      {"\xe2\x80\xa8", ' '},  {"\xe2\x80\xa9", ' '},
	    {"\xe2\x80\xaf", ' '},  {"\xe2\x80\x98", '\''}, {"\xe2\x80\x99", '\''},
	    {"\xe2\x80\x9a", '\''}, {"\xe2\x80\x9b", '\''}, {"\xe2\x80\x9c", '"'},
	    {"\xe2\x80\x9d", '"'},  {"\xe2\x80\x9e", '"'},  {"\xe2\x80\x9f", '"'},
	    {"\xc2\xab", '"'},      {"\xc2\xbb", '"'},
	};

	if (n == 1)
		return is_space(*p) ? ' ' : '\0';
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (cn_view_is(cn_view(p, n), table[i].utf8))
			return table[i].to;
	return '\0';
}

/*
 * Appends the normal form of text to b, at most most bytes of it; returns how many raw
 * bytes that took.  A character that is not whole yet is left over unless final.
 */
static size_t normalise(struct cn_buf *b, struct cn_view text, size_t most, bool *in_space,
                        bool final)
{
	size_t at = 0, begin = b->n;

	while (at < text.n && b->n - begin < most) {
		size_t n = utf8_length((unsigned char)text.p[at]);
		char to;

		if (n > text.n - at) {
			if (!final)
				break;
			n = text.n - at;
		}
		to = normal_of(text.p + at, n);
		if (to != ' ')
			to ? cn_buf_add_char(b, to) : cn_buf_add(b, text.p + at, n);
		else if (!*in_space)
			cn_buf_add_char(b, ' ');
		*in_space = to == ' ';
		at += n;
	}
	return at;
}

/* How many raw bytes the first n bytes of the normal form come from, which has no white
 * space at its start. */
static size_t raw_of(struct cn_view text, size_t n)
{
	CN_AUTO(cn_buf) b = {0};
	bool in_space = true;

	return normalise(&b, text, n, &in_space, true);
}

/* Whether a byte begins a character (UTF-8). */
static bool begins(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t characters(struct cn_view v)
{
	size_t n = 0;

	for (size_t i = 0; i < v.n; i++)
		n += begins(v.p[i]);
	return n;
}

struct cn_view cn_joint_trim(struct cn_view given)
{
	while (given.n && is_space(given.p[given.n - 1]))
		given.n--;
	return given;
}

struct cn_view cn_joint_anchor(struct cn_view given)
{
	struct cn_view text = cn_joint_trim(given);
	size_t at = text.n, n = 0, word;

	while (at > 0 && n < CN_JOINT_ANCHOR) {
		at--;
		n += begins(text.p[at]);
	}
	/* Whole words read better; not when that would leave little. */
	if (at > 0 && !is_space(text.p[at - 1])) {
		for (word = at; word < text.n && !is_space(text.p[word]); word++)
			;
		if (word - at < CN_JOINT_ANCHOR / 2 && word < text.n)
			at = word;
	}
	while (at < text.n && is_space(text.p[at]))
		at++;
	return cn_view_from(text, at);
}

static bool has_open_fence(struct cn_view text)
{
	bool open = false;
	size_t at = 0;

	while ((at = cn_view_find(text, CN_VIEW("```"), at)) != SIZE_MAX) {
		open = !open;
		at += 3;
	}
	return open;
}

/* ---- life ---- */

struct cn_joint *cn_joint_new(struct cn_view given, enum cn_joint_how how,
                              struct cn_charge *charge)
{
	struct cn_view text = cn_joint_trim(given);
	struct cn_view anchor = cn_joint_anchor(given);
	size_t bytes = given.n + CN_JOINT_SEEK;
	CN_AUTO(cn_buf) normal = {0};
	bool in_space = true; /* white space at the start of either says nothing */
	struct cn_joint *j;

	if (!cn_charge_take(charge, bytes))
		return NULL;
	j = cn_zalloc(sizeof(*j));
	j->how = how;
	j->charge = charge;
	j->charged = bytes;
	(void)normalise(&j->given, text, SIZE_MAX, &in_space, true);
	in_space = true;
	(void)normalise(&normal, anchor, SIZE_MAX, &in_space, true);
	j->anchor = normal.n;
	cn_buf_add_view(&j->spaces, cn_view_from(given, text.n));
	j->fence_open = has_open_fence(given);
	/* Nothing to match: only the white space is minded. */
	if (j->anchor == 0 || (how == CN_JOINT_PREFILL && j->given.n < CN_ECHO_LEAST)) {
		j->found = CN_JOINT_EXACT;
		j->stage = CN_SPACING;
	}
	return j;
}

struct cn_joint *cn_joint_free(struct cn_joint *j)
{
	if (!j)
		return NULL;
	cn_charge_release(j->charge, j->charged);
	cn_buf_done(&j->given);
	cn_buf_done(&j->spaces);
	cn_buf_done(&j->held);
	free(j);
	return NULL;
}

enum cn_joint_found cn_joint_found(const struct cn_joint *j)
{
	return j->found;
}

bool cn_joint_repeats(const struct cn_joint *j)
{
	return j->stage == CN_SKIPPING;
}

/* ---- decisions ---- */

static void settle(struct cn_joint *j, enum cn_joint_found found, size_t raw)
{
	cn_buf_consume(&j->held, raw);
	j->found = found;
	j->stage = CN_SPACING;
}

/* Line breaks between what the client has and what does not join it. */
static void paragraph(const struct cn_joint *j, struct cn_buf *out)
{
	size_t breaks = 0;

	for (size_t i = 0; i < j->spaces.n; i++)
		breaks += j->spaces.p[i] == '\n';
	for (; breaks < 2; breaks++)
		cn_buf_add_char(out, '\n');
}

/* The length of an introduction ("Continuing:", "Sorry for the interruption."); else 0. */
static size_t preamble(struct cn_view text)
{
	static const char *const words[] = {
	    "continu",     "resum",           "left off",  "picking up",
	    "where i was", "where i stopped", "interrupt", "cut off",
	};
	struct cn_view line = cn_view_cut(text, CN_PREAMBLE);
	size_t end = 0;

	while (end < line.n && line.p[end] != '\n' && line.p[end] != ':')
		end++;
	if (end == line.n || characters(cn_view_cut(line, end)) < 4)
		return 0;
	line.n = end;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (cn_view_find_nocase(line, cn_view_str(words[i])) == SIZE_MAX)
			continue;
		end++;
		while (end < text.n && is_space(text.p[end]))
			end++;
		return end;
	}
	return 0;
}

/* Decided that nothing matches: what is held goes out as a paragraph of its own. */
static void give_up(struct cn_joint *j, struct cn_buf *out)
{
	struct cn_view text = cn_buf_view(&j->held);
	size_t skip = preamble(text);

	text = cn_view_from(text, skip);
	while (text.n && is_space(*text.p))
		text = cn_view_from(text, 1);
	j->found = skip ? CN_JOINT_PREAMBLE : CN_JOINT_NONE;
	if (text.n) {
		paragraph(j, out);
		cn_buf_add_view(out, text);
	}
	cn_buf_clear(&j->held);
	j->stage = CN_PASSING;
}

static struct cn_view anchor_of(const struct cn_joint *j)
{
	return cn_view_from(cn_buf_view(&j->given), j->given.n - j->anchor);
}

/* What stood right before the anchor decides what must go behind it. */
static char closer_for(const struct cn_joint *j, struct cn_view before)
{
	bool fenced = false;

	for (size_t at = 0; (at = cn_view_find(before, CN_VIEW("```"), at)) != SIZE_MAX;
	     at += 3)
		fenced = !fenced;
	if (fenced && !j->fence_open)
		return '`';
	before = cn_joint_trim(before);
	if (before.n && (before.p[before.n - 1] == '"' || before.p[before.n - 1] == '\''))
		return before.p[before.n - 1];
	return '\0';
}

/* White space, quotes and dots that a model may put before the words it repeats. */
static size_t ornament(struct cn_view v)
{
	size_t n = 0;

	while (n < v.n && strchr(" \"'.*>", v.p[n]))
		n++;
	if (cn_view_starts(cn_view_from(v, n), CN_VIEW("\xe2\x80\xa6")))
		n += 3;
	while (n < v.n && v.p[n] == ' ')
		n++;
	return n;
}

/* Whether text up to end is the end of what was given. */
static bool is_tail(const struct cn_joint *j, struct cn_view text, size_t end)
{
	return end <= j->given.n &&
	       cn_view_eq(cn_view_cut(text, end),
	                  cn_view_from(cn_buf_view(&j->given), j->given.n - end));
}

/* The longest piece of the end, shorter than the anchor, that text begins with. */
static size_t short_tail(const struct cn_joint *j, struct cn_view text)
{
	size_t most = text.n < j->anchor ? text.n : j->anchor - 1;

	for (size_t n = most; n >= CN_SHORT_MATCH; n--) {
		size_t at = j->given.n - n;

		if (is_tail(j, text, n) &&
		    (at == 0 || j->given.p[at] == ' ' || j->given.p[at - 1] == ' '))
			return n;
	}
	return 0;
}

/* Where text stands in what was given: at the top, or the last time within its last 64 KiB;
 * SIZE_MAX: nowhere. */
static size_t stands_at(const struct cn_joint *j, struct cn_view text)
{
	struct cn_view given = cn_buf_view(&j->given);
	size_t from = given.n > CN_JOINT_SEEK ? given.n - CN_JOINT_SEEK : 0;

	if (cn_view_starts(given, text))
		return 0;
	for (size_t at = given.n + 1; at-- > from;)
		if (cn_view_starts(cn_view_from(given, at), text))
			return at;
	return SIZE_MAX;
}

/*
 * The anchor's words may stand in what was given more than once: while text is a piece of
 * that from before its end, more of it may follow.
 */
static bool may_be_repeating(const struct cn_joint *j, struct cn_view text)
{
	size_t at = cn_view_find(cn_buf_view(&j->given), text, 0);

	return at != SIZE_MAX && at + text.n < j->given.n;
}

/* Looks for the anchor; whether it was found, and then where what is new begins. */
static bool find_anchor(struct cn_joint *j, struct cn_view text, bool final, bool over,
                        size_t *retend)
{
	struct cn_view anchor = anchor_of(j);
	size_t lead = ornament(text), first = SIZE_MAX, tail = 0;
	bool reached;

	if (cn_view_starts(text, anchor)) {
		*retend = anchor.n;
		j->found = CN_JOINT_EXACT;
		return true;
	}
	for (size_t at = 0; (at = cn_view_find(text, anchor, at)) != SIZE_MAX; at++) {
		if (is_tail(j, text, at + anchor.n))
			tail = at + anchor.n;
		first = at < first ? at : first;
	}
	/* It reached the end and went on, or nothing says that it is the top again. */
	reached =
	    tail && final &&
	    ((over && tail < text.n) || !cn_view_starts(cn_buf_view(&j->given), text));
	if (first == SIZE_MAX || (!reached && may_be_repeating(j, text)))
		return false;
	if (tail) {
		*retend = tail;
		j->found = tail == j->given.n ? CN_JOINT_RESTART : CN_JOINT_TAIL;
		return true;
	}
	if (first > lead && anchor.n < CN_SHORT_MATCH)
		return false;
	*retend = first + anchor.n;
	j->closer = closer_for(j, cn_view_cut(text, first));
	j->found = CN_JOINT_PREAMBLE;
	return true;
}

/* What is held is what stands in given at at; the rest of that is expected. */
static void begin_skipping(struct cn_joint *j, size_t at, struct cn_view text)
{
	cn_buf_clear(&j->held); /* whole characters, all of them compared */
	j->skipped = at + text.n;
	j->in_space = text.n && text.p[text.n - 1] == ' ';
	j->found = at ? CN_JOINT_TAIL : CN_JOINT_RESTART;
	j->stage = CN_SKIPPING;
}

/*
 * Whether text is there because it was repeated: it is long, or from the top, or from the
 * last words; over: it may be no more than the first of these.  Then it is left out.
 */
static bool skip_repetition(struct cn_joint *j, struct cn_view text, bool over)
{
	size_t at = stands_at(j, text);

	if (over && text.n && cn_view_starts(anchor_of(j), text))
		at = j->given.n - j->anchor;
	else if (at == SIZE_MAX || text.n < CN_SHORT_MATCH ||
	         (at > 0 && text.n < CN_SURE_MATCH &&
	          at + text.n <= j->given.n - j->anchor))
		return false;
	begin_skipping(j, at, text);
	return true;
}

/* The window is full, or the text is over: the less certain readings. */
static void decide_finally(struct cn_joint *j, struct cn_view text, struct cn_buf *out,
                           bool over)
{
	size_t skip = preamble(cn_buf_view(&j->held)), n;
	CN_AUTO(cn_buf) normal = {0};
	bool in_space = true;

	if (skip_repetition(j, text, over))
		return;
	if ((n = short_tail(j, text))) {
		settle(j, CN_JOINT_TAIL, raw_of(cn_buf_view(&j->held), n));
		return;
	}
	(void)normalise(&normal, cn_view_from(cn_buf_view(&j->held), skip), SIZE_MAX,
	                &in_space, over);
	if (skip && skip_repetition(j, cn_buf_view(&normal), over))
		return;
	give_up(j, out);
}

/* After an introduction even a short anchor is one. */
static bool anchor_introduced(struct cn_joint *j)
{
	struct cn_view held = cn_buf_view(&j->held);
	size_t skip = preamble(held);
	CN_AUTO(cn_buf) normal = {0};
	bool in_space = true;

	held = cn_view_from(held, skip);
	(void)normalise(&normal, held, SIZE_MAX, &in_space, false);
	if (skip == 0 || !cn_view_starts(cn_buf_view(&normal), anchor_of(j)))
		return false;
	settle(j, CN_JOINT_PREAMBLE, skip + raw_of(held, j->anchor));
	return true;
}

/* Something may be decided about what is held. */
static void decide(struct cn_joint *j, struct cn_buf *out, bool final, bool over)
{
	CN_AUTO(cn_buf) normal = {0};
	struct cn_view text, held = cn_buf_view(&j->held);
	bool in_space = true; /* white space at its start says nothing */
	size_t end;

	(void)normalise(&normal, held, SIZE_MAX, &in_space, over);
	text = cn_buf_view(&normal);
	if (j->how == CN_JOINT_PREFILL) {
		if (text.n >= j->given.n && cn_view_starts(text, cn_buf_view(&j->given)))
			settle(j, CN_JOINT_RESTART, raw_of(held, j->given.n));
		else if (!cn_view_starts(cn_buf_view(&j->given), text) ||
		         (over && text.n < CN_SURE_MATCH))
			settle(j, CN_JOINT_EXACT, 0);
		else if (final)
			begin_skipping(j, 0, text);
		return;
	}
	if (anchor_introduced(j))
		return;
	if (find_anchor(j, text, final, over, &end)) {
		settle(j, j->found, raw_of(held, end));
		return;
	}
	if (final)
		decide_finally(j, text, out, over);
}

/* ---- the stages; each takes what it can of *text ---- */

static void take(struct cn_view *text, size_t n)
{
	*text = cn_view_from(*text, n);
}

static void hold(struct cn_joint *j, struct cn_view *text, struct cn_buf *out)
{
	size_t have = characters(cn_buf_view(&j->held)), n = 0;

	for (; n < text->n && (have < CN_JOINT_WINDOW || !begins(text->p[n])); n++)
		have += begins(text->p[n]);
	cn_buf_add(&j->held, text->p, n);
	take(text, n);
	decide(j, out, have >= CN_JOINT_WINDOW, false);
}

static void skip(struct cn_joint *j, struct cn_view *text, bool over)
{
	CN_AUTO(cn_buf) normal = {0};
	struct cn_view given = cn_view_from(cn_buf_view(&j->given), j->skipped), held;
	size_t n = text->n < CN_PIECE ? text->n : CN_PIECE, same = 0, raw;
	bool in_space = j->in_space;

	cn_buf_add(&j->held, text->p, n);
	take(text, n);
	held = cn_buf_view(&j->held);
	raw = normalise(&normal, held, given.n, &in_space, over);
	while (same < normal.n && same < given.n && normal.p[same] == given.p[same])
		same++;
	while (same < normal.n && !begins(normal.p[same]))
		same--; /* characters are taken whole */
	j->skipped += same;
	if (same == normal.n && j->skipped < j->given.n) {
		cn_buf_consume(&j->held, raw);
		j->in_space = in_space;
		return;
	}
	/* The end of the repetition, or of what is the same. */
	cn_buf_clear(&normal);
	in_space = j->in_space;
	cn_buf_consume(&j->held, normalise(&normal, held, same, &in_space, over));
	if (j->skipped == j->given.n) {
		settle(j, j->found, 0);
		return;
	}
	j->stage = CN_SEEKING;
	j->sought = 0;
	j->seek_max = (j->given.n - j->skipped) / 2 * 3 + (size_t)4 * CN_JOINT_WINDOW;
	if (j->seek_max > CN_JOINT_SEEK)
		j->seek_max = CN_JOINT_SEEK;
}

static void seek(struct cn_joint *j, struct cn_view *text, struct cn_buf *out, bool over)
{
	CN_AUTO(cn_buf) normal = {0};
	size_t room = j->held.n < j->seek_max ? j->seek_max - j->held.n : 0;
	size_t n = text->n < room ? text->n : room, at;
	bool in_space = true;

	cn_buf_add(&j->held, text->p, n);
	take(text, n);
	if (j->held.n < j->seek_max && !over && j->held.n - j->sought < CN_SEEK_STEP)
		return;
	j->sought = j->held.n;
	(void)normalise(&normal, cn_buf_view(&j->held), SIZE_MAX, &in_space, over);
	at = j->anchor >= CN_SHORT_MATCH
	         ? cn_view_find(cn_buf_view(&normal), anchor_of(j), 0)
	         : SIZE_MAX;
	if (at != SIZE_MAX) {
		settle(j, CN_JOINT_RESTART, raw_of(cn_buf_view(&j->held), at + j->anchor));
	} else if (over || j->held.n >= j->seek_max) {
		give_up(j, out);
	}
}

/* White space behind the joint: neither lost nor doubled. */
static void reconcile(const struct cn_joint *j, struct cn_view spaces, struct cn_buf *out)
{
	struct cn_view had = cn_buf_view(&j->spaces);

	if (cn_view_starts(spaces, had))
		cn_buf_add_view(out, cn_view_from(spaces, had.n));
}

static size_t spaces_at(struct cn_view v)
{
	size_t n = 0;

	while (n < v.n && is_space(v.p[n]))
		n++;
	return n;
}

static void space(struct cn_joint *j, struct cn_view *text, struct cn_buf *out, bool over)
{
	size_t room = j->held.n < CN_SPACES_MAX ? CN_SPACES_MAX - j->held.n : 0;
	size_t n = text->n < room ? text->n : room, marks = j->closer == '`' ? 3 : 1;
	struct cn_view held;
	bool wait;

	/* What the decision left over comes first. */
	cn_buf_add(&j->held, text->p, n);
	take(text, n);
	held = cn_buf_view(&j->held);
	wait = !over && held.n < CN_SPACES_MAX;
	n = spaces_at(held);
	if (n < held.n && j->closer && held.p[n] == j->closer) {
		if (held.n - n < marks && wait)
			return;
		held = cn_view_from(held, n + marks);
		/* The line break behind a fence is the fence's. */
		if (marks == 3 && held.n && *held.p == '\n')
			held = cn_view_from(held, 1);
		n = spaces_at(held);
	}
	if (n == held.n && wait)
		return;
	reconcile(j, cn_view_cut(held, n), out);
	cn_buf_add_view(out, cn_view_from(held, n));
	cn_buf_done(&j->held);
	j->stage = CN_PASSING;
}

static void step(struct cn_joint *j, struct cn_view *text, struct cn_buf *out, bool over)
{
	switch (j->stage) {
	case CN_HOLDING:
		hold(j, text, out);
		if (over && j->stage == CN_HOLDING)
			decide(j, out, true, true);
		break;
	case CN_SKIPPING:
		skip(j, text, over);
		break;
	case CN_SEEKING:
		seek(j, text, out, over);
		break;
	case CN_SPACING:
		space(j, text, out, over);
		break;
	case CN_PASSING:
		cn_buf_add_view(out, *text);
		take(text, text->n);
		break;
	}
}

void cn_joint_feed(struct cn_joint *j, struct cn_view text, struct cn_buf *out)
{
	enum stage before;

	do {
		before = j->stage;
		step(j, &text, out, false);
		/* A new stage begins with what the old one left. */
	} while (text.n || (j->stage != before && j->held.n));
}

void cn_joint_end(struct cn_joint *j, struct cn_buf *out)
{
	struct cn_view none = {NULL, 0};
	enum stage before;

	do {
		before = j->stage;
		step(j, &none, out, true);
	} while (j->stage != before && j->stage != CN_PASSING);
	if (j->found == CN_JOINT_OPEN)
		j->found = CN_JOINT_NONE;
}
