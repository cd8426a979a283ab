/*
 * What a step of a script answers to one request, as bytes: what goes out at once, what
 * later and upon what, and how it ends.
 *
 * Pure but for recorded answers, which are read from their file.  Knows nothing of sockets:
 * provider.c sends.
 */
#include "demo_impl.h"

#include "continuo/json.h"

#include <stdio.h>

#define CN_BIG_HEAD ((size_t)70 * 1024)

enum form {
	CN_FORM_MESSAGES,
	CN_FORM_CHAT
};

static enum form form_of(struct cn_view head)
{
	struct cn_view first = head;

	(void)cn_view_split(&head, '\r', &first);
	return cn_view_find(first, CN_VIEW("/chat/completions"), 0) != SIZE_MAX
	           ? CN_FORM_CHAT
	           : CN_FORM_MESSAGES;
}

/* ---- heads and bodies ---- */

static void add_head(struct cn_buf *b, const struct cn_step *s, int status,
                     const char *type)
{
	struct cn_view value = s->field, name;

	cn_buf_printf(b,
	              "HTTP/1.1 %d Status\r\nContent-Type: %s\r\nrequest-id: req_demo\r\n",
	              status, type);
	if (cn_view_split(&value, ':', &name))
		cn_buf_printf(b, "%.*s: %.*s\r\n", CN_VIEW_ARG(name), CN_VIEW_ARG(value));
	if (s->retry_after)
		cn_buf_printf(b, "retry-after: %llu\r\n",
		              (unsigned long long)s->retry_after);
	if (s->kind == CN_STEP_ENCODED)
		cn_buf_add_str(b, "Content-Encoding: gzip\r\n");
	if (s->kind == CN_STEP_REDIRECT)
		cn_buf_add_str(b, "Location: /v1/messages\r\n");
}

static void add_whole(struct cn_buf *b, const struct cn_step *s, int status,
                      const char *type, struct cn_view body)
{
	add_head(b, s, status, type);
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

static void add_stream_head(struct cn_buf *b, const struct cn_step *s)
{
	add_head(b, s, 200, "text/event-stream; charset=utf-8");
	cn_buf_add_str(b, "Transfer-Encoding: chunked\r\n\r\n");
}

static void add_last_chunk(struct cn_buf *b)
{
	cn_buf_add_str(b, "0\r\n\r\n");
}

static void add_ping(struct cn_buf *b, enum form form)
{
	add_chunk(b, form == CN_FORM_CHAT
	                 ? CN_VIEW(": keep-alive\n\n")
	                 : CN_VIEW("event: ping\ndata: {\"type\":\"ping\"}\n\n"));
}

/* ---- errors ---- */

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

static const char *chat_type_of(uint64_t status)
{
	switch (status) {
	case 400:
	case 404:
	case 413:
		return "invalid_request_error";
	case 401:
		return "invalid_api_key";
	case 402:
		return "billing_not_active";
	case 403:
		return "insufficient_permissions";
	case 429:
		return "rate_limit_exceeded";
	default:
		return "server_error";
	}
}

static void error_json(struct cn_buf *b, const struct cn_step *s, enum form form,
                       uint64_t status)
{
	struct cn_view message = s->message.n ? s->message : CN_VIEW("scripted failure");
	const char *type = form == CN_FORM_CHAT ? chat_type_of(status) : type_of(status);

	if (s->body.n) {
		cn_buf_add_view(b, s->body);
		return;
	}
	cn_buf_add_str(b, form == CN_FORM_CHAT
	                      ? "{\"error\":{\"type\":"
	                      : "{\"type\":\"error\",\"error\":{\"type\":");
	cn_json_add_string(b, s->type.n ? s->type : cn_view_str(type));
	cn_buf_add_str(b, ",\"message\":");
	cn_json_add_string(b, message);
	cn_buf_add_str(b, form == CN_FORM_CHAT ? ",\"param\":null,\"code\":null}}"
	                                       : "},\"request_id\":\"req_demo\"}");
}

static void error_event(struct cn_buf *b, const struct cn_step *s, enum form form)
{
	CN_AUTO(cn_buf) json = {0};

	error_json(&json, s, form, 529);
	cn_buf_printf(b, "%sdata: %.*s\n\n", form == CN_FORM_CHAT ? "" : "event: error\n",
	              (int)json.n, json.p);
}

/* ---- steps that look at nothing of the request ---- */

static void play_file(const struct cn_step *s, struct cn_answer *ret)
{
	CN_AUTO(cn_buf) body = {0};
	CN_AUTOFREE char *path = cn_view_dup(s->path);
	bool sse = cn_view_ends(s->path, CN_VIEW(".sse"));
	FILE *f = fopen(path, "rbe");
	size_t n;

	while (f && (n = fread(cn_buf_reserve(&body, 65536), 1, 65536, f)) > 0)
		body.n += n;
	add_whole(&ret->now, s, f ? 200 : 500,
	          sse ? "text/event-stream" : "application/json", cn_buf_view(&body));
	if (f)
		fclose(f);
}

static void big_head(const struct cn_step *s, struct cn_answer *ret)
{
	add_head(&ret->now, s, 200, "text/event-stream");
	cn_buf_add_str(&ret->now, "x-big: ");
	for (size_t i = 0; i < CN_BIG_HEAD; i++)
		cn_buf_add_char(&ret->now, 'a');
	cn_buf_add_str(&ret->now, "\r\nContent-Length: 0\r\n\r\n");
}

static bool answer_plainly(const struct cn_step *s, enum form form, struct cn_answer *ret)
{
	CN_AUTO(cn_buf) json = {0};

	switch (s->kind) {
	case CN_STEP_STATUS:
		error_json(&json, s, form, s->n);
		add_whole(&ret->now, s, (int)s->n, "application/json", cn_buf_view(&json));
		return true;
	case CN_STEP_ERROR_BODY:
		error_json(&json, s, form, 529);
		add_whole(&ret->now, s, 200, "application/json", cn_buf_view(&json));
		return true;
	case CN_STEP_HTML:
		add_whole(&ret->now, s, 200, "text/html",
		          CN_VIEW("<html><body>Welcome</body></html>"));
		return true;
	case CN_STEP_NOTHING:
		add_whole(&ret->now, s, 200, "text/event-stream", CN_VIEW(""));
		return true;
	case CN_STEP_REDIRECT:
		add_whole(&ret->now, s, 307, "text/plain", CN_VIEW(""));
		return true;
	case CN_STEP_BIG_HEAD:
		big_head(s, ret);
		return true;
	case CN_STEP_SILENT:
		add_stream_head(&ret->now, s);
		ret->then = CN_THEN_STAY;
		return true;
	case CN_STEP_HANG:
	case CN_STEP_REFUSE: /* a connection that came in before the door closed */
		ret->then = CN_THEN_STAY;
		return true;
	case CN_STEP_RESET:
		ret->then = CN_THEN_RESET;
		return true;
	case CN_STEP_CLOSE:
		ret->then = CN_THEN_CLOSE;
		return true;
	case CN_STEP_FILE:
		play_file(s, ret);
		return true;
	default:
		return false;
	}
}

/* ---- streams, whole and spoiled ---- */

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
	    .thinking = s->thinking || s->kind == CN_STEP_THINKING,
	    .calls = s->calls,
	    .reasoning = s->reasoning,
	};
}

