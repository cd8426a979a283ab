/*
 * What was spent in a day, by a token and in a session: when this fails, a budget stops
 * those it should not, or stops counting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "../../src/app/app_impl.h"

#define HOUR     UINT64_C(3600000)
#define DAY      (24 * HOUR)
#define MIDNIGHT UINT64_C(1795219200000) /* 2026-11-21 */
#define NOON     (MIDNIGHT + 12 * HOUR)

static struct cn_token token;
static struct cn_spender anna;

static int setup(void **state)
{
	setenv("TZ", "UTC0", 1);
	tzset();
	cn_hash_setup();
	*state = cn_policy_new();
	token = (struct cn_token){0};
	anna = (struct cn_spender){CN_VIEW("anna"), CN_VIEW("t"), CN_VIEW("s")};
	return 0;
}

static int teardown(void **state)
{
	*state = cn_policy_unref(*state);
	return 0;
}

static void spend(struct cn_usages *u, const struct cn_spender *who, uint64_t tokens,
                  uint64_t at)
{
	cn_usage__book(u, who, &(struct cn_spent){.tokens = tokens, .money = 1}, at);
}

static bool stopped(struct cn_usages *u, const struct cn_policy *p, uint64_t at)
{
	struct cn_budget_word w;

	cn_usage__ask(u, p, &token, &anna, at, &w);
	return w.stop;
}

static void a_day_ends_at_midnight_and_a_session_does_not(void **state)
{
	struct cn_policy *p = *state;
	struct cn_usages *u = cn_usage__new(NOON);
	struct cn_budget_word w;
	char text[200];

	p->budget_session = (struct cn_budget){.tokens = 100, .then = CN_BUDGET_DEGRADE};
	p->budget_token = (struct cn_budget){.tokens = 100, .then = CN_BUDGET_STOP};
	spend(u, &anna, 99, NOON);
	assert_false(stopped(u, p, NOON));
	spend(u, &anna, 1, MIDNIGHT + DAY - 1);
	cn_usage__ask(u, p, &token, &anna, MIDNIGHT + DAY - 1, &w);
	assert_true(w.stop);
	assert_int_equal(w.stop_scope, CN_BUDGET_TOKEN);
	assert_int_equal(w.degrade, 1);
	assert_int_equal(cn_usage__refusal(&w, NOON, text, sizeof(text)), 12 * 3600);
	assert_non_null(strstr(text, "2026-11-22T00:00:00"));
	assert_int_equal(cn_usage__refusal(&w, MIDNIGHT + DAY - 1, text, sizeof(text)), 1);
	cn_usage__ask(u, p, &token, &anna, MIDNIGHT + DAY, &w);
	assert_false(w.stop);
	assert_int_equal(w.degrade, 1);
	assert_int_equal(cn_usage__today(u, MIDNIGHT + DAY).tokens, 0);
	cn_usage__free(u);
}

static void a_clock_set_back_begins_no_day(void **state)
{
	struct cn_policy *p = *state;
	struct cn_usages *u = cn_usage__new(NOON);

	p->budget_day = (struct cn_budget){.money = 2, .then = CN_BUDGET_STOP};
	spend(u, &anna, 1, NOON);
	spend(u, &anna, 1, NOON - 5 * DAY);
	assert_true(stopped(u, p, NOON - 5 * DAY));
	assert_true(stopped(u, p, NOON));
	assert_false(stopped(u, p, NOON + 40 * DAY));
	cn_usage__free(u);
}

static void a_limit_of_its_own_goes_before_the_policys(void **state)
{
	struct cn_policy *p = *state;
	struct cn_usages *u = cn_usage__new(NOON);

	p->budget_token = (struct cn_budget){.tokens = 10, .then = CN_BUDGET_WARN};
	spend(u, &anna, 50, NOON);
	assert_false(stopped(u, p, NOON));
	token.tokens_per_day = 51;
	assert_false(stopped(u, p, NOON));
	token.tokens_per_day = 50;
	assert_true(stopped(u, p, NOON));
	token.tokens_per_day = 0;
	token.money_per_day = 1;
	assert_true(stopped(u, p, NOON));
	cn_usage__free(u);
}

static void owners_do_not_share_names(void **state)
{
	struct cn_spender bert = {CN_VIEW("bert"), CN_VIEW("t"), CN_VIEW("s")};
	struct cn_policy *p = *state;
	struct cn_usages *u = cn_usage__new(NOON);

	p->budget_session = p->budget_token =
	    (struct cn_budget){.tokens = 10, .then = CN_BUDGET_STOP};
	spend(u, &bert, 50, NOON);
	assert_false(stopped(u, p, NOON));
	spend(u, &anna, 10, NOON);
	assert_true(stopped(u, p, NOON));
	cn_usage__free(u);
}

static void a_used_up_budget_is_told_once_a_day(void **state)
{
	struct cn_policy *p = *state;
	struct cn_usages *u = cn_usage__new(NOON);
	struct cn_budget_word w;

	p->budget_day = p->budget_token = p->budget_session =
	    (struct cn_budget){.tokens = 1};
	spend(u, &anna, 1, NOON);
	cn_usage__ask(u, p, &token, &anna, NOON, &w);
	assert_int_equal(w.n_news, 3);
	assert_false(w.stop || w.degrade);
	cn_usage__ask(u, p, &token, &anna, NOON, &w);
	assert_int_equal(w.n_news, 0);
	spend(u, &anna, 1, NOON + DAY);
	cn_usage__ask(u, p, &token, &anna, NOON + DAY, &w);
	assert_int_equal(w.n_news, 2);
	cn_usage__free(u);
}

/* Session ids are the client's to choose: what they cost us has an end. */
static void the_longest_unused_session_gives_way(void **state)
{
	struct cn_policy *p = *state;
	struct cn_usages *u = cn_usage__new(NOON);
	char name[16];

	p->budget_session = (struct cn_budget){.tokens = 10, .then = CN_BUDGET_STOP};
	spend(u, &anna, 10, NOON);
	for (int i = 0; i < 4095; i++) {
		struct cn_spender other = anna;

		snprintf(name, sizeof(name), "n%d", i);
		other.session = cn_view_str(name);
		spend(u, &other, 10, NOON);
	}
	assert_true(stopped(u, p, NOON)); /* and so it is the one used last */
	for (int i = 0; i < 4095; i++) {
		struct cn_spender other = anna;

		snprintf(name, sizeof(name), "m%d", i);
		other.session = cn_view_str(name);
		spend(u, &other, 10, NOON);
	}
	assert_true(stopped(u, p, NOON));
	for (int i = 0; i < 4096; i++) {
		struct cn_spender other = anna;

		snprintf(name, sizeof(name), "l%d", i);
		other.session = cn_view_str(name);
		spend(u, &other, 10, NOON);
	}
	assert_false(stopped(u, p, NOON));
	cn_usage__free(u);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_day_ends_at_midnight_and_a_session_does_not),
	    T(a_clock_set_back_begins_no_day),
	    T(a_limit_of_its_own_goes_before_the_policys),
	    T(owners_do_not_share_names),
	    T(a_used_up_budget_is_told_once_a_day),
	    T(the_longest_unused_session_gives_way),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
