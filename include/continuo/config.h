/*
 * Policy files: YAML → struct cn_policy, with every mistake of all files reported in one
 * run as "file:line:column: what is wrong; what would be right".  Also the built-in
 * catalogue. Blocks on files; main thread, pool or command line.
 */
#ifndef CONTINUO_CONFIG_H
#define CONTINUO_CONFIG_H

#include "continuo/policy.h"

/* One file of a policy, and what is to stand in it. */
struct cn_config_text {
	const char *path;         /* as cn_policy.files names it */
	struct cn_view was, text; /* its bytes before and after */
};

struct cn_config_opts {
	const char *path; /* the policy file */
	/*
	 * Whether the vault has a key of that name that may go to origin; NULL skips the
	 * check. 0, CN_E_NOT_FOUND or CN_E_DENIED, as cn_vault_check().
	 */
	int (*check_key)(void *self, const char *name, const char *origin,
	                 struct cn_error *reterr);
	/* Gets each mistake, in order of file and line.  May be NULL. */
	void (*on_mistake)(void *self, const struct cn_error *mistake);
	void *self;
	bool skip_ownership; /* `policy check` of a file that is not ours to own */
	const struct cn_config_text *texts; /* are read in place of the files */
	size_t n_texts;
};

/* CN_E_CONFIG with the first mistake in *reterr and its number in the message when many. */
int cn_config_load(const struct cn_config_opts *opts, struct cn_policy **ret,
                   struct cn_error *reterr) CN_MUST_CHECK;

/* ---- changing the files (edit.c) ---- */

/* One key of a model or a backend. */
struct cn_config_change {
	const char *section, *name, *key; /* "models", "k2", "images" */
	const char *value;                /* on one line, as YAML: "false", "[a, b]" */
	/* Where a list stands there already: what it gets besides; n_more 0: it is
	 * replaced. */
	const char *const *more;
	size_t n_more;
};

struct cn_config_texts {
	struct cn_config_text *v; /* in arena */
	size_t n;
};

/*
 * The files with those changes made in their text; every other byte stays.  What would come
 * of it is loaded before it is given: CN_E_CONFIG when that fails, as cn_config_load().
 * *ret: the files that change.  Writes nothing.
 */
int cn_config_edit(struct cn_arena *a, const struct cn_config_opts *opts,
                   const struct cn_config_change *changes, size_t n,
                   struct cn_config_texts *ret, struct cn_error *reterr) CN_MUST_CHECK;
/*
 * Replaces the file by its new text, at once or not at all, with the mode and owner that it
 * has.  CN_E_BUSY when it is not any more what it was.
 */
int cn_config_save(const struct cn_config_text *t, struct cn_error *reterr) CN_MUST_CHECK;

/* The effective policy as YAML that loads to the same policy (`policy show`), or JSON. */
void cn_config_print(struct cn_buf *b, const struct cn_policy *p, bool json);

/* The JSON Schema of the policy language, made from the parser's own tables. */
void cn_config_schema(struct cn_buf *b);

/* One preset of the built-in catalogue, for `vault set --preset` and listings. */
struct cn_preset {
	const char *name, *title;
	const char *url, *origin; /* NULL: a backend has to name its own */
	enum cn_wire wire;
};
size_t cn_catalogue_presets(const struct cn_preset **ret);
const struct cn_preset *cn_catalogue_preset(struct cn_view name);

/*
 * "scheme://host:port" in lower case with the port always there; false when text is no
 * http(s) URL or has user, query or fragment.  *retbase (may be NULL): the URL without
 * final slash and without "/v1" at its end.
 */
bool cn_config_origin(struct cn_arena *a, struct cn_view text, const char **ret,
                      const char **retbase);

#endif
