/* SPDX-License-Identifier: Apache-2.0 */
/*
 * links_linux.c - the namespace's devices, their addresses and routes, and the sockets that live in it
 *
 * TPROXY: there is only lo, and `local default dev lo` says that every address is this machine's own. A packet for
 * anywhere is sent to lo and comes in again, where rules_linux.c has it; no mark, no policy routing, and no way out even
 * if the rules were gone. The route stands in the table local, which is looked up before all others.
 *
 * TUN: the default routes lead to a device whose other end the caller holds (tunlink_linux.c). Without the caller there is
 * no such device, and no route.
 *
 * Guests: as TPROXY, and a device by which their packets come in and go out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/internal_linux.h"
#include "capture/netlink_linux.h"

static int set_link(int fd, int index, bool up)
{
	struct mf_nl_request q;
	struct ifinfomsg *m = mf_nl_begin(&q, RTM_NEWLINK, 0, sizeof(*m));

	m->ifi_index = index;
	m->ifi_change = IFF_UP;
	m->ifi_flags = up ? IFF_UP : 0;
	return mf_nl_run(fd, &q);
}

static int add_address(int fd, int index, int family, const void *addr, size_t len)
{
	struct mf_nl_request q;
	struct ifaddrmsg *m = mf_nl_begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));

	m->ifa_family = (uint8_t)family;
	m->ifa_prefixlen = (uint8_t)(len * 8);
	m->ifa_index = (unsigned)index;
	m->ifa_flags = IFA_F_PERMANENT | (family == AF_INET6 ? IFA_F_NODAD : 0);
	mf_nl_add(&q, IFA_LOCAL, addr, len);
	mf_nl_add(&q, IFA_ADDRESS, addr, len);
	return mf_nl_run(fd, &q);
}

/* lo: everything is ours. Any other device: everything is behind it. */
static int add_default(int fd, int index, int family, const void *source, size_t len)
{
	struct mf_nl_request q;
	struct rtmsg *m = mf_nl_begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
	bool local = index == 1;

	m->rtm_family = (uint8_t)family;
	m->rtm_table = local ? RT_TABLE_LOCAL : RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = family == AF_INET6 ? RT_SCOPE_UNIVERSE
		       : local		  ? RT_SCOPE_HOST
					  : RT_SCOPE_LINK;
	m->rtm_type = local ? RTN_LOCAL : RTN_UNICAST;
	mf_nl_add(&q, RTA_OIF, &index, sizeof(index));
	mf_nl_add(&q, RTA_PREFSRC, source, len);
	return mf_nl_run(fd, &q);
}

/* IPv6 may be switched off for new namespaces; it is ours to switch on. */
static void enable_ipv6(void)
{
	static const char *const files[] = { "/proc/sys/net/ipv6/conf/all/disable_ipv6",
					     "/proc/sys/net/ipv6/conf/lo/disable_ipv6" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(files); i++) {
		char now;
		int fd = open(files[i], O_RDWR | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (read(fd, &now, 1) == 1 && now == '1' && pwrite(fd, "0\n", 2, 0) < 0)
			errno = 0; /* then adding the address says so */
		close(fd);
	}
}

static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Addresses and default routes of the device that everything goes to. Return: 0 or an errno with *what */
static int build_device(int fd, int index, bool has6, const char **what)
{
	struct in_addr own4;
	struct in6_addr own6;
	int e;

	inet_pton(AF_INET, MF_CAPTURE_OWN4, &own4);
	inet_pton(AF_INET6, MF_CAPTURE_OWN6, &own6);
	*what = "its IPv4 address and route";
	e = add_address(fd, index, AF_INET, &own4, sizeof(own4));
	if (e == 0)
		e = add_default(fd, index, AF_INET, &own4, sizeof(own4));
	if (e || !has6)
		return e;
	*what = "its IPv6 address and route";
	e = add_address(fd, index, AF_INET6, &own6, sizeof(own6));
	return e ? e : add_default(fd, index, AF_INET6, &own6, sizeof(own6));
}

/*
 * To the guests' networks leads their device, but the beginnings of them (what guests take for their router) are ours as everything
 * else is. These routes stand in the table local as well: what is longer than the default wins there, and every other table
 * would be looked up too late.
 */
static int add_net(int fd, int index, int family, const void *net, unsigned prefix)
{
	struct mf_nl_request q;
	struct rtmsg *m = mf_nl_begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
	bool local = index == 1;

	m->rtm_family = (uint8_t)family;
	m->rtm_dst_len = (uint8_t)prefix;
	m->rtm_table = RT_TABLE_LOCAL;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = family == AF_INET6 ? RT_SCOPE_UNIVERSE
		       : local		  ? RT_SCOPE_HOST
					  : RT_SCOPE_LINK;
	m->rtm_type = local ? RTN_LOCAL : RTN_UNICAST;
	mf_nl_add(&q, RTA_DST, net, family == AF_INET ? 4 : 16);
	mf_nl_add(&q, RTA_OIF, &index, sizeof(index));
	return mf_nl_run(fd, &q);
}

static int build_guests(int fd, const struct mf_capture_plan *plan, int *ret_fds,
			struct mf_err *err)
{
	const struct mf_capture_guests *g = plan->options->guests;
	uint8_t net6[16] = { 0 };
	int index, r = mf_capture_tun_make(fd, plan->options, plan->has6, ret_fds, &index, err), e;

	if (r < 0)
		return r;
	memcpy(net6, g->net6, sizeof(g->net6));
	e = add_net(fd, index, AF_INET, g->net4, 24);
	if (e == 0)
		e = add_net(fd, 1, AF_INET, g->net4, 29);
	if (e == 0 && plan->has6)
		e = add_net(fd, index, AF_INET6, net6, 48);
	if (e == 0 && plan->has6)
		e = add_net(fd, 1, AF_INET6, net6, 64);
	return e ? mf_err_set(err, mf_capture_errno_code(e), "cannot make the guests' routes: %s",
			      strerror(e))
		 : 0;
}

int mf_capture_links_build(struct mf_capture_plan *plan, int *ret_tun_fds, struct mf_err *err)
{
	int fd = mf_nl_open(NETLINK_ROUTE), e, r = 0, index = 1;
	const char *what = "IFF_UP";

	if (fd < 0)
		return mf_err_set(err, MF_E_IO, "cannot open a netlink socket: %s",
				  strerror(errno));
	plan->has6 = has_ipv6();
	if (plan->has6)
		enable_ipv6();
	e = set_link(fd, 1, true);
	if (e == 0 && plan->options->backend == MF_CAPTURE_TUN)
		r = mf_capture_tun_make(fd, plan->options, plan->has6, ret_tun_fds, &index, err);
	if (e == 0 && r == 0)
		e = build_device(fd, index, plan->has6, &what);
	if (e == 0 && r == 0 && plan->options->guests)
		r = build_guests(fd, plan, ret_tun_fds, err);
	close(fd);
	return e ? mf_err_set(err, mf_capture_errno_code(e),
			      "cannot give the session's device %s: %s", what, strerror(e))
		 : r;
}

static int set_on(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on));
}

