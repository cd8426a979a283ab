/*
 * Whether a model is to think and how hard, said by the switch that it has
 * (wire/provider-quirks.md 2, wire/openai-chat.md 5).
 *
 * A request that says nothing of thinking asks for none.  Pure.
 */
#include "openai_chat_encode_impl.h"

struct wish {
	bool thinks;
	uint64_t budget;       /* tokens; 0: not said */
	struct cn_view effort; /* decoded; empty: not said */
};

static struct wish wish_of(const struct cn_chat_encoder *e)
{
	struct cn_json thinking = cn_chat__member(e, "thinking");
	struct cn_json type = cn_json_get(thinking, "type");
	struct cn_json effort = cn_json_get(cn_chat__member(e, "output_config"), "effort");
	struct wish w = {.thinks =
	                     cn_json_is(type, "enabled") || cn_json_is(type, "adaptive")};

	(void)cn_json_u64(cn_json_get(thinking, "budget_tokens"), &w.budget);
	w.effort = e->edit->effort.n ? e->edit->effort : cn_json_text(e->arena, effort);
	return w;
}

bool cn_chat__thinks(const struct cn_chat_encoder *e)
{
	return wish_of(e).thinks || cn_chat_quirk(e, CN_QUIRK_ALWAYS_THINKS);
}

/* A level that the model knows; NULL: leave it to the model. */
static const char *level(const struct cn_chat_encoder *e, const struct wish *w)
{
	static const char *const names[] = {"low", "medium", "high", "xhigh", "max"};
	size_t n = sizeof(names) / sizeof(names[0]), i;

	if (w->effort.n == 0 && w->budget == 0)
		return NULL;
	i = w->budget <= 1024 ? 0 : w->budget <= 8192 ? 1 : 2;
	if (w->effort.n)
		for (i = 0; i < n && !cn_view_is(w->effort, names[i]); i++)
			;
	if (i == n)
		return NULL;
	if (cn_chat_quirk(e, CN_QUIRK_EFFORT_XHIGH))
		return names[i];
	if (cn_chat_quirk(e, CN_QUIRK_EFFORT_NO_MEDIUM))
		return i == 0 ? "low" : i == 4 ? "max" : "high";
	return i > 2 ? "high" : names[i];
}

static void write_effort(struct cn_chat_encoder *e, const struct wish *w)
{
	bool tools = e->r->n_tools > e->r->n_server_tools;
	const char *name =
	    w->thinks || cn_chat_quirk(e, CN_QUIRK_ALWAYS_THINKS) ? level(e, w) : NULL;

	if (!cn_chat_quirk(e, CN_QUIRK_EFFORT))
		return;
	if ((tools && cn_chat_quirk(e, CN_QUIRK_EFFORT_NONE_WITH_TOOLS)) ||
	    (!w->thinks && cn_chat_quirk(e, CN_QUIRK_EFFORT_NONE)))
		name = "none";
	if (name && !cn_chat__is_added(e, "reasoning_effort"))
		cn_json_add_text(&e->out.b, "reasoning_effort", cn_view_str(name));
}

/* Whether the model has that switch, and the policy leaves it to the request. */
static bool has_switch(const struct cn_chat_encoder *e, enum cn_quirk quirk,
                       const char *member)
{
	return cn_chat_quirk(e, quirk) && !cn_chat__is_added(e, member);
}

static void write_object(struct cn_chat_encoder *e, const struct wish *w)
{
	const char *name = level(e, w);

	if (!w->thinks && cn_chat_quirk(e, CN_QUIRK_ALWAYS_THINKS))
		return;
	cn_chat_out__key(e, "reasoning");
	cn_chat_out__str(e, "{");
	if (!w->thinks)
		cn_json_add_bool(&e->out.b, "enabled", false);
	else if (w->effort.n == 0 && w->budget)
		cn_json_add_u64(&e->out.b, "max_tokens", w->budget);
	else if (name)
		cn_json_add_text(&e->out.b, "effort", cn_view_str(name));
	else
		cn_json_add_bool(&e->out.b, "enabled", true);
	cn_chat_out__str(e, "}");
}

void cn_chat__write_thinking(struct cn_chat_encoder *e)
{
	struct wish w = wish_of(e);
	bool settable = w.thinks || !cn_chat_quirk(e, CN_QUIRK_ALWAYS_THINKS);

	write_effort(e, &w);
	if (has_switch(e, CN_QUIRK_REASONING_OBJECT, "reasoning"))
		write_object(e, &w);
	if (settable && has_switch(e, CN_QUIRK_THINKING_TYPE, "thinking"))
		cn_json_add_raw(&e->out.b, "thinking",
		                w.thinks ? CN_VIEW("{\"type\":\"enabled\"}")
		                         : CN_VIEW("{\"type\":\"disabled\"}"));
	if (settable && has_switch(e, CN_QUIRK_ENABLE_THINKING, "enable_thinking")) {
		cn_json_add_bool(&e->out.b, "enable_thinking", w.thinks);
		if (w.thinks && w.budget)
			cn_json_add_u64(&e->out.b, "thinking_budget", w.budget);
	}
	if (settable && has_switch(e, CN_QUIRK_TEMPLATE_THINKING, "chat_template_kwargs"))
		cn_json_add_raw(&e->out.b, "chat_template_kwargs",
		                w.thinks ? CN_VIEW("{\"enable_thinking\":true}")
		                         : CN_VIEW("{\"enable_thinking\":false}"));
}
