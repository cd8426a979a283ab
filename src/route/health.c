/*
 * What is known about keys, accounts, models and backends: one record each, with its
 * cooldown, its breaker, its half-open place and, of backends, the retry budget.
 *
 * Owns the records.  Any thread, under the caller's lock.  Records are found by name, so
 * they outlive the policy that a candidate comes from; their number is bounded, and the one
 * that says least goes when it is reached.  Time is an argument.  Lengths are decided by
 * cooldown.c, openings by breaker.c, what a turn does about it by next.c.
 */
#include "continuo/health.h"

#include <stdio.h>

#include "continuo/hash.h"
#include "continuo/trace.h"
#include "route_impl.h"

#define BUCKETS      256u
#define RECORDS_MAX  4096u  /* more than any policy names; each is some 400 bytes */
#define RECENT_MS    300000 /* "the second within 5 min" */
#define MEMORY_MIN   60000  /* a cooldown that ended is remembered this long at least */
#define REPEAT_MS    500u   /* and up to as much again */
#define WIDE_FAILURE 3u     /* models of a backend that fail make the backend cool down */

/* The five records that hold a candidate, in the order of enum cn_scope. */
#define LEVELS 5u

struct record {
	struct record *next; /* owned: of the same bucket */
	enum cn_scope scope;
	char *name;                  /* owned: as `status` shows it */
	char *backend, *model, *key; /* owned; "" where it has none */
	char *account;               /* owned; "" where it has none */
	uint64_t until_ms;           /* of the cooldown; 0: none since the last success */
	uint64_t length_ms;
	uint64_t repeat_ms; /* when the turn that failed may repeat; 0: not */
	unsigned n;         /* the how-manieth in a row */
	bool named;         /* the provider named the time */
	bool loading;       /* not a failure: the model is being loaded */
	enum cn_class because;
	const char *reason;      /* constant; for people, as the outcome gave it */
	uint64_t lease_until_ms; /* the half-open place; 0: free */
	uint64_t last_odd_ms;    /* last failure of a class of which one is forgiven */
	bool odd;
	struct cn_breaker breaker;
	struct cn_retries retries; /* of a backend */
	uint64_t uses;             /* of a key */
};

struct cn_health {
	struct record *buckets[BUCKETS]; /* owned */
	size_t n;
	struct cn_lessons *lessons;   /* owned; NULL: nothing was learned yet */
	struct cn_findings *findings; /* owned; NULL: nothing was found yet */
	cn_chance_fn chance;
	void *chance_self; /* borrowed */
};

static uint64_t real_chance(void *self, uint64_t n)
{
	(void)self;
	return cn_random_below(n);
}

/* ---- records ---- */

static struct record *record_free(struct record *r)
{
	free(r->name);
	free(r->backend);
	free(r->model);
	free(r->key);
	free(r->account);
	free(r);
	return NULL;
}

struct cn_health *cn_health_new(void)
{
	struct cn_health *h = cn_zalloc(sizeof(*h));

	h->chance = real_chance;
	return h;
}

struct cn_health *cn_health_free(struct cn_health *h)
{
	for (size_t i = 0; h && i < BUCKETS; i++) {
		while (h->buckets[i]) {
			struct record *r = h->buckets[i];

			h->buckets[i] = r->next;
			(void)record_free(r);
		}
	}
	if (h) {
		free(h->lessons);
		free(h->findings);
	}
	free(h);
	return NULL;
}

void cn_health__set_chance(struct cn_health *h, cn_chance_fn chance, void *self)
{
	h->chance = chance;
	h->chance_self = self;
}

struct cn_findings **cn_health__findings(struct cn_health *h)
{
	return &h->findings;
}

size_t cn_health__count(const struct cn_health *h)
{
	return h->n;
}

static const char *key_prefix(const struct cn_policy_key *k)
{
	return k->kind == CN_KEY_VAULT ? "vault:" : "";
}

static const char *key_name(const struct cn_policy_key *k)
{
	switch (k->kind) {
	case CN_KEY_NONE:
		return "none";
	case CN_KEY_CLIENT:
		return "client";
	case CN_KEY_VAULT:
		break;
	}
	return k->name ? k->name : "";
}

static const char *account_name(const struct cn_policy_key *k)
{
	return k->account ? k->account : key_name(k);
}

