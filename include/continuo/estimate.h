/*
 * A cheap estimate of input tokens, with its error stated: from bytes, by kind of content
 * (prose, code, JSON, base64 images at a flat price).  Within about 25 % of Anthropic's
 * count on Claude Code's requests, rather above than below.  Pure.
 */
#ifndef CONTINUO_ESTIMATE_H
#define CONTINUO_ESTIMATE_H

#include "continuo/message.h"

/* What an ear has heard so far.  Start from {0}. */
struct cn_estimate {
	struct cn_view key;  /* raw: of the member being read; borrowed from the body */
	struct cn_view type; /* the last value of a "type"; borrowed from the body */
	enum cn_request_part part;
	uint64_t weight[CN_PART_TOOLS + 1]; /* of each part */
	uint64_t soft[CN_PART_TOOLS + 1];   /* of it, what a model may read for less */
	uint64_t messages;
};

/* For cn_request_read(); e hears what is read. */
struct cn_request_ear cn_estimate_ear(struct cn_estimate *e);
/* The input tokens of r, which e has heard. */
uint64_t cn_estimate_tokens(const struct cn_estimate *e, const struct cn_request *r);
/*
 * Of that, what no model can do without: the text of the system prompt, and of the rest.
 * What a backend counted can be held against it (damage.h).
 */
void cn_estimate_least(const struct cn_estimate *e, const struct cn_request *r,
                       uint64_t *retsystem, uint64_t *retrest);

#endif
