/*
 * Errors that are described once, where they are detected; failed assertions; and the
 * allocation functions whose failure aborts.  Holds no state; any thread.
 *
 * Deliberately prints nothing but the last words of a dying process: who called decides
 * what becomes of an error.
 */
#include "continuo/error.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "continuo/trace.h"

static const struct {
	int exit_status;
	const char *text;
} codes[CN_E_CODES] = {[CN_OK] = {0, "no error"},
#define X(name, exit_status, text) [CN_E_MINUS_##name] = {exit_status, text},
                       CN_ERRORS(X)
#undef X
};

/* Messages quote what users and files say; a terminal must not obey it. */
static void replace_controls(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

int cn_fail(struct cn_error *reterr, int code, const char *fmt, ...)
{
	if (!reterr)
		return code;
	struct cn_error err = {.code = code}; /* the arguments may quote *reterr itself */
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(err.message, sizeof(err.message), fmt, args); /* may cut */
	va_end(args);
	replace_controls(err.message);
	*reterr = err;
	return code;
}

void cn_error_prefix(struct cn_error *err, const char *fmt, ...)
{
	char text[2 * sizeof(err->message) + 2]; /* both and ": "; cut below */
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(err->message), fmt, args); /* may cut */
	va_end(args);
	size_t at = strlen(text);
	(void)snprintf(text + at, sizeof(text) - at, ": %s", err->message); /* fits */
	replace_controls(text);
	memcpy(err->message, text, sizeof(err->message));
	err->message[sizeof(err->message) - 1] = '\0';
}

static unsigned code_index(int code)
{
	return code < 0 && code > -CN_E_CODES ? (unsigned)-code : CN_E_MINUS_FAIL;
}

int cn_error_exit(int code)
{
	return code == CN_OK ? 0 : codes[code_index(code)].exit_status;
}

const char *cn_error_text(int code)
{
	return code == CN_OK ? codes[CN_OK].text : codes[code_index(code)].text;
}

static void last_words(const char *s)
{
	ssize_t written = write(STDERR_FILENO, s, strlen(s));
	(void)written; /* nobody is left to tell */
}

void cn_assert_failed(const char *cond, const char *file, int line, const char *func)
{
	char text[400];
	(void)snprintf(text, sizeof(text), "continuo: bug at %s:%d in %s(): %s\n", file,
	               line, func, cond); /* may cut */
	last_words(text);
	cn_trace_dump();
	abort();
}

static void *checked(void *p)
{
	if (!p) {
		last_words("continuo: out of memory\n");
		abort();
	}
	return p;
}

void *cn_alloc(size_t n)
{
	return checked(malloc(n ? n : 1));
}

void *cn_zalloc(size_t n)
{
	return checked(calloc(1, n ? n : 1));
}

void *cn_realloc(void *p, size_t n)
{
	return checked(realloc(p, n ? n : 1));
}

char *cn_strdup(const char *s)
{
	return s ? checked(strdup(s)) : NULL;
}
