/*
 * The admin socket: the router's state and its tokens, for the same user's commands.
 *
 *   GET  /api/status         what is going on, as one JSON object
 *   GET  /api/tokens         client tokens, without their texts
 *   POST /api/tokens         {"name"?, "owner"?, "project"?, "chain"?, "scopes"?: [..],
 *                             "requests_per_minute"?, "turns"?, "tokens_per_day"?,
 *                             "money_per_day"?} → {"token": text, "name",
 * "url", ..} POST /api/tokens/remove  {"name"} POST /api/run            {"policy",
 * "chain"?, "project"?, "name"?} → the same, and the connection stays: a lease.  When it
 * ends, the token is revoked. With the name of a `run` token that exists: a lease of that
 * one (the router died and was started again), and no text. POST /api/reset {"name"?}:
 * cooldowns and breakers of that name, or all, are forgotten
 *
 * A Unix socket of mode 0600, so whoever comes is the same user.  What waits for the disk
 * is done on the pool.  Runs on the main thread.
 */
#include "app_impl.h"

#include "continuo/anthropic.h"
#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/json.h"
#include "continuo/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CN_ADMIN_BODY 65536
#define CN_ORPHAN_MS  600000 /* a `run` token that nobody leases any more */

enum cn_admin_call {
	CN_ADMIN_STATUS,
	CN_ADMIN_TOKENS,
	CN_ADMIN_TOKEN_ADD,
	CN_ADMIN_TOKEN_REMOVE,
	CN_ADMIN_RUN,
	CN_ADMIN_RESET,
};

static const struct {
	const char *method, *path;
	enum cn_admin_call call;
} CN_ROUTES[] = {
    {"GET", "/api/status", CN_ADMIN_STATUS},
    {"GET", "/api/tokens", CN_ADMIN_TOKENS},
    {"POST", "/api/tokens", CN_ADMIN_TOKEN_ADD},
    {"POST", "/api/tokens/remove", CN_ADMIN_TOKEN_REMOVE},
    {"POST", "/api/run", CN_ADMIN_RUN},
    {"POST", "/api/reset", CN_ADMIN_RESET},
};

struct cn_admin {
	struct cn_server *server;     /* borrowed */
	struct cn_listener *listener; /* owned */
	struct cn_list visitors;      /* of visitor */
	size_t leases, jobs;
	bool had_lease, closed;
	uint64_t orphans_at_ms; /* when to look for `run` tokens that nobody leases */
};

/* One connection. */
struct visitor {
	struct cn_list link;
	struct cn_admin *admin; /* borrowed */
	struct cn_conn *conn; /* NULL once it is gone; the memory stays for a running job */
	enum cn_admin_call call;
	char *leased; /* owned: the name of the token it keeps alive; NULL: none */
	bool busy;    /* a job runs for it */
};

/* Work on the pool for a visitor: a token made or removed. */
struct job {
	uv_work_t work;
	struct visitor *visitor; /* NULL: a removal that nobody waits for */
	struct cn_admin *admin;
	struct cn_arena arena; /* owns the record's strings */
	struct cn_token_record record;
	bool remove;
	char *text; /* owned: the new token */
	int bad;
	struct cn_error error;
};

size_t cn_admin__leases(const struct cn_admin *a)
{
	return a->leases;
}

bool cn_admin__had_lease(const struct cn_admin *a)
{
	return a->had_lease;
}

/* ---- answering ---- */

static void reply(struct cn_conn *c, int status, struct cn_view json)
{
	struct cn_field type = {CN_VIEW("content-type"), CN_VIEW("application/json")};

	cn_conn_reply(c,
	              &(struct cn_reply){
			  .status = status, .fields = &type, .n_fields = 1, .body = json});
}

static void reply_error(struct cn_conn *c, int status, const char *message)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_char(&b, '{');
	cn_json_add_text(&b, "error", cn_view_str(message));
	cn_buf_add_char(&b, '}');
	reply(c, status, cn_buf_view(&b));
}

static int status_of(int code)
{
	return code == CN_E_NOT_FOUND ? 404 : code == CN_E_EXISTS ? 409 : 500;
}

/* ---- /api/status ---- */

/* A list of what health knows. */
struct cooldowns {
	struct cn_buf *b;
	uint64_t now_ms;
	bool any;
};

