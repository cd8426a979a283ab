/*
 * The JSON Schema of the policy language for editors, from the parser's own tables:
 * policies/policy.schema.json is this text, and a test holds the two equal.
 *
 * Any thread; owns the document for the length of the call.
 */
#include <stdlib.h>

#include "config_impl.h"

yyjson_mut_val *cn_config__pattern(yyjson_mut_doc *d, const char *pattern)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	yyjson_mut_obj_add_str(d, v, "type", "string");
	yyjson_mut_obj_add_strcpy(d, v, "pattern", pattern);
	return v;
}

yyjson_mut_val *cn_config__either(yyjson_mut_doc *d, yyjson_mut_val *a, yyjson_mut_val *b)
{
	yyjson_mut_val *v = yyjson_mut_obj(d), *list = yyjson_mut_arr(d);

	yyjson_mut_arr_append(list, a);
	yyjson_mut_arr_append(list, b);
	yyjson_mut_obj_add_val(d, v, "anyOf", list);
	return v;
}

yyjson_mut_val *cn_config__array(yyjson_mut_doc *d, yyjson_mut_val *item, uint64_t min)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	yyjson_mut_obj_add_str(d, v, "type", "array");
	yyjson_mut_obj_add_val(d, v, "items", item);
	if (min)
		yyjson_mut_obj_add_uint(d, v, "minItems", min);
	return v;
}

yyjson_mut_val *cn_config__ref(yyjson_mut_doc *d, const char *definition)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);
	struct cn_arena a = {0};

	yyjson_mut_obj_add_strcpy(d, v, "$ref",
	                          cn_arena_printf(&a, "#/$defs/%s", definition));
	cn_arena_done(&a);
	return v;
}

/* The description of a table as it stands. */
static yyjson_mut_val *table_object(yyjson_mut_doc *d, const struct cn_table *t)
{
	yyjson_mut_val *v = yyjson_mut_obj(d), *props = yyjson_mut_obj(d);
	yyjson_mut_val *required = yyjson_mut_arr(d);

	yyjson_mut_obj_add_str(d, v, "type", "object");
	for (size_t i = 0; i < t->n; i++) {
		const struct cn_row *row = &t->rows[i];
		yyjson_mut_val *prop = row->type->describe(d, row);
		yyjson_mut_obj_add_str(d, prop, "description", row->text);
		if (row->normal)
			yyjson_mut_obj_add_str(d, prop, "$comment", row->normal);
		yyjson_mut_obj_add(props, yyjson_mut_str(d, row->key), prop);
		if (row->required && !t->partial)
			yyjson_mut_arr_append(required, yyjson_mut_str(d, row->key));
	}
	yyjson_mut_obj_add_val(d, v, "properties", props);
	if (yyjson_mut_arr_size(required))
		yyjson_mut_obj_add_val(d, v, "required", required);
	yyjson_mut_obj_add_bool(d, v, "additionalProperties", false);
	return v;
}

/* Tables that stand in several places are written once. */
static const struct {
	const char *name;
	const struct cn_table *table;
} shared[] = {{"fallback", &cn_config__fallback_table}};

yyjson_mut_val *cn_config__describe(yyjson_mut_doc *d, const struct cn_table *t)
{
	for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
		if (shared[i].table == t)
			return cn_config__ref(d, shared[i].name);
	return table_object(d, t);
}

static yyjson_mut_val *key_definition(yyjson_mut_doc *d)
{
	static const char text[] = "^(client|none|vault:[A-Za-z0-9._:@-]{1,60})$";
	yyjson_mut_val *map = yyjson_mut_obj(d), *props = yyjson_mut_obj(d);
	yyjson_mut_val *required = yyjson_mut_arr(d);

	yyjson_mut_obj_add_str(d, map, "type", "object");
	yyjson_mut_obj_add_val(d, props, "key", cn_config__pattern(d, text));
	yyjson_mut_obj_add_val(d, props, "account",
	                       cn_config__pattern(d, "^[A-Za-z0-9._:@-]{1,60}$"));
	yyjson_mut_obj_add_val(d, map, "properties", props);
	yyjson_mut_arr_append(required, yyjson_mut_str(d, "key"));
	yyjson_mut_obj_add_val(d, map, "required", required);
	yyjson_mut_obj_add_bool(d, map, "additionalProperties", false);
	return cn_config__either(d, cn_config__pattern(d, text), map);
}

void cn_config_schema(struct cn_buf *b)
{
	static const struct cn_row any = {.key = "", .text = ""};
	yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root, *defs, *head;
	size_t n;
	char *text;

	cn_assert(d != NULL);
	head = yyjson_mut_obj(d);
	yyjson_mut_obj_add_str(d, head, "$schema",
	                       "https://json-schema.org/draft/2020-12/schema");
	yyjson_mut_obj_add_str(d, head, "title", "A policy of continuo");
	root = table_object(d, &cn_config__policy_table);
	size_t i, max;
	yyjson_mut_val *key, *v;
	yyjson_mut_obj_foreach(root, i, max, key, v)
	{
		yyjson_mut_obj_add(head, yyjson_mut_strcpy(d, yyjson_mut_get_str(key)),
		                   yyjson_mut_val_mut_copy(d, v));
	}
	defs = yyjson_mut_obj(d);
	for (i = 0; i < sizeof shared / sizeof *shared; i++)
		yyjson_mut_obj_add_val(d, defs, shared[i].name,
		                       table_object(d, shared[i].table));
	yyjson_mut_obj_add_val(d, defs, "key", key_definition(d));
	yyjson_mut_obj_add_val(d, defs, "time", cn_type_time.describe(d, &any));
	yyjson_mut_obj_add_val(d, defs, "tokens", cn_type_tokens.describe(d, &any));
	yyjson_mut_obj_add_val(d, head, "$defs", defs);
	text = yyjson_mut_val_write(head, YYJSON_WRITE_PRETTY_TWO_SPACES, &n);
	cn_assert(text != NULL);
	cn_buf_add(b, text, n);
	cn_buf_add_char(b, '\n');
	free(text);
	yyjson_mut_doc_free(d);
}
