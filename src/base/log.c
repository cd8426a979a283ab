/*
 * The log: builds one line an event and writes it to standard error with one write(2).
 * Owns the level, the form and the scrubber, all behind one lock; any thread may log.
 *
 * Deliberately has no format strings, no files and no rotation: fields come from the table
 * in the header, and whoever runs us decides where standard error goes.  A line that cannot
 * be written is lost; logging never fails or delays its caller beyond that write.
 */
#include "continuo/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <unistd.h>

#include "continuo/clock.h"

/* What of one foreign text goes into a line, and how much more of it the scrubber sees
 * first, so that a secret across the cut is found whole. */
#define TEXT_MAX   ((size_t)200)
#define SCRUB_SEES ((size_t)8192)

static struct {
	pthread_mutex_t lock; /* scrubber, order of lines */
	enum cn_log_level level;
	bool json;
	void (*scrub)(void *self, char *line, size_t n);
	void *self;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = CN_LOG_INFO};

static const char *const level_names[] = {
    [CN_LOG_ERROR] = "error",
    [CN_LOG_WARNING] = "warning",
    [CN_LOG_INFO] = "info",
    [CN_LOG_DEBUG] = "debug",
};

static const char *const field_names[] = {
#define X(upper, lower) [CN_LF_##upper] = #lower,
    CN_LOG_FIELDS(X)
#undef X
};

void cn_log_setup(enum cn_log_level level, bool json)
{
	state.level = level;
	state.json = json;
}

enum cn_log_level cn_log_level(void)
{
	return state.level;
}

bool cn_log_level_parse(struct cn_view word, enum cn_log_level *ret)
{
	for (unsigned i = CN_LOG_ERROR; i <= CN_LOG_DEBUG; i++)
		if (cn_view_is(word, level_names[i])) {
			*ret = (enum cn_log_level)i;
			return true;
		}
	return false;
}

void cn_log_set_scrubber(void (*scrub)(void *self, char *line, size_t n), void *self)
{
	pthread_mutex_lock(&state.lock);
	state.scrub = scrub;
	state.self = self;
	pthread_mutex_unlock(&state.lock);
}

/* Length of the well-formed UTF-8 character at p, where have > 0 bytes are; 0 when there is
 * none.  C1 controls (U+0080…U+009F) count as malformed: terminals obey them. */
static size_t utf8_length(const unsigned char *p, size_t have)
{
	size_t n = 4;
	if (p[0] < 0xf0)
		n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : 3;
	if (n > have || p[0] > 0xf4 || (n > 1 && p[0] < 0xc2))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool surrogate = p[0] == 0xed && p[1] > 0x9f;
	bool too_high = p[0] == 0xf4 && p[1] > 0x8f;
	bool control = p[0] == 0xc2 && p[1] < 0xa0;
	return overlong || surrogate || too_high || control ? 0 : n;
}

void cn_log_sanitise(struct cn_buf *b, struct cn_view v, size_t max)
{
	const unsigned char *p = (const unsigned char *)v.p;
	size_t end = v.n < max ? v.n : max;
	for (size_t i = 0; p && i < end;) {
		size_t n = utf8_length(p + i, v.n - i);
		if (n == 0 || p[i] < 0x20 || p[i] == 0x7f) {
			cn_buf_printf(b, "\\x%02x", p[i]);
			i++;
		} else if (n > end - i) {
			break; /* the cut goes through this character */
		} else {
			cn_buf_add(b, p + i, n);
			i += n;
		}
	}
}

static void add_quoted(struct cn_buf *b, struct cn_view v)
{
	cn_buf_add_char(b, '"');
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '"' || v.p[i] == '\\')
			cn_buf_add_char(b, '\\');
		cn_buf_add_char(b, v.p[i]);
	}
	cn_buf_add_char(b, '"');
}

/* Foreign text made safe in *clean: scrubbed before it is cut, without control bytes. */
static void clean_text(struct cn_buf *clean, struct cn_view v)
{
	CN_AUTO(cn_buf) copy = {0};
	cn_buf_clear(clean);
	if (state.scrub && v.n > TEXT_MAX) {
		cn_buf_add_view(&copy, cn_view_cut(v, SCRUB_SEES));
		state.scrub(state.self, copy.p, copy.n);
		v = cn_buf_view(&copy);
	}
	cn_log_sanitise(clean, v, TEXT_MAX);
}

static bool needs_quotes(struct cn_view v)
{
	return v.n == 0 || memchr(v.p, ' ', v.n) || memchr(v.p, '"', v.n);
}

static void add_field(struct cn_buf *line, struct cn_buf *clean,
                      const struct cn_log_field *f)
{
	const char *name = field_names[f->name];
	cn_buf_printf(line, state.json ? ",\"%s\":" : " %s=", name);
	if (f->type == CN_LF_NUMBER) {
		cn_buf_printf(line, "%" PRId64, f->number);
		return;
	}
	clean_text(clean, f->text);
	if (state.json || needs_quotes(cn_buf_view(clean)))
		add_quoted(line, cn_buf_view(clean));
	else
		cn_buf_add_view(line, cn_buf_view(clean));
}

static void add_head(struct cn_buf *line, const char *prefix, enum cn_log_level level,
                     const char *message)
{
	if (!state.json) {
		cn_clock_format(line, cn_clock_wall_ms());
		cn_buf_printf(line, " %s", level_names[level]);
		if (*prefix)
			cn_buf_add_char(line, ' ');
		cn_log_sanitise(line, cn_view_str(prefix), SIZE_MAX);
		cn_buf_printf(line, " %s", message);
		return;
	}
	CN_AUTO(cn_buf) clean = {0};
	cn_buf_add_str(line, "{\"time\":\"");
	cn_clock_format(line, cn_clock_wall_ms());
	cn_buf_printf(line, "\",\"level\":\"%s\"", level_names[level]);
	if (*prefix) {
		cn_log_sanitise(&clean, cn_view_str(prefix), SIZE_MAX);
		cn_buf_add_str(line, ",\"who\":");
		add_quoted(line, cn_buf_view(&clean));
	}
	cn_buf_add_str(line, ",\"message\":");
	add_quoted(line, cn_view_str(message));
}

static void write_line(struct cn_view line)
{
	while (line.n > 0) {
		ssize_t n = write(STDERR_FILENO, line.p, line.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* closed, or full and not waiting: the line is lost */
		line = cn_view_from(line, (size_t)n);
	}
}

void cn_log_write(const struct cn_log *log, enum cn_log_level level, const char *message,
                  const struct cn_log_field *fields)
{
	if (level > state.level)
		return;
	int saved = errno; /* callers log between a failure and its errno */
	CN_AUTO(cn_buf) line = {0};
	CN_AUTO(cn_buf) clean = {0};
	pthread_mutex_lock(&state.lock);
	add_head(&line, log ? log->prefix : "", level, message);
	for (const struct cn_log_field *f = fields; f->type != CN_LF_END; f++)
		add_field(&line, &clean, f);
	cn_buf_add_str(&line, state.json ? "}" : "");
	if (state.scrub)
		state.scrub(state.self, line.p, line.n);
	cn_buf_add_char(&line, '\n');
	write_line(cn_buf_view(&line));
	pthread_mutex_unlock(&state.lock);
	errno = saved;
}
