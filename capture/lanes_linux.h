/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanes_linux.h - the queues of a TUN device, each with a pipeline of its own, carried by the loop or by threads
 *
 *	mf_lanes_new(&options, &lanes, &err);
 *	...                                    // whenever mf_lanes_fd() is readable or the deadline is over:
 *	mf_lanes_run(lanes, now);
 *	...
 *	mf_lanes_free(lanes);
 *
 * How it works
 *
 * The kernel spreads flows over the queues by a hash that is the same in both directions, and keeps a flow where its last
 * packets were written. Lanes share one NAT table, so an answer that comes by another lane all the same is rewritten like
 * any.
 *
 * The caller's loop carries every lane as long as it can: a packet that the loop writes lies at a proxy's socket when
 * write() returns, and no other thread has to be woken up for it. A lane whose batches were full for BUSY_TURNS turns
 * without a pause is handed to a thread of its own, which gives it back when nothing came for idle_ms. Lane 0 always stays
 * with the loop. A thread is made when it is first wanted; a session that is never busy has none.
 *
 *	         full batches                  eventfd: "flow begins: may it?" / something to tell
 *	LOOP ───────────────────▶ THREAD ─────────────────────────────────────────────────────▶ loop answers
 *	  ▲                          │
 *	  └──────────────────────────┘  idle, stopped, or the device is gone
 *
 * decide() and event() are called by the loop's thread alone. A lane in its thread waits for the answer, so the flows of
 * that lane wait for a slow policy as they would in the loop, and those of other lanes do not.
 *
 * Threads: all functions are called by one thread, the loop's. A lane's pipeline belongs to whoever owns the lane; owners
 * change under the mutex.
 */
#ifndef MF_CAPTURE_LANES_LINUX_H
#define MF_CAPTURE_LANES_LINUX_H

#include "capture/pipeline.h"

#define MF_LANES_MAX 8

struct mf_lanes;

struct mf_lanes_options {
	const int *
		fds; /* a queue each, as for mf_tun_new(): non-blocking, borrowed until mf_lanes_free() */
	unsigned cnt;				    /* 1 to MF_LANES_MAX */
	const struct mf_pipeline_options *pipeline; /* nat NULL: one for all lanes is made */
	struct mf_pipeline_ops ops;		    /* called by the loop's thread */
	unsigned idle_ms;			    /* until a thread gives its lane back; 0: 2 */
	bool eager; /* any packet makes a lane busy: for tests of what threads do */
};

struct mf_lanes_stats {
	uint64_t handed_over; /* times that a lane went to its thread */
	uint64_t asked;	      /* decisions that a thread waited for */
	uint64_t untold;      /* events of threads for which there was no room */
};

/** mf_lanes_new() - Return: 0, MF_E_INVAL, MF_E_NOMEM, MF_E_IO (no more descriptors) */
int mf_lanes_new(const struct mf_lanes_options *options, struct mf_lanes **ret, struct mf_err *err);

/** mf_lanes_fd() - Readable when mf_lanes_run() has something to do */
int mf_lanes_fd(const struct mf_lanes *lanes);

/**
 * mf_lanes_run() - Answer threads, then one turn of the lanes that the loop owns, up to the first full batch
 * Return: packets and questions handled, 0 for none now, MF_E_CLOSED: the device is gone
 */
int mf_lanes_run(struct mf_lanes *lanes, uint64_t now_ns);

/** mf_lanes_has_more() - The last turn did not take all that there was */
bool mf_lanes_has_more(const struct mf_lanes *lanes);

/** mf_lanes_deadline() - As mf_pipeline_deadline(), of the lanes that the loop owns */
uint64_t mf_lanes_deadline(const struct mf_lanes *lanes);

/** mf_lanes_pipeline() - Lane 0's, for what proxies ask: it sees the flows of all lanes */
struct mf_pipeline *mf_lanes_pipeline(struct mf_lanes *lanes);

/**
 * mf_lanes_stop() - End the threads for good; the loop owns all lanes from then on. Waits for a turn of each, at most;
 * flows that wait for an answer are refused
 */
void mf_lanes_stop(struct mf_lanes *lanes);

/** mf_lanes_gather() - mf_pipeline_gather() of all lanes; ends the threads, as before the end of a session */
void mf_lanes_gather(struct mf_lanes *lanes, struct mf_metrics *metrics);

void mf_lanes_get_stats(struct mf_lanes *lanes, struct mf_lanes_stats *ret);
void mf_lanes_free(struct mf_lanes *lanes);

/** mf_lanes_default() - How many queues suit the processors that this process may use */
unsigned mf_lanes_default(void);

#endif
