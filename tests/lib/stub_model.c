/* The seven ways to go on with an answer (design/continuity.md). */
#include "stub_model.h"

#include <string.h>

const char *stub_way_name(enum stub_way way)
{
	static const char *const names[] = {
#define X(name, what) #name,
	    STUB_WAYS(X)
#undef X
	};

	return names[way];
}

/* ---- where it stands ---- */

/* The part that the last byte given stands in, and where that part's text ends. */
static size_t part_at(const struct answer *whole, size_t given, size_t *retend)
{
	size_t at = 0;

	for (size_t i = 0; i < whole->n; i++) {
		const struct answer_part *part = &whole->parts[i];

		if (part->type != CN_BLOCK_TEXT || part->body.n == 0)
			continue;
		at += (at ? 2 : 0) + part->body.n;
		if (given <= at) {
			*retend = at;
			return i;
		}
	}
	cn_never("more was given than there is");
}

static void add_text(struct answer *to, struct cn_view text)
{
	if (text.n)
		answer_add(to, CN_BLOCK_TEXT)->body = text;
}

/* What of said stays behind the white space that the client has already. */
static struct cn_view behind_spaces(struct cn_view given, struct cn_view said)
{
	struct cn_view had = cn_view_from(given, cn_joint_trim(given).n);
	size_t n = 0;

	while (n < said.n && strchr(" \t\n\v\f\r", said.p[n]))
		n++;
	if (cn_view_starts(cn_view_cut(said, n), had))
		return cn_view_from(said, had.n);
	return cn_view_from(said, n);
}

/* ---- the words it begins with ---- */

static bool begins(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

/* Whether text from there on reads like the anchor: nobody can tell that it is not. */
static bool is_like(const struct stub_question *q, size_t at)
{
	while (at < q->given.n && strchr(" \n\r\t", q->given.p[at]))
		at++;
	return q->anchor.n &&
	       cn_view_starts(cn_view_from(q->given, at), cn_view_cut(q->anchor, 16));
}

/* A place before the anchor where a word begins. */
static size_t earlier(struct dice *d, const struct stub_question *q, size_t from)
{
	size_t back = 10 + dice_below(d, 200), at = from > back ? from - back : 0;

	while (at > 0 && (strchr(" \n", q->given.p[at - 1]) == NULL || is_like(q, at)))
		at--;
	return at;
}

/* The same text as a model says it that takes no care of quotes and spaces. */
static struct cn_view changed(struct cn_arena *a, struct dice *d, struct cn_view text)
{
	static const struct {
		const char *from, *to;
	} table[] = {
	    {"\xe2\x80\x9c", "\""}, {"\xe2\x80\x9d", "\""},
	    {"\xe2\x80\x99", "'"},  {"\xc2\xab", "\""},
	    {"\xc2\xa0", " "},      {"\"", "\xe2\x80\x9d"},
	    {"'", "\xe2\x80\x99"},  {"\n", " "},
	    {"\t", "  "},           {" ", "\n"},
	};
	CN_AUTO(cn_buf) b = {0};

	while (text.n) {
		size_t n = 1;

		while (n < text.n && !begins(text.p[n]))
			n++;
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			if (!cn_view_is(cn_view_cut(text, n), table[i].from) ||
			    dice_percent(d, 50))
				continue;
			cn_buf_add_str(&b, table[i].to);
			text = cn_view_from(text, n);
			n = 0;
			break;
		}
		cn_buf_add_view(&b, cn_view_cut(text, n));
		text = cn_view_from(text, n);
	}
	return cn_arena_view(a, cn_buf_view(&b));
}

static const char *introduction(struct dice *d)
{
	static const char *const said[] = {
	    "Continuing:\n\n",
	    "Continuing: ",
	    "Continuing from where I left off:\n",
	    "Sorry for the interruption.\n\n",
	    "Let me pick up where I was interrupted:\n\n",
	};

	return said[dice_below(d, sizeof(said) / sizeof(said[0]))];
}

/* ---- ways ---- */

/* The client has the rest of the part in a block of its own; text is all up to its end. */
static void split(struct cn_arena *a, const struct stub_question *q, size_t part,
                  struct cn_view text, struct answer *whole)
{
	const struct answer *from = q->whole;

	*whole = (struct answer){0};
	add_text(whole, q->given);
	add_text(whole, cn_arena_view(a, cn_view_from(text, q->given.n)));
	for (size_t i = part + 1; i < from->n && whole->n < ANSWER_PARTS_MAX; i++)
		whole->parts[whole->n++] = from->parts[i];
}

/*
 * All texts up to that part, each in a block of its own.  false: not so that it could be
 * told; one is too short, or reads like the last words and something new.
 */
static bool repeat_parts(const struct stub_question *q, size_t part, struct answer *said)
{
	for (size_t i = 0; i <= part; i++) {
		const struct answer_part *p = &q->whole->parts[i];

		if (p->type != CN_BLOCK_TEXT)
			continue;
		if (i < part && (cn_joint_trim(p->body).n < 60 ||
		                 cn_view_find(p->body, q->anchor, 0) != SIZE_MAX)) {
			said->n = 0;
			return false;
		}
		add_text(said, p->body);
	}
	return true;
}

/* Goes on with the answer itself: what it repeats, what is left of the text, and the rest.
 */
static void go_on(struct cn_arena *a, struct dice *d, const struct stub_question *q,
                  struct stub_reply *ret)
{
	size_t trim = cn_joint_trim(q->given).n, end, part, from = trim - q->anchor.n;
	CN_AUTO(cn_buf) all = {0}, b = {0};
	struct cn_view repeated;

