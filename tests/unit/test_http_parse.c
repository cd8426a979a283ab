/*
 * The request parser: what it refuses and with which status, what it takes and how it reads
 * it, and that neither depends on how the bytes are cut.  If this fails, a request that
 * others read differently may get through, or a proper one is turned away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <sodium.h>
#include <yyjson.h>

#include "../../src/http/parse_impl.h"

static struct cn_http__limits limits;

/* Everything the parser tells, as text; the reason of a refusal apart. */
struct told {
	struct cn_buf text;
	const char *why;
	int status;    /* 0: nothing was refused */
	unsigned ends; /* requests that were whole */
};

static void told_done(struct told *t)
{
	cn_buf_done(&t->text);
}

static void tell_head(struct told *t, const struct cn_http__parse *p)
{
	const struct cn_head *h = &p->head;

	cn_buf_printf(&t->text, "HEAD %.*s path=%.*s query=%.*s body=%d length=%lld",
	              CN_VIEW_ARG(h->method), CN_VIEW_ARG(h->path), CN_VIEW_ARG(h->query),
	              h->has_body, (long long)h->content_length);
	cn_buf_printf(&t->text, "%s%s%s\n", p->close ? " close" : "",
	              p->expects ? " expects" : "", h->trailers ? " trailers" : "");
	for (size_t i = 0; i < h->n_fields; i++)
		cn_buf_printf(&t->text, "  %.*s=%.*s\n", CN_VIEW_ARG(h->fields[i].name),
		              CN_VIEW_ARG(h->fields[i].value));
	cn_buf_add_str(&t->text, "  >");
}

/* Gives one piece to the parser, following requests included. */
static void feed(struct cn_http__parse *p, struct told *t, struct cn_view in)
{
	struct cn_view body;

	for (;;) {
		if (p->state == CN_PARSE_DONE && !p->close && in.n)
			cn_http__parse_reset(p);
		switch (cn_http__parse_next(p, &in, &body)) {
		case CN_HTTP_MORE:
			return;
		case CN_HTTP_HEAD:
			tell_head(t, p);
			break;
		case CN_HTTP_BODY:
			cn_buf_add_view(&t->text, body);
			break;
		case CN_HTTP_END:
			cn_buf_add_str(&t->text, "\nEND\n");
			t->ends++;
			break;
		case CN_HTTP_BAD:
			t->status = p->status;
			t->why = p->why;
			return;
		}
	}
}

/* Pieces of `step` bytes, the first one of `first` bytes. */
static struct told parse(struct cn_view in, size_t first, size_t step)
{
	struct cn_http__parse p;
	struct cn_charge charge = {.limit = 1u << 20};
	struct told t = {0};

	cn_http__parse_init(&p, &limits, &charge);
	for (size_t n = first; in.n && !t.status; n = step) {
		/* A copy of exact size, so that reading past it is seen. */
		struct cn_view piece = cn_view_cut(in, n);
		char *copy = cn_alloc(piece.n);

		memcpy(copy, piece.p, piece.n);
		feed(&p, &t, cn_view(copy, piece.n));
		free(copy);
		in = cn_view_from(in, piece.n);
	}
	cn_http__parse_done(&p);
	assert_int_equal(charge.used, 0);
	cn_buf_printf(&t.text, "status %d", t.status);
	return t;
}

static struct told parse_whole(struct cn_view in)
{
	return parse(in, in.n, in.n);
}

static void assert_same(const char *name, struct cn_view in, const struct told *want,
                        size_t first, size_t step)
{
	CN_AUTO(told) got = parse(in, first, step);

	if (!cn_view_eq(cn_buf_view(&got.text), cn_buf_view(&want->text)))
		fail_msg("%s, first %zu then %zu bytes:\n%s\nwhole:\n%s", name, first, step,
		         cn_buf_cstr(&got.text), want->text.p);
}

/* Every cut into two, and byte by byte. */
static void assert_cuts_do_not_matter(const char *name, struct cn_view in)
{
	CN_AUTO(told) whole = parse_whole(in);

	cn_buf_cstr(&whole.text);
	assert_same(name, in, &whole, 1, 1);
	assert_same(name, in, &whole, 3, 3);
	for (size_t first = 1; in.n < 3000 && first < in.n; first++)
		assert_same(name, in, &whole, first, in.n);
}

struct refusal {
	const char *name;
	struct cn_view bytes;
	int status;
	const char *why; /* its beginning */
};
#define BAD(name, bytes, why)                              \
	{                                                  \
		name, {bytes, sizeof(bytes) - 1}, 400, why \
	}
