/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - the fields and macros of the filter language, by layer; see filter.h */
#include <string.h>

#include "filter_internal.h"

#define NET  (1 << WDD_NETWORK | 1 << WDD_FORWARD)
#define SOCK (1 << WDD_FLOW | 1 << WDD_SOCKET)

/* clang-format off */
enum field {
	INBOUND, OUTBOUND, LOOPBACK, IMPOSTOR, FRAGMENT, IF_IDX, SUB_IF_IDX, IP, IPV6, TCP, UDP, ICMP, ICMPV6, PROTOCOL,
	LOCAL_ADDR, LOCAL_PORT, REMOTE_ADDR, REMOTE_PORT, LENGTH, EVENT, PROCESS_ID, ENDPOINT_ID, PARENT_ENDPOINT_ID,
	PACKET8, PACKET16, PACKET32, RANDOM8, RANDOM16, RANDOM32,
	IP_HDR, IP_TOS, IP_LENGTH, IP_ID, IP_DF, IP_MF, IP_OFF, IP_TTL, IP_PROTO, IP_CSUM, IP_SRC, IP_DST,
	IP6_CLASS, IP6_LABEL, IP6_LENGTH, IP6_NEXT, IP6_HOPS, IP6_SRC, IP6_DST,
	TCP_SRC, TCP_DST, TCP_SEQ, TCP_ACKNUM, TCP_HDR, TCP_URG, TCP_ACK, TCP_PSH, TCP_RST, TCP_SYN, TCP_FIN, TCP_WINDOW,
	TCP_CSUM, TCP_URGPTR, TCP_PLEN, TCP_PAYLOAD, TCP_PAYLOAD16, TCP_PAYLOAD32,
	UDP_SRC, UDP_DST, UDP_LENGTH, UDP_CSUM, UDP_PLEN, UDP_PAYLOAD, UDP_PAYLOAD16, UDP_PAYLOAD32,
	ICMP_TYPE, ICMP_CODE, ICMP_CSUM, ICMP_BODY, ICMP6_TYPE, ICMP6_CODE, ICMP6_CSUM, ICMP6_BODY,
	FIELD_NUM
};

