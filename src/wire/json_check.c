/*
 * Whether bytes from a peer are one well-formed JSON value within our limits.
 *
 * One pass, no recursion, no memory: a stack of bits says whether each open level is an
 * object.  It runs on every request and every event before any parser.  A reader that needs
 * to know where it is steps into the outer levels itself (cn_wire__enter) and so needs no
 * second pass.  Pure.
 */
#include "wire_impl.h"

#include <string.h>

static bool fail(struct cn_wire__walk *w, const char *what)
{
	if (!w->wrong)
		w->wrong = what;
	return false;
}

static inline void skip_space(struct cn_wire__walk *w)
{
	while (w->p < w->end &&
	       (*w->p == ' ' || *w->p == '\n' || *w->p == '\r' || *w->p == '\t'))
		w->p++;
}

static bool digits(struct cn_wire__walk *w)
{
	const char *from = w->p;

	while (w->p < w->end && *w->p >= '0' && *w->p <= '9')
		w->p++;
	return w->p > from;
}

static bool check_number(struct cn_wire__walk *w)
{
	if (*w->p == '-')
		w->p++;
	if (w->p < w->end && *w->p == '0')
		w->p++;
	else if (!digits(w))
		return fail(w, "a number without digits");
	if (w->p < w->end && *w->p == '.') {
		w->p++;
		if (!digits(w))
			return fail(w, "a number that ends in a point");
	}
	if (w->p < w->end && (*w->p == 'e' || *w->p == 'E')) {
		w->p++;
		if (w->p < w->end && (*w->p == '+' || *w->p == '-'))
			w->p++;
		if (!digits(w))
			return fail(w, "a number without its exponent");
	}
	return true;
}

static bool check_word(struct cn_wire__walk *w, const char *word, size_t n)
{
	if ((size_t)(w->end - w->p) < n || memcmp(w->p, word, n) != 0)
		return fail(w, "neither a value nor its end");
	w->p += n;
	return true;
}

static bool check_text(struct cn_wire__walk *w)
{
	const char *from = w->p + 1;

	if (!cn_wire__check_string(w))
		return false;
	if (w->ear)
		w->ear->on_text(w->ear->self, cn_view(from, (size_t)(w->p - from) - 1));
	return true;
}

static bool check_scalar(struct cn_wire__walk *w)
{
	bool ok;

	switch (*w->p) {
	case '"':
		return check_text(w);
	case 't':
		ok = check_word(w, "true", 4);
		break;
	case 'f':
		ok = check_word(w, "false", 5);
		break;
	case 'n':
		ok = check_word(w, "null", 4);
		break;
	default:
		if (*w->p != '-' && (*w->p < '0' || *w->p > '9'))
			return fail(w, "neither a value nor its end");
		ok = check_number(w);
	}
	if (ok && w->ear)
		w->ear->on_scalar(w->ear->self);
	return ok;
}

static bool in_object(const struct cn_wire__walk *w)
{
	unsigned level = w->depth - 1;

	return w->object[level / 64] >> (level % 64) & 1;
}

static bool open_level(struct cn_wire__walk *w, bool object)
{
	uint64_t bit = (uint64_t)1 << (w->depth % 64);

	if (w->depth == CN_JSON_MAX_DEPTH)
		return fail(w, "nested deeper than 128 levels");
	if (object)
		w->object[w->depth / 64] |= bit;
	else
		w->object[w->depth / 64] &= ~bit;
	w->parts[w->depth++] = 0;
	w->p++;
	return true;
}

/* A key and its colon; p is behind them then. */
static bool check_key(struct cn_wire__walk *w, struct cn_view *ret)
{
	skip_space(w);
	if (w->p == w->end || *w->p != '"')
		return fail(w, "a key is missing");
	if (++w->parts[w->depth - 1] > CN_JSON_MAX_KEYS)
		return fail(w, "more than 10000 keys in an object");
	ret->p = w->p + 1;
	if (!cn_wire__check_string(w))
		return false;
	ret->n = (size_t)(w->p - ret->p) - 1;
	if (w->ear)
		w->ear->on_key(w->ear->self, *ret);
	skip_space(w);
	if (w->p == w->end || *w->p != ':')
		return fail(w, "a colon is missing");
	w->p++;
	return true;
}

