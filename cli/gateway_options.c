/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_options.c - what `moonfence gateway` can be told */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/dns_options.h"
#include "cli/gateway_command.h"
#include "cli/output.h"
#include "proxies/gateway/origin.h"

enum {
	OPT_POLICY = 1,
	OPT_VAR,
	OPT_TRUST_STORE,
	OPT_SIGNING,
	OPT_LISTEN,
	OPT_TLS_CERT,
	OPT_TLS_KEY,
	OPT_AUTH,
	OPT_SECRET,
	OPT_JWT_SECRET,
	OPT_JWT_AUDIENCE,
	OPT_JWT_ISSUER,
	OPT_API_KEY,
	OPT_ORIGIN,
	OPT_OPEN,
	OPT_ALLOW_PRIVATE,
	OPT_DNS,
	OPT_DNS_RATE,
	OPT_CONNECTIONS,
	OPT_MEMBER_CONNECTIONS,
	OPT_DIAL_TIMEOUT,
	OPT_IDLE_TIMEOUT,
	OPT_EVENTS,
	OPT_EVENTS_ROTATE,
	OPT_SESSION,
	OPT_USER,
	OPT_APPROVALS,
	OPT_NO_WATCH,
	OPT_VERBOSE,
	OPT_RELAY,
};

static const struct mf_option options[] = {
	{ OPT_LISTEN, 0, "listen", "ADDR:PORT",
	  "serve HTTP and WebSockets there, port 0 for any that is free; may be repeated" },
	{ OPT_TLS_CERT, 0, "tls-cert", "FILE", "PEM certificates; without them it is cleartext" },
	{ OPT_TLS_KEY, 0, "tls-key", "FILE", "PEM key" },
	{ OPT_AUTH, 0, "auth", "KINDS",
	  "how clients say who they are: session, jwt, key, with commas; none (default: session)" },
	{ OPT_SECRET, 0, "session-secret-file", "FILE",
	  "signs session tokens; several gateways with one secret accept each other's (default: "
	  "random)" },
	{ OPT_JWT_SECRET, 0, "jwt-secret-file", "FILE", "of --auth jwt (HS256)" },
	{ OPT_JWT_AUDIENCE, 0, "jwt-audience", "TEXT", "that a JWT must be for" },
	{ OPT_JWT_ISSUER, 0, "jwt-issuer", "TEXT", "that a JWT must be from" },
	{ OPT_API_KEY, 0, "api-key-file", "FILE", "of --auth key" },
	{ OPT_ORIGIN, 0, "origin", "ORIGIN",
	  "web pages that may ask, as https://app.example; * for all; may be repeated (default: "
	  "those of the same host)" },
	{ OPT_OPEN, 0, "open", "NETWORK",
	  "addresses that are not public and may be asked about all the same; may be repeated" },
	{ OPT_ALLOW_PRIVATE, 0, "allow-private", NULL, "all of them" },
	{ OPT_POLICY, 'p', "policy", "PATH", MF_POLICY_OPTION_HELP },
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_TRUST_STORE, 0, "trust-store", "DIR", MF_TRUST_STORE_OPTION_HELP },
	{ OPT_SIGNING, 0, "signing", "MODE", MF_SIGNING_OPTION_HELP },
	{ OPT_DNS, 0, "dns", "RESOLVER", MF_DNS_OPTION_HELP },
	{ OPT_DNS_RATE, 0, "dns-rate", "N",
	  "questions a second of one address (default: 10; 0: any)" },
	{ OPT_CONNECTIONS, 0, "max-connections", "N", "open WebSockets (default: 16384)" },
	{ OPT_MEMBER_CONNECTIONS, 0, "max-session-connections", "N",
	  "open TCP connections of one session (default: 1024)" },
	{ OPT_DIAL_TIMEOUT, 0, "connect-timeout", "SECONDS", "default: 10" },
	{ OPT_IDLE_TIMEOUT, 0, "idle-timeout", "SECONDS", "of a TCP connection; default: 300" },
	{ OPT_RELAY, 0, "relay", "NAME=VALUE",
	  "a setting of the UDP relay (docs/gateway.md), as filter=any; may be repeated" },
	{ OPT_EVENTS, 'e', "events", "FILE", MF_EVENTS_OPTION_HELP },
	{ OPT_EVENTS_ROTATE, 0, "events-rotate", "WHEN", MF_EVENTS_ROTATE_OPTION_HELP },
	{ OPT_SESSION, 's', "session", "NAME", "name of the whole in events (default: gateway)" },
	{ OPT_USER, 'u', "user", "USER",
	  "who to be once sockets and keys are open; wanted when root starts it" },
	{ OPT_APPROVALS, 0, "approvals", "WHERE", MF_APPROVALS_OPTION_HELP },
	{ OPT_NO_WATCH, 0, "no-watch", NULL, "do not reload policies when their files change" },
	{ OPT_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" },
};

