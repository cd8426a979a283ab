/*
 * Types of one key each, whose value has a form of its own: model id, stream, tools,
 * prompt, price, budget, failback, time of day.  base is the struct that the row's table
 * fills.
 *
 * Thread of the load or of the printer; owns nothing.
 */
#include <ctype.h>
#include <stdio.h>

#include "config_impl.h"

/* A map of one key, which is one of the names (NULL ends them); NULL after a mistake. */
static const struct cn_node *only_key(struct cn_load *l, const struct cn_node *n,
                                      const char *const *names, const char *wanted)
{
	if (n->kind == CN_NODE_MAP && n->n == 1)
		for (; *names; names++)
			if (cn_view_is(n->first->name, *names))
				return n->first->bad ? NULL : n->first;
	cn_config__mistake(l, n, "this is no value for '%.*s'; write %s", CN_SHOW(n->name),
	                   wanted);
	return NULL;
}

/* {"type":"object","properties":{key:value},"required":[key],"additionalProperties":false}
 */
static yyjson_mut_val *one_key(yyjson_mut_doc *d, const char *key, yyjson_mut_val *value)
{
	yyjson_mut_val *v = yyjson_mut_obj(d), *props = yyjson_mut_obj(d);
	yyjson_mut_val *required = yyjson_mut_arr(d);

	yyjson_mut_obj_add_str(d, v, "type", "object");
	yyjson_mut_obj_add_val(d, props, key, value);
	yyjson_mut_obj_add_val(d, v, "properties", props);
	yyjson_mut_arr_append(required, cn_config__str(d, key));
	yyjson_mut_obj_add_val(d, v, "required", required);
	yyjson_mut_obj_add_bool(d, v, "additionalProperties", false);
	return v;
}

/* ---- models: id, stream, tools, prompt, price ---- */

static void id_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                    void *base)
{
	struct cn_model *m = base;

	if (!cn_config__scalar(l, n, "the model's id, or client"))
		return;
	for (size_t i = 0; i < n->text.n; i++) {
		if ((unsigned char)n->text.p[i] <= ' ' || n->text.p[i] == 0x7f ||
		    n->text.n > row->max) {
			cn_config__mistake(l, n,
			                   "'%.*s' is no model id; write it as the backend "
			                   "lists it",
			                   CN_SHOW(n->text));
			return;
		}
	}
	m->id =
	    cn_view_is(n->text, "client") ? NULL : cn_arena_dup(&l->policy->arena, n->text);
}

static yyjson_mut_val *id_give(yyjson_mut_doc *d, const struct cn_row *row,
                               const void *base)
{
	const struct cn_model *m = base;

	(void)row;
	return cn_config__str(d, m->id ? m->id : "client");
}

static yyjson_mut_val *id_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return cn_type_text.describe(d, row);
}

const struct cn_type cn_type_id = {id_read, id_give, id_describe};

static void stream_read(struct cn_load *l, const struct cn_node *n,
                        const struct cn_row *row, void *base)
{
	static const char *const names[] = {"over", NULL};
	static const char wanted[] = "always, never or {over: 4k}";
	struct cn_model *m = base;
	const struct cn_node *over;

	(void)row;
	if (n->kind == CN_NODE_SCALAR) {
		if (!cn_config__scalar(l, n, wanted))
			return;
		if (cn_view_is(n->text, "always"))
			m->stream = CN_STREAM_ALWAYS;
		else if (cn_view_is(n->text, "never"))
			m->stream = CN_STREAM_NEVER;
		else
			cn_config__mistake(l, n, "unknown stream '%.*s'; write %s",
			                   CN_SHOW(n->text), wanted);
		return;
	}
	if (!(over = only_key(l, n, names, wanted)) || !cn_config__scalar(l, over, "4k"))
		return;
	if (!cn_config__tokens(over->text, &m->stream_over) || m->stream_over == 0)
		cn_config__mistake(l, over, "'%.*s' is not a number of tokens; write 4k",
		                   CN_SHOW(over->text));
	else
		m->stream = CN_STREAM_OVER;
}

