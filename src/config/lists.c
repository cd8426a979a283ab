/*
 * The list types of the policy language: globs, sets of words, host names,
 * origins, addresses.  Where a list is meant, one value alone is taken as a list of one.
 *
 * Thread of the load or of the printer; owns nothing.
 */
#include <ctype.h>

#include "config_impl.h"

/* The items of a list, or the value itself; *retn of them, linked by next. */
static const struct cn_node *items(const struct cn_node *n, size_t *retn)
{
	*retn = n->kind == CN_NODE_LIST ? n->n : 1;
	return n->kind == CN_NODE_LIST ? n->first : n;
}

static void keep_strings(const struct cn_row *row, void *base, const char **list, size_t n)
{
	memcpy((char *)base + row->at, &list, sizeof list);
	memcpy((char *)base + row->count_at, &n, sizeof n);
}

static const char **kept_strings(const struct cn_row *row, const void *base, size_t *retn)
{
	const char **list;

	memcpy(&list, (const char *)base + row->at, sizeof list);
	memcpy(retn, (const char *)base + row->count_at, sizeof *retn);
	return list;
}

/*
 * Reads strings that check() lets through (it reports what it refuses and gives the form to
 * keep); first (may be NULL) goes before them.
 */
static void strings_read(struct cn_load *l, const struct cn_node *n,
                         const struct cn_row *row, void *base,
                         const char *(*check)(struct cn_load *l, const struct cn_node *n,
                                              const struct cn_row *row),
                         const char *first)
{
	size_t count, kept = 0;
	const struct cn_node *c = items(n, &count);
	const char **list =
	    cn_arena_zalloc(&l->policy->arena, (count + 1) * sizeof(char *));

	if (first)
		list[kept++] = first;
	for (size_t i = 0; i < count; i++, c = c->next) {
		const char *s = c->bad ? NULL : check(l, c, row);
		for (size_t j = 0; s && j < kept; j++) {
			if (strcmp(list[j], s) == 0) {
				cn_config__mistake(l, c, "'%s' stands here twice; keep one",
				                   s);
				s = NULL;
			}
		}
		if (s)
			list[kept++] = s;
	}
	keep_strings(row, base, list, kept);
}

static yyjson_mut_val *strings_give(yyjson_mut_doc *d, const struct cn_row *row,
                                    const void *base)
{
	size_t n;
	const char **list = kept_strings(row, base, &n);
	yyjson_mut_val *arr = yyjson_mut_arr(d);

	if (n == 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		yyjson_mut_arr_append(arr, cn_config__str(d, list[i]));
	return arr;
}

static yyjson_mut_val *text_item(yyjson_mut_doc *d, uint64_t max)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	yyjson_mut_obj_add_str(d, v, "type", "string");
	yyjson_mut_obj_add_uint(d, v, "minLength", 1);
	yyjson_mut_obj_add_uint(d, v, "maxLength", max);
	return v;
}

/* ---- globs ---- */

static const char *glob_check(struct cn_load *l, const struct cn_node *n,
                              const struct cn_row *row)
{
	if (!cn_config__scalar(l, n, "a name, in which * stands for anything"))
		return NULL;
	if (n->text.n > row->max) {
		cn_config__mistake(l, n, "%zu bytes of '%s'; at most %llu are taken",
		                   n->text.n, row->key, (unsigned long long)row->max);
		return NULL;
	}
	return cn_arena_dup(&l->policy->arena, n->text);
}

static void globs_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base)
{
	if (n->kind == CN_NODE_LIST && n->n == 0)
		cn_config__mistake(l, n, "an empty list matches nothing; leave '%s' out",
		                   row->key);
	strings_read(l, n, row, base, glob_check, NULL);
}

static yyjson_mut_val *globs_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return cn_config__either(d, text_item(d, row->max),
	                         cn_config__array(d, text_item(d, row->max), 1));
}

const struct cn_type cn_type_globs = {globs_read, strings_give, globs_describe};

