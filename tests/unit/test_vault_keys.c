/*
 * Provider keys and the functions that others get: when this fails, a key can be sent where
 * it does not belong, or what was sealed cannot be opened again (or can by others).
 */
#include "vault_box.h"

#include "continuo/clock.h"

static const char origin[] = "https://api.example.com";
static const char value[] = "sk-test-abcdefghijklmnop";

/* ---- origins ---- */

static void origins_have_one_form(void **state)
{
	static const struct {
		const char *in, *want; /* NULL: refused */
	} cases[] = {
	    {"https://api.example.com", "https://api.example.com:443"},
	    {"HTTPS://API.Example.com:443", "https://api.example.com:443"},
	    {"https://api.example.com:8443", "https://api.example.com:8443"},
	    {"https://10.0.0.1", "https://10.0.0.1:443"},
	    {"https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"},
	    {"http://localhost:8080", "http://localhost:8080"},
	    {"http://127.0.0.1", "http://127.0.0.1:80"},
	    {"http://[::1]:1", "http://[::1]:1"},
	    {"http://api.example.com", NULL},
	    {"http://127.evil.example", NULL},
	    {"http://localhost.evil.example", NULL},
	    {"https://", NULL},
	    {"https://:443", NULL},
	    {"https://a:", NULL},
	    {"https://a:0", NULL},
	    {"https://a:65536", NULL},
	    {"https://a:99999999999999999999", NULL},
	    {"https://a:44x", NULL},
	    {"https://a/", NULL},
	    {"https://a/v1", NULL},
	    {"https://user@a", NULL},
	    {"https://user:pass@a", NULL},
	    {"https://a?x", NULL},
	    {"https://a b", NULL},
	    {"https://a..b", NULL},
	    {"https://.a", NULL},
	    {"https://a.", NULL},
	    {"https://[::1", NULL},
	    {"https://[]:1", NULL},
	    {"https://[::1]x:1", NULL},
	    {"https://\xc3\xa4.example", NULL},
	    {"ftp://a", NULL},
	    {"api.example.com", NULL},
	    {"", NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) got = {0};
		bool taken = cn_vault__origin(cn_view_str(cases[i].in), &got);
		if (taken != (cases[i].want != NULL) ||
		    (taken && strcmp(cn_buf_cstr(&got), cases[i].want) != 0))
			fail_msg("'%s' gave '%s'", cases[i].in,
			         taken ? cn_buf_cstr(&got) : "");
	}
}

static void a_key_goes_to_its_origins_only(void **state)
{
	static const struct {
		const char *name, *to;
		int code;
	} cases[] = {
	    {"k", "https://api.example.com", 0},
	    {"k", "https://API.example.com:443", 0},
	    {"k", "https://second.example.com:8443", 0},
	    {"k", "https://second.example.com", CN_E_DENIED},
	    {"k", "https://api.example.com:444", CN_E_DENIED},
	    {"k", "https://api.example.com.evil.example", CN_E_DENIED},
	    {"k", "https://evil.example", CN_E_DENIED},
	    {"k", "http://api.example.com", CN_E_DENIED},
	    {"k", "", CN_E_DENIED},
	    {"other", "https://api.example.com", CN_E_NOT_FOUND},
	    {"1", "https://api.example.com", CN_E_NOT_FOUND}, /* a record key's name */
	};
	const char *origins[] = {origin, "https://second.example.com:8443"};
	struct box b;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	struct cn_vault_terms t = {origins, 2, 0};
	assert_int_equal(cn_vault_set(v, "k", secret(value), &t, NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) got = {0};
		struct cn_error err = {0};
		int check = cn_vault_check(v, cases[i].name, cases[i].to, &err);
		int borrow =
		    cn_vault_borrow(v, cases[i].name, cases[i].to, copy_secret, &got, &err);
		if (check != cases[i].code || borrow != check)
			fail_msg("%s to %s: %d, %d", cases[i].name, cases[i].to, check,
			         borrow);
		assert_string_equal(cn_buf_cstr(&got), check ? "" : value);
		assert_false(contains(err.message, value));
	}
	cn_vault_close(v);
	box_done(&b);
}

