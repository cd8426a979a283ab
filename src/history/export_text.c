/*
 * Exports for people: Markdown, and the transcript of `sessions show`.
 *
 * Both print the same things in the same order: who said what, what was tried and why it
 * failed, which model answered (and which wrote which part, when several did, and where one
 * went on with another's text), how long it took.  All text is of foreign origin: control
 * bytes are shown as \xNN, so that none reaches a terminal.  The transcript indents and
 * cuts what is long; Markdown keeps everything, in fences longer than any run of backticks
 * inside.  Owns nothing.
 */
#include <inttypes.h>

#include "history_impl.h"

#include "continuo/clock.h"
#include "continuo/json.h"

#define CN_LONG 2000 /* bytes of a result, an input or a reminder in the transcript */

struct cn_page_out {
	struct cn_buf *b;   /* borrowed */
	struct cn_arena *a; /* for decoded strings */
	bool markdown;
	bool cuts; /* this message's texts are cut when long */
};

/* ---- text ---- */

/* Bytes of the control character that begins here; 0: none. */
static size_t control_at(struct cn_view v, size_t i)
{
	unsigned char c = (unsigned char)v.p[i];

	if ((c < 0x20 && c != '\t') || c == 0x7f)
		return 1;
	if (c == 0xc2 && i + 1 < v.n && ((unsigned char)v.p[i + 1] & 0xe0) == 0x80)
		return 2; /* U+0080 to U+009F */
	return 0;
}

static void add_clean(struct cn_buf *b, struct cn_view v, const char *indent)
{
	for (size_t i = 0; i < v.n;) {
		size_t n = control_at(v, i);

		if (n == 0) {
			cn_buf_add_char(b, v.p[i++]);
		} else if (v.p[i] == '\n') {
			cn_buf_add_char(b, '\n');
			cn_buf_add_str(b, indent);
			i++;
		} else if (v.p[i] == '\r' && i + 1 < v.n && v.p[i + 1] == '\n') {
			i++;
		} else {
			for (; n; n--)
				cn_buf_printf(b, "\\x%02x", (unsigned char)v.p[i++]);
		}
	}
}

/* Whole characters of at most max bytes. */
static struct cn_view cut(struct cn_view v, size_t max)
{
	if (v.n <= max)
		return v;
	while (max && ((unsigned char)v.p[max] & 0xc0) == 0x80)
		max--;
	return cn_view_cut(v, max);
}

/* A paragraph. */
static void add_text(const struct cn_page_out *o, struct cn_view text, bool cuts)
{
	struct cn_view part = cuts && !o->markdown ? cut(text, CN_LONG) : text;
	const char *indent = o->markdown ? "" : "    ";

	while (part.n && part.p[part.n - 1] == '\n')
		part.n--;
	cn_buf_add_str(o->b, indent);
	add_clean(o->b, part, indent);
	cn_buf_add_char(o->b, '\n');
	if (part.n + 100 < text.n)
		cn_buf_printf(o->b, "%s… %zu bytes more\n", indent, text.n - part.n);
	if (o->markdown)
		cn_buf_add_char(o->b, '\n');
}

static size_t longest_run(struct cn_view v, char c)
{
	size_t longest = 0, run = 0;

	for (size_t i = 0; i < v.n; i++) {
		run = v.p[i] == c ? run + 1 : 0;
		if (run > longest)
			longest = run;
	}
	return longest;
}

/* Foreign data: fenced in Markdown, indented in the transcript. */
static void add_data(const struct cn_page_out *o, struct cn_view text, const char *kind)
{
	size_t fence = longest_run(text, '`') + 1;

	if (!o->markdown) {
		add_text(o, text, true);
		return;
	}
	if (fence < 3)
		fence = 3;
	for (size_t i = 0; i < fence; i++)
		cn_buf_add_char(o->b, '`');
	cn_buf_printf(o->b, "%s\n", kind);
	add_clean(o->b, text, "");
	if (text.n == 0 || text.p[text.n - 1] != '\n')
		cn_buf_add_char(o->b, '\n');
	for (size_t i = 0; i < fence; i++)
		cn_buf_add_char(o->b, '`');
	cn_buf_add_str(o->b, "\n\n");
}

