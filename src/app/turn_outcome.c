/*
 * How attempts and the turn ended: what each outcome is noted as, what a well-formed answer
 * amounts to, and the turn's line in the log.
 *
 * Health hears of every attempt here and nowhere else.  Runs on the turn's worker; changes
 * no state of the turn's machine.
 */
#include "turn_impl.h"

#include "continuo/clock.h"
#include "continuo/counters.h"
#include "continuo/trace.h"

/* The prompt was read, and nobody said how long it was. */
static bool assumes_input(const struct cn_outcome *o, const struct cn_usage *u)
{
	return !u->has_input && (o->perhaps_billed || o->class == CN_CLASS_OK);
}

void cn_turn__note(struct cn_turn *t, const struct cn_candidate *c,
                   const struct cn_outcome *o)
{
	size_t i = t->n_tried;
	struct cn_attempt_record *r = &t->records[i];
	bool failed = o->class != CN_CLASS_OK && o->class != CN_CLASS_CANCELLED;
	const struct cn_usage *usage = cn_splice_usage(t->splice);
	/* More than was reported: it broke off before it counted. */
	uint64_t given =
	    cn_splice_total(t->splice).output - cn_splice_spent(t->splice) - usage->output;
	uint64_t now = cn_clock_ms(), cooled;
	const struct cn_prompt *prompt = cn_policy_prompt(t->plan.route, c->model);
	struct cn_outcome told = *o;

	cn_assert(i < CN_ATTEMPTS_MAX);
	cn_turn__look_back(t, &told);
	uv_mutex_lock(&t->worker->shared->health_lock);
	cooled = cn_health_report(t->worker->shared->health, c, &told, now);
	uv_mutex_unlock(&t->worker->shared->health_lock);
	t->outcomes[i] = *o;
	if (o->repair == CN_REPAIR_PLAIN && cn_try__was_plain(t))
		t->outcomes[i].repair = CN_REPAIR_NONE;
	t->tried[i] = (struct cn_tried){.candidate = c,
	                                .class = o->class,
	                                .outcome = &t->outcomes[i],
	                                .repaired = t->repair.repair != CN_REPAIR_NONE};
	*r = (struct cn_attempt_record){
	    .backend = cn_view_str(c->model->backend->name),
	    .model = cn_view_str(c->model->name),
	    .key = cn_view_str(c->key->name),
	    .class = cn_view_str(cn_class_name(o->class)),
	    .http_status = o->http_status,
	    .started_ms = t->attempt_ms - t->started_ms,
	    .took_ms = now - t->attempt_ms,
	    .retry_after_ms = o->retry_after_ms,
	    .prompt =
		prompt ? cn_prompt_name(&t->arena, prompt) : (struct cn_view){NULL, 0},
	    .upstream_request = o->upstream_request,
	    .reason = cn_view_str(o->reason),
	    .finding = t->found.text,
	    .usage = *usage,
	    .assumed_input = assumes_input(o, usage) ? t->req.estimate : 0,
	    .assumed_output = given,
	};
	t->n_tried++;
	cn_trace(CN_TR_ATTEMPT_END, t->number, t->n_tried,
	         cn_view_str(cn_class_name(o->class)));
	if (failed)
		cn_count(CN_CT_ATTEMPTS_FAILED);
	cn_log(&t->log, failed ? CN_LOG_WARNING : CN_LOG_INFO, "attempt",
	       CN_NUM(ATTEMPT, t->n_tried), CN_STR(BACKEND, c->model->backend->name),
	       CN_STR(MODEL, c->model->name), CN_STR(KEY, c->key->name),
	       CN_STR(CLASS, cn_class_name(o->class)), CN_NUM(STATUS, o->http_status),
	       CN_STR(REASON, o->reason ? o->reason : ""), CN_NUM(MS, now - t->attempt_ms),
	       CN_NUM(AFTER_MS, cooled), CN_TEXT(UPSTREAM_REQUEST, o->upstream_request));
}

