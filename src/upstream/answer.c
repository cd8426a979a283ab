/*
 * A backend's answer as it comes: the head with its limits, then the body in one of the
 * forms that answers take, and what it all amounts to when it is over.
 *
 * Runs inside libcurl's callbacks, so it only reads, tells events and marks.
 */
#include "upstream_impl.h"

#include "continuo/anthropic.h"
#include "continuo/clock.h"

#include <string.h>

/* ---- the head ---- */

static void keep_field(struct cn_attempt *at, struct cn_view name, struct cn_view value)
{
	static const struct {
		const char *name;
		size_t offset;
	} known[] = {
	    {"content-type", offsetof(struct cn_answer_head, content_type)},
	    {"content-encoding", offsetof(struct cn_answer_head, content_encoding)},
	    {"server", offsetof(struct cn_answer_head, server)},
	    {"cf-ray", offsetof(struct cn_answer_head, cf_ray)},
	    {"retry-after", offsetof(struct cn_answer_head, retry_after)},
	    {"retry-after-ms", offsetof(struct cn_answer_head, retry_after_ms)},
	    {"anthropic-ratelimit-unified-status",
	     offsetof(struct cn_answer_head, unified_status)},
	    {"anthropic-ratelimit-unified-reset",
	     offsetof(struct cn_answer_head, unified_reset)},
	    {"x-ratelimit-reset-requests",
	     offsetof(struct cn_answer_head, ratelimit_reset)},
	    {"x-ratelimit-reset-tokens", offsetof(struct cn_answer_head, ratelimit_reset)},
	    {"x-should-retry", offsetof(struct cn_answer_head, should_retry)},
	    {"request-id", offsetof(struct cn_answer_head, request_id)},
	    {"x-request-id", offsetof(struct cn_answer_head, request_id)},
	};

	at->fields[at->n_fields++] = (struct cn_upstream_field){name, value};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (cn_view_is(name, known[i].name))
			memcpy((char *)&at->answer + known[i].offset, &value,
			       sizeof(value));
}

static struct cn_view lower(struct cn_arena *a, struct cn_view name)
{
	char *p = cn_arena_dup(a, name);

