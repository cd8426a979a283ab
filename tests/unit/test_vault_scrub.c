/*
 * The scrubber: when this fails, a key can leave in an error body or a line of log, or
 * ordinary text is spoilt.
 */
#include "vault_box.h"

#include <malloc.h>

#include <sodium.h>

static const char origin[] = "https://api.example.com";
/* With every kind of character that some encoding changes. */
static const char key[] = "Zq7+kV/4\"w%R\\t9~x=Lm2&Np5";

struct opened {
	struct box b;
	struct cn_vault *v;
};

static void set_up(struct opened *o)
{
	box_init(&o->b);
	box_create(&o->b, NULL);
	o->v = box_open(&o->b);
	put_key(o->v, "k", key, origin);
}

static void tear_down(struct opened *o)
{
	cn_vault_close(o->v);
	box_done(&o->b);
}

static void expect_scrubbed(struct cn_vault *v, const char *in, const char *want, size_t n)
{
	CN_AUTOFREE char *text = cn_strdup(in);
	size_t got = cn_vault_scrub(v, text, strlen(text));
	if (strcmp(text, want) != 0 || got != n)
		fail_msg("\n in  %s\n got %s (%zu)\n not %s (%zu)", in, text, got, want, n);
}

/* ---- encodings ---- */

/* prefix: "%" or "\\u00". */
static void add_hex(struct cn_buf *b, const char *prefix, bool upper, bool all)
{
	for (const char *s = key; *s; s++)
		if (all || strchr("+/\"%\\=&~", *s)) {
			cn_buf_add_str(b, prefix);
			cn_buf_printf(b, upper ? "%02X" : "%02x", (unsigned)*s);
		} else {
			cn_buf_add_char(b, *s);
		}
}

static void add_escaped(struct cn_buf *b, const char *s, const char *which)
{
	for (; *s; s++) {
		if (strchr(which, *s))
			cn_buf_add_char(b, '\\');
		cn_buf_add_char(b, *s);
	}
}

/* Between two marks that must stay. */
static void expect_gone(struct cn_vault *v, const struct cn_buf *form, const char *what)
{
	CN_AUTO(cn_buf) text = {0};
	cn_buf_printf(&text, "<begin>%.*s<end>", CN_VIEW_ARG(cn_buf_view(form)));
	size_t n = cn_vault_scrub(v, text.p, text.n);
	CN_AUTO(cn_buf) want = {0};
	cn_buf_add_str(&want, "<begin>");
	for (size_t i = 0; i < form->n; i++)
		cn_buf_add_char(&want, '*');
	cn_buf_add_str(&want, "<end>");
	if (n != 1 || !cn_view_eq(cn_buf_view(&text), cn_buf_view(&want)))
		fail_msg("%s: %zu, %s", what, n, cn_buf_cstr(&text));
}

static void every_spelling_is_found(void **state)
{
	struct opened o;
	CN_AUTO(cn_buf) f = {0};
	(void)state;
	set_up(&o);
	cn_buf_add_str(&f, key);
	expect_gone(o.v, &f, "raw");
	for (unsigned i = 0; i < 4; i++) {
		cn_buf_clear(&f);
		add_hex(&f, "%", i & 1, i & 2);
		expect_gone(o.v, &f, "percent-encoded");
		cn_buf_clear(&f);
		add_hex(&f, "\\u00", i & 1, i & 2);
		if (i & 2) /* else the key's own backslash would stand unescaped */
			expect_gone(o.v, &f, "JSON-escaped with \\u");
	}
	cn_buf_clear(&f);
	add_escaped(&f, key, "\"\\");
	expect_gone(o.v, &f, "JSON-escaped");
	CN_AUTO(cn_buf) twice = {0};
	add_escaped(&twice, cn_buf_cstr(&f), "\"\\");
	expect_gone(o.v, &twice, "JSON-escaped twice");
	cn_buf_clear(&f);
	add_escaped(&f, key, "\"\\/");
	expect_gone(o.v, &f, "JSON-escaped with slashes");
	tear_down(&o);
}

static bool is_secret_in(const char *text)
{
	unsigned char bin[512];
	size_t n = 0;
	static const int variants[] = {sodium_base64_VARIANT_ORIGINAL,
	                               sodium_base64_VARIANT_URLSAFE};
	for (size_t i = 0; i < 2; i++)
		if (sodium_base642bin(bin, sizeof(bin), text, strlen(text), "*", &n, NULL,
		                      variants[i]) == 0 &&
		    cn_view_find(cn_view((char *)bin, n), cn_view(key + 4, 8), 0) !=
		        SIZE_MAX)
			return true;
	return false;
}

