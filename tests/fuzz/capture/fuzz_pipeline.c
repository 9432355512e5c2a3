/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_pipeline.c - the pipeline as a whole: bytes drive packets, events, processes, time, verdicts and failures
 *
 * What must be true whatever comes: every packet ends in exactly one counter, what was sent from well-formed packets has
 * right checksums, what was sent is readable memory, and at the end nothing is held.
 *
 * Input: one byte of options, then operations of 6 bytes: what, flow, three arguments, time step.
 */
#include <stdlib.h>

#include "capture/pipeline.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/packet/build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM   2048
#define QUEUED 80   /* more than a batch */
#define TAINT  0xa5 /* own[0]: bytes from outside, whose checksums need not be right */

struct world {
	struct mf_pipeline *pipeline;
	uint64_t now;
	unsigned in_cnt, in_at;
	struct mf_packet in[QUEUED];
	uint8_t bytes[QUEUED][ROOM];
	struct mf_flow_event event;
	bool has_event, in_send;
	int receive_code, send_code, decide_code;
	unsigned send_most;
	struct mf_flow_verdict verdict;
	uint32_t table_pid;
	uint64_t received, taken;
	uint8_t last[ROOM]; /* the last packet sent */
	uint32_t last_len;
};

static int world_receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct world *w = ctx;
	unsigned n = 0;

	if (w->receive_code)
		return w->receive_code;
	while (n < max && w->in_at < w->in_cnt)
		packets[n++] = w->in[w->in_at++];
	w->received += n;
	if (w->in_at == w->in_cnt && !n)
		w->in_at = w->in_cnt = 0;
	return (int)n;
}

static void check_sent(struct world *w, const struct mf_packet *p)
{
	struct mf_view v;
	int r;

	MF_MUST(p->len > 0 || p->own[0] == TAINT);
	mf_view_init(&v, mf_span_of(p->ptr, p->len), MF_VIEW_IP,
		     p->csum == MF_CSUM_FULL ? 0 : MF_VIEW_F_OFFLOAD, NULL);
	r = mf_view_parse(&v, MF_VIEW_TRANSPORT);
	if (p->own[0] == TAINT && !(p->flags & MF_PACKET_BUILT))
		return;
	MF_MUST(r == 0);
	MF_MUST(mf_csum_verify_ip4(&v) != MF_CSUM_BAD);
	if (p->csum == MF_CSUM_FULL)
		MF_MUST(mf_csum_verify(&v) != MF_CSUM_BAD);
	if (p->len <= ROOM) {
		memcpy(w->last, p->ptr, p->len);
		w->last_len = p->len;
	}
}

static int world_send(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct world *w = ctx;

	MF_MUST(cnt > 0 && cnt <= MF_BACKEND_BATCH_MAX && !w->in_send);
	if (w->send_code)
		return w->send_code;
	w->in_send = true;
	if (w->send_most && cnt > w->send_most)
		cnt = w->send_most;
	for (unsigned i = 0; i < cnt; i++)
		check_sent(w, packets[i]);
	w->taken += cnt;
	w->in_send = false;
	return (int)cnt;
}

static int world_next_event(void *ctx, struct mf_flow_event *ret)
{
	struct world *w = ctx;

	if (!w->has_event)
		return 0;
	w->has_event = false;
	*ret = w->event;
	return 1;
}

static int world_find_pid(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct world *w = ctx;

	(void)flow;
	*ret_pid = w->table_pid;
	return w->table_pid ? 0 : MF_E_NOENT;
}

static int world_decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct world *w = ctx;

	MF_MUST(q->flow->family == 4 || q->flow->family == 6);
	*ret = w->verdict;
	return w->decide_code;
}

static void world_event(void *ctx, const struct mf_pipeline_event *ev)
{
	(void)ctx;
	MF_MUST(ev->kind < MF_PIPELINE_EVENT_NUM && ev->count && ev->text[0]);
}

