/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - putting the proxies of a session together, and taking them apart */
#include "proxies/proxy.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#include "proxies/dns_proxy.h"
#include "proxies/hostconf.h"
#include "proxies/proxy_int.h"
#include "proxies/reevaluate.h"
#include "proxies/service_gateway.h"
#include "proxies/tls_sessions.h"

static void set_defaults(struct mf_proxy_options *o)
{
	struct {
		uint32_t *value, fallback;
	} numbers[] = {
		{ &o->hello_timeout_ms, 5000 },	    { &o->dial_timeout_ms, 10000 },
		{ &o->denial_grace_ms, 100 },	    { &o->tcp_idle_ms, 7200000 },
		{ &o->udp_idle_ms, 60000 },	    { &o->dns_timeout_ms, 2000 },
		{ &o->tcp_connections_max, 65536 }, { &o->udp_flows_max, 4096 },
		{ &o->dns_inflight_max, 512 },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(numbers); i++)
		if (*numbers[i].value == 0)
			*numbers[i].value = numbers[i].fallback;
}

static int start_parts(struct mf_proxy *p, struct mf_err *err)
{
	int r;

	p->timeouts = mf_timeouts_new(p->base);
	p->asker.request = mf_request_new(MF_CONNECT);
	if (!p->timeouts || !p->asker.request || mf_relay_pool_init(&p->pool, 0) < 0)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the proxies");
	p->pool.no_pipes = p->opt.copy_only;
	if (!p->opt.hosts_file)
		p->opt.hosts_file = mf_hostconf_hosts_file(p->hosts_file, sizeof(p->hosts_file));
	if (!p->opt.hosts_file)
		p->opt.hosts_file = "";
	r = mf_held_start(p, err);
	if (r == 0)
		r = mf_dns_upstream_new(p, &p->upstream, err);
	if (r == 0)
		r = mf_dns_proxy_new(p, &p->dns, err);
	if (r == 0 && !p->opt.names_only)
		r = mf_tcp_proxy_new(p, &p->tcp, err);
	if (r == 0 && !p->opt.names_only && (!p->opt.given_only || p->opt.datagrams_given))
		r = mf_udp_proxy_new(p, &p->udp, err);
	if (r == 0 && p->opt.services)
		r = mf_service_gateway_new(p, &p->gateway, err);
	if (r == 0)
		r = mf_reevaluate_start(p, err);
	return r;
}

int mf_proxy_start(struct event_base *base, struct mf_session *session,
		   const struct mf_proxy_options *options, struct mf_proxy **ret_proxy,
		   struct mf_err *err)
{
	struct mf_proxy *p;
	int r;

	if (!base || !session || options->size != sizeof(*options) ||
	    (!session->vm && (!options->router || options->router_asks || options->udp_fd_cnt)))
		return mf_err_set(
			err, MF_E_INVAL,
			"the proxies need a loop, a session with a VM, and their options");
	if ((!options->tcp_fd_cnt && !options->udp_fd_cnt && !options->names_only &&
	     !options->given_only) ||
	    options->tcp_fd_cnt > MF_PROXY_LISTENERS_MAX ||
	    options->udp_fd_cnt > MF_PROXY_LISTENERS_MAX ||
	    options->dns_server_cnt > MF_PROXY_DNS_SERVERS_MAX)
		return mf_err_set(err, MF_E_INVAL,
				  "the proxies need a listener, at most %d of each protocol, and "
				  "at most %d DNS servers",
				  MF_PROXY_LISTENERS_MAX, MF_PROXY_DNS_SERVERS_MAX);
	if (mf_sock_start() < 0)
		return mf_err_set(err, MF_E_UNSUPPORTED, "this system has no sockets");
	p = calloc(1, sizeof(*p));
	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the proxies");
	p->base = base;
	p->session = session;
	p->asker.session = session;
	p->opt = *options;
	set_defaults(&p->opt);
	p->together = options->together ? options->together : &p->alone;
	r = start_parts(p, err);
	if (r < 0) {
		mf_proxy_stop(p);
		return r;
	}
	*ret_proxy = p;
	return 0;
}

void mf_proxy_stop(struct mf_proxy *p)
{
	if (!p)
		return;
	mf_reevaluate_stop(p);
	mf_tcp_proxy_free(p->tcp);
	mf_udp_proxy_free(p->udp);
	mf_icmp_proxy_free(p->icmp);
	mf_service_gateway_free(p->gateway);
	mf_dns_proxy_free(p->dns);
	mf_held_stop(p);
	mf_dns_upstream_free(p->upstream);
	mf_timeouts_free(p->timeouts);
	mf_request_free(p->asker.request);
	mf_relay_pool_done(&p->pool);
	mf_judged_free(p->judged);
	SSL_CTX_free(p->tls_upstream);
	SSL_CTX_free(p->tls_servers);
	mf_tls_sessions_free(p->tls_sessions);
	SSL_CTX_free(p->tls_unverified);
	free(p);
}

void mf_proxy_cut(struct mf_proxy *p, const char *reason)
{
	p->cut = reason ? reason : "cut";
	if (p->opt.names_only)
		return;
	mf_tcp_proxy_cut(p->tcp);
	if (p->udp)
		mf_udp_proxy_cut(p->udp);
	if (p->icmp)
		mf_icmp_proxy_cut(p->icmp);
	mf_service_gateway_cut(p->gateway);
}

void mf_proxy_take_datagram(struct mf_proxy *p, const struct mf_session_flow *flow,
			    uint8_t *payload, size_t len)
{
	if (!p->cut && p->udp)
		mf_udp_proxy_take(p->udp, flow, payload, len);
}

void mf_proxy_take_echo(struct mf_proxy *p, const struct mf_session_flow *flow,
			const struct mf_session_echo *echo)
{
	if (!p->cut)
		mf_icmp_proxy_take(p, flow, echo);
}

void mf_proxy_forget_client(struct mf_proxy *p, const struct mf_addr *client)
{
	if (p->udp)
		mf_udp_proxy_forget(p->udp, client);
	if (p->icmp)
		mf_icmp_proxy_forget(p->icmp, client);
}

void mf_proxy_take_names(struct mf_proxy *p, int fd, const struct mf_session_flow *flow)
{
	if (p->cut)
		mf_sock_reset(fd);
	else
		mf_dns_tcp_serve(p->dns, fd, flow);
}

void mf_proxy_get_stats(const struct mf_proxy *p, struct mf_proxy_stats *ret)
{
	size_t size = ret->size < sizeof(*ret) ? ret->size : sizeof(*ret);

	memcpy(ret, &p->stats, size);
	ret->size = size;
}
