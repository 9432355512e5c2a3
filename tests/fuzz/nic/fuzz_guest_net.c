/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_guest_net.c - two guests on wires of the router: one sends the input's frames, ARP, DHCP, neighbours, IP of all kinds
 *
 * What must be true: whatever one sends, what reaches the stack is a whole packet with a source of that guest's own; what
 * reaches the other wire is nothing but what the stack sent there and our own advertisements; and a frame to a guest is whole.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "nic/guest_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUTER_MAC "\x52\x6d\x6f\x6f\x6e\x02"

struct wire {
	struct mf_frame_source source; /* first */
	struct world *world;
	struct mf_guest *guest;
	uint8_t mac[6];
};

struct world {
	struct mf_guest_net *net;
	struct wire wires[2];
	uint64_t now;
	const struct wire *active; /* who is sending; NULL: the stack, or time */
	bool full;
	unsigned sent;
};

static int no_run(struct mf_frame_source *s, unsigned max)
{
	(void)s;
	(void)max;
	return 0;
}

static int take(struct mf_frame_source *s, const uint8_t *head, size_t head_len,
		const uint8_t *body, size_t body_len)
{
	struct wire *w = (struct wire *)s;

	MF_MUST(head_len == 14 && head_len + body_len >= 60 && head_len + body_len <= MF_FRAME_MAX);
	MF_MUST(!memcmp(head + 6, ROUTER_MAC, 6));
	MF_MUST((head[0] & 1) || !memcmp(head, w->mac, 6));
	MF_MUST(!w->world->active || w->world->active == w);
	/* read all of it */
	for (size_t i = 0; i < body_len; i += 61)
		w->world->sent += body[i];
	w->world->sent += body[body_len - 1];
	return w->world->full ? MF_E_AGAIN : 0;
}

static void no_flush(struct mf_frame_source *s)
{
	(void)s;
}

static const struct mf_frame_ops wire_ops = { "fuzz", no_run, take, no_flush, no_flush };

static void packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	struct world *w = ctx;

	MF_MUST(w->active && w->active->guest == guest && len >= 20);
	if (pkt[0] >> 4 == 4) {
		MF_MUST(!memcmp(pkt + 12, mf_guest_address4(guest), 4));
		MF_MUST(mf_load_be16(pkt + 2) == len);
		MF_MUST(pkt[16] && pkt[16] != 127 && pkt[16] < 224);
	} else {
		MF_MUST(pkt[0] >> 4 == 6 && len >= 40 && mf_load_be16(pkt + 4) + 40u == len);
		MF_MUST(!memcmp(pkt + 8, mf_guest_prefix6(guest), 8) && pkt[24] != 0xff);
	}
	memset(pkt, 0x5a, len);
}

/* Whole, whatever it came in, the sender's own, and to nobody near. */
static void echo(void *ctx, struct mf_guest *guest, const struct mf_view *v)
{
	struct world *w = ctx;
	struct mf_span payload = mf_view_payload(v);
	bool six = v->flow.family == 6;

	MF_MUST(w->active && w->active->guest == guest && !(v->flags & MF_VIEW_F_FRAG));
	MF_MUST(v->icmp_type == (six ? 128 : 8) && v->transport_off + 8 <= v->end);
	MF_MUST(!memcmp(v->flow.src, six ? mf_guest_prefix6(guest) : mf_guest_address4(guest),
			six ? 8 : 4));
	MF_MUST(v->flow.dst[0] != 0xff);
	for (size_t i = 0; i < payload.len; i += 61)
		w->sent += payload.ptr[i];
}

static uint64_t now(void *ctx)
{
	return ((struct world *)ctx)->now;
}

