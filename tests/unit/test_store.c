/*
 * If this fails, the history forgets, mixes up or repeats what it was given in fair
 * weather.
 */
#include "../lib/store_fixture.h"

static void a_turn_is_there_after_its_word(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s-1"};
	struct seen seen;

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	for (unsigned i = 0; i < 5; i++)
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1000 + i)));
	seen = look(f.s, "anna", "s-1");
	assert_int_equal(5, seen.turns);
	assert_int_equal(5, seen.whole);
	assert_true(seen.in_order);
	/* And after another start. */
	fixture_down(&f);
	fixture_up(&f);
	seen = look(f.s, "anna", "s-1");
	assert_int_equal(5, seen.whole);
	fixture_end(&f);
}

static void a_message_is_stored_once(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s"}, fork;

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1)));
	assert_int_equal(3, entries(f.s, CN_DB_NODES)); /* prefix, question, answer */
	fork = t;
	assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 2)));
	assert_int_equal(5, entries(f.s, CN_DB_NODES));
	/* The same again, as after a failure whose commit came through. */
	assert_true(submit_and_wait(f.s, talk_turn(&fork, &f.keys, 2)));
	assert_int_equal(5, entries(f.s, CN_DB_NODES));
	assert_int_equal(2, entries(f.s, CN_DB_TURNS));
	assert_int_equal(2, look(f.s, "anna", "s").turns);
	fixture_end(&f);
}

static void a_large_message_is_split_and_comes_back(void **state)
{
	static const size_t sizes[] = {0, 1000, 60000, 140000, 3000000};
	struct fixture f;

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct cn_batch *b = cn_batch_new();
		CN_AUTO(cn_arena) a = {0};
		struct cn_node node = {.canonical.n = sizes[i]}, back;
		size_t pieces = entries(f.s, CN_DB_PIECES);
		CN_AUTOFREE char *noise = cn_alloc(sizes[i] + 1);

		randombytes_buf(noise, sizes[i]);
		node.canonical.p = noise;
		node.id.b[0] = (unsigned char)(i + 1);
		cn_batch_node(b, &node);
		assert_true(submit_and_wait(f.s, b));
		assert_int_equal(0, cn_store_node(f.s, &a, &node.id, &back, NULL));
		assert_true(cn_view_eq(node.canonical, back.canonical));
		if (sizes[i] > 2 * CN_STORE_SPLIT_OVER)
			assert_true(entries(f.s, CN_DB_PIECES) > pieces + 3);
		else if (sizes[i] < CN_STORE_SPLIT_OVER - 100)
			assert_int_equal(pieces, entries(f.s, CN_DB_PIECES));
	}
	fixture_end(&f);
}

static void what_comes_together_is_committed_together(void **state)
{
	struct fixture f;
	struct word w;
	struct talk t = {.owner = "anna", .session = "s"};
	MDB_envinfo before, after;
	MDB_txn *held;

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	word_init(&w);
	/* While this is held the writer waits with what it took first: the rest is company.
	 */
	assert_int_equal(0, mdb_txn_begin(f.s->env, NULL, 0, &held));
	assert_int_equal(0, mdb_env_info(f.s->env, &before));
	for (unsigned i = 0; i < 20; i++)
		cn_store_submit(f.s, talk_turn(&t, &f.keys, i + 1), on_word, &w);
	mdb_txn_abort(held);
	for (unsigned i = 0; i < 20; i++)
		uv_sem_wait(&w.sem);
	assert_int_equal(0, mdb_env_info(f.s->env, &after));
	assert_int_equal(20, atomic_load(&w.ok));
	/* 20 turns of 4 records are one group of at most 256. */
	assert_in_range(after.me_last_txnid - before.me_last_txnid, 1, 2);
	assert_int_equal(0, cn_store_queued(f.s));
	uv_sem_destroy(&w.sem);
	fixture_end(&f);
}

/* ---- sessions ---- */

struct lines {
	struct cn_session_line v[8];
	char text[8][5][128];
	size_t n;
};

