/*
 * A client that believes nothing: it sends one conversation turn after turn, and checks
 * each answer against the promise of design/continuity.md to the letter.
 *
 * Blocking, one socket a turn.  Owns the conversation.  What it finds wrong is a text for
 * the person who watches; it never repairs.
 */
#include "continuo/demo.h"

#include "continuo/anthropic.h"
#include "continuo/clock.h"
#include "continuo/json.h"
#include "continuo/sse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the strict reader ---- */

struct reader {
	struct cn_demo_client *client;
	struct cn_demo_turn *turn;
	struct cn_arena arena;
	struct cn_buf text, input; /* of the answer's text and call */
	struct cn_view id, name;   /* of the call */
	enum {
		CN_AT_START,
		CN_AT_BLOCKS,
		CN_IN_BLOCK,
		CN_AT_END,
		CN_DONE
	} at;
	size_t blocks;
	enum cn_block_type block;
	uint64_t began_ms, last_ms; /* last: the event before */
};

static bool wrong(struct reader *r, const char *what)
{
	if (!r->turn->wrong[0])
		snprintf(r->turn->wrong, sizeof(r->turn->wrong), "%s", what);
	return false;
}

/* Ids are fresh in the whole conversation: the client merges messages, and loops on calls.
 */
static bool fresh(struct reader *r, struct cn_view id)
{
	struct cn_demo_client *c = r->client;

	if (id.n == 0)
		return wrong(r, "an empty id");
	for (size_t i = 0; i < c->n_ids; i++)
		if (cn_view_eq(c->ids[i], id))
			return wrong(r, "an id that was given before");
	if (c->n_ids < sizeof(c->ids) / sizeof(c->ids[0]))
		c->ids[c->n_ids++] = cn_arena_view(&c->arena, id);
	return true;
}

static bool on_block_start(struct reader *r, const struct cn_event *ev)
{
	if (r->at != CN_AT_BLOCKS)
		return wrong(r, "a block begins inside another");
	if (ev->index != r->blocks)
		return wrong(r, "block indices are not 0, 1, 2");
	r->at = CN_IN_BLOCK;
	r->block = ev->block;
	if (ev->block != CN_BLOCK_TOOL_USE)
		return true;
	r->turn->tool = true;
	r->id = cn_arena_view(&r->arena, ev->id);
	r->name = cn_arena_view(&r->arena, ev->name);
	cn_buf_clear(&r->input);
	return fresh(r, ev->id);
}

static bool on_delta(struct reader *r, const struct cn_event *ev)
{
	if (r->at != CN_IN_BLOCK || ev->index != r->blocks)
		return wrong(r, "a delta outside its block");
	if (ev->delta == CN_DELTA_TEXT)
		cn_buf_add_view(&r->text, ev->text);
	else if (ev->delta == CN_DELTA_INPUT_JSON)
		cn_buf_add_view(&r->input, ev->text);
	return true;
}

static bool on_block_stop(struct reader *r, const struct cn_event *ev)
{
	if (r->at != CN_IN_BLOCK || ev->index != r->blocks)
		return wrong(r, "a stop of a block that is not open");
	r->at = CN_AT_BLOCKS;
	r->blocks++;
	if (r->block == CN_BLOCK_TOOL_USE && r->input.n &&
	    cn_json_check(cn_buf_view(&r->input), NULL))
		return wrong(r, "a tool call whose input is no JSON");
	return true;
}

static bool on_message_delta(struct reader *r, const struct cn_event *ev)
{
	if (r->at != CN_AT_BLOCKS)
		return wrong(r, "message_delta out of place");
	if (ev->stop_reason.n == 0)
		return wrong(r, "no stop_reason");
	if (!ev->usage.has_output)
		return wrong(r, "no numeric usage");
	snprintf(r->turn->stop_reason, sizeof(r->turn->stop_reason), "%.*s",
	         CN_VIEW_ARG(ev->stop_reason));
	if (r->turn->tool != cn_view_is(ev->stop_reason, "tool_use"))
		return wrong(r, "a stop_reason that contradicts the content");
	r->at = CN_AT_END;
	return true;
}

