/*
 * What config/ writes: a printed policy, as YAML and as JSON, loads to the same policy
 * (those of policies/ and generated ones); policies/policy.schema.json is what the parser's
 * tables say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_files.h"

#include "continuo/hash.h"

/* ---- whether two policies are the same, field by field ---- */

static void same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static void same_texts(const char *const *a, size_t na, const char *const *b, size_t nb)
{
	assert_int_equal(na, nb);
	for (size_t i = 0; i < na; i++)
		assert_string_equal(a[i], b[i]);
}

static void same_pairs(const struct cn_header *a, size_t na, const struct cn_header *b,
                       size_t nb)
{
	assert_int_equal(na, nb);
	for (size_t i = 0; i < na; i++) {
		assert_string_equal(a[i].name, b[i].name);
		assert_string_equal(a[i].value, b[i].value);
	}
}

static void same_members(const struct cn_edit_member *a, size_t na,
                         const struct cn_edit_member *b, size_t nb)
{
	assert_int_equal(na, nb);
	for (size_t i = 0; i < na; i++) {
		assert_string_equal(a[i].name, b[i].name);
		assert_string_equal(a[i].value, b[i].value);
	}
}

#define SAME(f)    assert_true(a->f == b->f)
#define TEXT(f)    same_text(a->f, b->f)
#define TEXTS(f)   same_texts(a->f, a->n_##f, b->f, b->n_##f)
#define PAIRS(f)   same_pairs(a->f, a->n_##f, b->f, b->n_##f)
#define MEMBERS(f) same_members(a->f, a->n_##f, b->f, b->n_##f)
#define EACH(f)    for (size_t i = 0; i < a->n_##f; i++)

static void same_backend(const struct cn_backend *a, const struct cn_backend *b)
{
	TEXT(name);
	TEXT(preset);
	TEXT(url);
	TEXT(origin);
	TEXT(proxy_url);
	SAME(wire);
	SAME(auth);
	PAIRS(headers);
	SAME(quirks);
	TEXTS(drop_fields);
	MEMBERS(add_fields);
	TEXTS(keep_betas);
	SAME(drop_betas);
	SAME(checks_signatures);
	SAME(count_tokens);
	SAME(n_keys);
	EACH(keys)
	{
		SAME(keys[i].kind);
		TEXT(keys[i].name);
		TEXT(keys[i].account);
	}
	SAME(rotate);
	SAME(network);
	SAME(plaintext);
	SAME(proxy);
	SAME(index);
}

static void same_prompt(const struct cn_prompt *a, const struct cn_prompt *b)
{
	SAME(how);
	TEXT(file);
	assert_true(cn_view_eq(a->text, b->text));
}

static void same_model(const struct cn_model *a, const struct cn_model *b)
{
	TEXT(name);
	TEXT(backend->name);
	TEXT(id);
	SAME(context);
	SAME(max_output);
	SAME(continuation);
	SAME(thinking);
	SAME(images);
	SAME(server_tools);
	SAME(tools);
	SAME(max_body);
	SAME(stream);
	SAME(stream_over);
	TEXT(tool_format);
	SAME(smooth);
	SAME(quirks);
	TEXTS(drop_fields);
	MEMBERS(add_fields);
	same_prompt(&a->prompt, &b->prompt);
	SAME(price.input);
	SAME(price.output);
	SAME(price.cache_read);
	SAME(price.cache_write);
	TEXT(price.date);
	SAME(index);
}

static void same_fallback(const struct cn_fallback *a, const struct cn_fallback *b)
{
	SAME(on);
	SAME(connect_timeout_ms);
	SAME(first_byte_timeout_ms);
	SAME(idle_timeout_ms);
	SAME(progress_timeout_ms);
	SAME(attempt_timeout_ms);
	SAME(hold_thinking_ms);
	SAME(hold_ping_after_ms);
	SAME(max_wait_ms);
	SAME(orphan_grace_ms);
	SAME(failback);
	if (a->failback == CN_FAILBACK_IDLE)
		SAME(failback_idle_ms);
	SAME(continuation);
	SAME(tool_calls_live);
	SAME(report_answered);
	SAME(loop_limit);
	SAME(hedge_after_ms);
}

static void same_when(const struct cn_when *a, const struct cn_when *b)
{
	TEXTS(models);
	TEXTS(owners);
	SAME(context_over);
	SAME(context_under);
	SAME(thinking);
	SAME(images);
	SAME(tools);
	SAME(caller);
	PAIRS(headers);
	SAME(from_minute);
	SAME(to_minute);
}

