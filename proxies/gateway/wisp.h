/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wisp.h - the packets of Wisp, versions 1 and 2 (draft 6): many TCP and UDP streams in one WebSocket
 *
 *	type:u8 | stream:u32 | payload		little-endian; one binary message is one packet
 *
 *	CONNECT		type of the stream:u8, port:u16, host
 *	DATA		bytes; on UDP one datagram
 *	CONTINUE	packets:u32 that the server has room for on this stream
 *	CLOSE		reason:u8
 *	INFO		major:u8, minor:u8, extensions: id:u8, length:u32, payload
 *
 * DATA is handed on in pieces as it comes, so a long packet costs no memory; every other packet is kept until it is whole, within
 * MF_WISP_KEPT_MAX.
 */
#ifndef MF_PROXIES_GATEWAY_WISP_H
#define MF_PROXIES_GATEWAY_WISP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"

#define MF_WISP_HEAD	   5
#define MF_WISP_PACKET_MAX (MF_WISP_HEAD + (16u << 20))
#define MF_WISP_KEPT_MAX   8192
#define MF_WISP_HOST_MAX   1024

enum mf_wisp_type {
	MF_WISP_CONNECT = 1,
	MF_WISP_DATA,
	MF_WISP_CONTINUE,
	MF_WISP_CLOSE,
	MF_WISP_INFO,
};

enum { MF_WISP_TCP = 1, MF_WISP_UDP = 2 }; /* of CONNECT */

enum mf_wisp_reason {
	MF_WISP_UNSPECIFIED = 0x01,
	MF_WISP_VOLUNTARY = 0x02, /* and the server's end */
	MF_WISP_NETWORK_ERROR = 0x03,
	MF_WISP_INCOMPATIBLE = 0x04, /* on stream 0 */
	MF_WISP_INVALID = 0x41,
	MF_WISP_UNREACHABLE = 0x42,
	MF_WISP_CONNECT_TIMEOUT = 0x43,
	MF_WISP_REFUSED = 0x44,
	MF_WISP_DATA_TIMEOUT = 0x47,
	MF_WISP_BLOCKED = 0x48,
	MF_WISP_THROTTLED = 0x49,
	MF_WISP_CANNOT_RECEIVE = 0x81, /* a client's */
	MF_WISP_BAD_PASSWORD = 0xc0,   /* these on stream 0 */
	MF_WISP_BAD_SIGNATURE = 0xc1,
	MF_WISP_AUTH_REQUIRED = 0xc2,
};

enum mf_wisp_extension_id {
	MF_WISP_EXT_UDP = 1,
	MF_WISP_EXT_PASSWORD,
	MF_WISP_EXT_KEY,
	MF_WISP_EXT_MOTD,
	MF_WISP_EXT_CONFIRM, /* of a stream that is open, by CONTINUE */
};

enum { MF_WISP_ED25519 = 1 }; /* algorithms of MF_WISP_EXT_KEY, a bit each */

#define MF_WISP_CHALLENGE 64 /* bytes that a client signs */
#define MF_WISP_SIGNATURE 64

struct mf_wisp_packet {
	uint8_t type; /* may be none of enum mf_wisp_type */
	uint32_t stream;
	struct mf_span payload; /* of DATA: a piece */
	bool begins, ends;	/* of DATA: its first piece, its last */
	bool too_long;		/* longer than MF_WISP_KEPT_MAX: its payload was thrown away */
};

/* Zero is a good beginning. */
struct mf_wisp_reader {
	uint8_t head[MF_WISP_HEAD], head_len;
	bool told_head;
	uint32_t kept; /* bytes in @buf, and above its end those that were thrown away */
	uint8_t *buf;  /* while a packet comes in pieces */
};

/**
 * mf_wisp_read() - A piece of a message; @begins, @ends: the message's first, its last
 * Return: 1 with *ret, whose payload is valid until the next call; 0: nothing is whole yet; MF_E_BAD (the message is over, and is
 *         no packet), MF_E_NOMEM (the packet is lost)
 */
int mf_wisp_read(struct mf_wisp_reader *r, struct mf_span bytes, bool begins, bool ends,
		 struct mf_wisp_packet *ret);
void mf_wisp_reader_done(struct mf_wisp_reader *r);

/** mf_wisp_head_write() - The five bytes before a payload */
void mf_wisp_head_write(uint8_t type, uint32_t stream, uint8_t out[MF_WISP_HEAD]);

struct mf_wisp_connect {
	uint8_t type; /* may be neither MF_WISP_TCP nor MF_WISP_UDP */
	uint16_t port;
	struct mf_span host; /* not yet looked at */
};

/** mf_wisp_connect_read() - Return: 0; MF_E_BAD: too short, or no host in it, or too long a one */
int mf_wisp_connect_read(struct mf_span payload, struct mf_wisp_connect *ret);

struct mf_wisp_info {
	uint8_t major, minor;
	struct mf_span extensions;
};

struct mf_wisp_extension {
	uint8_t id;
	struct mf_span payload;
};

/** mf_wisp_info_read() - Return: 0; MF_E_BAD, also where its extensions do not fill it */
int mf_wisp_info_read(struct mf_span payload, struct mf_wisp_info *ret);
/** mf_wisp_next_extension() - Of *list, which is shortened; Return: 1 with *ret; 0: no more; MF_E_BAD */
int mf_wisp_next_extension(struct mf_span *list, struct mf_wisp_extension *ret);

/**
 * mf_wisp_password_read() - A client's name and password, in draft 6's form or the one before it
 *
 *	draft 6:	length of the name:u8, name, password
 *	before:		length of the name:u8, length of the password:u16, name, password
 *
 * Nothing says which one it is: it is the older one where that is exactly as long as it says. Return: 0, MF_E_BAD
 */
int mf_wisp_password_read(struct mf_span payload, struct mf_span *ret_name,
			  struct mf_span *ret_password);

/* A client's answer to a challenge. */
struct mf_wisp_key_proof {
	struct mf_span hash; /* of its public key: SHA-256 or SHA-512, by its length */
	struct mf_span signature;
};

/**
 * mf_wisp_key_read() - A client's part of MF_WISP_EXT_KEY
 *
 *	algorithm:u8, SHA-256 of the public key (before draft 6: SHA-512), signature of the challenge
 *
 * Return: 0; MF_E_BAD, also for any algorithm but Ed25519
 */
int mf_wisp_key_read(struct mf_span payload, struct mf_wisp_key_proof *ret);

/*
 * Where a WebSocket of these protocols leads, by its path: behind the path that is served come
 *
 *	[[/...]/TOKEN][/]		Wisp
 *	[[/...]/TOKEN]/HOST:PORT	wsproxy: one TCP connection
 */
struct mf_wisp_path {
	struct mf_span token; /* empty: there is none */
	struct mf_span host, port;
	bool wsproxy;
};

/** mf_wisp_path_read() - @rest: behind the path that is served, empty or beginning with a slash; Return: 0; MF_E_BAD: another path */
int mf_wisp_path_read(struct mf_span rest, struct mf_wisp_path *ret);

#endif
