/*
 * The pure half of src/http: limits, the request parser, the bytes of reply heads.  Bytes
 * in, events out, and back; no sockets, no clock, no loop.
 */
#ifndef CONTINUO_HTTP_PARSE_IMPL_H
#define CONTINUO_HTTP_PARSE_IMPL_H

#include <llhttp.h>

#include "continuo/charge.h"
#include "continuo/http.h"

/* design/security.md 7; tests shorten the times. */
struct cn_http__limits {
	size_t line;           /* bytes of a request line */
	size_t head;           /* bytes of a head, its request line included */
	size_t fields;         /* fields of a head */
	uint64_t max_body;     /* what *max_body of on_head starts from */
	uint64_t head_ms;      /* from its first byte (a new connection: from accepting) */
	uint64_t body_ms;      /* grace, and the window over which its rate is measured */
	uint64_t body_rate;    /* bytes per second */
	uint64_t idle_ms;      /* between requests */
	uint64_t idle_last_ms; /* the same, once the listener drains */
	uint64_t stall_ms;     /* output waits and the client does not read */
	uint64_t linger_ms;    /* reading on after a refusal, so that it arrives */
	uint64_t linger_bytes; /* the same, in bytes */
	uint64_t sweep_ms;     /* how often ages are looked at */
	uint64_t pause_ms;     /* accepting, after may_accept said no */
	size_t high, low;      /* output marks, bytes */
};
extern const struct cn_http__limits cn_http__defaults;

/* 2^40: no size of a peer is larger (design/security.md 6). */
#define CN_HTTP_MAX_SIZE ((uint64_t)1 << 40)
/* Bytes of extensions behind one chunk size. */
#define CN_HTTP_MAX_EXTENSION 256
/* Where a head's buffer begins to grow from: most heads fit into the second step. */
#define CN_HTTP_HEAD_STEP 1024

/* ---- chunk.c: the framing of a chunked body ---- */

enum cn_http__chunk_state {
	CN_CHUNK_SIZE_FIRST, /* a size must begin */
	CN_CHUNK_SIZE,
	CN_CHUNK_EXTENSION,
	CN_CHUNK_SIZE_LF,
	CN_CHUNK_DATA, /* `left` bytes of data follow */
	CN_CHUNK_DATA_CR,
	CN_CHUNK_DATA_LF,
	CN_CHUNK_LAST_CR, /* after the chunk of size 0: no trailers */
	CN_CHUNK_LAST_LF,
	CN_CHUNK_END
};

struct cn_http__chunk {
	enum cn_http__chunk_state state;
	uint64_t size, left;
	unsigned digits, extension; /* bytes of the current size line */
};

/*
 * Reads framing up to the next data, the end, or the end of v.  Returns how many bytes were
 * framing; on a violation *retwhy says which (constant text).
 */
size_t cn_http__chunk_frame(struct cn_http__chunk *k, struct cn_view v,
                            const char **retwhy);

/* ---- parse.c: a request from bytes ---- */

enum cn_http__event {
	CN_HTTP_MORE, /* all input is used; give more */
	CN_HTTP_HEAD, /* p->head is whole */
	CN_HTTP_BODY, /* *retbody is the next piece of it */
	CN_HTTP_END,  /* the request is whole; reset before the next one */
	CN_HTTP_BAD   /* p->status and p->why; nothing more may be parsed */
};

enum cn_http__parse_state {
	CN_PARSE_START, /* no byte of the request line yet */
	CN_PARSE_START_LF,
	CN_PARSE_LINE,
	CN_PARSE_LINE_LF,
	CN_PARSE_FIELD, /* a field or the empty line begins */
	CN_PARSE_NAME,
	CN_PARSE_VALUE,
	CN_PARSE_VALUE_LF,
	CN_PARSE_HEAD_LF,
	CN_PARSE_NO_BODY,
	CN_PARSE_LENGTH,
	CN_PARSE_CHUNKED,
	CN_PARSE_DONE,
	CN_PARSE_FAILED
};

struct cn_http__parse {
	enum cn_http__parse_state state;
	const struct cn_http__limits *limits; /* borrowed */
	struct cn_charge *charge;             /* borrowed; NULL: nothing is charged */
	size_t charged;                       /* bytes of raw and fields */
	struct cn_buf raw;                    /* the head's bytes; head points into it */
	size_t line_n;                        /* bytes of the request line */
	unsigned n_fields;                    /* seen so far */
	unsigned n_filled;                    /* of head.fields, while llhttp runs */
	bool started;                         /* a line break before the line was seen */
	bool close;                           /* the client wants no further request */
	bool http10;
	bool expects;          /* 100 Continue */
	bool complete;         /* llhttp has seen the end of the message */
	struct cn_head head;   /* fields owned; set from CN_HTTP_HEAD on */
	struct cn_view target; /* what llhttp takes for it; into raw */
	struct cn_view body;   /* what llhttp took for body in the last call */
	uint64_t left;         /* of a body with a length */
	struct cn_http__chunk chunk;
	llhttp_t llhttp;
	int status;      /* of CN_HTTP_BAD */
	const char *why; /* the same; constant text */
};

void cn_http__parse_init(struct cn_http__parse *p, const struct cn_http__limits *limits,
                         struct cn_charge *charge);
void cn_http__parse_done(struct cn_http__parse *p);
/* Frees the head and waits for the next request. */
void cn_http__parse_reset(struct cn_http__parse *p);
/* Uses bytes from the front of *in until something happened. */
enum cn_http__event cn_http__parse_next(struct cn_http__parse *p, struct cn_view *in,
                                        struct cn_view *retbody);
/* n bytes of a body with a length (n <= p->left) went past the parser to their place. */
void cn_http__parse_skip(struct cn_http__parse *p, size_t n);
/* Notes the refusal and returns CN_HTTP_BAD. */
enum cn_http__event cn_http__parse_fail(struct cn_http__parse *p, int status,
                                        const char *why);

/* ---- head.c: what a whole head says ---- */

/* Judges p->raw and fills p->head; 0, or -1 with p->status and p->why set. */
int cn_http__head_read(struct cn_http__parse *p);

/* ---- reply.c: the bytes of a reply's head ---- */

struct cn_http__reply_head {
	int status;
	const struct cn_field *fields;
	size_t n_fields;
	struct cn_view date;  /* empty: none */
	const char *trailers; /* names announced; NULL: none */
	bool has_length;      /* content-length is `length` */
	bool chunked;
	bool close;
	uint64_t length;
};

void cn_http__reply_head(struct cn_buf *out, const struct cn_http__reply_head *h);
/* One field line; a value that could break out of its line is dropped with its name. */
void cn_http__reply_field(struct cn_buf *out, const struct cn_field *f);
/* The size line of a chunk. */
void cn_http__reply_chunk(struct cn_buf *out, size_t n);
/* "Sat, 21 Nov 2026 03:46:37 GMT" of Unix seconds; locale-independent. */
#define CN_HTTP_DATE_SIZE 30
void cn_http__reply_date(char out[CN_HTTP_DATE_SIZE], uint64_t unix_s);
/* Whether a reply of that status has no body and no length. */
bool cn_http__reply_bodiless(int status);

#endif
