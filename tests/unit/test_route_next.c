/*
 * From a plan to the next candidate: the actions of wire/fallback-rules.md 1, and a
 * simulation in virtual time of whole turns.
 */
#include "route_box.h"

static struct cn_next ask(struct fixture *f, uint64_t max_wait)
{
	return cn_plan_next(&f->plan, f->h, f->tried, f->n, f->now, f->now + max_wait);
}

/* The next candidate is tried and ends so. */
static void fails(struct fixture *f, const struct cn_next *next, struct cn_outcome o)
{
	assert_int_equal(next->kind, CN_NEXT_TRY);
	assert_true(cn_health_take(f->h, next->candidate, next->is_retry, f->now));
	(void)cn_health_report(f->h, next->candidate, &o, f->now);
	f->outcomes[f->n] = o;
	f->tried[f->n] = (struct cn_tried){.candidate = next->candidate,
	                                   .class = o.class,
	                                   .repaired = next->repair,
	                                   .outcome = &f->outcomes[f->n]};
	f->n++;
}

/*
 * Plays a turn in which each attempt fails as the script says, and writes what was done:
 * "big:k1 far:o wait 10000 big:k1 none".
 */
static const char *play(struct fixture *f, const struct cn_outcome *script, size_t n,
                        uint64_t max_wait)
{
	CN_AUTO(cn_buf) b = {0};
	uint64_t deadline = f->now + max_wait;

	for (size_t at = 0; at <= n;) {
		struct cn_next next =
		    cn_plan_next(&f->plan, f->h, f->tried, f->n, f->now, deadline);

		if (b.n)
			cn_buf_add_char(&b, ' ');
		if (next.kind == CN_NEXT_NONE) {
			cn_buf_add_str(&b, "none");
			break;
		}
		if (next.kind == CN_NEXT_WAIT) {
			cn_buf_printf(&b, "wait %llu",
			              (unsigned long long)(next.ready_at_ms - f->now));
			f->now = next.ready_at_ms;
			continue;
		}
		cn_buf_printf(&b, "%s%s:%s", next.repair ? "+" : "",
		              next.candidate->model->name, next.candidate->key->name);
		if (at < n)
			fails(f, &next, script[at]);
		at++;
	}
	return cn_arena_dup(&f->arena, cn_buf_view(&b));
}

#define O(name)                          \
	{                                \
		.class = CN_CLASS_##name \
	}
#define MAX_STEPS 5

struct turn_row {
	const char *what;
	const struct cn_model *models[3];
	size_t keys;
	struct cn_outcome script[MAX_STEPS];
	size_t n;
	uint64_t max_wait;
	const char *does;
};

