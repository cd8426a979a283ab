/*
 * The figures that the client gets.  If this fails, it crashes on something that is no
 * number, compacts a conversation that has room, or runs into a window unwarned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "continuo/anthropic.h"
#include "continuo/hash.h"
#include "continuo/splice.h"
#include "continuo/sse.h"

#define ESTIMATE 20000
#define LEAST    18000
#define WINDOW   200000

static struct cn_charge charge = {.limit = (size_t)1 << 30};
static const struct cn_author author = {"a/m", "a#k/m", WINDOW};
static const struct cn_author other = {"b/m", "b#k/m", 0};

static struct cn_splice_opts opts(void)
{
	return (struct cn_splice_opts){.message_id = CN_VIEW("msg_ours"),
	                               .model = CN_VIEW("claude-asked"),
	                               .estimate = ESTIMATE,
	                               .least = LEAST,
	                               .max_tokens = 1000,
	                               .charge = &charge};
}

/* ---- a backend that says what the test wants ---- */

static bool to_splice(void *self, const struct cn_sse_event *sse)
{
	struct cn_splice *s = self;
	CN_AUTO(cn_arena) a = {0};
	struct cn_event ev;

	assert_int_equal(cn_anthropic_decode(&a, sse->name, sse->data, &ev, NULL), 0);
	assert_null(cn_splice_feed(s, &ev, 1));
	return true;
}

static void feed(struct cn_splice *s, const char *text)
{
	struct cn_sse sse;

	cn_sse_init(&sse, to_splice, s);
	assert_int_equal(cn_sse_feed(&sse, cn_view_str(text), 1, NULL), 0);
	cn_sse_done(&sse);
}

static void begin(struct cn_splice *s, const struct cn_author *by, const char *usage)
{
	char text[1000];

	cn_splice_begin(s, by);
	(void)snprintf(text, sizeof(text),
	               "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_b\","
	               "\"model\":\"m\"%s%s}}\n\n",
	               usage ? ",\"usage\":" : "", usage ? usage : "");
	feed(s, text);
}

static void say(struct cn_splice *s, const char *words)
{
	char text[1000];

	(void)snprintf(text, sizeof(text),
	               "data: {\"type\":\"content_block_start\",\"index\":0,"
	               "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
	               "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	               "\"type\":\"text_delta\",\"text\":\"%s\"}}\n\n",
	               words);
	feed(s, text);
}

static void end(struct cn_splice *s, const char *usage)
{
	char text[1000];

	(void)snprintf(text, sizeof(text),
	               "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
	               "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
	               "\"end_turn\"}%s%s}\n\n"
	               "data: {\"type\":\"message_stop\"}\n\n",
	               usage ? ",\"usage\":" : "", usage ? usage : "");
	feed(s, text);
}

/* ---- the client: each figure has to be a number ---- */

struct told {
	uint64_t start, input, output; /* of message_start, of message_delta */
	bool has_start, has_input, has_output;
};

static void read_usage(struct cn_json usage, uint64_t *retinput, bool *rethas)
{
	static const char *const names[] = {"input_tokens", "cache_creation_input_tokens",
	                                    "cache_read_input_tokens"};

	*retinput = 0;
	for (size_t i = 0; i < 3; i++) {
		struct cn_json v = cn_json_get(usage, names[i]);
		uint64_t n = 0;

		if (v.kind == CN_JSON_NONE)
			continue;
		assert_true(cn_json_u64(v, &n));
		*retinput += n;
		*rethas = true;
	}
}

static bool to_client(void *self, const struct cn_sse_event *sse)
{
	struct told *t = self;
	struct cn_json root = cn_json_root(sse->data);

	if (cn_view_is(sse->name, "message_start")) {
		read_usage(cn_json_path(root, "message", "usage", NULL), &t->start,
		           &t->has_start);
	} else if (cn_view_is(sse->name, "message_delta")) {
		struct cn_json usage = cn_json_get(root, "usage");

		read_usage(usage, &t->input, &t->has_input);
		t->has_output =
		    cn_json_u64(cn_json_get(usage, "output_tokens"), &t->output);
	}
	return true;
}

static struct told told(struct cn_splice *s)
{
	struct told t = {0};
	struct cn_sse sse;

	cn_sse_init(&sse, to_client, &t);
	assert_int_equal(cn_sse_feed(&sse, cn_buf_view(cn_splice_out(s)), 1, NULL), 0);
	cn_sse_done(&sse);
	return t;
}

/* ---- cases ---- */

