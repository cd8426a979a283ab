/* Whatever a backend streams, what the client gets is well-formed; no memory stays charged.
 */
#include "continuo/anthropic.h"
#include "continuo/hash.h"
#include "continuo/splice.h"
#include "continuo/sse.h"

static bool on_backend(void *self, const struct cn_sse_event *sse)
{
	struct cn_splice *s = self;
	CN_AUTO(cn_arena) a = {0};
	struct cn_event ev;

	if (sse->comment)
		return true;
	if (cn_anthropic_decode(&a, sse->name, sse->data, &ev, NULL) ||
	    cn_splice_feed(s, &ev, 1))
		return false;
	if (!cn_splice_committed(s) && cn_splice_proved(s, 1))
		cn_splice_commit(s);
	return true;
}

/* One character an event. */
static bool on_client(void *self, const struct cn_sse_event *sse)
{
	struct cn_buf *b = self;

	cn_assert(cn_json_check(sse->data, NULL) == 0);
	cn_buf_add_char(b, cn_view_is(sse->name, "content_block_start")   ? '('
	                   : cn_view_is(sse->name, "content_block_stop")  ? ')'
	                   : cn_view_is(sse->name, "content_block_delta") ? '.'
	                   : cn_view_is(sse->name, "message_start")       ? '<'
	                   : cn_view_is(sse->name, "message_stop")        ? '>'
	                                                                  : '-');
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct cn_charge charge = {.limit = (size_t)1 << 30};
	static const struct cn_author author = {"a/m", "a#k/m", 0};
	struct cn_splice_opts o = {.message_id = CN_VIEW("msg_f"),
	                           .tools = cn_json_root(CN_VIEW("[{\"name\":\"a\"}]")),
	                           .charge = &charge};
	struct cn_splice *s = cn_splice_new(&o);
	CN_AUTO(cn_buf) seen = {0};
	struct cn_sse sse;
	int depth = 0;

	cn_hash_setup();
	cn_splice_begin(s, &author);
	cn_sse_init(&sse, on_backend, s);
	(void)!cn_sse_feed(&sse, cn_view((const char *)p, n), 1, NULL);
	cn_sse_done(&sse);
	if (cn_splice_ended(s)) {
		if (!cn_splice_committed(s))
			cn_splice_commit(s);
		cn_splice_finish(s);
	}
	cn_sse_init(&sse, on_client, &seen);
	cn_assert(cn_sse_feed(&sse, cn_buf_view(cn_splice_out(s)), 5000, NULL) == 0);
	cn_sse_done(&sse);
	for (size_t i = 0; i < seen.n; i++) {
		cn_assert((seen.p[i] == '<') == (i == 0));
		cn_assert((seen.p[i] == '>') == (i + 1 == seen.n && cn_splice_ended(s)));
		depth += seen.p[i] == '(' ? 1 : seen.p[i] == ')' ? -1 : 0;
		cn_assert(depth >= 0 && depth <= 1 && (seen.p[i] != '.' || depth == 1));
	}
	cn_splice_free(s);
	cn_assert(charge.used == 0);
	return 0;
}
