/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run.c - moonfence.exe run, whole, from its proof to its end: flows of both families, processes, death
 *
 *	test_run PATH-OF-MOONFENCE
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_scene.h"

#include <cmocka.h>

#define SERVER	"198.51.100.7"
#define SERVER6 RUN_FAR_ADDR

static const char policy[] =
	"return {\n"
	"  name = \"run\",\n"
	"  connect = function(c)\n"
	"    local args = c.process.args\n"
	"    if c.proto == \"udp\" then\n"
	"      if c.port == 7000 then return redirect { to = \"[::1]:\" .. udp6 } end\n"
	"      return deny \"no such datagrams\"\n"
	"    end\n"
	"    if c.port == 80 then return redirect { to = \"127.0.0.1:\" .. tcp4 } end\n"
	"    if c.port == 81 and c.process.name == self then\n"
	"      return redirect { to = \"127.0.0.1:\" .. tcp4 }\n"
	"    end\n"
	"    if c.port == 83 and args[2] == \"--part\" and args[3] == \"child\" then\n"
	"      return redirect { to = \"127.0.0.1:\" .. tcp4 }\n"
	"    end\n"
	"    if c.port == 84 then return redirect { to = \"[::1]:\" .. tcp6 } end\n"
	"    if c.ip == \"" SERVER6 "\" and c.port == far6 then return allow() end\n"
	"    return deny \"not in this test\"\n"
	"  end,\n"
	"  dns = function(d)\n"
	"    if d:is \"known.example\" then return resolve { \"192.0.2.77\" } end\n"
	"    return deny \"unknown\"\n"
	"  end,\n"
	"}\n";

static uint32_t begin(struct run *r, struct run_how how)
{
	how.policy = policy;
	run_begin(r, &how);
	return how.refuse4 ? 0 : run_wait_pid(r, "client ");
}

/* A name, by a datagram. */
static void ask_name(struct run *r, uint32_t pid, struct wdd_end from, struct wdd_end to)
{
	/* A query for known.example, type A. */
	static const uint8_t query[] = { 0x12, 0x34, 1,	  0,   0,   1,	 0,   0, 0,   0,   0,
					 0,    5,    'k', 'n', 'o', 'w', 'n', 7, 'e', 'x', 'a',
					 'm',  'p',  'l', 'e', 0,   0,	 1,   0, 1 };
	struct wdd_socket *s = wdd_udp_open(r->stack, pid, from, to);
	uint8_t answer[512];
	int n;

	assert_non_null(s);
	wdd_udp_send(s, query, sizeof(query));
	n = wdd_udp_recv(s, answer, sizeof(answer));
	assert_true(n > (int)sizeof(query));
	assert_memory_equal(answer, query, 2);
	assert_int_equal(answer[3] & 15, 0);
	assert_memory_equal(answer + n - 4, "\xc0\x00\x02\x4d", 4);
	wdd_socket_close(s);
}

static void expect_no_faults(struct run *r, unsigned escaped)
{
	struct wdd_faults f = wdd_stack_faults(r->stack);

	assert_int_equal(f.gaps + f.bad_acks + f.bad_sums, 0);
	assert_int_equal(f.unbound, 0);
	assert_int_equal(r->escaped, escaped);
	/* Nothing stays open at the driver. */
	assert_true(wdd_host_opened(r->host, 0));
}

static void a_session_from_its_proof_to_its_end(void **state)
{
	struct run r;
	uint32_t pid = begin(&r, (struct run_how){ 0 }), child;
	struct wdd_end server = wdd_end_of(SERVER, 80);

	(void)state;
	/* Redirected; the process's event before its packet, and after it. */
	run_fetch(&r, pid, run_client4(&r), server, true, RUN_TCP4);
	run_fetch(&r, pid, run_client4(&r), server, false, RUN_TCP4);
	/* By what is known of the process. */
	run_fetch(&r, pid, run_client4(&r), wdd_end_of(SERVER, 81), true, RUN_TCP4);
	/* Denied: a reset, and no byte left the machine. */
	run_refused(&r, pid, run_client4(&r), wdd_end_of(SERVER, 82));
	ask_name(&r, pid, run_client4(&r), wdd_end_of("192.0.2.53", 53));

	/* Its child is of the session from its first packet, and no longer when it has ended. */
	run_refused(&r, pid, run_client4(&r), wdd_end_of(SERVER, 83));
	run_say(&r, "child\n");
	child = run_wait_pid(&r, "child ");
	run_fetch(&r, child, run_client4(&r), server, true, RUN_TCP4);
	/* Its arguments are others than its parent's. */
	run_fetch(&r, child, run_client4(&r), wdd_end_of(SERVER, 83), true, RUN_TCP4);
	run_say(&r, "exit 0\n");
	assert_int_equal(run_wait_pid(&r, "over "), child);

	/* Somebody else's traffic goes where it went. */
	run_stranger_passes(&r);
	run_tell_end(&r, 7);
	assert_int_equal(run_wait_exit(&r), 7);
	expect_no_faults(&r, 1);
	run_wait_event(&r, "\"windivert\"");
	run_wait_event(&r, "session_end");
	run_wait_event(&r, "not in this test");
	run_end(&r);
}

