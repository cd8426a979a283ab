/*
 * The bytes of reply heads.  If this fails, clients cannot read our answers, or a value can
 * become a header line of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/http/parse_impl.h"

static void writes_heads(void **state)
{
	static const struct cn_field field = {{"retry-after", 11}, {"7", 1}};
	static const struct {
		struct cn_http__reply_head head;
		const char *want;
	} cases[] = {
	    {{.status = 200, .has_length = true, .length = 0},
	     "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"},
	    {{.status = 529,
	      .fields = &field,
	      .n_fields = 1,
	      .has_length = true,
	      .length = 1099511627776,
	      .close = true},
	     "HTTP/1.1 529 Overloaded\r\nretry-after: 7\r\ncontent-length: "
	     "1099511627776\r\nconnection: close\r\n\r\n"},
	    {{.status = 200, .date = {"now", 3}, .chunked = true, .trailers = "x-a"},
	     "HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\ntrailer: "
	     "x-a\r\n\r\n"},
	    {{.status = 299}, "HTTP/1.1 299 \r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) out = {0};

		cn_http__reply_head(&out, &cases[i].head);
		assert_string_equal(cn_buf_cstr(&out), cases[i].want);
	}
}

static void drops_values_that_could_break_out(void **state)
{
	static const struct {
		struct cn_view value;
		bool kept;
	} cases[] = {
	    {{"plain \t text", 12}, true}, {{"", 0}, true},
	    {{"\xc3\xa4", 2}, true},       {{"a\r\nset-cookie: b", 16}, false},
	    {{"a\nb", 3}, false},          {{"a\rb", 3}, false},
	    {{"a\0b", 3}, false},          {{"\x1b[m", 3}, false},
	    {{"\x7f", 1}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) out = {0};
		struct cn_field f = {CN_VIEW("x-a"), cases[i].value};

		cn_http__reply_field(&out, &f);
		assert_int_equal(out.n, cases[i].kept ? cases[i].value.n + 7 : 0);
	}
}

static void writes_chunk_sizes(void **state)
{
	static const struct {
		size_t n;
		const char *want;
	} cases[] = {{0, "0\r\n"},        {9, "9\r\n"},
	             {10, "a\r\n"},       {16, "10\r\n"},
	             {65535, "ffff\r\n"}, {SIZE_MAX, "ffffffffffffffff\r\n"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) out = {0};

		cn_http__reply_chunk(&out, cases[i].n);
		assert_string_equal(cn_buf_cstr(&out), cases[i].want);
	}
}

static void writes_dates(void **state)
{
	static const struct {
		uint64_t s;
		const char *want;
	} cases[] = {
	    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
	    {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
	    {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
	    {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
	    {253402300800, ""},
	    {UINT64_MAX / 1000, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char got[CN_HTTP_DATE_SIZE];

		cn_http__reply_date(got, cases[i].s);
		assert_string_equal(got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(writes_heads),
	    cmocka_unit_test(drops_values_that_could_break_out),
	    cmocka_unit_test(writes_chunk_sizes),
	    cmocka_unit_test(writes_dates),
	};

	return cmocka_run_group_tests_name("http_reply", tests, NULL, NULL);
}
