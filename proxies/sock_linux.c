/* SPDX-License-Identifier: Apache-2.0 */
/* sock_linux.c - sockets and pipes of Linux: accept4, original destinations, splice */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "proxies/sock.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef IPV6_ORIGDSTADDR
#define IPV6_ORIGDSTADDR 74
#endif
#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR IPV6_ORIGDSTADDR
#endif

enum {
	KEEPALIVE_IDLE_S = 120,
	BATCH_MAX = 32,
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

int mf_sock_start(void)
{
	/* splice() has no MSG_NOSIGNAL: a peer that half-closed and then reset would end the process */
	signal(SIGPIPE, SIG_IGN);
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
	fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_of(errno);
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
	/* TPROXY's socket has these already; an IPv6 socket wants both */
	set_int(fd, SOL_IP, IP_RECVORIGDSTADDR, 1);
	set_int(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1);
}

void mf_sock_prepare_listener(int fd)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
}

int mf_sock_accept(int listener, struct mf_endpoint *ret_client)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = accept4(listener, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return error_of(errno);
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
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return error_of(errno);
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
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_of(errno);
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
	ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

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
	uint64_t a = 0, b = 0;
	socklen_t len = sizeof(a);

	if (getsockopt(fd_a, SOL_SOCKET, SO_NETNS_COOKIE, &a, &len) < 0)
		return true;
	len = sizeof(b);
	if (getsockopt(fd_b, SOL_SOCKET, SO_NETNS_COOKIE, &b, &len) < 0)
		return true;
	return a == b;
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
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return error_of(errno);
	return start_connect(fd, (struct sockaddr *)&ss, len);
}

static void read_original(struct msghdr *mh, struct mf_endpoint *server)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		struct sockaddr_storage ss = { 0 };
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (!(c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR) &&
		    !(c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR))
			continue;
		memcpy(&ss, CMSG_DATA(c), len < sizeof(ss) ? len : sizeof(ss));
		if (mf_endpoint_from_sockaddr(server, (struct sockaddr *)&ss))
			return;
	}
}

size_t mf_sock_recv_from(int fd, struct mf_datagram *dgrams, size_t cnt)
{
	struct mmsghdr msgs[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	struct sockaddr_storage from[BATCH_MAX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct sockaddr_in6)) * 2];
	} control[BATCH_MAX];
	int n;

	if (cnt > BATCH_MAX)
		cnt = BATCH_MAX;
	memset(msgs, 0, sizeof(msgs[0]) * cnt);
	for (size_t i = 0; i < cnt; i++) {
		iov[i] = (struct iovec){ dgrams[i].buf, dgrams[i].room };
		msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &from[i],
			.msg_namelen = sizeof(from[i]),
			.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = &control[i],
			.msg_controllen = sizeof(control[i]),
		};
	}
	n = recvmmsg(fd, msgs, (unsigned)cnt, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		struct mf_datagram *d = &dgrams[i];

		memset(&d->client, 0, sizeof(d->client));
		memset(&d->server, 0, sizeof(d->server));
		(void)mf_endpoint_from_sockaddr(&d->client, (struct sockaddr *)&from[i]);
		read_original(&msgs[i].msg_hdr, &d->server);
		d->len = msgs[i].msg_len;
		d->cut = msgs[i].msg_hdr.msg_flags & MSG_TRUNC;
	}
	return n < 0 ? 0 : (size_t)n;
}

/* Control data that makes @from the source, IPv4's also on a socket of IPv6; Return: its length */
static size_t put_source(const struct mf_addr *from, void *buf)
{
	struct cmsghdr *c = buf;

	if (from->family == 4) {
		struct in_pktinfo *info = (struct in_pktinfo *)(void *)CMSG_DATA(c);

		*c = (struct cmsghdr){ .cmsg_level = SOL_IP,
				       .cmsg_type = IP_PKTINFO,
				       .cmsg_len = CMSG_LEN(sizeof(*info)) };
		*info = (struct in_pktinfo){ 0 };
		memcpy(&info->ipi_spec_dst, from->bytes, 4);
		return CMSG_SPACE(sizeof(*info));
	}
	if (from->family == 6) {
		struct in6_pktinfo *info = (struct in6_pktinfo *)(void *)CMSG_DATA(c);

		*c = (struct cmsghdr){ .cmsg_level = SOL_IPV6,
				       .cmsg_type = IPV6_PKTINFO,
				       .cmsg_len = CMSG_LEN(sizeof(*info)) };
		*info = (struct in6_pktinfo){ 0 };
		memcpy(&info->ipi6_addr, from->bytes, 16);
		return CMSG_SPACE(sizeof(*info));
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
	/* an IPv6 socket takes IPv4 peers as mapped addresses only */
	int domain = 0;
	socklen_t opt_len = sizeof(domain);

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &opt_len);
	mh.msg_namelen = (socklen_t)mf_endpoint_to_sockaddr(to, domain == AF_INET6, &ss);
	if (from->addr.family && from->addr.family == to->addr.family) {
		mh.msg_control = &control;
		mh.msg_controllen = put_source(&from->addr, &control);
	}
	if (sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	return errno == EAGAIN ? MF_E_AGAIN : MF_E_CLOSED;
}

int mf_pipe_open(struct mf_pipe *ret, size_t size)
{
	int fds[2];

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return error_of(errno);
	/* refused past the user's share of pipe pages: then the usual 64 KiB must do */
	(void)fcntl(fds[1], F_SETPIPE_SZ, (int)size);
	ret->rd = fds[0];
	ret->wr = fds[1];
	return 0;
}

void mf_pipe_close(struct mf_pipe *pipe)
{
	close(pipe->rd);
	close(pipe->wr);
}

ssize_t mf_pipe_fill(struct mf_pipe *pipe, int fd, size_t len)
{
	ssize_t n = splice(fd, NULL, pipe->wr, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? MF_E_AGAIN : MF_E_CLOSED;
}

ssize_t mf_pipe_drain(struct mf_pipe *pipe, int fd, size_t len, bool more)
{
	unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0);
	ssize_t n = splice(pipe->rd, NULL, fd, NULL, len, flags);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? MF_E_AGAIN : MF_E_CLOSED;
}
