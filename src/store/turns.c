/*
 * What the writer writes of a batch: nodes with their references, turns, the sessions'
 * lines, provenance.
 *
 * A node counts its references: its children in the store and the turns that name it.  A
 * turn that goes takes its references along, and a node without any goes too (gc.c), so
 * nothing has to be searched for.  A node is written without references, with an entry in
 * `times`, in case its turn never comes.  A batch brings parents before children.
 *
 * Keys name owner, session and request by keyed hashes.  Writer only.
 */
#include "store_impl.h"

#include <yyjson.h>

#include "continuo/json.h"

#define CN_TITLE_BYTES 72
#define CN_TITLE_TRIES 3 /* turns of a session that are asked for a title */

/* ---- keys ---- */

/* Four views, so that no node's address (three) is ever the same hash. */
static void add_part(const struct cn_store *s, const char *what, struct cn_view a,
                     struct cn_view b, struct cn_buf *key)
{
	struct cn_view views[4] = {CN_VIEW("continuo/1/key"), cn_view_str(what), a, b};
	struct cn_hash h = s->crypt.hash(s->crypt.self, views, 4);

	cn_buf_add(key, h.b, CN_STORE_PART);
}

void cn_store__key_owner(const struct cn_store *s, struct cn_view owner, struct cn_buf *key)
{
	add_part(s, "owner", owner, (struct cn_view){NULL, 0}, key);
}

void cn_store__key_session(const struct cn_store *s, struct cn_view owner,
                           struct cn_view session, struct cn_buf *key)
{
	cn_store__key_owner(s, owner, key);
	add_part(s, "session", owner, session, key);
}

void cn_store__key_time(uint64_t ms, struct cn_buf *key)
{
	char p[8];

	for (size_t i = 0; i < 8; i++)
		p[i] = (char)(ms >> (56 - 8 * i));
	cn_buf_add(key, p, sizeof(p));
}

uint64_t cn_store__time_of(const char *p)
{
	uint64_t ms = 0;

	for (size_t i = 0; i < 8; i++)
		ms = ms << 8 | (unsigned char)p[i];
	return ms;
}

static struct cn_view hash_view(const struct cn_hash *h)
{
	return cn_view((const char *)h->b, CN_HASH_BYTES);
}

static bool is_zero(const struct cn_hash *h)
{
	return cn_hash_eq(h, &(struct cn_hash){{0}});
}

/* ---- references ---- */

int cn_store__link_get(struct cn_store_txn *t, const struct cn_hash *id,
                       struct cn_store_link *ret)
{
	CN_AUTO(cn_buf) b = {0};
	int rc = cn_store__value_get(t->s, t->txn, CN_DB_LINKS, hash_view(id), &b);

	/* A damaged link is as good as none: the node is written again. */
	if (rc == CN_STORE_RC_UNSEALED || (rc == 0 && b.n != CN_HASH_BYTES + 9))
		return MDB_NOTFOUND;
	if (rc)
		return rc;
	memcpy(ret->parent.b, b.p, CN_HASH_BYTES);
	ret->refs = cn_store__time_of(b.p + CN_HASH_BYTES);
	ret->parent_counted = b.p[CN_HASH_BYTES + 8] != 0;
	return 0;
}

int cn_store__link_put(struct cn_store_txn *t, const struct cn_hash *id,
                       const struct cn_store_link *link)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add(&b, link->parent.b, CN_HASH_BYTES);
	cn_store__key_time(link->refs, &b);
	cn_buf_add_char(&b, link->parent_counted ? 1 : 0);
	return cn_store__value_put(t, CN_DB_LINKS, hash_view(id), cn_buf_view(&b));
}

/* One reference more; MDB_NOTFOUND when there is no such node. */
static int add_ref(struct cn_store_txn *t, const struct cn_hash *id)
{
	struct cn_store_link link;
	int rc = cn_store__link_get(t, id, &link);

	if (rc)
		return rc;
	link.refs++;
	return cn_store__link_put(t, id, &link);
}

static int put_time(struct cn_store_txn *t, uint64_t ms, enum cn_store_time kind,
                    struct cn_view key, struct cn_view plain)
{
	CN_AUTO(cn_buf) b = {0};

