/*
 * The writer: one thread that does every LMDB write (design/security.md 9).
 *
 * It gathers what is queued within 5 ms (at most 256 records) into one transaction, commits
 * with sync and then tells each batch.  What goes wrong is remedied once per group (a
 * larger map, pruning, opening again, setting aside) and the group written again, which is
 * harmless: nothing is written twice under one key.  When that does not help the store is
 * degraded: batches are given up at once, and every 10 s a real write asks whether it is
 * well again.  In between the writer looks after free space, dead readers, retention and
 * readers that are too old.  Submitters and waiting callers touch the queue only.
 */
#include "store_impl.h"

#include <errno.h>
#include <signal.h>

#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/log.h"
#include "continuo/trace.h"

#define CN_SPACE_MS     1000 /* between looks at the free space */
#define CN_GROW_TRIES   16
#define CN_SCRATCH_KEPT ((size_t)1 << 20)
#define CN_PROBE_BYTES  ((size_t)64 << 10) /* more than a few reused pages hold */
#define CN_PROBE_SWEEPS 16
#define CN_MS_AS_NS(ms) ((ms)*1000000)

/* ---- submitting; any thread ---- */

void cn_store_submit(struct cn_store *s, struct cn_batch *b, cn_store_word_fn on_done,
                     void *self)
{
	size_t bytes = b->arena.used, records = b->records;
	bool first, dropped;

	cn_assert(!s->read_only);
	b->on_done = on_done;
	b->self = self;
	b->queued_ms = cn_clock_ms();
	uv_mutex_lock(&s->lock);
	dropped = !b->turns && s->queued_bytes + bytes > s->rules.queue_bytes;
	b->dropped = dropped;
	if (dropped) {
		/* Only the callback goes on: it is the writer who calls it. */
		cn_store__batch_empty(b);
		b->records = 0;
	}
	first = cn_list_empty(&s->queue);
	cn_list_append(&s->queue, &b->link);
	s->queued_bytes += b->arena.used;
	s->queued_records += b->records;
	if (first || s->queued_records >= s->rules.group_records)
		uv_cond_signal(&s->wake);
	uv_mutex_unlock(&s->lock); /* b is the writer's, or gone, from here on */
	if (dropped)
		cn_count_add(CN_CT_STORE_DROPPED, records);
}

size_t cn_store_queued(const struct cn_store *s)
{
	return atomic_load(&s->queued_records);
}

int cn_store__run(struct cn_store *s, struct cn_store_job *job, struct cn_error *reterr)
{
	if (s->read_only)
		return cn_fail(reterr, CN_E_DENIED, "the history is open for reading only");
	job->done = false;
	uv_mutex_lock(&s->lock);
	cn_list_append(&s->jobs, &job->link);
	uv_cond_signal(&s->wake);
	while (!job->done)
		uv_cond_wait(&s->job_done, &s->lock);
	uv_mutex_unlock(&s->lock);
	if (job->err && reterr)
		*reterr = job->error;
	return job->err;
}

/* ---- trouble and its remedies ---- */

static void log_trouble(int rc, const char *message)
{
	cn_count(CN_CT_STORE_ERRORS);
	cn_log(NULL, CN_LOG_WARNING, message, CN_STR(REASON, cn_store__why(rc)),
	       CN_STR(ERROR, rc < -30000 ? mdb_strerror(rc)
	                     : rc > 0    ? strerror(rc)
	                                 : "record"));
}

/* Removes what retention allows; whether anything went. */
static bool prune(struct cn_store *s)
{
	size_t all = 0, removed;
	bool more = true;

	for (unsigned i = 0; i < CN_PROBE_SWEEPS && more; i++) {
		int rc = cn_store__sweep(s, &more, &removed);

		if (rc == MDB_MAP_FULL && cn_store__env_grow(s, true))
			rc = cn_store__sweep(s, &more, &removed);
		if (rc)
			return all > 0;
		all += removed;
	}
	return all > 0;
}

/* Which remedies a group has had: each but growing is tried once. */
struct cn_remedies {
	unsigned grown;
	bool pruned, reopened, set_aside;
};