/* ---- member names and betas: tokens of letters, digits, '_', '-', '.' ---- */

static const char *token_check(struct cn_load *l, const struct cn_node *n,
                               const struct cn_row *row)
{
	if (!cn_config__scalar(l, n, row->key))
		return NULL;
	if (!cn_config__is_token(n->text)) {
		cn_config__mistake(
		    l, n,
		    "'%.*s' does not belong into '%s'; write a name of letters, digits, "
		    "'_', '-' and '.'",
		    CN_SHOW(n->text), row->key);
		return NULL;
	}
	return cn_arena_dup(&l->policy->arena, n->text);
}

/* They add to those that are there already: a model's to its backend's. */
static void fields_read(struct cn_load *l, const struct cn_node *n,
                        const struct cn_row *row, void *base)
{
	size_t n_had, n_new, kept;
	const char **had = kept_strings(row, base, &n_had), **new, **all;

	strings_read(l, n, row, base, token_check, NULL);
	new = kept_strings(row, base, &n_new);
	if (n_had == 0)
		return;
	all = cn_arena_zalloc(&l->policy->arena, (n_had + n_new) * sizeof(char *));
	memcpy(all, had, n_had * sizeof(char *));
	kept = n_had;
	for (size_t i = 0; i < n_new; i++) {
		size_t at = 0;
		while (at < n_had && strcmp(had[at], new[i]) != 0)
			at++;
		if (at == n_had)
			all[kept++] = new[i];
	}
	keep_strings(row, base, all, kept);
}

static yyjson_mut_val *fields_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__array(d, cn_config__pattern(d, "^[A-Za-z0-9_.-]{1,100}$"), 0);
}

const struct cn_type cn_type_fields = {fields_read, strings_give, fields_describe};

/* ---- sets of known words ---- */

#define CN_WORDS_SHOWN 320 /* bytes; a longer list in a message helps nobody */

static const struct cn_word *known(struct cn_load *l, const struct cn_node *n,
                                   const struct cn_row *row)
{
	struct cn_suggest s = {.word = n->text};
	CN_AUTO(cn_buf) list = {0};

	if (!cn_config__scalar(l, n, "a word"))
		return NULL;
	for (const struct cn_word *w = row->words; w->word; w++) {
		if (cn_view_is(n->text, w->word))
			return w;
		cn_config__offer(&s, w->word);
		cn_buf_printf(&list, "%s%s", w == row->words ? "known are " : ", ",
		              w->word);
	}
	if (list.n > CN_WORDS_SHOWN) {
		cn_buf_clear(&list);
		cn_buf_add_str(&list, "'continuo policy schema' lists them");
	}
	cn_config__mistake(l, n, "unknown word '%.*s' in '%s'; %s", CN_SHOW(n->text),
	                   row->key, cn_config__hint(l, &s, cn_buf_cstr(&list)));
	return NULL;
}

static yyjson_mut_val *words_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *item = yyjson_mut_obj(d), *list = yyjson_mut_arr(d);

	for (const struct cn_word *w = row->words; w->word; w++)
		yyjson_mut_arr_append(list, cn_config__str(d, w->word));
	yyjson_mut_obj_add_val(d, item, "enum", list);
	return cn_config__array(d, item, 0);
}

static void set_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                     void *base)
{
	size_t count;
	const struct cn_node *c = items(n, &count);
	uint64_t bits = 0, bit;

	for (size_t i = 0; i < count; i++, c = c->next) {
		const struct cn_word *w = c->bad ? NULL : known(l, c, row);
		bit = w ? (uint64_t)1 << w->value : 0;
		if (bits & bit)
			cn_config__mistake(l, c, "'%s' stands here twice; keep one",
			                   w->word);
		bits |= bit;
	}
	cn_config__store(row, base, bits);
}