static struct mf_flow flow_of(uint8_t n)
{
	static const uint8_t protos[] = { MF_PROTO_TCP, MF_PROTO_UDP, MF_PROTO_UDP, MF_PROTO_TCP };
	static const uint16_t ports[] = { 443, 53 };
	struct mf_flow f = { .proto = protos[n & 3],
			     .family = n & 4 ? 6 : 4,
			     .src_port = (uint16_t)(1000 + (n >> 3 & 3)),
			     .dst_port = ports[n >> 5 & 1] };

	if (f.family == 4) {
		memcpy(f.src, "\x0a\0\0\2", 4);
		memcpy(f.dst, "\xc6\x33\x64", 3);
		f.dst[3] = n >> 6;
	} else {
		f.src[0] = f.dst[0] = 0x20;
		f.src[15] = 2;
		f.dst[15] = n >> 6;
		f.dst[1] = 1;
	}
	return f;
}

/* Room for one more packet; the turn makes it where there is none. */
static uint8_t *room(struct world *w)
{
	if (w->in_cnt == QUEUED)
		while (w->in_at < w->in_cnt && !w->receive_code)
			mf_pipeline_run(w->pipeline, w->now);
	if (w->in_at == w->in_cnt)
		w->in_at = w->in_cnt = 0;
	return w->in_cnt < QUEUED ? w->bytes[w->in_cnt] : NULL;
}

static void put(struct world *w, size_t len, uint8_t how, bool taint)
{
	struct mf_packet *p = &w->in[w->in_cnt];

	*p = (struct mf_packet){ .ptr = w->bytes[w->in_cnt],
				 .len = (uint32_t)len,
				 .flags = how & 8 ? 0 : MF_PACKET_OUTBOUND,
				 .interface = how >> 6 };
	if (how & 16)
		p->flags |= MF_PACKET_LOOPBACK;
	if (taint)
		p->own[0] = TAINT;
	w->in_cnt++;
}

static void put_packet(struct world *w, const uint8_t *op)
{
	struct mf_flow f = flow_of(op[1]);
	struct mf_tcp_fields tcp = { .flags = op[2], .seq = op[4] & 3, .ack = 9 };
	uint8_t payload[300] = { 0 }, *p = room(w);
	struct mf_view v;
	size_t len = 0, size = op[4] & 0x80 ? sizeof(payload) : op[4] & 63;

	if (!p)
		return;
	if (op[3] & 32)
		f = mf_flow_reverse(&f);
	// Something that looks like a question of DNS.
	payload[5] = 1;
	payload[12] = op[2] & 0x3f;
	if (f.proto == MF_PROTO_TCP)
		mf_build_tcp(&f, &tcp, mf_span_of(payload, size), p, ROOM, &len);
	else
		mf_build_udp(&f, mf_span_of(payload, size), p, ROOM, &len);
	put(w, len, op[3], false);
	if (!(op[3] & 4))
		return;
	mf_view_init(&v, mf_span_of(p, len), MF_VIEW_IP, 0, NULL);
	mf_view_parse(&v, MF_VIEW_TRANSPORT);
	mf_csum_fill(&v, p, MF_CSUM_PARTIAL);
	w->in[w->in_cnt - 1].csum = MF_CSUM_PARTIAL;
	w->in[w->in_cnt - 1].segment_len = 100;
}