/* Whether the group should be written again. */
static bool remedy(struct cn_store *s, int rc, struct cn_remedies *had)
{
	log_trouble(rc, "the history could not be written");
	switch (cn_store__trouble(rc)) {
	case CN_TROUBLE_NONE:
		return false;
	case CN_TROUBLE_FULL:
		if (rc == MDB_MAP_FULL && had->grown++ < CN_GROW_TRIES &&
		    cn_store__env_grow(s, false))
			return true;
		if (had->pruned)
			return false;
		had->pruned = true;
		return prune(s);
	case CN_TROUBLE_SUSPECT:
		/* Never the same sync again: the kernel may have dropped the pages. */
		if (had->reopened)
			return false;
		had->reopened = true;
		return cn_store__env_reopen(s, false) == 0;
	case CN_TROUBLE_DAMAGED:
		if (had->set_aside)
			return false;
		had->set_aside = true;
		return cn_store__env_reopen(s, true) == 0;
	}
	return false;
}

static void degrade(struct cn_store *s, int rc)
{
	s->failed = cn_store__disk_full(s) ? cn_store__why(ENOSPC) : cn_store__why(rc);
	s->next_probe_ms = cn_clock_ms() + s->rules.probe_ms;
	cn_store__settle(s);
}

/* ---- groups ---- */

static int write_group(struct cn_store *s, const struct cn_list *group)
{
	struct cn_store_txn t;
	int rc = cn_store__begin(s, &t);

	if (rc)
		return rc;
	for (struct cn_list *it = group->next; it != group; it = it->next) {
		rc = cn_store__write_batch(&t, cn_container_of(it, struct cn_batch, link));
		if (rc) {
			cn_store__abort(&t);
			return rc;
		}
	}
	return cn_store__commit(&t);
}

static enum cn_store_word word_of(const struct cn_batch *b, bool ok)
{
	if (!ok || b->dropped)
		return CN_STORE_LOST;
	return b->incomplete ? CN_STORE_INCOMPLETE : CN_STORE_KEPT;
}

/* Tells every batch of the list and frees it. */
static void finish(struct cn_list *group, bool ok)
{
	CN_LIST_EACH(it, group)
	{
		struct cn_batch *b = cn_container_of(it, struct cn_batch, link);

		cn_list_remove(it);
		if (b->on_done)
			b->on_done(b->self, word_of(b, ok));
		(void)cn_batch_free(b);
	}
}

/* Of a group that was written: its records without those of incomplete batches. */
static size_t kept(const struct cn_list *group)
{
	size_t records = 0;

	for (struct cn_list *it = group->next; it != group; it = it->next) {
		const struct cn_batch *b = cn_container_of(it, struct cn_batch, link);

		records += b->incomplete ? 0 : b->records;
	}
	return records;
}

/* With little space left only finished turns are kept.  Returns the records given up. */
static size_t give_up_journal(struct cn_list *group)
{
	struct cn_list journal;
	size_t records = 0;

	cn_list_init(&journal);
	CN_LIST_EACH(it, group)
	{
		const struct cn_batch *b = cn_container_of(it, struct cn_batch, link);

		if (b->turns)
			continue;
		records += b->records;
		cn_list_remove(it);
		cn_list_append(&journal, it);
	}
	cn_count_add(CN_CT_STORE_DROPPED, records);
	finish(&journal, false);
	return records;
}

static void drop_scratch(struct cn_buf *b)
{
	if (b->cap > CN_SCRATCH_KEPT)
		cn_buf_done(b);
}

static void look_at_space(struct cn_store *s)
{
	uint64_t now = cn_clock_ms();

	if (now < s->next_space_ms)
		return;
	s->next_space_ms = now + CN_SPACE_MS;
	s->space = cn_store__disk_space(s);
	cn_store__settle(s);
}

static void on_group(struct cn_store *s, struct cn_list *group, size_t records)
{
	struct cn_remedies had = {0};
	int rc = 0;

	look_at_space(s);
	if (cn_store_state(s) == CN_STORE_NO_JOURNAL)
		records -= give_up_journal(group);
	if (cn_store_state(s) == CN_STORE_DEGRADED) {
		cn_count_add(CN_CT_STORE_DROPPED, records);
		finish(group, false);
		return;
	}
	while (records && (rc = write_group(s, group)))
		if (!remedy(s, rc, &had)) {
			degrade(s, rc);
			cn_count_add(CN_CT_STORE_DROPPED, records);
			break;
		}
	if (records && rc == 0 && (records = kept(group))) {
		cn_count(CN_CT_STORE_COMMITS);
		cn_count_add(CN_CT_STORE_RECORDS, records);
		cn_trace(CN_TR_STORE, 0, records, CN_VIEW("commit"));
	}
	finish(group, rc == 0);
	drop_scratch(&s->plain);
	drop_scratch(&s->packed);
}

