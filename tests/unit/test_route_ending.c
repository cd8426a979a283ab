/*
 * What the client gets when no candidate is left: every row of wire/fallback-rules.md 5.
 * When this fails, clients wait in vain, give up too early or switch features off for good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "continuo/ending.h"

#define NOW UINT64_C(1000000)
#define ALL UINT32_MAX

static struct cn_policy_key main_key = {CN_KEY_VAULT, "main", "main"};
static struct cn_policy_key kimi_key = {CN_KEY_VAULT, "kimi-1", "kimi-1"};
static struct cn_policy_key client_key = {CN_KEY_CLIENT, "client", "client"};
static const struct cn_backend anthropic = {.name = "anthropic"};
static const struct cn_backend kimi = {.name = "kimi"};
static const struct cn_model opus = {.name = "opus", .backend = &anthropic};
static const struct cn_model sonnet = {.name = "sonnet", .backend = &anthropic};
static const struct cn_model k2 = {.name = "k2", .backend = &kimi};
static struct cn_candidate candidates[] = {{&opus, &main_key}, {&k2, &kimi_key}};
static struct cn_candidate client_candidates[] = {{&opus, &client_key},
                                                  {&sonnet, &client_key}};
static const struct cn_chain chain = {.name = "main"};
static const struct cn_fallback every = {.on = ALL};
static const struct cn_fallback no_refusal = {.on =
                                                  ALL & ~(1u << CN_CLASS_CONTENT_REFUSAL)};

struct row {
	const char *what;
	struct cn_outcome outcomes[2]; /* of opus, of k2 */
	size_t n;
	uint64_t back_ms; /* after now; 0: never */
	uint32_t held;
	/* What is expected. */
	int status;
	const char *type;
	uint64_t retry_after_s;
	bool no_retry;
	int8_t passed; /* index; -1: our own words */
	bool refusal;
	const char *message; /* NULL: any */
};

#define BIT(c) (1u << CN_CLASS_##c)
#define O(c)                          \
	{                             \
		.class = CN_CLASS_##c \
	}
#define H(c, code)                                                                \
	{                                                                         \
		.class = CN_CLASS_##c, .http_status = (code), .body = { "{}", 2 } \
	}
#define W(c, code, w)                                                               \
	{                                                                           \
		.class = CN_CLASS_##c, .http_status = (code), .retry_after_ms = (w) \
	}

static void check(const struct row *r, const struct cn_plan *plan)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_request request = {.estimate = 250000, .max_tokens = 64000};
	struct cn_next next = {.kind = CN_NEXT_NONE,
	                       .ready_at_ms = r->back_ms ? NOW + r->back_ms : 0,
	                       .held = r->held};
	struct cn_tried tried[2];
	struct cn_ending e;

	for (size_t i = 0; i < r->n; i++)
		tried[i] = (struct cn_tried){.candidate = &plan->candidates[i],
		                             .class = r->outcomes[i].class};
	struct cn_ending_input in = {.plan = plan,
	                             .tried = tried,
	                             .outcomes = r->outcomes,
	                             .n = r->n,
	                             .next = &next,
	                             .request = &request,
	                             .now_ms = NOW,
	                             .wall_ms = UINT64_C(1795000000000)};

	cn_ending_decide(&a, &in, &e);
	if (e.status != r->status || strcmp(e.type, r->type) != 0 ||
	    e.retry_after_s != r->retry_after_s || e.no_retry != r->no_retry ||
	    e.refusal != r->refusal ||
	    e.passed != (r->passed < 0 ? NULL : &r->outcomes[r->passed]) ||
	    (r->message && !cn_view_is(e.message, r->message)))
		fail_msg(
		    "%s:\n  is %d %s retry-after %llu no-retry %d passed %d refusal %d "
		    "'%.*s'\n  not %d %s retry-after %llu no-retry %d passed %d refusal %d "
		    "'%s'",
		    r->what, e.status, e.type, (unsigned long long)e.retry_after_s,
		    e.no_retry, e.passed != NULL, e.refusal, CN_VIEW_ARG(e.message),
		    r->status, r->type, (unsigned long long)r->retry_after_s, r->no_retry,
		    r->passed >= 0, r->refusal, r->message ? r->message : "(any)");
	assert_true(e.message.n > 0);
}

