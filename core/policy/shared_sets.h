/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared_sets.h - large sets that every VM of a generation would build alike: built once, shared
 *
 * A set of domains{file = "..."} is made from the bytes of a data file, and these are the same for all VMs of a generation
 * (source.h keeps them at one place while anybody uses the source set). So the address of the bytes is the set's identity.
 * Sets never change; they go with the last VM that holds them.
 *
 * Threads: every function may be called by any thread. VMs that load the same file wait for the first, who lets go of one
 * waits for nobody.
 */
#ifndef MF_POLICY_SHARED_SETS_H
#define MF_POLICY_SHARED_SETS_H

#include "core/policy/predicate.h"

struct mf_shared_sets;

struct mf_shared_sets *mf_shared_sets_new(void);       /* NULL without memory */
void mf_shared_sets_free(struct mf_shared_sets *sets); /* when no set is held any more */

/** mf_shared_build_fn - Fill the union of @arg from @text; Return: 0 or MF_E_* with @err */
typedef int (*mf_shared_build_fn)(void *ctx, struct mf_arg *arg, const char *text, size_t len,
				  struct mf_err *err);

/**
 * mf_shared_sets_get() - Give @arg the set of @text, built by @build if nobody holds it
 * @arg:  of mf_arg_wrap(); its drop callback gives the set back
 * @text: a data file's bytes; they outlive @arg
 * Return: 0; what @build returned; MF_E_NOMEM
 */
int mf_shared_sets_get(struct mf_shared_sets *sets, struct mf_arg *arg, const char *text,
		       size_t len, mf_shared_build_fn build, void *ctx, struct mf_err *err);

/** mf_shared_sets_count() - Sets that are held */
size_t mf_shared_sets_count(struct mf_shared_sets *sets);

#endif
