/*
 * The catalogue and how addresses are joined: every preset reaches the endpoint that its
 * provider documents (wire/provider-quirks.md 1), however its base is written; presets may
 * be like others; what is known of models reaches them; prices have their date.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_files.h"

#include "continuo/hash.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct {
	const char *preset, *endpoint;
} doors[] = {
    {"any-anthropic", NULL}, /* the policy says where */
    {"any-chat", NULL},
    {"azure-claude", NULL},
    {"azure-openai", NULL},
    {"bedrock-mantle", NULL},
    {"alibaba", "https://dashscope-intl.aliyuncs.com/apps/anthropic/v1/messages"},
    {"alibaba-chat",
     "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions"},
    {"alibaba-cn", "https://dashscope.aliyuncs.com/apps/anthropic/v1/messages"},
    {"alibaba-cn-chat",
     "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions"},
    {"anthropic", "https://api.anthropic.com/v1/messages"},
    {"cerebras", "https://api.cerebras.ai/v1/chat/completions"},
    {"copilot", "https://api.githubcopilot.com/v1/messages"},
    {"copilot-chat", "https://api.githubcopilot.com/chat/completions"},
    {"deepseek", "https://api.deepseek.com/anthropic/v1/messages"},
    {"deepseek-chat", "https://api.deepseek.com/beta/chat/completions"},
    {"fireworks", "https://api.fireworks.ai/inference/v1/messages"},
    {"fireworks-chat", "https://api.fireworks.ai/inference/v1/chat/completions"},
    {"gemini", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"},
    {"groq", "https://api.groq.com/openai/v1/chat/completions"},
    {"kimi-code", "https://api.kimi.com/coding/v1/messages"},
    {"kimi-code-chat", "https://api.kimi.com/coding/v1/chat/completions"},
    {"llamacpp", "http://127.0.0.1:8080/v1/messages"},
    {"llamacpp-chat", "http://127.0.0.1:8080/v1/chat/completions"},
    {"lmstudio", "http://127.0.0.1:1234/v1/messages"},
    {"lmstudio-chat", "http://127.0.0.1:1234/v1/chat/completions"},
    {"minimax", "https://api.minimax.io/anthropic/v1/messages"},
    {"minimax-chat", "https://api.minimax.io/v1/chat/completions"},
    {"minimax-cn", "https://api.minimaxi.com/anthropic/v1/messages"},
    {"minimax-cn-chat", "https://api.minimaxi.com/v1/chat/completions"},
    {"mistral", "https://api.mistral.ai/v1/chat/completions"},
    {"moonshot", "https://api.moonshot.ai/anthropic/v1/messages"},
    {"moonshot-chat", "https://api.moonshot.ai/v1/chat/completions"},
    {"moonshot-cn", "https://api.moonshot.cn/anthropic/v1/messages"},
    {"moonshot-cn-chat", "https://api.moonshot.cn/v1/chat/completions"},
    {"ollama", "http://127.0.0.1:11434/v1/messages"},
    {"ollama-chat", "http://127.0.0.1:11434/v1/chat/completions"},
    {"openai", "https://api.openai.com/v1/chat/completions"},
    {"openrouter", "https://openrouter.ai/api/v1/messages"},
    {"openrouter-chat", "https://openrouter.ai/api/v1/chat/completions"},
    {"sglang", "http://127.0.0.1:30000/v1/messages"},
    {"sglang-chat", "http://127.0.0.1:30000/v1/chat/completions"},
    {"together", "https://api.together.xyz/v1/chat/completions"},
    {"vllm", "http://127.0.0.1:8000/v1/messages"},
    {"vllm-chat", "http://127.0.0.1:8000/v1/chat/completions"},
    {"xai", "https://api.x.ai/v1/messages"},
    {"xai-chat", "https://api.x.ai/v1/chat/completions"},
    {"zai", "https://api.z.ai/api/anthropic/v1/messages"},
    {"zai-chat", "https://api.z.ai/api/paas/v4/chat/completions"},
    {"zai-cn", "https://open.bigmodel.cn/api/anthropic/v1/messages"},
    {"zai-cn-chat", "https://open.bigmodel.cn/api/paas/v4/chat/completions"},
    {"zai-cn-coding-chat", "https://open.bigmodel.cn/api/coding/paas/v4/chat/completions"},
    {"zai-coding-chat", "https://api.z.ai/api/coding/paas/v4/chat/completions"},
};

