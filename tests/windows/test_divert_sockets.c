/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_divert_sockets.c - programs that connect, through driver and pipeline, to real listeners on loopback sockets: whole
 * handshakes, bytes both ways, and what accept() reports
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>
#include <winsock2.h>
#include <ws2tcpip.h>

#include "scene.h"
#include "windivert_double/stack.h"

static struct {
	struct scene *s;
	struct wdd_stack *stack;
	CRITICAL_SECTION lock; /* of the pipeline */
	HANDLE threads[8];
	unsigned threads_cnt;
	SOCKET tcp4, tcp6, udp4;
	volatile bool stopping;
	volatile LONG unknown; /* connections that nobody redirected */
} t;

static DWORD WINAPI pump(void *arg)
{
	struct scene *s = t.s;

	(void)arg;
	while (!t.stopping) {
		int r;

		EnterCriticalSection(&t.lock);
		s->now_ns += MF_NS_PER_MS;
		r = mf_pipeline_run(s->pipeline, s->now_ns);
		LeaveCriticalSection(&t.lock);
		if (r <= 0)
			WaitForSingleObject(s->waked, 5);
	}
	return 0;
}

static void thread(DWORD(WINAPI *fn)(void *), void *arg)
{
	assert_true(t.threads_cnt < 8);
	t.threads[t.threads_cnt++] = CreateThread(NULL, 0, fn, arg, 0, NULL);
}

/* What the listener saw, as text: where the connection meant to go. */
static bool describe(uint8_t proto, const struct sockaddr *sa, uint16_t listener, char *buf,
		     size_t size)
{
	struct mf_endpoint peer, local = { 0 }, dst;
	struct mf_flow flow;
	struct wdd_end seen;
	char text[MF_ENDPOINT_TEXT_MAX];
	int r;

	if (!mf_endpoint_from_sockaddr(&peer, sa))
		return false;
	/* Where this host has not the addresses, the double says what accept() would have said. */
	if (wdd_stack_peer(t.stack, proto, peer.port, &seen)) {
		mf_addr_from_bytes(&peer.addr, seen.ip.b, 16);
		peer.port = seen.port;
	}
	if (peer.addr.family == 6)
		mf_addr_parse("2001:db8::5", 11, &local.addr);
	else
		mf_addr_parse("127.0.0.1", 9, &local.addr);
	local.port = listener;
	EnterCriticalSection(&t.lock);
	r = mf_pipeline_find_flow(t.s->pipeline, proto, &peer, &local, t.s->now_ns, &flow);
	LeaveCriticalSection(&t.lock);
	if (r) {
		InterlockedIncrement(&t.unknown);
		return false;
	}
	dst = mf_flow_dst(&flow);
	snprintf(buf, size, "%s\n", mf_endpoint_format(&dst, text, sizeof(text)));
	return true;
}

struct accepted {
	SOCKET c;
	char hello[80];
};

/* Says where the program wanted to go, then everything back that it is told. */
static DWORD WINAPI echo(void *arg)
{
	struct accepted *a = arg;
	char buf[4096];
	int n;

	send(a->c, a->hello, (int)strlen(a->hello), 0);
	while ((n = recv(a->c, buf, sizeof(buf), 0)) > 0)
		for (int done = 0, r; done < n; done += r)
			if ((r = send(a->c, buf + done, n - done, 0)) <= 0)
				break;
	shutdown(a->c, SD_SEND);
	closesocket(a->c);
	free(a);
	return 0;
}

static DWORD WINAPI accept_all(void *arg)
{
	SOCKET s = *(SOCKET *)arg, c;
	struct sockaddr_storage sa;
	int len = sizeof(sa);

	while ((c = accept(s, (struct sockaddr *)&sa, &len)) != INVALID_SOCKET) {
		struct accepted *a = calloc(1, sizeof(*a));

		a->c = c;
		if (describe(MF_PROTO_TCP, (struct sockaddr *)&sa, t.s->po.tcp_port, a->hello,
			     sizeof(a->hello))) {
			CloseHandle(CreateThread(NULL, 0, echo, a, 0, NULL));
		} else {
			closesocket(c); /* W9: before a byte is read */
			free(a);
		}
		len = sizeof(sa);
	}
	return 0;
}

static DWORD WINAPI answer_datagrams(void *arg)
{
	SOCKET s = *(SOCKET *)arg;
	struct sockaddr_storage sa;
	char buf[2048], text[2200];
	int len = sizeof(sa), n;

	while ((n = recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&sa, &len)) >= 0) {
		if (describe(MF_PROTO_UDP, (struct sockaddr *)&sa, t.s->po.dns_port, text,
			     sizeof(text)))
			sendto(s, text, (int)strlen(text), 0, (struct sockaddr *)&sa, len);
		len = sizeof(sa);
	}
	return 0;
}

