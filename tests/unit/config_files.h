/*
 * What the tests of config/ share: a temporary directory with policy files in it, and a
 * load that gathers its mistakes as text.
 */
#ifndef CONTINUO_TEST_CONFIG_FILES_H
#define CONTINUO_TEST_CONFIG_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "continuo/config.h"

/* A policy of three lines to which a test adds its own from line 4 on. */
#define BACKENDS "backends: {b: {preset: deepseek}}\n"
#define MODELS   "models: {m: {backend: b, id: x}}\n"
#define ROUTES   "routes: [{use: [m]}]\n"
#define BASE     BACKENDS MODELS ROUTES

struct config_dir {
	char path[64];
	char policy[96];
};

static inline void config_dir_make(struct config_dir *d)
{
	(void)snprintf(d->path, sizeof d->path, "/tmp/continuo-config-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	(void)snprintf(d->policy, sizeof d->policy, "%s/policy.yaml", d->path);
}

static inline void config_dir_remove(const struct config_dir *d)
{
	char command[128];

	(void)snprintf(command, sizeof command, "rm -rf '%s'", d->path);
	assert_int_equal(system(command), 0);
}

static inline void config_file(const struct config_dir *d, const char *name,
                               const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/%s", d->path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

/* Keys called "missing" are not in the vault, "foreign" may not go where they are sent. */
static inline int config_check_key(void *self, const char *name, const char *origin,
                                   struct cn_error *reterr)
{
	(void)self;
	if (strcmp(name, "missing") == 0)
		return cn_fail(reterr, CN_E_NOT_FOUND, "no key %s", name);
	if (strcmp(name, "foreign") == 0)
		return cn_fail(reterr, CN_E_DENIED, "not for %s", origin);
	return 0;
}

/* "line:column: message\n", with the file's name before it when it is not policy.yaml. */
static inline void config_on_mistake(void *self, const struct cn_error *m)
{
	struct cn_buf *b = self;
	const char *slash = strrchr(m->file, '/'), *name = slash ? slash + 1 : m->file;

	if (strcmp(name, "policy.yaml") != 0)
		cn_buf_printf(b, "%s:", name);
	cn_buf_printf(b, "%u:%u: %s\n", m->line, m->column, m->message);
}

/* Loads path; mistakes (may be NULL) gets them as text, NUL-terminated. */
static inline struct cn_policy *config_load(const char *path, struct cn_buf *mistakes)
{
	CN_AUTO(cn_buf) text = {0};
	struct cn_policy *p = NULL;
	struct cn_error err = {0};
	struct cn_config_opts opts = {.path = path,
	                              .check_key = config_check_key,
	                              .on_mistake = config_on_mistake,
	                              .self = &text};
	int r = cn_config_load(&opts, &p, &err);

	if (r != 0) {
		assert_int_equal(r, CN_E_CONFIG);
		assert_int_equal(err.code, CN_E_CONFIG);
		assert_true(text.n > 0);
		assert_null(p);
	}
	if (mistakes) {
		cn_buf_clear(mistakes);
		cn_buf_add_view(mistakes, cn_buf_view(&text));
		(void)cn_buf_cstr(mistakes);
	} else if (r != 0) {
		fail_msg("%s does not load:\n%s", path, cn_buf_cstr(&text));
	}
	return p;
}

static inline struct cn_policy *config_load_text(const struct config_dir *d,
                                                 const char *text, struct cn_buf *mistakes)
{
	config_file(d, "policy.yaml", text);
	return config_load(d->policy, mistakes);
}

#endif
