/* SPDX-License-Identifier: Apache-2.0 */
/* tls_trust_win32.c - see tls_trust.h */
#include <windows.h>

#include <wincrypt.h>

/* wincrypt.h has macros of the names of OpenSSL's types */
#undef X509_NAME
#undef X509_EXTENSIONS
#undef PKCS7_SIGNER_INFO
#undef OCSP_REQUEST
#undef OCSP_RESPONSE

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "proxies/tls_trust.h"

void mf_tls_trust_start(void)
{
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

/* Whether Windows lets @cert vouch for servers: without a list of usages it may do everything. */
static bool is_for_servers(const CERT_CONTEXT *cert)
{
	CERT_ENHKEY_USAGE *usage;
	DWORD size = 0;
	bool found = false;

	if (!CertGetEnhancedKeyUsage(cert, 0, NULL, &size))
		return GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
	usage = malloc(size);
	if (!usage || !CertGetEnhancedKeyUsage(cert, 0, usage, &size)) {
		free(usage);
		return false;
	}
	/* none: everything or nothing, which the last error tells apart */
	if (usage->cUsageIdentifier == 0)
		found = GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
	for (DWORD i = 0; i < usage->cUsageIdentifier; i++)
		found |= strcmp(usage->rgpszUsageIdentifier[i], szOID_PKIX_KP_SERVER_AUTH) == 0;
	free(usage);
	return found;
}

static bool is_disallowed(HCERTSTORE disallowed, const CERT_CONTEXT *cert)
{
	const CERT_CONTEXT *same =
		disallowed ? CertFindCertificateInStore(disallowed, X509_ASN_ENCODING, 0,
							CERT_FIND_EXISTING, cert, NULL)
			   : NULL;

	if (same)
		CertFreeCertificateContext(same);
	return same != NULL;
}

int mf_tls_trust_system(SSL_CTX *ctx)
{
	HCERTSTORE roots = CertOpenSystemStoreW(0, L"ROOT"),
		   disallowed = CertOpenSystemStoreW(0, L"Disallowed");
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	const CERT_CONTEXT *cert = NULL;
	unsigned cnt = 0;

	while (roots && (cert = CertEnumCertificatesInStore(roots, cert))) {
		const unsigned char *der = cert->pbCertEncoded;
		X509 *x509;

		if (!is_for_servers(cert) || is_disallowed(disallowed, cert))
			continue;
		x509 = d2i_X509(NULL, &der, (long)cert->cbCertEncoded);
		/* what OpenSSL cannot read nobody needs; what is there twice is no error either */
		if (x509)
			cnt += X509_STORE_add_cert(store, x509) == 1;
		X509_free(x509);
	}
	ERR_clear_error();
	if (roots)
		CertCloseStore(roots, 0);
	if (disallowed)
		CertCloseStore(disallowed, 0);
	return cnt ? 0 : MF_E_IO;
}
