/*
 * The turn: one client request and the one message that answers it, however many attempts
 * that takes.  This file is its state machine and nothing else: entering a state speaks,
 * handlers listen and choose the next state (house style 4).
 *
 *              +--------------------- RESTING
 *              v      all cooling       ^
 *   birth -> PLANNING ------------------+
 *              |  ^ \___ none left ______________
 *              v  | failed, may be retried       \
 *            TRYING ----- whole answer, error --> DRAINING --> CLOSED
 *              | proved itself (the commit point)  ^  ^ \_ TELLING _^
 *              v                                   |  |
 *          STREAMING ----- end, finished as it is -+  |
 *            |   ^ first new text                     |
 *            v   |                                    |
 *          CONTINUING ---- finished, none left -------+
 *           lost: the next candidate goes on
 *
 * Owns the attempt, the splice and the plan; holds no bytes of the answer.  Runs on the
 * turn's worker.  Nothing else in the program may decide that a turn is committed.
 */
#include "turn_impl.h"

#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/trace.h"

#include <stdio.h>
#include <stdlib.h>

static void turn_enter(struct cn_turn *t, enum cn_turn_state next);

static const char *state_name(enum cn_turn_state s)
{
	switch (s) {
#define X(name, meaning)     \
	case CN_TURN_##name: \
		return #name;
		CN_TURN_STATES(X)
#undef X
	}
	return "?";
}

static bool move_is_legal(enum cn_turn_state from, enum cn_turn_state to)
{
#define CN_BIT(s) (1u << CN_TURN_##s)
	static const unsigned legal[] = {
	    [CN_TURN_PLANNING] =
		CN_BIT(TRYING) | CN_BIT(RESTING) | CN_BIT(DRAINING) | CN_BIT(CLOSED),
	    [CN_TURN_TRYING] =
		CN_BIT(STREAMING) | CN_BIT(PLANNING) | CN_BIT(DRAINING) | CN_BIT(CLOSED),
	    [CN_TURN_STREAMING] = CN_BIT(CONTINUING) | CN_BIT(DRAINING) | CN_BIT(CLOSED),
	    [CN_TURN_CONTINUING] = CN_BIT(STREAMING) | CN_BIT(DRAINING) | CN_BIT(CLOSED),
	    [CN_TURN_RESTING] = CN_BIT(PLANNING) | CN_BIT(DRAINING) | CN_BIT(CLOSED),
	    [CN_TURN_DRAINING] = CN_BIT(TELLING) | CN_BIT(CLOSED),
	    [CN_TURN_TELLING] = CN_BIT(CLOSED),
	    [CN_TURN_CLOSED] = 0,
	};
#undef CN_BIT
	return legal[from] & (1u << to);
}

/* The answer is there, or the error: nothing more is asked of anybody. */
static bool is_over(const struct cn_turn *t)
{
	return t->state == CN_TURN_DRAINING || t->state == CN_TURN_TELLING;
}

/* ---- the timer: the nearest of the turn's times ---- */

static uint64_t nearest(const struct cn_turn *t)
{
	uint64_t at = t->deadline_ms;

#define CN_NEARER(when)                       \
	do {                                  \
		uint64_t when_ = (when);      \
		at = when_ < at ? when_ : at; \
	} while (0)
	switch (t->state) {
	case CN_TURN_RESTING:
		CN_NEARER(t->rest_until_ms);
		break;
	case CN_TURN_TRYING:
		if (t->req.stream)
			CN_NEARER(cn_splice_thinking_proves_at(t->splice));
		break;
	case CN_TURN_STREAMING:
		at = UINT64_MAX; /* committed: the attempt's own timers bound it */
		break;
	case CN_TURN_CONTINUING:
		at = t->attempt ? UINT64_MAX : t->rest_until_ms;
		break;
	case CN_TURN_DRAINING:
		at = t->store_until_ms;
		break;
	case CN_TURN_TELLING:
		at = UINT64_MAX;
		break;
	case CN_TURN_PLANNING:
		CN_NEARER(t->store_until_ms);
		break;
	case CN_TURN_CLOSED:
		break;
	}
	if (t->head == CN_HEAD_NONE)
		CN_NEARER(is_over(t) ? UINT64_MAX : t->open_early_ms);
	else
		CN_NEARER(t->wrote_ms + CN_PING_MS);
	if (t->client)
		CN_NEARER(cn_smooth_next_at(t->smooth));
#undef CN_NEARER
	return at;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct cn_turn *t)
{
	uint64_t now = cn_clock_ms(), at = nearest(t);
	uint64_t wait = at > now ? at - now : 0;

	if (t->state == CN_TURN_CLOSED)
		return;
	/* No timer for longer than an hour: the clock is looked at again then. */
	uv_timer_start(&t->timer, on_timer, wait < 3600000 ? wait : 3600000, 0);
}

