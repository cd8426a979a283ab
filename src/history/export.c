/*
 * Exports: which messages a turn adds to its thread, and the JSON lines.
 *
 * Each thread remembers what it has shown.  A turn's messages are walked from the last one
 * up to the first that was shown, so a session costs as much as it holds, however often
 * the client repeated it.  The answer comes back in the next request, mostly word for
 * word; the copy is left out when it says the same.  Owns the threads' memory; one thread
 * at a time.  How things look for people is export_text.c's.
 */
#include "history_impl.h"

#include "continuo/json.h"

#define CN_MAX_CHAIN 1000000 /* messages above one: more is a loop */

struct cn_export_thread {
	struct cn_export_thread *next;
	char *name; /* owned */
	uint32_t number;
	struct cn_hash request, answer, prefix; /* of its last turn; zero: none */
};

/* A message that was shown in a thread. */
struct cn_shown {
	struct cn_hash id;
	uint32_t thread; /* its number; 0: free */
};

struct cn_export {
	enum cn_export_form form;
	cn_export_node_fn node;
	void *self;                       /* borrowed */
	struct cn_export_thread *threads; /* owned */
	uint32_t n_threads;
	struct cn_shown *shown; /* owned; open addressing, cap a power of two */
	size_t n_shown, cap;
	bool begun;
};

const char *cn_history__way_name(enum cn_export_way way)
{
	static const char *const names[] = {
#define X(symbol, name, text) name,
	    CN_EXPORT_WAYS(X)
#undef X
	};

	return names[way];
}

const char *cn_history__way_text(enum cn_export_way way)
{
	static const char *const texts[] = {
#define X(symbol, name, text) text,
	    CN_EXPORT_WAYS(X)
#undef X
	};

	return texts[way];
}

struct cn_export *cn_export_new(enum cn_export_form form, cn_export_node_fn node,
                                void *self)
{
	struct cn_export *e = cn_zalloc(sizeof(*e));

	e->form = form;
	e->node = node;
	e->self = self;
	return e;
}

struct cn_export *cn_export_free(struct cn_export *e)
{
	if (!e)
		return NULL;
	for (struct cn_export_thread *t = e->threads, *next; t; t = next) {
		next = t->next;
		free(t->name);
		free(t);
	}
	free(e->shown);
	free(e);
	return NULL;
}

static bool is_zero(const struct cn_hash *h)
{
	return cn_hash_eq(h, &(struct cn_hash){{0}});
}

/* ---- who wrote what ---- */

bool cn_history__several_models(const struct cn_turn_record *t)
{
	for (size_t i = 1; i < t->n_blocks; i++)
		if (!cn_view_eq(t->blocks[i].model, t->blocks[0].model))
			return true;
	return false;
}

size_t cn_history__pieces(const struct cn_turn_record *t, size_t index,
                          const struct cn_block_record **ret)
{
	size_t first = 0, n = 0;

	while (first < t->n_blocks && t->blocks[first].index != index)
		first++;
	while (first + n < t->n_blocks && t->blocks[first + n].index == index)
		n++;
	*ret = n ? &t->blocks[first] : NULL;
	return n;
}

/* ---- what was shown ---- */

/* Where the message stands, or the free place for it. */
static struct cn_shown *find(const struct cn_export *e, const struct cn_hash *id,
                             uint32_t thread)
{
	size_t at;

	memcpy(&at, id->b, sizeof(at)); /* a keyed hash is as good as random */
	for (at += thread;; at++) {
		struct cn_shown *s = &e->shown[at & (e->cap - 1)];

		if (s->thread == 0 || (s->thread == thread && cn_hash_eq(&s->id, id)))
			return s;
	}
}

static bool was_shown(const struct cn_export *e, const struct cn_hash *id, uint32_t thread)
{
	return e->cap && find(e, id, thread)->thread;
}

static void grow(struct cn_export *e)
{
	struct cn_shown *old = e->shown;
	size_t n = e->cap;

	e->cap = n ? 2 * n : 256;
	e->shown = cn_zalloc(e->cap * sizeof(*e->shown));
	for (size_t i = 0; i < n; i++)
		if (old[i].thread)
			*find(e, &old[i].id, old[i].thread) = old[i];
	free(old);
}

