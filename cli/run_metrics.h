/* SPDX-License-Identifier: Apache-2.0 */
/* run_metrics.h - the counters of a session's parts as one page of Prometheus text */
#ifndef MF_CLI_RUN_METRICS_H
#define MF_CLI_RUN_METRICS_H

#include "core/names/correlation.h"
#include "core/observe/events.h"
#include "core/observe/metrics.h"
#include "proxies/proxy.h"

/* What is counted; each may be NULL. */
struct mf_run_metrics {
	const struct mf_vm *vm;
	struct mf_names *names;
	struct mf_events *events;
	const struct mf_proxy *proxy;
};

/** mf_run_metrics_gather() - Read all counters into @m, where they stay after the parts are gone; call it once */
void mf_run_metrics_gather(struct mf_metrics *m, const struct mf_run_metrics *from);

/** mf_run_metrics_write() - Write @m to @path; Return: 0, MF_E_IO, MF_E_NOMEM */
int mf_run_metrics_write(struct mf_metrics *m, const char *path, struct mf_err *err);

#endif
