/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_wire.c - messages between proxies and broker; numbers in network order
 *
 *	 0  "mfpf"              16  address of the peer; of the server in an answer
 *	 4  version, 1          32  local address
 *	 5  kind; | 0x80 answer 48  port of the peer; of the server in an answer
 *	 6  protocol, 6 or 17   50  local port
 *	 7  family, 4 or 6      52  status of an answer, as a signed number
 *	 8  id                  56  health, or process id, in an answer
 *	                        60  zero
 *
 * Fields that a kind does not have are zero, and must be.
 */
#include <string.h>

#include "capture/pf.h"
#include "core/base/bytes.h"

#define MAGIC	UINT32_C(0x6d667066)
#define VERSION 1
#define ANSWER	0x80

static bool has_question(const struct mf_pf_message *m)
{
	return (m->kind == MF_PF_LOOKUP || m->kind == MF_PF_OWNER) && !m->is_answer;
}

static bool has_server(const struct mf_pf_message *m)
{
	return m->kind == MF_PF_LOOKUP && m->is_answer && m->status == 0;
}

static bool has_value(const struct mf_pf_message *m)
{
	return m->is_answer &&
	       (m->kind == MF_PF_CHECK || (m->kind == MF_PF_OWNER && m->status == 0));
}

void mf_pf_wire_encode(const struct mf_pf_message *m, uint8_t buf[static MF_PF_WIRE_LEN])
{
	memset(buf, 0, MF_PF_WIRE_LEN);
	mf_store_be32(buf, MAGIC);
	buf[4] = VERSION;
	buf[5] = (uint8_t)(m->kind | (m->is_answer ? ANSWER : 0));
	mf_store_be64(buf + 8, m->id);
	if (has_question(m)) {
		buf[6] = m->q.proto == MF_TCP ? 6 : 17;
		buf[7] = m->q.peer.addr.family;
		memcpy(buf + 16, m->q.peer.addr.bytes, 16);
		memcpy(buf + 32, m->q.local.addr.bytes, 16);
		mf_store_be16(buf + 48, m->q.peer.port);
		mf_store_be16(buf + 50, m->q.local.port);
	} else if (has_server(m)) {
		buf[7] = m->server.addr.family;
		memcpy(buf + 16, m->server.addr.bytes, 16);
		mf_store_be16(buf + 48, m->server.port);
	}
	if (m->is_answer)
		mf_store_be32(buf + 52, (uint32_t)m->status);
	if (has_value(m))
		mf_store_be32(buf + 56, m->value);
}

/* Addresses are canonical: 16 zero-padded bytes, and no IPv4 address in the clothes of an IPv6 one. */
static bool read_endpoint(struct mf_endpoint *ret, uint8_t family, const uint8_t *addr,
			  const uint8_t *port)
{
	struct mf_endpoint ep = { .port = mf_load_be16(port) };

	if (!mf_addr_from_bytes(&ep.addr, addr, family == 4 ? 4 : 16) || ep.addr.family != family)
		return false;
	*ret = ep;
	return true;
}

int mf_pf_wire_decode(const uint8_t buf[static MF_PF_WIRE_LEN], struct mf_pf_message *ret)
{
	struct mf_pf_message m = { 0 };
	uint8_t again[MF_PF_WIRE_LEN];

	if (mf_load_be32(buf) != MAGIC || buf[4] != VERSION ||
	    (buf[5] & ~ANSWER) >= MF_PF_REQUEST_NUM)
		return MF_E_BAD;
	m.kind = (enum mf_pf_request)(buf[5] & ~ANSWER);
	m.is_answer = buf[5] & ANSWER;
	m.id = mf_load_be64(buf + 8);
	m.status = (int)(int32_t)mf_load_be32(buf + 52);
	m.value = mf_load_be32(buf + 56);
	if (m.status > 0 || m.status < MF_E_BUG ||
	    (m.kind == MF_PF_CHECK && (m.value & ~(uint32_t)MF_PF_OK_ALL)) ||
	    (m.kind == MF_PF_OWNER && has_value(&m) && m.value == 0))
		return MF_E_BAD;
	m.q.proto = buf[6] == 6 ? MF_TCP : MF_UDP;
	if (has_question(&m) && (!read_endpoint(&m.q.peer, buf[7], buf + 16, buf + 48) ||
				 !read_endpoint(&m.q.local, buf[7], buf + 32, buf + 50)))
		return MF_E_BAD;
	if (has_server(&m) && !read_endpoint(&m.server, buf[7], buf + 16, buf + 48))
		return MF_E_BAD;
	if (!has_question(&m))
		m.q.proto = MF_TCP;
	/* Whatever else stands there was not written by the one above. */
	mf_pf_wire_encode(&m, again);
	if (memcmp(buf, again, sizeof(again)) != 0)
		return MF_E_BAD;
	*ret = m;
	return 0;
}
