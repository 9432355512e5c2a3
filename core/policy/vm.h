/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h - one thread's view of one generation: sandbox, hooks, rules, decision graph, memo
 *
 * A vm_state is built beside the running one (in the reloading thread) and handed to its VM, which adopts it between
 * two decisions. The runtime (runtime.h) owns generations and swaps; decide.c asks a state.
 */
#ifndef MF_POLICY_VM_H
#define MF_POLICY_VM_H

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/strbuf.h"
#include "core/policy/source.h"

struct mf_counters; /* rates and budgets of the runtime, shared by its VMs: counters.h */
struct mf_rule_observer;
struct mf_shared_sets;
struct mf_vm_state;

/* What a state takes from its runtime. Borrowed for the state's life. */
struct mf_vm_config {
	struct mf_runtime_options options; /* defaults filled in */
	struct mf_clock clock;
	struct mf_log log;
	struct mf_counters *counters;
	struct mf_shared_sets *sets; /* shared_sets.h; may be NULL: then nothing is shared */
	struct mf_vars *vars;	     /* of agentsh policies: vars.h */
	const struct mf_rule_observer
		*observer; /* of the rules of policies in Lua: rules.h; may be NULL */
};

/**
 * mf_vm_state_new() - Load every policy of @set into a fresh sandbox
 * Return: 0; MF_E_SYNTAX, MF_E_POLICY, MF_E_STEPS, MF_E_TIME, MF_E_MEMORY, MF_E_IO with file and line in @err
 */
int mf_vm_state_new(const struct mf_vm_config *config, struct mf_source_set *set,
		    uint64_t generation, struct mf_vm_state **ret_state, struct mf_err *err);
void mf_vm_state_free(struct mf_vm_state *state);

size_t mf_vm_state_policy_count(const struct mf_vm_state *state);
/** mf_vm_state_rule_count() - Declarative rules of all policies */
size_t mf_vm_state_rule_count(const struct mf_vm_state *state);
const char *mf_vm_state_policy_name(const struct mf_vm_state *state, size_t i);

/* What became of one policy while a question was asked. */
struct mf_policy_health {
	uint32_t errors_in_a_row;
	bool quarantined; /* its hooks and rules are not asked; its fail mode decides */
};
struct mf_policy_health *mf_vm_state_health(struct mf_vm_state *state, size_t policy);

/**
 * mf_vm_state_decide() - mf_decide() on one state
 * @ret_policy: index of the policy that failed when the result is not 0 (SIZE_MAX otherwise)
 */
int mf_vm_state_decide(struct mf_vm_state *state, struct mf_request *req, struct mf_decision *ret,
		       size_t *ret_policy);
int mf_vm_state_explain(struct mf_vm_state *state, struct mf_request *req, struct mf_decision *ret,
			const char **ret_json);
/**
 * mf_vm_state_eval() - The value of an expression in the words of policies, as text
 * @req:        what "q" is in it, as in a hook; may be NULL: nil
 * Within the limits of a hook; counters are asked, not moved; nothing is kept of it.
 * Return: 0 with the text appended to @out; MF_E_SYNTAX, MF_E_POLICY, MF_E_STEPS, MF_E_TIME, MF_E_MEMORY, MF_E_LIMIT with @err
 */
int mf_vm_state_eval(struct mf_vm_state *state, struct mf_request *req, const char *expression,
		     struct mf_strbuf *out, struct mf_err *err);
/** mf_vm_state_error() - Why the last decision that failed did so: place and text; valid until the next decision */
const struct mf_err *mf_vm_state_error(const struct mf_vm_state *state);
/** mf_vm_state_set_cache() - Off: every decision asks rules and Lua anew; for benchmarks, coverage and tests */
void mf_vm_state_set_cache(struct mf_vm_state *state, bool on);
/** mf_vm_state_flush() - Forget what was decided: a policy has been put into quarantine */
void mf_vm_state_flush(struct mf_vm_state *state);
struct mf_sandbox *mf_vm_state_sandbox(struct mf_vm_state *state);
void mf_vm_state_stats(const struct mf_vm_state *state, struct mf_vm_stats *ret);

#endif
