/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_link.c - one connection to one resolver, which many questions share: TCP (RFC 7766), TLS (RFC 7858), HTTPS (RFC 8484)
 *
 * connecting -> shaking hands (TLS) -> open. Questions given before it is open wait in its list. Everything that happens is
 * done by pump(): read what is there, hand it upwards, write what is due. A call upwards may end flights, begin new ones
 * here, and cancel any; it never frees the link.
 */
#include <event2/buffer.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "proxies/dns_h2.h"
#include "proxies/dns_upstream_int.h"
#include "proxies/tls_client.h"

enum {
	CHUNK = 16384,
	IN_MAX = 2 + MF_DNS_MESSAGE_MAX,
	OUT_MAX = 1 << 20, /* unsent; more questions than that are refused */
};

struct mf_dns_link {
	struct mf_dns_upstream *up;
	struct mf_dns_peer *peer;
	struct mf_sockwatch watch;
	struct mf_timeout idle;
	struct mf_dns_flight *flights;
	int fd;
	bool connected, open, eof;
	bool served; /* has answered before: when it ends, that may be because it was idle */
	bool pumping, broken;
	uint64_t heard_ms;
	SSL *ssl; /* NULL: TCP */
	BIO *from_net, *to_net;
	struct mf_dns_h2 *h2; /* NULL: messages with their length before them */
	struct evbuffer *out;
	size_t in_len;
	uint8_t *in;
	uint8_t chunk[CHUNK];
};

bool mf_dns_link_heard(const struct mf_dns_link *l, uint64_t since_ms)
{
	return l->heard_ms >= since_ms;
}

void mf_dns_link_free(struct mf_dns_link *l)
{
	if (!l)
		return;
	mf_timeout_disarm(&l->idle);
	if (l->fd >= 0) {
		mf_sockwatch_stop(&l->watch);
		mf_sock_close(l->fd);
	}
	mf_dns_h2_free(l->h2);
	SSL_free(l->ssl);
	if (l->out)
		evbuffer_free(l->out);
	free(l->in);
	free(l);
}

/* --- flights ------------------------------------------------------------------------------------------------------ */

static void unlink_flight(struct mf_dns_flight *f)
{
	struct mf_dns_link *l = f->link;

	if (f->prev)
		f->prev->next = f->next;
	else
		l->flights = f->next;
	if (f->next)
		f->next->prev = f->prev;
	f->prev = f->next = NULL;
	f->link = NULL;
	f->sent = false;
}

void mf_dns_link_remove(struct mf_dns_flight *f)
{
	struct mf_dns_link *l = f->link;

	if (l->h2 && f->sent) {
		mf_dns_h2_forget(l->h2, f->stream);
		mf_sockwatch_kick(&l->watch);
	}
	unlink_flight(f);
	if (!l->flights)
		/* what is only there for a truncated answer goes at once: small servers do one connection at a time */
		mf_timeout_arm(&l->idle, l->peer->conf.scheme == MF_DNS_OVER_UDP ? &l->up->idle_soon
										 : &l->up->idle);
}

static void link_flight(struct mf_dns_link *l, struct mf_dns_flight *f)
{
	f->link = l;
	f->sent = false;
	f->prev = NULL;
	f->next = l->flights;
	if (f->next)
		f->next->prev = f;
	l->flights = f;
	mf_timeout_disarm(&l->idle);
}

/*
 * The link is taken from its peer first, so that a question that comes up meanwhile gets a new one. Inside pump() it is
 * freed by that.
 */
void mf_dns_link_break(struct mf_dns_link *l, int why, const char *text)
{
	struct mf_dns_peer *peer = l->peer;
	bool served = l->served;

	if (l->broken)
		return;
	l->broken = true;
	if (peer->link == l)
		peer->link = NULL;
	if (text)
		snprintf(peer->error, sizeof(peer->error), "%s", text);
	while (l->flights) {
		struct mf_dns_flight *f = l->flights;

		unlink_flight(f);
		if (served && !f->renewed) {
			f->renewed = true;
			if (mf_dns_link_add(peer, f) == 0)
				continue;
		}
		mf_timeout_disarm(&f->timeout);
		mf_dns_flight_failed(f, why);
	}
	if (!l->pumping)
		mf_dns_link_free(l);
}

void mf_dns_link_idle(struct mf_timeout *t, void *ctx)
{
	struct mf_dns_link *l =
		(struct mf_dns_link *)((char *)t - offsetof(struct mf_dns_link, idle));

	(void)ctx;
	mf_dns_link_break(l, MF_E_CLOSED, NULL);
}

static struct mf_dns_flight *find_flight(struct mf_dns_link *l, uint16_t id)
{
	struct mf_dns_flight *f = l->flights;

