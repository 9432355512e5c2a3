/* SPDX-License-Identifier: Apache-2.0 */
/* run_services.c - see run_services.h */
#include "cli/run_services.h"

#include <stdlib.h>

#include "core/policy/runtime.h"

int mf_run_services_prepare(struct mf_run_services *s, struct mf_policy_host *host,
			    struct mf_err *err)
{
	struct mf_source_set *set;
	struct mf_api_services *t;
	int r;

	s->host = host;
	if (!host->policy_cnt ||
	    mf_source_set_read(host->policies, host->policy_cnt, NULL, &set, NULL) < 0)
		return 0;
	r = mf_api_services_new(set, &t, err);
	mf_source_set_unref(set);
	if (r < 0)
		return r == MF_E_LIMIT ? 0 : r;
	if (mf_api_services_count(t))
		r = mf_run_services_environment(s, t);
	mf_api_services_free(t);
	return r < 0 ? mf_err_set(err, r, "out of memory") : 0;
}

const struct mf_api_services *mf_run_services_current(void *ctx)
{
	struct mf_run_services *s = ctx;
	uint64_t generation = mf_runtime_generation(s->host->runtime);
	struct mf_source_set *set;
	struct mf_api_services *t;
	struct mf_err err = { 0 };
	int r;

	if (s->now && s->generation == generation)
		return s->now;
	set = mf_runtime_sources(s->host->runtime);
	if (!set)
		return NULL;
	r = mf_api_services_new(set, &t, &err);
	mf_source_set_unref(set);
	mf_api_services_free(s->now);
	s->now = NULL;
	if (r < 0) {
		mf_log_error(&s->host->log, "%s", err.msg);
		return NULL;
	}
	s->now = t;
	s->generation = generation;
	return t;
}

void mf_run_services_done(struct mf_run_services *s)
{
	mf_api_services_free(s->now);
	for (size_t i = 0; i < s->own_cnt; i++)
		free(s->own[i]);
	free(s->own);
	free(s->envp);
}
