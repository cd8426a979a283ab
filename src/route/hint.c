/*
 * What an error tells besides its class: how long to wait, how many tokens a window or an
 * answer may have, which field is not wanted.
 *
 * Owns nothing; any thread.  Everything here is a guess at somebody else's prose, so each
 * result can be "nothing", values out of range count as nothing, and no result is longer
 * than a day.
 */
#include <ctype.h>
#include <time.h>

#include "continuo/clock.h"
#include "route_impl.h"

#define MIN_WINDOW 256u /* tokens; smaller figures in a text are something else */

/* ---- time ---- */

static uint64_t capped(uint64_t ms)
{
	return ms > CN_DAY_MS ? CN_DAY_MS : ms;
}

static uint64_t until(uint64_t when_ms, uint64_t wall_ms)
{
	return when_ms > wall_ms ? capped(when_ms - wall_ms) : 0;
}

static struct cn_view skip(struct cn_view v, const char *bytes)
{
	while (v.n && strchr(bytes, v.p[0]))
		v = cn_view_from(v, 1);
	return v;
}

/* "12" or "1.898" in thousandths; moves *v behind it; false without a digit. */
static bool read_milli(struct cn_view *v, uint64_t *ret)
{
	uint64_t n = 0, scale = 100;
	struct cn_view at = *v;

	if (!at.n || !isdigit((unsigned char)at.p[0]))
		return false;
	for (; at.n && isdigit((unsigned char)at.p[0]); at = cn_view_from(at, 1)) {
		if (n < UINT64_C(1000000000000000))
			n = n * 10 + (uint64_t)(at.p[0] - '0');
	}
	n *= 1000;
	if (at.n > 1 && at.p[0] == '.' && isdigit((unsigned char)at.p[1])) {
		for (at = cn_view_from(at, 1); at.n && isdigit((unsigned char)at.p[0]);
		     at = cn_view_from(at, 1), scale /= 10)
			n += (uint64_t)(at.p[0] - '0') * scale;
	}
	*v = at;
	*ret = n;
	return true;
}

/* A unit as milliseconds; moves *v behind its whole word; 0: no unit there. */
static uint64_t read_unit(struct cn_view *v)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
	    {"ms", 1},        {"milliseconds", 1}, {"s", 1000},        {"sec", 1000},
	    {"secs", 1000},   {"second", 1000},    {"seconds", 1000},  {"m", 60000},
	    {"min", 60000},   {"mins", 60000},     {"minute", 60000},  {"minutes", 60000},
	    {"h", 3600000},   {"hr", 3600000},     {"hour", 3600000},  {"hours", 3600000},
	    {"d", CN_DAY_MS}, {"day", CN_DAY_MS},  {"days", CN_DAY_MS}};
	struct cn_view at = skip(*v, " "), word;
	size_t n = 0;

	while (n < at.n && isalpha((unsigned char)at.p[n]))
		n++;
	word = cn_view_cut(at, n);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (cn_view_eq_nocase(word, cn_view_str(units[i].name))) {
			*v = cn_view_from(at, n);
			return units[i].ms;
		}
	}
	return 0;
}

/* "12s", "6m0s", "2h3m4.5s", "34 seconds", "1 hour 5 minutes"; bare figures are seconds. */
static uint64_t read_duration(struct cn_view v, bool *retunit)
{
	uint64_t total = 0, n, unit;

	*retunit = false;
	while (read_milli(&v, &n)) {
		unit = read_unit(&v);
		if (unit == 0)
			return *retunit ? capped(total) : capped(n);
		*retunit = true;
		/* n counts thousandths; the cap keeps the product in range. */
		total += capped(n / 1000 > CN_DAY_MS / unit ? CN_DAY_MS : n * unit / 1000);
		v = skip(v, " ");
	}
	return capped(total);
}

static bool read_digits(struct cn_view *v, size_t n, int *ret)
{
	*ret = 0;
	if (v->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)v->p[i]))
			return false;
		*ret = *ret * 10 + (v->p[i] - '0');
	}
	*v = cn_view_from(*v, n);
	return true;
}

static bool read_char(struct cn_view *v, const char *any)
{
	if (!v->n || !strchr(any, v->p[0]))
		return false;
	*v = cn_view_from(*v, 1);
	return true;
}

/* "+08:00", "Z", " UTC": milliseconds to take off; without one the caller's. */
static int64_t read_zone(struct cn_view v, uint64_t utc_offset_ms)
{
	int hours = 0, minutes = 0, sign;

	v = skip(v, " ");
	if (v.n && (v.p[0] == '+' || v.p[0] == '-')) {
		sign = v.p[0] == '+' ? 1 : -1;
		v = cn_view_from(v, 1);
		if (read_digits(&v, 2, &hours)) {
			(void)read_char(&v, ":"); /* "+0800" has none */
			if (!read_digits(&v, 2, &minutes))
				minutes = 0;
			return (int64_t)sign * (hours * 60 + minutes) * 60000;
		}
	}
	if (v.n && (v.p[0] == 'z' || v.p[0] == 'Z' || v.p[0] == 'u' || v.p[0] == 'U' ||
	            v.p[0] == 'g' || v.p[0] == 'G'))
		return 0;
	return (int64_t)utc_offset_ms;
}

