/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - see host.h */
#include "proxies/gateway/host.h"

#include <moonfence/moonfence.h>

#include "core/base/hex.h"

/* One part: decimal, octal behind 0, hexadecimal behind 0x. Return: 0; -1: no number; what is beyond 32 bits is UINT64_MAX */
static int read_part(struct mf_span s, uint64_t *ret)
{
	unsigned base = 10;

	*ret = 0;
	if (s.len == 0)
		return -1;
	if (s.len >= 2 && s.ptr[0] == '0' && (s.ptr[1] | 0x20) == 'x') {
		base = 16;
		s = mf_span_sub(s, 2, s.len);
	} else if (s.len >= 2 && s.ptr[0] == '0') {
		base = 8;
		s = mf_span_sub(s, 1, s.len);
	}
	for (size_t i = 0; i < s.len; i++) {
		int digit = mf_hex_digit(s.ptr[i]);

		if (digit < 0 || (unsigned)digit >= base)
			return -1;
		if (*ret > UINT32_MAX)
			*ret = UINT64_MAX;
		else
			*ret = *ret * base + (unsigned)digit;
	}
	return 0;
}

/* Digits only, or what the parser takes for hexadecimal: then the whole has to be an address. */
static bool is_number(struct mf_span s)
{
	uint64_t value;
	size_t i = 0;

	while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
		i++;
	return s.len > 0 && (i == s.len || (s.len >= 2 && s.ptr[0] == '0' &&
					    (s.ptr[1] | 0x20) == 'x' && read_part(s, &value) == 0));
}

int mf_gw_ipv4_read(struct mf_span text, uint32_t *ret)
{
	struct mf_span parts[4], part;
	uint64_t value, sum = 0;
	size_t cnt = 0, at = 0;
	bool many = false;

	if (text.len && text.ptr[text.len - 1] == '.')
		text.len--;
	for (;;) {
		const uint8_t *dot =
			at < text.len ? memchr(text.ptr + at, '.', text.len - at) : NULL;

		part = mf_span_sub(text, at, dot ? (size_t)(dot - text.ptr) - at : text.len);
		if (cnt == 4)
			many = true;
		else
			parts[cnt++] = part;
		if (!dot)
			break;
		at = (size_t)(dot - text.ptr) + 1;
	}
	if (!is_number(part))
		return 0;
	if (many)
		return -1;
	for (size_t i = 0; i < cnt; i++) {
		bool last = i + 1 == cnt;

		if (read_part(parts[i], &value) < 0 || (!last && value > 255) ||
		    (last && value >= UINT64_C(1) << 8 * (5 - cnt)))
			return -1;
		sum |= last ? value : value << 8 * (3 - i);
	}
	*ret = (uint32_t)sum;
	return 1;
}

int mf_gw_host_read(struct mf_span text, struct mf_gw_host *ret)
{
	uint8_t bytes[4];
	uint32_t v4;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
		text = mf_span_sub(text, 1, text.len - 2);
	if (text.len && memchr(text.ptr, ':', text.len))
		return mf_addr_parse((const char *)text.ptr, text.len, &ret->addr) < 0 ? MF_E_SYNTAX
										       : 0;
	r = mf_gw_ipv4_read(text, &v4);
	if (r < 0)
		return MF_E_SYNTAX;
	if (r > 0) {
		for (unsigned i = 0; i < 4; i++)
			bytes[i] = (uint8_t)(v4 >> 8 * (3 - i));
		return mf_addr_from_bytes(&ret->addr, bytes, 4) ? 0 : MF_E_SYNTAX;
	}
	return mf_name_canon((const char *)text.ptr, text.len, ret->name) < 0 ? MF_E_SYNTAX : 0;
}

int mf_gw_port_read(struct mf_span text, uint16_t *ret)
{
	uint32_t value = 0;

	if (text.len == 0 || text.len > 5)
		return MF_E_SYNTAX;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return MF_E_SYNTAX;
		value = value * 10 + (uint32_t)(text.ptr[i] - '0');
	}
	if (value == 0 || value > UINT16_MAX)
		return MF_E_SYNTAX;
	*ret = (uint16_t)value;
	return 0;
}

int mf_gw_target_read(struct mf_span text, struct mf_span *ret_host, struct mf_span *ret_port)
{
	size_t colon = text.len;

	while (colon > 0 && text.ptr[colon - 1] != ':')
		colon--;
	if (colon <= 1)
		return MF_E_SYNTAX;
	*ret_host = mf_span_of(text.ptr, colon - 1);
	*ret_port = mf_span_sub(text, colon, text.len);
	if (ret_host->ptr[0] == '[')
		return ret_host->len > 2 && ret_host->ptr[ret_host->len - 1] == ']' ? 0
										    : MF_E_SYNTAX;
	return memchr(ret_host->ptr, ':', ret_host->len) ? MF_E_BAD : 0;
}