static void add_cooldown(void *self, const struct cn_health_line *l)
{
	struct cooldowns *c = self;

	if (c->any)
		cn_buf_add_char(c->b, ',');
	c->any = true;
	cn_buf_add_char(c->b, '{');
	cn_json_add_text(c->b, "scope", cn_view_str(l->scope));
	cn_json_add_text(c->b, "name", cn_view_str(l->name));
	cn_json_add_text(c->b, "because", cn_view_str(cn_class_name(l->because)));
	if (l->reason)
		cn_json_add_text(c->b, "reason", cn_view_str(l->reason));
	cn_json_add_u64(c->b, "ready_in_ms",
	                l->until_ms > c->now_ms ? l->until_ms - c->now_ms : 0);
	cn_json_add_u64(c->b, "times", l->n);
	cn_json_add_bool(c->b, "breaker", l->breaker);
	cn_buf_add_char(c->b, '}');
}

static void add_finding(void *self, const struct cn_finding *f)
{
	struct cooldowns *c = self;

	if (c->any)
		cn_buf_add_char(c->b, ',');
	c->any = true;
	cn_buf_add_char(c->b, '{');
	cn_json_add_text(c->b, "name", cn_view_str(f->name));
	cn_json_add_text(c->b, "what", cn_view_str(cn_damage_word(f->what)));
	cn_json_add_text(c->b, "reason", cn_view_str(cn_damage_phrase(f->what)));
	cn_json_add_text(c->b, "detail", cn_view_str(f->detail));
	cn_json_add_u64(c->b, "times", f->times);
	cn_json_add_u64(c->b, "last_ms_ago",
	                c->now_ms > f->last_ms ? c->now_ms - f->last_ms : 0);
	cn_buf_add_char(c->b, '}');
}

static void add_store(struct cn_buf *b, const struct cn_shared *sh)
{
	static const char *const words[] = {
	    [CN_STORE_WELL] = "well",
	    [CN_STORE_NO_JOURNAL] = "no_journal",
	    [CN_STORE_DEGRADED] = "degraded",
	};

	cn_json_add_key(b, "store");
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "state",
	                 cn_view_str(sh->store ? words[cn_store_state(sh->store)] : "off"));
	cn_json_add_text(b, "why",
	                 cn_view_str(sh->store       ? cn_store_why(sh->store)
	                             : sh->store_why ? sh->store_why
	                                             : ""));
	cn_json_add_u64(b, "queued", sh->store ? cn_store_queued(sh->store) : 0);
	cn_buf_add_char(b, '}');
}

static void add_money(struct cn_buf *b, const char *key, double dollars)
{
	CN_AUTO(cn_buf) number = {0};

	cn_buf_printf(&number, "%.6f", dollars);
	cn_json_add_raw(b, key, cn_buf_view(&number));
}

static void add_today(struct cn_buf *b, struct cn_shared *sh)
{
	struct cn_spent s = cn_usage__today(sh->usages, cn_clock_wall_ms());

	cn_json_add_key(b, "today");
	cn_buf_add_char(b, '{');
	cn_json_add_u64(b, "tokens", s.tokens);
	add_money(b, "money", s.money);
	cn_buf_add_char(b, '}');
}

static void tell_status(struct visitor *v)
{
	struct cn_server *s = v->admin->server;
	struct cn_shared *sh = &s->shared;
	struct cn_policy *p = cn_shared__policy(sh);
	CN_AUTO(cn_buf) b = {0};
	struct cooldowns c = {.b = &b, .now_ms = cn_clock_ms()};

	cn_buf_add_char(&b, '{');
	cn_json_add_text(&b, "version", cn_view_str(CN_VERSION));
	cn_json_add_u64(&b, "pid", (uint64_t)getpid());
	cn_json_add_text(&b, "url", cn_view_str(s->url));
	cn_json_add_u64(&b, "uptime_ms", c.now_ms - s->started_ms);
	cn_json_add_text(&b, "policy", cn_view_str(p->file));
	cn_json_add_text(&b, "policy_digest", cn_view_str(p->digest.hex));
	cn_json_add_bool(&b, "draining", atomic_load(&sh->draining));
	cn_json_add_bool(&b, "memory_locked", cn_vault_mlocked(sh->vault));
	cn_json_add_u64(&b, "turns_now", atomic_load(&sh->turns));
	cn_json_add_u64(&b, "connections_now", atomic_load(&sh->connections));
	cn_json_add_u64(&b, "memory_percent", cn_charge_percent(&sh->charge));
	cn_json_add_u64(&b, "workers", s->n_workers);
	cn_json_add_u64(&b, "runs", v->admin->leases);
	add_store(&b, sh);
	add_today(&b, sh);
	cn_json_add_key(&b, "cooldowns");
	cn_buf_add_char(&b, '[');
	uv_mutex_lock(&sh->health_lock);
	cn_health_list(sh->health, c.now_ms, add_cooldown, &c);
	cn_buf_add_char(&b, ']');
	cn_json_add_key(&b, "warnings");
	cn_buf_add_char(&b, '[');
	c.any = false;
	cn_health_findings(sh->health, add_finding, &c);
	uv_mutex_unlock(&sh->health_lock);
	cn_buf_add_char(&b, ']');
	cn_json_add_key(&b, "counters");
	cn_buf_add_char(&b, '{');
	for (int i = 0; i < CN_CT_COUNT; i++)
		cn_json_add_u64(&b, cn_counter_name((enum cn_counter)i),
		                cn_counter_get((enum cn_counter)i));
	cn_buf_add_str(&b, "}}");
	cn_policy_unref(p);
	reply(v->conn, 200, cn_buf_view(&b));
}

