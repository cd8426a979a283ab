/*
 * What a good policy becomes: defaults, inheritance, references, includes, limits of files,
 * the rules about keys and addresses, and that a printed policy loads to the same one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_files.h"

#include "continuo/hash.h"
#include "continuo/log.h"
#include "continuo/message.h"

static void what_is_not_written_has_its_default(void **state)
{
	struct config_dir d;
	struct cn_policy *p;
	struct cn_fallback f = cn_fallback_default();

	(void)state;
	config_dir_make(&d);
	p = config_load_text(&d, BASE, NULL);
	assert_int_equal(p->n_listen, 1);
	assert_string_equal(p->listen[0].host, "127.0.0.1");
	assert_int_equal(p->listen[0].port, 4141);
	assert_true(p->listen[0].loopback);
	assert_false(p->tls_terminated);
	assert_in_range(p->workers, 1, 4);
	assert_int_equal(p->n_client_key_origins, 1);
	assert_string_equal(p->client_key_origins[0], "https://api.anthropic.com:443");
	assert_int_equal(p->retention_ms, 30ULL * 24 * 3600 * 1000);
	assert_int_equal(p->history_max_size, 10ULL << 30);
	assert_true(p->history);
	assert_int_equal(p->limits.connections, 512);
	assert_int_equal(p->limits.connections_per_token, 64);
	assert_int_equal(p->limits.turns, 128);
	assert_int_equal(p->limits.turns_per_token, 32);
	assert_int_equal(p->limits.request_body, 40 << 20);
	assert_int_equal(p->limits.memory_limit, 1 << 30);
	assert_int_equal(p->limits.drain_ms, 120000);
	assert_int_equal(p->log_level, CN_LOG_INFO);
	assert_memory_equal(&p->fallback.on, &f.on, sizeof f.on);
	assert_int_equal(f.on & (1u << CN_CLASS_LOOP), 0);
	assert_int_equal(f.on & (1u << CN_CLASS_OK), 0);
	assert_int_not_equal(f.on & (1u << CN_CLASS_WEAK), 0);
	assert_int_equal(p->fallback.connect_timeout_ms, 10000);
	assert_int_equal(p->fallback.first_byte_timeout_ms, 30000);
	assert_int_equal(p->fallback.idle_timeout_ms, 60000);
	assert_int_equal(p->fallback.progress_timeout_ms, 300000);
	assert_int_equal(p->fallback.attempt_timeout_ms, 1800000);
	assert_int_equal(p->fallback.hold_thinking_ms, 20000);
	assert_int_equal(p->fallback.hold_ping_after_ms, 0);
	assert_int_equal(p->fallback.max_wait_ms, 60000);
	assert_int_equal(p->fallback.orphan_grace_ms, 30000);
	assert_int_equal(p->fallback.loop_limit, 8);
	assert_true(p->fallback.hedge_after_ms == CN_FOREVER);
	assert_int_equal(p->backends[0].n_keys, 1);
	assert_int_equal(p->backends[0].keys[0].kind, CN_KEY_NONE);
	assert_false(cn_policy_has_client_key(p));
	assert_int_equal(strlen(p->digest.hex), 16);
	cn_policy_unref(p);
	config_dir_remove(&d);
}

static void fallback_is_laid_over_from_the_outside_in(void **state)
{
	struct config_dir d;
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	p = config_load_text(
	    &d,
	    BACKENDS MODELS
	    "fallback: {idle_timeout: 20s, loop_limit: 3}\n"
	    "chains:\n"
	    "  a: {models: [m], fallback: {idle_timeout: 2m, max_wait: 5s}}\n"
	    "  b: {models: [m], fallback: {progress_timeout: 7s}}\n"
	    "routes:\n"
	    "  - {when: {model: x}, use: a, fallback: {max_wait: forever}}\n"
	    "  - {when: {model: y}, use: b}\n"
	    "  - use: [m]\n",
	    NULL);
	/* progress follows the nearest idle_timeout until someone sets it */
	assert_int_equal(p->fallback.progress_timeout_ms, 100000);
	assert_int_equal(p->chains[0].fallback.progress_timeout_ms, 600000);
	assert_int_equal(p->chains[0].fallback.max_wait_ms, 5000);
	assert_int_equal(p->chains[0].fallback.loop_limit, 3);
	assert_int_equal(p->chains[1].fallback.progress_timeout_ms, 7000);
	assert_int_equal(p->routes[0].fallback.idle_timeout_ms, 120000);
	assert_true(p->routes[0].fallback.max_wait_ms == CN_FOREVER);
	assert_int_equal(p->routes[1].fallback.progress_timeout_ms, 7000);
	assert_string_equal(p->routes[2].chain->name, "route-3");
	assert_int_equal(p->routes[2].fallback.idle_timeout_ms, 20000);
	assert_ptr_equal(cn_policy_chain(p, CN_VIEW("route-3")), p->routes[2].chain);
	assert_null(cn_policy_chain(p, CN_VIEW("c")));
	cn_policy_unref(p);
	config_dir_remove(&d);
}