/* ---- setting ---- */

static void what_is_no_key_is_not_stored(void **state)
{
	static const char long_name[] =
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; /* 61 */
	static const struct {
		const char *name, *value, *origin;
	} cases[] = {
	    {"", value, origin},
	    {"a b", value, origin},
	    {"a/b", value, origin},
	    {long_name, value, origin},
	    {"k", "short", origin},
	    {"k", "", origin},
	    {"k", "has a space in it", origin},
	    {"k", "has-a-newline-in\nit", origin},
	    {"k", "has-\x80-eight-bits", origin},
	    {"k", value, "http://api.example.com"},
	    {"k", value, NULL},
	};
	struct box b;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_error err = {0};
		struct cn_vault_terms t = {&cases[i].origin, cases[i].origin ? 1 : 0, 0};
		int code = cn_vault_set(v, cases[i].name, secret(cases[i].value), &t, &err);
		if (code != CN_E_INVALID || !err.message[0])
			fail_msg("case %zu: %d %s", i, code, err.message);
	}
	assert_int_equal(cn_vault_generation(v), 1);
	cn_vault_close(v);
	box_done(&b);
}

static void a_vault_that_would_be_too_large_is_not_saved(void **state)
{
	struct box b;
	char *large = cn_alloc(CN_VAULT__SECRET_MAX + 1);
	int code = 0;
	unsigned kept = 0;
	(void)state;
	memset(large, 'x', CN_VAULT__SECRET_MAX);
	large[CN_VAULT__SECRET_MAX] = '\0';
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	for (unsigned i = 0; i < 200 && !code; i++, kept += !code) {
		char name[16];
		const char *o = origin;
		struct cn_vault_terms t = {&o, 1, 0};
		snprintf(name, sizeof(name), "k%u", i);
		code = cn_vault_set(v, name, secret(large), &t, NULL);
	}
	assert_int_equal(code, CN_E_LIMIT);
	assert_in_range(kept, 120, 127);
	cn_vault_close(v);
	v = box_open(&b);
	expect_key(v, "k0", origin, large);
	cn_vault_close(v);
	free(large);
	box_done(&b);
}

static void print_entry(void *self, const struct cn_vault_entry *e)
{
	struct cn_buf *b = self;
	cn_buf_printf(b, "%s", e->name);
	for (size_t i = 0; i < e->n_origins; i++)
		cn_buf_printf(b, " %s", e->origins[i]);
	cn_buf_printf(b, " %llu %s%s\n", (unsigned long long)e->not_after_ms,
	              strlen(e->fingerprint) == 8 ? "" : "no print",
	              e->created_ms + 60000 > cn_clock_wall_ms() ? "" : "no date");
}

static void expect_list(struct cn_vault *v, const char *want)
{
	CN_AUTO(cn_buf) got = {0};
	cn_vault_list(v, print_entry, &got);
	assert_string_equal(cn_buf_cstr(&got), want);
}

static void keys_are_listed_replaced_and_removed(void **state)
{
	struct box b;
	struct cn_error err = {0};
	const char *o = "https://b.example";
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	expect_list(v, "");
	put_key(v, "a", value, origin);
	struct cn_vault_terms t = {&o, 1, 99999};
	assert_int_equal(cn_vault_set(v, "b", secret(value), &t, &err), 0);
	const char *want = "a https://api.example.com:443 0 \n"
			   "b https://b.example:443 99999 \n";
	expect_list(v, want);
	cn_vault_close(v);
	v = box_open(&b);
	expect_list(v, want);
	put_key(v, "b", "sk-replaced-0123456", o);
	expect_key(v, "b", o, "sk-replaced-0123456");
	assert_int_equal(cn_vault_remove(v, "a", &err), 0);
	assert_int_equal(cn_vault_remove(v, "a", &err), CN_E_NOT_FOUND);
	assert_int_equal(cn_vault_remove(v, "1", &err), CN_E_NOT_FOUND);
	expect_list(v, "b https://b.example:443 0 \n");
	assert_int_equal(cn_vault_generation(v), 5);
	cn_vault_close(v);
	box_done(&b);
}