static const struct {
	const char *name;
	int layers; /* bits 1 << layer */
	bool array;
} fields[] = {
	/* inbound and outbound exist at SOCKET since 2.1, not at FLOW before; both are accepted */
	[INBOUND] = { "inbound", NET | SOCK, 0 }, [OUTBOUND] = { "outbound", NET | SOCK, 0 },
	[LOOPBACK] = { "loopback", NET | SOCK, 0 }, [IMPOSTOR] = { "impostor", NET, 0 },
	[FRAGMENT] = { "fragment", NET, 0 }, [IF_IDX] = { "ifIdx", NET, 0 }, [SUB_IF_IDX] = { "subIfIdx", NET, 0 },
	[IP] = { "ip", NET | SOCK, 0 }, [IPV6] = { "ipv6", NET | SOCK, 0 }, [TCP] = { "tcp", NET | SOCK, 0 },
	[UDP] = { "udp", NET | SOCK, 0 }, [ICMP] = { "icmp", NET | SOCK, 0 }, [ICMPV6] = { "icmpv6", NET | SOCK, 0 },
	[PROTOCOL] = { "protocol", NET | SOCK, 0 }, [LOCAL_ADDR] = { "localAddr", NET | SOCK, 0 },
	[LOCAL_PORT] = { "localPort", NET | SOCK, 0 }, [REMOTE_ADDR] = { "remoteAddr", NET | SOCK, 0 },
	[REMOTE_PORT] = { "remotePort", NET | SOCK, 0 }, [LENGTH] = { "length", NET, 0 },
	[EVENT] = { "event", SOCK | 1 << WDD_REFLECT, 0 },
	[PROCESS_ID] = { "processId", SOCK | 1 << WDD_REFLECT, 0 },
	[ENDPOINT_ID] = { "endpointId", SOCK, 0 }, [PARENT_ENDPOINT_ID] = { "parentEndpointId", SOCK, 0 },
	[PACKET8] = { "packet", NET, 1 }, [PACKET16] = { "packet16", NET, 1 }, [PACKET32] = { "packet32", NET, 1 },
	[RANDOM8] = { "random8", NET, 0 }, [RANDOM16] = { "random16", NET, 0 }, [RANDOM32] = { "random32", NET, 0 },
	[IP_HDR] = { "ip.HdrLength", NET, 0 }, [IP_TOS] = { "ip.TOS", NET, 0 }, [IP_LENGTH] = { "ip.Length", NET, 0 },
	[IP_ID] = { "ip.Id", NET, 0 }, [IP_DF] = { "ip.DF", NET, 0 }, [IP_MF] = { "ip.MF", NET, 0 },
	[IP_OFF] = { "ip.FragOff", NET, 0 }, [IP_TTL] = { "ip.TTL", NET, 0 }, [IP_PROTO] = { "ip.Protocol", NET, 0 },
	[IP_CSUM] = { "ip.Checksum", NET, 0 }, [IP_SRC] = { "ip.SrcAddr", NET, 0 }, [IP_DST] = { "ip.DstAddr", NET, 0 },
	[IP6_CLASS] = { "ipv6.TrafficClass", NET, 0 }, [IP6_LABEL] = { "ipv6.FlowLabel", NET, 0 },
	[IP6_LENGTH] = { "ipv6.Length", NET, 0 }, [IP6_NEXT] = { "ipv6.NextHdr", NET, 0 },
	[IP6_HOPS] = { "ipv6.HopLimit", NET, 0 }, [IP6_SRC] = { "ipv6.SrcAddr", NET, 0 },
	[IP6_DST] = { "ipv6.DstAddr", NET, 0 },
	[TCP_SRC] = { "tcp.SrcPort", NET, 0 }, [TCP_DST] = { "tcp.DstPort", NET, 0 }, [TCP_SEQ] = { "tcp.SeqNum", NET, 0 },
	[TCP_ACKNUM] = { "tcp.AckNum", NET, 0 }, [TCP_HDR] = { "tcp.HdrLength", NET, 0 }, [TCP_URG] = { "tcp.Urg", NET, 0 },
	[TCP_ACK] = { "tcp.Ack", NET, 0 }, [TCP_PSH] = { "tcp.Psh", NET, 0 }, [TCP_RST] = { "tcp.Rst", NET, 0 },
	[TCP_SYN] = { "tcp.Syn", NET, 0 }, [TCP_FIN] = { "tcp.Fin", NET, 0 }, [TCP_WINDOW] = { "tcp.Window", NET, 0 },
	[TCP_CSUM] = { "tcp.Checksum", NET, 0 }, [TCP_URGPTR] = { "tcp.UrgPtr", NET, 0 },
	[TCP_PLEN] = { "tcp.PayloadLength", NET, 0 }, [TCP_PAYLOAD] = { "tcp.Payload", NET, 1 },
	[TCP_PAYLOAD16] = { "tcp.Payload16", NET, 1 }, [TCP_PAYLOAD32] = { "tcp.Payload32", NET, 1 },
	[UDP_SRC] = { "udp.SrcPort", NET, 0 }, [UDP_DST] = { "udp.DstPort", NET, 0 }, [UDP_LENGTH] = { "udp.Length", NET, 0 },
	[UDP_CSUM] = { "udp.Checksum", NET, 0 }, [UDP_PLEN] = { "udp.PayloadLength", NET, 0 },
	[UDP_PAYLOAD] = { "udp.Payload", NET, 1 }, [UDP_PAYLOAD16] = { "udp.Payload16", NET, 1 },
	[UDP_PAYLOAD32] = { "udp.Payload32", NET, 1 },
	[ICMP_TYPE] = { "icmp.Type", NET, 0 }, [ICMP_CODE] = { "icmp.Code", NET, 0 },
	[ICMP_CSUM] = { "icmp.Checksum", NET, 0 }, [ICMP_BODY] = { "icmp.Body", NET, 0 },
	[ICMP6_TYPE] = { "icmpv6.Type", NET, 0 }, [ICMP6_CODE] = { "icmpv6.Code", NET, 0 },
	[ICMP6_CSUM] = { "icmpv6.Checksum", NET, 0 }, [ICMP6_BODY] = { "icmpv6.Body", NET, 0 },
};

