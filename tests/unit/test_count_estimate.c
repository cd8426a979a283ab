/*
 * The token estimate: when this fails, requests go to models whose window they do not fit,
 * or past models that would have taken them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "continuo/estimate.h"

static uint64_t estimate(struct cn_view body)
{
	CN_AUTO(cn_arena) a = {0};
	const struct cn_caller_ids nobody = {0};
	struct cn_request r = {0};
	struct cn_estimate e = {0};
	struct cn_request_ear ear = cn_estimate_ear(&e);
	struct cn_error err;
	if (cn_request_read(&a, body, &nobody, &ear, &r, &err))
		fail_msg("%s", err.message);
	return cn_estimate_tokens(&e, &r);
}

static uint64_t least_of(struct cn_view body)
{
	CN_AUTO(cn_arena) a = {0};
	const struct cn_caller_ids nobody = {0};
	struct cn_request r = {0};
	struct cn_estimate e = {0};
	struct cn_request_ear ear = cn_estimate_ear(&e);
	uint64_t system, rest;
	if (cn_request_read(&a, body, &nobody, &ear, &r, NULL))
		fail_msg("%.*s", CN_VIEW_ARG(cn_view_cut(body, 100)));
	cn_estimate_least(&e, &r, &system, &rest);
	return system + rest;
}

/* A request of one user message with that content, raw JSON. */
static uint64_t estimate_content(struct cn_view content)
{
	CN_AUTO(cn_buf) b = {0};
	cn_buf_printf(&b,
	              "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\","
	              "\"content\":%.*s}]}",
	              CN_VIEW_ARG(content));
	return estimate(cn_buf_view(&b));
}

static bool read_file(const char *dir, const char *name, struct cn_buf *ret)
{
	CN_AUTO(cn_buf) path = {0};
	cn_buf_printf(&path, "%s/%s", dir, name);
	FILE *f = fopen(cn_buf_cstr(&path), "re");
	if (!f)
		return false;
	size_t n;
	while ((n = fread(cn_buf_reserve(ret, 65536), 1, 65536, f)) > 0)
		ret->n += n;
	fclose(f);
	return true;
}

/* The API's own counts. */
static void agrees_with_the_true_counts(void **state)
{
	const char *shared = getenv("CONTINUO_SHARED");
	char dir[512];
	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/fixtures/count-tokens/anthropic",
	               shared ? shared : "/nowhere");
	DIR *d = opendir(dir);
	if (!d) {
		skip();
		return; /* not reached; analyzers do not know */
	}
	unsigned counted = 0;
	for (struct dirent *e; (e = readdir(d));) {
		struct cn_view name = cn_view_str(e->d_name);
		CN_AUTO(cn_buf) request = {0};
		CN_AUTO(cn_buf) response = {0};
		CN_AUTO(cn_buf) other = {0};
		uint64_t want;
		if (!cn_view_ends(name, CN_VIEW(".request.json")))
			continue;
		cn_buf_printf(&other, "%.*s.response.json", (int)name.n - 13, name.p);
		assert_true(read_file(dir, e->d_name, &request));
		assert_true(read_file(dir, cn_buf_cstr(&other), &response));
		struct cn_json tokens =
		    cn_json_get(cn_json_root(cn_buf_view(&response)), "input_tokens");
		if (!cn_json_u64(tokens, &want))
			continue; /* an error's answer */
		uint64_t got = estimate(cn_buf_view(&request));
		print_message("%llu of %llu: %s\n", (unsigned long long)got,
		              (unsigned long long)want, e->d_name);
		if (got * 100 < want * 75 || got * 100 > want * 125)
			fail_msg("%s: %llu, true is %llu", e->d_name,
			         (unsigned long long)got, (unsigned long long)want);
		counted++;
	}
	closedir(d);
	assert_int_equal(counted, 3);
}

/* The figure behind the first occurrence of a name; 0: there is none. */
static uint64_t figure(struct cn_view text, struct cn_view name)
{
	size_t at = cn_view_find(text, name, 0);
	uint64_t n = 0;

	if (at == SIZE_MAX)
		return 0;
	for (at += name.n; at < text.n && strchr("\": ", text.p[at]);)
		at++;
	for (; at < text.n && text.p[at] >= '0' && text.p[at] <= '9'; at++)
		n = n * 10 + (uint64_t)(text.p[at] - '0');
	return n;
}