/* Where the first n events end. */
static size_t after_events(struct cn_view stream, uint64_t n)
{
	size_t at = 0;

	for (; n && at < stream.n; n--) {
		size_t end = cn_view_find(stream, CN_VIEW("\n\n"), at);

		at = end == SIZE_MAX ? stream.n : end + 2;
	}
	return at;
}

/* The place that a step names, in events or bytes; `otherwise` events when it names none.
 */
static size_t place(const struct cn_step *s, struct cn_view stream, uint64_t otherwise)
{
	if (!s->events && s->n)
		return s->n < stream.n ? (size_t)s->n : stream.n;
	return after_events(stream, s->events ? s->events : otherwise);
}

/* A stream's start, its rest or its end now or later, as the step says. */
static void cut(const struct cn_step *s, enum form form, struct cn_view stream,
                struct cn_answer *ret)
{
	size_t at = place(s, stream, 0);
	struct cn_buf *end = s->wait ? &ret->later : &ret->now;
	CN_AUTO(cn_buf) error = {0};

	/* An error is an event of its own: the one before it is whole. */
	while (s->kind == CN_STEP_CUT_ERROR && at &&
	       !cn_view_ends(cn_view_cut(stream, at), CN_VIEW("\n\n")))
		at--;
	add_stream_head(&ret->now, s);
	add_chunk(&ret->now, cn_view_cut(stream, at));
	ret->how = s->wait ? CN_LATER_GO : CN_LATER_NONE;
	switch (s->kind) {
	case CN_STEP_CUT_FIN:
		ret->then = CN_THEN_CLOSE;
		return;
	case CN_STEP_CUT_RST:
		ret->then = CN_THEN_RESET;
		return;
	case CN_STEP_CUT_CLEAN:
		add_last_chunk(end);
		return;
	case CN_STEP_CUT_ERROR:
		error_event(&error, s, form);
		add_chunk(end, cn_buf_view(&error));
		add_last_chunk(end);
		return;
	case CN_STEP_PAUSE:
		ret->how = CN_LATER_GO;
		add_chunk(&ret->later, cn_view_from(stream, at));
		add_last_chunk(&ret->later);
		return;
	case CN_STEP_PINGS:
		ret->how = CN_LATER_PINGS;
		add_ping(&ret->later, form);
		return;
	default:
		ret->then = CN_THEN_STAY; /* stall */
	}
}

