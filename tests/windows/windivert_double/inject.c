/* SPDX-License-Identifier: Apache-2.0 */
/* inject.c - what becomes of packets that are sent: refused, lost in silence, or on their way; see model.h, rules W12 */
#include <stdlib.h>
#include <string.h>

#include "model_internal.h"

void wdd_emit(struct wdd_model *m, enum wdd_fate fate, enum wdd_loss loss, enum wdd_origin origin,
	      const uint8_t *addr, const uint8_t *bytes, uint32_t len)
{
	struct wdd_output *out = malloc(sizeof(*out) + len);

	m->counts.fates[fate]++;
	if (loss != WDD_LOSS_NONE)
		m->counts.losses[loss]++;
	m->changes++;
	if (!out)
		return;
	out->next = NULL;
	out->fate = fate;
	out->loss = loss;
	out->origin = origin;
	memcpy(out->addr, addr, WDD_ADDRESS_SIZE);
	out->len = len;
	memcpy(out->bytes, bytes, len);
	*m->outputs_tail = out;
	m->outputs_tail = &out->next;
}

void wdd_arrive(struct wdd_model *m, const uint8_t *addr, const struct wdd_pkt *k,
		enum wdd_origin origin)
{
	uint32_t bits = wdd_load32(addr + 8);
	enum wdd_fate fate = WDD_TO_STACK;
	enum wdd_loss loss = WDD_LOSS_NONE;

	if (bits & WDD_OUTBOUND) {
		fate = wdd_is_local(m, &k->dst) ? WDD_TO_STACK : WDD_TO_NETWORK;
	} else if (wdd_ip_is_loopback(&k->src) || wdd_ip_is_loopback(&k->dst)) {
		loss = WDD_LOSS_MARTIAN;
	} else if (!wdd_is_local(m, &k->dst) &&
		   !(k->dst.b[0] == 0xff || (k->version == 4 && k->dst.b[12] >= 224))) {
		loss = WDD_LOSS_NOT_OURS;
	}
	if (loss != WDD_LOSS_NONE)
		fate = WDD_VANISHED;
	wdd_emit(m, fate, loss, origin, addr, k->p, k->len);
}

/* The refusals of one packet, in the driver's order. */
static uint32_t check(struct wdd_model *m, const uint8_t *addr, const struct wdd_pkt *k)
{
	uint32_t bits = wdd_load32(addr + 8);
	bool src = wdd_ip_is_loopback(&k->src), dst = wdd_ip_is_loopback(&k->dst);

	if (bits & WDD_OUTBOUND) {
		if (src != dst)
			return wdd_refuse(m, 1214);
	} else if (wdd_load32(addr + 16) == 0) {
		return wdd_refuse(m, 87);
	}
	return 0;
}

static uint32_t inject(struct wdd_model *m, const struct wdd_handle *h, const uint8_t *given_addr,
		       const struct wdd_pkt *given)
{
	uint8_t addr[WDD_ADDRESS_SIZE], *bytes;
	uint32_t bits, bad;
	struct wdd_pkt k;

	memcpy(addr, given_addr, sizeof(addr));
	bits = wdd_load32(addr + 8);
	bytes = malloc(given->len);
	if (!bytes)
		return 1450;
	memcpy(bytes, given->p, given->len);
	if (bits & WDD_IMPOSTOR) {
		uint8_t *hops = bytes + (given->version == 4 ? 8 : 7);

		if (*hops <= 1) {
			free(bytes);
			return wdd_refuse(m, 1232);
		}
		--*hops;
		bits &= ~WDD_IP_OK;
	}
	wdd_pkt_parse(bytes, given->len, &k);
	wdd_pkt_fill_sums(&k, bytes, ~bits & (WDD_IP_OK | WDD_TCP_OK | WDD_UDP_OK));
	bits &= ~(WDD_LOOPBACK | WDD_SNIFFED | WDD_IS_IPV6);
	bits |= k.version == 6 ? WDD_IS_IPV6 : 0;
	bits |= bits & WDD_OUTBOUND && wdd_is_local(m, &k.dst) ? WDD_LOOPBACK : 0;
	wdd_store32(addr + 8, bits | WDD_IP_OK | WDD_TCP_OK | WDD_UDP_OK);
	m->counts.injected++;
	bad = wdd_pkt_bad_sums(&k);
	if (bad)
		wdd_emit(m, WDD_VANISHED, WDD_LOSS_CHECKSUM, WDD_INJECTED, addr, bytes, k.len);
	else
		/* only handles under the sender's priority see it: no other one of the same */
		wdd_route(m, addr, bytes, k.len, h->priority, UINT64_MAX, WDD_INJECTED);
	free(bytes);
	return 0;
}

uint32_t wdd_model_send(struct wdd_model *m, unsigned handle, const uint8_t *pkts, uint32_t len,
			const uint8_t *addrs, uint32_t addrs_cnt, uint32_t *ret_sent)
{
	struct wdd_handle *h = wdd_handle_of(m, handle);
	uint32_t off = 0, code;

	*ret_sent = 0;
	if (!h)
		return 6;
	if ((h->layer != WDD_NETWORK && h->layer != WDD_FORWARD) || h->flags & 4 || !addrs_cnt ||
	    addrs_cnt > WDD_BATCH_MAX)
		return wdd_refuse(m, 87);
	if (h->shut_send)
		return wdd_refuse(m, 232);
	code = wdd_fail_now(m, WDD_CALL_SEND);
	if (code)
		return wdd_refuse(m, code);
	for (uint32_t i = 0; i < addrs_cnt; i++, addrs += WDD_ADDRESS_SIZE) {
		struct wdd_pkt k;
		uint32_t bits = wdd_load32(addrs + 8);

		if ((bits & 0xff) != (uint32_t)h->layer || (bits >> 8 & 0xff) != WDD_PACKET)
			return wdd_refuse(m, 87);
		code = (uint32_t)wdd_pkt_parse(pkts + off, len - off, &k);
		if (!code && i + 1 == addrs_cnt && k.len != len - off)
			code = 87; /* bytes that belong to no packet */
		if (code)
			return wdd_refuse(m, code);
		code = check(m, addrs, &k);
		if (!code)
			code = inject(m, h, addrs, &k);
		if (code)
			return code;
		off += k.len;
		*ret_sent = off;
	}
	return 0;
}