	while (f && (f->id != id || !f->sent))
		f = f->next;
	return f;
}

/* --- plaintext ---------------------------------------------------------------------------------------------------- */

static bool write_plain(struct mf_dns_link *l, const void *bytes, size_t len)
{
	if (!l->ssl)
		return evbuffer_get_length(l->out) + len <= OUT_MAX &&
		       evbuffer_add(l->out, bytes, len) == 0;
	return BIO_pending(l->to_net) < OUT_MAX && SSL_write(l->ssl, bytes, (int)len) == (int)len;
}

/* Write what a flight asks. The id is the link's alone: with HTTP/2 zero, so that its bytes can be cached (RFC 8484). */
static bool put_question(struct mf_dns_link *l, struct mf_dns_flight *f)
{
	uint8_t *out = l->up->out, head[2];
	int len;

	f->id = 0;
	if (!l->h2) {
		do
			evutil_secure_rng_get_bytes(&f->id, sizeof(f->id));
		while (find_flight(l, f->id));
	}
	len = mf_dns_write_query(&f->ask->query, f->id, NULL, out, sizeof(l->up->out));
	if (mf_bug(len < 0))
		return false;
	f->sent = true;
	if (l->h2) {
		f->stream = mf_dns_h2_ask(l->h2, mf_span_of(out, (size_t)len), f);
		f->sent = f->stream > 0;
		return f->sent;
	}
	mf_store_be16(head, (uint16_t)len);
	return write_plain(l, head, 2) && write_plain(l, out, (size_t)len);
}

static void take_message(struct mf_dns_link *l, struct mf_span msg)
{
	struct mf_dns_flight *f = msg.len >= 2 ? find_flight(l, mf_load_be16(msg.ptr)) : NULL;

	if (!f)
		return; /* the question has been given up */
	if (mf_dns_flight_take(f, msg)) {
		l->served = true;
		return;
	}
	mf_dns_link_break(l, MF_E_BAD, "its answers are malformed");
}

static void take_h2(void *ctx, void *token, struct mf_span msg, const char *why)
{
	struct mf_dns_link *l = ctx;
	struct mf_dns_flight *f = token;

	f->sent = false; /* its stream has ended */
	if (msg.len && mf_dns_flight_take(f, msg)) {
		l->served = true;
		return;
	}
	snprintf(l->peer->error, sizeof(l->peer->error), "%s",
		 *why ? why : "its answers are malformed");
	mf_dns_link_remove(f);
	mf_timeout_disarm(&f->timeout);
	mf_dns_flight_failed(f, MF_E_BAD);
}

static void take_plain(struct mf_dns_link *l, const uint8_t *bytes, size_t len)
{
	l->heard_ms = mf_now_ms();
	if (l->h2) {
		if (mf_dns_h2_recv(l->h2, bytes, len) < 0)
			mf_dns_link_break(l, MF_E_BAD, "it does not speak HTTP/2");
		return;
	}
	while (len && !l->broken) {
		size_t want = l->in_len < 2 ? 2 : 2u + mf_load_be16(l->in), part;

		part = want - l->in_len < len ? want - l->in_len : len;
		memcpy(l->in + l->in_len, bytes, part);
		l->in_len += part;
		bytes += part;
		len -= part;
		if (l->in_len >= 2 && l->in_len == 2u + mf_load_be16(l->in)) {
			l->in_len = 0;
			take_message(l, mf_span_of(l->in + 2, mf_load_be16(l->in)));
		}
	}
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

static bool has_pinned_key(const struct mf_dns_link *l)
{
	const struct mf_dns_server *conf = &l->peer->conf;
	X509 *cert = SSL_get1_peer_certificate(l->ssl);
	uint8_t *der = NULL, digest[MF_DNS_PIN_LEN];
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
	bool found = false;

	if (len > 0) {
		SHA256(der, (size_t)len, digest);
		for (unsigned i = 0; i < conf->pin_cnt; i++)
			found |= memcmp(digest, conf->pins[i], sizeof(digest)) == 0;
	}
	OPENSSL_free(der);
	X509_free(cert);
	return found;
}

static bool chose_h2(const SSL *ssl)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(ssl, &name, &len);
	return len == 2 && memcmp(name, "h2", 2) == 0;
}

static void say_tls_error(struct mf_dns_link *l, const char *what)
{
	long verify = SSL_get_verify_result(l->ssl);
	const char *why = verify != X509_V_OK && !l->peer->conf.pin_cnt
				  ? X509_verify_cert_error_string(verify)
				  : ERR_reason_error_string(ERR_peek_last_error());
	char text[160];

	snprintf(text, sizeof(text), "TLS: %s%s%s", what, why ? ": " : "", why ? why : "");
	ERR_clear_error();
	mf_dns_link_break(l, MF_E_IO, text);
}

