/*
 * The backend's side: libcurl multi on the loop, one transfer a connection, and the
 * attempt: one candidate, tried once.  Everything here runs on the thread of one loop.
 *
 * An attempt knows curl and a dialect; it never sees the client.
 */
#ifndef CONTINUO_UPSTREAM_H
#define CONTINUO_UPSTREAM_H

#include <uv.h>

#include "continuo/charge.h"
#include "continuo/classify.h"
#include "continuo/event.h"
#include "continuo/json.h"
#include "continuo/policy.h"

/* Once per process, before threads: curl with an allocator that wipes.  And at the end. */
int cn_upstream_setup(struct cn_error *reterr) CN_MUST_CHECK;
void cn_upstream_teardown(void);

/* The transfers of one worker. */
struct cn_upstreams;
struct cn_upstreams *cn_upstreams_new(uv_loop_t *loop, struct cn_charge *charge);
/*
 * Every attempt must have ended or been cancelled; never from inside an owner's callback.
 * on_closed when the handles are gone; up is freed by then.
 */
void cn_upstreams_close(struct cn_upstreams *up, void (*on_closed)(void *self), void *self);

struct cn_attempt;
struct cn_field_list;

/*
 * After a successful start there is exactly one on_end, never from inside
 * cn_attempt_start(), and nothing at all after cn_attempt_cancel().  The owner may free
 * itself in on_end: the attempt touches nothing after it.  From inside every callback any
 * attempt of the loop may be started, paused, failed or cancelled.
 */
struct cn_attempt_owner {
	/* The response head, whatever its status; once, before any event.  May be NULL. */
	void (*on_head)(void *self, const struct cn_field_list *fields);
	/*
	 * One decoded event.  Return NULL to go on, or a constant phrase to fail the
	 * attempt as malformed_stream with that reason (a held call that does not check,
	 * wrong order, …).
	 */
	const char *(*on_event)(void *self, const struct cn_event *ev);
	/* A batch of events is over: what was gathered may be written out now. */
	void (*on_idle)(void *self);
	void (*on_end)(void *self, const struct cn_outcome *outcome);
	void *self; /* borrowed */
};

/* Response fields, lower-case names. */
struct cn_field_list {
	const struct cn_upstream_field {
		struct cn_view name, value;
	} * v;
	size_t n;
};

struct cn_attempt_opts {
	const struct cn_backend *backend; /* borrowed from the policy */
	const char *path;      /* of the dialect; joined to the base, query below */
	struct cn_view query;  /* without '?'; may be empty */
	struct cn_slices body; /* borrowed until on_end or cancel */
	/* Request fields besides content-type, accept, host and the credential. */
	const struct cn_upstream_field *fields; /* borrowed for the call */
	size_t n_fields;
	/*
	 * Writes the credential: called once, inside start, with a function that takes one
	 * header field; its copy is wiped when the attempt ends.  NULL: none is sent.
	 * Returns 0 or an error (the vault refused the origin).
	 */
	int (*credential)(void *self,
	                  void (*put)(void *to, struct cn_view name, struct cn_view value),
	                  void *to, struct cn_error *reterr);
	void *credential_self;
	bool stream;   /* events are expected; else one whole Message, given as events */
	bool raw;      /* no decoding: on_raw gets the body (count_tokens) */
	bool own_body; /* for cn_answer_context */
	/* Of the request, for the decoder; borrowed until on_end or cancel. */
	struct cn_decode_hints hints;
	uint64_t output_ceiling; /* tokens, for the answer's size limit; 0: unknown */
	uint64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms;
	uint64_t progress_timeout_ms, attempt_timeout_ms;
	struct cn_attempt_owner owner;
	void (*on_raw)(void *self, struct cn_view body); /* raw only, once, before on_end */
};

/* Writes a key with put as backends of that kind want it; for `credential` above. */
void cn_upstream_put_key(enum cn_auth auth, struct cn_view secret,
                         void (*put)(void *to, struct cn_view name, struct cn_view value),
                         void *to);

int cn_attempt_start(struct cn_upstreams *up, const struct cn_attempt_opts *opts,
                     struct cn_attempt **ret, struct cn_error *reterr) CN_MUST_CHECK;
/* Stops or resumes reading from the backend; idle timers rest meanwhile. */
void cn_attempt_pause(struct cn_attempt *at, bool paused);
/* Ends it without a word; NULL is allowed; returns NULL. */
struct cn_attempt *cn_attempt_cancel(struct cn_attempt *at);
/* Ends it as a failure of that transport class: on_end follows at top level. */
void cn_attempt_fail(struct cn_attempt *at, enum cn_transport what);
uint64_t
cn_attempt_first_byte_ms(const struct cn_attempt *at); /* after start; 0: none yet */
/* All attempts of this loop fail as SLEEP: the machine slept. */
void cn_upstreams_slept(struct cn_upstreams *up);

#endif
