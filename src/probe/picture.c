/*
 * A picture of one colour as PNG, small and made here, so that the suite carries no files:
 * 64 by 64 pixels of one bit with a palette, its data stored without compression.
 *
 * Pure.
 */
#include "probe_impl.h"

#include "continuo/hash.h"

#define CN_SIDE     64
#define CN_ROW      (1 + CN_SIDE / 8) /* the filter byte and the pixels */
#define CN_PIXELS   (CN_SIDE * CN_ROW)
#define CN_CRC_POLY 0xedb88320u /* PNG, annex D */

static uint32_t crc(const char *p, size_t n)
{
	uint32_t c = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		c ^= (unsigned char)p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			c = c & 1 ? CN_CRC_POLY ^ c >> 1 : c >> 1;
	}
	return ~c;
}

static uint32_t adler(const char *p, size_t n)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < n; i++) {
		a = (a + (unsigned char)p[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static void add_u32(struct cn_buf *b, uint32_t n)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		cn_buf_add_char(b, (char)(n >> shift & 0xff));
}

static void add_chunk(struct cn_buf *png, const char *type, struct cn_view data)
{
	size_t from;

	add_u32(png, (uint32_t)data.n);
	from = png->n;
	cn_buf_add_str(png, type);
	cn_buf_add_view(png, data);
	add_u32(png, crc(png->p + from, png->n - from));
}

/* One stored block of zlib (RFC 1950, 1951): all pixels are of the palette's only colour.
 */
static void add_pixels(struct cn_buf *png)
{
	static const char zeroes[CN_PIXELS];
	static const char head[] = {0x78,
	                            0x01,
	                            1,
	                            (char)(CN_PIXELS & 0xff),
	                            (char)(CN_PIXELS >> 8),
	                            (char)(~CN_PIXELS & 0xff),
	                            (char)(~CN_PIXELS >> 8 & 0xff)};
	CN_AUTO(cn_buf) z = {0};

	cn_buf_add(&z, head, sizeof(head));
	cn_buf_add(&z, zeroes, sizeof(zeroes));
	add_u32(&z, adler(zeroes, sizeof(zeroes)));
	add_chunk(png, "IDAT", cn_buf_view(&z));
}

static void add_base64(struct cn_buf *b, struct cn_view bytes)
{
	size_t from = b->n;

	cn_base64url(b, bytes.p, bytes.n);
	for (size_t i = from; i < b->n; i++) {
		if (b->p[i] == '-')
			b->p[i] = '+';
		else if (b->p[i] == '_')
			b->p[i] = '/';
	}
	while ((b->n - from) % 4)
		cn_buf_add_char(b, '=');
}

void cn_probe__picture(struct cn_buf *b, unsigned colour)
{
	static const char signature[] = "\x89PNG\r\n\x1a\n";
	/* One bit a pixel, with a palette. */
	static const char header[] = {0, 0, 0, CN_SIDE, 0, 0, 0, CN_SIDE, 1, 3, 0, 0, 0};
	const char palette[] = {(char)(colour >> 16 & 0xff), (char)(colour >> 8 & 0xff),
	                        (char)(colour & 0xff)};
	CN_AUTO(cn_buf) png = {0};

	cn_buf_add(&png, signature, sizeof(signature) - 1);
	add_chunk(&png, "IHDR", cn_view(header, sizeof(header)));
	add_chunk(&png, "PLTE", cn_view(palette, sizeof(palette)));
	add_pixels(&png);
	add_chunk(&png, "IEND", (struct cn_view){NULL, 0});
	add_base64(b, cn_buf_view(&png));
}
