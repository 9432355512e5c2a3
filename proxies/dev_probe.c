/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_probe.c - what a local server speaks, asked as politely as it can be
 *
 * Three questions, each on a connection of its own with a limit, and only while nothing is known: HEAD / with our name; a TLS
 * hello, where HTTP was not liked (TLS servers answer it with an alert, an HTTP error of their own, or nothing); an HTTP/2
 * preface, where both were hung up on. A server that speaks first, or otherwise, is asked nothing more.
 *
 * An answer is taken as hostile: at most MF_DEV_ANSWER_MAX bytes are read, the connection is then closed.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/wire/http_head.h"
#include "proxies/dev_servers_int.h"
#include "proxies/sock.h"

#define QUESTION_MAX 4096 /* a TLS hello with large key shares has some 1.6 KB */

struct mf_dev_prober {
	struct event_base *base;
	SSL_CTX *tls; /* made when it is first needed */
	uint32_t limit_ms;
	struct mf_dev_probe_stats stats;
};

struct mf_dev_probe {
	struct mf_dev_prober *prober;
	struct mf_endpoint at;
	mf_dev_probe_fn fn;
	void *ctx;
	struct event io, limit;
	int fd; /* -1: between two connections */
	enum mf_dev_step step;
	bool refused; /* HTTP answered that it did not like the question */
	size_t question_len, question_sent, len;
	uint8_t question[QUESTION_MAX];
	uint8_t answer[MF_DEV_ANSWER_MAX];
};

/* --- answers -------------------------------------------------------------------------------------------------------- */

/* A status line's beginning, "HTTP/1.1 200", or as much of it as there is. */
static enum mf_dev_answer read_status(struct mf_span s, bool whole)
{
	static const char shape[] = "HTTP/1.d ddd";

	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		if (i == s.len)
			return whole ? MF_DEV_ANSWER_OTHER : MF_DEV_ANSWER_MORE;
		if (shape[i] == 'd' ? s.ptr[i] < '0' || s.ptr[i] > '9'
				    : s.ptr[i] != (uint8_t)shape[i])
			return MF_DEV_ANSWER_OTHER;
	}
	if (!whole && !mf_http_find_end(s, 0))
		return MF_DEV_ANSWER_MORE;
	return memcmp(s.ptr + 9, "400", 3) == 0 ? MF_DEV_ANSWER_REFUSED : MF_DEV_ANSWER_HTTP;
}

enum mf_dev_answer mf_dev_answer_read(struct mf_span s, bool whole)
{
	/* SETTINGS of stream 0: what an HTTP/2 server says first (RFC 9113 §3.4); its length is a multiple of 6 */
	static const uint8_t settings[] = { 4, 0, 0, 0, 0, 0 };

