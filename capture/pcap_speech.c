/* SPDX-License-Identifier: Apache-2.0 */
/* pcap_speech.c - packets of the session's own resolver: datagrams, and segments in the place of a server's */
#include <stdio.h>

#include "capture/pcap_backend_int.h"
#include "core/base/bytes.h"
#include "core/packet/build.h"

enum { SEGMENT_MAX = 1400, TCP_HEAD_MAX = 60 };

/* @len bytes of b->built, on the record's link. @turn: the other way than the record went */
static int write_built(struct mf_pcap_backend *b, size_t len, bool turn, const char *what)
{
	char comment[sizeof(b->fate->comment) + 32];
	struct mf_pcapng_packet out = { .time_ns = b->own.time_ns,
					.interface = b->own.interface,
					.link = b->own.link,
					.direction = b->own.from_client || turn
							     ? MF_PCAP_INBOUND
							     : b->own.direction };
	struct mf_pcap_own o = b->own;

	if (turn)
		mf_pcap_turn_round(&o);
	snprintf(comment, sizeof(comment), "%s%s%s", what, b->fate->comment[0] ? ": " : "",
		 b->fate->comment);
	out.head = mf_span_of(o.head, o.link_len);
	out.body = mf_span_of(b->built, len);
	out.wire_len = o.link_len + (uint32_t)len;
	out.comment = comment;
	b->stats.written++;
	return mf_pcapng_write(b->out, &out);
}

int mf_pcap_write_answer(struct mf_pcap_backend *b, const struct mf_flow *packet)
{
	bool question = b->fate->from_client, refused = b->fate->kind == MF_REPLAY_REFUSE;
	struct mf_flow flow = question ? mf_flow_reverse(packet) : *packet;
	size_t len;

	if (mf_build_udp(&flow, b->fate->answer, b->built, sizeof(b->built), &len) < 0)
		return 0;
	*(refused ? &b->stats.answers : &b->stats.said) += 1;
	return write_built(b, len, question, refused ? "refused" : "answered");
}

/* All that is said because of this packet, in segments. @flow: from the server to the client */
static int write_speech(struct mf_pcap_backend *b, const struct mf_flow *flow)
{
	const struct mf_replay_speech *s = &b->fate->speech;
	int r = 0;

	for (size_t at = 0; at < s->said.len && r == 0; at += SEGMENT_MAX) {
		struct mf_span part = mf_span_sub(s->said, at, SEGMENT_MAX);
		const struct mf_tcp_fields tcp = { .seq = s->seq + (uint32_t)at,
						   .ack = s->ack,
						   .window = 65535,
						   .flags = MF_TCP_ACK | MF_TCP_PSH };
		size_t len;

		if (mf_build_tcp(flow, &tcp, part, b->built, sizeof(b->built), &len) < 0)
			break;
		b->stats.said++;
		r = write_built(b, len, b->fate->from_client, "said");
	}
	return r;
}

/* Another number in a TCP header; a checksum that is right stays so, a wrong one wrong. */
static void change_number(struct mf_pcap_ip *ip, unsigned at, uint32_t number)
{
	uint8_t *p = ip->ptr + ip->view.transport_off;
	uint8_t now[4];

	mf_store_be32(now, number);
	mf_store_be16(p + 16,
		      mf_csum_update(mf_load_be16(p + 16), mf_csum_diff(0, p + at, now, 4)));
	memcpy(p + at, now, 4);
}

/* Selective acknowledgements name numbers that nobody uses: options become paddings (RFC 9293 3.1, RFC 2018). */
static void blank_sack(struct mf_pcap_ip *ip)
{
	uint8_t *head = ip->ptr + ip->view.transport_off;
	uint8_t old[TCP_HEAD_MAX];
	uint32_t len = ip->view.payload_off - ip->view.transport_off;
	struct mf_span sack;

	if (!mf_view_tcp_option(&ip->view, 5, &sack))
		return;
	memcpy(old, head, len);
	memset(ip->ptr + (sack.ptr - ip->view.ptr) - 2, 1, sack.len + 2);
	mf_store_be16(head + 16,
		      mf_csum_update(mf_load_be16(head + 16), mf_csum_diff(0, old, head, len)));
}

int mf_pcap_write_in_speech(struct mf_pcap_backend *b, struct mf_pcap_ip *ip, uint64_t now_ns)
{
	const struct mf_replay_speech *s = &b->fate->speech;
	const struct mf_view *v = &ip->view;
	uint8_t flags = v->tcp_flags;
	struct mf_tcp_fields tcp;
	struct mf_flow back;
	size_t len;
	int r;

	if (b->fate->from_client) {
		if (flags & MF_TCP_ACK)
			change_number(ip, 8, s->seq);
		blank_sack(ip);
		back = mf_flow_reverse(&v->flow);
		r = mf_pcap_run(b, now_ns);
		return r < 0 ? r : write_speech(b, &back);
	}
	r = write_speech(b, &v->flow);
	if (r < 0)
		return r;
	if (!ip->missing && !mf_view_payload(v).len) {
		change_number(ip, 4, s->next);
		return mf_pcap_run(b, now_ns);
	}
	/* What it carries was said, or is not. */
	if (!(flags & (MF_TCP_FIN | MF_TCP_RST)))
		return 0;
	tcp = (struct mf_tcp_fields){ .seq = s->next,
				      .ack = s->ack,
				      .window = mf_load_be16(v->ptr + v->transport_off + 14),
				      .flags = flags & (uint8_t)~MF_TCP_PSH };
	if (mf_build_tcp(&v->flow, &tcp, mf_span_of(NULL, 0), b->built, sizeof(b->built), &len) < 0)
		return 0;
	b->stats.said++;
	return write_built(b, len, false, "said");
}
