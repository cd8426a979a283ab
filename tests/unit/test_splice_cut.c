/*
 * If this fails, a client loses words, gets them twice or gets a call twice when a model
 * breaks off.
 *
 * Recorded answers and answers made from a seed are cut at every byte, in each way that a
 * stream fails, and gone on with by up to three more models, in each mode and in each way
 * that models answer.  What turn.c decides is decided here as it does.
 *
 * CONTINUO_CASES=N    how many cases (20 million visit every recorded byte in every way)
 * CONTINUO_CASE=N     only that one, told in full; also: test_splice_cut --case N
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "../lib/client_eye.h"
#include "../lib/stub_model.h"

#include "continuo/anthropic.h"
#include "continuo/hash.h"
#include "continuo/sse.h"

#define CASES_DEFAULT 3000
#define ATTEMPTS_MAX  4
#define NOW_MS        1000
#define LARGE         ((size_t)48 << 10) /* of a recording: cut at every 61st byte */

static bool told_in_full; /* one case was asked for */

/* What was met: a test that never comes to something does not show it. */
static size_t continued[3][STUB_N_WAYS]; /* by enum cn_resume */
static size_t ended[4];                  /* by enum end */

/* ---- recordings ---- */

struct recording {
	char *name;           /* owned */
	struct cn_buf bytes;  /* owned */
	struct cn_buf tools;  /* owned: declarations of what it calls */
	struct answer answer; /* in arena */
	struct cn_arena arena;
	size_t first, n_cuts; /* of all cuts */
	bool odd;             /* two messages in one */
};

static struct recording *recordings[100]; /* owned */
static size_t n_recordings, n_recorded_cuts;

static void recording_read(const char *shared, yyjson_val *entry)
{
	const char *file = yyjson_get_str(yyjson_obj_get(entry, "file"));
	struct recording *r;
	char path[900];
	size_t n;
	FILE *in;

	if (!file || strncmp(file, "anthropic-messages/", 19) != 0 || !strstr(file, ".sse"))
		return;
	snprintf(path, sizeof(path), "%s/fixtures/%s", shared, file);
	in = fopen(path, "rb");
	assert_non_null(in);
	assert_in_range(n_recordings, 0, 99);
	r = cn_zalloc(sizeof(*r));
	r->name = strdup(file);
	while ((n = fread(cn_buf_reserve(&r->bytes, 65536), 1, 65536, in)) > 0)
		r->bytes.n += n;
	fclose(in);
	answer_read(&r->arena, cn_buf_view(&r->bytes), &r->answer, &r->tools);
	/* The expectations merge two messages; we end with the first. */
	r->odd = yyjson_obj_get(entry, "note") != NULL;
	r->first = n_recorded_cuts;
	r->n_cuts = r->bytes.n > LARGE ? r->bytes.n / 61 : r->bytes.n + 1;
	n_recorded_cuts += r->n_cuts;
	recordings[n_recordings++] = r;
}

static int read_recordings(void **state)
{
	const char *given = getenv("CONTINUO_SHARED"), *shared = given ? given : "";
	char path[900];
	yyjson_doc *doc;
	yyjson_val *entry;
	size_t i, max;

	(void)state;
	snprintf(path, sizeof(path), "%s/fixtures/index.json", shared);
	doc = yyjson_read_file(path, 0, NULL, NULL);
	if (!doc) {
		print_message("no recordings here: made answers only\n");
		return 0;
	}
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, entry)
	    recording_read(shared, entry);
	yyjson_doc_free(doc);
	return 0;
}

static int free_recordings(void **state)
{
	(void)state;
	while (n_recordings) {
		struct recording *r = recordings[--n_recordings];

		cn_buf_done(&r->bytes);
		cn_buf_done(&r->tools);
		cn_arena_done(&r->arena);
		free(r->name);
		free(r);
	}
	return 0;
}

/* ---- one case ---- */

enum fault {
	FIN,     /* a proper end of the body: the last event's blank line may be missing */
	RST,     /* nothing more */
	STALL,   /* nothing more, and a timer of ours */
	ERROR,   /* an error event */
	GARBAGE, /* bytes that are no events */
	N_FAULTS,
};

static const char *const fault_names[] = {"FIN", "RST", "STALL", "ERROR", "GARBAGE"};

enum end {
	NOTHING, /* no model got as far as the commit */
	FINISHED,
	WITH_CALL,
	FAILED,
};