	if (s.len == 0)
		return whole ? MF_DEV_ANSWER_OTHER : MF_DEV_ANSWER_MORE;
	if (s.ptr[0] == 'H')
		return read_status(s, whole);
	if (s.ptr[0] == 0x15 || s.ptr[0] == 0x16) { /* an alert, a handshake */
		if (s.len < 3)
			return whole ? MF_DEV_ANSWER_OTHER : MF_DEV_ANSWER_MORE;
		return s.ptr[1] == 3 && s.ptr[2] <= 4 ? MF_DEV_ANSWER_TLS : MF_DEV_ANSWER_OTHER;
	}
	if (s.ptr[0] == 0) {
		if (s.len < 9)
			return whole ? MF_DEV_ANSWER_OTHER : MF_DEV_ANSWER_MORE;
		return s.ptr[1] == 0 && s.ptr[2] % 6 == 0 && memcmp(s.ptr + 3, settings, 6) == 0
			       ? MF_DEV_ANSWER_H2C
			       : MF_DEV_ANSWER_OTHER;
	}
	return MF_DEV_ANSWER_OTHER;
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

static size_t write_http(struct mf_dev_probe *p)
{
	int n = snprintf((char *)p->question, sizeof(p->question),
			 "HEAD / HTTP/1.1\r\nHost: localhost:%u\r\nUser-Agent: moonfence-detect\r\n"
			 "Accept: */*\r\nConnection: close\r\n\r\n",
			 p->at.port);

	return n > 0 && (size_t)n < sizeof(p->question) ? (size_t)n : 0;
}

static size_t write_tls(struct mf_dev_probe *p)
{
	static const uint8_t alpn[] = { 2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };
	struct mf_dev_prober *shared = p->prober;
	char host[] = "localhost"; /* the macro below casts const away */
	BIO *in, *out;
	SSL *ssl;
	int n = 0;

	if (!shared->tls)
		shared->tls = SSL_CTX_new(TLS_client_method());
	ssl = shared->tls ? SSL_new(shared->tls) : NULL;
	if (!ssl)
		return 0;
	in = BIO_new(BIO_s_mem());
	out = BIO_new(BIO_s_mem());
	if (in && out) {
		SSL_set_bio(ssl, in, out); /* owns both from here */
		SSL_set_tlsext_host_name(ssl, host);
		SSL_set_alpn_protos(ssl, alpn, sizeof(alpn));
		(void)SSL_connect(ssl); /* writes its hello and waits */
		n = BIO_read(out, p->question, sizeof(p->question));
	} else {
		BIO_free(in);
		BIO_free(out);
	}
	SSL_free(ssl);
	return n > 0 ? (size_t)n : 0;
}

static size_t write_h2c(struct mf_dev_probe *p)
{
	/* the preface and empty SETTINGS; the connection is reset without a request */
	static const uint8_t settings[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };

	memcpy(p->question, MF_HTTP2_PREFACE, MF_HTTP2_PREFACE_LEN);
	memcpy(p->question + MF_HTTP2_PREFACE_LEN, settings, sizeof(settings));
	return MF_HTTP2_PREFACE_LEN + sizeof(settings);
}

static size_t (*const write_question[])(struct mf_dev_probe *p) = {
	[MF_DEV_ASK_HTTP] = write_http,
	[MF_DEV_ASK_TLS] = write_tls,
	[MF_DEV_ASK_H2C] = write_h2c,
};
_Static_assert(MF_ARRAY_SIZE(write_question) == MF_DEV_STEP_NUM, "each step has its question");

/* --- one connection after the other --------------------------------------------------------------------------------- */

static void on_ready(evutil_socket_t fd, short what, void *ctx);

static void hang_up(struct mf_dev_probe *p)
{
	if (p->fd < 0)
		return;
	event_del(&p->io);
	event_del(&p->limit);
	mf_sock_close(p->fd);
	p->fd = -1;
}

static void finish(struct mf_dev_probe *p, enum mf_dev_speech speech)
{
	bool has_head = speech == MF_DEV_HTTP && p->step == MF_DEV_ASK_HTTP;

	hang_up(p);
	p->fn(p->ctx, speech, mf_span_of(p->answer, has_head ? p->len : 0));
	free(p);
}

static bool wait_for(struct mf_dev_probe *p, short what)
{
	return event_assign(&p->io, p->prober->base, p->fd, what | EV_PERSIST, on_ready, p) == 0 &&
	       event_add(&p->io, NULL) == 0;
}

static void connect_for(struct mf_dev_probe *p, enum mf_dev_step step)
{
	struct timeval limit = { p->prober->limit_ms / 1000,
				 (int)(p->prober->limit_ms % 1000) * 1000 };

	p->step = step;
	p->len = p->question_sent = 0;
	p->question_len = write_question[step](p);
	p->fd = p->question_len ? mf_sock_dial(&p->at) : -1;
	if (p->fd < 0) {
		p->fd = -1;
		finish(p, MF_DEV_SILENT);
		return;
	}
	p->prober->stats.connections++;
	/* one limit for all of a connection: an answer that dribbles does not move it */
	if (!wait_for(p, EV_WRITE) || event_add(&p->limit, &limit) < 0)
		finish(p, MF_DEV_SILENT);
}

/* What a connection ended with, or is decided: the next question, or the result. */
static void conclude(struct mf_dev_probe *p, enum mf_dev_answer answer, bool late)
{
	hang_up(p);
	switch (answer) {
	case MF_DEV_ANSWER_HTTP:
		finish(p, MF_DEV_HTTP);
		return;
	case MF_DEV_ANSWER_TLS:
		finish(p, MF_DEV_TLS);
		return;
	case MF_DEV_ANSWER_H2C:
		finish(p, MF_DEV_H2C);
		return;
	case MF_DEV_ANSWER_REFUSED:
		/* told so twice: it does speak HTTP, and no TLS */
		if (p->step != MF_DEV_ASK_HTTP)
			finish(p, MF_DEV_HTTP);
		else {
			p->refused = true;
			connect_for(p, MF_DEV_ASK_TLS);
		}
		return;
	default:
		break;
	}
	if (p->len) /* something else was said: it is asked no more */
		finish(p, p->refused ? MF_DEV_HTTP : MF_DEV_OTHER);
	else if (p->step == MF_DEV_ASK_HTTP)
		connect_for(p, MF_DEV_ASK_TLS);
	else if (p->refused)
		finish(p, MF_DEV_HTTP);
	else if (late)
		finish(p, MF_DEV_SILENT);
	else if (p->step == MF_DEV_ASK_TLS)
		connect_for(p, MF_DEV_ASK_H2C);
	else
		finish(p, MF_DEV_OTHER);
}

/* Return: false when the connection has ended */
static bool send_question(struct mf_dev_probe *p)
{
	ssize_t n = mf_sock_send(p->fd, p->question + p->question_sent,
				 p->question_len - p->question_sent);

	if (n == MF_E_AGAIN)
		return true;
	if (n < 0)
		return false;
	p->question_sent += (size_t)n;
	if (p->question_sent < p->question_len)
		return true;
	event_del(&p->io);
	return wait_for(p, EV_READ);
}

static void read_answer(struct mf_dev_probe *p)
{
	ssize_t n = mf_sock_recv(p->fd, p->answer + p->len, sizeof(p->answer) - p->len);
	enum mf_dev_answer answer;

	if (n == MF_E_AGAIN)
		return;
	if (n > 0)
		p->len += (size_t)n;
	answer = mf_dev_answer_read(mf_span_of(p->answer, p->len),
				    n <= 0 || p->len == sizeof(p->answer));
	if (answer != MF_DEV_ANSWER_MORE)
		conclude(p, answer, false);
}

static void on_ready(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dev_probe *p = ctx;

	if (what & EV_READ)
		read_answer(p);
	else if (mf_sock_error(fd)) /* nobody listens any more: the next look will say so */
		finish(p, MF_DEV_SILENT);
	else if (!send_question(p))
		conclude(p, MF_DEV_ANSWER_OTHER, false);
}

static void on_limit(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dev_probe *p = ctx;

	(void)fd;
	(void)what;
	if (p->fd < 0) { /* the beginning */
		connect_for(p, MF_DEV_ASK_HTTP);
		return;
	}
	p->prober->stats.late++;
	conclude(p, mf_dev_answer_read(mf_span_of(p->answer, p->len), true), true);
}

struct mf_dev_probe *mf_dev_probe_start(struct mf_dev_prober *prober, const struct mf_endpoint *at,
					mf_dev_probe_fn fn, void *ctx)
{
	struct mf_dev_probe *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->prober = prober;
	p->at = *at;
	p->fn = fn;
	p->ctx = ctx;
	p->fd = -1;
	if (event_assign(&p->limit, prober->base, -1, 0, on_limit, p) < 0) {
		free(p);
		return NULL;
	}
	event_active(&p->limit, EV_TIMEOUT, 0);
	return p;
}

void mf_dev_probe_cancel(struct mf_dev_probe *p)
{
	if (!p)
		return;
	hang_up(p);
	event_del(&p->limit);
	free(p);
}

struct mf_dev_prober *mf_dev_prober_new(struct event_base *base, uint32_t limit_ms)
{
	struct mf_dev_prober *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->base = base;
	p->limit_ms = limit_ms;
	return p;
}

void mf_dev_prober_free(struct mf_dev_prober *p)
{
	if (!p)
		return;
	SSL_CTX_free(p->tls);
	free(p);
}

void mf_dev_prober_get_stats(const struct mf_dev_prober *p, struct mf_dev_probe_stats *ret)
{
	*ret = p->stats;
}
