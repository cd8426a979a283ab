/*
 * Every form in which a backend may answer well.  If this fails, a good answer arrives
 * wrongly or not at all.
 */
#include <dirent.h>

#include "upstream_client.h"

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
#define Z                        \
	{                        \
		SILENCE, NULL, 0 \
	}

#define MESSAGE                                                                         \
	"{\"id\":\"m1\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{\"type\":" \
	"\"text\",\"text\":\"Hello\"}],\"stop_reason\":\"end_turn\",\"usage\":{}}"
#define MESSAGE_SAID "message_start [0=Hello ] (end_turn) message_stop "
#define PLAIN(type)  "HTTP/1.1 200 OK\r\nContent-Type: " type "\r\n\r\n"
#define LINES                                                                    \
	"data: {\"type\":\"message_start\",\"message\":{}}\n\n"                  \
	"data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":" \
	"{\"type\":\"text\",\"text\":\"\"}}\n\n"                                 \
	"data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"         \
	"{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n"                      \
	"data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"                \
	"data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"

/* ---- forms ---- */

struct form {
	const char *name;
	struct step steps[6];
	const char *said;
	bool whole;
};

static const struct form forms[] = {
    {"a stream", {R, S(HELLO), Z}, HELLO_SAID, false},
    {"byte by byte", {R, {TRICKLE, HELLO, 0}, Z}, HELLO_SAID, false},
    {"the end of the connection as the end",
     {R, S(PLAIN("text/event-stream") LINES "data: {\"type\":\"message_stop\"}\n\n"), E},
     HELLO_SAID,
     false},
    {"no blank line behind the last event",
     {R, S(PLAIN("text/event-stream") LINES "data: {\"type\":\"message_stop\"}"), E},
     HELLO_SAID,
     false},
    {"a content-type that lies",
     {R, S(PLAIN("text/plain") LINES "data: {\"type\":\"message_stop\"}\n\n"), E},
     HELLO_SAID,
     false},
    {"JSON by name, a stream in fact",
     {R, S(PLAIN("application/json") "\n\n" LINES "data: {\"type\":\"message_stop\"}\n\n"),
      E},
     HELLO_SAID,
     false},
    {"events behind message_stop are passed over",
     {R, S(SSE_HEAD EVENTS EV_HELLO EV_STOP "9\r\ndata: {no\r\n" LAST), Z},
     HELLO_SAID,
     false},
    {"the connection lingers", {R, S(SSE_HEAD EVENTS), Z}, HELLO_SAID, false},
    {"pings between",
     {R,
      S(SSE_HEAD EV_PING EV_START EV_PING EV_BLOCK EV_HELLO EV_BLOCK_STOP EV_DELTA EV_STOP
            LAST),
      Z},
     HELLO_SAID,
     false},
    {"an interim answer first",
     {R, S("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" HELLO), Z},
     HELLO_SAID,
     false},
    {"trailers that look like a head",
     {R, S(SSE_HEAD EVENTS "0\r\nHTTP/1.1 500 no: x\r\nx: y\r\n\r\n"), Z},
     HELLO_SAID,
     false},
    {"a whole Message", {R, S(PLAIN("application/json") MESSAGE), E}, MESSAGE_SAID, true},
    {"a whole Message, byte by byte behind empty lines",
     {R, {TRICKLE, PLAIN("application/json") "\r\n\r\n" MESSAGE, 0}, E},
     MESSAGE_SAID,
     true},
    {"a whole Message where a stream was asked for",
     {R, S(PLAIN("application/json") MESSAGE), E},
     MESSAGE_SAID,
     false},
    {"a stream where a whole Message was asked for", {R, S(HELLO), Z}, HELLO_SAID, true},
};

static void check(const struct form *f)
{
	struct server *s = server_new(f->steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	c->opts.stream = !f->whole;
	client_run(c, &e);
	if (e.outcome.class != CN_CLASS_OK)
		fail_msg("%s: %s (%s)", f->name, cn_class_name(e.outcome.class),
		         e.outcome.reason);
	if (strcmp(cn_buf_cstr(&e.said), f->said) != 0)
		fail_msg("%s: got '%s', expected '%s'", f->name, cn_buf_cstr(&e.said),
		         f->said);
	if (e.n_heads != 1 || e.n_idles == 0 || !e.outcome.delta_seen ||
	    e.outcome.http_status != 200)
		fail_msg("%s: %u heads, %u idles, delta %d, status %d", f->name, e.n_heads,
		         e.n_idles, e.outcome.delta_seen, e.outcome.http_status);
	client_settle(c);
	assert_int_equal(e.n_ends, 1);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void every_form_of_a_good_answer_is_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		check(&forms[i]);
}

static void content_is_seen_at_its_first_character(void **state)
{
	static const struct {
		const char *event; /* behind message_start */
		bool content;
	} cases[] = {
	    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
	     "\"text\",\"text\":\"\"}}",
	     false},
	    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
	     "\"text\",\"text\":\"a\"}}",
	     true},
	    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
	     "\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}}",
	     true},
	    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
	     "\"redacted_thinking\",\"data\":\"x\"}}",
	     true},
	    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	     "\"text_delta\",\"text\":\"\"}}",
	     false},
	    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	     "\"thinking_delta\",\"thinking\":\"hm\"}}",
	     true},
	    {"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}",
	     false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_buf) text = {0};
		struct step steps[] = {R, S(NULL), E};
		struct ear e = {0};
		struct server *s;
		struct client *c;

		cn_buf_printf(&text, "%s%sdata: %s\n\n", PLAIN("text/event-stream"),
		              "data: {\"type\":\"message_start\",\"message\":{}}\n\n",
		              cases[i].event);
		steps[1].text = cn_buf_cstr(&text);
		s = server_new(steps);
		c = client_new(s->port);
		client_run(c, &e);
		if (e.outcome.delta_seen != cases[i].content)
			fail_msg("%s: delta_seen %d", cases[i].event, e.outcome.delta_seen);
		client_free(c);
		server_free(s);
		ear_done(&e);
	}
}

