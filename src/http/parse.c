/*
 * A request out of bytes, however they are cut: a scan of the raw head, then llhttp over
 * the whole head (head.c), then the body by its length or by chunks.  Pure: it owns the
 * head's bytes and nothing else, does no I/O and reads no clock; one connection's thread
 * runs it.
 *
 * The scan refuses, at the byte where it stands, what parsers disagree about: bare CR and
 * LF, folded lines, space before a colon, empty names, control bytes, and heads over their
 * limits.  llhttp must agree with all that is let through.  What a body means is no concern
 * of this file.
 */
#include "parse_impl.h"

#define TOO_LARGE "a request head over its limits"

void cn_http__parse_init(struct cn_http__parse *p, const struct cn_http__limits *limits,
                         struct cn_charge *charge)
{
	*p = (struct cn_http__parse){.limits = limits, .charge = charge};
}

void cn_http__parse_done(struct cn_http__parse *p)
{
	cn_buf_done(&p->raw);
	free(p->head.fields);
	if (p->charge)
		cn_charge_release(p->charge, p->charged);
	cn_http__parse_init(p, p->limits, p->charge);
}

void cn_http__parse_reset(struct cn_http__parse *p)
{
	cn_http__parse_done(p);
}

enum cn_http__event cn_http__parse_fail(struct cn_http__parse *p, int status,
                                        const char *why)
{
	p->state = CN_PARSE_FAILED;
	p->status = status;
	p->why = why;
	return CN_HTTP_BAD;
}

/* Charges before the caller allocates; a refusal is noted. */
static bool charge(struct cn_http__parse *p, size_t n)
{
	if (p->charge && !cn_charge_take(p->charge, n)) {
		cn_http__parse_fail(p, 503, "no memory for another request");
		return false;
	}
	p->charged += n;
	return true;
}

static bool keep_raw(struct cn_http__parse *p, struct cn_view v)
{
	size_t need = p->raw.n + v.n, cap = p->raw.cap ? p->raw.cap : CN_HTTP_HEAD_STEP;

	while (cap < need)
		cap *= 2;
	if (cap > p->raw.cap) {
		if (!charge(p, cap - p->raw.cap))
			return false;
		p->raw.p = cn_realloc(p->raw.p, cap);
		p->raw.cap = cap;
	}
	cn_buf_add_view(&p->raw, v);
	return true;
}

/* RFC 9110 5.6.2: what names and methods are made of. */
static bool is_token(unsigned char ch)
{
	if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')
		return true;
	if (ch >= '0' && ch <= '9')
		return true;
	return ch && strchr("!#$%&'*+-.^_`|~", ch);
}

static bool is_value(unsigned char ch)
{
	return (ch >= 0x20 && ch != 0x7f) || ch == '\t';
}

static int bad(struct cn_http__parse *p, const char *why)
{
	cn_http__parse_fail(p, 400, why);
	return -1;
}

static int line_feed(struct cn_http__parse *p, unsigned char ch,
                     enum cn_http__parse_state next)
{
	if (ch != '\n')
		return bad(p, "a CR that no LF follows");
	p->state = next;
	return 0;
}

static int scan_line(struct cn_http__parse *p, unsigned char ch)
{
	if (ch == '\r') {
		p->state = CN_PARSE_LINE_LF;
		return 0;
	}
	if (ch < 0x20 || ch >= 0x7f)
		return bad(p, "a request line with other than visible ASCII");
	if (++p->line_n > p->limits->line) {
		cn_http__parse_fail(p, 431, TOO_LARGE);
		return -1;
	}
	p->state = CN_PARSE_LINE;
	return 0;
}

static int scan_start(struct cn_http__parse *p, unsigned char ch)
{
	/* RFC 9112 2.2: a line break before the request line is overlooked; one is. */
	if (ch != '\r')
		return scan_line(p, ch);
	if (p->started)
		return bad(p, "empty lines before a request");
	p->started = true;
	p->state = CN_PARSE_START_LF;
	return 0;
}

