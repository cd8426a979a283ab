/*
 * The request of an attempt, as libcurl is told it: head, URL, body, and every option of
 * design/security.md 6 "Upstream side".
 *
 * The head is written from our own list of fields; what would be framing is left to
 * libcurl. The body is read in place, slice by slice.  Owns nothing: the attempt does.
 * Runs on the loop's thread.
 */
#include "upstream_impl.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "continuo/clock.h"
#include "continuo/hash.h"

/* ---- the head ---- */

/* A field that could break the head is not sent: foreign values are dropped, not mended. */
static bool is_safe(struct cn_view v, bool name)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (name ? c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c)
		         : (c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return v.n > 0 || !name;
}

/* Fields by which libcurl frames the message. */
static bool is_framing(struct cn_view name)
{
	static const char *const names[] = {
	    "connection", "content-length", "expect",           "host",
	    "te",         "trailer",        "transfer-encoding"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (cn_view_eq_nocase(name, cn_view_str(names[i])))
			return true;
	return false;
}

void cn_upstream_put_key(enum cn_auth auth, struct cn_view secret,
                         void (*put)(void *to, struct cn_view name, struct cn_view value),
                         void *to)
{
	CN_AUTO(cn_buf) value = {0};

	switch (auth) {
	case CN_AUTH_X_API_KEY:
		put(to, CN_VIEW("x-api-key"), secret);
		return;
	case CN_AUTH_API_KEY:
		put(to, CN_VIEW("api-key"), secret);
		return;
	case CN_AUTH_BEARER:
		/* All of it at once, as below. */
		(void)cn_buf_reserve(&value, secret.n + sizeof("Bearer "));
		cn_buf_add_str(&value, "Bearer ");
		cn_buf_add_view(&value, secret);
		put(to, CN_VIEW("authorization"), cn_buf_view(&value));
		cn_wipe(value.p, value.cap);
		return;
	}
}

void cn_request__put(void *self, struct cn_view name, struct cn_view value)
{
	struct cn_attempt *at = self;
	CN_AUTO(cn_buf) line = {0};

	if (!is_safe(name, true) || !is_safe(value, false) || is_framing(name))
		return;
	/* All of it at once: growing would leave copies of a credential behind. */
	(void)cn_buf_reserve(&line, name.n + value.n + 3);
	cn_buf_add_view(&line, name);
	/* curl's way to send a field without a value. */
	cn_buf_add_str(&line, value.n ? ": " : ";");
	cn_buf_add_view(&line, value);
	at->head = curl_slist_append(at->head, cn_buf_cstr(&line));
	cn_wipe(line.p, line.cap);
}

void cn_request__add_fields(struct cn_attempt *at)
{
	const struct cn_attempt_opts *o = &at->opts;

	cn_request__put(at, CN_VIEW("content-type"), CN_VIEW("application/json"));
	cn_request__put(at, CN_VIEW("accept"),
	                o->stream ? CN_VIEW("text/event-stream")
	                          : CN_VIEW("application/json"));
	cn_request__put(at, CN_VIEW("accept-encoding"), CN_VIEW("identity"));
	for (size_t i = 0; i < o->n_fields; i++)
		cn_request__put(at, o->fields[i].name, o->fields[i].value);
	/* curl would wait for a 100 of its own accord. */
	at->head = curl_slist_append(at->head, "expect:");
}

/* ---- the body ---- */

static size_t on_send(char *to, size_t size, size_t n, void *self)
{
	struct cn_attempt *at = self;
	const struct cn_slices *body = &at->opts.body;
	size_t room = size * n, sent = 0;

	if (at->told)
		return CURL_READFUNC_ABORT;
	/* As long as the backend takes the body, it is not silent. */
	at->sent_ms = cn_clock_ms();
	while (sent < room && at->slice < body->n) {
		struct cn_view rest = cn_view_from(body->v[at->slice], at->slice_at);
		size_t take = rest.n < room - sent ? rest.n : room - sent;

		if (take)
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

/* A kept connection that had died is replaced by curl itself: the body starts over. */
static int on_seek(void *self, curl_off_t offset, int origin)
{
	struct cn_attempt *at = self;

	if (origin != SEEK_SET || offset != 0)
		return CURL_SEEKFUNC_CANTSEEK;
	at->slice = at->slice_at = 0;
	return CURL_SEEKFUNC_OK;
}

/* There is a connection: from now on it is the backend's silence that counts. */
static int on_connected(void *self, char *to_ip, char *from_ip, int to_port, int from_port)
{
	struct cn_attempt *at = self;

	(void)to_ip;
	(void)from_ip;
	(void)to_port;
	(void)from_port;
	if (at->told)
		return CURL_PREREQFUNC_ABORT;
	at->sent_ms = cn_clock_ms();
	cn_deadline__arm(at);
	return CURL_PREREQFUNC_OK;
}

/* ---- options ---- */

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

static bool environment_has_proxy(const struct cn_backend *b)
{
	static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
	                                    "ALL_PROXY"};

	/* As libcurl reads them: HTTP_PROXY can be forged by a client of a CGI. */
	if (strncmp(b->url, "http:", 5) == 0 && getenv("http_proxy"))
		return true;
	for (size_t i = strncmp(b->url, "http:", 5) ? 0 : 2;
	     i < sizeof(names) / sizeof(names[0]); i++)
		if (getenv(names[i]))
			return true;
	return false;
}

static void set_proxy(struct cn_attempt *at)
{
	const struct cn_backend *b = at->opts.backend;

	switch (b->proxy) {
	case CN_PROXY_NONE:
		curl_easy_setopt(at->easy, CURLOPT_PROXY, "");
		break;
	case CN_PROXY_ENV:
		at->proxied = environment_has_proxy(b);
		break;
	case CN_PROXY_URL:
		curl_easy_setopt(at->easy, CURLOPT_PROXY, b->proxy_url);
		/* The environment's exceptions are none of this proxy's. */
		curl_easy_setopt(at->easy, CURLOPT_NOPROXY, "");
		at->proxied = true;
		break;
	}
}

/* Connections from before the last sleep are dead without knowing it. */
static void set_age(struct cn_attempt *at)
{
	uint64_t most = 3600, woke = at->up->woke_ms;

	if (woke && (cn_clock_ms() - woke) / 1000 < most)
		most = (cn_clock_ms() - woke) / 1000;
	if (most == 0)
		curl_easy_setopt(at->easy, CURLOPT_FRESH_CONNECT, 1L);
	else
		curl_easy_setopt(at->easy, CURLOPT_MAXLIFETIME_CONN, (long)most);
}

void cn_request__set_options(struct cn_attempt *at)
{
	CURL *e = at->easy;

	set_url(at);
	curl_easy_setopt(e, CURLOPT_URL, at->url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, (void *)at);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, at->head);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)at->opts.body.bytes);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(e, CURLOPT_READDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(e, CURLOPT_SEEKDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, cn_head__on_line);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, cn_answer__on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, (void *)at);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, cn_connect__open);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, (void *)at);
	/* Connections outlive the attempt that made them. */
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, cn_watch__on_close);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, (void *)at->up);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/*
	 * A name lookup that is given up is left to its thread.  Without it libcurl joins
	 * that thread, and the loop stands still for as long as a dead name server takes.
	 */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* A proxy gets none of our fields, and its own head is not the backend's. */
	curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 16384L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)at->opts.connect_timeout_ms);
	set_age(at);
	set_proxy(at);
}
