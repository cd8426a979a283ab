/*
 * Opening: where a secret may come from, in which order (design/security.md 2, "Unlocking
 * without a person"), and what is checked before the vault is believed.
 *
 * All failures to unlock look alike to the caller; a debug line of the log says which check
 * failed.  Blocks on files, Argon2 and people; never on a worker.
 */
#include "vault_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "continuo/log.h"

int cn_vault__refuse(struct cn_error *reterr, const char *path, const char *why)
{
	cn_log(NULL, CN_LOG_DEBUG, "vault not unlocked", CN_STR(PATH, path),
	       CN_STR(REASON, why));
	return cn_fail(reterr, CN_E_LOCKED, "wrong passphrase or damaged vault");
}

/* ---- the sources ---- */

static int read_key_fd(int fd, struct cn_secret **ret, struct cn_error *reterr)
{
	struct cn_secret *s = cn_secret__new(CN_VAULT__KEY);
	size_t have = 0;
	while (have < CN_VAULT__KEY) {
		ssize_t n = read(fd, s->p + have, CN_VAULT__KEY - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (have < CN_VAULT__KEY) {
		cn_secret_free(s);
		return cn_fail(reterr, CN_E_INVALID,
		               "descriptor %d gave no key of %d bytes", fd, CN_VAULT__KEY);
	}
	cn_secret__filled(s);
	*ret = s;
	return 0;
}

static int read_source(enum cn_vault__slot_type type, int fd, struct cn_secret **ret,
                       struct cn_error *reterr)
{
	return type == CN_VAULT__RAW_KEY ? read_key_fd(fd, ret, reterr)
	                                 : cn_secret_read_fd(fd, ret, reterr);
}

static bool offer(const struct cn_vault__offers *to, enum cn_vault__slot_type type,
                  struct cn_secret *s /* taken */)
{
	bool taken = to->offer(to->self, type, s);
	cn_secret_free(s);
	return taken;
}

static int from_fd(const struct cn_vault__offers *to, enum cn_vault__slot_type type, int fd,
                   bool *rettaken, struct cn_error *reterr)
{
	struct cn_secret *s;
	if (fd < 0 || *rettaken)
		return 0;
	int bad = read_source(type, fd, &s, reterr);
	if (!bad)
		*rettaken = offer(to, type, s);
	return bad;
}

/* $CREDENTIALS_DIRECTORY is the service manager's own: it keeps owner and modes there. */
static int from_credential(const struct cn_vault__offers *to, enum cn_vault__slot_type type,
                           const char *name, bool *rettaken, struct cn_error *reterr)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char path[4096];
	if (!dir || !*dir || *rettaken)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return cn_fail(reterr, CN_E_INVALID,
		               "the path in CREDENTIALS_DIRECTORY is too long");
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return cn_fail(reterr, CN_E_IO, "cannot open %s: %s", path,
		               strerror(errno));
	int bad = from_fd(to, type, fd, rettaken, reterr);
	close(fd);
	if (bad && reterr)
		cn_error_prefix(reterr, "%s", path);
	return bad;
}

static int from_key_file(const struct cn_vault__offers *to, const char *path,
                         bool *rettaken, struct cn_error *reterr)
{
	struct cn_secret *s;
	if (!path || *rettaken)
		return 0;
	int bad = cn_vault__key_read(path, &s, reterr);
	if (bad == CN_E_NOT_FOUND)
		return 0;
	if (!bad)
		*rettaken = offer(to, CN_VAULT__RAW_KEY, s);
	return bad;
}

static int from_person(const struct cn_vault__offers *to, bool *rettaken,
                       struct cn_error *reterr)
{
	for (unsigned i = 0; i < to->prompts && !*rettaken; i++) {
		struct cn_secret *s;
		int bad = cn_secret_prompt(to->prompt, &s, reterr);
		if (bad)
			return bad;
		*rettaken = offer(to, CN_VAULT__PASSPHRASE, s);
	}
	return 0;
}

int cn_vault__each_secret(const struct cn_unlock *how, const struct cn_vault__offers *to,
                          struct cn_error *reterr)
{
	bool taken = false;
	int bad = from_fd(to, CN_VAULT__PASSPHRASE, how->passphrase_fd, &taken, reterr);
	if (!bad)
		bad = from_fd(to, CN_VAULT__RAW_KEY, how->key_fd, &taken, reterr);
	/* Who names a descriptor wants that secret and no other to be tried. */
	if (bad || how->passphrase_fd >= 0 || how->key_fd >= 0)
		return bad;
	bad = from_credential(to, CN_VAULT__RAW_KEY, "continuo.key", &taken, reterr);
	if (!bad)
		bad = from_credential(to, CN_VAULT__PASSPHRASE, "continuo.passphrase",
		                      &taken, reterr);
	if (!bad)
		bad = from_key_file(to, how->key_file, &taken, reterr);
	if (!bad && how->may_prompt)
		bad = from_person(to, &taken, reterr);
	return bad;
}

/* ---- opening ---- */

struct opening {
	struct cn_view file;
	const struct cn_vault__head *head;
	struct cn_vault *v;         /* gets root and wrapping key */
	struct cn_vault__ring ring; /* the records, once done */
	const char *why; /* the last check that failed; NULL: nothing was tried */
	bool done;
};

static bool on_secret(void *self, enum cn_vault__slot_type type,
                      const struct cn_secret *secret)
{
	struct opening *o = self;
	for (unsigned i = 0; i < o->head->n_slots && !o->done; i++) {
		struct cn_secret *kek, *root;
		if (cn_vault__slot_type(&o->head->slots[i]) != type) {
			o->why = o->why ? o->why : "no slot takes this kind of secret";
			continue;
		}
		o->why = cn_vault__slot_open(&o->head->slots[i], o->head->id, secret, &kek,
		                             &root);
		if (o->why)
			continue;
		o->why = cn_vault__image_open(o->file, o->head, root, &o->ring);
		if (o->why) {
			cn_secret_free(kek);
			cn_secret_free(root);
			continue;
		}
		o->v->keks[i] = kek;
		o->v->root = root;
		o->done = true;
	}
	return o->done;
}

static unsigned prompts_for(const struct cn_vault__head *head)
{
	for (unsigned i = 0; i < head->n_slots; i++)
		if (cn_vault__slot_type(&head->slots[i]) == CN_VAULT__PASSPHRASE)
			return 3;
	return 0;
}

static int check_generation(const struct cn_unlock *how, const struct cn_vault__head *head,
                            const char *path, struct cn_error *reterr)
{
	uint64_t known = 0;
	if (how->accept_older || !how->known_generation ||
	    !how->known_generation(how->self, head->id, &known) ||
	    head->generation >= known)
		return 0;
	return cn_fail(
	    reterr, CN_E_DENIED,
	    "%s is older (generation %llu) than the one used last (%llu): somebody "
	    "put back an old copy; --accept-older-vault opens it all the same",
	    path, (unsigned long long)head->generation, (unsigned long long)known);
}

static int unlock(struct opening *o, const struct cn_unlock *how, struct cn_error *reterr)
{
	struct cn_vault__offers to = {.offer = on_secret,
	                              .self = o,
	                              .prompt = "Passphrase of the vault: ",
	                              .prompts = prompts_for(o->head)};
	const char *path = o->v->place.path;
	int bad = cn_vault__each_secret(how, &to, reterr);
	if (bad)
		return bad;
	if (!o->done && !o->why)
		return cn_fail(reterr, CN_E_LOCKED,
		               "the vault is locked: there is no key file%s%s, and %s",
		               how->key_file ? " " : "", how->key_file ? how->key_file : "",
		               to.prompts ? "no passphrase was given" : "no other way in");
	if (!o->done)
		return cn_vault__refuse(reterr, path, o->why);
	return check_generation(how, o->head, path, reterr);
}

/* v has its place; what else it needs comes out of the file. */
static int load(struct cn_vault *v, const struct cn_unlock *how, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) bytes = {0};
	struct cn_view body;
	int bad = cn_vault__place_read(&v->place, &bytes, reterr);
	if (bad)
		return bad;
	const char *why = cn_vault__image_decode(cn_buf_view(&bytes), &v->head, &body);
	if (why)
		return cn_vault__refuse(reterr, v->place.path, why);
	struct opening o = {.file = cn_buf_view(&bytes), .head = &v->head, .v = v};
	bad = unlock(&o, how, reterr);
	if (!bad) {
		v->generation = v->head.generation;
		v->mlocked = v->root->locked;
		cn_vault__adopt(v, &o.ring);
		if (how->require_mlock && !v->mlocked)
			bad = cn_fail(
			    reterr, CN_E_LIMIT,
			    "the system does not let memory be locked (raise the limit "
			    "`ulimit -l`), and vault.require_mlock asks for it");
	}
	cn_vault__ring_done(&o.ring);
	return bad;
}

int cn_vault_open(const char *path, const struct cn_unlock *how, struct cn_vault **ret,
                  struct cn_error *reterr)
{
	struct cn_vault__place place;
	int bad = cn_vault__place_open(&place, path, reterr);
	if (bad)
		return bad;
	struct cn_vault *v = cn_vault__new(&place);
	bad = load(v, how, reterr);
	if (bad) {
		cn_vault_close(v);
		return bad;
	}
	*ret = v;
	return 0;
}