static const char *const fixed_rest =
    "models: {m: {backend: b, id: x}}\nroutes: [{use: [m]}]\n";

/* Where a backend of that YAML sends its requests. */
static struct cn_policy *reach(const struct config_dir *d, const char *backend, char *ret,
                               size_t n)
{
	char text[1024];
	struct cn_policy *p;

	(void)snprintf(text, sizeof text, "backends: {b: {%s}}\n%s", backend, fixed_rest);
	p = config_load_text(d, text, NULL);
	(void)snprintf(ret, n, "%s%s", p->backends[0].url,
	               cn_backend_path(&p->backends[0]));
	return p;
}

static void every_preset_reaches_its_endpoint(void **state)
{
	const struct cn_preset *list;
	size_t n = cn_catalogue_presets(&list);
	struct config_dir d;
	char got[256], backend[256];

	(void)state;
	config_dir_make(&d);
	assert_int_equal(n, COUNT(doors)); /* a new preset has its row */
	for (size_t i = 0; i < n; i++) {
		const struct cn_preset *preset =
		    cn_catalogue_preset(cn_view_str(doors[i].preset));
		assert_non_null(preset);
		assert_true(strlen(preset->title) > 2);
		assert_true((preset->url == NULL) == (doors[i].endpoint == NULL));
		assert_true((preset->url == NULL) == (preset->origin == NULL));
		if (!preset->url)
			continue;
		(void)snprintf(backend, sizeof backend, "preset: %s", preset->name);
		cn_policy_unref(reach(&d, backend, got, sizeof got));
		assert_string_equal(got, doors[i].endpoint);
		/* the vault's origin is that of the endpoint */
		assert_true(cn_view_starts(
		    cn_view_str(got), cn_view_cut(cn_view_str(preset->origin),
		                                  strcspn(preset->origin + 8, ":") + 8)));
	}
	assert_null(cn_catalogue_preset(CN_VIEW("nobody")));
	config_dir_remove(&d);
}

/* As people write them: with and without the version, with slashes behind. */
static void addresses_are_joined_however_they_are_written(void **state)
{
	static const struct {
		const char *wire, *url, *endpoint;
	} cases[] = {
	    {"openai-chat", "https://h", "https://h/v1/chat/completions"},
	    {"openai-chat", "https://h/", "https://h/v1/chat/completions"},
	    {"openai-chat", "https://h//", "https://h/v1/chat/completions"},
	    {"openai-chat", "https://h/v1", "https://h/v1/chat/completions"},
	    {"openai-chat", "https://h/v1/", "https://h/v1/chat/completions"},
	    {"openai-chat", "https://h/v1//", "https://h/v1/chat/completions"},
	    {"openai-chat", "https://h/api", "https://h/api/v1/chat/completions"},
	    {"openai-chat", "https://h/api/v1", "https://h/api/v1/chat/completions"},
	    {"openai-chat", "https://h/openai/v1/", "https://h/openai/v1/chat/completions"},
	    {"openai-chat", "https://h/api/paas/v4",
	     "https://h/api/paas/v4/chat/completions"},
	    {"openai-chat", "https://h/api/paas/v4/",
	     "https://h/api/paas/v4/chat/completions"},
	    {"openai-chat", "https://h/v1beta/openai",
	     "https://h/v1beta/openai/chat/completions"},
	    {"openai-chat", "https://h/v1beta/openai/",
	     "https://h/v1beta/openai/chat/completions"},
	    {"openai-chat", "https://h/v1/gateway",
	     "https://h/v1/gateway/chat/completions"},
	    {"openai-chat", "https://h/compatible-mode/v1",
	     "https://h/compatible-mode/v1/chat/completions"},
	    {"openai-chat", "https://v1.example", "https://v1.example/v1/chat/completions"},
	    {"openai-chat", "https://h/vendor", "https://h/vendor/v1/chat/completions"},
	    {"openai-chat", "http://127.0.0.1:8080/v1",
	     "http://127.0.0.1:8080/v1/chat/completions"},
	    {"anthropic", "https://h", "https://h/v1/messages"},
	    {"anthropic", "https://h/v1", "https://h/v1/messages"},
	    {"anthropic", "https://h/v1/", "https://h/v1/messages"},
	    {"anthropic", "https://h/anthropic", "https://h/anthropic/v1/messages"},
	    {"anthropic", "https://h/anthropic/", "https://h/anthropic/v1/messages"},
	    {"anthropic", "https://h/anthropic/v1/", "https://h/anthropic/v1/messages"},
	    {"anthropic", "http://[::1]:8000/v1", "http://[::1]:8000/v1/messages"},
	};
	struct config_dir d;
	char got[256], backend[256];

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < COUNT(cases); i++) {
		(void)snprintf(backend, sizeof backend, "wire: %s, url: '%s'",
		               cases[i].wire, cases[i].url);
		cn_policy_unref(reach(&d, backend, got, sizeof got));
		if (strcmp(got, cases[i].endpoint) != 0)
			fail_msg("%s: %s", cases[i].url, got);
	}
	config_dir_remove(&d);
}

