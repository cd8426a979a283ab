/*
 * The vault's own life: another passphrase, another root key, a copy to take elsewhere and
 * back (design/security.md 2, "Rotation").
 *
 * Called by the command line alone, never over HTTP.  Blocks on Argon2, files and perhaps
 * people.  Deliberately asks no questions itself: confirm() is the caller's.
 */
#include "vault_impl.h"

#include <stdio.h>

/* ---- slots of a change ---- */

static void drop_slot(struct cn_vault__next *n, unsigned i)
{
	unsigned behind = --n->head.n_slots - i;
	memmove(&n->head.slots[i], &n->head.slots[i + 1],
	        behind * sizeof(n->head.slots[0]));
	memmove(&n->keks[i], &n->keks[i + 1], behind * sizeof(struct cn_secret *));
	n->keks[n->head.n_slots] = NULL;
}

static int add_passphrase(struct cn_vault *v, struct cn_vault__next *n,
                          const struct cn_secret *passphrase, struct cn_error *reterr)
{
	unsigned i = n->head.n_slots;
	if (i == CN_VAULT__SLOTS)
		return cn_fail(reterr, CN_E_LIMIT, "the vault has %d slots already",
		               CN_VAULT__SLOTS);
	int bad = cn_vault__slot_make(&n->head.slots[i], CN_VAULT__PASSPHRASE, passphrase,
	                              v->cost, &n->keks[i], reterr);
	if (bad)
		return bad;
	cn_vault__slot_wrap(&n->head.slots[i], n->head.id, n->keks[i], v->root);
	n->head.n_slots++;
	return 0;
}

int cn_vault_passwd(struct cn_vault *v, const struct cn_secret *passphrase,
                    struct cn_error *reterr)
{
	struct cn_vault__next next;
	int bad = 0;
	cn_vault__begin(v, &next);
	unsigned had = next.head.n_slots;
	for (unsigned i = had; i-- > 0;)
		if (cn_vault__slot_type(&next.head.slots[i]) == CN_VAULT__PASSPHRASE)
			drop_slot(&next, i);
	if (passphrase)
		bad = add_passphrase(v, &next, passphrase, reterr);
	else if (next.head.n_slots == had)
		bad = cn_fail(reterr, CN_E_NOT_FOUND, "the vault has no passphrase");
	else if (next.head.n_slots == 0)
		bad = cn_fail(reterr, CN_E_DENIED,
		              "the passphrase is the only way into this vault");
	if (!bad)
		bad = cn_vault__save(v, &next, reterr);
	cn_vault__end(v, &next);
	return bad;
}

bool cn_vault_passphrase_is_weak(struct cn_vault *v)
{
	bool weak = false;
	int failed = pthread_mutex_lock(&v->change);
	cn_assert(!failed);
	for (unsigned i = 0; i < v->head.n_slots; i++) {
		struct cn_vault__cost c = cn_vault__slot_cost(&v->head.slots[i]);
		if (cn_vault__slot_type(&v->head.slots[i]) == CN_VAULT__PASSPHRASE)
			weak |= c.ops < cn_vault__cost_default.ops ||
			        c.mem < cn_vault__cost_default.mem;
	}
	failed = pthread_mutex_unlock(&v->change);
	cn_assert(!failed);
	return weak;
}

/* ---- rotate ---- */

static bool complete(const struct cn_vault__next *n)
{
	for (unsigned i = 0; i < n->head.n_slots; i++)
		if (!n->keks[i])
			return false;
	return true;
}

static bool on_secret(void *self, enum cn_vault__slot_type type,
                      const struct cn_secret *secret)
{
	struct cn_vault__next *n = self;
	for (unsigned i = 0; i < n->head.n_slots; i++) {
		const struct cn_vault__slot *s = &n->head.slots[i];
		struct cn_secret *root;
		if (n->keks[i] || cn_vault__slot_type(s) != type)
			continue;
		if (!cn_vault__slot_open(s, n->head.id, secret, &n->keks[i], &root))
			cn_secret_free(root); /* the old one, which we have */
	}
	return complete(n);
}

