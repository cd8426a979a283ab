/*
 * The files of a policy: reads them under the rules of design/security.md 7 and 10 (ours or
 * root's, writable by nobody else, 1 MiB, includes and prompts never outside the policy's
 * directory), and joins included trees to the main one.
 *
 * Blocks on the disk; runs on the thread of the load.  Knows two keys only: `include`, and
 * that sections are maps of names.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_impl.h"

/* Why a file of those attributes may not be used; NULL: it may. */
static const char *unfit(struct cn_load *l, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "is no plain file; name a file";
	if ((size_t)st->st_size > CN_CONFIG_MAX_BYTES)
		return "is larger than 1 MiB; split it";
	if (l->opts->skip_ownership)
		return NULL;
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return "belongs to another user; chown it to yourself";
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "may be written by others; run chmod go-w on it";
	return NULL;
}

static bool read_fd(struct cn_load *l, int fd, struct cn_view *ret, const char **retwhy)
{
	struct stat st;
	CN_AUTO(cn_buf) b = {0};
	ssize_t got;

	if (fstat(fd, &st) < 0) {
		*retwhy = strerror(errno);
		return false;
	}
	if ((*retwhy = unfit(l, &st)))
		return false;
	do {
		got = read(fd, cn_buf_reserve(&b, 16384), 16384);
		if (got > 0)
			b.n += (size_t)got;
	} while ((got > 0 && b.n <= CN_CONFIG_MAX_BYTES) || (got < 0 && errno == EINTR));
	if (got < 0) {
		*retwhy = strerror(errno);
		return false;
	}
	if (b.n > CN_CONFIG_MAX_BYTES) { /* it grew meanwhile */
		*retwhy = "is larger than 1 MiB; split it";
		return false;
	}
	*ret = cn_view(cn_arena_dup(&l->arena, cn_buf_view(&b)), b.n);
	return true;
}

/* O_NONBLOCK: a FIFO that someone put there must not hang us. */
static bool read_path(struct cn_load *l, const char *path, struct cn_view *ret,
                      const char **retwhy)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool ok;

	if (fd < 0) {
		*retwhy = errno == ENOENT ? "does not exist; create it or mend the path"
		                          : strerror(errno);
		return false;
	}
	ok = read_fd(l, fd, ret, retwhy);
	(void)close(fd); /* only read from */
	return ok;
}

/* What is to be read in place of the file, if anything is. */
static bool stands_for(const struct cn_load *l, const char *path, struct cn_view *ret)
{
	for (size_t i = 0; i < l->opts->n_texts; i++) {
		if (strcmp(l->opts->texts[i].path, path) == 0) {
			*ret = l->opts->texts[i].text;
			return true;
		}
	}
	return false;
}

static struct cn_config_file *add_file(struct cn_load *l, const char *name)
{
	struct cn_config_file *f = cn_arena_new(&l->arena, struct cn_config_file);
	struct cn_config_file **more =
	    cn_arena_alloc(&l->arena, (l->n_files + 1) * sizeof(struct cn_config_file *));

	f->name = name;
	f->index = (unsigned)l->n_files;
	if (l->n_files)
		memcpy(more, l->files, l->n_files * sizeof(struct cn_config_file *));
	more[l->n_files++] = f;
	l->files = more;
	return f;
}

/* dir/name as the user would write it, dir being that of the policy path as given. */
static const char *beside_policy(struct cn_load *l, struct cn_view name)
{
	const char *path = l->opts->path, *slash = strrchr(path, '/');

	if (!slash)
		return cn_arena_dup(&l->arena, name);
	return cn_arena_printf(&l->arena, "%.*s%.*s", (int)(slash + 1 - path), path,
	                       CN_VIEW_ARG(name));
}

bool cn_config__read_below(struct cn_load *l, const struct cn_node *n,
                           struct cn_view *rettext)
{
	const char *path, *why;
	char real[PATH_MAX];
	size_t dir_n = strlen(l->dir);
	struct cn_view text;

	if (n->text.n && n->text.p[0] == '/') {
		cn_config__mistake(
		    l, n,
		    "'%.*s' is an absolute path; name a file below the policy's "
		    "own directory",
		    CN_SHOW(n->text));
		return false;
	}
	path = beside_policy(l, n->text);
	if (!realpath(path, real)) {
		cn_config__mistake(l, n, "'%.*s' cannot be read (%s); mend the path",
		                   CN_SHOW(n->text), strerror(errno));
		return false;
	}
	if (strncmp(real, l->dir, dir_n) != 0 || (dir_n > 1 && real[dir_n] != '/')) {
		cn_config__mistake(
		    l, n, "'%.*s' leaves the policy's directory; move the file below it",
		    CN_SHOW(n->text));
		return false;
	}
	for (size_t i = 0; i < l->n_files; i++) {
		if (strcmp(l->files[i]->name, path) == 0) { /* a prompt used twice */
			*rettext = l->files[i]->text;
			return true;
		}
	}
	if (!stands_for(l, path, &text) && !read_path(l, real, &text, &why)) {
		cn_config__mistake(l, n, "'%.*s' %s", CN_SHOW(n->text), why);
		return false;
	}
	add_file(l, path)->text = text;
	*rettext = text;
	return true;
}

