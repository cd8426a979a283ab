/*
 * Client tokens: who may ask, and how much at once (design/security.md 5).
 *
 * A token is known by the full keyed hash of its text, never by a prefix; the text itself
 * is seen once, when it is made.  The table here is the cache that requests are checked
 * against; the store is where tokens live.  Own lock, held for a lookup; any thread, but
 * adding and removing wait for the disk and so belong to the main thread's pool or a
 * command.
 */
#include "app_impl.h"

#include "continuo/clock.h"

#include <stdlib.h>

#define CN_FAILURES_MAX 10    /* wrong tokens from one address */
#define CN_FAILURES_MS  60000 /* within this time, and shut for as long */
#define CN_PEERS        64    /* addresses remembered; the oldest gives way */
#define CN_WINDOW_MS    60000 /* of requests_per_minute */

struct peer {
	uint64_t key; /* of the address; 0: free */
	uint64_t since_ms, shut_until_ms;
	unsigned failures;
};

struct cn_access {
	uv_mutex_t lock;
	struct cn_vault *vault;   /* borrowed */
	struct cn_store *store;   /* borrowed; NULL: tokens live as long as the program */
	struct cn_token **tokens; /* owned; one reference each; sorted by nothing: few */
	size_t n, cap;
	struct peer peers[CN_PEERS];
};

static struct cn_hash token_hash(struct cn_vault *v, struct cn_view text)
{
	return cn_vault_hash(v, CN_VAULT_HASH_TOKEN, &text, 1);
}

struct cn_access *cn_access__new(struct cn_vault *vault, struct cn_store *store)
{
	struct cn_access *a = cn_zalloc(sizeof(*a));

	cn_assert(uv_mutex_init(&a->lock) == 0);
	a->vault = vault;
	a->store = store;
	return a;
}

struct cn_access *cn_access__free(struct cn_access *a)
{
	if (!a)
		return NULL;
	for (size_t i = 0; i < a->n; i++)
		cn_token__unref(a->tokens[i]);
	free(a->tokens);
	uv_mutex_destroy(&a->lock);
	free(a);
	return NULL;
}

struct cn_token *cn_token__ref(struct cn_token *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

struct cn_token *cn_token__unref(struct cn_token *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return NULL;
	free(t->name);
	free(t->owner);
	free(t->project);
	free(t->chain);
	free(t);
	return NULL;
}

static struct cn_token *token_new(const struct cn_token_record *r)
{
	struct cn_token *t = cn_zalloc(sizeof(*t));

	atomic_init(&t->refs, 1);
	t->hash = r->hash;
	t->name = cn_view_dup(r->name);
	t->owner = cn_view_dup(r->owner);
	t->project = cn_view_dup(r->project);
	t->chain = cn_view_dup(r->chain);
	t->scopes = r->scopes;
	t->run = r->run;
	t->created_ms = r->created_ms;
	t->requests_per_minute = r->requests_per_minute;
	t->turns = r->turns;
	t->tokens_per_day = r->tokens_per_day;
	t->money_per_day = r->money_per_day;
	return t;
}

/* Under the lock. */
static void table_add(struct cn_access *a, struct cn_token *t)
{
	if (a->n == a->cap) {
		a->cap = a->cap ? 2 * a->cap : 16;
		a->tokens = cn_realloc(a->tokens, a->cap * sizeof(struct cn_token *));
	}
	a->tokens[a->n++] = t;
}

static void on_stored_token(void *self, const struct cn_token_record *r)
{
	struct cn_access *a = self;

	uv_mutex_lock(&a->lock);
	table_add(a, token_new(r));
	uv_mutex_unlock(&a->lock);
}

int cn_access__load(struct cn_access *a, struct cn_error *reterr)
{
	return a->store ? cn_store_token_each(a->store, on_stored_token, a, reterr) : 0;
}

struct cn_token *cn_access__find(struct cn_access *a, struct cn_view text)
{
	struct cn_hash hash = token_hash(a->vault, text);
	struct cn_token *found = NULL;

	uv_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n && !found; i++)
		if (cn_hash_eq(&a->tokens[i]->hash, &hash))
			found = cn_token__ref(a->tokens[i]);
	uv_mutex_unlock(&a->lock);
	return found;
}

/* Under the lock: the peer's row, or the oldest one made into it. */
static struct peer *peer_find(struct cn_access *a, struct cn_view address, uint64_t now_ms)
{
	uint64_t key = cn_hash_table(address) | 1;
	struct peer *oldest = &a->peers[0];

	for (size_t i = 0; i < CN_PEERS; i++) {
		if (a->peers[i].key == key)
			return &a->peers[i];
		if (a->peers[i].since_ms < oldest->since_ms)
			oldest = &a->peers[i];
	}
	*oldest = (struct peer){.key = key, .since_ms = now_ms};
	return oldest;
}

