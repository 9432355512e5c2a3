/* SPDX-License-Identifier: Apache-2.0 */
/* host_options.c - see host_options.h */
#include "cli/host_options.h"

int mf_host_options_take(const struct mf_usage *usage, struct mf_policy_host *host,
			 struct mf_proxy_options *proxy, int opt, const char *value)
{
	switch (opt) {
	case MF_HOST_POLICY:
		return mf_policy_host_add(usage, host, value);
	case MF_HOST_VAR:
		return mf_policy_host_add_variable(usage, host, value);
	case MF_HOST_TRUST_STORE:
		host->signing.trust_store = value;
		return 0;
	case MF_HOST_SIGNING:
		return mf_policy_signing_take_mode(usage, &host->signing, value);
	case MF_HOST_EVENTS:
		host->events_path = value;
		return 0;
	case MF_HOST_EVENTS_ROTATE:
		host->events_rotate = value;
		return 0;
	case MF_HOST_EVENTS_STRICT:
		host->events_strict = true;
		return 0;
	case MF_HOST_NO_WATCH:
		host->watch = false;
		return 0;
	case MF_HOST_VERBOSE:
		host->verbose = true;
		return 0;
	case MF_HOST_DNS:
		return mf_dns_options_add(usage, value, proxy);
	case MF_HOST_DNS_CACHE:
		return mf_dns_options_set_cache(usage, value, proxy);
	case MF_HOST_DNS_STALE:
		return mf_dns_options_set_stale(usage, value, proxy);
	case MF_HOST_TRUST_TARGETS:
		proxy->redirect_target_trusted = true;
		return 0;
	case MF_HOST_REEVALUATE:
		proxy->reevaluate_open = true;
		return 0;
	}
	return -1;
}
