/*
 * A policy file replaced by a new text: written beside it, synced, and renamed over it, so
 * that whoever reads finds the old one or the new one whole.
 *
 * Blocks on the disk; command line.  A link stays a link: what it leads to is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_impl.h"

static int fail(struct cn_error *reterr, const char *path, const char *what)
{
	return cn_fail(reterr, CN_E_IO, "%s cannot be %s: %s", path, what, strerror(errno));
}

/* Whether the file still is what the changes were made in. */
static bool is_still(int fd, struct cn_view was)
{
	CN_AUTO(cn_buf) b = {0};
	ssize_t got;

	do {
		got = read(fd, cn_buf_reserve(&b, 16384), 16384);
		if (got > 0)
			b.n += (size_t)got;
	} while ((got > 0 && b.n <= was.n) || (got < 0 && errno == EINTR));
	return got == 0 && cn_view_eq(cn_buf_view(&b), was);
}

static bool write_all(int fd, struct cn_view text)
{
	while (text.n) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR)
			return false;
		text = cn_view_from(text, n > 0 ? (size_t)n : 0);
	}
	return true;
}

/* The new file under a name of its own, with what the old one was allowed. */
static int write_beside(char *beside, const struct stat *old, struct cn_view text,
                        struct cn_error *reterr)
{
	int fd = mkostemp(beside, O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return fail(reterr, beside, "made");
	/* The owner first: it takes away the bits that another owner must not have. */
	ok = (old->st_uid == geteuid() && old->st_gid == getegid()) ||
	     fchown(fd, old->st_uid, old->st_gid) == 0;
	ok = ok && fchmod(fd, old->st_mode & 07777) == 0 && write_all(fd, text) &&
	     fsync(fd) == 0;
	if (close(fd) < 0 || !ok) {
		int r = fail(reterr, beside, "written");

		(void)unlink(beside); /* what is left of it is of no use */
		return r;
	}
	return 0;
}

/* The new name is on the disk too; where that cannot be had, it soon will be. */
static void sync_dir(char *path)
{
	char *slash = strrchr(path, '/');
	int fd;

	slash[slash == path] = 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		(void)close(fd);
	}
}

int cn_config_save(const struct cn_config_text *t, struct cn_error *reterr)
{
	char real[PATH_MAX], beside[PATH_MAX + 8];
	struct stat old = {0};
	int fd, r = 0;

	if (!realpath(t->path, real))
		return fail(reterr, t->path, "found");
	(void)snprintf(beside, sizeof beside, "%s.XXXXXX", real); /* fits */
	fd = open(real, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &old) < 0)
		r = fail(reterr, t->path, "read");
	else if (!is_still(fd, t->was))
		r = cn_fail(reterr, CN_E_BUSY, "%s was changed meanwhile; try again",
		            t->path);
	if (fd >= 0)
		(void)close(fd); /* only read from */
	if (!r)
		r = write_beside(beside, &old, t->text, reterr);
	if (r)
		return r;
	if (rename(beside, real) < 0) {
		r = fail(reterr, t->path, "replaced");
		(void)unlink(beside);
		return r;
	}
	sync_dir(real);
	return 0;
}
