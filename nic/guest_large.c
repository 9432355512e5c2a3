/* SPDX-License-Identifier: Apache-2.0 */
/* guest_large.c - packets of the stack that it left unfinished: checksums, and TCP packets of up to 64 KiB; see guest_net.h */
#include <string.h>

#include "core/base/bytes.h"
#include "core/packet/checksum.h"
#include "core/packet/flow.h"
#include "nic/guest_internal.h"

#define HEADERS_MAX  256u /* IP with options or extensions, and TCP */
#define TCP_LEN	     20u
#define TCP_CHECKSUM 16u
#define TCP_FIN	     0x01u
#define TCP_PSH	     0x08u
#define TCP_CWR	     0x80u

static void finish_checksum(uint8_t *pkt, size_t len, const struct mf_guest_unfinished *how)
{
	uint8_t *field = pkt + how->csum_start + how->csum_offset;
	uint16_t value = (uint16_t)~mf_csum_fold(
		mf_csum_add(0, pkt + how->csum_start, len - how->csum_start));

	/* Never 0: to UDP that would mean none, and all ones is the same number (checksum.h). */
	mf_store_be16(field, value ? value : 0xffff);
}

/* Addresses and protocol of the pseudo header, without its length. */
static uint64_t pseudo_of(const uint8_t *ip)
{
	uint64_t sum = ip[0] >> 4 == 4 ? mf_csum_add(0, ip + 12, 8) : mf_csum_add(0, ip + 8, 32);

	return mf_csum_add_be16(sum, MF_PROTO_TCP);
}

/* Return: length of all headers; 0: this is nothing to be cut */
static size_t headers_of(const uint8_t *pkt, size_t len, const struct mf_guest_unfinished *how)
{
	size_t start = how->csum_start, head;
	unsigned version = pkt[0] >> 4;

	if (how->csum_offset != TCP_CHECKSUM || start + TCP_LEN > len ||
	    start < (version == 4 ? 20u : 40u))
		return 0;
	if (version == 4 && start != (pkt[0] & 15u) * 4u)
		return 0;
	head = start + (size_t)(pkt[start + 12] >> 4) * 4;
	return head >= start + TCP_LEN && head <= len && head <= HEADERS_MAX ? head : 0;
}

static int put_padded(struct mf_guest *g, const uint8_t *head, size_t head_len, const uint8_t *body,
		      size_t len)
{
	uint8_t padded[MF_GUEST_LEAST] = { 0 };

	if (head_len + len >= MF_GUEST_LEAST)
		return mf_guest_put(g, head, head_len, body, len);
	memcpy(padded, body, len);
	return mf_guest_put(g, head, head_len, padded, MF_GUEST_LEAST - head_len);
}

/* What is left of a large packet when one has been dropped goes, too: its receiver asks for all of it again. */
static int put_segments(struct mf_guest *g, uint16_t type, const uint8_t *pkt, size_t head_len,
			size_t len, const struct mf_guest_unfinished *how)
{
	uint8_t head[MF_GUEST_HEAD + HEADERS_MAX], *ip = head + MF_GUEST_HEAD;
	uint8_t *tcp = ip + how->csum_start, flags;
	const uint8_t *at = pkt + head_len;
	size_t left = len - head_len, tcp_len = head_len - how->csum_start;
	uint64_t pseudo = pseudo_of(pkt);
	uint32_t seq;
	uint16_t id;
	int r = 0;

	memcpy(head, g->mac, 6);
	memcpy(head + 6, g->net->mac, 6);
	mf_store_be16(head + 12, type);
	memcpy(ip, pkt, head_len);
	flags = tcp[13];
	seq = mf_load_be32(tcp + 4);
	id = mf_load_be16(ip + 4);
	for (bool first = true; left && r == 0; first = false) {
		size_t n = left < how->segment ? left : how->segment;
		uint64_t sum = mf_csum_add_be32(pseudo, (uint32_t)(tcp_len + n));

		if (type == MF_ETHER_IP4) {
			mf_store_be16(ip + 2, (uint16_t)(head_len + n));
			mf_store_be16(ip + 4, id++);
			mf_store_be16(ip + 10, mf_csum_ip4_header(ip, how->csum_start));
		} else {
			mf_store_be16(ip + 4, (uint16_t)(head_len + n - 40));
		}
		mf_store_be32(tcp + 4, seq);
		tcp[13] = (uint8_t)(flags & ~((n < left ? TCP_FIN | TCP_PSH : 0) |
					      (first ? 0 : TCP_CWR))); /* RFC 3168 6.1.2: once */
		mf_store_be16(tcp + TCP_CHECKSUM, 0);
		sum = mf_csum_add(sum, tcp, tcp_len);
		sum = mf_csum_add(sum, at, n);
		mf_store_be16(tcp + TCP_CHECKSUM, (uint16_t)~mf_csum_fold(sum));
		g->stats.packets_out++;
		r = put_padded(g, head, MF_GUEST_HEAD + head_len, at, n);
		seq += (uint32_t)n;
		at += n;
		left -= n;
	}
	return r;
}

int mf_guest_net_packet_unfinished(struct mf_guest_net *net, uint8_t *pkt, size_t len,
				   const struct mf_guest_unfinished *how)
{
	uint16_t type;
	struct mf_guest *g = mf_guest_find(net, pkt, len, &type);
	size_t head;

	if (!g)
		return MF_E_NOENT;
	if ((size_t)how->csum_start + how->csum_offset + 2 > len)
		return MF_E_BAD;
	if (how->segment) {
		head = headers_of(pkt, len, how);
		if (!head)
			return MF_E_BAD;
		if (len - head > how->segment)
			return put_segments(g, type, pkt, head, len, how);
		/* One segment: an ordinary packet */
	}
	finish_checksum(pkt, len, how);
	return mf_guest_net_packet(net, pkt, len);
}
