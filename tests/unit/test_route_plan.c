/*
 * From a request to the plan: routes, what fits, and the order of the keys.
 */
#include "route_box.h"

/* The plan as text: "cloud/big:k1 other/far:o". */
static const char *plan_text(struct fixture *f)
{
	CN_AUTO(cn_buf) b = {0};

	for (size_t i = 0; i < f->plan.n; i++)
		cn_buf_printf(&b, "%s%s:%s", i ? " " : "",
		              f->plan.candidates[i].model->name,
		              f->plan.candidates[i].key->name);
	return cn_arena_dup(&f->arena, cn_buf_view(&b));
}

/* ---- routes ---- */

static struct cn_view header_of(const void *self, const char *name)
{
	(void)self;
	return strcmp(name, "x-team") == 0 ? CN_VIEW("search-eu")
	                                   : (struct cn_view){NULL, 0};
}

static void routes_match_when_all_holds(void **state)
{
	static const char *opus[] = {"x", "claude-opus-*"}, *haiku[] = {"claude-haiku-*"};
	static const char *anna[] = {"anna"};
	static struct cn_header team = {"x-team", "search-*"}, missing = {"x-none", "*"};
/* Everything is allowed but what the row says. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#define WHEN(...)                                                                    \
	{                                                                            \
		.thinking = CN_ANY, .images = CN_ANY, .tools = CN_ANY, .caller = -1, \
		.from_minute = -1, .to_minute = -1, __VA_ARGS__                      \
	}
	static const struct {
		struct cn_when when;
		bool matches;
	} rows[] = {
	    {WHEN(.n_models = 0), true},
	    {WHEN(.models = opus, .n_models = 2), true},
	    {WHEN(.models = haiku, .n_models = 1), false},
	    {WHEN(.owners = anna, .n_owners = 1), true},
	    {WHEN(.owners = opus, .n_owners = 2), false},
	    {WHEN(.models = opus, .n_models = 2, .owners = opus, .n_owners = 2), false},
	    {WHEN(.context_over = 49999), true},
	    {WHEN(.context_over = 50000), false},
	    {WHEN(.context_under = 50001), true},
	    {WHEN(.context_under = 50000), false},
	    {WHEN(.thinking = CN_YES), true},
	    {WHEN(.thinking = CN_NO), false},
	    {WHEN(.images = CN_YES), false},
	    {WHEN(.images = CN_NO), true},
	    {WHEN(.tools = CN_YES), true},
	    {WHEN(.tools = CN_NO), false},
	    {WHEN(.caller = CN_CALLER_SUBAGENT), true},
	    {WHEN(.caller = CN_CALLER_MAIN), false},
	    {WHEN(.headers = &team, .n_headers = 1), true},
	    {WHEN(.headers = &missing, .n_headers = 1), false},
	    /* It is 23:30. */
	    {WHEN(.from_minute = 22 * 60, .to_minute = 6 * 60), true},
	    {WHEN(.from_minute = 6 * 60, .to_minute = 22 * 60), false},
	    {WHEN(.from_minute = 23 * 60, .to_minute = 23 * 60 + 30), false},
	    {WHEN(.from_minute = 23 * 60 + 30, .to_minute = 23 * 60 + 31), true},
	};
#undef WHEN
#pragma GCC diagnostic pop
	struct cn_request r = {.model = CN_VIEW("claude-opus-5"),
	                       .estimate = 50000,
	                       .thinking = true,
	                       .n_tools = 3,
	                       .caller = CN_CALLER_SUBAGENT};
	struct cn_match_input in = {.request = &r,
	                            .owner = CN_VIEW("anna"),
	                            .header = header_of,
	                            .minute_of_day = 23 * 60 + 30};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_route route = {.when = rows[i].when};
		struct cn_policy p = {.routes = &route, .n_routes = 1};

		if ((cn_route_match(&p, &in) != NULL) != rows[i].matches)
			fail_msg("row %zu does%s match", i, rows[i].matches ? " not" : "");
	}
}

