/*
 * The sockets of libcurl, watched by the loop.
 *
 * libcurl forgets a connection's socket after each transfer and asks for it again with the
 * next.  Registering it anew would cost two system calls a request, so the poll of a socket
 * that we opened stays as it was until the socket is closed; when it stirs while nobody
 * wants it (the peer closed an idle connection), it is stopped and libcurl finds out at the
 * next use.  Sockets that libcurl made for itself (the resolver's), and those that never
 * got connected (curl 7.88 to 8.2, pull request 11439), are closed behind our back, so
 * their polls go as soon as libcurl says.  Owns the polls.  Runs on the loop's thread.
 */
#include "upstream_impl.h"

#include <unistd.h>

struct cn_watch {
	uv_poll_t poll;
	struct cn_upstreams *up; /* borrowed */
	curl_socket_t fd;
	int events;  /* that the loop watches for */
	bool ours;   /* we opened it and hear of its closing */
	bool wanted; /* curl wants to hear of it */
};

static struct cn_watch *find(const struct cn_upstreams *up, curl_socket_t fd)
{
	return (size_t)fd < up->n_watches ? up->watches[fd] : NULL;
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct cn_watch *w = handle->data;

	cn_upstream__handle_closed(w->up);
	free(w);
}

static void drop(struct cn_watch *w)
{
	w->up->watches[w->fd] = NULL;
	uv_close((uv_handle_t *)&w->poll, on_poll_closed);
}

/* NULL when the loop cannot watch it. */
static struct cn_watch *add(struct cn_upstreams *up, curl_socket_t fd, bool ours)
{
	struct cn_watch *w = find(up, fd);

	/* A number that is used again was closed: whatever was watched is gone. */
	if (w)
		drop(w);
	if ((size_t)fd >= up->n_watches) {
		size_t n = ((size_t)fd + 64) & ~(size_t)63;

		up->watches = cn_realloc(up->watches, n * sizeof(struct cn_watch *));
		while (up->n_watches < n)
			up->watches[up->n_watches++] = NULL;
	}
	w = cn_zalloc(sizeof(*w));
	if (uv_poll_init_socket(up->loop, &w->poll, fd)) {
		free(w);
		return NULL;
	}
	w->up = up;
	w->fd = fd;
	w->ours = ours;
	w->poll.data = w;
	up->handles++;
	up->watches[fd] = w;
	return w;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct cn_watch *w = poll->data;
	int flags = 0;

	if (status < 0 || !w->wanted) {
		uv_poll_stop(&w->poll);
		w->events = 0;
	}
	if (!w->wanted)
		return;
	/*
	 * Reading tells what is wrong.  Told of an error, curl would not even repeat a
	 * request on a kept connection that turned out to be dead.
	 */
	if (status < 0)
		flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	cn_upstream__act(w->up, w->fd, flags);
}

/* Whether we shall hear of the socket's closing: there was a request on it. */
static bool is_connected(const struct cn_watch *w, CURL *easy)
{
	struct cn_attempt *at = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&at);
	return w->ours && at && at->sent_ms;
}

static void unwanted(struct cn_watch *w, CURL *easy)
{
	w->wanted = false;
	if (!is_connected(w, easy))
		drop(w);
	else if (w->events & UV_WRITABLE) {
		/* An idle socket can always be written to. */
		uv_poll_stop(&w->poll);
		w->events = 0;
	}
}

int cn_watch__on_socket(CURL *easy, curl_socket_t fd, int what, void *self,
                        void *socket_self)
{
	struct cn_upstreams *up = self;
	struct cn_watch *w = find(up, fd);
	int events = 0;

	(void)socket_self;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			unwanted(w, easy);
		return 0;
	}
	if (!w)
		w = add(up, fd, false);
	if (!w)
		return -1;
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	w->wanted = true;
	if (events != w->events && uv_poll_start(&w->poll, events, on_poll))
		return -1;
	w->events = events;
	return 0;
}

void cn_watch__add(struct cn_upstreams *up, curl_socket_t fd)
{
	struct cn_watch *old = find(up, fd), *w;
	int events = old && old->wanted ? old->events : 0;

	w = add(up, fd, true);
	/*
	 * Closed and opened within one call: libcurl believes the number is watched.  When
	 * the loop cannot, libcurl's own call for it tries again and fails the transfer.
	 */
	if (w && events && uv_poll_start(&w->poll, events, on_poll) == 0) {
		w->wanted = true;
		w->events = events;
	}
}

void cn_watch__drop_all(struct cn_upstreams *up)
{
	for (size_t i = 0; i < up->n_watches; i++)
		if (up->watches[i])
			drop(up->watches[i]);
}

int cn_watch__on_close(void *self, curl_socket_t fd)
{
	struct cn_watch *w = find(self, fd);

	/* First out of the loop: the number may be another socket's right after. */
	if (w)
		drop(w);
	return close(fd);
}
