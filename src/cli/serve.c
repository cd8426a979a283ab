/*
 * `continuo serve`: the router in the foreground, until SIGTERM or SIGINT.
 *
 * Looks at the policy before the vault is opened, so that its mistakes are named without a
 * passphrase and its `vault:` part holds for the opening.  All else is src/app's.
 */
#include "router_impl.h"

#include <limits.h>
#include <unistd.h>

#include "continuo/config.h"
#include "continuo/server.h"
#include "continuo/store.h"
#include "continuo/trace.h"

struct opts {
	const char *ready_file, *listen, *trace_file;
	uint64_t passphrase_fd, key_fd;
	bool accept_older, for_run;
};

#define NO_FD UINT64_MAX
static const struct opts defaults = {.passphrase_fd = NO_FD, .key_fd = NO_FD};

static const struct cn_option options[] = {
    CN_OPTION(TEXT, struct opts, listen, "listen", "HOST:PORT",
              "Listens there instead of where the policy says; port 0 picks a free one"),
    CN_OPTION(TEXT, struct opts, ready_file, "ready-file", "FILE",
              "Writes {\"url\":…,\"pid\":…} to FILE when connections are accepted"),
    CN_OPTION(NUMBER, struct opts, passphrase_fd, "passphrase-fd", "N",
              "Reads the vault's passphrase from descriptor N"),
    CN_OPTION(NUMBER, struct opts, key_fd, "key-fd", "N",
              "Reads the 32 bytes of the vault's key from descriptor N"),
    CN_OPTION(SWITCH, struct opts, accept_older, "accept-older-vault", NULL,
              "Opens a vault that is older than the one last used here"),
    CN_OPTION(TEXT, struct opts, trace_file, "trace-file", "FILE",
              "Appends what happens inside to FILE, as JSON lines without content"),
    {"for-run", NULL, "Ends with the last `run` that uses it",
     offsetof(struct opts, for_run), CN_OPT_SWITCH, 0, true},
    {0}};

static const char *const description[] = {
    "Serves until SIGTERM or SIGINT, then lets the turns in flight end first; a second "
    "signal ends at once.  SIGHUP, or a change of their files, reads the vault and the policy "
    "anew.",
    "The first start makes a vault that a random key file opens.", NULL};

static const struct cn_example examples[] = {
    {"serve", "Serves with the policy in its usual place"},
    {"serve --policy team.yaml --log json", "Serves that policy and logs JSON lines"},
    {0}};

static bool known_generation(void *self, const unsigned char id[16], uint64_t *ret)
{
	const struct cn_paths *paths = self;

	return cn_store_vault_generation(paths->history, id, ret);
}

static int descriptor(uint64_t n, const char *option, int *ret, struct cn_error *reterr)
{
	if (n != NO_FD && n > INT_MAX)
		return cn_fail(reterr, CN_E_USAGE, "%s %llu: no such descriptor", option,
		               (unsigned long long)n);
	*ret = n == NO_FD ? -1 : (int)n;
	return 0;
}

static void on_mistake(void *self, const struct cn_error *mistake)
{
	cn_cli__print_error(self, mistake);
}

/* The mistakes of the policy, and what it says about the vault.  Which keys are there is
 * checked once the vault is open. */
static int read_policy(struct cn_cli *cli, const struct cn_paths *paths,
                       struct cn_unlock *unlock, struct cn_error *reterr)
{
	struct cn_config_opts opts = {
	    .path = paths->policy, .on_mistake = on_mistake, .self = cli};
	struct cn_policy *policy;
	int failed = cn_config_load(&opts, &policy, reterr);

	if (failed) {
		if (failed == CN_E_CONFIG)
			reterr->message[0] = '\0'; /* each has been printed */
		return failed;
	}
	if (policy->vault_key_file)
		unlock->key_file =
		    cn_arena_dup(&cli->arena, cn_view_str(policy->vault_key_file));
	unlock->require_mlock = policy->require_mlock;
	cn_policy_unref(policy);
	return 0;
}

static int make_dirs(const struct cn_paths *p, struct cn_error *reterr)
{
	int failed = cn_cli__make_dir_of(p->vault, reterr);

	if (!failed)
		failed = cn_cli__make_dir_of(p->vault_key, reterr);
	if (!failed)
		failed = cn_cli__make_dir(p->history, reterr);
	if (!failed)
		failed = cn_cli__make_dir_of(p->admin_socket, reterr);
	return failed;
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct opts *o = cli->opts;
	struct cn_paths p;
	struct cn_server_opts s;
	int failed = cn_cli__paths(cli, &p, reterr);

	if (failed)
		return failed;
	s = (struct cn_server_opts){
	    .policy = p.policy,
	    .vault = p.vault,
	    .history = p.history,
	    .admin_socket = p.admin_socket,
	    .ready_file = o->ready_file,
	    .listen = o->listen,
	    .unlock = {.key_file = p.vault_key,
	               .may_prompt = !o->for_run,
	               .accept_older = o->accept_older,
	               .known_generation = known_generation,
	               .self = &p},
	    .for_run = o->for_run,
	    .log_set = cli->common.log || cli->common.log_level,
	};
	failed = descriptor(o->passphrase_fd, "--passphrase-fd", &s.unlock.passphrase_fd,
	                    reterr);
	if (!failed)
		failed = descriptor(o->key_fd, "--key-fd", &s.unlock.key_fd, reterr);
	if (!failed)
		failed = cn_cli__need_policy(&p, reterr);
	if (!failed)
		failed = read_policy(cli, &p, &s.unlock, reterr);
	if (!failed)
		failed = make_dirs(&p, reterr);
	if (!failed && o->trace_file)
		failed = cn_trace_open(o->trace_file, reterr);
	if (!failed)
		failed = cn_server_run(&s, reterr);
	if (failed == CN_E_BUSY && o->for_run) {
		cn_cli__print_error(cli, reterr);
		cli->exit_status = CN_EXIT_BUSY;
		return 0;
	}
	return failed;
}

const struct cn_command cn_cmd_serve = {
    .name = "serve",
    .summary = "Runs the router in the foreground",
    .description = description,
    .options = options,
    .opts_size = sizeof(struct opts),
    .defaults = &defaults,
    .examples = examples,
    .run = run,
};