static void a_key_past_its_date_is_not_lent(void **state)
{
	struct box b;
	struct cn_error err = {0};
	const char *o = origin;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	uint64_t now = cn_clock_wall_ms();
	struct cn_vault_terms past = {&o, 1, now - 1}, future = {&o, 1, now + 600000};
	assert_int_equal(cn_vault_set(v, "k", secret(value), &past, &err), 0);
	assert_int_equal(cn_vault_check(v, "k", origin, &err), CN_E_DENIED);
	assert_int_equal(cn_vault_set(v, "k", secret(value), &future, &err), 0);
	assert_int_equal(cn_vault_check(v, "k", origin, &err), 0);
	cn_vault_close(v);
	box_done(&b);
}

/* ---- several at once ---- */

struct replaced {
	struct cn_vault *v;
	char seen[64];
};

static void replace_meanwhile(void *self, struct cn_view s)
{
	struct replaced *r = self;
	put_key(r->v, "k", "sk-the-new-one-0123", origin);
	expect_key(r->v, "k", origin, "sk-the-new-one-0123");
	assert_int_equal(cn_vault_remove(r->v, "k", NULL), 0);
	snprintf(r->seen, sizeof(r->seen), "%.*s", CN_VIEW_ARG(s));
}

static void a_borrowed_key_outlives_its_replacement(void **state)
{
	struct box b;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct replaced r = {.v = box_open(&b)};
	put_key(r.v, "k", value, origin);
	assert_int_equal(cn_vault_borrow(r.v, "k", origin, replace_meanwhile, &r, NULL), 0);
	assert_string_equal(r.seen, value);
	assert_int_equal(cn_vault_check(r.v, "k", origin, NULL), CN_E_NOT_FOUND);
	cn_vault_close(r.v);
	box_done(&b);
}

struct crowd {
	struct cn_vault *v;
	atomic_uint wrong, done;
};

static void count_wrong(void *self, struct cn_view s)
{
	struct crowd *c = self;
	if (!cn_view_starts(s, CN_VIEW("sk-test-")))
		c->wrong++;
}

static void *borrow_often(void *self)
{
	struct crowd *c = self;
	for (unsigned i = 0; i < 2000; i++) {
		char text[] = "log line with sk-test-abcdefghijklmnop in it";
		CN_AUTO(cn_buf) sealed = {0};
		if (cn_vault_borrow(c->v, "k", origin, count_wrong, c, NULL))
			c->wrong++;
		if (cn_vault_scrub(c->v, text, sizeof(text) - 1) != 1)
			c->wrong++;
		cn_vault_seal(c->v, CN_VIEW("ad"), CN_VIEW("plain"), &sealed);
	}
	c->done++;
	return NULL;
}

static void many_threads_borrow_while_the_key_changes(void **state)
{
	struct box b;
	struct crowd c = {0};
	pthread_t threads[4];
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	c.v = box_open(&b);
	put_key(c.v, "k", value, origin);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, borrow_often, &c), 0);
	while (c.done < 4) {
		struct cn_scrub_lease *l =
		    cn_vault_scrub_add(c.v, CN_VIEW("lease-0123456789"));
		put_key(c.v, "k", value, origin);
		put_key(c.v, "other", "sk-other-0123456789", origin);
		cn_vault_scrub_drop(c.v, l);
	}
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c.wrong, 0);
	cn_vault_close(c.v);
	box_done(&b);
}

/* ---- functions for others ---- */