/* ---- entering ---- */

/* A place among the turns in flight, of all and of the token; false: not yet. */
static bool take_place(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	unsigned now = atomic_load(&sh->turns);

	if (t->counted)
		return true;
	do {
		if (now >= t->policy->limits.turns)
			return false;
	} while (!atomic_compare_exchange_weak(&sh->turns, &now, now + 1));
	if (t->token && !cn_access__turn_begin(sh->access, t->token, t->policy)) {
		atomic_fetch_sub(&sh->turns, 1);
		return false;
	}
	t->counted = true;
	return true;
}

/* Every model refused: the answer is that, in the form of one. */
static void end_refused(struct cn_turn *t)
{
	struct cn_event why = {.kind = CN_EV_MESSAGE_DELTA,
	                       .stop_reason = CN_VIEW("refusal")};
	struct cn_event stop = {.kind = CN_EV_MESSAGE_STOP};

	cn_splice_begin(t->splice, cn_turn__author(t));
	(void)cn_splice_feed(t->splice, &why, 0); /* nothing of it can be malformed */
	(void)cn_splice_feed(t->splice, &stop, 0);
	cn_splice_commit(t->splice);
	if (t->req.stream)
		cn_turn__tell_head(t, cn_view_str(cn_turn__name(t, t->candidate)));
	t->end = CN_END_ANSWER;
	turn_enter(t, CN_TURN_DRAINING);
}

static void end_with_error(struct cn_turn *t, const struct cn_next *next)
{
	struct cn_ending_input in = {
	    .plan = &t->plan,
	    .tried = t->tried,
	    .outcomes = t->outcomes,
	    .n = t->n_tried,
	    .next = next,
	    .request = &t->req,
	    .now_ms = cn_clock_ms(),
	    .wall_ms = cn_clock_wall_ms(),
	};

	cn_ending_decide(&t->arena, &in, &t->ending);
	if (t->ending.refusal && t->candidate) {
		end_refused(t);
		return;
	}
	t->end = CN_END_ERROR;
	turn_enter(t, CN_TURN_DRAINING);
}

static const char *on_event(void *self, const struct cn_event *ev);
static void on_head(void *self, const struct cn_field_list *fields);
static void on_idle(void *self);
static void on_end(void *self, const struct cn_outcome *outcome);

/* The splice begins anew, or goes on; a phrase when it cannot. */
static const char *begin_splice(struct cn_turn *t)
{
	/* The request to go on quotes what was given, as JSON and in copies. */
	size_t bytes = 4 * cn_splice_held(t->splice);

	if (!cn_splice_committed(t->splice)) {
		cn_splice_begin(t->splice, cn_turn__author(t));
		return NULL;
	}
	if (!cn_charge_take(&t->worker->shared->charge, bytes))
		return "the memory budget is used up";
	t->resume_bytes += bytes;
	return cn_splice_continue(t->splice, cn_turn__author(t), cn_turn__how(t))
	           ? NULL
	           : "the memory budget is used up";
}

/* Starts an attempt at the candidate that next names; false: it could not even be started.
 */
static bool try_next(struct cn_turn *t, const struct cn_next *next)
{
	struct cn_attempt_owner owner = {.on_head = on_head,
	                                 .on_event = on_event,
	                                 .on_idle = on_idle,
	                                 .on_end = on_end,
	                                 .self = t};
	struct cn_outcome failed = {0};

	/* The one resend to the same candidate changes something; any other starts clean.
	 */
	t->repair = next->repair ? t->outcomes[t->n_tried - 1] : (struct cn_outcome){0};
	t->candidate = next->candidate;
	memset(&t->found, 0, sizeof(t->found));
	t->attempt_ms = cn_clock_ms();
	failed.class = CN_CLASS_MALFORMED_STREAM;
	failed.no_cooldown = true;
	failed.reason = begin_splice(t);
	cn_count(CN_CT_ATTEMPTS);
	cn_trace(CN_TR_ATTEMPT_START, t->number, t->n_tried + 1,
	         cn_view_str(cn_turn__name(t, t->candidate)));
	if (!failed.reason && cn_turn__try(t, owner, &failed))
		return true;
	cn_turn__note(t, t->candidate, &failed);
	return false;
}