bool cn_access__shut(struct cn_access *a, struct cn_view peer, bool failed, uint64_t now_ms)
{
	struct peer *row;
	bool shut;

	uv_mutex_lock(&a->lock);
	row = peer_find(a, peer, now_ms);
	if (now_ms >= row->since_ms + CN_FAILURES_MS && now_ms >= row->shut_until_ms) {
		row->since_ms = now_ms;
		row->failures = 0;
	}
	if (failed && ++row->failures >= CN_FAILURES_MAX)
		row->shut_until_ms = now_ms + CN_FAILURES_MS;
	shut = now_ms < row->shut_until_ms;
	uv_mutex_unlock(&a->lock);
	return shut;
}

bool cn_access__request(struct cn_access *a, struct cn_token *t, const struct cn_policy *p,
                        uint64_t now_ms, uint64_t *retwait)
{
	uint64_t per_minute =
	    t->requests_per_minute ? t->requests_per_minute : p->requests_per_minute;
	bool ok;

	uv_mutex_lock(&a->lock);
	if (now_ms >= t->window_since_ms + CN_WINDOW_MS) {
		t->window_since_ms = now_ms;
		t->requests_window = 0;
	}
	ok = !per_minute || t->requests_window < per_minute;
	if (ok)
		t->requests_window++;
	else
		*retwait = t->window_since_ms + CN_WINDOW_MS - now_ms;
	uv_mutex_unlock(&a->lock);
	return ok;
}

bool cn_access__turn_begin(struct cn_access *a, struct cn_token *t,
                           const struct cn_policy *p)
{
	uint64_t turns = t->turns ? t->turns : p->limits.turns_per_token;
	bool ok;

	uv_mutex_lock(&a->lock);
	ok = t->turns_now < turns;
	if (ok)
		t->turns_now++;
	uv_mutex_unlock(&a->lock);
	return ok;
}

void cn_access__turn_over(struct cn_access *a, struct cn_token *t)
{
	uv_mutex_lock(&a->lock);
	cn_assert(t->turns_now > 0);
	t->turns_now--;
	uv_mutex_unlock(&a->lock);
}

bool cn_access__connect(struct cn_access *a, struct cn_token *t, const struct cn_policy *p)
{
	bool ok;

	uv_mutex_lock(&a->lock);
	ok = t->connections_now < p->limits.connections_per_token;
	if (ok)
		t->connections_now++;
	uv_mutex_unlock(&a->lock);
	return ok;
}

void cn_access__disconnect(struct cn_access *a, struct cn_token *t)
{
	uv_mutex_lock(&a->lock);
	cn_assert(t->connections_now > 0);
	t->connections_now--;
	uv_mutex_unlock(&a->lock);
}

int cn_access__add(struct cn_access *a, const struct cn_token_record *r, char **rettext,
                   struct cn_error *reterr)
{
	CN_AUTO(cn_buf) text = {0};
	struct cn_token_record made = *r;
	unsigned char secret[32];
	bool taken = false;
	int err;

	uv_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n; i++)
		taken |= cn_view_is(r->name, a->tokens[i]->name);
	uv_mutex_unlock(&a->lock);
	if (taken)
		return cn_fail(reterr, CN_E_EXISTS, "there is a token named '%.*s' already",
		               CN_VIEW_ARG(r->name));
	cn_random(secret, sizeof(secret));
	cn_buf_add_str(&text, "ct_");
	cn_base64url(&text, secret, sizeof(secret));
	made.hash = token_hash(a->vault, cn_buf_view(&text));
	made.created_ms = cn_clock_wall_ms();
	if (a->store && (err = cn_store_token_put(a->store, &made, reterr)))
		return err;
	on_stored_token(a, &made);
	*rettext = cn_buf_detach(&text, NULL);
	return 0;
}

int cn_access__remove(struct cn_access *a, struct cn_view name, struct cn_error *reterr)
{
	struct cn_token *gone = NULL;

	uv_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n && !gone; i++) {
		if (!cn_view_is(name, a->tokens[i]->name))
			continue;
		gone = a->tokens[i];
		gone->revoked = true;
		a->tokens[i] = a->tokens[--a->n];
	}
	uv_mutex_unlock(&a->lock);
	if (!gone)
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no token named '%.*s'",
		               CN_VIEW_ARG(name));
	cn_token__unref(gone);
	return a->store ? cn_store_token_remove(a->store, name, reterr) : 0;
}

void cn_access__each(struct cn_access *a,
                     void (*each)(void *self, const struct cn_token *t), void *self)
{
	uv_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n; i++)
		each(self, a->tokens[i]);
	uv_mutex_unlock(&a->lock);
}
