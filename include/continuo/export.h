/*
 * A stored session as text: JSON lines for programs, Markdown for keeping, a transcript
 * for reading.  Turns go in, in order of time; out comes what each adds to its thread (the
 * main agent, one subagent, side requests): every message once, then the answer and how it
 * came about.  Pure but for the callback that looks up messages.
 */
#ifndef CONTINUO_EXPORT_H
#define CONTINUO_EXPORT_H

#include "continuo/canon.h"
#include "continuo/record.h"

enum cn_export_form {
	/*
	 * One object a line: "session" (once), "prefix" (system and tools, when they
	 * change), "message" (role, content; answers have "answer":true and "model", and
	 * "pieces" when several attempts wrote it: block, model, bytes of text, thinking or
	 * input, and "joint" where one went on with another's text),
	 * "note" (the client went back, or replaced its history), "turn" (the record).
	 */
	CN_EXPORT_JSONL,
	CN_EXPORT_MARKDOWN,
	CN_EXPORT_TRANSCRIPT /* long results are cut */
};

/* One message by its id, strings in the arena; CN_E_NOT_FOUND when it is gone. */
typedef int (*cn_export_node_fn)(void *self, struct cn_arena *a, const struct cn_hash *id,
                                 struct cn_node *ret, struct cn_error *reterr);

struct cn_export;
struct cn_export *cn_export_new(enum cn_export_form form, cn_export_node_fn node,
                                void *self);
struct cn_export *cn_export_free(struct cn_export *e); /* returns NULL */
/*
 * Appends what the turn adds.  Messages that are gone are left out with a note; another
 * failure of the callback is returned.
 */
int cn_export_turn(struct cn_export *e, const struct cn_turn_record *turn, struct cn_buf *b,
                   struct cn_error *reterr) CN_MUST_CHECK;

#endif
