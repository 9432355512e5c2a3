/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_environment.c - see gateway_environment.h */
#include "cli/gateway_environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/gateway_command.h"

enum kind {
	TEXT,	 /* the option's value */
	PORTS,	 /* the same; empty means none */
	LIST,	 /* several, with commas */
	LIMIT,	 /* a number; 0 is no limit */
	NUMBER,	 /* ... 0 is what it is */
	MS,	 /* milliseconds, for an option of seconds */
	GO_TIME, /* "60s", "250ms", the same */
	FLAG,	 /* 1, true, yes, on; 0, false, no, off */
	PROXIES, /* a flag, for networks that are near; or networks */
	UPSTREAMS,
	FIELD,	   /* a number of struct mf_gateway_options */
	STRING,	   /* a text of the same, or of the keys */
	LOOKED_AT, /* by code below */
	IGNORED,
	REFUSED, /* it would close what cannot be closed that way */
};

struct row {
	const char *names; /* the first that is set counts */
	enum kind kind;
	const char *option, *prefix; /* of its value */
	size_t offset;		     /* FIELD, STRING: in struct mf_gateway_command */
};

#define AT(field) offsetof(struct mf_gateway_command, field)

static const struct row rows[] = {
	/* HTTP, sessions, TCP and DNS */
	{ "PORT", LOOKED_AT, "listen", NULL, 0 },
	{ "HOST", LOOKED_AT, "listen", NULL, 0 },
	{ "AERO_L2_PROXY_LISTEN_ADDR BIND_ADDR", TEXT, "listen", NULL, 0 },
	{ "AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR", TEXT, "listen", NULL, 0 },
	{ "TLS_ENABLED", LOOKED_AT, "tls-cert", NULL, 0 },
	{ "TLS_CERT_PATH", LOOKED_AT, "tls-cert", NULL, 0 },
	{ "TLS_KEY_PATH", LOOKED_AT, "tls-key", NULL, 0 },
	{ "PUBLIC_BASE_URL", TEXT, "public-url", NULL, 0 },
	{ "CROSS_ORIGIN_ISOLATION", FLAG, "cross-origin-isolation", NULL, 0 },
	{ "AERO_L2_ALLOWED_ORIGINS ALLOWED_ORIGINS", LIST, "origin", NULL, 0 },
	{ "AERO_L2_ALLOWED_ORIGINS_EXTRA", LIST, "origin", NULL, 0 },
	{ "AERO_L2_ALLOWED_HOSTS", LIST, "host", NULL, 0 },
	{ "TRUST_PROXY AERO_L2_TRUST_PROXY AERO_L2_TRUST_PROXY_HOST", PROXIES, "trusted-proxy",
	  NULL, 0 },
	{ "RATE_LIMIT_REQUESTS_PER_MINUTE", NUMBER, "request-rate", NULL, 0 },
	{ "DNS_QPS_PER_IP", NUMBER, "dns-rate", NULL, 0 },
	{ "DNS_BURST_PER_IP", NUMBER, "dns-burst", NULL, 0 },
	{ "DNS_ALLOW_ANY", FLAG, "dns-allow-any", NULL, 0 },
	{ "DNS_ALLOW_PRIVATE_PTR", FLAG, "dns-allow-private-ptr", NULL, 0 },
	{ "DNS_MAX_QUERY_BYTES", FIELD, NULL, NULL, AT(opt.dns_message_max) },
	{ "DNS_UPSTREAMS", UPSTREAMS, "dns", NULL, 0 },
	{ "DNS_UPSTREAM_TIMEOUT_MS", IGNORED, NULL, NULL, 0 },
	{ "DNS_MAX_RESPONSE_BYTES", IGNORED, NULL, NULL, 0 },
	{ "DNS_CACHE_MAX_ENTRIES", IGNORED, NULL, NULL, 0 },
	{ "DNS_CACHE_MAX_TTL_SECONDS", IGNORED, NULL, NULL, 0 },
	{ "DNS_CACHE_NEGATIVE_TTL_SECONDS", IGNORED, NULL, NULL, 0 },
	{ "AERO_GATEWAY_SESSION_SECRET SESSION_SECRET AERO_L2_SESSION_SECRET", STRING,
	  "session-secret-file", NULL, AT(keys.secret.text) },
	{ "SESSION_TTL_SECONDS", NUMBER, "session-ttl", NULL, 0 },
	{ "SESSION_COOKIE_SAMESITE", TEXT, "same-site", NULL, 0 },
	{ "AERO_GATEWAY_VERSION AERO_L2_PROXY_VERSION", STRING, NULL, NULL, AT(opt.version) },
	{ "AERO_GATEWAY_GIT_SHA AERO_L2_PROXY_GIT_SHA GIT_SHA", STRING, NULL, NULL,
	  AT(opt.git_sha) },
	{ "AERO_GATEWAY_BUILD_TIMESTAMP AERO_L2_PROXY_BUILD_TIMESTAMP BUILD_TIMESTAMP", STRING,
	  NULL, NULL, AT(opt.built_at) },
	{ "TCP_ALLOWED_PORTS", PORTS, "tcp-ports", NULL, 0 },
	{ "TCP_ALLOWED_HOSTS", LIST, "allow-host", NULL, 0 },
	{ "TCP_BLOCKED_HOSTS", LIST, "block-host", NULL, 0 },
	{ "TCP_REQUIRE_DNS_NAME", FLAG, "names-only", NULL, 0 },
	{ "TCP_BLOCKED_CLIENT_IPS", LIST, "block-client", NULL, 0 },
	{ "TCP_ALLOW_PRIVATE_IPS", IGNORED, NULL, NULL, 0 },
	{ "TCP_PROXY_CONNECT_TIMEOUT_MS AERO_L2_TCP_CONNECT_TIMEOUT_MS", MS, "connect-timeout",
	  NULL, 0 },
	{ "TCP_PROXY_IDLE_TIMEOUT_MS", MS, "idle-timeout", NULL, 0 },
	{ "TCP_PROXY_MAX_CONNECTIONS", LIMIT, "max-session-connections", NULL, 0 },
	{ "TCP_PROXY_MAX_MESSAGE_BYTES", FIELD, NULL, NULL, AT(opt.message_max) },
	{ "TCP_PROXY_MAX_TCP_BUFFER_BYTES", IGNORED, NULL, NULL, 0 },
	{ "TCP_MUX_MAX_STREAMS", FIELD, NULL, NULL, AT(opt.mux_streams_max) },
	{ "TCP_MUX_MAX_STREAM_BUFFER_BYTES", IGNORED, NULL, NULL, 0 },
	{ "TCP_MUX_MAX_FRAME_PAYLOAD_BYTES", IGNORED, NULL, NULL, 0 },
	{ "SHUTDOWN_GRACE_MS AERO_L2_SHUTDOWN_GRACE_MS", MS, "drain", NULL, 0 },
	{ "AERO_WEBRTC_UDP_RELAY_SHUTDOWN_TIMEOUT", IGNORED, NULL, NULL, 0 },
	/* who is let in */
	{ "AERO_L2_AUTH_MODE", LOOKED_AT, "auth", NULL, 0 },
	{ "AUTH_MODE", LOOKED_AT, "auth", NULL, 0 },
	{ "AERO_L2_OPEN", LOOKED_AT, "auth", NULL, 0 },
	{ "AERO_L2_INSECURE_ALLOW_NO_AUTH", LOOKED_AT, "auth", NULL, 0 },
	{ "AERO_L2_API_KEY AERO_L2_TOKEN API_KEY", STRING, "api-key-file", NULL,
	  AT(keys.api_key.text) },
	{ "AERO_L2_JWT_SECRET JWT_SECRET", STRING, "jwt-secret-file", NULL,
	  AT(keys.jwt_secret.text) },
	{ "AERO_L2_JWT_AUDIENCE", TEXT, "jwt-audience", NULL, 0 },
	{ "AERO_L2_JWT_ISSUER", TEXT, "jwt-issuer", NULL, 0 },
	/* datagrams */
	{ "SIGNALING_AUTH_TIMEOUT", GO_TIME, "relay", "auth-timeout=", 0 },
	{ "MAX_SESSIONS", NUMBER, "relay", "sessions=", 0 },
	{ "MAX_UDP_PPS_PER_SESSION", NUMBER, "relay", "datagrams=", 0 },
	{ "MAX_UDP_BPS_PER_SESSION", NUMBER, "relay", "bytes=", 0 },
	{ "MAX_DC_BPS_PER_SESSION", NUMBER, "relay", "client-bytes=", 0 },
	{ "MAX_UDP_PPS_PER_DEST", NUMBER, "relay", "destination-datagrams=", 0 },
	{ "MAX_UNIQUE_DESTINATIONS_PER_SESSION", NUMBER, "relay", "destinations=", 0 },
	{ "MAX_UDP_DEST_BUCKETS_PER_SESSION", FIELD, NULL, NULL, AT(opt.relay.buckets_max) },
	{ "HARD_CLOSE_AFTER_VIOLATIONS", NUMBER, "relay", "violations=", 0 },
	{ "VIOLATION_WINDOW_SECONDS", NUMBER, "relay", "violation-window=", 0 },
	{ "MAX_DATAGRAM_PAYLOAD_BYTES", NUMBER, "relay", "payload=", 0 },
	{ "MAX_UDP_BINDINGS_PER_SESSION", NUMBER, "relay", "ports=", 0 },
	{ "MAX_ALLOWED_REMOTES_PER_BINDING", NUMBER, "relay", "remotes=", 0 },
	{ "UDP_BINDING_IDLE_TIMEOUT", GO_TIME, "relay", "idle=", 0 },
	{ "UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT", GO_TIME, "relay", "remote-idle=", 0 },
	{ "UDP_INBOUND_FILTER_MODE", LOOKED_AT, "relay", "filter=", 0 },
	{ "PREFER_V2", LOOKED_AT, "relay", "prefer-v2", 0 },
	{ "ALLOW_UDP_PORTS", TEXT, "udp-ports", NULL, 0 },
	{ "DENY_UDP_PORTS", TEXT, "deny-udp-ports", NULL, 0 },
	{ "ALLOW_UDP_CIDRS", LIST, "udp-network", NULL, 0 },
	{ "DENY_UDP_CIDRS", LIST, "deny-udp-network", NULL, 0 },
	{ "DESTINATION_POLICY_PRESET UDP_DESTINATION_POLICY_PRESET POLICY_PRESET", IGNORED, NULL,
	  NULL, 0 },
	{ "ALLOW_PRIVATE_NETWORKS", IGNORED, NULL, NULL, 0 },
	{ "UDP_READ_BUFFER_BYTES", IGNORED, NULL, NULL, 0 },
	/* Ethernet */
	{ "AERO_L2_MAX_CONNECTIONS", LIMIT, "ethernet", "max=", 0 },
	{ "AERO_L2_MAX_CONNECTIONS_PER_IP", NUMBER, "ethernet", "address-max=", 0 },
	{ "AERO_L2_MAX_CONNECTIONS_PER_SESSION AERO_L2_MAX_TUNNELS_PER_SESSION", NUMBER, "ethernet",
	  "session-max=", 0 },
	{ "AERO_L2_MAX_BYTES_PER_CONNECTION", NUMBER, "ethernet", "bytes=", 0 },
	{ "AERO_L2_MAX_FRAMES_PER_SECOND", NUMBER, "ethernet", "rate=", 0 },
	{ "AERO_L2_MAX_FRAME_PAYLOAD AERO_L2_MAX_FRAME_SIZE", LIMIT, "ethernet", "frame=", 0 },
	{ "AERO_L2_MAX_CONTROL_PAYLOAD", LIMIT, "ethernet", "control=", 0 },
	{ "AERO_L2_PING_INTERVAL_MS", NUMBER, "ethernet", "ping-ms=", 0 },
	{ "AERO_L2_IDLE_TIMEOUT_MS", NUMBER, "ethernet", "idle-ms=", 0 },
	{ "AERO_L2_STACK_MAX_TCP_CONNECTIONS", NUMBER, "ethernet", "tcp=", 0 },
	{ "AERO_L2_ALLOW_PRIVATE_IPS", IGNORED, NULL, NULL, 0 },
	{ "AERO_L2_ALLOWED_TCP_PORTS", REFUSED, NULL, NULL, 0 },
	{ "AERO_L2_ALLOWED_UDP_PORTS", REFUSED, NULL, NULL, 0 },
	{ "AERO_L2_ALLOWED_DOMAINS", REFUSED, NULL, NULL, 0 },
	{ "AERO_L2_BLOCKED_DOMAINS", REFUSED, NULL, NULL, 0 },
	{ "AERO_L2_DNS_A", IGNORED, NULL, NULL, 0 },
	{ "AERO_L2_TCP_FORWARD", IGNORED, NULL, NULL, 0 },
	{ "AERO_L2_UDP_FORWARD", IGNORED, NULL, NULL, 0 },
	{ "AERO_L2_CAPTURE_DIR", TEXT, "pcap", NULL, 0 },
};