static yyjson_mut_val *set_give(yyjson_mut_doc *d, const struct cn_row *row,
                                const void *base)
{
	uint64_t bits = cn_config__fetch(row, base);
	yyjson_mut_val *arr = yyjson_mut_arr(d);

	/* None is said too: the preset may have some. */
	for (const struct cn_word *w = row->words; w->word; w++)
		if (bits & ((uint64_t)1 << w->value))
			yyjson_mut_arr_append(arr, cn_config__str(d, w->word));
	return arr;
}

const struct cn_type cn_type_set = {set_read, set_give, words_describe};

/* A set that adds to the one that is there. */
static void more_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                      void *base)
{
	uint64_t had = cn_config__fetch(row, base);

	set_read(l, n, row, base);
	cn_config__store(row, base, had | cn_config__fetch(row, base));
}

static yyjson_mut_val *more_give(yyjson_mut_doc *d, const struct cn_row *row,
                                 const void *base)
{
	return cn_config__fetch(row, base) ? set_give(d, row, base) : NULL;
}

const struct cn_type cn_type_more = {more_read, more_give, words_describe};

/* ---- where we are, and where the client's key may go ---- */

static const char *host_check(struct cn_load *l, const struct cn_node *n,
                              const struct cn_row *row)
{
	const char *origin;

	(void)row;
	if (!cn_config__scalar(l, n, "a host name, such as router.example.com"))
		return NULL;
	const char *url = cn_arena_printf(&l->arena, "https://%s", n->text.p);
	if (memchr(n->text.p, '/', n->text.n) ||
	    !cn_config_origin(&l->arena, cn_view_str(url), &origin, NULL)) {
		cn_config__mistake(l, n,
		                   "'%.*s' is no host name; write router.example.com, with "
		                   ":PORT where it is another than ours",
		                   CN_SHOW(n->text));
		return NULL;
	}
	return cn_arena_dup(&l->policy->arena, n->text);
}

static void hosts_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base)
{
	strings_read(l, n, row, base, host_check, NULL);
}

const struct cn_type cn_type_hosts = {hosts_read, strings_give, globs_describe};

static const char *origin_check(struct cn_load *l, const struct cn_node *n,
                                const struct cn_row *row)
{
	struct cn_view text = n->text;
	const char *origin;

	(void)row;
	if (!cn_config__scalar(l, n, "an origin, such as https://claude.example.com"))
		return NULL;
	if (cn_view_ends(text, CN_VIEW("/")))
		text.n--;
	if (!cn_config_origin(&l->policy->arena, text, &origin, NULL) ||
	    cn_view_find(text, CN_VIEW("/"), strlen("https://")) != SIZE_MAX) {
		cn_config__mistake(l, n,
		                   "'%.*s' is no origin; write https://HOST or "
		                   "https://HOST:PORT",
		                   CN_SHOW(n->text));
		return NULL;
	}
	if (strncmp(origin, "http:", 5) == 0 &&
	    cn_config__host_kind(cn_config__origin_host(origin)) != CN_HOST_LOOPBACK) {
		cn_config__mistake(l, n,
		                   "'%.*s' would carry the client's key unencrypted; write "
		                   "https",
		                   CN_SHOW(n->text));
		return NULL;
	}
	return origin;
}

/* The first of them is built in and not printed. */
static void origins_read(struct cn_load *l, const struct cn_node *n,
                         const struct cn_row *row, void *base)
{
	size_t had;
	const char **list = kept_strings(row, base, &had);

	strings_read(l, n, row, base, origin_check, list[0]);
}

static yyjson_mut_val *origins_give(yyjson_mut_doc *d, const struct cn_row *row,
                                    const void *base)
{
	yyjson_mut_val *v = strings_give(d, row, base);

	if (!v || yyjson_mut_arr_size(v) < 2)
		return NULL;
	yyjson_mut_arr_remove_first(v);
	return v;
}

static yyjson_mut_val *origins_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	static const char pattern[] = "^https?://[^/?#@]+/?$";

	(void)row;
	return cn_config__either(d, cn_config__pattern(d, pattern),
	                         cn_config__array(d, cn_config__pattern(d, pattern), 0));
}

