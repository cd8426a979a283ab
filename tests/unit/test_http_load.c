/*
 * Many requests and many connections.  If this fails, something is lost, mixed up or kept
 * when there is much of it.  It prints what an idle connection costs; it judges no time.
 */
#include <malloc.h>

#include "http_server.h"

#define REQUESTS    10000
#define CONNECTIONS 500
/* What a connection between two requests may cost us, in bytes. */
#define IDLE_GOAL 8192

static void ten_thousand_requests_on_one_connection(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	(void)state;
	for (unsigned i = 0; i < REQUESTS; i++) {
		CN_AUTO(cn_buf) request = {0};
		char number[32];

		(void)snprintf(number, sizeof(number), "number %u.", i);
		cn_buf_printf(&request, "POST /v HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
		              strlen(number), number);
		client_send(s, &c, cn_buf_view(&request));
		WAIT_FOR(s, client_ends(&c, number));
		client_forget(&c);
	}
	assert_int_equal(s->n_requests, REQUESTS);
	assert_int_equal(s->n_sent, REQUESTS);
	assert_int_equal(s->n_closed, 0);
	server_free(s);
}

static bool all_have(struct client *cs, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (!client_ends(&cs[i], text))
			return false;
	return true;
}

static void five_hundred_connections_at_once(void **state)
{
	struct server *s = server_new(NULL, 2 * CONNECTIONS, NULL);
	struct client *cs = cn_zalloc(CONNECTIONS * sizeof(*cs));

	(void)state;
	for (size_t i = 0; i < CONNECTIONS; i++) {
		cs[i] = client_connect(s);
		if (i % 50 == 0)
			server_settle(s);
	}
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < CONNECTIONS; i++) {
			client_forget(&cs[i]);
			client_say(s, &cs[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
		}
		WAIT_FOR(s, all_have(cs, CONNECTIONS, "hello"));
	}
	assert_int_equal(s->n_requests, 3 * CONNECTIONS);
	assert_int_equal(cn_listener_connections(s->l), CONNECTIONS);
	assert_int_equal(s->charge.used, 0); /* idle ones hold no buffer */
	for (size_t i = 0; i < CONNECTIONS; i++)
		client_done(&cs[i]);
	WAIT_FOR(s, s->open == 0);
	assert_int_equal(s->n_closed, CONNECTIONS);
	free(cs);
	server_free(s);
}

/* 0 under a sanitizer, whose heap does not tell; then only the struct is judged. */
static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

static void an_idle_connection_is_cheap(void **state)
{
	struct server *s = server_new(NULL, 2 * CONNECTIONS, NULL);
	struct client *cs = cn_zalloc(CONNECTIONS * sizeof(*cs));
	size_t before, each;

	(void)state;
	before = heap_in_use();
	for (size_t i = 0; i < CONNECTIONS; i++) {
		cs[i] = client_connect(s);
		client_say(s, &cs[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
		WAIT_FOR(s, client_ends(&cs[i], "hello"));
		cn_buf_done(&cs[i].got); /* the client's own: not to be counted */
	}
	each = (heap_in_use() - before) / CONNECTIONS;
	print_message("an idle connection: %zu bytes of heap (struct: %zu)\n", each,
	              sizeof(struct cn_conn));
	assert_true(each < IDLE_GOAL && sizeof(struct cn_conn) < IDLE_GOAL);
	for (size_t i = 0; i < CONNECTIONS; i++)
		client_done(&cs[i]);
	free(cs);
	server_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ten_thousand_requests_on_one_connection),
	    cmocka_unit_test(five_hundred_connections_at_once),
	    cmocka_unit_test(an_idle_connection_is_cheap),
	};

	return cmocka_run_group_tests_name("http_load", tests, NULL, NULL);
}
