/*
 * The attempt: one candidate, tried once.
 *
 * It starts a transfer, tells its owner events, and ends exactly once: libcurl's callbacks
 * and the timer only mark (cn_attempt__mark), the drain step at top level tells.  After
 * message_stop it may linger without its owner until the body's end, so that the connection
 * can be used again.  Owns its easy handle, request head and what it gathered.  Runs on the
 * loop's thread.
 *
 *   running --mark--> marked --drain--> told --(done, or a second)--> closed
 */
#include "upstream_impl.h"

#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cn_attempt__mark(struct cn_attempt *at, enum cn_attempt_ending ending)
{
	if (at->ending)
		return false;
	at->ending = ending;
	cn_upstream__schedule(at->up);
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

static void wipe_head(struct curl_slist *head)
{
	for (struct curl_slist *l = head; l; l = l->next)
		cn_wipe(l->data, strlen(l->data));
	curl_slist_free_all(head);
}

/* Out of curl and of the list; the memory goes with the timer's handle. */
static void attempt_close(struct cn_attempt *at)
{
	if (at->easy) {
		curl_multi_remove_handle(at->up->multi, at->easy);
		cn_upstream__give_back(at->up, at->easy);
		at->easy = NULL;
	}
	wipe_head(at->head);
	at->head = NULL;
	cn_list_remove(&at->link);
	cn_charge_release(at->up->charge, at->charged);
	at->charged = 0;
	cn_sse_done(&at->sse);
	cn_buf_done(&at->body);
	cn_arena_done(&at->event_arena);
	cn_arena_done(&at->arena);
	free(at->url);
	uv_close((uv_handle_t *)&at->timer, on_closed);
}

/* The one terminal call.  Whether the connection can be kept decides if it lingers. */
static void attempt_tell(struct cn_attempt *at)
{
	struct cn_outcome outcome = cn_answer__outcome(at);
	struct cn_attempt_owner owner = at->opts.owner;
	bool linger = at->ending == CN_ENDING_STOPPED && !at->done && at->easy;

	at->told = true;
	if (linger) {
		at->byte_ms = cn_clock_ms();
		at->opts.body = (struct cn_slices){0}; /* the owner's memory may go now */
		/* Paused or not, the rest must flow for the end to be seen. */
		at->want_pause = false;
		cn_deadline__arm(at);
	}
	owner.on_end(owner.self, &outcome);
	/* The outcome pointed into our memory until here. */
	if (!linger)
		attempt_close(at);
}

void cn_attempt__drain(struct cn_attempt *at)
{
	if (at->told) {
		if (at->done)
			attempt_close(at);
		return;
	}
	if (at->dirty && at->opts.owner.on_idle) {
		at->dirty = false;
		at->opts.owner.on_idle(at->opts.owner.self);
		if (at->cancelled)
			return;
	}
	if (at->ending) {
		attempt_tell(at);
		return;
	}
	if (at->paused && !at->want_pause) {
		at->paused = false;
		at->byte_ms = at->progress_ms = cn_clock_ms();
		cn_deadline__arm(at);
		at->up->inside = true;
		(void)curl_easy_pause(at->easy, CURLPAUSE_CONT);
		at->up->inside = false;
		/* That may have called back already: look again at top level. */
		cn_upstream__schedule(at->up);
	}
}

struct cn_attempt *cn_attempt_cancel(struct cn_attempt *at)
{
	if (!at)
		return NULL;
	at->opts.owner = (struct cn_attempt_owner){0};
	at->told = true;
	at->cancelled = true;
	/* Inside a callback of libcurl nothing can be removed: the drain step does it. */
	if (at->up->inside) {
		at->done = true;
		at->ending = CN_ENDING_TRANSPORT;
		cn_upstream__schedule(at->up);
	} else {
		attempt_close(at);
	}
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
		cn_upstream__schedule(at->up);
}

uint64_t cn_attempt_first_byte_ms(const struct cn_attempt *at)
{
	return at->first_byte_ms;
}

/* ---- the request ---- */

static size_t on_send(char *to, size_t size, size_t n, void *self)
{
	struct cn_attempt *at = self;
	const struct cn_slices *body = &at->opts.body;
	size_t room = size * n, sent = 0;

	at->sent_ms = cn_clock_ms();
	if (at->told)
		return CURL_READFUNC_ABORT;
	while (sent < room && at->slice < body->n) {
		struct cn_view rest = cn_view_from(body->v[at->slice], at->slice_at);
		size_t take = rest.n < room - sent ? rest.n : room - sent;

		memcpy(to + sent, rest.p, take);
		sent += take;
		at->slice_at += take;
		if (at->slice_at == body->v[at->slice].n) {
			at->slice++;
			at->slice_at = 0;
		}
	}
	return sent;
}

/* A connection that was closed while idle is tried anew: the body starts over. */
static int on_seek(void *self, curl_off_t offset, int origin)
{
	struct cn_attempt *at = self;

	if (origin != SEEK_SET || offset != 0)
		return CURL_SEEKFUNC_CANTSEEK;
	at->slice = at->slice_at = 0;
	return CURL_SEEKFUNC_OK;
}

/* A field that could break the head is not sent: foreign values are dropped, not mended. */
static bool is_safe(struct cn_view v, bool name)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (name ? c <= ' ' || c >= 0x7f || c == ':'
		         : (c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return v.n > 0 || !name;
}

static void put_field(void *self, struct cn_view name, struct cn_view value)
{
	struct cn_attempt *at = self;
	CN_AUTO(cn_buf) line = {0};

	if (!is_safe(name, true) || !is_safe(value, false))
		return;
	cn_buf_add_view(&line, name);
	/* curl's way to send a field without a value. */
	cn_buf_add_str(&line, value.n ? ": " : ";");
	cn_buf_add_view(&line, value);
	at->head = curl_slist_append(at->head, cn_buf_cstr(&line));
	cn_wipe(line.p, line.cap);
}

static void set_url(struct cn_attempt *at)
{
	const struct cn_attempt_opts *o = &at->opts;
	CN_AUTO(cn_buf) url = {0};

	cn_buf_add_str(&url, o->backend->url);
	cn_buf_add_str(&url, o->path);
	if (o->query.n) {
		cn_buf_add_char(&url, '?');
		cn_buf_add_view(&url, o->query);
	}
	at->url = cn_buf_detach(&url, NULL);
}

static void set_head(struct cn_attempt *at)
{
	const struct cn_attempt_opts *o = &at->opts;

	put_field(at, CN_VIEW("content-type"), CN_VIEW("application/json"));
	put_field(at, CN_VIEW("accept"),
	          o->stream ? CN_VIEW("text/event-stream") : CN_VIEW("application/json"));
	put_field(at, CN_VIEW("accept-encoding"), CN_VIEW("identity"));
	for (size_t i = 0; i < o->n_fields; i++)
		put_field(at, o->fields[i].name, o->fields[i].value);
	/* curl would wait for a 100 of its own accord. */
	at->head = curl_slist_append(at->head, "expect:");
}

static void set_proxy(CURL *easy, const struct cn_backend *b)
{
	switch (b->proxy) {
	case CN_PROXY_NONE:
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
		break;
	case CN_PROXY_ENV:
		break;
	case CN_PROXY_URL:
		curl_easy_setopt(easy, CURLOPT_PROXY, b->proxy_url);
		break;
	}
}

static void set_options(struct cn_attempt *at)
{
	CURL *e = at->easy;

	curl_easy_setopt(e, CURLOPT_URL, at->url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, (void *)at);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, at->head);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)at->opts.body.bytes);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(e, CURLOPT_READDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(e, CURLOPT_SEEKDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, cn_answer__on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, cn_answer__on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, cn_connect__open);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN, 3600L);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 16384L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)at->opts.connect_timeout_ms);
	set_proxy(e, at->opts.backend);
}

