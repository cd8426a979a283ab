/*
 * A backend's answer in the Chat Completions format, decoded to the one internal model:
 * chunks of a stream, or a whole completion, which reads like one chunk
 * (wire/openai-chat.md 2, 3 and 6).
 *
 * The end of the answer is told at [DONE], or at the end of the stream once a finish reason
 * was seen: figures may come behind that.  Pure; the state is one decoder.
 */
#include "openai_chat_impl.h"

static struct cn_chat *chat_of(struct cn_decoder *d)
{
	return (struct cn_chat *)d;
}

static bool has_text(struct cn_json v)
{
	return v.kind == CN_JSON_STRING && v.raw.n > 2;
}

/* ---- usage ---- */

static uint64_t cached_of(struct cn_json usage)
{
	struct cn_json details = cn_json_get(usage, "prompt_tokens_details");
	uint64_t n;

	if (cn_wire__figure(details, "cached_tokens", &n) ||
	    cn_wire__figure(usage, "prompt_cache_hit_tokens", &n) ||
	    cn_wire__figure(usage, "cached_tokens", &n) ||
	    cn_wire__figure(usage, "num_cached_tokens", &n))
		return n;
	return 0;
}

static uint64_t reasoning_of(struct cn_json usage)
{
	uint64_t n;

	return cn_wire__figure(cn_json_get(usage, "completion_tokens_details"),
	                       "reasoning_tokens", &n)
	           ? n
	           : 0;
}

/* Figures that are said again replace the older ones; none are added up. */
static void read_usage(struct cn_chat *c, struct cn_json usage)
{
	uint64_t prompt, output, total, written = 0, reasoning;
	struct cn_usage *u = &c->usage;

	if (usage.kind != CN_JSON_OBJECT)
		return;
	reasoning = reasoning_of(usage);
	if (cn_wire__figure(usage, "prompt_tokens", &prompt)) {
		u->cache_read = cached_of(usage);
		(void)cn_wire__figure(cn_json_get(usage, "prompt_tokens_details"),
		                      "cache_write_tokens", &written);
		u->cache_write = written;
		/* Where more was cached than sent, the one does not count the other. */
		u->input = u->cache_read + written > prompt
		               ? prompt
		               : prompt - u->cache_read - written;
		u->has_input = u->has_cache_read = u->has_cache_write = true;
	} else {
		prompt = 0;
	}
	if (!cn_wire__figure(usage, "completion_tokens", &output))
		return;
	/* Reasoning belongs to the output; some count it beside it, as their sum shows. */
	if (reasoning && cn_wire__figure(usage, "total_tokens", &total) &&
	    total == prompt + output + reasoning)
		output += reasoning;
	u->output = output;
	u->has_output = true;
}

static struct cn_usage final_usage(const struct cn_chat *c)
{
	struct cn_usage u = c->usage;

	/* Four bytes are about a token; something that was said is not nothing. */
	if (c->out.said && (!u.has_output || u.output == 0))
		u.output = (c->out.said + 3) / 4;
	u.has_output = true;
	return u;
}

/* ---- the end ---- */

static struct cn_view stop_reason(const struct cn_chat *c)
{
	enum cn_stop_meaning meaning = cn_wire__stop_meaning(cn_buf_view(&c->finish));

	if (c->out.hit.n)
		return c->out.n_calls ? CN_VIEW("tool_use") : CN_VIEW("stop_sequence");
	if (meaning == CN_STOP_CUT || (c->cut && cn_compose__call_cut(&c->out)))
		return CN_VIEW("max_tokens");
	if (meaning == CN_STOP_REFUSAL)
		return CN_VIEW("refusal");
	if (meaning == CN_STOP_WINDOW)
		return CN_VIEW("model_context_window_exceeded");
	if (c->out.n_calls)
		return CN_VIEW("tool_use");
	if (c->stop_sequence.n)
		return CN_VIEW("stop_sequence");
	return CN_VIEW("end_turn");
}

static void tell_start(struct cn_chat *c, struct cn_arena *a,
                       const struct cn_chat_chunk *chunk)
{
	struct cn_event ev = {.kind = CN_EV_MESSAGE_START,
	                      .usage = {.input = c->out.base.hints.input_estimate,
	                                .has_input = c->out.base.hints.input_estimate > 0}};

	if (c->out.started)
		return;
	c->out.started = true;
	ev.id = cn_json_text(a, chunk->id);
	ev.name = cn_json_text(a, chunk->model);
	cn_compose__tell(&c->out, &ev);
}

