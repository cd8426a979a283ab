/*
 * Every way in which a backend fails, and what the attempt says of it.  If this fails, a
 * failure is taken for another, or for an answer.
 */
#include "upstream_client.h"

#define JSON_HEAD(status) "HTTP/1.1 " status "\r\nContent-Type: application/json\r\n"
#define ERROR(type, text) \
	"{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" text "\"}}"
#define SIXTEEN(x) x x x x x x x x x x x x x x x x
#define FIELDS_16  SIXTEEN("x: y\r\n")

struct failure {
	const char *name;
	struct step steps[10];
	const char *reason; /* NULL: any */
	/* Shorter times; 0: the client's long ones. */
	uint64_t connect_ms, first_byte_ms, idle_ms, progress_ms, attempt_ms;
	uint64_t ceiling; /* tokens */
	enum cn_class class;
	int status;
	unsigned n_events;
	bool delta_seen;
	bool whole; /* no stream is asked for */
	bool raw;
};

#define R                        \
	{                        \
		REQUEST, NULL, 0 \
	}
#define S(text)               \
	{                     \
		SEND, text, 0 \
	}
#define E                    \
	{                    \
		END, NULL, 0 \
	}
#define G                     \
	{                     \
		GATE, NULL, 0 \
	}
#define Z                        \
	{                        \
		SILENCE, NULL, 0 \
	}
#define RST                    \
	{                      \
		RESET, NULL, 0 \
	}