	for (size_t i = 0; i < name.n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
	return cn_view(p, name.n);
}

/* The empty line: the head is whole. */
static void on_head_whole(struct cn_attempt *at)
{
	struct cn_field_list list = {at->fields, at->n_fields};

	if (at->answer.status < 200)
		return; /* 100 Continue and its kin: the real one follows */
	at->head_done = true;
	at->byte_ms = cn_clock_ms();
	if (at->answer.content_encoding.n &&
	    !cn_view_eq_nocase(at->answer.content_encoding, CN_VIEW("identity")))
		(void)cn_attempt__fail(at, CN_TP_ENCODED, NULL);
	else if (at->opts.owner.on_head)
		at->opts.owner.on_head(at->opts.owner.self, &list);
}

static void on_status_line(struct cn_attempt *at, struct cn_view line)
{
	size_t space = cn_view_find(line, CN_VIEW(" "), 0);
	uint64_t status = 0;

	at->answer = (struct cn_answer_head){0};
	at->n_fields = 0;
	if (!at->fields)
		at->fields =
		    cn_arena_zalloc(&at->arena, CN_HEAD_FIELDS * sizeof(*at->fields));
	if (space != SIZE_MAX)
		(void)cn_view_u64(cn_view_cut(cn_view_from(line, space + 1), 3), &status);
	at->answer.status = (int)status;
}

size_t cn_answer__on_header(char *p, size_t size, size_t n, void *self)
{
	struct cn_attempt *at = self;
	struct cn_view line = cn_view(p, size * n), name, value;

	at->head_bytes += line.n;
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (at->head_bytes > CN_HEAD_MAX || at->n_fields == CN_HEAD_FIELDS) {
		(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT,
		                       "the response head is too large");
		return 0;
	}
	if (cn_view_starts(line, CN_VIEW("HTTP/"))) {
		on_status_line(at, line);
	} else if (line.n == 0) {
		on_head_whole(at);
	} else if (at->fields && !at->head_done) {
		value = line;
		if (cn_view_split(&value, ':', &name))
			keep_field(at, lower(&at->arena, name),
			           cn_arena_view(&at->arena, cn_view_trim(value)));
	}
	return at->ending ? 0 : size * n;
}

/* ---- the body ---- */

static bool gather(struct cn_attempt *at, struct cn_view bytes, size_t limit)
{
	size_t room = at->body.n < limit ? limit - at->body.n : 0;

	if (bytes.n > room && at->kind != CN_ANSWER_ERROR)
		return !cn_attempt__fail(at, CN_TP_OUR_LIMIT, "the answer is too large");
	/* Of an error only the beginning is kept; the rest is read and forgotten. */
	bytes = cn_view_cut(bytes, room);
	if (!cn_charge_take(at->up->charge, bytes.n))
		return !cn_attempt__fail(at, CN_TP_OUR_LIMIT,
		                         "the memory budget is used up");
	at->charged += bytes.n;
	cn_buf_add_view(&at->body, bytes);
	return true;
}

/* Content longer than any answer of that many tokens could be. */
static bool within_ceiling(struct cn_attempt *at, const struct cn_event *ev)
{
	uint64_t most = at->opts.output_ceiling * 32; /* 8 times, at 4 bytes a token */

	at->content += ev->text.n;
	if (!at->opts.output_ceiling || at->content <= most || at->content <= 65536)
		return true;
	(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT, "more text than the model can write");
	return false;
}

static struct cn_answer_context context_of(const struct cn_attempt *at)
{
	return (struct cn_answer_context){
	    .own_body = at->opts.own_body,
	    .local = at->opts.backend->network == CN_NETWORK_PRIVATE,
	    .wall_ms = cn_clock_wall_ms(),
	};
}

/* One decoded event; false: the attempt is over. */
static bool tell(struct cn_attempt *at, const struct cn_event *ev)
{
	struct cn_answer_context ctx = context_of(at);
	const char *bad;

	if (ev->kind == CN_EV_PING || ev->kind == CN_EV_UNKNOWN)
		return true;
	at->event_seen = true;
	at->progress_ms = cn_clock_ms();
	if (ev->kind == CN_EV_ERROR) {
		at->outcome =
		    cn_classify_event(&at->arena, ev->error_type, ev->error_message, &ctx);
		(void)cn_attempt__mark(at, CN_ENDING_EVENT);
		return false;
	}
	if (!within_ceiling(at, ev))
		return false;
	at->delta_seen |= (ev->kind == CN_EV_BLOCK_DELTA && ev->text.n) ||
	                  (ev->kind == CN_EV_BLOCK_START && ev->block == CN_BLOCK_TOOL_USE);
	at->dirty = true;
	bad = at->opts.owner.on_event(at->opts.owner.self, ev);
	if (bad) {
		(void)cn_attempt__fail(at, CN_TP_MALFORMED, bad);
		return false;
	}
	if (ev->kind == CN_EV_MESSAGE_STOP)
		(void)cn_attempt__mark(at, CN_ENDING_STOPPED);
	return !at->ending;
}

bool cn_answer__on_sse(void *self, const struct cn_sse_event *sse)
{
	struct cn_attempt *at = self;
	struct cn_event ev;

	if (sse->comment || at->ending)
		return !at->ending;
	if (cn_anthropic_decode(&at->event_arena, sse->name, sse->data, &ev, NULL)) {
		(void)cn_attempt__fail(at, CN_TP_MALFORMED, "an event that cannot be read");
		return false;
	}
	return tell(at, &ev);
}

static void feed(struct cn_attempt *at, struct cn_view bytes)
{
	if (cn_sse_feed(&at->sse, bytes, cn_clock_ms(), NULL) && !at->ending)
		(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT,
		                       "events over a limit of the reader");
	/* What events pointed into was used in their callbacks. */
	cn_arena_done(&at->event_arena);
}

/* By what the body looks like; the content-type is known to lie. */
static enum cn_answer_kind kind_of(const struct cn_attempt *at, struct cn_view bytes)
{
	size_t i = 0;

