/*
 * Unlocking and the vault's own life: when this fails, a wrong secret opens it, a right one
 * does not, or rotating loses keys or history.
 */
#include "vault_box.h"

static const char origin[] = "https://api.example.com";
static const char value[] = "sk-test-abcdefghijklmnop";
static const char pass[] = "correct horse battery";
static const char one_wording[] = "wrong passphrase or damaged vault";

/* ---- slots ---- */

static void either_slot_opens_and_a_wrong_secret_looks_like_damage(void **state)
{
	struct box b;
	struct cn_vault *v = NULL;
	struct cn_error err = {0};
	(void)state;
	box_init(&b);
	box_create(&b, pass);
	cn_vault_close(box_open(&b));
	assert_int_equal(open_with(&b, pass, &v, &err), 0);
	v = cn_vault_close(v);
	assert_int_equal(open_with(&b, "correct horse batterz", &v, &err), CN_E_LOCKED);
	assert_string_equal(err.message, one_wording);
	CN_AUTO(cn_buf) f = {0};
	load_file(b.vault, &f);
	f.p[f.n - 1] ^= 1;
	store_file(b.vault, cn_buf_view(&f), 0600);
	err = (struct cn_error){0};
	assert_int_equal(open_with(&b, pass, &v, &err), CN_E_LOCKED);
	assert_string_equal(err.message, one_wording);
	box_done(&b);
}

static void change_passphrase(struct cn_vault *v, const char *to, int want)
{
	struct cn_error err = {0};
	struct cn_secret *s = to ? secret(to) : NULL;
	int code = cn_vault_passwd(v, s, &err);
	cn_secret_free(s);
	if (code != want)
		fail_msg("passwd to %s: %d %s", to ? to : "none", code, err.message);
}

static void passwd_adds_replaces_and_removes(void **state)
{
	struct box b;
	struct cn_vault *v;
	struct cn_error err;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	v = box_open(&b);
	put_key(v, "k", value, origin);
	change_passphrase(v, NULL, CN_E_NOT_FOUND);
	assert_false(cn_vault_passphrase_is_weak(v));
	change_passphrase(v, "the first one", 0);
	assert_true(cn_vault_passphrase_is_weak(v)); /* made at the test's cost */
	cn_vault_close(v);
	assert_int_equal(open_with(&b, "the first one", &v, &err), 0);
	change_passphrase(v, "the second one", 0);
	expect_key(v, "k", origin, value);
	cn_vault_close(v);
	assert_int_equal(open_with(&b, "the first one", &v, &err), CN_E_LOCKED);
	assert_int_equal(open_with(&b, "the second one", &v, &err), 0);
	change_passphrase(v, NULL, 0);
	cn_vault_close(v);
	assert_int_equal(open_with(&b, "the second one", &v, &err), CN_E_LOCKED);
	v = box_open(&b);
	expect_key(v, "k", origin, value);
	cn_vault_close(v);
	box_done(&b);
}

static void the_last_slot_stays(void **state)
{
	struct box b;
	struct cn_vault *v;
	struct cn_error err;
	struct cn_secret *s = secret(pass);
	(void)state;
	box_init(&b);
	struct cn_vault__plan plan = {b.vault, NULL, s, cheap};
	assert_int_equal(cn_vault__create(&plan, &err), 0);
	cn_secret_free(s);
	assert_int_equal(open_with(&b, pass, &v, &err), 0);
	change_passphrase(v, NULL, CN_E_DENIED);
	cn_vault_close(v);
	assert_int_equal(open_with(&b, pass, &v, &err), 0);
	cn_vault_close(v);
	box_done(&b);
}

/* ---- rotate ---- */

struct asked {
	bool answer;
	char labels[64];
};

static bool on_confirm(void *self, const char *labels)
{
	struct asked *a = self;
	snprintf(a->labels, sizeof(a->labels), "%s", labels);
	return a->answer;
}

