/* SPDX-License-Identifier: Apache-2.0 */
/* dns_age.c - how long an answer may be kept, and an answer that has been kept for a while */
#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/dns_wire_int.h"

enum { SOA_FIXED = 20, RECORDS_MAX = 4096 };

static uint32_t ttl_at(const uint8_t *at)
{
	uint32_t ttl = mf_load_be32(at + 4);

	return ttl & 0x80000000 ? 0 : ttl; /* RFC 2181 8 */
}

static void lower_to(uint32_t *ttl, uint32_t limit)
{
	if (limit < *ttl)
		*ttl = limit;
}

/* RFC 2308 5: the smaller of the SOA's own TTL and its last field. Return: false for an SOA that is cut */
static bool take_soa(struct mf_span msg, size_t at, uint32_t *ttl)
{
	size_t pos = at + MF_DNS_RR_HEAD, end = pos + mf_load_be16(msg.ptr + at + 8);
	struct mf_dns_name name;

	if (!mf_dns_read_name(msg, &pos, &name) || !mf_dns_read_name(msg, &pos, &name) ||
	    pos + SOA_FIXED != end)
		return false;
	lower_to(ttl, ttl_at(msg.ptr + at));
	lower_to(ttl, mf_load_be32(msg.ptr + end - 4));
	return true;
}

static bool skip_question(struct mf_span msg, size_t *pos)
{
	struct mf_dns_name name;

	if (mf_load_be16(msg.ptr + 4) != 1 || !mf_dns_read_name(msg, pos, &name) ||
	    msg.len - *pos < 4)
		return false;
	*pos += 4;
	return true;
}

int mf_dns_lifetime(struct mf_span msg, uint16_t qtype, uint32_t ttl_max_s)
{
	size_t pos = MF_DNS_HEAD_LEN, at;
	uint32_t ttl = ttl_max_s;
	uint16_t flags, type;
	bool positive = false, soa = false;
	unsigned answers, authority;

	if (msg.len < MF_DNS_HEAD_LEN || !skip_question(msg, &pos))
		return MF_E_BAD;
	flags = mf_load_be16(msg.ptr + 2);
	answers = mf_load_be16(msg.ptr + 6);
	authority = mf_load_be16(msg.ptr + 8);
	if (flags & MF_DNS_FLAG_TC || answers + authority > RECORDS_MAX ||
	    ((flags & 15) != MF_DNS_NOERROR && (flags & 15) != MF_DNS_NXDOMAIN))
		return 0;
	while (answers--) {
		/* OPT has its place among the additional records only (RFC 6891 6.1.1): what it says is no TTL */
		if (!mf_dns_skip_record(msg, &pos, &type, &at) || type == MF_DNS_OPT)
			return MF_E_BAD;
		lower_to(&ttl, ttl_at(msg.ptr + at));
		positive |= type == qtype || qtype == MF_DNS_ANY;
	}
	if (positive)
		return (int)ttl;
	while (authority--) {
		if (!mf_dns_skip_record(msg, &pos, &type, &at))
			return MF_E_BAD;
		if (type == MF_DNS_SOA) {
			if (!take_soa(msg, at, &ttl))
				return MF_E_BAD;
			soa = true;
		}
	}
	/* "no such record" of a server that does not say for how long is not kept (RFC 2308 5) */
	return soa ? (int)ttl : 0;
}

int mf_dns_set_age(uint8_t *msg, size_t len, uint32_t age_s, uint32_t ttl_min_s)
{
	struct mf_span span = mf_span_of(msg, len);
	size_t pos = MF_DNS_HEAD_LEN, at;
	uint16_t type;

	if (len < MF_DNS_HEAD_LEN || !skip_question(span, &pos))
		return MF_E_BAD;
	for (unsigned section = 1; section <= 3; section++) {
		unsigned records = mf_load_be16(msg + 4 + section * 2);

		while (records--) {
			uint32_t ttl;

			if (!mf_dns_skip_record(span, &pos, &type, &at))
				return MF_E_BAD;
			if (type == MF_DNS_OPT)
				continue;
			ttl = ttl_at(msg + at);
			/* what a negative answer's SOA says must not begin anew with each who is told */
			if (section == 2 && type == MF_DNS_SOA && !take_soa(span, at, &ttl))
				return MF_E_BAD;
			ttl = ttl > age_s ? ttl - age_s : 0;
			mf_store_be32(msg + at + 4, ttl < ttl_min_s ? ttl_min_s : ttl);
		}
	}
	return 0;
}
