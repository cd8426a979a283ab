/* If this fails, streams are cut into the wrong events, or a peer can forge one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "continuo/sse.h"

static bool gather(void *self, const struct cn_sse_event *ev)
{
	struct cn_buf *b = self;

	if (ev->comment)
		return true;
	/* Not printf: data may hold a NUL. */
	cn_buf_add_char(b, '[');
	cn_buf_add_view(b, ev->name);
	cn_buf_add_char(b, '|');
	cn_buf_add_view(b, ev->data);
	cn_buf_add_char(b, ']');
	return true;
}

/* first `cut` bytes in one piece, then pieces of `step` bytes */
static void feed_in(struct cn_view text, size_t step, size_t cut, struct cn_buf *got)
{
	struct cn_sse s;
	size_t at = 0;

	cn_sse_init(&s, gather, got);
	if (cut) {
		assert_int_equal(cn_sse_feed(&s, cn_view_cut(text, cut), 1, NULL), 0);
		at = cut;
	}
	for (; at < text.n; at += step)
		assert_int_equal(
		    cn_sse_feed(&s, cn_view_cut(cn_view_from(text, at), step), 1, NULL), 0);
	cn_sse_done(&s);
}

static void unbase64(const char *text, struct cn_buf *b)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, n = 0;

	for (; *text && *text != '='; text++) {
		bits = bits << 6 | (unsigned)(strchr(digits, *text) - digits);
		if ((n += 6) >= 8) {
			n -= 8;
			cn_buf_add_char(b, (char)(bits >> n & 0xff));
		}
	}
}

/* One vector in one chunking. */
static void check_vector(yyjson_val *c, struct cn_view text, size_t cut, size_t step)
{
	yyjson_val *ev;
	CN_AUTO(cn_buf) want = {0}, got = {0};
	size_t k, n;

	yyjson_arr_foreach(yyjson_obj_get(c, "events"), k, n, ev)
	{
		yyjson_val *name = yyjson_obj_get(ev, "event"),
			   *data = yyjson_obj_get(ev, "data");

		cn_buf_add_char(&want, '[');
		cn_buf_add(&want, yyjson_get_str(name), yyjson_get_len(name));
		cn_buf_add_char(&want, '|');
		cn_buf_add(&want, yyjson_get_str(data), yyjson_get_len(data));
		cn_buf_add_char(&want, ']');
	}
	feed_in(text, step, cut, &got);
	if (!cn_view_eq(cn_buf_view(&got), cn_buf_view(&want)))
		fail_msg("%s, cut %zu step %zu: got %s, want %s",
		         yyjson_get_str(yyjson_obj_get(c, "name")), cut, step,
		         cn_buf_cstr(&got), cn_buf_cstr(&want));
}

static void corpus_in_every_chunking(void **state)
{
	const char *shared = getenv("CONTINUO_SHARED");
	char path[600];
	yyjson_doc *doc;
	yyjson_val *c;
	size_t i, max;

	(void)state;
	snprintf(path, sizeof(path), "%s/fixtures/corpora/sse/vectors.json",
	         shared ? shared : "");
	doc = yyjson_read_file(path, 0, NULL, NULL);
	if (!doc) {
		skip();
		return;
	}
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, c)
	{
		CN_AUTO(cn_buf) text = {0};
		const char *bytes = yyjson_get_str(yyjson_obj_get(c, "base64"));

		if (!bytes) {
			print_message("not bytes: %s\n",
			              yyjson_get_str(yyjson_obj_get(c, "name")));
			continue;
		}
		unbase64(bytes, &text);
		check_vector(c, cn_buf_view(&text), 0, 1);
		check_vector(c, cn_buf_view(&text), 0, 2);
		for (size_t cut = 0; cut <= text.n; cut++)
			check_vector(c, cn_buf_view(&text), cut, text.n + 1);
	}
	yyjson_doc_free(doc);
}

static void framings_that_were_seen(void **state)
{
	static const struct {
		const char *text, *events;
	} cases[] = {
	    {"event: a\ndata: 1\n\n", "[a|1]"},
	    {"event:a\r\ndata:1\r\n\r\n", "[a|1]"},
	    {"event: a\rdata: 1\r\r", "[a|1]"},
	    {"\xef\xbb\xbf"
	     "data: x\n\n",
	     "[|x]"},
	    {"\xef\xbb"
	     "data: x\n\n",
	     ""},
	    {": ping\n\ndata: 1\ndata: 2\nid: 7\nretry: 9\n\n", "[|1\n2]"},
	    {"data: cut", ""},
	    {"data\n\n", "[|]"},
	    {"event: only\n\ndata: 1\n\n", "[|1]"},
	    {"data:  two spaces\n\n", "[| two spaces]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cn_view text = cn_view_str(cases[i].text);

		for (size_t step = 1; step <= text.n; step++) {
			CN_AUTO(cn_buf) got = {0};

			feed_in(text, step, 0, &got);
			if (!cn_view_is(cn_buf_view(&got), cases[i].events))
				fail_msg("case %zu step %zu: got %s", i, step,
				         cn_buf_cstr(&got));
		}
	}
}

static void limits_end_the_reader(void **state)
{
	CN_AUTO(cn_buf) got = {0}, big = {0};
	struct cn_error err;
	struct cn_sse s;
	int bad = 0;

	(void)state;
	for (size_t i = 0; i <= CN_SSE_MAX_LINE; i++)
		cn_buf_add_char(&big, 'x');
	cn_sse_init(&s, gather, &got);
	assert_int_equal(cn_sse_feed(&s, cn_buf_view(&big), 1, &err), CN_E_LIMIT);
	assert_int_equal(cn_sse_feed(&s, CN_VIEW("\n\n"), 1, &err), CN_E_LIMIT);
	cn_sse_done(&s);
	cn_sse_init(&s, gather, &got);
	for (int i = 0; i < CN_SSE_MAX_RATE + 1 && !bad; i++) {
		cn_buf_clear(&got);
		bad = cn_sse_feed(&s, CN_VIEW("data: 1\n\n"), 5000, &err);
	}
	assert_int_equal(bad, CN_E_LIMIT);
	cn_sse_done(&s);
}

static void writer_cannot_be_made_to_forge(void **state)
{
	CN_AUTO(cn_buf) out = {0}, got = {0};

	(void)state;
	cn_sse_add(&out, "text", CN_VIEW("a\n\nevent: error\ndata: b\r\nc\rd"));
	cn_sse_add_comment(&out, CN_VIEW("x\n\nevent: e\ndata: 1\n"));
	feed_in(cn_buf_view(&out), out.n, 0, &got);
	assert_string_equal(cn_buf_cstr(&got), "[text|a\n\nevent: error\ndata: b\nc\nd]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(corpus_in_every_chunking),
	    cmocka_unit_test(framings_that_were_seen),
	    cmocka_unit_test(limits_end_the_reader),
	    cmocka_unit_test(writer_cannot_be_made_to_forge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