/* ": x-model-used NAME": another model goes on from here. */
static void on_joint(struct reader *r, struct cn_view comment)
{
	struct cn_demo_turn *t = r->turn;
	struct cn_view text = cn_buf_view(&r->text), name = comment;
	size_t from = text.n > 24 ? text.n - 24 : 0;

	if (!cn_view_starts(cn_view_trim(name), CN_VIEW("x-model-used ")) ||
	    r->at == CN_AT_START)
		return;
	name = cn_view_from(cn_view_trim(name), sizeof("x-model-used ") - 1);
	while (from < text.n && from && text.p[from - 1] != ' ')
		from++;
	snprintf(t->joined, sizeof(t->joined), "%.*s", CN_VIEW_ARG(name));
	snprintf(t->after, sizeof(t->after), "%.*s", CN_VIEW_ARG(cn_view_from(text, from)));
	t->joint_ms = cn_clock_ms() - r->last_ms;
	t->joints++;
}

/* What a scripted model says is known: so is what was lost or said twice. */
static bool is_whole(const struct reader *r)
{
	const struct cn_demo_client *c = r->client;
	char want[100];
	unsigned step = c->turns + 1;

	if (step > c->steps)
		snprintf(want, sizeof(want), "All %u steps are done.", c->steps);
	else
		snprintf(want, sizeof(want), "Step %u of %u: I write the file for it now.",
		         step, c->steps);
	return cn_view_is(cn_buf_view(&r->text), want);
}

static bool on_event(void *self, const struct cn_sse_event *sse)
{
	struct reader *r = self;
	struct cn_event ev;
	struct cn_error err;

	if (sse->comment) {
		on_joint(r, sse->data);
		return true;
	}
	if (sse->name.n == 0)
		return wrong(r, "an event without its event: line");
	if (cn_anthropic_decode(&r->arena, sse->name, sse->data, &ev, &err))
		return wrong(r, err.message);
	if (ev.kind != CN_EV_PING && !r->turn->first_byte_ms)
		r->turn->first_byte_ms = cn_clock_ms() - r->began_ms;
	if (ev.kind != CN_EV_PING)
		r->last_ms = cn_clock_ms();
	switch (ev.kind) {
	case CN_EV_MESSAGE_START:
		if (r->at != CN_AT_START)
			return wrong(r, "a second message_start");
		r->at = CN_AT_BLOCKS;
		return ev.usage.has_input ? fresh(r, ev.id)
		                          : wrong(r, "no usage at the start");
	case CN_EV_BLOCK_START:
		return on_block_start(r, &ev);
	case CN_EV_BLOCK_DELTA:
		return on_delta(r, &ev);
	case CN_EV_BLOCK_STOP:
		return on_block_stop(r, &ev);
	case CN_EV_MESSAGE_DELTA:
		return on_message_delta(r, &ev);
	case CN_EV_MESSAGE_STOP:
		if (r->at != CN_AT_END)
			return wrong(r, "message_stop out of place");
		r->at = CN_DONE;
		return true;
	case CN_EV_PING:
		return true;
	case CN_EV_ERROR: {
		char what[160];

		snprintf(what, sizeof(what), "error event: %.*s: %.*s",
		         CN_VIEW_ARG(ev.error_type), CN_VIEW_ARG(ev.error_message));
		return wrong(r, what);
	}
	case CN_EV_PROGRESS:
	case CN_EV_UNKNOWN:
		return wrong(r, "an event of an unknown name");
	}
	return true;
}

/* ---- HTTP, as much as one answer needs ---- */

struct wire {
	int fd;
	uint64_t until_ms;
	struct cn_buf in; /* bytes not used yet */
};

static bool connect_to(struct wire *w, const struct cn_demo_client *c)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
	                           .sin_port = htons((uint16_t)c->port)};

	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return w->fd >= 0 && inet_pton(AF_INET, c->host, &addr.sin_addr) == 1 &&
	       connect(w->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
}

