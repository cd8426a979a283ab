/* If this fails, the client may get an answer that is not well-formed, or a part of it
 * twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "continuo/anthropic.h"
#include "continuo/hash.h"
#include "continuo/splice.h"
#include "continuo/sse.h"

static struct cn_charge charge = {.limit = (size_t)1 << 30};
static const struct cn_author author = {"a/m", "a#k/m", 0};

/* ---- a strict reader of what the client gets ---- */

struct seen {
	struct cn_arena arena;
	struct cn_buf text, thinking, tools; /* tools: name(input) of each */
	char stop_reason[40];
	size_t blocks;
	bool started, open, delta, stopped, error;
	uint64_t output;
	const char *wrong;
};

static bool on_client_event(void *self, const struct cn_sse_event *sse)
{
	struct seen *c = self;
	struct cn_event ev;
	struct cn_error err;

	if (cn_anthropic_decode(&c->arena, sse->name, sse->data, &ev, &err)) {
		c->wrong = "an event that cannot be read";
		return false;
	}
	switch (ev.kind) {
	case CN_EV_MESSAGE_START:
		if (c->started || !ev.usage.has_input || !ev.usage.has_output)
			c->wrong = "message_start";
		c->started = true;
		break;
	case CN_EV_BLOCK_START:
		if (!c->started || c->open || c->delta || ev.index != c->blocks)
			c->wrong = "content_block_start";
		c->open = true;
		if (ev.block == CN_BLOCK_TOOL_USE)
			cn_buf_printf(&c->tools, "%.*s(", CN_VIEW_ARG(ev.name));
		break;
	case CN_EV_BLOCK_DELTA:
		if (!c->open || ev.index != c->blocks)
			c->wrong = "content_block_delta";
		if (ev.delta == CN_DELTA_TEXT)
			cn_buf_add_view(&c->text, ev.text);
		if (ev.delta == CN_DELTA_THINKING)
			cn_buf_add_view(&c->thinking, ev.text);
		if (ev.delta == CN_DELTA_INPUT_JSON)
			cn_buf_add_view(&c->tools, ev.text);
		break;
	case CN_EV_BLOCK_STOP:
		if (!c->open || ev.index != c->blocks)
			c->wrong = "content_block_stop";
		c->open = false;
		c->blocks++;
		cn_buf_add_char(&c->tools, ')');
		break;
	case CN_EV_MESSAGE_DELTA:
		if (c->open || c->delta || !ev.usage.has_output)
			c->wrong = "message_delta";
		c->delta = true;
		c->output = ev.usage.output;
		snprintf(c->stop_reason, sizeof(c->stop_reason), "%.*s",
		         CN_VIEW_ARG(ev.stop_reason));
		break;
	case CN_EV_MESSAGE_STOP:
		if (!c->delta || c->stopped)
			c->wrong = "message_stop";
		c->stopped = true;
		break;
	case CN_EV_ERROR:
		c->error = true;
		break;
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_UNKNOWN:
		break;
	}
	return true;
}

static void seen_read(struct seen *c, struct cn_view bytes)
{
	struct cn_sse s;

	cn_sse_init(&s, on_client_event, c);
	assert_int_equal(cn_sse_feed(&s, bytes, 1, NULL), 0);
	assert_false(cn_sse_pending(&s));
	cn_sse_done(&s);
}

static void seen_done(struct seen *c)
{
	cn_buf_done(&c->text);
	cn_buf_done(&c->thinking);
	cn_buf_done(&c->tools);
	cn_arena_done(&c->arena);
}

/* ---- feeding ---- */

struct feeder {
	struct cn_splice *splice;
	struct cn_arena arena;
	const char *bad;
	bool commit; /* as soon as it is proved */
};

static bool on_backend_event(void *self, const struct cn_sse_event *sse)
{
	struct feeder *f = self;
	struct cn_event ev;

	if (sse->comment)
		return true;
	if (cn_anthropic_decode(&f->arena, sse->name, sse->data, &ev, NULL))
		f->bad = "undecodable";
	else
		f->bad = cn_splice_feed(f->splice, &ev, 1000);
	if (!f->bad && f->commit && !cn_splice_committed(f->splice) &&
	    cn_splice_proved(f->splice, 1000))
		cn_splice_commit(f->splice);
	return !f->bad;
}

