/*
 * libcurl's multi interface on our loop: its one timer, the drain step, the easy handles.
 *
 * libcurl forbids removing a handle inside its callbacks and may call the write callback
 * from inside an unpause, so callbacks only mark an attempt as due; after every call into
 * libcurl, at top level, the drain step looks at those that are.  It costs nothing for the
 * others, however many there are.  Owns the multi and the kept easy handles.  Runs on the
 * loop's thread.
 */
#include "upstream_impl.h"

#include "continuo/clock.h"

/* ---- the drain step ---- */

static void on_idle(uv_idle_t *idle);

static void take_all(struct cn_list *to, struct cn_list *from)
{
	CN_LIST_EACH(link, from)
	{
		cn_list_remove(link);
		cn_list_append(to, link);
	}
}

static void drain(struct cn_upstreams *up)
{
	struct cn_list batch;
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(up->multi, &left))) {
		struct cn_attempt *at = NULL;
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&at);
		at->done = true;
		cn_answer__over(at, code);
		cn_upstream__due(at);
	}
	/* What becomes due meanwhile is the next step's: each step ends. */
	cn_list_init(&batch);
	take_all(&batch, &up->due);
	up->draining = true;
	while (!cn_list_empty(&batch)) {
		struct cn_attempt *at = cn_container_of(batch.next, struct cn_attempt, due);

		cn_list_remove(&at->due);
		cn_attempt__drain(at);
	}
	up->draining = false;
	if (!cn_list_empty(&up->due))
		uv_idle_start(&up->idle, on_idle);
}

static void on_idle(uv_idle_t *idle)
{
	uv_idle_stop(idle);
	drain(idle->data);
}

void cn_upstream__due(struct cn_attempt *at)
{
	struct cn_upstreams *up = at->up;

	if (cn_list_empty(&at->due))
		cn_list_append(&up->due, &at->due);
	if (!up->inside && !up->draining)
		uv_idle_start(&up->idle, on_idle);
}

void cn_upstream__act(struct cn_upstreams *up, curl_socket_t fd, int events)
{
	int running;

	up->inside = true;
	(void)curl_multi_socket_action(up->multi, fd, events, &running);
	up->inside = false;
	drain(up);
}

/* ---- curl's timer ---- */

static void on_timer(uv_timer_t *timer)
{
	cn_upstream__act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout(CURLM *multi, long ms, void *self)
{
	struct cn_upstreams *up = self;

	(void)multi;
	if (ms < 0)
		uv_timer_stop(&up->timer);
	else
		uv_timer_start(&up->timer, on_timer,
		               (uint64_t)(ms < 3600000 ? ms : 3600000), 0);
	return 0;
}

/* ---- easy handles ---- */

CURL *cn_upstream__easy(struct cn_upstreams *up)
{
	CURL *easy = up->n_kept ? up->kept[--up->n_kept] : curl_easy_init();

	cn_assert(easy);
	return easy;
}

void cn_upstream__give_back(struct cn_upstreams *up, CURL *easy)
{
	if (up->n_kept == CN_EASY_KEPT) {
		curl_easy_cleanup(easy);
		return;
	}
	/* Forgets options and the pointers in them; connections belong to the multi. */
	curl_easy_reset(easy);
	up->kept[up->n_kept++] = easy;
}

/* ---- life ---- */

int cn_upstream_setup(struct cn_error *reterr)
{
	if (cn_memory__init_curl())
		return cn_fail(reterr, CN_E_FAIL, "libcurl cannot be initialised");
	return 0;
}

void cn_upstream_teardown(void)
{
	curl_global_cleanup();
}

struct cn_upstreams *cn_upstreams_new(uv_loop_t *loop, struct cn_charge *charge)
{
	struct cn_upstreams *up = cn_zalloc(sizeof(*up));

	up->loop = loop;
	up->charge = charge;
	cn_list_init(&up->attempts);
	cn_list_init(&up->due);
	up->multi = curl_multi_init();
	cn_assert(up->multi);
	curl_multi_setopt(up->multi, CURLMOPT_SOCKETFUNCTION, cn_watch__on_socket);
	curl_multi_setopt(up->multi, CURLMOPT_SOCKETDATA, up);
	curl_multi_setopt(up->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(up->multi, CURLMOPT_TIMERDATA, up);
	/* One transfer a connection: a paused one must not stop others (7.88). */
	curl_multi_setopt(up->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	curl_multi_setopt(up->multi, CURLMOPT_MAXCONNECTS, 256L);
	uv_timer_init(loop, &up->timer);
	uv_idle_init(loop, &up->idle);
	up->timer.data = up->idle.data = up;
	up->handles = 2;
	return up;
}

static void on_own_closed(uv_handle_t *handle)
{
	cn_upstream__handle_closed(handle->data);
}

void cn_upstream__handle_closed(struct cn_upstreams *up)
{
	void (*on_closed)(void *self) = up->on_closed;
	void *self = up->closed_self;

	if (--up->handles > 0)
		return;
	cn_assert(on_closed);
	free(up->watches);
	free(up);
	on_closed(self);
}

void cn_upstreams_close(struct cn_upstreams *up, void (*on_closed)(void *self), void *self)
{
	cn_assert(!up->inside && !up->draining);
	up->on_closed = on_closed;
	up->closed_self = self;
	CN_LIST_EACH(link, &up->attempts)
	{
		struct cn_attempt *at = cn_container_of(link, struct cn_attempt, link);

		cn_assert(at->told);
		(void)cn_attempt_cancel(at); /* it only lingered */
	}
	while (up->n_kept)
		curl_easy_cleanup(up->kept[--up->n_kept]);
	/* Closes the connections, and with each its watch. */
	curl_multi_cleanup(up->multi);
	cn_watch__drop_all(up);
	uv_close((uv_handle_t *)&up->timer, on_own_closed);
	uv_close((uv_handle_t *)&up->idle, on_own_closed);
}

void cn_upstreams_slept(struct cn_upstreams *up)
{
	up->woke_ms = cn_clock_ms();
	CN_LIST_EACH(link, &up->attempts)
	{
		struct cn_attempt *at = cn_container_of(link, struct cn_attempt, link);

		if (!at->told)
			cn_attempt_fail(at, CN_TP_SLEEP);
	}
}
