/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_linux.c - the rules that hand every flow to the listeners
 *
 * Every address is local in the namespace, so each packet that anybody sends comes in again through lo: one chain at
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

#define CAPTURE                                                       \
	"chain capture {\n"                                           \
	"type filter hook prerouting priority mangle; policy drop;\n" \
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

static int load(bool has6, bool logs, struct mf_err *err)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	const char *log = logs ? LOG : "";
	char text[4096];
	int r = 0;

	if (!nft)
		return mf_err_set(err, MF_E_UNSUPPORTED, "cannot talk to nftables");
	snprintf(text, sizeof(text), "table inet moonfence {\n%s%s%s%s%s%s%s%s%s%s}\n", INSIDE,
		 AWAY_BEGIN, has6 ? AWAY_V6 : "", log, AWAY_END, CAPTURE, GROUP_BEGIN, log,
		 GROUP_END, OUT_BEGIN);
	nft_ctx_buffer_error(nft);
	nft_ctx_buffer_output(nft);
	if (nft_run_cmd_from_buffer(nft, text) != 0) {
		const char *why = nft_ctx_get_error_buffer(nft);

		r = mf_err_set(
			err, MF_E_UNSUPPORTED,
			"nftables refuses the session's rules (are the kernel modules nf_tables "
			"and nft_tproxy there?): %.*s",
			(int)strcspn(why, "\n"), why);
	}
	nft_ctx_free(nft);
	return r;
}

int mf_capture_rules_load(bool has6, bool *ret_logs, struct mf_err *err)
{
	struct mf_err first;

	/* A kernel without nfnetlink_log still makes a tight fence: refused pings are then not seen in events. */
	*ret_logs = true;
	if (load(has6, true, &first) == 0)
		return 0;
	*ret_logs = false;
	return load(has6, false, err);
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
