/*
 * The judges of text: answers, system prompts, stop sequences, limits, streams, thinking,
 * pictures and figures.  Those of calls are in judge_calls.c.
 *
 * Pure.
 */
#include "probe_impl.h"

#include "continuo/damage.h"
#include "continuo/json.h"

#define CN_LUMP    120 /* bytes of text a delta, above which a stream comes in lumps */
#define CN_CUT_MAX 64  /* tokens of an answer that was to have 16 */

static void learn_quirk(struct cn_probe_look *l, enum cn_quirk q)
{
	l->learned->quirks |= cn_quirk_bit(q);
}

/* An answer that has to hold a word, and its text either way. */
static enum cn_probe_verdict has_word(struct cn_probe_look *l,
                                      const struct cn_probe_answer *a, const char *word)
{
	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	cn_probe__add_quote(l->came, a->text);
	return cn_probe__says(a->text, word) ? CN_PROBE_GOOD : CN_PROBE_BAD;
}

enum cn_probe_verdict cn_probe__judge_answer(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_HELLO];

	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	cn_probe__add_quote(l->came, a->text);
	if (a->text.n == 0)
		return CN_PROBE_BAD;
	if (cn_probe__says(a->text, "<think>")) {
		cn_buf_add_str(l->came, "; thinking stands in the text");
		learn_quirk(l, CN_QUIRK_THINK_TAGS);
		return CN_PROBE_ODD;
	}
	return cn_probe__says(a->text, "pong") ? CN_PROBE_GOOD : CN_PROBE_ODD;
}

enum cn_probe_verdict cn_probe__judge_whole(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_WHOLE];

	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	cn_probe__add_quote(l->came, a->text);
	return a->text.n ? CN_PROBE_GOOD : CN_PROBE_BAD;
}

/* ---- system prompts ---- */

enum cn_probe_verdict cn_probe__judge_system(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_SYSTEM];
	enum cn_probe_verdict v = has_word(l, a, "BASALT-7");

	/* Only where it answered sensibly is silence a sign. */
	if (v == CN_PROBE_BAD && a->outcome.class == CN_CLASS_OK && a->text.n) {
		cn_buf_add_str(l->came, "; the system prompt was dropped");
		learn_quirk(l, CN_QUIRK_FOLD_SYSTEM);
	}
	return v;
}

enum cn_probe_verdict cn_probe__judge_late_system(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_LATE_SYSTEM];
	enum cn_probe_verdict v = has_word(l, a, "COBALT-9");

	if (v == CN_PROBE_BAD && (a->text.n || cn_probe__refused(a)))
		learn_quirk(l, CN_QUIRK_NO_SYSTEM_MESSAGES);
	return v;
}

/* ---- where it ends ---- */

enum cn_probe_verdict cn_probe__judge_stop(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_STOP];
	bool chat = l->model->backend->wire == CN_WIRE_OPENAI_CHAT;

	if (!cn_probe__came(l, a)) {
		if (chat && cn_probe__refused(a))
			learn_quirk(l, CN_QUIRK_NO_STOP);
		return CN_PROBE_BAD;
	}
	cn_probe__add_quote(l->came, a->text);
	if (cn_probe__says(a->text, "echo")) {
		cn_buf_add_str(l->came, "; the sequence was written past");
		return CN_PROBE_BAD;
	}
	if (!cn_probe__says(a->text, "charlie"))
		return CN_PROBE_ODD;
	if (cn_probe__says(a->text, "delta")) {
		cn_buf_add_str(l->came, "; the sequence itself came along");
		return CN_PROBE_ODD;
	}
	cn_buf_printf(l->came, ", %.*s", CN_VIEW_ARG(a->stop_reason));
	/* Chat Completions has no word for it. */
	if (chat || (cn_view_is(a->stop_reason, "stop_sequence") &&
	             cn_view_is(a->stop_sequence, "delta")))
		return CN_PROBE_GOOD;
	cn_buf_add_str(l->came, "; not named");
	return CN_PROBE_ODD;
}