/* One socket for both families; without IPv6 an IPv4 one. */
static int open_listener(int type, bool has6)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(MF_CAPTURE_PORT) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(MF_CAPTURE_PORT) };
	int fd = socket(has6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int off = 0, big = 1 << 20, r;

	if (fd < 0)
		return -1;
	r = set_on(fd, IPPROTO_IP, IP_TRANSPARENT);
	if (has6) {
		r |= set_on(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
		r |= setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	}
	if (type == SOCK_DGRAM) {
		r |= set_on(fd, IPPROTO_IP, IP_RECVORIGDSTADDR);
		if (has6)
			r |= set_on(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	}
	if (r == 0)
		r = has6 ? bind(fd, (struct sockaddr *)&any6, sizeof(any6))
			 : bind(fd, (struct sockaddr *)&any4, sizeof(any4));
	if (r == 0 && type == SOCK_STREAM)
		r = listen(fd, 4096);
	if (r == 0)
		return fd;
	close(fd);
	return -1;
}

static int join(int fd, const int *groups, size_t cnt)
{
	for (size_t i = 0; fd >= 0 && i < cnt; i++) {
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])) < 0) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

static int open_route_watch(bool has6)
{
	static const int groups[] = { RTNLGRP_LINK,	 RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
				      RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
				      RTNLGRP_IPV6_RULE };

	return join(mf_nl_open(NETLINK_ROUTE), groups, has6 ? 7 : 4);
}

static int open_nft_watch(void)
{
	static const int groups[] = { NFNLGRP_NFTABLES };

	return join(mf_nl_open(NETLINK_NETFILTER), groups, 1);
}

/* Packets that the rules refuse, their first 80 bytes. */
static int open_nflog(void)
{
	struct mf_nl_request q;
	struct nfgenmsg *m;
	struct nfulnl_msg_config_cmd bind_cmd = { NFULNL_CFG_CMD_BIND };
	struct nfulnl_msg_config_mode mode = { .copy_range = htonl(80),
					       .copy_mode = NFULNL_COPY_PACKET };
	uint32_t at_once = htonl(1); /* not in batches */
	int fd = mf_nl_open(NETLINK_NETFILTER);

	if (fd < 0)
		return -1;
	m = mf_nl_begin(&q, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, 0, sizeof(*m));
	m->res_id = htons(MF_CAPTURE_NFLOG_GROUP);
	mf_nl_add(&q, NFULA_CFG_CMD, &bind_cmd, sizeof(bind_cmd));
	mf_nl_add(&q, NFULA_CFG_MODE, &mode, sizeof(mode));
	mf_nl_add(&q, NFULA_CFG_QTHRESH, &at_once, sizeof(at_once));
	if (mf_nl_run(fd, &q) == 0)
		return fd;
	close(fd);
	return -1;
}

/* For sending only: nothing that arrives is queued. */
static int open_icmp(int family)
{
	bool six = family == AF_INET6;
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	uint32_t none[8];

	memset(none, 0xff, sizeof(none)); /* a set bit keeps its type out, in both filters */
	if (fd >= 0)
		(void)setsockopt(fd, six ? IPPROTO_ICMPV6 : SOL_RAW,
				 1 /* ICMP_FILTER, ICMPV6_FILTER */, none, six ? 32 : 4);
	return fd;
}

