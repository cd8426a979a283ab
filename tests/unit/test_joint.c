/* If this fails, words are lost or doubled where one model goes on with another's text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "continuo/arena.h"
#include "continuo/joint.h"

static struct cn_charge charge = {.limit = (size_t)1 << 30};

/* given + what the joint lets through of said, fed in pieces of n bytes. */
static enum cn_joint_found join(struct cn_view given, enum cn_joint_how how,
                                struct cn_view said, size_t n, struct cn_buf *ret)
{
	struct cn_joint *j = cn_joint_new(given, how, &charge);
	enum cn_joint_found found;

	assert_non_null(j);
	cn_buf_add_view(ret, given);
	while (said.n) {
		cn_joint_feed(j, cn_view_cut(said, n), ret);
		said = cn_view_from(said, n);
	}
	cn_joint_end(j, ret);
	found = cn_joint_found(j);
	assert_null(cn_joint_free(j));
	assert_int_equal(charge.used, 0);
	return found;
}

static const char *const long_text =
    "First we look at the file that holds the table. It has two columns, a name and a "
    "number; the number counts from one. Each row is read, its number is checked against "
    "the row before, and what does not follow is written to a list of complaints. When the "
    "last row was read the list is shown, longest first. Nothing is changed in the file "
    "itself: a second program does that, once somebody has looked at the list and said "
    "yes. After that the table is read once more, and now the list of complaints has to "
    "be empty, or the whole thing begins again from the top, with a new";

struct joint_case {
	const char *name, *given, *said, *want;
	enum cn_joint_how how;
	enum cn_joint_found found;
};

