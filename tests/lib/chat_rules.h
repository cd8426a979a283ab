/*
 * What a strict Chat Completions server demands of a request (wire/openai-chat.md 1 and 5):
 * the check that refuses what our encoder must never write.
 */
#ifndef CONTINUO_TESTS_CHAT_RULES_H
#define CONTINUO_TESTS_CHAT_RULES_H

#include "continuo/dialect.h"

/*
 * NULL when the body keeps the rules; else what it breaks, in ret (of that many bytes).
 * quirks: rules of a server that is stricter, or laxer, than the format.
 */
const char *chat_rules_breach(struct cn_view body, uint64_t quirks, char *ret, size_t n);

#endif