static void a_model_takes_from_preset_policy_and_route(void **state)
{
	struct config_dir d;
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	p = config_load_text(
	    &d,
	    "backends: {k: {preset: moonshot}, own: {preset: mine, quirks: [], key: "
	    "vault:x}}\n"
	    "presets:\n"
	    "  mine:\n"
	    "    url: https://mine.example/api/v1/\n"
	    "    auth: bearer\n"
	    "    quirks: [open_end]\n"
	    "    drop_betas: true\n"
	    "    models: {'*': {images: false}, 'big-*': {context: 1M, tools: 64}}\n"
	    "models:\n"
	    "  k2: {backend: k, id: kimi-k2.5, max_output: 8k}\n"
	    "  big: {backend: own, id: big-1, stream: {over: 4k}}\n"
	    "  any: {backend: own, id: client}\n"
	    "routes:\n"
	    "  - {use: [k2, big, any], models: {big: {tools: false, id: big-2}}}\n",
	    NULL);
	const struct cn_model *k2 = cn_policy_model(p, CN_VIEW("k2"));
	const struct cn_model *big = cn_policy_model(p, CN_VIEW("big"));
	const struct cn_model *any = cn_policy_model(p, CN_VIEW("any"));
	assert_int_equal(k2->context, 262144);
	assert_int_equal(k2->max_output, 8000);
	assert_false(k2->server_tools);
	assert_true(k2->images);
	assert_int_equal(big->context, 1000000);
	assert_int_equal(big->tools, 64);
	assert_false(big->images);
	assert_int_equal(big->stream, CN_STREAM_OVER);
	assert_int_equal(big->stream_over, 4000);
	assert_null(any->id);
	assert_int_equal(any->context, 0);
	assert_false(any->images);
	assert_true(any->tools == UINT64_MAX);
	assert_string_equal(big->backend->url, "https://mine.example/api");
	assert_string_equal(big->backend->origin, "https://mine.example:443");
	assert_int_equal(big->backend->auth, CN_AUTH_BEARER);
	assert_true(big->backend->drop_betas);
	assert_false(cn_model_has_quirk(big, CN_QUIRK_OPEN_END));
	assert_string_equal(big->backend->keys[0].account, "x");
	/* the route's own copy, beside the others as they are */
	assert_int_equal(p->routes[0].models[1]->tools, 0);
	assert_string_equal(p->routes[0].models[1]->id, "big-2");
	assert_int_equal(p->routes[0].models[1]->index, big->index);
	assert_ptr_equal(p->routes[0].models[0], k2);
	cn_policy_unref(p);
	config_dir_remove(&d);
}

static const char *added(const struct cn_model *m, const char *name)
{
	for (size_t i = 0; i < m->n_add_fields; i++)
		if (strcmp(m->add_fields[i].name, name) == 0)
			return m->add_fields[i].value;
	return NULL;
}

