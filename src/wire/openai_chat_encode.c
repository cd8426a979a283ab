/*
 * A client's Messages request as a Chat Completions request (wire/openai-chat.md 5): the
 * top level, and how bytes go out.
 *
 * Written straight from the client's bytes: text stays escaped as it stands, long text and
 * images are not even copied.  What it writes depends on the request and the policy alone,
 * and of earlier messages it writes the same each time, so that prompt caches hold.  Pure.
 */
#include "openai_chat_encode_impl.h"

#include "continuo/openai_chat.h"

#define SEALED_FROM   16384 /* bytes: then the buffer is emptied into the arena */
#define BORROWED_FROM 2048  /* bytes; shorter ones are cheaper to copy than to keep */

/* ---- bytes out ---- */

void cn_chat_out__add(struct cn_chat_encoder *e, struct cn_view raw)
{
	struct cn_chat_out *o = &e->out;

	if (raw.n < BORROWED_FROM) {
		cn_buf_add_view(&o->b, raw);
		return;
	}
	o->cuts =
	    cn_arena_more(e->arena, o->cuts, o->n_cuts, &o->cuts_cap, sizeof(*o->cuts));
	o->cuts[o->n_cuts++] = (struct cn_chat_cut){o->b.n, raw};
	o->borrowed += raw.n;
}

size_t cn_chat_out__bytes(const struct cn_chat_encoder *e)
{
	return e->out.slices.bytes + e->out.b.n + e->out.borrowed;
}

void cn_chat_out__str(struct cn_chat_encoder *e, const char *s)
{
	cn_buf_add_str(&e->out.b, s);
}

void cn_chat_out__key(struct cn_chat_encoder *e, const char *key)
{
	cn_json_add_key(&e->out.b, key);
}

static void add_slice(struct cn_chat_encoder *e, struct cn_view v)
{
	struct cn_chat_out *o = &e->out;

	if (v.n == 0)
		return;
	o->slices.v = cn_arena_more(e->arena, o->slices.v, o->slices.n, &o->slices_cap,
	                            sizeof(*o->slices.v));
	o->slices.v[o->slices.n++] = v;
	o->slices.bytes += v.n;
}

/* What was written so far goes into the arena, and the buffer begins anew. */
static void seal(struct cn_chat_encoder *e)
{
	struct cn_chat_out *o = &e->out;
	struct cn_view all = cn_arena_view(e->arena, cn_buf_view(&o->b));
	size_t at = 0;

	for (size_t i = 0; i < o->n_cuts; i++) {
		add_slice(e, cn_view(all.p + at, o->cuts[i].at - at));
		add_slice(e, o->cuts[i].with);
		at = o->cuts[i].at;
	}
	add_slice(e, cn_view_from(all, at));
	o->n_cuts = o->borrowed = 0;
	cn_buf_clear(&o->b);
}

void cn_chat_out__pause(struct cn_chat_encoder *e)
{
	/* A buffer that grew with the request would be copied and paged in again and again.
	 */
	if (e->out.b.n > SEALED_FROM)
		seal(e);
}

/* ---- the client's members ---- */

struct cn_json cn_chat__member(const struct cn_chat_encoder *e, const char *key)
{
	const struct cn_member *m = cn_request_member(e->r, key);

	for (size_t i = 0; m && i < e->edit->n_drop; i++)
		if (strcmp(e->edit->drop[i], key) == 0)
			m = NULL;
	return m ? m->value : (struct cn_json){{NULL, 0}, CN_JSON_NONE};
}

bool cn_chat__is_added(const struct cn_chat_encoder *e, const char *key)
{
	for (size_t i = 0; i < e->edit->n_add; i++)
		if (strcmp(e->edit->add[i].name, key) == 0)
			return true;
	return false;
}

static void copy_number(struct cn_chat_encoder *e, const char *key)
{
	struct cn_json v = cn_chat__member(e, key);

	if (v.kind == CN_JSON_NUMBER && !cn_chat__is_added(e, key))
		cn_json_add_raw(&e->out.b, key, v.raw);
}