#define POST(name, fields, why) BAD(name, "POST /v HTTP/1.1\r\n" fields, why)
#define CHUNKED                 "Transfer-Encoding: chunked\r\n\r\n"
#define AGREES                  "" /* llhttp's words */

static const struct refusal refusals[] = {
    POST("length and coding", "Content-Length: 3\r\n" CHUNKED "0\r\n\r\n", ""),
    POST("coding and length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
         ""),
    POST("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", ""),
    POST("two equal lengths", "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", ""),
    POST("list of lengths", "Content-Length: 3, 3\r\n\r\nabc", ""),
    POST("empty length", "Content-Length:\r\n\r\n", ""),
    POST("blank length", "Content-Length:  \t \r\n\r\n", ""),
    POST("positive sign", "Content-Length: +3\r\n\r\nabc", ""),
    POST("negative sign", "Content-Length: -3\r\n\r\nabc", ""),
    POST("hexadecimal length", "Content-Length: 0x3\r\n\r\nabc", ""),
    POST("inner space", "Content-Length: 1 2\r\n\r\nabc", ""),
    POST("length of 2^40 + 1", "Content-Length: 1099511627777\r\n\r\n",
         "a content-length that is too large"),
    POST("length of 10^13", "Content-Length: 10000000000000\r\n\r\n",
         "a content-length that is too large"),
    POST("length of 2^64", "Content-Length: 18446744073709551616\r\n\r\n", ""),
    POST("length of 2^64 + 3", "Content-Length: 18446744073709551619\r\n\r\nabc", ""),
    POST("gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         "a transfer-encoding other than chunked"),
    POST("chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", ""),
    POST("two codings", "Transfer-Encoding: chunked\r\n" CHUNKED "0\r\n\r\n", AGREES),
    POST("identity", "Transfer-Encoding: identity\r\n\r\n", ""),
    POST("chunked, identity", "Transfer-Encoding: chunked, identity\r\n\r\n", ""),
    POST("xchunked", "Transfer-Encoding: xchunked\r\n\r\n", ""),
    POST("quoted chunked", "Transfer-Encoding: \"chunked\"\r\n\r\n", ""),
    POST("chunked with parameter", "Transfer-Encoding: chunked;q=1\r\n\r\n", ""),
    POST("vertical tab before chunked", "Transfer-Encoding: \vchunked\r\n\r\n",
         "a header value with a control byte"),
    POST("empty coding", "Transfer-Encoding:\r\n\r\n", ""),
    BAD("chunked in 1.0", "POST /v HTTP/1.0\r\n" CHUNKED "0\r\n\r\n",
        "transfer-encoding in HTTP/1.0"),
    BAD("bare LF after the line", "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "a request line with other than visible ASCII"),
    BAD("bare CR in the line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "a CR that no LF"),
    POST("bare LF in a value", "A: b\nC: d\r\n\r\n", "a header value with a control byte"),
    POST("bare CR in a value", "A: b\rC: d\r\n\r\n", "a CR that no LF"),
    POST("bare LF at the end", "A: b\r\n\n", "a header name with a byte"),
    POST("bare CR at the end", "A: b\r\n\rX", "a CR that no LF"),
    POST("CR CR LF", "A: b\r\r\n\r\n", "a CR that no LF"),
    POST("folded by space", "A: b\r\n c\r\n\r\n", "a folded header line"),
    POST("folded by tab", "A: b\r\n\tc\r\n\r\n", "a folded header line"),
    POST("space before the first field", " A: b\r\n\r\n", "a folded header line"),
    POST("space before the colon", "A : b\r\n\r\n", "a header name with a byte"),
    POST("tab before the colon", "A\t: b\r\n\r\n", "a header name with a byte"),
    POST("space in a name", "A B: c\r\n\r\n", "a header name with a byte"),
    POST("no colon", "A\r\n\r\n", "a header name with a byte"),
    POST("empty name", ": b\r\n\r\n", "a header without a name"),
    POST("NUL in a name", "A\0B: c\r\n\r\n", "a header name with a byte"),
    POST("NUL in a value", "A: b\0c\r\n\r\n", "a header value with a control byte"),
    POST("control byte in a value", "A: b\x01\r\n\r\n",
         "a header value with a control byte"),
    POST("escape in a value", "A: \x1b[m\r\n\r\n", "a header value with a control byte"),
    POST("DEL in a value", "A: \x7f\r\n\r\n", "a header value with a control byte"),
    POST("non-ASCII name", "\xc3\xa4: c\r\n\r\n", "a header name with a byte"),
    POST("extension of 257 bytes",
         CHUNKED "1;a="
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nz\r\n0\r\n\r\n",
         "chunk extensions that are too long"),
    POST("LF in an extension", CHUNKED "1;a=b\nz\r\n0\r\n\r\n", "a chunk extension with"),
    POST("CR in an extension", CHUNKED "1;a\rb\r\nz\r\n0\r\n\r\n", "a chunk that does not"),
    POST("LF in a quoted extension", CHUNKED "1;a=\"b\n\"\r\nz\r\n0\r\n\r\n",
         "a chunk extension with"),
    POST("chunk of 2^40 + 1", CHUNKED "10000000001\r\n", "a chunk that is too large"),
    POST("chunk of 2^64 + 1", CHUNKED "10000000000000001\r\nz\r\n0\r\n\r\n", "a chunk "),
    POST("endless zeros", CHUNKED "00000000000000000", "a chunk size with too many"),
    POST("signed chunk size", CHUNKED "+1\r\nz\r\n0\r\n\r\n", "a chunk without a size"),
    POST("chunk size 0x1", CHUNKED "0x1\r\nz\r\n0\r\n\r\n", "a chunk size with other"),
    POST("space behind a chunk size", CHUNKED "1 \r\nz\r\n0\r\n\r\n", "a chunk size with"),
    POST("chunk size ended by LF", CHUNKED "1\nz\r\n0\r\n\r\n", "a chunk size with other"),
    POST("data ended by LF", CHUNKED "1\r\nz\n0\r\n\r\n", "a chunk that does not end"),
    POST("data longer than its size", CHUNKED "1\r\nzz\r\n0\r\n\r\n", "a chunk that does"),
    POST("last chunk ended by LF", CHUNKED "0\r\n\n", "trailers in a request"),
    POST("empty extension", CHUNKED "1;\r\nz\r\n0\r\n\r\n", AGREES),
    POST("trailers", CHUNKED "0\r\nA: b\r\n\r\n", "trailers in a request"),
    POST("upgrade", "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", ""),
    POST("upgrade alone", "Upgrade: websocket\r\n\r\n", "an upgrade"),
    BAD("CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "a method that we do not"),
    BAD("TRACE", "TRACE / HTTP/1.1\r\n\r\n", "a method that we do not"),
    BAD("unknown method", "FOO / HTTP/1.1\r\n\r\n", AGREES),
    BAD("method in lower case", "get / HTTP/1.1\r\n\r\n", AGREES),
    BAD("0.9", "GET /\r\n\r\n", "a request line that is not"),
    BAD("0.9 with version", "GET / HTTP/0.9\r\n\r\n", "a protocol version"),
    BAD("1.2", "GET / HTTP/1.2\r\n\r\n", "a protocol version"),
    BAD("2.0", "GET / HTTP/2.0\r\n\r\n", "a protocol version"),
    BAD("1.01", "GET / HTTP/1.01\r\n\r\n", "a protocol version"),
    BAD("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "a protocol version"),
    BAD("RTSP", "OPTIONS /a RTSP/1.0\r\n\r\n", "a protocol version"),
    BAD("version in lower case", "GET / http/1.1\r\n\r\n", "a protocol version"),
    BAD("two spaces", "GET  / HTTP/1.1\r\n\r\n", "a request line that is not"),
    BAD("space behind the version", "GET / HTTP/1.1 \r\n\r\n",
        "a request line that is not"),
    BAD("space before the method", " GET / HTTP/1.1\r\n\r\n", "a request line that is not"),
    BAD("tab", "GET\t/ HTTP/1.1\r\n\r\n", "a request line with other"),
    BAD("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", "empty lines before"),
    BAD("LF before", "\nGET / HTTP/1.1\r\n\r\n", "a request line with other"),
    BAD("TLS", "\x16\x03\x01\x02\x00\x01", "a request line with other"),
    POST("other expectation", "Expect: 200-ok\r\n\r\n", "an expectation other"),
    POST("empty expectation", "Expect:\r\n\r\n", "an expectation other"),
    POST("two expectations", "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
         "an expectation other"),
    POST("bytes after a close", "Connection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
         "bytes after the last request"),
    POST("bytes after a closing body",
         "Connection: x, Close\r\nContent-Length: 1\r\n\r\nz\r\n",
         "bytes after the last request"),
    BAD("bytes after 1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nG",
        "bytes after the last request"),
#define PATH(path, why) BAD(path, "GET " path " HTTP/1.1\r\n\r\n", why)
    PATH("*", "a request target that is not a path"),
    PATH("a", "a request target that is not a path"),
    PATH("http://a/v1", "a request target that is not a path"),
    PATH("a:443", "a request target that is not a path"),
    PATH("?a", "a request target that is not a path"),
    PATH("//a/v1", "a path with an empty segment"),
    PATH("/v1//a", "a path with an empty segment"),
    PATH("/v1/../a", "a path with dot segments"),
    PATH("/v1/..", "a path with dot segments"),
    PATH("/v1/./a", "a path with dot segments"),
    PATH("/v1/.", "a path with dot segments"),
    PATH("/v1/..;/a", "a path with dot segments"),
    PATH("/v1%2fa", "a path with an encoded slash or dot"),
    PATH("/v1%2Fa", "a path with an encoded slash or dot"),
    PATH("/v1/%2e%2e/a", "a path with an encoded slash or dot"),
    PATH("/v1/%2Ea", "a path with an encoded slash or dot"),
    PATH("/v1/%00", "a path with an encoded control byte"),
    PATH("/v1/%0d%0a", "a path with an encoded control byte"),
    PATH("/v1/%", "a path with a broken percent-encoding"),
    PATH("/v1/%2", "a path with a broken percent-encoding"),
    PATH("/v1/%zz", "a path with a broken percent-encoding"),
    PATH("/v1\\a", "a path with a byte"),
    PATH("/v1/{a}", "a path with a byte"),
    PATH("/v1/\"a\"", "a path with a byte"),
    PATH("/v1#a", "a path with a byte"),
    PATH("/v1?a#b", "a request target with a fragment"),
    PATH("/v1/\xc3\xa4", "a request line with other than visible ASCII"),
    PATH("/v1?\xc3\xa4", "a request line with other than visible ASCII"),
    PATH("/v1/\x01", "a request line with other than visible ASCII"),
#undef PATH
};

static void refuses_what_parsers_disagree_about(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		const struct refusal *r = &refusals[i];
		CN_AUTO(told) t = parse_whole(r->bytes);

		if (t.status != r->status || !t.why ||
		    strncmp(t.why, r->why, strlen(r->why)) != 0)
			fail_msg("%s: got %d \"%s\", want %d \"%s\"\n%s", r->name, t.status,
			         t.why ? t.why : "", r->status, r->why,
			         cn_buf_cstr(&t.text));
		assert_cuts_do_not_matter(r->name, r->bytes);
	}
}

struct accepted {
	const char *name;
	const char *bytes, *told;
};
#define DONE0 "  >\nEND\nstatus 0"
static const struct accepted accepted[] = {
    {"plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
     "HEAD GET path=/ query= body=0 length=0\n  host=a\n" DONE0},
    {"no fields, one line break before", "\r\nHEAD /a?b=//..%2f HTTP/1.1\r\n\r\n",
     "HEAD HEAD path=/a query=b=//..%2f body=0 length=0\n" DONE0},
    {"1.0", "GET / HTTP/1.0\r\n\r\n",
     "HEAD GET path=/ query= body=0 length=0 close\n" DONE0},
    {"trimmed values, lower-case names, obs-text",
     "GET /%20a%7e HTTP/1.1\r\nX-A:  \tb c \t\r\nx-E:\r\nX-O: \xff\r\n\r\n",
     "HEAD GET path=/%20a%7e query= body=0 length=0\n  x-a=b c\n  x-e=\n  x-o=\xff\n" DONE0},
    {"length, te",
     "POST /v HTTP/1.1\r\nTE: gzip, Trailers\r\nContent-Length: 003\r\n\r\nabc",
     "HEAD POST path=/v query= body=1 length=3 trailers\n  te=gzip, Trailers\n"
     "  content-length=003\n  >abc\nEND\nstatus 0"},
    {"length of 0", "POST /v HTTP/1.1\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
     "HEAD POST path=/v query= body=0 length=0\n  content-length=0\n"
     "  expect=100-continue\n" DONE0},
    {"length of 2^40", "POST /v HTTP/1.1\r\nContent-Length: 1099511627776\r\n\r\nab",
     "HEAD POST path=/v query= body=1 length=1099511627776\n"
     "  content-length=1099511627776\n  >abstatus 0"},
    {"chunks",
     "POST /v HTTP/1.1\r\nExpect: 100-Continue\r\nTransfer-Encoding: Chunked\r\n\r\n"
     "5;a=b;c=\"d e\"\r\nhello\r\n00A\r\n, chunks!\n\r\n000\r\n\r\n",
     "HEAD POST path=/v query= body=1 length=-1 expects\n  expect=100-Continue\n"
     "  transfer-encoding=Chunked\n  >hello, chunks!\n\nEND\nstatus 0"},
    {"chunk of 2^40", "POST /v HTTP/1.1\r\n" CHUNKED "10000000000\r\nab",
     "HEAD POST path=/v query= body=1 length=-1\n  transfer-encoding=chunked\n"
     "  >abstatus 0"},
    {"three in a row",
     "POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nzGET /b HTTP/1.1\r\n\r\n"
     "POST /c HTTP/1.1\r\n" CHUNKED "1\r\ny\r\n0\r\n\r\n",
     "HEAD POST path=/a query= body=1 length=1\n  content-length=1\n  >z\nEND\n"
     "HEAD GET path=/b query= body=0 length=0\n  >\nEND\n"
     "HEAD POST path=/c query= body=1 length=-1\n  transfer-encoding=chunked\n"
     "  >y\nEND\nstatus 0"},
    {"close", "GET / HTTP/1.1\r\nConnection: foo , CLOSE\r\n\r\n",
     "HEAD GET path=/ query= body=0 length=0 close\n  connection=foo , CLOSE\n" DONE0},
    {"half a head", "GET / HTTP/1.1\r\nHost: a\r\n\r", "status 0"},
};

static void reads_what_is_proper(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(accepted) / sizeof(*accepted); i++) {
		const struct accepted *a = &accepted[i];
		CN_AUTO(told) t = parse_whole(cn_view_str(a->bytes));

		if (strcmp(cn_buf_cstr(&t.text), a->told) != 0)
			fail_msg("%s: got\n%s (%s)\nwant\n%s", a->name, t.text.p,
			         t.why ? t.why : "", a->told);
		assert_cuts_do_not_matter(a->name, cn_view_str(a->bytes));
	}
}

/* A request of a line and fields of given sizes. */
static void add_request(struct cn_buf *b, size_t line, size_t n_fields, size_t head)
{
	static const char start[] = "GET /", version[] = " HTTP/1.1";

	cn_buf_add_str(b, start);
	while (b->n < line - strlen(version))
		cn_buf_add_char(b, 'a');
	cn_buf_add_str(b, version);
	for (size_t i = 0; i < n_fields; i++)
		cn_buf_add_str(b, "\r\nx:");
	while (b->n + 4 < head)
		cn_buf_add_char(b, 'v');
	cn_buf_add_str(b, "\r\n\r\n");
}

static void refuses_heads_over_their_limits(void **state)
{
	static const struct {
		const char *name;
		size_t line, fields, head;
		int status;
	} cases[] = {
	    {"line of 8 KiB", 8192, 1, 0, 0},    {"line over 8 KiB", 8193, 1, 0, 431},
	    {"100 fields", 20, 100, 0, 0},       {"101 fields", 20, 101, 0, 431},
	    {"head of 32 KiB", 20, 1, 32768, 0}, {"head over 32 KiB", 20, 1, 32769, 431},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CN_AUTO(cn_buf) b = {0};
		CN_AUTO(told) t = {0};

		add_request(&b, cases[i].line, cases[i].fields, cases[i].head);
		t = parse_whole(cn_buf_view(&b));
		if (t.status != cases[i].status || t.ends != (t.status == 0))
			fail_msg("%s: got %d, want %d", cases[i].name, t.status,
			         cases[i].status);
		assert_cuts_do_not_matter(cases[i].name, cn_buf_view(&b));
	}
}

static void refuses_when_a_head_does_not_fit_into_memory(void **state)
{
	struct cn_view in = CN_VIEW("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), body;
	struct cn_charge charge = {.limit = CN_HTTP_HEAD_STEP};
	struct cn_http__parse p;

	(void)state;
	cn_http__parse_init(&p, &limits, &charge);
	assert_int_equal(cn_http__parse_next(&p, &in, &body), CN_HTTP_BAD);
	assert_int_equal(p.status, 503);
	cn_http__parse_done(&p);
	assert_int_equal(charge.used, 0);
}

/*
 * The corpus of llhttp's own tests, strict expectations.  Everything with an error there is
 * refused here, also what llhttp takes with a lenient flag; beyond that, these:
 */
static const struct {
	const char *name, *because;
} stricter[] = {
    {"request/connection: CRLF between requests, implicit `keep-alive`",
     "two empty lines before a request; one is overlooked"},
    {"request/method: M-SEARCH request", "not origin-form"},
    {"request/method: OPTIONS request with RTSP", "no HTTP version"},
    {"request/transfer-encoding: POST with `chunked` as last transfer-encoding (multiple "
     "headers)",
     "deflate is not ours to undo"},
    {"request/uri: Fragment in URI", "not origin-form"},
    {"request/uri: `host:port` terminated by a query string", "not origin-form"},
    {"request/uri: `host:port` terminated by a space", "not origin-form"},
    {"request/uri: `host:port` and basic auth", "not origin-form"},
};

static bool is_stricter(const char *name)
{
	for (size_t i = 0; i < sizeof(stricter) / sizeof(*stricter); i++)
		if (strcmp(stricter[i].name, name) == 0)
			return true;
	return false;
}

static const char *text_of(yyjson_val *item, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(item, key));
}

/* Lenient cases without an error are only judged for their cuts: we have no such flags. */
static void check_corpus_case(yyjson_val *item, unsigned *n_stricter)
{
	const char *name = text_of(item, "name"), *code = text_of(item, "base64");
	const char *error = text_of(item, "error"), *mode = text_of(item, "mode");
	unsigned char bytes[8192];
	struct cn_view in;
	size_t n;

	assert_int_equal(sodium_base642bin(bytes, sizeof(bytes) - 5, code, strlen(code),
	                                   NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL),
	                 0);
	in = cn_view((char *)bytes, n);
	CN_AUTO(told) t = parse_whole(in);

	if (error && !t.status && t.ends == 0) {
		/* Some are cut off inside the head, which we judge once it is whole. */
		(void)snprintf((char *)bytes + n, 5, "\r\n\r\n");
		told_done(&t);
		t = parse_whole(cn_view(in.p, n + 4));
	}
	if (error && !t.status)
		fail_msg("%s: taken, though llhttp says: %s", name, error);
	if (!error && strcmp(mode, "request") == 0) {
		if ((t.status != 0) != is_stricter(name))
			fail_msg("%s: status %d (%s)", name, t.status, t.why ? t.why : "");
		*n_stricter += t.status != 0;
	}
	assert_cuts_do_not_matter(name, in);
}

static void agrees_with_the_corpus_of_llhttp(void **state)
{
	const char *shared = getenv("CONTINUO_SHARED");
	CN_AUTO(cn_buf) path = {0};
	unsigned n_requests = 0, n_stricter = 0;
	yyjson_doc *doc;
	yyjson_val *item;
	size_t i, max;

	(void)state;
	cn_buf_printf(&path, "%s/fixtures/corpora/http/llhttp.json", shared ? shared : ".");
	doc = yyjson_read_file(cn_buf_cstr(&path), 0, NULL, NULL);
	if (!doc)
		skip();
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, item)
	{
		if (strcmp(text_of(item, "kind"), "request") != 0)
			continue;
		n_requests++;
		check_corpus_case(item, &n_stricter);
	}
	yyjson_doc_free(doc);
	assert_int_equal(n_requests, 83);
	assert_int_equal(n_stricter, sizeof(stricter) / sizeof(*stricter));
}

static void finds_fields_by_name(void **state)
{
	struct cn_view in = CN_VIEW("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nhOST: b\r\n\r\n");
	struct cn_view body;
	struct cn_http__parse p;

	(void)state;
	cn_http__parse_init(&p, &limits, NULL);
	assert_int_equal(cn_http__parse_next(&p, &in, &body), CN_HTTP_HEAD);
	assert_true(cn_view_is(cn_head_get(&p.head, "host"), "a"));
	assert_int_equal(cn_head_count(&p.head, "host"), 2);
	assert_null(cn_head_get(&p.head, "y").p);
	assert_int_equal(cn_head_count(&p.head, "y"), 0);
	cn_http__parse_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refuses_what_parsers_disagree_about),
	    cmocka_unit_test(reads_what_is_proper),
	    cmocka_unit_test(refuses_heads_over_their_limits),
	    cmocka_unit_test(refuses_when_a_head_does_not_fit_into_memory),
	    cmocka_unit_test(agrees_with_the_corpus_of_llhttp),
	    cmocka_unit_test(finds_fields_by_name),
	};

	limits = cn_http__defaults;
	return cmocka_run_group_tests_name("http_parse", tests, NULL, NULL);
}
