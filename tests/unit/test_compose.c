/*
 * What the composer makes of an answer beside calls in its text: thoughts between tags,
 * thoughts that must go back as they came, stop sequences, one call at a time, names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "continuo/hash.h"

#include "../lib/answer_ear.h"

#define COMPLAIN(...) (print_error(__VA_ARGS__), 1u)

static const struct cn_decode_hints thinks = {.thinking = true};

/* A text in pieces of step bytes, and what it comes to. */
static void hear_text(struct ear *e, const char *text, size_t step,
                      const struct cn_decode_hints *hints)
{
	struct cn_view rest = cn_view_str(text);
	CN_AUTO(cn_buf) b = {0};

	while (rest.n) {
		size_t n = step < rest.n ? step : rest.n;

		while (n < rest.n && ((unsigned char)rest.p[n] & 0xc0) == 0x80)
			n++;
		cn_buf_add_str(&b, "data: {\"choices\":[{\"delta\":{\"content\":");
		cn_json_add_string(&b, cn_view_cut(rest, n));
		cn_buf_add_str(&b, "}}]}\n\n");
		rest = cn_view_from(rest, n);
	}
	cn_buf_add_str(&b, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"
	                   "data: [DONE]\n\n");
	ear_hear(e, CN_WIRE_OPENAI_CHAT, cn_buf_view(&b), true, 4096, hints);
}

static unsigned check_text(const char *text, const struct cn_decode_hints *hints,
                           const char *says)
{
	static const size_t steps[] = {1, 2, 3, 7, 100000};
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0};

		hear_text(&e, text, steps[i], hints);
		ear_say(&e, &got);
		if (e.wrong || !cn_view_is(cn_buf_view(&got), says))
			wrong +=
			    COMPLAIN("%s in steps of %zu: %s; got %.*s, expected %s\n",
			             text, steps[i], e.wrong ? e.wrong : "other events",
			             CN_VIEW_ARG(cn_buf_view(&got)), says);
	}
	return wrong;
}

/* ---- thoughts ---- */

static void thoughts_between_tags_are_taken_out(void **state)
{
	struct cn_decode_hints lost = {.thinking = true,
	                               .quirks = cn_quirk_bit(CN_QUIRK_THINK_TAGS)},
			       unasked = {.quirks = cn_quirk_bit(CN_QUIRK_THINK_TAGS)},
			       always = {.quirks = cn_quirk_bit(CN_QUIRK_THINK_TAGS) |
	                                           cn_quirk_bit(CN_QUIRK_ALWAYS_THINKS)};
	unsigned wrong = 0;

	(void)state;
	wrong += check_text("<thought>t</thought>\n\na", &thinks, "t|a|end_turn");
	wrong += check_text("<thinking>t</thinking>a", &thinks, "t|a|end_turn");
	wrong += check_text("t</think>\na", &thinks, "|t</think>\na|end_turn");
	/* where the prompt's template opened it */
	wrong += check_text("t < u</think>\na", &lost, "t < u|a|end_turn");
	wrong += check_text("<think>t</think>a </think>", &lost, "t|a </think>|end_turn");
	wrong += check_text("only text", &lost, "|only text|end_turn");
	/* not asked for */
	wrong += check_text("<think>t</think>a", &unasked, "|a|end_turn");
	wrong += check_text("t</think>a", &unasked, "|t</think>a|end_turn");
	wrong += check_text("t</think>a", &always, "|a|end_turn");
	assert_int_equal(wrong, 0);
}

static void thinking_nobody_asked_for_is_a_sign_of_life(void **state)
{
	static const char *const deltas[] = {
	    "{\"reasoning_content\":\"t\"}",
	    "{\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":\"x\"}]}",
	    "{\"content\":\"a\"}", "=stop", NULL};
	CN_AUTO(ear) e = {0};
	CN_AUTO(cn_buf) got = {0};

	(void)state;
	ear_hear_deltas(&e, deltas, NULL);
	ear_say(&e, &got);
	assert_true(cn_view_is(cn_buf_view(&got), "|a|end_turn"));
	assert_int_equal(e.n_blocks, 1);
	/* The first one is in message_start. */
	assert_int_equal(e.lives, 1);
}

