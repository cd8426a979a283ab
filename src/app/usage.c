/*
 * What was spent, by whom, and what the policy's budgets say to it (design/security.md 5,
 * check 5): sums for the day, for each client token's day, and for each session.
 *
 * Turns of this run of the program are added as they end; what runs before it spent is read
 * from the store, once, and is told apart by the time a turn began.  Days are local and
 * looked at when somebody asks: no timer waits for midnight, and a clock that is set back
 * begins no day.  Owns the sums; own lock, held for a lookup; any thread.
 */
#include "turn_impl.h"

#include "continuo/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define CN_METERS_MAX 4096 /* of tokens, of sessions; the one longest unused gives way */

/* The sum of one spender. */
struct meter {
	uint64_t key; /* of its name */
	uint64_t touched;
	struct cn_spent spent;
	bool told; /* that its budget is used up was logged */
};

struct meters {
	struct meter *v; /* owned */
	size_t n, cap;
};

struct cn_usages {
	uint64_t began_ms; /* Unix time: turns from then on are added by book() */
	uv_mutex_t lock;
	uint64_t day_from_ms, day_until_ms; /* Unix time */
	uint64_t touches;
	struct meter day;
	struct meters tokens, sessions;
	bool sessions_known; /* what earlier runs spent in them is in */
};

struct cn_usages *cn_usage__new(uint64_t wall_ms)
{
	struct cn_usages *u = cn_zalloc(sizeof(*u));

	cn_assert(uv_mutex_init(&u->lock) == 0);
	u->began_ms = wall_ms;
	cn_clock_day(wall_ms, &u->day_from_ms, &u->day_until_ms);
	return u;
}

struct cn_usages *cn_usage__free(struct cn_usages *u)
{
	if (!u)
		return NULL;
	free(u->tokens.v);
	free(u->sessions.v);
	uv_mutex_destroy(&u->lock);
	free(u);
	return NULL;
}

/* ---- the meters; under the lock ---- */

static uint64_t key_of(struct cn_view owner, struct cn_view name)
{
	CN_AUTO(cn_buf) b = {0};

	/* Sessions of one name may belong to several owners. */
	cn_buf_add_view(&b, owner);
	cn_buf_add_char(&b, '\0');
	cn_buf_add_view(&b, name);
	return cn_hash_table(cn_buf_view(&b));
}

static struct meter *find(struct cn_usages *u, struct meters *m, uint64_t key)
{
	struct meter *oldest = m->v;

	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].key == key) {
			m->v[i].touched = ++u->touches;
			return &m->v[i];
		}
		if (m->v[i].touched < oldest->touched)
			oldest = &m->v[i];
	}
	if (m->n < CN_METERS_MAX) {
		if (m->n == m->cap) {
			m->cap = m->cap ? 2 * m->cap : 16;
			m->v = cn_realloc(m->v, m->cap * sizeof(*m->v));
		}
		oldest = &m->v[m->n++];
	}
	*oldest = (struct meter){.key = key, .touched = ++u->touches};
	return oldest;
}

/* A new day begins every sum anew but those of sessions. */
static void turn_page(struct cn_usages *u, uint64_t wall_ms)
{
	if (wall_ms < u->day_until_ms)
		return;
	cn_clock_day(wall_ms, &u->day_from_ms, &u->day_until_ms);
	u->day = (struct meter){0};
	u->tokens.n = 0;
}

static void add(struct meter *m, const struct cn_spent *s)
{
	m->spent.tokens = m->spent.tokens + s->tokens < s->tokens
	                      ? UINT64_MAX
	                      : m->spent.tokens + s->tokens;
	m->spent.money += s->money;
}

/* ---- adding ---- */

void cn_usage__book(struct cn_usages *u, const struct cn_spender *who,
                    const struct cn_spent *s, uint64_t wall_ms)
{
	uv_mutex_lock(&u->lock);
	turn_page(u, wall_ms);
	add(&u->day, s);
	if (who->token.n)
		add(find(u, &u->tokens, key_of(who->owner, who->token)), s);
	if (who->session.n)
		add(find(u, &u->sessions, key_of(who->owner, who->session)), s);
	uv_mutex_unlock(&u->lock);
}

