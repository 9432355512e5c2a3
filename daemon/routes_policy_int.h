/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes_policy_int.h - the inside of /v1/policy: routes_policy.c (requests, the table), policy_jobs.c (what is done, in the work
 * thread)
 */
#ifndef MF_DAEMON_ROUTES_POLICY_INT_H
#define MF_DAEMON_ROUTES_POLICY_INT_H

#include <pthread.h>

#include "core/policy/runtime.h"
#include "daemon/routes.h"
#include "daemon/work.h"

struct mf_policy_candidate {
	uint64_t id; /* 0: there is none */
	struct mf_generation g;
	bool tested; /* and they passed */
	size_t passed, skipped;
};

struct mf_routes_policy {
	struct mf_runtime *rt; /* under lock; NULL: there are no policies (any more) */
	struct mf_work *work;
	pthread_mutex_t lock; /* held while something is done with the runtime */
	json_t *(*list_sessions)(void *ctx);
	void *list_ctx;
	/* the thread's */
	struct mf_policy_candidate candidate;
	uint64_t next_id;
};

/* One request on its way through the thread. */
struct mf_policy_job {
	struct mf_work_item item;
	struct mf_routes_policy *p;
	struct mf_api_call *call;
	void (*fn)(struct mf_policy_job *job);
	char **paths; /* load */
	size_t path_cnt;
	uint64_t number; /* activate: candidate; rollback: generation; 0: not said */
	struct mf_generation_asker by;
	void (*over)(void *ctx,
		     const struct mf_err *err); /* without a call; @err NULL: all went well */
	void *over_ctx;
	struct mf_policy_change change; /* of that job */
	json_t *sessions;		/* that are to go along (policy_sessions.h); NULL: none */
	/* what came of it */
	bool ran;
	int status;
	json_t *json;
	const char *code; /* of a problem; NULL: that of @err */
	struct mf_err err;
};

/* What a job does: in the thread, with the lock held and a runtime there. */
void mf_policy_job_show(struct mf_policy_job *job);
void mf_policy_job_load(struct mf_policy_job *job);
void mf_policy_job_test(struct mf_policy_job *job);
void mf_policy_job_activate(struct mf_policy_job *job);
void mf_policy_job_rollback(struct mf_policy_job *job);
void mf_policy_job_reload(struct mf_policy_job *job);
void mf_policy_job_change(struct mf_policy_job *job);

/** mf_policy_job_fail() - @code NULL: that of job->err */
void mf_policy_job_fail(struct mf_policy_job *job, int status, const char *code);
/** mf_policy_candidate_drop() - Under the lock */
void mf_policy_candidate_drop(struct mf_routes_policy *p);

#endif