static int scan_field(struct cn_http__parse *p, unsigned char ch)
{
	if (ch == '\r') {
		p->state = CN_PARSE_HEAD_LF;
		return 0;
	}
	if (ch == ' ' || ch == '\t')
		return bad(p, "a folded header line");
	if (ch == ':')
		return bad(p, "a header without a name");
	if (!is_token(ch))
		return bad(p, "a header name with a byte that names do not have");
	if (++p->n_fields > p->limits->fields) {
		cn_http__parse_fail(p, 431, TOO_LARGE);
		return -1;
	}
	p->state = CN_PARSE_NAME;
	return 0;
}

/* One byte of the head; -1 when it was refused. */
static int scan(struct cn_http__parse *p, unsigned char ch)
{
	switch (p->state) {
	case CN_PARSE_START:
		return scan_start(p, ch);
	case CN_PARSE_START_LF:
		return line_feed(p, ch, CN_PARSE_START);
	case CN_PARSE_LINE:
		return scan_line(p, ch);
	case CN_PARSE_LINE_LF:
		return line_feed(p, ch, CN_PARSE_FIELD);
	case CN_PARSE_FIELD:
		return scan_field(p, ch);
	case CN_PARSE_NAME:
		if (ch == ':')
			p->state = CN_PARSE_VALUE;
		else if (!is_token(ch))
			return bad(p, "a header name with a byte that names do not have");
		return 0;
	case CN_PARSE_VALUE:
		if (ch == '\r')
			p->state = CN_PARSE_VALUE_LF;
		else if (!is_value(ch))
			return bad(p, "a header value with a control byte");
		return 0;
	case CN_PARSE_VALUE_LF:
		return line_feed(p, ch, CN_PARSE_FIELD);
	case CN_PARSE_HEAD_LF:
		return line_feed(p, ch, CN_PARSE_NO_BODY);
	case CN_PARSE_NO_BODY:
	case CN_PARSE_LENGTH:
	case CN_PARSE_CHUNKED:
	case CN_PARSE_DONE:
	case CN_PARSE_FAILED:
		break;
	}
	cn_never("a body read as a head"); /* cn_http__parse_next() sees to it */
}

static enum cn_http__event next_head(struct cn_http__parse *p, struct cn_view *in)
{
	struct cn_view v = cn_view_cut(*in, p->limits->head - p->raw.n);
	size_t i = 0;

	while (i < v.n && p->state != CN_PARSE_NO_BODY) {
		/* Most of a head is values. */
		if (p->state == CN_PARSE_VALUE && is_value((unsigned char)v.p[i]))
			i++;
		else if (scan(p, (unsigned char)v.p[i++]) < 0)
			return CN_HTTP_BAD;
	}
	*in = cn_view_from(*in, i);
	if (!keep_raw(p, cn_view_cut(v, i)))
		return CN_HTTP_BAD;
	if (p->state != CN_PARSE_NO_BODY && p->raw.n == p->limits->head)
		return cn_http__parse_fail(p, 431, TOO_LARGE);
	if (p->state != CN_PARSE_NO_BODY)
		return CN_HTTP_MORE;
	if (!charge(p, p->n_fields * sizeof(*p->head.fields)))
		return CN_HTTP_BAD;
	p->head.fields =
	    p->n_fields ? cn_zalloc(p->n_fields * sizeof(*p->head.fields)) : NULL;
	if (cn_http__head_read(p) < 0)
		return CN_HTTP_BAD;
	if (p->head.has_body)
		p->state = p->head.content_length == UINT64_MAX ? CN_PARSE_CHUNKED
		                                                : CN_PARSE_LENGTH;
	p->left = p->state == CN_PARSE_LENGTH ? p->head.content_length : 0;
	return CN_HTTP_HEAD;
}

