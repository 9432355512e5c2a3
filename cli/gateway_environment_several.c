/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_environment_several.c - Aero's variables that say something together: places, ways in, WebRTC, ICE servers */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/gateway_command.h"
#include "cli/gateway_environment_int.h"

enum { PREFIX_MAX = 64, SCTP_BUFFER_MIN = 1500 };

/* --- HTTP, TLS, ways in --------------------------------------------------------------------------------------------------- */

static int apply_places(struct mf_gateway_command *g)
{
	const struct mf_env_row listen = { .option = "listen" };
	const struct mf_env_row cert = { .option = "tls-cert" }, key = { .option = "tls-key" };
	const char *host = mf_env_get(g, "HOST"), *port = mf_env_get(g, "PORT");
	const char *tls = mf_env_get(g, "TLS_ENABLED"), *path;
	char text[300];
	int status = 0;

	/* HOST alone is the name of a machine as often as not */
	if (port && !mf_gateway_options_has(g, "listen")) {
		snprintf(text, sizeof(text), host && strchr(host, ':') ? "[%s]:%s" : "%s:%s",
			 host ? host : "0.0.0.0", port);
		status = mf_env_give(g, "PORT", &listen, text, strlen(text));
	}
	if (!tls || mf_gateway_options_has(g, "tls-cert"))
		return status;
	if (mf_env_flag(tls) < 0)
		return mf_env_wrong("TLS_ENABLED", "1 or 0", tls);
	if (mf_env_flag(tls) == 0)
		return status;
	path = mf_env_get(g, "TLS_CERT_PATH");
	if (status == 0 && path)
		status = mf_env_give(g, "TLS_CERT_PATH", &cert, path, strlen(path));
	path = mf_env_get(g, "TLS_KEY_PATH");
	if (status == 0 && path)
		status = mf_env_give(g, "TLS_KEY_PATH", &key, path, strlen(path));
	if (status == 0 && (!mf_env_get(g, "TLS_CERT_PATH") || !path))
		return mf_env_wrong("TLS_ENABLED", "TLS_CERT_PATH and TLS_KEY_PATH", tls);
	return status;
}

/* Whether anything was said that somebody could be known by, by whatever way. */
static bool has_keys(const struct mf_gateway_keys *k)
{
	return k->secret.text || k->secret.path || k->jwt_secret.text || k->jwt_secret.path ||
	       k->api_key.text || k->api_key.path || k->jwt_keys_path;
}

/*
 * Aero has three servers, each with its mode; here is one. Whoever one of them would let in has his way in, but "none" of a relay is no
 * reason to open TCP. A guest on Ethernet has TCP, so that of the tunnels is.
 */
