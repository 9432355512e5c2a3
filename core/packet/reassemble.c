/* SPDX-License-Identifier: Apache-2.0 */
/* reassemble.c - see reassemble.h */
#include "core/packet/reassemble.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/packet/checksum.h"

enum {
	BUCKETS = 256,		      /* a power of two */
	HEAD_MAX = 40 + 8 * 255 + 60, /* headers before the fragment header; more is nobody's */
	UNITS = 8192,		      /* of 8 bytes: 65,536 */
	IP6_LEN = 40,
	FRAG_LEN = 8,
};

struct datagram {
	struct datagram *chain, *newer, *older;
	uint8_t src[16], dst[16];
	uint32_t id;
	uint8_t family, proto; /* IPv6 does not compare @proto (RFC 8200 4.5) */
	bool has_first, has_last;
	uint32_t total; /* payload bytes, once has_last */
	uint32_t units; /* of 8 bytes that are there */
	uint32_t head_len;
	uint32_t room;
	uint64_t since_ns;
	uint8_t *buf; /* HEAD_MAX, then the payload */
	uint64_t there[UNITS / 64];
};

struct mf_reassembler {
	struct mf_reassembler_options opt;
	struct mf_reassembler_stats stats;
	struct datagram *buckets[BUCKETS];
	struct datagram *newest, *oldest; /* by their first fragment */
	uint64_t seed;
	uint8_t *out; /* the packet that was given out last */
};

/* A fragment taken apart. */
struct part {
	const uint8_t *head; /* IP header and what goes before the fragment header */
	uint32_t head_len;
	uint32_t next_at; /* of the byte in @head that says what follows */
	uint8_t next;	  /* what it becomes: IPv6 */
	const uint8_t *ptr;
	uint32_t off, len;
	bool more;
};

/* --- life of datagrams ---------------------------------------------------------------------------------------------- */

static struct datagram **bucket_of(struct mf_reassembler *r, const struct mf_view *v)
{
	uint64_t h = mf_hash_bytes(v->flow.src, 16, r->seed);

	h = mf_hash_bytes(v->flow.dst, 16, h);
	return &r->buckets[mf_hash_u64((uint64_t)v->frag_id << 8 | v->flow.family, h) &
			   (BUCKETS - 1)];
}

static bool is_of(const struct datagram *d, const struct mf_view *v)
{
	return d->id == v->frag_id && d->family == v->flow.family &&
	       memcmp(d->src, v->flow.src, 16) == 0 && memcmp(d->dst, v->flow.dst, 16) == 0 &&
	       (d->family == 6 || d->proto == v->flow.proto);
}

static uint32_t cost_of(const struct datagram *d)
{
	return (uint32_t)sizeof(*d) + d->room;
}

/* Take @d out of bucket and list; its memory stays. */
static void unlink_datagram(struct mf_reassembler *r, struct datagram *d)
{
	struct mf_view key = { .frag_id = d->id, .flow = { .family = d->family } };
	struct datagram **at;

	memcpy(key.flow.src, d->src, 16);
	memcpy(key.flow.dst, d->dst, 16);
	for (at = bucket_of(r, &key); *at != d; at = &(*at)->chain)
		;
	*at = d->chain;
	*(d->newer ? &d->newer->older : &r->newest) = d->older;
	*(d->older ? &d->older->newer : &r->oldest) = d->newer;
	r->stats.datagrams--;
	r->stats.bytes -= cost_of(d);
}

static void free_datagram(struct datagram *d)
{
	free(d->buf);
	free(d);
}

static void drop(struct mf_reassembler *r, struct datagram *d)
{
	unlink_datagram(r, d);
	free_datagram(d);
}

static void expire(struct mf_reassembler *r, uint64_t now_ns)
{
	while (r->oldest && now_ns > r->oldest->since_ns &&
	       now_ns - r->oldest->since_ns > r->opt.timeout_ns) {
		drop(r, r->oldest);
		r->stats.timeouts++;
	}
}

static struct datagram *find(struct mf_reassembler *r, const struct mf_view *v)
{
	struct datagram *d = *bucket_of(r, v);

