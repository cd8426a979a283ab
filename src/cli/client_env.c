/*
 * What a client's environment must be to come to the router: variables set, and one taken
 * away (design/product.md, "The client's environment").
 *
 * Reads our own environment and the working directory, changes neither: `run` applies the
 * list to its client, `env` prints it.  Main thread.
 */
#include "router_impl.h"

#include <sys/stat.h>
#include <unistd.h>

#include "continuo/json.h"

#define TOKEN_HEADER "x-continuo-token"

static void add(struct cn_cli *cli, struct cn_client_env *env, const char *name,
                const char *value)
{
	if (env->n == env->cap) {
		size_t cap = env->cap ? 2 * env->cap : 16;
		struct cn_variable *v = cn_arena_alloc(&cli->arena, cap * sizeof(*v));

		for (size_t i = 0; i < env->n; i++)
			v[i] = env->v[i];
		env->v = v;
		env->cap = cap;
	}
	env->v[env->n++] = (struct cn_variable){name, value};
}

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

static void add_where_unset(struct cn_cli *cli, struct cn_client_env *env, const char *name,
                            const char *value)
{
	if (!is_set(name))
		add(cli, env, name, value);
}

/* The user's own headers stay.  A token of ours among them is that of a `run` around us. */
static const char *custom_headers(struct cn_cli *cli, const char *token)
{
	struct cn_view rest = cn_view_str(getenv("ANTHROPIC_CUSTOM_HEADERS")), line;
	CN_AUTO(cn_buf) b = {0};

	while (rest.n && cn_view_split(&rest, '\n', &line)) {
		struct cn_view value = line, name;

		if (cn_view_trim(line).n == 0 ||
		    (cn_view_split(&value, ':', &name) &&
		     cn_view_eq_nocase(cn_view_trim(name), CN_VIEW(TOKEN_HEADER))))
			continue;
		cn_buf_add_view(&b, line);
		cn_buf_add_char(&b, '\n');
	}
	cn_buf_printf(&b, TOKEN_HEADER ": %s", token);
	return cn_arena_dup(&cli->arena, cn_buf_view(&b));
}

/* "http://127.0.0.1:4141" → "127.0.0.1" */
static struct cn_view host_of(struct cn_view url)
{
	size_t at = cn_view_find(url, CN_VIEW("://"), 0);
	struct cn_view host = cn_view_from(url, at == SIZE_MAX ? 0 : at + 3);

	while (host.n && host.p[host.n - 1] != ':')
		host.n--;
	return host.n ? cn_view_cut(host, host.n - 1) : CN_VIEW("127.0.0.1");
}

static void add_no_proxy_as(struct cn_cli *cli, struct cn_client_env *env, const char *name,
                            struct cn_view host)
{
	const char *now = getenv(name);
	struct cn_view rest = cn_view_str(now), item;

	while (rest.n && cn_view_split(&rest, ',', &item)) {
		item = cn_view_trim(item);
		if (cn_view_eq(item, host) || cn_view_is(item, "*"))
			return;
	}
	add(cli, env, name,
	    now && *now ? cn_arena_printf(&cli->arena, "%s,%.*s", now, CN_VIEW_ARG(host))
	                : cn_arena_dup(&cli->arena, host));
}

/* A proxy must not get what is meant for this machine. */
static void add_no_proxy(struct cn_cli *cli, struct cn_client_env *env, struct cn_view host)
{
	static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy",
	                                      "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"};
	bool any = false;

	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
		any |= is_set(proxies[i]);
	if (!any)
		return;
	/* Programs differ in which one they read first, so each that is there is told. */
	if (is_set("no_proxy"))
		add_no_proxy_as(cli, env, "no_proxy", host);
	if (is_set("NO_PROXY") || !is_set("no_proxy"))
		add_no_proxy_as(cli, env, "NO_PROXY", host);
}

static const char *text_of(struct cn_cli *cli, struct cn_json answer, const char *key)
{
	return cn_arena_dup(&cli->arena,
	                    cn_json_text(&cli->arena, cn_json_get(answer, key)));
}

void cn_cli__client_env(struct cn_cli *cli, struct cn_view answer,
                        struct cn_client_env *ret)
{
	struct cn_json json = cn_json_root(answer);
	const char *token = text_of(cli, json, "token"), *url = text_of(cli, json, "url"),
		   *model = text_of(cli, json, "model");

	*ret = (struct cn_client_env){0};
	add(cli, ret, "ANTHROPIC_BASE_URL", url);
	add(cli, ret, "ANTHROPIC_CUSTOM_HEADERS", custom_headers(cli, token));
	if (cn_json_get(json, "client_key").kind == CN_JSON_FALSE) {
		/* Without a credential the client would ask for a login.  With two it would
		 * have to choose. */
		add(cli, ret, "ANTHROPIC_AUTH_TOKEN", token);
		add(cli, ret, "ANTHROPIC_API_KEY", NULL);
	}
	/* A broken stream must come back to us as a stream. */
	add(cli, ret, "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "1");
	if (*model)
		add_where_unset(cli, ret, "ANTHROPIC_MODEL", model);
	for (struct cn_json_iter it = cn_json_iter(cn_json_get(json, "env"));
	     cn_json_next(&it);)
		add_where_unset(
		    cli, ret, cn_arena_dup(&cli->arena, it.key),
		    cn_arena_dup(&cli->arena, cn_json_text(&cli->arena, it.value)));
	add_no_proxy(cli, ret, host_of(cn_view_str(url)));
}

const char *cn_cli__project(struct cn_cli *cli)
{
	CN_AUTOFREE char *cwd = getcwd(NULL, 0);
	CN_AUTOFREE char *top = cn_strdup(cwd);
	struct stat st;

	if (!cwd)
		return "";
	/* `.git` is a directory, or a file in a work tree of another repository. */
	while (*top) {
		CN_AUTO(cn_buf) git = {0};

		cn_buf_printf(&git, "%s/.git", top);
		if (stat(cn_buf_cstr(&git), &st) == 0)
			break;
		*strrchr(top, '/') = '\0';
	}
	const char *found = *top ? top : cwd;
	const char *slash = strrchr(found, '/');

	return cn_arena_dup(&cli->arena, cn_view_str(slash ? slash + 1 : found));
}
