/* What the files of upstream/ share.  Private to this folder. */
#ifndef CONTINUO_UPSTREAM_IMPL_H
#define CONTINUO_UPSTREAM_IMPL_H

#include <curl/curl.h>

#include "continuo/list.h"
#include "continuo/sse.h"
#include "continuo/upstream.h"

#define CN_HEAD_MAX       65536 /* bytes of a response head */
#define CN_HEAD_FIELDS    128
#define CN_ERROR_BODY_MAX 65536
#define CN_ANSWER_MAX     ((size_t)64 << 20)
#define CN_LINGER_MS \
	1000 /* for the end of a body after message_stop, to keep the connection */
#define CN_EASY_KEPT 32 /* easy handles kept for the next attempts */

/* How the body of an answer is read. */
enum cn_answer_kind {
	CN_ANSWER_UNKNOWN, /* no body byte yet */
	CN_ANSWER_STREAM,
	CN_ANSWER_WHOLE, /* gathered: a Message, an error object, or raw */
	CN_ANSWER_ERROR, /* gathered up to 64 KiB: a status of 300 and above */
};

/* Why an attempt is over; decided once. */
enum cn_attempt_ending {
	CN_ENDING_NONE,
	CN_ENDING_STOPPED,   /* message_stop was seen */
	CN_ENDING_EVENT,     /* an `error` event: at->outcome holds it */
	CN_ENDING_TRANSPORT, /* at->transport says how */
	CN_ENDING_BODY,      /* the body is whole: it is judged by what it says */
};

struct cn_attempt {
	struct cn_list link;         /* in the upstreams' attempts */
	struct cn_upstreams *up;     /* borrowed */
	struct cn_attempt_opts opts; /* owner and timeouts; borrowed parts as told there */
	struct cn_arena arena;       /* owns fields, texts of the outcome */
	CURL *easy;                  /* owned; NULL once it is given back */
	struct curl_slist *head;     /* owned: request fields; wiped */
	char *url;                   /* owned */

	size_t slice, slice_at; /* how far the body was sent */

	/* The answer. */
	struct cn_answer_head answer;     /* views in arena */
	struct cn_upstream_field *fields; /* in arena */
	size_t n_fields, head_bytes;
	enum cn_answer_kind kind;
	struct cn_sse sse;
	struct cn_arena
	    event_arena;    /* of the event being decoded; emptied after each batch */
	struct cn_buf body; /* owned: gathered */
	size_t charged;
	size_t received, content;  /* bytes of body; of decoded content */
	struct cn_outcome outcome; /* ENDING_EVENT */

	uint64_t started_ms, sent_ms, byte_ms, progress_ms;
	uint64_t first_byte_ms; /* when the first byte of the body came; 0: not yet */
	uv_timer_t timer;       /* the nearest deadline */

	enum cn_attempt_ending ending;
	enum cn_transport transport;
	const char *reason; /* of our own refusal; NULL: the class's */
	CURLcode code;      /* what curl said when it was done */
	bool head_done, event_seen, delta_seen;
	bool done;               /* curl has finished with it */
	bool forbidden;          /* an address was refused */
	bool dirty;              /* events were given since the last on_idle */
	bool want_pause, paused; /* asked for; curl knows */
	bool told;               /* on_end was called: it only lingers */
	bool cancelled;          /* nobody wants to hear of it any more */
};

struct cn_upstreams {
	uv_loop_t *loop;          /* borrowed */
	struct cn_charge *charge; /* borrowed */
	CURLM *multi;             /* owned */
	uv_timer_t timer;         /* curl's own */
	uv_idle_t idle; /* runs the drain step when it was asked for outside of curl */
	struct cn_list attempts;
	CURL *kept[CN_EASY_KEPT]; /* owned */
	size_t n_kept;
	size_t handles; /* open handles, attempts' timers among them */
	bool inside;    /* a call into curl is under way */
	void (*on_closed)(void *self);
	void *closed_self;
};

/* ---- multi.c ---- */

/* Asks for a drain step at top level soon. */
void cn_upstream__schedule(struct cn_upstreams *up);
CURL *cn_upstream__easy(struct cn_upstreams *up);
/* Gives a handle back, out of the multi already; it is kept or freed. */
void cn_upstream__give_back(struct cn_upstreams *up, CURL *easy);
/* One handle of ours has closed. */
void cn_upstream__handle_closed(struct cn_upstreams *up);

/* ---- attempt.c ---- */

/* Top level: what was marked ends, what may read on does, owners hear that a batch is over.
 */
void cn_attempt__drain(struct cn_attempt *at);
/* Decides the ending, once; false when it was decided before. */
bool cn_attempt__mark(struct cn_attempt *at, enum cn_attempt_ending ending);
bool cn_attempt__fail(struct cn_attempt *at, enum cn_transport how, const char *reason);

/* ---- answer.c ---- */

size_t cn_answer__on_header(char *p, size_t size, size_t n, void *self);
size_t cn_answer__on_body(char *p, size_t size, size_t n, void *self);
bool cn_answer__on_sse(void *self, const struct cn_sse_event *sse);
/* The transfer is over for curl: decides the ending from what came. */
void cn_answer__over(struct cn_attempt *at, CURLcode code);
struct cn_outcome cn_answer__outcome(struct cn_attempt *at);

/* ---- deadline.c ---- */

void cn_deadline__arm(struct cn_attempt *at);

/* ---- connect.c ---- */

curl_socket_t cn_connect__open(void *self, curlsocktype purpose,
                               struct curl_sockaddr *addr);

#endif
