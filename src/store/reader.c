/*
 * Reading: sessions, turns, messages, provenance.
 *
 * Nothing from LMDB leaves its transaction except by copy, and no transaction is open
 * while a callback runs: sealed values are copied out a page at a time (at most 1 000
 * records or 4 MiB, so far below the second that a transaction may last), unsealed after
 * its end, and the next page begins behind the last key.  Pool threads and commands; it
 * blocks.  Records that do not verify are left out of lists.
 */
#include "store_impl.h"

#define CN_PAGE_RECORDS 1000
#define CN_PAGE_BYTES   ((size_t)4 << 20)
#define CN_MAX_CHAIN    1000000 /* messages of one conversation: more is a loop */

/* ---- pages ---- */

struct cn_page {
	struct cn_buf bytes; /* keys and sealed values, one after the other */
	struct cn_page_item {
		size_t key, value, end; /* offsets in bytes */
	} items[CN_PAGE_RECORDS];
	size_t n;
	bool last; /* nothing follows */
};

static void page_free(struct cn_page *page)
{
	cn_buf_done(&page->bytes);
	free(page);
}

static int add_item(struct cn_store *s, MDB_txn *txn, enum cn_store_db db, MDB_val key,
                    MDB_val value, struct cn_page *page)
{
	struct cn_page_item *item = &page->items[page->n];
	int rc;

	item->key = page->bytes.n;
	cn_buf_add(&page->bytes, key.mv_data, key.mv_size);
	item->value = page->bytes.n;
	rc = cn_store__value_copy(s, txn, db, cn_store__view(key), value, &page->bytes);
	if (rc == CN_STORE_RC_UNSEALED) {
		cn_buf_truncate(&page->bytes, item->value); /* will not verify */
		rc = 0;
	}
	item->end = page->bytes.n;
	page->n++;
	return rc;
}

/* Fills the page with what begins with prefix, from the key after `after` on. */
static int fill(struct cn_store *s, MDB_txn *txn, enum cn_store_db db,
                struct cn_view prefix, struct cn_view after, struct cn_page *page)
{
	MDB_cursor *cursor;
	MDB_val key = cn_store__val(after.n ? after : prefix), value;
	int rc = mdb_cursor_open(txn, s->dbi[db], &cursor);

	if (rc)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &value, key.mv_size ? MDB_SET_RANGE : MDB_FIRST);
	if (rc == 0 && after.n && cn_view_eq(cn_store__view(key), after))
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	page->n = 0;
	page->last = false;
	cn_buf_clear(&page->bytes);
	while (rc == 0 && cn_view_starts(cn_store__view(key), prefix) &&
	       page->n < CN_PAGE_RECORDS && page->bytes.n < CN_PAGE_BYTES)
		if ((rc = add_item(s, txn, db, key, value, page)) == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	page->last =
	    rc == MDB_NOTFOUND || (rc == 0 && !cn_view_starts(cn_store__view(key), prefix));
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* What each record of a range is given to; false stops. */
typedef bool (*cn_plain_fn)(void *self, struct cn_view key, struct cn_view plain);

/* Unseals a page and gives it away; whether to go on. */
static bool give(const struct cn_store *s, enum cn_store_db db, const struct cn_page *page,
                 cn_plain_fn each, void *self)
{
	CN_AUTO(cn_buf) plain = {0};

	for (size_t i = 0; i < page->n; i++) {
		const struct cn_page_item *it = &page->items[i];
		struct cn_view key = cn_view(page->bytes.p + it->key, it->value - it->key);
		struct cn_view sealed =
		    cn_view(page->bytes.p + it->value, it->end - it->value);

		cn_buf_clear(&plain);
		if (cn_store__value_unseal(s, db, key, sealed, &plain) == 0 &&
		    !each(self, key, cn_buf_view(&plain)))
			return false;
	}
	return true;
}

struct cn_range {
	enum cn_store_db db;
	struct cn_view prefix; /* of the keys; empty: all */
	cn_plain_fn each;
	void *self;
};

static int walk(struct cn_store *s, const struct cn_range *range, struct cn_error *reterr)
{
	struct cn_page *page = cn_zalloc(sizeof(*page));
	CN_AUTO(cn_buf) after = {0};
	int err = 0;

	do {
		struct cn_store_reader r;
		int rc;

		if ((err = cn_store__read_begin(s, &r, reterr)))
			break;
		rc = fill(s, r.txn, range->db, range->prefix, cn_buf_view(&after), page);
		cn_store__read_end(&r);
		if (rc) {
			err = cn_store__read_failed(s, rc, reterr);
			break;
		}
		cn_buf_clear(&after);
		if (page->n)
			cn_buf_add(&after, page->bytes.p + page->items[page->n - 1].key,
			           page->items[page->n - 1].value -
			               page->items[page->n - 1].key);
	} while (give(s, range->db, page, range->each, range->self) && !page->last);
	page_free(page);
	return err;
}

/* One record: its plain text appended to b. */
static int read_one(struct cn_store *s, enum cn_store_db db, struct cn_view key,
                    struct cn_buf *b, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) copied = {0};
	struct cn_store_reader r;
	MDB_val k = cn_store__val(key), v;
	int rc, err = cn_store__read_begin(s, &r, reterr);

	if (err)
		return err;
	rc = mdb_get(r.txn, s->dbi[db], &k, &v);
	if (rc == 0)
		rc = cn_store__value_copy(s, r.txn, db, key, v, &copied);
	cn_store__read_end(&r);
	if (rc == 0)
		rc = cn_store__value_unseal(s, db, key, cn_buf_view(&copied), b);
	return rc ? cn_store__read_failed(s, rc, reterr) : 0;
}

