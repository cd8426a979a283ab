/*
 * If this fails, what is exported or shown of a session is not what was said: a message
 * twice or never, under the wrong thread, by the wrong model, or able to speak to a
 * terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "continuo/export.h"
#include "continuo/json.h"

/* ---- a store of a few messages ---- */

struct shelf {
	struct cn_arena a;
	struct cn_node nodes[64];
	size_t n;
};

static struct cn_hash plain_hash(void *self, const struct cn_view *views, size_t n)
{
	(void)self;
	return cn_hash_views(views, n);
}

static struct cn_hash keep(struct shelf *s, struct cn_hash parent, const char *message)
{
	struct cn_node *node = &s->nodes[s->n++];
	struct cn_canon canon = {&s->a, CN_VIEW("anna"), plain_hash, NULL};

	assert_int_equal(
	    0, cn_canon_message(&canon, cn_view_str(message), &parent, node, NULL));
	return node->id;
}

static struct cn_hash say(struct shelf *s, struct cn_hash parent, const char *role,
                          const char *text)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_char(&b, '{');
	cn_json_add_text(&b, "role", cn_view_str(role));
	cn_json_add_text(&b, "content", cn_view_str(text));
	cn_buf_add_char(&b, '}');
	return keep(s, parent, cn_buf_cstr(&b));
}

static int on_node(void *self, struct cn_arena *a, const struct cn_hash *id,
                   struct cn_node *ret, struct cn_error *reterr)
{
	const struct shelf *s = self;

	(void)a;
	for (size_t i = 0; i < s->n; i++)
		if (cn_hash_eq(&s->nodes[i].id, id)) {
			*ret = s->nodes[i];
			return 0;
		}
	return cn_fail(reterr, CN_E_NOT_FOUND, "no such message");
}

static struct cn_turn_record turn_of(const char *id, struct cn_hash request,
                                     struct cn_hash answer)
{
	return (struct cn_turn_record){
	    .request_id = cn_view_str(id),
	    .owner = CN_VIEW("anna"),
	    .project = CN_VIEW("p"),
	    .session = CN_VIEW("s-1"),
	    .caller = CN_VIEW("main"),
	    .started_wall_ms = 1795232797000,
	    .took_ms = 2345,
	    .first_byte_ms = 400,
	    .status = 200,
	    .ending = CN_VIEW("ok"),
	    .used = CN_VIEW("kimi/k2"),
	    .stop_reason = CN_VIEW("end_turn"),
	    .request_node = request,
	    .answer_node = answer,
	};
}

static void add(struct cn_export *e, const struct cn_turn_record *t, struct cn_buf *b)
{
	struct cn_error err = {0};

	if (cn_export_turn(e, t, b, &err))
		fail_msg("%s", err.message);
}

/* How often text stands in b. */
static size_t times(const struct cn_buf *b, const char *text)
{
	struct cn_view v = cn_buf_view(b), needle = cn_view_str(text);
	size_t n = 0, at = 0;

	while ((at = cn_view_find(v, needle, at)) != SIZE_MAX) {
		at += needle.n;
		n++;
	}
	return n;
}

static void assert_times(size_t want, const struct cn_buf *b, const char *text)
{
	if (times(b, text) != want)
		fail_msg("want %zu times, got %zu: %s\nin: %.*s", want, times(b, text),
		         text, (int)b->n, b->p);
}