static bool on_line(void *self, const struct cn_session_line *l)
{
	struct lines *ls = self;
	const struct cn_view from[5] = {l->owner, l->session, l->project, l->last_model,
	                                l->title};
	struct cn_session_line *to = &ls->v[ls->n];
	struct cn_view *into[5] = {&to->owner, &to->session, &to->project, &to->last_model,
	                           &to->title};

	*to = *l;
	for (size_t i = 0; i < 5; i++) {
		memcpy(ls->text[ls->n][i], from[i].p ? from[i].p : "", from[i].n);
		*into[i] = cn_view(ls->text[ls->n][i], from[i].n);
	}
	return ++ls->n < 8;
}

static void assert_text(const char *want, struct cn_view got)
{
	if (!cn_view_is(got, want))
		fail_msg("want \"%s\", got \"%.*s\"", want, CN_VIEW_ARG(got));
}

static void sessions_are_listed_newest_first(void **state)
{
	struct fixture f;
	struct talk a = {.owner = "anna", .session = "aaa-1"};
	struct talk agent = {.owner = "anna", .session = "aaa-1", .agent = "a01"};
	struct talk b = {.owner = "bert", .session = "aaa-1"};
	struct talk c = {.owner = "anna", .session = "aab-2"};
	struct lines ls = {.n = 0};

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	assert_true(submit_and_wait(f.s, talk_turn(&a, &f.keys, 100)));
	assert_true(submit_and_wait(f.s, talk_turn(&b, &f.keys, 200)));
	assert_true(submit_and_wait(f.s, talk_turn(&c, &f.keys, 150)));
	assert_true(submit_and_wait(f.s, talk_turn(&agent, &f.keys, 300)));
	agent.turns = 7;
	assert_true(submit_and_wait(f.s, talk_turn(&agent, &f.keys, 400)));
	assert_int_equal(0, cn_store_sessions(f.s, CN_VIEW("anna"), on_line, &ls, NULL));
	assert_int_equal(2, ls.n);
	assert_text("aaa-1", ls.v[0].session);
	assert_text("anna", ls.v[0].owner);
	assert_text("project", ls.v[0].project);
	assert_text("kimi/k2", ls.v[0].last_model);
	assert_text("aaa-1  says 0 ", ls.v[0].title);
	assert_int_equal(3, ls.v[0].turns);
	assert_int_equal(1, ls.v[0].agents);
	assert_int_equal(100, ls.v[0].first_ms);
	assert_int_equal(400, ls.v[0].last_ms);
	assert_text("aab-2", ls.v[1].session);
	ls.n = 0;
	assert_int_equal(0, cn_store_sessions(f.s, CN_VIEW(""), on_line, &ls, NULL));
	assert_int_equal(3, ls.n);
	fixture_end(&f);
}

static bool on_any_turn(void *self, const struct cn_turn_record *t)
{
	(void)t;
	++*(size_t *)self;
	return true;
}

static void a_session_is_found_by_a_unique_beginning(void **state)
{
	static const struct {
		const char *owner, *id;
		int err;
		size_t turns;
	} cases[] = {
	    {"anna", "aaa", 0, 1},
	    {"anna", "aa", CN_E_INVALID, 0}, /* two of hers begin so */
	    {"anna", "x", CN_E_NOT_FOUND, 0},
	    {"bert", "aa", 0, 2},
	    {"", "aaa-1", CN_E_INVALID, 0}, /* two owners */
	    {"", "aab", 0, 1},
	    {"carl", "aaa-1", CN_E_NOT_FOUND, 0}, /* another owner's finds nothing */
	    {"anna", "ccc", 0, 1},                /* whole, though ccc-1 begins so */
	};
	struct fixture f;
	struct talk talks[] = {{.owner = "anna", .session = "aaa-1"},
	                       {.owner = "anna", .session = "aab-2"},
	                       {.owner = "bert", .session = "aaa-1"},
	                       {.owner = "anna", .session = "ccc-1"},
	                       {.owner = "anna", .session = "ccc"}};

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	for (size_t i = 0; i < 5; i++)
		assert_true(submit_and_wait(f.s, talk_turn(&talks[i], &f.keys, 10 + i)));
	assert_true(submit_and_wait(f.s, talk_turn(&talks[2], &f.keys, 20)));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t turns = 0;
		int err =
		    cn_store_turns(f.s, cn_view_str(cases[i].owner),
		                   cn_view_str(cases[i].id), on_any_turn, &turns, NULL);

		if (err != cases[i].err || turns != cases[i].turns)
			fail_msg("%s/%s: want %d with %zu turns, got %d with %zu",
			         cases[i].owner, cases[i].id, cases[i].err, cases[i].turns,
			         err, turns);
	}
	fixture_end(&f);
}

