/*
 * A worker: one thread with its loop, its handle on the listening sockets, its transfers
 * and its turns from first to last byte.
 *
 * What others want of it comes as letters through one inbox.  A sweep looks after what is
 * about time in general: the end of draining, a machine that slept, memory that runs out.
 * Owns everything that hangs on its loop.
 */
#include "turn_impl.h"

#include "continuo/clock.h"
#include "continuo/trace.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CN_SWEEP_MS 500
#define CN_SLEPT_MS 30000 /* a jump of the clock between sweeps: the machine slept */
#define CN_FDS_KEPT 32    /* for the store, the log and one admin connection */

/* ---- the inbox ---- */

void cn_worker__post(struct cn_worker *w, struct cn_letter *l)
{
	uv_mutex_lock(&w->inbox_lock);
	cn_list_append(&w->inbox, &l->link);
	/* Inside the lock: once the letter can be read, the worker may end. */
	uv_async_send(&w->async);
	uv_mutex_unlock(&w->inbox_lock);
}

/* uv_async coalesces: the whole inbox is read. */
static void on_async(uv_async_t *async)
{
	struct cn_worker *w = async->data;

	for (;;) {
		struct cn_letter *l = NULL;

		uv_mutex_lock(&w->inbox_lock);
		if (!cn_list_empty(&w->inbox)) {
			l = cn_container_of(w->inbox.next, struct cn_letter, link);
			cn_list_remove(&l->link);
		}
		uv_mutex_unlock(&w->inbox_lock);
		if (!l)
			return;
		l->read(l);
	}
}

/* ---- ending ---- */

static void on_listener_closed(void *self)
{
	struct cn_worker *w = self;

	if (--w->n_listeners > 0)
		return;
	uv_mutex_lock(&w->inbox_lock);
	w->deaf = true;
	uv_mutex_unlock(&w->inbox_lock);
	uv_close((uv_handle_t *)&w->async, NULL);
}

static void on_upstreams_closed(void *self)
{
	struct cn_worker *w = self;
	size_t n = w->n_listeners;

	w->upstreams = NULL;
	for (size_t i = 0; i < n; i++)
		cn_listener_close(w->listeners[i], on_listener_closed, w);
}

/* Closes from the inside out: turns, transfers, connections, the inbox. */
static void close_all(struct cn_worker *w)
{
	w->stage = CN_WORKER_CLOSING;
	uv_close((uv_handle_t *)&w->sweep, NULL);
	cn_upstreams_close(w->upstreams, on_upstreams_closed, w);
}

static bool is_idle(const struct cn_worker *w)
{
	return cn_list_empty(&w->turns) && cn_list_empty(&w->counts) &&
	       cn_list_empty(&w->readings) && w->waits == 0;
}

/* A turn is over when its last byte is written; its client may need longer to read it. */
static bool is_sending(const struct cn_worker *w)
{
	for (size_t i = 0; i < w->n_listeners; i++)
		if (cn_listener_sending(w->listeners[i]))
			return true;
	return false;
}

static void stop_turns(struct cn_worker *w)
{
	CN_LIST_EACH(link, &w->turns)
	cn_turn__stop(cn_container_of(link, struct cn_turn, link));
}

static void begin_draining(struct cn_worker *w)
{
	struct cn_policy *p = cn_shared__policy(w->shared);

	w->stage = CN_WORKER_DRAINING;
	w->drain_until_ms = cn_clock_ms() + p->limits.drain_ms;
	cn_policy_unref(p);
	for (size_t i = 0; i < w->n_listeners; i++)
		cn_listener_drain(w->listeners[i]);
}

static void on_order(struct cn_letter *l)
{
	struct cn_worker *w = cn_container_of(l, struct cn_worker, order);

	if (w->stage == CN_WORKER_SERVING)
		begin_draining(w);
	if (atomic_load(&w->ordered) == CN_WORKER_CLOSING)
		w->drain_until_ms = cn_clock_ms();
}

static void on_relief(struct cn_letter *l)
{
	struct cn_worker *w = cn_container_of(l, struct cn_worker, relief);

	CN_LIST_EACH(link, &w->turns)
	{
		struct cn_turn *t = cn_container_of(link, struct cn_turn, link);

		if (atomic_load(&t->weight.going))
			cn_turn__relieve(t);
	}
}

/*
 * A letter of the worker's own: one that is under way says it already, and a worker that
 * has ended before the others needs none.
 */
static void post_own(struct cn_worker *w, struct cn_letter *l)
{
	uv_mutex_lock(&w->inbox_lock);
	if (!w->deaf && cn_list_empty(&l->link)) {
		cn_list_append(&w->inbox, &l->link);
		uv_async_send(&w->async);
	}
	uv_mutex_unlock(&w->inbox_lock);
}

void cn_worker__order(struct cn_worker *w, int stage)
{
	atomic_store(&w->ordered, stage);
	post_own(w, &w->order);
}