/* --- texts ---------------------------------------------------------------------------------------------------------------- */

static const char *keep(struct mf_gateway_command *g, const char *prefix, const char *text,
			size_t len)
{
	struct mf_gateway_texts *t = &g->texts;
	size_t room = len + (prefix ? strlen(prefix) : 0) + 1;
	char *copy = t->cnt < MF_ARRAY_SIZE(t->all) ? malloc(room) : NULL;

	if (copy) {
		snprintf(copy, room, "%s%.*s", prefix ? prefix : "", (int)len, text);
		t->all[t->cnt++] = copy;
	}
	return copy;
}

void mf_gateway_texts_free(struct mf_gateway_texts *t)
{
	for (size_t i = 0; i < t->cnt; i++)
		free(t->all[i]);
}

static int wrong(const char *name, const char *wants, const char *value)
{
	fprintf(stderr, "moonfence: %s of the environment wants %s: '%s'\n", name, wants, value);
	return MF_EXIT_USAGE;
}

/* One value for an option; the option says itself what is wrong with it, and here who gave it. */
static int give(struct mf_gateway_command *g, const char *name, const struct row *r,
		const char *text, size_t len)
{
	const char *value = keep(g, r->prefix, text, len);
	int status = value ? mf_gateway_options_take(g, r->option, value) : MF_EXIT_SETUP;

	if (status > 0)
		fprintf(stderr, "moonfence: that is %s of the environment\n", name);
	else if (status < 0)
		fprintf(stderr, "moonfence: %s of the environment: there is no --%s here\n", name,
			r->option);
	return status > 0 ? status : 0;
}

