/* SPDX-License-Identifier: Apache-2.0 */
/* packets.h - TCP packets for the tests of network cards: made, and their checksums judged by RFC 1071 as it is written */
#ifndef MF_TESTS_UNIT_NIC_PACKETS_H
#define MF_TESTS_UNIT_NIC_PACKETS_H

#include <stdbool.h>
#include <string.h>

#include "core/base/bytes.h"

#define TCP4_HEADERS 54u /* Ethernet, IPv4, TCP */
#define TCP6_HEADERS 74u

static inline uint32_t plain_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Sum of the pseudo header of the packet whose IP header is @ip, with @len as the length of what follows. */
static inline uint32_t pseudo_sum(const uint8_t *ip, bool six, uint32_t len)
{
	uint32_t sum = six ? plain_sum(ip + 8, 32, ip[6]) : plain_sum(ip + 12, 8, ip[9]);

	return plain_sum(NULL, 0, sum + len);
}

static inline bool ip4_header_is_good(const uint8_t *ip)
{
	return plain_sum(ip, (ip[0] & 15) * 4u, 0) == 0xffff;
}

/* Is the transport checksum right, by the lengths that the IP header itself says? */
static inline bool transport_is_good(const uint8_t *ip, bool six)
{
	size_t header = six ? 40 : (ip[0] & 15) * 4u;
	size_t len = six ? mf_load_be16(ip + 4) : mf_load_be16(ip + 2) - header;

	return plain_sum(ip + header, len, pseudo_sum(ip, six, (uint32_t)len)) == 0xffff;
}

/*
 * Write a TCP packet with @payload bytes that count up; lengths as they are, checksums 0.
 * Return: its length
 */
static inline size_t make_tcp(uint8_t *p, bool six, size_t payload, uint8_t flags)
{
	size_t l4 = six ? 54 : 34, total = l4 + 20 + payload;
	uint8_t *ip = p + 14, *tcp = p + l4;

	memset(p, 0, l4 + 20);
	memcpy(p, "\x52\x54\x00\xab\xcd\xef\x02\x00\x00\x00\x00\x01", 12);
	mf_store_be16(p + 12, six ? 0x86dd : 0x0800);
	if (six) {
		ip[0] = 0x60;
		mf_store_be16(ip + 4, (uint16_t)(20 + payload));
		ip[6] = 6;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[23] = 1;
		ip[39] = 2;
	} else {
		ip[0] = 0x45;
		mf_store_be16(ip + 2, (uint16_t)(40 + payload));
		mf_store_be16(ip + 4, 0x1234);
		ip[8] = 64;
		ip[9] = 6;
		memcpy(ip + 12, "\x0a\x00\x02\x0f\xc0\x00\x02\x01", 8);
	}
	mf_store_be16(tcp, 40000);
	mf_store_be16(tcp + 2, 443);
	mf_store_be32(tcp + 4, 0xfffffff0);
	tcp[12] = 5 << 4;
	tcp[13] = flags;
	for (size_t i = 0; i < payload; i++)
		p[l4 + 20 + i] = (uint8_t)(i * 7 + (i >> 8));
	return total;
}

/* Make both checksums right. */
static inline void finish_tcp(uint8_t *p, bool six, size_t total)
{
	size_t l4 = six ? 54 : 34;
	uint8_t *ip = p + 14;

	if (!six) {
		mf_store_be16(ip + 10, 0);
		mf_store_be16(ip + 10, (uint16_t)~plain_sum(ip, 20, 0));
	}
	mf_store_be16(p + l4 + 16, 0);
	mf_store_be16(p + l4 + 16,
		      (uint16_t)~plain_sum(p + l4, total - l4,
					   pseudo_sum(ip, six, (uint32_t)(total - l4))));
}

#endif
