/*
 * If this fails, a full, failing or damaged disk costs more than it must: a turn, the
 * store, or the router.
 */
#include "../lib/store_fixture.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- faults on demand; set while the writer rests or read by it alone ---- */

struct faults {
	atomic_int rc;   /* to fail with */
	atomic_int op;   /* where */
	atomic_int left; /* how often; -1: always */
	atomic_uint hits;
};

static int on_fault(void *self, enum cn_store_op op)
{
	struct faults *fs = self;

	if (atomic_load(&fs->left) == 0 || (int)op != atomic_load(&fs->op))
		return 0;
	if (atomic_load(&fs->left) > 0)
		atomic_fetch_sub(&fs->left, 1);
	atomic_fetch_add(&fs->hits, 1);
	return atomic_load(&fs->rc);
}

static void set_fault(struct faults *fs, enum cn_store_op op, int rc, int times)
{
	atomic_store(&fs->left, 0);
	atomic_store(&fs->op, (int)op);
	atomic_store(&fs->rc, rc);
	atomic_store(&fs->hits, 0);
	atomic_store(&fs->left, times);
}

static void place_with_faults(struct fixture *f, struct faults *fs)
{
	memset(fs, 0, sizeof(*fs));
	fixture_place(f, "/tmp");
	f->rules.fault = on_fault;
	f->rules.self = fs;
	f->rules.probe_ms = 20;
	fixture_up(f);
}

static void a_fault_that_passes_costs_no_turn(void **state)
{
	static const struct {
		enum cn_store_op op;
		int rc;
		size_t aside; /* the store began anew */
	} cases[] = {
	    {CN_STORE_OP_COMMIT, EIO, 0},
	    {CN_STORE_OP_PUT, EIO, 0},
	    {CN_STORE_OP_PUT, MDB_MAP_FULL, 0},
	    {CN_STORE_OP_BEGIN, EIO, 0},
	    {CN_STORE_OP_COMMIT, MDB_PANIC, 1},
	    {CN_STORE_OP_PUT, MDB_CORRUPTED, 1},
	    {CN_STORE_OP_PUT, MDB_PAGE_NOTFOUND, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct faults fs;
		struct talk t = {.owner = "anna", .session = "s"};
		struct talk fresh = {.owner = "anna", .session = "s", .turns = 1};

		place_with_faults(&f, &fs);
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
		set_fault(&fs, cases[i].op, cases[i].rc, 1);
		/* After setting aside, what was there is gone, but this turn is not. */
		assert_true(submit_and_wait(
		    f.s, talk_turn(cases[i].aside ? &fresh : &t, &f.keys, 2)));
		assert_int_equal(1, atomic_load(&fs.hits));
		assert_int_equal(CN_STORE_WELL, cn_store_state(f.s));
		assert_int_equal(cases[i].aside, fixture_set_aside(&f));
		assert_int_equal(cases[i].aside ? 1 : 2, look(f.s, "anna", "s").whole);
		fixture_end(&f);
	}
}

static void a_fault_that_stays_degrades_until_it_goes(void **state)
{
	static const struct {
		enum cn_store_op op;
		int rc;
		const char *why;
	} cases[] = {
	    {CN_STORE_OP_PUT, ENOSPC, "the disk is full"},
	    {CN_STORE_OP_COMMIT, ENOSPC, "the disk is full"},
	    {CN_STORE_OP_COMMIT, EDQUOT, "the disk is full"},
	    {CN_STORE_OP_PUT, MDB_MAP_FULL, "the history has reached its largest size"},
	    {CN_STORE_OP_COMMIT, EIO, "the history cannot be written"},
	    {CN_STORE_OP_BEGIN, EIO, "the history cannot be written"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct faults fs;
		struct talk t = {.owner = "anna", .session = "s"}, lost;
		struct cn_token_record token = {.name = CN_VIEW("t")};

		place_with_faults(&f, &fs);
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
		lost = t;
		set_fault(&fs, cases[i].op, cases[i].rc, -1);
		assert_false(submit_and_wait(f.s, talk_turn(&lost, &f.keys, 2)));
		assert_int_equal(CN_STORE_DEGRADED, cn_store_state(f.s));
		assert_string_equal(cases[i].why, cn_store_why(f.s));
		/* Given up at once, and said so. */
		assert_false(submit_and_wait(f.s, talk_turn(&lost, &f.keys, 3)));
		assert_int_equal(CN_E_IO, cn_store_token_put(f.s, &token, NULL));
		/* What was there can be read all the while. */
		assert_int_equal(1, look(f.s, "anna", "s").whole);
		atomic_store(&fs.left, 0);
		await_state(f.s, CN_STORE_WELL);
		assert_string_equal("", cn_store_why(f.s));
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 4)));
		assert_int_equal(0, cn_store_token_put(f.s, &token, NULL));
		assert_int_equal(2, look(f.s, "anna", "s").whole);
		assert_int_equal(0, fixture_set_aside(&f));
		fixture_end(&f);
	}
}

