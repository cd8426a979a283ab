/*
 * The scalar types of the policy language: how each is read, written back and described in
 * the JSON Schema.  Bounds, words and the field come from the row (schema.c).
 *
 * Thread of the load or of the printer; owns nothing.
 */
#include <math.h>
#include <string.h>

#include "config_impl.h"

/* ---- bool, tristate ---- */

static bool bool_value(struct cn_load *l, const struct cn_node *n, bool *ret)
{
	if (!cn_config__scalar(l, n, "true or false"))
		return false;
	*ret = cn_view_is(n->text, "true");
	if (n->plain && (*ret || cn_view_is(n->text, "false")))
		return true;
	cn_config__mistake(l, n, "'%.*s' is neither true nor false; write one of them",
	                   CN_SHOW(n->text));
	return false;
}

static void bool_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                      void *base)
{
	bool b;

	if (bool_value(l, n, &b))
		cn_config__store(row, base, b);
}

static yyjson_mut_val *bool_give(yyjson_mut_doc *d, const struct cn_row *row,
                                 const void *base)
{
	return yyjson_mut_bool(d, cn_config__fetch(row, base) != 0);
}

static yyjson_mut_val *bool_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	(void)row;
	yyjson_mut_obj_add_str(d, v, "type", "boolean");
	return v;
}

const struct cn_type cn_type_bool = {bool_read, bool_give, bool_describe};

static yyjson_mut_val *tristate_give(yyjson_mut_doc *d, const struct cn_row *row,
                                     const void *base)
{
	uint32_t v = (uint32_t)cn_config__fetch(row, base);

	return v == (uint32_t)CN_ANY ? NULL : yyjson_mut_bool(d, v == CN_YES);
}

const struct cn_type cn_type_tristate = {bool_read, tristate_give, bool_describe};

/* ---- numbers with and without units ---- */

/* What the number types differ in. */
struct numbers {
	bool (*read)(struct cn_view v, uint64_t *ret);
	const char *(*text)(struct cn_arena *a, uint64_t v);
	const char *what;   /* "a time" */
	const char *sample; /* "250ms, 10s, 5m, 2h or 30d" */
	const char *pattern;
};

static const char *count_text(struct cn_arena *a, uint64_t v)
{
	return cn_arena_printf(a, "%llu", (unsigned long long)v);
}

static const struct numbers count = {cn_view_u64, count_text, "a whole number", "12", NULL};
static const struct numbers tokens = {cn_config__tokens, cn_config__tokens_text,
                                      "a number of tokens", "64k or 1M", "^[0-9]+[kM]$"};
static const struct numbers size = {cn_config__size, cn_config__size_text, "a size",
                                    "64KiB, 10MiB or 1GiB", "^[0-9]+(B|KiB|MiB|GiB)$"};
static const struct numbers time_ms = {cn_config__time, cn_config__time_text, "a time",
                                       "250ms, 10s, 5m, 2h or 30d", "^[0-9]+(ms|s|m|h|d)$"};

static void number_read(struct cn_load *l, const struct cn_node *n,
                        const struct cn_row *row, void *base, const struct numbers *how)
{
	const char *or_word =
	    row->also ? cn_arena_printf(&l->arena, ", or %s", row->also) : "";
	uint64_t v;

	if (!cn_config__scalar(l, n,
	                       cn_arena_printf(&l->arena, "%s such as %s%s", how->what,
	                                       how->sample, or_word)))
		return;
	if (row->also && cn_view_is(n->text, row->also)) {
		cn_config__store(row, base, row->also_value);
		return;
	}
	if (!how->read(n->text, &v) || (how == &count && !n->plain)) {
		cn_config__mistake(l, n, "'%.*s' is not %s; write %s%s", CN_SHOW(n->text),
		                   how->what, how->sample, or_word);
		return;
	}
	if (v < row->min || (row->max && v > row->max)) {
		cn_config__mistake(l, n,
		                   row->max ? "%s is out of range; '%s' is %s to %s"
		                            : "%s is too small; '%s' is %s or more%s",
		                   how->text(&l->arena, v), row->key,
		                   how->text(&l->arena, row->min),
		                   row->max ? how->text(&l->arena, row->max) : "");
		return;
	}
	cn_config__store(row, base, v);
}

