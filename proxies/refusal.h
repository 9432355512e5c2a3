/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.h - telling a program in its own protocol that it may not
 *
 * A denied TCP connection is answered by what its client speaks, as far as its first bytes show: TLS gets an alert,
 * cleartext HTTP a 403 with rule and reason, anything else a reset.
 */
#ifndef MF_PROXIES_REFUSAL_H
#define MF_PROXIES_REFUSAL_H

#include <moonfence/moonfence.h>

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

#define MF_HTTP_REFUSAL_MAX 4096
/** mf_http_write_refusal() - A whole 403 response; Return: its length (at most MF_HTTP_REFUSAL_MAX) */
size_t mf_http_write_refusal(const struct mf_decision *d, const char *target, char *out);

/** mf_decision_reason() - What to tell a person: message, reason, or rule; never NULL */
const char *mf_decision_reason(const struct mf_decision *d);

#endif
