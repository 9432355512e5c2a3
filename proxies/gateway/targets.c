/* SPDX-License-Identifier: Apache-2.0 */
/* targets.c - see targets.h */
#include "proxies/gateway/targets.h"

#include <moonfence/moonfence.h>

/* --- ports -------------------------------------------------------------------------------------------------------------- */

static struct mf_span trim(struct mf_span s)
{
	while (s.len && s.ptr[0] == ' ')
		s = mf_span_sub(s, 1, s.len);
	while (s.len && s.ptr[s.len - 1] == ' ')
		s.len--;
	return s;
}

int mf_gw_ports_read(const char *text, struct mf_gw_ports *ret)
{
	struct mf_span rest = trim(mf_span_str(text));

	ret->is_set = true;
	while (rest.len) {
		const uint8_t *comma = memchr(rest.ptr, ',', rest.len), *dash;
		struct mf_span one =
			mf_span_of(rest.ptr, comma ? (size_t)(comma - rest.ptr) : rest.len);
		uint16_t from, to;

		rest = mf_span_sub(rest, one.len + 1, rest.len);
		one = trim(one);
		dash = one.len ? memchr(one.ptr, '-', one.len) : NULL;
		if (mf_gw_port_read(mf_span_of(one.ptr, dash ? (size_t)(dash - one.ptr) : one.len),
				    &from) < 0)
			return MF_E_SYNTAX;
		to = from;
		if (dash && mf_gw_port_read(mf_span_sub(one, (size_t)(dash - one.ptr) + 1, one.len),
					    &to) < 0)
			return MF_E_SYNTAX;
		if (to < from)
			return MF_E_SYNTAX;
		if (ret->cnt == MF_GW_PORT_RANGES_MAX)
			return MF_E_FULL;
		ret->all[ret->cnt].from = from;
		ret->all[ret->cnt++].to = to;
	}
	return 0;
}

bool mf_gw_ports_have(const struct mf_gw_ports *p, uint16_t port)
{
	for (size_t i = 0; i < p->cnt; i++)
		if (port >= p->all[i].from && port <= p->all[i].to)
			return true;
	return false;
}

/* --- hosts -------------------------------------------------------------------------------------------------------------- */

int mf_gw_host_list_add(struct mf_gw_host_list *l, const char *text)
{
	struct mf_gw_host_pattern *p = &l->all[l->cnt];
	struct mf_span s = trim(mf_span_str(text));
	struct mf_gw_host host;

	if (l->cnt == MF_GW_HOSTS_MAX)
		return MF_E_FULL;
	memset(p, 0, sizeof(*p));
	if (s.len > 2 && s.ptr[0] == '*' && s.ptr[1] == '.') {
		p->below = true;
		s = mf_span_sub(s, 2, s.len);
	}
	if (!p->below && s.len && memchr(s.ptr, '/', s.len)) {
		if (mf_cidr_parse((const char *)s.ptr, s.len, &p->net) < 0)
			return MF_E_SYNTAX;
	} else {
		if (s.len == 0 || mf_gw_host_read(s, &host) < 0 || (p->below && host.addr.family))
			return MF_E_SYNTAX;
		p->net = (struct mf_cidr){ .addr = host.addr,
					   .bits = host.addr.family == 4 ? 32 : 128 };
		memcpy(p->name, host.name, sizeof(p->name));
	}
	l->cnt++;
	return 0;
}

static bool matches(const struct mf_gw_host_pattern *p, const struct mf_gw_host *host)
{
	size_t len = strlen(host->name), suffix = strlen(p->name);

	if (p->net.addr.family)
		return host->addr.family && mf_cidr_has(&p->net, &host->addr);
	if (host->addr.family)
		return false;
	if (!p->below)
		return strcmp(p->name, host->name) == 0;
	return len > suffix + 1 && host->name[len - suffix - 1] == '.' &&
	       strcmp(host->name + len - suffix, p->name) == 0;
}

bool mf_gw_host_list_has(const struct mf_gw_host_list *l, const struct mf_gw_host *host)
{
	for (size_t i = 0; i < l->cnt; i++)
		if (matches(&l->all[i], host))
			return true;
	return false;
}

/* --- targets ------------------------------------------------------------------------------------------------------------ */

const char *mf_gw_targets_refuse_tcp(const struct mf_gateway_targets *t,
				     const struct mf_gw_host *host, uint16_t port)
{
	if (!t)
		return NULL;
	if (t->tcp_ports.is_set && !mf_gw_ports_have(&t->tcp_ports, port))
		return "Target port not allowed";
	if (t->names_only && host->addr.family)
		return "IP-literal targets are not allowed";
	if (mf_gw_host_list_has(&t->blocked, host))
		return "Target is blocked";
	if (t->allowed.cnt && !mf_gw_host_list_has(&t->allowed, host))
		return "Target is not allowed";
	return NULL;
}

static bool has(const struct mf_gw_networks *n, const struct mf_addr *addr)
{
	for (size_t i = 0; i < n->cnt; i++)
		if (mf_cidr_has(&n->all[i], addr))
			return true;
	return false;
}

const char *mf_gw_targets_refuse_udp(const struct mf_gateway_targets *t,
				     const struct mf_endpoint *to)
{
	if (!t)
		return NULL;
	if (mf_gw_ports_have(&t->udp_denied_ports, to->port) ||
	    (t->udp_ports.is_set && !mf_gw_ports_have(&t->udp_ports, to->port)))
		return "UDP to this port is not allowed";
	if (has(&t->udp_denied_networks, &to->addr) ||
	    (t->udp_networks.cnt && !has(&t->udp_networks, &to->addr)))
		return "UDP to this address is not allowed";
	return NULL;
}
