/* SPDX-License-Identifier: Apache-2.0 */
/* ping_socket_linux.c - ping sockets, and raw ones where those are forbidden; see ping_socket.h */
#include "proxies/ping_socket.h"

#include <errno.h>
#include <time.h> /* before the next, which wants it */

#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/packet/checksum.h"
#include "proxies/sock.h"
#include "proxies/sock_posix.h"

#define HEAD_LEN       8u /* type, code, checksum, identifier, sequence number */
#define RECEIVE_MAX    32 /* foreign packets of a raw socket in one call */
#define RECEIVE_BUFFER (256 << 10)
#define PROTO_IP       SOL_IP
#define PROTO_IP6      SOL_IPV6

static bool is_six(const struct mf_ping_socket *s)
{
	return s->to.family == 6;
}

/* Answers only: whatever else is sent to this host is not looked at. */
static void filter(const struct mf_ping_socket *s)
{
	if (is_six(s)) {
		struct icmp6_filter f;

		memset(&f, 0xff, sizeof(f));
		f.data[ICMPV6_ECHO_REPLY >> 5] &= ~(1u << (ICMPV6_ECHO_REPLY & 31));
		(void)setsockopt(s->fd, IPPROTO_ICMPV6, ICMPV6_FILTER, &f, sizeof(f));
	} else {
		const struct icmp_filter f = { .data = ~(1u << ICMP_ECHOREPLY) };

		(void)setsockopt(s->fd, SOL_RAW, ICMP_FILTER, &f, sizeof(f));
	}
}

/* Not that of another socket of ours, which would hear the same answers; where it begins is nobody's to know. */
static uint16_t fresh_id(void)
{
	static uint32_t last;

	if (!last)
		last = (uint32_t)mf_hash_seed();
	return (uint16_t)++last;
}

static int make(struct mf_ping_socket *s)
{
	int family = is_six(s) ? AF_INET6 : AF_INET;
	int protocol = is_six(s) ? IPPROTO_ICMPV6 : IPPROTO_ICMP;

	s->fd = mf_sock_make(family, SOCK_DGRAM, protocol);
	if (s->fd >= 0)
		return 0;
	if (errno != EACCES && errno != EPERM && errno != EPROTONOSUPPORT)
		return s->fd;
	s->fd = mf_sock_make(family, SOCK_RAW, protocol);
	if (s->fd < 0)
		return errno == EACCES || errno == EPERM ? MF_E_PERM : s->fd;
	s->raw = true;
	s->id = fresh_id();
	filter(s);
	return 0;
}

