/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_relay_options.c - what `moonfence gateway` is told of the UDP relay and of WebRTC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/gateway_command.h"
#include "core/base/files.h"
#include "proxies/sock.h"

enum { ICE_FILE_MAX = 65536 };

static int take_number(const char *text, uint64_t max, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || n > max)
		return MF_E_BAD;
	*ret = n;
	return 0;
}

int mf_gateway_take_relay(const struct mf_usage *usage, struct mf_gateway_command *g,
			  const char *value)
{
	struct mf_gateway_relay *o = &g->opt.relay;
	const struct {
		const char *name;
		uint32_t *number;
		uint64_t *large;
		uint32_t scale;
	} settings[] = {
		{ "payload", &g->opt.udp_payload_max, NULL, 1 },
		{ "ports", &g->opt.udp_ports_max, NULL, 1 },
		{ "remotes", &g->opt.udp_remotes_max, NULL, 1 },
		{ "idle", &g->opt.udp_idle_ms, NULL, 1000 },
		{ "remote-idle", &o->remote_idle_ms, NULL, 1000 },
		{ "auth-timeout", &o->auth_ms, NULL, 1000 },
		{ "sessions", &o->sessions_max, NULL, 1 },
		{ "datagrams", &o->pps_max, NULL, 1 },
		{ "bytes", NULL, &o->bps_max, 1 },
		{ "client-bytes", NULL, &o->client_bps_max, 1 },
		{ "destination-datagrams", &o->destination_pps_max, NULL, 1 },
		{ "destinations", &o->destinations_max, NULL, 1 },
		{ "violations", &o->violations_max, NULL, 1 },
		{ "violation-window", &o->violation_window_ms, NULL, 1000 },
	};
	size_t len = strcspn(value, "=");
	const char *text = value[len] ? value + len + 1 : "";
	uint64_t n;

	if (strcmp(value, "filter=any") == 0 || strcmp(value, "filter=address-and-port") == 0) {
		o->filter_any = strcmp(text, "any") == 0;
		return 0;
	}
	if (strcmp(value, "prefer-v2") == 0) {
		o->prefer_v2 = true;
		return 0;
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(settings); i++) {
		if (strlen(settings[i].name) != len || memcmp(settings[i].name, value, len) != 0)
			continue;
		if (take_number(text, settings[i].large ? UINT32_MAX * 1000ull : 4000000, &n) < 0)
			break;
		if (settings[i].large)
			*settings[i].large = n;
		else
			*settings[i].number = (uint32_t)n * settings[i].scale;
		return 0;
	}
	return mf_options_wrong(
		usage,
		"--relay wants NAME=VALUE of filter (any, address-and-port), payload, ports, "
		"remotes, idle, "
		"remote-idle, auth-timeout, sessions, datagrams, bytes, client-bytes, "
		"destination-datagrams, destinations, violations, violation-window; or prefer-v2: "
		"'%s'",
		value);
}

/* --- WebRTC --------------------------------------------------------------------------------------------------------- */

/* PORT, or ADDR:PORT */
static int take_port(const struct mf_usage *usage, struct mf_gateway_command *g, const char *value)
{
	struct mf_gateway_rtc *rtc = &g->rtc;
	const char *host = "::";
	size_t len = 2;
	uint64_t port;

	if (strchr(value, ':')) {
		if (mf_hostport_parse(value, strlen(value), &host, &len, &rtc->at.port) < 0)
			return mf_options_wrong(
				usage, "--webrtc-port wants PORT or ADDR:PORT: '%s'", value);
	} else if (take_number(value, UINT16_MAX, &port) == 0) {
		rtc->at.port = (uint16_t)port;
	} else {
		return mf_options_wrong(usage, "--webrtc-port wants PORT or ADDR:PORT: '%s'",
					value);
	}
	if (mf_addr_parse(host, len, &rtc->at.addr) < 0)
		return mf_options_wrong(usage, "--webrtc-port wants PORT or ADDR:PORT: '%s'",
					value);
	g->opt.webrtc.wanted = true;
	return 0;
}