/* Of a preset whose own address has none. */
static void a_version_that_is_written_is_kept(void **state)
{
	static const struct {
		const char *url, *endpoint;
	} cases[] = {
	    {"https://h/proxy", "https://h/proxy/chat/completions"},
	    {"https://h/proxy/v1", "https://h/proxy/v1/chat/completions"},
	    {"https://h/proxy/v1/", "https://h/proxy/v1/chat/completions"},
	};
	struct config_dir d;
	char got[256], backend[256];

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < COUNT(cases); i++) {
		(void)snprintf(backend, sizeof backend, "preset: copilot-chat, url: '%s'",
		               cases[i].url);
		cn_policy_unref(reach(&d, backend, got, sizeof got));
		assert_string_equal(got, cases[i].endpoint);
	}
	config_dir_remove(&d);
}

/* The base of each preset, written with what people put behind it. */
static void a_base_of_the_catalogue_may_be_written_in_full(void **state)
{
	static const char *const tails[] = {"", "/", "/v1", "/v1/"};
	const struct cn_preset *list;
	size_t n = cn_catalogue_presets(&list);
	struct config_dir d;
	char got[256], plain[256], backend[256];

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < n; i++) {
		/* where something follows the version, or there is none, it is the base */
		bool versioned = list[i].url && (strstr(list[i].url, "/v4") ||
		                                 strstr(list[i].url, "/v1beta"));
		if (!list[i].url)
			continue;
		(void)snprintf(backend, sizeof backend, "preset: %s", list[i].name);
		cn_policy_unref(reach(&d, backend, plain, sizeof plain));
		for (size_t t = 0; t < (versioned ? 2 : COUNT(tails)); t++) {
			(void)snprintf(backend, sizeof backend, "preset: %s, url: '%s%s'",
			               list[i].name, list[i].url, tails[t]);
			cn_policy_unref(reach(&d, backend, got, sizeof got));
			assert_string_equal(got, plain);
			assert_null(strstr(got, "/v1/v1"));
			assert_null(strstr(got + strlen("https://"), "//"));
		}
	}
	config_dir_remove(&d);
}

static void names_keep_the_rule(void **state)
{
	const struct cn_preset *list;
	size_t n = cn_catalogue_presets(&list);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		struct cn_view name = cn_view_str(list[i].name);
		if (!cn_view_ends(name, CN_VIEW("-chat")))
			continue;
		assert_int_equal(list[i].wire, CN_WIRE_OPENAI_CHAT);
		/* there is the provider's other door, but for plans of one alone */
		const struct cn_preset *other =
		    cn_catalogue_preset(cn_view_cut(name, name.n - strlen("-chat")));
		if (!other)
			assert_true(strstr(list[i].name, "-coding-chat") ||
			            strcmp(list[i].name, "any-chat") == 0);
		else
			assert_int_equal(other->wire, CN_WIRE_ANTHROPIC);
	}
}

