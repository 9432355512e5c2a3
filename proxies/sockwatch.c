/* SPDX-License-Identifier: Apache-2.0 */
/* sockwatch.c - see watch.h */
#include "proxies/sockwatch.h"

#include "core/base/err.h"

bool mf_sockwatch_has_edges(const struct event_base *base)
{
	const int needed = EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE;

	/* without EV_CLOSED, an end that came with the last bytes would never be told */
	return (event_base_get_features(base) & needed) == needed;
}

int mf_sockwatch_start(struct mf_sockwatch *w, struct event_base *base, int fd,
		       event_callback_fn fn, void *ctx)
{
	short what = EV_READ | EV_WRITE | EV_PERSIST;

	w->levels = !mf_sockwatch_has_edges(base);
	w->wanted = EV_READ | EV_WRITE;
	if (!w->levels)
		what |= EV_CLOSED | EV_ET;
	return event_assign(&w->ev, base, fd, what, fn, ctx) < 0 || event_add(&w->ev, NULL) < 0
		       ? MF_E_NOMEM
		       : 0;
}

void mf_sockwatch_want(struct mf_sockwatch *w, short what)
{
	if (!w->levels || what == w->wanted)
		return;
	event_del(&w->ev);
	w->wanted = 0;
	if (what == 0)
		return;
	/* a failure (no memory) leaves the socket unwatched until the next call; time-outs end what hangs */
	if (event_assign(&w->ev, event_get_base(&w->ev), event_get_fd(&w->ev), what | EV_PERSIST,
			 event_get_callback(&w->ev), event_get_callback_arg(&w->ev)) == 0 &&
	    event_add(&w->ev, NULL) == 0)
		w->wanted = what;
}

void mf_sockwatch_kick(struct mf_sockwatch *w)
{
	event_active(&w->ev, EV_WRITE, 0);
}

void mf_sockwatch_stop(struct mf_sockwatch *w)
{
	event_del(&w->ev);
}
