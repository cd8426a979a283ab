/*
 * What this process may do and show (design/security.md 3), set before anything else, and
 * given back to the user's own programs.  Changes the process, owns nothing; main thread.
 *
 * A test build leaves the process dumpable, or debuggers and leak checkers would be blind.
 * A release binary has no such switch.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_impl.h"

/* A vault or a store opened as descriptor 2 would get our error messages. */
static void open_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* The soft limit is what counts.  The hard one stays, so that a client of `run` can have
 * the user's own limit back. */
static void limit_core(struct cn_cli *cli)
{
	struct rlimit core;
	int failed = getrlimit(RLIMIT_CORE, &core);
	cn_assert(!failed);
	cli->core_limit = core.rlim_cur;
	core.rlim_cur = 0;
	failed = setrlimit(RLIMIT_CORE, &core);
	cn_assert(!failed);
}

void cn_cli__harden(struct cn_cli *cli)
{
	limit_core(cli);
	if (!CN_TESTBUILD) {
		int failed = prctl(PR_SET_DUMPABLE, 0);
		cn_assert(!failed);
	}
	cli->umask = umask(077);
	(void)unsetenv(
	    "SSLKEYLOGFILE"); /* libcurl's OpenSSL would write session keys to it */
	(void)signal(SIGPIPE, SIG_IGN);
	open_standard_descriptors();
}

void cn_cli__harden_command(const struct cn_command *command)
{
	/* A client that `run` starts may need programs that gain privileges (sudo, ping),
	 * and what is set here cannot be taken back and is inherited. */
	if (command->starts_client)
		return;
	int failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	cn_assert(!failed);
}

void cn_cli__before_exec(const struct cn_cli *cli)
{
	struct rlimit core;
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = cli->core_limit;
		(void)setrlimit(RLIMIT_CORE, &core); /* below the hard limit: cannot fail */
	}
	umask(cli->umask);
	(void)signal(SIGPIPE, SIG_DFL);
}
