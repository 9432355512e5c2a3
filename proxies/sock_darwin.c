/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sock_darwin.c - sockets of macOS
 *
 * There is no splice(): bytes are copied. Where a datagram was going is not said by its socket; pf's table tells
 * (capture/pf.h).
 */
#define __APPLE_USE_RFC_3542 /* IPV6_PKTINFO, IPV6_RECVPKTINFO */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "proxies/sock.h"

enum {
	KEEPALIVE_IDLE_S = 120,
};

static int error_of(int err)
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

static void set_int(int fd, int level, int name, int value)
{
	/* every caller can live without it */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* Neither blocks, nor stays open in a new program, nor kills by SIGPIPE. Return: @fd, MF_E_* */
static int prepare(int fd)
{
	if (fd < 0)
		return error_of(errno);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		return MF_E_IO;
	}
	set_int(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
	return fd;
}

int mf_sock_start(void)
{
	return 0;
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
	fd = prepare(socket(ss.ss_family, type, 0));
	if (fd < 0)
		return fd;
	/* for TCP this lets no second listener in, it only forgives connections that still time out */
	if (tcp)
		set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ss.ss_family == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 || (tcp && listen(fd, backlog) < 0)) {
		int err = errno;

		close(fd);
		errno = err;
		return MF_E_IO;
	}
	return fd;
}

void mf_sock_prepare_udp(int fd)
{
	set_int(fd, IPPROTO_IP, IP_RECVDSTADDR, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

void mf_sock_prepare_listener(int fd)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPALIVE, KEEPALIVE_IDLE_S);
}

int mf_sock_accept(int listener, struct mf_endpoint *ret_client)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = prepare(accept(listener, (struct sockaddr *)&ss, &len));

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

int mf_sock_dial(const struct mf_endpoint *to)
{
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(to, false, &ss);
	int fd;

	if (len == 0) {
		errno = EAFNOSUPPORT;
		return MF_E_IO;
	}
	fd = prepare(socket(ss.ss_family, SOCK_STREAM, IPPROTO_TCP));
	if (fd < 0)
		return fd;
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return start_connect(fd, (struct sockaddr *)&ss, len);
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
	fd = prepare(socket(AF_UNIX, SOCK_STREAM, 0));
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

ssize_t mf_sock_recv(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, 0);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? MF_E_AGAIN : MF_E_CLOSED;
}

ssize_t mf_sock_send(int fd, const void *buf, size_t len)
{
	ssize_t n = send(fd, buf, len, 0);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? MF_E_AGAIN : MF_E_CLOSED;
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

bool mf_sock_same_place(int fd_a, int fd_b)
{
	(void)fd_a;
	(void)fd_b;
	return true; /* there is only one */
}

int mf_sock_open_udp(const struct mf_endpoint *to)
{
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(to, false, &ss);
	int fd;

	if (len == 0) {
		errno = EAFNOSUPPORT;
		return MF_E_IO;
	}
	fd = prepare(socket(ss.ss_family, SOCK_DGRAM, IPPROTO_UDP));
	if (fd < 0)
		return fd;
	return start_connect(fd, (struct sockaddr *)&ss, len);
}

/* The address that a datagram came to; the port is the socket's. */
static void read_local(struct msghdr *mh, struct mf_addr *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVDSTADDR &&
		    c->cmsg_len >= CMSG_LEN(4)) {
			mf_addr_from_bytes(ret, CMSG_DATA(c), 4);
			return;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
		    c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
			mf_addr_from_bytes(ret, CMSG_DATA(c), 16); /* ipi6_addr comes first */
			return;
		}
	}
}
_Static_assert(offsetof(struct in6_pktinfo, ipi6_addr) == 0, "the address comes first");

static bool recv_one(int fd, const struct mf_endpoint *here, struct mf_datagram *d)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(4)];
	} control;
	struct sockaddr_storage from;
	struct iovec iov = { d->buf, d->room };
	struct msghdr mh = { .msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT);

	if (n < 0)
		return false;
	memset(&d->client, 0, sizeof(d->client));
	(void)mf_endpoint_from_sockaddr(&d->client, (struct sockaddr *)&from);
	d->server = *here;
	read_local(&mh, &d->server.addr);
	d->len = (size_t)n;
	d->cut = mh.msg_flags & MSG_TRUNC;
	return true;
}

