/*
 * A turn on its way into the history.
 *
 * While the provider thinks, the request's messages are made into canonical nodes of a
 * batch on the pool; at the end the answer becomes one more node, the turn a record, and
 * all of it goes to the writer.  The end of the answer waits for the writer's word, but
 * never long: the turn's timer gives up first (design/security.md 9.3).  Owns the job; the
 * turn's memory stays as long as a job runs.
 */
#include "turn_impl.h"

#include "continuo/canon.h"
#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/json.h"

#include <stdlib.h>

#define CN_UNWRITTEN_SHARE 4 /* of the memory limit: batches that wait for the writer */

enum cn_job_stage {
	CN_JOB_RUNNING, /* the pool makes nodes */
	CN_JOB_READY,   /* nodes are there; the turn goes on */
	CN_JOB_AWAITED, /* the turn is over before the nodes are */
	CN_JOB_FAILED,  /* the body could not be read as messages */
};

struct cn_records_job {
	uv_work_t work;
	struct cn_turn *turn;        /* kept alive by its handles count */
	struct cn_batch *batch;      /* owned; given away to the writer */
	struct cn_hash prefix, last; /* nodes: system and tools, the last message */
	struct cn_hash body_hash;
	size_t charged;
	enum cn_job_stage stage; /* the loop's thread only */
	bool bad;                /* set by the pool before it ends */
};

/* A commit whose word a turn waits for; lives until the writer has spoken. */
struct cn_store_wait {
	struct cn_letter letter;
	struct cn_worker *worker; /* borrowed */
	struct cn_turn *turn;     /* NULL: it waits no longer */
	size_t charged;           /* for the batch, as long as the writer has it */
	bool ok;
};

static struct cn_hash node_hash(void *self, const struct cn_view *views, size_t n)
{
	return cn_vault_hash(self, CN_VAULT_HASH_NODE, views, n);
}

static void job_free(struct cn_records_job *job)
{
	cn_charge_release(&job->turn->worker->shared->charge, job->charged);
	(void)cn_batch_free(job->batch);
	free(job);
}

/* Pool. */
static void job_run(uv_work_t *work)
{
	struct cn_records_job *job = work->data;
	const struct cn_turn *t = job->turn;
	struct cn_view body = t->req.body;
	CN_AUTO(cn_arena) arena = {0};
	struct cn_canon canon;

	job->bad = cn_canon_request(&arena, body, t->owner, node_hash,
	                            t->worker->shared->vault, &canon, NULL) != 0;
	if (job->bad)
		return;
	job->body_hash = cn_hash_bytes(body);
	job->batch = cn_batch_new();
	cn_batch_node(job->batch, &canon.prefix);
	job->prefix = canon.prefix.id;
	for (size_t i = 0; i < canon.n; i++)
		cn_batch_node(job->batch, &canon.nodes[i]);
	if (canon.n)
		job->last = canon.nodes[canon.n - 1].id;
}

/* ---- the batch ---- */

static void add_block(void *self, const struct cn_block *block)
{
	struct cn_turn_record *r = self;
	static const char *const types[] = {
	    [CN_BLOCK_TEXT] = "text",
	    [CN_BLOCK_THINKING] = "thinking",
	    [CN_BLOCK_REDACTED_THINKING] = "redacted_thinking",
	    [CN_BLOCK_TOOL_USE] = "tool_use",
	    [CN_BLOCK_SERVER_TOOL] = "server_tool_use",
	    [CN_BLOCK_OTHER] = "other",
	};

	/* One record a piece: where another model went on is a piece of its own. */
	for (size_t i = 0; i <= block->n_parts; i++) {
		const struct cn_part *part = i ? &block->parts[i - 1] : NULL;
		size_t from = part ? part->at : 0;
		size_t to = i < block->n_parts ? block->parts[i].at : block->body.n;
		const struct cn_author *by = part ? part->author : block->author;

		if (r->blocks)
			r->blocks[r->n_blocks] = (struct cn_block_record){
			    .index = block->index,
			    .type = cn_view_str(types[block->type]),
			    .model = cn_view_str(by->model),
			    .joint =
				cn_view_str(part ? cn_joint_found_name(part->found) : ""),
			    .bytes = to - from,
			    .id = block->id,
			    .original_id = block->origin_id,
			    .whole = block->whole,
			};
		r->n_blocks++;
	}
}

