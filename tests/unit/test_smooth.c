/*
 * Text in an even flow.  If this fails, the client sees bursts, waits for what is there, or
 * gets text that is not what the model wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "continuo/anthropic.h"
#include "continuo/smooth.h"
#include "continuo/sse.h"

#define START 5000 /* the clock's first reading */

static struct cn_charge charge = {.limit = (size_t)1 << 30};

/* ---- what the splice would write ---- */

static void add_delta(struct cn_buf *b, size_t index, enum cn_delta_type type,
                      struct cn_view text)
{
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA, .delta = type, .text = text};

	cn_anthropic_add_delta(b, index, &ev);
}

static void add_words(struct cn_buf *b, size_t bytes)
{
	CN_AUTO(cn_buf) text = {0};

	for (size_t i = 0; text.n < bytes; i++)
		cn_buf_printf(&text, "word%zu of many ", i);
	cn_buf_truncate(&text, bytes);
	add_delta(b, 0, CN_DELTA_TEXT, cn_buf_view(&text));
}

/* ---- the client ---- */

struct seen {
	struct cn_buf text, all; /* all: every event in short */
	size_t pieces, largest, last_piece;
	struct cn_arena arena;
};

static bool on_event(void *self, const struct cn_sse_event *sse)
{
	struct seen *c = self;
	struct cn_event ev;

	if (sse->comment) {
		cn_buf_add_str(&c->all, "#");
		return true;
	}
	assert_int_equal(cn_anthropic_decode(&c->arena, sse->name, sse->data, &ev, NULL),
	                 0);
	switch (ev.kind) {
	case CN_EV_BLOCK_START:
		cn_buf_printf(&c->all, "<%zu", ev.index);
		break;
	case CN_EV_BLOCK_STOP:
		cn_buf_printf(&c->all, "%zu>", ev.index);
		break;
	case CN_EV_BLOCK_DELTA:
		if (ev.delta == CN_DELTA_TEXT || ev.delta == CN_DELTA_THINKING) {
			/* JSON that is written and read again: only valid UTF-8 stays. */
			cn_buf_add_view(&c->text, ev.text);
			cn_buf_add_char(&c->all, ev.delta == CN_DELTA_TEXT ? 't' : 'h');
			c->pieces++;
			c->last_piece = ev.text.n;
			if (ev.text.n > c->largest)
				c->largest = ev.text.n;
		} else {
			cn_buf_add_char(&c->all, 'd');
		}
		break;
	default:
		cn_buf_add_char(&c->all, '.');
		break;
	}
	return true;
}

static void look(struct seen *c, struct cn_buf *out)
{
	struct cn_sse s;

	cn_sse_init(&s, on_event, c);
	assert_int_equal(cn_sse_feed(&s, cn_buf_view(out), 1, NULL), 0);
	assert_false(cn_sse_pending(&s));
	cn_sse_done(&s);
	cn_buf_clear(out);
}

static void seen_done(struct seen *c)
{
	cn_buf_done(&c->text);
	cn_buf_done(&c->all);
	cn_arena_done(&c->arena);
}

/* ---- cutting ---- */

