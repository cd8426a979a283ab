/*
 * The log: one line an event, a constant message and typed fields, to standard error.
 *
 * There is no format string, so nothing can reach the log but what a field of the table
 * below carries.  Text of foreign origin has its control bytes replaced (\xNN), is cut at
 * 200 bytes and passes the scrubber.  Levels by consequence: ERROR someone must act;
 * WARNING we coped, and say how; INFO a request's one-line life; DEBUG anything.  Any
 * thread.
 */
#ifndef CONTINUO_LOG_H
#define CONTINUO_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "continuo/view.h"

enum cn_log_level {
	CN_LOG_ERROR,
	CN_LOG_WARNING,
	CN_LOG_INFO,
	CN_LOG_DEBUG
};

/* The allow-list of fields; the lower-case name is what stands in the line. */
#define CN_LOG_FIELDS(X)                      \
	X(ACCOUNT, account)                   \
	X(ADDRESS, address)                   \
	X(AFTER_MS, after_ms)                 \
	X(ATTEMPT, attempt)                   \
	X(ATTEMPTS, attempts)                 \
	X(BACKEND, backend)                   \
	X(BYTES, bytes)                       \
	X(CHAIN, chain)                       \
	X(CLASS, class)                       \
	X(COLUMN, column)                     \
	X(COUNT, count)                       \
	X(ERROR, error)                       \
	X(FILE, file)                         \
	X(FINGERPRINT, fingerprint)           \
	X(FIRST_BYTE_MS, first_byte_ms)       \
	X(INPUT_TOKENS, input_tokens)         \
	X(KEY, key)                           \
	X(LINE, line)                         \
	X(MODEL, model)                       \
	X(MS, ms)                             \
	X(NAME, name)                         \
	X(OUTPUT_TOKENS, output_tokens)       \
	X(OWNER, owner)                       \
	X(PATH, path)                         \
	X(PID, pid)                           \
	X(REASON, reason)                     \
	X(REQUEST, request)                   \
	X(RETRY_MS, retry_ms)                 \
	X(ROUTE, route)                       \
	X(SESSION, session)                   \
	X(SIGNAL, signal)                     \
	X(STATE, state)                       \
	X(STATUS, status)                     \
	X(STOP_REASON, stop_reason)           \
	X(THREAD, thread)                     \
	X(TOKEN, token)                       \
	X(UPSTREAM_REQUEST, upstream_request) \
	X(URL, url)                           \
	X(VERSION, version)                   \
	X(WORKER, worker)

enum cn_log_field_name {
#define X(upper, lower) CN_LF_##upper,
	CN_LOG_FIELDS(X)
#undef X
};

enum cn_log_field_type {
	CN_LF_END,
	CN_LF_TEXT,
	CN_LF_NUMBER
};

struct cn_log_field {
	enum cn_log_field_type type;
	enum cn_log_field_name name;
	struct cn_view text; /* borrowed for the call */
	int64_t number;
};

/* Whose line it is; embedded in the object. */
struct cn_log {
	char prefix[48]; /* "t42 a2 anthropic/opus"; "" for the program itself */
};

#define CN_TEXT(field, v) ((struct cn_log_field){CN_LF_TEXT, CN_LF_##field, (v), 0})
#define CN_STR(field, s)  CN_TEXT(field, cn_view_str(s))
#define CN_NUM(field, n) \
	((struct cn_log_field){CN_LF_NUMBER, CN_LF_##field, {NULL, 0}, (int64_t)(n)})

/* log may be NULL.  message is a literal. */
#define cn_log(log, level, message, ...)  \
	cn_log_write(log, level, message, \
	             (struct cn_log_field[]){__VA_ARGS__, {CN_LF_END, 0, {NULL, 0}, 0}})
#define cn_log_plain(log, level, message) \
	cn_log_write(log, level, message, \
	             (struct cn_log_field[]){{CN_LF_END, 0, {NULL, 0}, 0}})
void cn_log_write(const struct cn_log *log, enum cn_log_level level, const char *message,
                  const struct cn_log_field *fields);

/* Before any thread starts.  json: one object a line. */
void cn_log_setup(enum cn_log_level level, bool json);
enum cn_log_level cn_log_level(void);
/* "error" … "debug" → level; false for other words. */
bool cn_log_level_parse(struct cn_view word, enum cn_log_level *ret);
/*
 * Installs the scrubber (NULL removes it): it may overwrite secrets in the n bytes of a
 * finished line in place.  Called under the log's lock, so it must not log.
 */
void cn_log_set_scrubber(void (*scrub)(void *self, char *line, size_t n), void *self);

/* Appends v to b, at most max bytes of it; control characters (C0, DEL, C1) and what is not
 * UTF-8 stand there as \xNN. */
struct cn_buf;
void cn_log_sanitise(struct cn_buf *b, struct cn_view v, size_t max);

#endif
