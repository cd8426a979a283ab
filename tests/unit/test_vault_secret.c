/*
 * Guarded memory and reading secrets: when this fails, a secret can be read while nobody
 * uses it, stays where it came from, or shows on a terminal.
 */
#include "vault_box.h"

#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Whether a child that looks there dies of it. */
static bool looking_kills(const unsigned char *p)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL); /* not the sanitizer's report */
		signal(SIGBUS, SIG_DFL);
		volatile unsigned char seen = *(const volatile unsigned char *)p;
		(void)seen;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status);
}

static bool writing_kills(unsigned char *p)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile unsigned char *)p = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status);
}

static void secret_is_unreadable_at_rest(void **state)
{
	(void)state;
	struct cn_secret *s = secret("correct horse");
	assert_true(looking_kills(s->p));
	assert_memory_equal(cn_secret__read(s), "correct horse", 13);
	assert_false(looking_kills(s->p));
	assert_true(writing_kills(s->p));
	(void)cn_secret__read(s); /* a second reader */
	cn_secret__rest(s);
	assert_false(looking_kills(s->p));
	cn_secret__rest(s);
	assert_true(looking_kills(s->p));
	cn_secret_free(s);
}

static void provider_key_is_unreadable_but_while_lent(void **state)
{
	struct box b;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	struct cn_vault *v = box_open(&b);
	put_key(v, "k", "sk-test-0123456789", "https://api.example.com");
	const struct cn_secret *s =
	    cn_vault__ring_find(&v->ring, CN_VAULT__PROVIDER, "k")->secret;
	assert_true(looking_kills(s->p));
	assert_true(looking_kills(v->root->p));
	assert_true(looking_kills(v->keks[0]->p));
	expect_key(v, "k", "https://api.example.com", "sk-test-0123456789");
	assert_true(looking_kills(s->p));
	cn_vault_close(v);
	box_done(&b);
}

static void taking_wipes_the_giver(void **state)
{
	char text[] = "secret", zeroes[sizeof(text)] = {0};
	(void)state;
	struct cn_secret *s = cn_secret_take(text, sizeof(text));
	assert_memory_equal(text, zeroes, sizeof(text));
	assert_int_equal(cn_secret_size(s), sizeof(text));
	cn_secret_free(s);
}

static void secrets_compare_by_bytes(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {{"abc", "abc", true},
	             {"abc", "abd", false},
	             {"abc", "ab", false},
	             {"", "", true}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_secret *x = secret(cases[i].a), *y = secret(cases[i].b);
		if (cn_secret_eq(x, y) != cases[i].same)
			fail_msg("'%s' and '%s'", cases[i].a, cases[i].b);
		cn_secret_free(x);
		cn_secret_free(y);
	}
}

static void length_is_counted_in_characters(void **state)
{
	static const struct {
		const char *text;
		size_t want;
	} cases[] = {{"", 0}, {"twelve chars", 12}, {"\xc3\xa4\xe2\x82\xac", 2}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_secret *s = secret(cases[i].text);
		assert_int_equal(cn_secret_characters(s), cases[i].want);
		cn_secret_free(s);
	}
}

static void descriptor_gives_one_line(void **state)
{
	static const struct {
		const char *in, *want;
		int code;
	} cases[] = {
	    {"abc\n", "abc", 0},        {"abc", "abc", 0},     {"abc\r\n", "abc", 0},
	    {"a b\nsecond", "a b", 0},  {"a\rb\n", "a\rb", 0}, {"", NULL, CN_E_INVALID},
	    {"\n", NULL, CN_E_INVALID},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cn_secret *s = NULL;
		struct cn_error err = {0};
		int fd = fd_of(cases[i].in, strlen(cases[i].in));
		int code = cn_secret_read_fd(fd, &s, &err);
		if (code != cases[i].code)
			fail_msg("'%s': %d, not %d", cases[i].in, code, cases[i].code);
		if (s) {
			struct cn_secret *want = secret(cases[i].want);
			assert_true(cn_secret_eq(s, want));
			cn_secret_free(want);
		}
		cn_secret_free(s);
		close(fd);
	}
}

static void second_line_is_left_for_the_next_reader(void **state)
{
	struct cn_secret *first = NULL, *second = NULL, *want = secret("two");
	(void)state;
	int fd = fd_of("one\ntwo\n", 8);
	assert_int_equal(cn_secret_read_fd(fd, &first, NULL), 0);
	assert_int_equal(cn_secret_read_fd(fd, &second, NULL), 0);
	assert_true(cn_secret_eq(second, want));
	cn_secret_free(first);
	cn_secret_free(second);
	cn_secret_free(want);
	close(fd);
}

static void line_without_end_is_refused(void **state)
{
	struct cn_secret *s = NULL;
	struct cn_error err = {0};
	(void)state;
	int fd = open("/dev/zero", O_RDONLY);
	assert_int_equal(cn_secret_read_fd(fd, &s, &err), CN_E_LIMIT);
	assert_null(s);
	close(fd);
	assert_int_equal(cn_secret_read_fd(fd, &s, &err), CN_E_IO);
}

