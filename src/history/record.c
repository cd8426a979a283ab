/*
 * A turn's record as one JSON object, and back.
 *
 * Which member holds what is one table per struct, so that writing and reading cannot
 * drift apart.  Empty strings, zeros and false are left out; what is missing reads as
 * that.  Owns nothing; any thread.  Reading trusts nothing: a member of the wrong kind is
 * an error, an unknown one is passed over.
 */
#include "continuo/record.h"

#include <yyjson.h>

#include "continuo/json.h"

enum cn_record_kind {
	CN_RECORD_TEXT,
	CN_RECORD_U64,
	CN_RECORD_INT,
	CN_RECORD_BOOL,
	CN_RECORD_HASH, /* 64 hex digits; all zero: left out */
	CN_RECORD_USAGE
};

struct cn_record_field {
	const char *name;
	enum cn_record_kind kind;
	size_t at; /* offset in the struct */
};

#define AT(member) offsetof(STRUCT, member)

static const struct cn_record_field usage_fields[] = {
#define STRUCT struct cn_usage
    {"input", CN_RECORD_U64, AT(input)},
    {"output", CN_RECORD_U64, AT(output)},
    {"cache_read", CN_RECORD_U64, AT(cache_read)},
    {"cache_write", CN_RECORD_U64, AT(cache_write)},
#undef STRUCT
};
/* Whether each of those four was said at all; in the same order. */
static const size_t usage_has[] = {
    offsetof(struct cn_usage, has_input),
    offsetof(struct cn_usage, has_output),
    offsetof(struct cn_usage, has_cache_read),
    offsetof(struct cn_usage, has_cache_write),
};

static const struct cn_record_field attempt_fields[] = {
#define STRUCT struct cn_attempt_record
    {"backend", CN_RECORD_TEXT, AT(backend)},
    {"model", CN_RECORD_TEXT, AT(model)},
    {"key", CN_RECORD_TEXT, AT(key)},
    {"class", CN_RECORD_TEXT, AT(class)},
    {"http_status", CN_RECORD_INT, AT(http_status)},
    {"started_ms", CN_RECORD_U64, AT(started_ms)},
    {"first_byte_ms", CN_RECORD_U64, AT(first_byte_ms)},
    {"took_ms", CN_RECORD_U64, AT(took_ms)},
    {"retry_after_ms", CN_RECORD_U64, AT(retry_after_ms)},
    {"prompt", CN_RECORD_TEXT, AT(prompt)},
    {"upstream_request", CN_RECORD_TEXT, AT(upstream_request)},
    {"reason", CN_RECORD_TEXT, AT(reason)},
    {"finding", CN_RECORD_TEXT, AT(finding)},
    {"usage", CN_RECORD_USAGE, AT(usage)},
    {"assumed_input", CN_RECORD_U64, AT(assumed_input)},
    {"assumed_output", CN_RECORD_U64, AT(assumed_output)},
#undef STRUCT
};

static const struct cn_record_field block_fields[] = {
#define STRUCT struct cn_block_record
    {"index", CN_RECORD_U64, AT(index)},
    {"type", CN_RECORD_TEXT, AT(type)},
    {"model", CN_RECORD_TEXT, AT(model)},
    {"joint", CN_RECORD_TEXT, AT(joint)},
    {"bytes", CN_RECORD_U64, AT(bytes)},
    {"id", CN_RECORD_TEXT, AT(id)},
    {"original_id", CN_RECORD_TEXT, AT(original_id)},
    {"whole", CN_RECORD_BOOL, AT(whole)},
#undef STRUCT
};

static const struct cn_record_field skip_fields[] = {
#define STRUCT struct cn_skip_record
    {"backend", CN_RECORD_TEXT, AT(backend)},
    {"model", CN_RECORD_TEXT, AT(model)},
    {"reason", CN_RECORD_TEXT, AT(reason)},
#undef STRUCT
};

