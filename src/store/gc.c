/*
 * Retention: what is over goes, oldest first.
 *
 * The index `times` says what to look at: a turn takes its references to nodes along, and
 * a node that nothing refers to any more goes, and so up its chain; a node whose turn never
 * came goes when its own time is over; provenance goes with its age.  Each call removes a
 * little in one transaction, so that turns which wait for the writer do not wait long.
 * Writer only.
 */
#include "store_impl.h"

#include "continuo/clock.h"

#define CN_SWEEP_STEPS 64   /* index entries in one transaction */
#define CN_SWEEP_NODES 1024 /* nodes, likewise, looked at between entries */

struct cn_sweep {
	struct cn_store_txn t;
	uint64_t until_ms; /* what began before it goes (Unix time) */
	size_t nodes;      /* removed */
};

static int remove_node(struct cn_store_txn *t, const struct cn_hash *id)
{
	struct cn_view key = cn_view((const char *)id->b, CN_HASH_BYTES);
	int rc = cn_store__value_del(t, CN_DB_NODES, key);

	return rc ? rc : cn_store__value_del(t, CN_DB_LINKS, key);
}

/* Removes a node without references, then its parent's reference, and so on. */
static int prune_chain(struct cn_sweep *w, struct cn_hash id)
{
	struct cn_store_link link;
	int rc;

	while ((rc = cn_store__link_get(&w->t, &id, &link)) == 0 && link.refs == 0) {
		if ((rc = remove_node(&w->t, &id)))
			return rc;
		w->nodes++;
		if (!link.parent_counted)
			return 0;
		id = link.parent;
		if ((rc = cn_store__link_get(&w->t, &id, &link)))
			break;
		if (link.refs)
			link.refs--;
		if ((rc = cn_store__link_put(&w->t, &id, &link)))
			return rc;
	}
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int drop_ref(struct cn_sweep *w, const struct cn_hash *id)
{
	struct cn_store_link link;
	int rc = cn_store__link_get(&w->t, id, &link);

	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if (link.refs)
		link.refs--;
	rc = cn_store__link_put(&w->t, id, &link);
	return rc ? rc : prune_chain(w, *id);
}

/* The first key of db that begins with prefix; MDB_NOTFOUND. */
static int first_key(struct cn_store_txn *t, enum cn_store_db db, struct cn_view prefix,
                     struct cn_buf *ret)
{
	MDB_cursor *cursor;
	MDB_val key = cn_store__val(prefix), value;
	int rc = mdb_cursor_open(t->txn, t->s->dbi[db], &cursor);

	if (rc)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &value, prefix.n ? MDB_SET_RANGE : MDB_FIRST);
	if (rc == 0 && !cn_view_starts(cn_store__view(key), prefix))
		rc = MDB_NOTFOUND;
	cn_buf_clear(ret);
	if (rc == 0)
		cn_buf_add_view(ret, cn_store__view(key));
	mdb_cursor_close(cursor);
	return rc;
}

static int remove_session(struct cn_store_txn *t, struct cn_view key)
{
	CN_AUTO(cn_buf) agent = {0};
	int rc;

	while ((rc = first_key(t, CN_DB_AGENTS, key, &agent)) == 0)
		if ((rc = cn_store__value_del(t, CN_DB_AGENTS, cn_buf_view(&agent))))
			return rc;
	return rc == MDB_NOTFOUND ? cn_store__value_del(t, CN_DB_SESSIONS, key) : rc;
}

/* The line of a session that has lost its oldest turn. */
static int shorten_session(struct cn_store_txn *t, struct cn_view key)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) b = {0};
	struct cn_session_record r;
	int rc = first_key(t, CN_DB_TURNS, key, &b);
	uint64_t first_ms;

	if (rc == MDB_NOTFOUND)
		return remove_session(t, key);
	if (rc || b.n != CN_STORE_TURN_KEY)
		return rc;
	first_ms = cn_store__time_of(b.p + CN_STORE_SESSION_KEY);
	cn_buf_clear(&b);
	rc = cn_store__value_get(t->s, t->txn, CN_DB_SESSIONS, key, &b);
	if (rc == 0)
		rc = cn_store__session_read(&a, cn_buf_view(&b), &r);
	if (rc)
		return rc == MDB_NOTFOUND || rc == CN_STORE_RC_UNSEALED ? 0 : rc;
	r.line.first_ms = first_ms;
	r.line.turns -= r.line.turns > 0;
	cn_buf_clear(&b);
	cn_store__session_write(&b, &r);
	return cn_store__value_put(t, CN_DB_SESSIONS, key, cn_buf_view(&b));
}