static const struct turn_row actions[] = {
    {"rate_limited: next key, next model",
     {&big, &far},
     2,
     {O(RATE_LIMITED), O(RATE_LIMITED)},
     2,
     0,
     "big:k1 big:k2 far:o"},
    {"keys of one account share a limit",
     {&big, &far},
     3,
     {O(RATE_LIMITED), O(RATE_LIMITED)},
     2,
     0,
     "big:k1 big:k2 far:o"},
    {"quota: next account",
     {&big, &far},
     3,
     {O(QUOTA_EXHAUSTED), O(QUOTA_EXHAUSTED)},
     2,
     0,
     "big:k1 big:k2 far:o"},
    {"overloaded: next model", {&big, &far}, 2, {O(OVERLOADED)}, 1, 0, "big:k1 far:o"},
    {"overloaded, no other: once more",
     {&big},
     1,
     {O(OVERLOADED), O(OVERLOADED)},
     2,
     60000,
     "big:k1 wait 750 big:k1 none"},
    {"overloaded with a time: that is waited for",
     {&big},
     1,
     {{.class = CN_CLASS_OVERLOADED, .retry_after_ms = 20000}},
     1,
     60000,
     "big:k1 wait 22000 big:k1"},
    {"auth: next key", {&big, &far}, 2, {O(AUTH), O(AUTH)}, 2, 0, "big:k1 big:k2 far:o"},
    {"auth of a key: not the next model with it",
     {&big, &mid, &far},
     1,
     {O(AUTH)},
     1,
     0,
     "big:k1 far:o"},
    {"auth for one model: the next one",
     {&big, &mid, &far},
     1,
     {{.class = CN_CLASS_AUTH, .scope = CN_SCOPE_KEY_MODEL}},
     1,
     0,
     "big:k1 mid:k1"},
    {"a region: not this backend",
     {&big, &mid, &far},
     2,
     {{.class = CN_CLASS_AUTH, .scope = CN_SCOPE_BACKEND}},
     1,
     0,
     "big:k1 far:o"},
    {"billing: next account",
     {&big, &mid, &far},
     3,
     {O(BILLING), O(BILLING)},
     2,
     0,
     "big:k1 big:k2 far:o"},
    {"invalid: next model", {&big, &far}, 2, {O(INVALID_REQUEST)}, 1, 0, "big:k1 far:o"},
    {"invalid, the client's own: ends",
     {&big, &far},
     2,
     {{.class = CN_CLASS_INVALID_REQUEST, .no_retry = "own"}},
     1,
     0,
     "big:k1 none"},
    {"invalid, of a later backend: goes on",
     {&big, &far, &own},
     1,
     {O(OVERLOADED), {.class = CN_CLASS_INVALID_REQUEST, .no_retry = "own"}},
     2,
     0,
     "big:k1 far:o own:none"},
    {"repairable: the same once, then the next model",
     {&big, &far},
     2,
     {{.class = CN_CLASS_INVALID_REQUEST, .repair = CN_REPAIR_THINKING},
      {.class = CN_CLASS_INVALID_REQUEST, .repair = CN_REPAIR_THINKING}},
     2,
     0,
     "big:k1 +big:k1 far:o"},
    {"ceiling: clamped once",
     {&big, &far},
     1,
     {{.class = CN_CLASS_OUTPUT_CEILING, .repair = CN_REPAIR_MAX_TOKENS},
      O(OUTPUT_CEILING)},
     2,
     0,
     "big:k1 +big:k1 far:o"},
    {"overflow: only larger windows",
     {&big, &mid, &far},
     2,
     {O(CONTEXT_OVERFLOW)},
     1,
     0,
     "big:k1 far:o"},
    {"overflow of the largest: none",
     {&far, &big, &mid},
     1,
     {O(CONTEXT_OVERFLOW)},
     1,
     60000,
     "far:o none"},
    {"overflow with a window named",
     {&own, &mid, &big},
     1,
     {{.class = CN_CLASS_CONTEXT_OVERFLOW, .window = 100000}},
     1,
     0,
     "own:none big:k1"},
    {"overflow by max_tokens alone: less of it",
     {&big, &mid},
     1,
     {{.class = CN_CLASS_CONTEXT_OVERFLOW, .repair = CN_REPAIR_MAX_TOKENS}},
     1,
     0,
     "big:k1 +big:k1"},
    {"too much for one key",
     {&big, &mid},
     2,
     {{.class = CN_CLASS_CONTEXT_OVERFLOW, .scope = CN_SCOPE_KEY_MODEL}},
     1,
     0,
     "big:k1 big:k2"},
    {"too many bytes: another backend",
     {&big, &mid, &far},
     1,
     {{.class = CN_CLASS_CONTEXT_OVERFLOW, .scope = CN_SCOPE_BACKEND}},
     1,
     0,
     "big:k1 far:o"},
    {"refusal: next model",
     {&big, &far},
     2,
     {O(CONTENT_REFUSAL), O(CONTENT_REFUSAL)},
     2,
     60000,
     "big:k1 far:o none"},
    {"unknown model: next", {&big, &mid}, 2, {O(NOT_FOUND_MODEL)}, 1, 0, "big:k1 mid:k1"},
    {"misconfigured: next backend",
     {&big, &mid, &far},
     2,
     {O(MISCONFIGURED)},
     1,
     0,
     "big:k1 far:o"},
    {"no connection: next backend",
     {&big, &mid, &far},
     2,
     {O(TIMEOUT_CONNECT)},
     1,
     0,
     "big:k1 far:o"},
    {"no connection, no other: once more",
     {&far},
     1,
     {O(TIMEOUT_CONNECT)},
     1,
     60000,
     "far:o wait 750 far:o"},
    {"first byte: next model",
     {&big, &far},
     2,
     {O(TIMEOUT_FIRST_BYTE)},
     1,
     0,
     "big:k1 far:o"},
    {"idle: next model", {&big, &far}, 2, {O(TIMEOUT_IDLE)}, 1, 0, "big:k1 far:o"},
    {"truncated: next", {&big, &far}, 1, {O(TRUNCATED_STREAM)}, 1, 0, "big:k1 far:o"},
    {"truncated, no other: again",
     {&big},
     1,
     {O(TRUNCATED_STREAM), O(TRUNCATED_STREAM)},
     2,
     0,
     "big:k1 big:k1 none"},
    {"malformed: once more, then next",
     {&big, &far},
     1,
     {O(MALFORMED_STREAM), O(MALFORMED_STREAM)},
     2,
     0,
     "big:k1 big:k1 far:o"},
    {"empty: once more, then next",
     {&big, &far},
     2,
     {O(EMPTY), O(EMPTY)},
     2,
     0,
     "big:k1 big:k1 far:o"},
    {"server error: next model", {&big, &far}, 2, {O(SERVER_ERROR)}, 1, 0, "big:k1 far:o"},
    {"server error, short chain: once more",
     {&big},
     2,
     {O(SERVER_ERROR)},
     1,
     60000,
     "big:k1 wait 750 big:k1"},
    {"server error after content: not that",
     {&big},
     1,
     {{.class = CN_CLASS_SERVER_ERROR, .delta_seen = true}},
     1,
     60000,
     "big:k1 wait 5000 big:k1"},
    {"loop: next model, once",
     {&big, &far, &own},
     1,
     {O(LOOP), O(LOOP)},
     2,
     0,
     "big:k1 far:o none"},
    {"damaged: next model, once",
     {&big, &far, &own},
     1,
     {O(DAMAGED), O(DAMAGED)},
     2,
     0,
     "big:k1 far:o none"},
    {"weak: the same once, then delivered",
     {&big, &far},
     1,
     {O(WEAK), O(WEAK)},
     2,
     0,
     "big:k1 big:k1 none"},
    {"a dead kept connection: free",
     {&big, &far},
     1,
     {{.class = CN_CLASS_SERVER_ERROR, .free_retry = true, .no_cooldown = true},
      O(OVERLOADED)},
     2,
     0,
     "big:k1 big:k1 far:o"},
    {"loading locally: waited for",
     {&own, &far},
     1,
     {{.class = CN_CLASS_OVERLOADED,
       .scope = CN_SCOPE_MODEL,
       .no_cooldown = true,
       .retry_after_ms = 2000},
      {.class = CN_CLASS_OVERLOADED,
       .scope = CN_SCOPE_MODEL,
       .no_cooldown = true,
       .retry_after_ms = 2000},
      {.class = CN_CLASS_OVERLOADED,
       .scope = CN_SCOPE_MODEL,
       .no_cooldown = true,
       .retry_after_ms = 2000}},
     3,
     5000,
     "own:none wait 2000 own:none wait 2000 own:none far:o"},
    {"loading elsewhere: next",
     {&big, &far},
     1,
     {{.class = CN_CLASS_OVERLOADED, .no_cooldown = true}},
     1,
     60000,
     "big:k1 far:o"},
    {"sleep: again, nothing cools",
     {&big},
     1,
     {{.class = CN_CLASS_TRUNCATED_STREAM, .no_cooldown = true}},
     1,
     0,
     "big:k1 big:k1"},
    {"all cooling: the earliest is waited for",
     {&big, &far},
     1,
     {O(OVERLOADED), O(RATE_LIMITED)},
     2,
     60000,
     "big:k1 far:o wait 5000 far:o"},
    {"not longer than max_wait",
     {&big, &far},
     1,
     {O(QUOTA_EXHAUSTED), O(OVERLOADED)},
     2,
     9999,
     "big:k1 far:o none"},
    {"billed twice is enough of a backend",
     {&big, &mid, &far},
     2,
     {{.class = CN_CLASS_SERVER_ERROR, .perhaps_billed = true},
      {.class = CN_CLASS_SERVER_ERROR, .perhaps_billed = true},
      O(OVERLOADED)},
     3,
     60000,
     "big:k1 mid:k1 far:o wait 10000 far:o"},
    {"as many attempts as candidates, and two",
     {&big, &far, &own},
     1,
     {O(TRUNCATED_STREAM), O(TRUNCATED_STREAM), O(TRUNCATED_STREAM), O(TRUNCATED_STREAM),
      O(TRUNCATED_STREAM)},
     5,
     60000,
     "big:k1 far:o own:none big:k1 far:o none"},
};