/* A socket of a listener; Return: its port, which is the same for both families when @port is given */
static uint16_t listen_on(SOCKET *ret, int family, int type, uint16_t port)
{
	struct sockaddr_storage sa = { .ss_family = (short)family };
	struct sockaddr_in *in = (struct sockaddr_in *)&sa;
	int len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	in->sin_port = htons(port);
	if (family == AF_INET)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*ret = socket(family, type, 0);
	if (*ret == INVALID_SOCKET || bind(*ret, (struct sockaddr *)&sa, len) ||
	    (type == SOCK_STREAM && listen(*ret, 16)) ||
	    getsockname(*ret, (struct sockaddr *)&sa, &len))
		return 0;
	return ntohs(in->sin_port);
}

static int begin(void **state)
{
	WSADATA wsa;

	memset(&t, 0, sizeof(t));
	if (WSAStartup(MAKEWORD(2, 2), &wsa) || scene_begin(state))
		return -1;
	t.s = *state;
	InitializeCriticalSection(&t.lock);
	/* One port for both families: rarely it is taken in one, then another is tried. */
	do {
		t.s->po.tcp_port = listen_on(&t.tcp4, AF_INET, SOCK_STREAM, 0);
	} while (listen_on(&t.tcp6, AF_INET6, SOCK_STREAM, t.s->po.tcp_port) == 0);
	t.s->po.dns_port = listen_on(&t.udp4, AF_INET, SOCK_DGRAM, 0);
	scene_open(t.s);
	t.stack = wdd_stack_start(t.s->host, SCENE_IF, SCENE_SUB_IF);
	thread(pump, NULL);
	thread(accept_all, &t.tcp4);
	thread(accept_all, &t.tcp6);
	thread(answer_datagrams, &t.udp4);
	return 0;
}

static int end(void **state)
{
	t.stopping = true;
	closesocket(t.tcp4);
	closesocket(t.tcp6);
	closesocket(t.udp4);
	for (unsigned i = 0; i < t.threads_cnt; i++) {
		WaitForSingleObject(t.threads[i], INFINITE);
		CloseHandle(t.threads[i]);
	}
	wdd_stack_stop(t.stack);
	scene_end(state);
	DeleteCriticalSection(&t.lock);
	WSACleanup();
	return 0;
}

static void expect_no_faults(void)
{
	struct wdd_faults f = wdd_stack_faults(t.stack);

	assert_int_equal(f.gaps, 0);
	assert_int_equal(f.bad_acks, 0);
	assert_int_equal(f.strays, 0);
	assert_int_equal(f.bad_sums, 0);
	assert_int_equal(f.escaped, 0);
	assert_int_equal(wdd_host_counts(t.s->host).fates[WDD_VANISHED], 0);
}

static void expect_text(struct wdd_socket *s, const char *text)
{
	char buf[200];
	size_t n = 0, want = strlen(text);
	int r = 1;

	while (n < want && (r = wdd_tcp_recv(s, buf + n, want - n)) > 0)
		n += (size_t)r;
	assert_int_equal(n, want);
	assert_memory_equal(buf, text, want);
}

/* @len bytes there and back. */
static void expect_echo(struct wdd_socket *s, size_t len)
{
	uint8_t *data = malloc(len), *back = malloc(len);
	size_t n = 0;
	int r;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	assert_true(wdd_tcp_send(s, data, len));
	while (n < len && (r = wdd_tcp_recv(s, back + n, len - n)) > 0)
		n += (size_t)r;
	assert_int_equal(n, len);
	assert_memory_equal(data, back, len);
	free(data);
	free(back);
}

static void test_tcp_both_orders(void **state)
{
	struct wdd_end client = wdd_end_of("10.0.0.5", 0), server = wdd_end_of("192.0.2.1", 443);
	char byte;

	(void)state;
	for (uint16_t i = 0; i < 6; i++) {
		struct wdd_socket *s;

		client.port = (uint16_t)(41000 + i);
		s = wdd_tcp_connect(t.stack, SCENE_PID, client, server, i & 1);
		assert_non_null(s);
		expect_text(s, "192.0.2.1:443\n");
		expect_echo(s, i ? 5000 : 1000000);
		wdd_tcp_finish(s);
		assert_int_equal(wdd_tcp_recv(s, &byte, 1), 0);
		wdd_socket_close(s);
	}
	expect_no_faults();
	assert_int_equal(wdd_stack_faults(t.stack).unbound,
			 0); /* accept() itself said 127.0.0.1 and the port */
	assert_int_equal(t.unknown, 0);
}

