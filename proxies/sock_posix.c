/* SPDX-License-Identifier: Apache-2.0 */
/* sock_posix.c - what sockets of Linux and macOS have in common; see sock.h and sock_posix.h */
#include "proxies/sock_posix.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "proxies/sock.h"

#ifdef __APPLE__
#define KEEPALIVE_IDLE TCP_KEEPALIVE
#define SEND_FLAGS     0 /* SO_NOSIGPIPE is set */
#define SEND_MORE      0
#else
#define KEEPALIVE_IDLE TCP_KEEPIDLE
#define SEND_FLAGS     MSG_NOSIGNAL
#define SEND_MORE      MSG_MORE
#endif

enum {
	KEEPALIVE_IDLE_S = 120,
};

int mf_sock_code(int err)
{
	switch (err) {
	case EAGAIN:
#if EWOULDBLOCK != EAGAIN
	case EWOULDBLOCK:
#endif
	case EINTR:
	case ECONNABORTED:
		return MF_E_AGAIN;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return MF_E_FULL;
	default:
		return MF_E_IO;
	}
}

void mf_sock_set_int(int fd, int level, int name, int value)
{
	/* every caller can live without it */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

int mf_sock_listen(const struct mf_endpoint *at, bool tcp, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(at, false, &ss);
	int type = tcp ? SOCK_STREAM : SOCK_DGRAM, fd;

	if (len == 0) {
		errno = EAFNOSUPPORT;
		return MF_E_IO;
	}
	fd = mf_sock_make(ss.ss_family, type, 0);
	if (fd < 0)
		return fd;
	/* for TCP this lets no second listener in, it only forgives connections that still time out */
	if (tcp)
		mf_sock_set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ss.ss_family == AF_INET6)
		mf_sock_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 || (tcp && listen(fd, backlog) < 0)) {
		int err = errno;

		close(fd);
		errno = err;
		return MF_E_IO;
	}
	return fd;
}

void mf_sock_prepare_listener(int fd)
{
	mf_sock_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	mf_sock_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	mf_sock_set_int(fd, IPPROTO_TCP, KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
}

int mf_sock_accept(int listener, struct mf_endpoint *ret_client)
{
	struct sockaddr_storage ss;
	int fd = mf_sock_take(listener, &ss);

	if (fd < 0)
		return fd;
	if (!mf_endpoint_from_sockaddr(ret_client, (struct sockaddr *)&ss))
		memset(ret_client, 0, sizeof(*ret_client));
	return fd;
}

bool mf_sock_local(int fd, struct mf_endpoint *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
	       mf_endpoint_from_sockaddr(ret, (struct sockaddr *)&ss);
}

bool mf_sock_peer(int fd, struct mf_endpoint *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return getpeername(fd, (struct sockaddr *)&ss, &len) == 0 &&
	       mf_endpoint_from_sockaddr(ret, (struct sockaddr *)&ss);
}

static int start_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (connect(fd, sa, len) < 0 && errno != EINPROGRESS) {
		int err = errno;

		close(fd);
		errno = err;
		/* a full backlog of a Unix socket is no reason to wait: it says EAGAIN and never more */
		return MF_E_IO;
	}
	return fd;
}

static struct mf_addr source4, source6;

void mf_sock_set_source(const struct mf_addr *addr)
{
	*(addr->family == 4 ? &source4 : &source6) = *addr;
}

bool mf_sock_bind_source(int fd, const struct mf_endpoint *to)
{
	struct mf_endpoint from = { .addr = to->addr.family == 4 ? source4 : source6 };
	struct sockaddr_storage ss;
	socklen_t len;

	if (!from.addr.family || mf_addr_is_loopback(&to->addr))
		return true;
#ifdef IP_BIND_ADDRESS_NO_PORT
	/* the port is chosen with the destination, so that there are enough of them */
	mf_sock_set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
#endif
	len = (socklen_t)mf_endpoint_to_sockaddr(&from, false, &ss);
	return bind(fd, (struct sockaddr *)&ss, len) == 0;
}

/* A socket on its way to @to: for datagrams that is only who its peer is. Return: it, MF_E_* */
static int make_connected(const struct mf_endpoint *to, int type, int protocol)
{
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(to, false, &ss);
	int fd;

	if (len == 0) {
		errno = EAFNOSUPPORT;
		return MF_E_IO;
	}
	fd = mf_sock_make(ss.ss_family, type, protocol);
	if (fd < 0)
		return fd;
	if (type == SOCK_STREAM)
		mf_sock_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!mf_sock_bind_source(fd, to)) {
		int err = errno;

		close(fd);
		errno = err;
		return MF_E_IO;
	}
	return start_connect(fd, (struct sockaddr *)&ss, len);
}

int mf_sock_dial(const struct mf_endpoint *to)
{
	return make_connected(to, SOCK_STREAM, IPPROTO_TCP);
}

int mf_sock_dial_unix(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd;

	if (len == 0 || len >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return MF_E_IO;
	}
	memcpy(sun.sun_path, path, len + 1);
	fd = mf_sock_make(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return fd;
	return start_connect(fd, (struct sockaddr *)&sun, sizeof(sun));
}

int mf_sock_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return errno;
	return err;
}

int mf_sock_last_error(void)
{
	return errno;
}

const char *mf_sock_error_text(int err)
{
	return strerror(err);
}

static ssize_t receive(int fd, void *buf, size_t len, int flags)
{
	ssize_t n = recv(fd, buf, len, flags);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? MF_E_AGAIN : MF_E_CLOSED;
}

ssize_t mf_sock_recv(int fd, void *buf, size_t len)
{
	return receive(fd, buf, len, 0);
}

ssize_t mf_sock_peek(int fd, void *buf, size_t len)
{
	return receive(fd, buf, len, MSG_PEEK);
}

static ssize_t send_with(int fd, const void *buf, size_t len, int flags)
{
	ssize_t n = send(fd, buf, len, SEND_FLAGS | flags);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? MF_E_AGAIN : MF_E_CLOSED;
}

ssize_t mf_sock_send(int fd, const void *buf, size_t len)
{
	return send_with(fd, buf, len, 0);
}

ssize_t mf_sock_send_last(int fd, const void *buf, size_t len)
{
	return send_with(fd, buf, len, SEND_MORE);
}

void mf_sock_shutdown_write(int fd)
{
	(void)shutdown(fd, SHUT_WR);
}

void mf_sock_reset(int fd)
{
	struct linger l = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

void mf_sock_close(int fd)
{
	close(fd);
}

int mf_sock_open_udp(const struct mf_endpoint *to)
{
	return make_connected(to, SOCK_DGRAM, IPPROTO_UDP);
}

int mf_sock_open_udp_any(const struct mf_endpoint *to)
{
	bool six = to->addr.family == 6;
	int fd, err;

	if (!to->addr.family) {
		errno = EAFNOSUPPORT;
		return MF_E_IO;
	}
	fd = mf_sock_make(six ? AF_INET6 : AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	if (fd < 0)
		return fd;
#ifdef IP_RECVERR
	/* nobody tells a socket without a peer, unless it asks */
	mf_sock_set_int(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_RECVERR : IP_RECVERR, 1);
#endif
	if (mf_sock_bind_source(fd, to))
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return MF_E_IO;
}
