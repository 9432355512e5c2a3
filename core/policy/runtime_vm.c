/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_vm.c - VMs: taking over what a load has left, deciding, and what a failing policy becomes; see runtime.h */
#include <stdlib.h>
#include <string.h>

#include "core/policy/reaper.h"
#include "core/policy/request.h"
#include "core/policy/runtime_internal.h"

/* Into the list, if its state is of the generation in force. */
static bool register_vm(struct mf_runtime *rt, struct mf_vm *vm, uint64_t generation)
{
	bool current;

	pthread_mutex_lock(&rt->lock);
	current = mf_runtime_generation(rt) == generation;
	if (current) {
		vm->next = rt->vms;
		vm->link = &rt->vms;
		if (rt->vms)
			rt->vms->link = &vm->next;
		rt->vms = vm;
		rt->vm_cnt++;
	}
	pthread_mutex_unlock(&rt->lock);
	return current;
}

/* A state of the generation in force now; *ret_generation may be over when this returns. */
static int build_current(struct mf_runtime *rt, struct mf_vm_state **ret_state,
			 uint64_t *ret_generation, struct mf_err *err)
{
	struct mf_source_set *set;
	int r = 0;

	pthread_mutex_lock(&rt->lock);
	*ret_generation = mf_runtime_generation(rt);
	set = rt->set ? mf_source_set_ref(rt->set) : NULL;
	pthread_mutex_unlock(&rt->lock);
	if (!set)
		r = mf_source_set_read(NULL, 0, rt->config.options.stdlib_dir, &set, err);
	if (r == 0)
		r = mf_vm_state_new(&rt->config, set, *ret_generation, ret_state, err);
	mf_source_set_unref(set);
	return r;
}

int mf_vm_new(struct mf_runtime *rt, struct mf_vm **ret_vm, struct mf_err *err)
{
	struct mf_vm *vm = calloc(1, sizeof(*vm));
	uint64_t generation;
	int r;

	if (!vm)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	vm->rt = rt;
	atomic_init(&vm->mail, NULL);
	/* Not under reload_lock: who begins a session does not wait for a long list to be loaded. */
	do {
		mf_vm_state_free(vm->state);
		vm->state = NULL;
		r = build_current(rt, &vm->state, &generation, err);
		if (r < 0) {
			free(vm);
			return r;
		}
	} while (!register_vm(rt, vm, generation));
	*ret_vm = vm;
	return 0;
}

void mf_vm_free(struct mf_vm *vm)
{
	struct mf_runtime *rt;

	if (!vm)
		return;
	rt = vm->rt;
	pthread_mutex_lock(&rt->lock);
	*vm->link = vm->next;
	if (vm->next)
		vm->next->link = vm->link;
	rt->vm_cnt--;
	pthread_mutex_unlock(&rt->lock);
	mf_vm_state_free(atomic_load_explicit(&vm->mail, memory_order_acquire));
	mf_vm_state_free(vm->before);
	mf_vm_state_free(vm->state);
	free(vm);
}

static void add_stats(struct mf_vm_stats *sum, const struct mf_vm_state *state)
{
	struct mf_vm_stats s = { .size = sizeof(s) };

	mf_vm_state_stats(state, &s);
	sum->decisions += s.decisions;
	sum->memo_hits += s.memo_hits;
	sum->graph_hits += s.graph_hits;
	sum->rule_hits += s.rule_hits;
	sum->lua_entries += s.lua_entries;
	sum->uncacheable += s.uncacheable;
	sum->errors += s.errors;
	sum->graph_evictions += s.graph_evictions;
	sum->memo_evictions += s.memo_evictions;
}

static bool keeps_last(const struct mf_vm *vm)
{
	for (int kind = 0; kind < MF_KIND_NUM; kind++)
		if (vm->rt->config.options.fail_mode[kind] == MF_KEEP_LAST)
			return true;
	return false;
}

static bool was_good(struct mf_vm_state *state)
{
	for (size_t i = 0; i < mf_vm_state_policy_count(state); i++)
		if (mf_vm_state_health(state, i)->quarantined)
			return false;
	return mf_vm_state_policy_count(state) > 0;
}

