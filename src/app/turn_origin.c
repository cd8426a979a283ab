/*
 * Where parts of a conversation come from: who signed which thinking, and which id a
 * backend gave a call that the client knows by one of ours.
 *
 * Both are facts under a keyed hash: in a table in memory, and in the store behind it
 * (turn_birth.c looks there).  Runs on the turn's worker.
 */
#include "turn_impl.h"

#include "continuo/ids.h"

#include <stdio.h>

/* Of thinking that was cut: nobody would take it for whole. */
#define CN_ISSUER_CUT "cut"
/* Between issuer and id of a call; a backend's name has none. */
#define CN_CALL_GAP '\n'

/* asked: the model that the client named. */
static struct cn_view issuer_of(struct cn_arena *a, const struct cn_candidate *c,
                                struct cn_view asked)
{
	struct cn_view id = c->model->id ? cn_view_str(c->model->id) : asked;

	return cn_view_str(cn_arena_printf(a, "%s#%s/%.*s", c->model->backend->name,
	                                   c->key->account ? c->key->account : c->key->name,
	                                   CN_VIEW_ARG(id)));
}

struct cn_view cn_turn__issuer(struct cn_turn *t)
{
	return issuer_of(&t->arena, t->candidate, t->req.model);
}

bool cn_turn__origin(struct cn_turn *t, struct cn_json block, struct cn_hash *ret)
{
	return cn_provenance__of_block(t->worker->shared->vault, t->owner, block, ret);
}

/* ---- what a recipient may have ---- */

struct cn_recipient cn_recipient__of(struct cn_arena *a, struct cn_shared *sh,
                                     const struct cn_candidate *c, struct cn_view owner,
                                     struct cn_view asked)
{
	return (struct cn_recipient){
	    .arena = a,
	    .shared = sh,
	    .owner = owner,
	    .issuer = issuer_of(a, c, asked),
	    .native = c->model->backend->wire == CN_WIRE_ANTHROPIC,
	    .checks_signatures = c->model->backend->checks_signatures,
	};
}

/*
 * Signatures go back only to whom issued them.  One that is not known was there before us:
 * a backend of the client's format that checks is then the likely issuer, and any other has
 * no use for it.
 */
bool cn_recipient__drop_thinking(void *self, const struct cn_thought *thought)
{
	const struct cn_recipient *to = self;
	char model[CN_ORIGIN_MAX];

	if (to->no_thinking)
		return true;
	if (!thought->has_origin)
		return !to->native;
	if (!cn_provenance__get(to->shared->provenance, &thought->origin, model) ||
	    !model[0])
		return !to->native || !to->checks_signatures;
	return !cn_view_is(to->issuer, model);
}

bool cn_recipient__call_id(void *self, struct cn_view id, struct cn_view *ret)
{
	const struct cn_recipient *to = self;
	struct cn_hash key = cn_provenance__id(to->shared->vault, to->owner, id);
	struct cn_view known, issuer;
	char text[CN_ORIGIN_MAX];

	if (!cn_provenance__get(to->shared->provenance, &key, text))
		return false;
	known = cn_view_str(text);
	if (!cn_view_split(&known, CN_CALL_GAP, &issuer) || !known.p ||
	    !cn_view_eq(issuer, to->issuer))
		return false;
	*ret = cn_arena_view(to->arena, known);
	return ret->n > 0;
}

/* ---- noting ---- */

struct note {
	struct cn_turn *turn;
	struct cn_batch *batch;
};

/* The block as the client will send it back, as far as its origin hangs on that. */
static void add_block(const struct cn_block *block, struct cn_buf *json)
{
	switch (block->type) {
	case CN_BLOCK_THINKING:
		cn_buf_add_str(json, "{\"type\":\"thinking\"");
		cn_json_add_text(json, "thinking", cn_buf_view(&block->body));
		cn_json_add_text(json, "signature", cn_buf_view(&block->signature));
		cn_buf_add_char(json, '}');
		return;
	case CN_BLOCK_REDACTED_THINKING:
		cn_buf_add_view(json, block->start);
		return;
	case CN_BLOCK_TOOL_USE:
		cn_buf_add_str(json, "{\"type\":\"tool_use\"");
		cn_json_add_text(json, "id", block->id);
		cn_buf_add_char(json, '}');
		return;
	case CN_BLOCK_TEXT:
	case CN_BLOCK_SERVER_TOOL:
	case CN_BLOCK_OTHER:
		return;
	}
}

static void note_block(void *self, const struct cn_block *block)
{
	struct note *n = self;
	struct cn_turn *t = n->turn;
	const char *issuer = block->cut ? CN_ISSUER_CUT : block->author->issuer;
	CN_AUTO(cn_buf) json = {0};
	struct cn_view by = cn_view_str(issuer);
	struct cn_hash id;

	if (!block->whole || (block->type == CN_BLOCK_TOOL_USE && block->origin_id.n == 0))
		return;
	add_block(block, &json);
	if (json.n == 0 || !cn_turn__origin(t, cn_json_root(cn_buf_view(&json)), &id))
		return;
	if (block->type == CN_BLOCK_TOOL_USE)
		by = cn_view_str(cn_arena_printf(&t->arena, "%s%c%.*s", issuer, CN_CALL_GAP,
		                                 CN_VIEW_ARG(block->origin_id)));
	if (by.n >= CN_ORIGIN_MAX)
		return; /* longer than any real one: it stays under our id */
	cn_provenance__put(t->worker->shared->provenance, &id, by);
	if (n->batch)
		cn_batch_provenance(n->batch, &id, by);
}

void cn_turn__note_provenance(struct cn_turn *t, struct cn_batch *batch)
{
	struct note n = {t, batch};

	if (t->candidate)
		cn_splice_blocks(t->splice, note_block, &n);
}
