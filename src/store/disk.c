/*
 * The directory under the environment: making and checking it, keeping a second router
 * out, refusing network file systems, watching the free space, and setting damaged files
 * aside.  Owns the directory's descriptor, whose flock() is the lock.  Opener and writer
 * only.  It never looks into a file.
 */
#include "store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/log.h"

#define CN_FULL_BYTES 65536

/* File systems whose locks or mappings do not hold between machines (statfs(2)). */
static const struct {
	uint32_t magic;
	const char *name;
} network_fs[] = {
    {0x6969, "NFS"},        {0x517b, "SMB"},      {0xff534d42, "CIFS"},
    {0xfe534d42, "SMB2"},   {0x73757245, "Coda"}, {0x5346414f, "AFS"},
    {0x01021997, "9P"},     {0x00c36400, "Ceph"}, {0x564c, "NCP"},
    {0x7461636f, "OCFS2"},  {0x01161970, "GFS2"}, {0x0bd00bd0, "Lustre"},
    {0x19830326, "BeeGFS"}, {0x6b414653, "AFS"},
};

static int fail_errno(struct cn_error *reterr, const struct cn_store *s, const char *what)
{
	return cn_fail(reterr, CN_E_IO, "%s: %s: %s", s->dir, what, strerror(errno));
}

/* mkdir -p with mode 0700. */
static int make_dir(const char *path)
{
	CN_AUTOFREE char *parent = NULL;
	char *slash;

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -1;
	parent = cn_strdup(path);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return -1;
	*slash = '\0';
	if (make_dir(parent))
		return -1;
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

static int check_owner(const struct cn_store *s, struct cn_error *reterr)
{
	struct stat st;

	if (fstat(s->dir_fd, &st))
		return fail_errno(reterr, s, "stat");
	if (st.st_uid != geteuid())
		return cn_fail(reterr, CN_E_DENIED, "%s belongs to another user", s->dir);
	if (st.st_mode & 077)
		return cn_fail(reterr, CN_E_DENIED,
		               "%s can be entered by others; do: chmod 700 %s", s->dir,
		               s->dir);
	return 0;
}

static int check_fs(const struct cn_store *s, struct cn_error *reterr)
{
	struct statfs fs;

	if (fstatfs(s->dir_fd, &fs))
		return fail_errno(reterr, s, "statfs");
	for (size_t i = 0; i < sizeof(network_fs) / sizeof(network_fs[0]); i++)
		if ((uint32_t)fs.f_type == network_fs[i].magic)
			return cn_fail(reterr, CN_E_DENIED,
			               "%s is on a network file system (%s), where the "
			               "history could be lost; move it or set "
			               "history.network_fs: true",
			               s->dir, network_fs[i].name);
	return 0;
}

int cn_store__disk_open(struct cn_store *s, bool network_allowed, struct cn_error *reterr)
{
	int err;

	if (!s->read_only && make_dir(s->dir))
		return fail_errno(reterr, s, "mkdir");
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir_fd < 0 && errno == ENOENT)
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no history in %s", s->dir);
	if (s->dir_fd < 0)
		return fail_errno(reterr, s, "open");
	if ((err = check_owner(s, reterr)) ||
	    (!network_allowed && (err = check_fs(s, reterr))))
		return err;
	if (!s->read_only && flock(s->dir_fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return cn_fail(reterr, CN_E_BUSY,
			               "another router uses the history in %s", s->dir);
		return fail_errno(reterr, s, "flock");
	}
	return 0;
}

enum cn_store_space cn_store__disk_space(const struct cn_store *s)
{
	struct statvfs fs;
	uint64_t left, all;

	if (fstatvfs(s->dir_fd, &fs))
		return CN_SPACE_WELL; /* unknown: a write will tell */
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	all = (uint64_t)fs.f_blocks * fs.f_frsize;
	if (left < s->rules.free_stop)
		return CN_SPACE_NONE;
	if (left < s->rules.free_low || left < all / 100 * s->rules.free_part)
		return CN_SPACE_LOW;
	return CN_SPACE_WELL;
}

bool cn_store__disk_full(const struct cn_store *s)
{
	struct statvfs fs;

	return fstatvfs(s->dir_fd, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize < CN_FULL_BYTES;
}

/* DIR.damaged-TIME, a name not in use. */
static int make_aside(const struct cn_store *s, struct cn_buf *name)
{
	for (unsigned i = 0; i < 100; i++) {
		struct cn_buf when = {0};

		cn_clock_format(&when, cn_clock_wall_ms());
		cn_buf_clear(name);
		cn_buf_printf(name, "%s.damaged-", s->dir);
		/* "2026-11-21T03:46:37.123Z": without what some file systems refuse. */
		for (size_t k = 0; k < when.n && k < 19; k++)
			if (when.p[k] != ':' && when.p[k] != '-')
				cn_buf_add_char(name, when.p[k]);
		cn_buf_done(&when);
		if (i)
			cn_buf_printf(name, "-%u", i);
		if (mkdir(cn_buf_cstr(name), 0700) == 0)
			return 0;
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

int cn_store__disk_set_aside(struct cn_store *s, struct cn_error *reterr)
{
	static const char *const files[] = {"data.mdb", "lock.mdb"};
	CN_AUTO(cn_buf) aside = {0};
	int to, err = 0;

	if (make_aside(s, &aside))
		return fail_errno(reterr, s, "making a place for the damaged files");
	to = open(aside.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return fail_errno(reterr, s, "opening the place for the damaged files");
	for (size_t i = 0; i < 2 && !err; i++)
		if (renameat(s->dir_fd, files[i], to, files[i]) && errno != ENOENT)
			err = fail_errno(reterr, s, "moving the damaged files");
	(void)fsync(to); /* at worst they are damaged in their old place */
	(void)fsync(s->dir_fd);
	(void)close(to);
	if (!err)
		cn_log(
		    NULL, CN_LOG_WARNING,
		    "the history was damaged or made with another vault; it was moved "
		    "aside and a new one begun; `continuo sessions export --history PATH` "
		    "may still read what is left",
		    CN_STR(PATH, aside.p));
	return err;
}

static int lengthen(int dir_fd, off_t need)
{
	int fd = openat(dir_fd, "data.mdb", O_RDWR | O_CLOEXEC), rc = 0;
	struct stat st;

	if (fd < 0)
		return errno;
	/* Look again: only now is it certain that nobody writes. */
	if (fstat(fd, &st) || (st.st_size < need && ftruncate(fd, need)))
		rc = errno;
	(void)close(fd);
	return rc;
}

int cn_store__disk_lengthen(MDB_env *env, int dir_fd, bool locked, bool *retshort)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	off_t need;
	int fd, rc;

	*retshort = false;
	if ((rc = mdb_env_info(env, &info)) || (rc = mdb_env_stat(env, &stat)) ||
	    (rc = mdb_env_get_fd(env, &fd)))
		return rc;
	need = (off_t)(info.me_last_pgno + 1) * (off_t)stat.ms_psize;
	if (fstat(fd, &st))
		return errno;
	if (st.st_size >= need || (!locked && flock(dir_fd, LOCK_EX | LOCK_NB)))
		return 0;
	*retshort = true;
	rc = lengthen(dir_fd, need);
	if (!locked)
		(void)flock(dir_fd, LOCK_UN);
	return rc;
}
