/*
 * The vault's file: when this fails, a damaged, exchanged or rolled-back vault is believed,
 * a crash can lose one, or others may read it.
 */
#include "vault_box.h"

#include <sys/wait.h>

static const char origin[] = "https://api.example.com";

/* ---- making and reading ---- */

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void a_new_vault_is_ours_alone_and_opens(void **state)
{
	struct box b;
	(void)state;
	mode_t before = umask(0);
	box_init(&b);
	box_create(&b, NULL);
	umask(before);
	assert_int_equal(mode_of(b.vault), 0600);
	assert_int_equal(mode_of(b.key), 0400);
	assert_false(box_has(&b, "vault.tmp"));
	assert_false(box_has(&b, "vault.key.tmp"));
	struct cn_vault *v = box_open(&b);
	assert_int_equal(cn_vault_generation(v), 1);
	assert_int_equal(cn_vault_epoch(v), 1);
	cn_vault_close(v);
	box_done(&b);
}

static void the_bytes_are_where_the_format_says(void **state)
{
	static const unsigned char head[16] = {0x89, 'C', 'N', 'T', 'V', '\r', '\n', 0x1a,
	                                       1,    0,   1,   0,   1,   0,    2,    0};
	struct box b;
	CN_AUTO(cn_buf) f = {0};
	(void)state;
	box_init(&b);
	box_create(&b, "correct horse battery");
	load_file(b.vault, &f);
	const unsigned char *p = (const unsigned char *)f.p;
	assert_int_equal(f.n, 64 + 2 * 160 + 24 + 1024 + 16);
	assert_memory_equal(p, head, sizeof(head));
	assert_int_equal(cn_vault__get(p + 32, 8), 1);
	assert_int_equal(cn_vault__get(p + 40, 4), 24 + 1024 + 16);
	assert_int_equal(p[64], 1);
	assert_int_equal(cn_vault__get(p + 64 + 4, 4), 2);
	assert_int_equal(cn_vault__get(p + 64 + 8, 8), 19 << 20);
	assert_string_equal((const char *)p + 64 + 136, "passphrase");
	assert_int_equal(p[64 + 160], 2);
	assert_string_equal((const char *)p + 64 + 160 + 136, "key file");
	box_done(&b);
}

static void a_second_vault_is_not_made_over_the_first(void **state)
{
	struct box b;
	struct cn_error err = {0};
	CN_AUTO(cn_buf) before = {0};
	CN_AUTO(cn_buf) after = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	load_file(b.vault, &before);
	assert_int_equal(cn_vault_create(b.vault, b.key, NULL, &err), CN_E_EXISTS);
	load_file(b.vault, &after);
	assert_true(cn_view_eq(cn_buf_view(&before), cn_buf_view(&after)));
	/* A key file that a crash left behind serves the next vault. */
	unlink(b.vault);
	box_create(&b, NULL);
	cn_vault_close(box_open(&b));
	unlink(b.vault);
	assert_int_equal(cn_vault_create(b.vault, NULL, NULL, &err), CN_E_INVALID);
	box_done(&b);
}

static void no_vault_is_not_found(void **state)
{
	struct box b;
	struct cn_vault *v = NULL;
	struct cn_error err = {0};
	(void)state;
	box_init(&b);
	assert_int_equal(cn_vault_open(b.vault, &b.how, &v, &err), CN_E_NOT_FOUND);
	assert_int_equal(cn_vault_open("/nowhere/at/all/vault", &b.how, &v, &err),
	                 CN_E_NOT_FOUND);
	assert_null(v);
	box_done(&b);
}

/* ---- damage ---- */

static const char one_wording[] = "wrong passphrase or damaged vault";

static void expect_refusal(const struct box *b, const char *what, size_t at)
{
	struct cn_vault *v = NULL;
	struct cn_error err = {0};
	int code = cn_vault_open(b->vault, &b->how, &v, &err);
	if (code != CN_E_LOCKED || strcmp(err.message, one_wording) != 0)
		fail_msg("%s %zu: %d %s", what, at, code, err.message);
	assert_null(v);
}

