/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netstate_linux.c - what the namespace's network looks like, so that it can be compared with what was built
 *
 * How it works
 *
 * Four dumps (links, addresses, routes, rules; all families and tables) become a short list of entries, each a text for
 * people and a hash over all that matters in the kernel's message. What the kernel changes by itself is left out:
 * counters, cache ages, the flags of an address that is being checked, cloned routes, and the host route of our own
 * IPv6 address, which the kernel adds when its work queue gets to it. That route says no more than the default one.
 *
 * Everything is bounded: number of entries, number of reads. Nothing blocks: the kernel answers within send() and recv().
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "capture/internal_linux.h"
#include "core/base/hash.h"

#define READS_MAX 64 /* of 16 KiB, in one dump */
#define TRIES_MAX 3  /* when something changes while we look */
#define ATTRS_MAX 64 /* types above are not looked at by name, but hashed */
#define LINK_FLAGS                                                                          \
	(IFF_UP | IFF_BROADCAST | IFF_LOOPBACK | IFF_POINTOPOINT | IFF_NOARP | IFF_MASTER | \
	 IFF_SLAVE)

/* The attributes of one message by type. */
struct attrs {
	struct rtattr *by_type[ATTRS_MAX];
};

static uint32_t attr_u32(const struct attrs *t, unsigned type, uint32_t otherwise)
{
	uint32_t v = otherwise;

	if (t->by_type[type] && RTA_PAYLOAD(t->by_type[type]) >= sizeof(v))
		memcpy(&v, RTA_DATA(t->by_type[type]), sizeof(v));
	return v;
}

/* "10.0.0.0/8", "default" for no address */
static const char *attr_prefix(const struct attrs *t, unsigned type, unsigned len, char *buf,
			       size_t size)
{
	struct rtattr *a = t->by_type[type];
	char text[MF_ADDR_TEXT_MAX];
	struct mf_addr addr;

	if (!a || !mf_addr_from_bytes(&addr, RTA_DATA(a), RTA_PAYLOAD(a)))
		snprintf(buf, size, len ? "?/%u" : "default", len);
	else
		snprintf(buf, size, "%s/%u", mf_addr_format(&addr, text, sizeof(text)), len);
	return buf;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* One message of each kind: false to leave it out; true with its text and with what matters left in the header      */

static bool take_link(void *head, const struct attrs *t, char *text, size_t size)
{
	struct ifinfomsg *m = head;
	struct rtattr *name = t->by_type[IFLA_IFNAME];

	m->ifi_flags &= LINK_FLAGS;
	m->ifi_change = 0;
	snprintf(text, size, "the device %.*s", name ? (int)RTA_PAYLOAD(name) : 1,
		 name ? (const char *)RTA_DATA(name) : "?");
	return true;
}

static bool take_address(void *head, const struct attrs *t, char *text, size_t size)
{
	struct ifaddrmsg *m = head;
	char buf[64];

	m->ifa_flags = 0; /* tentative, permanent: the kernel's business */
	snprintf(text, size, "the address %s of device %u",
		 attr_prefix(t, t->by_type[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS, m->ifa_prefixlen,
			     buf, sizeof(buf)),
		 (unsigned)m->ifa_index);
	return true;
}

static bool is_own_host_route(const struct rtmsg *m, const struct attrs *t)
{
	struct rtattr *dst = t->by_type[RTA_DST];
	struct in6_addr own;

	inet_pton(AF_INET6, MF_CAPTURE_OWN6, &own);
	return m->rtm_family == AF_INET6 && m->rtm_type == RTN_LOCAL && m->rtm_dst_len == 128 &&
	       dst && RTA_PAYLOAD(dst) == sizeof(own) &&
	       memcmp(RTA_DATA(dst), &own, sizeof(own)) == 0;
}

static bool take_route(void *head, const struct attrs *t, char *text, size_t size)
{
	static const char *const types[] = { "",	 "",	       "local ",     "broadcast ",
					     "anycast ", "multicast ", "blackhole ", "unreachable ",
					     "prohibit " };
	struct rtmsg *m = head;
	char buf[64];

	if (m->rtm_flags & RTM_F_CLONED || is_own_host_route(m, t))
		return false;
	m->rtm_flags = 0;
	snprintf(text, size, "the %sroute to %s in table %u",
		 m->rtm_type < MF_ARRAY_SIZE(types) ? types[m->rtm_type] : "",
		 attr_prefix(t, RTA_DST, m->rtm_dst_len, buf, sizeof(buf)),
		 (unsigned)attr_u32(t, RTA_TABLE, m->rtm_table));
	return true;
}

static bool take_rule(void *head, const struct attrs *t, char *text, size_t size)
{
	const struct fib_rule_hdr *m = head;

	snprintf(text, size, "the routing rule of priority %u to table %u",
		 (unsigned)attr_u32(t, FRA_PRIORITY, 0),
		 (unsigned)attr_u32(t, FRA_TABLE, m->table));
	return true;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Dumps                                                                                                            */

static const struct kind {
	uint16_t ask, answer;
	uint16_t head_len;
	bool (*take)(void *head, const struct attrs *t, char *text, size_t size);
	uint64_t only, without; /* attributes that count, as bits by type; only 0: all */
} kinds[] = {
	{ RTM_GETLINK, RTM_NEWLINK, sizeof(struct ifinfomsg), take_link,
	  1ull << IFLA_IFNAME | 1ull << IFLA_MTU | 1ull << IFLA_LINK | 1ull << IFLA_MASTER |
		  1ull << IFLA_LINK_NETNSID | 1ull << IFLA_XDP,
	  0 },
	{ RTM_GETADDR, RTM_NEWADDR, sizeof(struct ifaddrmsg), take_address, 0,
	  1ull << IFA_CACHEINFO | 1ull << IFA_FLAGS },
	{ RTM_GETROUTE, RTM_NEWROUTE, sizeof(struct rtmsg), take_route, 0, 1ull << RTA_CACHEINFO },
	{ RTM_GETRULE, RTM_NEWRULE, sizeof(struct fib_rule_hdr), take_rule, 0, 0 },
};

static bool counts(const struct kind *k, unsigned type)
{
	uint64_t bit = type < 64 ? 1ull << type : 0;

	return k->only ? (k->only & bit) != 0 : !(k->without & bit);
}

/* Return: false when the list is full */
static bool take(const struct kind *k, struct nlmsghdr *h, struct mf_capture_netstate *s)
{
	uint8_t *head = NLMSG_DATA(h);
	struct rtattr *first = (struct rtattr *)(head + NLMSG_ALIGN(k->head_len));
	int room = (int)h->nlmsg_len - (int)NLMSG_SPACE(k->head_len), left = room;
	struct mf_capture_netstate_entry *e = &s->v[s->cnt];
	struct attrs t = { 0 };

	if (room < 0)
		return true;
	for (struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) < ATTRS_MAX)
			t.by_type[a->rta_type & NLA_TYPE_MASK] = a;
	if (s->cnt == MF_CAPTURE_STATE_MAX) {
		s->more = true;
		return false;
	}
	if (!k->take(head, &t, e->text, sizeof(e->text)))
		return true;
	e->hash = mf_hash_bytes(head, k->head_len, mf_hash_u64(k->answer, s->seed));
	left = room;
	for (struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (counts(k, a->rta_type & NLA_TYPE_MASK))
			e->hash = mf_hash_bytes(RTA_DATA(a), RTA_PAYLOAD(a),
						mf_hash_u64(a->rta_type, e->hash));
	s->cnt++;
	return true;
}

static int ask(int fd, const struct kind *k, uint32_t seq)
{
	struct {
		struct nlmsghdr h;
		char head[32];
	} q = { .h = { .nlmsg_len = NLMSG_LENGTH(k->head_len),
		       .nlmsg_type = k->ask,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		       .nlmsg_seq = seq } };

	return send(fd, &q, q.h.nlmsg_len, 0) < 0 ? MF_E_IO : 0;
}

/* Return: 0, MF_E_AGAIN (changed while being read), MF_E_IO */
static int dump(int fd, const struct kind *k, uint32_t seq, struct mf_capture_netstate *s)
{
	char buf[16384] __attribute__((aligned(8)));
	bool torn = false;

	if (ask(fd, k, seq) < 0)
		return MF_E_IO;
	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return MF_E_IO;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_seq != seq)
				continue;
			torn = torn || h->nlmsg_flags & NLM_F_DUMP_INTR;
			if (h->nlmsg_type == NLMSG_DONE)
				return torn ? MF_E_AGAIN : 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return MF_E_IO;
			if (h->nlmsg_type == k->answer && !take(k, h, s))
				return 0;
		}
	}
	s->more = true;
	return 0;
}