static void a_store_that_cannot_be_opened_again_comes_back(void **state)
{
	struct fixture f;
	struct faults fs;
	struct talk t = {.owner = "anna", .session = "s"}, lost;

	(void)state;
	place_with_faults(&f, &fs);
	f.rules.probe_ms = 20;
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
	lost = t;
	/* The commit fails; from then on opening fails. */
	set_fault(&fs, CN_STORE_OP_COMMIT, EIO, 1);
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 2)));
	set_fault(&fs, CN_STORE_OP_OPEN, EIO, -1);
	atomic_store(&f.s->reported, MDB_CORRUPTED); /* as a reader would */
	(void)submit_and_wait(f.s, talk_turn(&lost, &f.keys, 3));
	await_state(f.s, CN_STORE_DEGRADED);
	assert_int_equal(CN_E_IO, cn_store_sessions(f.s, CN_VIEW(""), NULL, NULL, NULL));
	atomic_store(&fs.left, 0);
	await_state(f.s, CN_STORE_WELL);
	t = (struct talk){.owner = "anna", .session = "new"};
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 4)));
	assert_int_equal(1, look(f.s, "anna", "new").whole);
	fixture_end(&f);
}

/* ---- the queue ---- */

struct gate {
	uv_sem_t reached, open;
	atomic_bool shut;
};

static int on_gate(void *self, enum cn_store_op op)
{
	struct gate *g = self;

	if (op == CN_STORE_OP_BEGIN && atomic_exchange(&g->shut, false)) {
		uv_sem_post(&g->reached);
		uv_sem_wait(&g->open);
	}
	return 0;
}

static void a_full_queue_drops_only_what_has_no_turn(void **state)
{
	struct fixture f;
	struct gate g;
	struct word with, without;
	struct talk t = {.owner = "anna", .session = "s", .filler = 20000};

	(void)state;
	fixture_place(&f, "/tmp");
	assert_int_equal(0, uv_sem_init(&g.reached, 0) | uv_sem_init(&g.open, 0));
	atomic_store(&g.shut, true);
	f.rules.fault = on_gate;
	f.rules.self = &g;
	f.rules.queue_bytes = 100000;
	f.rules.sweep_ms = UINT32_MAX;
	fixture_up(&f);
	word_init(&with);
	word_init(&without);
	cn_store_submit(f.s, talk_turn(&t, &f.keys, 1), on_word, &with);
	uv_sem_wait(&g.reached); /* the writer stands; what follows is queued */
	for (unsigned i = 0; i < 10; i++) {
		struct cn_batch *b = cn_batch_new();
		struct talk other = {.owner = "o", .session = "o", .filler = 20000};

		cn_store_submit(f.s, talk_turn(&t, &f.keys, 2 + i), on_word, &with);
		other.turns = i;
		talk_say(&other, &f.keys, "user", b);
		cn_store_submit(f.s, b, on_word, &without);
	}
	assert_in_range(cn_store_queued(f.s), 40, 50);
	uv_sem_post(&g.open);
	for (unsigned i = 0; i < 11; i++)
		uv_sem_wait(&with.sem);
	for (unsigned i = 0; i < 10; i++)
		uv_sem_wait(&without.sem);
	assert_int_equal(11, atomic_load(&with.ok));
	assert_in_range(atomic_load(&without.failed), 7, 9);
	assert_int_equal(11, look(f.s, "anna", "s").whole);
	fixture_end(&f);
	uv_sem_destroy(&g.reached);
	uv_sem_destroy(&g.open);
	uv_sem_destroy(&with.sem);
	uv_sem_destroy(&without.sem);
}