enum cn_probe_verdict cn_probe__judge_ceiling(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_CEILING];
	uint64_t limit = a->outcome.limit, known = l->model->max_output;

	if (a->outcome.class == CN_CLASS_OK) {
		cn_buf_add_str(l->came, "taken");
		return CN_PROBE_GOOD;
	}
	if (!cn_probe__refused(a)) {
		cn_probe__add_outcome(l->came, &a->outcome);
		return CN_PROBE_BAD;
	}
	if (!limit) {
		cn_probe__add_outcome(l->came, &a->outcome);
		return CN_PROBE_ODD;
	}
	cn_buf_printf(l->came, "refused; at most %llu", (unsigned long long)limit);
	if (!known || known > limit)
		l->learned->max_output = limit;
	return CN_PROBE_GOOD;
}

enum cn_probe_verdict cn_probe__judge_cut(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_CUT];

	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	cn_buf_printf(l->came, "%.*s", CN_VIEW_ARG(a->stop_reason));
	if (a->usage.has_output)
		cn_buf_printf(l->came, " after %llu tokens",
		              (unsigned long long)a->usage.output);
	if (!cn_view_is(a->stop_reason, "max_tokens"))
		return CN_PROBE_BAD;
	return a->usage.has_output && a->usage.output > CN_CUT_MAX ? CN_PROBE_ODD
	                                                           : CN_PROBE_GOOD;
}

/* ---- streams ---- */

enum cn_probe_verdict cn_probe__judge_frames(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_NUMBERS];
	const struct cn_probe_answer *whole = &l->answers[CN_PROBE_WHOLE];

	if (!cn_probe__came(l, a)) {
		/* An answer in one piece is better than a stream that cannot be had. */
		if (cn_probe__refused(a) && whole->over &&
		    whole->outcome.class == CN_CLASS_OK) {
			l->learned->has_stream = true;
			l->learned->stream = CN_STREAM_NEVER;
		}
		return CN_PROBE_BAD;
	}
	cn_buf_printf(l->came, "%zu bytes in %zu deltas, %.*s", a->text.n, a->n_deltas,
	              CN_VIEW_ARG(a->stop_reason));
	if (a->text.n == 0)
		return CN_PROBE_BAD;
	if (a->text.n > CN_LUMP * a->n_deltas) {
		cn_buf_add_str(l->came, "; in lumps");
		return CN_PROBE_ODD;
	}
	return CN_PROBE_GOOD;
}

enum cn_probe_verdict cn_probe__judge_speed(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_NUMBERS];
	uint64_t rest = a->total_ms - a->first_ms;

	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	cn_buf_printf(l->came, "first after %llu ms", (unsigned long long)a->first_ms);
	if (a->usage.has_output && rest > 0)
		cn_buf_printf(l->came, ", then %llu tokens/s",
		              (unsigned long long)(a->usage.output * 1000 / rest));
	return CN_PROBE_GOOD;
}

/* ---- going on ---- */

enum cn_probe_verdict cn_probe__judge_prefill(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_PREFILL];
	enum cn_continuation now = l->model->continuation;
	enum cn_probe_verdict v = CN_PROBE_BAD;
	struct cn_view text = cn_view_trim(a->text);

	if (a->outcome.class != CN_CLASS_OK) {
		cn_probe__add_outcome(l->came, &a->outcome);
		if (!cn_probe__refused(a))
			return v;
	} else {
		cn_probe__add_quote(l->came, a->text);
		if (cn_view_starts(text, CN_VIEW("five"))) {
			cn_buf_add_str(l->came, "; goes on");
			v = CN_PROBE_GOOD;
		} else if (cn_probe__says(cn_view_cut(text, 24), "one two")) {
			cn_buf_add_str(l->came, "; repeats");
		} else {
			cn_buf_add_str(l->came, "; begins anew");
		}
	}
	/* What a person turned off or made to restart stays so. */
	if (now == (v == CN_PROBE_GOOD ? CN_CONTINUE_INSTRUCT : CN_CONTINUE_PREFILL)) {
		l->learned->has_continuation = true;
		l->learned->continuation =
		    v == CN_PROBE_GOOD ? CN_CONTINUE_PREFILL : CN_CONTINUE_INSTRUCT;
	}
	return v;
}