/* Every line an object; "type/thread/role" of each. */
static void outline(struct cn_buf *b, struct cn_buf *ret)
{
	struct cn_view rest = cn_buf_view(b), line;
	CN_AUTO(cn_arena) a = {0};

	while (cn_view_split(&rest, '\n', &line) && line.n) {
		struct cn_json o = cn_json_root(line);
		struct cn_error e = {0};

		if (cn_json_check(line, &e))
			fail_msg("%s: %.*s", e.message, CN_VIEW_ARG(line));
		cn_buf_add_view(ret, cn_json_text(&a, cn_json_get(o, "type")));
		if (cn_json_get(o, "thread").kind == CN_JSON_STRING)
			cn_buf_printf(
			    ret, "/%.*s",
			    CN_VIEW_ARG(cn_json_text(&a, cn_json_get(o, "thread"))));
		if (cn_json_get(o, "role").kind == CN_JSON_STRING)
			cn_buf_printf(
			    ret, "/%.*s",
			    CN_VIEW_ARG(cn_json_text(&a, cn_json_get(o, "role"))));
		if (cn_json_get(o, "note").kind == CN_JSON_STRING)
			cn_buf_printf(
			    ret, "/%.*s",
			    CN_VIEW_ARG(cn_json_text(&a, cn_json_get(o, "note"))));
		if (cn_json_get(o, "answer").kind == CN_JSON_TRUE)
			cn_buf_add_str(ret, "!");
		if (cn_json_get(o, "copy").kind == CN_JSON_TRUE)
			cn_buf_add_str(ret, "=");
		cn_buf_add_char(ret, ' ');
	}
}

static const struct cn_hash NONE = {{0}};

/* ---- JSON lines ---- */

static void every_message_stands_once_and_in_order(void **state)
{
	struct shelf s = {.n = 0};
	struct cn_hash u1 = say(&s, NONE, "user", "one");
	struct cn_hash a1 = say(&s, u1, "assistant", "first answer");
	/* The client sends the answer back in other clothes. */
	struct cn_hash c1 = keep(&s, u1,
	                         "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
	                         "\"text\":\"first answer\",\"citations\":null}]}");
	struct cn_hash u2 = say(&s, c1, "user", "two");
	struct cn_hash a2 = say(&s, u2, "assistant", "second answer");
	struct cn_hash u3 = say(&s, a2, "user", "three"); /* word for word this time */
	struct cn_turn_record t[] = {turn_of("req_1", u1, a1), turn_of("req_2", u2, a2),
	                             turn_of("req_3", u3, NONE)};
	struct cn_export *e = cn_export_new(CN_EXPORT_JSONL, on_node, &s);
	CN_AUTO(cn_buf) b = {0};
	CN_AUTO(cn_buf) got = {0};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		add(e, &t[i], &b);
	outline(&b, &got);
	assert_string_equal("session message/main/user message/main/assistant! turn/main "
	                    "message/main/user message/main/assistant! turn/main "
	                    "message/main/user turn/main ",
	                    cn_buf_cstr(&got));
	assert_times(1, &b, "\"first answer\"");
	assert_times(1, &b, "\"second answer\"");
	assert_times(1, &b,
	             "\"model\":\"kimi/k2\",\"role\":\"assistant\","
	             "\"content\":[{\"text\":\"second");
	e = cn_export_free(e);
	cn_arena_done(&s.a);
}

static void threads_are_kept_apart(void **state)
{
	struct shelf s = {.n = 0};
	struct cn_hash u = say(&s, NONE, "user", "same words");
	struct cn_hash a = say(&s, u, "assistant", "main answer");
	struct cn_hash b1 = say(&s, u, "assistant", "agent answer");
	struct cn_turn_record t[] = {turn_of("req_1", u, a), turn_of("req_2", u, b1),
	                             turn_of("req_3", u, NONE), turn_of("req_4", u, a)};
	struct cn_export *e = cn_export_new(CN_EXPORT_JSONL, on_node, &s);
	CN_AUTO(cn_buf) b = {0};
	CN_AUTO(cn_buf) got = {0};

	(void)state;
	t[1].agent = CN_VIEW("a01");
	t[2].caller = CN_VIEW("side");
	for (size_t i = 0; i < 4; i++)
		add(e, &t[i], &b);
	outline(&b, &got);
	/* The last one is the first again, as after a lost answer. */
	assert_string_equal("session message/main/user message/main/assistant! turn/main "
	                    "message/a01/user message/a01/assistant! turn/a01 "
	                    "message/side/user turn/side "
	                    "message/main/assistant! turn/main ",
	                    cn_buf_cstr(&got));
	e = cn_export_free(e);
	cn_arena_done(&s.a);
}

