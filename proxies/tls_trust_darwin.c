/* SPDX-License-Identifier: Apache-2.0 */
/* tls_trust_darwin.c - see tls_trust.h; the keychains' roots as a file, which the system or a package manager keeps */
#include <openssl/ssl.h>

#include "core/base/err.h"
#include "proxies/tls_trust.h"

void mf_tls_trust_start(void)
{
}

int mf_tls_trust_system(SSL_CTX *ctx)
{
	int defaults = SSL_CTX_set_default_verify_paths(ctx);

	/* an OpenSSL of a package manager has its own; the system's copy is there on every Mac */
	return SSL_CTX_load_verify_locations(ctx, "/etc/ssl/cert.pem", NULL) == 1 || defaults == 1
		       ? 0
		       : MF_E_IO;
}
