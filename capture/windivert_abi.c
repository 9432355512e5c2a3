/* SPDX-License-Identifier: Apache-2.0 */
/*
 * windivert_abi.c - what crosses the driver's border: error codes, filter texts, addresses; no system call is made here
 */
#include "capture/windivert_abi.h"

#include <stdio.h>

/* ---- errors ---- */

static const struct {
	uint8_t call; /* enum mf_wd_call */
	uint16_t code;
	int8_t error;
	const char *text;
} errors[] = {
	{ MF_WD_CALL_OPEN, MF_WD_E_FILE_NOT_FOUND, MF_E_NOENT,
	  "the driver is missing: put WinDivert64.sys into the folder of WinDivert.dll" },
	{ MF_WD_CALL_OPEN, MF_WD_E_ACCESS_DENIED, MF_E_PERM,
	  "this needs administrator rights: start the program from an elevated prompt" },
	{ MF_WD_CALL_OPEN, MF_WD_E_NOT_ENOUGH_MEMORY, MF_E_NOMEM,
	  "out of memory: close programs and try again" },
	{ MF_WD_CALL_OPEN, MF_WD_E_INVALID_PARAMETER, MF_E_BUG,
	  "WinDivert takes neither filter nor flags: use version 2.2, or report this as a bug" },
	{ MF_WD_CALL_OPEN, MF_WD_E_BAD_IMAGE_HASH, MF_E_PERM,
	  "Windows does not accept the driver's signature: install the signed WinDivert 2.2 "
	  "release, and "
	  "check that Secure Boot's policy allows it" },
	{ MF_WD_CALL_OPEN, MF_WD_E_OTHER_VERSION, MF_E_EXIST,
	  "another program has loaded an incompatible WinDivert driver: end that program, or run "
	  "\"sc "
	  "stop WinDivert\", and try again" },
	{ MF_WD_CALL_OPEN, MF_WD_E_SERVICE_DOES_NOT_EXIST, MF_E_NOENT,
	  "the driver is not installed and may not be: install WinDivert first" },
	{ MF_WD_CALL_OPEN, MF_WD_E_DRIVER_BLOCKED, MF_E_PERM,
	  "a security product or Windows' driver block list forbids the driver: allow "
	  "WinDivert64.sys "
	  "there" },
	{ MF_WD_CALL_OPEN, MF_WD_E_NO_SYSTEM_RESOURCES, MF_E_FULL,
	  "the kernel is out of resources: end other programs that capture packets" },
	{ MF_WD_CALL_OPEN, MF_WD_E_NO_FILTERING_ENGINE, MF_E_UNSUPPORTED,
	  "the Base Filtering Engine is off: start the service BFE (\"sc start BFE\")" },
	{ MF_WD_CALL_RECV, MF_WD_E_INSUFFICIENT_BUFFER, MF_E_LIMIT,
	  "a packet was longer than any can be" },
	{ MF_WD_CALL_RECV, MF_WD_E_NO_DATA, MF_E_CLOSED, "the capture has been shut down" },
	{ MF_WD_CALL_RECV, MF_WD_E_OPERATION_ABORTED, MF_E_CLOSED, "the capture has been closed" },
	{ MF_WD_CALL_RECV, MF_WD_E_INVALID_HANDLE, MF_E_CLOSED, "the capture has been closed" },
	{ MF_WD_CALL_RECV, MF_WD_E_NO_SYSTEM_RESOURCES, MF_E_AGAIN,
	  "the kernel is out of resources" },
	{ MF_WD_CALL_SEND, MF_WD_E_INVALID_PARAMETER, MF_E_INVAL,
	  "not an IP packet, a wrong length, or an interface that is gone" },
	{ MF_WD_CALL_SEND, MF_WD_E_INSUFFICIENT_BUFFER, MF_E_INVAL,
	  "the packet is shorter than it says" },
	{ MF_WD_CALL_SEND, MF_WD_E_NO_DATA, MF_E_CLOSED,
	  "the capture has been shut down for sending" },
	{ MF_WD_CALL_SEND, MF_WD_E_INVALID_HANDLE, MF_E_CLOSED, "the capture has been closed" },
	{ MF_WD_CALL_SEND, MF_WD_E_INCORRECT_ADDRESS, MF_E_INVAL,
	  "the addresses cannot be used on this path: one of them alone is a loopback address" },
	{ MF_WD_CALL_SEND, MF_WD_E_HOST_UNREACHABLE, MF_E_LIMIT,
	  "the packet has gone in circles: another product diverts what we send back; end one of "
	  "them" },
	{ MF_WD_CALL_SEND, MF_WD_E_NO_SYSTEM_RESOURCES, MF_E_AGAIN,
	  "the kernel is out of resources" },
	{ MF_WD_CALL_PARAM, MF_WD_E_INVALID_PARAMETER, MF_E_UNSUPPORTED,
	  "the driver does not know the parameter: use WinDivert 2.2" },
};