static void add_blocks(struct cn_turn *t, struct cn_turn_record *r)
{
	cn_splice_blocks(t->splice, add_block, r);
	r->blocks = cn_arena_zalloc(&t->arena, (r->n_blocks + 1) * sizeof(*r->blocks));
	r->n_blocks = 0;
	cn_splice_blocks(t->splice, add_block, r);
}

/* The answer as one more message; false when nothing of it was given. */
static bool add_answer(struct cn_turn *t, struct cn_batch *batch, struct cn_turn_record *r)
{
	struct cn_records_job *job = t->job;
	CN_AUTO(cn_buf) message = {0};
	struct cn_node node;

	if (cn_splice_given(t->splice) == 0)
		return false;
	cn_buf_add_str(&message, "{\"role\":\"assistant\",\"content\":");
	cn_splice_content(t->splice, false, &message);
	cn_buf_add_char(&message, '}');
	if (cn_canon_message(&t->arena, cn_buf_view(&message), t->owner, &job->last,
	                     node_hash, t->worker->shared->vault, &node, NULL))
		return false;
	cn_batch_node(batch, &node);
	r->answer_node = node.id;
	return true;
}

static void add_skipped(struct cn_turn *t, struct cn_turn_record *r)
{
	const struct cn_plan *p = &t->plan;

	r->n_skipped = p->n_skipped;
	r->skipped = cn_arena_zalloc(&t->arena, (p->n_skipped + 1) * sizeof(*r->skipped));
	for (size_t i = 0; i < p->n_skipped; i++)
		r->skipped[i] = (struct cn_skip_record){
		    .backend = cn_view_str(p->skipped[i].model->backend->name),
		    .model = cn_view_str(p->skipped[i].model->name),
		    .reason = cn_view_str(p->skipped[i].reason)};
}

/* How the turn ended, in the record's words. */
static struct cn_view ending_of(const struct cn_turn *t)
{
	switch (t->end) {
	case CN_END_CANCELLED:
		return CN_VIEW("cancelled");
	case CN_END_ANSWER:
		return CN_VIEW("ok");
	case CN_END_TOOL_USE:
		return CN_VIEW("tool_use");
	case CN_END_ERROR:
		return CN_VIEW("error");
	}
	return CN_VIEW("error");
}

static struct cn_turn_record record_of(struct cn_turn *t)
{
	bool error = t->end == CN_END_ERROR;

	return (struct cn_turn_record){
	    .request_id = t->request_id,
	    .owner = t->owner,
	    .project = cn_view_str(t->token ? t->token->project : ""),
	    .token = cn_view_str(t->token ? t->token->name : ""),
	    .session = t->req.session,
	    .agent = t->req.agent,
	    .parent_agent = t->req.parent_agent,
	    .caller = cn_view_str(cn_caller_name(t->req.caller)),
	    .requested = t->req.model,
	    .chain = cn_view_str(t->plan.chain ? t->plan.chain->name : ""),
	    .policy = cn_view_str(t->policy->digest.hex),
	    .route = t->plan.route ? t->plan.route->number : 0,
	    .started_wall_ms = t->started_wall_ms,
	    .took_ms = cn_clock_ms() - t->started_ms,
	    .first_byte_ms = t->first_byte_ms,
	    .status = error && t->head == CN_HEAD_NONE ? t->ending.status
	              : t->end == CN_END_CANCELLED && t->head == CN_HEAD_NONE ? 0
	                                                                      : 200,
	    .ending = ending_of(t),
	    .error = error ? t->ending.message : (struct cn_view){NULL, 0},
	    .used = cn_turn__used(t),
	    .stop_reason =
		error ? (struct cn_view){NULL, 0} : cn_splice_stop_reason(t->splice),
	    .usage = cn_splice_total(t->splice),
	    .stream = t->req.stream,
	    .body_hash = t->job->body_hash,
	    .attempts = t->records,
	    .n_attempts = t->n_tried,
	};
}

