/*
 * The splice: events of attempts in, one canonical answer out.
 *
 * Before the commit nothing is written: blocks gather in the ledger and can be dropped
 * without trace.  The commit writes what has gathered; from then on text and thinking go
 * out as they come, and a tool call when it is whole and checks (design/continuity.md).
 * Block indices are dense and ours, whatever the backend's numbers.
 *
 * Owns its output buffer and the ledger.  Pure; never decides what a failure means.
 *
 *   HOLDING --commit--> COMMITTED --finish, fail--> OVER
 */
#include "splice_impl.h"

#include "continuo/ids.h"

#include <string.h>

/* ---- life ---- */

void cn_splice__reset(struct cn_splice *s, const struct cn_author *author)
{
	s->author = author;
	s->upstream_id = s->answered = s->start_raw = (struct cn_view){NULL, 0};
	s->n_open = 0;
	s->held_other = s->held_thinking = 0;
	s->thinking_since_ms = 0;
	s->broken = NULL;
	s->broken_call = NULL;
	s->usage = (struct cn_usage){0};
	s->counted = false;
	s->stop_reason = s->stop_sequence = s->delta_raw = (struct cn_view){NULL, 0};
	s->started = s->ended = s->cut_tool = false;
	s->gave = 0;
	s->continuing = false;
	s->joint = cn_joint_free(s->joint);
	s->joining = NULL;
}

struct cn_splice *cn_splice_new(const struct cn_splice_opts *opts)
{
	struct cn_splice *s = cn_zalloc(sizeof(*s));

	s->opts = *opts;
	cn_list_init(&s->blocks);
	cn_splice__reset(s, NULL);
	return s;
}

struct cn_splice *cn_splice_free(struct cn_splice *s)
{
	if (!s)
		return NULL;
	CN_LIST_EACH(link, &s->blocks)
	cn_splice__block_free(s, cn_container_of(link, struct cn_block, link));
	cn_assert(s->charged == 0);
	cn_charge_release(s->opts.charge, s->kept);
	s->joint = cn_joint_free(s->joint);
	cn_buf_done(&s->out);
	cn_arena_done(&s->arena);
	free(s);
	return NULL;
}

void cn_splice_begin(struct cn_splice *s, const struct cn_author *author)
{
	cn_assert(s->stage == CN_SPLICE_HOLDING);
	cn_splice__reset(s, author);
}

void cn_splice_drop(struct cn_splice *s)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (!block->given)
			cn_splice__block_free(s, block);
	}
	s->n_open = 0;
	s->held_other = s->held_thinking = 0;
	s->joining = NULL;
	s->broken_call = NULL;
}

/* ---- writing ---- */

static bool is_live(const struct cn_splice *s, enum cn_block_type type)
{
	return type != CN_BLOCK_TOOL_USE || s->opts.tool_calls_live;
}

/* A delta of our own making: everything the block has gathered of one kind. */
static void write_gathered(struct cn_splice *s, const struct cn_block *block,
                           enum cn_delta_type type, const struct cn_buf *bytes)
{
	struct cn_event ev = {
	    .kind = CN_EV_BLOCK_DELTA, .delta = type, .text = cn_buf_view(bytes)};

	if (bytes->n)
		cn_anthropic_add_delta(&s->out, block->index, &ev);
}

static void write_extra(struct cn_splice *s, const struct cn_block *block)
{
	CN_AUTO(cn_buf) list = {0};

	if (block->extra.n == 0)
		return;
	cn_buf_add_char(&list, '[');
	cn_buf_add_view(&list, cn_buf_view(&block->extra));
	cn_buf_add_char(&list, ']');
	for (struct cn_json_iter it = cn_json_iter(cn_json_root(cn_buf_view(&list)));
	     cn_json_next(&it);) {
		struct cn_event ev = {.kind = CN_EV_BLOCK_DELTA,
		                      .delta = CN_DELTA_OTHER,
		                      .raw = it.value.raw};

		cn_anthropic_add_delta(&s->out, block->index, &ev);
	}
}

void cn_splice__write_stop(struct cn_splice *s, struct cn_block *block)
{
	cn_anthropic_add_block_stop(&s->out, block->index);
	block->whole = true;
}

