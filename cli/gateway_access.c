/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_access.c - see gateway_access.h */
#include "cli/gateway_access.h"

#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "proxies/gateway/origin.h"

static int add_network(const struct mf_usage *usage, const char *option, const char *value,
		       struct mf_cidr *list, size_t max, size_t *cnt)
{
	if (*cnt == max)
		return mf_options_wrong(usage, "--%s: at most %zu", option, max);
	if (mf_cidr_parse(value, strlen(value), &list[*cnt]) < 0)
		return mf_options_wrong(usage, "--%s wants an address or a network: '%s'", option,
					value);
	(*cnt)++;
	return 0;
}

int mf_gateway_access_add_proxy(const struct mf_usage *usage, struct mf_gateway_access *a,
				const char *value)
{
	return add_network(usage, "trusted-proxy", value, a->proxies, MF_ACCESS_PROXIES_MAX,
			   &a->forwarding.trusted_cnt);
}

int mf_gateway_access_add_blocked(const struct mf_usage *usage, struct mf_gateway_access *a,
				  const char *value)
{
	return add_network(usage, "block-client", value, a->blocked, MF_ACCESS_BLOCKED_MAX,
			   &a->blocked_cnt);
}

int mf_gateway_access_set_field(const struct mf_usage *usage, struct mf_gateway_access *a,
				const char *value)
{
	a->forwarding.rfc7239 = strcmp(value, "forwarded") == 0;
	if (!a->forwarding.rfc7239 && strcmp(value, "x-forwarded-for") != 0)
		return mf_options_wrong(
			usage, "--trusted-field wants x-forwarded-for or forwarded: '%s'", value);
	return 0;
}

int mf_gateway_access_add_host(const struct mf_usage *usage, struct mf_gateway_access *a,
			       const char *value)
{
	char *text = malloc(MF_ORIGIN_ROOM);

	if (!text || a->host_cnt == MF_ACCESS_HOSTS_MAX) {
		free(text);
		return mf_options_wrong(usage, "--host: at most %d", MF_ACCESS_HOSTS_MAX);
	}
	if (mf_origin_host(mf_span_str(value), false, text) < 0) {
		free(text);
		return mf_options_wrong(usage, "--host wants a name, with a port or without: '%s'",
					value);
	}
	a->hosts[a->host_cnt++] = text;
	return 0;
}

int mf_gateway_access_set_auth(const struct mf_usage *usage, struct mf_gateway_access *a,
			       const char *value, unsigned *ret_kinds)
{
	static const struct {
		const char *name;
		unsigned bit;
	} kinds[] = { { "session", MF_GW_BY_SESSION },
		      { "jwt", MF_GW_BY_JWT },
		      { "key", MF_GW_BY_KEY } };
	const char *at = value;
	unsigned set = 0;

	a->auth_set_cnt = 0;
	*ret_kinds = 0;
	if (strcmp(value, "none") == 0)
		return 0;
	for (;;) {
		size_t len = strcspn(at, ",+"), i = 0;

		while (i < MF_ARRAY_SIZE(kinds) &&
		       (strlen(kinds[i].name) != len || memcmp(kinds[i].name, at, len) != 0))
			i++;
		if (i == MF_ARRAY_SIZE(kinds) || a->auth_set_cnt == MF_ACCESS_SETS_MAX)
			return mf_options_wrong(
				usage,
				"--auth wants session, jwt and key (with commas: any; "
				"with +: all), or none: '%s'",
				value);
		set |= kinds[i].bit;
		*ret_kinds |= kinds[i].bit;
		if (at[len] != '+') {
			a->auth_sets[a->auth_set_cnt++] = set;
			set = 0;
		}
		if (!at[len])
			return 0;
		at += len + 1;
	}
}

int mf_gateway_access_set_public_url(const struct mf_usage *usage, struct mf_gateway_access *a,
				     const char *value)
{
	const char *host = strstr(value, "://"), *path = host ? strchr(host + 3, '/') : NULL;
	size_t len = path ? (size_t)(path - value) : strlen(value);
	char *origin = malloc(MF_ORIGIN_ROOM);

	free(a->public_origin);
	free(a->base_path);
	a->public_origin = origin;
	a->base_path = path ? strdup(path) : NULL;
	if (!origin || mf_origin_normalize(mf_span_of(value, len), origin) < 0 ||
	    strcmp(origin, "null") == 0 || (path && strpbrk(path, "?#\"\\% \t")))
		return mf_options_wrong(
			usage, "--public-url wants a URL, as https://app.example/net: '%s'", value);
	len = a->base_path ? strlen(a->base_path) : 0;
	while (len && a->base_path[len - 1] == '/')
		a->base_path[--len] = '\0';
	return 0;
}

int mf_gateway_access_add_target(const struct mf_usage *usage, struct mf_gateway_access *a,
				 const char *option, const char *value)
{
	struct mf_gateway_targets *t = &a->targets;
	const struct {
		const char *option;
		struct mf_gw_ports *ports;
		struct mf_gw_host_list *hosts;
		struct mf_gw_networks *networks;
	} lists[] = {
		{ "tcp-ports", &t->tcp_ports, NULL, NULL },
		{ "udp-ports", &t->udp_ports, NULL, NULL },
		{ "deny-udp-ports", &t->udp_denied_ports, NULL, NULL },
		{ "block-host", NULL, &t->blocked, NULL },
		{ "allow-host", NULL, &t->allowed, NULL },
		{ "udp-network", NULL, NULL, &t->udp_networks },
		{ "deny-udp-network", NULL, NULL, &t->udp_denied_networks },
	};
	int r = 0;

	a->has_targets = true;
	if (strcmp(option, "names-only") == 0) {
		t->names_only = true;
		return 0;
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(lists); i++) {
		if (strcmp(lists[i].option, option) != 0)
			continue;
		if (lists[i].networks)
			return add_network(usage, option, value, lists[i].networks->all,
					   MF_GW_PORT_RANGES_MAX, &lists[i].networks->cnt);
		r = lists[i].ports ? mf_gw_ports_read(value, lists[i].ports)
				   : mf_gw_host_list_add(lists[i].hosts, value);
		if (r == MF_E_FULL)
			return mf_options_wrong(usage, "--%s: too many", option);
		if (r < 0)
			return mf_options_wrong(usage,
						lists[i].ports
							? "--%s wants ports, as 80,443,8000-8100: "
							  "'%s'"
							: "--%s wants a name, *.NAME, an address "
							  "or a network: '%s'",
						option, value);
	}
	return 0;
}

void mf_gateway_access_apply(struct mf_gateway_access *a, struct mf_gateway_options *o)
{
	a->forwarding.trusted = a->proxies;
	o->forwarding = a->forwarding.trusted_cnt ? &a->forwarding : NULL;
	o->hosts = (const char *const *)a->hosts;
	o->host_cnt = a->host_cnt;
	o->blocked_clients = a->blocked;
	o->blocked_client_cnt = a->blocked_cnt;
	o->auth_sets = a->auth_sets;
	o->auth_set_cnt = a->auth_set_cnt;
	o->destinations = a->has_targets ? &a->targets : NULL;
	o->base_path = a->base_path && *a->base_path ? a->base_path : NULL;
	if (!o->origin_cnt && a->public_origin) {
		o->origins = (const char *const *)&a->public_origin;
		o->origin_cnt = 1;
	}
}

void mf_gateway_access_done(struct mf_gateway_access *a)
{
	for (size_t i = 0; i < a->host_cnt; i++)
		free(a->hosts[i]);
	free(a->base_path);
	free(a->public_origin);
}
