/* SPDX-License-Identifier: Apache-2.0 */
/* packet.c - reading packets and their checksums, the slow and plain way; see packet.h */
#include "packet.h"

#include <string.h>

static void map4(struct wdd_ip *ip, const uint8_t *p)
{
	memset(ip->b, 0, 10);
	ip->b[10] = ip->b[11] = 0xff;
	memcpy(ip->b + 12, p, 4);
}

bool wdd_ip_is_loopback(const struct wdd_ip *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t one[16] = { [15] = 1 };

	return (memcmp(ip->b, mapped, 12) == 0 && ip->b[12] == 127) || memcmp(ip->b, one, 16) == 0;
}

static void read_transport(struct wdd_pkt *k)
{
	const uint8_t *t = k->p + k->l4_off;
	uint32_t room = k->len - k->l4_off, need;

	k->payload_off = k->l4_off;
	if (k->later_fragment)
		return;
	switch (k->proto) {
	case 6:
		if (room < 20)
			return;
		need = (uint32_t)(t[12] >> 4) * 4;
		if (need < 20 || need > room)
			return;
		break;
	case 17:
	case 1:
	case 58:
		need = 8;
		break;
	default:
		return;
	}
	if (room < need)
		return;
	k->has_transport = true;
	k->payload_off = k->l4_off + need;
}

static int parse6(const uint8_t *p, size_t len, struct wdd_pkt *k)
{
	uint32_t off = 40;
	uint8_t next = p[6];

	if (len < 40)
		return 87;
	k->len = 40u + wdd_be16(p + 4);
	if (k->len > len)
		return 122;
	memcpy(k->src.b, p + 8, 16);
	memcpy(k->dst.b, p + 24, 16);
	k->hops = p[7];
	for (unsigned i = 0; i < 16; i++) {
		if (next == 44) {
			if (off + 8 > k->len)
				break;
			uint16_t f = wdd_be16(p + off + 2);

			k->fragment = k->fragment || (f & 0xfff9) != 0;
			k->later_fragment = (f & 0xfff8) != 0;
			next = p[off];
			off += 8;
			if (k->later_fragment)
				break;
		} else if (next == 0 || next == 43 || next == 60 || next == 51 || next == 135) {
			if (off + 8 > k->len)
				break;
			uint32_t n = next == 51 ? (p[off + 1] + 2u) * 4 : (p[off + 1] + 1u) * 8;

			if (off + n > k->len)
				break;
			next = p[off];
			off += n;
		} else {
			break;
		}
	}
	k->proto = next;
	k->l4_off = off;
	return 0;
}

int wdd_pkt_parse(const uint8_t *p, size_t len, struct wdd_pkt *k)
{
	int err = 0;

	memset(k, 0, sizeof(*k));
	k->p = p;
	if (len < 20)
		return 87;
	k->version = p[0] >> 4;
	if (k->version == 4) {
		uint32_t ihl = (p[0] & 15u) * 4;
		uint16_t f = wdd_be16(p + 6);

		k->len = wdd_be16(p + 2);
		if (ihl < 20 || k->len < ihl)
			return 87;
		if (k->len > len)
			return 122;
		map4(&k->src, p + 12);
		map4(&k->dst, p + 16);
		k->proto = p[9];
		k->hops = p[8];
		k->fragment = (f & 0x3fff) != 0;
		k->later_fragment = (f & 0x1fff) != 0;
		k->l4_off = ihl;
	} else if (k->version == 6) {
		err = parse6(p, len, k);
	} else {
		return 87;
	}
	if (!err)
		read_transport(k);
	return err;
}

static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i + 1 < len; i += 2)
		sum += wdd_be16(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The sum over pseudo header and transport; 0xffff when the checksum inside is right. */
static uint32_t transport_sum(const struct wdd_pkt *k)
{
	uint32_t n = k->len - k->l4_off, sum = 0;

	if (k->proto != 1) {
		unsigned skip = k->version == 4 ? 12 : 0;

		sum = sum_bytes(sum, k->src.b + skip, 16 - skip);
		sum = sum_bytes(sum, k->dst.b + skip, 16 - skip);
		sum += k->proto + (n & 0xffff) + (n >> 16);
	}
	return sum_bytes(sum, k->p + k->l4_off, n);
}

uint32_t wdd_pkt_bad_sums(const struct wdd_pkt *k)
{
	uint32_t bad = 0;

	if (k->version == 4 && sum_bytes(0, k->p, (k->p[0] & 15u) * 4) != 0xffff)
		bad |= WDD_IP_OK;
	if (!k->has_transport || k->fragment)
		return bad;
	if (k->proto == 17 && wdd_be16(k->p + k->l4_off + 6) == 0)
		return k->version == 6 ? bad | WDD_UDP_OK : bad;
	if (transport_sum(k) != 0xffff)
		bad |= k->proto == 6 ? WDD_TCP_OK : k->proto == 17 ? WDD_UDP_OK : 1;
	return bad;
}

static void fill(uint8_t *field, uint32_t sum, bool udp)
{
	uint16_t c = (uint16_t)~sum;

	if (udp && !c)
		c = 0xffff;
	field[0] = (uint8_t)(c >> 8);
	field[1] = (uint8_t)c;
}

void wdd_pkt_fill_sums(const struct wdd_pkt *k, uint8_t *p, uint32_t which)
{
	uint8_t *t = p + k->l4_off;

	if (k->version == 4 && which & WDD_IP_OK) {
		p[10] = p[11] = 0;
		fill(p + 10, sum_bytes(0, p, (p[0] & 15u) * 4), false);
	}
	if (!k->has_transport || k->fragment)
		return;
	if (k->proto == 6 && which & WDD_TCP_OK) {
		t[16] = t[17] = 0;
		fill(t + 16, transport_sum(k), false);
	}
	if (k->proto == 17 && which & WDD_UDP_OK) {
		t[6] = t[7] = 0;
		fill(t + 6, transport_sum(k), true);
	}
}
