/*
 * Changes in the text of policy files: where they land in every form that an entry may
 * have, that nothing else moves, that what would not load is not given, and how a file is
 * replaced.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_files.h"

#define ROUTE "routes: [{use: [m]}]\n"

/* The policy's text with one change made; "!" and the message when it is refused. */
static char *edited(struct config_dir *d, const char *text,
                    const struct cn_config_change *changes, size_t n)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_config_opts opts = {.path = d->policy};
	struct cn_config_texts texts = {NULL, 0};
	struct cn_error err = {0};

	config_file(d, "policy.yaml", text);
	if (cn_config_edit(&a, &opts, changes, n, &texts, &err)) {
		char *s = cn_alloc(sizeof err.message + 1);

		(void)snprintf(s, sizeof err.message + 1, "!%s", err.message);
		return s;
	}
	assert_int_equal(texts.n, n > 0);
	if (n == 0)
		return cn_strdup(text);
	assert_string_equal(texts.v[0].path, d->policy);
	assert_int_equal(texts.v[0].was.n, strlen(text));
	return cn_view_dup(texts.v[0].text);
}

static void check(struct config_dir *d, const char *text,
                  const struct cn_config_change *changes, size_t n, const char *want)
{
	CN_AUTOFREE char *got = edited(d, text, changes, n);

	assert_string_equal(got, want);
}

static void every_form_is_edited_in_place(void **state)
{
	static const struct cn_config_change off = {"models", "m",  "images",
	                                            "false",  NULL, 0};
	static const struct {
		const char *was, *want;
	} cases[] = {
	    /* brackets: behind the last key, or in place of the value */
	    {BACKENDS "models: {m: {backend: b, id: x}} # one\n" ROUTE,
	     BACKENDS "models: {m: {backend: b, id: x, images: false}} # one\n" ROUTE},
	    {BACKENDS "models: {m: {backend: b, images: true, id: x}}\n" ROUTE,
	     BACKENDS "models: {m: {backend: b, images: false, id: x}}\n" ROUTE},
	    {BACKENDS "models: {m: {\"images\" : true , backend: b, id: 'x'}}\n" ROUTE,
	     BACKENDS "models: {m: {\"images\" : false , backend: b, id: 'x'}}\n" ROUTE},
	    {BACKENDS "models: {m: {backend: b, id: \"x\",},}\n" ROUTE,
	     BACKENDS "models: {m: {backend: b, id: \"x\", images: false,},}\n" ROUTE},
	    {BACKENDS
	     "models: {m: {backend: b, id: x, price: {input: 1, output: 2}}}\n" ROUTE,
	     BACKENDS
	     "models: {m: {backend: b, id: x, price: {input: 1, output: 2}, images: "
	     "false}}\n" ROUTE},
	    /* a block: a line of its own, however deep, with what stands around it */
	    {BACKENDS
	     "models:\n  m:\n    backend: b # é ü\n    id: x # last\n\n  # next\n" ROUTE,
	     BACKENDS "models:\n  m:\n    backend: b # é ü\n    id: x # last\n    images: "
	              "false\n\n  # next\n" ROUTE},
	    {BACKENDS "models:\n m:\n  id: x\n  images:   true  # so\n  backend: b\n" ROUTE,
	     BACKENDS
	     "models:\n m:\n  id: x\n  images:   false  # so\n  backend: b\n" ROUTE},
	    {BACKENDS
	     "models:\n  m:\n    id: x\n    backend: b\n    price:\n      input: 1\n"
	     "      output: 2 # dear\n" ROUTE,
	     BACKENDS
	     "models:\n  m:\n    id: x\n    backend: b\n    price:\n      input: 1\n"
	     "      output: 2 # dear\n    images: false\n" ROUTE},
	    {BACKENDS ROUTE "models:\n  m:\n    backend: b\n    id: x",
	     BACKENDS ROUTE "models:\n  m:\n    backend: b\n    id: x\n    images: false"},
	    {"backends: {b: {preset: deepseek}}\r\nmodels:\r\n  m:\r\n    backend: b\r\n    id: "
	     "x\r\nroutes: [{use: [m]}]\r\n",
	     "backends: {b: {preset: deepseek}}\r\nmodels:\r\n  m:\r\n    backend: b\r\n    id: "
	     "x\r\n    images: false\r\nroutes: [{use: [m]}]\r\n"},
	};
	struct config_dir d;

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(&d, cases[i].was, &off, 1, cases[i].want);
	check(&d, BASE, &off, 0, BASE);
	config_dir_remove(&d);
}

static void several_changes_keep_their_order(void **state)
{
	static const struct cn_config_change all[] = {
	    {"models", "m", "images", "false", NULL, 0},
	    {"models", "m", "max_output", "8192", NULL, 0},
	    {"models", "m", "id", "y", NULL, 0},
	    {"models", "n", "stream", "never", NULL, 0},
	};
	struct config_dir d;

	(void)state;
	config_dir_make(&d);
	check(&d,
	      BACKENDS
	      "models:\n  n: {backend: b, id: z}\n  m:\n    id: x\n    backend: b\n" ROUTE,
	      all, 4,
	      BACKENDS
	      "models:\n  n: {backend: b, id: z, stream: never}\n  m:\n    id: y\n    "
	      "backend: b\n    images: false\n    max_output: 8192\n" ROUTE);
	config_dir_remove(&d);
}

