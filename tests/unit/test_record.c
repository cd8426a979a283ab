/* If this fails, a turn's record loses or changes something on its way to disk and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "continuo/json.h"
#include "continuo/record.h"

static struct cn_turn_record full(struct cn_attempt_record *attempts,
                                  struct cn_block_record *blocks,
                                  struct cn_skip_record *skipped)
{
	attempts[0] = (struct cn_attempt_record){
	    .backend = CN_VIEW("anthropic"),
	    .model = CN_VIEW("opus"),
	    .key = CN_VIEW("client"),
	    .class = CN_VIEW("overloaded"),
	    .http_status = 529,
	    .started_ms = 1,
	    .first_byte_ms = 2,
	    .took_ms = 3,
	    .retry_after_ms = 4,
	    .prompt = CN_VIEW("append notes.md"),
	    .upstream_request = CN_VIEW("req_up"),
	    .reason = CN_VIEW("the backend says \"overloaded\""),
	    .finding = CN_VIEW("another model answers: tiny"),
	    .usage = {.has_input = true},
	    .assumed_input = 1234,
	    .assumed_output = 5678,
	};
	attempts[1] = (struct cn_attempt_record){.class = CN_VIEW("ok")};
	blocks[0] = (struct cn_block_record){
	    .index = 7,
	    .type = CN_VIEW("tool_use"),
	    .model = CN_VIEW("kimi/k2"),
	    .bytes = 99,
	    .id = CN_VIEW("toolu_1"),
	    .original_id = CN_VIEW("call_1"),
	    .whole = true,
	};
	skipped[0] = (struct cn_skip_record){.backend = CN_VIEW("local"),
	                                     .model = CN_VIEW("qwen"),
	                                     .reason = CN_VIEW("takes no images")};
	return (struct cn_turn_record){
	    .request_id = CN_VIEW("req_1"),
	    .owner = CN_VIEW("anna"),
	    .project = CN_VIEW("p\n\x01\xc3\xa9"),
	    .session = CN_VIEW("s"),
	    .agent = CN_VIEW("a0"),
	    .parent_agent = CN_VIEW("a1"),
	    .token = CN_VIEW("laptop"),
	    .caller = CN_VIEW("subagent"),
	    .requested = CN_VIEW("claude"),
	    .chain = CN_VIEW("main"),
	    .policy = CN_VIEW("abc"),
	    .route = UINT64_MAX,
	    .started_wall_ms = 1234567890123,
	    .took_ms = 10,
	    .first_byte_ms = 5,
	    .status = 200,
	    .ending = CN_VIEW("tool_use"),
	    .error = CN_VIEW("e"),
	    .used = CN_VIEW("kimi/k2"),
	    .stop_reason = CN_VIEW("tool_use"),
	    .usage = {1, 2, 3, 4, true, true, true, true},
	    .stream = true,
	    .request_node = {{1, 0xff}},
	    .prefix_node = {{2}},
	    .answer_node = {{3}},
	    .body_hash = {{4}},
	    .attempts = attempts,
	    .n_attempts = 2,
	    .blocks = blocks,
	    .n_blocks = 1,
	    .skipped = skipped,
	    .n_skipped = 1,
	};
}

static void a_record_comes_back_as_it_was(void **state)
{
	struct cn_attempt_record attempts[2];
	struct cn_block_record blocks[1];
	struct cn_skip_record skipped[1];
	struct cn_turn_record in = full(attempts, blocks, skipped), out;
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) one = {0};
	CN_AUTO(cn_buf) two = {0};
	struct cn_error e = {0};

	(void)state;
	cn_turn_record_write(&one, &in);
	assert_int_equal(0, cn_json_check(cn_buf_view(&one), &e));
	assert_int_equal(0, cn_turn_record_read(&a, cn_buf_view(&one), &out, &e));
	cn_turn_record_write(&two, &out);
	assert_string_equal(cn_buf_cstr(&one), cn_buf_cstr(&two));
	/* Not only text to text: each kind of member, looked at. */
	assert_true(cn_view_eq(in.project, out.project));
	assert_true(out.route == UINT64_MAX);
	assert_int_equal(200, out.status);
	assert_true(out.stream);
	assert_int_equal(in.usage.input, out.usage.input);
	assert_int_equal(in.usage.cache_write, out.usage.cache_write);
	assert_true(out.usage.has_input && out.usage.has_cache_write);
	assert_true(cn_hash_eq(&in.request_node, &out.request_node));
	assert_int_equal(2, out.n_attempts);
	assert_int_equal(529, out.attempts[0].http_status);
	assert_int_equal(4, out.attempts[0].retry_after_ms);
	assert_true(cn_view_eq(in.attempts[0].reason, out.attempts[0].reason));
	/* Told to be 0 is not the same as not told. */
	assert_true(out.attempts[0].usage.has_input && !out.attempts[0].usage.has_output);
	assert_false(out.attempts[1].usage.has_input);
	assert_int_equal(1, out.n_skipped);
	assert_true(cn_view_eq(in.skipped[0].reason, out.skipped[0].reason));
	assert_true(cn_view_eq(in.attempts[0].finding, out.attempts[0].finding));
	assert_int_equal(1, out.n_blocks);
	assert_true(out.blocks[0].whole);
	assert_true(cn_view_is(out.blocks[0].original_id, "call_1"));
}

