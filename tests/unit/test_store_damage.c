/*
 * If this fails, somebody with the disk can change what was said, a damaged store stops the
 * router, or two processes get into each other's way.
 */
#include "../lib/store_fixture.h"

#include <sys/wait.h>

/* ---- damage ---- */

/* The stored bytes of two nodes, under the hands of somebody with the disk. */
static void tamper(const char *dir, const char *db, const char *how)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_cursor *cursor;
	MDB_val k[2], v[2];
	CN_AUTO(cn_buf) a = {0};
	CN_AUTO(cn_buf) b = {0};

	assert_int_equal(0, mdb_env_create(&env));
	assert_int_equal(0, mdb_env_set_maxdbs(env, 20));
	assert_int_equal(0, mdb_env_open(env, dir, 0, 0600));
	assert_int_equal(0, mdb_txn_begin(env, NULL, 0, &txn));
	assert_int_equal(0, mdb_dbi_open(txn, db, 0, &dbi));
	assert_int_equal(0, mdb_cursor_open(txn, dbi, &cursor));
	assert_int_equal(0, mdb_cursor_get(cursor, &k[0], &v[0], MDB_FIRST));
	assert_int_equal(0, mdb_cursor_get(cursor, &k[1], &v[1], MDB_NEXT));
	cn_buf_add_view(&a, cn_store__view(v[0]));
	cn_buf_add_view(&b, cn_store__view(v[1]));
	if (strcmp(how, "cut") == 0) {
		a.n--;
		b.n = 3;
	} else if (strcmp(how, "flip") == 0) {
		a.p[a.n - 1] ^= 1;
		b.p[12] ^= 1;
	} else if (strcmp(how, "length") == 0) {
		a.p[1] ^= 1;
		b.p[8] = 1; /* huge */
	} else if (strcmp(how, "form") == 0) {
		a.p[0] ^= 1;
		b.p[0] ^= 2;
	} else {
		struct cn_buf c = a;

		a = b;
		b = c;
	}
	v[0] = cn_store__val(cn_buf_view(&a));
	v[1] = cn_store__val(cn_buf_view(&b));
	mdb_cursor_close(cursor);
	{
		CN_AUTO(cn_buf) key0 = {0};
		CN_AUTO(cn_buf) key1 = {0};

		cn_buf_add_view(&key0, cn_store__view(k[0]));
		cn_buf_add_view(&key1, cn_store__view(k[1]));
		k[0] = cn_store__val(cn_buf_view(&key0));
		k[1] = cn_store__val(cn_buf_view(&key1));
		assert_int_equal(0, mdb_put(txn, dbi, &k[0], &v[0], 0));
		assert_int_equal(0, mdb_put(txn, dbi, &k[1], &v[1], 0));
	}
	assert_int_equal(0, mdb_txn_commit(txn));
	mdb_env_close(env);
}

static void a_record_that_was_touched_is_refused(void **state)
{
	static const struct {
		const char *db, *how;
	} cases[] = {{"nodes", "swap"},   {"nodes", "cut"},   {"nodes", "flip"},
	             {"nodes", "length"}, {"nodes", "form"},  {"turns", "swap"},
	             {"turns", "flip"},   {"pieces", "swap"}, {"pieces", "cut"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct talk t = {.owner = "anna", .session = "s"};
		struct seen seen;
		bool of_turns = strcmp(cases[i].db, "turns") == 0;

		t.filler = strcmp(cases[i].db, "pieces") == 0 ? 150000 : 300;
		fixture_place(&f, "/tmp");
		fixture_up(&f);
		/* One turn of two messages beside the prefix; or two turns. */
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
		if (of_turns)
			assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 2)));
		fixture_down(&f);
		tamper(f.dir, cases[i].db, cases[i].how);
		fixture_up(&f);
		assert_int_equal(0, fixture_set_aside(&f)); /* no reason to lose the rest */
		seen = look(f.s, "anna", "s");
		if (of_turns ? seen.turns != 0 : seen.whole != 0)
			fail_msg("%s of %s: %zu turns, %zu whole", cases[i].how,
			         cases[i].db, seen.turns, seen.whole);
		fixture_end(&f);
	}
}

