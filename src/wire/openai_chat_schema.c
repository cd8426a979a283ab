/*
 * A tool's schema as its backend takes it (wire/openai-chat.md 5 "JSON-schema cleaning").
 *
 * One walk over the client's schema: members are copied, dropped or rewritten by where they
 * stand, since a property may be named like a keyword.  What no rule concerns is copied as
 * it stands.  Pure.
 */
#include "openai_chat_encode_impl.h"

#define DEPTH_MAX 32   /* of schemas in schemas; a $ref may go round for ever */
#define GROWTH    4    /* times its own size: more than that no $ref is followed */
#define LARGE     1000 /* a bound that a grammar would be unrolled to */

struct schema {
	struct cn_chat_encoder *e;
	struct cn_json root;
	bool subset, bare_anyof, open, grammar;
	size_t most; /* bytes written so far, when no $ref is followed any more */
};

/* What a member of a schema needs to know of the others. */
struct around {
	struct cn_json any, type;
};

static bool is_any(struct cn_view key, const char *const *names)
{
	for (; *names; names++)
		if (cn_json_key_is(key, *names))
			return true;
	return false;
}

static bool is_kept(const struct schema *s, const struct cn_json_iter *it)
{
	static const char *const never[] = {"$schema",        "$id", "$comment", "examples",
	                                    "input_examples", NULL};
	static const char *const subset[] = {
	    "type",        "format",        "title",
	    "description", "nullable",      "enum",
	    "items",       "minItems",      "maxItems",
	    "properties",  "required",      "minProperties",
	    "maxLength",   "maxProperties", "minLength",
	    "pattern",     "anyOf",         "default",
	    "minimum",     "maximum",       "propertyOrdering",
	    NULL};
	static const char *const grammar[] = {"pattern", "format", NULL};
	static const char *const bounds[] = {"maxLength", "maxItems", "minLength",
	                                     "minItems", NULL};
	uint64_t n;

	if (is_any(it->key, never))
		return false;
	if (s->open && cn_json_key_is(it->key, "additionalProperties"))
		return false;
	if (s->grammar &&
	    (is_any(it->key, grammar) ||
	     (is_any(it->key, bounds) && (!cn_json_u64(it->value, &n) || n > LARGE))))
		return false;
	return !s->subset || is_any(it->key, subset);
}

static void write_schema(struct schema *s, struct cn_json v, struct cn_json type,
                         unsigned depth);

static void write_map(struct schema *s, struct cn_json map, unsigned depth)
{
	bool first = true;

	cn_chat_out__str(s->e, "{");
	for (struct cn_json_iter it = cn_json_iter(map); cn_json_next(&it);) {
		cn_chat_out__str(s->e, first ? "\"" : ",\"");
		first = false;
		cn_chat_out__add(s->e, it.key);
		cn_chat_out__str(s->e, "\":");
		write_schema(s, it.value, (struct cn_json){.kind = CN_JSON_NONE},
		             depth + 1);
	}
	cn_chat_out__str(s->e, "}");
}

static void write_list(struct schema *s, struct cn_json list, struct cn_json type,
                       unsigned depth)
{
	cn_chat_out__str(s->e, "[");
	for (struct cn_json_iter it = cn_json_iter(list); cn_json_next(&it);) {
		if (it.index)
			cn_chat_out__str(s->e, ",");
		write_schema(s, it.value, type, depth + 1);
	}
	cn_chat_out__str(s->e, "]");
}

static void copy(struct schema *s, const struct cn_json_iter *it)
{
	struct cn_buf *b = &s->e->out.b;

	cn_chat_out__str(s->e, b->n && b->p[b->n - 1] == '{' ? "\"" : ",\"");
	cn_chat_out__add(s->e, it->key);
	cn_chat_out__str(s->e, "\":");
	cn_chat_out__add(s->e, it->value.raw);
}