static const struct {
	const char *name;
	int layers;
	unsigned value;
} macros[] = {
	{ "TRUE", ~0, 1 }, { "FALSE", ~0, 0 }, { "true", ~0, 1 }, { "false", ~0, 0 },
	{ "TCP", NET | SOCK, 6 }, { "UDP", NET | SOCK, 17 }, { "ICMP", NET | SOCK, 1 }, { "ICMPV6", NET | SOCK, 58 },
	{ "PACKET", NET, WDD_PACKET },
	{ "ESTABLISHED", 1 << WDD_FLOW, WDD_ESTABLISHED }, { "DELETED", 1 << WDD_FLOW, WDD_DELETED },
	{ "BIND", 1 << WDD_SOCKET, WDD_BIND }, { "CONNECT", 1 << WDD_SOCKET, WDD_CONNECT },
	{ "LISTEN", 1 << WDD_SOCKET, WDD_LISTEN }, { "ACCEPT", 1 << WDD_SOCKET, WDD_ACCEPT },
	{ "CLOSE", 1 << WDD_SOCKET, WDD_CLOSE },
	{ "OPEN", 1 << WDD_REFLECT, 8 }, { "CLOSE", 1 << WDD_REFLECT, 9 },
};
/* clang-format on */

_Static_assert(sizeof(fields) / sizeof(fields[0]) == FIELD_NUM, "each field has its row");

int wdd_field_find(const char *name, size_t len, int layer)
{
	for (int i = 0; i < FIELD_NUM; i++)
		if (strlen(fields[i].name) == len && memcmp(fields[i].name, name, len) == 0)
			return fields[i].layers >> layer & 1 ? i : -1;
	return -1;
}

bool wdd_field_is_array(int field)
{
	return fields[field].array;
}

bool wdd_macro_find(const char *name, size_t len, int layer, wdd_u128 *ret)
{
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
		if (strlen(macros[i].name) == len && memcmp(macros[i].name, name, len) == 0 &&
		    macros[i].layers >> layer & 1) {
			*ret = macros[i].value;
			return true;
		}
	return false;
}

static wdd_u128 load(const uint8_t *p, unsigned len)
{
	wdd_u128 v = 0;

	for (unsigned i = 0; i < len; i++)
		v = v << 8 | p[i];
	return v;
}

/* Bytes of an array field that begins at @from. */
static bool get_bytes(const struct wdd_pkt *k, bool there, uint32_t from, int index, unsigned width,
		      wdd_u128 *ret)
{
	uint64_t off = (uint64_t)from + (unsigned)index * width;

	if (!there || off + width > k->len)
		return false;
	*ret = load(k->p + off, width);
	return true;
}

static bool get_socket(int field, const struct wdd_input *in, wdd_u128 *ret)
{
	const uint8_t *a = in->addr;
	uint8_t proto = a[72];

	*ret = 0;
	switch (field) {
	case INBOUND:
		*ret = !(in->bits & WDD_OUTBOUND);
		return true;
	case OUTBOUND:
		*ret = (in->bits & WDD_OUTBOUND) != 0;
		return true;
	case LOOPBACK:
		*ret = (in->bits & WDD_LOOPBACK) != 0;
		return true;
	case IP:
		*ret = !(in->bits & WDD_IS_IPV6);
		return true;
	case IPV6:
		*ret = (in->bits & WDD_IS_IPV6) != 0;
		return true;
	case TCP:
		*ret = proto == 6;
		return true;
	case UDP:
		*ret = proto == 17;
		return true;
	case ICMP:
		*ret = proto == 1;
		return true;
	case ICMPV6:
		*ret = proto == 58;
		return true;
	case PROTOCOL:
		*ret = proto;
		return true;
	case EVENT:
		*ret = in->bits >> 8 & 0xff;
		return true;
	case PROCESS_ID:
		*ret = wdd_load32(a + (in->layer == WDD_REFLECT ? 24 : 32));
		return true;
	case ENDPOINT_ID:
	case PARENT_ENDPOINT_ID:
		a += field == ENDPOINT_ID ? 16 : 24;
		*ret = (wdd_u128)wdd_load32(a + 4) << 32 | wdd_load32(a);
		return true;
	case LOCAL_ADDR:
	case REMOTE_ADDR:
		a += field == LOCAL_ADDR ? 36 : 52;
		for (int i = 3; i >= 0; i--)
			*ret = *ret << 32 | wdd_load32(a + 4 * i);
		return true;
	case LOCAL_PORT:
	case REMOTE_PORT:
		a += field == LOCAL_PORT ? 68 : 70;
		*ret = (unsigned)a[0] | (unsigned)a[1] << 8;
		return true;
	default:
		return false;
	}
}