static const struct mf_usage usage = {
	.name = "gateway",
	.synopsis = "[OPTION]...",
	.text = "Gives browsers TCP, UDP and names over WebSockets and HTTP, as the policies say, "
		"until SIGTERM\n"
		"or SIGINT. Tells on stdout where, one line each, when it is ready. Policies and "
		"certificates are\n"
		"reloaded on SIGHUP, policies also when their files change. Ends with 0; with 125 "
		"when it cannot\n"
		"begin, 1 when a policy does not load.\n",
	.example = "  moonfence gateway --listen 127.0.0.1:8080 --policy my.lua --origin "
		   "https://app.example\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static int add_listener(struct mf_gateway_command *g, const char *value)
{
	struct mf_endpoint *at = &g->listen[g->listen_cnt].at;
	const char *colon = strrchr(value, ':');
	char addr[MF_ADDR_TEXT_MAX + 2];
	size_t len = colon ? (size_t)(colon - value) : 0;
	unsigned long port;
	char *end;

	if (g->listen_cnt == MF_GATEWAY_LISTENERS_MAX)
		return mf_options_wrong(&usage, "--listen: at most %d", MF_GATEWAY_LISTENERS_MAX);
	if (len >= 2 && value[0] == '[' && value[len - 1] == ']') {
		value++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(addr) || colon[1] < '0' || colon[1] > '9')
		return mf_options_wrong(&usage, "--listen wants ADDR:PORT: '%s'", value);
	memcpy(addr, value, len);
	addr[len] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX || mf_addr_parse(addr, len, &at->addr) < 0)
		return mf_options_wrong(&usage, "--listen wants ADDR:PORT: '%s'", value);
	at->port = (uint16_t)port;
	g->listen[g->listen_cnt++].fd = -1;
	return 0;
}

static int add_origin(struct mf_gateway_command *g, const char *value)
{
	char *text = malloc(MF_ORIGIN_ROOM);

	if (!text || g->origin_cnt == MF_GATEWAY_ORIGINS_MAX) {
		free(text);
		return mf_options_wrong(&usage, "--origin: at most %d", MF_GATEWAY_ORIGINS_MAX);
	}
	if (strcmp(value, "*") == 0) {
		strcpy(text, "*");
	} else if (mf_origin_normalize(mf_span_str(value), text) < 0) {
		free(text);
		return mf_options_wrong(
			&usage, "--origin wants * or an origin, as https://app.example: '%s'",
			value);
	}
	g->origins[g->origin_cnt++] = text;
	return 0;
}

static int set_auth(struct mf_gateway_command *g, const char *value)
{
	static const struct {
		const char *name;
		unsigned bit;
	} kinds[] = { { "none", 0 },
		      { "session", MF_GW_BY_SESSION },
		      { "jwt", MF_GW_BY_JWT },
		      { "key", MF_GW_BY_KEY } };
	const char *at = value;

	g->opt.auth = 0;
	while (*at) {
		size_t len = strcspn(at, ","), i = 0;

		while (i < MF_ARRAY_SIZE(kinds) &&
		       (strlen(kinds[i].name) != len || memcmp(kinds[i].name, at, len) != 0))
			i++;
		if (i == MF_ARRAY_SIZE(kinds))
			return mf_options_wrong(
				&usage, "--auth wants session, jwt and key, or none: '%s'", value);
		g->opt.auth |= kinds[i].bit;
		at += len + (at[len] == ',');
	}
	return 0;
}

static int set_number(const char *option, const char *value, uint32_t max, uint32_t scale,
		      uint32_t *ret)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || end == value || *end || value[0] == '-' || n > max)
		return mf_options_wrong(&usage, "--%s wants a number up to %lu: '%s'", option,
					(unsigned long)max, value);
	*ret = (uint32_t)n * scale;
	return 0;
}

