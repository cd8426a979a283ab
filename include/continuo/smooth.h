/*
 * Text that arrives in bursts, told in an even flow: the events of an answer on their way
 * to the client, of which large text and thinking deltas are cut at words and spread over
 * the time until more is expected, at most a second.
 *
 * Order is kept: what stands behind a text waits for it.  What the client gets is the same
 * text in the same blocks.  Pure; time is an argument.  One thread.
 */
#ifndef CONTINUO_SMOOTH_H
#define CONTINUO_SMOOTH_H

#include "continuo/buf.h"
#include "continuo/charge.h"

#define CN_SMOOTH_DELAY_MS 1000                /* no text is told later than that */
#define CN_SMOOTH_TICK_MS  40                  /* between two pieces */
#define CN_SMOOTH_MAX      ((size_t)256 << 10) /* bytes held; more is told at once */

struct cn_smooth;
struct cn_smooth *cn_smooth_new(struct cn_charge *charge);
struct cn_smooth *cn_smooth_free(struct cn_smooth *s); /* returns NULL */
/* Whole events and comments, as the splice writes them; what may go at once goes to out. */
void cn_smooth_feed(struct cn_smooth *s, struct cn_view events, uint64_t now_ms,
                    struct cn_buf *out);
/* What is due goes to out. */
void cn_smooth_take(struct cn_smooth *s, uint64_t now_ms, struct cn_buf *out);
/* All of it goes to out. */
void cn_smooth_flush(struct cn_smooth *s, struct cn_buf *out);
/* When there will be something to take; UINT64_MAX: nothing is held.  s may be NULL. */
uint64_t cn_smooth_next_at(const struct cn_smooth *s);

/*
 * How many bytes of text to tell when about want of them should be: up to the end of a word
 * near there, else of what a reader sees as one character.  Never 0 unless text is empty.
 */
size_t cn_smooth_cut(struct cn_view text, size_t want);

#endif