static void turns_since_a_time_are_found_in_every_session(void **state)
{
	static const struct {
		uint64_t since;
		size_t turns;
	} cases[] = {{0, 6}, {10, 6}, {11, 5}, {20, 3}, {21, 2}, {31, 0}};
	struct fixture f;
	struct talk talks[] = {{.owner = "anna", .session = "aaa-1"},
	                       {.owner = "anna", .session = "aab-2"},
	                       {.owner = "bert", .session = "aaa-1"}};

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	for (size_t i = 0; i < 3; i++)
		assert_true(submit_and_wait(f.s, talk_turn(&talks[i], &f.keys, 10 + i)));
	assert_true(submit_and_wait(f.s, talk_turn(&talks[0], &f.keys, 20)));
	assert_true(submit_and_wait(f.s, talk_turn(&talks[2], &f.keys, 30)));
	assert_true(submit_and_wait(f.s, talk_turn(&talks[2], &f.keys, 29)));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t turns = 0;

		assert_int_equal(0, cn_store_turns_since(f.s, cases[i].since, on_any_turn,
		                                         &turns, NULL));
		if (turns != cases[i].turns)
			fail_msg("since %d: want %zu, got %zu", (int)cases[i].since,
			         cases[i].turns, turns);
	}
	fixture_end(&f);
}

/* ---- tokens, provenance, generation ---- */

struct tokens {
	size_t n;
	struct cn_token_record last;
	char name[64];
};

static void on_token_seen(void *self, const struct cn_token_record *t)
{
	struct tokens *ts = self;

	ts->n++;
	ts->last = *t;
	(void)snprintf(ts->name, sizeof(ts->name), "%.*s/%.*s/%.*s/%.*s",
	               CN_VIEW_ARG(t->name), CN_VIEW_ARG(t->owner), CN_VIEW_ARG(t->project),
	               CN_VIEW_ARG(t->chain));
}

static void tokens_are_kept_by_hash_and_removed_by_name(void **state)
{
	struct fixture f;
	struct cn_token_record t = {
	    .hash = {{7}},
	    .name = CN_VIEW("laptop"),
	    .owner = CN_VIEW("anna"),
	    .project = CN_VIEW("p \"q\""),
	    .chain = CN_VIEW("small"),
	    .scopes = CN_SCOPE_TURN | CN_SCOPE_ADMIN,
	    .run = true,
	    .created_ms = 1234567890123,
	    .requests_per_minute = 60,
	    .turns = 3,
	    .tokens_per_day = UINT64_MAX,
	    .money_per_day = 2.5,
	};
	struct cn_token_record other = {.hash = {{8}}, .name = CN_VIEW("laptop")};
	struct tokens ts = {.n = 0};

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	assert_int_equal(0, cn_store_token_put(f.s, &t, NULL));
	assert_int_equal(CN_E_EXISTS, cn_store_token_put(f.s, &other, NULL));
	assert_int_equal(0, cn_store_token_put(f.s, &t, NULL)); /* the same again */
	fixture_down(&f);
	fixture_up(&f);
	assert_int_equal(0, cn_store_token_each(f.s, on_token_seen, &ts, NULL));
	assert_int_equal(1, ts.n);
	assert_string_equal("laptop/anna/p \"q\"/small", ts.name);
	assert_memory_equal(&t.hash, &ts.last.hash, sizeof(t.hash));
	assert_int_equal(t.scopes, ts.last.scopes);
	assert_true(ts.last.run);
	assert_int_equal(t.created_ms, ts.last.created_ms);
	assert_int_equal(60, ts.last.requests_per_minute);
	assert_int_equal(3, ts.last.turns);
	assert_true(ts.last.tokens_per_day == UINT64_MAX);
	assert_true(ts.last.money_per_day == 2.5);
	assert_int_equal(CN_E_NOT_FOUND,
	                 cn_store_token_remove(f.s, CN_VIEW("lapto"), NULL));
	assert_int_equal(0, cn_store_token_remove(f.s, CN_VIEW("laptop"), NULL));
	ts.n = 0;
	assert_int_equal(0, cn_store_token_each(f.s, on_token_seen, &ts, NULL));
	assert_int_equal(0, ts.n);
	fixture_end(&f);
}