/* What came over the pipe from the child that prompts. */
static void read_until_end(int fd, struct cn_buf *b)
{
	ssize_t n;
	while ((n = read(fd, cn_buf_reserve(b, 256), 256)) > 0)
		b->n += (size_t)n;
	close(fd);
}

static _Noreturn void prompt_and_tell(int to)
{
	struct cn_secret *s = NULL;
	struct cn_error err = {0};
	int code = cn_secret_prompt("Word: ", &s, &err);
	if (code)
		dprintf(to, "code %d", code);
	else
		dprintf(to, "got %.*s", (int)s->n, (const char *)cn_secret__read(s));
	_exit(0);
}

/* Types keys at a child that prompts on a terminal of its own. */
static void type_at_prompt(const char *keys, struct cn_buf *told, struct cn_buf *shown)
{
	int tty, fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t child = forkpty(&tty, NULL, NULL, NULL);
	assert_true(child >= 0);
	if (child == 0)
		prompt_and_tell(fds[1]);
	close(fds[1]);
	while (!contains(cn_buf_cstr(shown), "Word: ")) {
		ssize_t n = read(tty, cn_buf_reserve(shown, 256), 256);
		assert_true(n > 0);
		shown->n += (size_t)n;
	}
	/* The prompt is printed before echo goes off, and what was typed by then is
	 * flushed; so type when it is off. */
	for (struct termios t = {.c_lflag = ECHO}; t.c_lflag & ECHO;)
		assert_int_equal(tcgetattr(tty, &t), 0);
	assert_int_equal(write(tty, keys, strlen(keys)), (ssize_t)strlen(keys));
	read_until_end(fds[0], told);
	read_until_end(tty, shown);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void prompt_edits_and_does_not_show(void **state)
{
	static const struct {
		const char *keys, *want;
	} cases[] = {
	    {"hidden\r", "got hidden"},
	    {"hidn\x7f"
	     "den\n",
	     "got hidden"},
	    {"h\xc3\xbc\x7f"
	     "idden\n",
	     "got hidden"},
	    {"wrong\x15hidden\n", "got hidden"},
	    {"hid\x1b"
	     "den\n",
	     "got hidden"},
	    {"hidden\x03", "code -4"},
	    {"hidden\x04", "code -4"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) told = {0};
		CN_AUTO(cn_buf) shown = {0};
		type_at_prompt(cases[i].keys, &told, &shown);
		assert_string_equal(cn_buf_cstr(&told), cases[i].want);
		if (contains(cn_buf_cstr(&shown), "hid"))
			fail_msg("shown: %s", cn_buf_cstr(&shown));
	}
}

static void without_a_terminal_nobody_is_asked(void **state)
{
	int status;
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		struct cn_secret *s = NULL;
		setsid();
		_exit(cn_secret_prompt("Word: ", &s, NULL) == CN_E_LOCKED ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* In a child that may not lock memory; 77: here it may all the same. */
static _Noreturn void open_without_locking(const struct box *b)
{
	static char page[4096];
	struct rlimit none = {0, 0};
	struct cn_unlock how = b->how;
	struct cn_vault *v = NULL;
	struct cn_error err = {0};
	setrlimit(RLIMIT_MEMLOCK, &none);
	if (geteuid() == 0 &&
	    (chown(b->dir, 65534, 65534) || chown(b->vault, 65534, 65534) ||
	     chown(b->key, 65534, 65534) || setuid(65534)))
		_exit(1);
	if (mlock(page, sizeof(page)) == 0)
		_exit(77);
	if (cn_vault_open(b->vault, &how, &v, &err) || cn_vault_mlocked(v))
		_exit(2);
	v = cn_vault_close(v);
	how.require_mlock = true;
	_exit(cn_vault_open(b->vault, &how, &v, &err) == CN_E_LIMIT ? 0 : 3);
}

static void failed_locking_is_known_and_may_refuse(void **state)
{
	struct box b;
	int status;
	(void)state;
	box_init(&b);
	box_create(&b, NULL);
	pid_t child = fork();
	if (child == 0)
		open_without_locking(&b);
	assert_int_equal(waitpid(child, &status, 0), child);
	box_done(&b);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* a sanitizer answers mlock() itself */
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(secret_is_unreadable_at_rest),
	    cmocka_unit_test(provider_key_is_unreadable_but_while_lent),
	    cmocka_unit_test(taking_wipes_the_giver),
	    cmocka_unit_test(secrets_compare_by_bytes),
	    cmocka_unit_test(length_is_counted_in_characters),
	    cmocka_unit_test(descriptor_gives_one_line),
	    cmocka_unit_test(second_line_is_left_for_the_next_reader),
	    cmocka_unit_test(line_without_end_is_refused),
	    cmocka_unit_test(prompt_edits_and_does_not_show),
	    cmocka_unit_test(without_a_terminal_nobody_is_asked),
	    cmocka_unit_test(failed_locking_is_known_and_may_refuse),
	};
	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