static const char *feed(struct feeder *f, struct cn_view bytes)
{
	struct cn_sse s;

	cn_sse_init(&s, on_backend_event, f);
	/* Stopped by us or not: f->bad says. */
	if (cn_sse_feed(&s, bytes, 1, NULL) && !f->bad)
		f->bad = "unreadable";
	cn_sse_done(&s);
	return f->bad;
}

static struct cn_splice_opts opts_with(const char *tools)
{
	return (struct cn_splice_opts){.message_id = CN_VIEW("msg_ours"),
	                               .model = CN_VIEW("claude-asked"),
	                               .tools = cn_json_root(cn_view_str(tools)),
	                               .hold_thinking_ms = 20000,
	                               .charge = &charge};
}

#define CN_TOOLS \
	"[{\"name\":\"Read\",\"input_schema\":{\"type\":\"object\",\"required\":[\"path\"]}}]"
#define CN_E(name, json) "event: " name "\ndata: " json "\n\n"
#define CN_START                                                                           \
	CN_E("message_start", "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_b\"," \
	                      "\"role\":\"assistant\",\"model\":\"m\",\"content\":[],"     \
	                      "\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}")
#define CN_TEXT0                                              \
	CN_E("content_block_start",                           \
	     "{\"type\":\"content_block_start\",\"index\":0," \
	     "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}")
#define CN_HELLO                                                        \
	CN_E("content_block_delta",                                     \
	     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":" \
	     "{\"type\":\"text_delta\",\"text\":\"Hello\"}}")
#define CN_STOP0 CN_E("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}")
#define CN_TOOL1                                                                       \
	CN_E("content_block_start", "{\"type\":\"content_block_start\",\"index\":1,"   \
	                            "\"content_block\":{\"type\":\"tool_use\",\"id\":" \
	                            "\"t:1\",\"name\":\"Read\",\"input\":{}}}")
#define CN_INPUT1(json)                                                 \
	CN_E("content_block_delta",                                     \
	     "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":" \
	     "{\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"}}")
#define CN_STOP1 CN_E("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":1}")
#define CN_END(reason)                                                          \
	CN_E("message_delta",                                                   \
	     "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason \
	     "\"},\"usage\":{\"output_tokens\":7}}")                            \
	CN_E("message_stop", "{\"type\":\"message_stop\"}")

static void nothing_is_given_before_the_commit(void **state)
{
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {.splice = cn_splice_new(&o)};

	(void)state;
	cn_splice_begin(f.splice, &author);
	assert_null(feed(&f, cn_view_str(CN_START CN_TEXT0)));
	assert_false(cn_splice_proved(f.splice, 1000));
	assert_null(feed(&f, cn_view_str(CN_HELLO)));
	assert_true(cn_splice_proved(f.splice, 1000));
	assert_int_equal(cn_splice_out(f.splice)->n, 0);
	cn_splice_drop(f.splice);
	assert_false(cn_splice_proved(f.splice, 1000));
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
	assert_int_equal(charge.used, 0);
}

static void run(const char *stream, struct seen *c, bool finish)
{
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {.splice = cn_splice_new(&o), .commit = true};

	*c = (struct seen){0};
	cn_splice_begin(f.splice, &author);
	c->wrong = feed(&f, cn_view_str(stream));
	if (finish && !c->wrong) {
		if (!cn_splice_committed(f.splice))
			cn_splice_commit(f.splice);
		cn_splice_finish(f.splice);
	}
	seen_read(c, cn_buf_view(cn_splice_out(f.splice)));
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
	assert_int_equal(charge.used, 0);
}

static void tool_calls_are_held_until_whole(void **state)
{
	struct seen c;

	(void)state;
	run(CN_START CN_TEXT0 CN_HELLO CN_STOP0 CN_TOOL1 CN_INPUT1("{\\\"pa"), &c, false);
	assert_null(c.wrong);
	assert_int_equal(c.blocks, 1);
	seen_done(&c);
	run(CN_START CN_TEXT0 CN_HELLO CN_STOP0 CN_TOOL1 CN_INPUT1("{\\\"pa")
	        CN_INPUT1("th\\\":1}") CN_STOP1 CN_END("end_turn"),
	    &c, true);
	assert_null(c.wrong);
	assert_string_equal(cn_buf_cstr(&c.tools), ")Read({\"path\":1})");
	assert_string_equal(c.stop_reason, "tool_use");
	assert_int_equal(c.output, 7);
	assert_true(c.stopped);
	seen_done(&c);
}

static void calls_that_do_not_check_are_malformed(void **state)
{
	static const char *const inputs[] = {
	    CN_INPUT1("{\\\"path\\\":"),
	    CN_INPUT1("{\\\"other\\\":1}"),
	    CN_INPUT1("[]"),
	    "",
	};
	struct seen c;

	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		char stream[4000];

		snprintf(stream, sizeof(stream), "%s%s%s", CN_START CN_TOOL1, inputs[i],
		         CN_STOP1 CN_END("tool_use"));
		run(stream, &c, false);
		assert_string_equal(c.wrong, "a tool call that does not check");
		seen_done(&c);
	}
}

