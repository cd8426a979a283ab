/*
 * Loading a policy: read the files, build, report.  Either everything is right and there is
 * a policy, or every mistake was told and there is none.
 *
 * Blocks on files; main thread, pool or command line.  Owns the load.
 */
#include "config_impl.h"

#include "continuo/hash.h"

/* The files and their digest, which names the policy. */
static void sign(struct cn_load *l)
{
	struct cn_policy *p = l->policy;
	struct cn_view *texts = cn_arena_alloc(&l->arena, l->n_files * sizeof *texts);
	CN_AUTO(cn_buf) hex = {0};
	struct cn_hash h;

	p->files = cn_arena_alloc(&p->arena, l->n_files * sizeof *p->files);
	p->n_files = l->n_files;
	for (size_t i = 0; i < l->n_files; i++) {
		p->files[i] = cn_arena_dup(&p->arena, cn_view_str(l->files[i]->name));
		texts[i] = l->files[i]->text;
	}
	p->file = p->files[0];
	h = cn_hash_views(texts, l->n_files);
	cn_hex(&hex, &h, (sizeof p->digest.hex - 1) / 2);
	memcpy(p->digest.hex, cn_buf_cstr(&hex), sizeof p->digest.hex);
}

int cn_config_load(const struct cn_config_opts *opts, struct cn_policy **ret,
                   struct cn_error *reterr)
{
	struct cn_load l = {.opts = opts, .policy = cn_policy_new()};
	struct cn_node *root = cn_config__read_all(&l);
	int r;

	if (root && !l.fatal)
		cn_config__build(&l, root);
	r = cn_config__report(&l, reterr);
	if (r == 0) {
		sign(&l);
		*ret = cn_steal(&l.policy);
	}
	l.policy = cn_policy_unref(l.policy);
	cn_arena_done(&l.arena);
	return r;
}
