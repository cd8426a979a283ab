/*
 * The vault and the history, opened by a command itself.  For the files of cli/ alone,
 * beside cli_impl.h.
 */
#ifndef CONTINUO_CLI_OPEN_IMPL_H
#define CONTINUO_CLI_OPEN_IMPL_H

#include "cli_impl.h"

struct cn_data {
	struct cn_vault *vault; /* owned */
	struct cn_store *store; /* owned */
};

struct cn_open_opts {
	const char *history; /* directory; NULL: the usual one */
	/*
	 * To change something: what is not there yet is made, and a running router is in
	 * the way (CN_E_BUSY).  Else for reading, beside a router or without one;
	 * CN_E_NOT_FOUND when there is nothing.
	 */
	bool write;
};

/* Unlocks with the key file of the policy or the usual place, else asks on the terminal. */
int cn_cli__open_data(struct cn_cli *cli, const struct cn_paths *paths,
                      const struct cn_open_opts *opts, struct cn_data *ret,
                      struct cn_error *reterr) CN_MUST_CHECK;
/* Leaves {0}; halves are allowed. */
void cn_data_done(struct cn_data *d);

#endif