/* --- kinds ---------------------------------------------------------------------------------------------------------------- */

static int give_list(struct mf_gateway_command *g, const char *name, const struct row *r,
		     const char *value)
{
	int status = 0;

	while (*value && status == 0) {
		size_t len = strcspn(value, ","), skip = strspn(value, " \t"), end = len;

		while (end > skip && (value[end - 1] == ' ' || value[end - 1] == '\t'))
			end--;
		if (end > skip)
			status = give(g, name, r, value + skip, end - skip);
		value += len + (value[len] == ',');
	}
	return status;
}

static bool read_number(const char *text, unsigned long long max, unsigned long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && isdigit((unsigned char)*text) && *end == '\0' && *ret <= max;
}

/* Return: 1, 0; -1: neither */
static int read_flag(const char *text)
{
	static const char *const words[][4] = { { "0", "false", "no", "off" },
						{ "1", "true", "yes", "on" } };

	for (int i = 0; i < 2; i++)
		for (unsigned k = 0; k < 4; k++)
			if (strcasecmp(text, words[i][k]) == 0)
				return i;
	return -1;
}

/* Milliseconds of "60s", "1m30s", "250ms", as Go writes them. Return: false: it is none */
static bool read_go_time(const char *text, double *ret_ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	double n;

	*ret_ms = 0;
	do {
		size_t len, i = 0;
		char *end;

		if (!isdigit((unsigned char)*text))
			return false;
		n = strtod(text, &end);
		len = strcspn(end, "0123456789.");
		while (i < MF_ARRAY_SIZE(units) &&
		       (strlen(units[i].unit) != len || memcmp(units[i].unit, end, len) != 0))
			i++;
		if (i == MF_ARRAY_SIZE(units) || n > 1e9)
			return false;
		*ret_ms += n * units[i].ms;
		text = end + len;
	} while (*text);
	return *ret_ms < 1e12;
}

