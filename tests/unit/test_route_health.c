/*
 * Cooldowns of wire/fallback-rules.md 1, breakers and retry budgets of design/security.md
 * 8: when this fails, sick models are asked too early, or well ones not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../src/route/route_impl.h"

#define NOW UINT64_C(1000000)

static struct cn_policy_key keys[] = {
    {CN_KEY_VAULT, "k1", "k1"},
    {CN_KEY_VAULT, "k2", "k2"},
    {CN_KEY_VAULT, "k3", "k1"}, /* shares the first one's account */
    {CN_KEY_CLIENT, "client", "client"},
};
static const struct cn_backend cloud = {.name = "cloud", .keys = keys, .n_keys = 3};
static const struct cn_backend local = {
    .name = "local", .keys = keys, .n_keys = 1, .network = CN_NETWORK_PRIVATE};
static const struct cn_model big = {.name = "big", .backend = &cloud};
static const struct cn_model small = {.name = "small", .backend = &cloud};
static const struct cn_model tiny = {.name = "tiny", .backend = &cloud};
static const struct cn_model own = {.name = "own", .backend = &local};
static const struct cn_candidate big1 = {&big, &keys[0]};
static const struct cn_candidate big2 = {&big, &keys[1]};
static const struct cn_candidate big3 = {&big, &keys[2]};
static const struct cn_candidate small1 = {&small, &keys[0]};
static const struct cn_candidate small2 = {&small, &keys[1]};
static const struct cn_candidate tiny1 = {&tiny, &keys[0]};
static const struct cn_candidate own1 = {&own, &keys[0]};
static const struct cn_candidate mine = {&big, &keys[3]};

/* Jitter in its middle: lengths are those of the table. */
static uint64_t middle(void *self, uint64_t n)
{
	(void)self;
	return (n - 1) / 2;
}

static uint64_t lowest(void *self, uint64_t n)
{
	(void)self;
	(void)n;
	return 0;
}

static uint64_t highest(void *self, uint64_t n)
{
	(void)self;
	return n - 1;
}

static int setup(void **state)
{
	struct cn_health *h = cn_health_new();

	cn_hash_setup();
	cn_health__set_chance(h, middle, NULL);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	*state = cn_health_free(*state);
	return 0;
}

static struct cn_outcome failure(enum cn_class class)
{
	return (struct cn_outcome){.class = class};
}

static uint64_t report(struct cn_health *h, const struct cn_candidate *c,
                       enum cn_class class, uint64_t now)
{
	struct cn_outcome o = failure(class);

	return cn_health_report(h, c, &o, now);
}

static bool is_ready(struct cn_health *h, const struct cn_candidate *c, uint64_t now)
{
	return cn_health_ready_at(h, c, now).at_ms <= now;
}