static void going_back_and_starting_anew_are_told(void **state)
{
	struct shelf s = {.n = 0};
	struct cn_hash u1 = say(&s, NONE, "user", "one");
	struct cn_hash a1 = say(&s, u1, "assistant", "whole answer");
	struct cn_hash cut = say(&s, u1, "assistant", "whole");
	struct cn_hash u2 = say(&s, cut, "user", "go on"); /* the client kept a part */
	struct cn_hash a2 = say(&s, u2, "assistant", "more");
	struct cn_hash back = say(&s, a1, "user", "rather this");
	struct cn_hash anew = say(&s, NONE, "user", "a summary");
	struct cn_hash lost = say(&s, (struct cn_hash){{9}}, "user", "after a gap");
	struct cn_turn_record t[] = {turn_of("1", u1, a1), turn_of("2", u2, a2),
	                             turn_of("3", back, NONE), turn_of("4", anew, NONE),
	                             turn_of("5", lost, NONE)};
	struct cn_export *e = cn_export_new(CN_EXPORT_JSONL, on_node, &s);
	CN_AUTO(cn_buf) b = {0};
	CN_AUTO(cn_buf) got = {0};

	(void)state;
	for (size_t i = 0; i < 5; i++)
		add(e, &t[i], &b);
	outline(&b, &got);
	assert_string_equal("session message/main/user message/main/assistant! turn/main "
	                    "message/main/assistant= message/main/user "
	                    "message/main/assistant! turn/main "
	                    "note/main/rewound message/main/user turn/main "
	                    "note/main/replaced message/main/user turn/main "
	                    "note/main/incomplete message/main/user turn/main ",
	                    cn_buf_cstr(&got));
	e = cn_export_free(e);
	cn_arena_done(&s.a);
}

static void system_and_tools_stand_when_they_change(void **state)
{
	struct shelf s = {.n = 0};
	struct cn_hash u = say(&s, NONE, "user", "one");
	struct cn_hash p1 = keep(&s, NONE, "{\"system\":[1],\"tools\":[]}");
	struct cn_hash p2 = keep(&s, NONE, "{\"system\":[2],\"tools\":[]}");
	struct cn_turn_record t = turn_of("1", u, NONE);
	struct cn_export *e = cn_export_new(CN_EXPORT_JSONL, on_node, &s);
	CN_AUTO(cn_buf) b = {0};

	(void)state;
	t.prefix_node = p1;
	add(e, &t, &b);
	add(e, &t, &b);
	assert_times(1, &b, "\"type\":\"prefix\"");
	t.prefix_node = p2;
	add(e, &t, &b);
	assert_times(2, &b, "\"type\":\"prefix\"");
	assert_times(1, &b, "\"system\":[2]");
	e = cn_export_free(e);
	cn_arena_done(&s.a);
}

static void a_long_session_costs_what_it_holds(void **state)
{
	struct shelf *s = cn_zalloc(sizeof(*s));
	struct cn_export *e = cn_export_new(CN_EXPORT_JSONL, on_node, s);
	CN_AUTO(cn_buf) b = {0};
	struct cn_hash last = NONE;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct cn_hash u = say(s, last, "user", "u"),
			       a = say(s, u, "assistant", "a");
		struct cn_turn_record t = turn_of("r", u, a);

		add(e, &t, &b);
		last = a;
	}
	assert_times(40, &b, "\"type\":\"message\"");
	e = cn_export_free(e);
	cn_arena_done(&s->a);
	free(s);
}

/* ---- for people ---- */

