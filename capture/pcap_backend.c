/* SPDX-License-Identifier: Apache-2.0 */
/* pcap_backend.c - see pcap_backend.h */
#include <stdio.h>
#include <stdlib.h>

#include "capture/pcap_backend_int.h"
#include "core/base/bytes.h"
#include "core/packet/rewrite.h"

/* --- out ------------------------------------------------------------------------------------------------------------ */

void mf_pcap_turn_round(struct mf_pcap_own *o)
{
	uint8_t mac[6];

	switch (o->link) {
	case MF_LINK_ETHERNET:
		memcpy(mac, o->head, 6);
		memcpy(o->head, o->head + 6, 6);
		memcpy(o->head + 6, mac, 6);
		break;
	case MF_LINK_SLL:
		mf_store_be16(o->head, mf_load_be16(o->head) == 4 ? 0 : 4);
		break;
	case MF_LINK_SLL2:
		o->head[10] = o->head[10] == 4 ? 0 : 4;
		break;
	default:
		break;
	}
}

static void unmend(const struct mf_pcap_own *o, uint8_t *pkt)
{
	const struct mf_pcap_ip ip = { .ip_mended = o->ip_mended,
				       .udp_mended = o->udp_mended,
				       .ip_length = o->ip_length,
				       .udp_length = o->udp_length,
				       .udp_at = o->udp_at };

	mf_pcap_unmend(&ip, pkt);
}

static int write_packet(struct mf_pcap_backend *b, const struct mf_packet *pkt)
{
	bool built = pkt->flags & MF_PACKET_BUILT, outbound = pkt->flags & MF_PACKET_OUTBOUND;
	char comment[sizeof(b->fate->comment) + 32] = "";
	struct mf_pcapng_packet out = { .time_ns = b->own.time_ns };
	bool changed;
	struct mf_pcap_own o;

	if (built)
		o = b->own;
	else
		memcpy(&o, pkt->own, sizeof(o));
	changed = built || (o.from_client && !outbound);
	if (changed)
		mf_pcap_turn_round(&o);
	if (!built)
		unmend(&o, pkt->ptr);
	if (o.number == b->own.number && b->fate->comment[0])
		snprintf(comment, sizeof(comment), "%s%s",
			 built	   ? "refused: "
			 : changed ? "redirected: "
				   : "",
			 b->fate->comment);
	else if (built)
		snprintf(comment, sizeof(comment), "refused");
	out.head = mf_span_of(o.head, o.link_len);
	out.body = mf_span_of(pkt->ptr, pkt->len);
	out.wire_len = o.link_len + pkt->len + (built ? 0 : o.missing);
	out.time_ns = o.time_ns;
	out.interface = o.interface;
	out.link = o.link;
	out.direction =
		o.from_client ? (outbound ? MF_PCAP_OUTBOUND : MF_PCAP_INBOUND) : o.direction;
	out.comment = comment[0] ? comment : NULL;
	b->stats.written++;
	b->stats.rewritten += changed && !built;
	b->stats.answers += built;
	return mf_pcapng_write(b->out, &out);
}

static int send(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct mf_pcap_backend *b = ctx;

	for (unsigned i = 0; i < cnt; i++) {
		int r = b->error ? b->error : write_packet(b, packets[i]);

		if (r < 0)
			b->error = r;
	}
	/* a file that cannot be written is no failure that a fail mode could help */
	return (int)cnt;
}

/* --- in ------------------------------------------------------------------------------------------------------------- */

static int receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct mf_pcap_backend *b = ctx;

	if (!b->pending || !max)
		return 0;
	b->pending = false;
	packets[0] = b->packet;
	return 1;
}

static int decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct mf_pcap_backend *b = ctx;

	(void)q;
	switch (b->fate->kind) {
	case MF_REPLAY_REFUSE:
		ret->answer = MF_FLOW_DENY;
		break;
	case MF_REPLAY_DIVERT:
		ret->answer = MF_FLOW_PROXY;
		break;
	default:
		ret->answer = MF_FLOW_PASS;
	}
	return 0;
}

