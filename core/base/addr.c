/* SPDX-License-Identifier: Apache-2.0 */
/* addr.c - see addr.h */
#include "core/base/addr.h"
#include "core/base/hex.h"

#include "core/base/bytes.h"
#include "core/base/err.h"

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool mf_addr_from_bytes(struct mf_addr *ret, const uint8_t *bytes, size_t len)
{
	struct mf_addr a = { 0 };

	if (len == 16 && memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		bytes += 12;
		len = 4;
	}
	if (len != 4 && len != 16)
		return false;
	a.family = len == 4 ? 4 : 6;
	memcpy(a.bytes, bytes, len);
	*ret = a;
	return true;
}

/* A decimal number from 0 to 255 without leading zeros; Return: where it ends, NULL if there is none */
static const char *parse_octet(const char *p, const char *end, uint8_t *ret)
{
	unsigned v = 0;
	const char *begin = p;

	for (; p < end && *p >= '0' && *p <= '9' && p - begin < 4; p++)
		v = v * 10 + (unsigned)(*p - '0');
	if (p == begin || v > 255 || (*begin == '0' && p - begin > 1))
		return NULL;
	*ret = (uint8_t)v;
	return p;
}

/* A dotted quad that fills all of the text. */
static bool parse_v4(const char *p, const char *end, uint8_t bytes[4])
{
	for (int i = 0; i < 4; i++) {
		if (i && (p == end || *p++ != '.'))
			return false;
		p = parse_octet(p, end, &bytes[i]);
		if (!p)
			return false;
	}
	return p == end;
}

/* One to four hexadecimal digits; Return: how many were read, 0 if there are none or too many */
static unsigned parse_group(const char *p, const char *end, uint8_t bytes[2])
{
	unsigned v = 0, n = 0;

	for (; p + n < end && mf_hex_digit(p[n]) >= 0; n++) {
		if (n == 4)
			return 0;
		v = v << 4 | (unsigned)mf_hex_digit(p[n]);
	}
	bytes[0] = (uint8_t)(v >> 8);
	bytes[1] = (uint8_t)v;
	return n;
}

/* Move what stands behind "::" at @gap to the end; it must stand for one group of zeros at least. */
static bool close_gap(uint8_t bytes[16], int len, int gap)
{
	if (gap < 0)
		return len == 16;
	if (len >= 16)
		return false;
	memmove(bytes + 16 - (len - gap), bytes + gap, (size_t)(len - gap));
	memset(bytes + gap, 0, (size_t)(16 - len));
	return true;
}

/* RFC 4291 2.2: groups, "::" once, and a dotted quad in place of the last two groups. */
static bool parse_v6(const char *p, const char *end, uint8_t bytes[16])
{
	int len = 0, gap = -1;

	if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
		gap = 0;
		p += 2;
	}
	while (p < end) {
		unsigned n;

		if (len <= 12 && parse_v4(p, end, bytes + len))
			return close_gap(bytes, len + 4, gap);
		if (len == 16)
			return false;
		n = parse_group(p, end, bytes + len);
		if (!n)
			return false;
		len += 2;
		p += n;
		if (p == end)
			break;
		if (*p++ != ':' || p == end)
			return false;
		if (*p != ':')
			continue;
		if (gap >= 0)
			return false;
		gap = len;
		p++;
	}
	return close_gap(bytes, len, gap);
}

int mf_addr_parse(const char *text, size_t len, struct mf_addr *ret)
{
	const char *end = text + len;
	uint8_t bytes[16] = { 0 };

	if (len == 0 || len >= MF_ADDR_TEXT_MAX)
		return MF_E_SYNTAX;
	if (parse_v4(text, end, bytes))
		mf_addr_from_bytes(ret, bytes, 4);
	else if (parse_v6(text, end, bytes))
		mf_addr_from_bytes(ret, bytes, 16);
	else
		return MF_E_SYNTAX;
	return 0;
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952 4.2); Return: its length in groups */
static int longest_zeros(const uint8_t *bytes, int *ret_at)
{
	int best = 0;

	for (int i = 0, run = 0; i < 8; i++) {
		run = bytes[2 * i] || bytes[2 * i + 1] ? 0 : run + 1;
		if (run > best) {
			best = run;
			*ret_at = i - run + 1;
		}
	}
	return best >= 2 ? best : 0;
}

