/*
 * A provider and a client that follow scripts: what `continuo demo` shows itself with, and
 * what the tests break the protocol with.  Raw bytes on real sockets; knows nothing of the
 * router.
 */
#ifndef CONTINUO_DEMO_H
#define CONTINUO_DEMO_H

#include <uv.h>

#include "continuo/arena.h"

/* ---- script.c: what a scripted backend does with one request ---- */

/*
 * symbol, word in scripts, what it does.  PLACE in the answer's stream: N bytes, or
 * events=N; with `wait` what comes after it waits for a `go`.  The answer is in the format
 * of the path that was asked: Messages, or Chat Completions.
 */
#define CN_STEPS(X)                                                                       \
	X(OK, "ok", "answers the task")                                                   \
	X(STATUS, "status", "an error: status N [retry-after=N] [type=T] [message=TEXT]") \
	X(REFUSE, "refuse", "refuses connections until another backend was asked")        \
	X(HANG, "hang", "reads the request and says nothing")                             \
	X(SILENT, "silent", "sends a head and then nothing")                              \
	X(PINGS, "pings", "[PLACE]: from there on nothing but pings, for ever")           \
	X(ERROR_BODY, "error-body", "200 with an error object: error-body [type=T]")      \
	X(HTML, "html", "200 with a web page")                                            \
	X(NOTHING, "nothing", "200 with an empty body")                                   \
	X(RESET, "reset", "resets the connection before a head")                          \
	X(CLOSE, "close", "closes the connection before a head")                          \
	X(ERROR_EVENT, "error-event", "an error event after the first or PLACE [type=T]") \
	X(END_EARLY, "end-early", "ends cleanly after the first event or PLACE")          \
	X(CUT_FIN, "cut-fin", "PLACE: closes there")                                      \
	X(CUT_RST, "cut-rst", "PLACE: resets there")                                      \
	X(CUT_CLEAN, "cut-clean", "PLACE: ends the body properly")                        \
	X(CUT_ERROR, "cut-error", "PLACE, after a whole event: an error event [type=T]")  \
	X(STALL, "stall", "PLACE: falls silent")                                          \
	X(PAUSE, "pause", "PLACE: the rest waits for a `go`")                             \
	X(TRICKLE, "trickle", "one byte at a time")                                       \
	X(GARBAGE, "garbage", "after the first event or PLACE one that is no JSON")       \
	X(DUPLICATE, "duplicate", "events=N: that event twice")                           \
	X(LOSE, "lose", "events=N: all but that event")                                   \
	X(REDIRECT, "redirect", "307 to itself")                                          \
	X(ENCODED, "encoded", "claims a content-encoding")                                \
	X(NO_NAMES, "no-names", "no event: lines")                                        \
	X(CRLF, "crlf", "CRLF line ends and no space after the colon")                    \
	X(WHOLE, "whole", "one JSON message although a stream was asked for")             \
	X(BAD_TOOL, "bad-tool", "a tool call whose input is cut off")                     \
	X(UNKNOWN_TOOL, "unknown-tool", "a call of a tool that was not declared")         \
	X(NO_STOP, "no-stop", "everything but message_stop")                              \
	X(REFUSAL, "refusal", "stop_reason refusal")                                      \
	X(EMPTY_END, "empty-end", "end_turn without content")                             \
	X(THINKING, "thinking", "thinks for N ms before it answers")                      \
	X(BIG_HEAD, "big-head", "a response head of 70 KiB")                              \
	X(DELAY, "delay", "answers after N ms")                                           \
	X(FILE, "file", "plays a recorded answer: file PATH")

/* How a model goes on with an answer that broke off: way=WORD on any step. */
#define CN_WAYS(X)                                                       \
	X(EXACT, "exact", "repeats the last words, as it was asked to")  \
	X(QUOTES, "quotes", "repeats them with other quotes and spaces") \
	X(LONGER, "longer", "repeats more than that")                    \
	X(RESTART, "restart", "says all of it again")                    \
	X(INTRO, "intro", "says that it continues first")                \
	X(IGNORES, "ignores", "says something else")                     \
	X(TOOL, "tool", "goes straight to the tool call")                \
	X(ANNOUNCES, "announces", "says what it will do, and ends")      \
	X(FLOOD, "flood", "repeats the last words two thousand times")