/* Gives the client a block with all that it has gathered so far. */
void cn_splice__give(struct cn_splice *s, struct cn_block *block)
{
	bool whole = block->whole;
	struct cn_event start = {.kind = CN_EV_BLOCK_START,
	                         .block = block->type,
	                         .raw = block->start,
	                         .name = block->name,
	                         .id = block->id};

	cn_assert(!block->given);
	if (s->continuing)
		cn_splice__make_way(s, block);
	block->given = true;
	s->gave += block->body.n + block->extra.n + 1;
	block->index = s->n_given++;
	cn_anthropic_add_block_start(&s->out, block->index, &start, block->id);
	switch (block->type) {
	case CN_BLOCK_TEXT:
		write_gathered(s, block, CN_DELTA_TEXT, &block->body);
		break;
	case CN_BLOCK_THINKING:
		write_gathered(s, block, CN_DELTA_THINKING, &block->body);
		break;
	case CN_BLOCK_TOOL_USE:
	case CN_BLOCK_SERVER_TOOL:
		write_gathered(s, block, CN_DELTA_INPUT_JSON, &block->body);
		break;
	case CN_BLOCK_REDACTED_THINKING:
	case CN_BLOCK_OTHER:
		break;
	}
	write_gathered(s, block, CN_DELTA_SIGNATURE, &block->signature);
	write_extra(s, block);
	if (whole)
		cn_splice__write_stop(s, block);
}

/* A text shows itself with its first character, so that an empty one never does. */
static bool may_give(const struct cn_splice *s, const struct cn_block *block)
{
	if (block->type == CN_BLOCK_TEXT)
		return block->body.n > 0 || block->extra.n > 0;
	if (cn_splice__thinking_waits(s) &&
	    (block->type == CN_BLOCK_THINKING || block->type == CN_BLOCK_REDACTED_THINKING))
		return false;
	return block->whole || is_live(s, block->type);
}

void cn_splice_commit(struct cn_splice *s)
{
	struct cn_view model =
	    s->opts.model_answered && s->answered.n ? s->answered : s->opts.model;
	struct cn_usage usage = cn_splice__told(s);

	cn_assert(s->stage == CN_SPLICE_HOLDING);
	s->stage = CN_SPLICE_COMMITTED;
	cn_anthropic_add_start(&s->out, s->opts.message_id, model, &usage, s->start_raw);
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (may_give(s, block))
			cn_splice__give(s, block);
	}
	s->held_other = s->held_thinking = 0;
}

/* ---- events ---- */

static struct cn_open *open_find(struct cn_splice *s, size_t upstream)
{
	for (size_t i = 0; i < s->n_open; i++)
		if (s->open[i].upstream == upstream)
			return &s->open[i];
	return NULL;
}

static const char *on_start(struct cn_splice *s, const struct cn_event *ev)
{
	if (s->started && s->upstream_id.n)
		return cn_view_eq(ev->id, s->upstream_id) ? NULL : "a second message_start";
	s->started = true;
	if (!cn_splice__keep(s, ev->id, &s->upstream_id) ||
	    !cn_splice__keep(s, ev->name, &s->answered) ||
	    !cn_splice__keep(s, ev->raw, &s->start_raw))
		return "the memory budget is used up";
	cn_splice__take_usage(s, ev);
	return NULL;
}

static const char *close_before_next(struct cn_splice *s);

/* A call whose stop was seen: may it be given?  What does not check waits for the stop
 * reason. */
static void tool_whole(struct cn_splice *s, struct cn_block *block, bool may_close)
{
	if (!cn_splice__call_checks(s, block, may_close)) {
		/* One that was given live stays open: closed, it would count as a call. */
		s->broken = "a tool call that does not check";
		s->broken_call = block;
		return;
	}
	s->broken = NULL;
	s->broken_call = NULL;
	block->whole = true;
	if (block->given)
		cn_splice__write_stop(s, block);
	else if (s->stage == CN_SPLICE_COMMITTED) {
		(void)close_before_next(
		    s); /* live calls are given already: nothing to refuse */
		cn_splice__give(s, block);
	}
}

static const char *close_open(struct cn_splice *s, struct cn_open *open)
{
	struct cn_block *block = open->block;
	const char *bad;

	*open = s->open[--s->n_open];
	if (block->type == CN_BLOCK_TOOL_USE) {
		tool_whole(s, block, false);
		return NULL;
	}
	if (block == s->joining) {
		if ((bad = cn_splice__join_end(s)))
			return bad;
		/* Nothing but a part of what was given: its block stays as it is. */
		if (s->joint && block->given)
			return NULL;
	}
	block->whole = true;
	if (block->given)
		cn_splice__write_stop(s, block);
	else if (block->type == CN_BLOCK_TEXT && !may_give(s, block))
		cn_splice__block_free(s, block); /* it never had a character */
	return NULL;
}

