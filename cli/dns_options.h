/* SPDX-License-Identifier: Apache-2.0 */
/* dns_options.h - --dns, --dns-cache, --dns-stale: the same for every subcommand that resolves names */
#ifndef MF_CLI_DNS_OPTIONS_H
#define MF_CLI_DNS_OPTIONS_H

#include "cli/options.h"
#include "proxies/proxy.h"

#define MF_DNS_OPTION_HELP                                                             \
	"resolver to ask instead of the host's: ADDR[:PORT], tcp://ADDR, tls://HOST, " \
	"https://HOST/PATH, the last two with #at=ADDR and #pin=BASE64; may be repeated"
#define MF_DNS_CACHE_OPTION_HELP "memory for resolvers' answers, 0 for no cache (default: 4096)"
#define MF_DNS_STALE_OPTION_HELP \
	"for how long an expired answer is given when no resolver answers (default: 0)"

/* Each: the value of its option into @o; Return: 0, or the exit status of wrong usage, which was reported */
int mf_dns_options_add(const struct mf_usage *usage, const char *value, struct mf_proxy_options *o);
int mf_dns_options_set_cache(const struct mf_usage *usage, const char *value,
			     struct mf_proxy_options *o);
int mf_dns_options_set_stale(const struct mf_usage *usage, const char *value,
			     struct mf_proxy_options *o);

#endif