static void provenance_names_the_model_that_signed(void **state)
{
	struct fixture f;
	struct cn_hash known = {{1}}, unknown = {{2}};
	struct cn_batch *b = cn_batch_new();
	CN_AUTO(cn_arena) a = {0};
	struct cn_view model;

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	cn_batch_provenance(b, &known, CN_VIEW("anthropic/opus"));
	assert_true(submit_and_wait(f.s, b));
	assert_int_equal(0, cn_store_provenance(f.s, &a, &known, &model, NULL));
	assert_text("anthropic/opus", model);
	assert_int_equal(CN_E_NOT_FOUND,
	                 cn_store_provenance(f.s, &a, &unknown, &model, NULL));
	fixture_end(&f);
}

static void the_vault_generation_is_read_before_anything_is_open(void **state)
{
	struct fixture f;
	unsigned char id[16] = {1, 2, 3}, other[16] = {9};
	uint64_t generation = 0;

	(void)state;
	fixture_place(&f, "/tmp");
	assert_false(cn_store_vault_generation(f.dir, id, &generation));
	fixture_up(&f);
	assert_int_equal(0, cn_store_vault_put(f.s, id, 41, NULL));
	assert_int_equal(0, cn_store_vault_put(f.s, id, 42, NULL));
	fixture_down(&f);
	assert_true(cn_store_vault_generation(f.dir, id, &generation));
	assert_int_equal(42, generation);
	assert_false(cn_store_vault_generation(f.dir, other, &generation));
	fixture_end(&f);
}

/* ---- retention ---- */

static void what_is_too_old_goes_with_all_that_only_it_needed(void **state)
{
	struct fixture f;
	uint64_t now = cn_clock_wall_ms(), day = 86400000;
	struct talk old = {.owner = "anna", .session = "old"};
	struct talk mixed = {.owner = "anna", .session = "mixed", .filler = 200000};
	struct lines ls = {.n = 0};

	(void)state;
	fixture_place(&f, "/tmp");
	f.rules.sweep_ms = UINT32_MAX; /* the test sweeps */
	fixture_up(&f);
	for (unsigned i = 0; i < 150; i++)
		assert_true(
		    submit_and_wait(f.s, talk_turn(&old, &f.keys, now - 40 * day + i)));
	assert_true(submit_and_wait(f.s, talk_turn(&mixed, &f.keys, now - 35 * day)));
	assert_true(entries(f.s, CN_DB_PIECES) > 0);
	assert_true(submit_and_wait(f.s, talk_turn(&mixed, &f.keys, now - day)));
	fixture_down(&f);

	f.opts.retention_ms = 30 * day;
	f.rules.sweep_ms = 1;
	fixture_up(&f);
	/* The writer sweeps by itself, in several transactions. */
	for (uint64_t until = cn_clock_ms() + 20000; entries(f.s, CN_DB_TURNS) > 1;)
		assert_true(cn_clock_ms() < until);
	fixture_down(&f);
	f.rules.sweep_ms = UINT32_MAX;
	fixture_up(&f);
	assert_int_equal(0, cn_store_sessions(f.s, CN_VIEW("anna"), on_line, &ls, NULL));
	assert_int_equal(1, ls.n);
	assert_text("mixed", ls.v[0].session);
	assert_int_equal(1, ls.v[0].turns);
	assert_int_equal(now - day, ls.v[0].first_ms);
	/* What the young turn builds on is kept: prefix and four messages. */
	assert_int_equal(5, entries(f.s, CN_DB_NODES));
	assert_int_equal(5, entries(f.s, CN_DB_LINKS));
	assert_int_equal(1, look(f.s, "anna", "mixed").whole);
	/* And all goes when that is over too. */
	fixture_down(&f);
	f.opts.retention_ms = 1;
	f.rules.sweep_ms = 1;
	fixture_up(&f);
	for (uint64_t until = cn_clock_ms() + 20000; entries(f.s, CN_DB_TIMES) > 0;)
		assert_true(cn_clock_ms() < until);
	fixture_down(&f);
	f.rules.sweep_ms = UINT32_MAX;
	f.opts.retention_ms = 0;
	fixture_up(&f);
	for (int db = CN_DB_NODES; db < CN_DB_COUNT; db++)
		if (entries(f.s, (enum cn_store_db)db))
			fail_msg("%s: %zu left", cn_store__db_name((enum cn_store_db)db),
			         entries(f.s, (enum cn_store_db)db));
	fixture_end(&f);
}

