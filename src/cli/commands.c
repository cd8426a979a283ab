/*
 * The list of commands, in the order of the help text.  One line a command; the row itself
 * stands in the command's own file.
 */
#include "cli_impl.h"

const struct cn_command *const cn_cli__commands[] = {
    &cn_cmd_run,      &cn_cmd_serve,  &cn_cmd_env,   &cn_cmd_demo,
    &cn_cmd_vault,    &cn_cmd_policy, &cn_cmd_probe, &cn_cmd_status,
    &cn_cmd_sessions, &cn_cmd_token,  &cn_cmd_help,  NULL,
};
