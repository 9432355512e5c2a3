/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stun.h - STUN messages of ICE: read, checked, written (RFC 8489, RFC 8445 7.1 and 16); no sockets, no clock
 *
 * Short-term credentials only: MESSAGE-INTEGRITY is HMAC-SHA1 keyed with a password, as ICE has it. Every message that is read
 * must end in a FINGERPRINT, which ICE demands.
 */
#ifndef MF_PROXIES_RTC_STUN_H
#define MF_PROXIES_RTC_STUN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/addr.h"
#include "core/base/span.h"

enum {
	MF_STUN_REQUEST = 0x0001, /* all of method Binding */
	MF_STUN_INDICATION = 0x0011,
	MF_STUN_SUCCESS = 0x0101,
	MF_STUN_ERROR = 0x0111,

	MF_STUN_ID_LEN = 12,
	MF_STUN_UNKNOWN_MAX = 8, /* attributes that an answer 420 names */
	MF_STUN_MESSAGE_MAX = 1280,
};

/* A message that was read; the spans point into it. */
struct mf_stun {
	struct mf_span whole;
	uint16_t type;
	uint8_t id[MF_STUN_ID_LEN];
	struct mf_span username; /* ptr NULL: none */
	bool has_priority, use_candidate, controlling, controlled;
	uint32_t priority;
	uint64_t tie_breaker;
	uint16_t error;		   /* of an error response: 300 to 699 */
	struct mf_endpoint mapped; /* XOR-MAPPED-ADDRESS; family 0: none */
	uint16_t integrity_at;	   /* where MESSAGE-INTEGRITY begins; 0: none */
	uint16_t unknown
		[MF_STUN_UNKNOWN_MAX]; /* comprehension-required ones that are not known here */
	uint8_t unknown_cnt;
};

/**
 * mf_stun_read() - One datagram
 * Attributes behind MESSAGE-INTEGRITY are ignored, but FINGERPRINT, which is checked. Of a repeated attribute the first counts.
 * Return: 0; MF_E_NOT_MINE: no STUN message, or of another method; MF_E_BAD: malformed, without or with a wrong FINGERPRINT
 */
int mf_stun_read(struct mf_span datagram, struct mf_stun *ret);

/** mf_stun_is_whole() - Whether its MESSAGE-INTEGRITY is that of @password; false where it has none. Constant time. */
bool mf_stun_is_whole(const struct mf_stun *msg, struct mf_span password);

/* A message that is written. What does not fit makes it empty. */
struct mf_stun_out {
	uint8_t buf[MF_STUN_MESSAGE_MAX];
	size_t len;
	bool cut;
};

void mf_stun_begin(struct mf_stun_out *out, uint16_t type, const uint8_t id[MF_STUN_ID_LEN]);
void mf_stun_put_mapped(struct mf_stun_out *out, const struct mf_endpoint *ep);
void mf_stun_put_username(struct mf_stun_out *out, struct mf_span a, struct mf_span b);
void mf_stun_put_priority(struct mf_stun_out *out, uint32_t priority);
void mf_stun_put_role(struct mf_stun_out *out, bool controlling, uint64_t tie_breaker);
void mf_stun_put_use_candidate(struct mf_stun_out *out);
/** mf_stun_put_error() - ERROR-CODE without a phrase; 420 also names what was unknown */
void mf_stun_put_error(struct mf_stun_out *out, uint16_t code, const uint16_t *unknown, size_t cnt);
/** mf_stun_end() - Put MESSAGE-INTEGRITY and FINGERPRINT; Return: the length, 0: it did not fit, or no memory */
size_t mf_stun_end(struct mf_stun_out *out, struct mf_span password);

#endif