const char *mf_wd_explain(enum mf_wd_call call, uint32_t code)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(errors); i++)
		if (errors[i].call == call && errors[i].code == code)
			return errors[i].text;
	return NULL;
}

int mf_wd_error_code(enum mf_wd_call call, uint32_t code)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(errors); i++)
		if (errors[i].call == call && errors[i].code == code)
			return errors[i].error;
	return MF_E_IO;
}

/* ---- filters ---- */

/* "tcp.SrcPort == 9080 or ...": the listeners' end of a packet. Return: false: there are none */
static bool put_ports(char *buf, size_t size, const struct mf_wd_capture *c, const char *end)
{
	const struct {
		const char *proto;
		uint16_t port;
	} listeners[] = { { "tcp", c->tcp_port },
			  { "udp", c->udp_port },
			  { "tcp", c->dns_port },
			  { "udp", c->dns_port } };
	size_t n = 0;

	buf[0] = '\0';

	for (size_t i = 0; i < MF_ARRAY_SIZE(listeners); i++)
		if (listeners[i].port)
			n += (size_t)snprintf(buf + n, size - n, "%s%s.%s == %u", n ? " or " : "",
					      listeners[i].proto, end, listeners[i].port);
	return n > 0;
}

/* " or (ip and (tcp.SrcPort == 9080 ...))" for the listeners of one family, or nothing. */
static int put_answers(char *buf, size_t size, const struct mf_wd_capture *c, const char *family,
		       enum mf_redirect_method method)
{
	char ports[160];

	if (!put_ports(ports, sizeof(ports), c, "SrcPort"))
		return 0;
	return snprintf(buf, size, " or (%s%s and (%s))", family,
			method == MF_METHOD_LOOPBACK ? " and loopback" : "", ports);
}

/*
 * A listener of reflected packets is reached from the network as well. What comes from there is taken away: what we send
 * ourselves the driver does not show us.
 */
static int put_uninvited(char *buf, size_t size, const struct mf_wd_capture *c, const char *family,
			 enum mf_redirect_method method)
{
	char ports[160];

	if (method != MF_METHOD_REFLECT || !put_ports(ports, sizeof(ports), c, "DstPort"))
		return 0;
	return snprintf(buf, size, " or (inbound and %s and (%s))", family, ports);
}

const char *mf_wd_filter_packets(const struct mf_wd_capture *c, char *buf, size_t size)
{
	int n;

	/* Each family is asked of its own field: an IPv6 address is above every IPv4 one, so one bound cannot be for both. */
	n = snprintf(
		buf, size,
		"(outbound and ((not loopback and (ip ? ip.DstAddr < 224.0.0.0 : ipv6.DstAddr < "
		"ff00::) and (tcp or %s or fragment))",
		c->dns_only ? "udp.DstPort == 53" : "udp");
	n += put_answers(buf + n, size - (size_t)n, c, "ip", c->method4);
	n += put_answers(buf + n, size - (size_t)n, c, "ipv6", c->method6);
	n += snprintf(buf + n, size - (size_t)n, " or icmp.Type == 3 or icmpv6.Type == 1))");
	n += put_uninvited(buf + n, size - (size_t)n, c, "ip", c->method4);
	put_uninvited(buf + n, size - (size_t)n, c, "ipv6", c->method6);
	return buf;
}

/* ---- addresses ---- */

/* Words, the least significant first, as bytes in network order. Return: false for IPv4, which is mapped. */
static bool read_words(const uint32_t words[4], uint8_t ret[16])
{
	for (unsigned i = 0; i < 4; i++)
		mf_store_be32(ret + 4 * i, words[3 - i]);
	return words[3] || words[2] || words[1] != 0xffff;
}

