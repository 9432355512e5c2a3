/* SPDX-License-Identifier: Apache-2.0 */
/* pair.h - two connected, non-blocking stream sockets: Unix ones where libevent can make them, else TCP over loopback */
#ifndef MF_TESTS_UNIT_PROXIES_PAIR_H
#define MF_TESTS_UNIT_PROXIES_PAIR_H

/* what cmocka wants before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/util.h>

static inline void open_pair(int *far_end, int *near_end)
{
	evutil_socket_t fds[2];

#ifdef _WIN32
	assert_int_equal(evutil_socketpair(AF_INET, SOCK_STREAM, 0, fds), 0);
#else
	assert_int_equal(evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
#endif
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(evutil_make_socket_nonblocking(fds[i]), 0);
	*far_end = (int)fds[0];
	*near_end = (int)fds[1];
}

#endif
