/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dtls.c - DTLS by OpenSSL, over a BIO of our own
 *
 * The BIO holds one datagram for reading at a time, and makes a datagram of each write: no copy of packets is queued anywhere.
 */
#include "proxies/rtc/dtls.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "proxies/tls_certificate.h" /* MF_TLS_DAY_S */

enum {
	COOKIE_LEN = 32, /* HMAC-SHA256 */
	SECRET_LEN = 32,
	CERTIFICATES_MAX = 16384, /* bytes of a peer's chain, of which only the first counts */
	VALID_DAYS = 3650,
};

struct mf_dtls_identity {
	EVP_PKEY *key;
	X509 *cert;
	SSL_CTX *ctx;
	BIO_METHOD *bio;
	uint8_t cookie_secret[SECRET_LEN];
	struct mf_rtc_fingerprint fingerprint;
};

struct mf_dtls {
	SSL *ssl;
	const struct mf_dtls_handler *handler;
	void *ctx;
	const struct mf_dtls_identity *id;
	struct mf_rtc_fingerprint peer;
	struct mf_span in; /* ptr NULL: nothing to read */
	uint16_t mtu, data_mtu;
	bool up, ended, stranger; /* stranger: another certificate than the offer's */
};

static int bio_write(BIO *bio, const char *data, int len)
{
	struct mf_dtls *d = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len > 0)
		d->handler->output(d->ctx, mf_span_of(data, (size_t)len));
	return len; /* a network may lose it anyway */
}

static int bio_read(BIO *bio, char *buf, int room)
{
	struct mf_dtls *d = BIO_get_data(bio);
	size_t len = d->in.len;

	BIO_clear_retry_flags(bio);
	if (!d->in.ptr) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (len > (size_t)room)
		len = (size_t)room;
	memcpy(buf, d->in.ptr, len);
	d->in = mf_span_of(NULL, 0);
	return (int)len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct mf_dtls *d = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
	case BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT:
		return 1;
	case BIO_CTRL_DGRAM_QUERY_MTU:
	case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
		return d->mtu;
	}
	return 0; /* nothing pending, no overhead below this */
}

static int verify(X509_STORE_CTX *store, void *unused)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct mf_dtls *d = SSL_get_app_data(ssl);
	const EVP_MD *md = d->peer.hash == MF_RTC_SHA512   ? EVP_sha512()
			   : d->peer.hash == MF_RTC_SHA384 ? EVP_sha384()
							   : EVP_sha256();
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	(void)unused;
	if (cert && X509_digest(cert, md, digest, &len) == 1 && len == d->peer.len &&
	    CRYPTO_memcmp(digest, d->peer.bytes, len) == 0) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	d->stranger = true;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

static bool make_cookie(const struct mf_dtls *d, uint8_t ret[COOKIE_LEN])
{
	uint8_t where[64];
	size_t where_len = d->handler->whereabouts(d->ctx, where);
	unsigned len = COOKIE_LEN;

	return HMAC(EVP_sha256(), d->id->cookie_secret, SECRET_LEN, where, where_len, ret, &len) !=
	       NULL;
}

static int cookie_generate(SSL *ssl, unsigned char *cookie, unsigned *len)
{
	*len = COOKIE_LEN;
	return make_cookie(SSL_get_app_data(ssl), cookie);
}

static int cookie_verify(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	struct mf_dtls *d = SSL_get_app_data(ssl);
	uint8_t ours[COOKIE_LEN];

	if (len != COOKIE_LEN || !make_cookie(d, ours) ||
	    CRYPTO_memcmp(cookie, ours, COOKIE_LEN) != 0)
		return 0;
	d->handler->shown(d->ctx);
	return 1;
}

static X509 *self_signed(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;
	uint8_t serial[8];
	ASN1_INTEGER *number = cert ? X509_get_serialNumber(cert) : NULL;
	bool ok = name && number && RAND_bytes(serial, sizeof(serial)) == 1;

	/* a name that says nothing: whoever looks at it goes by the fingerprint */
	ok = ok && X509_set_version(cert, 2) == 1 &&
	     ASN1_INTEGER_set_uint64(number, (serial[0] & 0x7fu) << 24 | serial[1] << 16 |
						     serial[2] << 8 | serial[3] | 1u) == 1 &&
	     X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"WebRTC", -1, -1,
					0) == 1 &&
	     X509_set_issuer_name(cert, name) == 1 &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -MF_TLS_DAY_S) &&
	     X509_gmtime_adj(X509_getm_notAfter(cert), VALID_DAYS * MF_TLS_DAY_S) &&
	     X509_set_pubkey(cert, key) == 1 && X509_sign(cert, key, EVP_sha256()) > 0;
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

static SSL_CTX *make_ctx(const struct mf_dtls_identity *id)
{
	SSL_CTX *ctx = SSL_CTX_new(DTLS_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
					 SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, CERTIFICATES_MAX);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	SSL_CTX_set_cookie_generate_cb(ctx, cookie_generate);
	SSL_CTX_set_cookie_verify_cb(ctx, cookie_verify);
	if (SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) == 1 &&
	    SSL_CTX_set_cipher_list(
		    ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
			 "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:"
			 "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384") == 1 &&
	    SSL_CTX_use_certificate(ctx, id->cert) == 1 &&
	    SSL_CTX_use_PrivateKey(ctx, id->key) == 1)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

struct mf_dtls_identity *mf_dtls_identity_new(void)
{
	struct mf_dtls_identity *id = calloc(1, sizeof(*id));
	unsigned len = MF_RTC_FINGERPRINT_MAX;

