/*
 * The rows that belong to no single command: the program itself, the options that all
 * commands take, and the tables of the man page's last sections.  Constant; any thread.
 */
#include "cli_impl.h"

const struct cn_option cn_cli__common_options[] = {
    CN_OPTION(TEXT, struct cn_common, home, "home", "DIR",
              "Keeps everything in DIR instead of the user's usual directories"),
    CN_OPTION(TEXT, struct cn_common, policy, "policy", "FILE", "Uses this policy file"),
    CN_OPTION(SWITCH, struct cn_common, json, "json", NULL, "Prints data as JSON"),
    CN_OPTION(WORD, struct cn_common, log, "log", "text|json",
              "Form of the log on standard error"),
    CN_OPTION(WORD, struct cn_common, log_level, "log-level", "error|warning|info|debug",
              "How much is logged"),
    {"help", NULL, "Prints this text", offsetof(struct cn_common, help), CN_OPT_SWITCH, 'h',
     false},
    {0}};

struct root_opts {
	bool version;
};

static const struct cn_option root_options[] = {
    CN_OPTION(SWITCH, struct root_opts, version, "version", NULL, "Prints the version"),
    {0}};

static const char *const root_description[] = {
    "continuo stands between Claude Code and any number of model providers.  When a provider "
    "is overloaded, limits the rate, hangs or breaks off, the turn goes on with the next "
    "model of a chain, and the session never notices more than a header.",
    "Everything it keeps is below the user's own directories, or below one directory given "
    "with --home: the policy, the encrypted vault with the keys, and the encrypted history.",
    NULL};

/* The root's own run: only --version brings it here without a command. */
static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct root_opts *o = cli->opts;
	if (!o->version)
		return cn_fail(reterr, CN_E_USAGE, "no command given");
	cn_cli__print(cli, "continuo %s\n", CN_VERSION);
	return 0;
}

const struct cn_command cn_cli__root = {
    .name = "continuo",
    .summary = "Keeps an agent session alive across model providers",
    .description = root_description,
    .options = root_options,
    .opts_size = sizeof(struct root_opts),
    .commands = cn_cli__commands,
    .run = run,
};

const struct cn_note cn_cli__exit_statuses[] = {
    {"0", "It worked"},
    {"1", "It failed"},
    {"2", "The command line was wrong"},
    {"3", "The configuration is wrong; every mistake is named with file, line and column"},
    {"4", "The vault is locked, or the passphrase is wrong"},
    {0}};

const struct cn_note cn_cli__environment[] = {
    {"CONTINUO_HOME", "Directory for everything, as --home; the option goes before it"},
    {"XDG_CONFIG_HOME", "Where continuo/policy.yaml and continuo/vault.key are looked for; "
                        "~/.config when unset"},
    {"XDG_DATA_HOME", "Where continuo/vault and continuo/history are; ~/.local/share when "
                      "unset"},
    {"XDG_RUNTIME_DIR", "Where continuo/admin.sock is; beside the vault when unset"},
    {"CREDENTIALS_DIRECTORY", "Set by systemd: continuo.key or continuo.passphrase there "
                              "opens the vault"},
    {0}};

const struct cn_note cn_cli__files[] = {
    {"$XDG_CONFIG_HOME/continuo/policy.yaml", "The policy (with --home: DIR/policy.yaml)"},
    {"$XDG_DATA_HOME/continuo/vault", "The encrypted provider keys (DIR/vault)"},
    {"$XDG_CONFIG_HOME/continuo/vault.key", "The key file that opens the vault "
                                            "(DIR/vault.key)"},
    {"$XDG_DATA_HOME/continuo/history/",
     "Conversations, usage, cooldowns and client tokens, "
     "encrypted (DIR/history/)"},
    {"$XDG_DATA_HOME/continuo/router.log",
     "What a router that `run` started has to say (DIR/router.log); router.log.old is the one "
     "before it, kept from 4 MiB on"},
    {"$XDG_RUNTIME_DIR/continuo/admin.sock",
     "How the other commands reach a running router "
     "(DIR/admin.sock)"},
    {0}};
