/*
 * The running router as commands see it: its admin socket, starting one, and what a client
 * needs to come to it.  For the files of cli/ alone, beside cli_impl.h.
 */
#ifndef CONTINUO_CLI_ROUTER_IMPL_H
#define CONTINUO_CLI_ROUTER_IMPL_H

#include "cli_impl.h"

/* ---- admin.c: a blocking client of the admin socket (src/app/admin.c says what it
 * answers) ---- */

struct cn_admin_answer {
	int status;
	struct cn_buf body; /* owned: one JSON value, whatever the status */
};
/* Wipes: it may hold a new token.  Starts from {0}. */
void cn_admin_answer_done(struct cn_admin_answer *a);

/* One call.  CN_E_NOT_FOUND: no router answers on the socket; CN_E_IO: it broke off. */
int cn_cli__admin_call(const char *socket, const char *method, const char *path,
                       struct cn_view body, struct cn_admin_answer *ret,
                       struct cn_error *reterr) CN_MUST_CHECK;
/*
 * POST /api/run.  With status 200 the connection, *retfd, is the lease, which lasts until
 * the caller closes it or the router dies, and the answer is its first line; else *retfd is
 * -1.  Fails as above.
 */
int cn_cli__admin_lease(const char *socket, struct cn_view body, int *retfd,
                        struct cn_admin_answer *ret, struct cn_error *reterr) CN_MUST_CHECK;
/* The router's own words for a status that is not 200, under that code. */
int cn_cli__admin_refused(int code, const struct cn_admin_answer *answer,
                          struct cn_error *reterr);

/* ---- launch.c: a router as a child ---- */

/* How `serve --for-run` ends when another process has the port or the data: what `run`
 * tries again.  (EX_TEMPFAIL.) */
#define CN_EXIT_BUSY 75

struct cn_launch {
	const char *home;          /* NULL: this command's own --home and --policy */
	const char *policy;        /* with home: NULL is the one there */
	const char *log;           /* the file that gets its standard error, 0600 */
	const char *listen;        /* NULL: what the policy says */
	int passphrase_fd, key_fd; /* -1: none; passed on */
	bool for_run;              /* ends with the last `run`; a session of its own */
};
/*
 * Starts it and waits until it accepts connections; *reterr ends with its last line when it
 * does not.  CN_E_BUSY for CN_EXIT_BUSY.
 */
int cn_cli__launch(struct cn_cli *cli, const struct cn_paths *paths,
                   const struct cn_launch *how, pid_t *retpid,
                   struct cn_error *reterr) CN_MUST_CHECK;
/* That there is a policy to start with; CN_E_CONFIG that says how to come by one. */
int cn_cli__need_policy(const struct cn_paths *paths,
                        struct cn_error *reterr) CN_MUST_CHECK;

/* ---- client_env.c: a client's environment (design/product.md, "Commands") ---- */

struct cn_variable {
	const char *name, *value; /* in arena; value NULL: must not be set */
};
struct cn_client_env {
	struct cn_variable *v; /* in arena */
	size_t n, cap;
};
/* What must change in our own environment, by the router's answer to a new token. */
void cn_cli__client_env(struct cn_cli *cli, struct cn_view answer,
                        struct cn_client_env *ret);
/* The name of the project that the working directory is in; in arena. */
const char *cn_cli__project(struct cn_cli *cli);

#endif