static int open_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int mf_capture_links_open(bool has6, int fds[static MF_CAPTURE_FD_TUN], struct mf_err *err)
{
	static const char *const names[] = {
		[MF_CAPTURE_FD_TCP] = "transparent TCP listener",
		[MF_CAPTURE_FD_UDP] = "transparent UDP listener",
		[MF_CAPTURE_FD_ROUTE] = "routing socket",
		[MF_CAPTURE_FD_STATE] = "second routing socket",
		[MF_CAPTURE_FD_ROUTE_WATCH] = "watch over links and routes",
		[MF_CAPTURE_FD_NFT_WATCH] = "watch over nftables rules",
		[MF_CAPTURE_FD_NFT] = "nftables socket",
		[MF_CAPTURE_FD_NFLOG] = "log of refused packets",
		[MF_CAPTURE_FD_DIAG] = "socket table",
		[MF_CAPTURE_FD_ICMP4] = "ICMP socket",
		[MF_CAPTURE_FD_ICMP6] = "ICMPv6 socket",
	};

	_Static_assert(MF_ARRAY_SIZE(names) == MF_CAPTURE_FD_TUN, "a name per descriptor");
	fds[MF_CAPTURE_FD_TCP] = open_listener(SOCK_STREAM, has6);
	fds[MF_CAPTURE_FD_UDP] = open_listener(SOCK_DGRAM, has6);
	fds[MF_CAPTURE_FD_ROUTE] = mf_nl_open(NETLINK_ROUTE);
	fds[MF_CAPTURE_FD_STATE] = mf_nl_open(NETLINK_ROUTE);
	fds[MF_CAPTURE_FD_ROUTE_WATCH] = open_route_watch(has6);
	fds[MF_CAPTURE_FD_NFT_WATCH] = open_nft_watch();
	fds[MF_CAPTURE_FD_NFT] = mf_nl_open(NETLINK_NETFILTER);
	fds[MF_CAPTURE_FD_NFLOG] = open_nflog();
	if (fds[MF_CAPTURE_FD_NFLOG] < 0)
		fds[MF_CAPTURE_FD_NFLOG] = open_null();
	fds[MF_CAPTURE_FD_DIAG] = mf_nl_open(NETLINK_SOCK_DIAG);
	fds[MF_CAPTURE_FD_ICMP4] = open_icmp(AF_INET);
	fds[MF_CAPTURE_FD_ICMP6] = has6 ? open_icmp(AF_INET6) : open_null();
	for (int i = 0; i < MF_CAPTURE_FD_TUN; i++)
		if (fds[i] < 0)
			return mf_err_set(err, MF_E_UNSUPPORTED, "cannot open the %s: %s", names[i],
					  strerror(errno));
	return 0;
}

int mf_capture_links_open_udp(int family)
{
	bool six = family == 6;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -1;
	/* Several flows to one server are several sockets with one address. */
	r = set_on(fd, SOL_SOCKET, SO_REUSEADDR);
	r |= six ? set_on(fd, IPPROTO_IPV6, IPV6_TRANSPARENT) |
			     set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY)
		 : set_on(fd, IPPROTO_IP, IP_TRANSPARENT);
	if (r == 0)
		return fd;
	close(fd);
	return -1;
}

#define LINKS_MAX 64

struct link_list {
	int index[LINKS_MAX];
	int cnt;
};

/* Return: 0 or MF_E_IO */
static int list_links(int fd, struct link_list *ret)
{
	char buf[16384] __attribute__((aligned(8)));
	struct mf_nl_request q;
	struct ifinfomsg *m = mf_nl_begin(&q, RTM_GETLINK, NLM_F_DUMP, sizeof(*m));

	m->ifi_family = AF_UNSPEC;
	if (send(fd, &q, q.h.nlmsg_len, 0) < 0)
		return MF_E_IO;
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return MF_E_IO;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			struct ifinfomsg *i = NLMSG_DATA(h);

			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type != RTM_NEWLINK)
				return MF_E_IO;
			if (ret->cnt < LINKS_MAX)
				ret->index[ret->cnt++] = i->ifi_index;
		}
	}
}

/* With lo down, IPv4 would go on to send into the void; so it is told. (IPv6 has lost its route with the device.) */
static int prohibit_all(int fd)
{
	struct mf_nl_request q;
	struct rtmsg *m = mf_nl_begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));

	m->rtm_family = AF_INET;
	m->rtm_table = RT_TABLE_LOCAL;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_type = RTN_PROHIBIT;
	return mf_nl_run(fd, &q);
}

int mf_capture_links_down(int route_fd)
{
	struct link_list l = { .cnt = 0 };
	int r = list_links(route_fd, &l);

	for (int i = 0; r >= 0 && i < l.cnt; i++) {
		int e = set_link(route_fd, l.index[i], false);

		if (e && e != ENODEV)
			r = MF_E_IO;
	}
	(void)prohibit_all(route_fd);
	return r;
}