int mf_ping_socket_open(const struct mf_addr *to, struct mf_ping_socket *ret)
{
	const struct mf_endpoint at = { .addr = *to };
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(&at, false, &ss);
	int r;

	*ret = (struct mf_ping_socket){ .to = *to, .fd = -1 };
	r = len ? make(ret) : MF_E_IO;
	if (r < 0)
		return r;
	mf_sock_set_int(ret->fd, is_six(ret) ? PROTO_IP6 : PROTO_IP,
			is_six(ret) ? IPV6_RECVERR : IP_RECVERR, 1);
	mf_sock_set_int(ret->fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	if (mf_sock_bind_source(ret->fd, &at) && connect(ret->fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	r = errno;
	mf_ping_socket_close(ret);
	errno = r;
	return MF_E_IO;
}

void mf_ping_socket_close(struct mf_ping_socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int mf_ping_socket_send(struct mf_ping_socket *s, const struct mf_session_echo *echo)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	uint8_t head[HEAD_LEN] = { is_six(s) ? ICMPV6_ECHO_REQUEST : ICMP_ECHO };
	struct iovec iov[2] = { { head, sizeof(head) },
				{ (void *)(uintptr_t)echo->payload, echo->len } };
	struct msghdr msg = { .msg_iov = iov,
			      .msg_iovlen = 2,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int hops = echo->hops ? echo->hops : 64;
	uint64_t sum;

	mf_store_be16(head + 4, s->id);
	mf_store_be16(head + 6, echo->sequence);
	if (!is_six(s)) { /* of ICMPv6 the kernel computes it in any case, as it knows the source */
		sum = mf_csum_add(mf_csum_add(0, head, sizeof(head)), echo->payload, echo->len);
		mf_store_be16(head + 2, (uint16_t)~mf_csum_fold(sum));
	}
	c->cmsg_level = is_six(s) ? PROTO_IP6 : PROTO_IP;
	c->cmsg_type = is_six(s) ? IPV6_HOPLIMIT : IP_TTL;
	c->cmsg_len = CMSG_LEN(sizeof(hops));
	memcpy(CMSG_DATA(c), &hops, sizeof(hops));
	/* an error about an earlier one is told by the first call after it, whatever that is */
	for (int i = 0; i < 2; i++) {
		if (sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EMSGSIZE)
			return MF_E_LIMIT;
		if (errno == EAGAIN || errno == ENOBUFS)
			return MF_E_AGAIN;
	}
	return MF_E_IO;
}

/* An ICMP message with its header. Return: false: none of ours */
static bool read_message(const struct mf_ping_socket *s, const uint8_t *p, size_t len, uint8_t type,
			 struct mf_session_echo *ret)
{
	if (len < HEAD_LEN || p[0] != type || (s->raw && mf_load_be16(p + 4) != s->id))
		return false;
	*ret = (struct mf_session_echo){ .sequence = mf_load_be16(p + 6),
					 .payload = p + HEAD_LEN,
					 .len = len - HEAD_LEN };
	return true;
}

static bool read_error(const struct mf_ping_socket *s, struct msghdr *msg, const uint8_t *buf,
		       size_t len, struct mf_ping_answer *ret)
{
	const int level = is_six(s) ? PROTO_IP6 : PROTO_IP;
	const int type = is_six(s) ? IPV6_RECVERR : IP_RECVERR;
	const int origin = is_six(s) ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct {
			struct sock_extended_err error;
			struct sockaddr_in6 from; /* of either family: this has room for both */
		} got;
		struct mf_endpoint from = { 0 };

		if (c->cmsg_level != level || c->cmsg_type != type ||
		    c->cmsg_len < CMSG_LEN(sizeof(got.error)))
			continue;
		memset(&got, 0, sizeof(got));
		memcpy(&got, CMSG_DATA(c),
		       c->cmsg_len - CMSG_LEN(0) < sizeof(got) ? c->cmsg_len - CMSG_LEN(0)
							       : sizeof(got));
		if (got.error.ee_origin != origin ||
		    !mf_endpoint_from_sockaddr(&from, (struct sockaddr *)&got.from) ||
		    !read_message(s, buf, len, is_six(s) ? ICMPV6_ECHO_REQUEST : ICMP_ECHO,
				  &ret->echo))
			return false;
		ret->is_error = true;
		ret->error = (struct mf_session_echo_error){ .type = got.error.ee_type,
							     .code = got.error.ee_code,
							     .info = got.error.ee_info,
							     .from = from.addr };
		return true;
	}
	return false;
}

static bool read_reply(const struct mf_ping_socket *s, const struct sockaddr_storage *from,
		       const uint8_t *buf, size_t len, struct mf_ping_answer *ret)
{
	struct mf_endpoint ep = { 0 };
	size_t head = s->raw && !is_six(s) && len ? (buf[0] & 15u) * 4u : 0;

	/* what a ping socket is connected to says whom it asks, not whom it hears */
	if (!mf_endpoint_from_sockaddr(&ep, (const struct sockaddr *)from) ||
	    !mf_addr_eq(&ep.addr, &s->to) || len < head)
		return false;
	ret->is_error = false;
	return read_message(s, buf + head, len - head,
			    is_six(s) ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY, &ret->echo);
}

int mf_ping_socket_receive(struct mf_ping_socket *s, uint8_t *buf, struct mf_ping_answer *ret)
{
	int flags = MSG_DONTWAIT | MSG_ERRQUEUE;

	for (int i = 0; i < RECEIVE_MAX; i++) {
		_Alignas(struct cmsghdr) char control[512];
		struct sockaddr_storage from;
		struct iovec iov = { buf, MF_PING_ROOM };
		struct msghdr msg = { .msg_name = &from,
				      .msg_namelen = sizeof(from),
				      .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n;

		memset(&from, 0, sizeof(from));
		n = recvmsg(s->fd, &msg, flags);
		if (n < 0 && (flags & MSG_ERRQUEUE)) {
			flags = MSG_DONTWAIT;
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0) /* what the queue of errors says in full */
			continue;
		if (msg.msg_flags & MSG_TRUNC)
			continue;
		if (flags & MSG_ERRQUEUE ? read_error(s, &msg, buf, (size_t)n, ret)
					 : read_reply(s, &from, buf, (size_t)n, ret))
			return 1;
	}
	return 0;
}