/* ---- models ---- */

static struct cn_policy *one_model(const struct config_dir *d, const char *preset,
                                   const char *id)
{
	char text[512];

	(void)snprintf(text, sizeof text,
	               "backends: {b: {preset: %s, url: 'https://h.example/v1'}}\n"
	               "models: {m: {backend: b, id: '%s'}}\nroutes: [{use: [m]}]\n",
	               preset, id);
	return config_load_text(d, text, NULL);
}

static void what_is_known_reaches_the_model(void **state)
{
	static const struct {
		const char *preset, *id;
		uint64_t context, max_output, tools;
		const char *tool_format;
		enum cn_continuation continuation;
		bool images;
	} cases[] = {
	    {"anthropic", "claude-haiku-4-5-20251001", 200000, 64000, UINT64_MAX, NULL,
	     CN_CONTINUE_PREFILL, true},
	    {"anthropic", "claude-opus-5-5", 1000000, 128000, UINT64_MAX, NULL,
	     CN_CONTINUE_INSTRUCT, true},
	    {"deepseek", "deepseek-v4-pro", 1000000, 384000, 128, "deepseek-dsml",
	     CN_CONTINUE_INSTRUCT, false},
	    {"deepseek-chat", "deepseek-flash", 1000000, 384000, 128, "deepseek-dsml",
	     CN_CONTINUE_PREFILL, false},
	    {"moonshot", "kimi-k2.6", 262144, 32768, UINT64_MAX, "kimi-k2",
	     CN_CONTINUE_INSTRUCT, true},
	    {"moonshot-chat", "kimi-k2.6", 262144, 32768, UINT64_MAX, "kimi-k2",
	     CN_CONTINUE_PREFILL, true},
	    {"moonshot-cn-chat", "kimi-k3", 1000000, 0, UINT64_MAX, "kimi-k3",
	     CN_CONTINUE_INSTRUCT, true},
	    {"zai-coding-chat", "glm-5.3", 1000000, 131072, UINT64_MAX, "glm",
	     CN_CONTINUE_INSTRUCT, false},
	    {"zai", "glm-4.6v", 200000, 0, UINT64_MAX, "glm", CN_CONTINUE_INSTRUCT, true},
	    {"minimax-chat", "MiniMax-M2.7", 204800, 0, UINT64_MAX, "minimax",
	     CN_CONTINUE_INSTRUCT, false},
	    {"openai", "gpt-6-astra", 1050000, 128000, 128, NULL, CN_CONTINUE_INSTRUCT,
	     true},
	    {"gemini", "gemini-3.8-flash", 1048576, 65536, UINT64_MAX, NULL,
	     CN_CONTINUE_INSTRUCT, true},
	    {"groq", "openai/gpt-oss-120b", 131072, 65536, 128, "gpt-oss",
	     CN_CONTINUE_INSTRUCT, false},
	    {"vllm-chat", "Qwen/Qwen3-Coder-480B-A35B-Instruct", 0, 0, UINT64_MAX,
	     "qwen3-coder", CN_CONTINUE_PREFILL, false},
	    {"sglang-chat", "zai-org/GLM-4.6-FP8", 0, 0, UINT64_MAX, "glm",
	     CN_CONTINUE_PREFILL, false},
	    {"llamacpp-chat", "gpt-oss-20b", 0, 0, UINT64_MAX, "gpt-oss",
	     CN_CONTINUE_INSTRUCT, false},
	    {"any-chat", "deepseek-ai/DeepSeek-V3.1", 0, 0, UINT64_MAX, "deepseek-v3",
	     CN_CONTINUE_INSTRUCT, false},
	    {"any-chat", "meta-llama/Llama-3.3-70B-Instruct", 0, 0, UINT64_MAX, "llama3",
	     CN_CONTINUE_INSTRUCT, false},
	    {"ollama-chat", "qwen3-coder:30b", 0, 0, UINT64_MAX, "qwen3-coder",
	     CN_CONTINUE_INSTRUCT, false},
	};
	struct config_dir d;

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cn_policy *p = one_model(&d, cases[i].preset, cases[i].id);
		const struct cn_model *m = &p->models[0];
		const char *want = cases[i].tool_format ? cases[i].tool_format : "none";
		const char *got = m->tool_format ? m->tool_format : "none";
		if (m->context != cases[i].context ||
		    m->max_output != cases[i].max_output || m->tools != cases[i].tools ||
		    strcmp(got, want) != 0 || m->continuation != cases[i].continuation ||
		    m->images != cases[i].images)
			fail_msg(
			    "%s %s: context %llu, max_output %llu, tools %llu, "
			    "tool_format %s, continuation %d, images %d",
			    cases[i].preset, cases[i].id, (unsigned long long)m->context,
			    (unsigned long long)m->max_output, (unsigned long long)m->tools,
			    got, m->continuation, m->images);
		cn_policy_unref(p);
	}
	config_dir_remove(&d);
}

