/*
 * A request's messages made into what the history keeps of them: nodes, of which most are
 * there already.
 *
 * Every message is digested, none is parsed that stands before the last one whose mark is
 * known (known.c): the batch leaves those nodes out, the writer looks whether they are
 * there, and asks for all of them if not.  So a turn costs one pass over its bytes and then
 * what is new in it (performance 4).  cache_control moves on with each turn, and with it
 * the last message of the turn before is new to the digest, though not to the store.
 *
 * Owns nothing but what it makes; pool.
 */
#include "app_impl.h"

#include "continuo/canon.h"

#define CN_STEP_BYTES 256 /* what a message takes here and in a batch besides its text */

/* One message on the way. */
struct step {
	struct cn_view raw;    /* borrowed from the body */
	struct cn_digest mark; /* of the conversation up to it */
};

/* A call of cn_nodes__make(). */
struct making {
	struct cn_nodes *out;
	struct cn_arena arena; /* owns what follows */
	struct cn_canon canon;
	struct step *steps;
	size_t n;
};

struct cn_hash cn_nodes__hash(void *vault, const struct cn_view *views, size_t n)
{
	return cn_vault_hash(vault, CN_VAULT_HASH_NODE, views, n);
}

size_t cn_nodes__weight(const struct cn_request *r)
{
	/* The canonical copy is about as large as the body; and a message may be small. */
	return r->body.n + r->n_messages * CN_STEP_BYTES;
}

static struct cn_digest mark(const struct making *m, const struct cn_digest *before,
                             struct cn_view bytes)
{
	return cn_known__mark(m->out->known, before, bytes);
}

/* What comes first of an owner's stands after that owner. */
static struct cn_digest start_of(const struct making *m, struct cn_view what)
{
	struct cn_digest none = {{0}}, owner = mark(m, &none, m->out->owner);

	return mark(m, &owner, what);
}

/* Whether it may be left out of the batch, and which node it is. */
static bool is_stored(const struct making *m, const struct cn_digest *of,
                      struct cn_hash *ret)
{
	return !m->out->all && cn_known__find(m->out->known, of, ret);
}

static int add_prefix(struct making *m)
{
	struct cn_nodes *out = m->out;
	struct cn_view system = out->req->system.raw, tools = out->req->tools.raw;
	struct cn_digest of = start_of(m, CN_VIEW("prefix"));
	struct cn_node node;

	of = mark(m, &of, system);
	of = mark(m, &of, tools);
	out->body = out->prefix_mark = of;
	if (is_stored(m, &of, &out->prefix)) {
		cn_batch_expect(out->batch, &out->prefix);
		return 0;
	}
	if (cn_canon_prefix(&m->canon, system, tools, &node, NULL))
		return -1;
	out->prefix = node.id;
	cn_batch_node(out->batch, &node);
	return 0;
}

static void mark_messages(struct making *m)
{
	const struct cn_request *r = m->out->req;
	struct cn_json_iter it = cn_json_iter(r->messages);
	struct cn_digest before = start_of(m, CN_VIEW("messages"));

	m->steps = cn_arena_alloc(&m->arena, (r->n_messages + 1) * sizeof(*m->steps));
	while (m->n < r->n_messages && cn_json_next(&it)) {
		before = mark(m, &before, it.value.raw);
		m->steps[m->n++] = (struct step){it.value.raw, before};
	}
}

static int add_messages(struct making *m)
{
	struct cn_nodes *out = m->out;
	size_t first = m->n;

	while (first && !is_stored(m, &m->steps[first - 1].mark, &out->last))
		first--;
	if (first)
		cn_batch_expect(out->batch, &out->last);
	for (size_t i = first; i < m->n; i++) {
		struct cn_node node;

		if (cn_canon_message(&m->canon, m->steps[i].raw, &out->last, &node, NULL))
			return -1;
		out->last = node.id;
		out->promises[out->n_promises++ % CN_PROMISES] =
		    (struct cn_promise){m->steps[i].mark, node.id};
		cn_batch_node(out->batch, &node);
	}
	return 0;
}

/* The rest of the body, behind the mark of system and tools. */
static void mark_body(struct making *m)
{
	const struct cn_request *r = m->out->req;
	struct cn_digest *body = &m->out->body;

	for (size_t i = 0; i < r->n_members; i++) {
		const char *at = r->members[i].value.raw.p;

		if (at == r->messages.raw.p && m->n)
			*body = mark(m, body,
			             cn_view((const char *)m->steps[m->n - 1].mark.b,
			                     CN_DIGEST_BYTES));
		else if (at != r->system.raw.p && at != r->tools.raw.p)
			*body = mark(m, body, r->members[i].whole);
	}
}

int cn_nodes__make(struct cn_nodes *out)
{
	struct making m = {.out = out};
	int bad;

	m.canon = (struct cn_canon){&m.arena, out->owner, cn_nodes__hash, out->vault};
	out->n_promises = 0;
	out->last = (struct cn_hash){{0}};
	out->batch = cn_batch_new();
	bad = add_prefix(&m);
	if (!bad) {
		mark_messages(&m);
		mark_body(&m);
		bad = add_messages(&m);
	}
	if (bad)
		out->batch = cn_batch_free(out->batch);
	cn_arena_done(&m.arena);
	return bad;
}

void cn_nodes__stored(const struct cn_nodes *out)
{
	size_t n = out->n_promises < CN_PROMISES ? out->n_promises : CN_PROMISES;

	cn_known__note(out->known, &out->prefix_mark, &out->prefix);
	for (size_t i = 0; i < n; i++)
		cn_known__note(out->known, &out->promises[i].mark, &out->promises[i].node);
}