static void same_route(const struct cn_route *a, const struct cn_route *b)
{
	same_when(&a->when, &b->when);
	TEXT(chain->name);
	same_fallback(&a->fallback, &b->fallback);
	same_prompt(&a->prompt, &b->prompt);
	SAME(max_tokens);
	TEXT(effort);
	SAME(number);
	/* Keys put over a model that change nothing are no difference. */
	for (size_t i = 0; i < a->chain->n_models; i++)
		same_model(a->models ? a->models[i] : a->chain->models[i],
		           b->models ? b->models[i] : b->chain->models[i]);
}

static void same_budget(const struct cn_budget *a, const struct cn_budget *b)
{
	SAME(money);
	SAME(tokens);
	SAME(then);
}

static void same_rest(const struct cn_policy *a, const struct cn_policy *b)
{
	SAME(history);
	SAME(retention_ms);
	SAME(history_max_size);
	SAME(history_network_fs);
	SAME(limits.connections);
	SAME(limits.connections_per_token);
	SAME(limits.turns);
	SAME(limits.turns_per_token);
	SAME(limits.request_body);
	SAME(limits.memory_limit);
	SAME(limits.drain_ms);
	same_budget(&a->budget_session, &b->budget_session);
	same_budget(&a->budget_token, &b->budget_token);
	same_budget(&a->budget_day, &b->budget_day);
	SAME(requests_per_minute);
	TEXT(vault_key_file);
	SAME(require_mlock);
	SAME(log_json);
	SAME(log_level);
	TEXT(otlp);
}

static void same_policy(const struct cn_policy *a, const struct cn_policy *b)
{
	SAME(n_listen);
	EACH(listen)
	{
		TEXT(listen[i].host);
		TEXT(listen[i].path);
		SAME(listen[i].port);
		SAME(listen[i].loopback);
	}
	TEXTS(names);
	SAME(tls_terminated);
	SAME(workers);
	TEXTS(client_key_origins);
	TEXT(client_model);
	PAIRS(client_env);
	SAME(n_backends);
	EACH(backends) same_backend(&a->backends[i], &b->backends[i]);
	SAME(n_models);
	EACH(models) same_model(&a->models[i], &b->models[i]);
	SAME(n_chains);
	EACH(chains)
	{
		TEXT(chains[i].name);
		SAME(chains[i].n_models);
		for (size_t j = 0; j < a->chains[i].n_models; j++)
			TEXT(chains[i].models[j]->name);
		same_fallback(&a->chains[i].fallback, &b->chains[i].fallback);
	}
	SAME(n_routes);
	EACH(routes) same_route(&a->routes[i], &b->routes[i]);
	same_fallback(&a->fallback, &b->fallback);
	same_rest(a, b);
}

/* Prints p both ways into the directory and loads it again. */
static void goes_round(const struct config_dir *d, const struct cn_policy *p)
{
	for (int json = 0; json < 2; json++) {
		CN_AUTO(cn_buf) text = {0};
		CN_AUTO(cn_buf) mistakes = {0};
		cn_config_print(&text, p, json);
		struct cn_policy *again =
		    config_load_text(d, cn_buf_cstr(&text), &mistakes);
		if (!again)
			fail_msg("%s\ndoes not load: %s", text.p, mistakes.p);
		same_policy(p, again);
		cn_policy_unref(again);
	}
}

/* ---- the shipped policies ---- */

static const char *source(char *path, size_t n, const char *name)
{
	const char *dir = getenv("CONTINUO_SOURCE");

	(void)snprintf(path, n, "%s/policies/%s", dir ? dir : ".", name);
	return path;
}

static void shipped_policies_load_and_go_round(void **state)
{
	static const char *const names[] = {"subscription.yaml", "keys.yaml", "open.yaml",
	                                    "local.yaml", "team.yaml"};
	struct config_dir d;
	char path[1024];

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct cn_policy *p = NULL;
		struct cn_error err = {0};
		struct cn_config_opts opts = {.path = source(path, sizeof path, names[i]),
		                              .check_key = config_check_key,
		                              .skip_ownership = true};
		if (cn_config_load(&opts, &p, &err) != 0)
			fail_msg("%s:%u:%u: %s", err.file, err.line, err.column,
			         err.message);
		goes_round(&d, p);
		cn_policy_unref(p);
	}
	config_dir_remove(&d);
}

