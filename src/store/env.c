/*
 * The LMDB environment: opening and verifying it, transactions, growing the map, and what
 * LMDB's results mean.  Default sync, no dangerous flag (design/security.md 9).
 *
 * Writers' functions belong to the writer thread (or the opener before there is one);
 * read_begin and read_end to any.  The map grows, and the environment is closed or opened,
 * only under the exclusive side of env_lock, whose shared side every read transaction
 * holds.  Knows no records but the schema's.
 */
#include "store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "continuo/clock.h"

#define CN_GIB           ((uint64_t)1 << 30)
#define CN_RESERVE_PART  8 /* of the map's limit: removing takes pages too */
#define CN_MAX_READERS   256
#define CN_READER_OLD_MS 1000
#define CN_SCHEMA_TEXT   "continuo history"

static const char *const db_names[] = {
#define X(symbol, name, text) name,
    CN_STORE_DBS(X)
#undef X
};

const char *cn_store__db_name(enum cn_store_db db)
{
	return db_names[db];
}

/* ---- what results mean ---- */

enum cn_store_trouble cn_store__trouble(int rc)
{
	switch (rc) {
	case 0:
		return CN_TROUBLE_NONE;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG: /* a limit on the size of files */
		return CN_TROUBLE_FULL;
	case MDB_CORRUPTED:
	case MDB_PANIC:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
	case CN_STORE_RC_FOREIGN:
		return CN_TROUBLE_DAMAGED;
	default: /* EIO, and what should not happen */
		return CN_TROUBLE_SUSPECT;
	}
}

const char *cn_store__why(int rc)
{
	if (rc == CN_STORE_RC_NEWER)
		return "the history was written by a newer version";
	switch (cn_store__trouble(rc)) {
	case CN_TROUBLE_NONE:
		return "";
	case CN_TROUBLE_FULL:
		return rc == MDB_MAP_FULL ? "the history has reached its largest size"
		                          : "the disk is full";
	case CN_TROUBLE_SUSPECT:
		return "the history cannot be written";
	case CN_TROUBLE_DAMAGED:
		return "the history is damaged";
	}
	return "";
}

static int fault(const struct cn_store *s, enum cn_store_op op)
{
	return s->rules.fault ? s->rules.fault(s->rules.self, op) : 0;
}

/* ---- opening ---- */

static uint64_t map_size(const struct cn_store *s)
{
	uint64_t size = s->rules.map_size;

	if (size == 0)
		size = (2 * s->max_size + CN_GIB - 1) / CN_GIB * CN_GIB;
	return size ? size : CN_GIB;
}

static uint64_t map_limit(const struct cn_store *s)
{
	return s->rules.map_limit ? s->rules.map_limit : 2 * map_size(s);
}

static int open_dbs(struct cn_store *s, MDB_txn *txn)
{
	unsigned flags = s->read_only ? 0 : MDB_CREATE;
	int rc = 0;

	for (unsigned i = 0; i < CN_DB_COUNT && rc == 0; i++)
		rc = mdb_dbi_open(txn, db_names[i], flags, &s->dbi[i]);
	return rc;
}

/* Goes to both ends of each database, or through all of it. */
static int walk(struct cn_store *s, MDB_txn *txn, bool all)
{
	int rc = 0;

	for (unsigned i = 0; i < CN_DB_COUNT && rc == 0; i++) {
		MDB_cursor *cursor;
		MDB_val key, value;

		if ((rc = mdb_cursor_open(txn, s->dbi[i], &cursor)))
			return rc;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
		while (all && rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
		if (rc == MDB_NOTFOUND)
			rc = 0;
		mdb_cursor_close(cursor);
	}
	return rc;
}

/* The schema record says whose vault this is; an empty environment gets one. */
static int check_schema(struct cn_store *s, struct cn_store_txn *t)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_view text = CN_VIEW(CN_SCHEMA_TEXT);
	MDB_stat stat;
	unsigned char version = CN_STORE_SCHEMA;
	int rc = cn_store__value_get(s, t->txn, CN_DB_META, CN_VIEW("schema"), &b);

	if (rc == CN_STORE_RC_UNSEALED)
		return CN_STORE_RC_FOREIGN;
	if (rc == 0) {
		if (b.n != text.n + 1 || memcmp(b.p, text.p, text.n) != 0)
			return CN_STORE_RC_FOREIGN;
		return (unsigned char)b.p[text.n] > CN_STORE_SCHEMA ? CN_STORE_RC_NEWER : 0;
	}
	if (rc != MDB_NOTFOUND)
		return rc;
	if ((rc = mdb_stat(t->txn, s->dbi[CN_DB_NODES], &stat)))
		return rc;
	if (stat.ms_entries || s->read_only)
		return CN_STORE_RC_FOREIGN;
	cn_buf_add_view(&b, text);
	cn_buf_add(&b, &version, 1);
	return cn_store__value_put(t, CN_DB_META, CN_VIEW("schema"), cn_buf_view(&b));
}

