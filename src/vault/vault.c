/*
 * The vault as an object: made, saved, closed.
 *
 * Owns the two locks.  `change` is held from the beginning of a change to its end, file
 * included; `lock` only to look at or exchange the ring, so no borrower ever waits for a
 * disk.  Saving works on a copy (struct cn_vault__next) and exchanges it with the vault's
 * own when it is on disk: a change that fails has not happened.  Blocks; never on a worker.
 */
#include "vault_impl.h"

static void lock(pthread_mutex_t *m)
{
	int failed = pthread_mutex_lock(m);
	cn_assert(!failed);
}

static void unlock(pthread_mutex_t *m)
{
	int failed = pthread_mutex_unlock(m);
	cn_assert(!failed);
}

/* ---- making ---- */

static int add_slot(struct cn_vault__head *head, enum cn_vault__slot_type type,
                    const struct cn_secret *secret, const struct cn_vault__plan *plan,
                    const struct cn_secret *root, struct cn_error *reterr)
{
	struct cn_secret *kek;
	struct cn_vault__slot *s = &head->slots[head->n_slots];
	int bad = cn_vault__slot_make(s, type, secret, plan->cost, &kek, reterr);
	if (bad)
		return bad;
	cn_vault__slot_wrap(s, head->id, kek, root);
	cn_secret_free(kek);
	head->n_slots++;
	return 0;
}

static int add_slots(struct cn_vault__head *head, const struct cn_vault__plan *plan,
                     const struct cn_secret *root, struct cn_error *reterr)
{
	int bad = 0;
	if (plan->passphrase)
		bad = add_slot(head, CN_VAULT__PASSPHRASE, plan->passphrase, plan, root,
		               reterr);
	if (!bad && plan->key_file) {
		struct cn_secret *key = NULL;
		bad = cn_vault__key_make(plan->key_file, &key, reterr);
		if (!bad)
			bad = add_slot(head, CN_VAULT__RAW_KEY, key, plan, root, reterr);
		cn_secret_free(key);
	}
	return bad;
}

/* The lock file is held. */
static int create_at(const struct cn_vault__place *place, const struct cn_vault__plan *plan,
                     struct cn_error *reterr)
{
	CN_AUTO(cn_buf) bytes = {0};
	int bad = cn_vault__place_read(place, &bytes, reterr);
	if (!bad)
		return cn_fail(reterr, CN_E_EXISTS, "there is a vault already: %s",
		               place->path);
	if (bad != CN_E_NOT_FOUND)
		return bad;
	struct cn_vault__head head = {.generation = 1};
	struct cn_vault__ring ring = {0};
	struct cn_secret *root = cn_secret__random(CN_VAULT__KEY);
	cn_random(head.id, sizeof(head.id));
	cn_vault__ring_begin(&ring);
	bad = add_slots(&head, plan, root, reterr);
	if (!bad) {
		cn_vault__image_seal(&head, root, &ring, &bytes);
		bad = cn_vault__place_write(place, cn_buf_view(&bytes), CN_VAULT__STEPS,
		                            reterr);
	}
	cn_vault__ring_done(&ring);
	cn_secret_free(root);
	return bad;
}

int cn_vault__create(const struct cn_vault__plan *plan, struct cn_error *reterr)
{
	struct cn_vault__place place;
	int lock_fd = -1;
	if (!plan->key_file && !plan->passphrase)
		return cn_fail(reterr, CN_E_INVALID,
		               "a vault needs a key file or a passphrase that opens it");
	int bad = cn_vault__place_open(&place, plan->path, reterr);
	if (bad)
		return bad;
	bad = cn_vault__place_lock(&place, &lock_fd, reterr);
	if (!bad) {
		bad = create_at(&place, plan, reterr);
		cn_vault__place_unlock(lock_fd);
	}
	cn_vault__place_done(&place);
	return bad;
}

int cn_vault_create(const char *path, const char *key_file,
                    const struct cn_secret *passphrase, struct cn_error *reterr)
{
	struct cn_vault__plan plan = {path, key_file, passphrase, cn_vault__cost_default};
	return cn_vault__create(&plan, reterr);
}

/* ---- the object ---- */

struct cn_vault *cn_vault__new(struct cn_vault__place *place)
{
	struct cn_vault *v = cn_zalloc(sizeof(*v));
	int failed = pthread_mutex_init(&v->change, NULL);
	cn_assert(!failed);
	failed = pthread_mutex_init(&v->lock, NULL);
	cn_assert(!failed);
	v->place = *place;
	*place = (struct cn_vault__place){.dir = -1};
	v->book = cn_vault__book_new();
	v->cost = cn_vault__cost_default;
	v->mlocked = true;
	return v;
}

struct cn_vault *cn_vault_close(struct cn_vault *v)
{
	if (!v)
		return NULL;
	cn_vault__book_free(v->book);
	cn_vault__ring_done(&v->ring);
	cn_secret_free(v->root);
	for (unsigned i = 0; i < CN_VAULT__SLOTS; i++)
		cn_secret_free(v->keks[i]);
	cn_vault__place_done(&v->place);
	pthread_mutex_destroy(&v->lock);
	pthread_mutex_destroy(&v->change);
	free(v);
	return NULL;
}

bool cn_vault_mlocked(const struct cn_vault *v)
{
	return v->mlocked;
}