static void the_schema_is_what_the_tables_say(void **state)
{
	CN_AUTO(cn_buf) made = {0};
	CN_AUTO(cn_buf) shipped = {0};
	char path[1024];
	FILE *f;
	size_t got;

	(void)state;
	cn_config_schema(&made);
	f = fopen(source(path, sizeof path, "policy.schema.json"), "r");
	assert_non_null(f);
	do {
		got = fread(cn_buf_reserve(&shipped, 4096), 1, 4096, f);
		shipped.n += got;
	} while (got > 0);
	(void)fclose(f); /* only read from */
	if (!cn_view_eq(cn_buf_view(&made), cn_buf_view(&shipped)))
		fail_msg("%s differs from the parser's tables: write it anew with "
		         "'continuo policy schema'",
		         path);
}

/* ---- generated policies ---- */

/* Each line is taken or left; %lu is a random number in it. */
static const char *const top_lines[] = {
    "listen: ['127.0.0.1:%lu', 'unix:/tmp/s%lu', '[::1]:%lu', 'localhost:0']\n",
    "names: [a.example, 'b.example:%lu']\n",
    "tls: terminated\n",
    "workers: 1\n",
    "client_key_origins: ['https://a.example:%lu', http://localhost]\n",
    "client: {model: 'x$${y}: #%lu', env: {A_B: '%lu', LANG: \"C \\u00e9\\\"\"}}\n",
    "history: {enabled: false, retention: %luh, max_size: %luGiB, network_fs: true}\n",
    "limits: {connections: %lu, turns: %lu, turns_per_token: 1, drain: %lums}\n",
    "budgets: {session: {money: 0.%lu}, day: {tokens: %luk, then: stop}}\n",
    "tokens: {requests_per_minute: %lu}\n",
    "vault: {key_file: '/a b/%lu', require_mlock: true}\n",
    "observability: {log: json, log_level: debug, otlp: 'https://c.example:%lu/v1'}\n",
};
static const char *const fallback_keys[] = {
    "on: [rate_limited, loop, damaged]",
    "on: []",
    "connect_timeout: %lums",
    "first_byte_timeout: %lus",
    "idle_timeout: %lus",
    "progress_timeout: %lus",
    "attempt_timeout: %lum",
    "hold_thinking: 0s",
    "hold_ping_after: %lus",
    "max_wait: forever",
    "max_wait: %lum",
    "orphan_grace: %lus",
    "failback: {idle: %lum}",
    "failback: never",
    "continuation: restart",
    "tool_calls: live",
    "report_model: answered",
    "loop_limit: %lu",
    "hedge_after: %lums",
};
static const char *const model_keys[] = {
    "context: %luM",
    "max_output: %luk",
    "continuation: prefill",
    "continuation: 'off'",
    "thinking: false",
    "images: false",
    "server_tools: true",
    "tools: %lu",
    "tools: false",
    "max_body: %luMiB",
    "stream: never",
    "stream: {over: %luk}",
    "tool_format: deepseek-v3",
    "smooth: true",
    "quirks: [no_stop, top_k]",
    "quirks: think_tags",
    "drop_fields: [x, temperature%lu]",
    "add_fields: {transforms: [], tool_stream: true, deep: {a: [{b: -1.50}, {}, []]}}",
    "add_fields: {x: '$${y}: %lu', n: 1e%lu, 'true': 'true', tool_stream: no}",
    "price: {input: %lu.25, output: 0, date: 2026-11-21}",
    "price: {input: 0, output: 0, cache_read: 0.1, cache_write: 3.75}",
    "prompt: {replace: 'p $${x}.md'}",
};
static const char *const backend_lines[] = {
    "  b%lu: {preset: anthropic, key: client, rotate: round_robin}\n",
    "  b%lu: {preset: moonshot, key: [vault:a, {key: vault:b, account: x}]}\n",
    "  b%lu: {preset: zai, quirks: [], headers: {X-A: 'b: c', y: '$${z}'}, proxy: env}\n",
    "  b%lu: {preset: mine, url: 'https://me.example/%lu', proxy: 'socks5h://p:1'}\n",
    "  b%lu: {wire: anthropic, url: 'http://10.0.0.%lu', plaintext: true}\n",
    "  b%lu: {preset: mine, network: private, quirks: [silent_cut, open_end]}\n",
};
static const char *const when_keys[] = {
    "model: ['claude-*', '%lu']",
    "owner: 'x?'",
    "context_over: %lu",
    "thinking: true",
    "images: false",
    "tools: true",
    "caller: main",
    "header: {X-Y: '*%lu'}",
    "time: 0%lu:30-1%lu:05",
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t seed;

static unsigned long any(unsigned long below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned long)((seed >> 33) % below);
}

/* A line with every %lu replaced by a number from 1 to 9. */
static void add_line(struct cn_buf *b, const char *line)
{
	for (const char *p; (p = strstr(line, "%lu")); line = p + 3) {
		cn_buf_add(b, line, (size_t)(p - line));
		cn_buf_printf(b, "%lu", 1 + any(9));
	}
	cn_buf_add_str(b, line);
}