// Addresses are written for every event and every question: without printf(), which would be most of that.

static char *put_decimal(char *to, unsigned v)
{
	char digits[10];
	unsigned n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (n)
		*to++ = digits[--n];
	return to;
}

static char *put_v4(char *to, const uint8_t *bytes)
{
	for (unsigned i = 0; i < 4; i++) {
		if (i)
			*to++ = '.';
		to = put_decimal(to, bytes[i]);
	}
	return to;
}

// A group without its leading zeros
static char *put_group(char *to, unsigned v)
{
	int shift = 12;

	while (shift && !(v >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[v >> shift & 15];
	return to;
}

static char *put_v6(char *to, const uint8_t *bytes)
{
	int at = 0, zeros = longest_zeros(bytes, &at), groups = 8;
	// IPv4-mapped and IPv4-compatible addresses end in a dotted quad (RFC 5952 5).
	bool quad = at == 0 && (zeros == 6 || (zeros == 5 && mf_load_be16(bytes + 10) == 0xffff));

	if (quad)
		groups = 6;
	for (int i = 0; i < groups; i++) {
		if (zeros && i == at) {
			*to++ = ':';
			*to++ = ':';
			i += zeros - 1;
			continue;
		}
		if (i && to[-1] != ':')
			*to++ = ':';
		to = put_group(to, mf_load_be16(bytes + 2 * i));
	}
	if (!quad)
		return to;
	if (to[-1] != ':')
		*to++ = ':';
	return put_v4(to, bytes + 12);
}

// Return: the end of the text, which has no NUL yet
static char *put_addr(char *to, const struct mf_addr *addr)
{
	return addr->family == 4 ? put_v4(to, addr->bytes)
	       : addr->family	 ? put_v6(to, addr->bytes)
				 : to;
}

const char *mf_addr_format(const struct mf_addr *addr, char *buf, size_t size)
{
	char text[MF_ADDR_TEXT_MAX];
	size_t len = (size_t)(put_addr(text, addr) - text);

	// A text that was cut short would be another address.
	if (size && len >= size) {
		buf[0] = '\0';
	} else if (size) {
		memcpy(buf, text, len);
		buf[len] = '\0';
	}
	return buf;
}

const char *mf_endpoint_format(const struct mf_endpoint *ep, char *buf, size_t size)
{
	char text[MF_ENDPOINT_TEXT_MAX], *to = text;
	size_t len;

	if (ep->addr.family == 6)
		*to++ = '[';
	to = put_addr(to, &ep->addr);
	if (ep->addr.family == 6)
		*to++ = ']';
	*to++ = ':';
	to = put_decimal(to, ep->port);
	len = (size_t)(to - text);
	if (size) {
		len = len < size ? len : size - 1;
		memcpy(buf, text, len);
		buf[len] = '\0';
	}
	return buf;
}

static int parse_port(const char *text, size_t len, uint16_t *ret)
{
	unsigned v = 0;

	if (len == 0 || len > 5 || (len > 1 && text[0] == '0'))
		return MF_E_SYNTAX;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return MF_E_SYNTAX;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	if (v > 65535)
		return MF_E_SYNTAX;
	*ret = (uint16_t)v;
	return 0;
}

int mf_hostport_parse(const char *text, size_t len, const char **ret_host, size_t *ret_host_len,
		      uint16_t *ret_port)
{
	const char *end = text + len, *host = text, *colon;
	size_t host_len;
	uint16_t port;

	if (len && text[0] == '[') {
		const char *close = memchr(text, ']', len);

		if (!close || close + 1 == end || close[1] != ':')
			return MF_E_SYNTAX;
		host = text + 1;
		host_len = (size_t)(close - host);
		colon = close + 1;
	} else {
		colon = memchr(text, ':', len);
		if (!colon || memchr(colon + 1, ':', (size_t)(end - colon - 1)))
			return MF_E_SYNTAX;
		host_len = (size_t)(colon - host);
	}
	if (!host_len || parse_port(colon + 1, (size_t)(end - colon - 1), &port))
		return MF_E_SYNTAX;
	*ret_host = host;
	*ret_host_len = host_len;
	*ret_port = port;
	return 0;
}

struct prefix {
	uint8_t bytes[16];
	uint8_t bits;
};

static bool in_prefix(const uint8_t *addr, const struct prefix *p)
{
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (memcmp(addr, p->bytes, whole) != 0)
		return false;
	return !rest || ((addr[whole] ^ p->bytes[whole]) >> (8 - rest)) == 0;
}

static bool in_any(const uint8_t *addr, const struct prefix *table, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (in_prefix(addr, &table[i]))
			return true;
	return false;
}

/* IANA IPv4 Special-Purpose Address Registry: what is not globally reachable, and multicast. */
static const struct prefix special_v4[] = {
	{ { 0 }, 8 },
	{ { 10 }, 8 },
	{ { 100, 64 }, 10 },
	{ { 127 }, 8 },
	{ { 169, 254 }, 16 },
	{ { 172, 16 }, 12 },
	{ { 192, 0, 0 }, 24 },
	{ { 192, 0, 2 }, 24 },
	{ { 192, 88, 99 }, 24 },
	{ { 192, 168 }, 16 },
	{ { 198, 18 }, 15 },
	{ { 198, 51, 100 }, 24 },
	{ { 203, 0, 113 }, 24 },
	{ { 224 }, 4 },
	{ { 240 }, 4 },
};

/* IANA IPv6 Special-Purpose Address Registry; embedded IPv4 forms are looked into separately. */
static const struct prefix special_v6[] = {
	{ { 0 }, 96 },					/* ::, ::1, IPv4-compatible */
	{ { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48 }, /* local-use NAT64 */
	{ { 0x01 }, 64 },				/* discard only */
	{ { 0x20, 0x01, 0x00 }, 23 },	    /* protocol assignments, Teredo among them */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x3f, 0xff }, 20 },		    /* documentation */
	{ { 0x5f }, 16 },		    /* segment routing */
	{ { 0xfc }, 7 },		    /* unique local */
	{ { 0xfe, 0x80 }, 10 },		    /* link-local */
	{ { 0xfe, 0xc0 }, 10 },		    /* site-local, deprecated */
	{ { 0xff }, 8 },		    /* multicast */
};

bool mf_addr_is_loopback(const struct mf_addr *addr)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (addr->family == 4)
		return addr->bytes[0] == 127;
	return addr->family == 6 && memcmp(addr->bytes, one, 16) == 0;
}