static void rotating_keeps_keys_and_history_and_drops_the_old_root(void **state)
{
	struct box b;
	struct cn_vault *v;
	struct cn_error err = {0};
	struct asked a = {0};
	CN_AUTO(cn_buf) old = {0};
	CN_AUTO(cn_buf) plain = {0};
	CN_AUTO(cn_buf) file = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	v = box_open(&b);
	put_key(v, "k", value, origin);
	struct cn_view text = CN_VIEW("token");
	struct cn_hash before = cn_vault_hash(v, CN_VAULT_HASH_TOKEN, &text, 1);
	cn_vault_seal(v, CN_VIEW("ad"), CN_VIEW("old times"), &old);
	load_file(b.vault, &file);
	struct cn_secret *root = cn_secret__copy(cn_secret__read(v->root), 32);
	cn_secret__rest(v->root);
	assert_true(box_has(&b, "vault.prev"));
	assert_int_equal(cn_vault_rotate(v, NULL, on_confirm, &a, &err), 0);
	assert_string_equal(a.labels, "");
	assert_false(box_has(&b, "vault.prev"));
	assert_int_equal(cn_vault_epoch(v), 2);
	assert_false(cn_secret_eq(root, v->root));
	cn_vault_close(v);

	v = box_open(&b);
	expect_key(v, "k", origin, value);
	assert_int_equal(cn_vault_epoch(v), 2);
	struct cn_hash after = cn_vault_hash(v, CN_VAULT_HASH_TOKEN, &text, 1);
	assert_true(cn_hash_eq(&before, &after));
	assert_int_equal(
	    cn_vault_open_sealed(v, CN_VIEW("ad"), cn_buf_view(&old), &plain, &err), 0);
	assert_string_equal(cn_buf_cstr(&plain), "old times");
	CN_AUTO(cn_buf) new = {0};
	cn_vault_seal(v, CN_VIEW("ad"), CN_VIEW("new"), &new);
	assert_int_equal(new.p[0], 2);
	cn_vault_close(v);

	/* Who has the old root key cannot open the new body with it. */
	struct cn_vault__head head;
	struct cn_vault__ring ring = {0};
	struct cn_view body;
	assert_null(cn_vault__image_decode(cn_buf_view(&file), &head, &body));
	assert_null(cn_vault__image_open(cn_buf_view(&file), &head, root, &ring));
	cn_vault__ring_done(&ring);
	cn_buf_clear(&file);
	load_file(b.vault, &file);
	assert_null(cn_vault__image_decode(cn_buf_view(&file), &head, &body));
	assert_non_null(cn_vault__image_open(cn_buf_view(&file), &head, root, &ring));
	cn_secret_free(root);
	box_done(&b);
}

static void rotating_asks_before_it_drops_a_slot(void **state)
{
	struct box b;
	struct cn_vault *v;
	struct cn_error err = {0};
	struct asked a = {.answer = false};
	(void)state;
	box_init(&b);
	box_create(&b, pass);
	v = box_open(&b);
	assert_int_equal(cn_vault_rotate(v, NULL, on_confirm, &a, &err), CN_E_DENIED);
	assert_string_equal(a.labels, "passphrase");
	assert_int_equal(cn_vault_generation(v), 1);
	cn_vault_close(v);
	/* The passphrase opened it, the key file is at hand: both stay. */
	assert_int_equal(open_with(&b, pass, &v, &err), 0);
	a = (struct asked){.answer = false};
	assert_int_equal(cn_vault_rotate(v, &b.how, on_confirm, &a, &err), 0);
	cn_vault_close(v);
	cn_vault_close(box_open(&b));
	assert_int_equal(open_with(&b, pass, &v, &err), 0);
	cn_vault_close(v);
	/* Confirmed: the passphrase goes. */
	v = box_open(&b);
	a.answer = true;
	assert_int_equal(cn_vault_rotate(v, NULL, on_confirm, &a, &err), 0);
	cn_vault_close(v);
	assert_int_equal(open_with(&b, pass, &v, &err), CN_E_LOCKED);
	cn_vault_close(box_open(&b));
	box_done(&b);
}

/* ---- export and import ---- */