/* ---- jobs ---- */

static void run_job(struct cn_store *s, struct cn_store_job *job)
{
	struct cn_remedies had = {0};
	int rc;

	do {
		struct cn_store_txn t;

		job->err = 0;
		rc = cn_store__begin(s, &t);
		if (rc == 0)
			job->err = job->run(&t, job->self, &job->error, &rc);
		if (rc == 0 && job->err == 0)
			rc = cn_store__commit(&t);
		else
			cn_store__abort(&t);
	} while (rc && remedy(s, rc, &had));
	if (rc) {
		job->err = cn_fail(&job->error, CN_E_IO, "%s", cn_store__why(rc));
		degrade(s, rc);
	}
}

static void on_jobs(struct cn_store *s, struct cn_list *jobs)
{
	CN_LIST_EACH(it, jobs)
	{
		struct cn_store_job *job = cn_container_of(it, struct cn_store_job, link);

		cn_list_remove(it);
		if (s->failed || s->space == CN_SPACE_NONE)
			job->err =
			    cn_fail(&job->error, CN_E_IO, "nothing can be stored now: %s",
			            cn_store_why(s));
		else
			run_job(s, job);
		uv_mutex_lock(&s->lock);
		job->done = true;
		uv_cond_broadcast(&s->job_done);
		uv_mutex_unlock(&s->lock);
	}
}

/* ---- housekeeping ---- */

/* A write like any other: it must reach the disk. */
static int probe_write(struct cn_store *s, bool remove)
{
	struct cn_store_txn t;
	CN_AUTO(cn_buf) b = {0};
	int rc = cn_store__begin(s, &t);

	if (rc)
		return rc;
	if (!remove)
		cn_random(cn_buf_reserve(&b, CN_PROBE_BYTES), CN_PROBE_BYTES);
	rc = remove ? cn_store__value_del(&t, CN_DB_META, CN_VIEW("probe"))
	            : cn_store__value_put(&t, CN_DB_META, CN_VIEW("probe"),
	                                  cn_view(b.p, CN_PROBE_BYTES));
	if (rc == 0)
		return cn_store__commit(&t);
	cn_store__abort(&t);
	return rc;
}

static void probe(struct cn_store *s)
{
	int rc = cn_store__env_reopen(s, false); /* the last write may have left anything */

	if (rc == 0)
		(void)prune(s); /* the write tells whether it helped */
	if (rc == 0 && (rc = probe_write(s, false)) == 0)
		rc = probe_write(s, true);
	if (cn_store__trouble(rc) == CN_TROUBLE_DAMAGED && s->env)
		rc = cn_store__env_reopen(s, true);
	if (rc) {
		degrade(s, rc);
		return;
	}
	s->failed = NULL;
	cn_store__settle(s);
}

static void check_readers(struct cn_store *s)
{
	size_t old = cn_store__old_readers(s);
	int dead = 0;

	if (s->env && mdb_reader_check(s->env, &dead) == 0 && dead)
		cn_log(NULL, CN_LOG_INFO, "cleared up after readers that died",
		       CN_NUM(COUNT, dead));
	if (old)
		cn_log(NULL, CN_LOG_WARNING,
		       "readings of the history last too long and make its file grow",
		       CN_NUM(COUNT, old));
}

static void sweep(struct cn_store *s, uint64_t now)
{
	bool more = false;
	size_t removed = 0;
	int rc = cn_store__sweep(s, &more, &removed);

	if (rc)
		log_trouble(rc, "retention could not be enforced");
	else if (removed)
		cn_trace(CN_TR_STORE, 0, removed, CN_VIEW("swept"));
	s->next_sweep_ms = rc == 0 && more ? now : now + s->rules.sweep_ms;
	if (rc && cn_store__trouble(rc) != CN_TROUBLE_FULL &&
	    (rc = cn_store__env_reopen(s, false)))
		degrade(s, rc);
}

static void look_after(struct cn_store *s)
{
	uint64_t now = cn_clock_ms();
	int damage = atomic_exchange(&s->reported, 0);

	if (damage) {
		log_trouble(damage, "a reader found the history damaged");
		if ((damage = cn_store__env_reopen(s, true)))
			degrade(s, damage);
	}
	look_at_space(s);
	if (s->failed && now >= s->next_probe_ms) {
		if (s->space == CN_SPACE_NONE)
			s->next_probe_ms = now + s->rules.probe_ms;
		else
			probe(s);
	}
	if (now >= s->next_check_ms) {
		s->next_check_ms = now + s->rules.check_ms;
		check_readers(s);
	}
	if (!s->failed && now >= s->next_sweep_ms)
		sweep(s, now);
}

