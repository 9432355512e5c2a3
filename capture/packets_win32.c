/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packets_win32.c - WinDivert, the pipeline, and the processes of the session between them
 *
 * The driver's backend is wrapped: before the pipeline sees that a process connects, it is made sure that the pipeline
 * knows whether the process is of the session. The job's messages come through a queue of their own and may be late, the
 * job itself is not: the kernel is asked about every process that is not known, so that nobody gets out by being quick.
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "capture/flow_ends.h"
#include "capture/internal_win32.h"
#include "capture/pipeline.h"
#include "capture/windivert_win32.h"
#include "core/observe/metrics.h"

#define STOP_WAIT_NS (2 * MF_NS_PER_S)

struct mf_capture_packets {
	struct mf_capture *cap;
	struct mf_windivert *wd;
	struct mf_backend inner;
	struct mf_nat *nat;
	struct mf_pipeline *pipeline;
	int (*judge)(void *ctx, const struct mf_session_flow *flow, struct mf_flow_verdict *ret);
	void *judge_ctx;
	struct mf_endpoint probe; /* port 0: none */
	/* The flow that is asked about now: it is not in the table yet. */
	struct mf_flow asked;
	uint32_t asked_pid;
	uint64_t asked_wall_ns;
};

/* ---- flows ----------------------------------------------------------------------------------------------------- */

static int decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct mf_capture_packets *p = ctx;
	struct mf_session_flow flow;
	int r = 0;

	*ret = (struct mf_flow_verdict){ .answer = MF_FLOW_DENY };
	if (!mf_flow_to_session(q->flow, &flow) || p->cap->cut)
		return 0;
	if (p->probe.port && memcmp(&flow.server, &p->probe, sizeof(p->probe)) == 0) {
		ret->answer = MF_FLOW_PROXY;
		return 0;
	}
	// What would not arrive is refused at once, so that its program tries IPv4.
	if (flow.server.addr.family == 6 && !p->cap->has_ip6)
		return 0;
	ret->answer = MF_FLOW_PROXY;
	p->asked = *q->flow;
	p->asked_pid = q->pid;
	p->asked_wall_ns = mf_clock_wall(&mf_clock_system);
	if (p->judge)
		r = p->judge(p->judge_ctx, &flow, ret);
	p->asked_pid = 0;
	return r;
}

static void on_event(void *ctx, const struct mf_pipeline_event *ev)
{
	struct mf_capture_packets *p = ctx;
	char text[256];

	if (p->cap->cut)
		return; /* our own doing */
	mf_pipeline_event_format(ev, text, sizeof(text));
	mf_capture_tell(p->cap, MF_CAPTURE_PACKETS, text);
}

int mf_capture_packets_find_pid(struct mf_capture *cap, const struct mf_session_flow *flow,
				uint32_t *ret_pid, uint64_t *ret_began_ns)
{
	struct mf_capture_packets *p = cap->packets;
	uint64_t now = mf_clock_now(&mf_clock_system);
	struct mf_nat_entry entry;
	struct mf_flow f;

	if (!p || !mf_flow_from_session(flow, &f))
		return MF_E_NOENT;
	if (p->asked_pid && mf_flow_eq(&f, &p->asked)) {
		*ret_pid = p->asked_pid;
		*ret_began_ns = p->asked_wall_ns;
		return 0;
	}
	if (mf_nat_get(p->nat, &f, now, &entry) < 0 || !entry.pid)
		return MF_E_NOENT;
	*ret_pid = entry.pid;
	*ret_began_ns = mf_clock_wall(&mf_clock_system) - (now - entry.created_ns);
	return 0;
}

/*
 * Every connection to a listener that is no redirected flow comes from somebody on this machine who found the port: it is
 * dropped unread (W9).
 */