static void gather(struct cn_vault__next *n, const struct cn_unlock *at_hand)
{
	struct cn_vault__offers to = {.offer = on_secret,
	                              .self = n,
	                              .prompt = "Passphrase of the vault (to keep it): "};
	struct cn_error ignored;
	for (unsigned i = 0; i < n->head.n_slots; i++)
		if (!n->keks[i] &&
		    cn_vault__slot_type(&n->head.slots[i]) == CN_VAULT__PASSPHRASE)
			to.prompts = 1;
	if (!at_hand || complete(n))
		return;
	/* A source that cannot be read is not at hand; confirm() will name its slot. */
	int bad = cn_vault__each_secret(at_hand, &to, &ignored);
	(void)bad;
}

static int drop_others(struct cn_vault__next *n,
                       bool (*confirm)(void *self, const char *labels), void *self,
                       struct cn_error *reterr)
{
	CN_AUTO(cn_buf) labels = {0};
	if (complete(n))
		return 0;
	for (unsigned i = 0; i < n->head.n_slots; i++) {
		char label[25];
		if (n->keks[i])
			continue;
		cn_vault__slot_label(&n->head.slots[i], label);
		cn_buf_printf(&labels, "%s%s", labels.n ? ", " : "", label);
	}
	if (!confirm || !confirm(self, cn_buf_cstr(&labels)))
		return cn_fail(reterr, CN_E_DENIED,
		               "not rotated: these would no longer open the vault: %s",
		               cn_buf_cstr(&labels));
	for (unsigned i = n->head.n_slots; i-- > 0;)
		if (!n->keks[i])
			drop_slot(n, i);
	return 0;
}

int cn_vault_rotate(struct cn_vault *v, const struct cn_unlock *at_hand,
                    bool (*confirm)(void *self, const char *labels), void *self,
                    struct cn_error *reterr)
{
	struct cn_vault__next next;
	cn_vault__begin(v, &next);
	gather(&next, at_hand);
	int bad = drop_others(&next, confirm, self, reterr);
	if (!bad) {
		next.root = cn_secret__random(CN_VAULT__KEY);
		for (unsigned i = 0; i < next.head.n_slots; i++)
			cn_vault__slot_wrap(&next.head.slots[i], next.head.id, next.keks[i],
			                    next.root);
		cn_vault__ring_new_epoch(&next.ring);
		bad = cn_vault__save(v, &next, reterr);
	}
	if (!bad) {
		/* Its root key is the one that was to be made worthless. */
		bad = cn_vault__place_forget(&v->place, reterr);
		if (bad && reterr)
			cn_error_prefix(reterr,
			                "rotated, but the old version is still there");
	}
	cn_vault__end(v, &next);
	return bad;
}

/* ---- export and import ---- */

/* Provider keys, and record keys of its own: the copy opens nobody's history. */
static struct cn_vault__ring ring_to_export(struct cn_vault *v)
{
	struct cn_vault__ring ring = {0};
	int failed = pthread_mutex_lock(&v->lock);
	cn_assert(!failed);
	for (size_t i = 0; i < v->ring.n; i++)
		if (v->ring.v[i]->kind == CN_VAULT__PROVIDER) {
			v->ring.v[i]->refs++;
			cn_vault__ring_put(&ring, v->ring.v[i]);
		}
	failed = pthread_mutex_unlock(&v->lock);
	cn_assert(!failed);
	cn_vault__ring_begin(&ring);
	return ring;
}

static void export_seal(struct cn_vault *v, struct cn_vault__head *head,
                        const struct cn_secret *kek, struct cn_buf *ret)
{
	struct cn_vault__ring ring = ring_to_export(v);
	struct cn_secret *root = cn_secret__random(CN_VAULT__KEY);
	cn_vault__slot_wrap(&head->slots[0], head->id, kek, root);
	int failed = pthread_mutex_lock(&v->lock); /* for the readers of the secrets */
	cn_assert(!failed);
	cn_vault__image_seal(head, root, &ring, ret);
	cn_vault__ring_done(&ring);
	failed = pthread_mutex_unlock(&v->lock);
	cn_assert(!failed);
	cn_secret_free(root);
}

