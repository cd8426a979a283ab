/*
 * From the tree to the policy: reads what stands for itself by the tables, then presets,
 * backends and models, each after what it refers to, and holds them to the rules about
 * where keys may go (design/security.md 4, 5, 6).  Chains and routes: routes.c.
 *
 * Thread of the load.  Fills l->policy; every mistake is reported and reading goes on.
 */
#include <unistd.h>

#include "config_impl.h"

/* The entries of a section of names; NULL when it is missing or no map. */
static const struct cn_node *entries(struct cn_load *l, const struct cn_node *root,
                                     const char *section)
{
	const struct cn_node *n = cn_config__find(root, section);

	if (n && !n->bad && n->kind == CN_NODE_MAP)
		return n;
	l->holes = l->holes || n;
	if (!n || n->bad)
		return NULL;
	cn_config__mistake(l, n, "'%s' is a map of names; write 'NAME: …' below it",
	                   section);
	return NULL;
}

/* ---- presets ---- */

static void own_presets(struct cn_load *l, const struct cn_node *root)
{
	const struct cn_node *map = entries(l, root, "presets");

	if (!map)
		return;
	for (const struct cn_node *c = map->first; c; c = c->next)
		if (cn_catalogue_preset(c->name))
			cn_config__mistake_key(
			    l, c,
			    "preset '%.*s' is in the catalogue already; choose "
			    "another name",
			    CN_SHOW(c->name));
	cn_config__presets(l, map);
}

/* ---- backends ---- */

/* Where to show a mistake about a key of a backend: at its value, else at the name. */
static void about(struct cn_load *l, const struct cn_node *backend, const char *key,
                  const char *message)
{
	const struct cn_node *n = cn_config__find(backend, key);

	if (n)
		cn_config__mistake(l, n, "%s", message);
	else
		cn_config__mistake_key(l, backend, "%s", message);
}

/* Security 6: where a connection may go, and what may travel on it. */
static void check_network(struct cn_load *l, const struct cn_node *n, struct cn_backend *b)
{
	enum cn_host_kind kind = cn_config__host_kind(cn_config__origin_host(b->origin));
	bool secret = false;

	if (!cn_config__find(n, "network"))
		b->network =
		    kind == CN_HOST_PUBLIC ? CN_NETWORK_PUBLIC : CN_NETWORK_PRIVATE;
	else if (b->network == CN_NETWORK_PUBLIC && kind != CN_HOST_PUBLIC)
		about(
		    l, n, "network",
		    "the URL names a private address, which 'network: public' forbids; write "
		    "'network: private'");
	if (strncmp(b->origin, "http:", 5) != 0 || kind == CN_HOST_LOOPBACK)
		return;
	if (!b->plaintext) {
		about(
		    l, n, "url",
		    "http to another machine can be read by everyone between; write https, "
		    "or 'plaintext: true' with 'key: none'");
		return;
	}
	for (size_t i = 0; i < b->n_keys; i++)
		secret = secret || b->keys[i].kind != CN_KEY_NONE;
	if (secret)
		about(
		    l, n, "key",
		    "a key must not travel unencrypted; write 'key: none', or https in the "
		    "URL");
}

static const struct cn_node *key_node(const struct cn_node *backend, const char *text)
{
	const struct cn_node *n = cn_config__find(backend, "key"), *c;

	if (!n || n->kind == CN_NODE_SCALAR)
		return n;
	if (n->kind == CN_NODE_MAP)
		return cn_config__find(n, "key");
	for (c = n->first; c; c = c->next) {
		const struct cn_node *k =
		    c->kind == CN_NODE_MAP ? cn_config__find(c, "key") : c;
		if (k && cn_view_is(k->text, text))
			return k;
	}
	return n;
}

