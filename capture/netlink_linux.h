/* SPDX-License-Identifier: Apache-2.0 */
/* netlink_linux.h - requests to the kernel over netlink, one at a time, for the files that build the namespace */
#ifndef MF_CAPTURE_NETLINK_LINUX_H
#define MF_CAPTURE_NETLINK_LINUX_H

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct mf_nl_request {
	struct nlmsghdr h;
	char room[512];
};

static inline void *mf_nl_begin(struct mf_nl_request *q, uint16_t type, uint16_t flags,
				size_t head_len)
{
	memset(q, 0, sizeof(*q));
	q->h.nlmsg_type = type;
	q->h.nlmsg_flags = NLM_F_REQUEST | flags;
	q->h.nlmsg_len = (uint32_t)NLMSG_LENGTH(head_len);
	return NLMSG_DATA(&q->h);
}

static inline void mf_nl_add(struct mf_nl_request *q, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	q->h.nlmsg_len = NLMSG_ALIGN(q->h.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
}

/* Send and wait for the kernel's answer, which is there when send() returns. Return: 0 or an errno */
static inline int mf_nl_run(int fd, struct mf_nl_request *q)
{
	char buf[4096] __attribute__((aligned(8)));

	q->h.nlmsg_flags |= NLM_F_ACK;
	if (send(fd, q, q->h.nlmsg_len, 0) < 0)
		return errno;
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (NLMSG_OK(h, (size_t)n) && h->nlmsg_type == NLMSG_ERROR)
			return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
	}
}

static inline int mf_nl_open(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };

	if (fd >= 0 && bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

#endif