static const struct row situations[] = {
    {"back within a minute",
     {H(OVERLOADED, 529), W(RATE_LIMITED, 429, 12000)},
     2,
     11001,
     0,
     529,
     "overloaded_error",
     12,
     false,
     -1,
     false,
     "continuo: all models of chain main failed: anthropic/opus 529, kimi/k2 429 (12 s); "
     "next try in 12 s"},
    {"back in 59 s",
     {O(OVERLOADED)},
     1,
     59000,
     0,
     529,
     "overloaded_error",
     59,
     false,
     -1,
     false,
     NULL},
    {"back in ten minutes",
     {O(RATE_LIMITED), O(OVERLOADED)},
     2,
     600000,
     0,
     529,
     "overloaded_error",
     59,
     false,
     -1,
     false,
     NULL},
    {"an outage of hours",
     {O(OVERLOADED)},
     1,
     7200000,
     0,
     529,
     "overloaded_error",
     59,
     false,
     -1,
     false,
     NULL},
    {"all cooling, nothing tried",
     {{0}},
     0,
     20000,
     BIT(RATE_LIMITED) | BIT(OVERLOADED),
     529,
     "overloaded_error",
     20,
     false,
     -1,
     false,
     "continuo: all models of chain main failed: anthropic/opus cooling down, kimi/k2 "
     "cooling down; next try in 20 s"},
    {"all quota, back in hours",
     {O(QUOTA_EXHAUSTED), O(QUOTA_EXHAUSTED)},
     2,
     7380000,
     BIT(QUOTA_EXHAUSTED),
     429,
     "rate_limit_error",
     7380,
     true,
     -1,
     false,
     "continuo: all models of chain main failed: anthropic/opus quota_exhausted, kimi/k2 "
     "quota_exhausted; next try in 2 h 3 min, at 2026-11-18T13:09:40.000Z"},
    {"quota, nothing tried",
     {{0}},
     0,
     7380000,
     BIT(QUOTA_EXHAUSTED),
     429,
     "rate_limit_error",
     7380,
     true,
     -1,
     false,
     NULL},
    {"quota and no key",
     {H(AUTH, 401), O(QUOTA_EXHAUSTED)},
     2,
     7380000,
     BIT(AUTH) | BIT(QUOTA_EXHAUSTED),
     429,
     "rate_limit_error",
     7380,
     true,
     -1,
     false,
     NULL},
    {"5xx everywhere",
     {H(SERVER_ERROR, 500), H(SERVER_ERROR, 502)},
     2,
     5000,
     0,
     503,
     "api_error",
     5,
     false,
     -1,
     false,
     NULL},
    {"no connection anywhere",
     {O(TIMEOUT_CONNECT), O(TIMEOUT_CONNECT)},
     2,
     3000,
     0,
     503,
     "api_error",
     5,
     false,
     -1,
     false,
     NULL},
    {"a transport outage of 20 s",
     {O(SERVER_ERROR), O(TRUNCATED_STREAM)},
     2,
     20000,
     0,
     503,
     "api_error",
     20,
     false,
     -1,
     false,
     NULL},
    {"timeouts everywhere",
     {O(TIMEOUT_FIRST_BYTE), O(TIMEOUT_IDLE)},
     2,
     15000,
     0,
     504,
     "timeout_error",
     0,
     false,
     -1,
     false,
     NULL},
    {"timeouts and 5xx",
     {O(TIMEOUT_FIRST_BYTE), O(SERVER_ERROR)},
     2,
     5000,
     0,
     503,
     "api_error",
     5,
     false,
     -1,
     false,
     NULL},
    {"no key works",
     {H(AUTH, 401), H(AUTH, 403)},
     2,
     600000,
     BIT(AUTH),
     403,
     "permission_error",
     0,
     true,
     -1,
     false,
     "continuo: no key of chain main works: anthropic refused vault:main (401), kimi "
     "refused vault:kimi-1 (403)"},
    {"no key works, from before",
     {{0}},
     0,
     600000,
     BIT(AUTH),
     403,
     "permission_error",
     0,
     true,
     -1,
     false,
     "continuo: no key of chain main works: anthropic, kimi"},
    {"no money anywhere",
     {H(BILLING, 402), H(BILLING, 402)},
     2,
     1800000,
     BIT(BILLING),
     402,
     "billing_error",
     0,
     false,
     -1,
     false,
     NULL},
    {"no key and no money",
     {H(AUTH, 401), H(BILLING, 402)},
     2,
     600000,
     0,
     403,
     "permission_error",
     0,
     true,
     -1,
     false,
     NULL},
    {"unknown models",
     {H(NOT_FOUND_MODEL, 404), H(NOT_FOUND_MODEL, 404)},
     2,
     3600000,
     0,
     404,
     "not_found_error",
     0,
     false,
     -1,
     false,
     NULL},
    {"prompt too long for every model",
     {H(CONTEXT_OVERFLOW, 400), H(CONTEXT_OVERFLOW, 400)},
     2,
     0,
     0,
     400,
     "invalid_request_error",
     0,
     false,
     -1,
     false,
     "prompt is too long: 250000 tokens > 200000 maximum"},
    {"a backend knows its window better",
     {{.class = CN_CLASS_CONTEXT_OVERFLOW, .window = 262144}},
     1,
     0,
     0,
     400,
     "invalid_request_error",
     0,
     false,
     -1,
     false,
     "prompt is too long: 262145 tokens > 262144 maximum"},
    {"too long for one, the other is resting",
     {O(CONTEXT_OVERFLOW), O(OVERLOADED)},
     2,
     10000,
     0,
     529,
     "overloaded_error",
     10,
     false,
     -1,
     false,
     NULL},
    {"prompt fits, max_tokens does not",
     {{.class = CN_CLASS_CONTEXT_OVERFLOW,
       .repair = CN_REPAIR_MAX_TOKENS,
       .limit = 9999,
       .window = 200000}},
     1,
     0,
     0,
     400,
     "invalid_request_error",
     0,
     false,
     -1,
     false,
     "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, "
     "decrease input length or `max_tokens` and try again"},
    {"body too large for all",
     {{.class = CN_CLASS_CONTEXT_OVERFLOW, .scope = CN_SCOPE_BACKEND}},
     1,
     0,
     0,
     413,
     "request_too_large",
     0,
     false,
     -1,
     false,
     NULL},
    {"max_tokens above every ceiling",
     {{.class = CN_CLASS_OUTPUT_CEILING, .limit = 8192}},
     1,
     0,
     0,
     400,
     "invalid_request_error",
     0,
     false,
     -1,
     false,
     NULL},
    {"wrong for the first backend",
     {{.class = CN_CLASS_INVALID_REQUEST,
       .http_status = 400,
       .no_retry = "own",
       .body = {"{\"x\":1}", 7}}},
     1,
     0,
     0,
     400,
     "invalid_request_error",
     0,
     false,
     0,
     false,
     NULL},
    {"wrong only for a fallback, the first is overloaded",
     {H(OVERLOADED, 529), H(INVALID_REQUEST, 400)},
     2,
     10000,
     BIT(OVERLOADED),
     529,
     "overloaded_error",
     10,
     false,
     -1,
     false,
     NULL},
    {"wrong only for a fallback, the first failed",
     {H(SERVER_ERROR, 500), H(INVALID_REQUEST, 400)},
     2,
     5000,
     BIT(SERVER_ERROR),
     503,
     "api_error",
     5,
     false,
     -1,
     false,
     NULL},
    {"wrong only for a fallback with the client's body",
     {H(OVERLOADED, 529),
      {.class = CN_CLASS_INVALID_REQUEST,
       .http_status = 400,
       .no_retry = "own",
       .body = {"{}", 2}}},
     2,
     10000,
     0,
     529,
     "overloaded_error",
     10,
     false,
     -1,
     false,
     NULL},
    {"wrong for all, and none is the client's own format",
     {H(INVALID_REQUEST, 400), H(INVALID_REQUEST, 422)},
     2,
     0,
     0,
     529,
     "overloaded_error",
     0,
     true,
     -1,
     false,
     NULL},
    {"all refuse the content",
     {O(CONTENT_REFUSAL), O(CONTENT_REFUSAL)},
     2,
     0,
     0,
     200,
     "invalid_request_error",
     0,
     false,
     -1,
     true,
     NULL},
    {"tried twice, and well again",
     {O(MALFORMED_STREAM), O(RATE_LIMITED)},
     2,
     1,
     0,
     529,
     "overloaded_error",
     1,
     false,
     -1,
     false,
     NULL},
};