static int take_external(const struct mf_usage *usage, struct mf_gateway_command *g,
			 const char *value)
{
	struct mf_gateway_webrtc *o = &g->opt.webrtc;
	bool srflx = strncmp(value, "srflx:", 6) == 0;
	const char *addr = srflx ? value + 6 : value;

	if (o->external_cnt == MF_GATEWAY_EXTERNAL_MAX)
		return mf_options_wrong(usage, "--external-ip: at most %d",
					MF_GATEWAY_EXTERNAL_MAX);
	if (mf_addr_parse(addr, strlen(addr), &o->external[o->external_cnt].addr) < 0)
		return mf_options_wrong(usage, "--external-ip wants ADDR or srflx:ADDR: '%s'",
					value);
	o->external[o->external_cnt++].srflx = srflx;
	return 0;
}

int mf_gateway_take_rtc(const struct mf_usage *usage, struct mf_gateway_command *g,
			enum mf_gateway_rtc_option option, const char *value)
{
	switch (option) {
	case MF_GATEWAY_WEBRTC_PORT:
		return take_port(usage, g, value);
	case MF_GATEWAY_EXTERNAL_IP:
		return take_external(usage, g, value);
	case MF_GATEWAY_ICE_SERVERS:
		g->rtc.ice_servers = value;
		return 0;
	case MF_GATEWAY_TURN_SECRET:
		g->rtc.turn_secret = value;
		return 0;
	}
	return 0;
}

/* A whole file. */
static int read_text(const char *path, char **ret, size_t *ret_len, struct mf_err *err)
{
	FILE *f = mf_fopen(path, "rbe");
	char *text = malloc(ICE_FILE_MAX);
	size_t len = f && text ? fread(text, 1, ICE_FILE_MAX, f) : 0;
	bool bad = !f || !text || ferror(f);
	int why = errno;

	if (f)
		(void)fclose(f);
	if (bad || len == ICE_FILE_MAX) {
		free(text);
		return mf_err_set(err, MF_E_IO, "cannot read %s: %s", path,
				  bad ? strerror(why) : "it is too long");
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

int mf_gateway_rtc_open(struct mf_gateway_command *g, struct mf_err *err)
{
	struct mf_gateway_rtc *rtc = &g->rtc;
	struct mf_gateway_webrtc *o = &g->opt.webrtc;
	char text[MF_ENDPOINT_TEXT_MAX];
	size_t len;

	o->base_url = g->access.public_origin;
	if (!o->wanted)
		return 0;
	if (rtc->ice_servers) {
		if (read_text(rtc->ice_servers, &rtc->ice_text, &len, err) < 0)
			return MF_E_IO;
		o->ice_servers = mf_span_of(rtc->ice_text, len);
	} else if (rtc->ice_value) {
		o->ice_servers = mf_span_str(rtc->ice_value);
	}
	if (rtc->turn_secret) {
		if (read_text(rtc->turn_secret, &rtc->turn_text, &len, err) < 0)
			return MF_E_IO;
		o->turn_secret = mf_span_of(rtc->turn_text, len);
		for (size_t i = 0; i < len; i++) /* its first line */
			if (rtc->turn_text[i] == '\n' || rtc->turn_text[i] == '\r')
				o->turn_secret.len = len = i;
		if (!len)
			return mf_err_set(err, MF_E_IO, "%s is empty", rtc->turn_secret);
	} else if (rtc->turn_value) {
		o->turn_secret = mf_span_str(rtc->turn_value);
	}
	if (!rtc->given)
		o->fd = mf_sock_listen(&rtc->at, false, 0);
	if (o->fd < 0 && memcmp(rtc->at.addr.bytes, (uint8_t[16]){ 0 }, 16) == 0) {
		rtc->at.addr.family = 4; /* a host without IPv6 */
		o->fd = mf_sock_listen(&rtc->at, false, 0);
	}
	if (o->fd < 0)
		return mf_err_set(err, MF_E_IO, "cannot serve WebRTC at %s: %s",
				  mf_endpoint_format(&rtc->at, text, sizeof(text)),
				  mf_sock_error_text(mf_sock_last_error()));
	rtc->open = true;
	(void)mf_sock_local(o->fd, &rtc->at);
	return 0;
}

void mf_gateway_rtc_tell(const struct mf_gateway_command *g)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	if (g->rtc.open)
		printf("udp://%s/\n", mf_endpoint_format(&g->rtc.at, text, sizeof(text)));
}

void mf_gateway_rtc_close(struct mf_gateway_command *g)
{
	if (g->rtc.open)
		mf_sock_close(g->opt.webrtc.fd);
	g->rtc.open = false;
	free(g->rtc.ice_text);
	free(g->rtc.turn_text);
}