static void every_flip_is_refused(void **state)
{
	struct box b;
	CN_AUTO(cn_buf) f = {0};
	(void)state;
	box_init(&b);
	box_create(&b, "correct horse battery"); /* whose slot must be covered as well */
	load_file(b.vault, &f);
	int fd = open(b.vault, O_WRONLY);
	for (size_t i = 0; i < f.n; i++)
		for (unsigned bit = 1; bit <= 0x80; bit <<= 1) {
			char c = (char)(f.p[i] ^ (char)bit);
			assert_int_equal(pwrite(fd, &c, 1, (off_t)i), 1);
			expect_refusal(&b, "flip", i);
			assert_int_equal(pwrite(fd, &f.p[i], 1, (off_t)i), 1);
		}
	close(fd);
	cn_vault_close(box_open(&b));
	box_done(&b);
}

static void every_other_length_is_refused(void **state)
{
	struct box b;
	CN_AUTO(cn_buf) f = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	load_file(b.vault, &f);
	size_t whole = f.n;
	memset(cn_buf_reserve(&f, CN_VAULT__FILE_MAX), 0, CN_VAULT__FILE_MAX);
	for (size_t n = 0; n < whole + 64; n++) {
		if (n == whole)
			continue;
		store_file(b.vault, cn_view(f.p, n), 0600);
		expect_refusal(&b, "length", n);
	}
	store_file(b.vault, cn_view(f.p, CN_VAULT__FILE_MAX), 0600);
	expect_refusal(&b, "length", CN_VAULT__FILE_MAX);
	box_done(&b);
}

static void slots_cannot_be_taken_out_or_exchanged(void **state)
{
	struct box b, other;
	CN_AUTO(cn_buf) f = {0};
	CN_AUTO(cn_buf) g = {0};
	(void)state;
	box_init(&b);
	box_create(&b, "correct horse battery");
	load_file(b.vault, &f);
	CN_AUTO(cn_buf) less = {0};
	cn_buf_add(&less, f.p, 64);
	less.p[14] = 1;
	cn_buf_add(&less, f.p + 64 + 160, f.n - 64 - 160);
	store_file(b.vault, cn_buf_view(&less), 0600);
	expect_refusal(&b, "slot taken out", 0);

	CN_AUTO(cn_buf) swapped = {0};
	cn_buf_add(&swapped, f.p, 64);
	cn_buf_add(&swapped, f.p + 64 + 160, 160);
	cn_buf_add(&swapped, f.p + 64, 160);
	cn_buf_add(&swapped, f.p + 64 + 320, f.n - 64 - 320);
	store_file(b.vault, cn_buf_view(&swapped), 0600);
	expect_refusal(&b, "slots swapped", 0);

	/* Another vault of the same key file: its slot here, our body there. */
	box_init(&other);
	CN_AUTO(cn_buf) key = {0};
	load_file(b.key, &key);
	store_file(other.key, cn_buf_view(&key), 0400);
	box_create(&other, "correct horse battery");
	load_file(other.vault, &g);
	memcpy(g.p + 64 + 320, f.p + 64 + 320, f.n - 64 - 320);
	store_file(b.vault, cn_buf_view(&g), 0600);
	expect_refusal(&b, "foreign body", 0);
	box_done(&b);
	box_done(&other);
}

static void hostile_costs_are_refused(void **state)
{
	static const struct {
		uint32_t ops;
		uint64_t mem;
		bool fine;
	} cases[] = {
	    {2, (uint64_t)19 << 20, true},   {16, (uint64_t)1 << 30, true},
	    {1, (uint64_t)19 << 20, false},  {2, ((uint64_t)19 << 20) - 1, false},
	    {17, (uint64_t)19 << 20, false}, {2, ((uint64_t)1 << 30) + 1, false},
	    {UINT32_MAX, UINT64_MAX, false}, {0, 0, false},
	};
	struct cn_vault__slot s = {{CN_VAULT__PASSPHRASE}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cn_vault__put(s.b + 4, 4, cases[i].ops);
		cn_vault__put(s.b + 8, 8, cases[i].mem);
		const char *why = cn_vault__slot_check(&s);
		if (!why != cases[i].fine)
			fail_msg("case %zu: %s", i, why ? why : "taken");
	}
	s.b[0] = CN_VAULT__RAW_KEY;
	memset(s.b + 4, 0, 12);
	assert_null(cn_vault__slot_check(&s));
	s.b[4] = 1;
	assert_non_null(cn_vault__slot_check(&s));
	s.b[0] = 3;
	assert_non_null(cn_vault__slot_check(&s));
}

