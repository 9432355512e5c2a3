/* SPDX-License-Identifier: Apache-2.0 */
/* dns_wire.c - DNS messages as bytes: reading questions and answers, writing our own */
#include "core/wire/dns_wire.h"

#include <stdio.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
	FLAG_QR = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	FLAG_AD = 0x0020,
	FLAG_CD = 0x0010,
	RR_HEAD = 10, /* type, class, TTL, length */
	OPT_LEN = 11,
	OPTION_COOKIE = 10,
	OPTION_EDE = 15,
	EDE_TEXT_MAX = 200,
	CLASS_IN = 1,
	NEGATIVE_TTL_S = 60,
	SVC_MANDATORY = 0,
	SVC_IPV4HINT = 4,
	SVC_ECH = 5,
	SVC_IPV6HINT = 6,
};

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/*
 * Reads the name at *@pos and moves *@pos behind it. Pointers must lead to before the place they stand at, so there is
 * no loop to find; their number is limited all the same.
 */
static bool read_name(struct mf_span msg, size_t *pos, struct mf_dns_name *ret)
{
	size_t at = *pos, len = 0, end = 0;

	for (unsigned jumps = 0;;) {
		uint8_t c;

		if (at >= msg.len)
			return false;
		c = msg.ptr[at];
		if ((c & 0xc0) == 0xc0) {
			size_t to;

			if (at + 2 > msg.len || ++jumps > MF_DNS_JUMPS_MAX)
				return false;
			to = mf_load_be16(msg.ptr + at) & 0x3fff;
			if (to >= at)
				return false;
			if (!end)
				end = at + 2;
			at = to;
			continue;
		}
		if (c & 0xc0 || at + 1 + c > msg.len || len + 1 + c > MF_DNS_NAME_MAX)
			return false;
		memcpy(ret->wire + len, msg.ptr + at, 1u + c);
		len += 1u + c;
		at += 1u + c;
		if (c == 0)
			break;
	}
	ret->len = (uint8_t)len;
	*pos = end ? end : at;
	return true;
}

/* Moves behind a record; false where it is cut. */
static bool skip_record(struct mf_span msg, size_t *pos, uint16_t *ret_type, size_t *ret_at)
{
	struct mf_dns_name name;

	if (!read_name(msg, pos, &name) || msg.len - *pos < RR_HEAD)
		return false;
	*ret_type = mf_load_be16(msg.ptr + *pos);
	*ret_at = *pos;
	*pos += RR_HEAD + mf_load_be16(msg.ptr + *pos + 8);
	return *pos <= msg.len;
}

/* The options of an OPT record whose type stands at @at; a cookie is the only one that means anything to us. */
static bool read_options(struct mf_span msg, size_t at, struct mf_dns_cookie *cookie)
{
	size_t pos = at + RR_HEAD, end = pos + mf_load_be16(msg.ptr + at + 8);

	while (pos < end) {
		uint16_t code, len;

		if (end - pos < 4)
			return false;
		code = mf_load_be16(msg.ptr + pos);
		len = mf_load_be16(msg.ptr + pos + 2);
		pos += 4;
		if (end - pos < len)
			return false;
		if (code == OPTION_COOKIE && cookie->len == 0) { /* the first counts */
			if (len != MF_DNS_COOKIE_HALF &&
			    (len < 2 * MF_DNS_COOKIE_HALF || len > MF_DNS_COOKIE_MAX))
				return false;
			cookie->len = (uint8_t)len;
			memcpy(cookie->bytes, msg.ptr + pos, len);
		}
		pos += len;
	}
	return true;
}

/* The additional section: RFC 6891 6.1.1 wants one OPT at most. */
static int find_opt(struct mf_span msg, size_t pos, unsigned left, size_t *ret_at)
{
	*ret_at = 0;
	while (left--) {
		uint16_t type;
		size_t at;

		if (!skip_record(msg, &pos, &type, &at))
			return MF_E_BAD;
		if (type != MF_DNS_OPT)
			continue;
		if (*ret_at)
			return MF_E_BAD;
		*ret_at = at;
	}
	return 0;
}

