/*
 * The router as a whole: what `serve` and `run` start, and what the admin socket answers.
 */
#ifndef CONTINUO_SERVER_H
#define CONTINUO_SERVER_H

#include "continuo/error.h"
#include "continuo/vault.h"

struct cn_server_opts {
	const char *policy;       /* path */
	const char *vault;        /* path */
	const char *history;      /* directory */
	const char *admin_socket; /* path */
	const char
	    *ready_file; /* gets {"url":…,"pid":…} when connections are accepted; NULL */
	const char *listen; /* "HOST:PORT" instead of the policy's; NULL */
	struct cn_unlock unlock;
	bool for_run; /* ends when the last `run` that uses it has gone */
	bool log_set; /* the command line chose the log's form: the policy does not */
};

/*
 * Serves until SIGTERM or SIGINT has drained it (0), or fails to start: CN_E_CONFIG,
 * CN_E_LOCKED, CN_E_BUSY (port taken, another router has the data), ….
 */
int cn_server_run(const struct cn_server_opts *opts, struct cn_error *reterr) CN_MUST_CHECK;

#endif