	if (!id)
		return NULL;
	id->key = EVP_EC_gen("P-256");
	id->cert = id->key ? self_signed(id->key) : NULL;
	id->ctx = id->cert ? make_ctx(id) : NULL;
	id->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagrams");
	if (!id->ctx || !id->bio || RAND_bytes(id->cookie_secret, SECRET_LEN) != 1 ||
	    X509_digest(id->cert, EVP_sha256(), id->fingerprint.bytes, &len) != 1 ||
	    BIO_meth_set_write(id->bio, bio_write) != 1 ||
	    BIO_meth_set_read(id->bio, bio_read) != 1 ||
	    BIO_meth_set_ctrl(id->bio, bio_ctrl) != 1) {
		mf_dtls_identity_free(id);
		ERR_clear_error();
		return NULL;
	}
	id->fingerprint.hash = MF_RTC_SHA256;
	id->fingerprint.len = (uint8_t)len;
	return id;
}

void mf_dtls_identity_free(struct mf_dtls_identity *id)
{
	if (!id)
		return;
	SSL_CTX_free(id->ctx);
	X509_free(id->cert);
	EVP_PKEY_free(id->key);
	BIO_meth_free(id->bio);
	OPENSSL_cleanse(id->cookie_secret, SECRET_LEN);
	free(id);
}

void mf_dtls_identity_fingerprint(const struct mf_dtls_identity *id, struct mf_rtc_fingerprint *ret)
{
	*ret = id->fingerprint;
}

struct mf_dtls *mf_dtls_new(struct mf_dtls_identity *id, const struct mf_dtls_options *options,
			    const struct mf_dtls_handler *handler, void *ctx)
{
	struct mf_dtls *d = calloc(1, sizeof(*d));
	BIO *bio = NULL;

	if (!d)
		return NULL;
	d->handler = handler;
	d->ctx = ctx;
	d->id = id;
	d->peer = options->peer;
	d->mtu = options->mtu;
	d->data_mtu = options->data_mtu ? options->data_mtu : d->mtu;
	d->ssl = SSL_new(id->ctx);
	bio = d->ssl ? BIO_new(id->bio) : NULL;
	if (!bio) {
		SSL_free(d->ssl);
		free(d);
		ERR_clear_error();
		return NULL;
	}
	BIO_set_data(bio, d);
	BIO_set_init(bio, 1);
	SSL_set_bio(d->ssl, bio, bio);
	SSL_set_app_data(d->ssl, d);
	SSL_set_mtu(d->ssl, d->mtu);
	/* the buffer for writing is as long as the longest record: ours are short */
	SSL_set_max_send_fragment(d->ssl, d->data_mtu > 512 ? d->data_mtu : 512);
	if (options->server)
		SSL_set_accept_state(d->ssl);
	else
		SSL_set_connect_state(d->ssl);
	if (options->server && options->cookies)
		SSL_set_options(d->ssl, SSL_OP_COOKIE_EXCHANGE);
	return d;
}

void mf_dtls_free(struct mf_dtls *d, bool tell)
{
	if (!d)
		return;
	if (tell && d->up && !d->ended)
		(void)SSL_shutdown(d->ssl);
	ERR_clear_error();
	SSL_free(d->ssl);
	free(d);
}

/* What SSL_get_error() means to the owner, once the handshake or a read has stopped */
static int outcome(struct mf_dtls *d, int result)
{
	int why = SSL_get_error(d->ssl, result);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return 0;
	ERR_clear_error();
	d->ended = true;
	if (d->stranger)
		return MF_E_PERM;
	return why == SSL_ERROR_ZERO_RETURN ? MF_E_CLOSED : MF_E_BAD;
}

static int shake(struct mf_dtls *d)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(d->ssl);
	if (result != 1)
		return outcome(d, result);
	d->up = true;
	d->handler->connected(d->ctx);
	return 0;
}

int mf_dtls_start(struct mf_dtls *d)
{
	return d->up || d->ended ? 0 : shake(d);
}

int mf_dtls_input(struct mf_dtls *d, struct mf_span datagram)
{
	uint8_t buf[16384 + 1]; /* a record's most */
	int got;

	if (d->ended)
		return MF_E_CLOSED;
	d->in = datagram;
	if (!d->up) {
		int err = shake(d);

		if (err < 0 || !d->up) {
			d->in = mf_span_of(NULL, 0);
			return err;
		}
	}
	/* each record of a datagram takes 14 bytes at least, which bounds this */
	ERR_clear_error();
	while ((got = SSL_read(d->ssl, buf, sizeof(buf))) > 0) {
		d->handler->plain(d->ctx, mf_span_of(buf, (size_t)got));
		ERR_clear_error();
	}
	d->in = mf_span_of(NULL, 0);
	return outcome(d, got);
}

int mf_dtls_send(struct mf_dtls *d, struct mf_span data)
{
	if (!d->up || d->ended)
		return MF_E_CLOSED;
	if (data.len + MF_DTLS_OVERHEAD > d->data_mtu)
		return MF_E_LIMIT;
	ERR_clear_error();
	return SSL_write(d->ssl, data.ptr, (int)data.len) > 0 ? 0 : MF_E_CLOSED;
}

int mf_dtls_wait_ms(struct mf_dtls *d)
{
	struct timeval left;

	if (d->ended || DTLSv1_get_timeout(d->ssl, &left) != 1)
		return -1;
	return (int)(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000);
}

int mf_dtls_tick(struct mf_dtls *d)
{
	long result;

	if (d->ended)
		return 0;
	ERR_clear_error();
	result = DTLSv1_handle_timeout(d->ssl);
	if (result >= 0)
		return 0;
	ERR_clear_error();
	d->ended = true;
	return MF_E_BAD;
}
