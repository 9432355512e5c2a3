/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_servers_linux.c - listening sockets by sock_diag(7), the ends of processes by pidfd
 *
 * A dump of the listeners of one family costs the kernel a walk over its (small) table of listeners and one or two datagrams;
 * nothing tells of a listen(), so the table is read again and again. The kernel can tell of closed sockets
 * (SKNLGRP_INET_TCP_DESTROY), but of all of them: every connection of the host would be paid for. A pidfd of each server's
 * process costs nothing until it ends. docs/internals/dev-servers.md has figures of both.
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxies/dev_linux.h"

#define DATAGRAM_MAX 32768 /* what the kernel writes at once, at most */

/* --- messages ------------------------------------------------------------------------------------------------------- */

/* What of a listener is in its attributes: whether :: leaves IPv4 out. */
static bool read_only_v6(struct mf_span attrs)
{
	while (attrs.len >= sizeof(struct rtattr)) {
		struct rtattr a;

		memcpy(&a, attrs.ptr, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > attrs.len)
			break;
		if (a.rta_type == INET_DIAG_SKV6ONLY && a.rta_len > sizeof(a))
			return attrs.ptr[RTA_LENGTH(0)];
		attrs = mf_span_sub(attrs, RTA_ALIGN(a.rta_len), attrs.len);
	}
	return false;
}

static bool read_listener(struct mf_span body, struct mf_dev_listener *ret)
{
	struct inet_diag_msg m;

	if (body.len < sizeof(m))
		return false;
	memcpy(&m, body.ptr, sizeof(m));
	if (m.idiag_state != TCP_LISTEN)
		return false;
	memset(ret, 0, sizeof(*ret));
	if (m.idiag_family != AF_INET && m.idiag_family != AF_INET6)
		return false;
	if (!mf_addr_from_bytes(&ret->at.addr, (const uint8_t *)m.id.idiag_src,
				m.idiag_family == AF_INET ? 4 : 16))
		return false;
	ret->at.port = ntohs(m.id.idiag_sport);
	ret->cookie = (uint64_t)m.id.idiag_cookie[1] << 32 | m.id.idiag_cookie[0];
	ret->inode = m.idiag_inode;
	ret->uid = m.idiag_uid;
	ret->only_v6 = m.idiag_family == AF_INET6 &&
		       read_only_v6(mf_span_sub(body, NLMSG_ALIGN(sizeof(m)), body.len));
	return true;
}

int mf_dev_netlink_read(struct mf_span bytes, struct mf_dev_listener *at, size_t *cnt, size_t max)
{
	while (bytes.len) {
		struct nlmsghdr h;
		struct mf_span body;
		struct mf_dev_listener l;

		if (bytes.len < sizeof(h))
			return MF_E_BAD;
		memcpy(&h, bytes.ptr, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > bytes.len)
			return MF_E_BAD;
		body = mf_span_sub(bytes, NLMSG_HDRLEN, h.nlmsg_len - NLMSG_HDRLEN);
		if (h.nlmsg_type == NLMSG_DONE)
			return 1;
		if (h.nlmsg_type == NLMSG_ERROR)
			return MF_E_IO;
		if (h.nlmsg_type == SOCK_DIAG_BY_FAMILY && read_listener(body, &l)) {
			if (*cnt < max)
				at[*cnt] = l;
			++*cnt;
		}
		bytes = mf_span_sub(bytes, NLMSG_ALIGN(h.nlmsg_len), bytes.len);
	}
	return 0;
}

/* --- the source ----------------------------------------------------------------------------------------------------- */

struct linux_source {
	int fd;
	uint32_t seq;
	_Alignas(struct nlmsghdr) uint8_t buf[DATAGRAM_MAX];
};

static int ask_for_listeners(struct linux_source *s, uint8_t family)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} m = {
		.head = { .nlmsg_len = sizeof(m),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			  .nlmsg_seq = ++s->seq },
		.req = { .sdiag_family = family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = 1u << TCP_LISTEN },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(s->fd, &m, sizeof(m), 0, (struct sockaddr *)&kernel, sizeof(kernel)) ==
			       (ssize_t)sizeof(m)
		       ? 0
		       : MF_E_IO;
}

/* The kernel writes as it is read: a dump never makes a reader wait. */
static int read_dump(struct linux_source *s, struct mf_dev_listener *ret, size_t *cnt, size_t max)
{
	for (;;) {
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(s->fd, s->buf, sizeof(s->buf), MSG_DONTWAIT | MSG_TRUNC,
				     (struct sockaddr *)&from, &from_len);
		int r;

		if (n < 0)
			return MF_E_IO;
		if (from.nl_pid != 0) /* not the kernel: anybody may send to a netlink socket */
			continue;
		if ((size_t)n > sizeof(s->buf))
			return MF_E_BAD;
		r = mf_dev_netlink_read(mf_span_of(s->buf, (size_t)n), ret, cnt, max);
		if (r != 0)
			return r < 0 ? r : 0;
	}
}

static int list(void *ctx, struct mf_dev_listener *ret, size_t max)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct linux_source *s = ctx;
	size_t cnt = 0;
	int refused = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(families); i++) {
		int r = ask_for_listeners(s, families[i]);

		if (r == 0)
			r = read_dump(s, ret, &cnt, max);
		if (r == MF_E_IO) /* a kernel without this family */
			refused++;
		else if (r < 0)
			return r;
	}
	return refused == (int)MF_ARRAY_SIZE(families) ? MF_E_IO : (int)cnt;
}

static int watch(void *ctx, uint32_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);

	(void)ctx;
	return fd < 0 ? MF_E_IO : fd; /* closed on exec by itself */
}

static void close_source(void *ctx)
{
	struct linux_source *s = ctx;

	close(s->fd);
	free(s);
}

int mf_dev_source_open(struct mf_dev_source *ret, struct mf_err *err)
{
	struct linux_source *s = calloc(1, sizeof(*s));

	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	if (s->fd < 0) {
		free(s);
		return mf_err_set(err, MF_E_IO,
				  "cannot ask the kernel for listening sockets (sock_diag): %s",
				  strerror(errno));
	}
	*ret = (struct mf_dev_source){ .list = list,
				       .look_up = mf_dev_owners_look_up,
				       .watch = watch,
				       .close = close_source,
				       .ctx = s,
				       .self_pid = (uint32_t)getpid(),
				       .self_uid = (uint32_t)geteuid() };
	return 0;
}
