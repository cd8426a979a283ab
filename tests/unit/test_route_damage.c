/*
 * Damage without an error.  If this fails, a model that reads a quarter of its prompt goes
 * unnoticed, or good models are warned of and, where the policy says so, left out.
 */
#include "route_box.h"

static void a_cut_prompt_is_told_from_a_rough_estimate(void **state)
{
	static const struct {
		struct cn_prompt_count p;
		bool cut;
	} rows[] = {
	    /* the estimate is too high, as far as it was ever seen to be, and further */
	    {{.least = 20000, .reported = 20000}, false},
	    {{.least = 20000, .reported = 16000}, false},
	    {{.least = 20000, .reported = 8000}, false},
	    {{.least = 20000, .reported = 6667}, false},
	    /* too low */
	    {{.least = 20000, .reported = 33000}, false},
	    {{.least = 20000, .reported = 2000000}, false},
	    /* windows of local servers */
	    {{.least = 20000, .reported = 6666}, true},
	    {{.least = 20000, .reported = 4096}, true},
	    {{.least = 20000, .reported = 3871}, true},
	    {{.least = 6000, .reported = 4096, .own = true}, true},
	    {{.least = 6000, .reported = 4096}, false},
	    {{.least = 6000, .reported = 4080, .own = true}, true},
	    {{.least = 6000, .reported = 4079, .own = true}, false},
	    {{.least = 5000, .reported = 4096, .own = true}, false},
	    {{.least = 45000, .reported = 32768, .own = true}, true},
	    {{.least = 45000, .reported = 32769, .own = true}, false},
	    {{.least = 80000, .reported = 40960, .own = true}, false},
	    {{.least = 80000, .reported = 40960, .window = 40960}, true},
	    {{.least = 80000, .reported = 40961, .window = 40960}, false},
	    /* figures that count no prompt */
	    {{.least = 20000, .reported = 0}, false},
	    {{.least = 20000, .reported = 1}, false},
	    {{.least = 20000, .reported = 400}, false},
	    /* short prompts */
	    {{.least = 1999, .reported = 600}, false},
	    {{.least = 2000, .reported = 600}, true},
	    {{.least = 0, .reported = 600}, false},
	    /* a backend that is known to cut is believed less */
	    {{.least = 20000, .reported = 13333, .known = true}, true},
	    {{.least = 20000, .reported = 13334, .known = true}, false},
	    {{.least = 900, .reported = 512, .known = true}, true},
	    {{.least = 600, .reported = 490, .known = true}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cn_damage_cut(&rows[i].p) != rows[i].cut)
			fail_msg("row %zu: %llu of %llu", i,
			         (unsigned long long)rows[i].p.reported,
			         (unsigned long long)rows[i].p.least);
}

static void names_of_one_model_are_the_same(void **state)
{
	static const char *const rows[][2] = {
	    {"claude-opus-4-5", "claude-opus-4-5"},
	    {"claude-opus-4-5", "claude-opus-4-5-20251101"},
	    {"claude-opus-4-5-20251101", "claude-opus-4-5"},
	    {"claude-sonnet-4-0", "claude-sonnet-4-20250514"},
	    {"claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"},
	    {"anthropic/claude-3.5-sonnet", "claude-3-5-sonnet-20241022"},
	    {"anthropic/claude-opus-4.5:beta", "anthropic/claude-opus-4.5"},
	    {"claude-sonnet-4-5[1m]", "claude-sonnet-4-5-20250929"},
	    {"claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"},
	    {"us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"},
	    {"GLM-4.6", "glm-4.6"},
	    {"z-ai/glm-4.6:free", "z-ai/glm-4.6"},
	    {"moonshotai/Kimi-K2-Instruct", "kimi-k2-instruct"},
	    {"kimi-k2-0905-preview", "kimi-k2"},
	    {"accounts/fireworks/models/kimi-k2-instruct-0905", "kimi-k2-instruct"},
	    {"models/gemini-2.5-flash", "gemini-2.5-flash"},
	    {"gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025"},
	    {"gemini-flash-latest", "gemini-2.5-flash"},
	    {"gemini-2.0-flash", "gemini-2.0-flash-001"},
	    {"gpt-4o", "gpt-4o-2024-08-06"},
	    {"gpt-4", "gpt-4-0613"},
	    {"mistral-large-latest", "mistral-large-2411"},
	    {"llama3.2", "llama3.2:latest"},
	    {"qwen3:30b", "qwen3:30b"},
	    {"openrouter/auto", "deepseek/deepseek-v3.2"},
	    {"default", "whatever"},
	    {"m", ""},
	    {"", "m"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!cn_damage_same_model(cn_view_str(rows[i][0]), cn_view_str(rows[i][1]),
		                          false))
			fail_msg("%s and %s are one", rows[i][0], rows[i][1]);
}

static void names_of_other_models_are_not(void **state)
{
	static const char *const rows[][2] = {
	    {"claude-sonnet-4", "claude-sonnet-4-5"},
	    {"claude-sonnet-4-5", "claude-sonnet-4"},
	    {"claude-opus-4-5", "claude-haiku-4-5"},
	    {"claude-opus-4-5", "glm-4.6"},
	    {"claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"},
	    {"gpt-4o", "gpt-4o-mini"},
	    {"gpt-4o", "gpt-4.1"},
	    {"qwen3:30b", "qwen3:8b"},
	    {"glm-4.6", "glm-4.5"},
	    {"glm-4.6", "glm-4.6-air"},
	    {"kimi-k2", "kimi-k2.5"},
	    {"mistral-large-latest", "mistral-small-2409"},
	    {"deepseek-v4-pro", "deepseek-v4-flash"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cn_damage_same_model(cn_view_str(rows[i][0]), cn_view_str(rows[i][1]),
		                         false))
			fail_msg("%s and %s are two", rows[i][0], rows[i][1]);
}

/* A server of one's own calls its model by a file, or by half its name. */
static void local_servers_may_say_more_or_less(void **state)
{
	struct cn_view asked = CN_VIEW("qwen3-coder"),
		       file = CN_VIEW("/models/Qwen3-Coder-30B-A3B-Q4_K_M.gguf");

	(void)state;
	assert_true(cn_damage_same_model(asked, file, true));
	assert_false(cn_damage_same_model(asked, file, false));
	assert_false(cn_damage_same_model(asked, CN_VIEW("llama-3-8b.gguf"), true));
	assert_false(cn_damage_same_model(asked, CN_VIEW("qwen2-7b.gguf"), true));
}

static void odd_names_do_no_harm(void **state)
{
	static const char *const odd[] = {
	    "/",
	    ":",
	    "[",
	    "-",
	    "---",
	    "a/",
	    ":latest",
	    "[1m]",
	    "0",
	    "latest",
	    "2025",
	    "2025-01-01",
	    "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t-u-v-w-x-y-z-1-2",
	    "99999999999999999999999",
	    "\xff\xfe"};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct cn_view v = cn_view_str(odd[i]);

		assert_true(cn_damage_same_model(v, v, false));
		(void)cn_damage_same_model(v, CN_VIEW("claude-opus-4-5"), true);
		(void)cn_damage_same_model(CN_VIEW("claude-opus-4-5"), v, true);
	}
}

/* ---- what is kept of it ---- */

static void count_finding(void *self, const struct cn_finding *f)
{
	struct cn_buf *b = self;

	cn_buf_printf(b, "%s %s '%s' %llu at %llu;", f->name, cn_damage_word(f->what),
	              f->detail, (unsigned long long)f->times,
	              (unsigned long long)f->last_ms);
}

static const char *findings(struct fixture *f)
{
	CN_AUTO(cn_buf) b = {0};

	cn_health_findings(f->h, count_finding, &b);
	return cn_arena_dup(&f->arena, cn_buf_view(&b));
}

static void a_finding_is_news_once(void **state)
{
	struct fixture *f = *state;
	struct cn_candidate one = {&big, &cloud_keys[0]}, again = {&big, &cloud_keys[1]},
			    two = {&mid, &cloud_keys[0]}, own_one = {&own, &no_key};

	assert_string_equal(findings(f), "");
	assert_true(cn_health_found(f->h, &one, CN_DAMAGE_CUT, CN_VIEW("a"), 1));
	assert_false(cn_health_found(f->h, &again, CN_DAMAGE_CUT, CN_VIEW("b"), 2));
	assert_true(cn_health_found(f->h, &one, CN_DAMAGE_RENAMED, CN_VIEW("c"), 3));
	assert_true(cn_health_found(f->h, &two, CN_DAMAGE_CUT, CN_VIEW("d"), 4));
	assert_true(cn_health_found(f->h, &own_one, CN_DAMAGE_CUT, CN_VIEW("e"), 5));
	assert_string_equal(findings(f), "cloud/big prompt_cut 'b' 2 at 2;"
	                                 "cloud/big other_model 'c' 1 at 3;"
	                                 "cloud/mid prompt_cut 'd' 1 at 4;"
	                                 "local/own prompt_cut 'e' 1 at 5;");
	cn_health_reset(f->h, CN_VIEW("mid"));
	cn_health_reset(f->h, CN_VIEW("local"));
	assert_string_equal(findings(f), "cloud/big prompt_cut 'b' 2 at 2;"
	                                 "cloud/big other_model 'c' 1 at 3;");
	assert_true(cn_health_found(f->h, &two, CN_DAMAGE_CUT, CN_VIEW("d"), 6));
	/* A new policy is judged anew. */
	cn_health_renew(f->h);
	assert_string_equal(findings(f), "");
}

static void findings_are_bounded(void **state)
{
	struct fixture *f = *state;
	CN_AUTO(cn_buf) b = {0};
	char names[300][8], text[1000];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < 300; i++) {
		struct cn_model m = far;
		struct cn_candidate c = {&m, &other_key};

		(void)snprintf(names[i], sizeof(names[i]), "m%zu", i);
		m.name = names[i];
		assert_true(cn_health_found(f->h, &c, CN_DAMAGE_CUT,
		                            cn_view(text, sizeof(text)), i));
	}
	cn_health_findings(f->h, count_finding, &b);
	assert_int_equal(cn_view_find(cn_buf_view(&b), CN_VIEW("other/m100 "), 0),
	                 SIZE_MAX);
	assert_int_not_equal(cn_view_find(cn_buf_view(&b), CN_VIEW("other/m299 "), 0),
	                     SIZE_MAX);
	assert_in_range(b.n, 128 * 160, 128 * 220);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_cut_prompt_is_told_from_a_rough_estimate),
	    T(names_of_one_model_are_the_same),
	    T(names_of_other_models_are_not),
	    T(local_servers_may_say_more_or_less),
	    T(odd_names_do_no_harm),
	    T(a_finding_is_news_once),
	    T(findings_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