enum cn_way {
#define X(symbol, word, text) CN_WAY_##symbol,
	CN_WAYS(X)
#undef X
};

/* How calls are written in the Chat Completions format: calls=WORD on any step. */
#define CN_CALL_FORMS(X)                                                     \
	X(SPLIT, "split", "the name first, then the arguments in pieces")    \
	X(WHOLE, "whole", "each in one chunk")                               \
	X(OBJECT, "object", "each in one chunk, its arguments an object")    \
	X(NO_ID, "no-id", "without ids")                                     \
	X(NO_INDEX, "no-index", "each in one chunk, without an index")       \
	X(SAME_INDEX, "same-index", "each in one chunk, all with index 0")   \
	X(BLANK, "blank", "pieces repeat an empty id and an empty name")     \
	X(REPEATED, "repeated", "all arguments once more behind the pieces") \
	X(LAST, "last", "all in the chunk that says why the answer ended")   \
	X(STOP, "stop", "and the answer says that it stopped by itself")

enum cn_call_form {
#define X(symbol, word, text) CN_CALLS_##symbol,
	CN_CALL_FORMS(X)
#undef X
};

/* Where thinking stands in the Chat Completions format: reasoning=WORD on any step. */
#define CN_REASONINGS(X)                                              \
	X(CONTENT, "reasoning_content", "in delta.reasoning_content") \
	X(PLAIN, "reasoning", "in delta.reasoning")                   \
	X(BOTH, "both", "in both of them")                            \
	X(DETAILS, "reasoning_details", "in delta.reasoning_details") \
	X(TAGS, "tags", "in the text, as <think>")                    \
	X(PARTS, "parts", "as parts of delta.content")

enum cn_reasoning {
#define X(symbol, word, text) CN_REASONING_##symbol,
	CN_REASONINGS(X)
#undef X
};

enum cn_step_kind {
#define X(symbol, word, text) CN_STEP_##symbol,
	CN_STEPS(X)
#undef X
};

struct cn_step {
	enum cn_step_kind kind;
	uint64_t n;           /* status, bytes or milliseconds */
	uint64_t events;      /* a place by events; 0: by bytes */
	uint64_t retry_after; /* seconds; 0: none */
	struct cn_view type;  /* error type; empty: by the status */
	struct cn_view field; /* NAME:VALUE of the head; empty: none */
	struct cn_view message, path;
	struct cn_view body; /* of an error, instead of ours; empty: none */
	enum cn_way way;
	enum cn_call_form calls;
	enum cn_reasoning reasoning;
	uint64_t times; /* UINT64_MAX: always */
	bool held;      /* the whole answer waits for a `go` */
	bool wait;      /* what comes after the place does */
	bool thinking;  /* the answer begins with a thinking block */
};
const char *cn_step_word(enum cn_step_kind kind);

/*
 * "3*ok; status 529 retry-after=2; hold ok; always hang": steps parted by ';' or line ends,
 * `N*` or `always` before one, and `hold` when it waits for a `go`.  Each may have
 * field=NAME:VALUE (of its head, without blanks) and `thinking`; message=TEXT or body=TEXT
 * of an error takes the rest of its step.  Views borrow from text.  CN_E_INVALID with the
 * step that is wrong.
 */
int cn_script_parse(struct cn_arena *a, struct cn_view text, struct cn_step **ret,
                    size_t *retn, struct cn_error *reterr) CN_MUST_CHECK;

/* ---- task.c: the answer to one request of the task ---- */

/*
 * The task is told in the prompt: "CONTINUO-TASK steps=N dir=PATH [words=N] [calls=N]
 * [think=1] [agents=N]".  The answer to a request with i tool results is the call of Write
 * for step i+1 (calls of them at once), or the final text after the last; words makes the
 * text longer, think begins with thinking; with agents the calls are of Agent, all at once,
 * and each gets a task of so many steps in PATH/agent-I; a request without tools or without
 * the task gets a short text.  What the request alone says decides, so that any model can
 * go on from any other's work: also from an answer of which only the beginning was given.
 */
