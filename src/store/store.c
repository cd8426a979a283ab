/*
 * Opening and closing the store, and its state as others see it.  Owns struct cn_store.
 * Opening makes and locks the directory, opens and verifies the environment (setting a
 * damaged one aside) and starts the writer; a command that reads beside a running router
 * takes no lock and starts none.  What is written and read lives in the other files.
 */
#include "store_impl.h"

#include <errno.h>
#include <unistd.h>

#include "continuo/counters.h"
#include "continuo/log.h"
#include "continuo/trace.h"

const struct cn_store_rules cn_store__usual_rules = {
    .group_ms = 5,
    .group_records = 256,
    .group_bytes = (size_t)32 << 20,
    .queue_bytes = (size_t)64 << 20,
    .probe_ms = 10000,
    .check_ms = 60000,
    .sweep_ms = 3600000,
    .free_low = (uint64_t)1 << 30,
    .free_part = 5,
    .free_stop = (uint64_t)200 << 20,
};

/* ---- state ---- */

enum cn_store_state cn_store_state(const struct cn_store *s)
{
	return (enum cn_store_state)atomic_load(&s->state);
}

const char *cn_store_why(const struct cn_store *s)
{
	return atomic_load(&s->why);
}

void cn_store__settle(struct cn_store *s)
{
	enum cn_store_state before = cn_store_state(s), after = CN_STORE_WELL;
	const char *why = "";

	if (s->failed) {
		after = CN_STORE_DEGRADED;
		why = s->failed;
	} else if (s->space == CN_SPACE_NONE) {
		after = CN_STORE_DEGRADED;
		why = "the disk is almost full";
	} else if (s->space == CN_SPACE_LOW) {
		after = CN_STORE_NO_JOURNAL;
		why = "little disk space is left";
	}
	atomic_store(&s->why, why);
	atomic_store(&s->state, (int)after);
	if (before == after)
		return;
	switch (after) {
	case CN_STORE_WELL:
		cn_log(NULL, CN_LOG_INFO, "the history is kept again",
		       CN_STR(PATH, s->dir));
		cn_trace(CN_TR_STORE, 0, 0, CN_VIEW("well"));
		return;
	case CN_STORE_NO_JOURNAL:
		cn_log(NULL, CN_LOG_WARNING, "only finished turns are kept",
		       CN_STR(REASON, why), CN_STR(PATH, s->dir));
		cn_trace(CN_TR_STORE, 0, 0, CN_VIEW("no journal"));
		return;
	case CN_STORE_DEGRADED:
		cn_log(NULL, CN_LOG_ERROR, "serving without history", CN_STR(REASON, why),
		       CN_STR(PATH, s->dir));
		cn_trace(CN_TR_STORE, 0, 0, CN_VIEW("degraded"));
		return;
	}
}

/* ---- open and close ---- */

static struct cn_store *store_new(const struct cn_store_opts *opts,
                                  const struct cn_store_rules *rules)
{
	struct cn_store *s = cn_zalloc(sizeof(*s));
	size_t n;

	s->dir = cn_strdup(opts->dir);
	for (n = strlen(s->dir); n > 1 && s->dir[n - 1] == '/'; n--)
		s->dir[n - 1] = '\0';
	s->crypt = opts->crypt;
	s->rules = *rules;
	s->max_size = opts->max_size;
	s->retention_ms = opts->retention_ms;
	s->read_only = opts->read_only;
	s->dir_fd = -1;
	cn_assert(uv_rwlock_init(&s->env_lock) == 0);
	cn_assert(uv_mutex_init(&s->readers_lock) == 0);
	cn_assert(uv_mutex_init(&s->lock) == 0);
	cn_assert(uv_cond_init(&s->wake) == 0 && uv_cond_init(&s->job_done) == 0);
	cn_list_init(&s->readers);
	cn_list_init(&s->queue);
	cn_list_init(&s->jobs);
	atomic_store(&s->why, "");
	s->zstd = ZSTD_createCCtx();
	cn_assert(s->zstd);
	return s;
}

static struct cn_store *store_free(struct cn_store *s)
{
	cn_store__env_close(s);
	if (s->dir_fd >= 0)
		(void)close(s->dir_fd); /* and so the lock goes */
	ZSTD_freeCCtx(s->zstd);
	cn_buf_done(&s->plain);
	cn_buf_done(&s->packed);
	uv_cond_destroy(&s->wake);
	uv_cond_destroy(&s->job_done);
	uv_mutex_destroy(&s->lock);
	uv_mutex_destroy(&s->readers_lock);
	uv_rwlock_destroy(&s->env_lock);
	free(s->dir);
	free(s);
	return NULL;
}

static int fail_open(const struct cn_store *s, int rc, struct cn_error *reterr)
{
	if (s->read_only && (rc == MDB_NOTFOUND || rc == ENOENT))
		return cn_fail(reterr, CN_E_NOT_FOUND, "there is no history in %s", s->dir);
	if (rc == CN_STORE_RC_FOREIGN)
		return cn_fail(
		    reterr, CN_E_DAMAGED,
		    "the history in %s is damaged or was made with another vault", s->dir);
	if (rc == CN_STORE_RC_NEWER)
		return cn_fail(reterr, CN_E_INVALID,
		               "the history in %s was written by a newer version", s->dir);
	return cn_fail(reterr,
	               cn_store__trouble(rc) == CN_TROUBLE_DAMAGED ? CN_E_DAMAGED : CN_E_IO,
	               "opening the history in %s: %s", s->dir, mdb_strerror(rc));
}

static int start(struct cn_store *s, bool network_fs, struct cn_error *reterr)
{
	int rc, err = cn_store__disk_open(s, network_fs, reterr);

	if (err)
		return err;
	rc = cn_store__env_open(s);
	if (!s->read_only && cn_store__trouble(rc) == CN_TROUBLE_DAMAGED) {
		if ((err = cn_store__disk_set_aside(s, reterr)))
			return err;
		rc = cn_store__env_open(s);
	}
	if (rc)
		return fail_open(s, rc, reterr);
	if (s->read_only)
		return 0;
	s->space = cn_store__disk_space(s);
	cn_store__settle(s);
	return cn_store__writer_start(s, reterr);
}

int cn_store__open(const struct cn_store_opts *opts, const struct cn_store_rules *rules,
                   struct cn_store **ret, struct cn_error *reterr)
{
	struct cn_store *s = store_new(opts, rules);
	int err = start(s, opts->network_fs, reterr);

	if (err) {
		(void)store_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

int cn_store_open(const struct cn_store_opts *opts, struct cn_store **ret,
                  struct cn_error *reterr)
{
	return cn_store__open(opts, &cn_store__usual_rules, ret, reterr);
}

struct cn_store *cn_store_close(struct cn_store *s)
{
	if (!s)
		return NULL;
	if (!s->read_only)
		cn_store__writer_stop(s);
	return store_free(s);
}