/* A line about something. */
static void add_line_about(const struct cn_page_out *o, const char *before,
                           struct cn_view text, const char *after)
{
	cn_buf_add_str(o->b, o->markdown ? "" : "    ");
	cn_buf_add_str(o->b, before);
	add_clean(o->b, text, "");
	cn_buf_add_str(o->b, after);
	cn_buf_add_str(o->b, o->markdown ? "\n\n" : "\n");
}

static void add_line(const struct cn_page_out *o, const char *mark, struct cn_view text)
{
	add_line_about(o, mark, text, "");
}

static void add_time(struct cn_buf *b, uint64_t ms)
{
	if (ms < 1000) {
		cn_buf_printf(b, "%" PRIu64 " ms", ms);
		return;
	}
	cn_buf_printf(b, "%" PRIu64 ".%" PRIu64 " s", ms / 1000, ms % 1000 / 100);
}

/* ---- blocks ---- */

static struct cn_view text_at(const struct cn_page_out *o, struct cn_json object,
                              const char *key)
{
	return cn_json_text(o->a, cn_json_get(object, key));
}

static void add_tool_result(const struct cn_page_out *o, struct cn_json block)
{
	struct cn_json content = cn_json_get(block, "content");
	bool failed = cn_json_get(block, "is_error").kind == CN_JSON_TRUE;

	add_line(o, failed ? "← failed " : "← result ", text_at(o, block, "tool_use_id"));
	if (content.kind == CN_JSON_STRING)
		add_data(o, cn_json_text(o->a, content), "");
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		struct cn_json text = cn_json_get(it.value, "text");

		if (text.kind == CN_JSON_STRING)
			add_data(o, cn_json_text(o->a, text), "");
		else
			add_line(o, "  with ", text_at(o, it.value, "type"));
	}
}

static void add_block(const struct cn_page_out *o, struct cn_json block)
{
	struct cn_json type = cn_json_get(block, "type");

	if (cn_json_is(type, "text")) {
		add_text(o, text_at(o, block, "text"), o->cuts);
	} else if (cn_json_is(type, "thinking")) {
		struct cn_view thought = text_at(o, block, "thinking");

		add_line(o,
		         thought.n ? "(thinking)" : "(thinking, not shown by the provider)",
		         CN_VIEW(""));
		if (thought.n)
			add_data(o, thought, "");
	} else if (cn_json_is(type, "tool_use") || cn_json_is(type, "server_tool_use")) {
		add_line(o, "→ ", text_at(o, block, "name"));
		add_data(o, cn_json_get(block, "input").raw, "json");
	} else if (cn_json_is(type, "tool_result")) {
		add_tool_result(o, block);
	} else {
		add_line(o, "+ ", cn_json_text(o->a, type));
	}
}

/* The text of a block that several attempts wrote, with a line at each joint. */
static void add_pieces(const struct cn_page_out *o, struct cn_view text,
                       const struct cn_block_record *pieces, size_t n)
{
	uint64_t sum = 0;
	bool fits;

	for (size_t i = 0; i < n && sum <= text.n; i++)
		sum += pieces[i].bytes;
	fits = sum == text.n; /* else nobody knows where the joints are */
	for (size_t i = 0; i < n; i++) {
		struct cn_view piece = cn_view_cut(text, (size_t)pieces[i].bytes);

		if (i && pieces[i].bytes) {
			add_line_about(o, "— ", pieces[i].model,
			               fits ? " goes on here —" : " goes on in this —");
		}
		if (!fits || !piece.n)
			continue;
		add_text(o, piece, o->cuts);
		text = cn_view_from(text, piece.n);
	}
	if (!fits)
		add_text(o, text, o->cuts);
}

