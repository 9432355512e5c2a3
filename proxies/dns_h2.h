/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_h2.h - DNS over HTTP/2 (RFC 8484, 9113) as bytes: no sockets, no TLS
 *
 * The protocol is nghttp2's. Where that library is not there, mf_dns_h2_new() says MF_E_UNSUPPORTED (dns_h2_none.c).
 */
#ifndef MF_PROXIES_DNS_H2_H
#define MF_PROXIES_DNS_H2_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"

struct mf_dns_h2;

/*
 * The end of a question. @msg: of a response 200 with the right media type; empty for anything else, and @why says what.
 * May call mf_dns_h2_ask() and mf_dns_h2_forget().
 */
typedef void (*mf_dns_h2_fn)(void *ctx, void *token, struct mf_span msg, const char *why);

/** mf_dns_h2_supported() - Whether this program was built with HTTP/2 */
bool mf_dns_h2_supported(void);

/** mf_dns_h2_new() - @authority, @path: copied; Return: 0, MF_E_NOMEM, MF_E_UNSUPPORTED */
int mf_dns_h2_new(const char *authority, const char *path, mf_dns_h2_fn fn, void *ctx,
		  struct mf_dns_h2 **ret);
void mf_dns_h2_free(struct mf_dns_h2 *h);

/** mf_dns_h2_ask() - Post @msg (copied); Return: the stream, above 0, or MF_E_* (MF_E_CLOSED: no new ones here) */
int32_t mf_dns_h2_ask(struct mf_dns_h2 *h, struct mf_span msg, void *token);
/** mf_dns_h2_forget() - The stream's token is not used again */
void mf_dns_h2_forget(struct mf_dns_h2 *h, int32_t stream);

/** mf_dns_h2_recv() - Plaintext from the server; Return: 0, or MF_E_BAD (a protocol error: close) */
int mf_dns_h2_recv(struct mf_dns_h2 *h, const uint8_t *bytes, size_t len);
/** mf_dns_h2_pull() - What to send next; Return: bytes at *ret, valid until the next call; 0: nothing; MF_E_BAD */
int mf_dns_h2_pull(struct mf_dns_h2 *h, const uint8_t **ret);
/** mf_dns_h2_ended() - The server said that it takes no more and nothing is open */
bool mf_dns_h2_ended(const struct mf_dns_h2 *h);

#endif