static yyjson_mut_val *stream_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base)
{
	const struct cn_model *m = base;
	struct cn_arena a = {0};
	yyjson_mut_val *obj;

	(void)row;
	if (m->stream != CN_STREAM_OVER)
		return cn_config__str(d, m->stream == CN_STREAM_NEVER ? "never" : "always");
	obj = yyjson_mut_obj(d);
	yyjson_mut_obj_add_val(
	    d, obj, "over", cn_config__str(d, cn_config__tokens_text(&a, m->stream_over)));
	cn_arena_done(&a);
	return obj;
}

static yyjson_mut_val *stream_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__either(d, cn_config__pattern(d, "^(always|never)$"),
	                         one_key(d, "over", cn_config__ref(d, "tokens")));
}

const struct cn_type cn_type_stream = {stream_read, stream_give, stream_describe};

static void tools_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base)
{
	struct cn_model *m = base;
	uint64_t v;

	if (!cn_config__scalar(l, n, "true, false or the most that it takes"))
		return;
	if (n->plain && cn_view_is(n->text, "true"))
		m->tools = UINT64_MAX;
	else if (n->plain && cn_view_is(n->text, "false"))
		m->tools = 0;
	else if (n->plain && cn_view_u64(n->text, &v) && v >= 1 && v <= row->max)
		m->tools = v;
	else
		cn_config__mistake(l, n,
		                   "'%.*s' is no number of tools; write true, false or the "
		                   "most that it takes, such as 128",
		                   CN_SHOW(n->text));
}

static yyjson_mut_val *tools_give(yyjson_mut_doc *d, const struct cn_row *row,
                                  const void *base)
{
	const struct cn_model *m = base;

	(void)row;
	if (m->tools == 0 || m->tools == UINT64_MAX)
		return yyjson_mut_bool(d, m->tools != 0);
	return yyjson_mut_uint(d, m->tools);
}

static yyjson_mut_val *tools_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	struct cn_row bounds = *row;

	bounds.min = 1;
	return cn_config__either(d, cn_type_bool.describe(d, row),
	                         cn_type_count.describe(d, &bounds));
}

const struct cn_type cn_type_tools = {tools_read, tools_give, tools_describe};

static const char *const prompt_ways[] = {"prepend", "append", "replace", NULL};

/* Why that cannot be sent as a prompt; NULL: it can. */
static const char *no_prompt(struct cn_view text)
{
	size_t i = 0;

	/* Backends refuse text without a word. */
	while (i < text.n && strchr(" \t\r\n", text.p[i]))
		i++;
	if (i < text.n && memchr(text.p, 0, text.n))
		return "has NUL bytes; name a text file";
	if (i == text.n)
		return "is empty; write the prompt into it";
	return cn_config__is_utf8(text) ? NULL : "is no UTF-8; save the file as UTF-8";
}

static void prompt_read(struct cn_load *l, const struct cn_node *n,
                        const struct cn_row *row, void *base)
{
	struct cn_prompt *p = (struct cn_prompt *)(void *)((char *)base + row->at);
	const struct cn_node *file;
	struct cn_view text;
	const char *wrong;

	file = only_key(l, n, prompt_ways,
	                "{append: FILE}, {prepend: FILE} or {replace: FILE}");
	if (!file || !cn_config__scalar(l, file, "the path of a file") ||
	    !cn_config__read_below(l, file, &text))
		return;
	if (cn_view_starts(text, CN_VIEW("\xef\xbb\xbf"))) /* a byte order mark */
		text = cn_view_from(text, 3);
	if ((wrong = no_prompt(text))) {
		cn_config__mistake(l, file, "'%.*s' %s", CN_SHOW(file->text), wrong);
		return;
	}
	p->how = cn_view_is(file->name, "prepend")  ? CN_PROMPT_PREPEND
	         : cn_view_is(file->name, "append") ? CN_PROMPT_APPEND
	                                            : CN_PROMPT_REPLACE;
	p->file = cn_arena_dup(&l->policy->arena, file->text);
	p->text = cn_arena_view(&l->policy->arena, text);
}

static yyjson_mut_val *prompt_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base)
{
	const struct cn_prompt *p =
	    (const struct cn_prompt *)(const void *)((const char *)base + row->at);
	yyjson_mut_val *obj;

	if (p->how == CN_PROMPT_NONE)
		return NULL;
	obj = yyjson_mut_obj(d);
	yyjson_mut_obj_add_val(d, obj, prompt_ways[p->how - CN_PROMPT_PREPEND],
	                       cn_config__str(d, p->file));
	return obj;
}

