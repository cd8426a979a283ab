/*
 * A turn on its way into the history.
 *
 * While the provider thinks, the request's messages are made into nodes of a batch on the
 * pool (nodes.c); at the end the answer becomes one more node, the turn a record, and all
 * of it goes to the writer.  The end of the answer waits for the writer's word, but never
 * long: the turn's timer gives up first (design/security.md 9.3).  When the store has lost
 * what a batch left out, the batch is made once more, with everything; so the turn's memory
 * stays until the writer has spoken.  Owns the job.
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
	CN_JOB_GIVEN,   /* the writer has the batch */
	CN_JOB_FAILED,  /* the body could not be read as messages */
};

struct cn_records_job {
	uv_work_t work;
	struct cn_letter letter; /* the writer's word */
	struct cn_turn *turn;    /* kept alive by its handles count */
	struct cn_nodes nodes;   /* its batch is owned; given away to the writer */
	struct cn_hash answer;   /* the answer's node; zero: none */
	uint64_t over_ms;        /* when the turn was */
	size_t charged;
	size_t unwritten;        /* what the writer's queue is charged for it */
	enum cn_job_stage stage; /* the loop's thread only */
	bool awaited;            /* the turn's end waits; likewise */
	bool bad;                /* set by the pool before it ends */
	enum cn_store_word word; /* set by the writer before it sends the letter */
};

static void job_free(struct cn_records_job *job)
{
	cn_charge_release(&job->turn->worker->shared->charge, job->charged);
	(void)cn_batch_free(job->nodes.batch);
	free(job);
}

/* Pool. */
static void job_run(uv_work_t *work)
{
	struct cn_records_job *job = work->data;

	job->bad = cn_nodes__make(&job->nodes) != 0;
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

/* The answer as one more message, if anything of it was given. */
static void add_answer(struct cn_turn *t, struct cn_batch *batch)
{
	struct cn_records_job *job = t->job;
	struct cn_canon canon = {&t->arena, t->owner, cn_nodes__hash,
	                         t->worker->shared->vault};
	CN_AUTO(cn_buf) message = {0};
	struct cn_node node;

	if (cn_splice_given(t->splice) == 0)
		return;
	cn_buf_add_str(&message, "{\"role\":\"assistant\",\"content\":");
	cn_splice_content(t->splice, false, &message);
	cn_buf_add_char(&message, '}');
	if (cn_canon_message(&canon, cn_buf_view(&message), &job->nodes.last, &node, NULL))
		return;
	cn_batch_node(batch, &node);
	job->answer = node.id;
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
	    .took_ms = t->job->over_ms - t->started_ms,
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
	    .request_node = t->job->nodes.last,
	    .prefix_node = t->job->nodes.prefix,
	    .answer_node = t->job->answer,
	    .body_hash =
		cn_hash_bytes(cn_view((const char *)t->job->nodes.body.b, CN_DIGEST_BYTES)),
	    .attempts = t->records,
	    .n_attempts = t->n_tried,
	};
}

/* ---- the writer ---- */

static void make_nodes(struct cn_turn *t);

/* The store has lost what was left out; false: the turn will not be in it either. */
static bool make_again(struct cn_records_job *job)
{
	struct cn_charge *charge = &job->turn->worker->shared->charge;
	size_t weight = cn_nodes__weight(job->nodes.req);

	if (!cn_charge_take(charge, weight))
		return false;
	job->charged += weight;
	job->nodes.all = true;
	job->stage = CN_JOB_AWAITED;
	make_nodes(job->turn);
	return true;
}

/* The turn's end need not wait any longer. */
static void tell(struct cn_records_job *job, bool ok)
{
	if (!job->awaited)
		return;
	job->awaited = false;
	cn_turn__stored(job->turn, ok);
}

/* The turn may have been over before its job or its commit: what is left of it goes now. */
static void let_go(struct cn_turn *t)
{
	if (t->handles == 0)
		cn_turn__free(t);
}

static void on_letter(struct cn_letter *letter)
{
	struct cn_records_job *job =
	    cn_container_of(&letter->link, struct cn_records_job, letter.link);
	struct cn_turn *t = job->turn;

	atomic_fetch_sub(&t->worker->shared->unwritten, job->unwritten);
	t->worker->waits--;
	t->handles--;
	if (job->word == CN_STORE_INCOMPLETE && make_again(job))
		return;
	if (job->word == CN_STORE_KEPT)
		cn_nodes__stored(&job->nodes);
	tell(job, job->word == CN_STORE_KEPT);
	let_go(t);
}

