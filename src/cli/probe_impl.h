/* What `continuo probe` and its writing of findings share. */
#ifndef CONTINUO_CLI_PROBE_IMPL_H
#define CONTINUO_CLI_PROBE_IMPL_H

#include "cli_impl.h"
#include "continuo/config.h"
#include "continuo/probe.h"

/* What the findings would change in the policy; in the arena of cli. */
struct cn_findings {
	struct cn_config_change *v;
	size_t n, cap;
};

/* Adds what one model's report says otherwise than the policy. */
void cn_cli__findings(struct cn_cli *cli, const struct cn_probe_report *r,
                      struct cn_findings *to);
/* Puts quirks, gathered over all reports, behind the others. */
void cn_cli__findings_of_backends(struct cn_cli *cli, const struct cn_policy *p,
                                  const struct cn_probe_report *reports, size_t n,
                                  struct cn_findings *to);
/* "images: false" of one change. */
void cn_cli__add_finding(struct cn_buf *b, const struct cn_config_change *c);
/* Changes the policy's files, and shows on f what changed. */
int cn_cli__write_findings(struct cn_cli *cli, const struct cn_policy *p,
                           const struct cn_findings *findings, FILE *f,
                           struct cn_error *reterr) CN_MUST_CHECK;

#endif
