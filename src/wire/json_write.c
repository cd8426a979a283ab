/*
 * Writing JSON: strings that are always valid, and members with their commas.  Pure.
 */
#include "wire_impl.h"

#include <string.h>

static void add_escaped(struct cn_buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		cn_buf_add_str(b, "\\\"");
		return;
	case '\\':
		cn_buf_add_str(b, "\\\\");
		return;
	case '\n':
		cn_buf_add_str(b, "\\n");
		return;
	case '\r':
		cn_buf_add_str(b, "\\r");
		return;
	case '\t':
		cn_buf_add_str(b, "\\t");
		return;
	default:
		cn_buf_printf(b, "\\u%04x", c);
		return;
	}
}

void cn_json_add_string(struct cn_buf *b, struct cn_view text)
{
	const char *p = text.p, *end = text.p ? text.p + text.n : NULL;

	cn_buf_add_char(b, '"');
	while (p < end) {
		const char *stop = cn_wire__plain(p, end);
		size_t n;

		cn_buf_add(b, p, (size_t)(stop - p));
		p = stop;
		if (p == end)
			break;
		if ((unsigned char)*p < 0x80) {
			add_escaped(b, (unsigned char)*p++);
			continue;
		}
		n = cn_wire__utf8_length(p, (size_t)(end - p));
		if (n)
			cn_buf_add(b, p, n);
		else
			cn_buf_add_str(b, "\xef\xbf\xbd");
		p += n ? n : 1;
	}
	cn_buf_add_char(b, '"');
}

void cn_json_add_key(struct cn_buf *b, const char *key)
{
	if (b->n && b->p[b->n - 1] != '{')
		cn_buf_add_char(b, ',');
	cn_buf_add_char(b, '"');
	cn_buf_add_str(b, key);
	cn_buf_add(b, "\":", 2);
}

void cn_json_add_text(struct cn_buf *b, const char *key, struct cn_view text)
{
	cn_json_add_key(b, key);
	cn_json_add_string(b, text);
}

void cn_json_add_u64(struct cn_buf *b, const char *key, uint64_t n)
{
	cn_json_add_key(b, key);
	cn_buf_printf(b, "%llu", (unsigned long long)n);
}

void cn_json_add_raw(struct cn_buf *b, const char *key, struct cn_view raw)
{
	cn_json_add_key(b, key);
	cn_buf_add_view(b, raw);
}

void cn_json_add_bool(struct cn_buf *b, const char *key, bool v)
{
	cn_json_add_key(b, key);
	cn_buf_add_str(b, v ? "true" : "false");
}
