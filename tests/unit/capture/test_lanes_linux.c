/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lanes_linux.c - capture/lanes_linux: who carries a lane, who is asked, and how it ends
 *
 * Queues are socket pairs that keep datagrams apart as a device does; the test is the kernel on their other side.
 * ThreadSanitizer sees the loop and the lanes' threads.
 */
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/lanes_linux.h"
#include "core/base/clock.h"
#include "core/packet/build.h"
#include "tests/unit/test.h"

#define LANES	 4
#define TCP_PORT 9080
#define UDP_PORT 9081
#define KEEP	 60000 /* ms: a thread that has its lane keeps it */

struct fixture {
	int device[LANES], other[LANES];
	struct mf_lanes *lanes;
	pthread_t loop;
	unsigned decided, elsewhere; /* in which thread: the loop's, another */
	enum mf_flow_answer answer;
	int code;
	struct mf_nat_redirect redirect;
};

static int decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct fixture *f = ctx;

	if (pthread_equal(pthread_self(), f->loop))
		f->decided++;
	else
		f->elsewhere++;
	/* What is lent lasts for the call only: it says whose flow this is, and is another's with the next. */
	snprintf(f->redirect.host, sizeof(f->redirect.host), "port-%u", q->flow->src_port);
	*ret = (struct mf_flow_verdict){ .answer = f->answer, .redirect = &f->redirect };
	return f->code;
}

static struct mf_lanes *make(struct fixture *f, unsigned cnt, bool eager, struct mf_nat *nat,
			     unsigned idle_ms)
{
	struct mf_pipeline_options p = {
		.size = sizeof(p), .tcp_port = TCP_PORT, .udp_port = UDP_PORT, .nat = nat
	};
	struct mf_lanes_options o = { .fds = f->device,
				      .cnt = cnt,
				      .pipeline = &p,
				      .ops = { .decide = decide, .ctx = f },
				      .idle_ms = idle_ms,
				      .eager = eager };
	struct mf_lanes *ret = NULL;

	assert_int_equal(mf_lanes_new(&o, &ret, NULL), 0);
	return ret;
}

static int set_up(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	f->loop = pthread_self();
	f->answer = MF_FLOW_PROXY;
	for (int i = 0; i < LANES; i++) {
		int s[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s), 0);
		f->device[i] = s[0];
		f->other[i] = s[1];
	}
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	mf_lanes_free(f->lanes);
	for (int i = 0; i < LANES; i++) {
		close(f->device[i]);
		close(f->other[i]);
	}
	test_free(f);
	return 0;
}

static struct mf_flow flow_of(uint8_t proto, uint16_t port)
{
	struct mf_flow f = { .proto = proto, .family = 4, .src_port = port, .dst_port = 443 };
	const uint8_t src[4] = { 10, 0, 0, 2 }, dst[4] = { 198, 51, 100, 7 };

	memcpy(f.src, src, 4);
	memcpy(f.dst, dst, 4);
	return f;
}

/* A packet of @flow comes out of the kernel, by queue @lane. */
static void give(struct fixture *f, int lane, const struct mf_flow *flow, uint8_t tcp_flags)
{
	struct mf_tcp_fields tcp = { .flags = tcp_flags, .seq = 1 };
	uint8_t buf[256] = { 0 }; /* a virtio_net_hdr that says nothing */
	const size_t head = sizeof(struct virtio_net_hdr);
	size_t len = 0;

	if (flow->proto == MF_PROTO_TCP)
		mf_build_tcp(flow, &tcp, mf_span_of(NULL, 0), buf + head, sizeof(buf) - head, &len);
	else
		mf_build_udp(flow, mf_span_str("x"), buf + head, sizeof(buf) - head, &len);
	assert_int_equal(send(f->other[lane], buf, head + len, 0), head + len);
}

/* The loop, until the kernel is given a packet by queue @lane: at most 20 s, in a broken run. */
static struct mf_flow take(struct fixture *f, int lane)
{
	uint8_t buf[256];
	const size_t head = sizeof(struct virtio_net_hdr);
	struct mf_view v;

