/*
 * Scripted backends on real sockets: each follows its script, one step a request, and
 * breaks the protocol exactly as the step says.
 *
 * One loop, one thread; owns its listeners and connections.  It parses just enough HTTP to
 * find the end of a request of a well-behaved peer: it is a thing to test with, not a
 * server.
 */
#include "continuo/demo.h"

#include "continuo/json.h"
#include "continuo/list.h"

#include <stdio.h>
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
	unsigned port;
	uv_tcp_t *listener; /* owned; NULL while it refuses */
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
	struct cn_buf in, out; /* owned */
	size_t sent;           /* of out, by a trickle */
	size_t request;        /* bytes of `in` that the request being answered takes */
	unsigned handles;      /* of tcp and timer, not closed yet */
	enum {
		CN_PEER_READING,
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
	enum {
		CN_THEN_READ,
		CN_THEN_STAY,
		CN_THEN_CLOSE,
		CN_THEN_RESET
	} then;
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
	int then = s->then;

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

static void peer_send(struct peer *peer, struct cn_buf *bytes, int then)
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

static void stop_listening(struct backend *b)
{
	struct cn_provider *p = b->provider;

	if (!b->listener)
		return;
	uv_close((uv_handle_t *)cn_steal(&b->listener), on_listener_closed);
	CN_LIST_EACH(link, &p->peers)
	{
		struct peer *peer = cn_container_of(link, struct peer, link);

		if (peer->backend == b && peer->stage == CN_PEER_READING)
			peer_close(peer, false);
	}
}

static int start_listening(struct backend *b, struct cn_error *reterr)
{
	struct sockaddr_in addr;
	int n = sizeof(addr);
	uv_tcp_t *l;

	if (b->listener)
		return 0;
	l = cn_zalloc(sizeof(*l));
	l->data = b;
	uv_tcp_init(b->provider->opts.loop, l);
	b->provider->handles++;
	b->listener = l;
	uv_ip4_addr("127.0.0.1", (int)b->port, &addr);
	if (uv_tcp_bind(l, (struct sockaddr *)&addr, 0) ||
	    uv_listen((uv_stream_t *)l, 511, on_connection) ||
	    uv_tcp_getsockname(l, (struct sockaddr *)&addr, &n))
		return cn_fail(reterr, CN_E_IO, "backend %s cannot listen on port %u",
		               b->name, b->port);
	b->port = ntohs(addr.sin_port);
	return 0;
}

/* A backend whose turn is `refuse` does not listen; every other does. */
static void set_listening(struct backend *b)
{
	if (current(b)->kind == CN_STEP_REFUSE)
		stop_listening(b);
	else
		(void)start_listening(b, NULL); /* its port was ours before */
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

/* ---- answers ---- */

static void add_head(struct cn_buf *b, int status, const char *type, const char *more)
{
	cn_buf_printf(
	    b, "HTTP/1.1 %d Status\r\nContent-Type: %s\r\nrequest-id: req_demo%s\r\n%s",
	    status, type, "", more);
}

static void add_whole(struct cn_buf *b, int status, const char *type, const char *more,
                      struct cn_view body)
{
	add_head(b, status, type, more);
	cn_buf_printf(b, "Content-Length: %zu\r\n\r\n", body.n);
	cn_buf_add_view(b, body);
}

static void add_chunk(struct cn_buf *b, struct cn_view bytes)
{
	if (!bytes.n)
		return;
	cn_buf_printf(b, "%zx\r\n", bytes.n);
	cn_buf_add_view(b, bytes);
	cn_buf_add_str(b, "\r\n");
}

static void add_stream_head(struct cn_buf *b, const char *more)
{
	add_head(b, 200, "text/event-stream; charset=utf-8", more);
	cn_buf_add_str(b, "Transfer-Encoding: chunked\r\n\r\n");
}

static const char *type_of(uint64_t status)
{
	switch (status) {
	case 400:
		return "invalid_request_error";
	case 401:
		return "authentication_error";
	case 402:
		return "billing_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_error";
	case 529:
		return "overloaded_error";
	default:
		return "api_error";
	}
}

static void error_json(struct cn_buf *b, const struct cn_step *s, uint64_t status)
{
	struct cn_view type = s->type.n ? s->type : cn_view_str(type_of(status));

	cn_buf_add_str(b, "{\"type\":\"error\",\"error\":{\"type\":");
	cn_json_add_string(b, type);
	cn_buf_add_str(b, ",\"message\":");
	cn_json_add_string(b, s->message.n ? s->message : CN_VIEW("scripted failure"));
	cn_buf_add_str(b, "},\"request_id\":\"req_demo\"}");
}

static void error_event(struct cn_buf *b, const struct cn_step *s)
{
	CN_AUTO(cn_buf) json = {0};

	error_json(&json, s, 529);
	cn_buf_printf(b, "event: error\ndata: %.*s\n\n", (int)json.n, json.p);
}

static void on_ping(uv_timer_t *timer)
{
	struct peer *peer = timer->data;
	CN_AUTO(cn_buf) b = {0};

	add_chunk(&b, CN_VIEW("event: ping\ndata: {\"type\":\"ping\"}\n\n"));
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
	peer_send(peer, &b, last ? CN_THEN_READ : CN_THEN_STAY);
}

static void on_delayed(uv_timer_t *timer)
{
	struct peer *peer = timer->data;

	peer_send(peer, &peer->out, CN_THEN_READ);
}

/* A stream cut after n bytes of it, in one of the ways streams are cut. */
static void cut(struct peer *peer, const struct cn_step *s, struct cn_view stream)
{
	CN_AUTO(cn_buf) b = {0}, error = {0};

	stream = cn_view_cut(stream, s->n);
	/* An error is an event of its own: the one before it is whole. */
	while (s->kind == CN_STEP_CUT_ERROR && stream.n &&
	       !cn_view_ends(stream, CN_VIEW("\n\n")))
		stream.n--;
	add_stream_head(&b, "");
	add_chunk(&b, stream);
	switch (s->kind) {
	case CN_STEP_CUT_FIN:
		peer_send(peer, &b, CN_THEN_CLOSE);
		return;
	case CN_STEP_CUT_RST:
		peer_send(peer, &b, CN_THEN_RESET);
		return;
	case CN_STEP_CUT_ERROR:
		error_event(&error, s);
		add_chunk(&b, cn_buf_view(&error));
		cn_buf_add_str(&b, "0\r\n\r\n");
		peer_send(peer, &b, CN_THEN_READ);
		return;
	case CN_STEP_CUT_CLEAN:
		cn_buf_add_str(&b, "0\r\n\r\n");
		peer_send(peer, &b, CN_THEN_READ);
		return;
	default:
		peer_send(peer, &b, CN_THEN_STAY); /* stall */
	}
}

/* Thinks for its time, then answers: the thinking block closes only after that. */
static void think(struct peer *peer, const struct cn_step *s, struct cn_view stream)
{
	size_t at = cn_view_find(stream, CN_VIEW("event: content_block_stop"), 0);
	CN_AUTO(cn_buf) b = {0};

	add_stream_head(&b, "");
	add_chunk(&b, cn_view_cut(stream, at));
	add_chunk(&peer->out, cn_view_from(stream, at));
	cn_buf_add_str(&peer->out, "0\r\n\r\n");
	uv_timer_start(&peer->timer, on_delayed, s->n, 0);
	peer_send(peer, &b, CN_THEN_STAY);
}

static void play_file(struct peer *peer, const struct cn_step *s)
{
	CN_AUTO(cn_buf) body = {0}, b = {0};
	CN_AUTOFREE char *path = cn_view_dup(s->path);
	bool sse = cn_view_ends(s->path, CN_VIEW(".sse"));
	uv_fs_t fs;
	int fd = uv_fs_open(NULL, &fs, path, UV_FS_O_RDONLY, 0, NULL);

	uv_fs_req_cleanup(&fs);
	while (fd >= 0) {
		uv_buf_t buf = uv_buf_init(cn_buf_reserve(&body, 65536), 65536);
		int n = uv_fs_read(NULL, &fs, fd, &buf, 1, -1, NULL);

		uv_fs_req_cleanup(&fs);
		if (n <= 0)
			break;
		body.n += (size_t)n;
	}
	if (fd >= 0) {
		uv_fs_close(NULL, &fs, fd, NULL);
		uv_fs_req_cleanup(&fs);
	}
	add_whole(&b, fd < 0 ? 500 : 200, sse ? "text/event-stream" : "application/json",
	          "", cn_buf_view(&body));
	peer_send(peer, &b, CN_THEN_READ);
}

/* Steps that need nothing of the task. */
static bool answer_plainly(struct peer *peer, const struct cn_step *s)
{
	CN_AUTO(cn_buf) b = {0}, json = {0};
	char more[64] = "";

	switch (s->kind) {
	case CN_STEP_STATUS:
		if (s->retry_after)
			snprintf(more, sizeof(more), "retry-after: %llu\r\n",
			         (unsigned long long)s->retry_after);
		error_json(&json, s, s->n);
		add_whole(&b, (int)s->n, "application/json", more, cn_buf_view(&json));
		break;
	case CN_STEP_ERROR_BODY:
		error_json(&json, s, 529);
		add_whole(&b, 200, "application/json", "", cn_buf_view(&json));
		break;
	case CN_STEP_HTML:
		add_whole(&b, 200, "text/html", "",
		          CN_VIEW("<html><body>Welcome</body></html>"));
		break;
	case CN_STEP_NOTHING:
		add_whole(&b, 200, "text/event-stream", "", CN_VIEW(""));
		break;
	case CN_STEP_REDIRECT:
		add_whole(&b, 307, "text/plain", "Location: /v1/messages\r\n", CN_VIEW(""));
		break;
	case CN_STEP_BIG_HEAD:
		add_head(&b, 200, "text/event-stream", "x-big: ");
		for (size_t i = 0; i < (size_t)70 * 1024; i++)
			cn_buf_add_char(&b, 'a');
		cn_buf_add_str(&b, "\r\nContent-Length: 0\r\n\r\n");
		break;
	case CN_STEP_HANG:
	case CN_STEP_REFUSE: /* a connection that came in before the door closed */
		return true;
	case CN_STEP_RESET:
		peer_close(peer, true);
		return true;
	case CN_STEP_CLOSE:
		peer_close(peer, false);
		return true;
	case CN_STEP_SILENT:
	case CN_STEP_PINGS:
		add_stream_head(&b, "");
		if (s->kind == CN_STEP_PINGS)
			uv_timer_start(&peer->timer, on_ping, CN_PING_EVERY_MS,
			               CN_PING_EVERY_MS);
		peer_send(peer, &b, CN_THEN_STAY);
		return true;
	case CN_STEP_FILE:
		play_file(peer, s);
		return true;
	default:
		return false;
	}
	peer_send(peer, &b, CN_THEN_READ);
	return true;
}

static struct cn_task_spoil spoil_of(const struct cn_step *s)
{
	return (struct cn_task_spoil){
	    .bad_tool = s->kind == CN_STEP_BAD_TOOL,
	    .unknown_tool = s->kind == CN_STEP_UNKNOWN_TOOL,
	    .no_stop = s->kind == CN_STEP_NO_STOP,
	    .refusal = s->kind == CN_STEP_REFUSAL,
	    .empty = s->kind == CN_STEP_EMPTY_END,
	    .no_names = s->kind == CN_STEP_NO_NAMES,
	    .crlf = s->kind == CN_STEP_CRLF,
	    .thinking = s->kind == CN_STEP_THINKING,
	};
}

/* The first event alone: what came before the content. */
static struct cn_view first_event(struct cn_view stream)
{
	return cn_view_cut(stream, cn_view_find(stream, CN_VIEW("\n\n"), 0) + 2);
}

static void answer_stream(struct peer *peer, const struct cn_step *s,
                          const struct cn_task_answer *t)
{
	struct cn_task_spoil spoil = spoil_of(s);
	CN_AUTO(cn_buf) stream = {0}, b = {0}, error = {0};

	cn_task_stream(&stream, t, &spoil);
	switch (s->kind) {
	case CN_STEP_CUT_FIN:
	case CN_STEP_CUT_RST:
	case CN_STEP_CUT_CLEAN:
	case CN_STEP_CUT_ERROR:
	case CN_STEP_STALL:
		cut(peer, s, cn_buf_view(&stream));
		return;
	case CN_STEP_THINKING:
		if (!s->n)
			break;
		think(peer, s, cn_buf_view(&stream));
		return;
	case CN_STEP_END_EARLY:
		cn_buf_truncate(&stream, first_event(cn_buf_view(&stream)).n);
		break;
	case CN_STEP_ERROR_EVENT:
	case CN_STEP_GARBAGE:
		cn_buf_truncate(&stream, first_event(cn_buf_view(&stream)).n);
		if (s->kind == CN_STEP_GARBAGE)
			cn_buf_add_str(&stream,
			               "event: content_block_start\ndata: {nonsense\n\n");
		error_event(&error, s);
		if (s->kind == CN_STEP_ERROR_EVENT)
			cn_buf_add_view(&stream, cn_buf_view(&error));
		break;
	default:
		break;
	}
	add_stream_head(&b, s->kind == CN_STEP_ENCODED ? "Content-Encoding: gzip\r\n" : "");
	add_chunk(&b, cn_buf_view(&stream));
	cn_buf_add_str(&b, "0\r\n\r\n");
	if (s->kind == CN_STEP_TRICKLE || s->kind == CN_STEP_DELAY) {
		peer->out = b;
		b = (struct cn_buf){0};
		peer->sent = 0;
		if (s->kind == CN_STEP_TRICKLE)
			uv_timer_start(&peer->timer, on_trickle, CN_TRICKLE_MS,
			               CN_TRICKLE_MS);
		else
			uv_timer_start(&peer->timer, on_delayed, s->n, 0);
		return;
	}
	peer_send(peer, &b, CN_THEN_READ);
}

static void answer(struct peer *peer, const struct cn_step *s, struct cn_view head,
                   struct cn_view body)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) b = {0}, json = {0};
	struct cn_task_answer t;
	struct cn_step bad = {.message = CN_VIEW("the body is no Messages request")};

	if (cn_view_find(head, CN_VIEW("/count_tokens"), 0) != SIZE_MAX) {
		add_whole(&b, 200, "application/json", "",
		          CN_VIEW("{\"input_tokens\":1234}"));
		peer_send(peer, &b, CN_THEN_READ);
	} else if (answer_plainly(peer, s)) {
		return;
	} else if (!cn_task_answer(&a, body, s->way, &t)) {
		error_json(&json, &bad, 400);
		add_whole(&b, 400, "application/json", "", cn_buf_view(&json));
		peer_send(peer, &b, CN_THEN_READ);
	} else if (!t.stream || s->kind == CN_STEP_WHOLE) {
		cn_task_message(&json, &t);
		add_whole(&b, 200, "application/json", "", cn_buf_view(&json));
		peer_send(peer, &b, CN_THEN_READ);
	} else {
		answer_stream(peer, s, &t);
	}
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
	size_t head = 0, n;
	struct cn_step step;
	struct cn_view all;

	cn_buf_consume(&peer->in, peer->request);
	cn_buf_done(&peer->out);
	peer->request = 0;
	peer->stage = CN_PEER_READING;
	n = request_size(&peer->in, &head);
	if (!n)
		return;
	peer->stage = CN_PEER_ANSWERING;
	peer->request = n;
	all = cn_view_cut(cn_buf_view(&peer->in), n);
	step = *current(b);
	b->n_requests++;
	b->roles = count_roles(cn_view_from(all, head));
	others_were_refused(b);
	/* Counting is not part of the script: the client asks for it when it likes. */
	if (cn_view_find(cn_view_cut(all, head), CN_VIEW("/count_tokens"), 0) == SIZE_MAX)
		step_over(b);
	if (b->provider->opts.on_request)
		b->provider->opts.on_request(
		    b->provider->opts.self, b->name, b->n_requests, cn_step_word(step.kind),
		    cn_view_cut(all, head), cn_view_from(all, head));
	answer(peer, &step, cn_view_cut(all, head), cn_view_from(all, head));
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