static void what_requests_lack_and_get_adds_up(void **state)
{
	struct config_dir d;
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	assert_int_equal(setenv("CN_TEST_WORD", "word", 1), 0);
	p = config_load_text(
	    &d,
	    "presets:\n"
	    "  mine:\n"
	    "    url: https://mine.example\n"
	    "    wire: openai-chat\n"
	    "    quirks: [effort]\n"
	    "    drop_fields: [top_p]\n"
	    "    add_fields: {transforms: [], deep: {a: [1, x, true, '2']}, k: 1}\n"
	    "    models:\n"
	    "      'o*': {quirks: [no_stop], drop_fields: [temperature, top_p], "
	    "add_fields: {k: 2.5}}\n"
	    "      'o-*': {quirks: no_stop, add_fields: {odd: \"é \\\"${CN_TEST_WORD}\\\"\"}}\n"
	    "backends: {b: {preset: mine}}\n"
	    "models:\n"
	    "  plain: {backend: b, id: x}\n"
	    "  big: {backend: b, id: o-1, quirks: [top_k], drop_fields: [seed]}\n"
	    "routes: [{use: [plain, big], models: {plain: {add_fields: {k: off}}}}]\n",
	    NULL);
	const struct cn_model *plain = cn_policy_model(p, CN_VIEW("plain"));
	const struct cn_model *big = cn_policy_model(p, CN_VIEW("big"));
	assert_true(plain->quirks == cn_quirk_bit(CN_QUIRK_EFFORT));
	assert_int_equal(plain->n_drop_fields, 1);
	assert_int_equal(plain->n_add_fields, 3);
	assert_string_equal(added(plain, "transforms"), "[]");
	assert_string_equal(added(plain, "deep"), "{\"a\":[1,\"x\",true,\"2\"]}");
	assert_string_equal(added(plain, "k"), "1");
	assert_true(big->quirks ==
	            (cn_quirk_bit(CN_QUIRK_EFFORT) | cn_quirk_bit(CN_QUIRK_NO_STOP) |
	             cn_quirk_bit(CN_QUIRK_TOP_K)));
	assert_int_equal(big->n_drop_fields, 3);
	assert_string_equal(big->drop_fields[0], "top_p");
	assert_string_equal(big->drop_fields[1], "temperature");
	assert_string_equal(big->drop_fields[2], "seed");
	assert_int_equal(big->n_add_fields, 4);
	assert_string_equal(added(big, "k"), "2.5");
	assert_string_equal(added(big, "odd"), "\"é \\\"word\\\"\"");
	/* what a model says of itself is not its backend's */
	assert_int_equal(big->backend->n_add_fields, 3);
	assert_true(big->backend->quirks == cn_quirk_bit(CN_QUIRK_EFFORT));
	assert_string_equal(added(p->routes[0].models[0], "k"), "\"off\"");
	assert_string_equal(added(plain, "k"), "1");
	cn_policy_unref(p);
	config_dir_remove(&d);
}

static void when_is_read_with_all_its_keys(void **state)
{
	struct config_dir d;
	struct cn_policy *p;
	const struct cn_when *w;

	(void)state;
	config_dir_make(&d);
	p = config_load_text(&d,
	                     BACKENDS MODELS "routes:\n"
	                                     "  - use: [m]\n"
	                                     "    effort: low\n"
	                                     "    max_tokens: 4k\n"
	                                     "    when:\n"
	                                     "      model: [a-*, b]\n"
	                                     "      owner: ci-*\n"
	                                     "      context_over: 1k\n"
	                                     "      context_under: 200k\n"
	                                     "      thinking: true\n"
	                                     "      images: false\n"
	                                     "      caller: side\n"
	                                     "      header: {X-Project: '*'}\n"
	                                     "      time: 22:00-06:30\n",
	                     NULL);
	w = &p->routes[0].when;
	assert_int_equal(w->n_models, 2);
	assert_string_equal(w->models[1], "b");
	assert_int_equal(w->n_owners, 1);
	assert_int_equal(w->context_over, 1000);
	assert_int_equal(w->context_under, 200000);
	assert_int_equal(w->thinking, CN_YES);
	assert_int_equal(w->images, CN_NO);
	assert_int_equal(w->tools, CN_ANY);
	assert_int_equal(w->caller, CN_CALLER_SIDE);
	assert_int_equal(w->n_headers, 1);
	assert_string_equal(w->headers[0].name, "x-project");
	assert_int_equal(w->from_minute, 22 * 60);
	assert_int_equal(w->to_minute, 6 * 60 + 30);
	assert_string_equal(p->routes[0].effort, "low");
	assert_int_equal(p->routes[0].max_tokens, 4000);
	cn_policy_unref(p);
	config_dir_remove(&d);
}

