/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_header.c - see proxy_header.h */
#include "proxies/proxy_header.h"

#include <moonfence/moonfence.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
	SIGNATURE_LEN = 12,
	HEAD_LEN =
		16, /* of version 2: signature, version and command, family and transport, length */
	V4_LEN = 12,
	V6_LEN = 36,
	COMMAND_LOCAL = 0,
	COMMAND_PROXY = 1,
	FAMILY_NONE = 0,
	FAMILY_V4 = 1,
	FAMILY_V6 = 2,
	FAMILY_UNIX = 3,
	TRANSPORT_STREAM = 1,
};

static const uint8_t signature[SIGNATURE_LEN] = "\r\n\r\n\0\r\nQUIT\n";
static const char line_start[] = "PROXY ";

static bool is_binary(const struct mf_proxy_reader *r)
{
	return r->len && r->bytes[0] == signature[0];
}

/* Of the addresses, which are read; what comes behind them is skipped. */
static size_t addrs_len(const struct mf_proxy_reader *r)
{
	size_t room = mf_load_be16(r->bytes + 14);
	unsigned family = r->bytes[13] >> 4;
	size_t len = family == FAMILY_V4 ? V4_LEN : family == FAMILY_V6 ? V6_LEN : 0;

	if ((r->bytes[12] & 15) == COMMAND_LOCAL)
		len = 0;
	return len < room ? len : room;
}

size_t mf_proxy_reader_wants(const struct mf_proxy_reader *r)
{
	size_t whole;

	if (r->done)
		return 0;
	if (r->skip)
		return r->skip < MF_PROXY_READ_MAX ? r->skip : MF_PROXY_READ_MAX;
	if (r->len < SIGNATURE_LEN)
		return (size_t)SIGNATURE_LEN - r->len;
	if (is_binary(r)) {
		whole = HEAD_LEN + (r->len < HEAD_LEN ? 0 : addrs_len(r));
		return whole - r->len;
	}
	/* a line's end is two bytes: that many are always its own, unless the first of them has come */
	return r->bytes[r->len - 1] == '\r' || r->len == MF_PROXY_LINE_MAX - 1 ? 1 : 2;
}

/* --- version 2 -------------------------------------------------------------------------------------------------------- */

static void read_pair(const uint8_t *at, size_t addr_len, struct mf_proxy_header *ret)
{
	(void)mf_addr_from_bytes(&ret->client.addr, at, addr_len);
	(void)mf_addr_from_bytes(&ret->server.addr, at + addr_len, addr_len);
	ret->client.port = mf_load_be16(at + 2 * addr_len);
	ret->server.port = mf_load_be16(at + 2 * addr_len + 2);
	ret->has_addrs = true;
}

static int check_head(const struct mf_proxy_reader *r)
{
	unsigned command = r->bytes[12] & 15, family = r->bytes[13] >> 4;
	unsigned transport = r->bytes[13] & 15;
	size_t len = mf_load_be16(r->bytes + 14);

	if (memcmp(r->bytes, signature, SIGNATURE_LEN) != 0 || r->bytes[12] >> 4 != 2 ||
	    command > COMMAND_PROXY)
		return MF_E_BAD;
	if (command == COMMAND_LOCAL) /* its family is not looked at */
		return 0;
	if (family > FAMILY_UNIX || (transport != TRANSPORT_STREAM && family != FAMILY_NONE) ||
	    (family == FAMILY_V4 && len < V4_LEN) || (family == FAMILY_V6 && len < V6_LEN))
		return MF_E_BAD;
	return 0;
}