/* ---- tokens ---- */

static void add_scopes(struct cn_buf *b, uint32_t scopes)
{
	cn_json_add_key(b, "scopes");
	cn_buf_add_char(b, '[');
	if (scopes & CN_SCOPE_TURN)
		cn_buf_add_str(b, "\"turn\"");
	if (scopes & CN_SCOPE_VIEW)
		cn_buf_add_str(b, b->p[b->n - 1] == '[' ? "\"view\"" : ",\"view\"");
	if (scopes & CN_SCOPE_ADMIN)
		cn_buf_add_str(b, b->p[b->n - 1] == '[' ? "\"admin\"" : ",\"admin\"");
	cn_buf_add_char(b, ']');
}

static void add_token(void *self, const struct cn_token *t)
{
	struct cn_buf *b = self;

	if (b->p[b->n - 1] == '}')
		cn_buf_add_char(b, ',');
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "name", cn_view_str(t->name));
	cn_json_add_text(b, "owner", cn_view_str(t->owner));
	cn_json_add_text(b, "project", cn_view_str(t->project));
	cn_json_add_text(b, "chain", cn_view_str(t->chain));
	add_scopes(b, t->scopes);
	cn_json_add_bool(b, "run", t->run);
	cn_json_add_u64(b, "created_ms", t->created_ms);
	cn_json_add_u64(b, "requests_per_minute", t->requests_per_minute);
	cn_json_add_u64(b, "turns", t->turns);
	cn_json_add_u64(b, "tokens_per_day", t->tokens_per_day);
	add_money(b, "money_per_day", t->money_per_day);
	cn_buf_add_char(b, '}');
}

static void tell_tokens(struct visitor *v)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_str(&b, "{\"tokens\":[");
	cn_access__each(v->admin->server->shared.access, add_token, &b);
	cn_buf_add_str(&b, "]}");
	reply(v->conn, 200, cn_buf_view(&b));
}

/* What a client needs to come to us: the token, and what its environment is made of. */
static void add_entry(struct cn_buf *b, struct cn_server *s, const struct job *job)
{
	struct cn_policy *p = cn_shared__policy(&s->shared);

	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "token", cn_view_str(job->text));
	cn_json_add_text(b, "name", job->record.name);
	cn_json_add_text(b, "url", cn_view_str(s->url));
	cn_json_add_text(b, "policy", cn_view_str(p->file));
	cn_json_add_bool(b, "client_key", cn_policy_has_client_key(p));
	cn_json_add_text(b, "model", cn_view_str(p->client_model));
	cn_json_add_key(b, "env");
	cn_buf_add_char(b, '{');
	for (size_t i = 0; i < p->n_client_env; i++)
		cn_json_add_text(b, p->client_env[i].name,
		                 cn_view_str(p->client_env[i].value));
	cn_buf_add_str(b, "}}\n");
	cn_policy_unref(p);
}

static void visitor_free(struct visitor *v)
{
	cn_list_remove(&v->link);
	free(v->leased);
	free(v);
}

static void begin_lease(struct visitor *v, struct cn_view name, struct cn_view first_line)
{
	struct cn_field type = {CN_VIEW("content-type"), CN_VIEW("application/json")};

	v->leased = cn_view_dup(name);
	v->admin->leases++;
	v->admin->had_lease = true;
	cn_conn_begin(v->conn, 200, &type, 1, NULL);
	(void)cn_conn_write(v->conn, first_line); /* one line: far below any mark */
}

