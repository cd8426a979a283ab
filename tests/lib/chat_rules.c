/* Read with yyjson, so that our own reading of JSON is not held to itself. */
#include "chat_rules.h"

#include <ctype.h>
#include <stdio.h>
#include <yyjson.h>

struct rules {
	uint64_t quirks;
	char *ret;
	size_t n;
	bool broken;
};

#define BIT(symbol) (UINT64_C(1) << CN_QUIRK_##symbol)

static bool quirk(const struct rules *r, enum cn_quirk q)
{
	return r->quirks & cn_quirk_bit(q);
}

static void breach(struct rules *r, const char *what, const char *detail)
{
	if (!r->broken)
		(void)snprintf(r->ret, r->n, "%s%s%s", what, detail ? ": " : "",
		               detail ? detail : "");
	r->broken = true;
}

static const char *text(yyjson_val *v)
{
	const char *s = yyjson_get_str(v);

	return s ? s : "";
}

static bool is(yyjson_val *v, const char *s)
{
	return yyjson_equals_str(v, s);
}

/* ---- content ---- */

static void check_part(struct rules *r, yyjson_val *part, bool images)
{
	yyjson_val *type = yyjson_obj_get(part, "type");
	yyjson_val *url = yyjson_ptr_get(part, "/image_url/url");

	if (is(type, "text")) {
		if (yyjson_get_len(yyjson_obj_get(part, "text")) == 0)
			breach(r, "a text part without text", NULL);
	} else if (is(type, "image_url") && images) {
		if (yyjson_get_len(url) == 0)
			breach(r, "an image without a url", NULL);
	} else if (is(type, "file") && images && quirk(r, CN_QUIRK_FILES)) {
		if (!yyjson_is_str(yyjson_ptr_get(part, "/file/file_data")))
			breach(r, "a file without data", NULL);
	} else {
		breach(r, "an unknown part", text(type));
	}
	if (yyjson_obj_get(part, "cache_control") && !quirk(r, CN_QUIRK_CACHE_CONTROL))
		breach(r, "cache_control on a part", NULL);
}

static void check_content(struct rules *r, yyjson_val *v, bool images)
{
	size_t i, max;
	yyjson_val *part;

	if (yyjson_is_str(v))
		return;
	if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0) {
		breach(r, "content is neither a string nor parts", NULL);
		return;
	}
	yyjson_arr_foreach(v, i, max, part) check_part(r, part, images);
}

static bool is_empty(yyjson_val *content)
{
	return !content || yyjson_is_null(content) || yyjson_get_len(content) == 0;
}

/* ---- calls ---- */

static bool is_name(const char *s)
{
	size_t n = 0;

	if (isdigit((unsigned char)*s) || *s == '-')
		return false;
	for (; s[n]; n++)
		if ((unsigned char)s[n] >= 0x80 ||
		    (!isalnum((unsigned char)s[n]) && s[n] != '_' && s[n] != '-'))
			return false;
	return n > 0 && n <= 64;
}

static bool is_object(yyjson_val *v)
{
	yyjson_doc *doc = yyjson_read(text(v), yyjson_get_len(v), 0);
	bool ok = yyjson_is_obj(yyjson_doc_get_root(doc));

	yyjson_doc_free(doc);
	return ok;
}

static bool is_id(const struct rules *r, yyjson_val *id)
{
	const char *s = text(id);

	if (!quirk(r, CN_QUIRK_NINE_CHARACTER_IDS))
		return *s;
	for (size_t i = 0; s[i]; i++)
		if (!isalnum((unsigned char)s[i]))
			return false;
	return yyjson_get_len(id) == 9;
}

