/* Program-wide counters: a table, so that `status` and (later) /metrics print from it. */
#ifndef CONTINUO_COUNTERS_H
#define CONTINUO_COUNTERS_H

#include <stdint.h>

#define CN_COUNTERS(X)                                                                   \
	X(CONNECTIONS, "connections", "client connections accepted")                     \
	X(REQUESTS, "requests", "requests whose head was complete")                      \
	X(REFUSED, "refused", "requests refused by a check of the listener")             \
	X(BODIES_POOLED, "bodies_pooled", "bodies too long to be read by their worker")  \
	X(TURNS, "turns", "turns begun")                                                 \
	X(TURNS_OK, "turns_ok", "turns that ended with a whole answer")                  \
	X(TURNS_FAILED, "turns_failed", "turns that ended with an error")                \
	X(TURNS_CANCELLED, "turns_cancelled", "turns whose client went away")            \
	X(FALLBACKS, "fallbacks", "turns that needed more than one attempt")             \
	X(CONTINUATIONS, "continuations", "answers lost mid-stream that went on")        \
	X(ATTEMPTS, "attempts", "upstream calls made")                                   \
	X(ATTEMPTS_FAILED, "attempts_failed", "upstream calls that failed")              \
	X(TURNS_GIVEN_UP, "turns_given_up", "turns ended because memory ran out")        \
	X(TURNS_UNSTORED, "turns_unstored", "turns that ended without the store's word") \
	X(STORE_COMMITS, "store_commits", "synced commits")                              \
	X(STORE_RECORDS, "store_records", "records written")                             \
	X(STORE_ERRORS, "store_errors", "commits that failed")                           \
	X(STORE_DROPPED, "store_dropped", "records dropped because the queue was full")  \
	X(RELOADS, "reloads", "policies put in force after the start")                   \
	X(RELOADS_FAILED, "reloads_failed", "policy files refused while serving")        \
	X(VAULT_RELOADS, "vault_reloads", "vaults taken over after the start")           \
	X(PAUSES, "pauses", "upstream reads paused for a slow client")

enum cn_counter {
#define X(symbol, name, text) CN_CT_##symbol,
	CN_COUNTERS(X)
#undef X
	CN_CT_COUNT
};

void cn_count(enum cn_counter c);
void cn_count_add(enum cn_counter c, uint64_t n);
uint64_t cn_counter_get(enum cn_counter c);
const char *cn_counter_name(enum cn_counter c);

#endif