int mf_capture_find_flow(void *cap, enum mf_proto proto, const struct mf_endpoint *peer,
			 const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	struct mf_capture_packets *p = ((struct mf_capture *)cap)->packets;
	struct mf_flow flow;

	*ret = (struct mf_session_flow){ .proto = proto, .client = *peer, .server = *local };
	if (!p || mf_pipeline_find_flow(p->pipeline, proto == MF_UDP ? MF_PROTO_UDP : MF_PROTO_TCP,
					peer, local, mf_clock_now(&mf_clock_system), &flow) < 0)
		return MF_E_NOENT;
	(void)mf_flow_to_session(&flow, ret);
	return 0;
}

int mf_capture_packets_refuse_udp(struct mf_capture *cap, const struct mf_session_flow *flow,
				  const uint8_t *payload, size_t len)
{
	struct mf_flow f;

	if (!cap->packets || !mf_flow_from_session(flow, &f))
		return MF_E_INVAL;
	return mf_pipeline_refuse_udp(cap->packets->pipeline, &f, mf_span_of(payload, len),
				      mf_clock_now(&mf_clock_system));
}

void mf_capture_packets_set_probe(struct mf_capture *cap, const struct mf_endpoint *server)
{
	cap->packets->probe = server ? *server : (struct mf_endpoint){ 0 };
}

/* ---- processes ------------------------------------------------------------------------------------------------- */

int mf_capture_packets_add_pid(struct mf_capture *cap, uint32_t pid)
{
	return cap->packets ? mf_pipeline_add_pid(cap->packets->pipeline, pid) : 0;
}

void mf_capture_packets_remove_pid(struct mf_capture *cap, uint32_t pid)
{
	if (cap->packets)
		(void)mf_pipeline_on_exited(cap->packets->pipeline, pid,
					    mf_clock_now(&mf_clock_system));
}

static void learn(struct mf_capture_packets *p, uint32_t pid)
{
	if (pid > 4 && mf_job_has(p->cap->job, pid))
		(void)mf_pipeline_add_pid(p->pipeline, pid);
}

/* ---- the wrapped backend --------------------------------------------------------------------------------------- */

static int receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct mf_capture_packets *p = ctx;

	return p->inner.receive(p->inner.ctx, packets, max);
}

static int send_packets(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct mf_capture_packets *p = ctx;

	return p->inner.send(p->inner.ctx, packets, cnt);
}

static int next_event(void *ctx, struct mf_flow_event *ret)
{
	struct mf_capture_packets *p = ctx;
	int r = p->inner.next_event(p->inner.ctx, ret);

	if (r > 0 && ret->kind != MF_FLOW_EVENT_CLOSE)
		learn(p, ret->pid);
	return r;
}