static bool get_ip(int field, const struct wdd_pkt *k, wdd_u128 *ret)
{
	const uint8_t *p = k->p;
	bool v4 = k->version == 4;

	/* clang-format off */
	switch (field) {
	case IP_HDR: *ret = p[0] & 15u; return v4;
	case IP_TOS: *ret = p[1]; return v4;
	case IP_LENGTH: *ret = load(p + 2, 2); return v4;
	case IP_ID: *ret = load(p + 4, 2); return v4;
	case IP_DF: *ret = p[6] >> 6 & 1u; return v4;
	case IP_MF: *ret = p[6] >> 5 & 1u; return v4;
	case IP_OFF: *ret = load(p + 6, 2) & 0x1fff; return v4;
	case IP_TTL: *ret = p[8]; return v4;
	case IP_PROTO: *ret = p[9]; return v4;
	case IP_CSUM: *ret = load(p + 10, 2); return v4;
	case IP_SRC: *ret = load(k->src.b, 16); return v4;
	case IP_DST: *ret = load(k->dst.b, 16); return v4;
	case IP6_CLASS: *ret = load(p, 2) >> 4 & 0xff; return !v4;
	case IP6_LABEL: *ret = load(p, 4) & 0xfffff; return !v4;
	case IP6_LENGTH: *ret = load(p + 4, 2); return !v4;
	case IP6_NEXT: *ret = p[6]; return !v4;
	case IP6_HOPS: *ret = p[7]; return !v4;
	case IP6_SRC: *ret = load(k->src.b, 16); return !v4;
	case IP6_DST: *ret = load(k->dst.b, 16); return !v4;
	default: return false;
	}
	/* clang-format on */
}

static bool get_transport(int field, int index, const struct wdd_pkt *k, wdd_u128 *ret)
{
	const uint8_t *t = k->p + k->l4_off;
	bool tcp = k->has_transport && k->proto == 6, udp = k->has_transport && k->proto == 17;
	bool icmp = k->has_transport && k->proto == 1, icmp6 = k->has_transport && k->proto == 58;

	if (!k->has_transport)
		return false;
	/* clang-format off */
	switch (field) {
	case TCP_SRC: *ret = load(t, 2); return tcp;
	case TCP_DST: *ret = load(t + 2, 2); return tcp;
	case TCP_SEQ: *ret = load(t + 4, 4); return tcp;
	case TCP_PAYLOAD: return get_bytes(k, tcp, k->payload_off, index, 1, ret);
	case TCP_PAYLOAD16: return get_bytes(k, tcp, k->payload_off, index, 2, ret);
	case TCP_PAYLOAD32: return get_bytes(k, tcp, k->payload_off, index, 4, ret);
	case UDP_PAYLOAD: return get_bytes(k, udp, k->payload_off, index, 1, ret);
	case UDP_PAYLOAD16: return get_bytes(k, udp, k->payload_off, index, 2, ret);
	case UDP_PAYLOAD32: return get_bytes(k, udp, k->payload_off, index, 4, ret);
	case TCP_PLEN: *ret = k->len - k->payload_off; return tcp;
	case UDP_PLEN: *ret = k->len - k->payload_off; return udp;
	case UDP_SRC: *ret = load(t, 2); return udp;
	case UDP_DST: *ret = load(t + 2, 2); return udp;
	case UDP_LENGTH: *ret = load(t + 4, 2); return udp;
	case UDP_CSUM: *ret = load(t + 6, 2); return udp;
	case ICMP_TYPE: *ret = t[0]; return icmp;
	case ICMP_CODE: *ret = t[1]; return icmp;
	case ICMP_CSUM: *ret = load(t + 2, 2); return icmp;
	case ICMP_BODY: *ret = load(t + 4, 4); return icmp;
	case ICMP6_TYPE: *ret = t[0]; return icmp6;
	case ICMP6_CODE: *ret = t[1]; return icmp6;
	case ICMP6_CSUM: *ret = load(t + 2, 2); return icmp6;
	case ICMP6_BODY: *ret = load(t + 4, 4); return icmp6;
	default: break;
	}
	if (!tcp)
		return false;
	switch (field) {
	case TCP_ACKNUM: *ret = load(t + 8, 4); return true;
	case TCP_HDR: *ret = t[12] >> 4; return true;
	case TCP_URG: *ret = t[13] >> 5 & 1u; return true;
	case TCP_ACK: *ret = t[13] >> 4 & 1u; return true;
	case TCP_PSH: *ret = t[13] >> 3 & 1u; return true;
	case TCP_RST: *ret = t[13] >> 2 & 1u; return true;
	case TCP_SYN: *ret = t[13] >> 1 & 1u; return true;
	case TCP_FIN: *ret = t[13] & 1u; return true;
	case TCP_WINDOW: *ret = load(t + 14, 2); return true;
	case TCP_CSUM: *ret = load(t + 16, 2); return true;
	case TCP_URGPTR: *ret = load(t + 18, 2); return true;
	default: return false;
	}
	/* clang-format on */
}

