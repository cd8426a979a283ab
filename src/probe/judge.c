/*
 * What the judges have in common, and the report that they fill: which checks, what came in
 * few words, and when a chain relies on it.
 *
 * Pure; strings are in the arena of the report or static.
 */
#include "probe_impl.h"

#define CN_QUOTE_MAX 72 /* bytes of foreign text in a report's line */

const char *cn_probe_verdict_name(enum cn_probe_verdict v)
{
	static const char *const names[] = {"skipped", "ok", "odd", "no"};

	return names[v];
}

/* ---- words ---- */

void cn_probe__add_quote(struct cn_buf *b, struct cn_view text)
{
	size_t n = 0;

	cn_buf_add_char(b, '"');
	for (; n < text.n && n < CN_QUOTE_MAX; n++) {
		unsigned char c = (unsigned char)text.p[n];

		if (c < ' ' || c == 0x7f)
			cn_buf_add_char(b, ' ');
		else
			cn_buf_add(b, &c, 1);
	}
	/* Never the first half of a character. */
	if (n < text.n) {
		while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80) {
			cn_buf_truncate(b, b->n - 1);
			n--;
		}
		cn_buf_add_str(b, "…");
	}
	cn_buf_add_char(b, '"');
}

void cn_probe__add_outcome(struct cn_buf *b, const struct cn_outcome *o)
{
	cn_buf_add_str(b, cn_class_name(o->class));
	if (o->http_status)
		cn_buf_printf(b, " (%d)", o->http_status);
	if (o->message.n) {
		cn_buf_add_str(b, ": ");
		cn_probe__add_quote(b, o->message);
	} else if (o->reason) {
		cn_buf_printf(b, ": %s", o->reason);
	}
}

bool cn_probe__came(struct cn_probe_look *l, const struct cn_probe_answer *a)
{
	if (a->outcome.class == CN_CLASS_OK)
		return true;
	cn_probe__add_outcome(l->came, &a->outcome);
	return false;
}

bool cn_probe__refused(const struct cn_probe_answer *a)
{
	switch (a->outcome.http_status) {
	case 400:
	case 413:
	case 415:
	case 422:
	case 501:
		return true;
	default:
		return a->outcome.class == CN_CLASS_INVALID_REQUEST ||
		       a->outcome.class == CN_CLASS_OUTPUT_CEILING;
	}
}

bool cn_probe__says(struct cn_view text, const char *word)
{
	return cn_view_find_nocase(text, cn_view_str(word)) != SIZE_MAX;
}

/* ---- the report ---- */

static void forget(struct cn_probe_learned *l)
{
	*l = (struct cn_probe_learned){
	    .thinking = CN_ANY, .images = CN_ANY, .tools = CN_ANY};
}

static void judge_one(struct cn_probe_look *l, const struct cn_probe_check *c,
                      struct cn_probe_result *r, const char *stopped)
{
	const struct cn_probe_answer *a = &l->answers[c->request];
	CN_AUTO(cn_buf) came = {0};

	r->check = c->name;
	r->sent = c->sent;
	r->needed = cn_probe__needs(c, l->model);
	r->ms = a->over ? a->total_ms : 0;
	l->came = &came;
	if (a->over)
		r->verdict = c->judge(l);
	else
		cn_buf_add_str(&came, cn_probe__asks(c->request, l->model, &c->name, 1)
		                          ? stopped ? stopped : "not asked"
		                          : "not for this model, by the policy");
	if (a->waited_ms && a->over)
		cn_buf_printf(&came, " (asked again after %llu s)",
		              (unsigned long long)((a->waited_ms + 999) / 1000));
	r->came = cn_arena_dup(l->arena, cn_buf_view(&came));
	l->came = NULL;
}

void cn_probe_judge(struct cn_arena *a, const struct cn_probe_answer *answers,
                    const char *const *only, size_t n_only, struct cn_probe_report *ret)
{
	struct cn_probe_look l = {.arena = a,
	                          .model = ret->model,
	                          .id = ret->id,
	                          .answers = answers,
	                          .learned = &ret->learned};

	forget(&ret->learned);
	ret->results =
	    cn_arena_zalloc(a, cn_probe__n_checks * sizeof(struct cn_probe_result));
	ret->n_results = 0;
	for (size_t i = 0; i < cn_probe__n_checks; i++)
		if (cn_probe__wanted(&cn_probe__checks[i], only, n_only))
			judge_one(&l, &cn_probe__checks[i], &ret->results[ret->n_results++],
			          ret->stopped);
	ret->learned.quirks &= ~ret->model->quirks;
}

size_t cn_probe_count(const struct cn_probe_report *r, enum cn_probe_verdict v, bool needed)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_results; i++)
		n += r->results[i].verdict == v && (!needed || r->results[i].needed);
	return n;
}