static void s5_situations_of_the_chain(void **state)
{
	struct cn_plan plan = {.chain = &chain,
	                       .fallback = &every,
	                       .candidates = candidates,
	                       .n = 2,
	                       .largest_window = 200000};

	(void)state;
	for (size_t i = 0; i < sizeof(situations) / sizeof(situations[0]); i++)
		check(&situations[i], &plan);
}

static void s5_a_subscription_gets_its_own_answers(void **state)
{
	static const struct row rows[] = {
	    {"its limit",
	     {H(QUOTA_EXHAUSTED, 429)},
	     1,
	     7200000,
	     BIT(QUOTA_EXHAUSTED),
	     429,
	     "rate_limit_error",
	     0,
	     false,
	     0,
	     false,
	     NULL},
	    {"its limit, and when it ends",
	     {{.class = CN_CLASS_QUOTA_EXHAUSTED,
	       .http_status = 429,
	       .retry_after_ms = 7200001,
	       .body = {"{}", 2}}},
	     1,
	     7200001,
	     BIT(QUOTA_EXHAUSTED),
	     429,
	     "rate_limit_error",
	     7201,
	     false,
	     0,
	     false,
	     NULL},
	    {"its login",
	     {H(AUTH, 401)},
	     1,
	     0,
	     0,
	     401,
	     "authentication_error",
	     0,
	     false,
	     0,
	     false,
	     NULL},
	    {"not what it may not do",
	     {H(AUTH, 403)},
	     1,
	     0,
	     0,
	     403,
	     "permission_error",
	     0,
	     true,
	     -1,
	     false,
	     "continuo: no key of chain main works: anthropic refused the key of the client "
	     "(403)"},
	    {"not an overload",
	     {H(OVERLOADED, 529)},
	     1,
	     10000,
	     0,
	     529,
	     "overloaded_error",
	     10,
	     false,
	     -1,
	     false,
	     NULL},
	};
	struct cn_plan plan = {.chain = &chain,
	                       .fallback = &every,
	                       .candidates = client_candidates,
	                       .n = 1,
	                       .largest_window = 200000};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i], &plan);
	/* Never a 401 of an upstream key, nor when there was something else in the chain.
	 */
	static const struct row mixed = {"with a key of ours behind it",
	                                 {H(AUTH, 401), H(AUTH, 401)},
	                                 2,
	                                 0,
	                                 0,
	                                 403,
	                                 "permission_error",
	                                 0,
	                                 true,
	                                 -1,
	                                 false,
	                                 NULL};
	struct cn_candidate both[] = {{&opus, &client_key}, {&k2, &kimi_key}};
	plan.candidates = both;
	plan.n = 2;
	check(&mixed, &plan);
}

