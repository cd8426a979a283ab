/* If this fails, bodies and events are misread or corrupted on their way through. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "continuo/json.h"

static bool read_file(const char *path, struct cn_buf *b)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return false;
	while ((n = fread(cn_buf_reserve(b, 65536), 1, 65536, f)) > 0)
		b->n += n;
	fclose(f);
	return true;
}

static void corpus_is_judged_as_it_says(void **state)
{
	const char *shared = getenv("CONTINUO_SHARED");
	char path[600];
	struct dirent *e;
	DIR *d;

	(void)state;
	snprintf(path, sizeof(path), "%s/fixtures/corpora/json",
	         shared ? shared : "/nonexistent");
	d = opendir(path);
	if (!d) {
		skip();
		return;
	}
	while ((e = readdir(d))) {
		CN_AUTO(cn_buf) text = {0};
		char file[900];
		int got;

		if (e->d_name[1] != '_')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		assert_true(read_file(file, &text));
		got = cn_json_check(cn_buf_view(&text), NULL);
		if (e->d_name[0] == 'y' && got)
			fail_msg("%s must be taken", e->d_name);
		if (e->d_name[0] == 'n' && !got)
			fail_msg("%s must be refused", e->d_name);
	}
	closedir(d);
}

static void limits_are_kept(void **state)
{
	CN_AUTO(cn_buf) deep = {0}, wide = {0};
	struct cn_error err;

	(void)state;
	for (int i = 0; i < CN_JSON_MAX_DEPTH; i++)
		cn_buf_add_char(&deep, '[');
	for (int i = 0; i < CN_JSON_MAX_DEPTH; i++)
		cn_buf_add_char(&deep, ']');
	assert_int_equal(cn_json_check(cn_buf_view(&deep), &err), 0);
	cn_buf_add_char(&deep, ']');
	deep.p[0] = '[';
	cn_buf_clear(&deep);
	for (int i = 0; i <= CN_JSON_MAX_DEPTH; i++)
		cn_buf_add_char(&deep, '[');
	assert_int_equal(cn_json_check(cn_buf_view(&deep), &err), CN_E_INVALID);
	assert_non_null(strstr(err.message, "128 levels at byte 128"));
	cn_buf_add_char(&wide, '{');
	for (int i = 0; i <= CN_JSON_MAX_KEYS; i++)
		cn_buf_printf(&wide, "%s\"k\":1", i ? "," : "");
	cn_buf_add_char(&wide, '}');
	assert_int_equal(cn_json_check(cn_buf_view(&wide), &err), CN_E_INVALID);
	assert_non_null(strstr(err.message, "10000 keys"));
}

static void texts_are_unescaped_and_escaped(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
	    {"\"plain\"", "plain"},
	    {"\"a\\n\\t\\\"\\\\\\/\"", "a\n\t\"\\/"},
	    {"\"\\u00e9\\u20ac\"", "\xc3\xa9\xe2\x82\xac"},
	    {"\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!"},
	    {"\"\"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		CN_AUTO(cn_buf) back = {0};
		struct cn_json v = cn_json_root(cn_view_str(cases[i].json));
		struct cn_view text = cn_json_text(&a, v);

		if (!cn_view_is(text, cases[i].text))
			fail_msg("%s gave %.*s", cases[i].json, CN_VIEW_ARG(text));
		assert_true(cn_json_is(v, cases[i].text));
		cn_json_add_string(&back, text);
		assert_int_equal(cn_json_check(cn_buf_view(&back), NULL), 0);
		assert_true(cn_json_is(cn_json_root(cn_buf_view(&back)), cases[i].text));
	}
}

static void written_strings_are_always_valid(void **state)
{
	static const char bad[] = "a\x80\xff\xc3(\xe2\x82 \x01\x1f\xed\xa0\x80z";
	CN_AUTO(cn_buf) b = {0};

	(void)state;
	cn_json_add_string(&b, cn_view(bad, sizeof(bad) - 1));
	assert_int_equal(cn_json_check(cn_buf_view(&b), NULL), 0);
}

static void cursor_finds_the_last_of_a_key(void **state)
{
	struct cn_json v =
	    cn_json_root(CN_VIEW(" { \"a\" : 1 , \"b\":{\"c\":[1,\"}\",{}]}, \"a\":2 } "));
	uint64_t n = 0;

	(void)state;
	assert_true(cn_json_u64(cn_json_get(v, "a"), &n));
	assert_int_equal(n, 2);
	assert_true(cn_view_is(cn_json_path(v, "b", "c", NULL).raw, "[1,\"}\",{}]"));
	assert_int_equal(cn_json_get(v, "x").kind, CN_JSON_NONE);
}

/* A key with escapes is the key that a backend's parser will see. */
static void keys_are_compared_as_they_read(void **state)
{
	static const struct {
		const char *key, *name;
		bool same;
	} cases[] = {
	    {"model", "model", true},
	    {"mod\\u0065l", "model", true},
	    {"\\u006D\\u006f\\u0064\\u0065\\u006C", "model", true},
	    {"model\\u0000", "model", false},
	    {"mode\\u006d", "model", false},
	    {"mod\\u0065", "model", false},
	    {"mod\\u0065ll", "model", false},
	    {"a\\/b", "a/b", true},
	    {"\\u00e9\\ud83d\\ude00", "\xc3\xa9\xf0\x9f\x98\x80", true},
	    {"a\\nb", "a\nb", true},
	    {"a\\nb", "a\\nb", false},
	    {"", "", true},
	    {"", "x", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CN_AUTO(cn_buf) text = {0};
		struct cn_json v;

		if (cn_json_key_is(cn_view_str(cases[i].key), cases[i].name) !=
		    cases[i].same)
			fail_msg("key %s, name %s: want %d", cases[i].key, cases[i].name,
			         cases[i].same);
		cn_buf_printf(&text, "{\"%s\":1,\"z\":\"%s\"}", cases[i].key, cases[i].key);
		v = cn_json_root(cn_buf_view(&text));
		assert_int_equal(cn_json_get(v, cases[i].name).kind == CN_JSON_NUMBER,
		                 cases[i].same);
		assert_int_equal(cn_json_is(cn_json_get(v, "z"), cases[i].name),
		                 cases[i].same);
	}
}

static void join(const struct cn_slices *s, struct cn_buf *b)
{
	for (size_t i = 0; i < s->n; i++)
		cn_buf_add_view(b, s->v[i]);
	assert_int_equal(s->bytes, b->n);
}

/* Every subset of removals of arrays and objects of up to six parts, with odd white space.
 */
static void removals_are_exact(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 6; n++)
		for (unsigned mask = 0; mask < 1u << n; mask++)
			for (int object = 0; object < 2; object++) {
				CN_AUTO(cn_arena) a = {0};
				CN_AUTO(cn_buf) text = {0}, want = {0}, got = {0};
				struct cn_patches ps = {.arena = &a};
				struct cn_view wholes[6];
				struct cn_json_iter it;
				struct cn_slices s;
				size_t k = 0, kept = 0;

				cn_buf_add_char(&text, object ? '{' : '[');
				for (unsigned i = 0; i < n; i++) {
					cn_buf_add_str(&text, i ? " , " : " ");
					if (object)
						cn_buf_printf(&text, "\"k%u\" : ", i);
					cn_buf_printf(&text, "%u", i);
				}
				cn_buf_add_char(&text, object ? '}' : ']');
				it = cn_json_iter(cn_json_root(cn_buf_view(&text)));
				while (cn_json_next(&it))
					if (mask >> it.index & 1)
						wholes[k++] = it.whole;
				cn_patch_remove(&ps, cn_buf_view(&text),
				                cn_json_root(cn_buf_view(&text)), wholes,
				                k);
				s = cn_patch_slices(&ps, cn_buf_view(&text));
				join(&s, &got);
				assert_int_equal(cn_json_check(cn_buf_view(&got), NULL), 0);
				it = cn_json_iter(cn_json_root(cn_buf_view(&got)));
				for (unsigned i = 0; i < n; i++) {
					uint64_t v;

					if (mask >> i & 1)
						continue;
					assert_true(cn_json_next(&it));
					assert_true(cn_json_u64(it.value, &v));
					assert_int_equal(v, i);
					kept++;
				}
				assert_false(cn_json_next(&it));
				if (k == 0)
					assert_int_equal(s.n, 1);
				(void)want;
				(void)kept;
			}
}