struct reading {
	struct cn_usages *usages;
	const struct cn_policy *policy;
	bool day, sessions; /* which sums are to be made */
};

static void add_attempt(struct cn_spent *to, const struct cn_attempt_record *a,
                        const struct cn_price *price)
{
	struct cn_usage booked = a->usage;

	booked.input += a->assumed_input;
	booked.output += a->assumed_output;
	cn_spent_add(to, &booked, price);
}

/* NULL for a model that has left the policy: it took its price along. */
static const struct cn_price *price_of(const struct cn_policy *p,
                                       const struct cn_attempt_record *a)
{
	const struct cn_model *m = cn_policy_model(p, a->model);

	return m && cn_view_is(a->backend, m->backend->name) ? &m->price : NULL;
}

static bool on_stored_turn(void *self, const struct cn_turn_record *t)
{
	struct reading *r = self;
	struct cn_usages *u = r->usages;
	struct cn_spent s = {0};

	if (t->started_wall_ms >= u->began_ms)
		return true; /* of this run */
	for (size_t i = 0; i < t->n_attempts; i++)
		add_attempt(&s, &t->attempts[i], price_of(r->policy, &t->attempts[i]));
	uv_mutex_lock(&u->lock);
	if (r->day && t->started_wall_ms >= u->day_from_ms) {
		add(&u->day, &s);
		if (t->token.n)
			add(find(u, &u->tokens, key_of(t->owner, t->token)), &s);
	}
	if (r->sessions && t->session.n)
		add(find(u, &u->sessions, key_of(t->owner, t->session)), &s);
	uv_mutex_unlock(&u->lock);
	return true;
}

int cn_usage__load(struct cn_usages *u, struct cn_store *store, const struct cn_policy *p,
                   bool day, struct cn_error *reterr)
{
	bool sessions = cn_budget_is_set(&p->budget_session) && !u->sessions_known;
	struct reading r = {u, p, day, sessions};
	int bad;

	if (!store || (!day && !sessions))
		return 0;
	bad = cn_store_turns_since(store, sessions ? 0 : u->day_from_ms, on_stored_turn, &r,
	                           reterr);
	u->sessions_known |= sessions;
	return bad;
}

/* ---- asking ---- */

static struct cn_budget budget_of_token(const struct cn_policy *p, const struct cn_token *t)
{
	/* Limits that `token add` gave are hard ones. */
	if (t->tokens_per_day || t->money_per_day > 0)
		return (struct cn_budget){.tokens = t->tokens_per_day,
		                          .money = t->money_per_day,
		                          .then = CN_BUDGET_STOP};
	return p->budget_token;
}

/* Under the lock: one budget's word; what it has to say is logged by the caller, once. */
static void judge(const struct cn_budget *b, struct meter *m, enum cn_budget_scope scope,
                  struct cn_budget_word *ret)
{
	unsigned over = cn_spent_budgets(&m->spent, b);

	if (!over)
		return;
	if (!m->told) {
		m->told = true;
		ret->news[ret->n_news++] =
		    (struct cn_budget_news){scope, b->then, m->spent};
	}
	switch (b->then) {
	case CN_BUDGET_WARN:
		return;
	case CN_BUDGET_DEGRADE:
		ret->degrade = over > ret->degrade ? over : ret->degrade;
		return;
	case CN_BUDGET_STOP:
		/* The one that lasts longest decides when it is worth coming back. */
		if (!ret->stop || scope == CN_BUDGET_SESSION)
			ret->stop_scope = scope;
		ret->stop = true;
		return;
	}
}