struct play {
	uint64_t number;
	struct dice dice;
	struct cn_arena arena;
	struct cn_charge charge;
	struct cn_author authors[ATTEMPTS_MAX];
	struct cn_splice *splice; /* owned */
	struct cn_buf told;       /* owned: what the client has got */
	struct cn_buf log;        /* owned: what happened, for who must mend it */
	bool bytewise;
	size_t n_attempts;

	/* of the running attempt */
	struct stub_reply reply;
	struct cn_buf given;        /* owned: the text before it */
	const struct answer *asked; /* in arena: what it was to go on with */
	bool stopped;               /* its message_stop was seen */
	bool deliverable;           /* some attempt had an end of its own */
	enum end end;
	const char *wrong; /* the first thing that is */
};

static void complain(struct play *p, const char *what)
{
	if (!p->wrong)
		p->wrong = what;
}

static bool on_event(void *self, const struct cn_sse_event *sse)
{
	struct play *p = self;
	struct cn_splice *s = p->splice;
	struct cn_event ev;

	if (sse->comment)
		return true;
	if (cn_anthropic_decode(&p->arena, sse->name, sse->data, &ev, NULL))
		return false;
	if (ev.kind == CN_EV_PING || ev.kind == CN_EV_UNKNOWN)
		return true;
	if (ev.kind == CN_EV_ERROR || cn_splice_feed(s, &ev, NOW_MS))
		return false;
	if (!cn_splice_committed(s) && cn_splice_proved(s, NOW_MS))
		cn_splice_commit(s);
	p->stopped = ev.kind == CN_EV_MESSAGE_STOP;
	return !p->stopped;
}

static void flush(struct play *p)
{
	struct cn_buf *out = cn_splice_out(p->splice);

	cn_buf_add_view(&p->told, cn_buf_view(out));
	cn_buf_clear(out);
}

static void add_fault(struct play *p, enum fault fault, struct cn_buf *b)
{
	static const char *const garbage[] = {
	    "\xff\xfe{{{\n\n",
	    "data: {\n\ndata: }\n\n",
	    "event: content_block_delta\ndata: null\n\n",
	    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":77,"
	    "\"delta\":{\"type\":\"text_delta\",\"text\":\"no\"}}\n\n",
	    "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>",
	    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"x\"}}"
	    "\n\n",
	    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3}\n\n",
	};

	switch (fault) {
	case FIN:
		cn_buf_add_str(b, "\n\n");
		break;
	case RST:
	case STALL:
		break;
	case ERROR:
		if (dice_percent(&p->dice, 50))
			cn_buf_add_str(b, "\n\n");
		cn_buf_add_str(
		    b, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
		       "\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n");
		break;
	case GARBAGE:
		cn_buf_add_str(
		    b, garbage[dice_below(&p->dice, sizeof(garbage) / sizeof(garbage[0]))]);
		break;
	case N_FAULTS:
		break;
	}
}

/* The stream reaches us, all at once or in pieces, cut and broken or not. */
static void receive(struct play *p, struct cn_view bytes)
{
	struct dice d = {p->number};
	struct cn_sse sse;

	cn_sse_init(&sse, on_event, p);
	p->stopped = false;
	while (bytes.n) {
		size_t n = !p->bytewise      ? bytes.n
		           : bytes.n > 20000 ? 1 + dice_below(&d, 1000)
		                             : 1;

		if (cn_sse_feed(&sse, cn_view_cut(bytes, n), NOW_MS, NULL))
			break;
		flush(p);
		bytes = cn_view_from(bytes, n);
	}
	flush(p);
	cn_sse_done(&sse);
}

/* ---- what must be true after each attempt ---- */

/* Both from a little before the first byte that differs. */
static void note_texts(struct play *p, struct cn_view has, struct cn_view want)
{
	size_t same = 0;

	while (same < has.n && same < want.n && has.p[same] == want.p[same])
		same++;
	same = same > 200 ? same - 200 : 0;
	has = cn_view_cut(cn_view_from(has, same), 500);
	want = cn_view_cut(cn_view_from(want, same), 500);
	cn_buf_printf(&p->log, "given %zu bytes; from %zu on\n has ", p->given.n, same);
	cn_json_add_string(&p->log, has);
	cn_buf_add_str(&p->log, "\nwant ");
	cn_json_add_string(&p->log, want);
	cn_buf_add_char(&p->log, '\n');
}