static void insertions_and_replacements_compose(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) got = {0};
	struct cn_patches ps = {.arena = &a};
	struct cn_view text = CN_VIEW("{\"a\":1,\"b\":{}}");
	struct cn_json root = cn_json_root(text);
	struct cn_slices s;

	(void)state;
	cn_patch_insert(&ps, text, root, "c", CN_VIEW("3"));
	cn_patch_replace(&ps, text, cn_json_get(root, "a").raw, CN_VIEW("10"));
	cn_patch_insert(&ps, text, cn_json_get(root, "b"), "x", CN_VIEW("true"));
	cn_patch_insert(&ps, text, cn_json_get(root, "b"), "y", CN_VIEW("null"));
	s = cn_patch_slices(&ps, text);
	join(&s, &got);
	assert_string_equal(cn_buf_cstr(&got),
	                    "{\"a\":10,\"b\":{\"x\":true,\"y\":null},\"c\":3}");
}

/* Of patches that overlap the outer one stands, whichever came first. */
static void outer_patches_win(void **state)
{
	struct cn_view text = CN_VIEW("[[1,2],3]");
	struct cn_view one = cn_view(text.p + 2, 1), inner = cn_view(text.p + 1, 5);

	(void)state;
	for (int order = 0; order < 2; order++) {
		CN_AUTO(cn_arena) a = {0};
		CN_AUTO(cn_buf) got = {0};
		struct cn_patches ps = {.arena = &a};
		struct cn_slices s;

		cn_patch_replace(&ps, text, order ? one : inner, CN_VIEW("7"));
		cn_patch_replace(&ps, text, order ? inner : one, CN_VIEW("7"));
		cn_patch_replace(&ps, text, inner, CN_VIEW("8"));
		s = cn_patch_slices(&ps, text);
		join(&s, &got);
		assert_string_equal(cn_buf_cstr(&got), "[7,3]");
	}
}

