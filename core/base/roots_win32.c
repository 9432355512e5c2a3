/* SPDX-License-Identifier: Apache-2.0 */
/* roots_win32.c - see roots_win32.h */
#include <windows.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wincrypt.h>

#include "core/base/roots_win32.h"

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

void mf_win32_roots(void (*each)(const unsigned char *der, size_t len, void *ctx), void *ctx)
{
	HCERTSTORE roots = CertOpenSystemStoreW(0, L"ROOT"),
		   disallowed = CertOpenSystemStoreW(0, L"Disallowed");
	const CERT_CONTEXT *cert = NULL;

	while (roots && (cert = CertEnumCertificatesInStore(roots, cert))) {
		if (is_for_servers(cert) && !is_disallowed(disallowed, cert))
			each(cert->pbCertEncoded, cert->cbCertEncoded, ctx);
	}
	if (roots)
		CertCloseStore(roots, 0);
	if (disallowed)
		CertCloseStore(disallowed, 0);
}