/* ---- thinking ---- */

static bool thought(const struct cn_probe_answer *a)
{
	return a->over && a->outcome.class == CN_CLASS_OK &&
	       (a->thinking.n || a->signature);
}

static bool took(const struct cn_probe_answer *a)
{
	return a->over && a->outcome.class == CN_CLASS_OK;
}

static void add_thinking(struct cn_buf *b, const struct cn_probe_answer *a)
{
	if (!thought(a))
		cn_buf_add_str(b, "taken; no thinking came back");
	else if (a->thinking.n == 0)
		cn_buf_add_str(b, "thinking without its text");
	else
		cn_buf_printf(b, "%zu bytes of thinking%s", a->thinking.n,
		              a->signature ? ", signed" : "");
}

/* What both ways to ask for it say together. */
static void learn_thinking(struct cn_probe_look *l)
{
	const struct cn_probe_answer *adaptive = &l->answers[CN_PROBE_ADAPTIVE];
	const struct cn_probe_answer *budget = &l->answers[CN_PROBE_BUDGET];

	if (thought(adaptive) || thought(budget))
		l->learned->thinking = CN_YES;
	else if (adaptive->over && budget->over && cn_probe__refused(adaptive) &&
	         cn_probe__refused(budget))
		l->learned->thinking = CN_NO;
	/* In Chat Completions neither word exists. */
	if (l->model->backend->wire != CN_WIRE_ANTHROPIC)
		return;
	if (adaptive->over && cn_probe__refused(adaptive) && thought(budget))
		learn_quirk(l, CN_QUIRK_NO_ADAPTIVE_THINKING);
	if (budget->over && cn_probe__refused(budget) && took(adaptive))
		learn_quirk(l, CN_QUIRK_NO_THINKING_BUDGET);
}

enum cn_probe_verdict cn_probe__judge_adaptive(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_ADAPTIVE];

	learn_thinking(l);
	if (!cn_probe__came(l, a))
		return took(&l->answers[CN_PROBE_BUDGET]) ? CN_PROBE_ODD : CN_PROBE_BAD;
	add_thinking(l->came, a);
	return thought(a) ? CN_PROBE_GOOD : CN_PROBE_ODD;
}

enum cn_probe_verdict cn_probe__judge_budget(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_BUDGET];

	learn_thinking(l);
	if (!cn_probe__came(l, a))
		return took(&l->answers[CN_PROBE_ADAPTIVE]) ? CN_PROBE_ODD : CN_PROBE_BAD;
	add_thinking(l->came, a);
	return thought(a) ? CN_PROBE_GOOD : CN_PROBE_ODD;
}

/* ---- pictures ---- */

enum cn_probe_verdict cn_probe__judge_image(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_IMAGE];
	enum cn_probe_verdict v = has_word(l, a, "red");

	if (v == CN_PROBE_GOOD)
		l->learned->images = CN_YES;
	else if (cn_probe__refused(a) || (a->outcome.class == CN_CLASS_OK && a->text.n))
		l->learned->images = CN_NO;
	return v;
}

enum cn_probe_verdict cn_probe__judge_tool_image(struct cn_probe_look *l)
{
	return has_word(l, &l->answers[CN_PROBE_TOOL_IMAGE], "blue");
}

/* ---- figures and names ---- */

