/*
 * The file read anew while the vault is in use: another process, `continuo vault set` for
 * one, has saved it since.
 *
 * What was opened stays in force until the new file has passed every check, and then all of
 * it changes at once.  The vault's own record keys stay the very objects they are, because
 * seal.c lends their bytes without a lock: a file that has others under their names is not
 * this vault any more.  Blocks on files and perhaps Argon2; never on a worker.
 */
#include "vault_impl.h"

struct reading {
	struct cn_vault *v;
	struct cn_view file;
	struct cn_vault__next *next;
	struct cn_vault__ring ring; /* owned: the records of the file, once done */
	const char *why;            /* the last check that failed */
	bool done;
};

static void lock(struct cn_vault *v)
{
	int failed = pthread_mutex_lock(&v->lock);
	cn_assert(!failed);
}

static void unlock(struct cn_vault *v)
{
	int failed = pthread_mutex_unlock(&v->lock);
	cn_assert(!failed);
}

/* ---- the root key ---- */

static void try_root(struct reading *r, const struct cn_secret *root)
{
	r->why = cn_vault__image_open(r->file, &r->next->head, root, &r->ring);
	r->done = !r->why;
}

/* A root key that is not the vault's; taken when the file opens with it. */
static void try_new_root(struct reading *r, struct cn_secret *root /* taken */)
{
	try_root(r, root);
	if (r->done)
		r->next->root = root;
	else
		cn_secret_free(root);
}

/*
 * After a rotation the slots wrap another root key under the wrapping keys that they had; a
 * key that fits a slot is that slot's from now on.
 */
static void try_keks(struct reading *r)
{
	struct cn_vault__head *head = &r->next->head;
	for (unsigned i = 0; i < head->n_slots; i++)
		for (unsigned j = 0; j < CN_VAULT__SLOTS && !r->next->keks[i]; j++) {
			struct cn_secret *root;
			if (!r->v->keks[j] ||
			    cn_vault__slot_unwrap(&head->slots[i], head->id, r->v->keks[j],
			                          &root))
				continue;
			r->next->keks[i] = r->v->keks[j];
			if (r->done)
				cn_secret_free(root);
			else
				try_new_root(r, root);
		}
}

static bool on_secret(void *self, enum cn_vault__slot_type type,
                      const struct cn_secret *secret)
{
	struct reading *r = self;
	struct cn_vault__head *head = &r->next->head;
	for (unsigned i = 0; i < head->n_slots && !r->done; i++) {
		struct cn_secret *root;
		if (r->next->keks[i] || cn_vault__slot_type(&head->slots[i]) != type ||
		    cn_vault__slot_open(&head->slots[i], head->id, secret,
		                        &r->next->keks[i], &root))
			continue;
		try_new_root(r, root);
	}
	return r->done;
}

static int open_file(struct reading *r, const struct cn_unlock *how,
                     struct cn_error *reterr)
{
	struct cn_vault__offers to = {.offer = on_secret, .self = r};
	/* Descriptors were read at the start, and nobody is there to be asked. */
	struct cn_unlock quiet = *how;
	quiet.passphrase_fd = quiet.key_fd = -1;
	quiet.may_prompt = false;
	try_root(r, r->v->root);
	try_keks(r);
	if (!r->done) {
		int bad = cn_vault__each_secret(&quiet, &to, reterr);
		if (bad)
			return bad;
	}
	return r->done ? 0 : cn_vault__refuse(reterr, r->v->place.path, r->why);
}

/* ---- the records ---- */

static bool same_record(const struct cn_vault__record *a, const struct cn_vault__record *b)
{
	bool same = a->created_ms == b->created_ms && a->not_after_ms == b->not_after_ms &&
	            a->n_origins == b->n_origins && cn_secret_eq(a->secret, b->secret);
	for (size_t i = 0; same && i < a->n_origins; i++)
		same = strcmp(a->origins[i], b->origins[i]) == 0;
	return same;
}