	cn_store__key_time(ms, &b);
	cn_buf_add_char(&b, (char)kind);
	cn_buf_add_view(&b, key);
	return cn_store__value_put(t, CN_DB_TIMES, cn_buf_view(&b), plain);
}

/*
 * Marks the nodes that are there.  A node that is there has its parents there, since it
 * counts as a reference to its own: so each chain is asked from its end, and a conversation
 * of hundreds of messages costs as many looks as it has new ones.
 */
static int find_known(struct cn_store_txn *t, const struct cn_batch_node *const *v,
                      size_t n, bool *known)
{
	struct cn_hash there = {{0}};

	for (size_t i = n; i-- > 0;) {
		struct cn_store_link link;
		int rc = 0;

		if (!cn_hash_eq(&v[i]->id, &there))
			rc = cn_store__link_get(t, &v[i]->id, &link);
		else
			link.parent_counted = true;
		if (rc && rc != MDB_NOTFOUND)
			return rc;
		known[i] = rc == 0;
		if (known[i])
			there = link.parent_counted ? v[i]->parent : (struct cn_hash){{0}};
	}
	return 0;
}

static int put_node(struct cn_store_txn *t, const struct cn_batch_node *n)
{
	struct cn_store_link link;
	int rc = cn_store__link_get(t, &n->id, &link);

	if (rc != MDB_NOTFOUND)
		return rc; /* twice in the batch, or an error */
	link = (struct cn_store_link){.parent = n->parent};
	if (!is_zero(&n->parent)) {
		rc = add_ref(t, &n->parent);
		if (rc && rc != MDB_NOTFOUND)
			return rc;
		link.parent_counted = rc == 0;
	}
	if ((rc = cn_store__value_put(t, CN_DB_NODES, hash_view(&n->id), n->plain)) ||
	    (rc = cn_store__link_put(t, &n->id, &link)))
		return rc;
	return put_time(t, t->wall_ms, CN_TIME_NODE, hash_view(&n->id),
	                (struct cn_view){NULL, 0});
}

/* ---- sessions ---- */

void cn_store__session_write(struct cn_buf *b, const struct cn_session_record *r)
{
	const struct cn_session_line *l = &r->line;

	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "owner", l->owner);
	cn_json_add_text(b, "session", l->session);
	cn_json_add_text(b, "project", l->project);
	cn_json_add_u64(b, "first_ms", l->first_ms);
	cn_json_add_u64(b, "last_ms", l->last_ms);
	cn_json_add_u64(b, "turns", l->turns);
	cn_json_add_u64(b, "agents", l->agents);
	cn_json_add_text(b, "last_model", l->last_model);
	cn_json_add_text(b, "title", l->title);
	cn_json_add_bool(b, "untitled", r->untitled);
	cn_buf_add_char(b, '}');
}

static struct cn_view text_of(struct cn_arena *a, yyjson_val *object, const char *name)
{
	yyjson_val *v = yyjson_obj_get(object, name);

	return cn_arena_view(a, cn_view(yyjson_get_str(v), yyjson_get_len(v)));
}

static uint64_t number_of(yyjson_val *object, const char *name)
{
	return yyjson_get_uint(yyjson_obj_get(object, name));
}

int cn_store__session_read(struct cn_arena *a, struct cn_view json,
                           struct cn_session_record *ret)
{
	yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
	yyjson_val *o = yyjson_doc_get_root(doc);

	if (!yyjson_is_obj(o)) {
		yyjson_doc_free(doc);
		return CN_STORE_RC_UNSEALED;
	}
	*ret = (struct cn_session_record){
	    .line = {.owner = text_of(a, o, "owner"),
	             .session = text_of(a, o, "session"),
	             .project = text_of(a, o, "project"),
	             .first_ms = number_of(o, "first_ms"),
	             .last_ms = number_of(o, "last_ms"),
	             .turns = number_of(o, "turns"),
	             .agents = number_of(o, "agents"),
	             .last_model = text_of(a, o, "last_model"),
	             .title = text_of(a, o, "title")},
	    .untitled = yyjson_is_true(yyjson_obj_get(o, "untitled")),
	};
	yyjson_doc_free(doc);
	return 0;
}

