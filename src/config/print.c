/*
 * The effective policy as text: the tables give a tree of plain values, which is written as
 * YAML or JSON.  What is written loads to the same policy: every default and all that came
 * from a preset is spelled out.
 *
 * Any thread; owns the document for the length of the call.
 */
#include <ctype.h>
#include <stdlib.h>

#include "config_impl.h"

yyjson_mut_val *cn_config__str(yyjson_mut_doc *d, const char *s)
{
	CN_AUTO(cn_buf) b = {0};

	for (; *s; s++) { /* ${ would be read as a variable */
		if (s[0] == '$' && s[1] == '{')
			cn_buf_add_char(&b, '$');
		cn_buf_add_char(&b, *s);
	}
	return yyjson_mut_strncpy(d, b.p ? b.p : "", b.n);
}

yyjson_mut_val *cn_config__give_text(yyjson_mut_doc *d, const struct cn_row *row,
                                     const void *base)
{
	const char *s = cn_config__kept(row, base);

	return s ? cn_config__str(d, s) : NULL;
}

yyjson_mut_val *cn_config__give(yyjson_mut_doc *d, const struct cn_table *t,
                                const void *base, const void *parent)
{
	yyjson_mut_val *obj = yyjson_mut_obj(d);

	for (size_t i = 0; i < t->n; i++) {
		const struct cn_row *row = &t->rows[i];
		yyjson_mut_val *v = row->type->give(d, row, base), *same;
		if (v && parent && (same = row->type->give(d, row, parent)) &&
		    yyjson_mut_equals(v, same))
			continue;
		if (v)
			yyjson_mut_obj_add(obj, yyjson_mut_str(d, row->key), v);
	}
	return yyjson_mut_obj_size(obj) ? obj : NULL;
}

/* ---- YAML ---- */

/* Text that YAML reads as that text without quotes, wherever it stands. */
static bool is_plain(const char *s)
{
	static const char *const words[] = {"true", "false", "null", NULL}; /* YAML 1.2 */

	if (!isalpha((unsigned char)*s) && *s != '/')
		return false;
	for (const char *const *w = words; *w; w++)
		if (cn_view_eq_nocase(cn_view_str(s), cn_view_str(*w)))
			return false;
	for (const char *p = s; *p; p++) {
		bool colon = *p == ':' && p[1] && p[1] != ' ';
		if (!isalnum((unsigned char)*p) && !strchr("_./-@+", *p) && !colon)
			return false;
	}
	return true;
}

static void add_leaf(struct cn_buf *b, yyjson_mut_val *v)
{
	const char *s = yyjson_mut_get_str(v);
	bool digits = s && *s; /* times, sizes, counts: digits and a unit are plain too */
	char *text;
	size_t n;

	for (const char *p = s; digits && *p; p++)
		digits = isalnum((unsigned char)*p) != 0;
	if (s &&
	    (is_plain(s) || (digits && isdigit((unsigned char)*s) &&
	                     isalpha((unsigned char)s[strlen(s) - 1]) && strlen(s) < 20 &&
	                     s[1] != 'x' && s[1] != 'o' && !strpbrk(s, "eE")))) {
		cn_buf_add_str(b, s);
		return;
	}
	/* JSON's scalars are YAML's. */
	text = yyjson_mut_val_write(v, 0, &n);
	cn_assert(text != NULL);
	cn_buf_add(b, text, n);
	free(text);
}

static bool all_leaves(yyjson_mut_val *arr)
{
	size_t i, max;
	yyjson_mut_val *v;

	yyjson_mut_arr_foreach(arr, i, max, v) if (yyjson_mut_is_ctn(v)) return false;
	return true;
}

static void indent(struct cn_buf *b, unsigned by)
{
	while (by--)
		cn_buf_add_char(b, ' ');
}

static void add_map(struct cn_buf *b, yyjson_mut_val *obj, unsigned at, bool first_inline);

/* The value behind "key:" or "-"; ends its line. */
static void add_value(struct cn_buf *b, yyjson_mut_val *v, unsigned at)
{
	size_t i, max;
	yyjson_mut_val *item;

	if (!yyjson_mut_is_ctn(v)) {
		cn_buf_add_char(b, ' ');
		add_leaf(b, v);
		cn_buf_add_char(b, '\n');
	} else if (yyjson_mut_is_arr(v) && all_leaves(v)) {
		cn_buf_add_str(b, " [");
		yyjson_mut_arr_foreach(v, i, max, item)
		{
			cn_buf_add_str(b, i ? ", " : "");
			add_leaf(b, item);
		}
		cn_buf_add_str(b, "]\n");
	} else if (yyjson_mut_is_arr(v)) {
		cn_buf_add_char(b, '\n');
		yyjson_mut_arr_foreach(v, i, max, item)
		{
			indent(b, at);
			cn_buf_add_char(b, '-');
			if (yyjson_mut_is_obj(item) && yyjson_mut_obj_size(item)) {
				cn_buf_add_char(b, ' ');
				add_map(b, item, at + 2, true);
			} else {
				add_value(b, item, at + 2);
			}
		}
	} else if (yyjson_mut_obj_size(v) == 0) {
		cn_buf_add_str(b, " {}\n");
	} else {
		cn_buf_add_char(b, '\n');
		add_map(b, v, at, false);
	}
}

static void add_map(struct cn_buf *b, yyjson_mut_val *obj, unsigned at, bool first_inline)
{
	size_t i, max;
	yyjson_mut_val *key, *v;

	yyjson_mut_obj_foreach(obj, i, max, key, v)
	{
		if (i || !first_inline)
			indent(b, at);
		add_leaf(b, key);
		cn_buf_add_char(b, ':');
		add_value(b, v, at + 2);
	}
}

void cn_config_print(struct cn_buf *b, const struct cn_policy *p, bool json)
{
	yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root;

	cn_assert(d != NULL);
	root = cn_config__give(d, &cn_config__policy_table, p, NULL);
	cn_assert(root != NULL);
	if (json) {
		size_t n;
		char *text = yyjson_mut_val_write(root, YYJSON_WRITE_PRETTY_TWO_SPACES, &n);
		cn_assert(text != NULL);
		cn_buf_add(b, text, n);
		cn_buf_add_char(b, '\n');
		free(text);
	} else {
		add_map(b, root, 0, false);
	}
	yyjson_mut_doc_free(d);
}
