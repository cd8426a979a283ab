/*
 * The estimate of input tokens: it listens while a request is read and weighs what the
 * strings of system, messages and tools are made of.  Holds no state of its own; any
 * thread.
 *
 * Deliberately no tokenizer: vendors do not publish theirs, and a table of one would be a
 * megabyte for the last tenth.  Text longer than SAMPLED is weighed in windows, so that it
 * costs no more than short text does.
 *
 * Measured (2026-11): the API's own count_tokens, three requests: 16 for 14, 46 for 43 and
 * 538 for 671 (tools with a forced choice).  Recorded requests against what was billed,
 * models up to 4.6: 9 of 10 of over 1000 tokens within 25 %, all above; 11 of 19 of 300 to
 * 1000, where the text that the API adds for tools dominates and differs by model.  The
 * tokenizer since 4.7 makes about a third more of the same text: 16 to 39 % below.  Cost:
 * tests/bench/body.
 */
#include "continuo/estimate.h"

#define SAMPLED     ((size_t)256) /* longer strings are weighed in WINDOWS pieces of these */
#define WINDOWS     ((size_t)4)
#define MEDIA_LEAST ((size_t)256) /* base64 shorter than that is taken for text */

/* All in thousandths of a token.  The weights of text are fitted to the recordings named
 * above, then raised by a seventh: too high costs a larger model, too low a refusal. */
#define OF_REQUEST     8000   /* what surrounds one message */
#define OF_MESSAGE     4000   /* each further one */
#define OF_TOOLS       450000 /* the text that the API adds when there are tools */
#define OF_TOOL        15000
#define OF_WEB_TOOL    1700000 /* a web tool's own instructions */
#define OF_THINKING    30000
#define OF_KEY         1500 /* colon, quotes and comma of a member in a schema or input */
#define OF_SCALAR      1000
#define OF_IMAGE       1500000 /* the most that one costs, nearly: 1568 */
#define OF_PDF         3000000 /* one page of text and picture */
#define OF_WORD        1100    /* a run of letters … */
#define OF_LETTER      55      /* … and each letter after its first */
#define OF_DIGIT       700
#define OF_MARK        750 /* punctuation */
#define OF_SPACE       450 /* line ends, and spaces after spaces */
#define OF_HIGH_BYTE   420 /* of a character outside ASCII */
#define OF_HIDDEN_BYTE 200 /* of redacted thinking: base64 of ciphertext */

/* What a byte is for the weight; a backslash begins an escape. */
enum cn_byte_class {
	CN_LETTER,
	CN_DIGIT,
	CN_SPACE,
	CN_BREAK, /* other white space */
	CN_MARK,
	CN_HIGH,
	CN_BACKSLASH,
};

static enum cn_byte_class class_of(unsigned char c)
{
	/* Of ASCII, in order. */
	static const unsigned char ascii[] =
	    "44444444433443444444444444444444" /* control bytes, of which three are breaks
	                                        */
	    "24444444444444441111111111444444"
	    "40000000000000000000000000046444"
	    "40000000000000000000000000044444";

	return c < 0x80 ? (enum cn_byte_class)(ascii[c] - '0') : CN_HIGH;
}

static bool is_letter(unsigned char c)
{
	return class_of(c) == CN_LETTER;
}

/* One escape at p, of which have bytes are there: what it stands for, and its length. */
static size_t unescape(const char *p, size_t have, enum cn_byte_class *ret)
{
	*ret = CN_MARK;
	if (have < 2)
		return 1;
	switch (p[1]) {
	case 'n':
	case 'r':
	case 't':
		*ret = CN_BREAK;
		return 2;
	case 'u':
		*ret = CN_HIGH; /* mostly a character outside ASCII */
		return have < 6 ? have : 6;
	default:
		*ret = p[1] == '\\' ? CN_MARK : class_of((unsigned char)p[1]);
		return 2;
	}
}

