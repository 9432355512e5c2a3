/* SPDX-License-Identifier: Apache-2.0 */
/* dns_wire_int.h - what reading (dns_wire.c), writing (dns_write.c) and ageing (dns_age.c) of DNS messages share */
#ifndef MF_WIRE_DNS_WIRE_INT_H
#define MF_WIRE_DNS_WIRE_INT_H

#include "core/wire/dns_wire.h"

enum {
	MF_DNS_FLAG_QR = 0x8000,
	MF_DNS_FLAG_OPCODE = 0x7800,
	MF_DNS_FLAG_AA = 0x0400,
	MF_DNS_FLAG_TC = 0x0200,
	MF_DNS_FLAG_RD = 0x0100,
	MF_DNS_FLAG_RA = 0x0080,
	MF_DNS_FLAG_AD = 0x0020,
	MF_DNS_FLAG_CD = 0x0010,
	MF_DNS_RR_HEAD = 10, /* type, class, TTL, length */
	MF_DNS_OPTION_COOKIE = 10,
	MF_DNS_OPTION_EDE = 15,
	MF_DNS_CLASS_IN = 1,
};

/*
 * Reads the name at *@pos and moves *@pos behind it. Pointers must lead to before the place they stand at, so there is
 * no loop to find; their number is limited all the same.
 */
bool mf_dns_read_name(struct mf_span msg, size_t *pos, struct mf_dns_name *ret);
/* Moves behind a record, whose type stands at *@ret_at; false where it is cut. */
bool mf_dns_skip_record(struct mf_span msg, size_t *pos, uint16_t *ret_type, size_t *ret_at);
bool mf_dns_read_record(struct mf_span msg, size_t *pos, struct mf_dns_record *r);

#endif