static void tell_end(struct cn_chat *c)
{
	struct cn_event ev = {
	    .kind = CN_EV_MESSAGE_DELTA,
	    .stop_reason = stop_reason(c),
	    .stop_sequence = c->out.hit.n ? c->out.hit : cn_buf_view(&c->stop_sequence),
	    .usage = final_usage(c)};

	c->out.over = true;
	cn_compose__tell(&c->out, &ev);
	cn_compose__tell(&c->out, &(struct cn_event){.kind = CN_EV_MESSAGE_STOP});
}

static int finish(struct cn_chat *c, struct cn_error *reterr)
{
	bool cut = cn_wire__stop_meaning(cn_buf_view(&c->finish)) == CN_STOP_CUT;
	int err;

	c->out.over = true;
	cn_compose__text_end(&c->out, cut);
	if (c->out.base.wrong)
		return cn_fail(reterr, CN_E_INVALID, "%s", c->out.base.wrong);
	cn_compose__close(&c->out);
	/* Without a finish reason a call that is not whole was cut by who knows what. */
	err = cn_compose__end_calls(&c->out,
	                            c->finish.n == 0 || c->out.hit.n ||
	                                cn_view_is(stop_reason(c), "max_tokens"),
	                            reterr);
	if (!err)
		tell_end(c);
	return err;
}

/* A stop sequence was found: what the backend says behind it is not wanted. */
static int finish_early(struct cn_chat *c, struct cn_error *reterr)
{
	int err;

	c->out.over = c->out.base.cut_short = true;
	cn_compose__close(&c->out);
	err = cn_compose__end_calls(&c->out, true, reterr);
	if (!err)
		tell_end(c);
	return err;
}

static void fail(struct cn_chat *c, struct cn_view type, struct cn_view what)
{
	struct cn_event ev = {
	    .kind = CN_EV_ERROR, .error_type = type, .error_message = what};

	c->out.over = true;
	cn_compose__tell(&c->out, &ev);
}

void cn_chat__say_finish(struct cn_chat *c, struct cn_view reason)
{
	if (c->finish.n == 0)
		cn_buf_add_view(&c->finish, cn_view_cut(reason, 64));
}

/* ---- one choice ---- */

static void read_thinking_parts(struct cn_chat *c, struct cn_arena *a, struct cn_json parts)
{
	cn_compose__thinking(&c->out, cn_json_text(a, parts));
	for (struct cn_json_iter it = cn_json_iter(parts); cn_json_next(&it);)
		if (parts.kind == CN_JSON_ARRAY)
			cn_compose__thinking(
			    &c->out, cn_json_text(a, cn_json_get(it.value, "text")));
}

/* A text, or an array of parts. */
static void read_content(struct cn_chat *c, struct cn_arena *a, struct cn_json content)
{
	cn_compose__text(&c->out, cn_json_text(a, content));
	if (content.kind != CN_JSON_ARRAY)
		return;
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		if (cn_json_is(cn_json_get(it.value, "type"), "thinking"))
			read_thinking_parts(c, a, cn_json_get(it.value, "thinking"));
		else
			cn_compose__text(&c->out,
			                 cn_json_text(a, cn_json_get(it.value, "text")));
	}
}

/* The same thought stands in several members with some: one of them is read. */
static void read_reasoning(struct cn_chat *c, struct cn_arena *a,
                           const struct cn_chat_delta *delta)
{
	struct cn_json reasoning = delta->reasoning_content;
	struct cn_json details = delta->reasoning_details;
	bool in_details = false;

	for (struct cn_json_iter it = cn_json_iter(details); cn_json_next(&it);)
		in_details |= has_text(cn_json_get(it.value, "text")) ||
		              has_text(cn_json_get(it.value, "summary"));
	if (!has_text(reasoning))
		reasoning = delta->reasoning;
	/* Where the details say it too, each is a thought of its own. */
	if (!in_details)
		cn_compose__thinking(&c->out, cn_json_text(a, reasoning));
	if (details.kind != CN_JSON_ARRAY)
		return;
	for (struct cn_json_iter it = cn_json_iter(details); cn_json_next(&it);)
		cn_compose__detail(&c->out, a, it.value, in_details);
}

static int read_calls(struct cn_chat *c, struct cn_arena *a,
                      const struct cn_chat_delta *delta, bool fresh,
                      struct cn_error *reterr)
{
	struct cn_json old = delta->function_call;
	CN_AUTO(cn_buf) b = {0};
	int err = cn_compose__calls(&c->out, a, delta->tool_calls, fresh, reterr);

	if (err || c->out.base.stopped || old.kind != CN_JSON_OBJECT)
		return err;
	/* The older form: one call, without an id. */
	cn_buf_add_char(&b, '{');
	cn_json_add_raw(&b, "function", old.raw);
	cn_buf_add_char(&b, '}');
	return cn_compose__call(&c->out, a, cn_json_root(cn_arena_view(a, cn_buf_view(&b))),
	                        fresh, reterr);
}

