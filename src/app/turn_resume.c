/*
 * Who goes on with an answer that broke off, how it is asked to, and when an answer that
 * seems to have ended has not (design/continuity.md "After commit", "Continuing a text on
 * another model").
 *
 * Decides nothing about the turn's state: turn.c asks.  Runs on the turn's worker; what it
 * makes is in the turn's arena.
 */
#include "turn_impl.h"

#include "continuo/json.h"

#include <stdio.h>

/* ---- who, and how ---- */

/* The mode of a candidate: the chain's, unless that leaves it to the model. */
static enum cn_continuation mode_of(const struct cn_turn *t, const struct cn_candidate *c)
{
	enum cn_continuation asked = t->plan.fallback->continuation;

	if (c->model->continuation == CN_CONTINUE_OFF)
		return CN_CONTINUE_OFF;
	return asked == CN_CONTINUE_AUTO ? c->model->continuation : asked;
}

bool cn_turn__goes_on(const struct cn_turn *t, const struct cn_candidate *c)
{
	return mode_of(t, c) != CN_CONTINUE_OFF;
}

void cn_turn__plan_resume(struct cn_turn *t)
{
	const struct cn_plan *p = &t->plan;
	struct cn_candidate *v = cn_arena_zalloc(&t->arena, (p->n + 1) * sizeof(*v));

	t->resume = *p;
	t->resume.candidates = v;
	t->resume.n = 0;
	t->resume.resuming = true;
	for (size_t i = 0; i < p->n; i++)
		if (cn_turn__goes_on(t, &p->candidates[i]))
			v[t->resume.n++] = p->candidates[i];
}

enum cn_resume cn_turn__how(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	struct cn_learned learned;

	switch (mode_of(t, t->candidate)) {
	case CN_CONTINUE_PREFILL:
		uv_mutex_lock(&sh->health_lock);
		learned = cn_health_learned(sh->health, t->candidate);
		uv_mutex_unlock(&sh->health_lock);
		return learned.no_prefill ? CN_RESUME_ASKED : CN_RESUME_PREFILL;
	case CN_CONTINUE_RESTART:
		return CN_RESUME_ANEW;
	case CN_CONTINUE_AUTO:
	case CN_CONTINUE_INSTRUCT:
	case CN_CONTINUE_OFF:
		break;
	}
	return CN_RESUME_ASKED;
}

/* ---- the request ---- */

/*
 * Said as the person would: models take a notice from an operator for an injection.  The
 * anchor stands on a line of its own, as it is.
 */
static void add_plea(struct cn_buf *b, struct cn_view anchor)
{
	CN_AUTO(cn_buf) text = {0};

	cn_buf_add_str(&text,
	               "Sorry, the connection dropped and I only got the beginning of "
	               "your answer, up to the point where it stops above. Please go "
	               "on from exactly where you stopped, without starting over and "
	               "without any introduction. Begin by repeating your last words "
	               "verbatim, so that I can join the two parts:\n\n");
	cn_buf_add_view(&text, anchor);
	cn_buf_add_str(&text,
	               "\n\nThen carry on directly and do everything you were going to "
	               "do, including any tool calls.");
	cn_buf_add_str(b, ",{\"role\":\"user\"");
	cn_json_add_text(b, "content", cn_buf_view(&text));
	cn_buf_add_char(b, '}');
}

void cn_turn__edit_resume(struct cn_turn *t, struct cn_edit *edit)
{
	enum cn_resume how = cn_turn__how(t);
	CN_AUTO(cn_buf) content = {0}, text = {0}, b = {0};

	cn_splice_partial(t->splice, &content);
	/* Nothing was said but thinking: then nothing is to be gone on from. */
	if (how == CN_RESUME_ANEW || content.n == 2)
		return;
	cn_buf_add_str(&b, "{\"role\":\"assistant\"");
	cn_json_add_raw(&b, "content", cn_buf_view(&content));
	cn_buf_add_char(&b, '}');
	if (how == CN_RESUME_ASKED) {
		cn_splice_text(t->splice, &text);
		add_plea(&b, cn_joint_anchor(cn_buf_view(&text)));
	}
	edit->prefill = how == CN_RESUME_PREFILL;
	edit->append = cn_arena_view(&t->arena, cn_buf_view(&b));
}

uint64_t cn_turn__tokens_left(const struct cn_turn *t)
{
	uint64_t spent = cn_splice_spent(t->splice), all = t->req.max_tokens;

	/* What broke off was estimated: an answer is never refused the room for an end. */
	if (spent + CN_RESUME_TOKENS >= all)
		return all < CN_RESUME_TOKENS ? all : CN_RESUME_TOKENS;
	return all - spent;
}

/* ---- answers that seem to have ended ---- */

bool cn_turn__cut_short(const struct cn_turn *t)
{
	const struct cn_usage *u = cn_splice_usage(t->splice);
	/* Some do not count what they thought. */
	uint64_t about = cn_splice_gave(t->splice) / 4;
	uint64_t output = u->output > about ? u->output : about;
	uint64_t spent = cn_splice_spent(t->splice) + output;

	if (!cn_view_is(cn_splice_stop_reason(t->splice), "max_tokens"))
		return false;
	if (!u->has_output || spent + CN_RESUME_TOKENS > t->req.max_tokens)
		return false;
	/* By a limit that we sent because of the model, or by one that it never told. */
	return t->asked_tokens < cn_turn__tokens_left(t) ||
	       output + output / 16 + CN_RESUME_TOKENS < t->asked_tokens;
}

/* Whether the last sentence says that something will be done now. */
static bool announces(struct cn_view text)
{
	static const char *const words[] = {
	    "let me ",         "let's ",   "i'll ",        "i will ",    "i am going to ",
	    "i'm going to ",   "now i ",   "next, i",      "i need to ", "i'm now ",
	    "\xe2\x80\x99ll ", "first, i", "going to use",
	};
	struct cn_view tail = cn_joint_trim(text);
	size_t at;

	tail = cn_view_from(tail, tail.n > 400 ? tail.n - 400 : 0);
	if (tail.n == 0 || !tail.p)
		return false;
	for (at = tail.n - 1; at > 0; at--)
		if ((tail.p[at - 1] == '\n') ||
		    (tail.p[at] == ' ' && strchr(".!?", tail.p[at - 1])))
			break;
	tail = cn_view_from(tail, at);
	if (cn_view_find_nocase(tail, CN_VIEW("let me know")) != SIZE_MAX)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (cn_view_find_nocase(tail, cn_view_str(words[i])) != SIZE_MAX)
			return true;
	return tail.n > 0 && tail.p[tail.n - 1] == ':';
}

bool cn_turn__weak(struct cn_turn *t)
{
	CN_AUTO(cn_buf) text = {0};

	if (!cn_splice_continuing(t->splice) || t->req.n_tools == 0 ||
	    cn_splice_called(t->splice) ||
	    !cn_view_is(cn_splice_stop_reason(t->splice), "end_turn"))
		return false;
	cn_splice_text(t->splice, &text);
	return announces(cn_buf_view(&text));
}
