/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run_live.c - what happens to a session of moonfence.exe run while it runs: interrupts, new policies, failures
 *
 *	test_run_live PATH-OF-MOONFENCE
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_scene.h"

#include <cmocka.h>

#define SERVER "198.51.100.7"

#define POLICY(port)                                                                           \
	"return {\n"                                                                           \
	"  name = \"live\",\n"                                                                 \
	"  connect = function(c)\n"                                                            \
	"    if c.port == " port " then return redirect { to = \"127.0.0.1:\" .. tcp4 } end\n" \
	"    return deny \"not in this test\"\n"                                               \
	"  end,\n"                                                                             \
	"}\n"

static uint32_t begin(struct run *r, const char *options, bool console)
{
	run_begin(r, &(struct run_how){
			     .policy = POLICY("80"), .options = options, .console = console });
	return run_wait_pid(r, "client ");
}

static void expect_gone(HANDLE process)
{
	assert_int_equal(WaitForSingleObject(process, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(process);
}

static HANDLE open_process(uint32_t pid)
{
	HANDLE h = OpenProcess(SYNCHRONIZE, FALSE, pid);

	assert_non_null(h);
	assert_int_equal(WaitForSingleObject(h, 0), WAIT_TIMEOUT);
	return h;
}

/* The first is the command's own, the second ends the session and all that is in it. */
static void interrupts(void **state)
{
	struct run r;
	uint32_t pid = begin(&r, NULL, true);
	HANDLE command = open_process(pid);
	struct wdd_socket *s;
	char byte;

	(void)state;
	s = wdd_tcp_connect(r.stack, pid, run_client4(&r), wdd_end_of(SERVER, 80), true);
	assert_non_null(s);
	run_exchange(&r, s, RUN_TCP4);
	run_say(&r, "interrupt\n");
	run_wait_pid(&r, "interrupted ");
	run_fetch(&r, pid, run_client4(&r), wdd_end_of(SERVER, 80), true, RUN_TCP4);
	assert_int_equal(WaitForSingleObject(command, 0), WAIT_TIMEOUT);
	run_say(&r, "interrupt\n");
	assert_int_equal(run_wait_exit(&r), STATUS_CONTROL_C_EXIT);
	expect_gone(command);
	/* The connection's end came to the program's side before the driver was let go. */
	assert_true(wdd_tcp_recv(s, &byte, 1) <= 0);
	wdd_socket_close(s);
	assert_true(wdd_host_opened(r.host, 0));
	run_stranger_passes(&r);
	run_wait_event(&r, "session_end");
	run_end(&r);
}

/* A tree that takes no notice of anything: nothing of it is left. */
static void the_second_interrupt_ends_the_whole_tree(void **state)
{
	struct run r;
	HANDLE command = open_process(begin(&r, NULL, true)), child;

	(void)state;
	run_say(&r, "child\n");
	child = open_process(run_wait_pid(&r, "child "));
	run_say(&r, "interrupt\n");
	run_wait_pid(&r, "interrupted ");
	run_wait_pid(&r, "interrupted "); /* both of them */
	run_say(&r, "interrupt\n");
	assert_int_equal(run_wait_exit(&r), STATUS_CONTROL_C_EXIT);
	expect_gone(child);
	expect_gone(command);
	assert_true(wdd_host_opened(r.host, 0));
	run_end(&r);
}

static void a_policy_that_changes_is_read_anew(void **state)
{
	struct run r;
	uint32_t pid = begin(&r, "", false);
	struct wdd_socket *s;
	char buf[8];
	SOCKET c;

	(void)state;
	run_refused(&r, pid, run_client4(&r), wdd_end_of(SERVER, 81));
	s = wdd_tcp_connect(r.stack, pid, run_client4(&r), wdd_end_of(SERVER, 80), true);
	assert_non_null(s);
	assert_true(wdd_tcp_send(s, "before", 6));
	c = accept(r.servers[RUN_TCP4], NULL, NULL);
	assert_true(c != INVALID_SOCKET);
	assert_int_equal(recv(c, buf, 6, MSG_WAITALL), 6);
	run_write_policy(&r, POLICY("81"));
	run_wait_event(&r, "\"policy_changed\"");
	run_fetch(&r, pid, run_client4(&r), wdd_end_of(SERVER, 81), true, RUN_TCP4);
	run_refused(&r, pid, run_client4(&r), wdd_end_of(SERVER, 80));
	/* What stands goes on. */
	assert_true(wdd_tcp_send(s, "after", 5));
	assert_int_equal(recv(c, buf, 5, MSG_WAITALL), 5);
	assert_memory_equal(buf, "after", 5);
	closesocket(c);
	wdd_socket_close(s);
	/* What does not load changes nothing. */
	run_write_policy(&r, "return {");
	run_wait_event(&r, "\"policy_reload_failed\"");
	run_fetch(&r, pid, run_client4(&r), wdd_end_of(SERVER, 81), true, RUN_TCP4);
	run_say(&r, "exit 0\n");
	assert_int_equal(run_wait_exit(&r), 0);
	run_end(&r);
}

/* ---- failures -------------------------------------------------------------------------------------------------- */

/* A connection of the session begins, and nobody waits for what becomes of it. */
static void begin_connection(struct run *r, uint32_t pid, uint16_t port)
{
	struct wdd_end from = run_client4(r), to = wdd_end_of(SERVER, port);
	struct wdd_socket_event ev = { .event = WDD_CONNECT,
				       .pid = pid,
				       .local = from.ip,
				       .remote = to.ip,
				       .local_port = from.port,
				       .remote_port = to.port,
				       .proto = 6,
				       .outbound = true };
	uint8_t syn[128];
	uint32_t len = wdd_craft_tcp(syn, from, to, WDD_SYN, 77, 0, NULL, 0);

	assert_true(wdd_host_event(r->host, &ev));
	assert_true(wdd_host_play(r->host, &(struct wdd_play){ .outbound = true, .if_idx = 7 }, syn,
				  len));
}

/* Connections that policies deny, until the file of events holds @text @cnt times. */
static void connect_until(struct run *r, uint32_t pid, const char *text, unsigned cnt)
{
	uint64_t end = GetTickCount64() + RUN_PATIENCE_MS;

	while (run_count_events(r, text) < cnt) {
		if (GetTickCount64() > end)
			fail_msg("no event says \"%s\"; moonfence says:\n%s", text, r->err.text);
		for (unsigned i = 0; i < 8; i++)
			begin_connection(r, pid, 82);
		assert_true(wdd_host_drained(r->host, WDD_NETWORK));
	}
}

/* The driver takes nothing any more: ten refusals in a row, and the fail mode decides (P53). Then all is well again. */
static void fail_for_a_while(struct run *r, uint32_t pid, const char *text, unsigned cnt)
{
	wdd_host_fail(r->host, WDD_CALL_SEND, 87, 0, 1u << 30);
	connect_until(r, pid, text, cnt);
	wdd_host_fail(r->host, WDD_CALL_SEND, 0, 0, 0);
	connect_until(r, pid, "packets go through again", cnt);
}

static void failing_closed_nothing_passes(void **state)
{
	struct run r;
	uint32_t pid = begin(&r, NULL, false);

	(void)state;
	fail_for_a_while(&r, pid, "packets are dropped after failures in a row", 1);
	run_fetch(&r, pid, run_client4(&r), wdd_end_of(SERVER, 80), true, RUN_TCP4);
	assert_int_equal(wdd_stack_faults(r.stack).escaped, 0);
	run_say(&r, "exit 0\n");
	assert_int_equal(run_wait_exit(&r), 0);
	run_end(&r);
}

static void failing_open_packets_pass(void **state)
{
	struct run r;
	uint32_t pid = begin(&r, "--no-watch --fail-mode open", false);

	(void)state;
	run_refused(&r, pid, run_client4(&r), wdd_end_of(SERVER, 82));
	/* Of each batch one packet is still judged: how many pass is chance, that some do in the end is not. */
	for (unsigned cnt = 1; !wdd_stack_faults(r.stack).escaped; cnt++)
		fail_for_a_while(&r, pid, "packets pass unjudged after failures in a row", cnt);
	run_say(&r, "exit 0\n");
	assert_int_equal(run_wait_exit(&r), 0);
	run_end(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupts),
		cmocka_unit_test(the_second_interrupt_ends_the_whole_tree),
		cmocka_unit_test(a_policy_that_changes_is_read_anew),
		cmocka_unit_test(failing_closed_nothing_passes),
		cmocka_unit_test(failing_open_packets_pass),
	};
	int status;

	if (run_main(argc, argv, &status))
		return status;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
