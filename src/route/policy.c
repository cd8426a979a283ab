/*
 * The policy as an object: its defaults, its references, and looking up by name.
 *
 * Owns the arena in which everything of a policy lives.  Any thread may hold a reference;
 * only the loader (config/) writes, before anyone else has one.  It reads no file.
 */
#include "continuo/policy.h"

#include <unistd.h>

#include "continuo/log.h"

#define SECOND 1000ULL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define MIB    (1024ULL * 1024)
#define GIB    (1024 * MIB)

struct cn_fallback cn_fallback_default(void)
{
	struct cn_fallback f = {
	    .connect_timeout_ms = 10 * SECOND,
	    .first_byte_timeout_ms = 30 * SECOND,
	    .idle_timeout_ms = 60 * SECOND,
	    .progress_timeout_ms = 5 * MINUTE,
	    .attempt_timeout_ms = 30 * MINUTE,
	    .hold_thinking_ms = 20 * SECOND,
	    .max_wait_ms = 60 * SECOND,
	    .orphan_grace_ms = 30 * SECOND,
	    .failback = CN_FAILBACK_NEXT_TURN,
	    .continuation = CN_CONTINUE_AUTO,
	    .loop_limit = 8,
	    .hedge_after_ms = CN_FOREVER,
	};

	/* All classes of failure but those that may be the answer that was wanted. */
	for (unsigned c = CN_CLASS_CANCELLED + 1; c < CN_CLASS_COUNT; c++)
		if (c != CN_CLASS_CONTENT_REFUSAL && c != CN_CLASS_LOOP &&
		    c != CN_CLASS_DAMAGED)
			f.on |= (uint32_t)1 << c;
	return f;
}

static unsigned default_workers(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
}

struct cn_policy *cn_policy_new(void)
{
	struct cn_policy *p = cn_zalloc(sizeof *p);

	atomic_init(&p->refs, 1);
	p->file = "";
	p->listen = cn_arena_new(&p->arena, struct cn_listen);
	p->n_listen = 1;
	p->listen[0] =
	    (struct cn_listen){.host = "127.0.0.1", .port = 4141, .loopback = true};
	p->workers = default_workers();
	p->client_key_origins = cn_arena_alloc(&p->arena, sizeof *p->client_key_origins);
	p->client_key_origins[0] = "https://api.anthropic.com:443";
	p->n_client_key_origins = 1;
	p->fallback = cn_fallback_default();
	p->history = true;
	p->retention_ms = 30 * DAY;
	p->history_max_size = 10 * GIB;
	p->limits = (struct cn_limits){.connections = 512,
	                               .connections_per_token = 64,
	                               .turns = 128,
	                               .turns_per_token = 32,
	                               .request_body = 40 * MIB,
	                               .memory_limit = GIB,
	                               .drain_ms = 120 * SECOND};
	p->log_level = CN_LOG_INFO;
	return p;
}

struct cn_policy *cn_policy_ref(struct cn_policy *p)
{
	/* The caller has a reference, so nothing needs to be seen before this. */
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

struct cn_policy *cn_policy_unref(struct cn_policy *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) {
		cn_arena_done(&p->arena);
		free(p);
	}
	return NULL;
}

const struct cn_chain *cn_policy_chain(const struct cn_policy *p, struct cn_view name)
{
	for (size_t i = 0; i < p->n_chains; i++)
		if (cn_view_is(name, p->chains[i].name))
			return &p->chains[i];
	return NULL;
}

const struct cn_model *cn_policy_model(const struct cn_policy *p, struct cn_view name)
{
	for (size_t i = 0; i < p->n_models; i++)
		if (cn_view_is(name, p->models[i].name))
			return &p->models[i];
	return NULL;
}

bool cn_policy_has_client_key(const struct cn_policy *p)
{
	for (size_t i = 0; i < p->n_backends; i++)
		for (size_t k = 0; k < p->backends[i].n_keys; k++)
			if (p->backends[i].keys[k].kind == CN_KEY_CLIENT)
				return true;
	return false;
}

const struct cn_prompt *cn_policy_prompt(const struct cn_route *route,
                                         const struct cn_model *model)
{
	if (route && route->prompt.how != CN_PROMPT_NONE && !model->prompt.of_route)
		return &route->prompt;
	return model->prompt.how != CN_PROMPT_NONE ? &model->prompt : NULL;
}

struct cn_view cn_prompt_name(struct cn_arena *a, const struct cn_prompt *prompt)
{
	const char *how = "none";

	switch (prompt->how) {
	case CN_PROMPT_NONE:
		break;
	case CN_PROMPT_PREPEND:
		how = "prepend";
		break;
	case CN_PROMPT_APPEND:
		how = "append";
		break;
	case CN_PROMPT_REPLACE:
		how = "replace";
		break;
	}
	return cn_view_str(cn_arena_printf(a, "%s %s", how, prompt->file));
}

bool cn_model_has_quirk(const struct cn_model *m, enum cn_quirk quirk)
{
	return m->quirks & cn_quirk_bit(quirk);
}

/* Whether a segment of the URL's path names a version: v4, v1beta. */
static bool names_version(const char *url)
{
	struct cn_view rest = cn_view_str(url), segment;
	unsigned n = 0;

	/* The first three segments are the scheme, nothing, and the host. */
	while (cn_view_split(&rest, '/', &segment))
		if (++n > 3 && segment.n > 1 && segment.p[0] == 'v' &&
		    segment.p[1] >= '0' && segment.p[1] <= '9')
			return true;
	return false;
}

const char *cn_backend_path(const struct cn_backend *b)
{
	const char *path = cn_dialect_of(b->wire)->path;

	if (b->wire == CN_WIRE_ANTHROPIC)
		return path;
	return b->quirks & cn_quirk_bit(CN_QUIRK_NO_V1) || names_version(b->url)
	           ? path + strlen("/v1")
	           : path;
}
