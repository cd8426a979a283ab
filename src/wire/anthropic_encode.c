/*
 * A client's Messages request on its way to a backend of the same format: the client's
 * bytes, but for what the policy demands and what the backend is known to refuse.  Here is
 * its top level; what lies deeper has files of its own (anthropic_impl.h).  Pure; slices
 * borrow from the request.
 */
#include "continuo/anthropic.h"

#include "anthropic_impl.h"

#include <stdlib.h>

#define CN_BUDGET_MIN 1024 /* of thinking; backends refuse less */

static struct cn_view json_string(struct cn_arena *a, struct cn_view text)
{
	CN_AUTO(cn_buf) b = {0};

	cn_json_add_string(&b, text);
	return cn_arena_view(a, cn_buf_view(&b));
}

void cn_anthropic__add_range(struct cn_arena *a, struct cn_anthropic__ranges *rs,
                             struct cn_view range)
{
	rs->v = cn_arena_more(a, rs->v, rs->n, &rs->cap, sizeof(*rs->v));
	rs->v[rs->n++] = range;
}

/* ---- members ---- */

void cn_anthropic__lose(struct cn_anthropic__body *b, const char *member)
{
	for (size_t i = 0; i < b->n_gone; i++)
		if (strcmp(b->gone[i], member) == 0)
			return;
	cn_assert(b->n_gone < sizeof(b->gone) / sizeof(b->gone[0]));
	b->gone[b->n_gone++] = member;
}

bool cn_anthropic__is_lost(const struct cn_anthropic__body *b, struct cn_view key)
{
	for (size_t i = 0; i < b->edit->n_drop; i++)
		if (cn_json_key_is(key, b->edit->drop[i]))
			return true;
	for (size_t i = 0; i < b->n_gone; i++)
		if (cn_json_key_is(key, b->gone[i]))
			return true;
	return false;
}

/* What the policy adds stands in place of what the client says. */
static bool is_added(const struct cn_anthropic__body *b, struct cn_view key)
{
	for (size_t i = 0; i < b->edit->n_add; i++)
		if (cn_json_key_is(key, b->edit->add[i].name))
			return true;
	return false;
}

void cn_anthropic__set(struct cn_anthropic__body *b, const char *key, struct cn_view raw)
{
	const struct cn_request *r = b->r;
	bool found = false;

	for (size_t i = 0; i < r->n_members; i++) {
		if (!cn_json_key_is(r->members[i].key, key))
			continue;
		found = true;
		if (!cn_view_eq(r->members[i].value.raw, raw))
			cn_patch_replace(&b->patches, r->body, r->members[i].value.raw,
			                 raw);
	}
	if (!found && !cn_anthropic__is_lost(b, cn_view_str(key)) &&
	    !is_added(b, cn_view_str(key)))
		cn_patch_insert(&b->patches, r->body, r->root, key, raw);
}

static void set_number(struct cn_anthropic__body *b, const char *key, uint64_t n)
{
	cn_anthropic__set(
	    b, key, cn_view_str(cn_arena_printf(b->arena, "%llu", (unsigned long long)n)));
}

static bool is_named(struct cn_view key, const char *const *names)
{
	for (; *names; names++)
		if (cn_json_key_is(key, *names))
			return true;
	return false;
}

void cn_anthropic__strip(struct cn_anthropic__body *b, struct cn_json object,
                         const char *const *names)
{
	struct cn_anthropic__ranges wholes = {0};

	for (struct cn_json_iter it = cn_json_iter(object); cn_json_next(&it);)
		if (it.key.p && is_named(it.key, names))
			cn_anthropic__add_range(b->arena, &wholes, it.whole);
	cn_patch_remove(&b->patches, b->r->body, object, wholes.v, wholes.n);
}

static void drop_members(struct cn_anthropic__body *b)
{
	const struct cn_request *r = b->r;
	struct cn_anthropic__ranges wholes = {0};

	if (b->edit->n_drop + b->n_gone + b->edit->n_add == 0)
		return;
	for (size_t i = 0; i < r->n_members; i++)
		if (cn_anthropic__is_lost(b, r->members[i].key) ||
		    is_added(b, r->members[i].key))
			cn_anthropic__add_range(b->arena, &wholes, r->members[i].whole);
	cn_patch_remove(&b->patches, r->body, r->root, wholes.v, wholes.n);
}

static void add_members(struct cn_anthropic__body *b)
{
	for (size_t i = 0; i < b->edit->n_add; i++)
		cn_patch_insert(&b->patches, b->r->body, b->r->root, b->edit->add[i].name,
		                cn_view_str(b->edit->add[i].value));
}

/* ---- how much is thought ---- */

static struct cn_json member(const struct cn_anthropic__body *b, const char *key)
{
	const struct cn_member *m = cn_request_member(b->r, key);

	return m ? m->value : (struct cn_json){.kind = CN_JSON_NONE};
}

/* Where the backend refuses an effort; what else stands beside it stays. */
static void lose_effort(struct cn_anthropic__body *b)
{
	static const char *const effort[] = {"effort", NULL};
	struct cn_json config = member(b, "output_config");
	bool more = false;

	if (config.kind != CN_JSON_OBJECT)
		return;
	for (struct cn_json_iter it = cn_json_iter(config); cn_json_next(&it);)
		more |= !is_named(it.key, effort);
	if (more)
		cn_anthropic__strip(b, config, effort);
	else
		cn_anthropic__lose(b, "output_config");
}