static void s1_lengths_of_cooldowns(void **state)
{
	/* First, second, third in a row, and after many. */
	static const struct {
		enum cn_class class;
		uint64_t ms[3], most;
	} rows[] = {
	    {CN_CLASS_RATE_LIMITED, {5000, 10000, 20000}, 120000},
	    {CN_CLASS_QUOTA_EXHAUSTED, {900000, 1800000, 3600000}, 21600000},
	    {CN_CLASS_OVERLOADED, {10000, 20000, 40000}, 120000},
	    {CN_CLASS_AUTH, {600000, 600000, 600000}, 600000},
	    {CN_CLASS_BILLING, {1800000, 1800000, 1800000}, 1800000},
	    {CN_CLASS_INVALID_REQUEST, {0, 0, 0}, 0},
	    {CN_CLASS_CONTEXT_OVERFLOW, {0, 0, 0}, 0},
	    {CN_CLASS_OUTPUT_CEILING, {0, 0, 0}, 0},
	    {CN_CLASS_CONTENT_REFUSAL, {0, 0, 0}, 0},
	    {CN_CLASS_NOT_FOUND_MODEL, {3600000, 3600000, 3600000}, 3600000},
	    {CN_CLASS_MISCONFIGURED, {600000, 600000, 600000}, 600000},
	    {CN_CLASS_TIMEOUT_CONNECT, {5000, 10000, 20000}, 60000},
	    {CN_CLASS_TIMEOUT_FIRST_BYTE, {15000, 30000, 60000}, 120000},
	    {CN_CLASS_TIMEOUT_IDLE, {15000, 15000, 15000}, 15000},
	    {CN_CLASS_TRUNCATED_STREAM, {0, 10000, 10000}, 10000},
	    {CN_CLASS_MALFORMED_STREAM, {0, 30000, 30000}, 30000},
	    {CN_CLASS_SERVER_ERROR, {5000, 10000, 20000}, 60000},
	    {CN_CLASS_EMPTY, {0, 30000, 30000}, 30000},
	    {CN_CLASS_LOOP, {0, 0, 0}, 0},
	    {CN_CLASS_WEAK, {0, 0, 0}, 0},
	    {CN_CLASS_DAMAGED, {86400000, 86400000, 86400000}, 86400000},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_health *h = *state;
		uint64_t now = NOW, ms = 0;

		cn_health_reset(h, CN_VIEW(""));
		for (unsigned n = 0; n < 12; n++) {
			ms = report(h, &big1, rows[i].class, now);
			if (n < 3 && ms != rows[i].ms[n])
				fail_msg("%s, %u: %llu ms, not %llu",
				         cn_class_name(rows[i].class), n,
				         (unsigned long long)ms,
				         (unsigned long long)rows[i].ms[n]);
			now += ms + 1;
		}
		if (ms != rows[i].most)
			fail_msg("%s: at most %llu ms, not %llu",
			         cn_class_name(rows[i].class), (unsigned long long)ms,
			         (unsigned long long)rows[i].most);
	}
}

static void s1_scopes_of_cooldowns(void **state)
{
	/* Which of the others are held with big1. */
	static const struct {
		enum cn_class class;
		bool big1, big2, big3, small1, small2;
	} rows[] = {
	    {CN_CLASS_RATE_LIMITED, true, false, true, false, false},
	    {CN_CLASS_QUOTA_EXHAUSTED, true, false, true, true, false},
	    {CN_CLASS_OVERLOADED, true, true, true, false, false},
	    {CN_CLASS_AUTH, true, false, false, true, false},
	    {CN_CLASS_BILLING, true, false, true, true, false},
	    {CN_CLASS_NOT_FOUND_MODEL, true, true, true, false, false},
	    {CN_CLASS_MISCONFIGURED, true, true, true, true, true},
	    {CN_CLASS_TIMEOUT_CONNECT, true, true, true, true, true},
	    {CN_CLASS_TIMEOUT_FIRST_BYTE, true, true, true, false, false},
	    {CN_CLASS_TIMEOUT_IDLE, true, true, true, false, false},
	    {CN_CLASS_SERVER_ERROR, true, true, true, false, false},
	    {CN_CLASS_DAMAGED, true, true, true, false, false},
	    {CN_CLASS_LOOP, false, false, false, false, false},
	};
	struct cn_health *h = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cn_health_reset(h, CN_VIEW(""));
		(void)report(h, &big1, rows[i].class, NOW);
		if (is_ready(h, &big1, NOW) == rows[i].big1 ||
		    is_ready(h, &big2, NOW) == rows[i].big2 ||
		    is_ready(h, &big3, NOW) == rows[i].big3 ||
		    is_ready(h, &small1, NOW) == rows[i].small1 ||
		    is_ready(h, &small2, NOW) == rows[i].small2)
			fail_msg("%s holds %d %d %d %d %d", cn_class_name(rows[i].class),
			         !is_ready(h, &big1, NOW), !is_ready(h, &big2, NOW),
			         !is_ready(h, &big3, NOW), !is_ready(h, &small1, NOW),
			         !is_ready(h, &small2, NOW));
		if (rows[i].big1)
			assert_int_equal(cn_health_ready_at(h, &big1, NOW).because,
			                 rows[i].class);
	}
}

static void the_scope_of_the_outcome_goes_before_that_of_the_class(void **state)
{
	struct cn_health *h = *state;
	struct cn_outcome o = {.class = CN_CLASS_AUTH, .scope = CN_SCOPE_KEY_MODEL};

	(void)cn_health_report(h, &big1, &o, NOW);
	assert_false(is_ready(h, &big1, NOW));
	assert_true(is_ready(h, &small1, NOW));
	o.scope = CN_SCOPE_BACKEND;
	(void)cn_health_report(h, &big1, &o, NOW);
	assert_false(is_ready(h, &small2, NOW));
	assert_true(is_ready(h, &own1, NOW));
}