/* ids: the nodes that the turn counts among the references of. */
static int remove_turn(struct cn_sweep *w, struct cn_view key, struct cn_view ids)
{
	int rc = cn_store__value_del(&w->t, CN_DB_TURNS, key);

	for (; rc == 0 && ids.n >= CN_HASH_BYTES; ids = cn_view_from(ids, CN_HASH_BYTES)) {
		struct cn_hash id;

		memcpy(id.b, ids.p, CN_HASH_BYTES);
		rc = drop_ref(w, &id);
	}
	return rc ? rc : shorten_session(&w->t, cn_view_cut(key, CN_STORE_SESSION_KEY));
}

/* What an entry of `times` asks for.  An entry of another form is only removed. */
static int remove_entry(struct cn_sweep *w, struct cn_view entry, struct cn_view ids)
{
	struct cn_view key = cn_view_from(entry, 9);
	struct cn_hash id;

	switch (entry.p[8]) {
	case CN_TIME_TURN:
		return key.n == CN_STORE_TURN_KEY ? remove_turn(w, key, ids) : 0;
	case CN_TIME_NODE:
		if (key.n != CN_HASH_BYTES)
			return 0;
		memcpy(id.b, key.p, CN_HASH_BYTES);
		return prune_chain(w, id);
	case CN_TIME_PROVENANCE:
		return cn_store__value_del(&w->t, CN_DB_PROVENANCE, key);
	default:
		return 0;
	}
}

/* The oldest entry that is over; MDB_NOTFOUND when there is none. */
static int sweep_one(struct cn_sweep *w)
{
	CN_AUTO(cn_buf) entry = {0};
	CN_AUTO(cn_buf) ids = {0};
	struct cn_view key;
	int rc = first_key(&w->t, CN_DB_TIMES, (struct cn_view){NULL, 0}, &entry);

	if (rc)
		return rc;
	key = cn_buf_view(&entry);
	if (key.n >= 9 && cn_store__time_of(key.p) >= w->until_ms)
		return MDB_NOTFOUND;
	rc = cn_store__value_get(w->t.s, w->t.txn, CN_DB_TIMES, key, &ids);
	if (rc && rc != CN_STORE_RC_UNSEALED)
		return rc;
	if (rc == 0 && key.n >= 9 && (rc = remove_entry(w, key, cn_buf_view(&ids))))
		return rc;
	return cn_store__value_del(&w->t, CN_DB_TIMES, key);
}

int cn_store__sweep(struct cn_store *s, bool *retmore, size_t *retremoved)
{
	struct cn_sweep w = {.until_ms = 0};
	uint64_t now = cn_clock_wall_ms(), used;
	size_t n;
	int rc;

	*retmore = false;
	*retremoved = 0;
	if (!s->env)
		return 0;
	if (s->retention_ms && now > s->retention_ms)
		w.until_ms = now - s->retention_ms;
	if ((rc = cn_store__env_used(s, &used)))
		return rc;
	if (s->max_size && used > s->max_size)
		w.until_ms = UINT64_MAX;
	if (w.until_ms == 0)
		return 0;
	if ((rc = cn_store__begin(s, &w.t)))
		return rc;
	for (n = 0; n < CN_SWEEP_STEPS && w.nodes < CN_SWEEP_NODES; n++)
		if ((rc = sweep_one(&w)))
			break;
	if ((rc && rc != MDB_NOTFOUND) || n == 0) {
		cn_store__abort(&w.t);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	*retmore = rc == 0;
	*retremoved = n;
	return cn_store__commit(&w.t);
}