static const struct {
	const char *name, *deltas[6], *says, *signature, *data;
} carried[] = {
    {"a text in pieces, its signature last",
     {"{\"reasoning\":\"ab\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"ab\","
      "\"format\":\"f\",\"index\":0,\"signature\":null}]}",
      "{\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"c\",\"index\":0}]}",
      "{\"reasoning_details\":[{\"type\":\"reasoning.text\",\"signature\":\"s\",\"index\":0}]}",
      "{\"content\":\"x\"}", "=stop"},
     "abc|x|end_turn",
     "{\"format\":\"f\",\"type\":\"reasoning.text\",\"signature\":\"s\",\"index\":0}",
     ""},
    {"nothing to carry",
     {"{\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"t\",\"index\":0}]}",
      "{\"content\":\"x\"}", "=stop"},
     "t|x|end_turn",
     "",
     ""},
    {"several, one block each",
     {"{\"reasoning_details\":[{\"type\":\"reasoning.summary\",\"summary\":\"t\",\"id\":\"1\"},"
      "{\"type\":\"reasoning.summary\",\"summary\":\"u\",\"id\":\"2\"},"
      "{\"type\":\"reasoning.encrypted\",\"data\":\"d\"}]}",
      "{\"content\":\"x\"}", "=stop"},
     "tu|x|end_turn",
     "{\"type\":\"reasoning.summary\",\"id\":\"1\"}{\"type\":\"reasoning.summary\",\"id\":\"2\"}",
     "{\"type\":\"reasoning.encrypted\",\"data\":\"d\"}\n"},
    {"what stands beside a call",
     {"{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"extra_content\":{\"google\":{\"t\":\"s\"}},"
      "\"function\":{\"name\":\"A\",\"arguments\":\"{}\"}}]}",
      "=tool_calls"},
     "||A({})|tool_use",
     "",
     "{\"extra_content\":{\"google\":{\"t\":\"s\"}}}\n"},
};

static void thoughts_go_back_as_they_came(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(carried) / sizeof(carried[0]); i++) {
		CN_AUTO(ear) e = {0};
		CN_AUTO(cn_buf) got = {0};

		ear_hear_deltas(&e, carried[i].deltas, &thinks);
		ear_say(&e, &got);
		assert_null(e.wrong);
		assert_string_equal(cn_buf_cstr(&got), carried[i].says);
		assert_string_equal(cn_buf_cstr(&e.signature), carried[i].signature);
		assert_string_equal(cn_buf_cstr(&e.data), carried[i].data);
	}
}

/* ---- stop sequences ---- */

static void text_ends_before_a_stop_sequence(void **state)
{
	struct cn_decode_hints hints = {
	    .stop_sequences = cn_json_root(
		CN_VIEW("[\"1\",\"2\",\"3\",\"4\",\"aab\",\"bcd\",\"\\u00e9!\",\"\",7]"))};
	unsigned wrong = 0;

	(void)state;
	wrong += check_text("xaaab", &hints, "|xa|stop_sequence");
	wrong += check_text("aab", &hints, "||stop_sequence");
	wrong += check_text("aaaa", &hints, "|aaaa|end_turn");
	wrong += check_text("aabcd", &hints, "||stop_sequence");
	wrong += check_text("abcd", &hints, "|a|stop_sequence");
	wrong += check_text("é? é!", &hints, "|é? |stop_sequence");
	wrong += check_text("so 4 more", &hints, "|so |stop_sequence");
	wrong += check_text("<think>aab</think>x", &hints, "|x|end_turn");
	assert_int_equal(wrong, 0);
}

static void the_sequence_is_named(void **state)
{
	struct cn_decode_hints hints = {.stop_sequences =
	                                    cn_json_root(CN_VIEW("[\"END\",\"THE END\"]"))};
	CN_AUTO(ear) e = {0};

	(void)state;
	hear_text(&e, "it is THE END of", 3, &hints);
	assert_true(cn_view_is(cn_buf_view(&e.text), "it is "));
	assert_true(cn_view_is(cn_buf_view(&e.stop_sequence), "THE END"));
	assert_true(cn_decoder_cut_short(e.decoder));
}