/* A piece of a datagram: the first one with a UDP header. */
static void put_fragment(struct world *w, const uint8_t *op)
{
	struct mf_flow f = flow_of(op[1]);
	uint8_t *p = room(w);
	uint16_t off = op[2] & 31, units = (op[4] & 7) + 1u, more = op[2] >> 5 & 1;
	size_t head = f.family == 4 ? 20 : 48, len = head + units * 8u;

	if (!p)
		return;
	memset(p, 0, len);
	if (f.family == 4) {
		p[0] = 0x45;
		mf_store_be16(p + 2, (uint16_t)len);
		mf_store_be16(p + 4, op[4] >> 6);
		mf_store_be16(p + 6, (uint16_t)(more << 13 | off));
		p[9] = MF_PROTO_UDP;
		memcpy(p + 12, f.src, 4);
		memcpy(p + 16, f.dst, 4);
		mf_store_be16(p + 10, mf_csum_ip4_header(p, 20));
	} else {
		p[0] = 0x60;
		mf_store_be16(p + 4, (uint16_t)(8 + units * 8u));
		p[6] = MF_PROTO_FRAGMENT;
		memcpy(p + 8, f.src, 32);
		p[40] = MF_PROTO_UDP;
		mf_store_be16(p + 42, (uint16_t)(off << 3 | more));
		p[47] = op[4] >> 6;
	}
	if (!off) {
		mf_store_be16(p + head, f.src_port);
		mf_store_be16(p + head + 2, f.dst_port);
		mf_store_be16(p + head + 4, (uint16_t)(256 + len));
		mf_store_be16(p + head + 6, 0x1234);
	}
	put(w, len, op[3], !more && !off);
}

/* Answers to what was sent last, and errors about it: packets that fit the table. */
static void put_answer(struct world *w, const uint8_t *op)
{
	uint8_t *p = room(w);
	struct mf_view v;
	size_t len = 0;

	if (!p || !w->last_len)
		return;
	mf_view_init(&v, mf_span_of(w->last, w->last_len), MF_VIEW_IP, MF_VIEW_F_OFFLOAD, NULL);
	if (mf_view_parse(&v, MF_VIEW_TRANSPORT))
		return;
	if (op[2] & 1) {
		if (mf_build_unreachable(&v, op[4] & 3, p, ROOM, &len) == 0)
			put(w, len, op[3], false);
	} else if (v.flow.proto == MF_PROTO_TCP) {
		struct mf_flow back = mf_flow_reverse(&v.flow);
		struct mf_tcp_fields tcp = { .flags = op[4] };

		mf_build_tcp(&back, &tcp, mf_span_of(NULL, 0), p, ROOM, &len);
		put(w, len, op[3], false);
	} else if (v.flow.proto == MF_PROTO_UDP) {
		struct mf_flow back = mf_flow_reverse(&v.flow);

		mf_build_udp(&back, mf_span_of("x", 1), p, ROOM, &len);
		put(w, len, op[3], false);
	}
}

static void operate(struct world *w, const uint8_t *op)
{
	static const int codes[] = { 0, 0, MF_E_IO, MF_E_AGAIN };
	struct mf_flow f = flow_of(op[1]), found;
	struct mf_endpoint src = mf_flow_src(&f), dst = mf_flow_dst(&f);

	switch (op[0] & 15) {
	case 0:
	case 1:
	case 2:
		put_packet(w, op);
		break;
	case 3:
	case 4:
		put_fragment(w, op);
		break;
	case 5:
	case 6:
		put_answer(w, op);
		break;
	case 7:
		w->event = (struct mf_flow_event){ .kind = (enum mf_flow_event_kind)(
							   op[2] % MF_FLOW_EVENT_NUM),
						   .flow = f,
						   .pid = op[3] & 3,
						   .time_ns = w->now };
		w->has_event = true;
		break;
	case 8:
		if (op[2] & 1)
			mf_pipeline_add_pid(w->pipeline, op[3] & 3);
		else if (op[2] & 2)
			mf_pipeline_on_created(w->pipeline, op[3] & 3, op[4] & 3);
		else
			mf_pipeline_on_exited(w->pipeline, op[3] & 3, w->now);
		w->table_pid = op[2] >> 6;
		break;
	case 9:
		w->verdict.answer = (enum mf_flow_answer)(op[2] % MF_FLOW_ANSWER_NUM);
		w->decide_code = codes[op[3] & 3];
		break;
	case 10:
		w->send_code = codes[op[2] & 3];
		w->receive_code = codes[op[3] & 3];
		w->send_most = op[4] & 3;
		break;
	case 11:
		mf_pipeline_find_flow(w->pipeline, f.proto, &dst, &src, w->now, &found);
		mf_pipeline_refuse_udp(w->pipeline, &f, mf_span_of(w->last, w->last_len), w->now);
		break;
	default:
		mf_pipeline_run(w->pipeline, w->now);
	}
}

