/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packets_linux.c - a session's packets on their way from its TUN device through the pipeline to the listeners
 *
 * As long as the loop that runs the proxies keeps up, all of it happens in its thread: a packet that is written to the
 * device is processed by the namespace's kernel within write(), so that a flow's bytes lie at a listener's socket, or at the
 * program's, when it returns, and nobody has to be woken up in between. lanes_linux.h says what happens under load.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "capture/flow_ends.h"
#include "capture/internal_linux.h"
#include "capture/lanes_linux.h"
#include "capture/pipeline.h"
#include "core/observe/metrics.h"

struct mf_capture_packets {
	struct mf_capture *cap;
	struct mf_lanes *lanes;
	int (*judge)(void *ctx, const struct mf_session_flow *flow, struct mf_flow_verdict *ret);
	void *judge_ctx;
	long preemptions; /* of the loop's thread, at the last look */
};

bool mf_capture_packets_is_loopback(const struct mf_endpoint *server)
{
	static const uint8_t one[16] = { [15] = 1 };

	return server->addr.family == 4 ? server->addr.bytes[0] == 127
					: memcmp(server->addr.bytes, one, sizeof(one)) == 0;
}

/* The rules of the namespace keep what is its own from the device; if ever they do not, it ends here. */
static bool is_nobodys(const struct mf_session_flow *f)
{
	struct mf_endpoint own = { 0 };

	(void)mf_addr_parse(f->server.addr.family == 4 ? MF_CAPTURE_OWN4 : MF_CAPTURE_OWN6,
			    strlen(f->server.addr.family == 4 ? MF_CAPTURE_OWN4 : MF_CAPTURE_OWN6),
			    &own.addr);
	return mf_capture_packets_is_loopback(&f->server) ||
	       mf_addr_eq(&own.addr, &f->server.addr) || !mf_addr_eq(&own.addr, &f->client.addr);
}

static int decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct mf_capture_packets *p = ctx;
	struct mf_session_flow flow;

	*ret = (struct mf_flow_verdict){ .answer = MF_FLOW_DENY };
	if (!mf_flow_to_session(q->flow, &flow) || is_nobodys(&flow))
		return 0;
	ret->answer = MF_FLOW_PROXY;
	return p->judge ? p->judge(p->judge_ctx, &flow, ret) : 0;
}

static void on_event(void *ctx, const struct mf_pipeline_event *ev)
{
	struct mf_capture_packets *p = ctx;
	char text[256];

	if (p->cap->cut)
		return; /* our own doing */
	mf_pipeline_event_format(ev, text, sizeof(text));
	mf_capture_events_tell(p->cap, MF_CAPTURE_PACKETS, text);
}

int mf_capture_packets_new(struct mf_capture *cap, struct mf_err *err)
{
	struct mf_pipeline_options o = { .size = sizeof(o),
					 .scope = MF_SCOPE_ALL,
					 .method4 = MF_METHOD_REFLECT,
					 .method6 = MF_METHOD_REFLECT,
					 .tcp_port = MF_CAPTURE_PORT,
					 .udp_port = MF_CAPTURE_PORT };
	struct mf_capture_packets *p;
	struct mf_lanes_options lanes = { .fds = cap->fd + MF_CAPTURE_FD_TUN,
					  .cnt = mf_capture_tun_queues(&cap->options),
					  .pipeline = &o,
					  .eager = cap->options.tun_lanes_eager };

	_Static_assert(MF_CAPTURE_TUN_QUEUES_MAX == MF_LANES_MAX, "a lane per queue");
	if (cap->options.backend != MF_CAPTURE_TUN)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	p->cap = cap;
	cap->packets = p;
	lanes.ops = (struct mf_pipeline_ops){ .decide = decide, .event = on_event, .ctx = p };
	return mf_lanes_new(&lanes, &p->lanes, err);
}

void mf_capture_packets_stop(struct mf_capture *cap)
{
	if (cap->packets && cap->packets->lanes)
		mf_lanes_stop(cap->packets->lanes);
}

void mf_capture_packets_free(struct mf_capture *cap)
{
	if (!cap->packets)
		return;
	mf_lanes_free(cap->packets->lanes);
	free(cap->packets);
	cap->packets = NULL;
}

int mf_capture_packet_fd(const struct mf_capture *cap)
{
	return cap->packets && !cap->cut ? mf_lanes_fd(cap->packets->lanes) : -1;
}

int mf_capture_run_packets(struct mf_capture *cap)
{
	if (!cap->packets)
		return 0;
	if (cap->cut)
		return MF_E_CLOSED;
	return mf_lanes_run(cap->packets->lanes, mf_clock_now(&mf_clock_system));
}

bool mf_capture_has_packets(const struct mf_capture *cap)
{
	return cap->packets && !cap->cut && mf_lanes_has_more(cap->packets->lanes);
}

bool mf_capture_may_spin(const struct mf_capture *cap)
{
	cpu_set_t set;

	return cap->packets && sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

bool mf_capture_was_preempted(struct mf_capture *cap)
{
	struct mf_capture_packets *p = cap->packets;
	struct rusage usage;
	long before;

	if (!p || getrusage(RUSAGE_THREAD, &usage) < 0)
		return false;
	before = p->preemptions;
	p->preemptions = usage.ru_nivcsw;
	return usage.ru_nivcsw != before;
}

uint64_t mf_capture_packet_deadline(const struct mf_capture *cap)
{
	return cap->packets && !cap->cut ? mf_lanes_deadline(cap->packets->lanes) : UINT64_MAX;
}

void mf_capture_set_judge(struct mf_capture *cap,
			  int (*judge)(void *ctx, const struct mf_session_flow *flow,
				       struct mf_flow_verdict *ret),
			  void *ctx)
{
	if (!cap->packets)
		return;
	cap->packets->judge = judge;
	cap->packets->judge_ctx = ctx;
}

/*
 * To the listeners' own port come flows of the pipeline alone. Any other local port is that of a flow which the kernel
 * handed over unchanged: nobody can connect to a listener on a port that it is not bound to.
 */
int mf_capture_find_flow(void *cap, enum mf_proto proto, const struct mf_endpoint *peer,
			 const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	struct mf_capture_packets *p = ((struct mf_capture *)cap)->packets;
	struct mf_flow flow;

	*ret = (struct mf_session_flow){ .proto = proto, .client = *peer, .server = *local };
	if (!peer->addr.family || !local->addr.family)
		return MF_E_NOENT;
	if (!p || local->port != MF_CAPTURE_PORT)
		return 0;
	if (mf_pipeline_find_flow(mf_lanes_pipeline(p->lanes),
				  proto == MF_UDP ? MF_PROTO_UDP : MF_PROTO_TCP, peer, local,
				  mf_clock_now(&mf_clock_system), &flow) < 0)
		return MF_E_NOENT;
	(void)mf_flow_to_session(&flow, ret);
	return 0;
}

int mf_capture_packets_refuse_udp(struct mf_capture *cap, const struct mf_session_flow *flow,
				  const uint8_t *payload, size_t len)
{
	struct mf_flow f;

	if (!mf_flow_from_session(flow, &f))
		return MF_E_INVAL;
	return mf_pipeline_refuse_udp(mf_lanes_pipeline(cap->packets->lanes), &f,
				      mf_span_of(payload, len), mf_clock_now(&mf_clock_system));
}

void mf_capture_gather(struct mf_capture *cap, struct mf_metrics *metrics)
{
	if (cap->packets)
		mf_lanes_gather(cap->packets->lanes, metrics);
}
