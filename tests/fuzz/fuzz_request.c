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

/* What becomes of a request by such an edit: JSON, or nothing when it was no request. */
static bool encode(struct cn_view body, const struct cn_edit *edit, struct cn_buf *ret)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_request r;
	struct cn_slices s;

	if (cn_request_read(&a, body, &(struct cn_caller_ids){0}, NULL, &r, NULL))
		return false;
	check_notes(&r);
	s = cn_anthropic_encode_request(&a, &r, edit);
	for (size_t i = 0; i < s.n; i++)
		cn_buf_add_view(ret, s.v[i]);
	cn_assert(cn_json_check(cn_buf_view(ret), NULL) == 0);
	return true;
}

static void check_said(struct cn_view body)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_request r;

	/* All messages may have been thinking: then nothing is left to read. */
	if (cn_request_read(&a, body, &(struct cn_caller_ids){0}, NULL, &r, NULL))
		return;
	cn_assert(cn_view_is(r.model, "m\"2") && r.stream && r.max_tokens == 7);
	cn_assert(r.tools.kind == CN_JSON_NONE);
}

/* Any set of quirks, by what the request is: what was done to it need not be done again. */
static void check_quirks(struct cn_view body, uint64_t quirks)
{
	struct cn_edit edit = {.keep_stream = true, .quirks = quirks};
	CN_AUTO(cn_buf) once = {0}, twice = {0}, more = {0};

	if (!encode(body, &edit, &once) || !encode(cn_buf_view(&once), &edit, &twice))
		return;
	cn_assert(cn_view_eq(cn_buf_view(&once), cn_buf_view(&twice)));
	edit.prompt_how = (enum cn_prompt_how)(quirks >> 62);
	edit.prompt = CN_VIEW("be \"brief\"");
	edit.append = CN_VIEW("{\"role\":\"user\",\"content\":\"q\"}");
	edit.drop_thinking = drop_some;
	edit.call_id = map_some;
	(void)encode(body, &edit, &more);
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
	struct cn_view body = cn_view((const char *)p, n);
	CN_AUTO(cn_buf) out = {0};
	uint64_t set = 14695981039346656037u;

	if (!encode(body, &edit, &out))
		return 0;
	check_said(cn_buf_view(&out));
	for (size_t i = 0; i < n; i++)
		set = (set ^ p[i]) * 1099511628211u;
	check_quirks(body, set);
	check_quirks(body, UINT64_MAX);
	return 0;
}
