/*
 * Errors and counters: when this fails, a user reads a garbled message or a script sees the
 * wrong exit status.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "continuo/counters.h"
#include "continuo/error.h"
#include "continuo/trace.h"

static void failing_describes_and_returns_the_code(void **state)
{
	(void)state;
	struct cn_error err = {.line = 7, .file = "old"};
	assert_int_equal(cn_fail(&err, CN_E_CONFIG, "unknown model '%s'", "op\x1b[2Jsu\n"),
	                 CN_E_CONFIG);
	assert_int_equal(err.code, CN_E_CONFIG);
	assert_string_equal(err.message, "unknown model 'op?[2Jsu?'");
	assert_string_equal(err.file, "");
	assert_int_equal(err.line, 0);
	assert_int_equal(cn_fail(NULL, CN_E_IO, "nobody asks"), CN_E_IO);
	/* An error may be described anew from its own text. */
	cn_fail(&err, CN_E_IO, "again: %s", err.message);
	assert_string_equal(err.message, "again: unknown model 'op?[2Jsu?'");
}

static void prefix_stands_before_and_long_text_is_cut(void **state)
{
	(void)state;
	struct cn_error err;
	cn_fail(&err, CN_E_IO, "no space");
	cn_error_prefix(&err, "vault %s", "/a\tb");
	assert_string_equal(err.message, "vault /a?b: no space");
	char text[2000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cn_fail(&err, CN_E_IO, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	cn_error_prefix(&err, "p");
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_memory_equal(err.message, "p: xx", 5);
	cn_error_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
}

static void codes_have_their_exit_status(void **state)
{
	static const struct {
		int code, status;
	} cases[] = {
	    {CN_OK, 0},       {CN_E_FAIL, 1},      {CN_E_USAGE, 2}, {CN_E_CONFIG, 3},
	    {CN_E_LOCKED, 4}, {CN_E_NOT_FOUND, 1}, {CN_E_BUSY, 1},  {CN_E_DENIED, 1},
	    {-1000, 1},       {1000, 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(cn_error_exit(cases[i].code), cases[i].status);
	assert_string_equal(cn_error_text(CN_E_LOCKED), "vault locked or wrong passphrase");
	assert_string_equal(cn_error_text(-1000), cn_error_text(CN_E_FAIL));
}

/* Runs f in a child; its standard error ends up in text.  Returns the signal it died of. */
static int dies_saying(void (*f)(void), char *text, size_t size)
{
	int fds[2], status;
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		dup2(fds[1], STDERR_FILENO);
		f();
		_exit(0);
	}
	close(fds[1]);
	size_t at = 0;
	ssize_t n;
	while (at + 1 < size && (n = read(fds[0], text + at, size - 1 - at)) > 0)
		at += (size_t)n;
	text[at] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void break_a_promise(void)
{
	for (uint64_t i = 0; i < 300; i++)
		cn_trace(CN_TR_ATTEMPT_END, i, 2, CN_VIEW("OVERLOADED\x1b"));
	cn_assert(1 + 1 == 3);
}

static void failed_assertion_prints_the_trace(void **state)
{
	static char text[64 * 1024];
	(void)state;
	assert_int_equal(dies_saying(break_a_promise, text, sizeof(text)), SIGABRT);
	assert_non_null(strstr(text, "test_base_error.c:"));
	assert_non_null(strstr(text, "in break_a_promise(): 1 + 1 == 3\n"));
	/* The ring keeps the last 256 of 300. */
	assert_non_null(strstr(text, " attempt_end 299 2 OVERLOADED?\n"));
	assert_non_null(strstr(text, " attempt_end 44 2 "));
	assert_null(strstr(text, " attempt_end 43 2 "));
}

static void counters_count_apart(void **state)
{
	(void)state;
	cn_count(CN_CT_TURNS);
	cn_count_add(CN_CT_TURNS, 41);
	assert_int_equal(cn_counter_get(CN_CT_TURNS), 42);
	assert_int_equal(cn_counter_get(CN_CT_TURNS_OK), 0);
	assert_string_equal(cn_counter_name(CN_CT_TURNS), "turns");
	assert_string_equal(cn_counter_name(CN_CT_PAUSES), "pauses");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(failing_describes_and_returns_the_code),
	    cmocka_unit_test(prefix_stands_before_and_long_text_is_cut),
	    cmocka_unit_test(codes_have_their_exit_status),
	    cmocka_unit_test(failed_assertion_prints_the_trace),
	    cmocka_unit_test(counters_count_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