static void check_vault_key(struct cn_load *l, const struct cn_node *n,
                            const struct cn_backend *b, const char *name)
{
	const char *text = cn_arena_printf(&l->arena, "vault:%s", name);
	struct cn_error err = {0};
	int r = l->opts->check_key(l->opts->self, name, b->origin, &err);
	const struct cn_node *at = key_node(n, text);

	if (r == 0 || !at)
		return;
	if (r == CN_E_NOT_FOUND)
		cn_config__mistake(
		    l, at,
		    "the vault has no key '%s'; store it with 'continuo vault "
		    "set %s %s %s'",
		    name, name, b->preset ? "--preset" : "--origin",
		    b->preset ? b->preset : b->origin);
	else if (r == CN_E_DENIED)
		cn_config__mistake(l, at,
		                   "key '%s' may not be sent to %s; use a key of that "
		                   "provider, or store this one anew with '--origin %s'",
		                   name, b->origin, b->origin);
	else
		cn_config__mistake(l, at, "key '%s' cannot be checked; %s", name,
		                   err.message);
}

static void check_keys(struct cn_load *l, const struct cn_node *n,
                       const struct cn_backend *b)
{
	const struct cn_policy *p = l->policy;

	for (size_t i = 0; i < b->n_keys; i++) {
		const struct cn_node *at = key_node(n, "client");
		bool known = false;
		if (b->keys[i].kind == CN_KEY_VAULT && l->opts->check_key)
			check_vault_key(l, n, b, b->keys[i].name);
		if (b->keys[i].kind != CN_KEY_CLIENT || !at)
			continue;
		for (size_t j = 0; j < p->n_client_key_origins; j++)
			known = known || strcmp(p->client_key_origins[j], b->origin) == 0;
		if (!known)
			cn_config__mistake(
			    l, at,
			    "the client's own key may not go to %s; use a vault "
			    "key, or list that origin in client_key_origins",
			    b->origin);
	}
}

static void no_key(struct cn_load *l, struct cn_backend *b)
{
	b->keys = cn_arena_new(&l->policy->arena, struct cn_policy_key);
	b->keys[0] = (struct cn_policy_key){CN_KEY_NONE, "none", "none"};
	b->n_keys = 1;
}

static void build_backend(struct cn_load *l, const struct cn_node *n, struct cn_backend *b)
{
	const struct cn_config_preset *preset = NULL;
	size_t index = (size_t)(b - l->policy->backends);

	if (n->kind == CN_NODE_MAP)
		preset = cn_config__preset_of(
		    l, cn_config__find(n, "preset"),
		    "leave it out and write 'url' and 'wire', or add it "
		    "below 'presets'");
	if (preset)
		*b = preset->backend;
	b->name = cn_config__entry_name(l, n);
	b->index = index;
	cn_config__read(l, n, &cn_config__backend_table, b);
	if (n->bad || n->kind != CN_NODE_MAP)
		return;
	if (b->n_keys == 0)
		no_key(l, b);
	if (!preset && !cn_config__find(n, "wire") && !cn_config__find(n, "preset"))
		cn_config__mistake_key(
		    l, n,
		    "backend '%s' has no wire; add 'wire: anthropic', 'wire: openai-chat' "
		    "or a preset",
		    b->name);
	if (!b->url && !cn_config__find(n, "url") &&
	    (preset || !cn_config__find(n, "preset")))
		cn_config__mistake_key(
		    l, n, "backend '%s' has no url%s; add 'url: https://…'%s", b->name,
		    preset ? ", nor has its preset" : "", preset ? "" : " or a preset");
	if (!b->url)
		return;
	check_network(l, n, b);
	check_keys(l, n, b);
}

/* ---- models ---- */

static const struct cn_backend *backend_of(struct cn_load *l, const struct cn_node *n)
{
	struct cn_policy *p = l->policy;
	struct cn_suggest s;

	if (!n || !cn_config__scalar(l, n, "the name of a backend"))
		return NULL;
	s = (struct cn_suggest){.word = n->text};
	for (size_t i = 0; i < p->n_backends; i++) {
		if (cn_view_is(n->text, p->backends[i].name))
			return &p->backends[i];
		cn_config__offer(&s, p->backends[i].name);
	}
	if (!l->holes)
		cn_config__mistake(l, n, "unknown backend '%.*s'; %s", CN_SHOW(n->text),
		                   cn_config__hint(l, &s, "add it below 'backends'"));
	return NULL;
}

