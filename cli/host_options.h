/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_options.h - options that subcommands which serve under policies have in common: one text and one meaning of each
 *
 *	static const struct mf_option options[] = { MF_HOST_OPTION_POLICY, ..., { OPT_OWN, ... } };
 *	...
 *	status = mf_host_options_take(&usage, &host, &proxy_options, opt, value);
 *	if (status >= 0)
 *		return status;          // one of these, done or wrong
 *	switch (opt) { ... }            // the subcommand's own
 */
#ifndef MF_CLI_HOST_OPTIONS_H
#define MF_CLI_HOST_OPTIONS_H

#include "cli/dns_options.h"
#include "cli/policy_host.h"

/* Above all that subcommands number themselves. */
enum {
	MF_HOST_POLICY = 1000,
	MF_HOST_VAR,
	MF_HOST_TRUST_STORE,
	MF_HOST_SIGNING,
	MF_HOST_EVENTS,
	MF_HOST_EVENTS_ROTATE,
	MF_HOST_EVENTS_STRICT,
	MF_HOST_NO_WATCH,
	MF_HOST_VERBOSE,
	MF_HOST_DNS,
	MF_HOST_DNS_CACHE,
	MF_HOST_DNS_STALE,
	MF_HOST_TRUST_TARGETS,
	MF_HOST_REEVALUATE,
};

/* clang-format off */
#define MF_HOST_OPTION_POLICY	      { MF_HOST_POLICY, 'p', "policy", "PATH", MF_POLICY_OPTION_HELP }
#define MF_HOST_OPTION_VAR	      { MF_HOST_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP }
#define MF_HOST_OPTION_TRUST_STORE    { MF_HOST_TRUST_STORE, 0, "trust-store", "DIR", MF_TRUST_STORE_OPTION_HELP }
#define MF_HOST_OPTION_SIGNING	      { MF_HOST_SIGNING, 0, "signing", "MODE", MF_SIGNING_OPTION_HELP }
#define MF_HOST_OPTION_EVENTS	      { MF_HOST_EVENTS, 'e', "events", "FILE", MF_EVENTS_OPTION_HELP }
#define MF_HOST_OPTION_EVENTS_ROTATE  { MF_HOST_EVENTS_ROTATE, 0, "events-rotate", "WHEN", MF_EVENTS_ROTATE_OPTION_HELP }
#define MF_HOST_OPTION_EVENTS_STRICT  { MF_HOST_EVENTS_STRICT, 0, "events-strict", NULL, MF_EVENTS_STRICT_OPTION_HELP }
#define MF_HOST_OPTION_NO_WATCH	      { MF_HOST_NO_WATCH, 0, "no-watch", NULL, "do not reload policies when their files change" }
#define MF_HOST_OPTION_VERBOSE	      { MF_HOST_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" }
#define MF_HOST_OPTION_DNS	      { MF_HOST_DNS, 0, "dns", "RESOLVER", MF_DNS_OPTION_HELP }
#define MF_HOST_OPTION_DNS_CACHE      { MF_HOST_DNS_CACHE, 0, "dns-cache", "KIB", MF_DNS_CACHE_OPTION_HELP }
#define MF_HOST_OPTION_DNS_STALE      { MF_HOST_DNS_STALE, 0, "dns-stale", "SECONDS", MF_DNS_STALE_OPTION_HELP }
#define MF_HOST_OPTION_TRUST_TARGETS  { MF_HOST_TRUST_TARGETS, 0, "trust-targets", NULL, "do not ask policies about redirect targets" }
#define MF_HOST_OPTION_REEVALUATE     { MF_HOST_REEVALUATE, 0, "reevaluate-open", NULL, \
					"when policies change, end what is open and they do not let through any more" }
/* clang-format on */

/**
 * mf_host_options_take() - @proxy: NULL: none of DNS, redirects and open connections is among the subcommand's options
 * Return: 0; an exit status of wrong usage, which was reported; -1: @opt is none of these
 */
int mf_host_options_take(const struct mf_usage *usage, struct mf_policy_host *host,
			 struct mf_proxy_options *proxy, int opt, const char *value);

#endif
