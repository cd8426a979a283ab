/*
 * Token figures: what a backend says it counted, and what the client is told.
 *
 * The client compacts by the input figures of answers and counts on numbers: what is
 * missing, nothing, far too little or more than can be is replaced by our own estimate.
 * Attempts' input is never added up; their output is.  Pure.
 */
#include "splice_impl.h"

/* A token is about so many bytes, where a backend did not count. */
#define CN_TOKEN_BYTES 4
/* No count is larger, and sums of three stay in range. */
#define CN_FIGURE_MAX ((uint64_t)1 << 40)
/* By so much a prompt may be larger than we weighed it: what is said of tools, tokenizers
 * of others; and where the provider reads files and pages besides. */
#define CN_TIMES        4
#define CN_BESIDES      20000
#define CN_TIMES_MORE   64
#define CN_BESIDES_MORE 100000

static uint64_t input_of(const struct cn_usage *u)
{
	return u->input + u->cache_read + u->cache_write;
}

/* More than the prompt can be, or the model can read. */
static bool input_is_absurd(const struct cn_splice *s, const struct cn_usage *u)
{
	uint64_t window = s->author ? s->author->window : 0, most;

	if (u->input >= CN_FIGURE_MAX || u->cache_read >= CN_FIGURE_MAX ||
	    u->cache_write >= CN_FIGURE_MAX)
		return true;
	if (!s->opts.estimate)
		return false;
	most = s->opts.reads_more ? s->opts.estimate * CN_TIMES_MORE + CN_BESIDES_MORE
	                          : s->opts.estimate * CN_TIMES + CN_BESIDES;
	return input_of(u) > most || (window && input_of(u) / 2 > window);
}

/* A model may think more than it was allowed to say, and is then counted so. */
static bool output_is_absurd(const struct cn_splice *s, const struct cn_usage *u)
{
	uint64_t most = s->opts.max_tokens;

	if (u->output >= CN_FIGURE_MAX)
		return true;
	return s->opts.estimate && most < CN_FIGURE_MAX &&
	       u->output > most * CN_TIMES + CN_BESIDES + s->gave;
}

void cn_splice__take_usage(struct cn_splice *s, const struct cn_event *ev)
{
	struct cn_usage now = s->usage;

	cn_usage_merge(&now, &ev->usage);
	/* Some close with nothing what they had counted. */
	if (input_is_absurd(s, &now) || input_of(&now) == 0) {
		now.input = s->usage.input;
		now.cache_read = s->usage.cache_read;
		now.cache_write = s->usage.cache_write;
		now.has_input = s->usage.has_input;
		now.has_cache_read = s->usage.has_cache_read;
		now.has_cache_write = s->usage.has_cache_write;
	}
	if (output_is_absurd(s, &now)) {
		now.output = s->usage.output;
		now.has_output = s->usage.has_output;
	} else if (ev->kind == CN_EV_MESSAGE_DELTA && ev->usage.has_output &&
	           ev->usage.output) {
		s->counted = true;
	}
	s->usage = now;
}

/* A figure that was not said at the end is that of the beginning: then by what was given.
 */
static uint64_t output_of(const struct cn_splice *s)
{
	uint64_t about = s->gave / CN_TOKEN_BYTES;

	return !s->counted && about > s->usage.output ? about : s->usage.output;
}

void cn_splice__add_up(struct cn_splice *s)
{
	struct cn_usage *b = &s->before, *u = &s->usage;

	if (!b->has_input) {
		b->input = u->input;
		b->cache_read = u->cache_read;
		b->cache_write = u->cache_write;
		b->has_input = u->has_input;
		b->has_cache_read = u->has_cache_read;
		b->has_cache_write = u->has_cache_write;
	}
	b->output += output_of(s);
	b->has_output = true;
}

struct cn_usage cn_splice_total(const struct cn_splice *s)
{
	struct cn_usage total = s->usage;

	if (s->before.has_input) {
		total.input = s->before.input;
		total.cache_read = s->before.cache_read;
		total.cache_write = s->before.cache_write;
		total.has_input = true;
	}
	total.output = s->before.output + output_of(s);
	total.has_output = true;
	return total;
}

uint64_t cn_splice_spent(const struct cn_splice *s)
{
	return s->before.output;
}

struct cn_usage cn_splice__told(const struct cn_splice *s)
{
	struct cn_usage told = cn_splice_total(s);
	uint64_t input = input_of(&told);

	/* Below a third of what it must be (damage.h) it would keep the client from
	 * compacting in time. */
	if (!s->opts.estimate || (input && input * 3 >= s->opts.least))
		return told;
	told.input = s->opts.estimate;
	told.cache_read = told.cache_write = 0;
	told.has_input = true;
	return told;
}