static yyjson_mut_val *prompt_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *v = yyjson_mut_obj(d), *props = yyjson_mut_obj(d);

	(void)row;
	yyjson_mut_obj_add_str(d, v, "type", "object");
	for (size_t i = 0; prompt_ways[i]; i++)
		yyjson_mut_obj_add_val(d, props, prompt_ways[i],
		                       cn_config__pattern(d, "^[^/]"));
	yyjson_mut_obj_add_val(d, v, "properties", props);
	yyjson_mut_obj_add_uint(d, v, "minProperties", 1);
	yyjson_mut_obj_add_uint(d, v, "maxProperties", 1);
	yyjson_mut_obj_add_bool(d, v, "additionalProperties", false);
	return v;
}

const struct cn_type cn_type_prompt = {prompt_read, prompt_give, prompt_describe};

/* A date that stands for "the policy gives none": the price is known all the same. */
static const char undated[] = "undated";

static void date_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                      void *base)
{
	bool ok;

	if (!cn_config__scalar(l, n, "a date such as 2026-11-21"))
		return;
	ok = n->text.n == 10;
	for (size_t i = 0; ok && i < 10; i++)
		ok = i == 4 || i == 7 ? n->text.p[i] == '-'
		                      : isdigit((unsigned char)n->text.p[i]);
	ok = ok && memcmp(n->text.p + 5, "00", 2) > 0 &&
	     memcmp(n->text.p + 5, "12", 2) <= 0 && memcmp(n->text.p + 8, "00", 2) > 0 &&
	     memcmp(n->text.p + 8, "31", 2) <= 0;
	if (ok)
		cn_config__keep(l, row, base, n->text);
	else
		cn_config__mistake(l, n, "'%.*s' is no date; write 2026-11-21",
		                   CN_SHOW(n->text));
}

static yyjson_mut_val *date_give(yyjson_mut_doc *d, const struct cn_row *row,
                                 const void *base)
{
	const char *s = cn_config__kept(row, base);

	return s && strcmp(s, undated) != 0 ? cn_config__str(d, s) : NULL;
}

static yyjson_mut_val *date_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__pattern(d, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$");
}

const struct cn_type cn_type_date = {date_read, date_give, date_describe};

static void price_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base)
{
	struct cn_price *p = (struct cn_price *)(void *)((char *)base + row->at);

	*p = (struct cn_price){
	    .date = undated}; /* a price replaces the one before as a whole */
	cn_config__read(l, n, row->table, p);
}

static yyjson_mut_val *price_give(yyjson_mut_doc *d, const struct cn_row *row,
                                  const void *base)
{
	const struct cn_price *p =
	    (const struct cn_price *)(const void *)((const char *)base + row->at);

	return p->date ? cn_config__give(d, row->table, p, NULL) : NULL;
}

static yyjson_mut_val *price_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return cn_config__describe(d, row->table);
}

const struct cn_type cn_type_price = {price_read, price_give, price_describe};

/* ---- budgets ---- */

static void budget_read(struct cn_load *l, const struct cn_node *n,
                        const struct cn_row *row, void *base)
{
	size_t before = l->n_mistakes;
	struct cn_budget *b = (struct cn_budget *)(void *)((char *)base + row->at);

	cn_config__read(l, n, row->table, b);
	if (l->n_mistakes == before && b->tokens == 0 && !(b->money > 0))
		cn_config__mistake_key(
		    l, n, "a budget of nothing; add 'money: 10' or 'tokens: 5M'");
}

static yyjson_mut_val *budget_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base)
{
	const struct cn_budget *b =
	    (const struct cn_budget *)(const void *)((const char *)base + row->at);

	return b->tokens || b->money > 0 ? cn_config__give(d, row->table, b, NULL) : NULL;
}

const struct cn_type cn_type_budget = {budget_read, budget_give, price_describe};

/* ---- fallback.failback, routes[].when.time, vault.key_file ---- */