/* The slot that a wrong key would open, were it not for the commitment, is not decrypted.
 */
static void commitment_is_checked_before_decrypting(void **state)
{
	struct cn_vault__slot s;
	struct cn_secret *key = cn_secret__random(32), *root = cn_secret__random(32);
	struct cn_secret *kek, *other, *got;
	unsigned char id[16] = {1};
	(void)state;
	assert_int_equal(cn_vault__slot_make(&s, CN_VAULT__RAW_KEY, key, cheap, &kek, NULL),
	                 0);
	cn_vault__slot_wrap(&s, id, kek, root);
	assert_null(cn_vault__slot_open(&s, id, key, &other, &got));
	assert_true(cn_secret_eq(root, got));
	cn_secret_free(other);
	cn_secret_free(got);
	s.b[104] ^= 1;
	assert_string_equal(cn_vault__slot_open(&s, id, key, &other, &got),
	                    "the commitment of a slot does not match");
	s.b[104] ^= 1;
	s.b[56] ^= 1;
	assert_string_equal(cn_vault__slot_open(&s, id, key, &other, &got),
	                    "the wrapped root key does not verify");
	cn_secret_free(key);
	cn_secret_free(kek);
	cn_secret_free(root);
}

/* ---- who may read it ---- */

static void foreign_modes_are_refused_with_the_chmod(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
		const char *says;
	} cases[] = {
	    {"", 0755, "chmod 0700 "},           {"", 0701, "chmod 0700 "},
	    {"/vault", 0644, "chmod 0600 "},     {"/vault", 0660, "chmod 0600 "},
	    {"/vault", 0700, "chmod 0600 "},     {"/vault.key", 0600, "chmod 0400 "},
	    {"/vault.key", 0440, "chmod 0400 "},
	};
	struct box b;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char path[160], want[200];
		struct cn_vault *v = NULL;
		struct cn_error err = {0};
		snprintf(path, sizeof(path), "%s%s", b.dir, cases[i].name);
		snprintf(want, sizeof(want), "%s%s", cases[i].says, path);
		mode_t before = mode_of(path);
		chmod(path, cases[i].mode);
		int code = cn_vault_open(b.vault, &b.how, &v, &err);
		if (code != CN_E_DENIED || !contains(err.message, want))
			fail_msg("%s %o: %d %s", path, cases[i].mode, code, err.message);
		chmod(path, before);
	}
	cn_vault_close(box_open(&b));
	box_done(&b);
}

static void expect_denied(const char *vault, const struct cn_unlock *how, const char *says)
{
	struct cn_vault *v = NULL;
	struct cn_error err = {0};
	int code = cn_vault_open(vault, how, &v, &err);
	if (code != CN_E_DENIED || !contains(err.message, says))
		fail_msg("%s: %d %s", says, code, err.message);
}

static void links_and_other_things_are_refused(void **state)
{
	struct box b;
	char real[160], link[160], inside[192];
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	snprintf(real, sizeof(real), "%s/real", b.dir);
	rename(b.vault, real);
	assert_int_equal(symlink("real", b.vault), 0);
	expect_denied(b.vault, &b.how, "symbolic link");
	unlink(b.vault);
	assert_int_equal(mkfifo(b.vault, 0600), 0);
	expect_denied(b.vault, &b.how, "not a regular file");
	unlink(b.vault);
	rename(real, b.vault);

	snprintf(link, sizeof(link), "%s.link", b.dir);
	assert_int_equal(symlink(b.dir, link), 0);
	snprintf(inside, sizeof(inside), "%s/vault", link);
	expect_denied(inside, &b.how, "symbolic link");
	unlink(link);

	rename(b.key, real);
	assert_int_equal(symlink("real", b.key), 0);
	expect_denied(b.vault, &b.how, "symbolic link");
	unlink(b.key);
	rename(real, b.key);
	if (geteuid() == 0) {
		assert_int_equal(chown(b.vault, 65534, 65534), 0);
		expect_denied(b.vault, &b.how, "another user");
	}
	box_done(&b);
}

