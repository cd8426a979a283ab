/*
 * The policy and the vault while serving: read anew on SIGHUP and when a file of them
 * changes.
 *
 * A reload is the vault, since a policy is checked against its keys, then parse, validate,
 * build, swap; all reading is done on the pool.  A broken file leaves what was in force in
 * force, is logged with its place, and is counted.  Owns the file watches; runs on the main
 * thread.
 */
#include "app_impl.h"

#include "continuo/config.h"
#include "continuo/counters.h"
#include "continuo/server.h"
#include "continuo/trace.h"

#include <stdlib.h>

#define CN_WATCH_MS    1000 /* how often a watched file is looked at */
#define CN_WATCHES_MAX 20   /* a policy, its 16 includes, the vault */

struct cn_reload {
	struct cn_server *server; /* borrowed */
	uv_fs_poll_t watches[CN_WATCHES_MAX];
	size_t n_watches, open;      /* started; not closed yet */
	bool vault_changed;          /* the pool took another vault over */
	struct cn_error vault_error; /* why not, with a message */
	uv_work_t work;
	enum {
		CN_RELOAD_IDLE,
		CN_RELOAD_READING,
		CN_RELOAD_AGAIN
	} stage;
	bool closing;
	struct cn_policy *read; /* what the pool read; NULL: it was broken */
	struct cn_error error;
};

static int check_key(void *self, const char *name, const char *origin,
                     struct cn_error *reterr)
{
	struct cn_shared *sh = self;

	return cn_vault_check(sh->vault, name, origin, reterr);
}

static void on_mistake(void *self, const struct cn_error *m)
{
	(void)self;
	cn_log(NULL, CN_LOG_ERROR, "policy mistake", CN_STR(FILE, m->file),
	       CN_NUM(LINE, m->line), CN_NUM(COLUMN, m->column), CN_STR(ERROR, m->message));
}

/* What the language has and this version does not act on: said once, rather than ignored.
 */
static void warn_of_later(const struct cn_policy *p)
{
	const struct {
		bool asked;
		const char *key;
	} later[] = {
	    {p->fallback.failback != CN_FAILBACK_NEXT_TURN, "fallback.failback"},
	    {p->fallback.hedge_after_ms != CN_FOREVER, "fallback.hedge_after"},
	    {p->otlp != NULL, "observability.otlp"},
	};

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (later[i].asked)
			cn_log(NULL, CN_LOG_WARNING, "not acted on by this version",
			       CN_STR(NAME, later[i].key), CN_STR(FILE, p->file));
}

/* Nothing is worse than a budget of money that counts none and does not say so. */
static void warn_of_prices(const struct cn_policy *p)
{
	if (!(p->budget_session.money > 0 || p->budget_token.money > 0 ||
	      p->budget_day.money > 0))
		return;
	for (size_t i = 0; i < p->n_models; i++)
		if (!p->models[i].price.date)
			cn_log(NULL, CN_LOG_WARNING,
			       "a model without a price counts nothing against budgets of "
			       "money",
			       CN_STR(MODEL, p->models[i].name), CN_STR(FILE, p->file));
}

int cn_reload__load(struct cn_shared *sh, const char *path, struct cn_policy **ret,
                    struct cn_error *reterr)
{
	struct cn_config_opts opts = {
	    .path = path, .check_key = check_key, .on_mistake = on_mistake, .self = sh};
	int bad = cn_config_load(&opts, ret, reterr);

	if (!bad) {
		warn_of_later(*ret);
		warn_of_prices(*ret);
	}
	return bad;
}

static void watch(struct cn_reload *r);

/* Pool.  The generation is noted too: an older file is refused from now on. */
static void read_vault(struct cn_reload *r)
{
	struct cn_shared *sh = &r->server->shared;
	struct cn_unlock how = r->server->opts->unlock;
	struct cn_policy *p = cn_shared__policy(sh);
	unsigned char id[16];

	r->vault_changed = false;
	r->vault_error = (struct cn_error){0};
	how.require_mlock = p->require_mlock;
	cn_policy_unref(p);
	if (cn_vault_reload(sh->vault, &how, &r->vault_changed, &r->vault_error) ||
	    !r->vault_changed || !sh->store)
		return;
	cn_vault_id(sh->vault, id);
	if (cn_store_vault_put(sh->store, id, cn_vault_generation(sh->vault), &r->error))
		cn_log(&r->server->log, CN_LOG_WARNING,
		       "the vault's generation was not noted",
		       CN_STR(ERROR, r->error.message));
}

/* Pool. */
static void read_run(uv_work_t *work)
{
	struct cn_reload *r = work->data;
	struct cn_shared *sh = &r->server->shared;

	read_vault(r);
	if (cn_reload__load(sh, r->server->opts->policy, &r->read, &r->error))
		r->read = NULL;
	else if (cn_usage__load(sh->usages, sh->store, r->read, false, &r->error))
		cn_log(&r->server->log, CN_LOG_ERROR, "what was spent before is not known",
		       CN_STR(ERROR, r->error.message));
}