static void on_letter(struct cn_letter *letter)
{
	struct cn_store_wait *wait =
	    cn_container_of(&letter->link, struct cn_store_wait, letter.link);
	struct cn_shared *sh = wait->worker->shared;
	struct cn_turn *t = wait->turn;
	bool ok = wait->ok;

	atomic_fetch_sub(&sh->unwritten, wait->charged);
	cn_charge_release(&sh->charge, wait->charged);
	wait->worker->waits--;
	free(wait);
	if (!t)
		return;
	t->wait = NULL;
	cn_turn__stored(t, ok);
}

/* The writer's thread. */
static void on_committed(void *self, enum cn_store_word word)
{
	struct cn_store_wait *wait = self;

	wait->ok = word == CN_STORE_KEPT;
	cn_worker__post(wait->worker, &wait->letter);
}

/* The nodes are there and the turn is over: one batch for the writer. */
static void submit(struct cn_turn *t)
{
	struct cn_records_job *job = t->job;
	struct cn_batch *batch = job->batch;
	struct cn_turn_record r = record_of(t);
	struct cn_store_wait *wait = cn_zalloc(sizeof(*wait));

	job->batch = NULL; /* the writer's, in a moment */
	r.prefix_node = job->prefix;
	r.request_node = job->last;
	add_blocks(t, &r);
	add_skipped(t, &r);
	(void)add_answer(t, batch,
	                 &r); /* a turn without an answer is a record all the same */
	cn_turn__note_provenance(t, batch);
	cn_batch_turn(batch, &r);
	cn_list_init(&wait->letter.link);
	wait->letter.read = on_letter;
	wait->worker = t->worker;
	wait->charged = job->charged;
	job->charged = 0;
	atomic_fetch_add(&t->worker->shared->unwritten, wait->charged);
	if (t->state == CN_TURN_DRAINING) {
		wait->turn = t;
		t->wait = wait;
	}
	t->worker->waits++;
	cn_store_submit(t->worker->shared->store, batch, on_committed, wait);
}

/* ---- the job ---- */

static void job_after(uv_work_t *work, int status)
{
	struct cn_records_job *job = work->data;
	struct cn_turn *t = job->turn;
	bool awaited = job->stage == CN_JOB_AWAITED;

	(void)status; /* nothing cancels it */
	job->stage = job->bad ? CN_JOB_FAILED : CN_JOB_READY;
	t->handles--;
	t->worker->waits--;
	if (awaited && !job->bad)
		submit(t);
	else if (awaited && t->state == CN_TURN_DRAINING)
		cn_turn__stored(t, false);
	/* The turn was over before its job: what is left of it goes now. */
	if (t->handles == 0)
		cn_turn__free(t);
}

void cn_records__begin(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	struct cn_records_job *job;

	/* A disk that does not keep up costs the history, not the turns (security.md 9). */
	if (atomic_load(&sh->unwritten) > sh->charge.limit / CN_UNWRITTEN_SHARE)
		return;
	/* The canonical copy is about as large as the body. */
	if (!sh->store || !t->policy->history || !cn_charge_take(&sh->charge, t->body.n))
		return;
	job = cn_zalloc(sizeof(*job));
	job->turn = t;
	job->charged = t->body.n;
	job->work.data = job;
	job->stage = CN_JOB_RUNNING;
	t->job = job;
	t->handles++;
	/* Its turn may be over before it, and a commit follows from it all the same. */
	t->worker->waits++;
	cn_assert(uv_queue_work(&t->worker->loop, &job->work, job_run, job_after) == 0);
}

bool cn_records__finish(struct cn_turn *t)
{
	/* Even what is not stored must be known: the next request may bring it back. */
	if (!t->job) {
		cn_turn__note_provenance(t, NULL);
		return false;
	}
	switch (t->job->stage) {
	case CN_JOB_RUNNING:
		t->job->stage = CN_JOB_AWAITED;
		return true;
	case CN_JOB_READY:
		submit(t);
		return true;
	case CN_JOB_AWAITED:
		cn_never("finished twice");
	case CN_JOB_FAILED:
		return false;
	}
	return false;
}

void cn_records__forget(struct cn_turn *t)
{
	if (t->wait)
		t->wait->turn = NULL;
	t->wait = NULL;
}

size_t cn_records__weight(const struct cn_turn *t)
{
	return t->body.n + (t->job ? t->job->charged : 0);
}

void cn_records__free(struct cn_turn *t)
{
	if (t->job)
		job_free(t->job);
	t->job = NULL;
}