static void write_limit(struct cn_chat_encoder *e)
{
	uint64_t n = e->edit->max_tokens ? e->edit->max_tokens : e->r->max_tokens;

	/* Without one some reserve the whole window against a balance. */
	if (n)
		cn_json_add_u64(&e->out.b,
		                cn_chat_quirk(e, CN_QUIRK_MAX_COMPLETION_TOKENS)
		                    ? "max_completion_tokens"
		                    : "max_tokens",
		                n);
}

/* What is over the number that backends take is looked for in the answer. */
static void write_stops(struct cn_chat_encoder *e)
{
	struct cn_json stops = cn_chat__member(e, "stop_sequences");
	size_t most = cn_chat_quirk(e, CN_QUIRK_ONE_STOP) ? 1 : 4, n = 0;

	if (stops.kind != CN_JSON_ARRAY || cn_chat_quirk(e, CN_QUIRK_NO_STOP))
		return;
	for (struct cn_json_iter it = cn_json_iter(stops); n < most && cn_json_next(&it);) {
		if (it.value.kind != CN_JSON_STRING || it.value.raw.n <= 2)
			continue;
		if (n++ == 0)
			cn_json_add_raw(&e->out.b, "stop", CN_VIEW("["));
		else
			cn_chat_out__str(e, ",");
		cn_chat_out__add(e, it.value.raw);
	}
	if (n)
		cn_chat_out__str(e, "]");
}

static void write_format(struct cn_chat_encoder *e)
{
	struct cn_json format = cn_json_get(cn_chat__member(e, "output_config"), "format");
	struct cn_json schema = cn_json_get(format, "schema");

	if (!cn_json_is(cn_json_get(format, "type"), "json_schema") ||
	    schema.kind != CN_JSON_OBJECT || cn_chat__is_added(e, "response_format"))
		return;
	cn_chat_out__key(e, "response_format");
	if (cn_chat_quirk(e, CN_QUIRK_JSON_OBJECT_ONLY)) {
		cn_chat_out__str(e, "{\"type\":\"json_object\"}");
		return;
	}
	/* The name is demanded and means nothing. */
	cn_chat_out__str(e,
	                 "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
	                 "\"schema\":");
	cn_chat_out__add(e, schema.raw);
	cn_chat_out__str(e, "}}");
}

static void write_stream(struct cn_chat_encoder *e)
{
	cn_json_add_bool(&e->out.b, "stream", e->edit->stream);
	if (e->edit->stream && !cn_chat_quirk(e, CN_QUIRK_NO_STREAM_OPTIONS))
		cn_json_add_raw(&e->out.b, "stream_options",
		                CN_VIEW("{\"include_usage\":true}"));
}

static void write_rest(struct cn_chat_encoder *e)
{
	copy_number(e, "temperature");
	copy_number(e, "top_p");
	if (cn_chat_quirk(e, CN_QUIRK_TOP_K))
		copy_number(e, "top_k");
	write_stops(e);
	write_format(e);
	cn_chat__write_thinking(e);
	if (cn_chat_quirk(e, CN_QUIRK_PROMPT_CACHE_KEY) && e->edit->session.n &&
	    !cn_chat__is_added(e, "prompt_cache_key"))
		cn_json_add_text(&e->out.b, "prompt_cache_key", e->edit->session);
	/* The template must not open a new answer behind the one that is gone on with. */
	if (e->prefill && cn_chat_quirk(e, CN_QUIRK_CONTINUE_FLAG)) {
		cn_json_add_bool(&e->out.b, "continue_final_message", true);
		cn_json_add_bool(&e->out.b, "add_generation_prompt", false);
	}
	for (size_t i = 0; i < e->edit->n_add; i++)
		cn_json_add_raw(&e->out.b, e->edit->add[i].name,
		                cn_view_str(e->edit->add[i].value));
	write_stream(e);
}

struct cn_slices cn_openai_chat_encode_request(struct cn_arena *a,
                                               const struct cn_request *r,
                                               const struct cn_edit *edit)
{
	struct cn_chat_encoder e = {.arena = a, .r = r, .edit = edit};

	cn_chat_out__str(&e, "{");
	cn_json_add_text(&e.out.b, "model", edit->model.n ? edit->model : r->model);
	cn_chat__write_messages(&e);
	cn_chat__write_tools(&e);
	write_limit(&e);
	write_rest(&e);
	cn_chat_out__str(&e, "}");
	seal(&e);
	cn_buf_done(&e.out.b);
	return e.out.slices;
}