static void what_was_sealed_opens_with_its_ad_only(void **state)
{
	struct box b;
	CN_AUTO(cn_buf) sealed = {0};
	CN_AUTO(cn_buf) plain = {0};
	struct cn_error err = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	cn_buf_add_str(&sealed, "before");
	cn_vault_seal(v, CN_VIEW("ad"), CN_VIEW("some text"), &sealed);
	assert_int_equal(sealed.n, 6 + 9 + CN_SEAL_OVERHEAD);
	cn_buf_consume(&sealed, 6);
	assert_false(cn_view_find(cn_buf_view(&sealed), CN_VIEW("some text"), 0) !=
	             SIZE_MAX);
	cn_vault_close(v);
	v = box_open(&b); /* another process, the same keys */
	assert_int_equal(
	    cn_vault_open_sealed(v, CN_VIEW("ad"), cn_buf_view(&sealed), &plain, &err), 0);
	assert_string_equal(cn_buf_cstr(&plain), "some text");
	assert_int_equal(
	    cn_vault_open_sealed(v, CN_VIEW("a"), cn_buf_view(&sealed), &plain, &err),
	    CN_E_DAMAGED);
	for (size_t i = 0; i < sealed.n; i++) {
		sealed.p[i] ^= 1;
		if (cn_vault_open_sealed(v, CN_VIEW("ad"), cn_buf_view(&sealed), &plain,
		                         &err) != CN_E_DAMAGED)
			fail_msg("flip %zu opens", i);
		sealed.p[i] ^= 1;
	}
	for (size_t n = 0; n < sealed.n; n++)
		assert_int_equal(cn_vault_open_sealed(v, CN_VIEW("ad"),
		                                      cn_view(sealed.p, n), &plain, &err),
		                 CN_E_DAMAGED);
	assert_string_equal(cn_buf_cstr(&plain), "some text");
	cn_vault_close(v);
	box_done(&b);
}

static void hashes_are_keyed_per_purpose_and_vault(void **state)
{
	struct box a, b;
	const struct cn_view ab_c[] = {CN_VIEW("ab"), CN_VIEW("c")},
			     a_bc[] = {CN_VIEW("a"), CN_VIEW("bc")};
	(void)state;
	box_init(&a);
	box_init(&b);
	box_create(&a, NULL);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&a), *w = box_open(&b);
	struct cn_hash h[] = {
	    cn_vault_hash(v, CN_VAULT_HASH_NODE, ab_c, 2),
	    cn_vault_hash(v, CN_VAULT_HASH_NODE, a_bc, 2),
	    cn_vault_hash(v, CN_VAULT_HASH_TOKEN, ab_c, 2),
	    cn_vault_hash(w, CN_VAULT_HASH_NODE, ab_c, 2),
	    cn_hash_views(ab_c, 2),
	};
	for (size_t i = 0; i < 5; i++)
		for (size_t k = 0; k < i; k++)
			assert_false(cn_hash_eq(&h[i], &h[k]));
	char one[9], two[9], other[9];
	cn_vault_fingerprint(v, CN_VIEW("text"), one);
	cn_vault_fingerprint(w, CN_VIEW("text"), other);
	cn_vault_close(v);
	v = box_open(&a);
	struct cn_hash again = cn_vault_hash(v, CN_VAULT_HASH_NODE, ab_c, 2);
	assert_true(cn_hash_eq(&h[0], &again));
	cn_vault_fingerprint(v, CN_VIEW("text"), two);
	assert_string_equal(one, two);
	assert_string_not_equal(one, other);
	assert_int_equal(strlen(one), 8);
	cn_vault_close(v);
	cn_vault_close(w);
	box_done(&a);
	box_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(origins_have_one_form),
	    cmocka_unit_test(a_key_goes_to_its_origins_only),
	    cmocka_unit_test(what_is_no_key_is_not_stored),
	    cmocka_unit_test(a_vault_that_would_be_too_large_is_not_saved),
	    cmocka_unit_test(keys_are_listed_replaced_and_removed),
	    cmocka_unit_test(a_key_past_its_date_is_not_lent),
	    cmocka_unit_test(a_borrowed_key_outlives_its_replacement),
	    cmocka_unit_test(many_threads_borrow_while_the_key_changes),
	    cmocka_unit_test(what_was_sealed_opens_with_its_ad_only),
	    cmocka_unit_test(hashes_are_keyed_per_purpose_and_vault),
	};
	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
