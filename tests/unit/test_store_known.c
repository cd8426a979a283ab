/*
 * If this fails, the history has conversations with holes: a turn brings only what is new
 * in it, and what it builds on was not there, or went while the turn stood on it.
 */
#include "../lib/dice.h"
#include "../lib/store_fixture.h"

#include "continuo/counters.h"

#define DAY UINT64_C(86400000)

/* The next turn without what should be there already. */
static struct cn_batch *short_turn(struct talk *t, struct fixture_keys *keys, uint64_t ms)
{
	struct cn_batch *b = cn_batch_new();

	cn_batch_expect(b, &t->prefix);
	cn_batch_expect(b, &t->last);
	talk_go_on(t, keys, b, ms);
	return b;
}

/* The next turn with all that was said before it; there must be no filler. */
static struct cn_batch *full_turn(struct talk *t, struct fixture_keys *keys, uint64_t ms)
{
	struct cn_batch *b = cn_batch_new();
	struct talk again = {.owner = t->owner, .session = t->session, .agent = t->agent};

	talk_prefix(&again, keys, b);
	for (; again.turns < t->turns; again.turns++) {
		talk_say(&again, keys, "user", b);
		talk_say(&again, keys, "assistant", b);
	}
	*t = again;
	talk_go_on(t, keys, b, ms);
	return b;
}

static void assert_message_count(struct fixture *f, const struct talk *t, size_t want)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_node *nodes;
	size_t n = 0;

	assert_int_equal(0, cn_store_messages(f->s, &a, &t->last, &nodes, &n, NULL));
	assert_int_equal(want, n);
}

static void a_turn_brings_only_what_is_new(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s"};

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
	for (unsigned i = 2; i <= 50; i++)
		assert_int_equal(CN_STORE_KEPT,
		                 submit_for_word(f.s, short_turn(&t, &f.keys, i)));
	assert_message_count(&f, &t, 100);
	assert_int_equal(50, look(f.s, "anna", "s").whole);
	assert_int_equal(101, entries(f.s, CN_DB_NODES));
	fixture_end(&f);
}

/* Old turns go by themselves; here the test waits until they have. */
static void await_turns(struct fixture *f, size_t want)
{
	for (uint64_t until = cn_clock_ms() + 20000; entries(f->s, CN_DB_TURNS) != want;)
		assert_true(cn_clock_ms() < until);
}

static void what_a_sweep_took_is_asked_for(void **state)
{
	struct fixture f;
	uint64_t now = cn_clock_wall_ms();
	struct talk old = {.owner = "anna", .session = "old"};
	struct talk young = {.owner = "anna", .session = "young"}, before;

	(void)state;
	fixture_place(&f, "/tmp");
	f.opts.retention_ms = 30 * DAY;
	f.rules.sweep_ms = 1;
	fixture_up(&f);
	assert_true(submit_and_wait(f.s, talk_turn(&young, &f.keys, now)));
	for (unsigned i = 0; i < 3; i++)
		(void)submit_for_word(f.s, full_turn(&old, &f.keys, now - 40 * DAY + i));
	/* The prefix is the same: it stays with the young one. */
	await_turns(&f, 1);
	assert_int_equal(3, entries(f.s, CN_DB_NODES));
	before = old;
	assert_int_equal(CN_STORE_INCOMPLETE,
	                 submit_for_word(f.s, short_turn(&old, &f.keys, now)));
	assert_int_equal(3, entries(f.s, CN_DB_NODES));
	assert_int_equal(1, entries(f.s, CN_DB_TURNS));
	assert_int_equal(1, entries(f.s, CN_DB_SESSIONS));
	old = before;
	assert_int_equal(CN_STORE_KEPT,
	                 submit_for_word(f.s, full_turn(&old, &f.keys, now)));
	assert_message_count(&f, &old, 8);
	assert_int_equal(CN_STORE_KEPT,
	                 submit_for_word(f.s, short_turn(&old, &f.keys, now + 1)));
	assert_message_count(&f, &old, 10);
	assert_int_equal(2, look(f.s, "anna", "old").whole);
	fixture_end(&f);
}