static void s1_actions_of_the_classes(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		const char *did;

		cloud.n_keys = actions[i].keys;
		f->h = cn_health_free(f->h);
		f->h = cn_health_new();
		cn_health__set_chance(f->h, middle, NULL);
		f->now = NOW;
		f->request = (struct cn_request){0};
		use_chain(actions[i].models[0], actions[i].models[1], actions[i].models[2]);
		make_plan(f, 0);
		did = play(f, actions[i].script, actions[i].n, actions[i].max_wait);
		if (strcmp(did, actions[i].does) != 0)
			fail_msg("%s: '%s', not '%s'", actions[i].what, did,
			         actions[i].does);
	}
}

static void a_class_that_is_not_listed_ends_the_plan(void **state)
{
	static const struct cn_outcome limited[] = {O(RATE_LIMITED)};
	static const struct cn_outcome mended[] = {
	    {.class = CN_CLASS_INVALID_REQUEST, .repair = CN_REPAIR_THINKING},
	    O(INVALID_REQUEST)};
	struct fixture *f = *state;

	chain.fallback.on =
	    ALL & ~(1u << CN_CLASS_RATE_LIMITED | 1u << CN_CLASS_INVALID_REQUEST);
	use_chain(&big, &far, NULL);
	make_plan(f, 0);
	assert_string_equal(play(f, limited, 1, 60000), "big:k1 none");
	/* Mending the request is no fallback. */
	cn_health_reset(f->h, CN_VIEW(""));
	make_plan(f, 0);
	assert_string_equal(play(f, mended, 2, 60000), "big:k1 +big:k1 none");
}