/*
 * Some backends forget a stop or overlap blocks: what the client sees must not.  A tool
 * call without its stop is never taken for whole.
 */
static const char *close_before_next(struct cn_splice *s)
{
	const char *bad = NULL;

	for (size_t i = 0; i < s->n_open && !bad; i++) {
		if (is_live(s, s->open[i].block->type)) {
			if (s->open[i].block->type == CN_BLOCK_TOOL_USE)
				return "a tool call without its stop";
			bad = close_open(s, &s->open[i]);
			i--;
		}
	}
	return bad;
}

/* The client's id of a call: the backend's, unless it is used, odd or missing. */
static void choose_id(struct cn_splice *s, struct cn_block *block)
{
	bool usable = cn_id_tool_usable(block->id, s->opts.messages);

	CN_LIST_EACH(link, &s->blocks)
	{
		const struct cn_block *other = cn_container_of(link, struct cn_block, link);

		usable &= other == block || !cn_view_eq(other->id, block->id);
	}
	if (usable)
		return;
	block->origin_id = block->id;
	block->id = cn_id_tool(&s->arena);
}

const char *cn_splice__append(struct cn_splice *s, struct cn_block *block,
                              struct cn_buf *to, struct cn_view bytes)
{
	/* One event may be more than what may be held: a text shows itself with it. */
	bool full = s->held_other > CN_HELD_MAX;

	if (!cn_splice__add(s, to, bytes))
		return "the memory budget is used up";
	if (block->type == CN_BLOCK_TOOL_USE && block->body.n > CN_TOOL_MAX)
		return "a tool call over 1 MiB";
	if (block->given) {
		s->gave += bytes.n;
		return NULL;
	}
	if (block->type == CN_BLOCK_THINKING)
		s->held_thinking += bytes.n;
	else if (block->type != CN_BLOCK_TOOL_USE)
		s->held_other += bytes.n;
	/* A client that does not stream is given all of it at the end. */
	if (s->opts.gathers || !full)
		return NULL;
	return "more than 256 KiB held before the commit";
}

static const char *on_block_start(struct cn_splice *s, const struct cn_event *ev,
                                  uint64_t now_ms)
{
	struct cn_open *open = open_find(s, ev->index);
	struct cn_block *block;
	const char *bad;

	s->started = true;
	if (s->broken_call)
		tool_whole(s, s->broken_call, true); /* it was not cut: more follows */
	if (s->broken)
		return s->broken;
	if (open && open->block->type == ev->block && open->block->body.n == 0 &&
	    cn_view_eq(open->block->start, ev->raw))
		return NULL; /* the same start twice: seen, and harmless */
	if (open && open->block->type == CN_BLOCK_TOOL_USE)
		return "a tool call without its stop";
	if ((bad = close_before_next(s)))
		return bad;
	if (s->n_open == CN_OPEN_MAX)
		return "too many blocks open at once";
	if (ev->block == CN_BLOCK_TOOL_USE && ev->name.n == 0)
		return "a tool call without a name";
	block = ev->block == CN_BLOCK_TEXT ? cn_splice__join(s) : NULL;
	if (!block) {
		if (s->n_blocks == CN_BLOCKS_MAX)
			return "more than 1024 blocks";
		if (!(block = cn_splice__block_new(s, ev)))
			return "the memory budget is used up";
	}
	if (ev->block == CN_BLOCK_TEXT && s->joint && !s->joining)
		s->joining = block;
	s->open[s->n_open++] = (struct cn_open){ev->index, block};
	if (block->type == CN_BLOCK_TOOL_USE)
		choose_id(s, block);
	if (block->type == CN_BLOCK_THINKING && !s->thinking_since_ms)
		s->thinking_since_ms = now_ms ? now_ms : 1;
	if (block == s->joining)
		return cn_splice__join_text(s, ev->text);
	/* A call's input in its start counts only without deltas: on_block_stop(). */
	if (ev->text.n && block->type != CN_BLOCK_TOOL_USE &&
	    (bad = cn_splice__append(s, block, &block->body, ev->text)))
		return bad;
	if (s->stage == CN_SPLICE_COMMITTED && may_give(s, block))
		cn_splice__give(s, block);
	return NULL;
}

