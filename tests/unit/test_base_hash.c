/*
 * Hashes, randomness and text forms: when this fails, stored ids change or random numbers
 * are not what they should be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>

#include "continuo/hash.h"

static void bytes_hash_to_the_published_value(void **state)
{
	/* BLAKE2b with 32 bytes of output; values computed with another implementation. */
	static const struct {
		struct cn_view in;
		const char *want;
	} cases[] = {
	    {{"", 0}, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
	    {{"abc", 3},
	     "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_hash h = cn_hash_bytes(cases[i].in);
		CN_AUTO(cn_buf) hex = {0};
		cn_hex(&hex, h.b, sizeof(h.b));
		assert_string_equal(cn_buf_cstr(&hex), cases[i].want);
	}
	struct cn_hash a = cn_hash_bytes((struct cn_view){NULL, 0});
	struct cn_hash b = cn_hash_bytes(CN_VIEW(""));
	assert_true(cn_hash_eq(&a, &b));
}

static void borders_between_views_count(void **state)
{
	(void)state;
	struct cn_hash ab_c =
	    cn_hash_views((struct cn_view[]){CN_VIEW("ab"), CN_VIEW("c")}, 2);
	struct cn_hash a_bc =
	    cn_hash_views((struct cn_view[]){CN_VIEW("a"), CN_VIEW("bc")}, 2);
	assert_false(cn_hash_eq(&ab_c, &a_bc));
	/* Exactly: each view behind its length, little-endian. */
	struct cn_hash plain =
	    cn_hash_bytes(cn_view("\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c", 19));
	assert_true(cn_hash_eq(&ab_c, &plain));
}

static void table_hash_is_steady_and_spread(void **state)
{
	(void)state;
	assert_int_equal(cn_hash_table(CN_VIEW("k")), cn_hash_table(CN_VIEW("k")));
	assert_int_not_equal(cn_hash_table(CN_VIEW("k")), cn_hash_table(CN_VIEW("l")));
}

static void random_numbers_stay_below(void **state)
{
	(void)state;
	bool seen[3] = {false};
	for (unsigned i = 0; i < 200; i++) {
		uint64_t r = cn_random_below(3);
		assert_in_range(r, 0, 2);
		seen[r] = true;
	}
	assert_true(seen[0] && seen[1] && seen[2]); /* fails once in 10^35 */
	assert_int_equal(cn_random_below(1), 0);
	uint64_t high = 0;
	for (unsigned i = 0; i < 64; i++) /* above 2^32 too */
		high |= cn_random_below(UINT64_MAX) >> 32;
	assert_int_not_equal(high, 0);
}

static void random_ids_are_letters_and_digits(void **state)
{
	(void)state;
	CN_AUTO(cn_buf) a = {0};
	CN_AUTO(cn_buf) b = {0};
	cn_random_id(&a, 2000);
	cn_random_id(&b, 2000);
	assert_int_equal(a.n, 2000);
	assert_false(cn_view_eq(cn_buf_view(&a), cn_buf_view(&b)));
	for (size_t i = 0; i < a.n; i++)
		assert_true(isalnum((unsigned char)a.p[i]));
	static const char all[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	for (size_t i = 0; i < sizeof(all) - 1; i++) /* each in 4000: fails once in 10^26 */
		assert_true(memchr(a.p, all[i], a.n) || memchr(b.p, all[i], b.n));
}

static void hex_goes_both_ways(void **state)
{
	(void)state;
	unsigned char out[4] = {1, 2, 3, 4};
	assert_true(cn_unhex(CN_VIEW("00fFA07e"), out, 4));
	assert_memory_equal(out, "\x00\xff\xa0\x7e", 4);
	assert_false(cn_unhex(CN_VIEW("00ffa0"), out, 4));
	assert_false(cn_unhex(CN_VIEW("00ffa07e0"), out, 4));
	assert_false(cn_unhex(CN_VIEW("00ffa07g"), out, 4));
	assert_memory_equal(out, "\x00\xff\xa0\x7e", 4); /* untouched on failure */
}

static void base64url_has_no_padding(void **state)
{
	static const struct {
		struct cn_view in;
		const char *want;
	} cases[] = {
	    {{"", 0}, "x"},
	    {{"\xff", 1}, "x_w"},
	    {{"\xff\xfe", 2}, "x__4"},
	    {{"\xfb\xef\xbe", 3}, "x----"},
	    {{"hello", 5}, "xaGVsbG8"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) b = {0};
		cn_buf_add_char(&b, 'x'); /* appended, not overwritten */
		cn_base64url(&b, cases[i].in.p, cases[i].in.n);
		assert_string_equal(cn_buf_cstr(&b), cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_hash_to_the_published_value),
	    cmocka_unit_test(borders_between_views_count),
	    cmocka_unit_test(table_hash_is_steady_and_spread),
	    cmocka_unit_test(random_numbers_stay_below),
	    cmocka_unit_test(random_ids_are_letters_and_digits),
	    cmocka_unit_test(hex_goes_both_ways),
	    cmocka_unit_test(base64url_has_no_padding),
	};
	cn_hash_setup();
	cn_hash_setup(); /* twice is harmless */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