static void variables_are_filled_in(void **state)
{
	struct config_dir d;
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	assert_int_equal(setenv("CN_TEST_PORT", "4242", 1), 0);
	p = config_load_text(&d,
	                     BASE "listen: 127.0.0.1:${CN_TEST_PORT}\n"
	                          "client: {model: 'a-$${b}'}\n",
	                     NULL);
	assert_int_equal(p->listen[0].port, 4242);
	assert_string_equal(p->client_model, "a-${b}");
	cn_policy_unref(p);
	config_dir_remove(&d);
}

/* ---- several files ---- */

static void includes_join_and_keep_their_places(void **state)
{
	struct config_dir d;
	struct cn_policy *p;
	CN_AUTO(cn_buf) got = {0};
	char sub[96];

	(void)state;
	config_dir_make(&d);
	(void)snprintf(sub, sizeof sub, "%s/more", d.path);
	assert_int_equal(mkdir(sub, 0700), 0);
	config_file(&d, "more/models.yaml", MODELS "limits: {turns: 7}\n");
	config_file(&d, "p.md", "be brief");
	p = config_load_text(&d,
	                     "include: [more/models.yaml]\n" BACKENDS
	                     "limits: {connections: 9}\n"
	                     "routes: [{use: [m], prompt: {append: p.md}}]\n",
	                     NULL);
	assert_int_equal(p->limits.turns, 7);
	assert_int_equal(p->limits.connections, 9);
	assert_int_equal(p->n_files, 3);
	assert_non_null(strstr(p->files[1], "/more/models.yaml"));
	assert_int_equal(p->routes[0].prompt.how, CN_PROMPT_APPEND);
	assert_true(cn_view_is(p->routes[0].prompt.text, "be brief"));
	cn_policy_unref(p);

	config_file(&d, "more/models.yaml",
	            "include: x\n" MODELS "listen: 127.0.0.1:1\nodd: 1\n");
	assert_null(config_load_text(
	    &d, "include: more/models.yaml\n" BASE "listen: 127.0.0.1:2\n", &got));
	char expected[600];
	(void)snprintf(
	    expected, sizeof expected,
	    "models.yaml:1:1: an included file includes no others; name them all in "
	    "%s\n"
	    "models.yaml:2:10: 'm' is set in %s:3 already; keep one\n"
	    "models.yaml:3:1: 'listen' is set in %s:5 already; keep one\n"
	    "models.yaml:4:1: unknown key 'odd' of the policy; ",
	    d.policy, d.policy, d.policy);
	if (strncmp(got.p, expected, strlen(expected)) != 0)
		fail_msg("expected:\n%s\ngot:\n%s", expected, got.p);
	config_dir_remove(&d);
}

static void prompts_are_text(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: it is taken */
	} cases[] = {
	    {"\xef\xbb\xbf be brief\n", NULL},
	    {"p\xc3\xa9\t\x01", NULL},
	    {"", "3:28: 'p.md' is empty; write the prompt into it\n"},
	    {" \n\t\r\n", "3:28: 'p.md' is empty; write the prompt into it\n"},
	    {"be\xff", "3:28: 'p.md' is no UTF-8; save the file as UTF-8\n"},
	    {"be\xc3", "3:28: 'p.md' is no UTF-8; save the file as UTF-8\n"},
	};
	const char *policy =
	    BACKENDS MODELS "routes: [{prompt: {append: p.md}, use: [m]}]\n";

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config_dir d;
		CN_AUTO(cn_buf) got = {0};
		struct cn_policy *p;

		config_dir_make(&d);
		config_file(&d, "p.md", cases[i].text);
		p = config_load_text(&d, policy, &got);
		if (cases[i].want)
			assert_string_equal(cn_buf_cstr(&got), cases[i].want);
		else
			assert_non_null(p);
		assert_int_equal(p == NULL, cases[i].want != NULL);
		if (i == 0)
			assert_true(cn_view_is(p->routes[0].prompt.text, " be brief\n"));
		cn_policy_unref(p);
		config_dir_remove(&d);
	}
}