static const char *on_other_delta(struct cn_splice *s, struct cn_block *block,
                                  const struct cn_event *ev)
{
	if (block->extra.n && !cn_splice__add(s, &block->extra, CN_VIEW(",")))
		return "the memory budget is used up";
	return cn_splice__append(s, block, &block->extra,
	                         ev->raw.n ? ev->raw : CN_VIEW("{}"));
}

static const char *on_delta(struct cn_splice *s, const struct cn_event *ev)
{
	struct cn_open *open = open_find(s, ev->index);
	struct cn_block *block = open ? open->block : NULL;
	const char *bad = NULL;

	if (!block)
		return "a delta for a block that is not open";
	switch (ev->delta) {
	case CN_DELTA_TEXT:
		if (block->type != CN_BLOCK_TEXT)
			return "a text delta in a block of another type";
		if (block == s->joining)
			return cn_splice__join_text(s, ev->text);
		bad = cn_splice__append(s, block, &block->body, ev->text);
		break;
	case CN_DELTA_THINKING:
		if (block->type != CN_BLOCK_THINKING)
			return "a thinking delta in a block of another type";
		bad = cn_splice__append(s, block, &block->body, ev->text);
		break;
	case CN_DELTA_SIGNATURE:
		if (block->type != CN_BLOCK_THINKING)
			return "a signature in a block of another type";
		bad = cn_splice__append(s, block, &block->signature, ev->text);
		break;
	case CN_DELTA_INPUT_JSON:
		if (block->type != CN_BLOCK_TOOL_USE && block->type != CN_BLOCK_SERVER_TOOL)
			return "tool input in a block of another type";
		bad = cn_splice__append(s, block, &block->body, ev->text);
		break;
	case CN_DELTA_OTHER:
		bad = on_other_delta(s, block, ev);
		break;
	}
	if (bad || (!ev->text.n && ev->delta != CN_DELTA_OTHER))
		return bad;
	if (block->given)
		cn_anthropic_add_delta(&s->out, block->index, ev);
	else if (s->stage == CN_SPLICE_COMMITTED && may_give(s, block))
		cn_splice__give(s, block);
	return NULL;
}

/* A backend may give the whole input in the start and no delta: then that is the input. */
static const char *on_block_stop(struct cn_splice *s, const struct cn_event *ev)
{
	struct cn_open *open = open_find(s, ev->index);
	struct cn_block *block;
	const char *bad;

	if (!open)
		return NULL; /* a stop of nothing: tolerated */
	block = open->block;
	if (block->type == CN_BLOCK_TOOL_USE && block->body.n == 0) {
		struct cn_json input = cn_json_get(cn_json_root(block->start), "input");
		struct cn_view text = input.kind == CN_JSON_STRING
		                          ? cn_json_text(&s->arena, input)
		                          : input.raw;

		if (input.kind != CN_JSON_NONE && input.kind != CN_JSON_NULL &&
		    !cn_view_is(text, "{}") &&
		    (bad = cn_splice__append(s, block, &block->body, text)))
			return bad;
		if (block->given)
			write_gathered(s, block, CN_DELTA_INPUT_JSON, &block->body);
	}
	return close_open(s, open);
}

/* The call that was cut by the output limit goes; anything else that broke is malformed. */
static const char *settle_broken(struct cn_splice *s)
{
	if (s->broken_call && !cn_view_is(s->stop_reason, "max_tokens") && s->stop_reason.n)
		tool_whole(s, s->broken_call, true);
	if (!s->broken)
		return NULL;
	if (!cn_view_is(s->stop_reason, "max_tokens"))
		return s->broken;
	s->broken = NULL;
	s->broken_call = NULL;
	s->cut_tool = true;
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (!block->given && block->type == CN_BLOCK_TOOL_USE && !block->whole)
			cn_splice__block_free(s, block);
	}
	return NULL;
}

static const char *on_message_delta(struct cn_splice *s, const struct cn_event *ev)
{
	cn_splice__take_usage(s, ev);
	if ((ev->stop_reason.n && !cn_splice__keep(s, ev->stop_reason, &s->stop_reason)) ||
	    (ev->stop_sequence.n &&
	     !cn_splice__keep(s, ev->stop_sequence, &s->stop_sequence)) ||
	    (ev->raw.n && !cn_splice__keep(s, ev->raw, &s->delta_raw)))
		return "the memory budget is used up";
	return s->stop_reason.n ? settle_broken(s) : NULL;
}