static void a_key_file_has_32_bytes(void **state)
{
	struct box b;
	struct cn_error err = {0};
	struct cn_vault *v = NULL;
	char bytes[64] = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	for (size_t n = 0; n <= 64; n += n == 31 ? 2 : 31) {
		store_file(b.key, cn_view(bytes, n), 0400);
		if (cn_vault_open(b.vault, &b.how, &v, &err) != CN_E_INVALID)
			fail_msg("%zu bytes: %s", n, err.message);
	}
	store_file(b.key, cn_view(bytes, 32), 0400);
	expect_refusal(&b, "another key", 0);
	box_done(&b);
}

/* ---- saving ---- */

static void place_of(const struct box *b, struct cn_vault__place *p)
{
	struct cn_error err = {0};
	if (cn_vault__place_open(p, b->vault, &err))
		fail_msg("%s", err.message);
}

/* In a child, so that nothing but what is in the file system survives the crash. */
static void crash_after(const struct box *b, struct cn_view bytes, unsigned steps)
{
	struct cn_vault__place p;
	int status;
	place_of(b, &p);
	pid_t child = fork();
	if (child == 0) {
		struct cn_error err = {0};
		_exit(cn_vault__place_write(&p, bytes, steps, &err) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	cn_vault__place_done(&p);
}

static void a_crash_leaves_the_old_or_the_new(void **state)
{
	struct box b;
	CN_AUTO(cn_buf) old = {0};
	CN_AUTO(cn_buf) new = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	put_key(v, "old", "old-key-0123456789", origin);
	load_file(b.vault, &old);
	put_key(v, "new", "new-key-0123456789", origin);
	load_file(b.vault, &new);
	cn_vault_close(v);
	for (unsigned steps = 0; steps <= CN_VAULT__STEPS; steps++) {
		store_file(b.vault, cn_buf_view(&old), 0600);
		crash_after(&b, cn_buf_view(&new), steps);
		v = box_open(&b);
		bool is_new = cn_vault_check(v, "new", origin, NULL) == 0;
		if (is_new != (steps >= 5))
			fail_msg("after %u steps: %s", steps, is_new ? "new" : "old");
		expect_key(v, "old", origin, "old-key-0123456789");
		/* And whatever lies around, the next save works. */
		put_key(v, "next", "next-key-012345678", origin);
		cn_vault_close(v);
		cn_vault_close(box_open(&b));
	}
	box_done(&b);
}

static void half_a_temporary_file_is_no_obstacle(void **state)
{
	struct box b;
	char tmp[160];
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	snprintf(tmp, sizeof(tmp), "%s.tmp", b.vault);
	store_file(tmp, CN_VIEW("\x89half"), 0600);
	struct cn_vault *v = box_open(&b);
	put_key(v, "k", "some-key-0123456789", origin);
	cn_vault_close(v);
	assert_false(box_has(&b, "vault.tmp"));
	/* Nor is a link that somebody put there followed. */
	char victim[160];
	snprintf(victim, sizeof(victim), "%s/victim", b.dir);
	store_file(victim, CN_VIEW("precious"), 0600);
	assert_int_equal(symlink(victim, tmp), 0);
	v = box_open(&b);
	put_key(v, "l", "other-key-0123456789", origin);
	cn_vault_close(v);
	CN_AUTO(cn_buf) seen = {0};
	load_file(victim, &seen);
	assert_string_equal(cn_buf_cstr(&seen), "precious");
	box_done(&b);
}

static void the_previous_version_is_kept(void **state)
{
	struct box b;
	char prev[160];
	CN_AUTO(cn_buf) before = {0};
	CN_AUTO(cn_buf) kept = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	load_file(b.vault, &before);
	struct cn_vault *v = box_open(&b);
	put_key(v, "k", "some-key-0123456789", origin);
	assert_int_equal(cn_vault_generation(v), 2);
	cn_vault_close(v);
	snprintf(prev, sizeof(prev), "%s.prev", b.vault);
	load_file(prev, &kept);
	assert_true(cn_view_eq(cn_buf_view(&before), cn_buf_view(&kept)));
	box_done(&b);
}

static void two_writers_do_not_overwrite_each_other(void **state)
{
	struct box b;
	struct cn_error err = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *one = box_open(&b), *two = box_open(&b);
	put_key(one, "k", "some-key-0123456789", origin);
	const char *o = origin;
	struct cn_vault_terms t = {&o, 1, 0};
	assert_int_equal(cn_vault_set(two, "l", secret("lost-key-0123456789"), &t, &err),
	                 CN_E_BUSY);
	/* The failed change has not happened in memory either. */
	assert_int_equal(cn_vault_check(two, "l", origin, NULL), CN_E_NOT_FOUND);
	assert_int_equal(cn_vault_generation(two), 1);
	cn_vault_close(one);
	cn_vault_close(two);
	two = box_open(&b);
	expect_key(two, "k", origin, "some-key-0123456789");
	cn_vault_close(two);
	box_done(&b);
}

/* ---- rollback ---- */

struct known {
	unsigned char id[16];
	uint64_t generation;
	bool any;
};

static bool known_generation(void *self, const unsigned char id[16], uint64_t *ret)
{
	const struct known *k = self;
	if (!k->any || memcmp(k->id, id, 16) != 0)
		return false;
	*ret = k->generation;
	return true;
}

static void an_older_vault_is_refused_unless_told(void **state)
{
	static const struct {
		bool any, same_id;
		uint64_t known;
		bool accept;
		int code;
	} cases[] = {
	    {false, true, 9, false, 0}, {true, true, 2, false, 0},
	    {true, true, 1, false, 0},  {true, true, 3, false, CN_E_DENIED},
	    {true, true, 3, true, 0},   {true, false, 9, false, 0},
	};
	struct box b;
	struct known k = {0};
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	put_key(v, "k", "some-key-0123456789", origin);
	cn_vault_id(v, k.id);
	cn_vault_close(v);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_unlock how = b.how;
		struct known now = k;
		struct cn_error err = {0};
		now.any = cases[i].any;
		now.generation = cases[i].known;
		now.id[0] ^= !cases[i].same_id;
		how.known_generation = known_generation;
		how.self = &now;
		how.accept_older = cases[i].accept;
		int code = cn_vault_open(b.vault, &how, &v, &err);
		if (code != cases[i].code)
			fail_msg("case %zu: %d %s", i, code, err.message);
		if (code)
			assert_true(contains(err.message, "--accept-older-vault"));
		else
			cn_vault_close(v);
	}
	box_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_new_vault_is_ours_alone_and_opens),
	    cmocka_unit_test(the_bytes_are_where_the_format_says),
	    cmocka_unit_test(a_second_vault_is_not_made_over_the_first),
	    cmocka_unit_test(no_vault_is_not_found),
	    cmocka_unit_test(every_flip_is_refused),
	    cmocka_unit_test(every_other_length_is_refused),
	    cmocka_unit_test(slots_cannot_be_taken_out_or_exchanged),
	    cmocka_unit_test(hostile_costs_are_refused),
	    cmocka_unit_test(commitment_is_checked_before_decrypting),
	    cmocka_unit_test(foreign_modes_are_refused_with_the_chmod),
	    cmocka_unit_test(links_and_other_things_are_refused),
	    cmocka_unit_test(a_key_file_has_32_bytes),
	    cmocka_unit_test(a_crash_leaves_the_old_or_the_new),
	    cmocka_unit_test(half_a_temporary_file_is_no_obstacle),
	    cmocka_unit_test(the_previous_version_is_kept),
	    cmocka_unit_test(two_writers_do_not_overwrite_each_other),
	    cmocka_unit_test(an_older_vault_is_refused_unless_told),
	};
	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
