/*
 * Events of one answer, written down for the judges: texts joined, calls put together,
 * figures kept, and when what came.  What is kept has an end; nothing is judged here.
 *
 * Pure: the time is an argument.
 */
#include "probe_impl.h"

void cn_probe__ear_begin(struct cn_probe_ear *e, struct cn_probe_answer *answer,
                         uint64_t now_ms)
{
	uint64_t estimate = answer->estimate, least = answer->least;
	uint64_t waited = answer->waited_ms;

	*answer = (struct cn_probe_answer){
	    .asked = true, .estimate = estimate, .least = least, .waited_ms = waited};
	e->answer = answer;
	e->started_ms = now_ms;
	e->in_call = false;
	cn_buf_clear(&e->text);
	cn_buf_clear(&e->thinking);
	cn_buf_clear(&e->input);
}

struct cn_view cn_probe__ear_copy(struct cn_probe_ear *e, struct cn_view foreign)
{
	char *text = cn_arena_dup(e->arena, foreign);

	if (e->opts && e->opts->scrub)
		e->opts->scrub(e->opts->self, text, foreign.n);
	return cn_view(text, foreign.n);
}

static void keep(struct cn_buf *b, struct cn_view text)
{
	cn_buf_add_view(b, cn_view_cut(text, CN_PROBE_TEXT_MAX - b->n));
}

/* The call that was being written is whole, as far as it will get. */
static void end_call(struct cn_probe_ear *e)
{
	struct cn_probe_answer *a = e->answer;

	if (e->in_call && a->n_calls <= CN_PROBE_CALLS)
		a->calls[a->n_calls - 1].input =
		    cn_probe__ear_copy(e, cn_buf_view(&e->input));
	e->in_call = false;
}

static void begin_call(struct cn_probe_ear *e, const struct cn_event *ev)
{
	struct cn_probe_answer *a = e->answer;

	end_call(e);
	e->in_call = true;
	cn_buf_clear(&e->input);
	if (a->n_calls++ < CN_PROBE_CALLS)
		a->calls[a->n_calls - 1] =
		    (struct cn_probe_call){.id = cn_probe__ear_copy(e, ev->id),
		                           .name = cn_probe__ear_copy(e, ev->name)};
}

static void on_block(struct cn_probe_ear *e, const struct cn_event *ev)
{
	switch (ev->block) {
	case CN_BLOCK_TEXT:
		keep(&e->text, ev->text);
		break;
	case CN_BLOCK_THINKING:
		keep(&e->thinking, ev->text);
		break;
	case CN_BLOCK_REDACTED_THINKING:
		e->answer->signature = true;
		break;
	case CN_BLOCK_TOOL_USE:
		begin_call(e, ev);
		break;
	case CN_BLOCK_SERVER_TOOL:
	case CN_BLOCK_OTHER:
		break;
	}
}

static void on_delta(struct cn_probe_ear *e, const struct cn_event *ev)
{
	switch (ev->delta) {
	case CN_DELTA_TEXT:
		keep(&e->text, ev->text);
		e->answer->n_deltas += ev->text.n > 0;
		break;
	case CN_DELTA_THINKING:
		keep(&e->thinking, ev->text);
		break;
	case CN_DELTA_SIGNATURE:
		e->answer->signature |= ev->text.n > 0;
		break;
	case CN_DELTA_INPUT_JSON:
		keep(&e->input, ev->text);
		break;
	case CN_DELTA_OTHER:
		break;
	}
}

void cn_probe__ear_event(struct cn_probe_ear *e, const struct cn_event *ev, uint64_t now_ms)
{
	struct cn_probe_answer *a = e->answer;

	if (!a->first_ms &&
	    (ev->kind == CN_EV_BLOCK_DELTA || ev->kind == CN_EV_BLOCK_START))
		a->first_ms = now_ms - e->started_ms + 1;
	switch (ev->kind) {
	case CN_EV_MESSAGE_START:
		a->model = cn_probe__ear_copy(e, ev->name);
		cn_usage_merge(&a->usage, &ev->usage);
		break;
	case CN_EV_BLOCK_START:
		on_block(e, ev);
		break;
	case CN_EV_BLOCK_DELTA:
		on_delta(e, ev);
		break;
	case CN_EV_BLOCK_STOP:
		end_call(e);
		break;
	case CN_EV_MESSAGE_DELTA:
		a->stop_reason = cn_probe__ear_copy(e, ev->stop_reason);
		a->stop_sequence = cn_probe__ear_copy(e, ev->stop_sequence);
		cn_usage_merge(&a->usage, &ev->usage);
		break;
	case CN_EV_MESSAGE_STOP:
	case CN_EV_PING:
	case CN_EV_PROGRESS:
	case CN_EV_ERROR:
	case CN_EV_UNKNOWN:
		break;
	}
}

void cn_probe__ear_end(struct cn_probe_ear *e, const struct cn_outcome *o, uint64_t now_ms)
{
	struct cn_probe_answer *a = e->answer;

	end_call(e);
	a->over = true;
	a->text = cn_probe__ear_copy(e, cn_buf_view(&e->text));
	a->thinking = cn_probe__ear_copy(e, cn_buf_view(&e->thinking));
	a->total_ms = now_ms - e->started_ms + 1;
	a->outcome = *o;
	/* These are the attempt's. */
	a->outcome.body = cn_probe__ear_copy(e, o->body);
	a->outcome.message = cn_probe__ear_copy(e, o->message);
	a->outcome.content_type = cn_probe__ear_copy(e, o->content_type);
	a->outcome.upstream_request = cn_probe__ear_copy(e, o->upstream_request);
	a->outcome.repair_field = cn_probe__ear_copy(e, o->repair_field);
}

void cn_probe__ear_done(struct cn_probe_ear *e)
{
	cn_buf_done(&e->text);
	cn_buf_done(&e->thinking);
	cn_buf_done(&e->input);
}
