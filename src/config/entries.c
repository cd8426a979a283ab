/*
 * The parts of a policy that refer to each other, written back and described: presets,
 * backends, models, chains, routes.  They are read in check.c and routes.c, in that order,
 * which follow the references; so the types here have no read function.
 *
 * Thread of the printer; owns nothing.
 */
#include <stdio.h>

#include "config_impl.h"

static yyjson_mut_val *no_give(yyjson_mut_doc *d, const struct cn_row *row,
                               const void *base)
{
	(void)d;
	(void)row;
	(void)base;
	return NULL;
}

/* A map whose keys are names and whose values are described by item. */
static yyjson_mut_val *map_of(yyjson_mut_doc *d, yyjson_mut_val *item, const char *pattern)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	yyjson_mut_obj_add_str(d, v, "type", "object");
	yyjson_mut_obj_add_val(d, v, "propertyNames", cn_config__pattern(d, pattern));
	yyjson_mut_obj_add_val(d, v, "additionalProperties", item);
	return v;
}

static const char name_pattern[] = "^[A-Za-z0-9._:@-]{1,60}$";

static yyjson_mut_val *entries_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return map_of(d, cn_config__describe(d, row->table), name_pattern);
}

static yyjson_mut_val *names_describe(yyjson_mut_doc *d)
{
	return cn_config__array(d, cn_config__pattern(d, name_pattern), 1);
}

/* ---- include ---- */

static yyjson_mut_val *include_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *list = cn_config__array(d, cn_config__pattern(d, "^[^/]"), 0);

	yyjson_mut_obj_add_uint(d, list, "maxItems", row->max);
	return cn_config__either(d, cn_config__pattern(d, "^[^/]"), list);
}

const struct cn_type cn_type_include = {NULL, no_give, include_describe};

/* ---- presets ---- */

static bool is_own(const struct cn_policy *p, size_t i)
{
	const char *name = p->backends[i].preset;

	if (!name || cn_catalogue_preset(cn_view_str(name)))
		return false;
	for (size_t j = 0; j < i; j++)
		if (p->backends[j].preset && strcmp(p->backends[j].preset, name) == 0)
			return false;
	return true;
}

/* The catalogue's are known to everyone; a policy keeps of its own what backends took. */
static yyjson_mut_val *presets_give(yyjson_mut_doc *d, const struct cn_row *row,
                                    const void *base)
{
	const struct cn_policy *p = base;
	yyjson_mut_val *obj = yyjson_mut_obj(d);

	for (size_t i = 0; i < p->n_backends; i++) {
		struct cn_config_preset own = {.backend = p->backends[i]};
		if (is_own(p, i))
			yyjson_mut_obj_add(obj, yyjson_mut_strcpy(d, own.backend.preset),
			                   cn_config__give(d, row->table, &own, NULL));
	}
	return yyjson_mut_obj_size(obj) ? obj : NULL;
}

const struct cn_type cn_type_presets = {NULL, presets_give, entries_describe};

static yyjson_mut_val *preset_models_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return map_of(d, cn_config__describe(d, row->table), "^.{1,200}$");
}

static void preset_models_read(struct cn_load *l, const struct cn_node *n,
                               const struct cn_row *row, void *base)
{
	struct cn_config_preset *p = base;

	if (n->kind != CN_NODE_MAP) {
		cn_config__mistake(l, n, "'%s' is a map; write 'ID: {context: 128k}'",
		                   row->key);
		return;
	}
	for (const struct cn_node *c = n->first; c; c = c->next) {
		struct cn_model trial = {0}; /* told here even if no model uses it */
		cn_config__read(l, c, row->table, &trial);
	}
	p->models = n;
}

const struct cn_type cn_type_preset_models = {preset_models_read, no_give,
                                              preset_models_describe};

/* ---- backends, models ---- */

static yyjson_mut_val *backends_give(yyjson_mut_doc *d, const struct cn_row *row,
                                     const void *base)
{
	const struct cn_policy *p = base;
	yyjson_mut_val *obj = yyjson_mut_obj(d);

	for (size_t i = 0; i < p->n_backends; i++)
		yyjson_mut_obj_add(obj, yyjson_mut_strcpy(d, p->backends[i].name),
		                   cn_config__give(d, row->table, &p->backends[i], NULL));
	return obj;
}

const struct cn_type cn_type_backends = {NULL, backends_give, entries_describe};

static yyjson_mut_val *backend_ref_give(yyjson_mut_doc *d, const struct cn_row *row,
                                        const void *base)
{
	const struct cn_model *m = base;

	(void)row;
	return cn_config__str(d, m->backend->name);
}

static yyjson_mut_val *name_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__pattern(d, name_pattern);
}