/* What was decided at the start stays until the next one. */
static void warn_of_fixed(const struct cn_policy *old, const struct cn_policy *new)
{
	bool same = old->n_listen == new->n_listen && old->workers == new->workers &&
	            old->limits.memory_limit == new->limits.memory_limit;

	for (size_t i = 0; same && i < old->n_listen; i++)
		same = old->listen[i].port ==
		       new->listen[i].port &&cn_view_is(
			   cn_view_str(old->listen[i].host),
			   new->listen[i].host ? new->listen[i].host : "");
	if (!same)
		cn_log_plain(
		    NULL, CN_LOG_WARNING,
		    "`listen`, `workers` and `limits.memory_limit` change with the "
		    "next start only");
}

static void tell_vault(struct cn_reload *r)
{
	struct cn_server *s = r->server;

	if (r->vault_error.message[0]) {
		cn_log(&s->log, CN_LOG_ERROR,
		       "vault refused; what was opened stays in force",
		       CN_STR(PATH, s->opts->vault), CN_STR(ERROR, r->vault_error.message));
		cn_count(CN_CT_RELOADS_FAILED);
	} else if (r->vault_changed) {
		cn_log(&s->log, CN_LOG_INFO, "vault reloaded", CN_STR(PATH, s->opts->vault),
		       CN_NUM(COUNT, cn_vault_generation(s->shared.vault)));
		cn_count(CN_CT_VAULT_RELOADS);
	}
}

/* What was to rest until a key or the policy changes. */
static void end_rests(struct cn_shared *sh)
{
	uv_mutex_lock(&sh->health_lock);
	cn_health_renew(sh->health);
	uv_mutex_unlock(&sh->health_lock);
}

static void read_after(uv_work_t *work, int status)
{
	struct cn_reload *r = work->data;
	struct cn_server *s = r->server;
	bool again = r->stage == CN_RELOAD_AGAIN;

	(void)status;
	r->stage = CN_RELOAD_IDLE;
	if (r->closing) {
		r->read = cn_policy_unref(r->read);
		if (r->open == 0)
			free(r);
		return;
	}
	tell_vault(r);
	if (r->read || r->vault_changed)
		end_rests(&s->shared);
	if (r->read) {
		struct cn_policy *old = cn_shared__policy(&s->shared);

		warn_of_fixed(old, r->read);
		cn_policy_unref(old);
		cn_log(&s->log, CN_LOG_INFO, "policy reloaded", CN_STR(FILE, r->read->file),
		       CN_STR(VERSION, r->read->digest.hex));
		cn_count(CN_CT_RELOADS);
		cn_shared__swap_policy(&s->shared, cn_steal(&r->read));
		watch(r);
		cn_trace(CN_TR_RELOAD, 0, 0, CN_VIEW("ok"));
	} else {
		cn_log(&s->log, CN_LOG_ERROR, "policy refused; the old one stays in force",
		       CN_STR(ERROR, r->error.message));
		cn_count(CN_CT_RELOADS_FAILED);
		cn_trace(CN_TR_RELOAD, 0, 0, CN_VIEW("failed"));
	}
	if (again)
		cn_reload__now(s);
}

void cn_reload__now(struct cn_server *s)
{
	struct cn_reload *r = s->reload;

	if (r->stage != CN_RELOAD_IDLE) {
		r->stage = CN_RELOAD_AGAIN;
		return;
	}
	r->stage = CN_RELOAD_READING;
	r->work.data = r;
	cn_assert(uv_queue_work(&s->loop, &r->work, read_run, read_after) == 0);
}

static void on_change(uv_fs_poll_t *poll, int status, const uv_stat_t *before,
                      const uv_stat_t *after)
{
	struct cn_reload *r = poll->data;

	(void)before;
	(void)after;
	/* A file that is gone for a moment is an editor at work: its return is the change.
	 */
	if (status == 0)
		cn_reload__now(r->server);
}

static bool is_watched(struct cn_reload *r, const char *path)
{
	char have[4096];

	for (size_t i = 0; i < r->n_watches; i++) {
		size_t n = sizeof(have);

		if (uv_fs_poll_getpath(&r->watches[i], have, &n) == 0 &&
		    strcmp(have, path) == 0)
			return true;
	}
	return false;
}

static void watch_file(struct cn_reload *r, const char *path)
{
	uv_fs_poll_t *w = &r->watches[r->n_watches];

	if (r->n_watches == CN_WATCHES_MAX || is_watched(r, path))
		return;
	r->n_watches++;
	uv_fs_poll_init(&r->server->loop, w);
	w->data = r;
	r->open++;
	uv_fs_poll_start(w, on_change, path, CN_WATCH_MS);
}

/* What is in force, and what once was: a file that left the policy does no harm here. */
static void watch(struct cn_reload *r)
{
	struct cn_policy *p = cn_shared__policy(&r->server->shared);

	watch_file(r, r->server->opts->vault);
	for (size_t i = 0; i < p->n_files; i++)
		watch_file(r, p->files[i]);
	cn_policy_unref(p);
}

void cn_reload__start(struct cn_server *s)
{
	struct cn_reload *r = cn_zalloc(sizeof(*r));

	r->server = s;
	s->reload = r;
	watch(r);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct cn_reload *r = handle->data;

	if (--r->open == 0 && r->stage == CN_RELOAD_IDLE)
		free(r);
}

void cn_reload__close(struct cn_server *s)
{
	struct cn_reload *r = cn_steal(&s->reload);

	r->closing = true;
	for (size_t i = 0; i < r->n_watches; i++)
		uv_close((uv_handle_t *)&r->watches[i], on_watch_closed);
}
