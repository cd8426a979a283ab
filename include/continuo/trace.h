/*
 * The trace: fixed events with two numbers and a short text, in a ring per thread and, when
 * asked for (serve --trace-file), as JSON lines in a file: what scenes wait for, and what
 * an assertion failure prints.  No message content, no secret, ever.
 */
#ifndef CONTINUO_TRACE_H
#define CONTINUO_TRACE_H

#include "continuo/error.h"
#include "continuo/view.h"

/* symbol, name in the file, what a and b mean */
#define CN_TRACE_EVENTS(X)                                                         \
	X(TURN_STATE, "turn_state", "a turn entered a state (a: turn number)")     \
	X(TURN_END, "turn_end", "a turn is over (a: turn number, b: status)")      \
	X(ATTEMPT_START, "attempt_start", "a: turn number, b: attempt number")     \
	X(ATTEMPT_HEAD, "attempt_head", "its response head (a: turn, b: attempt)") \
	X(ATTEMPT_END, "attempt_end", "text: outcome class (a: turn, b: attempt)") \
	X(COOLDOWN, "cooldown", "text: what cools down and why, b: milliseconds")  \
	X(CONN_OPEN, "conn_open", "a client connected")                            \
	X(CONN_CLOSE, "conn_close", "text: why a client connection ended")         \
	X(RELOAD, "reload", "text: ok or failed")                                  \
	X(STORE, "store", "text: what the store did (b: records)")                 \
	X(PRESSURE, "pressure", "text: paused or resumed (a: turn number)")        \
	X(LISTEN, "listen", "text: accepting or paused")

enum cn_trace_event {
#define X(symbol, name, text) CN_TR_##symbol,
	CN_TRACE_EVENTS(X)
#undef X
};

void cn_trace(enum cn_trace_event event, uint64_t a, uint64_t b, struct cn_view text);
/* Appends to path from now on (created 0600).  Before threads start. */
int cn_trace_open(const char *path, struct cn_error *reterr) CN_MUST_CHECK;
/* The calling thread's last records to standard error; async-signal-safe. */
void cn_trace_dump(void);

#endif