static void check_text(struct play *p)
{
	CN_AUTO(cn_buf) text = {0}, want = {0};
	bool whole = cn_splice_fate(p->splice) == CN_FATE_END;

	cn_splice_text(p->splice, &text);
	answer_text(&p->reply.whole, &want);
	note_texts(p, cn_buf_view(&text), cn_buf_view(&want));
	if (!cn_view_starts(cn_buf_view(&text), cn_buf_view(&p->given)))
		complain(p, "what the client had was changed");
	if (!p->reply.exact)
		return;
	if (!cn_view_starts(cn_buf_view(&want), cn_buf_view(&text)))
		complain(p, "text is lost, repeated or of nobody's");
	else if (whole && text.n != want.n)
		complain(p, "the end of the text is missing");
}

/* Calls that the client has are the last attempt's, from its first on. */
static void check_calls(struct play *p, const struct client_eye *c)
{
	const struct answer *said = &p->reply.said;
	size_t k = 0;

	for (size_t i = 0; i < said->n && k < c->n_calls; i++) {
		const struct answer_part *part = &said->parts[i];
		const struct client_call *call = &c->calls[k];

		if (part->type != CN_BLOCK_TOOL_USE)
			continue;
		k++;
		if (!cn_view_eq(part->name, call->name) ||
		    (call->whole && !cn_view_eq(part->body, call->input)))
			complain(p, "a call that the model did not make");
		if (!call->whole && p->end != FAILED)
			complain(p, "a call that is not whole");
	}
	if (k < c->n_calls)
		complain(p, "more calls than the model made");
	for (size_t i = 0; i < c->n_calls; i++)
		if (cn_view_is(c->calls[i].id, "call_0"))
			complain(p, "an id that the conversation had already");
	if (p->end == WITH_CALL && c->n_calls == 0)
		complain(p, "tool_use without a call");
}

static void check_end(struct play *p, struct client_eye *c)
{
	struct cn_usage total = cn_splice_total(p->splice);
	CN_AUTO(cn_buf) text = {0};

	ended[p->end]++;
	client_eye_read(c, cn_buf_view(&p->told));
	cn_splice_text(p->splice, &text);
	if (c->wrong)
		complain(p, c->wrong);
	if (!cn_view_eq(cn_buf_view(&c->text), cn_buf_view(&text)))
		complain(p, "the ledger is not what the client has");
	check_calls(p, c);
	switch (p->end) {
	case NOTHING:
		if (p->told.n)
			complain(p, "bytes of an answer that was not begun");
		return;
	case FAILED:
		if (!c->error ||
		    (p->deliverable && cn_splice_fate(p->splice) == CN_FATE_CONTINUE))
			complain(p, "not the end that it must have: an error");
		return;
	case FINISHED:
	case WITH_CALL:
		break;
	}
	if (!c->stopped)
		complain(p, "no message_stop");
	if (c->n_calls && cn_view_is(c->stop_reason, "end_turn"))
		complain(p, "end_turn behind a call");
	if (p->end == WITH_CALL && !cn_view_is(c->stop_reason, "tool_use"))
		complain(p, "a call without tool_use");
	if (c->output != total.output || c->output < cn_splice_usage(p->splice)->output ||
	    c->output < cn_splice_spent(p->splice))
		complain(p, "output tokens do not add up");
}

/* ---- what turn.c decides ---- */

/* The bytes of the attempt as they would be without a fault. */
static void make_stream(struct play *p, const struct recording *r, struct cn_buf *b)
{
	if (r)
		cn_buf_add_view(b, cn_buf_view(&r->bytes));
	else
		answer_write(&p->reply.said, &p->dice, b);
}

/* Of the text blocks given. */
struct texts {
	bool closed; /* the last one is */
	bool blank;  /* some are nothing but white space */
};

static void on_block(void *self, const struct cn_block *block)
{
	struct texts *t = self;

	if (block->type != CN_BLOCK_TEXT || block->body.n == 0)
		return;
	t->closed = block->whole;
	t->blank |= cn_joint_trim(cn_buf_view(&block->body)).n == 0;
}

