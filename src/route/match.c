/*
 * Which route of the policy a request takes: the first whose conditions all hold.
 *
 * Owns nothing; any thread.  Headers and the local time of day are arguments.
 */
#include "route_impl.h"

static bool any_glob(const char **globs, size_t n, struct cn_view text)
{
	for (size_t i = 0; i < n; i++) {
		if (cn_view_glob(cn_view_str(globs[i]), text))
			return true;
	}
	return n == 0;
}

static bool holds(enum cn_tristate want, bool is)
{
	return want == CN_ANY || (want == CN_YES) == is;
}

/* From 22:00 to 06:00 runs over midnight; from a time to itself is the whole day. */
static bool in_time(const struct cn_when *w, int minute)
{
	if (w->from_minute < 0 || w->to_minute < 0)
		return true;
	if (w->from_minute < w->to_minute)
		return minute >= w->from_minute && minute < w->to_minute;
	return minute >= w->from_minute || minute < w->to_minute;
}

/* A header that is not there matches nothing, not even "*". */
static bool headers_hold(const struct cn_when *w, const struct cn_match_input *in)
{
	for (size_t i = 0; i < w->n_headers; i++) {
		struct cn_view value = {NULL, 0};

		if (in->header)
			value = in->header(in->self, w->headers[i].name);
		if (value.n == 0 || !cn_view_glob(cn_view_str(w->headers[i].value), value))
			return false;
	}
	return true;
}

static bool when_holds(const struct cn_when *w, const struct cn_match_input *in)
{
	const struct cn_request *r = in->request;

	return any_glob(w->models, w->n_models, r->model) &&
	       any_glob(w->owners, w->n_owners, in->owner) &&
	       (w->context_over == 0 || r->estimate > w->context_over) &&
	       (w->context_under == 0 || r->estimate < w->context_under) &&
	       holds(w->thinking, r->thinking) && holds(w->images, r->images) &&
	       holds(w->tools, r->n_tools > 0) &&
	       (w->caller < 0 || w->caller == (int)r->caller) && headers_hold(w, in) &&
	       in_time(w, in->minute_of_day);
}

const struct cn_route *cn_route_match(const struct cn_policy *p,
                                      const struct cn_match_input *in)
{
	for (size_t i = 0; i < p->n_routes; i++) {
		if (when_holds(&p->routes[i].when, in))
			return &p->routes[i];
	}
	return NULL;
}
