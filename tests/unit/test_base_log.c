/*
 * Log and trace: when this fails, a line is garbled, a secret survives in it, or a scene
 * waits for a trace record that never comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "continuo/buf.h"
#include "continuo/log.h"
#include "continuo/trace.h"

static int saved_stderr = -1;
static FILE *captured; /* what goes to standard error between capture() and release() */

static void capture(void)
{
	fflush(NULL);
	captured = tmpfile();
	assert_non_null(captured);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fileno(captured), STDERR_FILENO) >= 0);
}

/* The caller free()s what it returns. */
static char *release(void)
{
	assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
	close(saved_stderr);
	CN_AUTO(cn_buf) b = {0};
	rewind(captured);
	size_t n;
	while ((n = fread(cn_buf_reserve(&b, 4096), 1, 4096, captured)) > 0)
		b.n += n;
	fclose(captured);
	return cn_buf_detach(&b, NULL);
}

/* A text line without its time, which is checked for its form. */
static const char *behind_time(const char *line)
{
	static const char form[] = "0000-00-00T00:00:00.000Z ";
	for (size_t i = 0; form[i]; i++)
		if (form[i] == '0' ? line[i] < '0' || line[i] > '9' : line[i] != form[i])
			fail_msg("no time at the start of: %s", line);
	return line + sizeof(form) - 1;
}

static void text_lines_have_prefix_and_fields(void **state)
{
	(void)state;
	struct cn_log log = {"t42 a2 anthropic/opus"};
	cn_log_setup(CN_LOG_INFO, false);
	capture();
	cn_log(&log, CN_LOG_WARNING, "attempt failed", CN_STR(CLASS, "overloaded"),
	       CN_NUM(STATUS, 529), CN_STR(REASON, "say \"no\" \\ twice"), CN_STR(NAME, ""),
	       CN_NUM(MS, -1));
	CN_AUTOFREE char *got = release();
	assert_string_equal(
	    behind_time(got),
	    "warning t42 a2 anthropic/opus attempt failed class=overloaded "
	    "status=529 reason=\"say \\\"no\\\" \\\\ twice\" name=\"\" ms=-1\n");
}

static void json_lines_are_one_object(void **state)
{
	(void)state;
	struct cn_log log = {"t1"};
	cn_log_setup(CN_LOG_DEBUG, true);
	capture();
	cn_log(&log, CN_LOG_DEBUG, "reloaded", CN_STR(FILE, "a\"b\\c\n\xff"),
	       CN_NUM(LINE, 3));
	cn_log_plain(NULL, CN_LOG_ERROR, "bye");
	CN_AUTOFREE char *got = release();
	cn_log_setup(CN_LOG_INFO, false);
	assert_non_null(
	    strstr(got, "\",\"level\":\"debug\",\"who\":\"t1\",\"message\":\"reloaded\","
	                "\"file\":\"a\\\"b\\\\c\\\\x0a\\\\xff\",\"line\":3}\n"));
	assert_non_null(strstr(got, "\",\"level\":\"error\",\"message\":\"bye\"}\n"));
	assert_memory_equal(got, "{\"time\":\"2", 10);
}

static void lines_below_the_level_are_not_written(void **state)
{
	(void)state;
	enum cn_log_level level = CN_LOG_DEBUG;
	cn_log_setup(CN_LOG_WARNING, false);
	assert_int_equal(cn_log_level(), CN_LOG_WARNING);
	capture();
	cn_log_plain(NULL, CN_LOG_INFO, "not this");
	cn_log_plain(NULL, CN_LOG_WARNING, "but this");
	CN_AUTOFREE char *got = release();
	assert_string_equal(behind_time(got), "warning but this\n");
	assert_true(cn_log_level_parse(CN_VIEW("error"), &level));
	assert_int_equal(level, CN_LOG_ERROR);
	assert_false(cn_log_level_parse(CN_VIEW("Error"), &level));
	assert_false(cn_log_level_parse(CN_VIEW(""), &level));
	assert_int_equal(level, CN_LOG_ERROR);
	cn_log_setup(CN_LOG_INFO, false);
}

static void foreign_text_cannot_speak_to_a_terminal(void **state)
{
	static const struct {
		const char *in;
		size_t max;
		const char *want;
	} cases[] = {
	    {"a\x1b[31mb\r\n\x7f", 99, "a\\x1b[31mb\\x0d\\x0a\\x7f"},
	    {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\xb5", 99,
	     "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\xb5"},
	    {"\xc2\x9b[2J", 99, "\\xc2\\x9b[2J"}, /* CSI as UTF-8 */
	    {"\x9b[2J", 99, "\\x9b[2J"},          /* and as a byte */
	    {"\xc0\x8a\xed\xa0\x80", 99, "\\xc0\\x8a\\xed\\xa0\\x80"},
	    {"\xe0\x80\x8a|\xf4\x90\x80\x80|\xf5", 99,
	     "\\xe0\\x80\\x8a|\\xf4\\x90\\x80\\x80|\\xf5"},
	    {"ab\xe2\x82", 99, "ab\\xe2\\x82"},
	    {"abcdef", 3, "abc"},
	    {"ab\xe2\x82\xac", 4, "ab"}, /* never half a character */
	    {"", 5, ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) b = {0};
		cn_log_sanitise(&b, cn_view_str(cases[i].in), cases[i].max);
		assert_string_equal(cn_buf_cstr(&b), cases[i].want);
	}
	CN_AUTO(cn_buf) b = {0};
	cn_log_sanitise(&b, (struct cn_view){NULL, 0}, 10);
	assert_int_equal(b.n, 0);
}

