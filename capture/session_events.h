/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_events.h - processes of a session come and go: what every source of such news looks like
 *
 * Sources (Windows): a job object (job_win32.h), a minifilter driver (minifilter_client.h). Their news feed the set of
 * processes of the pipeline; two sources may tell the same.
 *
 * A source has a thread of its own that waits for the system, puts what it learns into a queue, and wakes the session's
 * thread, which takes it from there. The queue is bounded. What does not fit is not lost in silence: the next event is
 * MF_SESSION_LOST, and whoever takes it reads the processes of the session anew.
 */
#ifndef MF_CAPTURE_SESSION_EVENTS_H
#define MF_CAPTURE_SESSION_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mf_session_event_kind {
	MF_SESSION_CREATED,
	MF_SESSION_EXITED,
	MF_SESSION_LOST, /* events were dropped: @pid is how many */
	MF_SESSION_EVENT_NUM
};

struct mf_session_event {
	enum mf_session_event_kind kind;
	uint32_t pid;
	uint32_t parent;  /* 0: not known; the process is of the session all the same */
	uint64_t time_ns; /* when it was created, in ns since 1970 (UTC); 0: not known */
};

struct mf_session_events {
	const char *name; /* "job", "minifilter" */
	/** next() - Called by the session's thread, never blocks; Return: 1 with an event, 0 for none now */
	int (*next)(void *ctx, struct mf_session_event *ret);
	void *ctx;
};

/* Called by a source's thread after it has put something into its queue. Must be cheap and callable from any thread. */
struct mf_session_wake {
	void (*fn)(void *ctx); /* may be NULL */
	void *ctx;
};

static inline void mf_session_wake_call(const struct mf_session_wake *w)
{
	if (w->fn)
		w->fn(w->ctx);
}

/* ---- a bounded queue for one thread that puts and one that takes, without a lock --------------------------------- */

#define MF_SESSION_QUEUE_LEN 4096 /* a power of two */

struct mf_session_queue {
	struct mf_session_event ring[MF_SESSION_QUEUE_LEN];
	_Atomic uint32_t put, taken; /* count up, wrap around */
	_Atomic uint32_t lost;
};

/** mf_session_queue_put() - Return: false when there is no room: counted, and told later by mf_session_queue_take() */
static inline bool mf_session_queue_put(struct mf_session_queue *q,
					const struct mf_session_event *ev)
{
	uint32_t at = atomic_load_explicit(&q->put, memory_order_relaxed);

	if (at - atomic_load_explicit(&q->taken, memory_order_acquire) == MF_SESSION_QUEUE_LEN) {
		atomic_fetch_add(&q->lost, 1);
		return false;
	}
	q->ring[at % MF_SESSION_QUEUE_LEN] = *ev;
	atomic_store_explicit(&q->put, at + 1, memory_order_release);
	return true;
}

/** mf_session_queue_take() - Return: 1 with an event, 0 */
static inline int mf_session_queue_take(struct mf_session_queue *q, struct mf_session_event *ret)
{
	uint32_t at = atomic_load_explicit(&q->taken, memory_order_relaxed), lost;

	if (at != atomic_load_explicit(&q->put, memory_order_acquire)) {
		*ret = q->ring[at % MF_SESSION_QUEUE_LEN];
		atomic_store_explicit(&q->taken, at + 1, memory_order_release);
		return 1;
	}
	// Only after what was there: whoever reads all processes then sees at least what the queue would have told.
	lost = atomic_exchange(&q->lost, 0);
	if (!lost)
		return 0;
	*ret = (struct mf_session_event){ .kind = MF_SESSION_LOST, .pid = lost };
	return 1;
}

#endif
