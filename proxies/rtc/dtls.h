/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dtls.h - DTLS by OpenSSL, datagrams in and out by calls; the peer is who the offer's fingerprint says (RFC 8827 6.5)
 *
 * DTLS 1.2 with AEAD suites; 1.3 comes with an OpenSSL that has it (3.0 to 3.5 have not). The owner says when time has passed.
 */
#ifndef MF_PROXIES_RTC_DTLS_H
#define MF_PROXIES_RTC_DTLS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/span.h"
#include "proxies/rtc/rtc.h"

enum {
	MF_DTLS_OVERHEAD = 13 + 8 + 16, /* of a record, at most: header, explicit nonce, tag */
};

/* Who we are: a key, its certificate, and what all connections have in common. */
struct mf_dtls_identity;
struct mf_dtls;

/** mf_dtls_identity_new() - An ECDSA P-256 key and a self-signed certificate without a name; NULL: no memory */
struct mf_dtls_identity *mf_dtls_identity_new(void);
void mf_dtls_identity_free(struct mf_dtls_identity *id);
void mf_dtls_identity_fingerprint(const struct mf_dtls_identity *id,
				  struct mf_rtc_fingerprint *ret);

struct mf_dtls_handler {
	/* A datagram for the peer */
	void (*output)(void *ctx, struct mf_span datagram);
	/* The handshake is done */
	void (*connected)(void *ctx);
	/* What a record held; valid inside */
	void (*plain)(void *ctx, struct mf_span data);
	/*
	 * Servers that ask for cookies only: what a cookie is bound to, the peer's address. Return: its length, at most 64.
	 * shown: the peer sent back a cookie that was made for it
	 */
	size_t (*whereabouts)(void *ctx, uint8_t buf[64]);
	void (*shown)(void *ctx);
};

struct mf_dtls_options {
	bool server;
	bool cookies;	   /* server: answer no hello without one (RFC 6347 4.2.1) */
	uint16_t mtu;	   /* bytes of a datagram of the handshake */
	uint16_t data_mtu; /* of one with data; 0: the same */
	struct mf_rtc_fingerprint peer;
};

/** mf_dtls_new() - @handler and @id are borrowed; sends nothing. NULL: no memory. Costs 50 KB */
struct mf_dtls *mf_dtls_new(struct mf_dtls_identity *id, const struct mf_dtls_options *options,
			    const struct mf_dtls_handler *handler, void *ctx);
/** mf_dtls_free() - Not from inside of a handler; @tell sends an alert close_notify before */
void mf_dtls_free(struct mf_dtls *d, bool tell);

/** mf_dtls_start() - A client's hello; Return: as mf_dtls_input() */
int mf_dtls_start(struct mf_dtls *d);
/**
 * mf_dtls_input() - One datagram of the peer's
 * Return: 0, also where it was thrown away; MF_E_CLOSED: the peer closed; MF_E_PERM: it is not whom the offer named; MF_E_BAD: the
 *         handshake failed, or an alert ended the connection
 */
int mf_dtls_input(struct mf_dtls *d, struct mf_span datagram);
/** mf_dtls_send() - One record with all of @data; Return: 0, MF_E_CLOSED: not connected, or ended; MF_E_LIMIT: over data_mtu */
int mf_dtls_send(struct mf_dtls *d, struct mf_span data);

/** mf_dtls_wait_ms() - Until mf_dtls_tick() has something to do; -1: nothing */
int mf_dtls_wait_ms(struct mf_dtls *d);
/** mf_dtls_tick() - Send what was lost again, if it is time; Return: as mf_dtls_input() */
int mf_dtls_tick(struct mf_dtls *d);

#endif
