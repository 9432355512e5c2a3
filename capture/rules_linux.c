/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_linux.c - the rules that hand every flow to the listeners, or keep all else from the TUN device
 *
 * TPROXY: every address is local in the namespace, so each packet that anybody sends comes in again through lo: one chain at
 * prerouting sees them all. Order matters: loopback resolvers first, then what stays inside, then all the rest.
 */
#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "capture/internal_linux.h"
#include "core/base/strbuf.h"

#define STR_(x) #x
#define STR(x)	STR_(x)

/* The listeners themselves are out of reach by their own address: a flow has to have an original destination. */
#define INSIDE                                                                                    \
	"chain inside {\n"                                                                        \
	"tcp dport " STR(                                                                         \
		MF_CAPTURE_PORT) " reject with tcp reset\n"                                       \
				 "udp dport " STR(                                                \
					 MF_CAPTURE_PORT) " reject with icmpx admin-prohibited\n" \
							  "accept\n"                              \
							  "}\n"

/*
 * When nobody listens, tproxy finds no socket and the packet goes on to the next rule: refused at once. So is whatever
 * is neither TCP nor UDP: ping first of all, which the kernel would answer itself for every address.
 */
#define AWAY_BEGIN                                                                 \
	"chain away {\n"                                                           \
	"meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to 127.0.0.1:" STR( \
		MF_CAPTURE_PORT) " accept\n"
#define AWAY_V6                                                                 \
	"meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [::1]:" STR( \
		MF_CAPTURE_PORT) " accept\n"
#define LOG "limit rate 20/second log group " STR(MF_CAPTURE_NFLOG_GROUP) " snaplen 80\n"
#define AWAY_END                                   \
	"meta l4proto tcp reject with tcp reset\n" \
	"reject with icmpx admin-prohibited\n"     \
	"}\n"

/*
 * What a guest sends is away, whatever it is sent to; what no guest could have sent, or means this machine, is nothing. Pings of
 * what guests take for their router are answered by the kernel.
 */
#define GUEST_BEGIN                                                                    \
	"chain guest {\n"                                                              \
	"ip daddr { 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3, " MF_CAPTURE_OWN4 " } drop\n" \
	"ip6 daddr { ::/127, fe80::/10, ff00::/8, " MF_CAPTURE_OWN6 " } drop\n"
#define GUEST_END     \
	"goto away\n" \
	"}\n"
#define CAPTURE_BEGIN       \
	"chain capture {\n" \
	"type filter hook prerouting priority mangle; policy drop;\n"
#define CAPTURE_GUEST "iifname \"" MF_CAPTURE_GUEST_NAME "\" goto guest\n"
#define CAPTURE_END                                                   \
	"ip daddr 127.0.0.0/8 th dport 53 goto away\n"                \
	"ip6 daddr ::1 th dport 53 goto away\n"                       \
	"ip daddr { 127.0.0.0/8, " MF_CAPTURE_OWN4 " } goto inside\n" \
	"ip6 daddr { ::1, " MF_CAPTURE_OWN6 " } goto inside\n"        \
	"goto away\n"                                                 \
	"}\n"

/*
 * Multicast and broadcast have no one flow to decide about: refused where they are sent, so that sendto() fails at once.
 * Only UDP: the kernel's own group reports are nobody's attempt.
 */
#define OUT_BEGIN                                                \
	"chain out {\n"                                          \
	"type filter hook output priority filter;\n"             \
	"meta l4proto != udp accept\n"                           \
	"ip daddr { 224.0.0.0/4, 255.255.255.255 } goto group\n" \
	"ip6 daddr ff00::/8 goto group\n"                        \
	"}\n"
#define GROUP_BEGIN "chain group {\n"
#define GROUP_END \
	"drop\n"  \
	"}\n"

/*
 * TUN: what is sent to the device is looked at once it leaves, and what comes from there is the pipeline's: to one of our
 * own addresses and nothing else. On lo there is only what stays inside, and the loopback resolvers. A socket that
 * somebody tied to the device could send loopback addresses out through it: refused.
 * Of ICMP the errors go out, with which the session's kernel answers packets of the pipeline.
 */
#define TUN_IN                                                        \
	"chain tunnelled {\n"                                         \
	"ip daddr " MF_CAPTURE_OWN4 " accept\n"                       \
	"ip6 daddr " MF_CAPTURE_OWN6 " accept\n"                      \
	"drop\n"                                                      \
	"}\n"                                                         \
	"chain capture {\n"                                           \
	"type filter hook prerouting priority mangle; policy drop;\n" \
	"iifname \"" MF_CAPTURE_TUN_NAME "\" goto tunnelled\n"        \
	"ip daddr 127.0.0.0/8 th dport 53 goto away\n"                \
	"ip6 daddr ::1 th dport 53 goto away\n"                       \
	"ip daddr { 127.0.0.0/8, " MF_CAPTURE_OWN4 " } goto inside\n" \
	"ip6 daddr { ::1, " MF_CAPTURE_OWN6 " } goto inside\n"        \
	"}\n"
#define REFUSED_BEGIN "chain refused {\n"
#define REFUSED_END                                \
	"meta l4proto tcp reject with tcp reset\n" \
	"reject with icmpx admin-prohibited\n"     \
	"}\n"