static int apply_auth(struct mf_gateway_command *g)
{
	static const struct {
		const char *mode, *auth;
	} modes[] = {
		{ "none", "none" },
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
	const char *mode = mf_env_get(g, "AERO_L2_AUTH_MODE"), *relay = mf_env_get(g, "AUTH_MODE");
	const char *open = mf_env_get(g, "AERO_L2_OPEN"), *text = NULL, *name = "AUTH_MODE";
	const char *insecure = mf_env_get(g, "AERO_L2_INSECURE_ALLOW_NO_AUTH");
	const struct mf_env_row auth = { .option = "auth" };
	size_t i = 0;

	if (mf_gateway_options_has(g, "auth"))
		return 0;
	if (mode) {
		while (i < MF_ARRAY_SIZE(modes) && strcmp(modes[i].mode, mode) != 0)
			i++;
		if (i == MF_ARRAY_SIZE(modes))
			return mf_env_wrong("AERO_L2_AUTH_MODE",
					    "session, token, jwt, cookie_or_jwt, session_or_token, "
					    "session_and_token or none",
					    mode);
		name = "AERO_L2_AUTH_MODE";
		text = modes[i].auth;
	} else if (relay && strcmp(relay, "jwt") == 0) {
		text = "session,jwt";
	} else if (relay && strcmp(relay, "api_key") == 0) {
		text = "session,key";
	} else if (relay && strcmp(relay, "none") != 0) {
		return mf_env_wrong("AUTH_MODE", "api_key, jwt or none", relay);
	} else if (g->keys.api_key.text) {
		name = "AERO_L2_API_KEY";
		text = "session,key";
	} else if (!has_keys(&g->keys) && open && insecure && strcmp(open, "1") == 0 &&
		   strcmp(insecure, "1") == 0) {
		name = "AERO_L2_INSECURE_ALLOW_NO_AUTH";
		text = "none";
	}
	return text ? mf_env_give(g, name, &auth, text, strlen(text)) : 0;
}

/* Aero's tunnels want an Origin unless AERO_L2_OPEN says otherwise. */
static int apply_tunnels(struct mf_gateway_command *g)
{
	const struct mf_env_row ethernet = { .option = "ethernet" };
	const char *open = mf_env_get(g, "AERO_L2_OPEN");

	if (mf_gateway_options_has(g, "ethernet") || (open && strcmp(open, "1") == 0) ||
	    (!open && g->env != MF_GATEWAY_ENV_AERO))
		return 0;
	return mf_env_give(g, "AERO_L2_OPEN", &ethernet, "origin", 6);
}

/* --- datagrams ------------------------------------------------------------------------------------------------------------ */

static int apply_relay(struct mf_gateway_command *g)
{
	const char *filter = mf_env_get(g, "UDP_INBOUND_FILTER_MODE"),
		   *v2 = mf_env_get(g, "PREFER_V2");
	const struct mf_env_row relay = { .option = "relay" };
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
			return mf_env_wrong("UDP_INBOUND_FILTER_MODE", "any or address_and_port",
					    filter);
		status = mf_env_give(g, "UDP_INBOUND_FILTER_MODE", &relay, text, strlen(text));
	}
	if (v2 && mf_env_flag(v2) < 0)
		return mf_env_wrong("PREFER_V2", "1 or 0", v2);
	if (status == 0 && v2 && mf_env_flag(v2))
		status = mf_env_give(g, "PREFER_V2", &relay, "prefer-v2", 9);
	return status;
}

/* --- WebRTC --------------------------------------------------------------------------------------------------------------- */

/*
 * Aero's relay takes a port of a range for each session, we one for all: the first. Who starts us as that relay wants WebRTC, whatever else
 * is said.
 */
static int apply_webrtc_port(struct mf_gateway_command *g)
{
	const struct mf_env_row port = { .option = "webrtc-port" };
	const char *min = mf_env_get(g, "WEBRTC_UDP_PORT_MIN");
	const char *max = mf_env_get(g, "WEBRTC_UDP_PORT_MAX");
	const char *ip = mf_env_get(g, "WEBRTC_UDP_LISTEN_IP");
	const char *name = min	? "WEBRTC_UDP_PORT_MIN"
			   : ip ? "WEBRTC_UDP_LISTEN_IP"
				: "AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR";
	char text[300];

	if (mf_gateway_options_has(g, "webrtc-port") || g->rtc.given)
		return 0;
	if (!min != !max)
		return mf_env_wrong(min ? "WEBRTC_UDP_PORT_MIN" : "WEBRTC_UDP_PORT_MAX",
				    "the other one, too", min ? min : max);
	if (min && strtol(min, NULL, 10) > strtol(max, NULL, 10))
		return mf_env_wrong("WEBRTC_UDP_PORT_MAX", "no less than the first", max);
	if (!min && !ip && !mf_env_get(g, "AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR"))
		return 0;
	if (ip)
		snprintf(text, sizeof(text), strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip,
			 min ? min : "0");
	else
		snprintf(text, sizeof(text), "%s", min ? min : "0");
	return mf_env_give(g, name, &port, text, strlen(text));
}

static int apply_webrtc(struct mf_gateway_command *g)
{
	struct mf_env_row external = { .option = "external-ip" };
	const char *ips = mf_env_get(g, "WEBRTC_NAT_1TO1_IPS");
	const char *type = mf_env_get(g, "WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE");
	const char *buffer = mf_env_get(g, "WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES");
	int status = apply_webrtc_port(g);
	unsigned long n;
	char *end;

	if (type && strcmp(type, "srflx") == 0)
		external.prefix = "srflx:";
	else if (type && strcmp(type, "host") != 0)
		return mf_env_wrong("WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE", "host or srflx", type);
	if (status == 0 && ips && !mf_gateway_options_has(g, "external-ip"))
		status = mf_env_give_list(g, "WEBRTC_NAT_1TO1_IPS", &external, ips);
	if (status || !buffer)
		return status;
	errno = 0;
	n = strtoul(buffer, &end, 10);
	if (errno || buffer[0] < '0' || buffer[0] > '9' || *end || n > INT32_MAX ||
	    (n && n < SCTP_BUFFER_MIN))
		return mf_env_wrong("WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES",
				    "a number of at least 1500, or 0", buffer);
	g->opt.webrtc.receive_buffer_max = (uint32_t)n;
	return 0;
}

