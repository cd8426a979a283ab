/*
 * Times, sizes and token counts as people write them, both ways: one table of suffixes for
 * each.  A value is a whole number and a suffix, nothing else; it is printed in the largest
 * unit that holds it exactly, so that reading it again gives the same number.
 *
 * Pure; any thread.  Knows no keys and no bounds: those are the tables' (schema.c).
 */
#include "config_impl.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* From small to large; the first one is what zero is printed in. */
static const struct unit times[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                    {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {{"B", 1},
                                    {"KiB", 1024},
                                    {"MiB", 1024ULL * 1024},
                                    {"GiB", 1024ULL * 1024 * 1024},
                                    {NULL, 0}};
static const struct unit tokens[] = {{"", 1}, {"k", 1000}, {"M", 1000000}, {NULL, 0}};

static bool read_units(const struct unit *units, struct cn_view v, uint64_t *ret)
{
	size_t digits = 0;
	uint64_t n;

	while (digits < v.n && v.p[digits] >= '0' && v.p[digits] <= '9')
		digits++;
	if (!cn_view_u64(cn_view_cut(v, digits), &n))
		return false;
	for (const struct unit *u = units; u->suffix; u++) {
		if (!cn_view_is(cn_view_from(v, digits), u->suffix))
			continue;
		/* The highest values mean "for ever" and the like. */
		if (n > (UINT64_MAX >> 1) / u->factor)
			return false;
		*ret = n * u->factor;
		return true;
	}
	return false;
}

static const char *units_text(const struct unit *units, struct cn_arena *a, uint64_t v)
{
	const struct unit *best = units;

	for (const struct unit *u = units; v && u->suffix; u++)
		if (v % u->factor == 0)
			best = u;
	return cn_arena_printf(a, "%llu%s", (unsigned long long)(v / best->factor),
	                       best->suffix);
}

bool cn_config__time(struct cn_view v, uint64_t *retms)
{
	return read_units(times, v, retms);
}

bool cn_config__size(struct cn_view v, uint64_t *ret)
{
	return read_units(sizes, v, ret);
}

bool cn_config__tokens(struct cn_view v, uint64_t *ret)
{
	return read_units(tokens, v, ret);
}

const char *cn_config__time_text(struct cn_arena *a, uint64_t ms)
{
	return units_text(times, a, ms);
}

const char *cn_config__size_text(struct cn_arena *a, uint64_t bytes)
{
	return units_text(sizes, a, bytes);
}

const char *cn_config__tokens_text(struct cn_arena *a, uint64_t n)
{
	return units_text(tokens, a, n);
}