/* ---- sizes ---- */

static void the_map_grows_under_load(void **state)
{
	struct fixture f;
	struct word w;
	struct talk t = {.owner = "anna", .session = "s", .filler = 100000};

	(void)state;
	fixture_place(&f, "/tmp");
	f.rules.map_size = 1 << 20;
	f.rules.map_limit = 256 << 20;
	fixture_up(&f);
	word_init(&w);
	for (unsigned i = 0; i < 40; i++) {
		t.last = (struct cn_hash){{0}};
		cn_store_submit(f.s, talk_turn(&t, &f.keys, i + 1), on_word, &w);
		(void)look(f.s, "anna", "s"); /* readers all the while */
	}
	for (unsigned i = 0; i < 40; i++)
		uv_sem_wait(&w.sem);
	assert_int_equal(40, atomic_load(&w.ok));
	assert_int_equal(40, look(f.s, "anna", "s").whole);
	assert_int_equal(CN_STORE_WELL, cn_store_state(f.s));
	uv_sem_destroy(&w.sem);
	fixture_end(&f);
}

static void at_its_largest_it_degrades_and_pruning_helps(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s", .filler = 50000};
	unsigned n = 0;

	(void)state;
	fixture_place(&f, "/tmp");
	f.rules.map_size = f.rules.map_limit = 2 << 20;
	f.rules.sweep_ms = UINT32_MAX;
	f.rules.probe_ms = 20;
	fixture_up(&f);
	/* All of it is old, and retention keeps everything: nothing to prune. */
	while (t.last = (struct cn_hash){{0}},
	       submit_and_wait(f.s, talk_turn(&t, &f.keys, 1000 + n)))
		assert_true(++n < 100);
	assert_int_equal(CN_STORE_DEGRADED, cn_store_state(f.s));
	assert_int_equal(n, look(f.s, "anna", "s").whole);
	fixture_down(&f);
	f.opts.retention_ms = 86400000;
	fixture_up(&f);
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, cn_clock_wall_ms())));
	assert_int_equal(CN_STORE_WELL, cn_store_state(f.s));
	fixture_end(&f);
}

static void little_space_keeps_turns_and_none_keeps_nothing(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s"};
	struct cn_batch *b = cn_batch_new();

	(void)state;
	fixture_place(&f, "/tmp");
	f.rules.free_low = UINT64_MAX;
	fixture_up(&f);
	assert_int_equal(CN_STORE_NO_JOURNAL, cn_store_state(f.s));
	talk_say(&t, &f.keys, "user", b);
	assert_false(submit_and_wait(f.s, b));
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
	fixture_down(&f);
	f.rules.free_stop = UINT64_MAX;
	fixture_up(&f);
	assert_int_equal(CN_STORE_DEGRADED, cn_store_state(f.s));
	assert_string_equal("the disk is almost full", cn_store_why(f.s));
	assert_false(submit_and_wait(f.s, talk_turn(&t, &f.keys, 2)));
	assert_int_equal(1, look(f.s, "anna", "s").turns);
	fixture_end(&f);
}

/* Fills until a turn is not kept; returns how many were. */
static unsigned fill_up(struct fixture *f, struct talk *t)
{
	unsigned n = 0;

	while (t->last = (struct cn_hash){{0}},
	       submit_and_wait(f->s, talk_turn(t, &f->keys, 1000 + n)))
		assert_true(++n < 2000);
	return n;
}

