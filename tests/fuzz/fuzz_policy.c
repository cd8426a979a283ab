/*
 * A policy file of any bytes: no crash, and either mistakes are told or there is a policy,
 * which is printed, read again and printed to the same text.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "continuo/config.h"
#include "continuo/hash.h"

static struct cn_policy *load(struct cn_view text)
{
	struct cn_config_opts opts = {0};
	struct cn_policy *p = NULL;
	struct cn_error err = {0};
	char path[32];
	int fd = memfd_create("policy", MFD_CLOEXEC);

	cn_assert(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	opts.path = path;
	opts.skip_ownership = true; /* its mode is 0777 */
	if (cn_config_load(&opts, &p, &err) != 0)
		cn_assert(err.code == CN_E_CONFIG && err.message[0] && !p);
	(void)close(fd);
	return p;
}

/* NOLINTBEGIN(readability-identifier-naming,bugprone-reserved-identifier): their names */
/* libfyaml 0.7 loses buffers of its own on some syntax errors. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CN_AUTO(cn_buf) once = {0}, twice = {0};
	struct cn_policy *p, *again;

	cn_hash_setup();
	p = load(cn_view((const char *)data, n));
	if (!p)
		return 0;
	cn_config_print(&once, p, false);
	again = load(cn_buf_view(&once));
	cn_assert(again != NULL);
	cn_config_print(&twice, again, false);
	cn_assert(cn_view_eq(cn_buf_view(&once), cn_buf_view(&twice)));
	cn_policy_unref(p);
	cn_policy_unref(again);
	return 0;
}
/* NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier) */
