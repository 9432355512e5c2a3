/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_relay_options.c - --relay NAME=VALUE of `moonfence gateway`: the UDP relay's settings */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/gateway_command.h"

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