/* Return: 0 when done, MF_E_AGAIN */
static int shake(struct mf_dns_link *l)
{
	int n, error;

	ERR_clear_error();
	n = SSL_do_handshake(l->ssl);
	if (n != 1) {
		error = SSL_get_error(l->ssl, n);
		if (error == SSL_ERROR_WANT_READ && !l->eof)
			return MF_E_AGAIN;
		say_tls_error(l, l->eof ? "it ended in the handshake" : "handshake failed");
		return MF_E_IO;
	}
	if (l->peer->conf.pin_cnt && !has_pinned_key(l)) {
		say_tls_error(l, "its key is not the pinned one");
		return MF_E_IO;
	}
	if (l->h2 && !chose_h2(l->ssl)) {
		say_tls_error(l, "it does not offer HTTP/2");
		return MF_E_IO;
	}
	return 0;
}

static int start_tls(struct mf_dns_link *l)
{
	static const unsigned char h2[] = "\2h2", dot[] = "\3dot";
	struct mf_proxy *p = l->up->proxy;
	const struct mf_dns_server *conf = &l->peer->conf;

	if (!p->tls_upstream)
		p->tls_upstream = mf_tls_upstream_new();
	l->ssl = p->tls_upstream ? SSL_new(p->tls_upstream) : NULL;
	l->from_net = BIO_new(BIO_s_mem());
	l->to_net = BIO_new(BIO_s_mem());
	if (!l->ssl || !l->from_net || !l->to_net) {
		BIO_free(l->from_net);
		BIO_free(l->to_net);
		return MF_E_NOMEM;
	}
	BIO_set_mem_eof_return(l->from_net, -1);
	BIO_set_mem_eof_return(l->to_net, -1);
	SSL_set_bio(l->ssl, l->from_net, l->to_net);
	SSL_set_connect_state(l->ssl);
	if (conf->pin_cnt) /* the key is known: whoever signed it does not matter */
		SSL_set_verify(l->ssl, SSL_VERIFY_NONE, NULL);
	if (!mf_tls_expect_name(l->ssl, conf->host) ||
	    (conf->scheme == MF_DNS_OVER_HTTPS ? SSL_set_alpn_protos(l->ssl, h2, sizeof(h2) - 1)
					       : SSL_set_alpn_protos(l->ssl, dot, sizeof(dot) - 1)))
		return MF_E_INVAL;
	return 0;
}

/* --- the socket --------------------------------------------------------------------------------------------------- */

static void take_net(struct mf_dns_link *l, size_t len)
{
	int n = 0;

	if (!l->ssl) {
		take_plain(l, l->chunk, len);
		return;
	}
	if (len && BIO_write(l->from_net, l->chunk, (int)len) != (int)len) {
		mf_dns_link_break(l, MF_E_NOMEM, "no memory");
		return;
	}
	if (!l->open)
		return; /* the handshake is pump()'s */
	ERR_clear_error();
	while (!l->broken && (n = SSL_read(l->ssl, l->chunk, CHUNK)) > 0)
		take_plain(l, l->chunk, (size_t)n);
	if (!l->broken && SSL_get_error(l->ssl, n) == SSL_ERROR_SSL)
		say_tls_error(l, "broken record");
	else if (!l->broken && SSL_get_shutdown(l->ssl) & SSL_RECEIVED_SHUTDOWN)
		l->eof = true;
}

/* Return: 0 when more may be there, MF_E_AGAIN */
static int read_net(struct mf_dns_link *l)
{
	ssize_t n = mf_sock_recv(l->fd, l->chunk, CHUNK);

	if (n == MF_E_AGAIN)
		return MF_E_AGAIN;
	if (n <= 0) {
		l->eof = true;
		return MF_E_AGAIN;
	}
	take_net(l, (size_t)n);
	return 0;
}

static void move_to_out(struct mf_dns_link *l)
{
	const uint8_t *bytes;
	char *data;
	int n;

	while (l->open && l->h2 && (n = mf_dns_h2_pull(l->h2, &bytes)) != 0) {
		if (n < 0 || !write_plain(l, bytes, (size_t)n)) {
			mf_dns_link_break(l, MF_E_BAD, "HTTP/2 failed");
			return;
		}
	}
	if (l->ssl && BIO_pending(l->to_net) > 0) {
		long len = BIO_get_mem_data(l->to_net, &data);

		if (evbuffer_add(l->out, data, (size_t)len) < 0)
			mf_dns_link_break(l, MF_E_NOMEM, "no memory");
		(void)BIO_reset(l->to_net);
	}
}

