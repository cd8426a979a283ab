/*
 * Maps of names to texts: header fields for backends, globs for request headers, variables
 * for clients.  None of them may carry a credential, nor what continuo writes itself.
 *
 * Thread of the load or of the printer; owns nothing.
 */
#include <ctype.h>

#include "config_impl.h"

static void pairs_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base,
                       bool (*check)(struct cn_load *l, const struct cn_node *n))
{
	struct cn_header *list;
	size_t kept = 0;

	if (n->kind != CN_NODE_MAP) {
		cn_config__mistake(l, n, "'%s' is a map; write 'NAME: value'", row->key);
		return;
	}
	list = cn_arena_zalloc(&l->policy->arena, (n->n + 1) * sizeof *list);
	for (const struct cn_node *c = n->first; c; c = c->next) {
		if (!cn_config__scalar(l, c, "a text") || !check(l, c))
			continue;
		char *name = cn_arena_dup(&l->policy->arena, c->name);
		if (row->type != &cn_type_env)
			for (char *p = name; *p; p++)
				*p = (char)tolower((unsigned char)*p);
		list[kept].name = name;
		list[kept++].value = cn_arena_dup(&l->policy->arena, c->text);
	}
	memcpy((char *)base + row->at, &list, sizeof(struct cn_header *));
	memcpy((char *)base + row->count_at, &kept, sizeof kept);
}

static yyjson_mut_val *pairs_give(yyjson_mut_doc *d, const struct cn_row *row,
                                  const void *base)
{
	const struct cn_header *list;
	yyjson_mut_val *obj = yyjson_mut_obj(d);
	size_t n;

	memcpy(&list, (const char *)base + row->at, sizeof(struct cn_header *));
	memcpy(&n, (const char *)base + row->count_at, sizeof n);
	if (n == 0 && row->type != &cn_type_headers)
		return NULL;
	for (size_t i = 0; i < n; i++)
		yyjson_mut_obj_add(obj, yyjson_mut_strcpy(d, list[i].name),
		                   cn_config__str(d, list[i].value));
	return obj;
}

static yyjson_mut_val *pairs_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *v = yyjson_mut_obj(d), *value = yyjson_mut_obj(d);

	yyjson_mut_obj_add_str(d, v, "type", "object");
	yyjson_mut_obj_add_val(d, v, "propertyNames",
	                       cn_config__pattern(d, row->type == &cn_type_env
	                                                 ? "^[A-Za-z_][A-Za-z0-9_]*$"
	                                                 : "^[A-Za-z0-9_-]+$"));
	yyjson_mut_obj_add_str(d, value, "type", "string");
	yyjson_mut_obj_add_val(d, v, "additionalProperties", value);
	return v;
}

static bool field_name_ok(struct cn_load *l, const struct cn_node *n)
{
	bool ok = n->name.n > 0 && n->name.n <= 100;

	for (size_t i = 0; ok && i < n->name.n; i++)
		ok = isalnum((unsigned char)n->name.p[i]) || n->name.p[i] == '-' ||
		     n->name.p[i] == '_';
	for (size_t i = 0; ok && i < n->text.n; i++)
		ok = (unsigned char)n->text.p[i] >= ' ' &&
		     (unsigned char)n->text.p[i] < 0x7f;
	if (!ok)
		cn_config__mistake_key(
		    l, n,
		    "'%.*s' is no header; write a name of letters, digits "
		    "and '-' and a value of visible ASCII",
		    CN_SHOW(n->name));
	return ok;
}

/* Of names; NULL ends each list. */
static bool among(struct cn_view name, const char *const *list)
{
	for (; *list; list++)
		if (cn_view_eq_nocase(name, cn_view_str(*list)))
			return true;
	return false;
}

static const char *const credential_headers[] = {"authorization",
                                                 "x-api-key",
                                                 "api-key",
                                                 "proxy-authorization",
                                                 "cookie",
                                                 "x-continuo-token",
                                                 "x-goog-api-key",
                                                 "x-amz-security-token",
                                                 NULL};
static const char *const our_headers[] = {
    "host",   "connection",   "content-length",  "transfer-encoding",
    "te",     "content-type", "accept-encoding", "upgrade",
    "expect", "trailer",      "keep-alive",      NULL};

static bool header_check(struct cn_load *l, const struct cn_node *n)
{
	if (!field_name_ok(l, n))
		return false;
	if (among(n->name, credential_headers)) {
		cn_config__mistake_key(
		    l, n,
		    "header '%.*s' carries a secret; store it with "
		    "'continuo vault set NAME' and write 'key: vault:NAME'",
		    CN_SHOW(n->name));
		return false;
	}
	if (among(n->name, our_headers)) {
		cn_config__mistake_key(l, n,
		                       "header '%.*s' is written by continuo; leave it "
		                       "out",
		                       CN_SHOW(n->name));
		return false;
	}
	return true;
}

static bool header_glob_check(struct cn_load *l, const struct cn_node *n)
{
	if (!field_name_ok(l, n))
		return false;
	if (!among(n->name, credential_headers))
		return true;
	cn_config__mistake_key(
	    l, n,
	    "header '%.*s' carries a secret; match on another header, or "
	    "on 'owner'",
	    CN_SHOW(n->name));
	return false;
}

static bool env_check(struct cn_load *l, const struct cn_node *n)
{
	static const char *const ours[] = {"ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN",
	                                   "ANTHROPIC_API_KEY", "ANTHROPIC_CUSTOM_HEADERS",
	                                   NULL};
	bool ok = !isdigit((unsigned char)n->name.p[0]);

	for (size_t i = 0; ok && i < n->name.n; i++)
		ok = isalnum((unsigned char)n->name.p[i]) || n->name.p[i] == '_';
	if (!ok)
		cn_config__mistake_key(
		    l, n,
		    "'%.*s' is no name of a variable; write letters, digits "
		    "and '_'",
		    CN_SHOW(n->name));
	else if (among(n->name, ours)) {
		cn_config__mistake_key(l, n, "%.*s is set by continuo itself; leave it out",
		                       CN_SHOW(n->name));
		ok = false;
	}
	return ok;
}

static void headers_read(struct cn_load *l, const struct cn_node *n,
                         const struct cn_row *row, void *base)
{
	pairs_read(l, n, row, base, header_check);
}

static void header_globs_read(struct cn_load *l, const struct cn_node *n,
                              const struct cn_row *row, void *base)
{
	pairs_read(l, n, row, base, header_glob_check);
}

static void env_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                     void *base)
{
	pairs_read(l, n, row, base, env_check);
}

const struct cn_type cn_type_headers = {headers_read, pairs_give, pairs_describe};
const struct cn_type cn_type_header_globs = {header_globs_read, pairs_give, pairs_describe};
const struct cn_type cn_type_env = {env_read, pairs_give, pairs_describe};
