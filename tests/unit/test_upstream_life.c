/*
 * Attempts cancelled, failed, paused and started from everywhere, and connections that are
 * used again.  If this fails, memory is used after it was freed, somebody is told twice or
 * never, or a backend's pace is not held back.
 */
#include "upstream_client.h"

#define R                        \
	{                        \
		REQUEST, NULL, 0 \
	}
#define S(text)               \
	{                     \
		SEND, text, 0 \
	}
#define E                    \
	{                    \
		END, NULL, 0 \
	}
#define Z                        \
	{                        \
		SILENCE, NULL, 0 \
	}
#define MESSAGE                                                                           \
	"HTTP/1.1 200 OK\r\n\r\n{\"role\":\"assistant\",\"content\":[{\"type\":\"text\"," \
	"\"text\":\"Hello\"}],\"stop_reason\":\"end_turn\"}"

static const struct step hello[] = {R, S(HELLO), {AGAIN, NULL, 0}};

/* ---- cancelling ---- */

/* The attempts that a callback ends; set by the test before it starts. */
static struct {
	struct ear *victim;
	unsigned nth; /* at which call of on_nth */
	bool fail;    /* instead of cancelling */
} order;

static void end_victim(struct ear *e, unsigned n)
{
	(void)e;
	if (n != order.nth || !order.victim || !order.victim->at)
		return;
	if (order.fail)
		cn_attempt_fail(order.victim->at, CN_TP_SLEEP);
	else
		order.victim->at = cn_attempt_cancel(order.victim->at);
}

static void end_victim_at_end(struct ear *e)
{
	(void)e;
	if (order.victim && order.victim->at)
		order.victim->at = cn_attempt_cancel(order.victim->at);
}

/* 0: the head; 1 to 6: events; these two: on_idle and on_raw. */
#define AT_IDLE UINT32_MAX
#define AT_RAW  (UINT32_MAX - 1)