static void mark_shown(struct cn_export *e, const struct cn_hash *id, uint32_t thread)
{
	struct cn_shown *s;

	if (2 * e->n_shown >= e->cap)
		grow(e);
	s = find(e, id, thread);
	if (s->thread)
		return;
	*s = (struct cn_shown){*id, thread};
	e->n_shown++;
}

/* ---- threads ---- */

static struct cn_export_thread *thread_of(struct cn_export *e,
                                          const struct cn_turn_record *turn, bool *retnew)
{
	struct cn_view name = turn->agent;
	struct cn_export_thread *t;

	if (name.n == 0)
		name = cn_view_is(turn->caller, "side") ? CN_VIEW("side") : CN_VIEW("main");
	for (t = e->threads; t; t = t->next)
		if (cn_view_is(name, t->name))
			return t;
	t = cn_zalloc(sizeof(*t));
	t->name = cn_view_dup(name);
	t->number = ++e->n_threads;
	t->next = e->threads;
	e->threads = t;
	*retnew = true;
	return t;
}

/* ---- the same answer twice ---- */

/* What an answer says and does, without thinking and decoration. */
static void gist(struct cn_view message, struct cn_arena *a, struct cn_buf *b)
{
	struct cn_json content = cn_json_get(cn_json_root(message), "content");

	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		cn_buf_add_view(b, cn_json_text(a, cn_json_get(it.value, "text")));
		cn_buf_add_view(b, cn_json_text(a, cn_json_get(it.value, "id")));
	}
}

static bool says_the_same(struct cn_view one, struct cn_view other)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) b = {0};
	CN_AUTO(cn_buf) c = {0};

	gist(one, &a, &b);
	gist(other, &a, &c);
	return cn_view_eq(cn_buf_view(&b), cn_buf_view(&c));
}

/* The client's copy of the last answer: left out, or marked as a copy. */
static int settle_copy(struct cn_export *e, struct cn_arena *a,
                       const struct cn_export_thread *t, struct cn_export_step *step,
                       struct cn_error *reterr)
{
	struct cn_json root;
	struct cn_node answer;
	int err;

	if (step->n_added == 0 || is_zero(&t->answer) ||
	    !cn_hash_eq(&step->added[0].parent, &t->request))
		return 0;
	root = cn_json_root(step->added[0].canonical);
	if (!cn_json_is(cn_json_get(root, "role"), "assistant"))
		return 0;
	err = e->node(e->self, a, &t->answer, &answer, reterr);
	if (err)
		return err == CN_E_NOT_FOUND ? 0 : err;
	step->copy = !says_the_same(answer.canonical, step->added[0].canonical);
	if (!step->copy) {
		step->added++;
		step->n_added--;
	}
	return 0;
}

/* ---- a turn's step ---- */

struct cn_found {
	struct cn_found *below;
	struct cn_node node;
};

/* From the request's last message up to one that was shown, or to the first. */
static int walk_up(struct cn_export *e, struct cn_arena *a,
                   const struct cn_export_thread *t, struct cn_export_step *step,
                   struct cn_hash *rettop, struct cn_error *reterr)
{
	struct cn_hash id = step->turn->request_node;
	struct cn_found *top = NULL;
	size_t n = 0;

	while (!is_zero(&id) && !was_shown(e, &id, t->number) && n < CN_MAX_CHAIN) {
		struct cn_found *found = cn_arena_new(a, struct cn_found);
		int err = e->node(e->self, a, &id, &found->node, reterr);

		if (err == CN_E_NOT_FOUND || err == CN_E_DAMAGED) {
			step->incomplete = true;
			break;
		}
		if (err)
			return err;
		found->below = top;
		top = found;
		id = found->node.parent;
		n++;
	}
	*rettop = id;
	step->n_added = n;
	step->added = cn_arena_zalloc(a, (n + 1) * sizeof(*step->added));
	for (size_t i = 0; i < n; i++, top = top->below) {
		step->added[i] = top->node;
		mark_shown(e, &top->node.id, t->number);
	}
	return 0;
}

