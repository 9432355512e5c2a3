/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_bridge.c - the bridge on socket pairs, with OpenSSL as the far ends: plaintext behind it, protocols, ends */
#include <event2/util.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "core/base/err.h"
#include "core/base/sockets.h"
#include "proxies/timeouts.h"
#include "proxies/tls_bridge.h"
#include "tests/unit/proxies/pair.h"
#include "tests/unit/test.h"

enum { LIMIT_MS = 60000 };

struct bed {
	struct mf_tls_authority *ca;
	struct mf_tls_bridge *bridge;
	struct mf_relay relay;
	enum mf_relay_state state;
	int client, server; /* the far ends; near ends are the relay's */
	SSL_CTX *client_ctx;
	SSL *ssl; /* the client */
	uint64_t until_ms;
};

static SSL_CTX *new_client_context(const struct mf_tls_authority *ca)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new_mem_buf(mf_tls_authority_pem(ca), -1);
	X509 *root = PEM_read_bio_X509(in, NULL, NULL, NULL);

	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	X509_free(root);
	BIO_free(in);
	return ctx;
}

static int set_up(void **state)
{
	char name[] = "app.example"; /* the macro below casts const away, which clang minds */
	struct bed *b = calloc(1, sizeof(*b));
	int near_client, near_server;

	assert_int_equal(mf_sock_start(), 0);
	assert_int_equal(mf_tls_authority_new("s1", &b->ca, NULL), 0);
	open_pair(&b->client, &near_client);
	open_pair(&b->server, &near_server);
	mf_relay_init(&b->relay, near_client, near_server);
	b->client_ctx = new_client_context(b->ca);
	b->ssl = SSL_new(b->client_ctx);
	assert_int_equal(SSL_set_fd(b->ssl, b->client), 1);
	assert_int_equal(SSL_set_tlsext_host_name(b->ssl, name), 1);
	assert_int_equal(SSL_set1_host(b->ssl, "app.example"), 1);
	SSL_set_connect_state(b->ssl);
	SSL_set_mode(b->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	b->until_ms = mf_now_ms() + LIMIT_MS;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	SSL_free(b->ssl);
	SSL_CTX_free(b->client_ctx);
	mf_tls_bridge_free(b->bridge);
	mf_tls_authority_free(b->ca);
	mf_sock_close(b->relay.fd[0]);
	mf_sock_close(b->relay.fd[1]);
	if (b->client >= 0)
		mf_sock_close(b->client);
	if (b->server >= 0)
		mf_sock_close(b->server);
	free(b);
	return 0;
}

static int open_plain(struct bed *b, struct mf_span alpn, struct mf_span first)
{
	return mf_tls_bridge_new(&(struct mf_tls_bridge_options){ .authority = b->ca,
								  .client_name = "app.example",
								  .alpn = alpn,
								  .first = first },
				 &b->bridge);
}

static void offer(struct bed *b, const char *list)
{
	assert_int_equal(
		SSL_set_alpn_protos(b->ssl, (const unsigned char *)list, (unsigned)strlen(list)),
		0);
}

/* What a loop would do: everything may be ready, see. */
static void turn(struct bed *b)
{
	assert_true(mf_now_ms() < b->until_ms);
	for (unsigned i = 0; i < 2; i++)
		b->relay.readable[i] = b->relay.writable[i] = true;
	if (b->state < MF_RELAY_FINISHED)
		b->state = mf_tls_bridge_pump(b->bridge, &b->relay);
}

static void shake(struct bed *b)
{
	while (SSL_do_handshake(b->ssl) != 1)
		turn(b);
	assert_int_equal(SSL_get_verify_result(b->ssl), X509_V_OK);
}

static void say(struct bed *b, const char *text)
{
	assert_int_equal(SSL_write(b->ssl, text, (int)strlen(text)), (int)strlen(text));
}

static void server_says(struct bed *b, const char *text)
{
	assert_int_equal(mf_sock_send(b->server, text, strlen(text)), (ssize_t)strlen(text));
}

static void server_hears(struct bed *b, const char *text)
{
	size_t got = 0, len = strlen(text);
	char buf[256];

	assert_true(len < sizeof(buf));
	while (got < len) {
		ssize_t n = mf_sock_recv(b->server, buf + got, sizeof(buf) - got);

		assert_true(n > 0 || n == MF_E_AGAIN);
		got += n > 0 ? (size_t)n : 0;
		turn(b);
	}
	assert_int_equal(got, len);
	assert_memory_equal(buf, text, len);
}

/* Return: what SSL_get_error() says of the read that gave nothing but "not yet" */
static int client_reads(struct bed *b, char *buf, int room, int *ret_n)
{
	int error;

	for (;;) {
		*ret_n = SSL_read(b->ssl, buf, room);
		error = *ret_n > 0 ? SSL_ERROR_NONE : SSL_get_error(b->ssl, *ret_n);
		if (error != SSL_ERROR_WANT_READ)
			return error;
		turn(b);
	}
}

static void client_hears(struct bed *b, const char *text)
{
	char buf[256];
	int n;

	assert_int_equal(client_reads(b, buf, sizeof(buf), &n), SSL_ERROR_NONE);
	assert_int_equal(n, (int)strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void server_hears_the_end(struct bed *b)
{
	ssize_t n;
	char c;

	while ((n = mf_sock_recv(b->server, &c, 1)) == MF_E_AGAIN)
		turn(b);
	assert_int_equal(n, 0);
}

static const char *chosen(const struct bed *b)
{
	static char text[32];
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(b->ssl, &name, &len);
	snprintf(text, sizeof(text), "%.*s", (int)len, len ? (const char *)name : "");
	return text;
}

/* --- plaintext behind it --------------------------------------------------------------------------------------------- */

static void a_plaintext_server_hears_plaintext(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, (struct mf_span){ 0 }), 0);
	assert_true(mf_tls_bridge_is_joined(b->bridge));
	shake(b);
	say(b, "GET / HTTP/1.1\r\n\r\n");
	server_hears(b, "GET / HTTP/1.1\r\n\r\n");
	server_says(b, "HTTP/1.1 204 None\r\n\r\n");
	client_hears(b, "HTTP/1.1 204 None\r\n\r\n");
	assert_int_equal(b->relay.dir[0].bytes, 18);
	assert_int_equal(b->relay.dir[1].bytes, 21);
}

static void a_plaintext_server_may_speak_first(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, (struct mf_span){ 0 }), 0);
	server_says(b, "220 ready\r\n");
	turn(b);
	shake(b);
	client_hears(b, "220 ready\r\n");
}

