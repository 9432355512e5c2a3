/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_suites.h - the cipher suites of TLS 1.3 in our order
 *
 * A handshake derives some twenty keys, each by several hashes. Processors have instructions for SHA-256, few have them for
 * SHA-384: with SHA-256 a handshake costs an eighth less. Browsers have the same order; what the other side wants counts where
 * it is not the one that chooses.
 */
#ifndef MF_PROXIES_TLS_SUITES_H
#define MF_PROXIES_TLS_SUITES_H

#define MF_TLS_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

#endif