static void an_incomplete_turn_costs_its_group_nothing(void **state)
{
	struct fixture f;
	struct talk there = {.owner = "anna", .session = "there"}, away = there;
	struct word w;
	uint64_t records;
	MDB_txn *held;

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	word_init(&w);
	assert_true(submit_and_wait(f.s, talk_turn(&there, &f.keys, 1)));
	away = there;
	away.session = "away";
	away.last.b[0] ^= 1;
	records = cn_counter_get(CN_CT_STORE_RECORDS);
	/* While this is held the writer waits, and what comes is one group or two. */
	assert_int_equal(0, mdb_txn_begin(f.s->env, NULL, 0, &held));
	for (unsigned i = 0; i < 10; i++) {
		cn_store_submit(f.s, short_turn(&there, &f.keys, 2 + i), on_word, &w);
		cn_store_submit(f.s, short_turn(&away, &f.keys, 2 + i), on_word, &w);
	}
	mdb_txn_abort(held);
	for (unsigned i = 0; i < 20; i++)
		uv_sem_wait(&w.sem);
	assert_int_equal(10, atomic_load(&w.ok));
	assert_int_equal(10, atomic_load(&w.incomplete));
	/* A question, an answer, a turn. */
	assert_int_equal(records + 30, cn_counter_get(CN_CT_STORE_RECORDS));
	assert_int_equal(11, look(f.s, "anna", "there").whole);
	assert_int_equal(0, look(f.s, "anna", "away").turns);
	assert_int_equal(23, entries(f.s, CN_DB_NODES));
	uv_sem_destroy(&w.sem);
	fixture_end(&f);
}

static int fail_once(void *self, enum cn_store_op op)
{
	atomic_int *rc = self;

	return op == CN_STORE_OP_COMMIT ? atomic_exchange(rc, 0) : 0;
}

static void what_was_set_aside_is_asked_for(void **state)
{
	static const struct {
		int rc;
		size_t aside;
		enum cn_store_word word;
	} cases[] = {
	    {EIO, 0, CN_STORE_KEPT},
	    {MDB_PANIC, 1, CN_STORE_INCOMPLETE},
	    {MDB_CORRUPTED, 1, CN_STORE_INCOMPLETE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct talk t = {.owner = "anna", .session = "s"}, before;
		atomic_int rc = 0;

		fixture_place(&f, "/tmp");
		f.rules.fault = fail_once;
		f.rules.self = &rc;
		fixture_up(&f);
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
		assert_true(submit_and_wait(f.s, short_turn(&t, &f.keys, 2)));
		before = t;
		/* The commit finds the damage; the group is written again, elsewhere. */
		atomic_store(&rc, cases[i].rc);
		assert_int_equal(cases[i].word,
		                 submit_for_word(f.s, short_turn(&t, &f.keys, 3)));
		assert_int_equal(cases[i].aside, fixture_set_aside(&f));
		assert_int_equal(CN_STORE_WELL, cn_store_state(f.s));
		if (cases[i].word == CN_STORE_INCOMPLETE) {
			assert_int_equal(0, entries(f.s, CN_DB_TURNS));
			assert_int_equal(0, entries(f.s, CN_DB_NODES));
			t = before;
			assert_true(submit_and_wait(f.s, full_turn(&t, &f.keys, 3)));
		}
		assert_true(submit_and_wait(f.s, short_turn(&t, &f.keys, 4)));
		assert_message_count(&f, &t, 8);
		assert_int_equal(cases[i].aside ? 2 : 4, look(f.s, "anna", "s").whole);
		fixture_end(&f);
	}
}

/* ---- the invariant that all of it rests on ---- */

/* What a walk over the links found: how often each node is referred to by another. */
struct tally {
	struct cn_hash ids[4000], parents[4000];
	uint64_t refs[4000], children[4000];
	bool counted[4000];
	size_t n;
};

static void read_links(struct fixture *f, struct tally *y)
{
	struct cn_store_txn t;
	MDB_cursor *cursor;
	MDB_val key, value;

	y->n = 0;
	assert_int_equal(0, cn_store__begin(f->s, &t));
	assert_int_equal(0, mdb_cursor_open(t.txn, f->s->dbi[CN_DB_LINKS], &cursor));
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
		struct cn_store_link link;

		assert_in_range(y->n, 0, 3999);
		memcpy(y->ids[y->n].b, key.mv_data, CN_HASH_BYTES);
		assert_int_equal(0, cn_store__link_get(&t, &y->ids[y->n], &link));
		y->parents[y->n] = link.parent;
		y->refs[y->n] = link.refs;
		y->counted[y->n] = link.parent_counted;
		y->children[y->n++] = 0;
	}
	mdb_cursor_close(cursor);
	cn_store__abort(&t);
}

