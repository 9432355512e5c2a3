/* SPDX-License-Identifier: Apache-2.0 */
/* dhcp6.c - see dhcp6.h */
#include "nic/dhcp6.h"

#include <moonfence/moonfence.h>
#include <string.h>

#include "core/base/bytes.h"

#define DUID_MAX 130u /* RFC 8415 11.1 */

enum { REPLY = 7, INFORMATION_REQUEST = 11 };
enum { OPT_CLIENT_ID = 1, OPT_SERVER_ID = 2, OPT_DNS = 23, OPT_SEARCH = 24, OPT_REFRESH = 32 };

struct question {
	const uint8_t *client, *server; /* values; NULL: not said */
	uint16_t client_len, server_len;
};

static int read_options(const uint8_t *p, size_t len, struct question *ret)
{
	*ret = (struct question){ 0 };
	for (size_t at = 0; at < len;) {
		uint16_t code, n;

		if (len - at < 4)
			return MF_E_SYNTAX;
		code = mf_load_be16(p + at);
		n = mf_load_be16(p + at + 2);
		at += 4;
		if (n > len - at)
			return MF_E_SYNTAX;
		if (code == OPT_CLIENT_ID) {
			ret->client = p + at;
			ret->client_len = n;
		} else if (code == OPT_SERVER_ID) {
			ret->server = p + at;
			ret->server_len = n;
		}
		at += n;
	}
	return ret->client_len <= DUID_MAX ? 0 : MF_E_SYNTAX;
}

static size_t put(uint8_t *buf, size_t at, uint16_t code, const void *value, size_t len)
{
	mf_store_be16(buf + at, code);
	mf_store_be16(buf + at + 2, (uint16_t)len);
	memcpy(buf + at + 4, value, len);
	return at + 4 + len;
}

int mf_dhcp6_answer(const struct mf_dhcp6_info *info, const uint8_t *msg, size_t len, uint8_t *buf)
{
	static const uint8_t day[4] = { 0, 1, 0x51, 0x80 };
	uint8_t duid[10] = { 0, 3, 0, 1 }; /* DUID-LL, Ethernet */
	struct question q;
	size_t at = 4;

	if (len < 4)
		return MF_E_SYNTAX;
	if (msg[0] != INFORMATION_REQUEST)
		return MF_E_NOT_MINE;
	if (read_options(msg + 4, len - 4, &q) < 0)
		return MF_E_SYNTAX;
	memcpy(duid + 4, info->mac, 6);
	if (q.server && (q.server_len != sizeof(duid) || memcmp(q.server, duid, sizeof(duid)) != 0))
		return MF_E_NOT_MINE;
	memcpy(buf, msg, 4); /* the transaction */
	buf[0] = REPLY;
	at = put(buf, at, OPT_SERVER_ID, duid, sizeof(duid));
	if (q.client)
		at = put(buf, at, OPT_CLIENT_ID, q.client, q.client_len);
	at = put(buf, at, OPT_DNS, info->dns, 16);
	at = put(buf, at, OPT_REFRESH, day, 4);
	if (info->search_len && info->search_len <= 255)
		at = put(buf, at, OPT_SEARCH, info->search, info->search_len);
	return (int)at;
}