bool mf_wd_read_event(const struct mf_wd_address *addr, struct mf_flow_event *ret)
{
	static const int8_t kinds[] = {
		[MF_WD_BIND] = -1,
		[MF_WD_CONNECT] = MF_FLOW_EVENT_CONNECT,
		[MF_WD_LISTEN] = MF_FLOW_EVENT_LISTEN,
		[MF_WD_ACCEPT] = MF_FLOW_EVENT_ACCEPT,
		[MF_WD_CLOSE] = MF_FLOW_EVENT_CLOSE,
	};
	const struct mf_wd_socket *s = &addr->socket;
	uint32_t event = MF_WD_EVENT(addr->bits);
	struct mf_flow f = { .src_port = s->local_port,
			     .dst_port = s->remote_port,
			     .proto = s->protocol,
			     .family = addr->bits & MF_WD_IPV6 ? 6 : 4 };
	uint8_t src[16], dst[16];

	if (MF_WD_LAYER(addr->bits) != MF_WD_SOCKET || event < MF_WD_CONNECT ||
	    event >= MF_ARRAY_SIZE(kinds) ||
	    (s->protocol != MF_PROTO_TCP && s->protocol != MF_PROTO_UDP))
		return false;
	read_words(s->local_addr, src);
	read_words(s->remote_addr, dst);
	/* A dual-stack socket that speaks to an IPv4 peer: its packets are IPv4. */
	if (f.family == 6 && s->local_addr[1] == 0xffff && !s->local_addr[2] && !s->local_addr[3])
		f.family = 4;
	if (f.family == 4) {
		memcpy(f.src, src + 12, 4);
		memcpy(f.dst, dst + 12, 4);
	} else {
		memcpy(f.src, src, 16);
		memcpy(f.dst, dst, 16);
	}
	ret->kind = (enum mf_flow_event_kind)kinds[event];
	ret->flow = f;
	ret->pid = s->pid;
	return true;
}

/* Offload leaves checksums to the hardware: what the field holds then says nothing. */
static enum mf_csum_kind csum_kind(uint32_t bits, uint8_t proto, bool v4)
{
	uint32_t valid = proto == MF_PROTO_TCP	 ? MF_WD_TCP_CSUM_VALID
			 : proto == MF_PROTO_UDP ? MF_WD_UDP_CSUM_VALID
			 : proto == MF_PROTO_ICMP || proto == MF_PROTO_ICMPV6 || v4
				 ? 0
				 : MF_WD_TCP_CSUM_VALID | MF_WD_UDP_CSUM_VALID;

	/* Behind IPv6 extension headers stands either. */

	return (bits & valid) == valid ? MF_CSUM_FULL : MF_CSUM_ABSENT;
}

uint32_t mf_wd_read_packet(const struct mf_wd_address *addr, uint8_t *ptr, size_t len,
			   struct mf_packet *ret)
{
	uint32_t pkt_len = 0;
	uint8_t proto = 0;

	if (len >= 20 && ptr[0] >> 4 == 4) {
		pkt_len = mf_load_be16(ptr + 2);
		proto = ptr[9];
		pkt_len = pkt_len < 20 ? 0 : pkt_len;
	} else if (len >= 40 && ptr[0] >> 4 == 6) {
		pkt_len = 40u + mf_load_be16(ptr + 4);
		proto = ptr[6];
	}
	if (!pkt_len || pkt_len > len)
		return 0;
	ret->ptr = ptr;
	ret->len = pkt_len;
	ret->segment_len = 0;
	ret->interface = addr->network.if_idx;
	ret->sub_interface = addr->network.sub_if_idx;
	ret->csum = (uint8_t)csum_kind(addr->bits, proto, ptr[0] >> 4 == 4);
	ret->flags = (uint8_t)((addr->bits & MF_WD_OUTBOUND ? MF_PACKET_OUTBOUND : 0) |
			       (addr->bits & MF_WD_LOOPBACK ? MF_PACKET_LOOPBACK : 0) |
			       (addr->bits & MF_WD_IMPOSTOR ? MF_PACKET_IMPOSTOR : 0));
	_Static_assert(sizeof(*addr) == MF_PACKET_OWN_MAX,
		       "the whole address goes with the packet (W6)");
	memcpy(ret->own, addr, sizeof(*addr));
	return pkt_len;
}

/*
 * Checksum bits. The ones that the driver had set stay: rewriting keeps right checksums right. The ones that were clear
 * stay clear, and the driver computes. What the pipeline built itself it lets the driver compute as well.
 */
void mf_wd_write_address(const struct mf_packet *pkt, struct mf_wd_address *ret)
{
	memcpy(ret, pkt->own, sizeof(*ret));
	if (pkt->flags & MF_PACKET_BUILT)
		*ret = (struct mf_wd_address){ .timestamp = ret->timestamp };
	ret->bits &= ~(MF_WD_OUTBOUND | MF_WD_LOOPBACK | MF_WD_IPV6 | 0xffffu);
	ret->bits |= MF_WD_NETWORK | MF_WD_PACKET << 8;
	ret->bits |= pkt->flags & MF_PACKET_OUTBOUND ? MF_WD_OUTBOUND : 0;
	ret->bits |= pkt->flags & MF_PACKET_LOOPBACK ? MF_WD_LOOPBACK : 0;
	ret->bits |= pkt->len && pkt->ptr[0] >> 4 == 6 ? MF_WD_IPV6 : 0;
	if (pkt->csum != MF_CSUM_FULL)
		ret->bits &= ~(MF_WD_TCP_CSUM_VALID | MF_WD_UDP_CSUM_VALID);
	ret->network.if_idx = pkt->interface;
	ret->network.sub_if_idx = pkt->sub_interface;
}
