/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeouts.h - many deadlines of few lengths: a queue per length, one timer of the loop for all
 *
 * Everything in a queue waits equally long, so new entries go to its end and the head is always due first: arming and
 * disarming cost a few pointer writes, and an entry 32 bytes. Long idle times are checked lazily: the owner notes the time of the
 * last activity, and answers an expiry that came too early by arming again.
 */
#ifndef MF_PROXIES_TIMEOUTS_H
#define MF_PROXIES_TIMEOUTS_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;

struct mf_timeout {
	struct mf_timeout *prev, *next; /* NULL: not armed */
	uint64_t due_ms;
	struct mf_timeout_queue *queue;
};

typedef void (*mf_timeout_fn)(struct mf_timeout *t, void *ctx);

struct mf_timeout_queue {
	struct mf_timeout head; /* a ring */
	uint32_t after_ms;
	mf_timeout_fn fn;
	void *ctx;
	struct mf_timeouts *all;
	struct mf_timeout_queue *next; /* of them, in the order that they were made */
};

struct mf_timeouts;

/** mf_now_ms() - Monotonic milliseconds */
uint64_t mf_now_ms(void);

struct mf_timeouts *mf_timeouts_new(struct event_base *base);
/** mf_timeouts_free() - All queues must be empty, or are forgotten */
void mf_timeouts_free(struct mf_timeouts *all);

/** mf_timeout_queue_init() - @fn is called with the entry already disarmed; it may free it, and arm or disarm others */
void mf_timeout_queue_init(struct mf_timeout_queue *q, struct mf_timeouts *all, uint32_t after_ms,
			   mf_timeout_fn fn, void *ctx);

/** mf_timeout_arm() - Start to wait in @q, from now; an armed entry moves */
void mf_timeout_arm(struct mf_timeout *t, struct mf_timeout_queue *q);
void mf_timeout_disarm(struct mf_timeout *t);
static inline bool mf_timeout_armed(const struct mf_timeout *t)
{
	return t->next != 0;
}

#endif