static void scrub_canary(void *self, char *line, size_t n)
{
	struct cn_view secret = *(struct cn_view *)self;
	for (size_t at = 0; (at = cn_view_find(cn_view(line, n), secret, at)) != SIZE_MAX;)
		memset(line + at, '*', secret.n);
}

static void scrubber_sees_every_line_and_across_the_cut(void **state)
{
	struct cn_view secret = CN_VIEW("sk-canary-0123456789");
	char text[300];
	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + 190, secret.p, secret.n); /* the cut at 200 goes through it */
	cn_log_set_scrubber(scrub_canary, &secret);
	capture();
	cn_log(NULL, CN_LOG_ERROR, "said", CN_TEXT(REASON, cn_view(text, sizeof(text))),
	       CN_STR(ERROR, "key sk-canary-0123456789!"));
	cn_log_set_scrubber(NULL, NULL);
	CN_AUTOFREE char *got = release();
	assert_null(strstr(got, "sk-"));
	assert_non_null(strstr(got, "x********** error=\"key ********************!\"\n"));
}

static void logging_keeps_errno(void **state)
{
	(void)state;
	int saved = dup(STDERR_FILENO);
	close(STDERR_FILENO); /* the write fails */
	errno = EPIPE;
	cn_log_plain(NULL, CN_LOG_ERROR, "nobody reads this");
	int after = errno;
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(after, EPIPE);
}

static void *log_a_lot(void *arg)
{
	struct cn_log log;
	(void)snprintf(log.prefix, sizeof(log.prefix), "t%d", *(int *)arg);
	for (int i = 0; i < 500; i++)
		cn_log(&log, CN_LOG_INFO, "line", CN_NUM(COUNT, i));
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	(void)state;
	pthread_t threads[4];
	int ids[4] = {0, 1, 2, 3}, next[4] = {0};
	capture();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_a_lot, &ids[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CN_AUTOFREE char *got = release();
	struct cn_view rest = cn_view_str(got), line;
	size_t lines = 0;
	while (cn_view_split(&rest, '\n', &line) && line.n) {
		CN_AUTOFREE char *s = cn_view_dup(line);
		const char *t = behind_time(s);
		assert_true(strncmp(t, "info t", 6) == 0 && t[6] >= '0' && t[6] < '4');
		char want[64];
		int who = t[6] - '0';
		(void)snprintf(want, sizeof(want), "info t%d line count=%d", who,
		               next[who]++);
		assert_string_equal(t, want);
		lines++;
	}
	assert_int_equal(lines, 2000);
}

static void trace_file_holds_json_lines(void **state)
{
	(void)state;
	char path[] = "/tmp/continuo-test-trace-XXXXXX";
	struct cn_error err;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	close(fd);
	assert_int_equal(cn_trace_open("/nowhere/at/all", &err), CN_E_IO);
	assert_non_null(strstr(err.message, "/nowhere/at/all"));
	assert_int_equal(cn_trace_open(path, &err), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	cn_trace(CN_TR_TURN_STATE, 1, 2, CN_VIEW("TRYING"));
	cn_trace(CN_TR_COOLDOWN, UINT64_MAX, 0, CN_VIEW("a\"b\\\n"));
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	char line[300];
	const char *want[] = {
	    ",\"event\":\"turn_state\",\"a\":1,\"b\":2,\"text\":\"TRYING\"}\n",
	    ",\"event\":\"cooldown\",\"a\":18446744073709551615,\"b\":0,"
	    "\"text\":\"a\\\"b\\\\\\\\x0a\"}\n"};
	for (size_t i = 0; i < 2; i++) {
		assert_non_null(fgets(line, sizeof(line), f));
		assert_memory_equal(line, "{\"t\":", 5);
		assert_string_equal(strchr(line, ','), want[i]);
	}
	assert_null(fgets(line, sizeof(line), f));
	fclose(f);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_lines_have_prefix_and_fields),
	    cmocka_unit_test(json_lines_are_one_object),
	    cmocka_unit_test(lines_below_the_level_are_not_written),
	    cmocka_unit_test(foreign_text_cannot_speak_to_a_terminal),
	    cmocka_unit_test(scrubber_sees_every_line_and_across_the_cut),
	    cmocka_unit_test(logging_keeps_errno),
	    cmocka_unit_test(lines_of_threads_do_not_mix),
	    cmocka_unit_test(trace_file_holds_json_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