/*
 * Packets captured where they were sent have the pseudo header's sum in place of their checksum: the card would have
 * finished it. A checksum that is wrong in another way stays wrong.
 */
static void finish_checksum(struct mf_pcap_backend *b, struct mf_pcap_ip *ip)
{
	const struct mf_view *v = &ip->view;
	uint8_t *field = ip->ptr + v->transport_off;
	uint16_t partial;

	if (ip->missing || v->layer < MF_VIEW_TRANSPORT || mf_csum_verify(v) != MF_CSUM_BAD ||
	    (v->flow.proto != MF_PROTO_TCP && v->flow.proto != MF_PROTO_UDP))
		return;
	field += mf_csum_field(v->flow.proto);
	partial = mf_csum_fold(mf_csum_pseudo(&v->flow, v->end - v->transport_off));
	if (mf_load_be16(field) != partial)
		return;
	(void)mf_csum_fill(v, ip->ptr, MF_CSUM_FULL);
	b->stats.finished_checksums++;
}

/* A captured answer of a redirected flow, as the proxy would have given it: the pipeline takes it from there. */
static bool make_proxy_answer(struct mf_pcap_backend *b, struct mf_pcap_ip *ip, uint64_t now_ns)
{
	struct mf_nat_entry e;
	struct mf_flow to;

	if (ip->view.flags & MF_VIEW_F_FRAG)
		return false;
	if (mf_nat_get(b->nat, &ip->view.flow, now_ns, &e) < 0) {
		to = mf_flow_reverse(&ip->view.flow);
		if (mf_nat_get(b->nat, &to, now_ns, &e) < 0)
			return false;
	}
	to = mf_flow_reverse(&e.to);
	return mf_rewrite_flow(&ip->view, ip->ptr, &to, MF_CSUM_FULL) == 0;
}

/* Which way the pipeline sees the packet: outbound is judged, inbound passes. */
static bool is_outbound(struct mf_pcap_backend *b, struct mf_pcap_ip *ip, uint64_t now_ns)
{
	const struct mf_replay_fate *fate = b->fate;
	struct mf_nat_entry e;

	if (fate->kind == MF_REPLAY_DIVERT && !fate->from_client)
		return make_proxy_answer(b, ip, now_ns);
	if (!fate->from_client || fate->kind == MF_REPLAY_OTHER)
		return false;
	if (fate->alone || fate->kind == MF_REPLAY_REFUSE) {
		/* judged anew: what was let through before does not count */
		(void)mf_nat_remove(b->nat, &ip->view.flow);
		return true;
	}
	/* of a connection whose SYN is not in the capture, the answers' key would be missing as well */
	return ip->view.flow.proto != MF_PROTO_TCP ||
	       (ip->view.tcp_flags & (MF_TCP_SYN | MF_TCP_ACK)) == MF_TCP_SYN ||
	       mf_nat_get(b->nat, &ip->view.flow, now_ns, &e) == 0;
}

static void keep_own(struct mf_pcap_backend *b, const struct mf_pcap_record *rec,
		     const struct mf_pcap_ip *ip)
{
	b->own = (struct mf_pcap_own){
		.number = rec->number,
		.time_ns = rec->time_ns,
		.interface = rec->interface,
		.link = rec->link,
		.missing = ip->missing,
		.udp_at = ip->udp_at,
		.ip_length = ip->ip_length,
		.udp_length = ip->udp_length,
		.ip_mended = ip->ip_mended,
		.udp_mended = ip->udp_mended,
		.link_len = (uint8_t)ip->link_len,
		.direction = ip->direction,
		.from_client = b->fate->from_client && b->fate->kind != MF_REPLAY_OTHER,
	};
	memcpy(b->own.head, rec->ptr, ip->link_len);
}

/* --- records ------------------------------------------------------------------------------------------------------------ */

int mf_pcap_run(struct mf_pcap_backend *b, uint64_t now_ns)
{
	int r;

	b->pending = true;
	r = mf_pipeline_run(b->pipeline, now_ns);
	return b->error ? b->error : r < 0 ? r : 0;
}

