/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_head.h - what a client speaks, and whom the first request of a cleartext HTTP/1 connection is for (RFC 9112)
 *
 * Pure and bounded: a head of more than 16 KiB is malformed.
 */
#ifndef MF_WIRE_HTTP_HEAD_H
#define MF_WIRE_HTTP_HEAD_H

#include "core/base/span.h"

enum mf_speech {
	MF_SPEECH_UNKNOWN, /* too few bytes to tell */
	MF_SPEECH_TLS,
	MF_SPEECH_HTTP,
	MF_SPEECH_OTHER
};

/** mf_speech_of() - What a client speaks, from its first bytes */
enum mf_speech mf_speech_of(struct mf_span first);

/**
 * mf_http_find_host() - The Host of a cleartext HTTP/1 request, without its port
 * Return: 0; MF_E_AGAIN (head not complete); MF_E_NOENT (no Host); MF_E_BAD (two different ones, no name)
 */
int mf_http_find_host(struct mf_span head, struct mf_span *ret_host);

/**
 * mf_http_find_request() - Method and path of the request line, for events
 * Return: 0 or MF_E_BAD
 */
int mf_http_find_request(struct mf_span head, struct mf_span *ret_method,
			 struct mf_span *ret_target);

#endif
