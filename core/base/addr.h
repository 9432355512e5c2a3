/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.h - IP addresses and endpoints, canonical: an IPv4-mapped IPv6 address is its IPv4 address
 */
#ifndef MF_BASE_ADDR_H
#define MF_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 20 bytes, no padding that is not zero: may be compared with memcmp() and hashed as bytes. */
struct mf_addr {
	uint8_t family; /* 4, 6, or 0 for none */
	uint8_t zero[3];
	uint8_t bytes[16]; /* network order; family 4 uses the first 4, the rest is zero */
};

/* An address with a port. 24 bytes, zero-padded. */
struct mf_endpoint {
	struct mf_addr addr;
	uint16_t port; /* host order */
	uint16_t zero;
};

#define MF_ADDR_TEXT_MAX     46 /* "ffff:...:255.255.255.255" and its NUL */
#define MF_ENDPOINT_TEXT_MAX 56 /* "[addr]:65535" and its NUL */

static inline bool mf_addr_eq(const struct mf_addr *a, const struct mf_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/** mf_addr_from_bytes() - @len 4 or 16, network order; a mapped address becomes IPv4; Return: false for another length */
bool mf_addr_from_bytes(struct mf_addr *ret, const uint8_t *bytes, size_t len);

/**
 * mf_addr_parse() - Read dotted-quad IPv4 or RFC 4291 IPv6 text, nothing else
 * Odd spellings ("127.1", "0x7f.1", "010.0.0.1", zones) are refused: who wants them canonical reads what the OS dialled.
 * Return: 0 or MF_E_SYNTAX
 */
int mf_addr_parse(const char *text, size_t len, struct mf_addr *ret);

/** mf_addr_format() - RFC 5952 text; Return: @buf of at least MF_ADDR_TEXT_MAX bytes; "" for family 0 */
const char *mf_addr_format(const struct mf_addr *addr, char *buf, size_t size);

/** mf_endpoint_format() - "192.0.2.1:443", "[2001:db8::1]:443" */
const char *mf_endpoint_format(const struct mf_endpoint *ep, char *buf, size_t size);

/** mf_hostport_parse() - Split "host:port", "1.2.3.4:5", "[::1]:5"; @ret_host points into @text; Return: 0, MF_E_SYNTAX */
int mf_hostport_parse(const char *text, size_t len, const char **ret_host, size_t *ret_host_len,
		      uint16_t *ret_port);

/* Classes of IANA's special-purpose registries (RFC 6890 and followers). */
bool mf_addr_is_loopback(const struct mf_addr *addr);
/*
 * Anything that is not globally reachable unicast: private, loopback, link-local (cloud metadata), shared, ULA,
 * documentation, benchmarking, multicast, reserved, not assigned, unspecified. For NAT64 and 6to4 the embedded address
 * counts; Teredo is private as a whole, as is all of 2001::/23.
 */
bool mf_addr_is_private(const struct mf_addr *addr);
bool mf_addr_is_multicast(const struct mf_addr *addr);
/* The IPv4 address inside NAT64 64:ff9b::/96, 6to4 2002::/16 or IPv4-compatible ::/96; false if there is none. */
bool mf_addr_embedded_v4(const struct mf_addr *addr, struct mf_addr *ret);

struct sockaddr;
struct sockaddr_storage;
/** mf_endpoint_from_sockaddr() - AF_INET or AF_INET6 (mapped becomes IPv4); Return: false for other families */
bool mf_endpoint_from_sockaddr(struct mf_endpoint *ret, const struct sockaddr *sa);
/** mf_endpoint_to_sockaddr() - Return: length of the sockaddr, 0 for family 0; @map_v4 writes IPv4 as mapped IPv6 */
size_t mf_endpoint_to_sockaddr(const struct mf_endpoint *ep, bool map_v4,
			       struct sockaddr_storage *ret);

#endif
