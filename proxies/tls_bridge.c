/* SPDX-License-Identifier: Apache-2.0 */
/* tls_bridge.c - see tls_bridge.h */
#include "proxies/tls_bridge.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "proxies/sock.h"
#include "proxies/tls_client.h"

enum {
	CHUNK = 16384,	 /* one record's plaintext, and one read from a socket */
	ROUNDS_MAX = 64, /* of one pump, so that others get their turn */
};

enum { CLIENT, SERVER };

struct side {
	SSL *ssl;
	BIO *in, *out; /* memory: ciphertext from and for the socket; owned by ssl */
	bool shaken;   /* handshake done */
	bool eof;      /* the socket has ended */
	bool ended;    /* no more plaintext: close_notify or eof */
	bool told;     /* the other end's close_notify was passed on to this side */
	bool shut;     /* ... and the socket's sending half closed */
};

struct mf_tls_bridge {
	struct side side[2];
	uint8_t *alpn;
	size_t alpn_len;
	char error[200];
	uint8_t buf[CHUNK];
};

/* What the server chose is what the client gets; nothing in common is nothing negotiated. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	const struct mf_tls_bridge *b = SSL_get_app_data(ssl);
	const unsigned char *chosen;
	unsigned len;

	(void)arg;
	SSL_get0_alpn_selected(b->side[SERVER].ssl, &chosen, &len);
	for (unsigned at = 0; len && at < in_len; at += 1u + in[at]) {
		if (in[at] == len && at + 1 + len <= in_len &&
		    memcmp(in + at + 1, chosen, len) == 0) {
			*out = in + at + 1;
			*out_len = (unsigned char)len;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static bool init_side(struct side *s, SSL_CTX *ctx, struct mf_tls_bridge *b)
{
	s->ssl = ctx ? SSL_new(ctx) : NULL;
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	if (!s->ssl || !s->in || !s->out) {
		BIO_free(s->in);
		BIO_free(s->out);
		return false;
	}
	// Empty means "not yet", until the socket has ended.
	BIO_set_mem_eof_return(s->in, -1);
	BIO_set_mem_eof_return(s->out, -1);
	SSL_set_bio(s->ssl, s->in, s->out);
	SSL_set_app_data(s->ssl, b);
	SSL_set_mode(s->ssl, SSL_MODE_RELEASE_BUFFERS);
	return true;
}

int mf_tls_bridge_new(const struct mf_tls_bridge_options *o, struct mf_tls_bridge **ret_bridge)
{
	SSL_CTX *ctx = mf_tls_authority_context(o->authority, o->client_name);
	struct mf_tls_bridge *b = calloc(1, sizeof(*b));
	int r = MF_E_NOMEM;

	if (!b || !ctx)
		goto fail;
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	if (!init_side(&b->side[CLIENT], ctx, b) || !init_side(&b->side[SERVER], o->upstream, b))
		goto fail;
	SSL_set_accept_state(b->side[CLIENT].ssl);
	SSL_set_connect_state(b->side[SERVER].ssl);
	r = MF_E_INVAL;
	if (!mf_tls_expect_name(b->side[SERVER].ssl, o->server_name) ||
	    (o->alpn.len &&
	     SSL_set_alpn_protos(b->side[SERVER].ssl, o->alpn.ptr, (unsigned)o->alpn.len)))
		goto fail;
	r = MF_E_NOMEM;
	if (o->first.len &&
	    BIO_write(b->side[CLIENT].in, o->first.ptr, (int)o->first.len) != (int)o->first.len)
		goto fail;
	ERR_clear_error();
	*ret_bridge = b;
	return 0;
fail:
	ERR_clear_error();
	mf_tls_bridge_free(b);
	return r;
}

void mf_tls_bridge_free(struct mf_tls_bridge *b)
{
	if (!b)
		return;
	SSL_free(b->side[CLIENT].ssl);
	SSL_free(b->side[SERVER].ssl);
	free(b);
}

bool mf_tls_bridge_is_joined(const struct mf_tls_bridge *b)
{
	return b->side[SERVER].shaken;
}

const char *mf_tls_bridge_error(const struct mf_tls_bridge *b)
{
	return b->error;
}

static void say(struct mf_tls_bridge *b, unsigned i, const char *what)
{
	const char *whose = i == CLIENT ? "the client" : "the redirect's target";
	long verify = i == SERVER ? SSL_get_verify_result(b->side[i].ssl) : X509_V_OK;
	const char *why = verify != X509_V_OK ? X509_verify_cert_error_string(verify)
					      : ERR_reason_error_string(ERR_peek_last_error());

	snprintf(b->error, sizeof(b->error), "TLS with %s: %s%s%s", whose, what, why ? ": " : "",
		 why ? why : "");
	ERR_clear_error();
}

enum step { IDLE, MOVED, BROKEN };

/* Ciphertext to the socket. MOVED also when there was something and all of it went. */
static enum step flush(struct mf_tls_bridge *b, struct mf_relay *r, unsigned i)
{
	struct side *s = &b->side[i];
	enum step step = IDLE;