/* What the partial answer that is sent says must be what the client has. */
static void check_partial(struct play *p, struct cn_view partial, bool blank)
{
	CN_AUTO(cn_buf) text = {0};

	if (cn_json_check(partial, NULL))
		complain(p, "the partial answer is no JSON");
	for (struct cn_json_iter it = cn_json_iter(cn_json_root(partial));
	     cn_json_next(&it);) {
		struct cn_view said =
		    cn_json_text(&p->arena, cn_json_get(it.value, "text"));

		if (cn_joint_trim(said).n == 0)
			complain(p, "an empty text in the partial answer");
		if (text.n)
			cn_buf_add_str(&text, "\n\n");
		cn_buf_add_view(&text, said);
	}
	if (cn_joint_trim(cn_buf_view(&text)).n != text.n)
		complain(p, "white space at the end of the partial answer");
	/* Texts of white space alone are left out. */
	if (!blank &&
	    !cn_view_eq(cn_joint_trim(cn_buf_view(&p->given)), cn_buf_view(&text)))
		complain(p, "the partial answer is not what the client has");
}

static const struct answer *whole_of(struct play *p)
{
	struct answer *whole = cn_arena_new(&p->arena, struct answer);

	*whole = p->reply.whole;
	return whole;
}

/* Nobody knows what it was to be: it goes on in some way. */
static const struct answer *more_of(struct play *p, struct cn_view given, bool closed)
{
	struct answer *whole = cn_arena_new(&p->arena, struct answer);
	struct cn_view more = answer_make_more(&p->arena, &p->dice);

	if (closed)
		answer_add(whole, CN_BLOCK_TEXT)->body = given;
	answer_add(whole, CN_BLOCK_TEXT)->body =
	    closed ? more
		   : cn_view_str(cn_arena_printf(&p->arena, "%.*s%.*s", CN_VIEW_ARG(given),
	                                         CN_VIEW_ARG(more)));
	return whole;
}

/* Somebody is asked to go on; false: the memory budget does not allow it. */
static bool ask(struct play *p, size_t k)
{
	struct stub_question q = {
	    .how = (enum cn_resume)dice_below(&p->dice, 3),
	    .way = (enum stub_way)dice_below(&p->dice, STUB_N_WAYS),
	};
	const struct answer *whole;
	CN_AUTO(cn_buf) partial = {0}, all = {0};
	struct texts texts = {0};

	cn_splice_text(p->splice, &all);
	/* One that gave nothing is nothing to go on from. */
	whole = p->asked && all.n == p->given.n ? p->asked : whole_of(p);
	cn_buf_clear(&p->given);
	cn_buf_add_view(&p->given, cn_buf_view(&all));
	cn_buf_clear(&all);
	cn_splice_partial(p->splice, &partial);
	cn_splice_blocks(p->splice, on_block, &texts);
	check_partial(p, cn_buf_view(&partial), texts.blank);
	q.closed = texts.closed;
	q.given = cn_arena_view(&p->arena, cn_buf_view(&p->given));
	q.anchor = cn_joint_anchor(q.given);
	q.asked = partial.n > 2;
	answer_text(whole, &all);
	if (!cn_view_starts(cn_buf_view(&all), q.given))
		whole = more_of(p, q.given, q.closed);
	p->asked = q.whole = whole;
	stub_reply(&p->arena, &p->dice, &q, &p->reply);
	continued[q.how][q.way]++;
	cn_buf_printf(&p->log, "-- attempt %zu: how %d, %s, %s\n", k, (int)q.how,
	              stub_way_name(q.way), q.closed ? "closed" : "open");
	return cn_splice_continue(p->splice, &p->authors[k], q.how);
}

/* An answer that ended and is not taken for one: empty, weak or cut by a ceiling. */
static bool judged(struct play *p)
{
	if (!cn_splice_may_go_on(p->splice))
		return false;
	if (cn_splice_empty(p->splice))
		return dice_percent(&p->dice, 50);
	return dice_percent(&p->dice, 4);
}

static void end_lost(struct play *p)
{
	if (cn_splice_fate(p->splice) == CN_FATE_TOOL_USE) {
		p->end = WITH_CALL;
		cn_splice_finish_tool_use(p->splice);
	} else if (cn_splice_deliverable(p->splice)) {
		p->end = FINISHED;
		cn_splice_deliver(p->splice);
		cn_splice_finish(p->splice);
	} else {
		p->end = FAILED;
		cn_splice_fail(p->splice, CN_VIEW("overloaded_error"), CN_VIEW("no more"),
		               CN_VIEW("req_x"));
	}
}