/* Milliseconds until something of look_after() is due. */
static uint64_t due_in(const struct cn_store *s)
{
	uint64_t now = cn_clock_ms(), due = s->next_check_ms;

	if (!s->failed && s->next_sweep_ms < due)
		due = s->next_sweep_ms;
	if (s->failed && s->next_probe_ms < due)
		due = s->next_probe_ms;
	/* Space is looked at with each write; on its own only while it is short. */
	if (s->space != CN_SPACE_WELL && s->next_space_ms + s->rules.probe_ms < due)
		due = s->next_space_ms + s->rules.probe_ms;
	return due > now ? due - now : 0;
}

/* ---- the thread ---- */

/* Waits for work, then for its company; under the queue's lock. */
static void gather(struct cn_store *s)
{
	uint64_t until, now, wait;

	while (cn_list_empty(&s->queue) && cn_list_empty(&s->jobs) && !s->closing) {
		wait = atomic_load(&s->reported) ? 0 : due_in(s);
		if (wait == 0 || uv_cond_timedwait(&s->wake, &s->lock, CN_MS_AS_NS(wait)))
			return;
	}
	/* Who came alone the last time is not made to wait for company that does not come.
	 */
	if (cn_list_empty(&s->queue) || s->last_group < 2)
		return;
	until = cn_container_of(s->queue.next, struct cn_batch, link)->queued_ms +
	        s->rules.group_ms;
	while (!s->closing && s->queued_records < s->rules.group_records &&
	       cn_list_empty(&s->jobs) && (now = cn_clock_ms()) < until)
		(void)uv_cond_timedwait(&s->wake, &s->lock, CN_MS_AS_NS(until - now));
}

/* Takes one group off the queue; under its lock.  Returns its records. */
static size_t take_group(struct cn_store *s, struct cn_list *group)
{
	size_t records = 0, bytes = 0, n = 0;

	cn_list_init(group);
	while (!cn_list_empty(&s->queue) && records < s->rules.group_records &&
	       bytes < s->rules.group_bytes) {
		struct cn_batch *b = cn_container_of(s->queue.next, struct cn_batch, link);

		cn_list_remove(&b->link);
		cn_list_append(group, &b->link);
		records += b->records;
		bytes += b->arena.used;
		n++;
	}
	if (n)
		s->last_group = n;
	s->queued_records -= records;
	s->queued_bytes -= bytes;
	return records;
}

static void take_jobs(struct cn_store *s, struct cn_list *jobs)
{
	cn_list_init(jobs);
	while (!cn_list_empty(&s->jobs)) {
		struct cn_list *it = s->jobs.next;

		cn_list_remove(it);
		cn_list_append(jobs, it);
	}
}

static void writer_main(void *self)
{
	struct cn_store *s = self;
	struct cn_list group, jobs;
	bool over = false;

	while (!over) {
		size_t records;

		uv_mutex_lock(&s->lock);
		gather(s);
		records = take_group(s, &group);
		take_jobs(s, &jobs);
		over = s->closing && cn_list_empty(&s->queue);
		uv_mutex_unlock(&s->lock);
		if (!cn_list_empty(&group))
			on_group(s, &group, records);
		on_jobs(s, &jobs);
		if (!over)
			look_after(s);
	}
}

int cn_store__writer_start(struct cn_store *s, struct cn_error *reterr)
{
	uint64_t now = cn_clock_ms();
	sigset_t all, old;
	int rc;

	s->next_space_ms = s->next_sweep_ms = now;
	s->next_check_ms = now + s->rules.check_ms;
	/* Signals are the main thread's; SIGXFSZ must come back from write() as EFBIG. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = uv_thread_create(&s->writer, writer_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return cn_fail(reterr, CN_E_FAIL, "starting the history's writer: %s",
		               uv_strerror(rc));
	return 0;
}

void cn_store__writer_stop(struct cn_store *s)
{
	uv_mutex_lock(&s->lock);
	s->closing = true;
	uv_cond_signal(&s->wake);
	uv_mutex_unlock(&s->lock);
	uv_thread_join(&s->writer);
}