/* A text that keeps many long sequences going costs no more than any other. */
static void long_sequences_cost_little(void **state)
{
	CN_AUTO(cn_buf) stops = {0}, text = {0};
	CN_AUTO(ear) e = {0};
	struct cn_decode_hints hints = {.thinking = true};

	(void)state;
	cn_buf_add_char(&stops, '[');
	for (size_t i = 0; i < 200; i++) {
		cn_buf_add_str(&stops, i ? ",\"" : "\"");
		for (size_t k = 0; k < 900; k++)
			cn_buf_add_char(&stops, 'a');
		cn_buf_printf(&stops, "%zu\"", i);
	}
	cn_buf_add_char(&stops, ']');
	hints.stop_sequences = cn_json_root(cn_buf_view(&stops));
	for (size_t k = 0; k < 100000; k++)
		cn_buf_add_char(&text, 'a');
	hear_text(&e, cn_buf_cstr(&text), 1000, &hints);
	assert_int_equal(e.text.n, 100000);
	assert_true(cn_view_is(cn_buf_view(&e.stop_reason), "end_turn"));
}

/* ---- calls ---- */

static void one_call_at_a_time_is_the_first(void **state)
{
	static const char *const deltas[] = {
	    "{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"A\","
	    "\"arguments\":\"{}\"}},{\"index\":1,\"id\":\"d\",\"function\":{\"name\":\"B\","
	    "\"arguments\":\"{\"}}]}",
	    "{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"}\"}}]}",
	    "=tool_calls", NULL};
	struct cn_decode_hints hints = {.one_call = true};
	CN_AUTO(ear) e = {0};
	CN_AUTO(cn_buf) got = {0};

	(void)state;
	ear_hear_deltas(&e, deltas, &hints);
	ear_say(&e, &got);
	assert_null(e.wrong);
	assert_string_equal(cn_buf_cstr(&got), "||A({})|tool_use");
}

#define LONG "mcp__a_server_with_a_long_name__a_tool_with_a_name_that_is_longer_still"

/* The name as it goes out: cut, and a hash of it behind. */
static void add_short(struct cn_buf *b, const char *name)
{
	struct cn_view whole = cn_view_str(name);
	struct cn_hash hash = cn_hash_bytes(whole);

	cn_buf_add_view(b, cn_view_cut(whole, 55));
	cn_buf_add_char(b, '_');
	cn_hex(b, hash.b, 4);
}

static void names_are_those_of_the_request(void **state)
{
	static const struct {
		const char *sent, *meant;
	} names[] = {
	    {"bash", "Bash"},
	    {"Bash<|channel|>commentary", "Bash"},
	    {NULL, LONG}, /* as it goes out */
	    {"other", "other"},
	};
	struct cn_decode_hints hints = {
	    .tools =
		cn_json_root(CN_VIEW("[{\"name\":\"Bash\"},{\"name\":\"" LONG "\"}]"))};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CN_AUTO(cn_buf) delta = {0};
		const char *deltas[] = {NULL, "=tool_calls", NULL};
		CN_AUTO(ear) e = {0};

		cn_buf_add_str(&delta, "{\"tool_calls\":[{\"index\":0,\"id\":\"c\","
		                       "\"function\":{\"name\":\"");
		if (names[i].sent)
			cn_buf_add_str(&delta, names[i].sent);
		else
			add_short(&delta, names[i].meant);
		cn_buf_add_str(&delta, "\",\"arguments\":\"{}\"}}]}");
		deltas[0] = cn_buf_cstr(&delta);
		ear_hear_deltas(&e, deltas, &hints);
		assert_int_equal(e.n_tools, 1);
		assert_string_equal(cn_buf_cstr(&e.tools[0].name), names[i].meant);
	}
}

static void figures_that_cannot_be_are_none(void **state)
{
	static const char *const deltas[] = {
	    "{\"content\":\"12345678\"}", "=stop",
	    "!{\"choices\":[],\"usage\":{\"prompt_tokens\":99999999999,"
	    "\"completion_tokens\":99999999999}}",
	    NULL};
	struct cn_decode_hints hints = {.input_estimate = 70};
	CN_AUTO(ear) e = {0};

	(void)state;
	ear_hear_deltas(&e, deltas, &hints);
	assert_int_equal(e.usage.input, 70);
	assert_int_equal(e.usage.output, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(thoughts_between_tags_are_taken_out),
	    cmocka_unit_test(thinking_nobody_asked_for_is_a_sign_of_life),
	    cmocka_unit_test(thoughts_go_back_as_they_came),
	    cmocka_unit_test(text_ends_before_a_stop_sequence),
	    cmocka_unit_test(the_sequence_is_named),
	    cmocka_unit_test(long_sequences_cost_little),
	    cmocka_unit_test(one_call_at_a_time_is_the_first),
	    cmocka_unit_test(names_are_those_of_the_request),
	    cmocka_unit_test(figures_that_cannot_be_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
