/*
 * Scripted backends on real sockets: each follows its script, one step a request, and
 * breaks the protocol exactly as the step says.  What the bytes are is answer.c's business.
 *
 * One loop, one thread; owns its listeners and connections.  It parses just enough HTTP to
 * find the end of a request of a well-behaved peer: it is a thing to test with, not a
 * server.
 */
#include "demo_impl.h"

#include "continuo/list.h"

#include <stdlib.h>
#include <sys/socket.h>

#define CN_REQUEST_MAX   ((size_t)64 << 20)
#define CN_PING_EVERY_MS 200
#define CN_TRICKLE_MS    1
/* A reset throws away what the other side has not read yet: it comes a little later. */
#define CN_RESET_MS 50

struct backend {
	struct cn_list link;
	struct cn_provider *provider; /* borrowed */
	char *name;                   /* owned */
	struct cn_arena arena;        /* owns the script and its text */
	struct cn_step *steps;        /* in arena */
	size_t n_steps, at;           /* at: the step of the next request */
	uint64_t used;                /* times that step was used */
	size_t n_requests;
	size_t roles; /* of the last request: how far the conversation was */
	uint64_t n_waits,
	    passes; /* answers that wait or waited for a `go`; those to come */
	unsigned port;
	uv_tcp_t *listener; /* owned; keeps the port also while it refuses */
	bool listening;
};

struct cn_provider {
	struct cn_provider_opts opts;
	struct cn_list backends, peers;
	size_t handles; /* not closed yet */
	bool closing;
};

/* One connection. */
struct peer {
	struct cn_list link;
	struct backend *backend; /* borrowed */
	uv_tcp_t tcp;
	uv_timer_t timer;
	struct cn_buf in, out; /* owned; out: what follows later */
	enum cn_then then;     /* after out */
	size_t sent;           /* of out, by a trickle */
	size_t head, request;  /* bytes of `in` that the request being answered takes */
	struct cn_step step;   /* that answers it; views borrow from the backend's arena */
	uint64_t wait;         /* its place among those that wait for a `go`; 0: does not */
	char breach[240];      /* what is wrong with the request; empty: nothing */
	unsigned handles;      /* of tcp and timer, not closed yet */
	enum {
		CN_PEER_READING,
		CN_PEER_HELD, /* has its request; the answer waits for a `go` */
		CN_PEER_ANSWERING,
		CN_PEER_CLOSING
	} stage;
};

static void provider_maybe_free(struct cn_provider *p)
{
	if (!p->closing || p->handles)
		return;
	CN_LIST_EACH(link, &p->backends)
	{
		struct backend *b = cn_container_of(link, struct backend, link);

		cn_arena_done(&b->arena);
		free(b->name);
		free(b);
	}
	free(p);
}

/* ---- connections ---- */

static void on_peer_closed(uv_handle_t *handle)
{
	struct peer *peer = handle->data;
	struct cn_provider *p = peer->backend->provider;

	p->handles--;
	if (--peer->handles == 0) {
		cn_list_remove(&peer->link);
		cn_buf_done(&peer->in);
		cn_buf_done(&peer->out);
		free(peer);
	}
	provider_maybe_free(p);
}

static void peer_close(struct peer *peer, bool reset)
{
	if (peer->stage == CN_PEER_CLOSING)
		return;
	peer->stage = CN_PEER_CLOSING;
	uv_close((uv_handle_t *)&peer->timer, on_peer_closed);
	if (reset && uv_tcp_close_reset(&peer->tcp, on_peer_closed) == 0)
		return;
	uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
}

struct sending {
	uv_write_t req;
	struct cn_buf bytes; /* owned */
	struct peer *peer;
	enum cn_then then;
};

static void peer_next(struct peer *peer);

static void on_reset(uv_timer_t *timer)
{
	peer_close(timer->data, true);
}

static void on_sent(uv_write_t *req, int status)
{
	struct sending *s = req->data;
	struct peer *peer = s->peer;
	enum cn_then then = s->then;

	cn_buf_done(&s->bytes);
	free(s);
	if (peer->stage == CN_PEER_CLOSING)
		return;
	if (status < 0 || then == CN_THEN_CLOSE)
		peer_close(peer, false);
	else if (then == CN_THEN_RESET)
		uv_timer_start(&peer->timer, on_reset, CN_RESET_MS, 0);
	else if (then == CN_THEN_READ)
		peer_next(peer);
}

