/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - see ring.h */
#include "ring.h"

static int ring_receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct ring *r = ctx;
	unsigned n = 0;

	if (r->receive_code)
		return r->receive_code;
	while (n < max && r->in_at < r->in_cnt)
		packets[n++] = r->in[r->in_at++].packet;
	return n || !r->closed ? (int)n : MF_E_CLOSED;
}

/* What a real system would refuse or lose. */
static void check_sent(const struct mf_packet *p)
{
	struct mf_view v = ring_view(p);
	struct mf_endpoint src, dst;
	int ends;

	src = mf_flow_src(&v.flow);
	dst = mf_flow_dst(&v.flow);
	ends = mf_addr_is_loopback(&src.addr) + mf_addr_is_loopback(&dst.addr);
	assert_true(p->flags & MF_PACKET_OUTBOUND ? ends != 1 : ends == 0);
	assert_int_not_equal(mf_csum_verify_ip4(&v), MF_CSUM_BAD);
	if (p->csum == MF_CSUM_FULL)
		assert_int_not_equal(mf_csum_verify(&v), MF_CSUM_BAD);
}

static int ring_send(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct ring *r = ctx;

	if (r->send_code)
		return r->send_code;
	assert_in_range(cnt, 1, MF_BACKEND_BATCH_MAX);
	if (r->send_most && cnt > r->send_most)
		cnt = r->send_most;
	for (unsigned i = 0; i < cnt; i++) {
		struct ring_packet *o = &r->out[r->out_cnt];

		assert_true(r->out_cnt < RING_PACKETS);
		if (!r->unchecked)
			check_sent(packets[i]);
		o->packet = *packets[i];
		o->bytes = realloc(o->bytes, packets[i]->len);
		memcpy(o->bytes, packets[i]->ptr, packets[i]->len);
		o->packet.ptr = o->bytes;
		r->out_cnt++;
	}
	return (int)cnt;
}

static int ring_next_event(void *ctx, struct mf_flow_event *ret)
{
	struct ring *r = ctx;

	if (r->event_at == r->event_cnt)
		return 0;
	*ret = r->events[r->event_at++];
	return 1;
}

static int ring_find_pid(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct ring *r = ctx;

	(void)flow;
	r->lookups++;
	if (!r->table_pid)
		return MF_E_NOENT;
	*ret_pid = r->table_pid;
	return 0;
}

static int ring_decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct ring *r = ctx;

	r->decisions++;
	r->last_flow = *q->flow;
	r->last_pid = q->pid;
	*ret = r->verdict;
	return r->decide_code;
}

static void ring_on_event(void *ctx, const struct mf_pipeline_event *ev)
{
	struct ring *r = ctx;

	r->told[ev->kind]++;
	r->last_event = *ev;
}

struct mf_pipeline_options ring_options(void)
{
	return (struct mf_pipeline_options){
		.size = sizeof(struct mf_pipeline_options),
		.tcp_port = 9080,
		.udp_port = 9081,
		.dns_port = 5353,
	};
}

void ring_init(struct ring *r, const struct mf_pipeline_options *options, unsigned caps)
{
	struct mf_pipeline_options standard = ring_options();
	struct mf_backend backend = {
		.name = "ring",
		.caps = caps,
		.ctx = r,
		.receive = ring_receive,
		.send = ring_send,
		.next_event = caps & MF_BACKEND_HAS_EVENTS ? ring_next_event : NULL,
		.find_pid = ring_find_pid,
	};
	struct mf_pipeline_ops ops = { .decide = ring_decide, .event = ring_on_event, .ctx = r };
	struct mf_err err = { 0 };

	memset(r, 0, sizeof(*r));
	r->now = 1000 * MF_NS_PER_S;
	r->verdict.answer = MF_FLOW_PROXY;
	r->like = (struct mf_packet){ .interface = 7,
				      .sub_interface = 1,
				      .flags = MF_PACKET_OUTBOUND };
	assert_int_equal(
		mf_pipeline_new(options ? options : &standard, &backend, &ops, &r->pipeline, &err),
		0);
}

