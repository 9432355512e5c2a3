// SPDX-License-Identifier: Apache-2.0
// Connections that go from one HTTP service to another one's thread, and what services of several threads count as one.
#include <event2/event.h>
#include <pthread.h>

#include "proxies/http_service.h"
#include "proxies/sock.h"
#include "tests/unit/proxies/pair.h"
#include "tests/unit/test.h"

enum { BED_MAX = 64, THREAD_CLIENTS = 400 };

// One service with its loop; what asks for "/away" leaves it.
struct place {
	struct event_base *base;
	struct mf_http_service *service;
	const char *name;
	struct mf_http_conn *left[BED_MAX];
	size_t left_cnt;
	unsigned asked;
};

struct bed {
	struct place a, b;
	struct mf_http_together together;
	char got[65536];
	size_t len;
	int fd;
	bool ended;
};

static void on_request(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct place *p = ctx;
	char text[256];

	snprintf(text, sizeof(text), "[%s %.*s #%zu %llu]", p->name, (int)req->path.len,
		 (const char *)req->path.ptr, req->body.len, (unsigned long long)req->tag);
	mf_http_answer_text(x, 200, "text/plain", text);
}

static const struct mf_http_route routes[] = {
	{ .method = "GET", .path = "/", .prefix = true, .fn = on_request },
	{ .method = "POST", .path = "/", .prefix = true, .fn = on_request },
};

static bool leaves(void *ctx, const struct mf_http_request *req)
{
	struct place *p = ctx;

	p->asked++;
	assert_int_equal(req->body.len, 0);
	return mf_span_eq(req->path, mf_span_str("/away")) &&
	       mf_http_find_field(req, "host").len > 0;
}

static void left(void *ctx, struct mf_http_conn *conn)
{
	struct place *p = ctx;

	assert_true(p->left_cnt < BED_MAX);
	p->left[p->left_cnt++] = conn;
}

static const struct mf_http_filter filter = { .leaves = leaves, .left = left };

static void make_place(struct place *p, const char *name, struct mf_http_together *together,
		       uint32_t connections)
{
	const struct mf_http_service_options o = { .size = sizeof(o),
						   .connections_max = connections,
						   .head_max = 1024,
						   .body_max = 4096,
						   .together = together };
	struct mf_err err;

	p->name = name;
	p->base = event_base_new();
	assert_int_equal(mf_http_service_new(p->base, &o, &p->service, &err), 0);
	assert_int_equal(mf_http_service_add(p->service, routes, 2, p), 0);
	mf_http_service_set_filter(p->service, &filter, p);
}

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_int_equal(mf_sock_start(), 0);
	make_place(&b->a, "a", &b->together, 2);
	make_place(&b->b, "b", &b->together, 2);
	b->fd = -1;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	for (size_t i = 0; i < b->a.left_cnt; i++)
		mf_http_conn_drop(b->a.left[i]);
	if (b->fd >= 0)
		mf_sock_close(b->fd);
	mf_http_service_free(b->a.service);
	mf_http_service_free(b->b.service);
	assert_int_equal(b->together.connections, 0);
	event_base_free(b->a.base);
	event_base_free(b->b.base);
	free(b);
	return 0;
}

static int come(struct place *p, int *ret_fd)
{
	int near_end;

	open_pair(ret_fd, &near_end);
	return mf_http_service_take_tagged(p->service, near_end, 7);
}

static void say(struct bed *b, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = mf_sock_send(b->fd, text, len);

		assert_true(n > 0);
		text += n;
		len -= (size_t)n;
	}
}

static void turn(struct bed *b, struct place *p)
{
	ssize_t n;

	event_base_loop(p->base, EVLOOP_NONBLOCK);
	n = mf_sock_recv(b->fd, b->got + b->len, sizeof(b->got) - 1 - b->len);
	if (n > 0)
		b->len += (size_t)n;
	else if (n != MF_E_AGAIN)
		b->ended = true;
	b->got[b->len] = '\0';
}

static void expect(struct bed *b, struct place *p, const char *what)
{
	while (!strstr(b->got, what)) {
		if (b->ended)
			fail_msg("ended after:\n%s\ninstead of:\n%s", b->got, what);
		turn(b, p);
	}
}

static struct mf_http_conn *take_left(struct bed *b)
{
	struct mf_http_conn *c;

	while (!b->a.left_cnt)
		turn(b, &b->a);
	c = b->a.left[--b->a.left_cnt];
	return c;
}

