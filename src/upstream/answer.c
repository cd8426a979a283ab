/*
 * The body of a backend's answer as it comes, in one of the forms that answers take, and
 * how it ended.
 *
 * Runs inside libcurl's callbacks, so it only reads, tells events and marks; what a whole
 * body amounts to is verdict.c's.
 */
#include "upstream_impl.h"

#include <string.h>

#include "continuo/clock.h"

/* ---- what it makes us hold ---- */

bool cn_answer__charge(struct cn_attempt *at)
{
	size_t held = at->head_bytes + at->body.cap + at->sse.line.cap + at->sse.data.cap +
	              at->sse.name.cap + cn_decoder_held(at->decoder);

	if (held > at->charged && !cn_charge_take(at->up->charge, held - at->charged)) {
		(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT, "the memory budget is used up");
		return false;
	}
	if (held < at->charged)
		cn_charge_release(at->up->charge, at->charged - held);
	at->charged = held;
	return true;
}

static void gather(struct cn_attempt *at, struct cn_view bytes)
{
	/* A whole answer is bounded by what was received at all. */
	if (at->kind == CN_ANSWER_ERROR)
		bytes = cn_view_cut(bytes, CN_ERROR_BODY_MAX - at->body.n);
	cn_buf_add_view(&at->body, bytes);
	/* The rest of an error is not waited for. */
	if (at->kind == CN_ANSWER_ERROR && at->body.n == CN_ERROR_BODY_MAX)
		(void)cn_attempt__mark(at, CN_ENDING_BODY);
}

/* ---- events ---- */

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

static bool is_content(const struct cn_event *ev)
{
	if (ev->kind == CN_EV_BLOCK_DELTA)
		return ev->text.n > 0;
	if (ev->kind != CN_EV_BLOCK_START)
		return false;
	/* Text and thinking begin empty in a stream; any other block is something. */
	return ev->text.n > 0 ||
	       (ev->block != CN_BLOCK_TEXT && ev->block != CN_BLOCK_THINKING);
}

/* Of an error without a type of ours the whole text is judged, as if it came alone. */
static struct cn_outcome judge_error(struct cn_attempt *at, const struct cn_event *ev)
{
	struct cn_answer_context ctx = cn_verdict__context(at);

	if (ev->error_type.n == 0)
		return cn_classify_answer(&at->arena, &at->answer, ev->raw, &ctx);
	return cn_classify_event(&at->arena, ev->error_type, ev->error_message, &ctx);
}

bool cn_answer__on_event(void *self, const struct cn_event *ev)
{
	struct cn_attempt *at = self;
	const char *bad;

	if (at->ending || at->cancelled)
		return false;
	/* Neither is a sign of life: a backend that only repeats them has stalled. */
	if (ev->kind == CN_EV_PING || ev->kind == CN_EV_UNKNOWN)
		return true;
	at->progress_ms = cn_clock_ms();
	if (!at->event_seen) {
		at->event_seen = true;
		cn_deadline__arm(at);
	}
	if (ev->kind == CN_EV_ERROR) {
		at->outcome = judge_error(at, ev);
		(void)cn_attempt__mark(at, CN_ENDING_JUDGED);
		return false;
	}
	if (ev->kind == CN_EV_PROGRESS)
		return true;
	if (!within_ceiling(at, ev))
		return false;
	at->delta_seen |= is_content(ev);
	at->dirty = true;
	cn_upstream__due(at);
	bad = at->opts.owner.on_event(at->opts.owner.self, ev);
	if (at->cancelled)
		return false;
	if (bad)
		(void)cn_attempt__fail(at, CN_TP_MALFORMED, bad);
	else if (ev->kind == CN_EV_MESSAGE_STOP)
		(void)cn_attempt__mark(at, CN_ENDING_STOPPED);
	return !at->ending;
}

bool cn_answer__on_sse(void *self, const struct cn_sse_event *sse)
{
	struct cn_attempt *at = self;

	if (sse->comment)
		return true;
	if (cn_decoder_event(at->decoder, &at->event_arena, sse->name, sse->data, NULL)) {
		const char *wrong = cn_decoder_wrong(at->decoder);

		/* The last piece of a body that was cut is cut itself. */
		if (!at->done)
			(void)cn_attempt__fail(at, CN_TP_MALFORMED,
			                       wrong ? wrong
			                             : "an event that cannot be read");
		return false;
	}
	return !at->ending && !at->cancelled;
}

static void feed(struct cn_attempt *at, struct cn_view bytes)
{
	/* CN_E_INVALID: one of the above said stop, and why. */
	if (cn_sse_feed(&at->sse, bytes, cn_clock_ms(), NULL) == CN_E_LIMIT)
		(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT,
		                       "events over a limit of the reader");
	/* What events pointed into was used in their callbacks. */
	cn_arena_done(&at->event_arena);
}

