/*
 * Going on after the commit: how an attempt's events join what the client has been given.
 *
 * The text of a continuation goes through the joint, into the text block that is still open
 * or into a new one; thinking that comes before it waits, because it can only be given when
 * that block is closed.  Owns what the joint holds; writes through splice.c.  Pure.
 */
#include "splice_impl.h"

/* ---- beginning ---- */

bool cn_splice_continue(struct cn_splice *s, const struct cn_author *author,
                        enum cn_resume how)
{
	bool was_end = cn_splice_fate(s) == CN_FATE_END;
	CN_AUTO(cn_buf) text = {0};

	cn_assert(s->stage == CN_SPLICE_COMMITTED);
	cn_splice_drop(s);
	if (was_end) {
		s->spare_reason = s->stop_reason.n ? s->stop_reason : CN_VIEW("end_turn");
		s->spare_sequence = s->stop_sequence;
		s->spare_raw = s->delta_raw;
	}
	cn_splice__add_up(s);
	cn_splice__reset(s, author);
	s->continuing = true;
	cn_splice_text(s, &text);
	if (how == CN_RESUME_ANEW || text.n == 0)
		return true;
	s->joint = cn_joint_new(
	    cn_buf_view(&text),
	    how == CN_RESUME_PREFILL ? CN_JOINT_PREFILL : CN_JOINT_ASKED, s->opts.charge);
	return s->joint != NULL;
}

bool cn_splice_continuing(const struct cn_splice *s)
{
	return s->continuing;
}

size_t cn_splice_gave(const struct cn_splice *s)
{
	return s->gave;
}

bool cn_splice_deliverable(const struct cn_splice *s)
{
	enum cn_fate fate = cn_splice_fate(s);

	/* What broke off since must not be closed as if it were whole: a call, say. */
	return fate == CN_FATE_END || (fate == CN_FATE_CONTINUE && s->spare_reason.n > 0);
}

void cn_splice_deliver(struct cn_splice *s)
{
	cn_assert(cn_splice_deliverable(s));
	if (cn_splice_fate(s) == CN_FATE_END)
		return;
	cn_splice_drop(s);
	s->stop_reason = s->spare_reason;
	s->stop_sequence = s->spare_sequence;
	s->delta_raw = s->spare_raw;
	s->ended = true;
}

/* ---- blocks ---- */

struct cn_block *cn_splice__resumed(const struct cn_splice *s)
{
	struct cn_block *last = NULL;

	if (!s->continuing)
		return NULL;
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (block->given && !block->whole && block->author != s->author)
			last = block;
	}
	return last;
}

bool cn_splice__thinking_waits(const struct cn_splice *s)
{
	const struct cn_block *open =
	    s->joint && !s->joining ? cn_splice__resumed(s) : NULL;

	return open && open->type == CN_BLOCK_TEXT && s->held_thinking <= CN_HELD_MAX;
}

/* Thinking of this attempt that was held back for the text is not given any more. */
static void forget_thinking(struct cn_splice *s)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (!block->given && block->whole && block->author == s->author &&
		    (block->type == CN_BLOCK_THINKING ||
		     block->type == CN_BLOCK_REDACTED_THINKING))
			cn_splice__block_free(s, block);
	}
	s->held_thinking = 0;
}

struct cn_block *cn_splice__join(struct cn_splice *s)
{
	struct cn_block *open = s->joint && !s->joining ? cn_splice__resumed(s) : NULL;

	if (!open || open->type != CN_BLOCK_TEXT)
		return NULL;
	forget_thinking(s);
	return open;
}

void cn_splice__make_way(struct cn_splice *s, const struct cn_block *block)
{
	struct cn_block *open = cn_splice__resumed(s);

	if (open) {
		open->cut = true;
		cn_splice__write_stop(s, open);
	}
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *held = cn_container_of(link, struct cn_block, link);

		if (held == block)
			break;
		if (!held->given && held->whole &&
		    (held->type == CN_BLOCK_THINKING ||
		     held->type == CN_BLOCK_REDACTED_THINKING))
			cn_splice__give(s, held);
	}
}

/* ---- text ---- */

/* From here on the block's text is the continuing model's. */
static void mark_part(struct cn_splice *s, struct cn_block *block)
{
	const struct cn_author *last =
	    block->n_parts ? block->parts[block->n_parts - 1].author : block->author;

	if (last == s->author)
		return;
	block->parts =
	    cn_realloc(block->parts, (block->n_parts + 1) * sizeof(*block->parts));
	block->parts[block->n_parts++] =
	    (struct cn_part){s->author, block->body.n, cn_joint_found(s->joint)};
}

/* Gives text that nothing can take back any more. */
static const char *give_text(struct cn_splice *s, struct cn_view text)
{
	struct cn_block *block = s->joining;
	struct cn_event ev = {
	    .kind = CN_EV_BLOCK_DELTA, .delta = CN_DELTA_TEXT, .text = text};
	const char *bad;

	if (text.n == 0)
		return NULL;
	if (block->given)
		mark_part(s, block);
	if ((bad = cn_splice__append(s, block, &block->body, text)))
		return bad;
	if (block->given)
		cn_anthropic_add_delta(&s->out, block->index, &ev);
	else
		cn_splice__give(s, block);
	return NULL;
}

const char *cn_splice__join_text(struct cn_splice *s, struct cn_view text)
{
	CN_AUTO(cn_buf) fresh = {0};

	cn_joint_feed(s->joint, text, &fresh);
	return give_text(s, cn_buf_view(&fresh));
}

const char *cn_splice__join_end(struct cn_splice *s)
{
	CN_AUTO(cn_buf) fresh = {0};
	const char *bad;

	cn_joint_end(s->joint, &fresh);
	bad = give_text(s, cn_buf_view(&fresh));
	s->joining = NULL;
	/* What is said again in several blocks goes on in the next. */
	if (cn_joint_repeats(s->joint))
		cn_joint_feed(s->joint, CN_VIEW("\n\n"), &fresh);
	else
		s->joint = cn_joint_free(s->joint);
	return bad;
}