static void fields_are_told_in_lower_case(void **state)
{
	static const struct step steps[] = {
	    R,
	    S("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Upper:  Va Lue \r\n"
	      "Request-Id: req_9\r\nTransfer-Encoding: chunked\r\n\r\n" EVENTS LAST),
	    Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	client_run(c, &e);
	assert_string_equal(cn_buf_cstr(&e.fields),
	                    "content-type: text/event-stream\nx-upper: Va Lue\n"
	                    "request-id: req_9\ntransfer-encoding: chunked\n");
	assert_string_equal(e.request_id, "req_9");
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void a_head_of_128_fields_is_read(void **state)
{
	static const struct step steps[] = {
	    R,
	    S("HTTP/1.1 200 OK\r\n"),
	    {REPEAT, "x: y\r\n", 127},
	    S("transfer-encoding: chunked\r\n\r\n" EVENTS LAST),
	    Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	client_run(c, &e);
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void the_later_rate_limit_reset_counts(void **state)
{
	static const struct {
		const char *requests, *tokens;
		uint64_t ms;
	} cases[] = {{"1s", "6m0s", 360000},
	             {"6m0s", "1s", 360000},
	             {"1500ms", "1s", 1500},
	             {"20", "1m", 60000}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_buf) text = {0};
		struct step steps[] = {R, S(NULL), E};
		struct ear e = {0};
		struct server *s;
		struct client *c;

		cn_buf_printf(&text,
		              "HTTP/1.1 429 No\r\nx-ratelimit-reset-requests: %s\r\n"
		              "x-ratelimit-reset-tokens: %s\r\n\r\n",
		              cases[i].requests, cases[i].tokens);
		steps[1].text = cn_buf_cstr(&text);
		s = server_new(steps);
		c = client_new(s->port);
		client_run(c, &e);
		assert_int_equal(e.outcome.retry_after_ms, cases[i].ms);
		client_free(c);
		server_free(s);
		ear_done(&e);
	}
}

static void a_raw_answer_is_given_whole(void **state)
{
	static const struct step steps[] = {
	    R, S("HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"input_tok"),
	    S("ens\":42}"), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	c->opts.raw = true;
	c->opts.stream = false;
	client_run(c, &e);
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	assert_string_equal(cn_buf_cstr(&e.raw), "{\"input_tokens\":42}");
	assert_int_equal(e.n_raws, 1);
	assert_int_equal(e.n_events, 0);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

/* ---- recorded streams ---- */

static bool read_file(const char *path, struct cn_buf *ret)
{
	FILE *f = fopen(path, "r");
	char piece[16384];
	size_t n;

	if (!f)
		return false;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		cn_buf_add(ret, piece, n);
	(void)fclose(f);
	return true;
}

/* What a recording says when it comes at once, and byte by byte: the same. */
static void check_recording(const char *path, const char *name)
{
	CN_AUTO(cn_buf) file = {0};
	struct ear ears[2] = {{0}, {0}};

	assert_true(read_file(path, &file));
	for (int i = 0; i < 2; i++) {
		CN_AUTO(cn_buf) text = {0};
		struct step steps[] = {R, {i ? TRICKLE : SEND, NULL, 0}, E};
		struct server *s;
		struct client *c;

		cn_buf_add_str(&text, PLAIN("text/event-stream"));
		cn_buf_add_view(&text, cn_buf_view(&file));
		steps[1].text = cn_buf_cstr(&text);
		s = server_new(steps);
		c = client_new(s->port);
		client_run(c, &ears[i]);
		client_free(c);
		server_free(s);
	}
	if (!cn_view_eq(cn_buf_view(&ears[0].said), cn_buf_view(&ears[1].said)) ||
	    ears[0].outcome.class != ears[1].outcome.class)
		fail_msg("%s: whole: %s %s\nbyte by byte: %s %s", name,
		         cn_class_name(ears[0].outcome.class), cn_buf_cstr(&ears[0].said),
		         cn_class_name(ears[1].outcome.class), cn_buf_cstr(&ears[1].said));
	if (cn_view_find(cn_buf_view(&file), CN_VIEW("\"message_stop\""), 0) != SIZE_MAX &&
	    ears[0].outcome.class != CN_CLASS_OK)
		fail_msg("%s: %s (%s)", name, cn_class_name(ears[0].outcome.class),
		         ears[0].outcome.reason);
	ear_done(&ears[0]);
	ear_done(&ears[1]);
}

static void recorded_streams_come_the_same_however_they_are_cut(void **state)
{
	const char *shared = getenv("CONTINUO_SHARED");
	char dir[512], path[1024];
	unsigned n = 0;
	struct dirent *entry;
	DIR *d;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/fixtures/anthropic-messages/anthropic",
	               shared ? shared : "");
	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		if (!cn_view_ends(cn_view_str(entry->d_name), CN_VIEW(".sse")))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		check_recording(path, entry->d_name);
		n++;
	}
	if (d)
		(void)closedir(d);
	print_message("%u recordings\n", n);
	if (!shared || n == 0)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_form_of_a_good_answer_is_understood),
	    cmocka_unit_test(content_is_seen_at_its_first_character),
	    cmocka_unit_test(fields_are_told_in_lower_case),
	    cmocka_unit_test(a_head_of_128_fields_is_read),
	    cmocka_unit_test(the_later_rate_limit_reset_counts),
	    cmocka_unit_test(a_raw_answer_is_given_whole),
	    cmocka_unit_test(recorded_streams_come_the_same_however_they_are_cut),
	};
	struct cn_error err;
	int failed;

	if (cn_upstream_setup(&err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cn_upstream_teardown();
	return failed;
}