static yyjson_mut_val *number_give(yyjson_mut_doc *d, const struct cn_row *row,
                                   const void *base, const struct numbers *how)
{
	uint64_t v = cn_config__fetch(row, base);
	struct cn_arena a = {0};
	yyjson_mut_val *ret;

	if (row->also && v == row->also_value)
		return cn_config__str(d, row->also);
	if (v < row->min) /* the zero that stands for "not set" */
		return NULL;
	if (how == &count || (how == &tokens && v % 1000))
		return yyjson_mut_uint(d, v);
	ret = cn_config__str(d, how->text(&a, v));
	cn_arena_done(&a);
	return ret;
}

static yyjson_mut_val *number_describe(yyjson_mut_doc *d, const struct cn_row *row,
                                       const struct numbers *how)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	if (how == &count || how == &tokens) {
		yyjson_mut_obj_add_str(d, v, "type", "integer");
		yyjson_mut_obj_add_uint(d, v, "minimum", row->min);
		if (row->max)
			yyjson_mut_obj_add_uint(d, v, "maximum", row->max);
		if (how == &count)
			return v;
		return cn_config__either(d, v, cn_config__pattern(d, how->pattern));
	}
	if (!row->also)
		return cn_config__pattern(d, how->pattern);
	struct cn_arena a = {0};
	v = cn_config__pattern(d, cn_arena_printf(&a, "%s|^%s$", how->pattern, row->also));
	cn_arena_done(&a);
	return v;
}

#define NUMBER_TYPE(name)                                                               \
	static void name##_read(struct cn_load *l, const struct cn_node *n,             \
	                        const struct cn_row *row, void *base)                   \
	{                                                                               \
		number_read(l, n, row, base, &(name));                                  \
	}                                                                               \
	static yyjson_mut_val *name##_give(yyjson_mut_doc *d, const struct cn_row *row, \
	                                   const void *base)                            \
	{                                                                               \
		return number_give(d, row, base, &(name));                              \
	}                                                                               \
	static yyjson_mut_val *name##_describe(yyjson_mut_doc *d,                       \
	                                       const struct cn_row *row)                \
	{                                                                               \
		return number_describe(d, row, &(name));                                \
	}
NUMBER_TYPE(count)
NUMBER_TYPE(tokens)
NUMBER_TYPE(size)
NUMBER_TYPE(time_ms)

const struct cn_type cn_type_count = {count_read, count_give, count_describe};
const struct cn_type cn_type_tokens = {tokens_read, tokens_give, tokens_describe};
const struct cn_type cn_type_size = {size_read, size_give, size_describe};
const struct cn_type cn_type_time = {time_ms_read, time_ms_give, time_ms_describe};

/* ---- money ---- */

static void money_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                       void *base)
{
	yyjson_doc *doc;
	double v = -1;

	if (!cn_config__scalar(l, n, "dollars, such as 2.50"))
		return;
	/* JSON's numbers are YAML's, and yyjson reads them whatever the locale. */
	doc = n->plain ? yyjson_read(n->text.p, n->text.n, 0) : NULL;
	if (doc && yyjson_is_num(yyjson_doc_get_root(doc)))
		v = yyjson_get_num(yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	if (!(v >= 0 && v <= 1e9)) {
		cn_config__mistake(l, n, "'%.*s' is no amount of dollars; write 2.50",
		                   CN_SHOW(n->text));
		return;
	}
	memcpy((char *)base + row->at, &v, sizeof v);
}

static yyjson_mut_val *money_give(yyjson_mut_doc *d, const struct cn_row *row,
                                  const void *base)
{
	double v;

	memcpy(&v, (const char *)base + row->at, sizeof v);
	return v > 0 || row->required ? yyjson_mut_real(d, v) : NULL;
}

static yyjson_mut_val *money_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	(void)row;
	yyjson_mut_obj_add_str(d, v, "type", "number");
	yyjson_mut_obj_add_uint(d, v, "minimum", 0);
	return v;
}

