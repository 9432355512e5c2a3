/* SPDX-License-Identifier: Apache-2.0 */
/* offload.c - checksums finished and frames cut into segments in front of a host that takes neither unfinished */
#include "nic/offload.h"

#include "core/base/err.h"
#include "core/packet/checksum.h"

#define ETH_LEN	     14u
#define IP4_LEN	     20u
#define IP6_LEN	     40u
#define TCP_LEN	     20u
#define TCP_CHECKSUM 16u
#define TCP_FIN	     0x01u
#define TCP_PSH	     0x08u
#define TCP_CWR	     0x80u

uint64_t mf_nic_sum(uint64_t sum, const uint8_t *ptr, size_t len, bool odd)
{
	if (!odd)
		return mf_csum_add(sum, ptr, len);
	// mf_csum_fold() swaps the bytes of the sum as it lies in memory: what the odd offset asks for.
	return mf_csum_join(sum, mf_csum_fold(mf_csum_add(0, ptr, len)));
}

static void hand_out(struct mf_nic *nic, const struct mf_span *parts, unsigned cnt, size_t len,
		     const struct mf_nic_offload *offload)
{
	if (!nic->host.frame_out(nic->host.ctx, parts, cnt, len, offload)) {
		nic->counts[MF_NIC_TX_LOST]++;
		return;
	}
	nic->counts[MF_NIC_TX_FRAMES]++;
	nic->counts[MF_NIC_TX_BYTES] += len;
}

/* Where the next byte of a payload is. */
struct cursor {
	const struct mf_span *parts;
	size_t off; /* in the first of them */
};

/* The next @len bytes as parts in @out, their sum added to @sum; @len of them are there. Return: parts */
static unsigned take(struct cursor *c, size_t len, struct mf_span *out, uint64_t *sum, bool odd)
{
	unsigned cnt = 0;

	while (len) {
		size_t n = c->parts->len - c->off;

		if (!n) {
			c->parts++;
			c->off = 0;
			continue;
		}
		if (n > len)
			n = len;
		out[cnt] = mf_span_of(c->parts->ptr + c->off, n);
		*sum = mf_nic_sum(*sum, out[cnt++].ptr, n, odd);
		odd ^= n & 1;
		c->off += n;
		len -= n;
	}
	return cnt;
}

static bool fits(const uint8_t *head, size_t head_len, const struct mf_nic_offload *o)
{
	size_t field = (size_t)o->csum_start + o->csum_offset;

	if (o->csum == MF_NIC_CSUM_NONE && o->gso == MF_NIC_GSO_NONE)
		return true;
	if (o->csum != MF_NIC_CSUM_PARTIAL || o->csum_start < ETH_LEN || field + 2 > head_len)
		return false;
	if (o->gso == MF_NIC_GSO_NONE)
		return true;
	return (o->gso == MF_NIC_GSO_TCP4 || o->gso == MF_NIC_GSO_TCP6) && o->gso_size &&
	       o->csum_offset == TCP_CHECKSUM && o->header_len <= head_len &&
	       o->net_start >= ETH_LEN && o->csum_start + TCP_LEN <= o->header_len &&
	       o->net_start + (o->gso == MF_NIC_GSO_TCP4 ? IP4_LEN : IP6_LEN) <= o->csum_start &&
	       head[o->net_start] >> 4 == (o->gso == MF_NIC_GSO_TCP4 ? 4 : 6) &&
	       (o->gso == MF_NIC_GSO_TCP6 ||
		((head[o->net_start] & 15) * 4u >= IP4_LEN &&
		 o->net_start + (head[o->net_start] & 15) * 4u <= o->csum_start));
}

static void finish_checksum(uint8_t *head, size_t head_len, const struct mf_span *rest,
			    unsigned cnt, const struct mf_nic_offload *o)
{
	uint8_t *field = head + o->csum_start + o->csum_offset;
	uint64_t sum = mf_csum_add(0, head + o->csum_start, head_len - o->csum_start);
	bool odd = (head_len - o->csum_start) & 1;
	uint16_t value;

	for (unsigned i = 0; i < cnt; i++) {
		sum = mf_nic_sum(sum, rest[i].ptr, rest[i].len, odd);
		odd ^= rest[i].len & 1;
	}
	value = (uint16_t)~mf_csum_fold(sum);
	// Never 0: to UDP that would mean none, and all ones is the same number (checksum.h).
	mf_store_be16(field, value ? value : 0xffff);
}