/* Seconds, rounded up: a limit of 1 ms is not none. */
static int give_time(struct mf_gateway_command *g, const char *name, const struct row *r, double ms)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)((ms + 999) / 1000));

	return give(g, name, r, text, (size_t)len);
}

static int give_proxies(struct mf_gateway_command *g, const char *name, const struct row *r,
			const char *value)
{
	int flag = read_flag(value);

	if (flag == 0)
		return 0;
	return give_list(g, name, r,
			 flag == 1 ? "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,"
				     "fc00::/7"
				   : value);
}

/* "udp://" is what a resolver without a word in front is. */
static int give_upstreams(struct mf_gateway_command *g, const char *name, const struct row *r,
			  const char *value)
{
	int status = 0;

	while (*value && status == 0) {
		size_t len = strcspn(value, ","), skip = strspn(value, " ");

		if (strncmp(value + skip, "udp://", 6) == 0)
			skip += 6;
		if (len > skip)
			status = give(g, name, r, value + skip, len - skip);
		value += len + (value[len] == ',');
	}
	return status;
}

static int apply(struct mf_gateway_command *g, const struct row *r, const char *name,
		 const char *value)
{
	void *field = (char *)g + r->offset;
	unsigned long long n;
	double ms;

	switch (r->kind) {
	case TEXT:
	case PORTS:
		return give(g, name, r, value, strlen(value));
	case LIST:
		return give_list(g, name, r, value);
	case NUMBER:
	case LIMIT:
		if (!read_number(value, UINT32_MAX, &n))
			return wrong(name, "a number", value);
		/* what has no limit here has the default there */
		return r->kind == LIMIT && n == 0 ? 0 : give(g, name, r, value, strlen(value));
	case MS:
		if (!read_number(value, UINT32_MAX, &n))
			return wrong(name, "milliseconds", value);
		return give_time(g, name, r, (double)n);
	case GO_TIME:
		if (!read_go_time(value, &ms))
			return wrong(name, "a time, as 60s or 250ms", value);
		return give_time(g, name, r, ms);
	case FLAG:
		if (read_flag(value) < 0)
			return wrong(name, "1 or 0", value);
		return read_flag(value) ? give(g, name, r, "", 0) : 0;
	case PROXIES:
		return give_proxies(g, name, r, value);
	case UPSTREAMS:
		return give_upstreams(g, name, r, value);
	case FIELD:
		if (!read_number(value, INT32_MAX, &n))
			return wrong(name, "a number", value);
		*(uint32_t *)field = (uint32_t)n;
		return 0;
	case STRING:
		*(const char **)field = value;
		return 0;
	case LOOKED_AT:
	case IGNORED:
		return 0;
	case REFUSED:
		fprintf(stderr,
			"moonfence: %s of the environment is nothing that this gateway does by "
			"itself: a policy's connect or dns does (docs/gateway.md)\n",
			name);
		return MF_EXIT_USAGE;
	}
	return 0;
}