/* A peer says how many there are.  In the square of that this test would take hours. */
static void many_removals_are_cheap(void **state)
{
	const size_t n = 1000000;
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) text = {0}, got = {0};
	struct cn_patches ps = {.arena = &a};
	struct cn_view *wholes = cn_arena_alloc(&a, n * sizeof(*wholes));
	struct cn_slices s;
	struct cn_json root;
	size_t k = 0;

	(void)state;
	for (size_t i = 0; i < n; i++)
		cn_buf_add_str(&text, i ? ",1" : "{\"z\":[1");
	cn_buf_add_str(&text, "],\"a\":0,\"b\":0}");
	root = cn_json_root(cn_buf_view(&text));
	/* What stands behind is patched before. */
	cn_patch_replace(&ps, cn_buf_view(&text), cn_json_get(root, "b").raw, CN_VIEW("2"));
	for (struct cn_json_iter it = cn_json_iter(cn_json_get(root, "z"));
	     cn_json_next(&it);)
		if (it.index % 2)
			wholes[k++] = it.whole;
	cn_patch_remove(&ps, cn_buf_view(&text), cn_json_get(root, "z"), wholes, k);
	s = cn_patch_slices(&ps, cn_buf_view(&text));
	join(&s, &got);
	assert_int_equal(got.n, text.n - 2 * k);
	assert_int_equal(cn_json_check(cn_buf_view(&got), NULL), 0);
	assert_true(cn_view_ends(cn_buf_view(&got), CN_VIEW("1,1],\"a\":0,\"b\":2}")));
}

/* One string as the first of an array: judged as an independent parser does, and as long.
 */
