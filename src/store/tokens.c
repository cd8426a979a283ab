/*
 * Client tokens and the vault's generation: small records, written on the writer's thread
 * while the caller waits.  A token's key is the keyed hash of its text; names are unique
 * and found by going through all of them.  Any thread may call; none that serves.
 */
#include "store_impl.h"

#include <fcntl.h>
#include <unistd.h>

#include <yyjson.h>

#include "continuo/json.h"

/* ---- tokens as text ---- */

static void write_token(struct cn_buf *b, const struct cn_token_record *t)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "name", t->name);
	cn_json_add_text(b, "owner", t->owner);
	cn_json_add_text(b, "project", t->project);
	cn_json_add_text(b, "chain", t->chain);
	cn_json_add_u64(b, "scopes", t->scopes);
	cn_json_add_bool(b, "run", t->run);
	cn_json_add_u64(b, "created_ms", t->created_ms);
	cn_json_add_u64(b, "requests_per_minute", t->requests_per_minute);
	cn_json_add_u64(b, "turns", t->turns);
	cn_json_add_u64(b, "tokens_per_day", t->tokens_per_day);
	cn_json_add_key(b, "money_per_day");
	/* JSON has no infinity. */
	cn_buf_printf(b, "%.17g", t->money_per_day < 1e300 ? t->money_per_day : 1e300);
	cn_buf_add_char(b, '}');
}

static struct cn_view text_of(yyjson_val *object, const char *name)
{
	yyjson_val *v = yyjson_obj_get(object, name);

	return cn_view(yyjson_get_str(v), yyjson_get_len(v));
}

static uint64_t number_of(yyjson_val *object, const char *name)
{
	return yyjson_get_uint(yyjson_obj_get(object, name));
}

/* Views borrow from the document. */
static struct cn_token_record read_token(yyjson_val *o)
{
	return (struct cn_token_record){
	    .name = text_of(o, "name"),
	    .owner = text_of(o, "owner"),
	    .project = text_of(o, "project"),
	    .chain = text_of(o, "chain"),
	    .scopes = (uint32_t)number_of(o, "scopes"),
	    .run = yyjson_is_true(yyjson_obj_get(o, "run")),
	    .created_ms = number_of(o, "created_ms"),
	    .requests_per_minute = number_of(o, "requests_per_minute"),
	    .turns = number_of(o, "turns"),
	    .tokens_per_day = number_of(o, "tokens_per_day"),
	    .money_per_day = yyjson_get_num(yyjson_obj_get(o, "money_per_day")),
	};
}

/*
 * Calls each() for every token that can be read; false stops.  The transaction is the
 * caller's.
 */
static int walk(struct cn_store *s, MDB_txn *txn,
                bool (*each)(void *self, const struct cn_token_record *t), void *self)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	bool going = true;
	int rc = mdb_cursor_open(txn, s->dbi[CN_DB_TOKENS], &cursor);

	if (rc)
		return rc;
	while (going && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		CN_AUTO(cn_buf) plain = {0};
		struct cn_token_record t;
		yyjson_doc *doc;

		if (key.mv_size != CN_HASH_BYTES ||
		    cn_store__value_get(s, txn, CN_DB_TOKENS, cn_store__view(key), &plain))
			continue; /* what does not verify is no token */
		doc = yyjson_read(plain.p, plain.n, 0);
		t = read_token(yyjson_doc_get_root(doc));
		memcpy(t.hash.b, key.mv_data, CN_HASH_BYTES);
		if (doc)
			going = each(self, &t);
		yyjson_doc_free(doc);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* ---- writing ---- */

struct cn_name_search {
	struct cn_view name;
	struct cn_hash hash;
	bool found;
};

static bool on_named(void *self, const struct cn_token_record *t)
{
	struct cn_name_search *search = self;

	if (!cn_view_eq(t->name, search->name))
		return true;
	search->hash = t->hash;
	search->found = true;
	return false;
}

static int put_token(struct cn_store_txn *t, void *self, struct cn_error *reterr,
                     int *retrc)
{
	const struct cn_token_record *token = self;
	struct cn_name_search search = {.name = token->name};
	CN_AUTO(cn_buf) b = {0};

	if ((*retrc = walk(t->s, t->txn, on_named, &search)))
		return 0;
	if (search.found && !cn_hash_eq(&search.hash, &token->hash))
		return cn_fail(reterr, CN_E_EXISTS, "there is a token of the name %.*s",
		               CN_VIEW_ARG(token->name));
	write_token(&b, token);
	*retrc = cn_store__value_put(t, CN_DB_TOKENS,
	                             cn_view((const char *)token->hash.b, CN_HASH_BYTES),
	                             cn_buf_view(&b));
	return 0;
}

int cn_store_token_put(struct cn_store *s, const struct cn_token_record *t,
                       struct cn_error *reterr)
{
	struct cn_token_record copy = *t;
	struct cn_store_job job = {.run = put_token, .self = &copy};

	return cn_store__run(s, &job, reterr);
}

static int remove_token(struct cn_store_txn *t, void *self, struct cn_error *reterr,
                        int *retrc)
{
	struct cn_name_search *search = self;

	search->found = false;
	if ((*retrc = walk(t->s, t->txn, on_named, search)))
		return 0;
	if (!search->found)
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no token of the name %.*s",
		               CN_VIEW_ARG(search->name));
	*retrc = cn_store__value_del(t, CN_DB_TOKENS,
	                             cn_view((const char *)search->hash.b, CN_HASH_BYTES));
	return 0;
}