/* --- what takes several --------------------------------------------------------------------------------------------------- */

static const char *get(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int apply_places(struct mf_gateway_command *g)
{
	const struct row listen = { .option = "listen" };
	const struct row cert = { .option = "tls-cert" }, key = { .option = "tls-key" };
	const char *host = get("HOST"), *port = get("PORT"), *tls = get("TLS_ENABLED");
	const char *path;
	char text[300];
	int status = 0;

	/* HOST alone is the name of a machine as often as not */
	if (port && !mf_gateway_options_has(g, "listen")) {
		snprintf(text, sizeof(text), host && strchr(host, ':') ? "[%s]:%s" : "%s:%s",
			 host ? host : "0.0.0.0", port);
		status = give(g, "PORT", &listen, text, strlen(text));
	}
	if (!tls || mf_gateway_options_has(g, "tls-cert"))
		return status;
	if (read_flag(tls) < 0)
		return wrong("TLS_ENABLED", "1 or 0", tls);
	if (read_flag(tls) == 0)
		return status;
	path = get("TLS_CERT_PATH");
	if (status == 0 && path)
		status = give(g, "TLS_CERT_PATH", &cert, path, strlen(path));
	path = get("TLS_KEY_PATH");
	if (status == 0 && path)
		status = give(g, "TLS_KEY_PATH", &key, path, strlen(path));
	if (status == 0 && (!get("TLS_CERT_PATH") || !path))
		return wrong("TLS_ENABLED", "TLS_CERT_PATH and TLS_KEY_PATH", tls);
	return status;
}

/*
 * Aero has three servers, each with its mode; here is one. Whoever one of them would let in has his way in, but "none" of a relay is no
 * reason to open TCP.
 */
static int apply_auth(struct mf_gateway_command *g)
{
	static const struct {
		const char *mode, *auth;
	} modes[] = {
		{ "session", "session" },
		{ "cookie", "session" },
		{ "token", "key" },
		{ "api_key", "key" },
		{ "jwt", "jwt" },
		{ "cookie_or_jwt", "session,jwt" },
		{ "session_or_token", "session,key" },
		{ "cookie_or_api_key", "session,key" },
		{ "session_and_token", "session+key" },
		{ "cookie_and_api_key", "session+key" },
	};
	const char *mode = get("AERO_L2_AUTH_MODE"), *open = get("AERO_L2_OPEN");
	const char *insecure = get("AERO_L2_INSECURE_ALLOW_NO_AUTH"), *relay = get("AUTH_MODE");
	const struct row auth = { .option = "auth" };
	size_t i = 0;

	if (mf_gateway_options_has(g, "auth"))
		return 0;
	if (mode && strcmp(mode, "none") == 0) {
		if (!open || !insecure || strcmp(open, "1") != 0 || strcmp(insecure, "1") != 0)
			return wrong("AERO_L2_AUTH_MODE",
				     "AERO_L2_OPEN=1 and AERO_L2_INSECURE_ALLOW_NO_AUTH=1 for that",
				     mode);
		return give(g, "AERO_L2_AUTH_MODE", &auth, mode, strlen(mode));
	}
	if (mode) {
		while (i < MF_ARRAY_SIZE(modes) && strcmp(modes[i].mode, mode) != 0)
			i++;
		if (i == MF_ARRAY_SIZE(modes))
			return wrong("AERO_L2_AUTH_MODE",
				     "session, token, jwt, cookie_or_jwt, session_or_token, "
				     "session_and_token or none",
				     mode);
		return give(g, "AERO_L2_AUTH_MODE", &auth, modes[i].auth, strlen(modes[i].auth));
	}
	if (!relay || strcmp(relay, "none") == 0)
		return g->keys.api_key.text ? give(g, "API_KEY", &auth, "session,key", 11) : 0;
	if (strcmp(relay, "api_key") == 0)
		return give(g, "AUTH_MODE", &auth, "session,key", 11);
	if (strcmp(relay, "jwt") == 0)
		return give(g, "AUTH_MODE", &auth, "session,jwt", 11);
	return wrong("AUTH_MODE", "api_key, jwt or none", relay);
}

static int apply_relay(struct mf_gateway_command *g)
{
	const char *filter = get("UDP_INBOUND_FILTER_MODE"), *v2 = get("PREFER_V2");
	const struct row relay = { .option = "relay" };
	const char *text = NULL;
	int status = 0;

	if (mf_gateway_options_has(g, "relay"))
		return 0;
	if (filter) {
		if (strcmp(filter, "any") == 0)
			text = "filter=any";
		else if (strcmp(filter, "address_and_port") == 0)
			text = "filter=address-and-port";
		else
			return wrong("UDP_INBOUND_FILTER_MODE", "any or address_and_port", filter);
		status = give(g, "UDP_INBOUND_FILTER_MODE", &relay, text, strlen(text));
	}
	if (v2 && read_flag(v2) < 0)
		return wrong("PREFER_V2", "1 or 0", v2);
	if (status == 0 && v2 && read_flag(v2))
		status = give(g, "PREFER_V2", &relay, "prefer-v2", 9);
	return status;
}

/* --- all of them ---------------------------------------------------------------------------------------------------------- */

/* Return: the one of @names that is set; NULL: none. An empty list of ports is set, too. */
static const char *find_set(const struct row *r, char name[64], const char **ret_value)
{
	const char *at = r->names;

	while (*at) {
		size_t len = strcspn(at, " ");

		snprintf(name, 64, "%.*s", (int)len, at);
		*ret_value = getenv(name);
		if (*ret_value && (**ret_value || r->kind == PORTS || r->kind == REFUSED))
			return name;
		at += len + (at[len] == ' ');
	}
	return NULL;
}

int mf_gateway_environment_apply(struct mf_gateway_command *g)
{
	const char *value;
	int status = 0;
	char name[64];

	for (size_t i = 0; i < MF_ARRAY_SIZE(rows) && status == 0; i++) {
		const struct row *r = &rows[i];

		if (!find_set(r, name, &value) ||
		    (r->option && mf_gateway_options_has(g, r->option)))
			continue;
		/* Aero's helpers pass many of them empty; an empty list of a REFUSED one means none at all */
		if (r->kind == REFUSED && !*value && !strstr(name, "PORTS"))
			continue;
		status = apply(g, r, name, value);
	}
	if (status == 0)
		status = apply_places(g);
	if (status == 0)
		status = apply_auth(g);
	if (status == 0)
		status = apply_relay(g);
	return status;
}
