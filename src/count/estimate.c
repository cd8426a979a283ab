/*
 * The estimate of input tokens: one pass over the bytes of system, messages and tools that
 * weighs what strings are made of.  Holds no state; any thread.
 *
 * Deliberately no tokenizer: vendors do not publish theirs, and a table of one would be a
 * megabyte for the last tenth.  Text longer than SAMPLED is weighed in windows, so that the
 * cost is that of finding the strings' ends.
 *
 * Measured (2026-11): the API's own count_tokens, three requests: 16 for 14, 46 for 43 and
 * 538 for 671 (tools with a forced choice).  Recorded requests against what was billed,
 * models up to 4.6: 9 of 10 of over 1000 tokens within 25 %, all above; 11 of 19 of 300 to
 * 1000, where the text that the API adds for tools dominates and differs by model.  The
 * tokenizer since 4.7 makes about a third more of the same text: 16 to 39 % below.  Cost:
 * 0.05 to 0.8 µs a KB.
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

struct scan {
	const char *at, *end;
	struct cn_view key;  /* raw; the member being read */
	struct cn_view type; /* the last value of a "type" */
	uint64_t weight, messages;
};

static bool is_letter(unsigned char c)
{
	return (unsigned char)((c | 0x20) - 'a') < 26;
}

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* One step of a raw JSON string: what stands for the character at p, and its length there.
 */
static size_t unescape(const char *p, size_t have, unsigned char *ret)
{
	*ret = (unsigned char)p[0];
	if (p[0] != '\\' || have < 2)
		return 1;
	switch (p[1]) {
	case 'n':
	case 'r':
	case 't':
		*ret = '\n';
		return 2;
	case 'u':
		*ret = 0xff; /* mostly a character outside ASCII */
		return have < 6 ? have : 6;
	default:
		*ret = (unsigned char)p[1];
		return 2;
	}
}

/* before: the byte in front of v, 0 at the start of a string. */
static uint64_t weigh_bytes(struct cn_view v, unsigned char before)
{
	uint64_t weight = 0;
	unsigned char c;
	for (size_t i = 0; i < v.n; before = c) {
		i += unescape(v.p + i, v.n - i, &c);
		if (is_letter(c))
			weight += is_letter(before) ? OF_LETTER : OF_WORD;
		else if (is_space(c))
			weight += c != ' ' || is_space(before) ? OF_SPACE : 0;
		else if (c >= '0' && c <= '9')
			weight += OF_DIGIT;
		else
			weight += c < 0x80 ? OF_MARK : OF_HIGH_BYTE;
	}
	return weight;
}

static uint64_t weigh_text(struct cn_view v)
{
	if (v.n <= SAMPLED)
		return weigh_bytes(v, 0);
	const size_t window = SAMPLED / WINDOWS;
	uint64_t weight = 0;
	for (size_t i = 0; i < WINDOWS; i++) {
		size_t at = (v.n - window) / (WINDOWS - 1) * i;
		weight += weigh_bytes(cn_view(v.p + at, window),
		                      at ? (unsigned char)v.p[at - 1] : 0);
	}
	return weight * (v.n / 64) / (SAMPLED / 64);
}

/* Names that belong to the API's own structure cost nothing by themselves. */
static bool is_structure(struct cn_view key)
{
	static const char *const names[] = {
	    "cache_control", "citations", "content",     "data",         "description",
	    "file_id",       "id",        "input",       "input_schema", "media_type",
	    "name",          "role",      "signature",   "source",       "text",
	    "thinking",      "title",     "tool_use_id", "ttl",          "type",
	    "url",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (cn_view_is(key, names[i]))
			return true;
	return false;
}

static bool is_free(struct cn_view key)
{
	static const char *const names[] = {
	    "id", "media_type", "role", "signature", "tool_use_id", "ttl", "type"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (cn_view_is(key, names[i]))
			return true;
	return false;
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

static uint64_t weigh_value(const struct scan *s, struct cn_view v)
{
	if (is_free(s->key))
		return 0;
	if (cn_view_is(s->key, "data") && is_base64(v)) {
		if (cn_view_is(s->type, "redacted_thinking"))
			return v.n * OF_HIDDEN_BYTE;
		/* "%PDF-" in base64.  A page is some 50 KB of it at the least. */
		if (cn_view_starts(v, CN_VIEW("JVBERi0")))
			return OF_PDF * (1 + (uint64_t)v.n / 65536);
		return OF_IMAGE;
	}
	if (cn_view_is(s->key, "file_id") ||
	    (cn_view_is(s->key, "url") && cn_view_is(s->type, "url")))
		return OF_IMAGE;
	return weigh_text(v);
}

/* The raw string whose opening quote is behind s->at; s->at moves behind its end. */
static struct cn_view take_string(struct scan *s)
{
	const char *start = s->at, *p = start;
	while (p < s->end && (p = memchr(p, '"', (size_t)(s->end - p)))) {
		size_t slashes = 0;
		while (p - slashes > start && p[-1 - (ptrdiff_t)slashes] == '\\')
			slashes++;
		if (slashes % 2 == 0) {
			s->at = p + 1;
			return cn_view(start, (size_t)(p - start));
		}
		p++;
	}
	s->at = s->end; /* not closed: the request was never checked */
	return cn_view(start, (size_t)(s->end - start));
}

static void scan_string(struct scan *s)
{
	struct cn_view v = take_string(s);
	while (s->at < s->end && is_space((unsigned char)*s->at))
		s->at++;
	if (s->at < s->end && *s->at == ':') {
		s->key = v;
		if (!is_structure(v))
			s->weight += OF_KEY + weigh_text(v);
		return;
	}
	if (cn_view_is(s->key, "type"))
		s->type = v;
	if (cn_view_is(s->key, "role"))
		s->messages++;
	s->weight += weigh_value(s, v);
}

static struct scan scan_json(struct cn_json v)
{
	struct scan s = {.at = v.raw.p, .end = cn_view_from(v.raw, v.raw.n).p};
	while (s.at < s.end) {
		unsigned char c = (unsigned char)*s.at++;
		if (c == '"') {
			scan_string(&s);
		} else if (is_letter(c) || c == '-' || (c >= '0' && c <= '9')) {
			s.weight += OF_SCALAR;
			while (s.at < s.end && !strchr(",]} \n\t\r", *s.at))
				s.at++;
		}
	}
	return s;
}

static uint64_t weigh_tools(const struct cn_request *r)
{
	if (r->n_tools == 0)
		return 0;
	uint64_t weight = OF_TOOLS + r->n_tools * OF_TOOL + scan_json(r->tools).weight;
	if (r->server_tools && cn_view_find(r->tools.raw, CN_VIEW("\"web_"), 0) != SIZE_MAX)
		weight += OF_WEB_TOOL;
	return weight;
}

uint64_t cn_estimate_request(const struct cn_request *r)
{
	struct scan messages = scan_json(r->messages);
	uint64_t weight = OF_REQUEST + weigh_tools(r);
	weight += scan_json(r->system).weight + messages.weight;
	if (messages.messages > 1)
		weight += (messages.messages - 1) * OF_MESSAGE;
	if (r->thinking)
		weight += OF_THINKING;
	return weight / 1000;
}