/* Closed, it would count as a call, and the client would make it. */
static void a_live_call_that_broke_stays_open(void **state)
{
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {.commit = true};
	struct seen c = {0};

	(void)state;
	o.tool_calls_live = true;
	f.splice = cn_splice_new(&o);
	cn_splice_begin(f.splice, &author);
	assert_string_equal(feed(&f, cn_view_str(CN_START CN_TOOL1 CN_INPUT1(
					 "{\\\"other\\\":1}") CN_STOP1 CN_END("tool_use"))),
	                    "a tool call that does not check");
	assert_int_equal(cn_splice_fate(f.splice), CN_FATE_FAIL);
	assert_false(cn_splice_called(f.splice));
	cn_splice_fail(f.splice, CN_VIEW("overloaded_error"), CN_VIEW("x"), CN_VIEW("req"));
	seen_read(&c, cn_buf_view(cn_splice_out(f.splice)));
	assert_null(c.wrong);
	assert_true(c.open);
	assert_true(c.error);
	seen_done(&c);
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
	assert_int_equal(charge.used, 0);
}

/* An answer that ended and was gone on from all the same: may the turn end as it did? */
static bool deliverable_after(const char *first, const char *second, struct seen *c)
{
	static const struct cn_author other = {"b/m", "b#k/m", 0};
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {.commit = true};
	bool may;

	*c = (struct seen){0};
	o.tool_calls_live = true;
	f.splice = cn_splice_new(&o);
	cn_splice_begin(f.splice, &author);
	assert_null(feed(&f, cn_view_str(first)));
	assert_int_equal(cn_splice_fate(f.splice), CN_FATE_END);
	assert_true(cn_splice_deliverable(f.splice));
	assert_true(cn_splice_continue(f.splice, &other, CN_RESUME_ASKED));
	assert_null(feed(&f, cn_view_str(second)));
	may = cn_splice_deliverable(f.splice);
	if (may) {
		cn_splice_deliver(f.splice);
		cn_splice_finish(f.splice);
	}
	seen_read(c, cn_buf_view(cn_splice_out(f.splice)));
	assert_null(c->wrong);
	assert_int_equal(c->stopped, may);
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
	assert_int_equal(charge.used, 0);
	return may;
}

/* Closed, it would count as a call, whatever an earlier attempt ended with. */
static void an_earlier_end_does_not_close_a_call(void **state)
{
	struct seen c;

	(void)state;
	assert_false(
	    deliverable_after(CN_START CN_TEXT0 CN_HELLO CN_STOP0 CN_END("end_turn"),
	                      CN_START CN_TOOL1 CN_INPUT1("{\\\"pa"), &c));
	assert_true(c.open);
	seen_done(&c);
}

static void an_end_that_lacks_its_last_event_is_one(void **state)
{
	struct seen c;

	(void)state;
	assert_true(deliverable_after(
	    CN_START CN_TEXT0 CN_HELLO CN_STOP0 CN_E(
		"message_delta", "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
				 "\"max_tokens\"},\"usage\":{\"output_tokens\":7}}"),
	    CN_START, &c));
	assert_string_equal(c.stop_reason, "max_tokens");
	seen_done(&c);
}

#define CN_TEXT(i)                                                 \
	CN_E("content_block_start",                                \
	     "{\"type\":\"content_block_start\",\"index\":" #i "," \
	     "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}")
