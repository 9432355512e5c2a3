/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_table_win32.c - our own sockets in the system's tables */
#include <winsock2.h>

#include <ws2tcpip.h>

#include "tests/unit/test.h"

#include <windows.h>

#include "capture/owner_table.h"

static struct mf_owner_table *table;
static uint64_t now_ns;

static SOCKET bound(int type, uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	SOCKET s = socket(AF_INET, type, 0);
	int len = sizeof(sa);

	assert_true(s != INVALID_SOCKET);
	assert_int_equal(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&sa, &len), 0);
	*ret_port = ntohs(sa.sin_port);
	return s;
}

static uint32_t owner(uint8_t proto, uint16_t local, uint16_t remote)
{
	struct mf_flow f = { .src = { 127, 0, 0, 1 },
			     .dst = { 127, 0, 0, 1 },
			     .src_port = local,
			     .dst_port = remote,
			     .proto = proto,
			     .family = 4 };
	uint32_t pid = 0;

	now_ns += 1000000000;
	(void)mf_owner_table_find(table, &f, now_ns, &pid);
	return pid;
}

static void our_own_sockets_are_ours(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t listen_port, udp_port, client_port;
	char byte;
	SOCKET l = bound(SOCK_STREAM, &listen_port), u = bound(SOCK_DGRAM, &udp_port), c;

	(void)state;
	assert_int_equal(listen(l, 5), 0);
	c = bound(SOCK_STREAM, &client_port);
	to.sin_port = htons(listen_port);
	assert_int_equal(connect(c, (struct sockaddr *)&to, sizeof(to)), 0);
	// wine finds the owner of a socket only once a call of its process has needed the descriptor behind it.
	assert_int_equal(send(c, "x", 1, 0), 1);
	assert_true(recv(l, &byte, 1, 0) < 0);
	to.sin_port = htons(udp_port);
	assert_int_equal(sendto(u, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	assert_int_equal(owner(MF_PROTO_TCP, client_port, listen_port), GetCurrentProcessId());
	// A connection that is not there yet belongs to who listens.
	assert_int_equal(owner(MF_PROTO_TCP, listen_port, 9), GetCurrentProcessId());
	assert_int_equal(owner(MF_PROTO_UDP, udp_port, 53), GetCurrentProcessId());
	closesocket(u);
	assert_int_equal(owner(MF_PROTO_UDP, udp_port, 53), 0);
	closesocket(c);
	closesocket(l);
}

static void the_ipv6_tables_can_be_read(void **state)
{
	struct mf_owner_row rows[16];

	(void)state;
	// wine knows no owners in its IPv6 TCP table: no rows are as good as some, an error is not.
	assert_true(mf_owner_source_system.read(NULL, MF_PROTO_TCP, 6, rows, 16) >= 0);
	assert_true(mf_owner_source_system.read(NULL, MF_PROTO_UDP, 6, rows, 16) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_sockets_are_ours),
		cmocka_unit_test(the_ipv6_tables_can_be_read),
	};
	WSADATA wsa;

	if (WSAStartup(MAKEWORD(2, 2), &wsa) ||
	    mf_owner_table_new(&mf_owner_source_system, &table, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
