/* SPDX-License-Identifier: Apache-2.0 */
/* run_signals_linux.c - see run_signals.h */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "cli/run_signals.h"

struct mf_run_signals {
	struct mf_run_signals_ops ops;
	struct event *hup;
};

static void on_hup(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_run_signals *s = ctx;

	(void)fd;
	(void)what;
	s->ops.reload(s->ops.ctx);
}

struct mf_run_signals *mf_run_signals_new(struct event_base *base,
					  const struct mf_run_signals_ops *ops)
{
	struct mf_run_signals *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = *ops;
	s->hup = evsignal_new(base, SIGHUP, on_hup, s);
	if (!s->hup || event_add(s->hup, NULL)) {
		mf_run_signals_free(s);
		return NULL;
	}
	return s;
}

void mf_run_signals_free(struct mf_run_signals *s)
{
	if (!s)
		return;
	if (s->hup)
		event_free(s->hup);
	free(s);
}