static void people_see_who_said_what_and_what_failed(void **state)
{
	struct shelf s = {.n = 0};
	struct cn_hash u = say(&s, NONE, "user", "do it\nnow");
	struct cn_hash a = keep(
	    &s, u,
	    "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},"
	    "{\"type\":\"text\",\"text\":\"I read.\"},{\"type\":\"tool_use\",\"id\":\"t1\","
	    "\"name\":\"Read\",\"input\":{\"path\":\"x\"}}]}");
	struct cn_hash r = keep(
	    &s, a,
	    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\","
	    "\"is_error\":true,\"content\":\"no ```` such file\"},{\"type\":\"image\"}]}");
	struct cn_attempt_record attempts[] = {{.backend = CN_VIEW("anthropic"),
	                                        .model = CN_VIEW("opus"),
	                                        .class = CN_VIEW("overloaded"),
	                                        .http_status = 529,
	                                        .reason = CN_VIEW("overloaded_error"),
	                                        .took_ms = 250},
	                                       {.backend = CN_VIEW("kimi"),
	                                        .model = CN_VIEW("k2"),
	                                        .class = CN_VIEW("ok"),
	                                        .http_status = 200,
	                                        .took_ms = 2000}};
	struct cn_block_record blocks[] = {{.index = 0, .model = CN_VIEW("anthropic/opus")},
	                                   {.index = 1, .model = CN_VIEW("kimi/k2")},
	                                   {.index = 2, .model = CN_VIEW("kimi/k2")}};
	struct cn_turn_record t[] = {turn_of("1", u, a), turn_of("2", r, NONE)};
	static const struct {
		enum cn_export_form form;
		const char *const text[16];
	} cases[] = {
	    {CN_EXPORT_TRANSCRIPT,
	     {"2026-11-21 03:46:37 user\n    do it\n    now\n",
	      "assistant kimi/k2 (2.3 s, first byte after 400 ms, 12 tokens in, 34 out, "
	      "end_turn)\n",
	      "    anthropic/opus: overloaded (HTTP 529), overloaded_error, after 250 ms\n"
	      "    kimi/k2: ok, after 2.0 s\n",
	      "    by anthropic/opus\n    (thinking)\n    hm\n    by kimi/k2\n    I read.\n",
	      "    → Read\n    {\"path\":\"x\"}\n", "← failed t1\n    no ```` such file\n",
	      "! the client was told: all is lost\n"}},
	    {CN_EXPORT_MARKDOWN,
	     {"# Session s-1\n\nOwner: anna\n\nProject: p\n\n",
	      "## 2026-11-21 03:46:37 user\n\ndo it\nnow\n\n",
	      "- anthropic/opus: overloaded (HTTP 529), overloaded_error, after 250 ms\n",
	      "→ Read\n\n```json\n{\"path\":\"x\"}\n```\n\n",
	      "`````\nno ```` such file\n`````\n"}},
	};

	(void)state;
	t[0].attempts = attempts;
	t[0].n_attempts = 2;
	t[0].blocks = blocks;
	t[0].n_blocks = 3;
	t[0].usage = (struct cn_usage){12, 34, 0, 0, true, true, false, false};
	t[1].error = CN_VIEW("all is lost");
	for (size_t i = 0; i < 2; i++) {
		struct cn_export *e = cn_export_new(cases[i].form, on_node, &s);
		CN_AUTO(cn_buf) b = {0};

		add(e, &t[0], &b);
		add(e, &t[1], &b);
		for (size_t k = 0; cases[i].text[k]; k++)
			assert_times(1, &b, cases[i].text[k]);
		e = cn_export_free(e);
	}
	cn_arena_done(&s.a);
}

/*
 * A text of three pieces: the mark stands between the bytes that it parts.  A block is
 * found by its index, not by its place among the records.
 */
