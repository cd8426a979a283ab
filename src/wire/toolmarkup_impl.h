/*
 * The families of tool calls that arrive as text (wire/provider-quirks.md 4): how each is
 * marked and read.  The search for them in a stream is toolmarkup.c.  Private to wire/.
 */
#ifndef CONTINUO_TOOLMARKUP_IMPL_H
#define CONTINUO_TOOLMARKUP_IMPL_H

#include "compose_impl.h"

#define CN_MARKUP_FORMS  3
#define CN_MARKUP_AROUND 8

/* The calls of one piece of markup. */
struct cn_markup_call {
	struct cn_view name, input; /* in arena or of the text */
};
struct cn_markup_found {
	const struct cn_composer *c;
	struct cn_arena arena;
	bool may_close; /* it is known not to have been cut */
	struct cn_markup_call calls[CN_CALLS_MAX];
	size_t n;
};

/* Whether the beginning of an unmarked text may be a call. */
enum cn_markup_guess {
	CN_MARKUP_NO,
	CN_MARKUP_PERHAPS, /* more of it will tell */
	CN_MARKUP_YES,
};

struct cn_markup_family {
	const char *name;
	struct {
		const char *open;
		const char *close; /* NULL: it ends where its value does */
	} forms[CN_MARKUP_FORMS];
	const char *around[CN_MARKUP_AROUND]; /* wrappers: dropped */
	/* inside: between the markers.  false: it cannot be read. */
	bool (*read)(struct cn_markup_found *f, struct cn_view inside);
	/* A call without a marker, at the beginning of the text or behind another; NULL:
	 * there are none. */
	enum cn_markup_guess (*bare)(const struct cn_composer *c, struct cn_view text);
};

/* NULL: calls of this model come as calls, or not as any text that we know. */
const struct cn_markup_family *cn_markup__family(const struct cn_decode_hints *hints);

/* ---- toolmarkup_json.c: families whose calls, or arguments, are JSON ---- */

bool cn_markup__read_object(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_kimi(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_deepseek(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_mistral(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_harmony(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_python(struct cn_markup_found *f, struct cn_view inside);
enum cn_markup_guess cn_markup__bare_object(const struct cn_composer *c,
                                            struct cn_view text);
enum cn_markup_guess cn_markup__bare_list(const struct cn_composer *c, struct cn_view text);

/* ---- toolmarkup_tags.c: families that name each parameter ---- */

bool cn_markup__read_glm(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_qwen(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_invoke(struct cn_markup_found *f, struct cn_view inside);
bool cn_markup__read_kimi_k3(struct cn_markup_found *f, struct cn_view inside);

/* ---- what the readers share; toolmarkup_json.c ---- */

/* Cuts *rest behind the next occurrence of what; *retbefore is what stood before. */
bool cn_markup__cut(struct cn_view *rest, const char *what, struct cn_view *retbefore);
struct cn_view cn_markup__trim(struct cn_view v);
/* false: too many. */
bool cn_markup__add(struct cn_markup_found *f, struct cn_view name, struct cn_view input);

#endif