struct cn_task_answer {
	struct cn_view text;    /* in arena; empty: none */
	struct cn_view tool;    /* name; empty: no call */
	struct cn_view *inputs; /* in arena: JSON, one a call */
	size_t n_inputs;
	bool thinks, goes_on; /* goes_on: it was asked to continue */
	bool stream, usage;   /* usage: a stream in the Chat format is asked for figures */
	struct cn_view model;
};
/* false when body is a request of neither format. */
bool cn_task_answer(struct cn_arena *a, struct cn_view body, enum cn_way way,
                    struct cn_task_answer *ret);
/* How an answer is spoiled on purpose. */
struct cn_task_spoil {
	bool bad_tool, unknown_tool, no_stop, refusal, empty, no_names, crlf;
	bool thinking; /* a thinking block first */
	enum cn_call_form calls;
	enum cn_reasoning reasoning;
};
/* The stream's bytes, or the whole Message. */
void cn_task_stream(struct cn_buf *b, const struct cn_task_answer *t,
                    const struct cn_task_spoil *spoil);
void cn_task_message(struct cn_buf *b, const struct cn_task_answer *t);

/* ---- chat.c: the same answer in the Chat Completions format ---- */

void cn_chat_stream(struct cn_buf *b, const struct cn_task_answer *t,
                    const struct cn_task_spoil *spoil);
void cn_chat_completion(struct cn_buf *b, const struct cn_task_answer *t,
                        const struct cn_task_spoil *spoil);

/* ---- provider.c: the backends ---- */

struct cn_provider;
struct cn_provider_opts {
	uv_loop_t *loop;
	/* Each request as it is answered, for a log; may be NULL. */
	void (*on_request)(void *self, const char *backend, size_t n, const char *step,
	                   struct cn_view head, struct cn_view body);
	/* What is wrong with a request to backend, into ret of n bytes; false: nothing. May
	 * be NULL. What it finds wrong is answered with a 400 that says so, whatever the
	 * script says.
	 */
	bool (*breach)(void *self, const char *backend, struct cn_view head,
	               struct cn_view body, char *ret, size_t n);
	void *self;
};
struct cn_provider *cn_provider_new(const struct cn_provider_opts *opts);
/* A backend of that name on a free port of 127.0.0.1, following the script, then `ok`. */
int cn_provider_add(struct cn_provider *p, const char *name, struct cn_view script,
                    unsigned *retport, struct cn_error *reterr) CN_MUST_CHECK;
/* Another script from the next request on. */
int cn_provider_script(struct cn_provider *p, const char *name, struct cn_view script,
                       struct cn_error *reterr) CN_MUST_CHECK;
/* Lets the answer of the backend that waits longest go on, or the next that would wait. */
int cn_provider_go(struct cn_provider *p, const char *name,
                   struct cn_error *reterr) CN_MUST_CHECK;
/* Closes everything; p is freed when the loop has run the close callbacks. */
void cn_provider_close(struct cn_provider *p);

/* ---- client.c: a client that believes nothing ---- */

/* One turn as the client saw it. */
struct cn_demo_turn {
	int status;         /* 0: no answer at all */
	char used[160];     /* x-model-used */
	char attempts[600]; /* x-continuo-attempts */
	char stop_reason[40];
	char wrong[480]; /* "" or how the answer broke the promise of a well-formed one */
	uint64_t first_byte_ms, took_ms;
	bool tool; /* it asked for a tool */
	/* The last joint: who went on, after which words, how long after what came before.
	 */
	char joined[160]; /* empty: nobody had to */
	char after[64];
	uint64_t joint_ms;
	unsigned joints;
};
/* A conversation: messages gather in it. */
struct cn_demo_client {
	const char *host;
	unsigned port;
	const char *token;
	struct cn_buf messages;  /* owned: the array's elements */
	struct cn_arena arena;   /* owns ids seen */
	struct cn_view ids[256]; /* message and tool ids of the whole conversation */
	size_t n_ids;
	unsigned steps, turns; /* of the task; whole so far */
	char session[40];
};
void cn_demo_client_init(struct cn_demo_client *c, const char *host, unsigned port,
                         const char *token, unsigned steps, const char *dir);
void cn_demo_client_done(struct cn_demo_client *c);
/*
 * Sends the conversation, reads the answer strictly, adds it and the (pretended) result of
 * its call.  Blocks; at most timeout_ms.  True when the answer was whole.
 */
bool cn_demo_client_turn(struct cn_demo_client *c, uint64_t timeout_ms,
                         struct cn_demo_turn *ret);

#endif