static void a_named_time_is_kept_and_only_added_to(void **state)
{
	struct cn_health *h = *state;
	struct cn_outcome o = {.class = CN_CLASS_RATE_LIMITED, .retry_after_ms = 100000};

	cn_health__set_chance(h, lowest, NULL);
	assert_int_equal(cn_health_report(h, &big1, &o, NOW), 100000);
	cn_health_reset(h, CN_VIEW(""));
	cn_health__set_chance(h, highest, NULL);
	assert_int_equal(cn_health_report(h, &big1, &o, NOW), 120000);
	cn_health_reset(h, CN_VIEW(""));
	/* No wait is longer than a day, jitter included. */
	o.retry_after_ms = UINT64_MAX;
	assert_int_equal(cn_health_report(h, &big1, &o, NOW), 86400000);
	cn_health_reset(h, CN_VIEW(""));
	o.retry_after_ms = 0;
	assert_int_equal(cn_health_report(h, &big1, &o, NOW), 6000);
	cn_health_reset(h, CN_VIEW(""));
	cn_health__set_chance(h, lowest, NULL);
	assert_int_equal(cn_health_report(h, &big1, &o, NOW), 4000);
	/* Of a server error a header says nothing. */
	o = (struct cn_outcome){.class = CN_CLASS_SERVER_ERROR, .retry_after_ms = 100000};
	assert_int_equal(cn_health_report(h, &small1, &o, NOW), 4000);
}

static void a_local_server_gets_ten_seconds_to_start(void **state)
{
	struct cn_health *h = *state;

	assert_int_equal(report(h, &own1, CN_CLASS_TIMEOUT_CONNECT, NOW), 10000);
	assert_int_equal(report(h, &own1, CN_CLASS_TIMEOUT_CONNECT, NOW + 10001), 10000);
}

static void failures_side_by_side_count_once(void **state)
{
	struct cn_health *h = *state;

	for (int i = 0; i < 4; i++)
		assert_int_equal(report(h, &big1, CN_CLASS_RATE_LIMITED, NOW), 5000);
	assert_int_equal(report(h, &big1, CN_CLASS_RATE_LIMITED, NOW + 5001), 10000);
}

static void a_success_ends_the_cooldown_and_the_count(void **state)
{
	struct cn_health *h = *state;

	(void)report(h, &big1, CN_CLASS_OVERLOADED, NOW);
	assert_int_equal(report(h, &big1, CN_CLASS_OVERLOADED, NOW + 10001), 20000);
	(void)report(h, &big1, CN_CLASS_OK, NOW + 10002);
	assert_true(is_ready(h, &big1, NOW + 10002));
	assert_int_equal(report(h, &big1, CN_CLASS_OVERLOADED, NOW + 20000), 10000);
	/* But what began before a limit was reached does not lift the limit. */
	struct cn_outcome o = {.class = CN_CLASS_QUOTA_EXHAUSTED,
	                       .retry_after_ms = 3600000};
	(void)cn_health_report(h, &small1, &o, NOW + 20000);
	(void)report(h, &small1, CN_CLASS_OK, NOW + 20001);
	assert_false(is_ready(h, &small1, NOW + 20002));
}

static void one_odd_answer_in_five_minutes_is_forgiven(void **state)
{
	struct cn_health *h = *state;

	assert_int_equal(report(h, &big1, CN_CLASS_EMPTY, NOW), 0);
	assert_int_equal(report(h, &big1, CN_CLASS_EMPTY, NOW + 300000), 0);
	assert_int_equal(report(h, &big1, CN_CLASS_EMPTY, NOW + 500000), 30000);
}