static void where_another_went_on_is_marked(void **state)
{
	struct shelf s = {.n = 0};
	struct cn_hash u = say(&s, NONE, "user", "do it");
	struct cn_hash a = keep(
	    &s, u,
	    "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},"
	    "{\"type\":\"text\",\"text\":\"One twö three four\"},{\"type\":"
	    "\"tool_use\",\"id\":\"t1\",\"name\":\"Read\",\"input\":{}}]}");
	struct cn_block_record blocks[] = {
	    {.index = 0, .model = CN_VIEW("a/one"), .bytes = 2},
	    {.index = 1, .model = CN_VIEW("a/one"), .bytes = 6},
	    {.index = 1, .model = CN_VIEW("b/two"), .bytes = 8, .joint = CN_VIEW("exact")},
	    {.index = 1, .model = CN_VIEW("c/three"), .bytes = 5, .joint = CN_VIEW("none")},
	    {.index = 2, .model = CN_VIEW("c/three"), .bytes = 2},
	};
	struct cn_turn_record t = turn_of("1", u, a);
	static const struct {
		enum cn_export_form form;
		uint64_t third; /* bytes recorded of the third piece */
		const char *const text[8];
	} cases[] = {
	    {CN_EXPORT_TRANSCRIPT,
	     5,
	     {"    by a/one\n    (thinking)\n    hm\n    One tw\n    — b/two goes on here —\n"
	      "    ö three\n    — c/three goes on here —\n     four\n    → Read\n"}},
	    {CN_EXPORT_MARKDOWN,
	     5,
	     {"by a/one\n\n(thinking)\n\n",
	      "One tw\n\n— b/two goes on here —\n\nö three\n\n"
	      "— c/three goes on here —\n\n four\n\n→ Read\n\n"}},
	    {CN_EXPORT_JSONL,
	     5,
	     {"\"pieces\":[{\"block\":0,\"model\":\"a/one\",\"bytes\":2},"
	      "{\"block\":1,\"model\":\"a/one\",\"bytes\":6},"
	      "{\"block\":1,\"model\":\"b/two\",\"bytes\":8,\"joint\":\"exact\"},"
	      "{\"block\":1,\"model\":\"c/three\",\"bytes\":5,\"joint\":\"none\"},"
	      "{\"block\":2,\"model\":\"c/three\",\"bytes\":2}]"}},
	    /* Records that do not fit the text: all of it stands there, unparted. */
	    {CN_EXPORT_TRANSCRIPT,
	     6,
	     {"    — b/two goes on in this —\n    — c/three goes on in this —\n"
	      "    One twö three four\n"}},
	    {CN_EXPORT_TRANSCRIPT, UINT64_MAX - 5, {"    One twö three four\n"}},
	    /* One that said nothing did not go on. */
	    {CN_EXPORT_TRANSCRIPT, 0, {"goes on in this", "    One twö three four\n"}},
	};

	(void)state;
	t.blocks = blocks;
	t.n_blocks = 5;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cn_export *e = cn_export_new(cases[i].form, on_node, &s);
		CN_AUTO(cn_buf) b = {0};

		blocks[3].bytes = cases[i].third;
		add(e, &t, &b);
		for (size_t k = 0; cases[i].text[k]; k++)
			assert_times(1, &b, cases[i].text[k]);
		e = cn_export_free(e);
	}
	cn_arena_done(&s.a);
}

/* The same model may go on itself; an answer of one piece has no marks. */
static void marks_stand_only_where_somebody_went_on(void **state)
{
	struct shelf s = {.n = 0};
	struct cn_hash u = say(&s, NONE, "user", "do it");
	struct cn_hash a = say(&s, u, "assistant", "One two");
	struct cn_block_record blocks[] = {
	    {.model = CN_VIEW("a/one"), .bytes = 4},
	    {.model = CN_VIEW("a/one"), .bytes = 3, .joint = CN_VIEW("exact")}};
	struct cn_turn_record t = turn_of("1", u, a);
	static const struct {
		enum cn_export_form form;
		size_t pieces;
		const char *text;
		size_t times;
	} cases[] = {
	    {CN_EXPORT_TRANSCRIPT, 2, "    One \n    — a/one goes on here —\n    two\n", 1},
	    {CN_EXPORT_TRANSCRIPT, 2, "by a/one", 0},
	    {CN_EXPORT_TRANSCRIPT, 1, "    One two\n", 1},
	    {CN_EXPORT_TRANSCRIPT, 1, "—", 0},
	    {CN_EXPORT_JSONL, 2, "\"pieces\"", 1},
	    {CN_EXPORT_JSONL, 1, "\"pieces\"", 0},
	};

	(void)state;
	t.blocks = blocks;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cn_export *e = cn_export_new(cases[i].form, on_node, &s);
		CN_AUTO(cn_buf) b = {0};

		t.n_blocks = cases[i].pieces;
		add(e, &t, &b);
		assert_times(cases[i].times, &b, cases[i].text);
		e = cn_export_free(e);
	}
	cn_arena_done(&s.a);
}

