/*
 * A name that does not resolve yet.  If this fails, one dead name server stops every turn
 * of a worker for as long as the lookup takes.
 */
#include "upstream_client.h"

#include <errno.h>
#include <netdb.h>
#include <time.h>

#define NAME         "slow.test"
#define LOOKUP_MAX_S 20 /* the lookup gives up by itself then, and the test fails */

/* The one lookup of a test: begun, let go by the test, or given up. */
static struct {
	sem_t begun, go, over;
	atomic_bool gave_up;
} lookup;

/* Stands before libc's for libcurl too; only this name is ever asked for here. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
	struct timespec until;

	(void)service;
	(void)hints;
	*ret = NULL;
	if (!node || strcmp(node, NAME) != 0)
		return EAI_FAMILY;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOOKUP_MAX_S;
	sem_post(&lookup.begun);
	while (sem_timedwait(&lookup.go, &until)) {
		if (errno == EINTR)
			continue;
		atomic_store(&lookup.gave_up, true);
		break;
	}
	sem_post(&lookup.over);
	return EAI_NONAME;
}

/* Its thread is nobody's by now, but the next test's lookup must not meet it. */
static void let_go(void)
{
	sem_post(&lookup.go);
	while (sem_wait(&lookup.over))
		;
}

static struct client *new_client(void)
{
	struct client *c = client_new(1);

	c->backend.url = c->backend.origin = "http://" NAME;
	c->backend.plaintext = true;
	return c;
}

static bool begun(void)
{
	return sem_trywait(&lookup.begun) == 0;
}

static void cancelling_does_not_wait_for_a_name(void **state)
{
	struct client *c = new_client();
	struct ear e = {0};

	(void)state;
	client_start(c, &e);
	for (uint64_t since = cn_clock_ms(); !begun();) {
		assert_true(cn_clock_ms() - since < PATIENCE_MS);
		uv_run(&c->loop, UV_RUN_NOWAIT);
	}
	e.at = cn_attempt_cancel(e.at);
	client_settle(c);
	client_free(c);
	assert_false(atomic_load(&lookup.gave_up));
	assert_int_equal(e.n_ends, 0);
	let_go();
	ear_done(&e);
}

static void the_time_to_connect_covers_the_name(void **state)
{
	struct client *c = new_client();
	struct ear e = {0};

	(void)state;
	c->opts.connect_timeout_ms = 50;
	client_run(c, &e);
	assert_int_equal(e.outcome.class, CN_CLASS_TIMEOUT_CONNECT);
	client_free(c);
	assert_true(begun());
	assert_false(atomic_load(&lookup.gave_up));
	let_go();
	ear_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cancelling_does_not_wait_for_a_name),
	    cmocka_unit_test(the_time_to_connect_covers_the_name),
	};
	struct cn_error err;
	int failed;

	sem_init(&lookup.begun, 0, 0);
	sem_init(&lookup.go, 0, 0);
	sem_init(&lookup.over, 0, 0);
	if (cn_upstream_setup(&err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cn_upstream_teardown();
	return failed;
}
