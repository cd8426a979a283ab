/*
 * The vault's file read anew while it is in use: when this fails, a router that runs does
 * not learn of a key, takes over what it should refuse, or lends memory that is gone.
 */
#include "vault_box.h"

#include <pthread.h>

static const char origin[] = "https://api.example.com";
static const char first[] = "sk-first-abcdefghijklmnop";
static const char second[] = "sk-second-abcdefghijklmnop";

/* One vault, opened by the router that serves and by the command that changes it. */
struct two {
	struct box b;
	struct cn_vault *router, *command;
};

static void two_open(struct two *t, const char *passphrase)
{
	box_init(&t->b);
	box_create(&t->b, passphrase);
	t->command = box_open(&t->b);
	put_key(t->command, "k", first, origin);
	t->router = box_open(&t->b);
}

static void two_close(struct two *t)
{
	cn_vault_close(t->router);
	cn_vault_close(t->command);
	box_done(&t->b);
}

static void reload(struct two *t, bool want_change)
{
	struct cn_error err = {0};
	bool changed = !want_change;
	if (cn_vault_reload(t->router, &t->b.how, &changed, &err))
		fail_msg("reload: %s", err.message);
	assert_int_equal(changed, want_change);
}

/* Refused with that code and words, and what was opened is still there. */
static void refuse(struct two *t, int code, const char *words)
{
	struct cn_error err = {0};
	bool changed = false;
	uint64_t generation = cn_vault_generation(t->router);
	int got = cn_vault_reload(t->router, &t->b.how, &changed, &err);
	if (got != code || !contains(err.message, words))
		fail_msg("got %d '%s', want %d '%s'", got, err.message, code, words);
	assert_false(changed);
	assert_int_equal(cn_vault_generation(t->router), generation);
	expect_key(t->router, "k", origin, first);
}

static bool scrubs(struct cn_vault *v, const char *secret)
{
	char text[100];
	snprintf(text, sizeof(text), "before %s after", secret);
	return cn_vault_scrub(v, text, strlen(text)) == 1 && !contains(text, secret);
}

static void what_another_saved_is_taken_over(void **state)
{
	struct two t;
	struct cn_error err = {0};
	(void)state;
	two_open(&t, NULL);
	reload(&t, false);
	put_key(t.command, "new", second, origin);
	assert_int_equal(cn_vault_check(t.router, "new", origin, &err), CN_E_NOT_FOUND);
	reload(&t, true);
	expect_key(t.router, "new", origin, second);
	expect_key(t.router, "k", origin, first);
	assert_int_equal(cn_vault_generation(t.router), cn_vault_generation(t.command));
	assert_true(scrubs(t.router, second));
	reload(&t, false);

	put_key(t.command, "k", "zz-third-abcdefghijklmnop", origin);
	assert_int_equal(cn_vault_remove(t.command, "new", &err), 0);
	reload(&t, true);
	expect_key(t.router, "k", origin, "zz-third-abcdefghijklmnop");
	assert_int_equal(cn_vault_check(t.router, "new", origin, &err), CN_E_NOT_FOUND);
	two_close(&t);
}

static void a_key_that_gave_way_is_scrubbed_for_a_while(void **state)
{
	/* Without a well-known shape: only the book can know them. */
	static const char old[] = "plainoldword1", now[] = "plainnewword2";
	struct two t;
	(void)state;
	two_open(&t, NULL);
	put_key(t.command, "p", old, origin);
	reload(&t, true);
	put_key(t.command, "p", now, origin);
	reload(&t, true);
	assert_true(scrubs(t.router, old));
	assert_true(scrubs(t.router, now));
	two_close(&t);
}

static void nothing_changes_where_only_slots_did(void **state)
{
	struct two t;
	struct cn_error err = {0};
	struct cn_secret *s = secret("a new passphrase");
	(void)state;
	two_open(&t, NULL);
	assert_int_equal(cn_vault_passwd(t.command, s, &err), 0);
	cn_secret_free(s);
	reload(&t, true);
	expect_key(t.router, "k", origin, first);
	two_close(&t);
}

