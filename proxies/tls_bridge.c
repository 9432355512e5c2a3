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
#include "proxies/timeouts.h"
#include "proxies/tls_client.h"
#include "proxies/tls_staple.h"

enum {
	CHUNK = 16384,	 /* one record's plaintext, and one read from a socket */
	ROUNDS_MAX = 64, /* of one pump, so that others get their turn */
	OUT_MAX = 65536, /* ciphertext that waits for a socket */
};

enum { CLIENT, SERVER };

struct side {
	SSL *ssl; /* NULL: plaintext */
	BIO *in,
		*out; /* memory: what came from the socket and is for it; owned by ssl where there is one */
	bool shaken; /* handshake done */
	bool eof;    /* the socket has ended */
	bool closed; /* ... after a close_notify, or it is plaintext, where nothing else says so */
	bool ended;  /* no more plaintext: close_notify or eof */
	bool told;   /* the other end's close_notify was passed on to this side */
	bool shut;   /* ... and the socket's sending half closed */
	bool left;   /* it ended, or broke, while the other side had not */
	int alert;   /* the last one that came but for close_notify; -1: none */
};

struct mf_tls_bridge {
	struct side side[2];
	uint8_t *alpn;
	size_t alpn_len;
	bool shown; /* the client was sent our certificate */
	bool pause; /* the client was just refused: nothing goes on before its owner could answer */
	bool heard; /* ... and spoke under it */
	struct mf_tls_sessions *sessions;
	char *server;
	uint64_t until_ms;	  /* until when its tickets count */
	SSL_SESSION *ticket;	  /* came before the handshake's end */
	const char *staple_error; /* why the server's stapled status ends it; NULL: it does not */
	char error[200];
};

/* What is on its way through one call, of whichever bridge. */
static _Thread_local uint8_t scratch[CHUNK];

/* The place of protocol @want in the list @in. Return: NULL: not there */
static const unsigned char *find_protocol(const unsigned char *in, unsigned in_len,
					  struct mf_span want)
{
	for (unsigned at = 0; want.len && at < in_len; at += 1u + in[at])
		if (in[at] == want.len && at + 1 + want.len <= in_len &&
		    memcmp(in + at + 1, want.ptr, want.len) == 0)
			return in + at + 1;
	return NULL;
}

/* What the server chose, or the first of what a plaintext server speaks; nothing in common is nothing negotiated. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	const struct mf_tls_bridge *b = SSL_get_app_data(ssl);
	const unsigned char *ours = b->alpn, *chosen;
	unsigned len = (unsigned)b->alpn_len;
	size_t n;

	(void)arg;
	if (b->side[SERVER].ssl) {
		SSL_get0_alpn_selected(b->side[SERVER].ssl, &chosen, &len);
		*out = find_protocol(in, in_len, mf_span_of(chosen, len));
		*out_len = (unsigned char)len;
		return *out ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
	}
	for (size_t at = 0; at < len; at += 1 + n) {
		n = ours[at];
		*out = find_protocol(in, in_len, mf_span_of(ours + at + 1, n));
		*out_len = (unsigned char)n;
		if (*out)
			return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* Alerts that came: OpenSSL does not tell a close_notify from an end without one, once that may be. */
static void on_info(const SSL *ssl, int where, int what)
{
	struct mf_tls_bridge *b = SSL_get_app_data(ssl);
	struct side *s = &b->side[ssl == b->side[SERVER].ssl];

	if (where == SSL_CB_ACCEPT_LOOP && SSL_get_state(ssl) == TLS_ST_SW_CERT)
		b->shown = true;
	if (where != SSL_CB_READ_ALERT)
		return;
	if ((what & 0xff) == SSL_AD_CLOSE_NOTIFY)
		s->closed = true;
	else
		s->alert = what & 0xff;
}

