/* What the files of upstream/ share.  Private to this folder. */
#ifndef CONTINUO_UPSTREAM_IMPL_H
#define CONTINUO_UPSTREAM_IMPL_H

#include <curl/curl.h>

#include "continuo/list.h"
#include "continuo/sse.h"
#include "continuo/upstream.h"

/* Limits of design/security.md 7. */
#define CN_HEAD_MAX       ((size_t)65536) /* bytes of a response head */
#define CN_HEAD_FIELDS    ((size_t)128)
#define CN_ERROR_BODY_MAX ((size_t)65536)
#define CN_ANSWER_MAX     ((size_t)64 << 20)

/* A status of 300 and above is known: its text is waited for this long and no longer. */
#define CN_ERROR_BODY_MS 5000
/* For the end of a body after message_stop, to keep the connection. */
#define CN_LINGER_MS 1000
#define CN_EASY_KEPT 32 /* easy handles kept for the next attempts */

/* How the body of an answer is read. */
enum cn_answer_kind {
	CN_ANSWER_UNKNOWN, /* nothing but white space yet */
	CN_ANSWER_STREAM,
	CN_ANSWER_WHOLE, /* gathered: a Message, an error object, or raw */
	CN_ANSWER_ERROR, /* gathered up to 64 KiB: a status of 300 and above */
};

/* Why an attempt is over; decided once. */
enum cn_attempt_ending {
	CN_ENDING_NONE,
	CN_ENDING_BODY,      /* the body is whole: what it says decides, at top level */
	CN_ENDING_STOPPED,   /* message_stop was seen */
	CN_ENDING_JUDGED,    /* at->outcome holds it */
	CN_ENDING_TRANSPORT, /* at->transport says how */
};

struct cn_attempt {
	struct cn_list link;         /* in the upstreams' attempts */
	struct cn_list due;          /* in the upstreams' due, or alone */
	struct cn_upstreams *up;     /* borrowed */
	struct cn_attempt_opts opts; /* owner and timeouts; borrowed parts as told there */
	struct cn_arena arena;       /* owns fields, texts of the outcome */
	CURL *easy;                  /* owned; NULL once it is given back */
	struct curl_slist *head;     /* owned: request fields; wiped by the allocator */
	char *url;                   /* owned */

	size_t slice, slice_at; /* how far the body was sent */

	/* The answer. */
	struct cn_answer_head answer;     /* views in arena */
	struct cn_upstream_field *fields; /* in arena */
	size_t n_fields, room_fields, head_bytes;
	enum cn_answer_kind kind;
	struct cn_sse sse;
	struct cn_decoder *decoder;  /* owned; NULL: raw */
	struct cn_arena event_arena; /* of the events being decoded; emptied each time */
	struct cn_buf body;          /* owned: gathered */
	size_t charged;
	size_t received, content;  /* bytes of body; of decoded content */
	struct cn_outcome outcome; /* ENDING_JUDGED */

	/* Monotonic; 0: not yet.  A pause moves all but the first of them. */
	uint64_t started_ms, sent_ms, head_ms, byte_ms, progress_ms, paused_ms;
	uint64_t first_byte_ms; /* after the start; 0: none yet */
	uint64_t armed_ms;      /* what the timer waits for */
	uv_timer_t timer;       /* the nearest deadline */

	enum cn_attempt_ending ending;
	enum cn_transport transport;
	const char *reason; /* of our own refusal; NULL: the class's */
	bool added;         /* curl has it */
	bool done;          /* curl has finished with it */
	bool in_head;       /* behind a status line, before its empty line */
	bool head_done, event_seen, delta_seen;
	bool proxied;            /* an address is the proxy's, not the backend's */
	bool forbidden;          /* an address was refused */
	bool dirty;              /* events were given since the last on_idle */
	bool want_pause, paused; /* asked for; curl knows */
	bool told;               /* on_end was called: it only lingers */
	bool cancelled;          /* nobody wants to hear of it any more */
};

struct cn_watch;

