/* Any bytes, in any chunking, give the same events; nothing of it reads out of bounds. */
#include "continuo/sse.h"

#include "continuo/hash.h"

static bool gather(void *self, const struct cn_sse_event *ev)
{
	struct cn_buf *b = self;

	cn_buf_add_char(b, ev->comment ? 'c' : 'e');
	cn_buf_add_view(b, ev->name);
	cn_buf_add_char(b, 0);
	cn_buf_add_view(b, ev->data);
	cn_buf_add_char(b, 0);
	return true;
}

static int feed(struct cn_view bytes, size_t step, struct cn_buf *got)
{
	struct cn_sse s;
	int bad = 0;

	cn_sse_init(&s, gather, got);
	for (size_t at = 0; at < bytes.n && !bad; at += step)
		bad = cn_sse_feed(&s, cn_view_cut(cn_view_from(bytes, at), step), 1, NULL);
	cn_sse_done(&s);
	return bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct cn_view bytes = cn_view((const char *)p, n);
	CN_AUTO(cn_buf) whole = {0}, single = {0}, odd = {0};
	int bad = feed(bytes, n ? n : 1, &whole);

	cn_assert(feed(bytes, 1, &single) == bad);
	cn_assert(feed(bytes, 7, &odd) == bad);
	cn_assert(cn_view_eq(cn_buf_view(&whole), cn_buf_view(&single)));
	cn_assert(cn_view_eq(cn_buf_view(&whole), cn_buf_view(&odd)));
	return 0;
}