#define CN_SAY(i, text)                                                      \
	CN_E("content_block_delta",                                          \
	     "{\"type\":\"content_block_delta\",\"index\":" #i ",\"delta\":" \
	     "{\"type\":\"text_delta\",\"text\":\"" text "\"}}")

static void a_restart_in_several_blocks_goes_on_in_the_last(void **state)
{
	static const struct cn_author other = {"b/m", "b#k/m", 0};
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {.splice = cn_splice_new(&o), .commit = true};
	struct seen c = {0};

	(void)state;
	cn_splice_begin(f.splice, &author);
	assert_null(feed(&f, cn_view_str(CN_START CN_TEXT(0) CN_SAY(0, "First I will look.")
	                                     CN_STOP0 CN_TEXT(1) CN_SAY(1, "Then I op"))));
	assert_true(cn_splice_continue(f.splice, &other, CN_RESUME_ASKED));
	assert_null(
	    feed(&f, cn_view_str(CN_START CN_TEXT(0) CN_SAY(0, "First I will look.")
	                             CN_STOP0 CN_TEXT(1) CN_SAY(1, "Then I open it.")
	                                 CN_STOP1 CN_END("end_turn"))));
	cn_splice_finish(f.splice);
	seen_read(&c, cn_buf_view(cn_splice_out(f.splice)));
	assert_null(c.wrong);
	assert_int_equal(c.blocks, 2);
	assert_string_equal(cn_buf_cstr(&c.text), "First I will look.Then I open it.");
	seen_done(&c);
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
	assert_int_equal(charge.used, 0);
}

static void a_call_cut_by_the_limit_is_dropped(void **state)
{
	struct seen c;

	(void)state;
	run(CN_START CN_TEXT0 CN_HELLO CN_STOP0 CN_TOOL1 CN_INPUT1("{\\\"pa")
	        CN_STOP1 CN_END("max_tokens"),
	    &c, true);
	assert_null(c.wrong);
	assert_string_equal(c.stop_reason, "max_tokens");
	assert_string_equal(cn_buf_cstr(&c.text), "Hello");
	assert_int_equal(c.blocks, 1);
	seen_done(&c);
}

/* A block that is nothing but its start, as large as the backend likes. */
static const char *feed_redacted(struct feeder *f, size_t n)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_str(&b, "event: content_block_start\ndata: "
	                   "{\"type\":\"content_block_start\",\"index\":0,"
	                   "\"content_block\":{\"type\":\"redacted_thinking\","
	                   "\"data\":\"");
	memset(cn_buf_reserve(&b, n), 'x', n);
	b.n += n;
	cn_buf_add_str(&b, "\"}}\n\n" CN_STOP0);
	return feed(f, cn_buf_view(&b));
}

static void what_a_backend_makes_us_keep_is_charged_and_bounded(void **state)
{
	struct cn_charge small = {.limit = 300000};
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {0};
	const char *bad = NULL;

	(void)state;
	o.charge = &small;
	f.splice = cn_splice_new(&o);
	cn_splice_begin(f.splice, &author);
	assert_null(feed_redacted(&f, 200000));
	assert_in_range(small.used, 200000, 300000);
	/* A failed attempt's bytes stay until the turn ends. */
	cn_splice_drop(f.splice);
	assert_string_equal(feed_redacted(&f, 200000), "the memory budget is used up");
	f.splice = cn_splice_free(f.splice);
	assert_int_equal(small.used, 0);

	f.splice = cn_splice_new(&o);
	cn_splice_begin(f.splice, &author);
	for (size_t i = 0; i < 2000 && !bad; i++)
		bad = feed_redacted(&f, 1);
	assert_string_equal(bad, "more than 1024 blocks");
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
}

static void only_what_is_held_back_has_a_limit(void **state)
{
	static const bool gathers[] = {false, true};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct cn_splice_opts o = opts_with(CN_TOOLS);
		struct feeder f = {0};
		const char *bad;

		o.gathers = gathers[i];
		f.splice = cn_splice_new(&o);
		cn_splice_begin(f.splice, &author);
		bad = feed(&f, cn_view_str(CN_START CN_TEXT0));
		for (size_t n = 0; n <= CN_HELD_MAX + 5 && !bad; n += 5)
			bad = feed(&f, cn_view_str(CN_HELLO));
		assert_int_equal(bad == NULL, gathers[i]);
		cn_splice_free(f.splice);
		cn_arena_done(&f.arena);
	}
}