static const struct cn_record_field turn_fields[] = {
#define STRUCT struct cn_turn_record
    {"request_id", CN_RECORD_TEXT, AT(request_id)},
    {"owner", CN_RECORD_TEXT, AT(owner)},
    {"project", CN_RECORD_TEXT, AT(project)},
    {"session", CN_RECORD_TEXT, AT(session)},
    {"agent", CN_RECORD_TEXT, AT(agent)},
    {"parent_agent", CN_RECORD_TEXT, AT(parent_agent)},
    {"token", CN_RECORD_TEXT, AT(token)},
    {"caller", CN_RECORD_TEXT, AT(caller)},
    {"requested", CN_RECORD_TEXT, AT(requested)},
    {"chain", CN_RECORD_TEXT, AT(chain)},
    {"policy", CN_RECORD_TEXT, AT(policy)},
    {"route", CN_RECORD_U64, AT(route)},
    {"started_wall_ms", CN_RECORD_U64, AT(started_wall_ms)},
    {"took_ms", CN_RECORD_U64, AT(took_ms)},
    {"first_byte_ms", CN_RECORD_U64, AT(first_byte_ms)},
    {"status", CN_RECORD_INT, AT(status)},
    {"ending", CN_RECORD_TEXT, AT(ending)},
    {"error", CN_RECORD_TEXT, AT(error)},
    {"used", CN_RECORD_TEXT, AT(used)},
    {"stop_reason", CN_RECORD_TEXT, AT(stop_reason)},
    {"usage", CN_RECORD_USAGE, AT(usage)},
    {"stream", CN_RECORD_BOOL, AT(stream)},
    {"request_node", CN_RECORD_HASH, AT(request_node)},
    {"prefix_node", CN_RECORD_HASH, AT(prefix_node)},
    {"answer_node", CN_RECORD_HASH, AT(answer_node)},
    {"body_hash", CN_RECORD_HASH, AT(body_hash)},
#undef STRUCT
};

#define CN_COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* An array of objects in the record. */
struct cn_record_list {
	const char *name;
	const struct cn_record_field *fields;
	size_t n_fields, size; /* of one element */
	size_t at, at_n;       /* offsets of pointer and count in the turn */
};

static const struct cn_record_list lists[] = {
    {"attempts", attempt_fields, CN_COUNT(attempt_fields), sizeof(struct cn_attempt_record),
     offsetof(struct cn_turn_record, attempts),
     offsetof(struct cn_turn_record, n_attempts)},
    {"blocks", block_fields, CN_COUNT(block_fields), sizeof(struct cn_block_record),
     offsetof(struct cn_turn_record, blocks), offsetof(struct cn_turn_record, n_blocks)},
    {"skipped", skip_fields, CN_COUNT(skip_fields), sizeof(struct cn_skip_record),
     offsetof(struct cn_turn_record, skipped), offsetof(struct cn_turn_record, n_skipped)},
};

/* ---- writing ---- */

static void add_usage(struct cn_buf *b, const char *name, const struct cn_usage *u)
{
	const char *base = (const char *)u;

	if (!u->has_input && !u->has_output && !u->has_cache_read && !u->has_cache_write)
		return;
	cn_json_add_key(b, name);
	cn_buf_add_char(b, '{');
	for (size_t i = 0; i < CN_COUNT(usage_fields); i++)
		if (*(const bool *)(base + usage_has[i]))
			cn_json_add_u64(
			    b, usage_fields[i].name,
			    *(const uint64_t *)(const void *)(base + usage_fields[i].at));
	cn_buf_add_char(b, '}');
}

static void add_hash(struct cn_buf *b, const char *name, const struct cn_hash *h)
{
	if (cn_hash_eq(h, &(struct cn_hash){{0}}))
		return;
	cn_json_add_key(b, name);
	cn_buf_add_char(b, '"');
	cn_hex(b, h->b, sizeof(h->b));
	cn_buf_add_char(b, '"');
}

static void add_field(struct cn_buf *b, const struct cn_record_field *f, const void *at)
{
	switch (f->kind) {
	case CN_RECORD_TEXT:
		if (((const struct cn_view *)at)->n)
			cn_json_add_text(b, f->name, *(const struct cn_view *)at);
		return;
	case CN_RECORD_U64:
		if (*(const uint64_t *)at)
			cn_json_add_u64(b, f->name, *(const uint64_t *)at);
		return;
	case CN_RECORD_INT:
		if (*(const int *)at > 0)
			cn_json_add_u64(b, f->name, (uint64_t)(*(const int *)at));
		return;
	case CN_RECORD_BOOL:
		if (*(const bool *)at)
			cn_json_add_bool(b, f->name, true);
		return;
	case CN_RECORD_HASH:
		add_hash(b, f->name, at);
		return;
	case CN_RECORD_USAGE:
		add_usage(b, f->name, at);
		return;
	}
}

static void add_fields(struct cn_buf *b, const struct cn_record_field *fields, size_t n,
                       const void *base)
{
	for (size_t i = 0; i < n; i++)
		add_field(b, &fields[i], (const char *)base + fields[i].at);
}

/* "name":[{…},…], left out when there are none. */
static void add_list(struct cn_buf *b, const struct cn_record_list *l, const char *base)
{
	const char *first;
	size_t n;

	memcpy(&first, base + l->at, sizeof(first));
	memcpy(&n, base + l->at_n, sizeof(n));
	if (n == 0)
		return;
	cn_json_add_key(b, l->name);
	cn_buf_add_char(b, '[');
	for (size_t i = 0; i < n; i++) {
		cn_buf_add_str(b, i ? ",{" : "{");
		add_fields(b, l->fields, l->n_fields, first + i * l->size);
		cn_buf_add_char(b, '}');
	}
	cn_buf_add_char(b, ']');
}

