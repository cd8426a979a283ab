/*
 * Where a backend is and whose key it gets: URLs, proxies and keys.  What a message shows
 * of them is chosen with care, since any of them may hold a secret that was put there by
 * mistake.
 *
 * Thread of the load or of the printer; owns nothing.
 */
#include <string.h>

#include "config_impl.h"

/* What a message may show of a URL: a password or query may be a secret. */
static struct cn_view public_part(struct cn_view url)
{
	return memchr(url.p, '@', url.n) || memchr(url.p, '?', url.n) ? CN_VIEW("…") : url;
}

/* What people copy from a provider's example. */
static const char *const endpoints[] = {"/chat/completions", "/messages", NULL};

static void url_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                     void *base)
{
	/* Of a preset it stands deeper. */
	struct cn_backend *b =
	    (struct cn_backend *)(void *)((char *)base + row->at -
	                                  offsetof(struct cn_backend, url));
	const char *before = b->url;

	if (!cn_config__scalar(l, n, "a URL, such as https://api.example.com/anthropic"))
		return;
	for (const char *const *end = endpoints; *end; end++) {
		if (!cn_view_ends(n->text, cn_view_str(*end)))
			continue;
		cn_config__mistake(l, n,
		                   "the endpoint is put behind the base by continuo; leave "
		                   "'%s' out",
		                   *end);
		return;
	}
	if (cn_config_origin(&l->policy->arena, n->text, &b->origin, &b->url)) {
		struct cn_view text = n->text;

		while (cn_view_ends(text, CN_VIEW("/")))
			text.n--;
		/* Behind another address than the preset's a version is meant. */
		if (cn_view_ends(text, CN_VIEW("/v1")) &&
		    !(before && strcmp(before, b->url) == 0))
			b->quirks &= ~cn_quirk_bit(CN_QUIRK_NO_V1);
	} else {
		cn_config__mistake(
		    l, n,
		    "'%.*s' is no base URL; write https://HOST/PATH, without "
		    "user, query and fragment",
		    CN_SHOW(public_part(n->text)));
	}
}

static yyjson_mut_val *url_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__pattern(d, "^https?://[^?#@]+$");
}

const struct cn_type cn_type_url = {url_read, cn_config__give_text, url_describe};

/* The collector's address stays as it is written. */
static void collector_read(struct cn_load *l, const struct cn_node *n,
                           const struct cn_row *row, void *base)
{
	const char *origin;

	if (!cn_config__scalar(l, n, "a URL, such as http://127.0.0.1:4318"))
		return;
	if (cn_config_origin(&l->arena, n->text, &origin, NULL))
		cn_config__keep(l, row, base, n->text);
	else
		cn_config__mistake(l, n,
		                   "'%.*s' is no URL of a collector; write "
		                   "http://127.0.0.1:4318",
		                   CN_SHOW(public_part(n->text)));
}

const struct cn_type cn_type_collector = {collector_read, cn_config__give_text,
                                          url_describe};

static void proxy_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base)
{
	static const char *const schemes[] = {"http://", "https://", "socks5://",
	                                      "socks5h://", NULL};
	struct cn_backend *b = base;
	const char *const *s = schemes, *origin = NULL;

	(void)row;
	if (!cn_config__scalar(l, n, "none, env or the proxy's URL"))
		return;
	if (cn_view_is(n->text, "none") || cn_view_is(n->text, "env")) {
		b->proxy = n->text.p[0] == 'n' ? CN_PROXY_NONE : CN_PROXY_ENV;
		b->proxy_url = NULL;
		return;
	}
	while (*s && !cn_view_starts(n->text, cn_view_str(*s)))
		s++;
	if (*s) {
		/* The rest of the URL has http's form. */
		struct cn_view rest = cn_view_from(n->text, strlen(*s));
		const char *url =
		    cn_arena_printf(&l->arena, "http://%.*s", CN_VIEW_ARG(rest));
		if (!cn_config_origin(&l->arena, cn_view_str(url), &origin, NULL))
			origin = NULL;
	}
	if (!origin) {
		cn_config__mistake(l, n,
		                   "'%.*s' is no proxy; write none, env or a URL such as "
		                   "http://127.0.0.1:3128, without user and password",
		                   CN_SHOW(public_part(n->text)));
		return;
	}
	b->proxy = CN_PROXY_URL;
	b->proxy_url = cn_arena_dup(&l->policy->arena, n->text);
}

static yyjson_mut_val *proxy_give(yyjson_mut_doc *d, const struct cn_row *row,
                                  const void *base)
{
	const struct cn_backend *b = base;

	(void)row;
	return cn_config__str(d, b->proxy == CN_PROXY_URL   ? b->proxy_url
	                         : b->proxy == CN_PROXY_ENV ? "env"
	                                                    : "none");
}