int cn_store_token_remove(struct cn_store *s, struct cn_view name, struct cn_error *reterr)
{
	struct cn_name_search search = {.name = name};
	struct cn_store_job job = {.run = remove_token, .self = &search};

	return cn_store__run(s, &job, reterr);
}

/* ---- reading ---- */

/* What the callback gets must not depend on the transaction, which is over by then. */
struct cn_token_list {
	struct cn_arena a; /* owns the strings and the tokens */
	struct cn_token_copy {
		struct cn_token_copy *next;
		struct cn_token_record t;
	} * first, **end;
};

static bool on_token(void *self, const struct cn_token_record *t)
{
	struct cn_token_list *list = self;
	struct cn_token_copy *copy = cn_arena_new(&list->a, struct cn_token_copy);

	copy->t = *t;
	copy->t.name = cn_arena_view(&list->a, t->name);
	copy->t.owner = cn_arena_view(&list->a, t->owner);
	copy->t.project = cn_arena_view(&list->a, t->project);
	copy->t.chain = cn_arena_view(&list->a, t->chain);
	*list->end = copy;
	list->end = &copy->next;
	return true;
}

int cn_store_token_each(struct cn_store *s,
                        void (*each)(void *self, const struct cn_token_record *t),
                        void *self, struct cn_error *reterr)
{
	struct cn_token_list list = {.first = NULL};
	struct cn_store_reader r;
	int rc, err = cn_store__read_begin(s, &r, reterr);

	if (err)
		return err;
	list.end = &list.first;
	rc = walk(s, r.txn, on_token, &list);
	cn_store__read_end(&r);
	if (rc)
		err = cn_store__read_failed(s, rc, reterr);
	for (const struct cn_token_copy *it = list.first; it && !err; it = it->next)
		each(self, &it->t);
	cn_arena_done(&list.a);
	return err;
}

/* ---- the vault's generation: not secret, and needed before anything can be opened ---- */

#define CN_VAULT_KEY_BYTES (6 + 16)

struct cn_generation {
	char key[CN_VAULT_KEY_BYTES]; /* "vault:" and the id */
	uint64_t generation;
};

static struct cn_generation generation_of(const unsigned char id[16], uint64_t generation)
{
	struct cn_generation g = {.generation = generation};

	memcpy(g.key, "vault:", 6);
	memcpy(g.key + 6, id, 16);
	return g;
}

static int put_generation(struct cn_store_txn *t, void *self, struct cn_error *reterr,
                          int *retrc)
{
	const struct cn_generation *g = self;
	CN_AUTO(cn_buf) b = {0};

	(void)reterr;
	cn_store__key_time(g->generation, &b);
	*retrc =
	    cn_store__put(t, CN_DB_META, cn_view(g->key, sizeof(g->key)), cn_buf_view(&b));
	return 0;
}

int cn_store_vault_put(struct cn_store *s, const unsigned char id[16], uint64_t generation,
                       struct cn_error *reterr)
{
	struct cn_generation g = generation_of(id, generation);
	struct cn_store_job job = {.run = put_generation, .self = &g};

	return cn_store__run(s, &job, reterr);
}

static bool read_generation(MDB_env *env, const struct cn_generation *g, uint64_t *ret)
{
	MDB_val key = cn_store__val(cn_view(g->key, sizeof(g->key))), value;
	MDB_txn *txn;
	MDB_dbi dbi;
	bool found;

	if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
		return false;
	found = mdb_dbi_open(txn, cn_store__db_name(CN_DB_META), 0, &dbi) == 0 &&
	        mdb_get(txn, dbi, &key, &value) == 0 && value.mv_size == 8;
	if (found)
		*ret = cn_store__time_of(value.mv_data);
	mdb_txn_abort(txn);
	return found;
}

bool cn_store_vault_generation(const char *dir, const unsigned char id[16], uint64_t *ret)
{
	struct cn_generation g = generation_of(id, 0);
	MDB_env *env = NULL;
	bool found = false, was_short;
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Opening would leave a lock file behind where there is nothing. */
	if (dir_fd < 0)
		return false;
	if (faccessat(dir_fd, "data.mdb", R_OK, 0) == 0 && mdb_env_create(&env) == 0) {
		if (mdb_env_set_maxdbs(env, CN_DB_COUNT + 4) == 0 &&
		    mdb_env_open(env, dir, MDB_RDONLY | MDB_NOTLS, 0600) == 0 &&
		    cn_store__disk_lengthen(env, dir_fd, false, &was_short) == 0)
			found = read_generation(env, &g, ret);
		mdb_env_close(env);
	}
	(void)close(dir_fd);
	return found;
}
