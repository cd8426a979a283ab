/*
 * If this fails, one conversation is stored as many: what Claude Code changes about a
 * message from request to request (wire/claude-code-client.md 4) changes its address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "continuo/canon.h"
#include "continuo/json.h"

/* Stands in for the vault's: good enough to tell things apart. */
static struct cn_hash plain_hash(void *self, const struct cn_view *views, size_t n)
{
	(void)self;
	return cn_hash_views(views, n);
}

/* Of a message without anything before it. */
static int canon_one(struct cn_arena *a, struct cn_view message, struct cn_node *ret)
{
	struct cn_canon c = {a, CN_VIEW("o"), plain_hash, NULL};

	return cn_canon_message(&c, message, &(struct cn_hash){{0}}, ret, NULL);
}

struct nodes {
	struct cn_node prefix, nodes[32];
	size_t n;
};

/* A whole request. */
static struct nodes canon(struct cn_arena *a, const char *body, const char *owner)
{
	struct cn_canon c = {a, cn_view_str(owner), plain_hash, NULL};
	struct cn_json root = cn_json_root(cn_view_str(body));
	struct cn_json_iter it = cn_json_iter(cn_json_get(root, "messages"));
	struct nodes made = {.n = 0};
	struct cn_hash parent = {{0}};

	assert_int_equal(0, cn_canon_prefix(&c, cn_json_get(root, "system").raw,
	                                    cn_json_get(root, "tools").raw, &made.prefix,
	                                    NULL));
	for (; cn_json_next(&it); made.n++) {
		struct cn_node *node = &made.nodes[made.n];

		assert_in_range(made.n, 0, 31);
		assert_int_equal(0,
		                 cn_canon_message(&c, it.value.raw, &parent, node, NULL));
		parent = node->id;
	}
	return made;
}

static void assert_view(const char *want, struct cn_view got)
{
	if (!cn_view_is(got, want))
		fail_msg("want %s\n got %.*s", want, CN_VIEW_ARG(got));
}

static void messages_have_one_form(void **state)
{
	static const struct {
		const char *message, *want;
	} cases[] = {
	    /* key order */
	    {"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}",
	     "{\"content\":[{\"text\":\"a\",\"type\":\"text\"}],\"role\":\"user\"}"},
	    /* a string is one text block */
	    {"{\"content\":\"a\",\"role\":\"user\"}",
	     "{\"content\":[{\"text\":\"a\",\"type\":\"text\"}],\"role\":\"user\"}"},
	    /* cache_control, on a block, in a result, on the message */
	    {"{\"role\":\"user\",\"cache_control\":{},\"content\":[{\"type\":\"tool_result\","
	     "\"cache_control\":{\"type\":\"ephemeral\"},\"tool_use_id\":\"t\",\"content\":"
	     "[{\"type\":\"text\",\"cache_control\":null,\"text\":\"x\"}]}]}",
	     "{\"content\":[{\"content\":[{\"text\":\"x\",\"type\":\"text\"}],"
	     "\"tool_use_id\":\"t\",\"type\":\"tool_result\"}],\"role\":\"user\"}"},
	    /* but not out of what a tool is given */
	    {"{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"input\":"
	     "{\"z\":1,\"cache_control\":{\"b\":2,\"a\":[{\"cache_control\":1}]}}}]}",
	     "{\"content\":[{\"input\":{\"cache_control\":{\"a\":[{\"cache_control\":1}],"
	     "\"b\":2},\"z\":1},\"type\":\"tool_use\"}],\"role\":\"assistant\"}"},
	    /* output_config of a message is kept */
	    {"{\"role\":\"system\",\"output_config\":{\"effort\":\"high\"},\"content\":\"\"}",
	     "{\"content\":[{\"text\":\"\",\"type\":\"text\"}],"
	     "\"output_config\":{\"effort\":\"high\"},\"role\":\"system\"}"},
	    /* one spelling of a string, every digit of a number */
	    {"{\"role\":\"\\u0075ser\",\"content\":[{\"n\":[1.0,1e3,123456789012345678901,-0]"
	     ",\"s\":\"\\u00e9\\/\\n\"}]}",
	     "{\"content\":[{\"n\":[1.0,1e3,123456789012345678901,-0],"
	     "\"s\":\"\xc3\xa9/\\n\"}],\"role\":\"user\"}"},
	    /* a key that begins another, and a repeated one */
	    {"{\"ab\":1,\"a\":2,\"b\":true,\"a\":null}",
	     "{\"a\":2,\"a\":null,\"ab\":1,\"b\":true}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_node node;

		assert_int_equal(0, canon_one(&a, cn_view_str(cases[i].message), &node));
		assert_view(cases[i].want, node.canonical);
	}
}

static void many_members_are_ordered_too(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) b = {0};
	struct cn_node node;
	struct cn_view last = {NULL, 0};
	size_t n = 0;

	(void)state;
	cn_buf_add_char(&b, '{');
	for (unsigned i = 0; i < 500; i++)
		cn_buf_printf(&b, "%s\"k%03u\":%u", i ? "," : "", i * 7919 % 500, i);
	cn_buf_add_char(&b, '}');
	assert_int_equal(0, canon_one(&a, cn_buf_view(&b), &node));
	for (struct cn_json_iter it = cn_json_iter(cn_json_root(node.canonical));
	     cn_json_next(&it); n++) {
		assert_true(!last.p || memcmp(last.p, it.key.p, 4) < 0);
		last = it.key;
	}
	assert_int_equal(500, n);
}