static bool send_all(struct wire *w, struct cn_view bytes)
{
	while (bytes.n) {
		ssize_t n = send(w->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes = cn_view_from(bytes, (size_t)n);
	}
	return true;
}

/* Waits for more bytes; false at the end, on errors and when the time is up. */
static bool more(struct wire *w)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	uint64_t now = cn_clock_ms();
	ssize_t n;

	if (now >= w->until_ms || poll(&p, 1, (int)(w->until_ms - now)) <= 0)
		return false;
	n = recv(w->fd, cn_buf_reserve(&w->in, 16384), 16384, 0);
	if (n <= 0)
		return false;
	w->in.n += (size_t)n;
	return true;
}

static bool read_line(struct wire *w, struct cn_arena *a, struct cn_view *ret)
{
	size_t end;

	while ((end = cn_view_find(cn_buf_view(&w->in), CN_VIEW("\r\n"), 0)) == SIZE_MAX)
		if (!more(w))
			return false;
	*ret = cn_arena_view(a, cn_view_cut(cn_buf_view(&w->in), end));
	cn_buf_consume(&w->in, end + 2);
	return true;
}

static void keep(char *to, size_t size, struct cn_view value)
{
	snprintf(to, size, "%.*s", CN_VIEW_ARG(value));
}

struct answer {
	bool chunked;
	uint64_t length;
};

static bool read_head(struct wire *w, struct reader *r, struct answer *ret)
{
	struct cn_view line, name;
	uint64_t status;

	*ret = (struct answer){0};
	if (!read_line(w, &r->arena, &line) || line.n < 12 ||
	    !cn_view_u64(cn_view_cut(cn_view_from(line, 9), 3), &status))
		return false;
	r->turn->status = (int)status;
	while (read_line(w, &r->arena, &line) && line.n) {
		if (!cn_view_split(&line, ':', &name))
			continue;
		line = cn_view_trim(line);
		if (cn_view_eq_nocase(name, CN_VIEW("x-model-used")))
			keep(r->turn->used, sizeof(r->turn->used), line);
		else if (cn_view_eq_nocase(name, CN_VIEW("x-continuo-attempts")))
			keep(r->turn->attempts, sizeof(r->turn->attempts), line);
		else if (cn_view_eq_nocase(name, CN_VIEW("transfer-encoding")))
			ret->chunked = true;
		else if (cn_view_eq_nocase(name, CN_VIEW("content-length")))
			(void)cn_view_u64(line, &ret->length);
	}
	return line.n == 0;
}

/* Feeds the chunks to the reader; false when the body did not come to its proper end. */
static bool read_chunks(struct wire *w, struct reader *r)
{
	struct cn_sse sse;
	struct cn_view line;
	bool ok = true;
	size_t n;

	cn_sse_init(&sse, on_event, r);
	while (ok && (ok = read_line(w, &r->arena, &line))) {
		n = (size_t)strtoull(cn_arena_dup(&r->arena, line), NULL, 16);
		if (n == 0)
			break;
		while (ok && w->in.n < n + 2)
			ok = more(w);
		ok = ok && cn_sse_feed(&sse, cn_view(w->in.p, n), cn_clock_ms(), NULL) == 0;
		cn_buf_consume(&w->in, n + 2);
	}
	cn_sse_done(&sse);
	return ok;
}

static void read_answer(struct wire *w, struct reader *r)
{
	struct answer a;

	if (!read_head(w, r, &a)) {
		wrong(r, "no answer");
		return;
	}
	if (r->turn->status != 200 || !a.chunked) {
		while (w->in.n < a.length && more(w))
			;
		snprintf(r->turn->wrong, sizeof(r->turn->wrong), "status %d: %.*s",
		         r->turn->status, (int)(w->in.n < 120 ? w->in.n : 120),
		         w->in.p ? w->in.p : "");
		return;
	}
	if (!read_chunks(w, r))
		wrong(r, "the answer was broken off");
	else if (r->at != CN_DONE)
		wrong(r, "the answer ended without message_stop");
}

/* ---- the conversation ---- */

