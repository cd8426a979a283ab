/*
 * libcurl's multi interface on our loop: sockets watched by uv_poll, its one timer, and the
 * drain step.
 *
 * libcurl forbids removing a handle inside its callbacks and may call the write callback
 * from inside an unpause, so callbacks only mark; after every call into libcurl, at top
 * level, the drain step ends what was marked.  Owns the multi, the polls and the kept easy
 * handles.  Runs on the loop's thread.
 */
#include "upstream_impl.h"

#include "continuo/clock.h"

#include <stdlib.h>

/* A socket that curl wants watched. */
struct watch {
	uv_poll_t poll;
	struct cn_upstreams *up;
	curl_socket_t fd;
};

static void drain(struct cn_upstreams *up)
{
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
	}
	CN_LIST_EACH(link, &up->attempts)
	cn_attempt__drain(cn_container_of(link, struct cn_attempt, link));
}

static void act(struct cn_upstreams *up, curl_socket_t fd, int events)
{
	int running;

	up->inside = true;
	(void)curl_multi_socket_action(up->multi, fd, events, &running);
	up->inside = false;
	drain(up);
}

/* ---- what curl asks for ---- */

static void on_watch_closed(uv_handle_t *handle)
{
	struct watch *w = handle->data;

	cn_upstream__handle_closed(w->up);
	free(w);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	int flags = 0;

	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	act(w->up, w->fd, flags);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *socket_self)
{
	struct cn_upstreams *up = self;
	struct watch *w = socket_self;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			curl_multi_assign(up->multi, fd, NULL);
			uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		}
		return 0;
	}
	if (!w) {
		w = cn_zalloc(sizeof(*w));
		w->up = up;
		w->fd = fd;
		w->poll.data = w;
		if (uv_poll_init_socket(up->loop, &w->poll, fd)) {
			free(w);
			return -1;
		}
		up->handles++;
		curl_multi_assign(up->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	uv_poll_start(&w->poll, events, on_poll);
	return 0;
}

static void on_timer(uv_timer_t *timer)
{
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
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

/* ---- the drain step asked for from outside ---- */

static void on_idle(uv_idle_t *idle)
{
	struct cn_upstreams *up = idle->data;

	uv_idle_stop(idle);
	drain(up);
}

void cn_upstream__schedule(struct cn_upstreams *up)
{
	uv_idle_start(&up->idle, on_idle);
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
	/* Reset forgets options and the pointers in them; connections belong to the multi.
	 */
	curl_easy_reset(easy);
	if (up->n_kept < CN_EASY_KEPT)
		up->kept[up->n_kept++] = easy;
	else
		curl_easy_cleanup(easy);
}

/* ---- life ---- */

struct cn_upstreams *cn_upstreams_new(uv_loop_t *loop, struct cn_charge *charge)
{
	struct cn_upstreams *up = cn_zalloc(sizeof(*up));

	up->loop = loop;
	up->charge = charge;
	cn_list_init(&up->attempts);
	up->multi = curl_multi_init();
	cn_assert(up->multi);
	curl_multi_setopt(up->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
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
	if (--up->handles > 0)
		return;
	cn_assert(up->on_closed);
	up->on_closed(up->closed_self);
	free(up);
}

void cn_upstreams_close(struct cn_upstreams *up, void (*on_closed)(void *self), void *self)
{
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
	/* Closes the connections; the socket callback closes the polls. */
	curl_multi_cleanup(up->multi);
	uv_close((uv_handle_t *)&up->timer, on_own_closed);
	uv_close((uv_handle_t *)&up->idle, on_own_closed);
}

void cn_upstreams_slept(struct cn_upstreams *up)
{
	CN_LIST_EACH(link, &up->attempts)
	{
		struct cn_attempt *at = cn_container_of(link, struct cn_attempt, link);

		if (!at->told)
			cn_attempt_fail(at, CN_TP_SLEEP);
	}
}
