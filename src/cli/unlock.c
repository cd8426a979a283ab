/*
 * Opening the vault for a command, and asking for secrets: from a descriptor, from standard
 * input when it is no terminal, else from the person at the terminal.  Never from an
 * argument or an environment variable.
 *
 * Main thread; blocks on files, Argon2 and people.  What may be told about a vault is told
 * here, on standard error.
 */
#include "unlock_impl.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "continuo/config.h"
#include "continuo/store.h"

/* ---- where it is ---- */

static bool known_generation(void *self, const unsigned char id[16], uint64_t *ret)
{
	const char *const *dir = self;
	return cn_store_vault_generation(*dir, id, ret);
}

/* A policy that is broken or not there yet is no reason not to look after keys. */
static void read_policy(struct cn_cli *cli, struct cn_opened *v)
{
	struct cn_config_opts opts = {.path = v->paths.policy};
	struct cn_policy *policy;

	v->key_file = v->paths.vault_key;
	v->max_size = (uint64_t)10 << 30;
	if (access(v->paths.policy, R_OK) < 0 || cn_config_load(&opts, &policy, NULL))
		return;
	if (policy->vault_key_file)
		v->key_file =
		    cn_arena_dup(&cli->arena, cn_view_str(policy->vault_key_file));
	v->how.require_mlock = policy->require_mlock;
	v->network_fs = policy->history_network_fs;
	v->max_size = policy->history_max_size;
	cn_policy_unref(policy);
}

int cn_cli__vault_find(struct cn_cli *cli, struct cn_opened *ret, struct cn_error *reterr)
{
	struct cn_opened v = {0};
	int failed = cn_cli__paths(cli, &v.paths, reterr);

	if (failed)
		return failed;
	read_policy(cli, &v);
	v.how.passphrase_fd = v.how.key_fd = -1;
	v.how.key_file = v.key_file;
	v.how.may_prompt = true;
	v.how.known_generation = known_generation;
	const char **dir = cn_arena_new(&cli->arena, const char *);
	*dir = v.paths.history;
	v.how.self = dir;
	*ret = v;
	return 0;
}

/* ---- opening ---- */

static int descriptor(uint64_t n, int *ret, struct cn_error *reterr)
{
	if (n != CN_NO_FD && n > INT_MAX)
		return cn_fail(reterr, CN_E_USAGE, "there is no descriptor %llu",
		               (unsigned long long)n);
	*ret = n == CN_NO_FD ? -1 : (int)n;
	return 0;
}

static void say_what_matters(struct cn_cli *cli, const struct cn_opened *v)
{
	unsigned char id[16];
	uint64_t known, generation = cn_vault_generation(v->vault);

	cn_vault_id(v->vault, id);
	if (v->how.accept_older && known_generation(v->how.self, id, &known) &&
	    known > generation)
		cn_cli__note(cli,
		             "WARNING: this vault is older (generation %llu) than the one "
		             "used last (%llu); keys may have come back or gone",
		             (unsigned long long)generation, (unsigned long long)known);
	if (!cn_vault_mlocked(v->vault))
		cn_cli__note(cli, "memory cannot be locked, so keys may reach the swap; "
		                  "raise the limit (ulimit -l)");
	if (cn_vault_passphrase_is_weak(v->vault))
		cn_cli__note(cli, "the passphrase is protected less than a new one would "
		                  "be; `continuo vault passwd` mends that");
}

int cn_cli__vault_open(struct cn_cli *cli, const struct cn_unlock_opts *o,
                       struct cn_opened *v, struct cn_error *reterr)
{
	struct cn_unlock how = v->how;
	int failed = descriptor(o->passphrase_fd, &how.passphrase_fd, reterr);

	if (!failed)
		failed = descriptor(o->key_fd, &how.key_fd, reterr);
	how.accept_older = v->how.accept_older = o->accept_older;
	if (!failed)
		failed = cn_vault_open(v->paths.vault, &how, &v->vault, reterr);
	if (failed == CN_E_NOT_FOUND)
		return cn_fail(
		    reterr, failed,
		    "there is no vault at %s yet; `continuo vault init` makes one",
		    v->paths.vault);
	if (!failed)
		say_what_matters(cli, v);
	return failed;
}

int cn_cli__vault_make(struct cn_cli *cli, const struct cn_opened *v, const char *key_file,
                       const struct cn_secret *passphrase, struct cn_error *reterr)
{
	int failed = cn_cli__make_dir_of(v->paths.vault, reterr);

	if (!failed && key_file)
		failed = cn_cli__make_dir_of(key_file, reterr);
	if (!failed)
		failed = cn_vault_create(v->paths.vault, key_file, passphrase, reterr);
	if (failed)
		return failed;
	if (key_file)
		cn_cli__note(cli, "made the vault %s, which the key file %s opens%s",
		             v->paths.vault, key_file,
		             passphrase ? ", and a passphrase"
		                        : "; `continuo vault passwd` adds a passphrase");
	else
		cn_cli__note(cli, "made the vault %s, which a passphrase opens",
		             v->paths.vault);
	return 0;
}

