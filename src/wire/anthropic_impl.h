/*
 * What the files share that make a Messages request one for a Messages backend: one body
 * under edit.  Each edits its part of it by patches; ranges of two edits either lie apart
 * or one in the other, where the outer one stands (json.h).  Private to these files.
 */
#ifndef CONTINUO_ANTHROPIC_IMPL_H
#define CONTINUO_ANTHROPIC_IMPL_H

#include "wire_impl.h"

/* Ranges of a text, growing in an arena. */
struct cn_anthropic__ranges {
	struct cn_view *v; /* in arena */
	size_t n, cap;
};

struct cn_anthropic__body {
	struct cn_arena *arena;     /* borrowed */
	const struct cn_request *r; /* borrowed */
	const struct cn_edit *edit; /* borrowed */
	struct cn_patches patches;
	const char *gone[8]; /* members that go besides those of the edit */
	size_t n_gone;
	struct cn_anthropic__ranges messages; /* whole ones to remove; in order of place
	                                         when they are */
	struct cn_anthropic__ranges
	    names;              /* of tools that were called or referred to: text */
	struct cn_view opening; /* raw blocks that the first user message begins with */
};

static inline bool cn_anthropic__has(const struct cn_anthropic__body *b, enum cn_quirk q)
{
	return b->edit->quirks & cn_quirk_bit(q);
}

/* ---- anthropic_encode.c ---- */

void cn_anthropic__add_range(struct cn_arena *a, struct cn_anthropic__ranges *rs,
                             struct cn_view range);
/* A top-level member goes, every one of that name. */
void cn_anthropic__lose(struct cn_anthropic__body *b, const char *member);
/* Whether the member is not sent. */
bool cn_anthropic__is_lost(const struct cn_anthropic__body *b, struct cn_view key);
/* Sets a top-level member, every one of that name, or adds it; not one that is lost. */
void cn_anthropic__set(struct cn_anthropic__body *b, const char *key, struct cn_view raw);
/* Removes members of an object of the body: those of the names; NULL ends them. */
void cn_anthropic__strip(struct cn_anthropic__body *b, struct cn_json object,
                         const char *const *names);

/* ---- the parts; in this order ---- */

/* anthropic_system.c: the system prompt, and what the policy puts to it. */
void cn_anthropic__edit_system(struct cn_anthropic__body *b);
/* anthropic_roles.c: the messages; notes the names of tools. */
void cn_anthropic__edit_messages(struct cn_anthropic__body *b);
/* anthropic_tools.c: what tools there are, and which may be called. */
void cn_anthropic__edit_tools(struct cn_anthropic__body *b);

/* ---- anthropic_blocks.c ---- */

/* One block of a message, or of a result in one. */
void cn_anthropic__edit_block(struct cn_anthropic__body *b, struct cn_json block);
/* Whether edit_block() has anything to do. */
bool cn_anthropic__edits_blocks(const struct cn_anthropic__body *b);
/* Appends a text block of that JSON string's text, between two pieces of JSON text;
 * marker: its cache_control, may be absent. */
void cn_anthropic__add_text(struct cn_anthropic__body *b, struct cn_buf *to,
                            const struct cn_view text[3], struct cn_json marker);
/* What can be read of a block of a type that the backend does not know, as the inside of a
 * JSON string. */
void cn_anthropic__add_readable(struct cn_buf *to, struct cn_json block);

#endif
