/* SPDX-License-Identifier: Apache-2.0 */
/* host_redirect_linux.c - see host_redirect.h */
#include "capture/host_redirect.h"

#include <arpa/inet.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/strbuf.h"

#define TABLE	 "inet moonfence_forward"
#define TEXT_MAX 16384
enum { BRIEF_S = 5 };
#define ORIG_DST6 80 /* IP6T_SO_ORIGINAL_DST; its header clashes with netinet/in.h */

struct mf_host_redirect {
	struct nft_ctx *nft; /* its socket owns the table */
	bool owned;
	bool brief; /* the kernel forgets redirected datagrams soon */
};

static struct nft_ctx *open_nft(void)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

	if (nft) {
		nft_ctx_buffer_error(nft);
		nft_ctx_buffer_output(nft);
	}
	return nft;
}

static void write_family(struct mf_strbuf *b, const struct mf_host_redirect_options *o,
			 const char *family, uint16_t port)
{
	if (port)
		mf_strbuf_addf(b,
			       "meta nfproto %s tcp dport %s redirect to :%u comment "
			       "\"moonfence proxy\"\n",
			       family, o->http ? "{ 80, 443 }" : "443", port);
}

static void write_users(struct mf_strbuf *b, const struct mf_host_redirect_options *o)
{
	if (!o->uid_cnt)
		return;
	mf_strbuf_adds(b, "meta skuid != { ");
	for (size_t i = 0; i < o->uid_cnt; i++)
		mf_strbuf_addf(b, "%s%u", i ? ", " : "", o->uids[i]);
	mf_strbuf_adds(b, " } accept\n");
}

/* However we end, a flow that leads to a port of ours is to be forgotten soon after: hardly anybody asks for longer. */
static void write_brief(struct mf_strbuf *b)
{
	for (unsigned six = 0; six < 2; six++)
		mf_strbuf_addf(b,
			       "ct timeout brief%s {\nprotocol udp; l3proto %s; "
			       "policy = { unreplied : %d, replied : %d };\n}\n",
			       six ? "6" : "4", six ? "ip6" : "ip", BRIEF_S, BRIEF_S);
}

static void write_dns(struct mf_strbuf *b, const struct mf_host_redirect_dns *d, bool brief)
{
	bool six = d->resolver.family == 6;
	char text[MF_ADDR_TEXT_MAX];

	mf_addr_format(&d->resolver, text, sizeof(text));
	for (unsigned tcp = 0; tcp < 2; tcp++)
		mf_strbuf_addf(
			b,
			"%s daddr %s %s dport 53 %s%sredirect to :%u comment \"moonfence proxy\"\n",
			six ? "ip6" : "ip", text, tcp ? "tcp" : "udp",
			tcp || !brief ? "" : "ct timeout set ",
			tcp || !brief ? ""
			: six	      ? "\"brief6\" "
				      : "\"brief4\" ",
			d->port);
}

/* Of the first load, adding and deleting makes the deletion good whether there is a table or not. */
static void write_rules(struct mf_strbuf *b, const struct mf_host_redirect *r,
			const struct mf_host_redirect_options *o, bool change)
{
	mf_strbuf_adds(b, change ? "flush chain " TABLE " out\n"
				 : "add table " TABLE "\ndelete table " TABLE "\n");
	mf_strbuf_addf(b, "table " TABLE " {\n%s", r->owned ? "flags owner;\n" : "");
	if (r->brief)
		write_brief(b);
	mf_strbuf_addf(b,
		       "chain out {\n"
		       "type nat hook output priority -100; policy accept;\n"
		       "meta skuid %u accept comment \"what the proxy dials\"\n",
		       o->exempt_uid);
	write_users(b, o);
	for (size_t i = 0; i < o->dns_cnt; i++)
		write_dns(b, &o->dns[i], r->brief);
	write_family(b, o, "ipv4", o->port4);
	write_family(b, o, "ipv6", o->port6);
	mf_strbuf_adds(b, "}\n}\n");
}

/* --- flows from before us ------------------------------------------------------------------------------------------- */

struct stale {
	const struct mf_host_redirect_options *o;
	struct nfct_handle *asker, *remover;
	unsigned family;
};

static uint16_t find_port(const struct stale *s, const struct nf_conntrack *ct)
{
	struct mf_addr to = { .family = s->family == AF_INET6 ? 6 : 4 };
	const void *bytes =
		nfct_get_attr(ct, s->family == AF_INET6 ? ATTR_ORIG_IPV6_DST : ATTR_ORIG_IPV4_DST);

	if (!bytes || nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO) != IPPROTO_UDP ||
	    nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST) != htons(53))
		return 0;
	memcpy(to.bytes, bytes, s->family == AF_INET6 ? 16 : 4);
	for (size_t i = 0; i < s->o->dns_cnt; i++)
		if (mf_addr_eq(&s->o->dns[i].resolver, &to))
			return s->o->dns[i].port;
	return 0;
}

static int on_flow(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *ctx)
{
	struct stale *s = ctx;
	uint32_t status = nfct_get_attr_u32(ct, ATTR_STATUS);
	uint16_t port = find_port(s, ct);

	(void)type;
	/* What has no answer yet is left to get it, unless it went to listeners of somebody who was here before. */
	if (port &&
	    ((status & IPS_DST_NAT) ? nfct_get_attr_u16(ct, ATTR_REPL_PORT_SRC) != htons(port)
				    : (status & IPS_SEEN_REPLY) != 0))
		(void)nfct_query(s->remover, NFCT_Q_DESTROY, ct);
	return NFCT_CB_CONTINUE;
}

