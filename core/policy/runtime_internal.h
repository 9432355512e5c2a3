/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_internal.h - what runtime.c, runtime_report.c and runtime_vm.c share; see runtime.h for how it works */
#ifndef MF_POLICY_RUNTIME_INTERNAL_H
#define MF_POLICY_RUNTIME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/observe/events.h"
#include "core/policy/runtime.h"

struct mf_runtime {
	struct mf_vm_config config;
	pthread_mutex_t reload_lock;
	pthread_mutex_t lock;
	struct mf_source_guard guard;
	struct mf_source_set *set; /* of the current generation; under lock */
	/* What did not load last, for the watch; NULL after a good load; under lock, changed under reload_lock too */
	struct mf_source_set *tried;
	bool tried_may_pass; /* the same text may load later; under reload_lock */
	struct mf_err told;  /* the failure that the watch reported last; under reload_lock */
	atomic_uint_least64_t generation;
	unsigned event_run; /* first part of event ids */
	atomic_uint_least64_t event_number;
	uint64_t load_begun_ns; /* under reload_lock */
	char **paths;		/* under reload_lock; read by the watch under lock */
	size_t path_cnt;
	struct mf_vm *vms; /* under lock */
	size_t vm_cnt;
	struct mf_reaper *reaper;
	struct mf_generations past; /* and the one in force, where any are kept; under lock */
	struct mf_watch *watch;	    /* under watch_lock */
	pthread_mutex_t watch_lock;
};

struct mf_vm {
	_Atomic(struct mf_vm_state *) mail; /* the next state, put there by a reload */
	struct mf_vm_state *state;
	struct mf_vm_state *before; /* for keep_last */
	struct mf_runtime *rt;
	struct mf_vm_stats past;    /* of states that are gone */
	struct mf_vm *next, **link; /* under rt->lock */
};

/* --- runtime_report.c: what becomes of loads and policies, as events and in the log ------------------------------------------ */

struct mf_load_report {
	uint64_t generation;
	size_t rules, tests; /* tests that were run */
	uint64_t took_ns;
	struct mf_generation_asker by;
};
void mf_runtime_report_loaded(struct mf_runtime *rt, struct mf_source_set *set,
			      const struct mf_load_report *what);
/** @by: NULL: nobody asked */
void mf_runtime_report_failed(struct mf_runtime *rt, const struct mf_generation_asker *by,
			      const struct mf_err *err);

/* @d: what the policy's failure has left */
void mf_runtime_report_policy(struct mf_vm *vm, enum mf_event_type type, size_t policy, int code,
			      const struct mf_decision *d, enum mf_kind kind, uint32_t errors);

#endif
