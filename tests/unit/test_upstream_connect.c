/*
 * Which addresses a backend may be reached at.  If this fails, a name that an outsider
 * controls reaches into the user's network, or a local backend is refused.
 */
#include "upstream_server.h"

#include "../../src/upstream/upstream_impl.h"

struct address {
	const char *text;
	bool is_public, is_loopback;
};

static const struct address addresses[] = {
    {"1.1.1.1", true, false},
    {"9.255.255.255", true, false},
    {"11.0.0.0", true, false},
    {"100.63.255.255", true, false},
    {"100.128.0.0", true, false},
    {"172.15.255.255", true, false},
    {"172.32.0.0", true, false},
    {"192.167.255.255", true, false},
    {"223.255.255.255", true, false},
    {"0.0.0.0", false, false},
    {"0.1.2.3", false, false},
    {"10.0.0.1", false, false},
    {"100.64.0.1", false, false},
    {"127.0.0.1", false, true},
    {"127.255.255.254", false, true},
    {"169.254.169.254", false, false},
    {"172.16.0.1", false, false},
    {"172.31.255.255", false, false},
    {"192.0.0.192", false, false},
    {"192.168.1.1", false, false},
    {"198.18.0.1", false, false},
    {"198.19.255.255", false, false},
    {"224.0.0.1", false, false},
    {"255.255.255.255", false, false},
    {"2606:4700::1111", true, false},
    {"::ffff:1.1.1.1", true, false},
    {"64:ff9b::1.1.1.1", true, false},
    {"::", false, false},
    {"::1", false, true},
    {"::127.0.0.1", false, false},
    {"::ffff:127.0.0.1", false, true},
    {"::ffff:10.0.0.1", false, false},
    {"64:ff9b::10.0.0.1", false, false},
    {"64:ff9b:1::1.1.1.1", false, false},
    {"fc00::1", false, false},
    {"fdff::1", false, false},
    {"fe80::1", false, false},
    {"febf::1", false, false},
    {"fec0::1", false, false},
    {"ff02::1", false, false},
};

/* curl's struct, with the room behind it that longer addresses take. */
union address_room {
	struct curl_sockaddr a;
	char bytes[sizeof(struct curl_sockaddr) + sizeof(struct sockaddr_in6)];
};

static void set_address(union address_room *ret, const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	bool v4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;

	if (!v4)
		assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	memset(ret, 0, sizeof(*ret));
	ret->a.family = v4 ? AF_INET : AF_INET6;
	ret->a.socktype = SOCK_STREAM;
	ret->a.protocol = IPPROTO_TCP;
	ret->a.addrlen = v4 ? sizeof(in) : sizeof(in6);
	memcpy(ret->bytes + offsetof(struct curl_sockaddr, addr),
	       v4 ? (const void *)&in : &in6, ret->a.addrlen);
}

static bool is_opened(struct cn_attempt *at, const char *text)
{
	union address_room room;
	curl_socket_t fd;

	set_address(&room, text);
	at->forbidden = false;
	fd = cn_connect__open(at, CURLSOCKTYPE_IPCXN, &room.a);
	assert_int_equal(at->forbidden, fd == CURL_SOCKET_BAD);
	if (fd != CURL_SOCKET_BAD)
		cn_watch__on_close(at->up, fd);
	return fd != CURL_SOCKET_BAD;
}

static void on_closed(void *self)
{
	*(bool *)self = true;
}

static void addresses_are_refused_by_what_the_backend_is(void **state)
{
	struct cn_charge charge = {.limit = 1};
	struct cn_backend b = {0};
	struct cn_attempt at = {.opts = {.backend = &b}};
	bool closed = false;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	at.up = cn_upstreams_new(&loop, &charge);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const struct address *a = &addresses[i];
		const struct {
			const char *what, *url;
			enum cn_network network;
			bool plaintext, proxied, expected;
		} cases[] = {
		    {"public", "https://x", CN_NETWORK_PUBLIC, false, false, a->is_public},
		    {"private", "https://x", CN_NETWORK_PRIVATE, false, false, true},
		    {"private, http", "http://x", CN_NETWORK_PRIVATE, false, false,
		     a->is_loopback},
		    {"public, http", "http://x", CN_NETWORK_PUBLIC, false, false, false},
		    {"private, plaintext", "http://x", CN_NETWORK_PRIVATE, true, false,
		     true},
		    {"public, plaintext", "http://x", CN_NETWORK_PUBLIC, true, false,
		     a->is_public},
		    {"a proxy's", "https://x", CN_NETWORK_PUBLIC, false, true, true},
		};

		for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
			b.url = cases[j].url;
			b.network = cases[j].network;
			b.plaintext = cases[j].plaintext;
			at.proxied = cases[j].proxied;
			if (is_opened(&at, a->text) != cases[j].expected)
				fail_msg("%s, %s: expected to be %s", a->text,
				         cases[j].what,
				         cases[j].expected ? "opened" : "refused");
		}
	}
	cn_upstreams_close(at.up, on_closed, &closed);
	while (!closed)
		uv_run(&loop, UV_RUN_ONCE);
	uv_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_are_refused_by_what_the_backend_is),
	};
	struct cn_error err;
	int failed;

	if (cn_upstream_setup(&err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cn_upstream_teardown();
	return failed;
}