struct cn_upstreams {
	uv_loop_t *loop;          /* borrowed */
	struct cn_charge *charge; /* borrowed */
	CURLM *multi;             /* owned */
	uv_timer_t timer;         /* curl's own */
	uv_idle_t idle; /* runs the drain step when it was asked for outside of curl */
	struct cn_list attempts;
	struct cn_list due;        /* attempts that the drain step has to look at */
	struct cn_watch **watches; /* owned; by descriptor */
	size_t n_watches;
	CURL *kept[CN_EASY_KEPT]; /* owned */
	size_t n_kept;
	size_t handles;   /* open handles, attempts' timers and watches among them */
	uint64_t woke_ms; /* the end of the last sleep; 0: never slept */
	bool inside;      /* a call into curl is under way */
	bool draining;    /* the drain step is under way */
	void (*on_closed)(void *self);
	void *closed_self; /* borrowed */
};

/* Whether bytes of the answer are still taken: up to the end, and behind message_stop. */
static inline bool cn_attempt__reads(const struct cn_attempt *at)
{
	return !at->cancelled &&
	       (at->ending == CN_ENDING_NONE || at->ending == CN_ENDING_STOPPED);
}

/* ---- multi.c ---- */

/* The drain step looks at it: at once when one is coming anyway, else soon. */
void cn_upstream__due(struct cn_attempt *at);
/* After a call into curl, at top level: ends what was marked. */
void cn_upstream__act(struct cn_upstreams *up, curl_socket_t fd, int events);
CURL *cn_upstream__easy(struct cn_upstreams *up);
/* Gives a handle back, out of the multi already; it is kept or freed. */
void cn_upstream__give_back(struct cn_upstreams *up, CURL *easy);
/* One handle of ours has closed. */
void cn_upstream__handle_closed(struct cn_upstreams *up);

/* ---- watch.c ---- */

/* A socket that we opened: its poll stays registered between requests. */
void cn_watch__add(struct cn_upstreams *up, curl_socket_t fd);
/* What libcurl closed without a word. */
void cn_watch__drop_all(struct cn_upstreams *up);
int cn_watch__on_socket(CURL *easy, curl_socket_t fd, int what, void *self,
                        void *socket_self);
int cn_watch__on_close(void *self, curl_socket_t fd);

/* ---- attempt.c ---- */

/* Top level: what was marked ends, what may read on does, owners hear that a batch is over.
 */
void cn_attempt__drain(struct cn_attempt *at);
/* Decides the ending, once; false when it was decided before. */
bool cn_attempt__mark(struct cn_attempt *at, enum cn_attempt_ending ending);
bool cn_attempt__fail(struct cn_attempt *at, enum cn_transport how, const char *reason);

/* ---- request.c ---- */

/* cn_attempt_opts.credential writes with it; self is the attempt. */
void cn_request__put(void *self, struct cn_view name, struct cn_view value);
/* The fields besides the credential. */
void cn_request__add_fields(struct cn_attempt *at);
/* Everything curl is told, on a fresh easy handle. */
void cn_request__set_options(struct cn_attempt *at);

/* ---- head.c ---- */

size_t cn_head__on_line(char *p, size_t size, size_t n, void *self);

/* ---- answer.c ---- */

size_t cn_answer__on_body(char *p, size_t size, size_t n, void *self);
bool cn_answer__on_sse(void *self, const struct cn_sse_event *sse);
/* What the backend makes us hold is charged; false (and failed) when that is too much. */
bool cn_answer__charge(struct cn_attempt *at);
/* One decoded event, of the decoder; self is the attempt. */
bool cn_answer__on_event(void *self, const struct cn_event *ev);
/* The transfer is over for curl: decides the ending from what came. */
void cn_answer__over(struct cn_attempt *at, CURLcode code);

/* ---- verdict.c ---- */

struct cn_answer_context cn_verdict__context(const struct cn_attempt *at);
/* ENDING_BODY becomes another ending; the body's events are told.  Top level. */
void cn_verdict__read_body(struct cn_attempt *at);
struct cn_outcome cn_verdict__outcome(struct cn_attempt *at);

/* ---- deadline.c ---- */

/* After anything that may have brought the nearest deadline closer. */
void cn_deadline__arm(struct cn_attempt *at);

/* ---- connect.c ---- */

curl_socket_t cn_connect__open(void *self, curlsocktype purpose,
                               struct curl_sockaddr *addr);

/* ---- memory.c ---- */

/* curl with an allocator that wipes. */
CURLcode cn_memory__init_curl(void);

#endif
