/* Answers out of nothing but a seed: as mixed as models' are, and as awkward. */
#include "answer.h"

#include "continuo/json.h"

#include <stdio.h>

static const char *const words[] = {
    "the",
    "file",
    "is",
    "read",
    "once",
    "and",
    "then",
    "I",
    "will",
    "look",
    "at",
    "each",
    "row",
    "of",
    "table",
    "a",
    "number",
    "that",
    "grows",
    "by",
    "one",
    "first",
    "last",
    "nothing",
    "client",
    "server",
    "between",
    "answer",
    "question",
    "boat",
    "f\xc3\xbcr",
    "\303\234bung",
    "na\xc3\xafve",
    "\xe2\x80\x9chere\xe2\x80\x9d",
    "it\xe2\x80\x99s",
    "'so'",
    "\"quoted\"",
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
    "\xf0\x9f\x9a\xa3",
    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xa7",
    "x\xc2\xa0y",
    "don't",
    "`code`",
    "**bold**",
    "a\\b",
    "</tag>",
    "\xc2\xabso\xc2\xbb",
    "\xe2\x80\xa6",
};

static const char *const spaces[] = {
    " ",  " ",  " ",  " ",  " ",    " ",        ", ", ". ",  ".\n",  ".\n\n",
    ": ", "\n", "\t", "  ", " \n ", "\xc2\xa0", "? ", " - ", "\r\n", "\n\n\n",
};

static void add_word(struct cn_buf *b, struct dice *d)
{
	cn_buf_add_str(b, words[dice_below(d, sizeof(words) / sizeof(words[0]))]);
}

static void add_prose(struct cn_buf *b, struct dice *d, size_t bytes)
{
	size_t end = b->n + bytes;

	while (b->n < end) {
		add_word(b, d);
		cn_buf_add_str(b,
		               spaces[dice_below(d, sizeof(spaces) / sizeof(spaces[0]))]);
	}
}

static void add_code(struct cn_buf *b, struct dice *d, size_t bytes)
{
	size_t end = b->n + bytes;

	cn_buf_add_str(b, dice_percent(d, 50) ? "```c\n" : "```\n");
	while (b->n < end) {
		for (size_t i = dice_below(d, 4); i; i--)
			cn_buf_add_str(b, dice_percent(d, 50) ? "\t" : "    ");
		cn_buf_printf(b, "x%zu = f(\"", dice_below(d, 1000));
		add_word(b, d);
		cn_buf_add_str(b, "\");\n");
	}
	cn_buf_add_str(b, "```\n");
}

/* Rows that differ in little: an anchor may stand in several. */
static void add_rows(struct cn_buf *b, struct dice *d, size_t bytes)
{
	size_t end = b->n + bytes, long_rows = dice_below(d, 2);

	for (unsigned i = 1; b->n < end; i++) {
		cn_buf_printf(b, "| row %u | ok | the same as in the row before", i * 7);
		if (long_rows)
			cn_buf_add_str(b, ", as far as anybody can say today");
		cn_buf_add_str(b, " |\n");
	}
}

static void add_short(struct cn_buf *b, struct dice *d)
{
	static const char *const texts[] = {
	    "I",
	    "OK",
	    " ",
	    "\n",
	    "\n\n",
	    "Yes.",
	    "\xf0\x9f\x91\x8d",
	    "\xe2\x80\x9c",
	    "Continuing: the rest.",
	    "```",
	    "a b",
	    "\t",
	    " x",
	    "x ",
	    "\xc2\xa0",
	    "42",
	    "\"",
	    "la la la la",
	};

	cn_buf_add_str(b, texts[dice_below(d, sizeof(texts) / sizeof(texts[0]))]);
}

struct cn_view answer_make_text(struct cn_arena *a, struct dice *d)
{
	CN_AUTO(cn_buf) b = {0};
	size_t bytes = dice_percent(d, 20) ? 2500 : 300;

	if (dice_percent(d, 10))
		add_short(&b, d);
	if (dice_percent(d, 10))
		cn_buf_add_str(&b, dice_percent(d, 50) ? "\n\n" : "  ");
	if (b.n == 0 || dice_percent(d, 30)) {
		for (size_t i = 1 + dice_below(d, 3); i; i--) {
			if (dice_percent(d, 20))
				add_code(&b, d, dice_below(d, bytes));
			else if (dice_percent(d, 15))
				add_rows(&b, d, dice_below(d, bytes));
			else
				add_prose(&b, d, 1 + dice_below(d, bytes));
		}
	}
	if (dice_percent(d, 15))
		cn_buf_add_str(&b, "And now the rest:\n\n");
	return cn_arena_view(a, cn_buf_view(&b));
}

struct cn_view answer_make_more(struct cn_arena *a, struct dice *d)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_printf(&b, " more%u ", (unsigned)dice_below(d, 100000));
	add_prose(&b, d, 1 + dice_below(d, 200));
	cn_buf_add_str(&b, "end.");
	return cn_arena_view(a, cn_buf_view(&b));
}

void answer_make_call(struct cn_arena *a, struct dice *d, struct answer *to)
{
	struct answer_part *part = answer_add(to, CN_BLOCK_TOOL_USE);
	CN_AUTO(cn_buf) in = {0}, path = {0};
	bool writes = dice_percent(d, 50);

	cn_buf_printf(&path, "/tmp/%llx ", (unsigned long long)dice_next(d));
	add_word(&path, d);
	cn_buf_add_char(&in, '{');
	cn_json_add_text(&in, "path", cn_buf_view(&path));
	if (writes)
		cn_json_add_text(&in, "content", answer_make_text(a, d));
	cn_buf_add_char(&in, '}');
	part->name = writes ? CN_VIEW("Write") : CN_VIEW("Read");
	part->body = cn_arena_view(a, cn_buf_view(&in));
	/* Some count from 0 in every answer, some use what no client takes. */
	part->id = dice_percent(d, 20) ? CN_VIEW("call_0")
	           : dice_percent(d, 10)
	               ? CN_VIEW("functions.Read:0")
	               : cn_view_str(cn_arena_printf(a, "toolu_%llx",
	                                             (unsigned long long)dice_next(d)));
}

static void make_thinking(struct cn_arena *a, struct dice *d, struct answer *to)
{
	struct answer_part *part;

	if (dice_percent(d, 15)) {
		(void)answer_add(to, CN_BLOCK_REDACTED_THINKING);
		return;
	}
	part = answer_add(to, CN_BLOCK_THINKING);
	part->body = answer_make_text(a, d);
	if (dice_percent(d, 70))
		part->signature = CN_VIEW("RXJyb3IgaXMgbm90IHRydWUu");
}

void answer_make(struct cn_arena *a, struct dice *d, struct answer *ret)
{
	size_t texts = dice_percent(d, 20) ? 2 : 1, calls = 0;

	*ret = (struct answer){.input = 1 + dice_below(d, 5000),
	                       .output = 1 + dice_below(d, 5000)};
	for (size_t i = 0; i < texts; i++) {
		if (dice_percent(d, 25))
			make_thinking(a, d, ret);
		if (!dice_percent(d, 5))
			answer_add(ret, CN_BLOCK_TEXT)->body = answer_make_text(a, d);
	}
	if (dice_percent(d, 45))
		calls = dice_percent(d, 50) ? 1 : 2 + dice_below(d, 3);
	for (size_t i = 0; i < calls; i++)
		answer_make_call(a, d, ret);
	ret->stop_reason = calls                ? CN_VIEW("tool_use")
	                   : dice_percent(d, 5) ? CN_VIEW("max_tokens")
	                                        : CN_VIEW("end_turn");
}
