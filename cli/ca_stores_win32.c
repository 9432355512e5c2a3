/* SPDX-License-Identifier: Apache-2.0 */
/* ca_stores_win32.c - see ca_stores.h: the user's store of root certificates; Windows asks the user before it adds or removes */
#include <windows.h>

#include <wincrypt.h>

/* wincrypt.h has macros of the names of OpenSSL's types */
#undef X509_NAME
#undef X509_EXTENSIONS
#undef PKCS7_SIGNER_INFO
#undef OCSP_REQUEST
#undef OCSP_RESPONSE

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "cli/ca_stores.h"
#include "core/base/win32.h"

void mf_ca_stores_find(struct mf_ca_stores *ret)
{
	ret->cnt = 1;
	ret->items[0] =
		(struct mf_ca_store){ .kind = MF_CA_STORE_SYSTEM, .path = "CurrentUser\\Root" };
}

static int fail(struct mf_err *err, const char *what)
{
	DWORD code = GetLastError();
	char text[200];

	return mf_err_set(
		err, code == ERROR_CANCELLED || code == ERROR_ACCESS_DENIED ? MF_E_PERM : MF_E_IO,
		"Cannot %s the user's root certificates: %s.", what,
		mf_win32_message(code, text, sizeof(text)));
}

/* The user's own part of the store only: what the machine trusts is not ours to change. */
static HCERTSTORE open_store(bool to_write)
{
	return CertOpenStore(CERT_STORE_PROV_SYSTEM_REGISTRY_W, 0, 0,
			     CERT_SYSTEM_STORE_CURRENT_USER |
				     (to_write ? 0 : CERT_STORE_READONLY_FLAG),
			     L"ROOT");
}

/* @cert as Windows has it, to be freed; NULL without memory. */
static const CERT_CONTEXT *make_context(const struct mf_ca_cert *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert->x509, &der);
	const CERT_CONTEXT *context =
		len > 0 ? CertCreateCertificateContext(X509_ASN_ENCODING, der, (DWORD)len) : NULL;

	OPENSSL_free(der);
	return context;
}

static const CERT_CONTEXT *find(HCERTSTORE store, const struct mf_ca_cert *cert)
{
	const CERT_CONTEXT *ours = make_context(cert);
	const CERT_CONTEXT *found =
		ours ? CertFindCertificateInStore(store, X509_ASN_ENCODING, 0, CERT_FIND_EXISTING,
						  ours, NULL)
		     : NULL;

	if (ours)
		CertFreeCertificateContext(ours);
	return found;
}

int mf_ca_store_has(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err)
{
	HCERTSTORE roots = open_store(false);
	const CERT_CONTEXT *found;

	(void)store;
	if (!roots) // a user who never added one has none
		return GetLastError() == ERROR_FILE_NOT_FOUND ? 0 : fail(err, "read");
	found = find(roots, cert);
	if (found)
		CertFreeCertificateContext(found);
	CertCloseStore(roots, 0);
	return found != NULL;
}

int mf_ca_store_add(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err)
{
	HCERTSTORE roots = open_store(true);
	const CERT_CONTEXT *ours = make_context(cert);
	int r = 0;

	(void)store;
	if (!roots || !ours ||
	    !CertAddCertificateContextToStore(roots, ours, CERT_STORE_ADD_USE_EXISTING, NULL))
		r = fail(err, "add to");
	if (ours)
		CertFreeCertificateContext(ours);
	if (roots)
		CertCloseStore(roots, 0);
	return r;
}

int mf_ca_store_remove(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		       struct mf_err *err)
{
	HCERTSTORE roots = open_store(true);
	const CERT_CONTEXT *found;
	int r = 0;

	(void)store;
	if (!roots)
		return fail(err, "open");
	found = find(roots, cert);
	if (found && !CertDeleteCertificateFromStore(found)) // which frees it in any case
		r = fail(err, "remove from");
	CertCloseStore(roots, 0);
	return r;
}
