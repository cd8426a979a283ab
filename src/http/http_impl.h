/*
 * What the files of src/http share.  The parser is in parse_impl.h; conn.c is one client's
 * connection, with its input.c and output.c; listener.c is what many of them share.
 */
#ifndef CONTINUO_HTTP_IMPL_H
#define CONTINUO_HTTP_IMPL_H

#include <netinet/in.h>
#include <uv.h>

#include "continuo/http.h"
#include "continuo/list.h"

#include "parse_impl.h"

/* ---- listener.c ---- */

/* Where heads and chunked bodies are received before they are parsed. */
#define CN_HTTP_SCRATCH 65536

struct cn_listener {
	struct cn_listener_opts opts;
	struct cn_http__limits limits;
	int fd; /* owned; -1 once closed */
	bool unix_socket;
	bool draining, closing;
	uv_poll_t accept; /* readable: somebody connects */
	uv_timer_t pause; /* ends a pause of accepting */
	uv_timer_t sweep; /* runs while there are connections */
	uv_idle_t flush;  /* runs while `dirty` is not empty */
	unsigned n_handles;
	size_t n_conns;
	struct cn_list conns; /* cn_conn.link */
	struct cn_list dirty; /* cn_conn.dirty: output to send at the end of the turn */
	uint64_t date_s;      /* of `date` */
	char date[CN_HTTP_DATE_SIZE];
	void (*on_closed)(void *self);
	void *closed_self; /* borrowed */
	char scratch[CN_HTTP_SCRATCH];
};

/* For tests: replaces the limits; before the first connection. */
void cn_http__listener_limit(struct cn_listener *l, const struct cn_http__limits *limits);
/* Adds c to what the end of this loop turn sends. */
void cn_http__listener_dirty(struct cn_listener *l, struct cn_conn *c);
/* Counts a new connection and looks after its age from now on. */
void cn_http__listener_adopt(struct cn_listener *l, struct cn_conn *c);
/* A connection's handle is closed and its memory about to be freed. */
void cn_http__listener_forget(struct cn_listener *l, struct cn_conn *c);
struct cn_view cn_http__listener_date(struct cn_listener *l);

/* ---- conn.c ---- */

#define CN_CONN_STATES(X)                                                \
	X(IDLE, "no byte of a request yet")                              \
	X(HEAD, "a head arrives")                                        \
	X(BODY, "a body arrives")                                        \
	X(ANSWERING, "the handler has the request; no reply yet")        \
	X(STREAMING, "a reply was begun and has not ended")              \
	X(FLUSHING, "the reply is whole; its last bytes wait")           \
	X(LINGERING, "write side shut; what still comes is thrown away") \
	X(CLOSING, "nothing left but to let the handle close")

enum cn_conn_state {
#define X(name, meaning) CN_CONN_##name,
	CN_CONN_STATES(X)
#undef X
};

struct cn_conn {
	enum cn_conn_state state; /* written only by cn_http__conn_enter() */
	struct cn_listener *l;    /* borrowed; lives until the last connection closed */
	struct cn_list link, dirty;
	uv_poll_t poll;
	int fd;            /* owned; -1 once closed */
	int mask;          /* what is polled for */
	void *data;        /* the handler's */
	uint64_t since_ms; /* when the state was entered; BODY: when the window began */
	uint64_t window;   /* bytes of the body since then; LINGERING: bytes thrown away */
	uint64_t progress_ms; /* when the socket last took output or there was none */
	struct cn_http__parse parse;
	uint64_t max_body;
	struct cn_buf body;  /* charged by its capacity */
	size_t body_charged; /* of `body` and `ahead` */
	struct cn_buf ahead; /* bytes behind the request that is being answered */
	struct cn_buf out;   /* output; out.p + out_at is next */
	size_t out_at;
	size_t out_charged;
	bool keep;      /* another request may follow on this connection */
	bool fresh;     /* no request was read on it yet */
	bool head_only; /* the request was HEAD: no body in the reply */
	bool chunked;   /* the begun reply is */
	bool served;    /* the handler answers a request: on_gone or on_sent is owed */
	bool hush;    /* more than the request came: reading waits, only a close is seen */
	bool blocked; /* the socket takes no more output at present */
	bool told_stop; /* cn_conn_write() returned false; on_drain is owed */
	char peer[INET6_ADDRSTRLEN];
};

/* Takes over the accepted socket fd and serves it. */
void cn_http__conn_new(struct cn_listener *l, int fd, const char *peer);
/* The only writer of c->state. */
void cn_http__conn_enter(struct cn_conn *c, enum cn_conn_state next);
/* Sends what is queued and goes on from there. */
void cn_http__conn_flush(struct cn_conn *c);
/* Looks at ages. */
void cn_http__conn_sweep(struct cn_conn *c, uint64_t now_ms);
/* Teardown, from any state; memory goes in the handle's close callback. */
void cn_http__conn_close(struct cn_conn *c);
/* The client is gone; the handler hears so if it was serving it. */
void cn_http__conn_gone(struct cn_conn *c, const char *why);
/* Answers the request, or what there is of one, by a refusal, then closes. */
void cn_http__conn_refuse(struct cn_conn *c, int status, const char *why);

/* ---- input.c: a connection's bytes in ---- */

/* The socket is readable. */
void cn_http__input_read(struct cn_conn *c);
/* Parses bytes that are in hand. */
void cn_http__input_feed(struct cn_conn *c, struct cn_view in);
/* Parses what came ahead of its turn. */
void cn_http__input_resume(struct cn_conn *c);
/* Frees the body that was being received and its charge. */
void cn_http__input_drop(struct cn_conn *c);
/* Frees all that is held of input and every charge for it. */
void cn_http__input_done(struct cn_conn *c);

/* ---- output.c: a connection's bytes out ---- */

/* Sends; returns false when the connection broke. */
bool cn_http__output_send(struct cn_conn *c);
void cn_http__output_done(struct cn_conn *c);

#endif