#define TUN_OUT                                                                            \
	"chain leaving {\n"                                                                \
	"ip daddr 224.0.0.0/4 drop\n"                                                      \
	"ip6 daddr ff00::/8 drop\n"                                                        \
	"ip saddr 127.0.0.0/8 goto refused\n"                                              \
	"ip daddr { 0.0.0.0/8, 127.0.0.0/8 } goto refused\n"                               \
	"ip6 daddr { ::, ::1 } goto refused\n"                                             \
	"meta l4proto { tcp, udp } accept\n"                                               \
	"icmp type { destination-unreachable, time-exceeded, parameter-problem } accept\n" \
	"icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, "           \
	"parameter-problem } accept\n"                                                     \
	"goto refused\n"                                                                   \
	"}\n"                                                                              \
	"chain out {\n"                                                                    \
	"type filter hook output priority filter;\n"                                       \
	"meta l4proto udp ip daddr { 224.0.0.0/4, 255.255.255.255 } goto group\n"          \
	"meta l4proto udp ip6 daddr ff00::/8 goto group\n"                                 \
	"oifname \"" MF_CAPTURE_TUN_NAME "\" goto leaving\n"                               \
	"}\n"

static void write_guest(struct mf_strbuf *b, const struct mf_capture_guests *g)
{
	const uint8_t *a = g->net4, *p = g->net6;

	mf_strbuf_adds(b, GUEST_BEGIN);
	mf_strbuf_addf(b, "ip daddr %u.%u.%u.0/29 icmp type echo-request accept\n", a[0], a[1],
		       a[2]);
	mf_strbuf_addf(b, "ip6 daddr %x:%x:%x::/64 icmpv6 type echo-request accept\n",
		       (unsigned)p[0] << 8 | p[1], (unsigned)p[2] << 8 | p[3],
		       (unsigned)p[4] << 8 | p[5]);
	mf_strbuf_adds(b, GUEST_END);
}

static void write_capture(struct mf_strbuf *b, const struct mf_capture_guests *guests)
{
	if (guests)
		write_guest(b, guests);
	mf_strbuf_adds(b, CAPTURE_BEGIN);
	if (guests)
		mf_strbuf_adds(b, CAPTURE_GUEST);
	mf_strbuf_adds(b, CAPTURE_END);
}

static void write_rules(struct mf_strbuf *b, const struct mf_capture_options *o, bool has6,
			const char *log)
{
	const char *pieces[] = { INSIDE, AWAY_BEGIN, has6 ? AWAY_V6 : "",
				 log,	 AWAY_END,   GROUP_BEGIN,
				 log,	 GROUP_END };
	bool tun = o->backend == MF_CAPTURE_TUN;

	mf_strbuf_adds(b, "table inet moonfence {\n");
	for (size_t i = 0; i < MF_ARRAY_SIZE(pieces); i++)
		mf_strbuf_adds(b, pieces[i]);
	if (tun) {
		mf_strbuf_adds(b, REFUSED_BEGIN);
		mf_strbuf_adds(b, log);
		mf_strbuf_adds(b, REFUSED_END);
	}
	if (tun)
		mf_strbuf_adds(b, TUN_IN);
	else
		write_capture(b, o->guests);
	mf_strbuf_adds(b, tun ? TUN_OUT : OUT_BEGIN);
	mf_strbuf_adds(b, "}\n");
}

static int load(const struct mf_capture_options *o, bool has6, bool logs, struct mf_err *err)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	struct mf_strbuf text = MF_STRBUF_INIT(16384);
	int r = 0;

	write_rules(&text, o, has6, logs ? LOG : "");
	if (!nft || text.failed) {
		mf_strbuf_done(&text);
		if (nft)
			nft_ctx_free(nft);
		return mf_err_set(err, MF_E_UNSUPPORTED, "cannot talk to nftables");
	}
	nft_ctx_buffer_error(nft);
	nft_ctx_buffer_output(nft);
	if (nft_run_cmd_from_buffer(nft, text.str) != 0) {
		const char *why = nft_ctx_get_error_buffer(nft);

		r = mf_err_set(
			err, MF_E_UNSUPPORTED,
			"nftables refuses the session's rules (are the kernel modules nf_tables "
			"and nft_tproxy there?): %.*s",
			(int)strcspn(why, "\n"), why);
	}
	nft_ctx_free(nft);
	mf_strbuf_done(&text);
	return r;
}

int mf_capture_rules_load(const struct mf_capture_options *options, bool has6, bool *ret_logs,
			  struct mf_err *err)
{
	struct mf_err first;

	/* A kernel without nfnetlink_log still makes a tight fence: refused pings are then not seen in events. */
	*ret_logs = true;
	if (load(options, has6, true, &first) == 0)
		return 0;
	*ret_logs = false;
	return load(options, has6, false, err);
}

int mf_capture_rules_generation(int nft_fd, uint32_t *ret)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg m;
	} q = { .h = { .nlmsg_len = sizeof(q),
		       .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
		       .nlmsg_flags = NLM_F_REQUEST } };
	char buf[1024] __attribute__((aligned(8)));
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	ssize_t n;

	if (send(nft_fd, &q, sizeof(q), 0) < 0)
		return MF_E_IO;
	n = recv(nft_fd, buf, sizeof(buf), MSG_DONTWAIT); /* answered within send() */
	if (n < 0 || !NLMSG_OK(h, (size_t)n))
		return MF_E_IO;
	if (h->nlmsg_type == NLMSG_ERROR)
		return MF_E_PERM;
	for (struct nlattr *a = (struct nlattr *)((char *)NLMSG_DATA(h) + sizeof(struct nfgenmsg));
	     (char *)a + sizeof(*a) <= buf + n && a->nla_len >= sizeof(*a);
	     a = (struct nlattr *)((char *)a + NLMSG_ALIGN(a->nla_len))) {
		uint32_t be;

		if (a->nla_type != NFTA_GEN_ID || a->nla_len < sizeof(*a) + sizeof(be))
			continue;
		memcpy(&be, a + 1, sizeof(be));
		*ret = ntohl(be);
		return 0;
	}
	return MF_E_IO;
}
