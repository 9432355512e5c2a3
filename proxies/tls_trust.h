/* SPDX-License-Identifier: Apache-2.0 */
/* tls_trust.h - whom the system trusts; one file per system for where it says so */
#ifndef MF_PROXIES_TLS_TRUST_H
#define MF_PROXIES_TLS_TRUST_H

#include <openssl/types.h>

/**
 * mf_tls_trust_start() - Before anything else of OpenSSL; any number of times
 * On Windows no configuration file is read: the folder that it would be read from, \ssl on the current drive, anybody may
 * make.
 */
void mf_tls_trust_start(void);

/**
 * mf_tls_trust_system() - Let @ctx trust the authorities that the system's own programs trust
 * Linux: OpenSSL's default file and folder, SSL_CERT_FILE and SSL_CERT_DIR. Windows: the store of root certificates, but
 * for those that may not vouch for servers; roots that Windows would fetch at need are not fetched.
 * Cost: on Windows a copy of each certificate, some milliseconds. Return: 0 or MF_E_IO (none found)
 */
int mf_tls_trust_system(SSL_CTX *ctx);

#endif
