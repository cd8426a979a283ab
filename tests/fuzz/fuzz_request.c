/* A request that we take is still one after every edit, and says what the edit demanded. */
#include "continuo/anthropic.h"

static bool drop_some(void *self, const struct cn_thought *thought)
{
	(void)self;
	return thought->block.n % 2;
}

static bool map_some(void *self, struct cn_view id, struct cn_view *ret)
{
	(void)self;
	*ret = CN_VIEW("theirs\"1");
	return id.n % 2;
}

/* What was noted lies where it was noted, and is whole. */
static void check_notes(const struct cn_request *r)
{
	for (size_t i = 0; i < r->n_thoughts; i++) {
		const struct cn_thought *t = &r->thoughts[i];

		cn_assert(cn_json_check(t->block, NULL) == 0 &&
		          cn_json_check(t->content, NULL) == 0 &&
		          cn_json_check(t->message, NULL) == 0);
		cn_assert(t->message.p < t->content.p && t->content.p < t->block.p);
	}
	for (size_t i = 0; i < r->n_calls; i++)
		cn_assert(r->calls[i].id.raw.p > r->calls[i].block.p &&
		          cn_json_check(r->calls[i].block, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const drop[] = {"metadata", "x", "tools"};
	struct cn_edit edit = {.model = CN_VIEW("m\"2"),
	                       .stream = true,
	                       .max_tokens = 7,
	                       .effort = CN_VIEW("low"),
	                       .drop = drop,
	                       .n_drop = 3,
	                       .drop_thinking = drop_some,
	                       .call_id = map_some};
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) out = {0};
	struct cn_request r, again;
	struct cn_slices s;

	if (cn_request_read(&a, cn_view((const char *)p, n), &(struct cn_caller_ids){0},
	                    NULL, &r, NULL))
		return 0;
	check_notes(&r);
	s = cn_anthropic_encode_request(&a, &r, &edit);
	for (size_t i = 0; i < s.n; i++)
		cn_buf_add_view(&out, s.v[i]);
	cn_assert(cn_json_check(cn_buf_view(&out), NULL) == 0);
	/* All messages may have been thinking: then nothing is left to read. */
	if (cn_request_read(&a, cn_buf_view(&out), &(struct cn_caller_ids){0}, NULL, &again,
	                    NULL))
		return 0;
	cn_assert(cn_view_is(again.model, "m\"2") && again.stream && again.max_tokens == 7);
	cn_assert(again.tools.kind == CN_JSON_NONE);
	return 0;
}