static void the_first_route_wins_and_none_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct cn_route routes[2] = {{.when = {.context_over = 100,
	                                       .caller = -1,
	                                       .from_minute = -1,
	                                       .thinking = CN_ANY,
	                                       .images = CN_ANY,
	                                       .tools = CN_ANY}},
	                             {.when = {.caller = -1,
	                                       .from_minute = -1,
	                                       .thinking = CN_ANY,
	                                       .images = CN_ANY,
	                                       .tools = CN_ANY}}};
	struct cn_policy p = {.routes = routes, .n_routes = 2};
	struct cn_match_input in = {.request = &f->request};
	struct cn_error err = {0};

	assert_ptr_equal(cn_route_match(&p, &in), &routes[1]);
	f->request.estimate = 101;
	assert_ptr_equal(cn_route_match(&p, &in), &routes[0]);
	f->request.estimate = 0;
	p.n_routes = 1;
	assert_int_equal(cn_plan_make(&f->arena, &p, NULL, &in, f->h, 0, &f->plan, &err),
	                 CN_E_NOT_FOUND);
	assert_non_null(strstr(err.message, "claude-opus-5"));
}

static void a_routes_own_models_and_fallback_are_used(void **state)
{
	struct fixture *f = *state;
	struct cn_model special = big;
	const struct cn_model *models[] = {&special};
	struct cn_route route = {.when = {.caller = -1,
	                                  .from_minute = -1,
	                                  .thinking = CN_ANY,
	                                  .images = CN_ANY,
	                                  .tools = CN_ANY},
	                         .chain = &chain,
	                         .models = models};
	struct cn_policy p = {.routes = &route, .n_routes = 1};
	struct cn_match_input in = {.request = &f->request};

	use_chain(&big, NULL, NULL);
	assert_int_equal(cn_plan_make(&f->arena, &p, NULL, &in, f->h, 0, &f->plan, NULL),
	                 0);
	assert_ptr_equal(f->plan.candidates[0].model, &special);
	assert_ptr_equal(f->plan.fallback, &route.fallback);
	assert_ptr_equal(f->plan.route, &route);
}

/* ---- fit ---- */