const struct cn_type cn_type_money = {money_read, money_give, money_describe};

/* ---- words ---- */

static const struct cn_word *word_value(struct cn_load *l, const struct cn_node *n,
                                        const struct cn_row *row)
{
	struct cn_suggest s = {.word = n->text};
	CN_AUTO(cn_buf) list = {0};

	for (const struct cn_word *w = row->words; w->word; w++) {
		cn_buf_printf(&list, "%s%s",
		              w == row->words ? ""
		              : w[1].word     ? ", "
		                              : " or ",
		              w->word);
	}
	if (!cn_config__scalar(l, n, cn_buf_cstr(&list)))
		return NULL;
	for (const struct cn_word *w = row->words; w->word; w++) {
		if (cn_view_is(n->text, w->word))
			return w;
		cn_config__offer(&s, w->word);
	}
	cn_config__mistake(
	    l, n, "unknown %s '%.*s'; %s", row->key, CN_SHOW(n->text),
	    cn_config__hint(l, &s,
	                    cn_arena_printf(&l->arena, "write %s", cn_buf_cstr(&list))));
	return NULL;
}

static void word_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                      void *base)
{
	const struct cn_word *w = word_value(l, n, row);

	if (w)
		cn_config__store(row, base, w->value);
}

static yyjson_mut_val *word_give(yyjson_mut_doc *d, const struct cn_row *row,
                                 const void *base)
{
	uint64_t v = cn_config__fetch(row, base);

	for (const struct cn_word *w = row->words; w->word; w++)
		if (w->value == v)
			return cn_config__str(d, w->word);
	return NULL; /* a state for which there is no word: not set */
}

static yyjson_mut_val *word_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *v = yyjson_mut_obj(d), *list = yyjson_mut_arr(d);

	for (const struct cn_word *w = row->words; w->word; w++)
		yyjson_mut_arr_append(list, cn_config__str(d, w->word));
	yyjson_mut_obj_add_val(d, v, "enum", list);
	return v;
}

const struct cn_type cn_type_word = {word_read, word_give, word_describe};

/* ---- texts ---- */

static void word_text_read(struct cn_load *l, const struct cn_node *n,
                           const struct cn_row *row, void *base)
{
	const struct cn_word *w = word_value(l, n, row);

	if (w)
		cn_config__keep(l, row, base, cn_view_str(w->word));
}

const struct cn_type cn_type_word_text = {word_text_read, cn_config__give_text,
                                          word_describe};

static void text_read(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
                      void *base)
{
	if (!cn_config__scalar(l, n, "a text"))
		return;
	if (n->text.n > row->max) {
		cn_config__mistake(l, n, "%zu bytes of '%s'; at most %llu are taken",
		                   n->text.n, row->key, (unsigned long long)row->max);
		return;
	}
	for (size_t i = 0; i < n->text.n; i++) {
		if ((unsigned char)n->text.p[i] < ' ' || n->text.p[i] == 0x7f) {
			cn_config__mistake(l, n, "a control character in '%s'; take it out",
			                   row->key);
			return;
		}
	}
	cn_config__keep(l, row, base, n->text);
}

static yyjson_mut_val *text_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	yyjson_mut_obj_add_str(d, v, "type", "string");
	yyjson_mut_obj_add_uint(d, v, "minLength", 1);
	yyjson_mut_obj_add_uint(d, v, "maxLength", row->max);
	return v;
}

const struct cn_type cn_type_text = {text_read, cn_config__give_text, text_describe};

/* ---- a map of keys inside a map of keys ---- */

static void section_read(struct cn_load *l, const struct cn_node *n,
                         const struct cn_row *row, void *base)
{
	cn_config__read(l, n, row->table, (char *)base + row->at);
}

static yyjson_mut_val *section_give(yyjson_mut_doc *d, const struct cn_row *row,
                                    const void *base)
{
	return cn_config__give(d, row->table, (const char *)base + row->at, NULL);
}

static yyjson_mut_val *section_describe(yyjson_mut_doc *d, const struct cn_row *row)
{
	return cn_config__describe(d, row->table);
}

const struct cn_type cn_type_section = {section_read, section_give, section_describe};
