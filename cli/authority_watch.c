/* SPDX-License-Identifier: Apache-2.0 */
/* authority_watch.c - see authority_watch.h */
#include "cli/authority_watch.h"

#include <event2/event.h>

#include "proxies/tls_authority.h"

enum { EVERY_S = 2 };

void mf_authority_watch_look(struct mf_authority_watch *w)
{
	struct mf_err err = { 0 };
	int r = mf_tls_authority_reopen(w->authority, w->path, &err);
	bool tell = r > 0 || (r < 0 && !w->broken);

	w->broken = r < 0;
	if (tell && w->changed)
		w->changed(w->ctx, r < 0 ? err.msg : NULL);
}

static void on_time(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	mf_authority_watch_look(ctx);
}

int mf_authority_watch_start(struct mf_authority_watch *w, struct event_base *base)
{
	static const struct timeval often = { EVERY_S, 0 };

	w->ev = event_new(base, -1, EV_PERSIST, on_time, w);
	return w->ev && event_add(w->ev, &often) == 0 ? 0 : MF_E_NOMEM;
}

void mf_authority_watch_stop(struct mf_authority_watch *w)
{
	if (w->ev)
		event_free(w->ev);
	w->ev = NULL;
}
