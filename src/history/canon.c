/*
 * Canonical messages and their addresses.
 *
 * A message is written anew with its members in byte order of their keys, strings in one
 * spelling, string content as one text block and without cache_control, and hashed
 * together with its owner and parent.  Numbers keep the spelling they came with.  Members
 * that hold foreign data (a tool call's input, a tool's schema) are ordered but never
 * stripped: a key of that name is the user's there.  Owns nothing; any thread.  It does
 * not judge messages: unknown roles, blocks and members are kept.
 */
#include "continuo/canon.h"

#include <yyjson.h>

#include "continuo/json.h"

#define CN_CANON_DEPTH (CN_JSON_MAX_DEPTH + 8) /* an answer is wrapped a little deeper */
#define CN_FEW_MEMBERS 32                      /* sorted on the stack */

/* Whether cache_control at this place is the API's marker or somebody's data. */
enum cn_canon_place {
	CN_CANON_OURS,
	CN_CANON_FOREIGN
};

struct cn_canon_out {
	struct cn_buf b; /* owned */
	bool too_deep;
};

static bool key_is(yyjson_val *key, const char *s)
{
	return cn_view_is(cn_view(yyjson_get_str(key), yyjson_get_len(key)), s);
}

static int by_key(const void *pa, const void *pb)
{
	yyjson_val *a = *(yyjson_val *const *)pa, *b = *(yyjson_val *const *)pb;
	size_t na = yyjson_get_len(a), nb = yyjson_get_len(b);
	int c = memcmp(yyjson_get_str(a), yyjson_get_str(b), na < nb ? na : nb);

	if (c == 0 && na != nb)
		c = na < nb ? -1 : 1;
	/* Repeated keys stay in their order: values lie in the order of the text. */
	return c ? c : a < b ? -1 : a > b;
}

static void add_value(struct cn_canon_out *o, yyjson_val *v, enum cn_canon_place place,
                      unsigned depth);

static void add_text(struct cn_canon_out *o, yyjson_val *v)
{
	cn_json_add_string(&o->b, cn_view(yyjson_get_str(v), yyjson_get_len(v)));
}

/* The same content as an array, when it came as a string. */
static void add_content(struct cn_canon_out *o, yyjson_val *v, unsigned depth)
{
	if (!yyjson_is_str(v)) {
		add_value(o, v, CN_CANON_OURS, depth);
		return;
	}
	cn_buf_add_str(&o->b, "[{\"text\":");
	add_text(o, v);
	cn_buf_add_str(&o->b, ",\"type\":\"text\"}]");
}

static enum cn_canon_place place_of(yyjson_val *key, enum cn_canon_place outer)
{
	bool foreign = outer == CN_CANON_FOREIGN || key_is(key, "input") ||
	               key_is(key, "input_schema");

	return foreign ? CN_CANON_FOREIGN : CN_CANON_OURS;
}

/* content_key: the member whose string form means one text block; NULL: none. */
static void add_object(struct cn_canon_out *o, yyjson_val *v, enum cn_canon_place place,
                       const char *content_key, unsigned depth)
{
	yyjson_val *few[CN_FEW_MEMBERS], **keys = few, *key;
	size_t n = 0, size = yyjson_obj_size(v);
	bool first = true;
	yyjson_obj_iter it = yyjson_obj_iter_with(v);

	if (size > CN_FEW_MEMBERS)
		keys = cn_alloc(size * sizeof(yyjson_val *));
	while ((key = yyjson_obj_iter_next(&it)))
		if (place == CN_CANON_FOREIGN || !key_is(key, "cache_control"))
			keys[n++] = key;
	qsort(keys, n, sizeof(yyjson_val *), by_key);
	cn_buf_add_char(&o->b, '{');
	for (size_t i = 0; i < n; i++, first = false) {
		yyjson_val *member = yyjson_obj_iter_get_val(keys[i]);

		if (!first)
			cn_buf_add_char(&o->b, ',');
		add_text(o, keys[i]);
		cn_buf_add_char(&o->b, ':');
		if (content_key && key_is(keys[i], content_key))
			add_content(o, member, depth + 1);
		else
			add_value(o, member, place_of(keys[i], place), depth + 1);
	}
	cn_buf_add_char(&o->b, '}');
	if (keys != few)
		free(keys);
}