static void models_that_do_not_fit_are_skipped_with_a_reason(void **state)
{
	static const struct {
		struct cn_request r;
		const char *plan, *reason; /* of the first skipped */
		bool size;
	} rows[] = {
	    {{.estimate = 1000}, "big:k1 far:o own:none", NULL, false},
	    {{.estimate = 200000}, "big:k1 far:o own:none", NULL, false},
	    {{.estimate = 200001}, "far:o own:none", "window too small", false},
	    {{.body = {NULL, 2001}}, "big:k1 own:none", "body too large", false},
	    /* Some room for an answer, but not all that was asked for. */
	    {{.estimate = 198976, .max_tokens = 32000},
	     "big:k1 far:o own:none",
	     NULL,
	     false},
	    {{.estimate = 198977, .max_tokens = 32000},
	     "far:o own:none",
	     "window too small",
	     false},
	    {{.estimate = 199999, .max_tokens = 1}, "big:k1 far:o own:none", NULL, false},
	    {{.images = true}, "big:k1 far:o own:none", NULL, false},
	    {{.images = true, .new_images = true}, "big:k1", "takes no images", false},
	    {{.new_documents = true}, "big:k1 far:o own:none", NULL, false},
	    /* What a model lacks is said before what the request is too large for. */
	    {{.new_images = true, .estimate = 1000001}, "", "window too small", true},
	    {{.n_tools = 128}, "big:k1 far:o", "takes no tools", false},
	    {{.n_tools = 129}, "big:k1", "takes fewer tools", false},
	    {{.thinking = true}, "big:k1 far:o own:none", NULL, false},
	    /* These stay with the first that can. */
	    {{.server_tools = true}, "big:k1", "the provider's own tools run once", false},
	    {{.provider_state = true},
	     "big:k1",
	     "another provider holds what it names",
	     false},
	    {{.server_tools = true, .estimate = 300000},
	     "far:o",
	     "window too small",
	     false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *reason;

		use_chain(&big, &far, &own);
		f->request = rows[i].r;
		make_plan(f, 0);
		reason = f->plan.n_skipped ? f->plan.skipped[0].reason : NULL;
		if (strcmp(plan_text(f), rows[i].plan) != 0 ||
		    (reason != NULL) != (rows[i].reason != NULL) ||
		    (reason && strcmp(reason, rows[i].reason) != 0))
			fail_msg("row %zu: '%s' (%s), not '%s' (%s)", i, plan_text(f),
			         reason ? reason : "", rows[i].plan,
			         rows[i].reason ? rows[i].reason : "");
		assert_int_equal(f->plan.largest_window, rows[i].size ? 200000 : 1000000);
		assert_int_equal(f->plan.too_large, rows[i].size);
		assert_int_equal(f->plan.once, rows[i].r.server_tools);
	}
}

static void an_estimate_alone_does_not_refuse_a_request(void **state)
{
	struct fixture *f = *state;

	/* Within the estimate's own error the backend decides. */
	use_chain(&mid, &big, NULL);
	f->request.estimate = 240000;
	make_plan(f, 0);
	assert_string_equal(plan_text(f), "big:k1");
	assert_false(f->plan.too_large);
	f->request.estimate = 260000;
	make_plan(f, 0);
	assert_int_equal(f->plan.n, 0);
	assert_int_equal(f->plan.n_skipped, 2);
	assert_true(f->plan.too_large);
	assert_int_equal(f->plan.largest_window, 200000);
	/* One would take it if it were shorter: that can be helped. */
	use_chain(&own, &mid, NULL);
	f->request.n_tools = 1;
	make_plan(f, 0);
	assert_int_equal(f->plan.n, 0);
	assert_true(f->plan.too_large);
	assert_int_equal(f->plan.largest_window, 100000);
	/* One that would not take it anyway says nothing of size. */
	use_chain(&own, NULL, NULL);
	make_plan(f, 0);
	assert_int_equal(f->plan.n, 0);
	assert_false(f->plan.too_large);
	assert_string_equal(f->plan.skipped[0].reason, "takes no tools");
}

/* There can be notes where pictures were; but not in place of what the model is to look at
 * now. */
static void pictures_of_before_do_not_matter(void **state)
{
	static const struct {
		struct cn_request r;
		enum cn_wire wire;
		uint64_t quirks;
		const char *reason;
	} rows[] = {
	    {{.images = true}, CN_WIRE_OPENAI_CHAT, 0, NULL},
	    {{.new_images = true}, CN_WIRE_OPENAI_CHAT, 0, "takes no images"},
	    {{.new_documents = true}, CN_WIRE_OPENAI_CHAT, 0, "takes no documents"},
	    {{.new_documents = true},
	     CN_WIRE_OPENAI_CHAT,
	     UINT64_C(1) << CN_QUIRK_FILES,
	     NULL},
	    {{.images = true}, CN_WIRE_ANTHROPIC, 0, NULL},
	    {{.new_images = true}, CN_WIRE_ANTHROPIC, 0, "takes no images"},
	    {{.new_documents = true}, CN_WIRE_ANTHROPIC, 0, NULL},
	    {{.new_documents = true},
	     CN_WIRE_ANTHROPIC,
	     UINT64_C(1) << CN_QUIRK_NO_DOCUMENTS,
	     "takes no documents"},
	};
	struct cn_backend backend = local;
	struct cn_model plain = own;
	struct fixture *f = *state;

	plain.backend = &backend;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		use_chain(&plain, NULL, NULL);
		backend.wire = rows[i].wire;
		plain.quirks = rows[i].quirks;
		f->request = rows[i].r;
		make_plan(f, 0);
		assert_int_equal(f->plan.n, rows[i].reason ? 0 : 1);
		if (rows[i].reason)
			assert_string_equal(f->plan.skipped[0].reason, rows[i].reason);
	}
}

