// SPDX-License-Identifier: Apache-2.0
// A bridge as terminate{} has it, between a client and a server that do as the input says: handshakes in any order and state,
// requests that are watched, foreign bytes on either wire, ends of every kind, further connections with the first one's tickets.
// What one side hears is what the other has said, from its beginning and in its order; nothing of it is invented by bytes of
// the wire; and a bridge never works without end.
//
// The first byte says how the server is reached; then come operations, a byte each (enum op), some with a length and bytes.
#include <event2/util.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/wire/http_watch.h"
#include "proxies/sock.h"
#include "proxies/tls_bridge.h"
#include "proxies/tls_client.h"

enum { INPUT_MAX = 8192, SAID_MAX = 65536, HELD_MAX = 2 * MF_HTTP_WATCH_HELD_MAX, PUMPS_MAX = 64 };

enum op {
	OP_CLIENT, /* works at its handshake, or reads */
	OP_SERVER,
	OP_BOTH, /* until nothing changes any more */
	OP_CLIENT_SAYS,
	OP_SERVER_SAYS,
	OP_CLIENT_WIRE, /* bytes into its connection, as somebody in between could put there */
	OP_SERVER_WIRE,
	OP_CLIENT_CLOSES, /* in TLS */
	OP_SERVER_CLOSES,
	OP_CLIENT_ENDS, /* its half of the connection */
	OP_SERVER_ENDS,
	OP_ANSWER,
	OP_AGAIN, /* another connection */
	OP_NUM
};

enum { PLAIN_SERVER = 1, TLS12 = 2, CUT_HELLO = 4, FILTER = 8, OTHER_NAME = 16 };

struct end {
	evutil_socket_t far_fd, near_fd;
	SSL *ssl; // NULL: in the clear
	uint8_t said[SAID_MAX];
	size_t said_len, heard; // how much of what the other one said
	bool ended;
};

struct watcher {
	struct mf_relay_filter filter;
	struct mf_http_watch *watch;
	uint8_t held[HELD_MAX], out[HELD_MAX];
	size_t len;
};

static struct mf_tls_authority *ca;
static SSL_CTX *upstream, *server_ctx, *client_ctx;
static struct end client, server;
static struct watcher watcher;
static struct mf_tls_bridge *bridge;
static struct mf_relay relay;
static enum mf_relay_state state;
static bool answered;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void start_once(void)
{
	SSL_CTX *leaf;
	BIO *pem;
	X509 *root;

	if (ca)
		return;
	MF_MUST(mf_sock_start() == 0 && mf_tls_authority_new("fuzz", &ca, NULL) == 0);
	pem = BIO_new_mem_buf(mf_tls_authority_pem(ca), -1);
	root = PEM_read_bio_X509(pem, NULL, NULL, NULL);
	BIO_free(pem);
	upstream = mf_tls_upstream_new();
	client_ctx = SSL_CTX_new(TLS_client_method());
	server_ctx = SSL_CTX_new(TLS_server_method());
	leaf = mf_tls_authority_context(ca, "app.example");
	MF_MUST(root && upstream && client_ctx && server_ctx && leaf);
	MF_MUST(X509_STORE_add_cert(SSL_CTX_get_cert_store(upstream), root) == 1);
	MF_MUST(SSL_CTX_use_certificate(server_ctx, SSL_CTX_get0_certificate(leaf)) == 1 &&
		SSL_CTX_use_PrivateKey(server_ctx, SSL_CTX_get0_privatekey(leaf)) == 1);
	X509_free(root);
}

