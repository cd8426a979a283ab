/*
 * Chains and routes: names become pointers, lists inside routes become chains of their own,
 * and fallback settings are laid over each other (built-in < policy < chain < route) by
 * copying the outer struct and reading the inner keys over it.
 *
 * Thread of the load.  Fills l->policy; every mistake is reported and reading goes on.
 */
#include "config_impl.h"

static const struct cn_model *model_of(struct cn_load *l, const struct cn_node *n)
{
	struct cn_policy *p = l->policy;
	struct cn_suggest s;

	if (!cn_config__scalar(l, n, "the name of a model"))
		return NULL;
	s = (struct cn_suggest){.word = n->text};
	for (size_t i = 0; i < p->n_models; i++) {
		if (cn_view_is(n->text, p->models[i].name))
			return &p->models[i];
		cn_config__offer(&s, p->models[i].name);
	}
	if (!l->holes)
		cn_config__mistake(l, n, "unknown model '%.*s'; %s", CN_SHOW(n->text),
		                   cn_config__hint(l, &s, "add it below 'models'"));
	return NULL;
}

static void members(struct cn_load *l, const struct cn_node *n, struct cn_chain *chain)
{
	if (n->bad)
		return;
	if (n->kind != CN_NODE_LIST || n->n == 0) {
		cn_config__mistake(l, n, "a chain is a list of models; write [NAME, NAME]");
		return;
	}
	chain->models =
	    cn_arena_zalloc(&l->policy->arena, n->n * sizeof(struct cn_model *));
	for (const struct cn_node *c = n->first; c; c = c->next) {
		const struct cn_model *m = model_of(l, c);
		for (size_t i = 0; m && i < chain->n_models; i++) {
			if (chain->models[i] == m) {
				cn_config__mistake(
				    l, c, "model '%s' stands in the chain twice; keep one",
				    m->name);
				m = NULL;
			}
		}
		if (m)
			chain->models[chain->n_models++] = m;
	}
}

static void build_chain(struct cn_load *l, const struct cn_node *n)
{
	struct cn_policy *p = l->policy;
	struct cn_chain *chain = &p->chains[p->n_chains++];
	const struct cn_node *part;

	chain->name = cn_arena_dup(&p->arena, n->name);
	chain->fallback = p->fallback;
	if (!cn_config__is_name(n->name))
		cn_config__mistake_key(
		    l, n,
		    "'%.*s' is no name; write at most 60 of letters, digits "
		    "and . _ : @ -",
		    CN_SHOW(n->name));
	else if (cn_config__is_inline(chain->name))
		cn_config__mistake_key(l, n,
		                       "'%s' is how lists inside routes are called; choose "
		                       "another name",
		                       chain->name);
	if (n->kind != CN_NODE_MAP) {
		members(l, n, chain);
		return;
	}
	cn_config__read(l, n, &cn_config__chain_table, chain);
	if ((part = cn_config__find(n, "models")))
		members(l, part, chain);
	if ((part = cn_config__find(n, "fallback")))
		cn_config__read(l, part, &cn_config__fallback_table, &chain->fallback);
}

static const struct cn_chain *chain_named(struct cn_load *l, const struct cn_node *n,
                                          size_t n_named)
{
	struct cn_policy *p = l->policy;
	struct cn_suggest s;

	if (!cn_config__scalar(l, n, "the name of a chain, or a list of models"))
		return NULL;
	s = (struct cn_suggest){.word = n->text};
	for (size_t i = 0; i < n_named; i++) {
		if (cn_view_is(n->text, p->chains[i].name))
			return &p->chains[i];
		cn_config__offer(&s, p->chains[i].name);
	}
	if (cn_policy_model(p, n->text))
		cn_config__mistake(l, n, "'%.*s' is a model, not a chain; write [%.*s]",
		                   CN_SHOW(n->text), CN_SHOW(n->text));
	else if (!l->holes)
		cn_config__mistake(l, n, "unknown chain '%.*s'; %s", CN_SHOW(n->text),
		                   cn_config__hint(l, &s, "add it below 'chains'"));
	return NULL;
}

static const struct cn_chain *chain_of(struct cn_load *l, const struct cn_node *n,
                                       unsigned number, size_t n_named)
{
	struct cn_policy *p = l->policy;
	struct cn_chain *chain;

	if (n->bad || n->kind != CN_NODE_LIST)
		return chain_named(l, n, n_named);
	chain = &p->chains[p->n_chains++];
	chain->name = cn_arena_printf(&p->arena, "route-%u", number);
	chain->fallback = p->fallback;
	members(l, n, chain);
	return chain;
}

