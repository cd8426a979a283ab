/*
 * The request parser on any bytes: no crash, no charge left, and the same events however
 * the bytes are cut (the first byte says how).
 */
#include "../../src/http/parse_impl.h"

static void tell(struct cn_buf *told, struct cn_http__parse *p, struct cn_view in)
{
	struct cn_view body;
	enum cn_http__event ev;

	for (;;) {
		if (p->state == CN_PARSE_DONE && !p->close && in.n)
			cn_http__parse_reset(p);
		ev = cn_http__parse_next(p, &in, &body);
		if (ev == CN_HTTP_MORE)
			return;
		if (ev == CN_HTTP_BODY) {
			cn_buf_add_view(told, body);
			continue;
		}
		cn_buf_printf(told, "\n%d %d ", ev, p->status);
		if (ev == CN_HTTP_BAD)
			return;
		for (size_t i = 0; ev == CN_HTTP_HEAD && i < p->head.n_fields; i++) {
			cn_buf_add_view(told, p->head.fields[i].name);
			cn_buf_add_view(told, p->head.fields[i].value);
		}
		if (ev == CN_HTTP_HEAD)
			cn_buf_add_view(told, p->head.path);
	}
}

static void run(struct cn_buf *told, struct cn_view in, size_t step)
{
	struct cn_charge charge = {.limit = 1u << 20};
	struct cn_http__parse p;

	cn_http__parse_init(&p, &cn_http__defaults, &charge);
	for (; in.n && p.state != CN_PARSE_FAILED; in = cn_view_from(in, step))
		tell(told, &p, cn_view_cut(in, step));
	cn_http__parse_done(&p);
	cn_assert(charge.used == 0);
}

/* NOLINTBEGIN(readability-identifier-naming): the fuzzer's name */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CN_AUTO(cn_buf) whole = {0}, cut = {0};

	if (n < 2)
		return 0;
	run(&whole, cn_view((const char *)data + 1, n - 1), n);
	run(&cut, cn_view((const char *)data + 1, n - 1), data[0] % 64 + 1u);
	cn_assert(cn_view_eq(cn_buf_view(&whole), cn_buf_view(&cut)));
	return 0;
}
/* NOLINTEND(readability-identifier-naming) */