/* ---- sessions ---- */

struct cn_session_list {
	struct cn_arena a;         /* owns strings */
	struct cn_session_line *v; /* owned */
	size_t n, cap;
	struct cn_view owner; /* empty: all */
};

static void sessions_done(struct cn_session_list *l)
{
	free(l->v);
	cn_arena_done(&l->a);
}

static bool on_session(void *self, struct cn_view key, struct cn_view plain)
{
	struct cn_session_list *l = self;
	struct cn_session_record r;

	(void)key;
	if (cn_store__session_read(&l->a, plain, &r) ||
	    (l->owner.n && !cn_view_eq(l->owner, r.line.owner)))
		return true;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->v = cn_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = r.line;
	return true;
}

static int newest_first(const void *pa, const void *pb)
{
	const struct cn_session_line *a = pa, *b = pb;

	return a->last_ms < b->last_ms ? 1 : a->last_ms > b->last_ms ? -1 : 0;
}

static int read_sessions(struct cn_store *s, struct cn_session_list *l,
                         struct cn_error *reterr)
{
	CN_AUTO(cn_buf) key = {0};
	struct cn_range range = {.db = CN_DB_SESSIONS, .each = on_session, .self = l};

	if (l->owner.n)
		cn_store__key_owner(s, l->owner, &key);
	range.prefix = cn_buf_view(&key);
	return walk(s, &range, reterr);
}

int cn_store_sessions(struct cn_store *s, struct cn_view owner,
                      bool (*each)(void *self, const struct cn_session_line *l), void *self,
                      struct cn_error *reterr)
{
	struct cn_session_list l = {.owner = owner};
	int err = read_sessions(s, &l, reterr);

	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), newest_first);
	for (size_t i = 0; i < l.n && !err && each(self, &l.v[i]); i++)
		;
	sessions_done(&l);
	return err;
}

/* ---- turns ---- */

struct cn_turn_walk {
	bool (*each)(void *self, const struct cn_turn_record *t);
	void *self;
	uint64_t since_ms; /* those begun before are passed over */
};

static bool on_turn(void *self, struct cn_view key, struct cn_view plain)
{
	struct cn_turn_walk *w = self;
	CN_AUTO(cn_arena) a = {0};
	struct cn_turn_record turn;

	(void)key;
	if (cn_turn_record_read(&a, plain, &turn, NULL))
		return true; /* authenticated, so written by a version that knew better */
	if (turn.started_wall_ms < w->since_ms)
		return true;
	return w->each(w->self, &turn);
}

/* The one session whose id begins so; a whole id wins over those it is a part of. */
static int pick_session(struct cn_session_list *l, struct cn_view id,
                        const struct cn_session_line **ret, struct cn_error *reterr)
{
	size_t whole = 0, begin = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!cn_view_starts(l->v[i].session, id))
			continue;
		if (l->v[i].session.n == id.n)
			whole++;
		else
			begin++;
		if (whole + begin == 1 || l->v[i].session.n == id.n)
			*ret = &l->v[i];
	}
	if (whole == 0 && begin == 0)
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no session %.*s",
		               CN_VIEW_ARG(id));
	if (whole > 1)
		return cn_fail(reterr, CN_E_INVALID,
		               "several owners have a session %.*s: name one with --owner",
		               CN_VIEW_ARG(id));
	if (whole == 0 && begin > 1)
		return cn_fail(reterr, CN_E_INVALID, "several sessions begin with %.*s",
		               CN_VIEW_ARG(id));
	return 0;
}