static void open_end(struct end *e)
{
	evutil_socket_t fds[2];

	MF_MUST(evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	for (unsigned i = 0; i < 2; i++)
		MF_MUST(evutil_make_socket_nonblocking(fds[i]) == 0);
	e->far_fd = fds[0];
	e->near_fd = fds[1];
	e->said_len = e->heard = 0;
	e->ended = false;
	e->ssl = NULL;
}

static void close_end(struct end *e)
{
	SSL_free(e->ssl);
	evutil_closesocket(e->far_fd);
	evutil_closesocket(e->near_fd);
}

// What a connection's requests are watched with: others than those for its own name go no further.
static int watch(struct mf_relay_filter *f, struct mf_span in, struct mf_span *ret_out)
{
	struct watcher *w = (struct watcher *)f;
	size_t out = 0, pass;
	struct mf_http_said said;
	int r;

	MF_MUST(w->len + in.len <= HELD_MAX);
	memcpy(w->held + w->len, in.ptr, in.len);
	w->len += in.len;
	do {
		r = mf_http_watch_next(w->watch, mf_span_of(w->held, w->len), &pass, &said);
		MF_MUST(pass <= w->len);
		if (r == 1 && said.host.len &&
		    (said.host.len != 11 || memcmp(said.host.ptr, "app.example", 11) != 0))
			r = MF_E_PERM;
		memcpy(w->out + out, w->held, pass);
		out += pass;
		w->len -= pass;
		memmove(w->held, w->held + pass, w->len);
	} while (r == 1);
	*ret_out = mf_span_of(w->out, out);
	return r < 0 ? r : 0;
}

static void pump(void)
{
	for (unsigned n = 0; state < MF_RELAY_FINISHED; n++) {
		relay.readable[0] = relay.readable[1] = true;
		relay.writable[0] = relay.writable[1] = true;
		state = mf_tls_bridge_pump(bridge, &relay);
		MF_MUST(n < PUMPS_MAX);
		MF_MUST(mf_tls_bridge_client_says(bridge) < MF_TLS_CLIENT_SAYS_NUM);
		if (state != MF_RELAY_BUSY)
			return;
	}
}

// One step of an end of a connection. Return: whether something came
static bool work(struct end *e, const struct end *other)
{
	uint8_t buf[4096];
	int n;

	ERR_clear_error();
	if (e->ssl && !SSL_is_init_finished(e->ssl) && SSL_do_handshake(e->ssl) != 1)
		return false;
	n = e->ssl ? SSL_read(e->ssl, buf, sizeof(buf))
		   : (int)mf_sock_recv((int)e->far_fd, buf, sizeof(buf));
	if (n <= 0)
		return false;
	if (e == &client && answered)
		return true;
	MF_MUST(e->heard + (size_t)n <= other->said_len);
	MF_MUST(memcmp(other->said + e->heard, buf, (size_t)n) == 0);
	e->heard += (size_t)n;
	return true;
}

static void work_both(void)
{
	for (unsigned n = 0, quiet = 0; n < PUMPS_MAX && quiet < 6; n++) {
		bool came = work(&client, &server);

		pump();
		came |= work(&server, &client);
		pump();
		quiet = came ? 0 : quiet + 1;
	}
}

static void put(struct end *e, struct mf_span what)
{
	if (what.len && mf_sock_send((int)e->far_fd, what.ptr, what.len) < 0)
		e->ended = true;
}

static void say(struct end *e, struct mf_span what)
{
	if (!what.len || e->ended || e->said_len + what.len > SAID_MAX)
		return;
	ERR_clear_error();
	if (e->ssl) {
		if (!SSL_is_init_finished(e->ssl) ||
		    SSL_write(e->ssl, what.ptr, (int)what.len) != (int)what.len)
			return;
	} else if (mf_sock_send((int)e->far_fd, what.ptr, what.len) != (ssize_t)what.len) {
		return;
	}
	memcpy(e->said + e->said_len, what.ptr, what.len);
	e->said_len += what.len;
}

static void wire(struct end *e, struct mf_span what)
{
	if (e->ssl)
		put(e, what);
	else
		say(e, what);
}

static void finish(struct end *e)
{
	e->ended = true;
	mf_sock_shutdown_write((int)e->far_fd);
}

static void close_tls(struct end *e)
{
	ERR_clear_error();
	if (e->ssl && SSL_is_init_finished(e->ssl))
		SSL_shutdown(e->ssl);
	e->ended = true;
}

static struct mf_span read_hello(unsigned how, uint8_t *buf, size_t room)
{
	ssize_t n;

	SSL_do_handshake(client.ssl);
	n = mf_sock_recv((int)client.near_fd, buf, how & CUT_HELLO ? 100 : room);
	return mf_span_of(buf, n > 0 ? (size_t)n : 0);
}

static void begin(unsigned how, struct mf_tls_sessions *sessions)
{
	static const unsigned char protocols[] = "\x02h2\x08http/1.1";
	char name[] = "app.example";
	uint8_t hello[4096];
	struct mf_tls_bridge_options o = {
		.authority = ca,
		.upstream = how & PLAIN_SERVER ? NULL : upstream,
		.client_name = name,
		.server_name = how & OTHER_NAME ? "other.example" : name,
		.alpn = mf_span_of(protocols, sizeof(protocols) - 1),
		.sessions = how & PLAIN_SERVER ? NULL : sessions,
		.server = "app.example 192.0.2.1:443",
	};

	open_end(&client);
	open_end(&server);
	client.ssl = SSL_new(client_ctx);
	MF_MUST(client.ssl && SSL_set_fd(client.ssl, (int)client.far_fd) == 1);
	SSL_set_tlsext_host_name(client.ssl, name);
	SSL_set_alpn_protos(client.ssl, protocols, sizeof(protocols) - 1);
	SSL_set_connect_state(client.ssl);
	if (how & TLS12)
		SSL_set_max_proto_version(client.ssl, TLS1_2_VERSION);
	if (!(how & PLAIN_SERVER)) {
		server.ssl = SSL_new(server_ctx);
		MF_MUST(server.ssl && SSL_set_fd(server.ssl, (int)server.far_fd) == 1);
		SSL_set_accept_state(server.ssl);
		if (how & TLS12)
			SSL_set_max_proto_version(server.ssl, TLS1_2_VERSION);
	}
	mf_relay_init(&relay, (int)client.near_fd, (int)server.near_fd);
	watcher.filter.take = watch;
	watcher.watch = mf_http_watch_new();
	watcher.len = 0;
	relay.filter = how & FILTER ? &watcher.filter : NULL;
	state = MF_RELAY_WAITING;
	answered = false;
	o.first = read_hello(how, hello, sizeof(hello));
	MF_MUST(watcher.watch && mf_tls_bridge_new(&o, &bridge) == 0);
	pump();
}

static void end(void)
{
	// Whatever went before: without its ends a bridge is over.
	finish(&client);
	finish(&server);
	work_both();
	MF_MUST(relay.dir[0].bytes <= client.said_len);
	MF_MUST(relay.dir[1].bytes <= server.said_len);
	mf_tls_bridge_free(bridge);
	mf_http_watch_free(watcher.watch);
	close_end(&client);
	close_end(&server);
	ERR_clear_error();
}

static struct mf_span take_bytes(struct mf_span *in)
{
	struct mf_span out = { 0 };

	if (in->len) {
		size_t n = in->ptr[0] < in->len ? in->ptr[0] : in->len - 1;

		out = mf_span_of(in->ptr + 1, n);
		*in = mf_span_of(in->ptr + 1 + n, in->len - 1 - n);
	}
	return out;
}

static void run(enum op op, struct mf_span *in, unsigned how, struct mf_tls_sessions *sessions)
{
	struct end *e = op % 2 ? &client : &server; // of the pairs from OP_CLIENT_SAYS on

	switch (op) {
	case OP_CLIENT:
		work(&client, &server);
		return;
	case OP_SERVER:
		work(&server, &client);
		return;
	case OP_BOTH:
		work_both();
		return;
	case OP_CLIENT_SAYS:
	case OP_SERVER_SAYS:
		say(e, take_bytes(in));
		return;
	case OP_CLIENT_WIRE:
	case OP_SERVER_WIRE:
		wire(e, take_bytes(in));
		return;
	case OP_CLIENT_CLOSES:
	case OP_SERVER_CLOSES:
		close_tls(e);
		return;
	case OP_CLIENT_ENDS:
	case OP_SERVER_ENDS:
		finish(e);
		return;
	case OP_ANSWER:
		if (relay.refused) {
			answered = true;
			mf_tls_bridge_answer(bridge, "HTTP/1.1 403 No\r\n\r\n", 19);
		}
		return;
	case OP_AGAIN:
		end();
		begin(how, sessions);
		return;
	case OP_NUM:
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_tls_sessions *sessions;
	struct mf_span in;
	unsigned how, again = 0;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	start_once();
	sessions = mf_tls_sessions_new();
	MF_MUST(sessions);
	how = data[0];
	in = mf_span_of(data + 1, size - 1);
	begin(how, sessions);
	while (in.len) {
		enum op op = in.ptr[0] % OP_NUM;

		in = mf_span_of(in.ptr + 1, in.len - 1);
		again += op == OP_AGAIN;
		if (again > 4)
			break;
		run(op, &in, how, sessions);
		pump();
	}
	end();
	mf_tls_sessions_free(sessions);
	return 0;
}
