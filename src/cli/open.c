/*
 * Opening vault and history for a command (design/product.md, "Commands": what talks to a
 * running router opens the data itself when none runs).
 *
 * The store gets functions of the vault, never its keys.  A policy that is broken or not
 * there yet is no reason not to look at one's own history: its few settings then have
 * their usual values.  Main thread; blocks.
 */
#include "open_impl.h"

#include <unistd.h>

#include "continuo/config.h"
#include "continuo/store.h"
#include "continuo/vault.h"

#define CN_USUAL_MAX_SIZE ((uint64_t)10 << 30) /* design/product.md, "All keys" */

/* What the policy says about the data. */
struct cn_data_policy {
	const char *key_file; /* in arena */
	uint64_t max_size, retention_ms;
	bool network_fs, require_mlock;
};

static void seal(void *self, struct cn_view ad, struct cn_view plain, struct cn_buf *b)
{
	cn_vault_seal(self, ad, plain, b);
}

static int unseal(void *self, struct cn_view ad, struct cn_view sealed, struct cn_buf *ret,
                  struct cn_error *reterr)
{
	return cn_vault_open_sealed(self, ad, sealed, ret, reterr);
}

static struct cn_hash node_hash(void *self, const struct cn_view *views, size_t n)
{
	return cn_vault_hash(self, CN_VAULT_HASH_NODE, views, n);
}

static bool known_generation(void *self, const unsigned char id[16], uint64_t *ret)
{
	const struct cn_paths *paths = self;

	return cn_store_vault_generation(paths->history, id, ret);
}

static struct cn_data_policy read_policy(struct cn_cli *cli, const struct cn_paths *paths)
{
	struct cn_config_opts opts = {.path = paths->policy};
	struct cn_data_policy dp = {.key_file = paths->vault_key,
	                            .max_size = CN_USUAL_MAX_SIZE};
	struct cn_policy *policy;

	if (access(paths->policy, R_OK) || cn_config_load(&opts, &policy, NULL))
		return dp;
	if (policy->vault_key_file)
		dp.key_file =
		    cn_arena_dup(&cli->arena, cn_view_str(policy->vault_key_file));
	dp.require_mlock = policy->require_mlock;
	dp.max_size = policy->history_max_size;
	dp.retention_ms = policy->retention_ms;
	dp.network_fs = policy->history_network_fs;
	cn_policy_unref(policy);
	return dp;
}

static int make_vault(const struct cn_paths *paths, const char *key_file,
                      struct cn_error *reterr)
{
	int err = cn_cli__make_dir_of(paths->vault, reterr);

	if (!err)
		err = cn_cli__make_dir_of(key_file, reterr);
	return err ? err : cn_vault_create(paths->vault, key_file, NULL, reterr);
}

static int open_vault(const struct cn_paths *paths, const struct cn_data_policy *dp,
                      bool make, struct cn_vault **ret, struct cn_error *reterr)
{
	struct cn_paths copy = *paths;
	struct cn_unlock how = {
	    .passphrase_fd = -1,
	    .key_fd = -1,
	    .key_file = dp->key_file,
	    .may_prompt = true,
	    .require_mlock = dp->require_mlock,
	    .known_generation = known_generation,
	    .self = &copy,
	};
	int err = cn_vault_open(paths->vault, &how, ret, reterr);

	if (err != CN_E_NOT_FOUND || !make)
		return err;
	err = make_vault(paths, dp->key_file, reterr);
	return err ? err : cn_vault_open(paths->vault, &how, ret, reterr);
}

void cn_data_done(struct cn_data *d)
{
	d->store = cn_store_close(d->store);
	if (d->vault)
		d->vault = cn_vault_close(d->vault);
}

int cn_cli__open_data(struct cn_cli *cli, const struct cn_paths *paths,
                      const struct cn_open_opts *opts, struct cn_data *ret,
                      struct cn_error *reterr)
{
	struct cn_data_policy dp = read_policy(cli, paths);
	struct cn_data d = {NULL, NULL};
	struct cn_store_opts so = {
	    .dir = opts->history ? opts->history : paths->history,
	    .max_size = dp.max_size,
	    .retention_ms = dp.retention_ms,
	    .network_fs = dp.network_fs,
	    .read_only = !opts->write,
	};
	int err = open_vault(paths, &dp, opts->write, &d.vault, reterr);

	if (!err) {
		so.crypt = (struct cn_store_crypt){seal, unseal, node_hash, d.vault};
		err = cn_store_open(&so, &d.store, reterr);
	}
	if (err)
		cn_data_done(&d);
	else
		*ret = d;
	return err;
}
