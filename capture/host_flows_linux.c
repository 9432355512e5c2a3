/* SPDX-License-Identifier: Apache-2.0 */
/* host_flows_linux.c - see host_flows.h; the kernel's table by netlink (ctnetlink), without a library */
#include "capture/host_flows.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BUF_SIZE = 32768,
	TUPLE_MAX = 128,
	TUPLES_MAX = 256, /* that are collected in one walk */
	WALKS_MAX = 256,
	SEEN_REPLY = 2, /* IPS_SEEN_REPLY, whose header clashes with libc's */
};

/* A flow as it began: what names it when it is to be deleted. */
struct tuple {
	uint8_t family;
	uint16_t len;
	uint8_t bytes[TUPLE_MAX]; /* the attribute CTA_TUPLE_ORIG, head and all */
};

struct walk {
	const uint16_t *ports;
	size_t port_cnt;
	bool answered;
	size_t cnt;
	struct tuple tuples[TUPLES_MAX];
};

/* An attribute of @type among those in @len bytes; NULL: none, or they are cut */
static const struct nlattr *find(const void *at, size_t len, unsigned type)
{
	const uint8_t *p = at;

	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)p;
		size_t step = NLA_ALIGN(a->nla_len);

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		if (step >= len)
			return NULL;
		p += step;
		len -= step;
	}
	return NULL;
}

static const struct nlattr *find_in(const struct nlattr *a, unsigned type)
{
	return a ? find((const uint8_t *)a + NLA_HDRLEN, a->nla_len - NLA_HDRLEN, type) : NULL;
}

static bool has_bytes(const struct nlattr *a, const void *bytes, size_t len)
{
	return a && a->nla_len >= NLA_HDRLEN + len &&
	       memcmp((const uint8_t *)a + NLA_HDRLEN, bytes, len) == 0;
}

/* Answers come from a port of ours on a loopback address: the reply's source. */
static bool is_ours(const struct walk *w, const struct nlattr *reply)
{
	static const uint8_t four[] = { 127, 0, 0, 1 }, six[16] = { [15] = 1 }, udp = IPPROTO_UDP;
	const struct nlattr *ip = find_in(reply, CTA_TUPLE_IP);
	const struct nlattr *proto = find_in(reply, CTA_TUPLE_PROTO);
	const struct nlattr *port = find_in(proto, CTA_PROTO_SRC_PORT);

	if (!has_bytes(find_in(proto, CTA_PROTO_NUM), &udp, 1) ||
	    (!has_bytes(find_in(ip, CTA_IP_V4_SRC), four, sizeof(four)) &&
	     !has_bytes(find_in(ip, CTA_IP_V6_SRC), six, sizeof(six))))
		return false;
	for (size_t i = 0; i < w->port_cnt; i++) {
		uint16_t be = htons(w->ports[i]);

		if (has_bytes(port, &be, sizeof(be)))
			return true;
	}
	return false;
}

static bool was_answered(const struct nlattr *status)
{
	uint32_t be = 0;

	if (status && status->nla_len >= NLA_HDRLEN + sizeof(be))
		memcpy(&be, (const uint8_t *)status + NLA_HDRLEN, sizeof(be));
	return ntohl(be) & SEEN_REPLY;
}

static void look_at(struct walk *w, const struct nlmsghdr *h)
{
	size_t head = NLMSG_ALIGN(sizeof(struct nfgenmsg));
	const struct nfgenmsg *nf = (const void *)((const uint8_t *)h + NLMSG_HDRLEN);
	const uint8_t *attrs = (const uint8_t *)nf + head;
	const struct nlattr *orig;
	struct tuple *t = &w->tuples[w->cnt];
	size_t len;

	if (h->nlmsg_len < NLMSG_HDRLEN + head || w->cnt == TUPLES_MAX)
		return;
	len = h->nlmsg_len - NLMSG_HDRLEN - head;
	orig = find(attrs, len, CTA_TUPLE_ORIG);
	if (w->answered && !was_answered(find(attrs, len, CTA_STATUS)))
		return;
	if (!orig || orig->nla_len > TUPLE_MAX || !is_ours(w, find(attrs, len, CTA_TUPLE_REPLY)))
		return;
	t->family = nf->nfgen_family;
	t->len = orig->nla_len;
	memcpy(t->bytes, orig, orig->nla_len);
	w->cnt++;
}

static bool send_message(int fd, uint16_t what, uint16_t flags, uint8_t family,
			 const struct tuple *t)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg nf;
		uint8_t attr[TUPLE_MAX];
	} m = { .h = { .nlmsg_len = NLMSG_LENGTH(sizeof(m.nf)),
		       .nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | what),
		       .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.nf = { .nfgen_family = family, .version = NFNETLINK_V0 } };

	if (t) {
		memcpy(m.attr, t->bytes, t->len);
		m.h.nlmsg_len += NLA_ALIGN(t->len);
	}
	return send(fd, &m, m.h.nlmsg_len, 0) == (ssize_t)m.h.nlmsg_len;
}

/* Return: whether the whole table was heard */
static bool hear(int fd, struct walk *w)
{
	static _Alignas(struct nlmsghdr) uint8_t buf[BUF_SIZE];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n <= 0)
			return false;
		for (const struct nlmsghdr *h = (const void *)buf;
		     left >= NLMSG_HDRLEN && h->nlmsg_len >= NLMSG_HDRLEN && h->nlmsg_len <= left;
		     h = (const void *)((const uint8_t *)h + NLMSG_ALIGN(h->nlmsg_len))) {
			if (h->nlmsg_type == NLMSG_DONE)
				return true;
			if (h->nlmsg_type == NLMSG_ERROR)
				return false;
			look_at(w, h);
			left -= NLMSG_ALIGN(h->nlmsg_len) < left ? NLMSG_ALIGN(h->nlmsg_len) : left;
		}
	}
}

void mf_host_flows_forget(const uint16_t *ports, size_t cnt, bool answered)
{
	static struct walk w; /* big */
	struct timeval limit = { .tv_sec = 2 };
	int fd = cnt ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER) : -1;

	if (fd < 0)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	for (unsigned i = 0; i < WALKS_MAX; i++) {
		w = (struct walk){ .ports = ports, .port_cnt = cnt, .answered = answered };
		if (!send_message(fd, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, NULL) ||
		    !hear(fd, &w) || !w.cnt)
			break;
		for (size_t k = 0; k < w.cnt; k++)
			(void)send_message(fd, IPCTNL_MSG_CT_DELETE, 0, w.tuples[k].family,
					   &w.tuples[k]);
	}
	close(fd);
}
