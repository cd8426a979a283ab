/*
 * What an answer that looks well says against itself: that its prompt was cut, that another
 * model gave it (fallback-rules.md 1, class `damaged`).
 *
 * A person is told once for each model.  Where the chain's `fallback.on` names the class,
 * nothing of such an answer is given as long as nothing was; what shows only behind the
 * commit (Chat backends count at the end) costs the model its place from the next turn on.
 * Runs on the turn's worker.
 */
#include "turn_impl.h"

#include "continuo/clock.h"

#define CN_NAME_TOLD 100 /* bytes of a backend's word for its model */

static bool is_failure(const struct cn_turn *t)
{
	return t->plan.fallback->on & (1u << CN_CLASS_DAMAGED);
}

/* detail: in the arena. */
static void found(struct cn_turn *t, enum cn_damage what, const char *detail)
{
	struct cn_shared *sh = t->worker->shared;
	const char *text =
	    cn_arena_printf(&t->arena, "%s: %s", cn_damage_phrase(what), detail);
	bool first;

	t->found.seen[what] = true;
	t->found.text = t->found.text.n
	                    ? cn_view_str(cn_arena_printf(&t->arena, "%.*s; %s",
	                                                  CN_VIEW_ARG(t->found.text), text))
	                    : cn_view_str(text);
	uv_mutex_lock(&sh->health_lock);
	first = cn_health_found(sh->health, t->candidate, what, cn_view_str(detail),
	                        cn_clock_ms());
	uv_mutex_unlock(&sh->health_lock);
	if (first)
		cn_log(&t->log, CN_LOG_WARNING, "answers are damaged",
		       CN_STR(MODEL, cn_turn__name(t, t->candidate)),
		       CN_STR(CLASS, cn_class_name(CN_CLASS_DAMAGED)),
		       CN_STR(REASON, text));
}

static void look_at_name(struct cn_turn *t)
{
	const struct cn_model *m = t->candidate->model;
	struct cn_view answered = cn_view_cut(cn_splice_answered(t->splice), CN_NAME_TOLD);
	bool own = m->backend->network == CN_NETWORK_PRIVATE;
	char *name;

	if (t->found.seen[CN_DAMAGE_RENAMED] ||
	    cn_damage_same_model(cn_turn__model_id(t, m), answered, own))
		return;
	name = cn_arena_dup(&t->arena, answered);
	for (size_t i = 0; i < answered.n; i++)
		if (name[i] < 0x20 || name[i] > 0x7e)
			name[i] = '?';
	found(t, CN_DAMAGE_RENAMED, name);
}

/* Of the client's system prompt nothing is left where the policy has another. */
static bool system_is_sent(const struct cn_turn *t)
{
	const struct cn_route *route = t->plan.route;

	return t->candidate->model->prompt.how != CN_PROMPT_REPLACE &&
	       (!route || route->prompt.how != CN_PROMPT_REPLACE);
}

static void look_at_prompt(struct cn_turn *t)
{
	const struct cn_model *m = t->candidate->model;
	const struct cn_usage *u = cn_splice_usage(t->splice);
	struct cn_prompt_count count = {
	    .least = t->req.least_rest + (system_is_sent(t) ? t->req.least_system : 0),
	    .reported = u->input + u->cache_read + u->cache_write,
	    .window = m->context,
	    .known = cn_model_has_quirk(m, CN_QUIRK_SILENT_CUT),
	    .own = m->backend->network == CN_NETWORK_PRIVATE};

	if (t->found.seen[CN_DAMAGE_CUT] || !u->has_input || !cn_damage_cut(&count))
		return;
	found(t, CN_DAMAGE_CUT,
	      cn_arena_printf(&t->arena, "%llu of about %llu tokens were read",
	                      (unsigned long long)count.reported,
	                      (unsigned long long)count.least));
}

const char *cn_turn__look(struct cn_turn *t, const struct cn_event *ev)
{
	if (ev->kind == CN_EV_MESSAGE_START)
		look_at_name(t);
	if (ev->kind == CN_EV_MESSAGE_START || ev->kind == CN_EV_MESSAGE_DELTA)
		look_at_prompt(t);
	if (!t->found.text.n || !is_failure(t) || cn_splice_committed(t->splice))
		return NULL;
	t->found.fails = true;
	return "damaged";
}

void cn_turn__look_back(struct cn_turn *t, struct cn_outcome *o)
{
	bool seen = t->found.text.n && is_failure(t);

	if (!t->found.fails && !(seen && o->class == CN_CLASS_OK))
		return;
	o->class = CN_CLASS_DAMAGED;
	o->scope = CN_SCOPE_MODEL;
	o->reason = t->found.seen[CN_DAMAGE_CUT] ? cn_damage_phrase(CN_DAMAGE_CUT)
	                                         : cn_damage_phrase(CN_DAMAGE_RENAMED);
}