/* ["string","null"]: one of them, and nullable. */
static void write_type(struct schema *s, struct cn_json type)
{
	struct cn_json one = {.kind = CN_JSON_NONE};
	bool null = false;

	for (struct cn_json_iter it = cn_json_iter(type); cn_json_next(&it);) {
		if (cn_json_is(it.value, "null"))
			null = true;
		else if (one.kind == CN_JSON_NONE)
			one = it.value;
	}
	if (one.kind == CN_JSON_STRING)
		cn_json_add_raw(&s->e->out.b, "type", one.raw);
	if (null)
		cn_json_add_bool(&s->e->out.b, "nullable", true);
}

/* Of the subset: what its readers trip over. */
static bool write_of_subset(struct schema *s, const struct around *v,
                            const struct cn_json_iter *it)
{
	if (cn_json_key_is(it->key, "const")) {
		if (it->value.kind == CN_JSON_STRING) {
			cn_chat_out__key(s->e, "enum");
			cn_chat_out__str(s->e, "[");
			cn_chat_out__add(s->e, it->value.raw);
			cn_chat_out__str(s->e, "]");
		}
		return true;
	}
	if (cn_json_key_is(it->key, "type")) {
		if (it->value.kind == CN_JSON_ARRAY)
			write_type(s, it->value);
		return it->value.kind == CN_JSON_ARRAY || v->any.kind == CN_JSON_ARRAY;
	}
	if (cn_json_key_is(it->key, "format"))
		return !cn_json_is(it->value, "date-time") &&
		       !cn_json_is(it->value, "enum");
	return cn_json_key_is(it->key, "enum") && v->type.kind != CN_JSON_NONE &&
	       !cn_json_is(v->type, "string");
}

static bool is_map(struct cn_view key)
{
	static const char *const names[] = {"properties",  "patternProperties", "$defs",
	                                    "definitions", "dependentSchemas",  NULL};

	return is_any(key, names);
}

static bool is_list(struct cn_view key)
{
	static const char *const names[] = {"anyOf", "oneOf", "allOf", "prefixItems", NULL};

	return is_any(key, names);
}

static bool is_schema(struct cn_view key)
{
	static const char *const names[] = {"items",
	                                    "additionalProperties",
	                                    "not",
	                                    "if",
	                                    "then",
	                                    "else",
	                                    "contains",
	                                    "propertyNames",
	                                    "unevaluatedProperties",
	                                    NULL};

	return is_any(key, names);
}

static void write_member(struct schema *s, const struct around *v,
                         const struct cn_json_iter *it, unsigned depth)
{
	struct cn_json type = {.kind = CN_JSON_NONE};
	const char *name;

	if (s->subset && write_of_subset(s, v, it))
		return;
	if (!is_kept(s, it))
		return;
	/* The type beside it goes into each branch. */
	if (s->bare_anyof && v->any.kind == CN_JSON_ARRAY) {
		if (cn_json_key_is(it->key, "type"))
			return;
		if (cn_json_key_is(it->key, "anyOf"))
			type = v->type;
	}
	name = cn_arena_dup(s->e->arena, it->key);
	if (is_map(it->key) && it->value.kind == CN_JSON_OBJECT) {
		cn_chat_out__key(s->e, name);
		write_map(s, it->value, depth);
	} else if (is_list(it->key) && it->value.kind == CN_JSON_ARRAY) {
		cn_chat_out__key(s->e, name);
		write_list(s, it->value, type, depth);
	} else if (cn_json_key_is(it->key, "items") && it->value.kind == CN_JSON_ARRAY) {
		/* A tuple by its older name; the subset has none at all. */
		if (s->subset)
			return;
		cn_chat_out__key(s->e, s->bare_anyof ? "prefixItems" : name);
		write_list(s, it->value, type, depth);
	} else if (is_schema(it->key) && it->value.kind == CN_JSON_OBJECT) {
		cn_chat_out__key(s->e, name);
		write_schema(s, it->value, type, depth);
	} else {
		copy(s, it);
	}
}

