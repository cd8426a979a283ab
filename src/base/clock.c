/*
 * The two clocks and the forms of time that peers send: HTTP dates (all three of RFC 9110),
 * RFC 3339 and Unix seconds.  Holds no state; any thread.
 *
 * Dates are computed here, not by the C library: strptime() and friends obey the locale and
 * the environment's time zone, and a peer's date must not.
 */
#include "continuo/clock.h"

#include <time.h>

#define MS_PER_DAY ((uint64_t)86400 * 1000)

static uint64_t read_clock(clockid_t which, uint64_t per_second)
{
	struct timespec ts;
	int failed = clock_gettime(which, &ts);
	cn_assert(!failed);
	return (uint64_t)ts.tv_sec * per_second +
	       (uint64_t)ts.tv_nsec / (1000000000 / per_second);
}

uint64_t cn_clock_ms(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000);
}

uint64_t cn_clock_us(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000);
}

uint64_t cn_clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME, 1000);
}

int cn_clock_minute_of_day(void)
{
	time_t now = time(NULL);
	struct tm tm;

	return localtime_r(&now, &tm) ? tm.tm_hour * 60 + tm.tm_min : 0;
}

/* Midnight of the day, or what comes first where summer time skips it. */
static uint64_t midnight(struct tm day)
{
	time_t t;

	day.tm_hour = day.tm_min = day.tm_sec = 0;
	day.tm_isdst = -1;
	t = mktime(&day);
	return t > 0 ? (uint64_t)t * 1000 : 0;
}

void cn_clock_day(uint64_t wall_ms, uint64_t *retfrom, uint64_t *retuntil)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm day;

	if (!localtime_r(&t, &day)) { /* a year that an int cannot hold */
		*retfrom = 0;
		*retuntil = UINT64_MAX;
		return;
	}
	*retfrom = midnight(day);
	day.tm_mday++;
	*retuntil = midnight(day);
}

struct civil {
	uint64_t year, month, day; /* month and day from 1 */
	uint64_t hour, minute, second, ms;
};