/* The name of the candidate's record at one level; what the policy shows, so unique. */
static void level_name(const struct cn_candidate *c, enum cn_scope scope, char *ret,
                       size_t size)
{
	const char *backend = c->model->backend->name, *model = c->model->name;

	switch (scope) {
	case CN_SCOPE_KEY_MODEL:
		(void)snprintf(ret, size, "%s/%s@%s", backend, model, account_name(c->key));
		return;
	case CN_SCOPE_KEY:
		(void)snprintf(ret, size, "%s:%s%s", backend, key_prefix(c->key),
		               key_name(c->key));
		return;
	case CN_SCOPE_ACCOUNT:
		(void)snprintf(ret, size, "%s@%s", backend, account_name(c->key));
		return;
	case CN_SCOPE_MODEL:
		(void)snprintf(ret, size, "%s/%s", backend, model);
		return;
	case CN_SCOPE_BACKEND:
	case CN_SCOPE_NONE:
		break;
	}
	(void)snprintf(ret, size, "%s", backend);
}

static size_t bucket_of(const char *name, enum cn_scope scope)
{
	uint64_t x = UINT64_C(14695981039346656037) ^ (uint64_t)scope;

	/* FNV-1a; names come from the policy, not from peers. */
	for (; *name; name++)
		x = (x ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return (size_t)(x % BUCKETS);
}

#define NAME_MAX_BYTES 200 /* two names of 60 bytes, a label, and separators */

static struct record *find(const struct cn_health *h, const struct cn_candidate *c,
                           enum cn_scope scope)
{
	char name[NAME_MAX_BYTES];
	struct record *r;

	level_name(c, scope, name, sizeof(name));
	r = h->buckets[bucket_of(name, scope)];
	while (r && !(r->scope == scope && strcmp(r->name, name) == 0))
		r = r->next;
	return r;
}

static uint64_t held_until(const struct record *r)
{
	return r->until_ms > r->breaker.open_until_ms ? r->until_ms
	                                              : r->breaker.open_until_ms;
}

/* Drops the record that matters least: no attempt in flight, held shortest. */
static void make_room(struct cn_health *h)
{
	struct record **worst = NULL, *r;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct record **at = &h->buckets[i]; *at; at = &(*at)->next) {
			if ((*at)->retries.active == 0 &&
			    (!worst || held_until(*at) < held_until(*worst)))
				worst = at;
		}
	}
	if (!worst)
		return;
	r = *worst;
	*worst = r->next;
	(void)record_free(r);
	h->n--;
}

static struct record *get(struct cn_health *h, const struct cn_candidate *c,
                          enum cn_scope scope)
{
	struct record *r = find(h, c, scope);
	bool has_model = scope == CN_SCOPE_KEY_MODEL || scope == CN_SCOPE_MODEL;
	bool has_key = scope == CN_SCOPE_KEY_MODEL || scope == CN_SCOPE_KEY;
	char name[NAME_MAX_BYTES];
	size_t bucket;

	if (r)
		return r;
	if (h->n >= RECORDS_MAX)
		make_room(h);
	level_name(c, scope, name, sizeof(name));
	bucket = bucket_of(name, scope);
	r = cn_zalloc(sizeof(*r));
	r->scope = scope;
	r->name = cn_strdup(name);
	r->backend = cn_strdup(c->model->backend->name);
	r->model = cn_strdup(has_model ? c->model->name : "");
	r->key = cn_strdup(has_key ? key_name(c->key) : "");
	r->account =
	    cn_strdup(has_key || scope == CN_SCOPE_ACCOUNT ? account_name(c->key) : "");
	r->next = h->buckets[bucket];
	h->buckets[bucket] = r;
	h->n++;
	return r;
}

static size_t levels_of(const struct cn_health *h, const struct cn_candidate *c,
                        struct record *ret[LEVELS])
{
	size_t n = 0;

	for (enum cn_scope s = CN_SCOPE_KEY_MODEL; s <= CN_SCOPE_BACKEND; s++) {
		ret[n] = find(h, c, s);
		if (ret[n])
			n++;
	}
	return n;
}

/* ---- readiness ---- */

/* A cooldown that ended longer ago than it lasted has nothing to say any more. */
static bool forgotten(const struct record *r, uint64_t now_ms)
{
	uint64_t memory = r->length_ms > MEMORY_MIN ? r->length_ms : MEMORY_MIN;

	return r->until_ms == 0 || now_ms >= r->until_ms + memory;
}

