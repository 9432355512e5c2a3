/* SPDX-License-Identifier: Apache-2.0 */
/* msg_linux.c - messages with descriptors between caller, opener and command */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/internal_linux.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(MF_CAPTURE_MSG_FDS_MAX * sizeof(int))];
};

int mf_capture_msg_send(int sock, const struct mf_capture_msg *m, const int *fds, size_t fd_cnt)
{
	struct iovec iov = { (void *)(uintptr_t)m, sizeof(*m) };
	union control c = { 0 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd_cnt) {
		struct cmsghdr *cm;

		h.msg_control = c.bytes;
		h.msg_controllen = CMSG_SPACE(fd_cnt * sizeof(int));
		cm = CMSG_FIRSTHDR(&h);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(fd_cnt * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, fd_cnt * sizeof(int));
	}
	do
		n = sendmsg(sock, &h, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == sizeof(*m))
		return 0;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return MF_E_AGAIN;
	return n < 0 && (errno == EPIPE || errno == ECONNRESET) ? MF_E_CLOSED : MF_E_IO;
}

static void take_fds(struct msghdr *h, int *fds, size_t *fd_cnt)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm; cm = CMSG_NXTHDR(h, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
			if (fds && *fd_cnt < MF_CAPTURE_MSG_FDS_MAX)
				fds[(*fd_cnt)++] = fd;
			else
				close(fd);
		}
	}
}

int mf_capture_msg_recv(int sock, bool wait, struct mf_capture_msg *m, int *fds, size_t *fd_cnt)
{
	struct iovec iov = { m, sizeof(*m) };
	union control c = { 0 };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = c.bytes,
			    .msg_controllen = sizeof(c.bytes) };
	size_t got = 0;
	ssize_t n;

	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0
		       : errno == ECONNRESET		       ? MF_E_CLOSED
							       : MF_E_IO;
	take_fds(&h, fds, &got);
	if (fd_cnt)
		*fd_cnt = got;
	if (n == 0)
		return MF_E_CLOSED;
	if (n != sizeof(*m) || m->kind >= MF_CAPTURE_MSG_NUM) {
		for (size_t i = 0; fds && i < got; i++)
			close(fds[i]);
		return MF_E_IO;
	}
	m->text[sizeof(m->text) - 1] = '\0';
	return 1;
}