int mf_capture_netstate_read(int fd, uint64_t seed, uint32_t *seq, struct mf_capture_netstate *ret)
{
	int r = MF_E_AGAIN;

	for (int i = 0; i < TRIES_MAX && r == MF_E_AGAIN; i++) {
		ret->seed = seed;
		ret->cnt = 0;
		ret->more = false;
		r = 0;
		for (size_t k = 0; k < MF_ARRAY_SIZE(kinds) && r == 0 && !ret->more; k++)
			r = dump(fd, &kinds[k], ++*seq, ret);
	}
	return r;
}

static const struct mf_capture_netstate_entry *find_missing(const struct mf_capture_netstate *from,
							    const struct mf_capture_netstate *in)
{
	for (size_t i = 0; i < from->cnt; i++) {
		size_t j = 0;

		while (j < in->cnt && in->v[j].hash != from->v[i].hash)
			j++;
		if (j == in->cnt)
			return &from->v[i];
	}
	return NULL;
}

bool mf_capture_netstate_differs(const struct mf_capture_netstate *built,
				 const struct mf_capture_netstate *now, char *text, size_t size)
{
	const struct mf_capture_netstate_entry *came = find_missing(now, built);
	const struct mf_capture_netstate_entry *went = find_missing(built, now);

	if (came && went && strcmp(came->text, went->text) == 0)
		snprintf(text, size, "%s was changed", came->text);
	else if (came)
		snprintf(text, size, "%s appeared", came->text);
	else if (went)
		snprintf(text, size, "%s is gone", went->text);
	else if (now->more || now->cnt != built->cnt)
		snprintf(text, size, "%zu entries are where %zu were", now->cnt, built->cnt);
	else
		return false;
	return true;
}
