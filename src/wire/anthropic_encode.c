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

static bool is_dropped(const struct cn_edit *edit, struct cn_view key)
{
	for (size_t i = 0; i < edit->n_drop; i++)
		if (cn_json_key_is(key, edit->drop[i]))
			return true;
	return false;
}

/* Sets a top-level member, every one of that name, or adds it; not one that is dropped. */
static void set_member(struct cn_patches *ps, const struct cn_request *r,
                       const struct cn_edit *edit, const char *key, struct cn_view raw)
{
	bool found = false;

	for (size_t i = 0; i < r->n_members; i++) {
		if (!cn_json_key_is(r->members[i].key, key))
			continue;
		found = true;
		if (!cn_view_eq(r->members[i].value.raw, raw))
			cn_patch_replace(ps, r->body, r->members[i].value.raw, raw);
	}
	if (!found && !is_dropped(edit, cn_view_str(key)))
		cn_patch_insert(ps, r->body, r->root, key, raw);
}

static void set_effort(struct cn_arena *a, struct cn_patches *ps,
                       const struct cn_request *r, const struct cn_edit *edit)
{
	const struct cn_member *m = cn_request_member(r, "output_config");
	struct cn_view raw = json_string(a, edit->effort);
	struct cn_json old;

	if (!m || m->value.kind != CN_JSON_OBJECT) {
		set_member(
		    ps, r, edit, "output_config",
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
                         const struct cn_request *r, const struct cn_edit *edit)
{
	struct cn_view *wholes;
	size_t n = 0;

	if (edit->n_drop == 0)
		return;
	wholes = cn_arena_alloc(a, (r->n_members + 1) * sizeof(*wholes));
	for (size_t i = 0; i < r->n_members; i++)
		if (is_dropped(edit, r->members[i].key))
			wholes[n++] = r->members[i].whole;
	cn_patch_remove(ps, r->body, r->root, wholes, n);
}

/* ---- thinking of earlier answers ---- */

/* Ranges to remove, growing in the arena. */
struct wholes {
	struct cn_view *v;
	size_t n, cap;
};

static void add_whole(struct cn_arena *a, struct wholes *ws, struct cn_view whole)
{
	if (ws->n == ws->cap) {
		size_t cap = ws->cap ? 2 * ws->cap : 16;
		struct cn_view *v = cn_arena_alloc(a, cap * sizeof(*v));

		if (ws->n)
			memcpy(v, ws->v, ws->n * sizeof(*v));
		ws->v = v;
		ws->cap = cap;
	}
	ws->v[ws->n++] = whole;
}

/* Whether the array has as many elements as are to go. */
static bool is_all(struct cn_json content, size_t n)
{
	size_t blocks = 0;

	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);)
		blocks++;
	return blocks == n;
}

static void drop_thinking(struct cn_arena *a, struct cn_patches *ps,
                          const struct cn_request *r, const struct cn_edit *edit)
{
	struct wholes blocks = {0}, messages = {0};

	for (size_t i = 0; i < r->n_thoughts;) {
		const struct cn_thought *first = &r->thoughts[i];
		struct cn_json content = {first->content, CN_JSON_ARRAY};

		blocks.n = 0;
		for (; i < r->n_thoughts && r->thoughts[i].message.p == first->message.p;
		     i++)
			if (edit->drop_thinking(edit->self, &r->thoughts[i]))
				add_whole(a, &blocks, r->thoughts[i].block);
		/* Backends refuse empty messages: one that holds nothing else goes. */
		if (blocks.n && is_all(content, blocks.n))
			add_whole(a, &messages, first->message);
		else
			cn_patch_remove(ps, r->body, content, blocks.v, blocks.n);
	}
	cn_patch_remove(ps, r->body, r->messages, messages.v, messages.n);
}

/* ---- ids of calls ---- */

static void map_ids(struct cn_arena *a, struct cn_patches *ps, const struct cn_request *r,
                    const struct cn_edit *edit)
{
	for (size_t i = 0; i < r->n_calls; i++) {
		struct cn_json id = r->calls[i].id;
		struct cn_view theirs;

		if (edit->call_id(edit->self, cn_json_text(a, id), &theirs))
			cn_patch_replace(ps, r->body, id.raw, json_string(a, theirs));
	}
}

struct cn_slices cn_anthropic_encode_request(struct cn_arena *a, const struct cn_request *r,
                                             const struct cn_edit *edit)
{
	struct cn_patches ps = {.arena = a};

	drop_members(a, &ps, r, edit);
	if (edit->drop_thinking)
		drop_thinking(a, &ps, r, edit);
	if (edit->call_id)
		map_ids(a, &ps, r, edit);
	if (edit->append.n)
		cn_patch_append(&ps, r->body, r->messages, edit->append);
	if (edit->model.n)
		set_member(&ps, r, edit, "model", json_string(a, edit->model));
	if (edit->max_tokens)
		set_member(&ps, r, edit, "max_tokens",
		           cn_view_str(cn_arena_printf(
			       a, "%llu", (unsigned long long)edit->max_tokens)));
	if (edit->effort.n)
		set_effort(a, &ps, r, edit);
	/* A request that says nothing does not stream: then nothing need be said either. */
	if (!edit->keep_stream && (edit->stream || cn_request_member(r, "stream")))
		set_member(&ps, r, edit, "stream",
		           edit->stream ? CN_VIEW("true") : CN_VIEW("false"));
	return cn_patch_slices(&ps, r->body);
}