static enum cn_http__event next_length(struct cn_http__parse *p, struct cn_view *in,
                                       struct cn_view *retbody)
{
	if (p->left == 0) {
		p->state = CN_PARSE_DONE;
		return CN_HTTP_END;
	}
	if (in->n == 0)
		return CN_HTTP_MORE;
	*retbody = cn_view_cut(*in, p->left);
	p->left -= retbody->n;
	*in = cn_view_from(*in, retbody->n);
	return CN_HTTP_BODY;
}

/* Shows llhttp what chunk.c let through; it must find exactly `body` in it. */
static int agree(struct cn_http__parse *p, struct cn_view v, struct cn_view body)
{
	enum llhttp_errno err;

	p->body = (struct cn_view){NULL, 0};
	err = v.n ? llhttp_execute(&p->llhttp, v.p, v.n) : HPE_OK;
	if (err != HPE_OK)
		return bad(p, llhttp_get_error_reason(&p->llhttp));
	if (p->body.n != body.n || (body.n && p->body.p != body.p))
		return bad(p, "a chunked body of unclear extent");
	return 0;
}

static enum cn_http__event next_chunk(struct cn_http__parse *p, struct cn_view *in,
                                      struct cn_view *retbody)
{
	const char *why = NULL;
	struct cn_view v = *in;
	size_t n;

	if (v.n && p->chunk.state == CN_CHUNK_DATA) {
		*retbody = cn_view_cut(v, p->chunk.left);
		*in = cn_view_from(v, retbody->n);
		if (agree(p, *retbody, *retbody) < 0)
			return CN_HTTP_BAD;
		p->chunk.left -= retbody->n;
		if (p->chunk.left == 0)
			p->chunk.state = CN_CHUNK_DATA_CR;
		return CN_HTTP_BODY;
	}
	n = cn_http__chunk_frame(&p->chunk, v, &why);
	*in = cn_view_from(v, n);
	if (why)
		return cn_http__parse_fail(p, 400, why);
	if (agree(p, cn_view_cut(v, n), (struct cn_view){NULL, 0}) < 0)
		return CN_HTTP_BAD;
	if (p->complete != (p->chunk.state == CN_CHUNK_END))
		return cn_http__parse_fail(p, 400, "a chunked body of unclear extent");
	if (p->complete) {
		p->state = CN_PARSE_DONE;
		return CN_HTTP_END;
	}
	return in->n ? next_chunk(p, in, retbody) : CN_HTTP_MORE;
}

enum cn_http__event cn_http__parse_next(struct cn_http__parse *p, struct cn_view *in,
                                        struct cn_view *retbody)
{
	switch (p->state) {
	case CN_PARSE_START:
	case CN_PARSE_START_LF:
	case CN_PARSE_LINE:
	case CN_PARSE_LINE_LF:
	case CN_PARSE_FIELD:
	case CN_PARSE_NAME:
	case CN_PARSE_VALUE:
	case CN_PARSE_VALUE_LF:
	case CN_PARSE_HEAD_LF:
		return in->n ? next_head(p, in) : CN_HTTP_MORE;
	case CN_PARSE_NO_BODY:
		p->state = CN_PARSE_DONE;
		return CN_HTTP_END;
	case CN_PARSE_LENGTH:
		return next_length(p, in, retbody);
	case CN_PARSE_CHUNKED:
		return in->n ? next_chunk(p, in, retbody) : CN_HTTP_MORE;
	case CN_PARSE_DONE:
		if (p->close && in->n)
			return cn_http__parse_fail(p, 400, "bytes after the last request");
		return CN_HTTP_MORE;
	case CN_PARSE_FAILED:
		break;
	}
	return CN_HTTP_BAD;
}

void cn_http__parse_skip(struct cn_http__parse *p, size_t n)
{
	cn_assert(p->state == CN_PARSE_LENGTH && n <= p->left);
	p->left -= n;
}
