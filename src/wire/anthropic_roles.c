/*
 * The messages of a Messages request: thinking that this backend must not get, blocks that
 * it does not know, and messages of role system where it refuses them.
 *
 * A backend that knows user and assistant alone gets a system message as a reminder in the
 * message of the user that it stands next to: all that stands between two answers becomes
 * one message of the user, in order, but for the results of calls, which come first.  So
 * roles alternate, and since an answer ends each such message, what was sent on an earlier
 * turn is the same on the next (claude-code-client.md 3.2).  Pure.
 */
#include "anthropic_impl.h"

#include <stdlib.h>

#define CN_REMINDER "<system-reminder>"

/* ---- thinking of earlier answers ---- */

/* Whether the array has as many elements as are to go. */
static bool is_all(struct cn_json content, size_t n)
{
	size_t blocks = 0;

	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);)
		blocks++;
	return blocks == n;
}

static bool is_dropped(struct cn_anthropic__body *b, const struct cn_thought *thought)
{
	struct cn_json block = {thought->block, CN_JSON_OBJECT};

	if (b->edit->drop_thinking && b->edit->drop_thinking(b->edit->self, thought))
		return true;
	return cn_anthropic__has(b, CN_QUIRK_PLAIN_BLOCKS) &&
	       cn_json_is(cn_json_get(block, "type"), "redacted_thinking");
}

static void drop_thinking(struct cn_anthropic__body *b)
{
	const struct cn_request *r = b->r;
	struct cn_anthropic__ranges blocks = {0};

	for (size_t i = 0; i < r->n_thoughts;) {
		const struct cn_thought *first = &r->thoughts[i];
		struct cn_json content = {first->content, CN_JSON_ARRAY};

		blocks.n = 0;
		for (; i < r->n_thoughts && r->thoughts[i].message.p == first->message.p;
		     i++)
			if (is_dropped(b, &r->thoughts[i]))
				cn_anthropic__add_range(b->arena, &blocks,
				                        r->thoughts[i].block);
		/* Backends refuse empty messages: one that holds nothing else goes. */
		if (blocks.n && is_all(content, blocks.n))
			cn_anthropic__add_range(b->arena, &b->messages, first->message);
		else
			cn_patch_remove(&b->patches, r->body, content, blocks.v, blocks.n);
	}
}

/* ---- one message ---- */

enum role {
	CN_ROLE_OTHER, /* of an answer, or nothing that we know */
	CN_ROLE_USER,
	CN_ROLE_SYSTEM
};

struct message {
	struct cn_view whole;
	struct cn_json content;
	enum role role;
};

static struct message read_message(struct cn_json json)
{
	struct message m = {.whole = json.raw, .role = CN_ROLE_OTHER};

	for (struct cn_json_iter it = cn_json_iter(json); cn_json_next(&it);)
		if (cn_wire__says(it.key, CN_VIEW("role")))
			m.role = cn_json_is(it.value, "user")     ? CN_ROLE_USER
			         : cn_json_is(it.value, "system") ? CN_ROLE_SYSTEM
			                                          : CN_ROLE_OTHER;
		else if (cn_wire__says(it.key, CN_VIEW("content")))
			m.content = it.value;
	if (m.content.kind != CN_JSON_STRING && m.content.kind != CN_JSON_ARRAY)
		m.role = CN_ROLE_OTHER;
	return m;
}

/* ---- what stands between two answers, as one message of the user ---- */

/* Messages in a row, as they stand. */
struct run {
	struct message *v; /* in arena */
	size_t n, cap;
	bool system; /* one of them is */
};

struct merge {
	struct cn_anthropic__body *body; /* borrowed */
	const char *from;                /* behind what was kept last */
	struct cn_buf lead;              /* owned; what comes between that and the next */
	struct cn_buf held;              /* owned; blocks that wait for the results */
	bool any;                        /* a block stands before lead's end */
};

static void add_to_run(struct cn_arena *a, struct run *run, const struct message *m)
{
	run->v = cn_arena_more(a, run->v, run->n, &run->cap, sizeof(*run->v));
	run->v[run->n++] = *m;
	run->system |= m->role == CN_ROLE_SYSTEM;
}