/* The conversation's first message: up the chain from a turn's last one. */
static int first_message(struct cn_store_txn *t, struct cn_hash id, struct cn_buf *b)
{
	struct cn_store_link link;
	int rc;

	while ((rc = cn_store__link_get(t, &id, &link)) == 0 && !is_zero(&link.parent))
		id = link.parent;
	if (rc == 0)
		rc = cn_store__value_get(t->s, t->txn, CN_DB_NODES, hash_view(&id), b);
	return rc == CN_STORE_RC_UNSEALED ? MDB_NOTFOUND : rc;
}

/*
 * The first words that a person wrote: the last text of the message, since the client puts
 * its reminders, which begin with '<', before them.
 */
static struct cn_view title_of(struct cn_arena *a, struct cn_view message)
{
	struct cn_json content = cn_json_get(cn_json_root(message), "content");
	struct cn_view title = {NULL, 0};
	size_t n;

	for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
		struct cn_view text;

		if (!cn_json_is(cn_json_get(it.value, "type"), "text"))
			continue;
		text = cn_json_text(a, cn_json_get(it.value, "text"));
		while (text.n && (unsigned char)*text.p <= ' ')
			text = cn_view_from(text, 1);
		if (text.n && *text.p != '<')
			title = text;
	}
	for (n = 0; n < title.n && n < CN_TITLE_BYTES && title.p[n] != '\n'; n++)
		;
	/* Not in the middle of a character. */
	while (n && n < title.n && ((unsigned char)title.p[n] & 0xc0) == 0x80)
		n--;
	return cn_arena_view(a, cn_view_cut(title, n));
}

static int find_title(struct cn_store_txn *t, const struct cn_batch_turn *turn,
                      struct cn_arena *a, struct cn_session_record *r)
{
	CN_AUTO(cn_buf) b = {0};
	int rc;

	if (r->line.title.n || r->untitled || !cn_view_is(turn->caller, "main"))
		return 0;
	rc = first_message(t, turn->nodes[0], &b);
	if (rc == 0)
		r->line.title = title_of(a, cn_view_from(cn_buf_view(&b), CN_HASH_BYTES));
	r->untitled = r->line.title.n == 0 && r->line.turns >= CN_TITLE_TRIES;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Notes the agent; *retnew: it was not known. */
static int note_agent(struct cn_store_txn *t, const struct cn_batch_turn *turn,
                      struct cn_view session_key, bool *retnew)
{
	CN_AUTO(cn_buf) key = {0};
	MDB_val k, v;
	int rc;

	*retnew = false;
	if (turn->agent.n == 0)
		return 0;
	cn_buf_add_view(&key, session_key);
	add_part(t->s, "agent", turn->session, turn->agent, &key);
	k = cn_store__val(cn_buf_view(&key));
	rc = mdb_get(t->txn, t->s->dbi[CN_DB_AGENTS], &k, &v);
	if (rc != MDB_NOTFOUND)
		return rc;
	*retnew = true;
	return cn_store__value_put(t, CN_DB_AGENTS, cn_buf_view(&key),
	                           (struct cn_view){NULL, 0});
}

static int update_session(struct cn_store_txn *t, const struct cn_batch_turn *turn,
                          struct cn_view key, struct cn_arena *a)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_session_record r;
	struct cn_session_line *l = &r.line;
	bool new_agent;
	int rc = cn_store__value_get(t->s, t->txn, CN_DB_SESSIONS, key, &b);

	if (rc == 0)
		rc = cn_store__session_read(a, cn_buf_view(&b), &r);
	if (rc == MDB_NOTFOUND || rc == CN_STORE_RC_UNSEALED) {
		r = (struct cn_session_record){.line = {.first_ms = turn->started_wall_ms}};
		rc = 0;
	}
	if (rc || (rc = note_agent(t, turn, key, &new_agent)))
		return rc;
	l->owner = turn->owner;
	l->session = turn->session;
	l->project = turn->project;
	l->turns++;
	l->agents += new_agent;
	if (turn->started_wall_ms < l->first_ms)
		l->first_ms = turn->started_wall_ms;
	if (turn->started_wall_ms >= l->last_ms) {
		l->last_ms = turn->started_wall_ms;
		l->last_model = turn->used;
	}
	if ((rc = find_title(t, turn, a, &r)))
		return rc;
	cn_buf_clear(&b);
	cn_store__session_write(&b, &r);
	return cn_store__value_put(t, CN_DB_SESSIONS, key, cn_buf_view(&b));
}

/* ---- turns ---- */

