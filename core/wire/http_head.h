/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_head.h - what a client speaks, and the head of a cleartext HTTP/1 request (RFC 9112): whom it is for, where it ends
 *
 * Pure and bounded: a head of more than MF_HTTP_HEAD_MAX bytes is malformed. A head that two servers could read in two ways
 * is malformed as well: more than one Host, a Host that differs from an absolute target, a folded line, a blank before a
 * colon, lengths that compete, a carriage return without its line feed.
 */
#ifndef MF_WIRE_HTTP_HEAD_H
#define MF_WIRE_HTTP_HEAD_H

#include <stdbool.h>

#include "core/base/span.h"

#define MF_HTTP_HEAD_MAX 32768 /* bytes; servers take 8 to 32 KiB */

enum mf_speech {
	MF_SPEECH_UNKNOWN, /* too few bytes to tell */
	MF_SPEECH_TLS,
	MF_SPEECH_HTTP,
	MF_SPEECH_HTTP2, /* the preface of a client that knows beforehand (RFC 9113 §3.3) */
	MF_SPEECH_OTHER
};

#define MF_HTTP2_PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define MF_HTTP2_PREFACE_LEN 24

/** mf_speech_of() - What a client speaks, from its first bytes */
enum mf_speech mf_speech_of(struct mf_span first);

struct mf_http_head {
	struct mf_span method, target;
	struct mf_span
		host; /* of an absolute target, of CONNECT's, or of Host; without port and brackets; empty: none */
	uint64_t body_len; /* what follows the head; 0 where it is @chunked */
	uint16_t port;	   /* of CONNECT's target; 0: none */
	bool chunked, connect;
	bool upgrade; /* asks for another protocol on this connection */
	bool blind; /* ... that is a tunnel, and its target stands in the path (RFC 9298, RFC 9484) */
};

/** mf_http_find_end() - Bytes of the head with its empty line; 0: not complete. @from: bytes known to hold no end */
size_t mf_http_find_end(struct mf_span bytes, size_t from);

/**
 * mf_http_read_head() - Take a complete head apart
 * Return: 0 or MF_E_BAD
 */
int mf_http_read_head(struct mf_span head, struct mf_http_head *ret);

/**
 * mf_http_next_field() - The fields of a head that mf_http_read_head() was content with, one by one
 * @at: 0 at first; where the next one is
 * Return: false: no more
 */
bool mf_http_next_field(struct mf_span head, size_t *at, struct mf_span *ret_name,
			struct mf_span *ret_value);

/**
 * mf_http_read_authority() - "name", "name:port", "[address]:port" without the port
 * @ret_port: 0 where there is none; may be NULL
 * Return: 0 or MF_E_BAD: empty, with a user, or with bytes that no authority has
 */
int mf_http_read_authority(struct mf_span text, struct mf_span *ret_host, uint16_t *ret_port);

/**
 * mf_http_find_host() - Whom the first request is for
 * Return: 0; MF_E_AGAIN (head not complete); MF_E_NOENT (it says nobody); MF_E_BAD
 */
int mf_http_find_host(struct mf_span bytes, struct mf_span *ret_host);

/**
 * mf_http_find_request() - Method and path of the request line, for events
 * Return: 0 or MF_E_BAD
 */
int mf_http_find_request(struct mf_span head, struct mf_span *ret_method,
			 struct mf_span *ret_target);

#endif
