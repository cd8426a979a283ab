/*
 * Which addresses a backend may be reached at (design/security.md 6): a public backend
 * never at a private, loopback, link-local or metadata address, whatever its name resolves
 * to.
 *
 * Also libcurl's allocator: what libcurl frees may have held a credential.  Pure, any
 * thread.
 */
#include "upstream_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "continuo/hash.h"

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
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
	uint32_t v4 =
	    (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];

	if (memcmp(a, zero, 12) == 0) /* unspecified, loopback, v4-compatible */
		return true;
	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
		return private_v4(v4);
	return (a[0] & 0xfe) == 0xfc ||                   /* unique local */
	       (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || /* link-local */
	       (a[0] == 0xfe && (a[1] & 0xc0) == 0xc0) || /* site-local */
	       a[0] == 0xff;                              /* multicast */
}

static bool is_private(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		return private_v4(ntohl(in.sin_addr.s_addr));
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		return private_v6(in6.sin6_addr.s6_addr);
	}
	return true;
}

curl_socket_t cn_connect__open(void *self, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct cn_attempt *at = self;
	const struct cn_backend *b = at->opts.backend;

	(void)purpose;
	/* With a proxy it is the proxy's address, which the policy named. */
	if (b->network == CN_NETWORK_PUBLIC && b->proxy == CN_PROXY_NONE &&
	    is_private(&addr->addr)) {
		at->forbidden = true;
		return CURL_SOCKET_BAD;
	}
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
	              addr->protocol);
}

/* ---- an allocator that wipes ---- */

union header {
	size_t n;
	max_align_t align;
};

static void *wiping_malloc(size_t n)
{
	union header *h = cn_alloc(sizeof(*h) + n);

	h->n = n;
	return h + 1;
}

static void wiping_free(void *p)
{
	union header *h = p;

	if (!p)
		return;
	h--;
	cn_wipe(p, h->n);
	free(h);
}

static void *wiping_realloc(void *p, size_t n)
{
	union header *old = p;
	void *fresh = wiping_malloc(n);

	if (old) {
		memcpy(fresh, p, old[-1].n < n ? old[-1].n : n);
		wiping_free(p);
	}
	return fresh;
}

static char *wiping_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(wiping_malloc(n), s, n);
}

static void *wiping_calloc(size_t n, size_t size)
{
	return memset(wiping_malloc(n * size), 0, n * size);
}

int cn_upstream_setup(struct cn_error *reterr)
{
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free,
	                         wiping_realloc, wiping_strdup, wiping_calloc))
		return cn_fail(reterr, CN_E_FAIL, "libcurl cannot be initialised");
	return 0;
}

void cn_upstream_teardown(void)
{
	curl_global_cleanup();
}
