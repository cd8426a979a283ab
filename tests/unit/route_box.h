/*
 * A policy of three backends and four models, and for each test of plans a health board,
 * a request and a turn of its own.
 */
#ifndef CONTINUO_TESTS_ROUTE_BOX_H
#define CONTINUO_TESTS_ROUTE_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../src/route/route_impl.h"

#define NOW UINT64_C(1000000)
#define ALL UINT32_MAX

static struct cn_policy_key cloud_keys[] = {
    {CN_KEY_VAULT, "k1", "k1"}, {CN_KEY_VAULT, "k2", "k2"}, {CN_KEY_VAULT, "k3", "k1"}};
static struct cn_policy_key other_key = {CN_KEY_VAULT, "o", "o"};
static struct cn_policy_key no_key = {CN_KEY_NONE, "none", "none"};
static struct cn_backend cloud = {.name = "cloud", .keys = cloud_keys, .n_keys = 1};
static struct cn_backend other = {.name = "other", .keys = &other_key, .n_keys = 1};
static struct cn_backend local = {
    .name = "local", .keys = &no_key, .n_keys = 1, .network = CN_NETWORK_PRIVATE};
static struct cn_model big = {.name = "big",
                              .backend = &cloud,
                              .context = 200000,
                              .images = true,
                              .server_tools = true,
                              .tools = UINT64_MAX};
static struct cn_model mid = {.name = "mid",
                              .backend = &cloud,
                              .context = 100000,
                              .images = true,
                              .tools = UINT64_MAX};
static struct cn_model far = {.name = "far",
                              .backend = &other,
                              .context = 1000000,
                              .server_tools = true,
                              .tools = 128,
                              .max_body = 2000};
static struct cn_model own = {.name = "own", .backend = &local, .tools = 0};
static struct cn_chain chain = {.name = "main"};
static const struct cn_model *chain_models[8];

static inline uint64_t middle(void *self, uint64_t n)
{
	(void)self;
	return (n - 1) / 2;
}

struct fixture {
	struct cn_arena arena;
	struct cn_health *h;
	struct cn_request request;
	struct cn_plan plan;
	struct cn_tried tried[32];
	struct cn_outcome outcomes[32];
	size_t n;
	uint64_t now;
};

static inline int setup(void **state)
{
	struct fixture *f = cn_zalloc(sizeof(*f));

	cn_hash_setup();
	cloud.n_keys = 1;
	cloud.rotate = CN_ROTATE_FILL_FIRST;
	chain.fallback.on = ALL;
	f->h = cn_health_new();
	cn_health__set_chance(f->h, middle, NULL);
	f->now = NOW;
	f->request.model = CN_VIEW("claude-opus-5");
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	f->h = cn_health_free(f->h);
	cn_arena_done(&f->arena);
	free(f);
	return 0;
}

static inline void use_chain(const struct cn_model *a, const struct cn_model *b,
                             const struct cn_model *c)
{
	const struct cn_model *all[] = {a, b, c};

	chain.models = chain_models;
	chain.n_models = 0;
	for (size_t i = 0; i < 3; i++) {
		if (all[i])
			chain_models[chain.n_models++] = all[i];
	}
}

static inline void make_plan(struct fixture *f, uint64_t turn_number)
{
	struct cn_policy policy = {0};
	struct cn_match_input in = {.request = &f->request};
	struct cn_error err = {0};

	f->n = 0;
	assert_int_equal(cn_plan_make(&f->arena, &policy, &chain, &in, f->h, turn_number,
	                              &f->plan, &err),
	                 0);
}

#endif
