/* SPDX-License-Identifier: Apache-2.0 */
/* test_msg.c - messages with descriptors between the processes of a session */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/internal_linux.h"

static int pair_of(int s[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s);
}

static void descriptors_arrive_with_their_message_and_close_on_exec(void **state)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_READY, .value = 6, .text = "text" };
	int s[2], p[2], fds[MF_CAPTURE_MSG_FDS_MAX];
	size_t cnt = 0;
	char byte = 0;

	(void)state;
	assert_int_equal(pair_of(s), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(mf_capture_msg_send(s[0], &m, p, 2), 0);
	memset(&m, 0, sizeof(m));
	assert_int_equal(mf_capture_msg_recv(s[1], false, &m, fds, &cnt), 1);
	assert_int_equal(cnt, 2);
	assert_int_equal(m.value, 6);
	assert_string_equal(m.text, "text");
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(p[0], &byte, 1), 1);
	for (size_t i = 0; i < 2; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
		close(p[i]);
	}
	close(s[0]);
	close(s[1]);
}

static void nothing_yet_and_the_end_are_told_apart(void **state)
{
	struct mf_capture_msg m;
	int s[2];

	(void)state;
	assert_int_equal(pair_of(s), 0);
	assert_int_equal(mf_capture_msg_recv(s[1], false, &m, NULL, NULL), 0);
	close(s[0]);
	assert_int_equal(mf_capture_msg_recv(s[1], false, &m, NULL, NULL), MF_E_CLOSED);
	assert_int_equal(mf_capture_msg_send(s[1], &m, NULL, 0), MF_E_CLOSED);
	close(s[1]);
}

static void what_is_no_message_is_refused_and_its_descriptors_do_not_leak(void **state)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_NUM };
	int s[2], p[2], fds[MF_CAPTURE_MSG_FDS_MAX];
	size_t cnt;
	char byte;

	(void)state;
	assert_int_equal(pair_of(s), 0);
	assert_int_equal(send(s[0], "short", 5, 0), 5);
	assert_int_equal(mf_capture_msg_recv(s[1], false, &m, fds, &cnt), MF_E_IO);
	m.kind = MF_CAPTURE_MSG_NUM;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(mf_capture_msg_send(s[0], &m, &p[1], 1), 0);
	assert_int_equal(mf_capture_msg_recv(s[1], false, &m, fds, &cnt), MF_E_IO);
	close(p[1]);
	assert_int_equal(read(p[0], &byte, 1), 0); /* no other writer is left */
	close(p[0]);
	close(s[0]);
	close(s[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_arrive_with_their_message_and_close_on_exec),
		cmocka_unit_test(nothing_yet_and_the_end_are_told_apart),
		cmocka_unit_test(what_is_no_message_is_refused_and_its_descriptors_do_not_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
