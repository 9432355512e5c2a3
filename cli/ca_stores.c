/* SPDX-License-Identifier: Apache-2.0 */
/* ca_stores.c - see ca_stores.h: what is the same on every system */
#include "cli/ca_stores.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

const char *const mf_ca_store_kinds[] = {
	[MF_CA_STORE_SYSTEM] = "system", [MF_CA_STORE_NSS] = "nss"
};
_Static_assert(MF_ARRAY_SIZE(mf_ca_store_kinds) == MF_CA_STORE_KIND_NUM, "a name for each kind");

int mf_ca_cert_of(X509 *x509, struct mf_ca_cert *ret)
{
	*ret = (struct mf_ca_cert){ .pem = mf_tls_certificate_pem(x509) };
	if (!ret->pem)
		return MF_E_NOMEM;
	mf_tls_certificate_hash(x509, ret->hash);
	if (X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, ret->name,
				      sizeof(ret->name)) <= 0) {
		free(ret->pem);
		return MF_E_BAD;
	}
	X509_up_ref(x509);
	ret->x509 = x509;
	return 0;
}

void mf_ca_cert_done(struct mf_ca_cert *cert)
{
	X509_free(cert->x509);
	free(cert->pem);
	*cert = (struct mf_ca_cert){ 0 };
}
