/*
 * The program continuo.  Hardens the process before anything else, then hands over to the
 * tables of commands.
 */
#include "cli_impl.h"
#include "continuo/hash.h"

int main(int argc, char **argv)
{
	struct cn_cli cli = {.root = &cn_cli__root, .out = stdout, .err = stderr};
	cn_cli__harden(&cli);
	cn_hash_setup();
	int status = cn_cli__main(&cli, argc, (const char *const *)argv);
	cn_cli_done(&cli);
	return status;
}