static void check_calls(struct rules *r, yyjson_val *calls)
{
	size_t i, max;
	yyjson_val *call;

	if (!yyjson_is_arr(calls) || yyjson_arr_size(calls) == 0)
		breach(r, "tool_calls without a call", NULL);
	yyjson_arr_foreach(calls, i, max, call)
	{
		if (!is_id(r, yyjson_obj_get(call, "id")))
			breach(r, "a call's id", text(yyjson_obj_get(call, "id")));
		if (!is(yyjson_obj_get(call, "type"), "function"))
			breach(r, "a call that is no function", NULL);
		if (!is_name(text(yyjson_ptr_get(call, "/function/name"))))
			breach(r, "a call's name",
			       text(yyjson_ptr_get(call, "/function/name")));
		if (!is_object(yyjson_ptr_get(call, "/function/arguments")))
			breach(r, "arguments that are no object", NULL);
	}
}

/* ---- messages ---- */

struct talk {
	yyjson_val *calls; /* of the last assistant; NULL: none await a result */
	size_t answered;
	const char *last; /* role of the message before */
	size_t n;
};

static void check_tool(struct rules *r, struct talk *t, yyjson_val *m)
{
	yyjson_val *call = yyjson_arr_get(t->calls, t->answered++);
	yyjson_val *content = yyjson_obj_get(m, "content");

	if (!call ||
	    !yyjson_equals(yyjson_obj_get(call, "id"), yyjson_obj_get(m, "tool_call_id")))
		breach(r, "a result out of order", text(yyjson_obj_get(m, "tool_call_id")));
	check_content(r, content, quirk(r, CN_QUIRK_TOOL_IMAGES));
	if (is_empty(content) && quirk(r, CN_QUIRK_NO_EMPTY_CONTENT))
		breach(r, "a result without content", NULL);
}

static void check_assistant(struct rules *r, struct talk *t, yyjson_val *m)
{
	yyjson_val *content = yyjson_obj_get(m, "content");
	yyjson_val *calls = yyjson_obj_get(m, "tool_calls");

	if (strcmp(t->last, "assistant") == 0)
		breach(r, "two assistant messages in a row", NULL);
	if (strcmp(t->last, "") == 0 || strcmp(t->last, "system") == 0)
		breach(r, "an assistant message before any of the user", NULL);
	if (is_empty(content) && !calls)
		breach(r, "an assistant message without anything", NULL);
	if (!yyjson_is_null(content))
		check_content(r, content, false);
	else if (quirk(r, CN_QUIRK_NO_NULL_CONTENT))
		breach(r, "null as content", NULL);
	if (calls)
		check_calls(r, calls);
	t->calls = calls;
	t->answered = 0;
}

/* Members of a message that only some servers know. */
static void check_own_members(struct rules *r, yyjson_val *m)
{
	static const struct {
		const char *name;
		uint64_t wants; /* one of them; 0: none */
	} members[] = {
	    {"role", 0},
	    {"content", 0},
	    {"tool_calls", 0},
	    {"tool_call_id", 0},
	    {"name", 0},
	    {"reasoning_content", BIT(REASONING_CONTENT_BACK) | BIT(REASONING_DEMANDED)},
	    {"reasoning", BIT(REASONING_BACK)},
	    {"reasoning_details", BIT(REASONING_DETAILS_BACK)},
	    {"prefix", BIT(PREFIX_FLAG)},
	    {"partial", BIT(PARTIAL_FLAG)},
	};
	size_t i, max;
	yyjson_val *key, *v;

	yyjson_obj_foreach(m, i, max, key, v)
	{
		bool known = false;

		for (size_t k = 0; k < sizeof(members) / sizeof(members[0]); k++)
			known |= is(key, members[k].name) &&
			         (!members[k].wants || r->quirks & members[k].wants);
		if (!known)
			breach(r, "a message's member", text(key));
	}
}

static void check_user(struct rules *r, struct talk *t, yyjson_val *m)
{
	yyjson_val *content = yyjson_obj_get(m, "content");

	if (strcmp(t->last, "user") == 0)
		breach(r, "two user messages in a row", NULL);
	if (strcmp(t->last, "tool") == 0 && quirk(r, CN_QUIRK_NO_USER_AFTER_TOOL))
		breach(r, "a user message behind a result", NULL);
	if (is_empty(content))
		breach(r, "a user message without content", NULL);
	check_content(r, content, true);
}

