/*
 * From a request to the candidates that may answer it: the models of the chain that fit, in
 * the chain's order, each with its keys in the order that `rotate` gives.
 *
 * Owns nothing: the plan is in the turn's arena and borrows from the policy.  Any thread,
 * under the lock of health.  Cooldowns are not looked at here: they change while the turn
 * goes on, which is next.c's business.
 */
#include "continuo/plan.h"

#include "route_impl.h"

/* The keys of a backend as indexes, in the order to try them. */
static void order_keys(const struct cn_model *m, const struct cn_health *h,
                       uint64_t turn_number, size_t *order)
{
	const struct cn_backend *b = m->backend;

	for (size_t i = 0; i < b->n_keys; i++) {
		size_t shift =
		    b->rotate == CN_ROTATE_ROUND_ROBIN ? turn_number % b->n_keys : 0;

		order[i] = (i + shift) % b->n_keys;
	}
	if (b->rotate != CN_ROTATE_LEAST_USED)
		return;
	for (size_t i = 1; i < b->n_keys; i++) {
		size_t key = order[i], at = i;
		uint64_t uses = cn_health_uses(h, &(struct cn_candidate){m, &b->keys[key]});

		while (at > 0 &&
		       cn_health_uses(
			   h, &(struct cn_candidate){m, &b->keys[order[at - 1]]}) > uses) {
			order[at] = order[at - 1];
			at--;
		}
		order[at] = key;
	}
}

static void add_skip(struct cn_plan *p, const struct cn_model *m, const char *reason)
{
	p->skipped[p->n_skipped++] = (struct cn_skip){.model = m, .reason = reason};
}

static void add_model(struct cn_arena *a, struct cn_plan *p, const struct cn_model *m,
                      const struct cn_health *h, uint64_t turn_number)
{
	const struct cn_backend *b = m->backend;
	size_t *order = cn_arena_alloc(a, (b->n_keys + 1) * sizeof(*order));

	order_keys(m, h, turn_number, order);
	for (size_t i = 0; i < b->n_keys; i++)
		p->candidates[p->n++] =
		    (struct cn_candidate){.model = m, .key = &b->keys[order[i]]};
}

/* One pass over the chain; within_error: believe the estimate a little less. */
static void fill(struct cn_arena *a, struct cn_plan *p,
                 const struct cn_model *const *models, const struct cn_match_input *in,
                 const struct cn_health *h, const struct cn_plan_order *order)
{
	const struct cn_request *r = in->request;
	const struct cn_backend *only = NULL;
	bool bound = r->server_tools || r->provider_state;

	p->n = p->n_skipped = 0;
	p->too_large = false;
	for (size_t i = 0; i < p->chain->n_models; i++) {
		const struct cn_model *m = models[i];
		bool size;
		const char *why =
		    cn_fit__reason(m, r, cn_fit__window(m, h), order->within_error, &size);

		if (!why && only && m->backend != only) {
			why = r->server_tools ? "the provider's own tools run once"
			                      : "another provider holds what it names";
			size = false;
		}
		if (why) {
			add_skip(p, m, why);
			p->too_large = p->too_large || size;
			continue;
		}
		if (bound && !only)
			only = m->backend;
		add_model(a, p, m, h, order->turn_number);
	}
	p->too_large = p->too_large && p->n == 0;
}

/* Of the models that a shorter request would fit, the largest: what to be shorter than. */
static uint64_t window_to_meet(const struct cn_plan *p,
                               const struct cn_model *const *models,
                               const struct cn_request *r, const struct cn_health *h)
{
	uint64_t most = 0;
	bool size;

	for (size_t i = 0; i < p->chain->n_models; i++) {
		uint64_t window = cn_fit__window(models[i], h);

		(void)cn_fit__reason(models[i], r, window, true, &size);
		if (size && window > most)
			most = window;
	}
	return most;
}

/* Eight parameters: the header's contract, each of its own type. */
// NOLINTNEXTLINE(readability-function-size)
int cn_plan_make(struct cn_arena *a, const struct cn_policy *p,
                 const struct cn_chain *chain, const struct cn_match_input *in,
                 const struct cn_health *h, uint64_t turn_number, struct cn_plan *ret,
                 struct cn_error *reterr)
{
	struct cn_plan_order order = {.turn_number = turn_number};
	const struct cn_model *const *models;
	struct cn_plan plan = {0};
	size_t most = 0;

	if (!chain) {
		plan.route = cn_route_match(p, in);
		if (!plan.route)
			return cn_fail(reterr, CN_E_NOT_FOUND,
			               "no route of the policy takes the model '%.*s'",
			               CN_VIEW_ARG(cn_view_cut(in->request->model, 100)));
		chain = plan.route->chain;
	}
	plan.chain = chain;
	plan.fallback = plan.route ? &plan.route->fallback : &chain->fallback;
	models = plan.route && plan.route->models ? plan.route->models : chain->models;
	plan.once = in->request->server_tools;
	for (size_t i = 0; i < chain->n_models; i++) {
		most += models[i]->backend->n_keys;
		if (cn_fit__window(models[i], h) > plan.largest_window)
			plan.largest_window = cn_fit__window(models[i], h);
	}
	plan.candidates = cn_arena_alloc(a, (most + 1) * sizeof(*plan.candidates));
	plan.skipped = cn_arena_alloc(a, (chain->n_models + 1) * sizeof(*plan.skipped));
	fill(a, &plan, models, in, h, &order);
	/* Rather ask a model that the estimate rules out by little than nobody. */
	if (plan.too_large) {
		order.within_error = true;
		fill(a, &plan, models, in, h, &order);
	}
	if (plan.too_large)
		plan.largest_window = window_to_meet(&plan, models, in->request, h);
	*ret = plan;
	return 0;
}

void cn_plan_degrade(struct cn_plan *plan, unsigned models)
{
	size_t from = 0;

	while (models-- > 0 && from < plan->n) {
		const struct cn_model *m = plan->candidates[from].model;
		size_t next = from;

		while (next < plan->n && plan->candidates[next].model == m)
			next++;
		if (next == plan->n)
			break;
		add_skip(plan, m, "the budget is used up");
		from = next;
	}
	/* Room for every model of the chain was made when the plan was. */
	plan->candidates += from;
	plan->n -= from;
}
