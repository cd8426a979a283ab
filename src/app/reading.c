/*
 * A client's body read into a request, for turns and counts alike: its facts, whose
 * conversation it is when the client does not say, and what it weighs.
 *
 * A large body is read on the pool, so that the worker's other turns do not wait for it.
 * The pool may be full of others' work for longer than a client should wait: then the sweep
 * takes the job back and the worker reads the body itself.  Owns the job; what is read
 * stands in the asker's arena.
 */
#include "app_impl.h"

#include "continuo/canon.h"
#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/estimate.h"

#include <stdlib.h>

#define CN_READ_QUEUED_MS 50 /* before the sweep takes a job back */

struct cn_reading_job {
	uv_work_t work;
	struct cn_list link;      /* in the worker's readings */
	struct cn_client *client; /* borrowed; NULL once it is gone */
	struct cn_reading reading;
	uint64_t since_ms;
	struct cn_error err;
	int bad; /* set by whoever reads */
};

/* ---- the head ---- */

void cn_reading__keep_head(struct cn_arena *a, const struct cn_head *head,
                           struct cn_kept_head *ret)
{
	ret->v = cn_arena_zalloc(a, (head->n_fields + 1) * sizeof(*ret->v));
	ret->n = 0;
	for (size_t i = 0; i < head->n_fields; i++) {
		struct cn_view name = head->fields[i].name;

		/* Routes may ask for any field but a credential. */
		if (cn_view_is(name, "authorization") || cn_view_is(name, "x-api-key") ||
		    cn_view_is(name, "x-continuo-token") || cn_view_is(name, "cookie"))
			continue;
		ret->v[ret->n++] = (struct cn_field){
		    cn_arena_view(a, name), cn_arena_view(a, head->fields[i].value)};
	}
}

struct cn_view cn_reading__header(const void *self, const char *name)
{
	const struct cn_kept_head *head = self;

	for (size_t i = 0; i < head->n; i++)
		if (cn_view_is(head->v[i].name, name))
			return head->v[i].value;
	return (struct cn_view){NULL, 0};
}

/* ---- the body ---- */

/*
 * Clients without any id: the conversation is that of its first message.  In the canonical
 * form, because cache_control moves on from turn to turn and takes the array around a
 * single text with it (wire/claude-code-client.md 4).
 */
static struct cn_view first_message_session(const struct cn_reading *r)
{
	struct cn_json_iter first = cn_json_iter(r->req->messages);
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) name = {0};
	struct cn_canon canon = {&a, r->owner, cn_nodes__hash, r->vault};
	struct cn_node node;

	if (!cn_json_next(&first) ||
	    cn_canon_message(&canon, first.value.raw, &(struct cn_hash){0}, &node, NULL))
		return (struct cn_view){NULL, 0};
	cn_buf_add_str(&name, "first-");
	cn_hex(&name, node.id.b, 12);
	return cn_arena_view(r->arena, cn_buf_view(&name));
}

int cn_reading__run(struct cn_reading *r, struct cn_error *reterr)
{
	struct cn_estimate estimate = {0};
	struct cn_request_ear ear = cn_estimate_ear(&estimate);
	int bad = cn_request_read(r->arena, r->body, &r->ids, &ear, r->req, reterr);

	if (bad)
		return bad;
	if (r->req->session.n == 0)
		r->req->session = first_message_session(r);
	/* Each try asks for them. */
	for (size_t i = 0; i < r->req->n_thoughts; i++) {
		struct cn_thought *t = &r->req->thoughts[i];

		t->has_origin = cn_provenance__of_block(r->vault, r->owner,
		                                        cn_json_root(t->block), &t->origin);
	}
	r->req->estimate = cn_estimate_tokens(&estimate, r->req);
	cn_estimate_least(&estimate, r->req, &r->req->least_system, &r->req->least_rest);
	return 0;
}

/* ---- on the pool ---- */

/* Pool, or the worker when the pool never came to it. */
static void job_run(uv_work_t *work)
{
	struct cn_reading_job *job = work->data;

	job->bad = cn_reading__run(&job->reading, &job->err);
}

static void job_after(uv_work_t *work, int status)
{
	struct cn_reading_job *job = work->data;

	if (status == UV_ECANCELED && job->client)
		job_run(work);
	cn_list_remove(&job->link);
	if (job->client)
		job->client->reading = NULL;
	job->reading.on_read(job->reading.self, job->client, job->bad, &job->err);
	free(job);
}

bool cn_reading__queue(struct cn_client *client, const struct cn_reading *r)
{
	struct cn_worker *w = client->worker;
	struct cn_reading_job *job;

	if (r->body.n <= CN_READ_AT_ONCE)
		return false;
	job = cn_zalloc(sizeof(*job));
	job->work.data = job;
	job->client = client;
	job->reading = *r;
	job->since_ms = cn_clock_ms();
	cn_list_init(&job->link);
	cn_list_append(&w->readings, &job->link);
	client->reading = job;
	cn_count(CN_CT_BODIES_POOLED);
	cn_assert(uv_queue_work(&w->loop, &job->work, job_run, job_after) == 0);
	return true;
}

void cn_reading__gone(struct cn_reading_job *job)
{
	job->client = NULL;
	(void)uv_cancel((uv_req_t *)&job->work); /* where it runs already, it ends soon */
}

void cn_reading__sweep(struct cn_worker *w, uint64_t now_ms)
{
	CN_LIST_EACH(link, &w->readings)
	{
		struct cn_reading_job *job =
		    cn_container_of(link, struct cn_reading_job, link);

		/* One that runs cannot be taken back, and need not. */
		if (now_ms - job->since_ms >= CN_READ_QUEUED_MS)
			(void)uv_cancel((uv_req_t *)&job->work);
	}
}
