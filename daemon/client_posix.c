/* SPDX-License-Identifier: Apache-2.0 */
/* client_posix.c - a connection to the daemon's Unix socket; see client.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/client.h"
#include "daemon/peer_posix.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE is set in its place */
#endif

struct mf_client_link {
	int fd;
};

static int no_daemon(const char *path, struct mf_err *err)
{
	if (errno == ENOENT || errno == ECONNREFUSED)
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_CLOSED,
				  "no daemon serves %s: moonfence daemon begins one", path);
	return mf_err_set(err, errno == EACCES ? MF_E_PERM : MF_E_IO, "cannot connect to %s: %s",
			  path, strerror(errno));
}

int mf_client_connect(const char *path, struct mf_client_link **ret, struct mf_err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct mf_client_link *l;

	if ((size_t)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path) >= sizeof(at.sun_path))
		return mf_err_set(err, MF_E_INVAL, "%s is too long for a socket", path);
	l = malloc(sizeof(*l));
	if (!l)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	l->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (l->fd < 0 || fcntl(l->fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    connect(l->fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		int r = no_daemon(path, err);

		mf_client_close(l);
		return r;
	}
#ifdef SO_NOSIGPIPE
	setsockopt(l->fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){ 1 }, sizeof(int));
#endif
	*ret = l;
	return 0;
}

int64_t mf_client_peer_pid(struct mf_client_link *l)
{
	struct mf_peer_ids ids;

	return mf_peer_ids(l->fd, &ids) < 0 ? 0 : ids.pid;
}

void mf_client_set_timeout(struct mf_client_link *l, unsigned ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	(void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

int mf_client_write(struct mf_client_link *l, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = send(l->fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return MF_E_IO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int64_t mf_client_read(struct mf_client_link *l, void *bytes, size_t len)
{
	ssize_t n;

	do {
		n = recv(l->fd, bytes, len, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? MF_E_TIME : MF_E_IO;
	return n;
}

void mf_client_close(struct mf_client_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}
