/*
 * The outcome classes by name: the one list of wire/fallback-rules.md 1, for policy, log
 * and x-continuo-attempts.  What follows from a class is route/'s business.
 *
 * Pure; owns nothing; any thread.
 */
#include "continuo/outcome.h"

static const char *const CN_NAMES[] = {
#define X(symbol, name) name,
    CN_CLASSES(X)
#undef X
};

const char *cn_class_name(enum cn_class c)
{
	return c < CN_CLASS_COUNT ? CN_NAMES[c] : "?";
}

bool cn_class_parse(struct cn_view name, enum cn_class *ret)
{
	for (int i = CN_CLASS_RATE_LIMITED; i < CN_CLASS_COUNT; i++) {
		if (cn_view_is(name, CN_NAMES[i])) {
			*ret = (enum cn_class)i;
			return true;
		}
	}
	return false;
}
