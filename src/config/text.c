/*
 * Text in a policy: what bytes a file may have at all (checked before libfyaml sees them,
 * which loops on some directives), variables, and what looks like a secret.
 *
 * Thread of the load; owns nothing.
 */
#include <ctype.h>
#include <stdlib.h>

#include "config_impl.h"

/* Bytes of the UTF-8 sequence at p, of which n are left; 0: it is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80   ? 1
	             : p[0] < 0xc2 ? 0
	             : p[0] < 0xe0 ? 2
	             : p[0] < 0xf0 ? 3
	                           : 4;

	if (len == 0 || p[0] > 0xf4 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0; /* too long, a surrogate, beyond Unicode */
	return len;
}

bool cn_config__is_utf8(struct cn_view text)
{
	for (size_t i = 0, len; i < text.n; i += len) {
		len = utf8_length((const unsigned char *)text.p + i, text.n - i);
		if (len == 0)
			return false;
	}
	return true;
}

bool cn_config__clean(struct cn_load *l, struct cn_config_file *f)
{
	const char *wrong = NULL;
	unsigned line = 1, column = 1;

	if (cn_view_starts(f->text, CN_VIEW("\xef\xbb\xbf"))) /* a byte order mark */
		f->text = cn_view_from(f->text, 3);
	for (size_t i = 0, len = 0; i < f->text.n && !wrong; i += len) {
		const unsigned char *p = (const unsigned char *)f->text.p + i;
		len = utf8_length(p, f->text.n - i);
		if (len == 0)
			wrong = "this is no UTF-8; save the file as UTF-8";
		else if ((*p < ' ' && !strchr("\t\r\n", *p)) || *p == 0 || *p == 0x7f)
			wrong = "a control character; take it out";
		else if (*p == '%' && column == 1)
			wrong = "directives ('%NAME') are not taken; leave the line out";
		if (wrong)
			break;
		column++;
		if (*p == '\n' || (*p == '\r' && (len == f->text.n - i || p[1] != '\n'))) {
			line++;
			column = 1;
		}
	}
	if (!wrong)
		return true;
	cn_config__mistake_at(l, f, line, column, "%s", wrong);
	l->fatal = true;
	return false;
}

bool cn_config__looks_secret(struct cn_view t)
{
	static const struct {
		const char *prefix;
		size_t least; /* of the whole text */
	} shapes[] = {{"sk-", 16},         {"AIza", 30}, {"Bearer ", 16}, {"bearer ", 16},
	              {"xai-", 24},        {"gsk_", 24}, {"ghp_", 24},    {"gho_", 24},
	              {"github_pat_", 24}, {"ct_", 40},  {"eyJ", 40},     {"AKIA", 20},
	              {"ABSK", 40},        {"hf_", 24},  {"fw_", 20},     {"nvapi-", 24}};

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		if (t.n >= shapes[i].least &&
		    cn_view_starts(t, cn_view_str(shapes[i].prefix)))
			return true;
	return false;
}

static bool secret_name(struct cn_view name)
{
	static const char *const parts[] = {"KEY", "TOKEN", "SECRET", "PASSW",
	                                    "CREDENTIAL"};

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (cn_view_find_nocase(name, cn_view_str(parts[i])) != SIZE_MAX)
			return true;
	return false;
}

/* Appends the value of ${NAME}; false when a mistake was reported. */
static bool expand_one(struct cn_load *l, struct cn_node *n, struct cn_view name,
                       struct cn_buf *out)
{
	bool ok = name.n > 0 && !isdigit((unsigned char)name.p[0]);

	for (size_t i = 0; ok && i < name.n; i++)
		ok = isalnum((unsigned char)name.p[i]) || name.p[i] == '_';
	if (!ok) {
		cn_config__mistake(l, n,
		                   "'${%.*s}' names no variable; write ${NAME}, or $${ for "
		                   "the two characters themselves",
		                   CN_SHOW(name));
		return false;
	}
	if (secret_name(name)) {
		cn_config__mistake(
		    l, n,
		    "${%.*s} looks like a secret; keys belong in the vault "
		    "(continuo vault set NAME) and are named here as vault:NAME",
		    CN_SHOW(name));
		return false;
	}
	const char *value = getenv(cn_arena_dup(&l->arena, name));
	if (!value) {
		cn_config__mistake(l, n,
		                   "the environment has no variable %.*s; set it, or write "
		                   "the value itself",
		                   CN_SHOW(name));
		return false;
	}
	cn_buf_add_str(out, value);
	return true;
}

void cn_config__expand(struct cn_load *l, struct cn_node *n)
{
	CN_AUTO(cn_buf) out = {0};
	struct cn_view rest = n->text;
	size_t at;

	if (cn_view_find(rest, CN_VIEW("${"), 0) == SIZE_MAX)
		return;
	while (rest.p && (at = cn_view_find(rest, CN_VIEW("${"), 0)) != SIZE_MAX) {
		if (at > 0 && rest.p[at - 1] == '$') { /* $${ is the text ${ */
			cn_buf_add(&out, rest.p, at - 1);
			cn_buf_add_str(&out, "${");
			rest = cn_view_from(rest, at + 2);
			continue;
		}
		size_t end = cn_view_find(rest, CN_VIEW("}"), at);
		if (end == SIZE_MAX) {
			cn_config__mistake(l, n, "'${' without its '}'; write ${NAME}");
			n->bad = true;
			return;
		}
		cn_buf_add(&out, rest.p, at);
		if (!expand_one(l, n, cn_view(rest.p + at + 2, end - at - 2), &out)) {
			n->bad = true;
			return;
		}
		rest = cn_view_from(rest, end + 1);
	}
	cn_buf_add_view(&out, rest);
	n->text = cn_arena_view(&l->arena, cn_view(cn_buf_cstr(&out), out.n + 1));
	n->text.n = out.n;
}
