/*
 * What an attempt amounts to: a body that came whole is read, and the ending becomes the
 * one outcome that the owner gets.
 *
 * Runs in the drain step, at top level: a whole answer tells all its events in one go.
 * Classes are route's; here only transport, head and body are put together.
 */
#include "upstream_impl.h"

#include "continuo/clock.h"

struct cn_answer_context cn_verdict__context(const struct cn_attempt *at)
{
	return (struct cn_answer_context){
	    .own_body = at->opts.own_body,
	    .local = at->opts.backend->network == CN_NETWORK_PRIVATE,
	    .wall_ms = cn_clock_wall_ms(),
	};
}

static void judge(struct cn_attempt *at, struct cn_view body)
{
	struct cn_answer_context ctx = cn_verdict__context(at);

	at->outcome = cn_classify_answer(&at->arena, &at->answer, body, &ctx);
	(void)cn_attempt__mark(at, CN_ENDING_JUDGED);
}

static void read_raw(struct cn_attempt *at, struct cn_view body)
{
	if (at->opts.on_raw)
		at->opts.on_raw(at->opts.owner.self, body);
	if (at->cancelled)
		return;
	at->outcome = (struct cn_outcome){.class = CN_CLASS_OK};
	(void)cn_attempt__mark(at, CN_ENDING_JUDGED);
}

void cn_verdict__read_body(struct cn_attempt *at)
{
	struct cn_view body = cn_buf_view(&at->body);
	const char *wrong;
	int bad;

	at->ending = CN_ENDING_NONE; /* what the body says decides */
	if (at->answer.status >= 300) {
		judge(at, body);
		return;
	}
	if (at->opts.raw) {
		read_raw(at, body);
		return;
	}
	bad = cn_decoder_whole(at->decoder, &at->arena, body, NULL);
	wrong = cn_decoder_wrong(at->decoder);
	if (at->ending || at->cancelled)
		return;
	/* An answer whose later blocks cannot be read has told its first ones already. */
	if (bad && at->event_seen)
		(void)cn_attempt__fail(at, CN_TP_MALFORMED,
		                       wrong ? wrong : "a Message that cannot be read");
	else
		judge(at, body); /* an error in a 200, a page, something else */
}

static bool was_reused(const struct cn_attempt *at)
{
	long connects = 1;

	/* None was made, and yet there was one. */
	curl_easy_getinfo(at->easy, CURLINFO_NUM_CONNECTS, &connects);
	return at->sent_ms && connects == 0;
}

struct cn_outcome cn_verdict__outcome(struct cn_attempt *at)
{
	struct cn_outcome o = {.class = CN_CLASS_OK};

	switch (at->ending) {
	case CN_ENDING_STOPPED:
		break;
	case CN_ENDING_JUDGED:
		o = at->outcome;
		break;
	case CN_ENDING_TRANSPORT:
		o = cn_classify_transport(at->transport, at->head_done, at->delta_seen,
		                          was_reused(at));
		if (at->reason)
			o.reason = at->reason;
		break;
	case CN_ENDING_BODY:
	case CN_ENDING_NONE:
		cn_assert(at->ending == CN_ENDING_STOPPED); /* no outcome before the end */
	}
	o.http_status = at->head_done ? at->answer.status : 0;
	o.head_seen = at->head_done;
	o.delta_seen = at->delta_seen;
	o.upstream_request = at->answer.request_id;
	if (o.class != CN_CLASS_OK && at->body.n) {
		o.body = cn_view_cut(cn_buf_view(&at->body), CN_ERROR_BODY_MAX);
		o.content_type = at->answer.content_type;
	}
	return o;
}