static void a_request_whose_tools_the_provider_runs_is_sent_once(void **state)
{
	static const struct cn_outcome refused[] = {O(TIMEOUT_CONNECT), O(SERVER_ERROR)};
	struct fixture *f = *state;

	cloud.n_keys = 2;
	f->request.server_tools = true;
	use_chain(&big, &far, NULL);
	make_plan(f, 0);
	assert_string_equal(play(f, refused, 2, 60000), "big:k1 wait 750 big:k1 none");
	cn_health_reset(f->h, CN_VIEW(""));
	make_plan(f, 0);
	assert_string_equal(play(f, refused + 1, 1, 60000), "big:k1 none");
}

static void nobody_is_asked_to_take_what_nobody_can(void **state)
{
	struct fixture *f = *state;
	struct cn_next next;

	use_chain(&big, NULL, NULL);
	f->request.estimate = 900000;
	make_plan(f, 0);
	next = ask(f, 60000);
	assert_int_equal(next.kind, CN_NEXT_NONE);
	assert_int_equal(next.because, CN_CLASS_CONTEXT_OVERFLOW);
	assert_int_equal(next.ready_at_ms, 0);
}

static void the_end_says_who_is_back_when(void **state)
{
	struct fixture *f = *state;
	struct cn_next next;
	struct cn_outcome key = O(AUTH),
			  limit = {.class = CN_CLASS_RATE_LIMITED, .retry_after_ms = 30000};

	use_chain(&big, &far, NULL);
	make_plan(f, 0);
	(void)cn_health_report(f->h, &f->plan.candidates[0], &key, NOW);
	(void)cn_health_report(f->h, &f->plan.candidates[1], &limit, NOW);
	next = ask(f, 1000);
	assert_int_equal(next.kind, CN_NEXT_NONE);
	assert_int_equal(next.because, CN_CLASS_RATE_LIMITED);
	assert_int_equal(next.ready_at_ms, NOW + 33000);
	assert_int_equal(next.held, 1u << CN_CLASS_AUTH | 1u << CN_CLASS_RATE_LIMITED);
	next = ask(f, 40000);
	assert_int_equal(next.kind, CN_NEXT_WAIT);
	assert_int_equal(next.ready_at_ms, NOW + 33000);
}

static void breakers_are_tried_rather_than_waited_for(void **state)
{
	struct fixture *f = *state;
	struct cn_outcome cut = O(TRUNCATED_STREAM), limit = O(RATE_LIMITED);
	struct cn_next next;

	use_chain(&big, &far, NULL);
	make_plan(f, 0);
	for (int i = 0; i < 5; i++) {
		f->now += 300000;
		(void)cn_health_report(f->h, &f->plan.candidates[0], &cut, f->now);
	}
	/* Somebody else is well: the breaker keeps. */
	next = ask(f, 60000);
	assert_int_equal(next.kind, CN_NEXT_TRY);
	assert_ptr_equal(next.candidate, &f->plan.candidates[1]);
	(void)cn_health_report(f->h, &f->plan.candidates[1], &limit, f->now);
	next = ask(f, 60000);
	assert_int_equal(next.kind, CN_NEXT_TRY);
	assert_ptr_equal(next.candidate, &f->plan.candidates[0]);
	assert_true(cn_health_take(f->h, next.candidate, next.is_retry, f->now));
}