/* The end of a stream that nobody goes on with. */
static void end_lost(struct cn_turn *t)
{
	const struct cn_outcome *last = t->n_tried ? &t->outcomes[t->n_tried - 1] : NULL;

	t->attempt = cn_attempt_cancel(t->attempt);
	if (cn_splice_fate(t->splice) == CN_FATE_TOOL_USE) {
		t->end = CN_END_TOOL_USE;
	} else if (cn_splice_deliverable(t->splice)) {
		cn_splice_deliver(t->splice);
		t->end = CN_END_ANSWER;
	} else {
		t->end = CN_END_ERROR;
		t->ending =
		    cn_ending_in_stream(&t->arena, cn_turn__name(t, t->candidate), last);
	}
	turn_enter(t, CN_TURN_DRAINING);
}

/* None is left. */
static void end_plan(struct cn_turn *t, const struct cn_next *next)
{
	if (t->state == CN_TURN_CONTINUING)
		end_lost(t);
	else
		end_with_error(t, next);
}

static void rest(struct cn_turn *t, uint64_t until_ms)
{
	t->rest_until_ms = until_ms;
	if (t->state == CN_TURN_CONTINUING)
		arm(t);
	else
		turn_enter(t, CN_TURN_RESTING);
}

/* The last candidate itself: its answer was cut by a ceiling, not bad. */
static bool same_goes_on(const struct cn_turn *t)
{
	return t->n_tried && t->tried[t->n_tried - 1].class == CN_CLASS_OUTPUT_CEILING &&
	       cn_splice_gave(t->splice) && cn_turn__goes_on(t, t->candidate);
}

/* Whom to try now, taken for this turn if there is somebody. */
static struct cn_next next_of(struct cn_turn *t, uint64_t now)
{
	struct cn_shared *sh = t->worker->shared;
	bool resuming = t->state == CN_TURN_CONTINUING;
	uint64_t max_wait = t->plan.fallback->max_wait_ms;
	uint64_t until = t->wait_until_ms         ? t->wait_until_ms
	                 : max_wait == CN_FOREVER ? UINT64_MAX
	                                          : now + max_wait;
	struct cn_next next = {.kind = CN_NEXT_NONE};

	if (t->n_tried == CN_ATTEMPTS_MAX - 1 || (resuming && t->resumes_left == 0))
		return next;
	uv_mutex_lock(&sh->health_lock);
	if (resuming && same_goes_on(t))
		next = (struct cn_next){.kind = CN_NEXT_TRY, .candidate = t->candidate};
	else
		next = cn_plan_next(resuming ? &t->resume : &t->plan, sh->health, t->tried,
		                    t->n_tried, now, until);
	if (next.kind == CN_NEXT_TRY &&
	    !cn_health_take(sh->health, next.candidate, next.is_retry, now)) {
		next.kind = CN_NEXT_WAIT;
		next.ready_at_ms = now + 50;
	} else if (next.kind == CN_NEXT_WAIT) {
		t->wait_until_ms = until;
	}
	uv_mutex_unlock(&sh->health_lock);
	return next;
}

/* Entering PLANNING, or going on: the next candidate, or a rest, or the end. */
static void plan(struct cn_turn *t)
{
	struct cn_next next;
	uint64_t now;

	for (;;) {
		now = cn_clock_ms();
		if (!take_place(t)) {
			if (now >= t->started_ms + CN_QUEUE_MS)
				end_with_error(t, NULL);
			else
				rest(t, now + 50);
			return;
		}
		next = next_of(t, now);
		if (next.kind == CN_NEXT_WAIT) {
			rest(t, next.ready_at_ms);
			return;
		}
		if (next.kind == CN_NEXT_NONE)
			break;
		if (t->state == CN_TURN_CONTINUING)
			t->resumes_left--;
		if (!try_next(t, &next))
			continue;
		if (t->state == CN_TURN_CONTINUING)
			arm(t);
		else
			turn_enter(t, CN_TURN_TRYING);
		return;
	}
	end_plan(t, &next);
}

/* Entering CONTINUING: somebody may go on with what was given. */
static void go_on(struct cn_turn *t)
{
	t->wait_until_ms = 0;
	cn_count(CN_CT_CONTINUATIONS);
	plan(t);
}