	for (int i = 0; i < 2000; i++) {
		struct pollfd p[] = { { f->other[lane], POLLIN, 0 },
				      { mf_lanes_fd(f->lanes), POLLIN, 0 } };
		ssize_t n;

		while (mf_lanes_run(f->lanes, mf_clock_now(&mf_clock_system)) > 0)
			;
		n = recv(f->other[lane], buf, sizeof(buf), 0);
		if (n > (ssize_t)head) {
			mf_view_init(&v, mf_span_of(buf + head, (size_t)n - head), MF_VIEW_IP, 0,
				     NULL);
			assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
			return v.flow;
		}
		(void)poll(p, 2, 10);
	}
	fail_msg("nothing came by queue %d", lane);
	return (struct mf_flow){ 0 };
}

/* The listener's answer comes by lane @from, and goes to the program as an answer to @flow. */
static void answer_comes_back(struct fixture *f, const struct mf_flow *flow,
			      const struct mf_flow *seen, int from)
{
	struct mf_flow back = mf_flow_reverse(seen), want = mf_flow_reverse(flow), got;

	give(f, from, &back, MF_TCP_SYN | MF_TCP_ACK);
	got = take(f, from);
	assert_true(mf_flow_eq(&got, &want));
}

static void test_a_quiet_device_has_no_thread(void **state)
{
	struct fixture *f = *state;
	struct mf_lanes_stats s;

	f->lanes = make(f, LANES, false, NULL, 0);
	for (int i = 0; i < LANES; i++) {
		struct mf_flow flow = flow_of(MF_PROTO_TCP, (uint16_t)(5000 + i)), seen;

		give(f, i, &flow, MF_TCP_SYN);
		seen = take(f, i);
		assert_int_equal(seen.dst_port, TCP_PORT);
		answer_comes_back(f, &flow, &seen, (i + 1) % LANES);
	}
	mf_lanes_get_stats(f->lanes, &s);
	assert_int_equal(s.handed_over, 0);
	assert_int_equal(s.asked, 0);
	assert_int_equal(f->decided, LANES);
}

static void test_threads_ask_the_loop_and_answers_come_by_any_lane(void **state)
{
	struct fixture *f = *state;
	struct mf_nat *nat = NULL;
	struct mf_lanes_stats s;

	assert_int_equal(mf_nat_new(NULL, &nat, NULL), 0);
	f->lanes = make(f, LANES, true, nat, 0);
	for (uint16_t n = 0; n < 200; n++) {
		struct mf_flow flow =
			flow_of(n & 1 ? MF_PROTO_TCP : MF_PROTO_UDP, (uint16_t)(5000 + n));
		struct mf_flow seen;
		struct mf_nat_entry e;
		char host[32];

		give(f, n % LANES, &flow, MF_TCP_SYN);
		seen = take(f, n % LANES);
		assert_int_equal(seen.dst_port, n & 1 ? TCP_PORT : UDP_PORT);
		assert_int_equal(mf_nat_get(nat, &flow, mf_clock_now(&mf_clock_system), &e), 0);
		snprintf(host, sizeof(host), "port-%u", flow.src_port);
		assert_string_equal(e.redirect.host, host);
		answer_comes_back(f, &flow, &seen, (n / LANES) % LANES);
	}
	mf_lanes_get_stats(f->lanes, &s);
	assert_true(s.handed_over >= LANES - 1);
	assert_int_equal(f->decided, 200);
	assert_int_equal(f->elsewhere, 0);
	mf_lanes_free(f->lanes);
	f->lanes = NULL;
	mf_nat_free(nat);
}

/* The first packet goes with the loop, which hands the lane to its thread; the next flow's waits for an answer then. */
static void make_it_wait(struct fixture *f)
{
	struct mf_flow first = flow_of(MF_PROTO_UDP, 6000), next = flow_of(MF_PROTO_UDP, 6001);
	struct pollfd p = { mf_lanes_fd(f->lanes), POLLIN, 0 };
	struct mf_lanes_stats s;

	give(f, 1, &first, 0);
	(void)take(f, 1);
	give(f, 1, &next, 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	mf_lanes_get_stats(f->lanes, &s);
	assert_int_equal(s.asked, 1);
}

static void test_other_lanes_go_on_while_one_waits_for_an_answer(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = { f->other[2], POLLIN, 0 };
	struct mf_flow flow = flow_of(MF_PROTO_UDP, 7000), seen, known;

	f->lanes = make(f, 3, true, NULL, KEEP);
	give(f, 2, &flow, 0);
	known = take(f, 2);
	make_it_wait(f);
	give(f, 2, &flow, 0);
	/* The loop does nothing meanwhile. */
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(f->decided, 2);
	seen = take(f, 2);
	assert_true(mf_flow_eq(&seen, &known));
	seen = take(f, 1);
	assert_int_equal(seen.dst_port, UDP_PORT);
	assert_int_equal(f->decided, 3);
}

static void test_a_flow_that_waits_for_an_answer_at_the_end_is_refused(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_TCP, 7000), got;
	struct fixture *f = *state;

	f->lanes = make(f, 2, true, NULL, KEEP);
	make_it_wait(f);
	mf_lanes_stop(f->lanes);
	/* An ICMP error for the program; then the loop carries the lane. */
	got = take(f, 1);
	assert_int_equal(got.proto, MF_PROTO_ICMP);
	give(f, 1, &flow, MF_TCP_SYN);
	got = take(f, 1);
	assert_int_equal(got.dst_port, TCP_PORT);
	assert_int_equal(f->decided, 2);
	assert_int_equal(f->elsewhere, 0);
}

