/* What the files of probe/ share.  Private to this folder. */
#ifndef CONTINUO_PROBE_IMPL_H
#define CONTINUO_PROBE_IMPL_H

#include "continuo/event.h"
#include "continuo/probe.h"

/* ---- suite.c ---- */

enum cn_probe_mode {
	CN_ASK_USUAL, /* as turns ask this model: policy's `stream` */
	CN_ASK_STREAM,
	CN_ASK_WHOLE,
	CN_ASK_COUNT, /* count_tokens */
};

#define CN_PROBE_REQUESTS(X)          \
	X(HELLO, "hello")             \
	X(NUMBERS, "numbers")         \
	X(WHOLE, "whole")             \
	X(SYSTEM, "system")           \
	X(LATE_SYSTEM, "late_system") \
	X(CALL, "call")               \
	X(CALL_STREAM, "call_stream") \
	X(PARALLEL, "parallel")       \
	X(FORCED, "forced")           \
	X(RESULT, "result")           \
	X(BAD_RESULT, "bad_result")   \
	X(STOP, "stop")               \
	X(CEILING, "ceiling")         \
	X(CUT, "cut")                 \
	X(PREFILL, "prefill")         \
	X(ADAPTIVE, "adaptive")       \
	X(BUDGET, "budget")           \
	X(IMAGE, "image")             \
	X(TOOL_IMAGE, "tool_image")   \
	X(COUNT, "count")             \
	X(WRONG, "wrong")             \
	X(UNKNOWN, "unknown")         \
	X(LONG, "long")               \
	X(LONG_AGAIN, "long_again")

enum cn_probe_request_name {
#define X(symbol, name) CN_PROBE_##symbol,
	CN_PROBE_REQUESTS(X)
#undef X
	CN_PROBE_N_REQUESTS
};

/* A request of the suite.  In the body @RED@ and @BLUE@ stand for base64 of a picture of
 * that colour, @LONG@ for a long text. */
struct cn_probe_request {
	const char *name;
	enum cn_probe_mode mode;
	const char *body;               /* a Messages request */
	struct cn_edit_member extra[1]; /* put in behind the encoder; no name: none */
};
extern const struct cn_probe_request cn_probe__requests[CN_PROBE_N_REQUESTS];

/* What a judge sees, and where it writes. */
struct cn_probe_look {
	struct cn_arena *arena;                /* borrowed */
	const struct cn_model *model;          /* borrowed */
	struct cn_view id;                     /* that was asked for */
	const struct cn_probe_answer *answers; /* borrowed: one a request */
	struct cn_probe_learned *learned;
	struct cn_buf *came;
};

/* When a chain relies on a check. */
enum cn_probe_need {
	CN_NEED_NEVER,
	CN_NEED_ALWAYS,
	CN_NEED_TOOLS,    /* where the policy says that the model takes tools */
	CN_NEED_STREAM,   /* … is asked for streams */
	CN_NEED_IMAGES,   /* … takes images */
	CN_NEED_THINKING, /* … thinks */
	CN_NEED_PREFILL,  /* … goes on by prefill */
};

struct cn_probe_check {
	const char *name;
	enum cn_probe_request_name request; /* the one that it is about */
	int also;                           /* another that it looks at; -1: none */
	enum cn_probe_need need;
	enum cn_probe_verdict (*judge)(struct cn_probe_look *l);
	const char *sent; /* what is asked, in a few words */
	const char *text; /* what is looked at: one sentence, no final stop */
};
extern const struct cn_probe_check cn_probe__checks[];
extern const size_t cn_probe__n_checks;

/* Whether a check is wanted: by its name, or because none was named. */
bool cn_probe__wanted(const struct cn_probe_check *c, const char *const *only, size_t n);
/* Whether any wanted check looks at the request, and the model can be asked it at all. */
bool cn_probe__asks(size_t request, const struct cn_model *m, const char *const *only,
                    size_t n);
bool cn_probe__needs(const struct cn_probe_check *c, const struct cn_model *m);
/* The request's body with its pictures and texts, in the arena. */
struct cn_view cn_probe__body(struct cn_arena *a, const struct cn_probe_request *q);

/* ---- judge*.c ---- */

/* One for each of cn_probe__checks, in any order. */
#define CN_PROBE_JUDGES(X) \
	X(answer)          \
	X(frames)          \
	X(whole)           \
	X(system)          \
	X(late_system)     \
	X(call)            \
	X(call_stream)     \
	X(parallel)        \
	X(forced)          \
	X(result)          \
	X(bad_result)      \
	X(stop)            \
	X(ceiling)         \
	X(cut)             \
	X(prefill)         \
	X(adaptive)        \
	X(budget)          \
	X(image)           \
	X(tool_image)      \
	X(usage)           \
	X(count)           \
	X(wrong)           \
	X(unknown)         \
	X(name)            \
	X(cache)           \
	X(speed)
#define X(name) enum cn_probe_verdict cn_probe__judge_##name(struct cn_probe_look *l);
CN_PROBE_JUDGES(X)
#undef X

/* What an attempt's failure says, in a few words. */
void cn_probe__add_outcome(struct cn_buf *b, const struct cn_outcome *o);
/* Quoted, on one line and shortened. */
void cn_probe__add_quote(struct cn_buf *b, struct cn_view text);
/* Whether the answer is there; else says what came in its place. */
bool cn_probe__came(struct cn_probe_look *l, const struct cn_probe_answer *a);
/* Whether the backend looked at the request and would not have it. */
bool cn_probe__refused(const struct cn_probe_answer *a);
/* Whether text holds word, letters of either case being equal. */
bool cn_probe__says(struct cn_view text, const char *word);

/* ---- hear.c ---- */

struct cn_probe_ear {
	struct cn_arena *arena;              /* borrowed */
	struct cn_probe_answer *answer;      /* borrowed: is filled */
	const struct cn_probe_opts *opts;    /* borrowed; NULL: nothing is scrubbed */
	struct cn_buf text, thinking, input; /* owned */
	bool in_call;
	uint64_t started_ms;
};
/* Forgets what was heard; the answer is empty again. */
void cn_probe__ear_begin(struct cn_probe_ear *e, struct cn_probe_answer *answer,
                         uint64_t now_ms);
void cn_probe__ear_event(struct cn_probe_ear *e, const struct cn_event *ev,
                         uint64_t now_ms);
void cn_probe__ear_end(struct cn_probe_ear *e, const struct cn_outcome *o, uint64_t now_ms);
/* A copy in the arena without secrets. */
struct cn_view cn_probe__ear_copy(struct cn_probe_ear *e, struct cn_view foreign);
void cn_probe__ear_done(struct cn_probe_ear *e);

/* ---- picture.c ---- */

/* Base64 of a PNG of one colour (0xRRGGBB), appended to b. */
void cn_probe__picture(struct cn_buf *b, unsigned colour);

#endif