static void what_was_read_before_comes_first(void **state)
{
	struct bed *b = *state;
	uint8_t hello[4096];
	ssize_t n;

	assert_int_equal(SSL_do_handshake(b->ssl), -1); /* sends its hello */
	while ((n = mf_sock_recv(b->relay.fd[0], hello, sizeof(hello))) == MF_E_AGAIN)
		assert_true(mf_now_ms() < b->until_ms);
	assert_true(n > 5);
	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, mf_span_of(hello, (size_t)n)), 0);
	shake(b);
	say(b, "x");
	server_hears(b, "x");
}

static void http1_is_what_a_plaintext_server_speaks(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, (struct mf_span){ 0 }), 0);
	offer(b, "\x02h2\x08http/1.1");
	shake(b);
	assert_string_equal(chosen(b), "http/1.1");
}

static void http2_where_it_is_allowed_and_offered(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, mf_span_str("\x02h2\x08http/1.1"), (struct mf_span){ 0 }),
			 0);
	offer(b, "\x08http/1.1\x02h2");
	shake(b);
	assert_string_equal(chosen(b), "h2");
}

static void the_next_protocol_where_the_first_is_not_offered(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, mf_span_str("\x02h2\x08http/1.1"), (struct mf_span){ 0 }),
			 0);
	offer(b, "\x08http/1.1\x06spdy/1");
	shake(b);
	assert_string_equal(chosen(b), "http/1.1");
}

static void nothing_in_common_is_nothing_chosen(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, (struct mf_span){ 0 }), 0);
	offer(b, "\x02h2");
	shake(b);
	assert_string_equal(chosen(b), "");
}