static void failback_read(struct cn_load *l, const struct cn_node *n,
                          const struct cn_row *row, void *base)
{
	static const char *const names[] = {"idle", NULL};
	static const char wanted[] = "next_turn, never or {idle: 10m}";
	struct cn_fallback *f = base;
	const struct cn_node *idle;
	uint64_t ms;

	if (n->kind == CN_NODE_SCALAR) {
		if (!cn_config__scalar(l, n, wanted))
			return;
		if (cn_view_is(n->text, "next_turn"))
			f->failback = CN_FAILBACK_NEXT_TURN;
		else if (cn_view_is(n->text, "never"))
			f->failback = CN_FAILBACK_NEVER;
		else
			cn_config__mistake(l, n, "unknown failback '%.*s'; write %s",
			                   CN_SHOW(n->text), wanted);
		return;
	}
	if (!(idle = only_key(l, n, names, wanted)) || !cn_config__scalar(l, idle, "10m"))
		return;
	if (!cn_config__time(idle->text, &ms) || ms < row->min || ms > row->max) {
		cn_config__mistake(l, idle, "'%.*s' is no time from 1s to 30d; write 10m",
		                   CN_SHOW(idle->text));
		return;
	}
	f->failback = CN_FAILBACK_IDLE;
	f->failback_idle_ms = ms;
}

static yyjson_mut_val *failback_give(yyjson_mut_doc *d, const struct cn_row *row,
                                     const void *base)
{
	const struct cn_fallback *f = base;
	struct cn_arena a = {0};
	yyjson_mut_val *obj;

	(void)row;
	if (f->failback != CN_FAILBACK_IDLE)
		return cn_config__str(d, f->failback == CN_FAILBACK_NEVER ? "never"
		                                                          : "next_turn");
	obj = yyjson_mut_obj(d);
	yyjson_mut_obj_add_val(
	    d, obj, "idle",
	    cn_config__str(d, cn_config__time_text(&a, f->failback_idle_ms)));
	cn_arena_done(&a);
	return obj;
}

static yyjson_mut_val *failback_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__either(d, cn_config__pattern(d, "^(next_turn|never)$"),
	                         one_key(d, "idle", cn_config__ref(d, "time")));
}

const struct cn_type cn_type_failback = {failback_read, failback_give, failback_describe};

static bool minute(struct cn_view v, int *ret)
{
	if (v.n != 5 || v.p[2] != ':' || !isdigit((unsigned char)v.p[0]) ||
	    !isdigit((unsigned char)v.p[1]) || !isdigit((unsigned char)v.p[3]) ||
	    !isdigit((unsigned char)v.p[4]))
		return false;
	int h = (v.p[0] - '0') * 10 + v.p[1] - '0', m = (v.p[3] - '0') * 10 + v.p[4] - '0';
	*ret = h * 60 + m;
	return h < 24 && m < 60;
}

static void clock_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base)
{
	struct cn_when *w = base;
	int from = 0, to = 0;

	(void)row;
	if (!cn_config__scalar(l, n, "22:00-06:00"))
		return;
	if (n->text.n != 11 || n->text.p[5] != '-' ||
	    !minute(cn_view_cut(n->text, 5), &from) ||
	    !minute(cn_view_from(n->text, 6), &to) || from == to) {
		cn_config__mistake(l, n, "'%.*s' is no span of the day; write 22:00-06:00",
		                   CN_SHOW(n->text));
		return;
	}
	w->from_minute = from;
	w->to_minute = to;
}

static yyjson_mut_val *clock_give(yyjson_mut_doc *d, const struct cn_row *row,
                                  const void *base)
{
	const struct cn_when *w = base;
	char text[64];

	(void)row;
	if (w->from_minute < 0)
		return NULL;
	(void)snprintf(text, sizeof text, "%02d:%02d-%02d:%02d", w->from_minute / 60,
	               w->from_minute % 60, w->to_minute / 60, w->to_minute % 60);
	return cn_config__str(d, text);
}

static yyjson_mut_val *clock_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__pattern(
	    d, "^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$");
}

const struct cn_type cn_type_clock = {clock_read, clock_give, clock_describe};

static void path_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                      void *base)
{
	if (!cn_config__scalar(l, n, "an absolute path"))
		return;
	if (n->text.p[0] != '/' || n->text.n > row->max)
		cn_config__mistake(
		    l, n, "'%.*s' is no absolute path; write it from the first '/' on",
		    CN_SHOW(n->text));
	else
		cn_config__keep(l, row, base, n->text);
}

static yyjson_mut_val *path_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	(void)row;
	return cn_config__pattern(d, "^/");
}

const struct cn_type cn_type_path = {path_read, cn_config__give_text, path_describe};
