/* SPDX-License-Identifier: Apache-2.0 */
/* dcep.c - the messages that open data channels (RFC 8832) */
#include "proxies/rtc/dcep.h"

#include "core/base/bytes.h"

enum {
	TYPE_ACK = 0x02,
	TYPE_OPEN = 0x03,

	/* channel types; 0x80: unordered */
	RELIABLE = 0x00,
	LIMITED_RETRANSMITS = 0x01,
	LIMITED_LIFE = 0x02,
	UNORDERED = 0x80,

	OPEN_LEN = 12, /* before label and protocol */
};

int mf_dcep_read(struct mf_span msg, struct mf_rtc_channel_info *ret)
{
	const uint8_t *p = msg.ptr;
	uint32_t parameter;
	size_t label, protocol;

	if (msg.len == 0)
		return MF_E_BAD;
	if (p[0] == TYPE_ACK) /* one byte by 5.2; what follows is nobody's business */
		return MF_DCEP_ACK;
	if (p[0] != TYPE_OPEN)
		return MF_E_NOT_MINE;
	if (msg.len < OPEN_LEN)
		return MF_E_BAD;
	label = mf_load_be16(p + 8);
	protocol = mf_load_be16(p + 10);
	if (msg.len != OPEN_LEN + label + protocol)
		return MF_E_BAD;
	if (label > MF_RTC_LABEL_MAX || protocol > MF_RTC_LABEL_MAX)
		return MF_E_LIMIT;
	parameter = mf_load_be32(p + 4);
	if (parameter > INT32_MAX)
		parameter = INT32_MAX;
	*ret = (struct mf_rtc_channel_info){
		.label = mf_span_of(p + OPEN_LEN, label),
		.protocol = mf_span_of(p + OPEN_LEN + label, protocol),
		.ordered = !(p[1] & UNORDERED),
		.max_retransmits = -1,
		.max_life_ms = -1,
		.priority = mf_load_be16(p + 2),
	};
	switch (p[1] & ~UNORDERED) {
	case RELIABLE:
		break;
	case LIMITED_RETRANSMITS:
		ret->max_retransmits = (int32_t)parameter;
		break;
	case LIMITED_LIFE:
		ret->max_life_ms = (int32_t)parameter;
		break;
	default:
		return MF_E_BAD;
	}
	return MF_DCEP_OPEN;
}

size_t mf_dcep_write_open(const struct mf_rtc_channel_info *info, uint8_t buf[MF_DCEP_OPEN_MAX])
{
	uint32_t parameter = 0;
	uint8_t type = RELIABLE;

	if (info->label.len > MF_RTC_LABEL_MAX || info->protocol.len > MF_RTC_LABEL_MAX ||
	    (info->max_retransmits >= 0 && info->max_life_ms >= 0))
		return 0;
	if (info->max_retransmits >= 0) {
		type = LIMITED_RETRANSMITS;
		parameter = (uint32_t)info->max_retransmits;
	} else if (info->max_life_ms >= 0) {
		type = LIMITED_LIFE;
		parameter = (uint32_t)info->max_life_ms;
	}
	buf[0] = TYPE_OPEN;
	buf[1] = info->ordered ? type : type | UNORDERED;
	mf_store_be16(buf + 2, info->priority);
	mf_store_be32(buf + 4, parameter);
	mf_store_be16(buf + 8, (uint16_t)info->label.len);
	mf_store_be16(buf + 10, (uint16_t)info->protocol.len);
	if (info->label.len)
		memcpy(buf + OPEN_LEN, info->label.ptr, info->label.len);
	if (info->protocol.len)
		memcpy(buf + OPEN_LEN + info->label.len, info->protocol.ptr, info->protocol.len);
	return OPEN_LEN + info->label.len + info->protocol.len;
}

size_t mf_dcep_write_ack(uint8_t buf[1])
{
	buf[0] = TYPE_ACK;
	return 1;
}
