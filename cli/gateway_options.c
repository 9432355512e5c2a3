/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_options.c - what `moonfence gateway` can be told */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/gateway_command.h"
#include "cli/host_options.h"
#include "cli/output.h"
#include "proxies/gateway/origin.h"

enum {
	OPT_LISTEN = 1,
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
	OPT_DNS_RATE,
	OPT_CONNECTIONS,
	OPT_MEMBER_CONNECTIONS,
	OPT_DIAL_TIMEOUT,
	OPT_IDLE_TIMEOUT,
	OPT_ETHERNET,
	OPT_PCAP,
	OPT_SESSION,
	OPT_USER,
	OPT_APPROVALS,
	OPT_RELAY,
	OPT_JWT_KEYS,
	OPT_WISP,
	OPT_TARGET,
	OPT_TARGET_FILE,
	OPT_WEBRTC_PORT,
	OPT_EXTERNAL_IP,
	OPT_ICE_SERVERS,
	OPT_TURN_SECRET,
	OPT_TCP_PORTS,
	OPT_ALLOW_HOST,
	OPT_BLOCK_HOST,
	OPT_NAMES_ONLY,
	OPT_UDP_PORTS,
	OPT_DENY_UDP_PORTS,
	OPT_UDP_NETWORK,
	OPT_DENY_UDP_NETWORK,
	OPT_TRUSTED_PROXY,
	OPT_TRUSTED_FIELD,
	OPT_PROXY_PROTOCOL,
	OPT_HOST,
	OPT_BLOCK_CLIENT,
	OPT_ISOLATE,
	OPT_SAME_SITE,
	OPT_SESSION_TTL,
	OPT_PUBLIC_URL,
	OPT_ADDRESS_CONNECTIONS,
	OPT_SESSION_WEBSOCKETS,
	OPT_REQUEST_RATE,
	OPT_DNS_BURST,
	OPT_DNS_ANY,
	OPT_DNS_PRIVATE_PTR,
	OPT_THREADS,
	OPT_DRAIN,
	OPT_NO_SECCOMP,
	OPT_ENV,
	OPT_LIMIT,
	OPT_EXPIRE,
};

