/* SPDX-License-Identifier: Apache-2.0 */
/*
 * windivert_abi.h - what WinDivert 2.2 expects of its callers: numbers, the 80-byte address, the calls we use
 *
 * Our own declarations after the published documentation, so that no header of the driver's kit is needed and the DLL can
 * be loaded at run time. 64-bit x86 alone. No Windows header is included: a handle is a void pointer, BOOL is int32_t,
 * and the x64 calling convention has no decoration. Packets are in network order; everything else is in host order.
 */
#ifndef MF_CAPTURE_WINDIVERT_ABI_H
#define MF_CAPTURE_WINDIVERT_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/backend.h"
#include "capture/pipeline.h"

enum mf_wd_layer {
	MF_WD_NETWORK = 0,
	MF_WD_NETWORK_FORWARD = 1,
	MF_WD_FLOW = 2,
	MF_WD_SOCKET = 3,
	MF_WD_REFLECT = 4,
};

enum mf_wd_event {
	MF_WD_PACKET = 0,
	MF_WD_ESTABLISHED = 1,
	MF_WD_DELETED = 2,
	MF_WD_BIND = 3,
	MF_WD_CONNECT = 4,
	MF_WD_LISTEN = 5,
	MF_WD_ACCEPT = 6,
	MF_WD_CLOSE = 7,
};

/* Flags of open */
#define MF_WD_FLAG_SNIFF      UINT64_C(0x01) /* copy instead of divert */
#define MF_WD_FLAG_DROP	      UINT64_C(0x02)
#define MF_WD_FLAG_RECV_ONLY  UINT64_C(0x04)
#define MF_WD_FLAG_SEND_ONLY  UINT64_C(0x08)
#define MF_WD_FLAG_NO_INSTALL UINT64_C(0x10)
#define MF_WD_FLAG_FRAGMENTS  UINT64_C(0x20) /* inbound fragments as they come, not reassembled */

#define MF_WD_PRIORITY_MIN    (-30000)
#define MF_WD_PRIORITY_MAX    30000

enum mf_wd_how { MF_WD_SHUTDOWN_RECV = 1, MF_WD_SHUTDOWN_SEND = 2, MF_WD_SHUTDOWN_BOTH = 3 };

enum mf_wd_param {
	MF_WD_QUEUE_LENGTH = 0, /* packets */
	MF_WD_QUEUE_TIME = 1,	/* ms */
	MF_WD_QUEUE_SIZE = 2,	/* bytes */
	MF_WD_VERSION_MAJOR = 3,
	MF_WD_VERSION_MINOR = 4,
};

#define MF_WD_QUEUE_LENGTH_MAX 16384
#define MF_WD_QUEUE_TIME_MAX   16000
#define MF_WD_QUEUE_SIZE_MAX   33554432

#define MF_WD_BATCH_MAX	       255	    /* packets of one receive or send */
#define MF_WD_PACKET_MAX       (40 + 65535) /* bytes */

/* struct mf_wd_address bits */
#define MF_WD_LAYER(bits) ((bits)&0xffu)
#define MF_WD_EVENT(bits) ((bits) >> 8 & 0xffu)
#define MF_WD_SNIFFED	  0x00010000u
#define MF_WD_OUTBOUND	  0x00020000u
#define MF_WD_LOOPBACK	  0x00040000u
#define MF_WD_IMPOSTOR	  0x00080000u
#define MF_WD_IPV6	  0x00100000u
#define MF_WD_IP_CSUM_VALID \
	0x00200000u /* these three: clear makes the driver compute the checksum on send */
#define MF_WD_TCP_CSUM_VALID  0x00400000u
#define MF_WD_UDP_CSUM_VALID  0x00800000u
#define MF_WD_CSUM_VALID_MASK 0x00e00000u

struct mf_wd_network {
	uint32_t if_idx, sub_if_idx;
};

/* FLOW and SOCKET. Addresses: words with the least significant first; IPv4 is mapped into IPv6. */
struct mf_wd_socket {
	uint64_t endpoint_id, parent_endpoint_id;
	uint32_t pid;
	uint32_t local_addr[4], remote_addr[4];
	uint16_t local_port, remote_port;
	uint8_t protocol;
};

struct mf_wd_address {
	int64_t timestamp; /* QueryPerformanceCounter's ticks */
	uint32_t bits;
	uint32_t reserved; /* 0 */
	union {
		struct mf_wd_network network;
		struct mf_wd_socket socket;
		uint8_t bytes[64];
	};
};

_Static_assert(sizeof(struct mf_wd_address) == 80, "the driver's address has 80 bytes");
_Static_assert(_Alignof(struct mf_wd_address) == 8, "");
_Static_assert(offsetof(struct mf_wd_address, bits) == 8, "");
_Static_assert(offsetof(struct mf_wd_address, network.if_idx) == 16, "");
_Static_assert(offsetof(struct mf_wd_address, network.sub_if_idx) == 20, "");
_Static_assert(offsetof(struct mf_wd_address, socket.endpoint_id) == 16, "");
_Static_assert(offsetof(struct mf_wd_address, socket.parent_endpoint_id) == 24, "");
_Static_assert(offsetof(struct mf_wd_address, socket.pid) == 32, "");
_Static_assert(offsetof(struct mf_wd_address, socket.local_addr) == 36, "");
_Static_assert(offsetof(struct mf_wd_address, socket.remote_addr) == 52, "");
_Static_assert(offsetof(struct mf_wd_address, socket.local_port) == 68, "");
_Static_assert(offsetof(struct mf_wd_address, socket.remote_port) == 70, "");
_Static_assert(offsetof(struct mf_wd_address, socket.protocol) == 72, "");