static const struct joint_case cases[] = {
    {"the anchor, exactly", "So I will open it, then look at the first li",
     "will open it, then look at the first line of it.",
     "So I will open it, then look at the first line of it.", CN_JOINT_ASKED,
     CN_JOINT_EXACT},
    {"other quotes and spaces", "She said \"it's\n done\" and then went aw",
     "She said \xe2\x80\x9cit\xe2\x80\x99s done\xe2\x80\x9d  and then went away.",
     "She said \"it's\n done\" and then went away.", CN_JOINT_ASKED, CN_JOINT_EXACT},
    {"a longer piece of the end",
     "One two three four five. Six seven eight nine ten eleven twelve thirte",
     "Six seven eight nine ten eleven twelve thirteen fourteen.",
     "One two three four five. Six seven eight nine ten eleven twelve thirteen fourteen.",
     CN_JOINT_ASKED, CN_JOINT_TAIL},
    {"a shorter piece of the end",
     "One two three four five. Six seven eight nine ten eleven twelve thirte",
     "eleven twelve thirteen fourteen.",
     "One two three four five. Six seven eight nine ten eleven twelve thirteen fourteen.",
     CN_JOINT_ASKED, CN_JOINT_TAIL},
    {"the whole from the top",
     "One two three four five. Six seven eight nine ten eleven twelve thirte",
     "One two three four five. Six seven eight nine ten eleven twelve thirteen fourteen.",
     "One two three four five. Six seven eight nine ten eleven twelve thirteen fourteen.",
     CN_JOINT_ASKED, CN_JOINT_RESTART},
    {"the whole from the top, behind a line break",
     "\nOne two three four five. Six seven eight nine ten eleven twelve thirte",
     "\nOne two three four five. Six seven eight nine ten eleven twelve thirteen fourteen.",
     "\nOne two three four five. Six seven eight nine ten eleven twelve thirteen fourteen.",
     CN_JOINT_ASKED, CN_JOINT_RESTART},
    {"the whole from the top, twice there already",
     "One two three four five, six seven eight nine ten.\n\nOne two three four five, six "
     "seven eight nine ten.",
     "One two three four five, six seven eight nine ten.\n\nOne two three four five, six "
     "seven eight nine ten. Eleven.",
     "One two three four five, six seven eight nine ten.\n\nOne two three four five, six "
     "seven eight nine ten. Eleven.",
     CN_JOINT_ASKED, CN_JOINT_RESTART},
    {"a longer piece with the anchor's words in it twice",
     "Begin. | row 1 | the same as it was in the row before |\n| row 2 | the same as it was "
     "in the row before",
     "row 1 | the same as it was in the row before |\n| row 2 | the same as it was in the "
     "row before |\n| row 3 | other |",
     "Begin. | row 1 | the same as it was in the row before |\n| row 2 | the same as it was "
     "in the row before |\n| row 3 | other |",
     CN_JOINT_ASKED, CN_JOINT_TAIL},
    {"an introduction before the anchor", "So I will open it, then look at the first li",
     "Continuing from where I stopped:\n\nwill open it, then look at the first line.",
     "So I will open it, then look at the first line.", CN_JOINT_ASKED, CN_JOINT_PREAMBLE},
    {"an introduction and no anchor", "So I will open it, then look at the first li",
     "Continuing:\nnothing like it was said before.",
     "So I will open it, then look at the first li\n\nnothing like it was said before.",
     CN_JOINT_ASKED, CN_JOINT_PREAMBLE},
    {"an introduction before a short anchor", "So I", "Continuing:\n\nSo I will open it.",
     "So I will open it.", CN_JOINT_ASKED, CN_JOINT_PREAMBLE},
    {"the anchor in quotes", "So I will open it, then look at the first li",
     "\"will open it, then look at the first li\"ne of it.",
     "So I will open it, then look at the first line of it.", CN_JOINT_ASKED,
     CN_JOINT_PREAMBLE},
    {"dots before the anchor", "So I will open it, then look at the first li",
     "\xe2\x80\xa6 will open it, then look at the first line of it.",
     "So I will open it, then look at the first line of it.", CN_JOINT_ASKED,
     CN_JOINT_PREAMBLE},
    {"a fence around the anchor", "So I will open it, then look at the first li",
     "```\nwill open it, then look at the first li\n```\nne of it.",
     "So I will open it, then look at the first line of it.", CN_JOINT_ASKED,
     CN_JOINT_PREAMBLE},
    {"a fence opened again", "Code:\n```c\nint main(void)\n{\n\tputs(\"hello wor",
     "```c\nint main(void)\n{\n\tputs(\"hello world\");\n}\n```\n",
     "Code:\n```c\nint main(void)\n{\n\tputs(\"hello world\");\n}\n```\n", CN_JOINT_ASKED,
     CN_JOINT_EXACT},
    {"not what was asked", "So I will open it, then look at the first li",
     "There are three rivers in the east.",
     "So I will open it, then look at the first li\n\nThere are three rivers in the "
     "east.",
     CN_JOINT_ASKED, CN_JOINT_NONE},
    {"a paragraph break that is there already", "One thing is certain about this one.\n\n",
     "There are three rivers.",
     "One thing is certain about this one.\n\nThere are three "
     "rivers.",
     CN_JOINT_ASKED, CN_JOINT_NONE},
    {"nothing but the anchor", "So I will open it, then look at the first li",
     "will open it, then look at the first li",
     "So I will open it, then look at the first li", CN_JOINT_ASKED, CN_JOINT_EXACT},
    {"nothing but the top", "One two three four five. Six seven eight nine ten eleven",
     "One two three four", "One two three four five. Six seven eight nine ten eleven",
     CN_JOINT_ASKED, CN_JOINT_RESTART},
    {"nothing but the anchor's beginning", "So I will open it, then look at the first li",
     "will open", "So I will open it, then look at the first li", CN_JOINT_ASKED,
     CN_JOINT_TAIL},
    {"an introduction and the anchor's beginning",
     "So I will open it, then look at the first li", "Continuing:\nwill open it, then",
     "So I will open it, then look at the first li", CN_JOINT_ASKED, CN_JOINT_TAIL},
    {"a longer piece that breaks off", "So I will open it, then look at the first li",
     "I will open it, then look at the", "So I will open it, then look at the first li",
     CN_JOINT_ASKED, CN_JOINT_TAIL},
    {"nothing at all", "I will", "", "I will", CN_JOINT_ASKED, CN_JOINT_NONE},
    {"one letter", "I", "I will now open it.", "I will now open it.", CN_JOINT_ASKED,
     CN_JOINT_EXACT},
    {"white space at the end, repeated", "The first line:\n\n",
     "The first line:\n\nand the second", "The first line:\n\nand the second",
     CN_JOINT_ASKED, CN_JOINT_EXACT},
    {"white space at the end, swallowed", "The first line is ", "The first line isn't",
     "The first line is n't", CN_JOINT_ASKED, CN_JOINT_EXACT},
    {"white space at the end, less of it", "The first line:\n\n",
     "The first line:\nand the second", "The first line:\n\nand the second", CN_JOINT_ASKED,
     CN_JOINT_EXACT},
    {"white space at the end, more of it", "The first line:\n",
     "The first line:\n\tand the second", "The first line:\n\tand the second",
     CN_JOINT_ASKED, CN_JOINT_EXACT},
    {"nothing but white space", " \n", "Now then.", " \nNow then.", CN_JOINT_ASKED,
     CN_JOINT_EXACT},
    {"characters of many bytes",
     "\xc3\x9c"
     "ber den Fl\xc3\xbcssen f\xc3\xa4hrt ein gr\xc3\xbc",
     "\xc3\x9c"
     "ber den Fl\xc3\xbcssen f\xc3\xa4hrt ein gr\xc3\xbcnes Boot \xf0\x9f\x9a\xa3",
     "\xc3\x9c"
     "ber den Fl\xc3\xbcssen f\xc3\xa4hrt ein gr\xc3\xbcnes Boot \xf0\x9f\x9a\xa3",
     CN_JOINT_ASKED, CN_JOINT_EXACT},
    {"a prefill", "I will now op", "en the file.", "I will now open the file.",
     CN_JOINT_PREFILL, CN_JOINT_EXACT},
    {"a prefill whose space was cut", "I will now ", " open the file.",
     "I will now open the file.", CN_JOINT_PREFILL, CN_JOINT_EXACT},
    {"a prefill whose space is not said again", "I will now ", "open the file.",
     "I will now open the file.", CN_JOINT_PREFILL, CN_JOINT_EXACT},
    {"a prefill that comes back as an echo", "I will now open the file and lo",
     "I will now open the file and look at it.", "I will now open the file and look at it.",
     CN_JOINT_PREFILL, CN_JOINT_RESTART},
    {"a prefill that comes back, behind a line break", "\nI will now open the file and lo",
     "\nI will now open the file and look.", "\nI will now open the file and look.",
     CN_JOINT_PREFILL, CN_JOINT_RESTART},
    {"a prefill that comes back in part",
     "I will now open the file and look at its first line",
     "I will now open the file and look at its",
     "I will now open the file and look at its first line", CN_JOINT_PREFILL,
     CN_JOINT_RESTART},
    {"a prefill that begins like its beginning", "In the end the file was op", "In the end",
     "In the end the file was opIn the end", CN_JOINT_PREFILL, CN_JOINT_EXACT},
};