static void write_net(struct mf_dns_link *l)
{
	move_to_out(l);
	while (!l->broken && evbuffer_get_length(l->out)) {
		size_t len = evbuffer_get_contiguous_space(l->out);
		ssize_t n = mf_sock_send(l->fd, evbuffer_pullup(l->out, (ev_ssize_t)len), len);

		if (n == MF_E_AGAIN)
			return;
		if (n < 0) {
			mf_dns_link_break(l, MF_E_IO, "it closed the connection");
			return;
		}
		evbuffer_drain(l->out, (size_t)n);
	}
}

static void put_waiting(struct mf_dns_link *l)
{
	for (struct mf_dns_flight *f = l->flights; f && !l->broken; f = f->next) {
		if (f->sent || put_question(l, f))
			continue;
		mf_dns_link_break(l, MF_E_CLOSED, "it takes no more questions");
		return;
	}
}

/* Everything that can be done now. */
static void pump(struct mf_dns_link *l)
{
	l->pumping = true;
	if (l->connected && !l->broken) {
		do {
			if (!l->open && (!l->ssl || shake(l) == 0) && !l->broken) {
				l->open = true;
				take_net(l, 0); /* what came with the handshake's last bytes */
			}
			if (l->open && !l->broken)
				put_waiting(l);
			if (!l->broken)
				write_net(l);
		} while (!l->broken && read_net(l) == 0);
		if (!l->broken && l->eof)
			mf_dns_link_break(l, MF_E_CLOSED,
					  l->open ? "it closed the connection"
						  : "TLS: it ended in the handshake");
		else if (!l->broken && l->h2 && l->open && mf_dns_h2_ended(l->h2))
			mf_dns_link_break(l, MF_E_CLOSED, NULL);
	}
	l->pumping = false;
	if (l->broken) {
		mf_dns_link_free(l);
		return;
	}
	mf_sockwatch_want(
		&l->watch,
		(short)(EV_READ | (!l->connected || evbuffer_get_length(l->out) ? EV_WRITE : 0)));
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dns_link *l = ctx;
	int error;

	(void)fd;
	if (!l->connected && !(what & (EV_WRITE | EV_CLOSED)))
		return;
	if (!l->connected) {
		error = mf_sock_error(l->fd);
		if (error) {
			mf_dns_link_break(l, MF_E_IO, mf_sock_error_text(error));
			return;
		}
		l->connected = true;
	}
	pump(l);
}

static int connect_link(struct mf_dns_peer *peer, struct mf_dns_upstream *up)
{
	struct mf_dns_link *l = calloc(1, sizeof(*l));
	const struct mf_dns_server *conf = &peer->conf;
	char authority[MF_DNS_TEXT_MAX + 10];
	bool v6 = strchr(conf->host, ':') != NULL;
	int r = MF_E_NOMEM;

	if (!l)
		return r;
	l->up = up;
	l->peer = peer;
	l->fd = -1;
	l->in = malloc(IN_MAX);
	l->out = evbuffer_new();
	if (!l->in || !l->out)
		goto fail;
	snprintf(authority, sizeof(authority), conf->at.port == 443 ? "%s%s%s" : "%s%s%s:%u",
		 v6 ? "[" : "", conf->host, v6 ? "]" : "", conf->at.port);
	if (conf->scheme == MF_DNS_OVER_HTTPS &&
	    (r = mf_dns_h2_new(authority, conf->path, take_h2, l, &l->h2)) < 0)
		goto fail;
	if (conf->scheme >= MF_DNS_OVER_TLS && (r = start_tls(l)) < 0)
		goto fail;
	r = MF_E_IO;
	l->fd = mf_sock_dial(&conf->at);
	if (l->fd < 0) {
		snprintf(peer->error, sizeof(peer->error), "%s",
			 mf_sock_error_text(mf_sock_last_error()));
		l->fd = -1;
		goto fail;
	}
	if (mf_sockwatch_start(&l->watch, up->proxy->base, l->fd, on_io, l) < 0)
		goto fail;
	mf_sockwatch_want(&l->watch, EV_WRITE);
	peer->link = l;
	return 0;
fail:
	mf_dns_link_free(l);
	return r;
}

int mf_dns_link_add(struct mf_dns_peer *peer, struct mf_dns_flight *f)
{
	struct mf_dns_link *l;
	int r = 0;

	if (!peer->link)
		r = connect_link(peer, f->ask->up);
	if (r < 0)
		return r;
	l = peer->link;
	link_flight(l, f);
	if (l->open) /* sent from the loop, so that nobody is called back from here */
		mf_sockwatch_kick(&l->watch);
	return 0;
}
