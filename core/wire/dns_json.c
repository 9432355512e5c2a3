/* SPDX-License-Identifier: Apache-2.0 */
/* dns_json.c - see dns_json.h */
#include "core/wire/dns_json.h"

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/dns_wire_int.h"

enum { RECORDS_MAX = 1024 };

/* --- base64url ------------------------------------------------------------------------------------------------------ */

static int sextet(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int mf_base64url_decode(struct mf_span text, uint8_t *out, size_t size)
{
	size_t len = 0;
	uint32_t bits = 0;
	unsigned held = 0;

	if (text.len % 4 == 1)
		return MF_E_SYNTAX;
	if (text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0) > size)
		return MF_E_LIMIT;
	for (size_t i = 0; i < text.len; i++) {
		int six = sextet(text.ptr[i]);

		if (six < 0)
			return MF_E_SYNTAX;
		bits = bits << 6 | (uint32_t)six;
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[len++] = (uint8_t)(bits >> held);
		}
	}
	return bits & ((1u << held) - 1) ? MF_E_SYNTAX : (int)len;
}

/* --- text inside JSON strings --------------------------------------------------------------------------------------- */

/* A byte of a name or a quoted text, as a zone file has it, inside a JSON string: backslashes are doubled. */
static void add_byte(struct mf_strbuf *b, uint8_t c, const char *special)
{
	if (c < ' ' || c >= 0x7f)
		mf_strbuf_addf(b, "\\\\%03u", c);
	else if (c == '"')
		mf_strbuf_adds(b, *special == '"' ? "\\\\\\\"" : "\\\"");
	else if (c == '\\')
		mf_strbuf_adds(b, "\\\\\\\\");
	else if (strchr(special, c))
		mf_strbuf_addf(b, "\\\\%c", c);
	else
		mf_strbuf_addc(b, (char)c);
}

static void add_name(struct mf_strbuf *b, const struct mf_dns_name *n)
{
	if (n->len <= 1) {
		mf_strbuf_addc(b, '.');
		return;
	}
	for (unsigned at = 0; at < n->len && n->wire[at]; at += 1u + n->wire[at]) {
		for (unsigned i = 1; i <= n->wire[at]; i++)
			add_byte(b, n->wire[at + i], n->wire[at + i] == ' ' ? " " : ".;@$()");
		mf_strbuf_addc(b, '.');
	}
}

/* <character-string>s: "a" "b" */
static bool add_texts(struct mf_strbuf *b, struct mf_span data)
{
	for (size_t at = 0; at < data.len; at += 1u + data.ptr[at]) {
		if (data.len - at - 1 < data.ptr[at])
			return false;
		mf_strbuf_adds(b, at ? " \\\"" : "\\\"");
		for (unsigned i = 1; i <= data.ptr[at]; i++)
			add_byte(b, data.ptr[at + i], "\"");
		mf_strbuf_adds(b, "\\\"");
	}
	return true;
}

/* --- data of records ------------------------------------------------------------------------------------------------ */

/* The name at @at of the record's data; it may point back into the message, but ends inside the data. */
static bool add_data_name(struct mf_strbuf *b, struct mf_span msg, const struct mf_dns_record *r,
			  size_t *at)
{
	size_t start = (size_t)(r->data.ptr - msg.ptr), pos = start + *at;
	struct mf_dns_name name;

	if (!mf_dns_read_name(msg, &pos, &name) || pos > start + r->data.len)
		return false;
	*at = pos - start;
	add_name(b, &name);
	return true;
}

static bool add_soa(struct mf_strbuf *b, struct mf_span msg, const struct mf_dns_record *r)
{
	size_t at = 0;

	if (!add_data_name(b, msg, r, &at))
		return false;
	mf_strbuf_addc(b, ' ');
	if (!add_data_name(b, msg, r, &at) || r->data.len - at != 20)
		return false;
	for (unsigned i = 0; i < 5; i++)
		mf_strbuf_addf(b, " %u", mf_load_be32(r->data.ptr + at + 4 * i));
	return true;
}

/* Numbers of 16 bits, then a name. */
static bool add_numbers_name(struct mf_strbuf *b, struct mf_span msg, const struct mf_dns_record *r,
			     unsigned numbers)
{
	size_t at = 2u * numbers;

	if (r->data.len < at)
		return false;
	for (unsigned i = 0; i < numbers; i++)
		mf_strbuf_addf(b, "%u ", mf_load_be16(r->data.ptr + 2u * i));
	return add_data_name(b, msg, r, &at) && at == r->data.len;
}

static bool add_caa(struct mf_strbuf *b, struct mf_span data)
{
	unsigned tag_len = data.len >= 2 ? data.ptr[1] : 0;

	if (tag_len == 0 || data.len < 2u + tag_len)
		return false;
	mf_strbuf_addf(b, "%u ", data.ptr[0]);
	for (unsigned i = 0; i < tag_len; i++)
		add_byte(b, data.ptr[2 + i], "\"");
	mf_strbuf_adds(b, " \\\"");
	for (size_t i = 2u + tag_len; i < data.len; i++)
		add_byte(b, data.ptr[i], "\"");
	mf_strbuf_adds(b, "\\\"");
	return true;
}

/* RFC 3597 */
static void add_unknown(struct mf_strbuf *b, struct mf_span data)
{
	mf_strbuf_addf(b, "\\\\# %zu%s", data.len, data.len ? " " : "");
	for (size_t i = 0; i < data.len; i++)
		mf_strbuf_addf(b, "%02x", data.ptr[i]);
}

