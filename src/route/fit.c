/*
 * Whether a model can take a request at all.  What is not known of a model counts as
 * fitting: the backend's own word is better than a guess.
 *
 * Owns nothing; any thread.  Wanting to think is not a reason: a model that cannot answers
 * without.
 */
#include "route_impl.h"

uint64_t cn_fit__window(const struct cn_model *m, const struct cn_health *h)
{
	struct cn_candidate c = {m, NULL}; /* lessons are about models */
	struct cn_learned learned = cn_health_learned(h, &c);

	return learned.window && (!m->context || learned.window < m->context)
	           ? learned.window
	           : m->context;
}

/* What the model lacks, however short the request were. */
static const char *lacks(const struct cn_model *m, const struct cn_request *r)
{
	bool documents = m->backend->wire == CN_WIRE_ANTHROPIC
	                     ? !cn_model_has_quirk(m, CN_QUIRK_NO_DOCUMENTS)
	                     : cn_model_has_quirk(m, CN_QUIRK_FILES);

	/* What was talked about already: a note stands in for it. */
	if (!m->images && r->new_images)
		return "takes no images";
	if (!documents && r->new_documents)
		return "takes no documents";
	if (r->n_tools > 0 && m->tools == 0)
		return "takes no tools";
	if (r->n_tools > m->tools)
		return "takes fewer tools";
	if (r->server_tools && !m->server_tools)
		return "does not run the provider's own tools";
	return NULL;
}

const char *cn_fit__reason(const struct cn_model *m, const struct cn_request *r,
                           uint64_t window, bool within_error, bool *retsize)
{
	const char *why = lacks(m, r);
	uint64_t estimate = r->estimate;

	*retsize = false;
	if (why)
		return why;
	*retsize = true;
	/* Estimates are rather above than below the truth; as a last resort that counts. */
	if (within_error)
		estimate -= estimate / (CN_ESTIMATE_EXCESS + 1);
	/* Some room for an answer; how much more is asked for follows from the window. */
	estimate += r->max_tokens < CN_FIT_MIN_TOKENS ? r->max_tokens : CN_FIT_MIN_TOKENS;
	if (window && estimate > window)
		return "window too small";
	if (m->max_body && r->body.n > m->max_body)
		return "body too large";
	*retsize = false;
	return NULL;
}