static void the_nearest_prompt_is_sent(void **state)
{
	const char *models = "models: {m: {backend: b, id: x, prompt: {prepend: a.md}}, "
			     "n: {backend: b, id: y}}\n";
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) text = {0};
	const struct cn_route *r;
	struct config_dir d;
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	config_file(&d, "a.md", "a");
	config_file(&d, "b.md", "b");
	cn_buf_printf(
	    &text,
	    "%s%sroutes: [{when: {model: a}, use: [m, n], prompt: {replace: b.md}, "
	    "models: {n: {prompt: {append: a.md}}}}, "
	    "{use: [m, n], models: {n: {prompt: {append: b.md}}}}]\n",
	    BACKENDS, models);
	p = config_load_text(&d, cn_buf_cstr(&text), NULL);
	r = p->routes;
	assert_true(cn_view_is(cn_prompt_name(&a, cn_policy_prompt(&r[0], &p->models[0])),
	                       "replace b.md"));
	assert_true(cn_view_is(cn_prompt_name(&a, cn_policy_prompt(&r[0], r[0].models[1])),
	                       "append a.md"));
	assert_true(cn_view_is(cn_prompt_name(&a, cn_policy_prompt(&r[1], r[1].models[0])),
	                       "prepend a.md"));
	assert_true(cn_view_is(cn_prompt_name(&a, cn_policy_prompt(&r[1], r[1].models[1])),
	                       "append b.md"));
	assert_ptr_equal(cn_policy_prompt(NULL, &p->models[0]), &p->models[0].prompt);
	assert_null(cn_policy_prompt(NULL, &p->models[1]));
	cn_policy_unref(p);
	config_dir_remove(&d);
}

static void includes_stay_below_the_policy(void **state)
{
	static const struct {
		const char *include, *mistake;
	} cases[] = {
	    {"../outside.yaml", "4:10: '../outside.yaml' cannot be read (No such file or "
	                        "directory); mend the path\n"},
	    {"..", "4:10: '..' leaves the policy's directory; move the file below it\n"},
	    {"link.yaml",
	     "4:10: 'link.yaml' leaves the policy's directory; move the file below it\n"},
	    {"fifo", "4:10: 'fifo' is no plain file; name a file\n"},
	    {"open.yaml",
	     "4:10: 'open.yaml' may be written by others; run chmod go-w on it\n"},
	    {"policy.yaml", "4:10: 'policy.yaml' is read already; include it once\n"},
	};
	struct config_dir d;
	CN_AUTO(cn_buf) got = {0};
	char path[160], text[512];

	(void)state;
	config_dir_make(&d);
	(void)snprintf(path, sizeof path, "%s/link.yaml", d.path);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	(void)snprintf(path, sizeof path, "%s/fifo", d.path);
	assert_int_equal(mkfifo(path, 0600), 0);
	config_file(&d, "open.yaml", "tls: terminated\n");
	(void)snprintf(path, sizeof path, "%s/open.yaml", d.path);
	assert_int_equal(chmod(path, 0666), 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		(void)snprintf(text, sizeof text, BASE "include: %s\n", cases[i].include);
		assert_null(config_load_text(&d, text, &got));
		assert_string_equal(got.p, cases[i].mistake);
	}
	config_dir_remove(&d);
}

static void sixteen_includes_are_enough(void **state)
{
	struct config_dir d;
	CN_AUTO(cn_buf) got = {0};
	CN_AUTO(cn_buf) text = {0};
	char name[32];

	(void)state;
	config_dir_make(&d);
	cn_buf_add_str(&text, BASE "include:\n");
	for (int i = 0; i < 17; i++) {
		(void)snprintf(name, sizeof name, "i%d.yaml", i);
		config_file(&d, name, "{}\n");
		cn_buf_printf(&text, "- %s\n", name);
	}
	assert_null(config_load_text(&d, cn_buf_cstr(&text), &got));
	assert_string_equal(got.p, "21:3: more than 16 includes; join some files\n");
	cn_buf_truncate(&text, text.n - strlen("- i16.yaml\n"));
	cn_policy_unref(config_load_text(&d, cn_buf_cstr(&text), NULL));
	config_dir_remove(&d);
}

/* ---- limits of a file ---- */