static void base64_is_found_at_every_alignment(void **state)
{
	static const int variants[] = {sodium_base64_VARIANT_ORIGINAL,
	                               sodium_base64_VARIANT_URLSAFE,
	                               sodium_base64_VARIANT_ORIGINAL_NO_PADDING};
	struct opened o;
	(void)state;
	set_up(&o);
	for (size_t lead = 0; lead < 7; lead++)
		for (size_t trail = 0; trail < 4; trail++)
			for (size_t i = 0; i < 3; i++) {
				char plain[64], text[128], before[128];
				snprintf(plain, sizeof(plain), "%.*s%s%.*s", (int)lead,
				         "user:xy", key, (int)trail, "\nabc");
				sodium_bin2base64(text, sizeof(text),
				                  (const unsigned char *)plain,
				                  strlen(plain), variants[i]);
				strcpy(before, text);
				size_t n = cn_vault_scrub(o.v, text, strlen(text));
				if (n != 1 || is_secret_in(text))
					fail_msg("%zu %zu: %s gave %s", lead, trail, before,
					         text);
				/* Nothing of the secret: what stays belongs to its
				 * neighbours. */
				size_t left = 0;
				for (const char *c = text; *c; c++)
					left += *c != '*' && *c != '=';
				assert_in_range(left, 0, (8 * (lead + trail) + 5) / 6);
			}
	tear_down(&o);
}

static void overlapping_secrets_both_go(void **state)
{
	struct opened o;
	(void)state;
	set_up(&o);
	put_key(o.v, "one", "abcdefgh12345678", origin);
	put_key(o.v, "two", "12345678stuvwxyz", origin);
	put_key(o.v, "part", "efgh1234", origin);
	expect_scrubbed(o.v, "<abcdefgh12345678stuvwxyz>", "<************************>", 1);
	expect_scrubbed(o.v, "abcdefgh12345678,12345678stuvwxyz,efgh1234",
	                "****************,****************,********", 3);
	expect_scrubbed(o.v, "abcdefg 2345678 fgh1234", "abcdefg 2345678 fgh1234", 0);
	assert_int_equal(cn_vault_remove(o.v, "part", NULL), 0);
	/* A request that was given it may still be under way: until the next change. */
	expect_scrubbed(o.v, "efgh1234", "********", 1);
	put_key(o.v, "other", "qrstuvwx12345678", origin);
	expect_scrubbed(o.v, "efgh1234", "efgh1234", 0);
	tear_down(&o);
}

static void secrets_are_found_at_both_ends_and_in_short_lines(void **state)
{
	struct opened o;
	(void)state;
	set_up(&o);
	put_key(o.v, "short", "12345678", origin);
	expect_scrubbed(o.v, "12345678", "********", 1);
	expect_scrubbed(o.v, "x12345678", "x********", 1);
	expect_scrubbed(o.v, "12345678x", "********x", 1);
	expect_scrubbed(o.v, "1234567", "1234567", 0);
	expect_scrubbed(o.v, "", "", 0);
	expect_scrubbed(o.v, "%3", "%3", 0);
	expect_scrubbed(o.v, "\\", "\\", 0);
	expect_scrubbed(o.v, "\\u12", "\\u12", 0);
	tear_down(&o);
}

/* ---- shapes ---- */

/* What stands between < and > must go, the rest must stay. */
static void expect_marked(struct cn_vault *v, const char *marked)
{
	CN_AUTO(cn_buf) in = {0};
	CN_AUTO(cn_buf) want = {0};
	size_t n = 0;
	bool secret = false;
	for (const char *c = marked; *c; c++) {
		if (*c == '<' || *c == '>') {
			secret = *c == '<';
			n += secret;
			continue;
		}
		cn_buf_add_char(&in, *c);
		cn_buf_add_char(&want, secret ? '*' : *c);
	}
	expect_scrubbed(v, cn_buf_cstr(&in), cn_buf_cstr(&want), n);
}