static int take_opts(struct mf_span msg, size_t pos, unsigned left, struct mf_dns_query *q)
{
	size_t at;

	if (find_opt(msg, pos, left, &at) < 0 || (at && !read_options(msg, at, &q->cookie)))
		return MF_E_BAD;
	if (!at)
		return 0;
	q->has_edns = true;
	q->udp_size = mf_load_be16(msg.ptr + at + 2);
	q->edns_version = msg.ptr[at + 5];
	q->dnssec_ok = msg.ptr[at + 6] & 0x80;
	if (q->udp_size < MF_DNS_UDP_MIN)
		q->udp_size = MF_DNS_UDP_MIN;
	/* a server half is somebody else's or an old one of ours: neither is looked at */
	if (q->cookie.len)
		q->cookie.len = MF_DNS_COOKIE_HALF;
	return 0;
}

int mf_dns_read_opt(struct mf_span msg, struct mf_dns_opt *ret)
{
	size_t pos = MF_DNS_HEAD_LEN, at;
	struct mf_dns_name name;
	unsigned records;
	uint16_t type;

	memset(ret, 0, sizeof(*ret));
	if (msg.len < MF_DNS_HEAD_LEN)
		return MF_E_BAD;
	for (unsigned i = mf_load_be16(msg.ptr + 4); i--; pos += 4)
		if (!read_name(msg, &pos, &name) || msg.len - pos < 4)
			return MF_E_BAD;
	records = mf_load_be16(msg.ptr + 6) + mf_load_be16(msg.ptr + 8);
	while (records--)
		if (!skip_record(msg, &pos, &type, &at))
			return MF_E_BAD;
	if (find_opt(msg, pos, mf_load_be16(msg.ptr + 10), &at) < 0 ||
	    (at && !read_options(msg, at, &ret->cookie)))
		return MF_E_BAD;
	if (at) {
		ret->found = true;
		ret->rcode_high = msg.ptr[at + 4];
		ret->version = msg.ptr[at + 5];
	}
	return 0;
}

int mf_dns_read_query(struct mf_span msg, struct mf_dns_query *q)
{
	uint16_t flags;
	size_t pos = MF_DNS_HEAD_LEN;

	memset(q, 0, sizeof(*q));
	q->udp_size = MF_DNS_UDP_MIN;
	if (msg.len >= 2)
		q->id = mf_load_be16(msg.ptr);
	if (msg.len < MF_DNS_HEAD_LEN)
		return MF_E_BAD;
	flags = mf_load_be16(msg.ptr + 2);
	if (flags & FLAG_QR)
		return MF_E_BAD;
	q->recursion = flags & FLAG_RD;
	q->checking_disabled = flags & FLAG_CD;
	q->authentic_data = flags & FLAG_AD;
	if (flags & FLAG_OPCODE || mf_load_be16(msg.ptr + 4) != 1)
		return MF_E_UNSUPPORTED;
	if (!read_name(msg, &pos, &q->name) || msg.len - pos < 4) {
		q->name.len = 0;
		return MF_E_BAD;
	}
	q->type = mf_load_be16(msg.ptr + pos);
	q->class = mf_load_be16(msg.ptr + pos + 2);
	pos += 4;
	/* A question carries no records but OPT and, rarely, a signature: anything in the first two sections is odd. */
	if (mf_load_be16(msg.ptr + 6) || mf_load_be16(msg.ptr + 8))
		return MF_E_BAD;
	if (mf_load_be16(msg.ptr + 10) > 8)
		return MF_E_BAD;
	return take_opts(msg, pos, mf_load_be16(msg.ptr + 10), q);
}

int mf_dns_format_name(const struct mf_dns_name *name, char *ret, size_t size)
{
	size_t at = 0, out = 0;

	if (name->len == 0 || size < MF_DNS_TEXT_MAX)
		return MF_E_SYNTAX;
	while (name->wire[at]) {
		uint8_t len = name->wire[at++];

		if (out)
			ret[out++] = '.';
		for (uint8_t i = 0; i < len; i++, at++) {
			uint8_t c = name->wire[at];

			/* a dot inside a label must not become two labels */
			if (c <= ' ' || c >= 0x7f || c == '.' || c == '\\')
				return MF_E_SYNTAX;
			ret[out++] = (char)c;
		}
	}
	if (out == 0)
		ret[out++] = '.';
	ret[out] = '\0';
	return 0;
}