/* References the turn's nodes; appends the ids of those that were there. */
static int reference_nodes(struct cn_store_txn *t, const struct cn_batch_turn *turn,
                           struct cn_buf *ids)
{
	for (size_t i = 0; i < sizeof(turn->nodes) / sizeof(turn->nodes[0]); i++) {
		int rc;

		if (is_zero(&turn->nodes[i]))
			continue;
		rc = add_ref(t, &turn->nodes[i]);
		if (rc == 0)
			cn_buf_add_view(ids, hash_view(&turn->nodes[i]));
		else if (rc != MDB_NOTFOUND)
			return rc;
	}
	return 0;
}

static int put_turn(struct cn_store_txn *t, const struct cn_batch_turn *turn,
                    struct cn_arena *a)
{
	CN_AUTO(cn_buf) key = {0};
	CN_AUTO(cn_buf) ids = {0};
	struct cn_view session_key;
	MDB_val k, v;
	int rc;

	cn_store__key_session(t->s, turn->owner, turn->session, &key);
	cn_store__key_time(turn->started_wall_ms, &key);
	add_part(t->s, "request", turn->session, turn->request_id, &key);
	session_key = cn_view_cut(cn_buf_view(&key), CN_STORE_SESSION_KEY);
	k = cn_store__val(cn_buf_view(&key));
	rc = mdb_get(t->txn, t->s->dbi[CN_DB_TURNS], &k, &v);
	if (rc != MDB_NOTFOUND)
		return rc; /* there: a group that was written again after a failure */
	if ((rc = cn_store__value_put(t, CN_DB_TURNS, cn_buf_view(&key), turn->json)) ||
	    (rc = reference_nodes(t, turn, &ids)) ||
	    (rc = put_time(t, turn->started_wall_ms, CN_TIME_TURN, cn_buf_view(&key),
	                   cn_buf_view(&ids))))
		return rc;
	return update_session(t, turn, session_key, a);
}

static int put_provenance(struct cn_store_txn *t, const struct cn_batch_provenance *p)
{
	MDB_val k = cn_store__val(hash_view(&p->id)), v;
	int rc = mdb_get(t->txn, t->s->dbi[CN_DB_PROVENANCE], &k, &v);

	if (rc != MDB_NOTFOUND)
		return rc;
	if ((rc = cn_store__value_put(t, CN_DB_PROVENANCE, hash_view(&p->id), p->model)))
		return rc;
	return put_time(t, t->wall_ms, CN_TIME_PROVENANCE, hash_view(&p->id),
	                (struct cn_view){NULL, 0});
}

static int put_nodes(struct cn_store_txn *t, const struct cn_batch *b, struct cn_arena *a)
{
	const struct cn_batch_node **v =
	    cn_arena_alloc(a, (b->n_nodes + 1) * sizeof(const struct cn_batch_node *));
	bool *known = cn_arena_zalloc(a, b->n_nodes + 1);
	size_t n = 0;
	int rc;

	for (const struct cn_batch_node *it = b->nodes; it; it = it->next)
		v[n++] = it;
	rc = find_known(t, v, n, known);
	for (size_t i = 0; i < n && rc == 0; i++)
		if (!known[i])
			rc = put_node(t, v[i]);
	return rc;
}

/* Whether all is there that the batch leaves out. */
static int find_expected(struct cn_store_txn *t, const struct cn_batch *b, bool *retall)
{
	struct cn_store_link link;
	int rc = 0;

	for (const struct cn_batch_expected *e = b->expected; e && rc == 0; e = e->next)
		rc = cn_store__link_get(t, &e->id, &link);
	*retall = rc != MDB_NOTFOUND;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int cn_store__write_batch(struct cn_store_txn *t, struct cn_batch *b)
{
	CN_AUTO(cn_arena) a = {0};
	bool all;
	int rc = find_expected(t, b, &all);

	b->incomplete = rc == 0 && !all;
	if (rc || b->incomplete)
		return rc;
	rc = put_nodes(t, b, &a);
	for (const struct cn_batch_turn *turn = b->turns; turn && rc == 0;
	     turn = turn->next)
		rc = put_turn(t, turn, &a);
	for (const struct cn_batch_provenance *p = b->provenance; p && rc == 0; p = p->next)
		rc = put_provenance(t, p);
	return rc;
}
