/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.h - generations: loading aside, testing, and the swap
 *
 * How it works
 *
 * A generation is a number and a set of sources. mf_runtime_load() reads the sources, runs the packs' tests, builds a
 * vm_state for every registered VM (all of it in the calling thread, while decisions go on), and then publishes: each
 * state is put into its VM's mailbox, one atomic pointer. mf_decide() looks there before each decision and adopts what it
 * finds; the old state goes to a thread that frees it (reaper.h). So a decision sees one generation from its first read to its
 * last, no thread waits for another, and no state is freed under a reader. What a request pays for a reload is the exchange
 * of two pointers. If anything fails before the publishing, what
 * was built is thrown away and nothing has changed.
 *
 * Locks: @reload_lock is held for a whole load. @lock guards the list of VMs and the current generation, for moments only:
 * mf_vm_new() builds without any and looks under it whether the generation is still the one, and a load that finds more VMs
 * than it built states for builds the rest. Order: reload_lock, lock. mf_decide() takes neither.
 *
 * Fail modes: closed denies, open allows. keep_last asks the generation before, whose state a VM keeps for that purpose
 * (only where some kind has that mode), and denies when there is none or it fails as well. A state that had a policy in
 * quarantine is not kept. docs/reload.md has the whole of it.
 */
#ifndef MF_POLICY_RUNTIME_H
#define MF_POLICY_RUNTIME_H

#include <moonfence/moonfence.h>

#include "core/policy/generations.h"
#include "core/policy/vm.h"

/** mf_runtime_config() - What its VMs are made with; lives as long as @rt */
const struct mf_vm_config *mf_runtime_config(const struct mf_runtime *rt);

/** mf_runtime_sources() - The sources of the generation in force, with a reference; NULL before the first load */
struct mf_source_set *mf_runtime_sources(struct mf_runtime *rt);

/** mf_runtime_policies() - Names of the policies in force, in order, as one JSON array; free() it; NULL without memory */
char *mf_runtime_policies(struct mf_runtime *rt);

/** mf_runtime_keep() - Keep @cnt generations, the one in force among them, at most MF_GENERATIONS_MAX; before the first load */
void mf_runtime_keep(struct mf_runtime *rt, size_t cnt);

/** mf_runtime_guard() - Who is shown each file of policies that loads read; before the first load. @guard->ctx outlives @rt */
void mf_runtime_guard(struct mf_runtime *rt, const struct mf_source_guard *guard);

/** mf_runtime_read() - The sources of @paths as a load of @rt reads them, guard and all; Return: as mf_source_set_read_for() */
int mf_runtime_read(struct mf_runtime *rt, const char *const *paths, size_t path_cnt,
		    struct mf_source_set **ret_set, struct mf_err *err);

/**
 * mf_runtime_generations() - The generations that are kept, the newest (which is in force) first
 * @ret: room for @max; mf_generation_done() each. Return: how many
 */
size_t mf_runtime_generations(struct mf_runtime *rt, struct mf_generation *ret, size_t max);

/**
 * mf_runtime_activate() - Put sources in force that were read before
 * @g:     set and paths, copied; @from as it is to be known by; the paths are what reloads read from now on
 * @test:  run their tests first; g->by: who is told of in the event
 * The files on disk may be others by now: the watch does not take those of the generation that was in force for news.
 * Return: 0; as mf_runtime_load(): then the old generation stays
 */
int mf_runtime_activate(struct mf_runtime *rt, const struct mf_generation *g, bool test,
			struct mf_err *err);

/** mf_runtime_reload_by() - mf_runtime_reload(), and who asked for it; NULL: nobody knows */
int mf_runtime_reload_by(struct mf_runtime *rt, const struct mf_generation_asker *by,
			 struct mf_err *err);

/** mf_vm_newest_generation() - Number of the generation in force, which the VM's next decision is of at least; any thread */
uint64_t mf_vm_newest_generation(const struct mf_vm *vm);

/** mf_vm_config_init() - @options (may be NULL) with the defaults filled in; Return: 0, MF_E_INVAL, MF_E_NOMEM */
int mf_vm_config_init(struct mf_vm_config *config, const struct mf_runtime_options *options);
void mf_vm_config_done(struct mf_vm_config *config);

/* Watching, by watch.c. */
struct mf_watch;

struct mf_watch_ops {
	/* Calls @add for every path whose change matters: directories, and files named by the operator. */
	void (*each_path)(void *ctx, void (*add)(void *add_ctx, const char *path), void *add_ctx);
	/* In the watch's thread; Return: true to be called again later though nothing changes (with growing pauses) */
	bool (*changed)(void *ctx);
	void *ctx;
	const struct mf_log *log;
};

/** mf_watch_start() - One thread that calls ops->changed after @debounce_ms without further changes */
int mf_watch_start(const struct mf_watch_ops *ops, uint32_t debounce_ms,
		   struct mf_watch **ret_watch, struct mf_err *err);
/** mf_watch_stop() - End the thread; waits for a changed() in progress. NULL is fine. */
void mf_watch_stop(struct mf_watch *watch);

#endif