static int take_option(struct mf_gateway_command *g, int opt, const char *value)
{
	switch (opt) {
	case OPT_POLICY:
		return mf_policy_host_add(&usage, &g->host, value);
	case OPT_VAR:
		return mf_policy_host_add_variable(&usage, &g->host, value);
	case OPT_TRUST_STORE:
		g->host.signing.trust_store = value;
		return 0;
	case OPT_SIGNING:
		return mf_policy_signing_take_mode(&usage, &g->host.signing, value);
	case OPT_LISTEN:
		return add_listener(g, value);
	case OPT_TLS_CERT:
		g->tls_cert = value;
		return 0;
	case OPT_TLS_KEY:
		g->tls_key = value;
		return 0;
	case OPT_AUTH:
		return set_auth(g, value);
	case OPT_SECRET:
		g->secret.path = value;
		return 0;
	case OPT_JWT_SECRET:
		g->jwt_secret.path = value;
		return 0;
	case OPT_JWT_AUDIENCE:
		g->opt.jwt_audience = value;
		return 0;
	case OPT_JWT_ISSUER:
		g->opt.jwt_issuer = value;
		return 0;
	case OPT_API_KEY:
		g->api_key.path = value;
		return 0;
	case OPT_ORIGIN:
		return add_origin(g, value);
	case OPT_OPEN:
		if (g->open_cnt == MF_GATEWAY_OPENED_MAX)
			return mf_options_wrong(&usage, "--open: at most %d",
						MF_GATEWAY_OPENED_MAX);
		if (mf_cidr_parse(value, strlen(value), &g->open[g->open_cnt]) < 0)
			return mf_options_wrong(&usage, "--open wants a network: '%s'", value);
		g->open_cnt++;
		return 0;
	case OPT_ALLOW_PRIVATE:
		g->opt.allow_private = true;
		return 0;
	case OPT_DNS:
		return mf_dns_options_add(&usage, value, &g->proxy_options);
	case OPT_DNS_RATE:
		return set_number("dns-rate", value, 1000000, 1, &g->opt.dns_rate);
	case OPT_CONNECTIONS:
		return set_number("max-connections", value, 1000000, 1, &g->opt.sockets_max);
	case OPT_MEMBER_CONNECTIONS:
		return set_number("max-session-connections", value, 1000000, 1,
				  &g->opt.member_flows_max);
	case OPT_DIAL_TIMEOUT:
		return set_number("connect-timeout", value, 3600, 1000,
				  &g->proxy_options.dial_timeout_ms);
	case OPT_IDLE_TIMEOUT:
		return set_number("idle-timeout", value, 86400, 1000,
				  &g->proxy_options.tcp_idle_ms);
	case OPT_RELAY:
		return mf_gateway_take_relay(&usage, g, value);
	case OPT_EVENTS:
		g->host.events_path = value;
		return 0;
	case OPT_EVENTS_ROTATE:
		g->host.events_rotate = value;
		return 0;
	case OPT_SESSION:
		g->session_name = value;
		return 0;
	case OPT_USER:
		g->user = value;
		return 0;
	case OPT_APPROVALS:
		return mf_approval_options_take(&usage, &g->host.ask, value, false);
	case OPT_NO_WATCH:
		g->host.watch = false;
		return 0;
	case OPT_VERBOSE:
		g->host.verbose = true;
		return 0;
	}
	return 0;
}

int mf_gateway_options_parse(struct mf_gateway_command *g, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(g, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "nothing but options is wanted: '%s'",
					o.operands[0]);
	if (!g->listen_cnt)
		return mf_options_wrong(&usage, "where shall it serve? --listen is missing");
	if (!g->tls_cert != !g->tls_key)
		return mf_options_wrong(&usage, "--tls-cert and --tls-key belong together");
	if (g->opt.auth & MF_GW_BY_JWT && !g->jwt_secret.path)
		return mf_options_wrong(&usage, "--auth jwt wants --jwt-secret-file");
	if (g->opt.auth & MF_GW_BY_KEY && !g->api_key.path)
		return mf_options_wrong(&usage, "--auth key wants --api-key-file");
	return -1;
}