/* A stop sequence that the server names, if it is one of the request's. */
static void read_matched(struct cn_chat *c, struct cn_arena *a, struct cn_json matched)
{
	struct cn_view text = cn_json_text(a, matched);

	if (text.n == 0 || c->stop_sequence.n)
		return;
	for (struct cn_json_iter it = cn_json_iter(c->out.base.hints.stop_sequences);
	     cn_json_next(&it);)
		if (cn_view_eq(cn_json_text(a, it.value), text)) {
			cn_buf_add_view(&c->stop_sequence, text);
			return;
		}
}

static void read_finish(struct cn_chat *c, struct cn_arena *a,
                        const struct cn_chat_choice *choice)
{
	struct cn_view reason = cn_json_text(a, choice->finish_reason);
	struct cn_view native = cn_json_text(a, choice->native_finish_reason);

	if (reason.n == 0)
		return;
	/* Said twice, the first one stands. */
	cn_chat__say_finish(c, reason);
	c->cut |= cn_wire__stop_meaning(native) == CN_STOP_CUT;
	read_matched(c, a, choice->stop_reason);
	read_matched(c, a, choice->matched_stop);
	if (cn_wire__stop_meaning(reason) == CN_STOP_OVERLOADED)
		fail(c, CN_VIEW("overloaded_error"), reason);
	else if (cn_wire__stop_meaning(reason) == CN_STOP_FAILURE ||
	         cn_wire__stop_meaning(native) == CN_STOP_FAILURE)
		fail(c, CN_VIEW("api_error"), CN_VIEW("the backend broke its answer off"));
}

static int read_choice(struct cn_chat *c, struct cn_arena *a,
                       const struct cn_chat_choice *choice, bool whole,
                       struct cn_error *reterr)
{
	struct cn_chat_delta delta;
	int err;

	/* A stream that says all at once, as a message. */
	whole |= choice->delta.kind != CN_JSON_OBJECT && !c->out.heard;
	delta = cn_chat__delta(whole ? choice->message : choice->delta);
	read_reasoning(c, a, &delta);
	read_content(c, a, delta.content);
	cn_compose__text(&c->out, cn_json_text(a, delta.refusal));
	if (c->out.base.wrong)
		return cn_fail(reterr, CN_E_INVALID, "%s", c->out.base.wrong);
	if (c->out.hit.n) {
		read_usage(c, choice->usage);
		return finish_early(c, reterr);
	}
	if (c->out.base.stopped)
		return 0;
	err = read_calls(c, a, &delta, whole, reterr);
	if (err || c->out.base.stopped)
		return err;
	read_finish(c, a, choice);
	read_usage(c, choice->usage);
	return 0;
}

/*
 * Others answer a question that was not asked.  But some servers put the calls apart from
 * the text: a choice of nothing but calls belongs to the answer.
 */
static int read_beside(struct cn_chat *c, struct cn_arena *a,
                       const struct cn_chat_choice *choice, bool whole,
                       struct cn_error *reterr)
{
	struct cn_chat_delta delta =
	    cn_chat__delta(whole ? choice->message : choice->delta);

	if (has_text(delta.content) || delta.tool_calls.kind != CN_JSON_ARRAY)
		return 0;
	return cn_compose__calls(&c->out, a, delta.tool_calls, whole, reterr);
}

/* The first choice is ours; an index may be missing. */
static int read_choices(struct cn_chat *c, struct cn_arena *a,
                        const struct cn_chat_chunk *chunk, bool whole,
                        struct cn_error *reterr)
{
	if (chunk->choices.kind != CN_JSON_ARRAY)
		return 0;
	for (struct cn_json_iter it = cn_json_iter(chunk->choices); cn_json_next(&it);) {
		struct cn_chat_choice choice = cn_chat__choice(it.value);
		uint64_t index = 0;
		int err;

		if (it.value.kind != CN_JSON_OBJECT)
			continue;
		(void)cn_json_u64(choice.index, &index);
		tell_start(c, a, chunk);
		if (c->out.base.stopped || c->out.over)
			return 0;
		err = index ? read_beside(c, a, &choice, whole, reterr)
		            : read_choice(c, a, &choice, whole, reterr);
		if (err)
			return err;
	}
	return 0;
}

/* ---- errors ---- */

static bool is_said(struct cn_json error)
{
	return error.kind == CN_JSON_OBJECT || has_text(error);
}

static bool says_error(struct cn_json v)
{
	return is_said(cn_json_get(v, "error"));
}