/* As whole answers come: it is shown with the event that brings it. */
static void one_text_may_be_longer_than_what_is_held(void **state)
{
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {.splice = cn_splice_new(&o), .commit = true};
	CN_AUTO(cn_buf) text = {0};
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA, .delta = CN_DELTA_TEXT};

	(void)state;
	while (text.n <= 2 * CN_HELD_MAX)
		cn_buf_add_str(&text, "All work and no play. ");
	ev.text = cn_buf_view(&text);
	cn_splice_begin(f.splice, &author);
	assert_null(feed(&f, cn_view_str(CN_START CN_TEXT0)));
	assert_null(cn_splice_feed(f.splice, &ev, 1000));
	assert_true(cn_splice_proved(f.splice, 1000));
	cn_splice_commit(f.splice);
	assert_null(cn_splice_feed(f.splice, &ev, 1000));
	assert_true(cn_splice_out(f.splice)->n > 4 * CN_HELD_MAX);
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
}

static void odd_framing_of_blocks_is_levelled(void **state)
{
	static const char *const streams[] = {
	    /* no stop of the text, no message_delta */
	    CN_START CN_TEXT0 CN_HELLO CN_E("message_stop", "{\"type\":\"message_stop\"}"),
	    /* the same start twice, a stop of nothing, an unknown event */
	    CN_START CN_START CN_TEXT0 CN_TEXT0 CN_STOP1 CN_E("news", "{}")
		CN_HELLO CN_STOP0 CN_END("stop"),
	    /* no message_start at all */
	    CN_TEXT0 CN_HELLO CN_STOP0 CN_END(""),
	};
	struct seen c;

	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		run(streams[i], &c, true);
		if (c.wrong)
			fail_msg("stream %zu: %s", i, c.wrong);
		assert_string_equal(cn_buf_cstr(&c.text), "Hello");
		assert_string_equal(c.stop_reason, "end_turn");
		seen_done(&c);
	}
}

static bool is_empty(const char *stream)
{
	struct cn_splice_opts o = opts_with(CN_TOOLS);
	struct feeder f = {.splice = cn_splice_new(&o)};
	bool empty;

	cn_splice_begin(f.splice, &author);
	assert_null(feed(&f, cn_view_str(stream)));
	empty = cn_splice_empty(f.splice);
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
	return empty;
}

static void empty_answers_are_seen(void **state)
{
	(void)state;
	assert_true(is_empty(CN_START CN_TEXT0 CN_STOP0 CN_END("end_turn")));
	/* Some say so of whatever ended them: only a sequence that is named is an end. */
	assert_true(is_empty(CN_START CN_TEXT0 CN_STOP0 CN_END("stop_sequence")));
	assert_false(is_empty(
	    CN_START CN_TEXT0 CN_STOP0
	    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
	    "{\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"END\"},\"usage\":"
	    "{\"output_tokens\":1}}\n\nevent: message_stop\ndata: {\"type\":"
	    "\"message_stop\"}\n\n"));
}

/* ---- every recorded stream ---- */

struct recorded {
	size_t n, broken;
};

