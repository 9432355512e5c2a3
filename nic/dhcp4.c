/* SPDX-License-Identifier: Apache-2.0 */
/* dhcp4.c - see dhcp4.h */
#include "nic/dhcp4.h"

#include <moonfence/moonfence.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/base/bytes.h"

#define FIXED  236u /* before the magic cookie */
#define COOKIE 0x63825363u

/* In the fixed part: BOOTP's address of the server of the file, and its name with a NUL */
#define BOOT_SERVER    20u
#define BOOT_FILE      108u
#define BOOT_FILE_ROOM 128u

enum {
	DISCOVER = 1,
	OFFER = 2,
	REQUEST = 3,
	DECLINE = 4,
	ACK = 5,
	NAK = 6,
	RELEASE = 7,
	INFORM = 8
};

enum {
	OPT_PAD = 0,
	OPT_NETMASK = 1,
	OPT_ROUTER = 3,
	OPT_DNS = 6,
	OPT_DOMAIN = 15,
	OPT_MTU = 26,
	OPT_NTP = 42,
	OPT_REQUESTED = 50,
	OPT_LEASE = 51,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_T1 = 58,
	OPT_T2 = 59,
	OPT_CLIENT_ID = 61,
	OPT_BOOT_SERVER = 66,
	OPT_BOOT_FILE = 67,
	OPT_SEARCH = 119,
	OPT_END = 255,
};

struct question {
	uint8_t type;
	const uint8_t *requested, *server; /* NULL: not said */
	const uint8_t *id;		   /* with its length before it */
};

static int read_options(const uint8_t *p, size_t len, struct question *ret)
{
	*ret = (struct question){ 0 };
	for (size_t at = 0; at < len && p[at] != OPT_END;) {
		uint8_t code = p[at++], n;

		if (code == OPT_PAD)
			continue;
		if (at >= len || p[at] > len - at - 1)
			return MF_E_SYNTAX;
		n = p[at++];
		if (code == OPT_TYPE && n == 1)
			ret->type = p[at];
		else if (code == OPT_REQUESTED && n == 4)
			ret->requested = p + at;
		else if (code == OPT_SERVER && n == 4)
			ret->server = p + at;
		else if (code == OPT_CLIENT_ID && n)
			ret->id = p + at - 1;
		at += n;
	}
	return ret->type ? 0 : MF_E_NOT_MINE;
}

/* Return: the type of the answer, 0: none */
static uint8_t decide(const struct mf_dhcp4_lease *l, const struct question *q,
		      const uint8_t *ciaddr)
{
	const uint8_t *wants = q->requested ? q->requested : ciaddr;

	switch (q->type) {
	case DISCOVER:
		return OFFER;
	case REQUEST:
		if (q->server && memcmp(q->server, l->router, 4) != 0)
			return 0;
		return memcmp(wants, l->address, 4) == 0 ? ACK : NAK;
	case INFORM:
		return ACK;
	default: /* there is no other address that a client could get after DECLINE */
		return 0;
	}
}

/* Room is no question: all that we say fits. What does not (long domain and search list) is left out whole. */
static void put(uint8_t *buf, size_t *at, uint8_t code, const void *value, size_t len)
{
	if (len > 255 || *at + 2 + len + 1 > MF_DHCP4_ANSWER_MAX)
		return;
	buf[(*at)++] = code;
	buf[(*at)++] = (uint8_t)len;
	memcpy(buf + *at, value, len);
	*at += len;
}

static void put32(uint8_t *buf, size_t *at, uint8_t code, uint32_t value)
{
	uint8_t be[4];

	mf_store_be32(be, value);
	put(buf, at, code, be, 4);
}

static void put_network(const struct mf_dhcp4_lease *l, uint8_t *buf, size_t *at)
{
	put(buf, at, OPT_NETMASK, l->netmask, 4);
	put(buf, at, OPT_ROUTER, l->router, 4);
	if (l->dns_cnt)
		put(buf, at, OPT_DNS, l->dns, 4u * l->dns_cnt);
	if (l->ntp_cnt)
		put(buf, at, OPT_NTP, l->ntp, 4u * l->ntp_cnt);
	if (l->mtu) {
		uint8_t be[2];

		mf_store_be16(be, l->mtu);
		put(buf, at, OPT_MTU, be, 2);
	}
	if (l->domain)
		put(buf, at, OPT_DOMAIN, l->domain, strlen(l->domain));
	if (l->search_len)
		put(buf, at, OPT_SEARCH, l->search, l->search_len);
}