/* "2026-12-01[T ][at ]18:00[:00[.5]][zone]", or the day alone; Unix milliseconds; 0: none.
 */
static uint64_t read_date(struct cn_view v, uint64_t utc_offset_ms)
{
	struct tm tm = {0};
	time_t t;
	int64_t ms;
	int n;

	if (!read_digits(&v, 4, &tm.tm_year) || !read_char(&v, "-/") ||
	    !read_digits(&v, 2, &tm.tm_mon) || !read_char(&v, "-/") ||
	    !read_digits(&v, 2, &tm.tm_mday))
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	v = skip(v, " tTa,");
	if (read_digits(&v, 2, &tm.tm_hour) && read_char(&v, ":") &&
	    read_digits(&v, 2, &tm.tm_min) && read_char(&v, ":") &&
	    read_digits(&v, 2, &tm.tm_sec) && read_char(&v, ".")) {
		while (read_digits(&v, 1, &n))
			continue;
	}
	t = timegm(&tm);
	if (t <= 0)
		return 0;
	ms = (int64_t)t * 1000 - read_zone(v, utc_offset_ms);
	return ms > 0 ? (uint64_t)ms : 0;
}

/* What stands after a phrase that announces a time. */
static uint64_t read_announced(struct cn_view v, uint64_t wall_ms, uint64_t utc_offset_ms)
{
	uint64_t n, when;
	bool unit;

	v = skip(v, " :=\"'`\\~");
	when = read_date(v, utc_offset_ms);
	if (when)
		return until(when, wall_ms);
	n = read_duration(v, &unit);
	/* Ten digits without a unit are a Unix time. */
	if (!unit && v.n >= 10 && isdigit((unsigned char)v.p[9])) {
		struct cn_view digits = cn_view_cut(v, 10);

		return cn_view_u64(digits, &n) ? until(n * 1000, wall_ms) : 0;
	}
	return n;
}

uint64_t cn_hint__wait_text(struct cn_view text, uint64_t wall_ms, uint64_t utc_offset_ms)
{
	static const char *const phrases[] = {
	    "try again in", "try again after",  "try again at", "retrydelay",
	    "retry in",     "retry after",      "retry_after",  "resets in",
	    "resets at",    "reset at",         "reset after",  "reset in",
	    "resets on",    "regain access on", "available in", "please wait",
	    "wait for",     "wait until"};
	uint64_t ms;

	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		struct cn_view phrase = cn_view_str(phrases[i]);
		size_t at = cn_view_find_nocase(text, phrase);

		if (at == SIZE_MAX)
			continue;
		ms = read_announced(cn_view_from(text, at + phrase.n), wall_ms,
		                    utc_offset_ms);
		if (ms)
			return ms;
	}
	return 0;
}

uint64_t cn_hint__retry_after(struct cn_view value, uint64_t wall_ms)
{
	struct cn_view v = cn_view_trim(value), rest = v;
	uint64_t n;

	if (read_milli(&rest, &n) && rest.n == 0)
		return capped(n);
	if (cn_clock_parse(v, &n))
		return until(n, wall_ms);
	return 0;
}

uint64_t cn_hint__retry_after_ms(struct cn_view value)
{
	struct cn_view rest = cn_view_trim(value);
	uint64_t n;

	return read_milli(&rest, &n) && rest.n == 0 ? capped((n + 999) / 1000) : 0;
}

uint64_t cn_hint__reset(struct cn_view value, uint64_t wall_ms)
{
	struct cn_view v = cn_view_trim(value), rest = v;
	uint64_t n, ms;
	bool unit;

	if (read_milli(&rest, &n) && rest.n == 0) {
		/* By size: milliseconds or seconds since 1970, or seconds to wait. */
		if (n / 1000 > UINT64_C(1000000000000))
			return until(n / 1000, wall_ms);
		if (n / 1000 > UINT64_C(1000000000))
			return until(n, wall_ms);
		return capped(n);
	}
	if (memchr(v.p ? v.p : "", 'T', v.n) && cn_clock_parse(v, &n))
		return until(n, wall_ms);
	ms = read_duration(v, &unit);
	return unit ? ms : 0;
}

/* ---- numbers ---- */

struct number_row {
	const char *pattern;
	size_t at; /* which of the numbers */
};

static uint64_t find_number(const struct number_row *rows, size_t n, struct cn_view text)
{
	struct cn_numbers numbers;

	for (size_t i = 0; i < n; i++) {
		if (cn_pattern__match(rows[i].pattern, text, &numbers) &&
		    numbers.n > rows[i].at && numbers.v[rows[i].at] >= MIN_WINDOW)
			return numbers.v[rows[i].at];
	}
	return 0;
}

