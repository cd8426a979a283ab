/*
 * What the workers share and is too small for a file of its own: the policy in force.
 *
 * Any thread.  A turn takes a reference at its birth and keeps that policy to its end; a
 * reload swaps the pointer under a lock that is held for the swap or the reference alone.
 */
#include "app_impl.h"

struct cn_policy *cn_shared__policy(struct cn_shared *sh)
{
	struct cn_policy *p;

	uv_mutex_lock(&sh->policy_lock);
	p = cn_policy_ref(sh->policy);
	uv_mutex_unlock(&sh->policy_lock);
	return p;
}

void cn_shared__swap_policy(struct cn_shared *sh, struct cn_policy *p)
{
	struct cn_policy *old;

	uv_mutex_lock(&sh->policy_lock);
	old = sh->policy;
	sh->policy = p;
	uv_mutex_unlock(&sh->policy_lock);
	cn_policy_unref(old);
}