/* A request as the client sends it: the marker on the last block of the last message. */
static void add_request(struct cn_buf *b, unsigned messages)
{
	cn_buf_add_str(b, "{\"model\":\"m\",\"messages\":[");
	for (unsigned i = 0; i < messages; i++) {
		bool last = i + 1 == messages, user = i % 2 == 0;

		cn_buf_add_str(b, i ? "," : "");
		/* Without the marker a single text becomes a string. */
		if (user && !last)
			cn_buf_printf(b, "{\"role\":\"user\",\"content\":\"say %u\"}", i);
		else if (user)
			cn_buf_printf(b,
			              "{\"role\":\"user\",\"content\":[{\"type\":\"text\","
			              "\"text\":\"say %u\",\"cache_control\":{\"type\":"
			              "\"ephemeral\"}}]}",
			              i);
		else
			cn_buf_printf(
			    b,
			    "{\"role\":\"assistant\",\"content\":[{\"type\":"
			    "\"thinking\",\"thinking\":\"\",\"signature\":\"S%u\"},"
			    "{\"text\":\"said\",\"type\":\"text\"}]}",
			    i);
	}
	cn_buf_printf(b,
	              "],\"system\":[{\"type\":\"text\",\"text\":\"sys\",\"cache_control\":"
	              "{\"ttl\":\"%u\"}}],\"tools\":[{\"name\":\"Read\",\"input_schema\":"
	              "{\"properties\":{\"cache_control\":{}}}}],\"stream\":true}",
	              messages);
}

static void each_request_extends_the_one_before(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct nodes before = {.n = 0};

	(void)state;
	for (unsigned n = 1; n < 30; n += 2) {
		CN_AUTO(cn_buf) body = {0};
		struct nodes now;

		add_request(&body, n);
		now = canon(&a, cn_buf_cstr(&body), "anna");
		assert_int_equal(n, now.n);
		for (size_t i = 0; i < before.n; i++)
			assert_true(cn_hash_eq(&before.nodes[i].id, &now.nodes[i].id));
		for (size_t i = 1; i < now.n; i++)
			assert_true(cn_hash_eq(&now.nodes[i - 1].id, &now.nodes[i].parent));
		if (before.n)
			assert_true(cn_hash_eq(&before.prefix.id, &now.prefix.id));
		before = now;
	}
	assert_view("{\"system\":[{\"text\":\"sys\",\"type\":\"text\"}],\"tools\":"
	            "[{\"input_schema\":{\"properties\":{\"cache_control\":{}}},"
	            "\"name\":\"Read\"}]}",
	            before.prefix.canonical);
}

static void an_address_is_of_owner_parent_and_content(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct nodes one = canon(&a, "{\"messages\":[{\"a\":1},{\"a\":1}]}", "anna");
	struct nodes other = canon(&a, "{\"messages\":[{\"a\":1}]}", "bert");
	struct cn_canon anna = {&a, CN_VIEW("anna"), plain_hash, NULL};
	struct cn_node answer;

	(void)state;
	assert_false(cn_hash_eq(&one.nodes[0].id, &one.nodes[1].id)); /* parent */
	assert_false(cn_hash_eq(&one.nodes[0].id, &other.nodes[0].id));
	/* An answer is addressed as the client will send it back. */
	assert_int_equal(0, cn_canon_message(&anna, CN_VIEW("{\"a\":1}"), &one.nodes[0].id,
	                                     &answer, NULL));
	assert_true(cn_hash_eq(&answer.id, &one.nodes[1].id));
	assert_view("{}", one.prefix.canonical);
	assert_view("{\"system\":[{\"text\":\"s\",\"type\":\"text\"}]}",
	            canon(&a, "{\"system\":\"s\",\"messages\":[]}", "x").prefix.canonical);
}

static void what_is_no_message_is_refused(void **state)
{
	static const char *const cases[] = {"", "[]", "1", "\"a\"", "nul", "{"};
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) deep = {0};
	struct cn_canon c = {&a, CN_VIEW("o"), plain_hash, NULL};
	struct cn_view none = {NULL, 0};
	struct cn_node node;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (canon_one(&a, cn_view_str(cases[i]), &node) != CN_E_INVALID)
			fail_msg("%s: not refused", cases[i]);
	assert_int_equal(CN_E_INVALID,
	                 cn_canon_prefix(&c, CN_VIEW("nul"), none, &node, NULL));
	assert_int_equal(CN_E_INVALID,
	                 cn_canon_prefix(&c, none, CN_VIEW("["), &node, NULL));
	cn_buf_add_str(&deep, "{\"a\":");
	for (unsigned i = 0; i < 5000; i++)
		cn_buf_add_char(&deep, '[');
	for (unsigned i = 0; i < 5000; i++)
		cn_buf_add_char(&deep, ']');
	cn_buf_add_char(&deep, '}');
	assert_int_equal(CN_E_LIMIT, canon_one(&a, cn_buf_view(&deep), &node));
	assert_int_equal(CN_E_LIMIT,
	                 cn_canon_prefix(&c, none, cn_buf_view(&deep), &node, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_have_one_form),
	    cmocka_unit_test(many_members_are_ordered_too),
	    cmocka_unit_test(each_request_extends_the_one_before),
	    cmocka_unit_test(an_address_is_of_owner_parent_and_content),
	    cmocka_unit_test(what_is_no_message_is_refused),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