int cn_cli__vault_need(struct cn_cli *cli, const struct cn_unlock_opts *o,
                       struct cn_opened *v, struct cn_error *reterr)
{
	int failed = cn_cli__vault_open(cli, o, v, reterr);

	if (failed != CN_E_NOT_FOUND)
		return failed;
	failed = cn_cli__vault_make(cli, v, v->key_file, NULL, reterr);
	return failed ? failed : cn_vault_open(v->paths.vault, &v->how, &v->vault, reterr);
}

void cn_opened_done(struct cn_opened *v)
{
	if (v->vault)
		v->vault = cn_vault_close(v->vault);
}

/* ---- the generation ---- */

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

/* So that an older copy is refused from now on.  A running router has the store; it notes
 * the generation itself when it next opens the vault. */
void cn_cli__vault_changed(struct cn_cli *cli, struct cn_opened *v)
{
	struct cn_store_opts opts = {
	    .dir = v->paths.history,
	    .crypt = {seal, unseal, node_hash, v->vault},
	    .max_size = v->max_size,
	    .network_fs = v->network_fs,
	};
	struct cn_error err = {0};
	struct cn_store *store;
	unsigned char id[16];
	uint64_t known;

	cn_vault_id(v->vault, id);
	if (!cn_store_vault_generation(v->paths.history, id, &known))
		return; /* no history of this vault yet */
	int failed = cn_store_open(&opts, &store, &err);
	if (!failed) {
		failed = cn_store_vault_put(store, id, cn_vault_generation(v->vault), &err);
		cn_store_close(store);
	}
	if (failed && failed != CN_E_BUSY)
		cn_cli__note(cli, "the change was not noted in the history: %s",
		             err.message);
}

/* ---- secrets ---- */

int cn_cli__read_secret(uint64_t fd, const char *prompt, struct cn_secret **ret,
                        struct cn_error *reterr)
{
	int from = -1, failed = descriptor(fd, &from, reterr);

	if (failed)
		return failed;
	if (from < 0 && isatty(STDIN_FILENO))
		return cn_secret_prompt(prompt, ret, reterr);
	return cn_secret_read_fd(from < 0 ? STDIN_FILENO : from, ret, reterr);
}

static int check_length(const struct cn_secret *s, struct cn_error *reterr)
{
	if (cn_secret_characters(s) >= CN_PASSPHRASE_MIN)
		return 0;
	return cn_fail(reterr, CN_E_INVALID, "a passphrase has at least %d characters",
	               CN_PASSPHRASE_MIN);
}

static int type_again(const struct cn_secret *first, struct cn_error *reterr)
{
	struct cn_secret *again;
	int failed = cn_secret_prompt("The same again: ", &again, reterr);

	if (failed)
		return failed;
	if (!cn_secret_eq(first, again))
		failed = cn_fail(reterr, CN_E_INVALID, "the two passphrases differ");
	cn_secret_free(again);
	return failed;
}

/* The offer is part of the prompt, because that goes to the terminal and nowhere else. */
static int ask_for_new(struct cn_secret **ret, struct cn_error *reterr)
{
	char offer[48], prompt[400];
	struct cn_secret *s;

	cn_vault_suggest(offer);
	(void)snprintf(prompt, sizeof(prompt),
	               "A passphrase that nobody guesses:\n\n    %s\n\n"
	               "Write it down and press Enter to take it, or type one of your own "
	               "(at least\n%d characters): ",
	               offer, CN_PASSPHRASE_MIN); /* fits */
	int failed = cn_secret_prompt(prompt, &s, reterr);
	cn_wipe(prompt, sizeof(prompt));
	if (!failed && cn_secret_size(s) == 0) {
		cn_secret_free(s);
		s = cn_secret_take(offer, strlen(offer));
	} else if (!failed) {
		failed = check_length(s, reterr);
		if (!failed)
			failed = type_again(s, reterr);
		if (failed)
			cn_secret_free(s);
	}
	cn_wipe(offer, sizeof(offer));
	if (!failed)
		*ret = s;
	return failed;
}

int cn_cli__new_passphrase(uint64_t fd, struct cn_secret **ret, struct cn_error *reterr)
{
	struct cn_secret *s;

	if (fd == CN_NO_FD && isatty(STDIN_FILENO))
		return ask_for_new(ret, reterr);
	int failed = cn_cli__read_secret(fd, "", &s, reterr);
	if (failed)
		return failed;
	failed = check_length(s, reterr);
	if (failed)
		cn_secret_free(s);
	else
		*ret = s;
	return failed;
}