/* Room for a block in what is told next: the comma before it. */
static void next_block(struct merge *m)
{
	if (m->any)
		cn_buf_add_char(&m->lead, ',');
	m->any = true;
}

/* The client's bytes up to there give way to what was made of them. */
static void tell(struct merge *m, const char *until)
{
	struct cn_anthropic__body *b = m->body;

	cn_patch_replace(&b->patches, b->r->body,
	                 cn_view(m->from, (size_t)(until - m->from)),
	                 cn_arena_view(b->arena, cn_buf_view(&m->lead)));
	cn_buf_clear(&m->lead);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What stands in an array, without the space around it; empty: nothing. */
static struct cn_view elements(struct cn_json array)
{
	const char *p = array.raw.p + 1, *end = array.raw.p + array.raw.n - 1;

	while (p < end && is_space(*p))
		p++;
	while (p < end && is_space(end[-1]))
		end--;
	return cn_view(p, (size_t)(end - p));
}

/* A message of the user: its blocks stay where they are. */
static void keep(struct merge *m, struct cn_json content)
{
	bool text = content.kind == CN_JSON_STRING;
	struct cn_view stays = text ? content.raw : elements(content);

	if (text ? cn_wire__inside(content).n == 0 : stays.n == 0)
		return;
	next_block(m);
	if (text)
		cn_buf_add_str(&m->lead, "{\"type\":\"text\",\"text\":");
	tell(m, stays.p);
	if (text)
		cn_buf_add_char(&m->lead, '}');
	m->from = stays.p + stays.n;
}

static void add_reminder(struct cn_anthropic__body *b, struct cn_buf *to,
                         struct cn_view text, struct cn_json marker)
{
	struct cn_view parts[3] = {CN_VIEW(CN_REMINDER "\\n"), text,
	                           CN_VIEW("\\n</system-reminder>")};

	if (text.n == 0)
		return;
	/* The client writes some of them as reminders itself. */
	if (cn_view_starts(text, CN_VIEW(CN_REMINDER)))
		parts[0] = parts[2] = cn_view(NULL, 0);
	if (to->n)
		cn_buf_add_char(to, ',');
	cn_anthropic__add_text(b, to, parts, marker);
}

/* A system message as blocks of reminders, with commas between. */
static void add_reminders(struct cn_anthropic__body *b, struct cn_buf *to,
                          struct cn_json content)
{
	if (content.kind == CN_JSON_STRING)
		add_reminder(b, to, cn_wire__inside(content),
		             (struct cn_json){.kind = CN_JSON_NONE});
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		struct cn_json marker = cn_json_get(it.value, "cache_control");
		CN_AUTO(cn_buf) text = {0};

		if (cn_json_is(cn_json_get(it.value, "type"), "text"))
			cn_buf_add_view(&text,
			                cn_wire__inside(cn_json_get(it.value, "text")));
		else
			cn_anthropic__add_readable(&text, it.value);
		add_reminder(b, to, cn_buf_view(&text), marker);
	}
}

/* Blocks that we made: into the message now, or behind the results that must come first. */
static void put(struct merge *m, struct cn_view blocks, bool hold)
{
	if (blocks.n == 0)
		return;
	if (!hold) {
		next_block(m);
		cn_buf_add_view(&m->lead, blocks);
		return;
	}
	if (m->held.n)
		cn_buf_add_char(&m->held, ',');
	cn_buf_add_view(&m->held, blocks);
}

static bool has_results(struct cn_json content)
{
	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);)
		if (cn_json_is(cn_json_get(it.value, "type"), "tool_result"))
			return true;
	return false;
}

/* The last message with results of calls behind something that we say; NULL: none. */
static const struct message *awaited(const struct cn_anthropic__body *b,
                                     const struct run *run)
{
	const struct message *found = NULL;
	bool says = b->opening.n > 0;

	for (const struct message *at = run->v; at < run->v + run->n; at++)
		if (at->role == CN_ROLE_SYSTEM)
			says = true;
		else if (says && has_results(at->content))
			found = at;
	return found;
}