static void an_empty_record_is_an_empty_object(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) b = {0};
	struct cn_turn_record r = {0}, out;

	(void)state;
	cn_turn_record_write(&b, &r);
	assert_string_equal("{}", cn_buf_cstr(&b));
	assert_int_equal(0, cn_turn_record_read(&a, cn_buf_view(&b), &out, NULL));
	assert_int_equal(0, out.n_attempts);
	assert_null(out.attempts);
}

/* A text that others went on with: one record a piece, all of one index. */
static void pieces_of_a_text_come_back_apart(void **state)
{
	struct cn_block_record blocks[] = {
	    {.index = 1, .type = CN_VIEW("text"), .model = CN_VIEW("a/one"), .bytes = 5},
	    {.index = 1,
	     .type = CN_VIEW("text"),
	     .model = CN_VIEW("b/two"),
	     .joint = CN_VIEW("tail"),
	     .bytes = 6,
	     .whole = true},
	};
	struct cn_turn_record in = {.blocks = blocks, .n_blocks = 2}, out;
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) b = {0};

	(void)state;
	cn_turn_record_write(&b, &in);
	assert_string_equal(
	    "{\"blocks\":[{\"index\":1,\"type\":\"text\",\"model\":\"a/one\","
	    "\"bytes\":5},{\"index\":1,\"type\":\"text\",\"model\":\"b/two\","
	    "\"joint\":\"tail\",\"bytes\":6,\"whole\":true}]}",
	    cn_buf_cstr(&b));
	assert_int_equal(0, cn_turn_record_read(&a, cn_buf_view(&b), &out, NULL));
	assert_int_equal(2, out.n_blocks);
	assert_int_equal(1, out.blocks[1].index);
	assert_int_equal(6, out.blocks[1].bytes);
	assert_true(cn_view_is(out.blocks[1].joint, "tail"));
	assert_int_equal(0, out.blocks[0].joint.n);
}

/* As it was written before there were joints: one record a block. */
static void a_record_without_joints_is_read(void **state)
{
	static const char old[] =
	    "{\"used\":\"a/one\",\"blocks\":[{\"type\":\"text\",\"model\":\"a/one\","
	    "\"bytes\":5,\"whole\":true},{\"index\":1,\"type\":\"tool_use\",\"model\":"
	    "\"a/one\",\"bytes\":2,\"id\":\"toolu_1\",\"whole\":true}]}";
	struct cn_turn_record r;
	CN_AUTO(cn_arena) a = {0};

	(void)state;
	assert_int_equal(0, cn_turn_record_read(&a, cn_view_str(old), &r, NULL));
	assert_int_equal(2, r.n_blocks);
	assert_int_equal(0, r.blocks[0].index);
	assert_int_equal(1, r.blocks[1].index);
	assert_int_equal(0, r.blocks[0].joint.n + r.blocks[1].joint.n);
	assert_true(r.blocks[0].whole && r.blocks[1].whole);
}

static void what_is_wrong_is_refused_and_what_is_new_passed_over(void **state)
{
	static const struct {
		const char *json;
		int err;
	} cases[] = {
	    {"{\"new\":[1,{}],\"owner\":\"o\",\"attempts\":[{\"newer\":1}]}", 0},
	    {"", CN_E_INVALID},
	    {"[]", CN_E_INVALID},
	    {"{\"owner\":1}", CN_E_INVALID},
	    {"{\"route\":-1}", CN_E_INVALID},
	    {"{\"status\":99999999999}", CN_E_INVALID},
	    {"{\"stream\":1}", CN_E_INVALID},
	    {"{\"answer_node\":\"12\"}", CN_E_INVALID},
	    {"{\"usage\":{\"input\":\"1\"}}", CN_E_INVALID},
	    {"{\"usage\":7}", CN_E_INVALID},
	    {"{\"attempts\":{}}", CN_E_INVALID},
	    {"{\"attempts\":[1]}", CN_E_INVALID},
	    {"{\"blocks\":[{\"whole\":0}]}", CN_E_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_turn_record r;
		struct cn_error e = {0};
		int err = cn_turn_record_read(&a, cn_view_str(cases[i].json), &r, &e);

		if (err != cases[i].err || (err && !e.message[0]))
			fail_msg("%s: want %d, got %d (%s)", cases[i].json, cases[i].err,
			         err, e.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_record_comes_back_as_it_was),
	    cmocka_unit_test(an_empty_record_is_an_empty_object),
	    cmocka_unit_test(pieces_of_a_text_come_back_apart),
	    cmocka_unit_test(a_record_without_joints_is_read),
	    cmocka_unit_test(what_is_wrong_is_refused_and_what_is_new_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
