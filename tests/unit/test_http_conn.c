/*
 * A client's connection on real sockets: requests in, replies out, ages, pressure, ends. If
 * this fails, clients hang, get wrong bytes, or cost more than they may.
 */
#include "http_server.h"

/* As in the field, but nothing that a test waits for takes long. */
static struct cn_http__limits quick(void)
{
	struct cn_http__limits l = cn_http__defaults;

	l.sweep_ms = 5;
	l.linger_ms = 50;
	l.pause_ms = 10;
	return l;
}

static void answers_and_keeps_the_connection(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	(void)state;
	client_say(s, &c, "POST /v?a=b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
	WAIT_FOR(s, client_has(&c, "\r\n\r\nabc"));
	assert_got(&c, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: ");
	assert_got(&c, " GMT\r\ncontent-length: 3\r\n\r\nabc");
	assert_string_equal(cn_buf_cstr(&s->head), "POST /v a=b 127.0.0.1");
	client_forget(&c);
	client_say(s, &c, "HEAD / HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->n_sent == 2);
	assert_got(&c, "content-length: 5\r\n\r\n");
	assert_false(client_has(&c, "hello"));
	client_forget(&c);
	client_say(s, &c,
	           "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
	           "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n");
	WAIT_FOR(s, client_has(&c, "\r\n\r\nabc"));
	assert_false(client_over(&c));
	assert_int_equal(cn_listener_connections(s->l), 1);
	assert_int_equal(s->n_requests, 3);
	server_free(s);
}

static void closes_when_either_side_says_so(void **state)
{
	static const struct {
		const char *request, *reply;
		unsigned n_requests;
	} cases[] = {
	    {"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
	     "connection: close\r\n\r\nhello", 1},
	    {"GET / HTTP/1.0\r\n\r\n", "connection: close\r\n\r\nhello", 1},
	    {"GET /refuse HTTP/1.1\r\n\r\n", "connection: close\r\n\r\nno", 0},
	    {"POST /refuse HTTP/1.1\r\nContent-Length: 9\r\n\r\n", "close\r\n\r\nno", 0},
	    {"POST /refuse HTTP/1.1\r\nContent-Length: 9\r\n\r\nabcdefghi", "\r\n\r\nno",
	     0},
	    {"POST /refuse HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
	     "HTTP/1.1 403 Forbidden\r\n", 0},
	    {"GET /abort HTTP/1.1\r\n\r\n", "", 1},
	};
	struct cn_http__limits limits = quick();
	struct server *s = server_new(&limits, 10, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(client) c = client_connect(s);

		s->n_requests = 0;
		client_say(s, &c, cases[i].request);
		WAIT_FOR(s, client_over(&c));
		assert_got(&c, cases[i].reply);
		assert_true(c.eof);
		assert_int_equal(s->n_requests, cases[i].n_requests);
	}
	WAIT_FOR(s, s->n_closed == sizeof(cases) / sizeof(*cases));
	assert_int_equal(s->n_gone, 0);
	server_free(s);
}

/* Each byte a packet of its own, as slow networks and bad intentions send them. */
static void takes_requests_byte_by_byte(void **state)
{
	static const char request[] =
	    "\r\nPOST /v HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n0\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\ndef";
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	(void)state;
	WAIT_FOR(s, s->open == 1);
	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		client_send(s, &c, cn_view(request + i, 1));
		server_turn(s, uv_hrtime() / 1000000, "");
	}
	WAIT_FOR(s, client_count(&c, "HTTP/1.1 200 OK") == 2 && client_has(&c, "def"));
	assert_got(&c, "\r\n\r\nabcHTTP");
	assert_int_equal(s->n_refused, 0);
	server_free(s);
}

static void refuses_by_itself_and_closes(void **state)
{
	static const struct {
		const char *request, *reply, *why;
	} cases[] = {
	    {"GET / HTTP/1.1\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 a re"},
	    {"GET //a HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 a path"},
	    {"POST / HTTP/1.1\r\nContent-Length: 1025\r\n\r\n", "413 Content Too Large",
	     "413"},
	    {"POST / HTTP/1.1\r\nContent-Length: 1025\r\nExpect: 100-continue\r\n\r\n",
	     "HTTP/1.1 413 Content Too Large", "413"},
	    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n", "", ""},
	    {"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	     "HTTP/1.1 400 Bad Request\r\n", "400 bytes after the last request"},
	};
	struct cn_http__limits limits = quick();
	struct server *s = server_new(&limits, 10, NULL);
	char big[1026];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	s->max_body = 1024;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool chunked = *cases[i].reply == '\0';
		CN_AUTO(client) c = client_connect(s);

		client_say(s, &c, cases[i].request);
		if (chunked)
			client_say(s, &c, big);
		WAIT_FOR(s, client_over(&c));
		assert_got(&c, chunked ? "413 Content Too Large" : cases[i].reply);
		assert_got(&c, "connection: close\r\n");
		assert_true(c.eof);
		assert_true(cn_view_starts(cn_buf_view(&s->refused),
		                           cn_view_str(chunked ? "413" : cases[i].why)));
	}
	assert_int_equal(s->n_requests, 0);
	assert_int_equal(s->n_refused, sizeof(cases) / sizeof(*cases));
	server_free(s);
}

/* The reply to a refused upload must not be overtaken by the reset for what is unread. */
static void a_refusal_reaches_a_client_that_is_still_sending(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);
	char *megabyte = cn_zalloc(1u << 20);

	(void)state;
	s->max_body = 1024;
	client_say(s, &c, "POST / HTTP/1.1\r\nContent-Length: 8388608\r\n\r\n");
	for (int i = 0; i < 8; i++)
		client_send(s, &c, cn_view(megabyte, 1u << 20));
	WAIT_FOR(s, client_over(&c));
	assert_got(&c, "HTTP/1.1 413 Content Too Large");
	assert_true(c.eof);
	client_done(&c);
	WAIT_FOR(s, s->n_closed == 1);
	free(megabyte);
	server_free(s);
}

static void says_continue_only_after_the_head_was_accepted(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	(void)state;
	client_say(s, &c,
	           "POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	WAIT_FOR(s, client_has(&c, "\r\n\r\n"));
	assert_string_equal(cn_buf_cstr(&c.got), "HTTP/1.1 100 Continue\r\n\r\n");
	client_say(s, &c, "abc");
	WAIT_FOR(s, client_has(&c, "\r\n\r\nabc"));
	/* With the body at hand there is nothing to wait for. */
	client_forget(&c);
	client_say(
	    s, &c,
	    "POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
	WAIT_FOR(s, client_has(&c, "\r\n\r\nabc"));
	assert_false(client_has(&c, "100 Continue"));
	server_free(s);
}

static void streams_chunks_and_trailers(void **state)
{
	struct cn_field after = {CN_VIEW("x-after"), CN_VIEW("1")};
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	(void)state;
	client_say(s, &c, "GET /begin HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->held);
	assert_true(cn_conn_write(s->held, CN_VIEW("one")));
	assert_true(cn_conn_write(s->held, CN_VIEW("")));
	assert_true(cn_conn_write(s->held, CN_VIEW("0123456789abcdef")));
	WAIT_FOR(s, client_has(&c, "cdef\r\n"));
	assert_got(&c, "\r\ntransfer-encoding: chunked\r\ntrailer: x-after\r\n\r\n"
	               "3\r\none\r\n10\r\n0123456789abcdef\r\n");
	cn_conn_end(s->held, &after, 1);
	WAIT_FOR(s, client_has(&c, "\r\n0\r\nx-after: 1\r\n\r\n"));
	assert_int_equal(s->n_sent, 1);
	/* The connection lives on. */
	client_say(s, &c, "GET / HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, client_has(&c, "hello"));
	server_free(s);
}

static void streams_to_heads_and_to_old_clients(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) head = client_connect(s);
	CN_AUTO(client) old = client_connect(s);
	CN_AUTO(client) broken = client_connect(s);

	(void)state;
	client_say(s, &head, "HEAD /begin HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->held);
	(void)cn_conn_write(s->held, CN_VIEW("text"));
	cn_conn_end(s->held, NULL, 0);
	WAIT_FOR(s, s->n_sent == 1);
	assert_true(client_has(&head, "chunked\r\n"));
	assert_true(cn_view_ends(cn_buf_view(&head.got), CN_VIEW("\r\n\r\n")));
	assert_int_equal(client_count(&head, "\r\n\r\n"), 1);

	s->held = NULL;
	client_say(s, &old, "GET /begin HTTP/1.0\r\n\r\n");
	WAIT_FOR(s, s->held);
	(void)cn_conn_write(s->held, CN_VIEW("text"));
	cn_conn_end(s->held, NULL, 0);
	WAIT_FOR(s, client_over(&old));
	assert_got(&old, "connection: close\r\n\r\ntext");
	assert_false(client_has(&old, "chunked"));
	assert_true(old.eof);

	/* Where the end of the connection is the end of the reply, only a reset is a break.
	 */
	s->held = NULL;
	client_say(s, &broken, "GET /begin HTTP/1.0\r\n\r\n");
	WAIT_FOR(s, s->held);
	(void)cn_conn_write(s->held, CN_VIEW("text"));
	WAIT_FOR(s, client_has(&broken, "text"));
	cn_conn_abort(s->held);
	WAIT_FOR(s, client_over(&broken));
	assert_true(broken.reset);
	server_free(s);
}

static void a_broken_off_reply_has_no_last_chunk(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	(void)state;
	client_say(s, &c, "GET /begin HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->held);
	(void)cn_conn_write(s->held, CN_VIEW("part"));
	cn_conn_abort(s->held);
	WAIT_FOR(s, client_over(&c));
	assert_got(&c, "4\r\npart\r\n");
	assert_false(client_has(&c, "0\r\n\r\n"));
	WAIT_FOR(s, s->n_closed == 1);
	assert_int_equal(s->n_gone + s->n_sent, 0);
	server_free(s);
}

/* Requests that come ahead are answered in order, one after the other, and bounded. */
static void pipelined_requests_wait_their_turn(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);
	CN_AUTO(cn_buf) many = {0};

	(void)state;
	client_say(s, &c,
	           "GET /hold HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: "
	           "1\r\n\r\n1");
	WAIT_FOR(s, s->held);
	server_settle(s);
	assert_int_equal(s->n_heads, 1);
	for (int i = 0; i < 200; i++)
		cn_buf_add_str(&many, "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n2");
	client_send(s, &c, cn_buf_view(&many));
	server_settle(s);
	assert_int_equal(s->n_heads, 1);
	assert_true(s->held->hush);
	cn_conn_reply(s->held, &(struct cn_reply){.status = 200, .body = CN_VIEW("0")});
	WAIT_FOR(s, client_count(&c, "\r\n\r\n2") == 200);
	assert_got(&c, "\r\n\r\n0HTTP");
	assert_int_equal(client_count(&c, "HTTP/1.1 200 OK"), 202);
	server_free(s);
}

static void notices_a_client_that_leaves(void **state)
{
	static const struct {
		const char *name, *request;
		bool half, reset;
	} cases[] = {
	    {"held, closed", "GET /hold HTTP/1.1\r\n\r\n", false, false},
	    {"held, half-closed", "GET /hold HTTP/1.1\r\n\r\n", true, false},
	    {"held, reset", "GET /hold HTTP/1.1\r\n\r\n", false, true},
	    {"begun, closed", "GET /begin HTTP/1.1\r\n\r\n", false, false},
	    {"begun, reset", "GET /begin HTTP/1.1\r\n\r\n", false, true},
	    {"pipelining, closed", "GET /hold HTTP/1.1\r\n\r\nGET", false, false},
	};
	struct linger now = {.l_onoff = 1};
	struct server *s = server_new(NULL, 10, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(client) c = client_connect(s);

		s->n_gone = s->n_closed = 0;
		client_say(s, &c, cases[i].request);
		WAIT_FOR(s, s->held);
		if (strstr(cases[i].name, "pipelining")) {
			/* Bytes that nobody reads must not hide the close behind them. */
			client_say(s, &c, " / HTTP/1.1\r\n\r\n");
			WAIT_FOR(s, s->held->hush);
		}
		if (cases[i].reset)
			setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		if (cases[i].half)
			shutdown(c.fd, SHUT_WR);
		else
			client_done(&c);
		WAIT_FOR(s, s->n_closed == 1);
		assert_int_equal(s->n_gone, 1);
		assert_null(s->held);
	}
	server_free(s);
}

static void a_client_that_leaves_before_its_request_is_whole_is_no_loss(void **state)
{
	static const char *const parts[] = {
	    "", "GET", "GET / HTTP/1.1\r\n",
	    "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"};
	struct server *s = server_new(NULL, 10, NULL);

	(void)state;
	for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		CN_AUTO(client) c = client_connect(s);

		client_say(s, &c, parts[i]);
		WAIT_FOR(s, s->open == 1);
		server_settle(s);
		client_done(&c);
		WAIT_FOR(s, s->n_closed == i + 1);
	}
	assert_int_equal(s->n_gone + s->n_requests + s->n_refused, 0);
	assert_int_equal(s->charge.used, 0);
	server_free(s);
}

static void tells_a_writer_to_stop_and_to_go_on(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);
	char block[16384];
	size_t written = 0;

	(void)state;
	memset(block, 'x', sizeof(block));
	client_say(s, &c, "GET /begin HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->held);
	while (cn_conn_write(s->held, cn_view(block, sizeof(block)))) {
		written += sizeof(block);
		server_turn(s, uv_hrtime() / 1000000, "");
	}
	written += sizeof(block);
	assert_true(cn_conn_pending(s->held) > (256u << 10));
	assert_true(s->charge.used >= cn_conn_pending(s->held));
	server_settle(s);
	assert_int_equal(s->n_drains, 0);
	/* Told once more when not heard. */
	assert_false(cn_conn_write(s->held, cn_view(block, 1)));
	WAIT_FOR(s, (client_receive(&c, 65536), s->n_drains == 1));
	assert_true(cn_conn_pending(s->held) <= (64u << 10));
	assert_true(cn_conn_write(s->held, cn_view(block, 1)));
	cn_conn_end(s->held, NULL, 0);
	WAIT_FOR(s, client_ends(&c, "\r\n0\r\n\r\n"));
	assert_int_equal(client_count(&c, "4000\r\nx"), written / sizeof(block));
	assert_int_equal(s->n_drains, 1);
	assert_int_equal(s->charge.used, 0);
	server_free(s);
}

static void gives_up_on_a_client_that_does_not_read(void **state)
{
	struct cn_http__limits limits = quick();
	CN_AUTO(cn_buf) big = {0};

	(void)state;
	limits.stall_ms = 60;
	memset(cn_buf_reserve(&big, 32u << 20), 'x', 32u << 20);
	big.n = 32u << 20;
	for (int begun = 0; begun < 2; begun++) {
		struct server *s = server_new(&limits, 10, NULL);
		CN_AUTO(client) c = client_connect(s);

		client_say(s, &c,
		           begun ? "GET /begin HTTP/1.1\r\n\r\n"
		                 : "GET /hold HTTP/1.1\r\n\r\n");
		WAIT_FOR(s, s->held);
		if (begun)
			assert_false(cn_conn_write(s->held, cn_buf_view(&big)));
		else
			cn_conn_reply(
			    s->held,
			    &(struct cn_reply){.status = 200, .body = cn_buf_view(&big)});
		WAIT_FOR(s, s->n_gone == 1);
		assert_string_equal(cn_buf_cstr(&s->gone),
		                    "the client does not read its answer");
		assert_int_equal(s->n_sent, 0);
		WAIT_FOR(s, s->n_closed == 1);
		server_free(s);
	}
}

static void ends_what_takes_too_long(void **state)
{
	static const struct {
		const char *name, *bytes, *reply, *why;
	} cases[] = {
	    {"silence", "", "", ""},
	    {"half a head", "GET / HTTP/1.1\r\nA", "408 Request Timeout",
	     "408 the request head"},
	    {"half a body", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
	     "408 Request Timeout", "408 the request body comes"},
	    {"half a chunk", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\na",
	     "408 Request Timeout", "408 the request body comes"},
	    {"idle", "GET / HTTP/1.1\r\n\r\n", "200 OK", ""},
	};
	struct cn_http__limits limits = quick();
	struct server *s;

	(void)state;
	limits.head_ms = limits.body_ms = limits.idle_ms = 60;
	s = server_new(&limits, 10, NULL);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(client) c = client_connect(s);

		cn_buf_clear(&s->refused);
		client_say(s, &c, cases[i].bytes);
		WAIT_FOR(s, client_over(&c));
		assert_got(&c, cases[i].reply);
		assert_true(c.eof);
		if (!cn_view_starts(cn_buf_view(&s->refused), cn_view_str(cases[i].why)))
			fail_msg("%s: %s", cases[i].name, cn_buf_cstr(&s->refused));
		client_done(&c);
		WAIT_FOR(s, s->n_closed == i + 1);
	}
	server_free(s);
}

static void heads_win_no_time_by_trickling(void **state)
{
	struct cn_http__limits limits = quick();
	struct server *s;

	(void)state;
	limits.head_ms = 60;
	s = server_new(&limits, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	client_say(s, &c, "GET / HTTP/1.1\r\nA: ");
	for (uint64_t began_ms = uv_hrtime() / 1000000; s->n_refused == 0;) {
		client_say(s, &c, "b");
		server_turn(s, began_ms, "a refusal of the head");
	}
	assert_true(cn_view_starts(cn_buf_view(&s->refused), CN_VIEW("408")));
	server_free(s);
}

static void slow_bodies_live_as_long_as_they_keep_the_rate(void **state)
{
	struct cn_http__limits limits = quick();
	struct server *s;
	uint64_t began_ms;
	unsigned sent = 0;

	(void)state;
	limits.body_ms = 150;
	limits.body_rate = 50; /* 7 bytes in each window */
	s = server_new(&limits, 10, NULL);
	CN_AUTO(client) c = client_connect(s);

	client_say(s, &c, "POST / HTTP/1.1\r\nContent-Length: 16777216\r\n\r\n");
	began_ms = uv_hrtime() / 1000000;
	while (uv_hrtime() / 1000000 - began_ms < 500) {
		client_say(s, &c, "abcd");
		sent += 4;
		server_turn(s, uv_hrtime() / 1000000, "");
	}
	assert_true(sent < 16777216);
	assert_int_equal(s->n_refused, 0);
	WAIT_FOR(s, s->n_refused == 1);
	assert_true(cn_view_starts(cn_buf_view(&s->refused), CN_VIEW("408")));
	server_free(s);
}

static void bodies_are_charged_before_they_are_kept(void **state)
{
	struct cn_http__limits limits = quick();
	struct server *s = server_new(&limits, 10, NULL);
	CN_AUTO(cn_buf) body = {0};

	(void)state;
	memset(cn_buf_reserve(&body, 3u << 20), 'y', 3u << 20);
	body.n = 3u << 20;
	for (int fits = 0; fits < 2; fits++) {
		CN_AUTO(client) c = client_connect(s);

		s->charge.limit = fits ? (8u << 20) : (2u << 20);
		client_say(s, &c, "POST / HTTP/1.1\r\nContent-Length: 3145728\r\n\r\n");
		client_send(s, &c, cn_buf_view(&body));
		if (fits) {
			WAIT_FOR(s, s->n_requests == 1);
			assert_int_equal(s->body.n, body.n);
			assert_memory_equal(s->body.p, body.p, body.n);
			WAIT_FOR(s, (client_ends(&c, "yyy") && c.got.n > body.n));
			assert_true(cn_view_ends(cn_buf_view(&c.got), cn_buf_view(&body)));
		} else {
			WAIT_FOR(s, client_has(&c, "503 Service Unavailable"));
			assert_int_equal(s->n_requests, 0);
		}
	}
	server_free(s);
}

/* Output over the memory limit is not lost: its writer is told to stop. */
static void output_over_the_memory_limit_stops_its_writer(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) c = client_connect(s);
	char block[4096];

	(void)state;
	client_say(s, &c, "GET /begin HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->held && client_has(&c, "\r\n\r\n"));
	s->charge.limit = s->charge.used;
	memset(block, 'x', sizeof(block));
	assert_false(cn_conn_write(s->held, cn_view(block, sizeof(block))));
	WAIT_FOR(s, s->n_drains == 1);
	s->charge.limit = 1u << 20;
	assert_true(cn_conn_write(s->held, CN_VIEW("more")));
	WAIT_FOR(s, client_has(&c, "4\r\nmore\r\n"));
	assert_got(&c, "\r\n1000\r\nxxxx");
	assert_int_equal(client_count(&c, "x"), sizeof(block) + strlen("xx"));
	server_free(s);
}

static void drains_without_breaking_anything(void **state)
{
	struct cn_http__limits limits = quick();
	struct server *s;

	(void)state;
	limits.idle_last_ms = 50;
	s = server_new(&limits, 10, NULL);
	CN_AUTO(client) held = client_connect(s);
	CN_AUTO(client) half = client_connect(s);
	CN_AUTO(client) idle = client_connect(s);
	int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)s->port)};

	client_say(s, &held, "GET /begin HTTP/1.1\r\n\r\n");
	client_say(s, &half, "GET / HTT");
	client_say(s, &idle, "GET / HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->held && client_has(&idle, "hello"));
	cn_listener_drain(s->l);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(late, (struct sockaddr *)&in, sizeof(in)), -1);
	close(late);
	WAIT_FOR(s, client_over(&idle));
	client_say(s, &half, "P/1.1\r\n\r\n");
	WAIT_FOR(s, client_over(&half));
	assert_got(&half, "connection: close\r\n\r\nhello");
	(void)cn_conn_write(s->held, CN_VIEW("whole"));
	cn_conn_end(s->held, NULL, 0);
	WAIT_FOR(s, client_has(&held, "5\r\nwhole\r\n0\r\n\r\n"));
	WAIT_FOR(s, cn_listener_connections(s->l) == (held.eof ? 0u : 1u) ||
	                client_over(&held));
	WAIT_FOR(s, cn_listener_connections(s->l) == 0);
	server_free(s);
}

static void closing_the_listener_tells_whom_it_serves(void **state)
{
	struct server *s = server_new(NULL, 10, NULL);
	CN_AUTO(client) held = client_connect(s);
	CN_AUTO(client) begun = client_connect(s);
	CN_AUTO(client) idle = client_connect(s);
	unsigned n_gone = 0;

	(void)state;
	client_say(s, &held, "GET /hold HTTP/1.1\r\n\r\n");
	client_say(s, &begun, "GET /begin HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->n_requests == 2 && s->open == 3);
	cn_listener_close(s->l, server_closed, s);
	n_gone = s->n_gone;
	WAIT_FOR(s, !s->l);
	assert_int_equal(n_gone, 2);
	assert_int_equal(s->n_closed, 3);
	assert_true(client_over(&held) && client_over(&begun) && client_over(&idle));
	assert_int_equal(uv_loop_close(&s->loop), 0);
	cn_buf_done(&s->head);
	cn_buf_done(&s->gone);
	free(s);
}

static void accepts_no_more_than_it_may(void **state)
{
	struct cn_http__limits limits = quick();
	struct server *s = server_new(&limits, 2, NULL);
	CN_AUTO(client) a = client_connect(s);
	CN_AUTO(client) b = client_connect(s);
	CN_AUTO(client) c = client_connect(s);

	(void)state;
	client_say(s, &c, "GET / HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, s->open == 2);
	server_settle(s);
	assert_int_equal(cn_listener_connections(s->l), 2);
	assert_int_equal(s->n_heads, 0);
	client_done(&a);
	WAIT_FOR(s, client_has(&c, "hello"));
	/* A refusal by the owner is a pause, not an end. */
	s->may_accept = 3;
	client_done(&b);
	CN_AUTO(client) d = client_connect(s);

	client_say(s, &d, "GET / HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, client_has(&d, "hello"));
	assert_int_equal(s->may_accept, 0);
	server_free(s);
}

/* As workers do: each watches a duplicate of the one listening socket. */
static void listeners_share_a_socket(void **state)
{
	struct server *s = server_new(NULL, 2, NULL);
	struct cn_listener_opts opts = s->l->opts;
	struct cn_listener *first = s->l, *second;
	struct client c[3];
	struct cn_error err = {0};

	(void)state;
	assert_int_equal(cn_listener_open(&opts, dup(first->fd), false, &second, &err), 0);
	for (size_t i = 0; i < 3; i++) {
		c[i] = client_connect(s);
		client_say(s, &c[i], "GET / HTTP/1.1\r\n\r\n");
		WAIT_FOR(s, client_has(&c[i], "hello"));
	}
	assert_int_equal(cn_listener_connections(first) + cn_listener_connections(second),
	                 3);
	cn_listener_drain(first);
	for (size_t i = 0; i < 3; i++)
		client_done(&c[i]);
	WAIT_FOR(s, s->open == 0);
	c[0] = client_connect(s);
	client_say(s, &c[0], "GET / HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, client_has(&c[0], "hello"));
	assert_int_equal(cn_listener_connections(second), 1);
	client_done(&c[0]);
	cn_listener_close(second, server_closed, s);
	WAIT_FOR(s, !s->l);
	s->l = first;
	server_free(s);
}

static void serves_unix_sockets(void **state)
{
	char dir[] = "/tmp/continuo-test-XXXXXX";
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct server *s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", dir);
	s = server_new(NULL, 10, un.sun_path);
	CN_AUTO(client) c = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	assert_int_equal(connect(c.fd, (struct sockaddr *)&un, sizeof(un)), 0);
	client_say(s, &c, "GET / HTTP/1.1\r\n\r\n");
	WAIT_FOR(s, client_has(&c, "hello"));
	assert_string_equal(cn_buf_cstr(&s->head), "GET /  unix");
	server_free(s);
	unlink(un.sun_path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_and_keeps_the_connection),
	    cmocka_unit_test(closes_when_either_side_says_so),
	    cmocka_unit_test(takes_requests_byte_by_byte),
	    cmocka_unit_test(refuses_by_itself_and_closes),
	    cmocka_unit_test(a_refusal_reaches_a_client_that_is_still_sending),
	    cmocka_unit_test(says_continue_only_after_the_head_was_accepted),
	    cmocka_unit_test(streams_chunks_and_trailers),
	    cmocka_unit_test(streams_to_heads_and_to_old_clients),
	    cmocka_unit_test(a_broken_off_reply_has_no_last_chunk),
	    cmocka_unit_test(pipelined_requests_wait_their_turn),
	    cmocka_unit_test(notices_a_client_that_leaves),
	    cmocka_unit_test(a_client_that_leaves_before_its_request_is_whole_is_no_loss),
	    cmocka_unit_test(tells_a_writer_to_stop_and_to_go_on),
	    cmocka_unit_test(gives_up_on_a_client_that_does_not_read),
	    cmocka_unit_test(ends_what_takes_too_long),
	    cmocka_unit_test(heads_win_no_time_by_trickling),
	    cmocka_unit_test(slow_bodies_live_as_long_as_they_keep_the_rate),
	    cmocka_unit_test(bodies_are_charged_before_they_are_kept),
	    cmocka_unit_test(output_over_the_memory_limit_stops_its_writer),
	    cmocka_unit_test(drains_without_breaking_anything),
	    cmocka_unit_test(closing_the_listener_tells_whom_it_serves),
	    cmocka_unit_test(accepts_no_more_than_it_may),
	    cmocka_unit_test(listeners_share_a_socket),
	    cmocka_unit_test(serves_unix_sockets),
	};

	return cmocka_run_group_tests_name("http_conn", tests, NULL, NULL);
}