/* Whether the next attempt is the one that shows whether it is well again. */
static bool half_open(const struct record *r, uint64_t now_ms)
{
	bool cooled = !forgotten(r, now_ms) && r->until_ms <= now_ms && !r->loading;
	bool broken = r->breaker.open_until_ms && r->breaker.open_until_ms <= now_ms;

	return r->until_ms <= now_ms && r->breaker.open_until_ms <= now_ms &&
	       (cooled || broken);
}

static bool leased(const struct record *r, uint64_t now_ms)
{
	return r->lease_until_ms > now_ms && half_open(r, now_ms);
}

bool cn_health__leased(const struct cn_health *h, const struct cn_candidate *c,
                       uint64_t now_ms)
{
	struct record *levels[LEVELS];
	size_t n = levels_of(h, c, levels);

	for (size_t i = 0; i < n; i++) {
		if (leased(levels[i], now_ms))
			return true;
	}
	return false;
}

struct cn_readiness cn_health_ready_at(const struct cn_health *h,
                                       const struct cn_candidate *c, uint64_t now_ms)
{
	struct cn_readiness ready = {.at_ms = now_ms};
	struct record *levels[LEVELS];
	size_t n = levels_of(h, c, levels);
	bool cooling = false;

	for (size_t i = 0; i < n; i++) {
		const struct record *r = levels[i];
		uint64_t at = r->until_ms > now_ms ? r->until_ms : 0;
		enum cn_class because = r->because;

		if (leased(r, now_ms)) {
			at = r->lease_until_ms;
			because = r->until_ms ? r->because : r->breaker.because;
		}
		cooling = cooling || at;
		if (r->breaker.open_until_ms > now_ms && r->breaker.open_until_ms > at) {
			at = r->breaker.open_until_ms;
			because = r->breaker.because;
		}
		if (at > ready.at_ms) {
			ready.at_ms = at;
			ready.because = because;
			ready.scope = r->scope;
		}
	}
	ready.only_breaker = ready.at_ms > now_ms && !cooling;
	return ready;
}

uint64_t cn_health__repeat_at(const struct cn_health *h, const struct cn_candidate *c,
                              enum cn_class class, uint64_t now_ms)
{
	struct record *levels[LEVELS];
	size_t n = levels_of(h, c, levels);
	uint64_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const struct record *r = levels[i];

		if (r->breaker.open_until_ms > now_ms || leased(r, now_ms))
			return 0;
		if (r->until_ms <= now_ms)
			continue;
		if (r->because != class || !r->repeat_ms)
			return 0;
		at = r->repeat_ms > at ? r->repeat_ms : at;
	}
	return at;
}

/* ---- attempts begin and end ---- */

enum cn_retry cn_health__may_retry(const struct cn_health *h, const struct cn_candidate *c,
                                   uint64_t now_ms)
{
	const struct record *r = find(h, c, CN_SCOPE_BACKEND);

	return r ? cn_retries__ask(&r->retries, now_ms) : CN_RETRY_MAY;
}

bool cn_health_take(struct cn_health *h, const struct cn_candidate *c, bool is_retry,
                    uint64_t now_ms)
{
	struct record *levels[LEVELS];
	size_t n;

	if (cn_health__leased(h, c, now_ms))
		return false;
	if (is_retry && cn_health__may_retry(h, c, now_ms) != CN_RETRY_MAY)
		return false;
	n = levels_of(h, c, levels);
	for (size_t i = 0; i < n; i++) {
		if (half_open(levels[i], now_ms))
			levels[i]->lease_until_ms = now_ms + CN_LEASE_MS;
	}
	cn_retries__begin(&get(h, c, CN_SCOPE_BACKEND)->retries, is_retry, now_ms);
	return true;
}

static void give_back(struct cn_health *h, const struct cn_candidate *c)
{
	struct record *levels[LEVELS];
	size_t n = levels_of(h, c, levels);

	for (size_t i = 0; i < n; i++) {
		levels[i]->lease_until_ms = 0;
		if (levels[i]->scope == CN_SCOPE_BACKEND)
			cn_retries__end(&levels[i]->retries);
	}
}

void cn_health_cancel(struct cn_health *h, const struct cn_candidate *c, uint64_t now_ms)
{
	(void)now_ms;
	give_back(h, c);
}

/* ---- reports ---- */