/* --- STUN and TURN -------------------------------------------------------------------------------------------------------- */

/* {"urls": [...]} of a list with commas, into @all. */
static bool add_server(json_t *all, const char *list, const char *username, const char *credential)
{
	json_t *urls = json_array(), *server = json_pack("{s:o}", "urls", urls);
	bool good = server != NULL;

	while (good && *list) {
		size_t skip = strspn(list, " \t,"), len = strcspn(list + skip, " \t,");

		if (len)
			good = json_array_append_new(urls, json_stringn(list + skip, len)) == 0;
		list += skip + len;
	}
	if (good && username)
		good = json_object_set_new(server, "username", json_string(username)) == 0;
	if (good && credential)
		good = json_object_set_new(server, "credential", json_string(credential)) == 0;
	return json_array_append_new(all, server) == 0 && good;
}

static int apply_ice(struct mf_gateway_command *g)
{
	const char *whole = mf_env_get(g, "AERO_ICE_SERVERS_JSON");
	const char *stun = mf_env_get(g, "AERO_STUN_URLS"), *turn = mf_env_get(g, "AERO_TURN_URLS");
	const char *username = mf_env_get(g, "AERO_TURN_USERNAME");
	const char *credential = mf_env_get(g, "AERO_TURN_CREDENTIAL"), *kept;
	json_t *all;
	char *text;
	bool good;

	if (mf_gateway_options_has(g, "ice-servers"))
		return 0;
	if (whole) {
		all = json_loads(whole, JSON_REJECT_DUPLICATES, NULL);
		good = json_is_array(all);
		json_decref(all);
		g->rtc.ice_value = whole;
		return good ? 0 : mf_env_wrong("AERO_ICE_SERVERS_JSON", "an array of JSON", whole);
	}
	if (!stun && !turn)
		return 0;
	all = json_array();
	good = all && (!stun || add_server(all, stun, NULL, NULL)) &&
	       (!turn || add_server(all, turn, username, credential));
	text = good ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	if (!text)
		return mf_env_wrong(stun ? "AERO_STUN_URLS" : "AERO_TURN_URLS",
				    "URLs with commas, in UTF-8", stun ? stun : turn);
	kept = mf_env_keep(g, NULL, text, strlen(text));
	free(text);
	g->rtc.ice_value = kept;
	return kept ? 0 : MF_EXIT_SETUP;
}

/* What browsers are told of TURN, and of the relay. */
static int apply_told(struct mf_gateway_command *g)
{
	static const char *const schemes[] = { "http://", "https://", "ws://", "wss://" };
	const char *prefix = mf_env_get(g, "TURN_REST_USERNAME_PREFIX");
	const char *name = "UDP_RELAY_BASE_URL", *url = mf_env_get(g, name);
	bool good = false;

	if (prefix && (strchr(prefix, ':') || strlen(prefix) > PREFIX_MAX))
		return mf_env_wrong("TURN_REST_USERNAME_PREFIX", "at most 64 bytes without a colon",
				    prefix);
	g->opt.webrtc.turn_prefix = prefix;
	if (!url)
		url = mf_env_get(g, name = "AERO_WEBRTC_UDP_RELAY_PUBLIC_BASE_URL");
	for (size_t i = 0; url && i < MF_ARRAY_SIZE(schemes); i++)
		good |= strncmp(url, schemes[i], strlen(schemes[i])) == 0 &&
			url[strlen(schemes[i])];
	if (url && (!good || strpbrk(url, "\"\\ \t?#<>") || strlen(url) > 400))
		return mf_env_wrong(name, "a URL, as https://relay.example", url);
	g->opt.webrtc.told_url = url;
	return 0;
}

/* -------------------------------------------------------------------------------------------------------------------------- */

int mf_env_apply_several(struct mf_gateway_command *g)
{
	static int (*const parts[])(struct mf_gateway_command *) = {
		apply_places, apply_auth, apply_tunnels, apply_relay,
		apply_webrtc, apply_ice,  apply_told,
	};
	int status = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(parts) && status == 0; i++)
		status = parts[i](g);
	return status;
}