static void well_known_shapes_go_and_wording_stays(void **state)
{
	static const char *const cases[] = {
	    "key <sk-ant-api03-AbCdEfGh_12-34> was",
	    "\"<AIzaSyA1234567890abcdefghijklmnopqrstu>\"",
	    "Authorization: Bearer <abcdef0123456789>",
	    "bearer  <a.b-c_d~e+f/g=0123>",
	    "GET /v1?key=<abcdefghijkl>&x=1",
	    "api_key=\"<abcdefghijkl>\"",
	    "{\"a\":\"Bearer <abcdef0123456789>\",\"b\":\"<sk-0123456789abcdefghij>\"}",
	    "token <ct_0123456789012345678901234567890123456789012>",
	    "<%73k-0123456789abcdef>",
	    "<\\u0073k-0123456789abcdef>",
	    /* wording */
	    "invalid x-api-key",
	    "keys look like sk-ant-...",
	    "task-force-of-many-long-words",
	    "use Bearer authentication",
	    "bearer_token_is_not_there_at_all",
	    "product_0123456789012345678901234567890123456789",
	    "key=none",
	    "msg_01XFDUDYJgAACzvnptvVoYEL",
	    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
	};
	struct opened o;
	(void)state;
	set_up(&o);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect_marked(o.v, cases[i]);
	tear_down(&o);
}

/* ---- leases ---- */

static void a_lease_is_shared_and_ends_with_its_last_user(void **state)
{
	struct opened o;
	(void)state;
	set_up(&o);
	struct cn_view mine = CN_VIEW("client-credential-1");
	struct cn_scrub_lease *a = cn_vault_scrub_add(o.v, mine),
			      *b = cn_vault_scrub_add(o.v, mine);
	assert_ptr_equal(a, b);
	expect_scrubbed(o.v, "x client-credential-1 x", "x ******************* x", 1);
	cn_vault_scrub_drop(o.v, a);
	expect_scrubbed(o.v, "x client-credential-1 x", "x ******************* x", 1);
	cn_vault_scrub_drop(o.v, b);
	/* Kept for the client's next request, until others push it out. */
	for (unsigned i = 0; i < 20; i++) {
		char other[32];
		int n = snprintf(other, sizeof(other), "other-credential-%u", i);
		struct cn_scrub_lease *l =
		    cn_vault_scrub_add(o.v, cn_view(other, (size_t)n));
		expect_scrubbed(o.v, other,
		                n == 18 ? "******************" : "*******************", 1);
		cn_vault_scrub_drop(o.v, l);
	}
	expect_scrubbed(o.v, "x client-credential-1 x", "x client-credential-1 x", 0);
	assert_null(cn_vault_scrub_add(o.v, CN_VIEW("short")));
	assert_null(cn_vault_scrub_drop(o.v, NULL));
	tear_down(&o);
}

static void the_book_holds_no_secret(void **state)
{
	struct opened o;
	(void)state;
	set_up(&o);
	struct cn_scrub_lease *l = cn_vault_scrub_add(o.v, CN_VIEW("client-credential-1"));
	/* A lease is plain memory: what it would hold must not be the secret. */
	assert_true(cn_view_find(cn_view((const char *)l, malloc_usable_size(l)),
	                         CN_VIEW("credential"), 0) == SIZE_MAX);
	cn_vault_scrub_drop(o.v, l);
	tear_down(&o);
}

/* ---- size ---- */

static void a_large_body_full_of_anchors_is_scrubbed(void **state)
{
	struct opened o;
	size_t n = 64 << 10, at = 30000;
	char *text = cn_alloc(n), *want = cn_alloc(n);
	(void)state;
	set_up(&o);
	put_key(o.v, "even", "xxxxxxxxabababababababababxxxxxxxx", origin);
	for (size_t i = 0; i < n; i++)
		text[i] = i % 2 ? 'b' : 'a'; /* each even offset may be the key's middle */
	memcpy(text + at, key, strlen(key));
	memcpy(want, text, n);
	memset(want + at, '*', strlen(key));
	assert_int_equal(cn_vault_scrub(o.v, text, n), 1);
	assert_memory_equal(text, want, n);
	free(text);
	free(want);
	tear_down(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_spelling_is_found),
	    cmocka_unit_test(base64_is_found_at_every_alignment),
	    cmocka_unit_test(overlapping_secrets_both_go),
	    cmocka_unit_test(secrets_are_found_at_both_ends_and_in_short_lines),
	    cmocka_unit_test(well_known_shapes_go_and_wording_stays),
	    cmocka_unit_test(a_lease_is_shared_and_ends_with_its_last_user),
	    cmocka_unit_test(the_book_holds_no_secret),
	    cmocka_unit_test(a_large_body_full_of_anchors_is_scrubbed),
	};
	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