static bool yes(void *self, const char *labels)
{
	(void)self;
	(void)labels;
	return true;
}

static void rotate(struct two *t)
{
	struct cn_error err = {0};
	if (cn_vault_rotate(t->command, &t->b.how, yes, NULL, &err))
		fail_msg("rotate: %s", err.message);
}

static void another_root_key_is_found_by_the_ways_in_that_are_known(void **state)
{
	struct two t;
	struct cn_error err = {0};
	CN_AUTO(cn_buf) sealed = {0};
	CN_AUTO(cn_buf) plain = {0};
	(void)state;
	two_open(&t, NULL);
	struct cn_view text = CN_VIEW("token");
	struct cn_hash before = cn_vault_hash(t.router, CN_VAULT_HASH_TOKEN, &text, 1);
	cn_vault_seal(t.router, CN_VIEW("ad"), CN_VIEW("old times"), &sealed);
	rotate(&t);
	/* The key file is not to be had: the slot's wrapping key is still at hand. */
	t.b.how.key_file = NULL;
	reload(&t, true);
	t.b.how.key_file = t.b.key;
	expect_key(t.router, "k", origin, first);
	assert_int_equal(cn_vault_epoch(t.router), 2);
	struct cn_hash after = cn_vault_hash(t.router, CN_VAULT_HASH_TOKEN, &text, 1);
	assert_true(cn_hash_eq(&before, &after));
	assert_int_equal(cn_vault_open_sealed(t.router, CN_VIEW("ad"), cn_buf_view(&sealed),
	                                      &plain, &err),
	                 0);
	/* And once more, under the keys that the first reload took over. */
	rotate(&t);
	reload(&t, true);
	assert_int_equal(cn_vault_epoch(t.router), 3);
	two_close(&t);
}

static void a_router_opened_by_passphrase_follows_a_rotation(void **state)
{
	struct two t;
	struct cn_error err = {0};
	(void)state;
	two_open(&t, "some long passphrase");
	cn_vault_close(t.router);
	assert_int_equal(open_with(&t.b, "some long passphrase", &t.router, &err), 0);
	cn_vault_close(t.command);
	assert_int_equal(open_with(&t.b, "some long passphrase", &t.command, &err), 0);
	rotate(&t);
	t.b.how.key_file = NULL;
	reload(&t, true);
	expect_key(t.router, "k", origin, first);
	two_close(&t);
}

static void older_other_and_damaged_files_are_refused(void **state)
{
	struct two t, other;
	CN_AUTO(cn_buf) old = {0};
	CN_AUTO(cn_buf) now = {0};
	CN_AUTO(cn_buf) foreign = {0};
	(void)state;
	two_open(&t, NULL);
	load_file(t.b.vault, &old);
	put_key(t.command, "new", second, origin);
	reload(&t, true);
	load_file(t.b.vault, &now);
	store_file(t.b.vault, cn_buf_view(&old), 0600);
	refuse(&t, CN_E_DENIED, "older");

	two_open(&other, NULL);
	load_file(other.b.vault, &foreign);
	two_close(&other);
	store_file(t.b.vault, cn_buf_view(&foreign), 0600);
	refuse(&t, CN_E_DENIED, "another vault");

	store_file(t.b.vault, cn_view(now.p, now.n / 2), 0600);
	refuse(&t, CN_E_LOCKED, "damaged");
	now.p[40]++; /* of the generation's neighbours: a length that lies */
	store_file(t.b.vault, cn_buf_view(&now), 0600);
	refuse(&t, CN_E_LOCKED, "damaged");
	now.p[40]--;
	now.p[32]++; /* a higher generation that nobody sealed */
	store_file(t.b.vault, cn_buf_view(&now), 0600);
	refuse(&t, CN_E_LOCKED, "damaged");
	now.p[32]--;
	store_file(t.b.vault, cn_buf_view(&now), 0644);
	refuse(&t, CN_E_DENIED, "chmod");
	unlink(t.b.vault);
	refuse(&t, CN_E_NOT_FOUND, "");

	store_file(t.b.vault, cn_buf_view(&now), 0600);
	reload(&t, false);
	two_close(&t);
}