static void text_is_cut_at_words_and_characters(void **state)
{
#define FAMILY "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7" /* two joined */
#define FLAG   "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa"
	static const struct {
		const char *text;
		size_t want, cut;
	} rows[] = {
	    {"", 5, 0},
	    {"short", 5, 5},
	    {"short", 100, 5},
	    {"one two three four", 5, 4},
	    {"one two three four", 8, 8},
	    {"one two three four", 9, 8},
	    {"one two three four", 1, 4},
	    {"one\ntwo", 2, 4},
	    /* a word too long to wait for: behind the last one, or within */
	    {"aaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 8, 5},
	    {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 8, 32},
	    /* 'e' with an accent of its own, a family, a flag, CR LF */
	    {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbe\xcc\x81"
	     "bbbb",
	     8, 34},
	    {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" FAMILY "bb", 8, 42},
	    {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" FLAG "bb", 8, 39},
	    {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\nbb", 8, 33},
	    {"\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd"
	     "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd",
	     8, 33},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t cut = cn_smooth_cut(cn_view_str(rows[i].text), rows[i].want);

		if (cut != rows[i].cut)
			fail_msg("row %zu: %zu", i, cut);
	}
}

/* Whatever the bytes, pieces make progress and add up. */
static void any_bytes_are_cut_and_add_up(void **state)
{
	char text[300];
	unsigned dice = 1;

	(void)state;
	for (size_t round = 0; round < 2000; round++) {
		struct cn_view v = {text, round % sizeof(text)};

		for (size_t i = 0; i < v.n; i++) {
			static const char some[] =
			    "a b\n\xcc\x81\xf0\x9f\x87\xa9\xe2\x80\x8d\xff";

			dice = dice * 1103515245u + 12345u;
			text[i] = some[(dice >> 16) % (sizeof(some) - 1)];
		}
		while (v.n) {
			size_t n = cn_smooth_cut(v, 1 + round % 40);

			assert_in_range(n, 1, v.n);
			v = cn_view_from(v, n);
		}
		assert_int_equal(cn_smooth_cut(v, 9), 0);
	}
}

/* ---- time ---- */

static void a_burst_flows_evenly_and_in_time(void **state)
{
	struct cn_smooth *s = cn_smooth_new(&charge);
	CN_AUTO(cn_buf) in = {0};
	CN_AUTO(cn_buf) out = {0};
	struct seen c = {0};
	uint64_t now = START;

	(void)state;
	add_words(&in, 6000);
	cn_smooth_feed(s, cn_buf_view(&in), now, &out);
	look(&c, &out);
	/* The first words at once. */
	assert_int_equal(c.pieces, 1);
	while (cn_smooth_next_at(s) != UINT64_MAX) {
		assert_true(cn_smooth_next_at(s) > now);
		now = cn_smooth_next_at(s);
		assert_true(now <= START + CN_SMOOTH_DELAY_MS + CN_SMOOTH_TICK_MS);
		cn_smooth_take(s, now, &out);
		look(&c, &out);
	}
	assert_int_equal(c.text.n, 6000);
	assert_in_range(c.pieces, 20, 27);
	assert_true(c.largest < 400);
	assert_int_equal(
	    cn_view_find(cn_buf_view(&c.text), CN_VIEW("word100 of many word101"), 0),
	    cn_view_find(cn_buf_view(&c.text), CN_VIEW("word100 "), 0));
	cn_smooth_free(s);
	seen_done(&c);
	assert_int_equal(charge.used, 0);
}

/* Burst upon burst: nothing is later than a second behind the backend, a timer that comes
 * late included, and the flow does not fall behind for good. */
static void nothing_is_later_than_a_second(void **state)
{
	static const struct {
		uint64_t every_ms;
		size_t bytes;
		uint64_t lag_ms; /* of each tick */
	} rows[] = {{250, 1000, 0},  {900, 3000, 0},  {40, 500, 0},
	            {3000, 8000, 0}, {250, 1000, 35}, {1, 200, 7}};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct cn_smooth *s = cn_smooth_new(&charge);
		CN_AUTO(cn_buf) out = {0};
		struct seen c = {0};
		size_t bursts = 0, by_then = 0;
		uint64_t now = START;

		while (bursts < 20 || cn_smooth_next_at(s) != UINT64_MAX) {
			uint64_t burst =
			    bursts < 20 ? START + bursts * rows[row].every_ms : UINT64_MAX;
			uint64_t tick = cn_smooth_next_at(s);

			if (tick != UINT64_MAX)
				tick += rows[row].lag_ms;
			now = burst < tick ? burst : tick;
			if (now == burst) {
				CN_AUTO(cn_buf) in = {0};

				add_words(&in, rows[row].bytes);
				cn_smooth_feed(s, cn_buf_view(&in), now, &out);
				bursts++;
			} else {
				cn_smooth_take(s, now, &out);
			}
			look(&c, &out);
			/* What came a second ago is out. */
			by_then = 0;
			for (size_t i = 0; i < bursts; i++)
				if (START + i * rows[row].every_ms + CN_SMOOTH_DELAY_MS +
				        CN_SMOOTH_TICK_MS + rows[row].lag_ms <
				    now)
					by_then += rows[row].bytes;
			if (c.text.n < by_then)
				fail_msg("row %zu, at %llu: %zu of %zu", row,
				         (unsigned long long)(now - START), c.text.n,
				         by_then);
		}
		assert_int_equal(c.text.n, 20 * rows[row].bytes);
		cn_smooth_free(s);
		seen_done(&c);
	}
	assert_int_equal(charge.used, 0);
}

/* What is told in small pieces anyway is never held, and no timer runs for it. */
static void small_pieces_pass(void **state)
{
	struct cn_smooth *s = cn_smooth_new(&charge);
	CN_AUTO(cn_buf) out = {0};
	struct seen c = {0};

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		CN_AUTO(cn_buf) in = {0};

		add_words(&in, 40);
		cn_smooth_feed(s, cn_buf_view(&in), START + i, &out);
		assert_true(cn_view_eq(cn_buf_view(&in), cn_buf_view(&out)));
		assert_true(cn_smooth_next_at(s) == UINT64_MAX);
		look(&c, &out);
	}
	assert_int_equal(c.pieces, 100);
	assert_true(cn_smooth_next_at(NULL) == UINT64_MAX);
	cn_smooth_free(s);
	seen_done(&c);
}

/* ---- order ---- */

static void add_call(struct cn_buf *b, size_t index)
{
	struct cn_event start = {.kind = CN_EV_BLOCK_START,
	                         .block = CN_BLOCK_TOOL_USE,
	                         .name = CN_VIEW("Read"),
	                         .id = CN_VIEW("toolu_1")};

	cn_anthropic_add_block_start(b, index, &start, start.id);
	add_delta(b, index, CN_DELTA_INPUT_JSON, CN_VIEW("{}"));
	cn_anthropic_add_block_stop(b, index);
}

static void what_follows_a_text_waits_for_it(void **state)
{
	struct cn_event start = {.kind = CN_EV_BLOCK_START, .block = CN_BLOCK_TEXT};
	struct cn_smooth *s = cn_smooth_new(&charge);
	CN_AUTO(cn_buf) in = {0};
	CN_AUTO(cn_buf) out = {0};
	struct seen c = {0};
	uint64_t now = START;
	bool called = false;

	(void)state;
	cn_anthropic_add_block_start(&in, 0, &start, CN_VIEW(""));
	add_words(&in, 400);
	add_words(&in, 400);
	cn_anthropic_add_block_stop(&in, 0);
	cn_sse_add_comment(&in, CN_VIEW("x-model-used b/m"));
	add_call(&in, 1);
	cn_smooth_feed(s, cn_buf_view(&in), now, &out);
	look(&c, &out);
	while (cn_smooth_next_at(s) != UINT64_MAX) {
		assert_true(c.text.n < 800);
		assert_false(called);
		now = cn_smooth_next_at(s);
		cn_smooth_take(s, now, &out);
		look(&c, &out);
		called = cn_view_find(cn_buf_view(&c.all), CN_VIEW("d"), 0) != SIZE_MAX;
	}
	assert_true(now <= START + 400);
	assert_int_equal(c.text.n, 800);
	assert_true(cn_view_starts(cn_buf_view(&c.all), CN_VIEW("<0ttt")));
	assert_true(cn_view_ends(cn_buf_view(&c.all), CN_VIEW("tt0>#<1d1>")));
	cn_smooth_free(s);
	seen_done(&c);
	assert_int_equal(charge.used, 0);
}

static void thinking_flows_too_and_signatures_stand_behind_it(void **state)
{
	struct cn_smooth *s = cn_smooth_new(&charge);
	CN_AUTO(cn_buf) in = {0};
	CN_AUTO(cn_buf) out = {0};
	CN_AUTO(cn_buf) words = {0};
	struct seen c = {0};

	(void)state;
	for (size_t i = 0; i < 100; i++)
		cn_buf_add_str(&words, "\xc3\xa4"
		                       "bc ");
	add_delta(&in, 0, CN_DELTA_THINKING, cn_buf_view(&words));
	add_delta(&in, 0, CN_DELTA_SIGNATURE, CN_VIEW("sig"));
	cn_smooth_feed(s, cn_buf_view(&in), START, &out);
	look(&c, &out);
	assert_string_equal(cn_buf_cstr(&c.all), "h");
	cn_smooth_flush(s, &out);
	look(&c, &out);
	assert_string_equal(cn_buf_cstr(&c.all), "hhd");
	assert_true(cn_view_eq(cn_buf_view(&c.text), cn_buf_view(&words)));
	cn_smooth_free(s);
	seen_done(&c);
}

/* Members that we do not know cannot be cut. */
static void deltas_with_more_than_text_stay_whole(void **state)
{
	struct cn_smooth *s = cn_smooth_new(&charge);
	CN_AUTO(cn_buf) in = {0};
	CN_AUTO(cn_buf) out = {0};
	char event[2000], words[1000];

	(void)state;
	memset(words, 'x', sizeof(words));
	(void)snprintf(event, sizeof(event),
	               "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	               "\"text_delta\",\"text\":\"%.900s\",\"logprobs\":[]}}",
	               words);
	cn_sse_add(&in, "content_block_delta", cn_view_str(event));
	cn_smooth_feed(s, cn_buf_view(&in), START, &out);
	assert_true(cn_view_eq(cn_buf_view(&in), cn_buf_view(&out)));
	assert_true(cn_smooth_next_at(s) == UINT64_MAX);
	cn_smooth_free(s);
}

/* ---- memory ---- */

static void what_is_held_is_bounded_and_charged(void **state)
{
	struct cn_charge small = {.limit = 5000};
	struct cn_smooth *s = cn_smooth_new(&charge);
	CN_AUTO(cn_buf) in = {0};
	CN_AUTO(cn_buf) out = {0};
	struct seen c = {0};

	(void)state;
	add_words(&in, 100000);
	cn_smooth_feed(s, cn_buf_view(&in), START, &out);
	assert_in_range(charge.used, 90000, 110000);
	cn_smooth_feed(s, cn_buf_view(&in), START, &out);
	cn_smooth_feed(s, cn_buf_view(&in), START, &out);
	look(&c, &out);
	assert_int_equal(c.text.n, 300000);
	assert_int_equal(charge.used, 0);
	/* It is let go with what it holds. */
	cn_smooth_feed(s, cn_buf_view(&in), START, &out);
	cn_smooth_free(s);
	assert_int_equal(charge.used, 0);
	seen_done(&c);
	/* Out of memory it holds nothing: the text goes as it came. */
	c = (struct seen){0};
	cn_buf_clear(&out);
	s = cn_smooth_new(&small);
	cn_buf_clear(&in);
	add_words(&in, 3000);
	add_words(&in, 3000);
	add_words(&in, 3000);
	cn_smooth_feed(s, cn_buf_view(&in), START, &out);
	cn_smooth_flush(s, &out);
	look(&c, &out);
	assert_int_equal(c.text.n, 9000);
	cn_smooth_free(s);
	seen_done(&c);
	assert_int_equal(small.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_cut_at_words_and_characters),
	    cmocka_unit_test(any_bytes_are_cut_and_add_up),
	    cmocka_unit_test(a_burst_flows_evenly_and_in_time),
	    cmocka_unit_test(nothing_is_later_than_a_second),
	    cmocka_unit_test(small_pieces_pass),
	    cmocka_unit_test(what_follows_a_text_waits_for_it),
	    cmocka_unit_test(thinking_flows_too_and_signatures_stand_behind_it),
	    cmocka_unit_test(deltas_with_more_than_text_stay_whole),
	    cmocka_unit_test(what_is_held_is_bounded_and_charged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