/* One attempt; true: the turn is over. */
static bool attempt(struct play *p, size_t k, struct cn_view bytes)
{
	bool last = k + 1 == p->n_attempts;
	enum cn_fate fate;

	receive(p, bytes);
	if (!cn_splice_committed(p->splice)) {
		if (!cn_splice_ended(p->splice) || (!last && cn_splice_empty(p->splice))) {
			cn_splice_drop(p->splice);
			return false;
		}
		cn_splice_commit(p->splice);
	}
	check_text(p);
	fate = cn_splice_fate(p->splice);
	p->deliverable |= fate == CN_FATE_END;
	if (fate == CN_FATE_CONTINUE || (fate == CN_FATE_END && !last && judged(p)))
		return false;
	if (fate == CN_FATE_END) {
		p->end = FINISHED;
		cn_splice_finish(p->splice);
	} else {
		end_lost(p);
	}
	return true;
}

/* The whole turn; the cut of the first stream is the case's, others are chance. */
static void run(struct play *p, const struct recording *r, size_t cut, bool cuts)
{
	CN_AUTO(cn_buf) stream = {0};
	enum fault fault;
	size_t k;

	for (k = 0; k < p->n_attempts; k++) {
		bool again = k && cn_splice_committed(p->splice);

		if (again && !ask(p, k))
			continue;
		if (!again)
			cn_splice_begin(p->splice, &p->authors[k]);
		cn_buf_clear(&stream);
		make_stream(p, again ? NULL : r, &stream);
		fault = (enum fault)dice_below(&p->dice, N_FAULTS);
		if (k)
			cut = dice_below(&p->dice, stream.n + 1);
		else if (!r)
			cut = cut * (stream.n + 1) / 256 +
			      dice_below(&p->dice, stream.n / 256 + 1);
		if (k ? dice_percent(&p->dice, 45) : cuts) {
			cn_buf_truncate(&stream, cut);
			add_fault(p, fault, &stream);
			cn_buf_printf(&p->log, "%s at %zu\n", fault_names[fault], cut);
		}
		if (told_in_full)
			cn_buf_printf(&p->log, "%.*s\n", CN_VIEW_ARG(cn_buf_view(&stream)));
		if (attempt(p, k, cn_buf_view(&stream)))
			break;
	}
	if (k == p->n_attempts && cn_splice_committed(p->splice))
		end_lost(p);
	flush(p);
}

/* ---- cases ---- */

static uint64_t mixed(uint64_t n)
{
	struct dice d = {n};

	return dice_next(&d);
}

/* The recording and the byte of a case: every pair is met once in n_recorded_cuts cases. */
static const struct recording *recorded_cut(uint64_t n, size_t *retcut)
{
	/* A prime that no sum of sizes has: the order is mixed. */
	size_t at = (size_t)(n * UINT64_C(1000003) % n_recorded_cuts);

	for (size_t i = 0; i < n_recordings; i++) {
		const struct recording *r = recordings[i];

		if (at - r->first >= r->n_cuts)
			continue;
		at -= r->first;
		*retcut = r->bytes.n > LARGE ? at * 61 + mixed(n) % 61 : at;
		return r;
	}
	cn_never("a cut of no recording");
}

/* Plays the case; what the client saw is left in *c. */
static void play_case(struct play *p, struct client_eye *c)
{
	bool recorded = n_recordings && p->number % 2 == 0;
	const struct recording *r = NULL;
	struct cn_splice_opts opts = {.message_id = CN_VIEW("msg_ours"),
	                              .model = CN_VIEW("claude-asked"),
	                              .messages = CN_VIEW("[{\"id\":\"call_0\"}]"),
	                              .charge = &p->charge};
	/* Answers of one seed are cut at 256 places, each its own case. */
	size_t cut = p->number / 2 % 256;
	CN_AUTO(cn_buf) tools = {0};

	p->dice = (struct dice){mixed(p->number / 512)};
	if (recorded) {
		r = recorded_cut(p->number / 2, &cut);
		p->reply = (struct stub_reply){.said = r->answer, .exact = !r->odd};
	} else {
		p->reply.exact = true;
		answer_make(&p->arena, &p->dice, &p->reply.said);
	}
	p->reply.whole = p->reply.said;
	p->dice = (struct dice){mixed(p->number)};
	p->n_attempts = 1 + dice_below(&p->dice, ATTEMPTS_MAX);
	cn_buf_add_str(&tools, "[" ANSWER_TOOLS);
	if (r)
		cn_buf_add_view(&tools, cn_buf_view(&r->tools));
	cn_buf_add_char(&tools, ']');
	opts.tools = cn_json_root(cn_buf_view(&tools));
	opts.tool_calls_live = dice_percent(&p->dice, 10);
	opts.model_answered = dice_percent(&p->dice, 10);
	opts.hold_thinking_ms = dice_percent(&p->dice, 40) ? 0 : 20000;
	p->charge.limit = dice_percent(&p->dice, 3) ? 1000 + dice_below(&p->dice, 200000)
	                                            : (size_t)1 << 30;
	for (size_t i = 0; i < ATTEMPTS_MAX; i++)
		p->authors[i] = (struct cn_author){"a/m", "a#k/m", 0};
	p->splice = cn_splice_new(&opts);
	run(p, r, cut, dice_percent(&p->dice, 97));
	check_end(p, c);
	p->splice = cn_splice_free(p->splice);
	if (p->charge.used)
		complain(p, "memory stays charged");
}