/* Takes the bytes. */
static void peer_send(struct peer *peer, struct cn_buf *bytes, enum cn_then then)
{
	struct sending *s = cn_zalloc(sizeof(*s));
	uv_buf_t buf;

	s->bytes = *bytes;
	*bytes = (struct cn_buf){0};
	s->peer = peer;
	s->then = then;
	s->req.data = s;
	buf = uv_buf_init(s->bytes.p, (unsigned)s->bytes.n);
	if (uv_write(&s->req, (uv_stream_t *)&peer->tcp, &buf, 1, on_sent) < 0) {
		cn_buf_done(&s->bytes);
		free(s);
		peer_close(peer, false);
	}
}

/* ---- whose turn it is ---- */

static struct backend *find(struct cn_provider *p, const char *name)
{
	CN_LIST_EACH(link, &p->backends)
	{
		struct backend *b = cn_container_of(link, struct backend, link);

		if (strcmp(b->name, name) == 0)
			return b;
	}
	return NULL;
}

static struct cn_step *current(struct backend *b)
{
	static struct cn_step ok = {.kind = CN_STEP_OK, .times = UINT64_MAX};

	return b->at < b->n_steps ? &b->steps[b->at] : &ok;
}

static void on_connection(uv_stream_t *listener, int status);

static void on_listener_closed(uv_handle_t *handle)
{
	struct cn_provider *p = ((struct backend *)handle->data)->provider;

	p->handles--;
	free(handle);
	provider_maybe_free(p);
}

/* A socket with the backend's port, which nobody else may get, but deaf. */
static int bind_port(struct backend *b, struct cn_error *reterr)
{
	struct sockaddr_in addr;
	int n = sizeof(addr);
	uv_tcp_t *l = cn_zalloc(sizeof(*l));

	l->data = b;
	uv_tcp_init(b->provider->opts.loop, l);
	b->provider->handles++;
	b->listener = l;
	uv_ip4_addr("127.0.0.1", (int)b->port, &addr);
	if (uv_tcp_bind(l, (struct sockaddr *)&addr, 0) ||
	    uv_tcp_getsockname(l, (struct sockaddr *)&addr, &n))
		return cn_fail(reterr, CN_E_IO, "backend %s cannot have port %u", b->name,
		               b->port);
	b->port = ntohs(addr.sin_port);
	return 0;
}

static void stop_listening(struct backend *b)
{
	struct cn_provider *p = b->provider;

	if (!b->listening)
		return;
	b->listening = false;
	uv_close((uv_handle_t *)cn_steal(&b->listener), on_listener_closed);
	(void)bind_port(b, NULL); /* its port was ours before */
	CN_LIST_EACH(link, &p->peers)
	{
		struct peer *peer = cn_container_of(link, struct peer, link);

		if (peer->backend == b && peer->stage == CN_PEER_READING)
			peer_close(peer, false);
	}
}

static int start_listening(struct backend *b, struct cn_error *reterr)
{
	if (b->listening)
		return 0;
	if (uv_listen((uv_stream_t *)b->listener, 511, on_connection))
		return cn_fail(reterr, CN_E_IO, "backend %s cannot listen on port %u",
		               b->name, b->port);
	b->listening = true;
	return 0;
}

/* A backend whose turn is `refuse` does not listen; every other does. */
static void set_listening(struct backend *b)
{
	if (current(b)->kind == CN_STEP_REFUSE)
		stop_listening(b);
	else
		(void)start_listening(b, NULL); /* it did so before */
}

static void step_over(struct backend *b)
{
	struct cn_step *s = current(b);

	if (s->times != UINT64_MAX && ++b->used >= s->times) {
		b->at++;
		b->used = 0;
	}
	set_listening(b);
}

/*
 * Another backend was asked for something new: those that refused have been found to.  The
 * same conversation again is only what the refusing one failed with just before it refused.
 */
static void others_were_refused(struct backend *asked)
{
	CN_LIST_EACH(link, &asked->provider->backends)
	{
		struct backend *b = cn_container_of(link, struct backend, link);

		if (b != asked && current(b)->kind == CN_STEP_REFUSE &&
		    b->roles != asked->roles)
			step_over(b);
	}
}

static size_t count_roles(struct cn_view body)
{
	size_t n = 0;

	for (size_t at = 0; (at = cn_view_find(body, CN_VIEW("\"role\""), at)) != SIZE_MAX;
	     at++)
		n++;
	return n;
}

/* ---- what follows later ---- */

static void on_ping(uv_timer_t *timer)
{
	struct peer *peer = timer->data;
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_view(&b, cn_buf_view(&peer->out));
	peer_send(peer, &b, CN_THEN_STAY);
}

