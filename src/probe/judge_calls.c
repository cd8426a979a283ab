/*
 * The judges of tool calls and their results.
 *
 * Pure.
 */
#include "probe_impl.h"

#include "continuo/json.h"

static void add_call(struct cn_buf *b, const struct cn_probe_call *c)
{
	cn_buf_printf(b, "%.*s ", CN_VIEW_ARG(cn_view_cut(c->name, 40)));
	cn_probe__add_quote(b, c->input);
}

/* A call of the suite's tool with that city: what is wrong with it; NULL: nothing. */
static const char *mistake(const struct cn_probe_call *c, const char *city)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_view text;

	if (!cn_view_is(c->name, "get_weather"))
		return "another tool's name";
	if (c->input.n == 0 || cn_json_check(c->input, NULL))
		return "the arguments are no JSON";
	text = cn_json_text(&a, cn_json_get(cn_json_root(c->input), "city"));
	if (text.n == 0)
		return "no city in the arguments";
	return city && !cn_probe__says(text, city) ? "another city" : NULL;
}

/* No call came where one was asked for. */
static enum cn_probe_verdict no_call(struct cn_probe_look *l,
                                     const struct cn_probe_answer *a)
{
	const char *family = cn_toolmarkup_guess(a->text);

	cn_probe__add_quote(l->came, a->text);
	if (family && !l->model->tool_format) {
		cn_buf_printf(l->came, "; a call as text (%s)", family);
		l->learned->tool_format = family;
	} else {
		cn_buf_add_str(l->came, "; no call");
	}
	return CN_PROBE_BAD;
}

static enum cn_probe_verdict judge_call(struct cn_probe_look *l,
                                        const struct cn_probe_answer *a, const char *city)
{
	const char *wrong;

	if (!cn_probe__came(l, a)) {
		if (cn_probe__refused(a) && cn_probe__says(a->outcome.message, "tool"))
			l->learned->tools = CN_NO;
		return CN_PROBE_BAD;
	}
	if (a->n_calls == 0)
		return no_call(l, a);
	add_call(l->came, &a->calls[0]);
	wrong = mistake(&a->calls[0], city);
	if (wrong) {
		cn_buf_printf(l->came, "; %s", wrong);
		return CN_PROBE_BAD;
	}
	/* A call that came as text has none; the router gives it one, as to all. */
	if (a->calls[0].id.n == 0 && !l->model->tool_format) {
		cn_buf_add_str(l->came, "; no id");
		return CN_PROBE_ODD;
	}
	if (!cn_view_is(a->stop_reason, "tool_use")) {
		cn_buf_add_str(l->came, "; the answer does not end for a call");
		return CN_PROBE_ODD;
	}
	return CN_PROBE_GOOD;
}

enum cn_probe_verdict cn_probe__judge_call(struct cn_probe_look *l)
{
	return judge_call(l, &l->answers[CN_PROBE_CALL], "paris");
}

enum cn_probe_verdict cn_probe__judge_call_stream(struct cn_probe_look *l)
{
	return judge_call(l, &l->answers[CN_PROBE_CALL_STREAM], "oslo");
}

enum cn_probe_verdict cn_probe__judge_parallel(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_PARALLEL];

	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	if (a->n_calls == 0)
		return no_call(l, a);
	cn_buf_printf(l->came, "%zu call%s", a->n_calls, a->n_calls == 1 ? "" : "s");
	if (a->n_calls == 1)
		return CN_PROBE_ODD;
	for (size_t i = 0; i < a->n_calls && i < CN_PROBE_CALLS; i++) {
		const char *wrong = mistake(&a->calls[i], NULL);

		if (wrong) {
			cn_buf_printf(l->came, "; call %zu: %s", i + 1, wrong);
			return CN_PROBE_BAD;
		}
	}
	if (a->calls[0].id.n && cn_view_eq(a->calls[0].id, a->calls[1].id)) {
		cn_buf_add_str(l->came, "; both with the same id");
		return CN_PROBE_ODD;
	}
	return CN_PROBE_GOOD;
}

enum cn_probe_verdict cn_probe__judge_forced(struct cn_probe_look *l)
{
	const struct cn_probe_answer *a = &l->answers[CN_PROBE_FORCED];

	if (!cn_probe__came(l, a)) {
		if (cn_probe__refused(a) &&
		    cn_probe__says(a->outcome.message, "tool_choice"))
			l->learned->quirks |= cn_quirk_bit(CN_QUIRK_AUTO_TOOL_CHOICE);
		return CN_PROBE_BAD;
	}
	if (a->n_calls) {
		add_call(l->came, &a->calls[0]);
		return CN_PROBE_GOOD;
	}
	cn_probe__add_quote(l->came, a->text);
	cn_buf_add_str(l->came, "; no call");
	return CN_PROBE_ODD;
}

static enum cn_probe_verdict judge_result(struct cn_probe_look *l,
                                          const struct cn_probe_answer *a, const char *word)
{
	if (!cn_probe__came(l, a))
		return CN_PROBE_BAD;
	if (a->n_calls && a->text.n == 0) {
		cn_buf_add_str(l->came, "called again");
		return CN_PROBE_ODD;
	}
	cn_probe__add_quote(l->came, a->text);
	return cn_probe__says(a->text, word) ? CN_PROBE_GOOD : CN_PROBE_BAD;
}

enum cn_probe_verdict cn_probe__judge_result(struct cn_probe_look *l)
{
	return judge_result(l, &l->answers[CN_PROBE_RESULT], "4711");
}

enum cn_probe_verdict cn_probe__judge_bad_result(struct cn_probe_look *l)
{
	return judge_result(l, &l->answers[CN_PROBE_BAD_RESULT], "QX-81");
}
