/*
 * Any text, cut into any deltas, gives the same blocks: thoughts between tags, calls in the
 * words of every family, stop sequences.  The first byte says the family, the second what
 * else is known, the third whether it comes as thinking.
 */
#include "continuo/dialect.h"
#include "continuo/hash.h"

struct run {
	struct cn_buf got;
};

/* Deltas of one block are one: where they are cut must not matter. */
static bool on_event(void *self, const struct cn_event *ev)
{
	struct run *r = self;

	if (ev->kind == CN_EV_BLOCK_DELTA) {
		cn_buf_add_view(&r->got, ev->text);
		return true;
	}
	if (ev->kind == CN_EV_PROGRESS)
		return true;
	cn_buf_printf(&r->got, "\n%d.%zu.%d ", (int)ev->kind, ev->index, (int)ev->block);
	cn_buf_add_view(&r->got, ev->name);
	cn_buf_add_view(&r->got, ev->stop_reason);
	cn_buf_add_view(&r->got, ev->stop_sequence);
	return ev->kind != CN_EV_ERROR && ev->kind != CN_EV_MESSAGE_STOP;
}

static struct cn_decode_hints hints_of(unsigned format, unsigned flags)
{
	static const char *const formats[] = {
	    NULL,          "hermes",  "glm",           "kimi-k2",     "kimi-k3",
	    "qwen3-coder", "minimax", "anthropic-xml", "deepseek-v3", "deepseek-dsml",
	    "llama3",      "llama4",  "mistral",       "gpt-oss"};
	struct cn_decode_hints hints = {
	    .tools = cn_json_root(
		CN_VIEW("[{\"name\":\"A\",\"input_schema\":{\"properties\":{\"n\":{"
	                "\"type\":\"integer\"}}}},{\"name\":\"get_b\"}]")),
	    .tool_format = formats[format % (sizeof(formats) / sizeof(formats[0]))],
	    .thinking = !(flags & 2)};

	if (flags & 4)
		hints.quirks = cn_quirk_bit(CN_QUIRK_THINK_TAGS);
	if (flags & 8)
		hints.stop_sequences =
		    cn_json_root(CN_VIEW("[\"aab\",\"}\",\"abaab\",\"\\u00e9\"]"));
	return hints;
}

/* A text as deltas of at most step bytes, between characters. */
static void feed(struct cn_view head, struct cn_view text, size_t step, struct cn_buf *ret)
{
	struct cn_decode_hints hints =
	    hints_of((unsigned char)head.p[0], (unsigned char)head.p[1]);
	const char *member = head.p[2] & 1 ? "reasoning" : "content";
	struct cn_view none = {NULL, 0};
	struct cn_arena arena = {0};
	struct run r = {0};
	struct cn_decoder *d =
	    cn_decoder_new(cn_dialect_of(CN_WIRE_OPENAI_CHAT), &hints, on_event, &r);
	bool bad = false;

	while (text.n && !bad) {
		size_t n = step < text.n ? step : text.n;
		CN_AUTO(cn_buf) b = {0};

		while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
			n++;
		cn_buf_printf(&b, "{\"choices\":[{\"delta\":{\"%s\":", member);
		cn_json_add_string(&b, cn_view_cut(text, n));
		cn_buf_add_str(&b, "}}]}");
		bad = cn_decoder_event(d, &arena, none, cn_buf_view(&b), NULL) != 0;
		text = cn_view_from(text, n);
		cn_arena_done(&arena);
	}
	bad = bad ||
	      cn_decoder_event(
		  d, &arena, none,
		  head.p[2] & 2 ? CN_VIEW("{\"choices\":[{\"finish_reason\":\"length\"}]}")
				: CN_VIEW("{\"choices\":[{\"finish_reason\":\"stop\"}]}"),
		  NULL) != 0;
	bad = bad || cn_decoder_event(d, &arena, none, CN_VIEW("[DONE]"), NULL) != 0;
	if (bad)
		cn_buf_add_str(&r.got, "\nbad");
	d = cn_decoder_free(d);
	cn_arena_done(&arena);
	*ret = r.got;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	CN_AUTO(cn_buf) whole = {0}, single = {0}, odd = {0}, quoted = {0};
	struct cn_arena arena = {0};
	struct cn_view head, text;

	if (n < 3)
		return 0;
	head = cn_view((const char *)p, 3);
	/* What JSON makes of bytes that are no characters is decided once. */
	cn_json_add_string(&quoted, cn_view((const char *)p + 3, n - 3));
	text = cn_json_text(&arena, cn_json_root(cn_buf_view(&quoted)));
	feed(head, text, text.n, &whole);
	feed(head, text, 1, &single);
	feed(head, text, 5, &odd);
	cn_assert(cn_view_eq(cn_buf_view(&whole), cn_buf_view(&single)));
	cn_assert(cn_view_eq(cn_buf_view(&whole), cn_buf_view(&odd)));
	cn_arena_done(&arena);
	return 0;
}
