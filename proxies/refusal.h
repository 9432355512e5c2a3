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

#include "core/wire/http_head.h"

#define MF_HTTP_REFUSAL_MAX 4096
/** mf_http_write_refusal() - A whole 403 response; Return: its length (at most MF_HTTP_REFUSAL_MAX) */
size_t mf_http_write_refusal(const struct mf_decision *d, const char *target, char *out);

#endif