size_t mf_sock_recv_from(int fd, struct mf_datagram *dgrams, size_t cnt)
{
	struct mf_endpoint here = { 0 };
	size_t n = 0;

	(void)mf_sock_local(fd, &here);
	while (n < cnt && recv_one(fd, &here, &dgrams[n]))
		n++;
	return n;
}

/* What the socket is bound to: its family, and whether it serves every address of the machine. */
static bool read_bound(int fd, bool *ret_six, bool *ret_any)
{
	static const uint8_t zero[16];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct mf_endpoint ep;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    !mf_endpoint_from_sockaddr(&ep, (struct sockaddr *)&ss))
		return false;
	*ret_six = ss.ss_family == AF_INET6;
	*ret_any = memcmp(ep.addr.bytes, zero, sizeof(zero)) == 0;
	return true;
}

/* Control data that makes @from the source on a socket that is bound to none; Return: its length, 0 where that is not done */
static size_t put_source(const struct mf_addr *from, bool six, void *buf)
{
	struct cmsghdr *c = buf;

	if (from->family == 4 && !six) {
		*c = (struct cmsghdr){ .cmsg_level = IPPROTO_IP,
				       .cmsg_type = IP_PKTINFO,
				       .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)) };
		memset(CMSG_DATA(c), 0, sizeof(struct in_pktinfo));
		memcpy(CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_spec_dst), from->bytes, 4);
		return CMSG_SPACE(sizeof(struct in_pktinfo));
	}
	if (from->family == 6 && six) {
		*c = (struct cmsghdr){ .cmsg_level = IPPROTO_IPV6,
				       .cmsg_type = IPV6_PKTINFO,
				       .cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo)) };
		memset(CMSG_DATA(c), 0, sizeof(struct in6_pktinfo));
		memcpy(CMSG_DATA(c), from->bytes, 16);
		return CMSG_SPACE(sizeof(struct in6_pktinfo));
	}
	return 0;
}

int mf_sock_send_to(int fd, const struct mf_endpoint *from, const struct mf_endpoint *to,
		    const void *buf, size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control;
	struct sockaddr_storage ss;
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct msghdr mh = { .msg_name = &ss, .msg_iov = &iov, .msg_iovlen = 1 };
	size_t control_len = 0;
	bool six, any;

	if (!read_bound(fd, &six, &any))
		return MF_E_CLOSED;
	/* An IPv6 socket takes IPv4 peers as mapped addresses only; one that is bound answers from there anyway. */
	mh.msg_namelen = (socklen_t)mf_endpoint_to_sockaddr(to, six, &ss);
	if (any && from->addr.family && from->addr.family == to->addr.family)
		control_len = put_source(&from->addr, six, &control);
	if (control_len) {
		mh.msg_control = &control;
		mh.msg_controllen = (socklen_t)control_len;
	}
	if (sendmsg(fd, &mh, MSG_DONTWAIT) >= 0)
		return 0;
	return errno == EAGAIN || errno == ENOBUFS ? MF_E_AGAIN : MF_E_CLOSED;
}

int mf_pipe_open(struct mf_pipe *ret, size_t size)
{
	(void)ret;
	(void)size;
	return MF_E_UNSUPPORTED;
}

void mf_pipe_close(struct mf_pipe *pipe)
{
	(void)pipe;
}

ssize_t mf_pipe_fill(struct mf_pipe *pipe, int fd, size_t len)
{
	(void)pipe;
	(void)fd;
	(void)len;
	return MF_E_CLOSED;
}

ssize_t mf_pipe_drain(struct mf_pipe *pipe, int fd, size_t len, bool more)
{
	(void)pipe;
	(void)fd;
	(void)len;
	(void)more;
	return MF_E_CLOSED;
}