void cn_turn_record_write(struct cn_buf *b, const struct cn_turn_record *r)
{
	cn_buf_add_char(b, '{');
	add_fields(b, turn_fields, CN_COUNT(turn_fields), r);
	for (size_t i = 0; i < CN_COUNT(lists); i++)
		add_list(b, &lists[i], (const char *)r);
	cn_buf_add_char(b, '}');
}

/* ---- reading ---- */

static bool read_usage(yyjson_val *v, struct cn_usage *ret)
{
	char *base = (char *)ret;

	if (!yyjson_is_obj(v))
		return false;
	for (size_t i = 0; i < CN_COUNT(usage_fields); i++) {
		yyjson_val *figure = yyjson_obj_get(v, usage_fields[i].name);

		if (!figure)
			continue;
		if (!yyjson_is_uint(figure))
			return false;
		*(uint64_t *)(void *)(base + usage_fields[i].at) = yyjson_get_uint(figure);
		*(bool *)(base + usage_has[i]) = true;
	}
	return true;
}

static bool read_field(struct cn_arena *a, const struct cn_record_field *f, yyjson_val *v,
                       void *at)
{
	struct cn_view text = cn_view(yyjson_get_str(v), yyjson_get_len(v));

	switch (f->kind) {
	case CN_RECORD_TEXT:
		if (!yyjson_is_str(v))
			return false;
		*(struct cn_view *)at = cn_arena_view(a, text);
		return true;
	case CN_RECORD_U64:
		*(uint64_t *)at = yyjson_get_uint(v);
		return yyjson_is_uint(v);
	case CN_RECORD_INT:
		if (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT32_MAX)
			return false;
		*(int *)at = (int)yyjson_get_uint(v);
		return true;
	case CN_RECORD_BOOL:
		*(bool *)at = yyjson_is_true(v);
		return yyjson_is_bool(v);
	case CN_RECORD_HASH:
		return yyjson_is_str(v) && cn_unhex(text, at, CN_HASH_BYTES);
	case CN_RECORD_USAGE:
		return read_usage(v, at);
	}
	return false;
}

static int read_fields(struct cn_arena *a, const struct cn_record_field *fields, size_t n,
                       yyjson_val *object, void *base, struct cn_error *reterr)
{
	for (size_t i = 0; i < n; i++) {
		yyjson_val *v = yyjson_obj_get(object, fields[i].name);

		if (v && !read_field(a, &fields[i], v, (char *)base + fields[i].at))
			return cn_fail(reterr, CN_E_INVALID,
			               "a turn's record: \"%s\" is wrong", fields[i].name);
	}
	return 0;
}

/* An array of objects → a zeroed array of structs in the arena. */
static int read_list(struct cn_arena *a, const struct cn_record_list *l, yyjson_val *list,
                     char *base, struct cn_error *reterr)
{
	size_t n = yyjson_arr_size(list);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	char *made;
	yyjson_val *v;
	int err;

	if (list && !yyjson_is_arr(list))
		return cn_fail(reterr, CN_E_INVALID, "a turn's record: \"%s\" is no array",
		               l->name);
	if (n == 0)
		return 0;
	made = cn_arena_zalloc(a, n * l->size);
	for (size_t i = 0; (v = yyjson_arr_iter_next(&it)); i++) {
		if (!yyjson_is_obj(v))
			return cn_fail(reterr, CN_E_INVALID,
			               "a turn's record: \"%s\" holds no objects", l->name);
		if ((err = read_fields(a, l->fields, l->n_fields, v, made + i * l->size,
		                       reterr)))
			return err;
	}
	memcpy(base + l->at, &made, sizeof(made));
	memcpy(base + l->at_n, &n, sizeof(n));
	return 0;
}

static int read_turn(struct cn_arena *a, yyjson_val *root, struct cn_turn_record *ret,
                     struct cn_error *reterr)
{
	struct cn_turn_record r = {0};
	int err;

	if (!yyjson_is_obj(root))
		return cn_fail(reterr, CN_E_INVALID, "a turn's record is no object");
	if ((err = read_fields(a, turn_fields, CN_COUNT(turn_fields), root, &r, reterr)))
		return err;
	for (size_t i = 0; i < CN_COUNT(lists); i++)
		if ((err = read_list(a, &lists[i], yyjson_obj_get(root, lists[i].name),
		                     (char *)&r, reterr)))
			return err;
	*ret = r;
	return 0;
}

int cn_turn_record_read(struct cn_arena *a, struct cn_view json, struct cn_turn_record *ret,
                        struct cn_error *reterr)
{
	yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
	int err;

	if (!doc)
		return cn_fail(reterr, CN_E_INVALID, "a turn's record is no JSON");
	err = read_turn(a, yyjson_doc_get_root(doc), ret, reterr);
	yyjson_doc_free(doc);
	return err;
}