static void write_at(const char *dir, off_t at, const void *p, size_t n)
{
	char name[128];
	int fd;

	(void)snprintf(name, sizeof(name), "%s/data.mdb", dir);
	fd = open(name, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(n, pwrite(fd, p, n, at));
	close(fd);
}

static void cut_to(const char *dir, off_t n)
{
	char name[128];

	(void)snprintf(name, sizeof(name), "%s/data.mdb", dir);
	assert_int_equal(0, truncate(name, n));
}

static void damage(struct fixture *f, const char *how)
{
	static const unsigned char zeros[8192], junk[8192] = {0xa5, 0x5a, 0x13};

	if (strcmp(how, "header") == 0)
		write_at(f->dir, 0, junk, sizeof(junk));
	else if (strcmp(how, "empty header") == 0)
		write_at(f->dir, 0, zeros, sizeof(zeros));
	else if (strcmp(how, "cut") == 0)
		cut_to(f->dir, 3 * 4096);
	else if (strcmp(how, "cut in the header") == 0)
		cut_to(f->dir, 100);
	else if (strcmp(how, "another vault") == 0)
		f->keys.key[0] ^= 1;
	else
		for (off_t page = 2; page < 30; page++)
			write_at(f->dir, page * 4096, zeros, 4096);
}

/* In a process of its own, so that a crash is a result. */
static int survive(struct fixture *f)
{
	struct talk t = {.owner = "anna", .session = "new"};
	struct cn_store_opts reading = f->opts;
	struct cn_store *s;
	int err;

	reading.read_only = true;
	err = cn_store__open(&reading, &f->rules, &s, NULL);
	if (err == 0)
		(void)cn_store_close(s); /* some of it may be left to read */
	else if (err != CN_E_DAMAGED)
		return 10;
	if (fixture_set_aside(f) != 0)
		return 11;
	if (cn_store__open(&f->opts, &f->rules, &f->s, NULL))
		return 12;
	if (fixture_set_aside(f) != 1 || entries(f->s, CN_DB_TURNS) != 0)
		return 13;
	if (!submit_and_wait(f->s, talk_turn(&t, &f->keys, 1)) ||
	    look(f->s, "anna", "new").whole != 1)
		return 14;
	fixture_down(f);
	return 0;
}

static void a_damaged_store_is_set_aside_and_a_new_one_begun(void **state)
{
	static const char *const cases[] = {
	    "header", "empty header", "cut", "cut in the header", "another vault", "pages"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct talk t = {.owner = "anna", .session = "s", .filler = 2000};
		int status = 0;
		pid_t pid;

		fixture_place(&f, "/tmp");
		fixture_up(&f);
		for (unsigned n = 0; n < 40; n++)
			assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1 + n)));
		fixture_down(&f);
		damage(&f, cases[i]);
		if ((pid = fork()) == 0)
			_exit(survive(&f));
		assert_int_equal(pid, waitpid(pid, &status, 0));
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail_msg("%s: status %#x", cases[i], (unsigned)status);
		fixture_remove(f.home);
	}
}

/* ---- others ---- */

static void a_second_router_is_kept_out(void **state)
{
	struct fixture f;
	struct cn_store *second = NULL;
	struct cn_error e = {0};

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	assert_int_equal(CN_E_BUSY, cn_store__open(&f.opts, &f.rules, &second, &e));
	assert_non_null(strstr(e.message, "another router"));
	fixture_down(&f);
	fixture_up(&f); /* the lock went with the first */
	fixture_end(&f);
}

static void a_directory_that_others_may_enter_is_refused(void **state)
{
	struct fixture f;
	struct cn_error e = {0};

	(void)state;
	fixture_place(&f, "/tmp");
	assert_int_equal(0, mkdir(f.dir, 0755));
	assert_int_equal(CN_E_DENIED, cn_store__open(&f.opts, &f.rules, &f.s, &e));
	assert_non_null(strstr(e.message, "chmod 700"));
	fixture_end(&f);
}

static void say(int fd, unsigned char n)
{
	assert_int_equal(1, write(fd, &n, 1));
}

static unsigned char hear(int fd)
{
	unsigned char n = 255;

	assert_int_equal(1, read(fd, &n, 1));
	return n;
}

/* A command beside a router: opens once, then counts whole turns when asked. */
static void read_beside(struct fixture *f, int from, int to)
{
	struct cn_store *s;

	(void)hear(from);
	f->opts.read_only = true;
	if (cn_store__open(&f->opts, &f->rules, &s, NULL))
		_exit(1);
	for (unsigned i = 0; i < 3; i++) {
		say(to, (unsigned char)look(s, "anna", "s").whole);
		(void)hear(from);
	}
	(void)cn_store_close(s);
	_exit(0);
}

static void a_command_reads_beside_a_router(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s", .filler = 100000};
	int there[2], back[2], status;
	pid_t pid;

	(void)state;
	fixture_place(&f, "/tmp");
	f.rules.map_size = 1 << 20; /* so that it grows under the reader */
	f.rules.map_limit = 256 << 20;
	assert_int_equal(0, pipe(there) | pipe(back));
	if ((pid = fork()) == 0)
		read_beside(&f, there[0], back[1]);
	fixture_up(&f);
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
	say(there[1], 0);
	assert_int_equal(1, hear(back[0]));
	for (unsigned i = 0; i < 30; i++)
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 2 + i)));
	say(there[1], 0);
	assert_int_equal(31, hear(back[0]));
	say(there[1], 0);
	assert_int_equal(31, hear(back[0]));
	say(there[1], 0);
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_int_equal(0, status);
	for (unsigned i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	fixture_end(&f);
}

static void without_a_history_a_command_says_so(void **state)
{
	struct fixture f;

	(void)state;
	fixture_place(&f, "/tmp");
	f.opts.read_only = true;
	assert_int_equal(CN_E_NOT_FOUND, cn_store__open(&f.opts, &f.rules, &f.s, NULL));
	assert_int_equal(0, mkdir(f.dir, 0700));
	assert_int_equal(CN_E_NOT_FOUND, cn_store__open(&f.opts, &f.rules, &f.s, NULL));
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_record_that_was_touched_is_refused),
	    cmocka_unit_test(a_damaged_store_is_set_aside_and_a_new_one_begun),
	    cmocka_unit_test(a_second_router_is_kept_out),
	    cmocka_unit_test(a_directory_that_others_may_enter_is_refused),
	    cmocka_unit_test(a_command_reads_beside_a_router),
	    cmocka_unit_test(without_a_history_a_command_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