/* @ctx NULL: no TLS on this side */
static bool init_side(struct side *s, SSL_CTX *ctx, struct mf_tls_bridge *b)
{
	s->alert = -1;
	s->ssl = ctx ? SSL_new(ctx) : NULL;
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	if ((ctx && !s->ssl) || !s->in || !s->out) {
		BIO_free(s->in);
		BIO_free(s->out);
		s->in = s->out = NULL;
		return false;
	}
	// Empty means "not yet", until the socket has ended.
	BIO_set_mem_eof_return(s->in, -1);
	BIO_set_mem_eof_return(s->out, -1);
	if (!s->ssl) {
		s->shaken = s->closed = true;
		return true;
	}
	SSL_set_bio(s->ssl, s->in, s->out);
	SSL_set_app_data(s->ssl, b);
	SSL_set_info_callback(s->ssl, on_info);
	// A side that ends its sending without close_notify may still be told something.
	SSL_set_options(s->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
	return true;
}

static void free_side(struct side *s)
{
	if (s->ssl) {
		// OpenSSL would spoil the tickets of a connection that nobody ended in order (RFC 2246's rule, gone since).
		if (s->shaken)
			SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(s->ssl);
		return;
	}
	BIO_free(s->in);
	BIO_free(s->out);
}

static const unsigned char http1_only[] = "\x08http/1.1";

/* Return: false: without memory, or a list whose lengths do not fit */
static bool keep_protocols(struct mf_tls_bridge *b, struct mf_span list)
{
	if (!list.len)
		list = mf_span_of(http1_only, sizeof(http1_only) - 1);
	for (size_t at = 0; at < list.len; at += 1u + list.ptr[at])
		if (!list.ptr[at] || at + 1 + list.ptr[at] > list.len)
			return false;
	b->alpn = malloc(list.len);
	if (!b->alpn)
		return false;
	memcpy(b->alpn, list.ptr, list.len);
	b->alpn_len = list.len;
	return true;
}

static bool verifies(const SSL *ssl)
{
	return SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
}

/* A ticket of the server's. OpenSSL keeps none by itself. Return: 1: taken */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct mf_tls_bridge *b = SSL_get_app_data(ssl);

	if (!b->sessions || ssl != b->side[SERVER].ssl)
		return 0;
	// TLS 1.2's comes before its staple was looked at.
	if (b->side[SERVER].shaken) {
		mf_tls_sessions_put(b->sessions, b->server, session, b->until_ms);
		return 1;
	}
	SSL_SESSION_free(b->ticket);
	b->ticket = session;
	return 1;
}

static void offer_ticket(struct mf_tls_bridge *b, const struct mf_tls_bridge_options *o)
{
	SSL_SESSION *session;

	b->server = o->sessions ? strdup(o->server) : NULL;
	if (!b->server)
		return;
	b->sessions = o->sessions;
	SSL_CTX_set_session_cache_mode(o->upstream,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(o->upstream, on_ticket);
	session = mf_tls_sessions_take(b->sessions, b->server, mf_now_ms(), &b->until_ms);
	if (session)
		SSL_set_session(b->side[SERVER].ssl, session);
	SSL_SESSION_free(session);
}

/* The server's handshake is done. Return: whether the server is who it should be */
static bool accept_server(struct mf_tls_bridge *b)
{
	SSL *ssl = b->side[SERVER].ssl;
	uint64_t left_ms = MF_TLS_SESSION_MS;

	// What a resumed session goes back to was verified, staple and all.
	if (!SSL_session_reused(ssl)) {
		if (verifies(ssl))
			b->staple_error = mf_tls_staple_error(mf_tls_staple_check(ssl, &left_ms));
		mf_tls_verified_left(ssl, &left_ms);
		b->until_ms = mf_now_ms() + left_ms;
	}
	if (b->ticket && !b->staple_error) {
		mf_tls_sessions_put(b->sessions, b->server, b->ticket, b->until_ms);
		b->ticket = NULL;
	}
	return !b->staple_error;
}

/* The server's side as a TLS client. Return: false for a name or a list that cannot be sent */
static bool expect_server(struct mf_tls_bridge *b, const struct mf_tls_bridge_options *o)
{
	SSL *ssl = b->side[SERVER].ssl;

	SSL_set_connect_state(ssl);
	if (verifies(ssl))
		mf_tls_staple_ask(ssl);
	return mf_tls_expect_name(ssl, o->server_name) &&
	       (!o->alpn.len || SSL_set_alpn_protos(ssl, o->alpn.ptr, (unsigned)o->alpn.len) == 0);
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
	r = MF_E_INVAL;
	if (o->upstream ? !expect_server(b, o) : !keep_protocols(b, o->alpn))
		goto fail;
	r = MF_E_NOMEM;
	if (o->upstream)
		offer_ticket(b, o);
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
	free_side(&b->side[CLIENT]);
	free_side(&b->side[SERVER]);
	SSL_SESSION_free(b->ticket);
	free(b->server);
	free(b->alpn);
	free(b);
}

bool mf_tls_bridge_is_joined(const struct mf_tls_bridge *b)
{
	return b->side[SERVER].shaken;
}

bool mf_tls_bridge_is_open(const struct mf_tls_bridge *b)
{
	return b->side[SERVER].shaken && b->side[CLIENT].shaken;
}

const char *mf_tls_bridge_protocol(const struct mf_tls_bridge *b, unsigned *ret_len)
{
	const unsigned char *name;

	SSL_get0_alpn_selected(b->side[CLIENT].ssl, &name, ret_len);
	return *ret_len ? (const char *)name : "";
}

const char *mf_tls_bridge_version(const struct mf_tls_bridge *b)
{
	return SSL_get_version(b->side[CLIENT].ssl);
}

/* Alerts by which clients say that they do not believe a certificate (RFC 8446 §6.2). */
static bool is_about_certificates(int alert)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE:
		return true;
	default:
		return false;
	}
}