static void succeed(struct cn_health *h, const struct cn_candidate *c, uint64_t now_ms)
{
	for (enum cn_scope s = CN_SCOPE_KEY_MODEL; s <= CN_SCOPE_BACKEND; s++) {
		struct record *r = get(h, c, s);

		if (s == CN_SCOPE_KEY)
			r->uses++;
		if (s == CN_SCOPE_BACKEND)
			cn_retries__succeed(&r->retries);
		if (s != CN_SCOPE_KEY && s != CN_SCOPE_MODEL)
			cn_breaker__succeed(&r->breaker);
		r->odd = false;
		/* An answer begun before the limit was reached does not lift it. */
		if (r->until_ms > now_ms && r->named)
			continue;
		r->until_ms = 0;
		r->n = 0;
		r->loading = false;
		r->repeat_ms = 0;
	}
}

static void trace(const struct record *r)
{
	char text[NAME_MAX_BYTES + 40];

	(void)snprintf(text, sizeof(text), "%s %s", r->name, cn_class_name(r->because));
	cn_trace(CN_TR_COOLDOWN, 0, r->length_ms, cn_view_str(text));
}

/* Puts a cooldown on one record, or makes the one in force longer; returns what is left. */
static uint64_t cool(struct cn_health *h, struct record *r, const struct cn_candidate *c,
                     const struct cn_outcome *o, uint64_t now_ms)
{
	bool local = c->model->backend->network == CN_NETWORK_PRIVATE;
	uint64_t length;

	/* Failures of attempts that ran side by side are one failure. */
	if (r->until_ms <= now_ms || r->n == 0)
		r->n = forgotten(r, now_ms) ? 1 : r->n + 1;
	else
		r->repeat_ms = 0;
	length = cn_cooldown__length(o, r->n, local, h->chance, h->chance_self);
	if (r->n == 1 && r->until_ms <= now_ms && o->retry_after_ms == 0)
		r->repeat_ms =
		    now_ms + REPEAT_MS + h->chance(h->chance_self, REPEAT_MS + 1);
	else
		r->repeat_ms = 0;
	if (now_ms + length >= r->until_ms) {
		r->until_ms = now_ms + length;
		r->length_ms = length;
		r->because = o->class;
		r->reason = o->reason;
		r->named = o->retry_after_ms && cn_cooldown__rule(o->class)->named;
		trace(r);
	}
	r->loading = false;
	return r->until_ms - now_ms;
}

/* Models of the backend that are cooling because the server failed. */
static unsigned failing_models(const struct cn_health *h, const char *backend,
                               uint64_t now_ms)
{
	unsigned n = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (const struct record *r = h->buckets[i]; r; r = r->next)
			n += r->scope == CN_SCOPE_MODEL && r->until_ms > now_ms &&
			     r->because == CN_CLASS_SERVER_ERROR &&
			     strcmp(r->backend, backend) == 0;
	}
	return n;
}

/* Whether the class lets one failure pass, and this was it. */
static bool forgiven(struct record *r, const struct cn_outcome *o, uint64_t now_ms)
{
	bool recent = r->odd && now_ms - r->last_odd_ms < RECENT_MS;

	if (!cn_cooldown__rule(o->class)->second)
		return false;
	r->odd = true;
	r->last_odd_ms = now_ms;
	return !recent;
}

static uint64_t fail(struct cn_health *h, const struct cn_candidate *c,
                     const struct cn_outcome *o, uint64_t now_ms)
{
	const struct cn_cooldown_rule *rule = cn_cooldown__rule(o->class);
	enum cn_scope scope = o->scope != CN_SCOPE_NONE ? o->scope : rule->scope;
	enum cn_scope level = cn_breaker__level(o->class);
	struct record *r;
	uint64_t length;

	/* A client's own credential can change with its next request: judge it anew. */
	if (o->class == CN_CLASS_AUTH && c->key->kind == CN_KEY_CLIENT &&
	    scope != CN_SCOPE_BACKEND)
		return 0;
	if (level != CN_SCOPE_NONE) {
		cn_breaker__fail(&get(h, c, level)->breaker, o->class, now_ms);
		cn_retries__fail(&get(h, c, CN_SCOPE_BACKEND)->retries);
	}
	if (rule->base_ms == 0)
		return 0;
	r = get(h, c, scope);
	if (forgiven(r, o, now_ms))
		return 0;
	length = cool(h, r, c, o, now_ms);
	if (o->class == CN_CLASS_SERVER_ERROR && scope == CN_SCOPE_MODEL &&
	    failing_models(h, c->model->backend->name, now_ms) >= WIDE_FAILURE)
		(void)cool(h, get(h, c, CN_SCOPE_BACKEND), c, o, now_ms);
	return length;
}