/* The client could not read it. */
static void s5_a_body_of_another_format_is_not_passed_on(void **state)
{
	static const struct cn_backend foreign = {.name = "foreign",
	                                          .wire = CN_WIRE_OPENAI_CHAT};
	static const struct cn_model far = {.name = "far", .backend = &foreign};
	static const struct row translated = {"of another format",
	                                      {H(AUTH, 401)},
	                                      1,
	                                      0,
	                                      0,
	                                      403,
	                                      "permission_error",
	                                      0,
	                                      true,
	                                      -1,
	                                      false,
	                                      NULL};
	struct cn_candidate alone[] = {{&far, &client_key}};
	struct cn_plan plan = {
	    .chain = &chain, .fallback = &every, .candidates = alone, .n = 1};

	(void)state;
	check(&translated, &plan);
}

static void s5_a_refusal_that_no_policy_retries_is_delivered(void **state)
{
	static const struct row row = {"refused",
	                               {O(CONTENT_REFUSAL)},
	                               1,
	                               10000,
	                               0,
	                               200,
	                               "invalid_request_error",
	                               0,
	                               false,
	                               -1,
	                               true,
	                               NULL};
	struct cn_plan plan = {
	    .chain = &chain, .fallback = &no_refusal, .candidates = candidates, .n = 2};

	(void)state;
	check(&row, &plan);
}

