/*
 * The client's side of HTTP/1.1: accept, parse strictly, answer (design/security.md 5 to
 * 7). Knows nothing of models.  Everything here runs on the thread of one loop.
 *
 * A connection carries one request at a time.  The handler is asked about the head before a
 * byte of body is read, gets the whole body, and answers with one of: a whole reply; or a
 * begun one, written in pieces and ended (or broken off).  Pipelined bytes wait.
 */
#ifndef CONTINUO_HTTP_H
#define CONTINUO_HTTP_H

#include <uv.h>

#include "continuo/buf.h"
#include "continuo/charge.h"

struct cn_conn;

struct cn_field {
	struct cn_view name, value; /* name in lower case; value trimmed */
};

struct cn_head {
	struct cn_view method; /* "POST" */
	struct cn_view
	    path; /* before '?', checked: origin-form, no %2f %2e, no "//" or ".." */
	struct cn_view query; /* after '?', may be empty */
	struct cn_field *fields;
	size_t n_fields;
	bool has_body;           /* Content-Length > 0 or chunked */
	uint64_t content_length; /* UINT64_MAX when chunked */
	bool trailers;           /* TE: trailers */
	struct cn_view peer;     /* "127.0.0.1" or "unix" */
};
/* The value of the only or first field of that lower-case name; p NULL without one. */
struct cn_view cn_head_get(const struct cn_head *h, const char *name);
/* How many fields of that name. */
size_t cn_head_count(const struct cn_head *h, const char *name);

/* A whole reply: what on_head and cn_conn_reply() take. */
struct cn_reply {
	int status;
	struct cn_field
	    *fields; /* borrowed for the call; content-length and date are added */
	size_t n_fields;
	struct cn_view body; /* borrowed for the call */
	bool close;          /* end the connection after it */
};

struct cn_conn_handler {
	/*
	 * The head is complete.  Return true to read the body (at most *max_body bytes,
	 * which starts at 40 MiB; over it on_refused is asked for a 413) or false after
	 * having called cn_conn_reply(): the connection then closes without reading a body.
	 * head stays readable until the reply is over or on_close.
	 */
	bool (*on_head)(void *self, struct cn_conn *c, const struct cn_head *head,
	                uint64_t *max_body);
	/* The request is whole.  body is given away (may be empty); it stays charged until
	 * the receiver calls cn_conn_release_body() with its size or, once the connection
	 * is over, releases as much from the listener's charge itself. */
	void (*on_request)(void *self, struct cn_conn *c, const struct cn_head *head,
	                   struct cn_buf body);
	/*
	 * Calls cn_conn_reply() for what the connection refuses by itself: 400, 408, 413,
	 * 431, 503; why is constant text.  The connection closes after it.  There may have
	 * been an on_head before (then no on_request follows) or none.
	 */
	void (*on_refused)(void *self, struct cn_conn *c, int status, const char *why);
	/* May be NULL.  The socket took the last byte of the reply to an on_request. */
	void (*on_sent)(void *self, struct cn_conn *c);
	/* Output fell below the low mark after cn_conn_write() had said to stop. */
	void (*on_drain)(void *self, struct cn_conn *c);
	/*
	 * The client is gone (closed or half-closed, reset, not reading for 120 s, the
	 * listener closes) while a request was being answered, its last byte included; why
	 * is constant text.  The connection must not be touched after it, but for
	 * cn_conn_data() and cn_conn_set_data() before on_close.
	 */
	void (*on_gone)(void *self, struct cn_conn *c, const char *why);
	/* The connection is over, whatever happened; frees what self kept for it. */
	void (*on_close)(void *self, struct cn_conn *c);
	void *self; /* borrowed */
};

struct cn_listener_opts {
	uv_loop_t *loop;
	struct cn_conn_handler handler;
	struct cn_charge *charge; /* borrowed: bodies and output are charged to it */
	unsigned max_connections; /* of this listener; over it accepting pauses */
	/* Asked before each accept: false pauses for 100 ms (descriptors, shared limits).
	 */
	bool (*may_accept)(void *self);
	void (*on_count)(void *self, int change); /* +1 opened, -1 closed */
};

/*
 * Watches a listening socket (a duplicate that it owns once this succeeded) and serves what
 * it accepts.  On a Unix socket only processes of our own user are let in.
 */
struct cn_listener;
int cn_listener_open(const struct cn_listener_opts *opts, int fd, bool unix_socket,
                     struct cn_listener **ret, struct cn_error *reterr) CN_MUST_CHECK;
/*
 * Stops accepting; open connections go on, with `connection: close` on their next reply.
 * Those that are idle for a second are closed.
 */
void cn_listener_drain(struct cn_listener *l);
size_t cn_listener_connections(const struct cn_listener *l);
/* Whether a client still has to take bytes of a reply. */
bool cn_listener_sending(const struct cn_listener *l);
/* Closes everything, with on_gone and on_close as if all clients left; on_closed runs when
 * the last handle is gone, and l is freed then. */
void cn_listener_close(struct cn_listener *l, void (*on_closed)(void *self), void *self);

/*
 * Binds and listens: "host" and port (0: a free one), or a Unix socket path (0600; a stale
 * one is replaced, a live one is CN_E_BUSY).  *retport is the real port.
 */
int cn_listen_tcp(const char *host, unsigned port, int *retfd, unsigned *retport,
                  struct cn_error *reterr) CN_MUST_CHECK;
int cn_listen_unix(const char *path, int *retfd, struct cn_error *reterr) CN_MUST_CHECK;
/* Sockets handed over by LISTEN_FDS/LISTEN_PID; n of them from descriptor 3. */
size_t cn_listen_inherited(void);

/*
 * ---- answering; c is borrowed until on_gone or on_close ----
 * No callback runs from inside these.  A field whose value has a control byte is left out;
 * a name that is not a token, or one of the fields that frame the message, is a bug.
 */

void cn_conn_reply(struct cn_conn *c, const struct cn_reply *r);
/* Starts a chunked reply; trailer_names (may be NULL) is announced in `trailer:`. */
void cn_conn_begin(struct cn_conn *c, int status, const struct cn_field *fields, size_t n,
                   const char *trailer_names);
/*
 * Queues bytes as one chunk; they leave at the end of the loop turn, together.  Returns
 * false when the output is over its high mark (256 KiB): on_drain says when to go on.  The
 * bytes are queued all the same.
 */
bool cn_conn_write(struct cn_conn *c, struct cn_view bytes);
/* Ends a begun reply; trailers may be empty. */
void cn_conn_end(struct cn_conn *c, const struct cn_field *trailers, size_t n);
/*
 * Breaks a begun reply off without its end, so that the client sees a failure; also closes
 * any other connection.  No on_gone follows; on_close does, later.
 */
void cn_conn_abort(struct cn_conn *c);
/* Bytes queued and not yet taken by the socket. */
size_t cn_conn_pending(const struct cn_conn *c);
/* Ends the charge for n bytes of a body that was given away. */
void cn_conn_release_body(struct cn_conn *c, size_t n);
/* The handler's own pointer for this connection (a turn, say). */
void cn_conn_set_data(struct cn_conn *c, void *data);
void *cn_conn_data(const struct cn_conn *c);

#endif
