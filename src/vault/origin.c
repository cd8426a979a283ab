/*
 * Origins in one form, so that "is this key for that place" is a comparison of bytes. Pure.
 *
 * Deliberately its own parser and a strict one: what the policy's reader makes of a URL
 * must not decide where a key goes.
 */
#include "vault_impl.h"

static bool host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

/* A name or a dotted address: labels that are not empty. */
static bool name_valid(struct cn_view host)
{
	if (host.n == 0 || host.n > 253 || host.p[0] == '.' || host.p[0] == '-')
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (!host_byte(host.p[i]) ||
		    (host.p[i] == '.' && i + 1 < host.n && host.p[i + 1] == '.'))
			return false;
	return host.p[host.n - 1] != '.';
}

/* "[…]" of hexadecimal digits and colons; whether it is an address is the resolver's
 * business. */
static bool literal_valid(struct cn_view host)
{
	if (host.n < 4 || host.n > 47 || host.p[host.n - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < host.n; i++) {
		char c = host.p[i];
		if (!((c >= 'a' && c <= 'f') || (c >= '0' && c <= '9') || c == ':' ||
		      c == '.'))
			return false;
	}
	return true;
}

/* By its spelling: "127.evil.example" is not loopback. */
static bool loopback(struct cn_view host)
{
	if (cn_view_is(host, "localhost") || cn_view_is(host, "[::1]"))
		return true;
	if (!cn_view_starts(host, CN_VIEW("127.")))
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9'))
			return false;
	return true;
}

/* Where the host ends: at the colon of a port, or with the text. */
static size_t host_length(struct cn_view rest)
{
	size_t end = rest.n && rest.p[0] == '[' ? cn_view_find(rest, CN_VIEW("]"), 0) : 0;
	if (end == SIZE_MAX)
		return 0;
	size_t colon = cn_view_find(rest, CN_VIEW(":"), end);
	return colon == SIZE_MAX ? rest.n : colon;
}

static bool parse(struct cn_view text, struct cn_buf *b)
{
	bool tls = cn_view_starts(text, CN_VIEW("https://"));
	if (!tls && !cn_view_starts(text, CN_VIEW("http://")))
		return false;
	struct cn_view rest = cn_view_from(text, tls ? 8 : 7);
	struct cn_view host = cn_view_cut(rest, host_length(rest));
	struct cn_view port = cn_view_from(rest, host.n);
	uint64_t number = tls ? 443 : 80;
	if (port.n && (port.n > 6 || !cn_view_u64(cn_view_from(port, 1), &number)))
		return false;
	if (number == 0 || number > 65535)
		return false;
	if (host.n && host.p[0] == '[' ? !literal_valid(host) : !name_valid(host))
		return false;
	if (!tls && !loopback(host))
		return false;
	cn_buf_printf(b, "%s://%.*s:%u", tls ? "https" : "http", CN_VIEW_ARG(host),
	              (unsigned)number);
	return true;
}

bool cn_vault__origin(struct cn_view text, struct cn_buf *b)
{
	char lower[300];
	if (text.n == 0 || text.n > sizeof(lower))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		lower[i] = c;
		if (c >= 'A' && c <= 'Z')
			lower[i] = (char)(c - 'A' + 'a');
	}
	return parse(cn_view(lower, text.n), b);
}