static void each_way_to_go_on_is_joined(void **state)
{
	static const size_t pieces[] = {1, 2, 3, 7, 50, 100000};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct joint_case *c = &cases[i];

		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			CN_AUTO(cn_buf) got = {0};
			enum cn_joint_found found =
			    join(cn_view_str(c->given), c->how, cn_view_str(c->said),
			         pieces[k], &got);

			if (!cn_view_is(cn_buf_view(&got), c->want) || found != c->found)
				fail_msg("%s, in pieces of %zu:\n got %s '%.*s'\nwant %s "
				         "'%s'",
				         c->name, pieces[k], cn_joint_found_name(found),
				         CN_VIEW_ARG(cn_buf_view(&got)),
				         cn_joint_found_name(c->found), c->want);
		}
	}
}

/* ---- a long answer, cut at every character, continued in each of the ways ---- */

static void check_whole(struct cn_view given, struct cn_view said, size_t piece,
                        struct cn_view want, const char *way)
{
	CN_AUTO(cn_buf) got = {0};

	(void)join(given, CN_JOINT_ASKED, said, piece, &got);
	if (!cn_view_eq(cn_buf_view(&got), want))
		fail_msg("%s, cut at %zu: '%.*s'", way, given.n,
		         CN_VIEW_ARG(cn_buf_view(&got)));
}