/* What the pipeline has nothing to do with. */
static int write_as_it_is(struct mf_pcap_backend *b, const struct mf_pcap_record *rec)
{
	struct mf_pcapng_packet out = { .body = mf_span_of(rec->ptr, rec->len),
					.wire_len = rec->wire_len,
					.time_ns = rec->time_ns,
					.interface = rec->interface,
					.link = rec->link,
					.direction = rec->direction };

	b->stats.written++;
	return mf_pcapng_write(b->out, &out);
}

static int write_record(struct mf_pcap_backend *b, const struct mf_pcap_record *rec,
			const struct mf_replay_fate *fate, uint64_t now_ns)
{
	struct mf_pcap_ip ip;
	struct mf_flow flow;
	bool whole; /* not a piece of something */
	int r;

	if (fate->kind == MF_REPLAY_MOOT) {
		b->stats.moot++;
		if (!fate->answer.len)
			return 0;
	}
	r = mf_pcap_find_ip(rec, NULL, &ip);
	if (r < 0 || ip.link_len > MF_PCAP_LINK_ROOM) {
		if (ip.ptr)
			mf_pcap_unmend(&ip, ip.ptr);
		return fate->kind == MF_REPLAY_MOOT ? 0 : write_as_it_is(b, rec);
	}
	whole = !(ip.view.flags & MF_VIEW_F_FRAG) && ip.view.layer == MF_VIEW_TRANSPORT;
	b->fate = fate;
	b->stats.refused += fate->kind == MF_REPLAY_REFUSE;
	keep_own(b, rec, &ip);
	if (fate->answer.len && whole && fate->kind != MF_REPLAY_DIVERT)
		return mf_pcap_write_answer(b, &ip.view.flow);
	if (fate->kind == MF_REPLAY_MOOT)
		return 0;
	finish_checksum(b, &ip);
	b->packet = (struct mf_packet){ .ptr = ip.ptr,
					.len = ip.len,
					.interface = rec->interface,
					.time_ns = now_ns,
					.csum = MF_CSUM_FULL };
	if (is_outbound(b, &ip, now_ns))
		b->packet.flags = MF_PACKET_OUTBOUND;
	memcpy(b->packet.own, &b->own, sizeof(b->own));
	if (fate->speech.on && whole)
		return mf_pcap_write_in_speech(b, &ip, now_ns);
	flow = ip.view.flow;
	r = mf_pcap_run(b, now_ns);
	if (r == 0 && fate->answer.len && whole)
		r = mf_pcap_write_answer(b, &flow);
	return r;
}

/* --- waiting ---------------------------------------------------------------------------------------------------------- */

static bool is_open(const struct mf_replay_fate *fate)
{
	return fate->outcome && fate->outcome->open;
}

/* Copy what @span names to @at; Return: behind it */
static uint8_t *take_span(struct mf_span *span, uint8_t *at)
{
	if (!span->len)
		return at;
	memcpy(at, span->ptr, span->len);
	*span = mf_span_of(at, span->len);
	return at + span->len;
}

static int wait_with(struct mf_pcap_backend *b, const struct mf_pcap_record *rec,
		     const struct mf_replay_fate *fate, uint64_t now_ns)
{
	size_t size = sizeof(struct mf_pcap_waiting) + rec->len + fate->answer.len +
		      fate->speech.said.len;
	struct mf_pcap_waiting *w = malloc(size);
	uint8_t *at;

	if (!w)
		return MF_E_NOMEM;
	*w = (struct mf_pcap_waiting){ .rec = *rec, .fate = *fate, .now_ns = now_ns, .size = size };
	memcpy(w->bytes, rec->ptr, rec->len);
	w->rec.ptr = w->bytes;
	at = take_span(&w->fate.answer, w->bytes + rec->len);
	(void)take_span(&w->fate.speech.said, at);
	if (w->fate.outcome)
		w->fate.outcome->refs++;
	*b->last = w;
	b->last = &w->next;
	b->waiting_cnt++;
	b->waiting_bytes += size;
	return 0;
}

static struct mf_pcap_waiting *take_first(struct mf_pcap_backend *b)
{
	struct mf_pcap_waiting *w = b->first;

