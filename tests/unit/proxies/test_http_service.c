// SPDX-License-Identifier: Apache-2.0
// The HTTP service on socket pairs: what is served, what is refused and how, pipelining, late answers, clients that leave.
#include <event2/event.h>
#include <event2/util.h>

#include "proxies/http_service.h"
#include "proxies/sock.h"
#include "tests/unit/proxies/pair.h"
#include "tests/unit/test.h"

struct bed {
	struct event_base *base;
	struct mf_http_service *service;
	struct mf_http_exchange *later, *left;
	char got[262144];
	size_t len;
	int fd; // the client's end
	bool ended;
};

static void on_echo(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	char text[512], field[64];
	struct mf_span f = mf_http_find_field(req, "x-field");

	(void)ctx;
	snprintf(field, sizeof(field), "%.*s", (int)f.len, (const char *)f.ptr);
	snprintf(text, sizeof(text), "[%.*s %.*s ?%.*s @%.*s %s #%zu]", (int)req->method.len,
		 req->method.ptr, (int)req->path.len, req->path.ptr, (int)req->query.len,
		 req->query.len ? (const char *)req->query.ptr : "", (int)req->authority.len,
		 req->authority.len ? (const char *)req->authority.ptr : "", field, req->body.len);
	mf_http_answer_text(x, 200, "text/plain", text);
}

static void on_body(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	(void)ctx;
	mf_http_answer(x, &(struct mf_http_answer){ .status = 200, .body = req->body });
}

static void on_gone(void *ctx, struct mf_http_exchange *x)
{
	struct bed *b = ctx;

	assert_true(mf_http_exchange_is_gone(x));
	b->left = x;
}

static void on_later(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct bed *b = ctx;

	(void)req;
	mf_http_exchange_on_gone(x, on_gone, b);
	b->later = x;
}

static void on_bad_field(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_http_field f = { mf_span_str("location"), mf_span_str("/\r\nset-cookie: a=b") };

	(void)ctx;
	(void)req;
	mf_http_answer(x, &(struct mf_http_answer){ .status = 302, .fields = &f, .field_cnt = 1 });
}

static const struct mf_http_route routes[] = {
	{ .method = "GET", .path = "/echo", .fn = on_echo },
	{ .method = "POST", .path = "/echo", .fn = on_echo },
	{ .method = "GET", .path = "/under/", .prefix = true, .fn = on_echo },
	{ .method = "POST", .path = "/under/body", .fn = on_body },
	{ .method = "GET", .path = "/later", .fn = on_later },
	{ .method = "GET", .path = "/split", .fn = on_bad_field },
};

static void connect_client(struct bed *b)
{
	int near_end;

	if (b->fd >= 0)
		mf_sock_close(b->fd);
	open_pair(&b->fd, &near_end);
	b->len = 0;
	b->got[0] = '\0';
	b->ended = false;
	assert_int_equal(mf_http_service_take(b->service, near_end, NULL, NULL), 0);
}

static void make_service(struct bed *b, const struct mf_http_service_options *o)
{
	struct mf_err err;

	mf_http_service_free(b->service);
	assert_int_equal(mf_http_service_new(b->base, o, &b->service, &err), 0);
	assert_int_equal(
		mf_http_service_add(b->service, routes, sizeof(routes) / sizeof(routes[0]), b), 0);
	connect_client(b);
}

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_int_equal(mf_sock_start(), 0);
	b->base = event_base_new();
	b->fd = -1;
	make_service(b, &(struct mf_http_service_options){
				.size = sizeof(struct mf_http_service_options),
				.head_max = 1024,
				.body_max = 4096 });
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	mf_http_service_free(b->service);
	if (b->fd >= 0)
		mf_sock_close(b->fd);
	event_base_free(b->base);
	free(b);
	return 0;
}

static void turn(struct bed *b)
{
	ssize_t n;

	event_base_loop(b->base, EVLOOP_NONBLOCK);
	n = mf_sock_recv(b->fd, b->got + b->len, sizeof(b->got) - 1 - b->len);
	if (n > 0)
		b->len += (size_t)n;
	else if (n != MF_E_AGAIN)
		b->ended = true;
	b->got[b->len] = '\0';
}

static void say_bytes(struct bed *b, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = mf_sock_send(b->fd, bytes, len);

		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (n != MF_E_AGAIN) {
			return; // it need not listen to the end
		}
		turn(b);
	}
}

