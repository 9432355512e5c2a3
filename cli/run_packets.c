/* SPDX-License-Identifier: Apache-2.0 */
/* run_packets.c - see run_packets.h */
#include "cli/run_packets.h"

#include <event2/event.h>
#include <stdlib.h>

#include "capture/capture.h"
#include "capture/pipeline.h"
#include "core/base/clock.h"
#include "proxies/proxy.h"

/*
 * Batches in one turn of the loop: the proxies, whose sockets they fill, get theirs in between. With more than one (2, 4, 8
 * were measured) eight streams are slower by a tenth: what waits at the sockets leaves the processor's cache.
 */
#define TURNS_MAX 1

/*
 * What delays a small request is neither copying nor policy but being woken up, here twice a request. So the loop goes on
 * looking for a while after a packet before it sleeps, where that has paid of late: a packet that came within SPIN_MAX_NS
 * of the last one doubles the while, a longer silence ends it. A session that is quiet costs nothing, one that exchanges
 * message after message at most the processor that it keeps busy anyway.
 *
 * On a machine whose processors are all busy it costs more than it saves: who has used up its turn by looking waits behind
 * the others when there is work. So it is asked every SPIN_CHECK_NS whether somebody had to wait for this processor; then the
 * loop sleeps at once for a while, twice as long each time, up to SPIN_REST_MAX_NS.
 */
#define SPIN_MIN_NS	 20000u
#define SPIN_MAX_NS	 100000u
#define SPIN_CHECK_NS	 (2 * MF_NS_PER_MS)
#define SPIN_REST_MIN_NS (10 * MF_NS_PER_MS)
#define SPIN_REST_MAX_NS (640 * MF_NS_PER_MS)

struct mf_run_packets {
	struct event_base *base;
	struct mf_capture *capture;
	struct mf_proxy *proxy;
	struct event *readable, *timer;	 /* NULL: a backend without packets */
	uint64_t timer_at_ns;		 /* UINT64_MAX: not armed */
	uint64_t seen_ns;		 /* the last packet */
	bool carried;			 /* packets had their turn in this one of the loop */
	bool may_spin;			 /* there is another processor */
	uint32_t spin_ns;		 /* how long to look after it; 0: sleep at once */
	uint64_t checked_ns;		 /* whether somebody waits for this processor */
	uint64_t rest_ns, rest_until_ns; /* after somebody did */
	struct mf_proxy_judgement judgement;
	void (*on_event)(void *ctx);
	void *ctx;
};

/* The deadline moves with nearly every packet: a timer that is early is only looked at again. */
static void arm_timer(struct mf_run_packets *p)
{
	uint64_t at = mf_capture_packet_deadline(p->capture), now, wait;
	struct timeval tv;

	if (at >= p->timer_at_ns)
		return;
	now = mf_clock_now(&mf_clock_system);
	wait = at > now ? at - now : 0;
	/* a struct timeval's members have other types on Windows */
	tv.tv_sec = (long)(wait / MF_NS_PER_S);
	tv.tv_usec = (int)(wait % MF_NS_PER_S / 1000 + 1);
	if (event_add(p->timer, &tv) == 0)
		p->timer_at_ns = at;
}

/* Return: packets handled */
static unsigned run_turn(struct mf_run_packets *p)
{
	unsigned handled = 0;

	for (int i = 0; i < TURNS_MAX; i++) {
		int n = mf_capture_run_packets(p->capture);

		if (n == MF_E_CLOSED) {
			event_del(p->readable);
			event_del(p->timer);
			break;
		}
		if (n <= 0)
			break;
		handled += (unsigned)n;
		if (!mf_capture_has_packets(p->capture))
			break;
	}
	if (mf_capture_has_event(p->capture))
		p->on_event(p->ctx);
	return handled;
}

