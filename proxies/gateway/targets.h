/* SPDX-License-Identifier: Apache-2.0 */
/*
 * targets.h - where browsers may go, in words that need no policy: lists of ports, hosts and networks in front of connect
 *
 * It only refuses: what it lets through is the policies' to decide. Hosts are as the browser asked for them: an exact name, "*.example.com" for
 * what is below example.com, an address or a network for what was asked for as an address, in whatever spelling (host.h).
 */
#ifndef MF_PROXIES_GATEWAY_TARGETS_H
#define MF_PROXIES_GATEWAY_TARGETS_H

#include "core/match/cidr_set.h"
#include "proxies/gateway/host.h"

enum { MF_GW_PORT_RANGES_MAX = 64, MF_GW_HOSTS_MAX = 256 };

struct mf_gw_ports {
	bool is_set; /* else any; a list that is set and empty is none */
	size_t cnt;
	struct {
		uint16_t from, to;
	} all[MF_GW_PORT_RANGES_MAX];
};

struct mf_gw_host_pattern {
	struct mf_cidr net;	 /* family 0: a name */
	bool below;		 /* "*.name" */
	char name[MF_NAME_ROOM]; /* canonical */
};

struct mf_gw_host_list {
	size_t cnt;
	struct mf_gw_host_pattern all[MF_GW_HOSTS_MAX];
};

struct mf_gw_networks {
	size_t cnt;
	struct mf_cidr all[MF_GW_PORT_RANGES_MAX];
};

struct mf_gateway_targets {
	struct mf_gw_ports tcp_ports, udp_ports, udp_denied_ports;
	struct mf_gw_host_list blocked, allowed; /* of TCP; allowed: none: any */
	bool names_only;			 /* of TCP: no addresses */
	struct mf_gw_networks udp_networks, udp_denied_networks;
};

/** mf_gw_ports_read() - "80,443,8000-8100", added to what is there; "": none. Return: 0, MF_E_SYNTAX, MF_E_FULL */
int mf_gw_ports_read(const char *text, struct mf_gw_ports *ret);
bool mf_gw_ports_have(const struct mf_gw_ports *p, uint16_t port);
/** mf_gw_host_list_add() - One pattern. Return: 0, MF_E_SYNTAX, MF_E_FULL */
int mf_gw_host_list_add(struct mf_gw_host_list *l, const char *text);
bool mf_gw_host_list_has(const struct mf_gw_host_list *l, const struct mf_gw_host *host);

/** mf_gw_targets_refuse_tcp() - Return: why it is refused; NULL: it is not. @t may be NULL */
const char *mf_gw_targets_refuse_tcp(const struct mf_gateway_targets *t,
				     const struct mf_gw_host *host, uint16_t port);
const char *mf_gw_targets_refuse_udp(const struct mf_gateway_targets *t,
				     const struct mf_endpoint *to);

#endif