static void what_says_nothing_about_a_backend_cools_nothing(void **state)
{
	struct cn_health *h = *state;
	static const struct cn_outcome outcomes[] = {
	    {.class = CN_CLASS_SERVER_ERROR, .free_retry = true},
	    {.class = CN_CLASS_TRUNCATED_STREAM, .no_cooldown = true},
	    {.class = CN_CLASS_OVERLOADED, .no_cooldown = true, .scope = CN_SCOPE_MODEL},
	    {.class = CN_CLASS_CANCELLED},
	};

	for (int n = 0; n < 12; n++) {
		for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
			assert_int_equal(cn_health_report(h, &big1, &outcomes[i], NOW), 0);
	}
	assert_true(is_ready(h, &big1, NOW));
	/* The client's own login may be mended with its next request. */
	assert_int_equal(report(h, &mine, CN_CLASS_AUTH, NOW), 0);
	assert_true(is_ready(h, &mine, NOW));
}

static void a_loading_model_is_held_but_has_not_failed(void **state)
{
	struct cn_health *h = *state;
	struct cn_outcome o = {.class = CN_CLASS_OVERLOADED,
	                       .scope = CN_SCOPE_MODEL,
	                       .no_cooldown = true,
	                       .retry_after_ms = 2000};

	for (uint64_t now = NOW; now < NOW + 60000; now += 2000) {
		assert_true(is_ready(h, &own1, now));
		assert_true(cn_health_take(h, &own1, false, now));
		assert_int_equal(cn_health_report(h, &own1, &o, now), 2000);
		assert_false(is_ready(h, &own1, now + 1999));
	}
	assert_int_equal(report(h, &own1, CN_CLASS_OVERLOADED, NOW + 60000), 10000);
}

static void a_backend_of_which_three_models_fail_cools_as_a_whole(void **state)
{
	struct cn_health *h = *state;
	static const struct cn_model other = {.name = "other", .backend = &cloud};
	static const struct cn_candidate other1 = {&other, &keys[0]};

	(void)report(h, &big1, CN_CLASS_SERVER_ERROR, NOW);
	(void)report(h, &small1, CN_CLASS_SERVER_ERROR, NOW);
	assert_true(is_ready(h, &other1, NOW));
	(void)report(h, &tiny1, CN_CLASS_SERVER_ERROR, NOW);
	assert_false(is_ready(h, &other1, NOW));
	assert_true(is_ready(h, &own1, NOW));
}

static void after_a_cooldown_one_request_is_let_through(void **state)
{
	struct cn_health *h = *state;
	uint64_t then = NOW + 10000;

	(void)report(h, &big1, CN_CLASS_OVERLOADED, NOW);
	assert_false(is_ready(h, &big1, then - 1));
	assert_true(is_ready(h, &big1, then));
	assert_true(cn_health_take(h, &big1, false, then));
	/* The place is taken, for the model's other keys too. */
	assert_false(cn_health_take(h, &big2, false, then));
	assert_int_equal(cn_health_ready_at(h, &big2, then).at_ms, then + 60000);
	assert_false(cn_health_ready_at(h, &big2, then).only_breaker);
	/* A probe that hangs does not keep it shut. */
	assert_true(cn_health_take(h, &big2, false, then + 60000));
	/* Given back without a word. */
	cn_health_cancel(h, &big2, then + 60001);
	assert_true(is_ready(h, &big1, then + 60001));
}

static void a_probe_that_succeeds_opens_for_all(void **state)
{
	struct cn_health *h = *state;

	(void)report(h, &big1, CN_CLASS_OVERLOADED, NOW);
	assert_true(cn_health_take(h, &big1, false, NOW + 10000));
	(void)report(h, &big1, CN_CLASS_OK, NOW + 10001);
	assert_true(cn_health_take(h, &big1, false, NOW + 10002));
	assert_true(cn_health_take(h, &big1, false, NOW + 10002));
}

static void a_cooldown_long_over_is_forgotten(void **state)
{
	struct cn_health *h = *state;

	(void)report(h, &big1, CN_CLASS_OVERLOADED, NOW);
	assert_true(cn_health_take(h, &big1, false, NOW + 80000));
	assert_true(cn_health_take(h, &big1, false, NOW + 80000));
	assert_int_equal(report(h, &big1, CN_CLASS_OVERLOADED, NOW + 80001), 10000);
}

/* ---- breakers ---- */