int mf_dns_parse_name(const char *text, struct mf_dns_name *ret)
{
	size_t len = strlen(text), start = 0, out = 0;

	if (len && text[len - 1] == '.')
		len--;
	if (len > MF_DNS_NAME_MAX - 2)
		return MF_E_SYNTAX;
	for (size_t i = 0; len && i <= len; i++) {
		if (i < len && text[i] != '.')
			continue;
		if (i == start || i - start > 63)
			return MF_E_SYNTAX;
		ret->wire[out++] = (uint8_t)(i - start);
		memcpy(ret->wire + out, text + start, i - start);
		out += i - start;
		start = i + 1;
	}
	ret->wire[out++] = 0;
	ret->len = (uint8_t)out;
	return 0;
}

bool mf_dns_name_eq(const struct mf_dns_name *a, const struct mf_dns_name *b)
{
	if (a->len != b->len)
		return false;
	/* label lengths are below 'A', so folding them too is harmless */
	for (unsigned i = 0; i < a->len; i++)
		if (lower(a->wire[i]) != lower(b->wire[i]))
			return false;
	return true;
}

const char *mf_dns_type_format(uint16_t type, char *buf, size_t size)
{
	static const struct {
		uint16_t type;
		char name[12];
	} names[] = {
		{ 1, "A" },	 { 2, "NS" },	       { 5, "CNAME" },	 { 6, "SOA" },
		{ 10, "NULL" },	 { 12, "PTR" },	       { 13, "HINFO" },	 { 15, "MX" },
		{ 16, "TXT" },	 { 28, "AAAA" },       { 33, "SRV" },	 { 35, "NAPTR" },
		{ 39, "DNAME" }, { 41, "OPT" },	       { 43, "DS" },	 { 44, "SSHFP" },
		{ 46, "RRSIG" }, { 47, "NSEC" },       { 48, "DNSKEY" }, { 50, "NSEC3" },
		{ 52, "TLSA" },	 { 61, "OPENPGPKEY" }, { 64, "SVCB" },	 { 65, "HTTPS" },
		{ 99, "SPF" },	 { 251, "IXFR" },      { 252, "AXFR" },	 { 255, "ANY" },
		{ 256, "URI" },	 { 257, "CAA" },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++) {
		if (names[i].type == type) {
			snprintf(buf, size, "%s", names[i].name);
			return buf;
		}
	}
	snprintf(buf, size, "TYPE%u", type);
	return buf;
}

const char *mf_dns_class_format(uint16_t class, char *buf, size_t size)
{
	const char *name = class == 1	  ? "IN"
			   : class == 3	  ? "CH"
			   : class == 4	  ? "HS"
			   : class == 255 ? "ANY"
					  : NULL;

	if (name)
		snprintf(buf, size, "%s", name);
	else
		snprintf(buf, size, "CLASS%u", class);
	return buf;
}

const char *mf_dns_rcode_name(unsigned rcode)
{
	static const char *const names[] = { "NOERROR",	 "FORMERR", "SERVFAIL",
					     "NXDOMAIN", "NOTIMP",  "REFUSED" };

	if (rcode == MF_DNS_BADVERS)
		return "BADVERS";
	if (rcode == MF_DNS_BADCOOKIE)
		return "BADCOOKIE";
	return rcode < MF_ARRAY_SIZE(names) ? names[rcode] : "RCODE";
}

/* A writer that never goes past its room; after a failure it stays failed. */
struct writer {
	uint8_t *buf;
	size_t len, room;
	bool failed;
};

static void put(struct writer *w, const void *ptr, size_t len)
{
	if (w->failed || w->room - w->len < len) {
		w->failed = true;
		return;
	}
	memcpy(w->buf + w->len, ptr, len);
	w->len += len;
}

static void put_u16(struct writer *w, uint16_t v)
{
	uint8_t b[2];

	mf_store_be16(b, v);
	put(w, b, 2);
}

static void put_u32(struct writer *w, uint32_t v)
{
	uint8_t b[4];

	mf_store_be32(b, v);
	put(w, b, 4);
}

