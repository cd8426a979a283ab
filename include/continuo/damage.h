/*
 * Damage that comes without an error: a prompt that the server cut to its window, and an
 * answer of another model than was asked (wire/fallback-rules.md 1, class `damaged`).  What
 * is judged are figures and names; what follows is the turn's and the policy's.  Pure.
 */
#ifndef CONTINUO_DAMAGE_H
#define CONTINUO_DAMAGE_H

#include "continuo/view.h"

#define CN_DAMAGES(X)                                     \
	X(CUT, "prompt_cut", "the server cut the prompt") \
	X(RENAMED, "other_model", "another model answers")

/* symbol, the word in JSON, a phrase for people */
enum cn_damage {
#define X(symbol, word, phrase) CN_DAMAGE_##symbol,
	CN_DAMAGES(X)
#undef X
	CN_N_DAMAGES
};
const char *cn_damage_word(enum cn_damage d);
const char *cn_damage_phrase(enum cn_damage d);

/* A prompt as we weighed it and as the backend counted it, in tokens. */
struct cn_prompt_count {
	uint64_t least;    /* the estimate of what every server has to read */
	uint64_t reported; /* input and cache together */
	uint64_t window;   /* of the model; 0: not known */
	bool known;        /* the backend is known to cut (quirk silent_cut) */
	bool own;          /* a server of one's own: the usual windows are looked for */
};
/* Whether most of the prompt never reached the model. */
bool cn_damage_cut(const struct cn_prompt_count *p);

/*
 * Whether answered names the model that was asked for: vendor prefixes, tags, dates, case
 * and punctuation aside.  own: a server of one's own, which calls its model by a file.
 * Empty names are the same as any.
 */
bool cn_damage_same_model(struct cn_view asked, struct cn_view answered, bool own);

#endif
