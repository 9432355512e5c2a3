/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_enable.c - moonfence proxy enable: domain forwarding begins */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/paths.h"
#include "cli/policy_host.h"
#include "cli/proxy.h"
#include "proxies/forward.h"

enum {
	OPT_FOREGROUND = 1,
	OPT_LISTEN,
	OPT_HTTP,
	OPT_USER,
	OPT_FOR_USER,
	OPT_POLICY,
	OPT_MAP,
	OPT_DIR,
	OPT_CA_DIR,
	OPT_HOSTS,
	OPT_NO_HOSTS,
	OPT_NO_DNS,
	OPT_DNS_LISTEN,
	OPT_DNS,
	OPT_NO_DETECTION,
	OPT_EVENTS,
	OPT_EVENTS_ROTATE,
	OPT_EVENTS_STRICT,
	OPT_APPROVALS,
	OPT_VERBOSE,
};

static const struct mf_option options[] = {
	{ OPT_FOREGROUND, 'f', "foreground", NULL, "do not go to the background" },
	{ OPT_LISTEN, 'L', "listen", "ADDR:PORT",
	  "listen there and redirect nothing: needs no privileges; port 0 takes any" },
	{ OPT_HTTP, 0, "http", NULL, "redirect port 80, too" },
	{ OPT_USER, 'u', "user", "NAME",
	  "the user that the service runs as when root starts it (default: moonfence)" },
	{ OPT_FOR_USER, 0, "for-user", "NAME",
	  "redirect this user's connections only; may be repeated" },
	{ OPT_POLICY, 'p', "policy", "PATH",
	  "policy that is asked about whatever no map decides; may be repeated" },
	{ OPT_MAP, 'm', "map", "NAME=TARGET",
	  "as \"proxy map add NAME TARGET\", until the service ends; may be repeated" },
	{ OPT_DIR, 'd', "dir", "DIR", "control socket and settings are there" },
	{ OPT_CA_DIR, 0, "ca-dir", "DIR", "the local certificate authority is there" },
	{ OPT_HOSTS, 0, "hosts-file", "FILE", "the hosts file (default: /etc/hosts)" },
	{ OPT_NO_HOSTS, 0, "no-hosts", NULL, "write no names into the hosts file" },
	{ OPT_NO_DNS, 0, "no-dns", NULL,
	  "redirect no DNS questions: names go into the hosts file, which has no wildcards" },
	{ OPT_DNS_LISTEN, 0, "dns-listen", "ADDR",
	  "with --listen: answer DNS questions at ADDR[:PORT], those about other names by the "
	  "system's resolvers" },
	{ OPT_DNS, 0, "dns", "ADDR[:PORT]",
	  "resolver for --dns-listen in place of the system's; may be repeated" },
	{ OPT_NO_DETECTION, 0, "no-detection", NULL, "look for no development servers" },
	{ OPT_EVENTS, 'e', "events", "FILE", "append one JSON object per event to FILE" },
	{ OPT_EVENTS_ROTATE, 0, "events-rotate", "WHEN", MF_EVENTS_ROTATE_OPTION_HELP },
	{ OPT_EVENTS_STRICT, 0, "events-strict", NULL, MF_EVENTS_STRICT_OPTION_HELP },
	{ OPT_APPROVALS, 0, "approvals", "WHERE", MF_APPROVALS_OPTION_HELP },
	{ OPT_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" },
};

static const struct mf_usage usage = {
	.name = "proxy enable",
	.synopsis = "[OPTION]...",
	.text = "Names of this machine lead to their servers, by HTTPS and with a valid "
		"certificate; every other\n"
		"connection goes where it went before. As root, this host's connections to port "
		"443 are redirected to\n"
		"the service by nftables rules that end with it; as another user, or with "
		"--listen, clients have to\n"
		"connect to the service. Does nothing where it runs already.\n",
	.example = "  moonfence proxy enable\n"
		   "  moonfence proxy enable --listen 127.0.0.1:8443 --map app.localhost=3000\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct parsed {
	struct mf_proxy_wishes w;
	const char *dir, *ca_dir;
};

static int add(const char **list, size_t *cnt, size_t max, const char *value, const char *option)
{
	if (*cnt == max)
		return mf_options_wrong(&usage, "--%s: at most %zu", option, max);
	list[(*cnt)++] = value;
	return 0;
}

static int set_endpoint(struct mf_endpoint *ret, const char *option, const char *value)
{
	const char *host;
	size_t len;

	if (mf_hostport_parse(value, strlen(value), &host, &len, &ret->port) < 0 ||
	    mf_addr_parse(host, len, &ret->addr) < 0)
		return mf_options_wrong(&usage, "--%s wants ADDR:PORT or [ADDR]:PORT: '%s'", option,
					value);
	return 0;
}

static int set_dns_place(struct mf_endpoint *ret, const char *option, const char *value)
{
	ret->port = 53;
	return mf_addr_parse(value, strlen(value), &ret->addr) == 0
		       ? 0
		       : set_endpoint(ret, option, value);
}

static int add_resolver(struct mf_proxy_wishes *w, const char *value)
{
	if (w->dns_server_cnt == MF_ARRAY_SIZE(w->dns_servers))
		return mf_options_wrong(&usage, "--dns: at most %zu",
					MF_ARRAY_SIZE(w->dns_servers));
	return set_dns_place(&w->dns_servers[w->dns_server_cnt++], "dns", value);
}

static int take_option(struct parsed *p, int opt, const char *value)
{
	struct mf_proxy_wishes *w = &p->w;

	switch (opt) {
	case OPT_FOREGROUND:
		w->foreground = true;
		return 0;
	case OPT_LISTEN:
		return set_endpoint(&w->listen, "listen", value);
	case OPT_HTTP:
		w->http = true;
		return 0;
	case OPT_USER:
		w->user = value;
		return 0;
	case OPT_FOR_USER:
		return add(w->for_users, &w->for_user_cnt, MF_PROXY_USERS_MAX, value, "for-user");
	case OPT_POLICY:
		value = mf_paths_policy(value);
		if (!value)
			return mf_options_wrong(&usage,
						"--policy: nobody knows where packs are: give the "
						"store's path");
		return add(w->policies, &w->policy_cnt, MF_PROXY_POLICIES_MAX, value, "policy");
	case OPT_MAP:
		return add(w->maps, &w->map_cnt, MF_ARRAY_SIZE(w->maps), value, "map");
	case OPT_DIR:
		p->dir = value;
		return 0;
	case OPT_CA_DIR:
		p->ca_dir = value;
		return 0;
	case OPT_HOSTS:
		w->hosts_file = value;
		return 0;
	case OPT_NO_HOSTS:
		w->no_hosts = true;
		return 0;
	case OPT_NO_DNS:
		w->no_dns = true;
		return 0;
	case OPT_DNS_LISTEN:
		return set_dns_place(&w->dns_listen, "dns-listen", value);
	case OPT_DNS:
		return add_resolver(w, value);
	case OPT_NO_DETECTION:
		w->no_detection = true;
		return 0;
	case OPT_EVENTS:
		w->events_path = value;
		return 0;
	case OPT_EVENTS_ROTATE:
		w->events_rotate = value;
		return 0;
	case OPT_EVENTS_STRICT:
		w->events_strict = true;
		return 0;
	case OPT_APPROVALS:
		return mf_approval_options_take(&usage, &w->ask, value, false);
	case OPT_VERBOSE:
		w->verbose = true;
		return 0;
	}
	return 0;
}

/* The service runs already: what was asked for is there. */
static int say_running(void)
{
	printf("Domain forwarding runs already. Its settings are what they were: 'moonfence proxy "
	       "status'.\n");
	return MF_EXIT_GOOD;
}

int mf_cmd_proxy_enable(int argc, char **argv)
{
	static struct parsed p; /* big */
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct mf_err err;
	const char *value;
	json_t *body = NULL;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&p, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "'%s' is not an option", o.operands[0]);
	if (p.w.dns_listen.addr.family && !p.w.listen.addr.family)
		return mf_options_wrong(&usage, "--dns-listen is for --listen: without, questions "
						"are redirected");
	if (p.w.dns_server_cnt && !p.w.dns_listen.addr.family)
		return mf_options_wrong(&usage, "--dns is for --dns-listen");
	if (mf_proxy_find_places(p.dir, &p.w.places, &err) < 0) {
		fprintf(stderr, "moonfence: %s\n", err.msg);
		return MF_EXIT_FAULT;
	}
	if (p.ca_dir)
		snprintf(p.w.places.authority, sizeof(p.w.places.authority), "%s", p.ca_dir);
	if (mf_proxy_call(&p.w.places, "GET", "/status", NULL, &body, &err) > 0) {
		json_decref(body);
		return say_running();
	}
	return mf_proxy_serve(&p.w);
}