static int take_binary(struct mf_proxy_reader *r, struct mf_proxy_header *ret)
{
	size_t len;

	if (r->len < SIGNATURE_LEN)
		return 0;
	if (memcmp(r->bytes, signature, SIGNATURE_LEN) != 0)
		return MF_E_BAD;
	if (r->len < HEAD_LEN)
		return 0;
	if (check_head(r) < 0)
		return MF_E_BAD;
	len = addrs_len(r);
	if (r->len < HEAD_LEN + len)
		return 0;
	if (len == V4_LEN)
		read_pair(r->bytes + HEAD_LEN, 4, ret);
	else if (len == V6_LEN)
		read_pair(r->bytes + HEAD_LEN, 16, ret);
	r->skip = mf_load_be16(r->bytes + 14) - (uint32_t)len;
	r->done = r->skip == 0;
	return r->done;
}

/* --- version 1 -------------------------------------------------------------------------------------------------------- */

/* One word and the space behind it. */
static struct mf_span next_word(struct mf_span *line)
{
	const uint8_t *space = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
	struct mf_span word =
		mf_span_of(line->ptr, space ? (size_t)(space - line->ptr) : line->len);

	*line = mf_span_sub(*line, word.len + 1, line->len);
	return word;
}

static int read_port(struct mf_span text, uint16_t *ret)
{
	uint32_t value = 0;

	if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0'))
		return MF_E_BAD;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return MF_E_BAD;
		value = value * 10 + (uint32_t)(text.ptr[i] - '0');
	}
	*ret = (uint16_t)value;
	return value > UINT16_MAX ? MF_E_BAD : 0;
}

static int read_line(struct mf_span line, struct mf_proxy_header *ret)
{
	struct mf_span family, client, server, client_port, server_port;

	line = mf_span_sub(line, sizeof(line_start) - 1, line.len);
	family = next_word(&line);
	if (mf_span_eq(family, mf_span_str("UNKNOWN"))) /* whatever comes behind it */
		return 0;
	client = next_word(&line);
	server = next_word(&line);
	client_port = next_word(&line);
	server_port = line;
	if ((!mf_span_eq(family, mf_span_str("TCP4")) &&
	     !mf_span_eq(family, mf_span_str("TCP6"))) ||
	    !client.len || !server.len ||
	    !memchr(client.ptr, family.ptr[3] == '4' ? '.' : ':', client.len) ||
	    mf_addr_parse((const char *)client.ptr, client.len, &ret->client.addr) < 0 ||
	    mf_addr_parse((const char *)server.ptr, server.len, &ret->server.addr) < 0 ||
	    read_port(client_port, &ret->client.port) < 0 ||
	    read_port(server_port, &ret->server.port) < 0)
		return MF_E_BAD;
	ret->has_addrs = true;
	return 0;
}

static int take_line(struct mf_proxy_reader *r, struct mf_proxy_header *ret)
{
	size_t start = sizeof(line_start) - 1;
	const uint8_t *end = memchr(r->bytes, '\r', r->len);

	if (memcmp(r->bytes, line_start, r->len < start ? r->len : start) != 0)
		return MF_E_BAD;
	if (!end)
		return r->len < MF_PROXY_LINE_MAX ? 0 : MF_E_BAD;
	if (end == r->bytes + r->len - 1)
		return r->len < MF_PROXY_LINE_MAX ? 0 : MF_E_BAD;
	if (end + 2 != r->bytes + r->len || end[1] != '\n' || end < r->bytes + start)
		return MF_E_BAD;
	if (read_line(mf_span_of(r->bytes, (size_t)(end - r->bytes)), ret) < 0)
		return MF_E_BAD;
	r->done = true;
	return 1;
}

int mf_proxy_reader_take(struct mf_proxy_reader *r, const uint8_t *bytes, size_t len,
			 struct mf_proxy_header *ret)
{
	if (len == 0 || len > mf_proxy_reader_wants(r))
		return MF_E_BAD;
	if (r->skip) {
		r->skip -= (uint32_t)len;
		r->done = r->skip == 0;
		return r->done;
	}
	if (r->len == 0)
		memset(ret, 0, sizeof(*ret));
	memcpy(r->bytes + r->len, bytes, len);
	r->len = (uint8_t)(r->len + len);
	return is_binary(r) ? take_binary(r, ret) : take_line(r, ret);
}
