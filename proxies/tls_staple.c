/* SPDX-License-Identifier: Apache-2.0 */
/* tls_staple.c - see tls_staple.h */
#include "proxies/tls_staple.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "proxies/tls_certificate.h"

enum {
	SKEW_S = 300,		    /* clocks differ */
	FEATURE_STATUS_REQUEST = 5, /* RFC 7633: numbers of TLS extensions */
	FEATURE_STATUS_REQUEST_V2 = 17,
};

const char *mf_tls_staple_error(enum mf_tls_staple staple)
{
	static const char *const texts[] = {
		[MF_TLS_STAPLE_NONE] = NULL,
		[MF_TLS_STAPLE_GOOD] = NULL,
		[MF_TLS_STAPLE_REVOKED] = "certificate revoked, says the stapled OCSP response",
		[MF_TLS_STAPLE_BAD] = "the stapled OCSP response cannot be verified",
		[MF_TLS_STAPLE_MISSING] =
			"the certificate demands a stapled OCSP response, and none came",
	};
	_Static_assert(MF_ARRAY_SIZE(texts) == MF_TLS_STAPLE_NUM, "what staples lead to");

	return texts[staple];
}

/* Whether the certificate has the TLS feature that demands a staple ("must-staple"). */
static bool demands_staple(const X509 *cert)
{
	TLS_FEATURE *features = X509_get_ext_d2i(cert, NID_tlsfeature, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++) {
		long n = ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i));

		found |= n == FEATURE_STATUS_REQUEST || n == FEATURE_STATUS_REQUEST_V2;
	}
	TLS_FEATURE_free(features);
	return found;
}

/* Whether a single response is about @cert. Its identifier says by which hash it was made. */
static bool is_about(const OCSP_SINGLERESP *single, const X509 *cert, const X509 *issuer)
{
	OCSP_CERTID *id = OCSP_CERTID_dup(OCSP_SINGLERESP_get0_id(single)), *ours = NULL;
	ASN1_OBJECT *md_name = NULL;
	const EVP_MD *md;
	bool same;

	if (id && OCSP_id_get0_info(NULL, &md_name, NULL, NULL, id) == 1 &&
	    (md = EVP_get_digestbyobj(md_name)))
		ours = OCSP_cert_to_id(md, cert, issuer);
	same = ours && OCSP_id_cmp(id, ours) == 0;
	OCSP_CERTID_free(ours);
	OCSP_CERTID_free(id);
	return same;
}

static enum mf_tls_staple status_of(OCSP_SINGLERESP *single, uint64_t *left_ms)
{
	ASN1_GENERALIZEDTIME *since, *until;
	int status = OCSP_single_get0_status(single, NULL, NULL, &since, &until);

	if (status == V_OCSP_CERTSTATUS_REVOKED)
		return MF_TLS_STAPLE_REVOKED;
	if (status != V_OCSP_CERTSTATUS_GOOD)
		return MF_TLS_STAPLE_BAD;
	if (OCSP_check_validity(since, until, SKEW_S, -1) != 1)
		return MF_TLS_STAPLE_NONE;
	if (until)
		mf_tls_time_left(until, left_ms);
	return MF_TLS_STAPLE_GOOD;
}

/* The strictest of what the response says about @cert: revoked, good, out of date; BAD: it is about others only */
static enum mf_tls_staple read_basic(OCSP_BASICRESP *basic, const X509 *cert, const X509 *issuer,
				     uint64_t *left_ms)
{
	enum mf_tls_staple all = MF_TLS_STAPLE_BAD;

	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
		enum mf_tls_staple one;

		if (!is_about(single, cert, issuer))
			continue;
		one = status_of(single, left_ms);
		if (one == MF_TLS_STAPLE_REVOKED || one == MF_TLS_STAPLE_BAD)
			return one;
		if (all != MF_TLS_STAPLE_GOOD)
			all = one;
	}
	return all;
}

static enum mf_tls_staple read_response(SSL *ssl, OCSP_RESPONSE *response, uint64_t *left_ms)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
	enum mf_tls_staple staple = MF_TLS_STAPLE_BAD;
	OCSP_BASICRESP *basic;

	if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return MF_TLS_STAPLE_NONE;
	basic = OCSP_response_get1_basic(response);
	// A certificate that nobody issued but itself has nobody who could revoke it.
	if (basic && sk_X509_num(chain) > 1 && OCSP_basic_verify(basic, chain, store, 0) == 1)
		staple = read_basic(basic, sk_X509_value(chain, 0), sk_X509_value(chain, 1),
				    left_ms);
	OCSP_BASICRESP_free(basic);
	return staple;
}

enum mf_tls_staple mf_tls_staple_check(SSL *ssl, uint64_t *left_ms)
{
	enum mf_tls_staple staple = MF_TLS_STAPLE_NONE;
	const unsigned char *der;
	OCSP_RESPONSE *response;
	long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (len > 0) {
		const unsigned char *at = der;

		response = d2i_OCSP_RESPONSE(NULL, &at, len);
		staple = response && at == der + len ? read_response(ssl, response, left_ms)
						     : MF_TLS_STAPLE_BAD;
		OCSP_RESPONSE_free(response);
	}
	if (staple == MF_TLS_STAPLE_NONE && cert && demands_staple(cert))
		staple = MF_TLS_STAPLE_MISSING;
	ERR_clear_error();
	return staple;
}

void mf_tls_staple_ask(SSL *ssl)
{
	SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
}
