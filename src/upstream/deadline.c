/*
 * How long an attempt may take, be silent, or make no progress (design/security.md 7).  One
 * timer an attempt, armed for the nearest of them; bytes only note the time, and the timer
 * looks again when it fires.  Until there is a connection, libcurl keeps the time.  Runs on
 * the loop's thread.
 */
#include "upstream_impl.h"

#include "continuo/clock.h"

/* A backend that does not stream says nothing until it has everything. */
#define CN_WHOLE_PATIENCE 10
/* The clock is looked at again after an hour at most. */
#define CN_TIMER_MAX_MS ((uint64_t)3600000)

struct deadline {
	uint64_t at_ms;
	enum cn_transport how;
};

static void nearer(struct deadline *d, uint64_t at_ms, enum cn_transport how)
{
	if (at_ms < d->at_ms)
		*d = (struct deadline){at_ms, how};
}

static bool is_error(const struct cn_attempt *at)
{
	return at->head_done && at->answer.status >= 300;
}

static struct deadline nearest(const struct cn_attempt *at)
{
	const struct cn_attempt_opts *o = &at->opts;
	struct deadline d = {at->started_ms + o->attempt_timeout_ms, CN_TP_ATTEMPT_TIMEOUT};
	uint64_t patience = o->stream || o->raw ? 1 : CN_WHOLE_PATIENCE;

	if (at->told)
		return (struct deadline){at->byte_ms + CN_LINGER_MS, CN_TP_IDLE_TIMEOUT};
	if (at->paused || !at->sent_ms)
		return d; /* it is the client that is slow; it is curl's to watch */
	if (is_error(at)) {
		nearer(&d, at->head_ms + CN_ERROR_BODY_MS, CN_TP_IDLE_TIMEOUT);
	} else if (at->event_seen) {
		nearer(&d, at->byte_ms + o->idle_timeout_ms, CN_TP_IDLE_TIMEOUT);
		nearer(&d, at->progress_ms + o->progress_timeout_ms,
		       CN_TP_PROGRESS_TIMEOUT);
	} else if (at->kind == CN_ANSWER_WHOLE) {
		nearer(&d, at->byte_ms + o->idle_timeout_ms, CN_TP_IDLE_TIMEOUT);
	} else {
		/* A body on its way out is no silence of the backend's. */
		nearer(&d, at->sent_ms + o->first_byte_timeout_ms * patience,
		       CN_TP_FIRST_BYTE_TIMEOUT);
	}
	return d;
}

static void start(struct cn_attempt *at, const struct deadline *d);

static void on_timer(uv_timer_t *timer)
{
	struct cn_attempt *at = timer->data;
	struct deadline d = nearest(at);

	if (cn_clock_ms() < d.at_ms)
		start(at, &d);
	else if (at->told)
		(void)cn_attempt_cancel(at);
	else if (is_error(at))
		(void)cn_attempt__mark(at, CN_ENDING_BODY);
	else
		cn_attempt_fail(at, d.how);
}

static void start(struct cn_attempt *at, const struct deadline *d)
{
	uint64_t now = cn_clock_ms(), wait = d->at_ms > now ? d->at_ms - now : 0;

	at->armed_ms = d->at_ms;
	uv_timer_start(&at->timer, on_timer,
	               wait < CN_TIMER_MAX_MS ? wait : CN_TIMER_MAX_MS, 0);
}

void cn_deadline__arm(struct cn_attempt *at)
{
	struct deadline d = nearest(at);

	if (!at->armed_ms || d.at_ms < at->armed_ms)
		start(at, &d);
}