	while (d && !is_of(d, v))
		d = d->chain;
	return d;
}

static struct datagram *begin(struct mf_reassembler *r, const struct mf_view *v, uint64_t now_ns)
{
	struct datagram *d, **bucket;

	if (r->stats.datagrams >= r->opt.datagrams_max) {
		drop(r, r->oldest);
		r->stats.evicted++;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	memcpy(d->src, v->flow.src, 16);
	memcpy(d->dst, v->flow.dst, 16);
	d->id = v->frag_id;
	d->family = v->flow.family;
	d->proto = v->flow.proto;
	d->since_ns = now_ns;
	bucket = bucket_of(r, v);
	d->chain = *bucket;
	*bucket = d;
	d->older = r->newest;
	*(d->older ? &d->older->newer : &r->oldest) = d;
	r->newest = d;
	r->stats.datagrams++;
	r->stats.bytes += cost_of(d);
	return d;
}

/* --- fragments ------------------------------------------------------------------------------------------------------ */

/* IPv6: the fragment header, and the byte before it that announces it. The view has checked the chain. */
static bool find_fragment_header(const struct mf_view *v, struct part *part)
{
	const uint8_t *p = v->ptr + v->net_off;
	uint32_t there = v->end - v->net_off, at = IP6_LEN, next_at = 6;

	while (at + FRAG_LEN <= there) {
		switch (p[next_at]) {
		case MF_PROTO_FRAGMENT:
			part->head_len = at;
			part->next_at = next_at;
			part->next = p[at];
			return true;
		case MF_PROTO_HOPOPT:
		case MF_PROTO_ROUTING:
		case MF_PROTO_DSTOPTS:
			next_at = at;
			at += 8 + p[at + 1] * 8u;
			break;
		default:
			return false;
		}
	}
	return false;
}

static bool take_apart(const struct mf_view *v, struct part *part)
{
	const uint8_t *p = v->ptr + v->net_off;
	uint32_t payload;

	memset(part, 0, sizeof(*part));
	part->head = p;
	if (v->flow.family == 4) {
		part->head_len = (p[0] & 15u) * 4;
		payload = v->net_off + part->head_len;
	} else {
		if (!find_fragment_header(v, part))
			return false;
		payload = v->net_off + part->head_len + FRAG_LEN;
	}
	if (payload > v->end || part->head_len > HEAD_MAX)
		return false;
	part->ptr = v->ptr + payload;
	part->len = v->end - payload;
	part->off = v->frag_off;
	part->more = v->flags & MF_VIEW_F_FRAG_MORE;
	/* not checked again by whoever asks for less than the transport layer */
	return part->len && !(part->more && part->len % 8) && part->off % 8 == 0 &&
	       part->off + part->len + part->head_len <=
		       65535u + (v->flow.family == 6 ? IP6_LEN : 0);
}

static bool make_room(struct mf_reassembler *r, struct datagram *d, uint32_t len)
{
	uint32_t room = d->room ? d->room : HEAD_MAX + 4096;
	uint8_t *grown;

	while (room < HEAD_MAX + len)
		room *= 2;
	if (room == d->room)
		return true;
	grown = realloc(d->buf, room);
	if (!grown)
		return false;
	r->stats.bytes += room - d->room;
	d->buf = grown;
	d->room = room;
	/* The oldest pay for it; when that is @d itself, it is too big for all of it. */
	while (r->stats.bytes > r->opt.bytes_max && r->oldest != d) {
		drop(r, r->oldest);
		r->stats.evicted++;
	}
	return true;
}

static bool has_unit(const struct datagram *d, uint32_t unit)
{
	return d->there[unit / 64] >> (unit % 64) & 1;
}

/* How many of the units of @part are there already. */
static uint32_t count_units(const struct datagram *d, const struct part *part, uint32_t cnt)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < cnt; i++)
		n += has_unit(d, part->off / 8 + i);
	return n;
}