/* "{key, key}" of the list; never the same key twice. */
static void add_keys(struct cn_buf *b, const char *const *keys, size_t n)
{
	const char *last = "";
	bool first = true;

	cn_buf_add_char(b, '{');
	for (size_t i = 0; i < n; i++) {
		size_t key = strcspn(keys[i], ":") + 1;
		if (any(3) || strncmp(keys[i], last, key) == 0)
			continue;
		last = keys[i];
		cn_buf_add_str(b, first ? "" : ", ");
		add_line(b, keys[i]);
		first = false;
	}
	cn_buf_add_char(b, '}');
}

static void add_backends_and_models(struct cn_buf *b)
{
	cn_buf_add_str(
	    b, "presets:\n  mine: {url: 'https://me.example/a/v1', auth: api-key, "
	       "headers: {a: b}, quirks: [think_tags], drop_fields: [x, y.z], "
	       "add_fields: {tool_stream: false, k: '#'}, "
	       "keep_betas: [k-1], checks_signatures: true, count_tokens: true, "
	       "models: {'*': {images: false, quirks: [effort], drop_fields: [top_p], "
	       "add_fields: {k: 2}}}}\nbackends:\n");
	for (unsigned i = 0; i < 4; i++) {
		const char *line = backend_lines[any(COUNT(backend_lines))];
		cn_buf_printf(b, "  b%u", i);
		add_line(b, line + strlen("  b%lu"));
	}
	cn_buf_add_str(b, "models:\n");
	for (unsigned i = 0; i < 5; i++) {
		CN_AUTO(cn_buf) keys = {0};
		add_keys(&keys, model_keys, COUNT(model_keys));
		cn_buf_printf(b, "  m%u: {backend: b%lu, id: %s%s%.*s\n", i, any(4),
		              any(2) ? "client" : "kimi-k2.5", keys.n > 2 ? ", " : "",
		              (int)keys.n - 1, keys.p + 1);
	}
}

static void add_chains_and_routes(struct cn_buf *b)
{
	cn_buf_add_str(b,
	               "chains:\n  c0: [m0, m1, m2]\n  c1: {models: [m3, m4], fallback: ");
	add_keys(b, fallback_keys, COUNT(fallback_keys));
	cn_buf_add_str(b, "}\nroutes:\n");
	for (unsigned i = 0; i < 4; i++) {
		bool list = any(2);
		cn_buf_printf(b, "  - use: %s\n    when: ", list ? "[m0, m3]" : "c0");
		cn_buf_add_str(b, "{context_under: 90k, ");
		CN_AUTO(cn_buf) keys = {0};
		add_keys(&keys, when_keys, COUNT(when_keys));
		cn_buf_add(b, keys.p + 1, keys.n - 1);
		cn_buf_add_str(b, "\n    fallback: ");
		add_keys(b, fallback_keys, COUNT(fallback_keys));
		cn_buf_add_str(b, "\n    models: {m0: ");
		add_keys(b, model_keys, COUNT(model_keys));
		cn_buf_add_str(b, "}\n");
		add_line(b, any(2) ? "    max_tokens: %luk\n    effort: xhigh\n"
		                   : "    prompt: {prepend: 'p $${x}.md'}\n");
	}
	cn_buf_add_str(b, "  - use: c1\n");
}

static void generated_policies_go_round(void **state)
{
	struct config_dir d;
	CN_AUTO(cn_buf) mistakes = {0};

	(void)state;
	config_dir_make(&d);
	config_file(&d, "p ${x}.md", "as you wish\n");
	for (seed = 1; seed < 400; seed++) {
		CN_AUTO(cn_buf) text = {0};
		uint64_t from = seed;
		for (size_t i = 0; i < COUNT(top_lines); i++)
			if (any(2))
				add_line(&text, top_lines[i]);
		cn_buf_add_str(&text, "fallback: ");
		add_keys(&text, fallback_keys, COUNT(fallback_keys));
		cn_buf_add_char(&text, '\n');
		add_backends_and_models(&text);
		add_chains_and_routes(&text);
		struct cn_policy *p = config_load_text(&d, cn_buf_cstr(&text), &mistakes);
		if (!p)
			fail_msg("seed %llu:\n%s\n%s", (unsigned long long)from, text.p,
			         mistakes.p);
		goes_round(&d, p);
		cn_policy_unref(p);
		seed = from;
	}
	config_dir_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shipped_policies_load_and_go_round),
	    cmocka_unit_test(the_schema_is_what_the_tables_say),
	    cmocka_unit_test(generated_policies_go_round),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