static void play(yyjson_val *entry, struct cn_view bytes, struct recorded *total)
{
	yyjson_val *expected = yyjson_obj_get(entry, "expected");
	const char *file = yyjson_get_str(yyjson_obj_get(entry, "file"));
	const char *reason =
	    yyjson_get_str(yyjson_obj_get(expected, "anthropic_stop_reason"));
	CN_AUTO(cn_buf) tools = {0};
	struct cn_splice_opts o;
	struct feeder f = {.commit = true};
	struct seen c = {0};
	yyjson_val *tool;
	size_t i, max;
	/* Two messages in one recording: the expectations merge them, we end with the
	 * first. */
	bool merged = yyjson_obj_get(entry, "note") != NULL;

	/* The recorded calls are valid by definition: every name that occurs is declared.
	 */
	cn_buf_add_char(&tools, '[');
	yyjson_arr_foreach(yyjson_obj_get(expected, "tools"), i, max, tool)
	    cn_buf_printf(&tools, "%s{\"name\":\"%s\"}", i ? "," : "",
	                  yyjson_get_str(yyjson_obj_get(tool, "name")));
	cn_buf_add_char(&tools, ']');
	o = opts_with(cn_buf_cstr(&tools));
	f.splice = cn_splice_new(&o);
	cn_splice_begin(f.splice, &author);
	(void)feed(&f, bytes);
	total->n++;
	if (!f.bad && cn_splice_ended(f.splice)) {
		if (!cn_splice_committed(f.splice))
			cn_splice_commit(f.splice);
		cn_splice_finish(f.splice);
		seen_read(&c, cn_buf_view(cn_splice_out(f.splice)));
		if (c.wrong || !c.stopped)
			fail_msg("%s: what the client gets is wrong: %s", file, c.wrong);
		if (!merged && reason && strcmp(reason, c.stop_reason) != 0)
			fail_msg("%s: stop_reason %s, want %s", file, c.stop_reason,
			         reason);
		if (!merged &&
		    yyjson_get_uint(yyjson_obj_get(expected, "text_bytes")) != c.text.n)
			fail_msg("%s: %zu bytes of text, want %llu", file, c.text.n,
			         (unsigned long long)yyjson_get_uint(
				     yyjson_obj_get(expected, "text_bytes")));
	} else {
		total->broken++;
		/* A stream without an end has no reason either; spliced ones are refused.
		 */
		if (reason && !f.bad)
			fail_msg("%s: not ended", file);
		print_message("not delivered: %s (%s)\n", file, f.bad ? f.bad : "no end");
	}
	seen_done(&c);
	cn_splice_free(f.splice);
	cn_arena_done(&f.arena);
	assert_int_equal(charge.used, 0);
}

static void recorded_streams_come_out_whole(void **state)
{
	const char *shared = getenv("CONTINUO_SHARED");
	struct recorded total = {0};
	char path[900];
	yyjson_doc *doc;
	yyjson_val *entry;
	size_t i, max;

	(void)state;
	snprintf(path, sizeof(path), "%s/fixtures/index.json", shared ? shared : "");
	doc = yyjson_read_file(path, 0, NULL, NULL);
	if (!doc) {
		skip();
		return;
	}
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, entry)
	{
		const char *file = yyjson_get_str(yyjson_obj_get(entry, "file"));
		CN_AUTO(cn_buf) bytes = {0};
		size_t n;
		FILE *in;

		if (strncmp(file, "anthropic-messages/", 19) != 0 || !strstr(file, ".sse"))
			continue;
		snprintf(path, sizeof(path), "%s/fixtures/%s", shared, file);
		in = fopen(path, "rb");
		assert_non_null(in);
		while ((n = fread(cn_buf_reserve(&bytes, 65536), 1, 65536, in)) > 0)
			bytes.n += n;
		fclose(in);
		/* What upstream does at a clean end: the last event's blank line may be
		 * missing. */
		cn_buf_add_str(&bytes, "\n\n");
		play(entry, cn_buf_view(&bytes), &total);
	}
	print_message("%zu recorded streams, %zu not delivered\n", total.n, total.broken);
	assert_true(total.n > 40 && total.broken < total.n / 4);
	yyjson_doc_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_given_before_the_commit),
	    cmocka_unit_test(tool_calls_are_held_until_whole),
	    cmocka_unit_test(calls_that_do_not_check_are_malformed),
	    cmocka_unit_test(a_live_call_that_broke_stays_open),
	    cmocka_unit_test(an_earlier_end_does_not_close_a_call),
	    cmocka_unit_test(an_end_that_lacks_its_last_event_is_one),
	    cmocka_unit_test(a_restart_in_several_blocks_goes_on_in_the_last),
	    cmocka_unit_test(a_call_cut_by_the_limit_is_dropped),
	    cmocka_unit_test(what_a_backend_makes_us_keep_is_charged_and_bounded),
	    cmocka_unit_test(only_what_is_held_back_has_a_limit),
	    cmocka_unit_test(one_text_may_be_longer_than_what_is_held),
	    cmocka_unit_test(odd_framing_of_blocks_is_levelled),
	    cmocka_unit_test(empty_answers_are_seen),
	    cmocka_unit_test(recorded_streams_come_out_whole),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
