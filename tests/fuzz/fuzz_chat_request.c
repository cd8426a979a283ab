/*
 * Any request that we take, by any set of quirks, becomes one that strict servers take.
 * The first eight bytes are the quirks.
 */
#include "../lib/chat_rules.h"

#include "continuo/hash.h"
#include "continuo/openai_chat.h"

#include <stdio.h>

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

static void encode(struct cn_view body, const struct cn_edit *edit)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) out = {0};
	struct cn_request r;
	struct cn_slices s;
	const char *bad;
	char text[200];

	if (cn_request_read(&a, body, &(struct cn_caller_ids){0}, NULL, &r, NULL))
		return;
	s = cn_openai_chat_encode_request(&a, &r, edit);
	for (size_t i = 0; i < s.n; i++)
		cn_buf_add_view(&out, s.v[i]);
	cn_assert(out.n == s.bytes && cn_json_check(cn_buf_view(&out), NULL) == 0);
	bad = chat_rules_breach(cn_buf_view(&out), edit->quirks, text, sizeof(text));
	if (!bad)
		return;
	fprintf(stderr, "%s\n%.*s\n", bad, CN_VIEW_ARG(cn_buf_view(&out)));
	cn_never("a request that a strict server refuses");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct cn_edit edit = {
	    .model = CN_VIEW("m"), .images = true, .session = CN_VIEW("s")};
	struct cn_view body;

	cn_hash_setup();
	if (n < sizeof(edit.quirks))
		return 0;
	memcpy(&edit.quirks, p, sizeof(edit.quirks));
	body = cn_view((const char *)p + sizeof(edit.quirks), n - sizeof(edit.quirks));
	encode(body, &edit);
	edit.stream = true;
	edit.drop_thinking = drop_some;
	edit.call_id = map_some;
	edit.prompt_how = CN_PROMPT_APPEND;
	edit.prompt = CN_VIEW("be \"brief\"");
	edit.append = CN_VIEW("{\"role\":\"assistant\",\"content\":\"I\"},"
	                      "{\"role\":\"user\",\"content\":\"q\"}");
	encode(body, &edit);
	return 0;
}