/* After a value: commas and closing brackets up to the next value, or the end of the one
 * that began on the floor. */
static bool after_value(struct cn_wire__walk *w, bool *retmore)
{
	struct cn_view key;

	for (;;) {
		if (w->depth == w->floor) {
			*retmore = false;
			return true;
		}
		skip_space(w);
		if (w->p == w->end)
			return fail(w, "the text ends too early");
		if (*w->p == ',') {
			w->p++;
			*retmore = true;
			return in_object(w) ? check_key(w, &key) : true;
		}
		if (*w->p != (in_object(w) ? '}' : ']'))
			return fail(w, "a comma or a closing bracket is missing");
		w->p++;
		w->depth--;
	}
}

/* One value up to where it either ended or opened a level that is not empty. */
static bool check_value(struct cn_wire__walk *w, bool *retmore)
{
	struct cn_view key;
	bool object;

	skip_space(w);
	if (w->p == w->end)
		return fail(w, "the text ends too early");
	if (*w->p != '{' && *w->p != '[')
		return check_scalar(w) && after_value(w, retmore);
	object = *w->p == '{';
	if (!open_level(w, object))
		return false;
	skip_space(w);
	if (w->p < w->end && *w->p == (object ? '}' : ']')) {
		w->p++;
		w->depth--;
		return after_value(w, retmore);
	}
	*retmore = true;
	return object ? check_key(w, &key) : true;
}

void cn_wire__space(struct cn_wire__walk *w)
{
	skip_space(w);
}

bool cn_wire__value(struct cn_wire__walk *w, struct cn_json *ret)
{
	bool more = true, ok = !w->wrong;
	const char *from;

	w->floor = w->depth;
	skip_space(w);
	from = w->p;
	while (more && ok)
		ok = check_value(w, &more);
	if (!ok)
		return false;
	ret->raw = cn_view(from, (size_t)(w->p - from));
	ret->kind = cn_wire__kind(*from);
	return true;
}

bool cn_wire__enter(struct cn_wire__walk *w)
{
	return !w->wrong && open_level(w, *w->p == '{');
}

bool cn_wire__next(struct cn_wire__walk *w, struct cn_view *retkey)
{
	bool object;

	*retkey = (struct cn_view){NULL, 0};
	if (w->wrong)
		return false;
	object = in_object(w);
	skip_space(w);
	if (w->p == w->end)
		return fail(w, "the text ends too early");
	if (*w->p == (object ? '}' : ']')) {
		w->p++;
		w->depth--;
		return false;
	}
	if (w->parts[w->depth - 1] > 0) {
		if (*w->p != ',')
			return fail(w, "a comma or a closing bracket is missing");
		w->p++;
	}
	if (!object)
		w->parts[w->depth - 1]++;
	else if (!check_key(w, retkey))
		return false;
	skip_space(w);
	return w->p < w->end || fail(w, "the text ends too early");
}

int cn_wire__finish(struct cn_wire__walk *w, struct cn_view text, struct cn_error *reterr)
{
	if (!w->wrong) {
		skip_space(w);
		if (w->p == w->end)
			return 0;
		(void)fail(w, "something follows the value");
	}
	return cn_fail(reterr, CN_E_INVALID, "not JSON we take: %s at byte %zu", w->wrong,
	               text.p ? (size_t)(w->p - text.p) : 0);
}

int cn_json_check(struct cn_view text, struct cn_error *reterr)
{
	struct cn_wire__walk w = {.p = text.p, .end = text.p ? text.p + text.n : NULL};
	struct cn_json v;

	(void)cn_wire__value(&w, &v); /* what is wrong stands in w */
	return cn_wire__finish(&w, text, reterr);
}
