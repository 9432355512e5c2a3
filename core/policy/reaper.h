/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.h - states of generations that are over are taken apart in a thread of their own
 *
 * A state with a large policy is some ten thousand blocks and perhaps the last user of a list of a million names: milliseconds.
 * The thread that goes over to a new generation is about to answer a request. So it only puts the old state onto a list.
 */
#ifndef MF_POLICY_REAPER_H
#define MF_POLICY_REAPER_H

#include "core/policy/vm.h"

struct mf_reaper;

struct mf_reaper *mf_reaper_new(void); /* NULL without memory; begins no thread */

/** mf_reaper_start() - Begin the thread, if it is not there; without it mf_reaper_take() frees at once */
void mf_reaper_start(struct mf_reaper *r);

/** mf_reaper_take() - Free @state (NULL is fine), which nobody uses any more. Cost: a push and a wake-up, whatever its size */
void mf_reaper_take(struct mf_reaper *r, struct mf_vm_state *state);

/** mf_reaper_free() - Frees what was taken, ends the thread; NULL is fine */
void mf_reaper_free(struct mf_reaper *r);

#endif
