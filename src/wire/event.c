/*
 * The names of stream events, and how the usage figures of one event add to what is known:
 * a figure that is missing leaves the older one, and none is ever added up.
 *
 * Pure; owns nothing; any thread.
 */
#include "continuo/event.h"

const char *cn_event_name(enum cn_event_kind kind)
{
	static const char *const names[] = {
#define X(symbol, name) name,
	    CN_EVENTS(X)
#undef X
	};

	return names[kind];
}

void cn_usage_merge(struct cn_usage *to, const struct cn_usage *from)
{
	if (from->has_input) {
		to->input = from->input;
		to->has_input = true;
	}
	if (from->has_output) {
		to->output = from->output;
		to->has_output = true;
	}
	if (from->has_cache_read) {
		to->cache_read = from->cache_read;
		to->has_cache_read = true;
	}
	if (from->has_cache_write) {
		to->cache_write = from->cache_write;
		to->has_cache_write = true;
	}
}