static const struct mf_option options[] = {
	{ OPT_LISTEN, 0, "listen", "ADDR:PORT",
	  "serve HTTP and WebSockets there, port 0 for any that is free; may be repeated" },
	{ OPT_TLS_CERT, 0, "tls-cert", "FILE", "PEM certificates; without them it is cleartext" },
	{ OPT_TLS_KEY, 0, "tls-key", "FILE", "PEM key" },
	{ OPT_AUTH, 0, "auth", "KINDS",
	  "how clients say who they are: session, jwt, key; with commas any of them, with + all; "
	  "none "
	  "(default: session)" },
	{ OPT_SECRET, 0, "session-secret-file", "FILE",
	  "a line a secret of session tokens: the first signs, all are good; several gateways with "
	  "one "
	  "secret accept each other's (default: random)" },
	{ OPT_JWT_SECRET, 0, "jwt-secret-file", "FILE",
	  "of --auth jwt, for HS256: a line a secret, all are good" },
	{ OPT_JWT_KEYS, 0, "jwt-keys", "FILE",
	  "of --auth jwt, for EdDSA and RS256: a JWK Set, or public keys in PEM" },
	{ OPT_JWT_AUDIENCE, 0, "jwt-audience", "TEXT", "that a JWT must be for" },
	{ OPT_JWT_ISSUER, 0, "jwt-issuer", "TEXT", "that a JWT must be from" },
	{ OPT_API_KEY, 0, "api-key-file", "FILE", "of --auth key: a line a key, all are good" },
	{ OPT_ORIGIN, 0, "origin", "ORIGIN",
	  "web pages that may ask, as https://app.example; * for all; may be repeated (default: "
	  "those of the same host)" },
	{ OPT_HOST, 0, "host", "NAME",
	  "name that it is asked by, with a port or without; may be repeated (default: any)" },
	{ OPT_PUBLIC_URL, 0, "public-url", "URL",
	  "where clients find it: its path is a prefix that is served too, its origin may ask" },
	{ OPT_SESSION_TTL, 0, "session-ttl", "SECONDS", "of a session token (default: 86400)" },
	{ OPT_SAME_SITE, 0, "same-site", "WORD",
	  "of the cookie: Lax, Strict, None (default: Lax)" },
	{ OPT_ISOLATE, 0, "cross-origin-isolation", NULL,
	  "answers let a page that is cross-origin isolated have them (COOP, COEP, CORP)" },
	{ OPT_TRUSTED_PROXY, 0, "trusted-proxy", "NETWORK",
	  "proxies that are believed when they say who asks; may be repeated" },
	{ OPT_TRUSTED_FIELD, 0, "trusted-field", "NAME",
	  "that they say it in: x-forwarded-for (default), or forwarded" },
	{ OPT_PROXY_PROTOCOL, 0, "proxy-protocol", NULL,
	  "connections begin with a PROXY header of a trusted proxy; others are turned away" },
	{ OPT_BLOCK_CLIENT, 0, "block-client", "NETWORK",
	  "addresses that get no WebSocket; may be repeated" },
	{ OPT_OPEN, 0, "open", "NETWORK",
	  "addresses that are not public and may be asked about all the same; may be repeated" },
	{ OPT_ALLOW_PRIVATE, 0, "allow-private", NULL, "all of them" },
	{ OPT_TCP_PORTS, 0, "tcp-ports", "PORTS",
	  "browsers' TCP only to these, as 80,443,8000-8100; policies decide of what is left" },
	{ OPT_ALLOW_HOST, 0, "allow-host", "PATTERN",
	  "... only to a name, *.NAME, an address or network; may be repeated" },
	{ OPT_BLOCK_HOST, 0, "block-host", "PATTERN", "... not to these; may be repeated" },
	{ OPT_NAMES_ONLY, 0, "names-only", NULL, "... not to what is asked for as an address" },
	{ OPT_UDP_PORTS, 0, "udp-ports", "PORTS", "browsers' UDP only to these ports" },
	{ OPT_DENY_UDP_PORTS, 0, "deny-udp-ports", "PORTS", "... not to these" },
	{ OPT_UDP_NETWORK, 0, "udp-network", "NETWORK", "... only to these; may be repeated" },
	{ OPT_DENY_UDP_NETWORK, 0, "deny-udp-network", "NETWORK", "... not to these" },
	MF_HOST_OPTION_POLICY,
	MF_HOST_OPTION_VAR,
	MF_HOST_OPTION_TRUST_STORE,
	MF_HOST_OPTION_SIGNING,
	MF_HOST_OPTION_DNS,
	MF_HOST_OPTION_DNS_CACHE,
	MF_HOST_OPTION_DNS_STALE,
	{ OPT_DNS_RATE, 0, "dns-rate", "N",
	  "questions a second of one address (default: 10; 0: any)" },
	{ OPT_DNS_BURST, 0, "dns-burst", "N", "and at once (default: twice as many)" },
	{ OPT_DNS_ANY, 0, "dns-allow-any", NULL,
	  "questions of type ANY are answered, not refused" },
	{ OPT_DNS_PRIVATE_PTR, 0, "dns-allow-private-ptr", NULL,
	  "... and those for the names of private addresses" },
	{ OPT_REQUEST_RATE, 0, "request-rate", "N",
	  "requests a minute of one address (default: 0: any)" },
	{ OPT_ADDRESS_CONNECTIONS, 0, "max-address-connections", "N",
	  "open WebSockets of one address (default: 0: any)" },
	{ OPT_SESSION_WEBSOCKETS, 0, "max-session-websockets", "N",
	  "open WebSockets of one session (default: 256)" },
	{ OPT_CONNECTIONS, 0, "max-connections", "N", "open WebSockets (default: 16384)" },
	{ OPT_MEMBER_CONNECTIONS, 0, "max-session-connections", "N",
	  "open TCP connections of one session (default: 1024)" },
	{ OPT_LIMIT, 0, "limit", "NAME=VALUE",
	  "a limit of bytes, rates or new connections of a session, an address or all "
	  "(docs/gateway.md), as session-rate=1M; may be repeated" },
	{ OPT_EXPIRE, 0, "expire", "KINDS",
	  "end what a token has opened when its time is over: session, jwt, session,jwt; none "
	  "(default)" },
	{ OPT_DIAL_TIMEOUT, 0, "connect-timeout", "SECONDS", "default: 10" },
	{ OPT_IDLE_TIMEOUT, 0, "idle-timeout", "SECONDS", "of a TCP connection; default: 300" },
	{ OPT_WEBRTC_PORT, 0, "webrtc-port", "[ADDR:]PORT",
	  "serve WebRTC data channels on this UDP port, 0 for any that is free" },
	{ OPT_EXTERNAL_IP, 0, "external-ip", "ADDR",
	  "tell browsers this address of WebRTC's in place of our own; srflx:ADDR as a second one; "
	  "may be repeated" },
	{ OPT_ICE_SERVERS, 0, "ice-servers", "FILE",
	  "STUN and TURN servers that browsers are told of, as JSON" },
	{ OPT_TURN_SECRET, 0, "turn-secret-file", "FILE",
	  "makes credentials for those TURN servers, good for an hour" },
	{ OPT_RELAY, 0, "relay", "NAME=VALUE",
	  "a setting of the UDP relay (docs/gateway.md), as filter=any; may be repeated" },
	{ OPT_ETHERNET, 0, "ethernet", "WORDS",
	  "guests that send Ethernet frames: off; or, with commas, max=N, session-max=N, "
	  "address-max=N channels (default: 4096, any, any), rate=N messages a second, bytes=N, "
	  "frame=BYTES, control=BYTES, queue=BYTES, tcp=N connections and udp=N flows of a guest, "
	  "ping-ms=N, "
	  "idle-ms=N, ipv6, origin (one is wanted), raw=PATH (default: /raw), rooms=none, session "
	  "or all "
	  "(guests with the same ?room= see each other)" },
	{ OPT_PCAP, 0, "pcap", "DIR", "write the frames of each guest into a pcapng file there" },
	{ OPT_WISP, 0, "wisp", "NAME=VALUE",
	  "a setting of Wisp (docs/gateway.md), as path=/wisp; may be repeated" },
	{ OPT_TARGET, 0, "target", "[NAME=]HOST:PORT",
	  "where /websockify?token=NAME leads, or /websockify; may be repeated" },
	{ OPT_TARGET_FILE, 0, "target-file", "FILE", "lines NAME: HOST:PORT of such" },
	MF_HOST_OPTION_EVENTS,
	MF_HOST_OPTION_EVENTS_ROTATE,
	MF_HOST_OPTION_EVENTS_STRICT,
	MF_HOST_OPTION_REEVALUATE,
	{ OPT_SESSION, 's', "session", "NAME", "name of the whole in events (default: gateway)" },
	{ OPT_USER, 'u', "user", "USER",
	  "who to be once sockets and keys are open; wanted when root starts it" },
	{ OPT_APPROVALS, 0, "approvals", "WHERE", MF_APPROVALS_OPTION_HELP },
	MF_HOST_OPTION_NO_WATCH,
	{ OPT_THREADS, 0, "threads", "N",
	  "that serve; guests of --ethernet and WebRTC are all on the first (default: 1)" },
	{ OPT_DRAIN, 0, "drain", "SECONDS",
	  "how long what is open may go on after SIGTERM (default: 30)" },
	{ OPT_ENV, 0, "env", "WHOSE",
	  "variables that are looked at (docs/gateway.md): aero: all that Aero's servers know; "
	  "none "
	  "(default: those that begin with AERO_)" },
	{ OPT_NO_SECCOMP, 0, "no-seccomp", NULL, "do without the filter of system calls (Linux)" },
	MF_HOST_OPTION_VERBOSE,
};