	if (at->answer.status >= 300)
		return CN_ANSWER_ERROR;
	if (at->opts.raw)
		return CN_ANSWER_WHOLE;
	while (i < bytes.n && strchr(" \t\r\n", bytes.p[i]))
		i++;
	if (i == bytes.n)
		return cn_view_find_nocase(at->answer.content_type, CN_VIEW("json")) !=
		               SIZE_MAX
		           ? CN_ANSWER_UNKNOWN /* queued backends send empty lines first */
		           : CN_ANSWER_STREAM;
	return bytes.p[i] == '{' || bytes.p[i] == '[' || bytes.p[i] == '<'
	           ? CN_ANSWER_WHOLE
	           : CN_ANSWER_STREAM;
}

size_t cn_answer__on_body(char *p, size_t size, size_t n, void *self)
{
	struct cn_attempt *at = self;
	struct cn_view bytes = cn_view(p, size * n);

	/* Whatever comes behind the end is let through to keep the connection. */
	if (at->told || at->ending == CN_ENDING_STOPPED)
		return bytes.n;
	if (at->ending)
		return 0;
	if (at->want_pause) {
		at->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	at->byte_ms = cn_clock_ms();
	if (!at->first_byte_ms)
		at->first_byte_ms = at->byte_ms - at->started_ms;
	at->received += bytes.n;
	if (at->received > CN_ANSWER_MAX)
		(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT, "the answer is too large");
	else if (at->kind == CN_ANSWER_UNKNOWN)
		at->kind = kind_of(at, bytes);
	if (!at->ending) {
		switch (at->kind) {
		case CN_ANSWER_STREAM:
			feed(at, bytes);
			break;
		case CN_ANSWER_WHOLE:
			(void)gather(at, bytes, CN_ANSWER_MAX);
			break;
		case CN_ANSWER_ERROR:
			(void)gather(at, bytes, CN_ERROR_BODY_MAX);
			break;
		case CN_ANSWER_UNKNOWN:
			break;
		}
	}
	return at->ending && at->ending != CN_ENDING_STOPPED ? 0 : bytes.n;
}

/* ---- the end ---- */

static enum cn_transport transport_of(const struct cn_attempt *at, CURLcode code)
{
	bool head = at->head_done;

	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return CN_TP_RESOLVE;
	case CURLE_COULDNT_CONNECT:
		return at->forbidden ? CN_TP_FORBIDDEN_ADDRESS : CN_TP_REFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return CN_TP_CONNECT_TIMEOUT; /* the only time limit that curl itself keeps
		                               */
	case CURLE_SSL_CONNECT_ERROR:
		return CN_TP_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return CN_TP_CERTIFICATE;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_CONTENT_ENCODING:
		return head ? CN_TP_PARTIAL : CN_TP_MALFORMED;
	case CURLE_WRITE_ERROR:
		return CN_TP_OUR_LIMIT;
	default:
		return head ? CN_TP_PARTIAL : CN_TP_RESET;
	}
}

/* A stream that ended properly for HTTP: its last event may lack the blank line. */
static void stream_over(struct cn_attempt *at)
{
	feed(at, CN_VIEW("\n\n"));
	if (!at->ending)
		(void)cn_attempt__fail(at, at->event_seen ? CN_TP_NO_END : CN_TP_EMPTY,
		                       NULL);
}

void cn_answer__over(struct cn_attempt *at, CURLcode code)
{
	at->code = code;
	if (at->ending)
		return;
	/* A body over the limit of an error was cut by us, and all of it that counts is
	 * here. */
	if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && at->kind == CN_ANSWER_ERROR))
		(void)cn_attempt__fail(at, transport_of(at, code), NULL);
	else if (at->kind == CN_ANSWER_STREAM)
		stream_over(at);
	else
		(void)cn_attempt__mark(at, CN_ENDING_BODY);
}

static void tell_whole(void *self, const struct cn_event *ev)
{
	struct cn_attempt *at = self;

	if (!at->ending || at->ending == CN_ENDING_BODY)
		(void)tell(at, ev);
}

/* A body that came whole: a Message, an error in a 200, a page, or nothing. */
static struct cn_outcome judge_body(struct cn_attempt *at)
{
	struct cn_answer_context ctx = context_of(at);
	struct cn_view body = cn_buf_view(&at->body), type, message;

	if (at->answer.status < 200 || at->answer.status >= 300)
		return cn_classify_answer(&at->arena, &at->answer, body, &ctx);
	if (at->opts.raw) {
		if (at->opts.on_raw)
			at->opts.on_raw(at->opts.owner.self, body);
		return (struct cn_outcome){.class = CN_CLASS_OK};
	}
	if (body.n == 0)
		return cn_classify_transport(CN_TP_EMPTY, true, false, false);
	at->ending = CN_ENDING_NONE; /* the events of the body may decide anew */
	if (cn_anthropic_decode_message(&at->arena, body, tell_whole, at, NULL) == 0 &&
	    at->ending == CN_ENDING_STOPPED)
		return (struct cn_outcome){.class = CN_CLASS_OK};
	if (at->ending)
		return cn_answer__outcome(at);
	at->ending = CN_ENDING_BODY;
	if (cn_anthropic_error_read(&at->arena, body, &type, &message) ||
	    body.p[0] == '{' || body.p[0] == '<')
		return cn_classify_answer(&at->arena, &at->answer, body, &ctx);
	return cn_classify_transport(CN_TP_MALFORMED, true, false, false);
}

struct cn_outcome cn_answer__outcome(struct cn_attempt *at)
{
	struct cn_outcome o = {.class = CN_CLASS_OK};
	long connects = 1;

	if (at->easy)
		curl_easy_getinfo(at->easy, CURLINFO_NUM_CONNECTS, &connects);
	switch (at->ending) {
	case CN_ENDING_STOPPED:
		break;
	case CN_ENDING_EVENT:
		o = at->outcome;
		break;
	case CN_ENDING_TRANSPORT:
		o = cn_classify_transport(at->transport, at->head_done, at->delta_seen,
		                          connects == 0);
		if (at->reason)
			o.reason = at->reason;
		break;
	case CN_ENDING_BODY:
		o = judge_body(at);
		break;
	case CN_ENDING_NONE:
		cn_assert(!"an outcome before the end");
	}
	o.http_status = at->head_done ? at->answer.status : 0;
	o.head_seen = at->head_done;
	o.delta_seen = at->delta_seen;
	o.upstream_request = at->answer.request_id;
	if (at->kind == CN_ANSWER_ERROR || (o.class != CN_CLASS_OK && at->body.n)) {
		o.body = cn_view_cut(cn_buf_view(&at->body), CN_ERROR_BODY_MAX);
		o.content_type = at->answer.content_type;
	}
	return o;
}