enum mf_tls_client_says mf_tls_bridge_client_says(const struct mf_tls_bridge *b)
{
	const struct side *s = &b->side[CLIENT];

	if (b->heard)
		return MF_TLS_CLIENT_ACCEPTED;
	if (!b->shown)
		return MF_TLS_CLIENT_BLIND;
	if (is_about_certificates(s->alert))
		return MF_TLS_CLIENT_REFUSED;
	return s->left ? MF_TLS_CLIENT_LEFT : MF_TLS_CLIENT_SILENT;
}

const char *mf_tls_bridge_error(const struct mf_tls_bridge *b)
{
	return b->error;
}

static void say(struct mf_tls_bridge *b, unsigned i, const char *what)
{
	const char *whose = i == CLIENT ? "the client" : "the server";
	const SSL *ssl = b->side[i].ssl;
	long verify = i == SERVER && ssl && verifies(ssl) ? SSL_get_verify_result(ssl) : X509_V_OK;
	const char *why = verify != X509_V_OK ? X509_verify_cert_error_string(verify)
			  : b->staple_error   ? b->staple_error
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

	// The end of our handshake with the server goes together with the client's first words, which mostly come with the
	// end of its own; a client that does not believe our certificate is then nobody for the server.
	if (i == SERVER && s->shaken && !b->side[CLIENT].shaken)
		return IDLE;
	while (BIO_pending(s->out) > 0 && r->writable[i]) {
		char *data;
		long len = BIO_get_mem_data(s->out, &data);
		// A close_notify and the connection's end go in one packet.
		ssize_t n = s->told ? mf_sock_send_last(r->fd[i], data, (size_t)len)
				    : mf_sock_send(r->fd[i], data, (size_t)len);

		if (n == MF_E_AGAIN) {
			r->writable[i] = false;
			return step;
		}
		if (n < 0)
			return BROKEN;
		step = MOVED;
		if (n == len) {
			(void)BIO_reset(s->out);
			break;
		}
		// Takes the bytes out: a memory BIO has no other way to skip.
		for (ssize_t left = n; left > 0;) {
			int part = BIO_read(s->out, scratch, left < CHUNK ? (int)left : CHUNK);

			if (part <= 0)
				return BROKEN;
			left -= part;
		}
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
	struct side *s = &b->side[i], *other = &b->side[1 - i];
	ssize_t n;

	if (i == CLIENT && r->refused)
		(void)BIO_reset(
			s->in); // thrown away, so that closing is no reset that overtakes an answer
	// Who makes us answer, as by key updates, and does not read the answers, is not heard any further.
	if (!r->readable[i] || s->eof || BIO_pending(s->in) > 0 || BIO_pending(s->out) > OUT_MAX)
		return IDLE;
	n = mf_sock_recv(r->fd[i], scratch, CHUNK);
	if (n == MF_E_AGAIN) {
		r->readable[i] = false;
		return IDLE;
	}
	if (n <= 0)
		s->left = !other->ended && !other->left && !other->eof;
	if (n < 0)
		return BROKEN;
	if (n == 0) {
		s->eof = true;
		BIO_set_mem_eof_return(s->in, 0);
		return MOVED;
	}
	// Less than there was room for is all there is; the next byte is told of.
	if (n < CHUNK)
		r->readable[i] = r->ended[i];
	if (BIO_write(s->in, scratch, (int)n) != (int)n)
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
		s->shaken = i == CLIENT || accept_server(b);
		if (s->shaken)
			return MOVED;
		say(b, i, "refused");
		return BROKEN;
	}
	error = SSL_get_error(s->ssl, n);
	if (error == SSL_ERROR_WANT_READ && !s->eof)
		return wants_more(r, i);
	say(b, i, s->eof && s->alert < 0 ? "it ended in the handshake" : "handshake failed");
	return BROKEN;
}

