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
#include "proxies/sock_posix.h"

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
	BATCH_MAX = 32,
	IPV6_LEAST_MTU = 1280, /* RFC 8200 5 */
};

int mf_sock_make(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	return fd < 0 ? mf_sock_code(errno) : fd;
}

int mf_sock_take(int listener, struct sockaddr_storage *ret_peer)
{
	socklen_t len = sizeof(*ret_peer);
	int fd = accept4(listener, (struct sockaddr *)ret_peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 ? mf_sock_code(errno) : fd;
}

int mf_sock_start(void)
{
	/* splice() has no MSG_NOSIGNAL: a peer that half-closed and then reset would end the process */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int mf_sock_share(int fd)
{
	int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return other < 0 ? mf_sock_code(errno) : other;
}

/* The first was bound without the option, so that a port that somebody else has is noticed; the kernel looks at it when the next is bound. */
int mf_sock_listen_beside(int fd, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int other, err;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return mf_sock_code(errno);
	other = mf_sock_make(ss.ss_family, SOCK_STREAM, 0);
	if (other < 0)
		return other;
	mf_sock_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	mf_sock_set_int(other, SOL_SOCKET, SO_REUSEPORT, 1);
	mf_sock_set_int(other, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ss.ss_family == AF_INET6)
		mf_sock_set_int(other, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(other, (struct sockaddr *)&ss, len) == 0 && listen(other, backlog) == 0)
		return other;
	err = errno;
	close(other);
	errno = err;
	return MF_E_IO;
}

void mf_sock_prepare_udp(int fd)
{
	/* TPROXY's socket has these already; an IPv6 socket wants both */
	mf_sock_set_int(fd, SOL_IP, IP_RECVORIGDSTADDR, 1);
	mf_sock_set_int(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1);
}

bool mf_sock_set_fragments(int fd, enum mf_sock_fragments how)
{
	static const int v4[] = { IP_PMTUDISC_WANT, IP_PMTUDISC_PROBE, IP_PMTUDISC_DONT };
	static const int v6[] = { IPV6_PMTUDISC_WANT, IPV6_PMTUDISC_PROBE, IPV6_PMTUDISC_DONT };
	bool is_v6;

	/* a socket of both families wants both; of IPv6 nobody on the way takes anything apart, so we do, to what every link takes */
	is_v6 = setsockopt(fd, SOL_IPV6, IPV6_MTU_DISCOVER, &v6[how], sizeof(v6[how])) == 0;
	if (is_v6)
		mf_sock_set_int(fd, SOL_IPV6, IPV6_MTU,
				how == MF_SOCK_FRAGMENTS_ALWAYS ? IPV6_LEAST_MTU : 0);
	return setsockopt(fd, SOL_IP, IP_MTU_DISCOVER, &v4[how], sizeof(v4[how])) == 0 || is_v6;
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

bool mf_sock_take_udp_error(int fd, struct mf_endpoint *ret_to)
{
	struct sockaddr_storage to = { 0 };
	struct msghdr mh = { .msg_name = &to, .msg_namelen = sizeof(to) };

	return recvmsg(fd, &mh, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0 &&
	       mf_endpoint_from_sockaddr(ret_to, (struct sockaddr *)&to);
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

void mf_sock_send_many(int fd, const struct mf_datagram *dgrams, size_t cnt)
{
	struct mmsghdr msgs[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	struct sockaddr_storage to[BATCH_MAX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control[BATCH_MAX];
	int domain = 0;
	socklen_t opt_len = sizeof(domain);

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &opt_len);
	while (cnt) {
		unsigned n = cnt < BATCH_MAX ? (unsigned)cnt : BATCH_MAX;
		int sent;

		for (unsigned i = 0; i < n; i++) {
			const struct mf_datagram *d = &dgrams[i];
			struct msghdr *mh = &msgs[i].msg_hdr;

			iov[i] = (struct iovec){ d->buf, d->len };
			*mh = (struct msghdr){ .msg_name = &to[i],
					       .msg_iov = &iov[i],
					       .msg_iovlen = 1 };
			mh->msg_namelen = (socklen_t)mf_endpoint_to_sockaddr(
				&d->client, domain == AF_INET6, &to[i]);
			if (d->server.addr.family &&
			    d->server.addr.family == d->client.addr.family) {
				mh->msg_control = &control[i];
				mh->msg_controllen = put_source(&d->server.addr, &control[i]);
			}
		}
		sent = sendmmsg(fd, msgs, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent <= 0) /* one that cannot be sent at all: the others can */
			sent = 1;
		dgrams += sent;
		cnt -= (size_t)sent;
	}
}

int mf_pipe_open(struct mf_pipe *ret, size_t size)
{
	int fds[2];

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return mf_sock_code(errno);
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