static void check_message(struct rules *r, struct talk *t, yyjson_val *m)
{
	yyjson_val *role = yyjson_obj_get(m, "role");

	check_own_members(r, m);
	if (!is(role, "tool") && t->calls && t->answered != yyjson_arr_size(t->calls))
		breach(r, "a call without a result", NULL);
	if (is(role, "system")) {
		if (t->n || quirk(r, CN_QUIRK_FOLD_SYSTEM))
			breach(r, "a system message where none may be", NULL);
		check_content(r, yyjson_obj_get(m, "content"), false);
	} else if (is(role, "user")) {
		check_user(r, t, m);
	} else if (is(role, "assistant")) {
		check_assistant(r, t, m);
	} else if (is(role, "tool")) {
		check_tool(r, t, m);
	} else {
		breach(r, "an unknown role", text(role));
	}
	if (!is(role, "tool") && !is(role, "assistant"))
		t->calls = NULL;
	t->last = text(role);
	t->n++;
}

static void check_messages(struct rules *r, yyjson_val *list)
{
	struct talk t = {.last = ""};
	size_t i, max;
	yyjson_val *m;

	if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
		breach(r, "no messages", NULL);
	yyjson_arr_foreach(list, i, max, m) check_message(r, &t, m);
	if (t.calls && t.answered != yyjson_arr_size(t.calls))
		breach(r, "a call without a result", NULL);
}

/* ---- the rest ---- */

static void check_tools(struct rules *r, yyjson_val *root)
{
	yyjson_val *tools = yyjson_obj_get(root, "tools"), *tool;
	size_t i, max;

	if (!tools && (yyjson_obj_get(root, "tool_choice") ||
	               yyjson_obj_get(root, "parallel_tool_calls")))
		breach(r, "tool_choice without tools", NULL);
	if (tools && yyjson_arr_size(tools) == 0)
		breach(r, "tools without a tool", NULL);
	yyjson_arr_foreach(tools, i, max, tool)
	{
		yyjson_val *schema = yyjson_ptr_get(tool, "/function/parameters");

		if (!is(yyjson_obj_get(tool, "type"), "function") ||
		    !is_name(text(yyjson_ptr_get(tool, "/function/name"))))
			breach(r, "a tool's name",
			       text(yyjson_ptr_get(tool, "/function/name")));
		if (!schema && quirk(r, CN_QUIRK_SCHEMA_SUBSET))
			continue;
		if (!is(yyjson_obj_get(schema, "type"), "object") ||
		    !yyjson_is_obj(yyjson_obj_get(schema, "properties")))
			breach(r, "parameters that are no object", NULL);
	}
}

static void check_stop(struct rules *r, yyjson_val *stop)
{
	size_t most = quirk(r, CN_QUIRK_NO_STOP) ? 0 : quirk(r, CN_QUIRK_ONE_STOP) ? 1 : 4;
	size_t i, max;
	yyjson_val *v;

	if (!stop)
		return;
	if (!yyjson_is_arr(stop) || yyjson_arr_size(stop) == 0 ||
	    yyjson_arr_size(stop) > most)
		breach(r, "stop", NULL);
	yyjson_arr_foreach(stop, i, max, v) if (yyjson_get_len(v) == 0)
	    breach(r, "an empty stop", NULL);
}

