/* SPDX-License-Identifier: Apache-2.0 */
/* dcep.h - the messages that open data channels (RFC 8832), and what the payload protocol identifiers mean (RFC 8831 8) */
#ifndef MF_PROXIES_RTC_DCEP_H
#define MF_PROXIES_RTC_DCEP_H

#include "core/base/span.h"
#include "proxies/rtc/rtc.h"

/* Payload protocol identifiers */
enum {
	MF_DCEP_CONTROL = 50,
	MF_DCEP_STRING = 51,
	MF_DCEP_BINARY = 53,
	MF_DCEP_STRING_EMPTY = 56, /* SCTP has no empty messages: one byte that does not count */
	MF_DCEP_BINARY_EMPTY = 57,

	MF_DCEP_OPEN_MAX = 12 + 2 * MF_RTC_LABEL_MAX,
};

enum mf_dcep_kind {
	MF_DCEP_OPEN,
	MF_DCEP_ACK,
};

/**
 * mf_dcep_read() - One message with identifier 50
 * @ret: of an OPEN; label and protocol point into @msg
 * Return: enum mf_dcep_kind; MF_E_NOT_MINE: of an unknown type; MF_E_BAD: malformed; MF_E_LIMIT: label or protocol too long
 */
int mf_dcep_read(struct mf_span msg, struct mf_rtc_channel_info *ret);

/** mf_dcep_write_open() - Return: the length; 0: both retransmits and life are given, or label or protocol too long */
size_t mf_dcep_write_open(const struct mf_rtc_channel_info *info, uint8_t buf[MF_DCEP_OPEN_MAX]);
/** mf_dcep_write_ack() - Return: 1 */
size_t mf_dcep_write_ack(uint8_t buf[1]);

#endif