static void put_head(struct writer *w, uint16_t id, uint16_t flags)
{
	put_u16(w, id);
	put_u16(w, flags);
	put_u16(w, 1);
	put_u16(w, 0);
	put_u16(w, 0);
	put_u16(w, 0);
}

static void put_question(struct writer *w, const struct mf_dns_query *q)
{
	put(w, q->name.wire, q->name.len);
	put_u16(w, q->type);
	put_u16(w, q->class);
}

/* The owner is always the question, at its fixed place behind the header. */
static void put_rr_head(struct writer *w, uint16_t type, uint16_t class, uint32_t ttl_s, size_t len)
{
	put_u16(w, 0xc000 | MF_DNS_HEAD_LEN);
	put_u16(w, type);
	put_u16(w, class);
	put_u32(w, ttl_s);
	put_u16(w, (uint16_t)len);
}

/* Counts of a message are bumped as records are added: section 1 answers, 2 authority, 3 additional. */
static void count_record(struct writer *w, unsigned section)
{
	uint8_t *p = w->buf + 4 + section * 2;

	if (!w->failed)
		mf_store_be16(p, (uint16_t)(mf_load_be16(p) + 1));
}

static void put_opt(struct writer *w, const struct mf_dns_cookie *cookie, bool dnssec_ok,
		    unsigned rcode, enum mf_dns_ede ede, const char *text)
{
	size_t text_len = text ? strlen(text) : 0, len = cookie->len ? 4u + cookie->len : 0;

	/* cut between characters, not inside one: RFC 8914 wants UTF-8 */
	if (text_len > EDE_TEXT_MAX)
		for (text_len = EDE_TEXT_MAX; text_len && ((uint8_t)text[text_len] & 0xc0) == 0x80;)
			text_len--;
	if (ede != MF_DNS_EDE_NONE)
		len += 6 + text_len;
	put(w, "", 1);
	put_u16(w, MF_DNS_OPT);
	put_u16(w, MF_DNS_UDP_MAX);
	put_u32(w, (uint32_t)(rcode >> 4) << 24 | (dnssec_ok ? 0x8000 : 0));
	put_u16(w, (uint16_t)len);
	if (cookie->len) {
		put_u16(w, OPTION_COOKIE);
		put_u16(w, cookie->len);
		put(w, cookie->bytes, cookie->len);
	}
	if (ede != MF_DNS_EDE_NONE) {
		put_u16(w, OPTION_EDE);
		put_u16(w, (uint16_t)(2 + text_len));
		put_u16(w, (uint16_t)ede);
		put(w, text, text_len);
	}
	count_record(w, 3);
}

/* An SOA with made-up names below the asked one; its last number is how long "no such record" may be kept. */
static void put_soa(struct writer *w, const struct mf_dns_query *q)
{
	static const uint8_t mname[] = "\011moonfence\007invalid";

	put_rr_head(w, MF_DNS_SOA, q->class, NEGATIVE_TTL_S, sizeof(mname) + 1 + 20);
	put(w, mname, sizeof(mname));
	put(w, "", 1);
	put_u32(w, 1);
	put_u32(w, 3600);
	put_u32(w, 600);
	put_u32(w, 86400);
	put_u32(w, NEGATIVE_TTL_S);
	count_record(w, 2);
}

static void put_records(struct writer *w, const struct mf_dns_query *q,
			const struct mf_dns_answer *a)
{
	bool want_a = q->type == MF_DNS_A || q->type == MF_DNS_ANY;
	bool want_aaaa = q->type == MF_DNS_AAAA || q->type == MF_DNS_ANY;

	if (a->cname) {
		put_rr_head(w, MF_DNS_CNAME, q->class, a->ttl_s, a->cname->len);
		put(w, a->cname->wire, a->cname->len);
		count_record(w, 1);
	}
	for (size_t i = 0; i < a->addr_cnt; i++) {
		const struct mf_addr *addr = &a->addrs[i];

		if (addr->family == 4 ? !want_a : !want_aaaa)
			continue;
		if (a->cname) {
			put(w, a->cname->wire, a->cname->len);
			put_u16(w, addr->family == 4 ? MF_DNS_A : MF_DNS_AAAA);
			put_u16(w, q->class);
			put_u32(w, a->ttl_s);
			put_u16(w, addr->family == 4 ? 4 : 16);
		} else {
			put_rr_head(w, addr->family == 4 ? MF_DNS_A : MF_DNS_AAAA, q->class,
				    a->ttl_s, addr->family == 4 ? 4 : 16);
		}
		put(w, addr->bytes, addr->family == 4 ? 4 : 16);
		count_record(w, 1);
	}
}

