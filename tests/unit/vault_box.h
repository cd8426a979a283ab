/*
 * A directory of its own for each test of the vault, and the shortest ways to make, open
 * and look at a vault in it.
 */
#ifndef CONTINUO_TESTS_VAULT_BOX_H
#define CONTINUO_TESTS_VAULT_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "../../src/vault/vault_impl.h"

/* The least that the format allows. */
static const struct cn_vault__cost cheap = {2, (uint64_t)19 << 20};

struct box {
	char dir[64], vault[96], key[96];
	struct cn_unlock how; /* by the key file */
};

static inline void box_init(struct box *b)
{
	strcpy(b->dir, "/tmp/continuo-vault-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->vault, sizeof(b->vault), "%s/vault", b->dir);
	snprintf(b->key, sizeof(b->key), "%s/vault.key", b->dir);
	b->how = (struct cn_unlock){.passphrase_fd = -1, .key_fd = -1, .key_file = b->key};
	unsetenv("CREDENTIALS_DIRECTORY");
}

static inline void box_empty(const struct box *b)
{
	DIR *d = opendir(b->dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

static inline void box_done(struct box *b)
{
	chmod(b->dir, 0700);
	box_empty(b);
	assert_int_equal(rmdir(b->dir), 0);
}

static inline bool box_has(const struct box *b, const char *name)
{
	char path[160];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", b->dir, name);
	return lstat(path, &st) == 0;
}

static inline struct cn_secret *secret(const char *text)
{
	return cn_secret__copy(text, strlen(text));
}

/* With a key file, and with a passphrase unless it is NULL. */
static inline void box_create(const struct box *b, const char *passphrase)
{
	struct cn_error err = {0};
	struct cn_secret *s = passphrase ? secret(passphrase) : NULL;
	struct cn_vault__plan plan = {b->vault, b->key, s, cheap};
	if (cn_vault__create(&plan, &err))
		fail_msg("create: %s", err.message);
	cn_secret_free(s);
}

static inline struct cn_vault *open_how(const struct box *b, const struct cn_unlock *how)
{
	struct cn_vault *v = NULL;
	struct cn_error err = {0};
	if (cn_vault_open(b->vault, how, &v, &err))
		fail_msg("open: %s", err.message);
	v->cost = cheap;
	return v;
}

static inline struct cn_vault *box_open(const struct box *b)
{
	return open_how(b, &b->how);
}

/* A descriptor that gives these bytes and then ends. */
static inline int fd_of(const void *p, size_t n)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], p, n), (ssize_t)n);
	close(fds[1]);
	return fds[0];
}

static inline int open_with(const struct box *b, const char *passphrase,
                            struct cn_vault **ret, struct cn_error *reterr)
{
	struct cn_unlock how = {.passphrase_fd = fd_of(passphrase, strlen(passphrase)),
	                        .key_fd = -1};
	int code = cn_vault_open(b->vault, &how, ret, reterr);
	close(how.passphrase_fd);
	if (!code)
		(*ret)->cost = cheap;
	return code;
}

static inline void put_key(struct cn_vault *v, const char *name, const char *value,
                           const char *origin)
{
	struct cn_error err = {0};
	struct cn_vault_terms t = {&origin, 1, 0};
	if (cn_vault_set(v, name, secret(value), &t, &err))
		fail_msg("set %s: %s", name, err.message);
}

static inline void copy_secret(void *self, struct cn_view s)
{
	cn_buf_add_view(self, s);
}

static inline void expect_key(struct cn_vault *v, const char *name, const char *origin,
                              const char *want)
{
	CN_AUTO(cn_buf) got = {0};
	struct cn_error err = {0};
	if (cn_vault_borrow(v, name, origin, copy_secret, &got, &err))
		fail_msg("borrow %s: %s", name, err.message);
	assert_string_equal(cn_buf_cstr(&got), want);
}

static inline void load_file(const char *path, struct cn_buf *ret)
{
	struct cn_error err = {0};
	if (cn_vault__read_file(path, (size_t)2 << 20, ret, &err))
		fail_msg("%s", err.message);
}

static inline void store_file(const char *path, struct cn_view bytes, mode_t mode)
{
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes.p, bytes.n), (ssize_t)bytes.n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline bool contains(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

#endif