/* Pool. */
static void job_run(uv_work_t *work)
{
	struct job *job = work->data;
	struct cn_access *access = job->admin->server->shared.access;

	job->bad = job->remove
	               ? cn_access__remove(access, job->record.name, &job->error)
	               : cn_access__add(access, &job->record, &job->text, &job->error);
}

static void token_revoke(struct cn_admin *a, struct cn_view name);

static void job_tell(struct job *job)
{
	struct visitor *v = job->visitor;
	CN_AUTO(cn_buf) b = {0};

	if (job->bad) {
		reply_error(v->conn, status_of(job->bad), job->error.message);
		return;
	}
	if (job->remove) {
		reply(v->conn, 200, CN_VIEW("{}"));
		return;
	}
	add_entry(&b, job->admin->server, job);
	if (v->call == CN_ADMIN_RUN)
		begin_lease(v, job->record.name, cn_buf_view(&b));
	else
		reply(v->conn, 200, cn_buf_view(&b));
	cn_wipe(b.p, b.cap);
}

static void job_after(uv_work_t *work, int status)
{
	struct job *job = work->data;
	struct visitor *v = job->visitor;
	struct cn_admin *a = job->admin;

	(void)status;
	if (v) {
		v->busy = false;
		if (v->conn) {
			job_tell(job);
		} else {
			/* It left while its token was made: nobody can ever use that. */
			if (!job->bad && !job->remove)
				token_revoke(a, job->record.name);
			visitor_free(v);
		}
	}
	if (job->text)
		cn_wipe(job->text, strlen(job->text));
	free(job->text);
	cn_arena_done(&job->arena);
	free(job);
	if (--a->jobs == 0 && a->closed)
		free(a);
}

static void job_start(struct cn_admin *a, struct visitor *v, struct job *job)
{
	job->admin = a;
	job->visitor = v;
	if (v)
		v->busy = true;
	job->work.data = job;
	a->jobs++;
	cn_assert(uv_queue_work(&a->server->loop, &job->work, job_run, job_after) == 0);
}

static void token_revoke(struct cn_admin *a, struct cn_view name)
{
	struct job *job = cn_zalloc(sizeof(*job));

	job->remove = true;
	job->record.name = cn_arena_view(&job->arena, name);
	job_start(a, NULL, job);
}

static struct cn_view text_of(struct job *job, struct cn_json body, const char *key)
{
	/* A copy: the body is gone before the job runs. */
	return cn_arena_view(&job->arena,
	                     cn_json_text(&job->arena, cn_json_get(body, key)));
}

static uint32_t scopes_of(struct cn_json scopes)
{
	uint32_t set = 0;

	for (struct cn_json_iter it = cn_json_iter(scopes); cn_json_next(&it);) {
		if (cn_json_is(it.value, "turn"))
			set |= CN_SCOPE_TURN;
		if (cn_json_is(it.value, "view"))
			set |= CN_SCOPE_VIEW;
		if (cn_json_is(it.value, "admin"))
			set |= CN_SCOPE_ADMIN;
	}
	return set ? set : CN_SCOPE_TURN;
}

static double dollars_of(struct job *job, struct cn_json number)
{
	double n = 0;

	if (number.kind == CN_JSON_NUMBER)
		n = strtod(cn_arena_dup(&job->arena, number.raw), NULL);
	return n > 0 && n < 1e12 ? n : 0;
}

static void add_token_call(struct visitor *v, struct cn_json body)
{
	struct cn_server *s = v->admin->server;
	struct job *job = cn_zalloc(sizeof(*job));
	struct cn_token_record *r = &job->record;
	CN_AUTO(cn_buf) name = {0};

	*r = (struct cn_token_record){
	    .name = text_of(job, body, "name"),
	    .owner = text_of(job, body, "owner"),
	    .project = text_of(job, body, "project"),
	    .chain = text_of(job, body, "chain"),
	    .scopes = scopes_of(cn_json_get(body, "scopes")),
	    .run = v->call == CN_ADMIN_RUN,
	};
	(void)cn_json_u64(cn_json_get(body, "requests_per_minute"),
	                  &r->requests_per_minute);
	(void)cn_json_u64(cn_json_get(body, "turns"), &r->turns);
	(void)cn_json_u64(cn_json_get(body, "tokens_per_day"), &r->tokens_per_day);
	r->money_per_day = dollars_of(job, cn_json_get(body, "money_per_day"));
	if (!r->owner.n)
		r->owner = CN_VIEW("local");
	if (!r->name.n) {
		cn_buf_add_str(&name, r->run ? "run-" : "env-");
		cn_random_id(&name, 10);
		r->name = cn_arena_view(&job->arena, cn_buf_view(&name));
	}
	if (r->chain.n) {
		struct cn_policy *p = cn_shared__policy(&s->shared);
		bool known = cn_policy_chain(p, r->chain) != NULL;

		cn_policy_unref(p);
		if (!known) {
			reply_error(v->conn, 404, "the policy has no chain of that name");
			cn_arena_done(&job->arena);
			free(job);
			return;
		}
	}
	job_start(v->admin, v, job);
}

