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
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "proxies/sock.h"
#include "proxies/sock_posix.h"

/* Neither blocks, nor stays open in a new program, nor kills by SIGPIPE. Return: @fd, MF_E_* */
static int prepare(int fd)
{
	if (fd < 0)
		return mf_sock_code(errno);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		return MF_E_IO;
	}
	mf_sock_set_int(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
	return fd;
}

int mf_sock_make(int family, int type, int protocol)
{
	return prepare(socket(family, type, protocol));
}

int mf_sock_take(int listener, struct sockaddr_storage *ret_peer)
{
	socklen_t len = sizeof(*ret_peer);

	return prepare(accept(listener, (struct sockaddr *)ret_peer, &len));
}

int mf_sock_start(void)
{
	return 0;
}

void mf_sock_prepare_udp(int fd)
{
	mf_sock_set_int(fd, IPPROTO_IP, IP_RECVDSTADDR, 1);
	mf_sock_set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

bool mf_sock_set_fragments(int fd, enum mf_sock_fragments how)
{
	(void)fd;
	(void)how;
	return false;
}

bool mf_sock_same_place(int fd_a, int fd_b)
{
	(void)fd_a;
	(void)fd_b;
	return true; /* there is only one */
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

bool mf_sock_take_udp_error(int fd, struct mf_endpoint *ret_to)
{
	(void)fd;
	(void)ret_to;
	return false;
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

void mf_sock_send_many(int fd, const struct mf_datagram *dgrams, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		(void)mf_sock_send_to(fd, &dgrams[i].server, &dgrams[i].client, dgrams[i].buf,
				      dgrams[i].len);
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

int mf_sock_share(int fd)
{
	int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return other < 0 ? mf_sock_code(errno) : other;
}

/* SO_REUSEPORT gives all connections to the last one here: whoever is free takes one of the same socket. */
int mf_sock_listen_beside(int fd, int backlog)
{
	(void)backlog;
	return mf_sock_share(fd);
}
