/* SPDX-License-Identifier: Apache-2.0 */
/* frame_socket_posix.h - sending without SIGPIPE: by a flag of send(), or where there is none (macOS) by an option of the socket */
#ifndef MF_NIC_FRAME_SOCKET_POSIX_H
#define MF_NIC_FRAME_SOCKET_POSIX_H

#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static inline void mf_frame_no_signal(int fd)
{
#ifdef SO_NOSIGPIPE
	int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#else
	(void)fd;
#endif
}

#endif
