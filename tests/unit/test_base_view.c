/*
 * Views: when this fails, wire data is compared, cut or searched wrongly somewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "continuo/error.h"
#include "continuo/view.h"

static void comparison_ignores_case_only_where_told(void **state)
{
	(void)state;
	assert_true(cn_view_eq_nocase(CN_VIEW("Content-TYPE"), CN_VIEW("content-type")));
	assert_false(cn_view_eq_nocase(CN_VIEW("content-type"), CN_VIEW("content-typ")));
	/* '@' and '`', '[' and '{' differ by the case bit but are no letters */
	assert_false(cn_view_eq_nocase(CN_VIEW("@["), CN_VIEW("`{")));
	assert_false(cn_view_eq_nocase(CN_VIEW("\xc3\x84"), CN_VIEW("\xc3\xa4")));
	assert_false(cn_view_eq(CN_VIEW("a"), CN_VIEW("A")));
	assert_true(cn_view_eq((struct cn_view){NULL, 0}, CN_VIEW("")));
	assert_true(cn_view_is(CN_VIEW("abc"), "abc"));
	assert_false(cn_view_is(cn_view("abc\0d", 5), "abc"));
}

static void prefixes_and_suffixes_are_found(void **state)
{
	(void)state;
	assert_true(cn_view_starts(CN_VIEW("claude-opus"), CN_VIEW("claude-")));
	assert_true(cn_view_starts(CN_VIEW("a"), CN_VIEW("")));
	assert_false(cn_view_starts(CN_VIEW("cl"), CN_VIEW("claude")));
	assert_true(cn_view_ends(CN_VIEW("policy.yaml"), CN_VIEW(".yaml")));
	assert_false(cn_view_ends(CN_VIEW("yaml"), CN_VIEW(".yaml")));
}

static void search_gives_the_first_place_or_none(void **state)
{
	static const struct {
		const char *hay, *needle;
		size_t from, want;
	} cases[] = {
	    {"abcabc", "bc", 0, 1}, {"abcabc", "bc", 2, 4},   {"abcabc", "bc", 5, SIZE_MAX},
	    {"abc", "", 3, 3},      {"abc", "", 4, SIZE_MAX}, {"abc", "abcd", 0, SIZE_MAX},
	    {"", "a", 0, SIZE_MAX},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(cn_view_find(cn_view_str(cases[i].hay),
		                              cn_view_str(cases[i].needle), cases[i].from),
		                 cases[i].want);
	assert_int_equal(
	    cn_view_find_nocase(CN_VIEW("x Prompt IS too Long"), CN_VIEW("is TOO")), 9);
	assert_int_equal(cn_view_find_nocase(CN_VIEW("is to"), CN_VIEW("is too")),
	                 SIZE_MAX);
	assert_int_equal(cn_view_find_nocase(CN_VIEW("abc"), CN_VIEW("C")), 2);
}

static void splitting_keeps_empty_pieces(void **state)
{
	static const struct {
		const char *text;
		const char *pieces[5];
	} cases[] = {
	    {"a,,b", {"a", "", "b"}},
	    {"", {""}},
	    {",", {"", ""}},
	    {"abc", {"abc"}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_view rest = cn_view_str(cases[i].text), piece;
		size_t n = 0;
		while (cn_view_split(&rest, ',', &piece)) {
			assert_non_null(cases[i].pieces[n]);
			CN_AUTOFREE char *got = cn_view_dup(piece);
			assert_string_equal(got, cases[i].pieces[n]);
			n++;
		}
		assert_null(cases[i].pieces[n]);
	}
}

static void numbers_fill_the_view_and_do_not_wrap(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} cases[] = {
	    {"0", true, 0},
	    {"00042", true, 42},
	    {"18446744073709551615", true, UINT64_MAX},
	    {"18446744073709551616", false, 0},
	    {"99999999999999999999", false, 0},
	    {"", false, 0},
	    {"+1", false, 0},
	    {"-1", false, 0},
	    {" 1", false, 0},
	    {"1 ", false, 0},
	    {"0x10", false, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t got = 77;
		bool ok = cn_view_u64(cn_view_str(cases[i].text), &got);
		if (ok != cases[i].ok)
			fail_msg("'%s': accepted %d, want %d", cases[i].text, ok,
			         cases[i].ok);
		assert_int_equal(got, ok ? cases[i].value : 77); /* untouched on failure */
	}
}

static void globs_match_the_whole_text(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} cases[] = {
	    {"claude-haiku-*", "claude-haiku-4-5", true},
	    {"claude-haiku-*", "claude-haiku-", true},
	    {"claude-haiku-*", "xclaude-haiku-4", false},
	    {"*", "", true},
	    {"", "", true},
	    {"", "a", false},
	    {"?", "", false},
	    {"a?c", "abc", true},
	    {"a?c", "ac", false},
	    {"*b*c", "abxbc", true},
	    {"*b*c", "abxb", false},
	    {"a*a*a", "aa", false},
	    {"**x**", "x", true},
	    {"[ab]", "a", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool got =
		    cn_view_glob(cn_view_str(cases[i].pattern), cn_view_str(cases[i].text));
		if (got != cases[i].want)
			fail_msg("'%s' against '%s': %d, want %d", cases[i].pattern,
			         cases[i].text, got, cases[i].want);
	}
	/* Exponential backtracking would not come back from this one. */
	char text[4096];
	memset(text, 'a', sizeof(text));
	assert_false(
	    cn_view_glob(CN_VIEW("*a*a*a*a*a*a*a*a*a*a*a*b"), cn_view(text, sizeof(text))));
}

static void cutting_stays_inside(void **state)
{
	(void)state;
	struct cn_view v = CN_VIEW(" \t x y \t");
	assert_true(cn_view_eq(cn_view_trim(v), CN_VIEW("x y")));
	assert_int_equal(cn_view_trim(CN_VIEW(" \t ")).n, 0);
	assert_int_equal(cn_view_from(v, 100).n, 0);
	assert_ptr_equal(cn_view_from(v, 100).p, v.p + v.n);
	assert_int_equal(cn_view_cut(v, 100).n, v.n);
	assert_int_equal(cn_view_from((struct cn_view){NULL, 0}, 5).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comparison_ignores_case_only_where_told),
	    cmocka_unit_test(prefixes_and_suffixes_are_found),
	    cmocka_unit_test(search_gives_the_first_place_or_none),
	    cmocka_unit_test(splitting_keeps_empty_pieces),
	    cmocka_unit_test(numbers_fill_the_view_and_do_not_wrap),
	    cmocka_unit_test(globs_match_the_whole_text),
	    cmocka_unit_test(cutting_stays_inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