static void a_long_answer_is_whole_wherever_it_is_cut(void **state)
{
	CN_AUTO(cn_buf) whole = {0};
	struct cn_view text;

	(void)state;
	cn_buf_add_str(&whole, long_text);
	cn_buf_add_str(&whole,
	               " file.\n\n  - \xc3\xa4pples\n  - \xe2\x80\x9cpears\xe2\x80\x9d\n"
	               "\n```sh\necho 'done' && exit\n```\n\nThat is all.\n");
	text = cn_buf_view(&whole);
	for (size_t at = 1; at < text.n; at++) {
		struct cn_view given = cn_view_cut(text, at), rest = cn_view_from(text, at);
		struct cn_view anchor = cn_joint_anchor(given);
		size_t from = (size_t)(anchor.p - text.p),
		       before = from > 90 ? from - 90 : 0;
		CN_AUTO(cn_buf) intro = {0};

		if (((unsigned char)text.p[at] & 0xc0) == 0x80)
			continue;
		check_whole(given, cn_view_from(text, from), 1 + at % 60, text, "anchor");
		check_whole(given, text, 1 + at % 600, text, "restart");
		while (before && text.p[before - 1] != ' ')
			before--;
		check_whole(given, cn_view_from(text, before), 1 + at % 9, text, "tail");
		if (anchor.n < 12)
			continue;
		cn_buf_add_str(&intro, "Sorry, let me continue:\n\n");
		cn_buf_add_view(&intro, anchor);
		cn_buf_add_view(&intro, cn_joint_trim(given).n < given.n
		                            ? cn_view_from(given, cn_joint_trim(given).n)
		                            : cn_view(NULL, 0));
		cn_buf_add_view(&intro, rest);
		check_whole(given, cn_buf_view(&intro), 1 + at % 33, text, "introduction");
	}
}

/* ---- what takes another course ---- */

static void a_restart_in_other_words_goes_on_at_the_anchor(void **state)
{
	CN_AUTO(cn_buf) said = {0}, got = {0}, want = {0};

	(void)state;
	cn_buf_add(&said, long_text, 460);
	cn_buf_add_str(&said, " in rather different words, which nobody had expected. ");
	cn_buf_add_view(&said, cn_joint_anchor(cn_view_str(long_text)));
	cn_buf_add_str(&said, " broom.");
	assert_int_equal(
	    join(cn_view_str(long_text), CN_JOINT_ASKED, cn_buf_view(&said), 13, &got),
	    CN_JOINT_RESTART);
	cn_buf_add_str(&want, long_text);
	cn_buf_add_str(&want, " broom.");
	assert_string_equal(cn_buf_cstr(&got), cn_buf_cstr(&want));
}

static void a_piece_longer_than_the_window_is_skipped(void **state)
{
	CN_AUTO(cn_buf) got = {0}, want = {0};
	struct cn_view piece;

	(void)state;
	cn_buf_add_str(&want, long_text);
	cn_buf_add_str(&want, " broom.");
	piece = cn_view_from(cn_buf_view(&want), 60);
	assert_true(piece.n > CN_JOINT_WINDOW + 50);
	assert_int_equal(join(cn_view_str(long_text), CN_JOINT_ASKED, piece, 13, &got),
	                 CN_JOINT_TAIL);
	assert_string_equal(cn_buf_cstr(&got), cn_buf_cstr(&want));
}

/* Texts of one answer, each in a block of its own. */
static void a_restart_goes_on_in_the_next_block(void **state)
{
	struct cn_view given = CN_VIEW("First of all I will look.\n\nThen I op");
	struct cn_joint *j = cn_joint_new(given, CN_JOINT_ASKED, &charge);
	CN_AUTO(cn_buf) out = {0};

	(void)state;
	cn_joint_feed(j, CN_VIEW("First of all I will look."), &out);
	cn_joint_end(j, &out);
	assert_true(cn_joint_repeats(j));
	cn_joint_feed(j, CN_VIEW("\n\n"), &out);
	cn_joint_feed(j, CN_VIEW("Then I open it."), &out);
	cn_joint_end(j, &out);
	assert_false(cn_joint_repeats(j));
	assert_string_equal(cn_buf_cstr(&out), "en it.");
	cn_joint_free(j);
}