static int read_plain(struct side *s, uint8_t *buf)
{
	return s->ssl ? SSL_read(s->ssl, buf, CHUNK) : BIO_read(s->in, buf, CHUNK);
}

static bool write_plain(struct side *s, struct mf_span what)
{
	int len = (int)what.len;

	return !len || (s->ssl ? SSL_write(s->ssl, what.ptr, len)
			       : BIO_write(s->out, what.ptr, len)) == len;
}

/* Why read_plain() gave nothing, as of SSL_get_error() */
static int read_error(const struct side *s, int n)
{
	if (s->ssl)
		return SSL_get_error(s->ssl, n);
	return s->eof ? SSL_ERROR_ZERO_RETURN : SSL_ERROR_WANT_READ;
}

/* An end of side @i's plaintext, for the other one. */
static void tell_end(struct mf_tls_bridge *b, unsigned i, bool closed)
{
	struct side *to = &b->side[1 - i];

	b->side[i].ended = true;
	// An end without close_notify is passed on as what it is: what came may have been cut.
	if (closed && to->ssl)
		SSL_shutdown(to->ssl);
	to->told = true;
}

/* What was read of side @i, as far as the filter lets it go. */
static enum step pass_on(struct mf_tls_bridge *b, struct mf_relay *r, unsigned i,
			 struct mf_span out)
{
	// From now on it may be idle for long; a handshake would allocate the buffers for each of its messages.
	if (b->side[1 - i].ssl)
		SSL_set_mode(b->side[1 - i].ssl, SSL_MODE_RELEASE_BUFFERS);
	if (i == CLIENT) {
		b->heard = true;
		r->refused = r->filter && r->filter->take(r->filter, out, &out) < 0;
	}
	if (!write_plain(&b->side[1 - i], out)) {
		say(b, 1 - i, "cannot write");
		return BROKEN;
	}
	r->dir[i].bytes += out.len;
	if (i == CLIENT && r->refused) {
		tell_end(b, i, true);
		b->pause = true;
	}
	return MOVED;
}

/* Plaintext from side @i to the other one, while the other one has nothing waiting. */
static enum step carry(struct mf_tls_bridge *b, struct mf_relay *r, unsigned i)
{
	struct side *from = &b->side[i], *to = &b->side[1 - i];
	int n, error;

	if (from->ended || to->told || b->pause)
		return IDLE;
	// But the first words go behind the end of the handshake, see flush().
	if (BIO_pending(to->out) > 0 && (i == SERVER || b->heard))
		return IDLE;
	ERR_clear_error();
	n = read_plain(from, scratch);
	if (n > 0)
		return pass_on(b, r, i, mf_span_of(scratch, (size_t)n));
	error = read_error(from, n);
	if (error == SSL_ERROR_WANT_READ && !from->eof)
		return from->ssl ? wants_more(r, i) : IDLE;
	if (error == SSL_ERROR_ZERO_RETURN || from->eof) {
		from->left |= !to->ended;
		tell_end(b, i, from->closed);
		return MOVED;
	}
	say(b, i, "broken record");
	return BROKEN;
}

void mf_tls_bridge_answer(struct mf_tls_bridge *b, const char *text, size_t len)
{
	if (b->side[CLIENT].told || !write_plain(&b->side[CLIENT], mf_span_of(text, len)))
		return;
	tell_end(b, SERVER, true);
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
	b->pause = false;
	for (unsigned round = 0; round < ROUNDS_MAX && !b->pause; round++) {
		switch (step_once(b, r)) {
		case BROKEN:
			return MF_RELAY_BROKEN;
		case IDLE:
			return MF_RELAY_WAITING;
		case MOVED:
			break;
		}
		if (b->side[CLIENT].shut && b->side[SERVER].shut &&
		    (!r->refused || b->side[CLIENT].eof))
			return MF_RELAY_FINISHED;
	}
	return MF_RELAY_BUSY;
}