/* ---- the body ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* By what the body looks like; the content-type is known to lie. */
static enum cn_answer_kind kind_of(const struct cn_attempt *at, struct cn_view bytes)
{
	size_t i = 0;

	if (at->answer.status >= 300)
		return CN_ANSWER_ERROR;
	if (at->opts.raw)
		return CN_ANSWER_WHOLE;
	/* Queued backends send empty lines first; they mean nothing in either form. */
	while (i < bytes.n && is_blank(bytes.p[i]))
		i++;
	if (i == bytes.n)
		return CN_ANSWER_UNKNOWN;
	return bytes.p[i] == '{' || bytes.p[i] == '[' || bytes.p[i] == '<'
	           ? CN_ANSWER_WHOLE
	           : CN_ANSWER_STREAM;
}

static void take(struct cn_attempt *at, struct cn_view bytes)
{
	at->byte_ms = cn_clock_ms();
	if (!at->first_byte_ms) {
		at->first_byte_ms = at->byte_ms - at->started_ms;
		at->first_byte_ms += !at->first_byte_ms;
	}
	at->received += bytes.n;
	if (at->received > CN_ANSWER_MAX) {
		(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT, "the answer is too large");
		return;
	}
	if (at->kind == CN_ANSWER_UNKNOWN) {
		at->kind = kind_of(at, bytes);
		cn_deadline__arm(at);
	}
	switch (at->kind) {
	case CN_ANSWER_UNKNOWN:
		return;
	case CN_ANSWER_STREAM:
		feed(at, bytes);
		break;
	case CN_ANSWER_WHOLE:
	case CN_ANSWER_ERROR:
		gather(at, bytes);
		break;
	}
	(void)cn_answer__charge(at);
}

size_t cn_answer__on_body(char *p, size_t size, size_t n, void *self)
{
	struct cn_attempt *at = self;
	size_t all = size * n;

	if (!cn_attempt__reads(at))
		return 0;
	/* Whatever comes behind the end is let through to keep the connection. */
	if (at->ending == CN_ENDING_STOPPED)
		return all;
	if (at->want_pause) {
		at->paused = true;
		at->paused_ms = cn_clock_ms();
		return CURL_WRITEFUNC_PAUSE;
	}
	if (at->head_done)
		take(at, cn_view(p, all));
	else /* a body behind a 101, say */
		(void)cn_attempt__fail(at, CN_TP_MALFORMED, "a body without a head");
	return cn_attempt__reads(at) ? all : 0;
}

/* ---- the end ---- */

static enum cn_transport transport_of(const struct cn_attempt *at, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return CN_TP_RESOLVE;
	case CURLE_COULDNT_CONNECT:
		return at->forbidden ? CN_TP_FORBIDDEN_ADDRESS : CN_TP_REFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		/* The only time limit that curl itself keeps. */
		return CN_TP_CONNECT_TIMEOUT;
	case CURLE_SSL_CONNECT_ERROR:
		return CN_TP_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CACERT_BADFILE:
		return CN_TP_CERTIFICATE;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL: /* how curl calls HTTP/0.9 */
		return CN_TP_MALFORMED;
	case CURLE_OUT_OF_MEMORY: /* ours never fails: a limit of curl's own */
		return CN_TP_OUR_LIMIT;
	default:
		if (!at->sent_ms)
			return CN_TP_REFUSED; /* by a proxy, or in the handshake */
		return at->head_bytes ? CN_TP_PARTIAL : CN_TP_RESET;
	}
}

/* An answer that lacks nothing but its terminal event is whole. */
static void ended_by_decoder(struct cn_attempt *at)
{
	if (at->kind != CN_ANSWER_STREAM || at->ending || at->cancelled)
		return;
	(void)cn_decoder_end(at->decoder, &at->event_arena);
	cn_arena_done(&at->event_arena);
}

void cn_answer__over(struct cn_attempt *at, CURLcode code)
{
	bool error = at->head_done && at->answer.status >= 300;

	if (at->ending || at->cancelled)
		return;
	/* The status of an error was an answer already, however its text ended. */
	if (!error && (code != CURLE_OK || !at->head_done)) {
		ended_by_decoder(at);
		(void)cn_attempt__fail(at, transport_of(at, code), NULL);
		return;
	}
	if (error || at->kind == CN_ANSWER_WHOLE || at->opts.raw) {
		(void)cn_attempt__mark(at, CN_ENDING_BODY);
		return;
	}
	/* It ended properly for HTTP: the last event may lack its blank line. */
	feed(at, CN_VIEW("\n\n"));
	ended_by_decoder(at);
	(void)cn_attempt__fail(at, at->event_seen ? CN_TP_NO_END : CN_TP_EMPTY, NULL);
}
