/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake_win32.h - a socket that any thread can make readable: what event loops that wait for sockets can be woken with
 *
 * A UDP socket on loopback that is connected to itself, so that nobody else is heard on it. At most one datagram is on its
 * way: waking a loop that is awake costs an atomic exchange.
 *
 *	producer: put something into a queue;  mf_wake_set(w)
 *	consumer: readable? mf_wake_clear(w);  take all that is in the queue
 */
#ifndef MF_CAPTURE_WAKE_WIN32_H
#define MF_CAPTURE_WAKE_WIN32_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/err.h"

struct mf_wake {
	int fd; /* a SOCKET, which has 32 significant bits; -1: none */
	atomic_bool set;
};

/** mf_wake_init() - Return: 0, MF_E_IO; @w->fd is -1 then */
int mf_wake_init(struct mf_wake *w, struct mf_err *err);
/** mf_wake_set() - Make it readable; any thread, also as a callback's function */
void mf_wake_set(void *wake);
/** mf_wake_clear() - No longer readable; look for work after that, not before */
void mf_wake_clear(struct mf_wake *w);
void mf_wake_done(struct mf_wake *w);

#endif
