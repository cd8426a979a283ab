/*
 * The joint: where the text of a continuation goes on from the text that the client has.
 *
 * A model that is asked to continue repeats the anchor, or more, or all of it, or says
 * "Continuing:" first, or does as it likes.  The joint holds the beginning of what it says
 * until it is clear which, and passes on only what is new (design/continuity.md "Continuing
 * a text on another model").  Pure; bounded; one thread.
 */
#ifndef CONTINUO_JOINT_H
#define CONTINUO_JOINT_H

#include "continuo/buf.h"
#include "continuo/charge.h"

#define CN_JOINT_ANCHOR 40                 /* characters quoted to the model, about */
#define CN_JOINT_WINDOW 400                /* characters held and matched */
#define CN_JOINT_SEEK   ((size_t)64 << 10) /* bytes held after a restart that differs */

enum cn_joint_how {
	CN_JOINT_ASKED,   /* the model was asked to begin with the anchor */
	CN_JOINT_PREFILL, /* the model goes on from the last character that it was sent */
};

/* What the beginning of the continuation turned out to be. */
enum cn_joint_found {
	CN_JOINT_OPEN,     /* not decided yet */
	CN_JOINT_EXACT,    /* the anchor, or directly the next character */
	CN_JOINT_TAIL,     /* a longer or shorter piece of the end */
	CN_JOINT_RESTART,  /* the whole answer again: skipped up to the end */
	CN_JOINT_PREAMBLE, /* words before the anchor, cut off */
	CN_JOINT_NONE,     /* no match: appended after a paragraph break */
};
const char *cn_joint_found_name(enum cn_joint_found f);

struct cn_joint;

/*
 * given: all text that the client has of this answer (copied in a normalised form).  NULL
 * when the memory budget does not allow it.
 */
struct cn_joint *cn_joint_new(struct cn_view given, enum cn_joint_how how,
                              struct cn_charge *charge);
struct cn_joint *cn_joint_free(struct cn_joint *j); /* returns NULL */
/* More text of the continuation; what is new is appended to out. */
void cn_joint_feed(struct cn_joint *j, struct cn_view text, struct cn_buf *out);
/* The continuation has no more text: what is still held is decided now. */
void cn_joint_end(struct cn_joint *j, struct cn_buf *out);
enum cn_joint_found cn_joint_found(const struct cn_joint *j);
/*
 * Whether all of it so far is a repetition that has not come to its end: after
 * cn_joint_end(), more text may be fed that stands in a block of its own.
 */
bool cn_joint_repeats(const struct cn_joint *j);

/*
 * The anchor: the last words of given, about CN_JOINT_ANCHOR characters without the white
 * space at the end; a part of given.  Empty when there is nothing but white space.
 */
struct cn_view cn_joint_anchor(struct cn_view given);
/* given without the white space at its end: what a prefill may be. */
struct cn_view cn_joint_trim(struct cn_view given);

#endif
