/*
 * A cheap estimate of input tokens, with its error stated: from bytes, by kind of content
 * (prose, code, JSON, base64 images at a flat price).  Within about 25 % of Anthropic's
 * count on Claude Code's requests, rather above than below.  Pure.
 */
#ifndef CONTINUO_ESTIMATE_H
#define CONTINUO_ESTIMATE_H

#include "continuo/message.h"

uint64_t cn_estimate_request(const struct cn_request *r);

#endif
