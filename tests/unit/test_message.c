/* If this fails, requests are routed by the wrong facts or reach a backend changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "continuo/anthropic.h"

static struct cn_request read_ok(struct cn_arena *a, const char *body,
                                 const struct cn_caller_ids *ids)
{
	struct cn_request r;
	struct cn_error err = {0};

	if (cn_request_read(a, cn_view_str(body), ids ? ids : &(struct cn_caller_ids){0},
	                    NULL, &r, &err))
		fail_msg("%s: %s", body, err.message);
	return r;
}

static void facts_are_read(void **state)
{
	static const struct {
		const char *body;
		bool stream, thinking, server_tools, images, provider_state;
		size_t tools;
		enum cn_caller caller;
	} cases[] = {
	    {"{\"model\":\"m\",\"messages\":[{}],\"stream\":true}", true, false, false,
	     false, false, 0, CN_CALLER_SIDE},
	    {"{\"stream\":true,\"model\":\"m\",\"messages\":[{}],\"tools\":[{\"name\":\"a\"}],"
	     "\"stream\":false}",
	     false, false, false, false, false, 1, CN_CALLER_MAIN},
	    {"{\"model\":\"m\",\"messages\":[{}],\"thinking\":{\"type\":\"adaptive\"},\"tools\":"
	     "[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}",
	     false, true, true, false, false, 1, CN_CALLER_SIDE},
	    {"{\"model\":\"m\",\"messages\":[{\"content\":[{\"type\" \n:\r\t\"image\"}]}],\"tools\":"
	     "[{\"name\":\"a\"},{\"name\":\"b\"}]}",
	     false, false, false, true, false, 2, CN_CALLER_MAIN},
	    {"{\"model\":\"m\",\"messages\":[{\"content\":\"\\\"type\\\":\\\"image\\\"\"}],"
	     "\"container\":\"c\"}",
	     false, false, false, false, true, 0, CN_CALLER_SIDE},
	    {"{\"mod\\u0065l\":\"m\",\"messages\":[{}],\"str\\u0065am\":true,\"tools\":[{\"typ\\u0065\":"
	     "\"web_s\\u0065arch_20250305\"}]}",
	     true, false, true, false, false, 1, CN_CALLER_SIDE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_request r = read_ok(&a, cases[i].body, NULL);

		if (r.stream != cases[i].stream || r.thinking != cases[i].thinking ||
		    r.server_tools != cases[i].server_tools ||
		    r.images != cases[i].images ||
		    r.provider_state != cases[i].provider_state ||
		    r.n_tools != cases[i].tools || r.caller != cases[i].caller)
			fail_msg(
			    "case %zu: stream %d thinking %d server %d images %d state %d "
			    "tools %zu caller %s",
			    i, r.stream, r.thinking, r.server_tools, r.images,
			    r.provider_state, r.n_tools, cn_caller_name(r.caller));
	}
}

/* Where the API has blocks, and nowhere else: what a tool is given may look like one. */
static void content_is_known_by_its_place(void **state)
{
	static const struct {
		const char *content;
		bool images, provider_state;
	} cases[] = {
	    {"[{\"type\":\"image\",\"source\":{\"type\":\"base64\"}}]", true, false},
	    {"[{\"source\":{\"type\":\"file\",\"file_id\":\"f\"},\"type\":\"image\"}]",
	     true, true},
	    {"[{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":"
	     "\"image\"}]}}]",
	     true, false},
	    {"[{\"type\":\"container_upload\",\"file_id\":\"f\"}]", false, true},
	    {"[{\"typ\\u0065\":\"im\\u0061ge\"}]", true, false},
	    {"[{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\"},{\"type\":\"image\"}]}]",
	     true, false},
	    {"[{\"type\":\"tool_use\",\"input\":{\"type\":\"image\",\"source\":{\"type\":\"file\"},"
	     "\"content\":[{\"type\":\"image\"}]}}]",
	     false, false},
	    {"\"{\\\"type\\\":\\\"image\\\"}\"", false, false},
	    {"{\"type\":\"image\"}", false, false},
	    {"[[{\"type\":\"image\"}],7,\"x\"]", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		CN_AUTO(cn_buf) body = {0};
		struct cn_request r;

		cn_buf_printf(
		    &body,
		    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":%s}]}",
		    cases[i].content);
		r = read_ok(&a, cn_buf_cstr(&body), NULL);
		if (r.images != cases[i].images ||
		    r.provider_state != cases[i].provider_state)
			fail_msg("%s: images %d state %d", cases[i].content, r.images,
			         r.provider_state);
	}
}

/* What was answered already is no question any more. */
static void what_is_new_is_behind_the_last_answer(void **state)
{
#define ROLE(role, content) "{\"role\":\"" role "\",\"content\":[" content "]}"
#define PICTURE             "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"x\"}}"
#define PDF                 "{\"source\":{\"type\":\"base64\",\"data\":\"x\"},\"type\":\"document\"}"
#define NOTES               "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"data\":\"x\"}}"
#define RESULT(content)     "{\"type\":\"tool_result\",\"content\":[" content "]}"
#define SAID                "{\"type\":\"text\",\"text\":\"x\"}"
	static const struct {
		const char *messages;
		bool images, new_images, new_documents;
	} cases[] = {
	    {ROLE("user", PICTURE), true, true, false},
	    {ROLE("user", PDF), false, false, true},
	    {ROLE("user", NOTES), false, false, false},
	    {ROLE("user", RESULT(PICTURE "," PDF)), true, true, true},
	    {ROLE("user", PICTURE "," PDF) "," ROLE("assistant", SAID), true, false, false},
	    {ROLE("user", PICTURE) "," ROLE("assistant", SAID) "," ROLE("user", SAID), true,
	     false, false},
	    {ROLE("user", PICTURE) "," ROLE("system", SAID) "," ROLE("user", SAID), true,
	     true, false},
	    {ROLE("user", SAID) "," ROLE("assistant", SAID) "," ROLE("user",
	                                                             RESULT(PICTURE)),
	     true, true, false},
	    {"{\"content\":[" PICTURE "],\"role\":\"user\"}", true, true, false},
	    {"{\"content\":[" PICTURE "],\"role\":\"assistant\"}", true, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		CN_AUTO(cn_buf) body = {0};
		struct cn_request r;

		cn_buf_printf(&body, "{\"model\":\"m\",\"messages\":[%s]}",
		              cases[i].messages);
		r = read_ok(&a, cn_buf_cstr(&body), NULL);
		if (r.images != cases[i].images || r.new_images != cases[i].new_images ||
		    r.new_documents != cases[i].new_documents)
			fail_msg("%s: images %d, new %d, documents %d", cases[i].messages,
			         r.images, r.new_images, r.new_documents);
	}
}

static void thoughts_are_the_assistants(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) many = {0};
	struct cn_error err = {0};
	struct cn_request r = read_ok(
	    &a,
	    "{\"model\":\"m\",\"messages\":[{\"content\":[{\"type\":\"thinking\",\"a\":1},{\"type\":\"text\"},"
	    "{\"a\":2,\"type\":\"redacted_thinking\"}],\"role\":\"assistant\"},{\"role\":\"user\","
	    "\"content\":[{\"type\":\"thinking\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":"
	    "\"thinking\"}],\"content\":[{\"type\":\"thinking\",\"a\":3}]},{\"role\":\"assistant\","
	    "\"content\":[{\"type\":\"thinking\"}],\"content\":\"\"},{\"role\":\"assistant\","
	    "\"content\":[{\"type\":\"tool_result\",\"content\":[{\"type\":\"thinking\"}]}]}]}",
	    NULL);

	(void)state;
	assert_int_equal(r.n_messages, 5);
	assert_int_equal(r.n_thoughts, 3);
	assert_true(cn_view_is(r.thoughts[0].block, "{\"type\":\"thinking\",\"a\":1}"));
	assert_true(
	    cn_view_is(r.thoughts[1].block, "{\"a\":2,\"type\":\"redacted_thinking\"}"));
	assert_true(cn_view_is(r.thoughts[2].block, "{\"type\":\"thinking\",\"a\":3}"));
	assert_ptr_equal(r.thoughts[0].message.p, r.thoughts[1].message.p);
	assert_true(cn_view_is(r.thoughts[2].content, "[{\"type\":\"thinking\",\"a\":3}]"));
	assert_true(cn_view_ends(r.thoughts[1].message, CN_VIEW("\"assistant\"}")));
	cn_buf_add_str(
	    &many, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":[0");
	for (size_t i = 0; i <= CN_NOTES_MAX; i++)
		cn_buf_add_str(&many, ",{\"type\":\"thinking\"}");
	cn_buf_add_str(&many, "]}]}");
	assert_int_equal(cn_request_read(&a, cn_buf_view(&many), &(struct cn_caller_ids){0},
	                                 NULL, &r, &err),
	                 CN_E_INVALID);
	assert_string_equal(
	    err.message,
	    "messages: more than 20000 blocks of thinking or of renamed calls");
}

static void hear_part(void *self, enum cn_request_part part)
{
	cn_buf_printf(self, "<%d>", (int)part);
}

static void hear_key(void *self, struct cn_view raw)
{
	cn_buf_printf(self, "%.*s:", CN_VIEW_ARG(raw));
}

static void hear_text(void *self, struct cn_view raw)
{
	cn_buf_printf(self, "'%.*s'", CN_VIEW_ARG(raw));
}

static void hear_scalar(void *self)
{
	cn_buf_add_char(self, '#');
}

static void calls_of_ours_are_noted(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_request r = read_ok(
	    &a,
	    "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":[{\"id\":\"toolu_cn1\","
	    "\"type\":\"tool_use\",\"input\":{\"type\":\"tool_use\",\"id\":\"toolu_cn9\"}},{\"type\":"
	    "\"tool_use\",\"id\":\"toolu_x\"},{\"type\":\"text\",\"id\":\"toolu_cn9\"}]},{\"role\":"
	    "\"user\",\"content\":[{\"tool_use_id\":\"toolu_\\u0063n1\",\"type\":\"tool_result\","
	    "\"content\":[{\"type\":\"tool_use\",\"id\":\"toolu_cn9\"}]}]}]}",
	    NULL);

	(void)state;
	assert_int_equal(r.n_calls, 2);
	assert_true(cn_view_is(r.calls[0].id.raw, "\"toolu_cn1\""));
	assert_true(cn_view_starts(r.calls[0].block, CN_VIEW("{\"id\":\"toolu_cn1\"")));
	assert_true(cn_view_is(r.calls[1].id.raw, "\"toolu_\\u0063n1\""));
}

static void an_ear_hears_what_models_read(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) heard = {0};
	struct cn_request_ear ear = {.on_part = hear_part,
	                             .on_key = hear_key,
	                             .on_text = hear_text,
	                             .on_scalar = hear_scalar,
	                             .self = &heard};
	struct cn_request r;

	(void)state;
	assert_int_equal(
	    cn_request_read(
		&a,
		CN_VIEW(
		    "{\"model\":\"m\",\"tools\":[{\"a\":1,\"b\":[true,\"c\\n\"]}],\"x\":\"y\","
		    "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}, -1.5]}],"
		    "\"syst\\u0065m\":\"s\",\"tools\":null,\"max_tokens\":1}"),
		&(struct cn_caller_ids){0}, &ear, &r, NULL),
	    0);
	assert_string_equal(cn_buf_cstr(&heard),
	                    "<2>a:#b:#'c\\n'<0>role:'user'content:type:"
	                    "'text'#<1>'s'<2>#");
	assert_int_equal(r.n_tools, 0);
}

static void sessions_are_named(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	const char *with_user =
	    "{\"model\":\"m\",\"messages\":[{}],\"metadata\":{\"user_id\":"
	    "\"{\\\"session_id\\\":\\\"s-1\\\"}\"}}";
	struct cn_caller_ids ids = {.session = CN_VIEW("h 1"), .agent = CN_VIEW("a1")};
	struct cn_request r = read_ok(&a, with_user, &ids);

	(void)state;
	assert_true(cn_view_is(r.session, "h_1"));
	assert_int_equal(r.caller, CN_CALLER_SUBAGENT);
	r = read_ok(&a, with_user, NULL);
	assert_true(cn_view_is(r.session, "s-1"));
	r = read_ok(&a, "{\"model\":\"m\",\"messages\":[{}]}", NULL);
	assert_int_equal(r.session.n, 0);
}

static void mistakes_have_the_apis_words(void **state)
{
	static const char *const cases[][2] = {
	    {"[]", "the body is no JSON object"},
	    {"{\"messages\":[{}]}", "model: Field required"},
	    {"{\"model\":7,\"messages\":[{}]}", "model: Input should be a valid string"},
	    {"{\"model\":\"m\"}", "messages: Field required"},
	    {"{\"model\":\"m\",\"messages\":{}}",
	     "messages: Input should be a valid array"},
	    {"{\"model\":\"m\",\"messages\":[ ]}",
	     "messages: at least one message is required"},
	    {"{\"model\":\"m\",\"messages\":[{}],\"max_tokens\":\"x\"}",
	     "max_tokens: Input should be a valid integer"},
	    {"{\"model\":\"m\",\"messages\":[{}],\"stream\":1}",
	     "stream: Input should be a valid boolean"},
	    {"{\"model\":", "not JSON we take: the text ends too early at byte 9"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_error err = {0};
		struct cn_request r;

		assert_int_equal(cn_request_read(&a, cn_view_str(cases[i][0]),
		                                 &(struct cn_caller_ids){0}, NULL, &r,
		                                 &err),
		                 CN_E_INVALID);
		assert_string_equal(err.message, cases[i][1]);
	}
}

static bool drop_signed(void *self, const struct cn_thought *thought)
{
	(void)self;
	return cn_view_find(thought->block, CN_VIEW("foreign"), 0) != SIZE_MAX;
}

static void only_what_is_demanded_changes(void **state)
{
	static const char *const drop[] = {"context_management", "metadata"};
	static const char *const drop_effort[] = {"output_config"};
	static const struct {
		const char *body;
		struct cn_edit edit;
		const char *want;
	} cases[] = {
	    {"{\"model\":\"m\" , \"messages\":[{}],\"x\":{\"y\":[1]},\"stream\":true}",
	     {.stream = true},
	     "{\"model\":\"m\" , \"messages\":[{}],\"x\":{\"y\":[1]},\"stream\":true}"},
	    {"{\"model\":\"m\",\"messages\":[{}],\"stream\":false}",
	     {.model = {"k\"2", 3}, .stream = true, .max_tokens = 9},
	     "{\"model\":\"k\\\"2\",\"messages\":[{}],\"stream\":true,\"max_tokens\":9}"},
	    {"{\"model\":\"m\",\"messages\":[{}]}",
	     {.stream = false},
	     "{\"model\":\"m\",\"messages\":[{}]}"},
	    {"{\"metadata\":{},\"model\":\"m\",\"context_management\":{},\"messages\":[{}]}",
	     {.drop = drop, .n_drop = 2, .effort = {"low", 3}},
	     "{\"model\":\"m\",\"messages\":[{}],\"output_config\":{\"effort\":\"low\"}}"},
	    {"{\"model\":\"m\",\"messages\":[{}],\"output_config\":{\"effort\":\"high\",\"z\":1}}",
	     {.effort = {"low", 3}},
	     "{\"model\":\"m\",\"messages\":[{}],\"output_config\":{\"effort\":\"low\",\"z\":1}}"},
	    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
	     "\"assistant\",\"content\":[{\"type\":\"thinking\",\"signature\":\"foreign\"},"
	     "{\"type\":\"text\",\"text\":\"t\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":"
	     "\"redacted_thinking\",\"data\":\"foreign\"}]},{\"role\":\"assistant\",\"content\":["
	     "{\"type\":\"thinking\",\"signature\":\"own\"}]}]}",
	     {.drop_thinking = drop_signed},
	     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
	     "\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}]},{\"role\":"
	     "\"assistant\",\"content\":[{\"type\":\"thinking\",\"signature\":\"own\"}]}]}"},
	    /* Keys with escapes are those keys, and a dropped member is not set. */
	    {"{\"model\":\"m\",\"mod\\u0065l\":\"x\",\"messages\":[{}],\"m\\u0065tadata\":1,"
	     "\"str\\u0065am\":false,\"max_tok\\u0065ns\":5,\"output_config\":{\"eff\\u006frt\":1}}",
	     {.model = {"k", 1},
	      .stream = true,
	      .max_tokens = 9,
	      .drop = drop,
	      .n_drop = 2,
	      .effort = {"low", 3}},
	     "{\"model\":\"k\",\"mod\\u0065l\":\"k\",\"messages\":[{}],\"str\\u0065am\":true,"
	     "\"max_tok\\u0065ns\":9,\"output_config\":{\"eff\\u006frt\":\"low\"}}"},
	    {"{\"model\":\"m\",\"messages\":[{}]}",
	     {.drop = drop_effort, .n_drop = 1, .effort = {"low", 3}},
	     "{\"model\":\"m\",\"messages\":[{}]}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		CN_AUTO(cn_buf) got = {0};
		struct cn_request r = read_ok(&a, cases[i].body, NULL);
		struct cn_slices s = cn_anthropic_encode_request(&a, &r, &cases[i].edit);

		for (size_t k = 0; k < s.n; k++)
			cn_buf_add_view(&got, s.v[k]);
		assert_string_equal(cn_buf_cstr(&got), cases[i].want);
		assert_int_equal(s.bytes, got.n);
		if (i == 0)
			assert_int_equal(s.n, 1);
	}
}

/* However many a message has, and however they are spelt. */
static void all_foreign_thinking_goes(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) body = {0}, got = {0};
	struct cn_edit edit = {.drop_thinking = drop_signed};
	struct cn_request r;
	struct cn_slices s;

	(void)state;
	cn_buf_add_str(&body,
	               "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
	               "\"q\"},{\"role\":\"assistant\",\"content\":[");
	for (int i = 0; i < 200; i++)
		cn_buf_add_str(
		    &body,
		    "{\"type\":\"thinking\",\"signature\":\"foreign\"},"
		    "{\"typ\\u0065\":\"thinkin\\u0067\",\"signature\":\"foreign\"},");
	cn_buf_add_str(&body, "{\"type\":\"text\",\"text\":\"t\"}]}]}");
	r = read_ok(&a, cn_buf_cstr(&body), NULL);
	s = cn_anthropic_encode_request(&a, &r, &edit);
	for (size_t i = 0; i < s.n; i++)
		cn_buf_add_view(&got, s.v[i]);
	assert_string_equal(
	    cn_buf_cstr(&got),
	    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
	    "\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}]}]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(facts_are_read),
	    cmocka_unit_test(content_is_known_by_its_place),
	    cmocka_unit_test(what_is_new_is_behind_the_last_answer),
	    cmocka_unit_test(thoughts_are_the_assistants),
	    cmocka_unit_test(calls_of_ours_are_noted),
	    cmocka_unit_test(an_ear_hears_what_models_read),
	    cmocka_unit_test(sessions_are_named),
	    cmocka_unit_test(mistakes_have_the_apis_words),
	    cmocka_unit_test(only_what_is_demanded_changes),
	    cmocka_unit_test(all_foreign_thinking_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
