/*
 * Any bytes as an error body: classification must end with a reason, in bounds, and name no
 * wait longer than a day.  The first two bytes choose the status.
 */
#include "continuo/classify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_answer_context ctx = {.wall_ms = UINT64_C(1795000000000)};
	struct cn_answer_head head = {0};
	struct cn_view body;
	struct cn_outcome o;

	if (size < 2)
		return 0;
	head.status = 200 + (data[0] | data[1] << 8) % 400;
	ctx.own_body = data[0] & 1;
	ctx.local = data[1] & 1;
	body = cn_view((const char *)data + 2, size - 2);
	/* The start of the body also plays the headers that hold times. */
	head.retry_after = head.ratelimit_reset = cn_view_cut(body, 40);
	o = cn_classify_answer(&a, &head, body, &ctx);
	cn_assert(o.reason != NULL && o.class != CN_CLASS_OK && o.class < CN_CLASS_COUNT);
	cn_assert(o.retry_after_ms <= 86400000);
	cn_assert(o.repair != CN_REPAIR_FIELD || o.repair_field.n > 0);
	cn_assert(o.repair != CN_REPAIR_MAX_TOKENS || o.limit > 0);
	o = cn_classify_event(&a, cn_view_cut(body, 20), cn_view_from(body, 20), &ctx);
	cn_assert(o.reason != NULL && o.class != CN_CLASS_OK);
	return 0;
}
