/* What the files of `continuo policy` share.  For the files of cli/ alone. */
#ifndef CONTINUO_CLI_POLICY_IMPL_H
#define CONTINUO_CLI_POLICY_IMPL_H

#include "cli_impl.h"

#include "continuo/policy.h"

/*
 * The policy at path (NULL: the one in use), with every mistake printed; then *reterr has
 * no message.  Keys are looked at where the vault opens with its key file.
 */
int cn_cli__load_policy(struct cn_cli *cli, const char *path, struct cn_policy **ret,
                        struct cn_error *reterr) CN_MUST_CHECK;

extern const struct cn_command cn_cmd_policy_explain;

#endif
