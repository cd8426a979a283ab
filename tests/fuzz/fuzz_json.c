/* What we take, an independent parser takes; walking it stays inside and finds what it
 * finds. */
#include "continuo/json.h"

#include <yyjson.h>

static void walk(struct cn_json v, unsigned depth)
{
	CN_AUTO(cn_arena) a = {0};

	cn_assert(depth <= CN_JSON_MAX_DEPTH);
	(void)cn_json_text(&a, v);
	for (struct cn_json_iter it = cn_json_iter(v); cn_json_next(&it);)
		walk(it.value, depth + 1);
}

static size_t count(struct cn_json v)
{
	size_t n = 0;

	for (struct cn_json_iter it = cn_json_iter(v); cn_json_next(&it);)
		n++;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct cn_view text = cn_view((const char *)p, n);
	struct cn_json root = cn_json_root(text);
	yyjson_doc *doc;
	yyjson_val *theirs;

	if (cn_json_check(text, NULL)) {
		/* Not JSON: the cursor must still stay inside the bytes. */
		for (struct cn_json_iter it = cn_json_iter(root); cn_json_next(&it);)
			cn_assert(it.value.raw.p >= text.p &&
			          it.value.raw.p + it.value.raw.n <= text.p + text.n);
		return 0;
	}
	/* Numbers are checked by form alone: 1e999 is well-formed. */
	doc = yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
	cn_assert(doc);
	theirs = yyjson_doc_get_root(doc);
	if (yyjson_is_ctn(theirs))
		cn_assert(unsafe_yyjson_get_len(theirs) == count(root));
	walk(root, 0);
	yyjson_doc_free(doc);
	return 0;
}