static void a_node_whose_turn_never_came_goes_too(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s"};
	struct cn_batch *b = cn_batch_new();

	(void)state;
	fixture_place(&f, "/tmp");
	fixture_up(&f);
	talk_say(&t, &f.keys, "user", b);
	talk_say(&t, &f.keys, "assistant", b);
	assert_true(submit_and_wait(f.s, b));
	assert_int_equal(2, entries(f.s, CN_DB_NODES));
	fixture_down(&f);
	f.opts.retention_ms = 1;
	f.rules.sweep_ms = 1;
	fixture_up(&f);
	for (uint64_t until = cn_clock_ms() + 20000; entries(f.s, CN_DB_NODES) > 0;)
		assert_true(cn_clock_ms() < until);
	assert_int_equal(0, entries(f.s, CN_DB_LINKS));
	fixture_end(&f);
}

static void over_max_size_the_oldest_go(void **state)
{
	struct fixture f;
	struct talk t = {.owner = "anna", .session = "s", .filler = 20000};
	uint64_t used = 0;

	(void)state;
	fixture_place(&f, "/tmp");
	f.opts.max_size = (uint64_t)4 << 20;
	f.rules.sweep_ms = 1;
	fixture_up(&f);
	for (unsigned i = 0; i < 300; i++) {
		t.last = (struct cn_hash){{0}}; /* each on its own, so each can go */
		assert_true(submit_and_wait(f.s, talk_turn(&t, &f.keys, 1000 + i)));
	}
	fixture_down(&f); /* the writer is gone: the figures stand still */
	f.rules.sweep_ms = UINT32_MAX;
	fixture_up(&f);
	assert_int_equal(0, cn_store__env_used(f.s, &used));
	assert_in_range(used, 1 << 20, 6 << 20);
	assert_in_range(look(f.s, "anna", "s").whole, 30, 200);
	/* The newest is there. */
	assert_int_equal(1299, look(f.s, "anna", "s").last_ms);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_turn_is_there_after_its_word),
	    cmocka_unit_test(a_message_is_stored_once),
	    cmocka_unit_test(a_large_message_is_split_and_comes_back),
	    cmocka_unit_test(what_comes_together_is_committed_together),
	    cmocka_unit_test(sessions_are_listed_newest_first),
	    cmocka_unit_test(a_session_is_found_by_a_unique_beginning),
	    cmocka_unit_test(turns_since_a_time_are_found_in_every_session),
	    cmocka_unit_test(tokens_are_kept_by_hash_and_removed_by_name),
	    cmocka_unit_test(provenance_names_the_model_that_signed),
	    cmocka_unit_test(the_vault_generation_is_read_before_anything_is_open),
	    cmocka_unit_test(what_is_too_old_goes_with_all_that_only_it_needed),
	    cmocka_unit_test(a_node_whose_turn_never_came_goes_too),
	    cmocka_unit_test(over_max_size_the_oldest_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
