/*
 * Many requests, one after the other and at once.  If this fails, connections are not used
 * again, or something is lost, mixed up or kept when there is much of it.  It prints what a
 * request and an open stream cost; it judges no time.
 */
#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>

#include "upstream_client.h"

#define R                        \
	{                        \
		REQUEST, NULL, 0 \
	}
#define S(text)               \
	{                     \
		SEND, text, 0 \
	}
#define REQUESTS 1000
#define PARALLEL 200

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void requests_one_after_the_other_use_one_connection(void **state)
{
	static const struct step steps[] = {R, S(HELLO), {AGAIN, NULL, 0}};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	uint64_t since, cpu;

	(void)state;
	since = cn_clock_us();
	cpu = cpu_us();
	for (int i = 0; i < REQUESTS; i++) {
		struct ear e = {0};

		client_run(c, &e);
		assert_int_equal(e.outcome.class, CN_CLASS_OK);
		ear_done(&e);
	}
	print_message("%d requests: %.1f us each, %.1f us of CPU\n", REQUESTS,
	              (double)(cn_clock_us() - since) / REQUESTS,
	              (double)(cpu_us() - cpu) / REQUESTS);
	assert_int_equal(server_connections(s), 1);
	assert_int_equal(s->n_requests, REQUESTS);
	client_free(c);
	server_free(s);
}

static bool all_ended(const struct ear *ears, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!ears[i].n_ends)
			return false;
	return true;
}

static bool all_have(const struct ear *ears, size_t n, unsigned events)
{
	for (size_t i = 0; i < n; i++)
		if (ears[i].n_events < events)
			return false;
	return true;
}

static void many_at_once_get_each_their_own(void **state)
{
	static const struct step steps[] = {R,
	                                    S(SSE_HEAD EV_START EV_BLOCK EV_HELLO),
	                                    {GATE, NULL, 0},
	                                    S(EV_BLOCK_STOP EV_DELTA EV_STOP LAST),
	                                    {AGAIN, NULL, 0}};
	unsigned files = open_files();
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear *ears = cn_zalloc(PARALLEL * sizeof(*ears));
	size_t before;

	(void)state;
	for (int round = 0; round < 3; round++) {
		before = mallinfo2().uordblks;
		for (size_t i = 0; i < PARALLEL; i++)
			client_start(c, &ears[i]);
		WAIT_FOR(c, all_have(ears, PARALLEL, 3));
		/* 0 under a sanitizer, whose heap does not tell. */
		print_message("%d open streams: %zu bytes each\n", PARALLEL,
		              (mallinfo2().uordblks - before) / PARALLEL);
		for (size_t i = 0; i < PARALLEL; i++)
			sem_post(&s->gates[0]);
		WAIT_FOR(c, all_ended(ears, PARALLEL));
		for (size_t i = 0; i < PARALLEL; i++) {
			assert_int_equal(ears[i].outcome.class, CN_CLASS_OK);
			assert_string_equal(cn_buf_cstr(&ears[i].said), HELLO_SAID);
			ear_done(&ears[i]);
			ears[i] = (struct ear){0};
		}
		client_settle(c);
	}
	/* Those of the first round served the others, too. */
	assert_int_equal(server_connections(s), PARALLEL);
	client_free(c);
	server_free(s);
	assert_int_equal(open_files(), files);
	free(ears);
}

/* Two rounds, a gate each: nobody can be a round ahead. */
#define TWO   {GATE, NULL, 0}, S(EV_HELLO), {GATE, NULL, 1}, S(EV_HELLO)
#define TEN   TWO, TWO, TWO, TWO, TWO
#define PACED 20

/* Streams that do not stir must cost the others nothing. */
static void paced_events_among_many_streams(void **state)
{
	static const struct step steps[] = {
	    R,   S(SSE_HEAD EV_START EV_BLOCK EV_HELLO), TEN,
	    TEN, S(EV_BLOCK_STOP EV_DELTA EV_STOP LAST), {AGAIN, NULL, 0}};
	static const size_t counts[] = {1, 20, PARALLEL};

	(void)state;
	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		struct server *s = server_new(steps);
		struct client *c = client_new(s->port);
		size_t n = counts[k];
		struct ear *ears = cn_zalloc(n * sizeof(*ears));
		uint64_t cpu;

		for (size_t i = 0; i < n; i++)
			client_start(c, &ears[i]);
		WAIT_FOR(c, all_have(ears, n, 3));
		cpu = cpu_us();
		for (unsigned round = 0; round < PACED; round++) {
			for (size_t i = 0; i < n; i++)
				sem_post(&s->gates[round % 2]);
			WAIT_FOR(c, all_have(ears, n, 4 + round));
		}
		print_message("%zu streams: %.1f us of CPU an event\n", n,
		              (double)(cpu_us() - cpu) / (double)(n * PACED));
		WAIT_FOR(c, all_ended(ears, n));
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(ears[i].outcome.class, CN_CLASS_OK);
			assert_int_equal(ears[i].text.n, 5 * (1 + PACED));
			ear_done(&ears[i]);
		}
		client_free(c);
		server_free(s);
		free(ears);
	}
}

/* Everything that can go wrong with a connection, many times: nothing stays open. */
static void failures_leave_no_descriptor_open(void **state)
{
	static const struct step full[] = {{NO_ACCEPT, NULL, 0}};
	static const struct step resets[] = {R, {RESET, NULL, 0}};
	static const struct step cuts[] = {R, S(SSE_HEAD EV_START), {END, NULL, 0}};
	static const struct step *const all[] = {full, resets, cuts};
	unsigned files = open_files();

	(void)state;
	for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
		struct server *s = server_new(all[k]);
		struct client *c = client_new(s->port);

		c->opts.connect_timeout_ms = 50;
		for (int round = 0; round < 4; round++) {
			struct ear ears[10];

			memset(ears, 0, sizeof(ears));
			for (size_t i = 0; i < 10; i++)
				client_start(c, &ears[i]);
			WAIT_FOR(c, all_ended(ears, 10));
			for (size_t i = 0; i < 10; i++) {
				assert_int_not_equal(ears[i].outcome.class, CN_CLASS_OK);
				ear_done(&ears[i]);
			}
		}
		client_free(c);
		server_free(s);
	}
	assert_int_equal(open_files(), files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_one_after_the_other_use_one_connection),
	    cmocka_unit_test(many_at_once_get_each_their_own),
	    cmocka_unit_test(paced_events_among_many_streams),
	    cmocka_unit_test(failures_leave_no_descriptor_open),
	};
	struct cn_error err;
	int failed;

	if (cn_upstream_setup(&err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cn_upstream_teardown();
	return failed;
}
