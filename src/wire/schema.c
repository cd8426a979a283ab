/*
 * Whether a held tool call may go to the client.  Looks at what certainly makes a call
 * useless (no JSON, no such tool, a required property missing) and at nothing that tools
 * may judge for themselves.  Pure.
 */
#include "continuo/schema.h"

static struct cn_json find_tool(struct cn_json tools, struct cn_view name)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_json none = {{NULL, 0}, CN_JSON_NONE};

	for (struct cn_json_iter it = cn_json_iter(tools); cn_json_next(&it);)
		if (cn_view_eq(cn_json_text(&a, cn_json_get(it.value, "name")), name))
			return it.value;
	return none;
}

/* A toolset is declared as one and called by the names of its members. */
static bool has_toolset(struct cn_json tools)
{
	for (struct cn_json_iter it = cn_json_iter(tools); cn_json_next(&it);)
		if (cn_json_get(it.value, "name").kind == CN_JSON_NONE)
			return true;
	return false;
}

static bool has_member(struct cn_json object, struct cn_view key)
{
	CN_AUTO(cn_arena) a = {0};

	for (struct cn_json_iter it = cn_json_iter(object); cn_json_next(&it);) {
		struct cn_json as_string = {cn_view(it.key.p - 1, it.key.n + 2),
		                            CN_JSON_STRING};

		if (cn_view_eq(cn_json_text(&a, as_string), key))
			return true;
	}
	return false;
}

int cn_schema_check_call(struct cn_json tools, struct cn_view name, struct cn_view input,
                         struct cn_error *reterr)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_view text = input.n ? input : CN_VIEW("{}");
	struct cn_json tool = find_tool(tools, name), object = cn_json_root(text);

	if (tool.kind == CN_JSON_NONE && !has_toolset(tools))
		return cn_fail(reterr, CN_E_INVALID,
		               "tool '%.*s' is not one of the request", CN_VIEW_ARG(name));
	if (cn_json_check(text, reterr)) {
		if (reterr)
			cn_error_prefix(reterr, "input of %.*s", CN_VIEW_ARG(name));
		return CN_E_INVALID;
	}
	if (object.kind != CN_JSON_OBJECT)
		return cn_fail(reterr, CN_E_INVALID, "input of %.*s is no object",
		               CN_VIEW_ARG(name));
	for (struct cn_json_iter it =
	         cn_json_iter(cn_json_path(tool, "input_schema", "required", NULL));
	     cn_json_next(&it);) {
		struct cn_view key = cn_json_text(&a, it.value);

		if (it.value.kind == CN_JSON_STRING && !has_member(object, key))
			return cn_fail(reterr, CN_E_INVALID, "input of %.*s lacks %.*s",
			               CN_VIEW_ARG(name), CN_VIEW_ARG(key));
	}
	return 0;
}