static void s5_plans_without_candidates(void **state)
{
	static const struct row too_long = {
	    "too long",
	    {{0}},
	    0,
	    0,
	    0,
	    400,
	    "invalid_request_error",
	    0,
	    false,
	    -1,
	    false,
	    "prompt is too long: 250000 tokens > 200000 maximum"};
	static const struct row too_large = {
	    "too large",         {{0}}, 0,     0,  0,     413,
	    "request_too_large", 0,     false, -1, false, NULL};
	static const struct row unfit = {
	    "unfit",
	    {{0}},
	    0,
	    0,
	    0,
	    404,
	    "not_found_error",
	    0,
	    true,
	    -1,
	    false,
	    "continuo: all models of chain main cannot take this request: kimi/k2 takes no "
	    "images"};
	struct cn_skip skip = {.model = &k2, .reason = "window too small"};
	struct cn_plan plan = {.chain = &chain,
	                       .fallback = &every,
	                       .candidates = candidates,
	                       .skipped = &skip,
	                       .n_skipped = 1,
	                       .too_large = true,
	                       .largest_window = 200000};

	(void)state;
	check(&too_long, &plan);
	skip.reason = "body too large";
	check(&too_large, &plan);
	skip.reason = "takes no images";
	plan.too_large = false;
	check(&unfit, &plan);
}

static void s5_no_route(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_request request = {.model = CN_VIEW("gpt-9")};
	struct cn_ending_input in = {.request = &request};
	struct cn_ending e;

	(void)state;
	cn_ending_decide(&a, &in, &e);
	assert_int_equal(e.status, 404);
	assert_string_equal(e.type, "not_found_error");
	assert_true(cn_view_find(e.message, CN_VIEW("model 'gpt-9'"), 0) != SIZE_MAX);
}

static void a_turn_that_never_got_a_place_says_come_again(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_plan plan = {
	    .chain = &chain, .fallback = &every, .candidates = candidates, .n = 2};
	struct cn_ending_input in = {.plan = &plan, .now_ms = NOW};
	struct cn_ending e;

	(void)state;
	cn_ending_decide(&a, &in, &e);
	assert_int_equal(e.status, 529);
	assert_true(e.retry_after_s > 0 && e.retry_after_s <= 59);
	assert_false(e.no_retry);
}

/* An upstream's words, keys and URLs never become part of a message of ours. */
static void messages_hold_no_words_of_a_backend(void **state)
{
	const struct cn_view secret = CN_VIEW("sk-secret");

	(void)state;
	for (enum cn_class c = CN_CLASS_RATE_LIMITED; c < CN_CLASS_COUNT; c++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_plan plan = {
		    .chain = &chain, .fallback = &every, .candidates = candidates, .n = 2};
		struct cn_outcome o = {.class = c,
		                       .http_status = 400,
		                       .message = secret,
		                       .body = secret,
		                       .repair_field = secret};
		struct cn_tried t = {.candidate = &candidates[0], .class = c};
		struct cn_ending_input in = {
		    .plan = &plan, .tried = &t, .outcomes = &o, .n = 1, .now_ms = NOW};
		struct cn_ending e;

		cn_ending_decide(&a, &in, &e);
		assert_true(e.status == 200 || e.status >= 400);
		assert_true(e.status != 401);
		assert_true(cn_view_find(e.message, secret, 0) == SIZE_MAX);
		e = cn_ending_in_stream(&a, "anthropic/opus", &o);
		assert_true(strcmp(e.type, "overloaded_error") == 0 ||
		            strcmp(e.type, "api_error") == 0);
		assert_true(cn_view_find(e.message, secret, 0) == SIZE_MAX);
		assert_true(cn_view_find(e.message, CN_VIEW("anthropic/opus"), 0) !=
		            SIZE_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(s5_situations_of_the_chain),
	    cmocka_unit_test(s5_a_subscription_gets_its_own_answers),
	    cmocka_unit_test(s5_a_body_of_another_format_is_not_passed_on),
	    cmocka_unit_test(s5_a_refusal_that_no_policy_retries_is_delivered),
	    cmocka_unit_test(s5_plans_without_candidates),
	    cmocka_unit_test(s5_no_route),
	    cmocka_unit_test(a_turn_that_never_got_a_place_says_come_again),
	    cmocka_unit_test(messages_hold_no_words_of_a_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