/* before: what stands in front of v. */
static uint64_t weigh_bytes(struct cn_view v, enum cn_byte_class before)
{
	/* By what stood before, then by what stands here. */
	static const unsigned short weights[][CN_HIGH + 1] = {
	    [CN_LETTER] = {OF_LETTER, OF_DIGIT, 0, OF_SPACE, OF_MARK, OF_HIGH_BYTE},
	    [CN_DIGIT] = {OF_WORD, OF_DIGIT, 0, OF_SPACE, OF_MARK, OF_HIGH_BYTE},
	    [CN_SPACE] = {OF_WORD, OF_DIGIT, OF_SPACE, OF_SPACE, OF_MARK, OF_HIGH_BYTE},
	    [CN_BREAK] = {OF_WORD, OF_DIGIT, OF_SPACE, OF_SPACE, OF_MARK, OF_HIGH_BYTE},
	    [CN_MARK] = {OF_WORD, OF_DIGIT, 0, OF_SPACE, OF_MARK, OF_HIGH_BYTE},
	    [CN_HIGH] = {OF_WORD, OF_DIGIT, 0, OF_SPACE, OF_MARK, OF_HIGH_BYTE},
	    [CN_BACKSLASH] = {OF_WORD, OF_DIGIT, 0, OF_SPACE, OF_MARK, OF_HIGH_BYTE},
	};
	uint64_t weight = 0;
	size_t i = 0;

	while (i < v.n) {
		enum cn_byte_class here = class_of((unsigned char)v.p[i]);

		if (here == CN_BACKSLASH)
			i += unescape(v.p + i, v.n - i, &here);
		else
			i++;
		weight += weights[before][here];
		before = here;
	}
	return weight;
}

static uint64_t weigh_text(struct cn_view v)
{
	if (v.n <= SAMPLED)
		return weigh_bytes(v, CN_MARK);
	const size_t window = SAMPLED / WINDOWS;
	uint64_t weight = 0;
	for (size_t i = 0; i < WINDOWS; i++) {
		size_t at = (v.n - window) / (WINDOWS - 1) * i;
		weight += weigh_bytes(cn_view(v.p + at, window),
		                      at ? class_of((unsigned char)v.p[at - 1]) : CN_MARK);
	}
	return weight * (v.n / 64) / (SAMPLED / 64);
}

/* Names are short: a call would cost more than the loop. */
static inline bool is_name(struct cn_view key, struct cn_view name)
{
	size_t i = 0;

	if (key.n != name.n)
		return false;
	while (i < name.n && key.p[i] == name.p[i])
		i++;
	return i == name.n;
}

static bool is_one_of(struct cn_view key, const struct cn_view *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_name(key, names[i]))
			return true;
	return false;
}

#define NAME(lit)                       \
	{                               \
		"" lit, sizeof(lit) - 1 \
	}

/* Names that belong to the API's own structure cost nothing by themselves. */
static bool is_structure(struct cn_view key)
{
	static const struct cn_view names[] = {
	    NAME("type"),       NAME("text"),         NAME("content"),
	    NAME("role"),       NAME("id"),           NAME("name"),
	    NAME("input"),      NAME("description"),  NAME("tool_use_id"),
	    NAME("thinking"),   NAME("signature"),    NAME("cache_control"),
	    NAME("data"),       NAME("input_schema"), NAME("source"),
	    NAME("media_type"), NAME("file_id"),      NAME("title"),
	    NAME("ttl"),        NAME("url"),          NAME("citations"),
	};

	return is_one_of(key, names, sizeof(names) / sizeof(*names));
}

static bool is_free(struct cn_view key)
{
	static const struct cn_view names[] = {
	    NAME("type"),      NAME("id"),         NAME("role"), NAME("tool_use_id"),
	    NAME("signature"), NAME("media_type"), NAME("ttl"),
	};

	return is_one_of(key, names, sizeof(names) / sizeof(*names));
}

static bool is_base64(struct cn_view v)
{
	if (v.n < MEDIA_LEAST)
		return false;
	for (size_t i = 0; i < MEDIA_LEAST; i++) {
		unsigned char c = (unsigned char)v.p[i];
		/* JSON may write "/" as "\/" */
		if (!is_letter(c) && !(c >= '0' && c <= '9') && !strchr("+/=-_\\", c))
			return false;
	}
	return true;
}

static uint64_t weigh_value(const struct cn_estimate *s, struct cn_view v)
{
	if (is_free(s->key))
		return 0;
	if (is_name(s->key, CN_VIEW("data")) && is_base64(v)) {
		if (is_name(s->type, CN_VIEW("redacted_thinking")))
			return v.n * OF_HIDDEN_BYTE;
		/* "%PDF-" in base64.  A page is some 50 KB of it at the least. */
		if (cn_view_starts(v, CN_VIEW("JVBERi0")))
			return OF_PDF * (1 + (uint64_t)v.n / 65536);
		return OF_IMAGE;
	}
	if (is_name(s->key, CN_VIEW("file_id")) ||
	    (is_name(s->key, CN_VIEW("url")) && is_name(s->type, CN_VIEW("url"))))
		return OF_IMAGE;
	return weigh_text(v);
}

