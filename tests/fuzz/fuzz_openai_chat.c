/*
 * Any bytes, in any chunking, give the same events of an answer, in both formats.  The
 * first byte says in which family's words calls may stand in the text, the second which
 * format it is and what else is known of the model.
 */
#include "continuo/dialect.h"
#include "continuo/hash.h"
#include "continuo/sse.h"

struct run {
	struct cn_decoder *decoder;
	struct cn_arena arena;
	struct cn_buf got;
};

static bool on_event(void *self, const struct cn_event *ev)
{
	struct run *r = self;

	cn_buf_printf(&r->got, "%d.%zu.%d.%d ", (int)ev->kind, ev->index, (int)ev->block,
	              (int)ev->delta);
	cn_buf_add_view(&r->got, ev->id);
	cn_buf_add_view(&r->got, ev->name);
	cn_buf_add_view(&r->got, ev->text);
	cn_buf_add_view(&r->got, ev->stop_reason);
	return ev->kind != CN_EV_ERROR && ev->kind != CN_EV_MESSAGE_STOP;
}

static bool on_sse(void *self, const struct cn_sse_event *sse)
{
	struct run *r = self;

	return sse->comment ||
	       !cn_decoder_event(r->decoder, &r->arena, sse->name, sse->data, NULL);
}

static struct cn_decode_hints hints_of(unsigned format, unsigned flags)
{
	static const char *const formats[] = {
	    NULL,          "hermes",  "glm",           "kimi-k2",     "kimi-k3",
	    "qwen3-coder", "minimax", "anthropic-xml", "deepseek-v3", "deepseek-dsml",
	    "llama3",      "llama4",  "mistral",       "gpt-oss"};
	struct cn_decode_hints hints = {
	    .tools = cn_json_root(CN_VIEW("[{\"name\":\"A\"},{\"name\":\"get_b\"}]")),
	    .tool_format = formats[format % (sizeof(formats) / sizeof(formats[0]))],
	    .thinking = flags & 2,
	    .one_call = flags & 4};

	if (flags & 8)
		hints.quirks = cn_quirk_bit(CN_QUIRK_THINK_TAGS);
	if (flags & 16)
		hints.stop_sequences = cn_json_root(CN_VIEW("[\"aab\",\"}\",\"abaab\"]"));
	if (flags & 32)
		hints.quirks |= cn_quirk_bit(CN_QUIRK_OPEN_END);
	return hints;
}

static void feed(struct cn_view bytes, size_t step, struct cn_buf *ret)
{
	unsigned flags = bytes.n > 1 ? (unsigned char)bytes.p[1] : 0;
	struct cn_decode_hints hints =
	    hints_of(bytes.n ? (unsigned char)*bytes.p : 0, flags);
	struct run r = {0};
	struct cn_sse s;
	int bad = 0;

	r.decoder = cn_decoder_new(
	    cn_dialect_of(flags & 1 ? CN_WIRE_ANTHROPIC : CN_WIRE_OPENAI_CHAT), &hints,
	    on_event, &r);
	cn_sse_init(&s, on_sse, &r);
	for (size_t at = 0; at < bytes.n && !bad; at += step)
		bad = cn_sse_feed(&s, cn_view_cut(cn_view_from(bytes, at), step), 1, NULL);
	if (!bad)
		(void)cn_decoder_end(r.decoder, &r.arena);
	cn_sse_done(&s);
	r.decoder = cn_decoder_free(r.decoder);
	cn_arena_done(&r.arena);
	*ret = r.got;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct cn_view bytes = cn_view((const char *)p, n);
	CN_AUTO(cn_buf) whole = {0}, single = {0}, odd = {0};

	feed(bytes, n ? n : 1, &whole);
	feed(bytes, 1, &single);
	feed(bytes, 7, &odd);
	cn_assert(cn_view_eq(cn_buf_view(&whole), cn_buf_view(&single)));
	cn_assert(cn_view_eq(cn_buf_view(&whole), cn_buf_view(&odd)));
	return 0;
}