static void a_breaker_opens_after_five_in_a_row(void **state)
{
	struct cn_health *h = *state;
	struct cn_readiness r;
	uint64_t now = NOW;

	/* The class cools only in twos; the breaker counts all. */
	for (int i = 0; i < 5; i++) {
		r = cn_health_ready_at(h, &big1, now);
		assert_true(r.at_ms <= now);
		(void)report(h, &big1, CN_CLASS_TRUNCATED_STREAM, now);
		now += 300000;
	}
	now -= 300000;
	r = cn_health_ready_at(h, &big1, now);
	assert_true(r.only_breaker);
	assert_int_equal(r.at_ms, now + 30000);
	assert_int_equal(r.because, CN_CLASS_TRUNCATED_STREAM);
	/* Of this account and model only. */
	assert_true(is_ready(h, &big2, now));
	assert_true(is_ready(h, &small1, now));
	/* A probe that fails opens it again, for longer. */
	assert_true(cn_health_take(h, &big1, false, now + 30000));
	assert_false(cn_health_take(h, &big1, false, now + 30000));
	(void)report(h, &big1, CN_CLASS_TRUNCATED_STREAM, now + 400000);
	assert_int_equal(cn_health_ready_at(h, &big1, now + 400000).at_ms, now + 460000);
	/* One that succeeds closes it and starts the counting over. */
	assert_true(cn_health_take(h, &big1, false, now + 460000));
	(void)report(h, &big1, CN_CLASS_OK, now + 460001);
	(void)report(h, &big1, CN_CLASS_TRUNCATED_STREAM, now + 900000);
	assert_true(is_ready(h, &big1, now + 900000));
}

static void a_breaker_opens_when_half_of_twenty_failed(void **state)
{
	struct cn_breaker b = {0};

	(void)state;
	for (int i = 0; i < 9; i++) {
		cn_breaker__succeed(&b);
		cn_breaker__fail(&b, CN_CLASS_SERVER_ERROR, NOW);
	}
	assert_int_equal(b.open_until_ms, 0);
	cn_breaker__fail(&b, CN_CLASS_SERVER_ERROR, NOW);
	assert_int_equal(b.open_until_ms, NOW + 30000);
	/* Nine in twenty are not half. */
	b = (struct cn_breaker){0};
	for (int i = 0; i < 200; i++) {
		if (i % 20 < 18 && i % 2)
			cn_breaker__fail(&b, CN_CLASS_SERVER_ERROR, NOW);
		else
			cn_breaker__succeed(&b);
	}
	assert_int_equal(b.open_until_ms, 0);
}

static void a_breaker_stays_open_ten_minutes_at_most(void **state)
{
	struct cn_breaker b = {0};
	uint64_t now = NOW;

	(void)state;
	for (int i = 0; i < 40; i++) {
		cn_breaker__fail(&b, CN_CLASS_SERVER_ERROR, now);
		if (b.open_until_ms) {
			assert_true(b.open_until_ms - now <= 600000);
			/* Late failures of what was sent before change nothing. */
			uint64_t until = b.open_until_ms;
			cn_breaker__fail(&b, CN_CLASS_SERVER_ERROR, now + 1);
			assert_int_equal(b.open_until_ms, until);
			now = until;
		}
	}
	assert_int_equal(b.open_until_ms - (now - 600000), 600000);
}