static void a_place_that_is_taken_is_looked_at_again_soon(void **state)
{
	struct fixture *f = *state;
	struct cn_outcome o = O(OVERLOADED);
	struct cn_next next;

	use_chain(&big, NULL, NULL);
	make_plan(f, 0);
	(void)cn_health_report(f->h, &f->plan.candidates[0], &o, f->now);
	f->now += 10000;
	assert_true(cn_health_take(f->h, &f->plan.candidates[0], false, f->now));
	next = ask(f, 60000);
	assert_int_equal(next.kind, CN_NEXT_WAIT);
	assert_int_equal(next.ready_at_ms, f->now + 1000);
	o.class = CN_CLASS_OK;
	(void)cn_health_report(f->h, &f->plan.candidates[0], &o, f->now + 500);
	f->now += 1000;
	assert_int_equal(ask(f, 60000).kind, CN_NEXT_TRY);
}

static void retries_wait_for_the_budget(void **state)
{
	struct fixture *f = *state;
	struct cn_outcome o = O(EMPTY);
	struct cn_next next;

	use_chain(&big, NULL, NULL);
	make_plan(f, 0);
	for (int i = 0; i < 3; i++)
		assert_true(cn_health_take(f->h, &f->plan.candidates[0], true, f->now));
	next = ask(f, 60000);
	fails(f, &next, o);
	next = ask(f, 60000);
	assert_int_equal(next.kind, CN_NEXT_WAIT);
	f->now += 10000;
	next = ask(f, 60000);
	assert_int_equal(next.kind, CN_NEXT_TRY);
	assert_true(next.is_retry);
}

/* ---- whole turns in virtual time ---- */

static uint64_t seed;

/* xorshift64*: the same turns in every run. */
static uint64_t rnd(uint64_t n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * UINT64_C(2685821657736338717) >> 16) % n;
}

static uint64_t rnd_chance(void *self, uint64_t n)
{
	(void)self;
	return rnd(n);
}

static struct cn_outcome any_outcome(unsigned failing)
{
	struct cn_outcome o = {.class = CN_CLASS_OK};

	if (rnd(100) >= failing)
		return o;
	o.class = CN_CLASS_RATE_LIMITED + (enum cn_class)rnd(CN_CLASS_COUNT - 2);
	o.perhaps_billed = rnd(2);
	o.delta_seen = rnd(4) == 0;
	if (rnd(3) == 0)
		o.retry_after_ms = 1 + rnd(40000);
	if (o.class == CN_CLASS_INVALID_REQUEST && rnd(2))
		o.repair = CN_REPAIR_THINKING;
	if (o.class == CN_CLASS_SERVER_ERROR && rnd(4) == 0)
		o.free_retry = o.no_cooldown = true;
	if (o.class == CN_CLASS_OVERLOADED && rnd(8) == 0) {
		o.no_cooldown = true;
		o.scope = CN_SCOPE_MODEL;
		o.retry_after_ms = 2000;
	}
	return o;
}

/* Whether the attempt is the turn's own repeat, which its cooldown is not for. */
static bool is_repeat(const struct fixture *f, const struct cn_next *next)
{
	const struct cn_tried *last = f->n ? &f->tried[f->n - 1] : NULL;

	return last && last->candidate == next->candidate &&
	       (last->class == CN_CLASS_OVERLOADED ||
	        last->class == CN_CLASS_SERVER_ERROR ||
	        last->class == CN_CLASS_TIMEOUT_CONNECT);
}

static void check_try(struct fixture *f, const struct cn_next *next, size_t counted)
{
	struct cn_readiness r = cn_health_ready_at(f->h, next->candidate, f->now);
	unsigned tries = 0;

	if (r.at_ms > f->now && !r.only_breaker && !is_repeat(f, next))
		fail_msg("%s is tried in a cooldown (%s, %llu ms)",
		         next->candidate->model->name, cn_class_name(r.because),
		         (unsigned long long)(r.at_ms - f->now));
	for (size_t i = 0; i < f->n; i++) {
		const struct cn_outcome *o = f->tried[i].outcome;
		bool loading = o->no_cooldown && o->class == CN_CLASS_OVERLOADED;

		tries +=
		    f->tried[i].candidate == next->candidate && !loading && !o->free_retry;
	}
	assert_true(tries < 2);
	if (counted >= f->plan.n + 2)
		fail_msg("attempt %zu with %zu candidates", counted + 1, f->plan.n);
}

