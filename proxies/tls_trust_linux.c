/* SPDX-License-Identifier: Apache-2.0 */
/* tls_trust_linux.c - see tls_trust.h */
#include <openssl/ssl.h>

#include "core/base/err.h"
#include "proxies/tls_trust.h"

void mf_tls_trust_start(void)
{
}

int mf_tls_trust_system(SSL_CTX *ctx)
{
	return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : MF_E_IO;
}
