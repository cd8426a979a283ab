/*
 * Reading by table: finds the row of each key, tells unknown, missing and empty ones, and
 * lets the row's type read the value into its field.  What types need in common is here.
 *
 * Thread of the load.  It knows the form of tables, not the keys in them (schema.c).
 */
#include <ctype.h>

#include "config_impl.h"

const struct cn_row *cn_config__row(const struct cn_table *t, struct cn_view key)
{
	for (size_t i = 0; i < t->n; i++)
		if (cn_view_is(key, t->rows[i].key))
			return &t->rows[i];
	return NULL;
}

bool cn_config__is_name(struct cn_view v)
{
	if (v.n == 0 || v.n > CN_CONFIG_NAME_MAX)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!v.p[i] ||
		    (!isalnum((unsigned char)v.p[i]) && !strchr("._:@-", v.p[i])))
			return false;
	return true;
}

bool cn_config__is_token(struct cn_view v)
{
	if (v.n == 0 || v.n > 100)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!v.p[i] || (!isalnum((unsigned char)v.p[i]) && !strchr("_.-", v.p[i])))
			return false;
	return true;
}

bool cn_config__is_inline(const char *chain)
{
	uint64_t n;

	return strncmp(chain, "route-", 6) == 0 && cn_view_u64(cn_view_str(chain + 6), &n);
}

void cn_config__store(const struct cn_row *row, void *base, uint64_t v)
{
	char *at = (char *)base + row->at;

	switch (row->size) {
	case sizeof(uint64_t):
		memcpy(at, &v, sizeof v);
		break;
	case sizeof(uint32_t): {
		uint32_t small = (uint32_t)v;
		memcpy(at, &small, sizeof small);
		break;
	}
	case sizeof(bool): {
		bool b = v != 0;
		memcpy(at, &b, sizeof b);
		break;
	}
	default: /* a row whose field has another size */
		cn_assert(row->size == sizeof(bool));
	}
}

uint64_t cn_config__fetch(const struct cn_row *row, const void *base)
{
	const char *at = (const char *)base + row->at;
	uint64_t v = 0;

	switch (row->size) {
	case sizeof(uint64_t):
		memcpy(&v, at, sizeof v);
		break;
	case sizeof(uint32_t): {
		uint32_t small;
		memcpy(&small, at, sizeof small);
		v = small;
		break;
	}
	case sizeof(bool): {
		bool b;
		memcpy(&b, at, sizeof b);
		v = b;
		break;
	}
	default: /* a row whose field has another size */
		cn_assert(row->size == sizeof(bool));
	}
	return v;
}

bool cn_config__scalar(struct cn_load *l, const struct cn_node *n, const char *wanted)
{
	if (n->bad)
		return false;
	if (n->kind != CN_NODE_SCALAR) {
		cn_config__mistake(l, n, "a %s where one value belongs; write %s",
		                   n->kind == CN_NODE_LIST ? "list" : "map", wanted);
		return false;
	}
	if (n->text.n == 0 ||
	    (n->plain && (cn_view_is(n->text, "~") || cn_view_is(n->text, "null")))) {
		cn_config__mistake(l, n, "no value; write %s", wanted);
		return false;
	}
	return true;
}

static void unknown_key(struct cn_load *l, const struct cn_node *n,
                        const struct cn_table *t)
{
	struct cn_suggest s = {.word = n->name};
	CN_AUTO(cn_buf) known = {0};

	for (size_t i = 0; i < t->n; i++) {
		cn_config__offer(&s, t->rows[i].key);
		if (i < 24)
			cn_buf_printf(&known, "%s%s", i ? ", " : "known are ",
			              t->rows[i].key);
	}
	cn_config__mistake_key(l, n, "unknown key '%.*s' of %s; %s", CN_SHOW(n->name),
	                       t->title, cn_config__hint(l, &s, cn_buf_cstr(&known)));
}

void cn_config__read(struct cn_load *l, const struct cn_node *map, const struct cn_table *t,
                     void *base)
{
	if (map->bad)
		return;
	if (map->kind != CN_NODE_MAP) {
		cn_config__mistake(l, map, "%s is a map of keys; write '%s: …'", t->title,
		                   t->rows[0].key);
		return;
	}
	for (const struct cn_node *c = map->first; c; c = c->next) {
		const struct cn_row *row = cn_config__row(t, c->name);
		if (!row)
			unknown_key(l, c, t);
		else if (row->type->read && !c->bad)
			row->type->read(l, c, row, base);
	}
	for (size_t i = 0; i < t->n && !t->partial; i++)
		if (t->rows[i].required && !cn_config__find(map, t->rows[i].key))
			cn_config__mistake_key(l, map, "%s without '%s'; add '%s: …'",
			                       t->title, t->rows[i].key, t->rows[i].key);
}

void cn_config__read_key(struct cn_load *l, const struct cn_node *map,
                         const struct cn_table *t, const char *key, void *base)
{
	const struct cn_node *n = cn_config__find(map, key);
	const struct cn_row *row = cn_config__row(t, cn_view_str(key));

	cn_assert(row && row->type->read);
	if (n && !n->bad)
		row->type->read(l, n, row, base);
}

void cn_config__keep(struct cn_load *l, const struct cn_row *row, void *base,
                     struct cn_view v)
{
	const char *copy = cn_arena_dup(&l->policy->arena, v);

	memcpy((char *)base + row->at, &copy, sizeof copy);
}

const char *cn_config__kept(const struct cn_row *row, const void *base)
{
	const char *s;

	memcpy(&s, (const char *)base + row->at, sizeof s);
	return s;
}