static void set_effort(struct cn_anthropic__body *b)
{
	struct cn_json config = member(b, "output_config"), old;
	struct cn_view raw = json_string(b->arena, b->edit->effort);

	if (config.kind != CN_JSON_OBJECT) {
		cn_anthropic__set(b, "output_config",
		                  cn_view_str(cn_arena_printf(b->arena, "{\"effort\":%.*s}",
		                                              CN_VIEW_ARG(raw))));
		return;
	}
	old = cn_json_get(config, "effort");
	if (old.kind != CN_JSON_NONE)
		cn_patch_replace(&b->patches, b->r->body, old.raw, raw);
	else
		cn_patch_insert(&b->patches, b->r->body, config, "effort", raw);
}

/* What an effort is worth where thinking has a budget; an effort is high unless told. */
static uint64_t budget_of(struct cn_view effort)
{
	if (cn_view_is(effort, "low"))
		return CN_BUDGET_MIN;
	if (cn_view_is(effort, "medium"))
		return 8192;
	return cn_view_is(effort, "xhigh") || cn_view_is(effort, "max") ? 32768 : 16384;
}

/* A budget for thinking that has none; 0: there is no room for both it and an answer. */
static uint64_t adaptive_budget(struct cn_anthropic__body *b)
{
	uint64_t limit = b->edit->max_tokens ? b->edit->max_tokens : b->r->max_tokens;
	struct cn_view effort = b->edit->effort;
	uint64_t budget;

	if (!effort.n)
		effort = cn_json_text(b->arena,
		                      cn_json_get(member(b, "output_config"), "effort"));
	budget = budget_of(effort);
	if ((b->edit->max_tokens || b->r->has_max_tokens) && budget > limit / 2)
		budget = limit / 2;
	return budget < CN_BUDGET_MIN ? 0 : budget;
}

/* Thinking in a form that the backend knows; between tools alone it is hardly any. */
static void set_thinking(struct cn_anthropic__body *b)
{
	struct cn_json type = cn_json_get(member(b, "thinking"), "type");
	bool adaptive = cn_json_is(type, "adaptive"), enabled = cn_json_is(type, "enabled");
	bool no_adaptive = cn_anthropic__has(b, CN_QUIRK_NO_ADAPTIVE_THINKING);
	bool no_budget = cn_anthropic__has(b, CN_QUIRK_NO_THINKING_BUDGET);
	bool off = cn_json_is(type, "disabled") ||
	           (no_adaptive && cn_json_is(type, "between_tools")) ||
	           ((adaptive || enabled) && no_adaptive && no_budget);
	uint64_t budget;

	if (adaptive && no_adaptive && !off) {
		budget = adaptive_budget(b);
		off = budget == 0;
		if (!off)
			cn_anthropic__set(
			    b, "thinking",
			    cn_view_str(cn_arena_printf(
				b->arena, "{\"type\":\"enabled\",\"budget_tokens\":%llu}",
				(unsigned long long)budget)));
	}
	if (enabled && no_budget && !off)
		cn_anthropic__set(b, "thinking", CN_VIEW("{\"type\":\"adaptive\"}"));
	if (off && cn_anthropic__has(b, CN_QUIRK_ALWAYS_THINKS))
		cn_anthropic__lose(b, "thinking");
	else if (off && !cn_json_is(type, "disabled"))
		cn_anthropic__set(b, "thinking", CN_VIEW("{\"type\":\"disabled\"}"));
}

/* ---- ids of calls ---- */

static void map_ids(struct cn_anthropic__body *b)
{
	const struct cn_request *r = b->r;

	for (size_t i = 0; i < r->n_calls; i++) {
		struct cn_json id = r->calls[i].id;
		struct cn_view theirs;

		if (b->edit->call_id(b->edit->self, cn_json_text(b->arena, id), &theirs))
			cn_patch_replace(&b->patches, r->body, id.raw,
			                 json_string(b->arena, theirs));
	}
}

static void append(struct cn_anthropic__body *b)
{
	const struct cn_request *r = b->r;

	if (b->messages.n < r->n_messages)
		cn_patch_append(&b->patches, r->body, r->messages, b->edit->append);
	else /* alone: there is none to put a comma behind */
		cn_patch_replace(&b->patches, r->body, r->messages.raw,
		                 cn_view_str(cn_arena_printf(
				     b->arena, "[%.*s]", CN_VIEW_ARG(b->edit->append))));
}

struct cn_slices cn_anthropic_encode_request(struct cn_arena *a, const struct cn_request *r,
                                             const struct cn_edit *edit)
{
	struct cn_anthropic__body b = {
	    .arena = a, .r = r, .edit = edit, .patches = {.arena = a}};

	cn_anthropic__edit_system(&b);
	cn_anthropic__edit_messages(&b);
	cn_anthropic__edit_tools(&b);
	if (edit->call_id)
		map_ids(&b);
	if (edit->append.n)
		append(&b);
	if (edit->model.n)
		cn_anthropic__set(&b, "model", json_string(a, edit->model));
	if (edit->max_tokens)
		set_number(&b, "max_tokens", edit->max_tokens);
	set_thinking(&b);
	if (cn_anthropic__has(&b, CN_QUIRK_NO_EFFORT))
		lose_effort(&b);
	else if (edit->effort.n)
		set_effort(&b);
	if (cn_anthropic__has(&b, CN_QUIRK_NO_CACHE_CONTROL))
		cn_anthropic__lose(&b, "cache_control");
	/* A request that says nothing does not stream: then nothing need be said either. */
	if (!edit->keep_stream && (edit->stream || cn_request_member(r, "stream")))
		cn_anthropic__set(&b, "stream",
		                  edit->stream ? CN_VIEW("true") : CN_VIEW("false"));
	drop_members(&b);
	add_members(&b);
	return cn_patch_slices(&b.patches, r->body);
}