const struct cn_type cn_type_origins = {origins_read, origins_give, origins_describe};

/* ---- listen ---- */

static bool read_address(struct cn_load *l, struct cn_view v, struct cn_listen *ret)
{
	size_t colon = SIZE_MAX;
	uint64_t port;
	const char *origin;

	*ret = (struct cn_listen){0};
	if (cn_view_starts(v, CN_VIEW("unix:"))) {
		/* sockaddr_un takes 107 bytes */
		if (v.n < 7 || v.n > 5 + 107 || v.p[5] != '/')
			return false;
		ret->path = cn_arena_dup(&l->policy->arena, cn_view_from(v, 5));
		ret->loopback = true;
		return true;
	}
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] == ':')
			colon = i;
	if (colon == SIZE_MAX || !cn_view_u64(cn_view_from(v, colon + 1), &port) ||
	    port > 65535)
		return false;
	struct cn_view host = cn_view_cut(v, colon);
	const char *url = cn_arena_printf(&l->arena, "http://%.*s", CN_VIEW_ARG(host));
	if (memchr(host.p, '/', host.n) ||
	    (host.n && host.p[0] != '[' && memchr(host.p, ':', host.n)) ||
	    !cn_config_origin(&l->arena, cn_view_str(url), &origin, NULL))
		return false;
	ret->loopback = cn_config__host_kind(host) == CN_HOST_LOOPBACK;
	if (host.p[0] == '[')
		host = cn_view(host.p + 1, host.n - 2);
	ret->host = cn_arena_dup(&l->policy->arena, host);
	ret->port = (unsigned)port;
	return true;
}

static void listen_read(struct cn_load *l, const struct cn_node *n,
                        const struct cn_row *row, void *base)
{
	struct cn_policy *p = base;
	size_t count;
	const struct cn_node *c = items(n, &count);

	(void)row;
	if (count == 0) {
		cn_config__mistake(l, n, "no address to listen on; write 127.0.0.1:4141");
		return;
	}
	p->listen = cn_arena_zalloc(&p->arena, count * sizeof *p->listen);
	p->n_listen = 0;
	for (size_t i = 0; i < count; i++, c = c->next) {
		if (!cn_config__scalar(l, c, "an address, such as 127.0.0.1:4141"))
			continue;
		if (read_address(l, c->text, &p->listen[p->n_listen]))
			p->n_listen++;
		else
			cn_config__mistake(l, c,
			                   "'%.*s' is no address; write HOST:PORT such as "
			                   "127.0.0.1:4141, or unix:/PATH",
			                   CN_SHOW(c->text));
	}
}

static yyjson_mut_val *address_text(yyjson_mut_doc *d, const struct cn_listen *a)
{
	struct cn_arena arena = {0};
	yyjson_mut_val *v;
	bool v6 = a->host && strchr(a->host, ':');

	v = cn_config__str(d, a->path ? cn_arena_printf(&arena, "unix:%s", a->path)
	                              : cn_arena_printf(&arena, "%s%s%s:%u", v6 ? "[" : "",
	                                                a->host, v6 ? "]" : "", a->port));
	cn_arena_done(&arena);
	return v;
}

static yyjson_mut_val *listen_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base)
{
	const struct cn_policy *p = base;
	yyjson_mut_val *arr = yyjson_mut_arr(d);

	(void)row;
	if (p->n_listen == 1)
		return address_text(d, &p->listen[0]);
	for (size_t i = 0; i < p->n_listen; i++)
		yyjson_mut_arr_append(arr, address_text(d, &p->listen[i]));
	return arr;
}

static yyjson_mut_val *listen_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	static const char pattern[] = "^(unix:/.+|[^/]+:[0-9]{1,5})$";

	(void)row;
	return cn_config__either(d, cn_config__pattern(d, pattern),
	                         cn_config__array(d, cn_config__pattern(d, pattern), 1));
}

const struct cn_type cn_type_listen = {listen_read, listen_give, listen_describe};
