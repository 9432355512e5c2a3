/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run_ask.c - the control pipe of a session of moonfence.exe run: requests that wait for an answer, who may answer, its end
 *
 *	test_run_ask PATH-OF-MOONFENCE
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_scene.h"

#include <cmocka.h>

#define POLICY                                                                  \
	"return {\n"                                                            \
	"  name = \"asking\",\n"                                                \
	"  connect = function(c)\n"                                             \
	"    if c.port == far6 then return ask { message = \"may it?\" } end\n" \
	"    return deny \"not in this test\"\n"                                \
	"  end,\n"                                                              \
	"}\n"

static uint32_t begin(struct run *r, const char *options)
{
	run_begin(r, &(struct run_how){ .policy = POLICY, .options = options });
	return run_wait_pid(r, "client ");
}

static struct wdd_socket *connect_far(struct run *r, uint32_t pid)
{
	struct wdd_socket *s = wdd_tcp_connect(r->stack, pid, run_client6(r),
					       wdd_end_of(RUN_FAR_ADDR, r->ports[RUN_FAR6]), true);

	assert_non_null(s);
	return s;
}

/* Until @cnt questions wait; @out: the list as JSON. */
static void wait_questions(unsigned cnt, char *out, size_t size)
{
	uint64_t end = GetTickCount64() + RUN_PATIENCE_MS;
	unsigned found;

	do {
		found = 0;
		assert_int_equal(run_call("approvals list --json", out, size), 0);
		for (const char *at = out; (at = strstr(at, "\"left_ms\"")); at++)
			found++;
		if (GetTickCount64() > end)
			fail_msg("%u questions wait: %s", found, out);
	} while (found != cnt);
}

static bool has_come(struct run *r, enum run_server server)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(r->servers[server], &set);
	return select(0, &set, NULL, NULL, &(struct timeval){ 0 }) == 1;
}

static void answered_from_outside_and_not_from_inside(void **state)
{
	struct wdd_socket *s, *other;
	char out[8192], line[1200], byte;
	struct run r;
	uint32_t pid = begin(&r, "--no-watch --session asks --approvals control");

	(void)state;
	s = connect_far(&r, pid);
	wait_questions(1, out, sizeof(out));
	assert_non_null(strstr(out, "may it?"));
	assert_non_null(strstr(out, "asks"));
	/* The command is of the same user, but not heard. */
	snprintf(line, sizeof(line), "execute \"%s\" approvals allow -s asks 1\n", run_program());
	run_say(&r, line);
	assert_int_not_equal(run_wait_pid(&r, "executed "), 0);
	wait_questions(1, out, sizeof(out));
	assert_false(has_come(&r, RUN_FAR6));
	assert_int_equal(run_call("approvals allow -s asks 1", out, sizeof(out)), 0);
	run_exchange_words(&r, s, RUN_FAR6, "no protocol that anybody knows\n");
	wdd_socket_close(s);
	run_wait_event(&r, "\"approval_answered\"");
	assert_int_equal(run_count_events(&r, "\"how\":\"control\""), 1);

	other = connect_far(&r, pid);
	wait_questions(1, out, sizeof(out));
	assert_int_equal(run_call("approvals deny 2", out, sizeof(out)), 0);
	assert_true(wdd_tcp_recv(other, &byte, 1) <= 0);
	assert_false(has_come(&r, RUN_FAR6));
	wdd_socket_close(other);
	wait_questions(0, out, sizeof(out));
	run_say(&r, "exit 7\n");
	assert_int_equal(run_wait_exit(&r), 7);
	/* Its pipe is gone, and nothing tells of it any more. */
	assert_int_equal(run_call("approvals list --json", out, sizeof(out)), 0);
	assert_null(strstr(out, "asks"));
	run_end(&r);
}

static void without_a_channel_it_is_denied(void **state)
{
	struct run r;
	uint32_t pid = begin(&r, "--no-watch");

	(void)state;
	run_refused(&r, pid, run_client6(&r), wdd_end_of(RUN_FAR_ADDR, r.ports[RUN_FAR6]));
	run_wait_event(&r, "approve_without_channel");
	run_say(&r, "exit 0\n");
	assert_int_equal(run_wait_exit(&r), 0);
	run_end(&r);
}

static void ended_over_its_pipe(void **state)
{
	char out[8192], line[200];
	struct run r;
	uint32_t pid = begin(&r, "--no-watch --session ends");
	HANDLE command = OpenProcess(SYNCHRONIZE, FALSE, pid);

	(void)state;
	assert_non_null(command);
	snprintf(line, sizeof(line),
		 "ctl --socket \\\\.\\pipe\\moonfence-session-%lu GET /v1/session",
		 GetProcessId(r.process));
	assert_int_equal(run_call(line, out, sizeof(out)), 0);
	assert_non_null(strstr(out, "\"ends\""));
	snprintf(line, sizeof(line),
		 "ctl --socket \\\\.\\pipe\\moonfence-session-%lu DELETE /v1/session",
		 GetProcessId(r.process));
	(void)run_call(line, out, sizeof(out)); /* the answer may be cut off by the end */
	assert_int_equal(run_wait_exit(&r), STATUS_CONTROL_C_EXIT);
	assert_int_equal(WaitForSingleObject(command, RUN_PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(command);
	run_wait_event(&r, "session_end");
	run_end(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answered_from_outside_and_not_from_inside),
		cmocka_unit_test(without_a_channel_it_is_denied),
		cmocka_unit_test(ended_over_its_pipe),
	};
	int status;

	if (run_main(argc, argv, &status))
		return status;
	return cmocka_run_group_tests_name("run_ask", tests, NULL, NULL);
}