static uint16_t answer_flags(const struct mf_dns_query *q, unsigned rcode, bool authoritative)
{
	return (uint16_t)(FLAG_QR | FLAG_RA | (authoritative ? FLAG_AA : 0) |
			  (q->recursion ? FLAG_RD : 0) | (q->checking_disabled ? FLAG_CD : 0) |
			  rcode);
}

/* Of a message that holds only its question: with the cookie if there is room. */
static void put_bare_opt(struct writer *w, const struct mf_dns_query *q, unsigned rcode)
{
	static const struct mf_dns_cookie none;
	size_t room = w->room - w->len, len = q->cookie.len ? 4u + q->cookie.len : 0;

	if (q->has_edns && room >= OPT_LEN)
		put_opt(w, room >= OPT_LEN + len ? &q->cookie : &none, q->dnssec_ok, rcode,
			MF_DNS_EDE_NONE, NULL);
}

int mf_dns_write_answer(const struct mf_dns_query *q, const struct mf_dns_answer *a, uint8_t *out,
			size_t cap, size_t limit)
{
	struct writer w = { .buf = out, .room = cap < limit ? cap : limit };
	uint16_t flags = answer_flags(q, a->rcode & 15, a->authoritative);
	size_t question_len;

	put_head(&w, q->id, flags);
	if (q->name.len)
		put_question(&w, q);
	else if (!w.failed)
		mf_store_be16(out + 4, 0); /* the question could not be read */
	question_len = w.len;
	if (w.failed)
		return MF_E_LIMIT;
	if (q->name.len)
		put_records(&w, q, a);
	if (!w.failed && a->soa && mf_load_be16(out + 6) == 0 && q->name.len)
		put_soa(&w, q);
	if (q->has_edns)
		put_opt(&w, &q->cookie, q->dnssec_ok, a->rcode, a->ede, a->ede_text);
	if (!w.failed)
		return (int)w.len;
	/* too much: the question alone, and try again by TCP */
	w = (struct writer){ .buf = out, .len = question_len, .room = cap < limit ? cap : limit };
	mf_store_be16(out + 2, flags | FLAG_TC);
	memset(out + 6, 0, 6);
	put_bare_opt(&w, q, a->rcode);
	return (int)w.len;
}

int mf_dns_write_query(const struct mf_dns_query *q, uint16_t id,
		       const struct mf_dns_cookie *cookie, uint8_t *out, size_t cap)
{
	static const struct mf_dns_cookie none;
	struct writer w = { .buf = out, .room = cap };

	/* recursion is always wanted of a resolver; AD and CD are the program's own choice */
	put_head(&w, id,
		 (uint16_t)(FLAG_RD | (q->checking_disabled ? FLAG_CD : 0) |
			    (q->authentic_data ? FLAG_AD : 0)));
	put_question(&w, q);
	put_opt(&w, cookie ? cookie : &none, q->dnssec_ok, 0, MF_DNS_EDE_NONE, NULL);
	return w.failed ? MF_E_LIMIT : (int)w.len;
}

int mf_dns_begin_walk(struct mf_span msg, const struct mf_dns_query *q, uint16_t id,
		      struct mf_dns_walk *ret)
{
	struct mf_dns_name name;
	size_t pos = MF_DNS_HEAD_LEN;
	uint16_t flags;