static bool fallback_on(const struct cn_turn *t, enum cn_class class)
{
	return t->plan.fallback->on & (1u << class);
}

/*
 * What a well-formed answer that gave the client nothing amounts to.  These are failures
 * only where the policy says so; before the commit they cost nothing but the next attempt.
 */
static enum cn_class judge(struct cn_turn *t)
{
	struct cn_view reason = cn_splice_stop_reason(t->splice);
	const struct cn_usage *used = cn_splice_usage(t->splice);
	enum cn_class class = CN_CLASS_OK;

	/* Cut by the limit that the client set, it is what was asked for. */
	if (cn_splice_cut_tool(t->splice))
		class = used->has_output && used->output >= t->req.max_tokens
		            ? CN_CLASS_OK
		            : CN_CLASS_OUTPUT_CEILING;
	else if (cn_turn__cut_short(t))
		class = CN_CLASS_OUTPUT_CEILING;
	else if (cn_splice_empty(t->splice))
		class = t->req.has_max_tokens && t->req.max_tokens == 0 ? CN_CLASS_OK
		                                                        : CN_CLASS_EMPTY;
	else if (cn_view_is(reason, "refusal") && !cn_splice_committed(t->splice))
		class = CN_CLASS_CONTENT_REFUSAL;
	else if (cn_view_is(reason, "model_context_window_exceeded"))
		class = CN_CLASS_CONTEXT_OVERFLOW;
	else if (cn_turn__weak(t))
		class = CN_CLASS_WEAK;
	return class != CN_CLASS_OK && fallback_on(t, class) ? class : CN_CLASS_OK;
}

static enum cn_scope judged_scope(enum cn_class class)
{
	return class == CN_CLASS_EMPTY ? CN_SCOPE_MODEL : CN_SCOPE_NONE;
}

void cn_turn__judge(struct cn_turn *t, struct cn_outcome *o)
{
	enum cn_class judged = judge(t);

	if (judged == CN_CLASS_OK)
		return;
	o->class = judged;
	o->scope = judged_scope(judged);
	o->reason = "judged by what the answer holds";
}

void cn_turn__log_end(struct cn_turn *t)
{
	static const struct {
		const char *word;
		enum cn_counter counter;
	} ends[] = {
	    [CN_END_CANCELLED] = {"cancelled", CN_CT_TURNS_CANCELLED},
	    [CN_END_ANSWER] = {"ok", CN_CT_TURNS_OK},
	    [CN_END_TOOL_USE] = {"tool_use", CN_CT_TURNS_OK},
	    [CN_END_ERROR] = {"error", CN_CT_TURNS_FAILED},
	};
	const char *word = ends[t->end].word;
	bool ok = t->end == CN_END_ANSWER || t->end == CN_END_TOOL_USE;
	struct cn_usage u = cn_splice_total(t->splice);

	cn_count(ends[t->end].counter);
	if (t->n_tried > 1)
		cn_count(CN_CT_FALLBACKS);
	cn_trace(CN_TR_TURN_END, t->number, ok ? 200 : (uint64_t)t->ending.status,
	         cn_view_str(word));
	cn_log(&t->log, CN_LOG_INFO, "turn", CN_TEXT(REQUEST, t->request_id),
	       CN_STR(STATE, word), CN_TEXT(MODEL, cn_turn__used(t)),
	       CN_STR(CHAIN, t->plan.chain ? t->plan.chain->name : ""),
	       CN_TEXT(ATTEMPTS, cn_turn__attempts_text(t, false)),
	       CN_NUM(MS, cn_clock_ms() - t->started_ms),
	       CN_NUM(FIRST_BYTE_MS, t->first_byte_ms), CN_NUM(INPUT_TOKENS, u.input),
	       CN_NUM(OUTPUT_TOKENS, u.output),
	       CN_TEXT(STOP_REASON, ok ? cn_splice_stop_reason(t->splice) : CN_VIEW("")));
}