/* What a model said of itself when it refused counts as the policy's figure does. */
static void a_learned_window_skips_too(void **state)
{
	struct cn_candidate c = {&own, &no_key};
	struct cn_outcome o = {.class = CN_CLASS_CONTEXT_OVERFLOW, .window = 8192};
	struct fixture *f = *state;

	use_chain(&own, NULL, NULL);
	f->request.estimate = 20000;
	make_plan(f, 0);
	assert_int_equal(f->plan.n, 1);
	(void)cn_health_report(f->h, &c, &o, f->now);
	make_plan(f, 0);
	assert_int_equal(f->plan.n, 0);
	assert_true(f->plan.too_large);
	assert_int_equal(f->plan.largest_window, 8192);
	assert_string_equal(f->plan.skipped[0].reason, "window too small");
}

static void a_used_up_budget_leaves_the_first_models_out(void **state)
{
	static const struct {
		unsigned models;
		const char *plan;
		size_t skipped;
	} rows[] = {
	    {0, "big:k1 big:k2 mid:k1 mid:k2 far:o", 0},
	    {1, "mid:k1 mid:k2 far:o", 1},
	    {2, "far:o", 2},
	    {3, "far:o", 2},
	    {1000, "far:o", 2},
	};
	struct fixture *f = *state;

	use_chain(&big, &mid, &far);
	cloud.n_keys = 2;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make_plan(f, 0);
		cn_plan_degrade(&f->plan, rows[i].models);
		assert_string_equal(plan_text(f), rows[i].plan);
		assert_int_equal(f->plan.n_skipped, rows[i].skipped);
		if (rows[i].skipped)
			assert_string_equal(f->plan.skipped[0].reason,
			                    "the budget is used up");
	}
	/* What did not fit was no model to go on from. */
	use_chain(&own, &big, &far);
	f->request.n_tools = 1;
	make_plan(f, 0);
	cn_plan_degrade(&f->plan, 1);
	assert_string_equal(plan_text(f), "far:o");
	f->request.n_tools = 0;
	use_chain(&big, NULL, NULL);
	make_plan(f, 0);
	cn_plan_degrade(&f->plan, 1);
	assert_string_equal(plan_text(f), "big:k1 big:k2");
}

static void keys_stand_in_the_order_of_rotate(void **state)
{
	struct fixture *f = *state;
	struct cn_outcome ok = {.class = CN_CLASS_OK};

	cloud.n_keys = 3;
	use_chain(&big, &far, NULL);
	make_plan(f, 7);
	assert_string_equal(plan_text(f), "big:k1 big:k2 big:k3 far:o");
	cloud.rotate = CN_ROTATE_ROUND_ROBIN;
	make_plan(f, 7);
	assert_string_equal(plan_text(f), "big:k2 big:k3 big:k1 far:o");
	cloud.rotate = CN_ROTATE_LEAST_USED;
	make_plan(f, 7);
	assert_string_equal(plan_text(f), "big:k1 big:k2 big:k3 far:o");
	(void)cn_health_report(f->h, &(struct cn_candidate){&big, &cloud_keys[0]}, &ok,
	                       NOW);
	(void)cn_health_report(f->h, &(struct cn_candidate){&big, &cloud_keys[0]}, &ok,
	                       NOW);
	(void)cn_health_report(f->h, &(struct cn_candidate){&mid, &cloud_keys[1]}, &ok,
	                       NOW);
	make_plan(f, 7);
	assert_string_equal(plan_text(f), "big:k3 big:k2 big:k1 far:o");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(routes_match_when_all_holds),
	    T(the_first_route_wins_and_none_is_an_error),
	    T(a_routes_own_models_and_fallback_are_used),
	    T(models_that_do_not_fit_are_skipped_with_a_reason),
	    T(a_used_up_budget_leaves_the_first_models_out),
	    T(pictures_of_before_do_not_matter),
	    T(a_learned_window_skips_too),
	    T(an_estimate_alone_does_not_refuse_a_request),
	    T(keys_stand_in_the_order_of_rotate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
