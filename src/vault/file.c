/*
 * The vault's file and the key file on disk: who may own them and with which modes, and how
 * the file is replaced so that a crash at any instruction leaves the old or the new one
 * (design/security.md 2, "Saving" and "Opening").
 *
 * Everything of the vault happens relative to one directory descriptor, so that nobody can
 * exchange the directory between two steps.  Blocks; never on a worker.  Deliberately knows
 * nothing of what is in the file.
 */
#include "vault_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* "vault" → "vault.tmp"; the name is checked to fit when the place is opened. */
struct name {
	char s[256];
};

static struct name beside(const struct cn_vault__place *p, const char *suffix)
{
	struct name n;
	(void)snprintf(n.s, sizeof(n.s), "%s%s", p->name, suffix); /* fits */
	return n;
}

static int failed(struct cn_error *reterr, const char *what, const char *path)
{
	return cn_fail(reterr, CN_E_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

/* allowed: the bits it may have. */
static int check_owner_and_mode(const struct stat *st, const char *path, mode_t allowed,
                                struct cn_error *reterr)
{
	if (st->st_uid != geteuid())
		return cn_fail(reterr, CN_E_DENIED,
		               "%s belongs to another user (%u): chown %u %s", path,
		               (unsigned)st->st_uid, (unsigned)geteuid(), path);
	if (st->st_mode & 0777 & ~allowed)
		return cn_fail(reterr, CN_E_DENIED, "%s has mode %04o: chmod %04o %s", path,
		               (unsigned)st->st_mode & 0777, (unsigned)allowed, path);
	return 0;
}

/* ---- the directory ---- */

static int open_dir(const char *dir, int *ret, struct cn_error *reterr)
{
	struct stat st = {0};
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no directory %s", dir);
	if (fd < 0 && lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
		return cn_fail(reterr, CN_E_DENIED, "%s is a symbolic link", dir);
	if (fd < 0)
		return failed(reterr, "open the directory", dir);
	*ret = fd;
	return 0;
}

/* Everything before the last slash, or "."; free() it. */
static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return cn_strdup(".");
	return cn_view_dup(cn_view(path, slash == path ? 1 : (size_t)(slash - path)));
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

int cn_vault__place_open(struct cn_vault__place *p, const char *path,
                         struct cn_error *reterr)
{
	CN_AUTOFREE char *dir = dir_of(path);
	struct stat st = {0};
	*p = (struct cn_vault__place){.dir = -1};
	if (!*name_of(path) || strlen(name_of(path)) > 240)
		return cn_fail(reterr, CN_E_INVALID, "%s is no name for a file", path);
	int bad = open_dir(dir, &p->dir, reterr);
	if (bad)
		return bad;
	if (fstat(p->dir, &st) != 0)
		bad = failed(reterr, "look at", dir);
	else
		bad = check_owner_and_mode(&st, dir, 0700, reterr);
	if (bad) {
		cn_vault__place_done(p);
		return bad;
	}
	p->path = cn_strdup(path);
	p->name = p->path + (name_of(path) - path);
	return 0;
}

void cn_vault__place_done(struct cn_vault__place *p)
{
	if (p->dir >= 0)
		close(p->dir);
	free(p->path);
	*p = (struct cn_vault__place){.dir = -1};
}

/* ---- reading ---- */

/* O_NONBLOCK: a FIFO in the place of a file must not hold us. */
static int open_file(int dir, const char *name, const char *path, int *ret,
                     struct stat *retst, struct cn_error *reterr)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no file %s", path);
	if (fd < 0 && errno == ELOOP)
		return cn_fail(reterr, CN_E_DENIED, "%s is a symbolic link", path);
	if (fd < 0)
		return failed(reterr, "open", path);
	int bad = 0;
	if (fstat(fd, retst) != 0)
		bad = failed(reterr, "look at", path);
	else if (!S_ISREG(retst->st_mode))
		bad = cn_fail(reterr, CN_E_DENIED, "%s is not a regular file", path);
	if (bad) {
		close(fd);
		return bad;
	}
	*ret = fd;
	return 0;
}

/* At most max + 1 bytes, so that the caller sees when it was more. */
static int read_all(int fd, size_t max, const char *path, struct cn_buf *ret,
                    struct cn_error *reterr)
{
	while (ret->n <= max) {
		ssize_t n = read(fd, cn_buf_reserve(ret, 4096), 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(reterr, "read", path);
		if (n == 0)
			return 0;
		ret->n += (size_t)n;
	}
	return 0;
}

int cn_vault__place_read(const struct cn_vault__place *p, struct cn_buf *ret,
                         struct cn_error *reterr)
{
	struct stat st = {0};
	int fd = -1, bad = open_file(p->dir, p->name, p->path, &fd, &st, reterr);
	if (bad)
		return bad;
	bad = check_owner_and_mode(&st, p->path, 0600, reterr);
	if (!bad)
		bad = read_all(fd, CN_VAULT__FILE_MAX, p->path, ret, reterr);
	close(fd);
	return bad;
}

int cn_vault__read_file(const char *path, size_t max, struct cn_buf *ret,
                        struct cn_error *reterr)
{
	struct stat st = {0};
	int fd = -1, bad = open_file(AT_FDCWD, path, path, &fd, &st, reterr);
	if (bad)
		return bad;
	bad = read_all(fd, max, path, ret, reterr);
	close(fd);
	return bad;
}

/* ---- writing ---- */

static int write_all(int fd, struct cn_view bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes = cn_view_from(bytes, (size_t)n);
	}
	return 0;
}

/* A new file with that mode and those bytes, in the page cache only. */
static int write_new(int dir, const char *name, mode_t mode, struct cn_view bytes)
{
	int fd =
	    openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -1;
	int bad = write_all(fd, bytes);
	int error = errno;
	if (close(fd) != 0 && !bad) {
		bad = -1;
		error = errno;
	}
	errno = error;
	return bad;
}

static int sync_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int bad = fsync(fd), error = errno;
	close(fd);
	errno = error;
	return bad;
}

int cn_vault__place_lock(const struct cn_vault__place *p, int *ret, struct cn_error *reterr)
{
	struct name lock = beside(p, ".lock");
	int fd = openat(p->dir, lock.s, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int bad = fd < 0 ? -1 : 0;
	while (!bad && flock(fd, LOCK_EX) != 0)
		if (errno != EINTR)
			bad = -1;
	if (bad) {
		bad = failed(reterr, "lock", p->path);
		if (fd >= 0)
			close(fd);
		return bad;
	}
	*ret = fd;
	return 0;
}

void cn_vault__place_unlock(int lock_fd)
{
	close(lock_fd);
}

static int step_write(const struct cn_vault__place *p, struct cn_view bytes)
{
	struct name tmp = beside(p, ".tmp");
	/* What a crash left; the lock is ours, so nobody is writing it. */
	if (unlinkat(p->dir, tmp.s, 0) != 0 && errno != ENOENT)
		return -1;
	return write_new(p->dir, tmp.s, 0600, bytes);
}

static int step_sync(const struct cn_vault__place *p, struct cn_view bytes)
{
	struct name tmp = beside(p, ".tmp");
	(void)bytes;
	return sync_file(p->dir, tmp.s);
}

static int step_drop_prev(const struct cn_vault__place *p, struct cn_view bytes)
{
	struct name prev = beside(p, ".prev");
	(void)bytes;
	return unlinkat(p->dir, prev.s, 0) == 0 || errno == ENOENT ? 0 : -1;
}

/* A link, not a rename: between the two a rename would leave no vault at all. */
static int step_keep_prev(const struct cn_vault__place *p, struct cn_view bytes)
{
	struct name prev = beside(p, ".prev");
	(void)bytes;
	return linkat(p->dir, p->name, p->dir, prev.s, 0) == 0 || errno == ENOENT ? 0 : -1;
}

static int step_rename(const struct cn_vault__place *p, struct cn_view bytes)
{
	struct name tmp = beside(p, ".tmp");
	(void)bytes;
	return renameat(p->dir, tmp.s, p->dir, p->name);
}

static int step_sync_dir(const struct cn_vault__place *p, struct cn_view bytes)
{
	(void)bytes;
	return fsync(p->dir);
}

int cn_vault__place_write(const struct cn_vault__place *p, struct cn_view bytes,
                          unsigned steps, struct cn_error *reterr)
{
	static const struct {
		int (*run)(const struct cn_vault__place *p, struct cn_view bytes);
		const char *what;
	} all[CN_VAULT__STEPS] = {
	    {step_write, "write beside"},
	    {step_sync, "sync beside"},
	    {step_drop_prev, "drop the previous"},
	    {step_keep_prev, "keep the previous"},
	    {step_rename, "replace"},
	    {step_sync_dir, "sync the directory of"},
	};
	for (unsigned i = 0; i < steps; i++)
		if (all[i].run(p, bytes) != 0)
			return failed(reterr, all[i].what, p->path);
	return 0;
}

int cn_vault__place_forget(const struct cn_vault__place *p, struct cn_error *reterr)
{
	if (step_drop_prev(p, CN_VIEW("")) != 0 || step_sync_dir(p, CN_VIEW("")) != 0)
		return failed(reterr, "delete the previous version of", p->path);
	return 0;
}

int cn_vault__write_file(const char *path, struct cn_view bytes, struct cn_error *reterr)
{
	CN_AUTOFREE char *dir = dir_of(path);
	int fd = -1, bad = open_dir(dir, &fd, reterr);
	if (bad)
		return bad;
	const char *name = name_of(path);
	if (write_new(fd, name, 0600, bytes) != 0) {
		int error = errno;
		bad = error == EEXIST
		          ? cn_fail(reterr, CN_E_EXISTS, "%s is there already", path)
		          : failed(reterr, "write", path);
		if (error != EEXIST)
			(void)unlinkat(fd, name, 0); /* half a file helps nobody */
	} else if (sync_file(fd, name) != 0 || fsync(fd) != 0) {
		bad = failed(reterr, "sync", path);
	}
	close(fd);
	return bad;
}

/* ---- the key file ---- */

int cn_vault__key_read(const char *path, struct cn_secret **ret, struct cn_error *reterr)
{
	struct stat st = {0};
	int fd = -1, bad = open_file(AT_FDCWD, path, path, &fd, &st, reterr);
	if (bad)
		return bad;
	bad = check_owner_and_mode(&st, path, 0400, reterr);
	if (!bad && st.st_size != CN_VAULT__KEY)
		bad = cn_fail(reterr, CN_E_INVALID, "%s has %lld bytes; a key file has %d",
		              path, (long long)st.st_size, CN_VAULT__KEY);
	if (!bad) {
		struct cn_secret *s = cn_secret__new(CN_VAULT__KEY);
		if (read(fd, s->p, CN_VAULT__KEY) == CN_VAULT__KEY) {
			cn_secret__filled(s);
			*ret = s;
		} else {
			bad = failed(reterr, "read", path);
			cn_secret_free(s);
		}
	}
	close(fd);
	return bad;
}

/* Whole or not at all: written beside and linked to its name, which never replaces one. */
static int place_key(int dir, const char *name, const struct cn_secret *key)
{
	struct name tmp;
	(void)snprintf(tmp.s, sizeof(tmp.s), "%s.tmp",
	               name); /* too long a name fails below */
	const char *p = (const char *)cn_secret__read(key);
	(void)unlinkat(dir, tmp.s, 0); /* what a crash left */
	int bad = write_new(dir, tmp.s, 0400, cn_view(p, key->n));
	cn_secret__rest(key);
	if (!bad)
		bad = sync_file(dir, tmp.s);
	if (!bad && linkat(dir, tmp.s, dir, name, 0) != 0)
		bad = -1;
	int error = errno;
	(void)unlinkat(dir, tmp.s, 0); /* one left behind is removed the next time */
	if (!bad)
		bad = fsync(dir);
	else
		errno = error;
	return bad;
}

int cn_vault__key_make(const char *path, struct cn_secret **ret, struct cn_error *reterr)
{
	CN_AUTOFREE char *dir = dir_of(path);
	int fd = -1, bad = cn_vault__key_read(path, ret, reterr);
	if (bad != CN_E_NOT_FOUND)
		return bad;
	bad = open_dir(dir, &fd, reterr);
	if (bad)
		return bad;
	struct cn_secret *key = cn_secret__random(CN_VAULT__KEY);
	if (place_key(fd, name_of(path), key) != 0)
		bad = failed(reterr, "make the key file", path);
	close(fd);
	if (bad) {
		cn_secret_free(key);
		return bad;
	}
	*ret = key;
	return 0;
}