/* What is known of a budget that is used up; told to whoever can see the log. */
static void log_news(const struct cn_spender *who, const struct cn_budget_news *n)
{
	static const char *const scopes[] = {[CN_BUDGET_DAY] = "day",
	                                     [CN_BUDGET_TOKEN] = "token",
	                                     [CN_BUDGET_SESSION] = "session"};
	static const char *const thens[] = {[CN_BUDGET_WARN] = "warn",
	                                    [CN_BUDGET_DEGRADE] = "degrade",
	                                    [CN_BUDGET_STOP] = "stop"};
	char spent[80];

	snprintf(spent, sizeof(spent), "%llu tokens, %.2f dollars",
	         (unsigned long long)n->spent.tokens, n->spent.money);
	cn_log(NULL, CN_LOG_WARNING, "budget used up", CN_STR(NAME, scopes[n->scope]),
	       CN_STR(STATE, thens[n->then]), CN_TEXT(OWNER, who->owner),
	       CN_TEXT(TOKEN, n->scope == CN_BUDGET_TOKEN ? who->token : CN_VIEW("")),
	       CN_TEXT(SESSION, n->scope == CN_BUDGET_SESSION ? who->session : CN_VIEW("")),
	       CN_STR(COUNT, spent));
}

void cn_usage__ask(struct cn_usages *u, const struct cn_policy *p,
                   const struct cn_token *token, const struct cn_spender *who,
                   uint64_t wall_ms, struct cn_budget_word *ret)
{
	*ret = (struct cn_budget_word){0};
	uv_mutex_lock(&u->lock);
	turn_page(u, wall_ms);
	judge(&p->budget_day, &u->day, CN_BUDGET_DAY, ret);
	if (token) {
		struct cn_budget b = budget_of_token(p, token);

		if (cn_budget_is_set(&b))
			judge(&b, find(u, &u->tokens, key_of(who->owner, who->token)),
			      CN_BUDGET_TOKEN, ret);
	}
	if (who->session.n && cn_budget_is_set(&p->budget_session))
		judge(&p->budget_session,
		      find(u, &u->sessions, key_of(who->owner, who->session)),
		      CN_BUDGET_SESSION, ret);
	ret->again_wall_ms = u->day_until_ms;
	uv_mutex_unlock(&u->lock);
	for (size_t i = 0; i < ret->n_news; i++)
		log_news(who, &ret->news[i]);
}

uint64_t cn_usage__refusal(const struct cn_budget_word *w, uint64_t wall_ms, char *ret,
                           size_t size)
{
	CN_AUTO(cn_buf) again = {0};

	if (w->stop_scope == CN_BUDGET_SESSION) {
		snprintf(ret, size,
		         "continuo: this session's budget is used up; go on in a new one");
		return 0;
	}
	cn_clock_format(&again, w->again_wall_ms);
	snprintf(ret, size,
	         "continuo: %s budget for today is used up; a new day begins at %s",
	         w->stop_scope == CN_BUDGET_DAY ? "the router's" : "this token's",
	         cn_buf_cstr(&again));
	return w->again_wall_ms > wall_ms ? (w->again_wall_ms - wall_ms + 999) / 1000 : 1;
}

/* ---- turns ---- */

struct cn_spender cn_turn__spender(const struct cn_turn *t)
{
	return (struct cn_spender){t->owner, cn_view_str(t->token ? t->token->name : ""),
	                           t->req.session};
}

void cn_turn__book(const struct cn_turn *t)
{
	struct cn_spender who = cn_turn__spender(t);
	struct cn_spent s = {0};

	for (size_t i = 0; i < t->n_tried; i++)
		add_attempt(&s, &t->records[i], &t->tried[i].candidate->model->price);
	if (s.tokens)
		cn_usage__book(t->worker->shared->usages, &who, &s, cn_clock_wall_ms());
}

struct cn_spent cn_usage__today(struct cn_usages *u, uint64_t wall_ms)
{
	struct cn_spent s;

	uv_mutex_lock(&u->lock);
	turn_page(u, wall_ms);
	s = u->day.spent;
	uv_mutex_unlock(&u->lock);
	return s;
}
