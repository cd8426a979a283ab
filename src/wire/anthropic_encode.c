/*
 * A client's Messages request on its way to a backend of the same format: the client's
 * bytes, but for what the policy demands.  Pure; slices borrow from the request.
 */
#include "continuo/anthropic.h"

#include "wire_impl.h"

static struct cn_view json_string(struct cn_arena *a, struct cn_view text)
{
	CN_AUTO(cn_buf) b = {0};

	cn_json_add_string(&b, text);
	return cn_arena_view(a, cn_buf_view(&b));
}

/* Sets a top-level member, every one of that name, or adds it. */
static void set_member(struct cn_patches *ps, const struct cn_request *r, const char *key,
                       struct cn_view raw)
{
	bool found = false;

	for (size_t i = 0; i < r->n_members; i++) {
		if (!cn_view_is(r->members[i].key, key))
			continue;
		found = true;
		if (!cn_view_eq(r->members[i].value.raw, raw))
			cn_patch_replace(ps, r->body, r->members[i].value.raw, raw);
	}
	if (!found)
		cn_patch_insert(ps, r->body, r->root, key, raw);
}

static void set_effort(struct cn_arena *a, struct cn_patches *ps,
                       const struct cn_request *r, struct cn_view effort)
{
	const struct cn_member *m = cn_request_member(r, "output_config");
	struct cn_view raw = json_string(a, effort);
	struct cn_json old;

	if (!m || m->value.kind != CN_JSON_OBJECT) {
		set_member(
		    ps, r, "output_config",
		    cn_view_str(cn_arena_printf(a, "{\"effort\":%.*s}", CN_VIEW_ARG(raw))));
		return;
	}
	old = cn_json_get(m->value, "effort");
	if (old.kind != CN_JSON_NONE)
		cn_patch_replace(ps, r->body, old.raw, raw);
	else
		cn_patch_insert(ps, r->body, m->value, "effort", raw);
}

static void drop_members(struct cn_arena *a, struct cn_patches *ps,
                         const struct cn_request *r, const struct cn_anthropic_edit *edit)
{
	struct cn_view *wholes = cn_arena_alloc(a, (r->n_members + 1) * sizeof(*wholes));
	size_t n = 0;

	for (size_t i = 0; i < r->n_members; i++)
		for (size_t j = 0; j < edit->n_drop; j++)
			if (cn_view_is(r->members[i].key, edit->drop[j])) {
				wholes[n++] = r->members[i].whole;
				break;
			}
	cn_patch_remove(ps, r->body, r->root, wholes, n);
}

/* ---- thinking of earlier answers ---- */

/* The thinking blocks of one message that must go; *retall: nothing else is in it. */
static size_t unwanted(const struct cn_anthropic_edit *edit, struct cn_json content,
                       struct cn_view *wholes, size_t cap, bool *retall)
{
	size_t n = 0, blocks = 0;

	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it); blocks++) {
		struct cn_json type = cn_json_get(it.value, "type");

		if (n < cap &&
		    (cn_json_is(type, "thinking") ||
		     cn_json_is(type, "redacted_thinking")) &&
		    edit->drop_thinking(edit->self, it.value.raw))
			wholes[n++] = it.whole;
	}
	*retall = n > 0 && n == blocks;
	return n;
}

static void drop_thinking(struct cn_arena *a, struct cn_patches *ps,
                          const struct cn_request *r, const struct cn_anthropic_edit *edit)
{
	struct cn_view blocks[64], *messages = NULL;
	size_t n_messages = 0, cap = 0;

	/* One scan says whether there is anything to look at. */
	if (cn_view_find(r->messages.raw, CN_VIEW("thinking\""), 0) == SIZE_MAX)
		return;
	for (struct cn_json_iter it = cn_json_iter(r->messages); cn_json_next(&it);) {
		struct cn_json content = cn_json_get(it.value, "content");
		bool all;
		size_t n;

		if (content.kind != CN_JSON_ARRAY ||
		    !cn_json_is(cn_json_get(it.value, "role"), "assistant"))
			continue;
		n = unwanted(edit, content, blocks, sizeof(blocks) / sizeof(blocks[0]),
		             &all);
		if (!all) {
			cn_patch_remove(ps, r->body, content, blocks, n);
			continue;
		}
		/* Nothing left of it: backends refuse empty messages, so it goes as a
		 * whole. */
		if (n_messages == cap) {
			struct cn_view *v = cn_arena_alloc(a, (2 * cap + 8) * sizeof(*v));

			for (size_t i = 0; i < n_messages; i++)
				v[i] = messages[i];
			messages = v;
			cap = 2 * cap + 8;
		}
		messages[n_messages++] = it.whole;
	}
	cn_patch_remove(ps, r->body, r->messages, messages, n_messages);
}

struct cn_slices cn_anthropic_encode_request(struct cn_arena *a, const struct cn_request *r,
                                             const struct cn_anthropic_edit *edit)
{
	struct cn_patches ps = {.arena = a};

	drop_members(a, &ps, r, edit);
	if (edit->drop_thinking)
		drop_thinking(a, &ps, r, edit);
	if (edit->model.n)
		set_member(&ps, r, "model", json_string(a, edit->model));
	if (edit->max_tokens)
		set_member(&ps, r, "max_tokens",
		           cn_view_str(cn_arena_printf(
			       a, "%llu", (unsigned long long)edit->max_tokens)));
	if (edit->effort.n)
		set_effort(a, &ps, r, edit->effort);
	/* A request that says nothing does not stream: then nothing need be said either. */
	if (!edit->keep_stream && (edit->stream || cn_request_member(r, "stream")))
		set_member(&ps, r, "stream",
		           edit->stream ? CN_VIEW("true") : CN_VIEW("false"));
	return cn_patch_slices(&ps, r->body);
}