/* Thinks for its time: the thinking block closes only after that. */
static void think(const struct cn_step *s, enum form form, struct cn_view stream,
                  struct cn_answer *ret)
{
	size_t at = form == CN_FORM_CHAT
	                ? after_events(stream, 3)
	                : cn_view_find(stream, CN_VIEW("event: content_block_stop"), 0);

	add_stream_head(&ret->now, s);
	add_chunk(&ret->now, cn_view_cut(stream, at));
	add_chunk(&ret->later, cn_view_from(stream, at));
	add_last_chunk(&ret->later);
	ret->how = CN_LATER_TIMER;
	ret->after_ms = s->n;
}

/* The bytes of a whole stream in which one thing is wrong. */
static void spoil(const struct cn_step *s, enum form form, struct cn_buf *stream)
{
	size_t at = place(s, cn_buf_view(stream), 1), from = 0;
	CN_AUTO(cn_buf) tail = {0};

	switch (s->kind) {
	case CN_STEP_END_EARLY:
		cn_buf_truncate(stream, at);
		return;
	case CN_STEP_ERROR_EVENT:
		cn_buf_truncate(stream, at);
		error_event(stream, s, form);
		return;
	case CN_STEP_GARBAGE:
		cn_buf_truncate(stream, at);
		cn_buf_add_str(stream,
		               form == CN_FORM_CHAT
		                   ? "data: {nonsense\n\n"
		                   : "event: content_block_start\ndata: {nonsense\n\n");
		return;
	case CN_STEP_DUPLICATE:
	case CN_STEP_LOSE:
		from = after_events(cn_buf_view(stream), s->events ? s->events - 1 : 0);
		cn_buf_add_view(&tail, cn_view_from(cn_buf_view(stream),
		                                    s->kind == CN_STEP_LOSE ? at : from));
		cn_buf_truncate(stream, s->kind == CN_STEP_LOSE ? from : at);
		cn_buf_add_view(stream, cn_buf_view(&tail));
		return;
	default:
		return;
	}
}

static void answer_stream(const struct cn_step *s, enum form form,
                          const struct cn_task_answer *t, struct cn_answer *ret)
{
	struct cn_task_spoil spoiled = spoil_of(s);
	CN_AUTO(cn_buf) stream = {0};

	if (form == CN_FORM_CHAT)
		cn_chat_stream(&stream, t, &spoiled);
	else
		cn_task_stream(&stream, t, &spoiled);
	switch (s->kind) {
	case CN_STEP_CUT_FIN:
	case CN_STEP_CUT_RST:
	case CN_STEP_CUT_CLEAN:
	case CN_STEP_CUT_ERROR:
	case CN_STEP_STALL:
	case CN_STEP_PAUSE:
	case CN_STEP_PINGS:
		cut(s, form, cn_buf_view(&stream), ret);
		return;
	case CN_STEP_THINKING:
		if (s->n) {
			think(s, form, cn_buf_view(&stream), ret);
			return;
		}
		break;
	case CN_STEP_TRICKLE:
		ret->how = CN_LATER_TRICKLE;
		break;
	case CN_STEP_DELAY:
		ret->how = CN_LATER_TIMER;
		ret->after_ms = s->n;
		break;
	default:
		spoil(s, form, &stream);
	}
	struct cn_buf *b = ret->how == CN_LATER_NONE ? &ret->now : &ret->later;

	add_stream_head(b, s);
	add_chunk(b, cn_buf_view(&stream));
	add_last_chunk(b);
}

void cn_demo__answer(const struct cn_step *s, struct cn_view head, struct cn_view body,
                     struct cn_answer *ret)
{
	static const struct cn_step plain = {.kind = CN_STEP_OK};
	static const struct cn_step bad = {
	    .kind = CN_STEP_STATUS,
	    .n = 400,
	    .message = {"the body is no request", 22},
	};
	const struct cn_task_spoil spoiled = spoil_of(s);
	enum form form = form_of(head);
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) json = {0};
	struct cn_task_answer t;

	*ret = (struct cn_answer){0};
	if (cn_view_find(head, CN_VIEW("/count_tokens"), 0) != SIZE_MAX) {
		add_whole(&ret->now, &plain, 200, "application/json",
		          CN_VIEW("{\"input_tokens\":1234}"));
	} else if (answer_plainly(s, form, ret)) {
		return;
	} else if (!cn_task_answer(&a, body, s->way, &t)) {
		(void)answer_plainly(&bad, form, ret);
	} else if (!t.stream || s->kind == CN_STEP_WHOLE) {
		if (form == CN_FORM_CHAT)
			cn_chat_completion(&json, &t, &spoiled);
		else
			cn_task_message(&json, &t);
		if (s->kind == CN_STEP_DELAY) {
			ret->how = CN_LATER_TIMER;
			ret->after_ms = s->n;
		}
		add_whole(ret->how == CN_LATER_NONE ? &ret->now : &ret->later, s, 200,
		          "application/json", cn_buf_view(&json));
	} else {
		answer_stream(s, form, &t, ret);
	}
}
