/* However text comes and whenever it is looked at, the client gets the same, in the same
 * order, and nothing stays charged. */
#include "continuo/anthropic.h"
#include "continuo/smooth.h"
#include "continuo/sse.h"

/* What a client makes of a stream: texts that follow each other are one. */
struct made {
	struct cn_buf b;
	char last; /* of what kind the last event was */
	size_t index;
};

static bool on_client(void *self, const struct cn_sse_event *sse)
{
	struct made *m = self;
	CN_AUTO(cn_arena) a = {0};
	struct cn_event ev;
	char kind = '#';

	if (!sse->comment) {
		cn_assert(cn_anthropic_decode(&a, sse->name, sse->data, &ev, NULL) == 0);
		kind = ev.kind != CN_EV_BLOCK_DELTA      ? '.'
		       : ev.delta == CN_DELTA_TEXT       ? 't'
		       : ev.delta == CN_DELTA_THINKING   ? 'h'
		       : ev.delta == CN_DELTA_INPUT_JSON ? 'j'
		                                         : '?';
	}
	if (kind != m->last || (kind != 't' && kind != 'h') || ev.index != m->index)
		cn_buf_add_char(&m->b, kind);
	m->last = kind;
	if (kind == '#')
		return true;
	m->index = ev.index;
	cn_buf_add_view(&m->b, ev.text);
	return true;
}

static void make(struct made *m, const struct cn_buf *bytes)
{
	struct cn_sse sse;

	cn_sse_init(&sse, on_client, m);
	for (size_t at = 0; at < bytes->n; at += 4096)
		cn_assert(cn_sse_feed(
			      &sse, cn_view_cut(cn_view_from(cn_buf_view(bytes), at), 4096),
			      at, NULL) == 0);
	cn_assert(!cn_sse_pending(&sse));
	cn_sse_done(&sse);
}

/* One event from the bytes: what it is, how long, and what it says; returns what it took.
 */
static size_t add_event(struct cn_buf *b, const uint8_t *p, size_t n)
{
	static const enum cn_delta_type types[] = {CN_DELTA_TEXT, CN_DELTA_TEXT,
	                                           CN_DELTA_THINKING, CN_DELTA_INPUT_JSON};
	size_t says = n > 2 ? p[1] : 0;
	struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA, .delta = types[p[0] & 3]};

	says = says < n - 2 ? says : n - 2;
	ev.text = cn_view((const char *)p + 2, says);
	if ((p[0] & 0x30) == 0x30)
		cn_anthropic_add_block_stop(b, p[0] >> 6);
	else if ((p[0] & 0x3c) == 0x20)
		cn_sse_add_comment(b, CN_VIEW("x"));
	else
		cn_anthropic_add_delta(b, p[0] >> 6, &ev);
	return 2 + says;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct cn_charge charge = {.limit = (size_t)1 << 20};
	struct cn_smooth *s = cn_smooth_new(&charge);
	CN_AUTO(cn_buf) all = {0};
	CN_AUTO(cn_buf) in = {0};
	CN_AUTO(cn_buf) out = {0};
	struct made want = {.last = 0}, got = {.last = 0};
	uint64_t now = 1;

	while (n >= 2) {
		size_t took = add_event(&in, p, n);

		if (p[0] & 4) {
			now += p[1];
			cn_buf_add_view(&all, cn_buf_view(&in));
			cn_smooth_feed(s, cn_buf_view(&in), now, &out);
			cn_buf_clear(&in);
		}
		if (p[0] & 8) {
			now += (uint64_t)p[1] * 4;
			cn_smooth_take(s, now, &out);
		}
		cn_assert((cn_smooth_next_at(s) == UINT64_MAX) == (charge.used == 0));
		p += took;
		n -= took;
	}
	cn_smooth_flush(s, &out);
	cn_assert(charge.used == 0);
	make(&want, &all);
	make(&got, &out);
	cn_assert(cn_view_eq(cn_buf_view(&want.b), cn_buf_view(&got.b)));
	cn_buf_done(&want.b);
	cn_buf_done(&got.b);
	cn_smooth_free(s);
	return 0;
}
