/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pipeline_model.c - random conversations through the pipeline against a list that says what must come out
 *
 * Each conversation is a flow of TCP or UDP, IPv4 or IPv6, by either method, with a verdict of its own. Random steps: the
 * program sends, the listener answers, strangers send, time goes on. What comes out must be, byte for byte, what went in
 * with other addresses and ports (as the list says), right checksums, and nothing else changed; a request that comes back
 * as an answer shows the program its server. Packets have random lengths, options, and kinds of checksums.
 */
#include "ring.h"

#include "core/packet/rewrite.h"

#define FLOWS 400u
#define STEPS 60000u
#define OUT   MF_PACKET_OUTBOUND
#define IN    0
#define LOOP  (MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK)

enum talk { FRESH, KNOWN, GONE };

struct talk_of {
	struct mf_flow flow, to; /* to: what the listener sees, once known */
	enum mf_flow_answer answer;
	enum talk talk;
	uint32_t isn, interface;
	uint64_t seen;
};

static struct talk_of talks[FLOWS];
static uint64_t rng;
static struct ring r;

static struct mf_flow random_flow(unsigned n)
{
	char src[40], dst[40];
	bool six = n & 1;

	// Few servers and ports, so that client ports meet in the redirected flows.
	snprintf(src, sizeof(src), six ? "[2001:db8::%x]:%u" : "10.0.0.%u:%u", 2 + n / 2 % 3,
		 1000 + n / 6 % 40);
	snprintf(dst, sizeof(dst), six ? "[2001:db8:7::%x]:%u" : "198.51.100.%u:%u",
		 1 + test_below(&rng, 4), (unsigned[]){ 443, 80, 53 }[n / 240 % 3]);
	return flow_of(n % 4 < 2 ? MF_PROTO_TCP : MF_PROTO_UDP, src, dst);
}

