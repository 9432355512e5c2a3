/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pipeline_lanes.c - two pipelines with one NAT table: flows begin in one lane, their answers come by the other
 *
 * Each lane is a thread with a pipeline of its own. It begins flows, tells the other lane how many, and sends the answers to
 * as many flows of the other as that one has told. Every answer must come out as the program expects it, whatever the other
 * lane does at the time. ThreadSanitizer sees both. Nothing here asserts in a thread: what is wrong is counted.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "capture/pipeline.h"
#include "core/base/clock.h"
#include "core/packet/build.h"
#include "tests/unit/test.h"

#define FLOWS 3000u
#define BATCH 16u
#define ROOM  128u

struct lane {
	struct mf_pipeline *pipeline;
	struct lane *other;
	uint8_t net;		  /* of its flows */
	_Atomic uint32_t begun;	  /* flows that the other may answer */
	uint32_t begin, answered; /* next to begin; of the other's */
	uint8_t bytes[BATCH][ROOM];
	uint64_t requests, answers, wrong, decisions;
};

static struct mf_flow flow_of_lane(uint8_t net, uint32_t n)
{
	struct mf_flow f = { .proto = n & 1 ? MF_PROTO_TCP : MF_PROTO_UDP, .family = 4 };
	const uint8_t src[4] = { 10, net, 0, 2 }, dst[4] = { 198, 51, 100, (uint8_t)(n >> 12) };

	memcpy(f.src, src, 4);
	memcpy(f.dst, dst, 4);
	f.src_port = (uint16_t)(1024 + n);
	f.dst_port = 443;
	return f;
}

/* What its listener sees, by reflection and with the client's own port. */
static struct mf_flow seen_of(const struct mf_flow *f)
{
	struct mf_flow t = *f;

	memcpy(t.src, f->dst, 16);
	memcpy(t.dst, f->src, 16);
	t.dst_port = f->proto == MF_PROTO_TCP ? 9080 : 9081;
	return t;
}

static void put(struct lane *l, unsigned i, const struct mf_flow *f, uint8_t flags,
		struct mf_packet *p)
{
	struct mf_tcp_fields tcp = { .flags = flags, .seq = 1 };
	size_t len = 0;

	if (f->proto == MF_PROTO_TCP)
		mf_build_tcp(f, &tcp, mf_span_str("x"), l->bytes[i], ROOM, &len);
	else
		mf_build_udp(f, mf_span_str("x"), l->bytes[i], ROOM, &len);
	*p = (struct mf_packet){ .ptr = l->bytes[i],
				 .len = (uint32_t)len,
				 .flags = MF_PACKET_OUTBOUND,
				 .interface = l->net };
}

static int lane_receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct lane *l = ctx;
	uint32_t there = atomic_load(&l->other->begun);
	unsigned n = 0;

	(void)max;
	// What was begun in the batch before has left by now.
	atomic_store(&l->begun, l->begin);
	while (n < BATCH / 2 && l->begin < FLOWS) {
		struct mf_flow f = flow_of_lane(l->net, l->begin++);

		put(l, n, &f, MF_TCP_SYN, &packets[n]);
		n++;
	}
	while (n < BATCH && l->answered < there) {
		struct mf_flow f = flow_of_lane(l->other->net, l->answered++), t = seen_of(&f);

		t = mf_flow_reverse(&t);
		put(l, n, &t, MF_TCP_SYN | MF_TCP_ACK, &packets[n]);
		n++;
	}
	return (int)n;
}

static int lane_send(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct lane *l = ctx;

	for (unsigned i = 0; i < cnt; i++) {
		const struct mf_packet *p = packets[i];
		struct mf_flow want;
		struct mf_view v;
		uint32_t n;

		mf_view_init(&v, mf_span_of(p->ptr, p->len), MF_VIEW_IP, 0, NULL);
		if (mf_view_parse(&v, MF_VIEW_TRANSPORT) || mf_csum_verify(&v) != MF_CSUM_GOOD ||
		    (p->flags & MF_PACKET_OUTBOUND)) {
			l->wrong++;
		} else if (v.flow.dst[1] == l->net) {
			// One of our requests, at the listener.
			n = (uint32_t)v.flow.src_port - 1024;
			want = flow_of_lane(l->net, n);
			want = seen_of(&want);
			l->wrong += !mf_flow_eq(&want, &v.flow);
			l->requests++;
		} else {
			// The other's answer, on the interface of the other's request.
			n = (uint32_t)v.flow.dst_port - 1024;
			want = flow_of_lane(l->other->net, n);
			want = mf_flow_reverse(&want);
			l->wrong += !mf_flow_eq(&want, &v.flow) || p->interface != l->other->net;
			l->answers++;
		}
	}
	return (int)cnt;
}

static int lane_decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct lane *l = ctx;

	(void)q;
	l->decisions++;
	ret->answer = MF_FLOW_PROXY;
	return 0;
}

static void *run_lane(void *arg)
{
	struct lane *l = arg;

	while (l->begin < FLOWS || l->answered < FLOWS || atomic_load(&l->begun) < FLOWS)
		mf_pipeline_run(l->pipeline, 5 * MF_NS_PER_S);
	return NULL;
}

static void answers_find_their_flows_by_either_lane(void **state)
{
	struct mf_pipeline_options o = {
		.size = sizeof(o), .tcp_port = 9080, .udp_port = 9081, .dns_port = 5353
	};
	struct lane *lanes = calloc(2, sizeof(*lanes));
	pthread_t threads[2];

	(void)state;
	assert_non_null(lanes);
	assert_int_equal(mf_nat_new(NULL, &o.nat, NULL), 0);
	for (int i = 0; i < 2; i++) {
		struct mf_backend b = {
			.name = "lane", .ctx = &lanes[i], .receive = lane_receive, .send = lane_send
		};
		struct mf_pipeline_ops ops = { .decide = lane_decide, .ctx = &lanes[i] };

		lanes[i].other = &lanes[!i];
		lanes[i].net = (uint8_t)(1 + i);
		assert_int_equal(mf_pipeline_new(&o, &b, &ops, &lanes[i].pipeline, NULL), 0);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_lane, &lanes[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(lanes[i].wrong, 0);
		assert_int_equal(lanes[i].requests, FLOWS);
		assert_int_equal(lanes[i].answers, FLOWS);
		assert_int_equal(lanes[i].decisions, FLOWS);
		mf_pipeline_free(lanes[i].pipeline);
	}
	assert_int_equal(mf_nat_count(o.nat), 2 * FLOWS);
	mf_nat_free(o.nat);
	free(lanes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_find_their_flows_by_either_lane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