#define I(n)     "{\"input_tokens\":" n "}"
#define IO(n, o) "{\"input_tokens\":" n ",\"output_tokens\":" o "}"
#define C(i, r, w)                                               \
	"{\"input_tokens\":" i ",\"cache_read_input_tokens\":" r \
	",\"cache_creation_input_tokens\":" w ",\"output_tokens\":5}"

static void every_figure_is_a_plausible_number(void **state)
{
	static const struct {
		const char *first, *last; /* of message_start, of message_delta */
		uint64_t start, input;    /* what the client compacts by */
	} rows[] = {
	    /* as it should be */
	    {IO("21000", "1"), "{\"output_tokens\":9}", 21000, 21000},
	    {C("10", "20000", "100"), "{\"output_tokens\":9}", 20110, 20110},
	    {C("10", "20000", "100"), C("10", "20000", "100"), 20110, 20110},
	    /* known at the end */
	    {IO("0", "0"), IO("21000", "9"), ESTIMATE, 21000},
	    {NULL, IO("21000", "9"), ESTIMATE, 21000},
	    {"null", IO("21000", "9"), ESTIMATE, 21000},
	    {"{}", C("1000", "20000", "0"), ESTIMATE, 21000},
	    /* known at the beginning, and taken back */
	    {IO("21000", "1"), IO("0", "9"), 21000, 21000},
	    {C("10", "20000", "100"), C("0", "0", "0"), 20110, 20110},
	    /* never */
	    {NULL, NULL, ESTIMATE, ESTIMATE},
	    {"null", "null", ESTIMATE, ESTIMATE},
	    {"{}", "{}", ESTIMATE, ESTIMATE},
	    {"[]", "7", ESTIMATE, ESTIMATE},
	    {IO("0", "0"), IO("0", "9"), ESTIMATE, ESTIMATE},
	    {IO("null", "null"), IO("null", "null"), ESTIMATE, ESTIMATE},
	    {IO("-1", "-1"), IO("-21000", "-9"), ESTIMATE, ESTIMATE},
	    {IO("\"21000\"", "\"1\""), IO("\"21000\"", "\"9\""), ESTIMATE, ESTIMATE},
	    {IO("true", "[]"), IO("{}", "1.5"), ESTIMATE, ESTIMATE},
	    /* what would trigger a compaction */
	    {IO("995000", "1"), "{\"output_tokens\":9}", ESTIMATE, ESTIMATE},
	    {IO("21000", "1"), IO("995000", "9"), 21000, 21000},
	    {C("10", "20000", "1000000"), C("10", "20000", "1000000"), ESTIMATE, ESTIMATE},
	    {IO("100001", "1"), NULL, ESTIMATE, ESTIMATE},
	    {IO("100000", "1"), NULL, 100000, 100000},
	    {IO("18446744073709551615", "1"), IO("99999999999999999999", "9"), ESTIMATE,
	     ESTIMATE},
	    {C("18446744073709551615", "1", "1"), NULL, ESTIMATE, ESTIMATE},
	    /* and what would keep it from one */
	    {IO("12", "1"), "{\"output_tokens\":9}", ESTIMATE, ESTIMATE},
	    {IO("4096", "1"), IO("4096", "9"), ESTIMATE, ESTIMATE},
	    {IO("21000", "1"), IO("12", "9"), 21000, ESTIMATE},
	    {IO("6000", "1"), IO("6000", "9"), 6000, 6000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_splice_opts o = opts();
		struct cn_splice *s = cn_splice_new(&o);
		struct told t;

		begin(s, &author, rows[i].first);
		say(s, "Hello");
		cn_splice_commit(s);
		end(s, rows[i].last);
		cn_splice_finish(s);
		t = told(s);
		if (!t.has_input) /* the client keeps what it was told first */
			t.input = t.start;
		if (!t.has_start || !t.has_output || t.start != rows[i].start ||
		    t.input != rows[i].input)
			fail_msg("row %zu: %llu, then %llu", i, (unsigned long long)t.start,
			         (unsigned long long)t.input);
		cn_splice_free(s);
	}
}

static void a_whole_message_has_them_too(void **state)
{
	static const struct {
		const char *usage;
		uint64_t input;
	} rows[] = {{IO("21000", "9"), 21000},
	            {"null", ESTIMATE},
	            {IO("-1", "9"), ESTIMATE},
	            {IO("2000000", "9"), ESTIMATE},
	            {I("13"), ESTIMATE}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_splice_opts o = opts();
		CN_AUTO(cn_buf) b = {0};
		struct cn_splice *s;
		uint64_t input;
		bool has = false;

		o.gathers = true;
		s = cn_splice_new(&o);
		begin(s, &author, rows[i].usage);
		say(s, "Hello");
		end(s, NULL);
		cn_splice_commit(s);
		cn_splice_message(s, &b);
		read_usage(cn_json_get(cn_json_root(cn_buf_view(&b)), "usage"), &input,
		           &has);
		if (!has || input != rows[i].input)
			fail_msg("row %zu: %llu", i, (unsigned long long)input);
		cn_splice_free(s);
	}
}

/* The window of the model bounds what it can have read; where the provider adds to the
 * request, nothing else does, nearly. */
static void a_window_bounds_what_is_believed(void **state)
{
	static const struct {
		bool reads_more;
		const struct cn_author *by;
		const char *usage;
		uint64_t start;
	} rows[] = {
	    {false, &other, IO("90000", "1"), 90000},
	    {true, &author, IO("390000", "1"), 390000},
	    {true, &author, IO("410000", "1"), ESTIMATE},
	    {true, &other, IO("410000", "1"), 410000},
	    {true, &other, IO("2000000", "1"), ESTIMATE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_splice_opts o = opts();
		struct cn_splice *s;
		struct told t;

		o.reads_more = rows[i].reads_more;
		s = cn_splice_new(&o);
		begin(s, rows[i].by, rows[i].usage);
		say(s, "Hello");
		cn_splice_commit(s);
		t = told(s);
		if (t.start != rows[i].start)
			fail_msg("row %zu: %llu", i, (unsigned long long)t.start);
		cn_splice_free(s);
	}
}

static void output_that_nobody_counted_is_weighed(void **state)
{
	static const struct {
		const char *first, *last;
		uint64_t output;
	} rows[] = {
	    {IO("21000", "1"), "{\"output_tokens\":12}", 12},
	    {IO("21000", "1"), "{\"output_tokens\":0}", 10},
	    {IO("21000", "1"), "null", 10},
	    {IO("21000", "1"), NULL, 10},
	    {IO("21000", "30"), NULL, 30},
	    {NULL, "{\"output_tokens\":null}", 10},
	    {NULL, "{\"output_tokens\":25000}", 10},
	    {NULL, "{\"output_tokens\":24000}", 24000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_splice_opts o = opts();
		struct cn_splice *s = cn_splice_new(&o);
		struct told t;

		begin(s, &author, rows[i].first);
		say(s, "Forty bytes of text are about ten token");
		cn_splice_commit(s);
		end(s, rows[i].last);
		cn_splice_finish(s);
		t = told(s);
		if (!t.has_output || t.output != rows[i].output)
			fail_msg("row %zu: %llu", i, (unsigned long long)t.output);
		cn_splice_free(s);
	}
}

/* Two that each read all of it have not read twice as much. */
static void attempts_are_not_added_up(void **state)
{
	static const struct {
		const char *first, *second;
		uint64_t input;
	} rows[] = {
	    {IO("21000", "1"), IO("22000", "1"), 21000},
	    {NULL, IO("22000", "1"), 22000},
	    {IO("21000", "1"), IO("2200000", "1"), 21000},
	    {NULL, NULL, ESTIMATE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_splice_opts o = opts();
		struct cn_splice *s = cn_splice_new(&o);
		struct told t;
		char text[400];

		begin(s, &author, rows[i].first);
		say(s, "Hello");
		cn_splice_commit(s);
		cn_splice_drop(s);
		assert_true(cn_splice_continue(s, &other, CN_RESUME_PREFILL));
		(void)snprintf(text, sizeof(text),
		               "data: {\"type\":\"message_start\",\"message\":{\"id\":"
		               "\"msg_c\"%s%s}}\n\n",
		               rows[i].second ? ",\"usage\":" : "",
		               rows[i].second ? rows[i].second : "");
		feed(s, text);
		say(s, " world.");
		end(s, "{\"output_tokens\":2}");
		cn_splice_finish(s);
		t = told(s);
		if (!t.has_input)
			t.input = t.start;
		if (t.input != rows[i].input)
			fail_msg("row %zu: %llu", i, (unsigned long long)t.input);
		cn_splice_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_figure_is_a_plausible_number),
	    cmocka_unit_test(a_whole_message_has_them_too),
	    cmocka_unit_test(a_window_bounds_what_is_believed),
	    cmocka_unit_test(output_that_nobody_counted_is_weighed),
	    cmocka_unit_test(attempts_are_not_added_up),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
