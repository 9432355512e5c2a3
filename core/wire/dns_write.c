/* SPDX-License-Identifier: Apache-2.0 */
/* dns_write.c - DNS messages as bytes: questions and answers of ours, and what is passed on of others' */
#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/dns_wire_int.h"

enum {
	OPT_LEN = 11,
	EDE_TEXT_MAX = 200,
	NEGATIVE_TTL_S = 60,
	SVC_MANDATORY = 0,
	SVC_IPV4HINT = 4,
	SVC_ECH = 5,
	SVC_IPV6HINT = 6,
};

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
	if (len)
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
		put_u16(w, MF_DNS_OPTION_COOKIE);
		put_u16(w, cookie->len);
		put(w, cookie->bytes, cookie->len);
	}
	if (ede != MF_DNS_EDE_NONE) {
		put_u16(w, MF_DNS_OPTION_EDE);
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
	return (uint16_t)(MF_DNS_FLAG_QR | MF_DNS_FLAG_RA | (authoritative ? MF_DNS_FLAG_AA : 0) |
			  (q->recursion ? MF_DNS_FLAG_RD : 0) |
			  (q->checking_disabled ? MF_DNS_FLAG_CD : 0) | rcode);
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
	mf_store_be16(out + 2, flags | MF_DNS_FLAG_TC);
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
		 (uint16_t)(MF_DNS_FLAG_RD | (q->checking_disabled ? MF_DNS_FLAG_CD : 0) |
			    (q->authentic_data ? MF_DNS_FLAG_AD : 0)));
	put_question(&w, q);
	put_opt(&w, cookie ? cookie : &none, q->dnssec_ok, 0, MF_DNS_EDE_NONE, NULL);
	return w.failed ? MF_E_LIMIT : (int)w.len;
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

	if (data.len < 3 || !mf_dns_read_name(data, &pos, &target))
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

		if (!mf_dns_read_name(msg, &at, &name) || at > end)
			return false;
		put(w, name.wire, name.len);
	}
	put(w, msg.ptr + at, end - at);
	return true;
}

static bool put_record(struct writer *w, struct mf_span msg, const struct mf_dns_query *q,
		       const struct mf_dns_record *r, const struct mf_dns_copy *how,
		       unsigned section)
{
	size_t start = w->len, data_at;
	bool drop, ok;

	if (r->addr.family && how->drops && how->drops(how->drops_ctx, &r->addr))
		return true;
	if (mf_dns_name_eq(&r->owner, &q->name))
		put_u16(w, 0xc000 | MF_DNS_HEAD_LEN);
	else
		put(w, r->owner.wire, r->owner.len);
	put_u16(w, r->type);
	put_u16(w, r->class);
	put_u32(w, r->ttl_s > how->ttl_max_s ? how->ttl_max_s : r->ttl_s);
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

int mf_dns_copy_response(struct mf_span msg, const struct mf_dns_query *q,
			 const struct mf_dns_copy *how, uint8_t *out, size_t cap, size_t limit)
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
	if (questions > 1 ||
	    (questions && (!mf_dns_read_name(msg, &pos, &name) || msg.len - pos < 4)))
		return MF_E_BAD;
	pos += questions ? 4 : 0;
	flags = (uint16_t)((flags & (MF_DNS_FLAG_AD | MF_DNS_FLAG_TC)) |
			   answer_flags(q, flags & 15, false));
	put_head(&w, q->id, flags);
	put_question(&w, q);
	question_len = w.len;
	if (w.failed)
		return MF_E_LIMIT;
	for (unsigned section = 1; section <= 2 && !w.failed; section++) {
		uint16_t cnt = mf_load_be16(msg.ptr + 4 + section * 2);

		while (cnt--) {
			if (!mf_dns_read_record(msg, &pos, &r) ||
			    !put_record(&w, msg, q, &r, how, section))
				return MF_E_BAD;
			if (w.failed)
				break;
		}
	}
	if (q->has_edns)
		put_opt(&w, &q->cookie, q->dnssec_ok, 0, how->ede, how->ede_text);
	if (!w.failed)
		return (int)w.len;
	w = (struct writer){ .buf = out, .len = question_len, .room = cap < limit ? cap : limit };
	mf_store_be16(out + 2, flags | MF_DNS_FLAG_TC);
	memset(out + 6, 0, 6);
	put_bare_opt(&w, q, 0);
	return (int)w.len;
}