enum cn_probe_verdict cn_probe__judge_usage(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_LONG];
	const struct cn_usage *u = &a->usage;
	uint64_t input = u->input + u->cache_read + u->cache_write;
	struct cn_prompt_count count = {
	    .least = a->least, .reported = input, .window = l->model->context};

	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	if (!u->has_input || input == 0) {
		cn_buf_add_str(l->came, "no input tokens");
		return CN_PROBE_BAD;
	}
	cn_buf_printf(l->came, "%llu in, by our estimate %llu", (unsigned long long)input,
	              (unsigned long long)a->estimate);
	if (!u->has_output || u->output == 0) {
		cn_buf_add_str(l->came, "; no output tokens");
		return CN_PROBE_BAD;
	}
	cn_buf_printf(l->came, "; %llu out", (unsigned long long)u->output);
	if (cn_damage_cut(&count)) {
		cn_buf_add_str(l->came, "; the prompt was cut");
		return CN_PROBE_BAD;
	}
	return input < a->estimate / 3 || input > a->estimate * 3 ? CN_PROBE_ODD
	                                                          : CN_PROBE_GOOD;
}

enum cn_probe_verdict cn_probe__judge_count(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_COUNT];
	uint64_t n;

	if (!cn_probe__came(l, a))
		return CN_PROBE_ODD;
	if (cn_json_check(a->raw, NULL) ||
	    !cn_json_u64(cn_json_get(cn_json_root(a->raw), "input_tokens"), &n)) {
		cn_probe__add_quote(l->came, a->raw);
		return CN_PROBE_ODD;
	}
	cn_buf_printf(l->came, "%llu, by our estimate %llu", (unsigned long long)n,
	              (unsigned long long)a->estimate);
	return n < a->estimate / 3 || n > a->estimate * 3 ? CN_PROBE_ODD : CN_PROBE_GOOD;
}

enum cn_probe_verdict cn_probe__judge_wrong(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_WRONG];
	const struct cn_outcome *o = &a->outcome;

	if (o->class == CN_CLASS_OK) {
		cn_buf_add_str(l->came, "answered as if nothing were wrong");
		return CN_PROBE_ODD;
	}
	cn_probe__add_outcome(l->came, o);
	return o->class == CN_CLASS_INVALID_REQUEST && o->message.n ? CN_PROBE_GOOD
	                                                            : CN_PROBE_ODD;
}

enum cn_probe_verdict cn_probe__judge_unknown(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_UNKNOWN];

	if (!cn_probe__came(l, a))
		return CN_PROBE_ODD;
	cn_buf_add_str(l->came, "taken");
	return CN_PROBE_GOOD;
}

enum cn_probe_verdict cn_probe__judge_name(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_HELLO];
	bool own = l->model->backend->network == CN_NETWORK_PRIVATE;

	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	if (a->model.n == 0) {
		cn_buf_add_str(l->came, "no name");
		return CN_PROBE_ODD;
	}
	cn_probe__add_quote(l->came, a->model);
	return cn_damage_same_model(l->id, a->model, own) ? CN_PROBE_GOOD : CN_PROBE_BAD;
}

enum cn_probe_verdict cn_probe__judge_cache(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_LONG_AGAIN];
	const struct cn_probe_answer *first = &l->answers[CN_PROBE_LONG];

	if (!cn_probe__came(l, a)) {
		if (cn_probe__refused(a) &&
		    cn_probe__says(a->outcome.message, "cache_control"))
			learn_quirk(l, CN_QUIRK_NO_CACHE_CONTROL);
		return CN_PROBE_BAD;
	}
	if (a->usage.has_cache_read && a->usage.cache_read) {
		cn_buf_printf(l->came, "%llu tokens from the cache",
		              (unsigned long long)a->usage.cache_read);
		return CN_PROBE_GOOD;
	}
	cn_buf_add_str(l->came, first->over && first->usage.has_cache_write &&
	                                first->usage.cache_write
	                            ? "written, but not read"
	                            : "nothing from a cache");
	return CN_PROBE_ODD;
}
