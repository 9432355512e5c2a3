/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header.h - the PROXY protocol, versions 1 and 2: what a balancer says of a connection before its first byte
 *
 *	struct mf_proxy_reader r = { 0 };
 *
 *	while ((want = mf_proxy_reader_wants(&r)) > 0) {
 *		n = recv(fd, buf, want, 0);
 *		if (mf_proxy_reader_take(&r, buf, n, &header) < 0)
 *			... it is none
 *	}
 *
 * The connection speaks for itself right behind the header, so no byte beyond it may be read: the reader says how many may be.
 * Fields of type, length and value (authority, TLS, checksum) are skipped, not kept. Whom to believe is the caller's business.
 *
 * HAProxy, doc/proxy-protocol.txt, 2.1 (the line) and 2.2 (the binary header).
 */
#ifndef MF_PROXIES_PROXY_HEADER_H
#define MF_PROXIES_PROXY_HEADER_H

#include "core/base/addr.h"
#include "core/base/span.h"

enum {
	MF_PROXY_LINE_MAX = 107, /* of version 1, with its CRLF */
	MF_PROXY_READ_MAX = 512, /* the most that mf_proxy_reader_wants() says */
};

struct mf_proxy_header {
	/* false: LOCAL (a balancer's own check), UNKNOWN, a family that is no Internet: the socket's own addresses stand */
	bool has_addrs;
	struct mf_endpoint client, server;
};

/* Zeroed to begin with. */
struct mf_proxy_reader {
	uint8_t bytes[MF_PROXY_LINE_MAX];
	uint8_t len;
	bool done;
	uint32_t skip; /* bytes of version 2 that are of no interest */
};

/** mf_proxy_reader_wants() - Bytes that may be read now, at most; 0: the header is whole */
size_t mf_proxy_reader_wants(const struct mf_proxy_reader *r);

/** mf_proxy_reader_take() - @len: at most what it wanted. Return: 1: whole, *ret is filled in; 0: more; MF_E_BAD: no header */
int mf_proxy_reader_take(struct mf_proxy_reader *r, const uint8_t *bytes, size_t len,
			 struct mf_proxy_header *ret);

#endif