/* The writer's thread. */
static void on_committed(void *self, enum cn_store_word word)
{
	struct cn_records_job *job = self;

	job->word = word;
	cn_worker__post(job->turn->worker, &job->letter);
}

/* The nodes are there and the turn is over: one batch for the writer; false: no memory. */
static bool submit(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	struct cn_records_job *job = t->job;
	struct cn_batch *batch;
	struct cn_turn_record r;
	/* As a message, in its canonical form, and in the batch. */
	size_t answer = 3 * cn_splice_held(t->splice);

	if (!cn_charge_take(&sh->charge, answer))
		return false;
	job->charged += answer;
	batch = cn_steal(&job->nodes.batch);
	/* A turn without an answer is a record all the same. */
	add_answer(t, batch);
	r = record_of(t);
	add_blocks(t, &r);
	add_skipped(t, &r);
	cn_turn__note_provenance(t, batch);
	cn_batch_turn(batch, &r);
	cn_list_init(&job->letter.link);
	job->letter.read = on_letter;
	job->stage = CN_JOB_GIVEN;
	job->unwritten = cn_records__weight(t);
	atomic_fetch_add(&sh->unwritten, job->unwritten);
	t->handles++;
	t->worker->waits++;
	cn_store_submit(sh->store, batch, on_committed, job);
	return true;
}

/* ---- the job ---- */

/* What is known already takes no memory in the batch. */
static void give_back(struct cn_records_job *job)
{
	size_t used = job->nodes.batch ? cn_batch_bytes(job->nodes.batch) : 0;

	if (used >= job->charged)
		return;
	cn_charge_release(&job->turn->worker->shared->charge, job->charged - used);
	atomic_fetch_sub(&job->turn->weight.bytes, job->charged - used);
	job->charged = used;
}

static void job_after(uv_work_t *work, int status)
{
	struct cn_records_job *job = work->data;
	struct cn_turn *t = job->turn;
	bool awaited = job->stage == CN_JOB_AWAITED;

	(void)status; /* nothing cancels it */
	t->handles--;
	t->worker->waits--;
	give_back(job);
	job->stage = job->bad ? CN_JOB_FAILED : CN_JOB_READY;
	if (awaited && (job->bad || !submit(t)))
		tell(job, false);
	let_go(t);
}

static void make_nodes(struct cn_turn *t)
{
	t->handles++;
	/* Its turn may be over before it, and a commit follows from it all the same. */
	t->worker->waits++;
	cn_assert(uv_queue_work(&t->worker->loop, &t->job->work, job_run, job_after) == 0);
}

void cn_records__begin(struct cn_turn *t)
{
	struct cn_shared *sh = t->worker->shared;
	size_t weight = cn_nodes__weight(&t->req);
	struct cn_records_job *job;

	/* A disk that does not keep up costs the history, not the turns (security.md 9). */
	if (atomic_load(&sh->unwritten) > sh->charge.limit / CN_UNWRITTEN_SHARE)
		return;
	if (!sh->store || !t->policy->history || !cn_charge_take(&sh->charge, weight))
		return;
	job = cn_zalloc(sizeof(*job));
	job->turn = t;
	job->charged = weight;
	job->work.data = job;
	job->stage = CN_JOB_RUNNING;
	job->nodes = (struct cn_nodes){
	    .vault = sh->vault, .known = sh->known, .req = &t->req, .owner = t->owner};
	t->job = job;
	make_nodes(t);
}

bool cn_records__finish(struct cn_turn *t)
{
	/* Even what is not stored must be known: the next request may bring it back. */
	if (!t->job) {
		cn_turn__note_provenance(t, NULL);
		return false;
	}
	t->job->over_ms = cn_clock_ms();
	t->job->awaited = t->state == CN_TURN_DRAINING;
	switch (t->job->stage) {
	case CN_JOB_RUNNING:
		t->job->stage = CN_JOB_AWAITED;
		return true;
	case CN_JOB_READY:
		return submit(t);
	case CN_JOB_AWAITED:
	case CN_JOB_GIVEN:
		cn_never("finished twice");
	case CN_JOB_FAILED:
		return false;
	}
	return false;
}

void cn_records__forget(struct cn_turn *t)
{
	if (t->job)
		t->job->awaited = false;
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
