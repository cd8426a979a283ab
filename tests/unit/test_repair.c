/* If this fails, a tool runs with what its model did not mean, or a good call is thrown
 * away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "continuo/repair.h"

static const char *const tools =
    "[{\"name\":\"Read\",\"input_schema\":{\"type\":\"object\",\"properties\":{"
    "\"file_path\":{\"type\":\"string\"},\"limit\":{\"type\":\"integer\"},"
    "\"all\":{\"type\":\"boolean\"}},\"required\":[\"file_path\"]}},"
    "{\"name\":\"ls\"},{\"name\":\"LS2\"},{\"name\":\"ls2\"}]";

struct call {
	const char *what, *name, *input;
	bool may_close;
	const char *want_name, *want; /* NULL: it stays broken */
};

static const struct call calls[] = {
    {"a good one", "Read", "{\"file_path\": \"a\"}", false, "Read",
     "{\"file_path\": \"a\"}"},
    {"nothing at all, and nothing required", "ls", "", false, "ls", ""},
    {"null, and nothing required", "ls", "null", false, "ls", "{}"},
    {"null where something is required", "Read", "null", false, NULL, NULL},
    {"a comma too many", "Read", "{\"file_path\":\"a\",}", false, "Read",
     "{\"file_path\":\"a\"}"},
    {"a comma too many, deep", "Read", "{\"file_path\":\"a\",\"x\":[1,{\"y\":[2,],},],}",
     false, "Read", "{\"file_path\":\"a\",\"x\":[1,{\"y\":[2]}]}"},
    {"quotes of one stroke", "Read", "{'file_path':'it\\'s \"a\"'}", false, "Read",
     "{\"file_path\":\"it's \\\"a\\\"\"}"},
    {"raw line breaks", "Read", "{\"file_path\":\"a\nb\tc\"}", false, "Read",
     "{\"file_path\":\"a\\u000ab\\u0009c\"}"},
    {"words of Python", "Read", "{\"file_path\":\"a\",\"x\":True,\"y\":False,\"z\":None}",
     false, "Read", "{\"file_path\":\"a\",\"x\":true,\"y\":false,\"z\":null}"},
    {"an object as a string", "Read", "\"{\\\"file_path\\\":\\\"a\\\"}\"", false, "Read",
     "{\"file_path\":\"a\"}"},
    {"a fence", "Read", "```json\n{\"file_path\":\"a\"}\n```", false, "Read",
     "{\"file_path\":\"a\"}"},
    {"an empty object first", "Read", "{}{\"file_path\":\"a\"}", false, "Read",
     "{\"file_path\":\"a\"}"},
    {"numbers and truth as strings", "Read",
     "{\"file_path\":\"7\",\"limit\":\"-12\",\"all\":\"True\"}", false, "Read",
     "{\"file_path\":\"7\",\"limit\":-12,\"all\":true}"},
    {"a number that is none", "Read", "{\"file_path\":\"a\",\"limit\":\"12a\"}", false,
     "Read", "{\"file_path\":\"a\",\"limit\":\"12a\"}"},
    {"letters of another case", "READ", "{\"file_path\":\"a\"}", false, "Read",
     "{\"file_path\":\"a\"}"},
    {"two names that it could be", "Ls2", "{}", false, NULL, NULL},
    {"another name", "Reed", "{\"file_path\":\"a\"}", false, NULL, NULL},
    {"a value that is required and missing", "Read", "{\"limit\":1}", false, NULL, NULL},
    {"brackets missing, perhaps cut", "Read", "{\"file_path\":\"a\",\"x\":[{\"y\":1", false,
     NULL, NULL},
    {"brackets missing, surely not cut", "Read", "{\"file_path\":\"a\",\"x\":[{\"y\":1",
     true, "Read", "{\"file_path\":\"a\",\"x\":[{\"y\":1}]}"},
    {"a bracket missing behind a comma", "Read", "{\"file_path\":\"a\",", true, "Read",
     "{\"file_path\":\"a\"}"},
    {"cut in a string", "Read", "{\"file_path\":\"a", true, NULL, NULL},
    {"cut behind a key", "Read", "{\"file_path\":\"a\",\"limit\":", true, NULL, NULL},
    {"brackets that do not fit", "Read", "{\"file_path\":\"a\"]", true, NULL, NULL},
    {"more behind it", "Read", "{\"file_path\":\"a\",} and so on", false, NULL, NULL},
    {"no object", "Read", "[1,]", false, NULL, NULL},
    {"only brackets", "Read", "{[{[{[", true, NULL, NULL},
    {"empty members", "Read", "{\"file_path\":\"a\",\"x\":{},\"y\":[],}", false, "Read",
     "{\"file_path\":\"a\",\"x\":{},\"y\":[]}"},
};

static void only_what_is_certain_is_repaired(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct call *c = &calls[i];
		CN_AUTO(cn_arena) a = {0};
		struct cn_view name = cn_view_str(c->name), input = cn_view_str(c->input);
		bool ok = cn_repair_call(&a, cn_json_root(cn_view_str(tools)), c->may_close,
		                         &name, &input);

		if (ok != (c->want != NULL) || (ok && (!cn_view_is(name, c->want_name) ||
		                                       !cn_view_is(input, c->want))))
			fail_msg("%s:\n got %s %.*s %.*s\nwant %s %s", c->what,
			         ok ? "call" : "broken", CN_VIEW_ARG(name),
			         CN_VIEW_ARG(input), c->want_name ? c->want_name : "broken",
			         c->want ? c->want : "");
	}
}

static void nesting_without_end_is_refused(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) deep = {0};
	struct cn_view name = CN_VIEW("Read"), input;

	(void)state;
	cn_buf_add_str(&deep, "{'file_path':");
	for (unsigned i = 0; i < 100000; i++)
		cn_buf_add_char(&deep, '[');
	input = cn_buf_view(&deep);
	assert_false(
	    cn_repair_call(&a, cn_json_root(cn_view_str(tools)), true, &name, &input));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_what_is_certain_is_repaired),
	    cmocka_unit_test(nesting_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