int cn_store_turns(struct cn_store *s, struct cn_view owner, struct cn_view session,
                   bool (*each)(void *self, const struct cn_turn_record *t), void *self,
                   struct cn_error *reterr)
{
	struct cn_session_list l = {.owner = owner};
	struct cn_turn_walk w = {each, self, 0};
	struct cn_range range = {.db = CN_DB_TURNS, .each = on_turn, .self = &w};
	const struct cn_session_line *line = NULL;
	CN_AUTO(cn_buf) key = {0};
	int err = read_sessions(s, &l, reterr);

	if (!err)
		err = pick_session(&l, session, &line, reterr);
	if (!err) {
		cn_assert(line);
		cn_store__key_session(s, line->owner, line->session, &key);
		range.prefix = cn_buf_view(&key);
		err = walk(s, &range, reterr);
	}
	sessions_done(&l);
	return err;
}

int cn_store_turns_since(struct cn_store *s, uint64_t since_ms,
                         bool (*each)(void *self, const struct cn_turn_record *t),
                         void *self, struct cn_error *reterr)
{
	struct cn_session_list l = {0};
	struct cn_turn_walk w = {each, self, since_ms};
	int err = read_sessions(s, &l, reterr);

	for (size_t i = 0; i < l.n && !err; i++) {
		struct cn_range range = {.db = CN_DB_TURNS, .each = on_turn, .self = &w};
		CN_AUTO(cn_buf) key = {0};

		if (l.v[i].last_ms < since_ms)
			continue;
		cn_store__key_session(s, l.v[i].owner, l.v[i].session, &key);
		range.prefix = cn_buf_view(&key);
		err = walk(s, &range, reterr);
	}
	sessions_done(&l);
	return err;
}

/* ---- nodes ---- */

int cn_store_node(struct cn_store *s, struct cn_arena *a, const struct cn_hash *id,
                  struct cn_node *ret, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) b = {0};
	int err = read_one(s, CN_DB_NODES, cn_view((const char *)id->b, CN_HASH_BYTES), &b,
	                   reterr);

	if (err)
		return err;
	if (b.n < CN_HASH_BYTES)
		return cn_store__read_failed(s, CN_STORE_RC_UNSEALED, reterr);
	ret->id = *id;
	memcpy(ret->parent.b, b.p, CN_HASH_BYTES);
	ret->canonical = cn_arena_view(a, cn_view_from(cn_buf_view(&b), CN_HASH_BYTES));
	return 0;
}

/* A message on the way up; turned round at the end. */
struct cn_up {
	struct cn_up *below;
	struct cn_node node;
};

int cn_store_messages(struct cn_store *s, struct cn_arena *a, const struct cn_hash *node,
                      struct cn_node **ret, size_t *retn, struct cn_error *reterr)
{
	const struct cn_hash none = {{0}};
	struct cn_hash id = *node;
	struct cn_up *top = NULL;
	struct cn_node *all;
	size_t n = 0;

	while (!cn_hash_eq(&id, &none)) {
		struct cn_up *up = cn_arena_new(a, struct cn_up);
		int err = n < CN_MAX_CHAIN ? cn_store_node(s, a, &id, &up->node, reterr)
		                           : cn_fail(reterr, CN_E_DAMAGED,
		                                     "a conversation without an end");

		if (err)
			return err;
		up->below = top;
		top = up;
		id = up->node.parent;
		n++;
	}
	all = cn_arena_zalloc(a, (n + 1) * sizeof(*all));
	for (size_t i = 0; i < n; i++, top = top->below)
		all[i] = top->node;
	*ret = all;
	*retn = n;
	return 0;
}

int cn_store_provenance(struct cn_store *s, struct cn_arena *a, const struct cn_hash *id,
                        struct cn_view *ret, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) b = {0};
	int err = read_one(s, CN_DB_PROVENANCE, cn_view((const char *)id->b, CN_HASH_BYTES),
	                   &b, reterr);

	if (!err)
		*ret = cn_arena_view(a, cn_buf_view(&b));
	return err;
}