void cn_worker__relieve(struct cn_worker *w)
{
	post_own(w, &w->relief);
}

/* ---- the sweep ---- */

/* Time that passed while the machine slept counts on this clock, and on no timer's. */
static uint64_t awake_or_not_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_sweep(uv_timer_t *timer)
{
	struct cn_worker *w = timer->data;
	uint64_t now = cn_clock_ms(), real = awake_or_not_ms();

	if (real - w->last_sweep_ms > CN_SLEPT_MS) {
		cn_log(&w->log, CN_LOG_WARNING,
		       "the machine slept: attempts are begun anew",
		       CN_NUM(MS, real - w->last_sweep_ms));
		cn_upstreams_slept(w->upstreams);
	}
	w->last_sweep_ms = real;
	cn_pressure__look(w->shared);
	cn_reading__sweep(w, now);
	switch (w->stage) {
	case CN_WORKER_SERVING:
	case CN_WORKER_CLOSING:
		return;
	case CN_WORKER_DRAINING:
		if (now >= w->drain_until_ms)
			stop_turns(w);
		if (is_idle(w) && (now >= w->drain_until_ms || !is_sending(w)))
			close_all(w);
		return;
	}
}

/* ---- accepting ---- */

/* Descriptors run out before memory does: 90 % of them are ours to use, some kept back. */
static bool may_accept(void *self)
{
	struct cn_worker *w = self;
	struct cn_policy *p = cn_shared__policy(w->shared);
	unsigned open = atomic_load(&w->shared->connections);
	struct rlimit fds;
	bool ok = open < p->limits.connections;

	cn_policy_unref(p);
	/* Each connection may need a second descriptor for its backend. */
	if (ok && getrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur != RLIM_INFINITY)
		ok = 2 * (uint64_t)open + CN_FDS_KEPT < fds.rlim_cur / 10 * 9;
	return ok;
}

static void on_count(void *self, int change)
{
	struct cn_worker *w = self;

	if (change > 0)
		atomic_fetch_add(&w->shared->connections, 1);
	else
		atomic_fetch_sub(&w->shared->connections, 1);
}

/* ---- the thread ---- */

static void run(void *arg)
{
	struct cn_worker *w = arg;

	uv_run(&w->loop, UV_RUN_DEFAULT);
	cn_assert(uv_loop_close(&w->loop) == 0);
	w->on_over(w->over_self);
}

static int open_listeners(struct cn_worker *w, const struct cn_listen_socket *sockets,
                          size_t n, struct cn_error *reterr)
{
	struct cn_listener_opts opts = {
	    .loop = &w->loop,
	    .handler = cn_door__handler(w),
	    .charge = &w->shared->charge,
	    .max_connections = 65536, /* the shared limit is may_accept's */
	    .may_accept = may_accept,
	    .on_count = on_count,
	};

	for (size_t i = 0; i < n; i++) {
		int fd = dup(sockets[i].fd);
		int bad;

		if (fd < 0)
			return cn_fail(reterr, CN_E_LIMIT, "out of file descriptors");
		bad = cn_listener_open(&opts, fd, sockets[i].is_unix,
		                       &w->listeners[w->n_listeners], reterr);
		if (bad)
			return bad;
		w->n_listeners++;
	}
	return 0;
}

int cn_worker__start(struct cn_worker *w, const struct cn_listen_socket *sockets, size_t n,
                     struct cn_error *reterr)
{
	struct cn_shared *sh = w->shared;
	unsigned number = w->number;
	int bad;

	snprintf(w->log.prefix, sizeof(w->log.prefix), "w%u", number);
	cn_list_init(&w->inbox);
	cn_list_init(&w->turns);
	cn_list_init(&w->counts);
	cn_list_init(&w->readings);
	cn_list_init(&w->order.link);
	w->order.read = on_order;
	cn_list_init(&w->relief.link);
	w->relief.read = on_relief;
	w->last_sweep_ms = awake_or_not_ms();
	if (uv_loop_init(&w->loop) || uv_mutex_init(&w->inbox_lock) ||
	    uv_async_init(&w->loop, &w->async, on_async) ||
	    uv_timer_init(&w->loop, &w->sweep))
		return cn_fail(reterr, CN_E_FAIL, "a worker's loop cannot be made");
	w->async.data = w->sweep.data = w;
	uv_timer_start(&w->sweep, on_sweep, CN_SWEEP_MS, CN_SWEEP_MS);
	w->upstreams = cn_upstreams_new(&w->loop, &sh->charge);
	bad = open_listeners(w, sockets, n, reterr);
	if (bad)
		return bad;
	if (uv_thread_create(&w->thread, run, w))
		return cn_fail(reterr, CN_E_FAIL, "a worker's thread cannot be started");
	return 0;
}

void cn_worker__join(struct cn_worker *w)
{
	uv_thread_join(&w->thread);
	uv_mutex_destroy(&w->inbox_lock);
}