static void files_have_limits(void **state)
{
	struct config_dir d;
	CN_AUTO(cn_buf) got = {0};
	CN_AUTO(cn_buf) text = {0};

	(void)state;
	config_dir_make(&d);
	cn_buf_add_str(&text, BASE "names: ");
	for (int i = 0; i < 32; i++)
		cn_buf_add_char(&text, '[');
	for (int i = 0; i < 32; i++)
		cn_buf_add_char(&text, ']');
	assert_null(config_load_text(&d, cn_buf_cstr(&text), &got));
	assert_string_equal(got.p, "4:39: nested deeper than 32 levels; flatten it\n");

	cn_buf_clear(&text);
	cn_buf_add_str(&text, BASE "names: [");
	for (int i = 0; i < 10000; i++)
		cn_buf_printf(&text, "a%d,", i);
	cn_buf_add_str(&text, "]\n");
	assert_null(config_load_text(&d, cn_buf_cstr(&text), &got));
	assert_non_null(strstr(got.p, ": more than 10000 values in one file; split it\n"));

	cn_buf_clear(&text);
	cn_buf_add_str(&text, BASE);
	while (text.n <= (size_t)1024 * 1024)
		cn_buf_add_str(&text, "# filling\n");
	assert_null(config_load_text(&d, cn_buf_cstr(&text), &got));
	assert_string_equal(got.p, "0:0: the policy file is larger than 1 MiB; split it\n");
	config_dir_remove(&d);
}

static void mistakes_have_a_limit_too(void **state)
{
	struct config_dir d;
	CN_AUTO(cn_buf) got = {0};
	CN_AUTO(cn_buf) text = {0};
	size_t lines = 0;

	(void)state;
	config_dir_make(&d);
	cn_buf_add_str(&text, BASE "chains:\n");
	for (int i = 0; i < 3000; i++)
		cn_buf_printf(&text, "  c%d: [x%d]\n", i, i);
	assert_null(config_load_text(&d, cn_buf_cstr(&text), &got));
	for (size_t i = 0; i < got.n; i++)
		lines += got.p[i] == '\n';
	assert_int_equal(lines, 200);
	config_dir_remove(&d);
}

static void files_must_be_ours_alone(void **state)
{
	struct config_dir d;
	CN_AUTO(cn_buf) got = {0};
	struct cn_config_opts opts = {.skip_ownership = true};
	struct cn_policy *p = NULL;
	struct cn_error err;

	(void)state;
	config_dir_make(&d);
	assert_null(config_load(d.policy, &got));
	assert_string_equal(
	    got.p, "0:0: the policy file does not exist; create it or mend the path\n");
	config_file(&d, "policy.yaml", BASE);
	assert_int_equal(chmod(d.policy, 0620), 0);
	assert_null(config_load(d.policy, &got));
	assert_string_equal(
	    got.p, "0:0: the policy file may be written by others; run chmod go-w on it\n");
	opts.path = d.policy;
	assert_int_equal(cn_config_load(&opts, &p, &err), 0);
	cn_policy_unref(p);
	config_dir_remove(&d);
}

/* ---- what is right must pass ---- */

static void rules_about_keys_let_the_right_ones_pass(void **state)
{
	static const char *const good[] = {
	    "backends: {b: {preset: anthropic, key: client}}\n",
	    "client_key_origins: [https://C.example/]\n"
	    "backends: {b: {wire: anthropic, url: 'https://c.example/x', key: client}}\n",
	    "backends: {b: {preset: ollama, key: vault:k}}\n",
	    "backends: {b: {preset: ollama, url: 'http://10.1.1.1:1', plaintext: true}}\n",
	    "backends: {b: {preset: ollama, url: 'http://[::1]:1', key: vault:k}}\n",
	    "backends: {b: {preset: deepseek, key: [{key: vault:a, account: x}, vault:b]}}\n",
	    "listen: 0.0.0.0:1\ntls: terminated\n" BACKENDS,
	    "listen: [unix:/run/x.sock, 'localhost:0', '[::1]:5']\n" BACKENDS,
	};
	struct config_dir d;
	char text[512];

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		(void)snprintf(text, sizeof text, MODELS ROUTES "%s", good[i]);
		cn_policy_unref(config_load_text(&d, text, NULL));
	}
	config_dir_remove(&d);
}