static void test_refusals_and_failures_reach_the_thread(void **state)
{
	struct fixture *f = *state;
	struct mf_lanes_stats s = { 0 };

	f->lanes = make(f, 2, true, NULL, KEEP);
	for (uint16_t n = 0; n < 400 && s.asked < 20; n++) {
		struct mf_flow flow = flow_of(MF_PROTO_TCP, (uint16_t)(5000 + n)), got;

		f->answer = n & 1 ? MF_FLOW_DENY : MF_FLOW_PROXY;
		f->code = n % 8 == 6 ? MF_E_IO : 0;
		give(f, 1, &flow, MF_TCP_SYN);
		got = take(f, 1);
		/* Let through: at the listener. Refused: a reset, to the program. */
		assert_int_equal(got.dst_port,
				 f->answer == MF_FLOW_PROXY && !f->code ? TCP_PORT : flow.src_port);
		mf_lanes_get_stats(f->lanes, &s);
	}
	assert_true(s.asked >= 20);
}

static void test_a_lane_without_a_pause_gets_a_thread(void **state)
{
	struct fixture *f = *state;
	struct mf_flow flow = flow_of(MF_PROTO_UDP, 5000);
	struct mf_lanes_stats s = { 0 };
	static uint8_t big[65535 + sizeof(struct virtio_net_hdr)];
	int room = 4 << 20;
	size_t len = 0;

	(void)setsockopt(f->other[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	f->lanes = make(f, 2, false, NULL, 0);
	give(f, 1, &flow, 0);
	(void)take(f, 1);
	/* Three of these are a full batch. */
	mf_build_udp(&flow, mf_span_of(big, 64000), big + sizeof(struct virtio_net_hdr), 65535,
		     &len);
	len += sizeof(struct virtio_net_hdr);
	for (int i = 0; i < 10000 && !s.handed_over; i++) {
		uint8_t buf[16];

		while (send(f->other[1], big, len, 0) > 0)
			;
		(void)mf_lanes_run(f->lanes, mf_clock_now(&mf_clock_system));
		while (recv(f->other[1], buf, sizeof(buf), 0) > 0)
			;
		mf_lanes_get_stats(f->lanes, &s);
	}
	assert_int_equal(s.handed_over, 1);
	/* Lane 0 stays where it is. */
	flow = flow_of(MF_PROTO_UDP, 5001);
	give(f, 0, &flow, 0);
	(void)take(f, 0);
}

static void test_numbers_of_queues_are_bounded(void **state)
{
	struct mf_pipeline_options p = { .size = sizeof(p), .tcp_port = 1 };
	struct fixture *f = *state;
	struct mf_lanes_options o = { .fds = f->device,
				      .pipeline = &p,
				      .ops = { .decide = decide } };
	struct mf_lanes *lanes = NULL;

	assert_int_equal(mf_lanes_new(&o, &lanes, NULL), MF_E_INVAL);
	o.cnt = MF_LANES_MAX + 1;
	assert_int_equal(mf_lanes_new(&o, &lanes, NULL), MF_E_INVAL);
	assert_in_range(mf_lanes_default(), 1, MF_LANES_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_quiet_device_has_no_thread),
		TEST(test_threads_ask_the_loop_and_answers_come_by_any_lane),
		TEST(test_other_lanes_go_on_while_one_waits_for_an_answer),
		TEST(test_a_flow_that_waits_for_an_answer_at_the_end_is_refused),
		TEST(test_refusals_and_failures_reach_the_thread),
		TEST(test_a_lane_without_a_pause_gets_a_thread),
		TEST(test_numbers_of_queues_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
