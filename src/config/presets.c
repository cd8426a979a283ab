/*
 * Presets: what a provider's backends have in common, and what is known of its models.  The
 * catalogue's and a policy's own are read alike; a preset may be like one before it.
 *
 * Thread of the load.  Presets of the catalogue outlive all policies (catalogue.c).
 */
#include <ctype.h>

#include "config_impl.h"

const char *cn_config__entry_name(struct cn_load *l, const struct cn_node *n)
{
	if (!cn_config__is_name(n->name))
		cn_config__mistake_key(
		    l, n,
		    "'%.*s' is no name; write at most 60 of letters, digits "
		    "and . _ : @ -",
		    CN_SHOW(n->name));
	return cn_arena_dup(&l->policy->arena, n->name);
}

/* The catalogue's; while it is itself being read there are none. */
static const struct cn_config_preset *builtin_presets(const struct cn_load *l, size_t *retn)
{
	*retn = 0;
	return l->opts ? cn_config__catalogue(retn) : NULL;
}

const struct cn_config_preset *cn_config__preset(struct cn_load *l, struct cn_view name)
{
	size_t n;
	const struct cn_config_preset *builtin;

	for (size_t i = 0; i < l->n_presets; i++)
		if (cn_view_is(name, l->presets[i].name))
			return &l->presets[i];
	builtin = builtin_presets(l, &n);
	for (size_t i = 0; i < n; i++)
		if (cn_view_is(name, builtin[i].name))
			return &builtin[i];
	return NULL;
}

const struct cn_config_preset *
cn_config__preset_of(struct cn_load *l, const struct cn_node *n, const char *otherwise)
{
	const struct cn_config_preset *p, *builtin;
	struct cn_suggest s;
	size_t count;

	if (!n || !cn_config__scalar(l, n, "the name of a preset"))
		return NULL;
	if ((p = cn_config__preset(l, n->text)))
		return p;
	s = (struct cn_suggest){.word = n->text};
	builtin = builtin_presets(l, &count);
	for (size_t i = 0; i < count; i++)
		cn_config__offer(&s, builtin[i].name);
	for (size_t i = 0; i < l->n_presets; i++)
		cn_config__offer(&s, l->presets[i].name);
	cn_config__mistake(l, n, "unknown preset '%.*s'; %s", CN_SHOW(n->text),
	                   cn_config__hint(l, &s, otherwise));
	return NULL;
}

void cn_config__presets(struct cn_load *l, const struct cn_node *map)
{
	l->presets = cn_arena_zalloc(&l->policy->arena, (map->n + 1) * sizeof *l->presets);
	for (const struct cn_node *c = map->first; c; c = c->next) {
		struct cn_config_preset *p = &l->presets[l->n_presets];
		if (c->kind == CN_NODE_MAP)
			p->like = cn_config__preset_of(l, cn_config__find(c, "like"),
			                               "name one that stands before this");
		if (p->like)
			p->backend = p->like->backend;
		p->name = cn_config__entry_name(l, c);
		p->backend.preset = p->name;
		cn_config__read(l, c, &cn_config__preset_table, p);
		if (!p->title)
			p->title = p->name;
		l->n_presets++; /* what follows may be like it */
	}
}

/* ---- what is known of a model ---- */

static struct cn_view lower(struct cn_load *l, struct cn_view v)
{
	char *s = cn_arena_dup(&l->arena, v);

	for (size_t i = 0; i < v.n; i++)
		s[i] = (char)tolower((unsigned char)s[i]);
	return cn_view(s, v.n);
}

void cn_config__apply_preset(struct cn_load *l, const struct cn_config_preset *preset,
                             struct cn_model *m)
{
	/* Servers write one model's name in different cases. */
	struct cn_view id = lower(l, cn_view_str(m->id));

	if (preset->like)
		cn_config__apply_preset(l, preset->like, m);
	for (const struct cn_node *c = preset->models ? preset->models->first : NULL; c;
	     c = c->next)
		if (m->id ? cn_view_glob(lower(l, c->name), id) : cn_view_is(c->name, "*"))
			cn_config__read(l, c, &cn_config__preset_model_table, m);
}
