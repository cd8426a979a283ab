/*
 * Names of tools and ids of calls in the form that Chat Completions backends take
 * (wire/openai-chat.md 5 "Ids and names").
 *
 * Both are derived from the text alone, so that a replay says the same, and need no table:
 * who reads the answer shortens the request's names again and compares.  Pure.
 */
#include "openai_chat_encode_impl.h"

#include <ctype.h>

#include "continuo/hash.h"

#define NAME_MAX_N 64
#define NAME_KEPT  55
#define ID_MAX_N   40

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static bool all_words(struct cn_view v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] >= 0x80 || !is_word(v.p[i]))
			return false;
	return v.n > 0;
}

struct cn_view cn_chat__short_name(struct cn_arena *a, struct cn_view name)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_hash hash;

	/* Some want a letter or an underscore first. */
	if (name.n <= NAME_MAX_N && all_words(name) && !isdigit((unsigned char)name.p[0]) &&
	    name.p[0] != '-')
		return name;
	for (size_t i = 0; i < name.n && b.n < NAME_KEPT; i++) {
		char c = name.p[i];

		if ((unsigned char)c >= 0x80 || !is_word(c))
			c = '_';
		if (b.n == 0 && (isdigit((unsigned char)c) || c == '-'))
			cn_buf_add_char(&b, '_');
		cn_buf_add_char(&b, c);
	}
	hash = cn_hash_bytes(name);
	cn_buf_add_char(&b, '_');
	cn_hex(&b, hash.b, 4);
	return cn_arena_view(a, cn_buf_view(&b));
}

/* Nine letters and digits of a hash. */
static struct cn_view nine_of(struct cn_arena *a, struct cn_view id)
{
	static const char digits[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	struct cn_hash hash = cn_hash_bytes(id);
	char text[9];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = digits[hash.b[i] % (sizeof(digits) - 1)];
	return cn_arena_view(a, cn_view(text, sizeof(text)));
}

static bool is_nine(struct cn_view id)
{
	for (size_t i = 0; i < id.n; i++)
		if ((unsigned char)id.p[i] >= 0x80 || !isalnum((unsigned char)id.p[i]))
			return false;
	return id.n == 9;
}

struct cn_view cn_chat__short_id(struct cn_arena *a, struct cn_view id, bool own, bool nine)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_hash hash;

	if (nine)
		return is_nine(id) ? id : nine_of(a, id);
	if (own || (id.n <= ID_MAX_N && all_words(id)))
		return id;
	hash = cn_hash_bytes(id);
	cn_buf_add_str(&b, "call_");
	cn_hex(&b, hash.b, 12);
	return cn_arena_view(a, cn_buf_view(&b));
}