static bool drops(const struct cn_model *m, const char *field)
{
	for (size_t i = 0; i < m->n_drop_fields; i++)
		if (strcmp(m->drop_fields[i], field) == 0)
			return true;
	return false;
}

static void models_of_one_provider_differ_in_what_they_refuse(void **state)
{
	struct config_dir d;
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	p = one_model(&d, "openai", "gpt-5.6-terra");
	assert_true(cn_model_has_quirk(&p->models[0], CN_QUIRK_NO_STOP));
	assert_true(cn_model_has_quirk(&p->models[0], CN_QUIRK_MAX_COMPLETION_TOKENS));
	assert_true(drops(&p->models[0], "temperature"));
	assert_false(drops(&p->models[0], "tools"));
	cn_policy_unref(p);
	p = one_model(&d, "openai", "gpt-4.1");
	assert_false(cn_model_has_quirk(&p->models[0], CN_QUIRK_NO_STOP));
	assert_false(drops(&p->models[0], "temperature"));
	cn_policy_unref(p);
	p = one_model(&d, "moonshot-chat", "kimi-k3");
	assert_true(cn_model_has_quirk(&p->models[0], CN_QUIRK_ALWAYS_THINKS));
	assert_true(cn_model_has_quirk(&p->models[0], CN_QUIRK_EFFORT));
	assert_false(cn_model_has_quirk(&p->models[0], CN_QUIRK_THINKING_TYPE));
	assert_true(drops(&p->models[0], "top_p"));
	cn_policy_unref(p);
	p = one_model(&d, "anthropic", "claude-opus-5-5");
	assert_true(cn_model_has_quirk(&p->models[0], CN_QUIRK_NO_THINKING_BUDGET));
	assert_true(drops(&p->models[0], "temperature"));
	cn_policy_unref(p);
	p = one_model(&d, "bedrock-mantle", "anthropic.claude-haiku-4-5-20251001-v1:0");
	assert_true(cn_model_has_quirk(&p->models[0], CN_QUIRK_NO_ADAPTIVE_THINKING));
	assert_false(drops(&p->models[0], "temperature"));
	cn_policy_unref(p);
	p = one_model(&d, "anthropic", "client");
	assert_true(p->models[0].quirks == 0);
	assert_int_equal(p->models[0].n_drop_fields, 0);
	cn_policy_unref(p);
	p = one_model(&d, "zai-chat", "glm-5.1");
	assert_int_equal(p->models[0].n_add_fields, 1);
	assert_string_equal(p->models[0].add_fields[0].name, "tool_stream");
	assert_string_equal(p->models[0].add_fields[0].value, "true");
	cn_policy_unref(p);
	p = one_model(&d, "kimi-code-chat", "kimi-for-coding");
	assert_int_equal(p->models[0].max_body, 2 << 20);
	cn_policy_unref(p);
	config_dir_remove(&d);
}

