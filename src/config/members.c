/*
 * `add_fields`: members that a provider wants to have in its requests, written in the
 * policy's own notation and kept as the JSON that is sent.
 *
 * Thread of the load or of the printer; owns nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"

/* What continuo writes into requests by itself, from the request and the quirks. */
static const char *const ours[] = {
    "model",          "messages",       "system",
    "tools",          "tool_choice",    "stream",
    "stream_options", "max_tokens",     "max_completion_tokens",
    "stop",           "stop_sequences", NULL};

static bool name_ok(struct cn_load *l, const struct cn_node *n)
{
	if (cn_config__is_token(n->name))
		return true;
	cn_config__mistake_key(
	    l, n, "'%.*s' is no name of a member; write letters, digits, '_', '-' and '.'",
	    CN_SHOW(n->name));
	return false;
}

/* A scalar as JSON: plain truth values and numbers are such, all else is text. */
static yyjson_mut_val *scalar_value(yyjson_mut_doc *d, const struct cn_node *n)
{
	yyjson_doc *number = NULL;
	yyjson_mut_val *v = NULL;

	if (n->plain && (cn_view_is(n->text, "true") || cn_view_is(n->text, "false")))
		return yyjson_mut_bool(d, n->text.p[0] == 't');
	if (n->plain)
		number = yyjson_read(n->text.p, n->text.n, 0);
	if (number && yyjson_is_num(yyjson_doc_get_root(number)))
		v = yyjson_val_mut_copy(d, yyjson_doc_get_root(number));
	yyjson_doc_free(number);
	return v ? v : yyjson_mut_strncpy(d, n->text.p, n->text.n);
}

/* NULL: a mistake says why.  No deeper than a tree may be (tree.c). */
static yyjson_mut_val *value_of(struct cn_load *l, yyjson_mut_doc *d,
                                const struct cn_node *n)
{
	yyjson_mut_val *all, *v;
	bool ok = true;

	if (n->kind == CN_NODE_SCALAR)
		return cn_config__scalar(l, n, "a value, a list or a map")
		           ? scalar_value(d, n)
		           : NULL;
	if (n->bad)
		return NULL;
	all = n->kind == CN_NODE_LIST ? yyjson_mut_arr(d) : yyjson_mut_obj(d);
	for (const struct cn_node *c = n->first; c; c = c->next) {
		bool named = n->kind == CN_NODE_LIST || name_ok(l, c);
		v = named ? value_of(l, d, c) : NULL;
		ok = ok && v;
		if (v && n->kind == CN_NODE_LIST)
			yyjson_mut_arr_append(all, v);
		else if (v)
			yyjson_mut_obj_add(all, yyjson_mut_strncpy(d, c->name.p, c->name.n),
			                   v);
	}
	return ok ? all : NULL;
}

static bool is_ours(struct cn_load *l, const struct cn_node *n)
{
	for (const char *const *name = ours; *name; name++) {
		if (!cn_view_is(n->name, *name))
			continue;
		cn_config__mistake_key(
		    l, n, "member '%s' is written by continuo; leave it out", *name);
		return true;
	}
	return false;
}

/* Its JSON text in the policy's arena; NULL: a mistake says why. */
static const char *member_text(struct cn_load *l, const struct cn_node *n)
{
	yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *v;
	const char *ret = NULL;
	char *text;
	size_t bytes;

	cn_assert(d != NULL);
	v = name_ok(l, n) && !is_ours(l, n) ? value_of(l, d, n) : NULL;
	if (v) {
		text = yyjson_mut_val_write(v, 0, &bytes);
		cn_assert(text != NULL);
		ret = cn_arena_dup(&l->policy->arena, cn_view(text, bytes));
		free(text);
	}
	yyjson_mut_doc_free(d);
	return ret;
}

static struct cn_edit_member *kept(const struct cn_row *row, const void *base, size_t *retn)
{
	struct cn_edit_member *list;

	memcpy(&list, (const char *)base + row->at, sizeof(struct cn_edit_member *));
	memcpy(retn, (const char *)base + row->count_at, sizeof *retn);
	return list;
}

/* They add to those that are there already; of one name the later holds. */
static void add_fields_read(struct cn_load *l, const struct cn_node *n,
                            const struct cn_row *row, void *base)
{
	size_t had, count;
	struct cn_edit_member *before = kept(row, base, &had), *list;

	if (n->kind != CN_NODE_MAP) {
		cn_config__mistake(l, n, "'%s' is a map; write 'NAME: value'", row->key);
		return;
	}
	list = cn_arena_zalloc(&l->policy->arena, (had + n->n + 1) * sizeof *list);
	if (had)
		memcpy(list, before, had * sizeof *list);
	count = had;
	for (const struct cn_node *c = n->first; c; c = c->next) {
		const char *text = c->bad ? NULL : member_text(l, c);
		size_t at = 0;
		if (!text)
			continue;
		while (at < count && !cn_view_is(c->name, list[at].name))
			at++;
		list[at].name = cn_arena_dup(&l->policy->arena, c->name);
		list[at].value = text;
		count += at == count;
	}
	memcpy((char *)base + row->at, &list, sizeof(struct cn_edit_member *));
	memcpy((char *)base + row->count_at, &count, sizeof count);
}

/* A copy of v whose texts read back as they are: ${ would be a variable. */
static yyjson_mut_val *escaped(yyjson_mut_doc *d, yyjson_val *v)
{
	yyjson_mut_val *all;
	size_t i, max;
	yyjson_val *key, *item;

	if (yyjson_is_str(v))
		return cn_config__str(d, yyjson_get_str(v));
	if (yyjson_is_arr(v)) {
		all = yyjson_mut_arr(d);
		yyjson_arr_foreach(v, i, max, item)
		    yyjson_mut_arr_append(all, escaped(d, item));
		return all;
	}
	if (!yyjson_is_obj(v))
		return yyjson_val_mut_copy(d, v);
	all = yyjson_mut_obj(d);
	yyjson_obj_foreach(v, i, max, key, item)
	    yyjson_mut_obj_add(all, yyjson_val_mut_copy(d, key), escaped(d, item));
	return all;
}

static yyjson_mut_val *add_fields_give(yyjson_mut_doc *d, const struct cn_row *row,
                                       const void *base)
{
	size_t n;
	const struct cn_edit_member *list = kept(row, base, &n);
	yyjson_mut_val *obj;

	if (n == 0)
		return NULL;
	obj = yyjson_mut_obj(d);
	for (size_t i = 0; i < n; i++) {
		yyjson_doc *doc = yyjson_read(list[i].value, strlen(list[i].value), 0);
		cn_assert(doc != NULL);
		yyjson_mut_obj_add(obj, yyjson_mut_strcpy(d, list[i].name),
		                   escaped(d, yyjson_doc_get_root(doc)));
		yyjson_doc_free(doc);
	}
	return obj;
}

static yyjson_mut_val *add_fields_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);
	CN_AUTO(cn_buf) pattern = {0};

	(void)row;
	cn_buf_add_str(&pattern, "^(?!(");
	for (const char *const *name = ours; *name; name++)
		cn_buf_printf(&pattern, "%s%s", name == ours ? "" : "|", *name);
	cn_buf_add_str(&pattern, ")$)[A-Za-z0-9_.-]{1,100}$");
	yyjson_mut_obj_add_str(d, v, "type", "object");
	yyjson_mut_obj_add_val(d, v, "propertyNames",
	                       cn_config__pattern(d, cn_buf_cstr(&pattern)));
	return v;
}

const struct cn_type cn_type_add_fields = {add_fields_read, add_fields_give,
                                           add_fields_describe};
