/*
 * The matcher under the complaints: what each mark of its little language finds, and which
 * number it brings back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../src/route/route_impl.h"

static void patterns_match_what_their_language_says(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
		uint64_t number;
	} rows[] = {
	    {"abc", "xabcx", true, 0},
	    {"abc", "abd", false, 0},
	    {"a|b", "xxb", true, 0},
	    {"a*b", "a far away b", true, 0},
	    {"a*b", "b then a", false, 0},
	    {"b&a", "a and b", true, 0},
	    {"b&c", "a and b", false, 0},
	    {"{day}", "per day.", true, 0},
	    {"{day}", "today", false, 0},
	    {"{day}", "day", true, 0},
	    {"a_b", "a b", true, 0},
	    {"a_b", "a-b", true, 0},
	    {"a_b", "axb", false, 0},
	    {"a?b", "axb", true, 0},
	    {"> # max", "9 > 8000 max", true, 8000},
	    {"limit of #", "limit of x", false, 0},
	    {"#", "18446744073709551615999", true, UINT64_C(1844674407370955161)},
	    {"model~found", "model 'x' not found", true, 0},
	    {"model~found",
	     "model ....................................................................."
	     "..................... found",
	     false, 0},
	    /* A later start is nearer. */
	    {"m~f",
	     "m ........................................................................"
	     "..................... m f",
	     true, 0},
	    {"", "anything", true, 0},
	    {"a", "", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_numbers n = {.n = 0};
		bool is = cn_pattern__match(rows[i].pattern, cn_view_str(rows[i].text), &n);

		if (is != rows[i].matches || (rows[i].number && n.v[0] != rows[i].number))
			fail_msg("'%s' on '%s': %d, %llu", rows[i].pattern, rows[i].text,
			         is, (unsigned long long)n.v[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(patterns_match_what_their_language_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