static int find_pid(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct mf_capture_packets *p = ctx;
	int r = p->inner.find_pid(p->inner.ctx, flow, ret_pid);

	if (r == 0)
		learn(p, *ret_pid);
	return r;
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static int open_driver(struct mf_capture_packets *p, struct mf_err *err)
{
	const struct mf_capture *cap = p->cap;
	struct mf_windivert_options o = { .size = sizeof(o),
					  .capture = { .method4 = MF_METHOD_LOOPBACK,
						       .method6 = MF_METHOD_REFLECT,
						       .tcp_port = cap->tcp_port,
						       .udp_port = cap->udp_port },
					  .wake = mf_wake_set,
					  .wake_ctx = &p->cap->packets_wake };
	int r = mf_windivert_new(&o, &p->wd, err);

	if (r == 0)
		p->inner = *mf_windivert_backend(p->wd);
	return r;
}

/*
 * Ten times the pipeline's default: on a busy machine the event of a connection may come that much later than its SYN, and a
 * flow whose owner nobody knows is refused. Nobody waits for it but such flows.
 */
#define HOLD_NS (200 * MF_NS_PER_MS)

static int open_pipeline(struct mf_capture_packets *p, struct mf_err *err)
{
	const struct mf_capture *cap = p->cap;
	struct mf_pipeline_options o = { .size = sizeof(o),
					 .scope = MF_SCOPE_PIDS,
					 .method4 = MF_METHOD_LOOPBACK,
					 .method6 = MF_METHOD_REFLECT,
					 .tcp_port = cap->tcp_port,
					 .udp_port = cap->udp_port,
					 .nat = p->nat,
					 .own_pid = GetCurrentProcessId(),
					 .hold_ns = HOLD_NS,
					 .fail_open = cap->options.fail_open };
	struct mf_pipeline_ops ops = { .decide = decide, .event = on_event, .ctx = p };
	struct mf_backend wrapped = p->inner;

	wrapped.ctx = p;
	wrapped.receive = receive;
	wrapped.send = send_packets;
	wrapped.next_event = p->inner.next_event ? next_event : NULL;
	wrapped.find_pid = p->inner.find_pid ? find_pid : NULL;
	return mf_pipeline_new(&o, &wrapped, &ops, &p->pipeline, err);
}

int mf_capture_packets_new(struct mf_capture *cap, struct mf_err *err)
{
	struct mf_capture_packets *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	p->cap = cap;
	cap->packets = p;
	r = mf_nat_new(NULL, &p->nat, err);
	if (r == 0)
		r = open_driver(p, err);
	if (r == 0)
		r = open_pipeline(p, err);
	if (r < 0)
		mf_capture_packets_free(cap);
	return r;
}

/* W3: nothing is diverted any more, what was is handled, then sending ends too. */
static void stop(struct mf_capture_packets *p)
{
	uint64_t start = mf_clock_now(&mf_clock_system), now = start;

	mf_windivert_stop(p->wd);
	while (mf_pipeline_run(p->pipeline, now) != MF_E_CLOSED && now - start < STOP_WAIT_NS) {
		Sleep(1);
		now = mf_clock_now(&mf_clock_system);
	}
	mf_pipeline_drain(p->pipeline, now);
}

void mf_capture_packets_free(struct mf_capture *cap)
{
	struct mf_capture_packets *p = cap->packets;

	if (!p)
		return;
	if (p->pipeline)
		stop(p);
	cap->packets = NULL;
	mf_pipeline_free(p->pipeline);
	if (p->wd)
		mf_windivert_free(p->wd);
	mf_nat_free(p->nat);
	free(p);
}

/* ---- capture.h ------------------------------------------------------------------------------------------------- */

int mf_capture_packet_fd(const struct mf_capture *cap)
{
	return cap->packets ? cap->packets_wake.fd : -1;
}

int mf_capture_run_packets(struct mf_capture *cap)
{
	int n;

	if (!cap->packets)
		return 0;
	mf_capture_take_processes(cap);
	n = mf_pipeline_run(cap->packets->pipeline, mf_clock_now(&mf_clock_system));
	if (n != 0)
		return n;
	// The socket stays readable as long as there may be something; what came meanwhile makes it so again.
	mf_wake_clear(&cap->packets_wake);
	mf_capture_take_processes(cap);
	n = mf_pipeline_run(cap->packets->pipeline, mf_clock_now(&mf_clock_system));
	if (n > 0)
		mf_wake_set(&cap->packets_wake);
	return n;
}

bool mf_capture_has_packets(const struct mf_capture *cap)
{
	// The reader's ring may hold more than a batch: only an empty one says that there is nothing.
	return cap->packets != NULL;
}

bool mf_capture_may_spin(const struct mf_capture *cap)
{
	// Packets come through a thread of the reader's, which wants the processor meanwhile.
	(void)cap;
	return false;
}

bool mf_capture_was_preempted(struct mf_capture *cap)
{
	(void)cap;
	return false;
}

uint64_t mf_capture_packet_deadline(const struct mf_capture *cap)
{
	return cap->packets ? mf_pipeline_deadline(cap->packets->pipeline) : UINT64_MAX;
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

void mf_capture_gather(struct mf_capture *cap, struct mf_metrics *metrics)
{
	if (cap->packets)
		mf_pipeline_gather(cap->packets->pipeline, metrics);
}
