/*
 * The trace: the last records of each thread in a ring of its own, and all records as JSON
 * lines in a file when asked for.  Owns the rings and the file's descriptor.
 *
 * No lock: a ring is its thread's, and a record reaches the file by one write(2) to a
 * descriptor opened for appending.  cn_trace_dump() may run in a signal handler, so it
 * formats by hand and calls nothing but write().
 */
#include "continuo/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/log.h"

#define RING 256 /* records; a turn leaves about ten */
#define TEXT 64  /* bytes of text kept in the ring; policy names have 60 at most */

struct record {
	uint64_t ms, a, b;
	enum cn_trace_event event;
	unsigned char n; /* bytes of text */
	char text[TEXT];
};

static _Thread_local struct {
	struct record records[RING];
	uint64_t next; /* records ever written */
} ring;

static int file = -1; /* owned; -1: none.  Set before threads start */

static const char *const names[] = {
#define X(symbol, name, text) [CN_TR_##symbol] = (name),
    CN_TRACE_EVENTS(X)
#undef X
};

static void write_file(const struct record *r, struct cn_view text)
{
	CN_AUTO(cn_buf) clean = {0};
	CN_AUTO(cn_buf) line = {0};
	cn_log_sanitise(&clean, text, 200);
	cn_buf_printf(&line,
	              "{\"t\":%" PRIu64 ",\"event\":\"%s\",\"a\":%" PRIu64 ",\"b\":%" PRIu64
	              ",\"text\":\"",
	              r->ms, names[r->event], r->a, r->b);
	for (size_t i = 0; i < clean.n; i++) {
		if (clean.p[i] == '"' || clean.p[i] == '\\')
			cn_buf_add_char(&line, '\\');
		cn_buf_add_char(&line, clean.p[i]);
	}
	cn_buf_add_str(&line, "\"}\n");
	ssize_t written = write(file, line.p, line.n);
	(void)written; /* a full disk costs the trace, nothing else */
}

void cn_trace(enum cn_trace_event event, uint64_t a, uint64_t b, struct cn_view text)
{
	struct record *r = &ring.records[ring.next % RING];
	*r = (struct record){.ms = cn_clock_ms(), .a = a, .b = b, .event = event};
	r->n = (unsigned char)cn_view_cut(text, TEXT).n;
	if (r->n)
		memcpy(r->text, text.p, r->n);
	ring.next++;
	if (file >= 0)
		write_file(r, text);
}

int cn_trace_open(const char *path, struct cn_error *reterr)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return cn_fail(reterr, CN_E_IO, "cannot write the trace file %s: %s", path,
		               strerror(errno));
	if (file >= 0)
		close(file);
	file = fd;
	return 0;
}

struct line {
	char p[TEXT + 128];
	size_t n;
};

static void put(struct line *l, const char *p, size_t n)
{
	for (size_t i = 0; i < n && l->n < sizeof(l->p); i++) {
		unsigned char c = (unsigned char)p[i];
		l->p[l->n] = p[i];
		if (c < 0x20 || c >= 0x7f)
			l->p[l->n] = '?';
		l->n++;
	}
}

static void put_number(struct line *l, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = "0123456789"[v % 10];
		v /= 10;
	} while (v);
	put(l, " ", 1);
	put(l, digits + at, sizeof(digits) - at);
}

void cn_trace_dump(void)
{
	uint64_t first = ring.next > RING ? ring.next - RING : 0;
	for (uint64_t i = first; i < ring.next; i++) {
		const struct record *r = &ring.records[i % RING];
		struct line l = {.n = 0};
		put(&l, "trace", 5);
		put_number(&l, r->ms);
		put(&l, " ", 1);
		put(&l, names[r->event], strlen(names[r->event]));
		put_number(&l, r->a);
		put_number(&l, r->b);
		put(&l, " ", 1);
		put(&l, r->text, r->n);
		l.p[l.n++] = '\n'; /* the longest record leaves room */
		if (write(STDERR_FILENO, l.p, l.n) < 0)
			return;
	}
}