static void check_one_string(size_t before, const char *piece, size_t behind)
{
	CN_AUTO(cn_buf) b = {0};
	yyjson_doc *doc;
	char *exact;
	int bad;

	cn_buf_add_str(&b, "[\"");
	cn_buf_printf(&b, "%0*d%s%0*d\",0]", (int)before, 0, piece, (int)behind, 0);
	/* The memory ends where the text does: a look behind it is found out. */
	exact = cn_alloc(b.n);
	memcpy(exact, b.p, b.n);
	bad = cn_json_check(cn_view(exact, b.n), NULL);
	doc = yyjson_read(b.p, b.n, 0);
	if (!bad != !!doc)
		fail_msg("we say %d of %.*s", bad, (int)b.n, b.p);
	if (!bad) {
		struct cn_json_iter it = cn_json_iter(cn_json_root(cn_view(exact, b.n)));

		assert_true(cn_json_next(&it));
		assert_int_equal(it.value.raw.n, b.n - 4);
	}
	/* Cut anywhere behind the piece it is no text, and the cursor stays inside. */
	for (size_t n = b.n - behind - 4; n < b.n - 1; n += 1 + behind / 4) {
		char *cut = cn_alloc(n);

		memcpy(cut, exact, n);
		assert_int_not_equal(cn_json_check(cn_view(cut, n), NULL), 0);
		assert_true(cn_json_root(cn_view(cut, n)).raw.n <= n);
		free(cut);
	}
	yyjson_doc_free(doc);
	free(exact);
}

/* Whatever needs a look, at every place of a lane, of a block and of a text's end. */
static void strings_end_where_they_end(void **state)
{
	static const char *const pieces[] = {
	    "x",
	    "\\n",
	    "\\\\",
	    "\\\"",
	    "\\u00e9",
	    "\\ud83d\\ude00",
	    "\xc3\xa9",
	    "\xe2\x82\xac",
	    "\x7f",
	    "\xf0\x9f\x98\x80",
	    "\\n\\\"\\\\\\n",
	    "\xe4\xb8\xad\xe6\x96\x87",
	    "\x1f",
	    "\x80",
	    "\"",
	    "\xed\xa0\x80",
	    "\\x",
	    "\\u00g0",
	    "\\ud83dx",
	    "\\",
	    "\xe2\x82",
	    "\xc0\xaf",
	    "\xf4\x90\x80\x80",
	};

	(void)state;
	for (size_t before = 1; before <= 140; before++)
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
			for (size_t behind = 1; behind < 80; behind += behind < 5 ? 1 : 19)
				check_one_string(before, pieces[i], behind);
}

/* Random edits of valid texts: whatever we take, an independent parser takes too. */
static void agrees_with_an_independent_parser(void **state)
{
	static const char *const seeds[] = {
	    "{\"a\":[1,2.5e3,-0,\"x\\u00e9\\ud83d\\ude00\"],\"b\":{\"c\":null,\"d\":true}}",
	    "[[[[]]],{},\"\",0.1E-2,false]",
	};
	unsigned state_ = 12345;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		const char *seed = seeds[i & 1];
		size_t n = strlen(seed);
		char text[128];
		yyjson_doc *doc;
		int ours;

		memcpy(text, seed, n);
		for (int k = 0; k < 1 + i % 3; k++) {
			state_ = state_ * 1103515245u + 12345u;
			text[(state_ >> 8) % n] =
			    (char)("{}[],:\"\\0123eE.-utfn \x80\xc3\n"[state_ % 24]);
		}
		ours = cn_json_check(cn_view(text, n), NULL);
		doc = yyjson_read(text, n, 0);
		if (!ours != !!doc)
			fail_msg("we say %d, yyjson %p: %.*s", ours, (void *)doc, (int)n,
			         text);
		yyjson_doc_free(doc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(corpus_is_judged_as_it_says),
	    cmocka_unit_test(limits_are_kept),
	    cmocka_unit_test(texts_are_unescaped_and_escaped),
	    cmocka_unit_test(written_strings_are_always_valid),
	    cmocka_unit_test(cursor_finds_the_last_of_a_key),
	    cmocka_unit_test(keys_are_compared_as_they_read),
	    cmocka_unit_test(removals_are_exact),
	    cmocka_unit_test(insertions_and_replacements_compose),
	    cmocka_unit_test(outer_patches_win),
	    cmocka_unit_test(many_removals_are_cheap),
	    cmocka_unit_test(strings_end_where_they_end),
	    cmocka_unit_test(agrees_with_an_independent_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