const struct cn_type cn_type_backend_ref = {NULL, backend_ref_give, name_describe};

static yyjson_mut_val *models_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base)
{
	const struct cn_policy *p = base;
	yyjson_mut_val *obj = yyjson_mut_obj(d);

	for (size_t i = 0; i < p->n_models; i++)
		yyjson_mut_obj_add(obj, yyjson_mut_strcpy(d, p->models[i].name),
		                   cn_config__give(d, row->table, &p->models[i], NULL));
	return obj;
}

const struct cn_type cn_type_models = {NULL, models_give, entries_describe};

/* Presets are printed with all that they took from another. */
const struct cn_type cn_type_preset_ref = {NULL, no_give, name_describe};

/* ---- chains ---- */

static yyjson_mut_val *member_names(yyjson_mut_doc *d, const struct cn_chain *c)
{
	yyjson_mut_val *arr = yyjson_mut_arr(d);

	for (size_t i = 0; i < c->n_models; i++)
		yyjson_mut_arr_append(arr, cn_config__str(d, c->models[i]->name));
	return arr;
}

static yyjson_mut_val *chains_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base)
{
	const struct cn_policy *p = base;
	yyjson_mut_val *obj = yyjson_mut_obj(d);

	(void)row;
	for (size_t i = 0; i < p->n_chains; i++) {
		const struct cn_chain *c = &p->chains[i];
		if (cn_config__is_inline(c->name))
			continue;
		yyjson_mut_val *v = member_names(d, c);
		yyjson_mut_val *differs = cn_config__give(d, &cn_config__fallback_table,
		                                          &c->fallback, &p->fallback);
		if (differs) {
			yyjson_mut_val *map = yyjson_mut_obj(d);
			yyjson_mut_obj_add_val(d, map, "models", v);
			yyjson_mut_obj_add_val(d, map, "fallback", differs);
			v = map;
		}
		yyjson_mut_obj_add(obj, yyjson_mut_strcpy(d, c->name), v);
	}
	return yyjson_mut_obj_size(obj) ? obj : NULL;
}

static yyjson_mut_val *chains_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return map_of(
	    d, cn_config__either(d, names_describe(d), cn_config__describe(d, row->table)),
	    name_pattern);
}

const struct cn_type cn_type_chains = {NULL, chains_give, chains_describe};

static yyjson_mut_val *members_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return names_describe(d);
}

const struct cn_type cn_type_members = {NULL, no_give, members_describe};

static yyjson_mut_val *inherited_give(yyjson_mut_doc *d, const struct cn_row *row,
                                      const void *base)
{
	const struct cn_route *r = base;

	return cn_config__give(d, row->table, &r->fallback, &r->chain->fallback);
}

static yyjson_mut_val *inherited_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return cn_config__describe(d, row->table);
}

const struct cn_type cn_type_inherited = {NULL, inherited_give, inherited_describe};

/* ---- routes ---- */

static yyjson_mut_val *use_give(yyjson_mut_doc *d, const struct cn_row *row,
                                const void *base)
{
	const struct cn_route *r = base;

	(void)row;
	return cn_config__is_inline(r->chain->name) ? member_names(d, r->chain)
	                                            : cn_config__str(d, r->chain->name);
}

static yyjson_mut_val *use_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return cn_config__either(d, name_describe(d, row), names_describe(d));
}

const struct cn_type cn_type_use = {NULL, use_give, use_describe};

static yyjson_mut_val *overrides_give(yyjson_mut_doc *d, const struct cn_row *row,
                                      const void *base)
{
	const struct cn_route *r = base;
	yyjson_mut_val *obj = yyjson_mut_obj(d);

	for (size_t i = 0; r->models && i < r->chain->n_models; i++) {
		yyjson_mut_val *differs =
		    cn_config__give(d, row->table, r->models[i], r->chain->models[i]);
		if (differs)
			yyjson_mut_obj_add(obj, yyjson_mut_strcpy(d, r->models[i]->name),
			                   differs);
	}
	return yyjson_mut_obj_size(obj) ? obj : NULL;
}

const struct cn_type cn_type_overrides = {NULL, overrides_give, entries_describe};

static yyjson_mut_val *routes_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base)
{
	const struct cn_policy *p = base;
	yyjson_mut_val *arr = yyjson_mut_arr(d);

	for (size_t i = 0; i < p->n_routes; i++)
		yyjson_mut_arr_append(arr,
		                      cn_config__give(d, row->table, &p->routes[i], NULL));
	return arr;
}

static yyjson_mut_val *routes_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return cn_config__array(d, cn_config__describe(d, row->table), 1);
}

const struct cn_type cn_type_routes = {NULL, routes_give, routes_describe};
