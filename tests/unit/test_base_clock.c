/*
 * Clocks: when this fails, a peer's date (retry-after) or a time in the log is read or
 * written wrongly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "continuo/clock.h"

static void formats_unix_time(void **state)
{
	static const struct {
		uint64_t ms;
		const char *want;
	} cases[] = {
	    {0, "1970-01-01T00:00:00.000Z"},
	    {784111777999, "1994-11-06T08:49:37.999Z"},
	    {951782400000, "2000-02-29T00:00:00.000Z"},
	    {951868800000, "2000-03-01T00:00:00.000Z"},
	    {1798761599999, "2026-12-31T23:59:59.999Z"},
	    {1798761600000, "2027-01-01T00:00:00.000Z"},
	    {4107542400000, "2100-03-01T00:00:00.000Z"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) b = {0};
		cn_clock_format(&b, cases[i].ms);
		assert_string_equal(cn_buf_cstr(&b), cases[i].want);
	}
}

/* Every day of 200 years, against the C library's own calendar. */
static void calendar_agrees_with_the_library(void **state)
{
	(void)state;
	for (time_t day = 0; day < 73000; day++) {
		time_t t = day * 86400 + 3600;
		struct tm tm;
		char want[40];
		assert_non_null(gmtime_r(&t, &tm));
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
		CN_AUTO(cn_buf) b = {0};
		cn_clock_format(&b, (uint64_t)t * 1000);
		assert_string_equal(cn_buf_cstr(&b), want);
		uint64_t back = 0;
		assert_true(cn_clock_parse(cn_buf_view(&b), &back));
		assert_int_equal(back, (uint64_t)t * 1000);
	}
}

static void parses_every_form_that_peers_send(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {
	    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000},
	    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777000},
	    {"Sun Nov  6 08:49:37 1994", 784111777000},
	    {"Wed Nov 16 08:49:37 1994", 784975777000},
	    {"Saturday, 21-Nov-26 03:46:37 GMT", 1795232797000},
	    {"1994-11-06T08:49:37Z", 784111777000},
	    {"1994-11-06t08:49:37.5z", 784111777500},
	    {"1994-11-06 08:49:37.123456789Z", 784111777123},
	    {"1994-11-06T10:49:37+02:00", 784111777000},
	    {"1994-11-06T00:19:37-08:30", 784111777000},
	    {"2016-12-31T23:59:60Z", 1483228800000},
	    {"784111777", 784111777000},
	    {"  784111777\t", 784111777000},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t got = 0;
		if (!cn_clock_parse(cn_view_str(cases[i].text), &got))
			fail_msg("'%s' is refused", cases[i].text);
		if (got != cases[i].ms)
			fail_msg("'%s': %llu, want %llu", cases[i].text,
			         (unsigned long long)got, (unsigned long long)cases[i].ms);
	}
}

static void minutes_are_of_the_local_day(void **state)
{
	int before, local, after;

	(void)state;
	/* Five hours and a half east of Greenwich; the minute may end while we look. */
	assert_int_equal(setenv("TZ", "TEST-05:30", 1), 0);
	tzset();
	do {
		before = (int)(cn_clock_wall_ms() / 60000 % 1440);
		local = cn_clock_minute_of_day();
		after = (int)(cn_clock_wall_ms() / 60000 % 1440);
	} while (before != after);
	assert_int_equal(local, (before + 330) % 1440);
}

static void days_are_local_and_change_with_the_season(void **state)
{
	static const struct {
		const char *zone;
		uint64_t at_s, from_s, until_s;
	} cases[] = {
	    {"UTC0", 1795219200, 1795219200, 1795305600}, /* midnight itself */
	    {"UTC0", 1795305599, 1795219200, 1795305600},
	    {"ZZZ-5:30", 1795219200, 1795199400, 1795285800},
	    /* The last Sundays of March and October in Germany: 23 and 25 hours. */
	    {"CET-1CEST,M3.5.0,M10.5.0/3", 1774747800, 1774738800, 1774821600},
	    {"CET-1CEST,M3.5.0,M10.5.0/3", 1792900800, 1792879200, 1792969200},
	};
	const char *before = getenv("TZ");
	char old[100];
	(void)state;
	snprintf(old, sizeof(old), "%s", before ? before : "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t from, until;
		setenv("TZ", cases[i].zone, 1);
		tzset();
		cn_clock_day(cases[i].at_s * 1000 + 999, &from, &until);
		if (from != cases[i].from_s * 1000 || until != cases[i].until_s * 1000)
			fail_msg("row %zu: got %llu to %llu", i, (unsigned long long)from,
			         (unsigned long long)until);
	}
	if (before)
		setenv("TZ", old, 1);
	else
		unsetenv("TZ");
	tzset();
}

static void refuses_what_is_no_date(void **state)
{
	static const char *const cases[] = {
	    "",
	    "soon",
	    "-5",
	    "1.5",
	    "18446744073709551615",
	    "Sun, 06 Nov 1994 08:49:37",
	    "Sun, 06 Nov 1994 08:49:37 CET",
	    "Sun, 06 Nov 1994 08:49:37 GMT x",
	    "Sun, 31 Feb 1994 08:49:37 GMT",
	    "Sun, 06 Nov 1994 24:00:00 GMT",
	    "Sun, 06 nov 1994 08:49:37 GMT",
	    "Sun, 6 Nov 1994 08:49:37 GMT",
	    "Sun Nov  6 08:49:37 94  ",
	    "1994-11-06",
	    "1994-11-06T08:49:37",
	    "1994-11-06T08:49:37.Z",
	    "1994-13-06T08:49:37Z",
	    "1994-00-06T08:49:37Z",
	    "1994-11-00T08:49:37Z",
	    "1994-11-06T08:49:61Z",
	    "1994-11-06T08:49:37+24:00",
	    "1969-12-31T23:59:59Z",
	    "1970-01-01T00:00:00+01:00",
	    "1900-02-29T00:00:00Z",
	    "2100-02-29T00:00:00Z",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t got = 77;
		if (cn_clock_parse(cn_view_str(cases[i]), &got))
			fail_msg("'%s' is taken for %llu", cases[i],
			         (unsigned long long)got);
		assert_int_equal(got, 77);
	}
}

static void monotonic_clock_agrees_with_itself(void **state)
{
	(void)state;
	uint64_t ms = cn_clock_ms(), us = cn_clock_us(), later = cn_clock_ms();
	assert_true(ms <= us / 1000 && us / 1000 <= later);
	assert_true(cn_clock_wall_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(formats_unix_time),
	    cmocka_unit_test(calendar_agrees_with_the_library),
	    cmocka_unit_test(parses_every_form_that_peers_send),
	    cmocka_unit_test(refuses_what_is_no_date),
	    cmocka_unit_test(monotonic_clock_agrees_with_itself),
	    cmocka_unit_test(minutes_are_of_the_local_day),
	    cmocka_unit_test(days_are_local_and_change_with_the_season),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