/* A packet after a silence: would looking have paid? */
static void learn(struct mf_run_packets *p, uint64_t now)
{
	if (now - p->seen_ns > SPIN_MAX_NS)
		p->spin_ns = 0;
	else if (p->spin_ns < SPIN_MAX_NS)
		p->spin_ns = p->spin_ns ? 2 * p->spin_ns : SPIN_MIN_NS;
	p->seen_ns = now;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_run_packets *p = ctx;

	(void)fd;
	(void)what;
	p->carried = true;
	if (run_turn(p))
		learn(p, mf_clock_now(&mf_clock_system));
	arm_timer(p);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_run_packets *p = ctx;

	p->timer_at_ns = UINT64_MAX;
	on_readable(fd, what, ctx);
}

static int judge(void *ctx, const struct mf_session_flow *flow, struct mf_flow_verdict *ret)
{
	struct mf_run_packets *p = ctx;

	mf_proxy_judge(p->proxy, flow, &p->judgement);
	ret->answer = p->judgement.serve ? MF_FLOW_PROXY : MF_FLOW_DENY;
	ret->redirect = p->judgement.has_redirect ? &p->judgement.redirect : NULL;
	return 0;
}

int mf_run_packets_begin(struct event_base *base, struct mf_capture *capture,
			 struct mf_proxy *proxy, void (*on_event)(void *ctx), void *ctx,
			 struct mf_run_packets **ret, struct mf_err *err)
{
	struct mf_run_packets *p = calloc(1, sizeof(*p));
	int fd = mf_capture_packet_fd(capture);

	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	*p = (struct mf_run_packets){ .base = base,
				      .capture = capture,
				      .proxy = proxy,
				      .timer_at_ns = UINT64_MAX,
				      .rest_ns = SPIN_REST_MIN_NS,
				      .on_event = on_event,
				      .ctx = ctx };
	*ret = p;
	if (fd < 0)
		return 0;
	p->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, p);
	p->timer = evtimer_new(base, on_timer, p);
	if (!p->readable || !p->timer || event_add(p->readable, NULL)) {
		mf_run_packets_end(p);
		*ret = NULL;
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	}
	p->may_spin = mf_capture_may_spin(capture);
	mf_capture_set_judge(capture, judge, p);
	return 0;
}

/* Nobody wants this processor, or did not while we rested. */
static bool is_free(struct mf_run_packets *p, uint64_t now)
{
	uint64_t since = now - p->checked_ns;

	if (now < p->rest_until_ns)
		return false;
	if (since < SPIN_CHECK_NS)
		return true;
	p->checked_ns = now;
	/* What happened while nobody looked for packets says nothing. */
	if (!mf_capture_was_preempted(p->capture) || since > 2 * SPIN_CHECK_NS) {
		if (now - p->rest_until_ns > SPIN_REST_MAX_NS)
			p->rest_ns = SPIN_REST_MIN_NS;
		return true;
	}
	p->rest_until_ns = now + p->rest_ns;
	p->rest_ns = p->rest_ns < SPIN_REST_MAX_NS ? 2 * p->rest_ns : SPIN_REST_MAX_NS;
	return false;
}

static bool shall_look(struct mf_run_packets *p)
{
	uint64_t now;

	if (!p->spin_ns)
		return false;
	now = mf_clock_now(&mf_clock_system);
	return now - p->seen_ns < p->spin_ns && is_free(p, now);
}

static bool is_over(const struct mf_run_packets *p)
{
	return event_base_got_break(p->base) || event_base_got_exit(p->base);
}

void mf_run_packets_dispatch(struct mf_run_packets *p)
{
	if (!p->may_spin) {
		event_base_dispatch(p->base);
		return;
	}
	while (!is_over(p)) {
		bool look = shall_look(p);

		/* What the proxies just wrote waits at the device, and the loop would only say so. */
		if (look || !p->carried)
			on_readable(-1, 0, p);
		/* It may have told of the end, which a loop that begins would forget. */
		if (is_over(p))
			return;
		p->carried = false;
		if (event_base_loop(p->base, look ? EVLOOP_NONBLOCK : EVLOOP_ONCE) != 0)
			return;
	}
}

void mf_run_packets_end(struct mf_run_packets *p)
{
	if (!p)
		return;
	if (p->readable) {
		mf_capture_set_judge(p->capture, NULL, NULL);
		event_free(p->readable);
	}
	if (p->timer)
		event_free(p->timer);
	free(p);
}
