/*
 * Errors of the caller's or the user's making, and the words our functions share.
 *
 * A function that can fail this way returns 0 or a negative CN_E_* code and fills a struct
 * cn_error (last parameter, set only on failure).  Failures of the world are data, never
 * this (struct cn_outcome, events).  Bugs of ours abort: cn_assert().
 */
#ifndef CONTINUO_ERROR_H
#define CONTINUO_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

/* symbol, exit status of the program, sentence */
#define CN_ERRORS(X)                                      \
	X(FAIL, 1, "failed")                              \
	X(USAGE, 2, "wrong usage")                        \
	X(CONFIG, 3, "configuration error")               \
	X(LOCKED, 4, "vault locked or wrong passphrase")  \
	X(NOT_FOUND, 1, "not found")                      \
	X(EXISTS, 1, "exists already")                    \
	X(LIMIT, 1, "a limit was reached")                \
	X(INVALID, 1, "not in the form that is expected") \
	X(IO, 1, "reading or writing failed")             \
	X(DAMAGED, 1, "stored data is damaged")           \
	X(BUSY, 1, "in use by another process")           \
	X(DENIED, 1, "not allowed")

enum cn_error_code {
	CN_OK = 0,
#define X(name, exit_status, text) CN_E_MINUS_##name,
	CN_ERRORS(X)
#undef X
	CN_E_CODES /* one past the last */
};
enum cn_error_negative {
#define X(name, exit_status, text) CN_E_##name = -CN_E_MINUS_##name,
	CN_ERRORS(X)
#undef X
};

struct cn_error {
	int code;          /* CN_E_*; 0 when nothing failed */
	char message[480]; /* one sentence, no final stop, control bytes replaced */
	char file[200];    /* "" when the mistake is not in a file */
	unsigned line;     /* from 1; 0: unknown */
	unsigned column;   /* from 1; 0: unknown */
};

#define CN_MUST_CHECK              __attribute__((warn_unused_result))
#define CN_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))

/*
 * Fills *reterr (NULL is allowed) and returns code, so that `return cn_fail(…)` is one
 * line. Control bytes of the formatted text are replaced.
 */
int cn_fail(struct cn_error *reterr, int code, const char *fmt, ...) CN_PRINTF(3, 4);
/* Puts "prefix: " before the message of *err. */
void cn_error_prefix(struct cn_error *err, const char *fmt, ...) CN_PRINTF(2, 3);
/* The program's exit status for a CN_E_* code. */
int cn_error_exit(int code);
/* The sentence of a CN_E_* code; static. */
const char *cn_error_text(int code);

/* Aborts with the last trace records when cond is false: a bug of ours.  Always compiled
 * in. */
#define cn_assert(cond) \
	((cond) ? (void)0 : cn_assert_failed(#cond, __FILE__, __LINE__, __func__))
/* Where no run can come, unless for a bug of ours: what happened, in words. */
#define cn_never(what) cn_assert_failed(what, __FILE__, __LINE__, __func__)
_Noreturn void cn_assert_failed(const char *cond, const char *file, int line,
                                const char *func);

/* Allocation failure aborts (house style 3.8), so these never return NULL for n > 0. */
void *cn_alloc(size_t n);
void *cn_zalloc(size_t n);
void *cn_realloc(void *p, size_t n);
char *cn_strdup(const char *s); /* NULL gives NULL */

/* Gives a pointer away: its value, the variable being NULL from now on. */
#define cn_steal(pp)                                  \
	__extension__({                               \
		__typeof__(*(pp)) cn_stolen_ = *(pp); \
		*(pp) = NULL;                         \
		cn_stolen_;                           \
	})

/* CN_AUTO(cn_buf) b = {0};  calls cn_buf_done(&b) when b leaves scope. */
#define CN_AUTO(type) __attribute__((cleanup(type##_done))) struct type
/* CN_AUTOFREE char *s = …;  free()s s when it leaves scope. */
static inline void cn_autofree(void *pp)
{
	free(*(void **)pp);
}
#define CN_AUTOFREE __attribute__((cleanup(cn_autofree)))

#endif
