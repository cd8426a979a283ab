/* A request that we take is still one after every edit, and says what the edit demanded. */
#include "continuo/anthropic.h"

static bool drop_some(void *self, struct cn_view raw)
{
	(void)self;
	return raw.n % 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const drop[] = {"metadata", "x", "tools"};
	struct cn_anthropic_edit edit = {.model = CN_VIEW("m\"2"),
	                                 .stream = true,
	                                 .max_tokens = 7,
	                                 .effort = CN_VIEW("low"),
	                                 .drop = drop,
	                                 .n_drop = 3,
	                                 .drop_thinking = drop_some};
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) out = {0};
	struct cn_request r, again;
	struct cn_slices s;

	if (cn_request_read(&a, cn_view((const char *)p, n), &(struct cn_caller_ids){0}, &r,
	                    NULL))
		return 0;
	s = cn_anthropic_encode_request(&a, &r, &edit);
	for (size_t i = 0; i < s.n; i++)
		cn_buf_add_view(&out, s.v[i]);
	cn_assert(cn_json_check(cn_buf_view(&out), NULL) == 0);
	/* All messages may have been thinking: then nothing is left to read. */
	if (cn_request_read(&a, cn_buf_view(&out), &(struct cn_caller_ids){0}, &again,
	                    NULL))
		return 0;
	cn_assert(cn_view_is(again.model, "m\"2") && again.stream && again.max_tokens == 7);
	cn_assert(again.tools.kind == CN_JSON_NONE);
	return 0;
}