/* A packet of @f with random contents; with IPv4 options or IPv6 extension headers now and then. */
static size_t build(const struct mf_flow *f, uint8_t flags, uint32_t seq, uint8_t *buf)
{
	struct mf_tcp_fields tcp = { .seq = seq, .ack = 77, .window = 500, .flags = flags };
	uint8_t payload[600], plain[RING_ROOM];
	size_t len, size = test_below(&rng, sizeof(payload)), head = f->family == 4 ? 20 : 40;
	struct mf_view v;

	for (size_t i = 0; i < size; i++)
		payload[i] = (uint8_t)test_random(&rng);
	if (f->proto == MF_PROTO_TCP)
		mf_build_tcp(f, &tcp, mf_span_of(payload, size), plain, sizeof(plain), &len);
	else
		mf_build_udp(f, mf_span_of(payload, size), plain, sizeof(plain), &len);
	if (test_below(&rng, 4)) {
		memcpy(buf, plain, len);
		return len;
	}
	// Four bytes of no-operations, or a destination options header of padding.
	memcpy(buf, plain, head);
	memcpy(buf + head + (f->family == 4 ? 4 : 8), plain + head, len - head);
	if (f->family == 4) {
		memset(buf + 20, 1, 4);
		buf[0] = 0x46;
		len += 4;
		mf_store_be16(buf + 2, (uint16_t)len);
	} else {
		memcpy(buf + 40, (uint8_t[]){ f->proto, 0, 1, 4, 0, 0, 0, 0 }, 8);
		buf[6] = MF_PROTO_DSTOPTS;
		len += 8;
		mf_store_be16(buf + 4, (uint16_t)(len - 40));
	}
	mf_view_init(&v, mf_span_of(buf, len), MF_VIEW_IP, 0, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	assert_int_equal(mf_csum_fill(&v, buf, MF_CSUM_FULL), 0);
	return len;
}

/* Send a packet of @f, and return what came out (NULL for nothing), having checked it against @want. */
static struct mf_packet *through(const struct mf_flow *f, uint8_t flags, uint32_t seq,
				 uint8_t direction, uint32_t interface, const struct mf_flow *want,
				 uint8_t want_direction)
{
	uint8_t in[RING_ROOM], again[RING_ROOM];
	size_t len = build(f, flags, seq, in);
	enum mf_csum_kind kind = (enum mf_csum_kind)test_below(&rng, 3);
	struct mf_packet *p;
	struct mf_view v;

	mf_view_init(&v, mf_span_of(in, len), MF_VIEW_IP, 0, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	if (kind == MF_CSUM_PARTIAL)
		assert_int_equal(mf_csum_fill(&v, in, MF_CSUM_PARTIAL), 0);
	r.like.csum = (uint8_t)kind;
	r.like.flags = direction;
	r.like.interface = interface;
	r.like.sub_interface = interface + 1;
	r.out_at = r.out_cnt = 0;
	ring_put(&r, in, len);
	ring_turn(&r);
	if (!want) {
		assert_true(ring_is_empty(&r));
		return NULL;
	}
	p = ring_expect(&r, want, want_direction);
	assert_true(ring_is_empty(&r));
	assert_int_equal(p->len, len);
	assert_int_equal(p->csum, kind);
	// The other way round everything is as it was, checksums included.
	memcpy(again, p->ptr, len);
	mf_view_init(&v, mf_span_of(again, len), MF_VIEW_IP,
		     kind == MF_CSUM_FULL ? 0 : MF_VIEW_F_OFFLOAD, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	assert_int_equal(mf_rewrite_flow(&v, again, f, kind), 0);
	assert_memory_equal(again, in, len);
	if (kind == MF_CSUM_FULL) {
		v = ring_view(p);
		assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
	}
	return p;
}

static bool loops(const struct mf_flow *f)
{
	return f->family == 6; // the options say so
}

/* A flow's first packet: what it becomes is the pipeline's choice within the table's rules; the list follows. */
static void step_first(struct talk_of *t)
{
	struct mf_endpoint peer, local;
	struct mf_flow want, found;
	struct mf_view v;
	uint8_t in[RING_ROOM];
	size_t len;

	t->isn = (uint32_t)test_random(&rng);
	t->interface = 1 + test_below(&rng, 5);
	t->answer = test_below(&rng, 4) ? MF_FLOW_PROXY : MF_FLOW_PASS;
	r.verdict.answer = t->answer;
	r.like = (struct mf_packet){ .flags = OUT,
				     .interface = t->interface,
				     .sub_interface = t->interface + 1 };
	r.out_at = r.out_cnt = 0;
	len = build(&t->flow, MF_TCP_SYN, t->isn, in);
	ring_put(&r, in, len);
	ring_turn(&r);
	t->talk = KNOWN;
	t->seen = r.now;
	if (t->answer == MF_FLOW_PASS) {
		t->to = t->flow;
		ring_expect(&r, &t->flow, OUT);
		return;
	}
	v = ring_view(&r.out[0].packet);
	want = t->flow;
	if (loops(&t->flow)) {
		memset(want.src, 0, 32);
		want.src[15] = want.dst[15] = 1;
	} else {
		memcpy(want.src, t->flow.dst, 16);
		memcpy(want.dst, t->flow.src, 16);
	}
	want.dst_port = t->flow.dst_port == 53 ? 5353 : t->flow.proto == MF_PROTO_TCP ? 9080 : 9081;
	if (v.flow.src_port != t->flow.src_port)
		assert_in_range(v.flow.src_port, 20000, 29999);
	want.src_port = v.flow.src_port;
	ring_expect(&r, &want, loops(&t->flow) ? OUT : IN);
	t->to = want;
	// Nobody else has what the listener sees.
	for (unsigned i = 0; i < FLOWS; i++)
		if (&talks[i] != t && talks[i].talk == KNOWN)
			assert_false(mf_flow_eq(&talks[i].to, &t->to));
	peer = mf_flow_src(&want);
	local = mf_flow_dst(&want);
	assert_int_equal(
		mf_pipeline_find_flow(r.pipeline, want.proto, &peer, &local, r.now, &found), 0);
	assert_memory_equal(&found, &t->flow, sizeof(found));
}

static void step_known(struct talk_of *t)
{
	struct mf_flow back = mf_flow_reverse(&t->to), home = mf_flow_reverse(&t->flow);
	bool redirected = t->answer == MF_FLOW_PROXY;
	struct mf_packet *p;

	t->seen = r.now;
	switch (test_below(&rng, 4)) {
	case 0: // an answer
		p = through(&back, MF_TCP_ACK, 5,
			    !redirected	      ? IN
			    : loops(&t->flow) ? LOOP
					      : OUT,
			    99, &home, IN);
		assert_int_equal(p->interface, redirected ? t->interface : 99);
		assert_int_equal(p->sub_interface, redirected ? t->interface + 1 : 100);
		break;
	case 1: // the first packet once more
		through(&t->flow, MF_TCP_SYN, t->isn, OUT, t->interface, &t->to,
			redirected && !loops(&t->flow) ? IN : OUT);
		break;
	default:
		p = through(&t->flow, MF_TCP_ACK | MF_TCP_PSH, t->isn + 1, OUT, t->interface,
			    &t->to, redirected && !loops(&t->flow) ? IN : OUT);
		assert_int_equal(p->interface, t->interface);
	}
}

static void step_time(void)
{
	r.now += test_below(&rng, 3) * MF_NS_PER_S;
	if (test_below(&rng, 50) == 0)
		r.now += 30 * MF_NS_PER_S;
	for (unsigned i = 0; i < FLOWS; i++) {
		struct talk_of *t = &talks[i];
		uint64_t ttl = t->flow.proto == MF_PROTO_UDP ? 60 : 300;

		// TCP: established ones live for longer; five minutes of silence never happen to them here.
		if (t->talk == KNOWN && r.now - t->seen > (ttl - 1) * MF_NS_PER_S) {
			// Near the end of its time: do not ask what happens, end it.
			mf_nat_remove(r.nat, &t->flow);
			t->talk = FRESH;
		}
	}
}

static void step_stranger(void)
{
	struct mf_flow f = flow_of(MF_PROTO_TCP, "198.51.100.99:5", "10.0.0.77:6");

	f.src_port = (uint16_t)(1 + test_below(&rng, 60000));
	through(&f, MF_TCP_SYN, 1, IN, 3, &f, IN);
}

static void conversations_come_out_as_the_list_says(void **state)
{
	struct mf_pipeline_options o = ring_options();
	unsigned first = 0;

	(void)state;
	rng = 20261121;
	o.method6 = MF_METHOD_LOOPBACK;
	assert_int_equal(mf_nat_new(NULL, &o.nat, NULL), 0);
	ring_init(&r, &o, MF_BACKEND_CAN_PASS);
	r.nat = o.nat;
	for (unsigned i = 0; i < FLOWS; i++)
		talks[i].flow = random_flow(i);
	for (unsigned i = 0; i < STEPS; i++) {
		struct talk_of *t = &talks[test_below(&rng, FLOWS)];
		bool twice = false;

		// Two conversations of the list may have the same flow: only one of them talks.
		for (unsigned k = 0; k < FLOWS; k++)
			twice |= &talks[k] != t && talks[k].talk == KNOWN &&
				 mf_flow_eq(&talks[k].flow, &t->flow);
		if (twice)
			continue;
		if (t->talk == KNOWN) {
			step_known(t);
		} else {
			step_first(t);
			first++;
		}
		if (test_below(&rng, 20) == 0)
			step_stranger();
		if (test_below(&rng, 40) == 0)
			step_time();
		if (test_below(&rng, 200) == 0) {
			mf_nat_remove(r.nat, &t->flow);
			t->talk = FRESH;
		}
	}
	// The walk went everywhere.
	assert_true(first > 200);
	assert_true(ring_stats(&r).replies > 1000);
	assert_int_equal(r.decisions, first);
	for (int i = 0; i < MF_DROP_NUM; i++)
		assert_int_equal(ring_stats(&r).dropped[i], 0);
	ring_done(&r);
	mf_nat_free(o.nat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations_come_out_as_the_list_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
