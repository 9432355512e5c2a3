/* SPDX-License-Identifier: Apache-2.0 */
/* addr.c - see addr.h */
#include "core/base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

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

int mf_addr_parse(const char *text, size_t len, struct mf_addr *ret)
{
	char buf[MF_ADDR_TEXT_MAX];
	uint8_t bytes[16];

	if (len == 0 || len >= sizeof(buf) || memchr(text, '\0', len))
		return MF_E_SYNTAX;
	memcpy(buf, text, len);
	buf[len] = '\0';
	// inet_pton() takes neither leading zeros nor short forms, which is what we want.
	if (inet_pton(AF_INET, buf, bytes) == 1)
		mf_addr_from_bytes(ret, bytes, 4);
	else if (inet_pton(AF_INET6, buf, bytes) == 1)
		mf_addr_from_bytes(ret, bytes, 16);
	else
		return MF_E_SYNTAX;
	return 0;
}

const char *mf_addr_format(const struct mf_addr *addr, char *buf, size_t size)
{
	int af = addr->family == 4 ? AF_INET : AF_INET6;

	if (!addr->family || !inet_ntop(af, addr->bytes, buf, (socklen_t)size))
		buf[0] = '\0';
	return buf;
}

const char *mf_endpoint_format(const struct mf_endpoint *ep, char *buf, size_t size)
{
	char text[MF_ADDR_TEXT_MAX];

	mf_addr_format(&ep->addr, text, sizeof(text));
	snprintf(buf, size, ep->addr.family == 6 ? "[%s]:%u" : "%s:%u", text, ep->port);
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
	return mf_addr_embedded_v4(addr, &v4) && mf_addr_is_private(&v4);
}

bool mf_endpoint_from_sockaddr(struct mf_endpoint *ret, const struct sockaddr *sa)
{
	struct mf_endpoint ep = { 0 };

	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		mf_addr_from_bytes(&ep.addr, (const uint8_t *)&in.sin_addr, 4);
		ep.port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		mf_addr_from_bytes(&ep.addr, (const uint8_t *)&in6.sin6_addr, 16);
		ep.port = ntohs(in6.sin6_port);
	} else {
		return false;
	}
	*ret = ep;
	return true;
}

size_t mf_endpoint_to_sockaddr(const struct mf_endpoint *ep, bool map_v4,
			       struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(ep->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(ep->port) };

	memset(ret, 0, sizeof(*ret));
	if (ep->addr.family == 4 && !map_v4) {
		memcpy(&in.sin_addr, ep->addr.bytes, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	if (ep->addr.family == 4) {
		memcpy(&in6.sin6_addr, mapped_prefix, 12);
		memcpy((uint8_t *)&in6.sin6_addr + 12, ep->addr.bytes, 4);
	} else if (ep->addr.family == 6) {
		memcpy(&in6.sin6_addr, ep->addr.bytes, 16);
	} else {
		return 0;
	}
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}
