/*
 * A client's body read into a request, for turns and counts alike: its facts, whose
 * conversation it is when the client does not say, and what it weighs.
 *
 * Owns nothing but what it puts into the reader's arena; any thread, one at a time.
 */
#include "app_impl.h"

#include "continuo/canon.h"
#include "continuo/estimate.h"

static struct cn_hash node_hash(void *self, const struct cn_view *views, size_t n)
{
	return cn_vault_hash(self, CN_VAULT_HASH_NODE, views, n);
}

/*
 * Clients without any id: the conversation is that of its first message.  In the canonical
 * form, because cache_control moves on from turn to turn and takes the array around a
 * single text with it (wire/claude-code-client.md 4).
 */
static struct cn_view first_message_session(const struct cn_reading *r)
{
	struct cn_json_iter first = cn_json_iter(r->req->messages);
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) name = {0};
	struct cn_node node;

	if (!cn_json_next(&first) ||
	    cn_canon_message(&a, first.value.raw, r->owner, &(struct cn_hash){0}, node_hash,
	                     r->vault, &node, NULL))
		return (struct cn_view){NULL, 0};
	cn_buf_add_str(&name, "first-");
	cn_hex(&name, node.id.b, 12);
	return cn_arena_view(r->arena, cn_buf_view(&name));
}

int cn_reading__run(struct cn_reading *r, struct cn_error *reterr)
{
	struct cn_estimate estimate = {0};
	struct cn_request_ear ear = cn_estimate_ear(&estimate);
	int bad = cn_request_read(r->arena, r->body, &r->ids, &ear, r->req, reterr);

	if (bad)
		return bad;
	if (r->req->session.n == 0)
		r->req->session = first_message_session(r);
	r->req->estimate = cn_estimate_tokens(&estimate, r->req);
	return 0;
}