static bool leap(uint64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint64_t month_days(uint64_t year, uint64_t month)
{
	static const unsigned char days[12] = {31, 28, 31, 30, 31, 30,
	                                       31, 31, 30, 31, 30, 31};
	return month == 2 && leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to the first of January; year >= 1970. */
static uint64_t days_before_year(uint64_t year)
{
	uint64_t y = year - 1;
	const uint64_t leaps_before_1970 = 1969 / 4 - 1969 / 100 + 1969 / 400;
	return (year - 1970) * 365 + (y / 4 - y / 100 + y / 400) - leaps_before_1970;
}

void cn_clock_format(struct cn_buf *b, uint64_t wall_ms)
{
	uint64_t days = wall_ms / MS_PER_DAY, ms = wall_ms % MS_PER_DAY;
	/* Too late by at most one year when the days are near a year's end. */
	uint64_t year = 1970 + days / 365, month = 1;
	while (days_before_year(year) > days)
		year--;
	days -= days_before_year(year);
	while (days >= month_days(year, month))
		days -= month_days(year, month++);
	cn_buf_printf(b, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year,
	              (unsigned)month, (unsigned)days + 1, (unsigned)(ms / 3600000),
	              (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60),
	              (unsigned)(ms % 1000));
}

/* What is left of the text, cut from the front by the functions below; each returns whether
 * what it wants stood there. */
static bool take(struct cn_view *in, const char *literal)
{
	struct cn_view want = cn_view_str(literal);
	if (!cn_view_starts(*in, want))
		return false;
	*in = cn_view_from(*in, want.n);
	return true;
}

static bool take_digits(struct cn_view *in, size_t n, uint64_t *ret)
{
	if (in->n < n || !cn_view_u64(cn_view_cut(*in, n), ret))
		return false;
	*in = cn_view_from(*in, n);
	return true;
}

static bool take_time(struct cn_view *in, struct civil *c)
{
	return take_digits(in, 2, &c->hour) && take(in, ":") &&
	       take_digits(in, 2, &c->minute) && take(in, ":") &&
	       take_digits(in, 2, &c->second);
}

static bool take_month(struct cn_view *in, uint64_t *ret)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	for (size_t i = 0; i < 12; i++)
		if (cn_view_starts(*in, cn_view(names + 3 * i, 3))) {
			*in = cn_view_from(*in, 3);
			*ret = i + 1;
			return true;
		}
	return false;
}

static bool civil_ms(const struct civil *c, uint64_t *ret)
{
	/* A leap second (60) counts as the second after. */
	if (c->year < 1970 || c->year > 9999 || c->month < 1 || c->month > 12 ||
	    c->day < 1 || c->day > month_days(c->year, c->month) || c->hour > 23 ||
	    c->minute > 59 || c->second > 60)
		return false;
	uint64_t days = days_before_year(c->year) + c->day - 1;
	for (uint64_t m = 1; m < c->month; m++)
		days += month_days(c->year, m);
	*ret = days * MS_PER_DAY + ((c->hour * 60 + c->minute) * 60 + c->second) * 1000 +
	       c->ms;
	return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" or "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool parse_http(struct cn_view in, uint64_t *ret)
{
	struct civil c = {0};
	size_t comma = cn_view_find(in, CN_VIEW(", "), 0);
	if (comma == SIZE_MAX)
		return false;
	in = cn_view_from(in, comma + 2);
	bool old = cn_view_starts(cn_view_from(in, 2), CN_VIEW("-"));
	const char *sep = old ? "-" : " ";
	if (!take_digits(&in, 2, &c.day) || !take(&in, sep) || !take_month(&in, &c.month) ||
	    !take(&in, sep) || !take_digits(&in, old ? 2 : 4, &c.year))
		return false;
	if (old) /* two digits; nothing that we read is older than 1970 */
		c.year += c.year < 70 ? 2000 : 1900;
	return take(&in, " ") && take_time(&in, &c) && take(&in, " GMT") && in.n == 0 &&
	       civil_ms(&c, ret);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool parse_asctime(struct cn_view in, uint64_t *ret)
{
	struct civil c = {0};
	if (in.n != 24 || !cn_view_starts(cn_view_from(in, 3), CN_VIEW(" ")))
		return false;
	in = cn_view_from(in, 4);
	if (!take_month(&in, &c.month) || !take(&in, " ") ||
	    !take_digits(&in, take(&in, " ") ? 1 : 2, &c.day))
		return false;
	return take(&in, " ") && take_time(&in, &c) && take(&in, " ") &&
	       take_digits(&in, 4, &c.year) && civil_ms(&c, ret);
}

/* "Z" or "+02:00": minutes east of Greenwich */
static bool take_zone(struct cn_view *in, int64_t *ret)
{
	uint64_t hours, minutes;
	if (take(in, "Z") || take(in, "z")) {
		*ret = 0;
		return true;
	}
	bool west = take(in, "-");
	if (!west && !take(in, "+"))
		return false;
	if (!take_digits(in, 2, &hours) || !take(in, ":") ||
	    !take_digits(in, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret = (int64_t)(hours * 60 + minutes) * (west ? -1 : 1);
	return true;
}

/* Behind the point: milliseconds, finer digits dropped. */
static bool take_fraction(struct cn_view *in, uint64_t *ret)
{
	uint64_t weight = 100, digit, any = 0;
	while (take_digits(in, 1, &digit)) {
		*ret += digit * weight;
		weight /= 10;
		any = 1;
	}
	return any;
}

/* "2026-11-21T03:46:37.123Z" */
static bool parse_rfc3339(struct cn_view in, uint64_t *ret)
{
	struct civil c = {0};
	int64_t east;
	uint64_t ms;
	if (!take_digits(&in, 4, &c.year) || !take(&in, "-") ||
	    !take_digits(&in, 2, &c.month) || !take(&in, "-") ||
	    !take_digits(&in, 2, &c.day))
		return false;
	if (!take(&in, "T") && !take(&in, "t") && !take(&in, " "))
		return false;
	if (!take_time(&in, &c) || (take(&in, ".") && !take_fraction(&in, &c.ms)) ||
	    !take_zone(&in, &east) || in.n != 0 || !civil_ms(&c, &ms))
		return false;
	int64_t utc = (int64_t)ms - east * 60000;
	if (utc < 0)
		return false;
	*ret = (uint64_t)utc;
	return true;
}

static bool parse_unix(struct cn_view in, uint64_t *ret)
{
	uint64_t seconds;
	if (!cn_view_u64(in, &seconds) || seconds > UINT64_MAX / 1000)
		return false;
	*ret = seconds * 1000;
	return true;
}

bool cn_clock_parse(struct cn_view text, uint64_t *ret)
{
	text = cn_view_trim(text);
	return parse_unix(text, ret) || parse_rfc3339(text, ret) || parse_http(text, ret) ||
	       parse_asctime(text, ret);
}