static void on_trickle(uv_timer_t *timer)
{
	struct peer *peer = timer->data;
	CN_AUTO(cn_buf) b = {0};
	bool last = peer->sent + 1 >= peer->out.n;

	cn_buf_add(&b, peer->out.p + peer->sent++, 1);
	if (last)
		uv_timer_stop(timer);
	peer_send(peer, &b, last ? peer->then : CN_THEN_STAY);
}

/* The rest of the answer at once; an end without bytes of its own too. */
static void send_rest(struct peer *peer)
{
	if (peer->out.n)
		peer_send(peer, &peer->out, peer->then);
	else if (peer->then == CN_THEN_READ)
		peer_next(peer);
	else if (peer->then != CN_THEN_STAY)
		peer_close(peer, peer->then == CN_THEN_RESET);
}

static void on_delayed(uv_timer_t *timer)
{
	send_rest(timer->data);
}

static void wait_for_go(struct peer *peer);

static void answer(struct peer *peer)
{
	struct cn_view all = cn_view_cut(cn_buf_view(&peer->in), peer->request);
	struct cn_answer a;

	cn_demo__answer(&peer->step, cn_view_cut(all, peer->head),
	                cn_view_from(all, peer->head), &a);
	peer->stage = CN_PEER_ANSWERING;
	peer->out = a.later;
	peer->then = a.then;
	peer->sent = 0;
	if (a.how == CN_LATER_NONE && !a.now.n) {
		send_rest(peer);
		return;
	}
	if (a.now.n)
		peer_send(peer, &a.now, a.how == CN_LATER_NONE ? a.then : CN_THEN_STAY);
	if (peer->stage == CN_PEER_CLOSING)
		return;
	switch (a.how) {
	case CN_LATER_NONE:
		return;
	case CN_LATER_TIMER:
		uv_timer_start(&peer->timer, on_delayed, a.after_ms, 0);
		return;
	case CN_LATER_TRICKLE:
		uv_timer_start(&peer->timer, on_trickle, CN_TRICKLE_MS, CN_TRICKLE_MS);
		return;
	case CN_LATER_PINGS:
		uv_timer_start(&peer->timer, on_ping, CN_PING_EVERY_MS, CN_PING_EVERY_MS);
		return;
	case CN_LATER_GO:
		wait_for_go(peer);
	}
}

/* ---- `go` ---- */

static void go(struct peer *peer)
{
	peer->wait = 0;
	if (peer->stage == CN_PEER_HELD)
		answer(peer);
	else
		send_rest(peer);
}

/* A `go` that was given before is not lost: then nothing waits. */
static void wait_for_go(struct peer *peer)
{
	struct backend *b = peer->backend;

	peer->wait = ++b->n_waits;
	if (b->passes) {
		b->passes--;
		go(peer);
	}
}

int cn_provider_go(struct cn_provider *p, const char *name, struct cn_error *reterr)
{
	struct backend *b = find(p, name);
	struct peer *first = NULL;

	if (!b)
		return cn_fail(reterr, CN_E_NOT_FOUND, "no backend named %s", name);
	CN_LIST_EACH(link, &p->peers)
	{
		struct peer *peer = cn_container_of(link, struct peer, link);

		if (peer->backend == b && peer->wait && peer->stage != CN_PEER_CLOSING &&
		    (!first || peer->wait < first->wait))
			first = peer;
	}
	if (first)
		go(first);
	else
		b->passes++;
	return 0;
}

/* ---- requests ---- */

/* How many bytes the first request of `in` takes; 0: not whole yet. */
static size_t request_size(const struct cn_buf *in, size_t *rethead)
{
	struct cn_view all = cn_buf_view(in);
	size_t end = cn_view_find(all, CN_VIEW("\r\n\r\n"), 0), at;
	struct cn_view head, rest, line;
	uint64_t n = 0;

	if (end == SIZE_MAX)
		return 0;
	*rethead = end + 4;
	head = cn_view_cut(all, end);
	at = cn_view_find_nocase(head, CN_VIEW("\r\ncontent-length:"));
	if (at != SIZE_MAX) {
		rest = cn_view_from(head, at + sizeof("\r\ncontent-length:") - 1);
		if (cn_view_split(&rest, '\r', &line))
			(void)cn_view_u64(cn_view_trim(line), &n);
	}
	return in->n >= *rethead + n ? *rethead + (size_t)n : 0;
}