/* Firmware looks either into the fixed part or for options. */
static void put_boot(const struct mf_dhcp4_lease *l, uint8_t *buf, size_t *at)
{
	static const uint8_t nowhere[4];
	size_t len = l->boot_file ? strlen(l->boot_file) : 0;
	char text[MF_ADDR_TEXT_MAX];

	if (!len)
		return;
	if (len < BOOT_FILE_ROOM)
		memcpy(buf + BOOT_FILE, l->boot_file, len);
	put(buf, at, OPT_BOOT_FILE, l->boot_file, len);
	if (memcmp(l->boot_server, nowhere, 4) != 0) {
		struct mf_addr a = { .family = 4 };

		memcpy(a.bytes, l->boot_server, 4);
		memcpy(buf + BOOT_SERVER, l->boot_server, 4);
		mf_addr_format(&a, text, sizeof(text));
		put(buf, at, OPT_BOOT_SERVER, text, strlen(text));
	}
}

int mf_dhcp4_answer(const struct mf_dhcp4_lease *l, const uint8_t *msg, size_t len, uint8_t *buf,
		    struct mf_dhcp4_answer *ret)
{
	struct question q;
	size_t at = FIXED + 4;
	uint8_t type;
	bool has_address;
	int r;

	if (len < FIXED + 4 || msg[0] != 1 || msg[1] != 1 || msg[2] != 6 ||
	    mf_load_be32(msg + FIXED) != COOKIE)
		return MF_E_SYNTAX;
	if (memcmp(msg + 28, l->mac, 6) != 0)
		return MF_E_NOT_MINE;
	r = read_options(msg + FIXED + 4, len - FIXED - 4, &q);
	type = r < 0 ? 0 : decide(l, &q, msg + 12);
	if (!type)
		return r < 0 ? r : MF_E_NOT_MINE;
	memset(buf, 0, FIXED);
	buf[0] = 2;
	buf[1] = 1;
	buf[2] = 6;
	memcpy(buf + 4, msg + 4, 4);   /* xid */
	memcpy(buf + 10, msg + 10, 2); /* flags */
	memcpy(buf + 24, msg + 24, 4); /* relay */
	memcpy(buf + 28, msg + 28, 16);
	if (type == ACK)
		memcpy(buf + 12, msg + 12, 4); /* ciaddr */
	if (type != NAK && q.type != INFORM)
		memcpy(buf + 16, l->address, 4);
	if (type != NAK)
		memcpy(buf + BOOT_SERVER, l->router, 4);
	mf_store_be32(buf + FIXED, COOKIE);
	put(buf, &at, OPT_TYPE, &type, 1);
	put(buf, &at, OPT_SERVER, l->router, 4);
	if (type != NAK && q.type != INFORM) {
		put32(buf, &at, OPT_LEASE, l->lease_s);
		put32(buf, &at, OPT_T1, l->lease_s / 2);
		put32(buf, &at, OPT_T2, l->lease_s / 8 * 7);
	}
	if (q.id) /* RFC 6842 */
		put(buf, &at, OPT_CLIENT_ID, q.id + 1, q.id[0]);
	if (type != NAK) {
		put_network(l, buf, &at);
		put_boot(l, buf, &at);
	}
	buf[at++] = OPT_END;
	if (at < MF_DHCP4_MIN) {
		memset(buf + at, 0, MF_DHCP4_MIN - at);
		at = MF_DHCP4_MIN;
	}
	/* RFC 2131 4.1: to the address that the client says it has; else to its future one, unless it cannot hear that */
	has_address = mf_load_be32(msg + 12) != 0;
	if (type == NAK || (!has_address && (msg[10] & 0x80)))
		memset(ret->to, 0xff, 4);
	else
		memcpy(ret->to, has_address ? msg + 12 : l->address, 4);
	ret->type = type;
	ret->len = at;
	return 0;
}