static void merge_run(struct cn_anthropic__body *b, struct run *run)
{
	struct merge m = {.body = b, .from = run->v[0].whole.p};
	const struct message *end = run->v + run->n, *results = awaited(b, run);

	cn_buf_add_str(&m.lead, "{\"role\":\"user\",\"content\":[");
	put(&m, b->opening, results);
	for (const struct message *at = run->v; at < end; at++) {
		CN_AUTO(cn_buf) blocks = {0};

		if (at->role == CN_ROLE_SYSTEM)
			add_reminders(b, &blocks, at->content);
		else
			keep(&m, at->content);
		put(&m, cn_buf_view(&blocks), results && at < results);
		if (at == results) {
			put(&m, cn_buf_view(&m.held), false);
			cn_buf_clear(&m.held);
		}
	}
	cn_buf_add_str(&m.lead, "]}");
	if (m.any)
		tell(&m, end[-1].whole.p + end[-1].whole.n);
	else /* Empty as they are, they would be refused. */
		for (const struct message *at = run->v; at < end; at++)
			cn_anthropic__add_range(b->arena, &b->messages, at->whole);
	cn_buf_done(&m.lead);
	cn_buf_done(&m.held);
}

/* An answer, or the end: what stood before it is complete. */
static void end_run(struct cn_anthropic__body *b, struct run *run)
{
	bool reminds = run->system && cn_anthropic__has(b, CN_QUIRK_NO_SYSTEM_MESSAGES);

	if (run->n && (reminds || b->opening.n)) {
		merge_run(b, run);
		b->opening = cn_view(NULL, 0);
	}
	run->n = 0;
	run->system = false;
}

/* Nobody spoke before the first answer: somebody has to. */
static void open_before(struct cn_anthropic__body *b, struct cn_view message)
{
	cn_patch_replace(
	    &b->patches, b->r->body, cn_view(message.p, 0),
	    cn_view_str(cn_arena_printf(b->arena, "{\"role\":\"user\",\"content\":[%.*s]},",
	                                CN_VIEW_ARG(b->opening))));
	b->opening = cn_view(NULL, 0);
}

/* ---- all of them ---- */

static int by_place(const void *pa, const void *pb)
{
	const struct cn_view *a = pa, *b = pb;

	return (a->p > b->p) - (a->p < b->p);
}

static void edit_each(struct cn_anthropic__body *b)
{
	static const char *const config[] = {"output_config", NULL};
	bool no_system = cn_anthropic__has(b, CN_QUIRK_NO_SYSTEM_MESSAGES);
	bool no_effort = cn_anthropic__has(b, CN_QUIRK_NO_EFFORT);
	bool blocks = cn_anthropic__edits_blocks(b);
	struct run run = {0};
	size_t gone = 0, n_gone = b->messages.n; /* for thinking, in order of place */

	for (struct cn_json_iter it = cn_json_iter(b->r->messages); cn_json_next(&it);) {
		struct message m;

		if (gone < n_gone && b->messages.v[gone].p == it.value.raw.p) {
			gone++;
			continue;
		}
		m = read_message(it.value);
		if (blocks && m.content.kind == CN_JSON_ARRAY)
			for (struct cn_json_iter c = cn_json_iter(m.content);
			     cn_json_next(&c);)
				cn_anthropic__edit_block(b, c.value);
		if (no_effort && it.value.kind == CN_JSON_OBJECT)
			cn_anthropic__strip(b, it.value, config);
		if (m.role == CN_ROLE_USER || (m.role == CN_ROLE_SYSTEM && no_system)) {
			add_to_run(b->arena, &run, &m);
			continue;
		}
		end_run(b, &run);
		if (b->opening.n)
			open_before(b, m.whole);
	}
	end_run(b, &run);
}

void cn_anthropic__edit_messages(struct cn_anthropic__body *b)
{
	drop_thinking(b);
	if (cn_anthropic__edits_blocks(b) || b->opening.n ||
	    cn_anthropic__has(b, CN_QUIRK_NO_SYSTEM_MESSAGES) ||
	    cn_anthropic__has(b, CN_QUIRK_NO_EFFORT))
		edit_each(b);
	if (b->messages.n)
		qsort(b->messages.v, b->messages.n, sizeof(*b->messages.v), by_place);
	cn_patch_remove(&b->patches, b->r->body, b->r->messages, b->messages.v,
	                b->messages.n);
}
