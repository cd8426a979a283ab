/*
 * The vault as commands see it: where it is, what opens it, and secrets from prompts,
 * standard input and descriptors.  For the files of cli/ alone, beside cli_impl.h.
 */
#ifndef CONTINUO_CLI_UNLOCK_IMPL_H
#define CONTINUO_CLI_UNLOCK_IMPL_H

#include "cli_impl.h"
#include "continuo/vault.h"

/* What a command that opens the vault takes; the first member of its options. */
struct cn_unlock_opts {
	uint64_t passphrase_fd, key_fd; /* CN_NO_FD: none */
	bool accept_older;
};
#define CN_NO_FD UINT64_MAX
#define CN_UNLOCK_DEFAULTS                \
	{                                 \
		CN_NO_FD, CN_NO_FD, false \
	}
/* Its rows; the member is called unlock. */
#define CN_UNLOCK_OPTIONS(type)                                                      \
	CN_OPTION(NUMBER, type, unlock.passphrase_fd, "passphrase-fd", "N",          \
	          "Reads the vault's passphrase from descriptor N"),                 \
	    CN_OPTION(NUMBER, type, unlock.key_fd, "key-fd", "N",                    \
	              "Reads the 32 bytes of the vault's key from descriptor N"),    \
	    CN_OPTION(SWITCH, type, unlock.accept_older, "accept-older-vault", NULL, \
	              "Opens a vault that is older than the one last used here")

/* A command's vault, with what it needs to say or note about it. */
struct cn_opened {
	struct cn_vault *vault; /* owned; NULL: not open */
	struct cn_paths paths;
	const char *key_file; /* in arena; the policy's, else the usual one */
	struct cn_unlock how; /* without descriptors: they have been read */
	bool network_fs;      /* what the policy says of the history */
	uint64_t max_size;
};

/* The paths and what the policy says, without opening anything. */
int cn_cli__vault_find(struct cn_cli *cli, struct cn_opened *ret,
                       struct cn_error *reterr) CN_MUST_CHECK;
/* Opens what was found.  Says what the user should know about it. */
int cn_cli__vault_open(struct cn_cli *cli, const struct cn_unlock_opts *o,
                       struct cn_opened *v, struct cn_error *reterr) CN_MUST_CHECK;
/* The same, but makes a vault that a key file opens when there is none, and says so. */
int cn_cli__vault_need(struct cn_cli *cli, const struct cn_unlock_opts *o,
                       struct cn_opened *v, struct cn_error *reterr) CN_MUST_CHECK;
/* Makes it, and the directories; key_file and passphrase as cn_vault_create(). */
int cn_cli__vault_make(struct cn_cli *cli, const struct cn_opened *v, const char *key_file,
                       const struct cn_secret *passphrase,
                       struct cn_error *reterr) CN_MUST_CHECK;
/* After a change: notes the generation in the history, if there is one. */
void cn_cli__vault_changed(struct cn_cli *cli, struct cn_opened *v);
void cn_opened_done(struct cn_opened *v);

/* From descriptor fd, or (CN_NO_FD) standard input, or a terminal. */
int cn_cli__read_secret(uint64_t fd, const char *prompt, struct cn_secret **ret,
                        struct cn_error *reterr) CN_MUST_CHECK;
/* The same for a new passphrase: a generated one is offered first, and one that is typed is
 * asked for twice. */
int cn_cli__new_passphrase(uint64_t fd, struct cn_secret **ret,
                           struct cn_error *reterr) CN_MUST_CHECK;

#endif