/* turn: whose answer it is; NULL: not an answer. */
static void add_content(const struct cn_page_out *o, const struct cn_node *node,
                        const struct cn_turn_record *turn)
{
	struct cn_json content = cn_json_get(cn_json_root(node->canonical), "content");
	bool several = turn && cn_history__several_models(turn);
	struct cn_view model = {NULL, 0};

	if (content.kind == CN_JSON_STRING)
		add_text(o, cn_json_text(o->a, content), o->cuts);
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		const struct cn_block_record *pieces = NULL;
		size_t n = turn ? cn_history__pieces(turn, it.index, &pieces) : 0;

		if (several && n && !cn_view_eq(model, pieces[0].model))
			add_line(o, "by ", pieces[0].model);
		if (n > 1 && cn_json_is(cn_json_get(it.value, "type"), "text"))
			add_pieces(o, text_at(o, it.value, "text"), pieces, n);
		else
			add_block(o, it.value);
		if (n)
			model = pieces[n - 1].model;
	}
}

/* ---- messages ---- */

static void add_head(const struct cn_page_out *o, const struct cn_export_step *step,
                     struct cn_view who)
{
	CN_AUTO(cn_buf) when = {0};

	cn_clock_format(&when, step->turn->started_wall_ms);
	/* "2026-11-21T03:46:37.123Z" → "2026-11-21 03:46:37" */
	cn_buf_truncate(&when, 19);
	if (when.n == 19)
		when.p[10] = ' ';
	cn_buf_add_str(o->b, o->markdown ? "## " : "");
	cn_buf_add_view(o->b, cn_buf_view(&when));
	cn_buf_add_char(o->b, ' ');
	if (strcmp(step->thread, "main") != 0) {
		cn_buf_add_char(o->b, '[');
		add_clean(o->b, cn_view_str(step->thread), "");
		cn_buf_add_str(o->b, "] ");
	}
	add_clean(o->b, who, "");
}

static void end_head(const struct cn_page_out *o)
{
	cn_buf_add_str(o->b, o->markdown ? "\n\n" : "\n");
}

static void add_message(struct cn_page_out *o, const struct cn_export_step *step, size_t i)
{
	const struct cn_node *node = &step->added[i];
	struct cn_view role = text_at(o, cn_json_root(node->canonical), "role");

	add_head(o, step, role);
	if (step->copy && i == 0)
		cn_buf_add_str(o->b, " (the last answer, as the client kept it)");
	end_head(o);
	o->cuts = cn_view_is(role, "system");
	add_content(o, node, NULL);
	o->cuts = false;
}

static void add_attempt(const struct cn_page_out *o, const struct cn_attempt_record *at)
{
	struct cn_buf *b = o->b;

	cn_buf_add_str(b, o->markdown ? "- " : "    ");
	add_clean(b, at->backend, "");
	cn_buf_add_char(b, '/');
	add_clean(b, at->model, "");
	cn_buf_add_str(b, ": ");
	add_clean(b, at->class, "");
	if (at->http_status && !cn_view_is(at->class, "ok"))
		cn_buf_printf(b, " (HTTP %d)", at->http_status);
	if (at->reason.n) {
		cn_buf_add_str(b, ", ");
		add_clean(b, at->reason, "");
	}
	if (at->finding.n) {
		cn_buf_add_str(b, "; ");
		add_clean(b, at->finding, "");
	}
	cn_buf_add_str(b, ", after ");
	add_time(b, at->took_ms);
	if (at->retry_after_ms) {
		cn_buf_add_str(b, ", asked to wait ");
		add_time(b, at->retry_after_ms);
	}
	cn_buf_add_char(b, '\n');
}