static void lists_get_what_is_new(void **state)
{
	static const char *const more[] = {"fold_system", "no_effort"};
	static const struct cn_config_change quirks = {
	    "backends", "b", "quirks", "[think_tags, fold_system, no_effort]", more, 2};
	struct config_dir d;

	(void)state;
	config_dir_make(&d);
	check(&d, BASE, &quirks, 1,
	      "backends: {b: {preset: deepseek, quirks: [think_tags, fold_system, "
	      "no_effort]}}\n" MODELS ROUTES);
	check(&d,
	      "backends: {b: {quirks: [ think_tags ], preset: deepseek}}\n" MODELS ROUTE,
	      &quirks, 1,
	      "backends: {b: {quirks: [ think_tags, fold_system, no_effort ], preset: "
	      "deepseek}}\n" MODELS ROUTE);
	check(&d, "backends: {b: {quirks: [], preset: deepseek}}\n" MODELS ROUTE, &quirks,
	      1,
	      "backends: {b: {quirks: [fold_system, no_effort], preset: deepseek}}\n" MODELS
	          ROUTE);
	check(
	    &d,
	    "backends:\n  b:\n    quirks:\n    - think_tags # why\n\n    preset: deepseek\n" MODELS
		ROUTE,
	    &quirks, 1,
	    "backends:\n  b:\n    quirks:\n    - think_tags # why\n    - fold_system\n    - "
	    "no_effort\n\n    preset: deepseek\n" MODELS ROUTE);
	config_dir_remove(&d);
}

static void what_would_not_load_is_not_given(void **state)
{
	static const struct cn_config_change bad = {"models",  "m",  "images",
	                                            "perhaps", NULL, 0};
	static const struct cn_config_change none = {"models", "z",  "images",
	                                             "false",  NULL, 0};
	/* A list in a block cannot become a scalar in place. */
	static const struct cn_config_change form = {"models", "m", "price", "1", NULL, 0};
	static const struct {
		const struct cn_config_change *change;
		const char *text, *says;
	} cases[] = {
	    {&bad, BASE, "'perhaps'"},
	    {&none, BASE, "no z in models"},
	    {&form,
	     BACKENDS
	     "models:\n  m:\n    id: x\n    backend: b\n    price:\n      input: 1\n"
	     "      output: 2\n" ROUTE,
	     "price of m cannot be changed"},
	    {&bad, "models: 3\n", "!"},
	};
	struct config_dir d;

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		CN_AUTOFREE char *got = edited(&d, cases[i].text, cases[i].change, 1);

		assert_int_equal(got[0], '!');
		if (!strstr(got, cases[i].says))
			fail_msg("case %zu: %s", i, got);
	}
	config_dir_remove(&d);
}

static void the_file_that_defines_it_is_changed(void **state)
{
	static const struct cn_config_change off = {"models", "m",  "images",
	                                            "false",  NULL, 0};
	CN_AUTO(cn_arena) a = {0};
	struct config_dir d;
	struct cn_config_opts opts = {.path = d.policy};
	struct cn_config_texts texts = {NULL, 0};
	struct cn_policy *p;

	(void)state;
	config_dir_make(&d);
	config_file(&d, "policy.yaml", "include: more.yaml\n" BACKENDS ROUTE);
	config_file(&d, "more.yaml", MODELS);
	assert_int_equal(cn_config_edit(&a, &opts, &off, 1, &texts, NULL), 0);
	assert_int_equal(texts.n, 1);
	assert_non_null(strstr(texts.v[0].path, "/more.yaml"));
	assert_int_equal(cn_config_save(&texts.v[0], NULL), 0);
	p = config_load(d.policy, NULL);
	assert_false(p->models[0].images);
	cn_policy_unref(p);
	config_dir_remove(&d);
}

static void a_file_is_replaced_whole_with_its_mode(void **state)
{
	static const struct cn_config_change off = {"models", "m",  "images",
	                                            "false",  NULL, 0};
	CN_AUTO(cn_arena) a = {0};
	struct config_dir d;
	struct cn_config_opts opts = {.path = d.policy};
	struct cn_config_texts texts = {NULL, 0};
	struct cn_error err = {0};
	struct stat st;
	char link[128];

	(void)state;
	config_dir_make(&d);
	config_file(&d, "real.yaml", BASE);
	(void)snprintf(link, sizeof link, "%s/real.yaml", d.path);
	assert_int_equal(chmod(link, 0640), 0);
	assert_int_equal(symlink("real.yaml", d.policy), 0);
	assert_int_equal(cn_config_edit(&a, &opts, &off, 1, &texts, NULL), 0);
	assert_int_equal(cn_config_save(&texts.v[0], &err), 0);
	assert_int_equal(lstat(d.policy, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(link, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_size, texts.v[0].text.n);
	/* Somebody else was faster: nothing is lost of what he wrote. */
	assert_int_equal(cn_config_save(&texts.v[0], &err), CN_E_BUSY);
	config_dir_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_form_is_edited_in_place),
	    cmocka_unit_test(several_changes_keep_their_order),
	    cmocka_unit_test(lists_get_what_is_new),
	    cmocka_unit_test(what_would_not_load_is_not_given),
	    cmocka_unit_test(the_file_that_defines_it_is_changed),
	    cmocka_unit_test(a_file_is_replaced_whole_with_its_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