static void play_done(struct play *p)
{
	cn_arena_done(&p->arena);
	cn_buf_done(&p->told);
	cn_buf_done(&p->log);
	cn_buf_done(&p->given);
}

/* Plays it in one go and byte by byte; what is wrong, or NULL. */
static const char *case_is_wrong(uint64_t number)
{
	struct play *p[2];
	struct client_eye c[2] = {0};
	const char *wrong;

	for (size_t i = 0; i < 2; i++) {
		p[i] = cn_zalloc(sizeof(*p[i]));
		p[i]->number = number;
		p[i]->bytewise = i;
		play_case(p[i], &c[i]);
	}
	if (p[0]->end != p[1]->end || c[0].output != c[1].output ||
	    !cn_view_eq(c[0].stop_reason, c[1].stop_reason) ||
	    !cn_view_eq(cn_buf_view(&c[0].blocks), cn_buf_view(&c[1].blocks)))
		complain(p[1], "byte by byte it is another answer");
	wrong = p[0]->wrong ? p[0]->wrong : p[1]->wrong;
	/* More than cmocka prints at once. */
	if (told_in_full)
		printf("%s\n%s\nclient:\n%s\n", cn_buf_cstr(&p[0]->log),
		       wrong ? wrong : "nothing wrong", cn_buf_cstr(&p[0]->told));
	for (size_t i = 0; i < 2; i++) {
		client_eye_done(&c[i]);
		play_done(p[i]);
		free(p[i]);
	}
	return wrong;
}

static void an_answer_is_whole_wherever_it_is_cut(void **state)
{
	const char *one = getenv("CONTINUO_CASE"), *many = getenv("CONTINUO_CASES");
	uint64_t first = one ? strtoull(one, NULL, 10) : 0;
	uint64_t n = one ? 1 : many ? strtoull(many, NULL, 10) : CASES_DEFAULT;
	size_t failures = 0;

	(void)state;
	told_in_full = one != NULL;
	/* A sample is one over all: what it leaves out is evenly spread. */
	for (uint64_t i = first; i < first + n && failures < 20; i++) {
		const char *wrong = case_is_wrong(i);

		if (!wrong)
			continue;
		failures++;
		print_error("case %llu: %s (CONTINUO_CASE=%llu tells it in full)\n",
		            (unsigned long long)i, wrong, (unsigned long long)i);
	}
	print_message(
	    "%llu cases: %zu ended as they were, %zu with a call, %zu with an error, "
	    "%zu not begun\n",
	    (unsigned long long)n, ended[FINISHED] / 2, ended[WITH_CALL] / 2,
	    ended[FAILED] / 2, ended[NOTHING] / 2);
	assert_int_equal(failures, 0);
	for (size_t how = 0; how < 3 && n >= CASES_DEFAULT; how++)
		for (size_t way = 0; way < STUB_N_WAYS; way++)
			assert_int_not_equal(continued[how][way], 0);
	for (size_t i = 0; i < 4 && n >= CASES_DEFAULT; i++)
		assert_int_not_equal(ended[i], 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_answer_is_whole_wherever_it_is_cut),
	};

	if (argc == 3 && strcmp(argv[1], "--case") == 0)
		setenv("CONTINUO_CASE", argv[2], 1);
	cn_hash_setup();
	return cmocka_run_group_tests(tests, read_recordings, free_recordings);
}