static void nothing_speaks_to_the_terminal(void **state)
{
	static const enum cn_export_form forms[] = {CN_EXPORT_JSONL, CN_EXPORT_MARKDOWN,
	                                            CN_EXPORT_TRANSCRIPT};
	static const char evil[] = "\x1b]0;x\x07\x9b\xc2\x9bz\r\x7f";
	struct shelf s = {.n = 0};
	struct cn_hash u = say(&s, NONE, "user", evil);
	struct cn_hash a = keep(
	    &s, u,
	    "{\"role\":\"\\u001brole\",\"content\":[{\"type\":\"tool_use\",\"name\":"
	    "\"\\u001b[1m\",\"input\":{\"k\":\"\\u001b\"}},{\"type\":\"text\",\"text\":"
	    "\"\\u001bbc\"},{\"type\":\"\\u001bt\"},"
	    "{\"type\":\"tool_result\",\"tool_use_id\":\"\\u009b\",\"content\":"
	    "\"\\u001b\"}]}");
	struct cn_attempt_record attempt = {.backend = cn_view_str(evil),
	                                    .class = cn_view_str(evil),
	                                    .reason = cn_view_str(evil)};
	struct cn_block_record blocks[] = {
	    {.model = cn_view_str(evil)},
	    {.index = 1, .model = cn_view_str(evil), .bytes = 1},
	    {.index = 1,
	     .model = cn_view_str(evil),
	     .bytes = 2,
	     .joint = cn_view_str(evil)},
	};
	struct cn_turn_record t = turn_of(evil, u, a);

	(void)state;
	t.session = t.owner = t.project = t.agent = t.error = t.used = t.stop_reason =
	    cn_view_str(evil);
	t.attempts = &attempt;
	t.n_attempts = 1;
	t.blocks = blocks;
	t.n_blocks = 3;
	for (size_t i = 0; i < 3; i++) {
		struct cn_export *e = cn_export_new(forms[i], on_node, &s);
		CN_AUTO(cn_buf) b = {0};

		add(e, &t, &b);
		for (size_t k = 0; k < b.n; k++)
			if (((unsigned char)b.p[k] < 0x20 && b.p[k] != '\n') ||
			    (forms[i] != CN_EXPORT_JSONL && b.p[k] == 0x7f))
				fail_msg("form %zu: byte %#x at %zu", i, b.p[k], k);
		if (forms[i] != CN_EXPORT_JSONL)
			assert_times(0, &b, "\xc2\x9b");
		e = cn_export_free(e);
	}
	cn_arena_done(&s.a);
}

static void long_results_are_cut_for_reading_only(void **state)
{
	struct shelf s = {.n = 0};
	CN_AUTO(cn_buf) m = {0};
	CN_AUTO(cn_buf) shown = {0};
	CN_AUTO(cn_buf) kept = {0};
	struct cn_turn_record t;
	struct cn_export *e;

	(void)state;
	cn_buf_add_str(&m, "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
	                   "\"tool_use_id\":\"t\",\"content\":\"");
	for (unsigned i = 0; i < 5000; i++)
		cn_buf_add_str(&m, "\xc3\xa9");
	cn_buf_add_str(&m, "\"}]}");
	t = turn_of("1", keep(&s, NONE, cn_buf_cstr(&m)), NONE);
	e = cn_export_new(CN_EXPORT_TRANSCRIPT, on_node, &s);
	add(e, &t, &shown);
	e = cn_export_free(e);
	e = cn_export_new(CN_EXPORT_MARKDOWN, on_node, &s);
	add(e, &t, &kept);
	e = cn_export_free(e);
	assert_times(1000, &shown, "\xc3\xa9");
	assert_times(1, &shown, "… 8000 bytes more");
	assert_times(5000, &kept, "\xc3\xa9");
	cn_arena_done(&s.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_message_stands_once_and_in_order),
	    cmocka_unit_test(threads_are_kept_apart),
	    cmocka_unit_test(going_back_and_starting_anew_are_told),
	    cmocka_unit_test(system_and_tools_stand_when_they_change),
	    cmocka_unit_test(a_long_session_costs_what_it_holds),
	    cmocka_unit_test(people_see_who_said_what_and_what_failed),
	    cmocka_unit_test(where_another_went_on_is_marked),
	    cmocka_unit_test(marks_stand_only_where_somebody_went_on),
	    cmocka_unit_test(nothing_speaks_to_the_terminal),
	    cmocka_unit_test(long_results_are_cut_for_reading_only),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
