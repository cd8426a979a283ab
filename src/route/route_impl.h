/*
 * What the files of route/ share: the pattern matcher and its tables, the reading of error
 * bodies, cooldown lengths, breakers and retry budgets.  Private to this folder.
 */
#ifndef CONTINUO_ROUTE_IMPL_H
#define CONTINUO_ROUTE_IMPL_H

#include "continuo/classify.h"
#include "continuo/plan.h"

#define CN_DAY_MS          86400000u /* no wait that a provider names is longer */
#define CN_TRIES           2u        /* of one candidate in one turn */
#define CN_EXTRA_ATTEMPTS  2u        /* of one turn beyond its candidates (security 8) */
#define CN_LEASE_MS        60000u    /* of a half-open place */
#define CN_RELOOK_MS       1000u     /* a waiting turn looks at a leased place this often */
#define CN_ERROR_TEXT      8192u     /* bytes of an error body that patterns see */
#define CN_FIT_MIN_TOKENS  1024u     /* less than this is not worth a resend */
#define CN_ESTIMATE_EXCESS 4u        /* estimates are up to a quarter too high */

/* ---- patterns.c: the matcher ---- */

/* The numbers that '#' stood for. */
struct cn_numbers {
	uint64_t v[4];
	size_t n;
};

/*
 * Whether pattern occurs in text, which is lower case.  A pattern is alternatives separated
 * by '|'; each is parts that must all occur, in any order, separated by '&'.  In a part:
 *   *  any run of bytes       ~  at most 80 bytes       #  1 to 19 digits
 *   ?  any one byte           _  a space, '_' or '-'    { }  start and end of a word
 * Numbers (may be NULL) are those of the alternative that matched.  Linear in text.
 */
bool cn_pattern__match(const char *pattern, struct cn_view text,
                       struct cn_numbers *retnumbers);

/* ---- rules.c: the tables of fallback-rules.md 2 ---- */

/* Which answers a rule is for. */
enum {
	CN_ON_NONE = 1u << 0, /* an error inside a 200 or a stream that names no status */
	CN_ON_400 = 1u << 1,
	CN_ON_402 = 1u << 2,
	CN_ON_403 = 1u << 3,
	CN_ON_404 = 1u << 4,
	CN_ON_413 = 1u << 5,
	CN_ON_422 = 1u << 6,
	CN_ON_429 = 1u << 7,
	CN_ON_500 = 1u << 8, /* and 502 */
	CN_ON_503 = 1u << 9,
	CN_ON_HTML = 1u << 10, /* no JSON: a page of somebody in between */
	CN_ON_HTML_413 = 1u << 11
};

/* What a rule asks for besides its class. */
enum {
	CN_DO_END_OWN = 1u << 0,   /* the client's own body: nobody else is asked */
	CN_DO_END = 1u << 1,       /* nobody else is asked */
	CN_DO_NO_REPAIR = 1u << 2, /* with the client's own body */
	CN_DO_LOADING = 1u << 3,   /* no cooldown; local backends are waited for */
	CN_DO_TPM = 1u << 4, /* holds only when more was requested than the limit is */
	CN_DO_VETO = 1u << 5 /* unless it is about limits on time */
};

struct cn_rule {
	unsigned on;
	const char *pattern;
	const char *unless; /* a pattern that must not match; NULL */
	enum cn_class class;
	enum cn_scope scope;
	enum cn_repair repair;
	unsigned todo; /* CN_DO_* */
	const char *reason;
};

/* The first rule for an answer of that kind whose pattern matches; NULL without one. */
const struct cn_rule *cn_rule__find(unsigned on, struct cn_view text);
/* What a status means when no text says more; every status has an answer. */
const struct cn_rule *cn_rule__status(int status);
/*
 * What a provider's own code means: of the four-digit strings in error.code, or of
 * base_resp.status_code; NULL for others.
 */
const struct cn_rule *cn_rule__code(uint64_t code, bool base_resp);
/* The status that such a code stands for when the text has to say more; 0: none. */
int cn_rule__code_status(uint64_t code, bool base_resp);
/* The HTTP status that an error.type or error.code of a stream stands for; 0: none. */
int cn_rule__type_status(struct cn_view type);

/* ---- complaint.c: an error body read ---- */

struct cn_complaint {
	bool json;              /* the body is JSON */
	bool html;              /* a page */
	bool is_error;          /* JSON that says it is an error */
	bool base_resp;         /* number is of base_resp */
	bool own_code;          /* number is a string of four digits in error.code */
	struct cn_view message; /* as sent; views in the arena or the body */
	struct cn_view type, code, param;
	uint64_t number;     /* integer error.code or a string of digits; 0: none */
	uint64_t window;     /* n_ctx; 0: none */
	struct cn_view text; /* everything patterns look at, lower case, in arena */
};

void cn_complaint__read(struct cn_arena *a, struct cn_view content_type,
                        struct cn_view body, struct cn_complaint *ret);
/* The same from words that came without a body. */
void cn_complaint__say(struct cn_arena *a, struct cn_view type, struct cn_view message,
                       struct cn_complaint *ret);

/* ---- learn.c ---- */

struct cn_lessons;
/* What a refusal says about the candidate's model; *l is made when there is something. */
void cn_lessons__learn(struct cn_lessons **l, const struct cn_candidate *c,
                       const struct cn_outcome *o);
struct cn_learned cn_lessons__of(struct cn_lessons *l, const struct cn_candidate *c);

