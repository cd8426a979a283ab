/*
 * If this fails, a turn whose commit was reported is lost or torn after a kill -9, or the
 * store does not open at once.
 */
#include "../lib/store_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#define CYCLES 200

struct told {
	int fd; /* where the numbers of committed turns go */
	unsigned n;
};

/* The writer's thread: says which turn is safe. */
static void on_safe(void *self, enum cn_store_word word)
{
	struct told *t = self;

	if (word == CN_STORE_KEPT)
		(void)!write(t->fd, &t->n, sizeof(t->n));
	free(t);
}

static void submit_for_ever(struct fixture *f, unsigned cycle, int fd)
{
	struct talk t = {.owner = "anna", .filler = 3000};
	char session[16];
	struct cn_error e;

	(void)snprintf(session, sizeof(session), "s-%04u", cycle);
	t.session = session;
	if (cn_store__open(&f->opts, &f->rules, &f->s, &e))
		_exit(1);
	for (;;) {
		struct told *told = cn_zalloc(sizeof(*told));

		told->fd = fd;
		told->n = t.turns;
		if (t.turns % 7 == 6)
			t.filler = 200000; /* some are split */
		cn_store_submit(f->s, talk_turn(&t, &f->keys, 1 + t.turns), on_safe, told);
		t.filler = 3000;
		while (cn_store_queued(f->s) > 400)
			uv_sleep(1); /* a loop without end would only fill memory */
	}
}

static void what_was_said_to_be_safe_is_safe(struct fixture *f, unsigned cycle,
                                             unsigned told)
{
	char session[16];
	struct seen seen;
	uint64_t began = cn_clock_ms();

	fixture_up(f);
	if (cn_clock_ms() - began > 5000)
		fail_msg("cycle %u: opening took %u ms", cycle,
		         (unsigned)(cn_clock_ms() - began));
	(void)snprintf(session, sizeof(session), "s-%04u", cycle);
	seen = look(f->s, "anna", session);
	if (seen.turns < told || seen.whole != seen.turns)
		fail_msg("cycle %u: told %u, found %zu, whole %zu", cycle, told, seen.turns,
		         seen.whole);
	fixture_down(f);
}

static void turns_survive_kill_9(void **state)
{
	struct fixture f;
	const char *some = getenv("CONTINUO_KILL_CYCLES");
	unsigned cycles = some ? (unsigned)strtoul(some, NULL, 10) : CYCLES;
	unsigned all = 0;

	(void)state;
	fixture_place(&f, "/tmp");
	for (unsigned cycle = 0; cycle < cycles; cycle++) {
		unsigned told = 0, n, enough = (unsigned)cn_random_below(30);
		int fds[2], status;
		pid_t pid;

		assert_int_equal(0, pipe(fds));
		if ((pid = fork()) == 0) {
			close(fds[0]);
			submit_for_ever(&f, cycle, fds[1]);
		}
		close(fds[1]);
		/* Anywhere between opening and the enough-th word, and a little after. */
		while (told < enough && read(fds[0], &n, sizeof(n)) == sizeof(n))
			told = n + 1;
		usleep((useconds_t)cn_random_below(8000));
		kill(pid, SIGKILL);
		while (read(fds[0], &n, sizeof(n)) == sizeof(n))
			told = n + 1;
		close(fds[0]);
		assert_int_equal(pid, waitpid(pid, &status, 0));
		assert_true(WIFSIGNALED(status));
		what_was_said_to_be_safe_is_safe(&f, cycle, told);
		all += told;
	}
	assert_int_equal(0, fixture_set_aside(&f));
	assert_true(all > cycles);
	print_message("%u cycles, %u turns were told to be safe\n", cycles, all);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(turns_survive_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
