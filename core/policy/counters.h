/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counters.h - rates and budgets that policies keep: counter("name", key):over(100, "1m")
 *
 * How it works
 *
 * The only state that outlives a call of a policy, so it lives here and not in Lua: shared by all VMs of a runtime, kept
 * over reloads, bounded. A counter is known by policy, name, key and window. A window is cut into 16 slices; a sum over
 * the window forgets a slice at a time, so it is right to one sixteenth of the window and never counts too little: what
 * happened within the last window is always in the sum.
 *
 * At the limit of entries one whose window has passed makes room; if none among those looked at has, the counter cannot
 * be had (MF_E_FULL) and the policy's fail mode decides: forgetting a live rate would let its flood through.
 *
 * Threads: every function may be called by any thread; one lock, held for some tens of nanoseconds.
 */
#ifndef MF_POLICY_COUNTERS_H
#define MF_POLICY_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_COUNTER_WINDOW_MAX (UINT64_C(366) * 86400 * 1000000000) /* ns */
#define MF_COUNTER_KEY_MAX    512 /* bytes of policy, name and key together */

struct mf_counters;

/** mf_counters_new() - @entries_max: 0 for 65,536; Return: NULL without memory */
struct mf_counters *mf_counters_new(uint32_t entries_max);
void mf_counters_free(struct mf_counters *cs);

/**
 * mf_counters_add() - Count, and tell the sum
 * @id:        what tells the counter from others; any bytes, at most MF_COUNTER_KEY_MAX
 * @window_ns: length of the window, 0 for "since the counter was first used"
 * @amount:    0 to ask only
 * @now_ns:    monotonic
 * @ret_sum:   over the window, @amount included
 * Return: 0; MF_E_LIMIT (@id or @window_ns too long), MF_E_FULL, MF_E_NOMEM
 */
int mf_counters_add(struct mf_counters *cs, const void *id, size_t id_len, uint64_t window_ns,
		    uint64_t amount, uint64_t now_ns, uint64_t *ret_sum);

/** mf_counters_count() - Entries in use */
uint32_t mf_counters_count(struct mf_counters *cs);

#endif