static void a_restart_that_never_comes_back_is_kept(void **state)
{
	CN_AUTO(cn_buf) said = {0}, got = {0};

	(void)state;
	cn_buf_add(&said, long_text, 460);
	cn_buf_add_str(&said, " XYZ and that is the end of it.");
	assert_int_equal(
	    join(cn_view_str(long_text), CN_JOINT_ASKED, cn_buf_view(&said), 13, &got),
	    CN_JOINT_NONE);
	assert_true(cn_view_starts(cn_buf_view(&got), cn_view_str(long_text)));
	assert_true(
	    cn_view_ends(cn_buf_view(&got), CN_VIEW("\n\nXYZ and that is the end of it.")));
}

static void what_is_hostile_stays_bounded(void **state)
{
	static const char *const again = "will open it, then look at the first li";
	struct cn_view given = CN_VIEW("So I will open it, then look at the first li");
	struct cn_joint *j = cn_joint_new(given, CN_JOINT_ASKED, &charge);
	CN_AUTO(cn_buf) out = {0}, big = {0};
	size_t held = charge.used;

	(void)state;
	/* The anchor without end: its first is cut, the others are the model's own words.
	 */
	for (unsigned i = 0; i < 10000; i++)
		cn_joint_feed(j, cn_view_str(again), &out);
	assert_int_equal(out.n, 9999 * strlen(again));
	assert_int_equal(charge.used, held);
	cn_joint_free(j);
	/* Ten megabytes at once: the window holds no more than its characters. */
	cn_buf_clear(&out);
	memset(cn_buf_reserve(&big, 10000000), ' ', 10000000);
	big.n = 10000000;
	j = cn_joint_new(given, CN_JOINT_ASKED, &charge);
	cn_joint_feed(j, cn_buf_view(&big), &out);
	assert_int_equal(charge.used, held);
	assert_true(out.n > 9000000);
	cn_joint_free(j);
	/* White space behind the anchor, without end. */
	cn_buf_clear(&out);
	j = cn_joint_new(given, CN_JOINT_ASKED, &charge);
	cn_joint_feed(j, cn_view_str(again), &out);
	for (unsigned i = 0; i < 1000; i++)
		cn_joint_feed(j, CN_VIEW(" \n"), &out);
	assert_true(out.n > 1500);
	cn_joint_free(j);
	assert_int_equal(charge.used, 0);
}

static void the_budget_can_refuse(void **state)
{
	struct cn_charge small = {.limit = 1000};

	(void)state;
	assert_null(cn_joint_new(cn_view_str(long_text), CN_JOINT_ASKED, &small));
	assert_int_equal(small.used, 0);
}

static void the_anchor_is_whole_words(void **state)
{
	static const struct {
		const char *given, *anchor;
	} table[] = {
	    {"", ""},
	    {" \n ", ""},
	    {"word", "word"},
	    {"two words \n", "two words"},
	    {"The quick brown fox jumps over the lazy dog and goes home",
	     "jumps over the lazy dog and goes home"},
	    {"x abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
	     "mnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct cn_view got = cn_joint_anchor(cn_view_str(table[i].given));

		if (!cn_view_is(got, table[i].anchor))
			fail_msg("'%s': got '%.*s', want '%s'", table[i].given,
			         CN_VIEW_ARG(got), table[i].anchor);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_way_to_go_on_is_joined),
	    cmocka_unit_test(a_long_answer_is_whole_wherever_it_is_cut),
	    cmocka_unit_test(a_restart_in_other_words_goes_on_at_the_anchor),
	    cmocka_unit_test(a_piece_longer_than_the_window_is_skipped),
	    cmocka_unit_test(a_restart_goes_on_in_the_next_block),
	    cmocka_unit_test(a_restart_that_never_comes_back_is_kept),
	    cmocka_unit_test(what_is_hostile_stays_bounded),
	    cmocka_unit_test(the_budget_can_refuse),
	    cmocka_unit_test(the_anchor_is_whole_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