static void remove_token_call(struct visitor *v, struct cn_json body)
{
	struct job *job = cn_zalloc(sizeof(*job));

	job->remove = true;
	job->record.name = text_of(job, body, "name");
	job_start(v->admin, v, job);
}

/* ---- /api/run ---- */

struct lookup {
	struct cn_view name;
	bool found;
};

static void find_run_token(void *self, const struct cn_token *t)
{
	struct lookup *l = self;

	l->found |= t->run && cn_view_is(l->name, t->name);
}

static bool same_file(struct cn_view wanted, const char *ours)
{
	CN_AUTOFREE char *a = cn_view_dup(wanted);
	CN_AUTOFREE char *ra = realpath(a, NULL);
	CN_AUTOFREE char *rb = realpath(ours, NULL);

	return ra && rb && strcmp(ra, rb) == 0;
}

static void run_call(struct visitor *v, struct cn_json body)
{
	struct cn_server *s = v->admin->server;
	CN_AUTO(cn_arena) a = {0};
	struct cn_view policy = cn_json_text(&a, cn_json_get(body, "policy"));
	struct lookup l = {.name = cn_json_text(&a, cn_json_get(body, "name"))};
	char message[600];

	if (policy.n && !same_file(policy, s->opts->policy)) {
		snprintf(
		    message, sizeof(message),
		    "a router with another policy is running here: %.400s; stop it, or use "
		    "another --home",
		    s->opts->policy);
		reply_error(v->conn, 409, message);
		return;
	}
	if (s->stage != CN_SERVER_SERVING) {
		reply_error(v->conn, 503, "the router is stopping");
		return;
	}
	if (!l.name.n) {
		add_token_call(v, body);
		return;
	}
	cn_access__each(s->shared.access, find_run_token, &l);
	if (l.found)
		begin_lease(v, l.name, CN_VIEW("{}\n"));
	else
		reply_error(v->conn, 404, "no client of that name");
}

/* ---- clients that never came back ---- */

struct orphans {
	struct cn_admin *admin;
	struct cn_arena arena;
	struct cn_view names[64];
	size_t n;
};

static void find_orphan(void *self, const struct cn_token *t)
{
	struct orphans *o = self;

	if (!t->run || o->n == 64)
		return;
	CN_LIST_EACH(link, &o->admin->visitors)
	{
		const struct visitor *v = cn_container_of(link, struct visitor, link);

		if (v->leased && strcmp(v->leased, t->name) == 0)
			return;
	}
	o->names[o->n++] = cn_arena_view(&o->arena, cn_view_str(t->name));
}

void cn_admin__sweep(struct cn_admin *a, uint64_t now_ms)
{
	struct orphans o = {.admin = a};

	if (!a->orphans_at_ms)
		a->orphans_at_ms = now_ms + CN_ORPHAN_MS;
	if (now_ms < a->orphans_at_ms)
		return;
	a->orphans_at_ms = now_ms + CN_ORPHAN_MS;
	cn_access__each(a->server->shared.access, find_orphan, &o);
	for (size_t i = 0; i < o.n; i++)
		token_revoke(a, o.names[i]);
	cn_arena_done(&o.arena);
}

/* ---- /api/reset ---- */

static void reset_call(struct visitor *v, struct cn_json body)
{
	struct cn_shared *sh = &v->admin->server->shared;
	CN_AUTO(cn_arena) a = {0};

	uv_mutex_lock(&sh->health_lock);
	cn_health_reset(sh->health, cn_json_text(&a, cn_json_get(body, "name")));
	uv_mutex_unlock(&sh->health_lock);
	reply(v->conn, 200, CN_VIEW("{}"));
}

/* ---- the listener's events ---- */

