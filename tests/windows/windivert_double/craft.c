/* SPDX-License-Identifier: Apache-2.0 */
/* craft.c - see craft.h */
#include "craft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wdd_ip wdd_ip_of(const char *text)
{
	struct wdd_ip ip;

	if (!wdd_ip_parse(text, &ip)) {
		fprintf(stderr, "%s is no address\n", text);
		abort();
	}
	return ip;
}

struct wdd_end wdd_end_of(const char *ip, uint16_t port)
{
	return (struct wdd_end){ .ip = wdd_ip_of(ip), .port = port };
}

bool wdd_ip_is4(const struct wdd_ip *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(ip->b, mapped, 12) == 0;
}

bool wdd_end_eq(const struct wdd_end *a, const struct wdd_end *b)
{
	return memcmp(&a->ip, &b->ip, sizeof(a->ip)) == 0 && a->port == b->port;
}

static void be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void be32(uint8_t *p, uint32_t v)
{
	be16(p, v >> 16);
	be16(p + 2, v);
}

/* The IP header for @n bytes behind it; Return: its length. */
static uint32_t put_ip(uint8_t *p, const struct wdd_ip *src, const struct wdd_ip *dst,
		       uint8_t proto, uint32_t n)
{
	if (wdd_ip_is4(src)) {
		memset(p, 0, 20);
		p[0] = 0x45;
		be16(p + 2, 20 + n);
		p[6] = 0x40;
		p[8] = 128;
		p[9] = proto;
		memcpy(p + 12, src->b + 12, 4);
		memcpy(p + 16, dst->b + 12, 4);
		return 20;
	}
	memset(p, 0, 8);
	p[0] = 0x60;
	be16(p + 4, n);
	p[6] = proto;
	p[7] = 128;
	memcpy(p + 8, src->b, 16);
	memcpy(p + 24, dst->b, 16);
	return 40;
}

static uint32_t finish(uint8_t *buf, uint32_t len)
{
	struct wdd_pkt k;

	if (wdd_pkt_parse(buf, len, &k)) {
		fprintf(stderr, "craft: not a packet\n");
		abort();
	}
	wdd_pkt_fill_sums(&k, buf, WDD_IP_OK | WDD_TCP_OK | WDD_UDP_OK);
	return len;
}

uint32_t wdd_craft_tcp(uint8_t *buf, struct wdd_end src, struct wdd_end dst, uint8_t flags,
		       uint32_t seq, uint32_t ack, const void *payload, uint32_t len)
{
	uint32_t h = put_ip(buf, &src.ip, &dst.ip, 6, 20 + len);
	uint8_t *t = buf + h;

	memset(t, 0, 20);
	be16(t, src.port);
	be16(t + 2, dst.port);
	be32(t + 4, seq);
	be32(t + 8, ack);
	t[12] = 5 << 4;
	t[13] = flags;
	be16(t + 14, 65535);
	if (len)
		memcpy(t + 20, payload, len);
	return finish(buf, h + 20 + len);
}

uint32_t wdd_craft_udp(uint8_t *buf, struct wdd_end src, struct wdd_end dst, const void *payload,
		       uint32_t len)
{
	uint32_t h = put_ip(buf, &src.ip, &dst.ip, 17, 8 + len);
	uint8_t *t = buf + h;

	be16(t, src.port);
	be16(t + 2, dst.port);
	be16(t + 4, 8 + len);
	be16(t + 6, 0);
	if (len)
		memcpy(t + 8, payload, len);
	return finish(buf, h + 8 + len);
}

uint32_t wdd_craft_fragment(uint8_t *buf, const uint8_t *pkt, uint32_t pkt_len, uint32_t off,
			    uint32_t n, uint32_t id)
{
	bool v4 = pkt[0] >> 4 == 4;
	uint32_t h = v4 ? 20 : 40;
	bool more;

	if (off + n > pkt_len - h)
		n = pkt_len - h - off;
	more = off + n < pkt_len - h;
	memcpy(buf, pkt, h);
	if (v4) {
		be16(buf + 2, 20 + n);
		be16(buf + 4, id);
		be16(buf + 6, (more ? 0x2000 : 0) | off / 8);
	} else {
		be16(buf + 4, 8 + n);
		buf[6] = 44;
		buf[h] = pkt[6];
		buf[h + 1] = 0;
		be16(buf + h + 2, off | more);
		be32(buf + h + 4, id);
		h += 8;
	}
	memcpy(buf + h, pkt + (v4 ? 20 : 40) + off, n);
	return finish(buf, h + n);
}

bool wdd_read_packet(struct wdd_read *r, const uint8_t *pkt, uint32_t len)
{
	const uint8_t *t;

	memset(r, 0, sizeof(*r));
	if (wdd_pkt_parse(pkt, len, &r->k))
		return false;
	r->src.ip = r->k.src;
	r->dst.ip = r->k.dst;
	r->bad_sums = wdd_pkt_bad_sums(&r->k);
	t = pkt + r->k.l4_off;
	if (r->k.has_transport && (r->k.proto == 6 || r->k.proto == 17)) {
		r->src.port = wdd_be16(t);
		r->dst.port = wdd_be16(t + 2);
	}
	if (r->k.has_transport && r->k.proto == 6) {
		r->seq = wdd_be32(t + 4);
		r->ack = wdd_be32(t + 8);
		r->flags = t[13];
	}
	r->payload = pkt + r->k.payload_off;
	r->payload_len = r->k.len - r->k.payload_off;
	return true;
}