static void exported_keys_come_back_elsewhere(void **state)
{
	struct box a, b;
	char file[160];
	struct cn_error err = {0};
	size_t count = 99;
	struct cn_secret *s = secret("passphrase of the copy"),
			 *wrong = secret("not this one");
	(void)state;
	box_init(&a);
	box_init(&b);
	box_create(&a, NULL);
	box_create(&b, NULL);
	struct cn_vault *from = box_open(&a), *to = box_open(&b);
	put_key(from, "k", value, origin);
	put_key(from, "l", "sk-second-0123456789", "https://l.example");
	put_key(to, "k", "sk-own-0123456789", origin);
	snprintf(file, sizeof(file), "%s/copy", a.dir);
	assert_int_equal(cn_vault_export(from, file, s, &err), 0);
	assert_int_equal(cn_vault_export(from, file, s, &err), CN_E_EXISTS);

	assert_int_equal(cn_vault_import(to, file, wrong, false, &count, &err),
	                 CN_E_LOCKED);
	assert_string_equal(err.message, one_wording);
	assert_int_equal(cn_vault_import(to, a.vault, s, false, &count, &err), CN_E_LOCKED);
	assert_int_equal(cn_vault_import(to, "/nowhere", s, false, &count, &err),
	                 CN_E_NOT_FOUND);
	assert_int_equal(cn_vault_import(to, file, s, false, &count, &err), 0);
	assert_int_equal(count, 1);
	expect_key(to, "k", origin, "sk-own-0123456789");
	expect_key(to, "l", "https://l.example", "sk-second-0123456789");
	assert_int_equal(cn_vault_check(to, "l", origin, &err), CN_E_DENIED);
	assert_int_equal(cn_vault_import(to, file, s, true, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_int_equal(cn_vault_epoch(to), 1);
	cn_vault_close(to);
	cn_vault_close(from);
	to = box_open(&b);
	expect_key(to, "k", origin, value);
	cn_vault_close(to);
	cn_secret_free(s);
	cn_secret_free(wrong);
	box_done(&a);
	box_done(&b);
}

/* ---- unlocking without a person ---- */

static void credential(const struct box *b, const char *name, struct cn_view bytes)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", b->dir, name);
	if (bytes.p)
		store_file(path, bytes, 0440); /* as the service manager makes them */
	else
		unlink(path);
}

static void sources_are_tried_in_order(void **state)
{
	static const char zeroes[32];
	static const struct {
		const char *fd, *credential_pass;
		bool key_fd, credential_key, key_file;
		int code;
		unsigned slot; /* 0: passphrase, 1: key */
	} cases[] = {
	    {pass, NULL, false, false, false, 0, 0},
	    {pass, NULL, false, false, true, 0, 0},
	    {"wrong passphrase", pass, false, true, true, CN_E_LOCKED,
	     0}, /* named: final */
	    {NULL, NULL, true, false, false, 0, 1},
	    {NULL, pass, false, false, false, 0, 0},
	    {NULL, pass, false, true, false, 0, 1},
	    {NULL, "wrong passphrase", false, false, true, 0, 1},
	    {NULL, NULL, false, false, true, 0, 1},
	    {NULL, NULL, false, false, false, CN_E_LOCKED, 0},
	};
	struct box b, c;
	CN_AUTO(cn_buf) key = {0};
	(void)state;
	box_init(&b);
	box_init(&c);
	box_create(&b, pass);
	load_file(b.key, &key);
	setenv("CREDENTIALS_DIRECTORY", c.dir, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_unlock how = {.passphrase_fd = -1, .key_fd = -1};
		struct cn_vault *v = NULL;
		struct cn_error err = {0};
		if (cases[i].fd)
			how.passphrase_fd = fd_of(cases[i].fd, strlen(cases[i].fd));
		if (cases[i].key_fd)
			how.key_fd = fd_of(key.p, key.n);
		how.key_file = cases[i].key_file ? b.key : NULL;
		credential(&c, "continuo.key",
		           cases[i].credential_key ? cn_buf_view(&key) : cn_view(NULL, 0));
		credential(&c, "continuo.passphrase",
		           cn_view_str(cases[i].credential_pass));
		int code = cn_vault_open(b.vault, &how, &v, &err);
		if (code != cases[i].code)
			fail_msg("case %zu: %d %s", i, code, err.message);
		if (v && !v->keks[cases[i].slot])
			fail_msg("case %zu: the other slot opened", i);
		cn_vault_close(v);
		close(how.passphrase_fd);
		close(how.key_fd);
	}
	credential(&c, "continuo.key", cn_view(zeroes, 31));
	struct cn_vault *v = NULL;
	assert_int_equal(cn_vault_open(b.vault, &b.how, &v, NULL), CN_E_INVALID);
	unsetenv("CREDENTIALS_DIRECTORY");
	box_done(&b);
	box_done(&c);
}

static void suggested_passphrases_differ(void **state)
{
	char a[48], b[48];
	(void)state;
	cn_vault_suggest(a);
	cn_vault_suggest(b);
	assert_string_not_equal(a, b);
	assert_int_equal(strlen(a), 8 * 4 + 7);
	for (size_t i = 0; a[i]; i++)
		assert_non_null(strchr(i % 5 == 4 ? "-" : "0123456789abcdef", a[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(either_slot_opens_and_a_wrong_secret_looks_like_damage),
	    cmocka_unit_test(passwd_adds_replaces_and_removes),
	    cmocka_unit_test(the_last_slot_stays),
	    cmocka_unit_test(rotating_keeps_keys_and_history_and_drops_the_old_root),
	    cmocka_unit_test(rotating_asks_before_it_drops_a_slot),
	    cmocka_unit_test(exported_keys_come_back_elsewhere),
	    cmocka_unit_test(sources_are_tried_in_order),
	    cmocka_unit_test(suggested_passphrases_differ),
	};
	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