// What is said of them before and behind the request that leaves.
static const struct {
	const char *before, *behind, *want;
} moves[] = {
	{ "GET /away HTTP/1.1\r\nHost: h\r\n\r\n", "", "[b /away #0 7]" },
	{ "GET /stays HTTP/1.1\r\nHost: h\r\n\r\nGET /away HTTP/1.1\r\nHost: h\r\n\r\n", "",
	  "[b /away #0 7]" },
	{ "GET /away HTTP/1.1\r\nHost: h\r\n\r\nGET /more HTTP/1.1\r\nHost: h\r\n\r\n", "",
	  "[b /more #0 7]" },
	{ "GET /away HTTP/1.1\r\nHost: h\r\n\r\n", "GET /away HTTP/1.1\r\nHost: h\r\n\r\n",
	  "[b /away #0 7]" },
	{ "POST /away HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc", "def",
	  "[b /away #6 7]" },
	{ "POST /away HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
	  "c\r\n2\r\nde\r\n0\r\n\r\n", "[b /away #5 7]" },
	{ "POST /away HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "",
	  "100 Continue" },
	{ "GET /away HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "", "connection: close" },
};

static void test_moves(void **state)
{
	struct bed *b = *state;

	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		struct mf_http_service_stats st;
		struct mf_http_conn *c;

		assert_int_equal(come(&b->a, &b->fd), 0);
		say(b, moves[i].before);
		c = take_left(b);
		mf_http_service_get_stats(b->a.service, &st);
		assert_int_equal(st.open, 0);
		assert_int_equal(b->together.connections, 1); // nobody's, and counted
		say(b, moves[i].behind);
		mf_http_service_adopt(b->b.service, c);
		assert_int_equal(b->together.connections, 1);
		expect(b, &b->b, moves[i].want);
		if (strstr(moves[i].before, "/stays"))
			assert_non_null(strstr(b->got, "[a /stays #0 7]"));
		assert_null(strstr(b->got, "[a /away"));
		mf_sock_close(b->fd);
		b->fd = -1;
		while (b->together.connections)
			event_base_loop(b->b.base, EVLOOP_NONBLOCK);
		b->len = b->ended = 0;
		b->got[0] = '\0';
	}
	assert_int_equal(b->b.asked, 0); // who has moved stays
}

// Byte by byte: nobody is asked before the head is there, and then once.
static void test_in_pieces(void **state)
{
	static const char text[] = "GET /stays HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
				   "GET /away HTTP/1.1\r\nHost: h\r\n\r\n";
	struct bed *b = *state;

	assert_int_equal(come(&b->a, &b->fd), 0);
	for (const char *p = text; *p; p++) {
		const char one[2] = { *p, 0 };

		say(b, one);
		turn(b, &b->a);
	}
	mf_http_service_adopt(b->b.service, take_left(b));
	expect(b, &b->b, "[b /away #0 7]");
	assert_int_equal(b->a.asked, 2);
}

// The client leaves while nobody has it, and where nobody wants it.
static void test_ends(void **state)
{
	struct bed *b = *state;
	struct mf_http_conn *c;

	assert_int_equal(come(&b->a, &b->fd), 0);
	say(b, "GET /away HTTP/1.1\r\nHost: h\r\n\r\n");
	c = take_left(b);
	mf_sock_close(b->fd);
	b->fd = -1;
	mf_http_service_adopt(b->b.service, c);
	while (b->together.connections)
		event_base_loop(b->b.base, EVLOOP_NONBLOCK);
	assert_int_equal(come(&b->a, &b->fd), 0);
	say(b, "GET /away HTTP/1.1\r\nHost: h\r\n\r\n");
	mf_http_conn_drop(take_left(b));
	while (!b->ended)
		turn(b, &b->a);
	assert_int_equal(b->len, 0);
	assert_int_equal(b->together.connections, 0);
}

static void refused(struct place *p)
{
	char text[64];
	ssize_t n;
	int fd;

	assert_int_equal(come(p, &fd), MF_E_FULL);
	while ((n = mf_sock_recv(fd, text, 12)) == MF_E_AGAIN)
		;
	assert_int_equal(n, 12);
	assert_memory_equal(text, "HTTP/1.1 503", 12);
	mf_sock_close(fd);
}

