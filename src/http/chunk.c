/*
 * The framing of a chunked request body, byte by byte: sizes, extensions, line ends.  It
 * stands beside llhttp, which sees the same bytes: a body is accepted only where both
 * agree.  This side knows the limits that llhttp has not (2^40, 256 bytes of extensions, no
 * endless zeros, no trailers) and does no I/O.  It does not look into the data and does not
 * judge the grammar of extensions, which llhttp does.
 */
#include "parse_impl.h"

/* More digits than a size of 2^40 needs, so that leading zeros have an end. */
#define MAX_DIGITS 16

static int hex_value(unsigned char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return -1;
}

static const char *step_size(struct cn_http__chunk *k, unsigned char ch)
{
	int digit = hex_value(ch);

	if (digit < 0) {
		if (k->digits == 0)
			return "a chunk without a size";
		if (ch != ';' && ch != '\r')
			return "a chunk size with other than hexadecimal digits";
		k->extension = 0;
		k->state = ch == ';' ? CN_CHUNK_EXTENSION : CN_CHUNK_SIZE_LF;
		return NULL;
	}
	if (++k->digits > MAX_DIGITS)
		return "a chunk size with too many digits";
	/* Before the arithmetic: what could pass the limit is refused here. */
	if (k->size > CN_HTTP_MAX_SIZE >> 4)
		return "a chunk that is too large";
	k->size = k->size << 4 | (unsigned)digit;
	if (k->size > CN_HTTP_MAX_SIZE)
		return "a chunk that is too large";
	k->state = CN_CHUNK_SIZE;
	return NULL;
}

static const char *step_extension(struct cn_http__chunk *k, unsigned char ch)
{
	if (ch == '\r') {
		k->state = CN_CHUNK_SIZE_LF;
		return NULL;
	}
	if ((ch < 0x20 && ch != '\t') || ch >= 0x7f)
		return "a chunk extension with a control byte";
	if (++k->extension > CN_HTTP_MAX_EXTENSION)
		return "chunk extensions that are too long";
	return NULL;
}

static const char *expect(struct cn_http__chunk *k, unsigned char ch, unsigned char want,
                          enum cn_http__chunk_state next)
{
	if (ch != want)
		return "a chunk that does not end in CR LF";
	k->state = next;
	return NULL;
}

static const char *step(struct cn_http__chunk *k, unsigned char ch)
{
	switch (k->state) {
	case CN_CHUNK_SIZE_FIRST:
		k->size = 0;
		k->digits = 0;
		return step_size(k, ch);
	case CN_CHUNK_SIZE:
		return step_size(k, ch);
	case CN_CHUNK_EXTENSION:
		return step_extension(k, ch);
	case CN_CHUNK_SIZE_LF:
		k->left = k->size;
		return expect(k, ch, '\n', k->size ? CN_CHUNK_DATA : CN_CHUNK_LAST_CR);
	case CN_CHUNK_DATA_CR:
		return expect(k, ch, '\r', CN_CHUNK_DATA_LF);
	case CN_CHUNK_DATA_LF:
		return expect(k, ch, '\n', CN_CHUNK_SIZE_FIRST);
	case CN_CHUNK_LAST_CR:
		if (ch != '\r')
			return "trailers in a request";
		k->state = CN_CHUNK_LAST_LF;
		return NULL;
	case CN_CHUNK_LAST_LF:
		return expect(k, ch, '\n', CN_CHUNK_END);
	case CN_CHUNK_DATA:
	case CN_CHUNK_END:
		break;
	}
	cn_never("bytes that are none of the frame"); /* the caller stops before these */
}

size_t cn_http__chunk_frame(struct cn_http__chunk *k, struct cn_view v, const char **retwhy)
{
	const char *why = NULL;
	size_t i = 0;

	while (i < v.n && k->state != CN_CHUNK_DATA && k->state != CN_CHUNK_END && !why)
		why = step(k, (unsigned char)v.p[i++]);
	if (why)
		*retwhy = why;
	return i;
}