static bool on_head(void *self, struct cn_conn *c, const struct cn_head *head,
                    uint64_t *max_body)
{
	struct cn_admin *a = self;
	struct visitor *v = cn_conn_data(c);

	if (!v) {
		v = cn_zalloc(sizeof(*v));
		v->admin = a;
		v->conn = c;
		cn_list_init(&v->link);
		cn_list_append(&a->visitors, &v->link);
		cn_conn_set_data(c, v);
	}
	*max_body = CN_ADMIN_BODY;
	for (size_t i = 0; i < sizeof(CN_ROUTES) / sizeof(CN_ROUTES[0]); i++) {
		if (cn_view_is(head->method, CN_ROUTES[i].method) &&
		    cn_view_is(head->path, CN_ROUTES[i].path)) {
			v->call = CN_ROUTES[i].call;
			return true;
		}
	}
	reply_error(c, 404, "there is no such call");
	return false;
}

static void on_request(void *self, struct cn_conn *c, const struct cn_head *head,
                       struct cn_buf body)
{
	struct visitor *v = cn_conn_data(c);
	struct cn_view text = body.n ? cn_buf_view(&body) : CN_VIEW("{}");
	struct cn_json json = cn_json_root(text);

	(void)self;
	(void)head;
	if (cn_json_check(text, NULL) || json.kind != CN_JSON_OBJECT) {
		reply_error(c, 400, "the body is no JSON object");
	} else {
		switch (v->call) {
		case CN_ADMIN_STATUS:
			tell_status(v);
			break;
		case CN_ADMIN_TOKENS:
			tell_tokens(v);
			break;
		case CN_ADMIN_TOKEN_ADD:
			add_token_call(v, json);
			break;
		case CN_ADMIN_TOKEN_REMOVE:
			remove_token_call(v, json);
			break;
		case CN_ADMIN_RUN:
			run_call(v, json);
			break;
		case CN_ADMIN_RESET:
			reset_call(v, json);
			break;
		}
	}
	cn_charge_release(&v->admin->server->shared.charge, body.n);
	cn_buf_done(&body);
}

static void on_refused(void *self, struct cn_conn *c, int status, const char *why)
{
	(void)self;
	reply_error(c, status, why);
}

/* The connection is over for us.  The end of a lease: its client has gone, so its token
 * goes too. */
static void on_close(void *self, struct cn_conn *c)
{
	struct cn_admin *a = self;
	struct visitor *v = cn_conn_data(c);

	if (!v)
		return;
	cn_conn_set_data(c, NULL);
	v->conn = NULL;
	if (v->leased) {
		a->leases--;
		/* A router that stops does not revoke: its successor finds the token. */
		if (a->server->stage == CN_SERVER_SERVING)
			token_revoke(a, cn_view_str(v->leased));
	}
	if (!v->busy)
		visitor_free(v);
}

/* It left while it was being answered, as every lease does: nothing more can be said. */
static void on_gone(void *self, struct cn_conn *c, const char *why)
{
	(void)why;
	on_close(self, c);
}

/* What is written is far below any mark, so nothing waits to go on. */
static void on_drain(void *self, struct cn_conn *c)
{
	(void)self;
	(void)c;
}

int cn_admin__open(struct cn_server *s, struct cn_error *reterr)
{
	struct cn_admin *a = cn_zalloc(sizeof(*a));
	struct cn_listener_opts opts = {
	    .loop = &s->loop,
	    .handler = {.on_head = on_head,
	                .on_request = on_request,
	                .on_refused = on_refused,
	                .on_drain = on_drain,
	                .on_gone = on_gone,
	                .on_close = on_close,
	                .self = a},
	    .charge = &s->shared.charge,
	    .max_connections = 256,
	};
	int fd, bad;

	a->server = s;
	cn_list_init(&a->visitors);
	bad = cn_listen_unix(s->opts->admin_socket, &fd, reterr);
	if (!bad)
		bad = cn_listener_open(&opts, fd, true, &a->listener, reterr);
	if (bad) {
		free(a);
		return bad;
	}
	s->admin = a;
	return 0;
}

static void on_closed(void *self)
{
	struct cn_admin *a = self;

	a->closed = true;
	if (a->jobs == 0)
		free(a);
}

void cn_admin__close(struct cn_server *s)
{
	struct cn_admin *a = cn_steal(&s->admin);

	(void)unlink(s->opts->admin_socket); /* gone already is as good */
	cn_listener_close(a->listener, on_closed, a);
}