/* What costs one model much and the next nothing: pictures, pages, thinking of before. */
static bool is_soft(const struct cn_estimate *s, struct cn_view v)
{
	return is_name(s->key, CN_VIEW("thinking")) ||
	       is_name(s->key, CN_VIEW("file_id")) || is_name(s->key, CN_VIEW("url")) ||
	       (is_name(s->key, CN_VIEW("data")) && is_base64(v));
}

/* ---- what the ear hears ---- */

static void on_part(void *self, enum cn_request_part part)
{
	struct cn_estimate *e = self;

	e->key = e->type = (struct cn_view){NULL, 0};
	e->part = part;
	e->weight[part] = e->soft[part] = 0;
	if (part == CN_PART_MESSAGES)
		e->messages = 0;
}

static void on_key(void *self, struct cn_view raw)
{
	struct cn_estimate *e = self;

	e->key = raw;
	if (!is_structure(raw))
		e->weight[e->part] += OF_KEY + weigh_text(raw);
}

static void on_text(void *self, struct cn_view raw)
{
	struct cn_estimate *e = self;
	uint64_t weight;

	if (is_name(e->key, CN_VIEW("type")))
		e->type = raw;
	if (e->part == CN_PART_MESSAGES && is_name(e->key, CN_VIEW("role")))
		e->messages++;
	weight = weigh_value(e, raw);
	e->weight[e->part] += weight;
	if (is_soft(e, raw))
		e->soft[e->part] += weight;
}

static void on_scalar(void *self)
{
	struct cn_estimate *e = self;

	e->weight[e->part] += OF_SCALAR;
}

struct cn_request_ear cn_estimate_ear(struct cn_estimate *e)
{
	return (struct cn_request_ear){.on_part = on_part,
	                               .on_key = on_key,
	                               .on_text = on_text,
	                               .on_scalar = on_scalar,
	                               .self = e};
}

/* ---- the sum ---- */

static uint64_t weigh_tools(const struct cn_estimate *e, const struct cn_request *r)
{
	if (r->n_tools == 0)
		return 0;
	uint64_t weight = OF_TOOLS + r->n_tools * OF_TOOL + e->weight[CN_PART_TOOLS];
	if (r->server_tools && cn_view_find(r->tools.raw, CN_VIEW("\"web_"), 0) != SIZE_MAX)
		weight += OF_WEB_TOOL;
	return weight;
}

uint64_t cn_estimate_tokens(const struct cn_estimate *e, const struct cn_request *r)
{
	uint64_t weight = OF_REQUEST + weigh_tools(e, r);
	weight += e->weight[CN_PART_SYSTEM] + e->weight[CN_PART_MESSAGES];
	if (e->messages > 1)
		weight += (e->messages - 1) * OF_MESSAGE;
	if (r->thinking)
		weight += OF_THINKING;
	return weight / 1000;
}

/* The provider takes old results of calls out, or all of what was said before. */
static bool may_shrink(const struct cn_request *r)
{
	const struct cn_member *m = cn_request_member(r, "context_management");

	return m && (cn_view_find(m->value.raw, CN_VIEW("clear_tool"), 0) != SIZE_MAX ||
	             cn_view_find(m->value.raw, CN_VIEW("compact"), 0) != SIZE_MAX);
}

void cn_estimate_least(const struct cn_estimate *e, const struct cn_request *r,
                       uint64_t *retsystem, uint64_t *retrest)
{
	uint64_t rest = 0;

	*retsystem = (e->weight[CN_PART_SYSTEM] - e->soft[CN_PART_SYSTEM]) / 1000;
	if (!may_shrink(r))
		rest = e->weight[CN_PART_MESSAGES] - e->soft[CN_PART_MESSAGES];
	/* Deferred tools are read when they are searched for. */
	if (r->n_tools &&
	    cn_view_find(r->tools.raw, CN_VIEW("\"defer_loading\""), 0) == SIZE_MAX)
		rest += e->weight[CN_PART_TOOLS];
	*retrest = rest / 1000;
}