	while (BIO_pending(s->out) > 0 && r->writable[i]) {
		char *data;
		long len = BIO_get_mem_data(s->out, &data);
		ssize_t n = mf_sock_send(r->fd[i], data, (size_t)len);

		if (n == MF_E_AGAIN) {
			r->writable[i] = false;
			return step;
		}
		if (n < 0)
			return BROKEN;
		// Takes the bytes out: a memory BIO has no other way to skip.
		for (ssize_t left = n; left > 0;) {
			int part = BIO_read(s->out, b->buf, left < CHUNK ? (int)left : CHUNK);

			if (part <= 0)
				return BROKEN;
			left -= part;
		}
		step = MOVED;
	}
	if (s->told && !s->shut && BIO_pending(s->out) <= 0) {
		mf_sock_shutdown_write(r->fd[i]);
		s->shut = true;
		step = MOVED;
	}
	return step;
}

/* Ciphertext from the socket, when what came before is used up. */
static enum step fill(struct mf_tls_bridge *b, struct mf_relay *r, unsigned i)
{
	struct side *s = &b->side[i];
	ssize_t n;

	if (!r->readable[i] || s->eof || BIO_pending(s->in) > 0)
		return IDLE;
	n = mf_sock_recv(r->fd[i], b->buf, CHUNK);
	if (n == MF_E_AGAIN) {
		r->readable[i] = false;
		return IDLE;
	}
	if (n < 0)
		return BROKEN;
	if (n == 0) {
		s->eof = true;
		BIO_set_mem_eof_return(s->in, 0);
		return MOVED;
	}
	if (BIO_write(s->in, b->buf, (int)n) != (int)n)
		return BROKEN;
	return MOVED;
}

/* TLS wants more than there was. It has used that up all the same, so a socket that may have more is looked at again. */
static enum step wants_more(const struct mf_relay *r, unsigned i)
{
	return r->readable[i] ? MOVED : IDLE;
}

static enum step shake(struct mf_tls_bridge *b, const struct mf_relay *r, unsigned i)
{
	struct side *s = &b->side[i];
	int n, error;

	ERR_clear_error();
	n = SSL_do_handshake(s->ssl);
	if (n == 1) {
		s->shaken = true;
		return MOVED;
	}
	error = SSL_get_error(s->ssl, n);
	if (error == SSL_ERROR_WANT_READ && !s->eof)
		return wants_more(r, i);
	say(b, i, s->eof ? "it ended in the handshake" : "handshake failed");
	return BROKEN;
}

/* Plaintext from side @i to the other one, while the other one has nothing waiting. */
static enum step carry(struct mf_tls_bridge *b, struct mf_relay *r, unsigned i)
{
	struct side *from = &b->side[i], *to = &b->side[1 - i];
	int n, error;

	if (from->ended || to->told || BIO_pending(to->out) > 0)
		return IDLE;
	ERR_clear_error();
	n = SSL_read(from->ssl, b->buf, CHUNK);
	if (n > 0) {
		if (SSL_write(to->ssl, b->buf, n) != n) {
			say(b, 1 - i, "cannot write");
			return BROKEN;
		}
		r->dir[i].bytes += (uint64_t)n;
		return MOVED;
	}
	error = SSL_get_error(from->ssl, n);
	if (error == SSL_ERROR_WANT_READ && !from->eof)
		return wants_more(r, i);
	if (error == SSL_ERROR_ZERO_RETURN || from->eof) {
		from->ended = true;
		// An end without close_notify is passed on as what it is: an end without one.
		if (SSL_get_shutdown(from->ssl) & SSL_RECEIVED_SHUTDOWN &&
		    error == SSL_ERROR_ZERO_RETURN)
			SSL_shutdown(to->ssl);
		to->told = true;
		return MOVED;
	}
	say(b, i, "broken record");
	return BROKEN;
}

/* The side whose handshake is due, if it is @i; the server's comes first. */
static enum step shake_in_turn(struct mf_tls_bridge *b, const struct mf_relay *r, unsigned i)
{
	unsigned due = b->side[SERVER].shaken ? CLIENT : SERVER;

	return i == due && !b->side[i].shaken ? shake(b, r, i) : IDLE;
}

static enum step step_once(struct mf_tls_bridge *b, struct mf_relay *r)
{
	enum step moved = IDLE;

	for (unsigned i = 0; i < 2; i++) {
		enum step filled = fill(b, r, i);
		enum step worked = filled == BROKEN ? BROKEN : shake_in_turn(b, r, i), sent[2];

		if (worked != BROKEN && b->side[CLIENT].shaken)
			worked = carry(b, r, i);
		// Also after a failure: an alert says what is wrong.
		sent[CLIENT] = flush(b, r, CLIENT);
		sent[SERVER] = flush(b, r, SERVER);
		if (worked == BROKEN || sent[CLIENT] == BROKEN || sent[SERVER] == BROKEN)
			return BROKEN;
		if (filled == MOVED || worked == MOVED || sent[CLIENT] == MOVED ||
		    sent[SERVER] == MOVED)
			moved = MOVED;
	}
	return moved;
}

enum mf_relay_state mf_tls_bridge_pump(struct mf_tls_bridge *b, struct mf_relay *r)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		switch (step_once(b, r)) {
		case BROKEN:
			return MF_RELAY_BROKEN;
		case IDLE:
			return MF_RELAY_WAITING;
		case MOVED:
			break;
		}
		if (b->side[CLIENT].shut && b->side[SERVER].shut)
			return MF_RELAY_FINISHED;
	}
	return MF_RELAY_BUSY;
}
