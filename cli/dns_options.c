/* SPDX-License-Identifier: Apache-2.0 */
/* dns_options.c - see dns_options.h */
#include "cli/dns_options.h"

#include <stdlib.h>

int mf_dns_options_add(const struct mf_usage *usage, const char *value, struct mf_proxy_options *o)
{
	struct mf_err err;

	if (o->dns_server_cnt == MF_PROXY_DNS_SERVERS_MAX)
		return mf_options_wrong(usage, "--dns: at most %d servers",
					MF_PROXY_DNS_SERVERS_MAX);
	if (mf_dns_server_parse(value, &o->dns_servers[o->dns_server_cnt++], &err) < 0)
		return mf_options_wrong(usage, "--dns: %s", err.msg);
	return 0;
}

static int set_number(const struct mf_usage *usage, const char *option, const char *value, long max,
		      long *ret)
{
	char *end;

	*ret = strtol(value, &end, 10);
	if (*end || end == value || *ret < 0 || *ret > max)
		return mf_options_wrong(usage, "--%s wants 0 to %ld: '%s'", option, max, value);
	return 0;
}

int mf_dns_options_set_cache(const struct mf_usage *usage, const char *value,
			     struct mf_proxy_options *o)
{
	long kib;
	int status = set_number(usage, "dns-cache", value, 1 << 20, &kib);

	o->dns_cache_off = kib == 0;
	o->dns_cache_bytes = (size_t)kib * 1024;
	return status;
}

int mf_dns_options_set_stale(const struct mf_usage *usage, const char *value,
			     struct mf_proxy_options *o)
{
	long seconds;
	int status = set_number(usage, "dns-stale", value, 7 * 86400, &seconds);

	o->dns_stale_s = (uint32_t)seconds;
	return status;
}