int cn_vault_export(struct cn_vault *v, const char *to, const struct cn_secret *passphrase,
                    struct cn_error *reterr)
{
	CN_AUTO(cn_buf) bytes = {0};
	struct cn_vault__head head = {.generation = 1, .n_slots = 1};
	struct cn_secret *kek;
	cn_random(head.id, sizeof(head.id));
	int bad = cn_vault__slot_make(&head.slots[0], CN_VAULT__PASSPHRASE, passphrase,
	                              v->cost, &kek, reterr);
	if (bad)
		return bad;
	export_seal(v, &head, kek, &bytes);
	cn_secret_free(kek);
	return cn_vault__write_file(to, cn_buf_view(&bytes), reterr);
}

static const char *open_foreign(struct cn_view file, const struct cn_secret *passphrase,
                                struct cn_vault__ring *ret)
{
	struct cn_vault__head head;
	struct cn_view body;
	const char *why = cn_vault__image_decode(file, &head, &body);
	if (why)
		return why;
	why = "no slot takes a passphrase";
	for (unsigned i = 0; i < head.n_slots; i++) {
		struct cn_secret *kek, *root;
		if (cn_vault__slot_type(&head.slots[i]) != CN_VAULT__PASSPHRASE)
			continue;
		why = cn_vault__slot_open(&head.slots[i], head.id, passphrase, &kek, &root);
		if (why)
			continue;
		why = cn_vault__image_open(file, &head, root, ret);
		cn_secret_free(kek);
		cn_secret_free(root);
		if (!why)
			return NULL;
	}
	return why;
}

static int merge(struct cn_vault *v, const struct cn_vault__ring *from, bool replace,
                 size_t *retcount, struct cn_error *reterr)
{
	struct cn_vault__next next;
	size_t count = 0;
	int bad = 0;
	cn_vault__begin(v, &next);
	int failed = pthread_mutex_lock(&v->lock);
	cn_assert(!failed);
	for (size_t i = 0; i < from->n; i++) {
		struct cn_vault__record *r = from->v[i];
		if (r->kind != CN_VAULT__PROVIDER ||
		    (!replace && cn_vault__ring_find(&next.ring, r->kind, r->name)))
			continue;
		r->refs++;
		r->fingerprint[0] = '\0'; /* of this vault's key, not of the other's */
		cn_vault__ring_put(&next.ring, r);
		count++;
	}
	failed = pthread_mutex_unlock(&v->lock);
	cn_assert(!failed);
	if (next.ring.n > CN_VAULT__RECORDS_MAX)
		bad = cn_fail(reterr, CN_E_LIMIT, "a vault holds at most %d records",
		              CN_VAULT__RECORDS_MAX);
	else if (count > 0)
		bad = cn_vault__save(v, &next, reterr);
	cn_vault__end(v, &next);
	if (!bad)
		*retcount = count;
	return bad;
}

int cn_vault_import(struct cn_vault *v, const char *from,
                    const struct cn_secret *passphrase, bool replace, size_t *retcount,
                    struct cn_error *reterr)
{
	CN_AUTO(cn_buf) bytes = {0};
	struct cn_vault__ring ring = {0};
	int bad = cn_vault__read_file(from, CN_VAULT__FILE_MAX, &bytes, reterr);
	if (bad)
		return bad;
	const char *why = open_foreign(cn_buf_view(&bytes), passphrase, &ring);
	if (why)
		return cn_vault__refuse(reterr, from, why);
	bad = merge(v, &ring, replace, retcount, reterr);
	int failed = pthread_mutex_lock(&v->lock); /* the records may be shared now */
	cn_assert(!failed);
	cn_vault__ring_done(&ring);
	failed = pthread_mutex_unlock(&v->lock);
	cn_assert(!failed);
	return bad;
}

/* ---- a passphrase to offer ---- */

void cn_vault_suggest(char ret[48])
{
	uint16_t groups[8]; /* 128 bits */
	cn_random(groups, sizeof(groups));
	for (unsigned i = 0; i < 8; i++)
		(void)snprintf(ret + (size_t)5 * i, 6, "%04x%s", (unsigned)groups[i],
		               i < 7 ? "-" : ""); /* fits */
	cn_wipe(groups, sizeof(groups));
}