/* What a prompt must at least cost is held against what was billed: a third of it is taken
 * for damage (damage.h), so that is more than the estimate may ever be wrong by. */
static void the_least_is_never_far_above_what_was_billed(void **state)
{
	const char *shared = getenv("CONTINUO_SHARED");
	static const char *const kinds[] = {"sse", "json"};
	char dir[512];
	unsigned compared = 0;
	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/fixtures/anthropic-messages/anthropic",
	               shared ? shared : "/nowhere");
	DIR *d = opendir(dir);
	if (!d) {
		skip();
		return; /* not reached; analyzers do not know */
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct cn_view name = cn_view_str(e->d_name);
		CN_AUTO(cn_buf) request = {0};
		uint64_t least, billed;
		if (!cn_view_ends(name, CN_VIEW(".request.json")) ||
		    !read_file(dir, e->d_name, &request))
			continue;
		least = least_of(cn_buf_view(&request));
		for (size_t i = 0; i < 2; i++) {
			CN_AUTO(cn_buf) other = {0};
			CN_AUTO(cn_buf) response = {0};
			struct cn_view text;
			cn_buf_printf(&other, "%.*s.response.%s", (int)name.n - 13, name.p,
			              kinds[i]);
			if (!read_file(dir, cn_buf_cstr(&other), &response))
				continue;
			text = cn_buf_view(&response);
			billed = figure(text, CN_VIEW("\"input_tokens")) +
			         figure(text, CN_VIEW("\"cache_read_input_tokens")) +
			         figure(text, CN_VIEW("\"cache_creation_input_tokens"));
			if (billed < 100)
				continue;
			print_message("least %llu, billed %llu: %s\n",
			              (unsigned long long)least, (unsigned long long)billed,
			              e->d_name);
			if (least > billed * 3 / 2)
				fail_msg("%s: at least %llu, billed %llu", e->d_name,
				         (unsigned long long)least,
				         (unsigned long long)billed);
			compared++;
		}
	}
	closedir(d);
	assert_true(compared > 10);
}

/* Pictures, thinking of before and what the provider takes out cost models differently. */
static void the_least_is_text(void **state)
{
	static const struct {
		const char *member; /* after messages */
		uint64_t low, high;
	} rows[] = {
	    {"", 900, 930},
	    {",\"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\"}]}",
	     900, 930},
	    {",\"context_management\":{\"edits\":[{\"type\":\"clear_tool_uses_20250919\"}]}",
	     0, 0},
	    {",\"system\":\"You are terse.\"", 905, 940},
	    {",\"tools\":[{\"name\":\"a\",\"description\":\"Does a thing.\",\"input_schema\":{}}]",
	     905, 960},
	    {",\"tools\":[{\"name\":\"a\",\"description\":\"Does a thing.\",\"input_schema\":{},"
	     "\"defer_loading\":true}]",
	     900, 930},
	};
	CN_AUTO(cn_buf) words = {0};

	(void)state;
	for (size_t i = 0; i < 100; i++)
		cn_buf_add_str(&words, "All work and no play makes Jack. ");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		CN_AUTO(cn_buf) b = {0};
		uint64_t got;

		cn_buf_printf(
		    &b,
		    "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\","
		    "\"content\":[{\"type\":\"text\",\"text\":\"%s\"},{\"type\":\"image\","
		    "\"source\":{\"type\":\"url\",\"url\":\"https://a/b.png\"}}]},{\"role\":"
		    "\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"%s\","
		    "\"signature\":\"x\"}]}]%s}",
		    cn_buf_cstr(&words), cn_buf_cstr(&words), rows[i].member);
		got = least_of(cn_buf_view(&b));
		if (got < rows[i].low || got > rows[i].high)
			fail_msg("row %zu: %llu", i, (unsigned long long)got);
	}
}