static enum cn_export_way way_of(const struct cn_export_thread *t, bool new_thread,
                                 const struct cn_hash *top,
                                 const struct cn_export_step *step)
{
	if (new_thread)
		return CN_WAY_BEGINS;
	if (step->incomplete)
		return CN_WAY_FOLLOWS; /* nobody knows; the note about it says enough */
	if (cn_hash_eq(top, &t->request) || (!is_zero(top) && cn_hash_eq(top, &t->answer)))
		return CN_WAY_FOLLOWS;
	if (step->n_added == 0 && cn_hash_eq(&step->turn->request_node, &t->request))
		return CN_WAY_FOLLOWS;
	return is_zero(top) ? CN_WAY_REPLACED : CN_WAY_REWOUND;
}

/* A node that may be missing: NULL then. */
static int fetch(struct cn_export *e, struct cn_arena *a, const struct cn_hash *id,
                 const struct cn_node **ret, struct cn_error *reterr)
{
	struct cn_node *node = cn_arena_new(a, struct cn_node);
	int err = is_zero(id) ? CN_E_NOT_FOUND : e->node(e->self, a, id, node, reterr);

	*ret = err ? NULL : node;
	return err == CN_E_NOT_FOUND || err == CN_E_DAMAGED ? 0 : err;
}

static int make_step(struct cn_export *e, struct cn_arena *a, struct cn_export_thread *t,
                     bool new_thread, struct cn_export_step *step, struct cn_error *reterr)
{
	const struct cn_turn_record *turn = step->turn;
	struct cn_hash top;
	int err;

	step->thread = t->name;
	step->first = !e->begun;
	if ((err = walk_up(e, a, t, step, &top, reterr)))
		return err;
	step->way = way_of(t, new_thread, &top, step);
	if ((err = settle_copy(e, a, t, step, reterr)))
		return err;
	if (!cn_hash_eq(&turn->prefix_node, &t->prefix) &&
	    (err = fetch(e, a, &turn->prefix_node, &step->prefix, reterr)))
		return err;
	if ((err = fetch(e, a, &turn->answer_node, &step->answer, reterr)))
		return err;
	if (step->answer)
		mark_shown(e, &turn->answer_node, t->number);
	t->request = turn->request_node;
	t->answer = turn->answer_node;
	t->prefix = turn->prefix_node;
	e->begun = true;
	return 0;
}

/* ---- JSON lines ---- */

static void begin_line(struct cn_buf *b, const char *type, const char *thread)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "type", cn_view_str(type));
	if (thread)
		cn_json_add_text(b, "thread", cn_view_str(thread));
}

static void add_id(struct cn_buf *b, const char *key, const struct cn_hash *id)
{
	if (is_zero(id))
		return;
	cn_json_add_key(b, key);
	cn_buf_add_char(b, '"');
	cn_hex(b, id->b, sizeof(id->b));
	cn_buf_add_char(b, '"');
}

/* The members of a stored object, role first; names that the line has are left out. */
static void add_members(struct cn_buf *b, struct cn_view object)
{
	static const char *const ours[] = {"type", "thread", "request", "id",   "parent",
	                                   "role", "answer", "model",   "copy", "pieces"};
	struct cn_json root = cn_json_root(object), role = cn_json_get(root, "role");

	if (role.kind != CN_JSON_NONE)
		cn_json_add_raw(b, "role", role.raw);
	for (struct cn_json_iter it = cn_json_iter(root); cn_json_next(&it);) {
		bool taken = false;

		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			taken = taken || cn_json_key_is(it.key, ours[i]);
		if (taken)
			continue;
		cn_buf_add_str(b, ",\"");
		cn_buf_add_view(b, it.key);
		cn_buf_add_str(b, "\":");
		cn_buf_add_view(b, it.value.raw);
	}
}