/* Bytes of the input as a packet. Return: how many */
static size_t put_raw(struct world *w, const uint8_t *data, size_t size)
{
	size_t len = data[1] < size - 6 ? data[1] : size - 6;
	uint8_t *p = room(w);

	if (p) {
		memcpy(p, data + 6, len);
		put(w, len, data[3], true);
	}
	return len;
}

static void check_end(struct world *w)
{
	struct mf_pipeline_stats s;
	uint64_t dropped = 0, answered;

	w->receive_code = w->send_code = 0;
	while (mf_pipeline_run(w->pipeline, w->now) > 0)
		;
	mf_pipeline_drain(w->pipeline, w->now);
	mf_pipeline_get_stats(w->pipeline, &s);
	for (int i = 0; i < MF_DROP_NUM; i++)
		dropped += i == MF_DROP_SEND ? 0 : s.dropped[i];
	answered = s.answered_dns + s.answered_icmp + s.answered_reset;
	MF_MUST(s.captured == w->received);
	MF_MUST(s.captured == s.passed + s.rewritten + dropped);
	MF_MUST(w->taken == s.passed + s.rewritten + answered - s.dropped[MF_DROP_SEND]);
	MF_MUST(s.held_now == 0 && s.fragments_now == 0);
	MF_MUST(s.failing == (s.fail_entered > s.fail_left));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_pipeline_ops ops = { .decide = world_decide, .event = world_event };
	struct mf_nat_options nat = { .size = sizeof(nat), .entries_max = 20, .redirects_max = 2 };
	struct mf_backend backend = { .name = "fuzz",
				      .receive = world_receive,
				      .send = world_send,
				      .next_event = world_next_event,
				      .find_pid = world_find_pid };
	struct mf_pipeline_options o = { .size = sizeof(o),
					 .tcp_port = 1002,
					 .udp_port = 9081,
					 .dns_port = 5353,
					 .own_pid = 3,
					 .hold_flows_max = 6,
					 .owners_max = 10,
					 .fragments_max = 5,
					 .fragment_bytes_max = 600,
					 .fail_threshold = 3,
					 .fail_recovery = 4 };
	struct world *w;

	if (size < 7)
		return 0;
	w = calloc(1, sizeof(*w));
	MF_MUST(w);
	o.scope = data[0] & 1 ? MF_SCOPE_PIDS : MF_SCOPE_ALL;
	o.method4 = data[0] & 2 ? MF_METHOD_LOOPBACK : MF_METHOD_REFLECT;
	o.method6 = data[0] & 4 ? MF_METHOD_LOOPBACK : MF_METHOD_REFLECT;
	o.fail_open = data[0] & 8;
	o.unknown_pid = (enum mf_unknown_pid)(data[0] >> 6);
	backend.caps = (data[0] & 16 ? MF_BACKEND_CAN_PASS : 0) |
		       (data[0] & 32 ? MF_BACKEND_HAS_EVENTS : 0);
	backend.ctx = ops.ctx = w;
	w->verdict.answer = MF_FLOW_PROXY;
	MF_MUST(mf_nat_new(&nat, &o.nat, NULL) == 0);
	MF_MUST(mf_pipeline_new(&o, &backend, &ops, &w->pipeline, NULL) == 0);
	for (size_t i = 1; i + 6 <= size; i += 6) {
		w->now += (uint64_t)(data[i + 5] & 0x3f) << (data[i + 5] >> 6) * 4 << 20;
		if (data[i] == 0xff)
			i += put_raw(w, data + i, size - i);
		else
			operate(w, data + i);
	}
	check_end(w);
	mf_pipeline_free(w->pipeline);
	mf_nat_free(o.nat);
	free(w);
	return 0;
}
