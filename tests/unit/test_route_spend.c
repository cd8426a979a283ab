/*
 * Tokens, prices and budgets: when this fails, a budget is enforced too late, too early or
 * not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "continuo/spend.h"

static void all_kinds_of_tokens_count_at_their_price(void **state)
{
	static const struct cn_price price = {3, 15, 0.5, 4, "2026-11-21"};
	static const struct cn_usage all = {1000000, 2000000, 4000000, 500000,
	                                    true,    true,    true,    true};
	struct cn_spent s = {0};
	(void)state;
	cn_spent_add(&s, &all, &price);
	assert_true(s.tokens == 7500000);
	assert_true(s.money > 36.99 && s.money < 37.01); /* 3 + 30 + 2 + 2 */
	cn_spent_add(&s, &(struct cn_usage){.input = 1000000}, &price);
	assert_true(s.tokens == 8500000);
	assert_true(s.money > 39.99 && s.money < 40.01);
}

static void what_has_no_price_costs_nothing(void **state)
{
	static const struct cn_usage some = {.input = 10, .output = 5};
	static const struct cn_price undated = {3, 15, 0, 0, NULL};
	struct cn_spent s = {0};
	(void)state;
	cn_spent_add(&s, &some, NULL);
	cn_spent_add(&s, &some, &undated);
	assert_true(s.tokens == 30);
	assert_true(s.money <= 0);
}

static void sums_stop_at_the_largest_number(void **state)
{
	static const struct cn_usage huge = {.input = UINT64_MAX - 5, .output = 10};
	static const struct cn_budget b = {.tokens = 1};
	struct cn_spent s = {.tokens = 7};
	(void)state;
	cn_spent_add(&s, &huge, NULL);
	assert_true(s.tokens == UINT64_MAX);
	assert_int_equal(cn_spent_budgets(&s, &b), 1000);
}

static void the_nearer_limit_counts(void **state)
{
	static const struct {
		struct cn_budget budget;
		struct cn_spent spent;
		unsigned want;
	} cases[] = {
	    {{.tokens = 100}, {99, 1e9}, 0},
	    {{.tokens = 100}, {100, 0}, 1},
	    {{.tokens = 100}, {199, 0}, 1},
	    {{.tokens = 100}, {200, 0}, 2},
	    {{.money = 2.5}, {UINT64_MAX, 2.49}, 0},
	    {{.money = 2.5}, {0, 2.5}, 1},
	    {{.money = 2.5}, {0, 7.5}, 3},
	    {{.money = 2.5, .tokens = 100}, {250, 2.5}, 2},
	    {{.money = 2.5, .tokens = 100}, {100, 7.5}, 3},
	    {{.tokens = 0}, {UINT64_MAX, 1e12}, 0},
	    {{.money = 1e-9}, {0, 1e12}, 1000},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned got = cn_spent_budgets(&cases[i].spent, &cases[i].budget);
		if (got != cases[i].want)
			fail_msg("row %zu: got %u, want %u", i, got, cases[i].want);
		assert_int_equal(cn_budget_is_set(&cases[i].budget),
		                 cases[i].budget.tokens || cases[i].budget.money > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_kinds_of_tokens_count_at_their_price),
	    cmocka_unit_test(what_has_no_price_costs_nothing),
	    cmocka_unit_test(sums_stop_at_the_largest_number),
	    cmocka_unit_test(the_nearer_limit_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