	memset(ret, 0, sizeof(*ret));
	if (msg.len < MF_DNS_HEAD_LEN)
		return MF_E_BAD;
	flags = mf_load_be16(msg.ptr + 2);
	if (mf_load_be16(msg.ptr) != id || !(flags & FLAG_QR))
		return MF_E_NOT_MINE;
	if (flags & FLAG_OPCODE)
		return MF_E_BAD;
	ret->rcode = flags & 15;
	ret->truncated = flags & FLAG_TC;
	/* Some servers leave the question out when they refuse; then only the id speaks for them. */
	if (mf_load_be16(msg.ptr + 4) == 0 && ret->rcode != MF_DNS_NOERROR &&
	    ret->rcode != MF_DNS_NXDOMAIN) {
		ret->msg = msg;
		ret->pos = pos;
		return 0;
	}
	if (mf_load_be16(msg.ptr + 4) != 1 || !read_name(msg, &pos, &name) || msg.len - pos < 4)
		return MF_E_BAD;
	if (!mf_dns_name_eq(&name, &q->name) || mf_load_be16(msg.ptr + pos) != q->type ||
	    mf_load_be16(msg.ptr + pos + 2) != q->class)
		return MF_E_NOT_MINE;
	ret->msg = msg;
	ret->pos = pos + 4;
	ret->answers_left = mf_load_be16(msg.ptr + 6);
	return 0;
}

static bool read_record(struct mf_span msg, size_t *pos, struct mf_dns_record *r)
{
	size_t at;
	uint16_t len;

	r->target.len = 0;
	memset(&r->addr, 0, sizeof(r->addr));
	if (!read_name(msg, pos, &r->owner) || msg.len - *pos < RR_HEAD)
		return false;
	r->type = mf_load_be16(msg.ptr + *pos);
	r->class = mf_load_be16(msg.ptr + *pos + 2);
	r->ttl_s = mf_load_be32(msg.ptr + *pos + 4);
	len = mf_load_be16(msg.ptr + *pos + 8);
	*pos += RR_HEAD;
	if (msg.len - *pos < len)
		return false;
	at = *pos;
	*pos += len;
	r->data = mf_span_of(msg.ptr + at, len);
	if (r->ttl_s & 0x80000000) /* RFC 2181 §8 */
		r->ttl_s = 0;
	if (r->class != CLASS_IN)
		return true;
	if (r->type == MF_DNS_CNAME)
		return read_name(msg, &at, &r->target) && at == *pos;
	if (r->type == MF_DNS_A)
		return len == 4 && mf_addr_from_bytes(&r->addr, r->data.ptr, 4);
	if (r->type == MF_DNS_AAAA)
		return len == 16 && mf_addr_from_bytes(&r->addr, r->data.ptr, 16);
	return true;
}

int mf_dns_next_record(struct mf_dns_walk *w, struct mf_dns_record *ret)
{
	if (w->answers_left == 0)
		return 0;
	if (!read_record(w->msg, &w->pos, ret))
		return MF_E_BAD;
	w->answers_left--;
	return 1;
}

/* Names inside RDATA that RFC 1035 lets compress: how many, and what stands before them; -1: copy as it is. */
static int rdata_names(uint16_t type, size_t *ret_before)
{
	*ret_before = 0;
	switch (type) {
	case 2:	 /* NS */
	case 5:	 /* CNAME */
	case 12: /* PTR */
	case 39: /* DNAME */
		return 1;
	case 6: /* SOA */
		return 2;
	case 15: /* MX */
		*ret_before = 2;
		return 1;
	case 33: /* SRV */
		*ret_before = 6;
		return 1;
	default:
		return -1;
	}
}

static bool is_hidden_param(uint16_t key)
{
	return key == SVC_IPV4HINT || key == SVC_ECH || key == SVC_IPV6HINT;
}

/* SvcPriority, TargetName (never compressed), SvcParams; false: drop the record. */
static bool put_svcb(struct writer *w, struct mf_span data)
{
	struct mf_dns_name target;
	size_t pos = 2;

	if (data.len < 3 || !read_name(data, &pos, &target))
		return false;
	put(w, data.ptr, pos);
	while (pos < data.len) {
		uint16_t key, len;

		if (data.len - pos < 4)
			return false;
		key = mf_load_be16(data.ptr + pos);
		len = mf_load_be16(data.ptr + pos + 2);
		if (data.len - pos - 4 < len)
			return false;
		if (key == SVC_MANDATORY)
			for (size_t i = 0; i + 1 < len; i += 2)
				if (is_hidden_param(mf_load_be16(data.ptr + pos + 4 + i)))
					return false;
		if (!is_hidden_param(key))
			put(w, data.ptr + pos, 4u + len);
		pos += 4u + len;
	}
	return true;
}