/* ---- findings.c ---- */

struct cn_findings;
/* Forgets those of one backend or model; name empty: all. */
void cn_findings__forget(struct cn_findings *l, struct cn_view name);

/* ---- hint.c: what else a text tells ---- */

/* How long to wait from a text; 0: it does not say.  utc_offset_ms: of dates without one.
 */
uint64_t cn_hint__wait_text(struct cn_view text, uint64_t wall_ms, uint64_t utc_offset_ms);
/* How long to wait from a header value: retry-after, or x-ratelimit-reset-*. */
uint64_t cn_hint__retry_after(struct cn_view value, uint64_t wall_ms);
uint64_t cn_hint__retry_after_ms(struct cn_view value);
uint64_t cn_hint__reset(struct cn_view value, uint64_t wall_ms);
/* The output ceiling that a text names; 0: none. */
uint64_t cn_hint__ceiling(struct cn_view text);
/* The window that a text names (0: none), and the largest max_tokens that would fit in it.
 */
uint64_t cn_hint__window(struct cn_view text, uint64_t *retfit);
/* Whether a text says that more tokens were requested than a minute's limit allows. */
bool cn_hint__over_limit(struct cn_view text);
/* The top-level request member or beta value that a complaint names; empty: none that may
 * go. */
struct cn_view cn_hint__field(const struct cn_complaint *c);

/* ---- fit.c ---- */

/* The model's window, of the policy or as it said itself; 0: not known. */
uint64_t cn_fit__window(const struct cn_model *m, const struct cn_health *h);
/* Why the model cannot take the request; NULL: it can.  *retsize: for its size. */
const char *cn_fit__reason(const struct cn_model *m, const struct cn_request *r,
                           uint64_t window, bool within_error, bool *retsize);

/* ---- plan.c ---- */

struct cn_plan_order {
	uint64_t turn_number;
	bool within_error; /* see cn_fit__reason() */
};

/* ---- cooldown.c ---- */

/* Chance as an argument: a number below n, uniform. */
typedef uint64_t (*cn_chance_fn)(void *self, uint64_t n);

struct cn_cooldown_rule {
	enum cn_scope scope; /* when the outcome names none */
	uint32_t base_ms;    /* 0: nothing cools down */
	uint32_t max_ms;     /* > base: doubles with each in a row */
	bool named;          /* a time that the provider names goes before */
	bool second;         /* only the second within 5 min counts */
	bool renewed;        /* ends when a key or the policy changes */
};
const struct cn_cooldown_rule *cn_cooldown__rule(enum cn_class class);
/* The length of the n-th (from 1) in a row; local: a backend on this machine or network. */
uint64_t cn_cooldown__length(const struct cn_outcome *o, unsigned n, bool local,
                             cn_chance_fn chance, void *self);

/* ---- breaker.c ---- */

struct cn_breaker {
	uint32_t ring; /* the last 20, newest lowest, 1: failed */
	unsigned seen; /* in the ring */
	unsigned row;  /* failures in a row */
	unsigned openings;
	uint64_t open_until_ms; /* 0: closed */
	enum cn_class because;
};
/* At which of the three levels a failure counts: KEY_MODEL, ACCOUNT, BACKEND; NONE: at
 * none. */
enum cn_scope cn_breaker__level(enum cn_class class);
void cn_breaker__fail(struct cn_breaker *b, enum cn_class because, uint64_t now_ms);
void cn_breaker__succeed(struct cn_breaker *b);

/* ---- budget.c: retries of one backend ---- */

#define CN_RETRY_WINDOW 10u /* seconds */

struct cn_retries {
	unsigned active;                  /* attempts in flight */
	unsigned second[CN_RETRY_WINDOW]; /* retries begun in each of the last seconds */
	uint64_t last_s;
	unsigned spent; /* of the bucket, in tenths of a token */
};
enum cn_retry {
	CN_RETRY_MAY,
	CN_RETRY_LATER, /* too many just now */
	CN_RETRY_NEVER, /* the backend has failed too often of late */
};
enum cn_retry cn_retries__ask(const struct cn_retries *r, uint64_t now_ms);
void cn_retries__begin(struct cn_retries *r, bool is_retry, uint64_t now_ms);
void cn_retries__end(struct cn_retries *r);
void cn_retries__succeed(struct cn_retries *r);
void cn_retries__fail(struct cn_retries *r);

/* ---- health.c ---- */

/* Makes jitter predictable in tests. */
void cn_health__set_chance(struct cn_health *h, cn_chance_fn chance, void *self);
enum cn_retry cn_health__may_retry(const struct cn_health *h, const struct cn_candidate *c,
                                   uint64_t now_ms);
/*
 * When a turn may repeat its own failed attempt although that put a cooldown there: 0.5 to
 * 1 s after it, once, as long as nobody else failed on it and the provider named no time.
 * 0: it may not.
 */
uint64_t cn_health__repeat_at(const struct cn_health *h, const struct cn_candidate *c,
                              enum cn_class class, uint64_t now_ms);
/* Whether a half-open place of the candidate is leased. */
bool cn_health__leased(const struct cn_health *h, const struct cn_candidate *c,
                       uint64_t now_ms);
size_t cn_health__count(const struct cn_health *h);
/* Where its findings are kept; NULL there: none yet. */
struct cn_findings **cn_health__findings(struct cn_health *h);

#endif