static void breakers_widen_by_class(void **state)
{
	static const struct {
		enum cn_class class;
		enum cn_scope level;
	} rows[] = {
	    {CN_CLASS_QUOTA_EXHAUSTED, CN_SCOPE_ACCOUNT},
	    {CN_CLASS_BILLING, CN_SCOPE_ACCOUNT},
	    {CN_CLASS_AUTH, CN_SCOPE_ACCOUNT},
	    {CN_CLASS_TIMEOUT_CONNECT, CN_SCOPE_BACKEND},
	    {CN_CLASS_SERVER_ERROR, CN_SCOPE_KEY_MODEL},
	    {CN_CLASS_RATE_LIMITED, CN_SCOPE_KEY_MODEL},
	    {CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE},
	    {CN_CLASS_CONTEXT_OVERFLOW, CN_SCOPE_NONE},
	    {CN_CLASS_CONTENT_REFUSAL, CN_SCOPE_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(cn_breaker__level(rows[i].class), rows[i].level);
}

/* ---- retry budget ---- */

static void retries_are_a_fifth_of_what_is_active_but_three_at_least(void **state)
{
	struct cn_retries r = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_MAY);
		cn_retries__begin(&r, true, NOW);
	}
	assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_LATER);
	for (int i = 0; i < 97; i++)
		cn_retries__begin(&r, false, NOW);
	for (int i = 0; i < 17; i++) {
		assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_MAY);
		cn_retries__begin(&r, true, NOW + 2000);
	}
	/* 117 active: 23 are a fifth of them. */
	for (int i = 0; i < 100; i++)
		cn_retries__end(&r);
	assert_int_equal(cn_retries__ask(&r, NOW + 2000), CN_RETRY_LATER);
	assert_int_equal(cn_retries__ask(&r, NOW + 12000), CN_RETRY_MAY);
	cn_retries__begin(&r, true, NOW + 500000);
	assert_int_equal(cn_retries__ask(&r, NOW + 500000), CN_RETRY_MAY);
}

static void a_bucket_half_empty_allows_no_retries(void **state)
{
	struct cn_retries r = {0};

	(void)state;
	for (int i = 0; i < 4; i++)
		cn_retries__fail(&r);
	assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_MAY);
	cn_retries__fail(&r);
	assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_NEVER);
	cn_retries__succeed(&r);
	assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_MAY);
	for (int i = 0; i < 100; i++)
		cn_retries__fail(&r);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_NEVER);
		cn_retries__succeed(&r);
	}
	cn_retries__succeed(&r);
	assert_int_equal(cn_retries__ask(&r, NOW), CN_RETRY_MAY);
}

static void take_refuses_retries_that_are_too_many(void **state)
{
	struct cn_health *h = *state;

	for (int i = 0; i < 3; i++)
		assert_true(cn_health_take(h, &big1, true, NOW));
	assert_false(cn_health_take(h, &big1, true, NOW));
	assert_true(cn_health_take(h, &big1, false, NOW));
	assert_true(cn_health_take(h, &own1, true, NOW));
}

/* ---- names, lists, bounds ---- */

static void names_outlive_a_policy(void **state)
{
	struct cn_health *h = *state;
	char name[] = "big", backend_name[] = "cloud";
	struct cn_policy_key key = {CN_KEY_VAULT, "k1", "k1"};
	struct cn_backend b = {.name = backend_name, .keys = &key, .n_keys = 1};
	struct cn_model m = {.name = name, .backend = &b};
	struct cn_candidate again = {&m, &key};

	(void)report(h, &big1, CN_CLASS_OVERLOADED, NOW);
	assert_false(is_ready(h, &again, NOW));
}

static void reset_forgets_by_name(void **state)
{
	static const struct {
		const char *name;
		bool big, small, own;
	} rows[] = {
	    {"", true, true, true},          {"cloud", true, true, false},
	    {"big", true, false, false},     {"cloud/big", true, false, false},
	    {"k2", false, true, false},      {"vault:k2", false, true, false},
	    {"nobody", false, false, false},
	};
	struct cn_health *h = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cn_health_reset(h, CN_VIEW(""));
		(void)report(h, &big1, CN_CLASS_OVERLOADED, NOW);
		(void)report(h, &small2, CN_CLASS_AUTH, NOW);
		(void)report(h, &own1, CN_CLASS_TIMEOUT_CONNECT, NOW);
		cn_health_reset(h, cn_view_str(rows[i].name));
		if (is_ready(h, &big1, NOW) != rows[i].big ||
		    is_ready(h, &small2, NOW) != rows[i].small ||
		    is_ready(h, &own1, NOW) != rows[i].own)
			fail_msg("reset '%s': %d %d %d", rows[i].name,
			         is_ready(h, &big1, NOW), is_ready(h, &small2, NOW),
			         is_ready(h, &own1, NOW));
	}
}

struct listed {
	size_t n;
	struct cn_health_line lines[8];
};

static void keep_line(void *self, const struct cn_health_line *line)
{
	struct listed *l = self;

	assert_true(l->n < 8);
	l->lines[l->n++] = *line;
}

