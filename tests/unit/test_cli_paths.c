/*
 * Where things are: when this fails, continuo looks for keys or history in the wrong place,
 * or makes directories that others can read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/cli/cli_impl.h"

struct place {
	const char *home, *config, *data, *runtime,
	    *continuo_home; /* environment; NULL: unset */
	const char *opt_home, *opt_policy;
	const char *want[5]; /* policy, vault, key file, history, socket */
};

static void set_or_unset(const char *name, const char *value)
{
	assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void environment_and_options_say_where(void **state)
{
	static const struct place places[] = {
	    {"/u",
	     NULL,
	     NULL,
	     NULL,
	     NULL,
	     NULL,
	     NULL,
	     {"/u/.config/continuo/policy.yaml", "/u/.local/share/continuo/vault",
	      "/u/.config/continuo/vault.key", "/u/.local/share/continuo/history",
	      "/u/.local/share/continuo/admin.sock"}},
	    {"/u",
	     "/c",
	     "/d",
	     "/r",
	     NULL,
	     NULL,
	     NULL,
	     {"/c/continuo/policy.yaml", "/d/continuo/vault", "/c/continuo/vault.key",
	      "/d/continuo/history", "/r/continuo/admin.sock"}},
	    {"/u",
	     "c",
	     "",
	     "r",
	     "",
	     NULL,
	     NULL, /* relative ones are ignored */
	     {"/u/.config/continuo/policy.yaml", "/u/.local/share/continuo/vault",
	      "/u/.config/continuo/vault.key", "/u/.local/share/continuo/history",
	      "/u/.local/share/continuo/admin.sock"}},
	    {"/u",
	     "/c",
	     "/d",
	     "/r",
	     "/all",
	     NULL,
	     NULL,
	     {"/all/policy.yaml", "/all/vault", "/all/vault.key", "/all/history",
	      "/all/admin.sock"}},
	    {"/u",
	     "/c",
	     "/d",
	     "/r",
	     "/all",
	     "/opt",
	     "/p/x.yaml",
	     {"/p/x.yaml", "/opt/vault", "/opt/vault.key", "/opt/history",
	      "/opt/admin.sock"}},
	    {"/u",
	     NULL,
	     NULL,
	     NULL,
	     NULL,
	     "here",
	     "x.yaml", /* beside where the user stands */
	     {"/tmp/x.yaml", "/tmp/here/vault", "/tmp/here/vault.key", "/tmp/here/history",
	      "/tmp/here/admin.sock"}},
	};
	(void)state;
	assert_int_equal(chdir("/tmp"), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		const struct place *at = &places[i];
		set_or_unset("HOME", at->home);
		set_or_unset("XDG_CONFIG_HOME", at->config);
		set_or_unset("XDG_DATA_HOME", at->data);
		set_or_unset("XDG_RUNTIME_DIR", at->runtime);
		set_or_unset("CONTINUO_HOME", at->continuo_home);
		struct cn_cli cli = {
		    .common = {.home = at->opt_home, .policy = at->opt_policy}};
		struct cn_paths p;
		struct cn_error err;
		if (cn_cli__paths(&cli, &p, &err))
			fail_msg("place %zu: %s", i, err.message);
		const char *got[5] = {p.policy, p.vault, p.vault_key, p.history,
		                      p.admin_socket};
		for (size_t k = 0; k < 5; k++)
			assert_string_equal(got[k], at->want[k]);
		cn_cli_done(&cli);
	}
}

static void directories_are_private(void **state)
{
	char base[] = "/tmp/continuo-test-paths-XXXXXX";
	CN_AUTO(cn_buf) path = {0};
	struct cn_error err;
	struct stat st;
	(void)state;
	assert_non_null(mkdtemp(base));
	assert_int_equal(chmod(base, 0755), 0);
	mode_t before = umask(0); /* must not widen what is made */
	cn_buf_printf(&path, "%s/a/b/file", base);
	assert_int_equal(cn_cli__make_dir_of(cn_buf_cstr(&path), &err), 0);
	assert_int_equal(cn_cli__make_dir_of(cn_buf_cstr(&path), &err), 0); /* again */
	umask(before);
	const char *made[] = {"/a", "/a/b"};
	for (size_t i = 0; i < 2; i++) {
		cn_buf_clear(&path);
		cn_buf_printf(&path, "%s%s", base, made[i]);
		assert_int_equal(stat(cn_buf_cstr(&path), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
	assert_int_equal(stat(base, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755); /* what was there stays as it was */

	cn_buf_add_str(&path, "/file");
	FILE *f = fopen(cn_buf_cstr(&path), "we");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(cn_cli__make_dir(cn_buf_cstr(&path), &err), CN_E_IO);
	assert_non_null(strstr(err.message, "Not a directory"));
	unlink(cn_buf_cstr(&path));
	for (size_t i = 2; i-- > 0;) {
		cn_buf_clear(&path);
		cn_buf_printf(&path, "%s%s", base, made[i]);
		rmdir(cn_buf_cstr(&path));
	}
	rmdir(base);
}

/* In a child, because nothing of it can be undone: 0, or the number of what is wrong. */
static int hardened(bool starts_client)
{
	struct cn_command command = {.starts_client = starts_client};
	struct rlimit core = {0};
	struct cn_cli cli = {0};
	setenv("SSLKEYLOGFILE", "/tmp/keys", 1);
	umask(022);
	getrlimit(RLIMIT_CORE, &core);
	rlim_t before = core.rlim_cur;
	close(STDERR_FILENO);
	cn_cli__harden(&cli);
	cn_cli__harden_command(&command);
	if (getrlimit(RLIMIT_CORE, &core) || core.rlim_cur != 0)
		return 1;
	if (prctl(PR_GET_DUMPABLE) != CN_TESTBUILD)
		return 2;
	if (getenv("SSLKEYLOGFILE"))
		return 3;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != !starts_client)
		return 4;
	if (signal(SIGPIPE, SIG_IGN) != SIG_IGN)
		return 5;
	if (write(STDERR_FILENO, "x", 1) != 1) /* closed before, open now */
		return 6;
	if (umask(077) != 077)
		return 7;
	cn_cli__before_exec(&cli);
	if (umask(077) != 022 || signal(SIGPIPE, SIG_DFL) != SIG_DFL)
		return 8;
	if (getrlimit(RLIMIT_CORE, &core) || core.rlim_cur != before)
		return 9;
	return 0;
}

static void process_is_hardened_and_its_client_is_not(void **state)
{
	(void)state;
	for (int starts_client = 0; starts_client < 2; starts_client++) {
		int status;
		pid_t child = fork();
		if (child == 0)
			_exit(hardened(starts_client));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(environment_and_options_say_where),
	    cmocka_unit_test(directories_are_private),
	    cmocka_unit_test(process_is_hardened_and_its_client_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