/* The first transaction: databases, verification, schema. */
static int open_contents(struct cn_store *s, bool all)
{
	struct cn_store_txn t = {.s = s, .wall_ms = cn_clock_wall_ms()};
	int rc = mdb_txn_begin(s->env, NULL, s->read_only ? MDB_RDONLY : 0, &t.txn);

	if (rc)
		return rc;
	/* Who only reads may want what is left of a damaged one. */
	if ((rc = open_dbs(s, t.txn)) || (!s->read_only && (rc = walk(s, t.txn, all))) ||
	    (rc = check_schema(s, &t))) {
		mdb_txn_abort(t.txn);
		return rc;
	}
	return mdb_txn_commit(t.txn); /* also of a reader: it keeps the handles */
}

static int open_env(struct cn_store *s)
{
	bool was_short = false;
	int rc, dead;

	if ((rc = mdb_env_create(&s->env)) ||
	    (rc = mdb_env_set_maxdbs(s->env, CN_DB_COUNT + 4)) ||
	    (rc = mdb_env_set_maxreaders(s->env, CN_MAX_READERS)) ||
	    (!s->read_only && (rc = mdb_env_set_mapsize(s->env, map_size(s)))) ||
	    (rc = mdb_env_open(s->env, s->dir, MDB_NOTLS | (s->read_only ? MDB_RDONLY : 0),
	                       0600)))
		return rc;
	if ((rc = cn_store__disk_lengthen(s->env, s->dir_fd, !s->read_only, &was_short)))
		return rc;
	if ((rc = mdb_reader_check(s->env, &dead)))
		return rc;
	return open_contents(s, was_short);
}

int cn_store__env_open(struct cn_store *s)
{
	int rc = fault(s, CN_STORE_OP_OPEN);

	if (rc == 0)
		rc = open_env(s);
	if (rc)
		cn_store__env_close(s);
	return rc;
}

void cn_store__env_close(struct cn_store *s)
{
	if (s->env)
		mdb_env_close(s->env);
	s->env = NULL;
}

int cn_store__env_reopen(struct cn_store *s, bool set_aside)
{
	struct cn_error error = {0};
	int rc = 0;

	uv_rwlock_wrlock(&s->env_lock);
	cn_store__env_close(s);
	if (!set_aside) {
		rc = cn_store__env_open(s);
		set_aside = cn_store__trouble(rc) == CN_TROUBLE_DAMAGED;
	}
	if (set_aside)
		rc = cn_store__disk_set_aside(s, &error) ? EIO : cn_store__env_open(s);
	uv_rwlock_wrunlock(&s->env_lock);
	return rc;
}

bool cn_store__env_grow(struct cn_store *s, bool to_prune)
{
	MDB_envinfo info;
	uint64_t size, limit = map_limit(s);
	int rc;

	if (!s->env || mdb_env_info(s->env, &info))
		return false;
	size = 2 * (uint64_t)info.me_mapsize;
	if (to_prune && size > limit)
		size = limit + limit / CN_RESERVE_PART;
	else if (size > limit)
		return false;
	if (size <= info.me_mapsize)
		return false;
	uv_rwlock_wrlock(&s->env_lock);
	rc = mdb_env_set_mapsize(s->env, size);
	uv_rwlock_wrunlock(&s->env_lock);
	return rc == 0;
}

int cn_store__env_used(struct cn_store *s, uint64_t *ret)
{
	MDB_envinfo info;
	MDB_stat stat;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	uint64_t unused = 0;
	int rc;

	if ((rc = mdb_env_info(s->env, &info)) || (rc = mdb_env_stat(s->env, &stat)) ||
	    (rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn)))
		return rc;
	/* Database 0 lists the free pages: each value begins with how many it names. */
	if ((rc = mdb_cursor_open(txn, 0, &cursor)) == 0) {
		while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
			size_t n;

			memcpy(&n, value.mv_data, sizeof(n));
			unused += n;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	if (rc != MDB_NOTFOUND)
		return rc;
	*ret = (info.me_last_pgno + 1 - unused) * stat.ms_psize;
	return 0;
}

/* ---- writing ---- */

int cn_store__begin(struct cn_store *s, struct cn_store_txn *ret)
{
	int rc = fault(s, CN_STORE_OP_BEGIN);

	*ret = (struct cn_store_txn){.s = s, .wall_ms = cn_clock_wall_ms()};
	if (rc == 0 && !s->env)
		rc = EIO;
	return rc ? rc : mdb_txn_begin(s->env, NULL, 0, &ret->txn);
}