	part = part_at(q->whole, q->given.n, &end);
	answer_text(q->whole, &all);
	if (q->how == CN_RESUME_PREFILL)
		from = trim;
	else if (q->way == STUB_LONGER)
		from = earlier(d, q, from);
	if (q->way == STUB_RESTART)
		from = 0;
	if (q->how == CN_RESUME_ASKED && q->way == STUB_INTRO)
		cn_buf_add_str(&b, introduction(d));
	repeated = cn_view_cut(cn_view_from(q->given, from), trim - from);
	cn_buf_add_view(&b, q->way == STUB_QUOTES ? changed(a, d, repeated) : repeated);
	cn_buf_add_view(&b, cn_view_cut(cn_view_from(cn_buf_view(&all), trim), end - trim));
	if (q->way != STUB_RESTART || q->how == CN_RESUME_PREFILL || dice_percent(d, 50) ||
	    !repeat_parts(q, part, &ret->said))
		add_text(&ret->said, cn_arena_view(a, cn_buf_view(&b)));
	for (size_t i = part + 1; i < q->whole->n; i++)
		ret->said.parts[ret->said.n++] = q->whole->parts[i];
	ret->whole = *q->whole;
	if (q->closed && q->given.n < end)
		split(a, q, part, cn_view_cut(cn_buf_view(&all), end), &ret->whole);
	if (q->how != CN_RESUME_PREFILL) {
		ret->exact = from == trim - q->anchor.n || !is_like(q, from);
		return;
	}
	/*
	 * A short echo is not told from a text that begins like its beginning, and with
	 * nothing left of this text the next may be taken for its end.
	 */
	if ((from < trim && trim < 60) || b.n == 0)
		ret->exact = false;
}

/* The answer from its first word, as if nothing had been. */
static void say_all(const struct stub_question *q, struct stub_reply *ret)
{
	ret->said = *q->whole;
	ret->whole = *q->whole;
}

/* A text that has nothing to do with it. */
static void digress(struct cn_arena *a, struct dice *d, const struct stub_question *q,
                    struct stub_reply *ret)
{
	CN_AUTO(cn_buf) b = {0};
	size_t breaks = 0;

	cn_buf_add_str(&b, "Zebras");
	cn_buf_add_view(&b, answer_make_more(a, d));
	add_text(&ret->said, cn_arena_view(a, cn_buf_view(&b)));
	ret->whole = ret->said;
	if (q->given.n == 0 || q->how == CN_RESUME_ANEW)
		return;
	/* Then the client has it as a paragraph of its own. */
	cn_buf_clear(&b);
	if (!q->closed)
		cn_buf_add_view(&b, q->given);
	if (q->how == CN_RESUME_ASKED && q->asked) {
		for (size_t i = cn_joint_trim(q->given).n; i < q->given.n; i++)
			breaks += q->given.p[i] == '\n';
		for (; breaks < 2; breaks++)
			cn_buf_add_char(&b, '\n');
	}
	cn_buf_add_view(&b, behind_spaces(q->given, ret->said.parts[0].body));
	ret->whole.parts[0].body = cn_arena_view(a, cn_buf_view(&b));
}

/* The text that the client has stands before what whole begins with. */
static void put_given_first(struct cn_arena *a, struct cn_view given, struct answer *whole)
{
	cn_assert(whole->n < ANSWER_PARTS_MAX);
	memmove(whole->parts + 1, whole->parts, whole->n * sizeof(whole->parts[0]));
	whole->n++;
	whole->parts[0] =
	    (struct answer_part){.type = CN_BLOCK_TEXT, .body = cn_arena_view(a, given)};
}

void stub_reply(struct cn_arena *a, struct dice *d, const struct stub_question *q,
                struct stub_reply *ret)
{
	bool calls = false, anew = q->how == CN_RESUME_ANEW || !q->asked;

	*ret = (struct stub_reply){.exact = true};
	/* A prefill has no anchor: there are fewer ways. */
	if (q->way == STUB_IGNORES) {
		digress(a, d, q, ret);
		if (q->given.n && (q->closed || q->how == CN_RESUME_ANEW))
			put_given_first(a, q->given, &ret->whole);
	} else if (q->way == STUB_CALLS) {
		answer_make_call(a, d, &ret->said);
		ret->whole = ret->said;
		if (q->given.n)
			put_given_first(a, q->given, &ret->whole);
	} else if (anew) {
		say_all(q, ret);
		/* White space alone, perhaps in several blocks: more may come. */
		ret->exact = q->how == CN_RESUME_ANEW || q->given.n == 0;
		if (q->given.n && q->how == CN_RESUME_ANEW)
			put_given_first(a, q->given, &ret->whole);
	} else {
		go_on(a, d, q, ret);
	}
	for (size_t i = 0; i < ret->said.n; i++)
		calls |= ret->said.parts[i].type == CN_BLOCK_TOOL_USE;
	if (!anew && !calls && dice_percent(d, 15) && ret->said.n < ANSWER_PARTS_MAX) {
		memmove(ret->said.parts + 1, ret->said.parts,
		        ret->said.n * sizeof(ret->said.parts[0]));
		ret->said.n++;
		ret->said.parts[0] = (struct answer_part){.type = CN_BLOCK_THINKING,
		                                          .body = CN_VIEW("Where was I?")};
	}
	ret->said.stop_reason = calls                ? CN_VIEW("tool_use")
	                        : dice_percent(d, 5) ? CN_VIEW("max_tokens")
	                                             : CN_VIEW("end_turn");
	ret->said.input = 1 + dice_below(d, 3000);
	ret->said.output = 1 + dice_below(d, 3000);
}