/* What "#/$defs/NAME" stands for; NONE: it cannot be found. */
static struct cn_json referred(const struct schema *s, struct cn_json ref)
{
	struct cn_json at = s->root;
	struct cn_view path = cn_json_text(s->e->arena, ref), name;

	if (!cn_view_starts(path, CN_VIEW("#/")))
		return (struct cn_json){.kind = CN_JSON_NONE};
	path = cn_view_from(path, 2);
	while (cn_view_split(&path, '/', &name))
		at = cn_json_get(at, cn_arena_dup(s->e->arena, name));
	return at;
}

static struct around around_of(struct cn_json schema)
{
	return (struct around){cn_json_get(schema, "anyOf"), cn_json_get(schema, "type")};
}

/* type: to be put in where the schema has none. */
static void write_schema(struct schema *s, struct cn_json v, struct cn_json type,
                         unsigned depth)
{
	struct cn_json ref = cn_json_get(v, "$ref");
	struct around around;

	if (v.kind != CN_JSON_OBJECT) {
		/* true and false; the subset knows neither. */
		if (s->subset)
			cn_chat_out__str(s->e, "{}");
		else
			cn_chat_out__add(s->e, v.raw);
		return;
	}
	if (s->subset && ref.kind == CN_JSON_STRING) {
		struct cn_json there = referred(s, ref);

		if (there.kind == CN_JSON_OBJECT && depth < DEPTH_MAX &&
		    cn_chat_out__bytes(s->e) < s->most) {
			write_schema(s, there, type, depth + 1);
			return;
		}
	}
	if (depth >= DEPTH_MAX) {
		cn_chat_out__str(s->e, "{}");
		return;
	}
	cn_chat_out__str(s->e, "{");
	around = around_of(v);
	if (type.kind != CN_JSON_NONE && around.type.kind == CN_JSON_NONE)
		cn_json_add_raw(&s->e->out.b, "type", type.raw);
	for (struct cn_json_iter it = cn_json_iter(v); cn_json_next(&it);)
		write_member(s, &around, &it, depth);
	cn_chat_out__str(s->e, "}");
}

static bool has_members(struct cn_json v)
{
	struct cn_json_iter it = cn_json_iter(v);

	return v.kind == CN_JSON_OBJECT && cn_json_next(&it);
}

bool cn_chat__write_schema(struct cn_chat_encoder *e, struct cn_json schema)
{
	struct schema s = {.e = e,
	                   .root = schema,
	                   .subset = cn_chat_quirk(e, CN_QUIRK_SCHEMA_SUBSET),
	                   .bare_anyof = cn_chat_quirk(e, CN_QUIRK_SCHEMA_BARE_ANYOF),
	                   .open = cn_chat_quirk(e, CN_QUIRK_SCHEMA_OPEN),
	                   .grammar = cn_chat_quirk(e, CN_QUIRK_SCHEMA_GRAMMAR)};
	struct cn_json properties = cn_json_get(schema, "properties");
	struct around around = around_of(schema);
	bool whole = cn_json_is(around.type, "object");

	if (s.subset && !has_members(properties))
		return false;
	s.most = cn_chat_out__bytes(e) + GROWTH * schema.raw.n;
	cn_chat_out__key(e, "parameters");
	cn_chat_out__str(e, "{");
	/* The root is an object with properties, whatever the client left out. */
	if (!whole)
		cn_json_add_text(&e->out.b, "type", CN_VIEW("object"));
	if (properties.kind != CN_JSON_OBJECT)
		cn_json_add_raw(&e->out.b, "properties", CN_VIEW("{}"));
	for (struct cn_json_iter it = cn_json_iter(schema); cn_json_next(&it);) {
		bool replaced = (!whole && cn_json_key_is(it.key, "type")) ||
		                (properties.kind != CN_JSON_OBJECT &&
		                 cn_json_key_is(it.key, "properties"));

		if (!replaced)
			write_member(&s, &around, &it, 0);
	}
	cn_chat_out__str(e, "}");
	return true;
}
