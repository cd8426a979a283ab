/*
 * What a whole request head says, and whether we take it (design/security.md 6).  llhttp
 * reads the head with every lenient flag off; then its output is judged again, because the
 * packaged release lets more through than we do.  Pure; runs on the thread of the
 * connection.  Names and tokens (Host, Origin, credentials) are the application's business.
 */
#include "parse_impl.h"

static struct cn_http__parse *of(llhttp_t *llhttp)
{
	return llhttp->data;
}

/* llhttp may report one span in pieces; inside one buffer they are neighbours. */
static void extend(struct cn_view *v, const char *at, size_t n)
{
	if (!v->p)
		v->p = at;
	v->n = (size_t)(at - v->p) + n;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t n)
{
	extend(&of(llhttp)->target, at, n);
	return 0;
}

/* The field that is being read; NULL when llhttp sees more of them than the scan did. */
static struct cn_field *current(struct cn_http__parse *p)
{
	return p->n_filled < p->n_fields ? &p->head.fields[p->n_filled] : NULL;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t n)
{
	struct cn_field *f = current(of(llhttp));

	if (!f)
		return -1;
	extend(&f->name, at, n);
	return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t n)
{
	struct cn_field *f = current(of(llhttp));

	if (!f)
		return -1;
	extend(&f->value, at, n);
	return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
	struct cn_http__parse *p = of(llhttp);

	if (!current(p))
		return -1;
	p->n_filled++;
	return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t n)
{
	extend(&of(llhttp)->body, at, n);
	return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
	of(llhttp)->complete = true;
	return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct cn_view cn_head_get(const struct cn_head *h, const char *name)
{
	struct cn_view want = cn_view_str(name);

	for (size_t i = 0; i < h->n_fields; i++)
		if (cn_view_eq(h->fields[i].name, want))
			return h->fields[i].value;
	return (struct cn_view){NULL, 0};
}

size_t cn_head_count(const struct cn_head *h, const char *name)
{
	struct cn_view want = cn_view_str(name);
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		n += cn_view_eq(h->fields[i].name, want);
	return n;
}

static int bad(struct cn_http__parse *p, const char *why)
{
	cn_http__parse_fail(p, 400, why);
	return -1;
}

static bool equal_nocase(struct cn_view v, const char *word)
{
	return cn_view_eq_nocase(v, cn_view_str(word));
}

/* Whether one of the comma-separated words of any field of that name is `word`. */
static bool has_word(const struct cn_head *h, const char *name, const char *word)
{
	struct cn_view want = cn_view_str(name);

	for (size_t i = 0; i < h->n_fields; i++) {
		struct cn_view rest = h->fields[i].value, piece;

		if (!cn_view_eq(h->fields[i].name, want))
			continue;
		while (cn_view_split(&rest, ',', &piece))
			if (equal_nocase(cn_view_trim(piece), word))
				return true;
	}
	return false;
}

/* RFC 3986 3.3, without what could be read as a second path: see path_read(). */
static bool is_path(unsigned char ch)
{
	if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')
		return true;
	if (ch >= '0' && ch <= '9')
		return true;
	return ch && strchr("/-._~!$&'()*+,;=:@%", ch);
}

static bool is_hex(unsigned char ch)
{
	return (ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f');
}

/* Only encodings that no one could take for a separator, a dot or a control byte. */
static const char *judge_percent(struct cn_view rest)
{
	if (rest.n < 3 || !is_hex((unsigned char)rest.p[1]) ||
	    !is_hex((unsigned char)rest.p[2]))
		return "a path with a broken percent-encoding";
	if (rest.p[1] < '2')
		return "a path with an encoded control byte";
	if (rest.p[1] == '2' && ((rest.p[2] | 0x20) == 'f' || (rest.p[2] | 0x20) == 'e'))
		return "a path with an encoded slash or dot";
	return NULL;
}

static const char *judge_path(struct cn_view path)
{
	const char *why = NULL;

	if (path.n == 0 || path.p[0] != '/')
		return "a request target that is not a path";
	if (cn_view_find(path, CN_VIEW("//"), 0) != SIZE_MAX)
		return "a path with an empty segment";
	if (cn_view_find(path, CN_VIEW(".."), 0) != SIZE_MAX ||
	    cn_view_find(path, CN_VIEW("/./"), 0) != SIZE_MAX ||
	    cn_view_ends(path, CN_VIEW("/.")))
		return "a path with dot segments";
	for (size_t i = 0; i < path.n && !why; i++) {
		if (!is_path((unsigned char)path.p[i]))
			why = "a path with a byte that paths do not have";
		else if (path.p[i] == '%')
			why = judge_percent(cn_view_from(path, i));
	}
	return why;
}

/* "METHOD SP target SP HTTP/1.x", with exactly these two spaces. */
static int read_line(struct cn_http__parse *p, struct cn_view *rettarget)
{
	struct cn_head *h = &p->head;
	struct cn_view line = cn_view(p->raw.p + (p->started ? 2 : 0), p->line_n);
	struct cn_view rest = line, target, version;
	const char *why;

	if (!cn_view_split(&rest, ' ', &h->method) || !cn_view_split(&rest, ' ', &target) ||
	    !cn_view_split(&rest, ' ', &version) || rest.p)
		return bad(p, "a request line that is not method, target and version");
	p->http10 = cn_view_is(version, "HTTP/1.0");
	if (!p->http10 && !cn_view_is(version, "HTTP/1.1"))
		return bad(p, "a protocol version that we do not speak");
	if (cn_view_is(h->method, "CONNECT") || cn_view_is(h->method, "TRACE"))
		return bad(p, "a method that we do not speak");
	*rettarget = target;
	h->path = cn_view_cut(target, cn_view_find(target, CN_VIEW("?"), 0));
	h->query = cn_view_from(target, h->path.n + 1);
	if ((why = judge_path(h->path)))
		return bad(p, why);
	if (cn_view_find(h->query, CN_VIEW("#"), 0) != SIZE_MAX)
		return bad(p, "a request target with a fragment");
	return 0;
}

/* Lets llhttp read the head and compares what it found with what the scan found. */
static int run_llhttp(struct cn_http__parse *p, struct cn_view target)
{
	enum llhttp_errno err;

	llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
	p->llhttp.data = p;
	err = llhttp_execute(&p->llhttp, p->raw.p, p->raw.n);
	if (err != HPE_OK)
		return bad(p, llhttp_get_error_reason(&p->llhttp));
	if (p->n_filled != p->n_fields || !cn_view_eq(p->target, target) ||
	    p->llhttp.http_major != 1 || p->llhttp.http_minor != (p->http10 ? 0 : 1))
		return bad(p, "a head of unclear meaning");
	p->head.n_fields = p->n_fields;
	return 0;
}

static void tidy_fields(struct cn_http__parse *p)
{
	for (size_t i = 0; i < p->head.n_fields; i++) {
		struct cn_field *f = &p->head.fields[i];
		char *name = p->raw.p + (f->name.p - p->raw.p);

		for (size_t j = 0; j < f->name.n; j++)
			if (name[j] >= 'A' && name[j] <= 'Z')
				name[j] = (char)(name[j] | 0x20);
		f->value = cn_view_trim(f->value);
	}
}

static int read_length(struct cn_http__parse *p, struct cn_view text)
{
	uint64_t n = 0;

	if (text.n == 0)
		return bad(p, "an empty content-length");
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return bad(p, "a content-length with other than digits");
		if (n > CN_HTTP_MAX_SIZE / 10)
			return bad(p, "a content-length that is too large");
		n = n * 10 + (uint64_t)(text.p[i] - '0');
	}
	if (n > CN_HTTP_MAX_SIZE)
		return bad(p, "a content-length that is too large");
	p->head.content_length = n;
	p->head.has_body = n > 0;
	return 0;
}

static int read_framing(struct cn_http__parse *p)
{
	struct cn_head *h = &p->head;
	size_t lengths = cn_head_count(h, "content-length");
	size_t codings = cn_head_count(h, "transfer-encoding");

	if (lengths && codings)
		return bad(p, "both content-length and transfer-encoding");
	if (lengths > 1)
		return bad(p, "more than one content-length");
	if (lengths)
		return read_length(p, cn_head_get(h, "content-length"));
	if (codings == 0)
		return 0;
	if (p->http10)
		return bad(p, "transfer-encoding in HTTP/1.0");
	if (codings > 1 || !equal_nocase(cn_head_get(h, "transfer-encoding"), "chunked"))
		return bad(p, "a transfer-encoding other than chunked");
	h->has_body = true;
	h->content_length = UINT64_MAX;
	return 0;
}

int cn_http__head_read(struct cn_http__parse *p)
{
	struct cn_head *h = &p->head;
	struct cn_view target, expect;
	size_t n_expect;

	if (read_line(p, &target) < 0 || run_llhttp(p, target) < 0)
		return -1;
	tidy_fields(p);
	if (read_framing(p) < 0)
		return -1;
	if (cn_head_count(h, "upgrade"))
		return bad(p, "an upgrade, which we do not offer");
	expect = cn_head_get(h, "expect");
	n_expect = cn_head_count(h, "expect");
	if (n_expect > 1 || (n_expect && !equal_nocase(expect, "100-continue")))
		return bad(p, "an expectation other than 100-continue");
	/* Only one that can tell us so by a field has connections that live on. */
	p->close = p->http10 || has_word(h, "connection", "close");
	p->expects = n_expect && h->has_body && !p->http10;
	h->trailers = has_word(h, "te", "trailers");
	return 0;
}