int cn_store__commit(struct cn_store_txn *t)
{
	int rc = fault(t->s, CN_STORE_OP_COMMIT);

	if (rc) {
		cn_store__abort(t);
		return rc;
	}
	return mdb_txn_commit(cn_steal(&t->txn));
}

void cn_store__abort(struct cn_store_txn *t)
{
	if (t->txn)
		mdb_txn_abort(cn_steal(&t->txn));
}

int cn_store__put(struct cn_store_txn *t, enum cn_store_db db, struct cn_view key,
                  struct cn_view value)
{
	MDB_val k = cn_store__val(key), v = cn_store__val(value);
	int rc = fault(t->s, CN_STORE_OP_PUT);

	return rc ? rc : mdb_put(t->txn, t->s->dbi[db], &k, &v, 0);
}

int cn_store__del(struct cn_store_txn *t, enum cn_store_db db, struct cn_view key)
{
	MDB_val k = cn_store__val(key);
	int rc = mdb_del(t->txn, t->s->dbi[db], &k, NULL);

	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* ---- reading ---- */

static int read_txn(struct cn_store *s, MDB_txn **ret)
{
	int dead, rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, ret);

	if (rc == MDB_READERS_FULL && mdb_reader_check(s->env, &dead) == 0)
		rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, ret);
	return rc;
}

int cn_store__read_begin(struct cn_store *s, struct cn_store_reader *ret,
                         struct cn_error *reterr)
{
	int rc = MDB_MAP_RESIZED;

	/* A router beside a command that reads may grow the map: take over its size. */
	for (unsigned tries = 0; rc == MDB_MAP_RESIZED && tries < 3; tries++) {
		if (tries) {
			uv_rwlock_wrlock(&s->env_lock);
			if (s->env)
				(void)mdb_env_set_mapsize(s->env, 0); /* begin says it */
			uv_rwlock_wrunlock(&s->env_lock);
		}
		uv_rwlock_rdlock(&s->env_lock);
		if (!s->env) {
			uv_rwlock_rdunlock(&s->env_lock);
			return cn_fail(reterr, CN_E_IO,
			               "the history is not available now: %s",
			               cn_store_why(s));
		}
		rc = read_txn(s, &ret->txn);
		if (rc)
			uv_rwlock_rdunlock(&s->env_lock);
	}
	if (rc)
		return cn_store__read_failed(s, rc, reterr);
	ret->s = s;
	ret->started_ms = cn_clock_ms();
	uv_mutex_lock(&s->readers_lock);
	cn_list_append(&s->readers, &ret->link);
	uv_mutex_unlock(&s->readers_lock);
	return 0;
}

void cn_store__read_end(struct cn_store_reader *r)
{
	mdb_txn_abort(cn_steal(&r->txn));
	uv_mutex_lock(&r->s->readers_lock);
	cn_list_remove(&r->link);
	uv_mutex_unlock(&r->s->readers_lock);
	uv_rwlock_rdunlock(&r->s->env_lock);
}

size_t cn_store__old_readers(struct cn_store *s)
{
	uint64_t now = cn_clock_ms();
	size_t n = 0;

	uv_mutex_lock(&s->readers_lock);
	CN_LIST_EACH(it, &s->readers)
	{
		struct cn_store_reader *r =
		    cn_container_of(it, struct cn_store_reader, link);

		n += now - r->started_ms > CN_READER_OLD_MS;
	}
	uv_mutex_unlock(&s->readers_lock);
	return n;
}

int cn_store__read_failed(struct cn_store *s, int rc, struct cn_error *reterr)
{
	if (rc == MDB_NOTFOUND)
		return cn_fail(reterr, CN_E_NOT_FOUND, "the history has no such record");
	if (rc == CN_STORE_RC_UNSEALED)
		return cn_fail(reterr, CN_E_DAMAGED,
		               "a record of the history does not verify");
	if (rc == MDB_READERS_FULL)
		return cn_fail(reterr, CN_E_BUSY, "too many read the history at once");
	if (cn_store__trouble(rc) == CN_TROUBLE_DAMAGED) {
		uv_mutex_lock(&s->lock);
		atomic_store(&s->reported, rc);
		uv_cond_signal(&s->wake);
		uv_mutex_unlock(&s->lock);
		return cn_fail(reterr, CN_E_DAMAGED, "%s", cn_store__why(rc));
	}
	return cn_fail(reterr, CN_E_IO, "reading the history: %s", mdb_strerror(rc));
}
