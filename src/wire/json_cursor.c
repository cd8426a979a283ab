/*
 * Walking checked JSON as bytes: where members and elements stand, without building
 * anything.
 *
 * Values are skipped, not parsed: strings by lanes, the rest byte by byte.  On
 * text that was not checked the cursor stays inside it, but means nothing.  Pure.
 */
#include "wire_impl.h"

#include <string.h>

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

static const char *skip_value(const char *p, const char *end)
{
	size_t depth = 0;

	if (p < end && *p == '"')
		return cn_wire__string_end(p + 1, end);
	if (p < end && *p != '{' && *p != '[') {
		while (p < end && !strchr(",]} \n\r\t", *p))
			p++;
		return p;
	}
	while (p < end) {
		char ch = *p++;

		if (ch == '"')
			p = cn_wire__string_end(p, end);
		else if (ch == '{' || ch == '[')
			depth++;
		else if ((ch == '}' || ch == ']') && --depth == 0)
			return p;
	}
	return end;
}

enum cn_json_kind cn_wire__kind(char c)
{
	switch (c) {
	case '{':
		return CN_JSON_OBJECT;
	case '[':
		return CN_JSON_ARRAY;
	case '"':
		return CN_JSON_STRING;
	case 't':
		return CN_JSON_TRUE;
	case 'f':
		return CN_JSON_FALSE;
	case 'n':
		return CN_JSON_NULL;
	default:
		return CN_JSON_NUMBER;
	}
}

static struct cn_json value_at(const char *p, const char *end, const char **retafter)
{
	struct cn_json v = {{p, 0}, CN_JSON_NONE};

	*retafter = end;
	if (p >= end)
		return v;
	*retafter = skip_value(p, end);
	/* An escape cut at the end of unchecked text steps over it. */
	if (*retafter > end)
		*retafter = end;
	v.raw.n = (size_t)(*retafter - p);
	v.kind = cn_wire__kind(*p);
	return v;
}

struct cn_json cn_json_root(struct cn_view text)
{
	const char *end = text.p ? text.p + text.n : NULL, *after;

	if (!text.p)
		return (struct cn_json){{NULL, 0}, CN_JSON_NONE};
	return value_at(skip_space(text.p, end), end, &after);
}

struct cn_json_iter cn_json_iter(struct cn_json v)
{
	struct cn_json_iter it = {0};

	if ((v.kind != CN_JSON_OBJECT && v.kind != CN_JSON_ARRAY) || v.raw.n < 2)
		return it;
	it.at = v.raw.p + 1;
	it.end = v.raw.p + v.raw.n - 1;
	it.object = v.kind == CN_JSON_OBJECT;
	it.index = SIZE_MAX;
	return it;
}

bool cn_json_next(struct cn_json_iter *it)
{
	const char *p = it->at, *after;

	if (!p)
		return false;
	p = skip_space(p, it->end);
	if (p < it->end && *p == ',')
		p = skip_space(p + 1, it->end);
	if (p >= it->end) {
		it->at = NULL;
		return false;
	}
	it->whole.p = p;
	it->key = (struct cn_view){NULL, 0};
	if (it->object) {
		after = *p == '"' ? cn_wire__string_end(p + 1, it->end) : it->end;
		if (after > it->end)
			after = it->end;
		it->key = cn_view(p + 1, after - p >= 2 ? (size_t)(after - p) - 2 : 0);
		p = skip_space(after, it->end);
		if (p < it->end && *p == ':')
			p++;
		p = skip_space(p, it->end);
	}
	it->value = value_at(p, it->end, &after);
	/* Text that was not checked may hold what is no value: that is its end. */
	if (after == it->whole.p) {
		it->at = NULL;
		return false;
	}
	it->whole.n = (size_t)(after - it->whole.p);
	it->at = after;
	it->index++;
	return true;
}