uint64_t cn_hint__ceiling(struct cn_view text)
{
	static const struct number_row rows[] = {
	    {"max_tokens: # > #", 1},
	    {"valid range of max_tokens is ?#, #?", 1},
	    {"range of max_tokens should be ?#, #?", 1},
	    {"should be ?#, #?", 1},
	    {"should be ?#,#?", 1},
	    {"supports at most #", 0},
	    {"at most #", 0},
	    {"less than or equal to ~#", 0},
	    {"must be less than ~#", 0},
	    {"must be <= #", 0},
	    {"must be < #", 0},
	    {"exceeds the model limit of #", 0},
	    {"maximum allowed~#", 0},
	    {"range~?#, #?", 1},
	};

	return find_number(rows, sizeof(rows) / sizeof(rows[0]), text);
}

/* Texts that give the prompt's own size as well: which number is what. */
static const struct {
	const char *pattern;
	size_t prompt, window;
} both_sizes[] = {
    {"exceed context limit: # + # > #", 0, 2},
    {"maximum context length is # tokens*(# in the messages, # in the completion)", 1, 0},
    {"maximum context length is # tokens and your request has # input tokens", 1, 0},
};

uint64_t cn_hint__window(struct cn_view text, uint64_t *retfit)
{
	static const struct number_row rows[] = {
	    {"# tokens > # maximum", 1},
	    {"maximum context length is #", 0},
	    {"maximum prompt length is #", 0},
	    {"available context size (# tokens)", 0},
	    {"exceeds the limit of #", 0},
	    {"maximum number of tokens allowed (#)", 0},
	    {"range of input length should be ?#, #?", 1},
	    {"exceeded model token limit~#", 0},
	    {"with # maximum context length", 0},
	    {"max_new_tokens~must be <= #", 0},
	    {"maximum prompt length of #", 0},
	    {"context window of # tokens", 0},
	};
	struct cn_numbers n;

	*retfit = 0;
	for (size_t i = 0; i < sizeof(both_sizes) / sizeof(both_sizes[0]); i++) {
		uint64_t prompt, window;

		if (!cn_pattern__match(both_sizes[i].pattern, text, &n))
			continue;
		prompt = n.v[both_sizes[i].prompt];
		window = n.v[both_sizes[i].window];
		if (window > prompt && window - prompt > CN_FIT_MIN_TOKENS)
			*retfit = window - prompt - 1;
		return window;
	}
	return find_number(rows, sizeof(rows) / sizeof(rows[0]), text);
}

bool cn_hint__over_limit(struct cn_view text)
{
	struct cn_numbers n;

	return cn_pattern__match("limit~#*requested~#", text, &n) && n.n > 1 &&
	       n.v[1] > n.v[0];
}

/* ---- fields ---- */

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.' || c == '[' ||
	       c == ']';
}

/* The name that ends right before at, or starts there. */
static struct cn_view name_before(struct cn_view v, size_t at)
{
	size_t from = at;

	while (from > 0 && is_name(v.p[from - 1]))
		from--;
	return cn_view(v.p + from, at - from);
}

static struct cn_view name_at(struct cn_view v, size_t at)
{
	size_t n = 0;

	while (at + n < v.n && is_name(v.p[at + n]))
		n++;
	while (n && v.p[at + n - 1] == '.')
		n--;
	return cn_view(v.p + at, n);
}

static struct cn_view first_quoted(struct cn_view v)
{
	for (size_t i = 0; i + 1 < v.n; i++) {
		struct cn_view name;

		if (!strchr("'`\"", v.p[i]))
			continue;
		name = name_at(v, i + 1);
		if (name.n && i + 1 + name.n < v.n && v.p[i + 1 + name.n] == v.p[i])
			return name;
	}
	return (struct cn_view){NULL, 0};
}

static struct cn_view named_in(struct cn_view m)
{
	static const char *const before[] = {": extra inputs", ": field not supported"};
	static const char *const after[] = {
	    "argument supplied: ", "unknown field: ", "unknown field ",
	    "unsupported parameter: ", "unknown parameter: "};
	struct cn_view name;

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		size_t at = cn_view_find_nocase(m, cn_view_str(before[i]));

		if (at != SIZE_MAX)
			return name_before(m, at);
	}
	name = first_quoted(m);
	for (size_t i = 0; name.n == 0 && i < sizeof(after) / sizeof(after[0]); i++) {
		size_t at = cn_view_find_nocase(m, cn_view_str(after[i]));

		if (at != SIZE_MAX)
			name = name_at(m, at + strlen(after[i]));
	}
	return name;
}

struct cn_view cn_hint__field(const struct cn_complaint *c)
{
	static const char *const needed[] = {"model",  "messages",   "tools",
	                                     "system", "max_tokens", "stream"};
	struct cn_view name = c->param, none = {NULL, 0};
	size_t n = 0;

	if (cn_pattern__match("invalid beta|anthropic-beta", c->text, NULL)) {
		name = first_quoted(c->message);
		if (name.n == 0 || cn_view_is(name, "anthropic-beta"))
			return CN_VIEW("anthropic-beta");
		return name;
	}
	if (name.n == 0)
		name = named_in(c->message);
	/* A part of a member goes with the whole of it, unless the request is nothing
	 * without. */
	while (n < name.n && name.p[n] != '.' && name.p[n] != '[')
		n++;
	name = cn_view_cut(name, n);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (cn_view_is(name, needed[i]))
			return none;
	}
	return name;
}
