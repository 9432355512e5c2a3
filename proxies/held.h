/* SPDX-License-Identifier: Apache-2.0 */
/*
 * held.h - flows that wait until a person has answered (core/approve/approve.h)
 *
 * A room that meets a verdict ask{...} while asker.may_hold is set gives it to mf_held_begin() and returns to the loop. When
 * the answer is there, or its time is over, resume() is called from the loop: the room asks its policies again, from where
 * it stood, with asker.grants = held->grants. What was decided before has no effect.
 *
 * Answers come from other threads (terminal, control socket); they are told of through a pair of sockets of the proxy's.
 */
#ifndef MF_PROXIES_HELD_H
#define MF_PROXIES_HELD_H

#include "core/approve/approve.h"

struct mf_proxy;

enum {
	/*
	 * A client that has ended its side, and whose process still has the socket, is looked at again after so long: a process that
	 * is dying has it until just after its FIN has gone.
	 */
	MF_HELD_LOOK_MS = 250,
};

struct mf_held {
	struct mf_held *prev, *next;
	struct mf_proxy *proxy;
	uint64_t ticket;		      /* 0: it does not wait */
	struct mf_approve_grants *grants;     /* what it was given so far; NULL: nothing */
	void (*resume)(struct mf_held *held); /* may free it */
};

/** mf_held_start() - Hear of answers, where the session has a channel; Return: 0, MF_E_* */
int mf_held_start(struct mf_proxy *p, struct mf_err *err);
void mf_held_stop(struct mf_proxy *p);

/**
 * mf_held_begin() - Wait for an answer to what p->asker was asked last
 * @d: its answer, an ask; where nothing can wait any more it becomes a denial
 * Return: whether it waits
 */
bool mf_held_begin(struct mf_proxy *p, struct mf_held *held, struct mf_decision *d);

/** mf_held_end() - The flow has gone; a zeroed one is fine */
void mf_held_end(struct mf_held *held);

static inline bool mf_held_waits(const struct mf_held *held)
{
	return held->ticket != 0;
}

#endif