static void a_vault_with_other_keys_of_its_own_is_refused(void **state)
{
	struct two t;
	(void)state;
	two_open(&t, NULL);
	struct cn_vault__next next;
	struct cn_error err = {0};
	cn_vault__begin(t.command, &next);
	cn_vault__ring_put(&next.ring,
	                   cn_vault__record_new(CN_VAULT__TOKEN, CN_VIEW("1"),
	                                        cn_secret__random(CN_VAULT__KEY)));
	assert_int_equal(cn_vault__save(t.command, &next, &err), 0);
	cn_vault__end(t.command, &next);
	refuse(&t, CN_E_DENIED, "other keys of its own");
	two_close(&t);
}

/* ---- while others borrow ---- */

struct crowd {
	struct cn_vault *v;
	atomic_uint wrong, done;
};

static void count_wrong(void *self, struct cn_view s)
{
	struct crowd *c = self;
	/* Every value that the key ever has here ends alike. */
	if (s.n < 16 || memcmp(s.p + s.n - 16, "abcdefghijklmnop", 16) != 0)
		c->wrong++;
}

static void *borrow_often(void *self)
{
	struct crowd *c = self;
	struct cn_view text = CN_VIEW("token");
	struct cn_hash want = cn_vault_hash(c->v, CN_VAULT_HASH_TOKEN, &text, 1);
	for (unsigned i = 0; i < 1500; i++) {
		char line[] = "a line of log";
		CN_AUTO(cn_buf) sealed = {0};
		CN_AUTO(cn_buf) plain = {0};
		struct cn_hash got = cn_vault_hash(c->v, CN_VAULT_HASH_TOKEN, &text, 1);
		if (cn_vault_borrow(c->v, "k", origin, count_wrong, c, NULL) ||
		    cn_vault_scrub(c->v, line, sizeof(line) - 1) ||
		    !cn_hash_eq(&want, &got))
			c->wrong++;
		cn_vault_seal(c->v, CN_VIEW("ad"), CN_VIEW("plain"), &sealed);
		if (cn_vault_open_sealed(c->v, CN_VIEW("ad"), cn_buf_view(&sealed), &plain,
		                         NULL))
			c->wrong++;
	}
	c->done++;
	return NULL;
}

static void many_threads_borrow_while_the_file_is_read_anew(void **state)
{
	struct two t;
	struct crowd c = {0};
	pthread_t threads[4];
	unsigned rounds = 0;
	(void)state;
	two_open(&t, NULL);
	c.v = t.router;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, borrow_often, &c), 0);
	while (c.done < 4) {
		put_key(t.command, "k", rounds++ % 2 ? first : second, origin);
		if (rounds % 8 == 0)
			rotate(&t);
		reload(&t, true);
	}
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c.wrong, 0);
	two_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_another_saved_is_taken_over),
	    cmocka_unit_test(a_key_that_gave_way_is_scrubbed_for_a_while),
	    cmocka_unit_test(nothing_changes_where_only_slots_did),
	    cmocka_unit_test(another_root_key_is_found_by_the_ways_in_that_are_known),
	    cmocka_unit_test(a_router_opened_by_passphrase_follows_a_rotation),
	    cmocka_unit_test(older_other_and_damaged_files_are_refused),
	    cmocka_unit_test(a_vault_with_other_keys_of_its_own_is_refused),
	    cmocka_unit_test(many_threads_borrow_while_the_file_is_read_anew),
	};
	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