struct cn_learned cn_health_learned(const struct cn_health *h, const struct cn_candidate *c)
{
	return cn_lessons__of(h ? h->lessons : NULL, c);
}

uint64_t cn_health_report(struct cn_health *h, const struct cn_candidate *c,
                          const struct cn_outcome *o, uint64_t now_ms)
{
	struct record *r;

	give_back(h, c);
	cn_lessons__learn(&h->lessons, c, o);
	if (o->class == CN_CLASS_OK) {
		succeed(h, c, now_ms);
		return 0;
	}
	if (o->class == CN_CLASS_CANCELLED || o->free_retry)
		return 0;
	if (!o->no_cooldown)
		return fail(h, c, o, now_ms);
	if (!o->retry_after_ms || o->scope == CN_SCOPE_NONE)
		return 0;
	/* Loading: looked at again in so long, and no failure. */
	r = get(h, c, o->scope);
	if (r->until_ms > now_ms)
		return r->until_ms - now_ms;
	r->until_ms = now_ms + o->retry_after_ms;
	r->length_ms = o->retry_after_ms;
	r->because = o->class;
	r->reason = o->reason;
	r->loading = true;
	r->repeat_ms = 0;
	return o->retry_after_ms;
}

uint64_t cn_health_uses(const struct cn_health *h, const struct cn_candidate *c)
{
	const struct record *r = find(h, c, CN_SCOPE_KEY);

	return r ? r->uses : 0;
}

/* ---- for people ---- */

static bool is_named(const struct record *r, struct cn_view name)
{
	const struct cn_view prefix = CN_VIEW("vault:");
	struct cn_view key = name;

	if (cn_view_starts(name, prefix))
		key = cn_view_from(name, prefix.n);
	return name.n == 0 || cn_view_is(name, r->name) || cn_view_is(name, r->backend) ||
	       (r->model[0] && cn_view_is(name, r->model)) ||
	       (r->key[0] && cn_view_is(key, r->key)) ||
	       (r->account[0] && cn_view_is(key, r->account));
}

void cn_health_reset(struct cn_health *h, struct cn_view name)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct record *r = h->buckets[i]; r; r = r->next) {
			if (!is_named(r, name))
				continue;
			r->until_ms = r->repeat_ms = r->lease_until_ms = 0;
			r->n = 0;
			r->odd = r->loading = false;
			r->breaker = (struct cn_breaker){0};
			r->retries.spent = 0;
		}
	}
	cn_findings__forget(h->findings, name);
}

void cn_health_renew(struct cn_health *h)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct record *r = h->buckets[i]; r; r = r->next) {
			if (cn_cooldown__rule(r->breaker.because)->renewed)
				r->breaker = (struct cn_breaker){0};
			if (!r->until_ms || !cn_cooldown__rule(r->because)->renewed)
				continue;
			r->until_ms = r->repeat_ms = r->lease_until_ms = 0;
			r->n = 0;
		}
	}
	cn_findings__forget(h->findings, (struct cn_view){NULL, 0});
}

static const char *scope_word(enum cn_scope scope)
{
	static const char *const words[] = {
	    [CN_SCOPE_NONE] = "",       [CN_SCOPE_KEY_MODEL] = "key",
	    [CN_SCOPE_KEY] = "key",     [CN_SCOPE_ACCOUNT] = "account",
	    [CN_SCOPE_MODEL] = "model", [CN_SCOPE_BACKEND] = "backend"};

	return words[scope];
}

static void list_record(const struct record *r, uint64_t now_ms,
                        void (*each)(void *self, const struct cn_health_line *line),
                        void *self)
{
	struct cn_health_line line = {.scope = scope_word(r->scope)};

	(void)snprintf(line.name, sizeof(line.name), "%s", r->name);
	if (r->until_ms > now_ms) {
		line.because = r->because;
		line.reason = r->reason;
		line.until_ms = r->until_ms;
		line.n = r->n;
		each(self, &line);
	}
	if (r->breaker.open_until_ms > now_ms) {
		line.because = r->breaker.because;
		line.reason = NULL;
		line.until_ms = r->breaker.open_until_ms;
		line.n = r->breaker.openings;
		line.breaker = true;
		each(self, &line);
	}
}

void cn_health_list(const struct cn_health *h, uint64_t now_ms,
                    void (*each)(void *self, const struct cn_health_line *line), void *self)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (const struct record *r = h->buckets[i]; r; r = r->next)
			list_record(r, now_ms, each, self);
	}
}