/* The lock is held.  What the file's record means for the ring in the making. */
static bool take_record(struct cn_vault__ring *ring, struct cn_vault__record *r)
{
	struct cn_vault__record *ours = cn_vault__ring_find(ring, r->kind, r->name);
	if (ours && same_record(ours, r))
		return true;
	if (r->kind != CN_VAULT__PROVIDER && (ours || r->kind != CN_VAULT__HISTORY))
		return false;
	r->refs++;
	cn_vault__ring_put(ring, r);
	return true;
}

/* The lock is held.  Provider keys that the file has no more. */
static void drop_removed(struct cn_vault__ring *ring, const struct cn_vault__ring *file)
{
	size_t kept = 0;
	for (size_t i = 0; i < ring->n; i++) {
		struct cn_vault__record *r = ring->v[i];
		if (r->kind == CN_VAULT__PROVIDER &&
		    !cn_vault__ring_find(file, r->kind, r->name))
			cn_vault__record_unref(r);
		else
			ring->v[kept++] = r;
	}
	ring->n = kept;
}

static int take_records(struct reading *r, const struct cn_unlock *how,
                        struct cn_error *reterr)
{
	bool ours = true, locked = true;
	lock(r->v);
	for (size_t i = 0; i < r->ring.n && ours; i++) {
		ours = take_record(&r->next->ring, r->ring.v[i]);
		locked &= r->ring.v[i]->secret->locked;
	}
	drop_removed(&r->next->ring, &r->ring);
	unlock(r->v);
	if (!ours)
		return cn_fail(
		    reterr, CN_E_DENIED,
		    "%s has other keys of its own than the vault that was opened",
		    r->v->place.path);
	if (!locked && how->require_mlock)
		return cn_fail(reterr, CN_E_LIMIT,
		               "memory cannot be locked for the keys of %s, and "
		               "vault.require_mlock asks for it",
		               r->v->place.path);
	return 0;
}

/* ---- the whole ---- */

static int check_head(const struct cn_vault *v, const struct cn_vault__head *head,
                      struct cn_error *reterr)
{
	if (memcmp(head->id, v->head.id, CN_VAULT__ID) != 0)
		return cn_fail(reterr, CN_E_DENIED,
		               "%s is another vault than the one that was opened",
		               v->place.path);
	if (head->generation < v->head.generation)
		return cn_fail(
		    reterr, CN_E_DENIED,
		    "%s is older (generation %llu) than the one in use (%llu): somebody "
		    "put back an old copy",
		    v->place.path, (unsigned long long)head->generation,
		    (unsigned long long)v->head.generation);
	return 0;
}

static int read_next(struct cn_vault *v, const struct cn_unlock *how,
                     struct cn_vault__next *next, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) bytes = {0};
	struct cn_view body;
	int bad = cn_vault__place_read(&v->place, &bytes, reterr);
	if (bad)
		return bad;
	const char *why = cn_vault__image_decode(cn_buf_view(&bytes), &next->head, &body);
	if (why)
		return cn_vault__refuse(reterr, v->place.path, why);
	bad = check_head(v, &next->head, reterr);
	if (bad || next->head.generation == v->head.generation)
		return bad;
	struct reading r = {.v = v, .file = cn_buf_view(&bytes), .next = next};
	memset(next->keks, 0, sizeof(next->keks));
	bad = open_file(&r, how, reterr);
	if (!bad)
		bad = take_records(&r, how, reterr);
	lock(v);
	cn_vault__ring_done(&r.ring);
	unlock(v);
	return bad;
}

int cn_vault_reload(struct cn_vault *v, const struct cn_unlock *how, bool *retchanged,
                    struct cn_error *reterr)
{
	struct cn_vault__next next;
	cn_vault__begin(v, &next);
	int bad = read_next(v, how, &next, reterr);
	if (!bad) {
		*retchanged = next.head.generation != v->head.generation;
		if (*retchanged)
			cn_vault__exchange(v, &next);
	}
	cn_vault__end(v, &next);
	return bad;
}