static void the_url_says_which_network(void **state)
{
	static const struct {
		const char *url;
		enum cn_network network;
	} cases[] = {
	    {"https://api.example", CN_NETWORK_PUBLIC},
	    {"https://10.1.2.3", CN_NETWORK_PRIVATE},
	    {"https://172.31.0.1", CN_NETWORK_PRIVATE},
	    {"https://172.32.0.1", CN_NETWORK_PUBLIC},
	    {"https://192.168.1.1", CN_NETWORK_PRIVATE},
	    {"https://169.254.169.254", CN_NETWORK_PRIVATE},
	    {"http://localhost:8080", CN_NETWORK_PRIVATE},
	    {"http://127.1.2.3:8080", CN_NETWORK_PRIVATE},
	    {"https://[fd00::1]", CN_NETWORK_PRIVATE},
	    {"https://[fe80::1]", CN_NETWORK_PRIVATE},
	    {"https://[2001:db8::1]", CN_NETWORK_PUBLIC},
	    {"https://[::ffff:10.0.0.1]", CN_NETWORK_PRIVATE},
	};
	struct config_dir d;
	char text[512];

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		(void)snprintf(text, sizeof text,
		               MODELS ROUTES
		               "backends: {b: {wire: anthropic, url: '%s'}}\n",
		               cases[i].url);
		struct cn_policy *p = config_load_text(&d, text, NULL);
		if (p->backends[0].network != cases[i].network)
			fail_msg("%s: expected %d, got %d", cases[i].url, cases[i].network,
			         p->backends[0].network);
		cn_policy_unref(p);
	}
	config_dir_remove(&d);
}

static void origins_are_canonical(void **state)
{
	static const struct {
		const char *text, *origin, *base;
	} cases[] = {
	    {"https://API.Example.com", "https://api.example.com:443",
	     "https://API.Example.com"},
	    {"http://h/v1/", "http://h:80", "http://h"},
	    {"https://h:8443/a/v1", "https://h:8443", "https://h:8443/a"},
	    {"HTTPS://h/v1x", "https://h:443", "HTTPS://h/v1x"},
	    {"http://[::1]:8080", "http://[::1]:8080", "http://[::1]:8080"},
	    {"ftp://h", NULL, NULL},
	    {"https://", NULL, NULL},
	    {"https://u@h", NULL, NULL},
	    {"https://h?x", NULL, NULL},
	    {"https://h/a#b", NULL, NULL},
	    {"https://h:0", NULL, NULL},
	    {"https://h:65536", NULL, NULL},
	    {"https://h:", NULL, NULL},
	    {"https://h/a b", NULL, NULL},
	    {"https://h/../x", NULL, NULL},
	    {"https://[::1", NULL, NULL},
	    {"https://[nope]", NULL, NULL},
	    {"https://-h", NULL, NULL},
	    {"//h", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cn_arena a = {0};
		const char *origin = NULL, *base = NULL;
		bool ok = cn_config_origin(&a, cn_view_str(cases[i].text), &origin, &base);
		if (ok != (cases[i].origin != NULL))
			fail_msg("%s: got %s", cases[i].text, ok ? origin : "refused");
		if (ok) {
			assert_string_equal(origin, cases[i].origin);
			assert_string_equal(base, cases[i].base);
		}
		cn_arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_written_has_its_default),
	    cmocka_unit_test(fallback_is_laid_over_from_the_outside_in),
	    cmocka_unit_test(a_model_takes_from_preset_policy_and_route),
	    cmocka_unit_test(what_requests_lack_and_get_adds_up),
	    cmocka_unit_test(when_is_read_with_all_its_keys),
	    cmocka_unit_test(variables_are_filled_in),
	    cmocka_unit_test(includes_join_and_keep_their_places),
	    cmocka_unit_test(prompts_are_text),
	    cmocka_unit_test(the_nearest_prompt_is_sent),
	    cmocka_unit_test(includes_stay_below_the_policy),
	    cmocka_unit_test(sixteen_includes_are_enough),
	    cmocka_unit_test(files_have_limits),
	    cmocka_unit_test(mistakes_have_a_limit_too),
	    cmocka_unit_test(files_must_be_ours_alone),
	    cmocka_unit_test(rules_about_keys_let_the_right_ones_pass),
	    cmocka_unit_test(the_url_says_which_network),
	    cmocka_unit_test(origins_are_canonical),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