void cn_demo_client_init(struct cn_demo_client *c, const char *host, unsigned port,
                         const char *token, unsigned steps, const char *dir)
{
	CN_AUTO(cn_buf) id = {0};

	*c = (struct cn_demo_client){
	    .host = host, .port = port, .token = token, .steps = steps};
	cn_random_id(&id, 12);
	snprintf(c->session, sizeof(c->session), "demo-%.*s", (int)id.n, id.p);
	cn_buf_printf(&c->messages,
	              "{\"role\":\"user\",\"content\":\"Please do this task. CONTINUO-TASK "
	              "steps=%u dir=%s\"}",
	              steps, dir);
}

void cn_demo_client_done(struct cn_demo_client *c)
{
	cn_buf_done(&c->messages);
	cn_arena_done(&c->arena);
}

static void add_answer(struct cn_demo_client *c, const struct reader *r)
{
	struct cn_buf *b = &c->messages;

	cn_buf_add_str(
	    b, ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":");
	cn_json_add_string(b, cn_buf_view(&r->text));
	cn_buf_add_char(b, '}');
	if (r->turn->tool) {
		cn_buf_add_str(b, ",{\"type\":\"tool_use\",\"id\":");
		cn_json_add_string(b, r->id);
		cn_buf_add_str(b, ",\"name\":");
		cn_json_add_string(b, r->name);
		cn_buf_printf(b, ",\"input\":%.*s}", (int)r->input.n, r->input.p);
	}
	cn_buf_add_str(b, "]}");
	if (!r->turn->tool)
		return;
	cn_buf_add_str(b, ",{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
	                  "\"tool_use_id\":");
	cn_json_add_string(b, r->id);
	cn_buf_add_str(b, ",\"content\":\"written\"}]}");
}

static void request(const struct cn_demo_client *c, struct cn_buf *b)
{
	CN_AUTO(cn_buf) body = {0};

	cn_buf_printf(&body, "{\"model\":\"claude-opus-5-5\",\"messages\":[%.*s],",
	              (int)c->messages.n, c->messages.p);
	cn_buf_add_str(
	    &body, "\"tools\":[{\"name\":\"Write\",\"description\":\"Writes a file.\","
		   "\"input_schema\":{\"type\":\"object\",\"properties\":{\"file_path\":{"
		   "\"type\":\"string\"},\"content\":{\"type\":\"string\"}},\"required\":["
		   "\"file_path\",\"content\"]}}],\"max_tokens\":4096,\"stream\":true}");
	cn_buf_printf(
	    b,
	    "POST /v1/messages?beta=true HTTP/1.1\r\nHost: %s:%u\r\nContent-Type: "
	    "application/json\r\nx-continuo-token: %s\r\nX-Claude-Code-Session-Id: "
	    "%s\r\nanthropic-version: 2023-06-01\r\nConnection: close\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    c->host, c->port, c->token, c->session, body.n);
	cn_buf_add_view(b, cn_buf_view(&body));
}

bool cn_demo_client_turn(struct cn_demo_client *c, uint64_t timeout_ms,
                         struct cn_demo_turn *ret)
{
	struct wire w = {.fd = -1, .until_ms = cn_clock_ms() + timeout_ms};
	struct reader r = {.client = c, .turn = ret, .began_ms = cn_clock_ms()};
	CN_AUTO(cn_buf) bytes = {0};

	*ret = (struct cn_demo_turn){0};
	request(c, &bytes);
	if (!connect_to(&w, c) || !send_all(&w, cn_buf_view(&bytes)))
		wrong(&r, "the router cannot be reached");
	else
		read_answer(&w, &r);
	if (!ret->wrong[0] && !is_whole(&r))
		wrong(&r, "words were lost or said twice");
	ret->took_ms = cn_clock_ms() - r.began_ms;
	if (!ret->wrong[0]) {
		add_answer(c, &r);
		c->turns++;
	}
	if (w.fd >= 0)
		close(w.fd);
	cn_buf_done(&w.in);
	cn_buf_done(&r.text);
	cn_buf_done(&r.input);
	cn_arena_done(&r.arena);
	return !ret->wrong[0];
}