static void say(struct bed *b, const char *text)
{
	say_bytes(b, text, strlen(text));
}

// Until @cnt times @what is in what came; the test's own limit ends a run that hangs.
static void expect(struct bed *b, const char *what, unsigned cnt)
{
	for (;;) {
		const char *p = b->got;
		unsigned found = 0;

		while ((p = strstr(p, what))) {
			found++;
			p++;
		}
		if (found >= cnt)
			return;
		if (b->ended)
			fail_msg("ended after:\n%s\ninstead of %u times:\n%s", b->got, cnt, what);
		turn(b);
	}
}

static void expect_end(struct bed *b)
{
	while (!b->ended)
		turn(b);
}

// One request a connection, and what its answer must have in it.
static const struct {
	const char *said, *want;
} cases[] = {
	{ "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "[GET /echo ? @a  #0]" },
	{ "GET /echo?x=1&y HTTP/1.1\r\nHost: a:80\r\nX-Field: \t v w \r\n\r\n",
	  "[GET /echo ?x=1&y @a v w #0]" },
	{ "GET http://b/echo?q HTTP/1.1\r\nHost: b\r\n\r\n", "[GET /echo ?q @b  #0]" },
	{ "\r\n\r\nGET /under/a HTTP/1.1\r\nHost: a\r\n\r\n", "[GET /under/a ? @a  #0]" },
	{ "GET /echo HTTP/1.0\r\n\r\n", "connection: close" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "#3]" },
	{ "POST /under/body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
	  "\r\n\r\nabc0123456789" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
	  "HTTP/1.1 100 Continue\r\n\r\n" },
	// nothing is for it
	{ "GET /none HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n" },
	{ "GET /echo/ HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n" },
	{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n" },
	{ "PUT /echo HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nallow: GET, HEAD, POST\r\n" },
	{ "GET /under/body HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n" },
	{ "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "HTTP/1.1 501 Not Implemented\r\n" },
	{ "GET /split HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 500 Internal Server Error\r\n" },
	// what two servers could read in two ways
	{ "GET /echo HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET /echo HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET /echo HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET /echo HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET /echo HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET /echo HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET  /echo HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "what is this\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n "
	  "1\r\nx\r\n0\r\n\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "fffffffffffffffff\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	// too much
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n",
	  "HTTP/1.1 413 Content Too Large\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n",
	  "HTTP/1.1 413 Content Too Large\r\n" },
};

static void test_cases(void **state)
{
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		connect_client(b);
		say(b, cases[i].said);
		expect(b, cases[i].want, 1);
		// and the same a byte at a time
		connect_client(b);
		for (const char *p = cases[i].said; *p; p++)
			say_bytes(b, p, 1);
		expect(b, cases[i].want, 1);
	}
}

static void test_bounds(void **state)
{
	struct bed *b = *state;
	char text[4096];

	// a line, a field and a head that do not end
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	say_bytes(b, text, sizeof(text));
	expect(b, "HTTP/1.1 414 URI Too Long\r\n", 1);
	expect_end(b);

	connect_client(b);
	say(b, "GET /echo HTTP/1.1\r\nHost: a\r\nX: ");
	say_bytes(b, text, sizeof(text));
	expect(b, "HTTP/1.1 431 Request Header Fields Too Large\r\n", 1);
	expect_end(b);

	connect_client(b);
	say(b, "GET /echo HTTP/1.1\r\nHost: a\r\n");
	for (unsigned i = 0; i < MF_HTTP_FIELDS_MAX; i++)
		say(b, "X: y\r\n");
	say(b, "\r\n");
	expect(b, "HTTP/1.1 431 ", 1);

	connect_client(b);
	say(b, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
	for (unsigned i = 0; i < 2000; i++)
		say(b, "X: y\r\n");
	expect(b, "HTTP/1.1 431 ", 1);
}

static void test_pipelining(void **state)
{
	struct bed *b = *state;
	char text[64];

	for (unsigned i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "GET /echo?%u HTTP/1.1\r\nHost: a\r\n\r\n", i);
		say(b, text);
	}
	expect(b, "HTTP/1.1 200 OK", 500);
	expect(b, "?499", 1);
	assert_true(strstr(b->got, "?41 ") < strstr(b->got, "?42 "));
	// an answer that is late holds those behind it back
	say(b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?after HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!b->later)
		turn(b);
	for (unsigned i = 0; i < 10; i++)
		turn(b);
	assert_null(strstr(b->got, "?after"));
	mf_http_answer_text(b->later, 200, "text/plain", "now");
	expect(b, "?after", 1);
	assert_true(strstr(b->got, "\r\n\r\nnow") < strstr(b->got, "?after"));
}

static void test_head(void **state)
{
	struct bed *b = *state;

	say(b, "HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n"
	       "Connection: x, Close\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_end(b);
	assert_non_null(strstr(b->got, "content-length: 21\r\n"));
	assert_null(strstr(b->got, "[HEAD"));
	assert_non_null(strstr(b->got, "[GET"));
	assert_null(strstr(strstr(b->got, "[GET") + 1, "[GET")); // nothing after close
}

static void test_leaving(void **state)
{
	struct bed *b = *state;
	struct mf_http_service_stats st;

	say(b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!b->later)
		turn(b);
	mf_sock_reset(b->fd);
	b->fd = -1;
	// an end may be a half-closed client's: whoever asked is waited for until its answer, or the service's end
	mf_http_service_get_stats(b->service, &st);
	assert_int_equal(st.waiting, 1);
	mf_http_service_free(b->service);
	b->service = NULL;
	assert_ptr_equal(b->left, b->later);
	mf_http_answer_text(b->later, 200, "text/plain", "nobody listens");
}

static void test_half_closed(void **state)
{
	struct bed *b = *state;

	say(b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
	mf_sock_shutdown_write(b->fd);
	while (!b->later)
		turn(b);
	mf_http_answer_text(b->later, 200, "text/plain", "still there");
	expect(b, "still there", 1);
	expect_end(b);
}

// All of what came whole is answered, also behind the client's end.
static void test_many_then_end(void **state)
{
	struct bed *b = *state;

	for (unsigned i = 0; i < 100; i++)
		say(b, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	mf_sock_shutdown_write(b->fd);
	expect(b, "HTTP/1.1 200 OK", 100);
	expect_end(b);
}

static void test_slow(void **state)
{
	struct bed *b = *state;

	make_service(b, &(struct mf_http_service_options){
				.size = sizeof(struct mf_http_service_options),
				.request_ms = 30,
				.idle_ms = 60 });
	say(b, "GET /echo HTTP/1.1\r\nHo");
	expect(b, "HTTP/1.1 408 Request Timeout\r\n", 1);
	expect_end(b);
	connect_client(b); // says nothing at all
	expect_end(b);
	assert_int_equal(b->len, 0);
}

static void test_too_many(void **state)
{
	struct bed *b = *state;
	int far_end, near_end;
	char text[64];
	ssize_t n;

	make_service(
		b, &(struct mf_http_service_options){
			   .size = sizeof(struct mf_http_service_options), .connections_max = 1 });
	open_pair(&far_end, &near_end);
	assert_int_equal(mf_http_service_take(b->service, near_end, NULL, NULL), MF_E_FULL);
	while ((n = mf_sock_recv(far_end, text, 12)) == MF_E_AGAIN)
		;
	assert_int_equal(n, 12);
	assert_memory_equal(text, "HTTP/1.1 503", 12);
	mf_sock_close(far_end);
	say(b, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	expect(b, "[GET /echo", 1);
}

static void test_params(void **state)
{
	char buf[8];

	(void)state;
#define FIND(query_) mf_http_find_param(mf_span_str(query_), "name", buf, sizeof(buf))
	assert_int_equal(FIND("name=a%2Eb+c"), 5);
	assert_string_equal(buf, "a.b c");
	assert_int_equal(FIND("x=y&name=&z"), 0);
	assert_int_equal(FIND("rename=1&name=2&names=3"), 1);
	assert_string_equal(buf, "2");
	assert_int_equal(FIND("name"), MF_E_NOENT);
	assert_int_equal(FIND(""), MF_E_NOENT);
	assert_int_equal(FIND("name=1&name=2"), MF_E_EXIST);
	assert_int_equal(FIND("name=%0"), MF_E_BAD);
	assert_int_equal(FIND("name=%"), MF_E_BAD);
	assert_int_equal(FIND("name=%zz"), MF_E_BAD);
	assert_int_equal(FIND("name=a%00"), MF_E_BAD);
	assert_int_equal(FIND("name=12345678"), MF_E_LIMIT);
#undef FIND
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cases, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pipelining, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_head, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leaving, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_then_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
		cmocka_unit_test(test_params),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