static yyjson_mut_val *proxy_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__pattern(d, "^(none|env|(https?|socks5h?)://[^?#@]+)$");
}

const struct cn_type cn_type_proxy = {proxy_read, proxy_give, proxy_describe};

static bool key_text(struct cn_load *l, const struct cn_node *n, struct cn_policy_key *k)
{
	struct cn_view name;

	if (!cn_config__scalar(l, n, "client, none or vault:NAME"))
		return false;
	if (cn_view_is(n->text, "client") || cn_view_is(n->text, "none")) {
		k->kind = n->text.p[0] == 'c' ? CN_KEY_CLIENT : CN_KEY_NONE;
		k->name = k->account = k->kind == CN_KEY_CLIENT ? "client" : "none";
		return true;
	}
	name = cn_view_from(n->text, strlen("vault:"));
	if (cn_view_starts(n->text, CN_VIEW("vault:")) && cn_config__is_name(name)) {
		k->kind = CN_KEY_VAULT;
		k->name = k->account = cn_arena_dup(&l->policy->arena, name);
		return true;
	}
	/* It may be a secret of a shape that we do not know: not shown. */
	cn_config__mistake(l, n,
	                   "this is no key that a policy can name; write client, none or "
	                   "vault:NAME ('continuo vault set NAME' stores it)");
	return false;
}

static bool key_map(struct cn_load *l, const struct cn_node *n, struct cn_policy_key *k)
{
	const struct cn_node *key = cn_config__find(n, "key");
	const struct cn_node *account = cn_config__find(n, "account");

	if (!key || n->n != (account ? 2 : 1)) {
		cn_config__mistake(l, n,
		                   "a key is more than its name only for 'account'; write "
		                   "{key: vault:NAME, account: LABEL}");
		return false;
	}
	if (!key_text(l, key, k))
		return false;
	if (!account || !cn_config__scalar(l, account, "a label"))
		return account == NULL;
	if (!cn_config__is_name(account->text)) {
		cn_config__mistake(
		    l, account,
		    "'%.*s' is no label; write at most 60 of letters, digits "
		    "and . _ : @ -",
		    CN_SHOW(account->text));
		return false;
	}
	k->account = cn_arena_dup(&l->policy->arena, account->text);
	return true;
}

static void keys_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                      void *base)
{
	struct cn_backend *b = base;
	bool list = n->kind == CN_NODE_LIST;
	const struct cn_node *c = list ? n->first : n;
	size_t count = list ? n->n : 1;

	(void)row;
	if (count == 0)
		cn_config__mistake(l, n, "an empty list of keys; write none or vault:NAME");
	b->keys = cn_arena_zalloc(&l->policy->arena, (count + 1) * sizeof *b->keys);
	b->n_keys = 0;
	for (size_t i = 0; i < count; i++, c = c->next) {
		struct cn_policy_key k = {0};
		bool ok = !c->bad &&
		          (c->kind == CN_NODE_MAP ? key_map(l, c, &k) : key_text(l, c, &k));
		for (size_t j = 0; ok && j < b->n_keys; j++) {
			if (b->keys[j].kind == k.kind && !strcmp(b->keys[j].name, k.name)) {
				cn_config__mistake(
				    l, c, "key '%s' stands here twice; keep one", k.name);
				ok = false;
			}
		}
		if (ok)
			b->keys[b->n_keys++] = k;
	}
}

static yyjson_mut_val *key_give(yyjson_mut_doc *d, const struct cn_policy_key *k)
{
	struct cn_arena a = {0};
	yyjson_mut_val *obj, *v;

	v = cn_config__str(d, k->kind == CN_KEY_VAULT
	                          ? cn_arena_printf(&a, "vault:%s", k->name)
	                          : k->name);
	cn_arena_done(&a);
	if (strcmp(k->account, k->name) == 0)
		return v;
	obj = yyjson_mut_obj(d);
	yyjson_mut_obj_add_val(d, obj, "key", v);
	yyjson_mut_obj_add_val(d, obj, "account", cn_config__str(d, k->account));
	return obj;
}

static yyjson_mut_val *keys_give(yyjson_mut_doc *d, const struct cn_row *row,
                                 const void *base)
{
	const struct cn_backend *b = base;
	yyjson_mut_val *arr = yyjson_mut_arr(d);

	(void)row;
	if (b->n_keys == 1)
		return key_give(d, &b->keys[0]);
	for (size_t i = 0; i < b->n_keys; i++)
		yyjson_mut_arr_append(arr, key_give(d, &b->keys[i]));
	return arr;
}

static yyjson_mut_val *keys_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__either(d, cn_config__ref(d, "key"),
	                         cn_config__array(d, cn_config__ref(d, "key"), 1));
}

const struct cn_type cn_type_keys = {keys_read, keys_give, keys_describe};