static bool add_data(struct mf_strbuf *b, struct mf_span msg, const struct mf_dns_record *r)
{
	char text[MF_ADDR_TEXT_MAX];

	if (r->addr.family) {
		mf_strbuf_adds(b, mf_addr_format(&r->addr, text, sizeof(text)));
		return true;
	}
	switch (r->type) {
	case 2:	 /* NS */
	case 5:	 /* CNAME */
	case 12: /* PTR */
	case 39: /* DNAME */
		return add_numbers_name(b, msg, r, 0);
	case 6:
		return add_soa(b, msg, r);
	case 15: /* MX */
		return add_numbers_name(b, msg, r, 1);
	case 16: /* TXT */
	case 99: /* SPF */
		return add_texts(b, r->data);
	case 33: /* SRV */
		return add_numbers_name(b, msg, r, 3);
	case 257:
		return add_caa(b, r->data);
	default:
		add_unknown(b, r->data);
		return true;
	}
}

/* --- messages ------------------------------------------------------------------------------------------------------- */

static bool add_section(struct mf_strbuf *b, struct mf_span msg, size_t *pos, unsigned cnt,
			const char *title)
{
	struct mf_dns_record r;

	if (cnt == 0)
		return true;
	mf_strbuf_addf(b, ",\"%s\":[", title);
	for (unsigned i = 0; i < cnt; i++) {
		if (!mf_dns_read_record(msg, pos, &r))
			return false;
		mf_strbuf_adds(b, i ? ",{\"name\":\"" : "{\"name\":\"");
		add_name(b, &r.owner);
		mf_strbuf_addf(b, "\",\"type\":%u,\"TTL\":%u,\"data\":\"", r.type, r.ttl_s);
		if (!add_data(b, msg, &r))
			return false;
		mf_strbuf_adds(b, "\"}");
	}
	mf_strbuf_addc(b, ']');
	return true;
}

/* The reason in words of an Extended DNS Error (RFC 8914), if the message's OPT has one. */
static bool add_comment(struct mf_strbuf *b, struct mf_span msg, size_t pos, unsigned cnt)
{
	uint16_t type;
	size_t at, end;

	while (cnt--) {
		if (!mf_dns_skip_record(msg, &pos, &type, &at))
			return false;
		if (type != MF_DNS_OPT)
			continue;
		end = pos;
		at += MF_DNS_RR_HEAD;
		while (end - at >= 4) {
			uint16_t code = mf_load_be16(msg.ptr + at);
			size_t len = mf_load_be16(msg.ptr + at + 2);

			at += 4;
			if (len > end - at)
				return false;
			if (code == MF_DNS_OPTION_EDE && len > 2) {
				mf_strbuf_adds(b, ",\"Comment\":\"");
				for (size_t i = 2; i < len; i++) {
					uint8_t c = msg.ptr[at + i];

					/* UTF-8 or not, nobody promises: what is not ASCII is a question mark */
					if (c >= 0x80 || c < ' ' || c == 0x7f)
						c = '?';
					if (c == '"' || c == '\\')
						mf_strbuf_addc(b, '\\');
					mf_strbuf_addc(b, (char)c);
				}
				mf_strbuf_addc(b, '"');
				return true;
			}
			at += len;
		}
	}
	return true;
}

static const char *truth(bool b)
{
	return b ? "true" : "false";
}

int mf_dns_write_json(struct mf_span msg, bool client_subnet, struct mf_strbuf *b)
{
	size_t pos = MF_DNS_HEAD_LEN;
	struct mf_dns_opt opt;
	uint16_t flags, cnt[4];
	struct mf_dns_name name;

	if (msg.len < MF_DNS_HEAD_LEN || mf_dns_read_opt(msg, &opt) < 0)
		return MF_E_BAD;
	flags = mf_load_be16(msg.ptr + 2);
	for (unsigned i = 0; i < 4; i++) {
		cnt[i] = mf_load_be16(msg.ptr + 4 + 2 * i);
		if (cnt[i] > RECORDS_MAX)
			return MF_E_BAD;
	}
	mf_strbuf_addf(
		b,
		"{\"Status\":%u,\"TC\":%s,\"RD\":%s,\"RA\":%s,\"AD\":%s,\"CD\":%s,\"Question\":[",
		(unsigned)opt.rcode_high << 4 | (flags & 15), truth(flags & MF_DNS_FLAG_TC),
		truth(flags & MF_DNS_FLAG_RD), truth(flags & MF_DNS_FLAG_RA),
		truth(flags & MF_DNS_FLAG_AD), truth(flags & MF_DNS_FLAG_CD));
	for (unsigned i = 0; i < cnt[0]; i++) {
		if (!mf_dns_read_name(msg, &pos, &name) || msg.len - pos < 4)
			return MF_E_BAD;
		mf_strbuf_adds(b, i ? ",{\"name\":\"" : "{\"name\":\"");
		add_name(b, &name);
		mf_strbuf_addf(b, "\",\"type\":%u}", mf_load_be16(msg.ptr + pos));
		pos += 4;
	}
	mf_strbuf_addc(b, ']');
	if (!add_section(b, msg, &pos, cnt[1], "Answer") ||
	    !add_section(b, msg, &pos, cnt[2], "Authority") || !add_comment(b, msg, pos, cnt[3]))
		return MF_E_BAD;
	if (client_subnet)
		mf_strbuf_adds(b, ",\"edns_client_subnet\":\"0.0.0.0/0\"");
	mf_strbuf_addc(b, '}');
	return b->failed ? MF_E_LIMIT : 0;
}
