/*
 * The bytes of a reply's head, its trailers and its chunk sizes.  Pure: appends to a
 * buffer, owns nothing, runs on the thread of the connection.  It is the one place where a
 * field is written, so it is where no value can become a line of its own
 * (design/security.md 6).  It does not choose statuses or fields.
 */
#include "parse_impl.h"

#include <stdio.h>
#include <time.h>

static const struct {
	int status;
	const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {529, "Overloaded"},
};

/* Fields that say how the message is framed; only this file writes them. */
static const char *const framing[] = {"connection", "content-length", "date",
                                      "keep-alive", "trailer",        "transfer-encoding"};

static const char *phrase_of(int status)
{
	for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return ""; /* RFC 9112 4: may be empty */
}

/* Names are ours alone, so a wrong one is our bug and not the world's. */
static void check_name(struct cn_view name)
{
	cn_assert(name.n > 0);
	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];

		cn_assert((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
		          (ch >= '0' && ch <= '9') || ch == '-' || ch == '_');
	}
	for (size_t i = 0; i < sizeof(framing) / sizeof(*framing); i++)
		cn_assert(!cn_view_eq_nocase(name, cn_view_str(framing[i])));
}

static bool value_is_clean(struct cn_view value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char ch = (unsigned char)value.p[i];

		if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
			return false;
	}
	return true;
}

void cn_http__reply_field(struct cn_buf *out, const struct cn_field *f)
{
	check_name(f->name);
	/* A value may have come from an upstream: that is no reason to die. */
	if (!value_is_clean(f->value))
		return;
	cn_buf_add_view(out, f->name);
	cn_buf_add(out, ": ", 2);
	cn_buf_add_view(out, f->value);
	cn_buf_add(out, "\r\n", 2);
}

bool cn_http__reply_bodiless(int status)
{
	return status < 200 || status == 204 || status == 304;
}

void cn_http__reply_head(struct cn_buf *out, const struct cn_http__reply_head *h)
{
	cn_assert(h->status >= 100 && h->status <= 599);
	cn_buf_printf(out, "HTTP/1.1 %d %s\r\n", h->status, phrase_of(h->status));
	for (size_t i = 0; i < h->n_fields; i++)
		cn_http__reply_field(out, &h->fields[i]);
	if (h->date.n) {
		cn_buf_add_str(out, "date: ");
		cn_buf_add_view(out, h->date);
		cn_buf_add(out, "\r\n", 2);
	}
	if (h->has_length)
		cn_buf_printf(out, "content-length: %llu\r\n",
		              (unsigned long long)h->length);
	if (h->chunked)
		cn_buf_add_str(out, "transfer-encoding: chunked\r\n");
	if (h->chunked && h->trailers) {
		cn_assert(value_is_clean(cn_view_str(h->trailers)));
		cn_buf_printf(out, "trailer: %s\r\n", h->trailers);
	}
	if (h->close)
		cn_buf_add_str(out, "connection: close\r\n");
	cn_buf_add(out, "\r\n", 2);
}

void cn_http__reply_chunk(struct cn_buf *out, size_t n)
{
	char digits[2 * sizeof(n) + 2];
	size_t at = sizeof(digits);

	digits[--at] = '\n';
	digits[--at] = '\r';
	do
		digits[--at] = "0123456789abcdef"[n & 15];
	while (n >>= 4);
	cn_buf_add(out, digits + at, sizeof(digits) - at);
}

void cn_http__reply_date(char out[CN_HTTP_DATE_SIZE], uint64_t unix_s)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)unix_s;
	char text[96];
	struct tm tm;

	out[0] = '\0';
	/* A clock outside the years that four digits hold: better no date than a wrong one.
	 */
	if (!gmtime_r(&t, &tm) || tm.tm_year < 70 || tm.tm_year > 9999 - 1900)
		return;
	(void)snprintf(text, sizeof(text), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
	               days + (ptrdiff_t)3 * tm.tm_wday, tm.tm_mday,
	               months + (ptrdiff_t)3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour,
	               tm.tm_min, tm.tm_sec);
	cn_assert(strlen(text) == CN_HTTP_DATE_SIZE - 1);
	memcpy(out, text, CN_HTTP_DATE_SIZE);
}
