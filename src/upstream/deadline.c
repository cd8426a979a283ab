/*
 * How long an attempt may take, be silent, or make no progress (design/security.md 7).  One
 * timer an attempt, armed for the nearest of them; bytes only note the time.
 */
#include "upstream_impl.h"

#include "continuo/clock.h"

/* A backend that does not stream says nothing until it has everything. */
#define CN_WHOLE_PATIENCE 10

struct deadline {
	uint64_t at_ms;
	enum cn_transport how;
};

static void nearer(struct deadline *d, uint64_t at_ms, enum cn_transport how)
{
	if (at_ms < d->at_ms)
		*d = (struct deadline){at_ms, how};
}

static struct deadline nearest(const struct cn_attempt *at)
{
	const struct cn_attempt_opts *o = &at->opts;
	struct deadline d = {at->started_ms + o->attempt_timeout_ms, CN_TP_ATTEMPT_TIMEOUT};
	uint64_t first = o->first_byte_timeout_ms;

	if (at->told)
		return (struct deadline){at->byte_ms + CN_LINGER_MS, CN_TP_IDLE_TIMEOUT};
	if (at->paused)
		return d; /* it is the client that is slow */
	if (!o->stream && !o->raw)
		first *= CN_WHOLE_PATIENCE;
	if (!at->event_seen)
		/* A body on its way out is no silence of the backend's. */
		nearer(&d, at->sent_ms + first, CN_TP_FIRST_BYTE_TIMEOUT);
	if (at->event_seen) {
		nearer(&d, at->byte_ms + o->idle_timeout_ms, CN_TP_IDLE_TIMEOUT);
		nearer(&d, at->progress_ms + o->progress_timeout_ms,
		       CN_TP_PROGRESS_TIMEOUT);
	}
	return d;
}

static void on_timer(uv_timer_t *timer)
{
	struct cn_attempt *at = timer->data;
	struct deadline d = nearest(at);

	if (cn_clock_ms() < d.at_ms) {
		cn_deadline__arm(at);
		return;
	}
	if (at->told)
		(void)cn_attempt_cancel(at);
	else
		cn_attempt_fail(at, d.how);
}

void cn_deadline__arm(struct cn_attempt *at)
{
	struct deadline d = nearest(at);
	uint64_t now = cn_clock_ms(), wait = d.at_ms > now ? d.at_ms - now : 0;

	/* The clock is looked at again after an hour at most. */
	uv_timer_start(&at->timer, on_timer, wait < 3600000 ? wait : 3600000, 0);
}
