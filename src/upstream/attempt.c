/*
 * The attempt: one candidate, tried once.
 *
 * It starts a transfer, tells its owner events, and ends exactly once: libcurl's callbacks,
 * the timer and the owner only mark; the drain step at top level tells and frees.  After
 * message_stop it may linger without its owner until the body's end, so that the connection
 * can be used again.  Owns its easy handle, request head and what it gathered.  Runs on the
 * loop's thread.
 *
 *   running --mark--> marked --drain--> told --(done, or a second)--> closed
 *      \--cancel, anywhere--> cancelled --(at once, or drain)--> closed
 */
#include "upstream_impl.h"

#include "continuo/clock.h"

bool cn_attempt__mark(struct cn_attempt *at, enum cn_attempt_ending ending)
{
	if (at->ending)
		return false;
	at->ending = ending;
	cn_upstream__due(at);
	return true;
}

bool cn_attempt__fail(struct cn_attempt *at, enum cn_transport how, const char *reason)
{
	if (!cn_attempt__mark(at, CN_ENDING_TRANSPORT))
		return false;
	at->transport = how;
	at->reason = reason;
	return true;
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
	struct cn_attempt *at = handle->data;
	struct cn_upstreams *up = at->up;

	free(at);
	cn_upstream__handle_closed(up);
}

/* Out of curl and of the lists; the memory goes with the timer's handle. */
static void attempt_close(struct cn_attempt *at)
{
	if (at->added)
		curl_multi_remove_handle(at->up->multi, at->easy);
	cn_upstream__give_back(at->up, cn_steal(&at->easy));
	curl_slist_free_all(cn_steal(&at->head));
	free(cn_steal(&at->url));
	cn_list_remove(&at->link);
	cn_list_remove(&at->due);
	cn_sse_done(&at->sse);
	at->decoder = cn_decoder_free(at->decoder);
	cn_buf_done(&at->body);
	cn_arena_done(&at->event_arena);
	cn_arena_done(&at->arena);
	cn_charge_release(at->up->charge, at->charged);
	uv_close((uv_handle_t *)&at->timer, on_closed);
}

/* The one terminal call.  Whether the connection can be kept decides if it lingers. */
static void attempt_tell(struct cn_attempt *at)
{
	struct cn_outcome outcome = cn_verdict__outcome(at);
	struct cn_attempt_owner owner = at->opts.owner;
	bool linger = at->ending == CN_ENDING_STOPPED && !at->done &&
	              !cn_decoder_cut_short(at->decoder);

	at->told = true;
	if (linger) {
		/* What was borrowed may go now; paused or not, the rest must flow. */
		at->opts.body = (struct cn_slices){0};
		at->want_pause = false;
		at->byte_ms = cn_clock_ms();
		cn_deadline__arm(at);
	}
	/* The outcome points into our memory until this returns. */
	owner.on_end(owner.self, &outcome);
	if (!linger || at->cancelled)
		attempt_close(at);
}

/* Reading goes on; the time in between was the client's, not the backend's. */
static void attempt_resume(struct cn_attempt *at)
{
	uint64_t rested = cn_clock_ms() - at->paused_ms;

	at->paused = false;
	at->sent_ms += rested;
	at->byte_ms += rested;
	at->progress_ms += rested;
	cn_deadline__arm(at);
	at->up->inside = true;
	(void)curl_easy_pause(at->easy, CURLPAUSE_CONT);
	at->up->inside = false;
	/* That may have called back already: look again at top level. */
	cn_upstream__due(at);
}

static void attempt_add(struct cn_attempt *at)
{
	/* Only asks curl's timer to fire: nothing is called back from in here. */
	if (curl_multi_add_handle(at->up->multi, at->easy))
		(void)cn_attempt__fail(at, CN_TP_REFUSED, "libcurl took no more transfers");
	else
		at->added = true;
}

void cn_attempt__drain(struct cn_attempt *at)
{
	if (at->cancelled || (at->told && at->done)) {
		attempt_close(at);
		return;
	}
	if (at->told)
		return;
	if (!at->added && !at->ending)
		attempt_add(at);
	if (at->ending == CN_ENDING_BODY)
		cn_verdict__read_body(at);
	if (at->dirty && !at->cancelled && at->opts.owner.on_idle) {
		at->dirty = false;
		at->opts.owner.on_idle(at->opts.owner.self);
	}
	if (at->cancelled)
		attempt_close(at);
	else if (at->ending)
		attempt_tell(at);
	else if (at->paused && !at->want_pause)
		attempt_resume(at);
}

struct cn_attempt *cn_attempt_cancel(struct cn_attempt *at)
{
	if (!at || at->cancelled)
		return NULL;
	at->cancelled = true;
	at->told = true;
	/* All that was borrowed may be gone when this returns. */
	at->opts = (struct cn_attempt_opts){0};
	/* Inside a callback it is still being used: the drain step frees it. */
	if (at->up->inside || at->up->draining)
		cn_upstream__due(at);
	else
		attempt_close(at);
	return NULL;
}

void cn_attempt_fail(struct cn_attempt *at, enum cn_transport what)
{
	(void)cn_attempt__fail(at, what, NULL);
}

void cn_attempt_pause(struct cn_attempt *at, bool paused)
{
	at->want_pause = paused;
	if (!paused && at->paused)
		cn_upstream__due(at);
}

uint64_t cn_attempt_first_byte_ms(const struct cn_attempt *at)
{
	return at->first_byte_ms;
}

/* ---- the beginning ---- */

int cn_attempt_start(struct cn_upstreams *up, const struct cn_attempt_opts *opts,
                     struct cn_attempt **ret, struct cn_error *reterr)
{
	struct cn_attempt *at = cn_zalloc(sizeof(*at));
	int bad;

	at->up = up;
	at->opts = *opts;
	cn_list_init(&at->link);
	cn_list_init(&at->due);
	cn_request__add_fields(at);
	bad = opts->credential
	          ? opts->credential(opts->credential_self, cn_request__put, at, reterr)
	          : 0;
	if (bad) {
		curl_slist_free_all(at->head);
		free(at);
		return bad;
	}
	at->easy = cn_upstream__easy(up);
	cn_request__set_options(at);
	cn_sse_init(&at->sse, cn_answer__on_sse, at);
	if (!opts->raw)
		at->decoder = cn_decoder_new(cn_dialect_of(opts->backend->wire),
		                             &opts->hints, cn_answer__on_event, at);
	at->started_ms = cn_clock_ms();
	uv_timer_init(up->loop, &at->timer);
	at->timer.data = at;
	up->handles++;
	cn_list_append(&up->attempts, &at->link);
	cn_deadline__arm(at);
	/* libcurl takes no new transfer inside its callbacks. */
	if (up->inside)
		cn_upstream__due(at);
	else
		attempt_add(at);
	*ret = at;
	return 0;
}