/* Who wrote which piece of the answer, when it was not one model in one go. */
static void add_pieces(struct cn_buf *b, const struct cn_turn_record *t)
{
	bool joined = false;

	for (size_t i = 0; i < t->n_blocks && !joined; i++)
		joined = t->blocks[i].joint.n > 0;
	if (!joined && !cn_history__several_models(t))
		return;
	cn_json_add_key(b, "pieces");
	for (size_t i = 0; i < t->n_blocks; i++) {
		const struct cn_block_record *piece = &t->blocks[i];

		cn_buf_add_str(b, i ? ",{" : "[{");
		cn_json_add_u64(b, "block", piece->index);
		cn_json_add_text(b, "model", piece->model);
		cn_json_add_u64(b, "bytes", piece->bytes);
		if (piece->joint.n)
			cn_json_add_text(b, "joint", piece->joint);
		cn_buf_add_char(b, '}');
	}
	cn_buf_add_char(b, ']');
}

static void add_message(struct cn_buf *b, const struct cn_export_step *step,
                        const struct cn_node *node, bool answer, bool copy)
{
	begin_line(b, "message", step->thread);
	cn_json_add_text(b, "request", step->turn->request_id);
	add_id(b, "id", &node->id);
	add_id(b, "parent", &node->parent);
	if (answer) {
		cn_json_add_bool(b, "answer", true);
		cn_json_add_text(b, "model", step->turn->used);
		add_pieces(b, step->turn);
	}
	if (copy)
		cn_json_add_bool(b, "copy", true);
	add_members(b, node->canonical);
	cn_buf_add_str(b, "}\n");
}

static void add_note(struct cn_buf *b, const struct cn_export_step *step, const char *note)
{
	begin_line(b, "note", step->thread);
	cn_json_add_text(b, "request", step->turn->request_id);
	cn_json_add_text(b, "note", cn_view_str(note));
	cn_buf_add_str(b, "}\n");
}

static void add_turn(struct cn_buf *b, const struct cn_export_step *step)
{
	CN_AUTO(cn_buf) record = {0};

	begin_line(b, "turn", step->thread);
	cn_turn_record_write(&record, step->turn);
	if (record.n > 2)
		cn_buf_add_char(b, ',');
	cn_buf_add_view(b, cn_view_from(cn_buf_view(&record), 1));
	cn_buf_add_char(b, '\n');
}

static void jsonl(const struct cn_export_step *step, struct cn_buf *b)
{
	const struct cn_turn_record *t = step->turn;

	if (step->first) {
		begin_line(b, "session", NULL);
		cn_json_add_text(b, "session", t->session);
		cn_json_add_text(b, "owner", t->owner);
		cn_json_add_text(b, "project", t->project);
		cn_buf_add_str(b, "}\n");
	}
	if (step->prefix) {
		begin_line(b, "prefix", step->thread);
		add_id(b, "id", &step->prefix->id);
		add_members(b, step->prefix->canonical);
		cn_buf_add_str(b, "}\n");
	}
	if (*cn_history__way_name(step->way))
		add_note(b, step, cn_history__way_name(step->way));
	if (step->incomplete)
		add_note(b, step, "incomplete");
	for (size_t i = 0; i < step->n_added; i++)
		add_message(b, step, &step->added[i], false, step->copy && i == 0);
	if (step->answer)
		add_message(b, step, step->answer, true, false);
	add_turn(b, step);
}

int cn_export_turn(struct cn_export *e, const struct cn_turn_record *turn, struct cn_buf *b,
                   struct cn_error *reterr)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_export_step step = {.turn = turn};
	bool new_thread = false;
	struct cn_export_thread *t = thread_of(e, turn, &new_thread);
	int err = make_step(e, &a, t, new_thread, &step, reterr);

	if (err)
		return err;
	switch (e->form) {
	case CN_EXPORT_JSONL:
		jsonl(&step, b);
		return 0;
	case CN_EXPORT_MARKDOWN:
		cn_history__markdown(&step, b);
		return 0;
	case CN_EXPORT_TRANSCRIPT:
		cn_history__transcript(&step, b);
		return 0;
	}
	return 0;
}
