/* SPDX-License-Identifier: Apache-2.0 */
/* dns_wire.c - DNS messages as bytes: reading questions and answers */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/dns_wire_int.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool mf_dns_read_name(struct mf_span msg, size_t *pos, struct mf_dns_name *ret)
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

bool mf_dns_skip_record(struct mf_span msg, size_t *pos, uint16_t *ret_type, size_t *ret_at)
{
	struct mf_dns_name name;

	if (!mf_dns_read_name(msg, pos, &name) || msg.len - *pos < MF_DNS_RR_HEAD)
		return false;
	*ret_type = mf_load_be16(msg.ptr + *pos);
	*ret_at = *pos;
	*pos += MF_DNS_RR_HEAD + mf_load_be16(msg.ptr + *pos + 8);
	return *pos <= msg.len;
}

/* The options of an OPT record whose type stands at @at; a cookie is the only one that means anything to us. */
static bool read_options(struct mf_span msg, size_t at, struct mf_dns_cookie *cookie)
{
	size_t pos = at + MF_DNS_RR_HEAD, end = pos + mf_load_be16(msg.ptr + at + 8);

	while (pos < end) {
		uint16_t code, len;

		if (end - pos < 4)
			return false;
		code = mf_load_be16(msg.ptr + pos);
		len = mf_load_be16(msg.ptr + pos + 2);
		pos += 4;
		if (end - pos < len)
			return false;
		if (code == MF_DNS_OPTION_COOKIE && cookie->len == 0) { /* the first counts */
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

		if (!mf_dns_skip_record(msg, &pos, &type, &at))
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
		if (!mf_dns_read_name(msg, &pos, &name) || msg.len - pos < 4)
			return MF_E_BAD;
	records = mf_load_be16(msg.ptr + 6) + mf_load_be16(msg.ptr + 8);
	while (records--)
		if (!mf_dns_skip_record(msg, &pos, &type, &at))
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
	if (flags & MF_DNS_FLAG_QR)
		return MF_E_BAD;
	q->recursion = flags & MF_DNS_FLAG_RD;
	q->checking_disabled = flags & MF_DNS_FLAG_CD;
	q->authentic_data = flags & MF_DNS_FLAG_AD;
	if (flags & MF_DNS_FLAG_OPCODE || mf_load_be16(msg.ptr + 4) != 1)
		return MF_E_UNSUPPORTED;
	if (!mf_dns_read_name(msg, &pos, &q->name) || msg.len - pos < 4) {
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

static const struct {
	uint16_t type;
	char name[12];
} type_names[] = {
	{ 1, "A" },	 { 2, "NS" },	       { 5, "CNAME" },	{ 6, "SOA" },	  { 10, "NULL" },
	{ 12, "PTR" },	 { 13, "HINFO" },      { 15, "MX" },	{ 16, "TXT" },	  { 28, "AAAA" },
	{ 33, "SRV" },	 { 35, "NAPTR" },      { 39, "DNAME" }, { 41, "OPT" },	  { 43, "DS" },
	{ 44, "SSHFP" }, { 46, "RRSIG" },      { 47, "NSEC" },	{ 48, "DNSKEY" }, { 50, "NSEC3" },
	{ 52, "TLSA" },	 { 61, "OPENPGPKEY" }, { 64, "SVCB" },	{ 65, "HTTPS" },  { 99, "SPF" },
	{ 251, "IXFR" }, { 252, "AXFR" },      { 255, "ANY" },	{ 256, "URI" },	  { 257, "CAA" },
};

/* What printf() takes a tenth of a microsecond for. */
static const char *copy_text(char *buf, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		len = size - 1;
	memcpy(buf, text, len);
	buf[len] = '\0';
	return buf;
}

const char *mf_dns_type_format(uint16_t type, char *buf, size_t size)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(type_names); i++)
		if (type_names[i].type == type)
			return copy_text(buf, size, type_names[i].name);
	snprintf(buf, size, "TYPE%u", type);
	return buf;
}

int mf_dns_type_parse(const char *text)
{
	unsigned long number;
	char *end;

	for (size_t i = 0; i < MF_ARRAY_SIZE(type_names); i++)
		if (strcasecmp(type_names[i].name, text) == 0)
			return type_names[i].type;
	if (strncasecmp(text, "TYPE", 4) == 0)
		text += 4;
	/* strtoul() would take blanks and signs */
	if (text[0] < '0' || text[0] > '9' || strlen(text) > 5)
		return MF_E_SYNTAX;
	number = strtoul(text, &end, 10);
	return *end || number > UINT16_MAX ? MF_E_SYNTAX : (int)number;
}

const char *mf_dns_class_format(uint16_t class, char *buf, size_t size)
{
	const char *name = class == 1	  ? "IN"
			   : class == 3	  ? "CH"
			   : class == 4	  ? "HS"
			   : class == 255 ? "ANY"
					  : NULL;

	if (name)
		return copy_text(buf, size, name);
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
	if (mf_load_be16(msg.ptr) != id || !(flags & MF_DNS_FLAG_QR))
		return MF_E_NOT_MINE;
	if (flags & MF_DNS_FLAG_OPCODE)
		return MF_E_BAD;
	ret->rcode = flags & 15;
	ret->truncated = flags & MF_DNS_FLAG_TC;
	/* Some servers leave the question out when they refuse; then only the id speaks for them. */
	if (mf_load_be16(msg.ptr + 4) == 0 && ret->rcode != MF_DNS_NOERROR &&
	    ret->rcode != MF_DNS_NXDOMAIN) {
		ret->msg = msg;
		ret->pos = pos;
		return 0;
	}
	if (mf_load_be16(msg.ptr + 4) != 1 || !mf_dns_read_name(msg, &pos, &name) ||
	    msg.len - pos < 4)
		return MF_E_BAD;
	if (!mf_dns_name_eq(&name, &q->name) || mf_load_be16(msg.ptr + pos) != q->type ||
	    mf_load_be16(msg.ptr + pos + 2) != q->class)
		return MF_E_NOT_MINE;
	ret->msg = msg;
	ret->pos = pos + 4;
	ret->answers_left = mf_load_be16(msg.ptr + 6);
	return 0;
}

bool mf_dns_read_record(struct mf_span msg, size_t *pos, struct mf_dns_record *r)
{
	size_t at;
	uint16_t len;

	r->target.len = 0;
	memset(&r->addr, 0, sizeof(r->addr));
	if (!mf_dns_read_name(msg, pos, &r->owner) || msg.len - *pos < MF_DNS_RR_HEAD)
		return false;
	r->type = mf_load_be16(msg.ptr + *pos);
	r->class = mf_load_be16(msg.ptr + *pos + 2);
	r->ttl_s = mf_load_be32(msg.ptr + *pos + 4);
	len = mf_load_be16(msg.ptr + *pos + 8);
	*pos += MF_DNS_RR_HEAD;
	if (msg.len - *pos < len)
		return false;
	at = *pos;
	*pos += len;
	r->data = mf_span_of(msg.ptr + at, len);
	if (r->ttl_s & 0x80000000) /* RFC 2181 §8 */
		r->ttl_s = 0;
	if (r->class != MF_DNS_CLASS_IN)
		return true;
	if (r->type == MF_DNS_CNAME)
		return mf_dns_read_name(msg, &at, &r->target) && at == *pos;
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
	if (!mf_dns_read_record(w->msg, &w->pos, ret))
		return MF_E_BAD;
	w->answers_left--;
	return 1;
}