/* In all the places where one was seen. */
static bool is_error(struct cn_json root, const struct cn_chat_chunk *chunk)
{
	if (root.kind == CN_JSON_ARRAY) {
		struct cn_json_iter it = cn_json_iter(root);

		return cn_json_next(&it) && says_error(it.value);
	}
	if (is_said(chunk->error) || says_error(chunk->x_groq) ||
	    cn_json_is(chunk->object, "error"))
		return true;
	/* The word stands in few chunks: no more than a look is taken for it. */
	if (cn_view_find(chunk->choices.raw, CN_VIEW("error"), 0) == SIZE_MAX)
		return false;
	for (struct cn_json_iter it = cn_json_iter(chunk->choices); cn_json_next(&it);)
		if (says_error(it.value))
			return true;
	return false;
}

/* ---- the decoder ---- */

static void read_figures(struct cn_chat *c, const struct cn_chat_chunk *chunk)
{
	read_usage(c, cn_json_get(chunk->x_groq, "usage"));
	read_usage(c, chunk->usage);
}

static int read_chunk(struct cn_chat *c, struct cn_arena *a, struct cn_view name,
                      struct cn_view data, struct cn_error *reterr)
{
	struct cn_json root;
	struct cn_chat_chunk chunk;
	int err = cn_json_check(data, reterr);

	if (err)
		return err;
	root = cn_json_root(data);
	chunk = cn_chat__chunk(root);
	if (cn_view_is(name, "error") || is_error(root, &chunk)) {
		c->out.over = true;
		/* No type of ours: who judges it reads all of it. */
		cn_compose__tell(&c->out,
		                 &(struct cn_event){.kind = CN_EV_ERROR, .raw = data});
		return 0;
	}
	/* Figures first: a stop sequence in the text ends the answer. */
	read_figures(c, &chunk);
	return read_choices(c, a, &chunk, false, reterr);
}

static int decode_event(struct cn_decoder *d, struct cn_arena *a, struct cn_view name,
                        struct cn_view data, struct cn_error *reterr)
{
	struct cn_chat *c = chat_of(d);
	size_t heard = c->out.heard, told = c->out.told;
	int err;

	data = cn_view_trim(data);
	if (data.n == 0 || c->out.over)
		return 0;
	if (cn_view_is(data, "[DONE]")) {
		tell_start(c, a, &(struct cn_chat_chunk){.id = {.kind = CN_JSON_NONE}});
		return finish(c, reterr);
	}
	err = read_chunk(c, a, name, data, reterr);
	if (!err)
		cn_compose__progress(&c->out, heard, told);
	return err;
}

static int decode_whole(struct cn_decoder *d, struct cn_arena *a, struct cn_view body,
                        struct cn_error *reterr)
{
	struct cn_chat *c = chat_of(d);
	struct cn_chat_chunk chunk;
	int err = cn_json_check(body, reterr);

	if (err)
		return err;
	chunk = cn_chat__chunk(cn_json_root(body));
	if (is_error(cn_json_root(body), &chunk) || chunk.choices.kind != CN_JSON_ARRAY)
		return cn_fail(reterr, CN_E_INVALID, "the answer is no completion");
	read_figures(c, &chunk);
	err = read_choices(c, a, &chunk, true, reterr);
	if (err || c->out.over || c->out.base.stopped)
		return err;
	if (!c->out.started)
		return cn_fail(reterr, CN_E_INVALID, "a completion without a choice");
	return finish(c, reterr);
}

static bool decode_end(struct cn_decoder *d, struct cn_arena *a)
{
	struct cn_chat *c = chat_of(d);
	/* Text has no end of its own here; calls have one, where the policy trusts that. */
	bool closed = c->out.base.hints.quirks & cn_quirk_bit(CN_QUIRK_OPEN_END) &&
	              c->out.n_calls && !c->out.open && !cn_compose__call_cut(&c->out);

	(void)a;
	return !c->out.over && (c->finish.n || closed) && finish(c, NULL) == 0;
}

static size_t held(const struct cn_decoder *d)
{
	const struct cn_chat *c = (const struct cn_chat *)d;

	return c->finish.cap + c->stop_sequence.cap + cn_compose__held(&c->out);
}

static void init(struct cn_decoder *d)
{
	cn_compose__init(&chat_of(d)->out);
}

static void done(struct cn_decoder *d)
{
	struct cn_chat *c = chat_of(d);

	cn_compose__done(&c->out);
	cn_buf_done(&c->finish);
	cn_buf_done(&c->stop_sequence);
}

const struct cn_decoder_ops cn_wire__openai_chat = {
    .size = sizeof(struct cn_chat),
    .init = init,
    .done = done,
    .event = decode_event,
    .whole = decode_whole,
    .end = decode_end,
    .held = held,
};
