/*
 * Server-sent events, both ways.
 *
 * The reader takes bytes as they come and never looks twice at a byte but for the line that
 * a feed ends in.  Owns its three buffers.  Pure; time is an argument.
 */
#include "continuo/sse.h"

#include <string.h>

void cn_sse_init(struct cn_sse *s, cn_sse_fn on_event, void *self)
{
	*s = (struct cn_sse){.on_event = on_event, .self = self};
}

void cn_sse_done(struct cn_sse *s)
{
	cn_buf_done(&s->line);
	cn_buf_done(&s->data);
	cn_buf_done(&s->name);
}

bool cn_sse_pending(const struct cn_sse *s)
{
	return s->line.n || s->data.n || s->has_data || s->name.n;
}

static int finish(struct cn_sse *s, int code, struct cn_error *reterr, const char *what)
{
	s->failed = code;
	return cn_fail(reterr, code, "%s", what);
}

/* One more thing dispatched: false when there are too many in a second. */
static bool within_rate(struct cn_sse *s, uint64_t now_ms)
{
	if (now_ms - s->rate_since_ms >= 1000) {
		s->rate_since_ms = now_ms;
		s->rate = 0;
	}
	return ++s->rate <= CN_SSE_MAX_RATE;
}

static int dispatch(struct cn_sse *s, const struct cn_sse_event *ev, uint64_t now_ms,
                    struct cn_error *reterr)
{
	if (!within_rate(s, now_ms))
		return finish(s, CN_E_LIMIT, reterr, "more than 20000 events in a second");
	if (!s->on_event(s->self, ev))
		return finish(s, CN_E_INVALID, reterr, "the reader was stopped");
	return 0;
}

/* A line without its end. */
static int on_line(struct cn_sse *s, struct cn_view line, uint64_t now_ms,
                   struct cn_error *reterr)
{
	struct cn_view value = line, field;

	if (line.n == 0) {
		struct cn_sse_event ev = {.name = cn_buf_view(&s->name),
		                          .data = cn_buf_view(&s->data)};
		int bad = 0;

		if (s->has_data)
			bad = dispatch(s, &ev, now_ms, reterr);
		cn_buf_clear(&s->name);
		cn_buf_clear(&s->data);
		s->has_data = false;
		return bad;
	}
	if (line.p[0] == ':') {
		struct cn_sse_event ev = {.comment = true};

		value = cn_view_from(line, 1);
		if (value.n && value.p[0] == ' ')
			value = cn_view_from(value, 1);
		ev.data = value;
		return dispatch(s, &ev, now_ms, reterr);
	}
	(void)cn_view_split(&value, ':', &field);
	if (!value.p)
		value = (struct cn_view){"", 0};
	if (value.n && value.p[0] == ' ')
		value = cn_view_from(value, 1);
	if (cn_view_is(field, "event")) {
		cn_buf_clear(&s->name);
		cn_buf_add_view(&s->name, value);
	} else if (cn_view_is(field, "data")) {
		if (s->data.n + value.n + 1 > CN_SSE_MAX_EVENT)
			return finish(s, CN_E_LIMIT, reterr, "an event over 4 MiB");
		if (s->has_data)
			cn_buf_add_char(&s->data, '\n');
		cn_buf_add_view(&s->data, value);
		s->has_data = true;
	}
	return 0;
}

static const char *line_end(const char *p, const char *end)
{
	while (p < end && *p != '\n' && *p != '\r')
		p++;
	return p;
}

/* One line (or the beginning of one) off *bytes. */
static int feed_line(struct cn_sse *s, struct cn_view *bytes, uint64_t now_ms,
                     struct cn_error *reterr)
{
	const char *end = bytes->p + bytes->n, *stop = line_end(bytes->p, end);
	struct cn_view part = cn_view(bytes->p, (size_t)(stop - bytes->p));
	int bad;

	if (s->line.n + part.n > CN_SSE_MAX_LINE)
		return finish(s, CN_E_LIMIT, reterr, "a line over 1 MiB");
	if (stop == end) {
		cn_buf_add_view(&s->line, part);
		*bytes = cn_view_from(*bytes, bytes->n);
		return 0;
	}
	/* A CR may be half of a CRLF: its LF, now or in the next feed, is no line of its
	 * own. */
	s->seen_cr = *stop == '\r';
	*bytes = cn_view_from(*bytes, part.n + 1);
	if (s->line.n) {
		cn_buf_add_view(&s->line, part);
		bad = on_line(s, cn_buf_view(&s->line), now_ms, reterr);
		cn_buf_clear(&s->line);
		return bad;
	}
	return on_line(s, part, now_ms, reterr);
}

/* The byte order mark that may stand before everything; false while it may still come. */
static bool pass_bom(struct cn_sse *s, struct cn_view *bytes)
{
	static const char bom[] = "\xef\xbb\xbf";

	while (bytes->n && s->line.n < 3 && bytes->p[0] == bom[s->line.n]) {
		cn_buf_add_char(&s->line, bytes->p[0]);
		*bytes = cn_view_from(*bytes, 1);
	}
	if (s->line.n < 3 && !bytes->n)
		return false;
	if (s->line.n == 3)
		cn_buf_clear(&s->line);
	s->past_bom = true;
	return true;
}

int cn_sse_feed(struct cn_sse *s, struct cn_view bytes, uint64_t now_ms,
                struct cn_error *reterr)
{
	int bad = 0;

	if (s->failed)
		return cn_fail(reterr, s->failed, "the reader has stopped");
	if (!s->past_bom && !pass_bom(s, &bytes))
		return 0;
	while (bytes.n && !bad) {
		if (s->seen_cr && bytes.p[0] == '\n')
			bytes = cn_view_from(bytes, 1);
		s->seen_cr = false;
		if (bytes.n)
			bad = feed_line(s, &bytes, now_ms, reterr);
	}
	return bad;
}

/* ---- writing ---- */

void cn_sse_add(struct cn_buf *b, const char *name, struct cn_view data)
{
	const char *p = data.p, *end = data.p ? data.p + data.n : NULL;

	cn_assert(!strpbrk(name, "\r\n"));
	cn_buf_add_str(b, "event: ");
	cn_buf_add_str(b, name);
	cn_buf_add_char(b, '\n');
	do {
		const char *stop = line_end(p, end);

		cn_buf_add_str(b, "data: ");
		cn_buf_add(b, p, (size_t)(stop - p));
		cn_buf_add_char(b, '\n');
		if (stop == end)
			break;
		p = stop + (*stop == '\r' && end - stop > 1 && stop[1] == '\n' ? 2 : 1);
	} while (p <= end);
	cn_buf_add_char(b, '\n');
}

void cn_sse_add_comment(struct cn_buf *b, struct cn_view text)
{
	cn_buf_add_str(b, ": ");
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '\n' || c == '\r')
			c = ' ';
		cn_buf_add_char(b, c);
	}
	cn_buf_add_str(b, "\n\n");
}