/* A frame of the input, with what an honest one begins with where the input says so. */
static void give(struct world *w, uint8_t how, const uint8_t *data, size_t len)
{
	static const uint16_t types[] = { MF_ETHER_ARP, MF_ETHER_IP4, MF_ETHER_IP6, 0x8100 };
	struct wire *wire = &w->wires[how & 1];
	uint8_t *frame = calloc(1, 14 + len), *p = frame + 14;
	const uint8_t *own4 = mf_guest_address4(wire->guest);

	MF_MUST(frame);
	memcpy(frame, how & 2 ? "\xff\xff\xff\xff\xff\xff" : ROUTER_MAC, 6);
	memcpy(frame + 6, wire->mac, 6);
	mf_store_be16(frame + 12, types[how >> 2 & 3]);
	memcpy(p, data, len);
	if (how & 0x80 && len >= 64) { /* honest up to here */
		switch (how >> 2 & 3) {
		case 0:
			memcpy(p, "\0\1\x8\0\6\4\0\1", 8);
			memcpy(p + 8, wire->mac, 6);
			memcpy(p + 14, own4, 4);
			break;
		case 1:
			p[0] = 0x45;
			mf_store_be16(p + 2, (uint16_t)len);
			if (how & 0x40) { /* DHCP */
				mf_store_be16(p + 6, 0);
				p[9] = 17;
				memset(p + 12, 0, 4);
				memset(p + 16, 0xff, 4);
				memcpy(p + 20, "\0\x44\0\x43", 4);
				mf_store_be16(p + 24, (uint16_t)(len - 20));
				memcpy(p + 28, "\1\1\6\0", 4);
				if (len >= 28 + 240) {
					memcpy(p + 28 + 28, wire->mac, 6);
					mf_store_be32(p + 28 + 236, 0x63825363);
				}
			} else {
				memcpy(p + 12, own4, 4);
			}
			break;
		case 2:
			p[0] = 0x60;
			mf_store_be16(p + 4, (uint16_t)(len - 40));
			p[7] = 255;
			if (how & 0x40)
				memcpy(p + 8, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
			else
				memcpy(p + 8, mf_guest_prefix6(wire->guest), 8);
			if (how & 0x20) {
				p[6] = data[6] & 1 ? MF_PROTO_FRAGMENT : MF_PROTO_ICMPV6;
			} else {
				p[6] = 17;
				mf_store_be16(p + 42, 547);
				mf_store_be16(p + 44, (uint16_t)(len - 40));
			}
			break;
		}
	}
	if (how & 0x10 && len >= 16)
		memcpy(frame, data, 8 + (data[8] & 7)); /* addresses of the input, too */
	w->active = wire;
	wire->source.receiver(wire->source.ctx, frame, 14 + len);
	w->active = NULL;
	free(frame);
}

/* From the stack: it goes to whom it names, or nowhere. */
static void from_stack(struct world *w, uint8_t how, const uint8_t *data, size_t len)
{
	uint8_t *pkt = malloc(len ? len : 1);

	MF_MUST(pkt);
	memcpy(pkt, data, len);
	if (len >= 20 && pkt[0] & 1) {
		pkt[0] = 0x45;
		memcpy(pkt + 16, mf_guest_address4(w->wires[pkt[1] & 1].guest), 4);
	}
	if (how & 1)
		(void)mf_guest_net_packet_whole(w->net, pkt, len);
	else
		(void)mf_guest_net_packet(w->net, pkt, len);
	free(pkt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_guest_net_options o = { .size = sizeof(o),
					  .domain = "lab.example",
					  .ntp_cnt = 2 };
	struct world w = { .now = 1 };
	struct mf_guest_net_ops ops = { .packet = packet, .echo = echo, .now = now, .ctx = &w };

	if (size < 1)
		return 0;
	o.rate = data[0] & 1 ? 100000 : 0;
	o.no6 = (data[0] & 6) == 6;
	MF_MUST(mf_guest_net_new(&o, &ops, &w.net, NULL) == 0);
	for (unsigned i = 0; i < 2; i++) {
		struct wire *wire = &w.wires[i];
		uint8_t hello[60] = { 0 };

		wire->source = (struct mf_frame_source){ .ops = &wire_ops, .fd = -1 };
		wire->world = &w;
		memcpy(wire->mac, (const uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)i }, 6);
		MF_MUST(mf_guest_attach(w.net, &wire->source, &wire->guest, NULL) == 0);
		memcpy(hello + 6, wire->mac, 6);
		w.active = wire;
		wire->source.receiver(wire->source.ctx, hello, sizeof(hello));
		w.active = NULL;
	}
	data++;
	size--;
	while (size >= 3) {
		uint8_t op = data[0], how = data[1];
		size_t len = data[2] * (op & 0x80 ? 8u : 1u);

		data += 3;
		size -= 3;
		len = len < size ? len : size;
		if ((op & 7) == 0) {
			w.now += (uint64_t)how << (how & 31);
			mf_guest_net_flush(w.net);
		} else if ((op & 7) == 1) {
			w.full = how & 1;
		} else if ((op & 7) == 2) {
			from_stack(&w, how, data, len);
		} else {
			give(&w, how, data, len);
		}
		data += len;
		size -= len;
	}
	mf_guest_net_free(w.net);
	return 0;
}
