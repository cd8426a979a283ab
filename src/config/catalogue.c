/*
 * The built-in catalogue: policies/catalogue.yaml, made part of the program at build time,
 * is read once, on first use, with the same parser and tables as a policy's own `presets`.
 *
 * What it makes lives as long as the program.  Any thread.  A mistake in it is a bug of
 * ours: a test reads it, and the program stops with its place.
 */
#include <pthread.h>

#include "config_impl.h"

#include "continuo/log.h"

/* Made by embed.py. */
extern const char cn_config__catalogue_text[];
extern const size_t cn_config__catalogue_bytes;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct cn_load load; /* never freed: presets point into its arenas */
static struct cn_preset *listing;

static void list_presets(void)
{
	listing = cn_arena_zalloc(&load.arena, (load.n_presets + 1) * sizeof *listing);
	for (size_t i = 0; i < load.n_presets; i++) {
		const struct cn_config_preset *p = &load.presets[i];
		listing[i] = (struct cn_preset){.name = p->name,
		                                .title = p->title,
		                                .url = p->backend.url,
		                                .origin = p->backend.origin,
		                                .wire = p->backend.wire};
	}
}

static void read_catalogue(void)
{
	static struct cn_config_file file = {.name = "catalogue.yaml"};
	struct cn_error err = {0};
	struct cn_node *root, *presets;

	load.policy = cn_policy_new(); /* for its arena */
	file.text = cn_view(cn_config__catalogue_text, cn_config__catalogue_bytes);
	root = cn_config__parse(&load, &file);
	presets = cn_config__find(root, "presets");
	if (presets && presets->kind == CN_NODE_MAP)
		cn_config__presets(&load, presets);
	if (cn_config__report(&load, &err) < 0)
		cn_log(NULL, CN_LOG_ERROR, "the built-in catalogue has a mistake",
		       CN_STR(ERROR, err.message), CN_NUM(LINE, err.line),
		       CN_NUM(COLUMN, err.column));
	cn_assert(err.code == 0 && load.n_presets > 0);
	list_presets();
}

const struct cn_config_preset *cn_config__catalogue(size_t *retn)
{
	(void)pthread_once(&once, read_catalogue); /* fails only on a wrong argument */
	*retn = load.n_presets;
	return load.presets;
}

size_t cn_catalogue_presets(const struct cn_preset **ret)
{
	size_t n;

	(void)cn_config__catalogue(&n);
	*ret = listing;
	return n;
}

const struct cn_preset *cn_catalogue_preset(struct cn_view name)
{
	const struct cn_preset *list;
	size_t n = cn_catalogue_presets(&list);

	for (size_t i = 0; i < n; i++)
		if (cn_view_is(name, list[i].name))
			return &list[i];
	return NULL;
}
