/*
 * One invocation from words to exit status: parse, then help or the command, then the one
 * place that prints its error.  Main thread.
 */
#include "cli_impl.h"
#include "continuo/log.h"

static void set_up_log(const struct cn_common *c)
{
	enum cn_log_level level = CN_LOG_INFO;
	if (c->log_level) {
		bool known = cn_log_level_parse(cn_view_str(c->log_level), &level);
		cn_assert(known); /* the option's own list of words */
	}
	cn_log_setup(level, c->log && strcmp(c->log, "json") == 0);
}

static int run_command(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct cn_command *command = cn_cli__command(cli);
	if (cli->common.help) {
		cn_cli__help(cli, cli->out);
		return 0;
	}
	cn_cli__harden_command(command);
	set_up_log(&cli->common);
	return command->run(cli, reterr);
}

int cn_cli__main(struct cn_cli *cli, int argc, const char *const *argv)
{
	struct cn_error err = {0};
	int code = cn_cli__parse(cli, argc, argv, &err);
	if (!code)
		code = run_command(cli, &err);
	/* A full disk behind `continuo … > file` must not look like success. */
	if ((fflush(cli->out) != 0 || ferror(cli->out)) && !code)
		code = cn_fail(&err, CN_E_IO, "cannot write to standard output");
	if (code && err.message[0])
		cn_cli__print_error(cli, &err);
	return code ? cn_error_exit(code) : cli->exit_status;
}