/* Return: 1: new bytes; 0: a repeat; MF_E_BAD */
static int store(struct mf_reassembler *r, struct datagram *d, const struct part *part)
{
	uint32_t cnt = (part->len + 7) / 8, known, end = part->off + part->len;
	uint8_t *payload;

	if (d->has_last && (end > d->total || (!part->more && end != d->total)))
		return MF_E_BAD;
	known = count_units(d, part, cnt);
	if (known) {
		if (known == cnt && !memcmp(d->buf + HEAD_MAX + part->off, part->ptr, part->len))
			return 0;
		r->stats.overlaps++;
		return MF_E_BAD;
	}
	if (!make_room(r, d, end))
		return MF_E_NOMEM;
	payload = d->buf + HEAD_MAX;
	memcpy(payload + part->off, part->ptr, part->len);
	for (uint32_t i = 0; i < cnt; i++)
		d->there[(part->off / 8 + i) / 64] |= UINT64_C(1) << ((part->off / 8 + i) % 64);
	d->units += cnt;
	if (!part->more) {
		/* something behind the end is there already */
		for (uint32_t u = (end + 7) / 8; u < UNITS; u++)
			if (has_unit(d, u))
				return MF_E_BAD;
		d->has_last = true;
		d->total = end;
	}
	if (part->off == 0) {
		d->has_first = true;
		d->head_len = part->head_len;
		memcpy(d->buf, part->head, part->head_len);
		if (d->family == 6)
			d->buf[part->next_at] = part->next;
	}
	return 1;
}

static bool is_whole(const struct datagram *d)
{
	return d->has_first && d->has_last && d->units == (d->total + 7) / 8;
}

/* The first fragment's header in front of the payload, telling the truth. */
static struct mf_span finish(struct datagram *d)
{
	uint8_t *p = d->buf + HEAD_MAX - d->head_len;
	uint32_t len = d->head_len + d->total;

	memmove(p, d->buf, d->head_len);
	if (d->family == 4) {
		mf_store_be16(p + 2, (uint16_t)len);
		mf_store_be16(p + 6, mf_load_be16(p + 6) & 0x4000);
		mf_store_be16(p + 10, mf_csum_ip4_header(p, d->head_len));
	} else {
		mf_store_be16(p + 4, (uint16_t)(len - IP6_LEN));
	}
	return mf_span_of(p, len);
}

int mf_reassembler_add(struct mf_reassembler *r, const struct mf_view *v, uint64_t now_ns,
		       struct mf_span *ret)
{
	struct datagram *d;
	struct part part;
	int res;

	free(r->out);
	r->out = NULL;
	expire(r, now_ns);
	if (v->layer < MF_VIEW_NET || !(v->flags & MF_VIEW_F_FRAG) || !take_apart(v, &part)) {
		r->stats.malformed++;
		return MF_E_BAD;
	}
	r->stats.fragments++;
	d = find(r, v);
	if (!d)
		d = begin(r, v, now_ns);
	if (!d)
		return MF_E_NOMEM;
	res = store(r, d, &part);
	if (res < 0) {
		drop(r, d);
		r->stats.malformed += res == MF_E_BAD;
		return res;
	}
	if (!is_whole(d))
		return 0;
	unlink_datagram(r, d);
	*ret = finish(d);
	r->out = d->buf;
	free(d);
	r->stats.whole++;
	return 1;
}

void mf_reassembler_expire(struct mf_reassembler *r, uint64_t now_ns)
{
	if (r)
		expire(r, now_ns);
}

void mf_reassembler_get_stats(const struct mf_reassembler *r, struct mf_reassembler_stats *ret)
{
	*ret = r->stats;
}

struct mf_reassembler *mf_reassembler_new(const struct mf_reassembler_options *options)
{
	struct mf_reassembler *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (options)
		r->opt = *options;
	if (!r->opt.datagrams_max)
		r->opt.datagrams_max = 256;
	if (!r->opt.bytes_max)
		r->opt.bytes_max = 4u << 20;
	if (!r->opt.timeout_ns)
		r->opt.timeout_ns = 30 * MF_NS_PER_S;
	r->seed = mf_hash_seed();
	return r;
}

void mf_reassembler_free(struct mf_reassembler *r)
{
	if (!r)
		return;
	while (r->oldest)
		drop(r, r->oldest);
	free(r->out);
	free(r);
}