static const struct cn_health_line *line_of(const struct listed *l, const char *name)
{
	size_t i = 0;

	while (i < l->n && strcmp(l->lines[i].name, name) != 0)
		i++;
	if (i == l->n)
		fail_msg("no line %s", name);
	return &l->lines[i < 8 ? i : 0];
}

static void the_list_shows_what_is_in_force(void **state)
{
	struct cn_outcome refused = {.class = CN_CLASS_TIMEOUT_CONNECT,
	                             .scope = CN_SCOPE_BACKEND,
	                             .reason = "connection refused"};
	struct cn_health *h = *state;
	struct listed l = {0};

	(void)report(h, &big1, CN_CLASS_OVERLOADED, NOW);
	(void)report(h, &small2, CN_CLASS_AUTH, NOW);
	(void)report(h, &small2, CN_CLASS_QUOTA_EXHAUSTED, NOW);
	(void)cn_health_report(h, &own1, &refused, NOW);
	(void)report(h, &tiny1, CN_CLASS_OK, NOW);
	cn_health_list(h, NOW + 1, keep_line, &l);
	assert_int_equal(l.n, 4);
	assert_string_equal(line_of(&l, "cloud/big")->scope, "model");
	assert_int_equal(line_of(&l, "cloud/big")->until_ms, NOW + 10000);
	assert_int_equal(line_of(&l, "cloud/big")->n, 1);
	assert_string_equal(line_of(&l, "cloud:vault:k2")->scope, "key");
	assert_string_equal(line_of(&l, "cloud@k2")->scope, "account");
	assert_int_equal(line_of(&l, "local")->because, CN_CLASS_TIMEOUT_CONNECT);
	assert_string_equal(line_of(&l, "local")->reason, "connection refused");
	assert_null(line_of(&l, "cloud/big")->reason);
	l.n = 0;
	for (int i = 0; i < 5; i++)
		(void)report(h, &own1, CN_CLASS_SERVER_ERROR, NOW + 100000);
	cn_health_list(h, NOW + 106000, keep_line, &l);
	assert_true(line_of(&l, "local/own@k1")->breaker);
}

