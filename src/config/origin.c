/*
 * What a URL says about where bytes go: its origin (the unit that keys are bound to), its
 * base path, and whether its host is this machine or a private network.
 *
 * Pure; any thread.  It reads less than RFC 3986 allows on purpose: what carries a user, a
 * query or a fragment is no base URL, and what it cannot read is refused.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "config_impl.h"

struct url {
	struct cn_view host; /* with brackets when it is an IPv6 address */
	unsigned port;
	bool https;
	struct cn_view path;
};

static bool host_ok(struct cn_view h)
{
	if (h.n == 0 || h.n > 255)
		return false;
	if (h.p[0] == '[') {
		struct in6_addr a;
		char text[INET6_ADDRSTRLEN];
		if (h.n < 4 || h.n - 2 >= sizeof text || h.p[h.n - 1] != ']')
			return false;
		memcpy(text, h.p + 1, h.n - 2);
		text[h.n - 2] = 0;
		return inet_pton(AF_INET6, text, &a) == 1;
	}
	for (size_t i = 0; i < h.n; i++)
		if (!isalnum((unsigned char)h.p[i]) && !strchr("-._", h.p[i]))
			return false;
	return h.p[0] != '.' && h.p[0] != '-';
}

static bool path_ok(struct cn_view path)
{
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		if (c <= ' ' || c >= 0x7f || strchr("?#\\\"<>^`{|}", c))
			return false;
	}
	return cn_view_find(path, CN_VIEW("/../"), 0) == SIZE_MAX &&
	       !cn_view_ends(path, CN_VIEW("/.."));
}

static bool read_url(struct cn_view text, struct url *u)
{
	if (cn_view_eq_nocase(cn_view_cut(text, 8), CN_VIEW("https://")))
		*u = (struct url){.https = true, .port = 443};
	else if (cn_view_eq_nocase(cn_view_cut(text, 7), CN_VIEW("http://")))
		*u = (struct url){.https = false, .port = 80};
	else
		return false;

	struct cn_view rest = cn_view_from(text, u->https ? 8 : 7);
	size_t slash = cn_view_find(rest, CN_VIEW("/"), 0);
	struct cn_view authority = cn_view_cut(rest, slash == SIZE_MAX ? rest.n : slash);
	u->path = cn_view_from(rest, authority.n);
	u->host = authority;

	size_t host_end = 0; /* a colon before it belongs to an IPv6 address */
	if (authority.n && authority.p[0] == '[') {
		host_end = cn_view_find(authority, CN_VIEW("]"), 0);
		if (host_end == SIZE_MAX)
			return false;
	}
	size_t colon = cn_view_find(authority, CN_VIEW(":"), host_end);
	if (colon != SIZE_MAX) {
		uint64_t port;
		if (!cn_view_u64(cn_view_from(authority, colon + 1), &port) || port < 1 ||
		    port > 65535)
			return false;
		u->host = cn_view_cut(authority, colon);
		u->port = (unsigned)port;
	}
	return host_ok(u->host) && path_ok(u->path);
}

bool cn_config_origin(struct cn_arena *a, struct cn_view text, const char **ret,
                      const char **retbase)
{
	struct url u;
	char *host;

	if (!read_url(text, &u))
		return false;
	host = cn_arena_dup(a, u.host);
	for (char *p = host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*ret = cn_arena_printf(a, "%s://%s:%u", u.https ? "https" : "http", host, u.port);
	if (retbase) {
		struct cn_view base = text;
		while (cn_view_ends(base, CN_VIEW("/")))
			base.n--;
		if (cn_view_ends(base, CN_VIEW("/v1")))
			base.n -= 3;
		while (cn_view_ends(base, CN_VIEW("/")))
			base.n--;
		*retbase = cn_arena_dup(a, base);
	}
	return true;
}

struct cn_view cn_config__origin_host(const char *origin)
{
	struct cn_view v = cn_view_str(origin);
	size_t from = cn_view_find(v, CN_VIEW("://"), 0) + 3, to = v.n;

	while (to > from && v.p[to - 1] != ':')
		to--;
	return cn_view(v.p + from, to - 1 - from);
}

static enum cn_host_kind kind4(const unsigned char *b)
{
	if (b[0] == 127)
		return CN_HOST_LOOPBACK;
	if (b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
	    (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254) ||
	    (b[0] == 100 && (b[1] & 0xc0) == 64) || b[0] == 0)
		return CN_HOST_PRIVATE;
	return CN_HOST_PUBLIC;
}

static enum cn_host_kind kind6(const struct in6_addr *a)
{
	if (IN6_IS_ADDR_LOOPBACK(a))
		return CN_HOST_LOOPBACK;
	if (IN6_IS_ADDR_V4MAPPED(a))
		return kind4(a->s6_addr + 12);
	if ((a->s6_addr[0] & 0xfe) == 0xfc || IN6_IS_ADDR_LINKLOCAL(a) ||
	    IN6_IS_ADDR_UNSPECIFIED(a))
		return CN_HOST_PRIVATE;
	return CN_HOST_PUBLIC;
}

enum cn_host_kind cn_config__host_kind(struct cn_view host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a6;
	unsigned char a4[4];

	if (cn_view_eq_nocase(host, CN_VIEW("localhost")))
		return CN_HOST_LOOPBACK;
	if (host.n > 2 && host.p[0] == '[')
		host = cn_view(host.p + 1, host.n - 2);
	if (host.n == 0 || host.n >= sizeof text)
		return CN_HOST_PUBLIC;
	memcpy(text, host.p, host.n);
	text[host.n] = 0;
	if (inet_pton(AF_INET, text, a4) == 1)
		return kind4(a4);
	if (inet_pton(AF_INET6, text, &a6) == 1)
		return kind6(&a6);
	return CN_HOST_PUBLIC;
}