/* Entering STREAMING for the first time is the commit point; then, the joint. */
static void commit(struct cn_turn *t)
{
	struct cn_view used = cn_view_str(cn_turn__name(t, t->candidate));

	if (cn_splice_committed(t->splice)) {
		cn_turn__tell_joint(t, used);
	} else {
		cn_pressure__leave(&t->weight);
		cn_splice_commit(t->splice);
		t->first_byte_ms = cn_clock_ms() - t->started_ms;
		if (t->req.stream)
			cn_turn__tell_head(t, used);
	}
	cn_turn__flush(t);
}

/* Entering DRAINING: what happened is on disk before its last byte is told. */
static void drain(struct cn_turn *t)
{
	t->attempt = cn_attempt_cancel(t->attempt);
	atomic_store(&t->weight.going, true);
	cn_turn__book(t);
	if (t->smooth)
		cn_turn__flush(t);
	t->store_until_ms = cn_clock_ms() + CN_STORE_WAIT_MS;
	if (cn_records__finish(t))
		arm(t);
	else
		cn_turn__stored(t, false);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct cn_turn *t = handle->data;

	if (--t->handles == 0)
		cn_turn__free(t);
}

/* Entering CLOSED: the one teardown, right from every state. */
static void close_turn(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;

	cn_turn__log_end(t);
	if (t->attempt) {
		uv_mutex_lock(&sh->health_lock);
		cn_health_cancel(sh->health, t->candidate, cn_clock_ms());
		uv_mutex_unlock(&sh->health_lock);
	}
	t->attempt = cn_attempt_cancel(t->attempt);
	atomic_store(&t->weight.going, true);
	cn_records__forget(t);
	if (t->counted) {
		atomic_fetch_sub(&sh->turns, 1);
		if (t->token)
			cn_access__turn_over(sh->access, t->token);
		t->counted = false;
	}
	if (t->client)
		t->client->turn = NULL;
	t->client = NULL;
	cn_list_remove(&t->link);
	uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

static void turn_enter(struct cn_turn *t, enum cn_turn_state next)
{
	cn_assert(move_is_legal(t->state, next));
	t->state = next;
	cn_trace(CN_TR_TURN_STATE, t->number, next, cn_view_str(state_name(next)));
	switch (next) {
	case CN_TURN_PLANNING:
		plan(t);
		break;
	case CN_TURN_TRYING:
	case CN_TURN_RESTING:
	case CN_TURN_TELLING:
		arm(t);
		break;
	case CN_TURN_STREAMING:
		commit(t);
		arm(t);
		break;
	case CN_TURN_CONTINUING:
		go_on(t);
		break;
	case CN_TURN_DRAINING:
		drain(t);
		break;
	case CN_TURN_CLOSED:
		close_turn(t);
		break;
	}
}

/* ---- listening: the attempt ---- */

/* Whether a backend's field may stand in our head: its name and value are foreign text. */
static bool may_pass(const struct cn_upstream_field *f)
{
	if (!cn_view_starts(f->name, CN_VIEW("anthropic-ratelimit-")) || f->value.n == 0 ||
	    f->value.n > 128)
		return false;
	for (size_t i = 0; i < f->name.n; i++)
		if (f->name.p[i] != '-' && !(f->name.p[i] >= 'a' && f->name.p[i] <= 'z') &&
		    !(f->name.p[i] >= '0' && f->name.p[i] <= '9'))
			return false;
	for (size_t i = 0; i < f->value.n; i++)
		if (f->value.p[i] <= 0x20 || f->value.p[i] >= 0x7f)
			return false;
	return true;
}

static void on_head(void *self, const struct cn_field_list *fields)
{
	struct cn_turn *t = self;

	cn_trace(CN_TR_ATTEMPT_HEAD, t->number, t->n_tried + 1, CN_VIEW(""));
	/* Limits of the client's own account are its business; of ours, they are not. */
	if (t->candidate->key->kind != CN_KEY_CLIENT)
		return;
	t->seen = cn_arena_zalloc(&t->arena, sizeof(*t->seen));
	t->seen->attempt = t->n_tried;
	t->seen->v = cn_arena_zalloc(&t->arena, (fields->n + 1) * sizeof(*t->seen->v));
	for (size_t i = 0; i < fields->n; i++)
		if (may_pass(&fields->v[i]))
			t->seen->v[t->seen->n++] =
			    (struct cn_field){cn_arena_view(&t->arena, fields->v[i].name),
			                      cn_arena_view(&t->arena, fields->v[i].value)};
}

static const char *on_event(void *self, const struct cn_event *ev)
{
	struct cn_turn *t = self;
	uint64_t now = cn_clock_ms();
	const char *bad = cn_splice_feed(t->splice, ev, now);

	if (!bad)
		bad = cn_turn__look(t, ev);
	if (bad)
		return bad;
	switch (t->state) {
	case CN_TURN_TRYING:
		atomic_store(&t->weight.bytes,
		             cn_records__weight(t) + cn_splice_held(t->splice));
		/* Thinking that is held makes the timer's time nearer. */
		if (t->req.stream && cn_splice_proved(t->splice, now))
			turn_enter(t, CN_TURN_STREAMING);
		else if (ev->kind == CN_EV_BLOCK_START)
			arm(t);
		return NULL;
	case CN_TURN_CONTINUING:
		if (cn_splice_gave(t->splice))
			turn_enter(t, CN_TURN_STREAMING);
		return NULL;
	case CN_TURN_STREAMING:
		return NULL;
	case CN_TURN_PLANNING:
	case CN_TURN_RESTING:
	case CN_TURN_DRAINING:
	case CN_TURN_TELLING:
	case CN_TURN_CLOSED:
		break;
	}
	cn_never("an event without an attempt");
}

static void on_idle(void *self)
{
	struct cn_turn *t = self;

	if (t->state != CN_TURN_STREAMING)
		return;
	cn_turn__flush(t);
	if (cn_smooth_next_at(t->smooth) != UINT64_MAX)
		arm(t);
}

static void on_streamed(struct cn_turn *t, struct cn_outcome *o);

/* Before the commit: the answer as a whole, or the next candidate. */
static void on_tried(struct cn_turn *t, struct cn_outcome *o)
{
	bool content = cn_splice_proved(t->splice, 0);

	/* All of it was said: what came after that is no matter. */
	if (content && cn_splice_fate(t->splice) == CN_FATE_END && !t->found.fails)
		o->class = CN_CLASS_OK;
	if (o->class == CN_CLASS_OK) {
		cn_turn__judge(t, o);
		/* What was cut by a limit is gone on with, not thrown away. */
		if (content && (o->class == CN_CLASS_OUTPUT_CEILING ||
		                o->class == CN_CLASS_CONTEXT_OVERFLOW)) {
			turn_enter(t, CN_TURN_STREAMING);
			on_streamed(t, o);
			return;
		}
	}
	cn_turn__note(t, t->candidate, o);
	if (o->class != CN_CLASS_OK) {
		cn_splice_drop(t->splice);
		turn_enter(t, CN_TURN_PLANNING);
		return;
	}
	if (t->req.stream)
		turn_enter(t, CN_TURN_STREAMING);
	else
		cn_splice_commit(t->splice);
	t->end = CN_END_ANSWER;
	turn_enter(t, CN_TURN_DRAINING);
}

/* Another candidate goes on, or the same. */
static void lose(struct cn_turn *t)
{
	if (t->state == CN_TURN_CONTINUING) {
		plan(t);
		return;
	}
	cn_turn__plan_resume(t);
	if (t->resume.n)
		turn_enter(t, CN_TURN_CONTINUING);
	else
		end_lost(t);
}

/* The answer is over; that it was cut short, or is weak, the client need not see. */
static void on_streamed_whole(struct cn_turn *t, struct cn_outcome *o)
{
	*o = (struct cn_outcome){.class = CN_CLASS_OK,
	                         .upstream_request = o->upstream_request,
	                         .http_status = o->http_status};
	if (cn_splice_may_go_on(t->splice))
		cn_turn__judge(t, o);
	cn_turn__note(t, t->candidate, o);
	if (o->class == CN_CLASS_OK) {
		t->end = CN_END_ANSWER;
		turn_enter(t, CN_TURN_DRAINING);
		return;
	}
	lose(t);
}

/* After the commit the ledger decides (design/continuity.md). */
static void on_streamed(struct cn_turn *t, struct cn_outcome *o)
{
	enum cn_fate fate = cn_splice_fate(t->splice);

	if (o->class == CN_CLASS_OK || fate == CN_FATE_END) {
		on_streamed_whole(t, o);
		return;
	}
	cn_turn__note(t, t->candidate, o);
	switch (fate) {
	case CN_FATE_TOOL_USE:
	case CN_FATE_FAIL:
	case CN_FATE_END:
		end_lost(t);
		return;
	case CN_FATE_CONTINUE:
		lose(t);
		return;
	}
}

static void on_end(void *self, const struct cn_outcome *outcome)
{
	struct cn_turn *t = self;
	struct cn_outcome o = *outcome;

	t->attempt = NULL;
	/* Strings of the attempt do not outlive this call. */
	o.body = cn_arena_view(&t->arena, o.body);
	o.content_type = cn_arena_view(&t->arena, o.content_type);
	o.message = cn_arena_view(&t->arena, o.message);
	o.upstream_request = cn_arena_view(&t->arena, o.upstream_request);
	o.repair_field = cn_arena_view(&t->arena, o.repair_field);
	if (o.class == CN_CLASS_OK && !cn_splice_ended(t->splice)) {
		o.class = CN_CLASS_TRUNCATED_STREAM;
		o.scope = CN_SCOPE_MODEL;
		o.reason = "no message_stop";
	}
	if (t->found.fails)
		cn_turn__look_back(t, &o);
	switch (t->state) {
	case CN_TURN_TRYING:
		on_tried(t, &o);
		return;
	case CN_TURN_STREAMING:
	case CN_TURN_CONTINUING:
		on_streamed(t, &o);
		return;
	case CN_TURN_PLANNING:
	case CN_TURN_RESTING:
	case CN_TURN_DRAINING:
	case CN_TURN_TELLING:
	case CN_TURN_CLOSED:
		break;
	}
	cn_never("an end without an attempt");
}

/* ---- listening: time ---- */

/* Ends the live attempt, if there is one, as our own doing. */
static void abandon(struct cn_turn *t, enum cn_class class, const char *reason)
{
	/* The backend was asked, works on, and bills what it has read. */
	struct cn_outcome o = {
	    .class = class, .no_cooldown = true, .perhaps_billed = true, .reason = reason};

	if (!t->attempt)
		return;
	t->attempt = cn_attempt_cancel(t->attempt);
	cn_turn__note(t, t->candidate, &o);
	cn_splice_drop(t->splice);
}

/* Too long without a head: the attempt is given up, the best error is the answer. */
static void give_up(struct cn_turn *t)
{
	abandon(t, CN_CLASS_TIMEOUT_FIRST_BYTE, "the turn's own time was up");
	if (cn_splice_committed(t->splice))
		end_lost(t);
	else
		end_with_error(t, NULL);
}

/* Text that is told evenly is not all told yet. */
static bool is_on_its_way(const struct cn_turn *t)
{
	return t->client && cn_smooth_next_at(t->smooth) != UINT64_MAX;
}

static void end_told(struct cn_turn *t)
{
	cn_turn__tell_end(t);
	turn_enter(t, CN_TURN_CLOSED);
}

static void on_timer(uv_timer_t *timer)
{
	struct cn_turn *t = timer->data;
	uint64_t now = cn_clock_ms();

	cn_turn__pace(t);
	switch (t->state) {
	case CN_TURN_RESTING:
		if (now >= t->rest_until_ms) {
			turn_enter(t, CN_TURN_PLANNING);
			return;
		}
		break;
	case CN_TURN_TRYING:
		if (t->req.stream && now >= cn_splice_thinking_proves_at(t->splice)) {
			turn_enter(t, CN_TURN_STREAMING);
			return;
		}
		break;
	case CN_TURN_TELLING:
		if (!is_on_its_way(t)) {
			end_told(t);
			return;
		}
		break;
	case CN_TURN_DRAINING:
		if (now >= t->store_until_ms) {
			cn_records__forget(t);
			cn_turn__stored(t, false);
			return;
		}
		break;
	case CN_TURN_CONTINUING:
		if (!t->attempt && now >= t->rest_until_ms) {
			plan(t);
			return;
		}
		break;
	case CN_TURN_PLANNING:
		/* Whose some signatures are is not known in time: it goes without. */
		if (now >= t->store_until_ms) {
			cn_turn__start(t);
			return;
		}
		break;
	case CN_TURN_STREAMING:
		break;
	case CN_TURN_CLOSED:
		return;
	}
	if (!is_over(t) && t->head == CN_HEAD_NONE && now >= t->open_early_ms) {
		if (!t->req.stream) {
			give_up(t);
			return;
		}
		cn_turn__tell_early(t);
	}
	if (!cn_splice_committed(t->splice) && !is_over(t) && now >= t->deadline_ms) {
		give_up(t);
		return;
	}
	if (t->head != CN_HEAD_NONE && now >= t->wrote_ms + CN_PING_MS)
		cn_turn__tell_ping(t);
	arm(t);
}

/* ---- listening: the store and the client ---- */

void cn_turn__stored(struct cn_turn *t, bool ok)
{
	cn_assert(t->state == CN_TURN_DRAINING);
	if (!ok && t->policy->history && t->worker->shared->store) {
		cn_count(CN_CT_TURNS_UNSTORED);
		cn_log(&t->log, CN_LOG_WARNING, "told before it was stored",
		       CN_TEXT(REQUEST, t->request_id));
	}
	if (is_on_its_way(t))
		turn_enter(t, CN_TURN_TELLING);
	else
		end_told(t);
}

void cn_turn__client_gone(struct cn_turn *t, const char *why)
{
	t->client = NULL;
	cn_log(&t->log, CN_LOG_DEBUG, "client gone", CN_STR(REASON, why));
	switch (t->state) {
	case CN_TURN_PLANNING:
	case CN_TURN_TRYING:
	case CN_TURN_STREAMING:
	case CN_TURN_CONTINUING:
	case CN_TURN_RESTING:
		abandon(t, CN_CLASS_CANCELLED, "the client went away");
		cn_turn__book(t);
		/* What was given is remembered; nobody waits for the store's word. */
		(void)cn_records__finish(t);
		turn_enter(t, CN_TURN_CLOSED);
		return;
	case CN_TURN_DRAINING:
	case CN_TURN_TELLING:
		turn_enter(t, CN_TURN_CLOSED);
		return;
	case CN_TURN_CLOSED:
		return;
	}
}

void cn_turn__drained(struct cn_turn *t)
{
	if (t->attempt)
		cn_attempt_pause(t->attempt, false);
	cn_trace(CN_TR_PRESSURE, t->number, 0, CN_VIEW("resumed"));
}

/* Nothing was committed and the reason is ours: the client may come again soon. */
static void end_ours(struct cn_turn *t, struct cn_view message, unsigned retry_after_s)
{
	t->ending = (struct cn_ending){.status = 529,
	                               .type = "overloaded_error",
	                               .message = message,
	                               .retry_after_s = retry_after_s};
	t->end = CN_END_ERROR;
	turn_enter(t, CN_TURN_DRAINING);
}

void cn_turn__stop(struct cn_turn *t)
{
	switch (t->state) {
	case CN_TURN_PLANNING:
	case CN_TURN_TRYING:
	case CN_TURN_RESTING:
		abandon(t, CN_CLASS_CANCELLED, "the router is stopping");
		end_ours(t, CN_VIEW("continuo: the router is stopping"), CN_STOP_RETRY_S);
		return;
	case CN_TURN_STREAMING:
	case CN_TURN_CONTINUING:
		abandon(t, CN_CLASS_CANCELLED, "the router is stopping");
		end_lost(t);
		return;
	case CN_TURN_TELLING:
		end_told(t);
		return;
	case CN_TURN_DRAINING:
	case CN_TURN_CLOSED:
		return;
	}
}

void cn_turn__await(struct cn_turn *t)
{
	t->store_until_ms = cn_clock_ms() + CN_STORE_WAIT_MS;
	arm(t);
}

void cn_turn__relieve(struct cn_turn *t)
{
	switch (t->state) {
	case CN_TURN_PLANNING:
	case CN_TURN_TRYING:
	case CN_TURN_RESTING:
		break;
	case CN_TURN_STREAMING:
	case CN_TURN_CONTINUING:
	case CN_TURN_DRAINING:
	case CN_TURN_TELLING:
	case CN_TURN_CLOSED:
		return;
	}
	cn_count(CN_CT_TURNS_GIVEN_UP);
	abandon(t, CN_CLASS_CANCELLED, "the router is short of memory");
	end_ours(t, CN_VIEW("continuo: the router is out of memory for requests"),
	         CN_MEMORY_RETRY_S);
}

void cn_turn__start(struct cn_turn *t)
{
	cn_assert(t->state == CN_TURN_PLANNING);
	cn_trace(CN_TR_TURN_STATE, t->number, t->state, CN_VIEW("PLANNING"));
	plan(t);
}