/* Members that only some servers know, and those that some refuse. */
static void check_what_is_known(struct rules *r, yyjson_val *root)
{
	static const struct {
		const char *path;
		uint64_t wants, refused; /* quirks: one of the first, none of the second */
	} members[] = {
	    {"/top_k", BIT(TOP_K), 0},
	    {"/max_tokens", 0, BIT(MAX_COMPLETION_TOKENS)},
	    {"/max_completion_tokens", BIT(MAX_COMPLETION_TOKENS), 0},
	    {"/stream_options", 0, BIT(NO_STREAM_OPTIONS)},
	    {"/tool_choice", 0, BIT(NO_TOOL_CHOICE)},
	    {"/tool_choice/function", 0, BIT(STRING_TOOL_CHOICE) | BIT(AUTO_TOOL_CHOICE)},
	    {"/parallel_tool_calls", 0, BIT(NO_PARALLEL_SWITCH)},
	    {"/response_format/json_schema", 0, BIT(JSON_OBJECT_ONLY)},
	    {"/prompt_cache_key", BIT(PROMPT_CACHE_KEY), 0},
	    {"/reasoning_effort", BIT(EFFORT), 0},
	    {"/thinking", BIT(THINKING_TYPE), 0},
	    {"/enable_thinking", BIT(ENABLE_THINKING), 0},
	    {"/thinking_budget", BIT(ENABLE_THINKING), 0},
	    {"/reasoning", BIT(REASONING_OBJECT), 0},
	    {"/chat_template_kwargs", BIT(TEMPLATE_THINKING), 0},
	    {"/continue_final_message", BIT(CONTINUE_FLAG), 0},
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (yyjson_ptr_get(root, members[i].path) &&
		    ((members[i].wants && !(r->quirks & members[i].wants)) ||
		     r->quirks & members[i].refused))
			breach(r, "a member that this server refuses", members[i].path);
	if (yyjson_is_str(yyjson_obj_get(root, "tool_choice")) &&
	    !is(yyjson_obj_get(root, "tool_choice"), "auto") &&
	    quirk(r, CN_QUIRK_AUTO_TOOL_CHOICE))
		breach(r, "another tool_choice than auto", NULL);
}

static void check_members(struct rules *r, yyjson_val *root)
{
	static const char *const known[] = {"model",
	                                    "messages",
	                                    "tools",
	                                    "tool_choice",
	                                    "parallel_tool_calls",
	                                    "max_tokens",
	                                    "max_completion_tokens",
	                                    "stream",
	                                    "stream_options",
	                                    "temperature",
	                                    "top_p",
	                                    "top_k",
	                                    "stop",
	                                    "response_format",
	                                    "reasoning_effort",
	                                    "thinking",
	                                    "enable_thinking",
	                                    "thinking_budget",
	                                    "reasoning",
	                                    "chat_template_kwargs",
	                                    "prompt_cache_key",
	                                    "continue_final_message",
	                                    "add_generation_prompt"};
	size_t i, max;
	yyjson_val *key, *v;

	yyjson_obj_foreach(root, i, max, key, v)
	{
		bool found = false;

		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			found |= is(key, known[k]);
		if (!found)
			breach(r, "an unknown member", text(key));
	}
	if (yyjson_obj_get(root, "max_tokens") &&
	    yyjson_obj_get(root, "max_completion_tokens"))
		breach(r, "two limits", NULL);
	if (yyjson_get_len(yyjson_obj_get(root, "model")) == 0)
		breach(r, "no model", NULL);
	if (yyjson_obj_size(yyjson_obj_get(root, "thinking")) > 1)
		breach(r, "thinking in another format's words", NULL);
}

const char *chat_rules_breach(struct cn_view body, uint64_t quirks, char *ret, size_t n)
{
	struct rules r = {.quirks = quirks, .ret = ret, .n = n};
	yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
	yyjson_val *root = yyjson_doc_get_root(doc);

	if (!yyjson_is_obj(root)) {
		breach(&r, "no JSON object", NULL);
	} else {
		check_members(&r, root);
		check_what_is_known(&r, root);
		check_messages(&r, yyjson_obj_get(root, "messages"));
		check_tools(&r, root);
		check_stop(&r, yyjson_obj_get(root, "stop"));
	}
	yyjson_doc_free(doc);
	return r.broken ? ret : NULL;
}