bool mf_addr_is_multicast(const struct mf_addr *addr)
{
	if (addr->family == 4)
		return (addr->bytes[0] & 0xf0) == 0xe0;
	return addr->family == 6 && addr->bytes[0] == 0xff;
}

bool mf_addr_embedded_v4(const struct mf_addr *addr, struct mf_addr *ret)
{
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t compat[12] = { 0 };

	if (addr->family != 6)
		return false;
	if (memcmp(addr->bytes, nat64, 12) == 0)
		return mf_addr_from_bytes(ret, addr->bytes + 12, 4);
	if (addr->bytes[0] == 0x20 && addr->bytes[1] == 0x02)
		return mf_addr_from_bytes(ret, addr->bytes + 2, 4);
	if (memcmp(addr->bytes, compat, 12) == 0 && mf_load_be32(addr->bytes + 12) > 1)
		return mf_addr_from_bytes(ret, addr->bytes + 12, 4);
	return false;
}

bool mf_addr_is_private(const struct mf_addr *addr)
{
	struct mf_addr v4;

	if (addr->family == 4)
		return in_any(addr->bytes, special_v4, MF_ARRAY_SIZE(special_v4));
	if (addr->family != 6)
		return true;
	if (in_any(addr->bytes, special_v6, MF_ARRAY_SIZE(special_v6)))
		return true;
	// IANA has given out global unicast within 2000::/3 alone; NAT64 is the one translation outside of it.
	if (addr->bytes[0] >> 5 != 1 && mf_load_be32(addr->bytes) != 0x0064ff9b)
		return true;
	return mf_addr_embedded_v4(addr, &v4) && mf_addr_is_private(&v4);
}