/* Errors that the calls leave in GetLastError(); which call gives which one: mf_wd_explain_open() and its neighbours. */
enum mf_wd_error {
	MF_WD_E_FILE_NOT_FOUND = 2,
	MF_WD_E_ACCESS_DENIED = 5,
	MF_WD_E_INVALID_HANDLE = 6,
	MF_WD_E_NOT_ENOUGH_MEMORY = 8,
	MF_WD_E_INVALID_PARAMETER = 87,
	MF_WD_E_INSUFFICIENT_BUFFER = 122,
	MF_WD_E_NO_DATA = 232,	      /* shut down: the normal end of a receiver */
	MF_WD_E_BAD_IMAGE_HASH = 577, /* signature */
	MF_WD_E_OTHER_VERSION = 654,
	MF_WD_E_OPERATION_ABORTED = 995,
	MF_WD_E_SERVICE_DOES_NOT_EXIST = 1060,
	MF_WD_E_INCORRECT_ADDRESS = 1214,
	MF_WD_E_HOST_UNREACHABLE = 1232, /* loop guard: the hop limit reached 0 */
	MF_WD_E_DRIVER_BLOCKED = 1275,
	MF_WD_E_NO_SYSTEM_RESOURCES = 1450,
	MF_WD_E_NO_FILTERING_ENGINE = 1753,
};

/* What open returns when it fails; [!] 0 as well, when the DLL ran out of memory. */
#define MF_WD_INVALID_HANDLE ((void *)(intptr_t)-1)

/* The calls that we use. BOOLs are not 0 on success. */
struct mf_wd_calls {
	void *(*open)(const char *filter, int32_t layer, int16_t priority, uint64_t flags);
	int32_t (*recv)(void *handle, void *buf, uint32_t room, uint32_t *ret_len,
			struct mf_wd_address *ret_addr);
	int32_t (*recv_ex)(void *handle, void *buf, uint32_t room, uint32_t *ret_len,
			   uint64_t flags, struct mf_wd_address *ret_addrs, uint32_t *addrs_bytes,
			   void *overlapped);
	int32_t (*send)(void *handle, const void *pkt, uint32_t len, uint32_t *ret_sent,
			const struct mf_wd_address *addr);
	int32_t (*send_ex)(void *handle, const void *pkts, uint32_t len, uint32_t *ret_sent,
			   uint64_t flags, const struct mf_wd_address *addrs, uint32_t addrs_bytes,
			   void *overlapped);
	int32_t (*shutdown)(void *handle, int32_t how);
	int32_t (*close)(void *handle);
	int32_t (*set_param)(void *handle, int32_t param, uint64_t value);
	int32_t (*get_param)(void *handle, int32_t param, uint64_t *ret_value);
};

/* Which call an error came from. */
enum mf_wd_call {
	MF_WD_CALL_OPEN,
	MF_WD_CALL_RECV,
	MF_WD_CALL_SEND,
	MF_WD_CALL_PARAM,
	MF_WD_CALL_NUM
};

/**
 * mf_wd_explain() - What an error means and what to do about it: a clause that stands behind "cannot ...: "
 * Return: text with static lifetime; NULL for a code that the call is not known to give
 */
const char *mf_wd_explain(enum mf_wd_call call, uint32_t code);

/** mf_wd_error_code() - The MF_E_* of an error */
int mf_wd_error_code(enum mf_wd_call call, uint32_t code);

#define MF_WD_FILTER_MAX 1024

/* What the filter of the packets depends on. Ports are those of our listeners, 0 for none. */
struct mf_wd_capture {
	enum mf_redirect_method method4, method6;
	uint16_t tcp_port, udp_port, dns_port;
	bool dns_only; /* of UDP only what goes to port 53 */
};

/**
 * mf_wd_filter_packets() - The filter of the NETWORK handle, into @buf of at least MF_WD_FILTER_MAX bytes
 * Programs' packets on their way out, but for loopback and multicast; later fragments, that have no ports; our listeners'
 * answers; ICMP errors, which may quote a rewritten packet; and what comes from the network to a listener of reflected
 * packets. Return: @buf
 */
const char *mf_wd_filter_packets(const struct mf_wd_capture *c, char *buf, size_t size);

/* The filter of the SOCKET handle. Events of raw injections have another protocol and fall out. */
#define MF_WD_FILTER_EVENTS "(tcp or udp) and event != BIND"

/**
 * mf_wd_read_event() - A SOCKET address as a flow event; @ret->time_ns is left alone
 * Return: false for what is no event of a TCP or UDP flow
 */
bool mf_wd_read_event(const struct mf_wd_address *addr, struct mf_flow_event *ret);

/**
 * mf_wd_read_packet() - The packet at the start of @len bytes, as the pipeline gets it; @ret->time_ns is left alone
 * Return: its length; 0 if its header does not say a length that is there
 */
uint32_t mf_wd_read_packet(const struct mf_wd_address *addr, uint8_t *ptr, size_t len,
			   struct mf_packet *ret);

/** mf_wd_write_address() - The address that a packet is sent with */
void mf_wd_write_address(const struct mf_packet *pkt, struct mf_wd_address *ret);

#endif