static const struct failure failures[] = {
    {"nobody accepts",
     {{NO_ACCEPT, NULL, 0}},
     .class = CN_CLASS_TIMEOUT_CONNECT,
     .status = 0,
     .reason = "no connection in time",
     .connect_ms = 100},
    {"reset before the head",
     {R, RST},
     .class = CN_CLASS_SERVER_ERROR,
     .status = 0,
     .reason = "closed without an answer"},
    {"closed before the head",
     {R, E},
     .class = CN_CLASS_SERVER_ERROR,
     .status = 0,
     .reason = "closed without an answer"},
    {"closed within the head",
     {R, S("HTTP/1.1 200 OK\r\nContent-Ty"), E},
     .class = CN_CLASS_SERVER_ERROR,
     .status = 0},
    {"reset in the stream",
     {R, S(SSE_HEAD EV_START), G, S(EV_BLOCK), G, S(EV_HELLO), G, RST},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .delta_seen = true,
     .n_events = 3},
    {"closed in the stream",
     {R, S(SSE_HEAD EV_START EV_BLOCK EV_HELLO), E},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .reason = "closed before the end",
     .delta_seen = true,
     .n_events = 3},
    {"closed within a chunk",
     {R, S(SSE_HEAD EV_START EV_BLOCK "ff\r\nevent: cont"), E},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .reason = "closed before the end",
     .delta_seen = false,
     .n_events = 2},
    {"closed before any content",
     {R, S(SSE_HEAD EV_START), E},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .delta_seen = false,
     .n_events = 1},
    {"no message_stop",
     {R, S(SSE_HEAD EV_START EV_BLOCK EV_HELLO EV_BLOCK_STOP LAST), Z},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .reason = "ended without a terminal event",
     .delta_seen = true,
     .n_events = 4},
    {"[DONE] is no end",
     {R, S(SSE_HEAD EV_START EV_BLOCK EV_HELLO "e\r\ndata: [DONE]\n\n\r\n" LAST), Z},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .reason = "ended without a terminal event",
     .delta_seen = true,
     .n_events = 3},
    {"an event cut by the end of the connection",
     {R,
      S("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        "data: {\"type\":\"message_start\",\"message\":{}}\n\ndata: {\"type\":\"mess"),
      E},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .reason = "ended without a terminal event",
     .delta_seen = false,
     .n_events = 1},
    {"nothing but comments",
     {R, S(SSE_HEAD "8\r\n: hello\n\r\n" LAST), Z},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .reason = "ended without any event"},
    {"200 and empty",
     {R, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Z},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200},
    {"204",
     {R, S("HTTP/1.1 204 No\r\n\r\n"), Z},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 204},
    {"200 and a page",
     {R, S("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>login</html>"), E},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200},
    {"200 and an error",
     {R, S(JSON_HEAD("200 OK") "\r\n\n\n  " ERROR("overloaded_error", "busy")), E},
     .class = CN_CLASS_OVERLOADED,
     .status = 200},
    {"200, SSE by name, and an error",
     {R, S(SSE_HEAD "42\r\n" ERROR("rate_limit_error", "n") "\r\n" LAST), Z},
     .class = CN_CLASS_RATE_LIMITED,
     .status = 200},
    {"200 and something else",
     {R, S(JSON_HEAD("200 OK") "\r\n{\"hello\":1}"), E},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200},
    {"200 and half a Message",
     {R, S(JSON_HEAD("200 OK") "\r\n{\"role\":\"assista"), E},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200},
    {"a Message with a block that is none",
     {R,
      S(JSON_HEAD("200 OK") "\r\n{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
                            "\"text\":\"a\"},7]}"),
      E},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "a Message that cannot be read",
     .delta_seen = true,
     .n_events = 3},
    {"a whole answer cut",
     {R, S(JSON_HEAD("200 OK") "Content-Length: 99\r\n\r\n{\"role\":"), E},
     .class = CN_CLASS_TRUNCATED_STREAM,
     .status = 200,
     .whole = true},
    {"400",
     {R, S(JSON_HEAD("400 Bad") "\r\n" ERROR("invalid_request_error", "no")), E},
     .class = CN_CLASS_INVALID_REQUEST,
     .status = 400},
    {"401",
     {R, S(JSON_HEAD("401 No") "\r\n" ERROR("authentication_error", "no")), E},
     .class = CN_CLASS_AUTH,
     .status = 401},
    {"402",
     {R, S(JSON_HEAD("402 Pay") "\r\n" ERROR("billing_error", "no")), E},
     .class = CN_CLASS_BILLING,
     .status = 402},
    {"404 without a model",
     {R, S("HTTP/1.1 404 No\r\n\r\nno such page"), E},
     .class = CN_CLASS_MISCONFIGURED,
     .status = 404},
    {"413",
     {R, S(JSON_HEAD("413 Big") "\r\n" ERROR("request_too_large", "big")), E},
     .class = CN_CLASS_CONTEXT_OVERFLOW,
     .status = 413},
    {"429",
     {R, S(JSON_HEAD("429 Slow") "\r\n" ERROR("rate_limit_error", "slow")), E},
     .class = CN_CLASS_RATE_LIMITED,
     .status = 429},
    {"500",
     {R, S("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), Z},
     .class = CN_CLASS_SERVER_ERROR,
     .status = 500},
    {"529",
     {R, S(JSON_HEAD("529 Over") "\r\n" ERROR("overloaded_error", "o")), E},
     .class = CN_CLASS_OVERLOADED,
     .status = 529},
    {"529 whose body is cut",
     {R, S(JSON_HEAD("529 Over") "Content-Length: 99\r\n\r\n{"), E},
     .class = CN_CLASS_OVERLOADED,
     .status = 529},
    {"429 whose body never ends",
     {R, S(JSON_HEAD("429 Slow") "Content-Length: 99\r\n\r\n{"), Z},
     .class = CN_CLASS_RATE_LIMITED,
     .status = 429},
    {"a redirect is not followed",
     {R,
      S("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
      Z},
     .class = CN_CLASS_MISCONFIGURED,
     .status = 302},
    {"gzip",
     {R, S("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"), E},
     .class = CN_CLASS_MISCONFIGURED,
     .status = 200,
     .reason = "an encoded answer"},
    {"gzip, hidden behind identity",
     {R,
      S("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: identity\r\n\r\n\x1f"),
      E},
     .class = CN_CLASS_MISCONFIGURED,
     .status = 200,
     .reason = "an encoded answer"},
    {"gzip as a transfer coding",
     {R, S("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b\x08"), E},
     .class = CN_CLASS_MISCONFIGURED,
     .status = 200,
     .reason = "an encoded answer"},
    {"an event that is no JSON",
     {R, S(SSE_HEAD "10\r\ndata: {garbage\n\n\r\n"), Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "an event that cannot be read"},
    {"a delta without its index",
     {R, S(SSE_HEAD "26\r\ndata: {\"type\":\"content_block_delta\"}\n\n\r\n"), Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "an event that cannot be read"},
    {"an error in the stream",
     {R,
      S(SSE_HEAD EV_START EV_BLOCK EV_HELLO
        "57\r\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
        "\"overloaded_error\",\"message\":\"m\"}}\n\n\r\n"),
      Z},
     .class = CN_CLASS_OVERLOADED,
     .status = 200,
     .delta_seen = true,
     .n_events = 3},
    {"a head of too many bytes",
     {R, S("HTTP/1.1 200 OK\r\n"), {REPEAT, SIXTEEN("x: 0123456789abcdef\r\n"), 4096}, Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 0,
     .reason = "the response head is too large"},
    {"a head of one long line",
     {R, S("HTTP/1.1 200 OK\r\nx: "), {REPEAT, SIXTEEN("0123456789abcdef"), 4096}, Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 0},
    {"a head of 129 fields",
     {R, S("HTTP/1.1 200 OK\r\nx: y\r\n"), {REPEAT, FIELDS_16, 8}, S("\r\n"), Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 0,
     .reason = "the response head is too large"},
    {"interim answers without end",
     {R, {REPEAT, "HTTP/1.1 100 Continue\r\n\r\n", 100000}, Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 0,
     .reason = "the response head is too large"},
    {"another protocol",
     {R, S("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" EVENTS), E},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 0},
    {"no HTTP at all",
     {R, S("220 mail.example ready\r\n"), E},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 0},
    {"no head in time",
     {R, Z},
     .class = CN_CLASS_TIMEOUT_FIRST_BYTE,
     .status = 0,
     .reason = "nothing came in time",
     .first_byte_ms = 80},
    {"a head, then silence",
     {R, S(SSE_HEAD), Z},
     .class = CN_CLASS_TIMEOUT_FIRST_BYTE,
     .status = 200,
     .reason = "nothing came in time",
     .first_byte_ms = 80},
    {"only pings from the start",
     {R, S(SSE_HEAD), {PACE, EV_PING, 5}},
     .class = CN_CLASS_TIMEOUT_FIRST_BYTE,
     .status = 200,
     .first_byte_ms = 80},
    {"silence after an event, sooner than the first byte's time",
     {R, S(SSE_HEAD EV_START EV_BLOCK EV_HELLO), Z},
     .class = CN_CLASS_TIMEOUT_IDLE,
     .status = 200,
     .reason = "no byte in time",
     .delta_seen = true,
     .n_events = 3,
     .idle_ms = 80},
    {"pings for ever",
     {R, S(SSE_HEAD EV_START EV_BLOCK EV_HELLO), {PACE, EV_PING, 5}},
     .class = CN_CLASS_TIMEOUT_IDLE,
     .status = 200,
     .reason = "only pings in time",
     .delta_seen = true,
     .n_events = 3,
     .progress_ms = 80},
    {"comments for ever",
     {R, S(SSE_HEAD EV_START EV_BLOCK EV_HELLO), {PACE, "4\r\n: x\n\r\n", 5}},
     .class = CN_CLASS_TIMEOUT_IDLE,
     .status = 200,
     .reason = "only pings in time",
     .delta_seen = true,
     .n_events = 3,
     .progress_ms = 80},
    {"deltas for ever",
     {R, S(SSE_HEAD EV_START EV_BLOCK), {PACE, EV_HELLO, 5}},
     .class = CN_CLASS_TIMEOUT_IDLE,
     .status = 200,
     .reason = "the attempt took too long",
     .delta_seen = true,
     .attempt_ms = 150},
    {"a whole answer that stops coming",
     {R, S(JSON_HEAD("200 OK") "Content-Length: 99\r\n\r\n{\"role\":"), Z},
     .class = CN_CLASS_TIMEOUT_IDLE,
     .status = 200,
     .whole = true,
     .idle_ms = 80},
    {"empty lines for ever, in front of a whole answer",
     {R, S(JSON_HEAD("200 OK") "Content-Length: 9999\r\n\r\n"), {PACE, "\n", 5}},
     .class = CN_CLASS_TIMEOUT_FIRST_BYTE,
     .status = 200,
     .whole = true,
     .first_byte_ms = 8},
    {"a count that never comes",
     {R, Z},
     .class = CN_CLASS_TIMEOUT_FIRST_BYTE,
     .status = 0,
     .raw = true,
     .first_byte_ms = 80},
    {"a line over 1 MiB",
     {R,
      S("HTTP/1.1 200 OK\r\n\r\ndata: "),
      {REPEAT, SIXTEEN("0123456789abcdef"), 8192},
      Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "events over a limit of the reader"},
    {"an event over 4 MiB",
     {R,
      S("HTTP/1.1 200 OK\r\n\r\n"),
      {REPEAT, "data: " SIXTEEN(SIXTEEN("01234567")) "\n", 2200},
      Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "events over a limit of the reader"},
    {"more than 20 000 events a second",
     {R, S("HTTP/1.1 200 OK\r\n\r\n"), {REPEAT, SIXTEEN(":\n"), 1 << 20}, Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "events over a limit of the reader"},
    {"more text than the model can write",
     {R, S(SSE_HEAD EV_START EV_BLOCK), {REPEAT, EV_HELLO, 19000}, Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "more text than the model can write",
     .delta_seen = true,
     .ceiling = 100},
    {"a whole answer over 64 MiB",
     {R,
      S(JSON_HEAD("200 OK") "\r\n{\"role\":\""),
      {REPEAT, SIXTEEN(SIXTEEN("abcd")), 70000},
      Z},
     .class = CN_CLASS_MALFORMED_STREAM,
     .status = 200,
     .reason = "the answer is too large"},
};

/* A status is known at once: an endless text of it does not take all the time there is. */
static bool waits_for_error_text(const struct failure *f)
{
	return f->status == 429 && f->steps[2].kind == SILENCE;
}

/* All of the table is judged, then the test fails. */
#define COMPLAIN(...) (print_error(__VA_ARGS__), 1u)

static unsigned check(const struct failure *f)
{
	struct server *s = server_new(f->steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};
	unsigned wrong = 0;
	uint64_t since = cn_clock_ms();

	/* A reset overtakes what the kernel still holds: it waits until that was read. */
	e.gate = s;
	c->opts.stream = !f->whole && !f->raw;
	c->opts.raw = f->raw;
	c->opts.output_ceiling = f->ceiling;
	c->opts.connect_timeout_ms = f->connect_ms ? f->connect_ms : 10000;
	c->opts.first_byte_timeout_ms = f->first_byte_ms ? f->first_byte_ms : 30000;
	c->opts.idle_timeout_ms = f->idle_ms ? f->idle_ms : 30000;
	c->opts.progress_timeout_ms = f->progress_ms ? f->progress_ms : 30000;
	c->opts.attempt_timeout_ms = f->attempt_ms ? f->attempt_ms : 30000;
	client_run(c, &e);
	if (e.outcome.class != f->class || e.outcome.http_status != f->status ||
	    (f->reason && strcmp(e.outcome.reason, f->reason) != 0) ||
	    e.outcome.delta_seen != f->delta_seen ||
	    (f->n_events && e.n_events != f->n_events))
		wrong += COMPLAIN(
		    "%s: got %s %d (%s), delta %d, %u events; expected %s %d (%s), %d, %u\n",
		    f->name, cn_class_name(e.outcome.class), e.outcome.http_status,
		    e.outcome.reason, e.outcome.delta_seen, e.n_events,
		    cn_class_name(f->class), f->status, f->reason ? f->reason : "any",
		    f->delta_seen, f->n_events);
	if (e.outcome.head_seen != (f->status != 0) || e.outcome.free_retry)
		wrong += COMPLAIN("%s: head_seen %d, free_retry %d\n", f->name,
		                  e.outcome.head_seen, e.outcome.free_retry);
	if (cn_clock_ms() - since > (waits_for_error_text(f) ? 15000u : 12000u))
		wrong += COMPLAIN("%s: took %llu ms\n", f->name,
		                  (unsigned long long)(cn_clock_ms() - since));
	client_settle(c);
	if (e.n_ends != 1)
		wrong += COMPLAIN("%s: %u ends\n", f->name, e.n_ends);
	client_free(c);
	server_free(s);
	ear_done(&e);
	return wrong;
}

static void every_failure_has_its_class(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		wrong += check(&failures[i]);
	assert_int_equal(wrong, 0);
}

static unsigned refused_port(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

/* Failures for which nobody has to listen. */
static void a_backend_that_cannot_be_reached(void **state)
{
	static const struct {
		const char *url; /* "%u": the refused port */
		enum cn_network network;
		bool plaintext;
		enum cn_class class;
		const char *reason;
	} cases[] = {
	    {"http://127.0.0.1:%u", CN_NETWORK_PRIVATE, false, CN_CLASS_TIMEOUT_CONNECT,
	     "connection refused"},
	    {"http://nothing.invalid:%u", CN_NETWORK_PRIVATE, true,
	     CN_CLASS_TIMEOUT_CONNECT, "name not found"},
	    {"https://127.0.0.1:%u", CN_NETWORK_PUBLIC, false, CN_CLASS_MISCONFIGURED,
	     "an address that this backend may not use"},
	    {"https://localhost:%u", CN_NETWORK_PUBLIC, false, CN_CLASS_MISCONFIGURED,
	     "an address that this backend may not use"},
	    {"https://169.254.169.254:%u", CN_NETWORK_PUBLIC, false, CN_CLASS_MISCONFIGURED,
	     "an address that this backend may not use"},
	    {"https://[::ffff:10.0.0.1]:%u", CN_NETWORK_PUBLIC, false,
	     CN_CLASS_MISCONFIGURED, "an address that this backend may not use"},
	    {"http://192.0.2.1:%u", CN_NETWORK_PRIVATE, false, CN_CLASS_MISCONFIGURED,
	     "an address that this backend may not use"},
	};
	unsigned port = refused_port();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client *c = client_new(port);
		struct ear e = {0};
		const char *at = strstr(cases[i].url, "%u");

		(void)snprintf(c->url, sizeof(c->url), "%.*s%u", (int)(at - cases[i].url),
		               cases[i].url, port);
		c->backend.network = cases[i].network;
		c->backend.plaintext = cases[i].plaintext;
		client_run(c, &e);
		if (e.outcome.class != cases[i].class ||
		    strcmp(e.outcome.reason, cases[i].reason) != 0 || e.outcome.head_seen ||
		    e.outcome.perhaps_billed)
			fail_msg("%s: got %s (%s)%s, expected %s (%s)", cases[i].url,
			         cn_class_name(e.outcome.class), e.outcome.reason,
			         e.outcome.perhaps_billed ? ", perhaps billed" : "",
			         cn_class_name(cases[i].class), cases[i].reason);
		client_free(c);
		ear_done(&e);
	}
}

static void an_error_is_kept_with_what_it_says(void **state)
{
	static const struct step steps[] = {
	    R,
	    S("HTTP/1.1 429 Slow\r\nContent-Type: application/json\r\nRetry-After: 7\r\n"
	      "request-id: req_1\r\nX-Request-Id: other\r\n\r\n" ERROR("rate_limit_error",
	                                                               "slow down")),
	    E};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	client_run(c, &e);
	assert_int_equal(e.outcome.retry_after_ms, 7000);
	assert_string_equal(e.request_id, "req_1");
	assert_string_equal(cn_buf_cstr(&e.error_body),
	                    ERROR("rate_limit_error", "slow down"));
	assert_string_equal(cn_buf_cstr(&e.message), "slow down");
	assert_int_equal(e.n_heads, 1);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void an_error_body_is_cut_at_64_kib(void **state)
{
	static const struct step steps[] = {R,
	                                    S("HTTP/1.1 503 No\r\n\r\n"),
	                                    {REPEAT, SIXTEEN("0123456789abcdef"), 1 << 20},
	                                    Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	client_run(c, &e);
	assert_int_equal(e.outcome.class, CN_CLASS_OVERLOADED);
	assert_int_equal(e.error_body.n, 65536);
	/* It is not read to the end: 256 MiB were on offer. */
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void memory_is_charged_and_its_limit_ends_the_attempt(void **state)
{
	static const struct step steps[] = {R,
	                                    S("HTTP/1.1 200 OK\r\n\r\n{\"role\":\""),
	                                    {REPEAT, SIXTEEN(SIXTEEN("abcd")), 7000},
	                                    Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	c->charge.limit = 1 << 20;
	client_run(c, &e);
	assert_int_equal(e.outcome.class, CN_CLASS_MALFORMED_STREAM);
	assert_string_equal(e.outcome.reason, "the memory budget is used up");
	client_free(c); /* asserts that nothing is charged any more */
	server_free(s);
	ear_done(&e);
}

static void an_owner_refuses_an_event(void **state)
{
	static const struct step steps[] = {R, S(HELLO), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {.refuse_with = "held call"};

	(void)state;
	client_run(c, &e);
	assert_int_equal(e.outcome.class, CN_CLASS_MALFORMED_STREAM);
	assert_string_equal(e.outcome.reason, "held call");
	assert_int_equal(e.n_events, 2);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_failure_has_its_class),
	    cmocka_unit_test(a_backend_that_cannot_be_reached),
	    cmocka_unit_test(an_error_is_kept_with_what_it_says),
	    cmocka_unit_test(an_error_body_is_cut_at_64_kib),
	    cmocka_unit_test(memory_is_charged_and_its_limit_ends_the_attempt),
	    cmocka_unit_test(an_owner_refuses_an_event),
	};
	struct cn_error err;
	int failed;

	if (cn_upstream_setup(&err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cn_upstream_teardown();
	return failed;
}
