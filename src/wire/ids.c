/*
 * Ids that no other answer had, and whether a backend's tool id may be given to the client:
 * some backends count their calls from 0 in every answer, and the client loops on that.
 *
 * Pure but for randomness; what it makes stands in the caller's arena; any thread.
 */
#include "continuo/ids.h"

#include "continuo/hash.h"

static struct cn_view make(struct cn_arena *a, const char *prefix, size_t n)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_str(&b, prefix);
	cn_random_id(&b, n);
	return cn_arena_view(a, cn_buf_view(&b));
}

struct cn_view cn_id_message(struct cn_arena *a)
{
	return make(a, "msg_", 24);
}

struct cn_view cn_id_request(struct cn_arena *a)
{
	return make(a, "req_", 24);
}

struct cn_view cn_id_tool(struct cn_arena *a)
{
	return make(a, CN_ID_TOOL_OURS, 22);
}

bool cn_id_tool_usable(struct cn_view id, struct cn_view messages_raw)
{
	CN_AUTO(cn_buf) quoted = {0};

	if (id.n == 0)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		          (c >= '0' && c <= '9') || c == '_' || c == '-';

		if (!ok)
			return false;
	}
	/* Characters that pass need no escape, so the raw text shows every use. */
	cn_buf_add_char(&quoted, '"');
	cn_buf_add_view(&quoted, id);
	cn_buf_add_char(&quoted, '"');
	return cn_view_find(messages_raw, cn_buf_view(&quoted), 0) == SIZE_MAX;
}
