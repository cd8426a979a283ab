/*
 * Asking: one request of the suite after the other, on a loop of its own, through the
 * encoder, the attempt and the decoder that turns use.
 *
 * A limit of rate is waited for within the request's time and the request sent once more;
 * a failure that every other request would meet too ends the run, and so do three failures
 * of the line in a row and a signal.  Blocks; owns the loop and all handles on it.
 */
#include "probe_impl.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "continuo/clock.h"
#include "continuo/estimate.h"
#include "continuo/message.h"

#define CN_PROBE_MEMORY  ((size_t)256 << 20)
#define CN_PROBE_CONNECT 10000 /* ms */
#define CN_PROBE_PAUSE   2000  /* ms, where the backend does not say when to come again */
#define CN_PROBE_DEAD    3     /* failures of the line in a row */

struct run {
	const struct cn_probe_opts *opts; /* borrowed */
	struct cn_arena *arena;           /* borrowed */
	struct cn_probe_report *report;   /* borrowed */
	uv_loop_t loop;
	struct cn_charge charge;
	struct cn_upstreams *up;    /* owned; NULL once it is closed */
	struct cn_attempt *attempt; /* owned; NULL: none is under way */
	uv_timer_t timer;           /* to ask once more */
	uv_signal_t signals[2];
	struct cn_probe_ear ear;
	struct cn_probe_answer answers[CN_PROBE_N_REQUESTS];
	struct cn_request request; /* the one that is asked; in arena */
	size_t at;                 /* its place in the suite */
	size_t nth, of;            /* for on_progress */
	unsigned dead;             /* failures of the line in a row */
	uint64_t deadline_ms;      /* of the request that is asked */
	bool closing;
};

static void ask_next(struct run *r);

/* ---- the end ---- */

static void on_upstreams_closed(void *self)
{
	struct run *r = self;

	r->up = NULL;
}

