/* SPDX-License-Identifier: Apache-2.0 */
/* windivert_internal_win32.h - what the capture's threads and the pipeline's side share; see windivert_win32.h */
#ifndef MF_CAPTURE_WINDIVERT_INTERNAL_H
#define MF_CAPTURE_WINDIVERT_INTERNAL_H

#include <windows.h>

#include "capture/windivert_win32.h"

/*
 * A batch has room for sixteen packets of the greatest length, or MF_BACKEND_BATCH_MAX of usual ones: the driver fills in
 * as many as fit. Eight of them (8 MiB) hold what comes while the pipeline works on one.
 */
#define MF_WD_BATCH_ROOM (16u * MF_WD_PACKET_MAX)
#define MF_WD_BATCHES	 8u
#define MF_WD_EVENTS	 8192u

_Static_assert(MF_BACKEND_BATCH_MAX <= MF_WD_BATCH_MAX, "the driver takes our batches");

struct mf_wd_batch {
	uint8_t *bytes;
	uint32_t len, cnt;
	struct mf_wd_address addrs[MF_BACKEND_BATCH_MAX];
};

struct mf_windivert {
	struct mf_windivert_options o;
	struct mf_backend backend;
	struct mf_wd_library lib;
	void *sockets, *packets, *inject; /* handles S, N, I */
	struct mf_owner_table *owners;	  /* the pipeline's thread */
	HANDLE threads[2];

	/* Ticks of the performance counter as nanoseconds of the pipeline's clock. */
	int64_t ticks_zero, ticks_per_s;
	uint64_t ns_zero;

	CRITICAL_SECTION lock;
	CONDITION_VARIABLE room; /* a batch was given back, or the end has come */

	/* under the lock; a batch's contents belong to the reader before it is full, to the pipeline's thread after */
	struct mf_wd_batch batches[MF_WD_BATCHES];
	unsigned batch_first, batch_full;
	bool packets_ended, events_ended;
	unsigned packet_failures, event_failures; /* not told to the pipeline yet */
	struct mf_flow_event events[MF_WD_EVENTS];
	unsigned event_first, event_cnt;
	bool asleep; /* the pipeline found nothing: wake it */
	bool stopped, freeing;
	struct mf_windivert_stats stats;

	/* the pipeline's thread */
	unsigned taken;	     /* packets of the first batch that were handed out */
	uint32_t taken_len;  /* their bytes */
	uint8_t *send_bytes; /* MF_WD_BATCH_ROOM */
	struct mf_wd_address send_addrs[MF_BACKEND_BATCH_MAX];
};

uint64_t mf_wd_ticks_ns(const struct mf_windivert *wd, int64_t ticks);

/** mf_wd_push_event() - Into the ring, the oldest goes when it is full; the lock is held */
void mf_wd_push_event(struct mf_windivert *wd, const struct mf_flow_event *ev);

/** mf_wd_start_readers() - Return: 0, MF_E_NOMEM */
int mf_wd_start_readers(struct mf_windivert *wd, struct mf_err *err);

#endif
