/* SPDX-License-Identifier: Apache-2.0 */
/* coalesce.c - see coalesce.h */
#include "nic/coalesce.h"

#include <string.h>

#include "core/base/bytes.h"
#include "core/packet/checksum.h"
#include "core/packet/flow.h"

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08, TCP_ACK = 0x10 };

#define TCP_LEN	    20u
#define SEGMENT_MIN 256u /* bytes of payload that are worth joining */

struct seen {
	size_t start, head; /* of the TCP header, of the payload */
	uint8_t flags;
	uint32_t seq;
};

/* Return: true: a TCP packet with payload that others may follow or that may follow others */
static bool read_packet(const uint8_t *pkt, size_t len, struct seen *s)
{
	size_t total;

	if (len < 40)
		return false;
	if (pkt[0] == 0x45) { /* without options */
		s->start = 20;
		total = mf_load_be16(pkt + 2);
		if (pkt[9] != MF_PROTO_TCP || (mf_load_be16(pkt + 6) & 0xbfff))
			return false; /* more fragments, an offset, the reserved bit: no whole packet */
	} else if (pkt[0] >> 4 == 6) {
		s->start = 40;
		total = 40u + mf_load_be16(pkt + 4);
		if (pkt[6] != MF_PROTO_TCP)
			return false;
	} else {
		return false;
	}
	if (total != len || len < s->start + TCP_LEN)
		return false;
	s->head = s->start + (size_t)(pkt[s->start + 12] >> 4) * 4;
	s->flags = pkt[s->start + 13];
	s->seq = mf_load_be32(pkt + s->start + 4);
	return s->head >= s->start + TCP_LEN && s->head < len &&
	       (s->flags & ~(TCP_PSH | TCP_FIN)) == TCP_ACK;
}

/* All headers are the same but for lengths, identification, checksums, sequence number, and the flags that end it. */
static bool same_headers(const struct mf_coalesce *c, const uint8_t *pkt, const struct seen *s)
{
	const uint8_t *a = c->buf, *tcp = a + s->start, *other = pkt + s->start;

	if (s->head != c->head || a[0] != pkt[0] || a[1] != pkt[1])
		return false;
	if (s->start == 20) {
		/* DF, time to live, protocol; addresses */
		if (mf_load_be16(a + 6) != mf_load_be16(pkt + 6) || a[8] != pkt[8] ||
		    memcmp(a + 12, pkt + 12, 8) != 0)
			return false;
		/* Identification goes on by one, or means nothing (RFC 6864 4.1). */
		if ((uint16_t)(mf_load_be16(a + 4) + c->cnt) != mf_load_be16(pkt + 4) &&
		    (a[6] != 0x40 || mf_load_be16(a + 4) != mf_load_be16(pkt + 4)))
			return false;
	} else if (memcmp(a, pkt, 4) != 0 || memcmp(a + 6, pkt + 6, 34) != 0) {
		return false;
	}
	/* ports; acknowledgement, length of the header; window; urgent pointer and options */
	return memcmp(tcp, other, 4) == 0 && memcmp(tcp + 8, other + 8, 5) == 0 &&
	       memcmp(tcp + 14, other + 14, 2) == 0 &&
	       memcmp(tcp + 18, other + 18, s->head - s->start - 18) == 0;
}

void mf_coalesce_flush(struct mf_coalesce *c, mf_coalesce_fn done, void *ctx)
{
	struct mf_coalesced out = { .ptr = c->buf, .len = c->len };
	bool four = c->buf[0] >> 4 == 4;

	if (!c->len)
		return;
	if (c->cnt > 1) {
		out.segment = c->segment;
		out.csum_start = four ? 20 : 40;
		if (four) {
			mf_store_be16(c->buf + 2, (uint16_t)c->len);
			mf_store_be16(c->buf + 10, mf_csum_ip4_header(c->buf, 20));
		} else {
			mf_store_be16(c->buf + 4, (uint16_t)(c->len - 40));
		}
	}
	mf_coalesce_init(c);
	done(ctx, &out);
}

static void begin(struct mf_coalesce *c, const uint8_t *pkt, size_t len, const struct seen *s)
{
	memcpy(c->buf, pkt, len);
	c->len = len;
	c->head = s->head;
	c->segment = (uint16_t)(len - s->head);
	c->cnt = 1;
	c->next_seq = s->seq + c->segment;
}

void mf_coalesce_add(struct mf_coalesce *c, uint8_t *pkt, size_t len, mf_coalesce_fn done,
		     void *ctx)
{
	struct mf_coalesced alone = { .ptr = pkt, .len = len };
	struct seen s;
	size_t payload;

	if (len > MF_COALESCE_MAX || !read_packet(pkt, len, &s)) {
		mf_coalesce_flush(c, done, ctx);
		done(ctx, &alone);
		return;
	}
	payload = len - s.head;
	if (c->len && (s.seq != c->next_seq || payload > c->segment ||
		       c->len + payload > MF_COALESCE_MAX || !same_headers(c, pkt, &s)))
		mf_coalesce_flush(c, done, ctx);
	if (!c->len) {
		begin(c, pkt, len, &s);
	} else {
		uint8_t *flags = c->buf + s.start + 13;

		memcpy(c->buf + c->len, pkt + s.head, payload);
		c->len += payload;
		c->next_seq += (uint32_t)payload;
		c->cnt++;
		*flags = (uint8_t)(*flags | s.flags);
	}
	/* Behind a shorter one, a push or an end, nothing is joined; nor are crumbs. */
	if (payload < c->segment || payload < SEGMENT_MIN || s.flags & (TCP_PSH | TCP_FIN))
		mf_coalesce_flush(c, done, ctx);
}