static const char *on_stop(struct cn_splice *s)
{
	const char *bad;

	while (s->n_open) {
		if (s->open[0].block->type == CN_BLOCK_TOOL_USE) {
			s->broken = "a tool call without its stop";
			s->open[0] = s->open[--s->n_open];
			continue;
		}
		if ((bad = close_open(s, &s->open[0])))
			return bad;
	}
	bad = settle_broken(s);
	s->ended = !bad;
	return bad;
}

const char *cn_splice_feed(struct cn_splice *s, const struct cn_event *ev, uint64_t now_ms)
{
	cn_assert(s->stage != CN_SPLICE_OVER);
	if (s->ended)
		return NULL;
	switch (ev->kind) {
	case CN_EV_MESSAGE_START:
		return on_start(s, ev);
	case CN_EV_BLOCK_START:
		return on_block_start(s, ev, now_ms);
	case CN_EV_BLOCK_DELTA:
		return on_delta(s, ev);
	case CN_EV_BLOCK_STOP:
		return on_block_stop(s, ev);
	case CN_EV_MESSAGE_DELTA:
		return on_message_delta(s, ev);
	case CN_EV_MESSAGE_STOP:
		return on_stop(s);
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_ERROR:
	case CN_EV_UNKNOWN:
		return NULL;
	}
	return NULL;
}

/* ---- questions ---- */

/* Whether a block alone shows that the attempt is answering. */
static bool block_proves(const struct cn_splice *s, const struct cn_block *block)
{
	switch (block->type) {
	case CN_BLOCK_TEXT:
		return block->body.n > 0;
	case CN_BLOCK_TOOL_USE:
		return block->whole || (s->opts.tool_calls_live && block->body.n > 0);
	case CN_BLOCK_SERVER_TOOL:
	case CN_BLOCK_OTHER:
		return block->whole;
	case CN_BLOCK_THINKING:
	case CN_BLOCK_REDACTED_THINKING:
		return false;
	}
	return false;
}

static bool has_content(const struct cn_splice *s)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		if (block_proves(s, cn_container_of(link, struct cn_block, link)))
			return true;
	}
	return false;
}

uint64_t cn_splice_thinking_proves_at(const struct cn_splice *s)
{
	if (s->stage != CN_SPLICE_HOLDING || !s->thinking_since_ms)
		return UINT64_MAX;
	return s->held_thinking > CN_HELD_MAX
	           ? 0
	           : s->thinking_since_ms + s->opts.hold_thinking_ms;
}

bool cn_splice_proved(const struct cn_splice *s, uint64_t now_ms)
{
	return has_content(s) || now_ms >= cn_splice_thinking_proves_at(s);
}

size_t cn_splice_held(const struct cn_splice *s)
{
	return s->charged;
}

bool cn_splice_committed(const struct cn_splice *s)
{
	return s->stage != CN_SPLICE_HOLDING;
}

bool cn_splice_ended(const struct cn_splice *s)
{
	return s->ended;
}

bool cn_splice_empty(const struct cn_splice *s)
{
	struct cn_view r = s->stop_reason;

	/* Text that ends before its first word, by a sequence that is named, is whole. */
	return s->ended && (s->continuing ? s->gave == 0 : !has_content(s)) &&
	       (r.n == 0 || cn_view_is(r, "end_turn") || cn_view_is(r, "tool_use") ||
	        (cn_view_is(r, "stop_sequence") && s->stop_sequence.n == 0));
}

bool cn_splice_cut_tool(const struct cn_splice *s)
{
	return s->cut_tool && !has_content(s);
}

struct cn_buf *cn_splice_out(struct cn_splice *s)
{
	return &s->out;
}

struct cn_view cn_splice_answered(const struct cn_splice *s)
{
	return s->answered;
}

const struct cn_usage *cn_splice_usage(const struct cn_splice *s)
{
	return &s->usage;
}

/* The presence of calls decides what the client does; the reason must not contradict it. */
struct cn_view cn_splice_stop_reason(const struct cn_splice *s)
{
	struct cn_view r = s->stop_reason;
	bool tool = cn_splice_called(s);

	if (r.n == 0 || cn_view_is(r, "end_turn") || cn_view_is(r, "tool_use"))
		return tool ? CN_VIEW("tool_use") : CN_VIEW("end_turn");
	return r;
}

/* ---- the end ---- */

static void close_given(struct cn_splice *s)
{
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (!block->given || block->whole)
			continue;
		block->cut = true;
		cn_splice__write_stop(s, block);
	}
}