/* Plays one turn; returns whether it was answered. */
static bool simulate_turn(struct fixture *f, unsigned failing, uint64_t max_wait)
{
	uint64_t deadline = f->now + max_wait;
	size_t counted = 0;

	for (unsigned steps = 0; steps < 500; steps++) {
		struct cn_next next =
		    cn_plan_next(&f->plan, f->h, f->tried, f->n, f->now, deadline);
		struct cn_outcome o;

		if (next.kind == CN_NEXT_NONE || f->n == 32)
			return false;
		if (next.kind == CN_NEXT_WAIT) {
			assert_true(next.ready_at_ms > f->now);
			assert_true(next.ready_at_ms <= deadline);
			f->now = next.ready_at_ms;
			continue;
		}
		check_try(f, &next, counted);
		o = any_outcome(failing);
		fails(f, &next, o);
		counted +=
		    !o.free_retry && !(o.no_cooldown && o.class == CN_CLASS_OVERLOADED);
		f->now += rnd(3000);
		if (o.class == CN_CLASS_OK)
			return true;
	}
	fail_msg("a turn without an end");
	return false;
}

static void turns_of_all_kinds_end_within_their_limits(void **state)
{
	static const unsigned failing[] = {5, 50, 100};
	struct fixture *f = *state;

	seed = UINT64_C(88172645463325252);
	cn_health__set_chance(f->h, rnd_chance, NULL);
	for (unsigned i = 0; i < 30000; i++) {
		const struct cn_model *all[] = {&big, &mid, &far, &own};
		unsigned level = failing[i / 10000], answered;

		if (i % 10000 == 0)
			cn_health_reset(f->h, CN_VIEW(""));
		cloud.n_keys = 1 + rnd(3);
		use_chain(all[rnd(4)], rnd(2) ? all[rnd(4)] : NULL,
		          rnd(2) ? all[rnd(4)] : NULL);
		/* A chain names no model twice. */
		for (size_t a = 1; a < chain.n_models; a++) {
			for (size_t b = 0; b < a; b++) {
				if (chain_models[a] == chain_models[b])
					chain.n_models = a;
			}
		}
		f->request = (struct cn_request){.server_tools = false};
		make_plan(f, i);
		answered = simulate_turn(f, level, rnd(2) ? 60000 : 0);
		if (level == 100)
			assert_false(answered);
		f->now += rnd(20000);
		cn_arena_done(&f->arena);
	}
}

/* A well model behind sick ones always answers. */
static void a_well_model_in_the_chain_answers_every_turn(void **state)
{
	struct fixture *f = *state;

	seed = UINT64_C(1234567890123);
	cn_health__set_chance(f->h, rnd_chance, NULL);
	cloud.n_keys = 3;
	use_chain(&big, &mid, &far);
	for (unsigned i = 0; i < 5000; i++) {
		bool answered = false;

		make_plan(f, i);
		while (!answered) {
			struct cn_next next = ask(f, 0);
			struct cn_outcome o = any_outcome(100);

			if (next.kind != CN_NEXT_TRY)
				fail_msg(
				    "turn %u ends after %zu attempts: %s", i, f->n,
				    cn_class_name(f->n ? f->tried[f->n - 1].class : 0));
			answered = next.candidate->model == &far;
			/* These end a plan by rule, whoever else is well. */
			if (answered)
				o = (struct cn_outcome)O(OK);
			else if (o.class == CN_CLASS_LOOP || o.class == CN_CLASS_DAMAGED ||
			         o.class == CN_CLASS_WEAK || o.retry_after_ms == 2000)
				o = (struct cn_outcome)O(SERVER_ERROR);
			fails(f, &next, o);
			f->now += rnd(500);
			if (f->n > f->plan.n + 1)
				break;
		}
		if (!answered)
			fail_msg("turn %u: the well model was not reached in %zu attempts",
			         i, f->n);
		cn_arena_done(&f->arena);
		f->now += rnd(5000);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(s1_actions_of_the_classes),
	    T(a_class_that_is_not_listed_ends_the_plan),
	    T(a_request_whose_tools_the_provider_runs_is_sent_once),
	    T(nobody_is_asked_to_take_what_nobody_can),
	    T(the_end_says_who_is_back_when),
	    T(breakers_are_tried_rather_than_waited_for),
	    T(a_place_that_is_taken_is_looked_at_again_soon),
	    T(retries_wait_for_the_budget),
	    T(turns_of_all_kinds_end_within_their_limits),
	    T(a_well_model_in_the_chain_answers_every_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