/* ---- joining ---- */

static bool joins(const struct cn_node *n)
{
	static const char *const sections[] = {
	    "client",  "presets", "backends", "models", "chains", "fallback",
	    "history", "limits",  "budgets",  "tokens", "vault",  "observability"};

	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
		if (cn_view_is(n->name, sections[i]))
			return n->kind == CN_NODE_MAP;
	return false;
}

/* Moves the children of from into the map to. */
static void join(struct cn_load *l, struct cn_node *to, struct cn_node *from,
                 unsigned level)
{
	struct cn_node *next, *there;

	for (struct cn_node *c = from->first; c; c = next) {
		next = c->next;
		c->next = NULL;
		if (level == 0 && cn_view_is(c->name, "include"))
			continue; /* told by include() */
		there = cn_config__find(to, c->name.p);
		if (!there) {
			if (to->last)
				to->last->next = c;
			else
				to->first = c;
			to->last = c;
			to->n++;
		} else if (level == 0 && joins(c) && there->kind == CN_NODE_MAP) {
			join(l, there, c, 1);
		} else {
			cn_config__mistake_key(
			    l, c, "'%.*s' is set in %s:%u already; keep one",
			    CN_SHOW(c->name), there->file->name, there->name_line);
		}
	}
}

static void include(struct cn_load *l, struct cn_node *root, const struct cn_node *n)
{
	struct cn_config_file *f;
	struct cn_node *tree, *nested;
	struct cn_view text;
	size_t before = l->n_files;

	if (n->bad || !cn_config__scalar(l, n, "the path of a file"))
		return;
	if (!cn_config__read_below(l, n, &text))
		return;
	if (l->n_files == before) {
		cn_config__mistake(l, n, "'%.*s' is read already; include it once",
		                   CN_SHOW(n->text));
		return;
	}
	f = l->files[l->n_files - 1];
	tree = cn_config__parse(l, f);
	if (!tree)
		return;
	if (tree->kind != CN_NODE_MAP) {
		cn_config__mistake(l, tree,
		                   "an included file holds keys; write 'name: value'");
		return;
	}
	nested = cn_config__find(tree, "include");
	if (nested) {
		cn_config__mistake_key(
		    l, nested,
		    "an included file includes no others; name them all in "
		    "%s",
		    l->files[0]->name);
	}
	join(l, root, tree, 0);
}

static void include_all(struct cn_load *l, struct cn_node *root)
{
	struct cn_node *list = cn_config__find(root, "include");
	struct cn_node *next;
	size_t n = 0;

	if (!list || list->bad)
		return;
	if (list->kind != CN_NODE_LIST) {
		include(l, root, list);
		return;
	}
	for (struct cn_node *c = list->first; c; c = next) {
		next = c->next;
		if (++n > CN_CONFIG_MAX_INCLUDES) {
			cn_config__mistake(l, c, "more than 16 includes; join some files");
			return;
		}
		include(l, root, c);
	}
}

struct cn_node *cn_config__read_all(struct cn_load *l)
{
	const char *path = l->opts->path, *slash = strrchr(path, '/'), *why;
	struct cn_config_file *f = add_file(l, cn_arena_dup(&l->arena, cn_view_str(path)));
	char real[PATH_MAX];
	struct cn_node *root;
	const char *dir =
	    !slash ? "."
	    : slash == path
		? "/"
		: cn_arena_dup(&l->arena, cn_view(path, (size_t)(slash - path)));

	if (!stands_for(l, path, &f->text) && !read_path(l, path, &f->text, &why)) {
		cn_config__mistake_at(l, f, 0, 0, "the policy file %s", why);
		return NULL;
	}
	if (!realpath(dir, real)) {
		cn_config__mistake_at(l, f, 0, 0, "its directory cannot be read (%s)",
		                      strerror(errno));
		return NULL;
	}
	l->dir = cn_arena_dup(&l->arena, cn_view_str(real));
	root = cn_config__parse(l, f);
	if (!root) {
		if (!l->fatal)
			cn_config__mistake_at(
			    l, f, 1, 1, "the policy is empty; 'continuo init' writes one");
		return NULL;
	}
	if (root->kind != CN_NODE_MAP) {
		cn_config__mistake(l, root, "a policy holds keys; write 'name: value'");
		return NULL;
	}
	include_all(l, root);
	return root;
}