void cn_splice_finish(struct cn_splice *s)
{
	struct cn_view reason = cn_splice_stop_reason(s);
	struct cn_usage total = cn_splice__told(s);

	cn_assert(s->stage == CN_SPLICE_COMMITTED);
	close_given(s);
	cn_anthropic_add_message_delta(&s->out, reason, s->stop_sequence, &total,
	                               s->delta_raw);
	cn_anthropic_add_message_stop(&s->out);
	s->stage = CN_SPLICE_OVER;
}

void cn_splice_finish_tool_use(struct cn_splice *s)
{
	cn_splice_drop(s);
	s->stop_reason = CN_VIEW("tool_use");
	s->stop_sequence = s->delta_raw = (struct cn_view){NULL, 0};
	cn_splice_finish(s);
}

void cn_splice_fail(struct cn_splice *s, struct cn_view type, struct cn_view message,
                    struct cn_view request_id)
{
	/*
	 * Closed text is kept by the client, which then asks for the rest; a cut thinking
	 * block or a call given live must stay open, so that it is thrown away.
	 */
	CN_LIST_EACH(link, &s->blocks)
	{
		struct cn_block *block = cn_container_of(link, struct cn_block, link);

		if (block->given && !block->whole && block->type == CN_BLOCK_TEXT &&
		    block->body.n)
			cn_splice__write_stop(s, block);
	}
	cn_splice_drop(s);
	cn_anthropic_add_error(&s->out, type, message, request_id);
	s->stage = CN_SPLICE_OVER;
}

/* Members of the answer beside the usual ones, as message_delta carried them. */
static void add_unknown(const struct cn_splice *s, struct cn_buf *b)
{
	struct cn_json raw = cn_json_root(s->delta_raw);

	for (struct cn_json_iter it = cn_json_iter(cn_json_get(raw, "delta"));
	     cn_json_next(&it);) {
		if (cn_json_key_is(it.key, "stop_reason") ||
		    cn_json_key_is(it.key, "stop_sequence"))
			continue;
		cn_buf_add_char(b, ',');
		cn_buf_add_view(b, it.whole);
	}
	for (struct cn_json_iter it = cn_json_iter(raw); cn_json_next(&it);) {
		if (cn_json_key_is(it.key, "type") || cn_json_key_is(it.key, "delta") ||
		    cn_json_key_is(it.key, "usage"))
			continue;
		cn_buf_add_char(b, ',');
		cn_buf_add_view(b, it.whole);
	}
}

static void add_usage(const struct cn_splice *s, struct cn_buf *b)
{
	struct cn_json raw = cn_json_get(cn_json_root(s->delta_raw), "usage");
	struct cn_usage total = cn_splice__told(s);

	cn_json_add_key(b, "usage");
	cn_buf_add_char(b, '{');
	cn_json_add_u64(b, "input_tokens", total.input);
	cn_json_add_u64(b, "cache_creation_input_tokens", total.cache_write);
	cn_json_add_u64(b, "cache_read_input_tokens", total.cache_read);
	cn_json_add_u64(b, "output_tokens", total.output);
	for (struct cn_json_iter it = cn_json_iter(raw); cn_json_next(&it);) {
		if (cn_json_key_is(it.key, "input_tokens") ||
		    cn_json_key_is(it.key, "output_tokens") ||
		    cn_json_key_is(it.key, "cache_creation_input_tokens") ||
		    cn_json_key_is(it.key, "cache_read_input_tokens"))
			continue;
		cn_buf_add_char(b, ',');
		cn_buf_add_view(b, it.whole);
	}
	cn_buf_add_char(b, '}');
}

void cn_splice_message(const struct cn_splice *s, struct cn_buf *b)
{
	struct cn_view model =
	    s->opts.model_answered && s->answered.n ? s->answered : s->opts.model;

	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "id", s->opts.message_id);
	cn_json_add_text(b, "type", CN_VIEW("message"));
	cn_json_add_text(b, "role", CN_VIEW("assistant"));
	cn_json_add_text(b, "model", model);
	cn_json_add_key(b, "content");
	cn_splice_content(s, true, b);
	cn_json_add_text(b, "stop_reason", cn_splice_stop_reason(s));
	if (s->stop_sequence.n)
		cn_json_add_text(b, "stop_sequence", s->stop_sequence);
	else
		cn_json_add_raw(b, "stop_sequence", CN_VIEW("null"));
	add_unknown(s, b);
	add_usage(s, b);
	cn_buf_add_char(b, '}');
}