/* Appends code point c as UTF-8 at out. */
static size_t put_utf8(char *out, unsigned long c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* One \u escape (or a pair of them) at *pp, which is behind the 'u'. */
static unsigned long read_unicode(const char **pp, const char *end)
{
	long v = cn_wire__hex4(*pp, end), low;

	if (v < 0)
		return 0xfffd;
	*pp += 4;
	if (v < 0xd800 || v > 0xdfff)
		return (unsigned long)v;
	if (v > 0xdbff || end - *pp < 6 || (*pp)[0] != '\\' || (*pp)[1] != 'u')
		return 0xfffd;
	low = cn_wire__hex4(*pp + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return 0xfffd;
	*pp += 6;
	return 0x10000 + (((unsigned long)v - 0xd800) << 10) +
	       ((unsigned long)low - 0xdc00);
}

static char simple_escape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

/* The escape whose backslash is at *pp as bytes at out, at most four; *pp moves behind it.
 */
static size_t read_escape(const char **pp, const char *end, char *out)
{
	const char *p = *pp + 1;
	size_t n = 0;

	if (p < end && *p == 'u') {
		p++;
		n = put_utf8(out, read_unicode(&p, end));
	} else if (p < end) {
		out[n++] = simple_escape(*p++);
	}
	*pp = p;
	return n;
}

struct cn_view cn_json_text(struct cn_arena *a, struct cn_json string)
{
	struct cn_view in;
	const char *p, *end;
	char *out;
	size_t n = 0;

	if (string.kind != CN_JSON_STRING || string.raw.n < 2)
		return (struct cn_view){NULL, 0};
	in = cn_view(string.raw.p + 1, string.raw.n - 2);
	if (!memchr(in.p, '\\', in.n))
		return in;
	/* No escape grows: six bytes at least become four at most. */
	out = cn_arena_alloc(a, in.n);
	for (p = in.p, end = in.p + in.n; p < end;) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((slash ? slash : end) - p);

		memcpy(out + n, p, run);
		n += run;
		p += run;
		if (slash)
			n += read_escape(&p, end, out + n);
	}
	return cn_view(out, n);
}

bool cn_wire__says_escaped(struct cn_view raw, struct cn_view s)
{
	const char *p = raw.p, *end = raw.p + raw.n;
	size_t at = 0;

	/* Text with escapes is longer than what it says, and at most six times. */
	if (raw.n < s.n || raw.n > 6 * s.n)
		return false;
	while (p < end) {
		char bytes[4] = {*p};
		size_t n = 1;

		if (*p == '\\')
			n = read_escape(&p, end, bytes);
		else
			p++;
		if (n > s.n - at || memcmp(s.p + at, bytes, n) != 0)
			return false;
		at += n;
	}
	return at == s.n;
}

bool cn_json_is(struct cn_json string, const char *s)
{
	return cn_wire__is(string, cn_view_str(s));
}

bool cn_json_key_is(struct cn_view key, const char *name)
{
	return cn_wire__says(key, cn_view_str(name));
}

struct cn_json cn_json_get(struct cn_json object, const char *key)
{
	struct cn_json found = {{NULL, 0}, CN_JSON_NONE};

	if (object.kind != CN_JSON_OBJECT)
		return found;
	for (struct cn_json_iter it = cn_json_iter(object); cn_json_next(&it);)
		if (cn_json_key_is(it.key, key))
			found = it.value;
	return found;
}

struct cn_json cn_json_path(struct cn_json object, ...)
{
	va_list keys;
	const char *key;

	va_start(keys, object);
	while ((key = va_arg(keys, const char *)))
		object = cn_json_get(object, key);
	va_end(keys);
	return object;
}

bool cn_json_u64(struct cn_json number, uint64_t *ret)
{
	char text[40];
	char *end;
	double d;

	if (number.kind != CN_JSON_NUMBER)
		return false;
	if (cn_view_u64(number.raw, ret))
		return true;
	if (number.raw.n >= sizeof(text) || number.raw.p[0] == '-')
		return false;
	memcpy(text, number.raw.p, number.raw.n);
	text[number.raw.n] = 0;
	d = strtod(text, &end);
	if (*end || d < 0 || d > 9007199254740992.0 || d != (double)(uint64_t)d)
		return false;
	*ret = (uint64_t)d;
	return true;
}