bool wdd_field_get(int field, int index, const struct wdd_input *in, wdd_u128 *ret)
{
	const struct wdd_pkt *k = in->k;
	bool out = in->bits & WDD_OUTBOUND;

	if (in->layer != WDD_NETWORK && in->layer != WDD_FORWARD)
		return get_socket(field, in, ret);
	/* clang-format off */
	switch (field) {
	case INBOUND: *ret = !out; return true;
	case OUTBOUND: *ret = out; return true;
	case LOOPBACK: *ret = (in->bits & WDD_LOOPBACK) != 0; return true;
	case IMPOSTOR: *ret = (in->bits & WDD_IMPOSTOR) != 0; return true;
	case FRAGMENT: *ret = k->fragment; return true;
	case IF_IDX: *ret = wdd_load32(in->addr + 16); return true;
	case SUB_IF_IDX: *ret = wdd_load32(in->addr + 20); return true;
	case IP: *ret = k->version == 4; return true;
	case IPV6: *ret = k->version == 6; return true;
	case TCP: *ret = k->has_transport && k->proto == 6; return true;
	case UDP: *ret = k->has_transport && k->proto == 17; return true;
	case ICMP: *ret = k->has_transport && k->proto == 1; return true;
	case ICMPV6: *ret = k->has_transport && k->proto == 58; return true;
	case PROTOCOL: *ret = k->proto; return true;
	case LOCAL_ADDR: *ret = load(out ? k->src.b : k->dst.b, 16); return true;
	case REMOTE_ADDR: *ret = load(out ? k->dst.b : k->src.b, 16); return true;
	case LENGTH: *ret = k->len; return true;
	case LOCAL_PORT:
	case REMOTE_PORT:
		if (!k->has_transport || (k->proto != 6 && k->proto != 17))
			return false;
		*ret = load(k->p + k->l4_off + ((field == LOCAL_PORT) == out ? 0 : 2), 2);
		return true;
	case PACKET8: return get_bytes(k, true, 0, index, 1, ret);
	case PACKET16: return get_bytes(k, true, 0, index, 2, ret);
	case PACKET32: return get_bytes(k, true, 0, index, 4, ret);
	/* "random": here from the packet's bytes, so that a test does the same each time */
	case RANDOM8: *ret = k->p[k->len - 1]; return true;
	case RANDOM16: *ret = load(k->p + k->len - 2, 2); return true;
	case RANDOM32: *ret = load(k->p + k->len - 4, 4); return true;
	default: break;
	}
	/* clang-format on */
	return field >= TCP_SRC ? get_transport(field, index, k, ret) : get_ip(field, k, ret);
}