/* Every node stands on nodes that are there, and is counted by them. */
static void assert_no_holes(struct fixture *f)
{
	struct tally *y = cn_zalloc(sizeof(*y));
	struct cn_hash none = {{0}};

	read_links(f, y);
	assert_int_equal(y->n, entries(f->s, CN_DB_NODES));
	for (size_t i = 0; i < y->n; i++) {
		size_t k = 0;

		if (cn_hash_eq(&y->parents[i], &none))
			continue;
		while (k < y->n && !cn_hash_eq(&y->ids[k], &y->parents[i]))
			k++;
		assert_true(k < y->n);
		assert_true(y->counted[i]);
		y->children[k]++;
	}
	for (size_t i = 0; i < y->n; i++)
		assert_true(y->refs[i] >= y->children[i] && y->refs[i] > 0);
	free(y);
}

static void sweeps_leave_no_holes(void **state)
{
	static const char *const sessions[] = {"a", "b", "c", "d"};
	uint64_t now = cn_clock_wall_ms();

	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct fixture f;
		struct dice d = {seed};
		struct talk talks[4];
		size_t kept = 0, asked = 0, young = 0;

		fixture_place(&f, "/tmp");
		f.opts.retention_ms = 30 * DAY;
		f.rules.sweep_ms = 1;
		fixture_up(&f);
		for (size_t i = 0; i < 4; i++)
			talks[i] = (struct talk){.owner = "anna", .session = sessions[i]};
		for (unsigned i = 0; i < 150; i++) {
			struct talk *t = &talks[dice_below(&d, 4)], before = *t;
			bool old = dice_percent(&d, 60);
			uint64_t ms = now - (old ? 40 * DAY : DAY) + i;
			enum cn_store_word word;

			word = submit_for_word(f.s, t->turns ? short_turn(t, &f.keys, ms)
			                                     : full_turn(t, &f.keys, ms));
			kept += word == CN_STORE_KEPT;
			if (word == CN_STORE_INCOMPLETE) {
				asked++;
				*t = before;
				word = submit_for_word(f.s, full_turn(t, &f.keys, ms));
			}
			assert_int_equal(CN_STORE_KEPT, word);
			young += !old;
			if (i < 10 || dice_percent(&d, 20))
				await_turns(&f, young);
		}
		fixture_down(&f);
		f.rules.sweep_ms = UINT32_MAX;
		f.opts.retention_ms = 0;
		fixture_up(&f);
		assert_no_holes(&f);
		for (size_t i = 0; i < 4; i++) {
			struct seen seen = look(f.s, "anna", sessions[i]);

			assert_int_equal(seen.turns, seen.whole);
		}
		assert_true(kept > 0 && asked > 0);
		fixture_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_turn_brings_only_what_is_new),
	    cmocka_unit_test(what_a_sweep_took_is_asked_for),
	    cmocka_unit_test(an_incomplete_turn_costs_its_group_nothing),
	    cmocka_unit_test(what_was_set_aside_is_asked_for),
	    cmocka_unit_test(sweeps_leave_no_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