/* And none stands where it would be in another currency, or a flat fee. */
static void prices_have_their_date(void **state)
{
	static const struct {
		const char *preset, *id;
		double input, output;
	} cases[] = {
	    {"anthropic", "claude-opus-5", 5, 25},
	    {"anthropic", "claude-opus-5-5-20260922", 4, 20},
	    {"anthropic", "claude-sonnet-4-5-20250929", 3, 15},
	    {"anthropic", "claude-haiku-4-5", 1, 5},
	    {"deepseek", "deepseek-v4-pro", 0.66, 1.98},
	    {"deepseek-chat", "deepseek-flash", 0.15, 0.60},
	    {"moonshot-cn", "kimi-k3", 0, 0}, /* another currency */
	    {"moonshot-chat", "kimi-k3", 3, 15},
	    {"zai-coding-chat", "glm-5.3", 0, 0}, /* a flat fee */
	    {"zai-chat", "glm-5.3", 1.40, 4.40},
	    {"minimax-chat", "MiniMax-M3", 0.30, 1.20},
	    {"openai", "gpt-6-luna", 0.10, 0.50},
	};
	struct config_dir d;

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cn_policy *p = one_model(&d, cases[i].preset, cases[i].id);
		const struct cn_price *price = &p->models[0].price;
		assert_true(price->input == cases[i].input);
		assert_true(price->output == cases[i].output);
		assert_true((price->date != NULL) == (cases[i].input > 0));
		if (price->date)
			assert_true(strncmp(price->date, "2026-", 5) == 0);
		cn_policy_unref(p);
	}
	config_dir_remove(&d);
}

/* ---- like ---- */

static void a_preset_may_be_like_another(void **state)
{
	struct config_dir d;
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	p = config_load_text(
	    &d,
	    "presets:\n"
	    "  near: {like: deepseek-chat, url: 'https://near.example/v1', drop_fields: [seed],"
	    " models: {'*': {tools: 5}, 'DEEPSEEK-f*': {max_output: 9k}}}\n"
	    "  nearer: {like: near, auth: api-key, quirks: [no_stop]}\n"
	    "backends: {b: {preset: nearer}}\n"
	    "models: {m: {backend: b, id: DeepSeek-Flash}, c: {backend: b, id: client}}\n"
	    "routes: [{use: [m, c]}]\n",
	    NULL);
	const struct cn_backend *b = &p->backends[0];
	assert_string_equal(b->preset, "nearer");
	assert_int_equal(b->wire, CN_WIRE_OPENAI_CHAT);
	assert_int_equal(b->auth, CN_AUTH_API_KEY);
	assert_string_equal(b->url, "https://near.example");
	assert_true(b->quirks & cn_quirk_bit(CN_QUIRK_NO_STOP));
	assert_true(b->quirks & cn_quirk_bit(CN_QUIRK_PREFIX_FLAG));
	assert_int_equal(p->models[0].context, 1000000);
	assert_int_equal(p->models[0].max_output, 9000);
	assert_int_equal(p->models[0].tools, 5);
	assert_true(drops(&p->models[0], "seed"));
	assert_true(drops(&p->models[0], "context_management"));
	assert_int_equal(p->models[1].context, 0);
	assert_int_equal(p->models[1].tools, 5);
	cn_policy_unref(p);
	config_dir_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_preset_reaches_its_endpoint),
	    cmocka_unit_test(addresses_are_joined_however_they_are_written),
	    cmocka_unit_test(a_version_that_is_written_is_kept),
	    cmocka_unit_test(a_base_of_the_catalogue_may_be_written_in_full),
	    cmocka_unit_test(names_keep_the_rule),
	    cmocka_unit_test(what_is_known_reaches_the_model),
	    cmocka_unit_test(models_of_one_provider_differ_in_what_they_refuse),
	    cmocka_unit_test(prices_have_their_date),
	    cmocka_unit_test(a_preset_may_be_like_another),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