void cn_vault_id(const struct cn_vault *v, unsigned char ret[16])
{
	memcpy(ret, v->head.id, CN_VAULT__ID);
}

uint64_t cn_vault_generation(const struct cn_vault *v)
{
	return v->generation;
}

static void adopt_record(struct cn_vault *v, struct cn_vault__record *r)
{
	if (!r->secret->locked)
		v->mlocked = false;
	if (r->kind != CN_VAULT__PROVIDER) {
		if (*r->secret->readers == 0)
			(void)cn_secret__read(r->secret); /* for good */
		return;
	}
	if (!r->fingerprint[0]) {
		const char *p = (const char *)cn_secret__read(r->secret);
		cn_vault_fingerprint(v, cn_view(p, r->secret->n), r->fingerprint);
		cn_secret__rest(r->secret);
	}
}

void cn_vault__adopt(struct cn_vault *v, struct cn_vault__ring *ring)
{
	lock(&v->lock);
	/* Once: they never change, and others read them without the lock. */
	for (size_t i = 0; i < ring->n && !v->ring.n; i++) {
		const struct cn_vault__record *r = ring->v[i];
		if (r->kind == CN_VAULT__HASH)
			v->hash_key = r->secret->p;
		else if (r->kind == CN_VAULT__TOKEN)
			v->token_key = r->secret->p;
		else if (r->kind == CN_VAULT__FINGER)
			v->finger_key = r->secret->p;
	}
	/* The record keys first: fingerprints are made with one of them. */
	for (size_t i = 0; i < ring->n; i++)
		if (ring->v[i]->kind != CN_VAULT__PROVIDER)
			adopt_record(v, ring->v[i]);
	for (size_t i = 0; i < ring->n; i++)
		if (ring->v[i]->kind == CN_VAULT__PROVIDER)
			adopt_record(v, ring->v[i]);
	struct cn_vault__ring old = v->ring;
	v->ring = *ring;
	*ring = old;
	cn_vault__book_load(v->book, &v->ring, ring);
	unlock(&v->lock);
}

/* ---- changing ---- */

void cn_vault__begin(struct cn_vault *v, struct cn_vault__next *next)
{
	lock(&v->change);
	*next = (struct cn_vault__next){.head = v->head};
	memcpy(next->keks, v->keks, sizeof(next->keks));
	lock(&v->lock);
	next->ring = cn_vault__ring_copy(&v->ring);
	unlock(&v->lock);
}

static bool has_kek(const struct cn_vault *v, const struct cn_secret *kek)
{
	for (unsigned i = 0; i < CN_VAULT__SLOTS; i++)
		if (v->keks[i] == kek)
			return true;
	return false;
}

void cn_vault__end(struct cn_vault *v, struct cn_vault__next *next)
{
	for (unsigned i = 0; i < CN_VAULT__SLOTS; i++)
		if (!has_kek(v, next->keks[i]))
			cn_secret_free(next->keks[i]);
	cn_secret_free(next->root);
	lock(&v->lock);
	cn_vault__ring_done(&next->ring);
	unlock(&v->lock);
	unlock(&v->change);
}

/* Another process may have saved since we loaded. */
static int check_unchanged(const struct cn_vault *v, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) bytes = {0};
	struct cn_vault__head now;
	struct cn_view body;
	int bad = cn_vault__place_read(&v->place, &bytes, reterr);
	if (bad)
		return bad;
	if (cn_vault__image_decode(cn_buf_view(&bytes), &now, &body) ||
	    memcmp(now.id, v->head.id, CN_VAULT__ID) != 0 ||
	    now.generation != v->head.generation)
		return cn_fail(reterr, CN_E_BUSY,
		               "%s was changed by another process meanwhile; nothing was "
		               "saved, try again",
		               v->place.path);
	return 0;
}

static int replace_file(struct cn_vault *v, struct cn_view bytes, struct cn_error *reterr)
{
	int lock_fd = -1, bad = cn_vault__place_lock(&v->place, &lock_fd, reterr);
	if (bad)
		return bad;
	bad = check_unchanged(v, reterr);
	if (!bad)
		bad = cn_vault__place_write(&v->place, bytes, CN_VAULT__STEPS, reterr);
	cn_vault__place_unlock(lock_fd);
	return bad;
}

void cn_vault__exchange(struct cn_vault *v, struct cn_vault__next *next)
{
	v->head = next->head;
	v->generation = v->head.generation;
	for (unsigned i = 0; i < CN_VAULT__SLOTS; i++) {
		struct cn_secret *kek = v->keks[i];
		v->keks[i] = next->keks[i];
		next->keks[i] = kek;
	}
	if (next->root) {
		struct cn_secret *root = v->root;
		v->root = next->root;
		next->root = root;
	}
	cn_vault__adopt(v, &next->ring);
}

int cn_vault__save(struct cn_vault *v, struct cn_vault__next *next, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) bytes = {0};
	next->head.generation++;
	lock(&v->lock); /* for the readers of the secrets */
	cn_vault__image_seal(&next->head, next->root ? next->root : v->root, &next->ring,
	                     &bytes);
	unlock(&v->lock);
	if (bytes.n >= CN_VAULT__FILE_MAX)
		return cn_fail(reterr, CN_E_LIMIT, "the vault would be larger than 1 MiB");
	int bad = replace_file(v, cn_buf_view(&bytes), reterr);
	if (!bad)
		cn_vault__exchange(v, next);
	return bad;
}
