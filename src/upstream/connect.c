/*
 * Which addresses a backend may be reached at (design/security.md 6): a public backend
 * never at a private, loopback, link-local or metadata address, whatever its name resolves
 * to; without TLS only at loopback, unless the policy says so.
 *
 * Looks at each address when libcurl asks for its socket, so no name can change its mind
 * between the look and the use.  Owns nothing.  Runs on the loop's thread.
 */
#include "upstream_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool private_v4(uint32_t a)
{
	static const struct {
		uint32_t net;
		unsigned bits;
	} nets[] = {
	    {0x00000000, 8},  /* this network */
	    {0x0a000000, 8},  /* private */
	    {0x64400000, 10}, /* shared by a carrier */
	    {0x7f000000, 8},  /* loopback */
	    {0xa9fe0000, 16}, /* link-local, cloud metadata */
	    {0xac100000, 12}, /* private */
	    {0xc0000000, 24}, /* protocol assignments */
	    {0xc0a80000, 16}, /* private */
	    {0xc6120000, 15}, /* benchmarks */
	    {0xe0000000, 3},  /* multicast and above */
	};

	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
		if ((a ^ nets[i].net) >> (32 - nets[i].bits) == 0)
			return true;
	return false;
}

static bool private_v6(const unsigned char a[16])
{
	static const unsigned char zero[12] = {0};
	static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const unsigned char nat64_local[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
	uint32_t v4 =
	    (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];

	if (memcmp(a, zero, 12) == 0) /* unspecified, loopback, v4-compatible */
		return true;
	if (memcmp(a, nat64, 12) == 0)
		return private_v4(v4);
	if (memcmp(a, nat64_local, 6) == 0)
		return true;
	return (a[0] & 0xfe) == 0xfc ||                   /* unique local */
	       (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || /* link-local */
	       (a[0] == 0xfe && (a[1] & 0xc0) == 0xc0) || /* site-local */
	       a[0] == 0xff;                              /* multicast */
}

/* An IPv4 address, also one that is written as IPv6, in host order. */
static bool get_v4(const struct sockaddr *sa, uint32_t *ret)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	uint32_t last;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		*ret = ntohl(in.sin_addr.s_addr);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof(in6));
	if (!IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return false;
	memcpy(&last, in6.sin6_addr.s6_addr + 12, sizeof(last));
	*ret = ntohl(last);
	return true;
}

static bool is_private(const struct sockaddr *sa)
{
	struct sockaddr_in6 in6;
	uint32_t v4;

	if (get_v4(sa, &v4))
		return private_v4(v4);
	if (sa->sa_family != AF_INET6)
		return true;
	memcpy(&in6, sa, sizeof(in6));
	return private_v6(in6.sin6_addr.s6_addr);
}

static bool is_loopback(const struct sockaddr *sa)
{
	struct sockaddr_in6 in6;
	uint32_t v4;

	if (get_v4(sa, &v4))
		return v4 >> 24 == 127;
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof(in6));
	return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static bool is_allowed(const struct cn_attempt *at, const struct sockaddr *sa)
{
	const struct cn_backend *b = at->opts.backend;

	/* With a proxy it is the proxy's address, which the policy named. */
	if (at->proxied)
		return true;
	if (b->network == CN_NETWORK_PUBLIC && is_private(sa))
		return false;
	return b->plaintext || strncmp(b->url, "http:", 5) != 0 || is_loopback(sa);
}

curl_socket_t cn_connect__open(void *self, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct cn_attempt *at = self;
	int fd;

	(void)purpose;
	if (at->told)
		return CURL_SOCKET_BAD; /* nobody waits for it; the backend may be gone */
	if (!is_allowed(at, &addr->addr)) {
		at->forbidden = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
	            addr->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	at->sent_ms = 0; /* a kept connection had died: until this one is up, curl waits */
	cn_watch__add(at->up, fd);
	return fd;
}