static void finish(struct run *r)
{
	if (r->closing)
		return;
	r->closing = true;
	r->attempt = cn_attempt_cancel(r->attempt);
	uv_close((uv_handle_t *)&r->timer, NULL);
	for (size_t i = 0; i < 2; i++)
		uv_close((uv_handle_t *)&r->signals[i], NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct run *r = handle->data;

	(void)number;
	r->report->interrupted = true;
	r->report->stopped = "interrupted";
	finish(r);
}

/* ---- one request ---- */

static bool streams(const struct run *r)
{
	const struct cn_model *m = r->opts->model;

	switch (cn_probe__requests[r->at].mode) {
	case CN_ASK_STREAM:
		return true;
	case CN_ASK_WHOLE:
	case CN_ASK_COUNT:
		return false;
	case CN_ASK_USUAL:
		break;
	}
	if (m->stream == CN_STREAM_OVER)
		return r->request.max_tokens > m->stream_over;
	return m->stream == CN_STREAM_ALWAYS;
}

static struct cn_slices encode(struct run *r)
{
	const struct cn_probe_request *q = &cn_probe__requests[r->at];
	const struct cn_model *m = r->opts->model;
	size_t n = m->n_add_fields;
	struct cn_edit_member *add = cn_arena_alloc(r->arena, (n + 1) * sizeof(*add));
	struct cn_edit edit = {
	    .model = r->report->id,
	    .stream = streams(r),
	    .keep_stream = q->mode == CN_ASK_COUNT,
	    .drop = m->drop_fields,
	    .n_drop = m->n_drop_fields,
	    .add = add,
	    .quirks = m->quirks,
	    .images = true, /* what the policy says of them is what is to be found out */
	    .session = CN_VIEW("continuo-probe"),
	};

	for (size_t i = 0; i < n; i++)
		add[i] = m->add_fields[i];
	if (q->extra[0].name)
		add[n++] = q->extra[0];
	edit.n_add = n;
	return cn_dialect_of(m->backend->wire)->encode(r->arena, &r->request, &edit);
}

/* The fixed fields of the backend, and the version of the format where it names none. */
static struct cn_upstream_field *fields(struct run *r, size_t *retn)
{
	const struct cn_backend *b = r->opts->model->backend;
	struct cn_upstream_field *v =
	    cn_arena_zalloc(r->arena, (b->n_headers + 1) * sizeof(*v));
	bool has_version = b->wire != CN_WIRE_ANTHROPIC;
	size_t n = 0;

	for (size_t i = 0; i < b->n_headers; i++) {
		struct cn_view name = cn_view_str(b->headers[i].name);

		has_version |= cn_view_eq_nocase(name, CN_VIEW("anthropic-version"));
		v[n++] = (struct cn_upstream_field){name, cn_view_str(b->headers[i].value)};
	}
	if (!has_version)
		v[n++] = (struct cn_upstream_field){CN_VIEW("anthropic-version"),
		                                    CN_VIEW("2023-06-01")};
	*retn = n;
	return v;
}

static const char *on_event(void *self, const struct cn_event *ev)
{
	struct run *r = self;

	cn_probe__ear_event(&r->ear, ev, cn_clock_ms());
	return NULL;
}

static void on_idle(void *self)
{
	(void)self; /* nothing is gathered between events */
}

static void on_raw(void *self, struct cn_view body)
{
	struct run *r = self;

	r->answers[r->at].raw =
	    cn_probe__ear_copy(&r->ear, cn_view_cut(body, CN_PROBE_TEXT_MAX));
}

static void on_end(void *self, const struct cn_outcome *outcome);

static void ask(struct run *r)
{
	const struct cn_model *m = r->opts->model;
	bool count = cn_probe__requests[r->at].mode == CN_ASK_COUNT;
	uint64_t now = cn_clock_ms();
	uint64_t left = r->deadline_ms > now ? r->deadline_ms - now : 1;
	struct cn_attempt_opts o = {
	    .backend = m->backend,
	    .path = count ? "/v1/messages/count_tokens" : cn_backend_path(m->backend),
	    .body = encode(r),
	    .credential = r->opts->credential,
	    .credential_self = r->opts->self,
	    .stream = streams(r),
	    .raw = count,
	    .on_raw = on_raw,
	    .hints = {.tools = r->request.tools,
	              .tool_format = m->tool_format,
	              .quirks = m->quirks,
	              .thinking = r->request.thinking},
	    .connect_timeout_ms = left < CN_PROBE_CONNECT ? left : CN_PROBE_CONNECT,
	    .first_byte_timeout_ms = left,
	    .idle_timeout_ms = left,
	    .progress_timeout_ms = left,
	    .attempt_timeout_ms = left,
	    .owner = {.on_event = on_event,
	              .on_idle = on_idle,
	              .on_end = on_end,
	              .self = r},
	};
	struct cn_error err = {0};
	struct cn_outcome refused = {.class = CN_CLASS_AUTH};

	o.fields = fields(r, &o.n_fields);
	cn_probe__ear_begin(&r->ear, &r->answers[r->at], now);
	if (cn_attempt_start(r->up, &o, &r->attempt, &err) == 0)
		return;
	refused.message = cn_view_str(err.message);
	cn_probe__ear_end(&r->ear, &refused, cn_clock_ms());
	r->report->stopped = "the key cannot be used here";
	finish(r);
}

static void on_timer(uv_timer_t *timer)
{
	ask(timer->data);
}

/* Whether the same request is sent once more, and when. */
static bool waits(struct run *r, const struct cn_outcome *o)
{
	struct cn_probe_answer *a = &r->answers[r->at];
	uint64_t pause = o->retry_after_ms ? o->retry_after_ms : CN_PROBE_PAUSE;

	if ((o->class != CN_CLASS_RATE_LIMITED && o->class != CN_CLASS_OVERLOADED) ||
	    a->waited_ms || cn_clock_ms() + pause >= r->deadline_ms)
		return false;
	a->waited_ms = pause;
	uv_timer_start(&r->timer, on_timer, pause, 0);
	return true;
}

/* Why asking on is of no use; NULL: it is. */
static const char *hopeless(struct run *r, const struct cn_outcome *o)
{
	switch (o->class) {
	case CN_CLASS_AUTH:
		return "not asked: the key was refused";
	case CN_CLASS_BILLING:
	case CN_CLASS_QUOTA_EXHAUSTED:
		return "not asked: the account is exhausted";
	case CN_CLASS_RATE_LIMITED:
	case CN_CLASS_OVERLOADED:
		return "not asked: the backend takes no more for now";
	case CN_CLASS_NOT_FOUND_MODEL:
		return "not asked: there is no such model";
	case CN_CLASS_TIMEOUT_CONNECT:
	case CN_CLASS_TIMEOUT_FIRST_BYTE:
	case CN_CLASS_TIMEOUT_IDLE:
	case CN_CLASS_SERVER_ERROR:
		r->dead++;
		return r->dead < CN_PROBE_DEAD ? NULL
		                               : "not asked: three failures in a row";
	default:
		r->dead = 0;
		return NULL;
	}
}

static void on_end(void *self, const struct cn_outcome *outcome)
{
	struct run *r = self;

	r->attempt = NULL;
	cn_probe__ear_end(&r->ear, outcome, cn_clock_ms());
	if (waits(r, outcome))
		return;
	/* A missing endpoint says nothing of the model. */
	if (cn_probe__requests[r->at].mode != CN_ASK_COUNT)
		r->report->stopped = hopeless(r, outcome);
	if (r->report->stopped) {
		finish(r);
		return;
	}
	r->at++;
	ask_next(r);
}

/* Reads the suite's request; false: it is not one, and a row is wrong. */
static void prepare(struct run *r)
{
	struct cn_estimate estimate = {0};
	struct cn_request_ear ear = cn_estimate_ear(&estimate);
	struct cn_view body = cn_probe__body(r->arena, &cn_probe__requests[r->at]);
	struct cn_probe_answer *a = &r->answers[r->at];
	uint64_t system, rest;
	int bad = cn_request_read(r->arena, body, &(struct cn_caller_ids){0}, &ear,
	                          &r->request, NULL);

	cn_assert(!bad);
	a->estimate = cn_estimate_tokens(&estimate, &r->request);
	cn_estimate_least(&estimate, &r->request, &system, &rest);
	a->least = system + rest;
	r->deadline_ms = cn_clock_ms() + r->opts->timeout_ms;
}

static void ask_next(struct run *r)
{
	const struct cn_probe_opts *o = r->opts;

	while (r->at < CN_PROBE_N_REQUESTS &&
	       !cn_probe__asks(r->at, o->model, o->only, o->n_only))
		r->at++;
	if (r->at == CN_PROBE_N_REQUESTS) {
		finish(r);
		return;
	}
	if (o->on_progress)
		o->on_progress(o->self, cn_probe__requests[r->at].name, ++r->nth, r->of);
	prepare(r);
	ask(r);
}

/* ---- the run ---- */

static int open_loop(struct run *r, struct cn_error *reterr)
{
	static const int numbers[] = {SIGINT, SIGTERM};

	if (uv_loop_init(&r->loop) || uv_timer_init(&r->loop, &r->timer))
		return cn_fail(reterr, CN_E_FAIL, "no event loop can be made");
	r->timer.data = r;
	r->charge.limit = CN_PROBE_MEMORY;
	r->up = cn_upstreams_new(&r->loop, &r->charge);
	for (size_t i = 0; i < 2; i++) {
		uv_signal_init(&r->loop, &r->signals[i]);
		r->signals[i].data = r;
		uv_signal_start(&r->signals[i], on_signal, numbers[i]);
	}
	return 0;
}

int cn_probe_run(const struct cn_probe_opts *opts, struct cn_arena *a,
                 struct cn_probe_report *ret, struct cn_error *reterr)
{
	struct run *r = cn_zalloc(sizeof(*r));
	int bad = open_loop(r, reterr);

	if (bad) {
		free(r);
		return bad;
	}
	*ret = (struct cn_probe_report){.model = opts->model,
	                                .id = opts->model->id ? cn_view_str(opts->model->id)
	                                                      : opts->id};
	r->opts = r->ear.opts = opts;
	r->arena = r->ear.arena = a;
	r->report = ret;
	for (size_t i = 0; i < CN_PROBE_N_REQUESTS; i++)
		r->of += cn_probe__asks(i, opts->model, opts->only, opts->n_only);
	ask_next(r);
	/* Until nothing of ours is left; then the transfers, which end at top level. */
	while (!r->closing)
		uv_run(&r->loop, UV_RUN_ONCE);
	cn_upstreams_close(r->up, on_upstreams_closed, r);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	cn_assert(!r->up && uv_loop_close(&r->loop) == 0);
	cn_probe_judge(a, r->answers, opts->only, opts->n_only, ret);
	cn_probe__ear_done(&r->ear);
	free(r);
	return 0;
}