/* Lengths, number and checksum of the IP header for a segment of @len bytes from it on. */
static void write_ip(uint8_t *ip, uint8_t gso, size_t len, uint16_t id)
{
	size_t header = (ip[0] & 15) * 4u;

	if (gso == MF_NIC_GSO_TCP6) {
		mf_store_be16(ip + 4, (uint16_t)(len - IP6_LEN));
		return;
	}
	mf_store_be16(ip + 2, (uint16_t)len);
	mf_store_be16(ip + 4, id);
	mf_store_be16(ip + 10, mf_csum_ip4_header(ip, header));
}

static int emit_segments(struct mf_nic *nic, uint8_t *head, size_t head_len,
			 const struct mf_span *rest, unsigned cnt, size_t payload,
			 const struct mf_nic_offload *o)
{
	static const struct mf_nic_offload finished;
	struct mf_span parts[MF_NIC_PARTS_MAX + 1], out[MF_NIC_PARTS_MAX + 2];
	struct cursor c = { .parts = parts };
	uint8_t *ip = head + o->net_start, *tcp = head + o->csum_start, flags = tcp[13];
	uint16_t id = mf_load_be16(ip + 4), header = o->header_len;
	uint32_t seq = mf_load_be32(tcp + 4);
	size_t tcp_len = (size_t)header - o->csum_start;
	uint64_t pseudo = mf_csum_add_be16(0, mf_load_be16(tcp + TCP_CHECKSUM));
	int frames = 0;

	// The pseudo header's sum counts the length of all: taken out here (RFC 1624), each segment adds its own.
	pseudo = mf_csum_add_be32(pseudo, ~(uint32_t)(tcp_len + payload));
	parts[0] = mf_span_of(head + header, head_len - header);
	memcpy(parts + 1, rest, cnt * sizeof(*rest));
	while (payload) {
		size_t n = payload < o->gso_size ? payload : o->gso_size;
		bool last = n == payload;
		uint64_t sum = mf_csum_add_be32(pseudo, (uint32_t)(tcp_len + n));
		unsigned used;

		write_ip(ip, o->gso, header + n - o->net_start, id++);
		mf_store_be32(tcp + 4, seq);
		tcp[13] = flags;
		if (!last)
			tcp[13] = (uint8_t)(tcp[13] & ~(TCP_FIN | TCP_PSH));
		if (frames)
			tcp[13] = (uint8_t)(tcp[13] & ~TCP_CWR); // RFC 3168 6.1.2: once
		mf_store_be16(tcp + TCP_CHECKSUM, 0);
		sum = mf_csum_add(sum, tcp, tcp_len);
		out[0] = mf_span_of(head, header);
		used = take(&c, n, out + 1, &sum, tcp_len & 1);
		mf_store_be16(tcp + TCP_CHECKSUM, (uint16_t)~mf_csum_fold(sum));
		hand_out(nic, out, used + 1, header + n, &finished);
		seq += (uint32_t)n;
		payload -= n;
		frames++;
	}
	return frames;
}

int mf_nic_emit(struct mf_nic *nic, uint8_t *head, size_t head_len, const struct mf_span *rest,
		unsigned cnt, size_t rest_len, const struct mf_nic_offload *offload)
{
	struct mf_nic_offload o = *offload;
	struct mf_span parts[MF_NIC_PARTS_MAX];
	unsigned can = nic->host.frame_out_can;
	size_t payload;

	if (!fits(head, head_len, &o) || cnt + 1 > MF_NIC_PARTS_MAX)
		goto bad;
	if (o.gso != MF_NIC_GSO_NONE) {
		payload = head_len + rest_len - o.header_len;
		if (payload <= o.gso_size)
			o.gso = MF_NIC_GSO_NONE; // one segment: an ordinary frame
		else if (!(can & (o.gso == MF_NIC_GSO_TCP4 ? MF_NIC_CAN_TSO4 : MF_NIC_CAN_TSO6))) {
			if (payload / o.gso_size >= MF_NIC_SEGMENTS_MAX ||
			    (size_t)o.gso_size + o.header_len - o.net_start > UINT16_MAX)
				goto bad;
			return emit_segments(nic, head, head_len, rest, cnt, payload, &o);
		}
	}
	if (o.csum == MF_NIC_CSUM_PARTIAL && !(can & MF_NIC_CAN_CSUM)) {
		finish_checksum(head, head_len, rest, cnt, &o);
		o.csum = MF_NIC_CSUM_NONE;
	}
	if (!head_len) {
		hand_out(nic, rest, cnt, rest_len, &o);
		return 1;
	}
	parts[0] = mf_span_of(head, head_len);
	memcpy(parts + 1, rest, cnt * sizeof(*rest));
	hand_out(nic, parts, cnt + 1, head_len + rest_len, &o);
	return 1;
bad:
	nic->counts[MF_NIC_BAD_OFFLOAD]++;
	return MF_E_BAD;
}