static void test_counted_together(void **state)
{
	struct bed *b = *state;
	struct mf_http_conn *c;
	int other, third;

	assert_int_equal(come(&b->a, &b->fd), 0);
	assert_int_equal(come(&b->b, &other), 0);
	refused(&b->a);
	refused(&b->b);
	say(b, "GET /away HTTP/1.1\r\nHost: h\r\n\r\n");
	c = take_left(b);
	refused(&b->a); // while it is on its way
	refused(&b->b);
	mf_http_service_adopt(b->b.service, c);
	refused(&b->a); // both are b's now
	mf_sock_close(other);
	while (b->together.connections > 1)
		event_base_loop(b->b.base, EVLOOP_NONBLOCK);
	assert_int_equal(come(&b->a, &third), 0);
	refused(&b->b);
	expect(b, &b->b, "[b /away #0 7]");
	mf_sock_close(third);
}

/* --- two threads ---------------------------------------------------------------------------------------------------- */

// From one loop to the other, as the gateway does it.
struct road {
	struct place from, to;
	struct mf_http_together together;
	pthread_mutex_t lock;
	struct mf_http_conn *way[THREAD_CLIENTS];
	size_t cnt;
	bool over;
	int fds[THREAD_CLIENTS];
};

static void send_on(void *ctx, struct mf_http_conn *conn)
{
	struct road *r = ctx;

	pthread_mutex_lock(&r->lock);
	r->way[r->cnt++] = conn;
	pthread_mutex_unlock(&r->lock);
}

static bool all_leave(void *ctx, const struct mf_http_request *req)
{
	(void)ctx;
	return mf_span_eq(req->path, mf_span_str("/away"));
}

static const struct mf_http_filter road_filter = { .leaves = all_leave, .left = send_on };

static void *run_to(void *ctx)
{
	struct road *r = ctx;
	struct mf_http_conn *c;
	bool over;

	do {
		do {
			pthread_mutex_lock(&r->lock);
			c = r->cnt ? r->way[--r->cnt] : NULL;
			over = r->over;
			pthread_mutex_unlock(&r->lock);
			if (c)
				mf_http_service_adopt(r->to.service, c);
		} while (c);
		event_base_loop(r->to.base, EVLOOP_NONBLOCK);
	} while (!over);
	return NULL;
}

static void *run_from(void *ctx)
{
	struct road *r = ctx;
	bool over;

	do {
		event_base_loop(r->from.base, EVLOOP_NONBLOCK);
		pthread_mutex_lock(&r->lock);
		over = r->over;
		pthread_mutex_unlock(&r->lock);
	} while (!over);
	return NULL;
}

static void test_threads(void **state)
{
	static const char ask[] = "GET /here HTTP/1.1\r\nHost: h\r\n\r\n"
				  "GET /away HTTP/1.1\r\nHost: h\r\n\r\n";
	struct road *r = calloc(1, sizeof(*r));
	pthread_t from, to;

	(void)state;
	assert_int_equal(mf_sock_start(), 0);
	pthread_mutex_init(&r->lock, NULL);
	make_place(&r->from, "from", &r->together, THREAD_CLIENTS);
	make_place(&r->to, "to", &r->together, THREAD_CLIENTS);
	mf_http_service_set_filter(r->from.service, &road_filter, r);
	for (size_t i = 0; i < THREAD_CLIENTS; i++) {
		assert_int_equal(come(&r->from, &r->fds[i]), 0);
		assert_int_equal(mf_sock_send(r->fds[i], ask, sizeof(ask) - 1), sizeof(ask) - 1);
	}
	assert_int_equal(pthread_create(&from, NULL, run_from, r), 0);
	assert_int_equal(pthread_create(&to, NULL, run_to, r), 0);
	for (size_t i = 0; i < THREAD_CLIENTS; i++) {
		char got[2048];
		size_t len = 0;

		do {
			ssize_t n = mf_sock_recv(r->fds[i], got + len, sizeof(got) - 1 - len);

			assert_true(n > 0 || n == MF_E_AGAIN);
			len += n > 0 ? (size_t)n : 0;
			got[len] = '\0';
		} while (!strstr(got, "[to /away #0 7]"));
		assert_non_null(strstr(got, "[from /here #0 7]"));
		mf_sock_close(r->fds[i]);
	}
	pthread_mutex_lock(&r->lock);
	r->over = true;
	pthread_mutex_unlock(&r->lock);
	pthread_join(from, NULL);
	pthread_join(to, NULL);
	mf_http_service_free(r->from.service);
	mf_http_service_free(r->to.service);
	assert_int_equal(r->together.connections, 0);
	event_base_free(r->from.base);
	event_base_free(r->to.base);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_moves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_counted_together, set_up, tear_down),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
