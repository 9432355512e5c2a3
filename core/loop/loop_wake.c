/* SPDX-License-Identifier: Apache-2.0 */
/* loop_wake.c - see loop_wake.h: a pair of sockets, which every system's loops can wait for */
#include "core/loop/loop_wake.h"

#include <event2/event.h>
#include <stdlib.h>

#include "core/base/sockets.h"
#include "core/loop/pair_family.h"

struct mf_loop_wake {
	evutil_socket_t ends[2]; /* the loop's, the threads' */
	struct event *ev;
	void (*fn)(void *ctx);
	void *ctx;
};

static void on_byte(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_loop_wake *w = ctx;
	char bytes[64];

	(void)what;
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		;
	w->fn(w->ctx);
}

struct mf_loop_wake *mf_loop_wake_new(struct event_base *base, void (*fn)(void *ctx), void *ctx)
{
	struct mf_loop_wake *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->fn = fn;
	w->ctx = ctx;
	if (evutil_socketpair(MF_PAIR_FAMILY, SOCK_STREAM, 0, w->ends) < 0) {
		free(w);
		return NULL;
	}
	for (int i = 0; i < 2; i++) {
		(void)evutil_make_socket_nonblocking(w->ends[i]);
		(void)evutil_make_socket_closeonexec(w->ends[i]);
	}
	w->ev = event_new(base, w->ends[0], EV_READ | EV_PERSIST, on_byte, w);
	if (!w->ev || event_add(w->ev, NULL) < 0) {
		mf_loop_wake_free(w);
		return NULL;
	}
	return w;
}

void mf_loop_wake(void *wake)
{
	struct mf_loop_wake *w = wake;

	/* Where it finds no room, the loop has not read the ones before. No SIGPIPE: the other end is ours, and open. */
	(void)send(w->ends[1], "", 1, 0);
}

void mf_loop_wake_free(struct mf_loop_wake *w)
{
	if (!w)
		return;
	if (w->ev)
		event_free(w->ev);
	evutil_closesocket(w->ends[0]);
	evutil_closesocket(w->ends[1]);
	free(w);
}