static void test_two_sockets_of_one_port(void **state)
{
	struct wdd_end client = wdd_end_of("10.0.0.5", 42000);
	struct wdd_socket *a, *b;

	(void)state;
	a = wdd_tcp_connect(t.stack, SCENE_PID, client, wdd_end_of("192.0.2.1", 443), true);
	b = wdd_tcp_connect(t.stack, SCENE_PID, client, wdd_end_of("192.0.2.2", 80), true);
	assert_non_null(a);
	assert_non_null(b);
	expect_text(b, "192.0.2.2:80\n");
	expect_text(a, "192.0.2.1:443\n");
	expect_echo(a, 3000);
	expect_echo(b, 3000);
	wdd_socket_close(a);
	wdd_socket_close(b);
	expect_no_faults();
}

static void test_ipv6_reflected(void **state)
{
	struct wdd_end client = wdd_end_of("2001:db8::5", 43000),
		       server = wdd_end_of("2001:db8::1", 443);
	struct wdd_socket *s = wdd_tcp_connect(t.stack, SCENE_PID, client, server, false);

	(void)state;
	assert_non_null(s);
	expect_text(s, "[2001:db8::1]:443\n");
	expect_echo(s, 100000);
	wdd_socket_close(s);
	expect_no_faults();
}

static void test_denied(void **state)
{
	struct wdd_end client = wdd_end_of("10.0.0.5", 44000),
		       server = wdd_end_of("192.0.2.1", 443);

	(void)state;
	t.s->answer = MF_FLOW_DENY;
	assert_null(wdd_tcp_connect(t.stack, SCENE_PID, client, server, true));
	assert_int_equal(wdd_stack_faults(t.stack).resets, 1);
	expect_no_faults();
}

static void test_stranger_goes_out(void **state)
{
	struct wdd_end client = wdd_end_of("10.0.0.5", 45000),
		       server = wdd_end_of("192.0.2.1", 443);
	struct wdd_socket *s = wdd_udp_open(t.stack, SCENE_STRANGER, client, server);
	struct wdd_output *out;
	struct wdd_read r;

	(void)state;
	wdd_udp_send(s, "hello", 5);
	out = wdd_stack_take_escaped(t.stack);
	assert_non_null(out);
	assert_true(wdd_read_packet(&r, out->bytes, out->len));
	assert_true(wdd_end_eq(&r.src, &client));
	assert_true(wdd_end_eq(&r.dst, &server));
	free(out);
	wdd_socket_close(s);
}

static void test_dns(void **state)
{
	struct wdd_end resolver = wdd_end_of("192.0.2.53", 53);
	char buf[100];
	int n;

	(void)state;
	for (uint16_t i = 0; i < 4; i++) {
		struct wdd_socket *s =
			wdd_udp_open(t.stack, SCENE_PID,
				     wdd_end_of("10.0.0.5", (uint16_t)(46000 + i)), resolver);

		wdd_udp_send(s, "query", 5);
		n = wdd_udp_recv(s, buf, sizeof(buf));
		assert_int_equal(n, 14);
		assert_memory_equal(buf, "192.0.2.53:53\n", 14);
		wdd_socket_close(s);
	}
	expect_no_faults();
	assert_int_equal(t.unknown, 0);
}

static void test_uninvited_connection(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(t.s->po.tcp_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	SOCKET s = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	(void)state;
	/* A program that dials the listener itself. */
	assert_int_equal(connect(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_true(recv(s, &byte, 1, 0) <= 0);
	closesocket(s);
	assert_int_equal(t.unknown, 1);
}

static void test_many_connections(void **state)
{
	enum { CNT = 40 };
	struct wdd_end server = wdd_end_of("192.0.2.1", 443);
	struct wdd_socket *s[CNT];

	(void)state;
	for (uint16_t i = 0; i < CNT; i++) {
		server.port = (uint16_t)(1000 + i);
		s[i] = wdd_tcp_connect(t.stack, SCENE_PID,
				       wdd_end_of("10.0.0.5", (uint16_t)(47000 + i / 2)), server,
				       i & 1);
		assert_non_null(s[i]);
	}
	for (uint16_t i = 0; i < CNT; i++) {
		char text[40];

		snprintf(text, sizeof(text), "192.0.2.1:%u\n", 1000u + i);
		expect_text(s[i], text);
		expect_echo(s[i], 20000);
		wdd_socket_close(s[i]);
	}
	expect_no_faults();
}

#define REAL(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REAL(test_tcp_both_orders),	 REAL(test_two_sockets_of_one_port),
		REAL(test_ipv6_reflected),	 REAL(test_denied),
		REAL(test_stranger_goes_out),	 REAL(test_dns),
		REAL(test_uninvited_connection), REAL(test_many_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