/* Models of the chain with the route's own keys put over copies of them. */
static void overrides(struct cn_load *l, const struct cn_node *n, struct cn_route *r)
{
	const struct cn_chain *chain = r->chain;
	struct cn_policy *p = l->policy;

	if (n->bad || !chain)
		return;
	if (n->kind != CN_NODE_MAP) {
		cn_config__mistake(l, n,
		                   "'models' is a map; write 'NAME: {max_output: 8k}'");
		return;
	}
	r->models =
	    cn_arena_zalloc(&p->arena, (chain->n_models + 1) * sizeof(struct cn_model *));
	for (size_t i = 0; i < chain->n_models; i++)
		r->models[i] = chain->models[i];
	for (const struct cn_node *c = n->first; c; c = c->next) {
		struct cn_suggest s = {.word = c->name};
		size_t i = 0;
		while (i < chain->n_models && !cn_view_is(c->name, chain->models[i]->name))
			cn_config__offer(&s, chain->models[i++]->name);
		if (i == chain->n_models) {
			cn_config__mistake_key(
			    l, c, "'%.*s' is no model of chain '%s'; %s", CN_SHOW(c->name),
			    chain->name,
			    cn_config__hint(l, &s,
			                    "name one of those that the route uses"));
			continue;
		}
		struct cn_model *copy = cn_arena_new(&p->arena, struct cn_model);
		*copy = *chain->models[i];
		cn_config__read(l, c, &cn_config__override_table, copy);
		copy->prompt.of_route = cn_config__find(c, "prompt");
		r->models[i] = copy;
	}
}

static void check_when(struct cn_load *l, const struct cn_node *n, const struct cn_when *w)
{
	const struct cn_node *under = cn_config__find(n, "context_under");

	if (under && w->context_over && w->context_under &&
	    w->context_over + 1 >= w->context_under)
		cn_config__mistake(l, under,
		                   "no request is both over %s and under %s; mend one",
		                   cn_config__tokens_text(&l->arena, w->context_over),
		                   cn_config__tokens_text(&l->arena, w->context_under));
}

static void build_route(struct cn_load *l, const struct cn_node *n, size_t n_named)
{
	struct cn_policy *p = l->policy;
	struct cn_route *r = &p->routes[p->n_routes++];
	const struct cn_node *part;

	r->number = (unsigned)p->n_routes;
	r->when = (struct cn_when){.thinking = CN_ANY,
	                           .images = CN_ANY,
	                           .tools = CN_ANY,
	                           .caller = -1,
	                           .from_minute = -1,
	                           .to_minute = -1};
	cn_config__read(l, n, &cn_config__route_table, r);
	if ((part = cn_config__find(n, "when")))
		check_when(l, part, &r->when);
	if ((part = cn_config__find(n, "use")))
		r->chain = chain_of(l, part, r->number, n_named);
	r->fallback = r->chain ? r->chain->fallback : p->fallback;
	if ((part = cn_config__find(n, "fallback")))
		cn_config__read(l, part, &cn_config__fallback_table, &r->fallback);
	if ((part = cn_config__find(n, "models")))
		overrides(l, part, r);
}

/* A route that takes everything hides those behind it. */
static void check_reach(struct cn_load *l, const struct cn_node *routes)
{
	unsigned number = 1;

	for (const struct cn_node *c = routes->first; c && c->next; c = c->next, number++) {
		const struct cn_node *when = cn_config__find(c, "when");
		if (c->kind != CN_NODE_MAP ||
		    (when && (when->bad || when->n != 0 || when->kind != CN_NODE_MAP)))
			continue;
		cn_config__mistake(l, c->next,
		                   "route %u is never reached, since route %u takes every "
		                   "request; put that one last",
		                   number + 1, number);
		return;
	}
}

void cn_config__build_routes(struct cn_load *l, const struct cn_node *chains,
                             const struct cn_node *routes)
{
	struct cn_policy *p = l->policy;
	size_t n_named = chains ? chains->n : 0, n_routes;

	if (routes && !routes->bad && (routes->kind != CN_NODE_LIST || routes->n == 0)) {
		cn_config__mistake(l, routes,
		                   "'routes' is a list; write '- use: CHAIN' below it");
		routes = NULL;
	}
	n_routes = routes && !routes->bad ? routes->n : 0;
	p->chains =
	    cn_arena_zalloc(&p->arena, (n_named + n_routes + 1) * sizeof *p->chains);
	p->routes = cn_arena_zalloc(&p->arena, (n_routes + 1) * sizeof *p->routes);
	if (chains)
		for (const struct cn_node *c = chains->first; c; c = c->next)
			build_chain(l, c);
	if (n_routes == 0)
		return;
	for (const struct cn_node *c = routes->first; c; c = c->next)
		build_route(l, c, n_named);
	check_reach(l, routes);
}