static void add_array(struct cn_canon_out *o, yyjson_val *v, enum cn_canon_place place,
                      unsigned depth)
{
	yyjson_arr_iter it = yyjson_arr_iter_with(v);
	yyjson_val *element;
	bool first = true;

	cn_buf_add_char(&o->b, '[');
	for (; (element = yyjson_arr_iter_next(&it)); first = false) {
		if (!first)
			cn_buf_add_char(&o->b, ',');
		add_value(o, element, place, depth + 1);
	}
	cn_buf_add_char(&o->b, ']');
}

static void add_value(struct cn_canon_out *o, yyjson_val *v, enum cn_canon_place place,
                      unsigned depth)
{
	if (depth > CN_CANON_DEPTH)
		o->too_deep = true;
	if (o->too_deep)
		return;
	if (yyjson_is_obj(v))
		add_object(o, v, place, NULL, depth);
	else if (yyjson_is_arr(v))
		add_array(o, v, place, depth);
	else if (yyjson_is_str(v))
		add_text(o, v);
	else if (yyjson_is_raw(v))
		cn_buf_add(&o->b, yyjson_get_raw(v), yyjson_get_len(v));
	else
		cn_buf_add_str(&o->b, yyjson_is_true(v)    ? "true"
		                      : yyjson_is_false(v) ? "false"
		                                           : "null");
}

/* ---- addresses ---- */

static void address(const struct cn_canon *c, const struct cn_buf *canonical,
                    const struct cn_hash *parent, struct cn_node *ret)
{
	struct cn_view views[3];

	ret->parent = *parent;
	ret->canonical = cn_arena_view(c->arena, cn_buf_view(canonical));
	views[0] = c->owner;
	views[1] = cn_view((const char *)parent->b, CN_HASH_BYTES);
	views[2] = ret->canonical;
	ret->id = c->hash(c->self, views, 3);
}

/* Numbers are kept as text, so that none loses a digit. */
static yyjson_doc *parse(struct cn_view text)
{
	return yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
}

int cn_canon_message(const struct cn_canon *c, struct cn_view message,
                     const struct cn_hash *parent, struct cn_node *ret,
                     struct cn_error *reterr)
{
	struct cn_canon_out o = {0};
	yyjson_doc *doc = parse(message);
	yyjson_val *v = yyjson_doc_get_root(doc);
	int err = 0;

	if (yyjson_is_obj(v))
		add_object(&o, v, CN_CANON_OURS, "content", 1);
	else
		err = cn_fail(reterr, CN_E_INVALID, "messages: an element is no object");
	if (o.too_deep)
		err = cn_fail(reterr, CN_E_LIMIT, "messages: nested too deeply");
	if (!err)
		address(c, &o.b, parent, ret);
	yyjson_doc_free(doc);
	cn_buf_done(&o.b);
	return err;
}

int cn_canon_prefix(const struct cn_canon *c, struct cn_view system, struct cn_view tools,
                    struct cn_node *ret, struct cn_error *reterr)
{
	struct cn_canon_out o = {0};
	yyjson_doc *system_doc = system.n ? parse(system) : NULL;
	yyjson_doc *tools_doc = tools.n ? parse(tools) : NULL;
	int err = 0;

	cn_buf_add_char(&o.b, '{');
	if (system_doc) {
		cn_json_add_key(&o.b, "system");
		add_content(&o, yyjson_doc_get_root(system_doc), 1);
	}
	if (tools_doc) {
		cn_json_add_key(&o.b, "tools");
		add_value(&o, yyjson_doc_get_root(tools_doc), CN_CANON_OURS, 1);
	}
	cn_buf_add_char(&o.b, '}');
	if ((system.n && !system_doc) || (tools.n && !tools_doc))
		err = cn_fail(reterr, CN_E_INVALID, "system or tools: no JSON");
	else if (o.too_deep)
		err = cn_fail(reterr, CN_E_LIMIT, "tools: nested too deeply");
	else
		address(c, &o.b, &(struct cn_hash){{0}}, ret);
	yyjson_doc_free(system_doc);
	yyjson_doc_free(tools_doc);
	cn_buf_done(&o.b);
	return err;
}