/* Between two decisions: take the state that a reload has left. */
static void adopt(struct mf_vm *vm)
{
	struct mf_vm_state *next = atomic_exchange_explicit(&vm->mail, NULL, memory_order_acq_rel);
	struct mf_vm_state *old = vm->state;

	if (!next)
		return;
	add_stats(&vm->past, old);
	vm->state = next;
	if (keeps_last(vm) && was_good(old)) {
		mf_reaper_take(vm->rt->reaper, vm->before);
		vm->before = old;
	} else {
		mf_reaper_take(vm->rt->reaper, old);
	}
}

static inline struct mf_vm_state *current_state(struct mf_vm *vm)
{
	if (__builtin_expect(atomic_load_explicit(&vm->mail, memory_order_relaxed) != NULL, 0))
		adopt(vm);
	return vm->state;
}

/* keep_last: what the generation before says; false: it cannot say. */
static bool ask_before(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret)
{
	size_t policy;

	return vm->before && mf_vm_state_decide(vm->before, req, ret, &policy) == 0;
}

/* The policy failed and @ret says deny: what the kind's fail mode makes of it. */
static void apply_fail_mode(struct mf_vm *vm, struct mf_request *req, int code,
			    struct mf_decision *ret)
{
	enum mf_fail_mode mode = vm->rt->config.options.fail_mode[req->kind];
	struct mf_decision all = MF_DECISION_INIT, kept = MF_DECISION_INIT;
	size_t size = ret->size < sizeof(all) ? ret->size : sizeof(all);

	memcpy(&all, ret, size);
	if (mode == MF_KEEP_LAST && ask_before(vm, req, &kept)) {
		kept.origin = MF_FROM_FAIL_MODE;
		kept.error = code;
		all = kept;
	} else {
		all.rule = "fail-mode";
		all.verdict = mode == MF_OPEN ? MF_ALLOW : MF_DENY;
	}
	all.expires_ns = 0; /* the next such question may find the policy well */
	all.size = ret->size;
	memcpy(ret, &all, size);
}

static int failed(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret, int code,
		  size_t policy)
{
	struct mf_policy_health *health;

	if (policy < mf_vm_state_policy_count(vm->state)) {
		health = mf_vm_state_health(vm->state, policy);
		/* One event for a run of errors, one for the quarantine: a client cannot flood the sink. */
		if (!health->quarantined &&
		    health->errors_in_a_row >= vm->rt->config.options.quarantine_after) {
			health->quarantined = true;
			mf_runtime_report_policy(vm, MF_EV_POLICY_QUARANTINED, policy, code, ret,
						 (enum mf_kind)req->kind, health->errors_in_a_row);
		} else if (health->errors_in_a_row == 1) {
			mf_runtime_report_policy(vm, MF_EV_POLICY_ERROR, policy, code, ret,
						 (enum mf_kind)req->kind, 1);
		}
	}
	apply_fail_mode(vm, req, code, ret);
	return code;
}

int mf_decide(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret)
{
	struct mf_vm_state *state = current_state(vm);
	size_t policy;
	int r = mf_vm_state_decide(state, req, ret, &policy);

	return __builtin_expect(r < 0, 0) ? failed(vm, req, ret, r, policy) : r;
}

int mf_explain(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret,
	       const char **ret_json)
{
	int r = mf_vm_state_explain(current_state(vm), req, ret, ret_json);

	if (r < 0)
		apply_fail_mode(vm, req, r, ret);
	return r;
}

void mf_vm_get_stats(const struct mf_vm *vm, struct mf_vm_stats *ret)
{
	struct mf_vm_stats now = { .size = sizeof(now) }, all = vm->past;
	size_t size = ret->size < sizeof(all) ? ret->size : sizeof(all);

	mf_vm_state_stats(vm->state, &now);
	add_stats(&all, vm->state);
	all.graph_nodes = now.graph_nodes;
	all.memo_entries = now.memo_entries;
	all.lua_bytes = now.lua_bytes;
	all.size = ret->size;
	memcpy(ret, &all, size);
}