int cn_attempt_start(struct cn_upstreams *up, const struct cn_attempt_opts *opts,
                     struct cn_attempt **ret, struct cn_error *reterr)
{
	struct cn_attempt *at = cn_zalloc(sizeof(*at));
	int bad;

	at->up = up;
	at->opts = *opts;
	cn_list_init(&at->link);
	set_head(at);
	bad = opts->credential
	          ? opts->credential(opts->credential_self, put_field, at, reterr)
	          : 0;
	if (bad) {
		wipe_head(at->head);
		free(at);
		return bad;
	}
	set_url(at);
	cn_sse_init(&at->sse, cn_answer__on_sse, at);
	at->started_ms = at->sent_ms = at->byte_ms = at->progress_ms = cn_clock_ms();
	at->easy = cn_upstream__easy(up);
	set_options(at);
	uv_timer_init(up->loop, &at->timer);
	at->timer.data = at;
	up->handles++;
	cn_list_append(&up->attempts, &at->link);
	/* Only asks curl's timer to fire: nothing is called back from in here. */
	if (curl_multi_add_handle(up->multi, at->easy))
		(void)cn_attempt__fail(at, CN_TP_RESET, "libcurl took no more transfers");
	cn_deadline__arm(at);
	*ret = at;
	return 0;
}
