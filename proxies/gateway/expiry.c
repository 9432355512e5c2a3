/* SPDX-License-Identifier: Apache-2.0 */
/* expiry.c - see expiry.h */
#include "proxies/gateway/expiry.h"

#include <event2/event.h>
#include <time.h>

#include "core/base/err.h"
#include "proxies/gateway/member.h"

/* Tokens are of the clock on the wall, which may be set; timers are of another one. So it is looked at now and then. */
enum { LOOK_MS = 60000 };

int64_t mf_gw_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void mf_gw_expiry_raise(struct mf_gw_member *member, int64_t until_ms)
{
	int64_t was = atomic_load(&member->until_ms);

	while (until_ms > was && !atomic_compare_exchange_weak(&member->until_ms, &was, until_ms))
		;
}

static void arm(struct mf_gw_expiry *e)
{
	int64_t left = atomic_load(&e->member->until_ms) - mf_gw_now_ms();
	struct timeval tv;

	left = left < 1 ? 1 : left > LOOK_MS ? LOOK_MS : left;
	tv = (struct timeval){ (time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000) };
	event_add(e->timer, &tv);
}

static void on_time(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gw_expiry *e = ctx;

	(void)fd;
	(void)what;
	if (mf_gw_now_ms() >= atomic_load(&e->member->until_ms))
		e->over(e->ctx);
	else
		arm(e);
}

int mf_gw_expiry_start(struct mf_gw_expiry *e, struct event_base *base, struct mf_gw_member *member,
		       void (*over)(void *ctx), void *ctx)
{
	if (!e->timer)
		e->timer = event_new(base, -1, 0, on_time, e);
	if (!e->timer)
		return MF_E_NOMEM;
	e->member = member;
	e->over = over;
	e->ctx = ctx;
	arm(e);
	return 0;
}

void mf_gw_expiry_stop(struct mf_gw_expiry *e)
{
	if (e->timer)
		event_free(e->timer);
	e->timer = NULL;
}