/* A datagram to port 7000 and its answer, by way of a real server. */
static void exchange_datagrams(struct run *r, uint32_t pid)
{
	struct wdd_socket *s =
		wdd_udp_open(r->stack, pid, run_client6(r), wdd_end_of(SERVER6, 7000));
	struct sockaddr_storage from;
	int len = sizeof(from), n;
	char buf[64];

	assert_non_null(s);
	for (int i = 0; i < 3; i++) {
		wdd_udp_send(s, "ping", 4);
		n = recvfrom(r->servers[RUN_UDP6], buf, sizeof(buf), 0, (struct sockaddr *)&from,
			     &len);
		assert_int_equal(n, 4);
		assert_memory_equal(buf, "ping", 4);
		assert_int_equal(
			sendto(r->servers[RUN_UDP6], "pong!", 5, 0, (struct sockaddr *)&from, len),
			5);
		assert_int_equal(wdd_udp_recv(s, buf, sizeof(buf)), 5);
		assert_memory_equal(buf, "pong!", 5);
	}
	wdd_socket_close(s);
}

static void a_session_over_ipv6(void **state)
{
	struct run r;
	uint32_t pid = begin(&r, (struct run_how){ 0 });
	struct wdd_faults before;
	struct wdd_socket *s;
	char byte;

	(void)state;
	/* Redirected to the other family, and within its own; and not redirected at all. */
	run_fetch(&r, pid, run_client6(&r), wdd_end_of(SERVER6, 80), true, RUN_TCP4);
	run_fetch(&r, pid, run_client6(&r), wdd_end_of(SERVER6, 84), false, RUN_TCP6);
	run_fetch(&r, pid, run_client6(&r), wdd_end_of(SERVER6, r.ports[RUN_FAR6]), true, RUN_FAR6);
	/* And from IPv4 to IPv6. */
	run_fetch(&r, pid, run_client4(&r), wdd_end_of(SERVER, 84), true, RUN_TCP6);
	run_refused(&r, pid, run_client6(&r), wdd_end_of(SERVER6, 82));
	ask_name(&r, pid, run_client6(&r), wdd_end_of("2001:db8::53", 53));
	exchange_datagrams(&r, pid);
	/* A datagram that is denied: an ICMPv6 error, at once. */
	before = wdd_stack_faults(r.stack);
	s = wdd_udp_open(r.stack, pid, run_client6(&r), wdd_end_of(SERVER6, 7001));
	assert_non_null(s);
	wdd_udp_send(s, "x", 1);
	assert_int_equal(wdd_udp_recv(s, &byte, 1), -1);
	assert_int_equal(wdd_stack_faults(r.stack).icmp, before.icmp + 1);
	wdd_socket_close(s);

	run_tell_end(&r, 3);
	assert_int_equal(run_wait_exit(&r), 3);
	expect_no_faults(&r, 0);
	run_wait_event(&r, "\"" SERVER6 "\"");
	run_wait_event(&r, "no such datagrams");
	run_end(&r);
}

/* To a firewall what is reflected comes from the network. If it does not get through, programs go on with IPv4. */
static void without_a_proof_of_ipv6_it_is_refused(void **state)
{
	char rest[512];
	struct run r;
	uint32_t pid = begin(&r, (struct run_how){ .refuse6 = true });

	(void)state;
	assert_true(run_wait_line(&r.err, "IPv6 is refused to the session", rest, sizeof(rest)));
	run_refused(&r, pid, run_client6(&r), wdd_end_of(SERVER6, 80));
	run_fetch(&r, pid, run_client4(&r), wdd_end_of(SERVER, 80), true, RUN_TCP4);
	run_tell_end(&r, 0);
	assert_int_equal(run_wait_exit(&r), 0);
	expect_no_faults(&r, 0);
	run_end(&r);
}

static void without_a_proof_nothing_starts(void **state)
{
	char rest[512];
	struct run r;

	(void)state;
	begin(&r, (struct run_how){ .refuse4 = true });
	assert_true(run_wait_line(&r.err, "could not be proven", rest, sizeof(rest)));
	assert_non_null(strstr(rest, "the command is not started"));
	assert_int_equal(run_wait_exit(&r), 125);
	assert_false(run_wait_line(&r.out, "client ", rest, sizeof(rest)));
	run_end(&r);
}

static void killing_moonfence_ends_the_command(void **state)
{
	struct run r;
	HANDLE command;

	(void)state;
	command = OpenProcess(SYNCHRONIZE, FALSE, begin(&r, (struct run_how){ 0 }));
	assert_non_null(command);
	assert_int_equal(WaitForSingleObject(command, 0), WAIT_TIMEOUT);
	assert_true(TerminateProcess(r.process, 9));
	assert_int_equal(WaitForSingleObject(command, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(command);
	run_end(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_from_its_proof_to_its_end),
		cmocka_unit_test(a_session_over_ipv6),
		cmocka_unit_test(without_a_proof_of_ipv6_it_is_refused),
		cmocka_unit_test(without_a_proof_nothing_starts),
		cmocka_unit_test(killing_moonfence_ends_the_command),
	};
	int status;

	if (run_main(argc, argv, &status))
		return status;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