static void a_list_that_is_none_is_refused(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, mf_span_str("\x09http/1.1"), (struct mf_span){ 0 }),
			 MF_E_INVAL);
	assert_int_equal(open_plain(b, mf_span_of("\0h2", 3), (struct mf_span){ 0 }), MF_E_INVAL);
}

/* --- ends ----------------------------------------------------------------------------------------------------------- */

static void the_servers_end_is_a_close_notify(void **state)
{
	struct bed *b = *state;
	char c;
	int n;

	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, (struct mf_span){ 0 }), 0);
	shake(b);
	server_says(b, "bye");
	mf_sock_shutdown_write(b->server);
	client_hears(b, "bye");
	assert_int_equal(client_reads(b, &c, 1, &n), SSL_ERROR_ZERO_RETURN);
	/* the other direction goes on until the client ends it */
	say(b, "still here");
	server_hears(b, "still here");
	SSL_shutdown(b->ssl);
	server_hears_the_end(b);
	assert_int_equal(b->state, MF_RELAY_FINISHED);
}

static void an_answer_reaches_a_client_that_has_ended(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, (struct mf_span){ 0 }), 0);
	shake(b);
	say(b, "question");
	/* without close_notify */
	mf_sock_shutdown_write(b->client);
	server_hears(b, "question");
	server_hears_the_end(b);
	server_says(b, "answer");
	client_hears(b, "answer");
}

static void garbage_in_place_of_a_hello_is_told(void **state)
{
	struct bed *b = *state;

	assert_int_equal(open_plain(b, mf_span_of(NULL, 0), mf_span_str("SSH-2.0-x\r\n")), 0);
	turn(b);
	assert_int_equal(b->state, MF_RELAY_BROKEN);
	assert_non_null(strstr(mf_tls_bridge_error(b->bridge), "the client"));
}

static void much_goes_both_ways_in_order(void **state)
{
	enum { TOTAL = 1 << 20, PART = 16384 };
	struct bed *b = *state;
	static uint8_t in[PART], out[PART];
	size_t got[2] = { 0 }, sent[2] = { 0 };

	assert_int_equal(open_plain(b, (struct mf_span){ 0 }, (struct mf_span){ 0 }), 0);
	shake(b);
	while (got[0] < TOTAL || got[1] < TOTAL) {
		size_t len = TOTAL - sent[0] < PART ? TOTAL - sent[0] : PART;
		ssize_t n;
		int m;

		for (size_t i = 0; i < len; i++)
			out[i] = (uint8_t)((sent[0] + i) * 2654435761u >> 13);
		m = len ? SSL_write(b->ssl, out, (int)len) : 0;
		sent[0] += m > 0 ? (size_t)m : 0;
		len = TOTAL - sent[1] < PART ? TOTAL - sent[1] : PART;
		for (size_t i = 0; i < len; i++)
			out[i] = (uint8_t)((sent[1] + i) * 40503u >> 7);
		n = len ? mf_sock_send(b->server, out, len) : 0;
		sent[1] += n > 0 ? (size_t)n : 0;
		turn(b);
		n = mf_sock_recv(b->server, in, sizeof(in));
		for (ssize_t i = 0; i < n; i++, got[0]++)
			assert_int_equal(in[i], (uint8_t)(got[0] * 2654435761u >> 13));
		m = SSL_read(b->ssl, in, sizeof(in));
		for (int i = 0; i < m; i++, got[1]++)
			assert_int_equal(in[i], (uint8_t)(got[1] * 40503u >> 7));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_plaintext_server_hears_plaintext),
		TEST(a_plaintext_server_may_speak_first),
		TEST(what_was_read_before_comes_first),
		TEST(http1_is_what_a_plaintext_server_speaks),
		TEST(http2_where_it_is_allowed_and_offered),
		TEST(the_next_protocol_where_the_first_is_not_offered),
		TEST(nothing_in_common_is_nothing_chosen),
		TEST(a_list_that_is_none_is_refused),
		TEST(the_servers_end_is_a_close_notify),
		TEST(an_answer_reaches_a_client_that_has_ended),
		TEST(garbage_in_place_of_a_hello_is_told),
		TEST(much_goes_both_ways_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
