/*
 * Where things are (design/product.md): from --home, CONTINUO_HOME or the XDG directories
 * to absolute paths, and directories made on demand, 0700.
 *
 * Reads the environment and the user's entry, never a file of ours.  Nothing is ever looked
 * for in the working directory; it only completes paths that the user gave.
 */
#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_impl.h"

static int absolute(struct cn_cli *cli, const char *path, const char **ret,
                    struct cn_error *reterr)
{
	if (path[0] == '/') {
		*ret = path;
		return 0;
	}
	CN_AUTOFREE char *cwd = getcwd(NULL, 0);
	if (!cwd || cwd[0] != '/')
		return cn_fail(reterr, CN_E_IO, "%s: the working directory is unknown",
		               path);
	*ret = cn_arena_printf(&cli->arena, "%s/%s", cwd, path);
	return 0;
}

static const char *user_home(void)
{
	const char *home = getenv("HOME");
	if (home && home[0] == '/')
		return home;
	const struct passwd *pw = getpwuid(getuid());
	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
}

/* The XDG rules: a relative path in the variable is ignored.  NULL when there is no home.
 */
static const char *xdg(struct cn_cli *cli, const char *variable, const char *below_home)
{
	const char *dir = getenv(variable);
	if (dir && dir[0] == '/')
		return cn_arena_printf(&cli->arena, "%s/continuo", dir);
	const char *home = below_home ? user_home() : NULL;
	return home ? cn_arena_printf(&cli->arena, "%s/%s/continuo", home, below_home)
	            : NULL;
}

static const char *join(struct cn_cli *cli, const char *dir, const char *name)
{
	return cn_arena_printf(&cli->arena, "%s/%s", dir, name);
}

int cn_cli__paths(struct cn_cli *cli, struct cn_paths *ret, struct cn_error *reterr)
{
	struct cn_paths p = {0};
	const char *home = cli->common.home ? cli->common.home : getenv("CONTINUO_HOME");
	int failed = 0;
	if (home && *home) {
		failed = absolute(cli, home, &p.config_dir, reterr);
		p.data_dir = p.runtime_dir = p.config_dir;
	} else {
		p.config_dir = xdg(cli, "XDG_CONFIG_HOME", ".config");
		p.data_dir = xdg(cli, "XDG_DATA_HOME", ".local/share");
		p.runtime_dir = xdg(cli, "XDG_RUNTIME_DIR", NULL);
		if (!p.runtime_dir)
			p.runtime_dir = p.data_dir;
	}
	if (failed)
		return failed;
	if (!p.config_dir || !p.data_dir)
		return cn_fail(reterr, CN_E_FAIL,
		               "the user has no home directory; give one with --home DIR");

	p.policy = join(cli, p.config_dir, "policy.yaml");
	p.vault = join(cli, p.data_dir, "vault");
	p.vault_key = join(cli, p.config_dir, "vault.key");
	p.history = join(cli, p.data_dir, "history");
	p.admin_socket = join(cli, p.runtime_dir, "admin.sock");
	if (cli->common.policy) {
		failed = absolute(cli, cli->common.policy, &p.policy, reterr);
		if (failed)
			return failed;
	}
	*ret = p;
	return 0;
}

static int make_one(const char *dir, struct cn_error *reterr)
{
	struct stat st;
	if (mkdir(dir, 0700) == 0)
		return 0;
	if (errno == EEXIST && stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return cn_fail(reterr, CN_E_IO, "cannot make the directory %s: %s", dir,
	               strerror(errno == EEXIST ? ENOTDIR : errno));
}

int cn_cli__make_dir(const char *dir, struct cn_error *reterr)
{
	CN_AUTOFREE char *path = cn_strdup(dir);
	/* From the top: each directory above, then the whole. */
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int failed = make_one(path, reterr);
		*slash = '/';
		if (failed)
			return failed;
	}
	return make_one(path, reterr);
}

int cn_cli__make_dir_of(const char *file, struct cn_error *reterr)
{
	const char *slash = strrchr(file, '/');
	if (!slash || slash == file)
		return 0; /* the working directory, or the root: both are there */
	CN_AUTOFREE char *dir = cn_view_dup(cn_view(file, (size_t)(slash - file)));
	return cn_cli__make_dir(dir, reterr);
}