/* Answers the next request that is whole, if there is one. */
static void peer_next(struct peer *peer)
{
	struct backend *b = peer->backend;
	struct cn_view head, body;

	cn_buf_consume(&peer->in, peer->request);
	cn_buf_done(&peer->out);
	peer->stage = CN_PEER_READING;
	if (!b->listening) { /* who refuses keeps no old connection either */
		peer_close(peer, false);
		return;
	}
	peer->request = request_size(&peer->in, &peer->head);
	if (!peer->request)
		return;
	peer->stage = CN_PEER_HELD;
	peer->step = *current(b);
	head = cn_view_cut(cn_buf_view(&peer->in), peer->head);
	body = cn_view_cut(cn_view_from(cn_buf_view(&peer->in), peer->head),
	                   peer->request - peer->head);
	b->n_requests++;
	b->roles = count_roles(body);
	others_were_refused(b);
	/* Counting is not part of the script: the client asks for it when it likes. */
	if (cn_view_find(head, CN_VIEW("/count_tokens"), 0) == SIZE_MAX)
		step_over(b);
	else
		peer->step.held = false;
	if (b->provider->opts.breach &&
	    b->provider->opts.breach(b->provider->opts.self, b->name, head, body,
	                             peer->breach, sizeof(peer->breach)))
		peer->step = (struct cn_step){
		    .kind = CN_STEP_STATUS, .n = 400, .message = cn_view_str(peer->breach)};
	if (b->provider->opts.on_request)
		b->provider->opts.on_request(b->provider->opts.self, b->name, b->n_requests,
		                             cn_step_word(peer->step.kind), head, body);
	if (peer->step.held)
		wait_for_go(peer);
	else
		answer(peer);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct peer *peer = handle->data;

	*buf = uv_buf_init(cn_buf_reserve(&peer->in, suggested), (unsigned)suggested);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct peer *peer = stream->data;

	(void)buf;
	if (n < 0 || peer->in.n > CN_REQUEST_MAX) {
		peer_close(peer, false);
		return;
	}
	peer->in.n += (size_t)n;
	if (peer->stage == CN_PEER_READING)
		peer_next(peer);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct backend *b = listener->data;
	struct peer *peer;

	if (status < 0)
		return;
	peer = cn_zalloc(sizeof(*peer));
	peer->backend = b;
	peer->tcp.data = peer->timer.data = peer;
	cn_list_init(&peer->link);
	cn_list_append(&b->provider->peers, &peer->link);
	uv_tcp_init(b->provider->opts.loop, &peer->tcp);
	uv_timer_init(b->provider->opts.loop, &peer->timer);
	peer->handles = 2;
	b->provider->handles += 2;
	if (uv_accept(listener, (uv_stream_t *)&peer->tcp) ||
	    uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read))
		peer_close(peer, false);
}

/* ---- life ---- */

struct cn_provider *cn_provider_new(const struct cn_provider_opts *opts)
{
	struct cn_provider *p = cn_zalloc(sizeof(*p));

	p->opts = *opts;
	cn_list_init(&p->backends);
	cn_list_init(&p->peers);
	return p;
}

int cn_provider_script(struct cn_provider *p, const char *name, struct cn_view script,
                       struct cn_error *reterr)
{
	struct backend *b = find(p, name);
	struct cn_step *steps;
	size_t n;
	int bad;

	if (!b)
		return cn_fail(reterr, CN_E_NOT_FOUND, "no backend named %s", name);
	bad = cn_script_parse(&b->arena, cn_arena_view(&b->arena, script), &steps, &n,
	                      reterr);
	if (bad)
		return bad;
	b->steps = steps;
	b->n_steps = n;
	b->at = 0;
	b->used = 0;
	set_listening(b);
	return 0;
}

int cn_provider_add(struct cn_provider *p, const char *name, struct cn_view script,
                    unsigned *retport, struct cn_error *reterr)
{
	struct backend *b = cn_zalloc(sizeof(*b));
	int bad;

	b->provider = p;
	b->name = cn_strdup(name);
	cn_list_init(&b->link);
	cn_list_append(&p->backends, &b->link);
	bad = bind_port(b, reterr);
	if (!bad)
		bad = start_listening(b, reterr);
	if (!bad)
		bad = cn_provider_script(p, name, script, reterr);
	*retport = b->port;
	return bad;
}

void cn_provider_close(struct cn_provider *p)
{
	p->closing = true;
	CN_LIST_EACH(link, &p->peers)
	peer_close(cn_container_of(link, struct peer, link), false);
	CN_LIST_EACH(link, &p->backends)
	{
		struct backend *b = cn_container_of(link, struct backend, link);

		if (b->listener)
			uv_close((uv_handle_t *)cn_steal(&b->listener), on_listener_closed);
	}
	provider_maybe_free(p);
}
