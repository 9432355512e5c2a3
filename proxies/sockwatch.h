/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockwatch.h - being told that a socket became ready, by edges where the loop has them and by levels where it has not
 *
 * With edges (epoll) a socket is registered once for everything, and each change is told once. The select() of other
 * systems knows levels only: it would tell of a writable socket in every turn. There the owner says after each handler
 * what it waits for (mf_sockwatch_want()), and only that is asked for. Owners do the same in both cases; with edges the call
 * does nothing.
 *
 * The handler gets EV_READ, EV_WRITE, and with edges EV_CLOSED (the peer's end, which may come with its last bytes; with
 * levels EV_READ is told again until the end has been read).
 */
#ifndef MF_PROXIES_SOCKWATCH_H
#define MF_PROXIES_SOCKWATCH_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

struct mf_sockwatch {
	struct event ev;
	short wanted; /* levels: what is asked for now */
	bool levels;
};

/** mf_sockwatch_has_edges() - Whether @base tells of changes and of ended peers, so that one registration does */
bool mf_sockwatch_has_edges(const struct event_base *base);

/** mf_sockwatch_start() - From now on @fn hears of @fd, of everything at first; Return: 0 or MF_E_NOMEM */
int mf_sockwatch_start(struct mf_sockwatch *w, struct event_base *base, int fd,
		       event_callback_fn fn, void *ctx);

/** mf_sockwatch_want() - What the owner waits for: EV_READ, EV_WRITE, both or 0. Without effect where there are edges. */
void mf_sockwatch_want(struct mf_sockwatch *w, short what);

/** mf_sockwatch_kick() - The handler is called from the loop soon, with EV_WRITE, whatever the socket does */
void mf_sockwatch_kick(struct mf_sockwatch *w);

/** mf_sockwatch_stop() - Also after the socket was closed, which saves a system call; before its number is used again */
void mf_sockwatch_stop(struct mf_sockwatch *w);

#endif