static void add_skip(const struct cn_page_out *o, const struct cn_skip_record *skip)
{
	cn_buf_add_str(o->b, o->markdown ? "- " : "    ");
	add_clean(o->b, skip->backend, "");
	cn_buf_add_char(o->b, '/');
	add_clean(o->b, skip->model, "");
	cn_buf_add_str(o->b, ": left out, ");
	add_clean(o->b, skip->reason, "");
	cn_buf_add_char(o->b, '\n');
}

static void add_figure(struct cn_buf *b, bool has, uint64_t n, const char *what)
{
	if (has)
		cn_buf_printf(b, ", %" PRIu64 " %s", n, what);
}

/* How the answer came about, in the head of the answer. */
static void add_outcome(const struct cn_page_out *o, const struct cn_turn_record *t)
{
	struct cn_buf *b = o->b;

	cn_buf_add_str(b, " (");
	add_time(b, t->took_ms);
	if (t->first_byte_ms) {
		cn_buf_add_str(b, ", first byte after ");
		add_time(b, t->first_byte_ms);
	}
	add_figure(b, t->usage.has_input, t->usage.input, "tokens in");
	add_figure(b, t->usage.has_cache_read, t->usage.cache_read, "from cache");
	add_figure(b, t->usage.has_output, t->usage.output, "out");
	if (t->stop_reason.n) {
		cn_buf_add_str(b, ", ");
		add_clean(b, t->stop_reason, "");
	}
	if (t->n_attempts && t->attempts[t->n_attempts - 1].prompt.n) {
		cn_buf_add_str(b, ", prompt: ");
		add_clean(b, t->attempts[t->n_attempts - 1].prompt, "");
	}
	cn_buf_add_char(b, ')');
}

static void add_answer(const struct cn_page_out *o, const struct cn_export_step *step)
{
	const struct cn_turn_record *t = step->turn;
	bool failed = t->n_attempts &&
	              !(t->n_attempts == 1 && cn_view_is(t->attempts[0].class, "ok") &&
	                t->attempts[0].finding.n == 0);

	add_head(o, step, CN_VIEW("assistant "));
	add_clean(o->b, t->used, "");
	add_outcome(o, t);
	end_head(o);
	for (size_t i = 0; i < t->n_skipped; i++)
		add_skip(o, &t->skipped[i]);
	for (size_t i = 0; failed && i < t->n_attempts; i++)
		add_attempt(o, &t->attempts[i]);
	if ((failed || t->n_skipped) && o->markdown)
		cn_buf_add_char(o->b, '\n');
	if (step->answer)
		add_content(o, step->answer, t);
	if (cn_view_is(t->ending, "cancelled"))
		add_line(o, "! ", CN_VIEW("the client went away"));
	if (t->error.n)
		add_line(o, "! the client was told: ", t->error);
}

static void add_step(struct cn_page_out *o, const struct cn_export_step *step)
{
	if (*cn_history__way_name(step->way))
		add_line(o, "… ", cn_view_str(cn_history__way_text(step->way)));
	if (step->incomplete)
		add_line(o, "… ", CN_VIEW("earlier messages are no longer stored"));
	for (size_t i = 0; i < step->n_added; i++)
		add_message(o, step, i);
	add_answer(o, step);
	if (!o->markdown)
		cn_buf_add_char(o->b, '\n');
}

void cn_history__markdown(const struct cn_export_step *step, struct cn_buf *b)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_page_out o = {.b = b, .a = &a, .markdown = true};

	if (step->first) {
		cn_buf_add_str(b, "# Session ");
		add_clean(b, step->turn->session, "");
		cn_buf_add_str(b, "\n\n");
		add_line(&o, "Owner: ", step->turn->owner);
		if (step->turn->project.n)
			add_line(&o, "Project: ", step->turn->project);
	}
	add_step(&o, step);
}

void cn_history__transcript(const struct cn_export_step *step, struct cn_buf *b)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_page_out o = {.b = b, .a = &a};

	add_step(&o, step);
}