static void what_waits_for_a_reload_ends_with_it(void **state)
{
	struct cn_health *h = *state;
	static const struct {
		enum cn_class class;
		bool ends;
	} cases[] = {{CN_CLASS_AUTH, true},          {CN_CLASS_NOT_FOUND_MODEL, true},
	             {CN_CLASS_MISCONFIGURED, true}, {CN_CLASS_DAMAGED, true},
	             {CN_CLASS_BILLING, false},      {CN_CLASS_QUOTA_EXHAUSTED, false},
	             {CN_CLASS_RATE_LIMITED, false}, {CN_CLASS_OVERLOADED, false},
	             {CN_CLASS_SERVER_ERROR, false}, {CN_CLASS_TIMEOUT_CONNECT, false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cn_health_reset(h, (struct cn_view){NULL, 0});
		(void)report(h, &big1, cases[i].class, NOW);
		assert_false(is_ready(h, &big1, NOW + 1));
		cn_health_renew(h);
		if (is_ready(h, &big1, NOW + 1) != cases[i].ends)
			fail_msg("%s: ready %d", cn_class_name(cases[i].class),
			         !cases[i].ends);
	}
	/* And the breaker that it opened. */
	cn_health_reset(h, (struct cn_view){NULL, 0});
	for (int i = 0; i < 6; i++)
		(void)report(h, &big1, CN_CLASS_AUTH, NOW);
	cn_health_renew(h);
	assert_true(is_ready(h, &big1, NOW + 1));
}

static void uses_are_counted_by_key(void **state)
{
	struct cn_health *h = *state;

	(void)report(h, &big1, CN_CLASS_OK, NOW);
	(void)report(h, &small1, CN_CLASS_OK, NOW);
	(void)report(h, &big2, CN_CLASS_SERVER_ERROR, NOW);
	assert_int_equal(cn_health_uses(h, &big1), 2);
	assert_int_equal(cn_health_uses(h, &big2), 0);
}

static void the_table_is_bounded_and_keeps_what_matters(void **state)
{
	struct cn_health *h = *state;
	struct cn_outcome o = {.class = CN_CLASS_QUOTA_EXHAUSTED,
	                       .retry_after_ms = 80000000};

	(void)cn_health_report(h, &big1, &o, NOW);
	for (unsigned i = 0; i < 5000; i++) {
		char name[20];
		struct cn_model m = {.name = name, .backend = &local};
		struct cn_candidate c = {&m, &keys[0]};

		(void)snprintf(name, sizeof(name), "m%u", i);
		(void)report(h, &c, CN_CLASS_RATE_LIMITED, NOW);
	}
	assert_true(cn_health__count(h) <= 4096);
	assert_false(is_ready(h, &big1, NOW + 79000000));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- lessons ---- */

static void what_a_model_says_of_itself_is_remembered(void **state)
{
	struct cn_health *h = *state;
	struct cn_outcome window = {.class = CN_CLASS_CONTEXT_OVERFLOW, .window = 131072};
	struct cn_outcome larger = {.class = CN_CLASS_CONTEXT_OVERFLOW, .window = 200000};
	struct cn_outcome ceiling = {.class = CN_CLASS_OUTPUT_CEILING, .limit = 8192};
	struct cn_outcome prefill = {.class = CN_CLASS_INVALID_REQUEST,
	                             .repair = CN_REPAIR_PREFILL};
	struct cn_outcome plain = {.class = CN_CLASS_INVALID_REQUEST,
	                           .repair = CN_REPAIR_PLAIN};
	struct cn_model known = {.name = "big", .backend = &cloud, .context = 100000};

	assert_int_equal(cn_health_learned(h, &big1).window, 0);
	(void)cn_health_report(h, &big1, &window, NOW);
	(void)cn_health_report(h, &big1, &larger, NOW);
	(void)cn_health_report(h, &big1, &ceiling, NOW);
	assert_false(cn_health_learned(h, &big2).plain);
	(void)cn_health_report(h, &big1, &prefill, NOW);
	(void)cn_health_report(h, &big1, &plain, NOW);
	/* Of the model, whatever the key; the smallest figure counts. */
	assert_int_equal(cn_health_learned(h, &big2).window, 131072);
	assert_int_equal(cn_health_learned(h, &big2).ceiling, 8192);
	assert_true(cn_health_learned(h, &big2).no_prefill);
	assert_true(cn_health_learned(h, &big2).plain);
	assert_false(cn_health_learned(h, &small1).no_prefill);
	assert_int_equal(cn_fit__window(&big, h), 131072);
	assert_int_equal(cn_fit__window(&known, h), 100000);
	assert_int_equal(cn_fit__window(&small, h), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_a_model_says_of_itself_is_remembered),
	    T(s1_lengths_of_cooldowns),
	    T(s1_scopes_of_cooldowns),
	    T(the_scope_of_the_outcome_goes_before_that_of_the_class),
	    T(a_named_time_is_kept_and_only_added_to),
	    T(a_local_server_gets_ten_seconds_to_start),
	    T(failures_side_by_side_count_once),
	    T(a_success_ends_the_cooldown_and_the_count),
	    T(one_odd_answer_in_five_minutes_is_forgiven),
	    T(what_says_nothing_about_a_backend_cools_nothing),
	    T(a_loading_model_is_held_but_has_not_failed),
	    T(a_backend_of_which_three_models_fail_cools_as_a_whole),
	    T(after_a_cooldown_one_request_is_let_through),
	    T(a_probe_that_succeeds_opens_for_all),
	    T(a_cooldown_long_over_is_forgotten),
	    T(a_breaker_opens_after_five_in_a_row),
	    T(a_breaker_opens_when_half_of_twenty_failed),
	    T(a_breaker_stays_open_ten_minutes_at_most),
	    T(breakers_widen_by_class),
	    T(retries_are_a_fifth_of_what_is_active_but_three_at_least),
	    T(a_bucket_half_empty_allows_no_retries),
	    T(take_refuses_retries_that_are_too_many),
	    T(names_outlive_a_policy),
	    T(reset_forgets_by_name),
	    T(the_list_shows_what_is_in_force),
	    T(what_waits_for_a_reload_ends_with_it),
	    T(uses_are_counted_by_key),
	    T(the_table_is_bounded_and_keeps_what_matters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