/* Copies RDATA with its names uncompressed; false: malformed. */
static bool put_rdata(struct writer *w, struct mf_span msg, const struct mf_dns_record *r,
		      bool *ret_drop)
{
	size_t at = (size_t)(r->data.ptr - msg.ptr), end = at + r->data.len, before;
	int names = rdata_names(r->type, &before);

	*ret_drop = false;
	if (r->type == MF_DNS_SVCB || r->type == MF_DNS_HTTPS) {
		*ret_drop = !put_svcb(w, r->data);
		return true;
	}
	if (names < 0) {
		put(w, r->data.ptr, r->data.len);
		return true;
	}
	if (r->data.len < before)
		return false;
	put(w, msg.ptr + at, before);
	at += before;
	while (names--) {
		struct mf_dns_name name;

		if (!read_name(msg, &at, &name) || at > end)
			return false;
		put(w, name.wire, name.len);
	}
	put(w, msg.ptr + at, end - at);
	return true;
}

static bool put_record(struct writer *w, struct mf_span msg, const struct mf_dns_query *q,
		       const struct mf_dns_record *r, uint32_t ttl_max_s, unsigned section)
{
	size_t start = w->len, data_at;
	bool drop, ok;

	if (mf_dns_name_eq(&r->owner, &q->name))
		put_u16(w, 0xc000 | MF_DNS_HEAD_LEN);
	else
		put(w, r->owner.wire, r->owner.len);
	put_u16(w, r->type);
	put_u16(w, r->class);
	put_u32(w, r->ttl_s > ttl_max_s ? ttl_max_s : r->ttl_s);
	put_u16(w, 0);
	data_at = w->len;
	ok = put_rdata(w, msg, r, &drop);
	if (drop) {
		w->len = start;
		return true;
	}
	if (!w->failed)
		mf_store_be16(w->buf + data_at - 2, (uint16_t)(w->len - data_at));
	count_record(w, section);
	return ok;
}

int mf_dns_copy_response(struct mf_span msg, const struct mf_dns_query *q, uint32_t ttl_max_s,
			 uint8_t *out, size_t cap, size_t limit)
{
	struct writer w = { .buf = out, .room = cap < limit ? cap : limit };
	struct mf_dns_name name;
	struct mf_dns_record r;
	uint16_t flags, questions;
	size_t pos = MF_DNS_HEAD_LEN, question_len;

	if (msg.len < MF_DNS_HEAD_LEN)
		return MF_E_BAD;
	flags = mf_load_be16(msg.ptr + 2);
	questions = mf_load_be16(msg.ptr + 4);
	if (questions > 1 || (questions && (!read_name(msg, &pos, &name) || msg.len - pos < 4)))
		return MF_E_BAD;
	pos += questions ? 4 : 0;
	flags = (uint16_t)((flags & (FLAG_AD | FLAG_TC)) | answer_flags(q, flags & 15, false));
	put_head(&w, q->id, flags);
	put_question(&w, q);
	question_len = w.len;
	if (w.failed)
		return MF_E_LIMIT;
	for (unsigned section = 1; section <= 2 && !w.failed; section++) {
		uint16_t cnt = mf_load_be16(msg.ptr + 4 + section * 2);

		while (cnt--) {
			if (!read_record(msg, &pos, &r) ||
			    !put_record(&w, msg, q, &r, ttl_max_s, section))
				return MF_E_BAD;
			if (w.failed)
				break;
		}
	}
	if (q->has_edns)
		put_opt(&w, &q->cookie, q->dnssec_ok, 0, MF_DNS_EDE_NONE, NULL);
	if (!w.failed)
		return (int)w.len;
	w = (struct writer){ .buf = out, .len = question_len, .room = cap < limit ? cap : limit };
	mf_store_be16(out + 2, flags | FLAG_TC);
	memset(out + 6, 0, 6);
	put_bare_opt(&w, q, 0);
	return (int)w.len;
}
