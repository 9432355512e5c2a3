/* SPDX-License-Identifier: Apache-2.0 */
/* leaf.c - ca_leaf DIR NAME: what the authority in DIR makes for NAME, key and certificate as PEM, for a server of a test */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "proxies/tls_authority.h"

int main(int argc, char **argv)
{
	struct mf_tls_authority *ca;
	struct mf_err err;
	SSL_CTX *ctx;
	bool ok;

	if (argc != 3)
		return 2;
	if (mf_tls_authority_open(argv[1], &ca, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	if (mf_tls_authority_certify(ca, argv[2], &ctx, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		mf_tls_authority_free(ca);
		return 1;
	}
	ok = PEM_write_PKCS8PrivateKey(stdout, SSL_CTX_get0_privatekey(ctx), NULL, NULL, 0, NULL,
				       NULL) == 1 &&
	     PEM_write_X509(stdout, SSL_CTX_get0_certificate(ctx)) == 1;
	mf_tls_authority_free(ca);
	return ok ? 0 : 1;
}