static void a_full_disk_degrades_and_room_brings_it_back(void **state)
{
	struct fixture f, on_top;
	struct talk t = {.owner = "anna", .session = "s", .filler = 50000};
	char ballast[128];
	unsigned kept;
	int fd;

	(void)state;
	fixture_place(&on_top, "/tmp");
	if (mount("none", on_top.home, "tmpfs", 0, "size=12m")) {
		fixture_remove(on_top.home);
		skip(); /* only root may mount */
	}
	fixture_place(&f, on_top.home);
	f.rules.probe_ms = 20;
	f.rules.sweep_ms = UINT32_MAX;
	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", on_top.home);
	fd = open(ballast, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(0, posix_fallocate(fd, 0, 6 << 20));
	close(fd);
	fixture_up(&f);
	kept = fill_up(&f, &t);
	assert_true(kept > 10);
	assert_int_equal(CN_STORE_DEGRADED, cn_store_state(f.s));
	assert_string_equal("the disk is full", cn_store_why(f.s));
	assert_int_equal(kept, look(f.s, "anna", "s").whole);
	assert_int_equal(0, unlink(ballast));
	await_state(f.s, CN_STORE_WELL);
	t.last = (struct cn_hash){{0}};
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 9999)));
	fixture_down(&f);
	fixture_up(&f);
	assert_int_equal(kept + 1, look(f.s, "anna", "s").whole);
	assert_int_equal(0, fixture_set_aside(&f));
	fixture_end(&f);
	assert_int_equal(0, umount(on_top.home));
	fixture_remove(on_top.home);
}

/* In a process of its own: the limit would hold for all that follows. */
static int survive_small_files(struct fixture *f)
{
	struct talk t = {.owner = "anna", .session = "s", .filler = 50000};
	struct rlimit limit = {4 << 20, RLIM_INFINITY};
	unsigned kept = 0;

	if (setrlimit(RLIMIT_FSIZE, &limit) ||
	    cn_store__open(&f->opts, &f->rules, &f->s, NULL))
		return 10;
	while (t.last = (struct cn_hash){{0}},
	       submit_and_wait(f->s, talk_turn(&t, &f->keys, 1000 + kept)))
		if (++kept > 2000)
			return 11;
	if (kept < 10 || cn_store_state(f->s) != CN_STORE_DEGRADED)
		return 12;
	limit.rlim_cur = RLIM_INFINITY;
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	for (uint64_t until = cn_clock_ms() + 20000; cn_store_state(f->s) != CN_STORE_WELL;)
		if (cn_clock_ms() > until)
			return 13;
	t.last = (struct cn_hash){{0}};
	if (!submit_and_wait(f->s, talk_turn(&t, &f->keys, 9999)) ||
	    look(f->s, "anna", "s").whole != kept + 1)
		return 14;
	fixture_down(f);
	return 0;
}

static void a_limit_on_file_sizes_is_a_full_disk(void **state)
{
	struct fixture f;
	int status = 0;
	pid_t pid;

	(void)state;
	fixture_place(&f, "/tmp");
	f.rules.probe_ms = 20;
	f.rules.sweep_ms = UINT32_MAX;
	if ((pid = fork()) == 0)
		_exit(survive_small_files(&f));
	assert_int_equal(pid, waitpid(pid, &status, 0));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the process ended with status %#x", (unsigned)status);
	fixture_remove(f.home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_fault_that_passes_costs_no_turn),
	    cmocka_unit_test(a_fault_that_stays_degrades_until_it_goes),
	    cmocka_unit_test(a_store_that_cannot_be_opened_again_comes_back),
	    cmocka_unit_test(a_full_queue_drops_only_what_has_no_turn),
	    cmocka_unit_test(the_map_grows_under_load),
	    cmocka_unit_test(at_its_largest_it_degrades_and_pruning_helps),
	    cmocka_unit_test(little_space_keeps_turns_and_none_keeps_nothing),
	    cmocka_unit_test(a_full_disk_degrades_and_room_brings_it_back),
	    cmocka_unit_test(a_limit_on_file_sizes_is_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