	b->first = w->next;
	if (!b->first)
		b->last = &b->first;
	b->waiting_cnt--;
	b->waiting_bytes -= w->size;
	return w;
}

static void free_waiting(struct mf_pcap_waiting *w)
{
	mf_replay_outcome_unref(w->fate.outcome);
	free(w);
}

/* Write those whose end is known, @all: or any; and the first ones of too many. */
static int write_known(struct mf_pcap_backend *b, bool all)
{
	int r = 0;

	while (b->first && r == 0) {
		bool many = b->waiting_cnt > MF_PCAP_WAIT_PACKETS ||
			    b->waiting_bytes > MF_PCAP_WAIT_BYTES;
		struct mf_pcap_waiting *w;

		if (is_open(&b->first->fate) && !many && !all)
			break;
		w = take_first(b);
		b->stats.early += is_open(&w->fate);
		if (w->fate.outcome && w->fate.kind == MF_REPLAY_PASS)
			w->fate.kind = w->fate.outcome->kind;
		r = write_record(b, &w->rec, &w->fate, w->now_ns);
		free_waiting(w);
	}
	return r;
}

int mf_pcap_backend_write(struct mf_pcap_backend *b, const struct mf_pcap_record *rec,
			  const struct mf_replay_fate *fate, uint64_t now_ns)
{
	int r;

	if (!b->first && !is_open(fate))
		return write_record(b, rec, fate, now_ns);
	r = wait_with(b, rec, fate, now_ns);
	return r < 0 ? r : write_known(b, false);
}

int mf_pcap_backend_finish(struct mf_pcap_backend *b)
{
	static const struct mf_replay_fate none;
	int r = write_known(b, true);

	if (r < 0)
		return r;
	b->fate = &none;
	if (b->pipeline)
		mf_pipeline_drain(b->pipeline, 0);
	return b->error;
}

void mf_pcap_backend_get_stats(const struct mf_pcap_backend *b, struct mf_pcap_backend_stats *ret)
{
	struct mf_pipeline_stats s;

	mf_pipeline_get_stats(b->pipeline, &s);
	*ret = b->stats;
	for (int i = 0; i < MF_DROP_NUM; i++)
		if (i != MF_DROP_DENIED && i != MF_DROP_NO_ENTRY)
			ret->dropped += s.dropped[i];
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

int mf_pcap_backend_new(struct mf_pcapng *out, uint32_t flows_max, struct mf_pcap_backend **ret,
			struct mf_err *err)
{
	struct mf_pcap_backend *b = calloc(1, sizeof(*b));
	const struct mf_nat_options nat = { .size = sizeof(nat),
					    .entries_max = flows_max,
					    .redirects_max = 1 }; /* none is kept */
	struct mf_pipeline_options o = { .size = sizeof(o),
					 .scope = MF_SCOPE_ALL,
					 .method4 = MF_METHOD_REFLECT,
					 .method6 = MF_METHOD_REFLECT,
					 .tcp_port = MF_PCAP_PROXY_PORT,
					 .udp_port = MF_PCAP_PROXY_PORT,
					 .dns_port = MF_PCAP_DNS_PORT,
					 .hold_flows_max =
						 1 }; /* no processes, so none is waited for */
	const struct mf_backend backend = { .name = "pcap",
					    .caps = MF_BACKEND_CAN_PASS,
					    .ctx = b,
					    .receive = receive,
					    .send = send };
	const struct mf_pipeline_ops ops = { .decide = decide, .ctx = b };
	int r;

	if (!b)
		return mf_err_set(err, MF_E_NOMEM, "no memory to write packets");
	b->out = out;
	b->last = &b->first;
	r = mf_nat_new(&nat, &b->nat, err);
	o.nat = b->nat;
	if (r == 0)
		r = mf_pipeline_new(&o, &backend, &ops, &b->pipeline, err);
	if (r < 0) {
		mf_pcap_backend_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

void mf_pcap_backend_free(struct mf_pcap_backend *b)
{
	if (!b)
		return;
	while (b->first)
		free_waiting(take_first(b));
	mf_pipeline_free(b->pipeline);
	mf_nat_free(b->nat);
	free(b);
}