void ring_done(struct ring *r)
{
	mf_pipeline_free(r->pipeline);
	for (unsigned i = 0; i < RING_PACKETS; i++) {
		free(r->in[i].bytes);
		free(r->out[i].bytes);
	}
}

void ring_put(struct ring *r, const void *bytes, size_t len)
{
	struct ring_packet *p;

	if (r->in_at == r->in_cnt)
		r->in_at = r->in_cnt = 0;
	assert_true(r->in_cnt < RING_PACKETS);
	p = &r->in[r->in_cnt++];
	// A block of its own, just as long, so that sanitizers see what is read past it.
	p->bytes = realloc(p->bytes, len ? len : 1);
	memcpy(p->bytes, bytes, len);
	p->packet = r->like;
	p->packet.ptr = p->bytes;
	p->packet.len = (uint32_t)len;
	memset(p->packet.own, (int)r->in_cnt, sizeof(p->packet.own));
}

void ring_tcp(struct ring *r, const struct mf_flow *f, uint8_t flags, uint32_t seq, uint32_t ack,
	      const char *payload)
{
	struct mf_tcp_fields tcp = { .seq = seq, .ack = ack, .window = 1000, .flags = flags };
	uint8_t buf[RING_ROOM];
	size_t len;

	assert_int_equal(mf_build_tcp(f, &tcp, mf_span_str(payload), buf, sizeof(buf), &len), 0);
	ring_put(r, buf, len);
}

void ring_udp(struct ring *r, const struct mf_flow *f, const void *payload, size_t size)
{
	uint8_t buf[RING_ROOM];
	size_t len;

	assert_int_equal(mf_build_udp(f, mf_span_of(payload, size), buf, sizeof(buf), &len), 0);
	ring_put(r, buf, len);
}

void ring_event(struct ring *r, enum mf_flow_event_kind kind, const struct mf_flow *f, uint32_t pid)
{
	if (r->event_at == r->event_cnt)
		r->event_at = r->event_cnt = 0;
	assert_true(r->event_cnt < RING_PACKETS);
	r->events[r->event_cnt++] =
		(struct mf_flow_event){ .kind = kind, .flow = *f, .pid = pid, .time_ns = r->now };
}

void ring_turn(struct ring *r)
{
	if (r->out_at == r->out_cnt)
		r->out_at = r->out_cnt = 0;
	while (mf_pipeline_run(r->pipeline, r->now) > 0)
		;
}

struct mf_packet *ring_next(struct ring *r)
{
	assert_true(r->out_at < r->out_cnt);
	return &r->out[r->out_at++].packet;
}

bool ring_is_empty(const struct ring *r)
{
	return r->out_at == r->out_cnt;
}

struct mf_pipeline_stats ring_stats(const struct ring *r)
{
	struct mf_pipeline_stats s;

	mf_pipeline_get_stats(r->pipeline, &s);
	return s;
}

struct mf_view ring_view(const struct mf_packet *p)
{
	struct mf_view v;

	mf_view_init(&v, mf_span_of(p->ptr, p->len), MF_VIEW_IP,
		     p->csum == MF_CSUM_FULL ? 0 : MF_VIEW_F_OFFLOAD, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	return v;
}

struct mf_packet *ring_expect(struct ring *r, const struct mf_flow *f, uint8_t flags)
{
	struct mf_packet *p = ring_next(r);
	struct mf_view v = ring_view(p);
	char is[MF_VIEW_TEXT_MAX];

	if (!mf_flow_eq(&v.flow, f))
		fail_msg("sent: %s", mf_view_format(&v, is, sizeof(is)));
	assert_int_equal(p->flags & (MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK), flags);
	return p;
}

static struct mf_endpoint endpoint_of(const char *text)
{
	struct mf_endpoint ep = { 0 };
	const char *host;
	size_t len;

	assert_int_equal(mf_hostport_parse(text, strlen(text), &host, &len, &ep.port), 0);
	assert_int_equal(mf_addr_parse(host, len, &ep.addr), 0);
	return ep;
}

struct mf_flow flow_of(uint8_t proto, const char *src, const char *dst)
{
	struct mf_endpoint s = endpoint_of(src), d = endpoint_of(dst);
	struct mf_flow f;

	assert_true(mf_flow_make(&f, proto, &s, &d));
	return f;
}