static void build_model(struct cn_load *l, const struct cn_node *n, struct cn_model *m)
{
	const struct cn_config_preset *preset = NULL;
	bool native;

	m->index = (size_t)(m - l->policy->models);
	m->name = cn_config__entry_name(l, n);
	if (n->kind == CN_NODE_MAP && !n->bad) {
		m->backend = backend_of(l, cn_config__find(n, "backend"));
		cn_config__read_key(l, n, &cn_config__model_table, "id", m);
	}
	native = !m->backend || m->backend->wire == CN_WIRE_ANTHROPIC;
	m->continuation = CN_CONTINUE_INSTRUCT;
	m->thinking = m->images = m->server_tools = native;
	m->tools = UINT64_MAX;
	m->stream = CN_STREAM_ALWAYS;
	if (m->backend) {
		m->quirks = m->backend->quirks;
		m->drop_fields = m->backend->drop_fields;
		m->n_drop_fields = m->backend->n_drop_fields;
		m->add_fields = m->backend->add_fields;
		m->n_add_fields = m->backend->n_add_fields;
		if (m->backend->preset)
			preset = cn_config__preset(l, cn_view_str(m->backend->preset));
	}
	if (preset)
		cn_config__apply_preset(l, preset, m);
	cn_config__read(l, n, &cn_config__model_table, m);
	if (m->context && m->max_output > m->context)
		about(l, n, cn_config__find(n, "max_output") ? "max_output" : "context",
		      cn_arena_printf(
			  &l->arena,
			  "max_output %s is more than the context of %s; mend one",
			  cn_config__tokens_text(&l->arena, m->max_output),
			  cn_config__tokens_text(&l->arena, m->context)));
}

/* ---- the whole ---- */

/* Security 5: beyond this machine only behind a proxy that does TLS. */
static void check_listen(struct cn_load *l, const struct cn_node *root)
{
	const struct cn_policy *p = l->policy;
	const struct cn_node *n = cn_config__find(root, "listen"), *c;

	if (!n || p->tls_terminated)
		return;
	c = n->kind == CN_NODE_LIST && n->n == p->n_listen ? n->first : NULL;
	for (size_t i = 0; i < p->n_listen; i++) {
		if (!p->listen[i].loopback)
			cn_config__mistake(
			    l, c ? c : n,
			    "%s is reachable from other machines; add 'tls: "
			    "terminated' when a proxy in front does TLS, or listen "
			    "on 127.0.0.1",
			    p->listen[i].host);
		c = c ? c->next : NULL;
	}
}

static void check_workers(struct cn_load *l, const struct cn_node *root)
{
	const struct cn_node *n = cn_config__find(root, "workers");
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (n && cores > 0 && l->policy->workers > (unsigned)cores)
		cn_config__mistake(l, n,
		                   "%u workers; this machine has %ld core%s, write at "
		                   "most that",
		                   l->policy->workers, cores, cores == 1 ? "" : "s");
}

static void settle(struct cn_fallback *f)
{
	if (f->progress_timeout_ms == 0)
		f->progress_timeout_ms = 5 * f->idle_timeout_ms;
}

void cn_config__build(struct cn_load *l, const struct cn_node *root)
{
	struct cn_policy *p = l->policy;
	const struct cn_node *map;

	p->fallback.progress_timeout_ms = 0; /* follows idle_timeout until it is set */
	cn_config__read(l, root, &cn_config__policy_table, p);
	check_listen(l, root);
	check_workers(l, root);
	own_presets(l, root);
	if ((map = entries(l, root, "backends"))) {
		p->backends =
		    cn_arena_zalloc(&p->arena, (map->n + 1) * sizeof *p->backends);
		for (const struct cn_node *c = map->first; c; c = c->next)
			build_backend(l, c, &p->backends[p->n_backends++]);
	}
	if ((map = entries(l, root, "models"))) {
		p->models = cn_arena_zalloc(&p->arena, (map->n + 1) * sizeof *p->models);
		for (const struct cn_node *c = map->first; c; c = c->next)
			build_model(l, c, &p->models[p->n_models++]);
	}
	map = entries(l, root, "chains");
	cn_config__build_routes(l, map, cn_config__find(root, "routes"));
	settle(&p->fallback);
	for (size_t i = 0; i < p->n_chains; i++)
		settle(&p->chains[i].fallback);
	for (size_t i = 0; i < p->n_routes; i++)
		settle(&p->routes[i].fallback);
}