static void an_owner_cancels_itself_in_every_callback(void **state)
{
	static const struct {
		struct step steps[4];
		bool raw;
		unsigned nth;
	} cases[] = {
	    {{R, S(HELLO), Z}, false, 0},       {{R, S(HELLO), Z}, false, 1},
	    {{R, S(HELLO), Z}, false, 3},       {{R, S(HELLO), Z}, false, 6},
	    {{R, S(HELLO), Z}, false, AT_IDLE}, {{R, S(MESSAGE), E}, false, 0},
	    {{R, S(MESSAGE), E}, false, 1},     {{R, S(MESSAGE), E}, false, 2},
	    {{R, S(MESSAGE), E}, false, 5},     {{R, S(MESSAGE), E}, false, AT_IDLE},
	    {{R, S(MESSAGE), E}, true, AT_RAW}, {{R, S(MESSAGE), E}, true, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server *s = server_new(cases[i].steps);
		struct client *c = client_new(s->port);
		struct ear e = {.on_nth = end_victim};

		order.victim = &e;
		order.nth = cases[i].nth;
		order.fail = false;
		c->opts.raw = cases[i].raw;
		client_start(c, &e);
		WAIT_FOR(c, !e.at);
		client_settle(c);
		if (e.n_ends || (cases[i].nth < 7 && e.n_events > cases[i].nth))
			fail_msg("case %zu: %u ends, %u events after a cancel at %u", i,
			         e.n_ends, e.n_events, cases[i].nth);
		client_free(c);
		server_free(s);
		ear_done(&e);
	}
}

static void an_owner_fails_itself_in_every_callback(void **state)
{
	(void)state;
	for (unsigned nth = 0; nth <= 6; nth++) {
		struct server *s = server_new(hello);
		struct client *c = client_new(s->port);
		struct ear e = {.on_nth = end_victim};

		order.victim = &e;
		order.nth = nth;
		order.fail = true;
		client_run(c, &e);
		assert_int_equal(e.outcome.class, CN_CLASS_TRUNCATED_STREAM);
		assert_string_equal(e.outcome.reason, "the machine slept");
		assert_true(e.outcome.no_cooldown);
		assert_int_equal(e.n_events, nth);
		client_free(c);
		server_free(s);
		ear_done(&e);
	}
}

/* The one that is cancelled may be the next in the step that is under way. */
static void an_owner_cancels_others_in_every_callback(void **state)
{
	static const unsigned nths[] = {0, 1, 6, AT_IDLE};

	(void)state;
	for (size_t i = 0; i <= sizeof(nths) / sizeof(nths[0]); i++) {
		struct server *s = server_new(hello);
		struct client *c = client_new(s->port);
		bool at_end = i == sizeof(nths) / sizeof(nths[0]);
		struct ear ears[8];

		memset(ears, 0, sizeof(ears));
		order.nth = at_end ? 99 : nths[i];
		order.fail = false;
		order.victim = &ears[1];
		ears[0].on_nth = end_victim;
		if (at_end)
			ears[0].then = end_victim_at_end;
		for (size_t j = 0; j < 8; j++)
			client_start(c, &ears[j]);
		/* Both are due in one step: of the sleep they hear together. */
		if (at_end)
			cn_upstreams_slept(c->up);
		WAIT_FOR(c, ears[0].n_ends && ears[2].n_ends && ears[3].n_ends &&
		                ears[4].n_ends && ears[5].n_ends && ears[6].n_ends &&
		                ears[7].n_ends);
		client_settle(c);
		if (ears[1].n_ends > (at_end ? 0 : 1) || ears[1].at)
			fail_msg("round %zu: the victim heard %u ends", i, ears[1].n_ends);
		client_free(c);
		server_free(s);
		for (size_t j = 0; j < 8; j++)
			ear_done(&ears[j]);
	}
}

static void cancelling_between_callbacks_leaves_nothing(void **state)
{
	(void)state;
	for (unsigned turns = 0; turns < 40; turns++) {
		struct server *s = server_new(hello);
		struct client *c = client_new(s->port);
		struct ear e = {0};
		bool ended;

		client_start(c, &e);
		for (unsigned i = 0; i < turns && !e.n_ends; i++)
			uv_run(&c->loop, UV_RUN_NOWAIT);
		ended = e.n_ends;
		if (!ended)
			e.at = cn_attempt_cancel(e.at);
		client_settle(c);
		assert_int_equal(e.n_ends, ended);
		client_free(c);
		server_free(s);
		ear_done(&e);
	}
}

static void cancelling_nothing_is_allowed(void **state)
{
	(void)state;
	assert_null(cn_attempt_cancel(NULL));
}

/* Its connection cannot be used again, and no one learns of it. */
static void cancelling_while_a_body_is_sent(void **state)
{
	static const struct step never_reads[] = {{GATE, NULL, 0}, E};
	struct server *s = server_new(never_reads);
	struct client *c = client_new(s->port);
	size_t n = (size_t)32 << 20;
	char *bytes = cn_zalloc(n);
	struct cn_view slice = cn_view(bytes, n);
	struct ear e = {0};

	(void)state;
	c->opts.body = (struct cn_slices){&slice, 1, n};
	client_start(c, &e);
	WAIT_FOR(c, server_connections(s) == 1);
	client_settle(c);
	e.at = cn_attempt_cancel(e.at);
	free(bytes); /* borrowed until here, and no longer */
	client_settle(c);
	assert_int_equal(e.n_ends, 0);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

/* An answer may come while the body is still on its way; it is an answer all the same. */
static void an_answer_before_the_body_was_read(void **state)
{
	static const struct step steps[] = {S(HELLO), {GATE, NULL, 0}, E};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	size_t n = (size_t)32 << 20;
	char *bytes = cn_zalloc(n);
	struct cn_view slice = cn_view(bytes, n);
	struct ear e = {0};

	(void)state;
	c->opts.body = (struct cn_slices){&slice, 1, n};
	client_run(c, &e);
	free(bytes);
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	assert_string_equal(cn_buf_cstr(&e.said), HELLO_SAID);
	client_settle(c);
	sem_post(&s->gates[0]);
	client_settle(c);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

/* ---- starting ---- */

static struct ear *another;

static void start_another(struct ear *e, unsigned n)
{
	if (n == order.nth && !another->at && !another->n_ends)
		client_start(e->c, another);
}

static void start_another_at_end(struct ear *e)
{
	client_start(e->c, another);
}

static void an_owner_starts_another_in_every_callback(void **state)
{
	static const unsigned nths[] = {0, 1, 6, AT_IDLE, 99};

	(void)state;
	for (size_t i = 0; i < sizeof(nths) / sizeof(nths[0]); i++) {
		struct server *s = server_new(hello);
		struct client *c = client_new(s->port);
		struct ear e = {0}, next = {0};

		order.nth = nths[i];
		another = &next;
		e.on_nth = start_another;
		if (nths[i] == 99)
			e.then = start_another_at_end;
		client_start(c, &e);
		WAIT_FOR(c, e.n_ends && next.n_ends);
		if (e.outcome.class != CN_CLASS_OK || next.outcome.class != CN_CLASS_OK)
			fail_msg("started at %u: %s, then %s (%s)", nths[i],
			         cn_class_name(e.outcome.class),
			         cn_class_name(next.outcome.class), next.outcome.reason);
		client_free(c);
		server_free(s);
		ear_done(&e);
		ear_done(&next);
	}
}

/* ---- the machine slept ---- */

static void sleep_ends_all_and_old_connections(void **state)
{
	struct server *s = server_new(hello);
	struct client *c = client_new(s->port);
	struct ear first = {0}, second = {0}, third = {0};

	(void)state;
	client_run(c, &first);
	client_start(c, &second);
	cn_upstreams_slept(c->up);
	assert_int_equal(second.n_ends, 0); /* not from inside */
	WAIT_FOR(c, second.n_ends);
	assert_string_equal(second.outcome.reason, "the machine slept");
	client_run(c, &third);
	assert_int_equal(third.outcome.class, CN_CLASS_OK);
	/* The kept connection was not trusted. */
	assert_true(server_connections(s) >= 2);
	client_free(c);
	server_free(s);
	ear_done(&first);
	ear_done(&second);
	ear_done(&third);
}

/* ---- pausing ---- */

#define FLOOD 15000 /* deltas: 1.9 MB */

static size_t in_kernel_and_us(struct server *s, const struct ear *e)
{
	size_t taken = e->n_events * (sizeof(EV_HELLO) - 1), sent = atomic_load(&s->n_sent);

	return sent > taken ? sent - taken : 0;
}

static void pause_at_first(struct ear *e, unsigned n)
{
	if (n == 3)
		cn_attempt_pause(e->at, true);
}

/* The sender stands still, and we hold no more than a read. */
static void a_paused_attempt_reads_no_more(void **state)
{
	static const struct step steps[] = {R,
	                                    S(SSE_HEAD EV_START EV_BLOCK),
	                                    {REPEAT, EV_HELLO, FLOOD},
	                                    S(EV_BLOCK_STOP EV_DELTA EV_STOP LAST),
	                                    {AGAIN, NULL, 0}};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {.on_nth = pause_at_first};
	unsigned n;

	(void)state;
	client_start(c, &e);
	WAIT_FOR(c, e.n_events >= 3);
	client_settle(c);
	n = e.n_events;
	for (int i = 0; i < 200; i++)
		uv_run(&c->loop, UV_RUN_NOWAIT);
	assert_int_equal(e.n_events, n);
	assert_true(n * (sizeof(EV_HELLO) - 1) < 65536);
	assert_true(c->charge.used < 65536);
	assert_int_equal(e.n_ends, 0);
	cn_attempt_pause(e.at, false);
	WAIT_FOR(c, e.n_ends);
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	assert_int_equal(e.text.n, FLOOD * 5);
	assert_true(in_kernel_and_us(s, &e) < 4096);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void pause_often(struct ear *e, unsigned n)
{
	if (n % 7 == 3)
		cn_attempt_pause(e->at, true);
}

static void a_stream_paused_often_arrives_whole(void **state)
{
	static const struct step steps[] = {R,
	                                    S(SSE_HEAD EV_START EV_BLOCK),
	                                    {REPEAT, EV_HELLO, 3000},
	                                    S(EV_BLOCK_STOP EV_DELTA EV_STOP LAST),
	                                    {AGAIN, NULL, 0}};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {.on_nth = pause_often};
	unsigned resumed = 0;

	(void)state;
	client_start(c, &e);
	while (!e.n_ends) {
		uv_run(&c->loop, UV_RUN_NOWAIT);
		if (e.at && ++resumed)
			cn_attempt_pause(e.at, false);
	}
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	assert_int_equal(e.text.n, 3000 * 5);
	assert_true(e.n_idles < e.n_events); /* told in batches */
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void timers_rest_while_paused(void **state)
{
	static const struct step steps[] = {R,
	                                    S(SSE_HEAD EV_START EV_BLOCK),
	                                    {REPEAT, EV_HELLO, FLOOD},
	                                    S(EV_BLOCK_STOP EV_DELTA EV_STOP LAST),
	                                    {AGAIN, NULL, 0}};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {.on_nth = pause_at_first};
	uint64_t since;

	(void)state;
	c->opts.first_byte_timeout_ms = 150;
	c->opts.idle_timeout_ms = 150;
	c->opts.progress_timeout_ms = 150;
	client_start(c, &e);
	WAIT_FOR(c, e.n_events >= 3);
	since = cn_clock_ms();
	while (cn_clock_ms() - since < 400)
		uv_run(&c->loop, UV_RUN_NOWAIT);
	assert_int_equal(e.n_ends, 0);
	cn_attempt_pause(e.at, false);
	WAIT_FOR(c, e.n_ends);
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void a_paused_attempt_still_has_its_whole_time(void **state)
{
	static const struct step steps[] = {
	    R, S(SSE_HEAD EV_START EV_BLOCK), {REPEAT, EV_HELLO, FLOOD}, Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {.on_nth = pause_at_first};

	(void)state;
	c->opts.attempt_timeout_ms = 150;
	client_run(c, &e);
	assert_string_equal(e.outcome.reason, "the attempt took too long");
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void cancel_when_paused(struct ear *e, unsigned n)
{
	if (n == 3)
		cn_attempt_pause(e->at, true);
	else if (n == order.nth)
		e->at = cn_attempt_cancel(e->at);
}

static void a_paused_attempt_can_be_cancelled(void **state)
{
	static const struct step steps[] = {
	    R, S(SSE_HEAD EV_START EV_BLOCK), {REPEAT, EV_HELLO, FLOOD}, Z};

	(void)state;
	for (int resumed = 0; resumed < 2; resumed++) {
		struct server *s = server_new(steps);
		struct client *c = client_new(s->port);
		struct ear e = {.on_nth = cancel_when_paused};

		order.nth = 99; /* not yet */
		client_start(c, &e);
		WAIT_FOR(c, e.n_events >= 3);
		client_settle(c);
		if (resumed) {
			order.nth = AT_IDLE;
			cn_attempt_pause(e.at, false);
			WAIT_FOR(c, !e.at);
		} else {
			e.at = cn_attempt_cancel(e.at);
		}
		client_settle(c);
		assert_int_equal(e.n_ends, 0);
		client_free(c);
		server_free(s);
		ear_done(&e);
	}
}

/* ---- connections ---- */

/* The first request is answered; the connection is then closed while it is idle. */
static const struct step *answer_and_close(size_t n)
{
	static const struct step answer[] = {S(HELLO), E};

	(void)n;
	return answer;
}

/* curl notices before it sends, or when it reads; when it is just sending, we are told. */
static void a_connection_that_died_idle_is_replaced(void **state)
{
	static const struct step steps[] = {R, E};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	unsigned answered = 0;

	(void)state;
	s->pick = answer_and_close;
	for (int i = 0; i < 20; i++) {
		struct ear e = {0};

		client_run(c, &e);
		if (e.outcome.class != CN_CLASS_OK && !e.outcome.free_retry)
			fail_msg("request %d: %s (%s), not free", i,
			         cn_class_name(e.outcome.class), e.outcome.reason);
		answered += e.outcome.class == CN_CLASS_OK;
		ear_done(&e);
	}
	/* None of them was answered twice, and no answer was lost. */
	assert_int_equal(atomic_load(&s->n_requests), answered);
	assert_int_equal(server_connections(s), answered);
	client_free(c);
	server_free(s);
}

/* The second request on a connection is read and then reset: it is sent again at once. */
static const struct step *reset_every_second(size_t n)
{
	static const struct step answer[] = {S(HELLO), {AGAIN, NULL, 0}};
	static const struct step reset[] = {{RESET, NULL, 0}};

	return n % 2 ? reset : answer;
}

static void a_kept_connection_that_is_reset_costs_nothing(void **state)
{
	static const struct step steps[] = {R, {AGAIN, NULL, 0}};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct cn_view slices[] = {CN_VIEW("{\"model\""), CN_VIEW(":\"m\"}")};

	(void)state;
	s->pick = reset_every_second;
	c->opts.body = (struct cn_slices){slices, 2, 13};
	for (int i = 0; i < 10; i++) {
		struct ear e = {0};

		client_run(c, &e);
		if (e.outcome.class != CN_CLASS_OK && !e.outcome.free_retry)
			fail_msg("request %d: %s (%s), not free", i,
			         cn_class_name(e.outcome.class), e.outcome.reason);
		/* From its beginning, whoever sends it again. */
		assert_string_equal(cn_buf_cstr(&s->body), "{\"model\":\"m\"}");
		ear_done(&e);
	}
	client_free(c);
	server_free(s);
}

/* Behind message_stop the end of the body is awaited, or the connection given up. */
static void a_body_that_ends_late_keeps_its_connection(void **state)
{
	static const struct step steps[] = {
	    R, S(SSE_HEAD EVENTS), {GATE, NULL, 0}, S(LAST), {AGAIN, NULL, 0}};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear first = {0}, second = {0};

	(void)state;
	client_run(c, &first);
	assert_string_equal(cn_class_name(first.outcome.class), "ok");
	sem_post(&s->gates[0]);
	/* Its end is seen when nothing of it is left to read. */
	WAIT_FOR(c, c->charge.used == 0);
	client_run(c, &second);
	assert_int_equal(server_connections(s), 1);
	client_settle(c);
	client_free(c); /* the second lingers: it is closed with the rest */
	server_free(s);
	ear_done(&first);
	ear_done(&second);
}

static void a_body_that_never_ends_is_given_up(void **state)
{
	static const struct step steps[] = {R, S(SSE_HEAD EVENTS), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear first = {0}, second = {0};
	uint64_t since = cn_clock_ms();

	(void)state;
	client_run(c, &first);
	assert_true(cn_clock_ms() - since < 900); /* told at once */
	client_run(c, &second);
	assert_int_equal(server_connections(s), 2);
	WAIT_FOR(c, c->charge.used == 0);
	assert_true(cn_clock_ms() - since >= 1000);
	client_free(c);
	server_free(s);
	ear_done(&first);
	ear_done(&second);
}

/* What a backend still says behind a stop sequence of the request is not paid for. */
static void an_answer_cut_at_a_stop_sequence_is_left(void **state)
{
	static const struct step steps[] = {R, S(SSE_HEAD EV_START EV_BLOCK EV_HELLO), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	c->opts.hints.stop_sequences = cn_json_root(CN_VIEW("[\"lo\"]"));
	client_run(c, &e);
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	assert_string_equal(cn_buf_cstr(&e.text), "Hel");
	assert_int_equal(c->charge.used, 0); /* it does not wait for the body's end */
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void the_first_byte_is_timed(void **state)
{
	static const struct step steps[] = {R, S(SSE_HEAD EV_START), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	client_start(c, &e);
	assert_int_equal(cn_attempt_first_byte_ms(e.at), 0);
	WAIT_FOR(c, e.n_events == 1);
	assert_true(cn_attempt_first_byte_ms(e.at) >= 1);
	e.at = cn_attempt_cancel(e.at);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_owner_cancels_itself_in_every_callback),
	    cmocka_unit_test(an_owner_fails_itself_in_every_callback),
	    cmocka_unit_test(an_owner_cancels_others_in_every_callback),
	    cmocka_unit_test(cancelling_between_callbacks_leaves_nothing),
	    cmocka_unit_test(cancelling_nothing_is_allowed),
	    cmocka_unit_test(cancelling_while_a_body_is_sent),
	    cmocka_unit_test(an_answer_before_the_body_was_read),
	    cmocka_unit_test(an_owner_starts_another_in_every_callback),
	    cmocka_unit_test(sleep_ends_all_and_old_connections),
	    cmocka_unit_test(a_paused_attempt_reads_no_more),
	    cmocka_unit_test(a_stream_paused_often_arrives_whole),
	    cmocka_unit_test(timers_rest_while_paused),
	    cmocka_unit_test(a_paused_attempt_still_has_its_whole_time),
	    cmocka_unit_test(a_paused_attempt_can_be_cancelled),
	    cmocka_unit_test(a_connection_that_died_idle_is_replaced),
	    cmocka_unit_test(a_kept_connection_that_is_reset_costs_nothing),
	    cmocka_unit_test(a_body_that_ends_late_keeps_its_connection),
	    cmocka_unit_test(a_body_that_never_ends_is_given_up),
	    cmocka_unit_test(an_answer_cut_at_a_stop_sequence_is_left),
	    cmocka_unit_test(the_first_byte_is_timed),
	};
	struct cn_error err;
	int failed;

	if (cn_upstream_setup(&err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cn_upstream_teardown();
	return failed;
}