static void sums_over_parts(void **state)
{
	static const char with_tools[] =
	    "{\"model\":\"m\",\"max_tokens\":1,\"system\":\"You are terse.\",\"messages\":["
	    "{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"ho\"},"
	    "{\"role\":\"user\",\"content\":\"go\"}],\"tools\":[{\"name\":\"read\","
	    "\"description\":\"Reads a file\",\"input_schema\":{\"type\":\"object\","
	    "\"properties\":{\"path\":{\"type\":\"string\"}}}}]}";
	(void)state;
	/* 8 + hi; and: two more messages, system text, the tools' own text and this one's
	 */
	assert_int_equal(estimate_content(CN_VIEW("\"hi\"")), 9);
	uint64_t got = estimate(cn_view_str(with_tools));
	assert_in_range(got, 8 + 8 + 450 + 15, 8 + 8 + 450 + 15 + 40);
}

static void media_has_a_flat_price(void **state)
{
	static const char *const forms[] = {
	    "[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
	    "\"data\":\"%s\"}}]",
	    "[{\"type\":\"image\",\"source\":{\"data\":\"%s\",\"media_type\":\"image/png\","
	    "\"type\":\"base64\"}}]",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		for (size_t kib = 1; kib <= 1024; kib *= 32) {
			CN_AUTO(cn_buf) data = {0};
			CN_AUTO(cn_buf) content = {0};
			for (size_t k = 0; k < kib * 1024 / 8; k++)
				cn_buf_add_str(&data, "iVBORw0K");
			struct cn_view form = cn_view_str(forms[i]);
			size_t at = cn_view_find(form, CN_VIEW("%s"), 0);
			cn_buf_add_view(&content, cn_view_cut(form, at));
			cn_buf_add_view(&content, cn_buf_view(&data));
			cn_buf_add_view(&content, cn_view_from(form, at + 2));
			assert_int_equal(estimate_content(cn_buf_view(&content)), 1508);
		}
	assert_int_equal(
	    estimate_content(CN_VIEW("[{\"type\":\"image\",\"source\":{\"type\":"
	                             "\"url\",\"url\":\"https://a/b.png\"}}]")),
	    1508);
	/* Text that merely stands under "data" is text. */
	assert_in_range(
	    estimate_content(CN_VIEW("[{\"type\":\"document\",\"source\":{\"type\":"
	                             "\"text\",\"data\":\"some plain words\"}}]")),
	    10, 14);
}

/* Long texts are sampled: twice the text must stay about twice the tokens, whatever the
 * length, and densities must keep their order. */
static void long_text_is_weighed_like_short(void **state)
{
	static const struct {
		const char *line;
		uint64_t low, high; /* bytes of raw JSON a token, in tenths */
	} kinds[] = {
	    {"The turn goes on, on the next model of a chain, with the same context. ", 32,
	     42},
	    {"\\tif (n < 0 && errno == EINTR)\\n\\t\\tcontinue;\\n", 20, 36},
	    {"{\\\"id\\\": 4711, \\\"ok\\\": true}, ", 15, 30},
	    {"\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c", 15, 30},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		for (size_t bytes = 1024; bytes <= 1 << 20; bytes *= 4) {
			CN_AUTO(cn_buf) text = {0};
			cn_buf_add_char(&text, '"');
			while (text.n < bytes)
				cn_buf_add_str(&text, kinds[i].line);
			cn_buf_add_char(&text, '"');
			uint64_t got = estimate_content(cn_buf_view(&text)) - 8;
			uint64_t tenths = text.n * 10 / got;
			if (tenths < kinds[i].low || tenths > kinds[i].high)
				fail_msg("%zu bytes of %s: %llu tokens, %llu/10 bytes each",
				         text.n, kinds[i].line, (unsigned long long)got,
				         (unsigned long long)tenths);
		}
}

static void escapes_do_not_end_strings(void **state)
{
	(void)state;
	uint64_t one = estimate_content(CN_VIEW("\"word\""));
	assert_true(estimate_content(CN_VIEW("\"word \\\"word\\\" word\"")) > one + 2);
	assert_true(estimate_content(CN_VIEW("\"\\\\\"")) <= one + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(agrees_with_the_true_counts),
	    cmocka_unit_test(the_least_is_never_far_above_what_was_billed),
	    cmocka_unit_test(the_least_is_text),
	    cmocka_unit_test(sums_over_parts),
	    cmocka_unit_test(media_has_a_flat_price),
	    cmocka_unit_test(long_text_is_weighed_like_short),
	    cmocka_unit_test(escapes_do_not_end_strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