static const struct mf_usage usage = {
	.name = "gateway",
	.synopsis = "[OPTION]...",
	.text = "Gives browsers TCP, UDP and names over WebSockets and HTTP, as the policies say, "
		"until SIGTERM\n"
		"or SIGINT. Tells on stdout where, one line each, when it is ready. Policies and "
		"certificates are\n"
		"reloaded on SIGHUP, and when their files change. After SIGTERM what is open goes "
		"on for a while\n"
		"(--drain). Ends with 0; with 125 when it cannot begin, 1 when a policy does not "
		"load.\n",
	.example = "  moonfence gateway --listen 127.0.0.1:8080 --policy my.lua --origin "
		   "https://app.example\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static int add_listener(struct mf_gateway_command *g, const char *value)
{
	struct mf_endpoint *at = &g->listen[g->listen_cnt].at;
	const char *host;
	size_t len;

	if (g->listen_cnt == MF_GATEWAY_LISTENERS_MAX)
		return mf_options_wrong(&usage, "--listen: at most %d", MF_GATEWAY_LISTENERS_MAX);
	if (mf_hostport_parse(value, strlen(value), &host, &len, &at->port) < 0 ||
	    mf_addr_parse(host, len, &at->addr) < 0)
		return mf_options_wrong(&usage, "--listen wants ADDR:PORT: '%s'", value);
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

static int set_same_site(struct mf_gateway_command *g, const char *value)
{
	static const char *const words[] = { "Lax", "Strict", "None" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++)
		if (strcasecmp(value, words[i]) == 0) {
			g->opt.same_site = words[i];
			return 0;
		}
	return mf_options_wrong(&usage, "--same-site wants Lax, Strict or None: '%s'", value);
}

static int set_env(struct mf_gateway_command *g, const char *value)
{
	bool none = strcmp(value, "none") == 0;

	if (!none && strcmp(value, "aero") != 0)
		return mf_options_wrong(&usage, "--env wants aero or none: '%s'", value);
	g->env = none ? MF_GATEWAY_ENV_NONE : MF_GATEWAY_ENV_AERO;
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

static const char *name_of(int opt)
{
	size_t i = 0;

	while (i < MF_ARRAY_SIZE(options) && options[i].id != opt)
		i++;
	return i < MF_ARRAY_SIZE(options) ? options[i].name : "";
}

static int take_access_option(struct mf_gateway_command *g, int opt, const char *value)
{
	struct mf_gateway_access *a = &g->access;

	switch (opt) {
	case OPT_TCP_PORTS:
	case OPT_ALLOW_HOST:
	case OPT_BLOCK_HOST:
	case OPT_NAMES_ONLY:
	case OPT_UDP_PORTS:
	case OPT_DENY_UDP_PORTS:
	case OPT_UDP_NETWORK:
	case OPT_DENY_UDP_NETWORK:
		return mf_gateway_access_add_target(&usage, a, name_of(opt), value);
	case OPT_JWT_KEYS:
		g->keys.jwt_keys_path = value;
		return 0;
	case OPT_TRUSTED_PROXY:
		return mf_gateway_access_add_proxy(&usage, a, value);
	case OPT_TRUSTED_FIELD:
		return mf_gateway_access_set_field(&usage, a, value);
	case OPT_PROXY_PROTOCOL:
		a->proxy_protocol = true;
		return 0;
	case OPT_PUBLIC_URL:
		return mf_gateway_access_set_public_url(&usage, a, value);
	case OPT_HOST:
		return mf_gateway_access_add_host(&usage, a, value);
	case OPT_BLOCK_CLIENT:
		return mf_gateway_access_add_blocked(&usage, a, value);
	case OPT_ISOLATE:
		g->opt.isolate = true;
		return 0;
	case OPT_SAME_SITE:
		return set_same_site(g, value);
	case OPT_SESSION_TTL:
		return set_number("session-ttl", value, 10 * 365 * 86400, 1, &g->opt.session_ttl_s);
	case OPT_ADDRESS_CONNECTIONS:
		return set_number("max-address-connections", value, 1000000, 1,
				  &g->opt.address_sockets_max);
	case OPT_SESSION_WEBSOCKETS:
		return set_number("max-session-websockets", value, 1000000, 1,
				  &g->opt.member_sockets_max);
	case OPT_REQUEST_RATE:
		return set_number("request-rate", value, 1000000, 1, &g->opt.request_rate);
	case OPT_DNS_ANY:
		g->opt.dns_allow_any = true;
		return 0;
	case OPT_DNS_PRIVATE_PTR:
		g->opt.dns_allow_private_ptr = true;
		return 0;
	case OPT_DNS_BURST:
		return set_number("dns-burst", value, 1000000, 1, &g->opt.dns_burst);
	}
	return 0;
}

static int take_option(struct mf_gateway_command *g, int opt, const char *value)
{
	int status = mf_host_options_take(&usage, &g->host, &g->proxy_options, opt, value);

	if (status >= 0)
		return status;
	switch (opt) {
	case OPT_LISTEN:
		return add_listener(g, value);
	case OPT_TLS_CERT:
		g->tls_cert = value;
		return 0;
	case OPT_TLS_KEY:
		g->tls_key = value;
		return 0;
	case OPT_AUTH:
		return mf_gateway_access_set_auth(&usage, &g->access, value, &g->opt.auth);
	case OPT_SECRET:
		g->keys.secret.path = value;
		return 0;
	case OPT_JWT_SECRET:
		g->keys.jwt_secret.path = value;
		return 0;
	case OPT_JWT_AUDIENCE:
		g->opt.jwt_audience = value;
		return 0;
	case OPT_JWT_ISSUER:
		g->opt.jwt_issuer = value;
		return 0;
	case OPT_API_KEY:
		g->keys.api_key.path = value;
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
	case OPT_WEBRTC_PORT:
	case OPT_EXTERNAL_IP:
	case OPT_ICE_SERVERS:
	case OPT_TURN_SECRET:
		return mf_gateway_take_rtc(&usage, g, opt - OPT_WEBRTC_PORT, value);
	case OPT_RELAY:
		return mf_gateway_take_relay(&usage, g, value);
	case OPT_LIMIT:
		return mf_gateway_take_limit(&usage, g, value);
	case OPT_EXPIRE:
		return mf_gateway_take_expire(&usage, g, value);
	case OPT_ETHERNET:
		if (mf_gateway_ethernet_option(g, value, &value) < 0)
			return mf_options_wrong(&usage, "--ethernet does not know '%s'", value);
		return 0;
	case OPT_PCAP:
		g->pcap_dir = value;
		return 0;
	case OPT_WISP:
		return mf_gateway_take_wisp(&usage, g, value);
	case OPT_TARGET:
		return mf_gateway_take_target(&usage, g, value);
	case OPT_TARGET_FILE:
		return mf_gateway_take_target_file(&usage, g, value);
	case OPT_SESSION:
		g->session_name = value;
		return 0;
	case OPT_USER:
		g->user = value;
		return 0;
	case OPT_APPROVALS:
		return mf_approval_options_take(&usage, &g->host.ask, value, false);
	case OPT_THREADS:
		return set_number("threads", value, MF_GATEWAY_THREADS_MAX, 1, &g->threads);
	case OPT_DRAIN:
		return set_number("drain", value, 86400, 1, &g->drain_s);
	case OPT_NO_SECCOMP:
		g->no_seccomp = true;
		return 0;
	case OPT_ENV:
		return set_env(g, value);
	default:
		return take_access_option(g, opt, value);
	}
}

/* Return: the row of @name, or of @id where that is NULL; -1: there is none */
static int row_of(const char *name, int id)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(options); i++)
		if (name ? strcmp(options[i].name, name) == 0 : options[i].id == id)
			return (int)i;
	return -1;
}

bool mf_gateway_options_has(const struct mf_gateway_command *g, const char *name)
{
	int row = row_of(name, 0);

	return row >= 0 && g->given[row / 64] >> row % 64 & 1;
}

int mf_gateway_options_take(struct mf_gateway_command *g, const char *name, const char *value)
{
	int row = row_of(name, 0);

	return row < 0 ? -1 : take_option(g, options[row].id, value);
}

int mf_gateway_options_parse(struct mf_gateway_command *g, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status, row;

	_Static_assert(MF_ARRAY_SIZE(options) <= 64 * MF_ARRAY_SIZE(g->given), "a bit each");
	while ((opt = mf_options_next(&o, &value)) > 0) {
		row = row_of(NULL, opt);
		g->given[row / 64] |= UINT64_C(1) << row % 64;
		status = take_option(g, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "nothing but options is wanted: '%s'",
					o.operands[0]);
	status = mf_gateway_environment_apply(g);
	if (status)
		return status;
	if (!g->listen_cnt) /* none of the service manager's either */
		return mf_options_wrong(&usage, "where shall it serve? --listen is missing");
	if (g->access.proxy_protocol && !g->access.forwarding.trusted_cnt)
		return mf_options_wrong(&usage, "--proxy-protocol wants --trusted-proxy");
	if (!g->tls_cert != !g->tls_key)
		return mf_options_wrong(&usage, "--tls-cert and --tls-key belong together");
	if (g->opt.auth & MF_GW_BY_JWT && !g->keys.jwt_secret.path && !g->keys.jwt_secret.text &&
	    !g->keys.jwt_keys_path)
		return mf_options_wrong(&usage, "--auth jwt wants --jwt-secret-file or --jwt-keys");
	if (g->opt.auth & MF_GW_BY_KEY && !g->keys.api_key.path && !g->keys.api_key.text)
		return mf_options_wrong(&usage, "--auth key wants --api-key-file");
	return -1;
}