/*
 * The kernel asks rules about a flow's first packet only. A program that keeps its socket, or a port that is used again within
 * half a minute, would go on past us; so flows of that kind begin anew. That is for datagrams: a connection that is there stays.
 * Where it fails there are those flows for a while, no more.
 */
static void forget_flows(const struct mf_host_redirect_options *o)
{
	static const uint32_t families[] = { AF_INET, AF_INET6 };
	struct stale s = { .o = o };

	if (!o->dns_cnt)
		return;
	s.asker = nfct_open(CONNTRACK, 0);
	s.remover = nfct_open(CONNTRACK, 0);
	if (s.asker && s.remover) {
		nfct_callback_register(s.asker, NFCT_T_ALL, on_flow, &s);
		for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
			s.family = families[i];
			(void)nfct_query(s.asker, NFCT_Q_DUMP, &families[i]);
		}
	}
	if (s.asker)
		nfct_close(s.asker);
	if (s.remover)
		nfct_close(s.remover);
}

/* --- rules ---------------------------------------------------------------------------------------------------------- */

/* Return: the error's first line in *@err, as nftables has it */
static int load(struct mf_host_redirect *r, const struct mf_host_redirect_options *o, bool change,
		struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(TEXT_MAX);
	const char *why;
	int rc = 0;

	write_rules(&text, r, o, change);
	if (text.failed)
		rc = mf_err_set(err, MF_E_NOMEM, "no memory for the rules");
	else if (nft_run_cmd_from_buffer(r->nft, text.str) != 0) {
		why = nft_ctx_get_error_buffer(r->nft);
		rc = mf_err_set(err, MF_E_UNSUPPORTED,
				"nftables refuses the rules that redirect connections (are the "
				"modules nf_tables and nft_redir there?): %.*s",
				(int)strcspn(why, "\n"), why);
	} else {
		forget_flows(o);
	}
	mf_strbuf_done(&text);
	return rc;
}

int mf_host_redirect_open(const struct mf_host_redirect_options *o, struct mf_host_redirect **ret,
			  struct mf_err *err)
{
	struct mf_host_redirect *r;
	int rc = 0;

	if (!o->port4 && !o->port6)
		return mf_err_set(err, MF_E_INVAL, "no listener to redirect to");
	r = calloc(1, sizeof(*r));
	if (r)
		r->nft = open_nft();
	if (!r || !r->nft) {
		free(r);
		return mf_err_set(err, MF_E_UNSUPPORTED, "cannot talk to nftables");
	}
	/* kernels know no time-outs of rules, or no owners, or neither */
	for (unsigned without = 0; without < 4; without++) {
		r->brief = !(without & 1);
		r->owned = !(without & 2);
		rc = load(r, o, false, err);
		if (rc != MF_E_UNSUPPORTED)
			break;
	}
	if (rc < 0) {
		nft_ctx_free(r->nft);
		free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

int mf_host_redirect_change(struct mf_host_redirect *r, const struct mf_host_redirect_options *o,
			    struct mf_err *err)
{
	return load(r, o, true, err);
}

void mf_host_redirect_stop(struct mf_host_redirect *r)
{
	if (r && nft_run_cmd_from_buffer(r->nft, "flush chain " TABLE " out\n") != 0)
		(void)nft_run_cmd_from_buffer(r->nft, "delete table " TABLE "\n");
}

void mf_host_redirect_close(struct mf_host_redirect *r)
{
	if (!r)
		return;
	(void)nft_run_cmd_from_buffer(r->nft, "delete table " TABLE "\n");
	nft_ctx_free(r->nft);
	free(r);
}

bool mf_host_redirect_is_owned(const struct mf_host_redirect *r)
{
	return r->owned;
}

static bool is_listed(struct nft_ctx *nft)
{
	return nft_run_cmd_from_buffer(nft, "list chain " TABLE " out\n") == 0 &&
	       strstr(nft_ctx_get_output_buffer(nft), "redirect to :");
}

bool mf_host_redirect_is_there(struct mf_host_redirect *r)
{
	return is_listed(r->nft);
}

int mf_host_redirect_list(void)
{
	struct nft_ctx *nft = open_nft();
	bool there;

	if (!nft)
		return MF_E_UNSUPPORTED;
	there = is_listed(nft);
	nft_ctx_free(nft);
	return there;
}

int mf_host_redirect_find_original(void *unused, int fd, const struct mf_endpoint *local,
				   struct mf_endpoint *ret)
{
	struct sockaddr_storage was;
	socklen_t len = sizeof(was);
	bool v4 = local->addr.family == 4;

	(void)unused;
	if (getsockopt(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? SO_ORIGINAL_DST : ORIG_DST6, &was, &len) <
		    0 ||
	    !mf_endpoint_from_sockaddr(ret, (struct sockaddr *)&was))
		return MF_E_NOENT;
	/* with rules loaded, a connection to the listener itself has an answer, too */
	if (ret->port == local->port && mf_addr_eq(&ret->addr, &local->addr))
		return MF_E_NOENT;
	return 0;
}
